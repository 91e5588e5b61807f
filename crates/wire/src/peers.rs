//! Peers: who is connected, what each connection is doing, and which one must make room.
//!
//! Comes in   the address of each connection; what becomes of its requests.
//! Goes out   room for whoever comes; to a connection that has done nothing for longest, the word
//!            that it must go.
//! Never      keeps a caller waiting at the door, and never ends a connection whose request is
//!            being worked on.
//!
//! The door has so many places, and each address so many of them. When they are taken, whoever
//! comes is let in, and another one goes, in this order:
//!
//! 1. the one that has been quiet for longest: nothing was ever asked on it, or everything asked
//!    has been answered;
//! 2. the one whose request has been arriving, or whose answer has been leaving, for longest and
//!    for more than `SLOW_AFTER`;
//! 3. and only then, in the same order, those on which a partner has signed in.
//!
//! It goes from the same address where that has its number, else from all. Only where every place is in work is somebody turned away.
//!
//! Why the newest stay: whoever has something to ask does so at once, whoever holds connections
//! for their own sake does not. A crowd thus pushes out itself, and callers beside it, of the same
//! address even, keep their places as long as they ask.

use crate::limits::{SILENT_CONNECTIONS_MAX, SLOW_AFTER};
use crate::room::time_for;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many may be connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// All together.
    pub(crate) all: usize,
    /// From one address.
    pub(crate) address: usize,
}

/// All connections.
pub(crate) struct Peers {
    places: Places,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Counts what happens: a lower number was earlier.
    last: u64,
    seats: HashMap<u64, Seat>,
    addresses: HashMap<IpAddr, Line>,
    all: Line,
}

/// One connection.
struct Seat {
    address: IpAddr,
    doing: Doing,
    /// A partner has signed in on it.
    known: bool,
    /// Since which count, and since when.
    since: (u64, Instant),
    requests: Requests,
    must_go: Arc<Notify>,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It has not asked anything yet.
    Silent,
    /// All it asked has been answered.
    Idle,
    /// Its requests are arriving, or its answers are leaving: it is as slow as its peer.
    Moving,
    /// We have work for it.
    Work,
}

/// Requests of a connection by where they are.
#[derive(Debug, Default)]
struct Requests {
    moving: usize,
    work: usize,
}

/// Connections that may have to go, oldest first: count and number.
#[derive(Default)]
struct Line {
    open: usize,
    silent: Row,
    idle: [Row; 2],
    moving: [Row; 2],
}

type Row = BTreeMap<u64, u64>;

/// One connection, until it is dropped.
pub(crate) struct Peer {
    peers: Arc<Peers>,
    number: u64,
    must_go: Arc<Notify>,
    leaving: Mutex<Leaving>,
    /// Another answer is leaving.
    answered: Notify,
}

/// Answers on their way, by the number of their visit: since when, and how many bytes were taken.
#[derive(Default)]
struct Leaving {
    last: u64,
    answers: BTreeMap<u64, (Instant, usize)>,
}

/// One request, from its head to the last byte of its answer.
pub(crate) struct Visit {
    peer: Arc<Peer>,
    number: u64,
    at: Mutex<Stage>,
}

/// Where a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Arriving,
    Work,
    Leaving,
}

impl Line {
    /// Where a connection stands; the second of two are those of partners.
    fn row(&mut self, seat: &Seat) -> Option<&mut Row> {
        let known = usize::from(seat.known);
        match seat.doing {
            Doing::Silent => Some(&mut self.silent),
            Doing::Idle => self.idle.get_mut(known),
            Doing::Moving => self.moving.get_mut(known),
            Doing::Work => None,
        }
    }
}

fn first<'r>(rows: impl IntoIterator<Item = &'r Row>) -> Option<u64> {
    let firsts = rows.into_iter().filter_map(|row| row.first_key_value());
    firsts.min().map(|(_, number)| *number)
}

impl Peers {
    /// Nobody is connected yet.
    pub(crate) fn new(places: Places) -> Arc<Peers> {
        Arc::new(Peers { places, table: Mutex::default() })
    }

    /// Lets a new connection in; `None` when every place it could have is in work.
    pub(crate) fn enter(self: &Arc<Peers>, address: IpAddr) -> Option<Peer> {
        self.enter_at(address, Instant::now())
    }

