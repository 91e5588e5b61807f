//! Patients on the roster are looked at by themselves: what is finished, final or corrected is
//! triggered once for each of its contents, whatever fails in between.

use crate::hospital::{EHR, Hospital, ROSTER, Told, searchset, status};
use exchange::desk::{CheckLine, Command, Reply};
use exchange::watch::Watch;
use exchange::{Chain, Code, Event, Trigger};
use provider::limits::LEASE;
use provider::watch::Keeper;
use std::time::Duration;
use store::{House as _, Lease, WorkKind, WorkQuery};
use wire::Clock as _;

const ENCOUNTERS: &str = "GET https://ehr.example/fhir/Encounter?patient=Patient%2Fp1 ";
const REPORTS: &str = "GET https://ehr.example/fhir/DiagnosticReport?patient=Patient%2Fp1 ";

pub(crate) fn encounter(id: &str, status: &str, day: &str) -> String {
    format!(
        r#"{{"resourceType":"Encounter","id":"{id}","status":"{status}","class":{{"code":"AMB"}},"subject":{{"reference":"Patient/p1"}},"period":{{"start":"{day}T09:00:00Z","end":"{day}T10:00:00Z"}}}}"#
    )
}

pub(crate) fn visit() -> Told {
    status(200, searchset(&[&encounter("e1", "finished", "2026-11-22")]))
}

fn open_visit() -> Told {
    status(200, searchset(&[&encounter("e1", "in-progress", "2026-11-22")]))
}

fn moved_visit() -> Told {
    status(200, searchset(&[&encounter("e1", "finished", "2026-11-21")]))
}

fn old_visit() -> Told {
    status(200, searchset(&[&encounter("e1", "finished", "2020-01-01")]))
}

fn report_of(state: &str) -> Told {
    let text = format!(
        r#"{{"resourceType":"DiagnosticReport","id":"r1","status":"{state}","subject":{{"reference":"{EHR}/Patient/p1/_history/3"}},"effectiveDateTime":"2026-11-22"}}"#
    );
    status(200, searchset(&[&text]))
}

fn preliminary() -> Told {
    report_of("preliminary")
}

fn final_one() -> Told {
    report_of("final")
}

fn corrected() -> Told {
    report_of("corrected")
}

fn of_another() -> Told {
    let other = encounter("e7", "finished", "2026-11-22").replace("Patient/p1", "Patient/p7");
    status(200, searchset(&[&other]))
}

fn one_patient() -> Told {
    status(
        200,
        searchset(&[
            r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"17"}]}"#,
        ]),
    )
}

fn somebody_else() -> Told {
    status(
        200,
        searchset(&[
            r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"71"},{"system":"urn:other","value":"17"}]}"#,
        ]),
    )
}

pub(crate) fn nobody() -> Told {
    status(200, searchset(&[]))
}

fn away() -> Told {
    status(503, "")
}

/// A hospital with its roster, as one process takes it up.
pub(crate) struct Ward {
    pub(crate) hospital: Hospital,
    keeper: Keeper,
}

impl Ward {
    pub(crate) fn new(roster: &str) -> Ward {
        Ward { hospital: Hospital::watching(roster), keeper: Keeper::default() }
    }

    pub(crate) async fn take_up(&mut self) -> usize {
        let road = &self.hospital.road;
        self.keeper.keep(road, road.setup.watch.as_ref().unwrap()).await.unwrap()
    }

    fn write(&self, roster: &str) {
        std::fs::write(self.hospital.folder.path().join(ROSTER), roster).unwrap();
    }

    /// From now on the EHR answers so; all else is in order.
    pub(crate) fn holds(&self, encounters: fn() -> Told, reports: fn() -> Told) {
        self.hospital.network.mend();
        self.hospital.network.spoil(ENCOUNTERS, encounters);
        self.hospital.network.spoil(REPORTS, reports);
    }

    /// An hour later; answers what was triggered so far, oldest first.
    pub(crate) async fn look(&self) -> Vec<String> {
        self.hospital.clock.advance(1);
        self.hospital.work().await;
        self.triggered().await
    }

