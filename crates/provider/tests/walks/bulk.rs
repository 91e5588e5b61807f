//! Goal: pushes that go together in a bulk submission are told to the payer once, can be fetched by it
//! alone, and are settled each by its own resources' outcomes.

use crate::bulk_plan::BulkPlan;
use crate::desk::release;
use crate::hospital::{EHR, ENCOUNTER, Hospital, PLAN, SENT, Told, status, who};
use bytes::Bytes;
use exchange::bulk::outcome::refused;
use exchange::bulk::{Dialect, Header, Manifest, SubmissionStatus, Whom};
use exchange::desk::{Command, Reply, Row, SubmissionCommand, SubmissionRow};
use exchange::id::derived_id;
use exchange::{Code, Issue};
use fhir::{Ndjson, Resource};
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, Method, Response};
use jiff::SignedDuration;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::House as _;
use wire::limits::LINE_BYTES_MAX;
use wire::rest::{Capability, FileAsk};
use wire::{Answer, Caller};

pub(crate) const NAMESPACE: &str = "https://clinic.example/handover";

/// A hospital that sends encounters to its plan in bulk submissions, and that plan.
pub(crate) fn hospital(lines: &str, plan: BulkPlan) -> (Hospital, Arc<BulkPlan>) {
    let bulk = |text: String| {
        let text = text.replace("mode = \"sync\"", "mode = \"async\"");
        text.replace("form = \"transaction\"", "form = \"bulk\"") + "\n[bulk]\n" + lines
    };
    with_terms(bulk, plan)
}

pub(crate) fn with_terms(
    write: impl Fn(String) -> String,
    plan: BulkPlan,
) -> (Hospital, Arc<BulkPlan>) {
    let hospital = Hospital::open().with_terms(write);
    let plan = Arc::new(plan);
    *hospital.network.first.lock().unwrap() = Some(Arc::clone(&plan) as _);
    (hospital, plan)
}

/// The plan's program, as it has signed in.
pub(crate) fn caller(partner: &str, scope: &str) -> Caller {
    let client_id = partner.to_owned();
    let scopes = vec![scope.to_owned()];
    Caller { client_id, partner: partner.to_owned(), scopes, purposes: None }
}

pub(crate) fn plans_own() -> Caller {
    caller("sunrise", "system/*.read")
}

/// Asks the hospital's file server for a URL that the plan was told.
pub(crate) async fn asked(
    hospital: &Hospital,
    caller: Option<&Caller>,
    url: &str,
    headers: &HeaderMap,
) -> Result<Answer, Issue> {
    asked_by(hospital, caller, (Method::GET, url), headers).await
}

async fn asked_by(
    hospital: &Hospital,
    caller: Option<&Caller>,
    (method, url): (Method, &str),
    headers: &HeaderMap,
) -> Result<Answer, Issue> {
    let path = url.strip_prefix("https://clinic.example/fhir/bulk/").expect(url);
    let steps: Vec<&str> = path.split('/').collect();
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap());
    let (submission, capability, name) = match steps[..] {
        [submission, name] => {
            let bearer = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            (submission, bearer.map(Capability::InHeader), name)
        }
        [submission, capability, name] => (submission, Some(Capability::InUrl(capability)), name),
        _ => panic!("{url}"),
    };
    let (range, if_range, if_none_match) = (text(RANGE), text(IF_RANGE), text(IF_NONE_MATCH));
    let head = method == Method::HEAD;
    let ask = FileAsk { submission, capability, name, range, if_range, if_none_match, head };
    hospital.road.bulk_file(caller, ask).await
}

