//! Catalogue: every issue code has a page, and the page says what the code says.
//!
//! Comes in   the catalogue in `crates/exchange/src/issue.rs`, and the pages under `issues/`.
//! Goes out   a finding for every code without page, page without code, and differing word.
//! Never      judges the prose of a page, only that its promised parts are there.
//!
//! Why the source is read and the crate is not linked: `tidy` must be able to speak while the
//! rest of the workspace does not compile.

use serde_json::Value;

use crate::Finding;
use crate::tree::{File, Tree};

/// Where the catalogue stands.
pub const CATALOGUE: &str = "crates/exchange/src/issue.rs";
const FOLDER: &str = "issues/";
const INDEX: &str = "issues/README.md";

/// The parts of a page that people look for, in this order.
const SECTIONS: &[&str] =
    &["## When it happens", "## How to find the cause", "## How to make it go away", "## Example"];

/// One row of the catalogue, as written in the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The variant's name.
    pub name: String,
    /// The public spelling.
    pub slug: String,
    /// HTTP status.
    pub status: u16,
    /// R4 issue type.
    pub kind: String,
    /// Who acts, in words.
    pub actor: String,
    /// Seconds after which a repeat can help.
    pub retry: Option<u32>,
    /// What it means.
    pub title: String,
    /// The next step.
    pub next: String,
    /// The heading under which it stands.
    pub group: String,
    /// Its line in the source, counted from 1.
    pub line: usize,
}

impl Row {
    fn severity(&self) -> &'static str {
        match self.status {
            200..300 => "information",
            500.. => "fatal",
            _ => "error",
        }
    }

    /// The lines that a page must hold word by word.
    pub fn fixed_lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("# {}", self.slug),
            format!("| What it means | {} |", self.title),
            format!("| Who acts | {} |", self.actor),
            format!("| Next | {} |", self.next),
            format!("| HTTP status and issue type | {} `{}` |", self.status, self.kind),
        ];
        if let Some(seconds) = self.retry {
            lines.push(format!("| A repeat can help | after {seconds} s (`Retry-After`) |"));
        }
        lines
    }

    /// The line of the index.
    pub fn index_line(&self) -> String {
        format!("| [{0}]({0}.md) | {1} | {2} |", self.slug, self.title, self.actor)
    }
}

/// Reads the catalogue out of its source. The error is a sentence with a line.
pub fn rows(source: &str) -> Result<Vec<Row>, (usize, String)> {
    let start = source.find("\ncatalogue! {").ok_or((1, "no `catalogue! { … }`".to_owned()))?;
    let first = source[..start].matches('\n').count() + 2;
    let body = &source[start + "\ncatalogue! {".len()..];
    let tokens = tokens(body, first)?;
    let mut rows = Vec::new();
    let mut group = String::new();
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        at += 1;
        match token {
            Token::Comment(text) => group = text.trim().trim_end_matches('.').to_owned(),
            Token::Word(name) => {
                let (mut row, after) = row(source, &tokens, at)
                    .ok_or((*line, format!("the row of `{name}` cannot be read")))?;
                (row.name, row.group, row.line) = (name.clone(), group.clone(), *line);
                rows.push(row);
                at = after;
            }
            _ => return Err((*line, "a code's name is expected here".into())),
        }
    }
    Ok(rows)
}

/// The rest of a row: `"slug" 400 "kind" Actor None; "title"; "next"`.
fn row(source: &str, tokens: &[(usize, Token)], mut at: usize) -> Option<(Row, usize)> {
    let mut next = || {
        at += 1;
        tokens.get(at - 1).map(|(_, token)| token)
    };
    let mut row = Row { slug: next()?.text()?, ..Row::default() };
    row.status = next()?.word()?.parse().ok()?;
    row.kind = next()?.text()?;
    row.actor = actor_words(source, &next()?.word()?)?;
    row.retry = match next()?.word()?.as_str() {
        "None" => None,
        "Some" => {
            let seconds = next()?.word()?.parse().ok()?;
            Some(seconds)
        }
        _ => return None,
    };
    row.title = next()?.text()?;
    row.next = next()?.text()?;
    Some((row, at))
}

/// How `Display` of `Actor` spells a variant.
fn actor_words(source: &str, variant: &str) -> Option<String> {
    let arm = format!("Actor::{variant} => \"");
    let (_, rest) = source.split_once(&arm)?;
    rest.split_once('"').map(|(words, _)| words.to_owned())
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Comment(String),
    Text(String),
    Word(String),
}

impl Token {
    fn text(&self) -> Option<String> {
        if let Token::Text(text) = self { Some(text.clone()) } else { None }
    }

    fn word(&self) -> Option<String> {
        if let Token::Word(word) = self { Some(word.clone()) } else { None }
    }
}

