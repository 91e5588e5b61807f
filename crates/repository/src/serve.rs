//! Serve: a filed resource as a caller gets it.
//!
//! Comes in   its content, which version it is, and when that was filed.
//! Goes out   the content with this house's `meta.versionId` and `meta.lastUpdated`.
//! Never      changes another byte: what was filed is what is served.

use crate::when;
use bytes::Bytes;
use exchange::{Code, Issue};
use fhir::{Doc, Edits};
use jiff::Timestamp;
use store::Record;

/// A record as it is served; `None` for a deletion, or a bare head. Errors: as `serve`.
pub(crate) fn serve_record(record: &Record) -> Result<Option<Bytes>, Issue> {
    let Some(content) = &record.content else { return Ok(None) };
    serve(content, record.version, record.last_updated).map(Some)
}

/// The content of a version filed at that time, with `meta.versionId` and `meta.lastUpdated` put in
/// or replaced (R4 §3.1.0.1); every other byte stands as it was filed.
///
/// Errors: `StoreUnavailable` when the bytes are no resource.
pub fn serve(content: &Bytes, version: u64, at: Timestamp) -> Result<Bytes, Issue> {
    let damaged = || Issue::new(Code::StoreUnavailable, "a stored record cannot be read");
    let doc = Doc::parse(content).map_err(|_| damaged())?;
    let version = format!("\"{version}\"");
    let updated = format!("\"{}\"", when::instant(at));
    let mut edits = Edits::new(&doc);
    match doc.root().get("meta") {
        Some(meta) => {
            for (name, value) in [("versionId", &version), ("lastUpdated", &updated)] {
                match meta.get(name) {
                    Some(member) => edits.replace(member.span(), value.as_str()),
                    None => edits.insert(meta, name, value),
                }
            }
        }
        None => {
            // Behind the id, so that readers who want the type first still find it first.
            let root = doc.root();
            let before = root.get("id").or_else(|| root.get("resourceType")).ok_or_else(damaged)?;
            let end = before.span().end;
            let meta = format!(r#","meta":{{"versionId":{version},"lastUpdated":{updated}}}"#);
            edits.replace(end..end, meta);
        }
    }
    Ok(edits.apply().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn served(content: &'static str) -> String {
        let at = "2026-01-03T10:00:00.5Z".parse().unwrap();
        let served = serve(&Bytes::from_static(content.as_bytes()), 3, at).unwrap();
        String::from_utf8(served.to_vec()).unwrap()
    }

    #[test]
    fn only_version_and_time_are_ours_every_other_byte_is_as_filed() {
        let table = [
            (
                r#"{"resourceType":"Observation", "id" : "o" ,"valueQuantity":{"value":1.00}}"#,
                r#"{"resourceType":"Observation", "id" : "o","meta":{"versionId":"3","lastUpdated":"2026-01-03T10:00:00.500000Z"} ,"valueQuantity":{"value":1.00}}"#,
            ),
            (
                r#"{"meta":{ "source":"s" },"resourceType":"Observation","id":"o"}"#,
                r#"{"meta":{"versionId":"3","lastUpdated":"2026-01-03T10:00:00.500000Z", "source":"s" },"resourceType":"Observation","id":"o"}"#,
            ),
            (
                r#"{"id":"o","resourceType":"Observation","meta":{"lastUpdated":"2001-01-01T00:00:00Z","versionId":"9", "source":"s"}}"#,
                r#"{"id":"o","resourceType":"Observation","meta":{"lastUpdated":"2026-01-03T10:00:00.500000Z","versionId":"3", "source":"s"}}"#,
            ),
        ];
        for (filed, expected) in table {
            assert_eq!(served(filed), expected);
        }
    }
}