pub(crate) async fn body(answer: Answer) -> Bytes {
    let response: Response<axum::body::Body> = axum::response::IntoResponse::into_response(answer);
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

pub(crate) async fn fetched(hospital: &Hospital, caller: Option<&Caller>, url: &str) -> Bytes {
    let answer = asked(hospital, caller, url, &HeaderMap::new()).await.unwrap();
    assert_eq!(answer.status, 200, "{url}");
    body(answer).await
}

pub(crate) fn lines(bytes: &[u8]) -> Vec<Resource> {
    let mut reader = Ndjson::new(1_000_000, 1_000_000);
    reader.push(bytes).into_iter().map(|line| line.unwrap().resource).collect()
}

/// The manifest that the plan was told of last, and its URL.
pub(crate) async fn manifest(hospital: &Hospital, plan: &BulkPlan) -> (String, Manifest) {
    let url = plan.told().iter().rev().find_map(|told| told.manifest.clone()).unwrap().url;
    let body = fetched(hospital, Some(&plans_own()), &url).await;
    (url, Manifest::read(&body).unwrap())
}

pub(crate) async fn push_all(hospital: &Hospital, encounters: &[&str]) -> BTreeMap<String, Row> {
    for encounter in encounters {
        hospital.push_for(encounter, None).await;
    }
    rows(hospital).await
}

/// The pushes, by the encounter they are of; where there are several, the newest.
pub(crate) async fn rows(hospital: &Hospital) -> BTreeMap<String, Row> {
    let mut rows = hospital.work().await;
    rows.sort_by_key(|row| row.changed);
    rows.into_iter().map(|row| (row.subject.clone().unwrap_or_default(), row)).collect()
}

/// The time passes that a submission gathers for, or a poll waits.
pub(crate) async fn later(hospital: &Hospital) -> BTreeMap<String, Row> {
    hospital.clock.advance_by(SignedDuration::from_secs(20));
    rows(hospital).await
}

pub(crate) fn states(rows: &BTreeMap<String, Row>) -> Vec<&str> {
    rows.values().map(|row| row.state.as_str()).collect()
}

#[tokio::test]
async fn pushes_go_together_and_each_is_settled_by_its_own_outcomes() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    let found = push_all(&hospital, &["e1", "e2", "e3"]).await;
    assert_eq!(states(&found), ["submitted"; 3]);
    assert_eq!(found["Encounter/e1"].mode.as_deref(), Some("async"));
    assert!(plan.told().is_empty(), "more may come");
    *plan.busy.lock().unwrap() = true;
    assert_eq!(states(&later(&hospital).await), ["submitted"; 3]);

    let told = plan.told();
    let said: Vec<_> = told.iter().map(|it| (it.status, it.manifest.is_some())).collect();
    let (begun, ended) = (SubmissionStatus::InProgress, SubmissionStatus::Completed);
    assert_eq!(said, [(Some(begun), true), (Some(ended), false)]);
    let named: BTreeSet<_> = told.iter().map(|it| it.submission_id.clone()).collect();
    assert_eq!(named.len(), 1, "one submission");
    assert_eq!(plan.asked()[0].submission_id, told[0].submission_id);
    assert_eq!(told[0].submitter.value, NAMESPACE);
    let metadata = told[0].manifest.clone().unwrap().oauth_metadata;
    assert_eq!(metadata, ["https://clinic.example/fhir/.well-known/smart-configuration"]);

    let (_, manifest) = manifest(&hospital, &plan).await;
    assert!(manifest.requires_access_token && manifest.deleted.is_empty());
    assert_eq!(manifest.organized_by.as_deref(), Some("Patient"));
    let file = fetched(&hospital, Some(&plans_own()), &manifest.output[0].url).await;
    assert_eq!(manifest.output[0].size, Some(file.len() as u64));
    let headers: Vec<_> = lines(&file).iter().filter_map(Header::of).collect();
    let patients: Vec<_> = headers.iter().map(|it| it.reference.clone()).collect();
    let own = |n: u32| format!("Patient/{}", derived_id(NAMESPACE, "Patient", &format!("p{n}")));
    assert_eq!(patients, [own(1), own(2), own(3)]);
    let keys: Vec<_> = headers.iter().map(|it| it.push.clone().unwrap().1).collect();
    assert_eq!(Some(&keys[1]), found["Encounter/e2"].label.as_ref());

    let weight = derived_id(NAMESPACE, "Observation", "o2");
    let issue = Issue::new(Code::ReferenceUnresolved, "it refers to nothing");
    let whom = [Whom::Resource(format!("Observation/{weight}"))];
    plan.says.lock().unwrap().push(refused(Dialect::Ballot, &whom, [&issue]));
    *plan.busy.lock().unwrap() = false;
    let found = later(&hospital).await;
    assert_eq!(states(&found), ["settled", "held", "settled"]);
    let told = &found["Encounter/e2"].issues[0].issue;
    assert_eq!(told.code, Code::ReferenceUnresolved);
    assert!(told.expression.as_deref().unwrap().starts_with("Bundle.entry["));
    assert_eq!(*plan.deleted.lock().unwrap(), 1, "nobody wants the status any more");
    let shown = hospital.show(&found["Encounter/e2"].id).await;
    let line = |what: &str| shown.timeline.iter().any(|row| row.what.contains(what));
    assert!(line("goes with the bulk submission") && line("about to be sent"), "{shown:?}");
    assert!(hospital.network.sent_nothing(), "nothing goes by another way");
    let acknowledged = hospital.show(&found["Encounter/e1"].id).await.acknowledgement.unwrap();
    assert_eq!(acknowledged["mode"], "async");
    assert_eq!(acknowledged["resources"][0]["status"], 200);
}

