//! Render: a house's replies in plain words.
//!
//! Comes in   replies and issues, as the API carries them.
//! Goes out   text for people: what waits first, each with its way forward.
//! Never      judges: it shows the words of the catalogue and of the rules, unchanged.

mod directory;
mod findings;
mod probe;
mod registrations;
mod scope;
mod submissions;

pub use directory::imported;
pub use findings::sentences as finding_sentences;

use crate::limits::{CELL_MAX, SENTENCE_MAX};
use crate::table;
use exchange::acknowledgement::Acknowledgement;
use exchange::desk::{
    CheckLine, Explained, FoundEncounter, FoundReport, IssueWords, Reply, RetainedRow, Row, Shown,
    Standing,
};
use exchange::{Actor, DecisionRow, Issue, Purpose, Withholding};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Columns a sentence is broken at.
const WIDTH: usize = 88;

/// Exit code: done.
pub const DONE: u8 = 0;
/// Exit code: done, but something waits for a person.
pub const WAITS: u8 = 1;
/// Exit code: could not.
pub const COULD_NOT: u8 = 2;

/// `explain` of a record that may not travel itself: then nothing of the push does.
pub fn stays_whole(reply: &Reply, subject: &str) -> Option<String> {
    let Reply::Explained { payers, .. } = reply else { return None };
    let subject = subject.split('?').next().unwrap_or_default();
    let lines = payers.iter().filter_map(|payer| {
        let stays = |row: &&DecisionRow| !row.included && row.reference == subject;
        let rule = &payer.decisions.iter().find(stays)?.rule;
        let payer = &payer.payer;
        Some(format!("{subject} itself stays by rule {rule}, so {payer} would be sent nothing.\n"))
    });
    Some(lines.collect::<String>()).filter(|text| !text.is_empty())
}

/// A reply as text, ended by a line feed.
pub fn reply(reply: &Reply) -> String {
    table::plain_lines(&words_of(reply))
}

fn words_of(reply: &Reply) -> String {
    match reply {
        Reply::Pushed { rows, issues, left_alone, .. }
            if rows.is_empty() && issues.is_empty() && *left_alone > 0 =>
        {
            scope::nobody(*left_alone)
        }
        Reply::Pushed { trigger, rows, issues, .. } => pushed(trigger.as_deref(), rows, issues),
        Reply::Explained { payers, issues, coverages } => {
            scope::coverages(coverages) + &explained(payers, issues)
        }
        Reply::Registrations(told) => registrations::registrations(told),
        Reply::Submissions(told) => submissions::submissions(told),
        Reply::Partners(told) => crate::suspended::text(told),
        Reply::Payors(told) => scope::payors(told),
        Reply::PayorMapped(mapped) => scope::mapped(mapped),
        Reply::Restrictions(told) => scope::restrictions(told),
        Reply::RestrictionsChanged(changed) => scope::changed(changed),
        Reply::DirectoryFound(told) => directory::found(told),
        Reply::EndpointApproved(told) => directory::approved(told),
        Reply::Found { reports: Some(reports), .. } => found_reports(reports),
        Reply::Found { encounters, .. } => found(encounters),
        Reply::Listed { rows, counts } => listed(rows, counts),
        Reply::Shown(it) => shown(it),
        Reply::Checked { lines } => checked(lines),
        Reply::Probed(it) => probe::probe(it),
        Reply::Store { lines } | Reply::Reloaded { lines } => check_lines(lines),
        Reply::Watch { lines } => check_lines(lines),
        Reply::BackedUp { folder, proved_to, outside } => backed_up(folder, *proved_to, outside),
        Reply::Retained { partners, dry_run } => retained(partners, *dry_run),
        Reply::Verified { proved_to, last, checkpoints, broken } => {
            verified(*proved_to, *last, *checkpoints, broken.as_ref())
        }
    }
}

