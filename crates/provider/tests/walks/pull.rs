//! Goal: a plan that may pull is given its own members' histories and nobody else's, shaped and written
//! down like every push; what it fetches is taken, and what it does not is told.

use crate::hospital::{Hospital, Told, searchset, status};
use bytes::Bytes;
use exchange::desk::Row;
use exchange::export::Level;
use exchange::id::derived_id;
use exchange::query::{Ask, Handling};
use exchange::{Chain, Code, Event, Issue};
use fhir::{Ndjson, Resource};
use futures_util::StreamExt as _;
use http::Response;
use http::header::{CONTENT_LOCATION, ETAG, RETRY_AFTER};
use jiff::SignedDuration;
use provider::limits::{PULLS_BEGUN_MAX, PULLS_MAX};
use provider::watch::Keeper;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use store::{House as _, PostgresHouse, PostgresPlace, Unit, Work, WorkKind, WorkQuery};
use wire::rest::{FileAsk, KickOff, Prefer};
use wire::{Answer, Caller};

const NAMESPACE: &str = "https://clinic.example/handover";
const BASE: &str = "https://clinic.example/fhir";

/// Three members, and a member of another plan.
const ROSTER: &str = "p1\np2\np3\np900\n";

/// A hospital that watches these, and whose plan may pull.
async fn hospital(roster: &str, lines: &str) -> Hospital {
    begun(Hospital::watching(roster), lines).await
}

/// A process of that hospital.
async fn begun(hospital: Hospital, lines: &str) -> Hospital {
    let hospital = hospital.with_agreed(&format!("\n[bulk]\n{lines}\n"));
    for kind in ["Encounter", "DiagnosticReport"] {
        let begins = format!("GET https://ehr.example/fhir/{kind}?patient=");
        hospital.network.spoil(&begins, nothing);
    }
    let road = &hospital.road;
    Keeper::default().keep(road, road.setup.watch.as_ref().unwrap()).await.unwrap();
    hospital
}

fn nothing() -> Told {
    status(200, searchset(&[]))
}

fn caller(partner: &str, scope: &str) -> Caller {
    let (client_id, scopes) = (partner.to_owned(), vec![scope.to_owned()]);
    Caller { client_id, partner: partner.to_owned(), scopes, purposes: None }
}

fn plans_own() -> Caller {
    caller("sunrise", "system/*.rs")
}

fn group() -> String {
    derived_id(NAMESPACE, "Group", "sunrise")
}

fn patient(number: u32) -> String {
    derived_id(NAMESPACE, "Patient", &format!("p{number}"))
}

fn request(level: Level, parameters: &[(&str, &str)]) -> KickOff {
    let parameters = parameters.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let prefer = Prefer { respond_async: true, ..Prefer::default() };
    KickOff { level, posted: false, parameters, prefer }
}

/// Asks for an export; its id.
async fn asked_for(hospital: &Hospital, kick_off: KickOff) -> String {
    let answer = hospital.road.pull(&plans_own(), kick_off).await.unwrap();
    assert_eq!(answer.status, 202);
    let place = answer.header(&CONTENT_LOCATION).unwrap();
    place.strip_prefix(&format!("{BASE}/status/")).unwrap().to_owned()
}

async fn poll(hospital: &Hospital, id: &str) -> Result<Answer, Issue> {
    hospital.road.pull_status(&plans_own(), id).await
}

/// The manifest, once it is there.
async fn manifest(hospital: &Hospital, id: &str) -> Value {
    hospital.work().await;
    hospital.clock.advance_by(SignedDuration::from_secs(5));
    hospital.work().await;
    let answer = poll(hospital, id).await.unwrap();
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&body(answer).await).unwrap()
}

