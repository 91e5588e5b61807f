//! Serve: a house with its doors open, until it is told to stop.
//!
//! Comes in   a checked configuration; signals.
//! Goes out   one line when the doors are open (`ready https://…`); answers; a ledger whose end is
//!            signed.
//! Never      listens beyond loopback without TLS and a partner; never leaves work half-recorded
//!            at a clean stop.

use crate::house::{Desk, Opened, VERSION, split_base};
use crate::limits::{LOCK_LOOK, LOCK_WAIT, RETENTION_LOOK, RETENTION_REMEMBERED, RETENTION_TURN};
use crate::sending_doors::SendingDoors;
use crate::{config, halt, keys, live};
use axum::Router;
use bytes::Bytes;
use exchange::desk::Command;
use exchange::{Chain, Code, Event, Issue};
use jiff::Timestamp;
use repository::store_issue;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::limits::{CHECKPOINT_AGE, CHECKPOINT_ENTRIES, CHECKPOINT_LOOK};
use store::{AnyHouse, House as _, Unit};
use tokio::sync::watch;
use wire::{Api, BoxFuture, Caller, Rest, api, figures, rest, server};

/// Serves a house until SIGTERM, ctrl-c, or (when tethered) the end of the standard input.
///
/// Errors: `BindRefused`, `HouseLocked`, `ConfigInvalid` when the address cannot be listened on,
/// and whatever keeps the house from opening.
pub async fn serve(config: Arc<config::House>, tethered: bool) -> Result<(), Issue> {
    config.check_bind()?;
    let certificate = keys::live_certificate(&config)?;
    let tls = certificate.clone().map(|it| crate::doors::server_tls(&config, it)).transpose()?;
    // The address before the store: whoever is refused here has not touched anything.
    let listener = server::listen(config.file.listen).map_err(|error| {
        tracing::error!(%error, "listen");
        let detail = "the address cannot be listened on; another program may have it";
        Issue::new(Code::ConfigInvalid, detail).at("house.toml: listen")
    })?;
    let opened = Arc::new(open(&config).await?);
    opened.confirm_ledger().await?;
    opened_line(&opened).await?;
    opened.recall_root().await?;
    if let Desk::Payer { registrations, .. } = &opened.desk {
        registrations.refresh().await?;
    }
    certificate.into_iter().for_each(|it| opened.live.show(it));
    let router = router(&opened)?;

    let (stop, stopped) = watch::channel(false);
    let worker = tokio::spawn(work(Arc::clone(&opened), told(stopped.clone())));
    let keeper = tokio::spawn(keep_signing(Arc::clone(&opened), told(stopped.clone())));
    let registrar = tokio::spawn(keep_registrations(Arc::clone(&opened), told(stopped.clone())));
    let purger = tokio::spawn(keep_contents(Arc::clone(&opened), told(stopped.clone())));
    let live = Arc::clone(&opened.live);
    let looker = tokio::spawn(live::keep_looking(live, told(stopped.clone())));
    let doors = tokio::spawn(server::serve(listener, tls, router, told(stopped)));
    println!("ready {}", config.file.base_url);
    std::io::stdout().flush().ok();

    asked_to_stop(tethered).await;
    tracing::info!("stopping");
    stop.send_replace(true);
    for part in [worker, keeper, purger, registrar, looker] {
        part.await.ok();
    }
    doors.await.ok();
    opened.checkpoint().await
}

/// Opens the house. A command that holds it, for a moment, is waited for.
async fn open(config: &Arc<config::House>) -> Result<Opened, Issue> {
    let began = Instant::now();
    loop {
        match Opened::open(Arc::clone(config)).await {
            Err(issue) if issue.code == Code::HouseLocked && began.elapsed() < LOCK_WAIT => {
                tokio::time::sleep(LOCK_LOOK).await;
            }
            opened => return opened,
        }
    }
}