    fn enter_at(self: &Arc<Peers>, address: IpAddr, now: Instant) -> Option<Peer> {
        let address = neighbourhood(address);
        let must_go = Arc::new(Notify::new());
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.make_room(&self.places, address, now)?;
        let number = table.enter(address, Arc::clone(&must_go));
        let (leaving, answered) = (Mutex::default(), Notify::new());
        Some(Peer { peers: Arc::clone(self), number, must_go, leaving, answered })
    }

    /// The system has no more handles: somebody must go.
    pub(crate) fn make_room(&self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = table.oldest(None, Instant::now()) {
            table.dismiss(number);
        }
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Requests)) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.change(number, change);
    }
}

impl Table {
    fn enter(&mut self, address: IpAddr, must_go: Arc<Notify>) -> u64 {
        self.last += 1;
        let number = self.last;
        let (since, requests) = ((number, Instant::now()), Requests::default());
        let doing = Doing::Silent;
        let seat = Seat { address, doing, known: false, since, requests, must_go };
        self.stand(&seat, number);
        self.seats.insert(number, seat);
        for line in [&mut self.all, self.addresses.entry(address).or_default()] {
            line.open += 1;
        }
        number
    }

    /// Sends somebody away where there is no place left; `None` where nobody can go.
    fn make_room(&mut self, places: &Places, address: IpAddr, now: Instant) -> Option<()> {
        let own = self.addresses.get(&address);
        let (open, silent) = own.map_or((0, 0), |line| (line.open, line.silent.len()));
        let goes = if open >= places.address {
            Some(self.oldest(Some(address), now)?)
        } else if silent >= SILENT_CONNECTIONS_MAX {
            own.and_then(|line| first([&line.silent]))
        } else if self.all.open < places.all {
            None
        } else {
            Some(self.oldest(None, now)?)
        };
        if let Some(number) = goes {
            self.dismiss(number);
        }
        Some(())
    }

    /// Who must go first, of an address or of all.
    fn oldest(&self, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        let line = match address {
            Some(address) => self.addresses.get(&address)?,
            None => &self.all,
        };
        let slow = |row: &Row| {
            let number = first([row])?;
            let since = self.seats.get(&number)?.since.1;
            (now.saturating_duration_since(since) >= SLOW_AFTER).then_some(number)
        };
        let ([idle, known_idle], [moving, known_moving]) = (&line.idle, &line.moving);
        first([&line.silent, idle])
            .or_else(|| slow(moving))
            .or_else(|| first([known_idle]))
            .or_else(|| slow(known_moving))
    }

    /// Its place is free from now on.
    fn dismiss(&mut self, number: u64) {
        if let Some(seat) = self.leave(number) {
            seat.must_go.notify_one();
        }
    }

    fn leave(&mut self, number: u64) -> Option<Seat> {
        let seat = self.seats.remove(&number)?;
        self.stand_out(&seat);
        self.all.open -= 1;
        if let Some(line) = self.addresses.get_mut(&seat.address) {
            line.open -= 1;
            if line.open == 0 {
                self.addresses.remove(&seat.address);
            }
        }
        Some(seat)
    }

    fn stand(&mut self, seat: &Seat, number: u64) {
        for line in [&mut self.all, self.addresses.entry(seat.address).or_default()] {
            if let Some(row) = line.row(seat) {
                row.insert(seat.since.0, number);
            }
        }
    }

    fn stand_out(&mut self, seat: &Seat) {
        for line in [Some(&mut self.all), self.addresses.get_mut(&seat.address)] {
            if let Some(row) = line.and_then(|line| line.row(seat)) {
                row.remove(&seat.since.0);
            }
        }
    }

    fn known(&mut self, number: u64) {
        let Some(mut seat) = self.seats.remove(&number) else { return };
        self.stand_out(&seat);
        seat.known = true;
        self.stand(&seat, number);
        self.seats.insert(number, seat);
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Requests)) {
        let Some(mut seat) = self.seats.remove(&number) else { return };
        change(&mut seat.requests);
        let doing = match seat.requests {
            Requests { work: 1.., .. } => Doing::Work,
            Requests { moving: 1.., .. } => Doing::Moving,
            _ => Doing::Idle,
        };
        if doing != seat.doing {
            self.stand_out(&seat);
            self.last += 1;
            (seat.doing, seat.since) = (doing, (self.last, Instant::now()));
            self.stand(&seat, number);
        }
        self.seats.insert(number, seat);
    }
}

