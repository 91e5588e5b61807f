//! Read: an Endpoint resource, as a candidate.
//!
//! Comes in   an Endpoint (R4; US National Directory profile and its extensions).
//! Goes out   what of it matters here; or what makes it unreadable.
//! Never      guesses: a value of the wrong shape is absent, and a required one that is absent makes the
//!            endpoint unreadable.

use super::{Artifact, Candidate, Guide, Period};
use crate::id::Digest;
use crate::limits::{DIRECTORY_LIST_MAX, DIRECTORY_WORD_CHARS_MAX};
use fhir::{Node, Resource};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Where the extensions of the National Directory are defined.
const NDH: &str = "http://hl7.org/fhir/us/ndh/StructureDefinition/base-ext-";

/// Reads an Endpoint; the error is the place of what is missing.
pub(super) fn candidate(resource: &Resource) -> Result<Candidate, &'static str> {
    let doc = resource.doc();
    let root = doc.root();
    let Some(id) = resource.id() else { return Err("Endpoint.id") };
    let Some(status) = word(root.get("status")) else { return Err("Endpoint.status") };
    let Some(address) = word(root.get("address")) else { return Err("Endpoint.address") };
    let mut found = Candidate {
        id: format!("Endpoint/{id}"),
        name: word(root.get("name")),
        address: address.trim_end_matches('/').to_owned(),
        status,
        connection: root.get("connectionType").and_then(|coding| word(coding.get("code"))),
        period: period(root.get("period")),
        mime_types: words(root.get("payloadMimeType")),
        managing: reference(root.get("managingOrganization")),
        updated: root.get("meta").and_then(|meta| time(meta.get("lastUpdated"), false)),
        ..Candidate::default()
    };
    for extension in list(root.get("extension")) {
        let Some(url) = extension.get("url").and_then(|url| url.text()) else { continue };
        match url.strip_prefix(NDH) {
            Some("endpoint-environment-type") => found.environments.extend(codes(extension)),
            Some("implementation-guide") => found.guides.push(guide(extension)),
            Some("endpointAccessControlMechanism") => found.access.extend(codes(extension)),
            Some("security-details") => {
                found.frameworks.extend(of(extension, "trustFrameworkType").flat_map(codes));
            }
            Some("dynamicRegistration") => {
                found.registration.extend(of(extension, "trustProfile").flat_map(codes));
            }
            Some("endpoint-rank") => {
                let rank = extension.get("valuePositiveInt");
                found.rank = rank.and_then(|rank| rank.raw().parse().ok()).filter(|rank| *rank > 0);
            }
            Some("verification-status") => found.verification = codes(extension).pop(),
            Some("secureExchangeArtifacts") => found.artifacts.extend(artifact(extension)),
            _ => {}
        }
    }
    Ok(found)
}

fn guide(extension: Node<'_, '_>) -> Guide {
    let uri = of(extension, "ig-uri").find_map(|it| word(it.get("valueCanonical")));
    let said = of(extension, "ig-version").find_map(|it| word(it.get("valueString")));
    let (uri, behind) = match uri {
        Some(uri) => match uri.split_once('|') {
            Some((uri, version)) => (Some(uri.to_owned()), Some(version.to_owned())),
            None => (Some(uri), None),
        },
        None => (None, None),
    };
    let use_cases = of(extension, "ig-usecase").flat_map(codes).collect();
    Guide { uri, version: said.or(behind), use_cases }
}

fn artifact(extension: Node<'_, '_>) -> Option<Artifact> {
    let kind = of(extension, "secureExchangeArtifactsType").flat_map(codes).next()?;
    let text = of(extension, "certificate").find_map(|it| it.get("valueBase64Binary")?.text())?;
    // White space in Base64 says nothing (R4 base64Binary).
    let plain: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let expires =
        of(extension, "expirationDate").find_map(|it| time(it.get("valueDateTime"), true));
    Some(Artifact { kind, digest: Digest::of(plain.as_bytes()), expires })
}

/// The inner extensions of this name.
fn of<'d, 'a>(
    extension: Node<'d, 'a>,
    name: &'static str,
) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
    let inner = list(extension.get("extension"));
    inner.filter(move |it| it.get("url").and_then(|url| url.text()).as_deref() == Some(name))
}

/// The codes of `valueCodeableConcept`.
fn codes(extension: Node<'_, '_>) -> Vec<String> {
    let concept = extension.get("valueCodeableConcept");
    list(concept.and_then(|it| it.get("coding"))).filter_map(|it| word(it.get("code"))).collect()
}

/// The items of a list, a bounded number of them.
pub(super) fn list<'d, 'a>(
    node: Option<Node<'d, 'a>>,
) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
    node.into_iter().flat_map(|node| node.items()).take(DIRECTORY_LIST_MAX)
}

fn words(node: Option<Node<'_, '_>>) -> Vec<String> {
    list(node).filter_map(|item| word(Some(item))).collect()
}

/// A text that can be shown and compared: one line, of bounded length, not empty.
pub(super) fn word(node: Option<Node<'_, '_>>) -> Option<String> {
    let text = node?.text()?;
    let text = text.trim();
    let fit = !text.is_empty()
        && text.chars().count() <= DIRECTORY_WORD_CHARS_MAX
        && !text.chars().any(char::is_control);
    fit.then(|| text.to_owned())
}

/// `Type/id` of a reference, from a relative or an absolute one.
pub(super) fn reference(node: Option<Node<'_, '_>>) -> Option<String> {
    let text = word(node?.get("reference"))?;
    let mut parts = text.rsplit('/');
    let (id, kind) = (parts.next()?, parts.next()?);
    (fhir::is_id(id) && kind.bytes().all(|b| b.is_ascii_alphabetic()))
        .then(|| format!("{kind}/{id}"))
}

pub(super) fn period(node: Option<Node<'_, '_>>) -> Period {
    let Some(node) = node else { return Period::default() };
    Period { start: time(node.get("start"), false), end: time(node.get("end"), true) }
}

/// A FHIR dateTime; one without a time is the first moment of its year, month or day, or the last one.
fn time(node: Option<Node<'_, '_>>, last: bool) -> Option<Timestamp> {
    let text = word(node)?;
    if text.contains('T') {
        return text.parse().ok();
    }
    let number = |at: usize| text.split('-').nth(at).and_then(|part| part.parse::<i8>().ok());
    let year: i16 = text.split('-').next()?.parse().ok()?;
    let (month, day) = (number(1), number(2));
    let first = Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).ok()?;
    let from = match (last, month, day) {
        (false, ..) => first,
        (true, None, _) => first.last_of_year().tomorrow().ok()?,
        (true, _, None) => first.last_of_month().tomorrow().ok()?,
        (true, _, Some(_)) => first.tomorrow().ok()?,
    };
    let from = from.to_zoned(TimeZone::UTC).ok()?.timestamp();
    if last { from.checked_sub(jiff::SignedDuration::from_secs(1)).ok() } else { Some(from) }
}