/// The exit code of a reply.
pub fn exit_code(reply: &Reply) -> u8 {
    let waiting = match reply {
        Reply::Pushed { rows, issues, .. } => {
            rows.iter().any(needs_person) || issues.iter().any(names_somebody)
        }
        Reply::Explained { payers, issues, .. } => {
            let shut = |it: &Explained| it.door.as_ref().is_err_and(names_somebody);
            let waits = |it: &Explained| shut(it) || !it.waits.is_empty();
            payers.iter().any(waits) || issues.iter().any(names_somebody)
        }
        Reply::Registrations(told) => told.rows.iter().any(|row| row.state == "registration-waits"),
        Reply::Submissions(told) => told.rows.iter().any(|row| row.state == "failed"),
        Reply::Partners(told) => told.rows.iter().any(|row| row.suspended.is_some()),
        Reply::Payors(told) => !told.waiting.is_empty(),
        Reply::Restrictions(told) => told.issue.is_some(),
        Reply::PayorMapped(_) | Reply::RestrictionsChanged(_) => false,
        Reply::DirectoryFound(told) => {
            let unvouched = told.until.is_some() && told.vouched.is_none();
            let shut =
                told.door.as_ref().is_some_and(|door| door.as_ref().is_err_and(names_somebody));
            told.choice.chosen.is_none() || unvouched || shut
        }
        Reply::EndpointApproved(_) => false,
        Reply::Found { .. } => false,
        Reply::Listed { counts, .. } => {
            counts.iter().any(|(state, count)| state == "held" && *count > 0)
        }
        Reply::Shown(shown) => shown.row.waits_for_person(),
        Reply::Checked { lines } | Reply::Reloaded { lines } => {
            lines.iter().any(|line| line.issue.is_some())
        }
        Reply::Probed(probe) => probe.fails(),
        Reply::Watch { lines } => {
            lines.iter().any(|line| line.issue.as_ref().is_some_and(names_somebody))
        }
        Reply::Store { lines } if lines.iter().any(|line| line.issue.is_some()) => {
            return COULD_NOT;
        }
        Reply::Store { .. } | Reply::BackedUp { .. } | Reply::Retained { .. } => false,
        Reply::Verified { broken: Some(_), .. } => return COULD_NOT,
        Reply::Verified { .. } => false,
    };
    if waiting { WAITS } else { DONE }
}

/// A refused push has ended, yet whoever asked has something to correct.
fn needs_person(row: &Row) -> bool {
    row.waits_for_person() || row.state == "refused"
}

fn names_somebody(words: &IssueWords) -> bool {
    words.issue.code.row().actor != Actor::Nobody
}

/// An issue, as it stands alone on stderr.
pub fn issue(issue: &Issue) -> String {
    let mut text = String::new();
    put_issue(&mut text, 0, &IssueWords::from(issue));
    table::plain_lines(&text)
}

fn put_issue(text: &mut String, indent: usize, words: &IssueWords) {
    let pad = " ".repeat(indent);
    let first = format!("{}: {}", words.issue.code.row().slug, words.issue.detail);
    put_sentence(text, indent, "", &first);
    if let Some(place) = &words.issue.expression {
        let _ = writeln!(text, "{pad}  place: {}", one_line(place));
    }
    if let Some(offset) = words.issue.offset {
        let _ = writeln!(text, "{pad}  byte: {offset}");
    }
    let _ = writeln!(text, "{pad}  who acts: {}", words.who_acts);
    put_sentence(text, indent + 2, "next: ", &words.next);
}

fn put_sentence(text: &mut String, indent: usize, lead: &str, sentence: &str) {
    let pad = " ".repeat(indent);
    let sentence = format!("{lead}{}", table::short(sentence, SENTENCE_MAX));
    for (number, line) in table::wrapped(&sentence, WIDTH).iter().enumerate() {
        let more = if number == 0 { "" } else { "  " };
        let _ = writeln!(text, "{pad}{more}{line}");
    }
}

