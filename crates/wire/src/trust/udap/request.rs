//! Request: a token request by UDAP (UDAP JWT-Based Client Authentication; FAST Security, B2B).
//!
//! Comes in   the posted form, and whether an `Authorization` header came with it.
//! Goes out   who signs in, with which scopes and purposes; or an OAuth error.
//! Never      says to a stranger which client ids exist: until certificate, signature and
//!            registration fit together, all refusals about them are alike.

use super::b2b;
use super::jws::{Fault, Jws};
use super::registry::Standing;
use super::server::Udap;
use super::{HL7_B2B, VERSION};
use crate::limits::SCOPES_MAX;
use crate::trust::oauth::{Form, Parameters, Refused};
use crate::trust::{Purposes, scope};
use crate::urlencoded;

/// A token request that may be granted.
pub(crate) struct Granted {
    /// Whose registration.
    pub(crate) standing: Standing,
    /// The scopes asked for that are registered.
    pub(crate) scopes: Vec<String>,
    /// What the token is good for.
    pub(crate) purposes: Purposes,
}

/// The one answer to whatever does not fit together.
const NOT_VERIFIED: &str = "no registration fits this client id, certificate and signature; compare \
     them with what was registered";

/// Whether a form is meant for UDAP: it has a parameter `udap`, whatever its value.
pub(crate) fn is_meant(form: &[u8]) -> bool {
    urlencoded::decode(form).is_ok_and(|pairs| pairs.iter().any(|(name, _)| name == "udap"))
}

impl Udap {
    /// Checks a token request. `authorization`: a header of that name came with it.
    pub(crate) async fn check_token(
        &self,
        form: &[u8],
        authorization: bool,
    ) -> Result<Granted, Refused> {
        let form = read(form, authorization)?;
        let now = self.clock.now();
        let signed = Jws::read(&form.assertion)
            .and_then(|read| read.verify(&self.communities, now))
            .map_err(client)?;
        let stranger = || Refused::client(NOT_VERIFIED);
        let client_id = signed.text("iss").ok_or_else(stranger)?;
        let current = self.registry.current(client_id).await.map_err(|issue| {
            tracing::error!(%issue, "registration");
            Refused::later("the sign-in cannot be checked now")
        })?;
        let standing = current.ok_or_else(stranger)?;
        let own = signed.communities.iter().any(|community| community.uri == standing.community);
        if !own || !signed.leaf.uris.contains(&standing.uri) {
            return Err(stranger());
        }
        if signed.text("sub") != Some(client_id) {
            return Err(Refused::client("sub must equal iss: both are the client id"));
        }
        if form.client_id.is_some_and(|id| id != client_id) {
            return Err(Refused::client("client_id is not the assertion's"));
        }
        signed.check_audience(&self.token_endpoint()).map_err(client)?;
        let (jti, until) = signed.check_once(now).map_err(client)?;
        if !self.first_use(&standing.community, &standing.uri, (&jti, until)).await? {
            return Err(Refused::client("this jti was used before"));
        }
        let purposes = b2b::read(&signed.claims);
        let purposes = purposes.map_err(|words| Refused::new(400, "invalid_grant", words))?;
        if !purposes.is_subset(&standing.purposes) {
            let words = format!("{HL7_B2B}: a purpose of use is not agreed with this client");
            return Err(Refused::new(400, "invalid_grant", words));
        }
        let asked: Vec<&str> = form.scope.split_whitespace().take(SCOPES_MAX).collect();
        let scopes = scope::grant(&asked, &standing.scopes);
        Ok(Granted { standing, scopes, purposes })
    }
}

/// A fault of certificate or JWT. What is wrong with a certificate is told to whoever brings it:
/// it says nothing of who is registered.
fn client(fault: Fault) -> Refused {
    Refused::client(&fault.words())
}

/// Reads a request that is meant for UDAP. `authorization`: a header of that name came with it.
fn read(body: &[u8], authorization: bool) -> Result<Form, Refused> {
    let invalid = |words: &str| Refused::new(400, "invalid_request", words);
    let parameters = Parameters::read(body)?;
    if parameters.take("udap")? != Some(VERSION) {
        return Err(invalid("udap must be 1"));
    }
    if authorization || parameters.take("client_secret")?.is_some() {
        return Err(invalid("neither an Authorization header nor a secret goes with udap"));
    }
    Form::of(&parameters)
}
