//! Parts: a push at a door that is no house of ours, one part after the other.
//!
//! Comes in   an assembled push, what the door offers, what it holds of ours.
//! Goes out   parts sent and answered, each durable before and after; one answer for the whole push.
//! Never      sends a part again that cannot be repeated before it is known what became of it, and
//!            never leaves a rung in silence.
//!
//! Why each part is a stop of its own: progress is what was answered, so that a crash, a wait and a
//! release all go on with what the door does not hold yet.

mod claims;
mod reconcile;
mod sent;
mod unsettled;

pub use claims::Claims;

use crate::limits::{ACCEPTED_WAIT, ACCEPTED_WAIT_MAX, SHARED_CLAIM, SHARED_WAIT};
use crate::revisions::NOBODYS;
use crate::road::{Halt, Road, attempt};
use crate::setup::Payer;
use crate::turn::{Fault, Turn};
use exchange::ladder::{self, Carrier, Offer};
use exchange::limits::{HALVINGS_MAX, UNSURE_WAIT};
use exchange::parts::{
    self, Ground, Held, Holding, Item, Load, Part, Refusal, Said, Step, Verdict,
};
use exchange::push::SMALLER;
use exchange::settle::{self, Answered, Next, Reply};
use exchange::{Code, Event, Issue, Level, PartnerId};
use jiff::Timestamp;
use sent::{Outcome, Stopped};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::House;

impl Road {
    /// What the door offers, where pushes to it go by the ladder; `None`: as one transaction, between
    /// two houses or because so agreed.
    pub(crate) async fn foreign(
        &self,
        payer: &Payer,
        turn: &Turn,
    ) -> Result<Option<Arc<Offer>>, Halt> {
        if !payer.terms.agreement.by_ladder() {
            return Ok(None);
        }
        if let Some((_, issue)) = self.resting(payer, &turn.push).await? {
            return Err(issue.into());
        }
        self.route(payer).await?;
        let lost = || Issue::new(Code::PayerUnreachable, "the payer's door was just forgotten");
        let offer = self.doors.offer(&payer.public.name).ok_or_else(lost)?;
        Ok((!offer.house).then_some(offer))
    }

    /// The payer with the terms as they are at its door, where those leave out what it does not take;
    /// `None`: they leave out nothing.
    pub(crate) fn at_door(&self, payer: &Payer) -> Option<Payer> {
        let offer = self.doors.offer(&payer.public.name)?;
        let terms = payer.terms.at_door(&offer)?;
        Some(Payer { public: payer.public.clone(), terms, carriage: Arc::clone(&payer.carriage) })
    }

    /// *Deliver*, by the ladder: the next part, or the end.
    pub(crate) async fn deliver_parts(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        offer: &Offer,
    ) -> Result<(), Halt> {
        let mut load = Load::read(self.payload(&turn.push).await?)?;
        if load.takes_back() {
            self.learn(turn, &mut load).await?;
        }
        let so_far = turn.push.parts.clone().unwrap_or_default();
        let terms = &payer.terms.agreement.door;
        let rung = ladder::choose(offer, terms, &so_far.shut.iter().cloned().collect())?;
        let held = self.held(&payer.public.name, &load).await?;
        let refused = so_far.refused.iter().cloned().collect();
        let ground = Ground {
            load: &load,
            rung: &rung,
            terms,
            namespace: &self.setup.namespace,
            held: &held,
            refused: &refused,
            begun: so_far.filed > 0,
            halvings: so_far.halvings,
        };
        match parts::next(&ground) {
            Step::Send(part) if so_far.open => self.reconcile(turn, payer, &ground, &part).await,
            Step::Send(part) => match self.unsettled(turn, payer, &part).await? {
                Some(until) => self.wait_for_another(turn, until).await,
                None => self.send_part(turn, payer, &ground, part).await,
            },
            Step::Refuse(refusals) => self.leave_out(turn, refusals).await,
            Step::Done => match self.outdated(&turn.push).await? {
                // What was sent before they changed is taken back.
                Some(restrictions) => self.look_anew(turn, restrictions).await,
                None => self.conclude(turn, &ground).await,
            },
        }
    }