    async fn triggered(&self) -> Vec<String> {
        let subjects = |(_, event): &(_, Event)| match event {
            Event::Triggered { subject, who, .. } if who.name == "watch" => {
                Some(subject.to_string())
            }
            _ => None,
        };
        self.lines().await.iter().filter_map(subjects).collect()
    }

    async fn lines(&self) -> Vec<(jiff::Timestamp, Event)> {
        let story = self.hospital.house.story(&Chain::House).await.unwrap();
        story.iter().map(|entry| (entry.at, entry.event().unwrap())).collect()
    }

    async fn status(&self) -> Vec<CheckLine> {
        match self.hospital.command(Command::Watch {}).await.unwrap() {
            Reply::Watch { lines } => lines,
            other => panic!("{other:?}"),
        }
    }

    /// The row of the only watch is what its lines add up to.
    pub(crate) async fn adds_up(&self) {
        let id = "watch.p1";
        let stored = self.hospital.house.work(id).await.unwrap().unwrap();
        let row = provider::watch::read(&stored.work).unwrap();
        let lines = self.lines().await;
        let mut own = lines.iter().map(|line| &line.1).filter(|it| it.watched() == Some("p1"));
        let mut replayed = Watch::begin(own.next().unwrap()).unwrap();
        own.for_each(|event| replayed.apply(event));
        assert_eq!(row.watch, replayed);
        assert_eq!(stored.work.state, replayed.state_word());
        assert_eq!(stored.work.due, row.next);
        for trigger in self.rows(WorkKind::Trigger).await {
            let trigger: Trigger = serde_json::from_slice(&trigger.work.body).unwrap();
            let said = lines.iter().filter(|(_, event)| event.trigger() == Some(&trigger.id));
            assert!(said.count() > 0, "a trigger without a line");
        }
    }

    async fn rows(&self, kind: WorkKind) -> Vec<store::StoredWork> {
        let query = WorkQuery { kind: Some(kind), limit: 100, ..WorkQuery::default() };
        let mut rows = self.hospital.house.works(query).await.unwrap();
        rows.retain(|row| row.work.state != "census");
        rows
    }

    async fn claim(&self) -> Lease {
        let now = self.hospital.house.clock(self.hospital.clock.now());
        let mut claimed = self.hospital.house.claim(now, LEASE, 10).await.unwrap();
        claimed.retain(|lease| lease.work.work.id == "watch.p1");
        claimed.remove(0)
    }
}

#[tokio::test]
async fn each_content_is_triggered_once_and_only_when_somebody_is_to_be_told() {
    let mut ward = Ward::new("p1\n");
    assert_eq!((ward.take_up().await, ward.take_up().await), (2, 0), "a patient, and the census");
    let mut so_far: Vec<String> = Vec::new();
    for (case, encounters, reports, news) in [
        ("under way", open_visit as fn() -> Told, preliminary as fn() -> Told, &[][..]),
        ("finished", visit, preliminary, &["Encounter/e1"][..]),
        ("the same", visit, preliminary, &[]),
        ("a result", visit, final_one, &["DiagnosticReport/r1"]),
        ("the same again", visit, final_one, &[]),
        ("corrected", visit, corrected, &["DiagnosticReport/r1"]),
        ("moved", moved_visit, corrected, &["Encounter/e1"]),
        ("another patient's in a careless answer", moved_visit, corrected, &[]),
    ] {
        ward.holds(encounters, reports);
        so_far.extend(news.iter().map(|news| (*news).to_owned()));
        assert_eq!(ward.look().await, so_far, "{case}");
        ward.adds_up().await;
    }
    ward.holds(of_another, corrected);
    so_far.push("Encounter/e1".into());
    assert_eq!(ward.look().await, so_far, "gone: and another patient's is no news");
    ward.adds_up().await;
}

