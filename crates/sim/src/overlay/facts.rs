//! Facts: what the expectation needs to know of a resource, read from a tree.
//!
//! Comes in   resources of a chart.
//! Goes out   their encounters, orders, parts, references, days and moments.
//! Never      asks the product: dates and references are read here a second time, by other means.
//!
//! Why days as text: `YYYY-MM-DD` sorts as time does, so a day need not be understood to be
//! compared; moments are numbers, because charts write them in many offsets.

use super::value_of;
use crate::chart::{ChartResource, sha256_hex};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

/// Where R4 resources say when their content was so, the best element first.
const WHEN: [&str; 16] = [
    "effectiveDateTime",
    "effectivePeriod",
    "effectiveInstant",
    "performedDateTime",
    "performedPeriod",
    "occurrenceDateTime",
    "occurrencePeriod",
    "onsetDateTime",
    "onsetPeriod",
    "period",
    "whenHandedOver",
    "authoredOn",
    "recordedDate",
    "started",
    "date",
    "issued",
];

/// Encounters that took place nowhere.
const NO_VISIT: [&str; 3] = ["planned", "cancelled", "entered-in-error"];

/// `YYYY-MM-DD`.
const DAY_CHARS: usize = 10;

/// Types that say how things stand, where they say whether they still do, and the words with which
/// they say that they do not.
const STANDING: [(&str, &str, &[&str]); 7] = [
    ("AllergyIntolerance", "clinicalStatus", &["inactive", "resolved"]),
    ("CarePlan", "status", &["revoked", "completed", "entered-in-error"]),
    ("CareTeam", "status", &["inactive", "entered-in-error"]),
    ("Condition", "clinicalStatus", &["inactive", "remission", "resolved"]),
    ("Device", "status", &["inactive", "entered-in-error"]),
    ("Goal", "lifecycleStatus", &["completed", "cancelled", "rejected", "entered-in-error"]),
    (
        "MedicationRequest",
        "status",
        &["cancelled", "completed", "draft", "entered-in-error", "stopped", "unknown"],
    ),
];

/// The first and the last of something, both included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span<T> {
    pub(super) first: T,
    pub(super) last: T,
}

impl<T: Ord> Span<T> {
    /// Whether the two have anything in common.
    pub(super) fn meets(&self, other: &Span<T>) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// One resource of the chart.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) kind: String,
    /// SHA-256 of its bytes.
    pub(super) digest: String,
    /// Its patient, as `Patient/<id>`.
    pub(super) patient: Option<String>,
    /// Encounters that its own encounter element names; of an Encounter, itself.
    pub(super) encounters: BTreeSet<String>,
    /// All relative references, wherever they stand.
    pub(super) references: BTreeSet<String>,
    /// What it was ordered with, and what it is part of.
    pub(super) orders: BTreeSet<String>,
    /// What it lists as its results and members.
    pub(super) parts: BTreeSet<String>,
    /// A finished Encounter.
    pub(super) finished: bool,
    /// An Encounter that took or takes place.
    pub(super) is_visit: bool,
    /// It says how things stand today, whenever that began.
    pub(super) stands: bool,
    /// Whose categories say that it is of the laboratory.
    pub(super) laboratory: bool,
    /// Its own status says that it was entered in error.
    pub(super) in_error: bool,
    /// Its own label says that it is restricted.
    pub(super) labelled: bool,
    /// A code of its own tells of substance use.
    pub(super) substance_use: bool,
    /// Orders that it goes back to.
    pub(super) upon: BTreeSet<String>,
    /// A document: what it carries cannot be looked into.
    pub(super) opaque: bool,
    /// It says the day on which it began, and not a month or a year.
    pub(super) says_day: bool,
    /// The days it is about, as they are written.
    pub(super) days: Option<Span<String>>,
    /// The days on which it was the case: a problem lasts until it has abated.
    pub(super) lasting: Option<Span<String>>,
    /// The same as moments, where both ends are written to the second and with an offset.
    pub(super) moments: Option<Span<i64>>,
}

impl Facts {
    pub(super) fn read(resource: &ChartResource) -> Facts {
        let value = value_of(resource);
        let mut references = BTreeSet::new();
        collect_references(&value, &mut references);
        let is_encounter = resource.kind == "Encounter";
        let mut encounters = encounters_of(&value);
        if is_encounter {
            encounters.insert(resource.reference());
        }
        let when = when(&resource.kind, &value);
        let patient = ["subject", "patient", "beneficiary", "for"].iter().find_map(|name| {
            let target = value[*name]["reference"].as_str().and_then(relative)?;
            target.starts_with("Patient/").then_some(target)
        });
        let listed = |names: &[&str]| -> BTreeSet<String> {
            names.iter().flat_map(|name| targets(&value[*name])).collect()
        };
        Facts {
            kind: resource.kind.clone(),
            digest: sha256_hex(&[&resource.bytes]),
            patient: match resource.kind.as_str() {
                "Patient" => Some(resource.reference()),
                _ => patient,
            },
            encounters,
            references,
            orders: listed(&["basedOn", "authorizingPrescription", "partOf", "request"]),
            parts: listed(&["result", "hasMember"]),
            finished: is_encounter && value["status"] == "finished",
            is_visit: is_encounter && !NO_VISIT.iter().any(|word| value["status"] == *word),
            stands: stands(&resource.kind, &value),
            laboratory: is_laboratory(&value),
            in_error: is_in_error(&value),
            labelled: is_labelled(&value),
            substance_use: tells_of_substance_use(&value),
            upon: listed(&["basedOn", "authorizingPrescription", "request"]),
            opaque: matches!(resource.kind.as_str(), "Composition" | "DocumentReference" | "Media"),
            says_day: when.and_then(ends).is_some_and(|(start, _)| start.len() >= DAY_CHARS),
            days: when.and_then(days),
            lasting: lasting(&resource.kind, &value, when.and_then(days)),
            moments: when.and_then(moments),
        }
    }

