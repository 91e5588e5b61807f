//! JWT: what both ways of signing in read of a JWT in the same way.
//!
//! Comes in   parts and claims as they came.
//! Goes out   what they say.
//! Never      believes any of it: whose it is, its signature says.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Header or claims; none where they are not JSON of that form.
pub(crate) fn read_part<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Whether a header says no more than that: no other type, no critical extension (RFC 7515 §4.1).
pub(crate) fn is_plain(typ: Option<&str>, crit: Option<&Value>) -> bool {
    crit.is_none() && typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"))
}

/// One audience, as text or as a list of one: a JWT for two servers could be used at both.
pub(crate) fn is_audience(aud: Option<&Value>, url: &str) -> bool {
    match aud {
        Some(Value::String(aud)) => aud == url,
        Some(Value::Array(list)) => list.len() == 1 && list[0] == url,
        _ => false,
    }
}

/// A NumericDate (RFC 7519 §2), in whole seconds; none where it is so far away that a difference of two
/// would not fit: one that wraps around would pass for a short life.
pub(crate) fn seconds(value: Option<&Value>) -> Option<i64> {
    let number = value?.as_f64()?;
    (number.abs() < 1e15).then_some(number as i64)
}
