//! Goal: each resource of a chart belongs where its link, its order or its time says, and nowhere else.

#![allow(clippy::unwrap_used)]
use super::*;

const BASE: &str = "https://ehr.example/fhir";

fn resource(text: &str) -> Resource {
    Resource::parse(text.as_bytes().to_vec()).unwrap()
}

fn visit(id: &str, start: &str, end: &str) -> Resource {
    resource(&format!(
        r#"{{"resourceType":"Encounter","id":"{id}","status":"finished","period":{{"start":"{start}","end":"{end}"}}}}"#
    ))
}

/// Two visits of one day, and one of another; the last did not take place.
fn visits() -> Vec<Resource> {
    let cancelled = visit("off", "2026-03-01T00:00:00Z", "2026-03-30T00:00:00Z");
    let cancelled = String::from_utf8(cancelled.bytes().to_vec()).unwrap();
    vec![
        visit("e1", "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"),
        visit("e2", "2026-03-01T14:00:00Z", "2026-03-01T15:00:00Z"),
        visit("e3", "2026-03-20T09:00:00-05:00", "2026-03-20T10:00:00-05:00"),
        resource(&cancelled.replace("finished", "cancelled")),
    ]
}

/// `e1:link e2:date` of a resource of the chart.
fn told(membership: &Membership, reference: &str) -> String {
    let ids = ["e1", "e2", "e3", "off", "elsewhere"];
    let said = |id: &&str| {
        let belongs = membership.belongs(id, reference)?;
        Some(format!("{id}:{}", belongs.word()))
    };
    ids.iter().filter_map(said).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_resource_belongs_by_its_link_or_else_by_its_time() {
    let table = [
        (
            r#""encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2026-03-20T09:30:00-05:00""#,
            "e1:link",
        ),
        (
            r#""encounter":{"reference":"https://ehr.example/fhir/Encounter/e1/_history/3"}"#,
            "e1:link",
        ),
        (
            r#""encounter":{"reference":"Encounter/elsewhere"},"effectiveDateTime":"2026-03-01T09:30:00Z""#,
            "elsewhere:link",
        ),
        (
            r#""encounter":{"identifier":{"value":"7"}},"effectiveDateTime":"2026-03-01T09:30:00Z""#,
            "",
        ),
        (r#""effectiveDateTime":"2026-03-01T09:30:00Z""#, "e1:date"),
        (r#""effectiveDateTime":"2026-03-01T16:30:00+02:00""#, "e2:date"),
        (r#""effectiveDateTime":"2026-03-01T12:00:00Z""#, "e1:date e2:date"),
        (r#""effectiveDateTime":"2026-03-01""#, "e1:date e2:date"),
        (r#""effectiveDateTime":"2026-03-20""#, "e3:date"),
        (r#""effectiveDateTime":"2026-03""#, ""),
        (r#""effectiveDateTime":"2026-03-02""#, ""),
        (
            r#""effectivePeriod":{"start":"2026-03-20T14:10:00Z","end":"2026-03-25T00:00:00Z"}"#,
            "e3:date",
        ),
        (r#""code":{"text":"undated"}"#, ""),
    ];
    for (elements, expected) in table {
        let one = resource(&format!(r#"{{"resourceType":"Observation","id":"o",{elements}}}"#));
        let membership = Membership::of(&visits(), [&one], BASE);
        assert_eq!(told(&membership, "Observation/o"), expected, "{elements}");
    }
}

#[test]
fn orders_reports_and_panels_lead_to_an_encounter() {
    let chart = [
        r#"{"resourceType":"ServiceRequest","id":"order","encounter":{"reference":"Encounter/e1"}}"#,
        r#"{"resourceType":"ServiceRequest","id":"reflex","basedOn":[{"reference":"ServiceRequest/order"}]}"#,
        r#"{"resourceType":"DiagnosticReport","id":"late","basedOn":[{"reference":"ServiceRequest/reflex"}],"result":[{"reference":"Observation/panel"}],"effectiveDateTime":"2026-03-20T09:30:00-05:00"}"#,
        r#"{"resourceType":"Observation","id":"panel","hasMember":[{"reference":"Observation/member"}]}"#,
        r#"{"resourceType":"Observation","id":"member","effectiveDateTime":"2026-03-20T09:30:00-05:00"}"#,
        r#"{"resourceType":"DiagnosticReport","id":"of-members","result":[{"reference":"Observation/linked"},{"reference":"Observation/loose"}]}"#,
        r#"{"resourceType":"Observation","id":"linked","encounter":{"reference":"Encounter/e2"}}"#,
        r#"{"resourceType":"Observation","id":"loose"}"#,
        r#"{"resourceType":"DiagnosticReport","id":"of-two","result":[{"reference":"Observation/linked"},{"reference":"Observation/member"}]}"#,
        r#"{"resourceType":"Observation","id":"circle","hasMember":[{"reference":"Observation/circle"}]}"#,
    ];
    let chart: Vec<Resource> = chart.iter().map(|text| resource(text)).collect();
    let membership = Membership::of(&visits(), &chart, BASE);
    let table = [
        ("ServiceRequest/order", "e1:link"),
        ("ServiceRequest/reflex", "e1:order"),
        ("DiagnosticReport/late", "e1:order"),
        ("Observation/panel", "e1:order"),
        ("Observation/member", "e1:order"),
        ("DiagnosticReport/of-members", "e2:order"),
        ("Observation/loose", "e2:order"),
        ("Observation/circle", ""),
    ];
    for (reference, expected) in table {
        assert_eq!(told(&membership, reference), expected, "{reference}");
    }
    let mut turned = chart.clone();
    turned.reverse();
    assert_eq!(membership, Membership::of(&visits(), &turned, BASE), "order does not matter");
}

#[test]
fn a_state_is_of_all_its_days() {
    let team = resource(
        r#"{"resourceType":"CareTeam","id":"t","period":{"start":"2026-02-01","end":"2026-03-10"}}"#,
    );
    let lab = resource(
        r#"{"resourceType":"Observation","id":"o","effectiveDateTime":"2026-03-01T12:00:00Z"}"#,
    );
    let membership = Membership::of(&visits(), [&team, &lab], BASE);
    assert_eq!(told(&membership, "CareTeam/t"), "e1:date e2:date");
    assert_eq!(told(&membership, "Observation/o"), "e1:date e2:date");
}
