//! Answer: the Bundle that tells the sender what became of every entry.
//!
//! Comes in   the outcomes of a plan that was committed, and the time of its unit.
//! Goes out   a transaction-response Bundle, one entry for each, in their order (R4 §3.1.0.11.4).
//! Never      repeats content.

use crate::plan::{Change, EntryOutcome};
use crate::when;
use bytes::Bytes;
use exchange::{Code, Issue};
use fhir::{BundleType, BundleWriter, EntryToWrite, ResponseToWrite};
use jiff::Timestamp;

/// The bytes of the transaction-response; `at` is the time of the unit that filed them. An entry
/// that was set aside says so in an `OperationOutcome` of its own.
pub fn transaction_response(outcomes: &[EntryOutcome], at: Timestamp) -> Bytes {
    let mut bundle = BundleWriter::new(BundleType::TransactionResponse);
    for outcome in outcomes {
        let place = |version| format!("{}/{}/_history/{version}", outcome.kind, outcome.id);
        let location = outcome.version.map(place);
        let etag = outcome.version.map(|version| format!("W/\"{version}\""));
        let modified = outcome.last_updated.or(outcome.version.map(|_| at)).map(when::instant);
        let aside = (outcome.change == Change::Older).then(|| {
            let detail = "a later push has filed this record already";
            Issue::outcome([&Issue::new(Code::OlderThanFiled, detail)])
        });
        let response = ResponseToWrite {
            status: outcome.change.status(),
            location: location.as_deref(),
            etag: etag.as_deref(),
            last_modified: modified.as_deref(),
            outcome: aside.as_deref(),
        };
        bundle.entry(EntryToWrite { response: Some(response), ..EntryToWrite::default() });
    }
    bundle.finish().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use fhir::Bundle;

    #[test]
    fn the_answer_names_status_place_and_version_of_every_entry() {
        let outcome = |change, version, last_updated| EntryOutcome {
            kind: "Observation".into(),
            id: "o".into(),
            change,
            version,
            digest: exchange::Digest::of(b""),
            last_updated,
        };
        let before = Some(Timestamp::UNIX_EPOCH);
        let at = "2026-01-03T10:00:00Z".parse().unwrap();
        let (filed, earlier) = ("2026-01-03T10:00:00.000000Z", "1970-01-01T00:00:00.000000Z");
        let table = [
            (outcome(Change::Created, Some(1), None), "201", Some(filed), false),
            (outcome(Change::Updated, Some(2), None), "200", Some(filed), false),
            (outcome(Change::Unchanged, Some(2), before), "200", Some(earlier), false),
            (outcome(Change::Older, Some(2), before), "200", Some(earlier), true),
            (outcome(Change::Deleted, Some(3), None), "204", Some(filed), false),
            (outcome(Change::AlreadyAbsent, None, None), "204", None, false),
        ];
        let outcomes: Vec<_> = table.iter().map(|row| row.0.clone()).collect();
        let bundle = Bundle::parse(transaction_response(&outcomes, at)).unwrap();
        assert_eq!(bundle.kind, BundleType::TransactionResponse);
        for (entry, (outcome, status, modified, aside)) in bundle.entries.iter().zip(&table) {
            let response = entry.response.as_ref().unwrap();
            let case = outcome.change;
            assert!(response.status.starts_with(status), "{case:?}");
            assert_eq!(response.last_modified.as_deref(), *modified, "{case:?}");
            let location = outcome.version.map(|v| format!("Observation/o/_history/{v}"));
            assert_eq!(response.location, location, "{case:?}");
            assert_eq!(response.outcome.is_some(), *aside, "{case:?}");
        }
    }
}
