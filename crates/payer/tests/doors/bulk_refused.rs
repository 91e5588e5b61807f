//! What is wrong with a bulk submission is refused at the door, or told of in its outcomes.

use crate::bulk::{
    JSON, asked, codes, observation, patient, poll, request, stands, submit, taken, told, work,
};
use crate::files::{Files, Stands};
use crate::plan::{Plan, says};
use exchange::Code;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::House as _;

#[tokio::test]
async fn what_cannot_be_taken_is_refused_at_the_door() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let url = files.manifest("/manifest.json", &[]);
    let good = request(&files, Some(&url), None);
    let with = |more: Value| {
        let mut request = good.clone();
        request["parameter"].as_array_mut().unwrap().push(more);
        request
    };
    let other_status = json!({ "name": "submissionStatus", "valueCoding": { "system": "urn:x", "code": "completed" } });
    let header = |name: &str| {
        json!({ "name": "fileRequestHeader", "part": [
            { "name": "headerName", "valueString": name },
            { "name": "headerValue", "valueString": "Bearer stolen" },
        ] })
    };
    let mut two_ways = with(header("Authorization"));
    let metadata =
        json!({ "name": "oauthMetadataUrl", "valueUrl": "https://clinic.example/oauth" });
    two_ways["parameter"].as_array_mut().unwrap().push(metadata);
    let table = [
        ("a status of another system", with(other_status), Code::ParameterInvalid),
        (
            "encrypted files",
            with(
                json!({ "name": "fileEncryptionKey", "part": [{ "name": "value", "valueString": "k" }] }),
            ),
            Code::ParameterUnsupported,
        ),
        (
            "another version of FHIR",
            with(
                json!({ "name": "outputFormat", "valueString": "application/fhir+ndjson; fhirVersion=5.0" }),
            ),
            Code::ParameterUnsupported,
        ),
        (
            "a parameter of nobody's",
            with(json!({ "name": "mystery", "valueString": "x" })),
            Code::ParameterUnsupported,
        ),
        ("a header that is ours to set", with(header("Host")), Code::ParameterInvalid),
        ("two ways to be let in", two_ways, Code::ParameterInvalid),
        ("nothing asked", request(&files, None, None), Code::ParameterInvalid),
        ("an unknown one stopped", request(&files, None, Some("stopped")), Code::StatusUnknown),
        (
            "an unknown one replaced",
            with(json!({ "name": "replacesManifestUrl", "valueUrl": "https://clinic.example/no" })),
            Code::StatusUnknown,
        ),
    ];
    for (case, request, code) in table {
        let answer = submit(&plan, "rival", &request).await;
        let issue = says(&answer, code);
        assert!(!issue.detail.contains("stolen"), "{case}");
    }
    assert_eq!(files.asked(), Vec::<String>::new(), "nothing is fetched");
    let narrow = (Method::POST, "/fhir/$bulk-submit");
    let body = good.to_string();
    let answer = plan.ask_within("rival", "system/Patient.cruds", narrow, &body, &[JSON]).await;
    says(&answer, Code::ScopeMissing);
    let answer = plan
        .ask_within("platform", "system/*.rs", (Method::POST, "/fhir/$bulk-submit"), &body, &[JSON])
        .await;
    says(&answer, Code::ScopeMissing);
    says(&submit(&Plan::open(), "rival", &good).await, Code::FileNotAgreed);
    let wrong = plan.ask_as("rival", Method::GET, "/fhir/$bulk-submit", "", &[]).await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);

    taken(&plan, "rival", &good).await;
    says(
        &submit(
            &plan,
            "rival",
            &with(json!({ "name": "oauthMetadataUrl", "valueUrl": files.url })),
        )
        .await,
        Code::KeyConflict,
    );
    let replaces =
        with(json!({ "name": "replacesManifestUrl", "valueUrl": "https://clinic.example/no" }));
    says(&submit(&plan, "rival", &replaces).await, Code::KeyConflict);
}

