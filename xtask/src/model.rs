//! Model: every test that the security model names exists.
//!
//! Comes in   `docs/SECURITY-MODEL.md` and the sources.
//! Goes out   a finding for every named test that is not there, and for a threat that names none.
//! Never      judges whether a test proves what it is named for.

use std::collections::BTreeSet;

use crate::Finding;
use crate::source::Source;
use crate::tree::Tree;

/// The page.
pub const PAGE: &str = "docs/SECURITY-MODEL.md";

/// The head of a table whose rows name tests.
const HEAD: &str = "| threat | defence | proved by |";

/// Compares the page with the tests.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.file(PAGE) else {
        return vec![Finding::new(PAGE, 1, "there is no security model", "restore the file")];
    };
    let tests: BTreeSet<String> = tree.sources().flat_map(|source| names(&source)).collect();
    let mut findings = Vec::new();
    let mut inside = false;
    for (index, line) in page.text.lines().enumerate() {
        let row = line.starts_with('|');
        inside = row && (inside || line == HEAD);
        if !inside || line == HEAD || line.starts_with("|---") {
            continue;
        }
        let cell = line.trim_end_matches('|').rsplit_once('|').map_or("", |(_, cell)| cell);
        let named: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            let mend = "name the test by crate, folder, file and function";
            findings.push(Finding::new(PAGE, index + 1, "a threat names no test", mend));
        }
        let absent = named.into_iter().filter(|name| !tests.contains(*name));
        findings.extend(absent.map(|name| {
            let what = format!("there is no test `{name}`");
            Finding::new(PAGE, index + 1, what, "name the test as it is called now")
        }));
    }
    findings
}

/// The full names of a file's tests: `crate::folder::file::function`, or with the module's path where
/// they stand beside the code.
fn names(source: &Source<'_>) -> Vec<String> {
    let Some(place) = place(source) else { return Vec::new() };
    let mut names = Vec::new();
    let mut marked = false;
    for (_, line) in source.tested() {
        let line = line.trim();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(name) = function(line).filter(|_| marked) {
            names.push(format!("{place}::{name}"));
            marked = false;
        }
    }
    names
}

fn place(source: &Source<'_>) -> Option<String> {
    let parts: Vec<&str> = source.path.strip_suffix(".rs")?.split('/').collect();
    let (room, rest) = match parts.as_slice() {
        ["crates", room, folder, rest @ ..] => (*room, (*folder, rest)),
        _ => return None,
    };
    let (folder, rest) = rest;
    let within = rest.iter().filter(|part| !matches!(**part, "main" | "lib" | "mod"));
    let mut place: Vec<&str> = std::iter::once(room).chain(within.copied()).collect();
    if folder == "src" && !place.last()?.ends_with("tests") {
        place.push("tests");
    }
    Some(place.join("::"))
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
    rest.split('(').next()
}

#[cfg(test)]
mod tests {
    //! Goal: a test that is named and not there is found; one that is there is not.

    use super::*;

    const DOOR: &str = "#[tokio::test]\nasync fn it_holds() {\n}\nfn helper() {\n}\n";
    const ROOM: &str =
        "fn shipped() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_fits() {}\n}\n";

    #[test]
    fn every_test_that_is_named_is_there() {
        let table = [
            ("in a folder of tests", "`wire::carriage::door::it_holds`", 0),
            ("in a file of tests", "`wire::alone::it_holds`", 0),
            ("in the folder's main file", "`wire::carriage::it_holds`", 0),
            ("beside the code", "`wire::trust::room::tests::it_fits`", 0),
            ("two of them", "`wire::alone::it_holds`<br>`wire::carriage::door::it_holds`", 0),
            ("renamed", "`wire::carriage::door::it_held`", 1),
            ("in another file", "`wire::carriage::room::it_holds`", 1),
            ("no test", "`wire::carriage::door::helper`", 1),
            ("one of two is gone", "`wire::alone::it_holds`<br>`wire::gone::it_holds`", 1),
            ("none at all", "", 1),
            ("in words only", "a test", 1),
        ];
        for (case, cell, count) in table {
            let page = format!(
                "| a | b |\n|---|---|\n| x | `y` |\n\n{HEAD}\n|---|---|---|\n| t | d `x` | {cell} |\n"
            );
            let tree = Tree::of(&[
                (PAGE, &page),
                ("crates/wire/tests/carriage/door.rs", DOOR),
                ("crates/wire/tests/carriage/main.rs", DOOR),
                ("crates/wire/tests/alone.rs", DOOR),
                ("crates/wire/src/trust/room.rs", ROOM),
            ]);
            assert_eq!(check(&tree).len(), count, "{case}: {:?}", check(&tree));
        }
        assert_eq!(check(&Tree::of(&[])).len(), 1, "the page is gone");
    }
}
