//! Asked: an export in the words of a request.
//!
//! Comes in   what a person typed.
//! Goes out   path, query and Parameters, the same for the same words.
//! Never      judges them: the server says what it does not understand.

use crate::args::ExportArgs;
use bytes::Bytes;
use fhir::ParametersWriter;

/// The path below the base.
pub(super) fn path(args: &ExportArgs) -> String {
    match &args.group {
        Some(group) => format!("Group/{group}/$export"),
        None if args.patients || !args.patient.is_empty() => "Patient/$export".to_owned(),
        None => "$export".to_owned(),
    }
}

/// Names and values, repeated ones as often.
fn pairs(args: &ExportArgs) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    let mut joined = |name, values: &[String]| {
        if !values.is_empty() {
            pairs.push((name, values.join(",")));
        }
    };
    joined("_type", &args.types);
    joined("_elements", &args.elements);
    pairs.extend(args.since.iter().map(|at| ("_since", at.clone())));
    pairs.extend(args.until.iter().map(|at| ("_until", at.clone())));
    pairs.extend(args.filters.iter().map(|filter| ("_typeFilter", filter.clone())));
    pairs.extend(args.by_patient.then(|| ("organizeOutputBy", "Patient".to_owned())));
    pairs
}

/// The query of a GET.
pub(super) fn query(args: &ExportArgs) -> String {
    let pairs = pairs(args);
    wire::urlencoded::encode(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

/// The Parameters of a POST: lists are repeated, as the ballot has it and the editions before take it.
pub(super) fn parameters(args: &ExportArgs) -> Bytes {
    let mut writer = ParametersWriter::new();
    for (name, value) in pairs(args) {
        let element = match name {
            "_since" | "_until" => "valueInstant",
            _ => "valueString",
        };
        let parts: Vec<&str> = match name {
            "_type" | "_elements" => value.split(',').collect(),
            _ => vec![&value],
        };
        for part in parts {
            writer = writer.text(name, element, part);
        }
    }
    for patient in &args.patient {
        let reference = serde_json::json!({ "reference": patient }).to_string();
        writer = writer.raw("patient", "valueReference", reference.as_bytes());
    }
    writer.finish().into()
}

/// All of it in one line: whether a folder holds the same export.
pub(super) fn words(args: &ExportArgs) -> String {
    let base = args.url.trim_end_matches('/');
    format!("{base}/{}?{}&patient={}", path(args), query(args), args.patient.join(","))
}

#[cfg(test)]
mod tests {
    //! Goal: what was typed is what is asked, in either form.
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::args::{Asked, CommandLine};
    use clap::Parser;

    fn args(words: &[&str]) -> ExportArgs {
        let fixed =
            ["handover", "export", "https://plan.example/fhir", "--out", "o", "--client-id", "c"];
        let line = fixed.iter().chain(&["--key", "k"]).chain(words);
        match CommandLine::try_parse_from(line).unwrap().asked {
            Asked::Export(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_typed_is_asked() {
        let table: [(&[&str], &str, &str); 5] = [
            (&[], "$export", ""),
            (&["--patients"], "Patient/$export", ""),
            (&["--patient", "Patient/a"], "Patient/$export", ""),
            (
                &[
                    "--group",
                    "g1",
                    "--type",
                    "Patient,Observation",
                    "--since",
                    "2026-01-01T00:00:00Z",
                ],
                "Group/g1/$export",
                "_type=Patient%2CObservation&_since=2026-01-01T00%3A00%3A00Z",
            ),
            (
                &[
                    "--type-filter",
                    "Observation?code=a,b",
                    "--type-filter",
                    "Patient?_id=1",
                    "--by-patient",
                ],
                "$export",
                "_typeFilter=Observation%3Fcode%3Da%2Cb&_typeFilter=Patient%3F_id%3D1&organizeOutputBy=Patient",
            ),
        ];
        for (words, expected, asked) in table {
            let args = args(words);
            assert_eq!((path(&args).as_str(), query(&args).as_str()), (expected, asked));
        }
        let args =
            args(&["--patient", "Patient/a", "--patient", "Patient/b", "--type", "Patient,List"]);
        let body = fhir::Parameters::parse(parameters(&args)).unwrap();
        let names: Vec<_> = body.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["_type", "_type", "patient", "patient"]);
    }
}
