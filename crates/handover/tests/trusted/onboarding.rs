//! `partner add URL`: a partner is taken in by its door's address, in one command that can be repeated.

use crate::common::{House, Process, Stage};
use crate::{amend, asked, known, pushed, stage};
use serde_json::Value;
use std::fs;

const TOWN: &str = "https://town.example/trust";

/// A hospital and a plan that have never heard of each other.
fn strangers(seed: u64) -> Stage {
    let stage = stage(seed);
    for (house, partner) in
        [(&stage.provider, stage.payers[0].name.as_str()), (&stage.payers[0], "hospital")]
    {
        fs::remove_file(house.folder.join(format!("partners/{partner}.json"))).unwrap();
        fs::remove_file(house.folder.join(format!("agreements/{partner}.toml"))).unwrap();
    }
    stage
}

/// Both join a community.
fn in_town(stage: &Stage) {
    let town = stage.folder.path().join("town").to_str().unwrap().to_owned();
    let said = stage.provider.run_anywhere(&["community", "new", &town, "--uri", TOWN]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for house in [&stage.provider, &stage.payers[0]] {
        assert_eq!(house.run(&["community", "join", &town]).code, 0);
    }
}

/// The words of adding a house by its URL and its authority.
fn add(of: &House) -> Vec<String> {
    let authority = of.folder.join("tls/authority.pem");
    let words = ["partner", "add", &of.public().base_url, "--authority"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.push(authority.to_str().unwrap().to_owned());
    words
}

fn run_json(house: &House, words: &[String]) -> (i32, Value) {
    house.json(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn verdict<'v>(told: &'v Value, step: &str) -> &'v str {
    let findings = told["probe"]["findings"].as_array().unwrap();
    findings.iter().find(|it| it["step"] == step).unwrap()["verdict"].as_str().unwrap()
}

#[test]
fn two_houses_of_a_community_are_ready_after_one_command_each() {
    let mut stage = strangers(41);
    in_town(&stage);
    let public = stage.provider.folder.join("public.json");
    let taken = stage.payers[0].run(&["partner", "add", public.to_str().unwrap()]);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    stage.payers[0].serve();
    // Nobody has thought of the EHR yet.
    let ehr = stage.provider.folder.join("tls/ehr-authority.pem");
    let kept = fs::read(&ehr).unwrap();
    fs::remove_file(&ehr).unwrap();

    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    fs::write(&ehr, kept).unwrap();
    assert_eq!(code, 0, "{told}");
    assert_eq!((&told["standing"], &told["sign_in"]), (&"new".into(), &"udap".into()), "{told}");
    assert_eq!(verdict(&told, "token"), "pass");
    assert!(told["found"]["udap"].as_str().unwrap().contains(TOWN), "{told}");
    assert!(told["found"]["certificate"].as_str().unwrap().contains("127.0.0.1"), "{told}");
    assert_eq!(told["sha256"].as_str().unwrap().len(), 32 * 3 - 1);

    // Again: nothing is written, nothing is registered a second time, and no authority is needed.
    let file = format!("partners/{}.json", stage.payers[0].name);
    let (before, kept) = (asked(&stage.payers[0]), stage.provider.read(&file));
    let url = stage.payers[0].public().base_url;
    let said = stage.provider.run(&["partner", "add", &url]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("as it was") && said.stdout.contains("Next:\n  Nothing."));
    assert_eq!(stage.provider.read(&file), kept);
    assert_eq!(asked(&stage.payers[0]) - before, 1, "one token");

    // The plan's authority is another one some day, and somebody names it; no file is written twice.
    let renamed = |from: &str, to: &str| {
        let folder = stage.provider.folder.join("partners");
        fs::rename(folder.join(from), folder.join(to)).unwrap();
    };
    let own = format!("{}.json", stage.payers[0].name);
    renamed(&own, "by-hand.json");
    let other = stage.provider.public().authority;
    amend(&stage.provider, "partners/by-hand.json", |public| public["authority"] = other.into());
    let said = stage.provider.run(&["partner", "add", &url]);
    assert!(said.stderr.contains("payer-untrusted"), "{}", said.stderr);
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!((code, &told["standing"]), (0, &"amended".into()), "{told}");
    assert_eq!(fs::read_dir(stage.provider.folder.join("partners")).unwrap().count(), 1);
    renamed("by-hand.json", &own);

    stage.provider.serve();
    assert_eq!(pushed(&stage, &known(&stage)[0]).state, "settled");
    stage.stop();
}

#[test]
fn a_plan_takes_a_hospital_in_by_its_door_and_asks_for_its_keys_there() {
    let mut stage = strangers(42);
    stage.provider.serve();
    let (code, told) = run_json(&stage.payers[0], &add(&stage.provider));
    assert_eq!(code, 0, "{told}");
    assert!(told["probe"].is_null(), "a sender has no door to be probed: {told}");
    let file: Value =
        serde_json::from_str(&stage.payers[0].read("partners/hospital.json")).unwrap();
    assert!(file["jwks"].is_null() && file["jwks_url"].as_str().unwrap().ends_with("jwks.json"));
    stage.payers[0].serve();

    // The hospital runs already: it takes the plan up when it is started anew.
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!(code, 1, "{told}");
    assert!(told["next"][0].as_str().unwrap().contains("started anew"), "{told}");
    stage.provider.stop();
    stage.provider.serve();
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!(code, 0, "{told}");
    assert_eq!((&told["standing"], &told["sign_in"]), (&"as-it-was".into(), &"smart".into()));
    assert_eq!(pushed(&stage, &known(&stage)[0]).state, "settled");
    stage.stop();
}

#[test]
fn who_must_act_at_the_plan_is_told_and_the_command_goes_on_from_there() {
    let mut stage = strangers(43);
    // The plan has an agreement with another house, and none with this one.
    stage.payers[0].serve();
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!(code, 1, "{told}");
    assert_eq!(told["sign_in"], "smart", "no community is shared: {told}");
    assert_eq!(verdict(&told, "token"), "fail");
    let next = told["next"][0].as_str().unwrap();
    assert!(next.contains("public.json") && next.contains("partner add"), "{next}");

    // They found a community meanwhile; the plan knows the hospital and wants to approve by hand.
    stage.payers[0].stop();
    in_town(&stage);
    let public = stage.provider.folder.join("public.json");
    assert_eq!(stage.payers[0].run(&["partner", "add", public.to_str().unwrap()]).code, 0);
    amend(&stage.payers[0], "partners/hospital.json", |public| {
        public.as_object_mut().unwrap().remove("udap");
    });
    stage.payers[0].serve();
    stage.provider.serve();
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!(code, 1, "{told}");
    assert_eq!((&told["standing"], &told["sign_in"]), (&"amended".into(), &"udap".into()));
    assert!(told["probe"].is_null(), "what runs has read the file as it was: {told}");
    assert!(told["next"][0].as_str().unwrap().contains("started anew"), "{told}");
    stage.provider.stop();
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!((code, &told["standing"]), (1, &"as-it-was".into()), "{told}");
    let approve = told["next"][1].as_str().unwrap();
    assert!(approve.contains("handover partner approve"), "{approve}");
    let uri = stage.provider.public().base_url;
    assert!(approve.contains(&uri), "{approve}");
    let words = ["partner", "approve", &uri, "--partner", "hospital", "--why", "we rang them"];
    assert_eq!(stage.payers[0].run(&words).code, 0);
    let (code, told) = run_json(&stage.provider, &add(&stage.payers[0]));
    assert_eq!((code, verdict(&told, "token")), (0, "pass"), "{told}");
    stage.stop();
}

#[test]
fn a_door_that_nobody_vouches_for_is_not_asked_and_leaves_nothing_behind() {
    let mut stage = strangers(44);
    stage.payers[0].serve();
    let url = stage.payers[0].public().base_url;
    let own = stage.provider.folder.join("tls/authority.pem").to_str().unwrap().to_owned();
    let none = stage.provider.folder.join("nowhere.pem").to_str().unwrap().to_owned();
    let nobody = format!("https://{}/fhir", crate::common::free_address());
    let (elsewhere, port) = (url.replace("/fhir", "/other"), url.replace("https://", "http://"));
    let authority = stage.payers[0].folder.join("tls/authority.pem").to_str().unwrap().to_owned();
    let table: [(&str, Vec<&str>, &str, &str); 7] = [
        ("no authority", vec![&url], "payer-untrusted", "SHA-256"),
        ("how to name one", vec![&url], "payer-untrusted", "--authority FILE"),
        ("another authority", vec![&url, "--authority", &own], "payer-untrusted", "does not come"),
        ("no such file", vec![&url, "--authority", &none], "config-invalid", "nowhere.pem"),
        ("nobody there", vec![&nobody], "command-invalid", "nothing takes connections"),
        (
            "no FHIR there",
            vec![&elsewhere, "--authority", &authority],
            "capability-missing",
            "metadata",
        ),
        ("plain HTTP at a TLS door", vec![&port], "capability-missing", "metadata"),
    ];
    for (case, words, code, told) in table {
        let said = stage.provider.run(&[&["partner", "add"], &words[..]].concat());
        assert_eq!(said.code, 2, "{case}: {}", said.stdout);
        let words = said.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(code) && words.contains(told), "{case}: {words}");
        assert!(words.contains("who acts:") && words.contains("next:"), "{case}: {words}");
        let partners = fs::read_dir(stage.provider.folder.join("partners")).unwrap().count();
        assert_eq!(partners, 0, "{case}: nothing is written");
    }
    // Nor one in a network that nobody allowed.
    stage.provider.replace("house.toml", "allow = [\"127.0.0.0/8\", \"::1\"]", "allow = []");
    let words = add(&stage.payers[0]);
    let said = stage.provider.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("payer-untrusted") && said.stderr.contains("[network]"));
    stage.stop();
}