#[tokio::test]
async fn a_released_push_goes_with_another_submission() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    plan.spoil("POST /$bulk-submit", 1, || status(403, ""));
    push_all(&hospital, &["e1", "e2"]).await;
    let found = later(&hospital).await;
    assert_eq!(states(&found), ["held", "held"]);
    assert_eq!(found["Encounter/e1"].issues[0].issue.code, Code::PayerRefused);
    hospital.command(release(&found["Encounter/e1"].id)).await.unwrap();
    assert_eq!(states(&rows(&hospital).await), ["submitted", "held"]);
    later(&hospital).await;
    let found = later(&hospital).await;
    assert_eq!(states(&found), ["settled", "held"], "the other one waits for its own release");
    let (_, manifest) = manifest(&hospital, &plan).await;
    assert!(manifest.output[0].count.unwrap() < 6, "only one of them is in it");
}

fn nowhere() -> Told {
    let answer = Response::builder().status(202).header("content-location", "https://x.example/1");
    Ok(answer.body(Bytes::new()).unwrap())
}

fn other_submission() -> Told {
    status(
        200,
        r#"{"submissionId":"another","transactionTime":"2026-01-01T00:00:00Z","requiresAccessToken":true}"#,
    )
}

fn file_elsewhere() -> Told {
    status(200, r#"{"outcome":[{"url":"https://x.example/1.ndjson"}]}"#)
}

fn endless_pages() -> Told {
    status(200, format!(r#"{{"link":[{{"relation":"next","url":"{PLAN}/status/b1"}}]}}"#))
}

/// What a payer may answer at each step, and what becomes of the push; where it waits for the clock, it
/// goes on when the payer is itself again.
#[tokio::test]
async fn each_answer_leads_to_its_next_step() {
    let (submit, ask, poll) = ("POST /$bulk-submit", "POST /$bulk-submit-status", "GET /status/b1");
    type Row<'t> = (&'t str, &'t str, fn() -> Told, Option<Code>);
    let table: &[Row<'_>] = &[
        ("patience is asked for", submit, || status(429, ""), None),
        ("down", submit, || status(503, ""), None),
        ("no such operation", submit, || status(404, ""), Some(Code::CapabilityMissing)),
        ("refused", submit, || status(422, ""), Some(Code::PayerRefused)),
        ("no status is given", ask, || status(404, ""), Some(Code::CapabilityMissing)),
        ("the status fails", ask, || status(500, ""), None),
        ("no place", ask, || status(202, ""), Some(Code::AnswerUnreadable)),
        ("a place elsewhere", ask, nowhere, Some(Code::AnswerUnreadable)),
        ("polled too often", poll, || status(429, ""), None),
        ("the poll fails", poll, || status(502, ""), None),
        ("a web page", poll, || status(200, "<html>"), Some(Code::AnswerUnreadable)),
        ("of another submission", poll, other_submission, Some(Code::AnswerUnreadable)),
        ("a file elsewhere", poll, file_elsewhere, Some(Code::AnswerUnreadable)),
        ("pages without end", poll, endless_pages, Some(Code::AnswerUnreadable)),
        ("gone", poll, || status(404, ""), Some(Code::AnswerUnreadable)),
    ];
    for (case, place, told, code) in table {
        let (hospital, plan) = hospital("", BulkPlan::default());
        plan.spoil(place, if code.is_some() { 1_000 } else { 1 }, *told);
        push_all(&hospital, &["e1"]).await;
        for _ in 0..2 {
            later(&hospital).await;
        }
        hospital.clock.advance(2);
        later(&hospital).await;
        let found = later(&hospital).await;
        let row = &found["Encounter/e1"];
        let held = row.issues.first().map(|it| it.issue.code);
        let state = if code.is_some() { "held" } else { "settled" };
        assert_eq!((row.state.as_str(), held), (state, *code), "{case}: {row:?}");
        let urls: BTreeSet<_> =
            plan.told().into_iter().filter_map(|it| Some(it.manifest?.url)).collect();
        assert!(urls.len() <= 1, "{case}: a manifest has one URL, however often it is told");
    }
}

#[tokio::test]
async fn a_payer_without_bulk_submissions_keeps_the_chart_shut() {
    let (hospital, plan) = hospital("", BulkPlan { unlisted: true, ..BulkPlan::default() });
    hospital.push().await;
    hospital.waits("not listed", "held", Code::CapabilityMissing).await;
    assert!(plan.told().is_empty());
    let read = hospital.network.asked();
    assert!(!read.iter().any(|line| line.contains("/Observation")), "no chart is opened for it");
    let (hospital, _) =
        self::hospital("assume = true", BulkPlan { unlisted: true, ..BulkPlan::default() });
    assert_eq!(hospital.push().await[0].state, "submitted", "the agreement vouches for it");
}

#[tokio::test]
async fn an_asynchronous_push_needs_an_agreement() {
    let hospital = Hospital::open();
    let (subject, purpose) = ("e1".to_owned(), None);
    let push = Command::Push { subject, purpose, who: who(), wait: 0, asynchronous: true };
    hospital.command(push).await.unwrap();
    hospital.waits("nothing agreed", "held", Code::AsyncNotAgreed).await;
    assert!(hospital.network.sent_nothing(), "it does not go by another way in silence");
    let read = hospital.network.asked();
    assert!(!read.iter().any(|line| line.contains("/Observation")), "no chart is opened for it");
}

#[tokio::test]
async fn files_are_for_the_payer_alone_and_for_a_while() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    let (url, manifest) = manifest(&hospital, &plan).await;
    let file = manifest.output[0].url.clone();
    let none = HeaderMap::new();
    let guessed = url.replace("/manifest-1", "/0/manifest-1");
    let table = [
        ("nobody", None, url.clone(), Code::StatusUnknown),
        (
            "another partner",
            Some(caller("sunset", "system/*.read")),
            file.clone(),
            Code::StatusUnknown,
        ),
        ("a guess", None, guessed, Code::StatusUnknown),
        (
            "another manifest",
            Some(plans_own()),
            url.replace("-1.json", "-2.json"),
            Code::StatusUnknown,
        ),
        (
            "another file",
            Some(plans_own()),
            file.replace("patients", "others"),
            Code::StatusUnknown,
        ),
        (
            "too little scope",
            Some(caller("sunrise", "system/Patient.read")),
            file.clone(),
            Code::ScopeMissing,
        ),
    ];
    for (case, caller, url, code) in table {
        let told = asked(&hospital, caller.as_ref(), &url, &none).await.map(|it| it.status);
        assert_eq!(told.unwrap_err().code, code, "{case}");
    }
    let fetches = || async {
        let id = plan.told()[0].submission_id.clone();
        let story = hospital.house.story(&exchange::Chain::Sending(id.into())).await.unwrap();
        story.iter().filter(|entry| entry.body.contains("file-fetched")).count()
    };
    assert_eq!(fetches().await, 0, "who was refused has fetched nothing");
    let head = (Method::HEAD, file.as_str());
    let answer = asked_by(&hospital, Some(&plans_own()), head, &none).await.unwrap();
    let length = manifest.output[0].size.unwrap().to_string();
    assert_eq!((answer.status, answer.header(&CONTENT_LENGTH)), (200, Some(length.as_str())));
    assert!(body(answer).await.is_empty());
    assert_eq!(fetches().await, 0, "who asks for its length is given none of it");
    let first = fetched(&hospital, Some(&plans_own()), &file).await;
    assert_eq!(first, fetched(&hospital, Some(&plans_own()), &file).await, "the same bytes");
    assert_eq!(fetches().await, 2, "each fetch has its line");
    assert_eq!(states(&later(&hospital).await), ["settled"]);
    assert_eq!(fetched(&hospital, Some(&plans_own()), &file).await, first, "for a while");
    hospital.clock.advance(2);
    later(&hospital).await;
    let told = asked(&hospital, Some(&plans_own()), &file, &none).await.map(|it| it.status);
    assert_eq!(told.unwrap_err().code, Code::StatusUnknown, "and no longer");
}

#[tokio::test]
async fn a_reader_goes_on_where_its_line_broke() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    push_all(&hospital, &["e1", "e2", "e3"]).await;
    later(&hospital).await;
    let (_, manifest) = manifest(&hospital, &plan).await;
    let (url, own) = (manifest.output[0].url.clone(), plans_own());
    let whole = fetched(&hospital, Some(&own), &url).await;
    let with = |pairs: &[(http::HeaderName, &str)]| -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    };
    let answer = asked(&hospital, Some(&own), &url, &with(&[])).await.unwrap();
    let etag = answer.header(&ETAG).unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", exchange::Digest::of(&whole)));
    let length = whole.len();
    for from in [0, 1, length / 3, length / 2, length - 1] {
        for to in [from, length / 2 + 7, length - 1, length + 100] {
            let range = format!("bytes={from}-{to}");
            let headers = with(&[(RANGE, &range), (IF_RANGE, &etag)]);
            if to < from {
                continue;
            }
            let answer = asked(&hospital, Some(&own), &url, &headers).await.unwrap();
            let last = to.min(length - 1);
            let said = format!("bytes {from}-{last}/{length}");
            assert_eq!((answer.status, answer.header(&CONTENT_RANGE)), (206, Some(said.as_str())));
            assert_eq!(body(answer).await, whole.slice(from..=last), "{range}");
        }
    }
    let headers = with(&[(RANGE, "bytes=5-"), (IF_RANGE, "\"another\"")]);
    let answer = asked(&hospital, Some(&own), &url, &headers).await.unwrap();
    assert_eq!((answer.status, body(answer).await), (200, whole), "of another content: all of it");
    let behind = format!("bytes={length}-");
    let table = [(with(&[(RANGE, &behind)]), 416), (with(&[(IF_NONE_MATCH, &etag)]), 304)];
    for (headers, expected) in table {
        let answer = asked(&hospital, Some(&own), &url, &headers).await.unwrap();
        assert_eq!(answer.status, expected);
    }
}

