//! Goal: transactions, batches and single requests do what R4 says of them, for the sender's own
//! records and nobody else's.
//!
//! How: the stranger `lab` and its rival at a plan's door; what stands afterwards is read there.

use crate::plan::{Plan, says, who};
use bytes::Bytes;
use exchange::Code;
use exchange::desk::Command;
use http::Response;
use serde_json::{Value, json};

pub(crate) type Answer = Response<Bytes>;

pub(crate) fn bundle(kind: &str, entries: Vec<Value>) -> String {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string()
}

pub(crate) fn entry(method: &str, url: &str, resource: Option<Value>) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    entry["resource"] = resource.unwrap_or(Value::Null);
    if entry["resource"].is_null() {
        entry.as_object_mut().unwrap().remove("resource");
    }
    entry
}

pub(crate) fn with(mut entry: Value, way: &str, value: &str) -> Value {
    *entry.pointer_mut(way.rsplit_once('/').unwrap().0).unwrap() = {
        let (parent, name) = way.rsplit_once('/').unwrap();
        let mut parent = entry.pointer(parent).unwrap().clone();
        parent[name] = value.into();
        parent
    };
    entry
}

pub(crate) fn practitioner(id: &str, number: &str) -> Value {
    let mut one = json!({
        "resourceType": "Practitioner", "id": id,
        "identifier": [{ "system": "urn:npi", "value": number }],
    });
    if id.is_empty() {
        one.as_object_mut().unwrap().remove("id");
    }
    one
}

pub(crate) fn patient(id: &str, member: &str) -> Value {
    let coding =
        json!([{ "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB" }]);
    json!({
        "resourceType": "Patient", "id": id,
        "identifier": [{ "type": { "coding": coding }, "system": "urn:plan", "value": member }],
        "name": [{ "family": "Example", "given": ["Ada"] }], "birthDate": "1980-02-03",
    })
}

pub(crate) fn observation(id: &str, subject: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final", "code": { "text": "weight" },
        "subject": { "reference": subject },
    })
}

pub(crate) fn body(answer: &Answer) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or(Value::Null)
}

/// What each entry was answered: the digits of its status, or the code of its first issue.
pub(crate) fn told(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status(), 200, "{}", body(answer));
    let entries = body(answer)["entry"].as_array().unwrap().clone();
    let one = |entry: &Value| {
        let response = &entry["response"];
        let code = response["outcome"]["issue"][0]["details"]["coding"][0]["code"].as_str();
        code.map_or_else(|| response["status"].as_str().unwrap()[..3].to_owned(), str::to_owned)
    };
    entries.iter().map(one).collect()
}

/// Where the record of an entry is now: `Type/id`.
pub(crate) fn place(answer: &Answer, entry: usize) -> String {
    let location = body(answer)["entry"][entry]["response"]["location"].clone();
    location.as_str().unwrap().split_once("/_history/").unwrap().0.to_owned()
}

pub(crate) async fn count(plan: &Plan, client: &str, search: &str) -> u64 {
    let found = plan.get(client, &format!("/fhir/{search}&_summary=count")).await;
    body(&found)["total"].as_u64().unwrap()
}

pub(crate) async fn stands(plan: &Plan, client: &str, record: &str) -> Value {
    body(&plan.get(client, &format!("/fhir/{record}")).await)
}

#[tokio::test]
async fn a_transaction_gives_ids_and_follows_them() {
    let plan = Plan::open();
    let named = |entry: Value, urn: &str| {
        let mut entry = entry;
        entry["fullUrl"] = urn.into();
        entry
    };
    let mut about = observation("", "urn:uuid:p");
    about.as_object_mut().unwrap().remove("id");
    about["performer"] = json!([
        { "reference": "Practitioner?identifier=urn:npi|1" },
        { "reference": "https://lab.example/fhir/Organization/o" },
        { "reference": "Location/l" },
        { "reference": "https://elsewhere.example/fhir/Practitioner/x" },
    ]);
    let organization = json!({ "resourceType": "Organization", "id": "o", "name": "Lab" });
    let location = json!({ "resourceType": "Location", "id": "l", "name": "Room" });
    let entries = vec![
        named(entry("POST", "Observation", Some(about)), "urn:uuid:o"),
        named(entry("POST", "Patient", Some(patient("p", "W100"))), "urn:uuid:p"),
        entry("POST", "Practitioner", Some(practitioner("", "1"))),
        named(
            entry("POST", "Organization", Some(organization)),
            "https://lab.example/fhir/Organization/o",
        ),
        entry("POST", "Location", Some(location)),
    ];
    let answer = plan.post("lab", bundle("transaction", entries)).await;
    assert_eq!(told(&answer), ["201"; 5]);
    let places: Vec<_> = (0..5).map(|entry| place(&answer, entry)).collect();
    let filed = stands(&plan, "lab", &places[0]).await;
    assert_eq!(filed["subject"]["reference"], places[1]);
    let performers: Vec<_> =
        filed["performer"].as_array().unwrap().iter().map(|one| one["reference"].clone()).collect();
    let expected = [&places[2], &places[3], &places[4]].map(|place| Value::from(place.as_str()));
    assert_eq!(performers[..3], expected);
    assert_eq!(performers[3], "https://elsewhere.example/fhir/Practitioner/x");
    assert_ne!(places[1], "Patient/p", "an id of this house's");
    assert_eq!(count(&plan, "lab", &format!("Observation?patient={}", places[1])).await, 1);
}

