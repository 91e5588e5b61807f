//! Table: the text of the table of restrictions, changed as a person asks.
//!
//! Comes in   the table as it is written; rows to add, or a subject to remove.
//! Goes out   the new text, and how many rows were added, known already, or removed.
//! Never      a text that reads otherwise than as asked: it is read again before it is answered.
//!            What people wrote between the rows stays.

use super::{Restriction, Restrictions};
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::limits::{RESTRICTIONS_BYTES_MAX, RESTRICTIONS_GUARDED};
use crate::member::fields;
use crate::purpose::Purpose;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// The columns of a file in CSV; the last two may be missing. Several words of one field are parted
/// by spaces.
pub const COLUMNS: [&str; 4] = ["subject", "reason", "payers", "except_purposes"];

/// A changed table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// As it is to be written.
    pub text: String,
    /// Rows that are new.
    pub added: u64,
    /// Rows that stood there already, or more than once in the file.
    pub duplicates: u64,
    /// Rows that are gone.
    pub removed: u64,
    /// Rows there are now.
    pub rows: u64,
}

/// A table to be changed.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    /// As it is written.
    pub text: &'a str,
    /// Its name, for issues.
    pub file_name: &'a str,
    /// Names that `payers` may hold.
    pub partners: &'a [PartnerId],
}

impl Table<'_> {
    /// The table with these rows as well, known as of then.
    ///
    /// Errors: `RestrictionsUnreadable` for the table, `CommandInvalid` for rows that cannot stand
    /// in it.
    pub fn add(&self, rows: &[Restriction], as_of: Option<Timestamp>) -> Result<Changed, Issue> {
        let (before, known) = Restrictions::rows(self.text, self.file_name, self.partners)?;
        let (fresh, duplicates) = new_among(rows, &known);
        let mut text = dated(self.text, as_of);
        for row in &fresh {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("\n{}", row_text(row)));
        }
        let added = fresh.len() as u64;
        let wanted = [known, fresh].concat();
        let changed =
            Changed { text, added, duplicates, rows: wanted.len() as u64, ..Changed::default() };
        self.checked(changed, as_of.or(before), &wanted)
    }

    /// The table with these rows and no others, known as of then. Comments go with the old rows. One
    /// that would keep back less than half of what it does, or nothing, is left as it is, unless `shrinks`
    /// says that this is meant: what a broken export lacks would travel from then on. Reasons and the order
    /// of words keep nothing back.
    ///
    /// Errors: as `add`; `CommandInvalid` where too much would go.
    pub fn replace(
        &self,
        rows: &[Restriction],
        as_of: Option<Timestamp>,
        shrinks: bool,
    ) -> Result<Changed, Issue> {
        let (before, known) = Restrictions::rows(self.text, self.file_name, self.partners)?;
        let (wanted, duplicates) = new_among(rows, &[]);
        let head = "# Restrictions of this house, as they were imported.\n";
        let mut text = dated(head, as_of.or(before));
        wanted.iter().for_each(|row| text.push_str(&format!("\n{}", row_text(row))));
        let of_wanted: BTreeSet<_> = wanted.iter().map(key).collect();
        let of_known: BTreeSet<_> = known.iter().map(key).collect();
        let added = wanted.iter().filter(|row| !of_known.contains(&key(row))).count() as u64;
        let removed = known.iter().filter(|row| !of_wanted.contains(&key(row))).count() as u64;
        let rows = wanted.len() as u64;
        let (all, opened) = opened(&known, &wanted);
        let most = all >= RESTRICTIONS_GUARDED && opened * 2 > all;
        if !shrinks && opened > 0 && (wanted.is_empty() || most) {
            let detail = format!(
                "the file lacks {opened} of the table's {all} restrictions, and what they keep back \
                 would travel; nothing was changed. See whether the export is whole; if they are to \
                 go, import it again with --allow-shrink"
            );
            return Err(Issue::new(Code::CommandInvalid, detail).at("file"));
        }
        let changed = Changed { text, added, duplicates, removed, rows };
        self.checked(changed, as_of.or(before), &wanted)
    }

    /// The table without the rows about a subject, or those of them with this reason.
    ///
    /// Errors: as `add`; `CommandInvalid` where there is none.
    pub fn remove(&self, subject: &str, reason: Option<&str>) -> Result<Changed, Issue> {
        let (as_of, known) = Restrictions::rows(self.text, self.file_name, self.partners)?;
        let goes = |row: &Restriction| {
            row.subject == subject && reason.is_none_or(|reason| row.reason == reason)
        };
        let text = without(self.text, |at| known.get(at).is_some_and(goes));
        let wanted: Vec<_> = known.iter().filter(|row| !goes(row)).cloned().collect();
        let removed = (known.len() - wanted.len()) as u64;
        if removed == 0 {
            let detail = "no restriction of the table is about this subject, with this reason";
            return Err(Issue::new(Code::CommandInvalid, detail).at("subject"));
        }
        let changed = Changed { text, removed, rows: wanted.len() as u64, ..Changed::default() };
        self.checked(changed, as_of, &wanted)
    }

    /// The new text reads as it should, or nothing was changed.
    fn checked(
        &self,
        changed: Changed,
        as_of: Option<Timestamp>,
        wanted: &[Restriction],
    ) -> Result<Changed, Issue> {
        let invalid = |detail: &str| Issue::new(Code::CommandInvalid, detail).at(self.file_name);
        if changed.text.len() > RESTRICTIONS_BYTES_MAX {
            return Err(invalid("the table would become too large; nothing was changed"));
        }
        let read = Restrictions::rows(&changed.text, self.file_name, self.partners);
        match read {
            Ok((found, rows)) if found == as_of && rows == wanted => Ok(changed),
            // The rows were read before, so it is the new ones that do not fit.
            Err(issue) if Restrictions::rows(self.text, self.file_name, self.partners).is_ok() => {
                let detail = issue.detail.split_once(": ").map_or("", |(_, detail)| detail);
                Err(invalid(&format!("a row cannot stand in the table: {detail}")))
            }
            Err(issue) => Err(issue),
            Ok(_) => Err(invalid(
                "the table is not written as [[restriction]] rows, each by itself: change it by \
                 hand",
            )),
        }
    }
}

