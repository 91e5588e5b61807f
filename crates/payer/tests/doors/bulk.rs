//! What a sender submits in bulk is fetched, filed for members alone, and told of line by line.

use crate::bulk_refused::{leaves_nothing_once_stopped, replaces_another, stays_under_its_records};
use crate::files::{Files, Stands};
use crate::plan::{NAMESPACE, Plan, Push, says};
use bytes::Bytes;
use exchange::Code;
use http::{Method, Response, StatusCode};
use payer::worker::{Turn, take_up};
use serde_json::{Value, json};
use store::House;

pub(crate) const JSON: (&str, &str) = ("content-type", "application/fhir+json");

/// A request of the ballot's, of manifest and status.
pub(crate) fn request(files: &Files, manifest: Option<&str>, status: Option<&str>) -> Value {
    let mut parameter = vec![
        json!({ "name": "submitter", "valueIdentifier": { "system": "urn:plan:senders", "value": "7" } }),
        json!({ "name": "submissionId", "valueString": "sub-1" }),
    ];
    if let Some(code) = status {
        let coding = json!({ "system": "http://hl7.org/fhir/event-status", "code": code });
        parameter.push(json!({ "name": "submissionStatus", "valueCoding": coding }));
    }
    if let Some(url) = manifest {
        parameter.push(json!({ "name": "manifestUrl", "valueUrl": url }));
        parameter.push(json!({ "name": "fhirBaseUrl", "valueUrl": format!("{}/fhir", files.url) }));
    }
    json!({ "resourceType": "Parameters", "parameter": parameter })
}

pub(crate) async fn submit(plan: &Plan, who: &str, request: &Value) -> Response<Bytes> {
    let place = (Method::POST, "/fhir/$bulk-submit");
    plan.ask_within(who, "system/bulk-submit", place, &request.to_string(), &[JSON]).await
}

pub(crate) async fn taken(plan: &Plan, who: &str, request: &Value) {
    let answer = submit(plan, who, request).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
}

/// Works until nothing is due.
pub(crate) async fn work(plan: &Plan) {
    while take_up(&plan.road, std::future::pending()).await == Turn::Taken {}
}

/// The place of the status.
pub(crate) async fn asked(plan: &Plan, who: &str) -> String {
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "submitter", "valueIdentifier": { "system": "urn:plan:senders", "value": "7" } },
        { "name": "submissionId", "valueString": "sub-1" },
    ] });
    let place = (Method::POST, "/fhir/$bulk-submit-status");
    let answer =
        plan.ask_within(who, "system/bulk-submit", place, &body.to_string(), &[JSON]).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
    answer.headers()["content-location"].to_str().unwrap().to_owned()
}

pub(crate) async fn poll(plan: &Plan, who: &str, place: &str) -> Response<Bytes> {
    plan.clock.advance(5);
    let path = place.strip_prefix("https://plan.example").unwrap();
    plan.ask_within(who, "system/bulk-submit", (Method::GET, path), "", &[]).await
}

/// The lines that are told of each manifest, once all is done.
pub(crate) async fn told(plan: &Plan, who: &str) -> Vec<Value> {
    let place = asked(plan, who).await;
    let answer = poll(plan, who, &place).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let manifest: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(manifest["submissionId"], "sub-1");
    let mut lines = Vec::new();
    for file in manifest["outcome"].as_array().unwrap() {
        let answer = poll(plan, who, file["url"].as_str().unwrap()).await;
        assert_eq!(answer.headers()["content-type"], "application/fhir+ndjson");
        let text = std::str::from_utf8(answer.body()).unwrap();
        let mut severities = std::collections::BTreeMap::<String, u64>::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["resourceType"], "OperationOutcome");
            for issue in line["issue"].as_array().unwrap() {
                let severity = issue["severity"].as_str().unwrap().to_owned();
                *severities.entry(severity).or_default() += 1;
            }
            lines.push(line);
        }
        let counted = file["countSeverity"].as_array().unwrap().iter();
        let counted = counted
            .map(|one| (one["code"].as_str().unwrap().to_owned(), one["count"].as_u64().unwrap()));
        assert_eq!(counted.collect::<std::collections::BTreeMap<_, _>>(), severities);
    }
    lines
}