#[tokio::test]
async fn every_condition_is_asked_in_its_turn() {
    let plan = Plan::open();
    let create = |number: &str| {
        let post = entry("POST", "Practitioner", Some(practitioner("", number)));
        with(post, "/request/ifNoneExist", &format!("identifier=urn:npi|{number}"))
    };
    let update = |id: &str, number: &str| {
        let url = format!("Practitioner?identifier=urn:npi|{number}");
        entry("PUT", &url, Some(practitioner(id, number)))
    };
    let delete =
        |number: &str| entry("DELETE", &format!("Practitioner?identifier=urn:npi|{number}"), None);
    let transaction = |entries: Vec<Value>| plan.post("lab", bundle("transaction", entries));

    let first = transaction(vec![create("1")]).await;
    assert_eq!(told(&first), ["201"]);
    let second = transaction(vec![create("1")]).await;
    assert_eq!(told(&second), ["200"]);
    assert_eq!(place(&second, 0), place(&first, 0), "the one that stands");
    let twice = transaction(vec![create("2"), create("2")]).await;
    assert_eq!(told(&twice), ["201", "200"]);
    assert_eq!(place(&twice, 0), place(&twice, 1), "the first one's");

    // DELETE goes first: what it takes away fits no more.
    let anew = transaction(vec![create("1"), delete("1")]).await;
    assert_eq!(told(&anew), ["201", "204"]);
    assert_ne!(place(&anew, 0), place(&first, 0));
    assert_eq!(told(&transaction(vec![delete("nobody")]).await), ["204"]);

    // An update finds its record, makes one, or makes one under the id it gives.
    let own = place(&anew, 0);
    let id = own.strip_prefix("Practitioner/").unwrap();
    assert_eq!(told(&transaction(vec![update("", "1")]).await), ["200"], "found, unchanged");
    let changed = with(update(id, "1"), "/resource/language", "en");
    let changed = transaction(vec![changed]).await;
    assert_eq!((told(&changed), place(&changed, 0)), (vec!["200".to_owned()], own.clone()));
    assert_eq!(stands(&plan, "lab", &own).await["language"], "en");
    assert_eq!(told(&transaction(vec![update("", "3")]).await), ["201"]);
    assert_eq!(place(&transaction(vec![update("four", "4")]).await, 0), "Practitioner/four");
    says(&transaction(vec![update("five", "4")]).await, Code::EntryInvalid);
    says(&transaction(vec![create("6"), update("", "6")]).await, Code::EntryInvalid);

    // Two that fit are too many, for each kind of condition.
    let both = vec![
        entry("POST", "Practitioner", Some(practitioner("", "7"))),
        entry("POST", "Practitioner", Some(practitioner("", "7"))),
    ];
    assert_eq!(told(&transaction(both).await), ["201", "201"]);
    for ambiguous in [create("7"), update("", "7"), delete("7")] {
        says(&transaction(vec![ambiguous]).await, Code::ConditionAmbiguous);
    }
    assert_eq!(count(&plan, "lab", "Practitioner?identifier=urn:npi|7").await, 2);
}

