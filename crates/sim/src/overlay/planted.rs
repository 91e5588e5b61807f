//! Planted: values that must be found nowhere at a payer, put where charts have such things.
//!
//! Comes in   a chart, its plans, and what of it is restricted.
//! Goes out   the chart with marks in all that is restricted, beside every reference to it, and in
//!            documents that tell of it; the list of values, each with why it must not be found.
//! Never      marks what may travel but in a place that has to be cut.
//!
//! Why marks: the words of a visit ("Normal pregnancy") stand in other visits as well, so finding
//! them proves nothing; a mark stands in this chart once.

use super::coverage::{Unagreed, payer_of};
use super::{ChartResource, resource, value_of};
use crate::chart::splice::{Edit, Member, references, span_of, splice, string_at};
use crate::chart::{Chart, sha256_hex};
use crate::town::{Plan, base64};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A value that must not be found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planted {
    /// As it would stand in a text.
    pub value: String,
    /// Why it must not be found, without the value.
    pub why: &'static str,
    /// The name of the one plan that may have it; `None`: nobody may.
    pub only_at: Option<String>,
}

/// Fewer characters than these may stand somewhere by chance.
const CHARS_MIN: usize = 11;

impl Planted {
    pub(super) fn new(value: impl Into<String>, why: &'static str) -> Planted {
        Planted { value: value.into(), why, only_at: None }
    }
}

/// The Social Security numbers of a chart's patients.
pub(super) fn security_numbers(chart: &Chart) -> Vec<Planted> {
    const SSN: &str = "http://hl7.org/fhir/sid/us-ssn";
    let patients = chart.of_kind("Patient").iter().map(value_of);
    let mut found = Vec::new();
    for patient in patients {
        let all = patient["identifier"].as_array().into_iter().flatten();
        let numbers =
            all.filter(|one| one["system"] == SSN).filter_map(|one| one["value"].as_str());
        found.extend(numbers.map(|number| Planted::new(number, "a Social Security number")));
    }
    found
}

/// What of one plan's coverages no other plan may hold.
pub(super) fn of_coverages(
    chart: &Chart,
    plans: &[Plan],
    unagreed: Option<&Unagreed>,
) -> Vec<Planted> {
    let mut found = Vec::new();
    let strangers = unagreed.iter().map(|one| (&one.plan, None));
    let known = plans.iter().map(|plan| (plan, Some(plan.name.clone())));
    for (plan, only_at) in known.chain(strangers) {
        let payer = payer_of(plan);
        let payor = format!("Organization/{payer}");
        let mut add = |value: &str, why| {
            found.push(Planted { value: value.to_owned(), why, only_at: only_at.clone() });
        };
        for coverage in chart.of_kind("Coverage") {
            let value = value_of(coverage);
            if value["payor"][0]["reference"] == payor.as_str() {
                add(&coverage.id, "the coverage by another payer");
                add(
                    value["subscriberId"].as_str().unwrap_or_default(),
                    "another payer's member id",
                );
            }
        }
        add(&payer, "another payer");
    }
    found
}

/// A chart with marks, and what was marked.
pub(super) struct Marked {
    pub(super) resources: Vec<ChartResource>,
    pub(super) planted: Vec<Planted>,
}

/// Marks all that is restricted, and every reference to it from what is not.
pub(super) fn mark(chart: &Chart, restricted: &BTreeSet<String>) -> Marked {
    let mut marked = Marked { resources: Vec::new(), planted: Vec::new() };
    let marks: BTreeMap<&String, String> =
        restricted.iter().map(|one| (one, mark_of("restricted", one))).collect();
    for resource in chart {
        let own = marks.get(&resource.reference());
        let changed = match own {
            Some(mark) => marked_inside(resource, mark),
            None => marked_beside(resource, &marks),
        };
        if own.is_some() && resource.id.len() >= CHARS_MIN {
            let why = "the id of something restricted";
            marked.planted.push(Planted::new(&resource.id, why));
        }
        marked.resources.extend(changed);
    }
    for mark in marks.values() {
        let (note, why) = (note_of(mark), "a trace of something restricted");
        marked.planted.push(Planted::new(base64(note.as_bytes()), why));
        marked.planted.push(Planted::new(mark, why));
    }
    marked
}

pub(super) fn mark_of(what: &str, reference: &str) -> String {
    format!("planted-{}", &sha256_hex(&[what.as_bytes(), reference.as_bytes()])[..20])
}

fn note_of(mark: &str) -> String {
    format!("Note of a visit that is nobody's business: {mark}.")
}

#[derive(Deserialize)]
struct Coded<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default, alias = "vaccineCode", alias = "medicationCodeableConcept")]
    code: Option<Worded<'a>>,
    #[serde(borrow, default, rename = "presentedForm")]
    forms: Vec<Attached<'a>>,
    #[serde(borrow, default)]
    content: Vec<Held<'a>>,
}