#[tokio::test]
async fn a_finished_encounter_reaches_the_plan_by_itself() {
    let mut ward = Ward::new("Patient/p1\n");
    ward.holds(visit, nobody);
    ward.take_up().await;
    let rows = ward.hospital.work().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].state.as_str(), rows[0].subject.as_deref()),
        ("settled", Some("Encounter/e1"))
    );
}

#[tokio::test]
async fn what_was_over_before_the_watch_is_triggered_when_it_changes() {
    let mut ward = Ward::new("p1\n");
    ward.holds(old_visit, nobody);
    ward.take_up().await;
    assert!(ward.look().await.is_empty());
    ward.holds(moved_visit, nobody);
    assert_eq!(ward.look().await, ["Encounter/e1"]);
}

#[tokio::test]
async fn an_ehr_that_is_away_puts_looks_off_with_one_line_and_loses_nothing() {
    let mut ward = Ward::new("p1\n");
    ward.take_up().await;
    ward.holds(visit, away);
    for _ in 0..5 {
        assert!(ward.look().await.is_empty(), "half of a look is none");
    }
    let put_off = |(_, event): &(_, Event)| matches!(event, Event::WatchPutOff { .. });
    assert_eq!(ward.lines().await.iter().filter(|line| put_off(line)).count(), 1);
    ward.adds_up().await;
    let waits = |lines: &[CheckLine]| {
        let codes = lines.iter().filter_map(|line| line.issue.as_ref().map(|it| it.issue.code));
        codes.collect::<Vec<_>>()
    };
    assert_eq!(waits(&ward.status().await), [Code::SourceUnreachable]);
    let Reply::Checked { lines } = ward.hospital.command(Command::Check {}).await.unwrap() else {
        panic!("check");
    };
    assert!(lines.iter().any(|line| line.what == "watch: Patient/p1"), "{lines:?}");
    let list = Command::List { states: vec![], limit: None };
    let Reply::Listed { counts, .. } = ward.hospital.command(list).await.unwrap() else {
        panic!("list");
    };
    assert_eq!(counts, [("watch-waiting".to_owned(), 1)]);
    ward.holds(visit, nobody);
    assert_eq!(ward.look().await, ["Encounter/e1"]);
    assert!(waits(&ward.status().await).is_empty());
    ward.adds_up().await;
}

#[tokio::test]
async fn the_roster_is_taken_up_live_and_a_file_that_is_away_ends_nothing() {
    let mut ward = Ward::new("p2\n");
    ward.holds(visit, nobody);
    assert_eq!(ward.take_up().await, 2);
    assert!(ward.look().await.is_empty());
    ward.write("p2\np1\n");
    assert_eq!(ward.take_up().await, 1);
    assert_eq!(ward.look().await, ["Encounter/e1"]);
    std::fs::remove_file(ward.hospital.folder.path().join(ROSTER)).unwrap();
    assert_eq!(ward.take_up().await, 0);
    ward.look().await;
    let states = |rows: Vec<store::StoredWork>| {
        let mut states: Vec<_> =
            rows.into_iter().map(|row| (row.work.id, row.work.state)).collect();
        states.sort();
        states
    };
    let row = |id: &str, state: &str| (id.to_owned(), state.to_owned());
    let both = [row("watch.p1", "watching"), row("watch.p2", "watching")];
    assert_eq!(states(ward.rows(WorkKind::Watch).await), both);
    ward.write("p2\n");
    ward.take_up().await;
    ward.look().await;
    let one = [row("watch.p1", "watch-ended"), row("watch.p2", "watching")];
    assert_eq!(states(ward.rows(WorkKind::Watch).await), one);
    ward.holds(moved_visit, nobody);
    assert_eq!(ward.look().await.len(), 1, "nobody looks any more");
    ward.write("p1\np2\n");
    assert_eq!(ward.take_up().await, 1);
    assert_eq!(ward.look().await.len(), 2, "what changed meanwhile is news");
    ward.adds_up().await;
}

