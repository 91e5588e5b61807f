//! Text: a page as plain lines.
//!
//! Comes in   a page.
//! Goes out   text that reads in any terminal.
//! Never      a control character of a chart: a note must not move the cursor.

use super::{Body, Page};
use crate::table;
use std::fmt::Write as _;

/// Columns of the widest cell before a table is told as a list.
const CELL: usize = 60;

/// The page as text.
pub fn text(page: &Page) -> String {
    let mut text = String::new();
    put_heading(&mut text, &calm(&page.title), '=');
    let facts: Vec<Vec<String>> =
        page.facts.iter().map(|(name, value)| vec![name.clone(), calm(value)]).collect();
    put_lines(&mut text, &table::lines(0, &facts));
    for section in &page.sections {
        let _ = writeln!(text);
        put_heading(&mut text, section.title, '-');
        match &section.body {
            Body::Table(head, rows) => put_table(&mut text, head, rows),
            Body::Sentences(sentences) => put_lines(&mut text, sentences),
            Body::Notes(notes) => {
                for note in notes {
                    let _ = writeln!(text, "{}", calm(&note.title));
                    for line in note.text.lines() {
                        let _ = writeln!(text, "{}", format!("    {}", calm(line)).trim_end());
                    }
                }
            }
        }
    }
    text
}

fn put_heading(text: &mut String, title: &str, line: char) {
    let _ = writeln!(text, "{title}");
    let _ = writeln!(text, "{}", line.to_string().repeat(title.chars().count()));
}

fn put_lines(text: &mut String, lines: &[String]) {
    lines.iter().for_each(|line| {
        let _ = writeln!(text, "{line}");
    });
}

fn put_table(text: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let calm_rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| calm(cell)).collect()).collect();
    let wide = calm_rows.iter().flatten().any(|cell| cell.chars().count() > CELL);
    if !wide {
        let mut all = vec![head.iter().map(|it| (*it).to_owned()).collect()];
        all.extend(calm_rows);
        return put_lines(text, &table::lines(0, &all));
    }
    for row in calm_rows {
        for (number, (name, cell)) in head.iter().zip(&row).enumerate() {
            let lead = if number == 0 { "- " } else { "  " };
            if !cell.is_empty() {
                let _ = writeln!(text, "{lead}{name}: {cell}");
            }
        }
    }
}

/// One line without control characters.
fn calm(text: &str) -> String {
    let plain = |char: char| if table::steers(char) { ' ' } else { char };
    text.chars().map(plain).collect::<String>().trim_end().to_owned()
}
