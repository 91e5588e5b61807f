//! Answer: what the receiving house says of every entry, in the order they came.
//!
//! Comes in   what became of each entry, and the ledger's last checkpoint.
//! Goes out   a response Bundle (R4 §3.1.0.11.3), or the manifest of a later answer.
//! Never      a resource that the sender did not ask to have back.
//!
//! Why the ledger's root stands in `Bundle.meta`: a Bundle has no extensions of its own in R4, but
//! its `meta` is an element and may carry some. Whoever keeps the answer is then a witness of
//! everything this house had proved by then.

use crate::id::Digest;
use crate::issue::Issue;
use crate::read::Form;
use bytes::Bytes;
use fhir::{Bundle, BundleType, BundleWriter, Doc, EntryToWrite, ResponseToWrite};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The extension on `Bundle.meta` of an answer: the receiving house's last checkpoint, with the
/// sub-extensions `root` (valueString, 64 hexadecimal digits), `sequence` (valueString, the last
/// ledger sequence covered) and `key` (valueString, the id of the key that signed it).
pub const LEDGER_ROOT: &str = "urn:handover:extension:ledger-root";

/// A checkpoint of a house, as its partner keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRoot {
    /// Merkle root over the entries the checkpoint covers.
    pub root: Digest,
    /// The last sequence covered.
    pub sequence: u64,
    /// Id of the key that signed.
    pub key: String,
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filing {
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// What was done.
    pub done: Done,
    /// The version that is current now; `None` where there never was a record to delete.
    pub version: Option<u64>,
    /// When that version was filed.
    pub last_modified: Option<Timestamp>,
    /// Something the sender may want to know, such as `OlderThanFiled`; why it was refused.
    pub issues: Vec<Issue>,
    /// The resource as it now stands, for senders who asked for it.
    pub resource: Option<Bytes>,
    /// The sender asked for an OperationOutcome, also where all went well.
    pub in_words: bool,
}

/// What was done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// A record that was not there before.
    Created,
    /// A new version of a record.
    Updated,
    /// The record held this content, or a later push's: no version was made.
    Unchanged,
    /// It was to be created only where there was none, and there is one.
    Exists,
    /// The record was taken back, or was not there.
    Deleted,
    /// Nothing: the entry was refused.
    Refused,
}

impl Done {
    /// What was done, in a sentence.
    const fn words(self) -> &'static str {
        match self {
            Done::Created => "the record was created",
            Done::Updated => "the record has a new version",
            Done::Unchanged => "the record stands as it is; no version was made",
            Done::Exists => "the record is there already; nothing was created",
            Done::Deleted => "the record is withdrawn",
            Done::Refused => "nothing was filed",
        }
    }
}

impl Filing {
    /// The HTTP status.
    pub fn code(&self) -> u16 {
        match self.done {
            Done::Created => 201,
            Done::Updated | Done::Unchanged | Done::Exists => 200,
            Done::Deleted => 204,
            Done::Refused => self.issues.first().map_or(500, |issue| issue.code.row().status),
        }
    }

    /// The status as it stands in the answer.
    fn status(&self) -> String {
        let code = self.code();
        let words = match code {
            200 => "OK",
            201 => "Created",
            204 => "No Content",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            500.. => "Server Error",
            _ => "Refused",
        };
        format!("{code} {words}")
    }

    /// `Type/id/_history/version`, where there is one.
    pub fn location(&self) -> Option<String> {
        self.version.map(|version| format!("{}/{}/_history/{version}", self.kind, self.id))
    }

    /// The ETag `W/"version"`, where there is one.
    pub fn etag(&self) -> Option<String> {
        self.version.map(|version| format!("W/\"{version}\""))
    }

    /// What there is to say in an OperationOutcome.
    pub fn outcome(&self) -> Option<Vec<u8>> {
        if !self.issues.is_empty() {
            return Some(Issue::outcome(&self.issues));
        }
        let text = self.done.words();
        let issue = json!({
            "severity": "information", "code": "informational", "details": { "text": text },
        });
        let outcome = json!({ "resourceType": "OperationOutcome", "issue": [issue] });
        self.in_words.then(|| outcome.to_string().into_bytes())
    }
}

/// The answer to a Bundle: one entry for each, in the same order.
pub fn answer(form: Form, filings: &[Filing], root: Option<&LedgerRoot>) -> Bytes {
    let mut writer = BundleWriter::new(match form {
        Form::Transaction => BundleType::TransactionResponse,
        Form::Batch => BundleType::BatchResponse,
    });
    for filing in filings {
        let (location, etag) = (filing.location(), filing.etag());
        let last_modified = filing.last_modified.map(|at| at.to_string());
        let outcome = filing.outcome();
        writer.entry(EntryToWrite {
            resource: filing.resource.as_deref(),
            response: Some(ResponseToWrite {
                status: &filing.status(),
                location: location.as_deref(),
                etag: etag.as_deref(),
                last_modified: last_modified.as_deref(),
                outcome: outcome.as_deref(),
            }),
            ..EntryToWrite::default()
        });
    }
    let bytes = writer.finish();
    match root {
        Some(root) => with_meta(&bytes, &root.to_meta()),
        None => bytes,
    }
    .into()
}

