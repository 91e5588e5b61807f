//! Feed: the part of the configuration that says where restrictions are, and how old they may be.
//!
//! Comes in   `restrictions = "file"`, or a `[restrictions]` table.
//! Goes out   the table's path, and the agreed age.
//! Never      an age without a limit: a house that names none is not held.

use exchange::limits::FEED_AGE_HOURS_MAX;
use exchange::{Code, Issue};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::PathBuf;

/// `restrictions`, in either form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestrictionsFile {
    /// The table; `restrictions.toml` when not given.
    pub table: Option<PathBuf>,
    /// The file or folder that another system writes: the newest file in it dates a table without
    /// `as_of`.
    pub feed: Option<PathBuf>,
    /// Beyond this age nothing is sent.
    pub max_age_hours: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    table: Option<PathBuf>,
    feed: Option<PathBuf>,
    max_age_hours: Option<u32>,
}

impl RestrictionsFile {
    /// Whether what is said of age can be kept. Errors: `ConfigInvalid`.
    pub fn check(&self) -> Result<(), Issue> {
        let detail = match (self.feed.is_some(), self.max_age_hours) {
            (true, None) => "a feed needs `max_age_hours`: the age beyond which nothing is sent",
            (_, Some(hours)) if !(1..=FEED_AGE_HOURS_MAX).contains(&hours) => {
                "`max_age_hours` is 1 to 8784"
            }
            _ => return Ok(()),
        };
        Err(Issue::new(Code::ConfigInvalid, detail).at("house.toml: restrictions.max_age_hours"))
    }
}

impl<'de> Deserialize<'de> for RestrictionsFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RestrictionsFile, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = RestrictionsFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table's file, or a section [restrictions]")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RestrictionsFile, E> {
        Ok(RestrictionsFile { table: Some(text.into()), ..RestrictionsFile::default() })
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RestrictionsFile, M::Error> {
        let section = Section::deserialize(MapAccessDeserializer::new(map))?;
        let Section { table, feed, max_age_hours } = section;
        Ok(RestrictionsFile { table, feed, max_age_hours })
    }
}

#[cfg(test)]
mod tests {
    //! Goal: both forms are read, and an age that nothing keeps is refused.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        restrictions: RestrictionsFile,
    }

    #[test]
    fn restrictions_are_a_file_or_a_section() {
        let table = [
            ("restrictions = 'r.toml'", Ok(("r.toml", None))),
            ("[restrictions]\ntable = 'r.toml'\nmax_age_hours = 26", Ok(("r.toml", Some(26)))),
            ("[restrictions]\nfeed = 'in'\nmax_age_hours = 26", Ok(("", Some(26)))),
            ("[restrictions]\nfeed = 'in'", Err("needs `max_age_hours`")),
            ("[restrictions]\nmax_age_hours = 0", Err("1 to 8784")),
            ("[restrictions]\nmax_age_hours = 9000", Err("1 to 8784")),
            ("[restrictions]\nmax_age = 26", Err("unknown field")),
            ("restrictions = 7", Err("section [restrictions]")),
        ];
        for (text, expected) in table {
            let read = toml::from_str::<File>(text).map_err(|error| error.to_string());
            let read = read.and_then(|file| {
                let told = |issue: Issue| issue.to_string();
                file.restrictions.check().map_err(told).map(|()| file.restrictions)
            });
            match (read, expected) {
                (Ok(read), Ok((path, hours))) => {
                    assert_eq!(read.table.unwrap_or_default(), PathBuf::from(path), "{text}");
                    assert_eq!(read.max_age_hours, hours, "{text}");
                }
                (Err(told), Err(words)) => assert!(told.contains(words), "{text}: {told}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }
}
