//! Rules: what a file may not hold, and how a module opens.
//!
//! Comes in   every file of the repository.
//! Goes out   a finding for every line that breaks a rule.
//! Never      reads meaning into comments or literals where a rule is about code.
//!
//! Why so many small rules: each was agreed on once, so nobody has to spend a review on it.
//! The words searched for are put together here, so that this file does not find itself.

use crate::Finding;
use crate::rooms::stands_in;
use crate::source::Source;
use crate::tree::{File, Tree};

/// A sitting: what a reader takes in before the beginning is forgotten.
const FILE_LINES: usize = 700;
/// Above a screen a module owes its reader the full header.
const HEADER_FROM_LINES: usize = 60;
const HEADER_WORDS: &[&str] = &["Comes in", "Goes out", "Never"];

/// Files written by programs, or kept word by word as others wrote them.
const FOREIGN: &[&str] = &["Cargo.lock", "LICENSE-APACHE"];

const MACHINE_PATHS: &[&str] =
    &[concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/"), concat!("/", "Users/")];
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const EMPTY_PROMISES: &[&str] = &[
    concat!("lorem", " ipsum"),
    concat!("coming", " soon"),
    concat!("not yet", " implemented"),
    concat!("not implemented", " yet"),
    concat!("to be", " done"),
];
const VAGUE_NAMES: &[&str] = &["Manager", "Helper", "Util", "Processor"];
const VAGUE_MODULES: &[&str] =
    &["manager", "helper", "helpers", "util", "utils", "processor", "misc", "common_utils"];
const PRINTING: &[&str] = &["println!", "eprintln!", "print!", "eprint!"];
const SLEEPING: &[&str] = &["thread::sleep", "time::sleep", "sleep(Duration"];

/// Holds every file to every rule of this module.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !FOREIGN.contains(&file.path.as_str())) {
        check_text(file, &mut findings);
    }
    for source in tree.sources() {
        check_size(&source, &mut findings);
        check_header(&source, &mut findings);
        check_code(&source, &mut findings);
        check_shipped(&source, &mut findings);
        check_tests(&source, &mut findings);
        check_names(&source, &mut findings);
    }
    findings
}

/// Rules for every text, whatever it is written in.
fn check_text(file: &File, findings: &mut Vec<Finding>) {
    let ours = [".rs", ".toml", ".md", ".sh", ".yml", ".yaml"];
    let spaced = ours.iter().any(|end| file.path.ends_with(end)) || file.path.starts_with(".ci/");
    for (index, line) in file.text.lines().enumerate() {
        let mut say = |what: String, mend: &str| {
            findings.push(Finding::new(&file.path, index + 1, what, mend));
        };
        if spaced && line.ends_with([' ', '\t']) {
            say("white space at the end of the line".into(), "remove it");
        }
        for path in MACHINE_PATHS {
            if names_path(line, path) {
                say(
                    format!("`{path}` is a path of one machine"),
                    "name it relative to the repository",
                );
            }
        }
        for word in UNFINISHED.iter().filter(|word| stands_alone(line, word)) {
            say(
                format!("`{word}`: unfinished work"),
                "finish it, or take it out and open an issue",
            );
        }
        let lower = line.to_lowercase();
        for phrase in EMPTY_PROMISES.iter().filter(|phrase| lower.contains(**phrase)) {
            say(format!("`{phrase}` promises what is not there"), "say what is there");
        }
    }
}

/// A path that begins here: a folder of somebody does, the same word inside a URL does not.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|sign| sign.is_alphanumeric() || ".-_~/*}])$".contains(sign))
    })
}

fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let wordy = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == '-';
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(wordy) && !after.is_some_and(wordy)
    })
}

fn check_size(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let count = source.lines.len();
    if count > FILE_LINES {
        findings.push(Finding::new(
            source.path,
            FILE_LINES + 1,
            format!("{count} lines are more than a sitting ({FILE_LINES})"),
            "split the file by its nouns",
        ));
    }
}