#[derive(Deserialize)]
struct Worded<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Held<'a> {
    #[serde(borrow)]
    attachment: Attached<'a>,
}

#[derive(Deserialize)]
struct Attached<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// The resource with the mark in its words, in a note or summary of its own, and in what is
/// attached to it.
fn marked_inside(resource: &ChartResource, mark: &str) -> Option<ChartResource> {
    let text = std::str::from_utf8(&resource.bytes).ok()?;
    let parts: Coded<'_> = serde_json::from_str(text).ok()?;
    let mut edits = Vec::new();
    let value = value_of(resource);
    let (member, words) = match resource.kind.as_str() {
        "Encounter" => ("serviceType", json!({ "text": mark })),
        "DiagnosticReport" => ("conclusion", json!(mark)),
        "DocumentReference" => ("description", json!(mark)),
        _ => ("note", json!([{ "text": mark }])),
    };
    if value[member].is_null() {
        let end = span_of(text, parts.id.get())?.end;
        edits.push(Edit::insert(end, format!(",\"{member}\":{words}")));
    }
    if let Some(words) = parts.code.and_then(|code| code.text) {
        edits.push(Edit::insert(span_of(text, words.get())?.end - 1, format!(" {mark}")));
    }
    let attached = parts.forms.iter().chain(parts.content.iter().map(|held| &held.attachment));
    for data in attached.filter_map(|attachment| attachment.data) {
        let note = base64(note_of(mark).as_bytes());
        edits.push(Edit::string(span_of(text, data.get())?, &note));
    }
    Some(ChartResource { bytes: splice(text, edits).into(), ..resource.clone() })
}

/// The resource with a display, which is the target's mark, beside every reference to something
/// restricted that has none; none when it has no such reference.
fn marked_beside(
    resource: &ChartResource,
    marks: &BTreeMap<&String, String>,
) -> Option<ChartResource> {
    let text = std::str::from_utf8(&resource.bytes).ok()?;
    let value = value_of(resource);
    let mut edits = Vec::new();
    for found in references(text).ok()?.iter().filter(|found| found.member == Member::Reference) {
        let target = string_at(text, &found.span).map(Cow::into_owned).unwrap_or_default();
        let Some(mark) = marks.get(&target) else { continue };
        let around = found.path.rsplit_once('.').map_or("", |(around, _)| around);
        if at(&value, around).is_some_and(|around| around["display"].is_null()) {
            edits.push(Edit::insert(found.span.end, format!(",\"display\":\"{mark}\"")));
        }
    }
    (!edits.is_empty())
        .then(|| ChartResource { bytes: splice(text, edits).into(), ..resource.clone() })
}

/// The value at a path such as `diagnosis[0].condition`.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split(['.', '[']).filter(|step| !step.is_empty()).try_fold(value, |value, step| match step
        .strip_suffix(']')
    {
        Some(place) => value.get(place.parse::<usize>().ok()?),
        None => value.get(step),
    })
}

/// For every restricted encounter of a patient who has another finished one that is not: a summary
/// that was written for that other one, and tells of both.
pub(super) fn summaries(chart: &Chart, restricted: &BTreeSet<String>) -> Marked {
    let mut marked = Marked { resources: Vec::new(), planted: Vec::new() };
    let mut open: BTreeMap<String, (String, Value)> = BTreeMap::new();
    let mut hidden: Vec<(String, String, Value)> = Vec::new();
    for encounter in chart.of_kind("Encounter") {
        let value = value_of(encounter);
        let patient = value["subject"]["reference"].as_str().unwrap_or_default().to_owned();
        let reference = encounter.reference();
        if restricted.contains(&reference) {
            hidden.push((reference, patient, value["period"].clone()));
        } else if value["status"] == "finished" {
            open.entry(patient).or_insert((reference, value["period"].clone()));
        }
    }
    for (reference, patient, period) in hidden {
        let Some((other, _)) = open.get(&patient) else { continue };
        let mark = mark_of("summary", &reference);
        marked.resources.push(summary(&mark, &patient, other, &period));
        let note = base64(note_of(&mark).as_bytes());
        let why = "a document that tells of something restricted";
        marked.planted.extend([Planted::new(note, why), Planted::new(mark, why)]);
    }
    marked
}

fn summary(mark: &str, patient: &str, encounter: &str, period: &Value) -> ChartResource {
    resource(&json!({
        "resourceType": "DocumentReference",
        "id": sha256_hex(&[b"summary", mark.as_bytes()])[..32].to_owned(),
        "status": "current",
        "type": { "coding": [{
            "system": "http://loinc.org", "code": "34133-9", "display": "Summary of episode note",
        }] },
        "category": [{ "coding": [{
            "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
            "code": "clinical-note",
        }] }],
        "subject": { "reference": patient },
        "description": mark,
        "content": [{ "attachment": {
            "contentType": "text/plain", "data": base64(note_of(mark).as_bytes()),
        } }],
        "context": { "encounter": [{ "reference": encounter }], "period": period },
    }))
}
