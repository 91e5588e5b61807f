//! Kept: of a JSON document by a partner, the members that are known here, as a tree of bounded size.
//!
//! Comes in   a manifest of any size that this house fetches.
//! Goes out   its object, without what nobody asks for.
//! Never      more than `BULK_NODES_MAX` values, whatever the document has: a few kilobytes that are packed
//!            may unpack to millions of them, each a hundred bytes in memory.

use crate::limits::BULK_NODES_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Members of a manifest, and of the items of its lists, of any version and dialect.
const KNOWN: [&str; 19] = [
    "transactionTime",
    "requiresAccessToken",
    "outputFormat",
    "outputOrganizedBy",
    "output",
    "deleted",
    "outcome",
    "error",
    "link",
    "relation",
    "submissionId",
    "extension",
    "url",
    "type",
    "count",
    "fileSize",
    "continuesInFile",
    "manifestUrl",
    "countSeverity",
];

/// How deep members are asked for by name: those of the root, and of the items of its lists.
const NAMED_TO: usize = 2;

/// A document of which only the members that are known are kept.
///
/// Errors: those of the parser; that it has more values than are held.
pub(super) fn read(body: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let left = Cell::new(BULK_NODES_MAX);
    let value = Kept { left: &left, depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Kept<'l> {
    left: &'l Cell<usize>,
    depth: usize,
}

impl Kept<'_> {
    fn one<E: Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        self.left.set(left);
        Ok(())
    }

    fn inner(self) -> Self {
        Kept { depth: self.depth + 1, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Kept<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

/// Under this name the parser hands on a number as it is written.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.one().map(|()| value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.one().map(|()| value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.one().map(|()| value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.one().map(|()| value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.one().map(|()| value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.one().map(|()| Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.one()?;
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.one()?;
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == NUMBER {
                let number = map.next_value::<String>()?.parse::<Number>();
                return Ok(number.map_or(Value::Null, Value::Number));
            }
            if self.depth < NAMED_TO && !KNOWN.contains(&name.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            object.insert(name, map.next_value_seed(self.inner())?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: what is known is read as it is written; what is not costs nothing.

    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_kept_by_name() {
        let item = json!({ "url": "a", "count": 3, "fileSize": 12345678901234567890_u64,
            "countSeverity": [{ "code": "error", "count": 1 }] });
        let manifest = json!({
            "transactionTime": "2026-11-22T10:00:00Z",
            "requiresAccessToken": false,
            "output": [item],
            "link": [{ "relation": "next", "url": "b" }],
            "extension": { "submissionId": "s", "countSeverity": { "error": 1.5 } },
        });
        assert_eq!(read(manifest.to_string().as_bytes()).unwrap(), manifest);
        let mut more = manifest.clone();
        more["mystery"] = json!([[1, 2], { "a": null }]);
        more["output"][0]["mystery"] = json!({ "b": true });
        assert_eq!(read(more.to_string().as_bytes()).unwrap(), manifest, "without what is unknown");
    }

    #[test]
    fn a_flood_is_passed_over_or_refused() {
        let zeros = "0,".repeat(BULK_NODES_MAX + 1) + "0";
        let table = [
            ("unknown members", format!(r#"{{"output":[],"x":[{zeros}]}}"#), true),
            ("items of a list", format!(r#"{{"output":[{zeros}]}}"#), false),
            ("within an item", format!(r#"{{"output":[{{"url":[{zeros}]}}]}}"#), false),
            ("a list alone", format!("[{zeros}]"), false),
        ];
        for (case, body, taken) in table {
            let read = read(body.as_bytes());
            assert_eq!(read.is_ok(), taken, "{case}");
            assert!(read.map_or(true, |value| value == json!({ "output": [] })), "{case}");
        }
        assert!(read(b"{} {}").is_err(), "more than one document");
    }
}
