//! Rates: how often one client may ask, and one address sign in.
//!
//! Comes in   who asks, and the time.
//! Goes out   yes, or after how many seconds it may ask again.
//! Never      remembers more than `RATE_BUCKETS_MAX` of each, or lets what one does count for another.
//!
//! Why by client behind the gate and by address before it: a client id that nobody has proved is
//! whatever a stranger writes. Why one moment for each is all there is to remember: a bucket that
//! fills evenly is the moment at which it will be full again (the generic cell rate algorithm). The
//! one that is dropped for want of room is the one that is full first, so that dropping it gives
//! least.

use crate::limits::{RATE_BUCKETS_MAX, RATE_BURST_PART, REQUESTS_PER_MINUTE, SIGN_INS_PER_MINUTE};
use crate::peers::neighbourhood;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Requests a minute; 0: as many as come. A sixth of them may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Of one client that has signed in.
    pub requests: u32,
    /// Sign-ins and registrations, from one address.
    pub sign_ins: u32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits { requests: REQUESTS_PER_MINUTE, sign_ins: SIGN_INS_PER_MINUTE }
    }
}

/// How often each has asked.
pub(crate) struct Rates {
    clients: Buckets<String>,
    addresses: Buckets<IpAddr>,
    bearers: Buckets<IpAddr>,
}

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Rates {
        Rates {
            clients: Buckets::new(limits.requests),
            addresses: Buckets::new(limits.sign_ins),
            bearers: Buckets::new(limits.requests),
        }
    }

    /// One request of a client. The error: after how many seconds the next one helps.
    pub(crate) fn client(&self, client_id: &str, now: Timestamp) -> Result<(), u64> {
        self.clients.take(client_id.to_owned(), now)
    }

    /// One sign-in or registration from an address. The error: after how many seconds the next one
    /// helps.
    pub(crate) fn address(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        self.addresses.take(neighbourhood(address), now)
    }

    /// One request of somebody who shows a capability URL and no token: as many from one address as of one
    /// client. The error: after how many seconds the next one helps.
    pub(crate) fn bearer(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        self.bearers.take(neighbourhood(address), now)
    }
}

/// Buckets of one size, by whose they are.
pub(crate) struct Buckets<K> {
    /// Microseconds that one request takes; 0: there is no limit.
    each: i64,
    /// Microseconds that an empty bucket takes to fill.
    whole: i64,
    most: usize,
    table: Mutex<Table<K>>,
}

/// Until when each fills, in microseconds; and the same, first things first.
struct Table<K> {
    full: HashMap<K, i64>,
    order: BTreeSet<(i64, K)>,
}

impl<K: Clone + Ord + std::hash::Hash> Buckets<K> {
    fn new(per_minute: u32) -> Buckets<K> {
        Buckets::of(per_minute, RATE_BUCKETS_MAX)
    }

    /// Buckets of one, which fill in so long.
    pub(crate) fn of_one(each: Duration) -> Buckets<K> {
        let each = i64::try_from(each.as_micros()).unwrap_or(i64::MAX / 4);
        Buckets { each, whole: each, ..Buckets::new(0) }
    }

    fn of(per_minute: u32, most: usize) -> Buckets<K> {
        const MINUTE: i64 = 60_000_000;
        let each = MINUTE.checked_div(i64::from(per_minute)).map_or(0, |each| each.max(1));
        let burst = (per_minute / RATE_BURST_PART).max(1);
        let table = Mutex::new(Table { full: HashMap::new(), order: BTreeSet::new() });
        Buckets { each, whole: each * i64::from(burst), most, table }
    }

    /// Whether anything has been taken that has not been filled again.
    pub(crate) fn is_tapped(&self, key: &K, now: Timestamp) -> bool {
        let now = now.as_microsecond();
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.full.get(key).is_some_and(|full| (now + 1..=now + self.whole).contains(full))
    }

