//! What a probe found, on a terminal.
//!
//! Comes in   the findings of one probe.
//! Goes out   a line for each step, and under what failed who acts and what is next.
//! Never      more words of the partner than the report has.

use super::{columns, put_issue};
use exchange::probe::{Probe, Verdict};
use std::fmt::Write;

/// The whole of it.
pub(super) fn probe(it: &Probe) -> String {
    let mut text = format!("{} at {}\n\n", it.partner, it.base_url);
    let rows: Vec<Vec<String>> = it
        .findings
        .iter()
        .map(|finding| {
            let mark = match finding.verdict {
                Verdict::Fail => "FAIL".to_owned(),
                verdict => verdict.to_string(),
            };
            // What is wrong stands below, at its whole length.
            let found = if finding.issue.is_some() { String::new() } else { finding.found.clone() };
            vec![mark, finding.step.title().to_owned(), found]
        })
        .collect();
    for (finding, line) in it.findings.iter().zip(columns(0, &rows)) {
        let _ = writeln!(text, "{line}");
        if let Some(words) = &finding.issue {
            put_issue(&mut text, 7, words);
        }
    }
    let _ = match it.count(Verdict::Fail) {
        0 => {
            writeln!(text, "\nNothing was found that would stop a push. No patient data was sent.")
        }
        1 => writeln!(text, "\n1 fault. No patient data was sent."),
        many => writeln!(text, "\n{many} faults. No patient data was sent."),
    };
    text
}
