//! Tokens: what both ways of signing in do to get a token at a partner, and to keep it while it lasts.
//!
//! Comes in   claims to be signed, requests to the partner's sign-in, its answers.
//! Goes out   a token, kept or new; or why there is none, split by what helps.
//! Never      signs in twice at once at one partner, or keeps a token beyond a day.

use super::smart::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::clock::Clock;
use crate::limits::{PARTNER_WORDS_MAX, TOKEN_LIFE_ASSUMED, TOKEN_REFRESH_AHEAD};
use crate::transport::{Transport, TransportError, is_loopback};
use crate::trust::{Purposes, SignInError};
use crate::{retry_after, urlencoded};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A token, and until when it is used.
pub(crate) struct Kept {
    pub(crate) token: SecretString,
    pub(crate) until: Timestamp,
}

/// The tokens of one partner, each for the purposes it was asked for.
#[derive(Default)]
pub(crate) struct Tokens {
    kept: Mutex<BTreeMap<Purposes, Kept>>,
    /// One sign-in at a time; whoever waits finds its token.
    turn: tokio::sync::Mutex<()>,
}

impl Tokens {
    /// The one that is kept, else the one that this sign-in brings.
    pub(crate) async fn get(
        &self,
        purposes: &Purposes,
        clock: &dyn Clock,
        sign_in: impl Future<Output = Result<Kept, SignInError>>,
    ) -> Result<SecretString, SignInError> {
        if let Some(token) = self.kept_token(purposes, clock.now()) {
            return Ok(token);
        }
        let _turn = self.turn.lock().await;
        if let Some(token) = self.kept_token(purposes, clock.now()) {
            return Ok(token);
        }
        let kept = sign_in.await?;
        let token = kept.token.clone();
        self.lock().insert(purposes.clone(), kept);
        Ok(token)
    }

    /// Forgets this token, unless a newer one has taken its place already.
    pub(crate) fn forget(&self, token: &SecretString) {
        let same = |kept: &Kept| kept.token.expose_secret() == token.expose_secret();
        self.lock().retain(|_, kept| !same(kept));
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn kept_token(&self, purposes: &Purposes, now: Timestamp) -> Option<SecretString> {
        let kept = self.lock();
        Some(kept.get(purposes).filter(|kept| kept.until > now)?.token.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Purposes, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The claims of a JWT that serves once, from now on for this long (RFC 7523 §3).
pub(crate) fn claims(
    issuer: &str,
    audience: &str,
    now: Timestamp,
    life: Duration,
) -> Result<Value, SignInError> {
    let mut jti = [0; 16];
    aws_lc_rs::rand::fill(&mut jti).map_err(|_| refused("no random number could be drawn"))?;
    let now = now.as_second();
    Ok(json!({
        "iss": issuer,
        "sub": issuer,
        "aud": audience,
        "iat": now,
        "exp": now + life.as_secs() as i64,
        "jti": URL_SAFE_NO_PAD.encode(jti),
    }))
}

/// A token request by client credentials (RFC 6749 §4.4, RFC 7523 §2.2), with what else it says.
pub(crate) fn token_request(
    endpoint: &str,
    scope: &str,
    assertion: &str,
    more: &[(&str, &str)],
) -> Result<Request<Bytes>, SignInError> {
    let form = [
        ("grant_type", CLIENT_CREDENTIALS),
        ("scope", scope),
        ("client_assertion_type", JWT_BEARER),
        ("client_assertion", assertion),
    ];
    Request::post(endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .body(Bytes::from(urlencoded::encode(form.into_iter().chain(more.iter().copied()))))
        .map_err(|_| refused("its token endpoint is not a URL"))
}

/// Sends, and sorts out what waiting can help: no answer, overload, a server's own fault.
pub(crate) async fn send(
    transport: &dyn Transport,
    clock: &dyn Clock,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, SignInError> {
    let passing = |cause, retry_after| Err(SignInError::Unreachable { cause, retry_after });
    match transport.send(request).await {
        Ok(answer) if is_overload(answer.status()) => {
            let wait = retry_after::read(answer.headers(), clock.now());
            passing(format!("status {}", answer.status().as_u16()), wait)
        }
        Ok(answer) => Ok(answer),
        Err(TransportError::Untrusted(cause)) => Err(SignInError::Untrusted(cause)),
        Err(TransportError::AnswerTooLarge) => Err(refused("its answer is too large")),
        Err(TransportError::BeyondReach) => Err(refused(
            "it leads to an address of a private network; `[network] allow` can name it",
        )),
        Err(TransportError::NotSent(cause) | TransportError::Unknown(cause)) => {
            passing(cause, None)
        }
    }
}

/// Reads the token answer (RFC 6749 §5.1). `expires_in` as text occurs in the field.
pub(crate) fn read_token(told: &Value, asked_at: Timestamp) -> Result<Kept, SignInError> {
    let token = told["access_token"].as_str().unwrap_or_default();
    let kind = told["token_type"].as_str().unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused("its answer holds no usable access token"));
    }
    if !kind.eq_ignore_ascii_case("bearer") {
        return Err(refused("its token is not a bearer token"));
    }
    let life = told["expires_in"].as_u64();
    let life = life.or_else(|| told["expires_in"].as_str()?.parse().ok());
    // A day at most: no partner of ours may make us keep a token for ever.
    let life = Duration::from_secs(life.unwrap_or(TOKEN_LIFE_ASSUMED.as_secs()).min(86_400));
    let ahead = TOKEN_REFRESH_AHEAD.min(life / 2);
    let until = asked_at.checked_add(life - ahead).unwrap_or(asked_at);
    Ok(Kept { token: SecretString::from(token.to_owned()), until })
}

pub(crate) fn refused(words: &str) -> SignInError {
    SignInError::Refused(words.to_owned())
}

/// The partner's own words (RFC 6749 §5.2), bounded and in plain ASCII.
pub(crate) fn partner_words(status: StatusCode, told: &Value) -> String {
    let part = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let words = format!("{} {} {}", status.as_u16(), part("error"), part("error_description"));
    let plain = words.chars().filter(|char| char.is_ascii_graphic() || *char == ' ');
    plain.take(PARTNER_WORDS_MAX).collect::<String>().trim_end().to_owned()
}

fn is_overload(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

pub(crate) fn is_safe(uri: &Uri) -> bool {
    let plain_authority = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
    plain_authority
        && match uri.scheme_str() {
            Some("https") => true,
            Some("http") => uri.host().is_some_and(is_loopback),
            _ => false,
        }
}
