//! The shapes of R4: for every type and element, which kind of JSON value it is.
//!
//! Comes in   `r4.txt`, made from HL7's StructureDefinitions of 4.0.1 (CC0) by the test
//!            `tests/r4_types.rs`, which also proves that the two agree.
//! Goes out   the shape of an element of a type; types and elements by name, for whoever writes
//!            paths.
//! Never      knows of cardinality, codes or profiles: that is validation, and not of this room.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

const SHAPES: &str = include_str!("r4.txt");

/// For each resource type the elements that are kept where others are left out.
const KEPT: &str = include_str!("r4_kept.txt");

/// A data type, a resource type or a nested element (`Patient.contact`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type(u16);

/// What an element's value looks like in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Whether it stands in an array.
    pub(crate) repeats: bool,
    pub(crate) value: ValueShape,
}

/// What one value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueShape {
    String,
    Number,
    Boolean,
    Object(Type),
    /// A resource of any type, which names its type itself.
    Resource,
}

struct Types {
    by_name: HashMap<&'static str, Type>,
    /// By position: the name, and where its elements stand.
    types: Vec<(&'static str, Range<usize>)>,
    elements: Vec<Element>,
    /// Positions in `elements`, plus one, by hash; 0 where nothing stands.
    slots: Vec<u16>,
}

/// An element of a type, as JSON has it: a choice is one element for each of its types.
#[derive(Debug)]
pub struct Element {
    of: Type,
    /// Its name in JSON, such as `valueQuantity`.
    name: Cow<'static, str>,
    /// Where the name of its choice ends in that; its length where it is none.
    stem: usize,
    shape: Shape,
}

/// Twice the number of elements of R4 and more, so that a look-up rarely takes a second step.
const SLOTS: usize = 1 << 15;

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let lines = || SHAPES.lines().filter(|line| !line.starts_with('#'));
    let (by_name, types, elements) = (HashMap::new(), Vec::new(), Vec::new());
    let mut types = Types { by_name, types, elements, slots: vec![0; SLOTS] };
    for (position, line) in lines().enumerate() {
        let name = line.split(' ').next().unwrap_or_default();
        types.by_name.insert(name, Type(position as u16));
    }
    for (position, line) in lines().enumerate() {
        let start = types.elements.len();
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        words.for_each(|element| types.add(Type(position as u16), element));
        types.types.push((name, start..types.elements.len()));
    }
    types
});

impl Types {
    /// Adds an element as the table writes it: `name=*HumanName`.
    fn add(&mut self, of: Type, element: &'static str) {
        let Some((name, shape)) = element.split_once('=') else { return };
        let value = match shape.trim_start_matches('*') {
            "string" => ValueShape::String,
            "number" => ValueShape::Number,
            "boolean" => ValueShape::Boolean,
            "Resource" => ValueShape::Resource,
            of => match self.by_name.get(of) {
                Some(&of) => ValueShape::Object(of),
                None => return,
            },
        };
        let shape = Shape { repeats: shape.starts_with('*'), value };
        let (name, stem) = match name.split_once('+') {
            Some((stem, rest)) => (Cow::Owned([stem, rest].concat()), stem.len()),
            None => (Cow::Borrowed(name), name.len()),
        };
        let mut slot = hash(of, &name);
        self.elements.push(Element { of, name, stem, shape });
        while self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.slots[slot] = self.elements.len() as u16;
    }

