//! Roster: the histories of many patients are pushed, and a person sees how far they are.
//!
//! Comes in   a file of patients; a house that runs.
//! Goes out   a trigger for each; what became of them, live and at the end.
//! Never      does the house's work: whoever ends the command ends what is shown, and nothing else. Never
//!            prints a line of the file.

use crate::args::HistoryArgs;
use crate::caller::ask;
use crate::limits::{COMMAND_TIMEOUT, ROSTER_AT_ONCE, ROSTER_LOOK};
use crate::render::{DONE, WAITS};
use crate::{config, house};
use exchange::desk::{Command, IssueWords, Reply, Row, SubmissionCommand};
use exchange::watch::{Entry, roster};
use exchange::{Code, Issue, Phi, Who};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use wire::FhirClient;

/// Most triggers that one command of the house tells of.
const BATCH: usize = provider::limits::TRIGGERS_ASKED_MAX;

/// Pushes the histories of everybody on a roster, and waits for their end.
///
/// Errors: `RosterInvalid`; `HouseLocked` and the like where no house runs.
pub(crate) async fn push(folder: &Path, args: HistoryArgs, json: bool) -> Result<u8, Issue> {
    let config = config::House::read_as_far(folder)?;
    let client = house::operator_client(&config, COMMAND_TIMEOUT)?;
    let place = args.roster.clone().unwrap_or_default();
    let unreadable = |_| {
        Issue::new(Code::RosterInvalid, "the roster cannot be read").at(place.display().to_string())
    };
    let text = std::fs::read_to_string(&place).map_err(unreadable)?;
    let read = roster(&text, &place.display().to_string());
    if let Some(issue) = read.issues.into_iter().next() {
        return Err(issue);
    }
    let lines = |(entry, line)| (entry, format!("{}:{line}", place.display()));
    let entries: Vec<(Entry, String)> = read.entries.into_iter().map(lines).collect();
    let who = args.how.who.clone().person(args.how.why.clone());
    let bar = (!json && std::io::stderr().is_terminal()).then(|| bar(entries.len()));
    let mut walks = Walks::default();
    for some in entries.chunks(ROSTER_AT_ONCE) {
        walks.begin(&client, some, &args, &who).await?;
        bar.iter().for_each(|bar| bar.set_message(format!("{} asked for", walks.count())));
    }
    let wait = args.how.wait.said().map(|seconds| Duration::from_secs(seconds.into()));
    let until = wait.map(|wait| Instant::now() + wait);
    let mut closed = false;
    while !walks.look(&client).await? && until.is_none_or(|until| Instant::now() < until) {
        let bytes = bytes(&client).await?;
        bar.iter().for_each(|bar| walks.show(bar, bytes));
        if !closed && walks.gathered() {
            let close = SubmissionCommand::Close { who: who.clone() };
            ask(&client, &Command::Submission(close)).await?;
            closed = true;
        }
        tokio::time::sleep(ROSTER_LOOK).await;
    }
    bar.iter().for_each(ProgressBar::finish_and_clear);
    Ok(walks.tell(json))
}

