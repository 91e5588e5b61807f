//! Deliver: what came back from a door, as *settle* reads it.
//!
//! Comes in   a signed-in client, the stored payload or the place to poll.
//! Goes out   the answer as a value, and its body to be kept.
//! Never      decides what it means: that is *settle*'s.

use bytes::Bytes;
use exchange::parts::{Item, Said};
use exchange::settle::{Answered, Reply};
use jiff::Timestamp;
use wire::form::{bulk, single, transaction};
use wire::{ClientError, FhirClient, SignInError, Taker, TransportError};

/// Sends the payload.
pub async fn send(client: &FhirClient, payload: Bytes, now: Timestamp) -> Answered {
    answered(transaction::deliver(client, payload, now).await)
}

/// Asks a place the payer named: the poll of a push, or a file with its answer.
pub async fn ask(client: &FhirClient, place: &str, now: Timestamp) -> Answered {
    let answer = client.get_absolute(place).await;
    answered(answer.map(|answer| transaction::read(answer, now)))
}

/// Tells a payer of a bulk submission.
pub async fn submit(client: &FhirClient, body: Bytes, now: Timestamp) -> Answered {
    answered(bulk::submit(client, body, now).await)
}

/// Asks for the status of a bulk submission.
pub async fn ask_status(client: &FhirClient, body: Bytes, now: Timestamp) -> Answered {
    answered(bulk::ask(client, body, now).await)
}

/// Fetches a file that a payer's status names, signed in or not.
pub async fn fetch(client: &FhirClient, place: &str, signed: bool, now: Timestamp) -> Answered {
    answered(bulk::fetch(client, place, signed, now).await)
}

/// The same for a file of any size: of a 200 the body is taken as it comes.
pub async fn take(
    client: &FhirClient,
    place: &str,
    signed: bool,
    (take, now): (Taker<'_>, Timestamp),
) -> Answered {
    answered(bulk::take(client, place, signed, (take, now)).await)
}

/// Says that nobody wants a status any more.
pub async fn forget(client: &FhirClient, place: &str, now: Timestamp) -> Answered {
    answered(bulk::forget(client, place, now).await)
}

/// Sends one record; what was said of it, where there was an answer.
pub async fn send_one(
    client: &FhirClient,
    item: &Item,
    now: Timestamp,
) -> (Answered, Option<Said>) {
    match single::deliver(client, item, now).await {
        Ok((reply, said)) => (Answered::Reply(reply), Some(said)),
        Err(error) => (answered(Err(error)), None),
    }
}

/// Asks what a door holds.
pub async fn search(client: &FhirClient, query: &str, now: Timestamp) -> Answered {
    answered(single::search(client, query, now).await)
}

fn answered(answer: Result<Reply, ClientError>) -> Answered {
    if let Err(error) = &answer {
        tracing::warn!(?error, "a push brought no answer");
    }
    match answer {
        Ok(reply) => Answered::Reply(reply),
        Err(ClientError::SignIn(error)) if error.is_passing() => {
            Answered::SignInUnreachable { retry_after: None }
        }
        Err(ClientError::SignIn(SignInError::Untrusted(_))) => Answered::Untrusted,
        Err(ClientError::SignIn(SignInError::Refused(said))) => Answered::SignInRefused { said },
        Err(ClientError::SignIn(_)) => Answered::SignInRefused { said: String::new() },
        Err(ClientError::Transport(TransportError::NotSent(_))) => Answered::NotSent,
        Err(ClientError::Transport(TransportError::Untrusted(_) | TransportError::BeyondReach)) => {
            Answered::Untrusted
        }
        Err(ClientError::Transport(TransportError::Unknown(_))) => Answered::Unknown,
        Err(ClientError::Transport(TransportError::AnswerTooLarge)) => Answered::TooLarge,
        // `settle` hands out places of the payer's own origin only.
        Err(ClientError::ForeignUrl) => Answered::NotSent,
    }
}
