//! Single: a request for one record walks the same road as a Bundle of one.
//!
//! Comes in   a `Write` of the door.
//! Goes out   the transaction of one entry that says the same; issues in the sender's own terms.
//! Never      puts bytes into a Bundle that are not one whole resource.
//!
//! Why a Bundle is made of it: it is kept as it was acted on, so that a person can release it later,
//! and every rule of the road stands once.

use bytes::Bytes;
use exchange::{Code, Issue};
use fhir::{BundleType, BundleWriter, Doc, EntryToWrite, Method, Resource};
use wire::rest::{Condition, Write, WriteAction};
use wire::urlencoded;

/// What comes before the resource in a Bundle of one, so that places are counted from its start.
const RESOURCE: &str = "Bundle.entry[0].resource";

/// The transaction of one entry that asks for the same.
///
/// Errors: `BodyMalformed`, `EntryInvalid` for a body that is no resource.
pub(crate) fn bundle_of_one(write: &Write) -> Result<Bytes, Issue> {
    let kind = &write.kind;
    let query = |condition: &Condition| {
        urlencoded::encode(condition.iter().map(|(name, value)| (&**name, &**value)))
    };
    let (method, url, body) = match &write.action {
        WriteAction::Create(body) => (Method::Post, kind.clone(), Some(body)),
        WriteAction::Update(id, body) => (Method::Put, format!("{kind}/{id}"), Some(body)),
        WriteAction::UpdateWhere(condition, body) => {
            (Method::Put, format!("{kind}?{}", query(condition)), Some(body))
        }
        WriteAction::Delete(id) => (Method::Delete, format!("{kind}/{id}"), None),
        WriteAction::DeleteWhere(condition) => {
            (Method::Delete, format!("{kind}?{}", query(condition)), None)
        }
    };
    if let Some(body) = body {
        check(body)?;
    }
    let if_none_exist = write.if_none_exist.as_ref().map(query);
    let mut bundle = BundleWriter::new(BundleType::Transaction);
    bundle.entry(EntryToWrite {
        resource: body.map(|body| &body[..]),
        request: Some((method, &url)),
        if_match: write.if_match.as_deref(),
        if_none_exist: if_none_exist.as_deref(),
        ..EntryToWrite::default()
    });
    Ok(bundle.finish().into())
}

/// One whole resource, and nothing behind it.
fn check(body: &Bytes) -> Result<(), Issue> {
    let issue = |code, error: fhir::ParseError| {
        let issue = Issue::new(code, error.reason.to_string()).at(&error.expression);
        Issue { offset: Some(error.offset as u64), ..issue }
    };
    Doc::parse(body).map_err(|error| issue(Code::BodyMalformed, error))?;
    Resource::parse(body.clone()).map_err(|error| issue(Code::EntryInvalid, error))?;
    Ok(())
}

/// An issue of the Bundle of one, at its place in the request that was sent.
pub(crate) fn in_its_terms(issue: Issue, kind: &str) -> Issue {
    let Some(place) = &issue.expression else { return issue };
    let (expression, offset) = match place.strip_prefix(RESOURCE) {
        Some(below) => (Some(format!("{kind}{below}")), None),
        None => match place.strip_prefix("Bundle.entry[0].request.") {
            Some("ifMatch") => (Some("If-Match".to_owned()), None),
            Some("ifNoneExist") => (Some("If-None-Exist".to_owned()), None),
            Some(_) => (Some("url".to_owned()), None),
            None if place.starts_with("Bundle") => (Some(kind.to_owned()), None),
            None => (Some(place.clone()), issue.offset),
        },
    };
    Issue { expression, offset, ..issue }
}
