//! Numbers: identifiers with their check digits, and base64 for the notes.
//!
//! Comes in   digits or bytes.
//! Goes out   text.
//! Never      a number that belongs to somebody: the ranges are ones nobody is given.

/// Whether these ten digits are a National Provider Identifier: the last is the Luhn check digit
/// over the prefix 80840 and the nine before it (45 CFR 162.406; CMS, NPI check digit).
pub fn is_npi(npi: &str) -> bool {
    npi.len() == 10
        && npi.starts_with(['1', '2'])
        && npi.bytes().all(|b| b.is_ascii_digit())
        && npi.get(..9).and_then(|nine| nine.parse().ok()).map(npi_of).as_deref() == Some(npi)
}

/// The NPI with these first nine digits; the first of them becomes 1, as CMS gives them.
pub(crate) fn npi_of(nine: u32) -> String {
    let digits = format!("808401{:08}", nine % 100_000_000);
    // From the right, every second digit is doubled, beginning with the last.
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            let digit = if place % 2 == 0 { digit * 2 } else { digit };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{}{}", &digits[5..], (10 - sum % 10) % 10)
}

/// Base64 with padding (RFC 4648 §4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, is_npi, npi_of};

    #[test]
    fn check_digits_are_those_of_the_published_example() {
        // 123456789 with check digit 3 is the example of the CMS paper on the check digit.
        assert_eq!(npi_of(123_456_789), "1234567893");
        assert!(is_npi("1234567893"));
        for wrong in ["1234567890", "123456789", "12345678933", "3234567893", "123456789x", ""] {
            assert!(!is_npi(wrong), "{wrong:?} must not pass");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        let table =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in table {
            assert_eq!(base64(plain.as_bytes()), coded, "{plain:?}");
        }
    }
}