    fn find(&self, of: Type, name: &str) -> Option<Shape> {
        let mut slot = hash(of, name);
        loop {
            let position = usize::from(self.slots[slot]).checked_sub(1)?;
            let element = &self.elements[position];
            if element.of == of && element.name == name {
                return Some(element.shape);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Spreads type and name over the slots. The table is fixed, so nobody can choose names that
/// collide in it; a name that is not in it ends at the first empty slot.
fn hash(of: Type, name: &str) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut sum = u64::from(of.0) ^ (name.len() as u64) << 32;
    for eight in name.as_bytes().chunks(8) {
        let word = eight.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        sum = (sum ^ word).wrapping_mul(ODD).rotate_left(29);
    }
    (sum.wrapping_mul(ODD) >> 49) as usize
}

impl Type {
    /// A resource type, data type or nested element of R4.
    pub fn named(name: &str) -> Option<Type> {
        TYPES.by_name.get(name).copied()
    }

    /// All of them, in the order of their names.
    pub fn all() -> impl Iterator<Item = Type> {
        (0..TYPES.types.len()).map(|position| Type(position as u16))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        TYPES.types.get(usize::from(self.0)).map_or("", |(name, _)| name)
    }

    /// Whether it is a resource type that instances can have.
    pub fn is_resource(self) -> bool {
        self.element("implicitRules").is_some()
            && !matches!(self.name(), "Resource" | "DomainResource")
    }

    /// Its elements, in the order of their names.
    pub fn elements(self) -> impl Iterator<Item = &'static Element> {
        let place = TYPES.types.get(usize::from(self.0)).map(|(_, place)| place.clone());
        place.and_then(|place| TYPES.elements.get(place)).into_iter().flatten()
    }

    /// Of a resource type: the elements, by their names in paths, that are mandatory or change what the
    /// others mean. Whoever leaves elements out keeps these (R4 §3.1.1.5.8 `_elements`).
    pub fn kept(self) -> impl Iterator<Item = &'static str> {
        let lines = KEPT.lines().map(|line| line.split(' '));
        let own =
            lines.filter_map(move |mut line| (line.next() == Some(self.name())).then_some(line));
        own.flatten().chain(["implicitRules", "modifierExtension"])
    }

    /// The shape of one of its elements.
    pub(crate) fn element(self, name: &str) -> Option<Shape> {
        TYPES.find(self, name)
    }
}

impl Element {
    /// Its name in JSON: `valueQuantity`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name in paths: `value`, for a choice.
    pub fn path_name(&self) -> &str {
        &self.name[..self.stem]
    }

    /// The type in the name of a choice: `Quantity`; empty where it is none.
    pub fn choice(&self) -> &str {
        &self.name[self.stem..]
    }

    /// The type of its values; `None` for primitives.
    pub fn leads_to(&self) -> Option<Type> {
        match self.shape.value {
            ValueShape::Object(of) => Some(of),
            ValueShape::Resource => Type::named("Resource"),
            ValueShape::String | ValueShape::Number | ValueShape::Boolean => None,
        }
    }
}

/// Types the walk treats in their own way.
pub(crate) struct Known {
    pub(crate) reference: Option<Type>,
    pub(crate) attachment: Option<Type>,
    pub(crate) element: Option<Type>,
}

/// Those types, looked up once.
pub(crate) static KNOWN: LazyLock<Known> = LazyLock::new(|| Known {
    reference: Type::named("Reference"),
    attachment: Type::named("Attachment"),
    element: Type::named("Element"),
});

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_line_of_the_table_is_found_again() {
        for line in SHAPES.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let of = Type::named(words.next().unwrap()).unwrap();
            for (name, shape) in words.map(|word| word.split_once('=').unwrap()) {
                let name = name.replace('+', "");
                assert_eq!(of.element(&name).unwrap().repeats, shape.starts_with('*'), "{name}");
            }
            assert_eq!(of.element("noSuchElement"), None);
            assert_eq!(line.split(' ').count() - 1, of.elements().count());
            assert_eq!(Type::named(of.name()), Some(of));
        }
        assert!(TYPES.elements.len() * 2 < SLOTS);
        assert!(TYPES.elements.len() < usize::from(u16::MAX));
    }

    #[test]
    fn what_is_mandatory_or_changes_the_meaning_is_kept() {
        let kept = |name| Type::named(name).unwrap().kept().collect::<Vec<_>>();
        let always = ["implicitRules", "modifierExtension"];
        assert_eq!(kept("Observation")[..2], ["status", "code"]);
        assert_eq!(kept("Observation")[2..], always);
        assert_eq!(kept("BiologicallyDerivedProduct"), always, "nothing of its own");
        assert_eq!(kept("HumanName"), always, "no resource");
        assert!(kept("MedicationRequest").contains(&"medication"), "a choice by its stem");
    }

    #[test]
    fn types_and_elements_are_known_by_name() {
        assert_eq!(Type::all().filter(|of| of.is_resource()).count(), 146);
        let of = |name| Type::named(name).unwrap();
        assert!(of("Patient").is_resource() && !of("HumanName").is_resource());
        let values = of("Observation").elements().filter(|element| element.path_name() == "value");
        let values: Vec<_> = values.map(|value| (value.name(), value.choice())).collect();
        assert_eq!(values.len(), 11);
        assert!(values.contains(&("valueQuantity", "Quantity")));
        let component = of("Observation.component");
        let range = component.elements().find(|element| element.name() == "referenceRange");
        assert_eq!(range.unwrap().leads_to(), Type::named("Observation.referenceRange"));
    }
}
