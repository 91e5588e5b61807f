//! What the properties are tried on: trees of JSON, sets of nodes, resources with bytes changed.
#![allow(unreachable_pub)]

use crate::seeds::SEEDS;
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any tree; numbers keep their digits. Texts hold no U+0000: that is refused (`Reason::Nought`).
pub fn tree() -> impl Strategy<Value = Value> {
    let number = r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?"
        .prop_map(|text| serde_json::from_str(&text).unwrap());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        any::<String>().prop_map(|text| text.replace('\0', "0").into()),
        r#"[a-c"\\/\n\u{1}-\u{20}é😀]{0,30}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            members(inner).prop_map(Value::from),
        ]
    })
}

/// An object: what edits are made of.
pub fn document() -> impl Strategy<Value = Value> {
    members(tree()).prop_map(Value::from)
}

/// Names without signs that JSON must escape: those are refused (`Reason::EscapedName`).
fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = r"[a-zA-Z_]{1,8}|[^\x00-\x1f\x7f\\\x22]{0,5}";
    prop::collection::vec((name, value), 0..20).prop_map(|members| members.into_iter().collect())
}

/// A set of nodes, by their position in document order.
#[derive(Debug, Clone)]
pub struct Choice(Vec<bool>);

impl Choice {
    pub fn picks(&self, index: usize) -> bool {
        self.0[index % self.0.len()]
    }
}

/// Few nodes or many.
pub fn choices() -> impl Strategy<Value = Choice> {
    (1u32..9).prop_flat_map(|one_in| {
        let pick = prop::bool::weighted(1.0 / f64::from(one_in));
        prop::collection::vec(pick, 1..50).prop_map(Choice)
    })
}

/// The tree without the nodes marked in `gone` (document order, the root not counted), and without
/// the objects and arrays that lost their last child by it. `None` when all of it is gone.
pub fn removed(value: &Value, gone: &mut impl Iterator<Item = bool>) -> Option<Value> {
    let mut keep = |child: &Value| {
        let marked = gone.next().unwrap_or_default();
        removed(child, gone).filter(|_| !marked)
    };
    match value {
        Value::Array(items) => {
            let left: Vec<_> = items.iter().filter_map(keep).collect();
            (items.is_empty() || !left.is_empty()).then(|| left.into())
        }
        Value::Object(members) => {
            let left =
                members.iter().filter_map(|(name, child)| Some((name.clone(), keep(child)?)));
            let left: Map<_, _> = left.collect();
            (members.is_empty() || !left.is_empty()).then(|| left.into())
        }
        leaf => Some(leaf.clone()),
    }
}

/// Resources of every kind of syntax, with some bytes flipped, inserted, taken out or cut off.
pub fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..5u8, any::<u8>(), prop::sample::select(SIGNS));
    let changes = prop::collection::vec(change, 0..4);
    (prop::sample::select(SEEDS), changes).prop_map(|(seed, changes)| {
        let mut bytes = seed.as_bytes().to_vec();
        for (place, how, byte, sign) in changes {
            let at = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
            match how {
                _ if bytes.is_empty() => {}
                0 => bytes[at] = byte,
                1 => bytes.insert(at, sign),
                2 => bytes[at] = sign,
                3 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

const SIGNS: &[u8] = b"{}[]\",:\\u0019-+.eE tfn\n\t\0d";
