//! Parameters of a kick-off that both houses read alike (Bulk Data 2.0.0, kick-off request).
//!
//! Comes in   names and values, as sent.
//! Goes out   what they mean; or an issue that names the parameter.
//! Never      quotes a value.

use crate::limits::EXPORT_NAME_SHOWN;
use crate::{Code, Issue};
use fhir::r4;

/// The spellings of NDJSON that every server takes (Bulk Data 2.0.0, `_outputFormat`).
const NDJSON: [&str; 3] = ["application/fhir+ndjson", "application/ndjson", "ndjson"];

/// `_outputFormat`.
///
/// Errors: `ParameterInvalid`.
pub fn output_format(value: &str) -> Result<(), Issue> {
    // A plus sign in a query is a blank unless it was escaped; many clients forget.
    match NDJSON.contains(&value.replace(' ', "+").as_str()) {
        true => Ok(()),
        false => Err(invalid("_outputFormat", "files are NDJSON here")),
    }
}

/// One of the types of `_type`.
///
/// Errors: `ParameterInvalid`.
pub fn kind(value: &str) -> Result<&str, Issue> {
    let known = r4::Type::named(value).filter(|one| one.is_resource());
    known.ok_or_else(|| invalid("_type", "this is no list of types of R4"))?;
    Ok(value)
}

/// A parameter whose value is of no use.
pub fn invalid(name: &str, detail: &str) -> Issue {
    Issue::new(Code::ParameterInvalid, detail).at(name)
}

/// A parameter that is not offered.
pub fn unsupported(name: &str) -> Issue {
    let detail = "this parameter of an export is not offered here";
    Issue::new(Code::ParameterUnsupported, detail).at(shown(name))
}

/// That a parameter was passed over, for whoever asked for leniency.
pub fn passed_over(name: &str) -> Issue {
    let detail = "this was passed over, as Prefer: handling=lenient asks for";
    Issue::new(Code::ParameterUnsupported, detail).at(name)
}

/// A name where it has the form of one: a mistaken one may hold anything.
pub fn shown(name: &str) -> &str {
    let good = (1..=EXPORT_NAME_SHOWN).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if good { name } else { "a parameter" }
}
