//! Requirements: the numbered sentences of two guides, and what is said of them by hand.
//!
//! Comes in   the tables of the guides' test kits (CSV), and lists of ids, each with a reason.
//! Goes out   one `Requirement` a number, and an id's reason.
//! Never      repeats a requirement's text: its number and its place in the guide are enough.

use std::collections::BTreeMap;
use std::path::Path;

/// The guides that tests are traced to: the word of a `Proves:` line, the table, and which of the
/// table's editions counts (the newest; an edition's numbers are those of the others).
pub const GUIDES: &[Guide] = &[
    Guide {
        word: "smart",
        title: "SMART App Launch",
        table: "smart_app_launch_test_kit_requirements.csv",
        edition: "hl7.fhir.uv.smart-app-launch_2.2.0",
    },
    Guide {
        word: "udap",
        title: "UDAP Security (FAST)",
        table: "udap_security_test_kit_requirements.csv",
        edition: "hl7.fhir.us.udap-security_1.0.0",
    },
    // Its numbers are those of 1.0.0 too, and what binds there binds here.
    Guide {
        word: "bulk",
        title: "Bulk Data Access",
        table: "bulk_data_test_kit_requirements.csv",
        edition: "hl7.fhir.uv.bulkdata_2.0.0",
    },
];

/// One guide.
#[derive(Debug)]
pub struct Guide {
    /// How a `Proves:` line names it.
    pub word: &'static str,
    /// How people name it.
    pub title: &'static str,
    /// Its table's file name.
    pub table: &'static str,
    /// The table's `Req Set` that counts.
    pub edition: &'static str,
}

/// One numbered requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// `SHALL`, `SHALL NOT`, `SHOULD`, …
    pub verb: String,
    /// `Client`, `Server`, or both.
    pub actor: String,
    /// Its place in the guide; empty where the table gives none.
    pub url: String,
}

impl Requirement {
    /// Whether it must be met, and no choice is left.
    pub fn binds(&self) -> bool {
        matches!(self.verb.as_str(), "SHALL" | "SHALL NOT")
    }
}

/// The requirements of each guide by number, in the order of `GUIDES`.
pub type Tables = Vec<BTreeMap<u32, Requirement>>;

/// Reads the tables in the folder `requirements` of `data`. The error is a sentence.
pub fn read(data: &Path) -> Result<Tables, String> {
    let table = |guide: &Guide| {
        let path = data.join("requirements").join(guide.table);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        requirements(&text, guide.edition).ok_or(format!("{} is no such table", guide.table))
    };
    GUIDES.iter().map(table).collect()
}

/// The rows of one edition; `None` when the table lacks a column or an id is no number.
pub fn requirements(text: &str, edition: &str) -> Option<BTreeMap<u32, Requirement>> {
    let rows = rows(text.trim_start_matches('\u{feff}'));
    let (head, rows) = rows.split_first()?;
    let column = |name: &str| head.iter().position(|cell| cell == name);
    let (set, id, url) = (column("Req Set")?, column("ID")?, column("URL")?);
    let (verb, actor) = (column("Conformance")?, column("Actors")?);
    let ours = rows.iter().filter(|row| row.get(set).is_some_and(|cell| cell == edition));
    let one = |row: &Vec<String>| {
        let cell = |at: usize| row.get(at).map(|cell| cell.trim().to_owned());
        let requirement =
            Requirement { verb: cell(verb)?, actor: cell(actor)?.to_lowercase(), url: cell(url)? };
        Some((cell(id)?.parse().ok()?, requirement))
    };
    ours.map(one).collect()
}

/// Comma-separated rows; a quoted cell may hold commas, line ends and doubled quotes.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut signs = text.chars().peekable();
    let mut quoted = false;
    while let Some(sign) = signs.next() {
        match sign {
            '"' if quoted && signs.peek() == Some(&'"') => {
                signs.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            _ if quoted => cell.push(sign),
            ',' => row.push(std::mem::take(&mut cell)),
            '\r' => {}
            '\n' => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(sign),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

/// The numbers at the front of a text (`1-45, 47`), and the rest of it.
///
/// `None` when it does not begin with a number, or a range runs backwards.
pub fn numbers(text: &str) -> Option<(Vec<u32>, &str)> {
    let listed = |sign: char| sign.is_ascii_digit() || matches!(sign, '-' | ',' | ' ');
    let end = text.find(|sign| !listed(sign)).unwrap_or(text.len());
    let mut ids = Vec::new();
    for part in text[..end].trim().split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        if from > to {
            return None;
        }
        ids.extend(from..=to);
    }
    Some((ids, text[end..].trim()))
}

/// Numbers as people write them: `1-3, 7`. The numbers must be sorted.
pub fn ranges(ids: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == *id => *to = *id,
            _ => parts.push((*id, *id)),
        }
    }
    let told = |(from, to): &(u32, u32)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    parts.iter().map(told).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    //! Goal: the tables and the lists are read as they are written.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_is_read_by_its_columns_and_only_the_edition_that_counts() {
        let text = "\u{feff}Req Set,ID,URL,Requirement,Conformance,Actors\r\n\
            a_1,1,https://x/#p,\"says \"\"this\"\",\nand that\",SHALL,\"Server, Client\"\r\n\
            a_2,1,https://y/#p,other,SHOULD,Client\r\n";
        let table = requirements(text, "a_1").unwrap();
        let expected = Requirement {
            verb: "SHALL".into(),
            actor: "server, client".into(),
            url: "https://x/#p".into(),
        };
        assert_eq!(table, BTreeMap::from([(1, expected)]));
        assert!(!requirements(text, "a_2").unwrap()[&1].binds());
        assert_eq!(requirements("Req Set,ID\na_1,1\n", "a_1"), None, "a column is missing");
    }

    #[test]
    fn numbers_are_listed_as_people_do() {
        let table = [
            ("12 why", Some((vec![12], "why"))),
            ("1-3, 7 why so", Some((vec![1, 2, 3, 7], "why so"))),
            ("5", Some((vec![5], ""))),
            ("7-5 why", None),
            ("why", None),
            ("1,, 2", None),
        ];
        for (text, expected) in table {
            assert_eq!(numbers(text), expected, "{text}");
        }
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3, 7, 9-10");
    }
}
