//! Goal: what a push takes back in bulk is as gone as what one takes back at the door: an older push does
//! not bring it back, in whatever way it comes later, and an older withdrawal goes over nothing newer.
//!
//! How: pushes and withdrawals in every order that counts, each a submission with the files that a sending
//! house makes of it; another plan gets the same by the other door. In both databases.

use crate::bulk::{request, taken, work};
use crate::files::{Files, Stands};
use crate::plan::{NAMESPACE, Plan, Push, taking_back, taking_back_but, who};
use bytes::Bytes;
use exchange::agreement::Organized;
use exchange::assemble::Payload;
use exchange::desk::Command;
use exchange::sending::plan::{Planner, Sent};
use exchange::{Digest, Phi};
use http::StatusCode;
use payer::limits::BULK_BATCH_LINES;
use serde_json::Value;
use store::{House, WorkKind, WorkQuery};

/// The first push of a patient; a newer one, with a record more.
fn older() -> Push<'static> {
    Push::default()
}

fn newer() -> Push<'static> {
    Push { number: 3, status: "amended", observations: &["o1", "o2"], ..Push::default() }
}

/// The files of one push, as a sending house makes them; the manifest's place.
pub(crate) fn offered(files: &Files, name: &str, of: &Payload, payload: &Bytes) -> String {
    let patient = of.contents.iter().find(|one| one.kind == "Patient").unwrap().id.clone();
    let (walk, push) = (name.into(), of.push.clone());
    let sent = Sent { walk, push, patient, payload: Digest::of(payload) };
    let at = "2026-11-22T11:00:00Z".parse().unwrap();
    let mut planner = Planner::new(at, Organized::Patient, 1_000_000);
    planner.add(&sent, payload).unwrap();
    let plan = planner.finish();
    for file in &plan.files {
        let lines = file.part().lines(&file.pieces[0], payload.clone()).unwrap();
        let path = format!("/{name}/{}", file.name);
        files.put(&path, Stands::Whole("application/fhir+ndjson", lines));
    }
    let manifest = plan.manifest(false, None, |file| format!("/{name}/{file}"));
    let path = format!("/{name}.json");
    files.put(&path, Stands::Whole("application/json", manifest.into()));
    format!("{}{path}", files.url)
}

/// A submission of its own of one push, which is complete.
pub(crate) async fn submit(files: &Files, plan: &Plan, name: &str, of: &Payload, payload: &Bytes) {
    let url = offered(files, name, of, payload);
    complete(files, plan, name, &url).await;
}

async fn complete(files: &Files, plan: &Plan, name: &str, url: &str) {
    let mut body = request(files, Some(url), Some("completed"));
    body["parameter"][1]["valueString"] = name.into();
    taken(plan, "clinic", &body).await;
}

/// Of each record, and of what is written down beside them, what stands: type, id, whether it is gone, by
/// which number in which lane, and what it holds.
pub(crate) type View = Vec<(String, String, bool, Option<u64>, Option<String>, Digest)>;

pub(crate) async fn view(plan: &Plan) -> View {
    let mut newest = std::collections::BTreeMap::new();
    for one in plan.road.house.dump(None, 10_000).await.unwrap() {
        let row = (one.deleted, one.number, one.lane, one.digest);
        newest.insert((one.kind, one.id), row);
    }
    let row =
        |((kind, id), (deleted, number, lane, digest))| (kind, id, deleted, number, lane, digest);
    newest.into_iter().map(row).collect()
}

/// How many records of a type stand.
pub(crate) fn many(view: &View, kind: &str) -> usize {
    view.iter().filter(|one| one.0 == kind && !one.2).count()
}

/// A plan, and its database as long as that is to be there.
pub(crate) type Opened = (Plan, Option<testdb::Database>);

/// Of these cases the first ones, so many.
async fn withdrawn_alike_by_both_doors(open: impl AsyncFn(&Files) -> Opened, cases: usize) {
    let (old, new) = (older().assembled(), newer().assembled());
    let (first, third) = (old.bytes.clone(), new.bytes.clone());
    let all = taking_back(&old, NAMESPACE, 2);
    let some = taking_back_but(&old, &["Patient"], NAMESPACE, 2);
    type Case<'c> = (&'c str, Vec<&'c Bytes>, [usize; 2]);
    let table: [Case<'_>; 8] = [
        ("withdrawn before it came", vec![&all, &first], [0, 0]),
        ("withdrawn before it came, but for the Patient", vec![&some, &first], [1, 0]),
        ("a newer one stands", vec![&third, &all], [1, 2]),
        ("in their order", vec![&first, &all], [0, 0]),
        ("withdrawn, and it comes again", vec![&first, &all, &first], [0, 0]),
        ("a newer one stands, but for the Patient", vec![&third, &some], [1, 2]),
        ("both came before", vec![&first, &third, &all], [1, 2]),
        ("a newer one comes behind the older", vec![&all, &first, &third], [1, 2]),
    ];
    for (case, payloads, expected) in table.into_iter().take(cases) {
        let files = Files::serve().await;
        let (bulk, _bulk_database) = open(&files).await;
        let (posted, _posted_database) = open(&files).await;
        for (number, payload) in payloads.into_iter().enumerate() {
            let of = if payload == &third { &new } else { &old };
            let named = Payload { push: push_of(payload), ..of.clone() };
            submit(&files, &bulk, &format!("s{number}"), &named, payload).await;
            work(&bulk).await;
            let answer = posted.post("clinic", payload.clone()).await;
            assert_eq!(answer.status(), StatusCode::OK, "{case}: {answer:?}");
        }
        let stands = view(&bulk).await;
        let counts = ["Patient", "Observation"].map(|kind| many(&stands, kind));
        assert_eq!(counts, expected, "{case}");
        assert_eq!(stands, view(&posted).await, "{case}");
        bulk.verify().await.unwrap();
    }
}

