//! Answer: what a door says of every item of a part, in one form whatever the carrier.
//!
//! Comes in   response Bundles and single responses.
//! Goes out   a verdict for each item; and, over all parts, one answer for the whole push.
//! Never      takes an answer to something else for one to this part: types, ids and counts must
//!            fit.

use super::{Ground, Item, Part, Piece};
use crate::issue::{Code, Issue};
use crate::ladder::{Carrier, Identity};
use crate::limits::ENTRIES_MAX;
use crate::place;
use crate::settle;
use bytes::Bytes;
use fhir::{
    Bundle, BundleType, BundleWriter, EntryToWrite, Method, OperationOutcome, ResponseToWrite,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a door said of one item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// Where the record is, as the door wrote it.
    pub location: Option<String>,
    /// Its ETag.
    pub etag: Option<String>,
    /// Bytes of an OperationOutcome.
    pub outcome: Option<Bytes>,
}

/// What that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, or is gone as asked: `Type/id`, when the door named it.
    Filed(Option<String>),
    /// The payer will not have it.
    Refused(Vec<Issue>),
    /// The door does not do what its statement promised.
    Unkept,
    /// It is too large.
    TooLarge,
    /// Nobody can tell from this answer.
    Unsure,
}

impl Said {
    /// `Type/id` of the location, when it is one of this type.
    pub fn at(&self, kind: &str) -> Option<String> {
        let location = self.location.as_deref()?;
        let location = location.split_once("/_history/").map_or(location, |(start, _)| start);
        let mut steps = location.rsplitn(3, '/');
        let (id, found) = (steps.next()?, steps.next()?);
        (found == kind && fhir::is_id(id)).then(|| format!("{found}/{id}"))
    }

    /// Whether its location can be that of the item.
    pub fn fits(&self, item: &Item) -> bool {
        let Some(location) = &self.location else { return true };
        match self.at(&item.kind) {
            Some(at) if item.identity == Identity::Put => at == item.name(),
            Some(at) => place_of_update(item).is_none_or(|wanted| wanted == at),
            None => item.method == Method::Delete || location.is_empty(),
        }
    }
}

/// What became of an item.
pub fn judge(item: &Item, said: &Said) -> Verdict {
    let deletes = item.method == Method::Delete;
    match said.status {
        // Taken, and done later or not at all. Of a Bundle that is kept whole no more is asked, and R4
        // §3.1.0.7 has 202 among the answers to a deletion that succeeds.
        202 if !deletes && item.kind != "Bundle" => Verdict::Unsure,
        200..=299 => {
            let put = (item.identity == Identity::Put).then(|| item.name());
            Verdict::Filed(put.or_else(|| said.at(&item.kind)))
        }
        404 | 410 if deletes => Verdict::Filed(None),
        // The payer has removed what it gave an id to: a person's matter, and no broken promise.
        404 if item.identity != Identity::Put && place_of_update(item).is_some() => {
            Verdict::Refused(words(said, 404))
        }
        404 | 405 | 501 if !deletes => Verdict::Unkept,
        413 => Verdict::TooLarge,
        401 | 408 | 425 | 429 | 500.. => Verdict::Unsure,
        status => Verdict::Refused(words(said, status)),
    }
}

fn words(said: &Said, status: u16) -> Vec<Issue> {
    let outcome = said.outcome.as_deref().map(OperationOutcome::parse);
    let outcome = outcome.and_then(Result::ok).unwrap_or_default();
    settle::read_words(&outcome, status, Code::PayerRefused)
}

/// Reads the response Bundle of a part; `None` where it is no answer to it.
pub fn read_bundle(part: &Part, body: &Bytes) -> Option<Vec<Said>> {
    let bundle = Bundle::parse_with_limit(body.clone(), ENTRIES_MAX).ok()?;
    let kinds = match part.carrier {
        Carrier::Transaction => BundleType::TransactionResponse,
        _ => BundleType::BatchResponse,
    };
    if bundle.kind != kinds || bundle.entries.len() != part.items.len() {
        return None;
    }
    let mut places = BTreeSet::new();
    let mut said = Vec::with_capacity(part.items.len());
    for (entry, item) in bundle.entries.iter().zip(&part.items) {
        let response = entry.response.as_ref()?;
        let status = response.status_code()?;
        let own = entry.resource.as_ref().filter(|resource| resource.kind() == item.kind);
        let own = own.and_then(|resource| Some(format!("{}/{}", item.kind, resource.id()?)));
        let one = Said {
            status,
            location: response.location.clone().or(own),
            etag: response.etag.clone(),
            outcome: response.outcome.as_ref().map(|outcome| outcome.bytes().clone()),
        };
        if (200..300).contains(&status) && !one.fits(item) {
            return None;
        }
        // Two records at one place: the answer is one to something else.
        if let Some(at) = one.at(&item.kind).filter(|_| item.method != Method::Delete)
            && !places.insert(at)
        {
            return None;
        }
        said.push(one);
    }
    Some(said)
}

