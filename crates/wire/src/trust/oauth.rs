//! OAuth: what both ways of signing in read and say at the token endpoint.
//!
//! Comes in   a posted form; why a request is refused.
//! Goes out   its parameters, each once; answers with an OAuth error (RFC 6749 §5.2, RFC 7591
//!            §3.2.2) or with JSON that no cache may keep.
//! Never      knows who signs in, or says more than the words it is given.

use super::smart::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::refusal::Answer;
use crate::urlencoded;
use exchange::Code;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

/// An OAuth error with words that are safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The OAuth code.
    pub(crate) error: &'static str,
    /// What whoever asked is told.
    pub(crate) words: String,
}

impl Refused {
    pub(crate) fn new(status: u16, error: &'static str, words: impl Into<String>) -> Refused {
        Refused { status, error, words: words.into() }
    }

    /// `invalid_client`, in the words of the catalogue as far as OAuth has room for them.
    pub(crate) fn client(detail: &str) -> Refused {
        let row = Code::CredentialRefused.row();
        let words = format!("{}: {detail}. Next: {}", row.slug, row.next);
        Refused::new(row.status, "invalid_client", words)
    }

    /// Nothing is wrong with the request; it may come again.
    pub(crate) fn later(words: &str) -> Refused {
        Refused::new(503, "temporarily_unavailable", words)
    }

    /// None of the scopes can be had.
    pub(crate) fn scope() -> Refused {
        let words = "none of the scopes asked for is registered for this client";
        Refused::new(400, "invalid_scope", words)
    }

    /// The answer (RFC 6749 §5.2, RFC 7591 §3.2.2).
    pub(crate) fn into_answer(self) -> Answer {
        let body = json!({ "error": self.error, "error_description": self.words });
        let answer = uncached(self.status, &body);
        match self.status {
            401 => answer.with(WWW_AUTHENTICATE, "Bearer"),
            503 => answer.with(RETRY_AFTER, "2"),
            _ => answer,
        }
    }
}

/// JSON that no cache may keep (RFC 6749 §5.1).
pub(crate) fn uncached(status: u16, body: &Value) -> Answer {
    Answer::new(status, body.to_string())
        .with(CONTENT_TYPE, "application/json")
        .with(CACHE_CONTROL, "no-store")
        .with(PRAGMA, "no-cache")
}

fn invalid(words: &str) -> Refused {
    Refused::new(400, "invalid_request", words)
}

/// The parameters of a posted form.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of a body. Errors: `invalid_request`.
    pub(crate) fn read(body: &[u8]) -> Result<Parameters, Refused> {
        let pairs = urlencoded::decode(body).map_err(|_| invalid("the form cannot be read"))?;
        Ok(Parameters(pairs))
    }

    /// One by its name; an empty one counts as left out (RFC 6749 §3.2). Errors: `invalid_request`
    /// where it is repeated.
    pub(crate) fn take(&self, name: &str) -> Result<Option<&str>, Refused> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(invalid("a parameter is repeated")),
            (value, None) => Ok(value.map(String::as_str).filter(|value| !value.is_empty())),
        }
    }
}

/// A token request by client credentials that has what it needs.
pub(crate) struct Form {
    pub(crate) assertion: String,
    pub(crate) scope: String,
    pub(crate) client_id: Option<String>,
}

impl Form {
    /// Reads a token request. Errors: `invalid_request`, `unsupported_grant_type`.
    pub(crate) fn of(parameters: &Parameters) -> Result<Form, Refused> {
        let needed = |name: &str| {
            let value = parameters.take(name)?;
            value.ok_or_else(|| invalid(&format!("{name} is missing"))).map(str::to_owned)
        };
        if needed("grant_type")? != CLIENT_CREDENTIALS {
            let words = "grant_type must be client_credentials";
            return Err(Refused::new(400, "unsupported_grant_type", words));
        }
        if parameters.take("client_assertion_type")? != Some(JWT_BEARER) {
            return Err(invalid("client_assertion_type must be the jwt-bearer one of RFC 7523"));
        }
        Ok(Form {
            assertion: needed("client_assertion")?,
            scope: needed("scope")?,
            client_id: parameters.take("client_id")?.map(str::to_owned),
        })
    }
}
