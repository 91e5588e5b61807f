//! Asked: the parameters of a kick-off request, read (Bulk Data 1.0.0 to 3.0.0, and what the ballot of
//! 4.0.0 writes otherwise).
//!
//! Comes in   a kick-off, who sent it, the time.
//! Goes out   what is to be given, and the URL that the manifest repeats.
//! Never      more records than were asked for: what would narrow them and is not understood is refused,
//!            or passed over where the caller prefers that, and told; `patient` is never passed over.

use exchange::export::parameters::{self, invalid, shown, unsupported};
use exchange::export::{Asked, Associated, Level, Wording};
use exchange::query::Handling;
use exchange::{Issue, place};
use fhir::{is_id, r4};
use jiff::Timestamp;
use repository::{Elements, Filter};
use std::collections::BTreeSet;
use wire::Caller;
use wire::rest::KickOff;

/// A kick-off as it was understood, before anybody has looked whether those it names are here.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) asked: Asked,
    /// The URL, and the filters; its Patients are still to be looked for.
    pub(super) wording: Wording,
    /// Logical ids of Patients, as named.
    pub(super) patients: Option<BTreeSet<String>>,
    pub(super) lenient: bool,
}

/// Reads a kick-off of a reader below this base URL.
///
/// Errors: `ParameterInvalid`, `ParameterUnsupported`, `ScopeMissing`, naming the parameter and no
/// value.
pub(super) fn read(
    base: &str,
    kick_off: &KickOff,
    caller: &Caller,
    now: Timestamp,
) -> Result<Request, Issue> {
    let lenient = kick_off.prefer.handling == Handling::Lenient;
    let mut reading = Reading { base, level: Some(&kick_off.level), lenient, ..Reading::default() };
    for (name, value) in &kick_off.parameters {
        if reading.parameter(name, value)? {
            reading.understood.push((name, value));
        }
    }
    reading.agree(now)?;
    let alone = matches!(kick_off.level, Level::Group(_)) || reading.patients.is_some();
    let kinds = kinds(&kick_off.level, reading.kinds.as_ref(), lenient, alone)?;
    let kinds = caller.exported(kinds, reading.kinds.is_some())?;
    if reading.associated.is_some() {
        caller.require("Provenance", 'r')?;
    }
    if reading.by_patient {
        caller.require("Patient", 'r')?;
    }
    if let Some(kinds) = &kinds {
        let (asked, beyond): (Vec<_>, Vec<_>) = reading
            .filters
            .into_iter()
            .partition(|(filter, _)| kinds.iter().any(|kind| kind == filter.kind()));
        if !beyond.is_empty() && !lenient {
            return Err(invalid("_typeFilter", "it is about a type that is not asked for"));
        }
        reading.passed_over.extend(beyond.iter().map(|_| "_typeFilter".to_owned()));
        reading.filters = asked;
    }
    let request = kick_off.url(base, reading.understood);
    let filters = reading.filters.into_iter().map(|(_, text)| text).collect();
    let asked = Asked {
        kinds,
        since: reading.since,
        until: reading.until,
        elements: reading.elements,
        associated: reading.associated,
        by_patient: reading.by_patient,
        in_pages: reading.in_pages,
        status_apart: kick_off.prefer.status_apart,
        passed_over: reading.passed_over,
        ..Asked::default()
    };
    let wording = Wording { request, patients: None, filters };
    Ok(Request { asked, wording, patients: reading.patients, lenient })
}

#[derive(Default)]
struct Reading<'k> {
    base: &'k str,
    level: Option<&'k Level>,
    lenient: bool,
    kinds: Option<BTreeSet<String>>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    patients: Option<BTreeSet<String>>,
    filters: Vec<(Filter, String)>,
    elements: Vec<String>,
    associated: Option<Associated>,
    by_patient: bool,
    in_pages: bool,
    passed_over: Vec<String>,
    understood: Vec<(&'k str, &'k str)>,
}