/// The first line of every run.
async fn opened_line(opened: &Opened) -> Result<(), Issue> {
    let event = Event::Opened { version: VERSION.to_owned() };
    let lines = vec![(Chain::House, event)];
    let unit = Unit { at: opened.clock.now(), lines, ..Unit::default() };
    opened.memory.commit(unit).await.map(drop).map_err(store_issue)
}

fn router(opened: &Arc<Opened>) -> Result<Router, Issue> {
    let gate = Arc::new(opened.gate()?);
    opened.live.guard(Arc::clone(&gate))?;
    let (_, path) = split_base(&opened.config.file.base_url)?;
    let doors: Arc<dyn Rest> = match &opened.desk {
        Desk::Provider { road, wake, .. } => {
            Arc::new(SendingDoors::new(&opened.config, Arc::clone(road), Arc::clone(wake)))
        }
        Desk::Payer { road, .. } => {
            Arc::new(payer::doors::Doors::new(Arc::clone(road), &gate.token_endpoint()))
        }
    };
    let commands: Arc<dyn Api> = Arc::new(Commands { opened: Arc::clone(opened) });
    let doors = rest::router(doors, Arc::clone(&gate));
    let figures = figures::router(Arc::clone(&opened.live) as _);
    let commands = api::router(commands, gate);
    Ok(rest::mount_all([(path.as_str(), doors), ("api", commands), ("metrics", figures)]))
}

async fn work(opened: Arc<Opened>, stop: impl Future<Output = ()>) {
    match &opened.desk {
        Desk::Provider { road, wake, .. } => {
            let (ended, mut end) = watch::channel(false);
            let end = async move { drop(end.wait_for(|end| *end).await) };
            let walking = async {
                provider::worker::run(Arc::clone(road), Arc::clone(wake), stop).await;
                ended.send_replace(true);
            };
            let watching = provider::watch::run(Arc::clone(road), Arc::clone(wake), end);
            tokio::join!(walking, watching);
        }
        Desk::Payer { road, .. } => payer::worker::run(Arc::clone(road), stop).await,
    }
}

/// Signs what is new, every minute or every so many entries: a sudden end leaves at most so much
/// unproved.
async fn keep_signing(opened: Arc<Opened>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut age = Duration::ZERO;
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(CHECKPOINT_LOOK) => age += CHECKPOINT_LOOK,
        }
        let many = opened.memory.unsigned().await.is_ok_and(|count| count >= CHECKPOINT_ENTRIES);
        if !many && age < CHECKPOINT_AGE {
            continue;
        }
        age = Duration::ZERO;
        if let Err(issue) = opened.checkpoint().await {
            tracing::error!(%issue, "checkpoint");
        }
    }
}

/// Looks what other processes of the house decided about partners, and about clients that registered
/// by UDAP.
async fn keep_registrations(opened: Arc<Opened>, stop: impl Future<Output = ()>) {
    let config = &opened.config.file;
    if config.database.is_none() {
        return stop.await;
    }
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(payer::limits::REGISTRATIONS_LOOK) => {}
        }
        if let Err(issue) = opened.suspensions.refresh().await {
            tracing::error!(%issue, "suspended partners");
        }
        let Desk::Payer { registrations, .. } = &opened.desk else { continue };
        if config.udap.is_some()
            && let Err(issue) = registrations.refresh().await
        {
            tracing::error!(%issue, "registrations");
        }
    }
}

/// Once a day purges what the agreements' time is over for, and sweeps up what nothing names. Of
/// several processes one does; what failed is tried again.
async fn keep_contents(opened: Arc<Opened>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut done = None;
    loop {
        let today = opened.clock.now().strftime("%F").to_string();
        if done.as_ref() != Some(&today) && keep_once(&opened, &today).await {
            done = Some(today);
        }
        tokio::select! {
            () = &mut stop => return,
            () = tokio::time::sleep(RETENTION_LOOK) => {}
        }
    }
}

