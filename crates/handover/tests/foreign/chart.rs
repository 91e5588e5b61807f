//! The chart: two patients, three finished encounters, everything in them referring to each other,
//! and two plans that cover both.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use serde_json::{Value, json};

/// Encounters of the chart.
pub(crate) const ENCOUNTERS: [&str; 3] = ["e1", "e2", "e3"];

/// Identifiers of the plans: the one that is tried, and the healthy one.
pub(crate) const PLANS: [&str; 2] = ["99001", "99002"];

/// The system of the plans' identifiers.
pub(crate) const PLAN_SYSTEM: &str = "urn:naic";

/// All resources of the chart.
pub(crate) fn chart() -> Vec<Bytes> {
    let mut all = vec![practitioner(), organization()];
    for patient in ["p1", "p2"] {
        all.push(person(patient));
        all.extend(PLANS.iter().map(|plan| coverage(patient, plan)));
    }
    for (encounter, patient) in [("e1", "p1"), ("e2", "p1"), ("e3", "p2")] {
        all.extend(visit(encounter, patient));
    }
    all.iter().map(|resource| Bytes::from(resource.to_string())).collect()
}

/// An Observation of the chart, amended: another value, to the last digit.
pub(crate) fn corrected(id: &str) -> Bytes {
    let all = chart().into_iter();
    let mut values = all.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
    let mut one = values.find(|value| value["id"] == id).unwrap();
    one["status"] = json!("amended");
    let text = one.to_string();
    let value = one["valueQuantity"]["value"].to_string();
    text.replace(&format!(r#""value":{value}"#), r#""value":7.90"#).into()
}

fn practitioner() -> Value {
    json!({
        "resourceType": "Practitioner", "id": "dr1",
        "identifier": [{ "system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893" }],
        "name": [{ "family": "Example", "given": ["Robin"] }],
    })
}

fn organization() -> Value {
    json!({
        "resourceType": "Organization", "id": "org1", "active": true,
        "identifier": [{ "system": "http://hl7.org/fhir/sid/us-npi", "value": "1245319599" }],
        "name": "Example Clinic",
    })
}

fn person(id: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": id,
        "identifier": [{ "system": "urn:mrn", "value": id }],
        "name": [{ "family": "Example", "given": [id] }],
        "gender": "female", "birthDate": "1980-02-03",
    })
}

fn coverage(patient: &str, plan: &str) -> Value {
    json!({
        "resourceType": "Coverage", "id": format!("cov-{patient}-{plan}"), "status": "active",
        "subscriberId": format!("W{patient}"),
        "beneficiary": { "reference": format!("Patient/{patient}") },
        "period": { "start": "2020-01-01" },
        "payor": [{ "identifier": { "system": PLAN_SYSTEM, "value": plan } }],
    })
}

/// An encounter with what belongs to it; its last Observation refers to a member of a panel.
fn visit(encounter: &str, patient: &str) -> Vec<Value> {
    let subject = json!({ "reference": format!("Patient/{patient}") });
    let within = json!({ "reference": format!("Encounter/{encounter}") });
    let loinc = |code: &str| json!({ "coding": [{ "system": "http://loinc.org", "code": code }] });
    let observation = |number: u32, code: &str, value: f64, unit: &str| {
        json!({
            "resourceType": "Observation", "id": format!("{encounter}-o{number}"),
            "status": "final", "code": loinc(code), "subject": subject, "encounter": within,
            "category": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": "laboratory",
            }] }],
            "effectiveDateTime": "2026-11-20T09:30:00Z",
            "performer": [{ "reference": "Practitioner/dr1" }],
            "valueQuantity": { "value": value, "unit": unit,
                "system": "http://unitsofmeasure.org", "code": unit },
        })
    };
    vec![
        json!({
            "resourceType": "Encounter", "id": encounter, "status": "finished",
            "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": "AMB" },
            "identifier": [{ "system": "urn:visit", "value": encounter }],
            "type": [{ "text": "visit" }],
            "subject": subject,
            "participant": [{ "individual": { "reference": "Practitioner/dr1" } }],
            "period": { "start": "2026-11-20T09:00:00Z", "end": "2026-11-20T10:00:00Z" },
            "serviceProvider": { "reference": "Organization/org1" },
        }),
        json!({
            "resourceType": "Condition", "id": format!("{encounter}-c"),
            "clinicalStatus": { "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                "code": "active" }] },
            "category": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/condition-category",
                "code": "encounter-diagnosis" }] }],
            "code": { "coding": [{ "system": "http://hl7.org/fhir/sid/icd-10-cm",
                "code": "E11.9" }] },
            "subject": subject, "encounter": within, "recordedDate": "2026-11-20",
        }),
        observation(1, "4548-4", 6.4, "%"),
        observation(2, "2339-0", 99.0, "mg/dL"),
        json!({
            "resourceType": "DiagnosticReport", "id": format!("{encounter}-r"),
            "status": "final", "code": loinc("24323-8"), "subject": subject, "encounter": within,
            "category": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB" }] }],
            "effectiveDateTime": "2026-11-20T09:30:00Z", "issued": "2026-11-20T09:45:00Z",
            "performer": [{ "reference": "Practitioner/dr1" }],
            "result": [
                { "reference": format!("Observation/{encounter}-o1") },
                { "reference": format!("Observation/{encounter}-o2") },
            ],
        }),
    ]
}