/// Lines of a table whose cells are not overlong.
fn columns(indent: usize, rows: &[Vec<String>]) -> Vec<String> {
    let cells = |row: &Vec<String>| row.iter().map(|it| table::short(it, CELL_MAX)).collect();
    table::lines(indent, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// Words of others, within a line of ours.
fn one_line(words: &str) -> String {
    table::plain(&table::short(words, CELL_MAX))
}

fn put_lines(text: &mut String, lines: &[String]) {
    lines.iter().for_each(|line| {
        let _ = writeln!(text, "{line}");
    });
}

fn pushed(trigger: Option<&str>, rows: &[Row], issues: &[IssueWords]) -> String {
    let mut text = String::new();
    if let Some(trigger) = trigger {
        let _ = writeln!(text, "Recorded as {}.", one_line(trigger));
    }
    issues.iter().for_each(|words| put_issue(&mut text, 2, words));
    if rows.is_empty() && issues.is_empty() {
        let _ = writeln!(text, "It goes on by itself; `handover list` shows where it stands.");
    }
    put_rows(&mut text, rows);
    text
}

fn put_rows(text: &mut String, rows: &[Row]) {
    let cells: Vec<Vec<String>> = rows.iter().map(row_cells).collect();
    for (row, line) in rows.iter().zip(columns(0, &cells)) {
        let _ = writeln!(text, "{line}");
        put_withheld(text, 4, &row.withheld);
        row.issues.iter().for_each(|words| put_issue(text, 4, words));
    }
}

fn row_cells(row: &Row) -> Vec<String> {
    let partner = row.partner.as_ref().map(ToString::to_string).unwrap_or_default();
    let subject = row.subject.clone().unwrap_or_default();
    let size = match row.resources {
        0 => String::new(),
        1 => "1 resource".to_owned(),
        many => format!("{many} resources"),
    };
    vec![row.id.clone(), state_words(row), partner, subject, size, when(row.changed)]
}

fn state_words(row: &Row) -> String {
    let mut words = match (row.state.as_str(), &row.level, row.next_at) {
        ("settled", Some(level), _) => format!("settled, {level}"),
        ("due", _, Some(at)) if at > row.changed => format!("due, again at {}", clock(at)),
        (state, _, _) => state.to_owned(),
    };
    if let Some(standing) = &row.stands_on {
        let Standing { id, state, next_at, .. } = standing;
        words = match (state.as_str(), next_at) {
            ("held", _) => format!("{words}: {id} holds the same and waits for a person"),
            ("due", Some(at)) => format!("{words}: {id} brings the same, again at {}", clock(*at)),
            _ => format!("{words}: {id} brought the same"),
        };
    }
    if row.withdrawn_by.is_some() {
        words.push_str("; withdrawn");
    }
    if let Some(other) = &row.withdraws {
        words.push_str(&format!("; takes back {other}"));
    }
    words
}

fn put_withheld(text: &mut String, indent: usize, withheld: &[Withholding]) {
    if withheld.is_empty() {
        return;
    }
    let words: Vec<String> = withheld.iter().map(withholding_words).collect();
    put_sentence(text, indent, "stays here: ", &words.join("; "));
}

/// `2 resources and 1 element by rule X`.
pub fn withholding_words(withholding: &Withholding) -> String {
    let parts = [("resource", withholding.resources), ("element", withholding.elements)];
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    let words: Vec<String> = parts.map(|(noun, count)| counted(*count, noun)).collect();
    format!("{} by rule {}", words.join(" and "), withholding.rule)
}

/// `1 thing`, `2 things`.
pub fn counted(count: u64, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (count, Some(stem)) => format!("{count} {stem}ies"),
        (count, None) if noun.ends_with("sh") => format!("{count} {noun}es"),
        (count, None) => format!("{count} {noun}s"),
    }
}

fn listed(rows: &[Row], counts: &[(String, u64)]) -> String {
    let mut text = String::new();
    let (waiting, others): (Vec<Row>, Vec<Row>) =
        rows.iter().cloned().partition(Row::waits_for_person);
    if !waiting.is_empty() {
        let _ = writeln!(text, "Waiting for a person:");
        put_rows(&mut text, &waiting);
        let _ = writeln!(text);
    }
    put_rows(&mut text, &others);
    if counts.is_empty() {
        let _ = writeln!(text, "Nothing yet.");
    } else {
        let words: Vec<_> =
            counts.iter().map(|(state, count)| format!("{count} {}", one_line(state))).collect();
        let _ = writeln!(text, "In all: {}.", words.join(", "));
    }
    text
}

fn found(encounters: &[FoundEncounter]) -> String {
    if encounters.is_empty() {
        return "No encounter fits.\n".to_owned();
    }
    let head = ["encounter", "start", "status", "what", "patient", "born", "patient id"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(encounters.iter().map(|it| {
        let cells = [&it.encounter, &it.start, &it.status, &it.what, &it.name.0];
        let mut cells: Vec<String> = cells.map(Clone::clone).to_vec();
        cells.extend([it.birth_date.0.clone(), it.patient.clone()]);
        cells
    }));
    let mut text = String::new();
    put_lines(&mut text, &columns(0, &rows));
    text
}

fn found_reports(reports: &[FoundReport]) -> String {
    if reports.is_empty() {
        return "No laboratory report fits.\n".to_owned();
    }
    let head = ["report", "date", "status", "what", "patient id"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(reports.iter().map(|it| {
        [&it.report, &it.date, &it.status, &it.what, &it.patient].map(Clone::clone).to_vec()
    }));
    let mut text = String::new();
    put_lines(&mut text, &columns(0, &rows));
    text
}

fn shown(it: &Shown) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} {}", one_line(&it.row.kind), one_line(&it.row.id));
    let mut facts: Vec<Vec<String>> = Vec::new();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            facts.push(vec![name.to_owned(), value]);
        }
    };
    fact("state", Some(state_words(&it.row)));
    fact("partner", it.row.partner.as_ref().map(ToString::to_string));
    fact("about", it.row.subject.clone());
    fact("known to the partner as", it.row.label.clone());
    fact("withdrawn by", it.row.withdrawn_by.clone());
    fact("declared", it.row.mode.clone());
    fact("resources", (it.row.resources > 0).then(|| it.row.resources.to_string()));
    fact("asked by", it.who.as_ref().map(|who| format!("{}, {}", who.name, who.role)));
    fact("because", it.who.as_ref().map(|who| who.why.clone()));
    fact("next attempt", it.row.next_at.map(when));
    put_lines(&mut text, &columns(2, &facts));
    put_withheld(&mut text, 2, &it.row.withheld);
    // The acknowledgement repeats them.
    if it.acknowledgement.is_none() {
        findings::put_findings(&mut text, 2, &it.findings);
    }
    if !it.row.issues.is_empty() {
        let _ = writeln!(text, "\nWay forward:");
        it.row.issues.iter().for_each(|words| put_issue(&mut text, 2, words));
    }
    if !it.timeline.is_empty() {
        let _ = writeln!(text, "\nWhat happened:");
        let row = |line: &exchange::desk::TimelineRow| {
            vec![when(line.at), format!("#{}", line.seq), line.what.clone()]
        };
        put_lines(&mut text, &columns(2, &it.timeline.iter().map(row).collect::<Vec<_>>()));
    }
    if let Some(acknowledgement) = &it.acknowledgement {
        let _ = writeln!(text, "\nAcknowledgement:");
        for line in acknowledgement_lines(acknowledgement) {
            let _ = writeln!(text, "  {}", one_line(&line));
        }
    }
    if !it.decisions.is_empty() {
        let _ = writeln!(text, "\nDecisions:");
        put_decisions(&mut text, &it.decisions);
    }
    text
}

