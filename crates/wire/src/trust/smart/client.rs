//! SMART client: signs this house in at a partner's door and keeps the token while it lasts.
//!
//! Comes in   a transport, the partner's base URL, our client id, key and scopes, a clock.
//! Goes out   an access token; or why there is none, split by what helps: waiting, or a person.
//! Never      sends an assertion to a host nobody named, or writes a token into a log.
//!
//! SMART App Launch 2.2, backend services; discovery by `.well-known/smart-configuration`.

use super::{CLIENT_CREDENTIALS, CONFIGURATION_PATH, JWT_BEARER};
use crate::clock::Clock;
use crate::keys::{KeyRing, SigningKey};
use crate::limits::{ASSERTION_LIFE, PARTNER_WORDS_MAX, TOKEN_LIFE_ASSUMED, TOKEN_REFRESH_AHEAD};
use crate::transport::{BoxFuture, Transport, TransportError, is_loopback};
use crate::trust::{Purposes, SignIn, SignInError};
use crate::{retry_after, urlencoded};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use exchange::{Code, Issue};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Signs in at one partner.
pub struct SmartClient {
    transport: Arc<dyn Transport>,
    base_url: String,
    client_id: String,
    keys: KeyRing,
    /// Where partners find our public keys, where an assertion is to say so.
    jku: Option<String>,
    scope: String,
    clock: Arc<dyn Clock>,
    /// Set by configuration; else learnt from the partner.
    token_endpoint: Option<String>,
    kept: Mutex<Option<Kept>>,
    /// One sign-in at a time; whoever waits finds its token.
    turn: tokio::sync::Mutex<()>,
}

/// A token, and until when it is used.
pub(crate) struct Kept {
    pub(crate) token: SecretString,
    pub(crate) until: Timestamp,
}

impl SmartClient {
    /// A client for one base URL, with one key and the scopes to ask for (separated by spaces).
    ///
    /// Errors: `KeyUnusable`.
    pub fn new(
        transport: Arc<dyn Transport>,
        base_url: &str,
        client_id: &str,
        key_pem: &str,
        scope: String,
        clock: Arc<dyn Clock>,
    ) -> Result<SmartClient, Issue> {
        let keys = KeyRing::new(SigningKey::from_pem(key_pem)?);
        Ok(SmartClient::signing(transport, base_url, client_id, keys, scope, clock))
    }

