//! Api: the house's own door for commands, JSON in and out.
//!
//! Comes in   `POST /{command}` from a caller with the scope `handover/operate`.
//! Goes out   a call of `Api`; its JSON, or an issue as `OperationOutcome`.
//! Never      knows a command; never carries one out for a partner, only for the house's own people.

use crate::door::{self, content_type, not_offered};
use crate::limits::COMMAND_BYTES_MAX;
use crate::media;
use crate::refusal::Answer;
use crate::transport::BoxFuture;
use crate::trust::Caller;
use crate::trust::smart::server::Gate;
use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use exchange::{Code, Issue};
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::sync::Arc;

/// The scope every command needs; partners never get it.
pub const OPERATE: &str = "handover/operate";

/// Carries out commands by name.
pub trait Api: Send + Sync + 'static {
    /// One command with its JSON (empty when there is none); the answer is JSON.
    fn command<'a>(
        &'a self,
        caller: &'a Caller,
        name: &'a str,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, Issue>>;
}

/// The router of the house's own API; the caller mounts it with `rest::mount`.
pub fn router(api: Arc<dyn Api>, gate: Arc<Gate>) -> Router {
    Router::new().fallback(move |request: Request| {
        let (api, gate) = (api.clone(), gate.clone());
        door::answer(request, move |request| async move {
            command(api.as_ref(), &gate, request).await.unwrap_or_else(Answer::from)
        })
    })
}

async fn command(api: &dyn Api, gate: &Gate, request: Request) -> Result<Answer, Issue> {
    let presented = door::presented(&request);
    let caller = gate.admit(request.headers(), presented.as_deref()).await?;
    caller.require_scope(OPERATE)?;
    if request.method() != Method::POST {
        return Ok(not_offered("POST"));
    }
    let name = request.uri().path().trim_matches('/').to_owned();
    if !is_command(&name) {
        return Err(Issue::new(Code::CommandInvalid, "no command can have this name"));
    }
    let sent = content_type(request.headers()).map(str::to_owned);
    let body = door::read_body(request, COMMAND_BYTES_MAX, None).await?;
    if !body.is_empty() && !media::is(sent.as_deref(), "application/json") {
        let issue = Issue::new(Code::MediaTypeUnsupported, "a command is sent as application/json");
        return Err(issue.at("Content-Type"));
    }
    let answer = Answer::new(200, api.command(&caller, &name, body).await?);
    Ok(answer.with(CONTENT_TYPE, "application/json").with(CACHE_CONTROL, "no-store"))
}

fn is_command(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
