//! Single: one record, one request (FHIR R4 §3.1.0.4 to §3.1.0.8).
//!
//! Comes in   method, address and bytes of one record; a signed-in client; the time.
//! Goes out   the reply, and what it says of the record: status, place, ETag.
//! Never      repeats a request on its own, or reads more of a body than type and id.

use super::transaction;
use crate::client::{ClientError, FhirClient};

use exchange::parts::{Item, Said};
use exchange::settle::Reply;
use fhir::Resource;
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, Method};
use jiff::Timestamp;

/// Sends one record.
///
/// `TransportError::Unknown` and `AnswerTooLarge` mean that it may have been filed.
pub async fn deliver(
    client: &FhirClient,
    item: &Item,
    now: Timestamp,
) -> Result<(Reply, Said), ClientError> {
    // Proxies and some servers refuse a bar in a request line.
    let path = item.url.replace('|', "%7C");
    let unless = item.if_none_exist.as_deref();
    let mut headers = vec![("prefer", "return=minimal")];
    headers.extend(unless.map(|query| ("if-none-exist", query)));
    let method = match item.method {
        fhir::Method::Put => Method::PUT,
        fhir::Method::Delete => Method::DELETE,
        _ => Method::POST,
    };
    let answer = client.write(method, &path, &headers, item.body.clone()).await?;
    let (location, etag) = (text(answer.headers(), LOCATION), text(answer.headers(), ETAG));
    let place = text(answer.headers(), http::header::CONTENT_LOCATION);
    let reply = transaction::read(answer, now);
    let resource = Resource::parse(reply.body.clone()).ok();
    let own = resource.as_ref().filter(|resource| resource.kind() == item.kind);
    let own = own.and_then(|resource| Some(format!("{}/{}", item.kind, resource.id()?)));
    let outcome = resource.filter(|resource| resource.kind() == "OperationOutcome");
    let said = Said {
        status: reply.status,
        location: location.or(place).or(own),
        etag,
        outcome: outcome.map(|outcome| outcome.bytes().clone()),
    };
    Ok((reply, said))
}

/// Asks for records by a search; the body is read by whoever asked.
pub async fn search(
    client: &FhirClient,
    query: &str,
    now: Timestamp,
) -> Result<Reply, ClientError> {
    let answer = client.get(&query.replace('|', "%7C")).await?;
    Ok(transaction::read(answer, now))
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
