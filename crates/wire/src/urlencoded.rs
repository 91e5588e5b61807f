//! Urlencoded: names and values in a query or in a posted form (application/x-www-form-urlencoded).
//!
//! Comes in   the text after `?`, or a body.
//! Goes out   pairs in their order, decoded; or text.
//! Never      guesses: a broken escape or bytes that are not UTF-8 are an issue, and more pairs
//!            than the limit as well.

use crate::limits::PARAMETERS_MAX;
pub use exchange::query::encode;
use exchange::{Code, Issue};

/// Decodes pairs; a part without `=` is a name with an empty value.
///
/// Errors: `ParameterInvalid`, without quoting what came.
pub fn decode(text: &[u8]) -> Result<Vec<(String, String)>, Issue> {
    exchange::query::decode(text, PARAMETERS_MAX)
        .map_err(|fault| Issue::new(Code::ParameterInvalid, fault))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    //! Goal: what one side encodes the other decodes, and broken text is refused.

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let pairs =
            [("_id", "a"), ("code", "http://loinc.org|718-7"), ("n", "ä b+c&d=e%"), ("", "")];
        let text = encode(pairs);
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
        let decoded = decode(text.as_bytes()).unwrap();
        assert!(decoded.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(pairs));
    }

    #[test]
    fn broken_text_is_refused() {
        let many = "a=1&".repeat(PARAMETERS_MAX + 1);
        let table: [(&str, &[u8]); 6] = [
            ("escape cut short", b"a=%4"),
            ("escape not hexadecimal", b"a=%zz"),
            ("not UTF-8", b"a=%ff"),
            ("an escaped nought in a value", b"a=b%00c"),
            ("a raw nought in a name", b"a\0=b"),
            ("too many", many.as_bytes()),
        ];
        for (case, text) in table {
            assert_eq!(decode(text).unwrap_err().code, Code::ParameterInvalid, "{case}");
        }
    }
}
