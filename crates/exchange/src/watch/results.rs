//! Results: what a watched record says together with the results that belong to it.
//!
//! Comes in   a patient's encounters and reports, the laboratory results as they stand now.
//! Goes out   records as they were found; the digest of one covers what belongs to it as well.
//! Never      a result as a record of its own: nothing is pushed about one alone.
//!
//! Why by digest: an EHR may correct an Observation and leave its report as it was. A report covers the
//! results that it lists; an encounter those that name it and that no report lists, and, where some
//! payer takes encounters and no results, the reports that name it. What is not final yet does not
//! count for an encounter. A result that names neither is seen when its encounter is pushed again.

use super::{Found, Standing, content_digest};
use crate::id::Digest;
use crate::shape::target;
use fhir::{Node, Resource};
use std::collections::{BTreeMap, BTreeSet};

/// Statuses of Observations that somebody is to be told of (R4 `observation-status`).
const TOLD: [&str; 5] = ["final", "amended", "corrected", "cancelled", "entered-in-error"];

/// The records that are watched, each once, by what they and their `results` say. `with_reports`:
/// encounters cover their reports as well.
pub fn found(
    records: &[Resource],
    results: &[Resource],
    with_reports: bool,
    source_base: &str,
) -> Vec<Found> {
    let digest = |one: &Resource| Some((one.local_reference(), content_digest(one)?));
    let digests: BTreeMap<String, Digest> = results.iter().filter_map(digest).collect();
    let mut all: BTreeMap<String, (Found, BTreeSet<Digest>)> = BTreeMap::new();
    let mut listed: BTreeSet<String> = BTreeSet::new();
    let mut of_encounters: Vec<(String, Digest)> = Vec::new();
    for record in records {
        let Some(mut one) = Found::of(record) else { continue };
        let lists = references(record, "result", source_base);
        let own = lists.iter().filter_map(|reference| digests.get(reference).copied());
        one.cover(own.collect());
        listed.extend(lists);
        if with_reports && record.kind() == "DiagnosticReport" && one.standing != Standing::Open {
            let named = references(record, "encounter", source_base);
            of_encounters.extend(named.into_iter().map(|encounter| (encounter, one.digest)));
        }
        all.insert(one.record.clone(), (one, BTreeSet::new()));
    }
    for result in results.iter().filter(|one| !listed.contains(&one.local_reference())) {
        let doc = result.doc();
        let status = doc.root().get("status").and_then(|status| status.text());
        let Some(digest) = digests.get(&result.local_reference()) else { continue };
        if status.is_some_and(|status| TOLD.contains(&&*status)) {
            let named = references(result, "encounter", source_base);
            of_encounters.extend(named.into_iter().map(|encounter| (encounter, *digest)));
        }
    }
    for (encounter, digest) in of_encounters {
        if let Some((_, more)) = all.get_mut(&encounter) {
            more.insert(digest);
        }
    }
    let covered = all.into_values().map(|(mut one, more)| {
        one.cover(more);
        one
    });
    covered.collect()
}

impl Found {
    /// Takes what belongs to it into its digest; nothing changes where nothing does.
    fn cover(&mut self, more: BTreeSet<Digest>) {
        if !more.is_empty() {
            let pieces = [&self.digest].into_iter().chain(&more).map(|digest| &digest.0[..]);
            self.digest = Digest::of_pieces(pieces);
        }
    }
}

/// `Type/id` of what an element names.
fn references(record: &Resource, element: &str, source_base: &str) -> Vec<String> {
    let doc = record.doc();
    let named = |node: Node<'_, '_>| {
        let (kind, id) = target(&node.get("reference")?.text()?, source_base)?;
        Some(format!("{kind}/{id}"))
    };
    let elements = doc.root().get(element).into_iter().flat_map(|list| list.each());
    elements.filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    //! Goal: a corrected result is news of its report or encounter, and of nothing else.

    #![allow(clippy::unwrap_used)]
    use super::*;

    fn resource(text: &str) -> Resource {
        Resource::parse(text.as_bytes().to_vec()).unwrap()
    }

    const RECORDS: [&str; 3] = [
        r#"{"resourceType":"Encounter","id":"e","status":"finished"}"#,
        r#"{"resourceType":"Encounter","id":"f","status":"finished"}"#,
        r#"{"resourceType":"DiagnosticReport","id":"r","status":"final","encounter":{"reference":"Encounter/e"},"result":[{"reference":"Observation/o"}]}"#,
    ];

    const LISTED: &str = r#"{"resourceType":"Observation","id":"o","status":"final","encounter":{"reference":"Encounter/e"},"valueString":"1"}"#;
    const LOOSE: &str = r#"{"resourceType":"Observation","id":"l","status":"final","encounter":{"reference":"https://ehr.example/Encounter/f"},"valueString":"1"}"#;

    /// Records whose digest is another with these results.
    fn changed(results: [&str; 2], with_reports: bool) -> Vec<String> {
        let records: Vec<Resource> = RECORDS.iter().map(|text| resource(text)).collect();
        let look = |results: [&str; 2]| {
            let results: Vec<Resource> = results.into_iter().map(resource).collect();
            found(&records, &results, with_reports, "https://ehr.example")
        };
        let (before, after) = (look([LISTED, LOOSE]), look(results));
        let pairs = before.into_iter().zip(after);
        pairs.filter(|(one, other)| one.digest != other.digest).map(|(one, _)| one.record).collect()
    }

    #[test]
    fn a_corrected_result_is_news_of_what_it_belongs_to() {
        let listed = LISTED.replace(r#""1""#, r#""2""#);
        let loose = LOOSE.replace(r#""1""#, r#""2""#);
        let draft = LOOSE.replace("final", "preliminary");
        let version = LISTED.replace(r#""id""#, r#""meta":{"versionId":"7"},"id""#);
        let other = LISTED.replace(r#""id""#, r#""meta":{"versionId":"8"},"id""#);
        let report: &[&str] = &["DiagnosticReport/r"];
        let both: &[&str] = &["DiagnosticReport/r", "Encounter/e"];
        let table = [
            ("the same", [LISTED, LOOSE], false, &[][..]),
            ("in a report", [&listed, LOOSE], false, report),
            ("in a report that not all payers take", [&listed, LOOSE], true, both),
            ("in no report", [LISTED, &loose], false, &["Encounter/f"]),
            ("not final any more", [LISTED, &draft], false, &["Encounter/f"]),
        ];
        for (case, results, with_reports, expected) in table {
            assert_eq!(changed(results, with_reports), expected, "{case}");
        }
        assert_eq!(changed([&version, LOOSE], false), changed([&other, LOOSE], false));
    }

    #[test]
    fn a_record_without_results_is_what_it_says() {
        let records: Vec<Resource> = RECORDS.iter().map(|text| resource(text)).collect();
        let alone: Vec<Found> = found(&records, &[], false, "");
        let mut each: Vec<Found> = records.iter().filter_map(Found::of).collect();
        each.sort_by(|one, other| one.record.cmp(&other.record));
        assert_eq!(alone, each);
    }
}
