//! List: every key and certificate of a house, where it is in its life, and what relies on it.
//!
//! Comes in   the files that the configuration names.
//! Goes out   one row each.
//! Never      a private key, or a patient.

use super::asked::KeyUse;
use super::place::{self, Stamps};
use super::rotate::{Staged, shown};
use super::{days, pair};
use crate::config;
use exchange::{Code, Issue};
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;
use wire::SigningKey;
use wire::tls;

/// A key or certificate.
#[derive(Debug, Clone, Serialize)]
pub(super) struct KeyRow {
    /// What it is for.
    #[serde(rename = "use")]
    pub(super) usage: &'static str,
    /// `in use`, `announced`, `honoured`, `retired`.
    pub(super) stage: &'static str,
    /// `es384`, `rs384`, `ed25519`, `mac`, `certificate`.
    pub(super) kind: &'static str,
    /// Key id; of a secret, the start of its digest.
    pub(super) id: String,
    /// Since when it is at its stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    /// Until when it is honoured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
    /// Days left of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) days_left: Option<i64>,
    /// Its file, in the house's folder.
    pub(super) file: String,
    /// Where it is used.
    pub(super) used: String,
}

/// All of them.
///
/// Errors: `KeyUnusable`, at the file that cannot be read.
pub(super) fn rows(config: &config::House, now: Timestamp) -> Result<Vec<KeyRow>, Issue> {
    let mut rows = Vec::new();
    for usage in [KeyUse::Signing, KeyUse::Operator, KeyUse::Tokens] {
        staged(config, usage, &mut rows)?;
    }
    source(config, &mut rows)?;
    ledger(config, &mut rows)?;
    certificates(config, now, &mut rows)?;
    Ok(rows)
}

fn staged(config: &config::House, usage: KeyUse, rows: &mut Vec<KeyRow>) -> Result<(), Issue> {
    let staged = Staged::of(config, usage)?;
    let stages = place::stages(&staged.path);
    let next = stages.has_next.then_some(&stages.next);
    let files = [("in use", Some(&stages.now)), ("announced", next)].into_iter();
    let files = files.filter_map(|(stage, path)| Some((stage, path?)));
    for (stage, path) in files.chain(stages.old.iter().map(|path| ("honoured", path))) {
        let text = place::read(path)?;
        let stamps = Stamps::read(&text);
        let (since, until) = match stage {
            "in use" => (stamps.begun.unwrap_or_else(|| place::written(path)), None),
            "announced" => (stamps.made.unwrap_or_else(|| place::written(path)), None),
            _ => {
                let ended = stamps.ended.unwrap_or_else(|| place::written(path));
                (ended, Some(ended + staged.keep()))
            }
        };
        let kind = match usage {
            KeyUse::Tokens => "mac",
            _ => SigningKey::from_pem(&text)?.kind().word(),
        };
        rows.push(KeyRow {
            usage: usage.word(),
            stage,
            kind,
            id: staged.id(&text)?,
            since: Some(since),
            until,
            days_left: None,
            file: shown(config, path),
            used: used(config, usage),
        });
    }
    Ok(())
}

/// Where a key is used, in words.
fn used(config: &config::House, usage: KeyUse) -> String {
    match usage {
        KeyUse::Signing => {
            let doors = config.partners.values().filter(|public| {
                public.role == exchange::partner::Role::Payer || public.foreign.is_some()
            });
            let mut places: Vec<String> = doors.map(|public| public.name.to_string()).collect();
            let source = config.file.source.iter().filter_map(|source| source.key.as_ref());
            if source.into_iter().any(|key| *key == config.file.keys.signing) {
                places.push("the EHR".to_owned());
            }
            match places.is_empty() {
                true => "signs in at partners".to_owned(),
                false => format!("signs in at {}", places.join(", ")),
            }
        }
        KeyUse::Operator => "the command line, at the running house".to_owned(),
        KeyUse::Tokens => "access tokens of this house".to_owned(),
        KeyUse::Ledger => "checkpoints and anchor".to_owned(),
        KeyUse::Server => "the doors of this house".to_owned(),
        KeyUse::Client | KeyUse::Udap => "partners' doors".to_owned(),
    }
}

