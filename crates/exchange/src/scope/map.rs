//! Payor map: which partner a payor of the chart leads to, where agreements do not say it by an
//! identifier.
//!
//! Comes in   the house's table of payors, as TOML; a payor, and the coverage that names it.
//! Goes out   a partner, or that the payor is nobody's business, and which row says so.
//! Never      chooses between two rows that say as much: that is a person's work, with both places.
//!
//! ```toml
//! [[payor]]
//! identifier = "urn:oid:2.16.840.1.113883.6.300|99001"  # system|value, or a value of any system
//! reference = "Organization/17"     # the payor's id in the EHR
//! name = "Blue Cross of Nowhere"    # exactly, but for case and spaces
//! class = "group|G-77"              # Coverage.class: type|value, or a value of any type
//! member_id = "XYZ######*"          # `#` a digit, `@` a letter, `?` either, `*` anything at the end
//! from = 2025-01-01                 # days of service
//! until = 2025-12-31
//! partner = "sunrise"               # whose agreement counts; or none = "why nobody is told"
//! legal_payer = "Sunrise Health of Ohio, Inc."
//! delegate = "North Medical Group"  # who acts for it
//! ```
//!
//! A row fits where all that it names fits. The row that names most counts, and of two the dated
//! one. An agreement's `payer_identifiers` are rows with an identifier alone.

use super::coverage::{Facts, holds};
use super::payor::{Payor, PayorIdentifier, folded_name};
use crate::agreement::Terms;
use crate::days::Days;
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::limits::{
    MEMBER_PATTERN_CHARS_MAX, PAYOR_ROWS_MAX, PAYOR_WORDS_CHARS_MAX, PAYORS_BYTES_MAX,
};
use crate::path::is_resource_type;
use crate::tomlfile::{self, did_you_mean};
use fhir::is_id;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize};

/// One row, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PayorRow {
    /// `system|value`, or a value of any system; `|value` is one without a system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// `Organization/id` in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Its name; case and spaces do not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `type|value` of a `Coverage.class`, or a value of any type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// A pattern of member ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<String>,
    /// The first day of service that it holds for.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "day")]
    pub from: Option<Date>,
    /// The last one.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "day")]
    pub until: Option<Date>,
    /// Whose agreement counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<PartnerId>,
    /// Who is the payer in law, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legal_payer: Option<String>,
    /// Who acts for it, for people: a third-party administrator, a delegated medical group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<String>,
    /// Why nobody is told; instead of a partner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub none: Option<String>,
}

/// The table, ready to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayorMap {
    file: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    row: PayorRow,
    line: usize,
    pattern: Option<MemberPattern>,
    /// The name as compared.
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    payor: Vec<PayorRow>,
}

/// Where a payor leads, and what says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Led<'a> {
    /// The terms with the partner; or why nobody is told.
    pub(super) to: Result<&'a Terms, String>,
    /// `payors.toml, line 3`, or `the agreement with sunrise`.
    pub(super) by: String,
    /// The row, where one says it.
    pub(super) row: Option<PayorRow>,
}

/// How much a row names; a dated one says more than one without dates.
type Specific = (usize, bool);

impl PayorMap {
    /// Reads the table. `partners` are those that rows may lead to. Any fault is
    /// [`Code::ConfigInvalid`] with file and line.
    pub fn parse(text: &str, file_name: &str, partners: &[PartnerId]) -> Result<PayorMap, Issue> {
        let fault = |way: &[&str], detail: String| {
            let line = tomlfile::line_of(text, way);
            tomlfile::at_line(Code::ConfigInvalid, file_name, line, detail)
        };
        if text.len() > PAYORS_BYTES_MAX {
            let detail = format!("the table of payors has at most {PAYORS_BYTES_MAX} bytes");
            return Err(fault(&[], detail));
        }
        let table: Table = toml::from_str(text)
            .map_err(|error| tomlfile::issue(Code::ConfigInvalid, file_name, text, &error))?;
        if table.payor.len() > PAYOR_ROWS_MAX {
            let detail = format!("the table of payors has at most {PAYOR_ROWS_MAX} rows");
            return Err(fault(&["payor"], detail));
        }
        let lines = header_lines(text);
        let file = file_name.rsplit('/').next().unwrap_or(file_name).to_owned();
        let mut map = PayorMap { file, rows: Vec::new() };
        for (at, row) in table.payor.into_iter().enumerate() {
            let position = at.to_string();
            check(&row, partners)
                .map_err(|(key, detail)| fault(&["payor", &position, key], detail))?;
            let pattern = row.member_id.as_deref().map(MemberPattern::parse).transpose();
            let pattern = pattern
                .map_err(|detail| fault(&["payor", &position, "member_id"], detail.to_owned()))?;
            // Tables in one line have no headers of their own.
            let line = lines.get(at).copied().unwrap_or(at + 1);
            let name = row.name.as_deref().map(folded_name);
            map.rows.push(Row { row, line, pattern, name });
        }
        Ok(map)
    }