async fn body(answer: Answer) -> Bytes {
    let response: Response<axum::body::Body> = axum::response::IntoResponse::into_response(answer);
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

async fn file(hospital: &Hospital, caller: &Caller, url: &str) -> Result<Answer, Issue> {
    part(hospital, caller, url, None, None).await
}

/// A part of a file, of this content or whichever there is.
async fn part(
    hospital: &Hospital,
    caller: &Caller,
    url: &str,
    range: Option<&str>,
    if_range: Option<&str>,
) -> Result<Answer, Issue> {
    let path = url.strip_prefix(&format!("{BASE}/bulk/")).expect(url);
    let (submission, name) = path.split_once('/').unwrap();
    let (capability, if_none_match) = (None, None);
    let ask = FileAsk { submission, capability, name, range, if_range, if_none_match, head: false };
    hospital.road.bulk_file(Some(caller), ask).await
}

/// All records of a manifest.
async fn fetched(hospital: &Hospital, manifest: &Value) -> Vec<Resource> {
    let mut found = Vec::new();
    for one in manifest["output"].as_array().unwrap() {
        let answer = file(hospital, &plans_own(), one["url"].as_str().unwrap()).await.unwrap();
        let bytes = body(answer).await;
        assert_eq!(one["fileSize"], bytes.len());
        let mut lines = Ndjson::new(1_000_000, 1_000_000);
        found.extend(lines.push(&bytes).into_iter().map(|line| line.unwrap().resource));
    }
    found
}

fn patients(records: &[Resource]) -> BTreeSet<String> {
    let own = records.iter().filter(|one| one.kind() == "Patient");
    own.map(|one| one.id().unwrap().to_owned()).collect()
}

fn some(numbers: &[u32]) -> BTreeSet<String> {
    numbers.iter().map(|number| patient(*number)).collect()
}

/// The histories, by their patients.
async fn histories(hospital: &Hospital) -> Vec<Row> {
    let mut rows = hospital.work().await;
    rows.retain(|row| row.mode.as_deref() == Some("pull"));
    rows.sort_by_key(|row| row.subject.clone());
    rows
}

fn states(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.state.as_str()).collect()
}

#[tokio::test]
async fn a_plan_is_given_its_own_members_histories_and_they_are_taken_once_fetched() {
    // Whoever asks for files itself is told no header: the manifest says that it needs its token.
    let hospital = hospital(ROSTER, "pull = true\naccess = \"header\"").await;
    hospital.restrict("[[restriction]]\nsubject = \"Patient/p3\"\nreason = \"self-pay\"\n");
    let id = asked_for(&hospital, request(Level::Group(group()), &[])).await;
    let waits = poll(&hospital, &id).await.unwrap();
    assert_eq!(waits.status, 202);
    assert!(waits.header(&RETRY_AFTER).is_some());
    for (case, status) in [("sooner than it was told", 429), ("refused polls do not count", 202)] {
        hospital.clock.advance_by(SignedDuration::from_millis(900));
        assert_eq!(poll(&hospital, &id).await.unwrap().status, status, "{case}");
    }

    let manifest = manifest(&hospital, &id).await;
    assert_eq!(manifest["request"], format!("{BASE}/Group/{}/$export", group()));
    assert_eq!(manifest["requiresAccessToken"], true);
    assert_eq!(manifest["error"].as_array().map(Vec::len), Some(0), "{manifest}");
    assert_eq!(states(&histories(&hospital).await), ["submitted", "submitted", "withheld"]);
    let records = fetched(&hospital, &manifest).await;
    assert_eq!(patients(&records), some(&[1, 2]));
    assert!(records.iter().any(|one| one.kind() == "Provenance"), "it says where it came from");

    let told = histories(&hospital).await;
    assert_eq!(states(&told), ["settled", "settled", "withheld"]);
    assert_eq!(told[0].level.as_deref(), Some("taken"));
    assert_eq!(told[2].issues[0].issue.code, Code::AllWithheld);
    let shown = hospital.show(&told[0].id).await;
    let line = |what: &str| shown.timeline.iter().any(|row| row.what.contains(what));
    assert!(line("about to be sent") && line("taken by the payer"), "{shown:?}");
    assert!(hospital.network.sent_nothing(), "the plan's door was not asked for this");
    let asked = hospital.network.asked();
    assert!(asked.iter().all(|line| !line.contains("plan.example")), "nor for anything: {asked:?}");

    assert_eq!(poll(&hospital, &id).await.unwrap().status, 200, "it stands until it is deleted");
    assert_eq!(hospital.road.pull_end(&plans_own(), &id).await.unwrap().status, 202);
    assert_eq!(poll(&hospital, &id).await.unwrap_err().code, Code::StatusUnknown);
    let url = manifest["output"][0]["url"].as_str().unwrap();
    let gone = file(&hospital, &plans_own(), url).await.unwrap_err();
    assert_eq!(gone.code, Code::StatusUnknown);
}

