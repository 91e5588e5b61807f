//! Members: of a JSON object by a partner, the members that are asked for, each as it is written.
//!
//! Comes in   a manifest of any size that is fetched, or an object within it.
//! Goes out   where the members stand that are asked for; what is made of a list's items, one by one.
//! Never      makes a value of what nobody asks for: some kilobytes, packed, unpack to millions of values,
//!            and each would take twenty times its length in memory.

use super::manifest::invalid;
use crate::Issue;
use crate::limits::{BULK_FILES_MAX, BULK_URL_CHARS_MAX};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The members that are asked for; of one that comes twice the last.
pub(super) struct Members<'b> {
    names: &'static [&'static str],
    found: Vec<Option<&'b RawValue>>,
}

impl<'b> Members<'b> {
    /// Those of a whole document.
    ///
    /// Errors: `ManifestInvalid` for what is no JSON, or no object.
    pub(super) fn read(
        body: &'b [u8],
        names: &'static [&'static str],
    ) -> Result<Members<'b>, Issue> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let read = Asked(names).deserialize(&mut reader);
        // The parser's own words may quote.
        read.and_then(|read| reader.end().map(|()| read)).map_err(|error| match error.is_data() {
            true => invalid("manifest", "a manifest is a JSON object"),
            false => {
                let (line, column) = (error.line(), error.column());
                invalid("manifest", format!("it is no JSON from line {line}, column {column}"))
            }
        })
    }

    /// Those of a value within a document; `None` where it is no object.
    pub(super) fn of(value: &'b RawValue, names: &'static [&'static str]) -> Option<Members<'b>> {
        Asked(names).deserialize(&mut serde_json::Deserializer::from_str(value.get())).ok()
    }

    /// A member that is asked for.
    pub(super) fn get(&self, name: &str) -> Option<&'b RawValue> {
        let asked = self.names.iter().position(|asked| *asked == name)?;
        self.found.get(asked).copied().flatten()
    }

    /// A text, where there is one.
    pub(super) fn text(&self, at: &str, name: &str) -> Result<Option<String>, Issue> {
        let Some(value) = self.said(name) else { return Ok(None) };
        let text = serde_json::from_str::<String>(value.get()).ok();
        let text = text.filter(|text| text.chars().count() <= BULK_URL_CHARS_MAX);
        let fault = || invalid(format!("{at}{name}"), "a text of bounded length is needed");
        text.map(Some).ok_or_else(fault)
    }

    /// A whole number, where there is one.
    pub(super) fn number(&self, at: &str, name: &str) -> Result<Option<u64>, Issue> {
        let Some(value) = self.said(name) else { return Ok(None) };
        let fault = |_| invalid(format!("{at}{name}"), "a whole number is needed");
        serde_json::from_str(value.get()).map(Some).map_err(fault)
    }

    /// True or false, where it is one of them.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// What is made of the objects of a list, each with its place (`output[3].`); nothing where there is
    /// no list.
    ///
    /// Errors: `ManifestInvalid` for what is no list of objects, or is too long; those of `each`, the
    /// first one.
    pub(super) fn list<T>(
        &self,
        name: &str,
        names: &'static [&'static str],
        mut each: impl FnMut(&str, Members<'b>) -> Result<T, Issue>,
    ) -> Result<Vec<T>, Issue> {
        let Some(value) = self.said(name) else { return Ok(Vec::new()) };
        let made = items(value, |at, item| {
            if at >= BULK_FILES_MAX {
                let detail = format!("one page lists at most {BULK_FILES_MAX} files; use link");
                return Err(invalid(name, detail));
            }
            let place = format!("{name}[{at}]");
            match Members::of(item, names) {
                Some(members) => each(&format!("{place}."), members),
                None => Err(invalid(place, "an object is needed")),
            }
        });
        made.unwrap_or_else(|| Err(invalid(name, "a list is needed")))
    }

    /// A member that is there, and more than `null`.
    fn said(&self, name: &str) -> Option<&'b RawValue> {
        self.get(name).filter(|value| value.get() != "null")
    }
}

/// What is made of a list's items, up to the first that nothing is made of; `None` where it is no list.
pub(super) fn items<'b, T, E>(
    list: &'b RawValue,
    each: impl FnMut(usize, &'b RawValue) -> Result<T, E>,
) -> Option<Result<Vec<T>, E>> {
    serde_json::Deserializer::from_str(list.get()).deserialize_seq(Items(each)).ok()
}

struct Asked(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Asked {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Members<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Asked {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut found = vec![None; self.0.len()];
        while let Some(asked) = map.next_key_seed(Name(self.0))? {
            match asked.and_then(|asked| found.get_mut(asked)) {
                Some(found) => *found = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Members { names: self.0, found })
    }
}

/// The name of a member: which of those that are asked for it is.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<usize>, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|asked| *asked == name))
    }
}

struct Items<F>(F);

impl<'de, T, E, F> Visitor<'de> for Items<F>
where
    F: FnMut(usize, &'de RawValue) -> Result<T, E>,
{
    type Value = Result<Vec<T>, E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut made = Vec::new();
        while let Some(item) = seq.next_element()? {
            match (self.0)(made.len(), item) {
                Ok(one) => made.push(one),
                Err(fault) => {
                    while seq.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(Err(fault));
                }
            }
        }
        Ok(Ok(made))
    }
}
