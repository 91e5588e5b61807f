//! UDAP: the hospital registers by itself, a person of the plan approves it, and a push settles.

use crate::common::{House, Stage};
use crate::{amend, asked, known, pushed, stage, waits_for};
use exchange::Event;
use store::House as _;

const TOWN: &str = "https://town.example/trust";
const COUNTY: &str = "https://county.example/trust";

/// Founds a community in a folder of the stage.
fn found(stage: &Stage, name: &str, uri: &str) -> String {
    let folder = stage.folder.path().join(name).to_str().unwrap().to_owned();
    let said = stage.provider.run_anywhere(&["community", "new", &folder, "--uri", uri]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    folder
}

fn join(house: &House, community: &str) {
    let said = house.run(&["community", "join", community]);
    assert_eq!(said.code, 0, "{}", said.stderr);
}

/// Both in one community. The hospital knows that the plan is signed in at so; the plan's file of the
/// hospital says nothing of a community.
pub(crate) fn in_town() -> Stage {
    let stage = stage(11);
    let town = found(&stage, "town", TOWN);
    join(&stage.provider, &town);
    join(&stage.payers[0], &town);
    let file = format!("partners/{}.json", stage.payers[0].name);
    stage.provider.write(&file, &stage.payers[0].read("public.json"));
    stage
}

/// What a house's ledger says of registrations: asked of it, approved, refused; and its own elsewhere.
fn lines(house: &House) -> [usize; 4] {
    let memory = house.memory();
    let entries = crate::common::RUNTIME.block_on(memory.entries(1, 10_000)).unwrap();
    let mut count = [0; 4];
    for entry in entries {
        match entry.event().unwrap() {
            Event::RegistrationAsked { .. } => count[0] += 1,
            Event::RegistrationApproved { .. } => count[1] += 1,
            Event::RegistrationRefused { .. } => count[2] += 1,
            Event::RegisteredAt { .. } => count[3] += 1,
            _ => {}
        }
    }
    count
}

/// Proves: udap 66, 67, 68
#[test]
fn a_hospital_registers_by_itself_and_pushes_once_a_person_approved_it() {
    let mut stage = in_town();
    stage.serve();
    let finished = known(&stage);
    let held = pushed(&stage, &finished[0]);
    let (code, words) = waits_for(&held);
    assert_eq!(code, "sign-in-refused");
    assert!(words.contains("waits for a person"), "it is told what it waits for: {words}");
    assert_eq!(lines(&stage.payers[0]), [1, 0, 0, 0]);
    assert_eq!(lines(&stage.provider), [0, 0, 0, 0], "there is no id to keep yet");

    let plan = &stage.payers[0];
    let (_, told) = plan.json(&["partner", "registrations"]);
    let row = &told["rows"][0];
    assert_eq!(row["state"], "registration-waits", "{told}");
    assert_eq!(row["said"]["uri"], stage.provider.public().base_url.as_str(), "{told}");
    let client = row["client"].as_str().unwrap();
    let approve = ["partner", "approve", client, "--partner", "hospital", "--why", "we rang them"];
    assert_eq!(plan.run(&approve).code, 0);

    let before = asked(plan);
    let (code, told) = stage.provider.json(&["release", &held.id, "--why", "it is approved"]);
    assert_eq!(code, 0, "{told}");
    assert_eq!(told["rows"][0]["state"], "settled", "{told}");
    assert_eq!(asked(plan) - before, 2, "one registration, one token");
    assert_eq!(pushed(&stage, &finished[1]).state, "settled");
    assert_eq!(asked(&stage.payers[0]) - before, 2, "the token serves again");
    assert_eq!(lines(&stage.provider)[3], 1);
    let words = ["push", "encounter", &finished[3], "--purpose", "operations"];
    let (code, told) = stage.provider.json(&words);
    assert_eq!(code, 0, "{told}");
    assert_eq!(asked(&stage.payers[0]) - before, 3, "another purpose has a token of its own");

    stage.stop();
    stage.serve();
    let before = asked(&stage.payers[0]);
    assert_eq!(pushed(&stage, &finished[2]).state, "settled");
    assert_eq!(asked(&stage.payers[0]) - before, 1, "a new token, and no new registration");
    assert_eq!(lines(&stage.payers[0]), [1, 1, 0, 0]);
    assert_eq!(lines(&stage.provider)[3], 1);
    stage.stop();
}

#[test]
fn a_hospital_that_the_plans_file_names_waits_for_nobody() {
    let mut stage = in_town();
    stage.payers[0].write("partners/hospital.json", &stage.provider.read("public.json"));
    stage.payers[0].serve();
    // Looking is enough to register, and a house that was never opened keeps a ledger that holds.
    let said = stage.provider.run(&["check"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert_eq!(lines(&stage.provider), [0, 0, 0, 1]);
    stage.serve();
    assert_eq!(pushed(&stage, &known(&stage)[0]).state, "settled");
    assert_eq!(lines(&stage.payers[0]), [1, 0, 0, 0]);
    stage.stop();
}

#[test]
fn a_refused_registration_holds_the_push_and_ends_what_it_had() {
    let mut stage = in_town();
    stage.payers[0].write("partners/hospital.json", &stage.provider.read("public.json"));
    stage.serve();
    let finished = known(&stage);
    assert_eq!(pushed(&stage, &finished[0]).state, "settled");
    let uri = stage.provider.public().base_url;
    let refuse = ["partner", "refuse", &uri, "--why", "its key was lost"];
    assert_eq!(stage.payers[0].run(&refuse).code, 0);
    let held = pushed(&stage, &finished[1]);
    let (code, words) = waits_for(&held);
    assert_eq!(code, "sign-in-refused");
    assert!(words.contains("a person of this house refused this client"), "{words}");
    assert_eq!(lines(&stage.payers[0]), [1, 0, 1, 0], "asking again changes nothing");
    // Asking again does not help; a person of the plan does.
    let (_, told) = stage.provider.json(&["release", &held.id, "--why", "once more"]);
    assert_eq!(told["rows"][0]["state"], "held", "{told}");
    let name = ["--partner", "hospital", "--why", "it has a new key"];
    assert_eq!(stage.payers[0].run(&[&["partner", "approve", &uri], &name[..]].concat()).code, 0);
    let (_, told) = stage.provider.json(&["release", &held.id, "--why", "approved"]);
    assert_eq!(told["rows"][0]["state"], "settled", "{told}");
    stage.stop();
}

#[test]
fn houses_without_a_community_in_common_exchange_nothing() {
    // Each believes the other to be in the town; the plan is in the county, or claims the town's name.
    for (name, uri) in [("county", COUNTY), ("forged", TOWN)] {
        let mut stage = stage(12);
        let (town, other) = (found(&stage, "town", TOWN), found(&stage, name, uri));
        join(&stage.provider, &town);
        join(&stage.payers[0], &other);
        let file = format!("partners/{}.json", stage.payers[0].name);
        stage.provider.write(&file, &stage.payers[0].read("public.json"));
        amend(&stage.provider, &file, |public| public["udap"]["community"] = TOWN.into());
        stage.payers[0].write("partners/hospital.json", &stage.provider.read("public.json"));
        stage.serve();
        let (code, words) = waits_for(&pushed(&stage, &known(&stage)[0]));
        assert_eq!(code, "sign-in-refused", "{name}: {words}");
        assert!(words.contains("communit") || words.contains("metadata"), "{name}: {words}");
        assert_eq!(lines(&stage.payers[0]), [0; 4], "{name}: nothing was asked there");
        assert!(stage.payers[0].records().is_empty(), "{name}");
        stage.stop();
    }
}

#[test]
fn a_house_that_is_in_no_community_says_so_before_it_opens() {
    let stage = stage(13);
    let town = found(&stage, "town", TOWN);
    join(&stage.payers[0], &town);
    let file = format!("partners/{}.json", stage.payers[0].name);
    stage.provider.write(&file, &stage.payers[0].read("public.json"));
    let said = stage.provider.run(&["check"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("config-invalid") && said.stdout.contains("[udap] is missing"));
    assert_eq!(stage.provider.run(&["serve", "--tethered"]).code, 2, "and it does not open");
}

#[test]
fn a_house_joins_a_community_once_and_only_where_its_key_is() {
    let stage = stage(14);
    let (town, county) = (found(&stage, "town", TOWN), found(&stage, "county", COUNTY));
    join(&stage.provider, &town);
    let (file, public) = (stage.provider.read("house.toml"), stage.provider.read("public.json"));
    let certificate = stage.provider.read("tls/community-certificate.pem");
    join(&stage.provider, &town);
    assert_eq!(stage.provider.read("house.toml"), file);
    assert_eq!(stage.provider.read("public.json"), public);
    assert_eq!(stage.provider.read("tls/community-certificate.pem"), certificate);
    let own = stage.provider.folder.join("public.json").to_str().unwrap().to_owned();
    // A second community stands beside the first, and partners keep knowing the house by that one.
    join(&stage.provider, &county);
    assert_eq!(stage.provider.config().file.udap.as_ref().unwrap().community.len(), 2);
    assert_eq!(stage.provider.public().udap.unwrap().community, TOWN);

    std::fs::remove_file(stage.folder.path().join("county/authority-key.pem")).unwrap();
    let folder = stage.folder.path().to_str().unwrap().to_owned();
    let table: [(&[&str], &str); 5] = [
        (&["community", "admit", &county, &own, "--out", "nowhere"], "key is not in this folder"),
        (&["community", "join", &folder], "community.uri"),
        (&["community", "new", &town, "--uri", TOWN], "not empty"),
        (&["community", "new", "nowhere", "--uri", "town"], "absolute URI"),
        (&["community", "new", "nowhere", "--uri", "https://a b"], "absolute URI"),
    ];
    for (words, told) in table {
        let said = stage.payers[0].run(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stdout);
        let heard = said.stderr.contains("config-invalid") && said.stderr.contains(told);
        assert!(heard, "{words:?}: {}", said.stderr);
    }
    assert!(stage.payers[0].config().file.udap.is_none(), "half a membership is none");
}

/// The founder is in another organisation: a request goes there, a certificate comes back.
#[test]
fn a_house_joins_from_elsewhere_by_a_request() {
    let stage = stage(15);
    let (town, county) = (found(&stage, "town", TOWN), found(&stage, "county", COUNTY));
    let path = |name: &str| stage.folder.path().join(name).to_str().unwrap().to_owned();
    let mailed = path("mailed");
    std::fs::create_dir(&mailed).unwrap();
    for file in ["authority.pem", "community.uri"] {
        std::fs::copy(format!("{town}/{file}"), format!("{mailed}/{file}")).unwrap();
    }
    let plan = &stage.payers[0];
    let (code, told) = plan.json(&["community", "join", &mailed]);
    assert_eq!(code, 1, "it waits for the founder: {told}");
    let request = told["request"].as_str().unwrap();
    let admit = |community: &str, request: &str, out: &str| {
        stage.provider.run_anywhere(&["community", "admit", community, request, "--out", out])
    };
    let (good, foreign) = (path("good.pem"), path("foreign.pem"));
    let said = admit(&town, request, &good);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains(&plan.public().base_url), "the founder sees who: {}", said.stdout);
    assert_eq!(admit(&county, request, &foreign).code, 0);
    join(&stage.provider, &town);
    let other = stage.provider.folder.join("tls/community-certificate.pem");
    let (other, public) = (other.to_str().unwrap(), path("hospital/public.json"));
    for (case, certificate) in
        [("another community's", foreign.as_str()), ("another house's", other), ("none", &public)]
    {
        let said = plan.run(&["community", "join", &mailed, "--certificate", certificate]);
        assert_eq!(said.code, 2, "{case}: {}", said.stdout);
        assert!(said.stderr.contains("key-unusable"), "{case}: {}", said.stderr);
        assert!(plan.config().file.udap.is_none(), "{case}");
    }
    assert_eq!(admit(&town, &public, &foreign).code, 2, "what is no request is not admitted");
    let said = plan.run(&["community", "join", &mailed, "--certificate", &good]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(plan.public().udap.unwrap().community, TOWN);
    assert_eq!(plan.config().file.udap.as_ref().unwrap().community[0].uri, TOWN);
}