/// A key of `[source]` that is another than the house's own.
fn source(config: &config::House, rows: &mut Vec<KeyRow>) -> Result<(), Issue> {
    let named = config.file.source.iter().filter_map(|source| source.key.as_ref());
    for path in named.filter(|path| **path != config.file.keys.signing) {
        let path = config.path(path);
        let key = SigningKey::read(&path)?;
        rows.push(KeyRow {
            usage: "source",
            stage: "in use",
            kind: key.kind().word(),
            id: key.kid().to_owned(),
            since: Some(place::written(&path)),
            until: None,
            days_left: None,
            file: shown(config, &path),
            used: "signs in at the EHR".to_owned(),
        });
    }
    Ok(())
}

fn ledger(config: &config::House, rows: &mut Vec<KeyRow>) -> Result<(), Issue> {
    let path = config.path(&config.file.keys.ledger);
    let key = place::ledger_key(config)?;
    let stamps = Stamps::read(&place::read(&path)?);
    let row = |stage, id: String, since, file| KeyRow {
        usage: KeyUse::Ledger.word(),
        stage,
        kind: "ed25519",
        id,
        since,
        until: None,
        days_left: None,
        file,
        used: used(config, KeyUse::Ledger),
    };
    let since = stamps.begun.unwrap_or_else(|| place::written(&path));
    rows.push(row("in use", key.key_id(), Some(since), shown(config, &path)));
    for retired in place::ledger_keys(config, &key)?.into_iter().filter(|key| key.retired) {
        rows.push(row("retired", retired.id, None, "house.toml".to_owned()));
    }
    Ok(())
}

/// Certificates, each with the key that waits for the next one.
fn certificates(
    config: &config::House,
    now: Timestamp,
    rows: &mut Vec<KeyRow>,
) -> Result<(), Issue> {
    for files in pair::all(config) {
        let (chain, key) = pair::read(config, &files.certificate, &files.key)?;
        // A key of another kind is the library's matter, and has no id here.
        let id =
            SigningKey::from_pem(&key).map_or_else(|_| String::new(), |it| it.kid().to_owned());
        let names = match files.usage {
            KeyUse::Server => tls::hosts_of(chain.as_bytes())?.join(", "),
            usage => files.community.clone().unwrap_or_else(|| used(config, usage)),
        };
        let row = |file: &Path, kind, stage, id, days_left, used: &str| KeyRow {
            usage: files.usage.word(),
            stage,
            kind,
            id,
            since: None,
            until: None,
            days_left,
            file: shown(config, &config.path(file)),
            used: used.to_owned(),
        };
        let left = Some(days::shortest(chain.as_bytes(), now)?);
        rows.push(row(&files.certificate, "certificate", "in use", id, left, &names));
        let stages = place::stages(&config.path(&files.key));
        if stages.has_next {
            let next = SigningKey::read(&stages.next)?;
            let (kind, id) = (next.kind().word(), next.kid().to_owned());
            let words = "waits for its certificate";
            rows.push(row(&stages.next, kind, "announced", id, None, words));
        }
        if let (KeyUse::Server, Some(authority)) = (files.usage, &files.authority) {
            let left = Some(days::longest(config.text(authority)?.as_bytes(), now)?);
            let (kind, words) = ("certificate", "partners trust it");
            rows.push(row(authority, kind, "in use", String::new(), left, words));
        }
    }
    Ok(())
}

/// The rows as a table.
pub(super) fn table(rows: &[KeyRow]) -> String {
    let head = ["use", "stage", "kind", "id", "since", "until", "days left", "file", "where used"];
    let day = |time: Option<Timestamp>| {
        time.map(|time| time.strftime("%F %H:%MZ").to_string()).unwrap_or_default()
    };
    let cells = |row: &KeyRow| {
        vec![
            row.usage.to_owned(),
            row.stage.to_owned(),
            row.kind.to_owned(),
            row.id.chars().take(16).collect(),
            day(row.since),
            day(row.until),
            row.days_left.map(|days| days.to_string()).unwrap_or_default(),
            row.file.clone(),
            row.used.clone(),
        ]
    };
    let mut all = vec![head.map(str::to_owned).to_vec()];
    all.extend(rows.iter().map(cells));
    crate::table::lines(0, &all).join("\n") + "\n"
}

/// A word for a use that this house has no key of.
pub(super) fn none_of(usage: KeyUse) -> Issue {
    let detail = format!("house.toml names no certificate and key for `{}`", usage.word());
    Issue::new(Code::CommandInvalid, detail).at("use")
}