/// Words, quoted texts and comments up to the closing brace; other signs only part them.
fn tokens(body: &str, first: usize) -> Result<Vec<(usize, Token)>, (usize, String)> {
    let mut tokens = Vec::new();
    for (index, line) in body.lines().enumerate() {
        let number = first + index;
        let mut rest = line.trim();
        if rest == "}" {
            return Ok(tokens);
        }
        while !rest.is_empty() {
            if let Some(comment) = rest.strip_prefix("//") {
                tokens.push((number, Token::Comment(comment.to_owned())));
                break;
            }
            if let Some(quoted) = rest.strip_prefix('"') {
                let (text, after) =
                    quoted.split_once('"').ok_or((number, "a text does not end".to_owned()))?;
                tokens.push((number, Token::Text(text.to_owned())));
                rest = after;
                continue;
            }
            let wordy = |sign: char| sign.is_alphanumeric() || sign == '_';
            let end = rest.find(|sign| !wordy(sign)).unwrap_or(rest.len());
            if end > 0 {
                tokens.push((number, Token::Word(rest[..end].to_owned())));
            }
            let skip = rest[end..].chars().next().map_or(0, |sign| {
                if sign == '"' || wordy(sign) || rest[end..].starts_with("//") {
                    0
                } else {
                    sign.len_utf8()
                }
            });
            rest = &rest[end + skip..];
        }
    }
    Err((first, "the catalogue does not end".into()))
}

/// Compares the catalogue with its pages.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.file(CATALOGUE) else {
        return vec![Finding::new(CATALOGUE, 1, "there is no catalogue", "restore the file")];
    };
    let rows = match rows(&source.text) {
        Ok(rows) => rows,
        Err((line, what)) => {
            let mend = "keep the form `Name \"slug\" 400 \"kind\" Actor None; \"title\"; \"next\"`";
            return vec![Finding::new(CATALOGUE, line, what, mend)];
        }
    };
    let mut findings = Vec::new();
    for row in &rows {
        let path = format!("{FOLDER}{}.md", row.slug);
        match tree.file(&path) {
            Some(page) => findings.extend(check_page(row, page)),
            None => findings.push(Finding::new(
                CATALOGUE,
                row.line,
                format!("the code `{}` has no page", row.slug),
                format!("write {path}; CONTRIBUTING.md says what a page holds"),
            )),
        }
    }
    findings.extend(check_strays(tree, &rows));
    findings.extend(check_index(tree, &rows));
    findings
}

fn check_strays(tree: &Tree, rows: &[Row]) -> Vec<Finding> {
    let stray = |path: &&String| {
        let slug = path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(".md"));
        path.as_str() != INDEX && slug.is_some_and(|slug| rows.iter().all(|row| row.slug != slug))
    };
    let finding = |path: &String| {
        Finding::new(
            path,
            1,
            "no code of the catalogue has this page",
            "remove the page, or add its code",
        )
    };
    tree.paths.iter().filter(stray).map(finding).collect()
}

fn check_index(tree: &Tree, rows: &[Row]) -> Vec<Finding> {
    let text = tree.file(INDEX).map_or("", |file| file.text.as_str());
    let lines: Vec<&str> = text.lines().collect();
    let expected = rows.iter().map(Row::index_line);
    let absent = expected.filter(|line| !lines.contains(&line.as_str()));
    absent
        .map(|line| Finding::new(INDEX, 1, "the index lacks a line", format!("add: {line}")))
        .collect()
}

fn check_page(row: &Row, page: &File) -> Vec<Finding> {
    let lines: Vec<&str> = page.text.lines().collect();
    let mut findings = Vec::new();
    let mut say = |line, what: String, mend: String| {
        findings.push(Finding::new(&page.path, line, what, mend));
    };
    for expected in row.fixed_lines() {
        if !lines.contains(&expected.as_str()) {
            let mend = format!("write exactly: {expected}");
            say(1, "the page does not repeat the words of the catalogue".into(), mend);
        }
    }
    let mut from = 0;
    for section in SECTIONS {
        match lines.iter().skip(from).position(|line| line == section) {
            Some(offset) => {
                from += offset + 1;
                let next = lines.iter().skip(from).find(|line| !line.trim().is_empty());
                if next.is_none_or(|line| line.starts_with("## ")) {
                    say(from, format!("`{section}` is empty"), "write it".into());
                }
            }
            None => say(
                1,
                format!("the page lacks `{section}`"),
                format!("add it; the order is {SECTIONS:?}"),
            ),
        }
    }
    if let Err((line, what)) = check_example(row, &lines) {
        say(line, what, "show the OperationOutcome as `Issue::outcome` prints it".into());
    }
    findings
}

