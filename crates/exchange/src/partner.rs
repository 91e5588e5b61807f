//! A partner's public file: what one house tells the other before the first push.
//!
//! Comes in   the JSON file `init` writes, carried from house to house by people.
//! Goes out   names, addresses and public keys.
//! Never      a private key or a patient.

mod bulk;

use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::limits::{PUBLIC_IDENTIFIERS_MAX, PUBLIC_WORDS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name and client id of a house's own people at its own door: no partner's.
pub const OPERATOR: &str = "operator";

/// What a house publishes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicFile {
    /// The house's short name: letters, digits, `-`.
    pub name: PartnerId,
    /// What it does.
    pub role: Role,
    /// Its name in words.
    pub title: String,
    /// FHIR base URL of its doors.
    pub base_url: String,
    /// The URI its derived ids are made with, frozen at `init`. Left out by senders that derive
    /// none: what they PUT keeps its ids, and what they POST gets ids of the receiving house.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its client id at partners' token endpoints.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_id: String,
    /// Public keys for its client assertions (RFC 7517).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub jwks: serde_json::Value,
    /// Where it publishes these keys instead (`https`); its certificate there is from `authority` too.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jwks_url: String,
    /// How this house and its partners sign in with each other: `smart`, which it is when left out,
    /// `udap`, or `mtls`, by its certificate alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    /// The certificate it presents when it connects to partners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<ClientCertificate>,
    /// PEM of the certificate authority its server certificate comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authority: String,
    /// Identifiers a Coverage names it by (payers).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payer_identifiers: Vec<PublicIdentifier>,
    /// Public key its ledger's checkpoints are signed with (Ed25519, hex).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ledger_key: String,
    /// It is a payer with a FHIR server of another make; this house's people write the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<Foreign>,
    /// What the partner is in a trust community: a sender's client, a payer's server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udap: Option<PublicUdap>,
    /// Origins of the files of its bulk submissions, beside that of its base URL (senders).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file_servers: Vec<String>,
    /// Whom it may name as submitter (senders); nobody: whom it likes, since its credential tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submitters: Vec<PublicIdentifier>,
}

/// What a house is in a UDAP trust community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicUdap {
    /// Its URI among its certificate's alternative names: of a payer, its base URL.
    pub uri: String,
    /// The community, as it names itself.
    pub community: String,
}

/// By what a partner's client certificate is known: its authority and the name it carries, or its
/// digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificate {
    /// PEM of the authority it comes from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authority: String,
    /// The name it must carry in `subjectAltName`: `uri:…`, `dns:…` or `ip:…`, compared exactly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub san: String,
    /// Or the SHA-256 of the certificate itself, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Whether there is no token without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// How a house signs in at a FHIR server of another make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// `smart`: backend services (`private_key_jwt` with this house's key); `none`: on loopback only.
    pub sign_in: SignIn,
    /// This house's client id there; left out: the house's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The token endpoint, where the server does not publish one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Scopes to ask for; left out: `system/*.cruds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A way of signing in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignIn {
    /// SMART Backend Services.
    Smart,
    /// UDAP, in the community of the partner's `udap`.
    Udap,
    /// By the client certificate of the connection.
    Mtls,
    /// None at all.
    None,
}

/// An identifier in a public file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicIdentifier {
    /// `Identifier.system`.
    pub system: String,
    /// `Identifier.value`.
    pub value: String,
}

/// Which road a house walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The sending house.
    Provider,
    /// The receiving house.
    Payer,
}

impl PublicFile {
    /// One that says no more than this: what else is known is filled in, `PublicFile { jwks, ..PublicFile::of(…) }`.
    /// As it stands it is of no house; `parse` says what is missing.
    pub fn of(name: &str, role: Role, title: &str, base_url: &str) -> PublicFile {
        PublicFile {
            name: name.into(),
            role,
            title: title.to_owned(),
            base_url: base_url.to_owned(),
            namespace: String::new(),
            client_id: String::new(),
            jwks: serde_json::Value::Null,
            jwks_url: String::new(),
            sign_in: None,
            client_certificate: None,
            authority: String::new(),
            payer_identifiers: Vec::new(),
            ledger_key: String::new(),
            foreign: None,
            udap: None,
            file_servers: Vec::new(),
            submitters: Vec::new(),
        }
    }

