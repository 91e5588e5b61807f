//! Chance: ids drawn at the edge, so that the rooms below get them as arguments.
//!
//! Comes in   nothing.
//! Goes out   an id as text.
//! Never      a key or a token: those are made where they are kept.

/// A fresh id of 16 hexadecimal digits: not guessable, and random from the first digit on, so that
/// a person can name one by its first few.
pub fn draw_id() -> String {
    let drawn = uuid::Uuid::new_v4().simple().to_string();
    drawn[16..].to_owned()
}
