//! File: the public file of a partner whose door was looked at.
//!
//! Comes in   what the door says, what a person said, the file that is there already.
//! Goes out   the file as it is to be written, and what became of it.
//! Never      takes an authority from the partner's own words, or changes what people wrote but for how one
//!            signs in, where a community has come to be shared, and the authority a person names anew.

use super::Asked;
use super::door::{Documents, Looked, clip};
use crate::{config, doors};
use exchange::partner::{Foreign, PublicFile, PublicUdap, Role, SignIn};
use exchange::{Code, Issue};
use serde_json::Value;
use wire::trust::introduction::INTRODUCTION_PATH;

/// What became of a partner's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was not there.
    New,
    /// It was there and says the same, or what people wrote into it.
    AsItWas,
    /// It was there; these members of it say something new, because a person named another authority,
    /// or a community has come to be shared.
    Amended(Vec<&'static str>),
    /// It was there, and the partner publishes another identity now: nothing was changed.
    Differs,
}

/// The file, as the door would have it.
///
/// Errors: `ConfigInvalid`, `CapabilityMissing`.
pub(super) fn of(
    config: &config::House,
    url: &str,
    asked: &Asked,
    looked: &Looked,
    documents: &Documents,
) -> Result<PublicFile, Issue> {
    let shared = documents.community.as_ref().and_then(|it| it.as_ref().ok());
    let mut public = match &documents.introduction {
        Some(text) => of_a_house(config, url, text, shared)?,
        None => of_another_make(config, url, asked, documents, shared)?,
    };
    public.authority = looked.authority.clone();
    if let Some(name) = &asked.name {
        public.name = name.as_str().into();
    }
    if public.payer_identifiers.is_empty() {
        public.payer_identifiers = asked.payer_ids.clone();
    }
    // As it will be read.
    let text = serde_json::to_string(&public).unwrap_or_default();
    let public = PublicFile::parse(&text, url)?;
    doors::check_certificate(&public)?;
    Ok(public)
}

/// A house of this program introduces itself.
fn of_a_house(
    config: &config::House,
    url: &str,
    text: &str,
    shared: Option<&String>,
) -> Result<PublicFile, Issue> {
    let mut public = PublicFile::parse(text, &format!("{url}/{INTRODUCTION_PATH}"))?;
    let invalid = |detail: &str| {
        let place = format!("{url}/{INTRODUCTION_PATH}");
        Issue::new(Code::ConfigInvalid, detail).at(place)
    };
    if public.role == config.file.role {
        let detail = "a partner walks the other road: a provider's partners are payers";
        return Err(invalid(detail));
    }
    if public.base_url.trim_end_matches('/') != url || public.foreign.is_some() {
        let detail =
            "what is published there is of another door: ask for the URL of the base_url it names";
        return Err(invalid(detail));
    }
    // Whoever registers in the community by that URI stands as this partner, without a person's yes: its
    // door proves its own URL, and nobody else's.
    let udap = public.udap.as_ref().filter(|_| public.role == Role::Provider);
    if udap.is_some_and(|udap| udap.uri != url) {
        let detail = "in its community it says it is another URI than this door's: have its public file by \
                      another way, compare the URI with its people, and take it in with `handover partner \
                      add FILE`";
        return Err(invalid(detail));
    }
    match public.role {
        Role::Payer => sign_in_at(&mut public, url, shared),
        // Its keys may change without mail.
        Role::Provider if public.sign_in != Some(SignIn::Mtls) => {
            public.jwks = Value::Null;
            public.jwks_url = format!("{url}/.well-known/jwks.json");
        }
        Role::Provider => {}
    }
    Ok(public)
}

/// By UDAP only in a community that is shared.
fn sign_in_at(public: &mut PublicFile, url: &str, shared: Option<&String>) {
    match shared {
        Some(community) if public.sign_in != Some(SignIn::Mtls) => {
            public.sign_in = Some(SignIn::Udap);
            public.udap = Some(PublicUdap { uri: url.to_owned(), community: community.clone() });
        }
        _ if public.sign_in == Some(SignIn::Udap) => public.sign_in = None,
        _ => {}
    }
}

