//! Provoked: every issue code has a test that makes it appear.
//!
//! Comes in   the catalogue and the sources.
//! Goes out   a finding for every code without a test.
//! Never      runs a test; it looks for the code's name or its public spelling in one.

use crate::Finding;
use crate::catalogue::{CATALOGUE, rows};
use crate::rooms::stands_in;
use crate::source::Source;
use crate::tree::Tree;

/// Compares the catalogue with the tests.
pub fn check(tree: &Tree) -> Vec<Finding> {
    // A catalogue that cannot be read is reported by `catalogue::check`.
    let rows = tree.file(CATALOGUE).and_then(|file| rows(&file.text).ok()).unwrap_or_default();
    let sources: Vec<Source<'_>> =
        tree.sources().filter(|source| source.path.starts_with("crates/")).collect();
    let mut findings = Vec::new();
    for row in &rows {
        if !sources.iter().any(|source| mentions(source, &row.name, &row.slug)) {
            findings.push(Finding::new(
                CATALOGUE,
                row.line,
                format!("no test provokes `{}`", row.slug),
                format!("write a test under crates/ that ends in `Code::{}`", row.name),
            ));
        }
    }
    findings
}

/// Whether a test names the code, as a variant or by its quoted spelling.
fn mentions(source: &Source<'_>, name: &str, slug: &str) -> bool {
    let variant = format!("Code::{name}");
    let quoted = format!("\"{slug}\"");
    let names = |line: &str| {
        line.match_indices(&variant).any(|(at, _)| {
            let after = line[at + variant.len()..].chars().next();
            // An issue that the test makes up is not provoked.
            let made_up = line[..at].ends_with("Issue::new(");
            !made_up && !after.is_some_and(|sign| sign.is_alphanumeric() || sign == '_')
        }) && stands_in(line, &variant)
    };
    let hit = |(number, code): &(usize, &str)| {
        let written = source.lines.get(number - 1).copied().unwrap_or_default();
        let comment = written.trim_start().starts_with("//");
        names(code) || (!comment && written.contains(&quoted))
    };
    source.tested().any(|line| hit(&line))
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
            ("not by making it up", "crates/payer/tests/a.rs", "Issue::new(Code::KeyBusy)", false),
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
            assert_eq!(check(&tree).is_empty(), provoked, "{case}");
        }
    }
}
