//! Some of what partners have filed: a Group's members, named Patients, what a search finds, some
//! elements, with its Provenance, in blocks. Nobody else's records are ever among them.

use crate::exported::{
    ASYNC, JSON, exported, kick_off, lines, manifest, names, rows_are_what_their_lines_add_up_to,
    taken, work,
};
use crate::plan::{Plan, Push, says};
use exchange::{Chain, Code};
use fhir::Resource;
use http::{Method, StatusCode};
use payer::worker::{Turn, take_up};
use repository::{Filing, Incoming, Loader, Standing, plan_transaction};
use serde_json::{Value, json};
use store::{Commit, House, Record, Unit};

async fn load(plan: &Plan, at: &str, all: &[Value]) {
    let one = |one: &Value| Resource::parse(one.to_string().into_bytes()).unwrap();
    let loader = Loader { house: &plan.road.house, owner: "clinic".into(), receipt: "s".into() };
    let all: Vec<_> = all.iter().map(one).collect();
    loader.load(at.parse().unwrap(), all).await.unwrap();
}

fn about(kind: &str, id: &str, patient: &str, more: Value) -> Value {
    let subject = if kind == "Immunization" { "patient" } else { "subject" };
    let mut one = json!({ "resourceType": kind, "id": id });
    one[subject] = json!({ "reference": format!("Patient/{patient}") });
    one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    one
}

fn provenance(id: &str, recorded: &str, targets: &[&str]) -> Value {
    let targets: Vec<_> = targets.iter().map(|it| json!({ "reference": it })).collect();
    json!({ "resourceType": "Provenance", "id": id, "recorded": recorded, "target": targets })
}

/// Three Patients with records, and a Group of which the first two are members.
async fn stocked() -> Plan {
    stocked_in(Plan::open()).await
}

async fn stocked_in(plan: Plan) -> Plan {
    let performer = json!({ "performer": [{ "reference": "Practitioner/d1" }], "status": "final" });
    let others = json!({ "performer": [{ "reference": "Practitioner/d3" }], "status": "amended" });
    let member = |reference: &str| json!({ "entity": { "reference": reference } });
    let mut gone = member("Patient/p3");
    gone["inactive"] = true.into();
    let mut past = member("Patient/p3");
    past["period"] = json!({ "end": "2020" });
    load(
        &plan,
        "2026-11-22T11:00:00Z",
        &[
            json!({ "resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1980-02-03" }),
            json!({ "resourceType": "Patient", "id": "p2", "gender": "male" }),
            json!({ "resourceType": "Patient", "id": "p3", "gender": "male" }),
            about("Observation", "o1", "p1", performer.clone()),
            about("Observation", "o2", "p2", others.clone()),
            about("Observation", "o3", "p3", others),
            about("Immunization", "i1", "p1", json!({ "status": "completed" })),
            json!({ "resourceType": "PractitionerRole", "id": "r1",
                "practitioner": { "reference": "Practitioner/d1" } }),
            json!({ "resourceType": "Practitioner", "id": "d1",
                "qualification": [{ "issuer": { "reference": "Organization/h1" }, "code": {} }] }),
            json!({ "resourceType": "Practitioner", "id": "d3" }),
            json!({ "resourceType": "Practitioner", "id": "d9" }),
            json!({ "resourceType": "Organization", "id": "h1" }),
            json!({ "resourceType": "Group", "id": "g1", "type": "person", "actual": true, "member": [
                member("Patient/p1"), member("Patient/p2"), gone, past, member("Group/g2"),
                member("Patient/elsewhere") ] }),
            json!({ "resourceType": "Group", "id": "g2", "type": "person", "actual": false }),
            provenance("v1", "2026-11-20T10:00:00Z", &["Observation/o1", "Patient/p1"]),
            provenance("v2", "2026-11-21T10:00:00Z", &["Observation/o1"]),
            provenance("v3", "2026-11-21T10:00:00Z", &["Observation/o3"]),
            provenance("v4", "2026-11-19T10:00:00Z", &["Practitioner/d1", "Immunization/i1"]),
        ],
    )
    .await;
    plan.clock.advance(60);
    plan
}