/// Whether all of the day is done.
async fn keep_once(opened: &Opened, today: &str) -> bool {
    let mut terms = opened.config.terms.values();
    let retains = terms.any(|terms| terms.agreement.retention.is_some());
    let retain = async {
        opened.command(Command::Retention { dry_run: false }).await?;
        halt::passed("retained");
        Ok(())
    };
    let sweep = async {
        let removed = opened.memory.sweep(opened.clock.now()).await.map_err(store_issue)?;
        tracing::debug!(removed, "contents that nothing names");
        Ok(())
    };
    let (house, now) = (&opened.memory, || opened.clock.now());
    // A day on which nothing was agreed is not marked: it may be agreed before the next start.
    let retained = match retains {
        true => once_a_day(house, now, "retention", today, retain).await,
        false => Ok(true),
    };
    let swept = once_a_day(house, now, "sweep", today, sweep).await;
    let done = |done: Result<bool, Issue>| {
        done.unwrap_or_else(|issue| {
            tracing::error!(%issue, "keeping contents");
            false
        })
    };
    done(retained) & done(swept)
}

/// Does what is done once a day, by whichever process comes first; whether it is done. The day counts
/// as done once it is: the turn before that ends by itself.
async fn once_a_day(
    house: &AnyHouse,
    now: impl Fn() -> Timestamp,
    what: &str,
    today: &str,
    work: impl Future<Output = Result<(), Issue>>,
) -> Result<bool, Issue> {
    let until = |length| now().checked_add(length).unwrap_or(now());
    if house.used(what, today, now()).await.map_err(store_issue)? {
        return Ok(true);
    }
    let turn = format!("{what}/turn");
    let ours = house.first_use(&turn, today, until(RETENTION_TURN), now()).await;
    if !ours.map_err(store_issue)? {
        return Ok(false);
    }
    work.await?;
    let marked = house.first_use(what, today, until(RETENTION_REMEMBERED), now()).await;
    marked.map(|_| true).map_err(store_issue)
}

async fn told(mut stopped: watch::Receiver<bool>) {
    // The sender lives until all parts have ended; were it gone, that would mean stop as well.
    stopped.wait_for(|stop| *stop).await.ok();
}

/// Ends when somebody asks this process to stop.
pub async fn asked_to_stop(tethered: bool) {
    let tether = async {
        match tethered {
            true => end_of_input().await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        () = interrupted() => {}
        () = tether => {}
    }
}

/// Ends with the standard input. A thread of its own reads it: a read that blocks cannot be
/// called off, and must not hold up the end of the others.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        ended.send(()).ok();
    });
    end.await.ok();
}

/// Ends at SIGTERM or ctrl-c.
#[cfg(unix)]
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        tokio::signal::ctrl_c().await.ok();
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Ends at ctrl-c.
#[cfg(not(unix))]
pub async fn interrupted() {
    tokio::signal::ctrl_c().await.ok();
}

/// The house's own API: a command by name, with its JSON.
struct Commands {
    opened: Arc<Opened>,
}

impl Api for Commands {
    fn command<'a>(
        &'a self,
        _caller: &'a Caller,
        name: &'a str,
        body: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, Issue>> {
        Box::pin(async move {
            let command = read_command(name, &body)?;
            let reply = self.opened.command(command).await?;
            let text = serde_json::to_vec(&reply).map_err(|_| {
                Issue::new(Code::InternalError, "a reply cannot be written as JSON")
            })?;
            Ok(text.into())
        })
    }
}

/// A command's JSON; the path names it, the body may.
fn read_command(name: &str, body: &[u8]) -> Result<Command, Issue> {
    let invalid = |detail: String| Issue::new(Code::CommandInvalid, detail);
    let body = if body.is_empty() { b"{}" } else { body };
    let mut value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("the command is not JSON, line {}", error.line())))?;
    let Some(members) = value.as_object_mut() else {
        return Err(invalid("a command is a JSON object".into()));
    };
    let named = members.entry("command").or_insert_with(|| name.into());
    if *named != name {
        return Err(invalid("the body names another command than the path".into()).at("command"));
    }
    serde_json::from_value(value).map_err(|error| invalid(told_without_values(&error.to_string())))
}

