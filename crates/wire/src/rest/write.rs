//! Write: one record to create, update or delete, as a single request asks for it.
//!
//! Comes in   method, path, query, conditional headers and body.
//! Goes out   a `Write`: what the same entry of a Bundle would say.
//! Never      decides what a condition finds.
//!
//! R4 §3.1.0.7 (update), §3.1.0.8 (create), §3.1.0.9 (delete), each with its conditional form.

use bytes::Bytes;
use exchange::{Code, Issue};
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, Method};

use crate::door;
use crate::urlencoded;

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// A condition: decoded search parameters in their order, never none.
pub type Condition = Vec<(String, String)>;

/// One record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Resource type.
    pub kind: String,
    /// What is asked.
    pub action: WriteAction,
    /// `If-Match`, as sent: the version that must be the newest.
    pub if_match: Option<String>,
    /// `If-None-Exist`: for a create, what must not be there yet.
    pub if_none_exist: Option<Condition>,
}

/// What becomes of the record. The bodies are as they arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAction {
    /// `POST Type`: under an id the house gives it.
    Create(Bytes),
    /// `PUT Type/id`.
    Update(String, Bytes),
    /// `PUT Type?condition`: the one record that fits, or a new one.
    UpdateWhere(Condition, Bytes),
    /// `DELETE Type/id`.
    Delete(String),
    /// `DELETE Type?condition`: the one record that fits, if any.
    DeleteWhere(Condition),
}

impl WriteAction {
    /// The letter of the scope it needs: `c`, `u` or `d`.
    pub fn letter(&self) -> char {
        match self {
            WriteAction::Create(_) => 'c',
            WriteAction::Update(..) | WriteAction::UpdateWhere(..) => 'u',
            WriteAction::Delete(_) | WriteAction::DeleteWhere(_) => 'd',
        }
    }
}

/// What a request asks for, before its body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Create,
    Update,
    Delete,
}

impl Asks {
    /// Whether this method on a type (or, with an id, on a record) writes.
    pub(super) fn of(method: &Method, id: Option<&str>, has_query: bool) -> Option<Asks> {
        match *method {
            Method::POST if id.is_none() => Some(Asks::Create),
            Method::PUT if id.is_some() || has_query => Some(Asks::Update),
            Method::DELETE if id.is_some() || has_query => Some(Asks::Delete),
            _ => None,
        }
    }

    pub(super) fn has_body(self) -> bool {
        self != Asks::Delete
    }

    /// With the body, and the conditional headers.
    ///
    /// Errors: `ParameterInvalid` for an `If-None-Exist` that is no query, and for a condition that
    /// would be passed over.
    pub(super) fn write(
        self,
        kind: &str,
        id: Option<&str>,
        condition: Condition,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Write, Issue> {
        if !condition.is_empty() && (id.is_some() || self == Asks::Create) {
            let detail = match id {
                Some(_) => {
                    "a record named by its id takes no parameters; If-Match names its version"
                }
                None => "a create takes no parameters; If-None-Exist is its condition",
            };
            return Err(Issue::new(Code::ParameterInvalid, detail).at("url"));
        }
        let id = id.map(str::to_owned);
        let action = match (self, id) {
            (Asks::Create, _) => WriteAction::Create(body),
            (Asks::Update, Some(id)) => WriteAction::Update(id, body),
            (Asks::Update, None) => WriteAction::UpdateWhere(condition, body),
            (Asks::Delete, Some(id)) => WriteAction::Delete(id),
            (Asks::Delete, None) => WriteAction::DeleteWhere(condition),
        };
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            if headers.contains_key(&name) {
                let detail = "this condition is not one of writing here; If-Match is";
                return Err(Issue::new(Code::ParameterInvalid, detail).at(name.as_str()));
            }
        }
        let if_match = text(headers, &IF_MATCH)?.map(str::to_owned);
        let if_none_exist = match text(headers, &IF_NONE_EXIST)? {
            Some(query) => Some(none_exist(query)?),
            None => None,
        };
        Ok(Write { kind: kind.to_owned(), action, if_match, if_none_exist })
    }
}

fn none_exist(query: &str) -> Result<Condition, Issue> {
    let query = query.trim().split_once('?').map_or(query.trim(), |(_, query)| query);
    let condition =
        urlencoded::decode(query.as_bytes()).map_err(|issue| issue.at("If-None-Exist"))?;
    match condition.is_empty() {
        true => {
            Err(Issue::new(Code::ParameterInvalid, "a condition is needed").at("If-None-Exist"))
        }
        false => Ok(condition),
    }
}

/// A conditional header once, or not at all: passed over, it would allow what it was to prevent.
fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Issue> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(_), None) => match door::text(headers, name) {
            Some(text) => Ok(Some(text)),
            None => Err(unreadable(name)),
        },
        (Some(_), Some(_)) => Err(unreadable(name)),
    }
}

fn unreadable(name: &HeaderName) -> Issue {
    let detail = "this header is needed once, as readable text";
    Issue::new(Code::ParameterInvalid, detail).at(name.as_str())
}
