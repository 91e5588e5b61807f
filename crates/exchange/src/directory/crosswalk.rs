//! Crosswalk: by what names directories know a payer, where its public file does not say it.
//!
//! Comes in   the house's table of payers, as TOML.
//! Goes out   what to ask directories for, by partner; a partner by an identifier.
//! Never      leads one identifier to two payers.
//!
//! ```toml
//! [[payer]]
//! partner = "sunrise"
//! identifiers = ["urn:oid:2.16.840.1.113883.6.300|99001", "https://clearinghouse.example|SUN01"]
//! name = "Sunrise Health Plan, Inc."         # as directories have it
//! organization = "Organization/sunrise"      # its id in the directory
//! configuration = "https://sunrise.example/.well-known/davinci-configuration"
//! ```
//!
//! Why a table: no authority assigns identifiers of payers (HRex, endpoint discovery), so that NAIC
//! codes, contract numbers and several numbers of clearinghouses stand for one payer.

use crate::endpoint::Sought;
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::limits::{CROSSWALK_BYTES_MAX, CROSSWALK_ROWS_MAX, DIRECTORY_WORD_CHARS_MAX};
use crate::partner::{PublicFile, PublicIdentifier};
use crate::tomlfile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrosswalkRow {
    /// Which partner.
    pub partner: PartnerId,
    /// `system|value`, each.
    #[serde(default)]
    pub identifiers: Vec<String>,
    /// Its name in directories.
    pub name: Option<String>,
    /// Its `Organization/id` there.
    pub organization: Option<String>,
    /// Where its HRex configuration lies.
    pub configuration: Option<String>,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crosswalk {
    rows: BTreeMap<PartnerId, CrosswalkRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    payer: Vec<CrosswalkRow>,
}

impl Crosswalk {
    /// Reads the table; `partners` are those it may name. Any fault is [`Code::ConfigInvalid`] with file
    /// and line.
    pub fn parse(text: &str, file_name: &str, partners: &[PartnerId]) -> Result<Crosswalk, Issue> {
        let fault = |way: &[&str], detail: String| {
            let line = tomlfile::line_of(text, way);
            tomlfile::at_line(Code::ConfigInvalid, file_name, line, detail)
        };
        if text.len() > CROSSWALK_BYTES_MAX {
            let detail = format!("the table of payers has at most {CROSSWALK_BYTES_MAX} bytes");
            return Err(fault(&[], detail));
        }
        let table: Table = toml::from_str(text)
            .map_err(|error| tomlfile::issue(Code::ConfigInvalid, file_name, text, &error))?;
        if table.payer.len() > CROSSWALK_ROWS_MAX {
            let detail = format!("the table of payers has at most {CROSSWALK_ROWS_MAX} rows");
            return Err(fault(&["payer"], detail));
        }
        let mut rows: BTreeMap<PartnerId, CrosswalkRow> = BTreeMap::new();
        let mut taken: BTreeMap<String, PartnerId> = BTreeMap::new();
        for (at, row) in table.payer.into_iter().enumerate() {
            let at = at.to_string();
            let here = |key: &str, detail: &str| fault(&["payer", &at, key], detail.to_owned());
            check(&row, partners).map_err(|(key, detail)| here(key, detail))?;
            for identifier in &row.identifiers {
                let other = taken.insert(identifier.clone(), row.partner.clone());
                if other.is_some_and(|other| other != row.partner) {
                    return Err(here("identifiers", "an identifier leads to two payers"));
                }
            }
            if rows.insert(row.partner.clone(), row).is_some() {
                return Err(here("partner", "two rows name the same partner; make them one"));
            }
        }
        Ok(Crosswalk { rows })
    }

    /// What directories are asked for this payer: its public file, and its row.
    pub fn sought(&self, public: &PublicFile) -> Sought {
        let mut sought = Sought {
            payer: Some(public.name.clone()),
            name: Some(public.title.clone()).filter(|title| !title.is_empty()),
            identifiers: public.payer_identifiers.clone(),
            organization: None,
            configuration: None,
        };
        if let Some(row) = self.rows.get(&public.name) {
            let more = row.identifiers.iter().filter_map(|it| identifier(it));
            let more: Vec<_> = more.filter(|it| !sought.identifiers.contains(it)).collect();
            sought.identifiers.extend(more);
            sought.name = row.name.clone().or(sought.name);
            sought.organization = row.organization.clone();
            sought.configuration = row.configuration.clone();
        }
        sought
    }

    /// The partner with this identifier.
    pub fn partner(&self, named: &PublicIdentifier) -> Option<&PartnerId> {
        let has = |row: &&CrosswalkRow| {
            row.identifiers.iter().any(|it| identifier(it).as_ref() == Some(named))
        };
        self.rows.values().find(has).map(|row| &row.partner)
    }
}

fn check(row: &CrosswalkRow, partners: &[PartnerId]) -> Result<(), (&'static str, &'static str)> {
    if !partners.contains(&row.partner) {
        return Err(("partner", "no partner of this house has this name"));
    }
    if row.identifiers.iter().any(|it| identifier(it).is_none()) {
        return Err(("identifiers", "an identifier is written as system|value"));
    }
    let fits = |word: &Option<String>, good: fn(&str) -> bool| {
        word.as_deref().is_none_or(|it| it.chars().count() <= DIRECTORY_WORD_CHARS_MAX && good(it))
    };
    if !fits(&row.name, |it| !it.trim().is_empty()) {
        return Err(("name", "a name is one line of words"));
    }
    let organization = |it: &str| it.strip_prefix("Organization/").is_some_and(fhir::is_id);
    if !fits(&row.organization, organization) {
        return Err((
            "organization",
            "an organization of a directory is written as Organization/id",
        ));
    }
    let url = |it: &str| it.starts_with("https://") || crate::partner::is_loopback(it);
    if !fits(&row.configuration, url) {
        return Err(("configuration", "the place of a configuration begins with https://"));
    }
    Ok(())
}

fn identifier(text: &str) -> Option<PublicIdentifier> {
    let (system, value) = text.split_once('|')?;
    let (system, value) = (system.trim().to_owned(), value.trim().to_owned());
    (!value.is_empty()).then_some(PublicIdentifier { system, value })
}
