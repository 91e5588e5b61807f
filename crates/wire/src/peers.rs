//! Peers: how many connections each address has open, and which of them have not said anything.
//!
//! Comes in   the address of each connection; the word that its first request has come.
//! Goes out   whether it may stay; to a silent connection, the word that it must go.
//! Never      lets one address fill the door: over its limit, its oldest silent connection makes
//!            room, so that whoever speaks at once is served even beside a crowd that does not.

use crate::limits::{ADDRESS_CONNECTIONS_MAX, SILENT_CONNECTIONS_MAX};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// All addresses with open connections.
#[derive(Default)]
pub(crate) struct Peers(Mutex<Table>);

#[derive(Default)]
struct Table {
    last: u64,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Default)]
struct Address {
    open: usize,
    /// Oldest first.
    silent: VecDeque<(u64, Arc<Notify>)>,
}

/// One connection, until it is dropped.
pub(crate) struct Peer {
    peers: Arc<Peers>,
    address: IpAddr,
    number: u64,
    must_go: Arc<Notify>,
}

impl Peers {
    /// Counts a new connection; `None` when its address has too many that are in use.
    pub(crate) fn enter(self: &Arc<Peers>, address: IpAddr) -> Option<Peer> {
        let address = neighbourhood(address);
        let must_go = Arc::new(Notify::new());
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.last += 1;
        let number = table.last;
        let it = table.addresses.entry(address).or_default();
        if it.silent.len() >= SILENT_CONNECTIONS_MAX || it.open >= ADDRESS_CONNECTIONS_MAX {
            let (_, oldest) = it.silent.pop_front()?;
            oldest.notify_one();
        }
        it.open += 1;
        it.silent.push_back((number, Arc::clone(&must_go)));
        Some(Peer { peers: Arc::clone(self), address, number, must_go })
    }
}

impl Peer {
    /// Its first request has come.
    pub(crate) fn spoke(&self) {
        self.change(|_| {});
    }

    /// Ends when the connection must make room.
    pub(crate) async fn must_go(&self) {
        self.must_go.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Address)) {
        let mut table = self.peers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(it) = table.addresses.get_mut(&self.address) else { return };
        it.silent.retain(|(number, _)| *number != self.number);
        change(it);
        if it.open == 0 {
            table.addresses.remove(&self.address);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.change(|it| it.open = it.open.saturating_sub(1));
    }
}

/// One caller of IPv6 has a whole /64 to call from (RFC 6177).
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() >> 64 << 64)),
        it => it,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt;

    fn told_to_go(peer: &Peer) -> bool {
        peer.must_go().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_silent_one_of_an_address_makes_room() {
        let peers = Arc::new(Peers::default());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let other = peers.enter("192.0.2.2".parse().unwrap()).unwrap();
        let spoken = peers.enter(address).unwrap();
        spoken.spoke();
        let silent: Vec<Peer> =
            (0..=SILENT_CONNECTIONS_MAX).map(|_| peers.enter(address).unwrap()).collect();
        let gone: Vec<bool> = silent.iter().map(told_to_go).collect();
        assert!(gone[0] && !gone[1..].contains(&true), "{gone:?}");
        assert!(!told_to_go(&spoken) && !told_to_go(&other));
        drop((silent, spoken, other));
        assert!(peers.0.lock().unwrap().addresses.is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn an_address_whose_connections_are_all_in_use_gets_no_more() {
        let peers = Arc::new(Peers::default());
        let home: IpAddr = "2001:db8::1".parse().unwrap();
        let enter = |address: IpAddr| peers.enter(address).inspect(Peer::spoke);
        let mut used: Vec<Peer> =
            (0..ADDRESS_CONNECTIONS_MAX).map(|_| enter(home).unwrap()).collect();
        for (address, room) in
            [("2001:db8::1", false), ("2001:db8::ffff", false), ("2001:db8:0:1::1", true)]
        {
            assert_eq!(enter(address.parse().unwrap()).is_some(), room, "{address}");
        }
        used.pop();
        assert!(enter(home).is_some(), "room is given back");
    }
}
