//! Roles: which PractitionerRole is whose.
//!
//! Comes in   roles, and a practitioner who travels.
//! Goes out   the practitioner's roles: what nobody refers to travels because its practitioner does.
//! Never      a role without its practitioner, unless something refers to it; never a guess: a role
//!            says whose it is by a reference, or by an identifier that is the practitioner's too.
//!
//! Why backwards: US Core has a record name the practitioner, and the role (organization, specialty)
//! name the practitioner too, so that no reference leads from a visit to it.

use super::{Pointer, pointer};
use fhir::{Node, Resource};
use std::collections::{BTreeMap, BTreeSet};

/// `system` and `value` of an identifier that has both.
type Identifier = (String, String);

/// Whom a role names.
enum Whose {
    /// `Practitioner.id` in the source.
    Practitioner(String),
    /// Somebody known by one of these: an identifier instead of a reference, or a contained resource.
    Known(BTreeSet<Identifier>),
}

/// Whether a PractitionerRole is a role of this Practitioner.
pub fn is_role_of(role: &Resource, practitioner: &Resource, source_base: &str) -> bool {
    match whose(role, source_base) {
        Some(Whose::Practitioner(id)) => practitioner.id() == Some(id.as_str()),
        Some(Whose::Known(known)) => !known.is_disjoint(&identifiers(practitioner.doc().root())),
        None => false,
    }
}

/// The roles among resources, by whom they name; each by its `Type/id`.
#[derive(Default)]
pub(super) struct Roles {
    of_practitioner: BTreeMap<String, Vec<String>>,
    of_known: BTreeMap<Identifier, Vec<String>>,
}

impl Roles {
    pub(super) fn among<'r>(all: impl Iterator<Item = &'r Resource>, source_base: &str) -> Roles {
        let mut roles = Roles::default();
        for role in all.filter(|one| one.kind() == ROLE) {
            let reference = role.local_reference();
            match whose(role, source_base) {
                Some(Whose::Practitioner(id)) => {
                    roles.of_practitioner.entry(id).or_default().push(reference);
                }
                Some(Whose::Known(known)) => {
                    for identifier in known {
                        roles.of_known.entry(identifier).or_default().push(reference.clone());
                    }
                }
                None => {}
            }
        }
        roles
    }

    /// The roles of a resource, if it is a Practitioner.
    pub(super) fn of(&self, resource: &Resource) -> Vec<&str> {
        let nobody = self.of_practitioner.is_empty() && self.of_known.is_empty();
        if nobody || resource.kind() != "Practitioner" {
            return Vec::new();
        }
        let own = resource.id().and_then(|id| self.of_practitioner.get(id));
        let known = identifiers(resource.doc().root());
        let known = known.iter().filter_map(|identifier| self.of_known.get(identifier));
        own.into_iter().chain(known).flatten().map(String::as_str).collect()
    }
}

const ROLE: &str = "PractitionerRole";

fn whose(role: &Resource, source_base: &str) -> Option<Whose> {
    if role.kind() != ROLE {
        return None;
    }
    let doc = role.doc();
    let named = doc.root().get("practitioner")?;
    let Some(text) = named.get("reference").and_then(|text| text.text()) else {
        let identifier = named.get("identifier").and_then(identifier);
        return identifier.map(|one| Whose::Known(BTreeSet::from([one])));
    };
    match pointer(&text, source_base) {
        Pointer::Source(kind, id) => (kind == "Practitioner").then_some(Whose::Practitioner(id)),
        Pointer::Inner(inner) => {
            let contained = doc.root().get("contained").into_iter().flat_map(|list| list.items());
            let is_meant = |item: &Node<'_, '_>| {
                let id = item.get("id").and_then(|id| id.text());
                id.is_some_and(|id| id == inner.as_str())
            };
            let known = contained.into_iter().find(is_meant).map(identifiers)?;
            Some(Whose::Known(known))
        }
        Pointer::Foreign | Pointer::Unreadable => None,
    }
}

fn identifiers(node: Node<'_, '_>) -> BTreeSet<Identifier> {
    let all = node.get("identifier").into_iter().flat_map(|list| list.each());
    all.filter_map(identifier).collect()
}

fn identifier(node: Node<'_, '_>) -> Option<Identifier> {
    let word = |name: &str| {
        let text = node.get(name)?.text()?.into_owned();
        (!text.is_empty()).then_some(text)
    };
    Some((word("system")?, word("value")?))
}

#[cfg(test)]
mod tests {
    //! Goal: a role is whose it says, in whichever of R4's ways it says so, and nobody else's.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::agreement::Terms;
    use crate::disclosure::Decision;
    use crate::purpose::Purpose;
    use crate::restriction::Restrictions;
    use crate::shape::{Audience, Collected, shape};

    const BASE: &str = "https://ehr.test/fhir";
    const DOCTOR: &str = r#"{"resourceType":"Practitioner","id":"d","identifier":[{"system":"urn:npi","value":"1"},{"value":"2"}]}"#;

