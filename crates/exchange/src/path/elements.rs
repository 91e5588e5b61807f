//! The elements of R4: names and types, enough to tell a path from a slip of the pen.
//!
//! Comes in   `elements.txt`, part of the program.
//! Goes out   where a name leads from a type.
//! Never      cardinalities or bindings: those are the validator's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

static TEXT: &str = include_str!("elements.txt");

/// Types that a choice may end in (R4 §2.24.0 data types, as capitalised in JSON names).
#[rustfmt::skip]
pub(super) const CHOICE_TYPES: &[&str] = &[
    "Address", "Age", "Annotation", "Attachment", "Base64Binary", "Boolean", "Canonical", "Code",
    "CodeableConcept", "Coding", "ContactDetail", "ContactPoint", "Contributor", "Count",
    "DataRequirement", "Date", "DateTime", "Decimal", "Distance", "Dosage", "Duration",
    "Expression", "HumanName", "Id", "Identifier", "Instant", "Integer", "Markdown", "Meta",
    "Money", "Oid", "ParameterDefinition", "Period", "PositiveInt", "Quantity", "Range", "Ratio",
    "Reference", "RelatedArtifact", "SampledData", "Signature", "String", "Time", "Timing",
    "TriggerDefinition", "UnsignedInt", "Uri", "Url", "UsageContext", "Uuid",
];

type Elements = BTreeMap<&'static str, &'static str>;

struct Table {
    /// Element name → types, by the place (`Patient`, `Patient.contact`, `HumanName`).
    places: BTreeMap<&'static str, Elements>,
    resources: Vec<&'static str>,
    choices: Vec<&'static str>,
    names: Vec<&'static str>,
}

/// Elements that every element has, and those that every resource has.
const OF_ELEMENTS: [(&str, &str); 3] =
    [("id", ""), ("extension", "Extension"), ("modifierExtension", "Extension")];
const OF_RESOURCES: [(&str, &str); 5] = [
    ("meta", "Meta"),
    ("implicitRules", ""),
    ("language", ""),
    ("text", "Narrative"),
    ("contained", "Resource"),
];

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table {
            places: BTreeMap::new(),
            resources: Vec::new(),
            choices: Vec::new(),
            names: Vec::new(),
        };
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let place = words.next().unwrap_or_default();
            let mut elements: Elements =
                words.map(|word| word.split_once(':').unwrap_or((word, ""))).collect();
            elements.extend(OF_ELEMENTS);
            let name = place.trim_start_matches('!');
            if name != place {
                elements.extend(OF_RESOURCES);
                table.resources.push(name);
            }
            for element in elements.keys() {
                let base = element.trim_end_matches("[x]");
                table.names.push(base);
                if base != *element {
                    table.choices.push(base);
                }
            }
            table.places.insert(name, elements);
        }
        table.names.sort_unstable();
        table.names.dedup();
        table.choices.sort_unstable();
        table.choices.dedup();
        table
    })
}

/// The resource types of R4, in alphabetical order.
pub fn resource_types() -> impl Iterator<Item = &'static str> {
    table().resources.iter().copied()
}

/// Whether a word is a resource type of R4.
pub fn is_resource_type(word: &str) -> bool {
    table().resources.binary_search(&word).is_ok()
}

/// Whether some element of this name has a choice of types.
pub(super) fn is_choice(name: &str) -> bool {
    table().choices.binary_search(&name).is_ok()
}

/// The names of R4's elements of a data type, those of choices in their JSON form.
pub(crate) fn names_of_type(kind: &str) -> BTreeSet<String> {
    let form = |(name, kinds): (&&'static str, &&'static str)| {
        kinds.split('|').any(|known| known == kind).then(|| match name.strip_suffix("[x]") {
            Some(base) => format!("{base}{kind}"),
            None => (*name).to_owned(),
        })
    };
    table().places.values().flat_map(|elements| elements.iter().filter_map(form)).collect()
}

/// Every element name of R4.
pub(super) fn all_names() -> Vec<&'static str> {
    table().names.clone()
}

/// The element names at a place.
pub(super) fn names(place: &str) -> Vec<&'static str> {
    let elements = table().places.get(place);
    let names = elements.map(|elements| elements.keys().map(|name| name.trim_end_matches("[x]")));
    names.map(Iterator::collect).unwrap_or_else(|| vec!["extension", "id"])
}

/// Where a name leads from a place: the places it may be, the word of a primitive being none of
/// the table's. `None` when the place has no such element.
pub(super) fn child(place: &str, name: &str) -> Option<Vec<String>> {
    let Some(elements) = table().places.get(place) else {
        let (_, kind) = OF_ELEMENTS.iter().find(|(known, _)| *known == name)?;
        return Some(vec![(*kind).to_owned()]);
    };
    let choice = |(element, kinds): (&&'static str, &&'static str)| {
        let base = element.strip_suffix("[x]")?;
        let suffix = name.strip_prefix(base)?;
        let capital = |kind: &&str| {
            let (first, rest) = kind.split_at(1);
            format!("{}{rest}", first.to_uppercase()) == suffix
        };
        if suffix.is_empty() {
            return Some((*kinds).to_owned());
        }
        kinds.split('|').find(capital).map(str::to_owned)
    };
    let kinds = match elements.get(name) {
        Some(kinds) => (*kinds).to_owned(),
        None => elements.iter().find_map(choice)?,
    };
    let inline = |kind: &str| match kind {
        "*" => format!("{place}.{name}"),
        kind => kind.to_owned(),
    };
    Some(kinds.split('|').map(inline).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_the_types_and_elements_of_r4() {
        assert_eq!(resource_types().count(), 147);
        assert!(is_resource_type("Patient") && !is_resource_type("HumanName"));
        assert!(table().resources.is_sorted(), "it is searched by halves");
        let leads = [
            ("Patient", "contact", "Patient.contact"),
            ("Patient", "meta", "Meta"),
            ("Patient", "contained", "Resource"),
            ("Observation.component", "referenceRange", "Observation.referenceRange"),
            ("Observation", "valueQuantity", "Quantity"),
            ("HumanName", "family", ""),
        ];
        for (place, name, to) in leads {
            assert_eq!(child(place, name), Some(vec![to.to_owned()]), "{place}.{name}");
        }
        assert_eq!(child("Patient", "value"), None);
        let attachments = names_of_type("Attachment");
        for name in ["attachment", "photo", "presentedForm", "valueAttachment"] {
            assert!(attachments.contains(name), "{name}");
        }
        assert!(names_of_type("Coding").contains("valueCoding"));
    }
}
