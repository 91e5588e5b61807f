//! Caller: carries out a command, by the running house or on its store.
//!
//! Comes in   a configuration and a command.
//! Goes out   the house's reply, the same either way.
//! Never      works on a store that another process holds: it asks that process instead.

use crate::config;
use crate::house::{Desk, Opened, operator_client};
use crate::knock::knock;
use crate::limits::{COMMAND_TIMEOUT, WALK_LOOK};
use bytes::Bytes;
use exchange::desk::{Command, Reply, RestrictionCommand, Row, SubmissionCommand};
use exchange::{Code, Issue};
use jiff::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use wire::{ClientError, FhirClient, TransportError};

/// Carries out a command where the house is: running, or only on its disk.
///
/// `wait` bounds how long a command that walks the road is walked; see `Command`.
pub async fn carry_out(
    config: &Arc<config::House>,
    command: Command,
    wait: Duration,
) -> Result<Reply, Issue> {
    // A database server lets everybody in: whoever runs the house is asked first all the same, so
    // that its work stays where it is.
    if config.file.database.is_some() && knock(&config.file.base_url, None).await.is_ok() {
        return by_the_house(config, &command, wait).await;
    }
    let opened = match needs_memory_only(&command) {
        true => Opened::open_memory(Arc::clone(config)).await,
        false if matches!(command, Command::Probe { .. }) => {
            Opened::open_partners(Arc::clone(config)).await
        }
        false => Opened::open(Arc::clone(config)).await,
    };
    match opened {
        Ok(opened) => on_the_store(opened, command, wait).await,
        Err(issue) if issue.code == Code::HouseLocked => by_the_house(config, &command, wait).await,
        Err(issue) => Err(issue),
    }
}

/// What is carried out on what the house remembers and on its own tables: it needs no agreement, and no
/// partner's nor the EHR's certificate. A patient's wish must not wait until somebody mends those, nor must a
/// partner that is to be stopped.
fn needs_memory_only(command: &Command) -> bool {
    matches!(
        command,
        Command::List { .. }
            | Command::Show { .. }
            | Command::Restriction(_)
            | Command::Partner(_)
            | Command::Backup { .. }
            | Command::Verify { .. }
    )
}

/// Carried out by the process that runs the house.
async fn by_the_house(
    config: &config::House,
    command: &Command,
    wait: Duration,
) -> Result<Reply, Issue> {
    let client = operator_client(config, COMMAND_TIMEOUT + wait)?;
    let released = matches!(command, Command::Release { .. });
    let reply = ask(&client, command).await?;
    until_rest(async |look| ask(&client, &look).await, reply, released, wait).await
}

/// Asks a running house over its API.
pub async fn ask(client: &FhirClient, command: &Command) -> Result<Reply, Issue> {
    let body = serde_json::to_vec(command)
        .map_err(|_| Issue::new(Code::InternalError, "a command cannot be written as JSON"))?;
    let answer = client.post(command.name(), "application/json", Bytes::from(body)).await;
    let answer = answer.map_err(|error| unanswered(&error))?;
    if answer.status().is_success() {
        return serde_json::from_slice(answer.body()).map_err(|_| unreadable());
    }
    Err(issue_of(answer.body()).unwrap_or_else(unreadable))
}

fn unreadable() -> Issue {
    Issue::new(Code::AnswerUnreadable, "the running house answered what this version cannot read")
}

/// Why a house that is held by somebody does not answer.
fn unanswered(error: &ClientError) -> Issue {
    tracing::debug!(%error, "the house's API");
    match error {
        ClientError::SignIn(sign_in) if !sign_in.is_passing() => {
            let detail =
                "the running house refuses the operator's key; was it started with another?";
            Issue::new(Code::CredentialRefused, detail).at("keys.operator")
        }
        ClientError::Transport(TransportError::Unknown(_)) => {
            let detail = "the running house took the command, but no answer came";
            Issue::new(Code::HouseLocked, detail)
        }
        _ => {
            let detail = "another process holds this house, and nothing answers at its address";
            Issue::new(Code::HouseLocked, detail)
        }
    }
}