/// `Type/id` that an update goes to.
fn place_of_update(item: &Item) -> Option<String> {
    let (kind, id) = place::type_and_id(&item.url)?;
    (item.method == Method::Put).then(|| format!("{kind}/{id}"))
}

/// What a door said of a part, to be kept: one entry for each item, named by its derived id.
pub fn said_bundle(namespace: &str, said: &[(String, Said)]) -> Bytes {
    let mut writer = BundleWriter::new(BundleType::BatchResponse);
    for (name, said) in said {
        let full_url = format!("{namespace}/{name}");
        write(&mut writer, Some(&full_url), said);
    }
    writer.finish().into()
}

fn write(writer: &mut BundleWriter, full_url: Option<&str>, said: &Said) {
    let status = said.status.to_string();
    writer.entry(EntryToWrite {
        full_url,
        response: Some(ResponseToWrite {
            status: &status,
            location: said.location.as_deref(),
            etag: said.etag.as_deref(),
            last_modified: None,
            outcome: said.outcome.as_deref(),
        }),
        ..EntryToWrite::default()
    });
}

/// The answer to the whole push, in the order of its payload: what the door said of each entry
/// last, and of what was not sent why it need not be.
pub fn combine(ground: &Ground<'_>, parts: &[Bytes], own: &BTreeMap<String, Vec<Issue>>) -> Bytes {
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    for part in parts {
        let Ok(bundle) = Bundle::parse_with_limit(part.clone(), ENTRIES_MAX) else { continue };
        for entry in bundle.entries {
            let name =
                entry.full_url.as_deref().and_then(|url| place::under(url, ground.namespace));
            let (Some(name), Some(response)) = (name, entry.response) else { continue };
            let status = response.status_code().unwrap_or_default();
            let outcome = response.outcome.map(|outcome| outcome.bytes().clone());
            // Said twice of one record: it went in two requests, and the first made it.
            let first =
                said.get(name).filter(|first| first.status == 201).map(|first| first.status);
            let status = first.filter(|_| (200..300).contains(&status)).unwrap_or(status);
            let (location, etag) = (response.location, response.etag);
            said.insert(name.to_owned(), Said { status, location, etag, outcome });
        }
    }
    let whole = said.get(&format!("Bundle/{}", ground.load.collection_id(ground.namespace)));
    let mut writer = BundleWriter::new(BundleType::TransactionResponse);
    for piece in &ground.load.pieces {
        let name = piece.name();
        let found = said.get(&name).or(whole).cloned();
        let issues = own.get(&name).map(Vec::as_slice).unwrap_or_default();
        let one = found.unwrap_or_else(|| unsent(ground, piece, issues));
        write(&mut writer, None, &one);
    }
    writer.finish().into()
}

/// What is to be said of an entry that needed no request.
fn unsent(ground: &Ground<'_>, piece: &Piece, issues: &[Issue]) -> Said {
    let name = piece.name();
    if let Some(issue) = issues.first() {
        let outcome = Some(Issue::outcome(issues).into());
        return Said { status: issue.code.row().status, outcome, ..Said::default() };
    }
    let location = ground.held.get(&name).and_then(|holding| holding.at.clone());
    if ground.is_older(piece) {
        let older = Issue::new(Code::OlderThanFiled, "a newer content of it was filed before");
        let outcome = Some(Issue::outcome([&older]).into());
        return Said { status: 200, location, outcome, ..Said::default() };
    }
    match piece.resource {
        Some(_) => Said { status: 200, location, ..Said::default() },
        None => Said { status: 204, ..Said::default() },
    }
}
