//! Goal: people see what waits first and how it goes on, and scripts see it in the exit code.

#![allow(clippy::unwrap_used)]
use super::*;
use exchange::Code;

fn row(id: &str, state: &str, code: Option<Code>) -> Row {
    let issue = code.map(|code| IssueWords::from(&Issue::new(code, "the case at hand")));
    Row {
        id: id.into(),
        kind: "push".into(),
        label: None,
        partner: Some("sunrise".into()),
        subject: Some("Encounter/e1".into()),
        mode: Some("sync".into()),
        state: state.into(),
        level: (state == "settled").then(|| "filed".into()),
        next_at: None,
        resources: 3,
        withheld: vec![Withholding { rule: "self-pay".into(), resources: 1, elements: 2 }],
        issues: issue.into_iter().collect(),
        withdrawn_by: None,
        withdraws: None,
        stands_on: None,
        changed: "2026-01-03T10:00:00Z".parse().unwrap(),
    }
}

fn pushed_reply(rows: Vec<Row>) -> Reply {
    Reply::Pushed { trigger: Some("t1".into()), rows, issues: vec![], left_alone: 0 }
}

#[test]
fn the_exit_code_says_whether_a_person_has_work() {
    let table = [
        ("settled", pushed_reply(vec![row("a", "settled", None)]), DONE),
        ("held", pushed_reply(vec![row("a", "held", Some(Code::PayerRefused))]), WAITS),
        ("refused", pushed_reply(vec![row("a", "refused", Some(Code::PayerRefused))]), WAITS),
        ("due", pushed_reply(vec![row("a", "due", Some(Code::PayerUnreachable))]), DONE),
        ("withheld", pushed_reply(vec![row("a", "withheld", Some(Code::AllWithheld))]), DONE),
        (
            "a trigger that waits for a person",
            Reply::Pushed {
                trigger: None,
                rows: vec![],
                issues: vec![IssueWords::from(&Issue::new(Code::CoverageMissing, "none"))],
                left_alone: 0,
            },
            WAITS,
        ),
        (
            "a held one somewhere",
            Reply::Listed { rows: vec![], counts: vec![("held".into(), 1)] },
            WAITS,
        ),
        ("none held", Reply::Listed { rows: vec![], counts: vec![("settled".into(), 1)] }, DONE),
        (
            "a broken ledger",
            Reply::Verified {
                proved_to: 0,
                last: 9,
                checkpoints: 1,
                broken: Some((4, "the line was changed".into())),
            },
            COULD_NOT,
        ),
    ];
    for (case, reply, code) in table {
        assert_eq!(exit_code(&reply), code, "{case}");
    }
}

#[test]
fn what_waits_comes_first_with_its_way_forward() {
    let rows = vec![row("later", "settled", None), row("first", "held", Some(Code::PayerRefused))];
    let text = reply(&Reply::Listed { rows, counts: vec![("held".into(), 1)] });
    let place = |word: &str| text.find(word).unwrap();
    assert!(place("first") < place("later"), "{text}");
    assert!(place("who acts: the provider") < place("later"), "{text}");
    assert!(text.contains("stays here: 1 resource and 2 elements by rule self-pay"), "{text}");
}

#[test]
fn a_broken_ledger_names_the_first_bad_entry() {
    let broken = Some((4, "the line was changed".to_owned()));
    let text = reply(&Reply::Verified { proved_to: 0, last: 9, checkpoints: 1, broken });
    assert!(text.contains("first bad entry 4: the line was changed"), "{text}");
    assert!(text.contains("ledger-broken"), "{text}");
}

#[test]
fn what_was_taken_back_and_what_takes_it_back_are_marked() {
    let taken = Row { withdrawn_by: Some("w2".into()), ..row("w1", "settled", None) };
    let takes = Row { withdraws: Some("w1".into()), ..row("w2", "settled", None) };
    let text = reply(&Reply::Listed { rows: vec![taken, takes], counts: vec![] });
    assert!(text.contains("w1  settled, filed; withdrawn "), "{text}");
    assert!(text.contains("w2  settled, filed; takes back w1 "), "{text}");
}

#[test]
fn words_of_a_partner_forge_no_line() {
    let bad = "x\nok  a forged line\u{1b}[1A\u{202e}";
    let mut forged = row(bad, "held", None);
    forged.label = Some(bad.into());
    forged.partner = Some(bad.into());
    forged.subject = Some(bad.repeat(100));
    forged.withdraws = Some(bad.into());
    forged.issues = vec![IssueWords::from(&Issue::new(Code::PayerRefused, bad).at(bad))];
    let line = CheckLine { what: bad.into(), issue: None, found: bad.into() };
    let shown = Shown {
        row: forged.clone(),
        who: None,
        timeline: vec![],
        decisions: vec![],
        findings: vec![],
        acknowledgement: Some(serde_json::json!({
            "resourceType": bad, "entry": [{ "response": { "status": bad } }],
            "issue": [{ "details": { "text": bad } }],
        })),
        page: None,
    };
    let table = [
        ("pushed", pushed_reply(vec![forged.clone()])),
        ("listed", Reply::Listed { rows: vec![forged], counts: vec![(bad.into(), 1)] }),
        ("checked", Reply::Checked { lines: vec![line] }),
        ("shown", Reply::Shown(Box::new(shown))),
    ];
    for (case, made) in table {
        let text = reply(&made);
        let steers = |char: char| char != '\n' && table::steers(char);
        assert!(!text.contains(steers), "{case}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("ok  a")), "{case}: {text}");
        assert!(text.lines().all(|line| line.chars().count() < 2_000), "{case}: overlong");
    }
}
