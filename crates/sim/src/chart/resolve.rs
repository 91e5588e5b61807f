//! Resolve: make the references of loaded resources relative.
//!
//! Comes in   drafts: resources as their files wrote them, with the `fullUrl` of their entries.
//! Goes out   the same bytes with reference strings replaced, and a list of those that lead nowhere.
//! Never      touches a string that is not a reference: a uuid in an identifier stays.
//!
//! Why by table and not by search: both kinds of reference name their target exactly, so one pass
//! over the resources builds the tables and a second pass does all edits.

use super::load::{Draft, URN, Unresolved, is_kind};
use super::splice::{Edit, Found, Member, span_of, splice, string_at};
use super::{Chart, ChartError, ChartResource};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// `Type/id` by `urn:uuid:`. A uuid is unique beyond its Bundle, so one table serves all files.
pub(super) fn urns(drafts: &[Draft]) -> Result<HashMap<String, String>, ChartError> {
    let mut urns: HashMap<String, String> = HashMap::with_capacity(drafts.len());
    for draft in drafts {
        let Some(urn) = draft.urn.as_deref() else { continue };
        let target = format!("{}/{}", draft.kind, draft.id);
        if urns.insert(urn.to_owned(), target.clone()).is_some_and(|before| before != target) {
            let cause = "another entry has the same fullUrl".to_owned();
            return Err(ChartError::Malformed { place: draft.place.clone(), cause });
        }
    }
    Ok(urns)
}

/// The id of the patient whose resource this is, by the members that say so in R4.
pub(super) fn patient_of(
    draft: &Draft,
    urns: &HashMap<String, String>,
) -> Result<Option<String>, ChartError> {
    const MEMBERS: [&str; 4] =
        ["patient.reference", "subject.reference", "beneficiary.reference", "for.reference"];
    for found in draft.references()? {
        if MEMBERS.contains(&found.path.as_str()) {
            let value = string_at(draft.text(), &found.span).unwrap_or_default();
            let target = urns.get(value.as_ref()).map_or(value.as_ref(), String::as_str);
            if let Some(id) = target.strip_prefix("Patient/") {
                return Ok(Some(id.to_owned()));
            }
        }
    }
    Ok(None)
}

type Resolved = (Vec<ChartResource>, Vec<Unresolved>);

/// Every draft with its references made relative, and the references that lead nowhere.
pub(super) fn resolve(drafts: &[Draft]) -> Result<Resolved, ChartError> {
    let urns = urns(drafts)?;
    let mut found = Vec::with_capacity(drafts.len());
    let mut kinds = BTreeSet::new();
    for draft in drafts {
        let references = draft.references()?;
        for reference in references.iter().filter(|f| f.member == Member::Reference) {
            let value = string_at(draft.text(), &reference.span).unwrap_or_default();
            kinds.extend(value.split_once('?').map(|(kind, _)| kind.to_owned()));
        }
        found.push(references);
    }
    let identifiers = identifiers(drafts, &kinds);
    let (mut resources, mut unresolved) = (Vec::with_capacity(drafts.len()), Vec::new());
    for (draft, found) in drafts.iter().zip(found) {
        let mut edits: Vec<Edit> =
            draft.given_id.iter().filter_map(|id| id_edit(draft, id)).collect();
        for Found { span, member, path } in found {
            let value = string_at(draft.text(), &span).unwrap_or_default();
            match target(&value, member, &urns, &identifiers) {
                Target::Stays => {}
                Target::Becomes(reference) => edits.push(Edit::string(span, reference)),
                Target::Nothing(why) => unresolved.push(Unresolved {
                    place: draft.place.clone(),
                    path: format!("{}.{path}", draft.kind),
                    why,
                }),
            }
        }
        resources.push(ChartResource {
            kind: draft.kind.clone(),
            id: draft.id.clone(),
            bytes: splice(draft.text(), edits).into(),
        });
    }
    Ok((resources, unresolved))
}