    /// Whether it says nowhere to which encounter it belongs.
    pub(super) fn is_unlinked(&self) -> bool {
        self.encounters.is_empty()
    }
}

/// Whether a category is the laboratory's, by US Core's code for Observations or by v2 table 0074
/// for reports.
pub(super) fn is_laboratory(value: &Value) -> bool {
    let categories = value["category"].as_array().map(Vec::as_slice).unwrap_or_default();
    let codings = categories.iter().flat_map(|category| category["coding"].as_array()).flatten();
    codings.into_iter().any(|coding| coding["code"] == "laboratory" || coding["code"] == "LAB")
}

fn is_in_error(value: &Value) -> bool {
    const WORD: &str = "entered-in-error";
    let verified = value["verificationStatus"]["coding"].as_array();
    value["status"] == WORD || verified.into_iter().flatten().any(|coding| coding["code"] == WORD)
}

fn is_labelled(value: &Value) -> bool {
    let labels = value["meta"]["security"].as_array().into_iter().flatten();
    labels.into_iter().any(|label| label["code"] == "R" || label["code"] == "V")
}

/// Codes of SNOMED CT that Synthea's charts use for substance use and its treatment.
const SUBSTANCE_USE: [&str; 7] =
    ["5602001", "7200002", "31956009", "56876005", "66590003", "75544000", "191816009"];

fn tells_of_substance_use(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(tells_of_substance_use),
        Value::Object(members) => {
            let is_code = value["system"] == "http://snomed.info/sct"
                && SUBSTANCE_USE.iter().any(|code| value["code"] == *code);
            is_code || members.values().any(tells_of_substance_use)
        }
        _ => false,
    }
}

fn stands(kind: &str, value: &Value) -> bool {
    let Some((_, element, ended)) = STANDING.iter().find(|(one, _, _)| *one == kind) else {
        return false;
    };
    let abated =
        value.as_object().is_some_and(|all| all.keys().any(|name| name.starts_with("abatement")));
    let codings = value[*element]["coding"].as_array().into_iter().flatten();
    let said = codings.map(|coding| &coding["code"]).chain([&value[*element]]);
    let mut said = said.filter_map(Value::as_str);
    !abated && !said.any(|word| ended.contains(&word))
}

/// The element that says when; a note is of the period that it documents, a specimen of the day it
/// was taken.
fn when<'v>(kind: &str, value: &'v Value) -> Option<&'v Value> {
    let found = |at: &'v Value| (!at.is_null()).then_some(at);
    match kind {
        "DocumentReference" if !value["context"]["period"].is_null() => {
            found(&value["context"]["period"])
        }
        "Specimen" => found(&value["collection"]["collectedDateTime"])
            .or_else(|| found(&value["collection"]["collectedPeriod"])),
        _ => WHEN.iter().find_map(|name| found(&value[*name])),
    }
}

/// The ends of a moment or a period, as written; where one is missing, the other stands for both.
fn ends(when: &Value) -> Option<(&str, &str)> {
    if let Some(text) = when.as_str() {
        return Some((text, text));
    }
    let (start, end) = (when["start"].as_str(), when["end"].as_str());
    Some((start.or(end)?, end.or(start)?))
}

fn days(when: &Value) -> Option<Span<String>> {
    let (start, end) = ends(when)?;
    let day = |text: &str, month: &str, day: &str| match text.len() {
        4 => Some(format!("{text}-{month}-{day}")),
        7 => Some(format!("{text}-{day}")),
        10.. => text.get(..10).map(str::to_owned),
        _ => None,
    };
    Some(Span { first: day(start, "01", "01")?, last: day(end, "12", "31")? })
}

fn lasting(kind: &str, value: &Value, begun: Option<Span<String>>) -> Option<Span<String>> {
    let Span { first, last } = begun?;
    let abated = days(&value["abatementDateTime"]).map(|abated| abated.last);
    let last = if kind == "Condition" { abated.unwrap_or("9999-12-31".to_owned()) } else { last };
    Some(Span { first, last })
}

fn moments(when: &Value) -> Option<Span<i64>> {
    let (start, end) = ends(when)?;
    let moment = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
    Some(Span { first: moment(start)?, last: moment(end)? })
}

/// The encounters of a resource: `encounter` (most types), `context` (administrations and
/// dispenses in R4), `context.encounter` (DocumentReference).
fn encounters_of(value: &Value) -> BTreeSet<String> {
    let places = [&value["encounter"], &value["context"], &value["context"]["encounter"]];
    let found = places.into_iter().flat_map(targets);
    found.filter(|target| target.starts_with("Encounter/")).collect()
}

/// The targets of a Reference, or of a list of them.
fn targets(place: &Value) -> Vec<String> {
    let one = std::slice::from_ref(place);
    let all = place.as_array().map_or(one, Vec::as_slice).iter();
    all.filter_map(|reference| reference["reference"].as_str().and_then(relative)).collect()
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "reference" => found.extend(relative(text)),
                    other => collect_references(other, found),
                }
            }
        }
        _ => {}
    }
}

/// `Type/id` of a relative reference, without a version; none for fragments, other addresses and
/// references that are not resolved.
pub(super) fn relative(reference: &str) -> Option<String> {
    let reference = reference.split("/_history/").next()?;
    let (kind, id) = reference.split_once('/')?;
    let plain = kind.chars().all(|c| c.is_ascii_alphanumeric()) && !id.contains(['/', '?', '#']);
    (plain && !kind.is_empty()).then(|| reference.to_owned())
}
