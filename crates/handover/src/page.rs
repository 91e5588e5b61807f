//! Page: what was sent or filed, as one page for a reader who does not know FHIR.
//!
//! Comes in   the resources of one push as JSON, and what was withheld by rule.
//! Goes out   facts and sections in everyday words; plain text or one self-contained HTML document.
//! Never      a script, a link to anywhere, or a value that is not escaped; never fails on a
//!            resource it does not know: what it cannot show it counts.

mod html;
mod read;
mod text;
mod words;

use exchange::desk::Shown;
use exchange::{Finding, Withholding};
use serde_json::Value;

pub use html::html;
pub use text::text;

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// For example `Push to sunrise`.
    pub title: String,
    /// What the page is about: name and value.
    pub facts: Vec<(String, String)>,
    /// In the order people read them.
    pub sections: Vec<Section>,
}

/// One section of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What stands under it.
    pub body: Body,
}

/// What a section holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Rows under column heads; columns that are empty throughout have been left out.
    Table(Vec<&'static str>, Vec<Vec<String>>),
    /// Headed texts.
    Notes(Vec<Note>),
    /// Sentences.
    Sentences(Vec<String>),
}

/// A note or report in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Kind, date, author.
    pub title: String,
    /// The text.
    pub text: String,
}

/// The page of something shown; `None` when it holds no resources.
pub fn page(shown: &Shown) -> Option<Page> {
    let resources: Vec<Value> =
        shown.page.as_ref()?.0.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
    let partner = shown.row.partner.as_ref().map(ToString::to_string).unwrap_or_default();
    let title = match shown.row.kind.as_str() {
        "submission" => format!("Received from {partner}"),
        _ => format!("Sent to {partner}"),
    };
    let mut page = read::page(title, &resources);
    page.facts.push(("State".into(), shown.row.state.clone()));
    page.sections.extend(findings(&shown.findings));
    page.sections.extend(withheld(&shown.row.withheld));
    Some(page)
}

/// What the payer may not be able to use, and who can mend it.
fn findings(findings: &[Finding]) -> Option<Section> {
    let body = Body::Sentences(crate::render::finding_sentences(findings));
    (!findings.is_empty()).then_some(Section { title: "Not usable for this purpose", body })
}

/// What stayed behind: counts by rule, never what it was.
fn withheld(rows: &[Withholding]) -> Option<Section> {
    let sentence = |row: &Withholding| crate::render::withholding_words(row);
    let sentences: Vec<String> = rows.iter().map(sentence).collect();
    let body = Body::Sentences(sentences);
    (!rows.is_empty()).then_some(Section { title: "Not part of this page by rule", body })
}

/// A table without the columns that are empty throughout; `None` without rows.
fn table(title: &'static str, head: &[&'static str], rows: Vec<Vec<String>>) -> Option<Section> {
    let filled = |column: &usize| {
        rows.iter().any(|row| row.get(*column).is_some_and(|cell| !cell.is_empty()))
    };
    let columns: Vec<usize> = (0..head.len()).filter(filled).collect();
    let narrowed = |row: &Vec<String>| {
        columns.iter().map(|column| row.get(*column).cloned().unwrap_or_default()).collect()
    };
    let head = columns.iter().map(|column| head[*column]).collect();
    let body = Body::Table(head, rows.iter().map(narrowed).collect());
    (!rows.is_empty()).then_some(Section { title, body })
}

#[cfg(test)]
mod tests;
