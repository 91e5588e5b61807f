//! Reconcile: what became of a part that brought no answer.
//!
//! Comes in   the part as it was sent, and the door's search.
//! Goes out   what of it is there; the rest goes again.
//! Never      sends a create again that the door cannot be asked about, nor anything that the door said
//!            it would do later (202): a person looks.

use super::holding;
use crate::deliver;
use crate::door;
use crate::limits::RECONCILE_PAGES_MAX;
use crate::road::{Halt, Road, attempt};
use crate::setup::Payer;
use crate::turn::Turn;
use exchange::ladder::Carrier;
use exchange::limits::{SOUGHT_IDS_MAX, UNSURE_WAIT};
use exchange::parts::{self, Ground, Item, Part, Search};
use exchange::settle::{self, Answered, Next};
use exchange::{Code, Event, Issue};
use fhir::{Bundle, BundleType, Method, Resource};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What a search came to.
enum Looked {
    /// These are there.
    Found(Vec<Resource>),
    /// No answer yet.
    Later(Next),
    /// The door does not let itself be asked.
    Refused,
}

impl Road {
    /// Asks the door which records of a part are there, and with which content.
    pub(super) async fn reconcile(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        part: &Part,
    ) -> Result<(), Halt> {
        let _place = self.rooms.partner(&turn.push.dossier.payer).await;
        if let Some((until, issue)) = self.knock(payer, &turn.push).await? {
            return Ok(self.put_off(turn, until, issue).await?);
        }
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut asked: BTreeSet<String> = BTreeSet::new();
        for Search { query, items } in parts::searches(ground, &part.items) {
            let query = format!("{query}&_count={}", SOUGHT_IDS_MAX * 2);
            match self.look(turn, payer, &query).await? {
                Looked::Found(resources) => {
                    asked.extend(items.iter().map(|item| item.name()));
                    found.extend(parts::found(ground, &items, &resources));
                }
                Looked::Later(next) => return self.not_yet(turn, next).await,
                Looked::Refused => {}
            }
        }
        self.write_found(turn, ground, part, &found, &asked).await
    }

    /// Where records are that a door filed without naming their place: name and `Type/id`. Without it
    /// nothing could refer to them by the payer's ids, nor change them there.
    pub(super) async fn places(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        items: &[Item],
    ) -> Result<BTreeMap<String, String>, Halt> {
        let mut found = BTreeMap::new();
        for Search { query, items } in parts::searches(ground, items) {
            if let Looked::Found(resources) = self.look(turn, payer, &query).await? {
                found.extend(parts::found(ground, &items, &resources));
            }
        }
        Ok(found)
    }

    async fn write_found(
        &self,
        turn: &mut Turn,
        ground: &Ground<'_>,
        part: &Part,
        found: &BTreeMap<String, String>,
        asked: &BTreeSet<String>,
    ) -> Result<(), Halt> {
        // A transaction was filed as a whole or not at all: what the door did not hold before tells
        // of the others, and so does an update that stands there now. One that does not may have
        // been put into other words there, and tells nothing.
        let known =
            |item: &Item| ground.held.get(&item.name()).is_some_and(|it| it.digest.is_some());
        let is_there = |item: &&Item| found.contains_key(&item.name());
        let sought = part.items.iter().filter(|item| asked.contains(&item.name()));
        let (old, fresh): (Vec<&Item>, Vec<&Item>) = sought.partition(|item| known(item));
        let whole = part.carrier == Carrier::Transaction;
        let all = whole
            && match fresh.is_empty() {
                true => old.iter().any(is_there),
                false => fresh.iter().all(is_there),
            };
        let told = whole && (all || !fresh.is_empty());
        let dark = |item: &&Item| item.makes_anew() && !asked.contains(&item.name());
        if !told && part.items.iter().any(|item| dark(&item)) {
            let detail = "the payer gave no whole answer to a request that must not be sent twice";
            turn.say(Event::Held { issues: vec![Issue::new(Code::OutcomeUnknown, detail)] });
            return Ok(turn.commit("parted").await?);
        }
        let mut count = 0;
        for item in &part.items {
            let at = found.get(&item.name()).cloned();
            if at.is_some() || (all && is_create(item)) {
                turn.hold(holding(item, at, ground.load.as_of));
                count += 1;
            }
        }
        let missing = part.items.len() as u64 - count;
        let accepted = turn.push.parts.as_ref().map(|parts| parts.accepted.clone());
        let is_there = |name: &String| {
            let item = part.items.iter().find(|item| item.name() == *name);
            item.is_some_and(|item| found.contains_key(name) || (all && is_create(item)))
        };
        let awaited = accepted.unwrap_or_default().iter().any(|name| !is_there(name));
        turn.say(Event::Reconciled { found: count, missing });
        if awaited {
            let detail = "the payer took a request to do it later (202), and not all of it is there; \
                          it may be at work on it still, so that nothing of it goes again by itself";
            turn.say(Event::Held { issues: vec![Issue::new(Code::OutcomeUnknown, detail)] });
        }
        Ok(turn.commit("parted").await?)
    }

