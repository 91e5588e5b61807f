//! Bulk: the requests of a bulk submission's client (Bulk Data 4.0.0-ballot, Bulk Submit).
//!
//! Comes in   the Parameters of an operation, or a place that the payer named; a signed-in client; the
//!            time.
//! Goes out   status, wait, place to poll, and the body as it came.
//! Never      more headers than the operation has: a program of the draft refuses a second media type
//!            in `Accept` and a second preference in `Prefer`.

use super::transaction;
use crate::client::{ClientError, FhirClient};
use crate::transport::Taker;
use bytes::Bytes;
use exchange::settle::Reply;
use jiff::Timestamp;

/// Tells of a manifest, or that a submission is complete or stopped: `POST [base]/$bulk-submit`.
pub async fn submit(
    client: &FhirClient,
    body: Bytes,
    now: Timestamp,
) -> Result<Reply, ClientError> {
    let answer = client.operation("$bulk-submit", &[], body).await?;
    Ok(transaction::read(answer, now))
}

/// Asks for the status: `POST [base]/$bulk-submit-status`, which names the place to poll.
pub async fn ask(client: &FhirClient, body: Bytes, now: Timestamp) -> Result<Reply, ClientError> {
    let prefer = [("prefer", "respond-async")];
    let answer = client.operation("$bulk-submit-status", &prefer, body).await?;
    Ok(transaction::read(answer, now))
}

/// Fetches a file of a status manifest; without a token where the manifest says that it needs none:
/// then it must not get one (Bulk Data 2.0.0, output file request).
pub async fn fetch(
    client: &FhirClient,
    place: &str,
    signed: bool,
    now: Timestamp,
) -> Result<Reply, ClientError> {
    let answer = match signed {
        true => client.get_absolute(place).await?,
        false => client.get_absolute_open(place).await?,
    };
    Ok(transaction::read(answer, now))
}

/// Fetches such a file whose body is taken as it comes.
pub async fn take(
    client: &FhirClient,
    place: &str,
    signed: bool,
    (take, now): (Taker<'_>, Timestamp),
) -> Result<Reply, ClientError> {
    Ok(transaction::read(client.take_absolute(place, signed, take).await?, now))
}

/// Nobody wants that status any more: `DELETE` of its place (Bulk Data 2.0.0, delete request).
pub async fn forget(
    client: &FhirClient,
    place: &str,
    now: Timestamp,
) -> Result<Reply, ClientError> {
    Ok(transaction::read(client.delete_absolute(place).await?, now))
}