/// There it is the server's clock that says what is due, so what is waited for is looked at again.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_server_the_same_is_pulled() {
    let Some(database) = testdb::Server::shared() else { return };
    let place = PostgresPlace { url: database.url().to_owned(), ..PostgresPlace::default() };
    let house = PostgresHouse::open(&place, &"pulled-from".into()).await.unwrap();
    let hospital = Hospital::watching_on(house, jiff::Timestamp::now(), ROSTER);
    let hospital = begun(hospital, "pull = true").await;
    let id = asked_for(&hospital, request(Level::Group(group()), &[])).await;
    let end = Instant::now() + Duration::from_secs(120);
    let manifest = loop {
        hospital.work().await;
        let answer = poll(&hospital, &id).await.unwrap();
        if answer.status == 200 {
            break serde_json::from_slice(&body(answer).await).unwrap();
        }
        assert!(Instant::now() < end, "waited for the manifest in vain");
    };
    let records = fetched(&hospital, &manifest).await;
    assert_eq!(patients(&records), some(&[1, 2, 3]));
    while states(&histories(&hospital).await) != ["settled", "settled", "settled"] {
        assert!(Instant::now() < end, "waited in vain until they were taken");
    }
    assert_eq!(hospital.road.pull_end(&plans_own(), &id).await.unwrap().status, 202);
    assert_eq!(poll(&hospital, &id).await.unwrap_err().code, Code::StatusUnknown);
}

#[tokio::test]
async fn what_is_not_fetched_ends_with_its_reason() {
    for (case, deleted, hours) in
        [("deleted before all was fetched", true, 0), ("its time is over", false, 26)]
    {
        let hospital = hospital("p1\np2\n", "pull = true").await;
        let id = asked_for(&hospital, request(Level::Patient, &[])).await;
        let manifest = manifest(&hospital, &id).await;
        let one = manifest["output"][0]["url"].as_str().unwrap();
        body(file(&hospital, &plans_own(), one).await.unwrap()).await;
        if deleted {
            hospital.road.pull_end(&plans_own(), &id).await.unwrap();
        }
        hospital.clock.advance(hours);
        let rows = histories(&hospital).await;
        assert_eq!(states(&rows), ["superseded", "superseded"], "{case}");
        let told = &rows[0].issues[0].issue;
        assert_eq!(told.code, Code::ExportUnfetched, "{case}");
        assert_eq!(poll(&hospital, &id).await.unwrap_err().code, Code::StatusUnknown, "{case}");
        // The same again is not taken for what the plan holds.
        let again = asked_for(&hospital, request(Level::Patient, &[])).await;
        let manifest = self::manifest(&hospital, &again).await;
        assert_eq!(patients(&fetched(&hospital, &manifest).await), some(&[1, 2]), "{case}");
        let mut all = histories(&hospital).await;
        all.sort_by_key(|row| row.state.clone());
        let expected = ["settled", "settled", "superseded", "superseded"];
        assert_eq!(states(&all), expected, "{case}");
    }
}

