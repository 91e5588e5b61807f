//! UDAP client: signs this house in at a partner's door, in a community that both belong to.
//!
//! Comes in   a transport, the partner's base URL, the community, what this house says of itself, a
//!            place where its registrations are kept, a clock.
//! Goes out   one token per set of purposes, kept while it lasts; or why there is none.
//! Never      goes on after metadata that did not verify, uses an endpoint that was not signed, or
//!            asks for a token without a purpose.
//!
//! FAST Security: discovery, registration, B2B with client credentials.

use super::b2b::{self, Organization};
use super::identity::Community;
use super::jws::{Algorithm, Jws};
use super::{HL7_B2B, METADATA_PATH, VERSION};
use crate::clock::Clock;
use crate::limits::{
    ASSERTION_LIFE, ASSERTION_LIFE_MAX, METADATA_KEPT, REGISTRATION_WORDS_MAX,
    SIGNED_METADATA_LIFE_MAX,
};
use crate::transport::{BoxFuture, Transport};
use crate::trust::smart::CLIENT_CREDENTIALS;
use crate::trust::tokens::{
    Kept, Tokens, claims, is_safe, partner_words, read_token, refused, send, token_request,
};
use crate::trust::{Purposes, SignIn, SignInError};
use crate::urlencoded;
use bytes::Bytes;
use exchange::{Digest, Issue};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Request, StatusCode, Uri};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What this house says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// Its URI in the community, as its certificate spells it.
    pub uri: String,
    /// Its name in words.
    pub name: String,
    /// How its people are reached: URIs, one `mailto:` at least.
    pub contacts: Vec<String>,
    /// The scopes it asks for, separated by spaces.
    pub scope: String,
    /// Who asks, in every token request.
    pub organization: Organization,
}

/// A registration of this house at a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The id that the server gave.
    pub client_id: String,
    /// What was registered: when this house says other things of itself, it registers anew.
    pub said: Digest,
}

/// Where this house keeps what servers registered it as, durable before it is used.
pub trait ClientIds: Send + Sync {
    /// What it is registered as at this registration endpoint, in this community.
    fn known<'a>(
        &'a self,
        endpoint: &'a str,
        community: &'a str,
    ) -> BoxFuture<'a, Result<Option<Registered>, Issue>>;

    /// Keeps what it is registered as; `None`: it is not any more.
    fn keep<'a>(
        &'a self,
        endpoint: &'a str,
        community: &'a str,
        registered: Option<Registered>,
    ) -> BoxFuture<'a, Result<(), Issue>>;
}

/// Signs in at one partner.
pub struct UdapClient {
    transport: Arc<dyn Transport>,
    base_url: String,
    community: Community,
    software: Software,
    ids: Arc<dyn ClientIds>,
    clock: Arc<dyn Clock>,
    found: Mutex<Option<(Endpoints, Timestamp)>>,
    tokens: Tokens,
}

/// A server's endpoints, as it signed them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoints {
    token: String,
    registration: String,
    /// The URIs of the certificate that signed them.
    names: Vec<String>,
}

/// Why a token request brought none.
enum Denied {
    /// The server does not know this client.
    Unknown,
    /// Anything else.
    Other(SignInError),
}

impl From<SignInError> for Denied {
    fn from(error: SignInError) -> Denied {
        Denied::Other(error)
    }
}

impl UdapClient {
    /// A client for one base URL (no trailing slash needed).
    pub fn new(
        transport: Arc<dyn Transport>,
        base_url: &str,
        community: Community,
        software: Software,
        ids: Arc<dyn ClientIds>,
        clock: Arc<dyn Clock>,
    ) -> UdapClient {
        UdapClient {
            transport,
            base_url: base_url.trim_end_matches('/').to_owned(),
            community,
            software,
            ids,
            clock,
            found: Mutex::default(),
            tokens: Tokens::default(),
        }
    }

    /// The URIs of the certificate in which the server signed its metadata; nothing is registered.
    ///
    /// # Errors
    /// Where it does not offer what this house needs, or not signed in the community.
    pub async fn server_names(&self) -> Result<Vec<String>, SignInError> {
        Ok(self.endpoints().await?.names)
    }

    /// Ends this house's registration at the server, and forgets it.
    pub async fn cancel(&self) -> Result<(), SignInError> {
        let endpoints = self.endpoints().await?;
        self.submit(&endpoints, json!([])).await?;
        self.tokens.clear();
        self.keep(&endpoints, None).await
    }

