//! Well-known: `.well-known/davinci-configuration`, as a hint for a payer's base URL.
//!
//! Comes in   the document (HRex, endpoint discovery): an identifier, and URLs by code.
//! Goes out   candidates; the newest version of a code first.
//! Never      takes a hint for the payer's word: the document comes over plain TLS from an address that
//!            somebody named.
//!
//! Unseen minor and major versions of a known code are accepted, as clients SHALL; unknown codes are
//! passed over.

use super::listing::{Listing, Sought};
use super::{Candidate, Guide};
use crate::partner::PublicIdentifier;
use fhir::Doc;

/// Codes whose base takes a push, in the order of preference, each with the use case it stands for.
const CODES: &[(&str, &str)] = &[
    ("davinci_cdex_attachsubmit_endpoint", "cdex"),
    ("davinci_pdex_provider_endpoint", "providerApi"),
    ("davinci_pdex_payer_endpoint", "payerToPayer"),
];

/// Reads the document. The error is a sentence: it is no such document, or it is another payer's.
pub fn read_configuration(bytes: &[u8], sought: &Sought) -> Result<Listing, String> {
    let doc = Doc::parse(bytes).map_err(|_| "it is not readable JSON".to_owned())?;
    let root = doc.root();
    let text = |node: Option<fhir::Node<'_, '_>>| super::read::word(node);
    let identifier = root.get("identifier");
    let value = identifier.and_then(|it| text(it.get("value")));
    let system = identifier.and_then(|it| text(it.get("system"))).unwrap_or_default();
    let named = value.map(|value| PublicIdentifier { system, value });
    let Some(named) = named else { return Err("it names no payer".to_owned()) };
    if !sought.identifiers.is_empty() && !sought.identifiers.contains(&named) {
        return Err("it is another payer's: its identifier is none of this one's".to_owned());
    }
    let Some(endpoints) = root.get("endpoints") else {
        return Err("it has no endpoints".to_owned());
    };
    let mut listing = Listing {
        payers: vec![(
            "configuration".into(),
            format!("identifier {}|{}", named.system, named.value),
        )],
        ..Listing::default()
    };
    let mut found: Vec<(usize, Vec<u32>, Candidate)> = Vec::new();
    for member in endpoints.members() {
        let (code, version) = match member.name().split_once('#') {
            Some((code, version)) => (code.to_owned(), version.to_owned()),
            None => (member.name().to_owned(), String::new()),
        };
        let Some(place) = CODES.iter().position(|(known, _)| *known == code) else {
            listing.notes.push(format!("the code {} is not one for a push", clip(&code)));
            continue;
        };
        let Some(url) = text(Some(member)) else {
            listing.faults.push((clip(&code), "its address is no text".to_owned()));
            continue;
        };
        let numbers = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        let candidate = Candidate {
            id: match version.is_empty() {
                true => code.clone(),
                false => format!("{code}#{}", clip(&version)),
            },
            address: base(&url),
            status: "active".into(),
            connection: Some("hl7-fhir-rest".into()),
            guides: vec![Guide {
                uri: None,
                version: (!version.is_empty()).then(|| clip(&version)),
                use_cases: vec![CODES[place].1.to_owned()],
            }],
            managing: Some("configuration".into()),
            ..Candidate::default()
        };
        found.push((place, numbers, candidate));
    }
    found.sort_by(|a, b| (a.0, std::cmp::Reverse(&a.1)).cmp(&(b.0, std::cmp::Reverse(&b.1))));
    for (at, (_, _, candidate)) in found.iter_mut().enumerate() {
        candidate.rank = u32::try_from(at + 1).ok();
    }
    listing.candidates = found.into_iter().map(|(_, _, candidate)| candidate).collect();
    Ok(listing)
}

/// The base of an address that may be an operation's: `[base]/$submit-attachment`,
/// `[base]/Claim/$submit`.
fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Some((before, last)) = url.rsplit_once('/') else { return url.to_owned() };
    if !last.starts_with('$') {
        return url.to_owned();
    }
    match before.rsplit_once('/') {
        Some((base, kind)) if crate::path::is_resource_type(kind) => base.to_owned(),
        _ => before.to_owned(),
    }
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}