    /// The rows, each with its line.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &PayorRow)> {
        self.rows.iter().map(|row| (row.line, &row.row))
    }

    /// The line of a row that names the same and leads elsewhere: between the two nothing could
    /// choose. Rows for other days do not meet.
    pub fn contradicts(&self, new: &PayorRow) -> Option<usize> {
        let meets = |row: &PayorRow| {
            let before = |one: Option<Date>, other: Option<Date>| {
                one.zip(other).is_some_and(|(end, start)| end < start)
            };
            !before(row.until, new.from) && !before(new.until, row.from)
        };
        let found = self.rows.iter().find(|row| {
            let same = names(&row.row) == names(new) && is_dated(&row.row) == is_dated(new);
            same && row.row.partner != new.partner && meets(&row.row)
        });
        found.map(|row| row.line)
    }

    /// Whether a row stands here already.
    pub fn holds(&self, new: &PayorRow) -> bool {
        self.rows.iter().any(|row| row.row == *new)
    }

    /// Where a payor leads.
    ///
    /// Errors: `PayerUnmapped`, without place: nothing fits, or rows that say as much lead to
    /// different partners.
    pub(super) fn lead<'a>(
        &self,
        payor: &Payor,
        facts: &Facts,
        days: Option<Days>,
        agreements: &[&'a Terms],
    ) -> Result<Led<'a>, Issue> {
        let mut found: Vec<(Specific, Led<'a>)> = Vec::new();
        let called: Vec<String> = payor.names.iter().map(|name| folded_name(name)).collect();
        for row in self.rows.iter().filter(|row| row.fits(payor, &called, facts, days)) {
            let terms = |partner: &PartnerId| {
                agreements.iter().find(|terms| terms.agreement.partner == *partner).copied()
            };
            let to = match &row.row.partner {
                Some(partner) => match terms(partner) {
                    Some(terms) => Ok(terms),
                    None => continue, // `parse` has seen to it that there is one
                },
                None => Err(row.row.none.clone().unwrap_or_default()),
            };
            let by = format!("{}, line {}", self.file, row.line);
            found.push((row.specific(), Led { to, by, row: Some(row.row.clone()) }));
        }
        for terms in agreements.iter().filter(|terms| names_payor(terms, payor)) {
            let by = format!("the agreement with {}", terms.agreement.partner);
            found.push(((1, false), Led { to: Ok(terms), by, row: None }));
        }
        choose(found, payor)
    }
}

/// The candidate that says most.
fn choose<'a>(mut found: Vec<(Specific, Led<'a>)>, payor: &Payor) -> Result<Led<'a>, Issue> {
    let unmapped = |detail: String| Err(Issue::new(Code::PayerUnmapped, detail));
    let most = found.iter().map(|(specific, _)| *specific).max();
    found.retain(|(specific, _)| Some(*specific) == most);
    let partner = |led: &Led<'_>| led.to.as_ref().ok().map(|terms| terms.agreement.partner.clone());
    let mut led = found.into_iter().map(|(_, led)| led);
    let Some(first) = led.next() else {
        return unmapped(match payor.identifiers.is_empty() {
            true => "a coverage names its payer without any identifier, and no row of the payor \
                     map fits"
                .to_owned(),
            false => "no agreement names any of the identifiers of a coverage's payer, and no row \
                      of the payor map fits"
                .to_owned(),
        });
    };
    match led.find(|other| partner(other) != partner(&first)) {
        None => Ok(first),
        Some(other) => unmapped(format!(
            "{} and {} lead this payer to different ends, and neither says more",
            first.by, other.by
        )),
    }
}