/// Rule 9: a module opens with what comes in, what goes out, what it never does, and why.
fn check_header(source: &Source<'_>, findings: &mut Vec<Finding>) {
    if source.test.first().copied().unwrap_or(false) || !source.path.contains("/src/") {
        return;
    }
    let header: Vec<&str> =
        source.lines.iter().take_while(|line| line.starts_with("//!")).copied().collect();
    if header.is_empty() {
        findings.push(Finding::new(
            source.path,
            1,
            "the module does not say what it is",
            "open the file with `//! Name: one line.`",
        ));
        return;
    }
    // A table of limits takes nothing in and gives nothing out: its reasons stand at its rows.
    if source.lines.len() <= HEADER_FROM_LINES || source.path.ends_with("/limits.rs") {
        return;
    }
    let words: Vec<&str> =
        header.iter().map(|line| line.trim_start_matches("//!").trim()).collect();
    for part in HEADER_WORDS {
        if !words.iter().any(|line| line.starts_with(part)) {
            findings.push(Finding::new(
                source.path,
                1,
                format!("the module's header lacks `{part}`"),
                format!("add a line `//! {part:<10} …`; {HEADER_WORDS:?} are owed above {HEADER_FROM_LINES} lines"),
            ));
        }
    }
}

/// Rules for all code, tests included.
fn check_code(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let table = [
        (concat!("uns", "afe"), "there is no need for it here; find the safe way"),
        (concat!("to", "do!"), "finish it"),
        (concat!("unimpl", "emented!"), "finish it"),
        (concat!("db", "g!"), "remove it; use `tracing` with fields that are no patient's"),
        (concat!("#[ign", "ore"), "make the test run everywhere, or remove it"),
    ];
    for (number, line) in source.numbered() {
        for (word, mend) in table {
            let whole = word.ends_with('!') || word.starts_with('#') || stands_alone(line, word);
            if whole && stands_in(line, word) {
                findings.push(Finding::new(source.path, number, format!("`{word}`"), mend));
            }
        }
    }
}

/// Rules for code that ships: rule 6 (no words on the screen) and rule 7 (limits in one place).
fn check_shipped(source: &Source<'_>, findings: &mut Vec<Finding>) {
    let speaks = matches!(source.room(), Some("handover" | "testdb" | "xtask") | None);
    let limits = source.path.ends_with("/limits.rs") || source.room() == Some("xtask");
    for (number, line) in source.shipped() {
        if !speaks && let Some(word) = PRINTING.iter().find(|word| stands_in(line, word)) {
            findings.push(Finding::new(
                source.path,
                number,
                format!("`{word}` in a room that has no screen"),
                "return the words to `handover`, or log them with `tracing`",
            ));
        }
        if !limits && let Some(name) = limit_name(line) {
            findings.push(Finding::new(
                source.path,
                number,
                format!("the limit `{name}` is declared outside limits.rs"),
                "move it to the crate's limits.rs, with its reason",
            ));
        }
    }
}

/// The name of a limit that this line declares.
fn limit_name(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("const ")?;
    let name = rest.split(|sign: char| !sign.is_alphanumeric() && sign != '_').next()?;
    let limit = name.ends_with("_MAX") || name.ends_with("_LIMIT") || name.starts_with("MAX_");
    (limit && rest[name.len()..].starts_with(':')).then_some(name)
}

/// Rule 13: a test never sleeps. What a benchmark measures lasts as long as it says.
fn check_tests(source: &Source<'_>, findings: &mut Vec<Finding>) {
    if source.path.contains("/benches/") {
        return;
    }
    for (number, line) in source.tested() {
        if let Some(word) = SLEEPING.iter().find(|word| stands_in(line, word)) {
            findings.push(Finding::new(
                source.path,
                number,
                format!("a test sleeps (`{word}`)"),
                "wait for the event itself, or hand in the time as an argument",
            ));
        }
    }
}

/// Rule 3: the field's words.
fn check_names(source: &Source<'_>, findings: &mut Vec<Finding>) {
    for (number, line) in source.numbered() {
        let Some((keyword, name)) = declared(line) else { continue };
        let vague = match keyword {
            "mod" => VAGUE_MODULES.contains(&name),
            _ => VAGUE_NAMES.iter().any(|word| name.contains(word)),
        };
        if vague {
            findings.push(Finding::new(
                source.path,
                number,
                format!("`{keyword} {name}` names nothing of the field"),
                "name it by the FHIR, Da Vinci or HIPAA noun it stands for",
            ));
        }
    }
}