/// The rows of a file to be imported, all of them checked: TOML as the table is written, or CSV with
/// the header `subject,reason,payers,except_purposes`.
///
/// Errors: `CommandInvalid`, with file and line.
pub fn import(
    text: &str,
    file_name: &str,
    partners: &[PartnerId],
) -> Result<(Option<Timestamp>, Vec<Restriction>), Issue> {
    let is_toml = file_name.rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    let read = match is_toml {
        true => Restrictions::rows(text, file_name, partners),
        false => csv(text, file_name, partners).map(|rows| (None, rows)),
    };
    read.map_err(|issue| Issue { code: Code::CommandInvalid, ..issue })
}

fn csv(text: &str, file_name: &str, partners: &[PartnerId]) -> Result<Vec<Restriction>, Issue> {
    let wrong = |line: usize, detail: &str| {
        Issue::new(Code::CommandInvalid, format!("line {line}: {detail}")).at(file_name)
    };
    if text.len() > RESTRICTIONS_BYTES_MAX {
        return Err(wrong(1, "the file is larger than a table of restrictions may be"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let (_, header) = lines.next().unwrap_or((1, ""));
    let header: Vec<String> = fields(header).unwrap_or_default();
    let header: Vec<&str> = header.iter().map(|name| name.trim()).collect();
    if header.len() < 2 || !COLUMNS.starts_with(&header) {
        let columns = COLUMNS.join(",");
        return Err(wrong(1, &format!("the header {columns} is needed, of which two may lack")));
    }
    let mut rows = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells = fields(line).ok_or_else(|| wrong(number, "a quote is not closed"))?;
        if cells.len() != header.len() {
            return Err(wrong(number, &format!("{} fields are needed", header.len())));
        }
        let words = |at: usize| -> Vec<&str> {
            cells.get(at).map(|cell| cell.split_whitespace().collect()).unwrap_or_default()
        };
        let row = Restriction {
            subject: cells[0].trim().to_owned(),
            reason: cells[1].trim().to_owned(),
            payers: words(2).into_iter().map(PartnerId::from).collect(),
            except_purposes: purposes(&words(3)).ok_or_else(|| {
                wrong(number, "`except_purposes` holds a word that is no purpose")
            })?,
        };
        super::check(&row, partners).map_err(|(_, detail)| wrong(number, &detail))?;
        rows.push(row);
    }
    Ok(rows)
}

fn purposes(words: &[&str]) -> Option<Vec<Purpose>> {
    let read = |word: &&str| serde_json::from_value(serde_json::Value::from(*word)).ok();
    words.iter().map(read).collect()
}

/// The rows that do not stand among the known ones, each once, and how many others there are.
fn new_among(rows: &[Restriction], known: &[Restriction]) -> (Vec<Restriction>, u64) {
    let mut seen: BTreeSet<_> = known.iter().map(key).collect();
    let fresh: Vec<_> = rows.iter().filter(|row| seen.insert(key(row))).cloned().collect();
    let duplicates = (rows.len() - fresh.len()) as u64;
    (fresh, duplicates)
}

/// A row, however its words are ordered.
type Key<'a> = (&'a str, &'a str, BTreeSet<&'a PartnerId>, BTreeSet<Purpose>);

fn key(row: &Restriction) -> Key<'_> {
    let purposes = row.except_purposes.iter().copied().collect();
    (&row.subject, &row.reason, row.payers.iter().collect(), purposes)
}