impl Row {
    fn specific(&self) -> Specific {
        (names(&self.row).iter().flatten().count(), is_dated(&self.row))
    }

    fn fits(&self, payor: &Payor, called: &[String], facts: &Facts, days: Option<Days>) -> bool {
        let row = &self.row;
        let named =
            |one: &Option<String>, fits: &dyn Fn(&str) -> bool| one.as_deref().is_none_or(fits);
        holds(row.from, row.until, days)
            && named(&row.identifier, &|text| has_identifier(payor, text))
            && named(&row.reference, &|text| payor.reference.as_deref() == Some(text))
            && self.name.as_ref().is_none_or(|name| called.contains(name))
            && named(&row.class, &|text| {
                let (kind, value) = split(text);
                facts.classes.iter().any(|(code, found)| {
                    found == value && kind.is_none_or(|kind| code.as_deref() == Some(kind))
                })
            })
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| facts.member_ids.iter().any(|id| pattern.fits(id)))
    }
}

/// Whether the row names this payor, whatever else it asks of the coverage or the day.
pub fn names_this(row: &PayorRow, payor: &Payor) -> bool {
    let fits = |one: &Option<String>, fits: &dyn Fn(&str) -> bool| one.as_deref().is_none_or(fits);
    fits(&row.identifier, &|text| has_identifier(payor, text))
        && fits(&row.reference, &|text| payor.reference.as_deref() == Some(text))
        && fits(&row.name, &|text| {
            payor.names.iter().any(|name| folded_name(name) == folded_name(text))
        })
}

fn names(row: &PayorRow) -> [Option<String>; 5] {
    let name = row.name.as_deref().map(folded_name);
    let PayorRow { identifier, reference, class, member_id, .. } = row.clone();
    [identifier, reference, name, class, member_id]
}

fn is_dated(row: &PayorRow) -> bool {
    row.from.is_some() || row.until.is_some()
}

fn has_identifier(payor: &Payor, text: &str) -> bool {
    let (system, value) = split(text);
    payor.identifiers.iter().any(|it| {
        it.value == value
            && system.is_none_or(|system| it.system.as_deref().unwrap_or_default() == system)
    })
}

fn names_payor(terms: &Terms, payor: &Payor) -> bool {
    let fits = |ours: &crate::agreement::PayerIdentifier, it: &PayorIdentifier| {
        ours.value.trim() == it.value
            && (ours.system.is_none() || ours.system.as_deref() == it.system.as_deref())
    };
    let mut ours = terms.agreement.payer_identifiers.iter();
    ours.any(|ours| payor.identifiers.iter().any(|it| fits(ours, it)))
}

/// `system|value`, or a value alone.
fn split(text: &str) -> (Option<&str>, &str) {
    match text.split_once('|') {
        Some((system, value)) => (Some(system.trim()), value.trim()),
        None => (None, text.trim()),
    }
}

fn check(row: &PayorRow, partners: &[PartnerId]) -> Result<(), (&'static str, String)> {
    if names(row).iter().all(Option::is_none) {
        let detail = "a row names a payor by `identifier`, `reference`, `name`, `class` or \
                      `member_id`; this one would fit all";
        return Err(("", detail.to_owned()));
    }
    for (key, text) in [("identifier", &row.identifier), ("class", &row.class)] {
        if text.as_deref().is_some_and(|text| split(text).1.is_empty()) {
            let detail = format!("`{key}` is written system|value, or as a value alone");
            return Err((key, detail));
        }
    }
    let reference = row.reference.as_deref().map(|text| text.split_once('/').unwrap_or((text, "")));
    if reference.is_some_and(|(kind, id)| !is_resource_type(kind) || !is_id(id)) {
        let detail = "`reference` is written Type/id, for example Organization/123";
        return Err(("reference", detail.to_owned()));
    }
    if row.name.as_deref().is_some_and(|name| folded_name(name).is_empty()) {
        return Err(("name", "`name` is empty".to_owned()));
    }
    if row.from.zip(row.until).is_some_and(|(from, until)| until < from) {
        return Err(("until", "`until` is a day before `from`".to_owned()));
    }
    let words =
        [("legal_payer", &row.legal_payer), ("delegate", &row.delegate), ("none", &row.none)];
    for (key, words) in words {
        if words.as_deref().is_some_and(|words| !is_one_line(words)) {
            let detail = format!(
                "`{key}` is one line of 1 to {PAYOR_WORDS_CHARS_MAX} characters, for people"
            );
            return Err((key, detail));
        }
    }
    match (&row.partner, &row.none) {
        (Some(_), Some(_)) | (None, None) => {
            let detail = "a row leads to a `partner`, or says why to nobody in `none`";
            Err(("none", detail.to_owned()))
        }
        (Some(partner), None) if !partners.contains(partner) => {
            let known: Vec<&str> = partners.iter().map(PartnerId::as_str).collect();
            let meant = did_you_mean(partner.as_str(), &known);
            Err(("partner", format!("no agreement is with this `partner`{meant}")))
        }
        _ => Ok(()),
    }
}

