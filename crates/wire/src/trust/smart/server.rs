//! Gate: the token endpoint of a house, and the check of its tokens at every door.
//!
//! Comes in   token requests (a form), requests with an access token (headers).
//! Goes out   tokens, OAuth errors (RFC 6749 §5.2), a `Caller`.
//! Never      grants a scope that is not registered, takes an assertion twice, or honours a token
//!            whose credential or key is no longer registered; never shows by its words or its time
//!            which clients there are.
//!
//! Why some refusals take two seconds: where the keys of a client are at a URL, an assertion with a key
//! that is not known makes the gate ask there, or a partner could not change its key. That takes time,
//! and a client that nobody knows would be told from one whose keys are asked for. So a refusal that
//! nobody has proved to deserve takes as long as the longest fetch, whoever is claimed, but only the
//! first one in ten seconds for a client id. Those behind it ask nobody and come at once, whether there
//! is such a client or not. Nothing is lost by that: the set was asked for a moment ago, and a partner
//! whose key is in it signs in as ever. A mistake of one's own thus costs two seconds once, and what
//! cannot be read as an assertion, or where nobody's keys are at a URL, nothing at all. Only while some
//! set is not known (its URL is away, it may not be kept, or nobody has signed in by it yet) does every
//! refusal take its time, since whoever is behind that set must be asked for.

use super::CLIENT_CREDENTIALS;
use super::access_token::{Content, Mint};
use super::assertion::{self, Assertion, NOT_VERIFIED, Verified, find_credential};
use super::replay::Replay;
use crate::clock::Clock;
use crate::limits::{ACCESS_TOKEN_LIFE, PUBLIC_KEYS_KEEP, REFUSED_AT_ONCE, SCOPES_MAX};
use crate::rates::{Buckets, RateLimits, Rates};
use crate::refusal::Answer;
use crate::server::Line;
use crate::trust::jwks::{KeySet, has_key};
use crate::trust::mutual::{Certificates, Presented};
use crate::trust::oauth::{Form, Parameters, Refused, uncached};
use crate::trust::udap::Udap;
use crate::trust::{Caller, Credential, scope};
use exchange::{Code, Digest, Issue};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::time::Instant;

/// Says of a partner, by its name in this house, whether it is suspended: asked with every request, so
/// that it must cost nothing.
pub type Suspended = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Signs partners in and recognises them again.
pub struct Gate {
    base_url: String,
    credentials: RwLock<Arc<Vec<Credential>>>,
    /// Keys that clients publish at a URL, by client id: they stand for those of the credential.
    key_sets: HashMap<String, Arc<KeySet>>,
    certificates: RwLock<Arc<Certificates>>,
    mint: RwLock<Arc<Mint>>,
    /// The house's own public keys.
    published: RwLock<Option<Value>>,
    /// What the house tells of itself to whoever asks.
    pub(crate) introduced: RwLock<Option<String>>,
    replay: Arc<dyn Replay>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The other way of signing in, where the house has it.
    pub(crate) udap: Option<Arc<Udap>>,
    rates: Rates,
    /// Whether all exchange with a partner is suspended now.
    suspended: Suspended,
    /// Client ids whose unverified assertions have been refused lately.
    refused: Buckets<Digest>,
}

impl Gate {
    /// A gate at this base URL (no trailing slash needed); `secret` is the MAC key of its tokens.
    pub fn new(
        base_url: &str,
        credentials: Vec<Credential>,
        secret: [u8; 32],
        replay: Arc<dyn Replay>,
        clock: Arc<dyn Clock>,
    ) -> Gate {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let mint = RwLock::new(Arc::new(Mint::new(&secret, &base_url)));
        let (credentials, published) = (RwLock::new(Arc::new(credentials)), RwLock::default());
        let (key_sets, certificates) = (HashMap::new(), RwLock::default());
        Gate {
            base_url,
            credentials,
            key_sets,
            certificates,
            mint,
            published,
            introduced: RwLock::default(),
            replay,
            clock,
            udap: None,
            rates: Rates::new(RateLimits::default()),
            suspended: Arc::new(|_| false),
            refused: Buckets::of_one(REFUSED_AT_ONCE),
        }
    }

    /// The same gate, where the keys of these clients are what they publish.
    pub fn with_key_sets(mut self, key_sets: HashMap<String, Arc<KeySet>>) -> Gate {
        self.key_sets = key_sets;
        self
    }

    /// The same gate, where clients are known by their certificates too.
    pub fn with_certificates(self, certificates: Certificates) -> Gate {
        self.know_certificates(certificates);
        self
    }