/// How the last file is fetched, and whether the plan has all of it then.
#[tokio::test]
async fn only_what_was_given_to_its_last_byte_is_taken() {
    let table = [
        ("nothing is read of the answer", None, false, 0, false),
        ("its last byte is not asked for", None, false, 1, false),
        ("to its end", None, false, usize::MAX, true),
        ("the last byte of whatever there is", Some("bytes=-1"), false, usize::MAX, false),
        ("the end of whatever there is", Some("bytes=5-"), false, usize::MAX, false),
        ("all but the last byte", Some("bytes=0-1"), true, usize::MAX, false),
        ("the end of what it holds, broken off", Some("bytes=5-"), true, 1, false),
        ("the end of what it holds", Some("bytes=5-"), true, usize::MAX, true),
        ("the last byte of what it holds", Some("bytes=-1"), true, usize::MAX, true),
        ("all of it, as a part", Some("bytes=0-"), false, usize::MAX, true),
    ];
    for (case, range, vouched, pieces, taken) in table {
        let hospital = hospital("p1\n", "pull = true").await;
        let id = asked_for(&hospital, request(Level::Patient, &[("_type", "Patient")])).await;
        let manifest = manifest(&hospital, &id).await;
        assert_eq!(manifest["output"].as_array().unwrap().len(), 1, "{case}");
        let url = manifest["output"][0]["url"].as_str().unwrap();
        let begun = file(&hospital, &plans_own(), url).await.unwrap();
        let etag = begun.header(&ETAG).unwrap().to_owned();
        let if_range = vouched.then_some(etag.as_str());
        let answer = part(&hospital, &plans_own(), url, range, if_range).await.unwrap();
        let response: Response<axum::body::Body> =
            axum::response::IntoResponse::into_response(answer);
        let mut body = response.into_body().into_data_stream();
        let mut taken_up = 0;
        while taken_up < pieces && body.next().await.transpose().unwrap().is_some() {
            taken_up += 1;
        }
        drop(body);
        let state = if taken { "settled" } else { "submitted" };
        assert_eq!(states(&histories(&hospital).await), [state], "{case}");
        if !taken {
            fetched(&hospital, &manifest).await;
            assert_eq!(states(&histories(&hospital).await), ["settled"], "{case}: it comes again");
        }
    }
}

#[tokio::test]
async fn nobody_else_is_given_anything() {
    let hospital = hospital("p1\n", "pull = true").await;
    let road = &hospital.road;
    let other = caller("moonlight", "system/*.rs");
    let refused = road.pull(&other, request(Level::Patient, &[])).await.unwrap_err();
    assert_eq!(refused.code, Code::ScopeMissing);
    let foreign = derived_id(NAMESPACE, "Group", "moonlight");
    let group_of_others = request(Level::Group(foreign.clone()), &[]);
    let refused = road.pull(&plans_own(), group_of_others).await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceUnknown);
    let read = Ask::Read { kind: "Group", id: &foreign };
    assert_eq!(road.pull_asks(&plans_own(), read).await.unwrap_err().code, Code::ResourceUnknown);
    let read = Ask::Read { kind: "Patient", id: &patient(1) };
    let refused = road.pull_asks(&plans_own(), read).await.unwrap_err();
    assert_eq!(refused.code, Code::InteractionUnsupported, "records are not read one by one");

    let id = asked_for(&hospital, request(Level::Patient, &[])).await;
    let manifest = manifest(&hospital, &id).await;
    let url = manifest["output"][0]["url"].as_str().unwrap();
    assert_eq!(road.pull_status(&other, &id).await.unwrap_err().code, Code::StatusUnknown);
    assert_eq!(road.pull_end(&other, &id).await.unwrap_err().code, Code::StatusUnknown);
    assert_eq!(file(&hospital, &other, url).await.unwrap_err().code, Code::StatusUnknown);
    let narrow = caller("sunrise", "system/Group.rs");
    assert_eq!(file(&hospital, &narrow, url).await.unwrap_err().code, Code::ScopeMissing);
}

#[tokio::test]
async fn without_the_agreements_word_nobody_pulls() {
    let hospital = hospital("p1\n", "").await;
    let refused = hospital.road.pull(&plans_own(), request(Level::Patient, &[])).await.unwrap_err();
    assert_eq!(refused.code, Code::ScopeMissing);
    let search = Ask::Search { kind: "Group", parameters: Vec::new(), handling: Handling::Strict };
    let refused = hospital.road.pull_asks(&plans_own(), search).await.unwrap_err();
    assert_eq!(refused.code, Code::ScopeMissing);
}

