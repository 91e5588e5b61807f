//! Number: whose a record number is.
//!
//! Comes in   a record number as a search takes it: a value, or `system|value`; what the EHR answers.
//! Goes out   patients who say that the number is theirs; or an issue where the EHR answers others.
//! Never      takes a patient for somebody because the EHR answered them: some servers pass over what
//!            they are asked by, and answer whom they like.

use super::Source;
use exchange::{Code, Issue};
use fhir::{Node, Resource};

/// Whoever has this record number, with the id of each; nobody where the EHR knows nobody.
///
/// Errors: those of the search; `SourceUnreadable` where all who are answered are others.
pub(crate) async fn patients(
    source: &dyn Source,
    number: &str,
) -> Result<Vec<(String, Resource)>, Issue> {
    let found = source.search("Patient", &[("identifier", number)]).await?;
    let answered = !found.is_empty();
    let own = found.into_iter().filter(|one| has_number(one, number));
    let own: Vec<_> = own.filter_map(|one| Some((one.id()?.to_owned(), one))).collect();
    if answered && own.is_empty() {
        let detail = "the EHR answers a search by record number with a patient who does not have it; \
                      whoever runs its interface has to see why it passes over 'identifier'";
        return Err(Issue::new(Code::SourceUnreadable, detail).at("Patient.identifier"));
    }
    Ok(own)
}

/// Whether a Patient says that this record number is theirs: a value of any system, one of a system, or
/// (`|value`) one of none (R4 §3.1.1.4.10).
pub(crate) fn has_number(patient: &Resource, number: &str) -> bool {
    let (system, value) = match number.split_once('|') {
        Some((system, value)) => (Some(system), value),
        None => (None, number),
    };
    let doc = patient.doc();
    let mut identifiers = doc.root().get("identifier").into_iter().flat_map(|list| list.each());
    let says = |it: &Node<'_, '_>, name, text: &str| match it.get(name) {
        Some(found) => found.text().is_some_and(|found| found == text),
        None => text.is_empty(),
    };
    !value.is_empty()
        && identifiers.any(|it| {
            says(&it, "value", value) && system.is_none_or(|system| says(&it, "system", system))
        })
}

#[cfg(test)]
mod tests {
    //! Goal: a number is somebody's only where they say so themselves.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_number_is_a_patients_who_says_so() {
        let ada = r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"17"},{"value":"9"}]}"#;
        let ada = Resource::parse(ada).unwrap();
        let table = [
            ("17", true),
            ("urn:mrn|17", true),
            ("9", true),
            ("|9", true),
            ("|17", false),
            ("urn:mrn|9", false),
            ("urn:other|17", false),
            ("1", false),
            ("urn:mrn|", false),
            ("", false),
            ("|", false),
        ];
        for (number, has) in table {
            assert_eq!(has_number(&ada, number), has, "{number:?}");
        }
        assert!(!has_number(&Resource::parse(r#"{"resourceType":"Patient"}"#).unwrap(), ""));
    }
}