#[test]
fn a_server_of_another_make_is_taken_in_as_one() {
    let mut stage = strangers(45);
    let folder = stage.folder.path().join("elsewhere").to_str().unwrap().to_owned();
    let address = crate::common::free_address().to_string();
    let client = stage.provider.folder.join("public.json").to_str().unwrap().to_owned();
    let words = ["sim", "payer", &folder, "--profile", "conditional-refused", "--tethered"];
    let with_client = ["--listen", &address, "--client", &client];
    let mut door = Process::until_ready(&[&words[..], &with_client].concat(), &[]);
    let public: Value =
        serde_json::from_str(&fs::read_to_string(format!("{folder}/public.json")).unwrap())
            .unwrap();
    let url = public["base_url"].as_str().unwrap();
    let authority = format!("{folder}/authority.pem");
    let plan = &stage.plans[0].payer_id;
    let id = format!("{}|{}", plan.system, plan.value);
    let words = ["partner", "add", url, "--authority", &authority, "--name", "elsewhere"];
    let (code, told) = stage.provider.json(&words);
    // It answers 401 to `$versions`, which is open to everybody: told, and no hindrance.
    assert_eq!((code, verdict(&told, "versions")), (1, "fail"), "{told}");
    assert!(told["next"][0].as_str().unwrap().contains("payer_identifiers"), "{told}");
    assert!(told["next"][1].as_str().unwrap().contains("--report"), "{told}");
    assert_eq!((&told["partner"], &told["sign_in"]), (&"elsewhere".into(), &"smart".into()));
    assert_eq!(verdict(&told, "token"), "pass");
    for file in ["partners/elsewhere.json", "agreements/elsewhere.toml"] {
        fs::remove_file(stage.provider.folder.join(file)).unwrap();
    }
    let (code, _) = stage.provider.json(&[&words[..], &["--payer-id", &id]].concat());
    assert_eq!(code, 1);
    let found = stage.provider.run(&["partner", "add", url]);
    assert!(found.stdout.contains("a server of another make"), "{}", found.stdout);
    stage.provider.serve();
    assert_eq!(pushed(&stage, &known(&stage)[0]).state, "settled");
    stage.stop();
    assert!(door.runs(), "{}", door.stderr());
    door.stop();
}

#[test]
fn a_server_on_this_machine_may_be_open() {
    let stage = strangers(46);
    let folder = stage.folder.path().join("open").to_str().unwrap().to_owned();
    let address = crate::common::free_address().to_string();
    let words = ["sim", "payer", &folder, "--profile", "conditional-refused", "--tethered"];
    let door = Process::until_ready(&[&words[..], &["--listen", &address]].concat(), &[]);
    let public: Value =
        serde_json::from_str(&fs::read_to_string(format!("{folder}/public.json")).unwrap())
            .unwrap();
    let url = public["base_url"].as_str().unwrap();
    let (_, told) = stage.provider.json(&["partner", "add", url, "--name", "open"]);
    assert_eq!(told["sign_in"], "none", "{told}");
    assert!(told["found"]["certificate"].as_str().unwrap().contains("plain HTTP"), "{told}");
    assert_eq!(verdict(&told, "capability-statement"), "pass");
    door.stop();
}
