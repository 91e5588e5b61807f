//! Statement: what a software statement must say (FAST Security, registration; UDAP DCR §2, §4).
//!
//! Comes in   claims whose signature and chain are proved.
//! Goes out   what is asked for, or that the registration ends.
//! Never      takes what belongs to the authorization code grant: this server has no users.

use super::b2b::is_uri;
use super::jws::Signed;
use crate::limits::{REGISTRATION_LIST_MAX, REGISTRATION_WORDS_MAX, SCOPES_MAX};
use crate::trust::smart::CLIENT_CREDENTIALS;
use exchange::registration::Said;
use serde_json::Value;

/// What a statement wants.
pub(crate) enum Wanted {
    /// To be registered so.
    Register(Box<Said>),
    /// To be registered no more.
    Cancel,
}

/// Reads the client's metadata. The error is a sentence.
pub(crate) fn read(
    signed: &Signed<'_>,
    (community, uri): (&str, &str),
    certificate: &str,
) -> Result<Wanted, &'static str> {
    let grants = texts(signed, "grant_types").ok_or("grant_types must be a list of texts")?;
    if grants.is_empty() {
        return Ok(Wanted::Cancel);
    }
    let has = |grant: &str| grants.contains(&grant);
    let code = has("authorization_code");
    if code && has(CLIENT_CREDENTIALS) {
        return Err("grant_types holds authorization_code or client_credentials, not both");
    }
    if has("refresh_token") && !code {
        return Err("grant_types holds refresh_token only beside authorization_code");
    }
    if code && texts(signed, "redirect_uris").is_none_or(|uris| uris.is_empty()) {
        return Err("redirect_uris is missing");
    }
    if grants != [CLIENT_CREDENTIALS] {
        return Err("this server grants client_credentials only");
    }
    for name in ["redirect_uris", "response_types"] {
        if signed.claims.contains_key(name) {
            return Err("redirect_uris and response_types go with authorization_code only");
        }
    }
    check_logo(signed.claims.get("logo_uri"))?;
    if signed.text("token_endpoint_auth_method") != Some("private_key_jwt") {
        return Err("token_endpoint_auth_method must be private_key_jwt");
    }
    let name = signed.text("client_name").filter(|name| {
        name.chars().count() <= REGISTRATION_WORDS_MAX && !name.chars().any(char::is_control)
    });
    let contacts = texts(signed, "contacts").unwrap_or_default();
    let reachable = |contact: &&str| contact.strip_prefix("mailto:").is_some_and(is_mail);
    if !contacts.iter().any(reachable) || !contacts.iter().all(|contact| is_uri(contact)) {
        return Err("contacts must be URIs, one of them a mailto: with an address");
    }
    let scope = signed.text("scope").ok_or("scope is missing")?;
    if scope.len() > REGISTRATION_WORDS_MAX * 8 || scope.split(' ').count() > SCOPES_MAX {
        return Err("scope names too many scopes");
    }
    if !scope.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("scope is a list of scopes with blanks between them");
    }
    Ok(Wanted::Register(Box::new(Said {
        community: community.to_owned(),
        uri: uri.to_owned(),
        name: name.ok_or("client_name must be a line of text")?.to_owned(),
        contacts: contacts.into_iter().map(str::to_owned).collect(),
        scope: scope.to_owned(),
        certificate: certificate.to_owned(),
    })))
}

/// A list of texts that is not endless; none where it is something else.
fn texts<'a>(signed: &'a Signed<'_>, name: &str) -> Option<Vec<&'a str>> {
    let list = signed.claims.get(name)?.as_array()?;
    (list.len() <= REGISTRATION_LIST_MAX).then(|| list.iter().map(Value::as_str).collect())?
}

fn check_logo(logo: Option<&Value>) -> Result<(), &'static str> {
    let Some(logo) = logo else { return Ok(()) };
    let image = |url: &str| {
        let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        url.starts_with("https://")
            && is_uri(url)
            && [".png", ".jpg", ".jpeg", ".gif"].iter().any(|ending| path.ends_with(ending))
    };
    match logo.as_str().is_some_and(image) {
        true => Ok(()),
        false => Err("logo_uri must be an https URL of a PNG, JPG or GIF image"),
    }
}

fn is_mail(address: &str) -> bool {
    let parts = address.split_once('@');
    parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}
