#![allow(clippy::unwrap_used)]
use super::*;
use crate::limits::{BULK_FILES_MAX, BULK_URL_CHARS_MAX};

fn whole() -> Manifest {
    let file = |url: &str, kind: Option<&str>, continues_in: Option<&str>| File {
        url: url.to_owned(),
        kind: kind.map(str::to_owned),
        count: Some(3),
        size: Some(99),
        continues_in: continues_in.map(str::to_owned),
    };
    Manifest {
        transaction_time: "2026-01-01T00:00:00Z".parse().unwrap(),
        requires_access_token: true,
        organized_by: Some("Patient".to_owned()),
        output: vec![
            file("https://c.example/1", None, Some("https://c.example/2")),
            file("https://c.example/2", None, None),
        ],
        deleted: vec![file("https://c.example/d", Some("Bundle"), None)],
        next: Some("https://c.example/m2".to_owned()),
    }
}

#[test]
fn a_manifest_is_read_as_it_is_written() {
    let plain =
        Manifest { organized_by: None, deleted: vec![], next: None, output: vec![], ..whole() };
    for manifest in [whole(), plain] {
        for request in [None, Some("https://c.example/$export")] {
            assert_eq!(Manifest::read(&manifest.write(request, &[])).unwrap(), manifest);
        }
    }
}

/// Manifests of earlier versions, with what is in them besides.
#[test]
fn manifests_of_all_versions_are_read() {
    let old = json!({
        "transactionTime": "2021-01-01T00:00:00Z", "request": "https://c.example/Patient/$export?_type=Patient",
        "requiresAccessToken": false, "output": [{ "type": "Patient", "url": "1.ndjson", "extension": { "x": 1 } }],
        "error": [{ "type": "OperationOutcome", "url": "https://c.example/e" }], "extension": { "https://x": true }, "link": null, "outputOrganizedBy": "",
    });
    let read = Manifest::read(old.to_string().as_bytes()).unwrap();
    assert_eq!(
        (read.requires_access_token, read.output.len(), read.output[0].count),
        (false, 1, None)
    );
    assert_eq!((read.output[0].url.as_str(), read.organized_by), ("1.ndjson", None));
}

/// What is told beside the resources stands under either name, and is read like them.
#[test]
fn messages_are_read_under_their_names() {
    let file = |url: &str| json!({ "url": url, "type": "OperationOutcome", "count": 2 });
    let names = |body: &Value| -> Result<Vec<(&str, Vec<String>)>, String> {
        let read = Manifest::messages(body.to_string().as_bytes());
        let read = read.map_err(|issue| issue.expression.unwrap_or_default())?;
        Ok(read.map(|(name, files)| (name, files.into_iter().map(|it| it.url).collect())).into())
    };
    let urls = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
    let told = |error: &[&str], outcome: &[&str]| {
        Ok(vec![("error", urls(error)), ("outcome", urls(outcome))])
    };
    let many: Vec<Value> = (0..=BULK_FILES_MAX).map(|_| file("a")).collect();
    let table = [
        ("neither", json!({ "output": 1 }), told(&[], &[])),
        ("the older", json!({ "error": [file("a"), file("b")] }), told(&["a", "b"], &[])),
        ("the ballot's", json!({ "outcome": [file("c")], "error": null }), told(&[], &["c"])),
        ("both", json!({ "outcome": [file("c")], "error": [file("a")] }), told(&["a"], &["c"])),
        ("no list", json!({ "error": "a" }), Err("error".to_owned())),
        ("no place", json!({ "outcome": [{}] }), Err("outcome[0].url".to_owned())),
        ("more than one page lists", json!({ "error": many }), Err("error".to_owned())),
    ];
    for (case, body, expected) in table {
        assert_eq!(names(&body), expected, "{case}");
    }
}

/// What is not read may be anything that is JSON; of a member that comes twice the last is read.
#[test]
fn what_is_not_read_plays_no_part() {
    let written = String::from_utf8(whole().write(None, &[])).unwrap();
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let table = [
        format!(r#"{{"x":{deep},{}"#, &written[1..]),
        format!(r#"{{"output":1,"link":"x",{}"#, &written[1..]),
        written.replace(r#""url""#, &format!(r#""x":{{"url":{deep}}},"url""#)),
        written
            .replace(r#""relation":"next""#, r#""relation":"self","url":"s"},{"relation":"next""#),
        written.replace(r#""output""#, r#""\u006futput""#),
    ];
    for body in table {
        assert_eq!(Manifest::read(body.as_bytes()).unwrap(), whole(), "{body:.60}");
    }
}

#[test]
fn a_faulty_manifest_names_its_place() {
    let with = |name: &str, value: Value| {
        let mut root: Map<String, Value> =
            serde_json::from_slice(&whole().write(None, &[])).unwrap();
        root.insert(name.to_owned(), value);
        Value::Object(root).to_string()
    };
    let table = [
        ("manifest", "<html>".to_owned()),
        ("manifest", "[]".to_owned()),
        ("transactionTime", with("transactionTime", json!("yesterday"))),
        ("requiresAccessToken", with("requiresAccessToken", json!("true"))),
        ("outputFormat", with("outputFormat", json!("text/csv"))),
        ("output", with("output", json!({}))),
        ("output[0]", with("output", json!(["x"]))),
        ("manifest", "{} {}".to_owned()),
        ("manifest", format!("{},\"x\":[0,]}}", &with("x", json!(1)).trim_end_matches('}'))),
        ("output[1]", with("output", json!([{ "url": "u" }, ["url", "u"], 1]))),
        ("output[0].url", with("output", json!([{ "type": "Patient" }]))),
        ("output[0].url", with("output", json!([{ "url": 1 }]))),
        ("output[0].count", with("output", json!([{ "url": "u", "count": -1 }]))),
        ("output[0].count", with("output", json!([{ "url": "u", "count": 1.5 }]))),
        ("output[0].fileSize", with("output", json!([{ "url": "u", "fileSize": "1" }]))),
        ("link", with("link", json!("https://c.example/m2"))),
        ("link[1]", with("link", json!([{ "relation": "self", "url": 1 }, 1]))),
        ("output[0].type", with("outputOrganizedBy", Value::Null)),
        ("deleted[0].url", with("deleted", json!([{ "url": "" }]))),
        ("link[0].url", with("link", json!([{ "relation": "next" }]))),
        ("output", with("output", Value::Array(vec![json!({ "url": "u" }); BULK_FILES_MAX + 1]))),
        ("outputOrganizedBy", with("outputOrganizedBy", json!("x".repeat(BULK_URL_CHARS_MAX + 1)))),
    ];
    for (place, body) in table {
        let issue = Manifest::read(body.as_bytes()).unwrap_err();
        assert_eq!((issue.code, issue.expression.as_deref()), (Code::ManifestInvalid, Some(place)));
    }
}