impl Peer {
    /// A request begins.
    pub(crate) fn visit(self: &Arc<Peer>) -> Visit {
        self.peers.change(self.number, |requests| requests.moving += 1);
        let mut leaving = self.leaving();
        leaving.last += 1;
        Visit { peer: Arc::clone(self), number: leaving.last, at: Mutex::new(Stage::Arriving) }
    }

    fn leaving(&self) -> MutexGuard<'_, Leaving> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when another answer is leaving.
    pub(crate) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// When the peer must have taken more of its answers, each of which it may take for so long at
    /// most; `None` while none is leaving.
    pub(crate) fn taken_by(&self, most: Duration) -> Option<Instant> {
        let leaving = self.leaving();
        let by = leaving.answers.values().map(|(since, taken)| *since + time_for(*taken).min(most));
        by.min()
    }

    /// Ends when the connection must make room.
    pub(crate) async fn must_go(&self) {
        self.must_go.notified().await;
    }

    /// Since when all that was asked has been answered; `None` while something has not.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let table = self.peers.table.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = table.seats.get(&self.number)?;
        matches!(seat.doing, Doing::Silent | Doing::Idle).then_some(seat.since.1)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let mut table = self.peers.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.leave(self.number);
    }
}

impl Visit {
    /// All of the request is here, or nobody reads the rest.
    pub(crate) fn arrived(&self) {
        self.go_on(Stage::Work);
    }

    /// A partner has signed in.
    pub(crate) fn known(&self) {
        let table = &self.peer.peers.table;
        table.lock().unwrap_or_else(PoisonError::into_inner).known(self.peer.number);
    }

    /// The answer is ready.
    pub(crate) fn leaves(&self) {
        self.go_on(Stage::Leaving);
        self.peer.leaving().answers.insert(self.number, (Instant::now(), 0));
        self.peer.answered.notify_one();
    }

    /// The peer takes so many bytes more of the answer.
    pub(crate) fn takes(&self, bytes: usize) {
        if let Some((_, taken)) = self.peer.leaving().answers.get_mut(&self.number) {
            *taken += bytes;
        }
    }

    fn go_on(&self, to: Stage) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = std::mem::replace(&mut *at, to);
        match (from, to) {
            (Stage::Arriving, Stage::Work) => self.change(|all| {
                all.moving -= 1;
                all.work += 1;
            }),
            (Stage::Work, Stage::Leaving) => self.change(|all| {
                all.work -= 1;
                all.moving += 1;
            }),
            // What arrives later than its answer leaves changes nothing.
            (Stage::Leaving, Stage::Work) => *at = from,
            _ => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut Requests)) {
        self.peer.peers.change(self.peer.number, change);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.peer.leaving().answers.remove(&self.number);
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.change(|all| match at {
            Stage::Work => all.work -= 1,
            Stage::Arriving | Stage::Leaving => all.moving -= 1,
        });
    }
}