/// The example must be what `Issue::outcome` prints of this row, whatever the case at hand.
fn check_example(row: &Row, lines: &[&str]) -> Result<(), (usize, String)> {
    let fence = lines.iter().position(|line| *line == "```json");
    let start = fence.ok_or((1, "the page shows no OperationOutcome".to_owned()))? + 1;
    let inside: Vec<&str> =
        lines.iter().skip(start).take_while(|line| **line != "```").copied().collect();
    let outcome: Value = serde_json::from_str(&inside.join("\n"))
        .map_err(|error| (start + error.line(), "the example is not JSON".to_owned()))?;
    let issue = &outcome["issue"][0];
    let coding = &issue["details"]["coding"][0];
    let diagnostics = format!("Who acts: {}. Next: {}.", row.actor, row.next);
    let told = issue["diagnostics"].as_str().unwrap_or_default();
    let pairs = [
        ("resourceType", &outcome["resourceType"], "OperationOutcome"),
        ("severity", &issue["severity"], row.severity()),
        ("code", &issue["code"], row.kind.as_str()),
        ("details.coding.system", &coding["system"], "urn:handover:issue"),
        ("details.coding.code", &coding["code"], row.slug.as_str()),
        ("details.coding.display", &coding["display"], row.title.as_str()),
    ];
    for (name, value, expected) in pairs {
        if value != expected {
            return Err((start, format!("the example's `{name}` is not `{expected}`")));
        }
    }
    if !told.starts_with(&diagnostics) {
        return Err((start, format!("the example's diagnostics do not begin `{diagnostics}`")));
    }
    match issue["details"]["text"].as_str() {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err((start, "the example has no `details.text`".into())),
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a page that says anything else than its code is found, and a true one is not.
    //!
    //! How: a catalogue of one row and its page; each case changes one thing.

    use super::*;

    const SOURCE: &str = r#"
catalogue! {
    // Words of the group.
    KeyBusy "key-busy" 503 "transient" Nobody Some(2);
        "the key is busy";
        "repeat, as `handover help` says"
}
            Actor::Nobody => "nobody",
"#;

    const PAGE: &str = r#"# key-busy

| What it means | the key is busy |
| Who acts | nobody |
| Next | repeat, as `handover help` says |
| HTTP status and issue type | 503 `transient` |
| A repeat can help | after 2 s (`Retry-After`) |

## When it happens
x
## How to find the cause
x
## How to make it go away
x
## Example
```json
{"resourceType": "OperationOutcome", "issue": [{"severity": "fatal", "code": "transient",
 "details": {"coding": [{"system": "urn:handover:issue", "code": "key-busy",
 "display": "the key is busy"}], "text": "one case"},
 "diagnostics": "Who acts: nobody. Next: repeat, as `handover help` says. Place: byte 3."}]}
```
"#;

    const INDEX_TEXT: &str = "| [key-busy](key-busy.md) | the key is busy | nobody |\n";

    fn found(source: &str, page: &str, index: &str) -> Vec<Finding> {
        check(&Tree::of(&[(CATALOGUE, source), ("issues/key-busy.md", page), (INDEX, index)]))
    }

    #[test]
    fn a_page_says_what_its_code_says() {
        let pages = [
            ("as it should be", "x", "x", 0),
            ("another title", "| the key is busy |", "| the key is taken |", 1),
            ("another actor", "| Who acts | nobody |", "| Who acts | somebody |", 1),
            ("another status", "| 503 `transient` |", "| 500 `transient` |", 1),
            ("another wait", "after 2 s", "after 3 s", 1),
            ("a section is missing", "## When it happens", "## When", 1),
            ("a section is empty", "happens\nx\n", "happens\n", 1),
            ("the example has another severity", "fatal", "error", 1),
            ("the example has another code", "\"code\": \"key-busy\"", "\"code\": \"busy\"", 1),
            ("the example has other advice", "Next: repeat", "Next: wait", 1),
            ("the example is no JSON", "{\"resourceType\"", "{resourceType", 1),
            ("the example is missing", "```json", "```", 1),
        ];
        for (case, from, to, count) in pages {
            let found = found(SOURCE, &PAGE.replace(from, to), INDEX_TEXT);
            assert_eq!(found.len(), count, "{case}: {found:?}");
        }
    }

    #[test]
    fn codes_pages_and_index_agree() {
        assert_eq!(found(SOURCE, PAGE, "").len(), 1, "the index lacks the code");
        let none = check(&Tree::of(&[(CATALOGUE, SOURCE), (INDEX, INDEX_TEXT)]));
        assert_eq!(none.len(), 1, "the code has no page");
        assert_eq!(none[0].line, 4, "the finding names the row's line");
        let tree = Tree::of(&[
            (CATALOGUE, SOURCE),
            (INDEX, INDEX_TEXT),
            ("issues/key-busy.md", PAGE),
            ("issues/key-lost.md", ""),
        ]);
        assert_eq!(check(&tree).len(), 1, "the page has no code");
    }

    #[test]
    fn a_catalogue_that_cannot_be_read_is_a_finding() {
        let table = [
            ("no catalogue", "catalogue! {", "other! {"),
            ("no status", "503", "none"),
            ("an actor nobody spells", "Nobody Some", "Somebody Some"),
            ("no end", "\n}\n", "\n"),
        ];
        for (case, from, to) in table {
            assert_eq!(found(&SOURCE.replace(from, to), PAGE, INDEX_TEXT).len(), 1, "{case}");
        }
    }
}
