//! Records changed behind the plan's back: the ledger says what was filed, and `ledger verify`
//! compares.

use crate::common::{House, RUNTIME, Stage, who};
use exchange::Digest;
use exchange::desk::Command;
use rusqlite::{Connection, params};
use sim::TownPlan;
use std::fs;
use std::path::Path;
use store::House as _;

/// A plan that has filed, filed again, filed nothing new, and taken records back.
fn lived() -> Stage {
    let plan = TownPlan {
        hospitals: 1,
        plans: 1,
        patients_per_hospital: 5,
        encounters_per_patient: 2..=2,
    };
    let (mut stage, _) = Stage::of_town(5, &plan);
    stage.serve();
    let mut settled = Vec::new();
    for encounter in stage.finished() {
        let row = stage.provider.push(&encounter).remove(0);
        settled.extend((row.state == "settled").then_some(row.id));
    }
    let last = settled.pop().unwrap();
    assert!(!settled.is_empty());
    let command = Command::Withdraw { id: last, who: who("the wrong plan"), wait: 30 };
    stage.provider.ask(&command).unwrap();
    stage.stop();
    stage
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn run(db: &Connection, sql: &str) {
    assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
}

const ONE: &str = "rowid = (SELECT min(rowid) FROM versions WHERE deleted = 0)";

/// A case, what is done, and a word of the finding.
type Forgery = (&'static str, fn(&Connection), &'static str);

#[test]
fn whatever_is_done_to_a_filed_record_verify_names_its_line() {
    let stage = lived();
    let payer: &House = &stage.payers[0];
    let dump = RUNTIME.block_on(payer.memory().dump(None, 999_999)).unwrap();
    assert!(dump.iter().any(|one| one.deleted) && dump.iter().any(|one| one.version > 1));
    for house in [payer, &stage.provider] {
        let said = house.run(&["ledger", "verify"]);
        assert_eq!(said.code, 0, "{}", said.stdout);
    }
    let table: [Forgery; 13] = [
        (
            "content changed",
            |db| run(db, &format!("UPDATE versions SET content = x'7b7d' WHERE {ONE}")),
            "cannot be read",
        ),
        (
            "content changed with its digest",
            |db| {
                let update =
                    format!("UPDATE versions SET content = x'7b7d', digest = ?1 WHERE {ONE}");
                assert_eq!(db.execute(&update, params![Digest::of(b"{}").0]).unwrap(), 1);
            },
            "are not those it filed",
        ),
        (
            "content removed",
            |db| run(db, &format!("UPDATE versions SET content = NULL WHERE {ONE}")),
            "has no content",
        ),
        (
            "said to be deleted",
            |db| run(db, &format!("UPDATE versions SET deleted = 1 WHERE {ONE}")),
            "does not have its content",
        ),
        (
            "said to be purged",
            |db| {
                run(db, &format!("UPDATE versions SET purged = 1, content = NULL WHERE {ONE}"));
            },
            "was purged, and no line says so",
        ),
        (
            "given to another owner",
            |db| run(db, &format!("UPDATE versions SET owner = 'other' WHERE {ONE}")),
            "are not those it filed",
        ),
        (
            "a version removed",
            |db| run(db, &format!("DELETE FROM versions WHERE {ONE}")),
            "missing",
        ),
        (
            "an older version shown",
            |db| run(db, "UPDATE records SET newest = 1 WHERE newest = 2"),
            "hidden by an older version",
        ),
        (
            "a version put on top",
            |db| {
                run(
                    db,
                    &format!(
                        "INSERT INTO versions (house, record, version, updated, owner, receipt, lane,
                            number, digest, deleted, file, content, packed)
                        SELECT house, record, 1 + (SELECT max(version) FROM versions), updated,
                            owner, receipt, lane, number, digest, deleted, file, content, packed
                        FROM versions WHERE {ONE}"
                    ),
                );
            },
            "filed by no line",
        ),
        (
            "a submission in another state",
            |db| run(db, "UPDATE works SET state = 'refused' WHERE work = 1"),
            "not in the state",
        ),
        ("a submission's row removed", |db| run(db, "DELETE FROM works WHERE work = 1"), "missing"),
        ("answers removed", |db| run(db, "DELETE FROM blobs"), "is gone"),
        (
            "answers changed",
            |db| run(db, "UPDATE blobs SET content = x'7b7d' WHERE content IS NOT NULL"),
            "the answer it was given",
        ),
    ];
    for (number, (case, forge, word)) in table.into_iter().enumerate() {
        let to = stage.folder.path().join(format!("forged-{number}"));
        copy(&payer.folder, &to);
        let db = Connection::open(to.join("store/house.sqlite")).unwrap();
        forge(&db);
        drop(db);
        let said = payer.run_anywhere(&["--house", to.to_str().unwrap(), "ledger", "verify"]);
        assert_eq!(said.code, 2, "{case}: {}{}", said.stdout, said.stderr);
        let text = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(word) && text.contains("first bad entry"), "{case}: {text}");
    }
}