    /// How what is taken back stands at the payer: as the dossier's pushes sent it, the last one last.
    async fn learn(&self, turn: &Turn, load: &mut Load) -> Result<(), Halt> {
        let mut sent: Vec<_> = self.revisions(&turn.push).await?;
        sent.retain(|(_, push)| push.sent);
        sent.sort_by_key(|(_, push)| push.assembled.as_ref().map(|made| made.number));
        for made in sent.iter().filter_map(|(_, push)| push.assembled.as_ref()) {
            if let Some(payload) = self.house.blob(&made.payload).await? {
                load.learn(Load::read(payload)?);
            }
        }
        Ok(())
    }

    /// Another push has to be cleared up first: by what is asked of the door, or by a person.
    async fn wait_for_another(&self, turn: &mut Turn, until: Timestamp) -> Result<(), Halt> {
        let detail = "another push may have brought a record of this one, and nobody knows yet";
        let issue = Issue::new(Code::OutcomeUnknown, detail);
        Ok(self.put_off(turn, until, issue).await?)
    }

    /// What the payer's door holds of a payload and of what it refers to.
    async fn held(&self, payer: &PartnerId, load: &Load) -> Result<Held, store::Error> {
        let records = load.records(&self.setup.namespace);
        let found = self.house.holdings(payer, &records).await?.into_iter().flatten();
        Ok(found.map(|it| (format!("{}/{}", it.kind, it.id), it)).collect())
    }

    async fn leave_out(&self, turn: &mut Turn, refusals: Vec<Refusal>) -> Result<(), Halt> {
        let issues = refusals.iter().flat_map(|it| it.issues.clone()).collect();
        let records = refusals.into_iter().map(|it| it.record).collect();
        turn.say(Event::LeftOut { records, issues });
        Ok(turn.commit("parted").await?)
    }

    /// One part: the intent is durable before, what was filed after.
    async fn send_part(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        part: Part,
    ) -> Result<(), Halt> {
        let place = self.rooms.partner(&turn.push.dossier.payer).await;
        if let Some(restrictions) = self.outdated(&turn.push).await? {
            return self.look_anew(turn, restrictions).await;
        }
        if !self.claim_shared(turn, ground, &part).await? {
            drop(place);
            let until = turn.now().saturating_add(SHARED_WAIT).unwrap_or(Timestamp::MAX);
            let detail = "another push is bringing the payer a record that both hold";
            let issue = Issue::new(Code::PayerResting, detail);
            return Ok(self.put_off(turn, until, issue).await?);
        }
        if let Some((until, issue)) = self.knock(payer, &turn.push).await? {
            drop(place);
            return Ok(self.put_off(turn, until, issue).await?);
        }
        let client = self.client_for(payer, turn.push.purpose).await?;
        let made = turn.push.assembled.clone().ok_or(Fault::Unreadable)?;
        let number = turn.push.parts.as_ref().map_or(0, |parts| parts.answered) + 1;
        turn.say(Event::Intended {
            attempt: turn.push.attempt + 1,
            endpoint: client.base_url().to_owned(),
            key: format!("{}/{number}", made.push),
            part: Some(number),
        });
        unsettled::mark(turn, &part);
        turn.commit("intended").await?;
        let outcome = self.send(turn, payer, ground, &part).await?;
        drop(place);
        (self.setup.passed)("sent");
        self.note(turn, payer, ground, number, part.items.len(), outcome).await
    }

