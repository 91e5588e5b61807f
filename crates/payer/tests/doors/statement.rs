//! What the CapabilityStatement says, the doors do, and nothing beside it.

use crate::plan::Plan;
use bytes::Bytes;
use exchange::Code;
use fhir::Resource;
use http::{Method, Response, StatusCode};
use repository::Loader;
use serde_json::Value;
use std::collections::BTreeSet;

/// Parameters of results and of other servers; none is claimed for any type.
const NEVER: [&str; 12] = [
    "_sort=date",
    "_elements=id",
    "_text=a",
    "_content=a",
    "_list=a",
    "_has:Observation:patient:code=a",
    "_filter=id eq a",
    "_query=a",
    "_contained=true",
    "_summary=text",
    "_security=a",
    "a-parameter=a",
];

async fn stocked() -> (Plan, Value) {
    let plan = Plan::open();
    let answer = plan.get("clinic", "/fhir/metadata").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let statement: Value = serde_json::from_slice(answer.body()).unwrap();
    let one = |kind: &Value| {
        let kind = kind["type"].as_str().unwrap();
        Resource::parse(format!(r#"{{"resourceType":"{kind}","id":"x1"}}"#).into_bytes()).unwrap()
    };
    let all: Vec<_> = resources(&statement).iter().map(one).collect();
    let loader = Loader { house: &plan.road.house, owner: "clinic".into(), receipt: "s".into() };
    loader.load("2026-11-22T11:00:00Z".parse().unwrap(), all).await.unwrap();
    (plan, statement)
}

fn resources(statement: &Value) -> Vec<Value> {
    statement["rest"][0]["resource"].as_array().unwrap().clone()
}

fn list<'v>(value: &'v Value, member: &str) -> Vec<&'v str> {
    let text = |item: &'v Value| item.as_str().or_else(|| item["code"].as_str()).unwrap();
    value[member].as_array().into_iter().flatten().map(text).collect()
}