/// What serde complains of, with the names that are known and without what was written instead:
/// anything may stand there.
fn told_without_values(message: &str) -> String {
    let (fault, known) = message.split_once(", ").unwrap_or((message, ""));
    let known = if known.is_empty() { String::new() } else { format!("; {known}") };
    match fault.split('`').next().unwrap_or_default().trim_end() {
        "unknown field" => format!("the command has a member that is unknown{known}"),
        "unknown variant" => format!("a word of the command is unknown{known}"),
        "missing field" => fault.to_owned(),
        _ => "a member of the command has the wrong type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the API reads commands generously in form and strictly in content; what is done
    //! once a day is done, and once.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use jiff::SignedDuration;
    use std::sync::atomic::{AtomicU32, Ordering};
    use store::SqliteHouse;

    #[tokio::test]
    async fn what_failed_is_done_on_the_same_day() {
        let folder = tempfile::tempdir().unwrap();
        let house = SqliteHouse::open(&folder.path().join("store"), &"plan".into()).unwrap();
        let house = AnyHouse::from(house);
        let dawn: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        let table = [
            ("a reader stands in the way", 0, "22", false, Err(()), 1),
            ("it is somebody's turn", 10, "22", true, Ok(false), 1),
            ("after a restart it is still", 59, "22", true, Ok(false), 1),
            ("the turn is over", 61, "22", true, Ok(true), 2),
            ("it is done", 62, "22", true, Ok(true), 2),
            ("it is done all day", 23 * 60, "22", true, Ok(true), 2),
            ("the next day", 24 * 60, "23", true, Ok(true), 3),
        ];
        let done = AtomicU32::new(0);
        for (case, minutes, day, works, expected, times) in table {
            let now = || dawn + SignedDuration::from_mins(minutes);
            let work = async {
                done.fetch_add(1, Ordering::Relaxed);
                let busy = Issue::new(Code::HouseBusy, "somebody reads");
                if works { Ok(()) } else { Err(busy) }
            };
            let said = once_a_day(&house, now, "retention", day, work).await;
            assert_eq!(said.map_err(drop), expected, "{case}");
            assert_eq!(done.load(Ordering::Relaxed), times, "{case}");
        }
    }

    #[test]
    fn a_command_is_named_by_its_path() {
        let table: [(&str, &str, &str, bool); 8] = [
            ("no body", "check", "", true),
            ("an empty object", "verify", "{}", true),
            ("named twice alike", "check", r#"{"command":"check"}"#, true),
            ("named twice otherwise", "check", r#"{"command":"verify"}"#, false),
            ("with what it needs", "show", r#"{"id":"x"}"#, true),
            ("without what it needs", "show", "{}", false),
            ("an unknown member", "show", r#"{"id":"x","colour":1}"#, false),
            ("no such command", "forget", "{}", false),
        ];
        for (case, name, body, good) in table {
            assert_eq!(read_command(name, body.as_bytes()).is_ok(), good, "{case}");
        }
    }

    #[test]
    fn a_refused_command_quotes_no_value() {
        let who = r#""who":{"name":"a","role":"b","why":"c"}"#;
        let table = [
            ("find", r#"{"record_number":["R-12345"],WHO}"#, "wrong type"),
            (
                "find",
                r#"{"R-12345":1,WHO}"#,
                "expected one of `record_number`, `date`, `results`, `who`",
            ),
            ("find", r#"{"R-12345, missing":1}"#, "unknown"),
            ("push", r#"{"encounter":"e","purpose":"R-12345",WHO}"#, "expected one of `HPAYMT`"),
            ("push", r#"{"encounter":"e"}"#, "missing field `who`"),
        ];
        for (name, body, told) in table {
            let body = body.replace("WHO", who);
            let words = read_command(name, body.as_bytes()).unwrap_err().to_string();
            assert!(words.contains(told), "{words}");
            assert!(!words.contains("R-12345"), "{words}");
        }
    }
}