    /// Records that are no patient's are brought by many pushes. Two at once could make two of them,
    /// or put the older content over the newer: the first to claim what it is to replace goes, the
    /// others wait until it is known or the claim runs out.
    async fn claim_shared(
        &self,
        turn: &mut Turn,
        ground: &Ground<'_>,
        part: &Part,
    ) -> Result<bool, Halt> {
        let shared = part.items.iter().filter(|item| NOBODYS.contains(&item.kind.as_str()));
        let marks = shared.map(|item| {
            let name = item.name();
            let known = ground.held.get(&name).map_or(0, |holding| holding.as_of.as_microsecond());
            format!("{name}@{known}")
        });
        let marks: BTreeSet<String> = marks.collect();
        let scope = format!("door|{}", turn.push.dossier.payer);
        let now = turn.now();
        let until = now.saturating_add(SHARED_CLAIM).unwrap_or(now);
        for mark in marks {
            if self.claims.by(&scope, &mark) == Some(turn.push.walk.clone()) {
                continue;
            }
            // Who claimed it stands beside the claim, so that a house that was ended goes on with its
            // own.
            let own = format!("{mark} {}", turn.push.walk);
            if self.house.first_use(&scope, &mark, until, now).await? {
                self.house.first_use(&scope, &own, until, now).await?;
            } else if !self.house.used(&scope, &own, now).await? {
                return Ok(false);
            }
            self.claims.note(&scope, &mark, &turn.push.walk);
        }
        Ok(true)
    }

    /// Writes down what a part has come to, and what is next.
    async fn note(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        part: u32,
        items: usize,
        outcome: Outcome,
    ) -> Result<(), Halt> {
        let Outcome { said, raw: (status, body), stop } = outcome;
        let unsure =
            matches!(stop, Some(Stopped::Answered { sure: false, .. } | Stopped::Accepted { .. }));
        let answer = turn.keep(body);
        if said.is_empty() && status > 0 {
            turn.say(Event::Answered { status, answer });
        }
        if !said.is_empty() {
            let (filed, refused, issues) = sorted(turn, ground, &said);
            let words: Vec<(String, Said)> =
                said.into_iter().map(|(item, said, _)| (item.name(), said)).collect();
            let said = turn.keep(parts::said_bundle(ground.namespace, &words));
            turn.say(Event::Parted { part, status, answer, said, filed, refused, issues, unsure });
        } else if !unsure {
            turn.say(Event::Reconciled { found: 0, missing: items as u64 });
        }
        match stop {
            None => {}
            Some(Stopped::Wait((until, issue))) => {
                return Ok(self.put_off(turn, until, issue).await?);
            }
            Some(Stopped::Accepted { records, wait }) => accepted(turn, records, wait),
            Some(Stopped::Unkept { from, status }) => {
                self.doors.forget(&turn.push.dossier.payer);
                turn.say(Event::SteppedDown { from, status });
            }
            Some(Stopped::Answered {
                answered: Answered::Reply(Reply { status: 413, .. }),
                ..
            }) if ground.halvings < HALVINGS_MAX && items > 1 => {
                turn.say(Event::SteppedDown { from: SMALLER.to_owned(), status: 413 });
            }
            Some(Stopped::Answered { answered, sure }) => {
                self.wait_for(turn, payer, &answered, sure)?;
            }
        }
        Ok(turn.commit("parted").await?)
    }

    /// What an answer to no record in particular leads to.
    fn wait_for(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        answered: &Answered,
        sure: bool,
    ) -> Result<(), Halt> {
        let push = turn.push.clone();
        let now = turn.now();
        let odd = matches!(answered, Answered::Reply(Reply { status: 200..=299, .. }))
            || matches!(answered, Answered::TooLarge);
        let again = push.issues.iter().any(|issue| issue.code == Code::AnswerUnreadable);
        let earliest = now.saturating_add(UNSURE_WAIT).unwrap_or(now);
        let unreadable =
            Issue::new(Code::AnswerUnreadable, "the payer's answer is not one to what was sent");
        let next = match odd {
            true if again => Next::Hold(vec![unreadable]),
            true => Next::Retry { at: earliest, issue: unreadable },
            false => settle::settle(answered, &attempt(&push, payer)?, now),
        };
        match next {
            Next::Retry { at, mut issue } => {
                if *answered == Answered::Unknown {
                    let detail = "the payer gave no whole answer; what became of it is asked next";
                    issue = Issue::new(Code::PayerUnreachable, detail);
                }
                let until = if sure { at } else { at.max(earliest) };
                turn.say(Event::Delayed { until, issue });
            }
            Next::Hold(issues) | Next::Refused(issues) => {
                self.doors.forget(&push.dossier.payer);
                turn.say(Event::Held { issues });
            }
            Next::Settled(_) | Next::Poll { .. } | Next::Fetch { .. } => {
                return Err(Fault::Unreadable.into());
            }
        }
        Ok(())
    }

