//! Origins: where a partner's manifests and files may be.
//!
//! Comes in   the origins that were agreed on; URLs as the partner names them.
//! Goes out   the URL as it is asked, of one of those origins; or the fault.
//! Never      takes a URL that two readers could read differently, or one with a user in it.
//!
//! Whether the address behind a name may be connected to, `reach` says at the time of connecting.

use super::Fault;
use crate::limits::{FILE_ORIGINS_MAX, FILE_URL_BYTES_MAX};
use crate::transport::is_loopback;
use exchange::{Code, Issue};
use reqwest::Url;
use std::collections::BTreeSet;

/// The origins agreed on with one partner, each as `https://host` or `https://host:port`; plain HTTP
/// on loopback only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(BTreeSet<String>);

impl Origins {
    /// The origins of these URLs, whatever their paths.
    ///
    /// Errors: `ConfigInvalid`.
    pub fn of<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Origins, Issue> {
        let invalid = |detail: &str| Issue::new(Code::ConfigInvalid, detail).at("file_origins");
        let mut origins = BTreeSet::new();
        for url in urls {
            let url = parse(url)
                .ok_or_else(|| invalid("an origin of files is an https URL without a user"))?;
            origins.insert(url.origin().ascii_serialization());
            if origins.len() > FILE_ORIGINS_MAX {
                return Err(invalid("a partner has at most 20 origins of files"));
            }
        }
        Ok(Origins(origins))
    }

    /// The URL, where its origin is one of these. Errors: `NotAgreed`.
    pub(super) fn agreed(&self, url: &str) -> Result<Url, Fault> {
        let url = parse(url).ok_or(Fault::NotAgreed("it is no https URL that can be asked"))?;
        match self.0.contains(&url.origin().ascii_serialization()) {
            true => Ok(url),
            false => Err(Fault::NotAgreed("its origin is not one that was agreed on")),
        }
    }
}

/// A URL that may be asked. One parser reads it here and where it is connected to.
fn parse(text: &str) -> Option<Url> {
    let strange = |byte: u8| !byte.is_ascii_graphic() || byte == b'\\';
    if text.len() > FILE_URL_BYTES_MAX || text.bytes().any(strange) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let safe = match url.scheme() {
        "https" => url.has_host(),
        "http" => url.host_str().is_some_and(is_loopback),
        _ => false,
    };
    (safe && url.username().is_empty() && url.password().is_none()).then_some(url)
}

/// A URL as it stands in a document: a relative one is seen from the document's own (RFC 3986 §5),
/// as manifests in the field have them. `None` where neither is a URL.
pub fn beside(document: &str, url: &str) -> Option<String> {
    let joined = Url::parse(document).ok()?.join(url).ok()?;
    Some(joined.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: a partner's URL leads to what was agreed on, however it is written.

    use super::*;

    #[test]
    fn only_agreed_origins_are_asked() {
        let origins = Origins::of([
            "https://files.clinic.example",
            "https://other.example:8443/some/path",
            "http://127.0.0.1:9000",
        ])
        .unwrap();
        let table = [
            ("a file", "https://files.clinic.example/a/b.ndjson?x=1", true),
            ("the port of https", "https://files.clinic.example:443/a", true),
            ("a host in capitals", "https://FILES.clinic.example/a", true),
            ("a port that was agreed on", "https://other.example:8443/elsewhere", true),
            ("loopback", "http://127.0.0.1:9000/x", true),
            ("loopback otherwise written", "http://0x7f.1:9000/x", true),
            ("another port", "https://other.example/x", false),
            ("another host", "https://files.clinic.example.evil.example/x", false),
            ("a user", "https://files.clinic.example@evil.example/x", false),
            ("a user of the right host", "https://u:p@files.clinic.example/x", false),
            ("plain", "http://files.clinic.example/a", false),
            ("another port of loopback", "http://127.0.0.1:9001/x", false),
            ("another name of loopback", "http://localhost:9000/x", false),
            ("a backslash", "https://files.clinic.example\\@evil.example/x", false),
            ("a tab", "https://files.clinic.example/\tx", false),
            ("a file of this machine", "file:///etc/hostname", false),
            ("relative", "/a/b.ndjson", false),
            ("nothing", "", false),
        ];
        for (case, url, agreed) in table {
            assert_eq!(origins.agreed(url).is_ok(), agreed, "{case}");
        }
        let long = format!("https://files.clinic.example/{}", "x".repeat(10_000));
        assert!(origins.agreed(&long).is_err(), "longer than any URL");
    }

    #[test]
    fn what_people_configure_is_an_origin() {
        for wrong in ["", "files.example", "http://files.example", "ftp://files.example"] {
            assert_eq!(Origins::of([wrong]).unwrap_err().code, Code::ConfigInvalid, "{wrong}");
        }
    }

    #[test]
    fn a_relative_url_is_seen_from_its_document() {
        let document = "https://a.example/exports/1/manifest.json?x=1";
        let table = [
            ("b.ndjson", Some("https://a.example/exports/1/b.ndjson")),
            ("/b.ndjson", Some("https://a.example/b.ndjson")),
            ("//c.example/b", Some("https://c.example/b")),
            ("https://c.example/b", Some("https://c.example/b")),
            ("https://", None),
        ];
        for (url, seen) in table {
            assert_eq!(beside(document, url).as_deref(), seen, "{url}");
        }
    }
}