    async fn sign_in(&self, purposes: &Purposes) -> Result<Kept, SignInError> {
        if purposes.is_empty() {
            return Err(refused("no purpose of use is known for this request"));
        }
        let endpoints = self.endpoints().await?;
        let known = self.ids.known(&endpoints.registration, &self.community.uri).await;
        let known = known.map_err(|issue| passing(&issue))?;
        let known = known.filter(|known| known.said == self.said());
        if let Some(Registered { client_id, .. }) = &known {
            match self.ask(&endpoints, client_id, purposes).await {
                Ok(kept) => return Ok(kept),
                Err(Denied::Other(error)) => return Err(error),
                // It may have forgotten this client, or cancelled it: the door says which.
                Err(Denied::Unknown) => {}
            }
        }
        let client_id = self.register(&endpoints).await?;
        match self.ask(&endpoints, &client_id, purposes).await {
            Ok(kept) => Ok(kept),
            Err(Denied::Other(error)) => Err(error),
            Err(Denied::Unknown) => Err(refused("it does not know the client it registered")),
        }
    }

    /// Registers, and keeps the id.
    async fn register(&self, endpoints: &Endpoints) -> Result<String, SignInError> {
        let told = self.submit(endpoints, json!([CLIENT_CREDENTIALS])).await?;
        if told["grant_types"].as_array().is_some_and(Vec::is_empty) {
            self.keep(endpoints, None).await?;
            return Err(refused("it cancelled this house's registration"));
        }
        // RFC 6749 §A.1. It is kept in the ledger, where no server writes at such length as it likes.
        let fits = |id: &&str| {
            (1..=REGISTRATION_WORDS_MAX).contains(&id.len())
                && id.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        let client_id = told["client_id"].as_str().filter(fits);
        let client_id = client_id.ok_or_else(|| refused("its registration names no client id"))?;
        let registered = Registered { client_id: client_id.to_owned(), said: self.said() };
        self.keep(endpoints, Some(registered)).await?;
        Ok(client_id.to_owned())
    }

    async fn keep(
        &self,
        endpoints: &Endpoints,
        registered: Option<Registered>,
    ) -> Result<(), SignInError> {
        let kept = self.ids.keep(&endpoints.registration, &self.community.uri, registered).await;
        kept.map_err(|issue| passing(&issue))
    }

    /// A registration request with these grant types; the answer's body.
    async fn submit(&self, endpoints: &Endpoints, grants: Value) -> Result<Value, SignInError> {
        // A statement lives for five minutes, no less (FAST Security, registration).
        let (now, life) = (self.clock.now(), ASSERTION_LIFE_MAX);
        let mut claims = claims(&self.software.uri, &endpoints.registration, now, life)?;
        let said = [
            ("client_name", json!(self.software.name)),
            ("contacts", json!(self.software.contacts)),
            ("grant_types", grants),
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("scope", json!(self.software.scope)),
        ];
        for (name, value) in said {
            claims[name] = value;
        }
        let body = json!({ "software_statement": self.sign(&claims)?, "udap": VERSION });
        let request = Request::post(&endpoints.registration)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|_| refused("its registration endpoint is not a URL"))?;
        let answer = send(&*self.transport, &*self.clock, request).await?;
        let told: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(told),
            status => Err(refused(&partner_words(status, &told))),
        }
    }

    /// A token request for these purposes.
    async fn ask(
        &self,
        endpoints: &Endpoints,
        client_id: &str,
        purposes: &Purposes,
    ) -> Result<Kept, Denied> {
        let asked_at = self.clock.now();
        let mut claims = claims(client_id, &endpoints.token, asked_at, ASSERTION_LIFE)?;
        claims["extensions"] = b2b::assert(&self.software.organization, purposes);
        let assertion = self.sign(&claims)?;
        let more = [("udap", VERSION)];
        let request = token_request(&endpoints.token, &self.software.scope, &assertion, &more)?;
        let answer = send(&*self.transport, &*self.clock, request).await?;
        let told: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        match answer.status() {
            StatusCode::OK => Ok(read_token(&told, asked_at)?),
            _ if told["error"] == "invalid_client" => Err(Denied::Unknown),
            status => Err(refused(&partner_words(status, &told)).into()),
        }
    }

    fn sign(&self, claims: &Value) -> Result<String, SignInError> {
        let signed = self.community.identity().sign(claims);
        signed.map_err(|_| refused("this house's key in the community cannot sign"))
    }

    /// A digest of what this house says of itself.
    fn said(&self) -> Digest {
        let Software { uri, name, contacts, scope, .. } = &self.software;
        let contacts = contacts.join("\n");
        Digest::of_pieces([uri, name, &contacts, scope].map(|piece| piece.as_bytes()))
    }

    /// The server's endpoints, asked for anew once an hour.
    async fn endpoints(&self) -> Result<Endpoints, SignInError> {
        let now = self.clock.now();
        if let Some((endpoints, until)) = lock(&self.found).as_ref().filter(|it| it.1 > now) {
            tracing::trace!(%until, "metadata known");
            return Ok(endpoints.clone());
        }
        let found = self.discover().await?;
        let until = now.saturating_add(METADATA_KEPT).unwrap_or(now);
        *lock(&self.found) = Some((found.clone(), until));
        Ok(found)
    }

    async fn discover(&self) -> Result<Endpoints, SignInError> {
        let query = urlencoded::encode([("community", self.community.uri.as_str())]);
        let request = Request::get(format!("{}{METADATA_PATH}?{query}", self.base_url))
            .header(ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| refused("its base URL is not a URL"))?;
        let answer = send(&*self.transport, &*self.clock, request).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(refused("it does not offer UDAP")),
            StatusCode::NO_CONTENT => {
                return Err(refused("it does not belong to the community agreed on"));
            }
            status => {
                let status = status.as_u16();
                return Err(refused(&format!("its UDAP metadata answers {status}")));
            }
        }
        let told: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        self.check_offer(&told)?;
        self.check_signed(&told)
    }

    /// Whether the server offers what this house needs, and demands nothing that it has not.
    fn check_offer(&self, told: &Value) -> Result<(), SignInError> {
        let has = |name: &str, wanted: &str| {
            let list = told[name].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().any(|value| value == wanted)
        };
        let algorithm = self.community.identity().algorithm().name();
        let needs = [
            ("udap_versions_supported", VERSION),
            ("udap_profiles_supported", "udap_dcr"),
            ("udap_profiles_supported", "udap_authn"),
            ("udap_profiles_supported", "udap_authz"),
            ("udap_authorization_extensions_supported", HL7_B2B),
            ("grant_types_supported", CLIENT_CREDENTIALS),
            ("token_endpoint_auth_methods_supported", "private_key_jwt"),
            ("token_endpoint_auth_signing_alg_values_supported", algorithm),
        ];
        for (name, wanted) in needs {
            if !has(name, wanted) {
                return Err(refused(&format!("its UDAP metadata lacks {wanted} in {name}")));
            }
        }
        let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
        if list("udap_authorization_extensions_required").iter().any(|name| name != HL7_B2B) {
            return Err(refused("it demands an authorization extension that this house has not"));
        }
        if !list("udap_certifications_required").is_empty() {
            return Err(refused("it demands a certification that this house has not"));
        }
        Ok(())
    }

    /// Validates the signed part (UDAP Server Metadata §3) and reads the endpoints from it alone.
    fn check_signed(&self, told: &Value) -> Result<Endpoints, SignInError> {
        let faulty = |words: &str| refused(&format!("its signed UDAP metadata: {words}"));
        let now = self.clock.now();
        let jwt = told["signed_metadata"].as_str().unwrap_or_default();
        let ours = std::slice::from_ref(&self.community);
        let signed = Jws::read(jwt).and_then(|read| read.verify(ours, now));
        let signed = signed.map_err(|fault| faulty(&fault.words()))?;
        if signed.algorithm != Algorithm::Rs256 {
            return Err(faulty("it is not signed by RS256"));
        }
        if signed.text("iss") != Some(&self.base_url) {
            return Err(faulty("iss is not the base URL that was asked"));
        }
        if !signed.leaf.uris.contains(&self.base_url) {
            return Err(faulty("the certificate does not name the base URL"));
        }
        if signed.text("sub") != Some(&self.base_url) {
            return Err(faulty("sub is not the base URL that was asked"));
        }
        let life = signed.check_life(now, SIGNED_METADATA_LIFE_MAX);
        life.map_err(|fault| faulty(&fault.words()))?;
        if signed.text("jti").is_none() {
            return Err(faulty("jti is missing"));
        }
        // From https none leads to plain HTTP on this machine, whoever signed it.
        let plain = self.base_url.starts_with("http://");
        let safe = |it: Uri| is_safe(&it) && (plain || it.scheme_str() == Some("https"));
        let endpoint = |name: &str| {
            let url = signed.text(name).filter(|url| url.parse::<Uri>().is_ok_and(safe));
            url.map(str::to_owned).ok_or_else(|| faulty("an endpoint is no https URL"))
        };
        Ok(Endpoints {
            token: endpoint("token_endpoint")?,
            registration: endpoint("registration_endpoint")?,
            names: signed.leaf.uris.clone(),
        })
    }
}

impl SignIn for UdapClient {
    fn token<'a>(
        &'a self,
        purposes: &'a Purposes,
    ) -> BoxFuture<'a, Result<SecretString, SignInError>> {
        Box::pin(self.tokens.get(purposes, &*self.clock, self.sign_in(purposes)))
    }

    fn forget(&self, token: &SecretString) {
        self.tokens.forget(token);
    }
}

/// The house's own store does not answer: waiting helps.
fn passing(issue: &Issue) -> SignInError {
    SignInError::Unreachable { cause: issue.to_string(), retry_after: None }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
