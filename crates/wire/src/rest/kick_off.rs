//! Kick-off: a request for an export (Bulk Data 2.0.0, kick-off request), before anybody judges it.
//!
//! Comes in   the path below the base, parameters of a URL, a form or a Parameters resource.
//! Goes out   the level, and the parameters by name with their texts, repeated ones as often.
//! Never      knows a parameter: what says nothing has an empty text.

use super::posted::posted;
use crate::rest::Prefer;
use crate::urlencoded;
use axum::extract::Request;
use exchange::Issue;
use exchange::export::Level;
use fhir::{Doc, Parameter, is_id};
use http::{HeaderMap, Method};

/// A request for an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KickOff {
    /// Whose records.
    pub level: Level,
    /// Whether it came by POST: its parameters are then no part of its URL.
    pub posted: bool,
    /// In their order, `_format` and `_pretty` aside.
    pub parameters: Vec<(String, String)>,
    /// How the caller would like to be answered.
    pub prefer: Prefer,
}

impl KickOff {
    /// Errors: `BodyMalformed`, `BodyTooLarge`, `MediaTypeUnsupported`.
    pub(super) async fn read(
        level: Level,
        mut parameters: Vec<(String, String)>,
        headers: &HeaderMap,
        request: Request,
    ) -> Result<KickOff, Issue> {
        let by_post = *request.method() == Method::POST;
        if by_post {
            let sent = posted(headers, request, |one| Ok(text(one)));
            parameters.append(&mut sent.await?);
        }
        Ok(KickOff { level, posted: by_post, parameters, prefer: Prefer::of(headers) })
    }

    /// Its URL below this base, with those of its parameters that were understood: a manifest's `request`.
    pub fn url(&self, base: &str, understood: Vec<(&str, &str)>) -> String {
        let path = match &self.level {
            Level::System => "$export".to_owned(),
            Level::Patient => "Patient/$export".to_owned(),
            Level::Group(id) => format!("Group/{id}/$export"),
        };
        match self.posted || understood.is_empty() {
            true => format!("{base}/{path}"),
            false => format!("{base}/{path}?{}", urlencoded::encode(understood)),
        }
    }
}

/// The level that a path asks for; none where it asks for no export.
pub(super) fn level(segments: &[&str]) -> Option<Level> {
    match *segments {
        ["$export"] => Some(Level::System),
        ["Patient", "$export"] => Some(Level::Patient),
        ["Group", id, "$export"] if is_id(id) => Some(Level::Group(id.to_owned())),
        _ => None,
    }
}

/// What a parameter says, in whichever type an edition of the guide gives it: a primitive's value, the
/// code of a Coding (`includeAssociatedData` of the ballot), the reference of a Reference (`patient`).
fn text(one: &Parameter) -> String {
    let Some(value) = &one.value else { return String::new() };
    let member = match value.element.as_str() {
        "valueCoding" => "code",
        "valueReference" => "reference",
        _ => return value.text.clone().unwrap_or_default(),
    };
    let said = Doc::parse(&value.raw).ok().and_then(|doc| {
        let said = doc.root().get(member)?.text()?;
        Some(said.into_owned())
    });
    said.unwrap_or_default()
}