    async fn not_yet(&self, turn: &mut Turn, next: Next) -> Result<(), Halt> {
        match next {
            Next::Retry { at, issue } => turn.say(Event::Delayed { until: at, issue }),
            Next::Hold(issues) | Next::Refused(issues) => turn.say(Event::Held { issues }),
            Next::Settled(_) | Next::Poll { .. } | Next::Fetch { .. } => {
                let detail = "the payer answers a search by something else";
                let issue = Issue::new(Code::OutcomeUnknown, detail);
                turn.say(Event::Held { issues: vec![issue] });
            }
        }
        Ok(turn.commit("parted").await?)
    }

    /// One search, all its pages.
    async fn look(&self, turn: &mut Turn, payer: &Payer, query: &str) -> Result<Looked, Halt> {
        let mut resources = Vec::new();
        let client = payer.client_for(turn.push.purpose);
        let mut answered = deliver::search(&client, query, turn.now()).await;
        for _ in 0..RECONCILE_PAGES_MAX {
            self.report(payer, door::answered(&answered)).await?;
            let Answered::Reply(reply) = &answered else {
                return Ok(Looked::Later(self.next(turn, payer, &answered)?));
            };
            if matches!(reply.status, 401 | 408 | 425 | 429 | 500..) {
                return Ok(Looked::Later(self.next(turn, payer, &answered)?));
            }
            let bundle = Bundle::parse(reply.body.clone()).ok();
            let bundle =
                bundle.filter(|it| reply.status == 200 && it.kind == BundleType::Searchset);
            let Some(bundle) = bundle else { return Ok(unreadable(turn, reply.status)) };
            resources.extend(bundle.entries.into_iter().filter_map(|entry| entry.resource));
            let next = bundle.links.into_iter().find(|(relation, _)| relation == "next");
            let Some((_, url)) = next else { return Ok(Looked::Found(resources)) };
            answered = deliver::ask(&client, &url, turn.now()).await;
        }
        Ok(Looked::Found(resources))
    }

    fn next(&self, turn: &mut Turn, payer: &Payer, answered: &Answered) -> Result<Next, Halt> {
        let push = turn.push.clone();
        Ok(settle::settle(answered, &attempt(&push, payer)?, turn.now()))
    }
}

/// A search whose answer is no list. What cannot be read may have been garbled on its way, and is
/// asked for once more; whoever says so again does not let itself be asked.
fn unreadable(turn: &mut Turn, status: u16) -> Looked {
    let again = turn.push.issues.iter().any(|issue| issue.code == Code::AnswerUnreadable);
    if status != 200 || again {
        return Looked::Refused;
    }
    let detail = "the payer's answer to a search is no list";
    let issue = Issue::new(Code::AnswerUnreadable, detail);
    let at = turn.now().saturating_add(UNSURE_WAIT).unwrap_or(Timestamp::MAX);
    Looked::Later(Next::Retry { at, issue })
}

fn is_create(item: &Item) -> bool {
    item.method == Method::Post
}
