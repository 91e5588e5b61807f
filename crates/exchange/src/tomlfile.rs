//! The faults of a TOML file, told so that a person can mend them.
//!
//! Comes in   the text of a file, its name, and what a reading of it complained of.
//! Goes out   an `Issue` whose place is the file and whose sentence says the line and what to write.
//! Never      a value of the file: it may be a secret or somebody's record number. Names of keys
//!            are quoted where they have the form of one, values are only compared with the words
//!            that were possible.
//!
//! Agreements, restrictions and the house's own configuration are all read through here, so that
//! a mistyped key reads the same everywhere.

use crate::issue::{Code, Issue};
use crate::limits::SUGGEST_CHARS_MAX;
use toml::de::{DeTable, DeValue};

/// The known word that `unknown` was most likely meant to be, if one is near enough: one slip of
/// the pen in a short word, one in three letters in a long one.
pub fn suggest<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    let meant = unknown.to_lowercase();
    if meant.chars().count() > SUGGEST_CHARS_MAX {
        return None;
    }
    let near = |word: &&'k str| {
        let distance = distance(&meant, &word.to_lowercase());
        let allowed = (meant.chars().count().max(word.chars().count()) / 3).max(1);
        (distance <= allowed).then_some((distance, *word))
    };
    known.iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// `; did you mean …?`, or nothing.
