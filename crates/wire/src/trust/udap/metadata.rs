//! Metadata: what a server says of its UDAP workflows (FAST Security, discovery).
//!
//! Comes in   the community that a client names, if it names one.
//! Goes out   the document with its signed part, in that community's certificate.
//! Never      more signatures than a few a day: what is signed is given out again.

use super::identity::Community;
use super::jws::ALGORITHMS;
use super::server::{Signed, Udap};
use super::{HL7_B2B, VERSION};
use crate::limits::SIGNED_METADATA_LIFE;
use crate::refusal::Answer;
use crate::trust::smart::CLIENT_CREDENTIALS;
use exchange::Issue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};

impl Udap {
    /// The answer at `.well-known/udap`: the document, or 204 for a community that is not known here.
    ///
    /// Errors: `KeyUnusable` when nothing can be signed.
    pub fn metadata(&self, community: Option<&str>) -> Result<Answer, Issue> {
        let mut communities = self.communities.iter();
        let found = communities.find(|one| community.is_none_or(|wanted| wanted == one.uri));
        let Some(community) = found else { return Ok(Answer::new(204, "")) };
        let mut document = self.document();
        document["signed_metadata"] = self.signed_metadata(&community.uri)?.into();
        let answer = Answer::new(200, document.to_string());
        Ok(answer.with(CONTENT_TYPE, "application/json").with(ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
    }

    fn document(&self) -> Value {
        let algorithms = ALGORITHMS.map(|algorithm| algorithm.name());
        json!({
            "udap_versions_supported": [VERSION],
            "udap_profiles_supported": ["udap_dcr", "udap_authn", "udap_authz"],
            "udap_authorization_extensions_supported": [HL7_B2B],
            "udap_authorization_extensions_required": [HL7_B2B],
            "udap_certifications_supported": [],
            "udap_certifications_required": [],
            "grant_types_supported": [CLIENT_CREDENTIALS],
            "scopes_supported": ["system/*.cruds", "system/*.read", "system/*.write"],
            "token_endpoint": self.token_endpoint(),
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "registration_endpoint": self.registration_endpoint(),
            "registration_endpoint_jwt_signing_alg_values_supported": algorithms,
        })
    }

    /// The signed part in a community's certificate: as it was signed before, for half of its life.
    fn signed_metadata(&self, uri: &str) -> Result<String, Issue> {
        let now = self.clock.now();
        let community = self.communities.iter().find(|one| one.uri == uri);
        let Some(identity) = community.map(Community::identity) else { return Ok(String::new()) };
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |one: &&Signed| one.until > now && Arc::ptr_eq(&one.by, &identity);
        if let Some(signed) = signed.get(uri).filter(stands) {
            return Ok(signed.jwt.clone());
        }
        let claims = json!({
            "iss": self.base_url,
            "sub": self.base_url,
            "iat": now.as_second(),
            "exp": now.as_second() + SIGNED_METADATA_LIFE.as_secs() as i64,
            "jti": crate::chance::draw_id(),
            "token_endpoint": self.token_endpoint(),
            "registration_endpoint": self.registration_endpoint(),
        });
        let jwt = identity.sign(&claims)?;
        let until = now.saturating_add(SIGNED_METADATA_LIFE / 2).unwrap_or(now);
        signed.insert(uri.to_owned(), Signed { jwt: jwt.clone(), until, by: identity });
        Ok(jwt)
    }
}