fn slug(answer: &Response<Bytes>) -> String {
    let outcome: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    outcome["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or_default().to_owned()
}

fn is_searchset(answer: &Response<Bytes>) -> bool {
    let bundle: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    answer.status() == StatusCode::OK && bundle["type"] == "searchset"
}

#[tokio::test]
async fn every_search_parameter_claimed_is_understood_in_every_form_claimed() {
    let (plan, statement) = stocked().await;
    for resource in resources(&statement) {
        let kind = resource["type"].as_str().unwrap();
        for parameter in resource["searchParam"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let words = parameter["documentation"].as_str().unwrap_or_default();
            let values: Vec<&str> = match parameter["type"].as_str().unwrap() {
                "date" if name == "_lastUpdated" => {
                    vec!["2026", "eq2026-11-22", "gt2026", "lt2026", "ge2026", "le2026", "ap2026"]
                }
                "date" => {
                    vec!["2026", "ne2026-11", "sa2026-11-22", "eb2026-11-22T10:00Z", "ap2026"]
                }
                "reference" if words == "Type/id" => vec!["Patient/x1", "Patient/x1,Group/g"],
                "reference" => vec!["x1", "Patient/x1", "x1,x2"],
                "token" if words.contains("system|code") => vec!["a", "|a", "urn:a|a", "a,urn:b|b"],
                "token" => vec!["a", "a,b"],
                other => panic!("no values of {other}"),
            };
            for value in values {
                let value = value.replace('|', "%7C");
                let answer = plan.get("clinic", &format!("/fhir/{kind}?{name}={value}")).await;
                assert!(is_searchset(&answer), "{kind}?{name}={value}: {answer:?}");
            }
        }
        let includes = list(&resource, "searchInclude").into_iter().map(|it| ("_include", it));
        let reverse = list(&resource, "searchRevInclude").into_iter().map(|it| ("_revinclude", it));
        for (name, value) in includes.chain(reverse) {
            let answer = plan.get("clinic", &format!("/fhir/{kind}?{name}={value}")).await;
            assert!(is_searchset(&answer), "{kind}?{name}={value}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_claimed_is_refused() {
    let (plan, statement) = stocked().await;
    for resource in resources(&statement) {
        let kind = resource["type"].as_str().unwrap();
        let claimed: BTreeSet<_> = resource["searchParam"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let all = ["patient", "subject", "encounter", "code", "category", "status", "date", "name"];
        let unclaimed = all.iter().filter(|name| !claimed.contains(*name));
        let mut queries: Vec<_> = unclaimed.map(|name| format!("{name}=Patient/x1")).collect();
        queries.extend(claimed.iter().map(|name| format!("{name}:missing=true")));
        queries.extend(claimed.iter().map(|name| format!("{name}.name=a")));
        queries.extend(NEVER.iter().map(|query| query.replace(' ', "%20")));
        queries.push("_include=Starship:captain".to_owned());
        queries.push("_include:iterate=*".to_owned());
        queries.push(format!("_include={kind}:nothing"));
        queries.push("_revinclude=Observation:subject".to_owned());
        for query in queries {
            let answer = plan.get("clinic", &format!("/fhir/{kind}?{query}")).await;
            let refused =
                [Code::ParameterUnsupported, Code::ParameterInvalid].map(|code| code.row().slug);
            let told = slug(&answer);
            assert!(refused.contains(&told.as_str()), "{kind}?{query}: {answer:?}");
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{kind}?{query}");
        }
    }
    for path in ["/fhir/Starship?_id=x1", "/fhir/StructureDefinition", "/fhir/Starship/x1"] {
        assert_eq!(slug(&plan.get("clinic", path).await), "resource-unknown", "{path}");
    }
}

#[tokio::test]
async fn every_interaction_claimed_is_there_and_no_other() {
    let (plan, statement) = stocked().await;
    let writes = Write { plan: &plan };
    for resource in resources(&statement) {
        let kind = resource["type"].as_str().unwrap();
        let claimed = list(&resource, "interaction");
        let all = [
            ("read", Method::GET, format!("{kind}/x1"), 200),
            ("vread", Method::GET, format!("{kind}/x1/_history/1"), 200),
            ("history-instance", Method::GET, format!("{kind}/x1/_history?_count=1"), 200),
            ("search-type", Method::GET, format!("{kind}?_count=1"), 200),
            ("history-type", Method::GET, format!("{kind}/_history"), 404),
            ("patch", Method::PATCH, format!("{kind}/x1"), 405),
        ];
        for (code, method, path, otherwise) in all {
            let expected = if claimed.contains(&code) { 200 } else { otherwise };
            let answer = writes.ask(method, &path, "", &[]).await;
            assert_eq!(answer.status().as_u16(), expected, "{code} {path}: {answer:?}");
        }
        assert_eq!(resource["conditionalRead"], "not-match");
        let known = [("if-none-match", r#"W/"1""#)];
        let answer = writes.ask(Method::GET, &format!("{kind}/x1"), "", &known).await;
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{kind}");
        let searched = writes.ask(Method::POST, &format!("{kind}/_search"), "", &[FORM]).await;
        assert!(is_searchset(&searched), "{kind}: {searched:?}");
    }
    for path in ["_history", "?_type=Patient"] {
        let answer = writes.ask(Method::GET, path, "", &[]).await;
        assert!(answer.status().is_client_error(), "{path}: {answer:?}");
    }
}

type Headers<'h> = &'h [(&'h str, &'h str)];

/// A resource that says no more than whom it is about; a Patient must be a member.
fn bare(kind: &str, id: &str) -> String {
    let me = r#"{"reference":"Patient/me"}"#;
    let coding = r#"{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}"#;
    let about = match kind {
        "Patient" => format!(
            r#","identifier":[{{"type":{{"coding":[{coding}]}},"system":"urn:plan","value":"W100"}}],
                "name":[{{"family":"Example","given":["Ada"]}}],"birthDate":"1980-02-03""#
        ),
        "Endpoint" | "HealthcareService" | "Location" | "Medication" => String::new(),
        "Organization" | "Practitioner" | "PractitionerRole" => String::new(),
        "AllergyIntolerance"
        | "BodyStructure"
        | "Claim"
        | "Consent"
        | "DetectedIssue"
        | "Device"
        | "EpisodeOfCare"
        | "ExplanationOfBenefit"
        | "FamilyMemberHistory"
        | "Immunization"
        | "RelatedPerson"
        | "SupplyDelivery" => format!(r#","patient":{me}"#),
        "Account" => format!(r#","subject":[{me}]"#),
        "Provenance" => format!(r#","target":[{me}]"#),
        "Coverage" => format!(r#","beneficiary":{me}"#),
        "Task" => format!(r#","for":{me}"#),
        _ => format!(r#","subject":{me}"#),
    };
    format!(r#"{{"resourceType":"{kind}","id":"{id}"{about}}}"#)
}

#[tokio::test]
async fn every_way_to_write_that_is_claimed_is_there() {
    let plan = Plan::open();
    let answer = plan.get("guest", "/fhir/metadata").await;
    let statement: Value = serde_json::from_slice(answer.body()).unwrap();
    let json = ("content-type", "application/fhir+json");
    let me = bare("Patient", "me");
    let told = plan.ask_as("guest", Method::PUT, "/fhir/Patient/me", &me, &[json]).await;
    assert_eq!(told.status(), StatusCode::CREATED, "{told:?}");
    for resource in resources(&statement) {
        let kind = resource["type"].as_str().unwrap();
        if kind == "Binary" {
            assert_eq!(list(&resource, "interaction").len(), 4, "it does not come alone");
            assert_eq!(resource["updateCreate"], false);
            assert!(resource["documentation"].as_str().unwrap().contains("in a Bundle"));
            continue;
        }
        assert_eq!(resource["versioning"], "versioned", "{kind}: no update needs If-Match");
        for claim in ["updateCreate", "conditionalCreate", "conditionalUpdate"] {
            assert_eq!(resource[claim], true, "{kind} {claim}");
        }
        assert_eq!(resource["conditionalDelete"], "single", "{kind}");
        let body = bare(kind, "w1");
        let (one, by_id) = (format!("{kind}/w1"), format!("{kind}?_id=w1"));
        let table: [(Method, &str, Headers<'_>, &str, u16); 10] = [
            (Method::PUT, &one, &[json], &body, 201),
            (Method::PUT, &one, &[json], &body, 200),
            (Method::PUT, &one, &[json, ("if-match", r#"W/"1""#)], &body, 200),
            (Method::PUT, &one, &[json, ("if-match", r#"W/"7""#)], &body, 412),
            (Method::POST, kind, &[json, ("if-none-exist", "_id=w1")], &body, 200),
            (Method::PUT, &by_id, &[json], &body, 200),
            (Method::POST, kind, &[json], &body, 201),
            (Method::DELETE, &by_id, &[], "", 204),
            (Method::DELETE, &one, &[], "", 204),
            (Method::GET, &one, &[], "", 410),
        ];
        for (method, path, headers, body, expected) in table {
            let place = format!("{method} {path}");
            let answer =
                plan.ask_as("guest", method, &format!("/fhir/{path}"), body, headers).await;
            assert_eq!(answer.status().as_u16(), expected, "{place}: {answer:?}");
        }
    }
    let claimed = list(&statement["rest"][0], "interaction");
    assert_eq!(claimed, ["transaction", "batch"]);
    let system = statement["rest"][0]["interaction"].as_array().unwrap();
    for (kind, words) in claimed.into_iter().zip(system) {
        let words = words["documentation"].as_str().unwrap();
        let put = r#"{"method":"PUT","url":"Location/b"}"#;
        let entry = format!(r#"{{"resource":{},"request":{put}}}"#, bare("Location", "b"));
        let bundle = format!(r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{entry}]}}"#);
        let answer = plan.post("guest", bundle.clone()).await;
        assert_eq!(answer.status(), StatusCode::OK, "{kind}: {answer:?}");
        for method in ["GET", "HEAD", "PATCH"] {
            let answer = plan.post("guest", bundle.replace("PUT", method)).await;
            let told = String::from_utf8_lossy(answer.body());
            assert!(told.contains(Code::EntryInvalid.row().slug), "{kind} {method}: {told}");
            assert!(words.contains(method), "and the statement says so: {kind} {method}");
        }
    }
}

#[tokio::test]
async fn every_operation_claimed_is_there_and_no_other() {
    let (plan, statement) = stocked().await;
    let write = Write { plan: &plan };
    let system = &statement["rest"][0]["operation"];
    let names = system.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
    let names: Vec<_> = names.collect();
    assert_eq!(names, ["versions", "export", "bulk-submit", "bulk-submit-status"]);
    for name in &names[2..] {
        let asked = plan.get("clinic", &format!("/fhir/${name}")).await;
        assert_eq!(asked.status(), StatusCode::METHOD_NOT_ALLOWED, "{name}: asked for by POST");
    }
    assert_eq!(plan.get("clinic", "/fhir/$versions").await.status(), StatusCode::OK);
    for resource in resources(&statement) {
        let kind = resource["type"].as_str().unwrap();
        let claimed = resource["operation"].as_array().cloned().unwrap_or_default();
        let claimed: Vec<_> = claimed.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(claimed.contains(&"everything"), kind == "Patient", "{kind}");
        assert_eq!(claimed.contains(&"export"), matches!(kind, "Patient" | "Group"), "{kind}");
        for (asked, there) in [("", kind == "Patient"), ("/x1", kind == "Group")] {
            let asked = format!("/fhir/{kind}{asked}/$export");
            let told = plan.get("clinic", &asked).await.status().as_u16();
            assert_eq!(told == 403, there, "{asked}: partners may not, elsewhere it is not");
        }
        let path = format!("{kind}/x1/$everything");
        let answer = plan.get("clinic", &format!("/fhir/{path}")).await;
        assert_eq!(is_searchset(&answer), kind == "Patient", "{path}: {answer:?}");
        for other in ["$lastn", "$match", "$meta", "$validate", "x1/$graph"] {
            let answer = plan.get("clinic", &format!("/fhir/{kind}/{other}")).await;
            assert!(answer.status().is_client_error(), "{kind}/{other}: {answer:?}");
        }
    }
    let body = r#"{"resourceType":"Parameters","parameter":[
        {"name":"_type","valueCode":"Patient"},{"name":"_count","valueInteger":1}]}"#;
    let json = ("content-type", "application/fhir+json");
    let answer = write.ask(Method::POST, "Patient/x1/$everything", body, &[json]).await;
    assert!(is_searchset(&answer), "{answer:?}");
    let bundle: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(bundle["entry"].as_array().unwrap().len(), 1);
    for query in ["start=2020", "end=2020", "_type=patient", "_since=soon", "_count=a", "_sort=a"] {
        let answer = plan.get("clinic", &format!("/fhir/Patient/x1/$everything?{query}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}: {answer:?}");
    }
    for (client, path, code) in [
        ("clinic", "Patient/x9/$everything", Code::ResourceUnknown),
        ("mercy", "Patient/x1/$everything", Code::ResourceUnknown),
    ] {
        assert_eq!(slug(&plan.get(client, &format!("/fhir/{path}")).await), code.row().slug);
    }
}

#[tokio::test]
async fn leniency_is_asked_for_and_shown() {
    let (plan, _) = stocked().await;
    let write = Write { plan: &plan };
    let lenient = [("prefer", "handling=lenient")];
    let strict = [("prefer", "handling=strict")];
    for (asked, known, total) in [
        ("Patient?mood=good&_id=x1", "_id=x1", Some(1)),
        ("Patient/x1/_history?mood=good&_since=2000", "_since=2000", Some(1)),
        ("Patient/x1/$everything?mood=good&_type=Patient", "_type=Patient", None),
    ] {
        let answer = write.ask(Method::GET, asked, "", &lenient).await;
        let bundle: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(bundle["total"].as_u64(), total, "{bundle}");
        assert_eq!(bundle["entry"].as_array().map(Vec::len), Some(1), "{bundle}");
        let shown = bundle["link"][0]["url"].as_str().unwrap();
        assert!(shown.contains(known) && !shown.contains("mood"), "{shown}");
        for wishes in [&strict[..], &[]] {
            let answer = write.ask(Method::GET, asked, "", wishes).await;
            assert_eq!(slug(&answer), "parameter-unsupported", "{asked}");
        }
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Requests of any method.
struct Write<'p> {
    plan: &'p Plan,
}

impl Write<'_> {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Response<Bytes> {
        self.plan.ask_as("clinic", method, &format!("/fhir/{path}"), body, headers).await
    }
}
