//! Suspensions: partners with whom all exchange has stopped, as a house keeps them.
//!
//! Comes in   what a person decides, and the time.
//! Goes out   rows of work with their ledger lines; whether a partner is suspended.
//! Never      an answer from memory where the store can be asked in time.

use crate::desk::store_issue;
use crate::sums::{self, Sums};
use exchange::suspension::Suspension;
use exchange::{Code, Event, Issue, PartnerId, Who};
use jiff::Timestamp;
use store::{AnyHouse, House, StoredWork};

/// Suspensions of one house.
pub struct Suspensions(Sums<Suspension>);

impl Suspensions {
    /// Those of a house; nobody is suspended before the first `refresh`.
    pub fn new(house: AnyHouse) -> Suspensions {
        Suspensions(Sums::new(house))
    }

    /// Takes up what the store holds: before the doors open, and where other processes write to it.
    ///
    /// Errors: those of the store.
    pub async fn refresh(&self) -> Result<(), Issue> {
        self.0.refresh().await
    }

    /// Whether a partner is suspended, as this process knows it.
    pub fn is_known(&self, partner: &str) -> bool {
        let id = Suspension::row_id(&partner.into());
        self.0.known(&id, |_, one| one.suspended).unwrap_or_default()
    }

    /// Whether a partner is suspended, as the store has it now. Errors: those of the store.
    pub async fn check(house: &AnyHouse, partner: &PartnerId) -> Result<(), Issue> {
        let row = house.work(&Suspension::row_id(partner)).await.map_err(store_issue)?;
        match row.as_ref().map(sums::read::<Suspension>).transpose()? {
            Some(one) if one.suspended => Err(suspended()),
            _ => Ok(()),
        }
    }

    /// All that was ever said of partners, each with its row.
    ///
    /// Errors: those of the store.
    pub async fn rows(&self) -> Result<Vec<(StoredWork, Suspension)>, Issue> {
        self.0.all().await
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
        let said = |before: Option<&Suspension>| {
            let (partner, who) = (partner.clone(), who.clone());
            let line = match suspend {
                true => Event::PartnerSuspended { partner, who },
                false => Event::PartnerResumed { partner, who },
            };
            let same = before.is_some_and(|before| before.suspended) == suspend;
            Ok((!same).then_some(line))
        };
        self.0.change(&Suspension::row_id(partner), || at, &said).await.map(drop)
    }
}

/// What whoever meets a suspension is told.
pub fn suspended() -> Issue {
    let detail = "a person of this house has suspended all exchange with this partner";
    Issue::new(Code::PartnerSuspended, detail)
}

#[cfg(test)]
mod tests {
    //! Goal: a person's word holds at once and lasts, whatever was read before it.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use store::SqliteHouse;

    #[tokio::test]
    async fn who_is_suspended_while_rows_are_read_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let house: AnyHouse = SqliteHouse::open(folder.path(), &"plan".into()).unwrap().into();
        let suspensions = Suspensions::new(house.clone());
        let clinic = PartnerId::from("clinic");
        let who = Who { name: "a".into(), role: "staff".into(), why: "known".into() };
        for suspend in [true, false] {
            suspensions.say(&clinic, suspend, &who, Timestamp::UNIX_EPOCH).await.unwrap();
            assert_eq!(suspensions.is_known("clinic"), suspend);
        }
        // Somebody reads all rows to take them up, and a person decides before that is done.
        let read_before = suspensions.rows().await.unwrap();
        suspensions.say(&clinic, true, &who, Timestamp::UNIX_EPOCH).await.unwrap();
        for (stored, one) in read_before {
            suspensions.0.know(&stored.work.id, stored.revision, one);
        }
        assert!(suspensions.is_known("clinic"));
        assert!(Suspensions::check(&house, &clinic).await.is_err());
        suspensions.refresh().await.unwrap();
        assert!(suspensions.is_known("clinic") && !suspensions.is_known("other"));
        let lines = house.entries(1, 10).await.unwrap().len();
        suspensions.say(&clinic, true, &who, Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!(house.entries(1, 10).await.unwrap().len(), lines, "said again, no line");
    }
}