    /// Reads a public file; errors name the file and the place.
    pub fn parse(text: &str, file_name: &str) -> Result<PublicFile, Issue> {
        let file: PublicFile = serde_json::from_str(text).map_err(|error| {
            let place = format!("{file_name}, line {}", error.line());
            Issue::new(Code::ConfigInvalid, "a partner's public file cannot be read").at(place)
        })?;
        file.check()
            .map_err(|(member, detail)| invalid(detail).at(format!("{file_name}: {member}")))?;
        Ok(file)
    }

    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let name = self.name.as_str();
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(good) {
            let detail = "a partner's name is 1 to 40 lower-case letters, digits and hyphens";
            return Err(("name", detail));
        }
        check_title(&self.title).map_err(|detail| ("title", detail))?;
        self.check_udap().map_err(|detail| ("udap", detail))?;
        self.check_identifiers().map_err(|detail| ("payer_identifiers", detail))?;
        self.check_bulk()?;
        if let Some(foreign) = &self.foreign {
            return self.check_foreign(foreign);
        }
        self.check_sign_in()?;
        if self.authority.is_empty() {
            return Err(("authority", "the authority of the house's certificate is missing"));
        }
        if self.ledger_key.is_empty() {
            return Err(("ledger_key", "the public key of the house's ledger is missing"));
        }
        if !self.base_url.starts_with("https://") || !visible(&self.base_url) {
            return Err(("base_url", "a partner's base URL begins with https://, without blanks"));
        }
        let derives = self.role == Role::Payer || !self.namespace.is_empty();
        if derives {
            check_namespace(&self.namespace).map_err(|detail| ("namespace", detail))?;
        }
        let client = &self.client_id;
        if client.is_empty() || client.len() > PUBLIC_WORDS_MAX || !visible(client) {
            let detail = "a partner's client id is 1 to 200 letters, digits and signs of ASCII";
            return Err(("client_id", detail));
        }
        Ok(())
    }

    /// Keys in the file or at a URL, unless a certificate is all there is.
    fn check_sign_in(&self) -> Result<(), (&'static str, &'static str)> {
        let Self { jwks, jwks_url, sign_in, client_certificate, .. } = self;
        let by_certificate = *sign_in == Some(SignIn::Mtls);
        if *sign_in == Some(SignIn::None) {
            return Err(("sign_in", "a house signs in by smart, udap or mtls"));
        }
        if by_certificate && client_certificate.is_none() && self.role == Role::Provider {
            let detail = "who signs in by mtls is known by a certificate, and none is named";
            return Err(("client_certificate", detail));
        }
        match (jwks.is_null(), jwks_url.is_empty()) {
            (true, true) if !by_certificate => {
                return Err(("jwks", "the public keys of the house are missing"));
            }
            (false, false) => {
                return Err(("jwks_url", "keys are in the file or at a URL, not both"));
            }
            _ => {}
        }
        let https = jwks_url.starts_with("https://") && visible(jwks_url);
        if !jwks_url.is_empty() && (!https || jwks_url.len() > PUBLIC_WORDS_MAX) {
            return Err((
                "jwks_url",
                "keys are at a URL that begins with https://, without blanks",
            ));
        }
        client_certificate.as_ref().map_or(Ok(()), ClientCertificate::check)
    }

    /// What an agreement could not name would keep the house from reading it.
    fn check_identifiers(&self) -> Result<(), &'static str> {
        let fits = |text: &String| {
            let length = text.chars().count();
            !text.trim().is_empty()
                && length <= PUBLIC_WORDS_MAX
                && !text.chars().any(char::is_control)
        };
        let list = &self.payer_identifiers;
        let all = list.iter().all(|it| fits(&it.system) && fits(&it.value));
        match all && list.len() <= PUBLIC_IDENTIFIERS_MAX {
            true => Ok(()),
            false => Err("at most 100 identifiers, each a system and a value in one line"),
        }
    }

    /// A server of another make: sign-in and TLS, but on loopback.
    fn check_foreign(&self, foreign: &Foreign) -> Result<(), (&'static str, &'static str)> {
        if self.role != Role::Payer {
            return Err(("foreign", "only a payer can be a server of another make"));
        }
        let loopback = is_loopback(&self.base_url);
        let safe = self.base_url.starts_with("https://") || loopback;
        if !safe || !visible(&self.base_url) {
            let detail = "a server's base URL begins with https://, or with http:// on loopback";
            return Err(("base_url", detail));
        }
        if self.base_url.starts_with("https://") && self.authority.is_empty() {
            let detail =
                "the PEM of the authority that the server's certificate comes from is missing";
            return Err(("authority", detail));
        }
        if foreign.sign_in == SignIn::None && !loopback {
            return Err(("foreign.sign_in", "nothing is sent without sign-in, but on loopback"));
        }
        let words = [&foreign.client_id, &foreign.token_endpoint].into_iter().flatten();
        let fit =
            |word: &String| !word.is_empty() && word.len() <= PUBLIC_WORDS_MAX && visible(word);
        if !words.into_iter().all(fit) {
            let detail =
                "client id and token endpoint are 1 to 200 letters, digits and signs of ASCII";
            return Err(("foreign", detail));
        }
        if !self.namespace.is_empty() || !self.client_id.is_empty() || !self.jwks.is_null() {
            let detail = "a server of another make has no namespace, client id or keys here";
            return Err(("foreign", detail));
        }
        Ok(())
    }

    /// How a house signs in at its door.
    pub fn signs_in(&self) -> SignIn {
        let foreign = self.foreign.as_ref().map(|foreign| foreign.sign_in);
        self.sign_in.or(foreign).unwrap_or(SignIn::Smart)
    }

    /// A URI and a community, both absolute and as they are spelt.
    fn check_udap(&self) -> Result<(), &'static str> {
        let Some(udap) = &self.udap else {
            return match self.signs_in() {
                SignIn::Udap => Err("uri and community are missing"),
                _ => Ok(()),
            };
        };
        let absolute =
            |text: &String| text.contains(':') && text.len() <= PUBLIC_WORDS_MAX && visible(text);
        match absolute(&udap.uri) && absolute(&udap.community) {
            true => Ok(()),
            false => Err("uri and community are absolute URIs of at most 200 signs"),
        }
    }

    /// Ids of its public keys (RFC 7517 §4.5).
    fn key_ids(&self) -> impl Iterator<Item = &str> {
        let keys = self.jwks["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        keys.iter().filter_map(|key| key["kid"].as_str())
    }
}

