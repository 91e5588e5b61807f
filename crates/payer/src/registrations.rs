//! Registrations: clients that sign in by UDAP, as this house keeps them.
//!
//! Comes in   what a proved software statement asks for; what a person decides.
//! Goes out   rows of work with their ledger lines; whether a client stands, as which partner.
//! Never      lets a client stand that neither a partner's public file nor a person names, or whose
//!            partner has no agreement any more.
//!
//! Why two looks: who asks for a token is looked up in the store, who comes with one in memory (see
//! `repository::sums`); what other processes change stands there within `REGISTRATIONS_LOOK`.

use crate::limits::{REGISTRATION_FLOOR, REGISTRATIONS_WAITING_MAX};
use crate::setup::Sender;
use exchange::desk::{RegistrationCommand, RegistrationRow, RegistrationsTold};
use exchange::registration::{Registration, RegistrationState, Said};
use exchange::{Code, Event, Issue, PartnerId};
use repository::sums::{Change, Changed, Sums};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{AnyHouse, StoredWork};
use wire::trust::udap::{Decided, Registry, Standing};
use wire::{BoxFuture, Clock, Purposes};

/// Registrations of one receiving house.
pub struct Registrations {
    sums: Sums<Registration>,
    clock: Arc<dyn Clock>,
    /// Partners with an agreement, and what they may sign in for.
    purposes: BTreeMap<PartnerId, Purposes>,
    /// Whom partners' files name: community and URI.
    named: BTreeMap<(String, String), PartnerId>,
}

impl Registrations {
    /// Registrations of a house with these senders.
    pub fn new(
        house: AnyHouse,
        senders: &BTreeMap<PartnerId, Sender>,
        clock: Arc<dyn Clock>,
    ) -> Registrations {
        let agreed = |sender: &Sender| sender.terms.agreement.purposes.iter().copied().collect();
        let names = |(name, sender): (&PartnerId, &Sender)| {
            let udap = sender.public.udap.as_ref()?;
            Some(((udap.community.clone(), udap.uri.clone()), name.clone()))
        };
        Registrations {
            purposes: senders.iter().map(|(name, one)| (name.clone(), agreed(one))).collect(),
            named: senders.iter().filter_map(names).collect(),
            sums: Sums::new(house),
            clock,
        }
    }

    /// Takes up what the store holds: at the start, and where other processes write to it.
    ///
    /// Errors: those of the store.
    pub async fn refresh(&self) -> Result<(), Issue> {
        self.sums.refresh().await
    }

    /// Carries out what a person asks.
    ///
    /// Errors: `CommandInvalid`, `PartnerUnknown`, those of the store.
    pub async fn command(&self, command: RegistrationCommand) -> Result<RegistrationsTold, Issue> {
        match command {
            RegistrationCommand::List {} => {}
            RegistrationCommand::Approve { client, partner, who } => {
                if !self.purposes.contains_key(&partner) {
                    let detail = "no partner with an agreement has this name";
                    return Err(Issue::new(Code::PartnerUnknown, detail).at("partner"));
                }
                let client = self.find(&client).await?;
                let approved = |_: Option<&Registration>| {
                    let (client, partner, who) = (client.clone(), partner.clone(), who.clone());
                    Ok(Some(Event::RegistrationApproved { client, partner, who }))
                };
                self.change(&client, &approved).await?;
            }
            RegistrationCommand::Refuse { client, who } => {
                let client = self.find(&client).await?;
                let refused = |_: Option<&Registration>| {
                    let (client, who) = (client.clone(), who.clone());
                    Ok(Some(Event::RegistrationRefused { client, who }))
                };
                self.change(&client, &refused).await?;
            }
        }
        let mut rows: Vec<RegistrationRow> =
            self.sums.all().await?.iter().map(|(stored, one)| self.told(stored, one)).collect();
        rows.sort_by_key(|row| row.state != "registration-waits");
        Ok(RegistrationsTold { rows })
    }

