//! Alone: is one resource, outside any Bundle, the sender's to send, and whom is it about?
//!
//! Comes in   a resource of a file, what is agreed with its sender, the base URL of its references.
//! Goes out   the resource as it is filed: references below that base made relative; whom it is about;
//!            or every issue found.
//! Never      asks whether what it refers to is there: files come in any order, and what a resource
//!            refers to may stand in a later one.
//!
//! Why apart from the reading of a Bundle: there entries refer to each other by fullUrl and condition,
//! and are about one Patient; here each line stands or falls alone, and thousands come a second.

use super::about::{PatientsWithin, SUBJECTS, TARGETS, is_directory};
use super::entry::derived_from;
use super::{SenderTerms, place_in};
use crate::issue::{Code, Issue};
use crate::issues::Issues;
use crate::limits::{FAULTS_PER_ENTRY_MAX, REFERENCES_MAX};
use crate::path::is_resource_type;
use crate::place;
use fhir::{Node, Resource};
use std::collections::BTreeSet;

/// A resource that may be filed, once it is known whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alone {
    /// As it is filed.
    pub resource: Resource,
    /// Its logical id.
    pub id: String,
    /// Whether the id was computed again from the sender's namespace.
    pub derived: bool,
    /// Whom it is about.
    pub about: About,
}

/// Whom a resource is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Nobody's care: it is filed without a member.
    Nobody,
    /// The Patient with this logical id.
    Patient(String),
    /// Somebody's care, and it does not say whose.
    Unsaid,
    /// Of those whom these records (type and id) are about; it speaks of them, and of no Patient.
    Of(Vec<(String, String)>),
}

/// Reads one resource; `root` is its outermost value, `base` what its sender's references may stand
/// below.
///
/// Errors: `EntryInvalid`, `KindNotAgreed`, `IdentityMismatch`; their places begin with the type.
pub fn alone(
    resource: &Resource,
    root: Node<'_, '_>,
    terms: &SenderTerms,
    base: &str,
) -> Result<Alone, Issues> {
    let mut faults = Vec::new();
    let kind = resource.kind();
    let Some(id) = resource.id() else {
        let detail = "the resource has no id";
        return Err(Issue::new(Code::EntryInvalid, detail).at(root.expression()).into());
    };
    if !is_resource_type(kind) {
        let detail = "this is no resource type of R4";
        return Err(Issue::new(Code::EntryInvalid, detail).at("resourceType").into());
    }
    if resource.references().len() > REFERENCES_MAX {
        let detail = format!("the resource has more than {REFERENCES_MAX} references");
        return Err(Issue::new(Code::EntryInvalid, detail).at(kind).into());
    }
    agreed(root, terms, &mut faults);
    let derived = match terms.namespace.as_deref().map(|one| derived_from(resource, kind, one)) {
        None => false,
        Some(Ok(_)) => true,
        Some(Err((way, detail))) => {
            let place = place_in(root, way).expression();
            faults.push(Issue::new(Code::IdentityMismatch, detail).at(place));
            true
        }
    };
    let about = about(resource, root, terms, base).map_err(|issue| faults.push(issue)).ok();
    faults.truncate(FAULTS_PER_ENTRY_MAX);
    match (Issues::of(faults), about) {
        (None, Some(about)) => {
            let (resource, id) = (relative(resource, terms, base), id.to_owned());
            Ok(Alone { resource, id, derived, about })
        }
        (faults, _) => Err(faults.unwrap_or_else(|| unreadable(kind).into())),
    }
}

fn unreadable(kind: &str) -> Issue {
    Issue::new(Code::EntryInvalid, "it cannot be told whom it is about").at(kind)
}

/// The type is agreed, and so is that of every resource within.
fn agreed(resource: Node<'_, '_>, terms: &SenderTerms, faults: &mut Vec<Issue>) {
    if terms.types.is_empty() || faults.len() >= FAULTS_PER_ENTRY_MAX {
        return;
    }
    let node = place_in(resource, &["resourceType"]);
    let kind = node.text().unwrap_or_default();
    if kind != "Provenance" && !terms.types.iter().any(|agreed| *agreed == kind) {
        // Only the words of R4 are told.
        let named = if is_resource_type(&kind) { &*kind } else { "this type" };
        let detail = format!("{named} is not agreed with this sender");
        faults.push(Issue::new(Code::KindNotAgreed, detail).at(node.expression()));
    }
    let within = resource.get("contained").into_iter().flat_map(|list| list.each());
    within.for_each(|one| agreed(one, terms, faults));
}

