//! Urlencoded: names and values in a query or in a posted form (application/x-www-form-urlencoded).
//!
//! Comes in   the text after `?`, or a body.
//! Goes out   pairs in their order, decoded; or text.
//! Never      guesses: a broken escape or bytes that are not UTF-8 are an issue, and more pairs
//!            than the limit as well.

use crate::limits::PARAMETERS_MAX;
use exchange::{Code, Issue};

/// Decodes pairs; a part without `=` is a name with an empty value.
///
/// Errors: `ParameterInvalid`, without quoting what came.
pub fn decode(text: &[u8]) -> Result<Vec<(String, String)>, Issue> {
    let mut pairs = Vec::new();
    for part in text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        if pairs.len() == PARAMETERS_MAX {
            return Err(invalid("there are more parameters than this door takes"));
        }
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = decode_part(halves.next().unwrap_or_default())?;
        let value = decode_part(halves.next().unwrap_or_default())?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Encodes pairs; everything but RFC 3986 unreserved characters is escaped.
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        encode_part(&mut text, name);
        text.push('=');
        encode_part(&mut text, value);
    }
    text
}

fn encode_part(text: &mut String, part: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push('%');
            text.push(HEX[usize::from(byte >> 4)].into());
            text.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

fn decode_part(part: &[u8]) -> Result<String, Issue> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            (b'%', _) => return Err(invalid("a percent escape is cut short")),
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("a parameter is not UTF-8"))
}

fn digit(byte: u8) -> Result<u8, Issue> {
    let digit = char::from(byte).to_digit(16);
    digit.map(|digit| digit as u8).ok_or_else(|| invalid("a percent escape is not hexadecimal"))
}

fn invalid(detail: &str) -> Issue {
    Issue::new(Code::ParameterInvalid, detail)
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
        let table: [(&str, &[u8]); 4] = [
            ("escape cut short", b"a=%4"),
            ("escape not hexadecimal", b"a=%zz"),
            ("not UTF-8", b"a=%ff"),
            ("too many", many.as_bytes()),
        ];
        for (case, text) in table {
            assert_eq!(decode(text).unwrap_err().code, Code::ParameterInvalid, "{case}");
        }
    }
}