/// The type, trait or module that a line declares.
fn declared(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
    while let Some(word) = words.next() {
        if matches!(word, "struct" | "enum" | "trait" | "type" | "mod") {
            return words.next().filter(|name| !name.is_empty()).map(|name| (word, name));
        }
        if !matches!(word, "pub" | "crate" | "super" | "in" | "") {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    //! Goal: each rule finds what it is about, and leaves its neighbours alone.
    //!
    //! How: one row per line of text; the row names the case and the number of findings.

    use super::*;

    const OPEN: &str = "//! A module.\n";

    #[test]
    fn each_rule_finds_its_case_and_no_other() {
        let unsafe_block = concat!("uns", "afe { x() }");
        let unfinished = concat!("// TO", "DO later");
        let machine = concat!("// see /ro", "ot/x");
        let ignored = concat!("#[ign", "ore]");
        let table = [
            ("plain code", "crates/wire/src/a.rs", "fn a() {}", 0),
            ("space at the end", "crates/wire/src/a.rs", "fn a() {} ", 1),
            ("a machine's path", "crates/wire/src/a.rs", machine, 1),
            ("an address that looks like one", "docs/a.md", "https://example.org/home/x", 0),
            ("unfinished", "crates/wire/src/a.rs", unfinished, 1),
            ("an empty promise", "docs/a.md", concat!("Coming ", "soon."), 1),
            ("unchecked memory", "crates/wire/src/a.rs", unsafe_block, 1),
            ("a name that holds the word", "crates/wire/src/a.rs", "fn unsafe_paths() {}", 0),
            ("an ignored test", "crates/wire/tests/a.rs", ignored, 1),
            ("printing", "crates/wire/src/a.rs", "println!(\"x\");", 1),
            ("printing to the other side", "crates/wire/src/a.rs", "eprintln!(\"x\");", 1),
            ("printing at the front door", "crates/handover/src/a.rs", "println!(\"x\");", 0),
            ("a comment on printing", "crates/wire/src/a.rs", "// println!(x)", 0),
            ("a limit in the wrong place", "crates/wire/src/a.rs", "const BODY_MAX: usize = 1;", 1),
            (
                "a limit of the other spelling",
                "crates/wire/src/a.rs",
                "pub const MAX_BODY: usize = 1;",
                1,
            ),
            ("a limit at home", "crates/wire/src/limits.rs", "pub const BODY_MAX: usize = 1;", 0),
            ("a const function", "crates/wire/src/a.rs", "const fn max() -> u8 { u8::MAX }", 0),
            ("a sleeping test", "crates/wire/tests/a.rs", "thread::sleep(x);", 1),
            (
                "pacing in code that ships",
                "crates/wire/src/a.rs",
                "tokio::time::sleep(wait).await;",
                0,
            ),
            ("a vague type", "crates/wire/src/a.rs", "pub(crate) struct PushManager;", 1),
            ("a vague module", "crates/wire/src/a.rs", "mod utils;", 1),
            ("a noun of the field", "crates/wire/src/a.rs", "pub struct Acknowledgement;", 0),
        ];
        for (case, path, text, count) in table {
            let text = if path.ends_with(".rs") { format!("{OPEN}{text}\n") } else { text.into() };
            let found = check(&Tree::of(&[(path, &text)]));
            assert_eq!(found.len(), count, "{case}: {found:?}");
        }
    }

    #[test]
    fn a_module_says_what_it_is() {
        let long = "fn a() {}\n".repeat(HEADER_FROM_LINES);
        let full = "//! A.\n//!\n//! Comes in   x\n//! Goes out   y\n//! Never      z\n";
        let table = [
            ("no header", "fn a() {}".to_owned(), 1),
            ("one line will do for a short one", "//! A.\nfn a() {}".to_owned(), 0),
            ("a long one owes three more", format!("//! A.\n{long}"), 3),
            ("and has given them", format!("{full}{long}"), 0),
        ];
        for (case, text, count) in table {
            let found = check(&Tree::of(&[("crates/wire/src/a.rs", &text)]));
            assert_eq!(found.len(), count, "{case}: {found:?}");
        }
    }

    #[test]
    fn a_file_is_read_in_one_sitting() {
        let text = format!("//! A.\n{}", "\n".repeat(FILE_LINES));
        let found = check(&Tree::of(&[("crates/wire/tests/a.rs", &text)]));
        assert_eq!(found.len(), 1);
    }
}