fn bar(patients: usize) -> ProgressBar {
    let style = "{bar:30} {pos}/{len} patients, {per_sec}, {eta} left; {msg}";
    let bar = ProgressBar::new(patients as u64);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Bytes and files of the submissions that have not ended.
async fn bytes(client: &FhirClient) -> Result<(u64, u64), Issue> {
    let list = SubmissionCommand::List { limit: None };
    let Reply::Submissions(told) = ask(client, &Command::Submission(list)).await? else {
        return Ok((0, 0));
    };
    let at_work = told.rows.iter().filter(|row| row.state == "offered" || row.state == "completed");
    Ok(at_work.fold((0, 0), |(files, bytes), row| (files + row.files, bytes + row.bytes)))
}

/// The triggers of a roster, and where their pushes stand.
#[derive(Default)]
struct Walks {
    /// None: not known yet.
    found: BTreeMap<String, Option<Found>>,
    /// Lines that name nobody.
    nobody: Vec<Issue>,
}

/// What is known of one trigger's pushes.
#[derive(Default, Clone)]
struct Found {
    states: Vec<String>,
    resources: u64,
}

impl Found {
    fn has(&self, state: &str) -> bool {
        self.states.iter().any(|one| one == state)
    }

    fn rests(&self) -> bool {
        !self.has("due") && !self.has("submitted")
    }
}

impl Walks {
    fn count(&self) -> usize {
        self.found.len()
    }

    /// Asks for the pushes of some patients, all at once.
    async fn begin(
        &mut self,
        client: &FhirClient,
        some: &[(Entry, String)],
        args: &HistoryArgs,
        who: &Who,
    ) -> Result<(), Issue> {
        let mut asked = JoinSet::new();
        for (entry, line) in some {
            let (client, entry, who) = (client.clone(), entry.clone(), who.clone());
            let line = line.clone();
            let (since, purpose) = (args.since.clone(), args.how.purpose());
            let asynchronous = args.how.asynchronous;
            asked.spawn(async move {
                let Some(patient) = patient(&client, entry, &who).await? else {
                    let detail = "the record number is of nobody who was ever seen here";
                    return Ok(Err(Issue::new(Code::RosterInvalid, detail).at(line)));
                };
                let since = since.map(|day| format!("?since={day}")).unwrap_or_default();
                let subject = format!("Patient/{patient}{since}");
                let push = Command::Push { subject, purpose, who, wait: 0, asynchronous };
                ask(&client, &push).await.map(Ok)
            });
        }
        while let Some(told) = asked.join_next().await {
            let fault = |_| Issue::new(Code::InternalError, "a push was not asked for");
            match told.map_err(fault)?? {
                Ok(Reply::Pushed { trigger: Some(trigger), .. }) => {
                    self.found.insert(trigger, None);
                }
                Ok(_) => return Err(Issue::new(Code::AnswerUnreadable, "a push was not begun")),
                Err(nobody) => self.nobody.push(nobody),
            }
        }
        Ok(())
    }

    /// Looks where they stand; whether all rest.
    async fn look(&mut self, client: &FhirClient) -> Result<bool, Issue> {
        let moving = |found: &Option<Found>| found.as_ref().is_none_or(|it| !it.rests());
        let moving: Vec<String> =
            self.found.iter().filter(|(_, it)| moving(it)).map(|(id, _)| id.clone()).collect();
        for triggers in moving.chunks(BATCH) {
            for trigger in triggers {
                self.found.insert(trigger.clone(), None);
            }
            let asked = SubmissionCommand::Pushes { triggers: triggers.to_vec() };
            if let Reply::Pushed { rows, .. } = ask(client, &Command::Submission(asked)).await? {
                rows.iter().for_each(|row| self.take(row));
            }
        }
        Ok(self.found.values().all(|it| it.as_ref().is_some_and(Found::rests)))
    }

    /// A row of a push, named by its trigger and payer; of a trigger that waits or led to none, by itself.
    fn take(&mut self, row: &Row) {
        let trigger = row.id.split('.').next().unwrap_or_default();
        if let Some(found) = self.found.get_mut(trigger) {
            let found = found.get_or_insert_default();
            found.states.push(row.state.clone());
            found.resources += row.resources;
        }
    }

    /// Whether all have been looked at, and only wait for their submissions.
    fn gathered(&self) -> bool {
        self.found.values().all(|it| it.as_ref().is_some_and(|it| !it.has("due")))
    }

    fn of(&self, state: &str) -> usize {
        let states = self.found.values().flatten().flat_map(|found| &found.states);
        states.filter(|one| *one == state).count()
    }

    fn resources(&self) -> u64 {
        self.found.values().flatten().map(|found| found.resources).sum()
    }

    fn show(&self, bar: &ProgressBar, (files, bytes): (u64, u64)) {
        bar.set_position(self.found.values().flatten().filter(|it| it.rests()).count() as u64);
        bar.set_message(format!(
            "{} settled, {} submitted, {} held; {} resources, {files} files, {} on their way",
            self.of("settled"),
            self.of("submitted"),
            self.of("held"),
            self.resources(),
            HumanBytes(bytes)
        ));
    }

    /// The end, in words; and the exit code.
    fn tell(&self, json: bool) -> u8 {
        let states: BTreeMap<&str, usize> =
            self.found.values().flatten().flat_map(|found| &found.states).fold(
                BTreeMap::new(),
                |mut counts, state| {
                    *counts.entry(state.as_str()).or_default() += 1;
                    counts
                },
            );
        let held = self.of("held") + self.of("refused") > 0;
        let (patients, resources) = (self.count(), self.resources());
        match json {
            true => {
                let issues: Vec<IssueWords> = self.nobody.iter().map(IssueWords::from).collect();
                let told = json!({ "patients": patients, "pushes": states, "resources": resources,
                    "issues": issues });
                println!("{told}");
            }
            false => {
                self.nobody.iter().for_each(|issue| println!("{issue}"));
                let words = states.iter().map(|(state, count)| match *state {
                    "scoped" => format!("{count} to nobody: their coverages are left alone"),
                    state => format!("{count} {state}"),
                });
                let words: Vec<String> = words.collect();
                println!(
                    "{patients} patients, {resources} resources; pushes: {}",
                    words.join(", ")
                );
                if held {
                    println!("what is held waits for a person: handover list --state held");
                }
                if self.of("due") + self.of("submitted") > 0 {
                    println!("what is under way goes on by itself: handover submission list");
                }
            }
        }
        if held || !self.nobody.is_empty() { WAITS } else { DONE }
    }
}

/// The Patient of a line, where the house knows one.
async fn patient(client: &FhirClient, entry: Entry, who: &Who) -> Result<Option<String>, Issue> {
    let number = match entry {
        Entry::Patient(id) => return Ok(Some(id)),
        Entry::RecordNumber(number) => number,
    };
    let (record_number, who) = (Some(Phi(number)), who.clone());
    let find = Command::Find { record_number, date: None, results: false, who };
    let Reply::Found { encounters, .. } = ask(client, &find).await? else {
        return Err(Issue::new(Code::AnswerUnreadable, "the house answered no list"));
    };
    Ok(encounters.into_iter().next().map(|it| it.patient))
}
