//! Pushing: triggers every finished encounter, and waits until all pushes rest.
//!
//! Comes in   running hospitals, encounters.
//! Goes out   one row per push, as the hospitals list them.
//! Never      more than a bounded number of triggers on their way to one house.

use super::houses::{Houses, Running};
use super::scene::Scene;
use super::teller::{Progress, Teller};
use crate::caller::ask;
use crate::limits::{DEMO_LOOK, DEMO_QUIET, DEMO_REST_MAX, DEMO_TRIGGERS, LIST_ROWS_MAX};
use exchange::desk::{Command, Reply, Row};
use exchange::{Code, Issue, Who};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wire::FhirClient;

/// What became of everything that was pushed: rows by hospital, in the order of the scene.
pub(super) struct Pushed {
    pub(super) rows: Vec<Vec<Row>>,
    pub(super) triggered: usize,
}

impl Pushed {
    /// All rows.
    pub(super) fn all(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flatten()
    }
}

/// Whether all that is still due waits for a plan's person: either taken there, or behind such a
/// push of the same patient, and nothing has changed for a while.
fn rests(due: &[Row]) -> bool {
    let now = Timestamp::now();
    let quiet = |row: &Row| now.duration_since(row.changed).unsigned_abs() > DEMO_QUIET;
    let behind = |row: &Row| {
        let taken = due.iter().any(|other| is_taken(other) && other.partner == row.partner);
        row.kind == "push" && row.issues.is_empty() && taken
    };
    due.iter().all(|row| is_taken(row) || (behind(row) && quiet(row)))
        && (due.is_empty() || due.iter().all(quiet))
}

/// Taken by the plan, whose word is to come.
pub(super) fn is_taken(row: &Row) -> bool {
    let later = row.next_at.is_some_and(|at| at > row.changed);
    later && row.state == "due" && row.kind == "push" && row.resources > 0 && row.issues.is_empty()
}

/// Pushes everything.
pub(super) async fn push_all(
    scene: &Scene,
    houses: &Houses,
    teller: &Teller,
) -> Result<Pushed, Issue> {
    let progress = teller.progress(scene.encounters());
    let mut pushing = JoinSet::new();
    for (house, hospital) in houses.hospitals.iter().zip(&scene.hospitals) {
        let (client, encounters) = (Arc::clone(&house.client), hospital.encounters.clone());
        let progress = progress.clone();
        pushing.spawn(async move { trigger_all(&client, encounters, &progress).await });
    }
    while let Some(pushed) = pushing.join_next().await {
        pushed.map_err(|_| Issue::new(Code::InternalError, "pushing was broken off"))??;
    }
    let began = Instant::now();
    for house in &houses.hospitals {
        while !all_rest(house).await? && began.elapsed() < DEMO_REST_MAX {
            sleep(DEMO_LOOK).await;
        }
    }
    progress.end();
    let mut rows = Vec::new();
    for house in &houses.hospitals {
        rows.push(list(house, &[]).await?);
    }
    Ok(Pushed { rows, triggered: scene.encounters() })
}

async fn trigger_all(
    client: &Arc<FhirClient>,
    encounters: Vec<String>,
    progress: &Progress,
) -> Result<(), Issue> {
    let mut under_way: JoinSet<Result<Reply, Issue>> = JoinSet::new();
    for encounter in encounters {
        if under_way.len() >= DEMO_TRIGGERS {
            check_joined(under_way.join_next().await)?;
            progress.step();
        }
        let client = Arc::clone(client);
        under_way.spawn(async move {
            let who = Who {
                name: "demo".to_owned(),
                role: "system".to_owned(),
                why: "the encounter is finished".to_owned(),
            };
            ask(
                &client,
                &Command::Push {
                    subject: encounter,
                    purpose: None,
                    who,
                    wait: 0,
                    asynchronous: false,
                },
            )
            .await
        });
    }
    while let Some(joined) = under_way.join_next().await {
        check_joined(Some(joined))?;
        progress.step();
    }
    Ok(())
}

fn check_joined(
    joined: Option<Result<Result<Reply, Issue>, tokio::task::JoinError>>,
) -> Result<(), Issue> {
    match joined {
        Some(Ok(reply)) => reply.map(drop),
        Some(Err(_)) => Err(Issue::new(Code::InternalError, "a trigger was broken off")),
        None => Ok(()),
    }
}

async fn all_rest(house: &Running) -> Result<bool, Issue> {
    Ok(rests(&list(house, &["due"]).await?))
}

/// Waits for a plan's late word, until nothing of the house is due or the time is over.
pub(super) async fn await_word(house: &Running, until: Instant) -> Result<Vec<Row>, Issue> {
    loop {
        let due = list(house, &["due"]).await?;
        let next = due.iter().filter(|row| is_taken(row)).filter_map(|row| row.next_at).min();
        let wait = next.map(|at| at.duration_since(Timestamp::now()));
        let late = wait
            .is_some_and(|wait| wait.is_positive() && Instant::now() + wait.unsigned_abs() > until);
        if due.is_empty() || late || Instant::now() > until {
            return Ok(due);
        }
        sleep(DEMO_LOOK).await;
    }
}

/// The rows of a house.
pub(super) async fn list(house: &Running, states: &[&str]) -> Result<Vec<Row>, Issue> {
    let states = states.iter().map(|state| (*state).to_owned()).collect();
    match ask(&house.client, &Command::List { states, limit: Some(LIST_ROWS_MAX) }).await? {
        Reply::Listed { rows, .. } => Ok(rows),
        _ => Err(Issue::new(Code::AnswerUnreadable, "a house answered a list with something else")),
    }
}