#[tokio::test]
async fn a_url_that_nobody_can_guess_is_a_right_where_that_was_agreed() {
    let lines = "access = \"capability\"\norganized_by = \"type\"\ndialect = \"argonaut\"";
    let (hospital, plan) = hospital(lines, BulkPlan::default());
    push_all(&hospital, &["e1", "e2"]).await;
    later(&hospital).await;
    let told = plan.told();
    let place = told[0].manifest.clone().unwrap();
    assert_eq!((told[0].dialect, place.oauth_metadata.len()), (Dialect::Argonaut, 0));
    let manifest = Manifest::read(&fetched(&hospital, None, &place.url).await).unwrap();
    assert!(!manifest.requires_access_token && manifest.organized_by.is_none());
    let kinds: Vec<_> = manifest.output.iter().map(|file| file.kind.clone().unwrap()).collect();
    assert_eq!((kinds[0].as_str(), kinds[1].as_str()), ("Patient", "Coverage"));
    for file in &manifest.output {
        let read = lines_of(&fetched(&hospital, None, &file.url).await);
        assert_eq!(read.len() as u64, file.count.unwrap());
        assert!(read.iter().all(|kind| Some(kind) == file.kind.as_ref()), "{read:?}");
    }
    let capability = place.url.rsplit('/').nth(1).unwrap();
    let wrong = place.url.replace(capability, &"0".repeat(64));
    let without = place.url.replace(&format!("/{capability}"), "");
    let none = HeaderMap::new();
    for (url, caller) in [(wrong, None), (without, Some(plans_own()))] {
        let told = asked(&hospital, caller.as_ref(), &url, &none).await.map(|it| it.status);
        assert_eq!(told.unwrap_err().code, Code::StatusUnknown);
    }
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    lines(bytes).iter().map(|it| it.kind().to_owned()).collect()
}