/// Type and id of a reference to a record of this sender's, relative or below one of the two bases.
fn record<'t>(text: &'t str, terms: &SenderTerms, base: &str) -> Option<(&'t str, &'t str)> {
    place::below(text, base).or_else(|| place::below(text, &terms.base))
}

fn about(
    resource: &Resource,
    root: Node<'_, '_>,
    terms: &SenderTerms,
    base: &str,
) -> Result<About, Issue> {
    if resource.kind() == "Patient" {
        return Ok(About::Patient(resource.id().unwrap_or_default().to_owned()));
    }
    let speaks = resource.kind() == "Provenance";
    let within = PatientsWithin::of(root);
    let names = if speaks { &TARGETS[..] } else { &SUBJECTS[..] };
    let elements = names.iter().filter_map(|name| root.get(name));
    let (mut patients, mut others) = (BTreeSet::new(), Vec::new());
    for element in elements.flat_map(|element| element.each()) {
        let Some(text) = element.get("reference").and_then(|reference| reference.text()) else {
            continue;
        };
        match record(&text, terms, base) {
            Some(("Patient", id)) => drop(patients.insert(id.to_owned())),
            Some((kind, id)) => others.push((kind.to_owned(), id.to_owned())),
            None if !speaks && within.named_by(&text) => {
                let detail = "it is about a Patient who is not one of this sender's";
                return Err(Issue::new(Code::EntryInvalid, detail).at(element.expression()));
            }
            None => {}
        }
    }
    let mut patients = patients.into_iter();
    match (patients.next(), patients.next()) {
        (Some(patient), None) => return Ok(About::Patient(patient)),
        (Some(_), Some(_)) => {
            let detail = "it is about several Patients; one is needed";
            return Err(Issue::new(Code::EntryInvalid, detail).at(resource.kind()));
        }
        (None, _) => {}
    }
    if speaks && !others.is_empty() {
        let nobody = others.iter().all(|(kind, _)| is_directory(kind));
        return Ok(if nobody { About::Nobody } else { About::Of(others) });
    }
    Ok(if is_clinical(resource, root, terms, base) { About::Unsaid } else { About::Nobody })
}

/// Whether it is about somebody's care although no element says whose.
fn is_clinical(resource: &Resource, root: Node<'_, '_>, terms: &SenderTerms, base: &str) -> bool {
    let contained = || root.get("contained").into_iter().flat_map(|list| list.each());
    let within = || {
        contained().any(|one| {
            let kind = one.get("resourceType").and_then(|kind| kind.text());
            kind.is_none_or(|kind| !is_directory(&kind))
        })
    };
    let leads = || {
        let patients = PatientsWithin::of(root);
        let texts = resource.references().iter().map(|one| resource.reference_text(one));
        texts.into_iter().any(|text| match record(&text, terms, base) {
            Some((kind, _)) => kind == "Patient",
            None => patients.named_by(&text),
        })
    };
    !is_directory(resource.kind()) || within() || leads()
}

