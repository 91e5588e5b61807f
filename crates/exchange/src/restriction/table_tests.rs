//! Goal: a table says afterwards what it said before and what was asked, or it is not changed.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::restriction::feed;
use crate::scope::PayorKey;
use fhir::Resource;

const TABLE: &str = "# Kept by the privacy office.\n\n[[restriction]]\nsubject = \"Encounter/e1\" # by phone\nreason = \"self-pay\"\n\n# The second one.\n[[restriction]]\nsubject = \"Patient/p9\"\nreason = \"patient's wish\"\npayers = [\"blue\"]\n";

fn partners() -> Vec<PartnerId> {
    vec!["blue".into(), "green".into()]
}

fn row(subject: &str, reason: &str) -> Restriction {
    let (payers, except_purposes) = (Vec::new(), Vec::new());
    Restriction { subject: subject.into(), reason: reason.into(), payers, except_purposes }
}

fn subjects(text: &str) -> Vec<String> {
    let (_, rows) = Restrictions::rows(text, "t.toml", &partners()).unwrap();
    rows.into_iter().map(|row| row.subject).collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn rows_are_added_once_and_what_people_wrote_stays() {
    let names = partners();
    let table = Table { text: TABLE, file_name: "t.toml", partners: &names };
    let mut odd = row("Observation/o1", "words with \"quotes\" and \\");
    odd.payers = names.clone();
    odd.except_purposes = vec![Purpose::Treatment];
    let rows =
        [row("Encounter/e1", "self-pay"), odd.clone(), odd.clone(), row("Encounter/e1", "consent")];
    let changed = table.add(&rows, None).unwrap();
    assert_eq!((changed.added, changed.duplicates, changed.removed, changed.rows), (2, 2, 0, 4));
    assert!(changed.text.starts_with(TABLE), "{}", changed.text);
    let (as_of, read) = Restrictions::rows(&changed.text, "t.toml", &names).unwrap();
    assert_eq!((as_of, &read[2]), (None, &odd));
    let again = Table { text: &changed.text, ..table }.add(&rows, None).unwrap();
    assert_eq!((again.added, again.duplicates, again.text), (0, 4, changed.text));
}

#[test]
fn a_table_is_dated_at_its_head() {
    let names = partners();
    let noon = at("2026-11-22T12:00:00Z");
    for text in [
        "",
        TABLE,
        "as_of = 2020-01-01T00:00:00Z\n",
        "# as_of = 1\n\n  as_of = '2020-01-01T00:00:00+02:00'\n[[restriction]]\nsubject = 'Patient/p'\nreason = 'as_of'\n",
    ] {
        let table = Table { text, file_name: "t.toml", partners: &names };
        let changed = table.add(&[row("Encounter/e7", "self-pay")], Some(noon)).unwrap();
        let read = Restrictions::parse(&changed.text, "t.toml", &names).unwrap();
        assert_eq!(read.as_of(), Some(noon), "{}", changed.text);
        assert_eq!(subjects(&changed.text).len(), subjects(text).len() + 1);
        let kept = Table { text: &changed.text, ..table }.add(&[row("Encounter/e8", "x")], None);
        let kept = Restrictions::parse(&kept.unwrap().text, "t.toml", &names).unwrap();
        assert_eq!(kept.as_of(), Some(noon), "a row by hand does not make a table fresh");
    }
}

#[test]
fn a_subject_is_removed_with_all_its_rows_and_nothing_else() {
    let names = partners();
    let table = Table { text: TABLE, file_name: "t.toml", partners: &names };
    let changed = table.remove("Encounter/e1", None).unwrap();
    assert_eq!((changed.removed, changed.rows), (1, 1));
    assert_eq!(subjects(&changed.text), ["Patient/p9"]);
    assert!(changed.text.contains("# Kept by") && changed.text.contains("# The second one."));
    for (subject, reason) in [("Encounter/e2", None), ("Encounter/e1", Some("consent"))] {
        let issue = table.remove(subject, reason).unwrap_err();
        assert_eq!(issue.code, Code::CommandInvalid);
        assert!(!issue.to_string().contains(subject), "{issue}");
    }
    assert_eq!(table.remove("Patient/p9", Some("patient's wish")).unwrap().removed, 1);
}

#[test]
fn a_file_that_is_all_there_is_takes_the_place_of_the_table() {
    let names = partners();
    let table = Table { text: TABLE, file_name: "t.toml", partners: &names };
    let rows = [row("Encounter/e1", "self-pay"), row("Encounter/e5", "consent")];
    let changed = table.replace(&rows, Some(at("2026-11-22T12:00:00Z")), false).unwrap();
    assert_eq!((changed.added, changed.removed, changed.rows), (1, 1, 2));
    assert_eq!(subjects(&changed.text), ["Encounter/e1", "Encounter/e5"]);
    let none = table.replace(&[], None, true).unwrap();
    assert_eq!((none.removed, none.rows), (2, 0));
}

/// A nightly export that broke off must not open what the table keeps back.
#[test]
fn a_file_that_lacks_most_of_the_table_replaces_it_only_where_that_is_meant() {
    let names = partners();
    let rows: Vec<_> = (0..20).map(|n| row(&format!("Encounter/e{n}"), "self-pay")).collect();
    let empty = Table { text: "", file_name: "t.toml", partners: &names };
    let table_of = |count: usize| empty.replace(&rows[..count], None, false).unwrap().text;
    for (before, after, fits) in [
        (0, 0, true),
        (4, 0, false),
        (1, 0, false),
        (2, 1, true),
        (3, 1, false),
        (3, 2, true),
        (4, 1, false),
        (4, 2, true),
        (6, 1, false),
        (20, 0, false),
        (20, 9, false),
        (20, 10, true),
        (20, 20, true),
    ] {
        let text = table_of(before);
        let table = Table { text: &text, ..empty };
        let case = format!("{after} of {before} are left");
        match table.replace(&rows[..after], None, false) {
            Ok(changed) => assert!(fits && changed.rows == after as u64, "{case}"),
            Err(issue) => {
                assert!(!fits && issue.code == Code::CommandInvalid, "{case}: {issue}");
                let lacks = format!("lacks {} of the table's {before}", before - after);
                assert!(issue.detail.contains(&lacks), "{case}: {issue}");
            }
        }
        let meant = table.replace(&rows[..after], None, true).unwrap();
        assert_eq!(meant.rows, after as u64, "{case}, and that is meant");
    }
}

/// What counts is what is kept back, from whom and for what.
#[test]
fn only_what_would_travel_counts_as_lacking() {
    let names = [PartnerId::from("sunrise"), PartnerId::from("sunset")];
    let rows = |count: usize, payers: &[&str], except: &[Purpose], reason: &str| -> Vec<_> {
        let one = |n| Restriction {
            payers: payers.iter().map(|name| PartnerId::from(*name)).collect(),
            except_purposes: except.to_vec(),
            ..row(&format!("Encounter/e{n}"), reason)
        };
        (0..count).map(one).collect()
    };
    let (pays, treats) = (Purpose::Payment, Purpose::Treatment);
    let both = rows(10, &["sunrise", "sunset"], &[pays, treats], "self-pay");
    let parted =
        [rows(10, &["sunrise"], &[pays], "a"), rows(10, &["sunset"], &[treats], "b")].concat();
    let twice = [&both[..], &rows(10, &["sunrise", "sunset"], &[pays, treats], "wish")].concat();
    let table = [
        ("another reason", &both, rows(10, &["sunrise", "sunset"], &[pays, treats], "x"), None),
        (
            "another order",
            &both,
            rows(10, &["sunset", "sunrise"], &[treats, pays], "self-pay"),
            None,
        ),
        ("against all payers", &both, rows(10, &[], &[pays, treats], "x"), None),
        ("for more purposes", &both, rows(10, &["sunrise", "sunset"], &[], "x"), None),
        ("a row for each payer", &both, parted, None),
        ("one of two reasons", &twice, both.clone(), None),
        (
            "against one payer of two",
            &both,
            rows(10, &["sunset"], &[], "x"),
            Some("10 of the table's 10"),
        ),
        (
            "for fewer purposes",
            &rows(4, &[], &[], "x"),
            rows(4, &[], &[treats], "x"),
            Some("4 of the table's 4"),
        ),
        (
            "all payers by name",
            &rows(4, &[], &[], "x"),
            rows(4, &["sunrise", "sunset"], &[], "x"),
            Some("4 of the table's 4"),
        ),
        ("others", &twice, rows(2, &[], &[], "x"), Some("8 of the table's 10")),
    ];
    for (case, before, after, lacks) in table {
        let empty = Table { text: "", file_name: "t.toml", partners: &names };
        let text = empty.replace(before, None, false).unwrap().text;
        let changed = Table { text: &text, ..empty }.replace(&after, None, false);
        match (changed, lacks) {
            (Ok(changed), None) => assert_eq!(changed.rows, after.len() as u64, "{case}"),
            (Err(issue), Some(lacks)) => assert!(issue.detail.contains(lacks), "{case}: {issue}"),
            (other, _) => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn a_table_in_another_form_is_left_to_people() {
    let names = partners();
    let inline = "restriction = [{ subject = \"Encounter/e1\", reason = \"x\" }]\n";
    let strange = "[[restriction]]\nsubject = \"Encounter/e1\"\nreason = \"\"\"\\\n   x\"\"\"\n[[ restriction ]]\nsubject = \"Encounter/e2\"\nreason = \"y\"\n";
    let table = Table { text: inline, file_name: "t.toml", partners: &names };
    assert_eq!(
        table.add(&[row("Encounter/e2", "y")], None).unwrap_err().code,
        Code::CommandInvalid
    );
    assert_eq!(table.remove("Encounter/e1", None).unwrap_err().code, Code::CommandInvalid);
    let table = Table { text: strange, ..table };
    assert_eq!(subjects(&table.remove("Encounter/e1", None).unwrap().text), ["Encounter/e2"]);
    let broken = Table { text: "[[restriction]]\n", ..table };
    let issue = broken.add(&[row("Encounter/e2", "y")], None).unwrap_err();
    assert_eq!(issue.code, Code::RestrictionsUnreadable, "what does not read is not added to");
}

#[test]
fn a_row_that_cannot_stand_changes_nothing() {
    let names = partners();
    let table = Table { text: TABLE, file_name: "t.toml", partners: &names };
    let mut stranger = row("Encounter/e2", "x");
    stranger.payers = vec!["SECRET".into()];
    for bad in
        [row("SECRET", "x"), row("Encounter/e2", " "), row("Encounter/e2", "SECRET\nx"), stranger]
    {
        for changed in [
            table.add(&[row("Encounter/e3", "x"), bad.clone()], None),
            table.replace(&[bad], None, true),
        ] {
            let issue = changed.unwrap_err();
            assert_eq!(issue.code, Code::CommandInvalid);
            assert!(!issue.to_string().contains("SECRET"), "{issue}");
        }
    }
}

#[test]
fn a_file_is_read_whole_or_not_at_all() {
    let good = "\u{feff}subject,reason,payers,except_purposes\r\nEncounter/e1,self-pay,,\r\n\r\nPatient/p1,\"wish, told twice\",blue green,TREAT HQUALIMP\r\n";
    let (as_of, rows) = import(good, "feed.csv", &partners()).unwrap();
    assert_eq!((as_of, rows.len()), (None, 2));
    assert_eq!(rows[1].reason, "wish, told twice");
    assert_eq!(rows[1].payers, partners());
    assert_eq!(rows[1].except_purposes, [Purpose::Treatment, Purpose::Quality]);
    assert_eq!(
        import("subject,reason\nPatient/p1,x\n", "feed.csv", &partners()).unwrap().1.len(),
        1
    );
    let toml = format!("as_of = 2026-11-22T12:00:00Z\n{TABLE}");
    let (as_of, rows) = import(&toml, "feed.TOML", &partners()).unwrap();
    assert_eq!((as_of.is_some(), rows.len()), (true, 2));
    #[rustfmt::skip]
    let table = [
        ("no header", "Encounter/SECRET,self-pay\n", "line 1: the header"),
        ("another order", "reason,subject\n", "line 1: the header"),
        ("a column more", "subject,reason,payers,except_purposes,SECRET\n", "line 1: the header"),
        ("a field too few", "subject,reason\nEncounter/e1,x\nEncounter/SECRET\n", "line 3: 2 fields"),
        ("a quote left open", "subject,reason\nEncounter/e1,\"SECRET\n", "line 2: a quote"),
        ("no such type", "subject,reason\nEncouter/SECRET,x\n", "did you mean `Encounter`?"),
        ("an empty reason", "subject,reason\nEncounter/e1,\n", "line 2: `reason`"),
        ("an unknown partner", "subject,reason,payers\nEncounter/e1,x,SECRET\n", "line 2: `payers`"),
        ("an unknown purpose", "subject,reason,payers,except_purposes\nEncounter/e1,x,,SECRET\n", "line 2: `except_purposes`"),
    ];
    for (case, text, words) in table {
        let issue = import(text, "feed.csv", &partners()).unwrap_err();
        assert_eq!(issue.code, Code::CommandInvalid, "{case}");
        assert!(issue.detail.contains(words), "{case}: {}", issue.detail);
        assert!(!issue.to_string().contains("SECRET"), "{case}: {issue}");
    }
    let issue = import("[[restriction]]\nsubject = 7\n", "feed.toml", &partners()).unwrap_err();
    assert_eq!(issue.code, Code::CommandInvalid);
}

/// Provokes `Code::RestrictionsStale`.
#[test]
fn a_table_is_as_fresh_as_agreed_or_holds_everything() {
    let now = at("2026-11-22T12:00:00Z");
    #[rustfmt::skip]
    let table = [
        ("now", Some("2026-11-22T12:00:00Z"), true),
        ("just in time", Some("2026-11-21T10:00:00Z"), true),
        ("a second late", Some("2026-11-21T09:59:59Z"), false),
        ("a clock that is ahead", Some("2026-11-22T12:59:00Z"), true),
        ("a time to come", Some("2026-11-22T13:00:01Z"), false),
        ("no date at all", None, false),
    ];
    for (case, as_of, fresh) in table {
        let checked = feed::check(as_of.map(at), 26, now);
        assert_eq!(checked.is_ok(), fresh, "{case}");
        assert!(checked.err().is_none_or(|issue| issue.code == Code::RestrictionsStale), "{case}");
    }
}

#[test]
fn a_purpose_may_be_excepted() {
    let text = format!("{TABLE}except_purposes = [\"TREAT\"]\n");
    let read = || Restrictions::parse(&text, "t.toml", &partners()).unwrap();
    let patient = Resource::parse(r#"{"resourceType":"Patient","id":"p9"}"#.to_owned()).unwrap();
    let covers =
        |purpose: Purpose| read().for_purpose(purpose).covers(&patient, &"blue".into()).is_some();
    assert!(covers(Purpose::Payment) && !covers(Purpose::Treatment));
    assert_eq!(read().for_purpose(Purpose::Treatment).len(), 1, "the other row holds as before");
}

#[test]
fn what_is_written_down_of_a_trigger_reads_as_before() {
    let old = r#"{"id":"t","subject":"Encounter/e","purpose":null,"who":{"name":"n","role":"r","why":"w"},"at":"2026-11-22T12:00:00Z","walks":[],"attempt":0,"due":null,"issues":[]}"#;
    let read: crate::Trigger = serde_json::from_str(old).unwrap();
    let written = serde_json::to_string(&read).unwrap();
    assert!(!written.contains("payors") && !written.contains("left_alone"), "{written}");
    let payors = vec![PayorKey("0123456789ab".into())];
    let more = crate::Trigger { payors: payors.clone(), left_alone: 2, ..read };
    let again: crate::Trigger =
        serde_json::from_str(&serde_json::to_string(&more).unwrap()).unwrap();
    assert_eq!((again.payors, again.left_alone), (payors, 2));
}
