//! Transaction: one Bundle to the base URL, all or nothing (FHIR R4 §3.1.0.11).
//!
//! Comes in   the Bundle's bytes, as assembled and stored; a signed-in client; the time.
//! Goes out   status, wait, place to poll, and the body as it came.
//! Never      changes a byte, repeats a Bundle on its own, or reads the answer's meaning.

use crate::client::{ClientError, FhirClient};
use crate::refusal::FHIR_JSON;
use crate::retry_after;
use bytes::Bytes;
use exchange::settle::Reply;
use http::Response;
use http::header::CONTENT_LOCATION;
use jiff::Timestamp;

/// Reads what a door answered to a form, or to the poll of one, at a given time.
pub fn read(answer: Response<Bytes>, now: Timestamp) -> Reply {
    let headers = answer.headers();
    let place = headers.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok());
    Reply {
        status: answer.status().as_u16(),
        retry_after: retry_after::read(headers, now),
        content_location: place.map(str::to_owned),
        body: answer.into_body(),
    }
}

/// Posts a transaction Bundle to the base URL.
///
/// `TransportError::Unknown` and `AnswerTooLarge` mean that it may have been filed.
pub async fn deliver(
    client: &FhirClient,
    bundle: Bytes,
    now: Timestamp,
) -> Result<Reply, ClientError> {
    let answer = client.post("", FHIR_JSON, bundle).await?;
    Ok(read(answer, now))
}
