//! Desk: where a caller's reading and searching begins.
//!
//! Comes in   a house, its public base URL, and whose records the caller may see.
//! Goes out   see `read` and `search`.
//! Never      tells apart what does not exist from what this caller may not see.

use exchange::{Code, Issue, PartnerId};
use store::{Error, House, Record};

/// One caller's view of a house's records.
#[derive(Debug)]
pub struct Desk<'h, H> {
    /// The house.
    pub house: &'h H,
    /// The base URL that callers know, without a slash at its end.
    pub base: &'h str,
    /// Only this partner's records; `None`: all of them.
    pub owner: Option<PartnerId>,
    /// Records in a page when the caller names no `_count`, and at most
    /// (`limits::PAGE_RECORDS`, `limits::PAGE_RECORDS_MAX`, unless the house wants fewer).
    pub page: (u32, u32),
    /// The types whose records may come along with those asked for (`_include`, `$everything`);
    /// `None`: all.
    pub kinds: Option<Vec<String>>,
}

impl<'h, H: House> Desk<'h, H> {
    /// A view with the usual page sizes.
    pub fn new(house: &'h H, base: &'h str, owner: Option<PartnerId>) -> Desk<'h, H> {
        let page = (crate::limits::PAGE_RECORDS, crate::limits::PAGE_RECORDS_MAX);
        Desk { house, base: base.trim_end_matches('/'), owner, page, kinds: None }
    }

    /// Whether records of this type may come along with others.
    pub(crate) fn may_follow(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|known| known == kind))
    }

    /// Whether this caller may know of the record.
    pub(crate) fn may_see(&self, record: &Record) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == record.owner)
    }

    /// `<base>/Type/id`.
    pub(crate) fn full_url(&self, record: &Record) -> String {
        format!("{}/{}/{}", self.base, record.kind, record.id)
    }
}

/// What a caller is told when the store could not do what was asked; the cause goes to the log.
pub fn store_issue(error: Error) -> Issue {
    let (code, detail) = match &error {
        Error::Busy => (Code::HouseBusy, "the store has as much work as it can hold"),
        Error::Locked => (Code::HouseLocked, "another process holds this house"),
        Error::Taken => (Code::StoreUnavailable, "a house of this name is there already"),
        Error::TooNew { .. } => (Code::StoreNewer, "its schema is not known to this program"),
        Error::Unavailable(_) => (Code::StoreUnavailable, "the store did not answer"),
        Error::Damaged(_) => (Code::StoreUnavailable, "what is stored cannot be read"),
    };
    let cause = std::error::Error::source(&error);
    tracing::error!(%error, cause, code = code.row().slug, "store");
    Issue::new(code, detail)
}