impl Reading<'_> {
    /// Takes a parameter up; whether something of it was understood.
    fn parameter(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        let before = self.passed_over.len();
        match name {
            "_outputFormat" => parameters::output_format(value)?,
            "_since" => once(&mut self.since, name, instant(name, value)?)?,
            "_until" => once(&mut self.until, name, instant(name, value)?)?,
            "_type" => {
                self.kinds.get_or_insert_default();
                return self.each(name, value.split(','), |own, kind| {
                    let kind = parameters::kind(kind)?;
                    own.kinds.get_or_insert_default().insert(kind.to_owned());
                    Ok(())
                });
            }
            "_elements" => {
                return self.each(name, value.split(','), |own, element| {
                    Elements::default().add(element)?;
                    own.elements.push(element.to_owned());
                    Ok(())
                });
            }
            "_typeFilter" => {
                return self.each(name, parted(value).into_iter(), |own, text| {
                    own.filters.push((Filter::read(own.base, text)?, text.to_owned()));
                    Ok(())
                });
            }
            "includeAssociatedData" => {
                return self.each(name, value.split(','), |own, code| {
                    let more = Associated::of_code(code).ok_or_else(|| unsupported(name))?;
                    // Of values that disagree, the one that gives more counts.
                    own.associated = own.associated.max(Some(more));
                    Ok(())
                });
            }
            "organizeOutputBy" => match value {
                "Patient" => self.by_patient = true,
                _ if self.lenient => self.passed_over.push(name.to_owned()),
                _ => return Err(unsupported(name)),
            },
            "allowPartialManifests" => match value {
                "true" | "false" => self.in_pages = value == "true",
                _ => return Err(invalid(name, "it is true or false")),
            },
            // Passed over, it would give records of others.
            "patient" => self.patient(name, value)?,
            _ if self.lenient => self.passed_over.push(shown(name).to_owned()),
            _ => return Err(unsupported(name)),
        }
        Ok(self.passed_over.len() == before)
    }

    /// Takes up each of the values that stand in one; whether one of them was understood.
    fn each<'v>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = &'v str>,
        take: impl Fn(&mut Self, &str) -> Result<(), Issue>,
    ) -> Result<bool, Issue> {
        let mut understood = false;
        for value in values.map(str::trim) {
            match take(self, value) {
                Ok(()) => understood = true,
                Err(_) if self.lenient => self.passed_over.push(name.to_owned()),
                Err(issue) => return Err(issue),
            }
        }
        Ok(understood)
    }

    fn patient(&mut self, name: &str, value: &str) -> Result<(), Issue> {
        if let Some(Level::System) = self.level {
            return Err(invalid(
                name,
                "on the level of the system, nobody is named; ask for Patients",
            ));
        }
        let patients = self.patients.get_or_insert_default();
        for reference in value.split(',').map(str::trim) {
            let local = place::under(reference, self.base).unwrap_or(reference);
            let id = match place::parts(local) {
                Some(("Patient", id, None)) => Some(id),
                _ => Some(local).filter(|id| is_id(id)),
            };
            let id = id.ok_or_else(|| invalid(name, "Patients are named like Patient/id"))?;
            patients.insert(id.to_owned());
        }
        Ok(())
    }

    /// What parameters say of each other.
    fn agree(&mut self, now: Timestamp) -> Result<(), Issue> {
        if let Some(since) = self.since {
            if since > now {
                return Err(invalid("_since", "it is a time to come"));
            }
            if self.until.is_some_and(|until| until <= since) {
                return Err(invalid("_until", "it is not behind _since"));
            }
        }
        if self.by_patient && self.associated.is_some() {
            if !self.lenient {
                return Err(unsupported("includeAssociatedData"));
            }
            self.associated = None;
            self.passed_over.push("includeAssociatedData".to_owned());
        }
        Ok(())
    }
}

/// The filters that stand in one value: commas part them where a type follows, for commas are part of
/// searches too (Bulk Data 1.0.0, `_typeFilter`).
fn parted(value: &str) -> Vec<&str> {
    let begins = |text: &str| {
        let (kind, query) = text.split_once('?').unwrap_or_default();
        !query.is_empty() && r4::Type::named(kind.trim()).is_some()
    };
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, _) in value.match_indices(',') {
        if begins(&value[at + 1..]) {
            parts.push(&value[from..at]);
            from = at + 1;
        }
    }
    parts.push(&value[from..]);
    parts
}

fn once(held: &mut Option<Timestamp>, name: &str, at: Timestamp) -> Result<(), Issue> {
    match held.replace(at) {
        None => Ok(()),
        Some(_) => Err(invalid(name, "it is given once")),
    }
}

fn instant(name: &str, value: &str) -> Result<Timestamp, Issue> {
    let instant = value.replace(' ', "+").parse();
    instant.map_err(|_| invalid(name, "an instant has a date, a time and a zone"))
}

/// The types that a level and a list mean, sorted; `None`: all there are.
///
/// On the level of Patients: their compartment, and what helps to read it; a Binary does not say whom
/// it is about, and is given on the level of the system only. A Group names others as well, and is not
/// given where some Patients are asked for `alone`.
fn kinds(
    level: &Level,
    named: Option<&BTreeSet<String>>,
    lenient: bool,
    alone: bool,
) -> Result<Option<Vec<String>>, Issue> {
    if *level == Level::System {
        return Ok(named.map(|named| named.iter().cloned().collect()));
    }
    let compartment: BTreeSet<&str> =
        repository::about_patients().chain(["Patient", "Provenance"]).collect();
    let helpful =
        repository::known().filter(|kind| *kind != "Binary" && !(alone && *kind == "Group"));
    let all: BTreeSet<&str> = compartment.iter().copied().chain(helpful).collect();
    let Some(named) = named else {
        return Ok(Some(all.into_iter().map(str::to_owned).collect()));
    };
    if !lenient && !named.iter().any(|kind| compartment.contains(kind.as_str())) {
        let detail = "none of these types is about a Patient; ask on the level of the system";
        return Err(invalid("_type", detail));
    }
    Ok(Some(named.iter().filter(|kind| all.contains(kind.as_str())).cloned().collect()))
}
