//! Rooms: how much goes on at once, so that a slow partner's walks do not stop everybody's.
//!
//! Comes in   walks that want to begin, to open a chart, or to knock at a payer's door.
//! Goes out   a place, to be given back by dropping it.
//! Never      more charts in memory than there are places, or more requests to one payer. Never has
//!            a payer wait for another's places.

use crate::limits::{CHARTS_OPEN_MAX, PARTNER_REQUESTS_MAX, PARTNER_WALKS_MAX};
use exchange::PartnerId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place; dropping it gives it back. `None` only while the house closes.
pub type Place = Option<OwnedSemaphorePermit>;

/// Places for charts, and for requests to each payer.
pub struct Rooms {
    charts: Arc<Semaphore>,
    partners: Mutex<HashMap<PartnerId, Arc<Semaphore>>>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms { charts: Arc::new(Semaphore::new(CHARTS_OPEN_MAX)), partners: Mutex::default() }
    }
}

impl Rooms {
    /// A place for a chart.
    pub async fn chart(&self) -> Place {
        Arc::clone(&self.charts).acquire_owned().await.ok()
    }

    /// A place at one payer's door.
    pub async fn partner(&self, payer: &PartnerId) -> Place {
        let places = {
            let mut partners = self.partners.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(PARTNER_REQUESTS_MAX));
            Arc::clone(partners.entry(payer.clone()).or_insert_with(fresh))
        };
        places.acquire_owned().await.ok()
    }
}

/// Whoever drops it has ended its walk.
pub type Seat = Arc<()>;

/// Walks under way with each payer, and with nobody (triggers).
#[derive(Default)]
pub struct Seats(HashMap<Option<PartnerId>, Seat>);

impl Seats {
    /// A seat for a walk.
    pub fn take(&mut self, partner: &Option<PartnerId>) -> Seat {
        Arc::clone(self.0.entry(partner.clone()).or_default())
    }

    /// Those that have no seat left.
    pub fn full(&self) -> Vec<Option<PartnerId>> {
        // One is the list's own.
        let full = |seat: &Seat| Arc::strong_count(seat) > PARTNER_WALKS_MAX;
        self.0.iter().filter(|(_, seat)| full(seat)).map(|(partner, _)| partner.clone()).collect()
    }
}
