//! Answer: what the receiving house says of every entry, in the order they came.
//!
//! Comes in   what became of each entry, and the ledger's last checkpoint.
//! Goes out   a transaction-response Bundle (R4 §3.1.0.11.3), or the manifest of a later answer.
//! Never      a resource's content: status, place, version and issues only.
//!
//! Why the ledger's root stands in `Bundle.meta`: a Bundle has no extensions of its own in R4, but
//! its `meta` is an element and may carry some. Whoever keeps the answer is then a witness of
//! everything this house had proved by then.

use crate::id::Digest;
use crate::issue::Issue;
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
    /// Something the sender may want to know, such as `OlderThanFiled`.
    pub issue: Option<Issue>,
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
    /// The record was taken back, or was not there.
    Deleted,
}

impl Done {
    /// The status as it stands in the answer.
    pub const fn status(self) -> &'static str {
        match self {
            Done::Created => "201 Created",
            Done::Updated | Done::Unchanged => "200 OK",
            Done::Deleted => "204 No Content",
        }
    }
}

/// The answer to a transaction: one entry for each, in the same order.
pub fn answer(filings: &[Filing], root: Option<&LedgerRoot>) -> Bytes {
    let mut writer = BundleWriter::new(BundleType::TransactionResponse);
    for filing in filings {
        let version = filing.version;
        let location = version.map(|v| format!("{}/{}/_history/{v}", filing.kind, filing.id));
        let etag = version.map(|v| format!("W/\"{v}\""));
        let last_modified = filing.last_modified.map(|at| at.to_string());
        let outcome = filing.issue.as_ref().map(|issue| Issue::outcome([issue]));
        writer.entry(EntryToWrite {
            response: Some(ResponseToWrite {
                status: filing.done.status(),
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
        Filing { kind, id, done, version, last_modified, issue: None }
    }

    #[test]
    fn every_entry_is_answered_in_its_place() {
        let older = Issue::new(Code::OlderThanFiled, "push 4 stands");
        let filings = [
            filing("b", Done::Created, Some(1)),
            filing("a", Done::Updated, Some(7)),
            Filing { issue: Some(older), ..filing("c", Done::Unchanged, Some(3)) },
            filing("d", Done::Deleted, Some(2)),
            filing("e", Done::Deleted, None),
        ];
        let bundle = Bundle::parse(answer(&filings, None)).unwrap();
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
    fn the_ledgers_root_travels_in_the_answer() {
        let root = LedgerRoot { root: Digest::of(b"r"), sequence: 812, key: "k1".into() };
        let bundle = Bundle::parse(answer(&[filing("a", Done::Created, Some(1))], Some(&root)));
        assert_eq!(LedgerRoot::of(&bundle.unwrap()), Some(root));
    }
}