/// The same with references below the sender's base made relative: the records are filed under the
/// sender's ids, and are found by them here. All else stays, byte for byte.
fn relative(resource: &Resource, terms: &SenderTerms, base: &str) -> Resource {
    let local = |text: &str| {
        let own = place::under(text, base).or_else(|| place::under(text, &terms.base))?;
        place::parts(own).map(|_| own.to_owned())
    };
    let references = resource.references();
    match references.iter().any(|one| local(&resource.reference_text(one)).is_some()) {
        true => resource.rewrite_references(|_, text| local(text)),
        false => resource.clone(),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a line of a file is filed about the Patient it names, and about nobody else.
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BASE: &str = "https://ehr.example/fhir";

    fn terms() -> SenderTerms {
        SenderTerms {
            partner: "lab".into(),
            namespace: None,
            types: Vec::new(),
            base: "https://plan.example/fhir".to_owned(),
        }
    }

    fn read(text: &str, terms: &SenderTerms) -> Result<Alone, Issues> {
        let resource = Resource::parse(text.as_bytes().to_vec()).unwrap();
        alone(&resource, resource.doc().root(), terms, BASE)
    }

    #[test]
    fn whom_a_resource_is_about_it_says_itself() {
        let patient = |id: &str| Some(About::Patient(id.to_owned()));
        let of = |kind: &str, id: &str| Some(About::Of(vec![(kind.to_owned(), id.to_owned())]));
        let table: [(&str, &str, Option<About>); 13] = [
            ("a Patient", r#""resourceType":"Patient""#, patient("x")),
            (
                "by subject",
                r#""resourceType":"Condition","subject":{"reference":"Patient/1"}"#,
                patient("1"),
            ),
            (
                "below the sender's base",
                r#""resourceType":"Condition","subject":{"reference":"https://ehr.example/fhir/Patient/1"}"#,
                patient("1"),
            ),
            (
                "elsewhere",
                r#""resourceType":"Condition","subject":{"reference":"https://other.example/Patient/1"}"#,
                None,
            ),
            (
                "somebody within",
                r##""resourceType":"Condition","contained":[{"resourceType":"Patient","id":"p"}],"subject":{"reference":"#p"}"##,
                None,
            ),
            ("nobody said", r#""resourceType":"Condition""#, Some(About::Unsaid)),
            ("a directory's", r#""resourceType":"Location""#, Some(About::Nobody)),
            (
                "a directory's that names a Patient",
                r#""resourceType":"Location","extension":[{"url":"u","valueReference":{"reference":"Patient/1"}}]"#,
                Some(About::Unsaid),
            ),
            (
                "speaks of a Patient",
                r#""resourceType":"Provenance","target":[{"reference":"Condition/c"},{"reference":"Patient/1"}]"#,
                patient("1"),
            ),
            (
                "speaks of records",
                r#""resourceType":"Provenance","target":[{"reference":"Condition/c"}]"#,
                of("Condition", "c"),
            ),
            (
                "speaks of a directory",
                r#""resourceType":"Provenance","target":[{"reference":"Location/l"}]"#,
                Some(About::Nobody),
            ),
            (
                "speaks of two",
                r#""resourceType":"Provenance","target":[{"reference":"Patient/1"},{"reference":"Patient/2"}]"#,
                None,
            ),
            (
                "two elements, two Patients",
                r#""resourceType":"Task","subject":{"reference":"Patient/1"},"for":{"reference":"Patient/2"}"#,
                None,
            ),
        ];
        for (case, members, about) in table {
            let read = read(&format!(r#"{{{members},"id":"x"}}"#), &terms());
            assert_eq!(read.ok().map(|one| one.about), about, "{case}");
        }
    }

    #[test]
    fn references_below_the_senders_base_become_relative_and_nothing_else_changes() {
        let text = r#"{"resourceType":"Condition","id":"c", "subject":{"reference":"https://ehr.example/fhir/Patient/1"},"encounter":{"reference":"Encounter/e"},"asserter":{"reference":"https://other.example/Practitioner/1"},"note":[{"text":"1.00"}]}"#;
        let expected = text.replace("https://ehr.example/fhir/Patient", "Patient");
        let read = read(text, &terms()).unwrap();
        assert_eq!(read.resource.bytes(), expected.as_bytes());
    }

    #[test]
    fn what_is_not_the_senders_to_send_is_refused_with_its_place() {
        let agreed = SenderTerms { types: vec!["Condition".to_owned()], ..terms() };
        let derives =
            SenderTerms { namespace: Some("https://ehr.example/ns".to_owned()), ..terms() };
        let observation =
            r#"{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/1"}}"#;
        let within = r#"{"resourceType":"Condition","id":"c","contained":[{"resourceType":"Observation","id":"o"}],"subject":{"reference":"Patient/1"}}"#;
        let table = [
            ("no id", r#"{"resourceType":"Condition"}"#, &agreed, Code::EntryInvalid, "Condition"),
            ("not agreed", observation, &agreed, Code::KindNotAgreed, "Observation.resourceType"),
            ("within", within, &agreed, Code::KindNotAgreed, "Condition.contained[0].resourceType"),
            ("no source", observation, &derives, Code::IdentityMismatch, "Observation"),
        ];
        for (case, text, terms, code, place) in table {
            let issue = read(text, terms).unwrap_err().first;
            assert_eq!((issue.code, issue.expression.as_deref()), (code, Some(place)), "{case}");
        }
    }
}