impl ClientCertificate {
    /// Errors: the member, and a sentence.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let kind = ["uri:", "dns:", "ip:"].iter().find_map(|kind| self.san.strip_prefix(kind));
        let named = kind.is_some_and(|name| !name.is_empty())
            && self.san.len() <= PUBLIC_WORDS_MAX
            && visible(&self.san);
        let digest =
            self.sha256.len() == 64 && self.sha256.bytes().all(|it| it.is_ascii_hexdigit());
        let by_name = named && !self.authority.is_empty() && self.sha256.is_empty();
        let by_digest = digest && self.san.is_empty() && self.authority.is_empty();
        if by_name || by_digest {
            return Ok(());
        }
        let detail = "a certificate is known by its authority and san (uri:…, dns:… or ip:…), or by its \
                      sha256 alone";
        Err(("client_certificate", detail))
    }
}

/// Whether a text can be a house's name in words: one line. The error is a sentence.
pub fn check_title(title: &str) -> Result<(), &'static str> {
    if title.chars().count() <= PUBLIC_WORDS_MAX && !title.chars().any(char::is_control) {
        return Ok(());
    }
    Err("a title is one line of at most 200 characters")
}

/// Whether a text can be a namespace: an absolute `https` URL or `urn`, without blanks. The error is
/// a sentence.
pub fn check_namespace(namespace: &str) -> Result<(), &'static str> {
    let rest = namespace.strip_prefix("https://").or_else(|| namespace.strip_prefix("urn:"));
    let absolute = rest.is_some_and(|rest| !rest.trim_matches(['/', ':']).is_empty());
    if absolute && namespace.len() <= PUBLIC_WORDS_MAX && visible(namespace) {
        return Ok(());
    }
    Err("a namespace is an absolute URI that begins with https:// or urn:, without blanks")
}

