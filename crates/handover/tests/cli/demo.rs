//! Goal: the demo tells a true story and leaves nothing behind but folders.

#![allow(clippy::unwrap_used)]

use crate::common::run;
use serde_json::Value;
use std::path::Path;

#[test]
fn the_demo_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("demo");
    let keep = keep.to_str().unwrap();
    let said = run(&["--json", "demo", "--patients", "2", "--keep", keep], &[]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let facts: Value = serde_json::from_str(&said.stdout).unwrap();
    let facts = &facts["demo"];
    assert_eq!(facts["restriction_kept"], true, "{facts}");
    assert_eq!(facts["ledgers_verify"], true, "{facts}");
    assert!(facts["held"].as_u64().unwrap() > 0, "the plan held somebody: {facts}");
    assert!(facts["filed_after_release"].as_u64().unwrap() > 0, "{facts}");
    assert_eq!(facts["triggered"], facts["pushes"], "one answer each: {facts}");
    assert_eq!(facts["registered_by_udap"], 2, "both hospitals did so by themselves: {facts}");
    assert_eq!(facts["roads_of_trust"], 4, "each hospital has one to each plan: {facts}");
    let partner = |house: usize, of: usize| {
        let name = facts["houses"][of].as_str().unwrap().rsplit('/').next().unwrap();
        let place = format!("{}/partners/{name}.json", facts["houses"][house].as_str().unwrap());
        serde_json::from_str::<Value>(&std::fs::read_to_string(place).unwrap()).unwrap()
    };
    assert_eq!(partner(0, 2)["sign_in"], "udap");
    let (by_url, by_certificate) = (partner(3, 0), partner(3, 1));
    assert!(by_url["jwks"].is_null() && by_url["jwks_url"].is_string(), "{by_url}");
    assert!(by_certificate["jwks"].is_null() && by_certificate["sign_in"] == "mtls");
    let directory = facts["directory"].as_str().unwrap();
    let place = facts["houses"][0].as_str().unwrap();
    let hospital = format!("{place}/house.toml");
    assert!(std::fs::read_to_string(hospital).unwrap().contains(directory), "it asks that one");
    // The directory has stopped as well: what it said is written down and holds.
    let found = run(&["--json", "--house", place, "directory", "find", plan(facts)], &[]);
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(
        (&found["directory"], &found["vouched"]),
        (&"national".into(), &"public-file".into())
    );
    assert_eq!(found["choice"]["rejected"].as_array().unwrap().len(), 2, "{found}");
    let houses = facts["houses"].as_array().unwrap();
    assert_eq!(houses.len(), 4);
    for house in houses {
        // The store can be opened, so no process holds it any more.
        let said = run(&["--house", house.as_str().unwrap(), "ledger", "verify"], &[]);
        assert_eq!(said.code, 0, "{}", said.stderr);
    }
}

/// The first plan's name.
fn plan(facts: &Value) -> &str {
    let place = facts["houses"][2].as_str().unwrap();
    place.rsplit('/').next().unwrap()
}

#[test]
fn a_folder_that_is_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("letters.txt");
    std::fs::write(&file, "dear plan").unwrap();
    let said = run(&["demo", "--keep", folder.path().to_str().unwrap()], &[]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("not empty"), "{}", said.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A house that is tethered ends with the process that started it, however that one ends.
#[test]
fn a_tethered_house_ends_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("mercy");
    let words = ["init", "payer", place.to_str().unwrap(), "--listen"];
    let address = crate::common::free_address().to_string();
    assert_eq!(run(&[&words[..], &[&address]].concat(), &[]).code, 0);
    let place: &Path = &place;
    // No input at all: it opens, and stops in the orderly way at once.
    let said = run(&["--house", place.to_str().unwrap(), "serve", "--tethered"], &[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("ready https://"), "{}", said.stdout);
}
