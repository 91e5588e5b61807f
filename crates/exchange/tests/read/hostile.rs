//! Goal: what a sender can write in one body, however it is made, costs no more to read than its
//! length, and is answered in few words.
//!
//! How: bodies so long that work which grows with their square would never end here.

use super::*;
use exchange::limits::{FAULTS_PER_ENTRY_MAX, REFERENCES_MAX};

/// References of one entry: all that are taken.
const MANY: usize = REFERENCES_MAX;

/// Texts made of each number, in a row with commas.
fn row(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

fn account(references: &str, more: &str) -> String {
    format!(
        r#"{{{more}"resource":{{"resourceType":"Account","id":"a","subject":[{references}]}},"request":{{"method":"PUT","url":"Account/a"}}}}"#
    )
}

fn reference(text: &str) -> String {
    format!(r#"{{"reference":"{text}"}}"#)
}

#[test]
fn bad_references_without_number_are_told_by_the_first_of_them() {
    let deleted = r#"{"request":{"method":"DELETE","url":"Device/d"}}"#;
    for text in ["y", "urn:uuid:1", "Sufferer?a=b", "Device/d", "https://x.example/Patient/1"] {
        let bad = row(MANY, |_| reference(text));
        let text = transaction(&format!("{PATIENT},{deleted},{}", account(&bad, "")));
        let issues = try_read(&text, &stranger()).unwrap_err();
        let places: Vec<_> = issues.iter().filter_map(|one| one.expression.as_deref()).collect();
        let first = |at| format!("Bundle.entry[2].resource.subject[{at}].reference");
        assert_eq!(places, (0..FAULTS_PER_ENTRY_MAX).map(first).collect::<Vec<_>>());
    }
}

#[test]
fn every_one_of_many_subjects_is_found() {
    let subjects = row(MANY, |_| reference("Patient/p"));
    let text = transaction(&format!("{PATIENT},{}", account(&subjects, "")));
    let incoming = try_read(&text, &stranger()).unwrap();
    assert!(incoming.entries[1].subjects.iter().copied().eq(0..MANY));
}

#[test]
fn what_stands_within_and_before_a_resource_is_looked_at_once() {
    let within = row(MANY, |n| format!(r#"{{"resourceType":"Device","id":"d{n}"}}"#));
    let subjects = row(MANY, |_| reference("#none"));
    let entry = account(&subjects, "").replacen(
        r#""id":"a","#,
        &format!(r#""id":"a","contained":[{within}],"#),
        1,
    );
    assert!(try_read(&transaction(&format!("{PATIENT},{entry}")), &stranger()).is_ok());

    let before = row(MANY, |n| format!(r#""m{n}":0"#));
    let subjects = row(MANY, |_| reference("Patient/p"));
    let entry = account(&subjects, &format!("{before},"));
    assert!(try_read(&transaction(&format!("{PATIENT},{entry}")), &stranger()).is_ok());
}

#[test]
fn a_bundle_has_a_limited_number_of_references() {
    // One of the Bundle's is the Observation's: it is told where there are too many.
    let subjects = |count| row(count, |_| reference("Patient/p"));
    for form in ["transaction", "batch"] {
        let read = |count| {
            let entries = format!("{PATIENT},{OBSERVATION},{}", account(&subjects(count), ""));
            try_read(&transaction(&entries).replace("transaction", form), &stranger())
        };
        assert!(read(MANY - 1).is_ok());
        let issues = read(MANY).unwrap_err();
        assert_eq!((issues.len(), issues[0].code), (1, Code::BodyTooLarge));
        assert_eq!(issues[0].expression.as_deref(), Some("Bundle.entry[2]"));
    }
}

#[test]
fn each_faulty_entry_of_a_batch_is_told_and_all_of_them_in_bounds() {
    let bad = row(2 * FAULTS_PER_ENTRY_MAX, |_| reference("y"));
    let entry = |n: usize| account(&bad, "").replace("Account/a", &format!("Account/{n}"));
    let entry = |n: usize| entry(n).replace(r#""id":"a""#, &format!(r#""id":"{n}""#));
    let text = transaction(&row(ENTRIES_MAX, entry)).replace("transaction", "batch");
    let refused = try_read(&text, &stranger()).unwrap().refused;
    let told: Vec<_> = refused.iter().map(|one| one.issues.iter().count()).collect();
    assert_eq!(told.len(), ENTRIES_MAX, "each");
    assert_eq!(told[0], FAULTS_PER_ENTRY_MAX, "the first with its first faults");
    assert!(told.iter().all(|count| *count > 0));
    assert!(told.iter().sum::<usize>() <= ENTRIES_MAX + FAULTS_MAX);
}
