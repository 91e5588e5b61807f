//! OAuth: a token for a partner's files, found by `oauthMetadataUrl`.
//!
//! Comes in   the URL of a SMART configuration (SMART App Launch 2.2, using well-known) or of a
//!            protected resource's metadata (RFC 9728); this house's credential at that partner.
//! Goes out   a sign-in by SMART Backend Services.
//! Never      sends an assertion to an origin that was not agreed on, whatever the metadata names.

use super::{Access, Fault, Fetcher, beside, pieces};
use crate::keys::KeyRing;
use crate::limits::{AUTHORIZATION_SERVERS_MAX, OAUTH_METADATA_BYTES_MAX};
use crate::trust::SignIn;
use crate::trust::smart::client::SmartClient;
use reqwest::Url;
use serde_json::Value;
use std::sync::Arc;

/// What this house signs in with at a partner's authorization server.
#[derive(Clone)]
pub struct OwnCredential {
    /// The client id that the partner has registered.
    pub client_id: String,
    /// This house's keys.
    pub keys: KeyRing,
    /// Where partners find its public keys, where an assertion is to say so.
    pub jku: Option<String>,
}

impl Fetcher {
    /// A sign-in for files, for the scopes asked for (separated by spaces): found by the first
    /// metadata that can be used, in their order.
    ///
    /// Errors: the fault of the first; `NotAgreed` where there is none.
    pub async fn sign_in(
        &self,
        metadata_urls: &[String],
        credential: &OwnCredential,
        scope: &str,
    ) -> Result<Arc<dyn SignIn>, Fault> {
        let mut first = None;
        for url in metadata_urls {
            match self.token_endpoint(url).await {
                Ok(endpoint) => return self.signed_by(&endpoint, credential, scope),
                Err(fault) => drop(first.get_or_insert(fault)),
            }
        }
        Err(first.unwrap_or(Fault::NotAgreed("no oauthMetadataUrl names where to sign in")))
    }

    fn signed_by(
        &self,
        endpoint: &str,
        credential: &OwnCredential,
        scope: &str,
    ) -> Result<Arc<dyn SignIn>, Fault> {
        let client = SmartClient::signing(
            Arc::clone(&self.0.documents) as _,
            endpoint,
            &credential.client_id,
            credential.keys.clone(),
            scope.to_owned(),
            Arc::clone(&self.0.clock),
        );
        let client = match &credential.jku {
            Some(jku) => client.telling(jku),
            None => client,
        };
        let unusable = |_| Fault::NotAgreed("its token endpoint is no https URL");
        Ok(Arc::new(client.with_token_endpoint(endpoint).map_err(unusable)?))
    }

    /// The token endpoint that metadata leads to: its own, or that of an authorization server it names.
    async fn token_endpoint(&self, url: &str) -> Result<String, Fault> {
        let metadata = self.metadata(url).await?;
        if let Some(endpoint) = metadata["token_endpoint"].as_str() {
            return self.agreed_endpoint(url, endpoint);
        }
        let servers = metadata["authorization_servers"].as_array();
        let servers = servers.into_iter().flatten().filter_map(Value::as_str);
        let mut first = None;
        for server in servers.take(AUTHORIZATION_SERVERS_MAX) {
            match self.endpoint_of(server).await {
                Ok(endpoint) => return Ok(endpoint),
                Err(fault) => drop(first.get_or_insert(fault)),
            }
        }
        Err(first.unwrap_or(Fault::Invalid("its metadata names no token endpoint")))
    }

    /// The token endpoint of an authorization server, by its issuer (RFC 8414 §3.1).
    async fn endpoint_of(&self, issuer: &str) -> Result<String, Fault> {
        let url = self.0.origins.agreed(issuer)?;
        let url = well_known(&url);
        let metadata = self.metadata(&url).await?;
        let endpoint = metadata["token_endpoint"].as_str();
        let endpoint = endpoint.ok_or(Fault::Invalid("its metadata names no token endpoint"))?;
        self.agreed_endpoint(&url, endpoint)
    }

    fn agreed_endpoint(&self, metadata_url: &str, endpoint: &str) -> Result<String, Fault> {
        let endpoint = beside(metadata_url, endpoint).unwrap_or_default();
        Ok(self.0.origins.agreed(&endpoint)?.into())
    }

    /// A document of metadata. It is public, so nothing of a submission goes with the request.
    async fn metadata(&self, url: &str) -> Result<Value, Fault> {
        let url = self.0.origins.agreed(url)?;
        let answer = self.0.document(&url, &Access::default()).await?;
        let body = pieces::whole(answer, OAUTH_METADATA_BYTES_MAX).await?;
        let unreadable = |_| Fault::Invalid("its metadata is no JSON object");
        serde_json::from_slice(&body).map_err(unreadable)
    }
}

/// Where an issuer's metadata is: between its host and its path.
fn well_known(issuer: &Url) -> String {
    let mut url = issuer.clone();
    let path = issuer.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: an issuer's metadata is asked for where RFC 8414 puts it.

    use super::*;

    #[test]
    fn metadata_stands_between_host_and_path() {
        for (issuer, expected) in [
            ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            ("https://a.example/", "https://a.example/.well-known/oauth-authorization-server"),
            ("https://a.example/b/", "https://a.example/.well-known/oauth-authorization-server/b"),
        ] {
            assert_eq!(well_known(&Url::parse(issuer).unwrap()), expected);
        }
    }
}
