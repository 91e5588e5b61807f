//! Days: how long certificates last.
//!
//! Comes in   certificates of the house and its partners; the time.
//! Goes out   days left for each, in words for people and in figures for a monitor.
//! Never      a partner's name in a figure.

use super::asked::KeyUse;
use super::pair;
use crate::config;
use crate::limits::{CERTIFICATE_DAYS_LAST, CERTIFICATE_DAYS_URGENT, CERTIFICATE_DAYS_WARN};
use exchange::{Code, Issue};
use jiff::Timestamp;
use std::collections::BTreeMap;
use wire::tls;

/// One certificate, or one file of them.
pub struct Days {
    /// What of, as `check` says it.
    pub what: String,
    /// Its kind, as figures name it.
    pub kind: &'static str,
    /// Days left; negative once it is over.
    pub left: Result<i64, Issue>,
}

/// All certificates that a house relies on.
pub fn all(config: &config::House, now: Timestamp) -> Vec<Days> {
    let mut all = Vec::new();
    if let Some(files) = &config.file.tls {
        // A chain ends with its first certificate that does.
        let left = config.text(&files.certificate);
        let left = left.and_then(|pem| shortest(pem.as_bytes(), now));
        all.push(Days { what: "certificate".to_owned(), kind: "server", left });
        let left = config.text(&files.authority).and_then(|pem| longest(pem.as_bytes(), now));
        all.push(Days { what: "authority".to_owned(), kind: "authority", left });
    }
    for files in pair::all(config) {
        let (what, kind) = match (files.usage, files.community) {
            (KeyUse::Client, _) => ("client certificate".to_owned(), "client"),
            (_, Some(uri)) => (format!("community {uri}: certificate"), "udap"),
            _ => continue,
        };
        let left = config.text(&files.certificate);
        let left = left.and_then(|pem| shortest(pem.as_bytes(), now));
        all.push(Days { what, kind, left });
    }
    for community in config.file.udap.iter().flat_map(|udap| &udap.community) {
        let left = config.text(&community.anchors).and_then(|pem| longest(pem.as_bytes(), now));
        let what = format!("community {}: anchors", community.uri);
        all.push(Days { what, kind: "udap_anchors", left });
    }
    for (name, public) in &config.partners {
        // Only a server of another make on loopback may have no certificate.
        if !public.authority.is_empty() {
            let left = longest(public.authority.as_bytes(), now);
            let what = format!("partner {name}: authority");
            all.push(Days { what, kind: "partner_authority", left });
        }
    }
    all
}

/// The fewest days left of each kind.
pub(crate) fn fewest(all: &[Days]) -> BTreeMap<&'static str, i64> {
    let mut fewest = BTreeMap::new();
    for one in all {
        if let Ok(left) = one.left {
            fewest
                .entry(one.kind)
                .and_modify(|least: &mut i64| *least = left.min(*least))
                .or_insert(left);
        }
    }
    fewest
}

/// Days until the first one ends: a chain lasts as long.
pub(super) fn shortest(pem: &[u8], now: Timestamp) -> Result<i64, Issue> {
    let days = tls::days_of_each(pem, now)?;
    Ok(days.into_iter().min().unwrap_or_default())
}

/// Days until the newest ends: of several authorities in a file it counts, the older ones are on their way out.
pub(super) fn longest(pem: &[u8], now: Timestamp) -> Result<i64, Issue> {
    let days = tls::days_of_each(pem, now)?;
    Ok(days.into_iter().max().unwrap_or_default())
}

/// Days left in words; a failure from 30 days on, in words that grow with what is at stake.
///
/// Errors: `KeyUnusable`.
pub fn days_left(left: i64) -> Result<String, Issue> {
    if left > CERTIFICATE_DAYS_WARN {
        return Ok(format!("{left} days left"));
    }
    let words = if left < 0 {
        "the certificate has ended: whoever checks it refuses it".to_owned()
    } else if left <= CERTIFICATE_DAYS_LAST {
        "the certificate ends within two days: renew it today".to_owned()
    } else if left <= CERTIFICATE_DAYS_URGENT {
        format!("the certificate has {left} days left: renew it this week")
    } else {
        format!("the certificate has {left} days left: renew it")
    };
    Err(Issue::new(Code::KeyUnusable, words))
}

#[cfg(test)]
mod tests {
    //! Goal: a certificate that ends is told in time, and more urgently the nearer its end is.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_nearer_the_end_the_plainer_the_words() {
        let table = [
            (365, None),
            (31, None),
            (30, Some("30 days left: renew it")),
            (8, Some("8 days left: renew it")),
            (7, Some("7 days left: renew it this week")),
            (2, Some("2 days left: renew it this week")),
            (1, Some("within two days")),
            (0, Some("within two days")),
            (-1, Some("has ended")),
        ];
        for (days, told) in table {
            let said = days_left(days);
            assert_eq!(said.is_err(), told.is_some(), "{days}");
            let words = said.unwrap_or_else(|issue| issue.detail);
            assert!(
                words.ends_with("days left") || words.contains(told.unwrap()),
                "{days}: {words}"
            );
        }
    }

    #[test]
    fn of_each_kind_the_one_that_ends_first_is_a_figure() {
        let day = |kind, left: Result<i64, Issue>| Days { what: String::new(), kind, left };
        let unreadable = Issue::new(Code::KeyUnusable, "not readable");
        let all = [
            day("server", Ok(90)),
            day("partner_authority", Ok(400)),
            day("partner_authority", Ok(12)),
            day("partner_authority", Err(unreadable)),
        ];
        let found: Vec<_> = fewest(&all).into_iter().collect();
        assert_eq!(found, [("partner_authority", 12), ("server", 90)]);
    }
}