#[tokio::test]
async fn a_roster_of_which_something_was_not_read_ends_nobodys_watch_and_begins_new_ones() {
    let long = format!("p2\n{}", "# a line about nobody\n".repeat(900_000));
    let table = [
        ("a line that was damaged", "p 1\np2\np3\n", true),
        ("a record number that is nobody's", "urn:mrn|1\np2\np3\n", true),
        ("more than a roster may have", long.as_str(), false),
    ];
    for (case, roster, begins) in table {
        let mut ward = Ward::new("p1\np2\n");
        ward.take_up().await;
        for restarts in [false, true] {
            if restarts {
                ward.hospital = ward.hospital.restarted_with("sunrise");
                ward.keeper = Keeper::default();
            }
            ward.write(roster);
            ward.holds(visit, nobody);
            ward.hospital.network.spoil("POST https://ehr.example/fhir/Patient/_search ", nobody);
            ward.take_up().await;
            ward.look().await;
            let rows = ward.rows(WorkKind::Watch).await;
            let ended = rows.iter().filter(|row| row.work.state == "watch-ended").count();
            assert_eq!((rows.len(), ended), (2 + usize::from(begins), 0), "{case}");
            assert!(ward.status().await.iter().any(|line| {
                line.issue.as_ref().is_some_and(|it| it.issue.code == Code::RosterInvalid)
            }));
        }
        ward.write("p2\n");
        ward.take_up().await;
        ward.look().await;
        let rows = ward.rows(WorkKind::Watch).await;
        let ended = rows.iter().filter(|row| row.work.state == "watch-ended").count();
        assert_eq!(
            ended,
            1 + usize::from(begins),
            "{case}: read whole, it ends what it leaves out"
        );
    }
}

/// As after an export that broke off.
#[tokio::test]
async fn a_roster_that_names_few_of_those_who_are_watched_ends_nobodys_watch() {
    let lines = |from: u32, to: u32| (from..=to).map(|n| format!("p{n}\n")).collect::<String>();
    // How many are watched, what the roster is then, how many of them it ends, how many it begins.
    let table = [
        ("nobody of twelve", 12, String::new(), None, 0),
        ("nobody of two", 2, "# nobody\n".to_owned(), None, 0),
        ("five of twelve", 12, lines(1, 5), None, 0),
        ("five of twelve, and ten others", 12, lines(1, 5) + &lines(101, 110), Some(7), 10),
        ("five of twelve, and another", 12, lines(1, 5) + &lines(101, 101), None, 1),
        ("six of twelve", 12, lines(1, 6), Some(6), 0),
        ("one of nine", 9, lines(1, 1), Some(8), 0),
    ];
    for (case, watched, roster, ends, begins) in table {
        let all = lines(1, watched);
        let mut ward = Ward::new(&all);
        ward.holds(nobody, nobody);
        ward.take_up().await;
        for restarts in [false, true] {
            if restarts {
                ward.hospital = ward.hospital.restarted_with("sunrise");
                ward.keeper = Keeper::default();
            }
            ward.write(&roster);
            ward.take_up().await;
            ward.look().await;
            let rows = ward.rows(WorkKind::Watch).await;
            let ended = rows.iter().filter(|row| row.work.state == "watch-ended").count();
            assert_eq!(rows.len(), (watched + begins) as usize, "{case}");
            assert_eq!(ended, ends.unwrap_or_default(), "{case}");
            let told: Vec<_> =
                ward.status().await.into_iter().filter_map(|line| line.issue).collect();
            assert_eq!(told.len(), usize::from(ends.is_none()), "{case}: {told:?}");
            let place = told.iter().filter_map(|told| told.issue.expression.as_ref());
            assert!(place.clone().all(|place| place.ends_with(ROSTER)), "{case}: {told:?}");
            assert!(told.iter().all(|told| told.issue.code == Code::RosterInvalid), "{case}");
        }
        ward.write(&format!("# mended\n{all}"));
        ward.take_up().await;
        ward.look().await;
        let rows = ward.rows(WorkKind::Watch).await;
        let on = rows.iter().filter(|row| row.work.state == "watching").count();
        assert_eq!(on, watched as usize, "{case}: whoever is named goes on");
    }
}