/// Whether all public files of a house name different partners, and none the house itself: each
/// file with where it lies, and the house's own name, namespace and the file that says so.
///
/// Errors: `ConfigInvalid` that names both files. Who shares an identity with another could lock it
/// out, sign in for it, or occupy its ids.
pub fn check_identities(
    name: &str,
    namespace: &str,
    own_file: &str,
    files: &[(String, PublicFile)],
) -> Result<(), Issue> {
    let mut taken: BTreeMap<(&str, String), &str> = BTreeMap::new();
    for reserved in [name, OPERATOR] {
        taken.insert(("name", reserved.to_owned()), own_file);
        taken.insert(("client id", reserved.to_owned()), own_file);
    }
    taken.insert(("namespace", plain(namespace)), own_file);
    for (place, file) in files {
        let mut said = vec![("name", file.name.to_string())];
        if !file.client_id.is_empty() {
            said.push(("client id", file.client_id.to_ascii_lowercase()));
        }
        if !file.namespace.is_empty() {
            said.push(("namespace", plain(&file.namespace)));
        }
        // Exact, as certificates are compared.
        said.extend(file.udap.iter().map(|it| ("URI", format!("{} {}", it.community, it.uri))));
        // A certificate that two registered is nobody's.
        let certificates = file.client_certificate.iter();
        said.extend(certificates.map(|it| match it.sha256.is_empty() {
            true => ("certificate's name", it.san.clone()),
            false => ("certificate", it.sha256.to_ascii_lowercase()),
        }));
        let mut keys: Vec<&str> = file.key_ids().collect();
        keys.sort_unstable();
        keys.dedup();
        said.extend(keys.into_iter().map(|key| ("key id", key.to_owned())));
        for (what, value) in said {
            if let Some(other) = taken.insert((what, value), place) {
                let detail = format!("its {what} is taken: {other} has the same one");
                return Err(invalid(detail).at(place.clone()));
            }
        }
    }
    Ok(())
}

/// A namespace as it is compared: `https://A.example/` and `https://a.example` are not two houses.
fn plain(namespace: &str) -> String {
    namespace.trim_end_matches('/').to_ascii_lowercase()
}

/// Whether a URL's host is this machine; never one with a user before the host, which reads like one.
pub fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains(['@', '\\']) {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let numbers = || host.split('.').map(str::parse::<u8>);
    let four = numbers().count() == 4 && numbers().all(|number| number.is_ok());
    host.eq_ignore_ascii_case("localhost") || host == "::1" || (four && host.starts_with("127."))
}

fn visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid(detail: impl Into<String>) -> Issue {
    Issue::new(Code::ConfigInvalid, detail)
}

