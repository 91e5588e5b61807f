//! Goal: what explain says before is what is sent after, resource by resource and element by
//! element, and so are the findings.
//!
//! How: charts, restrictions and agreements drawn from seeds; explain on the desk of a house, then the
//! push, at doors in memory that keep what they are sent. What must be in the Bundle is worked out
//! from explain's words and the chart by a reading of its own (`sent`). Then the chart changes, or
//! not, and all of it goes again. `HANDOVER_CASES` says how many cases, `HANDOVER_CASE` which one.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod agreements;
mod charts;
mod dice;
mod doors;
mod sent;
mod town;

use charts::Chart;
use dice::Dice;
use doors::{Delivered, Rung};
use exchange::acknowledgement::Acknowledgement;
use exchange::desk::{Command, Explained, IssueWords, Reply, Shown};
use exchange::{Issue, Purpose};
use provider::source::us_core::SEARCHES;
use sent::{at_payer, expected, spared};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use store::{AnyHouse, SqliteHouse};
use town::{Hospital, key, who};

const CASES: u64 = 1_000;
const THREADS: u64 = 4;

/// How often each end was met: a property that is never tried holds always.
type Met = BTreeMap<String, u64>;

#[test]
fn what_explain_says_is_what_is_sent() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cases: u64 = number("HANDOVER_CASES").unwrap_or(CASES);
    let only: Option<u64> = number("HANDOVER_CASE");
    let wanted = |case: &u64| only.is_none_or(|only| only == *case);
    let threads: Vec<_> = (0..THREADS)
        .map(|first| {
            let cases: Vec<u64> = (first..cases.max(only.map_or(0, |it| it + 1)))
                .step_by(THREADS as usize)
                .filter(wanted)
                .collect();
            std::thread::spawn(move || run(&cases))
        })
        .collect();
    let mut met = Met::new();
    for thread in threads {
        for (word, count) in thread.join().unwrap() {
            *met.entry(word).or_default() += count;
        }
    }
    if only.is_none() && cases >= 100 {
        for word in MUST_MEET.iter().copied().chain(RULES.map(|(_, word)| word)) {
            assert!(met.get(word).is_some_and(|count| *count >= cases / 200), "{word}: {met:?}");
        }
    }
}

/// Ends and ways that must have been met.
const MUST_MEET: [&str; 22] = [
    "settled",
    "Encounter",
    "DiagnosticReport",
    "Patient",
    "held",
    "withheld",
    "taken back",
    "unchanged",
    "no walk",
    "stopped",
    "deleted",
    "found",
    "found cut",
    "cut",
    "House",
    "Transaction",
    "Batch",
    "Single",
    "ServerIds",
    "parts",
    "explained that all goes back",
    "explained that some goes back",
];

fn run(cases: &[u64]) -> Met {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let house = SqliteHouse::open(&folder.path().join("store"), &"clinic".into()).unwrap();
    let (house, key, mut met) = (AnyHouse::from(house), key(), Met::new());
    for number in cases {
        let case = Case { number: *number, house: &house, folder: folder.path(), key: &key };
        runtime.block_on(case.run(&mut met));
    }
    met
}

struct Case<'a> {
    number: u64,
    house: &'a AnyHouse,
    folder: &'a Path,
    key: &'a str,
}

/// What a payer was ever sent of the dossier.
type Before = BTreeMap<String, BTreeSet<String>>;

impl Case<'_> {
    async fn run(&self, met: &mut Met) {
        let mut dice = Dice::of(self.number);
        let mut chart = charts::draw(&mut dice, self.number);
        let (agreements, purpose) = agreements::draw(&mut dice);
        let feed = chart.feed(&mut dice);
        let hospital = Hospital::open(self.house, self.folder, self.key, &agreements, feed);
        let mut before = Before::new();
        for round in 0..1 + usize::from(dice.chance(40)) + usize::from(dice.chance(10)) {
            for _ in 0..if round > 0 { dice.below(3) } else { 0 } {
                chart.change(&mut dice);
            }
            if round > 0 && dice.chance(10) {
                let subject = chart.record().to_owned();
                chart.restrict(&subject, "[]");
            }
            if round > 0 && dice.chance(20) {
                chart.end(&mut dice);
            }
            hospital.hold(&chart);
            let look = Look { case: self.number, round, hospital: &hospital, chart: &chart };
            look.compare(purpose, &mut before, met).await;
        }
    }
}