    fn resource(text: &str) -> Resource {
        Resource::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_role_is_of_the_practitioner_whom_it_names() {
        let inside = |id: &str, value: &str| {
            format!(
                r##"{{"reference":"#{id}"}},"contained":[{{"resourceType":"Practitioner","id":"p","identifier":[{{"system":"urn:npi","value":"{value}"}}]}}]"##
            )
        };
        let table = [
            (r#"{"reference":"Practitioner/d"}"#.to_owned(), true),
            (r#"{"reference":"Practitioner/d/_history/2"}"#.to_owned(), true),
            (format!(r#"{{"reference":"{BASE}/Practitioner/d"}}"#), true),
            (r#"{"identifier":{"system":"urn:npi","value":"1"}}"#.to_owned(), true),
            (inside("p", "1"), true),
            (r#"{"reference":"Practitioner/e"}"#.to_owned(), false),
            (r#"{"reference":"Organization/d"}"#.to_owned(), false),
            (r#"{"reference":"https://other.test/Practitioner/d"}"#.to_owned(), false),
            (r#"{"identifier":{"system":"urn:npi","value":"2"}}"#.to_owned(), false),
            // Without a system nobody can tell whose number it is.
            (r#"{"identifier":{"value":"2"}}"#.to_owned(), false),
            (r#"{"display":"Dr. d"}"#.to_owned(), false),
            // What it refers to counts, whatever stands beside it.
            (
                r#"{"reference":"Practitioner/e","identifier":{"system":"urn:npi","value":"1"}}"#
                    .to_owned(),
                false,
            ),
            (inside("p", "2"), false),
            (inside("q", "1"), false),
        ];
        let doctor = resource(DOCTOR);
        for (named, expected) in table {
            let text =
                format!(r#"{{"resourceType":"PractitionerRole","id":"r","practitioner":{named}}}"#);
            let role = resource(&text);
            assert_eq!(is_role_of(&role, &doctor, BASE), expected, "{named}");
            let roles = Roles::among([&role, &doctor].into_iter(), BASE);
            let found = roles.of(&doctor);
            assert_eq!(
                found,
                if expected { vec!["PractitionerRole/r"] } else { vec![] },
                "{named}"
            );
            assert!(roles.of(&role).is_empty());
        }
    }

    /// `Type/id` of what travels of an encounter, its doctor and a role, under a table of restrictions.
    fn travels(followed: &[&str], restrictions: &str) -> Vec<String> {
        let text = "partner = 'blue'\npurposes = ['HPAYMT']\n[[permit]]\nrule = 'all'\ntypes = \
                    ['Encounter', 'Practitioner', 'PractitionerRole', 'Organization']\n";
        let terms = Terms::parse(text, "blue.toml", &|_| None).unwrap();
        let audience = Audience {
            terms: &terms,
            purpose: Purpose::Payment,
            kind: "encounter",
            on: jiff::civil::date(2026, 1, 15),
            restrictions: &Restrictions::parse(restrictions, "r.toml", &[]).unwrap(),
            patient: "p1",
            own_coverages: &[],
            source_base: BASE,
        };
        let encounter = r#"{"resourceType":"Encounter","id":"e","participant":[{"individual":{"reference":"Practitioner/d"}}]}"#;
        let collected = Collected {
            found: vec![resource(encounter)],
            followed: followed.iter().map(|text| resource(text)).collect(),
            ..Collected::default()
        };
        let decisions = shape(&collected, &audience).decisions.into_iter();
        let included = decisions.filter(|one| matches!(one, Decision::Included { .. }));
        included.map(|one| one.reference()).collect()
    }

    #[test]
    fn a_role_travels_with_its_practitioner_and_never_without() {
        let role = r#"{"resourceType":"PractitionerRole","id":"r","practitioner":{"reference":"Practitioner/d"},"organization":{"reference":"Organization/o"}}"#;
        let others = role.replace("Practitioner/d", "Practitioner/x").replace("\"r\"", "\"s\"");
        let practice = r#"{"resourceType":"Organization","id":"o"}"#;
        let all = [DOCTOR, role, &others, practice];
        let whole = ["Encounter/e", "Organization/o", "Practitioner/d", "PractitionerRole/r"];
        assert_eq!(travels(&all, ""), whole, "and so does what the role refers to");
        let mut turned = all;
        turned.reverse();
        assert_eq!(travels(&turned, ""), whole, "in whatever order the chart was read");
        assert_eq!(
            travels(&[role, practice], ""),
            ["Encounter/e"],
            "its practitioner is not there"
        );
        let kept =
            |subject: &str| format!("[[restriction]]\nsubject = '{subject}'\nreason = 'a wish'\n");
        let quiet = travels(&all, &kept("Practitioner/d"));
        assert_eq!(quiet, ["Encounter/e"], "its practitioner stays");
        let quiet = travels(&all, &kept("PractitionerRole/r"));
        assert_eq!(quiet, ["Encounter/e", "Practitioner/d"], "the role itself stays");
    }
}
