//! Prefer: how a caller would like to be answered (RFC 7240; R4 §3.1.0.1.9, §3.1.1.4.3).
//!
//! Comes in   the `Prefer` headers as sent.
//! Goes out   what is to come back, and what becomes of unknown search parameters.
//! Never      refuses a request for its wishes: those it does not know, it does without.

use exchange::query::Handling;
use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Which wishes were followed (RFC 7240 §3).
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A caller's wishes; without any: as little as possible comes back, and nothing is overlooked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    /// What comes back of what was written.
    pub returning: Returning,
    /// `handling=`: what becomes of parameters that are not known here.
    pub handling: Handling,
    /// `respond-async`: the answer may come later.
    pub respond_async: bool,
    /// `separate-export-status`: a poll's status is its own, and not that of what it asks about (Bulk
    /// Data 3.0.0, kick-off headers).
    pub status_apart: bool,
}

/// `return=`: what comes back of what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Returning {
    /// Status and headers.
    #[default]
    Minimal,
    /// The resource as it now stands.
    Representation,
    /// An OperationOutcome.
    OperationOutcome,
}

impl Prefer {
    /// Reads the headers; of a wish that is there twice, the first counts (RFC 7240 §2).
    pub fn of(headers: &HeaderMap) -> Prefer {
        let (mut returning, mut handling) = (None, None);
        let (mut respond_async, mut status_apart) = (false, false);
        let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
        for wish in lines.flat_map(|line| line.split([',', ';'])) {
            respond_async |= wish.trim().eq_ignore_ascii_case("respond-async");
            status_apart |= wish.trim().eq_ignore_ascii_case("separate-export-status");
            let Some((name, value)) = wish.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match (name.trim().to_ascii_lowercase().as_str(), value) {
                ("return", value) => returning = returning.or(returned(value)),
                ("handling", "strict") => handling = handling.or(Some(Handling::Strict)),
                ("handling", "lenient") => handling = handling.or(Some(Handling::Lenient)),
                _ => {}
            }
        }
        Prefer {
            returning: returning.unwrap_or_default(),
            handling: handling.unwrap_or_default(),
            respond_async,
            status_apart,
        }
    }
}

fn returned(value: &str) -> Option<Returning> {
    match value {
        "minimal" => Some(Returning::Minimal),
        "representation" => Some(Returning::Representation),
        "OperationOutcome" => Some(Returning::OperationOutcome),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_wish_is_read_wherever_it_stands() {
        use {Handling::*, Returning::*};
        let table: [(&str, &[&str], Returning, Handling); 10] = [
            ("no wish", &[], Minimal, Strict),
            ("one", &["return=representation"], Representation, Strict),
            ("another", &["handling=lenient"], Minimal, Lenient),
            (
                "both in one",
                &["return=OperationOutcome, handling=lenient"],
                OperationOutcome,
                Lenient,
            ),
            ("both apart", &["return=minimal", "handling=strict"], Minimal, Strict),
            ("with a semicolon", &["respond-async; handling = \"lenient\""], Minimal, Lenient),
            ("apart", &["respond-async,Separate-Export-Status"], Minimal, Strict),
            ("twice", &["return=representation, return=minimal"], Representation, Strict),
            ("in capitals", &["Return=representation"], Representation, Strict),
            ("unknown", &["return=all, wait=5, x"], Minimal, Strict),
        ];
        for (case, lines, returning, handling) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().unwrap());
            }
            let respond_async = lines.iter().any(|line| line.contains("respond-async"));
            let status_apart = lines.iter().any(|line| line.contains("Separate-Export-Status"));
            let expected = Prefer { returning, handling, respond_async, status_apart };
            assert_eq!(Prefer::of(&headers), expected, "{case}");
        }
    }
}