struct Look<'a> {
    case: u64,
    round: usize,
    hospital: &'a Hospital,
    chart: &'a Chart,
}

fn count(met: &mut Met, word: &str) {
    *met.entry(word.to_owned()).or_default() += 1;
}

impl Look<'_> {
    /// The case to run again.
    fn name(&self) -> String {
        format!("HANDOVER_CASE={} (round {})", self.case, self.round)
    }

    async fn compare(&self, purpose: Option<Purpose>, before: &mut Before, met: &mut Met) {
        let subject = self.chart.subject.clone();
        let explain = Command::Explain { subject, purpose, who: who() };
        let explained = self.hospital.command(explain).await;
        let trigger = self.hospital.push(&self.chart.subject, purpose).await;
        let (payers, issues) = match explained {
            Ok(Reply::Explained { payers, issues, .. }) => (payers, issues),
            Err(issue) => return self.stopped(&trigger, &issue, met).await,
            Ok(other) => panic!("{other:?}"),
        };
        let shown = self.hospital.show(&trigger).await;
        assert_eq!(words(&shown.row.issues), words(&issues), "{}: the trigger", self.name());
        if payers.is_empty() {
            count(met, "no walk");
        }
        for payer in &payers {
            let id = format!("{trigger}.{}", payer.payer);
            self.payer(&id, payer, before, met).await;
        }
    }

    /// What explain could not say for, no payer may be sent.
    async fn stopped(&self, trigger: &str, issue: &Issue, met: &mut Met) {
        count(met, "stopped");
        let mut told = words(&self.hospital.show(trigger).await.row.issues);
        for (payer, _) in agreements::PAYERS {
            let id = format!("{trigger}.{payer}");
            let show = Command::Show { id, page: false };
            if let Ok(Reply::Shown(shown)) = self.hospital.command(show).await {
                told.extend(words(&shown.row.issues));
            }
        }
        assert!(told.contains(issue), "{}: {issue:?} is not among {told:?}", self.name());
    }

    async fn payer(&self, id: &str, told: &Explained, before: &mut Before, met: &mut Met) {
        let name = format!("{}, {}", self.name(), told.payer);
        let mut shown = self.hospital.show(id).await;
        let (rung, mut sent, _) = self.hospital.door(&told.payer);
        self.explained_what_goes_back(&name, id, told, met).await;
        if let Some(push) = &told.unchanged {
            assert_eq!((shown.row.state.as_str(), sent.bodies.len()), ("unchanged", 0), "{name}");
            let line = format!("same content as {push}; nothing is sent");
            assert!(shown.timeline.iter().any(|row| row.what == line), "{name}");
            return count(met, "unchanged");
        }
        assert_eq!(shown.decisions, told.decisions, "{name}: the decisions");
        assert_eq!(shown.findings, told.findings, "{name}: the findings");
        assert_eq!(shown.row.withheld, sums(told), "{name}: the sums by rule");
        self.about_what_travels(&name, told);
        if self.stays_whole(told) {
            return self.stayed(&name, &shown, told, &sent, before, met);
        }
        if !told.waits.is_empty() {
            assert_eq!((shown.row.state.as_str(), sent.bodies.len()), ("held", 0), "{name}");
            assert_eq!(words(&shown.row.issues), words(&told.waits), "{name}");
            count(met, "held");
            let release = Command::Release { id: id.into(), who: who(), member: None };
            self.hospital.command(release).await.unwrap();
            self.hospital.walk().await;
            shown = self.hospital.show(id).await;
            sent = self.hospital.door(&told.payer).1;
        }
        assert_eq!(shown.row.state, "settled", "{name}: {:?}", shown.row);
        count(met, "settled");
        count(met, self.chart.subject.split('/').next().unwrap_or_default());
        count(met, &format!("{rung:?}"));
        self.acknowledged(&name, &shown, told, met);
        let (_, _, stands) = self.hospital.door(&told.payer);
        self.arrived(&name, rung, &sent, &stands, told, met);
        self.taken_back(&name, &sent, &stands, told, before, met);
    }

    /// What the push deletes at the payer is what explain said, each by its name in the chart.
    async fn explained_what_goes_back(
        &self,
        name: &str,
        id: &str,
        told: &Explained,
        met: &mut Met,
    ) {
        let deleted = self.hospital.deletes(id).await;
        let said = told.taken_back.iter().map(|one| one.record.clone()).collect();
        assert_eq!(deleted, said, "{name}: what is taken back");
        for one in &told.taken_back {
            match &one.source {
                Some(source) => assert_eq!(at_payer(source), one.record, "{name}"),
                None => assert!(one.record.starts_with("Provenance/"), "{name}: {one:?}"),
            }
        }
        if told.nothing.is_some() && !told.taken_back.is_empty() {
            count(met, "explained that all goes back");
        } else if !told.taken_back.is_empty() {
            count(met, "explained that some goes back");
        }
    }

    /// Nothing may travel: what was sent before is taken back, and nothing is sent.
    fn stayed(
        &self,
        name: &str,
        shown: &Shown,
        told: &Explained,
        sent: &Delivered,
        before: &mut Before,
        met: &mut Met,
    ) {
        // Records in a circle are led apart before they go.
        assert!(sent.put.is_subset(&sent.gone), "{name}: {:?}", sent.put);
        let earlier = before.get(told.payer.as_str());
        let taken: BTreeSet<_> =
            earlier.into_iter().flatten().filter(|it| is_a_patients(it)).cloned().collect();
        if shown.row.state == "withheld" {
            assert_eq!(sent.bodies.len(), 0, "{name}");
            let stands = self.hospital.door(&told.payer).2;
            assert!(taken.iter().all(|record| !stands.contains_key(record)), "{name}: left there");
            return count(met, "withheld");
        }
        assert_eq!(shown.row.state, "settled", "{name}: {:?}", shown.row);
        assert_eq!(sent.gone, taken, "{name}: all of it is taken back");
        count(met, "taken back");
    }

    fn stays_whole(&self, told: &Explained) -> bool {
        let all = &self.chart.all;
        let patient = all.iter().find(|it| it["resourceType"] == "Patient").map(charts::reference);
        let subjects = [Some(self.chart.record().to_owned()), patient];
        subjects.iter().flatten().any(|subject| {
            let decision = told.decisions.iter().find(|row| row.reference == *subject);
            decision.is_none_or(|row| !row.included)
        })
    }

    /// Findings are of what travels, and a rule they name is one that cut something or withheld it.
    fn about_what_travels(&self, name: &str, told: &Explained) {
        let travels: BTreeSet<&str> = told
            .decisions
            .iter()
            .filter(|row| row.included)
            .map(|row| row.reference.as_str())
            .collect();
        let rules: BTreeSet<&str> = told
            .decisions
            .iter()
            .flat_map(|row| {
                row.cuts.iter().map(|(_, rule)| rule.as_str()).chain([row.rule.as_str()])
            })
            .collect();
        for finding in &told.findings {
            for place in &finding.places {
                assert!(travels.contains(place.record.as_str()), "{name}: {place:?}");
            }
            assert!(finding.cut_by.as_deref().is_none_or(|rule| rules.contains(rule)), "{name}");
            assert!(finding.purposes.contains(&told.purpose), "{name}");
        }
    }

    fn acknowledged(&self, name: &str, shown: &Shown, told: &Explained, met: &mut Met) {
        let document = shown.acknowledgement.clone().unwrap();
        let document: Acknowledgement = serde_json::from_value(document).unwrap();
        assert_eq!(document.findings, told.findings, "{name}: the acknowledgement");
        if !told.findings.is_empty() {
            count(met, "found");
        }
        if document.findings.iter().any(|finding| finding.cut_by.is_some()) {
            count(met, "found cut");
        }
    }

    /// Exactly what explain said is there: in one Bundle, or in all parts together with what the
    /// door had already.
    fn arrived(
        &self,
        name: &str,
        rung: Rung,
        sent: &Delivered,
        stands: &BTreeMap<String, Value>,
        told: &Explained,
        met: &mut Met,
    ) {
        let expected = expected(&self.chart.all, &told.decisions);
        for record in &sent.put {
            assert!(expected.contains_key(record), "{name}: {record} was not to be sent");
        }
        for (record, value) in &expected {
            assert_eq!(stands.get(record), Some(value), "{name}: {record}");
            assert!(rung != Rung::House || sent.put.contains(record), "{name}: {record}");
        }
        if rung == Rung::House {
            assert_eq!((sent.bodies.len(), sent.provenances), (1, 1), "{name}: one Bundle");
        } else if sent.bodies.len() > 1 {
            count(met, "parts");
        }
        let texts = sent.bodies.iter().map(|body| std::str::from_utf8(body).unwrap());
        let texts: Vec<&str> = texts.collect();
        for row in told.decisions.iter().filter(|row| !row.included) {
            if sent.gone.contains(&at_payer(&row.reference)) {
                continue;
            }
            for trace in [format!("{}\"", row.reference), at_payer(&row.reference)] {
                let is_told = texts.iter().any(|text| text.contains(&trace));
                assert!(!is_told, "{name}: a trace of {}", row.reference);
            }
        }
        if told.decisions.iter().any(|row| row.included && !row.cuts.is_empty()) {
            count(met, "cut");
        }
        for row in &told.decisions {
            for (rule, word) in RULES {
                if row.rule == rule || row.cuts.iter().any(|(_, cut)| cut == rule) {
                    count(met, word);
                }
            }
        }
    }

    /// Whatever went before and does not go now is taken back, and nothing else is.
    fn taken_back(
        &self,
        name: &str,
        sent: &Delivered,
        stands: &BTreeMap<String, Value>,
        told: &Explained,
        before: &mut Before,
        met: &mut Met,
    ) {
        let expected: BTreeSet<String> =
            expected(&self.chart.all, &told.decisions).into_keys().collect();
        let earlier = before.entry(told.payer.to_string()).or_default();
        let spared = spared(&self.chart.all, &told.decisions);
        let no_longer = earlier.difference(&expected).filter(|it| is_a_patients(it));
        let no_longer: BTreeSet<_> =
            no_longer.filter(|it| !spared.contains(*it)).cloned().collect();
        assert!(sent.gone.is_subset(&no_longer), "{name}: {:?} {no_longer:?}", sent.gone);
        // What no search asks for was not seen to be gone.
        let asked = |record: &&String| SEARCHES.iter().any(|(kind, _)| record.starts_with(kind));
        let left = no_longer.iter().filter(asked).find(|it| stands.contains_key(*it));
        assert_eq!(left, None, "{name}: left there");
        if !sent.gone.is_empty() {
            count(met, "deleted");
        }
        earlier.extend(expected);
    }
}