enum Target<'a> {
    Stays,
    Becomes(&'a str),
    Nothing(&'static str),
}

/// What a reference string becomes. Relative ones, fragments and foreign addresses stay.
fn target<'a>(
    value: &str,
    member: Member,
    urns: &'a HashMap<String, String>,
    identifiers: &'a HashMap<String, Vec<String>>,
) -> Target<'a> {
    if value.starts_with(URN) {
        return match (urns.get(value), member) {
            (Some(target), _) => Target::Becomes(target),
            (None, Member::Reference) => Target::Nothing("no entry has this fullUrl"),
            (None, Member::Url) => Target::Stays,
        };
    }
    let conditional = value.split_once('?').is_some_and(|(kind, _)| is_kind(kind));
    if member != Member::Reference || !conditional {
        return Target::Stays;
    }
    match identifiers.get(value).map(Vec::as_slice) {
        Some([target]) => Target::Becomes(target),
        Some([_, ..]) => Target::Nothing("several resources match this conditional reference"),
        _ => Target::Nothing("no resource matches this conditional reference"),
    }
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow, default)]
    identifier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(borrow, default)]
    system: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
}

/// `Type/id` by each spelling of a conditional reference that finds it by identifier:
/// `Type?identifier=system|value` and `Type?identifier=value` (FHIR R4 §3.1.1.5.12, token).
fn identifiers(drafts: &[Draft], kinds: &BTreeSet<String>) -> HashMap<String, Vec<String>> {
    let mut table: HashMap<String, Vec<String>> = HashMap::new();
    for draft in drafts.iter().filter(|draft| kinds.contains(&draft.kind)) {
        let target = format!("{}/{}", draft.kind, draft.id);
        for Identifier { system, value } in identifiers_of(draft.text()) {
            let (system, value) = (system.unwrap_or_default(), value.unwrap_or_default());
            let kind = &draft.kind;
            for key in [
                format!("{kind}?identifier={system}|{value}"),
                format!("{kind}?identifier={value}"),
            ] {
                let targets = table.entry(key).or_default();
                if !targets.contains(&target) {
                    targets.push(target.clone());
                }
            }
        }
    }
    table
}

fn identifiers_of(text: &str) -> Vec<Identifier<'_>> {
    let Ok(Identified { identifier: Some(raw) }) = serde_json::from_str(text) else {
        return Vec::new();
    };
    serde_json::from_str::<Vec<Identifier<'_>>>(raw.get())
        .or_else(|_| serde_json::from_str::<Identifier<'_>>(raw.get()).map(|one| vec![one]))
        .unwrap_or_default()
}

#[derive(Deserialize)]
struct TypeText<'a> {
    #[serde(borrow, rename = "resourceType")]
    kind: &'a RawValue,
}

/// The insertion of an id behind `resourceType`.
fn id_edit(draft: &Draft, id: &str) -> Option<Edit> {
    let text = draft.text();
    let TypeText { kind } = serde_json::from_str(text).ok()?;
    let span = span_of(text, kind.get())?;
    Some(Edit::insert(span.end, format!(",\"id\":\"{id}\"")))
}

/// The chart, or the places of two resources that share type and id but not their content.
pub(super) fn merge(drafts: &[Draft], resources: Vec<ChartResource>) -> Result<Chart, ChartError> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::with_capacity(resources.len());
    for (at, resource) in resources.iter().enumerate() {
        let key = (resource.kind.as_str(), resource.id.as_str());
        let first = *seen.entry(key).or_insert(at);
        if resources.get(first).is_some_and(|before| before.bytes != resource.bytes) {
            let both = [first, at].into_iter().filter_map(|at| drafts.get(at));
            let places = both.map(|draft| draft.place.clone()).collect();
            return Err(ChartError::Differing { kind: resource.kind.clone(), places });
        }
    }
    Chart::new(resources)
}