#[tokio::test]
async fn a_manifest_or_file_that_cannot_be_read_is_told_of_and_keeps_nothing_else() {
    let files = Files::serve().await;
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &[observation("o1", "p1")]);
    files.put("/page.ndjson", Stands::Whole("text/html", "<html>".into()));
    let good = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let link = |url: &str| json!({ "link": [{ "relation": "next", "url": url }] });
    let with = |path: &'static str| [good[0], ("Condition", path), good[1]];
    files.manifest_with("/second.json", &good[1..], json!({}));
    type Case<'c> = (&'c str, String, &'c [(&'c str, &'c str)], usize);
    let table: [Case<'_>; 8] = [
        ("not there", format!("{}/none.json", files.url), &[("file-refused", "")], 0),
        (
            "its pages lead in a circle",
            files.manifest_with("/circle.json", &good, link("circle.json")),
            &[("manifest-invalid", "")],
            0,
        ),
        ("no manifest", format!("{}/o.ndjson", files.url), &[("file-invalid", "")], 0),
        (
            "pages",
            files.manifest_with("/pages.json", &good[..1], link("second.json")),
            &[("counted", "")],
            2,
        ),
        (
            "a file that is not there",
            files.manifest("/lacks.json", &with("/none.ndjson")),
            &[("counted", ""), ("file-refused", "")],
            2,
        ),
        (
            "a file that is a page",
            files.manifest("/page.json", &with("/page.ndjson")),
            &[("counted", ""), ("file-invalid", "")],
            2,
        ),
        (
            "a file elsewhere",
            files.manifest("/away.json", &with("http://127.0.0.1:1/metadata")),
            &[("counted", ""), ("file-not-agreed", "")],
            2,
        ),
        (
            "files behind a token that nobody can get",
            files.manifest_with("/closed.json", &good, json!({ "requiresAccessToken": true })),
            &[("counted", ""), ("file-not-agreed", ""), ("file-not-agreed", "")],
            0,
        ),
    ];
    for (case, manifest, expected, filed) in table {
        let plan = Plan::open_with(Some(&files.agreed()));
        taken(&plan, "rival", &request(&files, Some(&manifest), Some("completed"))).await;
        work(&plan).await;
        assert_eq!(stands(&plan).await.len(), filed, "{case}");
        let lines = told(&plan, "rival").await;
        let expected: Vec<_> = expected
            .iter()
            .map(|(code, about)| ((*code).to_owned(), (*about).to_owned()))
            .collect();
        assert_eq!(codes(&lines), expected, "{case}");
        plan.verify().await.unwrap();
    }
}

#[tokio::test]
async fn the_drafts_words_are_answered_in_the_drafts_words() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    files.file("/o.ndjson", &[observation("o1", "p1")]);
    let url = files.manifest("/manifest.json", &[("Observation", "/o.ndjson")]);
    let system = "http://hl7.org/fhir/uv/bulkdata/ValueSet/submission-status";
    let body = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "submitter", "valueIdentifier": { "system": "urn:plan:senders", "value": "7" } },
        { "name": "submissionId", "valueString": "sub-1" },
        { "name": "submissionStatus", "valueCoding": { "system": system, "code": "complete" } },
        { "name": "manifestUrl", "valueString": url },
        { "name": "FHIRBaseUrl", "valueString": format!("{}/fhir", files.url) },
        { "name": "fileRequestHeader", "part": [
            { "name": "headerName", "valueString": "x-key" },
            { "name": "headerValue", "valueString": "a-file-key" },
        ] },
    ] });
    taken(&plan, "rival", &body).await;
    work(&plan).await;
    assert_eq!(files.asked(), ["/manifest.json x-key=a-file-key", "/o.ndjson x-key=a-file-key"]);
    let place = asked(&plan, "rival").await;
    let answer = poll(&plan, "rival", &place).await;
    let manifest: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(manifest["extension"]["submissionId"], "sub-1");
    assert_eq!(manifest["error"][0]["extension"]["manifestUrl"], url);
    assert_eq!(manifest["error"][0]["extension"]["countSeverity"]["error"], 1);
    assert!(manifest.get("outcome").is_none());
    let file = poll(&plan, "rival", manifest["error"][0]["url"].as_str().unwrap()).await;
    let text = std::str::from_utf8(file.body()).unwrap();
    assert!(text.contains("artifact-relatedArtifact") && !text.contains("a-file-key"), "{text}");
    let written = plan.road.house.entries(1, 10_000).await.unwrap();
    assert!(written.iter().any(|entry| entry.body.contains("sub-1")));
    assert!(written.iter().all(|entry| !entry.body.contains("a-file-key")), "in the ledger");
    let rows = plan.list().await;
    assert!(!rows.is_empty());
    for row in rows {
        let shown = format!("{:?}", plan.show(&row.id).await);
        assert!(!shown.contains("a-file-key"), "{shown}");
    }
}

