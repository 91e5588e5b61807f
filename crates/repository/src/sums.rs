//! Sums: rows that are what their lines of the house's chain add up to, and what a process knows of them.
//!
//! Comes in   rows as they are written; what somebody says of one.
//! Goes out   its line and its row, in one unit; what the store holds, or what this process knows.
//! Never      writes over what somebody else has written meanwhile, or lets a row that was read before a
//!            change stand for what it is after it.
//!
//! Why two looks: whoever must be sure asks the store, the truth for all processes; who is asked with
//! every request knows in memory, where every change of this process stands at once and those of others
//! at the next `refresh`.

use crate::{limits, lookup, store_issue};
use exchange::registration::Registration;
use exchange::suspension::Suspension;
use exchange::{Chain, Code, Event, Issue};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use store::{AnyHouse, Commit, Expect, House, StoredWork, Unit, Work, WorkKind, WorkQuery};

/// What lines add up to: one row each.
pub trait Sum: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The kind of its row.
    const KIND: WorkKind;
    /// How many there may be.
    const MOST: u32;
    /// What whoever wants to change it is told when others do so all the time.
    const BUSY: &'static str;

    /// What a line makes of it; none where it begins nothing.
    fn after(before: Option<Self>, line: &Event) -> Option<Self>;

    /// Its row, with this body.
    fn row(&self, body: Vec<u8>) -> Work;
}

impl Sum for Suspension {
    const KIND: WorkKind = WorkKind::Partner;
    const MOST: u32 = limits::SUSPENSIONS_MAX;
    const BUSY: &'static str = "what is said of the partner keeps changing";

    fn after(_: Option<Suspension>, line: &Event) -> Option<Suspension> {
        Suspension::of(line)
    }

    fn row(&self, body: Vec<u8>) -> Work {
        let (id, partner) = (Suspension::row_id(&self.partner), Some(self.partner.clone()));
        Work { partner, ..Work::of(WorkKind::Partner, id, self.state_word(), body) }
    }
}

impl Sum for Registration {
    const KIND: WorkKind = WorkKind::Registration;
    const MOST: u32 = limits::REGISTRATIONS_MAX;
    const BUSY: &'static str = "the registration keeps changing";

    fn after(before: Option<Registration>, line: &Event) -> Option<Registration> {
        match before {
            Some(mut one) => {
                one.apply(line);
                Some(one)
            }
            None => Registration::begin(line),
        }
    }

    fn row(&self, body: Vec<u8>) -> Work {
        let lane = format!("registration|{}", self.client);
        let work = Work::of(WorkKind::Registration, &self.client, self.state_word(), body);
        Work { lane, ..work }
    }
}

/// A sum as it was, and as it is.
pub type Changed<T> = (Option<T>, Option<T>);

/// The line that is to be written of a sum as it is; none: nothing.
pub type Change<'a, T> = &'a (dyn Fn(Option<&T>) -> Result<Option<Event>, Issue> + Sync);

/// All sums of one kind in a house.
pub struct Sums<T> {
    house: AnyHouse,
    /// By the ids of their rows, each with the revision it is of.
    known: RwLock<BTreeMap<String, (u64, T)>>,
}

impl<T: Sum> Sums<T> {
    /// Those of a house; none is known before the first `refresh`.
    pub fn new(house: AnyHouse) -> Sums<T> {
        Sums { house, known: RwLock::default() }
    }

    /// Takes up what the store holds: at the start, and where other processes write to it.
    ///
    /// Errors: those of the store.
    pub async fn refresh(&self) -> Result<(), Issue> {
        for (stored, one) in self.all().await? {
            self.know(&stored.work.id, stored.revision, one);
        }
        Ok(())
    }

    /// Takes up a row, unless a newer one is known: who read it before a person decided must not undo
    /// that.
    pub fn know(&self, id: &str, revision: u64, one: T) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.get(id).is_none_or(|(newest, _)| *newest <= revision) {
            known.insert(id.to_owned(), (revision, one));
        }
    }

    /// What this process knows of a row, and of which revision.
    pub fn known<R>(&self, id: &str, look: impl FnOnce(u64, &T) -> R) -> Option<R> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(id).map(|(revision, one)| look(*revision, one))
    }

    /// All of them, each with its row, as the store has them now.
    ///
    /// Errors: those of the store.
    pub async fn all(&self) -> Result<Vec<(StoredWork, T)>, Issue> {
        let query = WorkQuery { kind: Some(T::KIND), limit: T::MOST, ..WorkQuery::default() };
        let rows = self.house.works(query).await.map_err(store_issue)?;
        rows.into_iter().map(|row| read(&row).map(|one| (row, one))).collect()
    }

    /// One of them as the store has it now; this process knows it from then on.
    ///
    /// Errors: those of the store.
    pub async fn find(&self, id: &str) -> Result<Option<(StoredWork, T)>, Issue> {
        let stored = self.house.work(id).await.map_err(store_issue)?;
        let Some(stored) = stored.filter(|stored| stored.work.kind == T::KIND) else {
            return Ok(None);
        };
        let one: T = read(&stored)?;
        self.know(id, stored.revision, one.clone());
        Ok(Some((stored, one)))
    }

    /// Writes what is said of one: its line and its row, in one unit.
    ///
    /// Errors: `HouseBusy`, what `change` says, those of the store.
    pub async fn change(
        &self,
        id: &str,
        now: impl Fn() -> Timestamp,
        change: Change<'_, T>,
    ) -> Result<Changed<T>, Issue> {
        for _ in 0..limits::STALE_ROUNDS_MAX {
            let (stored, before) = self.find(id).await?.unzip();
            let Some(line) = change(before.as_ref())? else {
                return Ok((before.clone(), before));
            };
            let Some(after) = T::after(before.clone(), &line) else { return Ok((before, None)) };
            let revision = stored.map(|stored| stored.revision);
            let body = serde_json::to_vec(&after).map_err(|_| lookup::unreadable())?;
            let unit = Unit {
                at: now(),
                expects: vec![Expect::WorkRevision { id: id.to_owned(), revision }],
                lines: vec![(Chain::House, line)],
                works: vec![after.row(body)],
                ..Unit::default()
            };
            if let Commit::Done { .. } = self.house.commit(unit).await.map_err(store_issue)? {
                // As the store counts: a row begins with 1.
                self.know(id, revision.unwrap_or_default() + 1, after.clone());
                return Ok((before, Some(after)));
            }
        }
        Err(Issue::new(Code::HouseBusy, T::BUSY))
    }
}

/// What a row holds. Errors: `InternalError`.
pub(crate) fn read<T: Sum>(stored: &StoredWork) -> Result<T, Issue> {
    serde_json::from_slice(&stored.work.body).map_err(|_| lookup::unreadable())
}
