//! Purposes: whether what a push says it is for is what its token was given for.
//!
//! Comes in   the caller, and what was read of its Bundle.
//! Goes out   nothing; or an issue that names the purpose and its place.
//! Never      reads a purpose into a push that declares none, or asks where the token was given for no
//!            purposes at all.
//!
//! Why here: a UDAP token serves only the purposes asserted for it (FAST Security, B2B). A push declares
//! its own in `Provenance.reason` (US Core Provenance; v3 ActReason).

use exchange::read::{Action, Incoming};
use exchange::{Code, Issue, Issues, Purpose};
use fhir::{Node, Resource};
use std::collections::BTreeSet;
use wire::Caller;
use wire::trust::Purposes;

const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";

/// Errors: `ScopeMissing`, one for each purpose that the token is not good for.
pub(crate) fn check(caller: &Caller, incoming: &Incoming) -> Result<(), Issues> {
    if caller.purposes.is_none() {
        return Ok(());
    }
    let mut faults = Vec::new();
    for entry in incoming.entries.iter().filter(|entry| entry.kind == "Provenance") {
        let (Action::Create(resource) | Action::Put(resource)) = &entry.action else { continue };
        let place = format!("Bundle.entry[{}].resource.reason", entry.index);
        for declared in declared(resource) {
            if let Err(issue) = required(caller, declared) {
                faults.push(issue.at(place.clone()));
            }
        }
    }
    Issues::of(faults).map_or(Ok(()), Err)
}

/// The same of one Provenance outside a Bundle, for a token that was given for these purposes.
pub(crate) fn check_one(purposes: &Purposes, provenance: &Resource) -> Result<(), Issues> {
    let wrong = declared(provenance)
        .into_iter()
        .filter(|declared| declared.is_none_or(|purpose| !purposes.contains(&purpose)));
    let fault = |_| {
        let detail = "it declares a purpose of use that the token of its request was not given for";
        Issue::new(Code::ScopeMissing, detail).at("Provenance.reason")
    };
    Issues::of(wrong.map(fault)).map_or(Ok(()), Err)
}

fn required(caller: &Caller, declared: Option<Purpose>) -> Result<(), Issue> {
    let Some(purpose) = declared else {
        let detail = "the push declares a purpose of use that its token was not given for";
        return Err(Issue::new(Code::ScopeMissing, detail));
    };
    caller.require_purpose(purpose)
}

/// The purposes that a Provenance declares, each once; `None` for those that no agreement knows.
fn declared(resource: &Resource) -> BTreeSet<Option<Purpose>> {
    let doc = resource.doc();
    let concepts = doc.root().get("reason").into_iter().flat_map(|list| list.items());
    let codings = concepts.filter_map(|concept| concept.get("coding"));
    let codings = codings.flat_map(|list| list.items());
    let is_ours = |coding: &Node<'_, '_>| {
        let system = coding.get("system").and_then(|system| system.text());
        system.as_deref() == Some(ACT_REASON)
    };
    let purpose = |coding: Node<'_, '_>| serde_json::from_str(coding.get("code")?.raw()).ok();
    codings.filter(is_ours).map(purpose).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: each purpose that is declared is read, wherever in the list, and told of once.
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_purpose_is_found_wherever_it_stands_and_told_of_once() {
        let ours = |code: &str| format!(r#"{{"system":"{ACT_REASON}","code":{code}}}"#);
        let coding = |codings: &str| format!(r#"[{{"text":"x"}},{{"coding":[{codings}]}}]"#);
        let (treatment, payment) = (ours(r#""TREAT""#), ours(r#""HPAYMT""#));
        let many = vec![payment.as_str(); 10_000].join(",");
        let table = [
            ("none", "[]".to_owned(), 0),
            ("its own", coding(&treatment), 0),
            ("another", coding(&payment), 1),
            ("behind its own", coding(&format!("{treatment},{payment}")), 1),
            ("in a concept behind", format!("[{{}},{}", &coding(&payment)[1..]), 1),
            ("of another system", coding(r#"{"system":"s","code":"HPAYMT"}"#), 0),
            ("that no agreement knows", coding(&ours(r#""HMARKT""#)), 1),
            ("no code", coding(&format!(r#"{{"system":"{ACT_REASON}"}}"#)), 1),
            ("no code of any", coding(&ours(r#""x y""#)), 1),
            ("time and again", coding(&many), 1),
            (
                "two others, time and again",
                coding(&format!("{many},{},{many}", ours(r#""HMARKT""#))),
                2,
            ),
        ];
        let token = Purposes::from([Purpose::Treatment]);
        for (case, reason, told) in table {
            let line = format!(r#"{{"resourceType":"Provenance","reason":{reason}}}"#);
            let issues = check_one(&token, &Resource::parse(line.into_bytes()).unwrap()).err();
            let issues: Vec<Issue> = issues.into_iter().flat_map(Issues::into_iter).collect();
            assert_eq!(issues.len(), told, "{case}");
            assert!(issues.iter().all(|issue| issue.code == Code::ScopeMissing), "{case}");
        }
    }
}
