//! Goal: a house's tables of payors and restrictions are changed by commands, whole or not at all,
//! whether the house runs or not; and what they refuse repeats nothing that was typed.

use crate::common::{House, free_address, run};
use std::fs;
use std::path::Path;
use std::thread;

/// A sending house with one partner; its EHR never answers.
fn house(folder: &Path) -> House {
    let source = format!("https://{}/fhir", free_address());
    let provider = House::provider(&folder.join("mercy"), &source);
    let plan = sim::Town::generate(1, &sim::TownPlan::default()).plans.remove(0);
    let payer = House::payer(&folder.join("sunrise"), &plan);
    provider.add_partner(&payer);
    fs::write(provider.folder.join("tls/ehr-authority.pem"), provider.public().authority).unwrap();
    provider
}

#[test]
fn a_new_house_explains_both_tables_and_they_hold_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    assert!(house.read("payors.toml").contains("# [[payor]]"));
    assert!(house.read("restrictions.toml").contains("# except_purposes"));
    let said = house.run(&["restriction", "list"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "In all: 0 restrictions.\n"));
    let said = house.run(&["payor", "list"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "No payor waits to be mapped.\n"));
    // What stands there as an example is one that can be used.
    for (file, row) in [("payors.toml", "payor"), ("restrictions.toml", "restriction")] {
        let text = house.read(file);
        let (head, example) = text.split_once(&format!("# [[{row}]]")).unwrap();
        let example = example.replace("\n# ", "\n");
        house.write(file, &format!("{head}[[{row}]]{example}"));
    }
    assert_eq!(house.run(&["restriction", "list"]).code, 0);
    let said = house.run(&["payor", "list"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("to sunrise"), "{}", said.stdout);
}

#[test]
fn the_tables_are_changed_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(folder.path());
    let file = folder.path().join("wishes.csv");
    fs::write(&file, "subject,reason,payers\nEncounter/e1,self-pay,\nPatient/p1,wish,sunrise\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let steps: [(&[&str], &str); 8] = [
        (
            &["restriction", "add", "Encounter/e1", "--reason", "self-pay", "--why", "asked"],
            "1 added",
        ),
        (&["restriction", "import", file, "--why", "daily"], "1 added, 1 known already"),
        (&["restriction", "list"], "In all: 2 restrictions."),
        (
            &[
                "restriction",
                "import",
                file,
                "--replace",
                "--as-of",
                "2026-11-22T06:00:00Z",
                "--why",
                "daily",
            ],
            "0 added, 0 known already, 0 removed",
        ),
        (&["restriction", "list"], "Known until 2026-11-22 06:00:00Z."),
        (
            &["restriction", "remove", "Patient/p1", "--why", "withdrawn"],
            "1 removed; the table now has 1 restriction",
        ),
        (
            &["payor", "map", "--identifier", "urn:naic|1", "--partner", "sunrise", "--why", "x"],
            "Mapped: identifier urn:naic|1 to sunrise.",
        ),
        (
            &["payor", "map", "--identifier", "urn:naic|1", "--partner", "sunrise", "--why", "x"],
            "It stood in the map already",
        ),
    ];
    for (at, (words, told)) in steps.into_iter().enumerate() {
        // Half of it is asked of the running house, half done on its store.
        if at == 4 {
            house.serve();
        }
        let said = house.run(words);
        assert_eq!(said.code, 0, "{words:?}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(told), "{words:?}: {}", said.stdout);
    }
    house.stop();
    assert_eq!(house.run(&["ledger", "verify"]).code, 0);
    let lines =
        crate::common::RUNTIME.block_on(store::House::entries(&house.memory(), 1, 1_000)).unwrap();
    let lines: Vec<_> = lines.into_iter().map(|line| line.body).collect();
    let text = lines.join("\n");
    assert_eq!(text.matches("restrictions-changed").count(), 4, "{text}");
    assert_eq!(text.matches("payor-mapped").count(), 1, "{text}");
    for subject in ["Encounter/e1", "Patient/p1", "urn:naic"] {
        assert!(!text.contains(subject), "{subject} is in the ledger");
    }
}

