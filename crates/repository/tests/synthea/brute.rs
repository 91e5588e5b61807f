//! Brute: what a search must give, counted over the files by hand.
//!
//! Comes in   Bundles of others as trees; where each entry was filed.
//! Goes out   for any search, the ids that fit.
//! Never      uses a line of the houses' own reading of FHIR: dates, codes and references are read
//!            a second time here.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// One entry of a file, and where it stands in the house.
pub(crate) struct Filed {
    pub(crate) kind: String,
    pub(crate) id: String,
    /// The file it came in.
    pub(crate) file: usize,
    pub(crate) tree: Value,
    /// `Patient/id` of everybody it is about.
    about: BTreeSet<String>,
}

/// All that was filed, and what references in the files mean.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) all: Vec<Filed>,
    /// `urn:uuid:…` and `Type?identifier=…` as `Type/id`.
    names: BTreeMap<String, String>,
}

/// The files, the two with information first, then so many patients.
pub(crate) fn files(folder: &Path, patients: usize) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "gz"));
    paths.sort();
    let (information, mut charts): (Vec<_>, Vec<_>) = paths
        .into_iter()
        .partition(|path| path.file_name().unwrap().to_str().unwrap().contains("Information"));
    charts.truncate(patients);
    [information, charts].concat()
}

