//! Conformance: every binding sentence of the guides is proved, not applicable, or open.
//!
//! Comes in   the guides' tables, the lines `/// Proves: udap 12, 14-16` of tests, and the lists
//!            in `docs/conformance/`: what does not apply, and what is not met, each with why.
//! Goes out   `docs/CONFORMANCE.md`, and a finding for whatever does not add up.
//! Never      believes a line that stands above something else than a test, or an unknown number.
//!
//! Why generated: a table kept by hand says what was true once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::Finding;
use crate::requirements::{GUIDES, Guide, Requirement, Tables, numbers, ranges, read};
use crate::source::Source;
use crate::tree::Tree;

/// The page that is generated.
pub const PAGE: &str = "docs/CONFORMANCE.md";
const FOLDER: &str = "docs/conformance";
const OPEN: &str = "docs/conformance/open.txt";
/// The variable that names the folder in which the tables are.
pub const DATA: &str = "HANDOVER_DATA";
const MARK: &str = "/// Proves:";
const AGAIN: &str = "run `cargo xtask conformance`";

/// A test, by its file and name.
type Test = (String, String);

/// What is known of one guide's numbers.
#[derive(Debug, Default)]
struct Known {
    proved: BTreeMap<u32, Vec<Test>>,
    not_applicable: BTreeMap<u32, String>,
    open: BTreeMap<u32, String>,
}

/// `cargo xtask conformance`: writes the page. The error is a sentence.
pub fn write(root: &Path) -> Result<String, String> {
    let data = std::env::var_os(DATA).ok_or(format!("{DATA} does not name the tables' folder"))?;
    let (tables, tree) = (read(Path::new(&data))?, Tree::read(root)?);
    let mut findings = Vec::new();
    let known = gather(&tree, &mut findings);
    std::fs::write(root.join(PAGE), page(&tables, &known))
        .map_err(|error| format!("cannot write {PAGE}: {error}"))?;
    Ok(format!("{PAGE} is written"))
}

/// Holds tests, lists and page to the tables; without the tables, to what can be said without.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(data) = std::env::var_os(DATA) else {
        println!("conformance: not compared with the guides' tables, {DATA} is not set");
        let mut findings = Vec::new();
        gather(tree, &mut findings);
        return findings;
    };
    match read(Path::new(&data)) {
        Ok(tables) => compare(tree, &tables),
        Err(why) => vec![Finding::new(PAGE, 1, why, format!("mend {DATA}, or unset it"))],
    }
}

fn compare(tree: &Tree, tables: &Tables) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known = gather(tree, &mut findings);
    for ((guide, table), known) in GUIDES.iter().zip(tables).zip(&known) {
        unknown(guide, table, known, &mut findings);
        for (id, requirement) in table.iter().filter(|(_, requirement)| requirement.binds()) {
            let said = [
                known.proved.contains_key(id),
                known.not_applicable.contains_key(id),
                known.open.contains_key(id),
            ];
            let what = match said.iter().filter(|said| **said).count() {
                0 => "is neither proved, nor not applicable, nor open",
                1 => continue,
                _ => "is more than one of proved, not applicable and open",
            };
            let what = format!("{} {id} ({}) {what}", guide.word, requirement.url);
            let mend = format!("prove it by a test's `{MARK} {} {id}`, or list it", guide.word);
            findings.push(Finding::new(PAGE, 1, what, mend));
        }
    }
    if tree.file(PAGE).is_none_or(|file| file.text != page(tables, &known)) {
        findings.push(Finding::new(PAGE, 1, "the page is not what tests and lists give", AGAIN));
    }
    findings
}

