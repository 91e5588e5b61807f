//! What was said of an issue, and whether it is what the catalogue says.

use crate::common::{House, Said};
use exchange::{Code, Issue};
use serde_json::Value;

/// Runs the command as text and as JSON; both must say this code in the same words, and that it
/// could not be done.
pub(crate) fn refused(case: &str, house: &House, words: &[&str], code: Code) -> Issue {
    let text = house.run(words);
    assert_eq!((text.code, text.stdout.as_str()), (2, ""), "{case}: {}", text.stderr);
    let (exit, json) = house.json(words);
    assert_eq!(exit, 2, "{case}: {json}");
    let issue = of_json(case, &json["issue"], code);
    assert_eq!(flat(&text), one_line(&issue.to_string()), "{case}");
    issue
}

/// The issue in a JSON answer, checked against the catalogue.
pub(crate) fn of_json(case: &str, told: &Value, code: Code) -> Issue {
    let row = code.row();
    let words = ["code", "who_acts", "next"].map(|name| told[name].as_str().unwrap_or_default());
    assert_eq!(words, [row.slug, &row.actor.to_string(), row.next], "{case}: {told}");
    serde_json::from_value(told.clone()).unwrap()
}

/// The issue of an OperationOutcome, checked against the catalogue.
pub(crate) fn of_outcome(case: &str, outcome: &Value, code: Code) -> Issue {
    let row = code.row();
    let told = &outcome["issue"][0];
    assert_eq!(told["details"]["coding"][0]["code"], row.slug, "{case}: {outcome}");
    let mut issue = Issue::new(code, told["details"]["text"].as_str().unwrap());
    issue.expression = told["expression"][0].as_str().map(str::to_owned);
    assert_eq!(*told, issue.to_json(), "{case}");
    issue
}

/// The text on stderr without the log's lines and the breaks between words.
fn flat(said: &Said) -> String {
    one_line(&said.stderr)
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
