//! Query: names and values of a query (application/x-www-form-urlencoded), in urls, conditional
//! references and posted forms.
//!
//! Comes in   the text after `?`, or a body.
//! Goes out   pairs in their order, decoded.
//! Never      guesses: a broken escape, bytes that are not UTF-8, U+0000 (which no string of FHIR
//!            holds, and not every store keeps) and more pairs than allowed are faults, told without quoting what came.

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

fn decode_part(part: &[u8]) -> Result<String, &'static str> {
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
