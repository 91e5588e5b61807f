//! Links: where a resource refers to others, as a stranger reads it.
//!
//! Comes in   a resource as a JSON value.
//! Goes out   every reference, to be looked at or to be written anew.
//! Never      decides whether one is good: that is whoever asked.

use serde_json::Value;

/// Shows every `Reference.reference`.
pub(crate) fn each<'a>(value: &'a Value, see: &mut dyn FnMut(&'a str)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "reference" => see(text),
                    other => each(other, see),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each(item, see)),
        _ => {}
    }
}

/// Writes references and addresses anew; `None` leaves one as it is.
pub(crate) fn rewrite(value: &mut Value, write: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member {
                    Value::String(text) if matches!(name.as_str(), "reference" | "url") => {
                        if let Some(new) = write(text) {
                            *text = new;
                        }
                    }
                    other => rewrite(other, write),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, write)),
        _ => {}
    }
}

/// Type and id of a reference into this server; `None` for all others.
pub(crate) fn local<'a>(text: &'a str, base: &str) -> Option<(&'a str, &'a str)> {
    let path = match text.strip_prefix(base) {
        Some(rest) => rest.strip_prefix('/')?,
        None => text,
    };
    let (kind, rest) = path.split_once('/')?;
    let id = rest.split('/').next()?;
    let good = kind.bytes().all(|letter| letter.is_ascii_alphabetic())
        && kind.starts_with(|first: char| first.is_ascii_uppercase())
        && !id.is_empty();
    good.then_some((kind, id))
}