    /// Clients whose keys cannot be had at their URL now, each with what is wrong there.
    pub fn key_troubles(&self) -> Vec<(String, String)> {
        let sets = self.key_sets.iter();
        let mut troubled: Vec<(String, String)> =
            sets.filter_map(|(client, set)| Some((client.clone(), set.trouble()?))).collect();
        troubled.sort();
        troubled
    }

    /// Clients are known by these certificates from now on, also over connections that are there.
    pub fn know_certificates(&self, certificates: Certificates) {
        let mut current = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(certificates);
    }

    fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same gate, where clients may ask so often.
    pub fn with_rates(mut self, limits: RateLimits) -> Gate {
        self.rates = Rates::new(limits);
        self
    }

    /// The same gate, closed to partners of whom this says so, whatever tokens they have.
    pub fn with_suspended(mut self, suspended: Suspended) -> Gate {
        self.suspended = suspended;
        self
    }

    /// Whether a partner who has proved to be it may have a token. The error is the answer.
    pub(crate) fn check_suspended(&self, partner: &str) -> Result<(), Refused> {
        if !(self.suspended)(partner) {
            return Ok(());
        }
        let row = Code::PartnerSuspended.row();
        let words = format!("{}: {}. Next: {}", row.slug, row.title, row.next);
        Err(Refused::new(400, "unauthorized_client", words))
    }

    /// Counts a request of a caller. The error: after how many seconds the next one helps.
    pub(crate) fn count(&self, caller: &Caller) -> Result<(), u64> {
        self.rates.client(&caller.client_id, self.clock.now())
    }

    /// Counts a sign-in or a registration, before anything of it is read. The error is the answer.
    pub(crate) fn count_stranger(&self, line: Option<&Line>) -> Result<(), Box<Answer>> {
        let Some(line) = line else { return Ok(()) };
        let counted = self.rates.address(line.address, self.clock.now());
        counted.map_err(|seconds| {
            let row = Code::RateExceeded.row();
            tracing::warn!("sign-ins from one address are more than the house takes");
            let words = format!("{}: {}. Next: {}", row.slug, row.title, row.next);
            let refused = Refused::new(row.status, "temporarily_unavailable", words);
            Box::new(refused.into_answer().with(RETRY_AFTER, seconds.to_string()))
        })
    }

    /// Counts a request that shows a capability and no token. The error: after how many seconds the
    /// next one helps.
    pub(crate) fn count_bearer(&self, line: Option<&Line>) -> Result<(), u64> {
        line.map_or(Ok(()), |line| self.rates.bearer(line.address, self.clock.now()))
    }

    /// Issues tokens under another secret from now on, and reads those of these others as well.
    pub fn issue_under(&self, secret: &[u8; 32], others: &[[u8; 32]]) {
        let mint = Mint::new(secret, &self.base_url).reading(others);
        *self.mint.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(mint);
    }