#[tokio::test]
async fn parameters_narrow_an_export_or_are_refused() {
    let hospital = hospital("p1\n", "pull = true").await;
    let table = [
        ("_since", "2026-01-01T00:00:00Z", Code::ParameterUnsupported),
        ("patient", "Patient/x", Code::ParameterUnsupported),
        ("_typeFilter", "Observation?status=final", Code::ParameterUnsupported),
        ("_type", "Nothing", Code::ParameterInvalid),
        ("_outputFormat", "text/csv", Code::ParameterInvalid),
    ];
    for (name, value, code) in table {
        let asked = request(Level::Patient, &[(name, value)]);
        let refused = hospital.road.pull(&plans_own(), asked).await.unwrap_err();
        assert_eq!((refused.code, refused.expression.as_deref()), (code, Some(name)));
    }
    let sync = KickOff { prefer: Prefer::default(), ..request(Level::Patient, &[]) };
    let refused = hospital.road.pull(&plans_own(), sync).await.unwrap_err();
    assert_eq!(refused.expression.as_deref(), Some("Prefer"));
    let system = hospital.road.pull(&plans_own(), request(Level::System, &[])).await.unwrap_err();
    assert_eq!(system.code, Code::InteractionUnsupported);

    let handling = Handling::Lenient;
    let prefer = Prefer { respond_async: true, handling, ..Prefer::default() };
    let asked = request(Level::Patient, &[("_type", "Patient"), ("_since", "2026-01-01")]);
    let id = asked_for(&hospital, KickOff { prefer, ..asked }).await;
    let manifest = manifest(&hospital, &id).await;
    assert_eq!(manifest["output"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["output"][0]["type"], "Patient");
    let told = manifest["error"][0]["url"].as_str().unwrap();
    let told = body(file(&hospital, &plans_own(), told).await.unwrap()).await;
    assert!(String::from_utf8_lossy(&told).contains("_since"), "{told:?}");
    fetched(&hospital, &manifest).await;
    assert_eq!(states(&histories(&hospital).await), ["settled"]);
}

/// More settled pushes of another patient than a list shows, each like the one of this patient.
async fn crowd(hospital: &Hospital, like: &str, patient: &str) {
    let query = WorkQuery {
        kind: Some(WorkKind::Push),
        lane: Some(format!("sunrise|{like}")),
        limit: 1,
        ..WorkQuery::default()
    };
    let row = hospital.house.works(query).await.unwrap().remove(0);
    let body = String::from_utf8(row.work.body.to_vec()).unwrap();
    let body =
        body.replace(&format!("\"patient\":\"{like}\""), &format!("\"patient\":\"{patient}\""));
    assert!(body.contains(patient) && row.work.state == "settled");
    let numbers: Vec<u32> = (0..=provider::limits::GATHERED_MAX).collect();
    for some in numbers.chunks(1_000) {
        let other = |number: &u32| Work {
            id: format!("crowd-{number}"),
            lane: format!("sunrise|{patient}"),
            body: body.clone().into(),
            due: None,
            ..row.work.clone()
        };
        let unit =
            Unit { at: row.changed, works: some.iter().map(other).collect(), ..Unit::default() };
        hospital.house.commit(unit).await.unwrap();
    }
}

#[tokio::test]
async fn the_group_names_those_of_whom_the_plan_has_been_told() {
    let hospital = hospital("p1\np2\n", "pull = true").await;
    let members = async || {
        let search = Ask::Search {
            kind: "Group",
            parameters: vec![("_id".to_owned(), group())],
            handling: Handling::Strict,
        };
        let answer = hospital.road.pull_asks(&plans_own(), search).await.unwrap();
        let found: Value = serde_json::from_slice(&body(answer).await).unwrap();
        assert_eq!(found["total"], 1);
        found["entry"][0]["resource"]["member"].clone()
    };
    assert_eq!(members().await, Value::Null, "that somebody was seen here is a disclosure");
    hospital.restrict("[[restriction]]\nsubject = \"Patient/p2\"\nreason = \"self-pay\"\n");
    let id = asked_for(&hospital, request(Level::Patient, &[])).await;
    let manifest = manifest(&hospital, &id).await;
    fetched(&hospital, &manifest).await;
    hospital.work().await;
    let named = members().await;
    assert_eq!(named.as_array().unwrap().len(), 1, "{named}");
    assert_eq!(named[0]["entity"]["reference"], format!("Patient/{}", patient(1)));
    crowd(&hospital, "p1", "p900").await;
    assert_eq!(members().await, named, "however many pushes were settled since");
    let story = hospital.house.story(&Chain::House).await.unwrap();
    let looked = |event: &Event| matches!(event, Event::Looked { who, .. } if who.role == "payer");
    assert_eq!(story.iter().filter(|entry| looked(&entry.event().unwrap())).count(), 3);
}

#[tokio::test]
async fn restrictions_that_come_after_the_manifest_keep_the_files() {
    let hospital = hospital("p1\n", "pull = true").await;
    let id = asked_for(&hospital, request(Level::Patient, &[])).await;
    let manifest = manifest(&hospital, &id).await;
    hospital.restrict("[[restriction]]\nsubject = \"Patient/p1\"\nreason = \"self-pay\"\n");
    let url = manifest["output"][0]["url"].as_str().unwrap();
    let refused = file(&hospital, &plans_own(), url).await.unwrap_err();
    assert_eq!(refused.code, Code::RestrictionsStale);
}

#[tokio::test]
async fn an_export_goes_on_after_a_restart_and_asks_for_nobody_twice() {
    let hospital = hospital("p1\np2\n", "pull = true").await;
    let id = asked_for(&hospital, request(Level::Patient, &[])).await;
    // Nothing was done but to write it down.
    let hospital = begun(hospital.restarted_with("sunrise"), "pull = true").await;
    hospital.work().await;
    let hospital = begun(hospital.restarted_with("sunrise"), "pull = true").await;
    let manifest = manifest(&hospital, &id).await;
    let hospital = begun(hospital.restarted_with("sunrise"), "pull = true").await;
    assert_eq!(patients(&fetched(&hospital, &manifest).await), some(&[1, 2]));
    hospital.work().await;
    let story = hospital.house.story(&Chain::House).await.unwrap();
    let asked = |event: &Event| matches!(event, Event::Triggered { pull: Some(_), .. });
    assert_eq!(story.iter().filter(|entry| asked(&entry.event().unwrap())).count(), 2);
}

/// A client that asks for exports and deletes them in a loop is bounded like one that keeps them.
#[tokio::test]
async fn an_export_that_was_deleted_counts_until_its_histories_are_done_with() {
    let hospital = hospital("p1\n", "pull = true").await;
    let kick_off = || request(Level::Patient, &[]);
    for _ in 0..PULLS_BEGUN_MAX {
        let id = asked_for(&hospital, kick_off()).await;
        hospital.road.pull_end(&plans_own(), &id).await.unwrap();
        hospital.work().await;
    }
    let refused = hospital.road.pull(&plans_own(), kick_off()).await.unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.header(&RETRY_AFTER).is_some());
    hospital.clock.advance(1);
    asked_for(&hospital, kick_off()).await;

    // Those that stand are bounded by themselves.
    let hospital = self::hospital("p1\n", "pull = true").await;
    for _ in 0..PULLS_MAX {
        asked_for(&hospital, kick_off()).await;
    }
    hospital.clock.advance(2);
    assert_eq!(hospital.road.pull(&plans_own(), kick_off()).await.unwrap().status, 429);
}

#[tokio::test]
async fn no_chart_is_opened_for_an_export_that_was_deleted() {
    for deleted in [true, false] {
        let hospital = hospital("p1\np2\n", "pull = true").await;
        hospital.network.spoil("GET https://ehr.example/fhir/Coverage", || status(503, ""));
        let id = asked_for(&hospital, request(Level::Patient, &[])).await;
        hospital.work().await;
        if deleted {
            hospital.road.pull_end(&plans_own(), &id).await.unwrap();
        }
        hospital.network.mend();
        hospital.clock.advance_by(SignedDuration::from_mins(20));
        let found = histories(&hospital).await;
        let state = if deleted { "superseded" } else { "submitted" };
        assert_eq!(states(&found), [state; 2]);
        let told = found[0].issues.first().map(|it| it.issue.code);
        assert_eq!(told, deleted.then_some(Code::ExportUnfetched));
        let asked = hospital.network.asked();
        let opened = asked.iter().any(|line| line.contains("/Condition?"));
        assert_eq!(opened, !deleted, "{asked:?}");
    }
}
