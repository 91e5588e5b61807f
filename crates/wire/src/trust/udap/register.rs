//! Register: dynamic client registration (UDAP DCR; FAST Security, registration).
//!
//! Comes in   the body of a registration request.
//! Goes out   201 or 200 with the client's id; 400 with an error of RFC 7591; 429; 503.
//! Never      remembers anything of a statement that is not proved, or registers whom neither a
//!            partner's file nor a person names.

use super::VERSION;
use super::b2b::is_uri;
use super::jws::{Fault, Jws, Signed};
use super::registry::{Decided, Standing};
use super::server::Udap;
use super::statement::{self, Wanted};
use crate::refusal::Answer;
use crate::trust::oauth::{Refused, uncached};
use crate::trust::scope;
use exchange::registration::Said;
use http::header::RETRY_AFTER;
use serde_json::{Map, Value, json};

const INVALID_STATEMENT: &str = "invalid_software_statement";
const INVALID_METADATA: &str = "invalid_client_metadata";
const UNAPPROVED: &str = "unapproved_software_statement";

impl Udap {
    /// Answers a registration request; `scopes` says what a partner may be given.
    pub async fn register(&self, body: &[u8], scopes: impl Fn(&str) -> Vec<String>) -> Answer {
        match self.registered(body, scopes).await {
            Ok(answer) => answer,
            Err(refused) => {
                let Refused { status, error, words } = &refused;
                tracing::warn!(status, error, reason = %words, "registration refused");
                refused.into_answer()
            }
        }
    }