/// An acknowledgement in a few lines; `--json` has all of it.
fn acknowledgement_lines(document: &Value) -> Vec<String> {
    if let Ok(own) = serde_json::from_value::<Acknowledgement>(document.clone()) {
        return own.lines();
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for entry in document["entry"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let status = entry["response"]["status"].as_str().unwrap_or("without a status");
        *counts.entry(status.to_owned()).or_default() += 1;
    }
    let told = document["issue"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = told.iter().filter_map(|issue| issue["details"]["text"].as_str());
    let counts = counts.iter().map(|(status, count)| {
        let entries = if *count == 1 { "1 entry" } else { &format!("{count} entries") };
        format!("{entries}: {status}")
    });
    let kind = document["resourceType"].as_str().unwrap_or("document").to_owned();
    std::iter::once(kind).chain(counts).chain(told.map(str::to_owned)).collect()
}

fn explained(payers: &[Explained], issues: &[IssueWords]) -> String {
    let mut text = String::new();
    issues.iter().for_each(|words| put_issue(&mut text, 0, words));
    if payers.is_empty() {
        let _ = writeln!(text, "Nothing would be sent to anybody.");
    }
    for (number, payer) in payers.iter().enumerate() {
        if number > 0 || !issues.is_empty() {
            let _ = writeln!(text);
        }
        put_explained(&mut text, payer);
    }
    if !payers.is_empty() {
        let _ = writeln!(text, "\nNothing was sent.");
    }
    text
}

/// What would be taken back at the payer, and why nothing else would go.
fn put_taken_back(text: &mut String, payer: &Explained) {
    if let Some(words) = &payer.nothing {
        let _ = writeln!(text, "  nothing of it may travel:");
        put_issue(text, 2, words);
    }
    if payer.taken_back.is_empty() {
        return;
    }
    let records = counted(payer.taken_back.len() as u64, "record");
    let _ = writeln!(text, "  {records} would be taken back there:");
    for one in &payer.taken_back {
        let _ = writeln!(text, "    {}", one_line(one.source.as_ref().unwrap_or(&one.record)));
    }
}

fn put_explained(text: &mut String, payer: &Explained) {
    let purpose = purpose_words(payer.purpose);
    let _ = writeln!(text, "To {}, for {purpose} ({}):", payer.payer, payer.purpose);
    match &payer.door {
        Ok(door) => {
            let _ = writeln!(
                text,
                "  door: {} (FHIR {}, {}, {})",
                one_line(&door.base_url),
                one_line(&door.version),
                one_line(&door.form),
                one_line(&door.mode)
            );
            for line in &door.ladder {
                let _ = writeln!(text, "    {}", one_line(line));
            }
            directory::put_door(text, door);
        }
        Err(words) => {
            let _ = writeln!(text, "  the door is shut, so the chart was not opened:");
            put_issue(text, 2, words);
        }
    }
    if let Some(push) = &payer.unchanged {
        let _ = writeln!(
            text,
            "  same content as push {}: nothing would be sent again",
            one_line(push)
        );
    }
    put_taken_back(text, payer);
    let mut by_rule: BTreeMap<(bool, &str), u64> = BTreeMap::new();
    for decision in &payer.decisions {
        *by_rule.entry((!decision.included, decision.rule.as_str())).or_default() += 1;
    }
    let counts = by_rule.iter().map(|((stays, rule), count)| {
        let what = if *stays { "stays" } else { "travels" };
        vec![what.to_owned(), counted(*count, "resource"), format!("by rule {rule}")]
    });
    put_lines(text, &columns(2, &counts.collect::<Vec<_>>()));
    findings::put_explained_findings(text, payer);
    put_decisions(text, &payer.decisions);
}

fn put_decisions(text: &mut String, decisions: &[DecisionRow]) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for decision in decisions {
        let what = if decision.included { "travels" } else { "stays" };
        let belongs = decision.belongs.map(|belongs| format!("belongs by {}", belongs.word()));
        let reason = decision.reason.clone().or(belongs).unwrap_or_default();
        let line = [what, &decision.reference, &decision.rule, &reason];
        rows.push(line.map(str::to_owned).to_vec());
        for (element, rule) in &decision.cuts {
            rows.push(["", &format!("  without {element}"), rule, ""].map(str::to_owned).to_vec());
        }
    }
    put_lines(text, &columns(4, &rows));
}

/// A purpose in everyday words.
pub fn purpose_words(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Payment => "payment",
        Purpose::Operations => "operations",
        Purpose::Treatment => "treatment",
        Purpose::Coverage => "coverage",
        Purpose::Quality => "quality improvement",
    }
}

