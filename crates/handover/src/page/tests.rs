//! Goal: a reader who does not know FHIR finds what was sent, and nothing in a chart can harm the
//! page.
//!
//! How: a few resources as a hospital writes them, one of them hostile; both forms are searched.

#![allow(clippy::unwrap_used)]

use super::{html, read, table, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn chart() -> Vec<Value> {
    let note = STANDARD.encode("Feels well.\nCome back in a year.");
    vec![
        json!({
            "resourceType": "Patient", "id": "p",
            "name": [{ "family": "Example", "given": ["Una"] }],
            "birthDate": "1970-01-02", "gender": "female",
            "identifier": [{ "type": { "coding": [{ "code": "MR" }] }, "value": "R-1" }],
        }),
        json!({
            "resourceType": "Encounter", "id": "e", "status": "finished", "class": { "code": "AMB" },
            "type": [{ "text": "Check-up" }],
            "period": { "start": "2026-01-03T10:00:00-05:00", "end": "2026-01-03T10:30:00-05:00" },
            "participant": [{ "individual": { "reference": "Practitioner/d" } }],
        }),
        json!({ "resourceType": "Practitioner", "id": "d", "name": [{ "family": "Sample", "prefix": ["Dr."] }] }),
        json!({
            "resourceType": "Observation", "id": "o", "status": "final",
            "code": { "coding": [{ "display": "Glucose" }] },
            "valueQuantity": serde_json::from_str::<Value>(r#"{"value":5.10,"unit":"mmol/L"}"#).unwrap(),
            "referenceRange": [{ "low": { "value": 4 }, "high": { "value": 6, "unit": "mmol/L" } }],
        }),
        json!({
            "resourceType": "DocumentReference", "id": "n", "type": { "text": "Visit note" },
            "content": [{ "attachment": { "contentType": "text/plain", "data": note } }],
        }),
        json!({
            "resourceType": "Condition", "id": "c",
            "code": { "text": "<script>alert(1)</script>\u{1b}[2J" },
        }),
        json!({ "resourceType": "Provenance", "id": "v" }),
    ]
}

#[test]
fn everyday_words_stand_on_both_pages() {
    let page = read::page("Sent to sunrise".into(), &chart());
    let words = [
        "Una Example",
        "1970-01-02",
        "record number R-1",
        "outpatient visit, Check-up",
        "2026-01-03 10:00-05:00 to 2026-01-03 10:30-05:00",
        "Dr. Sample",
        "Glucose",
        "5.10 mmol/L",
        "4 to 6 mmol/L",
        "Visit note",
        "Come back in a year.",
        "1 × Provenance",
    ];
    for word in words {
        assert!(text(&page).contains(word), "text lacks {word}:\n{}", text(&page));
        assert!(html(&page).contains(word), "html lacks {word}");
    }
}

#[test]
fn nothing_in_a_chart_harms_the_page() {
    let page = read::page("<b>".into(), &chart());
    let html = html(&page);
    assert!(!html.contains("<script"), "a script of a chart stands in the page");
    assert!(!html.contains("<b>"), "a title is not escaped");
    assert!(html.contains("&lt;script&gt;"), "what was written is shown");
    for form in [html, text(&page)] {
        assert!(!form.contains('\u{1b}'), "a control character of a chart reaches a terminal");
    }
}

#[test]
fn no_shape_of_a_resource_stops_the_page() {
    let odd = [
        json!(null),
        json!([]),
        json!({}),
        json!({ "resourceType": "Patient", "name": "x", "identifier": 1 }),
        json!({ "resourceType": "Observation", "component": { "code": 1 }, "valueQuantity": [] }),
        json!({ "resourceType": "Encounter", "period": { "start": "T" }, "class": 7 }),
        json!({ "resourceType": "DocumentReference", "content": [{ "attachment": { "data": "%" } }] }),
    ];
    let page = read::page("odd".into(), &odd);
    assert!(!text(&page).is_empty());
    assert!(!html(&page).is_empty());
}

#[test]
fn columns_without_a_word_are_left_out() {
    let section = table("T", &["a", "b"], vec![vec![String::new(), "x".into()]]).unwrap();
    assert_eq!(section.body, super::Body::Table(vec!["b"], vec![vec!["x".into()]]));
}