fn is_one_line(words: &str) -> bool {
    !words.trim().is_empty()
        && words.chars().count() <= PAYOR_WORDS_CHARS_MAX
        && !words.contains(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// The lines of `[[payor]]`.
fn header_lines(text: &str) -> Vec<usize> {
    let header = |line: &str| {
        line.trim().strip_prefix("[[").is_some_and(|it| it.trim_start().starts_with("payor"))
    };
    text.lines().enumerate().filter(|(_, line)| header(line)).map(|(at, _)| at + 1).collect()
}

/// A day, written as TOML's own or as text.
fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Day(toml::value::Datetime),
        Text(String),
    }
    let text = match Option::<Written>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Written::Day(day)) => day.to_string(),
        Some(Written::Text(text)) => text,
    };
    text.parse().map(Some).map_err(|_| serde::de::Error::custom("a day is written YYYY-MM-DD"))
}

/// A row, as it is written at the end of the file.
pub fn row_text(row: &PayorRow) -> String {
    let quoted = |text: &String| toml::Value::from(text.as_str()).to_string();
    let texts = [
        ("identifier", row.identifier.as_ref().map(quoted)),
        ("reference", row.reference.as_ref().map(quoted)),
        ("name", row.name.as_ref().map(quoted)),
        ("class", row.class.as_ref().map(quoted)),
        ("member_id", row.member_id.as_ref().map(quoted)),
        ("from", row.from.map(|day| day.to_string())),
        ("until", row.until.map(|day| day.to_string())),
        ("partner", row.partner.as_ref().map(|name| quoted(&name.to_string()))),
        ("legal_payer", row.legal_payer.as_ref().map(quoted)),
        ("delegate", row.delegate.as_ref().map(quoted)),
        ("none", row.none.as_ref().map(quoted)),
    ];
    let lines =
        texts.iter().filter_map(|(key, text)| Some(format!("{key} = {}\n", text.as_ref()?)));
    format!("[[payor]]\n{}", lines.collect::<String>())
}

/// A pattern of member ids; compared as member ids are, in upper case without spaces and hyphens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MemberPattern {
    places: Vec<char>,
    /// Ends in `*`: more may follow.
    open: bool,
}

impl MemberPattern {
    fn parse(text: &str) -> Result<MemberPattern, &'static str> {
        let text = crate::member::folded_id(text);
        let (places, open) = match text.strip_suffix('*') {
            Some(before) => (before, true),
            None => (text.as_str(), false),
        };
        let places: Vec<char> = places.chars().collect();
        if places.is_empty() || places.len() > MEMBER_PATTERN_CHARS_MAX || places.contains(&'*') {
            return Err(
                "`member_id` is a pattern such as `XYZ######*`: `#` a digit, `@` a letter, \
                        `?` either, `*` anything, at the end only",
            );
        }
        Ok(MemberPattern { places, open })
    }

    fn fits(&self, id: &str) -> bool {
        let mut letters = id.chars();
        let all = self.places.iter().all(|place| match (place, letters.next()) {
            (_, None) => false,
            ('#', Some(letter)) => letter.is_ascii_digit(),
            ('@', Some(letter)) => letter.is_alphabetic(),
            ('?', Some(letter)) => letter.is_alphanumeric(),
            (place, Some(letter)) => *place == letter,
        });
        all && (self.open || letters.next().is_none())
    }
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
