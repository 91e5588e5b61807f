//! Told: what gives away what is withheld, added where charts have such things.
//!
//! Comes in   a chart, and what of it is restricted.
//! Goes out   for each patient a labelled result with its order and its report, and the numbers by which
//!            every plan and the state know the patient; what must not be found of them.
//! Never      labels what the chart holds: other records of those days would be judged otherwise.

use super::planted::{Marked, Planted, mark_of};
use super::{ChartResource, resource, value_of};
use crate::chart::splice::{Edit, span_of, splice};
use crate::chart::{Chart, sha256_hex};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// For each patient with a finished encounter that is not restricted: a labelled result without a
/// category, its order, and a report that lists it and nothing else.
pub(super) fn labelled(chart: &Chart, restricted: &BTreeSet<String>) -> Marked {
    let mut marked = Marked { resources: Vec::new(), planted: Vec::new() };
    let mut open: BTreeMap<String, (String, String)> = BTreeMap::new();
    for encounter in chart.of_kind("Encounter") {
        let value = value_of(encounter);
        let patient = value["subject"]["reference"].as_str().unwrap_or_default().to_owned();
        let start = value["period"]["start"].as_str().unwrap_or_default();
        let day = start.get(..DAY_CHARS).unwrap_or_default().to_owned();
        let reference = encounter.reference();
        let of_restricted = restricted.contains(&reference) || restricted.contains(&patient);
        if value["status"] == "finished" && !day.is_empty() && !of_restricted {
            open.entry(patient).or_insert((reference, day));
        }
    }
    for (patient, (encounter, day)) in open {
        let mark = mark_of("labelled", &patient);
        let id = |what: &str| sha256_hex(&[what.as_bytes(), mark.as_bytes()])[..32].to_owned();
        let (order, result, report) = (id("order"), id("result"), id("report"));
        let common = json!({
            "subject": { "reference": patient }, "encounter": { "reference": encounter },
            "code": { "text": mark },
        });
        let with = |more: Value| {
            let mut value = more;
            for (name, member) in common.as_object().into_iter().flatten() {
                value[name.as_str()] = member.clone();
            }
            resource(&value)
        };
        marked.resources.extend([
            with(json!({
                "resourceType": "ServiceRequest", "id": order, "status": "completed",
                "intent": "order", "authoredOn": day,
            })),
            with(json!({
                "resourceType": "Observation", "id": result, "status": "final",
                "meta": { "security": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                    "code": "R",
                }] },
                "basedOn": [{ "reference": format!("ServiceRequest/{order}") }],
                "effectiveDateTime": day,
            })),
            with(json!({
                "resourceType": "DiagnosticReport", "id": report, "status": "final",
                "effectiveDateTime": day,
                "result": [{ "reference": format!("Observation/{result}") }],
            })),
        ]);
        let why = "what a labelled result was about";
        marked.planted.extend([mark, order, result, report].map(|value| Planted::new(value, why)));
    }
    marked
}

/// `YYYY-MM-DD`.
const DAY_CHARS: usize = 10;

#[derive(Deserialize)]
struct Numbered<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    identifier: Option<&'a RawValue>,
}

/// The patients with the member numbers of all their coverages among their identifiers, and a Social
/// Security number that only words mark. The member numbers are planted with the coverages.
pub(super) fn numbered(chart: &Chart) -> Marked {
    let mut marked = Marked { resources: Vec::new(), planted: Vec::new() };
    let mut members: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for coverage in chart.of_kind("Coverage") {
        let value = value_of(coverage);
        let patient = value["beneficiary"]["reference"].as_str().unwrap_or_default().to_owned();
        members.entry(patient).or_default().push(value["identifier"][0].clone());
    }
    for patient in chart.of_kind("Patient") {
        let digest = sha256_hex(&[b"words", patient.id.as_bytes()]);
        let number = format!("planted-{}", &digest[..20]);
        let mut added = members.remove(&patient.reference()).unwrap_or_default();
        added.push(json!({ "type": { "text": "Patient SSN" }, "value": number }));
        if let Some(changed) = with_identifiers(patient, &added) {
            marked.resources.push(changed);
            let why = "a Social Security number that words mark";
            marked.planted.push(Planted::new(number, why));
        }
    }
    marked
}

fn with_identifiers(source: &ChartResource, added: &[Value]) -> Option<ChartResource> {
    let text = std::str::from_utf8(&source.bytes).ok()?;
    let members: Numbered<'_> = serde_json::from_str(text).ok()?;
    let added = added.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    let edit = match members.identifier {
        Some(array) if array.get().trim_end_matches(']').trim_end().ends_with('[') => return None,
        Some(array) => Edit::insert(span_of(text, array.get())?.end - 1, format!(",{added}")),
        None => {
            let end = span_of(text, members.id.get())?.end;
            Edit::insert(end, format!(",\"identifier\":[{added}]"))
        }
    };
    Some(ChartResource { bytes: splice(text, vec![edit]).into(), ..source.clone() })
}