/// How many restrictions are known, whatever their reasons, and how many of them would not hold any more
/// as they did: against one of their payers, or for one of the purposes.
fn opened(known: &[Restriction], wanted: &[Restriction]) -> (u64, u64) {
    let mut by_subject: HashMap<&str, Vec<&Restriction>> = HashMap::new();
    wanted.iter().for_each(|row| by_subject.entry(&row.subject).or_default().push(row));
    let stays = |row: &Restriction| {
        let others = by_subject.get(row.subject.as_str()).map_or(&[][..], Vec::as_slice);
        let against = |payer: Option<&PartnerId>| {
            let holds = |other: &&&Restriction| {
                other.payers.is_empty() || payer.is_some_and(|it| other.payers.contains(it))
            };
            let mut excepted = others.iter().filter(holds).map(|other| &other.except_purposes);
            let Some(first) = excepted.next() else { return false };
            // One purpose that each of them lets pass, and the row did not.
            let excepted: Vec<_> = excepted.collect();
            let passes = |it: &&Purpose| excepted.iter().all(|other| other.contains(it));
            first.iter().filter(passes).all(|it| row.except_purposes.contains(it))
        };
        match row.payers.is_empty() {
            true => against(None),
            false => row.payers.iter().all(|payer| against(Some(payer))),
        }
    };
    let mut seen = BTreeSet::new();
    let known = known.iter().filter(|row| {
        let (subject, _, payers, purposes) = key(row);
        seen.insert((subject, payers, purposes))
    });
    known.fold((0, 0), |(all, opened), row| (all + 1, opened + u64::from(!stays(row))))
}

fn row_text(row: &Restriction) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let list =
        |words: Vec<String>| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "[[restriction]]\nsubject = {}\nreason = {}\n",
        quoted(&row.subject),
        quoted(&row.reason)
    );
    if !row.payers.is_empty() {
        let names = row.payers.iter().map(ToString::to_string).collect();
        text.push_str(&format!("payers = [{}]\n", list(names)));
    }
    if !row.except_purposes.is_empty() {
        let purposes = row.except_purposes.iter().map(ToString::to_string).collect();
        text.push_str(&format!("except_purposes = [{}]\n", list(purposes)));
    }
    text
}

/// The text with this `as_of` at its head.
fn dated(text: &str, as_of: Option<Timestamp>) -> String {
    let Some(as_of) = as_of else { return text.to_owned() };
    let line = format!("as_of = {as_of}");
    let mut lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| line.trim_start().starts_with('['));
    let is_old = |line: &&str| {
        line.trim_start().strip_prefix("as_of").is_some_and(|it| it.trim_start().starts_with('='))
    };
    match lines[..head.unwrap_or(lines.len())].iter().position(is_old) {
        Some(at) => lines[at] = &line,
        None => lines.insert(0, &line),
    }
    lines.join("\n") + "\n"
}

/// The text without the n-th rows of `goes`: from the header to the last line that is no comment
/// before the next header.
fn without(text: &str, goes: impl Fn(usize) -> bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let (mut row, mut leaving) = (0, false);
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with('[') && start.contains("[[") {
            leaving = goes(row);
            row += 1;
        }
        let is_between = start.is_empty() || start.starts_with('#');
        if !leaving || is_between {
            kept.push(line);
        }
    }
    let mut lines = kept.join("\n");
    while lines.contains("\n\n\n") {
        lines = lines.replace("\n\n\n", "\n\n");
    }
    lines + "\n"
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