/// Rules that must have been met in what travels or stays beside it.
const RULES: [(&str, &str); 8] = [
    ("opaque-in-sensitive-period", "opaque by its days"),
    ("opaque-document", "opaque"),
    ("outside-window", "outside a window"),
    ("words-of-withheld", "words"),
    ("about-withheld", "about"),
    ("patient-restriction", "restricted"),
    ("not-in-this-kind", "another kind"),
    ("unresolved-in-source", "unresolved"),
];

/// Who treats, where and with what is taken back from no payer.
fn is_a_patients(record: &str) -> bool {
    let others = ["Practitioner", "PractitionerRole", "Organization", "Location", "Medication"];
    !others.iter().any(|kind| record.starts_with(&format!("{kind}/")))
}

fn words(all: &[IssueWords]) -> Vec<Issue> {
    all.iter().map(|words| words.issue.clone()).collect()
}

/// What stays behind, counted by rule.
fn sums(told: &Explained) -> Vec<exchange::Withholding> {
    let mut rules: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in &told.decisions {
        if !row.included {
            rules.entry(&row.rule).or_default().0 += 1;
        }
        row.cuts.iter().for_each(|(_, rule)| rules.entry(rule).or_default().1 += 1);
    }
    let row = |(rule, (resources, elements)): (&str, _)| exchange::Withholding {
        rule: rule.to_owned(),
        resources,
        elements,
    };
    rules.into_iter().map(row).collect()
}
