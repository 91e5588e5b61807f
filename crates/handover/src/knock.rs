//! Knock: whether anything answers at the host and port of a base URL.
//!
//! Comes in   a base URL; the network it may lead to, where a partner influences it.
//! Goes out   the address that takes connections, or why none does.
//! Never      sends anything.

use crate::limits::KNOCK_MAX;
use exchange::{Code, Issue};
use http::Uri;
use std::io::ErrorKind;
use wire::doorstep;
use wire::reach::Network;

/// DNS and TCP, within the addresses that a partner may lead to; TLS, versions and sign-in are the
/// desk's.
pub(crate) async fn knock(base_url: &str, network: Option<&Network>) -> Result<String, Issue> {
    let uri: Option<Uri> = base_url.parse().ok();
    let place = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.host()?, uri.port_u16())));
    let Some((scheme, host, port)) = place else {
        return Err(Issue::new(Code::ConfigInvalid, "the base URL is none").at("base_url"));
    };
    let port = port.unwrap_or(if scheme == "http" { 80 } else { 443 });
    let address = format!("{host}:{port}");
    let away = |detail: &str| Issue::new(Code::PayerUnreachable, detail).at(address.clone());
    let found = doorstep::resolve(host, port, KNOCK_MAX).await;
    let mut found = found.map_err(|_| away("the partner's name leads to no address"))?;
    found.retain(|it| network.is_none_or(|network| network.permits(it.ip())));
    if found.is_empty() {
        return Err(provider::route::beyond_reach());
    }
    match doorstep::connect(&found, KNOCK_MAX).await {
        Ok(_) => Ok(address),
        Err(error) => Err(away(match error.kind() {
            ErrorKind::ConnectionRefused => "nothing listens at the partner's address",
            ErrorKind::TimedOut => "the partner's address does not answer in time",
            _ => "the partner's address cannot be reached",
        })),
    }
}
