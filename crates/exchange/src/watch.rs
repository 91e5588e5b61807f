//! Watch: which of a patient's encounters and results are news, and what was seen of them so far.
//!
//! Comes in   what an EHR holds of a patient now; what was seen before; lines of the roster.
//! Goes out   news: records to be sent, each once for each of its contents; the watch that lines add
//!            up to.
//! Never      goes by `meta.versionId` or `meta.lastUpdated`, which certified EHRs need not keep; never
//!            has the same content of a record as news twice in a row.
//!
//! Why digests and not times: a result that was corrected, came late or was moved to another patient
//! is news whatever the EHR's clock says of it. A look reads all encounters and reports of a patient;
//! what is the same as before is passed over.

mod results;

pub use results::found;

use crate::days::{Days, clinical_days};
use crate::id::{Digest, TriggerId};
use crate::issue::{Code, Issue};
use crate::ledger::Event;
use crate::limits::{ROSTER_BYTES_MAX, ROSTER_LINES_MAX, WATCH_SIGHTS_MAX};
use fhir::{Doc, Edits, Resource, is_id};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The types whose records are looked at.
pub const WATCHED: [&str; 2] = ["Encounter", "DiagnosticReport"];

/// One line of a roster: whom to watch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// `Patient.id` in the source.
    Patient(String),
    /// An identifier of the patient, as `system|value`: the source is asked whose it is.
    RecordNumber(String),
}

/// A roster as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    /// Whom it names, each once, with the number of the line.
    pub entries: BTreeMap<Entry, usize>,
    /// What is wrong with the other lines.
    pub issues: Vec<Issue>,
    /// Every line of it was read and names somebody: who is not among the entries is not on it.
    pub whole: bool,
}

/// Reads a roster: a Patient id (`Patient/` before it or not) or a record number `system|value` a line;
/// blank lines and those that begin with `#` are passed over.
pub fn roster(text: &str, file_name: &str) -> Roster {
    let mut read = Roster::default();
    let fault = |line: usize, detail: &str| {
        Issue::new(Code::RosterInvalid, detail).at(format!("{file_name}:{line}"))
    };
    if text.len() > ROSTER_BYTES_MAX {
        let detail = format!("a roster has at most {ROSTER_BYTES_MAX} bytes");
        return Roster { issues: vec![fault(1, &detail)], ..read };
    }
    // A file of a spreadsheet may begin with a mark of its encoding.
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if read.entries.len() == ROSTER_LINES_MAX {
            let detail = format!("a roster has at most {ROSTER_LINES_MAX} patients");
            read.issues.push(fault(at + 1, &detail));
            break;
        }
        match entry(line) {
            Some(entry) => drop(read.entries.entry(entry).or_insert(at + 1)),
            None => read.issues.push(fault(at + 1, "a line is a Patient id, or a system|value")),
        }
    }
    read.whole = read.issues.is_empty();
    read
}

fn entry(line: &str) -> Option<Entry> {
    let id = line.strip_prefix("Patient/").unwrap_or(line);
    if is_id(id) {
        return Some(Entry::Patient(id.to_owned()));
    }
    let (system, value) = line.split_once('|')?;
    let whole = !system.is_empty() && !value.is_empty() && !value.contains('|');
    whole.then(|| Entry::RecordNumber(line.to_owned()))
}

/// What a record's status says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody is to be told of it yet.
    Open,
    /// A finished encounter; a final or corrected result, or one that was cancelled.
    Told,
    /// It is not so any more: news for whoever was told of it, and for nobody else.
    TakenBack,
}

/// A record as it was found in the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `Type/id` in the source.
    pub record: String,
    /// What it says, without the EHR's versions.
    pub digest: Digest,
    /// What its status says.
    pub standing: Standing,
    /// When it was, as far as it says.
    pub days: Option<Days>,
}

impl Found {
    /// A record of [`WATCHED`]; `None` for others, and for one without an id.
    pub fn of(resource: &Resource) -> Option<Found> {
        resource.id().filter(|_| WATCHED.contains(&resource.kind()))?;
        Some(Found {
            record: resource.local_reference(),
            digest: content_digest(resource)?,
            standing: standing(resource),
            days: clinical_days(resource),
        })
    }
}

/// What the status of an encounter or a report says: R4 `encounter-status` and
/// `diagnostic-report-status`.
pub fn standing(resource: &Resource) -> Standing {
    let doc = resource.doc();
    let status = doc.root().get("status").and_then(|status| status.text());
    match (resource.kind(), status.as_deref().unwrap_or_default()) {
        ("Encounter", "finished") => Standing::Told,
        ("Encounter", "cancelled") | (_, "entered-in-error") => Standing::TakenBack,
        ("DiagnosticReport", "final" | "amended" | "corrected" | "appended" | "cancelled") => {
            Standing::Told
        }
        _ => Standing::Open,
    }
}

