//! Endpoint: which of a payer's endpoints is used, as directories say, and until when.
//!
//! Comes in   the directories in their order; what is written down of the payer's endpoint.
//! Goes out   an endpoint that somebody vouches for; one unit with a line for all that was learnt.
//! Never      asks twice for what is written down and holds, in this process or after a restart. Never
//!            hands out an endpoint whose identity nobody vouches for.
//!
//! Why a row of work: it is the sum of its lines, as every row is, and all processes of a house see it.

use crate::directory::Named;
use crate::limits::{DIRECTORY_RETRY, DOOR_AGE_MAX};
use crate::road::Road;
use crate::setup::Payer;
use exchange::desk::{Door, EndpointTold};
use exchange::directory::{Answer, Crosswalk, Standing, Stated, Vouched};
use exchange::endpoint::{Choice, Sought, choose};
use exchange::{Chain, Code, Event, Issue, PartnerId, Purpose, Push, Who, capability};
use jiff::Timestamp;
use repository::store_issue;
use store::{Commit, Expect, House, StoredWork, Unit, Work, WorkKind};
use wire::Clock as _;
use wire::{BoxFuture, FhirClient};

/// A standing with its row, if it was written.
type Kept = (Standing, Option<StoredWork>);

/// What directories answered, in the order asked.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) words: Vec<(String, String)>,
    pub(crate) down: Option<Issue>,
    pub(crate) found: Option<(Named, Choice)>,
    /// What those said that named none.
    pub(crate) none: Choice,
}

impl Road {
    /// The payer's endpoint, and how it came to be used; none of the latter where it is configuration.
    ///
    /// Errors: `EndpointUnknown`, `EndpointUnconfirmed`, `DirectoryUnreachable`.
    pub(crate) async fn endpoint(
        &self,
        payer: &Payer,
    ) -> Result<(String, Option<EndpointTold>), Issue> {
        if let Some(pinned) = self.directories.only_pinned() {
            return Ok((Box::pin(self.pinned(pinned, payer)).await?, None));
        }
        let name = &payer.public.name;
        let now = self.clock.now();
        let fresh = |read: Timestamp, standing: &Standing| {
            standing.is_fresh(now) && now.duration_since(read).unsigned_abs() < DOOR_AGE_MAX
        };
        let known = self.directories.remembered(name);
        let standing = match known.filter(|it| fresh(it.read, &it.standing)) {
            Some(known) => known.standing,
            None => Box::pin(self.learnt(payer, now)).await?,
        };
        let told = Box::pin(self.vouched_for(payer, &standing)).await;
        if told.is_err() {
            // A person may have approved it elsewhere: it is read anew the next time.
            self.directories.forget(name);
        }
        told.map(|(base_url, told)| (base_url, Some(told)))
    }

    async fn pinned(&self, pinned: &Named, payer: &Payer) -> Result<String, Issue> {
        let name = &payer.public.name;
        let sought = Sought { payer: Some(name.clone()), ..Sought::default() };
        let listing = pinned.directory.find(&sought, self.clock.now()).await?;
        let found = listing.candidates.into_iter().next().map(|it| it.address);
        found.ok_or_else(|| Issue::new(Code::PartnerUnknown, format!("no partner is named {name}")))
    }

    /// A client for the payer's door as it is now.
    pub(crate) async fn client_for(
        &self,
        payer: &Payer,
        purpose: Purpose,
    ) -> Result<FhirClient, Issue> {
        let (base_url, _) = self.endpoint(payer).await?;
        payer.client_for(&base_url, purpose)
    }

    /// The same, signed in for every purpose that was agreed: to see whether it can be.
    pub(crate) async fn client_for_all(&self, payer: &Payer) -> Result<FhirClient, Issue> {
        let (base_url, _) = self.endpoint(payer).await?;
        let client = payer.carriage.client(&base_url)?;
        let purposes = payer.terms.agreement.purposes.iter().copied().collect();
        Ok(client.for_purposes(&purposes))
    }

    /// What is written down, or what directories say now.
    async fn learnt(&self, payer: &Payer, now: Timestamp) -> Result<Standing, Issue> {
        let name = &payer.public.name;
        let _turn = self.directories.turn(name).await;
        if let Some(stored) = self.standing_of(name).await?
            && stored.0.is_fresh(now)
        {
            self.directories.remember(now, stored.0.clone());
            return Ok(stored.0);
        }
        self.ask_anew(payer, now).await.map(|(standing, _)| standing)
    }