/// Of what a line is about: references below the sender's base, or pushes.
pub(crate) fn about(line: &Value) -> Vec<String> {
    let extensions = line["extension"].as_array().cloned().unwrap_or_default();
    let reference = |one: &Value| {
        let value = &one["valueReference"];
        let text = value["reference"].as_str().or(value["identifier"]["value"].as_str())?;
        Some(text.rsplit_once("/fhir/").map_or(text, |(_, local)| local).to_owned())
    };
    extensions.iter().filter_map(reference).collect()
}

/// The codes of our own that are told, with whom they are about.
pub(crate) fn codes(lines: &[Value]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in lines {
        let code = line["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or("counted");
        let about = about(line);
        match about.is_empty() {
            true => found.push((code.to_owned(), String::new())),
            false => found.extend(about.into_iter().map(|one| (code.to_owned(), one))),
        }
    }
    found.sort();
    found
}

/// The sentence in numbers of the whole manifest.
pub(crate) fn counted(lines: &[Value]) -> String {
    let whole = lines.iter().filter(|line| about(line).is_empty());
    let mut texts = whole.filter_map(|line| line["issue"][0]["details"]["text"].as_str());
    texts.find(|text| text.contains("resources read")).unwrap().to_owned()
}

/// `Type/id/version` of all that stands.
pub(crate) async fn stands(plan: &Plan) -> Vec<String> {
    let all = plan.road.house.dump(None, 10_000).await.unwrap();
    let mut newest = std::collections::BTreeMap::new();
    for record in all.into_iter().filter(|record| record.kind != "withdrawal") {
        newest.insert(format!("{}/{}", record.kind, record.id), (record.version, record.deleted));
    }
    let stands = newest.into_iter().filter(|(_, (_, deleted))| !deleted);
    stands.map(|(name, (version, _))| format!("{name}/{version}")).collect()
}

pub(crate) fn patient(id: &str, member: &str, family: &str) -> String {
    let coding =
        json!([{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB" }]);
    let mut patient = json!({
        "resourceType": "Patient",
        "id": id,
        "name": [{ "family": family, "given": ["Ada"] }],
        "birthDate": "1980-02-03",
    });
    if !member.is_empty() {
        patient["identifier"] = json!([{ "type": { "coding": coding }, "value": member }]);
    }
    patient.to_string()
}

pub(crate) fn observation(id: &str, patient: &str) -> String {
    json!({
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": { "text": "weight" },
        "subject": { "reference": format!("Patient/{patient}") },
    })
    .to_string()
}

/// What stands is looked up while the batch before is filed, and may be what that one replaces.
#[tokio::test]
async fn a_record_that_comes_again_in_the_next_batch_is_a_version_behind_the_first() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let lines = payer::limits::BULK_BATCH_LINES;
    let mut observations: Vec<String> =
        (0..lines).map(|number| observation(&format!("o{number}"), "p1")).collect();
    let again = |line: &String| line.replace("weight", "height");
    observations.extend([again(&observations[0]), observations[1].clone()]);
    observations.push(again(&observations[lines - 1]));
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &observations);
    let output = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let manifest = files.manifest("/manifest.json", &output);
    taken(&plan, "rival", &request(&files, Some(&manifest), Some("completed"))).await;
    work(&plan).await;
    let stands = stands(&plan).await;
    assert_eq!(stands.len(), lines + 1);
    let twice: Vec<_> = stands.iter().filter(|name| name.ends_with("/2")).collect();
    assert_eq!(twice, ["Observation/o0/2", &*format!("Observation/o{}/2", lines - 1)]);
    let lines = told(&plan, "rival").await;
    assert!(counted(&lines).starts_with("1004 resources read"), "{}", counted(&lines));
}

#[tokio::test]
async fn files_by_type_are_filed_for_members_whatever_their_order() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    are_filed_by_type(&files, plan).await;
}

async fn are_filed_by_type(files: &Files, plan: Plan) {
    let coverage = json!({
        "resourceType": "Coverage",
        "id": "c1",
        "status": "active",
        "subscriberId": "W100",
        "beneficiary": { "reference": format!("{}/fhir/Patient/p1", files.url) },
        "payor": [{ "display": "plan" }],
    });
    let location = json!({ "resourceType": "Location", "id": "l1", "name": "ward" });
    files.file("/o.ndjson", &[observation("o1", "p1"), observation("o2", "p2")]);
    files.file("/c.ndjson", &[coverage.to_string()]);
    files.file("/p.ndjson", &[patient("p1", "", "Example"), patient("p2", "W999", "Other")]);
    files.file("/l.ndjson", &[location.to_string(), "{no".to_owned()]);
    let output = [
        ("Observation", "/o.ndjson"),
        ("Coverage", "c.ndjson"),
        ("Patient", "/p.ndjson"),
        ("Location", "/l.ndjson"),
    ];
    let manifest = files.manifest("/manifest.json", &output);
    let first = request(files, Some(&manifest), None);
    taken(&plan, "rival", &first).await;
    taken(&plan, "rival", &first).await;
    work(&plan).await;
    let order = ["/manifest.json", "/p.ndjson", "/c.ndjson", "/o.ndjson", "/l.ndjson"];
    assert_eq!(files.asked(), order, "a repeat is fetched once, Patients come first");
    let place = asked(&plan, "rival").await;
    let waits = poll(&plan, "rival", &place).await;
    assert_eq!(waits.status(), StatusCode::ACCEPTED);
    assert!(
        waits.headers()["x-progress"].len() < 100 && waits.headers().contains_key("retry-after")
    );
    says(&poll(&plan, "lab", &place).await, Code::StatusUnknown);
    assert_eq!(
        stands(&plan).await,
        ["Coverage/c1/1", "Location/l1/1", "Observation/o1/1", "Patient/p1/1"]
    );

    let completed = request(files, None, Some("completed"));
    taken(&plan, "rival", &completed).await;
    taken(&plan, "rival", &completed).await;
    work(&plan).await;
    let lines = told(&plan, "rival").await;
    let expected = [
        ("counted", ""),
        ("entry-invalid", ""),
        ("member-unknown", "Observation/o2"),
        ("member-unknown", "Patient/p2"),
    ];
    let expected = expected.map(|(code, about)| (code.to_owned(), about.to_owned()));
    assert_eq!(codes(&lines), expected);
    assert_eq!(
        counted(&lines),
        "7 resources read: 4 filed, 0 unchanged, 0 deleted, 0 older than what is filed, 3 refused"
    );
    says(
        &submit(&plan, "rival", &request(files, Some(&manifest), Some("completed"))).await,
        Code::SubmissionClosed,
    );
    plan.verify().await.unwrap();

    let place = asked(&plan, "rival").await;
    let path = place.strip_prefix("https://plan.example").unwrap();
    let ended = plan.ask_as("rival", Method::DELETE, path, "", &[]).await;
    assert_eq!(ended.status(), StatusCode::ACCEPTED);
    says(&poll(&plan, "rival", &place).await, Code::StatusUnknown);
    assert_eq!(files.asked(), Vec::<String>::new(), "nothing is fetched twice");
}

/// The lines of a push: its header, and its resources one a line.
pub(crate) fn block(push: &Push<'_>) -> (Vec<String>, String) {
    let payload = push.assembled();
    let bundle: Value = serde_json::from_slice(&payload.bytes).unwrap();
    let resources = bundle["entry"].as_array().unwrap().iter();
    let resources: Vec<&Value> = resources.map(|entry| &entry["resource"]).collect();
    let patient = resources.iter().find(|one| one["resourceType"] == "Patient").unwrap();
    let header = exchange::bulk::Header {
        reference: format!("Patient/{}", patient["id"].as_str().unwrap()),
        push: Some((exchange::assemble::push_system(NAMESPACE), payload.push.to_string())),
        as_of: Some("2026-11-22T10:00:00Z".parse().unwrap()),
    };
    let header = String::from_utf8(header.line()).unwrap();
    let lines = std::iter::once(header).chain(resources.iter().map(ToString::to_string));
    (lines.collect(), payload.push.to_string())
}

#[tokio::test]
async fn blocks_are_filed_as_the_pushes_they_are() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let (newer, newer_push) = block(&Push { number: 2, ..Push::default() });
    let (older, older_push) = block(&Push { status: "preliminary", ..Push::default() });
    let whole = newer.len() - 1;
    // The block goes on in another file, under the same header.
    files.file("/2.ndjson", &newer[..2]);
    let rest = [&newer[..1], &newer[2..]].concat();
    files.file("/3.ndjson", &[&rest[..], &older[..]].concat());
    let output = json!([
        { "url": "/3.ndjson" },
        { "url": "/2.ndjson", "continuesInFile": "/3.ndjson" },
    ]);
    let more = json!({ "outputOrganizedBy": "Patient", "output": output });
    let manifest = files.manifest_with("/manifest.json", &[], more);
    taken(&plan, "clinic", &request(&files, Some(&manifest), Some("completed"))).await;
    work(&plan).await;
    let lines = told(&plan, "clinic").await;
    let said = |push: &str| {
        let line = lines.iter().find(|line| about(line) == [push]);
        line.unwrap()["issue"][0]["details"]["text"].as_str().unwrap().to_owned()
    };
    let of = |filed: usize, older: usize| {
        format!(
            "{whole} resources read: {filed} filed, {} unchanged, 0 deleted, {older} older than what is \
             filed, 0 refused",
            whole - filed - older
        )
    };
    assert_eq!(said(&newer_push), of(whole, 0));
    // The Provenance names its push, so it is another record; the Patient is the same.
    assert_eq!(said(&older_push), of(1, 1));
    assert_eq!(files.asked(), ["/manifest.json", "/2.ndjson", "/3.ndjson"]);
    plan.verify().await.unwrap();
    // The same push by the other door is there already.
    let again = Push { number: 2, ..Push::default() }.assembled();
    let answer = plan.post("clinic", again.bytes).await;
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    let versions = stands(&plan).await;
    assert!(versions.iter().all(|one| one.ends_with("/1")), "{versions:?} {answer}");
}

