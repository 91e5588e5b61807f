//! What a row of work says is what its lines in the ledger add up to, and nothing else.

use crate::common::{House, RUNTIME, Stage, who};
use crate::unmatched;
use exchange::desk::{Command, Row};
use exchange::directory::Standing;
use exchange::export::Export;
use exchange::registration::{RegisteredAt, Registration};
use exchange::sending::Sending;
use exchange::submission::Submission;
use exchange::suspension::Suspension;
use exchange::watch::{Watch, WatchRow};
use exchange::{Chain, Entry, Event, Push, Trigger};
use jiff::Timestamp;
use sim::TownPlan;
use std::collections::{BTreeMap, BTreeSet};
use store::{House as _, StoredWork, WorkKind};

type Lines = Vec<(Timestamp, Event)>;

/// Every line of a house, by chain, in order.
fn chains(house: &House) -> BTreeMap<Chain, Lines> {
    const PAGE: u32 = 1_000;
    let memory = house.memory();
    let mut chains: BTreeMap<Chain, Lines> = BTreeMap::new();
    let mut next = 1;
    loop {
        let page: Vec<Entry> = RUNTIME.block_on(memory.entries(next, PAGE)).unwrap();
        let Some(last) = page.last() else { return chains };
        next = last.seq + 1;
        for entry in page {
            let event = entry.event().unwrap();
            chains.entry(entry.chain).or_default().push((entry.at, event));
        }
    }
}

/// Builds every row anew from the house's lines. Answers the state words there are.
pub(crate) fn rows_are_what_their_lines_add_up_to(house: &House) -> BTreeSet<String> {
    let chains = chains(house);
    let mut states = BTreeSet::new();
    let mut named = BTreeSet::new();
    for row in house.works(WorkKind::Push) {
        let chain = Chain::Push(row.work.id.as_str().into());
        let lines = &chains[&chain];
        let push = Push::replay(lines.iter().map(|(at, event)| (*at, event))).unwrap();
        assert_eq!(read::<Push>(&row), push);
        assert_eq!(push.walk.as_str(), row.work.id);
        let (at, _) = lines.last().unwrap();
        assert_eq!(columns(&row), (micros(push.due(*at)), push.state_word()));
        let made = push.assembled.as_ref();
        assert_eq!(row.work.number, made.map(|made| made.number));
        assert_eq!(row.work.label, made.map(|made| made.push.to_string()));
        assert_eq!(row.work.dossier, Some(push.dossier.key()));
        states.insert(format!("push {}", push.state_word()));
        named.insert(chain);
    }
    for row in house.works(WorkKind::Submission) {
        let id = row.work.id.as_str();
        let chain = Chain::Submission(id.into());
        let lines = chains[&chain].iter().map(|(at, event)| (*at, event));
        let submission = Submission::replay(id.into(), lines).unwrap();
        assert_eq!(read::<Submission>(&row), submission);
        assert_eq!(columns(&row), (micros(submission.due()), submission.state_word()));
        states.insert(format!("submission {}", submission.state_word()));
        named.insert(chain);
    }
    let mut triggers = triggers(&chains[&Chain::House]);
    for row in house.works(WorkKind::Trigger) {
        let trigger = triggers.remove(&row.work.id).expect("a row without a line");
        assert_eq!(read::<Trigger>(&row), trigger);
        assert_eq!(columns(&row), (micros(trigger.due), trigger.state_word()));
        states.insert(format!("trigger {}", trigger.state_word()));
    }
    assert!(triggers.is_empty(), "a trigger without a row");
    let mut watches = watches(&chains[&Chain::House]);
    for row in house.works(WorkKind::Watch) {
        let watched: WatchRow = read(&row);
        let watch = watches.remove(&watched.watch.patient).expect("a row without a line");
        assert_eq!(watched.watch, watch);
        assert_eq!(columns(&row), (micros(watched.next), watch.state_word()));
        states.insert(watch.state_word().to_owned());
    }
    assert!(watches.is_empty(), "a watch without a row");
    let mut registrations = registrations(&chains[&Chain::House]);
    for row in house.works(WorkKind::Registration) {
        let line = registrations.remove(&row.work.id).expect("a row without a line");
        let body: serde_json::Value = read(&row);
        assert_eq!(body, line);
    }
    assert!(registrations.is_empty(), "a registration without a row");
    let mut endpoints = endpoints(&chains[&Chain::House]);
    for row in house.works(WorkKind::Endpoint) {
        let standing: Standing = read(&row);
        let known = endpoints.remove(standing.payer.as_str()).expect("a row without a line");
        assert_eq!(standing, known);
        assert_eq!(columns(&row), (None, known.state_word()));
        states.insert(known.state_word().to_owned());
    }
    assert!(endpoints.is_empty(), "an endpoint without a row");
    let said = chains[&Chain::House].iter().filter_map(|(_, event)| Suspension::of(event));
    let mut suspensions: BTreeMap<String, Suspension> =
        said.map(|one| (Suspension::row_id(&one.partner), one)).collect();
    for row in house.works(WorkKind::Partner) {
        let known = suspensions.remove(&row.work.id).expect("a row without a line");
        assert_eq!(read::<Suspension>(&row), known);
        assert_eq!(columns(&row), (None, known.state_word()));
        states.insert(known.state_word().to_owned());
    }
    assert!(suspensions.is_empty(), "a suspension without a row");
    let mut exports = exports(&chains[&Chain::House]);
    for row in house.works(WorkKind::Export) {
        let known = exports.remove(&row.work.id).expect("a row without a line");
        assert_eq!(read::<Export>(&row), known);
        assert_eq!(columns(&row), (micros(known.due()), known.state_word()));
        states.insert(known.state_word().to_owned());
    }
    assert!(exports.is_empty(), "an export without a row");
    for row in house.works(WorkKind::BulkSent) {
        let chain = Chain::Sending(row.work.id.as_str().into());
        let lines = chains[&chain].iter().map(|(at, event)| (*at, event));
        let sending = Sending::replay(lines).unwrap();
        assert_eq!(read::<Sending>(&row), sending);
        assert_eq!(columns(&row), (micros(sending.due()), sending.state_word()));
        states.insert(sending.state_word().to_owned());
        named.insert(chain);
    }
    let others = chains.keys().filter(|chain| !named.contains(chain));
    assert_eq!(others.collect::<Vec<_>>(), [&Chain::House], "a chain without a row");
    states
}

