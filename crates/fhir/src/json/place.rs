//! The place of a value or a fault, written as FHIRPath.
//!
//! Comes in   the list of values, whole or as far as reading came.
//! Goes out   `Patient.name[0].given[1]`; `$this` stands for a document that names no type of R4.
//! Never      quotes a value; a member name that no element can have is written `?`, since
//!            anything may stand there.

use super::{Kind, Token};
use crate::limits::NAME_CHARS_MAX;
use crate::r4::Type;
use std::fmt::Write as _;

/// The way to a value of a document that was read.
pub(super) fn of_value(text: &str, tokens: &[Token], index: u32) -> String {
    let mut way = vec![0];
    let mut at = 0;
    while at != index {
        let below = children(tokens, at).find(|&child| index < tokens[child as usize].next);
        let Some(child) = below else { break };
        way.push(child);
        at = child;
    }
    written(text, tokens, &way)
}

/// The way to the innermost value that was open when reading stopped. Reading goes depth first,
/// so the values still open are exactly that way.
pub(super) fn of_fault(text: &str, tokens: &[Token]) -> String {
    let open = (0..tokens.len() as u32).filter(|&at| tokens[at as usize].is_open());
    written(text, tokens, &open.collect::<Vec<_>>())
}

fn written(text: &str, tokens: &[Token], way: &[u32]) -> String {
    let mut path = resource_type(text, tokens).unwrap_or("$this").to_owned();
    for step in way.windows(2) {
        let (parent, child) = (step[0], step[1]);
        let token = tokens[child as usize];
        if tokens[parent as usize].kind == Kind::Array {
            let position = children(tokens, parent).take_while(|&at| at != child).count();
            let _ = write!(path, "[{position}]");
        } else {
            let name = &text[token.key.0 as usize..token.key.1 as usize];
            let _ = write!(path, ".{}", if is_name(name) { name } else { "?" });
        }
    }
    path
}

fn resource_type<'t>(text: &'t str, tokens: &[Token]) -> Option<&'t str> {
    if tokens.first()?.kind != Kind::Object {
        return None;
    }
    let named = |token: &Token| &text[token.key.0 as usize..token.key.1 as usize] == "resourceType";
    let found = children(tokens, 0).map(|at| tokens[at as usize]).find(named)?;
    if found.kind != Kind::String || found.is_open() {
        return None;
    }
    let kind = &text[found.start as usize + 1..found.end as usize - 1];
    Type::named(kind).map(|_| kind)
}

/// Whether an element can have this name: they all begin with a small letter (R4 §2.6.2).
fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The values right below one; an open value reaches to the end of the list, and is the last of
/// its siblings.
fn children(tokens: &[Token], at: u32) -> impl Iterator<Item = u32> + '_ {
    let past = |token: Token| if token.is_open() { tokens.len() as u32 } else { token.next };
    let end = past(tokens[at as usize]);
    let first = (at + 1 < end).then_some(at + 1);
    std::iter::successors(first, move |&child| {
        Some(past(tokens[child as usize])).filter(|&next| next < end)
    })
}