#[tokio::test]
async fn what_comes_before_its_patient_waits_for_another_manifest() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let provenance = json!({
        "resourceType": "Provenance",
        "id": "v1",
        "target": [{ "reference": "Observation/o1" }],
        "recorded": "2026-11-22T10:00:00Z",
        "agent": [{ "who": { "display": "clinic" } }],
    });
    files.file("/v.ndjson", &[provenance.to_string()]);
    files.file("/o.ndjson", &[observation("o1", "p1"), observation("o9", "p9")]);
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    let first =
        files.manifest("/1.json", &[("Provenance", "/v.ndjson"), ("Observation", "/o.ndjson")]);
    taken(&plan, "rival", &request(&files, Some(&first), None)).await;
    work(&plan).await;
    assert_eq!(stands(&plan).await, Vec::<String>::new());
    let second = files.manifest("/2.json", &[("Patient", "/p.ndjson")]);
    taken(&plan, "rival", &request(&files, Some(&second), Some("completed"))).await;
    work(&plan).await;
    assert_eq!(stands(&plan).await, ["Observation/o1/1", "Patient/p1/1", "Provenance/v1/1"]);
    let lines = told(&plan, "rival").await;
    let expected = [("counted", ""), ("counted", ""), ("member-not-named", "Observation/o9")];
    let expected = expected.map(|(code, about)| (code.to_owned(), about.to_owned()));
    assert_eq!(codes(&lines), expected);
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn what_was_filed_before_a_sudden_end_is_not_filed_again() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    goes_on_after_a_sudden_end(&files, plan).await;
}

