//! An OperationOutcome from a partner: whatever can be understood of it.
//!
//! Comes in   the body of an answer, or the outcome of an entry.
//! Goes out   a bounded list of issues; parts that are missing or mistyped are left out.
//! Never      refuses an outcome for a fault in it: it is read when something has gone wrong
//!            already, and half an explanation is better than none.
//!
//! A partner's words may name a patient. They are shown to whoever may see the push; they are
//! never written to a log.

use crate::json::{Doc, Node, ParseError};
use crate::limits::{OUTCOME_EXPRESSIONS_MAX, OUTCOME_ISSUES_MAX, OUTCOME_TEXT_CHARS_MAX};
use crate::read::resource_type;
use crate::resource::Resource;

/// What a partner said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperationOutcome {
    /// The first `OUTCOME_ISSUES_MAX` issues, in their order.
    pub issues: Vec<OutcomeIssue>,
    /// How many issues more there were.
    pub left_out: usize,
}

/// One issue; every text is cut at `OUTCOME_TEXT_CHARS_MAX` characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutcomeIssue {
    /// `fatal`, `error`, `warning` or `information`, as written.
    pub severity: Option<String>,
    /// R4 `issue-type`, as written.
    pub code: Option<String>,
    /// The first `details.coding` with a code: system, when there is one, and code.
    pub coding: Option<(Option<String>, String)>,
    /// `details.text`, or else the first display of its codings.
    pub text: Option<String>,
    /// `diagnostics`.
    pub diagnostics: Option<String>,
    /// `expression`, or else the older `location`.
    pub expressions: Vec<String>,
}

impl OutcomeIssue {
    /// Whether the action failed: `fatal`, `error`, or nothing that says otherwise.
    pub fn is_error(&self) -> bool {
        !matches!(self.severity.as_deref(), Some("warning" | "information" | "success"))
    }

    /// The best sentence there is: text, diagnostics, code.
    pub fn sentence(&self) -> &str {
        let words = [&self.text, &self.diagnostics, &self.code];
        words.into_iter().flatten().map(String::as_str).next().unwrap_or("no reason given")
    }
}

impl OperationOutcome {
    /// Reads a body. Refused are only bodies that are not JSON or no OperationOutcome.
    pub fn parse(bytes: &[u8]) -> Result<OperationOutcome, ParseError> {
        let doc = Doc::parse(bytes)?;
        resource_type(doc.root(), "OperationOutcome")?;
        Ok(OperationOutcome::read(doc.root()))
    }

    /// Reads a resource; `None` when it is no OperationOutcome.
    pub fn of(resource: &Resource) -> Option<OperationOutcome> {
        (resource.kind() == "OperationOutcome")
            .then(|| OperationOutcome::read(resource.doc().root()))
    }

    fn read(root: Node<'_, '_>) -> OperationOutcome {
        let all = || root.get("issue").into_iter().flat_map(|list| list.each());
        OperationOutcome {
            issues: all().take(OUTCOME_ISSUES_MAX).map(OutcomeIssue::read).collect(),
            left_out: all().count().saturating_sub(OUTCOME_ISSUES_MAX),
        }
    }
}

impl OutcomeIssue {
    fn read(node: Node<'_, '_>) -> OutcomeIssue {
        let details = node.get("details");
        let codings = || {
            details.and_then(|details| details.get("coding")).into_iter().flat_map(|it| it.each())
        };
        let coding =
            codings().find_map(|coding| Some((word(coding, "system"), word(coding, "code")?)));
        let display = || codings().find_map(|coding| word(coding, "display"));
        let places = |name| -> Vec<String> {
            let found = node.get(name).into_iter().flat_map(|list| list.each());
            found.filter_map(bounded).take(OUTCOME_EXPRESSIONS_MAX).collect()
        };
        let mut expressions = places("expression");
        if expressions.is_empty() {
            expressions = places("location");
        }
        OutcomeIssue {
            severity: word(node, "severity"),
            code: word(node, "code"),
            coding,
            text: details.and_then(|details| word(details, "text")).or_else(display),
            diagnostics: word(node, "diagnostics"),
            expressions,
        }
    }
}

fn word(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.get(name).and_then(bounded)
}

fn bounded(node: Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let kept: String = text.trim().chars().take(OUTCOME_TEXT_CHARS_MAX).collect();
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_can_be_understood_is_read() {
        let table = [
            ("nothing inside", r#"{"resourceType":"OperationOutcome"}"#, "none"),
            (
                "an issue that is no array",
                r#"{"resourceType":"OperationOutcome","issue":{"code":"invalid","diagnostics":"d"}}"#,
                "d",
            ),
            (
                "details before diagnostics",
                r#"{"resourceType":"OperationOutcome","issue":[{"details":{"text":"t"},"diagnostics":"d"}]}"#,
                "t",
            ),
            (
                "a display stands in for the text",
                r#"{"resourceType":"OperationOutcome","issue":[{"details":{"coding":[{"display":"shown"}]}}]}"#,
                "shown",
            ),
            (
                "mistyped parts are left out",
                r#"{"resourceType":"OperationOutcome","issue":[{"severity":7,"details":"t","diagnostics":["d"],"code":"value"}]}"#,
                "value",
            ),
            (
                "an issue of nothing",
                r#"{"resourceType":"OperationOutcome","issue":[7]}"#,
                "no reason given",
            ),
        ];
        for (case, text, sentence) in table {
            let outcome = OperationOutcome::parse(text.as_bytes()).unwrap();
            assert_eq!(
                outcome.issues.first().map_or("none", OutcomeIssue::sentence),
                sentence,
                "{case}"
            );
        }
    }

    #[test]
    fn an_outcome_cannot_be_made_to_fill_the_memory() {
        let long = "x".repeat(OUTCOME_TEXT_CHARS_MAX * 3);
        let issue = format!(r#"{{"severity":"error","code":"invalid","diagnostics":"{long}"}}"#);
        let issues = vec![issue; OUTCOME_ISSUES_MAX + 5].join(",");
        let text = format!(r#"{{"resourceType":"OperationOutcome","issue":[{issues}]}}"#);
        let outcome = OperationOutcome::parse(text.as_bytes()).unwrap();
        assert_eq!((outcome.issues.len(), outcome.left_out), (OUTCOME_ISSUES_MAX, 5));
        assert_eq!(outcome.issues[0].sentence().len(), OUTCOME_TEXT_CHARS_MAX);
    }

    #[test]
    fn the_older_location_is_used_when_there_is_no_expression() {
        let text = r#"{"resourceType":"OperationOutcome","issue":[{"location":["/f:Patient"]},{"location":["x"],"expression":["Patient.id"]}]}"#;
        let outcome = OperationOutcome::parse(text.as_bytes()).unwrap();
        assert_eq!(outcome.issues[0].expressions, ["/f:Patient"]);
        assert_eq!(outcome.issues[1].expressions, ["Patient.id"]);
    }

    #[test]
    fn another_resource_is_no_outcome() {
        let resource = Resource::parse(&br#"{"resourceType":"Patient"}"#[..]).unwrap();
        assert_eq!(OperationOutcome::of(&resource), None);
        assert!(OperationOutcome::parse(br#"{"resourceType":"Patient"}"#).is_err());
    }
}
