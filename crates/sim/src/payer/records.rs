//! Records: a stranger's memory, every version of every resource.
//!
//! Comes in   resources as JSON values, with the server's id.
//! Goes out   versions, newest last; what a search finds.
//! Never      forgets a version, but for those of a transaction that is taken back. Never makes a
//!            version less because its content is the same: many servers count every PUT.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One version of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Counted from 1 for each id.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// The resource, with `meta.versionId` and `meta.lastUpdated` of this server; `None` where it
    /// was deleted.
    pub content: Option<Value>,
}

/// Type and id.
pub(crate) type Key = (String, String);

/// All records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    versions: BTreeMap<Key, Vec<Version>>,
    /// By type and value of an identifier: ids that had it once.
    identified: BTreeMap<Key, BTreeSet<String>>,
    /// Ids the server has given.
    given: u64,
    /// Versions in the order they were made, to take some back.
    made: Vec<Key>,
}

/// A moment to which one can go back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    made: usize,
    given: u64,
}

impl Records {
    /// The next id of the server's own.
    pub(crate) fn give_id(&mut self) -> String {
        self.given += 1;
        format!("f{}", 1_000 + self.given)
    }

    /// Stores the next version; gives its number.
    pub(crate) fn store(&mut self, kind: &str, id: &str, mut content: Value, at: Timestamp) -> u32 {
        let number = self.next_number(kind, id);
        content["id"] = json!(id);
        if !content["meta"].is_object() {
            content["meta"] = json!({});
        }
        content["meta"]["versionId"] = json!(number.to_string());
        content["meta"]["lastUpdated"] = json!(at.to_string());
        for (_, value) in identifiers(&content) {
            let key = (kind.to_owned(), value.to_owned());
            self.identified.entry(key).or_default().insert(id.to_owned());
        }
        self.push(kind, id, Version { number, at, content: Some(content) });
        number
    }

    /// Puts other words into the newest version: references that became known after it was made.
    pub(crate) fn amend(&mut self, kind: &str, id: &str, content: Value) {
        let key = (kind.to_owned(), id.to_owned());
        if let Some(newest) = self.versions.get_mut(&key).and_then(|list| list.last_mut()) {
            newest.content = Some(content);
        }
    }

    /// Marks a record as deleted; `false` where there is none.
    pub(crate) fn delete(&mut self, kind: &str, id: &str, at: Timestamp) -> bool {
        if self.current(kind, id).is_none() {
            return false;
        }
        let number = self.next_number(kind, id);
        self.push(kind, id, Version { number, at, content: None });
        true
    }

    fn next_number(&self, kind: &str, id: &str) -> u32 {
        self.history(kind, id).last().map_or(1, |version| version.number + 1)
    }

    fn push(&mut self, kind: &str, id: &str, version: Version) {
        let key = (kind.to_owned(), id.to_owned());
        self.made.push(key.clone());
        self.versions.entry(key).or_default().push(version);
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { made: self.made.len(), given: self.given }
    }

    /// Takes back what was made after a mark.
    pub(crate) fn go_back(&mut self, mark: Mark) {
        for key in self.made.split_off(mark.made).into_iter().rev() {
            if let Some(versions) = self.versions.get_mut(&key) {
                versions.pop();
                if versions.is_empty() {
                    self.versions.remove(&key);
                }
            }
        }
        self.given = mark.given;
    }

    /// All versions of a record, newest last; none where there never was one.
    pub(crate) fn history(&self, kind: &str, id: &str) -> &[Version] {
        let key = (kind.to_owned(), id.to_owned());
        self.versions.get(&key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The newest version, where it is not deleted.
    pub(crate) fn current(&self, kind: &str, id: &str) -> Option<&Value> {
        self.history(kind, id).last()?.content.as_ref()
    }

    /// Everything that is not deleted, of one type or of all.
    pub(crate) fn all<'a>(
        &'a self,
        kind: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let versions = self.versions.iter();
        let versions = versions.filter(move |(key, _)| kind.is_none_or(|kind| key.0 == kind));
        versions.filter_map(|(key, list)| Some((key, list.last()?.content.as_ref()?)))
    }

    /// Every record with all its versions, as `Type/id`.
    pub(crate) fn everything(&self) -> BTreeMap<String, Vec<Version>> {
        let named = |(key, list): (&Key, &Vec<Version>)| (name(key), list.clone());
        self.versions.iter().map(named).collect()
    }

    /// Ids of a type that all conditions fit, in their order; the error names the parameter that is
    /// not known.
    pub(crate) fn find(
        &self,
        kind: &str,
        conditions: &[(String, String)],
        base: &str,
    ) -> Result<Vec<String>, String> {
        let known = |name: &str| {
            let name = name.split(':').next().unwrap_or_default();
            matches!(name, "_id" | "identifier" | "patient" | "subject")
        };
        if let Some((name, _)) = conditions.iter().find(|(name, _)| !known(name)) {
            return Err(name.clone());
        }
        let candidates: Vec<&str> = match conditions.iter().find(|it| it.0 == "identifier") {
            Some((_, wanted)) => self.identified(kind, wanted),
            None => self.all(Some(kind)).map(|(key, _)| key.1.as_str()).collect(),
        };
        let fits = |id: &&str| {
            let content = self.current(kind, id);
            content.is_some_and(|it| conditions.iter().all(|one| fits(it, id, one, base)))
        };
        Ok(candidates.into_iter().filter(fits).map(str::to_owned).collect())
    }

    fn identified(&self, kind: &str, wanted: &str) -> Vec<&str> {
        let ids = wanted.split(',').flat_map(|token| {
            let value = token.rsplit('|').next().unwrap_or_default();
            self.identified.get(&(kind.to_owned(), value.to_owned())).into_iter().flatten()
        });
        ids.map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// `Type/id`.
pub(crate) fn name(key: &Key) -> String {
    format!("{}/{}", key.0, key.1)
}

fn fits(content: &Value, id: &str, (name, wanted): &(String, String), base: &str) -> bool {
    let any = |fits: &dyn Fn(&str) -> bool| wanted.split(',').any(fits);
    match name.as_str() {
        "_id" => any(&|wanted| wanted == id),
        "identifier" => any(&|wanted| {
            identifiers(content).any(|(system, value)| match wanted.split_once('|') {
                Some((wanted, "")) => system == wanted,
                Some((of, wanted)) => system == of && value == wanted,
                None => value == wanted,
            })
        }),
        _ => any(&|wanted| {
            let wanted = wanted.strip_prefix(base).unwrap_or(wanted).trim_start_matches('/');
            let wanted = wanted.strip_prefix("Patient/").unwrap_or(wanted);
            ["subject", "patient", "beneficiary"].iter().any(|element| {
                let patient = content[*element]["reference"].as_str();
                patient.and_then(|it| it.strip_prefix("Patient/")) == Some(wanted)
            })
        }),
    }
}

/// System and value of every identifier of a resource; a Bundle has one and no list.
pub(crate) fn identifiers(content: &Value) -> impl Iterator<Item = (&str, &str)> {
    let identifier = &content["identifier"];
    let list = identifier.as_array().map(Vec::as_slice);
    let list = list.unwrap_or_else(|| std::slice::from_ref(identifier));
    list.iter().filter_map(|identifier| {
        Some((identifier["system"].as_str().unwrap_or_default(), identifier["value"].as_str()?))
    })
}
