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
    /// Elements of each type, sorted by length and name.
    elements: Vec<Vec<(&'static str, Shape)>>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let lines = || SHAPES.lines().filter(|line| !line.starts_with('#'));
    let mut types = Types { by_name: HashMap::new(), elements: Vec::new() };
    for (position, line) in lines().enumerate() {
        let name = line.split(' ').next().unwrap_or_default();
        types.by_name.insert(name, Type(position as u16));
    }
    for line in lines() {
        let shapes = line.split(' ').skip(1).filter_map(|element| {
            let (name, shape) = element.split_once('=')?;
            let repeats = shape.starts_with('*');
            let value = match shape.trim_start_matches('*') {
                "string" => ValueShape::String,
                "number" => ValueShape::Number,
                "boolean" => ValueShape::Boolean,
                "Resource" => ValueShape::Resource,
                of => ValueShape::Object(*types.by_name.get(of)?),
            };
            Some((name, Shape { repeats, value }))
        });
        let mut shapes: Vec<_> = shapes.collect();
        shapes.sort_unstable_by_key(|&(name, _)| order(name));
        types.elements.push(shapes);
    }
    types
});

/// Lengths first: most comparisons of a search then end without looking at the letters.
fn order(name: &str) -> (usize, &str) {
    (name.len(), name)
}

impl Type {
    /// A resource type or data type of R4.
    pub(crate) fn named(name: &str) -> Option<Type> {
        TYPES.by_name.get(name).copied()
    }

    /// The shape of one of its elements.
    pub(crate) fn element(self, name: &str) -> Option<Shape> {
        let elements = TYPES.elements.get(usize::from(self.0))?;
        let found = elements.binary_search_by(|&(other, _)| order(other).cmp(&order(name)));
        Some(elements[found.ok()?].1)
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
