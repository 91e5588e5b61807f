//! Token: `name|system`, as records are found by it.
//!
//! Comes in   a token that is asked for.
//! Goes out   which tokens fit it.
//! Never      reads what a name means.

/// Whether a token that is asked for has its bar: then it is one, and not all of a name.
pub(crate) fn is_whole(token: &str) -> bool {
    token.contains('|')
}

/// The first and the last token that fit, in the order of bytes: a whole one is itself; a name is
/// followed by a bar and whatever stands behind that.
pub(crate) fn range(token: &str) -> [String; 2] {
    match is_whole(token) {
        true => [token.to_owned(), token.to_owned()],
        false => [format!("{token}|"), format!("{token}|\u{10FFFF}")],
    }
}
