//! Judging a step: what an answer says about the door that gave it. Pure.
//!
//! Comes in   answers, or why there is none; what the agreement and the partner's file say.
//! Goes out   a finding with its place, who acts and what is next.
//! Never      asks anything itself.

use super::NoAnswer;
use crate::limits::{CERTIFICATE_DAYS_SOON, PROBE_WORDS_MAX};
use crate::route;
use bytes::Bytes;
use exchange::capability::Declared;
use exchange::ladder::Offer;
use exchange::partner::PublicIdentifier;
use exchange::probe::Found;
use exchange::{Agreement, Code, Issue};
use fhir::{Doc, Node, Versions};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::Value;
use std::io::{Error, ErrorKind};
use wire::doorstep::{Shaken, TlsFault};
use wire::{ClientError, SignInError};

/// What a door answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok().filter(Value::is_object)
    }

    fn says(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it explains itself in FHIR's form.
    fn explains(&self) -> bool {
        let told = self.json().unwrap_or_default();
        let issues = told["issue"].as_array().map_or(0, Vec::len);
        told["resourceType"] == "OperationOutcome" && issues > 0
    }
}

/// A fault of the payer's door.
pub(super) fn faulty(detail: impl Into<String>) -> Issue {
    Issue::new(Code::DoorFaulty, detail)
}

fn fail(detail: impl Into<String>, place: &str) -> Found {
    Found::Fail(faulty(detail).at(place))
}

fn pass(words: impl Into<String>) -> Found {
    Found::Pass(words.into())
}

/// Why no connection came about.
pub(super) fn unconnected(error: &Error) -> Issue {
    faulty(match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens at the address of the base URL",
        ErrorKind::TimedOut => {
            "the address does not answer: a firewall that drops what comes, or a server that is down"
        }
        _ => "the address cannot be reached from here",
    })
    .at("base_url")
}

pub(super) fn tls(shaken: Result<Shaken, TlsFault>) -> Found {
    let fault = match shaken {
        Ok(Shaken { version, days_left }) if days_left <= CERTIFICATE_DAYS_SOON => {
            return pass(format!(
                "{version}; the certificate has {days_left} days left, and should be renewed"
            ));
        }
        Ok(Shaken { version, days_left }) => {
            return pass(format!("{version}; the certificate has {days_left} days left"));
        }
        Err(fault) => fault,
    };
    let issue = match fault {
        TlsFault::Expired => faulty("the server's certificate has expired"),
        TlsFault::NotYetValid => {
            faulty("the server's certificate is not valid yet, or one of the two clocks is wrong")
        }
        TlsFault::OtherName => {
            faulty("the server's certificate is made out for other names than the base URL's host")
        }
        TlsFault::UnknownAuthority => Issue::new(
            Code::PayerUntrusted,
            "the server's certificate comes from an authority that is not in the partner's file",
        ),
        TlsFault::BadCertificate(words) => {
            faulty(format!("the server's certificate is of no use: {words}"))
        }
        TlsFault::NothingInCommon => faulty("the server does not speak TLS 1.2 or newer"),
        TlsFault::WantsCertificate => Issue::new(
            Code::SignInRefused,
            "the server asks for a certificate of this house, or does not know the one it was shown",
        ),
        TlsFault::NotTls => faulty("what answers at the address does not speak TLS"),
        TlsFault::CutOff => faulty("the connection ended, or fell silent, before TLS was agreed"),
        TlsFault::NoRoots => {
            Issue::new(Code::KeyUnusable, "the partner's file holds no authority to trust")
        }
    };
    Found::Fail(issue)
}

/// Why there is no answer, where none needs a token.
pub(super) fn unanswered(error: &NoAnswer) -> Issue {
    match error {
        NoAnswer::Late => faulty("no answer came in the time a probe waits"),
        NoAnswer::Client(ClientError::SignIn(error)) => no_token(error),
        NoAnswer::Client(ClientError::ForeignUrl) => {
            Issue::new(Code::ConfigInvalid, "the partner's base URL is none").at("base_url")
        }
        NoAnswer::Client(error @ ClientError::Transport(_)) => match route::away(error) {
            // What a push waits out is what a probe is there to tell.
            issue if issue.code == Code::PayerUnreachable => {
                faulty("the connection ended before the answer was complete")
            }
            issue => issue,
        },
    }
}

/// The same, where a token was needed and refused before: that has been said.
pub(super) fn unsigned(error: &NoAnswer) -> Found {
    match error {
        NoAnswer::Client(ClientError::SignIn(_)) => {
            Found::CannotTell("no token was to be had".into())
        }
        error => Found::Fail(unanswered(error)),
    }
}