/// Numbers that no table has. A list may name a range with holes; a test may not.
fn unknown(
    guide: &Guide,
    table: &BTreeMap<u32, Requirement>,
    known: &Known,
    findings: &mut Vec<Finding>,
) {
    for (id, tests) in &known.proved {
        let Some((file, name)) = tests.first().filter(|_| !table.contains_key(id)) else {
            continue;
        };
        let what = format!("`{name}` proves {} {id}, which the table does not have", guide.word);
        findings.push(Finding::new(file, 1, what, "name a number of the table"));
    }
    for id in known.open.keys().filter(|id| !table.contains_key(id)) {
        let what = format!("{} {id} is not in the table", guide.word);
        findings.push(Finding::new(OPEN, 1, what, "name a number of the table"));
    }
}

/// What tests and lists say, guide by guide.
fn gather(tree: &Tree, findings: &mut Vec<Finding>) -> Vec<Known> {
    let mut known: Vec<Known> = GUIDES.iter().map(|_| Known::default()).collect();
    for source in tree.sources().filter(|source| source.path.starts_with("crates/")) {
        for (index, line) in source.lines.iter().enumerate() {
            let Some(said) = line.trim_start().strip_prefix(MARK) else { continue };
            let name = test_below(&source, index);
            match (place(said), name) {
                (Some((at, ids)), Some(name)) => {
                    for id in ids {
                        let test = (source.path.to_owned(), name.to_owned());
                        known[at].proved.entry(id).or_default().push(test);
                    }
                }
                (None, _) => {
                    let mend = format!("write `{MARK} udap 12, 14-16`, one guide a line");
                    let what = "this line names no guide and numbers";
                    findings.push(Finding::new(source.path, index + 1, what, mend));
                }
                (_, None) => {
                    let what = "this line stands above something that is no test";
                    let mend = "move it into the doc comment of the test that proves it";
                    findings.push(Finding::new(source.path, index + 1, what, mend));
                }
            }
        }
    }
    for (guide, known) in GUIDES.iter().zip(&mut known) {
        let path = format!("{FOLDER}/{}-not-applicable.txt", guide.word);
        known.not_applicable = listed(tree, &path, "", findings);
        known.open = listed(tree, OPEN, guide.word, findings);
    }
    known
}

/// `udap 12, 14`: which guide, and its numbers.
fn place(said: &str) -> Option<(usize, Vec<u32>)> {
    let (word, ids) = said.trim().split_once(' ')?;
    let at = GUIDES.iter().position(|guide| guide.word == word)?;
    let (ids, rest) = numbers(ids)?;
    rest.is_empty().then_some((at, ids))
}

/// The test whose doc comment holds this line: comments and attributes, one of which makes it a
/// test, and then its name.
fn test_below<'a>(source: &Source<'a>, index: usize) -> Option<&'a str> {
    let mut marked = false;
    for line in source.lines.iter().skip(index + 1) {
        let line = line.trim();
        if line.starts_with("#[") {
            marked |= line.contains("test]") || line.contains("test(");
            continue;
        }
        if line.starts_with("//") {
            continue;
        }
        let (_, rest) = line.split_once("fn ")?;
        return marked.then(|| rest.split(['(', '<']).next().unwrap_or(rest));
    }
    None
}

/// A list's lines: `[WORD] NUMBERS REASON`; lines of other words are not for this guide.
fn listed(
    tree: &Tree,
    path: &str,
    word: &str,
    findings: &mut Vec<Finding>,
) -> BTreeMap<u32, String> {
    let text = tree.file(path).map_or("", |file| file.text.as_str());
    let mut reasons = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let Some(line) = line.strip_prefix(word).map(str::trim) else { continue };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match numbers(line) {
            Some((ids, why)) if !why.is_empty() => {
                reasons.extend(ids.into_iter().map(|id| (id, why.to_owned())));
            }
            _ => {
                let what = "this line is not numbers and a reason";
                findings.push(Finding::new(path, index + 1, what, "write `12, 14-16 why`"));
            }
        }
    }
    reasons
}

const HEAD: &str = "\
# Conformance