#[tokio::test]
async fn what_is_withdrawn_or_restricted_before_it_is_offered_does_not_go() {
    let withdraw = |row: &Row| Command::Withdraw { id: row.id.clone(), who: who(), wait: 0 };
    let (hospital, plan) = hospital("", BulkPlan::default());
    let found = push_all(&hospital, &["e1", "e2", "e3"]).await;
    hospital.command(withdraw(&found["Encounter/e1"])).await.unwrap();
    let row = "[[restriction]]\nsubject = \"Encounter/e2\"\nreason = \"a wish\"\n";
    hospital.restrict(row);
    later(&hospital).await;
    assert!(plan.told().is_empty(), "what was shaped by other restrictions is looked at anew");
    later(&hospital).await;
    let (_, manifest) = manifest(&hospital, &plan).await;
    let file = fetched(&hospital, Some(&plans_own()), &manifest.output[0].url).await;
    let headers: Vec<_> = lines(&file).iter().filter_map(Header::of).collect();
    assert_eq!(headers.len(), 1, "only the third is offered");
    let third = derived_id(NAMESPACE, "Patient", "p3");
    assert_eq!(headers[0].reference, format!("Patient/{third}"));
    later(&hospital).await;
    let found = later(&hospital).await;
    assert_eq!(found["Encounter/e3"].state, "settled");
    assert_ne!(found["Encounter/e2"].state, "settled", "the wish holds");

    let (hospital, plan) = self::hospital("", BulkPlan::default());
    let found = push_all(&hospital, &["e1"]).await;
    hospital.command(withdraw(&found["Encounter/e1"])).await.unwrap();
    later(&hospital).await;
    assert!(plan.told().is_empty(), "of an empty submission nobody is told");
}