/// Why there is no token.
pub(super) fn no_token(error: &SignInError) -> Issue {
    match error {
        SignInError::Unreachable { .. } => faulty("the token endpoint does not answer, or is down"),
        SignInError::Untrusted(_) => Issue::new(
            Code::PayerUntrusted,
            "the token endpoint's certificate is not one this house trusts for this partner",
        ),
        SignInError::Refused(words) => {
            let words = short(words);
            // The partner's own refusal begins with its status; the rest is what cannot be read.
            match words.len() > 3 && words.bytes().take(3).all(|byte| byte.is_ascii_digit()) {
                true => Issue::new(Code::SignInRefused, format!("no token was given: {words}")),
                false => faulty(format!("no token could be had: {words}")),
            }
        }
    }
}

/// SMART App Launch 2.2, conformance: what backend services need.
pub(super) fn smart_configuration(answer: &Answer) -> Found {
    const PLACE: &str = ".well-known/smart-configuration";
    if answer.status != 200 {
        return fail(format!("the document answers {}", answer.status), PLACE);
    }
    let Some(told) = answer.json() else { return fail("the document is no JSON object", PLACE) };
    let place = |key: &str| format!("{PLACE}: {key}");
    let endpoint = told["token_endpoint"].as_str().unwrap_or_default();
    if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
        return fail("the document names no token endpoint", &place("token_endpoint"));
    }
    let lacks = |key: &str, wanted: &[&str]| {
        let list = told[key].as_array();
        let has = |word: &str| list.is_some_and(|list| list.iter().any(|it| it == word));
        list.is_some() && !wanted.iter().any(|word| has(word))
    };
    let needs: [(&str, &[&str]); 4] = [
        ("grant_types_supported", &["client_credentials"]),
        ("capabilities", &["client-confidential-asymmetric"]),
        ("token_endpoint_auth_methods_supported", &["private_key_jwt"]),
        ("token_endpoint_auth_signing_alg_values_supported", &["ES384", "RS384"]),
    ];
    for (key, wanted) in needs {
        if lacks(key, wanted) {
            return fail(format!("it does not list {}", wanted.join(" or ")), &place(key));
        }
    }
    let silent: Vec<&str> =
        needs.iter().map(|(key, _)| *key).filter(|key| !told[*key].is_array()).collect();
    match silent.as_slice() {
        [] => pass("backend services with private_key_jwt"),
        [.., "capabilities"] | ["capabilities", ..] => {
            fail("it lists no capabilities", &place("capabilities"))
        }
        keys => pass(format!("a token endpoint; nothing is said of {}", keys.join(", "))),
    }
}

/// FAST Security, discovery: whether it is there and has what it must have.
pub(super) fn udap_metadata(answer: &Answer) -> Found {
    const PLACE: &str = ".well-known/udap";
    match answer.status {
        // Servers that keep everything behind a token offer none either: discovery is open.
        401 | 403 | 404 => return Found::DoesNotApply("the door offers no UDAP".into()),
        204 => return Found::DoesNotApply("the door offers UDAP, to other communities".into()),
        200 => {}
        status => return fail(format!("the document answers {status}"), PLACE),
    }
    let Some(told) = answer.json() else { return fail("the document is no JSON object", PLACE) };
    if told["udap_versions_supported"] != serde_json::json!(["1"]) {
        let place = format!("{PLACE}: udap_versions_supported");
        return fail("the only version there is is \"1\"", &place);
    }
    for key in ["token_endpoint", "registration_endpoint", "signed_metadata"] {
        if told[key].as_str().is_none_or(str::is_empty) {
            return fail(format!("it has no {key}"), &format!("{PLACE}: {key}"));
        }
    }
    pass("UDAP with signed metadata")
}

/// HRex, endpoint discovery: a hint, where it is there.
pub(super) fn davinci_configuration(answer: &Answer, known: &[PublicIdentifier]) -> Found {
    const PLACE: &str = ".well-known/davinci-configuration";
    if matches!(answer.status, 401 | 403 | 404) {
        return Found::DoesNotApply("the door shows no such document".into());
    }
    let told = answer.json().filter(|_| answer.status == 200).unwrap_or_default();
    if !told["endpoints"].is_object() {
        return fail("the document has no endpoints, or is no JSON object", PLACE);
    }
    let is_known = |it: &PublicIdentifier| {
        told["identifier"]["system"] == it.system.as_str()
            && told["identifier"]["value"] == it.value.as_str()
    };
    if !known.is_empty() && !known.iter().any(is_known) {
        let place = format!("{PLACE}: identifier");
        return fail("it is another payer's than the partner's file names", &place);
    }
    pass("it names the payer and its endpoints")
}

/// R4, operation `versions`.
pub(super) fn versions(answer: &Answer) -> Found {
    const PLACE: &str = "$versions";
    let read = Versions::parse(answer.body.clone()).ok().filter(|_| answer.status == 200);
    match read {
        Some(versions) if versions.speaks("4.0") => {
            pass(format!("it speaks {}", short(&versions.versions.join(", "))))
        }
        Some(_) => {
            Found::Fail(Issue::new(Code::VersionMismatch, "4.0 is not among them").at(PLACE))
        }
        None if matches!(answer.status, 400 | 404 | 405 | 501) => {
            Found::CannotTell("it has no such operation; its statement says which it speaks".into())
        }
        None => fail(format!("the answer ({}) cannot be read", answer.status), PLACE),
    }
}

