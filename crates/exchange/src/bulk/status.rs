//! Status: the manifest that answers `$bulk-submit-status` (Bulk Data 4.0.0-ballot, BulkSubmitStatusManifest).
//!
//! Comes in   a status manifest of any dialect; or what there is to fetch.
//! Goes out   which files say what became of which manifest; or the JSON of a dialect.
//! Never      refuses a manifest for what it leaves out: nothing to say is an answer.

use super::manifest::{invalid, link, next};
use super::members::{Members, items};
use super::{Dialect, NDJSON};
use crate::Issue;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const MANIFEST_TYPE: &str =
    "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkSubmitStatusManifest";

/// What is read of a status manifest.
const ROOT: [&str; 9] = [
    "submissionId",
    "extension",
    "transactionTime",
    "requiresAccessToken",
    "outcome",
    "error",
    "output",
    "deleted",
    "link",
];

/// What is read of a file, and of its extension.
const FILE: [&str; 5] = ["url", "type", "manifestUrl", "countSeverity", "extension"];

/// The severities that are counted (IssueSeverity of R4 and later).
const SEVERITIES: [&str; 5] = ["fatal", "error", "warning", "information", "success"];

/// A status manifest, or one page of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusManifest {
    /// Whose status it is.
    pub submission_id: Option<String>,
    /// Its files are of this moment.
    pub transaction_time: Option<Timestamp>,
    /// Whether its files need the token that the status needs.
    pub requires_access_token: bool,
    /// Files of OperationOutcomes (`outcome`, once `error`).
    pub outcome: Vec<StatusFile>,
    /// Files of resources that come back.
    pub output: Vec<StatusFile>,
    /// Files of deletions that the submitter should follow.
    pub deleted: Vec<StatusFile>,
    /// The next page, as written.
    pub next: Option<String>,
}

/// A file of a status manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusFile {
    /// Where it is, as written.
    pub url: String,
    /// The type of its resources, where it is said.
    pub kind: Option<String>,
    /// The submitted manifest that it is about.
    pub manifest_url: Option<String>,
    /// How many OperationOutcomes of each severity it has, where that is said.
    pub severities: BTreeMap<String, u64>,
}

impl StatusManifest {
    /// Reads a status manifest of either dialect.
    ///
    /// # Errors
    /// `ManifestInvalid`, naming the place.
    pub fn read(body: &[u8]) -> Result<StatusManifest, Issue> {
        let root = Members::read(body, &ROOT)?;
        let extension = root.get("extension").and_then(|one| Members::of(one, &["submissionId"]));
        let id = root.text("", "submissionId")?;
        let elsewhere = extension.map(|extension| extension.text("extension.", "submissionId"));
        let time = root.text("", "transactionTime")?;
        let mut outcome = files(&root, "outcome")?;
        outcome.extend(files(&root, "error")?);
        Ok(StatusManifest {
            submission_id: id.or(elsewhere.transpose()?.flatten()),
            transaction_time: time.and_then(|time| time.parse().ok()),
            requires_access_token: root.truth("requiresAccessToken") == Some(true),
            outcome,
            output: files(&root, "output")?,
            deleted: files(&root, "deleted")?,
            next: next(&root)?,
        })
    }