#[tokio::test]
async fn what_was_filed_is_taken_back_by_a_file_of_deletions() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    let found = push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["settled"]);
    let id = found["Encounter/e1"].id.clone();
    hospital.command(Command::Withdraw { id, who: who(), wait: 0 }).await.unwrap();
    rows(&hospital).await;
    later(&hospital).await;
    let (_, manifest) = manifest(&hospital, &plan).await;
    let deleted = fetched(&hospital, Some(&plans_own()), &manifest.deleted[0].url).await;
    let bundle = fhir::Bundle::parse(lines(&deleted)[0].bytes().clone()).unwrap();
    assert!(bundle.entries.iter().all(|entry| entry.request.is_some() && entry.resource.is_none()));
    assert!(bundle.entries.len() >= 3, "{}", bundle.entries.len());
    later(&hospital).await;
    assert!(states(&rows(&hospital).await).iter().all(|state| *state == "settled"));
}

#[tokio::test]
async fn a_push_that_is_too_large_goes_as_a_declared_asynchronous_one_where_agreed() {
    for agreed in [true, false] {
        let line = if agreed { "too_large = \"bulk\"" } else { "" };
        let (hospital, plan) =
            with_terms(|text| format!("{text}\n[bulk]\n{line}\n"), BulkPlan::default());
        hospital.network.spoil(SENT, || status(413, ""));
        hospital.push().await;
        if !agreed {
            hospital.waits("not agreed", "held", Code::PayloadTooLarge).await;
            continue;
        }
        let pushes = hospital.work().await;
        let of = |state: &str| pushes.iter().find(|row| row.state == state).unwrap();
        let (large, other) = (of("superseded"), of("submitted"));
        assert_eq!(large.issues[0].issue.code, Code::PayloadTooLarge);
        assert_eq!((large.mode.as_deref(), other.mode.as_deref()), (Some("sync"), Some("async")));
        assert_ne!(large.label, other.label, "it has a number of its own");
        let shown = hospital.show(&large.id).await;
        assert!(shown.timeline.iter().any(|row| row.what.contains(&other.id)), "{shown:?}");
        let told = shown.acknowledgement.unwrap().to_string();
        assert!(told.contains("payload-too-large"), "its originator is told: {told}");
        let id = other.id.clone();
        later(&hospital).await;
        later(&hospital).await;
        assert_eq!(hospital.show(&id).await.row.state, "settled");
        assert_eq!(plan.told().len(), 2);
    }
}

