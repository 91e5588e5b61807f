//! Desk: single interactions, as a stranger reads R4 §3.1.0.
//!
//! Comes in   what is asked of one record or one type.
//! Goes out   what was written, or a refusal with its status.
//! Never      does what the profile does not offer; never leaves half of a write.

use super::links;
use super::profile::{Abilities, Habit, Offer};
use super::records::Records;
use super::strict;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// Of the value set issue-type.
    pub(crate) code: &'static str,
    pub(crate) words: String,
    /// FHIRPath; empty where there is none.
    pub(crate) place: String,
}

impl Refused {
    pub(crate) fn new(status: u16, code: &'static str, words: impl Into<String>) -> Refused {
        Refused { status, code, words: words.into(), place: String::new() }
    }

    pub(crate) fn at(self, place: impl Into<String>) -> Refused {
        Refused { place: place.into(), ..self }
    }

    pub(crate) fn outcome(&self) -> Value {
        let mut issue = json!({
            "severity": "error", "code": self.code, "diagnostics": self.words,
        });
        if !self.place.is_empty() {
            issue["expression"] = json!([self.place]);
        }
        json!({ "resourceType": "OperationOutcome", "issue": [issue] })
    }
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// 200, 201 or 204.
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) id: String,
    /// The version that stands now; `None` after a deletion.
    pub(crate) version: Option<u32>,
}

pub(crate) type Told<T> = Result<T, Refused>;

/// Whoever answers, with the records before him.
pub(crate) struct Desk<'a> {
    pub(crate) abilities: &'a Abilities,
    pub(crate) records: &'a mut Records,
    /// The FHIR base, without a slash at its end.
    pub(crate) base: &'a str,
    pub(crate) at: Timestamp,
    /// References into what is being written are looked at when all of it stands.
    pub(crate) later: bool,
}