    async fn registered(
        &self,
        body: &[u8],
        scopes: impl Fn(&str) -> Vec<String>,
    ) -> Result<Answer, Refused> {
        let invalid = |words: &str| Refused::new(400, INVALID_METADATA, words);
        let request: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|_| invalid("the request is not a JSON object"))?;
        if request.get("udap").and_then(Value::as_str) != Some(VERSION) {
            return Err(invalid("udap must be \"1\""));
        }
        // Those that nobody here asks for are passed over, whatever is in them.
        let certifications = request.get("certifications");
        if certifications.is_some_and(|list| !list.is_array()) {
            return Err(invalid("certifications must be a list"));
        }
        let jwt = request.get("software_statement").and_then(Value::as_str);
        let jwt = jwt
            .ok_or_else(|| Refused::new(400, INVALID_STATEMENT, "software_statement is missing"))?;
        let now = self.clock.now();
        let read = Jws::read(jwt).map_err(refused)?;
        let certificate = read.certificate();
        let signed = read.verify(&self.communities, now).map_err(refused)?;
        let (uri, once) = self.check(&signed, now)?;
        // The first community that vouches for it; one certificate of two communities is none's.
        let community = match signed.communities.as_slice() {
            [only] => only.uri.clone(),
            _ => {
                let words = "the certificate belongs to two communities of this server";
                return Err(Refused::new(400, UNAPPROVED, words));
            }
        };
        let wanted = statement::read(&signed, (&community, &uri), &certificate).map_err(invalid)?;
        if !self.first_use(&community, &uri, (&once.0, once.1)).await? {
            return Err(Refused::new(400, INVALID_STATEMENT, "this jti was used before"));
        }
        match wanted {
            Wanted::Cancel => self.cancel(&community, &uri, jwt, &signed).await,
            Wanted::Register(said) => self.decide(*said, jwt, &signed, scopes).await,
        }
    }

    /// `iss`, `sub`, `aud`, the times and `jti`; answers the client's URI and the `jti`.
    fn check(
        &self,
        signed: &Signed<'_>,
        now: jiff::Timestamp,
    ) -> Result<(String, (String, jiff::Timestamp)), Refused> {
        let claim = |words| refused(Fault::Claim(words));
        let uri = signed.text("iss").ok_or_else(|| claim("iss is missing"))?;
        if !signed.leaf.uris.iter().any(|name| name == uri) {
            return Err(claim("iss is not a URI of the certificate's alternative names"));
        }
        // An authority may certify any text as a URI. People decide by what they see of it: one with a
        // line's end or without an end would write the list of clients for them.
        if !is_uri(uri) {
            return Err(claim("iss must be an absolute URI of at most 512 visible ASCII signs"));
        }
        if signed.text("sub") != Some(uri) {
            return Err(claim("sub must equal iss"));
        }
        signed.check_audience(&self.registration_endpoint()).map_err(refused)?;
        let once = signed.check_once(now).map_err(refused)?;
        Ok((uri.to_owned(), once))
    }

    async fn decide(
        &self,
        said: Said,
        jwt: &str,
        signed: &Signed<'_>,
        scopes: impl Fn(&str) -> Vec<String>,
    ) -> Result<Answer, Refused> {
        let decided = self.registry.register(said).await.map_err(|issue| {
            tracing::error!(%issue, "registration");
            Refused::later("the registration cannot be written down now")
        })?;
        let unapproved = |words: &str| Err(Refused::new(400, UNAPPROVED, words));
        let (status, standing) = match decided {
            Decided::New(standing) => (201, standing),
            Decided::Changed(standing) => (200, standing),
            Decided::Waiting => {
                return unapproved(
                    "no partner's file names this client here; it waits for a person of this \
                     house: ask the people behind this server to approve it, then register again",
                );
            }
            Decided::Refused => {
                return unapproved(
                    "a person of this house refused this client; ask the people behind this server",
                );
            }
            Decided::Full => {
                return unapproved(
                    "more clients wait for a person here than are remembered; ask the people \
                     behind this server, then register again",
                );
            }
            Decided::TooSoon => {
                let words = "nobody here has approved this client yet, and it said something else of \
                             itself a moment ago: come again in a minute, and say the same";
                let refused = Refused::new(429, "temporarily_unavailable", words);
                return Ok(refused.into_answer().with(RETRY_AFTER, "60"));
            }
        };
        let held = scopes(&standing.partner);
        Ok(uncached(status, &response(&standing, jwt, signed, &held)))
    }

    async fn cancel(
        &self,
        community: &str,
        uri: &str,
        jwt: &str,
        signed: &Signed<'_>,
    ) -> Result<Answer, Refused> {
        let cancelled = self.registry.cancel(community, uri).await.map_err(|issue| {
            tracing::error!(%issue, "registration");
            Refused::later("the registration cannot be cancelled now")
        })?;
        let Some(client_id) = cancelled else {
            let words = "nothing is registered that an empty grant_types could cancel";
            return Err(Refused::new(400, INVALID_METADATA, words));
        };
        let mut body = asked(jwt, signed);
        body.insert("client_id".to_owned(), client_id.into());
        Ok(uncached(200, &Value::Object(body)))
    }
}

/// The statement as it came, and what it asked for (UDAP DCR §5.1).
fn asked(jwt: &str, signed: &Signed<'_>) -> Map<String, Value> {
    const OF_THE_JWT: [&str; 7] = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"];
    let mut body = Map::new();
    body.insert("software_statement".to_owned(), jwt.into());
    let claims = signed.claims.iter().filter(|(name, _)| !OF_THE_JWT.contains(&name.as_str()));
    body.extend(claims.map(|(name, value)| (name.clone(), value.clone())));
    body
}

/// The registration, with the scopes that are really to be had.
fn response(standing: &Standing, jwt: &str, signed: &Signed<'_>, held: &[String]) -> Value {
    let mut body = asked(jwt, signed);
    let wanted: Vec<&str> = standing.scopes.iter().map(String::as_str).collect();
    body.insert("client_id".to_owned(), standing.client_id.clone().into());
    body.insert("scope".to_owned(), scope::grant(&wanted, held).join(" ").into());
    json!(body)
}

/// Who is not trusted is not approved; what is wrong with the statement itself is invalid.
fn refused(fault: Fault) -> Refused {
    let error = match fault {
        Fault::Chain(_) => UNAPPROVED,
        Fault::Jwt(_) | Fault::Claim(_) => INVALID_STATEMENT,
    };
    Refused::new(400, error, fault.words())
}
