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
mod sent;
mod town;

use charts::Chart;
use dice::Dice;
use exchange::acknowledgement::Acknowledgement;
use exchange::desk::{Command, Explained, IssueWords, Reply, Shown};
use exchange::{Issue, Purpose};
use sent::{at_payer, expected, held};
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
    if only.is_none() && cases >= CASES {
        for word in [
            "settled",
            "held",
            "withheld",
            "unchanged",
            "no walk",
            "deleted",
            "found",
            "found cut",
            "cut",
        ] {
            assert!(met.get(word).is_some_and(|count| *count >= 10), "{word}: {met:?}");
        }
    }
}

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

/// What a payer holds of the dossier, as far as it was sent.
type Before = BTreeMap<String, BTreeSet<String>>;

impl Case<'_> {
    async fn run(&self, met: &mut Met) {
        let mut dice = Dice::of(self.number);
        let mut chart = charts::draw(&mut dice, self.number);
        let (agreements, purpose) = agreements::draw(&mut dice);
        let hospital = Hospital::open(self.house, self.folder, self.key, &agreements);
        let mut before = Before::new();
        for round in 0..1 + usize::from(dice.chance(40)) {
            for _ in 0..if round > 0 { dice.below(3) } else { 0 } {
                chart.change(&mut dice);
            }
            std::fs::write(self.folder.join("restrictions.toml"), &chart.restrictions).unwrap();
            hospital.hold(&chart.all);
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
        let encounter = self.chart.encounter.clone();
        let explain = Command::Explain { encounter, purpose, who: who() };
        let explained = self.hospital.command(explain).await;
        let trigger = self.hospital.push(&self.chart.encounter, purpose).await;
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
        let sent = self.hospital.sent(&told.payer);
        if let Some(push) = &told.unchanged {
            assert_eq!((shown.row.state.as_str(), sent.len()), ("unchanged", 0), "{name}");
            let line = format!("same content as {push}; nothing is sent");
            assert!(shown.timeline.iter().any(|row| row.what == line), "{name}");
            return count(met, "unchanged");
        }
        assert_eq!(shown.decisions, told.decisions, "{name}: the decisions");
        assert_eq!(shown.findings, told.findings, "{name}: the findings");
        assert_eq!(shown.row.withheld, sums(told), "{name}: the sums by rule");
        self.about_what_travels(&name, told);
        if self.stays_whole(told) {
            assert_eq!((shown.row.state.as_str(), sent.len()), ("withheld", 0), "{name}");
            return count(met, "withheld");
        }
        let sent = match told.waits.is_empty() {
            true => sent,
            false => {
                assert_eq!((shown.row.state.as_str(), sent.len()), ("held", 0), "{name}");
                assert_eq!(words(&shown.row.issues), words(&told.waits), "{name}");
                count(met, "held");
                let release = Command::Release { id: id.into(), who: who(), member: None };
                self.hospital.command(release).await.unwrap();
                self.hospital.walk().await;
                shown = self.hospital.show(id).await;
                self.hospital.sent(&told.payer)
            }
        };
        assert_eq!(
            (shown.row.state.as_str(), sent.len()),
            ("settled", 1),
            "{name}: {:?}",
            shown.row
        );
        count(met, "settled");
        self.acknowledged(&name, &shown, told, met);
        self.bundle(&name, &sent[0], told, before, met);
    }

    fn stays_whole(&self, told: &Explained) -> bool {
        let all = &self.chart.all;
        let patient = all.iter().find(|it| it["resourceType"] == "Patient").map(charts::reference);
        let subjects = [Some(self.chart.encounter.clone()), patient];
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

    /// Exactly what explain said is in the Bundle.
    fn bundle(
        &self,
        name: &str,
        sent: &[u8],
        told: &Explained,
        before: &mut Before,
        met: &mut Met,
    ) {
        let bundle: Value = serde_json::from_slice(sent).unwrap();
        let (held, gone) = held(&bundle);
        let expected = expected(&self.chart.all, &told.decisions);
        let ids = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(ids(&held), ids(&expected), "{name}: which resources");
        for (record, value) in &expected {
            assert_eq!(&held[record], value, "{name}: {record}");
        }
        let text = std::str::from_utf8(sent).unwrap();
        for row in told.decisions.iter().filter(|row| !row.included) {
            let traces = [format!("{}\"", row.reference), at_payer(&row.reference)];
            let trace = traces.iter().find(|trace| text.contains(trace.as_str()));
            let is_deleted = gone.contains(&at_payer(&row.reference));
            assert!(trace.is_none() || is_deleted, "{name}: a trace of {}", row.reference);
        }
        if told.decisions.iter().any(|row| row.included && !row.cuts.is_empty()) {
            count(met, "cut");
        }
        // Whatever went before and does not go now is taken back, and nothing else is.
        let earlier = before.insert(told.payer.to_string(), ids(&held)).unwrap_or_default();
        let no_longer: BTreeSet<_> =
            earlier.difference(&ids(&held)).filter(|it| is_a_patients(it)).cloned().collect();
        assert_eq!(gone, no_longer, "{name}: what is taken back");
        if !gone.is_empty() {
            count(met, "deleted");
        }
    }
}

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