fn triggers(lines: &Lines) -> BTreeMap<String, Trigger> {
    let mut triggers = BTreeMap::new();
    for (at, event) in lines {
        match (Trigger::begin(*at, event), event.trigger()) {
            (Some(trigger), _) => drop(triggers.insert(trigger.id.to_string(), trigger)),
            (None, Some(id)) => {
                let trigger: &mut Trigger = triggers.get_mut(id.as_str()).unwrap();
                trigger.apply(*at, event);
            }
            (None, None) => {}
        }
    }
    triggers
}

fn endpoints(lines: &Lines) -> BTreeMap<String, Standing> {
    let mut endpoints: BTreeMap<String, Standing> = BTreeMap::new();
    for (at, event) in lines {
        let Some(payer) = event.endpoint_of() else { continue };
        match endpoints.get_mut(payer.as_str()) {
            Some(standing) => standing.apply(*at, event),
            None => {
                let begun = Standing::begin(*at, event).expect("an endpoint that did not begin");
                endpoints.insert(payer.to_string(), begun);
            }
        }
    }
    endpoints
}

fn watches(lines: &Lines) -> BTreeMap<String, Watch> {
    let mut watches: BTreeMap<String, Watch> = BTreeMap::new();
    for (_, event) in lines {
        match (event.watched().and_then(|patient| watches.get_mut(patient)), Watch::begin(event)) {
            (Some(watch), _) => watch.apply(event),
            (None, Some(watch)) => drop(watches.insert(watch.patient.clone(), watch)),
            (None, None) => assert!(event.watched().is_none(), "a watch that did not begin"),
        }
    }
    watches
}

/// Clients that registered here, and servers this house registered at, as their rows hold them.
fn registrations(lines: &Lines) -> BTreeMap<String, serde_json::Value> {
    let mut clients: BTreeMap<String, Registration> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    for (_, event) in lines {
        if let Some(at) = RegisteredAt::of(event) {
            let id = RegisteredAt::row_of(&at.endpoint, &at.community);
            rows.insert(id, serde_json::to_value(at).unwrap());
        }
        match event.registering().and_then(|client| clients.get_mut(client)) {
            Some(client) => client.apply(event),
            None => clients.extend(Registration::begin(event).map(|it| (it.client.clone(), it))),
        }
    }
    let clients = clients.into_iter().map(|(id, one)| (id, serde_json::to_value(one).unwrap()));
    rows.into_iter().chain(clients).collect()
}

fn exports(lines: &Lines) -> BTreeMap<String, Export> {
    let mut exports: BTreeMap<String, Export> = BTreeMap::new();
    for (at, event) in lines {
        match event.export().and_then(|id| exports.get_mut(id)) {
            Some(export) => export.apply(*at, event),
            None => exports.extend(Export::begin(*at, event).map(|it| (it.id.clone(), it))),
        }
    }
    exports
}

/// What the store searches by.
fn columns(row: &StoredWork) -> (Option<i64>, &str) {
    (micros(row.work.due), row.work.state.as_str())
}

/// The store's clock counts microseconds.
fn micros(due: Option<Timestamp>) -> Option<i64> {
    due.map(Timestamp::as_microsecond)
}