pub fn did_you_mean(unknown: &str, known: &[&str]) -> String {
    suggest(unknown, known).map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

/// Turns a TOML error into an issue with line and suggestion. `text` is what was read.
pub fn issue(code: Code, file_name: &str, text: &str, error: &toml::de::Error) -> Issue {
    let line = error.span().map(|span| line_at(text, span.start));
    at_line(code, file_name, line, told(error.message()))
}

/// The same for every file that configures a house: [`Code::ConfigInvalid`].
pub fn toml_issue(error: &toml::de::Error, text: &str, file_name: &str) -> Issue {
    issue(Code::ConfigInvalid, file_name, text, error)
}

/// An issue at a file, whose sentence begins with the line when it is known.
pub fn at_line(
    code: Code,
    file_name: &str,
    line: Option<usize>,
    detail: impl Into<String>,
) -> Issue {
    let detail = detail.into();
    let detail = match line {
        Some(line) => format!("line {line}: {detail}"),
        None => detail,
    };
    Issue::new(code, detail).at(file_name)
}

/// The line, counted from 1, that the byte at `offset` stands in.
pub fn line_at(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// The line of the value that a way of keys and positions leads to (`cut`, `2`, `element`), or of
/// the last thing on that way that exists.
pub fn line_of(text: &str, way: &[&str]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = Some(root.get_ref());
    let mut array = None;
    for step in way {
        let next = match (table, array) {
            (Some(table), _) => {
                let entry = table.iter().find(|(key, _)| key.get_ref() == step);
                entry.map(|(key, value)| (key.span().start, value))
            }
            (None, Some(items)) => {
                let items: &toml::de::DeArray<'_> = items;
                let item = step.parse::<usize>().ok().and_then(|at| items.get(at));
                item.map(|value| (value.span().start, value))
            }
            (None, None) => None,
        };
        let Some((start, value)) = next else { break };
        found = Some(start);
        (table, array) = match value.get_ref() {
            DeValue::Table(table) => (Some(table), None),
            DeValue::Array(items) => (None, Some(items)),
            _ => (None, None),
        };
    }
    found.map(|start| line_at(text, start))
}

/// The reader's message in our words, without any value of the file.
fn told(message: &str) -> String {
    let (fault, expected) = match message.split_once(", expected ") {
        Some((fault, expected)) => (fault, Some(expected)),
        None => (message, None),
    };
    let known = quoted(expected.unwrap_or_default());
    let word = quoted(fault).first().copied().unwrap_or_default();
    if fault.starts_with("unknown field") {
        let is_key = word.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte));
        let word = if is_key && word.len() <= SUGGEST_CHARS_MAX { word } else { "…" };
        return format!("unknown key `{word}`{}", did_you_mean(word, &known));
    }
    if fault.starts_with("unknown variant") {
        let words = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let meant = did_you_mean(word, &known);
        return format!("a word stands here that is not one of {words}{meant}");
    }
    if fault.starts_with("missing field") {
        return format!("the key `{word}` is missing");
    }
    if fault.starts_with("invalid ") {
        // `invalid type: string "…"`: what stands before the comma quotes the value.
        let last = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        if fault.contains(": ") || last.is_none() {
            let expected = last.map(|last| format!("; expected {last}")).unwrap_or_default();
            return format!("the value cannot be used here{expected}");
        }
    }
    let fault = if fault.starts_with("duplicate field") { "duplicate key" } else { fault };
    match expected {
        Some(expected) => format!("not valid TOML: {fault}; expected {expected}"),
        None => format!("not valid TOML: {fault}"),
    }
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Edit distance with neighbouring letters exchanged as one slip (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        let known = ["purposes", "partner", "permit", "cut"];
        let table = [
            ("purpose", Some("purposes")),
            ("Purposes", Some("purposes")),
            ("prupsoes", Some("purposes")),
            ("permits", Some("permit")),
            ("cuts", Some("cut")),
            ("elements", None),
            ("", None),
        ];
        for (written, meant) in table {
            assert_eq!(suggest(written, &known), meant, "{written}");
        }
        assert_eq!(suggest(&"x".repeat(10_000), &known), None, "long words cost nothing");
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct House {
        name: String,
        #[serde(default)]
        port: u16,
        #[serde(default)]
        mode: Option<crate::purpose::Level>,
    }

    #[test]
    fn a_fault_names_its_line_and_never_the_value() {
        let table = [
            ("an unknown key", "name = 'x'\nprot = 1", 2, "did you mean `port`?"),
            ("a wrong type", "name = 'x'\nport = 'SECRET'", 2, "expected u16"),
            ("too large a number", "name = 'x'\nport = 99999990", 2, "expected u16"),
            ("a wrong word", "name = 'x'\n\nmode = 'SECRET'", 3, "not one of `taken`"),
            ("a near word", "name = 'x'\nmode = 'fild'", 2, "did you mean `filed`?"),
            ("a missing key", "port = 1", 1, "the key `name` is missing"),
            ("a key twice", "name = 'x'\nname = 'SECRET'", 2, "duplicate key"),
            ("an open string", "name = 'x'\nport = \"SECRET", 2, "not valid TOML"),
            ("no string", "name = SECRET", 1, "not valid TOML"),
            ("a broken header", "name = 'x'\n[[permit\nx = 1", 2, "not valid TOML"),
        ];
        for (case, text, line, words) in table {
            let error = toml::from_str::<House>(text).unwrap_err();
            let issue = issue(Code::ConfigInvalid, "house.toml", text, &error);
            assert_eq!(issue.expression.as_deref(), Some("house.toml"), "{case}: {issue}");
            assert!(issue.detail.starts_with(&format!("line {line}: ")), "{case}: {issue}");
            assert!(issue.detail.contains(words), "{case}: {}", issue.detail);
            let told = issue.to_string();
            assert!(!told.contains("SECRET") && !told.contains("9999999"), "{case}: {told}");
        }
    }

    #[test]
    fn a_way_of_keys_and_positions_leads_to_its_line() {
        let text = "a = 1\n[[cut]]\nrule = 'x'\n[[cut]]\nrule = 'y'\nelement = 'z'\n";
        assert_eq!(line_of(text, &["cut", "1", "element"]), Some(6));
        assert_eq!(line_of(text, &["cut", "1", "missing"]), Some(4));
        assert_eq!(line_of(text, &["nowhere"]), None);
    }
}