#[tokio::test]
async fn a_batch_files_what_it_can_and_answers_each_entry_in_its_place() {
    let plan = Plan::open();
    let put = |id: &str, number: &str| {
        entry("PUT", &format!("Practitioner/{id}"), Some(practitioner(id, number)))
    };
    let by = |id: &str, reference: &str| {
        let role = json!({
            "resourceType": "PractitionerRole", "id": id,
            "practitioner": { "reference": reference },
        });
        entry("PUT", &format!("PractitionerRole/{id}"), Some(role))
    };
    assert_eq!(plan.post("rival", bundle("batch", vec![put("taken", "9")])).await.status(), 200);
    let entries = vec![
        put("a", "1"),
        entry("GET", "Practitioner/a", None),
        put("a", "2"),
        put("taken", "1"),
        with(put("b", "1"), "/request/ifMatch", "W/\"1\""),
        by("r1", "Practitioner/a"),
        by("r2", "Practitioner/b"),
        by("r3", "Practitioner/nobody"),
        by("r4", "urn:uuid:00000000-0000-4000-8000-000000000001"),
        entry("POST", "Observation", Some(observation("o", "Group/g"))),
        entry("DELETE", "Practitioner/taken", None),
        json!(7),
    ];
    let answer = plan.post("lab", bundle("batch", entries)).await;
    assert_eq!(body(&answer)["type"], "batch-response");
    let expected = [
        "201",
        "entry-invalid",
        "entry-invalid",
        "record-owned-by-another",
        "version-conflict",
        "201",
        "reference-unresolved",
        "reference-unresolved",
        "reference-unresolved",
        "member-not-named",
        "204",
        "entry-invalid",
    ];
    let words = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(!words.contains("nothing of the Bundle was filed"), "its neighbours were");
    assert!(words.contains(Code::EntryInvalid.row().next));
    // The DELETE names a record that another entry of the batch names.
    let told = told(&answer);
    assert_eq!(told[..10], expected[..10]);
    assert_eq!(told[11], expected[11]);
    assert_eq!(count(&plan, "lab", "Practitioner?_count=0").await, 1);
    assert_eq!(count(&plan, "lab", "PractitionerRole?_count=0").await, 1);
    assert_eq!(count(&plan, "rival", "Practitioner?_count=0").await, 1, "untouched");

    let nothing = plan.post("lab", bundle("batch", vec![json!({}), json!([])])).await;
    assert_eq!(self::told(&nothing), ["entry-invalid", "entry-invalid"]);
    assert_eq!(
        plan.list().await[0].state,
        "refused",
        "a batch of nothing but faults files nothing"
    );
}

#[tokio::test]
async fn nothing_tells_whether_another_sender_has_a_record() {
    let plan = Plan::open();
    let theirs =
        bundle("batch", vec![entry("PUT", "Practitioner/x", Some(practitioner("x", "1")))]);
    assert_eq!(plan.post("lab", theirs).await.status(), 200);
    let refers = |reference: &str| {
        let role = json!({
            "resourceType": "PractitionerRole", "id": "r",
            "practitioner": { "reference": reference },
        });
        bundle("transaction", vec![entry("PUT", "PractitionerRole/r", Some(role))])
    };
    for (there, nowhere) in [
        ("Practitioner/x", "Practitioner/y"),
        ("Practitioner?identifier=urn:npi|1", "Practitioner?identifier=urn:npi|2"),
    ] {
        let (there, nowhere) =
            (plan.post("rival", refers(there)).await, plan.post("rival", refers(nowhere)).await);
        says(&there, Code::ReferenceUnresolved);
        assert_eq!(body(&there)["issue"][0]["details"], body(&nowhere)["issue"][0]["details"]);
    }
    let conditional = |number: &str| {
        let post = entry("POST", "Practitioner", Some(practitioner("", number)));
        let post = with(post, "/request/ifNoneExist", &format!("identifier=urn:npi|{number}"));
        let delete = entry("DELETE", &format!("Practitioner?identifier=urn:npi|{number}"), None);
        bundle("batch", vec![delete, post])
    };
    for number in ["1", "2"] {
        assert_eq!(told(&plan.post("rival", conditional(number)).await), ["204", "201"]);
    }
    assert_eq!(stands(&plan, "lab", "Practitioner/x").await["id"], "x", "untouched");
    let matching = |id: &str| {
        let delete = entry("DELETE", &format!("Practitioner/{id}"), None);
        bundle("batch", vec![with(delete, "/request/ifMatch", "W/\"1\"")])
    };
    let putting = |id: &str, tag: &str| {
        let put = entry("PUT", &format!("Practitioner/{id}"), Some(practitioner(id, "3")));
        bundle("batch", vec![with(put, "/request/ifMatch", tag)])
    };
    for id in ["x", "y"] {
        assert_eq!(told(&plan.post("rival", matching(id)).await), ["version-conflict"]);
        for tag in ["W/\"1\"", "W/\"9\""] {
            let told = told(&plan.post("rival", putting(id, tag)).await);
            assert_eq!(told, ["version-conflict"], "{id} {tag}");
        }
    }
}