/// The first issue of an OperationOutcome of ours, in its own words.
fn issue_of(body: &[u8]) -> Option<Issue> {
    let outcome: Value = serde_json::from_slice(body).ok()?;
    let told = &outcome["issue"][0];
    let code = Code::from_slug(told["details"]["coding"][0]["code"].as_str()?)?;
    let issue = Issue::new(code, told["details"]["text"].as_str()?);
    Some(match told["expression"][0].as_str() {
        Some(place) => issue.at(place),
        None => issue,
    })
}

/// Carries a command out on the store. Where it sets something going, the road is walked here
/// until nothing is due or the wait is over.
async fn on_the_store(opened: Opened, command: Command, wait: Duration) -> Result<Reply, Issue> {
    let opened = Arc::new(opened);
    let sets_going = matches!(
        command,
        Command::Push { .. } | Command::Release { .. } | Command::Withdraw { .. }
    );
    // A look at a payer's door is a line as well: its statement was first seen, or has changed.
    let writes = !matches!(
        command,
        Command::List { .. }
            | Command::Show { .. }
            | Command::Watch {}
            | Command::Reload {}
            | Command::Partner(exchange::desk::PartnerCommand::List {})
            | Command::Submission(
                SubmissionCommand::List { .. }
                    | SubmissionCommand::Show { .. }
                    | SubmissionCommand::Pushes { .. }
            )
            | Command::Restriction(RestrictionCommand::List {})
            | Command::Verify { .. }
    );
    if writes {
        opened.confirm_ledger().await?;
    }
    let reply = match &opened.desk {
        Desk::Provider { road, wake, .. } if sets_going && !wait.is_zero() => {
            let (stop, mut stopped) = watch::channel(false);
            let (road, wake) = (Arc::clone(road), Arc::clone(wake));
            let worker = tokio::spawn(async move {
                let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
                provider::worker::run(road, wake, stop).await;
            });
            let desk = &opened.desk;
            let released = matches!(command, Command::Release { .. });
            let look = async |look| desk.command(look).await;
            let reply = match desk.command(command).await {
                Ok(reply) => until_rest(look, reply, released, wait).await,
                refused => refused,
            };
            stop.send_replace(true);
            worker.await.ok();
            reply
        }
        _ => opened.command(command).await,
    };
    if writes {
        opened.checkpoint().await?;
    }
    reply
}

/// A release is answered at once; what it set going is looked at until it rests or the wait is
/// over. What has come to rest already is returned as it is.
async fn until_rest(
    ask: impl AsyncFn(Command) -> Result<Reply, Issue>,
    reply: Reply,
    released: bool,
    wait: Duration,
) -> Result<Reply, Issue> {
    // A push and a withdrawal have been waited for where they were carried out.
    let end = Instant::now() + if released { wait } else { Duration::ZERO };
    let Reply::Pushed { trigger, mut rows, issues, left_alone } = reply else { return Ok(reply) };
    while rows.iter().any(is_due_now) && Instant::now() < end {
        tokio::time::sleep(WALK_LOOK).await;
        for row in &mut rows {
            if let Reply::Shown(shown) =
                ask(Command::Show { id: row.id.clone(), page: false }).await?
            {
                *row = shown.row;
            }
        }
    }
    Ok(Reply::Pushed { trigger, rows, issues, left_alone })
}

/// Due now, and not waiting for a later attempt or a partner's late word.
fn is_due_now(row: &Row) -> bool {
    row.state == "due" && row.next_at.is_none_or(|at| at <= Timestamp::now())
}

#[cfg(test)]
mod tests {
    //! Goal: an issue that a running house answers reads here as it reads there.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_issue_comes_back_as_it_was_sent() {
        for sent in [
            Issue::new(Code::PushUnknown, "there is none"),
            Issue::new(Code::CommandInvalid, "mend it").at("id"),
        ] {
            assert_eq!(issue_of(&Issue::outcome([&sent])).unwrap(), sent);
        }
    }

    #[test]
    fn what_is_no_outcome_of_ours_is_no_issue() {
        for body in ["", "{}", r#"{"issue":[{"details":{"coding":[{"code":"strange"}]}}]}"#] {
            assert_eq!(issue_of(body.as_bytes()), None, "{body}");
        }
    }
}
