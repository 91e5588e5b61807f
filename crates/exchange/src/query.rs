//! Query: what a caller asks to read; names and values of a query
//! (application/x-www-form-urlencoded), in urls, conditional references and posted forms.
//!
//! Comes in   the text after `?`, or a body; or pairs to send.
//! Goes out   pairs in their order, decoded; or the text.
//! Never      guesses: a broken escape, bytes that are not UTF-8, U+0000 (which no string of FHIR
//!            holds, and not every store keeps) and more pairs than allowed are faults, told
//!            without quoting what came.

/// What becomes of parameters that are not known where they are asked (`Prefer: handling=…`, R4
/// §3.1.1.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Handling {
    /// They are refused.
    #[default]
    Strict,
    /// They are passed over, and the answer's self link leaves them out.
    Lenient,
}

/// Decoded names and values, in their order.
pub type Parameters = Vec<(String, String)>;

/// What a caller asks to read (R4 §3.1.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask<'a> {
    /// A record's newest version.
    Read {
        /// Resource type.
        kind: &'a str,
        /// Logical id.
        id: &'a str,
    },
    /// One of its versions.
    Vread {
        /// Resource type.
        kind: &'a str,
        /// Logical id.
        id: &'a str,
        /// Which one.
        version: u64,
    },
    /// All of its versions, page by page.
    History {
        /// Resource type.
        kind: &'a str,
        /// Logical id.
        id: &'a str,
        /// What narrows the answer.
        parameters: Parameters,
        /// What becomes of unknown ones.
        handling: Handling,
    },
    /// The records of a type that fit, page by page.
    Search {
        /// Resource type.
        kind: &'a str,
        /// What they must fit.
        parameters: Parameters,
        /// What becomes of unknown ones.
        handling: Handling,
    },
    /// `$everything` about a record, page by page.
    Everything {
        /// Resource type.
        kind: &'a str,
        /// Logical id.
        id: &'a str,
        /// What narrows the answer.
        parameters: Parameters,
        /// What becomes of unknown ones.
        handling: Handling,
    },
}

/// Decodes pairs; a part without `=` is a name with an empty value. Errors: one sentence.
pub fn decode(text: &[u8], pairs_max: usize) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs = Vec::new();
    for part in text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        if pairs.len() == pairs_max {
            return Err("there are more parameters than this door takes");
        }
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let name = decode_part(halves.next().unwrap_or_default())?;
        let value = decode_part(halves.next().unwrap_or_default())?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Encodes pairs; everything but unreserved characters is escaped (RFC 3986 §2.3).
pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        encode_pair(&mut text, name, value);
    }
    text
}

/// Adds `name=value`, escaped as `encode` does.
pub fn encode_pair(text: &mut String, name: &str, value: &str) {
    encode_part(text, name);
    text.push('=');
    encode_part(text, value);
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

/// One name or value, without its escapes.
pub(crate) fn decode_part(part: &[u8]) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            (b'%', _) => return Err("a percent escape is cut short"),
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    if bytes.contains(&0) {
        return Err("a parameter holds the character U+0000, which FHIR forbids");
    }
    String::from_utf8(bytes).map_err(|_| "a parameter is not UTF-8")
}

fn digit(byte: u8) -> Result<u8, &'static str> {
    let digit = char::from(byte).to_digit(16);
    digit.map(|digit| digit as u8).ok_or("a percent escape is not hexadecimal")
}
