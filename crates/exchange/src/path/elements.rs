//! The elements of R4: names and types, enough to tell a path from a slip of the pen.
//!
//! Comes in   the types that `fhir` knows.
//! Goes out   where a name leads from a type.
//! Never      cardinalities or bindings: those are the validator's.

use fhir::r4::{Element, Type};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Names of all types together, for questions that name none.
struct Names {
    elements: BTreeSet<&'static str>,
    choices: BTreeSet<&'static str>,
    choice_types: BTreeSet<&'static str>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let all = || Type::all().flat_map(Type::elements);
    let choices = || all().filter(|element| !element.choice().is_empty());
    Names {
        elements: all().map(Element::path_name).collect(),
        choices: choices().map(Element::path_name).collect(),
        choice_types: choices().map(Element::choice).collect(),
    }
});

/// The resource types of R4, in alphabetical order.
pub fn resource_types() -> impl Iterator<Item = &'static str> {
    Type::all().filter(|of| of.is_resource()).map(Type::name)
}

/// Whether a word is a resource type of R4.
pub fn is_resource_type(word: &str) -> bool {
    Type::named(word).is_some_and(Type::is_resource)
}

/// Whether some element of this name has a choice of types.
pub(super) fn is_choice(name: &str) -> bool {
    NAMES.choices.contains(name)
}

/// Whether the name of a choice can end in this word: `Quantity`.
pub(super) fn is_choice_type(word: &str) -> bool {
    NAMES.choice_types.contains(word)
}

/// The names of R4's elements of a data type, those of choices in their JSON form.
pub(crate) fn names_of_type(kind: &str) -> BTreeSet<String> {
    let of_it = |element: &&Element| element.leads_to().map(Type::name) == Some(kind);
    let all = Type::all().flat_map(Type::elements).filter(of_it);
    all.map(|element| element.name().to_owned()).collect()
}

/// Whether a type has an element of this name, in its JSON form.
pub(crate) fn has_element(kind: &str, name: &str) -> bool {
    Type::named(kind).is_some_and(|of| of.elements().any(|element| element.name() == name))
}

/// Every element name of R4.
pub(super) fn all_names() -> Vec<&'static str> {
    NAMES.elements.iter().copied().collect()
}

/// The element names at a place.
pub(super) fn names(place: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = elements(place).map(Element::path_name).collect();
    names.dedup();
    names
}

/// Where a name leads from a place: the places it may be, the word of a primitive being none of
/// the table's. `None` when the place has no such element.
pub(super) fn child(place: &str, name: &str) -> Option<Vec<String>> {
    let fits = |element: &&Element| element.name() == name || element.path_name() == name;
    let leads = |element: &Element| element.leads_to().map_or("", Type::name).to_owned();
    let found: Vec<String> = elements(place).filter(fits).map(leads).collect();
    (!found.is_empty()).then_some(found)
}

/// A primitive has the elements that every element has.
fn elements(place: &str) -> impl Iterator<Item = &'static Element> {
    let of = Type::named(place).or_else(|| Type::named("Element"));
    of.into_iter().flat_map(Type::elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_the_types_and_elements_of_r4() {
        assert_eq!(resource_types().count(), 146);
        assert!(resource_types().is_sorted());
        assert!(is_resource_type("Patient") && !is_resource_type("HumanName"));
        assert!(is_choice("value") && !is_choice("family"));
        assert!(is_choice_type("CodeableConcept") && !is_choice_type("HumanNames"));
        let leads = [
            ("Patient", "contact", "Patient.contact"),
            ("Patient", "meta", "Meta"),
            ("Patient", "contained", "Resource"),
            ("Observation.component", "referenceRange", "Observation.referenceRange"),
            ("Observation", "valueQuantity", "Quantity"),
            ("HumanName", "family", ""),
            ("", "extension", "Extension"),
        ];
        for (place, name, to) in leads {
            assert_eq!(child(place, name), Some(vec![to.to_owned()]), "{place}.{name}");
        }
        assert_eq!(child("Observation", "value").map(|to| to.len()), Some(11));
        assert_eq!(child("Patient", "value"), None);
        assert_eq!(child("", "value"), None);
        let attachments = names_of_type("Attachment");
        for name in ["attachment", "photo", "presentedForm", "valueAttachment"] {
            assert!(attachments.contains(name), "{name}");
        }
        assert!(names_of_type("Coding").contains("valueCoding"));
    }
}