    /// Asks the directories, whatever is written down, and writes down what they say.
    pub(crate) async fn ask_anew(
        &self,
        payer: &Payer,
        now: Timestamp,
    ) -> Result<(Standing, Asked), Issue> {
        let name = &payer.public.name;
        let sought = self.sought(payer)?;
        let stored = self.standing_of(name).await?;
        let asked = self.ask(&sought, now).await;
        let known = stored.as_ref().map(|(standing, _)| standing);
        // While nobody can tell, what is known and holds goes on holding.
        if asked.down.is_some()
            && let Some(known) = known.filter(|it| it.endpoint().is_some() && it.is_fresh(now))
        {
            return Ok((known.clone(), asked));
        }
        let event = match (&asked.found, &asked.down) {
            (Some((named, choice)), down) if down.is_none() || !is_usable(known, named, now) => {
                found_event(name, named, choice.clone(), now)
            }
            (found, Some(issue)) => match self.until_stale(known, now) {
                Some(until) => {
                    Event::EndpointKept { payer: name.clone(), until, issue: issue.clone() }
                }
                None => match found {
                    Some((named, choice)) => found_event(name, named, choice.clone(), now),
                    None => return Err(issue.clone()),
                },
            },
            (_, None) => {
                let missing = self.directories.order.iter().map(|it| it.keeps.missing).min();
                let until = later(now, missing.unwrap_or(crate::limits::DIRECTORY_MISSING));
                let directory = "none".to_owned();
                let answer = Answer { directory, choice: asked.none.clone(), until };
                Event::EndpointFound { payer: name.clone(), answer: Box::new(answer) }
            }
        };
        let standing = self.write_down(stored, now, vec![event]).await?;
        Ok((standing, asked))
    }

    /// Asks one directory after the other, until one names an endpoint that would do.
    pub(crate) async fn ask(&self, sought: &Sought, now: Timestamp) -> Asked {
        let mut asked = Asked::default();
        for named in &self.directories.order {
            let listing = match named.directory.find(sought, now).await {
                Ok(listing) => listing,
                Err(issue) => {
                    asked.words.push((named.name.clone(), issue.detail.clone()));
                    asked.down.get_or_insert(issue);
                    continue;
                }
            };
            let choice = choose(&listing, &named.wanted, now);
            let words = match &choice.chosen {
                Some(chosen) => format!("names {}", chosen.endpoint.address),
                None if listing.payers.is_empty() => "does not know it".to_owned(),
                None => format!("lists {} endpoints, none that would do", choice.rejected.len()),
            };
            asked.words.push((named.name.clone(), words));
            if choice.chosen.is_some() {
                asked.found = Some((named.clone(), choice));
                break;
            }
            let called = |it: String| format!("{}: {it}", named.name);
            asked.none.rejected.extend(choice.rejected);
            asked.none.notes.extend(choice.notes.into_iter().map(called));
        }
        asked
    }

    /// What directories are asked for: the public file, and the table of payers as it is now.
    pub(crate) fn sought(&self, payer: &Payer) -> Result<Sought, Issue> {
        Ok(self.crosswalk()?.sought(&payer.public))
    }

    /// The table of payers; none is an empty one.
    pub(crate) fn crosswalk(&self) -> Result<Crosswalk, Issue> {
        let Some(place) = &self.directories.crosswalk else { return Ok(Crosswalk::default()) };
        let name = place.display().to_string();
        match std::fs::read_to_string(place) {
            Ok(text) => Crosswalk::parse(&text, &name, &self.partners()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Crosswalk::default()),
            Err(_) => {
                Err(Issue::new(Code::ConfigInvalid, "the table of payers cannot be read").at(name))
            }
        }
    }

    /// Until when an old answer may be used while directories are away: for a while, and never beyond
    /// its bound.
    fn until_stale(&self, known: Option<&Standing>, now: Timestamp) -> Option<Timestamp> {
        let known = known.filter(|it| it.endpoint().is_some())?;
        let named = self.directories.order.iter().find(|it| it.name == known.answer.directory);
        let bound = later(known.answer.until, named?.keeps.stale);
        (now < bound).then(|| later(now, DIRECTORY_RETRY).min(bound))
    }

