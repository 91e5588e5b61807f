//! Readiness: whether an encounter is one that the agreement counts as a visit, and whether its
//! record is complete enough to go.
//!
//! Comes in   the encounter, what belongs to it, the agreement's `[readiness]`.
//! Goes out   yes, or what is missing and who completes it.
//! Never      waits by itself: how long is the road's to say, by the agreement.
//!
//! "finished" says that the patient has left. It does not say that the notes are signed, that the
//! results are final, or that anybody has coded a diagnosis.

use crate::agreement::{Readiness, Wait};
use crate::issue::{Code, Issue};
use crate::valueset::{CodeSet, Doubt};
use fhir::{Node, Resource};

/// Statuses of reports that somebody is still at work on (R4 `diagnostic-report-status`).
const OPEN_REPORTS: [&str; 3] = ["registered", "partial", "preliminary"];

/// Whether the agreement counts the encounter as a visit: by its class or one of its types.
pub fn is_visit(encounter: &Resource, readiness: &Readiness) -> bool {
    let mut codes = CodeSet::default();
    // The agreement's reader has refused codes that are none.
    for code in &readiness.visits {
        codes.insert(code).ok();
    }
    let doc = encounter.doc();
    let elements = ["class", "type"].into_iter().filter_map(|name| doc.root().get(name));
    codes.is_empty() || elements.flat_map(|it| it.each()).any(|it| codes.fits(it, Doubt::No))
}

/// What the record still lacks of what the agreement waits for; `None` when it is ready.
/// `belonging` is what belongs to the encounter.
pub fn missing(
    encounter: &Resource,
    belonging: &[&Resource],
    readiness: &Readiness,
) -> Option<Issue> {
    readiness.wait_for.iter().find_map(|wait| {
        let (detail, place) = match wait {
            Wait::Discharged => not_discharged(encounter)?,
            Wait::Signed => not_signed(belonging)?,
            Wait::Coded => not_coded(belonging)?,
        };
        Some(Issue::new(Code::RecordNotReady, detail).at(place))
    })
}

type Lack = (&'static str, &'static str);

fn not_discharged(encounter: &Resource) -> Option<Lack> {
    let doc = encounter.doc();
    let ended = doc.root().get("period").and_then(|period| period.get("end")).is_some();
    match (ended, text(doc.root(), "status").as_deref() == Some("finished")) {
        (_, false) => Some((
            "the encounter is not finished; registration or the ward closes it",
            "Encounter.status",
        )),
        (false, true) => Some((
            "the encounter has no end; registration or the ward enters the discharge",
            "Encounter.period.end",
        )),
        (true, true) => None,
    }
}

fn not_signed(belonging: &[&Resource]) -> Option<Lack> {
    belonging.iter().find_map(|one| {
        let doc = one.doc();
        let word = |name| text(doc.root(), name);
        match one.kind() {
            "DocumentReference" if word("docStatus").as_deref() == Some("preliminary") => {
                Some(("a note is not signed; its author signs it", "DocumentReference.docStatus"))
            }
            "DiagnosticReport" if word("status").is_some_and(|it| OPEN_REPORTS.contains(&&*it)) => {
                Some((
                    "a report is not final; whoever performs the test completes it",
                    "DiagnosticReport.status",
                ))
            }
            _ => None,
        }
    })
}

fn not_coded(belonging: &[&Resource]) -> Option<Lack> {
    let is_coded = |one: &&&Resource| {
        let doc = one.doc();
        let codings = doc.root().get("code").and_then(|code| code.get("coding"));
        let mut codings = codings.into_iter().flat_map(|codings| codings.each());
        one.kind() == "Condition" && codings.any(|coding| coding.get("code").is_some())
    };
    let lack = ("no diagnosis of the encounter has a code; its coder enters one", "Condition.code");
    belonging.iter().find(is_coded).is_none().then_some(lack)
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.get(name)?.text().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    //! Goal: each word of the agreement waits for one thing, and says who completes it.

    #![allow(clippy::unwrap_used)]
    use super::*;

    const STAY: &str = r#"{"resourceType":"Encounter","status":"finished","class":{"system":"urn:class","code":"IMP"},"type":[{"coding":[{"system":"urn:type","code":"99223"}]}],"period":{"start":"2026-11-20","end":"2026-11-21"}}"#;

    fn resource(text: &str) -> Resource {
        Resource::parse(text.as_bytes().to_vec()).unwrap()
    }

    /// Provokes `Code::RecordNotReady`.
    #[test]
    fn what_is_missing_is_named_with_who_completes_it() {
        let going_on = STAY.replace("finished", "in-progress");
        let without_end = STAY.replace(r#","end":"2026-11-21""#, "");
        let draft = r#"{"resourceType":"DocumentReference","docStatus":"preliminary"}"#;
        let note = r#"{"resourceType":"DocumentReference","docStatus":"final"}"#;
        let partial = r#"{"resourceType":"DiagnosticReport","status":"partial"}"#;
        let amended = r#"{"resourceType":"DiagnosticReport","status":"amended"}"#;
        let words = r#"{"resourceType":"Condition","code":{"text":"words"}}"#;
        let coded = r#"{"resourceType":"Condition","code":{"coding":[{"code":"J45.40"}]}}"#;
        let table = [
            (Wait::Discharged, STAY, vec![], None),
            (Wait::Discharged, going_on.as_str(), vec![], Some("Encounter.status")),
            (Wait::Discharged, without_end.as_str(), vec![], Some("Encounter.period.end")),
            (Wait::Signed, STAY, vec![note, amended], None),
            (Wait::Signed, STAY, vec![note, draft], Some("DocumentReference.docStatus")),
            (Wait::Signed, STAY, vec![partial], Some("DiagnosticReport.status")),
            (Wait::Coded, STAY, vec![words, coded], None),
            (Wait::Coded, STAY, vec![words], Some("Condition.code")),
            (Wait::Coded, STAY, vec![], Some("Condition.code")),
        ];
        for (wait, encounter, belonging, place) in table {
            let belonging: Vec<Resource> = belonging.into_iter().map(resource).collect();
            let belonging: Vec<&Resource> = belonging.iter().collect();
            let readiness = Readiness { wait_for: vec![wait], ..Readiness::default() };
            let issue = missing(&resource(encounter), &belonging, &readiness);
            let said = issue.as_ref().and_then(|issue| issue.expression.as_deref());
            assert_eq!(said, place, "{wait:?} {encounter}");
            assert!(issue.is_none_or(|issue| issue.code == Code::RecordNotReady));
            let waits_for_nothing = Readiness::default();
            assert_eq!(missing(&resource(encounter), &belonging, &waits_for_nothing), None);
        }
    }

    #[test]
    fn a_visit_is_what_the_agreement_counts_as_one() {
        let table = [
            (vec![], true),
            (vec!["IMP"], true),
            (vec!["urn:class|IMP"], true),
            (vec!["AMB", "urn:type|99223"], true),
            (vec!["AMB"], false),
            (vec!["urn:other|IMP"], false),
        ];
        for (visits, counts) in table {
            let visits: Vec<String> = visits.into_iter().map(String::from).collect();
            let readiness = Readiness { visits, ..Readiness::default() };
            assert_eq!(is_visit(&resource(STAY), &readiness), counts, "{:?}", readiness.visits);
        }
    }
}