    /// Publishes the house's own public keys, a JWK Set, below its base URL.
    pub fn publish(&self, jwks: Value) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Some(jwks);
    }

    /// The document at `.well-known/jwks.json`, with how long others may keep it; none where the
    /// house publishes no keys.
    pub fn public_keys(&self) -> Option<Answer> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        let answer = Answer::new(200, published.as_ref()?.to_string());
        let keep = format!("public, max-age={}", PUBLIC_KEYS_KEEP.as_secs());
        Some(answer.with(CONTENT_TYPE, "application/json").with(CACHE_CONTROL, keep))
    }

    pub(crate) fn mint(&self) -> Arc<Mint> {
        Arc::clone(&self.mint.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces all registrations; tokens of credentials or keys that are gone stop at once.
    pub fn register(&self, credentials: Vec<Credential>) {
        let mut current = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(credentials);
    }

    /// The URL partners send assertions to, which is also their audience.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.base_url)
    }

    /// Answers a token request: the body of a form, as posted.
    ///
    /// 200 with a token; 400 or 401 with an OAuth error; 503 when the replay memory cannot be asked.
    pub async fn token(&self, form: &[u8]) -> Answer {
        self.token_over(form, None).await
    }

    /// The same over a connection whose peer presented a certificate: the token is bound to it.
    pub async fn token_over(&self, form: &[u8], presented: Option<&Presented>) -> Answer {
        match self.grant(form, presented).await {
            Ok(answer) => uncached(200, &answer),
            Err(refused) => {
                tracing::warn!(error = refused.error, reason = %refused.words, "sign-in refused");
                refused.into_answer()
            }
        }
    }

    /// Whose assertion it is: the credential, and what was signed.
    async fn verify(&self, jwt: &str) -> Result<(Credential, Verified), Refused> {
        let began = Instant::now();
        // What cannot be read says nothing of a client, and is refused at once.
        let assertion = Assertion::read(jwt).map_err(|refused| Refused::client(refused.0))?;
        let claimed = Digest::of(assertion.client_id().as_bytes());
        // A set whose time is over is asked for all the same: what strangers claim in its client's name
        // must not keep that client out. While there is such a set, every refusal takes its time: it
        // would else be told from one of a client that nobody knows.
        let known = self.key_sets.values().all(|set| set.known().is_some());
        let at_once = known && self.refused.is_tapped(&claimed, self.clock.now());
        let verified = self.verify_as_it_comes(assertion, at_once).await;
        if !at_once && verified.as_ref().is_err_and(|refused| *refused == NOT_VERIFIED) {
            self.refused.take(claimed, self.clock.now()).ok();
            let wait = self.key_sets.values().map(|set| set.wait()).max().unwrap_or_default();
            tokio::time::sleep_until(began + wait).await;
        }
        verified.map_err(|refused| Refused::client(refused.0))
    }

    /// `at_once`: with the keys that are known, and without asking for any.
    async fn verify_as_it_comes(
        &self,
        assertion: Assertion<'_>,
        at_once: bool,
    ) -> Result<(Credential, Verified), assertion::Refused> {
        let credential = find_credential(&self.credentials(), assertion.client_id()).cloned();
        let published = credential.as_ref().and_then(|it| self.key_sets.get(&it.client_id));
        let fetched = match published {
            Some(set) if at_once => set.known(),
            Some(set) => set.keys(assertion.kid()).await,
            None => None,
        };
        let keys = match published {
            Some(_) => fetched.as_deref(),
            None => credential.as_ref().map(|credential| &credential.jwks),
        };
        let url = published.map(|set| set.url());
        let verified = assertion.verify(keys, url, &self.token_endpoint(), self.clock.now())?;
        credential.map(|credential| (credential, verified)).ok_or(NOT_VERIFIED)
    }

    async fn grant(&self, form: &[u8], presented: Option<&Presented>) -> Result<Value, Refused> {
        let form = Form::of(&Parameters::read(form)?)?;
        let now = self.clock.now();
        let (credential, verified) = self.verify(&form.assertion).await?;
        let client_id = &credential.client_id;
        if form.client_id.is_some_and(|id| id != *client_id) {
            return Err(Refused::client("client_id is not the assertion's"));
        }
        self.check_presented(client_id, presented)?;
        self.check_suspended(&credential.partner)?;
        let first = self.replay.first_use(client_id, &verified.jti, verified.until).await;
        let first = first.map_err(|issue| {
            tracing::error!(%issue, "replay check");
            Refused::later("the sign-in cannot be checked now")
        })?;
        if !first {
            return Err(Refused::client("this jti was used before"));
        }

        let asked: Vec<&str> = form.scope.split_whitespace().take(SCOPES_MAX).collect();
        let granted = scope::grant(&asked, &credential.scopes);
        if granted.is_empty() {
            return Err(Refused::scope());
        }
        let content = Content {
            client_id: client_id.clone(),
            kid: verified.kid.clone(),
            scope: granted.join(" "),
            expiry: now.as_second() + ACCESS_TOKEN_LIFE.as_secs() as i64,
            purposes: None,
            certificate: presented.map(Presented::thumbprint),
        };
        Ok(self.issue(&content, "bearer"))
    }

    /// A new token, as whoever asked for it is told (RFC 6749 §5.1); `kind` as its guide spells it.
    pub(crate) fn issue(&self, content: &Content, kind: &str) -> Value {
        json!({
            "access_token": self.mint().issue(content),
            "token_type": kind,
            "expires_in": ACCESS_TOKEN_LIFE.as_secs(),
            "scope": content.scope,
        })
    }

    /// Whether a client may have a token over a connection: with its own certificate or none, and
    /// not with another's.
    pub(crate) fn check_presented(
        &self,
        client_id: &str,
        presented: Option<&Presented>,
    ) -> Result<(), Refused> {
        let (now, certificates) = (self.clock.now(), self.certificates());
        match presented.and_then(|presented| certificates.client_of(presented, now)) {
            Some(whose) if whose == client_id => Ok(()),
            Some(_) => Err(Refused::client("the certificate is another client's")),
            None if certificates.is_required(client_id) => {
                Err(Refused::client("this client signs in over a connection with its certificate"))
            }
            None => Ok(()),
        }
    }

    /// Says who sent a request: by its access token, or by the certificate of its connection where
    /// its client signs in by that alone. Where the key behind a token is not among those that are
    /// known, the client's own set is asked for it.
    ///
    /// Errors: `SignInRequired`, for every reason alike; `PartnerSuspended`.
    pub async fn admit(
        &self,
        headers: &HeaderMap,
        presented: Option<&Presented>,
    ) -> Result<Caller, Issue> {
        if let Some(presented) = presented.filter(|_| !headers.contains_key(AUTHORIZATION)) {
            return self.unless_suspended(self.by_certificate(presented)?);
        }
        let content = self.token_content(headers)?;
        let bound = content.certificate.as_ref();
        if bound.is_some_and(|bound| Some(bound) != presented.map(Presented::thumbprint).as_ref()) {
            return Err(not_signed_in(INVALID_TOKEN));
        }
        if let Some(set) = self.key_sets.get(&content.client_id)
            && !set.holds(&content.kid)
        {
            set.keys(&content.kid).await;
        }
        self.unless_suspended(self.recognise(content)?)
    }

    fn unless_suspended(&self, caller: Caller) -> Result<Caller, Issue> {
        if (self.suspended)(&caller.partner) {
            let detail = "a person of this house has suspended all exchange with this partner";
            return Err(Issue::new(Code::PartnerSuspended, detail));
        }
        Ok(caller)
    }

    /// Says who sent a request over a connection without a certificate, by its access token and what
    /// is known here.
    ///
    /// Errors: `SignInRequired`, for every reason alike; `PartnerSuspended`.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Issue> {
        let content = self.token_content(headers)?;
        if content.certificate.is_some() {
            return Err(not_signed_in(INVALID_TOKEN));
        }
        self.unless_suspended(self.recognise(content)?)
    }

    /// Who signs in by a certificate alone.
    fn by_certificate(&self, presented: &Presented) -> Result<Caller, Issue> {
        let (credentials, certificates) = (self.credentials(), self.certificates());
        let whose = certificates.client_of(presented, self.clock.now());
        let credential = whose
            .filter(|client_id| certificates.is_alone(client_id))
            .and_then(|client_id| find_credential(&credentials, &client_id))
            .ok_or_else(|| {
                not_signed_in("no access token was sent, and no certificate that signs in")
            })?;
        Ok(Caller {
            client_id: credential.client_id.clone(),
            partner: credential.partner.clone(),
            scopes: credential.scopes.clone(),
            purposes: None,
        })
    }

    /// What an access token of ours says: the one MAC check of a request.
    fn token_content(&self, headers: &HeaderMap) -> Result<Content, Issue> {
        let token = bearer(headers).ok_or_else(|| not_signed_in("no access token was sent"))?;
        self.mint().read(token, self.clock.now()).ok_or_else(|| not_signed_in(INVALID_TOKEN))
    }

    /// Whether what a token says still holds.
    fn recognise(&self, content: Content) -> Result<Caller, Issue> {
        if content.purposes.is_some() {
            return self.caller_by_udap(&content).ok_or_else(|| not_signed_in(INVALID_TOKEN));
        }
        let credentials = self.credentials();
        let holds = |credential: &&Credential| match self.key_sets.get(&credential.client_id) {
            Some(set) => set.holds(&content.kid),
            None => has_key(&credential.jwks, &content.kid),
        };
        let credential = find_credential(&credentials, &content.client_id)
            .filter(holds)
            .ok_or_else(|| not_signed_in(INVALID_TOKEN))?;
        let held: Vec<&str> = content.scope.split(' ').collect();
        Ok(Caller {
            partner: credential.partner.clone(),
            scopes: scope::grant(&held, &credential.scopes),
            purposes: None,
            client_id: content.client_id,
        })
    }

    /// The document at `.well-known/smart-configuration` (SMART App Launch 2.2, conformance).
    pub fn smart_configuration(&self) -> Value {
        let bound = !self.certificates().is_empty();
        let mut told = json!({
            "token_endpoint": self.token_endpoint(),
            "grant_types_supported": [CLIENT_CREDENTIALS],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "scopes_supported": ["system/*.cruds", "system/*.read", "system/*.write"],
            "code_challenge_methods_supported": ["S256"],
            "capabilities":
                ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        });
        if bound {
            // RFC 8705 §3.3.
            told["tls_client_certificate_bound_access_tokens"] = true.into();
        }
        told
    }

    pub(crate) fn credentials(&self) -> Arc<Vec<Credential>> {
        self.credentials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

const INVALID_TOKEN: &str = "the access token is not valid, or no longer";

fn not_signed_in(detail: &str) -> Issue {
    Issue::new(Code::SignInRequired, detail).at("Authorization")
}

/// The bearer token of a request with exactly one `Authorization` header (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
