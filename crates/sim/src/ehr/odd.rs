//! Odd: how an EHR behaves, and what is hard about it, as data.
//!
//! Comes in   a choice of the test or of the command line.
//! Goes out   the same oddities for the same requests, whenever they are made.
//! Never      chance: what happens to a request follows from how many its client made before it, and
//!            how a resource is spelled follows from the resource.
//!
//! Why: a gateway meets many EHRs. What it must live with is certification's minimum, and each
//! oddity here is one that FHIR R4, HTTP or US Core allows.

use crate::limits::EHR_MINIMUM_PAGE;

/// How much of FHIR an EHR offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EhrMode {
    /// All that this house's desk can do: any search, history, versions, `$everything`.
    #[default]
    Full,
    /// What US Core 6.1.0 says a server SHALL do, and nothing else.
    CertifiedMinimum(Odd),
}

/// The oddities of an EHR of the minimum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd {
    /// Entries in a page; `_count` changes nothing.
    pub page: usize,
    /// Every n-th request of a client is answered 429 with `Retry-After`, as seconds and as a date in
    /// turn. At least 2, so that a request that is made again gets through.
    pub throttle_every: Option<u32>,
    /// Every n-th request of a client, from the first on, is answered 503. At least 2.
    pub unavailable_every: Option<u32>,
    /// What `Retry-After` asks for; 0 in tests that wait by a real clock.
    pub retry_after_seconds: u32,
    /// Parameters that are no SHALL are refused; else they are passed over, as lenient servers do.
    pub strict: bool,
    /// Searches of [`super::STATUS_DEMANDED`] without `status` are refused, as US Core lets servers do.
    pub status_demanded: bool,
    /// References and attachments' addresses stand in all the spellings that R4 allows: relative,
    /// absolute, with a version.
    pub references: bool,
    /// Some references to practitioners are logical (an identifier alone), and some practitioners
    /// and medications are contained.
    pub inlined: bool,
    /// A record stands in two pages now and then.
    pub duplicates: bool,
    /// Pages carry an informational OperationOutcome now and then (`search.mode` is `outcome`).
    pub outcome_entries: bool,
}

impl Odd {
    /// Everything that is odd, at once.
    pub fn certified_minimum() -> Odd {
        Odd {
            page: EHR_MINIMUM_PAGE,
            throttle_every: Some(41),
            unavailable_every: Some(97),
            retry_after_seconds: 1,
            strict: true,
            status_demanded: true,
            references: true,
            inlined: true,
            duplicates: true,
            outcome_entries: true,
        }
    }

    /// The minimum of searches and nothing odd: whole pages, plain references, no refusals.
    pub fn plain() -> Odd {
        Odd {
            throttle_every: None,
            unavailable_every: None,
            retry_after_seconds: 0,
            status_demanded: false,
            references: false,
            inlined: false,
            duplicates: false,
            outcome_entries: false,
            ..Odd::certified_minimum()
        }
    }

    /// What happens to a client's n-th request, counted from 1.
    pub(crate) fn fault(&self, nth: u32) -> Option<Fault> {
        let hits = |every: Option<u32>, from: u32| {
            every.is_some_and(|every| nth % every.max(2) == from % every.max(2))
        };
        if hits(self.throttle_every, 0) {
            let turn = nth / self.throttle_every.unwrap_or(2).max(2);
            return Some(Fault::Throttled { dated: turn.is_multiple_of(2) });
        }
        hits(self.unavailable_every, 1).then_some(Fault::Unavailable)
    }
}

/// Why a request is not answered this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 429; whether `Retry-After` is a date.
    Throttled { dated: bool },
    /// 503.
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_made_again_at_once_is_refused_three_times_at_most() {
        for every in [0, 1, 2, 3, 41] {
            let odd = Odd {
                throttle_every: Some(every),
                unavailable_every: Some(97),
                ..Odd::certified_minimum()
            };
            let fits = (1..2000).any(|nth| (nth..nth + 4).all(|one| odd.fault(one).is_some()));
            assert!(!fits, "every {every}");
        }
        assert!((1..2000).all(|nth| Odd::plain().fault(nth).is_none()));
    }

    #[test]
    fn both_forms_of_retry_after_are_used() {
        let odd = Odd::certified_minimum();
        let said: Vec<_> = (1..100).filter_map(|nth| odd.fault(nth)).collect();
        assert_eq!(
            said,
            [
                Fault::Unavailable,
                Fault::Throttled { dated: false },
                Fault::Throttled { dated: true },
                Fault::Unavailable,
            ],
        );
    }
}
