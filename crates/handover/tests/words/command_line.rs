//! What the command line refuses, and what `check` says of the same fault.

use crate::common::House;
use crate::said::{of_json, refused};
use exchange::{Code, Issue};
use std::fs;
use store::SqliteHouse;

/// A sending house that lacks nothing but an EHR that answers and a partner.
fn house(folder: &tempfile::TempDir) -> House {
    let mut house = House::provider(&folder.path().join("clinic"), "https://127.0.0.1:1/fhir");
    house.log = "off".to_owned();
    house.write("tls/ehr-authority.pem", &house.read("tls/authority.pem"));
    house
}

#[test]
fn a_fault_of_the_house_is_told_alike_by_every_command_and_by_check() {
    type Spoil = fn(&House);
    let table: [(&str, Spoil, &[&str], Code); 9] = [
        (
            "an unknown key",
            |house| house.replace("house.toml", "listen =", "lisen ="),
            &["list"],
            Code::ConfigInvalid,
        ),
        (
            "no configuration",
            |house| fs::remove_file(house.folder.join("house.toml")).unwrap(),
            &["list"],
            Code::ConfigInvalid,
        ),
        (
            "an agreement with nobody",
            |house| house.write("agreements/sunrise.toml", AGREEMENT),
            &["serve"],
            Code::PartnerUnknown,
        ),
        (
            "a key that everybody can read",
            |house| open_to_all(house, "keys/signing.pem"),
            &["list"],
            Code::KeyUnusable,
        ),
        (
            "a ledger key that is none",
            |house| house.write("keys/ledger.pem", "none"),
            &["list"],
            Code::KeyUnusable,
        ),
        (
            "a server key of another certificate",
            |house| house.write("tls/server-key.pem", &house.read("tls/authority-key.pem")),
            &["serve"],
            Code::KeyUnusable,
        ),
        (
            "an address beyond loopback without a partner",
            |house| {
                let listen = house.config().file.listen.to_string();
                let beyond = listen.replace("127.0.0.1", "0.0.0.0");
                house.replace(
                    "house.toml",
                    &format!("listen = \"{listen}\""),
                    &format!("listen = \"{beyond}\""),
                );
            },
            &["serve"],
            Code::BindRefused,
        ),
        (
            "a store that cannot be written",
            |house| house.replace("house.toml", "store = \"store\"", "store = \"house.toml\""),
            &["list"],
            Code::StoreUnavailable,
        ),
        (
            "no authority of the EHR",
            |house| fs::remove_file(house.folder.join("tls/ehr-authority.pem")).unwrap(),
            &["serve"],
            Code::ConfigInvalid,
        ),
    ];
    for (case, spoil, words, code) in table {
        let folder = tempfile::tempdir().unwrap();
        let house = house(&folder);
        spoil(&house);
        let issue = refused(case, &house, words, code);
        let (exit, checked) = house.json(&["check"]);
        assert!(exit > 0, "{case}: {checked}");
        let lines = checked["lines"].as_array().unwrap();
        let told: Vec<_> =
            lines.iter().filter(|line| line["issue"]["code"] == code.row().slug).collect();
        // Of a store that does not open, check tells what it found in its place.
        let alike = |told: &Issue| *told == issue || code == Code::StoreUnavailable;
        let same = told.iter().any(|line| alike(&of_json(case, &line["issue"], code)));
        assert!(same, "{case}: check says otherwise than {issue}: {told:#?}");
    }
}

const AGREEMENT: &str = "partner = \"sunrise\"\npurposes = [\"HPAYMT\"]\n";

#[cfg(unix)]
fn open_to_all(house: &House, file: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(house.folder.join(file), fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn what_was_typed_and_cannot_be_done_is_told_alike() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(&folder);
    let table: [(&str, &[&str], Code); 7] = [
        ("nothing has this id", &["show", "none"], Code::PushUnknown),
        ("an id that is none", &["push", "encounter", "two words"], Code::CommandInvalid),
        (
            "a payer's option",
            &["release", "none", "--why", "x", "--member", "W1"],
            Code::CommandInvalid,
        ),
        ("a file that is no partner", &["partner", "add", "/dev/null"], Code::ConfigInvalid),
        ("no house runs", &["token"], Code::SignInRequired),
        (
            "a restriction of nothing",
            &["restriction", "add", "e1", "--reason", "x", "--why", "y"],
            Code::CommandInvalid,
        ),
        (
            "a payor to nobody known",
            &["payor", "map", "--name", "x", "--partner", "nobody", "--why", "y"],
            Code::CommandInvalid,
        ),
    ];
    for (case, words, code) in table {
        refused(case, &house, words, code);
    }
    let (exit, json) = house.json(&["push"]);
    assert_eq!(exit, 2, "{json}");
    of_json("an argument is missing", &json["issue"], Code::CommandInvalid);
}

#[test]
fn a_house_that_another_process_holds_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(&folder);
    let held = SqliteHouse::open(&house.folder.join("store"), &"clinic".into()).unwrap();
    refused("a command", &house, &["list"], Code::HouseLocked);
    refused("a second process", &house, &["serve"], Code::HouseLocked);
    drop(held);
    assert_eq!(house.run(&["list"]).code, 0);
}

#[test]
fn a_ledger_signed_by_a_key_that_is_not_the_houses_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(&folder);
    house.serve();
    house.stop();
    assert_eq!(house.run(&["ledger", "verify"]).code, 0);
    let (_, pem) = store::LedgerKey::generate().unwrap();
    house.write("keys/ledger.pem", &pem);
    let said = house.run(&["ledger", "verify"]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    let row = Code::LedgerBroken.row();
    for words in [row.slug, row.next, "first bad entry 1"] {
        assert!(said.stdout.contains(words), "{}", said.stdout);
    }
    let (exit, checked) = house.json(&["check"]);
    assert_eq!(exit, 2);
    let line =
        &checked["lines"].as_array().unwrap().iter().find(|line| line["what"] == "ledger").unwrap()
            ["issue"];
    of_json("check", line, Code::LedgerBroken);
}