/// One caller of IPv6 has a whole /64 to call from (RFC 6177).
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() >> 64 << 64)),
        it => it,
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a crowd pushes out itself, and nobody who asks.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt;

    const HOME: &str = "192.0.2.1";

    fn peers(all: usize, address: usize) -> Arc<Peers> {
        Peers::new(Places { all, address })
    }

    fn enter(peers: &Arc<Peers>, address: &str) -> Option<Arc<Peer>> {
        peers.enter(address.parse().unwrap()).map(Arc::new)
    }

    fn gone(peer: &Peer) -> bool {
        peer.must_go().now_or_never().is_some()
    }

    /// A connection whose one request has been answered.
    fn answered(peers: &Arc<Peers>, address: &str) -> Arc<Peer> {
        let peer = enter(peers, address).unwrap();
        drop(at_work(&peer));
        peer
    }

    fn at_work(peer: &Arc<Peer>) -> Visit {
        let visit = peer.visit();
        visit.arrived();
        visit
    }

    #[test]
    fn the_oldest_silent_one_of_an_address_makes_room() {
        let peers = peers(10_000, 10_000);
        let other = enter(&peers, "192.0.2.2").unwrap();
        let spoken = answered(&peers, HOME);
        let crowd: Vec<_> =
            (0..=SILENT_CONNECTIONS_MAX).map(|_| enter(&peers, HOME).unwrap()).collect();
        let went: Vec<bool> = crowd.iter().map(|one| gone(one)).collect();
        assert!(went[0] && !went[1..].contains(&true), "{went:?}");
        assert!(!gone(&spoken) && !gone(&other));
        drop((crowd, spoken, other));
        let table = peers.table.lock().unwrap();
        assert!(table.addresses.is_empty() && table.seats.is_empty(), "nothing is kept");
    }

    #[test]
    fn who_asks_keeps_its_place_beside_a_crowd_of_its_own_address() {
        let peers = peers(100, 8);
        let (idle, busy) = (answered(&peers, HOME), answered(&peers, HOME));
        let work = at_work(&busy);
        let crowd: Vec<_> = (0..50).map(|_| answered(&peers, HOME)).collect();
        assert!(gone(&idle), "it was quiet for longer than any of the crowd");
        assert!(!gone(&busy), "it is worked for");
        drop(work);
        let more: Vec<_> = (0..7).map(|_| enter(&peers, HOME).unwrap()).collect();
        assert!(!gone(&busy), "it was busy a moment ago, the crowd was not");
        assert_eq!(crowd.iter().filter(|one| gone(one)).count(), 50);
        assert_eq!(more.iter().filter(|one| gone(one)).count(), 0);
    }

    #[test]
    fn a_partner_who_has_signed_in_keeps_its_place_while_it_is_idle() {
        let peers = peers(100, 8);
        let partner = enter(&peers, HOME).unwrap();
        let visit = at_work(&partner);
        visit.known();
        drop(visit);
        let crowd: Vec<_> = (0..50).map(|_| answered(&peers, HOME)).collect();
        assert!(!gone(&partner), "those go first who have not");
        let work: Vec<_> = crowd[43..].iter().map(at_work).collect();
        assert!(enter(&peers, HOME).is_some() && gone(&partner), "but nobody waits for a place");
        drop(work);
    }

    #[test]
    fn a_crowd_of_many_addresses_keeps_no_other_address_out() {
        let peers = peers(100, 50);
        let partner = answered(&peers, HOME);
        let work = at_work(&partner);
        let crowd: Vec<_> = (0..1_000)
            .map(|one| enter(&peers, &format!("198.51.100.{}", one % 40)).unwrap())
            .collect();
        assert!(!gone(&partner));
        let second = enter(&peers, HOME).unwrap();
        assert!(!gone(&second) && !gone(&partner));
        let held = crowd.len() - crowd.iter().filter(|one| gone(one)).count();
        assert_eq!(held, 98, "as many as there are places, and two are the partner's");
        drop(work);
    }

    #[test]
    fn a_slow_request_makes_room_once_it_has_been_slow_for_a_while() {
        let peers = peers(100, 4);
        let slow: Vec<_> = (0..4).map(|_| enter(&peers, HOME).unwrap()).collect();
        let _arriving: Vec<_> = slow.iter().map(Peer::visit).collect();
        assert!(enter(&peers, HOME).is_none(), "all of them may be in the middle of a request");
        let later = Instant::now() + SLOW_AFTER;
        assert!(peers.enter_at(HOME.parse().unwrap(), later).is_some());
        assert!(gone(&slow[0]) && !gone(&slow[1]), "the one that began first");
    }

    #[test]
    fn an_address_whose_connections_are_all_in_work_gets_no_more() {
        let peers = peers(100, 3);
        let home = "2001:db8::1";
        let used: Vec<_> = (0..3).map(|_| enter(&peers, home).unwrap()).collect();
        let mut work: Vec<_> = used.iter().map(at_work).collect();
        for (address, room) in
            [("2001:db8::1", false), ("2001:db8::ffff", false), ("2001:db8:0:1::1", true)]
        {
            assert_eq!(enter(&peers, address).is_some(), room, "{address}");
        }
        work.pop();
        assert!(enter(&peers, home).is_some(), "room is given back");
    }

    #[test]
    fn a_request_is_counted_once_however_it_ends() {
        type Case = (&'static str, fn(&Visit));
        let table: [Case; 5] = [
            ("given up while it arrives", |_| {}),
            ("given up in work", |visit| visit.arrived()),
            ("answered", |visit| {
                visit.arrived();
                visit.leaves();
            }),
            ("refused before it had arrived", |visit| visit.leaves()),
            ("arrived after it was refused", |visit| {
                visit.leaves();
                visit.arrived();
            }),
        ];
        let peers = peers(10, 10);
        for (case, run) in table {
            let peer = enter(&peers, HOME).unwrap();
            let visit = peer.visit();
            run(&visit);
            assert_eq!(peer.quiet_since(), None, "{case}");
            drop(visit);
            assert!(peer.quiet_since().is_some(), "{case}");
        }
    }
}
