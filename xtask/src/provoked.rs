//! Provoked: every issue code has a test that makes it appear.
//!
//! Comes in   the catalogue, the sources, and the list of codes that no test provokes yet.
//! Goes out   a finding for every code without a test that is not on the list, and for every
//!            code on the list that has one: the list can only shrink.
//! Never      runs a test; it looks for the code's name or its public spelling in one.

use crate::Finding;
use crate::catalogue::{CATALOGUE, rows};
use crate::rooms::stands_in;
use crate::source::Source;
use crate::tree::Tree;

/// Codes that no test provokes yet. Take a code off when its test comes; never add one.
pub const NOT_YET_PROVOKED: &[&str] =
    &["credential-refused", "house-busy", "store-unavailable", "house-locked"];

const HERE: &str = "xtask/src/provoked.rs";

/// Compares the catalogue with the tests, but for the codes of [`NOT_YET_PROVOKED`].
pub fn check(tree: &Tree) -> Vec<Finding> {
    check_but(tree, NOT_YET_PROVOKED)
}

fn check_but(tree: &Tree, exceptions: &[&str]) -> Vec<Finding> {
    // A catalogue that cannot be read is reported by `catalogue::check`.
    let rows = tree.file(CATALOGUE).and_then(|file| rows(&file.text).ok()).unwrap_or_default();
    let sources: Vec<Source<'_>> =
        tree.sources().filter(|source| source.path.starts_with("crates/")).collect();
    let mut findings = Vec::new();
    for row in &rows {
        let excepted = exceptions.contains(&row.slug.as_str());
        let place = sources.iter().find_map(|source| mention(source, &row.name, &row.slug));
        match (excepted, place) {
            (false, None) => findings.push(Finding::new(
                CATALOGUE,
                row.line,
                format!("no test provokes `{}`", row.slug),
                format!("write a test under crates/ that ends in `Code::{}`", row.name),
            )),
            (true, Some(place)) => findings.push(Finding::new(
                HERE,
                1,
                format!("`{}` is listed as not provoked, but {place} provokes it", row.slug),
                "take it off NOT_YET_PROVOKED",
            )),
            _ => {}
        }
    }
    for slug in exceptions {
        if rows.iter().all(|row| row.slug != *slug) {
            let what = format!("`{slug}` is listed as not provoked, but is no code");
            findings.push(Finding::new(HERE, 1, what, "take it off NOT_YET_PROVOKED"));
        }
    }
    findings
}

/// Where a test names the code, as a variant or by its quoted spelling.
fn mention(source: &Source<'_>, name: &str, slug: &str) -> Option<String> {
    let variant = format!("Code::{name}");
    let quoted = format!("\"{slug}\"");
    let names = |line: &str| {
        line.match_indices(&variant).any(|(at, _)| {
            let after = line[at + variant.len()..].chars().next();
            !after.is_some_and(|sign| sign.is_alphanumeric() || sign == '_')
        }) && stands_in(line, &variant)
    };
    let hit = |(number, code): &(usize, &str)| {
        let written = source.lines.get(number - 1).copied().unwrap_or_default();
        let comment = written.trim_start().starts_with("//");
        names(code) || (!comment && written.contains(&quoted))
    };
    source.tested().find(hit).map(|(number, _)| format!("{}:{number}", source.path))
}

#[cfg(test)]
mod tests {
    //! Goal: a code counts as provoked exactly when a test names it.

    use super::*;

    const SOURCE: &str = "\ncatalogue! {\n    // Words.\n    KeyBusy \"key-busy\" 503 \"transient\" \
        Nobody Some(2);\n        \"busy\";\n        \"wait\"\n}\nActor::Nobody => \"nobody\"\n";

    #[test]
    fn a_code_is_provoked_by_a_test_and_by_nothing_else() {
        let table = [
            ("by its name, in a test folder", "crates/payer/tests/a.rs", "x(Code::KeyBusy);", true),
            ("by its spelling", "crates/payer/tests/a.rs", "x(\"key-busy\");", true),
            (
                "in a test module",
                "crates/payer/src/a.rs",
                "#[cfg(test)]\nmod t { x(Code::KeyBusy) }",
                true,
            ),
            ("not by code that ships", "crates/payer/src/a.rs", "x(Code::KeyBusy);", false),
            ("not by a longer name", "crates/payer/tests/a.rs", "x(Code::KeyBusyAgain);", false),
            (
                "not by a comment",
                "crates/payer/tests/a.rs",
                "// Code::KeyBusy, \"key-busy\"",
                false,
            ),
            ("not by the rules' own tests", "xtask/tests/a.rs", "x(Code::KeyBusy);", false),
        ];
        for (case, path, text, provoked) in table {
            let tree = Tree::of(&[(CATALOGUE, SOURCE), (path, text)]);
            assert_eq!(check_but(&tree, &[]).is_empty(), provoked, "{case}");
            assert_eq!(check_but(&tree, &["key-busy"]).is_empty(), !provoked, "listed: {case}");
        }
    }

    #[test]
    fn the_list_names_only_codes() {
        let tree = Tree::of(&[(CATALOGUE, SOURCE), ("crates/a/tests/a.rs", "Code::KeyBusy")]);
        assert_eq!(check_but(&tree, &["key-lost"]).len(), 1);
    }
}
