//! Elements: resources with some of their elements only (`_elements` of an export).
//!
//! Comes in   names as they were sent; resources as they are served.
//! Goes out   the same resources without what was not asked for, tagged `SUBSETTED`.
//! Never      leaves out what is mandatory, or what changes the meaning of the rest; never tags a
//!            resource that is whole.
//!
//! Bulk Data 2.0.0, `_elements`; R4 §3.1.1.5.8.

use bytes::Bytes;
use exchange::{Code, Issue, place};
use fhir::r4::Type;
use fhir::{Doc, Edits, Node, ReferenceElement, Resource};
use std::collections::{BTreeMap, BTreeSet};

/// Says that a resource is not whole (R4 v3-ObservationValue).
const SUBSETTED: &str =
    r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

/// How records of an export are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// With these elements; none: whole.
    pub elements: Option<Elements>,
    /// The base URL below which attachments are found, without a slash at its end.
    pub base: String,
}

impl Form {
    /// The resource as it is given: an attachment's address is absolute (Bulk Data 2.0.0, attachments).
    ///
    /// Errors: `StoreUnavailable` when the bytes are no resource.
    pub fn of(&self, resource: Bytes) -> Result<Bytes, Issue> {
        let whole = match resource.windows(BINARY.len()).any(|some| some == BINARY) {
            true => self.attached(&resource)?,
            false => resource,
        };
        self.elements.as_ref().map_or(Ok(whole.clone()), |elements| elements.of(&whole))
    }

    fn attached(&self, resource: &Bytes) -> Result<Bytes, Issue> {
        let damaged = |_| Issue::new(Code::StoreUnavailable, "a stored record cannot be read");
        let resource = Resource::parse(resource.clone()).map_err(damaged)?;
        let absolute = resource.rewrite_references(|element, text| {
            let own = element == ReferenceElement::AttachmentUrl
                && place::parts(text).is_some_and(|(kind, _, _)| kind == "Binary");
            own.then(|| format!("{}/{text}", self.base))
        });
        Ok(absolute.bytes().clone())
    }
}

/// Begins the address of an attachment that is a record.
const BINARY: &[u8] = b"Binary/";

/// Which elements are asked for, by type; those for all types under the empty name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elements(BTreeMap<String, BTreeSet<String>>);

impl Elements {
    /// Adds `Type.element` or `element`; only elements at the root of a resource are named so.
    ///
    /// Errors: `ParameterInvalid` where R4 has no such element.
    pub fn add(&mut self, name: &str) -> Result<(), Issue> {
        let (kind, element) = name.split_once('.').unwrap_or(("", name));
        let has =
            |of: Type| of.elements().any(|one| one.path_name() == element || one.name() == element);
        let known = match kind {
            "" => Type::all().filter(|one| one.is_resource()).any(has),
            kind => Type::named(kind).filter(|one| one.is_resource()).is_some_and(has),
        };
        if !known {
            let detail = "an element is one at the root of a type of R4, with or without the type";
            return Err(Issue::new(Code::ParameterInvalid, detail).at("_elements"));
        }
        self.0.entry(kind.to_owned()).or_default().insert(element.to_owned());
        Ok(())
    }

    /// The resource with what is asked for. Errors: `StoreUnavailable` when the bytes are no resource.
    pub fn of(&self, resource: &Bytes) -> Result<Bytes, Issue> {
        let damaged = || Issue::new(Code::StoreUnavailable, "a stored record cannot be read");
        let doc = Doc::parse(resource).map_err(|_| damaged())?;
        let root = doc.root();
        let kind = root.get("resourceType").and_then(|node| node.text()).ok_or_else(damaged)?;
        let Some(of) = Type::named(&kind) else { return Ok(resource.clone()) };
        let mut edits = Edits::new(&doc);
        for member in root.members().filter(|member| !self.keeps(of, member.name())) {
            edits.remove(member);
        }
        if edits.is_empty() {
            return Ok(resource.clone());
        }
        tag(&mut edits, root);
        Ok(edits.apply().into())
    }

    fn keeps(&self, of: Type, member: &str) -> bool {
        let member = member.strip_prefix('_').unwrap_or(member);
        if matches!(member, "resourceType" | "id" | "meta") {
            return true;
        }
        let Some(element) = of.elements().find(|one| one.name() == member) else { return false };
        let asked = |kind: &str| {
            let asked = self.0.get(kind);
            asked.is_some_and(|it| it.contains(element.path_name()) || it.contains(element.name()))
        };
        asked("") || asked(of.name()) || of.kept().any(|kept| kept == element.path_name())
    }
}