#[tokio::test]
async fn a_patient_whom_the_ehr_does_not_hold_is_told_as_a_line_that_names_nobody() {
    const NONE: &str = "GET https://ehr.example/fhir/Patient/p2 ";
    let gone: [fn() -> Told; 2] = [|| status(404, ""), || status(410, "")];
    for gone in gone {
        let mut ward = Ward::new("p1\nPatient/p2\n");
        ward.holds(visit, nobody);
        ward.hospital.network.spoil(NONE, gone);
        ward.take_up().await;
        assert_eq!(ward.look().await, ["Encounter/e1"], "the other line's patient is looked at");
        ward.look().await;
        let lines = ward.status().await;
        let line = lines.iter().find(|line| line.what == "watch: Patient/p2").unwrap();
        let issue = &line.issue.as_ref().unwrap().issue;
        assert_eq!(issue.code, Code::RosterInvalid);
        assert!(issue.expression.as_ref().unwrap().ends_with("roster.csv:2"), "{issue}");
        let list = Command::List { states: vec!["watch-waiting".into()], limit: None };
        let Reply::Listed { counts, .. } = ward.hospital.command(list).await.unwrap() else {
            panic!("list");
        };
        assert!(counts.contains(&("watch-waiting".to_owned(), 1)), "{counts:?}");
        let asked = ward.hospital.network.asked();
        let count = |ends: &str| asked.iter().filter(|line| line.ends_with(ends)).count();
        assert_eq!(count("/Patient/p1"), 2, "once for the watch, and once for the push");
        assert_eq!(count("Encounter?patient=Patient%2Fp2"), 0);
        ward.holds(visit, nobody);
        ward.look().await;
        let lines = ward.status().await;
        assert!(lines.iter().all(|line| line.issue.is_none()), "held now: {lines:?}");
    }
}

#[tokio::test]
async fn a_record_number_is_asked_for_and_a_line_that_names_nobody_is_told() {
    let mut ward = Ward::new("urn:mrn|17\nno such line\nurn:mrn|18\n");
    let search = "POST https://ehr.example/fhir/Patient/_search ";
    ward.hospital.network.spoil(search, nobody);
    ward.take_up().await;
    let issues = |lines: Vec<CheckLine>| {
        let issues = lines.into_iter().filter_map(|line| line.issue.map(|it| it.issue));
        issues.map(|it| (it.code, it.expression.unwrap_or_default())).collect::<Vec<_>>()
    };
    let found = issues(ward.status().await);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found.iter().all(|(code, place)| *code == Code::RosterInvalid && place.contains(ROSTER))
    );

    ward.write("urn:mrn|17\n");
    ward.hospital.network.mend();
    ward.hospital.network.spoil(search, away);
    assert_eq!(ward.take_up().await, 0);
    assert_eq!(issues(ward.status().await)[0].0, Code::SourceUnreachable);
    ward.hospital.network.mend();
    ward.hospital.network.spoil(search, somebody_else);
    ward.take_up().await;
    let found = issues(ward.status().await);
    assert_eq!((found.len(), found[0].0), (1, Code::RosterInvalid), "another's number");
    assert!(ward.rows(WorkKind::Watch).await.is_empty(), "nobody is watched for it");

    ward.write("# mended\nurn:mrn|17\n");
    ward.hospital.network.mend();
    ward.hospital.network.spoil(search, away);
    assert_eq!(ward.take_up().await, 0);
    ward.hospital.network.mend();
    ward.hospital.network.spoil(search, one_patient);
    assert_eq!(ward.take_up().await, 1, "asked again without a change of the file");
    assert!(issues(ward.status().await).is_empty());
    assert_eq!(ward.rows(WorkKind::Watch).await[0].work.id, "watch.p1");
    let told =
        serde_json::to_string(&ward.lines().await.iter().map(|it| &it.1).collect::<Vec<_>>());
    assert!(!told.unwrap().contains("urn:mrn"), "no record number stands in the ledger");
}