    /// How many wait for a person.
    pub async fn waiting(&self) -> Result<usize, Issue> {
        let rows = self.sums.all().await?;
        Ok(rows.iter().filter(|(_, one)| one.state == RegistrationState::Waiting).count())
    }

    fn told(&self, stored: &StoredWork, one: &Registration) -> RegistrationRow {
        RegistrationRow {
            client: one.client.clone(),
            state: one.state_word().to_owned(),
            partner: self.partner(one).cloned(),
            said: one.said.clone(),
            changed: stored.changed,
        }
    }

    /// The one client whose id begins so, or whose URI this is.
    async fn find(&self, client: &str) -> Result<String, Issue> {
        let rows = self.sums.all().await?;
        let fits = |one: &&(StoredWork, Registration)| {
            one.1.said.uri == client || (!client.is_empty() && one.1.client.starts_with(client))
        };
        let mut found = rows.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some((_, one)), None) => Ok(one.client.clone()),
            (None, _) => {
                Err(Issue::new(Code::CommandInvalid, "no such client registered").at("client"))
            }
            (Some(_), Some(_)) => {
                let detail = "several clients are called so; give the whole client id";
                Err(Issue::new(Code::CommandInvalid, detail).at("client"))
            }
        }
    }

    /// The partner that a registration stands for today.
    fn partner<'a>(&'a self, one: &'a Registration) -> Option<&'a PartnerId> {
        let RegistrationState::Standing { partner, named } = &one.state else { return None };
        let still = !named || self.names(&one.said) == Some(partner);
        (still && self.purposes.contains_key(partner)).then_some(partner)
    }

    fn names(&self, said: &Said) -> Option<&PartnerId> {
        self.named.get(&(said.community.clone(), said.uri.clone()))
    }

    fn stands(&self, one: &Registration) -> Option<Standing> {
        let partner = self.partner(one)?;
        Some(Standing {
            client_id: one.client.clone(),
            partner: partner.to_string(),
            community: one.said.community.clone(),
            uri: one.said.uri.clone(),
            scopes: one.said.scope.split_whitespace().map(str::to_owned).collect(),
            purposes: self.purposes.get(partner).cloned().unwrap_or_default(),
        })
    }

    async fn change(
        &self,
        client: &str,
        change: Change<'_, Registration>,
    ) -> Result<Changed<Registration>, Issue> {
        self.sums.change(client, || self.clock.now(), change).await
    }

    async fn decide(&self, said: Said) -> Result<Decided, Issue> {
        let client = Registration::client_of(&said.community, &said.uri);
        let named = self.names(&said).cloned();
        let known = self.sums.find(&client).await?;
        if named.is_none() && self.is_too_soon(known.as_ref(), &said) {
            return Ok(Decided::TooSoon);
        }
        // Who cancelled begins anew: else whoever asks and cancels by turns may wait beside all others.
        let begins = known.is_none_or(|(_, one)| one.state == RegistrationState::Cancelled);
        if begins && named.is_none() && self.waiting().await? >= REGISTRATIONS_WAITING_MAX {
            return Ok(Decided::Full);
        }
        let asked = |before: Option<&Registration>| {
            let event = Event::RegistrationAsked {
                client: client.clone(),
                said: said.clone(),
                partner: named.clone(),
            };
            // What changes nothing leaves no line, however often it is asked; a refusal holds.
            let same = before.is_some_and(|before| {
                let mut after = before.clone();
                after.apply(&event);
                after == *before || before.state == RegistrationState::Refused
            });
            Ok((!same).then_some(event))
        };
        let (before, after) = self.change(&client, &asked).await?;
        let Some(after) = after else { return Ok(Decided::Waiting) };
        let stood = before.is_some_and(|before| self.stands(&before).is_some());
        Ok(match (self.stands(&after), &after.state) {
            (Some(standing), _) if stood => Decided::Changed(standing),
            (Some(standing), _) => Decided::New(standing),
            (None, RegistrationState::Refused) => Decided::Refused,
            (None, _) => Decided::Waiting,
        })
    }

    /// Whether a client that nobody vouches for says something new sooner than it may.
    fn is_too_soon(&self, known: Option<&(StoredWork, Registration)>, said: &Said) -> bool {
        let Some((stored, known)) = known else { return false };
        let new = match known.state {
            RegistrationState::Waiting => known.said != *said,
            RegistrationState::Cancelled => true,
            RegistrationState::Standing { .. } | RegistrationState::Refused => false,
        };
        let (now, floor) = (self.clock.now(), REGISTRATION_FLOOR);
        let until = stored.changed.checked_add(floor).unwrap_or(stored.changed);
        // What changed later than now did so before the clock was set back.
        new && (stored.changed..until).contains(&now)
    }

    async fn end(&self, community: &str, uri: &str) -> Result<Option<String>, Issue> {
        let client = Registration::client_of(community, uri);
        let cancelled = |before: Option<&Registration>| {
            let registered = before.is_some_and(|before| {
                matches!(
                    before.state,
                    RegistrationState::Standing { .. } | RegistrationState::Waiting
                )
            });
            let client = client.clone();
            Ok(registered.then_some(Event::RegistrationCancelled { client }))
        };
        let (before, after) = self.change(&client, &cancelled).await?;
        let cancelled = after.filter(|after| {
            after.state == RegistrationState::Cancelled && before.as_ref() != Some(after)
        });
        Ok(cancelled.map(|one| one.client))
    }
}

