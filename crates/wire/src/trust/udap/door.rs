//! Door: where UDAP and SMART meet, at one token endpoint and behind one gate.
//!
//! Comes in   token and registration requests; tokens that were given for purposes.
//! Goes out   answers; a `Caller` with the purposes its token is good for.
//! Never      honours a token whose registration stands no more, or grants a scope that the partner
//!            has not.

use super::registry::Standing;
use super::request::is_meant;
use super::server::Udap;
use crate::limits::ACCESS_TOKEN_LIFE;
use crate::refusal::Answer;
use crate::trust::mutual::Presented;
use crate::trust::oauth::{Refused, uncached};
use crate::trust::smart::access_token::Content;
use crate::trust::smart::server::Gate;
use crate::trust::{Caller, scope};
use exchange::{Code, Issue};
use serde_json::Value;
use std::sync::Arc;

impl Gate {
    /// The same gate, open to UDAP as well.
    pub fn with_udap(mut self, udap: Arc<Udap>) -> Gate {
        self.udap = Some(udap);
        self
    }

    /// The UDAP workflows, where the house has them.
    pub fn udap(&self) -> Option<&Arc<Udap>> {
        self.udap.as_ref()
    }

    /// Answers a token request of either kind. `authorization`: a header of that name came with it.
    pub async fn token_of(
        &self,
        form: &[u8],
        authorization: bool,
        presented: Option<&Presented>,
    ) -> Answer {
        let Some(udap) = self.udap.as_ref().filter(|_| is_meant(form)) else {
            return self.token_over(form, presented).await;
        };
        match self.grant_udap(udap, form, authorization, presented).await {
            Ok(answer) => uncached(200, &answer),
            Err(refused) => {
                let Refused { error, words, .. } = &refused;
                tracing::warn!(error, reason = %words, "sign-in refused");
                refused.into_answer()
            }
        }
    }

    /// Answers a registration request.
    ///
    /// Errors: `ResourceUnknown` where the house has no UDAP.
    pub async fn register_udap(&self, body: &[u8]) -> Result<Answer, Issue> {
        let udap = self.udap.as_ref().ok_or_else(unknown)?;
        Ok(udap.register(body, |partner| self.scopes_of(partner)).await)
    }

    /// The document at `.well-known/udap`.
    ///
    /// Errors: `ResourceUnknown` where the house has no UDAP; `KeyUnusable`.
    pub fn udap_metadata(&self, community: Option<&str>) -> Result<Answer, Issue> {
        self.udap.as_ref().ok_or_else(unknown)?.metadata(community)
    }

    async fn grant_udap(
        &self,
        udap: &Udap,
        form: &[u8],
        authorization: bool,
        presented: Option<&Presented>,
    ) -> Result<Value, Refused> {
        let granted = udap.check_token(form, authorization).await?;
        self.check_suspended(&granted.standing.partner)?;
        // What the partner's file says of its certificate holds for either way of signing in.
        let credentials = self.credentials();
        let own = credentials.iter().filter(|it| it.partner == granted.standing.partner);
        own.map(|it| &it.client_id).try_for_each(|id| self.check_presented(id, presented))?;
        let asked: Vec<&str> = granted.scopes.iter().map(String::as_str).collect();
        let scopes = scope::grant(&asked, &self.scopes_of(&granted.standing.partner));
        if scopes.is_empty() {
            return Err(Refused::scope());
        }
        let edition = udap.registry.edition(&granted.standing.client_id).unwrap_or_default();
        let content = Content {
            client_id: granted.standing.client_id,
            kid: edition.to_string(),
            scope: scopes.join(" "),
            expiry: self.clock.now().as_second() + ACCESS_TOKEN_LIFE.as_secs() as i64,
            purposes: Some(granted.purposes),
            certificate: presented.map(Presented::thumbprint),
        };
        Ok(self.issue(&content, "Bearer"))
    }

    /// Who comes with a token that was given for purposes; none once the registration is gone or another
    /// one: what a person refused does not come back with the next approval.
    pub(crate) fn caller_by_udap(&self, content: &Content) -> Option<Caller> {
        let registry = &self.udap.as_ref()?.registry;
        let Standing { client_id, partner, scopes, purposes, .. } =
            registry.standing(&content.client_id)?;
        if registry.edition(&content.client_id)?.to_string() != content.kid {
            return None;
        }
        let held: Vec<&str> = content.scope.split(' ').collect();
        let registered = scope::grant(&held, &scopes);
        let registered: Vec<&str> = registered.iter().map(String::as_str).collect();
        let scopes = scope::grant(&registered, &self.scopes_of(&partner));
        let asserted = content.purposes.iter().flatten();
        let purposes = asserted.filter(|purpose| purposes.contains(purpose)).copied().collect();
        Some(Caller { client_id, partner, scopes, purposes: Some(purposes) })
    }

    /// The scopes of a partner, as it is registered for either way of signing in.
    fn scopes_of(&self, partner: &str) -> Vec<String> {
        let credentials = self.credentials();
        let found = credentials.iter().filter(|credential| credential.partner == partner);
        found.flat_map(|credential| credential.scopes.iter().cloned()).collect()
    }
}

fn unknown() -> Issue {
    Issue::new(Code::ResourceUnknown, "there is nothing at this path")
}