/// The text of a file.
pub(crate) fn unpack(path: &Path) -> String {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

impl Shelf {
    /// Adds a Bundle; `places` says where each of its entries was filed.
    pub(crate) fn add(&mut self, file: usize, bundle: &Value, places: &[(String, String)]) {
        let first = self.all.len();
        for (entry, (kind, id)) in bundle["entry"].as_array().unwrap().iter().zip(places) {
            let tree = entry["resource"].clone();
            assert_eq!(tree["resourceType"], kind.as_str());
            let place = format!("{kind}/{id}");
            if let Some(url) = entry["fullUrl"].as_str() {
                self.names.insert(url.to_owned(), place.clone());
            }
            for identifier in tree["identifier"].as_array().into_iter().flatten() {
                let (system, value) = (&identifier["system"], &identifier["value"]);
                if let (Some(system), Some(value)) = (system.as_str(), value.as_str()) {
                    let name = format!("{kind}?identifier={system}|{value}");
                    self.names.insert(name, place.clone());
                }
            }
            let (kind, id, about) = (kind.clone(), id.clone(), BTreeSet::new());
            self.all.push(Filed { kind, id, file, tree, about });
        }
        for number in first..self.all.len() {
            self.all[number].about = self.named_patients(&self.all[number]);
        }
    }

    /// Where a reference of the files leads.
    pub(crate) fn place(&self, reference: &str) -> Option<&str> {
        self.names.get(reference).map(String::as_str)
    }

    pub(crate) fn of(&self, kind: &str) -> impl Iterator<Item = &Filed> {
        self.all.iter().filter(move |one| one.kind == kind)
    }

    /// Ids that fit every parameter.
    pub(crate) fn search(&self, kind: &str, parameters: &[(String, String)]) -> BTreeSet<String> {
        let fits =
            |one: &&Filed| parameters.iter().all(|(name, value)| self.fits(one, name, value));
        self.of(kind).filter(fits).map(|one| one.id.clone()).collect()
    }

    /// `Type/id` of the Patient and all that names it, and of what those name that names nobody.
    pub(crate) fn everything(&self, patient: &str) -> BTreeSet<String> {
        let me = format!("Patient/{patient}");
        let place = |one: &Filed| format!("{}/{}", one.kind, one.id);
        let by_place: BTreeMap<_, _> = self.all.iter().map(|one| (place(one), one)).collect();
        let chart = self.all.iter().filter(|one| place(one) == me || one.about.contains(&me));
        let mut found = BTreeSet::new();
        for one in chart {
            found.insert(place(one));
            let mut named = Vec::new();
            references(&one.tree, &mut named);
            for reference in named {
                let Some(target) = self.place(&reference).and_then(|it| by_place.get(it)) else {
                    continue;
                };
                if target.kind != "Patient" && target.about.is_empty() {
                    found.insert(place(target));
                }
            }
        }
        found
    }

    fn named_patients(&self, one: &Filed) -> BTreeSet<String> {
        let named = match one.kind.as_str() {
            "Provenance" => nodes(&one.tree, "target.reference"),
            _ => [nodes(&one.tree, "subject.reference"), nodes(&one.tree, "patient.reference")]
                .concat(),
        };
        let places = named.into_iter().filter_map(|it| self.place(it.as_str().unwrap()));
        places.filter(|it| it.starts_with("Patient/")).map(str::to_owned).collect()
    }

    fn fits(&self, one: &Filed, name: &str, value: &str) -> bool {
        value.split(',').any(|value| match name {
            "_id" => one.id == value,
            "patient" | "subject" => {
                let wanted = format!("Patient/{}", value.trim_start_matches("Patient/"));
                one.about.contains(&wanted)
            }
            "encounter" | "context" => {
                let wanted = format!("Encounter/{}", value.trim_start_matches("Encounter/"));
                let paths = ["encounter", "context", "context.encounter", "item.encounter"];
                paths
                    .iter()
                    .flat_map(|path| nodes(&one.tree, &format!("{path}.reference")))
                    .any(|named| self.place(named.as_str().unwrap_or_default()) == Some(&wanted))
            }
            "target" => nodes(&one.tree, "target.reference")
                .iter()
                .any(|named| self.place(named.as_str().unwrap()) == Some(value)),
            "status" => one.tree["status"] == value,
            "identifier" => coded(&nodes(&one.tree, "identifier"), value),
            "category" => coded(&nodes(&one.tree, "category"), value),
            "code" => {
                let paths = ["code", "medicationCodeableConcept", "reaction.substance"];
                coded(
                    &paths.iter().flat_map(|path| nodes(&one.tree, path)).collect::<Vec<_>>(),
                    value,
                )
            }
            name if Some(name) == date_of(&one.kind).map(|it| it.0) => {
                let paths = date_of(&one.kind).unwrap().1;
                let span = paths.iter().flat_map(|path| nodes(&one.tree, path)).find_map(span_of);
                span.is_some_and(|span| compares(span, value))
            }
            name => panic!("no reading of {name} here"),
        })
    }
}

/// The date parameter of a type and the elements it asks about.
pub(crate) fn date_of(kind: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match kind {
        "Observation" | "DiagnosticReport" => ("date", &["effectiveDateTime", "effectivePeriod"]),
        "Procedure" => ("date", &["performedDateTime", "performedPeriod"]),
        "Encounter" | "CarePlan" | "CareTeam" => ("date", &["period"]),
        "DocumentReference" => ("date", &["date"]),
        "Immunization" => ("date", &["occurrenceDateTime"]),
        "AllergyIntolerance" => ("date", &["recordedDate"]),
        "Condition" => ("recorded-date", &["recordedDate"]),
        "MedicationRequest" => ("authoredon", &["authoredOn"]),
        "MedicationAdministration" => ("effective-time", &["effectiveDateTime"]),
        "Claim" | "ExplanationOfBenefit" => ("created", &["created"]),
        "ImagingStudy" => ("started", &["started"]),
        "Provenance" => ("recorded", &["recorded"]),
        _ => return None,
    })
}

/// All values at a path; lists count as their items.
pub(crate) fn nodes<'t>(tree: &'t Value, path: &str) -> Vec<&'t Value> {
    let each = |value: &'t Value| match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        value => vec![value],
    };
    path.split('.')
        .fold(vec![tree], |found, name| found.into_iter().flat_map(|it| each(&it[name])).collect())
}

fn references(tree: &Value, found: &mut Vec<String>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            found.extend(members.get("reference").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        _ => {}
    }
}

