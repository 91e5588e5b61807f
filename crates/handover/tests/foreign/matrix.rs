//! Goal: eight profiles and every fault, at the first write and in the middle of a push: nothing
//! twice, nothing lost, everything settled or held with its reason and deadline.

#![allow(clippy::unwrap_used)]

use super::chart::{ENCOUNTERS, PLANS};
use super::hospital::{HEALTHY, Hospital, Source, TRIED};
use exchange::Code;
use exchange::desk::Row;
use jiff::Timestamp;
use sim::payer::{
    Abilities, Arrived, FAULTS, Fault, ForeignPayer, Offer, PayerPlan, Planned, Profile, Schedule,
    Traffic,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use wire::SystemClock;

/// Seconds in which a payer in good order has everything, whatever ails the other. Pushes that bring
/// it the same record wait for each other for a moment.
const SOON: i64 = 20;

pub(crate) async fn start(abilities: Abilities, schedule: Vec<Planned>) -> ForeignPayer {
    let plan = PayerPlan {
        abilities,
        schedule: Schedule(schedule),
        sign_in: None,
        tls: None,
        clock: Arc::new(SystemClock),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    ForeignPayer::start(plan, listener).unwrap()
}

/// How often each resource of the source arrived, by `meta.source`.
pub(crate) fn sources(arrived: &Arrived) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for resource in arrived.resources() {
        let mut source = resource["meta"]["source"].as_str().unwrap_or_default().to_owned();
        // Each plan has Coverages of its own.
        for plan in PLANS {
            source = source.replace(plan, "plan");
        }
        // Pushes are numbered by payer: their own Provenances are counted, not compared.
        let name = match resource["resourceType"].as_str().unwrap_or_default() {
            "Provenance" => "Provenance".to_owned(),
            kind => format!("{kind} {source}"),
        };
        *found.entry(name).or_default() += 1;
    }
    found
}

/// One case, played to its end.
struct Played {
    case: String,
    rows: Vec<Row>,
    /// What was planned, and no request came to.
    unmet: Vec<Planned>,
    /// The healthy payer's pushes had to wait.
    disturbed: bool,
    tried: Arrived,
    healthy: Arrived,
    words: String,
    began: Timestamp,
    /// Until when each push of the tried payer is to be settled.
    deadlines: BTreeMap<String, Timestamp>,
    /// What a release of the held ones came to: state and codes before, state and codes after.
    released: Vec<(Vec<Code>, String, Vec<Code>)>,
}

/// Why a push may be held here: what became of it cannot be known, it waited too long for another one
/// of which that holds, or its answer or the door's statement cannot be read.
const HOLDS: [Code; 4] =
    [Code::OutcomeUnknown, Code::DeadlinePassed, Code::AnswerUnreadable, Code::CapabilityMissing];

impl Played {
    async fn play(
        source: &Source,
        profile: Profile,
        abilities: Abilities,
        planned: Vec<Planned>,
    ) -> Played {
        let case = format!("{} with {planned:?}", profile.name());
        let tried = start(abilities, planned.clone()).await;
        let healthy = start(Abilities::default(), Vec::new()).await;
        let collections = profile == Profile::CollectionOnly;
        let hospital = Hospital::open(source, &tried, &healthy, collections);
        for encounter in ENCOUNTERS {
            hospital.push(encounter).await;
        }
        let first = hospital.work_for(SOON).await;
        let disturbed = first.iter().any(|row| of(row, HEALTHY) && row.state != "settled");
        let mut words = String::new();
        if disturbed {
            words.push_str(&hospital.told(&first).await);
        }
        let rows = hospital.work_to_the_end().await;
        words.push_str(&hospital.told(&rows).await);
        let mut deadlines = BTreeMap::new();
        for row in rows.iter().filter(|row| of(row, TRIED)) {
            deadlines.insert(row.id.clone(), hospital.deadline(&row.id).await);
        }
        for request in tried.arrived().requests {
            words.push_str(&format!("  {request:?}\n"));
        }
        let (arrived, healthy) = (tried.arrived(), healthy.arrived());
        let mut released = Vec::new();
        let held = rows.iter().filter(|row| of(row, TRIED) && row.state == "held");
        for row in held {
            hospital.release(&row.id).await;
            let after = hospital.work_to_the_end().await;
            let after = after.into_iter().find(|it| it.id == row.id).unwrap();
            released.push((codes(row), after.state.clone(), codes(&after)));
        }
        let (began, tried) = (hospital.began(), arrived);
        let met = |planned: &Planned| tried.count(planned.traffic) as u64 >= planned.from;
        let unmet = planned.into_iter().filter(|planned| !met(planned)).collect();
        Played { case, rows, unmet, disturbed, tried, healthy, words, began, deadlines, released }
    }

    fn tried(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| of(row, TRIED))
    }

    /// What must hold whatever happened; the faults found.
    fn faults(&self, profile: Profile) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |what: String| faults.push(what);
        if self.disturbed {
            say("the other lane is disturbed".to_owned());
        }
        if self.tried().count() != ENCOUNTERS.len() {
            say("a push is missing".to_owned());
        }
        for row in self.tried() {
            // A held push says why, and what its deadline is.
            let why = row.issues.iter().all(|it| HOLDS.contains(&it.issue.code));
            let held = row.state == "held" && !row.issues.is_empty() && why;
            if row.state == "held" && self.deadlines.get(&row.id).is_none_or(|it| *it <= self.began)
            {
                say(format!("{:?} is held without a deadline", row.subject));
            }
            if row.state != "settled" && !held {
                say(format!("{:?} is {} without a reason", row.subject, row.state));
            }
        }
        for (before, state, after) in &self.released {
            // A person who lets it go has looked: what is unknown may go again.
            if state != "settled" && !(state == "held" && before == after) {
                say(format!("held for {before:?}, a release left it {state} for {after:?}"));
            }
        }
        let expected = sources(&self.healthy);
        let found = sources(&self.tried);
        let collected = profile == Profile::CollectionOnly;
        for (name, count) in &found {
            let most = expected.get(name).copied().unwrap_or(0);
            if most == 0 {
                say(format!("{name} arrived, and was not to"));
            } else if *count > most && !collected {
                say(format!("{name} arrived {count} times"));
            }
        }
        if self.tried().all(|row| row.state == "settled") {
            for name in expected.keys().filter(|name| !found.contains_key(*name)) {
                say(format!("{name} was lost"));
            }
            let few = found.get("Provenance") != expected.get("Provenance");
            if few && !collected {
                say(format!("{:?} Provenances", found.get("Provenance")));
            }
        }
        for twins in &self.tried.twins {
            say(format!("the same stands twice: {twins:?}"));
        }
        for idle in &self.tried.idle {
            say(format!("a version that changes nothing: {idle}"));
        }
        for dangling in &self.tried.dangling {
            say(format!("a reference to nothing: {dangling}"));
        }
        faults
    }
}

