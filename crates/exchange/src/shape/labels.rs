//! Labels: what a resource says about its own sensitivity.
//!
//! Comes in   a resource: `meta.security`, `securityLabel`, `confidentiality`, and labels of
//!            single elements.
//! Goes out   whether any of them is one that keeps it here.
//! Never      takes a resource without a label for a harmless one: rules and restrictions come too.
//!
//! Codes: v3 Confidentiality R and V; the sensitivity policies of v3 ActCode
//! (`_InformationSensitivityPolicy`), its policies that forbid disclosure, and the laws that bind
//! a label (42 CFR Part 2, Title 38 §7332, psychotherapy notes, self-pay).

use crate::valueset::canonical;
use fhir::Node;

const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const ACT: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

const RESTRICTED: [&str; 2] = ["R", "V"];

#[rustfmt::skip]
const SENSITIVE: &[&str] = &[
    // What the information is about.
    "ETH", "GDIS", "HIV", "MST", "PREGNANT", "SCA", "SDV", "SEX", "SPI", "BH", "COGN", "DVD",
    "EMOTDIS", "MH", "PSY", "PSYTHPN", "SUD", "ETHUD", "OPIOIDUD", "STD", "TBOO", "VIO", "SICKLE",
    "IDS",
    // Whose it is, or who asked for care with it.
    "DEMO", "DOB", "GENDER", "LIVARG", "MARST", "RACE", "REL", "B", "EMPL", "LOCIS", "SSP", "ADOL",
    "CEL", "DIA", "DRGIS", "EMP", "PDS", "PHY", "PRS",
    // Policies that forbid to disclose it.
    "NOAUTH", "NODSCLCD", "NODSCLCDS", "NORDSCLCD", "NORDSCLCDS", "NORDSCLW", "ORCON",
    // Laws.
    "42CFRPart2", "Title38Section7332", "HIPAAPsyNotes", "HIPAASelfPay",
];

/// DS4P's label of a single element.
const INLINE: &str = "extension-inline-sec-label";

/// Whether a resource carries a label that keeps it here.
pub(super) fn are_sensitive(resource: Node<'_, '_>) -> bool {
    let of_meta = resource.get("meta").and_then(|meta| meta.get("security"));
    let of_document = resource.get("securityLabel");
    let codings = of_meta.into_iter().chain(of_document).flat_map(|node| node.each());
    let codings = codings.flat_map(|node| match node.get("coding") {
        Some(inner) => inner.each().collect(),
        None => vec![node],
    });
    codings.into_iter().any(is_sensitive)
        || resource.get("confidentiality").is_some_and(is_restricted_code)
        || (may_hold(resource, INLINE) && resource.descendants().any(is_inline_label))
}

/// Whether a value may hold a text somewhere: strings that are written with escapes may hold any.
pub(super) fn may_hold(value: Node<'_, '_>, text: &str) -> bool {
    value.raw().contains(text) || value.raw().contains('\\')
}

fn is_restricted_code(node: Node<'_, '_>) -> bool {
    node.text().is_some_and(|code| RESTRICTED.contains(&code.trim()))
}

fn is_sensitive(coding: Node<'_, '_>) -> bool {
    let text = |name| coding.get(name).and_then(|node| node.text());
    let Some(code) = text("code") else { return false };
    let code = code.trim();
    let system = text("system");
    match system.as_deref().map(canonical).as_deref() {
        Some(CONFIDENTIALITY) => RESTRICTED.contains(&code),
        Some(ACT) => SENSITIVE.contains(&code),
        // Without a system it may be either; another system's codes are not ours to read.
        None => RESTRICTED.contains(&code) || SENSITIVE.contains(&code),
        Some(_) => false,
    }
}

fn is_inline_label(node: Node<'_, '_>) -> bool {
    let url = node.get("url").and_then(|url| url.text());
    url.is_some_and(|url| url.ends_with(INLINE))
        && node.get("valueCoding").is_some_and(is_sensitive)
}
