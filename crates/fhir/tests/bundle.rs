//! Goal: a Bundle is read once, in place, and every wrong type in it names its byte and its place.
//!
//! How: one row per fault; the row shows the body with `@` where the fault stands.

#![allow(clippy::unwrap_used)]

use fhir::{Bundle, BundleType, BundleWriter, EntryToWrite, Method, Reason, ResponseToWrite};

const PATIENT: &[u8] = br#"{ "resourceType":"Patient", "id":"p1", "x" : 1.00 }"#;
const OUTCOME: &[u8] = br#"{"resourceType":"OperationOutcome","issue":[]}"#;

#[test]
fn what_is_written_is_read_again_and_resources_keep_their_bytes() {
    let mut writer = BundleWriter::new(BundleType::Transaction)
        .id("b1")
        .identifier("urn:x", "push \"7\"/1")
        .timestamp("2026-01-01T00:00:00Z")
        .total(2)
        .link("self", "http://x/?a=1");
    assert!(writer.is_empty());
    writer.entry(EntryToWrite {
        full_url: Some("urn:uuid:1"),
        resource: Some(PATIENT),
        search_mode: Some("match"),
        request: Some((Method::Put, "Patient/p1")),
        if_match: Some("W/\"3\""),
        if_none_exist: Some("identifier=1"),
        response: None,
    });
    writer.entry(EntryToWrite {
        response: Some(ResponseToWrite {
            status: "201 Created",
            location: Some("Patient/p1/_history/1"),
            etag: Some("W/\"1\""),
            last_modified: Some("2026-01-01T00:00:00Z"),
            outcome: Some(OUTCOME),
        }),
        ..EntryToWrite::default()
    });
    assert_eq!(writer.len(), 2);
    let bytes = writer.clone().finish();
    assert_eq!(bytes, writer.finish(), "the same input gives the same bytes");

    let bundle = Bundle::parse(bytes).unwrap();
    assert_eq!(bundle.kind, BundleType::Transaction);
    assert_eq!(bundle.id.as_deref(), Some("b1"));
    assert_eq!(bundle.identifier, Some((Some("urn:x".into()), "push \"7\"/1".into())));
    assert_eq!(bundle.timestamp.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(bundle.total, Some(2));
    assert_eq!(bundle.link("self"), Some("http://x/?a=1"));
    assert_eq!(bundle.link("next"), None);
    let [asked, answered] = &bundle.entries[..] else { panic!("two entries") };
    let resource = asked.resource.as_ref().unwrap();
    assert_eq!(resource.bytes(), PATIENT);
    assert_eq!(resource.id(), Some("p1"));
    let inside = bundle.bytes.as_ptr_range();
    assert!(inside.contains(&resource.bytes().as_ptr()), "a slice of the body, not a copy");
    let request = asked.request.as_ref().unwrap();
    assert_eq!((request.method, request.url.as_str()), (Method::Put, "Patient/p1"));
    assert_eq!(request.if_match.as_deref(), Some("W/\"3\""));
    assert_eq!(request.if_none_exist.as_deref(), Some("identifier=1"));
    assert_eq!(asked.search_mode.as_deref(), Some("match"));
    let response = answered.response.as_ref().unwrap();
    assert_eq!(response.status_code(), Some(201));
    assert_eq!(response.outcome.as_ref().unwrap().bytes(), OUTCOME);
    assert!(bundle.bytes[answered.span.clone()].starts_with(br#"{"response""#));
}

#[test]
fn an_empty_bundle_has_no_entry_member() {
    let bytes = BundleWriter::new(BundleType::Searchset).total(0).finish();
    assert_eq!(bytes, br#"{"resourceType":"Bundle","type":"searchset","total":0}"#);
    assert!(Bundle::parse(bytes).unwrap().entries.is_empty());
}

#[test]
fn every_wrong_type_names_its_place() {
    let string = Reason::WrongType("a string");
    let object = Reason::WrongType("an object");
    let array = Reason::WrongType("an array");
    let verb = Reason::Value("one of GET, HEAD, POST, PUT, DELETE, PATCH is needed");
    let table = [
        ("no object", "@7", "$this", object),
        ("no type of resource", r#"@{"type":"batch"}"#, "$this", Reason::Missing("resourceType")),
        (
            "another resource",
            r#"{"resourceType":@"Patient"}"#,
            "Patient.resourceType",
            Reason::Value("Bundle"),
        ),
        ("no type", r#"@{"resourceType":"Bundle"}"#, "Bundle", Reason::Missing("type")),
        (
            "a type of R5",
            r#"{"resourceType":"Bundle","type":@"subscription-notification"}"#,
            "Bundle.type",
            Reason::Value("a Bundle type of R4 is needed"),
        ),
        ("type is a number", r#"{"resourceType":"Bundle","type":@1}"#, "Bundle.type", string),
        (
            "id is a number",
            r#"{"resourceType":"Bundle","type":"batch","id":@1}"#,
            "Bundle.id",
            string,
        ),
        (
            "identifier is a list",
            r#"{"resourceType":"Bundle","type":"batch","identifier":@[]}"#,
            "Bundle.identifier",
            object,
        ),
        (
            "identifier's value",
            r#"{"resourceType":"Bundle","type":"batch","identifier":{"value":@7}}"#,
            "Bundle.identifier.value",
            string,
        ),
        (
            "timestamp",
            r#"{"resourceType":"Bundle","type":"batch","timestamp":@null}"#,
            "Bundle.timestamp",
            string,
        ),
        (
            "total is a text",
            r#"{"resourceType":"Bundle","type":"batch","total":@"1"}"#,
            "Bundle.total",
            Reason::WrongType("a number"),
        ),
        (
            "total below zero",
            r#"{"resourceType":"Bundle","type":"batch","total":@-1}"#,
            "Bundle.total",
            Reason::Value("a whole number from 0 is needed"),
        ),
        (
            "a link without url",
            r#"{"resourceType":"Bundle","type":"batch","link":[@{"relation":"next"}]}"#,
            "Bundle.link[0]",
            Reason::Missing("url"),
        ),
        (
            "entry is no list",
            r#"{"resourceType":"Bundle","type":"batch","entry":@{}}"#,
            "Bundle.entry",
            array,
        ),
        (
            "an entry is null",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{},@null]}"#,
            "Bundle.entry[1]",
            object,
        ),
        (
            "fullUrl is a number",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":@1}]}"#,
            "Bundle.entry[0].fullUrl",
            string,
        ),
        (
            "resource is a text",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":@"x"}]}"#,
            "Bundle.entry[0].resource",
            object,
        ),
        (
            "a resource without type",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":@{"id":"x"}}]}"#,
            "Bundle.entry[0].resource",
            Reason::Missing("resourceType"),
        ),
        (
            "a profile that is a number",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{},{},{},{"resource":{"resourceType":"Patient","meta":{"profile":[@1]}}}]}"#,
            "Bundle.entry[3].resource.meta.profile[0]",
            string,
        ),
        (
            "request without method",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":@{"url":"x"}}]}"#,
            "Bundle.entry[0].request",
            Reason::Missing("method"),
        ),
        (
            "request without url",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":@{"method":"PUT"}}]}"#,
            "Bundle.entry[0].request",
            Reason::Missing("url"),
        ),
        (
            "a method in lower case",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":@"put","url":"x"}}]}"#,
            "Bundle.entry[0].request.method",
            verb,
        ),
        (
            "response without status",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"response":@{"etag":"x"}}]}"#,
            "Bundle.entry[0].response",
            Reason::Missing("status"),
        ),
        (
            "outcome is a text",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"response":{"status":"200","outcome":@"x"}}]}"#,
            "Bundle.entry[0].response.outcome",
            object,
        ),
        (
            "search mode",
            r#"{"resourceType":"Bundle","type":"batch","entry":[{"search":{"mode":@true}}]}"#,
            "Bundle.entry[0].search.mode",
            string,
        ),
    ];
    for (case, marked, expression, reason) in table {
        let offset = marked.find('@').unwrap();
        let error = Bundle::parse(marked.replacen('@', "", 1).into_bytes()).unwrap_err();
        assert_eq!(error.reason, reason, "{case}");
        assert_eq!(error.expression, expression, "{case}");
        assert_eq!(error.offset, offset, "{case}");
    }
}

#[test]
fn entries_beyond_the_limit_are_refused_at_the_first_one_too_many() {
    let body = r#"{"resourceType":"Bundle","type":"batch","entry":[{},{},{}]}"#;
    assert_eq!(Bundle::parse_with_limit(body, 3).unwrap().entries.len(), 3);
    let error = Bundle::parse_with_limit(body, 2).unwrap_err();
    assert_eq!(
        (error.expression.as_str(), error.reason),
        ("Bundle.entry[2]", Reason::TooMany("entries"))
    );
}

#[test]
fn a_status_is_its_first_three_digits() {
    for (case, status, code) in [
        ("alone", "200", Some(200)),
        ("with words", "412 Precondition Failed", Some(412)),
        ("four digits", "2000", None),
        ("words alone", "Created", None),
        ("letters beyond ASCII", "2é1", None),
    ] {
        let body = format!(
            r#"{{"resourceType":"Bundle","type":"batch-response","entry":[{{"response":{{"status":"{status}"}}}}]}}"#
        );
        let bundle = Bundle::parse(body.into_bytes()).unwrap();
        assert_eq!(bundle.entries[0].response.as_ref().unwrap().status_code(), code, "{case}");
    }
}