    /// The end: one answer for the whole push, in the order of its payload.
    async fn conclude(&self, turn: &mut Turn, ground: &Ground<'_>) -> Result<(), Halt> {
        let so_far = turn.push.parts.clone().unwrap_or_default();
        let mut said = Vec::with_capacity(so_far.said.len());
        for digest in &so_far.said {
            said.extend(self.house.blob(digest).await?);
        }
        let own = by_record(ground.load, &so_far.refused, &so_far.issues);
        let answer = turn.keep(parts::combine(ground, &said, &own));
        turn.say(Event::Answered { status: 200, answer });
        if so_far.refused.is_empty() {
            let level = match ground.rung.carrier {
                Carrier::Collection => Level::Taken,
                _ => Level::Filed,
            };
            turn.say(Event::Settled { level });
        } else {
            self.doors.forget(&turn.push.dossier.payer);
            turn.say(Event::Held { issues: so_far.issues });
        }
        Ok(turn.commit("answered").await?)
    }
}

/// What the door does later it is asked for later, by a search: whatever it says meanwhile, and where, is
/// no word on these records.
fn accepted(turn: &mut Turn, records: Vec<String>, wait: Option<Duration>) {
    let wait = wait.unwrap_or(ACCEPTED_WAIT).clamp(UNSURE_WAIT, ACCEPTED_WAIT_MAX);
    let now = turn.now();
    let until = now.saturating_add(wait).unwrap_or(now);
    let detail = "the payer took the request to do it later; what became of it is asked then";
    let issue = Issue::new(Code::OutcomeUnknown, detail);
    turn.say(Event::Accepted { records, until, issue });
}

/// What was filed is held at the door from now on; what was refused is named by its place in the
/// payload.
fn sorted(
    turn: &mut Turn,
    ground: &Ground<'_>,
    said: &[(Item, Said, Verdict)],
) -> (u64, Vec<String>, Vec<Issue>) {
    let (mut filed, mut refused, mut issues) = (0, Vec::new(), Vec::new());
    for (item, _, verdict) in said {
        match verdict {
            Verdict::Filed(at) => {
                let before = ground.held.get(&item.name()).and_then(|it| it.at.clone());
                turn.hold(holding(item, at.clone().or(before), ground.load.as_of));
                filed += 1;
            }
            Verdict::Refused(why) => {
                let place = place(ground.load, &item.name());
                issues.extend(why.iter().map(|issue| issue.clone().at(place.clone())));
                refused.push(item.name());
            }
            Verdict::TooLarge => {
                let detail = "the payer's door takes no record as large as this one";
                let issue = Issue::new(Code::PayloadTooLarge, detail);
                issues.push(issue.at(place(ground.load, &item.name())));
                refused.push(item.name());
            }
            Verdict::Unkept | Verdict::Unsure => {}
        }
    }
    (filed, refused, issues)
}

/// What the door holds once an item is filed.
fn holding(item: &Item, at: Option<String>, as_of: Timestamp) -> Holding {
    let (kind, id) = (item.kind.clone(), item.id.clone());
    Holding { kind, id, at, digest: item.digest, as_of }
}

/// The place of a record in the payload.
fn place(load: &Load, name: &str) -> String {
    match load.pieces.iter().position(|piece| piece.name() == name) {
        Some(at) => format!("Bundle.entry[{at}]"),
        None => "Bundle".to_owned(),
    }
}

/// The issues of each record that was refused.
fn by_record(load: &Load, refused: &[String], issues: &[Issue]) -> BTreeMap<String, Vec<Issue>> {
    let of = |name: &String| {
        let place = place(load, name);
        let own = issues.iter().filter(|issue| issue.expression.as_deref() == Some(&place));
        let own: Vec<Issue> = own.cloned().collect();
        let fallback = || vec![Issue::new(Code::PayerRefused, "this record was refused")];
        (name.clone(), if own.is_empty() { fallback() } else { own })
    };
    refused.iter().map(of).collect()
}