    /// Whether anybody vouches for the endpoint in use.
    async fn vouched_for(
        &self,
        payer: &Payer,
        standing: &Standing,
    ) -> Result<(String, EndpointTold), Issue> {
        let name = &payer.public.name;
        let Some(endpoint) = standing.endpoint() else {
            let choice = &standing.answer.choice;
            let why = match choice.rejected.len() {
                0 => choice.notes.first().cloned().unwrap_or_default(),
                count => format!("{count} are listed, and none would do"),
            };
            let detail = format!("no directory names an endpoint of {name}: {why}");
            return Err(Issue::new(Code::EndpointUnknown, detail));
        };
        if let Some(vouched) = self.who_vouches(payer, standing).await {
            let told = EndpointTold::of(standing, vouched);
            return Ok((endpoint.address.clone(), told));
        }
        let what = match standing.before {
            Some(_) => "another endpoint than before, or other certificates,",
            None => "an endpoint that was not used before",
        };
        let detail = format!(
            "directory {} names {what} for {name}, and nobody vouches for it (identity {})",
            standing.answer.directory,
            endpoint.identity()
        );
        Err(Issue::new(Code::EndpointUnconfirmed, detail).at(endpoint.address.clone()))
    }

    pub(crate) async fn who_vouches(&self, payer: &Payer, standing: &Standing) -> Option<Vouched> {
        let vouched = standing.vouched(&payer.public.base_url);
        match (vouched, standing.endpoint()) {
            (None, Some(endpoint)) => {
                self.directories.vouches.vouches(&payer.public, endpoint).await
            }
            (vouched, _) => vouched,
        }
    }

    /// The door is not where it was: directories are asked anew, though not time and again.
    async fn endpoint_lost(
        &self,
        payer: &Payer,
        base_url: &str,
        issue: &Issue,
    ) -> Result<bool, Issue> {
        if self.directories.only_pinned().is_some() {
            return Ok(false);
        }
        let name = &payer.public.name;
        let now = self.clock.now();
        let Some(stored) = self.standing_of(name).await? else { return Ok(false) };
        let standing = &stored.0;
        let same = standing.endpoint().is_some_and(|it| it.address == base_url);
        let lately = now.duration_since(standing.since) < DIRECTORY_RETRY;
        if !same || lately || !standing.is_fresh(now) {
            return Ok(!same);
        }
        let event = Event::EndpointLost {
            payer: name.clone(),
            endpoint: base_url.to_owned(),
            issue: issue.clone(),
        };
        self.write_down(Some(stored), now, vec![event]).await?;
        self.directories.forget(name);
        Ok(true)
    }

