//! Goal: payers' endpoints are looked up, imported, served and approved from the command line, and
//! what cannot be done is told with the key or the place.

use crate::common::{House, Process, free_address, run};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const NAIC: &str = "urn:oid:2.16.840.1.113883.6.300";

fn entries(address: &str) -> String {
    let plan = json!({ "resourceType": "Organization", "id": "plan", "active": true,
        "name": "Example Health Plan", "identifier": [{ "system": NAIC, "value": "77777" }] });
    let endpoint = |id: &str, status: &str, address: &str| {
        json!({ "resourceType": "Endpoint", "id": id, "status": status, "address": address,
            "connectionType": { "code": "hl7-fhir-rest" },
            "managingOrganization": { "reference": "Organization/plan" } })
    };
    let other = json!({ "resourceType": "Practitioner", "id": "p" });
    let all = [
        plan,
        endpoint("door", "active", address),
        endpoint("old", "off", "https://old.example/fhir"),
        other,
    ];
    all.iter().map(|it| format!("{it}\n")).collect::<String>() + "garbage\n"
}

/// A sending house with one partner, whose door nobody opens.
fn house(folder: &Path) -> (House, String) {
    let provider = House::provider(&folder.join("mercy"), "https://127.0.0.1:1/fhir");
    let plan = sim::Town::generate(1, &sim::TownPlan::default()).plans.remove(0);
    let payer = House::payer(&folder.join("sunrise"), &plan);
    provider.add_partner(&payer);
    fs::write(provider.folder.join("tls/ehr-authority.pem"), provider.public().authority).unwrap();
    let table =
        format!("[[payer]]\npartner = \"{}\"\nidentifiers = [\"{NAIC}|77777\"]\n", payer.name);
    provider.write("payers.toml", &table);
    (provider, payer.name.clone())
}

fn with_directory(house: &House, lines: &str) {
    let text = house.read("house.toml");
    let before = text.split("\n[[directory]]").next().unwrap();
    house.write("house.toml", &format!("{before}\n[[directory]]\n{lines}\n"));
}

#[test]
fn a_copy_is_imported_and_asked_and_an_endpoint_of_it_approved() {
    let folder = tempfile::tempdir().unwrap();
    let (house, payer) = house(folder.path());
    let file = folder.path().join("dump.ndjson");
    fs::write(&file, entries("https://door.example/fhir")).unwrap();
    let said = house.run(&["directory", "import", file.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for told in [
        "1 Organization, 2 Endpoint",
        "1 resource of other types left out",
        "line 5",
        "kind = \"dump\"",
    ] {
        assert!(said.stdout.contains(told), "{told}: {}", said.stdout);
    }
    with_directory(&house, "kind = \"dump\"");
    let again = house.run(&["directory", "import", file.to_str().unwrap()]);
    assert!(!again.stdout.contains("house.toml"), "it is asked now: {}", again.stdout);

    for words in [payer.as_str(), &format!("{NAIC}|77777")] {
        let said = house.run(&["directory", "find", words]);
        assert_eq!(said.code, 1, "nobody vouches for it: {}{}", said.stdout, said.stderr);
        for told in [
            "Chosen: https://door.example/fhir",
            "identifier",
            "nobody vouches",
            "Endpoint/old",
            "its status is off",
        ] {
            assert!(said.stdout.contains(told), "{told}: {}", said.stdout);
        }
    }
    let (_, found) = house.json(&["directory", "find", &payer]);
    let identity = found["identity"].as_str().unwrap().to_owned();
    let wrong = "0".repeat(64);
    for (case, words, told) in [
        (
            "another identity",
            &["directory", "approve", &payer, "--identity", &wrong, "--why", "x"][..],
            "not-waiting",
        ),
        (
            "no identity",
            &["directory", "approve", &payer, "--identity", "R-12345", "--why", "x"],
            "command-invalid",
        ),
        ("nobody's", &["directory", "approve", "nobody", "--why", "x"], "partner-unknown"),
    ] {
        let said = house.run(words);
        assert_eq!(said.code, 2, "{case}: {}", said.stdout);
        assert!(
            said.stderr.contains(told) && !said.stderr.contains("12345"),
            "{case}: {}",
            said.stderr
        );
    }
    let approve = ["directory", "approve", &payer, "--identity", &identity, "--why", "called them"];
    let said = house.run(&approve);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let (_, found) = house.json(&["directory", "find", &payer]);
    assert_eq!(found["vouched"], "person");
    assert_eq!(house.run(&["ledger", "verify"]).code, 0);
    let said = house.run(&["directory", "find", "Nobody Health Plan"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("No endpoint"), "{}", said.stdout);
}

#[test]
fn a_folder_is_served_over_tls_and_found_through_it() {
    let folder = tempfile::tempdir().unwrap();
    let (house, payer) = house(folder.path());
    let place = folder.path().join("listed");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("plans.ndjson"), entries("https://door.example/fhir")).unwrap();
    let address = free_address().to_string();
    let words = ["directory", "serve", place.to_str().unwrap(), "--listen", &address, "--tethered"];
    let served = Process::until_ready(&words, &[]);
    let authority = fs::read_to_string(place.join("authority.pem")).unwrap();
    house.write("tls/directory-authority.pem", &authority);
    let national = |more: &str| {
        let lines = format!("kind = \"national\"\nurl = \"https://{address}/fhir\"\n{more}");
        with_directory(&house, &lines);
    };
    national("authority = \"tls/directory-authority.pem\"\nenvironments = [\"test\"]");
    let (code, found) = house.json(&["directory", "find", &payer]);
    assert_eq!((code, &found["directory"]), (1, &"national".into()), "{found}");
    assert_eq!(found["choice"]["chosen"]["endpoint"]["address"], "https://door.example/fhir");
    // Its certificate is not one that anybody else's authority made.
    national("authority = \"tls/ehr-authority.pem\"");
    let (_, found) = house.json(&["directory", "find", "Example Health Plan"]);
    let asked: &Value = &found["asked"][0];
    assert_eq!(asked, &json!(["national", "the directory national does not answer"]));
    drop(served.stop());
}

#[test]
fn a_directory_that_cannot_be_asked_so_is_told_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let (house, _) = house(folder.path());
    for (lines, told) in [
        ("kind = \"national\"", "directory[0].url"),
        ("kind = \"national\"\nurl = \"http://directory.example/fhir\"", "directory[0].url"),
        ("kind = \"nationals\"", "did you mean `national`?"),
        ("kind = \"dump\"\nfolders = \"x\"", "did you mean `folder`?"),
        ("kind = \"dump\"\n[[directory]]\nkind = \"dump\"", "directory[1].name"),
    ] {
        with_directory(&house, lines);
        let said = house.run(&["directory", "find", "x"]);
        assert_eq!(said.code, 2, "{lines}: {}", said.stdout);
        assert!(said.stderr.contains(told), "{lines}: {}", said.stderr);
    }
    with_directory(&house, "kind = \"dump\"");
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    for from in [nothing.to_str().unwrap(), "/no/such/folder"] {
        let said = house.run(&["directory", "import", from]);
        assert_eq!(said.code, 2, "{}", said.stdout);
    }
    let payer = House::payer(
        &folder.path().join("plan"),
        &sim::Town::generate(1, &sim::TownPlan::default()).plans[0],
    );
    let said = payer.run(&["directory", "find", "x"]);
    assert!(said.code == 2 && said.stderr.contains("a provider's"), "{}", said.stderr);
    assert_eq!(run(&["directory", "serve", "/no/such/folder"], &[]).code, 2);
}
