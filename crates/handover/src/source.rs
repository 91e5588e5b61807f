//! Source: how a sending house reaches its EHR.
//!
//! Comes in   `[source]` of `house.toml`.
//! Goes out   a client for the EHR, signed in there; or an issue that names the key of the file.
//! Never      reads a chart without sign-in, but from a server on this machine.

use crate::config::House;
use crate::limits::{SOURCE_ANSWER_MAX, SOURCE_TIMEOUT};
use crate::live::Live;
use exchange::partner::SignIn;
use exchange::{Code, Issue};
use std::sync::Arc;
use wire::{FhirClient, HttpTransport, SmartClient};

/// A client for the EHR.
///
/// Errors: `ConfigInvalid` where `[source]` is missing or names what cannot be read, `KeyUnusable`.
pub fn client(live: &Live, config: &House) -> Result<FhirClient, Issue> {
    let missing = || {
        let detail = "a provider's house needs a [source]: the EHR it reads charts from";
        Issue::new(Code::ConfigInvalid, detail).at("house.toml: source")
    };
    let source = config.file.source.as_ref().ok_or_else(missing)?;
    if source.sign_in == SignIn::None {
        source.check()?;
        let transport = HttpTransport::new(&[], SOURCE_TIMEOUT, SOURCE_ANSWER_MAX)?;
        return Ok(FhirClient::new(&source.base_url, Arc::new(transport), None));
    }
    let smart = source.sign_in_file()?;
    let roots = [config.text(smart.authority)?.into_bytes()];
    let transport = HttpTransport::new(&roots, SOURCE_TIMEOUT, SOURCE_ANSWER_MAX)?;
    let transport = Arc::new(transport);
    let mut sign_in = SmartClient::signing(
        Arc::clone(&transport) as _,
        &source.base_url,
        smart.client_id,
        live.ring(smart.key)?,
        smart.scope.to_owned(),
        Arc::clone(&live.clock),
    );
    if let Some(endpoint) = &source.token_endpoint {
        sign_in = sign_in.with_token_endpoint(endpoint)?;
    }
    Ok(FhirClient::new(&source.base_url, transport, Some(sign_in)))
}