#[tokio::test]
async fn a_member_is_found_by_the_one_patient_whatever_its_form() {
    let plan = Plan::open();
    let put = |resource: Value| {
        let url = format!(
            "{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        entry("PUT", &url, Some(resource))
    };
    let post = |entries: Vec<Value>| plan.post("lab", bundle("transaction", entries));

    // Before anybody is on file.
    let early = post(vec![put(observation("o", "Patient/p"))]).await;
    says(&early, Code::ReferenceUnresolved);
    let stranger = post(vec![put(patient("q", "W999"))]).await;
    says(&stranger, Code::MemberHeld);

    assert_eq!(told(&post(vec![put(patient("p", "W100"))]).await), ["201"]);
    assert_eq!(told(&post(vec![put(observation("o", "Patient/p"))]).await), ["201"]);
    let by_number = observation("o2", "Patient?identifier=urn:plan|W100");
    assert_eq!(told(&post(vec![put(by_number)]).await), ["201"]);
    assert_eq!(stands(&plan, "lab", "Observation/o2").await["subject"]["reference"], "Patient/p");
    // Of another sender's Patient nobody knows; of a batch the entry is refused, not the whole.
    let theirs = bundle("batch", vec![put(observation("o9", "Patient/p"))]);
    assert_eq!(told(&plan.post("rival", theirs).await), ["reference-unresolved"]);
}

#[tokio::test]
async fn what_is_about_nobody_needs_no_member() {
    let plan = Plan::open();
    let practitioner_of = |more: Value| {
        let mut one = practitioner("d", "1");
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bundle("transaction", vec![entry("PUT", "Practitioner/d", Some(one))])
    };
    assert_eq!(told(&plan.post("lab", practitioner_of(json!({}))).await), ["201"]);
    let table = [
        ("a Patient within", json!({ "contained": [{ "resourceType": "Patient", "id": "x" }] })),
        ("a result within", json!({ "contained": [{ "resourceType": "Observation", "id": "x" }] })),
        (
            "a Patient referred to elsewhere",
            json!({ "extension": [{ "url": "urn:x", "valueReference":
                { "reference": "https://x.example/Patient/1" } }] }),
        ),
    ];
    for (case, more) in table {
        let answer = plan.post("lab", practitioner_of(more)).await;
        assert_eq!(answer.status(), 422, "{case}: {}", body(&answer));
        says(&answer, Code::MemberNotNamed);
    }
    let nameless = json!({ "resourceType": "Observation", "id": "o", "status": "final",
        "code": {}, "subject": { "identifier": { "value": "W100" } } });
    let entries = vec![entry("PUT", "Observation/o", Some(nameless))];
    says(&plan.post("lab", bundle("transaction", entries)).await, Code::MemberNotNamed);
}

#[tokio::test]
async fn who_was_to_be_created_and_stands_already_is_the_one_who_is_matched() {
    let plan = Plan::open();
    assert_eq!(
        plan.post(
            "lab",
            bundle("batch", vec![entry("PUT", "Patient/p", Some(patient("p", "W100")))])
        )
        .await
        .status(),
        200
    );
    // The Bundle's own words are another person's; the record that stands is the member's.
    let mut other = patient("", "W100");
    other.as_object_mut().unwrap().remove("id");
    other["birthDate"] = "1999-09-09".into();
    let mut create = entry("POST", "Patient", Some(other));
    create["request"]["ifNoneExist"] = "identifier=urn:plan|W100".into();
    create["fullUrl"] = "urn:uuid:p".into();
    let mut about = entry("POST", "Observation", Some(observation("x", "urn:uuid:p")));
    about["fullUrl"] = "urn:uuid:o".into();
    let answer = plan.post("lab", bundle("transaction", vec![create, about])).await;
    assert_eq!(told(&answer), ["200", "201"]);
    let filed = stands(&plan, "lab", &place(&answer, 1)).await;
    assert_eq!(filed["subject"]["reference"], "Patient/p");
    assert_eq!(stands(&plan, "lab", "Patient/p").await["birthDate"], "1980-02-03");
}

#[tokio::test]
async fn one_record_is_written_as_a_bundle_of_one_would_be() {
    let plan = Plan::open();
    let ask = |method: &'static str,
               path: &'static str,
               headers: Vec<(&'static str, &'static str)>,
               body: Option<Value>| {
        let plan = &plan;
        async move { plan.write("lab", method, path, &headers, body.map(|it| it.to_string())).await }
    };
    let header = |answer: &Answer, name: &str| {
        answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned())
    };
    let made = ask("POST", "Practitioner", vec![], Some(practitioner("", "1"))).await;
    assert_eq!((made.status().as_u16(), made.body().len()), (201, 0), "{}", body(&made));
    let location = header(&made, "location").unwrap();
    let etag = header(&made, "etag").unwrap();
    assert!(location.starts_with("https://plan.example/fhir/Practitioner/"), "{location}");
    assert_eq!(etag, "W/\"1\"");
    assert!(header(&made, "last-modified").is_some());
    assert_eq!(plan.get("lab", &location).await.status(), 200);

    let condition = vec![("if-none-exist", "identifier=urn:npi|1")];
    let again = ask("POST", "Practitioner", condition, Some(practitioner("", "1"))).await;
    assert_eq!((again.status().as_u16(), header(&again, "location")), (200, Some(location)));

    let prefer = vec![("prefer", "return=representation")];
    let put = ask("PUT", "Practitioner/p", prefer, Some(practitioner("p", "2"))).await;
    assert_eq!(put.status(), 201);
    assert_eq!(body(&put)["meta"]["versionId"], "1", "{}", body(&put));
    let words = vec![("prefer", "return=OperationOutcome"), ("if-match", "W/\"1\"")];
    let put =
        ask("PUT", "Practitioner?identifier=urn:npi|2", words, Some(practitioner("p", "2"))).await;
    assert_eq!(
        (put.status().as_u16(), &body(&put)["resourceType"]),
        (200, &json!("OperationOutcome"))
    );

    let refused = [
        (
            "PUT",
            "Practitioner/p",
            vec![("if-match", "W/\"7\"")],
            Some(practitioner("p", "3")),
            Code::VersionConflict,
            "If-Match",
        ),
        (
            "PUT",
            "Practitioner/p",
            vec![],
            Some(practitioner("q", "3")),
            Code::EntryInvalid,
            "Practitioner.id",
        ),
        (
            "PUT",
            "Practitioner/p",
            vec![],
            Some(json!({ "resourceType": "Practitioner", "id": "p", "name": 7 })),
            Code::EntryInvalid,
            "Practitioner.name",
        ),
        (
            "POST",
            "Practitioner",
            vec![],
            Some(json!({ "resourceType": "Organization" })),
            Code::EntryInvalid,
            "Practitioner.resourceType",
        ),
        ("DELETE", "Practitioner?colour=red", vec![], None, Code::ParameterUnsupported, "url"),
        (
            "POST",
            "Observation",
            vec![],
            Some(observation("o", "Patient/none")),
            Code::ReferenceUnresolved,
            "Observation.subject.reference",
        ),
    ];
    for (method, path, headers, resource, code, place) in refused {
        let issue = says(&ask(method, path, headers, resource).await, code);
        assert_eq!(issue.expression.as_deref(), Some(place), "{method} {path}");
    }
    // A body that would be more than one resource, were it put into a Bundle.
    let smuggled = format!(
        r#"{}}},{{"request":{{"method":"DELETE","url":"Practitioner/p"}}"#,
        practitioner("z", "9")
    );
    let smuggled = plan.write("lab", "PUT", "Practitioner/z", &[], Some(smuggled)).await;
    says(&smuggled, Code::BodyMalformed);
    assert_eq!(plan.get("lab", "/fhir/Practitioner/p").await.status(), 200);

    let gone = ask("DELETE", "Practitioner/p", vec![], None).await;
    assert_eq!((gone.status().as_u16(), gone.body().len()), (204, 0));
    assert_eq!(plan.get("lab", "/fhir/Practitioner/p").await.status(), 410);
    assert_eq!(ask("DELETE", "Practitioner/p", vec![], None).await.status(), 204, "and again");
    assert_eq!(plan.verify().await, Ok(()), "every line is borne out by the records");
}

#[tokio::test]
async fn one_record_waits_for_a_person_like_any_other() {
    let plan = Plan::open();
    let held =
        plan.write("lab", "PUT", "Patient/p", &[], Some(patient("p", "W999").to_string())).await;
    says(&held, Code::MemberHeld);
    let place = held.headers()["content-location"].to_str().unwrap().to_owned();
    let id = plan.list().await[0].id.clone();
    let member = Some(exchange::Phi("W100".to_owned()));
    plan.desk.command(Command::Release { id, who: who(), member }).await.unwrap();
    assert_eq!(plan.get("lab", "/fhir/Patient/p").await.status(), 200);
    assert_eq!(plan.get("lab", &place).await.status(), 200);
}