#[tokio::test]
async fn a_slow_process_whose_lease_passed_on_triggers_nothing_twice() {
    let mut ward = Ward::new("p1\n");
    ward.holds(visit, nobody);
    ward.take_up().await;
    let slow = ward.claim().await;
    ward.hospital.clock.advance(1);
    let other = ward.claim().await;
    ward.hospital.road.walk(&other).await.unwrap();
    assert!(ward.hospital.road.walk(&slow).await.is_err(), "overtaken");
    assert_eq!(ward.triggered().await, ["Encounter/e1"]);
    ward.adds_up().await;
}

#[tokio::test]
async fn two_processes_take_one_roster_up_and_each_patient_has_one_row() {
    let mut ward = Ward::new("p1\np2\n");
    let mut other = Keeper::default();
    let road = std::sync::Arc::clone(&ward.hospital.road);
    let watching = road.setup.watch.as_ref().unwrap();
    let (one, two) = (ward.take_up().await, other.keep(&road, watching).await.unwrap());
    assert_eq!((one, two), (3, 0));
    assert_eq!(ward.rows(WorkKind::Watch).await.len(), 2);
}

#[tokio::test]
async fn a_house_without_a_watch_says_so_and_ends_what_it_had_begun() {
    let mut ward = Ward::new("p1\n");
    ward.take_up().await;
    std::fs::remove_file(ward.hospital.folder.path().join(ROSTER)).unwrap();
    let hospital = ward.hospital.without_payers();
    let ward = Ward { hospital, keeper: Keeper::default() };
    assert!(ward.status().await[0].found.contains("off"));
    ward.look().await;
    assert_eq!(ward.rows(WorkKind::Watch).await[0].work.state, "watch-ended");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    drop(stop);
    let stopped = async { drop(stopped.await) };
    let run = provider::watch::run(ward.hospital.road.clone(), ward.hospital.wake.clone(), stopped);
    tokio::time::timeout(Duration::from_secs(5), run).await.unwrap();
}

const POPULATION: &str = "GET https://ehr.example/fhir/Encounter?_lastUpdated=ge2026";

fn refused() -> Told {
    status(400, "")
}

#[tokio::test]
async fn what_changed_in_the_population_is_looked_at_before_its_turn() {
    let mut ward = Ward::new("p1\n");
    ward.holds(open_visit, nobody);
    ward.take_up().await;
    ward.hospital.work().await;
    let minutes =
        |minutes| ward.hospital.clock.advance_by(jiff::SignedDuration::from_mins(minutes));
    ward.holds(visit, nobody);
    ward.hospital.network.spoil(POPULATION, of_another);
    minutes(2);
    ward.hospital.work().await;
    assert!(ward.triggered().await.is_empty(), "nobody on the roster");
    ward.holds(visit, nobody);
    ward.hospital.network.spoil(POPULATION, visit);
    minutes(2);
    ward.hospital.work().await;
    assert_eq!(ward.triggered().await, ["Encounter/e1"]);
    let looks = || {
        ward.hospital
            .network
            .asked()
            .iter()
            .filter(|it| it.contains("patient=Patient%2Fp1"))
            .count()
    };
    let before = looks();
    minutes(2);
    ward.hospital.work().await;
    assert_eq!(looks(), before, "what was seen hurries nobody");
    ward.adds_up().await;
}

#[tokio::test]
async fn an_ehr_that_cannot_be_asked_for_its_population_is_looked_at_in_turn() {
    let mut ward = Ward::new("p1\n");
    ward.take_up().await;
    ward.holds(visit, nobody);
    ward.hospital.network.spoil(POPULATION, refused);
    assert_eq!(ward.look().await, ["Encounter/e1"]);
    let lines = ward.status().await;
    let line = lines.iter().find(|line| line.what == "watch: population").unwrap();
    assert!(line.issue.is_none() && line.found.contains("in turn"), "{line:?}");
}
