//! Source: a Rust file with its comments and literals told apart from its code.
//!
//! Comes in   the text of one file, formatted by rustfmt.
//! Goes out   the same lines with comments and literals blanked; which lines are tests.
//! Never      parses Rust: it knows just enough of it to tell a word from a quotation.
//!
//! Why not plain searching: a rule that trips over its own name in a comment is soon ignored.

use crate::tree::File;

/// One Rust file, line by line.
#[derive(Debug)]
pub struct Source<'a> {
    /// Path relative to the root.
    pub path: &'a str,
    /// Lines as written.
    pub lines: Vec<&'a str>,
    /// The same lines, with comments and the insides of literals blanked.
    pub code: Vec<String>,
    /// For each line, whether it belongs to a test.
    pub test: Vec<bool>,
}

impl<'a> Source<'a> {
    /// Reads one file.
    pub fn of(file: &'a File) -> Source<'a> {
        let lines: Vec<&str> = file.text.lines().collect();
        let code: Vec<String> = blanked(&file.text).lines().map(String::from).collect();
        let all = is_test_path(&file.path);
        let test = if all { vec![true; lines.len()] } else { test_regions(&code) };
        Source { path: &file.path, lines, code, test }
    }

    /// The crate's folder name, for files under `crates/`; `xtask` for its own.
    pub fn room(&self) -> Option<&'a str> {
        let mut parts = self.path.split('/');
        match parts.next()? {
            "crates" => parts.next(),
            "xtask" => Some("xtask"),
            _ => None,
        }
    }

    /// Code lines outside tests, each with its number counted from 1.
    pub fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().filter(|(number, _)| !self.test[number - 1])
    }

    /// Code lines of tests, each with its number counted from 1.
    pub fn tested(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().filter(|(number, _)| self.test[number - 1])
    }

    /// All code lines, each with its number counted from 1.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }
}

fn is_test_path(path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let folder = |part: &&str| matches!(*part, "tests" | "benches" | "fuzz");
    parts.iter().any(folder) || name == "tests.rs" || name.ends_with("_tests.rs")
}

/// Marks every item under `#[cfg(test)]`: to the brace that closes it, or to its semicolon.
fn test_regions(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    let mut index = 0;
    while index < code.len() {
        let start = index;
        index += 1;
        if !code[start].trim_start().starts_with("#[cfg(test)]") {
            continue;
        }
        let mut depth = 0_usize;
        let mut end = start;
        'item: for (at, line) in code.iter().enumerate().skip(start) {
            end = at;
            for sign in line.chars() {
                match sign {
                    '{' => depth += 1,
                    '}' if depth <= 1 => break 'item,
                    '}' => depth -= 1,
                    ';' if depth == 0 => break 'item,
                    _ => {}
                }
            }
        }
        test[start..=end].fill(true);
        index = end + 1;
    }
    test
}

/// The text with comments and the insides of string and character literals replaced by spaces.
/// Line ends stay where they are.
pub fn blanked(text: &str) -> String {
    let signs: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < signs.len() {
        let end = literal_end(&signs, at);
        if end == at {
            out.push(signs[at]);
            at += 1;
        } else {
            out.extend(signs[at..end].iter().map(|sign| if *sign == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(signs: &[char], at: usize) -> usize {
    let next = signs.get(at + 1).copied();
    match (signs[at], next) {
        ('/', Some('/')) => find(signs, at, '\n'),
        ('/', Some('*')) => block_comment_end(signs, at),
        ('"', _) => quoted_end(signs, at + 1, '"'),
        ('r', Some('"' | '#')) if !follows_word(signs, at) => raw_string_end(signs, at),
        ('\'', Some('\\')) => quoted_end(signs, at + 1, '\''),
        ('\'', Some(_)) if signs.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn find(signs: &[char], from: usize, sign: char) -> usize {
    signs[from..]
        .iter()
        .position(|other| *other == sign)
        .map_or(signs.len(), |offset| from + offset)
}

/// `r` begins a raw string unless it ends a word; the `b` or `c` before it is a prefix.
fn follows_word(signs: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| signs[index]);
    let wordy = |sign: Option<char>| sign.is_some_and(|sign| sign.is_alphanumeric() || sign == '_');
    match before(1) {
        Some('b' | 'c') => wordy(before(2)),
        sign => wordy(sign),
    }
}

fn quoted_end(signs: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < signs.len() && signs[at] != quote {
        at += if signs[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(signs.len())
}

/// A raw string ends at a quote with as many hashes as it began with; `r#name` is none.
fn raw_string_end(signs: &[char], at: usize) -> usize {
    let hashes = signs[at + 1..].iter().take_while(|sign| **sign == '#').count();
    let open = at + 1 + hashes;
    if signs.get(open) != Some(&'"') {
        return at;
    }
    let closes = |from: usize| {
        let tail = &signs[from + 1..];
        signs[from] == '"' && tail.len() >= hashes && tail[..hashes].iter().all(|sign| *sign == '#')
    };
    (open + 1..signs.len()).find(|from| closes(*from)).map_or(signs.len(), |end| end + 1 + hashes)
}

fn block_comment_end(signs: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at + 1 < signs.len() {
        match (signs[at], signs[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    signs.len()
}