/// System and code of all codings, codes and identifiers.
pub(crate) fn pairs(found: &[&Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut pairs = Vec::new();
    for one in found {
        match one {
            Value::String(code) => pairs.push((String::new(), code.clone())),
            one if one["coding"].is_array() => {
                let codings = one["coding"].as_array().unwrap();
                pairs.extend(codings.iter().map(|it| (text(&it["system"]), text(&it["code"]))));
            }
            one if one["value"].is_string() => {
                pairs.push((text(&one["system"]), text(&one["value"])));
            }
            _ => {}
        }
    }
    pairs
}

fn coded(found: &[&Value], wanted: &str) -> bool {
    pairs(found).iter().any(|(system, code)| match wanted.split_once('|') {
        Some((wanted_system, wanted)) => system == wanted_system && code == wanted,
        None => code == wanted,
    })
}

/// From and until, in microseconds of the years since 1970; both ends may be open.
type Span = (i128, i128);

const DAY: i128 = 86_400_000_000;

fn span_of(value: &Value) -> Option<Span> {
    if let Some(text) = value.as_str() {
        return Some(span(text));
    }
    let part = |name: &str| value[name].as_str().map(span);
    match (part("start"), part("end")) {
        (None, None) => None,
        (start, end) => {
            Some((start.map_or(i128::MIN, |it| it.0), end.map_or(i128::MAX, |it| it.1)))
        }
    }
}

/// Days since 1970 by counting years and months.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let leap = |year: i128| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let year_days = |year: i128| if leap(year) { 366 } else { 365 };
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i128 = match year >= 1970 {
        true => (1970..year).map(year_days).sum(),
        false => -(year..1970).map(year_days).sum::<i128>(),
    };
    years + lengths[..(month - 1) as usize].iter().sum::<i128>() + day - 1
}

fn span(text: &str) -> Span {
    let number = |part: &str| part.parse::<i128>().unwrap();
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let parts: Vec<_> = date.split('-').map(number).collect();
    let Some(time) = time else {
        return match parts[..] {
            [year] => (days(year, 1, 1) * DAY, days(year + 1, 1, 1) * DAY),
            [year, 12] => (days(year, 12, 1) * DAY, days(year + 1, 1, 1) * DAY),
            [year, month] => (days(year, month, 1) * DAY, days(year, month + 1, 1) * DAY),
            [year, month, day] => {
                let start = days(year, month, day) * DAY;
                (start, start + DAY)
            }
            _ => panic!("no date"),
        };
    };
    let split = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(split);
    let offset = match zone {
        "" | "Z" => 0,
        zone => {
            let (hours, minutes) = zone[1..].split_once(':').unwrap();
            let minutes = number(hours) * 60 + number(minutes);
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut units = whole.split(':').map(number);
    let (hour, minute, second) = (units.next().unwrap(), units.next().unwrap(), units.next());
    let fraction_unit = 10_i128.pow(6 - fraction.len() as u32);
    let step = match (second, fraction) {
        (None, _) => 60_000_000,
        (_, "") => 1_000_000,
        _ => fraction_unit,
    };
    let fraction = if fraction.is_empty() { 0 } else { number(fraction) * fraction_unit };
    let seconds = hour * 3600 + (minute - offset) * 60 + second.unwrap_or(0);
    let start = days(parts[0], parts[1], parts[2]) * DAY + seconds * 1_000_000 + fraction;
    (start, start + step)
}

/// R4 §3.1.1.4.5, as it is written there: the range of the record against the range asked for.
fn compares(record: Span, value: &str) -> bool {
    let (prefix, date) = match value.starts_with(|first: char| first.is_ascii_lowercase()) {
        true => value.split_at(2),
        false => ("eq", value),
    };
    let asked = span(date);
    let within = asked.0 <= record.0 && record.1 <= asked.1;
    // The range above begins where the range asked for ends, and has no end.
    let above = record.1 > asked.1;
    let below = record.0 < asked.0;
    match prefix {
        "eq" => within,
        "ne" => !within,
        "gt" => above,
        "ge" => above || within,
        "lt" => below,
        "le" => below || within,
        "sa" => record.0 >= asked.1,
        "eb" => record.1 <= asked.0,
        "ap" => record.0 < asked.1 && asked.0 < record.1,
        _ => panic!("no prefix"),
    }
}