    /// The JSON of a dialect; `request` is the URL of the status operation, which the draft repeats.
    pub fn write(&self, dialect: Dialect, request: &str) -> Vec<u8> {
        let mut root = Map::new();
        let id = self.submission_id.clone().unwrap_or_default();
        let time = self.transaction_time.unwrap_or(Timestamp::UNIX_EPOCH).to_string();
        let list = |files: &[StatusFile]| -> Value {
            files.iter().map(|file| file.write(dialect)).collect()
        };
        match dialect {
            Dialect::Ballot => {
                root.insert("submissionId".to_owned(), id.into());
                root.insert("manifestType".to_owned(), MANIFEST_TYPE.into());
            }
            Dialect::Argonaut => {
                root.insert("extension".to_owned(), json!({ "submissionId": id }));
                root.insert("request".to_owned(), request.into());
            }
        }
        root.insert("transactionTime".to_owned(), time.into());
        root.insert("requiresAccessToken".to_owned(), self.requires_access_token.into());
        if dialect == Dialect::Ballot {
            root.insert("outputFormat".to_owned(), NDJSON.into());
        }
        let told = match dialect {
            Dialect::Ballot => "outcome",
            Dialect::Argonaut => "error",
        };
        if !self.output.is_empty() || dialect == Dialect::Argonaut {
            root.insert("output".to_owned(), list(&self.output));
        }
        if !self.deleted.is_empty() {
            root.insert("deleted".to_owned(), list(&self.deleted));
        }
        if !self.outcome.is_empty() || dialect == Dialect::Argonaut {
            root.insert(told.to_owned(), list(&self.outcome));
        }
        root.extend(self.next.as_deref().map(link));
        Value::Object(root).to_string().into_bytes()
    }
}

impl StatusFile {
    fn write(&self, dialect: Dialect) -> Value {
        let mut file = Map::new();
        let list = || -> Value {
            let one = |(code, count): (&String, &u64)| json!({ "code": code, "count": count });
            self.severities.iter().map(one).collect()
        };
        match dialect {
            Dialect::Ballot => {
                file.extend(self.kind.clone().map(|kind| ("type".to_owned(), kind.into())));
                file.insert("url".to_owned(), self.url.clone().into());
                let url = self.manifest_url.clone();
                file.extend(url.map(|url| ("manifestUrl".to_owned(), url.into())));
                if !self.severities.is_empty() {
                    file.insert("countSeverity".to_owned(), list());
                }
            }
            Dialect::Argonaut => {
                let kind = self.kind.as_deref().unwrap_or("OperationOutcome");
                file.insert("type".to_owned(), kind.into());
                file.insert("url".to_owned(), self.url.clone().into());
                let mut extension = Map::new();
                let url = self.manifest_url.clone();
                extension.extend(url.map(|url| ("manifestUrl".to_owned(), url.into())));
                extension.insert("countSeverity".to_owned(), json!(self.severities));
                file.insert("extension".to_owned(), Value::Object(extension));
            }
        }
        Value::Object(file)
    }
}

fn files(root: &Members<'_>, name: &str) -> Result<Vec<StatusFile>, Issue> {
    root.list(name, &FILE, |place, item| {
        let url = item.text(place, "url")?.filter(|url| !url.is_empty());
        let extension = item.get("extension").and_then(|one| Members::of(one, &FILE));
        let own = item.text(place, "manifestUrl")?;
        let elsewhere = extension.as_ref().map(|one| one.text(place, "manifestUrl"));
        let counts = item
            .get("countSeverity")
            .or_else(|| extension.as_ref().and_then(|one| one.get("countSeverity")));
        Ok(StatusFile {
            url: url.ok_or_else(|| invalid(format!("{place}url"), "a URL is needed"))?,
            kind: item.text(place, "type")?,
            manifest_url: own.or(elsewhere.transpose()?.flatten()),
            severities: counts.map(severities).unwrap_or_default(),
        })
    })
}

/// A list of code and count, or an object of counts by code; what is of neither shape, or of no code that
/// is known, is left out.
fn severities(counts: &RawValue) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut count = |code: &str, count: Option<u64>| {
        if let (true, Some(count)) = (SEVERITIES.contains(&code), count) {
            all.insert(code.to_owned(), count);
        }
    };
    if let Some(counts) = Members::of(counts, &SEVERITIES) {
        SEVERITIES.iter().for_each(|code| count(code, counts.number("", code).ok().flatten()));
    }
    let one = |_, item| {
        if let Some(one) = Members::of(item, &["code", "count"])
            && let Ok(Some(code)) = one.text("", "code")
        {
            count(&code, one.number("", "count").ok().flatten());
        }
        Ok::<(), Issue>(())
    };
    drop(items(counts, one));
    all
}

#[cfg(test)]
mod tests;
