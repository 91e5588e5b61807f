//! Findings: what is not usable, who can mend it, where.
//!
//! Comes in   the findings of a push, as explain, show and the acknowledgement carry them.
//! Goes out   three lines for each: what, who, where.
//! Never      more places than fit a line: `--json` has those that were kept.

use super::{put_issue, put_sentence};
use exchange::Finding;
use exchange::desk::{Explained, IssueWords};
use exchange::usability::FindingCode;
use std::fmt::Write as _;

/// Findings under a heading; nothing where there are none.
pub(super) fn put_findings(text: &mut String, indent: usize, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let pad = " ".repeat(indent);
    let _ = writeln!(text, "{pad}not usable for this purpose, and who can mend it:");
    for finding in findings {
        let [what, who, places] = finding.lines();
        put_sentence(text, indent + 2, "", &what);
        put_sentence(text, indent + 4, "", &who);
        put_sentence(text, indent + 4, "", &places);
    }
}

/// The same for what would be sent, and why it would wait.
pub(super) fn put_explained_findings(text: &mut String, payer: &Explained) {
    put_findings(text, 2, &payer.findings);
    if !payer.waits.is_empty() {
        let _ = writeln!(text, "  it would wait before it is sent:");
        payer.waits.iter().for_each(|words: &IssueWords| put_issue(text, 2, words));
    }
}

/// For the page: one sentence each.
pub fn sentences(findings: &[Finding]) -> Vec<String> {
    let sentence = |finding: &Finding| {
        let what = FindingCode::title(finding.word);
        let why = finding.cut_by.as_ref().map(|rule| format!(" (kept here by rule {rule})"));
        format!("{} × {what}{} — {}", finding.count, why.unwrap_or_default(), finding.actor)
    };
    findings.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: whoever asks before sending sees what a plan could not use, and whether it would wait.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::{DONE, WAITS, exit_code, reply};
    use exchange::desk::Reply;
    use exchange::usability::holding;
    use exchange::{Issue, Purpose};

    fn finding() -> Finding {
        serde_json::from_value(serde_json::json!({
            "word": "result-unit-missing", "actor": "laboratory", "step": "give the unit",
            "purposes": ["HPAYMT"], "count": 300,
            "places": [{ "record": "Observation/o1", "expression": "Observation.value" }],
        }))
        .unwrap()
    }

    fn explained(waits: &[Issue]) -> Reply {
        let payer = Explained {
            payer: "sunrise".into(),
            door: Ok(exchange::desk::Door {
                agreed: None,
                endpoint: None,
                base_url: "https://plan.example".into(),
                version: "4.0".into(),
                form: "transaction".into(),
                mode: "sync".into(),
                ladder: Vec::new(),
            }),
            purpose: Purpose::Payment,
            decisions: vec![],
            unchanged: None,
            findings: vec![finding()],
            waits: waits.iter().map(IssueWords::from).collect(),
            nothing: None,
            taken_back: Vec::new(),
        };
        Reply::Explained { payers: vec![payer], issues: vec![], coverages: vec![] }
    }

    #[test]
    fn what_would_be_taken_back_is_told_by_its_name_in_the_chart() {
        let mut told = explained(&[]);
        let Reply::Explained { payers, .. } = &mut told else { return };
        let gone = Issue::new(exchange::Code::AllWithheld, "the encounter was cancelled");
        payers[0].nothing = Some(IssueWords::from(&gone));
        let back = |source: Option<&str>, record: &str| exchange::desk::TakenBack {
            source: source.map(str::to_owned),
            record: record.to_owned(),
        };
        payers[0].taken_back = vec![back(Some("Encounter/e1"), "Encounter/a7"), back(None, "X/b")];
        let text = reply(&told);
        assert!(text.contains("nothing of it may travel:\n  all-withheld: "), "{text}");
        let words = "  2 records would be taken back there:\n    Encounter/e1\n    X/b\n";
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn findings_are_told_and_hold_only_where_agreed() {
        let told = explained(&[]);
        let text = reply(&told);
        let words = "  not usable for this purpose, and who can mend it:\n    \
                     result-unit-missing, 300 times: a result's number has no unit\n      \
                     the laboratory: give the unit\n      \
                     Observation/o1 at Observation.value, 299 more\n";
        assert!(text.contains(words), "{text}");
        assert_eq!(exit_code(&told), DONE);
        let waits = explained(&holding(&[finding()], &[FindingCode::ResultUnitMissing]));
        let text = reply(&waits);
        assert!(text.contains("it would wait before it is sent:\n  not-usable:"));
        assert_eq!(exit_code(&waits), WAITS);
    }

    #[test]
    fn the_page_has_one_sentence_for_each() {
        let told = sentences(&[finding()]);
        assert_eq!(told, ["300 × a result's number has no unit — the laboratory"]);
    }
}