#[test]
fn what_cannot_be_done_is_told_without_what_was_typed() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let file = folder.path().join("wishes.csv");
    fs::write(&file, "subject,reason\nEncounter/SECRET-1 2,x\n").unwrap();
    let file = file.to_str().unwrap();
    let (payors, restrictions) = (house.read("payors.toml"), house.read("restrictions.toml"));
    let table: [(&str, &[&str]); 9] = [
        (
            "a subject that is none",
            &["restriction", "add", "SECRET", "--reason", "x", "--why", "y"],
        ),
        (
            "a partner that is none",
            &[
                "restriction",
                "add",
                "Patient/p",
                "--reason",
                "x",
                "--payer",
                "SECRET",
                "--why",
                "y",
            ],
        ),
        (
            "a reason of two lines",
            &["restriction", "add", "Patient/p", "--reason", "SECRET\nx", "--why", "y"],
        ),
        ("a bad row in a file", &["restriction", "import", file, "--why", "y"]),
        ("a subject without a row", &["restriction", "remove", "Patient/SECRET", "--why", "y"]),
        ("no such payor waits", &["payor", "map", "SECRET", "--partner", "sunrise", "--why", "y"]),
        (
            "a partner without agreement",
            &["payor", "map", "--name", "SECRET", "--partner", "SECRET", "--why", "y"],
        ),
        (
            "a pattern that is none",
            &["payor", "map", "--member-id", "*SECRET", "--partner", "sunrise", "--why", "y"],
        ),
        (
            "a day that is none",
            &[
                "payor",
                "map",
                "--name",
                "SECRET",
                "--from",
                "SECRET",
                "--partner",
                "sunrise",
                "--why",
                "y",
            ],
        ),
    ];
    for (case, words) in table {
        let said = house.run(words);
        let told = said.stdout.clone() + &said.stderr;
        assert_eq!(said.code, 2, "{case}: {told}");
        assert!(!told.contains("SECRET"), "{case}: {told}");
        let (code, json) = house.json(words);
        assert_eq!((code, json["issue"]["code"].as_str()), (2, Some("command-invalid")), "{case}");
        assert!(!json.to_string().contains("SECRET"), "{case}: {json}");
    }
    assert_eq!(
        (house.read("payors.toml"), house.read("restrictions.toml")),
        (payors, restrictions)
    );
    let payer = House::payer(&folder.path().join("plan"), &plan());
    assert_eq!(payer.run(&["payor", "list"]).code, 2, "a receiving house has no such table");
    assert_eq!(payer.run(&["restriction", "list"]).code, 2);
}

fn plan() -> sim::town::Plan {
    sim::Town::generate(2, &sim::TownPlan::default()).plans.remove(0)
}

#[test]
fn an_age_that_was_agreed_is_kept_and_one_that_makes_no_sense_refused() {
    let folder = tempfile::tempdir().unwrap();
    let house = house(folder.path());
    let section = |lines: &str| {
        house.replace("house.toml", "\nrestrictions = \"restrictions.toml\"", "");
        let text = house.read("house.toml");
        house.write("house.toml", &format!("{text}\n[restrictions]\n{lines}\n"));
    };
    let before = house.read("house.toml");
    for (lines, told) in [
        ("max_age_hour = 26", "did you mean `max_age_hours`?"),
        ("feed = \"in\"", "needs `max_age_hours`"),
        ("max_age_hours = 0", "1 to 8784"),
    ] {
        section(lines);
        let said = house.run(&["list"]);
        assert_eq!(said.code, 2, "{lines}");
        assert!(said.stderr.contains(told), "{lines}: {}", said.stderr);
        house.write("house.toml", &before);
    }
    section("feed = \"feeds\"\nmax_age_hours = 26");
    let said = house.run(&["restriction", "list"]);
    assert_eq!(said.code, 1, "a person has work: {}", said.stdout);
    assert!(said.stdout.contains("restrictions-stale: "), "{}", said.stdout);
    let (_, checked) = house.json(&["check"]);
    let lines = checked["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["what"] == "restrictions").unwrap();
    assert_eq!(line["issue"]["code"], "restrictions-stale");
    fs::create_dir(house.folder.join("feeds")).unwrap();
    house.write("feeds/today.csv", "subject,reason\n");
    assert_eq!(house.run(&["restriction", "list"]).code, 0, "it came just now");
}

#[test]
fn an_import_that_is_killed_leaves_the_old_table_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut house = house(folder.path());
    let file = folder.path().join("wishes.csv");
    let rows: String = (0..5_000).map(|n| format!("Encounter/e{n},self-pay\n")).collect();
    fs::write(&file, format!("subject,reason\n{rows}")).unwrap();
    let (file, place) = (file.to_str().unwrap().to_owned(), house.folder.clone());
    let place = place.to_str().unwrap();
    let import = ["--house", place, "restriction", "import", &file, "--replace", "--why", "daily"];
    let old = house.read("restrictions.toml");
    for (point, changed) in [("listed", false), ("tabled", true)] {
        house.write("restrictions.toml", &old);
        house.serve_with(&[("HANDOVER_HALT_AFTER", point)]);
        thread::scope(|scope| {
            let asked = scope.spawn(|| run(&import, &[]));
            house.process().wait_halted();
            house.kill();
            assert_eq!(asked.join().unwrap().code, 2, "{point}: nobody was told that it is done");
        });
        let table = house.read("restrictions.toml");
        assert_eq!(table != old, changed, "{point}");
        let said = house.run(&["restriction", "list"]);
        let rows = if changed { "In all: 5000 restrictions." } else { "In all: 0 restrictions." };
        assert!(said.stdout.ends_with(&format!("{rows}\n")), "{point}: {}", said.stderr);
        let again = house.run(&import[2..]);
        assert!(again.stdout.contains("5000 restrictions"), "{point}: {}", again.stderr);
        assert_eq!(house.run(&["ledger", "verify"]).code, 0, "{point}");
    }
}