Which test fails when a binding sentence (SHALL, SHALL NOT) of a guide is not kept. The numbers
are those of the HL7 test kits' requirement tables; each leads to its place in the guide.
*This page is generated: `cargo xtask conformance` writes it from the `Proves:` lines of the tests
and from the lists in [conformance](conformance); `cargo xtask tidy` fails where it is stale.*
Sentences that leave a choice (SHOULD, MAY) appear where a test proves them.
";

/// The whole page.
fn page(tables: &Tables, known: &[Known]) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| Guide | Binding | Proved | Open | Not applicable |\n");
    page.push_str("|---|---|---|---|---|\n");
    for ((guide, table), known) in GUIDES.iter().zip(tables).zip(known) {
        let binding: Vec<&u32> = bound(table).map(|(id, _)| id).collect();
        let among = |held: &dyn Fn(&u32) -> bool| binding.iter().filter(|id| held(id)).count();
        let _ = writeln!(
            page,
            "| {} (`{}`) | {} | {} | {} | {} |",
            guide.title,
            guide.edition,
            binding.len(),
            among(&|id| known.proved.contains_key(id)),
            among(&|id| known.open.contains_key(id)),
            among(&|id| known.not_applicable.contains_key(id)),
        );
    }
    for ((guide, table), known) in GUIDES.iter().zip(tables).zip(known) {
        let _ = write!(page, "\n## {}\n\n### Proved\n\n", guide.title);
        page.push_str("| Id | Verb | Who | Fails without it |\n|---|---|---|---|\n");
        for (id, tests) in &known.proved {
            let Some(requirement) = table.get(id) else { continue };
            let told: Vec<String> = tests.iter().map(told).collect();
            let Requirement { verb, actor, .. } = requirement;
            let id = linked(*id, requirement);
            let _ = writeln!(page, "| {id} | {verb} | {actor} | {} |", told.join("<br>"));
        }
        page.push_str("\n### Open\n\n");
        page.push_str(&reasons(table, &known.open, "Nothing is open."));
        page.push_str("\n### Not applicable\n\n");
        page.push_str(&reasons(table, &known.not_applicable, "Everything applies."));
    }
    page
}

fn bound(table: &BTreeMap<u32, Requirement>) -> impl Iterator<Item = (&u32, &Requirement)> {
    table.iter().filter(|(_, requirement)| requirement.binds())
}

fn linked(id: u32, requirement: &Requirement) -> String {
    match requirement.url.as_str() {
        "" => id.to_string(),
        url => format!("[{id}]({url})"),
    }
}

/// A test as a link to its file, its name read as a sentence.
fn told((path, name): &Test) -> String {
    format!("[{}](../{path})", name.replace('_', " "))
}

/// Binding numbers that share a reason, in one row.
fn reasons(table: &BTreeMap<u32, Requirement>, why: &BTreeMap<u32, String>, none: &str) -> String {
    let mut grouped: Vec<(&str, Vec<u32>)> = Vec::new();
    for (id, _) in bound(table) {
        let Some(why) = why.get(id) else { continue };
        match grouped.iter_mut().find(|(other, _)| other == why) {
            Some((_, ids)) => ids.push(*id),
            None => grouped.push((why, vec![*id])),
        }
    }
    if grouped.is_empty() {
        return format!("{none}\n");
    }
    let row = |(why, ids): &(&str, Vec<u32>)| format!("| {} | {why} |\n", ranges(ids));
    let rows: String = grouped.iter().map(row).collect();
    format!("| Ids | Why |\n|---|---|\n{rows}")
}

#[cfg(test)]
mod tests {
    //! Goal: whatever does not add up is a finding, and what does is none.
    //!
    //! How: two tables of two sentences each, one test, and the lists; each case changes one text.

    #![allow(clippy::unwrap_used)]
    use super::*;

