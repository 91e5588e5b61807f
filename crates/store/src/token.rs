//! Token: `name|system`, as records are found by it.
//!
//! Comes in   a token that is asked for (an alternative of `RecordQuery.tokens`).
//! Goes out   which tokens of records fit it.
//! Never      reads what a name means.

/// Whether a token that is asked for has its bar: then it is one, and not all of a name.
pub fn is_whole(token: &str) -> bool {
    token.contains('|')
}

/// Whether a record's token fits one that is asked for, as every house finds it.
pub fn fits(asked: &str, own: &str) -> bool {
    match is_whole(asked) {
        true => own == asked,
        false => own.strip_prefix(asked).is_some_and(|rest| rest.starts_with('|')),
    }
}

/// The first and the last token that fit, in the order of bytes: a whole one is itself; a name is
/// followed by a bar and whatever stands behind that.
pub(crate) fn range(token: &str) -> [String; 2] {
    match is_whole(token) {
        true => [token.to_owned(), token.to_owned()],
        false => [format!("{token}|"), format!("{token}|\u{10FFFF}")],
    }
}
