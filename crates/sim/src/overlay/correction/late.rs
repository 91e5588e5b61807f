//! Late: what comes to an encounter after it was pushed.
//!
//! Comes in   a finished encounter of a chart, and a number that no other late record has.
//! Goes out   a result, a report, a diagnosis, a note: of its patient and its time.
//! Never      a clinical truth, and never the same id twice.

use crate::chart::{ChartResource, sha256_hex};
use crate::overlay::{resource, value_of};
use crate::town::base64;
use serde_json::{Value, json};

/// What comes late to an encounter.
pub(super) struct Late {
    pub(super) key: String,
    encounter: String,
    pub(super) patient: String,
    when: String,
}

impl Late {
    pub(super) fn at(encounter: &ChartResource, number: usize) -> Option<Late> {
        let value = value_of(encounter);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(Late {
            key: format!("{}#{number}", encounter.id),
            encounter: encounter.reference(),
            patient: text(&value["subject"]["reference"])?,
            when: text(&value["period"]["start"])?,
        })
    }

    fn id(&self, what: &str) -> String {
        sha256_hex(&[b"late", what.as_bytes(), self.key.as_bytes()])[..32].to_owned()
    }

    pub(super) fn result(&self, linked: bool) -> ChartResource {
        let mut value = json!({
            "resourceType": "Observation",
            "id": self.id("result"),
            "status": "final",
            "category": [category("observation-category", "laboratory")],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "2160-0" }] },
            "subject": { "reference": self.patient },
            "encounter": { "reference": self.encounter },
            "effectiveDateTime": self.when,
            "valueQuantity": {
                "value": 1.25, "unit": "mg/dL", "system": "http://unitsofmeasure.org",
                "code": "mg/dL",
            },
        });
        if let (false, Some(members)) = (linked, value.as_object_mut()) {
            members.shift_remove("encounter");
        }
        resource(&value)
    }

    pub(super) fn report(&self, result: &ChartResource) -> ChartResource {
        resource(&json!({
            "resourceType": "DiagnosticReport",
            "id": self.id("report"),
            "status": "final",
            "category": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB",
            }] }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "51990-0" }] },
            "subject": { "reference": self.patient },
            "encounter": { "reference": self.encounter },
            "effectiveDateTime": self.when,
            "issued": "2031-05-05T08:00:00Z",
            "result": [{ "reference": result.reference() }],
        }))
    }

    pub(super) fn diagnosis(&self) -> ChartResource {
        resource(&json!({
            "resourceType": "Condition",
            "id": self.id("diagnosis"),
            "clinicalStatus": category("condition-clinical", "active"),
            "verificationStatus": category("condition-ver-status", "confirmed"),
            "category": [category("condition-category", "encounter-diagnosis")],
            "code": { "coding": [{ "system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I10" }] },
            "subject": { "reference": self.patient },
            "encounter": { "reference": self.encounter },
            "onsetDateTime": self.when,
            "recordedDate": self.when,
        }))
    }

    pub(super) fn note(&self) -> ChartResource {
        resource(&json!({
            "resourceType": "DocumentReference",
            "id": self.id("note"),
            "status": "current",
            "type": { "coding": [{ "system": "http://loinc.org", "code": "11506-3" }] },
            "category": [{ "coding": [{
                "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                "code": "clinical-note",
            }] }],
            "subject": { "reference": self.patient },
            "date": self.when,
            "content": [{ "attachment": {
                "contentType": "text/plain", "data": base64(b"Added after the visit."),
            } }],
            "context": {
                "encounter": [{ "reference": self.encounter }],
                "period": { "start": self.when, "end": self.when },
            },
        }))
    }
}

fn category(system: &str, code: &str) -> Value {
    let system = format!("http://terminology.hl7.org/CodeSystem/{system}");
    json!({ "coding": [{ "system": system, "code": code }] })
}