/// An encounter with a reason of so many letters.
fn long(letters: usize) -> Told {
    let reason = json!([{ "text": "x".repeat(letters) }]);
    let end = format!(r#","reasonCode":{reason}}}"#);
    status(200, ENCOUNTER.strip_suffix('}').unwrap().to_owned() + &end)
}

/// Whom a line is about that is too long to be read, nobody can say; the pushes beside it would wait with it.
#[tokio::test]
async fn a_push_with_a_resource_longer_than_a_line_is_held_before_it_joins_the_others() {
    let table: [(bool, fn() -> Told); 2] =
        [(true, || long(LINE_BYTES_MAX)), (false, || long(LINE_BYTES_MAX - 4_096))];
    for (beyond, told) in table {
        let (hospital, plan) = hospital("", BulkPlan::default());
        hospital.network.spoil(&format!("GET {EHR}/Encounter/e1"), told);
        push_all(&hospital, &["e1", "e2"]).await;
        later(&hospital).await;
        let found = later(&hospital).await;
        assert_eq!(found["Encounter/e2"].state, "settled", "{beyond}");
        let large = &found["Encounter/e1"];
        if !beyond {
            assert_eq!(large.state, "settled");
            continue;
        }
        assert_eq!(
            (large.state.as_str(), large.issues[0].issue.code),
            ("held", Code::PayloadTooLarge)
        );
        let manifest = plan.told()[0].manifest.clone().unwrap().url;
        let body = fetched(&hospital, Some(&plans_own()), &manifest).await;
        let files = Manifest::read(&body).unwrap().output;
        assert_eq!(files.iter().filter_map(|file| file.count).sum::<u64>(), large.resources);
        assert!(files.iter().all(|file| file.size.unwrap() < 1_000_000), "not offered");
    }
}

/// The payer takes a week; the push's own time is over after three days, and a person is asked. The late
/// word still settles it.
#[tokio::test]
async fn a_late_word_settles_what_waited_for_a_person() {
    let (hospital, plan) = hospital("", BulkPlan::default());
    *plan.busy.lock().unwrap() = true;
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    hospital.clock.advance(71);
    later(&hospital).await;
    hospital.clock.advance(1);
    let found = later(&hospital).await;
    assert_eq!(found["Encounter/e1"].state, "held");
    assert_eq!(found["Encounter/e1"].issues[0].issue.code, Code::DeadlinePassed);
    *plan.busy.lock().unwrap() = false;
    hospital.clock.advance(1);
    assert_eq!(later(&hospital).await["Encounter/e1"].state, "settled");
}

pub(crate) async fn submissions(
    hospital: &Hospital,
    command: SubmissionCommand,
) -> Result<Vec<SubmissionRow>, Issue> {
    match hospital.command(Command::Submission(command)).await? {
        Reply::Submissions(told) => Ok(told.rows),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_submission_is_stopped_by_a_person_before_the_payer_knows_its_end() {
    let list = || SubmissionCommand::List { limit: None };
    let stop = |row: &SubmissionRow| SubmissionCommand::Stop { id: row.id.clone(), who: who() };
    // The payer knows of the manifest, and answers nothing more for a while.
    let (hospital, plan) = hospital("", BulkPlan::default());
    push_all(&hospital, &["e1", "e2"]).await;
    let open = submissions(&hospital, list()).await.unwrap();
    assert_eq!((open[0].state.as_str(), open[0].pushes), ("open", 2));
    plan.spoil("POST /$bulk-submit", 1, || status(503, ""));
    later(&hospital).await;
    let offered = submissions(&hospital, list()).await.unwrap();
    assert_eq!((offered[0].state.as_str(), offered[0].files), ("offered", 1));
    let base = format!("https://clinic.example/fhir/bulk/{}", offered[0].id);
    let (url, file) = (format!("{base}/manifest-1.json"), format!("{base}/1-patients-1.ndjson"));
    for url in [&url, &file] {
        fetched(&hospital, Some(&plans_own()), url).await;
    }
    let gone = async || {
        for url in [&url, &file] {
            let told = asked(&hospital, Some(&plans_own()), url, &HeaderMap::new()).await;
            assert_eq!(told.map(|it| it.status).unwrap_err().code, Code::StatusUnknown);
        }
    };
    submissions(&hospital, stop(&offered[0])).await.unwrap();
    gone().await;
    let found = later(&hospital).await;
    gone().await;
    assert_eq!(states(&found), ["held", "held"]);
    assert_eq!(found["Encounter/e1"].issues[0].issue.code, Code::SubmissionStopped);
    let told = plan.told();
    assert_eq!(told.last().unwrap().status, Some(SubmissionStatus::Stopped));
    let again = submissions(&hospital, stop(&offered[0])).await.unwrap_err();
    assert_eq!(again.code, Code::NotWaiting);
    hospital.command(release(&found["Encounter/e1"].id)).await.unwrap();
    rows(&hospital).await;
    later(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["settled", "held"], "another one brings it");
    // All that is left of it, by one word.
    let (id, who_asks) = (offered[0].id.clone(), who());
    let rest = Command::Submission(SubmissionCommand::Release { id, who: who_asks });
    for expected in [1, 0] {
        let told = hospital.command(rest.clone()).await.unwrap();
        let Reply::Submissions(told) = told else { panic!("{told:?}") };
        assert_eq!(told.released, Some(expected), "each once");
    }
    rows(&hospital).await;
    later(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["settled", "settled"]);
    let ended = submissions(&hospital, list()).await.unwrap();
    let id = ended.iter().find(|row| row.state == "settled").unwrap().id.clone();
    let issue = submissions(&hospital, SubmissionCommand::Stop { id, who: who() }).await;
    assert_eq!(issue.unwrap_err().code, Code::NotWaiting, "what the payer has is withdrawn");
}

#[tokio::test]
async fn whoever_has_asked_for_the_last_one_need_not_wait_for_more() {
    let (hospital, plan) = hospital("gather_seconds = 300", BulkPlan::default());
    push_all(&hospital, &["e1", "e2"]).await;
    later(&hospital).await;
    assert!(plan.told().is_empty(), "it gathers for five minutes");
    let closed = submissions(&hospital, SubmissionCommand::Close { who: who() }).await.unwrap();
    assert_eq!(closed.len(), 1);
    rows(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["settled", "settled"]);
}

/// What is kept of a submission beside its pushes goes with the agreement's time for contents.
#[tokio::test]
async fn a_submission_that_is_over_is_purged_with_its_pushes() {
    let bulk = |text: String| {
        let text = text.replace("mode = \"sync\"", "mode = \"async\"");
        let text = text.replace("form = \"transaction\"", "form = \"bulk\"");
        text + "\n[bulk]\n[retention]\ncontent_days = 30\n"
    };
    let (hospital, _plan) = with_terms(bulk, BulkPlan::default());
    push_all(&hospital, &["e1"]).await;
    later(&hospital).await;
    assert_eq!(states(&later(&hospital).await), ["settled"]);
    hospital.clock.advance(3);
    rows(&hospital).await;
    hospital.clock.advance(31 * 24);
    let retention = |dry_run| hospital.command(Command::Retention { dry_run });
    let told = retention(false).await.unwrap();
    let Reply::Retained { partners, .. } = told else { panic!("{told:?}") };
    assert_eq!(partners[0].works, 2, "the push and its submission");
    let Reply::Retained { partners, .. } = retention(true).await.unwrap() else { panic!() };
    assert_eq!(partners[0].works, 0, "once");
}