fn backed_up(folder: &str, proved_to: u64, outside: &[String]) -> String {
    let mut text = format!(
        "The house is in {}, with the ledger's entries up to {proved_to}.\n\
         Its private keys are not: keep them in a safe place of their own.\n",
        one_line(folder)
    );
    for file in outside {
        let _ = writeln!(text, "Not in it, since it lies elsewhere: {}", one_line(file));
    }
    text
}

fn retained(partners: &[RetainedRow], dry_run: bool) -> String {
    if partners.is_empty() {
        return "No agreement says how long contents are kept, so all of them are.\n".to_owned();
    }
    let mut text = String::new();
    for RetainedRow { partner, days, works, versions, blobs } in partners {
        let verb = if dry_run { "would be purged" } else { "purged" };
        let of = match works {
            1 => "1 push or submission".to_owned(),
            many => format!("{many} pushes or submissions"),
        };
        let days = counted(u64::from(*days), "day");
        let _ = write!(text, "{partner}: {of} older than {days} {verb}");
        let _ = match dry_run || *works == 0 {
            true => writeln!(text, "."),
            false => {
                let (versions, blobs) = (counted(*versions, "version"), counted(*blobs, "content"));
                writeln!(text, ": {versions} of records, {blobs} besides.")
            }
        };
    }
    text
}

