//! The shapes of R4: for every type and element, which kind of JSON value it is.
//!
//! Comes in   `r4.txt`, made from HL7's StructureDefinitions of 4.0.1 (CC0) by the test
//!            `tests/r4_types.rs`, which also proves that the two agree.
//! Goes out   the shape of an element of a type.
//! Never      knows of cardinality, codes or profiles: that is validation, and not of this room.

use std::collections::HashMap;
use std::sync::LazyLock;

const SHAPES: &str = include_str!("r4.txt");

/// A data type, a resource type or a nested element (`Patient.contact`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Type(u16);

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
    elements: Vec<Element>,
    /// Positions in `elements`, plus one, by hash; 0 where nothing stands.
    slots: Vec<u16>,
}

struct Element {
    of: Type,
    name: &'static str,
    shape: Shape,
}

/// Twice the number of elements of R4 and more, so that a look-up rarely takes a second step.
const SLOTS: usize = 1 << 15;

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let lines = || SHAPES.lines().filter(|line| !line.starts_with('#'));
    let mut types = Types { by_name: HashMap::new(), elements: Vec::new(), slots: vec![0; SLOTS] };
    for (position, line) in lines().enumerate() {
        let name = line.split(' ').next().unwrap_or_default();
        types.by_name.insert(name, Type(position as u16));
    }
    for (position, line) in lines().enumerate() {
        for element in line.split(' ').skip(1) {
            types.add(Type(position as u16), element);
        }
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
        self.elements.push(Element { of, name, shape });
        let mut slot = hash(of, name);
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
    /// A resource type or data type of R4.
    pub(crate) fn named(name: &str) -> Option<Type> {
        TYPES.by_name.get(name).copied()
    }

    /// The shape of one of its elements.
    pub(crate) fn element(self, name: &str) -> Option<Shape> {
        TYPES.find(self, name)
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
                assert_eq!(of.element(name).unwrap().repeats, shape.starts_with('*'), "{name}");
            }
            assert_eq!(of.element("noSuchElement"), None);
        }
        assert!(TYPES.elements.len() * 2 < SLOTS);
        assert!(TYPES.elements.len() < usize::from(u16::MAX));
    }
}
