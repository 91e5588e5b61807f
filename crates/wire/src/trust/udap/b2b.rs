//! B2B: the authorization extension object `hl7-b2b` (FAST Security, business-to-business).
//!
//! Comes in   the `extensions` of an authentication token; what to assert.
//! Goes out   the purposes asserted; the object.
//! Never      reads a purpose that no agreement can name, or guesses one.
//!
//! Why so exact: what is asserted here is what the token is good for, and what an audit finds.

use super::HL7_B2B;
use crate::limits::{PURPOSES_MAX, REGISTRATION_LIST_MAX};
use crate::trust::Purposes;
use exchange::Purpose;
use serde_json::{Map, Value, json};

/// The code system of purposes of use, as a URI stands before `#`.
const PURPOSE_OID: &str = "urn:oid:2.16.840.1.113883.5.8";

/// The same code system, and the value set's own name, as others write it.
const PURPOSE_SYSTEMS: [&str; 3] = [
    PURPOSE_OID,
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse",
];

const PURPOSES: [Purpose; 5] = [
    Purpose::Payment,
    Purpose::Operations,
    Purpose::Treatment,
    Purpose::Coverage,
    Purpose::Quality,
];

/// What a house asserts of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// The URI that identifies it, as its communities want it.
    pub id: String,
    /// Its name in words.
    pub name: String,
}

/// The `extensions` claim for these purposes.
pub(crate) fn assert(organization: &Organization, purposes: &Purposes) -> Value {
    let purposes: Vec<String> =
        purposes.iter().map(|purpose| format!("{PURPOSE_OID}#{purpose}")).collect();
    json!({ HL7_B2B: {
        "version": "1",
        "organization_id": organization.id,
        "organization_name": organization.name,
        "purpose_of_use": purposes,
    }})
}

/// Reads the purposes that an authentication token asserts. The error is a sentence.
pub(crate) fn read(claims: &Map<String, Value>) -> Result<Purposes, &'static str> {
    let object = claims.get("extensions").and_then(|all| all.get(HL7_B2B));
    let object = object.and_then(Value::as_object);
    let object = object.ok_or("extensions must hold an hl7-b2b object")?;
    if object.get("version").and_then(Value::as_str) != Some("1") {
        return Err("hl7-b2b: version must be \"1\"");
    }
    if !object.get("organization_id").and_then(Value::as_str).is_some_and(is_uri) {
        return Err("hl7-b2b: organization_id must be a URI");
    }
    for name in ["subject_name", "subject_id", "subject_role", "organization_name"] {
        if object.get(name).is_some_and(|value| !value.is_string()) {
            return Err("hl7-b2b: names, ids and roles must be texts");
        }
    }
    if object.contains_key("subject_id") && !object.contains_key("subject_name") {
        return Err("hl7-b2b: subject_id goes with subject_name");
    }
    check_consent(object)?;
    read_purposes(object.get("purpose_of_use"))
}

fn check_consent(object: &Map<String, Value>) -> Result<(), &'static str> {
    let (policy, reference) = (object.get("consent_policy"), object.get("consent_reference"));
    if reference.is_some() && policy.is_none() {
        return Err("hl7-b2b: consent_reference goes with consent_policy");
    }
    for list in [policy, reference].into_iter().flatten() {
        let texts =
            list.as_array().filter(|list| (1..=REGISTRATION_LIST_MAX).contains(&list.len()));
        if !texts.is_some_and(|list| list.iter().all(|it| it.as_str().is_some_and(is_uri))) {
            return Err("hl7-b2b: consent_policy and consent_reference are lists of URIs");
        }
    }
    Ok(())
}

fn read_purposes(list: Option<&Value>) -> Result<Purposes, &'static str> {
    let list = list.and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or("hl7-b2b: purpose_of_use must be a list of one or more codes")?;
    if list.len() > PURPOSES_MAX {
        return Err("hl7-b2b: purpose_of_use names more purposes than can be agreed");
    }
    let purposes = list.iter().map(|code| code.as_str().and_then(purpose)).collect::<Option<_>>();
    purposes.ok_or("hl7-b2b: purpose_of_use names a purpose that this server does not know")
}

/// A code alone, or behind its code system and `#`.
fn purpose(text: &str) -> Option<Purpose> {
    let code = match text.rsplit_once('#') {
        Some((system, code)) => PURPOSE_SYSTEMS.contains(&system).then_some(code)?,
        None => text,
    };
    PURPOSES.into_iter().find(|purpose| purpose.to_string() == code)
}

/// An absolute URI: a scheme, and something behind it, without blanks (RFC 3986 §3).
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(plain)
        && !rest.trim_matches('/').is_empty()
        && text.len() <= crate::limits::REGISTRATION_WORDS_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
