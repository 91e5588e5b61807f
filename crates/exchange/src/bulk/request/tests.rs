#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::{Value, json};

fn submitter() -> Submitter {
    Submitter {
        system: Some("https://plan.example/submitters".to_owned()),
        value: "clinic".to_owned(),
    }
}

fn manifest() -> ManifestRef {
    ManifestRef {
        url: "https://clinic.example/bulk/1/manifest.json".to_owned(),
        base_url: "https://clinic.example/fhir".to_owned(),
        headers: vec![("x-key".to_owned(), Phi("secret".to_owned()))],
        oauth_metadata: vec![
            "https://clinic.example/fhir/.well-known/smart-configuration".to_owned(),
        ],
    }
}

fn whole(dialect: Dialect) -> SubmitRequest {
    SubmitRequest {
        submitter: submitter(),
        submission_id: "s-1".to_owned(),
        status: Some(SubmissionStatus::InProgress),
        manifest: Some(manifest()),
        replaces: Some("https://clinic.example/bulk/0/manifest.json".to_owned()),
        dialect,
        unknown: Vec::new(),
    }
}

/// What each dialect writes is read as it was meant, the dialect included.
#[test]
fn a_request_is_read_as_it_is_written_in_both_dialects() {
    for dialect in [Dialect::Ballot, Dialect::Argonaut] {
        let closing = |status| SubmitRequest {
            status: Some(status),
            manifest: None,
            replaces: None,
            ..whole(dialect)
        };
        let all = [
            whole(dialect),
            closing(SubmissionStatus::Completed),
            closing(SubmissionStatus::Stopped),
        ];
        for request in all {
            let body = Bytes::from(request.body());
            assert_eq!(SubmitRequest::read(body.clone()).unwrap(), request, "{body:?}");
        }
        let body: Value = serde_json::from_slice(&whole(dialect).body()).unwrap();
        let url = body["parameter"][3].as_object().unwrap();
        let element = if dialect == Dialect::Ballot { "valueUrl" } else { "valueString" };
        assert!(url.contains_key(element), "{dialect:?}");
    }
    let status = StatusRequest { submitter: submitter(), submission_id: "s-1".to_owned() };
    assert_eq!(StatusRequest::read(status.body().into()).unwrap(), status);
}

fn body(parameters: Value) -> Bytes {
    json!({ "resourceType": "Parameters", "parameter": parameters }).to_string().into()
}

fn both() -> Vec<Value> {
    vec![
        json!({ "name": "submitter", "valueIdentifier": { "value": "clinic" } }),
        json!({ "name": "submissionId", "valueString": "s-1" }),
    ]
}

/// The reference programs of the draft differ from each other; both are understood.
#[test]
fn spellings_of_the_field_are_understood() {
    let url = "https://clinic.example/m.json";
    let base = "https://clinic.example/fhir";
    let table = [
        ("valueUri", "fhirBaseUrl", Dialect::Ballot),
        ("valueCode", "fhirBaseUrl", Dialect::Ballot),
        ("valueString", "FHIRBaseUrl", Dialect::Argonaut),
    ];
    for (element, name, dialect) in table {
        let mut parameters = both();
        parameters.push(json!({ "name": "manifestUrl", element: url }));
        parameters.push(json!({ "name": name, element: base }));
        let read = SubmitRequest::read(body(parameters.into())).unwrap();
        let found = read.manifest.unwrap();
        assert_eq!((found.url.as_str(), found.base_url.as_str()), (url, base), "{element}");
        assert_eq!((read.dialect, read.status), (dialect, None), "{element}");
        assert_eq!(read.submitter.to_string(), "|clinic");
    }
    let mut parameters = both();
    parameters.push(json!({ "name": "submissionStatus", "valueCode": "aborted" }));
    parameters.push(json!({ "name": "https://x.example/mine", "valueString": "1" }));
    let read = SubmitRequest::read(body(parameters.into())).unwrap();
    assert_eq!((read.status, read.dialect), (Some(SubmissionStatus::Stopped), Dialect::Argonaut));
    assert_eq!(read.unknown, ["https://x.example/mine"]);
}