    /// The same, on the heap: it is rare.
    pub(crate) fn lost<'a>(
        &'a self,
        payer: &'a Payer,
        base_url: &'a str,
        issue: &'a Issue,
    ) -> BoxFuture<'a, Result<bool, Issue>> {
        Box::pin(self.endpoint_lost(payer, base_url, issue))
    }

    /// The same after an answer: a door that says that it is not there (404, 410).
    pub(crate) async fn lost_by(&self, payer: &Payer, base_url: &str, status: u16) {
        if !matches!(status, 404 | 410) {
            return;
        }
        let issue =
            Issue::new(Code::PayerUnreachable, format!("the payer's door answers {status}"));
        if let Err(issue) = self.lost(payer, base_url, &issue).await {
            tracing::warn!(code = issue.code.row().slug, "a lost endpoint is not written down");
        }
    }

    /// Writes down what a door said of itself, where that is new.
    pub(crate) async fn note_statement(&self, payer: &Payer, door: &Door) -> Result<(), Issue> {
        let name = &payer.public.name;
        let Some(declared) = self.doors.declared(name) else { return Ok(()) };
        let digest = declared.digest();
        if self.directories.is_noted(name, &door.base_url, digest) {
            return Ok(());
        }
        let now = self.clock.now();
        let stored = self.standing_of(name).await?;
        let before = stored.as_ref().and_then(|(standing, _)| standing.statement.clone());
        let before = before.filter(|it| it.endpoint == door.base_url);
        if before.as_ref().is_none_or(|it| it.digest != digest) {
            let facts = declared.facts();
            let changed = before.map(|it| capability::drift(&it.facts, &facts));
            let stated = Stated {
                endpoint: door.base_url.clone(),
                digest,
                since: now,
                changed: changed.unwrap_or_default(),
                facts,
            };
            let event = Event::DoorStated { payer: name.clone(), stated: Box::new(stated) };
            self.write_down(stored, now, vec![event]).await?;
        }
        self.directories.noted(name, &door.base_url, digest);
        Ok(())
    }

    /// A person says that the endpoint in use is the payer's; what waited for that goes on.
    pub(crate) async fn approve(
        &self,
        payer: &Payer,
        identity: Option<exchange::Digest>,
        who: Who,
    ) -> Result<exchange::desk::EndpointApproved, Issue> {
        let name = payer.public.name.clone();
        let stored = self.standing_of(&name).await?;
        let known = stored.as_ref().and_then(|(standing, _)| standing.endpoint().cloned());
        let Some(endpoint) = known else {
            let detail = "no directory has named an endpoint of it; see `handover directory find`";
            return Err(Issue::new(Code::NotWaiting, detail).at("payer"));
        };
        if identity.is_some_and(|identity| identity != endpoint.identity()) {
            let detail = "the endpoint in use has another identity by now; look again";
            return Err(Issue::new(Code::NotWaiting, detail).at("identity"));
        }
        let (address, identity) = (endpoint.address.clone(), endpoint.identity());
        let event = Event::EndpointApproved {
            payer: name.clone(),
            endpoint: address.clone(),
            identity,
            who: who.clone(),
        };
        self.write_down(stored, self.clock.now(), vec![event]).await?;
        let waits = |push: &Push| push.issues.iter().any(|it| it.code == Code::EndpointUnconfirmed);
        let released = self.release_where(Some(&name), waits, &who).await?;
        Ok(exchange::desk::EndpointApproved { payer: name, endpoint: address, identity, released })
    }

    /// What is written down of a payer's endpoint.
    pub(crate) async fn standing_of(&self, payer: &PartnerId) -> Result<Option<Kept>, Issue> {
        let row = self.house.work(&row_id(payer)).await.map_err(store_issue)?;
        let Some(row) = row else { return Ok(None) };
        let standing = serde_json::from_slice(&row.work.body).map_err(|_| {
            Issue::new(Code::InternalError, "what is written down of an endpoint cannot be read")
        })?;
        Ok(Some((standing, Some(row))))
    }

    /// Writes lines and the row that they add up to. Where another process was first, what it wrote
    /// counts.
    async fn write_down(
        &self,
        stored: Option<Kept>,
        at: Timestamp,
        events: Vec<Event>,
    ) -> Result<Standing, Issue> {
        let mut row = None;
        let mut standing: Option<Standing> = None;
        if let Some((known, stored)) = stored {
            (standing, row) = (Some(known), stored);
        }
        for event in &events {
            match &mut standing {
                Some(standing) => standing.apply(at, event),
                None => standing = Standing::begin(at, event),
            }
        }
        let lost = || Issue::new(Code::InternalError, "an endpoint that did not begin");
        let standing = standing.ok_or_else(lost)?;
        let id = row_id(&standing.payer);
        let expect =
            row.as_ref().map_or(Expect::WorkRevision { id, revision: None }, StoredWork::unchanged);
        let unit = Unit {
            at,
            expects: vec![expect],
            lines: events.into_iter().map(|event| (Chain::House, event)).collect(),
            works: vec![work(&standing)],
            ..Unit::default()
        };
        let standing = match self.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => standing,
            _ => self
                .standing_of(&standing.payer)
                .await?
                .map(|(standing, _)| standing)
                .ok_or_else(lost)?,
        };
        self.directories.remember(at, standing.clone());
        Ok(standing)
    }
}

/// Whether what is known may be used rather than what a later directory says.
fn is_usable(known: Option<&Standing>, named: &Named, now: Timestamp) -> bool {
    known.is_some_and(|known| {
        let theirs = known.endpoint().is_some() && known.answer.directory != named.name;
        theirs && now < later(known.answer.until, named.keeps.stale)
    })
}

fn found_event(payer: &PartnerId, named: &Named, choice: Choice, now: Timestamp) -> Event {
    let until = later(now, named.keeps.found);
    let answer = Answer { directory: named.name.clone(), choice, until };
    Event::EndpointFound { payer: payer.clone(), answer: Box::new(answer) }
}

fn later(now: Timestamp, by: jiff::SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn row_id(payer: &PartnerId) -> String {
    format!("endpoint.{payer}")
}

/// The row of a payer's endpoint: no clock has work on it, and it is no push of the partner's.
fn work(standing: &Standing) -> Work {
    let (id, lane) = (row_id(&standing.payer), format!("endpoint|{}", standing.payer));
    let body = serde_json::to_vec(standing).unwrap_or_default();
    Work { lane, ..Work::of(WorkKind::Endpoint, id, standing.state_word(), body) }
}