/// The digest of a resource without `meta.versionId` and `meta.lastUpdated`, which count the EHR's
/// writes and not what it says.
fn content_digest(resource: &Resource) -> Option<Digest> {
    let doc = Doc::parse(resource.bytes()).ok()?;
    let mut edits = Edits::new(&doc);
    if let Some(meta) = doc.root().get("meta") {
        let own = ["versionId", "lastUpdated"].into_iter().filter_map(|name| meta.get(name));
        own.for_each(|member| edits.remove_element(member));
    }
    Some(Digest::of(&edits.apply()))
}

/// A record that was seen with a content it had not before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// `Type/id` in the source.
    pub record: String,
    /// What it says; `None`: it is not in the patient's chart any more.
    pub digest: Option<Digest>,
    /// What it set going; `None`: it was there when the watch began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerId>,
}

/// What a look brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// What was seen anew, in the order of the records.
    pub sights: Vec<Sight>,
    /// There is more than one line holds: the next look goes on at once.
    pub more: bool,
}

/// One patient's watch: what its lines in the house's chain add up to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// `Patient.id` in the source.
    pub patient: String,
    /// What was over before this day when it was first looked at is no news.
    pub from: Date,
    /// A look has come to its end.
    pub looked: bool,
    /// Nobody looks any more.
    pub ended: bool,
    /// What was seen, by `Type/id`; `None`: gone.
    pub seen: BTreeMap<String, Option<Digest>>,
    /// How many triggers it made.
    pub triggers: u64,
    /// Why the last look brought nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
}

impl Watch {
    /// The watch that a `WatchBegan` line starts.
    pub fn begin(event: &Event) -> Option<Watch> {
        let Event::WatchBegan { patient, from } = event.clone() else { return None };
        let (seen, issue) = (BTreeMap::new(), None);
        Some(Watch { patient, from, looked: false, ended: false, seen, triggers: 0, issue })
    }

    /// Takes one line into account; a line of another patient's watch is passed over. One that begins
    /// again goes on with what it had seen.
    pub fn apply(&mut self, event: &Event) {
        if event.watched() != Some(self.patient.as_str()) {
            return;
        }
        match event {
            Event::WatchBegan { .. } => (self.ended, self.issue) = (false, None),
            Event::Watched { sights, more, .. } => {
                for Sight { record, digest, trigger } in sights {
                    self.seen.insert(record.clone(), *digest);
                    self.triggers += u64::from(trigger.is_some());
                }
                self.looked |= !more;
                self.issue = None;
            }
            Event::WatchPutOff { issue, .. } => self.issue = Some(issue.clone()),
            Event::WatchEnded { .. } => (self.ended, self.issue) = (true, None),
            _ => {}
        }
    }

    /// What is news, of everything that the chart holds now. The ids of triggers follow from what was
    /// seen and from how many there were before: the same look again makes the same ones.
    pub fn news(&self, found: &[Found]) -> News {
        let mut news = News::default();
        let there: BTreeSet<&str> = found.iter().map(|one| one.record.as_str()).collect();
        let gone = self
            .seen
            .iter()
            .filter(|(record, seen)| seen.is_some() && !there.contains(record.as_str()));
        let mut sights: BTreeMap<&str, (Option<Digest>, bool)> =
            gone.map(|(record, _)| (record.as_str(), (None, true))).collect();
        for one in found {
            let seen = self.seen.get(&one.record);
            let told = match (seen, one.standing) {
                (Some(seen), _) if *seen == Some(one.digest) => continue,
                (Some(_), _) => true,
                (None, Standing::Told) => self.looked || !one.is_over_before(self.from),
                (None, Standing::Open | Standing::TakenBack) => continue,
            };
            sights.insert(&one.record, (Some(one.digest), told));
        }
        for (record, (digest, told)) in sights {
            if news.sights.len() == WATCH_SIGHTS_MAX {
                news.more = true;
                break;
            }
            let number = self.triggers + news.sights.len() as u64;
            let trigger = told.then(|| self.trigger(record, digest, number));
            news.sights.push(Sight { record: record.to_owned(), digest, trigger });
        }
        news
    }

    /// Whether any of these records was not seen with this content, and somebody is to be told of it.
    pub fn is_news(&self, found: &[Found]) -> bool {
        found.iter().any(|one| match self.seen.get(&one.record) {
            Some(seen) => *seen != Some(one.digest),
            None => one.standing == Standing::Told,
        })
    }

    fn trigger(&self, record: &str, digest: Option<Digest>, number: u64) -> TriggerId {
        let digest = digest.map_or([0; 32], |digest| digest.0);
        let (patient, number) = (self.patient.as_bytes(), number.to_be_bytes());
        let pieces = [b"watch", patient, record.as_bytes(), &digest[..], &number];
        let id = Digest::of_pieces(pieces).to_string();
        TriggerId(id.chars().take(TRIGGER_CHARS).collect())
    }