fn tag(edits: &mut Edits<'_, '_>, root: Node<'_, '_>) {
    match root.get("meta") {
        None => edits.insert(root, "meta", &format!(r#"{{"tag":[{SUBSETTED}]}}"#)),
        Some(meta) => match meta.get("tag") {
            None => edits.insert(meta, "tag", &format!("[{SUBSETTED}]")),
            Some(tag) => {
                let front = tag.span().start + 1;
                let comma = if tag.items().next().is_some() { "," } else { "" };
                edits.replace(front..front, format!("{SUBSETTED}{comma}"));
            }
        },
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what was asked for, and what is needed to read it, comes as it was; nothing else comes.
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn of(names: &[&str], resource: &Value) -> Value {
        let mut elements = Elements::default();
        names.iter().for_each(|name| elements.add(name).unwrap());
        let cut = elements.of(&Bytes::from(resource.to_string())).unwrap();
        serde_json::from_slice(&cut).unwrap()
    }

    #[test]
    fn only_what_is_asked_for_or_mandatory_comes_and_it_says_so() {
        let subsetted: Value = serde_json::from_str(SUBSETTED).unwrap();
        let tagged = json!({ "versionId": "1", "tag": [subsetted] });
        let observation = json!({
            "resourceType": "Observation", "id": "o", "meta": { "versionId": "1" },
            "status": "final", "code": { "text": "c" }, "valueQuantity": { "value": 1.5 },
            "issued": "2026-01-01T00:00:00Z", "_issued": { "id": "i" }, "note": [{ "text": "n" }],
        });
        let bare = json!({
            "resourceType": "Observation", "id": "o", "meta": tagged,
            "status": "final", "code": { "text": "c" },
        });
        let with = |name: &str| {
            let mut one = bare.clone();
            one[name] = observation[name].clone();
            one
        };
        let mut issued = with("issued");
        issued["_issued"] = observation["_issued"].clone();
        let table = [
            (vec!["id"], bare.clone()),
            (vec!["value"], with("valueQuantity")),
            (vec!["Observation.value"], with("valueQuantity")),
            (vec!["Observation.valueQuantity"], with("valueQuantity")),
            (vec!["Patient.name"], bare.clone()),
            (vec!["Observation.issued"], issued),
            (vec!["value", "issued", "note"], observation.clone()),
        ];
        for (names, expected) in table {
            assert_eq!(of(&names, &observation), expected, "{names:?}");
        }
        let mut own = observation.clone();
        own["meta"]["tag"] = json!([{ "code": "own" }]);
        let told = of(&["id"], &own);
        assert_eq!(told["meta"]["tag"], json!([subsetted, { "code": "own" }]));
    }

    #[test]
    fn an_attachment_of_this_house_has_an_absolute_address_and_nothing_else_changes() {
        let form = Form { elements: None, base: "https://plan.example/fhir".to_owned() };
        let document = |url: &str| {
            let attachment = json!({ "attachment": { "url": url } });
            let master = json!({ "reference": "Binary/b2" });
            json!({ "resourceType": "DocumentReference", "content": [attachment],
                "context": { "related": [master] }, "description": "see Binary/b1" })
        };
        let table = [
            ("Binary/b1", "https://plan.example/fhir/Binary/b1"),
            ("https://plan.example/fhir/Binary/b1", "https://plan.example/fhir/Binary/b1"),
            ("https://other.example/Binary/b1", "https://other.example/Binary/b1"),
            ("urn:uuid:1", "urn:uuid:1"),
        ];
        for (url, expected) in table {
            let given = form.of(Bytes::from(document(url).to_string())).unwrap();
            let given: Value = serde_json::from_slice(&given).unwrap();
            assert_eq!(given, document(expected), "{url}");
        }
    }

    /// Proves: bulk 77
    #[test]
    fn a_name_that_is_none_is_refused() {
        for name in
            ["", "mood", "Patient.mood", "Sandwich.id", "Patient.name.family", "HumanName.use"]
        {
            let issue = Elements::default().add(name).unwrap_err();
            assert_eq!(issue.code, Code::ParameterInvalid, "{name}");
        }
    }
}