impl Registry for Registrations {
    fn register(&self, said: Said) -> BoxFuture<'_, Result<Decided, Issue>> {
        Box::pin(self.decide(said))
    }

    fn cancel<'a>(
        &'a self,
        community: &'a str,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, Issue>> {
        Box::pin(self.end(community, uri))
    }

    fn current<'a>(&'a self, client_id: &'a str) -> BoxFuture<'a, Result<Option<Standing>, Issue>> {
        Box::pin(async move {
            // A push's id is no client's.
            if !client_id.starts_with("udap-") {
                return Ok(None);
            }
            let found = self.sums.find(client_id).await?;
            // What became of it meanwhile counts.
            Ok(found.and_then(|_| self.standing(client_id)))
        })
    }

    fn standing(&self, client_id: &str) -> Option<Standing> {
        self.sums.known(client_id, |_, one| self.stands(one))?
    }

    fn edition(&self, client_id: &str) -> Option<u64> {
        self.sums.known(client_id, |revision, _| revision)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what was read before a person decided does not count after it.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use exchange::Who;
    use jiff::Timestamp;
    use std::sync::atomic::{AtomicI64, Ordering};
    use store::{House, SqliteHouse};

    /// Seconds since 1970.
    struct Seconds(AtomicI64);

    impl Clock for Seconds {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
        }
    }

    fn clock() -> Arc<Seconds> {
        Arc::new(Seconds(AtomicI64::new(1_800_000_000)))
    }

    fn house(folder: &std::path::Path) -> AnyHouse {
        SqliteHouse::open(folder, &"plan".into()).unwrap().into()
    }

    fn book(house: &AnyHouse, clock: Arc<Seconds>) -> Registrations {
        Registrations {
            sums: Sums::new(house.clone()),
            clock,
            purposes: BTreeMap::from([("clinic".into(), Purposes::new())]),
            named: BTreeMap::new(),
        }
    }

    fn said(uri: &str) -> Said {
        Said {
            community: "urn:example:town".into(),
            uri: uri.into(),
            name: "Clinic".into(),
            contacts: Vec::new(),
            scope: "system/*.cruds".into(),
            certificate: String::new(),
        }
    }

    #[tokio::test]
    async fn no_more_wait_than_people_can_look_at_whoever_cancels_and_asks_again() {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let book = book(&house(folder.path()), Arc::clone(&clock));
        let uri = |number: usize| format!("https://a.example/{number}");
        assert_eq!(book.register(said(&uri(0))).await.unwrap(), Decided::Waiting);
        assert!(book.cancel("urn:example:town", &uri(0)).await.unwrap().is_some());
        for number in 1..=REGISTRATIONS_WAITING_MAX {
            assert_eq!(book.register(said(&uri(number))).await.unwrap(), Decided::Waiting);
        }
        clock.0.fetch_add(60, Ordering::SeqCst);
        for (case, number) in [("a new one", REGISTRATIONS_WAITING_MAX + 1), ("who cancelled", 0)] {
            assert_eq!(book.register(said(&uri(number))).await.unwrap(), Decided::Full, "{case}");
        }
        assert_eq!(book.register(said(&uri(1))).await.unwrap(), Decided::Waiting, "who waits");
        assert_eq!(book.waiting().await.unwrap(), REGISTRATIONS_WAITING_MAX);
    }

    #[tokio::test]
    async fn whom_nobody_vouches_for_writes_a_line_a_minute_at_most() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let house = house(folder.path());
        let book = book(&house, Arc::clone(&clock));
        let uri = "https://clinic.example/app";
        let named = |name: &str| Said { name: name.into(), ..said(uri) };
        let lines = async || house.entries(1, 100).await.unwrap().len();
        assert_eq!(book.register(said(uri)).await.unwrap(), Decided::Waiting);
        let before = lines().await;
        clock.0.fetch_add(59, Ordering::SeqCst);
        assert_eq!(book.register(said(uri)).await.unwrap(), Decided::Waiting, "the same words");
        assert_eq!(book.register(named("Other")).await.unwrap(), Decided::TooSoon);
        assert_eq!(lines().await, before);
        clock.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(book.register(named("Other")).await.unwrap(), Decided::Waiting);
        assert!(book.cancel("urn:example:town", uri).await.unwrap().is_some());
        assert_eq!(book.register(said(uri)).await.unwrap(), Decided::TooSoon);
        assert_eq!(lines().await, before + 2);
        // A clock that is set back shuts nobody out.
        clock.0.fetch_add(-3_600, Ordering::SeqCst);
        assert_eq!(book.register(said(uri)).await.unwrap(), Decided::Waiting);
        // Whom a person let in changes as it likes.
        let who = Who { name: "a".into(), role: "staff".into(), why: "known".into() };
        let (client, partner) = (uri.to_owned(), "clinic".into());
        book.command(RegistrationCommand::Approve { client, partner, who }).await.unwrap();
        for name in ["One", "Two"] {
            let decided = book.register(named(name)).await.unwrap();
            assert!(matches!(decided, Decided::Changed(_)), "{decided:?}");
        }
    }

    #[tokio::test]
    async fn who_was_refused_while_its_row_was_read_does_not_stand_again() {
        let folder = tempfile::tempdir().unwrap();
        let (house, uri) = (house(folder.path()), "https://clinic.example/app");
        let book = book(&house, clock());
        book.register(said(uri)).await.unwrap();
        let who = || Who { name: "a".into(), role: "staff".into(), why: "known".into() };
        let client = || uri.to_owned();
        let (partner, who_said) = ("clinic".into(), who());
        let approve = RegistrationCommand::Approve { client: client(), partner, who: who_said };
        let id = book.command(approve).await.unwrap().rows[0].client.clone();
        // A token request reads the row, a person refuses the client, the request goes on.
        let read_before = house.work(&id).await.unwrap().unwrap();
        let edition = book.edition(&id).unwrap();
        book.command(RegistrationCommand::Refuse { client: client(), who: who() }).await.unwrap();
        let one = serde_json::from_slice(&read_before.work.body).unwrap();
        book.sums.know(&id, read_before.revision, one);
        assert!(book.standing(&id).is_none(), "the word of a person holds");
        assert!(book.current(&id).await.unwrap().is_none());
        // What comes after it counts, as the store has it.
        let approve =
            RegistrationCommand::Approve { client: client(), partner: "clinic".into(), who: who() };
        book.command(approve).await.unwrap();
        assert!(book.standing(&id).is_some());
        assert_ne!(book.edition(&id), Some(edition), "and no token of before the refusal");
        let stored = house.work(&id).await.unwrap().unwrap();
        assert_eq!(book.sums.known(&id, |revision, _| revision), Some(stored.revision));
    }
}