    /// Takes one. The error: after how many seconds there is one again.
    pub(crate) fn take(&self, key: K, now: Timestamp) -> Result<(), u64> {
        if self.each == 0 {
            return Ok(());
        }
        let now = now.as_microsecond();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let before = table.full.get(&key).copied();
        // What lies further ahead was written before the clock was set back.
        let held = before.filter(|full| (now..=now + self.whole).contains(full));
        let full = held.unwrap_or(now);
        let after = full + self.each;
        let over = after - (now + self.whole);
        if over > 0 {
            return Err((over.unsigned_abs()).div_ceil(1_000_000));
        }
        if let Some(before) = before {
            table.order.remove(&(before, key.clone()));
        } else if table.full.len() >= self.most
            && let Some((_, first)) = table.order.pop_first()
        {
            table.full.remove(&first);
        }
        table.order.insert((after, key.clone()));
        table.full.insert(key, after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: each has its own share at every moment, and what is remembered is bounded.

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap_or_default()
    }

    /// How many of so many requests at one moment are let in.
    fn let_in(buckets: &Buckets<&'static str>, key: &'static str, asked: u32, now: i64) -> u32 {
        (0..asked).map(|_| u32::from(buckets.take(key, at(now)).is_ok())).sum()
    }

    #[test]
    fn a_bucket_gives_what_the_time_has_filled() {
        // Sixty a minute: ten at once, and one a second.
        type Steps<'s> = &'s [(i64, u32, u32)];
        let table: &[(&str, Steps<'_>)] = &[
            ("a burst", &[(0, 10, 10)]),
            ("more than a burst", &[(0, 1_000, 10)]),
            ("a refusal costs nothing", &[(0, 1_000, 10), (1, 1_000, 1), (2, 1, 1)]),
            ("a steady caller", &[(0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1)]),
            ("after a rest", &[(0, 10, 10), (5, 10, 5)]),
            ("a long rest saves up no more", &[(0, 10, 10), (86_400, 1_000, 10)]),
            ("a clock that was set back", &[(0, 10, 10), (-3_600, 100, 10), (-3_599, 10, 1)]),
        ];
        for (case, steps) in table {
            let buckets = Buckets::of(60, 100);
            for (now, asked, expected) in *steps {
                let found = let_in(&buckets, "a", *asked, *now);
                assert_eq!(found, *expected, "{case}, at {now}");
            }
        }
    }

    #[test]
    fn who_is_refused_is_told_when_it_helps() {
        for (per_minute, seconds) in [(60, 1), (6, 10), (1, 60), (600, 1)] {
            let buckets = Buckets::of(per_minute, 100);
            while buckets.take("a", at(0)).is_ok() {}
            assert_eq!(buckets.take("a", at(0)), Err(seconds), "{per_minute} a minute");
            assert_eq!(buckets.take("a", at(seconds as i64)), Ok(()), "{per_minute} a minute");
        }
    }

    #[test]
    fn a_flood_of_one_takes_nothing_from_another() {
        let buckets = Buckets::of(60, 100);
        assert_eq!(let_in(&buckets, "flood", 100_000, 0), 10);
        assert_eq!(let_in(&buckets, "other", 10, 0), 10);
    }

    #[test]
    fn none_means_no_limit_and_leaves_no_trace() {
        let buckets = Buckets::of(0, 100);
        assert_eq!(let_in(&buckets, "a", 10_000, 0), 10_000);
        assert!(buckets.table.lock().is_ok_and(|table| table.full.is_empty()));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_who_used_least_goes() {
        let buckets: Buckets<u32> = Buckets::of(60, 100);
        while buckets.take(0, at(0)).is_ok() {}
        for key in 1..10_000 {
            assert!(buckets.take(key, at(0)).is_ok());
        }
        let table = buckets.table.lock().map(|table| (table.full.len(), table.order.len()));
        assert_eq!(table.ok(), Some((100, 100)));
        assert!(buckets.take(0, at(0)).is_err(), "a crowd of others gives nobody a new bucket");
    }

    #[test]
    fn neighbours_of_one_network_share_a_bucket() {
        let rates = Rates::new(RateLimits { requests: 0, sign_ins: 6 });
        let table = [
            ("one address", "192.0.2.1", true),
            ("the same address", "192.0.2.1", false),
            ("the same address, as IPv6 has it", "::ffff:192.0.2.1", false),
            ("its neighbour", "192.0.2.2", true),
            ("a network of IPv6", "2001:db8::1", true),
            ("another address of it", "2001:db8::ffff:1", false),
            ("another network", "2001:db8:0:1::1", true),
        ];
        for (case, address, let_in) in table {
            let address = address.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
            assert_eq!(rates.address(address, at(0)).is_ok(), let_in, "{case}");
        }
    }
}