#[tokio::test]
async fn a_poll_is_paced_and_may_have_a_status_of_its_own() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let url = files.manifest("/manifest.json", &[]);
    taken(&plan, "rival", &request(&files, Some(&url), None)).await;
    let mut body = request(&files, None, None);
    let apart = ("prefer", "respond-async,separate-export-status");
    body["parameter"].as_array_mut().unwrap().truncate(2);
    let place = (Method::POST, "/fhir/$bulk-submit-status");
    let answer = plan
        .ask_within("rival", "system/bulk-submit", place, &body.to_string(), &[JSON, apart])
        .await;
    assert!(
        answer.headers()["preference-applied"].to_str().unwrap().contains("separate-export-status")
    );
    let place = answer.headers()["content-location"].to_str().unwrap().to_owned();
    let waits = poll(&plan, "rival", &place).await;
    assert_eq!(
        (waits.status(), &waits.headers()["x-export-status"]),
        (StatusCode::OK, &"202".parse().unwrap())
    );
    let soon = plan.get("rival", &place).await;
    assert_eq!(soon.status(), StatusCode::TOO_MANY_REQUESTS);
    work(&plan).await;
    taken(&plan, "rival", &request(&files, None, Some("completed"))).await;
    work(&plan).await;
    let done = poll(&plan, "rival", &place).await;
    assert_eq!(
        (done.status(), &done.headers()["x-export-status"]),
        (StatusCode::OK, &"200".parse().unwrap())
    );
    assert!(done.headers().contains_key("expires"));
    plan.clock.advance(8 * 24 * 3_600);
    says(&poll(&plan, "rival", &place).await, Code::StatusUnknown);
}

#[tokio::test]
async fn a_sender_with_many_open_submissions_is_told_to_come_again() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    let url = files.manifest("/manifest.json", &[]);
    let numbered = |number: u32| {
        let mut body = request(&files, Some(&url), None);
        body["parameter"][1]["valueString"] = format!("sub-{number}").into();
        body
    };
    for number in 0..payer::limits::BULK_OPEN_MAX {
        taken(&plan, "rival", &numbered(number)).await;
    }
    let full = submit(&plan, "rival", &numbered(99)).await;
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(full.headers().contains_key("retry-after"));
    taken(&plan, "rival", &numbered(0)).await;
    taken(&plan, "lab", &numbered(99)).await;
}

#[tokio::test]
async fn what_is_stopped_leaves_nothing_that_only_it_brought() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    leaves_nothing_once_stopped(&files, plan).await;
}

pub(crate) async fn leaves_nothing_once_stopped(files: &Files, plan: Plan) {
    // The Patient came by another door before.
    let put = |kind: &str, id: &str, text: String| {
        let request = json!({ "method": "PUT", "url": format!("{kind}/{id}") });
        json!({ "resource": serde_json::from_str::<Value>(&text).unwrap(), "request": request })
    };
    let entry = put("Patient", "p1", patient("p1", "W100", "Example"));
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry] });
    assert_eq!(plan.post("rival", bundle.to_string()).await.status(), 200);
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o.ndjson", &[observation("o1", "p1"), observation("o2", "p1")]);
    let output = [("Patient", "/p.ndjson"), ("Observation", "/o.ndjson")];
    let url = files.manifest("/manifest.json", &output);
    taken(&plan, "rival", &request(files, Some(&url), None)).await;
    work(&plan).await;
    assert_eq!(stands(&plan).await, ["Observation/o1/1", "Observation/o2/1", "Patient/p1/1"]);
    // Another manifest is being fetched, and waits for its server.
    files.put("/later.json", Stands::Status(503));
    let later = format!("{}/later.json", files.url);
    taken(&plan, "rival", &request(files, Some(&later), None)).await;
    work(&plan).await;
    files.asked();
    taken(&plan, "rival", &request(files, None, Some("stopped"))).await;
    work(&plan).await;
    plan.clock.advance(3_600);
    work(&plan).await;
    assert_eq!(files.asked(), Vec::<String>::new(), "nothing more is fetched");
    assert_eq!(stands(&plan).await, ["Patient/p1/1"]);
    plan.verify().await.unwrap();
    let place = asked(&plan, "rival").await;
    says(&poll(&plan, "rival", &place).await, Code::SubmissionClosed);
    says(
        &submit(&plan, "rival", &request(files, Some(&url), Some("completed"))).await,
        Code::SubmissionClosed,
    );
}

#[tokio::test]
async fn a_manifest_that_replaces_another_stands_in_its_place() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    replaces_another(&files, plan).await;
}