/// Puts `meta` behind `resourceType`.
fn with_meta(bundle: &[u8], meta: &Value) -> Vec<u8> {
    const HEAD: &[u8] = br#"{"resourceType":"Bundle""#;
    match bundle.strip_prefix(HEAD) {
        Some(rest) => [HEAD, format!(r#","meta":{meta}"#).as_bytes(), rest].concat(),
        None => bundle.to_vec(),
    }
}

impl LedgerRoot {
    fn to_meta(&self) -> Value {
        let part = |url: &str, value: String| json!({ "url": url, "valueString": value });
        json!({ "extension": [{
            "url": LEDGER_ROOT,
            "extension": [
                part("root", self.root.to_string()),
                part("sequence", self.sequence.to_string()),
                part("key", self.key.clone()),
            ],
        }] })
    }

    /// The root an answer carries, when it carries a whole one.
    pub fn of(answer: &Bundle) -> Option<LedgerRoot> {
        let doc = Doc::parse(&answer.bytes).ok()?;
        let named = |node: &fhir::Node<'_, '_>, url: &str| {
            node.get("url").is_some_and(|found| found.text().is_some_and(|text| text == url))
        };
        let extensions = doc.root().get("meta")?.get("extension")?;
        let root = extensions.items().find(|extension| named(extension, LEDGER_ROOT))?;
        let part = |url: &str| {
            let part = root.get("extension")?.items().find(|part| named(part, url))?;
            Some(part.get("valueString")?.text()?.into_owned())
        };
        let key = part("key").filter(|key| key.len() <= 200)?;
        let (root, sequence) = (part("root")?.parse().ok()?, part("sequence")?.parse().ok()?);
        Some(LedgerRoot { root, sequence, key })
    }
}

/// A finished job's manifest (Bulk Data 2.0.0): one NDJSON file that holds the stored answer.
/// `refused`: the file holds OperationOutcomes and stands under `error`.
pub fn manifest(at: Timestamp, request: &str, file: &str, refused: bool, count: u64) -> Bytes {
    let kind = if refused { "OperationOutcome" } else { "Bundle" };
    let files = json!([{ "type": kind, "url": file, "count": count }]);
    let (output, error) = if refused { (json!([]), files) } else { (files, json!([])) };
    let manifest = json!({
        "transactionTime": at.to_string(),
        "request": request,
        "requiresAccessToken": true,
        "output": output,
        "error": error,
    });
    manifest.to_string().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::issue::Code;

    fn filing(id: &str, done: Done, version: Option<u64>) -> Filing {
        let last_modified = version.map(|_| Timestamp::from_second(1_700_000_000).unwrap());
        let (kind, id) = ("Observation".to_owned(), id.to_owned());
        let issues = Vec::new();
        Filing { kind, id, done, version, last_modified, issues, resource: None, in_words: false }
    }

    #[test]
    fn every_entry_is_answered_in_its_place() {
        let older = Issue::new(Code::OlderThanFiled, "push 4 stands");
        let filings = [
            filing("b", Done::Created, Some(1)),
            filing("a", Done::Updated, Some(7)),
            Filing { issues: vec![older], ..filing("c", Done::Unchanged, Some(3)) },
            filing("d", Done::Deleted, Some(2)),
            filing("e", Done::Deleted, None),
        ];
        let bundle = Bundle::parse(answer(Form::Transaction, &filings, None)).unwrap();
        assert_eq!(bundle.kind, BundleType::TransactionResponse);
        let said: Vec<_> = bundle
            .entries
            .iter()
            .map(|entry| {
                let response = entry.response.as_ref().unwrap();
                let outcome = response.outcome.is_some();
                (response.status_code().unwrap(), response.location.as_deref(), outcome)
            })
            .collect();
        assert_eq!(
            said,
            [
                (201, Some("Observation/b/_history/1"), false),
                (200, Some("Observation/a/_history/7"), false),
                (200, Some("Observation/c/_history/3"), true),
                (204, Some("Observation/d/_history/2"), false),
                (204, None, false),
            ]
        );
        assert_eq!(bundle.entries[0].response.as_ref().unwrap().etag.as_deref(), Some("W/\"1\""));
        assert_eq!(LedgerRoot::of(&bundle), None);
    }

    #[test]
    fn whoever_asks_is_told_more_and_a_refused_entry_says_why() {
        let conflict = Issue::new(Code::VersionConflict, "another version stands");
        let resource = Bytes::from_static(br#"{"resourceType":"Observation","id":"b"}"#);
        let filings = [
            Filing { in_words: true, ..filing("a", Done::Created, Some(1)) },
            Filing { resource: Some(resource), ..filing("b", Done::Exists, Some(4)) },
            Filing { issues: vec![conflict], ..filing("c", Done::Refused, None) },
        ];
        let bundle = Bundle::parse(answer(Form::Batch, &filings, None)).unwrap();
        assert_eq!(bundle.kind, BundleType::BatchResponse);
        let codes = bundle.entries.iter().map(|entry| {
            let response = entry.response.as_ref().unwrap();
            (response.status.as_str(), response.outcome.is_some(), entry.resource.is_some())
        });
        assert_eq!(
            codes.collect::<Vec<_>>(),
            [
                ("201 Created", true, false),
                ("200 OK", false, true),
                ("412 Precondition Failed", true, false),
            ]
        );
    }

    #[test]
    fn the_ledgers_root_travels_in_the_answer() {
        let root = LedgerRoot { root: Digest::of(b"r"), sequence: 812, key: "k1".into() };
        let filings = [filing("a", Done::Created, Some(1))];
        let bundle = Bundle::parse(answer(Form::Transaction, &filings, Some(&root)));
        assert_eq!(LedgerRoot::of(&bundle.unwrap()), Some(root));
    }
}
