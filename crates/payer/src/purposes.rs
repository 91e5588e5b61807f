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
use fhir::Resource;
use serde_json::Value;
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

/// The purposes that a Provenance declares; `None` for one that no agreement knows.
fn declared(resource: &Resource) -> Vec<Option<Purpose>> {
    let Ok(read) = serde_json::from_slice::<Value>(resource.bytes()) else { return Vec::new() };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let codings = list(&read["reason"]).into_iter().flat_map(|concept| list(&concept["coding"]));
    let ours = codings.filter(|coding| coding["system"] == ACT_REASON);
    ours.map(|coding| serde_json::from_value(coding["code"].clone()).ok()).collect()
}