    /// The same with a handle to the house's keys: it signs with the one that is current then. Where
    /// a partner does not know that one yet, those before it are tried, as long as they are kept.
    pub fn signing(
        transport: Arc<dyn Transport>,
        base_url: &str,
        client_id: &str,
        keys: KeyRing,
        scope: String,
        clock: Arc<dyn Clock>,
    ) -> SmartClient {
        SmartClient {
            transport,
            base_url: base_url.trim_end_matches('/').to_owned(),
            client_id: client_id.to_owned(),
            keys,
            jku: None,
            scope,
            clock,
            token_endpoint: None,
            kept: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Names the URL of our public keys in each assertion (`jku`, RFC 7515 §4.1.2).
    pub fn telling(mut self, jku: &str) -> SmartClient {
        self.jku = Some(jku.to_owned());
        self
    }

    /// Uses a token endpoint that the partner agreed on, on whatever host, instead of discovery.
    ///
    /// Errors: `ConfigInvalid` unless it is `https` (or plain HTTP on loopback).
    pub fn with_token_endpoint(mut self, url: &str) -> Result<SmartClient, Issue> {
        let uri = url.parse::<Uri>().ok().filter(is_safe);
        if uri.is_none() {
            let detail = "a token endpoint must be an https URL";
            return Err(Issue::new(Code::ConfigInvalid, detail).at("token_endpoint"));
        }
        self.token_endpoint = Some(url.to_owned());
        Ok(self)
    }

    /// A token that is valid for a while yet, kept or new.
    pub async fn token(&self) -> Result<SecretString, SignInError> {
        if let Some(token) = self.kept_token() {
            return Ok(token);
        }
        let _turn = self.turn.lock().await;
        if let Some(token) = self.kept_token() {
            return Ok(token);
        }
        let kept = self.sign_in().await?;
        let token = kept.token.clone();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(token)
    }

    /// Forgets every token: the next request signs in anew.
    pub fn forget_all(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn kept_token(&self) -> Option<SecretString> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref().filter(|kept| kept.until > self.clock.now())?;
        Some(kept.token.clone())
    }

    async fn sign_in(&self) -> Result<Kept, SignInError> {
        let endpoint = match &self.token_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => self.discover().await?,
        };
        let mut first = None;
        for key in self.keys.now().signers() {
            match self.sign_in_by(key, &endpoint).await {
                Err(SignInError::Refused(words)) => {
                    tracing::warn!(kid = key.kid(), "a partner refused a sign-in by this key");
                    first.get_or_insert(SignInError::Refused(words));
                }
                done => return done,
            }
        }
        Err(first.unwrap_or_else(|| refused("this house has no key that signs")))
    }

    async fn sign_in_by(&self, key: &SigningKey, endpoint: &str) -> Result<Kept, SignInError> {
        let asked_at = self.clock.now();
        let assertion = self.assertion(key, endpoint, asked_at)?;
        let form = urlencoded::encode([
            ("grant_type", CLIENT_CREDENTIALS),
            ("scope", self.scope.as_str()),
            ("client_assertion_type", JWT_BEARER),
            ("client_assertion", assertion.as_str()),
        ]);
        let request = Request::post(endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(form))
            .map_err(|_| refused("its token endpoint is not a URL"))?;
        let answer = send(&*self.transport, &*self.clock, request).await?;
        let told: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        if answer.status() != StatusCode::OK {
            return Err(refused(&partner_words(answer.status(), &told)));
        }
        read_token(&told, asked_at)
    }

    /// Reads where to sign in. An endpoint on another host is followed only where configured.
    async fn discover(&self) -> Result<String, SignInError> {
        let request = Request::get(format!("{}{CONFIGURATION_PATH}", self.base_url))
            .header(ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| refused("its base URL is not a URL"))?;
        let answer = send(&*self.transport, &*self.clock, request).await?;
        if answer.status() != StatusCode::OK {
            let status = answer.status().as_u16();
            return Err(refused(&format!("its smart-configuration answers {status}")));
        }
        let told: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let endpoint = self.absolute(told["token_endpoint"].as_str().unwrap_or_default());
        let base: Option<Uri> = self.base_url.parse().ok();
        let uri: Option<Uri> = endpoint.parse().ok();
        let (Some(base), Some(uri)) = (base, uri.filter(is_safe)) else {
            return Err(refused("its smart-configuration names no https token endpoint"));
        };
        let downgraded = base.scheme_str() == Some("https") && uri.scheme_str() != Some("https");
        if downgraded || !same_host(&base, &uri) {
            return Err(refused("its token endpoint is on another host; configure it if agreed"));
        }
        Ok(endpoint)
    }

    /// An endpoint as it is named; a relative one is seen from the base URL, which old servers do not
    /// say (SMART App Launch 2.2, using well-known).
    fn absolute(&self, endpoint: &str) -> String {
        if endpoint.is_empty() || endpoint.contains("://") {
            return endpoint.to_owned();
        }
        let base = reqwest::Url::parse(&self.base_url);
        base.and_then(|base| base.join(endpoint)).map(String::from).unwrap_or_default()
    }

    fn assertion(
        &self,
        key: &SigningKey,
        endpoint: &str,
        now: Timestamp,
    ) -> Result<String, SignInError> {
        let mut jti = [0; 16];
        aws_lc_rs::rand::fill(&mut jti).map_err(|_| refused("no random number could be drawn"))?;
        let claims = serde_json::json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": endpoint,
            "iat": now.as_second(),
            "exp": now.as_second() + ASSERTION_LIFE.as_secs() as i64,
            "jti": URL_SAFE_NO_PAD.encode(jti),
        });
        let mut header = jsonwebtoken::Header::new(key.kind().algorithm());
        header.kid = Some(key.kid().to_owned());
        header.jku = self.jku.clone();
        key.sign_with(&header, &claims).map_err(|_| refused("this house's key cannot sign"))
    }
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

/// SMART's tokens carry no purpose: one serves them all.
impl SignIn for SmartClient {
    fn token<'a>(&'a self, _: &'a Purposes) -> BoxFuture<'a, Result<SecretString, SignInError>> {
        Box::pin(SmartClient::token(self))
    }

    fn forget(&self, token: &SecretString) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &Kept| kept.token.expose_secret() == token.expose_secret();
        if kept.as_ref().is_some_and(same) {
            *kept = None;
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

fn same_host(one: &Uri, other: &Uri) -> bool {
    one.host().zip(other.host()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}
