//! Pushing: everything through the sending house's API, a few at a time, until nothing is due.
//!
//! Comes in   the operator's client, and what to push.
//! Goes out   per plan, pushes by state and resources that were sent.
//! Never      waits for ever: when nothing has moved for a while, what is still due is told as that.

use exchange::Who;
use exchange::desk::{Command, Reply, Row};
use futures_util::{StreamExt, stream};
use handover::caller;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::FhirClient;

/// Pushes on their way at once.
const AT_ONCE: usize = 8;

/// Seconds that the house is to wait for the end of one push before the next one is asked for.
const WAIT: u32 = 120;

/// Rows of a list: more than there are.
const ROWS: u32 = 1_000_000;

/// How often it is asked whether something is still due, and for how long without a change.
const LOOK: Duration = Duration::from_secs(2);
const LOOKS_MAX: u32 = 60;

/// What became of a plan's pushes.
#[derive(Default)]
pub(crate) struct Told {
    /// Resources in what was settled.
    pub(crate) resources: u64,
    /// Pushes by state.
    pub(crate) states: BTreeMap<String, u64>,
}

/// Pushes all, in their order: each place waits for the end of one before it asks for the next; or,
/// `queued`, all are asked for at first, as a watch does.
pub(crate) async fn push_all(
    client: &FhirClient,
    subjects: &[String],
    queued: bool,
) -> BTreeMap<String, Told> {
    let wait = if queued { 0 } else { WAIT };
    let push = |subject: &String| {
        let who = Who {
            name: "bench".to_owned(),
            role: "staff".to_owned(),
            why: "to see what it costs".to_owned(),
        };
        let command = Command::Push { subject: subject.clone(), purpose: None, who, wait };
        async move { caller::ask(client, &command).await.err() }
    };
    let refused: Vec<_> =
        stream::iter(subjects).map(push).buffer_unordered(AT_ONCE).collect().await;
    let refused: Vec<_> = refused.into_iter().flatten().collect();
    if let Some(first) = refused.first() {
        println!("{} pushes were not taken; the first: {first}", refused.len());
    }
    let mut last = None;
    let mut looks = 0;
    loop {
        let rows = rows(client).await;
        let due = rows.iter().filter(|row| row.state == "due").count();
        looks = if last == Some(due) { looks + 1 } else { 0 };
        if due == 0 || looks > LOOKS_MAX {
            return by_plan(rows);
        }
        last = Some(due);
        tokio::time::sleep(LOOK).await;
    }
}

async fn rows(client: &FhirClient) -> Vec<Row> {
    let list = Command::List { states: Vec::new(), limit: Some(ROWS) };
    match caller::ask(client, &list).await.expect("a list") {
        Reply::Listed { rows, .. } => rows,
        other => panic!("no list: {other:?}"),
    }
}

fn by_plan(rows: Vec<Row>) -> BTreeMap<String, Told> {
    let mut plans: BTreeMap<String, Told> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.kind == "push") {
        let name = row.partner.map_or_else(|| "nobody".to_owned(), |name| name.to_string());
        let plan = plans.entry(name).or_default();
        if row.state == "settled" {
            plan.resources += row.resources;
        }
        *plan.states.entry(row.state).or_default() += 1;
    }
    plans
}