    const SMART: &str = "Req Set,ID,URL,Requirement,Conformance,Actors\n\
        hl7.fhir.uv.smart-app-launch_2.2.0,1,https://s/#a,x,SHALL,Client\n\
        hl7.fhir.uv.smart-app-launch_2.2.0,2,https://s/#b,x,SHALL NOT,Client\n";
    const UDAP: &str = "Req Set,ID,URL,Requirement,Conformance,Actors\n\
        hl7.fhir.us.udap-security_1.0.0,1,,x,SHALL,Server\n\
        hl7.fhir.us.udap-security_1.0.0,2,https://u/#b,x,SHOULD,Server\n";
    const TEST: &str = "/// A sentence.\n/// Proves: smart 1\n#[test]\nfn it_holds() {}\n";

    fn tables() -> Tables {
        let texts = [SMART, UDAP].into_iter().zip(GUIDES);
        let read = |(text, guide): (&str, &Guide)| {
            crate::requirements::requirements(text, guide.edition).unwrap()
        };
        texts.map(read).collect()
    }

    fn found(test: &str, none: &str, open: &str) -> Vec<Finding> {
        let tables = tables();
        let files = [
            ("crates/wire/tests/a.rs", test),
            ("docs/conformance/smart-not-applicable.txt", none),
            (OPEN, open),
        ];
        let known = gather(&Tree::of(&files), &mut Vec::new());
        let page = page(&tables, &known);
        let with_page = [&files[..], &[(PAGE, page.as_str())]].concat();
        compare(&Tree::of(&with_page), &tables)
    }

    #[test]
    fn every_binding_sentence_is_exactly_one_of_three() {
        let table = [
            ("all said", TEST, "2 no cookies\n", "udap 1 not built\n", 0),
            ("one unsaid", TEST, "", "udap 1 not built\n", 1),
            ("proved and open", TEST, "2 none\n", "udap 1 no\nsmart 1 no\n", 1),
            ("proved and not applicable", TEST, "1-2 none\n", "udap 1 no\n", 1),
            ("open without a reason", TEST, "2 none\n", "udap 1\n", 2),
            ("an unknown number is open", TEST, "2 none\n", "udap 1, 7 no\n", 1),
            ("a range with holes does not apply", TEST, "2-9 none\n", "udap 1 no\n", 0),
        ];
        for (case, test, none, open, count) in table {
            let found = found(test, none, open);
            assert_eq!(found.len(), count, "{case}: {found:?}");
        }
    }

    #[test]
    fn only_a_test_proves_and_only_what_the_table_has() {
        let table = [
            ("a test with other attributes", "#[test]", "#[tokio::test]\n#[ignore]", 0),
            ("a comment between", "#[test]", "/// More.\n#[test]", 0),
            ("no test", "#[test]\n", "", 2),
            ("a type", "#[test]\nfn it_holds() {}", "struct It;", 2),
            ("an unknown number", "smart 1", "smart 1, 9", 1),
            ("an unknown guide", "smart 1", "fast 1", 2),
            ("words after the numbers", "smart 1", "smart 1 and so on", 2),
            ("a sentence that leaves a choice", "smart 1", "smart 1\n/// Proves: udap 2", 0),
        ];
        for (case, from, to, count) in table {
            let found = found(&TEST.replace(from, to), "2 none\n", "udap 1 no\n");
            assert_eq!(found.len(), count, "{case}: {found:?}");
        }
    }

    #[test]
    fn a_stale_page_is_a_finding() {
        let tables = tables();
        let found = compare(&Tree::of(&[(PAGE, "old")]), &tables);
        assert!(found.iter().any(|finding| finding.mend == AGAIN), "{found:?}");
    }

    #[test]
    fn the_page_gives_numbers_links_and_tests_and_no_text() {
        let tables = tables();
        let files = [("crates/a/tests/a.rs", TEST), (OPEN, "smart 2 not yet\nudap 1 not yet\n")];
        let known = gather(&Tree::of(&files), &mut Vec::new());
        let page = page(&tables, &known);
        let row = "| [1](https://s/#a) | SHALL | client | [it holds](../crates/a/tests/a.rs) |\n";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("| 2 | not yet |\n"), "{page}");
        assert!(page.contains("`) | 2 | 1 | 1 | 0 |\n"), "{page}");
    }
}
