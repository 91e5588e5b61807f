//! Reconcile: what became of a part that brought no answer.
//!
//! Comes in   the part as it was sent, and the door's search.
//! Goes out   what of it is there; the rest goes again.
//! Never      sends a create again that the door cannot be asked about, nor anything that the door said
//!            it would do later (202): a person looks.

use crate::deliver;
use crate::door;
use crate::limits::{RECONCILE_IDS_MAX, RECONCILE_PAGES_MAX};
use crate::parts::holding;
use crate::road::{Halt, Road, attempt};
use crate::setup::Payer;
use crate::turn::Turn;
use exchange::ladder::{Carrier, Identity, has_identifier, record_system};
use exchange::limits::UNSURE_WAIT;
use exchange::parts::{Ground, Item, Part, identifier_query};
use exchange::settle::{self, Answered, Next};
use exchange::{Code, Event, Issue};
use fhir::{Bundle, BundleType, Method, Resource};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How an item can be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sought {
    /// By `_id`.
    Id,
    /// By the identifier this house added.
    Identifier,
    /// By what it is about, for Provenances.
    Target,
}

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
    pub(crate) async fn reconcile(
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
        for ((kind, sought), items) in groups(ground, part) {
            for chunk in items.chunks(RECONCILE_IDS_MAX) {
                let query = query(ground, &kind, sought, chunk);
                let query = format!("{query}&_count={}", RECONCILE_IDS_MAX * 2);
                match self.look(turn, payer, &query).await? {
                    Looked::Found(resources) => {
                        asked.extend(chunk.iter().map(|item| item.name()));
                        match_up(ground, chunk, &resources, &mut found);
                    }
                    Looked::Later(next) => return self.not_yet(turn, next).await,
                    Looked::Refused => {}
                }
            }
        }
        self.write_found(turn, ground, part, &found, &asked).await
    }

    /// Where records are that a door filed without naming their place: name and `Type/id`. Without it
    /// nothing could refer to them by the payer's ids, nor change them there.
    pub(crate) async fn places(
        &self,
        turn: &mut Turn,
        payer: &Payer,
        ground: &Ground<'_>,
        items: Vec<Item>,
    ) -> Result<BTreeMap<String, String>, Halt> {
        let part = Part { carrier: ground.rung.carrier, items };
        let mut found = BTreeMap::new();
        for ((kind, sought), items) in groups(ground, &part) {
            for chunk in items.chunks(RECONCILE_IDS_MAX) {
                let query = query(ground, &kind, sought, chunk);
                if let Looked::Found(resources) = self.look(turn, payer, &query).await? {
                    match_up(ground, chunk, &resources, &mut found);
                }
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
        let dark = |item: &&Item| !item.repeatable && !asked.contains(&item.name());
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
        let mut answered = deliver::search(&payer.client, query, turn.now()).await;
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
            answered = deliver::ask(&payer.client, &url, turn.now()).await;
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

/// Items that can be sought, by type and way.
fn groups<'p>(ground: &Ground<'_>, part: &'p Part) -> BTreeMap<(String, Sought), Vec<&'p Item>> {
    let mut groups: BTreeMap<(String, Sought), Vec<&Item>> = BTreeMap::new();
    for item in part.items.iter().filter(|item| item.method != Method::Delete) {
        let offer = ground.rung.offer(&item.kind).copied().unwrap_or_default();
        let named = has_identifier(&item.kind) || item.kind == "Bundle";
        let target = item.kind == "Provenance" && offer.by_target;
        let sought = match item.identity {
            Identity::Conditional | Identity::Server if target && about(item).is_some() => {
                Sought::Target
            }
            Identity::Put if offer.by_id => Sought::Id,
            Identity::Conditional | Identity::Server if named && offer.by_identifier => {
                Sought::Identifier
            }
            _ => continue,
        };
        groups.entry((item.kind.clone(), sought)).or_default().push(item);
    }
    groups
}

/// Which items are there: name and `Type/id` at the payer. A create is known by its mark; an update
/// by its content, for the record was there before.
fn match_up(
    ground: &Ground<'_>,
    items: &[&Item],
    resources: &[Resource],
    found: &mut BTreeMap<String, String>,
) {
    let system = record_system(ground.namespace);
    for resource in resources {
        let Some(at) = resource.id().map(|id| format!("{}/{id}", resource.kind())) else {
            continue;
        };
        let Ok(value) = serde_json::from_slice::<Value>(resource.bytes()) else { continue };
        let marked = |item: &&&Item| match item.identity {
            Identity::Put => resource.kind() == item.kind && resource.id() == Some(&item.id),
            _ if item.kind == "Provenance" => says_the_same(&value, item),
            _ => resource.kind() == item.kind && is_marked(&value, &system, &item.id),
        };
        let Some(item) = items.iter().find(marked) else { continue };
        let known = ground.held.get(&item.name()).is_some_and(|holding| holding.digest.is_some());
        let created = is_create(item) || (item.identity != Identity::Put && !known);
        if created || same(&value, item) {
            found.insert(item.name(), at);
        }
    }
}

/// The search for some items of a type.
fn query(ground: &Ground<'_>, kind: &str, sought: Sought, items: &[&Item]) -> String {
    let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    match sought {
        Sought::Id => format!("{kind}?_id={}", ids.join(",")),
        Sought::Identifier => format!("{kind}?{}", identifier_query(ground.namespace, &ids)),
        Sought::Target => {
            let about: Vec<String> = items.iter().filter_map(|item| about(item)).collect();
            format!("{kind}?target={}", about.join(","))
        }
    }
}

/// What a Provenance is about, by the payer's ids: not a Patient, whom many are about.
fn about(item: &Item) -> Option<String> {
    let body = serde_json::from_slice::<Value>(item.body.as_ref()?).ok()?;
    let all = targets(&body);
    let own = all.iter().find(|target| !target.starts_with("Patient/"));
    own.or(all.first()).cloned()
}

fn targets(provenance: &Value) -> Vec<String> {
    let targets = provenance["target"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = targets.iter().filter_map(|target| target["reference"].as_str());
    // Some servers write references out, with their base or a version.
    let plain = texts.filter_map(|text| {
        let text = text.split_once("/_history/").map_or(text, |(start, _)| start);
        let mut steps = text.rsplit('/');
        let (id, kind) = (steps.next()?, steps.next()?);
        Some(format!("{kind}/{id}"))
    });
    let mut all: Vec<String> = plain.collect();
    all.sort();
    all
}

/// Whether a Provenance is the one that was sent: recorded at the same moment, about the same. Servers
/// keep moments to the millisecond, or to the second.
fn says_the_same(found: &Value, item: &Item) -> bool {
    let sent = item.body.as_ref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let moment = |value: &Value| value["recorded"].as_str()?.parse::<Timestamp>().ok();
    sent.is_some_and(|sent| {
        found["resourceType"] == "Provenance"
            && moment(&sent).zip(moment(found)).is_some_and(|(sent, found)| {
                sent.duration_since(found).unsigned_abs() < Duration::from_secs(1)
            })
            && targets(&sent) == targets(found)
    })
}

fn is_marked(resource: &Value, system: &str, id: &str) -> bool {
    let identifiers = resource["identifier"].as_array().map(Vec::as_slice).unwrap_or_default();
    identifiers.iter().any(|it| it["system"] == system && it["value"] == id)
}

/// Whether a record holds what was sent, what servers add of their own aside.
fn same(found: &Value, item: &Item) -> bool {
    let sent = item.body.as_ref().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let plain = |mut value: Value| {
        if let Some(members) = value.as_object_mut() {
            members.remove("id");
            members.remove("meta");
        }
        value
    };
    sent.is_some_and(|sent| plain(sent) == plain(found.clone()))
}