impl Desk<'_> {
    fn needs(&self, offer: Offer, words: &str) -> Told<()> {
        if self.abilities.offer(offer) {
            return Ok(());
        }
        Err(Refused::new(405, "not-supported", words))
    }

    pub(crate) fn known(&self, kind: &str) -> Told<()> {
        if self.abilities.kinds.contains(&kind) {
            return Ok(());
        }
        Err(Refused::new(404, "not-supported", "this server does not have that type"))
    }

    /// `POST Type`, with the condition of `If-None-Exist`.
    pub(crate) fn create(
        &mut self,
        kind: &str,
        content: Value,
        condition: Option<&str>,
    ) -> Told<Written> {
        self.known(kind)?;
        self.needs(Offer::Create, "this server does not take POST")?;
        self.examine(kind, &content)?;
        if let Some(condition) = self.heeded(condition, Offer::ConditionalCreate)? {
            let found = self.matches(kind, condition)?;
            if let Some(id) = found {
                let version = self.records.history(kind, &id).last().map(|it| it.number);
                return Ok(Written { status: 200, kind: kind.to_owned(), id, version });
            }
        }
        self.examine_links(&content)?;
        let id = self.records.give_id();
        Ok(self.put_down(kind, &id, content, 201))
    }

    /// `PUT Type/id`, with `If-Match`.
    pub(crate) fn update(
        &mut self,
        kind: &str,
        id: &str,
        content: Value,
        if_match: Option<&str>,
    ) -> Told<Written> {
        self.known(kind)?;
        self.needs(Offer::Update, "this server does not take PUT")?;
        self.examine(kind, &content)?;
        match content["id"].as_str() {
            Some(own) if own == id => {}
            Some(_) => {
                let refused = Refused::new(400, "invalid", "the id is not that of the address");
                return Err(refused.at(format!("{kind}.id")));
            }
            None => {
                let refused = Refused::new(400, "required", "an update needs the id in its body");
                return Err(refused.at(format!("{kind}.id")));
            }
        }
        let version = self.records.history(kind, id).last().map(|it| it.number);
        let is_there = self.records.current(kind, id).is_some();
        if let Some(wanted) = if_match
            && version.filter(|_| is_there) != tagged(wanted)
        {
            return Err(Refused::new(412, "conflict", "another version stands now"));
        }
        if version.is_none() {
            self.needs(Offer::UpdateCreate, "this server gives the ids itself")?;
        }
        self.examine_links(&content)?;
        Ok(self.put_down(kind, id, content, if is_there { 200 } else { 201 }))
    }

    /// `PUT Type?condition`.
    pub(crate) fn update_where(
        &mut self,
        kind: &str,
        condition: &str,
        mut content: Value,
    ) -> Told<Written> {
        self.known(kind)?;
        self.needs(Offer::ConditionalUpdate, "this server takes no conditional updates")?;
        self.examine(kind, &content)?;
        let own = content["id"].as_str().map(str::to_owned);
        match (self.matches(kind, condition)?, own) {
            (Some(id), Some(own)) if id != own => {
                Err(Refused::new(400, "invalid", "the id is not that of the match"))
            }
            (Some(id), _) => {
                self.examine_links(&content)?;
                Ok(self.put_down(kind, &id, content, 200))
            }
            (None, Some(own)) => {
                content["id"] = json!(own);
                self.update(kind, &own, content, None)
            }
            (None, None) => {
                self.examine_links(&content)?;
                let id = self.records.give_id();
                Ok(self.put_down(kind, &id, content, 201))
            }
        }
    }

    /// `DELETE Type/id`.
    pub(crate) fn delete(&mut self, kind: &str, id: &str) -> Told<Written> {
        self.known(kind)?;
        self.needs(Offer::Delete, "this server deletes nothing")?;
        if !self.later {
            self.examine_gone(kind, id)?;
        }
        self.records.delete(kind, id, self.at);
        Ok(Written { status: 204, kind: kind.to_owned(), id: id.to_owned(), version: None })
    }

    fn put_down(&mut self, kind: &str, id: &str, content: Value, status: u16) -> Written {
        let version = self.records.store(kind, id, content, self.at);
        Written { status, kind: kind.to_owned(), id: id.to_owned(), version: Some(version) }
    }

    /// A condition, where this server heeds conditions.
    fn heeded<'c>(&self, condition: Option<&'c str>, offer: Offer) -> Told<Option<&'c str>> {
        match condition {
            Some(_) if self.abilities.offer(offer) => Ok(condition),
            Some(_) if self.abilities.is(Habit::IgnoresConditions) => Ok(None),
            Some(_) => Err(Refused::new(400, "not-supported", "this server takes no conditions")),
            None => Ok(None),
        }
    }

    /// The one record that a condition fits, or none.
    pub(crate) fn matches(&self, kind: &str, condition: &str) -> Told<Option<String>> {
        let pairs = pairs(condition)?;
        if pairs.is_empty() {
            return Err(Refused::new(412, "required", "a condition names a parameter"));
        }
        let found = self.records.find(kind, &pairs, self.base).map_err(|_| {
            Refused::new(400, "not-supported", "the condition has a parameter of no use here")
        })?;
        match found.len() {
            0 | 1 => Ok(found.into_iter().next()),
            _ => Err(Refused::new(412, "multiple-matches", "more than one record fits")),
        }
    }

    /// Whether a body is a resource of its type, and one that this server takes.
    pub(crate) fn examine(&self, kind: &str, content: &Value) -> Told<()> {
        if content["resourceType"].as_str() != Some(kind) {
            let refused = Refused::new(400, "structure", "the body is not of the address's type");
            return Err(refused.at("resourceType"));
        }
        if kind == "Bundle"
            && self.abilities.offer(Offer::Collection)
            && content["type"] != "collection"
        {
            let refused = Refused::new(400, "not-supported", "only collections are taken");
            return Err(refused.at("Bundle.type"));
        }
        strict::examine(self.abilities, content)
    }

    /// Whether everything that is referred to is there.
    pub(crate) fn examine_links(&self, content: &Value) -> Told<()> {
        if self.later || !self.abilities.is(Habit::ResolvedReferencesOnly) {
            return Ok(());
        }
        let mut missing = None;
        links::each(content, &mut |text| {
            let there = match links::local(text, self.base) {
                Some((kind, id)) => self.records.current(kind, id).is_some(),
                None => !text.starts_with("urn:") && !text.contains('?'),
            };
            if !there {
                missing.get_or_insert_with(|| text.split('/').next().unwrap_or_default());
            }
        });
        match missing {
            None => Ok(()),
            Some(_) => {
                let kind = content["resourceType"].as_str().unwrap_or_default();
                let words = "a reference is to a record that is not there";
                Err(Refused::new(400, "not-found", words).at(format!("{kind}.reference")))
            }
        }
    }

    /// Whether nothing refers to what is to be deleted.
    pub(crate) fn examine_gone(&self, kind: &str, id: &str) -> Told<()> {
        if !self.abilities.is(Habit::ResolvedReferencesOnly) {
            return Ok(());
        }
        let mut referred = false;
        for (key, content) in self.records.all(None) {
            links::each(content, &mut |text| {
                let same = links::local(text, self.base) == Some((kind, id));
                referred |= same && (key.0.as_str(), key.1.as_str()) != (kind, id);
            });
        }
        if referred {
            return Err(Refused::new(409, "conflict", "other records refer to it"));
        }
        Ok(())
    }
}

/// Names and values of a query.
pub(crate) fn pairs(query: &str) -> Told<Vec<(String, String)>> {
    exchange::query::decode(query.as_bytes(), 100)
        .map_err(|_| Refused::new(400, "invalid", "the query cannot be read"))
}

/// The number in `W/"3"`.
fn tagged(etag: &str) -> Option<u32> {
    etag.trim().trim_start_matches("W/").trim_matches('"').parse().ok()
}