pub(crate) fn of(row: &Row, payer: &str) -> bool {
    row.partner.as_ref().is_some_and(|partner| partner.as_str() == payer)
}

fn codes(row: &Row) -> Vec<Code> {
    row.issues.iter().map(|it| it.issue.code).collect()
}

/// Whether nobody knows by the answer what became of a write. Where the server cannot be asked
/// either, a person is needed.
fn is_unknown(fault: Fault) -> bool {
    !matches!(fault, Fault::TooManyRequests(_) | Fault::Slow)
}

/// Plays every fault at each of these writes of a profile.
async fn matrix(profile: Profile, writes: &[u64]) {
    matrix_of(profile, profile.abilities(), writes).await;
}

async fn matrix_of(profile: Profile, abilities: Abilities, writes: &[u64]) {
    let unasked = !abilities.offers.contains(&Offer::Search);
    let mut cases: Vec<Case> = vec![(Vec::new(), false)];
    for fault in FAULTS {
        let at = |write: &u64| vec![Planned::at(Traffic::Write, *write, fault)];
        cases.extend(writes.iter().map(|write| (at(write), unasked && is_unknown(fault))));
    }
    play_all(profile, abilities, cases).await;
}

/// What goes wrong, and whether it may take a person to clear it up.
type Case = (Vec<Planned>, bool);

/// Plays cases, some at once, and tells all that is wrong.
async fn play_all(profile: Profile, abilities: Abilities, cases: Vec<Case>) {
    let source = Arc::new(Source::open().await);
    let mut wrong = Vec::new();
    for some in cases.chunks(5) {
        let played = some.iter().map(|(planned, may_be_held)| {
            let (source, may_be_held) = (Arc::clone(&source), *may_be_held);
            let (abilities, planned) = (abilities.clone(), planned.clone());
            let play = async move { Played::play(&source, profile, abilities, planned).await };
            tokio::spawn(async move { (may_be_held, play.await) })
        });
        for played in played.collect::<Vec<_>>() {
            let (may_be_held, played) = played.await.unwrap();
            let mut faults = played.faults(profile);
            faults.extend(played.unmet.iter().map(|it| format!("{it:?} was never met")));
            let held = played.tried().filter(|row| row.state == "held").count();
            if held > 0 && !may_be_held {
                faults.push(format!("{held} held, and nobody was needed"));
            }
            if !faults.is_empty() {
                wrong.push((faults, played));
            }
        }
    }
    let list = wrong.iter().map(|(faults, played)| format!("{}: {faults:#?}\n", played.case));
    let list: String = list.collect();
    // One story is enough to read at a time.
    let story = wrong.first().map_or("", |(_, played)| &played.words);
    assert!(wrong.is_empty(), "{} of {} cases:\n{list}\n{story}", wrong.len(), cases.len());
}

/// Every fault at the statement, and every fault at the searches after a write without an answer.
async fn asking(profile: Profile) {
    // Something that is no statement at all is for a person to look at.
    let statement = FAULTS
        .map(|fault| (vec![Planned::at(Traffic::Statement, 1, fault)], fault == Fault::WrongJson));
    let search = FAULTS.map(|fault| {
        let cut = Planned::at(Traffic::Write, 1, Fault::CutAfterBody);
        // The first ones ask for the versions.
        (vec![cut, Planned::at(Traffic::Read, 3, fault)], false)
    });
    let cases = statement.into_iter().chain(search);
    play_all(profile, profile.abilities(), cases.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_statement_or_a_search_fails() {
    asking(Profile::PutRefused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_statement_or_a_search_fails_and_ids_are_given() {
    asking(Profile::PostOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_puts_are_refused() {
    matrix(Profile::PutRefused, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_conditions_are_refused() {
    matrix(Profile::ConditionalRefused, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_batches_are_taken() {
    matrix(Profile::BatchOnly, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_posts_are_taken() {
    matrix(Profile::PostOnly, &[1, 4, 12]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_posts_are_taken_and_nothing_can_be_asked() {
    let mut abilities = Profile::PostOnly.abilities();
    abilities.offers.remove(&Offer::Search);
    abilities.offers.remove(&Offer::Read);
    matrix_of(Profile::PostOnly, abilities, &[1, 4, 12]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_single_requests_are_taken() {
    matrix(Profile::SingleOnly, &[1, 4, 12]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_collections_are_taken() {
    matrix(Profile::CollectionOnly, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_goes_by_the_book() {
    matrix(Profile::Strict, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_answered_the_first_time() {
    matrix(Profile::Silent, &[1, 2]).await;
}