fn checked(lines: &[CheckLine]) -> String {
    let mut text = check_lines(lines);
    // Who is not watched is pushed all the same, when somebody asks.
    let wrong = lines.iter().filter(|line| line.issue.is_some());
    let (watch, stops): (Vec<_>, Vec<_>) = wrong.partition(|line| line.what.starts_with("watch"));
    let _ = match stops.len() as u64 {
        0 => writeln!(text, "\nNothing would stop a push."),
        stops => writeln!(text, "\n{} would stop a push.", counted(stops, "thing")),
    };
    if !watch.is_empty() {
        let lines = counted(watch.len() as u64, "line");
        let _ = writeln!(text, "{lines} of the watch wait: of those nothing is pushed by itself.");
    }
    text
}

fn check_lines(lines: &[CheckLine]) -> String {
    let mut text = String::new();
    let cell = |line: &CheckLine| {
        let mark = if line.issue.is_some() { "WAITS" } else { "ok" };
        vec![mark.to_owned(), line.what.clone(), line.found.clone()]
    };
    let rows: Vec<Vec<String>> = lines.iter().map(cell).collect();
    for (line, words) in lines.iter().zip(columns(0, &rows)) {
        let _ = writeln!(text, "{words}");
        if let Some(words) = &line.issue {
            put_issue(&mut text, 7, words);
        }
    }
    text
}

fn verified(proved_to: u64, last: u64, checkpoints: u64, broken: Option<&(u64, String)>) -> String {
    let mut text = String::new();
    if let Some((seq, why)) = broken {
        let _ =
            writeln!(text, "The ledger does not verify: first bad entry {seq}: {}.", one_line(why));
        let issue = Issue::new(exchange::Code::LedgerBroken, format!("entry {seq}: {why}"));
        put_issue(&mut text, 2, &IssueWords::from(&issue));
        return text;
    }
    let _ = match proved_to {
        0 => writeln!(text, "The ledger's {} fit together.", counted(last, "entry")),
        _ => writeln!(
            text,
            "The ledger verifies: entries 1 to {proved_to} are proved by {}.",
            counted(checkpoints, "signed checkpoint")
        ),
    };
    if last > proved_to {
        let first = proved_to + 1;
        let _ = writeln!(
            text,
            "Entries {first} to {last} are not yet proved: a running house signs every minute, \
             and when it stops."
        );
    }
    text
}

/// A time in UTC, to the second.
pub fn when(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