/// Proves: bulk 224, 229, 249-250, 298
#[tokio::test]
async fn a_group_is_given_its_members_records_and_what_they_refer_to() {
    let plan = stocked().await;
    let place = taken(&plan, "Group/g1/$export").await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    assert_eq!(told["request"], "https://plan.example/fhir/Group/g1/$export");
    assert_eq!(
        names(&lines(&plan, &told, "output").await),
        [
            "Immunization/i1/1",
            "Observation/o1/1",
            "Observation/o2/1",
            "Patient/p1/1",
            "Patient/p2/1",
            "Organization/h1/1",
            "Practitioner/d1/1",
            "Practitioner/d3/1",
            "Provenance/v1/1",
            "Provenance/v2/1",
            "Provenance/v4/1",
        ]
    );
    let said = lines(&plan, &told, "error").await;
    assert_eq!(said.len(), 1);
    assert!(said[0].to_string().contains("1 members of the Group"), "the other Group: {said:?}");
    rows_are_what_their_lines_add_up_to(&plan).await;
}

/// Proves: bulk 85, 92, 96-99, 103, 117, 251, 254
#[tokio::test]
async fn what_is_chosen_is_given_and_nothing_else() {
    choose(&stocked().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_server_the_same_is_chosen() {
    let Some(server) = testdb::Server::shared() else { return };
    choose(&stocked_in(Plan::in_postgres(server.url()).await).await).await;
}

async fn choose(plan: &Plan) {
    let table: [(&str, &[&str]); 21] = [
        ("Group/g1/$export?_type=Patient", &["Patient/p1/1", "Patient/p2/1"]),
        (
            "Group/g1/$export?_type=Patient&_outputFormat=application/fhir%2Bndjson",
            &["Patient/p1/1", "Patient/p2/1"],
        ),
        (
            "Group/g1/$export?_type=Patient&_since=2026-11-22T10:30:00Z",
            &["Patient/p1/1", "Patient/p2/1"],
        ),
        ("Group/g1/$export?_type=Patient&patient=Patient/p2", &["Patient/p2/1"]),
        ("Group/g1/$export?_type=Practitioner,Patient&patient=p2", &["Patient/p2/1"]),
        (
            "Group/g1/$export?_type=Practitioner,Observation&patient=Patient/p2",
            &["Observation/o2/1", "Practitioner/d3/1"],
        ),
        (
            "Patient/$export?_type=Patient,Observation&patient=Patient/p3,https://plan.example/fhir/Patient/p1",
            &["Observation/o1/1", "Observation/o3/1", "Patient/p1/1", "Patient/p3/1"],
        ),
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fstatus%3Dfinal",
            &["Observation/o1/1"],
        ),
        (
            "$export?_type=Observation,Patient&_typeFilter=Observation%3Fstatus%3Dfinal",
            &["Observation/o1/1", "Patient/p1/1", "Patient/p2/1", "Patient/p3/1"],
        ),
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fstatus%3Dfinal,Observation%3Fpatient%3Dp3",
            &["Observation/o1/1", "Observation/o3/1"],
        ),
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fstatus%3Dfinal&_typeFilter=Observation%3Fpatient%3Dp3",
            &["Observation/o1/1", "Observation/o3/1"],
        ),
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fstatus%3Dfinal%2Camended%26patient%3Dp2",
            &["Observation/o2/1"],
        ),
        (
            "Group/g1/$export?_type=Observation&_typeFilter=Observation%3Fstatus%3Damended",
            &["Observation/o2/1"],
        ),
        (
            "$export?_type=Observation&includeAssociatedData=LatestProvenanceResources",
            &[
                "Observation/o1/1",
                "Observation/o2/1",
                "Observation/o3/1",
                "Provenance/v2/1",
                "Provenance/v3/1",
            ],
        ),
        (
            "$export?_type=Observation&includeAssociatedData=LatestProvenanceResources,RelevantProvenanceResources",
            &[
                "Observation/o1/1",
                "Observation/o2/1",
                "Observation/o3/1",
                "Provenance/v1/1",
                "Provenance/v2/1",
                "Provenance/v3/1",
            ],
        ),
        (
            "Group/g1/$export?_type=Observation,Immunization&includeAssociatedData=RelevantProvenanceResources",
            &[
                "Immunization/i1/1",
                "Observation/o1/1",
                "Observation/o2/1",
                "Provenance/v1/1",
                "Provenance/v2/1",
                "Provenance/v4/1",
            ],
        ),
        (
            "Patient/$export?_type=Patient&patient=p1&includeAssociatedData=LatestProvenanceResources",
            &["Patient/p1/1", "Provenance/v1/1"],
        ),
        (
            "$export?_type=Patient&includeAssociatedData=LatestProvenanceResources,RelevantProvenanceResources",
            &["Patient/p1/1", "Patient/p2/1", "Patient/p3/1", "Provenance/v1/1"],
        ),
        ("$export?_type=Group&_typeFilter=Group%3Fmember%3DPatient/p1", &["Group/g1/1"]),
        ("Group/g1/$export?_type=Patient&_since=2026-11-22T11:30:00Z", &[]),
        ("Group/g1/$export?_type=Patient&_until=2026-11-22T10:30:00Z", &[]),
    ];
    for (query, expected) in table {
        assert_eq!(exported(plan, query).await, expected, "{query}");
    }
}