#[cfg(test)]
mod tests {
    //! Goal: no partner is taken for another, nor for the house itself or its operator.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn public(changed: &[(&str, Value)]) -> Result<PublicFile, Issue> {
        let mut file = json!({
            "name": "clinic", "role": "provider", "title": "Clinic",
            "base_url": "https://clinic.example/fhir", "namespace": "https://clinic.example/ids",
            "client_id": "clinic", "jwks": { "keys": [{ "kid": "k1" }] }, "authority": "PEM",
            "ledger_key": "00",
        });
        for (member, value) in changed {
            file[*member] = value.clone();
        }
        PublicFile::parse(&file.to_string(), "new.json")
    }

    /// Proves: smart 316
    #[test]
    fn a_server_of_another_make_is_signed_in_at_but_on_loopback() {
        let foreign = |base_url: &str, authority: &str, sign_in: &str| {
            let file = json!({ "name": "plan-b", "role": "payer", "title": "Plan B",
                "base_url": base_url, "authority": authority, "foreign": { "sign_in": sign_in } });
            PublicFile::parse(&file.to_string(), "plan-b.json").map_err(|issue| issue.expression)
        };
        let table = [
            ("https://b.example/fhir", "PEM", "smart", None),
            ("https://b.example/fhir", "", "smart", Some("authority")),
            ("https://b.example/fhir", "PEM", "none", Some("foreign.sign_in")),
            ("http://b.example/fhir", "", "smart", Some("base_url")),
            ("http://127.0.0.1:8080/fhir", "", "none", None),
            ("http://[::1]:8080/fhir", "", "none", None),
            ("http://localhost/fhir", "", "smart", None),
            ("http://127.0.0.1.b.example/fhir", "", "none", Some("base_url")),
            ("http://127.0.0.1@b.example/fhir", "", "none", Some("base_url")),
            ("http://localhost.b.example/fhir", "", "none", Some("base_url")),
        ];
        for (base_url, authority, sign_in, member) in table {
            let found = foreign(base_url, authority, sign_in).err().flatten();
            let wanted = member.map(|member| format!("plan-b.json: {member}"));
            assert_eq!(found, wanted, "{base_url}, {sign_in}");
        }
        let own = [("foreign", json!({ "sign_in": "smart" })), ("role", json!("payer"))];
        assert!(public(&own).is_err(), "a house has its own file");
        for member in ["jwks", "authority", "ledger_key", "client_id"] {
            assert!(public(&[(member, Value::Null)]).is_err(), "a house without {member}");
        }
    }

    /// Proves: smart 22, 298, 301
    #[test]
    fn a_house_says_how_it_signs_in_in_one_way() {
        let by_name = json!({ "authority": "PEM", "san": "uri:https://clinic.example/fhir" });
        let pinned = json!({ "sha256": "ab".repeat(32) });
        let url = json!("https://clinic.example/jwks.json");
        type Row = (&'static str, Vec<(&'static str, Value)>, Option<&'static str>);
        let table: [Row; 15] = [
            ("keys at a URL", vec![("jwks", Value::Null), ("jwks_url", url.clone())], None),
            ("keys twice", vec![("jwks_url", url)], Some("jwks_url")),
            ("no keys", vec![("jwks", Value::Null)], Some("jwks")),
            (
                "over an open wire",
                vec![("jwks", Value::Null), ("jwks_url", json!("http://a/j"))],
                Some("jwks_url"),
            ),
            (
                "with a blank",
                vec![("jwks", Value::Null), ("jwks_url", json!("https://a/ j"))],
                Some("jwks_url"),
            ),
            ("no sign-in", vec![("sign_in", json!("none"))], Some("sign_in")),
            ("by nothing", vec![("sign_in", json!("mtls"))], Some("client_certificate")),
            (
                "by a certificate alone",
                vec![
                    ("jwks", Value::Null),
                    ("sign_in", json!("mtls")),
                    ("client_certificate", by_name.clone()),
                ],
                None,
            ),
            ("a certificate beside keys", vec![("client_certificate", by_name.clone())], None),
            ("by digest", vec![("client_certificate", pinned)], None),
            (
                "nothing to know it by",
                vec![("client_certificate", json!({}))],
                Some("client_certificate"),
            ),
            (
                "an authority for every name",
                vec![("client_certificate", json!({ "authority": "PEM" }))],
                Some("client_certificate"),
            ),
            (
                "a name of any authority",
                vec![("client_certificate", json!({ "san": "uri:x" }))],
                Some("client_certificate"),
            ),
            (
                "a short digest",
                vec![("client_certificate", json!({ "sha256": "ab" }))],
                Some("client_certificate"),
            ),
            (
                "an unknown kind of name",
                vec![("client_certificate", json!({ "authority": "PEM", "san": "cn:x" }))],
                Some("client_certificate"),
            ),
        ];
        for (case, changed, member) in table {
            let found = public(&changed).err().and_then(|issue| issue.expression);
            assert_eq!(found, member.map(|member| format!("new.json: {member}")), "{case}");
        }
    }

    #[test]
    fn a_namespace_is_an_absolute_uri() {
        let table = [
            ("https://a.example/fhir", true),
            ("urn:oid:1.2.3", true),
            // Whoever derives no ids has none.
            ("", true),
            (" ", false),
            ("https://", false),
            ("https:///", false),
            ("urn:", false),
            ("a.example", false),
            ("http://a.example", false),
            ("https://a.example/a b", false),
            ("https://a.example/\n", false),
            ("https://\u{e4}.example", false),
        ];
        for (namespace, good) in table {
            let read = public(&[("namespace", namespace.into())]);
            assert_eq!(read.is_ok(), good, "{namespace:?}");
            assert!(read.is_ok() || read.unwrap_err().to_string().contains("new.json: namespace"));
        }
    }

    #[test]
    fn what_names_a_payer_can_be_written_into_its_first_agreement() {
        use crate::agreement::{Terms, default_text, default_value_set};
        let one = |system: &str, value: &str| json!([{ "system": system, "value": value }]);
        let many = |count: usize| {
            let nasty = "\"\\".repeat(PUBLIC_WORDS_MAX / 2);
            vec![json!({ "system": nasty, "value": nasty }); count].into()
        };
        let table: [(&str, Value, bool); 10] = [
            ("as usual", one("urn:oid:1", "99001"), true),
            ("signs of the file's own", one("a\"]", "[b] # c"), true),
            ("as many and as long as can be", many(PUBLIC_IDENTIFIERS_MAX), true),
            ("one more", many(PUBLIC_IDENTIFIERS_MAX + 1), false),
            ("no system", one("", "99001"), false),
            ("no value", one("urn:oid:1", ""), false),
            ("a blank value", one("urn:oid:1", " "), false),
            ("two lines", one("urn:oid:1", "a\n[[payer_identifiers]]"), false),
            ("a NUL", one("urn:oid:1", "a\0"), false),
            ("too long", one("urn:oid:1", &"9".repeat(PUBLIC_WORDS_MAX + 1)), false),
        ];
        for (case, identifiers, good) in table {
            let read = public(&[("role", "payer".into()), ("payer_identifiers", identifiers)]);
            assert_eq!(read.is_ok(), good, "{case}");
            let Ok(read) = read else { continue };
            let terms = Terms::parse(&default_text(&read), "clinic.toml", &default_value_set);
            let found = terms.unwrap().agreement.payer_identifiers.len();
            assert_eq!(found, read.payer_identifiers.len(), "{case}");
        }
    }

    #[test]
    fn words_that_would_forge_a_line_are_no_names() {
        let table = [
            ("title", "two\nlines"),
            ("title", "\u{1b}[2J"),
            ("client_id", ""),
            ("client_id", "a b"),
            ("client_id", "a\u{1b}"),
            ("base_url", "https://a\u{1b}.example"),
            ("name", "a\nb"),
        ];
        for (member, value) in table {
            assert!(public(&[(member, value.into())]).is_err(), "{member} {value:?}");
        }
    }

    #[test]
    fn no_two_houses_share_an_identity() {
        let known = public(&[]).unwrap();
        let own_ids = [
            ("name", json!("other")),
            ("client_id", json!("other")),
            ("namespace", json!("urn:other")),
            ("jwks", json!({ "keys": [{ "kid": "k2" }, { "kid": "k2" }] })),
        ];
        let table: [(&str, &str, Value); 14] = [
            ("another partner", "title", "Clinic".into()),
            ("the same title and address", "base_url", "https://clinic.example/fhir".into()),
            ("the name", "name", "clinic".into()),
            ("the house's own name", "name", "plan".into()),
            ("the operator's name", "name", "operator".into()),
            ("the client id", "client_id", "clinic".into()),
            ("the client id in capitals", "client_id", "CLINIC".into()),
            ("the operator's client id", "client_id", "operator".into()),
            ("the house's own client id", "client_id", "plan".into()),
            ("the namespace", "namespace", "https://clinic.example/ids".into()),
            ("the namespace with a slash", "namespace", "https://Clinic.example/ids/".into()),
            ("the house's own namespace", "namespace", "urn:plan".into()),
            ("a key", "jwks", json!({ "keys": [{ "kid": "k2" }, { "kid": "k1" }] })),
            ("no keys at all", "jwks", json!({})),
        ];
        for (case, member, value) in table {
            let good = matches!(member, "title" | "base_url") || case == "no keys at all";
            let changed = [&own_ids[..], &[(member, value)]].concat();
            let other = public(&changed).unwrap();
            let files = [("a.json".to_owned(), known.clone()), ("b.json".to_owned(), other)];
            let found = check_identities("plan", "urn:plan", "house.toml", &files);
            assert_eq!(found.is_ok(), good, "{case}: {found:?}");
            let Err(issue) = found else { continue };
            let words = issue.to_string();
            assert!(words.contains("b.json"), "{case}: {words}");
            assert!(words.contains("a.json") || words.contains("house.toml"), "{case}: {words}");
        }
        let with = |name: &str, certificate: Value| {
            let namespace = format!("urn:{name}");
            let said = [
                ("name", name.into()),
                ("client_id", name.into()),
                ("namespace", namespace.into()),
                ("jwks", json!({ "keys": [{ "kid": name }] })),
                ("client_certificate", certificate),
            ];
            (format!("{name}.json"), public(&said).unwrap())
        };
        let by_name = |san: &str| json!({ "authority": "PEM", "san": san });
        let by_digest = |digit: &str| json!({ "sha256": digit.repeat(64) });
        let table = [
            ("one name", by_name("uri:urn:a"), by_name("uri:urn:a"), false),
            ("two names", by_name("uri:urn:a"), by_name("uri:urn:b"), true),
            ("one certificate, spelt twice", by_digest("a"), by_digest("A"), false),
            ("two certificates", by_digest("a"), by_digest("b"), true),
        ];
        for (case, one, other, good) in table {
            let files = [with("one", one), with("two", other)];
            let found = check_identities("plan", "urn:plan", "house.toml", &files);
            assert_eq!(found.is_ok(), good, "{case}: {found:?}");
        }
    }
}
