//! Pushing: everything through the sending house's API, a few at a time, until nothing is due.
//!
//! Comes in   the operator's client, and what to push.
//! Goes out   per plan, pushes by state and resources that were sent.
//! Never      waits for ever: when nothing has moved for a while, what is still due is told as that.

use crate::houses::Setting;
use exchange::desk::{Command, Reply};
use exchange::{Push, Who};
use futures_util::{StreamExt, stream};
use handover::caller;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::StoredWork;
use wire::FhirClient;

/// Pushes on their way at once.
const AT_ONCE: usize = 8;

/// Seconds that the house is to wait for the end of one push before the next one is asked for.
const WAIT: u32 = 120;

/// How often it is asked whether something is still due, and for how long without a change.
const LOOK: Duration = Duration::from_secs(2);
const LOOKS_MAX: u32 = 450;

/// What became of a plan's pushes.
#[derive(Default)]
pub(crate) struct Told {
    /// Resources in what was settled.
    pub(crate) resources: u64,
    /// Pushes by state; what is held with its reasons.
    pub(crate) states: BTreeMap<String, u64>,
}

/// Pushes all, in their order: each place waits for the end of one before it asks for the next; or,
/// `queued`, all are asked for at first, as a watch does.
/// In bulk all are asked for at first, too.
pub(crate) async fn push_all(client: &FhirClient, subjects: &[String], setting: &Setting) {
    let wait = if setting.queued || setting.bulk { 0 } else { WAIT };
    let push = |subject: &String| {
        let who = Who {
            name: "bench".to_owned(),
            role: "staff".to_owned(),
            why: "to see what it costs".to_owned(),
        };
        let command = Command::Push {
            subject: subject.clone(),
            purpose: None,
            who,
            wait,
            asynchronous: setting.bulk,
        };
        async move { caller::ask(client, &command).await.err() }
    };
    let refused: Vec<_> =
        stream::iter(subjects).map(push).buffer_unordered(AT_ONCE).collect().await;
    let refused: Vec<_> = refused.into_iter().flatten().collect();
    if let Some(first) = refused.first() {
        println!("{} pushes were not taken; the first: {first}", refused.len());
    }
    let (mut last, mut looks) = (None, 0);
    while looks <= LOOKS_MAX {
        let due = due(client).await;
        if due == 0 {
            return;
        }
        looks = if last == Some(due) { looks + 1 } else { 0 };
        last = Some(due);
        tokio::time::sleep(LOOK).await;
    }
}

/// How many pushes are due, or with the plan.
async fn due(client: &FhirClient) -> u64 {
    let list = Command::List { states: Vec::new(), limit: Some(1) };
    match caller::ask(client, &list).await.expect("a list") {
        Reply::Listed { counts, .. } => {
            let moves =
                counts.iter().filter(|(state, _)| ["due", "submitted"].contains(&state.as_str()));
            moves.map(|(_, count)| *count).sum()
        }
        other => panic!("no list: {other:?}"),
    }
}

/// What became of each plan's pushes, from the rows of a house that has stopped.
pub(crate) fn by_plan(rows: Vec<StoredWork>) -> BTreeMap<String, Told> {
    let mut plans: BTreeMap<String, Told> = BTreeMap::new();
    for row in rows {
        let name = row.work.partner.map_or_else(|| "nobody".to_owned(), |name| name.to_string());
        let push: Push = serde_json::from_slice(&row.work.body).expect("a push");
        let plan = plans.entry(name).or_default();
        if row.work.state == "settled" {
            plan.resources += push.assembled.map_or(0, |made| made.resources);
        }
        let codes: BTreeSet<_> =
            push.issues.iter().map(|issue| issue.code.row().slug.to_owned()).collect();
        let reasons = codes.into_iter().filter(|_| row.work.state == "held");
        let state =
            [row.work.state.clone()].into_iter().chain(reasons).collect::<Vec<_>>().join(" ");
        *plan.states.entry(state).or_default() += 1;
    }
    plans
}