fn read<T: serde::de::DeserializeOwned>(row: &StoredWork) -> T {
    serde_json::from_slice(&row.work.body).unwrap()
}

#[test]
fn after_a_day_with_everything_in_it_every_row_is_what_its_lines_add_up_to() {
    let (mut stage, town) = day();
    let provider = &stage.provider;
    let states = rows_are_what_their_lines_add_up_to(provider);
    for state in ["due", "held", "refused", "settled", "superseded", "unchanged", "withheld"] {
        assert!(states.contains(&format!("push {state}")), "no push is {state}: {states:?}");
    }
    for state in ["due", "held", "scoped", "withdrawn"] {
        assert!(states.contains(&format!("trigger {state}")), "no trigger is {state}: {states:?}");
    }
    let states = rows_are_what_their_lines_add_up_to(&stage.payers[0]);
    for state in ["held", "filed", "refused"] {
        assert!(states.contains(&format!("submission {state}")), "{state}: {states:?}");
    }
    drop(town);
    stage.stop();
    let all = stage.payers.iter().chain([&stage.provider]);
    all.for_each(|house| drop(rows_are_what_their_lines_add_up_to(house)));
}

/// Two plans, one of which has its doors shut; a restriction; a member not known; a kill.
fn day() -> (Stage, sim::Town) {
    let plan = TownPlan {
        hospitals: 1,
        plans: 2,
        patients_per_hospital: 6,
        encounters_per_patient: 2..=3,
    };
    let (mut stage, town) = Stage::of_town(11, &plan);
    let known = town.planted_unknown_member.as_ref().unwrap().plan;
    stage.payers.swap(0, known);
    stage.serve();
    let encounters = stage.finished();
    // settled, withheld; due: waits for the plan's person.
    stage.provider.push_all(&encounters);
    // unchanged
    stage.provider.push_all(&encounters);
    stage.provider.kill();
    stage.provider.serve();
    let provider = &stage.provider;

    // superseded by its withdrawal; the plan's person refuses another.
    let waiting = || provider.rows().into_iter().filter(|row| row.state == "due");
    let payer = Some(stage.payers[0].name.as_str().into());
    let taken: Vec<_> = waiting().filter(|row| row.partner == payer).collect();
    assert!(taken.len() > 1, "the unknown member has two encounters");
    let take_back = |id: &str| Command::Withdraw { id: id.to_owned(), who: who("no"), wait: 30 };
    provider.ask(&take_back(&taken[0].id)).unwrap();
    let held = unmatched::held(&stage.payers[0]);
    stage.payers[0].ask(&take_back(&held[0].id)).unwrap();
    assert!(!unmatched::held(&stage.payers[0]).is_empty());
    // settled, then withdrawn.
    let is_sent = |row: &Row| row.state == "settled" && row.withdraws.is_none();
    let settled = provider.rows().into_iter().find(is_sent).unwrap();
    provider.ask(&take_back(&settled.id)).unwrap();

    // A trigger that nobody wants any more.
    assert!(provider.push("mistyped").is_empty());
    let mistyped = provider.rows().into_iter().find(|row| row.state == "held").unwrap();
    provider.ask(&take_back(&mistyped.id)).unwrap();

    // A trigger for an encounter that is not there.
    assert!(provider.push("nobody-knows-it").is_empty());

    // refused: as agreed from now on.
    let agreement = format!("agreements/{}.toml", stage.provider.name);
    stage.payers[0].stop();
    stage.payers[0].replace(&agreement, "unmatched = \"hold\"", "unmatched = \"refuse\"");
    stage.payers[0].serve();
    let refused = stage.provider.push(taken[0].subject.as_deref().unwrap()).remove(0);
    assert_eq!(refused.state, "refused");

    // held: the plan's key is no longer the one that was exchanged.
    stage.payers[0].stop();
    let hospital = format!("partners/{}.json", stage.provider.name);
    let jwks = stage.payers[0].public().jwks;
    let text = stage.payers[0].read(&hospital);
    let mut public: serde_json::Value = serde_json::from_str(&text).unwrap();
    public["jwks"] = jwks;
    stage.payers[0].write(&hospital, &public.to_string());
    stage.payers[0].serve();
    stage.provider.stop();
    stage.provider.serve();
    stage.provider.push(settled.subject.as_deref().unwrap());

    // due for as long as one looks: a plan that is away, and an EHR that does not answer.
    let away = stage.payers[1].name.clone();
    stage.payers[1].stop();
    let mut rows = stage.provider.rows().into_iter().filter(is_sent);
    let sent = rows.find(|row| row.partner.as_ref().is_some_and(|it| it.as_str() == away)).unwrap();
    let take_back = Command::Withdraw { id: sent.id, who: who("no"), wait: 5 };
    stage.provider.ask(&take_back).unwrap();
    stage.ehr.stop();
    assert!(stage.provider.push(&encounters[0]).is_empty());
    (stage, town)
}