/// Proves: bulk 109, 111
#[tokio::test]
async fn provenance_comes_without_being_asked_for() {
    let plan = stocked().await;
    let (all, of_members) = (&["v1", "v2", "v3", "v4"][..], &["v1", "v2", "v4"][..]);
    for (query, expected) in
        [("$export", all), ("Patient/$export", all), ("Group/g1/$export", of_members)]
    {
        let found = exported(&plan, query).await;
        let found = found.iter().filter_map(|name| name.strip_prefix("Provenance/"));
        let found: Vec<_> = found.map(|name| name.strip_suffix("/1").unwrap()).collect();
        assert_eq!(found, expected, "{query}");
    }
}

/// Proves: bulk 109, 111
#[tokio::test]
async fn provenance_that_speaks_of_anybody_else_is_not_given() {
    let plan = stocked().await;
    let at = "2026-11-22T10:00:00Z";
    load(
        &plan,
        "2026-11-22T11:30:00Z",
        &[
            // What one push brought is named together, whom it is about and who treated him.
            provenance("w1", at, &["Patient/p3", "Observation/o3", "Practitioner/d1"]),
            provenance("w2", at, &["Practitioner/d1", "Observation/o3"]),
            provenance("w3", at, &["Practitioner/d1", "Observation/never-filed"]),
            provenance("w4", at, &["Practitioner/d1", "https://other.example/Observation/o1"]),
            provenance("w5", at, &["Observation/o1", "Observation/o3", "Patient/p1"]),
            provenance("w6", at, &["Patient/p1", "Observation/never-filed"]),
        ],
    )
    .await;
    let all = &["v1", "v2", "v4", "w6"][..];
    let table = [
        ("Group/g1/$export?includeAssociatedData=RelevantProvenanceResources", all),
        // Of the practitioner and the Immunization, v4 is the latest that may be given.
        ("Group/g1/$export?includeAssociatedData=LatestProvenanceResources", &["v2", "v4", "w6"]),
        ("Patient/$export?patient=p1,p2&includeAssociatedData=RelevantProvenanceResources", all),
        ("Group/g1/$export", all),
        ("Group/g1/$export?organizeOutputBy=Patient", &["v1", "w6"]),
        ("Group/g1/$export?organizeOutputBy=Patient&_type=Provenance", &["v1", "w6"]),
    ];
    let check = async |when: &str, table: &[(&str, &[&str])]| {
        for (query, expected) in table {
            let place = taken(&plan, query).await;
            work(&plan).await;
            let told = manifest(&plan, &place).await;
            let found = lines(&plan, &told, "output").await;
            let found = found.iter().filter(|line| line["resourceType"] == "Provenance");
            let found: Vec<_> = found.map(|line| line["id"].as_str().unwrap()).collect();
            assert_eq!(found, *expected, "{when}: {query}");
        }
    };
    check("as all stands", &table).await;
    let whole = ["v1", "v2", "v3", "v4", "w1", "w2", "w3", "w4", "w5", "w6"];
    let query = "$export?includeAssociatedData=RelevantProvenanceResources";
    check("nobody is chosen", &[(query, &whole)]).await;
    // What is gone was somebody's still: of w2 and w5 the version before says whose.
    plan.clock.advance(60);
    take_back(&plan, "o3", None, "2026-11-22T12:01:30Z").await;
    plan.clock.advance(60);
    check("after it was taken back", &table).await;
}

