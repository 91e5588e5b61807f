//! SMART client: signs this house in at a partner's door and keeps the token while it lasts.
//!
//! Comes in   a transport, the partner's base URL, our client id, key and scopes, a clock.
//! Goes out   an access token; or why there is none, split by what helps: waiting, or a person.
//! Never      sends an assertion to a host nobody named, or writes a token into a log.
//!
//! SMART App Launch 2.2, backend services; discovery by `.well-known/smart-configuration`.

use super::CONFIGURATION_PATH;
use crate::clock::Clock;
use crate::keys::{KeyRing, SigningKey};
use crate::limits::ASSERTION_LIFE;
use crate::transport::{BoxFuture, Transport};
use crate::trust::tokens::{
    Kept, Tokens, claims, is_safe, partner_words, read_token, refused, send, token_request,
};
use crate::trust::{Purposes, SignIn, SignInError};
use bytes::Bytes;
use exchange::{Code, Issue};
use http::header::ACCEPT;
use http::{Request, StatusCode, Uri};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;
use std::sync::Arc;

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
    tokens: Tokens,
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
            tokens: Tokens::default(),
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
        // SMART's tokens carry no purpose: one serves them all.
        self.tokens.get(&Purposes::new(), &*self.clock, self.sign_in()).await
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
        let request = token_request(endpoint, &self.scope, &assertion, &[])?;
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
        let claims = claims(&self.client_id, endpoint, now, ASSERTION_LIFE)?;
        let mut header = jsonwebtoken::Header::new(key.kind().algorithm());
        header.kid = Some(key.kid().to_owned());
        header.jku = self.jku.clone();
        key.sign_with(&header, &claims).map_err(|_| refused("this house's key cannot sign"))
    }
}

impl SignIn for SmartClient {
    fn token<'a>(&'a self, _: &'a Purposes) -> BoxFuture<'a, Result<SecretString, SignInError>> {
        Box::pin(SmartClient::token(self))
    }

    fn forget(&self, token: &SecretString) {
        self.tokens.forget(token);
    }
}

fn same_host(one: &Uri, other: &Uri) -> bool {
    one.host().zip(other.host()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}
