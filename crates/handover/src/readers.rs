//! Readers: platforms of a receiving house's own that read what its partners have filed.
//!
//! Comes in   `[[reader]]` of `house.toml`, and the files of keys it names.
//! Goes out   a reader's credential at the gate, and where its keys are published.
//! Never      a right to write; never the client id of somebody else.

use crate::config;
use exchange::partner::{OPERATOR, PublicFile, Role};
use exchange::path::is_resource_type;
use exchange::{Code, Issue, PartnerId};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use wire::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MAX};
use wire::transport::Lines;
use wire::trust::jwks::KeySet;
use wire::{Clock, Credential, HttpTransport};

/// `[[reader]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderFile {
    /// The client id with which it signs in (SMART Backend Services).
    pub client_id: String,
    /// File of its public keys, a JWK Set; or:
    pub jwks: Option<PathBuf>,
    /// where it publishes them.
    pub jwks_url: Option<String>,
    /// PEM of the authority that the certificate there comes from.
    pub authority: Option<PathBuf>,
    /// What it may read; none: everything.
    pub scopes: Option<Vec<String>>,
}

/// A reader, checked.
#[derive(Debug, Clone)]
pub struct Reader {
    client_id: String,
    jwks: serde_json::Value,
    published: Option<(String, String)>,
    scopes: Vec<String>,
}

/// Reads the readers of a house.
///
/// Errors: `ConfigInvalid`.
pub fn read(
    house: &config::House,
    partners: &BTreeMap<PartnerId, PublicFile>,
) -> Result<Vec<Reader>, Issue> {
    let readers = &house.file.reader;
    if house.file.role != Role::Payer && !readers.is_empty() {
        return Err(invalid(String::new(), "only a receiving house has readers"));
    }
    let mut taken: BTreeSet<&str> = BTreeSet::from([OPERATOR, house.file.name.as_str()]);
    taken.extend(partners.values().map(|public| public.client_id.as_str()));
    taken.extend(partners.keys().map(PartnerId::as_str));
    readers
        .iter()
        .map(|file| {
            if !taken.insert(&file.client_id) {
                let detail = "somebody else has this client id or name";
                return Err(invalid(".client_id".to_owned(), detail));
            }
            reader(house, file)
        })
        .collect()
}

fn reader(house: &config::House, file: &ReaderFile) -> Result<Reader, Issue> {
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible(&file.client_id) {
        return Err(invalid(".client_id".to_owned(), "a client id has letters and no blanks"));
    }
    let scopes = file.scopes.clone().unwrap_or_else(|| vec!["system/*.rs".to_owned()]);
    if scopes.is_empty() || !scopes.iter().all(|scope| reads(scope)) {
        let detail = "a reader's scopes are such as system/*.rs and system/Patient.read";
        return Err(invalid(".scopes".to_owned(), detail));
    }
    let client_id = file.client_id.clone();
    match (&file.jwks, &file.jwks_url, &file.authority) {
        (Some(path), None, None) => {
            let jwks = serde_json::from_str::<serde_json::Value>(&house.text(path)?).ok();
            let jwks = jwks.filter(|jwks| jwks["keys"].as_array().is_some_and(|it| !it.is_empty()));
            let detail = "this is no JWK Set with a key";
            let jwks = jwks.ok_or_else(|| invalid(".jwks".to_owned(), detail))?;
            Ok(Reader { client_id, jwks, published: None, scopes })
        }
        (None, Some(url), Some(authority)) => {
            let published = Some((url.clone(), house.text(authority)?));
            Ok(Reader { client_id, jwks: serde_json::Value::Null, published, scopes })
        }
        _ => {
            let detail = "name a file jwks, or a jwks_url with the authority of its certificate";
            Err(invalid(".jwks".to_owned(), detail))
        }
    }
}

/// Whether a scope lets its holder read, and do nothing else.
fn reads(scope: &str) -> bool {
    let parted = scope.strip_prefix("system/").and_then(|scope| scope.split_once('.'));
    let Some((kind, rights)) = parted else { return false };
    let known = kind == "*" || is_resource_type(kind);
    known && ["r", "s", "rs", "read"].contains(&rights)
}

fn invalid(key: String, detail: &str) -> Issue {
    Issue::new(Code::ConfigInvalid, detail).at(format!("house.toml: reader{key}"))
}

/// Its registration at the gate.
pub(crate) fn credential(reader: &Reader) -> Credential {
    Credential {
        client_id: reader.client_id.clone(),
        partner: payer::reader::Reader::name(&reader.client_id),
        jwks: reader.jwks.clone(),
        scopes: reader.scopes.clone(),
    }
}

/// The keys that readers publish at a URL, by client id.
///
/// Errors: `KeyUnusable`, `ConfigInvalid`.
pub(crate) fn key_sets(
    house: &config::House,
    clock: &Arc<dyn Clock>,
) -> Result<HashMap<String, Arc<KeySet>>, Issue> {
    let network = house.network()?;
    let mut sets = HashMap::new();
    for reader in &house.readers {
        let Some((url, authority)) = &reader.published else { continue };
        let transport = HttpTransport::over(Lines {
            roots: &[authority.clone().into_bytes()],
            identity: None,
            network: Some(&network),
            timeout: JWKS_FETCH_MAX,
            answer_limit: JWKS_BYTES_MAX,
        })?;
        let set = KeySet::new(url, Arc::new(transport), Arc::clone(clock))?;
        sets.insert(reader.client_id.clone(), set);
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    //! Goal: a reader reads.

    use super::*;

    #[test]
    fn a_scope_that_does_more_than_read_is_no_readers() {
        let table = [
            ("system/*.rs", true),
            ("system/*.read", true),
            ("system/Patient.r", true),
            ("system/Observation.s", true),
            ("system/*.cruds", false),
            ("system/*.*", false),
            ("system/*.write", false),
            ("system/Patient.sr", false),
            ("system/Sandwich.rs", false),
            ("system/Patient.rs?x=y", false),
            ("user/*.rs", false),
            ("handover/operate", false),
            ("", false),
        ];
        for (scope, good) in table {
            assert_eq!(reads(scope), good, "{scope}");
        }
    }
}
