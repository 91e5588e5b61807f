//! Words: FHIR's data types as people say them.
//!
//! Comes in   elements of a resource.
//! Goes out   short texts; empty where there is nothing to say.
//! Never      guesses a unit, a number or a date: what stands there is shown as it stands.

use serde_json::Value;

/// A string element, or nothing.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        _ => String::new(),
    }
}

/// The items of an element that repeats; nothing for other kinds.
pub(super) fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

/// Texts that are there, joined.
pub(super) fn joined(texts: impl IntoIterator<Item = String>, between: &str) -> String {
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(between)
}

/// A CodeableConcept: its text, else the first display, else the first code.
pub(super) fn concept(value: &Value) -> String {
    let text = plain(&value["text"]);
    if !text.is_empty() {
        return text;
    }
    let codings = || each(&value["coding"]);
    let display = codings().map(|coding| plain(&coding["display"])).find(|it| !it.is_empty());
    display.or_else(|| codings().map(coding).find(|it| !it.is_empty())).unwrap_or_default()
}

/// A Coding: display, else code.
pub(super) fn coding(value: &Value) -> String {
    let display = plain(&value["display"]);
    if display.is_empty() { plain(&value["code"]) } else { display }
}

/// CodeableConcepts, joined.
pub(super) fn concepts(value: &Value) -> String {
    joined(each(value).map(concept), ", ")
}

/// A HumanName: text, else prefix, given and family.
pub(super) fn name(value: &Value) -> String {
    let text = plain(&value["text"]);
    if !text.is_empty() {
        return text;
    }
    let parts = each(&value["prefix"]).chain(each(&value["given"])).map(plain);
    joined(parts.chain([plain(&value["family"])]), " ")
}

/// The first name of a person.
pub(super) fn first_name(value: &Value) -> String {
    each(&value["name"]).map(name).next().unwrap_or_default()
}

/// A date or time as it stands, without fractions of a second.
pub(super) fn time(value: &Value) -> String {
    let text = plain(value);
    match text.split_once('T') {
        None => text,
        Some((date, rest)) => {
            let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
            let clock: String = rest[..zone].chars().take(5).collect();
            let zone = if rest[zone..].starts_with('Z') { " UTC" } else { &rest[zone..] };
            format!("{date} {clock}{zone}")
        }
    }
}

/// A Period: from and to.
pub(super) fn period(value: &Value) -> String {
    match (time(&value["start"]), time(&value["end"])) {
        (start, end) if start == end || end.is_empty() => start,
        (start, end) if start.is_empty() => format!("until {end}"),
        (start, end) => format!("{start} to {end}"),
    }
}

/// A Quantity: comparator, number and unit, digit for digit.
pub(super) fn quantity(value: &Value) -> String {
    let unit = plain(&value["unit"]);
    let unit = if unit.is_empty() { plain(&value["code"]) } else { unit };
    let number = joined([plain(&value["comparator"]), plain(&value["value"])], " ");
    joined([number, unit], " ")
}

/// A Range or a reference range: low to high.
pub(super) fn range(value: &Value) -> String {
    let text = plain(&value["text"]);
    match (quantity(&value["low"]), quantity(&value["high"])) {
        _ if !text.is_empty() => text,
        (low, high) if low.is_empty() && high.is_empty() => String::new(),
        (low, high) if low.is_empty() => format!("up to {high}"),
        (low, high) if high.is_empty() => format!("from {low}"),
        (low, high) => format!("{low} to {high}"),
    }
}

/// `value[x]` of an Observation or component.
pub(super) fn measured(value: &Value) -> String {
    let texts = [
        quantity(&value["valueQuantity"]),
        concept(&value["valueCodeableConcept"]),
        plain(&value["valueString"]),
        plain(&value["valueInteger"]),
        plain(&value["valueBoolean"]),
        range(&value["valueRange"]),
        time(&value["valueDateTime"]),
        plain(&value["valueTime"]),
        period(&value["valuePeriod"]),
        ratio(&value["valueRatio"]),
    ];
    let absent = concept(&value["dataAbsentReason"]);
    let told = joined(texts, ", ");
    match (told.is_empty(), absent.is_empty()) {
        (true, false) => format!("not given: {absent}"),
        _ => told,
    }
}

fn ratio(value: &Value) -> String {
    let (over, under) = (quantity(&value["numerator"]), quantity(&value["denominator"]));
    joined([over, under], " to ")
}

/// Identifiers with what they are, joined.
pub(super) fn identifiers(value: &Value) -> String {
    joined(each(value).map(identifier), "; ")
}

fn identifier(value: &Value) -> String {
    let kind = each(&value["type"]["coding"]).map(|coding| plain(&coding["code"])).next();
    let system = plain(&value["system"]);
    let what = match (kind.as_deref(), system.as_str()) {
        (Some("MR"), _) => "record number".to_owned(),
        (Some("MB"), _) => "member id".to_owned(),
        (Some("SS"), _) | (_, "http://hl7.org/fhir/sid/us-ssn") => "social security".to_owned(),
        (_, "http://hl7.org/fhir/sid/us-npi") => "NPI".to_owned(),
        (Some("TAX"), _) => "tax number".to_owned(),
        _ => concept(&value["type"]),
    };
    let number = plain(&value["value"]);
    joined([what, number], " ")
}
