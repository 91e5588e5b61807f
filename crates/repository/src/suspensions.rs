//! Suspensions: partners with whom all exchange has stopped, as a house keeps them.
//!
//! Comes in   what a person decides, and the time.
//! Goes out   rows of work with their ledger lines; whether a partner is suspended.
//! Never      an answer from memory where the store can be asked in time.
//!
//! Why two looks: whoever sends asks the store, the truth for all processes; a gate asks memory with
//! every request, where every change of this process stands at once and those of others at the next
//! `refresh`.

use crate::desk::store_issue;
use crate::{limits, lookup};
use exchange::suspension::Suspension;
use exchange::{Chain, Code, Event, Issue, PartnerId, Who};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};
use store::{AnyHouse, Commit, Expect, House, StoredWork, Unit, Work, WorkKind, WorkQuery};

/// Suspensions of one house.
pub struct Suspensions {
    house: AnyHouse,
    known: RwLock<BTreeSet<String>>,
}

impl Suspensions {
    /// Those of a house; nobody is suspended before the first `refresh`.
    pub fn new(house: AnyHouse) -> Suspensions {
        Suspensions { house, known: RwLock::default() }
    }

    /// Takes up what the store holds: before the doors open, and where other processes write to it.
    ///
    /// Errors: those of the store.
    pub async fn refresh(&self) -> Result<(), Issue> {
        let rows = self.rows().await?;
        let suspended = rows.into_iter().filter(|(_, one)| one.suspended);
        let known = suspended.map(|(_, one)| one.partner.to_string()).collect();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// Whether a partner is suspended, as this process knows it.
    pub fn is_known(&self, partner: &str) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).contains(partner)
    }

    /// Whether a partner is suspended, as the store has it now. Errors: those of the store.
    pub async fn check(house: &AnyHouse, partner: &PartnerId) -> Result<(), Issue> {
        let row = house.work(&Suspension::row_id(partner)).await.map_err(store_issue)?;
        match row.as_ref().map(read).transpose()? {
            Some(one) if one.suspended => Err(suspended()),
            _ => Ok(()),
        }
    }

    /// All that was ever said of partners, each with its row.
    ///
    /// Errors: those of the store.
    pub async fn rows(&self) -> Result<Vec<(StoredWork, Suspension)>, Issue> {
        let kind = Some(WorkKind::Partner);
        let query = WorkQuery { kind, limit: limits::SUSPENSIONS_MAX, ..WorkQuery::default() };
        let rows = self.house.works(query).await.map_err(store_issue)?;
        rows.into_iter().map(|row| read(&row).map(|one| (row, one))).collect()
    }

    /// Suspends the exchange with a partner, or lets it go on; what changes nothing leaves no line.
    ///
    /// Errors: `HouseBusy`, those of the store.
    pub async fn say(
        &self,
        partner: &PartnerId,
        suspend: bool,
        who: &Who,
        at: Timestamp,
    ) -> Result<(), Issue> {
        for _ in 0..limits::STALE_ROUNDS_MAX {
            let id = Suspension::row_id(partner);
            let stored = self.house.work(&id).await.map_err(store_issue)?;
            let before = stored.as_ref().map(read).transpose()?;
            if before.is_some_and(|before| before.suspended) == suspend {
                self.know(partner, suspend);
                return Ok(());
            }
            let (partner, who) = (partner.clone(), who.clone());
            let event = match suspend {
                true => Event::PartnerSuspended { partner, who },
                false => Event::PartnerResumed { partner, who },
            };
            let after = Suspension::of(&event).ok_or_else(lookup::unreadable)?;
            let revision = stored.map(|stored| stored.revision);
            let unit = Unit {
                at,
                expects: vec![Expect::WorkRevision { id, revision }],
                lines: vec![(Chain::House, event)],
                works: vec![row(&after)?],
                ..Unit::default()
            };
            if let Commit::Done { .. } = self.house.commit(unit).await.map_err(store_issue)? {
                self.know(&after.partner, suspend);
                return Ok(());
            }
        }
        Err(Issue::new(Code::HouseBusy, "what is said of the partner keeps changing"))
    }

    fn know(&self, partner: &PartnerId, suspended: bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match suspended {
            true => drop(known.insert(partner.to_string())),
            false => drop(known.remove(partner.as_str())),
        }
    }
}

/// What whoever meets a suspension is told.
pub fn suspended() -> Issue {
    let detail = "a person of this house has suspended all exchange with this partner";
    Issue::new(Code::PartnerSuspended, detail)
}

fn read(stored: &StoredWork) -> Result<Suspension, Issue> {
    serde_json::from_slice(&stored.work.body).map_err(|_| lookup::unreadable())
}

fn row(one: &Suspension) -> Result<Work, Issue> {
    let id = Suspension::row_id(&one.partner);
    let body = serde_json::to_vec(one).map_err(|_| lookup::unreadable())?;
    let partner = Some(one.partner.clone());
    Ok(Work { partner, ..Work::of(WorkKind::Partner, id, one.state_word(), body) })
}