/// Proves: bulk 23, 213-215
#[tokio::test]
async fn an_attachment_is_fetched_by_its_absolute_address_with_the_same_token() {
    let plan = stocked().await;
    let content = json!([{ "attachment": { "contentType": "text/plain", "url": "Binary/b1" } }]);
    let document =
        about("DocumentReference", "n1", "p1", json!({ "status": "current", "content": content }));
    let binary = json!({ "resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "YQ==" });
    load(&plan, "2026-11-22T11:30:00Z", &[document, binary]).await;
    for query in
        ["Patient/$export?_type=DocumentReference", "Group/g1/$export?_type=DocumentReference"]
    {
        let place = taken(&plan, query).await;
        work(&plan).await;
        let told = manifest(&plan, &place).await;
        assert_eq!(told["requiresAccessToken"], true);
        let line = &lines(&plan, &told, "output").await[0];
        let url = line["content"][0]["attachment"]["url"].as_str().unwrap();
        assert_eq!(url, "https://plan.example/fhir/Binary/b1", "{query}");
        let answer = plan.get("platform", url).await;
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
        assert!(String::from_utf8_lossy(answer.body()).contains("YQ=="));
    }
}

#[tokio::test]
async fn a_group_that_is_not_there_or_lists_nobody_is_refused() {
    let plan = stocked().await;
    let table = [
        ("Group/g9/$export", Code::ResourceUnknown),
        ("Group/g2/$export", Code::ParameterUnsupported),
        ("Group/g1/$export?patient=Patient/p3", Code::ParameterInvalid),
        ("Group/g1/$export?_type=Practitioner", Code::ParameterInvalid),
    ];
    for (query, code) in table {
        says(&kick_off(&plan, query).await, code);
    }
    let asks = async |scope| {
        let path = (Method::GET, "/fhir/Group/g1/$export?_type=Patient");
        plan.ask_within("platform", scope, path, "", &[ASYNC]).await
    };
    says(&asks("system/Group.rs").await, Code::ScopeMissing);
    // What is not exported needs no scope: clients ask for those of the types they want.
    let answer = asks("system/Patient.rs").await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test]
async fn every_editions_way_to_write_a_parameter_is_read() {
    let plan = stocked().await;
    let patients: [Value; 2] = [
        json!([
            { "name": "patient", "valueReference": { "reference": "Patient/p1" } },
            { "name": "patient", "valueReference": { "reference": "Patient/p3" } },
            { "name": "_type", "valueString": "Observation" },
            { "name": "_since", "valueInstant": "2026-11-22T10:00:00Z" },
            { "name": "includeAssociatedData", "valueCode": "LatestProvenanceResources" },
        ]),
        json!([
            { "name": "patient", "valueString": "Patient/p1,Patient/p3" },
            { "name": "_type", "valueCode": "Observation" },
            { "name": "_typeFilter", "valueString": "Observation?status=final,amended" },
            { "name": "includeAssociatedData", "valueCoding": { "code": "LatestProvenanceResources" } },
            { "name": "allowPartialManifests", "valueBoolean": true },
        ]),
    ];
    for parameter in patients {
        let body = json!({ "resourceType": "Parameters", "parameter": parameter }).to_string();
        let path = "/fhir/Patient/$export";
        let answer = plan.ask_as("platform", Method::POST, path, &body, &[ASYNC, JSON]).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{answer:?}");
        work(&plan).await;
        let told = manifest(&plan, answer.headers()["content-location"].to_str().unwrap()).await;
        let found = names(&lines(&plan, &told, "output").await);
        let expected =
            ["Observation/o1/1", "Observation/o3/1", "Provenance/v2/1", "Provenance/v3/1"];
        assert_eq!(found, expected, "{body}");
        assert_eq!(told["request"], "https://plan.example/fhir/Patient/$export");
    }
}

#[tokio::test]
async fn records_come_with_some_elements_and_say_so() {
    let plan = stocked().await;
    for query in [
        "$export?_type=Patient&_elements=gender",
        "Patient/$export?_type=Patient&patient=p1&_elements=Patient.gender",
    ] {
        let place = taken(&plan, query).await;
        work(&plan).await;
        let told = manifest(&plan, &place).await;
        let first = &lines(&plan, &told, "output").await[0];
        assert_eq!((&first["id"], &first["gender"]), (&"p1".into(), &"female".into()), "{first}");
        assert!(first.get("birthDate").is_none(), "{first}");
        assert_eq!(first["meta"]["tag"][0]["code"], "SUBSETTED", "{first}");
    }
}

#[tokio::test]
async fn in_blocks_each_patient_stands_before_its_records() {
    let plan = stocked().await;
    for (query, patients) in [("Group/g1/$export", 2), ("Patient/$export", 3), ("$export", 3)] {
        let place = taken(&plan, &format!("{query}?organizeOutputBy=Patient")).await;
        work(&plan).await;
        let told = manifest(&plan, &place).await;
        assert_eq!(told["outputOrganizedBy"], "Patient");
        assert!(told["output"][0].get("type").is_none(), "{told}");
        let lines = lines(&plan, &told, "output").await;
        let mut headers = 0;
        let mut whose = Value::Null;
        for (at, line) in lines.iter().enumerate() {
            if line["resourceType"] == "Parameters" {
                headers += 1;
                assert_eq!(line["parameter"][0]["name"], "header");
                whose = line["parameter"][0]["valueReference"]["reference"].clone();
                let next = &lines[at + 1];
                let patient = format!("Patient/{}", next["id"].as_str().unwrap());
                assert_eq!((&next["resourceType"], &whose), (&"Patient".into(), &patient.into()));
                continue;
            }
            let subject = ["subject", "patient"].into_iter().find_map(|name| line.get(name));
            assert!(subject.is_none_or(|subject| subject["reference"] == whose), "{line}");
        }
        assert_eq!(headers, patients, "{query}");
    }
    // The Patient that a header names is there, whatever else is asked for.
    let place = taken(&plan, "Patient/$export?organizeOutputBy=Patient&_type=Immunization").await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    let kinds: Vec<_> = lines(&plan, &told, "output").await;
    let kinds: Vec<_> = kinds.iter().map(|line| line["resourceType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Parameters", "Patient", "Immunization"]);
    let asks = (Method::GET, "/fhir/Patient/$export?organizeOutputBy=Patient&_type=Immunization");
    let scope = "system/Immunization.rs";
    let narrow = plan.ask_within("platform", scope, asks, "", &[ASYNC]).await;
    says(&narrow, Code::ScopeMissing);
}

/// Takes back an Observation, with a push of this number. Where the sender does not have it, a numbered
/// one leaves a mark, again behind one whose push was stopped.
async fn take_back(plan: &Plan, id: &str, number: Option<u64>, at: &str) {
    let filing = Filing {
        owner: "clinic".into(),
        receipt: "s".to_owned(),
        lane: number.map(|_| "clinic|p1".to_owned()),
        number,
        as_of: None,
    };
    let name = [("Observation".to_owned(), id.to_owned())];
    let heads = plan.road.house.heads(&name).await.unwrap();
    let mut marks = Vec::new();
    if let Some(mark) = filing.mark("Observation", id) {
        let stopped = |mark: Record| Record { number: None, ..mark };
        let found = plan.road.house.heads(&[mark]).await.unwrap();
        marks = found.into_iter().map(|mark| mark.map(stopped)).collect();
    }
    let standing = Standing { heads: &heads, marks: &marks };
    let incoming = vec![Incoming::delete(0, "Observation", id)];
    let planned = plan_transaction(incoming, &filing, standing).unwrap();
    let at = at.parse().unwrap();
    let unit = Unit { at, records: planned.records, expects: planned.expects, ..Unit::default() };
    assert!(matches!(plan.road.house.commit(unit).await.unwrap(), Commit::Done { .. }));
}

/// A mark is no record: it names senders and Patients.
///
/// Proves: bulk 180
#[tokio::test]
async fn a_mark_of_what_was_taken_back_before_it_came_is_in_no_export() {
    let plan = stocked().await;
    take_back(&plan, "never-filed", Some(1), "2026-11-22T12:00:30Z").await;
    take_back(&plan, "never-filed", Some(2), "2026-11-22T12:00:40Z").await;
    let after = Some(("Provenance".to_owned(), "~".to_owned(), 0));
    let kept = plan.road.house.dump(after, 10).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|one| (one.kind.as_str(), one.version)).collect();
    assert_eq!(kept, [("withdrawal", 1), ("withdrawal", 2)]);
    for more in ["", "&_typeFilter=Observation%3Fstatus%3Dfinal", "&organizeOutputBy=Patient"] {
        let query = format!("$export?_since=2026-11-22T12:00:00Z{more}");
        let place = taken(&plan, &query).await;
        work(&plan).await;
        let told = manifest(&plan, &place).await;
        assert_eq!((&told["output"], &told["deleted"]), (&json!([]), &json!([])), "{query}");
    }
}

#[tokio::test]
async fn what_was_taken_back_of_the_chosen_is_told_and_nobody_elses_is() {
    let plan = stocked().await;
    for (id, at) in [("o1", "2026-11-22T12:00:30Z"), ("o3", "2026-11-22T12:00:40Z")] {
        take_back(&plan, id, None, at).await;
    }
    for query in [
        "Group/g1/$export?",
        "Patient/$export?patient=p1,p2&",
        "Patient/$export?organizeOutputBy=Patient&patient=p1&",
    ] {
        let place = taken(&plan, &format!("{query}_since=2026-11-22T12:00:00Z")).await;
        work(&plan).await;
        let told = manifest(&plan, &place).await;
        let gone = lines(&plan, &told, "deleted").await;
        assert_eq!(gone.len(), 1, "{query}");
        assert_eq!(gone[0]["entry"][0]["request"]["url"], "Observation/o1", "{query}");
        assert_eq!(told["output"], json!([]), "{query}: nothing else has changed");
    }
}

#[tokio::test]
async fn the_files_of_chosen_records_are_those_of_their_moment() {
    let plan = stocked().await;
    let place = taken(&plan, "Group/g1/$export?_type=Patient,Observation").await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    let before = lines(&plan, &told, "output").await;
    assert_eq!(before.len(), 4);
    plan.clock.advance(60);
    let changed = [
        about("Observation", "o1", "p3", json!({ "status": "corrected" })),
        json!({ "resourceType": "Group", "id": "g1", "type": "person", "actual": true }),
        about("Observation", "o8", "p1", json!({ "status": "final" })),
    ];
    load(&plan, "2026-11-22T12:02:00Z", &changed).await;
    assert_eq!(lines(&plan, &told, "output").await, before, "whatever comes later");
    let plan = plan.killed();
    plan.clock.advance(180);
    assert_eq!(lines(&plan, &told, "output").await, before, "and after a sudden end");
}

#[tokio::test]
async fn what_names_people_is_in_no_line_of_the_ledger_and_goes_with_the_export() {
    let plan = stocked().await;
    let query = "Patient/$export?patient=p1&_type=Patient&_typeFilter=Patient%3Fidentifier%3DR-12345,Patient%3F_id%3Dp1";
    let place = taken(&plan, query).await;
    work(&plan).await;
    let told = manifest(&plan, &place).await;
    assert!(told["request"].as_str().unwrap().contains("R-12345"), "its reader wrote it");
    assert_eq!(names(&lines(&plan, &told, "output").await), ["Patient/p1/1"]);
    let mut digests = Vec::new();
    for entry in plan.road.house.story(&Chain::House).await.unwrap() {
        let text = entry.event().unwrap().to_body();
        assert!(!text.contains("R-12345") && !text.contains("p1"), "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        let texts = [&event["asked"]["wording"], &event["files"][0]["listed"]];
        digests.extend(texts.into_iter().filter_map(|it| it.as_str()).map(str::to_owned));
    }
    assert_eq!(digests.len(), 2, "the wording and one list");
    let kept = async || {
        let mut kept = 0;
        for digest in &digests {
            let digest = digest.parse().unwrap();
            kept += u32::from(plan.road.house.blob(&digest).await.unwrap().is_some());
        }
        kept
    };
    assert_eq!(kept().await, 2);
    plan.clock.advance(24 * 3600);
    work(&plan).await;
    assert_eq!(kept().await, 0, "when its time is over");
    assert_eq!(take_up(&plan.road, std::future::pending()).await, Turn::Nothing);
    rows_are_what_their_lines_add_up_to(&plan).await;
}

#[tokio::test]
async fn a_poll_says_the_exports_status_apart_where_that_is_asked_for() {
    let plan = stocked().await;
    let apart = [("prefer", "respond-async,separate-export-status")];
    let answer = plan.ask_as("platform", Method::GET, "/fhir/$export", "", &apart).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let applied = answer.headers()["preference-applied"].to_str().unwrap();
    assert!(applied.contains("respond-async") && applied.contains("separate-export-status"));
    let place = answer.headers()["content-location"].to_str().unwrap().to_owned();
    let waits = plan.get("platform", &place).await;
    assert_eq!(
        (waits.status(), &waits.headers()["x-export-status"]),
        (StatusCode::OK, &"202".parse().unwrap())
    );
    assert!(waits.headers().contains_key("retry-after"));
    work(&plan).await;
    plan.clock.advance(5);
    let ready = plan.get("platform", &place).await;
    assert_eq!(
        (ready.status(), &ready.headers()["x-export-status"]),
        (StatusCode::OK, &"200".parse().unwrap())
    );
    let place = taken(&plan, "$export").await;
    work(&plan).await;
    let usual = plan.get("platform", &place).await;
    assert!(!usual.headers().contains_key("x-export-status"), "and nowhere else");
}

#[tokio::test]
async fn a_file_is_taken_up_where_it_broke_off() {
    let plan = stocked().await;
    for query in ["$export?_type=Patient", "Group/g1/$export?_type=Patient"] {
        let place = taken(&plan, query).await;
        work(&plan).await;
        let told = manifest(&plan, &place).await;
        let url = told["output"][0]["url"].as_str().unwrap();
        let path = url.strip_prefix("https://plan.example").unwrap();
        let whole = plan.get("platform", url).await;
        let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
        let rest = [("range", "bytes=20-"), ("if-range", tag.as_str())];
        let rest = plan.ask_as("platform", Method::GET, path, "", &rest).await;
        assert_eq!(rest.status(), StatusCode::PARTIAL_CONTENT, "{query}");
        assert_eq!(rest.body()[..], whole.body()[20..], "{query}");
        let range = format!("bytes 20-{}/{}", whole.body().len() - 1, whole.body().len());
        assert_eq!(rest.headers()["content-range"], range.as_str(), "{query}");
        let known = [("if-none-match", tag.as_str())];
        let known = plan.ask_as("platform", Method::GET, path, "", &known).await;
        assert_eq!((known.status(), known.body().len()), (StatusCode::NOT_MODIFIED, 0));
        let packed = [("accept-encoding", "gzip")];
        let packed = plan.ask_as("platform", Method::GET, path, "", &packed).await;
        assert_eq!(packed.headers()["content-encoding"], "gzip");
        assert_eq!(packed.body()[..2], [0x1f, 0x8b]);
    }
}

#[tokio::test]
async fn a_group_comes_with_one_of_its_members_and_its_roster_is_given() {
    let plan = Plan::open();
    let mut bundle: Value = serde_json::from_str(&Push::default().by_hand("k1")).unwrap();
    let member = json!({ "entity": { "reference": "Patient/p1" } });
    let group = json!({ "resourceType": "Group", "id": "g1", "type": "person", "actual": true,
        "identifier": [{ "system": "urn:roster", "value": "r1" }], "member": [member] });
    let request = json!({ "method": "PUT", "url": "Group/g1" });
    let entries = bundle["entry"].as_array_mut().unwrap();
    entries.push(json!({ "resource": group, "request": request }));
    let answer = plan.post("guest", bundle.to_string()).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    plan.clock.advance(1);
    let found = plan.get("platform", "/fhir/Group?identifier=urn:roster|r1").await;
    let found: Value = serde_json::from_slice(found.body()).unwrap();
    assert_eq!((&found["total"], &found["entry"][0]["resource"]["id"]), (&1.into(), &"g1".into()));
    let given = exported(&plan, "Group/g1/$export").await;
    assert_eq!(given, ["Observation/o1/1", "Patient/p1/1"]);
    let alone = json!({ "resourceType": "Group", "id": "g2", "type": "person", "actual": true });
    let path = "/fhir/Group/g2";
    let alone = plan.ask_as("guest", Method::PUT, path, &alone.to_string(), &[JSON]).await;
    says(&alone, Code::MemberNotNamed);
}