/// A FHIR server of another make, as far as it says what is needed.
fn of_another_make(
    config: &config::House,
    url: &str,
    asked: &Asked,
    documents: &Documents,
    shared: Option<&String>,
) -> Result<PublicFile, Issue> {
    if config.file.role == Role::Payer {
        let detail = "this door introduces no house of this program: have the sender's public file, and \
                      take it in with `handover partner add FILE`";
        return Err(
            Issue::new(Code::ConfigInvalid, detail).at(format!("{url}/{INTRODUCTION_PATH}"))
        );
    }
    let Some(statement) = &documents.statement else {
        let detail =
            "no CapabilityStatement can be read there, so this is no FHIR server's base URL";
        return Err(Issue::new(Code::CapabilityMissing, detail).at(format!("{url}/metadata")));
    };
    let token = documents.smart.as_ref().is_some_and(|it| it["token_endpoint"].is_string());
    let sign_in = match (shared, token) {
        (Some(_), _) => SignIn::Udap,
        (None, true) => SignIn::Smart,
        (None, false) if exchange::partner::is_loopback(url) => SignIn::None,
        (None, false) => {
            let detail = "the door publishes no sign-in that this house has: neither a token endpoint in \
                          .well-known/smart-configuration, nor UDAP in a community of this house";
            return Err(Issue::new(Code::CapabilityMissing, detail).at(url.to_owned()));
        }
    };
    let title = ["/implementation/description", "/publisher", "/software/name"].iter();
    let title = title.filter_map(|place| statement.pointer(place)?.as_str()).map(clip);
    let title = title.into_iter().find(|it| !it.is_empty());
    let title = title.unwrap_or_else(|| url.to_owned());
    Ok(PublicFile {
        foreign: Some(Foreign {
            sign_in,
            client_id: asked.client_id.clone(),
            token_endpoint: None,
            scope: None,
        }),
        udap: shared
            .map(|community| PublicUdap { uri: url.to_owned(), community: community.clone() }),
        ..PublicFile::of(&name_of(url), Role::Payer, &title, url)
    })
}

/// A name made of the host.
fn name_of(url: &str) -> String {
    let host = url.split("://").nth(1).unwrap_or_default();
    let host = host.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase();
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = host.chars().map(letter).take(40).collect();
    name.trim_matches('-').to_owned()
}

/// What is there already counts, but where one can sign in by UDAP since, or where a person has named
/// another authority.
pub(super) fn settle(
    known: Option<PublicFile>,
    wanted: PublicFile,
    authority_named: bool,
) -> (PublicFile, Standing) {
    let Some(mut known) = known else { return (wanted, Standing::New) };
    let mut amended = Vec::new();
    if authority_named && known.authority != wanted.authority {
        known.authority.clone_from(&wanted.authority);
        amended.push("authority");
    }
    if matches!(known.signs_in(), SignIn::Smart) && wanted.signs_in() == SignIn::Udap {
        known.udap.clone_from(&wanted.udap);
        match (&mut known.foreign, &wanted.foreign) {
            (Some(known), Some(_)) => known.sign_in = SignIn::Udap,
            _ => known.sign_in = wanted.sign_in,
        }
        amended.push("sign_in");
    }
    if !amended.is_empty() {
        return (known, Standing::Amended(amended));
    }
    let theirs = |file: &PublicFile| {
        (file.namespace.clone(), file.ledger_key.clone(), file.client_id.clone())
    };
    let same = theirs(&known) == theirs(&wanted);
    let standing = if same { Standing::AsItWas } else { Standing::Differs };
    (known, standing)
}

#[cfg(test)]
mod tests {
    //! Goal: a door is believed what it says of itself, and nothing beyond.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::init::{NewHouse, init};
    use serde_json::json;
    use std::path::Path;