pub(crate) fn push_of(payload: &Bytes) -> exchange::PushId {
    let bundle: Value = serde_json::from_slice(payload).unwrap();
    exchange::PushId(bundle["identifier"]["value"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_is_taken_back_in_bulk_is_gone_as_what_is_taken_back_at_the_door() {
    let open = async |files: &Files| (Plan::open_with(Some(&files.agreed())), None);
    withdrawn_alike_by_both_doors(open, 8).await;
}

#[tokio::test]
async fn in_a_database_server_it_is_gone_alike() {
    if testdb::Server::shared().is_none() {
        return;
    }
    let open = async |files: &Files| {
        let database = testdb::Server::shared();
        let url = database.as_ref().unwrap().url();
        (Plan::in_postgres_with(url, &files.agreed()).await, database)
    };
    withdrawn_alike_by_both_doors(open, 3).await;
}

/// Of all submissions, how many OperationOutcomes say that something was refused.
async fn refusals(plan: &Plan) -> u64 {
    let kind = Some(WorkKind::BulkReceived);
    let query = WorkQuery { kind, limit: 99, ..WorkQuery::default() };
    let rows = plan.road.house.works(query).await.unwrap();
    let row = |row: &store::StoredWork| serde_json::from_slice::<Value>(&row.work.body).unwrap();
    rows.iter().map(|one| row(one)["severities"]["error"].as_u64().unwrap_or(0)).sum()
}

#[tokio::test]
async fn what_a_person_lets_go_on_does_not_bring_back_what_was_withdrawn_meanwhile() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let old = Push { member: "W999", ..older() }.assembled();
    submit(&files, &plan, "old", &old, &old.bytes).await;
    work(&plan).await;
    let held = plan.list().await.into_iter().find(|row| row.kind == "submission").unwrap();
    assert_eq!(held.state, "held");
    let gone = taking_back(&old, NAMESPACE, 2);
    let before = refusals(&plan).await;
    let named = Payload { push: push_of(&gone), ..old.clone() };
    submit(&files, &plan, "gone", &named, &gone).await;
    work(&plan).await;
    assert_eq!(refusals(&plan).await, before, "what says that they are gone is filed");
    let (who, member) = (who(), Some(Phi("W100".to_owned())));
    plan.desk.command(Command::Release { id: held.id, who, member }).await.unwrap();
    let stands = view(&plan).await;
    assert_eq!(["Patient", "Observation"].map(|kind| many(&stands, kind)), [0, 0], "{stands:?}");
    plan.verify().await.unwrap();
}

/// The Patient comes in the first batch, and is set aside there.
#[tokio::test]
async fn a_push_of_several_batches_that_was_withdrawn_is_older_to_its_end() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let ids: Vec<String> = (0..BULK_BATCH_LINES + 5).map(|number| format!("o{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let old = Push { observations: &ids, ..older() }.assembled();
    let gone = taking_back(&old, NAMESPACE, 2);
    let named = Payload { push: push_of(&gone), ..old.clone() };
    for (name, of, payload) in [("gone", &named, &gone), ("old", &old, &old.bytes)] {
        submit(&files, &plan, name, of, payload).await;
        work(&plan).await;
    }
    let stands = view(&plan).await;
    let counts = ["Patient", "Observation", "Provenance"].map(|kind| many(&stands, kind));
    assert_eq!(counts, [0, 0, 1], "but that they were taken back");
    assert_eq!(
        refusals(&plan).await,
        1,
        "its Provenance: nobody is here any more of whom it speaks"
    );
    plan.verify().await.unwrap();
}

/// The manifest of the older push is read, and its file is not there yet; both processes end in between.
#[tokio::test]
async fn what_is_fetched_late_does_not_bring_back_what_was_withdrawn_meanwhile() {
    for (stay, expected) in [(&[][..], [0, 0]), (&["Patient"][..], [1, 0])] {
        let files = Files::serve().await;
        let plan = Plan::open_with(Some(&files.agreed()));
        let old = older().assembled();
        let url = offered(&files, "old", &old, &old.bytes);
        let lines = files.stands("/old/patients-1.ndjson");
        files.script("/old/patients-1.ndjson", [Stands::Status(503), lines]);
        complete(&files, &plan, "old", &url).await;
        work(&plan).await;
        assert_eq!(files.asked(), ["/old.json", "/old/patients-1.ndjson"]);
        let plan = plan.ended(&files.agreed()).await;
        let gone = taking_back_but(&old, stay, NAMESPACE, 2);
        let named = Payload { push: push_of(&gone), ..old.clone() };
        submit(&files, &plan, "gone", &named, &gone).await;
        work(&plan).await;
        assert_eq!(many(&view(&plan).await, "Patient"), 0, "nothing of it is here");
        let plan = plan.ended(&files.agreed()).await;
        files.asked();
        plan.clock.advance(3_600);
        work(&plan).await;
        assert_eq!(files.asked(), ["/old/patients-1.ndjson"], "it is fetched now");
        let stands = view(&plan).await;
        let counts = ["Patient", "Observation"].map(|kind| many(&stands, kind));
        assert_eq!(counts, expected, "{stay:?}");
        assert_eq!(refusals(&plan).await, 0, "older is no fault");
        plan.verify().await.unwrap();
    }
}