    /// The word for the row: `watching`, `watch-waiting` or `watch-ended`.
    pub fn state_word(&self) -> &'static str {
        match (self.ended, &self.issue) {
            (true, _) => "watch-ended",
            (false, Some(_)) => "watch-waiting",
            (false, None) => "watching",
        }
    }
}

/// The body of a row: the watch as its lines add up to, and its pace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRow {
    /// What its lines add up to.
    pub watch: Watch,
    /// When the chart was looked at last.
    pub last: Option<Timestamp>,
    /// When it is looked at next; `None` once it has ended.
    pub next: Option<Timestamp>,
    /// How often a look failed in a row.
    pub attempt: u32,
}

/// The body of the row by which an EHR is asked what changed in its whole population. It is pace alone:
/// no line says it, and without it nothing is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CensusRow {
    /// What was written before was asked for.
    pub since: Option<Timestamp>,
    /// When it is asked next; `None`: not any more.
    pub next: Option<Timestamp>,
    /// How often that failed in a row.
    pub attempt: u32,
    /// Why it was not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<Issue>,
}

/// Hexadecimal digits of a trigger's id, as many as those that are drawn have.
const TRIGGER_CHARS: usize = 16;

impl Found {
    /// Whether it says that it was over before this day; one that says nothing is not.
    fn is_over_before(&self, from: Date) -> bool {
        self.days.is_some_and(|days| days.last < from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(kind: &str, id: &str, status: &str, day: &str) -> Found {
        let text = format!(
            r#"{{"resourceType":"{kind}","id":"{id}","meta":{{"versionId":"1"}},"status":"{status}","period":{{"start":"{day}","end":"{day}"}},"effectiveDateTime":"{day}"}}"#
        );
        Found::of(&Resource::parse(text.into_bytes()).unwrap()).unwrap()
    }

    fn begun() -> Watch {
        let from = "2026-11-20".parse().unwrap();
        Watch::begin(&Event::WatchBegan { patient: "p".into(), from }).unwrap()
    }

    /// Looks, and answers the records that set something going.
    fn look(watch: &mut Watch, found: &[Found]) -> Vec<String> {
        let News { sights, more } = watch.news(found);
        let told = sights.iter().filter(|one| one.trigger.is_some());
        let told = told.map(|one| one.record.clone()).collect();
        watch.apply(&Event::Watched { patient: "p".into(), sights, more });
        told
    }

    #[test]
    fn a_roster_takes_ids_and_record_numbers_and_names_the_lines_it_cannot_read() {
        let text = "\u{feff}# ours\nPatient/p1\n p1 \r\np2\n\nurn:mrn|A 7\nan unknown\n|x\n";
        let Roster { entries, issues, whole } = roster(text, "roster.csv");
        assert!(!whole, "two lines name nobody");
        let expected = [
            (Entry::Patient("p1".into()), 2),
            (Entry::Patient("p2".into()), 4),
            (Entry::RecordNumber("urn:mrn|A 7".into()), 6),
        ];
        assert_eq!(entries, expected.into());
        let places: Vec<_> = issues.iter().filter_map(|one| one.expression.as_deref()).collect();
        assert_eq!(places, ["roster.csv:7", "roster.csv:8"]);
        assert!(issues.iter().all(|one| one.code == Code::RosterInvalid));
        assert!(issues.iter().all(|one| !one.detail.contains("unknown")), "no line is quoted");
    }

    #[test]
    fn a_roster_of_which_something_was_not_read_says_so() {
        let long = "x\n".repeat(ROSTER_BYTES_MAX / 2 + 1);
        let many: String = (0..=ROSTER_LINES_MAX).map(|at| format!("p{at}\n")).collect();
        let table = [
            ("nobody", "# nobody\n", 0, true),
            ("read", "p1\np2\n", 2, true),
            ("a line that is no id", "p1\np 2\n", 1, false),
            ("too many bytes", &long, 0, false),
            ("too many lines", &many, ROSTER_LINES_MAX, false),
        ];
        for (case, text, count, whole) in table {
            let read = roster(text, "roster.csv");
            assert_eq!((read.entries.len(), read.whole), (count, whole), "{case}");
            assert_eq!(read.issues.is_empty(), whole, "{case}");
        }
    }

    #[test]
    fn what_was_over_before_the_watch_is_no_news_until_it_changes() {
        let mut watch = begun();
        let old = record("Encounter", "old", "finished", "2020-01-01");
        let new = record("Encounter", "new", "finished", "2026-11-21");
        let late = record("DiagnosticReport", "r", "final", "2020-01-02");
        assert_eq!(look(&mut watch, &[old.clone(), new.clone()]), ["Encounter/new"]);
        assert!(look(&mut watch, &[old.clone(), new.clone()]).is_empty(), "once");
        assert_eq!(
            look(&mut watch, &[old.clone(), new.clone(), late.clone()]),
            ["DiagnosticReport/r"]
        );
        let corrected = record("DiagnosticReport", "r", "corrected", "2020-01-02");
        let mended = record("Encounter", "old", "finished", "2020-01-03");
        let all = [mended, new.clone(), corrected.clone()];
        assert_eq!(look(&mut watch, &all), ["DiagnosticReport/r", "Encounter/old"]);
        let back = [old, new, corrected];
        assert_eq!(look(&mut watch, &back), ["Encounter/old"], "as it was before is news again");
        assert_eq!(watch.triggers, 5);
    }

    #[test]
    fn each_status_is_news_where_somebody_is_to_be_told() {
        let table = [
            ("Encounter", "in-progress", false, true),
            ("Encounter", "finished", true, true),
            ("Encounter", "cancelled", false, true),
            ("Encounter", "entered-in-error", false, true),
            ("Encounter", "", false, true),
            ("DiagnosticReport", "preliminary", false, true),
            ("DiagnosticReport", "registered", false, true),
            ("DiagnosticReport", "final", true, true),
            ("DiagnosticReport", "amended", true, true),
            ("DiagnosticReport", "cancelled", true, true),
            ("DiagnosticReport", "entered-in-error", false, true),
        ];
        for (kind, status, unseen, seen) in table {
            let mut fresh = begun();
            let now = record(kind, "a", status, "2026-11-21");
            assert_eq!(
                !look(&mut fresh, std::slice::from_ref(&now)).is_empty(),
                unseen,
                "{status}"
            );
            let mut known = begun();
            let first = if kind == "Encounter" { "finished" } else { "final" };
            look(&mut known, &[record(kind, "a", first, "2026-11-20")]);
            assert_eq!(!look(&mut known, &[now]).is_empty(), seen, "{kind} {status}");
        }
    }

    #[test]
    fn what_is_gone_is_news_once_and_what_comes_back_is_news() {
        let mut watch = begun();
        let one = record("Encounter", "a", "finished", "2026-11-21");
        look(&mut watch, std::slice::from_ref(&one));
        assert_eq!(look(&mut watch, &[]), ["Encounter/a"]);
        assert!(look(&mut watch, &[]).is_empty());
        assert_eq!(look(&mut watch, &[one]), ["Encounter/a"]);
    }

    #[test]
    fn a_version_without_another_word_is_no_news() {
        let text = |version: &str| {
            let text = format!(
                r#"{{"resourceType":"Encounter","id":"a","meta":{{"versionId":"{version}","lastUpdated":"2026-01-0{version}T00:00:00Z","source":"s"}},"status":"finished"}}"#
            );
            Found::of(&Resource::parse(text.into_bytes()).unwrap()).unwrap()
        };
        assert_eq!(text("1"), text("2"));
        assert_eq!(text("1").standing, Standing::Told);
    }

    #[test]
    fn the_same_look_makes_the_same_triggers_and_another_content_others() {
        let watch = begun();
        let found = [record("Encounter", "a", "finished", "2026-11-21")];
        assert_eq!(watch.news(&found), watch.news(&found));
        let mut later = watch.clone();
        look(&mut later, &found);
        look(&mut later, &[]);
        let again = later.news(&found).sights[0].trigger.clone();
        assert_ne!(again, watch.news(&found).sights[0].trigger, "another time, another trigger");
    }

    #[test]
    fn more_than_a_line_holds_goes_on_with_the_next_and_stays_a_first_look() {
        let mut watch = begun();
        let old = (0..WATCH_SIGHTS_MAX + 3)
            .map(|number| record("Encounter", &format!("e{number}"), "finished", "2020-01-01"));
        let found: Vec<_> = old.collect();
        assert!(look(&mut watch, &found).is_empty() && !watch.looked);
        assert!(look(&mut watch, &found).is_empty() && watch.looked);
        assert_eq!(watch.seen.len(), found.len());
    }

    #[test]
    fn a_watch_that_ended_and_begins_again_knows_what_it_saw() {
        let mut watch = begun();
        let one = record("Encounter", "a", "finished", "2026-11-21");
        look(&mut watch, std::slice::from_ref(&one));
        watch.apply(&Event::WatchEnded { patient: "p".into() });
        assert_eq!(watch.state_word(), "watch-ended");
        watch
            .apply(&Event::WatchBegan { patient: "p".into(), from: "2027-01-01".parse().unwrap() });
        assert_eq!(watch.state_word(), "watching");
        assert!(look(&mut watch, &[one]).is_empty());
        watch.apply(&Event::WatchEnded { patient: "another".into() });
        assert_eq!(watch.state_word(), "watching", "another patient's line");
    }
}
