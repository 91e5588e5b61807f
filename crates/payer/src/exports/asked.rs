//! Asked: the parameters of a kick-off request, read (Bulk Data 2.0.0, query parameters; `_until` of 3.0.0).
//!
//! Comes in   a kick-off, who sent it, the time.
//! Goes out   what is to be given, and the URL that the manifest repeats.
//! Never      more records than were asked for: what would narrow them and is not understood is refused,
//!            `patient` whatever the caller prefers.

use crate::limits::EXPORT_NAME_SHOWN;
use exchange::export::{Asked, Level};
use exchange::query::Handling;
use exchange::{Code, Issue};
use fhir::r4;
use jiff::Timestamp;
use std::collections::BTreeSet;
use wire::Caller;
use wire::rest::KickOff;

/// The spellings of NDJSON that every server takes (Bulk Data 2.0.0, `_outputFormat`).
const NDJSON: [&str; 3] = ["application/fhir+ndjson", "application/ndjson", "ndjson"];

/// Reads a kick-off of a reader below this base URL.
///
/// Errors: `ParameterInvalid`, `ParameterUnsupported`, `ScopeMissing`, naming the parameter and no
/// value.
pub(super) fn read(
    base: &str,
    kick_off: &KickOff,
    caller: &Caller,
    now: Timestamp,
) -> Result<Asked, Issue> {
    let mut reading =
        Reading { lenient: kick_off.prefer.handling == Handling::Lenient, ..Reading::default() };
    for (name, value) in &kick_off.parameters {
        if reading.parameter(name, value)? {
            reading.understood.push((name, value));
        }
    }
    if let Some(since) = reading.since {
        if since > now {
            return Err(invalid("_since", "it is a time to come"));
        }
        if reading.until.is_some_and(|until| until <= since) {
            return Err(invalid("_until", "it is not behind _since"));
        }
    }
    let kinds = kinds(&kick_off.level, reading.kinds.as_ref(), reading.lenient)?;
    let kinds = permitted(caller, kinds, reading.kinds.is_some())?;
    let path = match kick_off.level {
        Level::Patient => "Patient/$export",
        Level::System | Level::Group(_) => "$export",
    };
    let request = match kick_off.posted || reading.understood.is_empty() {
        true => format!("{base}/{path}"),
        false => format!("{base}/{path}?{}", wire::urlencoded::encode(reading.understood)),
    };
    let (since, until) = (reading.since, reading.until);
    Ok(Asked { request, kinds, since, until, passed_over: reading.passed_over })
}

#[derive(Default)]
struct Reading<'k> {
    lenient: bool,
    kinds: Option<BTreeSet<String>>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    passed_over: Vec<String>,
    understood: Vec<(&'k str, &'k str)>,
}

impl Reading<'_> {
    /// Takes a parameter up; whether it was understood.
    fn parameter(&mut self, name: &str, value: &str) -> Result<bool, Issue> {
        match name {
            // A plus sign in a query is a blank unless it was escaped; many clients forget.
            "_outputFormat" if NDJSON.contains(&value.replace(' ', "+").as_str()) => {}
            "_outputFormat" => return Err(invalid(name, "files are NDJSON here")),
            "_since" => once(&mut self.since, name, instant(name, value)?)?,
            "_until" => once(&mut self.until, name, instant(name, value)?)?,
            "_type" => {
                let kinds = self.kinds.get_or_insert_default();
                for kind in value.split(',').map(str::trim) {
                    match r4::Type::named(kind).filter(|one| one.is_resource()) {
                        Some(_) => drop(kinds.insert(kind.to_owned())),
                        None if self.lenient => self.passed_over.push(name.to_owned()),
                        None => return Err(invalid(name, "this is no list of types of R4")),
                    }
                }
            }
            // Without it, records of others would be given.
            "patient" => return Err(unsupported(name)),
            _ if self.lenient => {
                self.passed_over.push(shown(name).to_owned());
                return Ok(false);
            }
            _ => return Err(unsupported(name)),
        }
        Ok(true)
    }
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
/// it is about, and is given on the level of the system only.
fn kinds(
    level: &Level,
    named: Option<&BTreeSet<String>>,
    lenient: bool,
) -> Result<Option<Vec<String>>, Issue> {
    if *level != Level::Patient {
        return Ok(named.map(|named| named.iter().cloned().collect()));
    }
    let compartment: BTreeSet<&str> =
        repository::about_patients().chain(["Patient", "Provenance"]).collect();
    let helpful = repository::known().filter(|kind| *kind != "Binary");
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

/// What of it the token covers; what was named and is not covered is refused.
fn permitted(
    caller: &Caller,
    kinds: Option<Vec<String>>,
    named: bool,
) -> Result<Option<Vec<String>>, Issue> {
    if caller.may("system/*.rs") {
        return Ok(kinds);
    }
    let scope = |kind: &str| format!("system/{kind}.rs");
    let kinds = kinds.unwrap_or_else(|| {
        let all = r4::Type::all().filter(|one| one.is_resource());
        all.map(|one| one.name().to_owned()).collect()
    });
    if named {
        kinds.iter().try_for_each(|kind| caller.require_scope(&scope(kind)))?;
        return Ok(Some(kinds));
    }
    let kinds: Vec<String> = kinds.into_iter().filter(|kind| caller.may(&scope(kind))).collect();
    if kinds.is_empty() {
        caller.require_scope("system/*.rs")?;
    }
    Ok(Some(kinds))
}

fn invalid(name: &str, detail: &str) -> Issue {
    Issue::new(Code::ParameterInvalid, detail).at(name)
}

fn unsupported(name: &str) -> Issue {
    let detail = "this parameter of an export is not offered here";
    Issue::new(Code::ParameterUnsupported, detail).at(shown(name))
}

/// A name where it has the form of one: a mistaken one may hold anything.
fn shown(name: &str) -> &str {
    let good = (1..=EXPORT_NAME_SHOWN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if good { name } else { "a parameter" }
}
