//! Goal: what people say of payors and restrictions counts from the next push on, lets go on what
//! waited for it, and leaves a line that names neither payor nor patient.

use crate::desk::release;
use crate::hospital::{COVERAGE, EHR, Hospital, SENT, Told, not_sent, searchset, status, who};
use exchange::Code;
use exchange::desk::{
    Command, PayorCommand, PayorMapped, PayorsTold, Reply, RestrictionCommand, RestrictionsChanged,
};
use exchange::restriction::Restriction;
use exchange::scope::{End, PayorKey, PayorRow};
use exchange::{Issue, Purpose};
use jiff::Timestamp;
use std::fs::{self, File};
use std::time::SystemTime;
use store::House as _;

fn with_harborlight() -> String {
    let payor = r#"{"reference":"Organization/o7","display":"Harborlight"}"#;
    COVERAGE.replace(r#"{"identifier":{"system":"urn:naic","value":"99001"}}"#, payor)
}

fn elsewhere() -> Told {
    status(200, searchset(&[&with_harborlight()]))
}

fn coverage() -> Told {
    status(200, with_harborlight())
}

fn harborlight() -> Told {
    status(
        200,
        r#"{"resourceType":"Organization","id":"o7","name":"Harborlight","identifier":[{"value":"plain"},{"system":"urn:naic","value":"77123"}]}"#,
    )
}

/// A hospital whose patient's payor is one that no agreement names.
fn unmapped() -> Hospital {
    let hospital = Hospital::open();
    hospital.network.spoil(&format!("GET {EHR}/Coverage?"), elsewhere);
    hospital.network.spoil(&format!("GET {EHR}/Coverage/c1"), coverage);
    hospital.network.spoil(&format!("GET {EHR}/Organization/o7"), harborlight);
    hospital
}

fn by_name(name: &str, partner: Option<&str>) -> PayorRow {
    let none = partner.is_none().then(|| "settled on paper".to_owned());
    let partner = partner.map(Into::into);
    PayorRow { name: Some(name.into()), partner, none, ..PayorRow::default() }
}

async fn payors(hospital: &Hospital) -> PayorsTold {
    let list = Command::Payor(PayorCommand::List { who: who() });
    match hospital.command(list).await.unwrap() {
        Reply::Payors(told) => told,
        other => panic!("{other:?}"),
    }
}

async fn map(
    hospital: &Hospital,
    payor: Option<&PayorKey>,
    row: PayorRow,
) -> Result<PayorMapped, Issue> {
    let payor = payor.cloned();
    let map = PayorCommand::Map { payor, row: Box::new(row), who: who() };
    match hospital.command(Command::Payor(map)).await? {
        Reply::PayorMapped(mapped) => Ok(*mapped),
        other => panic!("{other:?}"),
    }
}

async fn restrict(
    hospital: &Hospital,
    command: RestrictionCommand,
) -> Result<RestrictionsChanged, Issue> {
    match hospital.command(Command::Restriction(command)).await? {
        Reply::RestrictionsChanged(changed) => Ok(changed),
        other => panic!("{other:?}"),
    }
}

fn restriction(subject: &str) -> Restriction {
    let (payers, except_purposes) = (Vec::new(), Vec::new());
    let (subject, reason) = (subject.to_owned(), "self-pay".to_owned());
    Restriction { subject, reason, payers, except_purposes }
}

fn add(subject: &str) -> RestrictionCommand {
    RestrictionCommand::Add { row: restriction(subject), who: who() }
}

/// Everything that the ledger and the rows of work say.
async fn written_down(hospital: &Hospital) -> String {
    let lines = hospital.house.entries(1, 1_000).await.unwrap();
    let rows = hospital.house.works(store::WorkQuery { limit: 100, ..Default::default() });
    let rows = rows.await.unwrap();
    let rows = rows.iter().map(|row| String::from_utf8_lossy(&row.work.body).into_owned());
    lines.into_iter().map(|line| line.body).chain(rows).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_payor_is_mapped_once_and_all_that_waited_goes_on() {
    let hospital = unmapped();
    hospital.push().await;
    hospital.waits("an unknown payor", "held", Code::PayerUnmapped).await;
    hospital.push().await;
    let told = payors(&hospital).await;
    assert_eq!((told.waiting.len(), told.rows.len(), told.more), (1, 0, false));
    let waiting = &told.waiting[0];
    assert_eq!(waiting.triggers, 2, "each payor once, with all that waits for it");
    let known = waiting.known_as.as_ref().unwrap();
    assert!(known.names.contains("Harborlight") && known.identifiers.len() == 2, "{known:?}");

    let to_sunrise = PayorRow { partner: Some("sunrise".into()), ..PayorRow::default() };
    let mapped = map(&hospital, Some(&waiting.payor), to_sunrise).await.unwrap();
    assert_eq!((mapped.known, mapped.released), (false, 2));
    assert_eq!(mapped.row.identifier.as_deref(), Some("urn:naic|77123"), "with its system");
    let rows = hospital.work().await;
    let states: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
    assert!(states.contains(&"settled") && !states.contains(&"held"), "{rows:?}");
    let told = payors(&hospital).await;
    assert_eq!((told.waiting.len(), told.rows.len()), (0, 1));

    let written = written_down(&hospital).await;
    for secret in ["Harborlight", "77123", "Organization/o7"] {
        assert!(!written.contains(secret), "{secret} is written down");
    }
    assert!(written.contains("payor-mapped") && written.contains("Robin"), "who mapped it is");
    let (payers, issues) = hospital.explain().await.unwrap();
    assert_eq!((payers.len(), issues.len()), (1, 0));
}

#[tokio::test]
async fn whoever_asked_is_told_who_is_the_payer_in_law_and_who_acts_for_it() {
    let hospital = unmapped();
    let row = PayorRow {
        partner: Some("sunrise".into()),
        legal_payer: Some("Sunrise of Ohio".into()),
        delegate: Some("North Medical Group".into()),
        ..PayorRow::default()
    };
    let behalf = serde_json::json!([{ "legal_payer": row.legal_payer, "delegate": row.delegate }]);
    let words = "the payer in law is Sunrise of Ohio; North Medical Group acts for it";
    hospital.push().await;
    let waiting = payors(&hospital).await.waiting[0].payor.clone();
    map(&hospital, Some(&waiting), row.clone()).await.unwrap();
    let rows = hospital.work().await;
    let pushed = rows.iter().find(|row| row.state == "settled").unwrap();
    let withdraw = Command::Withdraw { id: pushed.id.clone(), who: who(), wait: 0 };
    hospital.command(withdraw).await.unwrap();
    let rows = hospital.work().await;
    let pushes: Vec<_> = rows.iter().filter(|row| row.kind == "push").collect();
    assert_eq!(pushes.len(), 2, "what is taken back is taken back in the same name");
    for row in pushes {
        let shown = hospital.show(&row.id).await;
        assert!(shown.timeline[0].what.contains(words), "{}", shown.timeline[0].what);
        let told = shown.acknowledgement.unwrap();
        assert_eq!(told["on_behalf"], behalf, "{}", row.state);
        let told: exchange::acknowledgement::Acknowledgement =
            serde_json::from_value(told).unwrap();
        assert_eq!(told.lines()[1], words);
    }
    let explain = Command::Explain { subject: "e1".into(), purpose: None, who: who() };
    let Reply::Explained { coverages, .. } = hospital.command(explain).await.unwrap() else {
        panic!("nothing explained");
    };
    let coverage = &coverages[0];
    assert_eq!((&coverage.legal_payer, &coverage.delegate), (&row.legal_payer, &row.delegate));
}

#[tokio::test]
async fn a_payor_that_is_nobodys_business_is_counted_and_no_work() {
    let hospital = unmapped();
    hospital.push().await;
    let mapped = map(&hospital, None, by_name("harborLIGHT", None)).await.unwrap();
    assert_eq!(mapped.released, 1);
    assert!(hospital.work().await.is_empty(), "nothing waits, and nothing is pushed");
    let push = Command::Push {
        subject: "e1".into(),
        purpose: None,
        who: who(),
        wait: 0,
        asynchronous: false,
    };
    let Reply::Pushed { trigger, .. } = hospital.command(push).await.unwrap() else { panic!() };
    hospital.work().await;
    let id = trigger.unwrap();
    let shown = hospital.show(&id).await;
    assert_eq!((shown.row.state.as_str(), shown.row.issues.len()), ("scoped", 0));
    let told = shown.timeline.iter().any(|line| line.what.contains("coverages left alone: 1"));
    assert!(told, "{:?}", shown.timeline);
    let explain = Command::Explain { subject: "e1".into(), purpose: None, who: who() };
    let Reply::Explained { payers, issues, coverages } = hospital.command(explain).await.unwrap()
    else {
        panic!()
    };
    assert!(payers.is_empty() && issues.is_empty());
    assert_eq!(coverages[0].end, End::LeftAlone { why: "settled on paper".into() });
    assert_eq!(coverages[0].by.as_deref(), Some("payors.toml, line 1"));
    assert!(hospital.network.sent_nothing());
}

#[tokio::test]
async fn a_row_that_cannot_stand_changes_nothing() {
    let hospital = unmapped();
    hospital.push().await;
    let key = payors(&hospital).await.waiting[0].payor.clone();
    let kept = "# kept\n[[payor]]\nname = 'Harborlight'\nclass = 'G-1'\npartner = 'sunrise'";
    let path = hospital.folder.path().join("payors.toml");
    fs::write(&path, kept).unwrap();
    let with_class = PayorRow { class: Some("G-1".into()), ..by_name("harborlight ", None) };
    let stranger = PayorKey("000000000000".into());
    let table = [
        ("an unknown partner", None, by_name("Harborlight", Some("SECRET"))),
        ("nobody named", None, PayorRow { name: None, ..by_name("x", None) }),
        (
            "a pattern that is none",
            None,
            PayorRow { member_id: Some("*SECRET".into()), ..by_name("x", None) },
        ),
        ("an end of its own", None, with_class),
        (
            "a payor that does not wait",
            Some(&stranger),
            PayorRow { name: None, ..by_name("x", None) },
        ),
        ("named twice over", Some(&key), by_name("SECRET", None)),
    ];
    for (case, payor, row) in table {
        let issue = map(&hospital, payor, row).await.unwrap_err();
        assert_eq!(issue.code, Code::CommandInvalid, "{case}");
        assert!(!issue.to_string().contains("SECRET"), "{case}: {issue}");
        assert_eq!(fs::read_to_string(&path).unwrap(), kept, "{case}");
    }
    hospital.waits("still", "held", Code::PayerUnmapped).await;
    let mapped = map(&hospital, None, by_name("Harborlight", Some("sunrise"))).await.unwrap();
    assert!(!mapped.known && fs::read_to_string(&path).unwrap().starts_with(kept));
    let again = map(&hospital, None, by_name("Harborlight", Some("sunrise"))).await.unwrap();
    assert!(again.known, "the same row twice stands once");
    fs::write(&path, "[[payor]]\nname = 7\n").unwrap();
    let issue = map(&hospital, None, by_name("Blue", Some("sunrise"))).await.unwrap_err();
    assert_eq!(issue.code, Code::ConfigInvalid, "a table with a fault is not added to");
    hospital.push().await;
    let first = &hospital.work().await[0];
    assert_eq!(first.issues[0].issue.code, Code::ConfigInvalid, "nor is it passed over");
}

#[tokio::test]
async fn payors_are_listed_while_the_ehr_is_away() {
    let hospital = unmapped();
    hospital.push().await;
    hospital.network.mend();
    hospital.network.spoil(&format!("GET {EHR}/"), not_sent);
    let told = payors(&hospital).await;
    assert_eq!(told.waiting[0].triggers, 1);
    let issue = &told.waiting[0].issue.as_ref().unwrap().issue;
    assert_eq!(issue.code, Code::SourceUnreachable);
}

#[tokio::test]
async fn a_restriction_counts_from_the_next_push_on() {
    let hospital = Hospital::open();
    assert_eq!(hospital.push().await[0].state, "settled");
    let changed = restrict(&hospital, add("Patient/p1")).await.unwrap();
    assert_eq!((changed.added, changed.duplicates, changed.rows), (1, 0, 1));
    assert_eq!(restrict(&hospital, add("Patient/p1")).await.unwrap().duplicates, 1);
    // What had gone is taken back, once; then there is nothing to do.
    hospital.push().await;
    let sent = hospital.network.asked().iter().filter(|line| *line == SENT.trim_end()).count();
    assert_eq!(sent, 2, "the push and its deletion");
    assert!(hospital.work().await.iter().all(|row| row.state == "settled"));
    hospital.push().await;
    let rows = hospital.work().await;
    assert!(rows.iter().any(|row| row.state == "withheld"), "{rows:?}");
    let sent = hospital.network.asked().iter().filter(|line| *line == SENT.trim_end()).count();
    assert_eq!(sent, 2, "nothing is deleted twice");
    let subject = || "Patient/p1".to_owned();
    let remove = || RestrictionCommand::Remove { subject: subject(), reason: None, who: who() };
    assert_eq!(restrict(&hospital, remove()).await.unwrap().removed, 1);
    assert_eq!(restrict(&hospital, remove()).await.unwrap_err().code, Code::CommandInvalid);
    let excepted =
        Restriction { except_purposes: vec![Purpose::Payment], ..restriction("Patient/p1") };
    let other = RestrictionCommand::Add { row: excepted, who: who() };
    restrict(&hospital, other).await.unwrap();
    let rows = hospital.push().await;
    let states: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
    assert_eq!(states.iter().filter(|state| **state == "withheld").count(), 1, "{states:?}");
    let text = hospital.house.entries(1, 1_000).await.unwrap();
    let changes = text.iter().filter(|line| line.body.contains("restrictions-changed"));
    assert_eq!(changes.count(), 3, "what changed nothing is no line");
}

#[tokio::test]
async fn a_file_is_imported_whole_or_not_at_all() {
    let hospital = Hospital::open();
    let table = hospital.folder.path().join("restrictions.toml");
    let file = hospital.folder.path().join("feed.csv");
    let import = |replace| RestrictionCommand::Import {
        file: file.display().to_string(),
        replace,
        allow_shrink: false,
        as_of: None,
        who: who(),
    };
    fs::write(&file, "subject,reason\nPatient/p1,wish\nEncouter/SECRET,wish\n").unwrap();
    let issue = restrict(&hospital, import(false)).await.unwrap_err();
    assert_eq!(issue.code, Code::CommandInvalid);
    assert!(!issue.to_string().contains("SECRET"), "{issue}");
    assert_eq!(fs::read_to_string(&table).unwrap(), "", "no row was written");
    fs::write(&file, "subject,reason\nPatient/p1,wish\nPatient/p1,wish\nPatient/p2,wish\n")
        .unwrap();
    // What a killed import left beside the table is nothing but a file.
    fs::write(hospital.folder.path().join(".restrictions.toml.new"), "[[restr").unwrap();
    let changed = restrict(&hospital, import(false)).await.unwrap();
    assert_eq!((changed.added, changed.duplicates, changed.rows), (2, 1, 2));
    fs::write(&file, "subject,reason\nPatient/p3,wish\n").unwrap();
    let changed = restrict(&hospital, import(true)).await.unwrap();
    assert_eq!((changed.added, changed.removed, changed.rows), (1, 2, 1));
    fs::write(&file, "subject,reason\n").unwrap();
    let issue = restrict(&hospital, import(true)).await.unwrap_err();
    assert!(issue.detail.contains("--allow-shrink"), "an export that broke off: {issue}");
    assert!(fs::read_to_string(&table).unwrap().contains("Patient/p3"), "nothing was changed");
    fs::remove_file(&file).unwrap();
    assert_eq!(restrict(&hospital, import(true)).await.unwrap_err().code, Code::CommandInvalid);
    let left: Vec<_> = fs::read_dir(hospital.folder.path()).unwrap().flatten().collect();
    assert!(left.iter().all(|it| it.file_name() != ".restrictions.toml.new"));
}

/// Provokes `Code::RestrictionsStale`.
#[tokio::test]
async fn a_table_that_is_too_old_holds_everything_until_it_is_fresh() {
    let hospital = Hospital::open().with_feed();
    hospital.push().await;
    let undated = hospital.waits("no date", "held", Code::RestrictionsStale).await;
    assert_eq!(hospital.explain().await.unwrap_err(), undated, "explain says the same");
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    hospital.restrict("as_of = 2026-11-20T12:00:00Z\n");
    let id = hospital.work().await[0].id.clone();
    hospital.command(release(&id)).await.unwrap();
    let old = hospital.waits("48 hours old", "held", Code::RestrictionsStale).await;
    assert!(old.detail.contains("48 hours"), "{}", old.detail);
    assert!(hospital.network.sent_nothing());
    restrict(&hospital, add("Patient/p7")).await.unwrap();
    hospital.waits("a row by hand makes nothing fresh", "held", Code::RestrictionsStale).await;

    let file = hospital.folder.path().join("today.csv");
    fs::write(&file, "subject,reason\n").unwrap();
    let file = file.display().to_string();
    let import = RestrictionCommand::Import {
        file,
        replace: false,
        allow_shrink: false,
        as_of: Some(now),
        who: who(),
    };
    let changed = restrict(&hospital, import).await.unwrap();
    assert_eq!((changed.added, changed.released), (0, 1), "dated anew, with nothing new in it");
    assert_eq!(hospital.work().await[0].state, "settled");
}

#[tokio::test]
async fn a_feed_that_comes_by_itself_lets_go_on_what_waited() {
    let hospital = Hospital::open().with_feed();
    hospital.push().await;
    hospital.waits("nothing has come", "held", Code::RestrictionsStale).await;
    let feed = hospital.folder.path().join("feed/restrictions.csv");
    let noon =
        |day: &str| SystemTime::from(format!("{day}T12:00:00Z").parse::<Timestamp>().unwrap());
    let came = |day: &str| File::create(&feed).unwrap().set_modified(noon(day)).unwrap();
    came("2026-11-20");
    hospital.waits("it came two days ago", "held", Code::RestrictionsStale).await;
    came("2026-11-22");
    let rows = hospital.work().await;
    assert_eq!(rows[0].state, "settled", "{rows:?}");
    let shown = hospital.show(&rows[0].id).await;
    let said = "released by handover (system): the table of restrictions is fresh again";
    assert!(shown.timeline.iter().any(|line| line.what == said), "{:?}", shown.timeline);
    assert_eq!(hospital.network.asked().iter().filter(|line| *line == SENT.trim_end()).count(), 1);
}

#[tokio::test]
async fn what_was_on_its_way_is_taken_back_behind_it() {
    let hospital = Hospital::open();
    hospital.network.spoil(SENT.trim_end(), not_sent);
    assert_eq!(hospital.push().await[0].state, "due");
    restrict(&hospital, add("Patient/p1")).await.unwrap();
    hospital.network.mend();
    hospital.push().await;
    hospital.clock.advance(2);
    let rows = hospital.work().await;
    assert!(
        rows.iter().all(|row| matches!(row.state.as_str(), "settled" | "superseded" | "withheld")),
        "{rows:#?}"
    );
    let last = rows.iter().max_by_key(|row| row.label.clone()).unwrap();
    let rules: Vec<_> = last.withheld.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!((last.state.as_str(), rules), ("settled", vec!["patient-restriction"]));
}

fn pushes(hospital: &Hospital) -> usize {
    hospital.network.asked().iter().filter(|line| *line == SENT.trim_end()).count()
}

fn states(rows: &[exchange::desk::Row]) -> Vec<&str> {
    let mut states: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
    states.sort_unstable();
    states
}

#[tokio::test]
async fn what_waits_for_its_door_is_looked_at_anew_once_restrictions_change() {
    // What was restricted, what becomes of it, and how often something is sent after that.
    let table = [
        ("Observation/o1", ["settled", "superseded"], 1),
        ("Encounter/e1", ["settled", "superseded"], 1),
        ("Encounter/of-somebody-else", ["settled", "superseded"], 1),
    ];
    for (subject, expected, sent) in table {
        let hospital = Hospital::open();
        hospital.network.spoil(SENT.trim_end(), not_sent);
        assert_eq!(hospital.push().await[0].state, "due", "{subject}");
        let before = pushes(&hospital);
        hospital.restrict(&format!("[[restriction]]\nsubject = \"{subject}\"\nreason = \"x\"\n"));
        hospital.network.mend();
        hospital.clock.advance(2);
        let rows = hospital.work().await;
        assert_eq!(states(&rows), expected, "{subject}: {rows:?}");
        assert_eq!(pushes(&hospital) - before, sent, "{subject}");
        let old = rows.iter().find(|row| row.state == "superseded").unwrap();
        let shown = hospital.show(&old.id).await;
        let said =
            |line: &&exchange::desk::TimelineRow| line.what.contains("restrictions have changed");
        assert_eq!(shown.timeline.iter().filter(said).count(), 1, "{:?}", shown.timeline);
        assert!(shown.acknowledgement.is_some(), "{subject}: whoever asked is told");
        assert_eq!(rows.len(), 2, "{subject}: it is looked at anew once");
    }
}

#[tokio::test]
async fn what_a_person_lets_go_is_asked_about_again_and_what_takes_back_is_not_stopped() {
    let hospital = Hospital::open();
    hospital.network.spoil(SENT.trim_end(), || status(403, "{}"));
    assert_eq!(hospital.push().await[0].state, "held");
    hospital.network.mend();
    let before = pushes(&hospital);
    let id = hospital.work().await[0].id.clone();
    hospital.restrict("[[restriction]]\nsubject = 7\n");
    hospital.command(release(&id)).await.unwrap();
    hospital.waits("an unreadable table", "held", Code::RestrictionsUnreadable).await;
    hospital.restrict("[[restriction]]\nsubject = \"Observation/o1\"\nreason = \"self-pay\"\n");
    hospital.command(release(&id)).await.unwrap();
    let rows = hospital.work().await;
    assert_eq!(states(&rows), ["settled", "superseded"], "{rows:?}");
    assert_eq!(pushes(&hospital) - before, 1, "only what holds less has gone");

    // With no table at all nothing can be told to a payer, but a push can be taken back.
    let sent = rows.iter().find(|row| row.state == "settled").unwrap().id.clone();
    std::fs::remove_file(hospital.folder.path().join("restrictions.toml")).unwrap();
    let withdraw = Command::Withdraw { id: sent, who: who(), wait: 0 };
    hospital.command(withdraw).await.unwrap();
    let rows = hospital.work().await;
    assert_eq!(states(&rows), ["settled", "settled", "superseded"], "{rows:?}");
}

#[tokio::test]
async fn a_table_that_says_the_same_in_other_words_sends_the_same_bytes_again() {
    let hospital = Hospital::open();
    hospital.restrict("[[restriction]]\nsubject = \"Patient/p2\"\nreason = \"self-pay\"\n");
    hospital.network.spoil(SENT.trim_end(), not_sent);
    assert_eq!(hospital.push().await[0].state, "due");
    hospital.network.mend();
    let dated = "as_of = 2026-11-22T12:00:00Z\n[[restriction]]\nsubject = \"Patient/p2\"\nreason = \"wish\"\n\
        [[restriction]]\nsubject = \"Patient/p1\"\nreason = \"care\"\nexcept_purposes = [\"HPAYMT\"]\n";
    hospital.restrict(dated);
    hospital.clock.advance(2);
    let rows = hospital.work().await;
    assert_eq!(states(&rows), ["settled"], "{rows:?}");
}