/// Every fault is told, each with the parameter it is about, and no value is repeated.
#[test]
fn faults_name_their_parameters_and_no_values() {
    let secret = "s3cr3t";
    let status = |code: &str, system: &str| json!({ "name": "submissionStatus", "valueCoding": { "code": code, "system": system } });
    let completed = || status("completed", EVENT_STATUS);
    let url = |text: &str| json!({ "name": "manifestUrl", "valueUrl": text });
    let header = |name: &str, value: &str| {
        json!({ "name": "fileRequestHeader", "part": [
        { "name": "headerName", "valueString": name }, { "name": "headerValue", "valueString": value } ] })
    };
    let table: Vec<(&str, Vec<Value>, Code)> = vec![
        ("manifestUrl", vec![], Code::ParameterInvalid),
        ("fhirBaseUrl", vec![url("https://c.example/m")], Code::ParameterInvalid),
        ("manifestUrl", vec![completed(), url("m.json")], Code::ParameterInvalid),
        ("manifestUrl", vec![completed(), url("file:///etc/passwd")], Code::ParameterInvalid),
        (
            "manifestUrl",
            vec![completed(), url("https://a:s3cr3t@c.example/m")],
            Code::ParameterInvalid,
        ),
        (
            "manifestUrl",
            vec![url("https://c.example/1"), url("https://c.example/2")],
            Code::ParameterInvalid,
        ),
        ("submissionStatus", vec![status("done", EVENT_STATUS)], Code::ParameterInvalid),
        (
            "submissionStatus",
            vec![status("completed", "http://other.example")],
            Code::ParameterInvalid,
        ),
        ("submissionStatus", vec![completed(), completed()], Code::ParameterInvalid),
        (
            "outputFormat",
            vec![completed(), json!({ "name": "outputFormat", "valueString": "text/csv" })],
            Code::ParameterUnsupported,
        ),
        (
            "outputFormat",
            vec![
                completed(),
                json!({ "name": "outputFormat", "valueString": "application/fhir+ndjson; fhirVersion=5.0" }),
            ],
            Code::ParameterUnsupported,
        ),
        ("fileRequestHeader", vec![completed(), header("a b", secret)], Code::ParameterInvalid),
        (
            "fileRequestHeader",
            vec![completed(), header("x", "s3cr3t\r\nHost: evil")],
            Code::ParameterInvalid,
        ),
        (
            "oauthMetadataUrl",
            vec![completed(), json!({ "name": "oauthMetadataUrl", "valueUrl": "x" })],
            Code::ParameterInvalid,
        ),
        (
            "fileEncryptionKey",
            vec![
                completed(),
                json!({ "name": "fileEncryptionKey", "part": [{ "name": "value", "valueString": secret }] }),
            ],
            Code::ParameterUnsupported,
        ),
        (
            "import",
            vec![
                completed(),
                json!({ "name": "import", "part": [{ "name": "parameterUrl", "valueUri": "u:x" }] }),
            ],
            Code::ParameterUnsupported,
        ),
    ];
    for (place, more, code) in table {
        let mut parameters = both();
        parameters.extend(more.clone());
        let faults = SubmitRequest::read(body(parameters.into())).unwrap_err();
        assert!(
            faults.iter().any(|one| one.code == code && one.expression.as_deref() == Some(place)),
            "{place}: {faults:?}"
        );
        assert!(!format!("{faults:?}").contains(secret), "{place}");
    }
    let without =
        body(json!([{ "name": "submissionStatus", "valueCoding": { "code": "completed" } }]));
    let faults: Vec<_> = SubmitRequest::read(without)
        .unwrap_err()
        .iter()
        .filter_map(|one| one.expression.clone())
        .collect();
    assert_eq!(faults, ["submitter", "submissionId"]);
    let many: Vec<_> = std::iter::repeat_n(header("x", "y"), BULK_HEADERS_MAX + 1)
        .chain(both())
        .chain([completed()])
        .collect();
    assert!(SubmitRequest::read(body(many.into())).is_err());
    let malformed = SubmitRequest::read(Bytes::from_static(b"{")).unwrap_err();
    assert_eq!(malformed.first.code, Code::BodyMalformed);
    let long = "x".repeat(BULK_PARAMETER_CHARS_MAX + 1);
    let long = json!([{ "name": "submitter", "valueIdentifier": { "value": long } }, { "name": "submissionId", "valueString": long }]);
    assert_eq!(StatusRequest::read(body(long)).unwrap_err().iter().count(), 2);
}
