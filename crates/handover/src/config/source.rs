//! `[source]`: how a sending house reaches its EHR, as `house.toml` says it.
//!
//! Comes in   the table.
//! Goes out   the same, typed; or an issue that names the key of the file.
//! Never      takes charts from a server without sign-in, but from one on this machine.

use exchange::partner::{SignIn, is_loopback};
use exchange::{Code, Issue};
use serde::Deserialize;
use std::path::PathBuf;

/// `[source]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// FHIR base URL of the EHR.
    pub base_url: String,
    /// `smart`, or `none`: plain HTTP on this machine, where nothing of the below is written.
    #[serde(default = "SourceFile::smart")]
    pub sign_in: SignIn,
    /// The gateway's client id there.
    pub client_id: Option<String>,
    /// ES384 key registered there.
    pub key: Option<PathBuf>,
    /// Scopes to ask for.
    pub scope: Option<String>,
    /// PEM of the authority the EHR's certificate comes from.
    pub authority: Option<PathBuf>,
    /// Token endpoint, where the EHR does not publish one.
    pub token_endpoint: Option<String>,
}

/// What a sign-in needs.
pub(crate) struct Smart<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) key: &'a PathBuf,
    pub(crate) scope: &'a str,
    pub(crate) authority: &'a PathBuf,
}

impl SourceFile {
    fn smart() -> SignIn {
        SignIn::Smart
    }

    /// Whether charts may be read so. Errors: `ConfigInvalid`, at the key of the file.
    pub fn check(&self) -> Result<(), Issue> {
        if self.sign_in == SignIn::Smart {
            return self.sign_in_file().map(drop);
        }
        let open = self.sign_in == SignIn::None && self.base_url.starts_with("http://");
        if open && is_loopback(&self.base_url) {
            return Ok(());
        }
        let detail = "charts are read without sign-in over plain HTTP on loopback only: \
            sign_in = \"smart\" is for all other EHRs";
        Err(invalid(detail, "sign_in"))
    }

    /// Errors: `ConfigInvalid` for a key of the file that is missing.
    pub(crate) fn sign_in_file(&self) -> Result<Smart<'_>, Issue> {
        let missing = |key| invalid("signing in at the EHR needs this key", key);
        Ok(Smart {
            client_id: self.client_id.as_deref().ok_or_else(|| missing("client_id"))?,
            key: self.key.as_ref().ok_or_else(|| missing("key"))?,
            scope: self.scope.as_deref().ok_or_else(|| missing("scope"))?,
            authority: self.authority.as_ref().ok_or_else(|| missing("authority"))?,
        })
    }
}

fn invalid(detail: &str, key: &str) -> Issue {
    Issue::new(Code::ConfigInvalid, detail).at(format!("house.toml: source.{key}"))
}

#[cfg(test)]
mod tests {
    //! Goal: no chart is read over an open wire, or unsigned from another machine.

    use super::*;

    #[test]
    fn charts_are_read_without_sign_in_on_this_machine_only() {
        let table = [
            ("base_url = 'http://127.0.0.1:8090/fhir'\nsign_in = 'none'", None),
            ("base_url = 'http://[::1]:8090/fhir'\nsign_in = 'none'", None),
            ("base_url = 'http://ehr.example/fhir'\nsign_in = 'none'", Some("sign_in")),
            ("base_url = 'https://ehr.example/fhir'\nsign_in = 'none'", Some("sign_in")),
            (
                "base_url = 'http://127.0.0.1:80@ehr.example/fhir'\nsign_in = 'none'",
                Some("sign_in"),
            ),
            ("base_url = 'http://127.0.0.1.ehr.example/fhir'\nsign_in = 'none'", Some("sign_in")),
            ("base_url = 'http://127.0.0.1:8090/fhir'", Some("client_id")),
            ("base_url = 'https://ehr.example'\nclient_id = 'a'\nscope = 'b'", Some("key")),
            (
                "base_url = 'https://ehr.example'\nclient_id = 'a'\nscope = 'b'\nkey = 'c'\nauthority = 'd'",
                None,
            ),
        ];
        for (text, wrong) in table {
            let file: SourceFile = toml::from_str(text).unwrap_or_else(|error| panic!("{error}"));
            let issue = file.check().err();
            let place = issue.as_ref().map(ToString::to_string);
            assert_eq!(issue.is_some(), wrong.is_some(), "{text}: {place:?}");
            if let (Some(issue), Some(key)) = (issue, wrong) {
                assert_eq!(issue.code, Code::ConfigInvalid);
                let place = issue.expression.unwrap_or_default();
                assert!(place.ends_with(&format!("source.{key}")), "{text}: {place}");
            }
        }
        let unknown = "base_url = 'http://127.0.0.1/fhir'\nsign_in = 'basic'";
        assert!(toml::from_str::<SourceFile>(unknown).is_err());
    }
}