pub(crate) async fn replaces_another(files: &Files, plan: Plan) {
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/wrong.ndjson", &[observation("o1", "p1"), observation("o2", "p1")]);
    files.file("/right.ndjson", &[observation("o1", "p1").replace("weight", "height")]);
    let patients = files.manifest("/1.json", &[("Patient", "/p.ndjson")]);
    let wrong = files.manifest("/2.json", &[("Observation", "/wrong.ndjson")]);
    let right = files.manifest("/3.json", &[("Observation", "/right.ndjson")]);
    for url in [&patients, &wrong] {
        taken(&plan, "rival", &request(files, Some(url), None)).await;
    }
    work(&plan).await;
    assert_eq!(stands(&plan).await, ["Observation/o1/1", "Observation/o2/1", "Patient/p1/1"]);
    let mut replaces = request(files, Some(&right), None);
    let replaced = json!({ "name": "replacesManifestUrl", "valueUrl": wrong });
    replaces["parameter"].as_array_mut().unwrap().push(replaced);
    taken(&plan, "rival", &replaces).await;
    work(&plan).await;
    // Taken out first, so that the new one is filed where nothing stands.
    assert_eq!(stands(&plan).await, ["Observation/o1/3", "Patient/p1/1"]);
    taken(&plan, "rival", &request(files, None, Some("completed"))).await;
    work(&plan).await;
    let place = asked(&plan, "rival").await;
    let manifest: Value =
        serde_json::from_slice(poll(&plan, "rival", &place).await.body()).unwrap();
    let of = manifest["outcome"].as_array().unwrap().iter().map(|one| &one["manifestUrl"]);
    assert_eq!(of.collect::<Vec<_>>(), [&json!(patients), &json!(right)]);
    plan.verify().await.unwrap();
}

#[tokio::test]
async fn a_patient_is_not_taken_out_under_records_that_stay() {
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    stays_under_its_records(&files, plan, false).await;
    let files = Files::serve().await;
    let plan = Plan::open_with(Some(&files.agreed()));
    stays_under_its_records(&files, plan, true).await;
}

/// `beside`: a record about the Patient comes by another door as well.
pub(crate) async fn stays_under_its_records(files: &Files, plan: Plan, beside: bool) {
    let location = json!({ "resourceType": "Location", "id": "l1", "name": "ward" });
    files.file("/p.ndjson", &[patient("p1", "W100", "Example")]);
    files.file("/o1.ndjson", &[observation("o1", "p1")]);
    files.file("/o2.ndjson", &[observation("o2", "p1")]);
    files.file("/l.ndjson", &[location.to_string()]);
    let first =
        files.manifest("/1.json", &[("Patient", "/p.ndjson"), ("Observation", "/o1.ndjson")]);
    let second = files.manifest("/2.json", &[("Observation", "/o2.ndjson")]);
    let third = files.manifest("/3.json", &[("Location", "/l.ndjson")]);
    for url in [&first, &second] {
        taken(&plan, "rival", &request(files, Some(url), None)).await;
        work(&plan).await;
    }
    assert_eq!(stands(&plan).await, ["Observation/o1/1", "Observation/o2/1", "Patient/p1/1"]);
    if beside {
        let place = (http::Method::PUT, "/fhir/Observation/o3");
        let body = observation("o3", "p1");
        let answer = plan.ask_as("rival", place.0, place.1, &body, &[JSON]).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{answer:?}");
    }
    let mut replaces = request(files, Some(&third), None);
    let replaced = json!({ "name": "replacesManifestUrl", "valueUrl": first });
    replaces["parameter"].as_array_mut().unwrap().push(replaced);
    taken(&plan, "rival", &replaces).await;
    work(&plan).await;
    let mut stay = vec!["Location/l1/1", "Observation/o2/1", "Observation/o3/1", "Patient/p1/1"];
    stay.retain(|one| beside || *one != "Observation/o3/1");
    assert_eq!(stands(&plan).await, stay);
    let shown = plan.show("sub-1").await;
    let said: Vec<&str> = shown.timeline.iter().map(|line| line.what.as_str()).collect();
    assert!(said.iter().any(|what| what.contains("1 Patients stay")), "{said:?}");
    // Once the whole is stopped, nothing of it is about the Patient any more.
    taken(&plan, "rival", &request(files, None, Some("stopped"))).await;
    work(&plan).await;
    let left: &[&str] = if beside { &["Observation/o3/1", "Patient/p1/1"] } else { &[] };
    assert_eq!(stands(&plan).await, left);
    plan.verify().await.unwrap();
}