/// What the statement says, against the agreement; what it offers, and whether that is `$validate`.
pub(super) fn statement(answer: &Answer, agreement: &Agreement) -> (Found, Option<Offer>, bool) {
    const PLACE: &str = "CapabilityStatement";
    if answer.status != 200 {
        let found = fail(format!("/metadata answers {}", answer.status), PLACE);
        return (found, None, false);
    }
    let Ok(doc) = Doc::parse(&answer.body) else {
        return (fail("/metadata is no JSON", PLACE), None, false);
    };
    let text = |node: Option<Node<'_, '_>>| node.and_then(|it| it.text().map(|it| it.to_string()));
    if text(doc.root().get("resourceType")).as_deref() != Some(PLACE) {
        return (fail("/metadata is no CapabilityStatement", PLACE), None, false);
    }
    let validates = offers_operation(doc.root(), "validate");
    match route::read_statement(&Declared::read(None, Some(&doc)), &doc, agreement) {
        Err(issue) => (Found::Fail(issue), None, validates),
        Ok((form, _, offer)) => {
            let version = text(doc.root().get("fhirVersion")).unwrap_or_default();
            let words = format!("FHIR {}, {form}", short(&version));
            (pass(words), Some(offer), validates)
        }
    }
}

fn offers_operation(root: Node<'_, '_>, wanted: &str) -> bool {
    let named = |node: Node<'_, '_>| {
        let operations = node.get("operation").into_iter().flat_map(|list| list.items());
        operations
            .filter_map(|operation| operation.get("name"))
            .any(|name| name.text().as_deref() == Some(wanted))
    };
    let rests = root.get("rest").into_iter().flat_map(|rest| rest.items());
    rests.into_iter().any(|rest| {
        let kinds = rest.get("resource").into_iter().flat_map(|list| list.items());
        named(rest) || kinds.into_iter().any(named)
    })
}

/// A request with the token that was given.
pub(super) fn opened(answer: &Answer) -> Found {
    match answer.status {
        401 => {
            fail("the door does not accept the token its own token endpoint gave", "Authorization")
        }
        status if status >= 500 => fail(format!("a search answers {status}"), "Patient"),
        403 => pass("the token is known; its scopes do not cover a search"),
        status => pass(format!("a search answers {status}")),
    }
}

/// The same without one.
pub(super) fn closed(answer: &Answer) -> Found {
    match answer.status {
        401 if answer.says(WWW_AUTHENTICATE).is_empty() => {
            fail("it refuses, but does not say how to sign in", "WWW-Authenticate")
        }
        401 | 403 => pass(format!("it answers {}", answer.status)),
        status if status < 300 => fail("the door answers a search without any token", "Patient"),
        status => Found::CannotTell(format!("it answers {status}, which says nothing of tokens")),
    }
}

/// R4 §3.1.0.1.11: 406 for a version that is not spoken.
pub(super) fn version_parameter(answer: &Answer) -> Found {
    match answer.status {
        406 => pass("it is refused (406)"),
        status if status >= 500 => fail(format!("it answers {status}"), "Accept: fhirVersion"),
        status => Found::CannotTell(format!("it answers {status}, as if nothing had been asked")),
    }
}

pub(super) fn validated(answer: &Answer) -> Found {
    match answer.status {
        status if status < 500 && answer.explains() => pass(format!("$validate answers {status}")),
        403 => pass("$validate is not open to this house's token"),
        status => {
            fail(format!("$validate answers {status} without an OperationOutcome"), "$validate")
        }
    }
}

pub(super) fn took_nothing(answer: &Answer) -> Found {
    let bundle = || answer.json().is_some_and(|told| told["resourceType"] == "Bundle");
    match answer.status {
        200 if bundle() => pass("an empty transaction is taken"),
        status if (400..500).contains(&status) && answer.explains() => {
            pass(format!("an empty transaction is refused in words ({status})"))
        }
        status => {
            fail(format!("an empty transaction answers {status} without a word"), "POST [base]")
        }
    }
}

/// A refusal should have one of these statuses, and say why in an OperationOutcome (R4 §3.1.0.1.7).
pub(super) fn refusal(answer: &Answer, wanted: &[u16], what: &str) -> Found {
    let status = answer.status;
    if status < 300 {
        return fail(format!("{what} is answered {status}, as if it were well"), what);
    }
    if !wanted.contains(&status) {
        return fail(format!("{what} is answered {status}; expected is {}", wanted[0]), what);
    }
    if !answer.explains() {
        let kind = short(answer.says(CONTENT_TYPE));
        let words = format!("{what} is answered {status} without an OperationOutcome ({kind})");
        return fail(words, what);
    }
    pass(format!("{status} with an OperationOutcome"))
}

/// A partner's words, bounded and in plain ASCII.
fn short(words: &str) -> String {
    let plain = words.chars().filter(|char| char.is_ascii_graphic() || *char == ' ');
    plain.take(PROBE_WORDS_MAX).collect()
}