/// Each in a database of its own.
#[tokio::test]
async fn in_a_database_server_the_same_is_filed_stopped_replaced_and_taken_up() {
    let Some(database) = testdb::Server::shared() else { return };
    let files = Files::serve().await;
    let plan = Plan::in_postgres_with(database.url(), &files.agreed()).await;
    are_filed_by_type(&files, plan).await;
    let Some(database) = testdb::Server::shared() else { return };
    let files = Files::serve().await;
    let plan = Plan::in_postgres_with(database.url(), &files.agreed()).await;
    goes_on_after_a_sudden_end(&files, plan).await;
    let Some(database) = testdb::Server::shared() else { return };
    let files = Files::serve().await;
    let plan = Plan::in_postgres_with(database.url(), &files.agreed()).await;
    leaves_nothing_once_stopped(&files, plan).await;
    let Some(database) = testdb::Server::shared() else { return };
    let files = Files::serve().await;
    let plan = Plan::in_postgres_with(database.url(), &files.agreed()).await;
    replaces_another(&files, plan).await;
    let Some(database) = testdb::Server::shared() else { return };
    let files = Files::serve().await;
    let plan = Plan::in_postgres_with(database.url(), &files.agreed()).await;
    stays_under_its_records(&files, plan, true).await;
}

async fn goes_on_after_a_sudden_end(files: &Files, plan: Plan) {
    let many: Vec<String> = (0..2_500).map(|n| observation(&format!("o{n}"), "p1")).collect();
    let text: String = many.iter().map(|line| format!("{line}\n")).collect();
    let text = Bytes::from(text);
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.put("/o.ndjson", Stands::Cut(text.clone(), text.len() / 2));
    let output = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let manifest = files.manifest("/manifest.json", &output);
    taken(&plan, "rival", &request(files, Some(&manifest), Some("completed"))).await;
    // A database server goes by its own clock, for which nothing is put off here.
    while stands(&plan).await.len() < 1_000 {
        assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Taken);
    }
    let before = stands(&plan).await.len();
    assert!((1_000..2_500).contains(&before), "{before}");
    let plan = plan.ended(&files.agreed()).await;
    files.put("/o.ndjson", Stands::Whole("application/fhir+ndjson", text));
    assert_eq!(stands(&plan).await.len(), before);
    plan.clock.advance(60);
    work(&plan).await;
    let after = stands(&plan).await;
    assert_eq!(after.len(), 2_501);
    assert!(after.iter().all(|one| one.ends_with("/1")), "no record has two versions");
    let lines = told(&plan, "rival").await;
    assert_eq!(
        counted(&lines),
        "2501 resources read: 2501 filed, 0 unchanged, 0 deleted, 0 older than what is filed, 0 refused"
    );
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn deletions_come_last_and_stand_or_fall_by_the_line() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &[observation("o1", "p1"), observation("o2", "p1")]);
    let delete = |places: &[&str]| {
        let entry =
            places.iter().map(|url| json!({ "request": { "method": "DELETE", "url": url } }));
        let entry: Vec<Value> = entry.collect();
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": entry }).to_string()
    };
    files.file(
        "/d.ndjson",
        &[delete(&["Observation/o1"]), delete(&["Patient/p1"]), delete(&["Observation/no"])],
    );
    let more = json!({ "deleted": [{ "type": "Bundle", "url": "/d.ndjson" }] });
    let output = [("Observation", "/o.ndjson"), ("Patient", "/p.ndjson")];
    let manifest = files.manifest_with("/manifest.json", &output, more);
    taken(&plan, "rival", &request(&files, Some(&manifest), Some("completed"))).await;
    work(&plan).await;
    assert_eq!(stands(&plan).await, ["Observation/o2/1", "Patient/p1/1"]);
    let lines = told(&plan, "rival").await;
    let expected = [("counted", ""), ("reference-unresolved", "Patient/p1")];
    let expected = expected.map(|(code, about)| (code.to_owned(), about.to_owned()));
    assert_eq!(codes(&lines), expected);
    assert_eq!(
        counted(&lines),
        "6 resources read: 3 filed, 0 unchanged, 2 deleted, 0 older than what is filed, 1 refused"
    );
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn who_is_no_member_is_kept_for_a_person_where_that_is_agreed() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    files.file("/p.ndjson", &[patient("p2", "W999", "Other")]);
    files.file("/o.ndjson", &[observation("o2", "p2")]);
    let output = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let manifest = files.manifest("/manifest.json", &output);
    taken(&plan, "lab", &request(&files, Some(&manifest), Some("completed"))).await;
    work(&plan).await;
    let lines = told(&plan, "lab").await;
    let expected =
        [("counted", ""), ("member-unknown", "Observation/o2"), ("member-unknown", "Patient/p2")];
    let expected = expected.map(|(code, about)| (code.to_owned(), about.to_owned()));
    assert_eq!(codes(&lines), expected);
    assert_eq!(stands(&plan).await, Vec::<String>::new());
    let mut held = plan.list().await;
    held.retain(|row| row.kind == "submission");
    let states: Vec<&str> = held.iter().map(|row| row.state.as_str()).collect();
    assert_eq!(states, ["held", "held"]);
    for row in held.iter().rev() {
        let who = crate::plan::who();
        let member = Some(exchange::Phi("W100".to_owned()));
        let release = exchange::desk::Command::Release { id: row.id.clone(), who, member };
        plan.desk.command(release).await.unwrap();
    }
    assert_eq!(stands(&plan).await, ["Observation/o2/1", "Patient/p2/1"]);
    plan.verify().await.unwrap();
}