    fn house(folder: &Path, role: Role, name: &str, port: u16) -> PublicFile {
        let new = NewHouse {
            role,
            name: name.to_owned(),
            title: name.to_owned(),
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], port)),
            hosts: vec!["127.0.0.1".to_owned()],
            namespace: None,
            payer_identifiers: Vec::new(),
            source: None,
        };
        init(&folder.join(name), &new).unwrap()
    }

    #[test]
    fn an_introduction_is_of_the_door_that_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        house(folder.path(), Role::Provider, "mercy", 8443);
        let plan = house(folder.path(), Role::Payer, "sunrise", 8444);
        let other = house(folder.path(), Role::Provider, "other", 8445);
        let config = config::House::read(&folder.path().join("mercy")).unwrap();
        let (url, town) = (plan.base_url.clone(), "https://town.example".to_owned());
        let changed = |changes: &[(&str, Value)]| {
            let mut file = serde_json::to_value(&plan).unwrap();
            for (member, value) in changes {
                file[*member] = value.clone();
            }
            file.to_string()
        };
        let udap = json!({ "uri": url, "community": "https://county.example" });
        let signs = |word: &str| [("sign_in", json!(word)), ("udap", udap.clone())];
        type Row<'r> = (&'r str, String, Option<&'r String>, Result<SignIn, &'r str>);
        let certified = |authority: &str, san: &str| {
            changed(&[("client_certificate", json!({ "authority": authority, "san": san }))])
        };
        let table: [Row<'_>; 12] = [
            ("as it is", changed(&[]), None, Ok(SignIn::Smart)),
            ("in a community", changed(&signs("udap")), Some(&town), Ok(SignIn::Udap)),
            ("in another one", changed(&signs("udap")), None, Ok(SignIn::Smart)),
            ("shared, and it does not say so", changed(&[]), Some(&town), Ok(SignIn::Udap)),
            (
                "by certificate",
                changed(&[("sign_in", json!("mtls"))]),
                Some(&town),
                Ok(SignIn::Mtls),
            ),
            ("a provider", serde_json::to_string(&other).unwrap(), None, Err("other road")),
            (
                "another door",
                changed(&[("base_url", json!("https://127.0.0.1:9/fhir"))]),
                None,
                Err("of another door"),
            ),
            (
                "no house",
                changed(&[("foreign", json!({ "sign_in": "none" }))]),
                None,
                Err("namespace, client id"),
            ),
            ("a certificate of no authority", certified("xx", "uri:x"), None, Err("holds none")),
            ("an address that is none", certified(&plan.authority, "ip:x"), None, Err("the san")),
            ("a forged title", changed(&[("title", json!("a\nb"))]), None, Err("one line")),
            ("no file at all", "<html>".to_owned(), None, Err("cannot be read")),
        ];
        for (case, text, shared, wanted) in table {
            let asked = Asked { url: url.clone(), ..Asked::default() };
            let looked = Looked { authority: "PEM".to_owned(), ..Looked::default() };
            let community = shared.map(|uri| Ok(uri.clone()));
            let documents =
                Documents { introduction: Some(text), community, ..Documents::default() };
            match (of(&config, &url, &asked, &looked, &documents), wanted) {
                (Ok(public), Ok(sign_in)) => {
                    assert_eq!(public.signs_in(), sign_in, "{case}");
                    assert_eq!(public.authority, "PEM", "{case}: never its own word");
                    let of = public.udap.filter(|_| sign_in == SignIn::Udap);
                    assert!(of.is_none_or(|it| it.community == town && it.uri == url), "{case}");
                }
                (Err(issue), Err(words)) => {
                    assert!(issue.to_string().contains(words), "{case}: {issue}");
                }
                (found, wanted) => assert_eq!(found.is_ok(), wanted.is_ok(), "{case}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_sender_is_in_its_community_what_its_door_is() {
        let folder = tempfile::tempdir().unwrap();
        let clinic = house(folder.path(), Role::Provider, "clinic", 8443);
        house(folder.path(), Role::Payer, "sunrise", 8444);
        let config = config::House::read(&folder.path().join("sunrise")).unwrap();
        let url = clinic.base_url.clone();
        let table = [
            ("its own URL", url.clone(), true),
            ("somebody else's", "https://mercy.example/fhir".to_owned(), false),
            ("with a slash", format!("{url}/"), false),
            ("in capitals", url.to_ascii_uppercase(), false),
        ];
        for (case, uri, taken) in table {
            let mut file = clinic.clone();
            let community = "https://town.example".to_owned();
            file.udap = Some(PublicUdap { uri: uri.clone(), community });
            let introduction = serde_json::to_string(&file).ok();
            let documents = Documents { introduction, ..Documents::default() };
            let asked = Asked { url: url.clone(), ..Asked::default() };
            let looked = Looked { authority: "PEM".to_owned(), ..Looked::default() };
            match of(&config, &url, &asked, &looked, &documents) {
                Ok(public) => {
                    assert!(taken, "{case}");
                    assert_eq!(public.udap.map(|udap| udap.uri), Some(uri), "{case}");
                }
                Err(issue) => {
                    assert!(!taken, "{case}: {issue}");
                    assert!(issue.to_string().contains("another URI"), "{case}: {issue}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_made_of_the_host() {
        let table = [
            ("https://fhir.Plan-B.example/r4", "fhir-plan-b-example"),
            ("https://127.0.0.1:8444/fhir", "127-0-0-1"),
            ("https://plan.example.:443", "plan-example"),
        ];
        for (url, name) in table {
            assert_eq!(name_of(url), name, "{url}");
        }
    }
}
