//! Whole: whether the pages of a search hold all that it found, each record once.
//!
//! Comes in   the pages of one search, in their order.
//! Goes out   its records; or an issue that says where something is missing.
//! Never      a record fewer than the search's total; never one of two contents of a record, since
//!            nobody knows which is the right one.

use super::us_core::owners;
use crate::limits::CHART_RESOURCES_MAX;
use exchange::{Code, Issue};
use fhir::{Entry, OperationOutcome, Resource};
use std::collections::HashMap;

/// What the pages of one search have held so far.
#[derive(Default)]
pub(super) struct Gathered {
    records: Vec<Resource>,
    /// By `Type/id`, what it says.
    known: HashMap<String, [u8; 32]>,
    /// What the last page that says so counts.
    total: Option<u64>,
}

impl Gathered {
    /// Takes the entries of one more page, which has so many bytes. A record that an earlier page held
    /// already is the same one, and counts once. Records are parts of their page, and keep all of it:
    /// where they are less than half of it they are copied out, so that a room that counts records
    /// counts what is kept.
    ///
    /// Errors: `SourceUnreadable` with the place, where an entry holds nothing, a record has another
    /// content than before, or the EHR says that something is missing.
    pub(super) fn page(
        &mut self,
        kind: &str,
        entries: Vec<Entry>,
        total: Option<u64>,
        bytes: usize,
    ) -> Result<(), Issue> {
        self.total = total.or(self.total);
        let before = self.records.len();
        for entry in entries {
            let place = format!("Bundle.entry[{}].resource", entry.index);
            let Some(record) = matching(kind, entry, &place)? else { continue };
            let digest = record.digest();
            // One without an id is told apart by its content alone.
            let name = match record.id() {
                Some(id) => id.to_owned(),
                None => format!("?{digest:?}"),
            };
            match self.known.insert(name, digest) {
                None => self.records.push(record),
                Some(before) if before == digest => {}
                Some(_) => {
                    let detail =
                        format!("a search for {kind} found one record with two different contents");
                    return Err(Issue::new(Code::SourceUnreadable, detail).at(place));
                }
            }
        }
        let fresh = self.records.get_mut(before..).unwrap_or_default();
        if fresh.iter().map(|record| record.bytes().len()).sum::<usize>() * 2 < bytes {
            fresh.iter_mut().for_each(|record| *record = record.apart());
        }
        if self.records.len() > CHART_RESOURCES_MAX {
            let detail = format!("a search for {kind} found more than a chart can hold");
            return Err(Issue::new(Code::SourceUnreadable, detail));
        }
        Ok(())
    }

    /// All of it, after the last page.
    ///
    /// Errors: `SourceUnreadable` where the search's total counts more records than its pages held.
    pub(super) fn whole(self, kind: &str) -> Result<Vec<Resource>, Issue> {
        match self.total {
            Some(total) if total > self.records.len() as u64 => {
                let detail = format!("the pages of a search for {kind} hold fewer than its total");
                Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.total"))
            }
            _ => Ok(self.records),
        }
    }
}

/// The resource of an entry that fits the search. What the EHR says about the search as a whole
/// (`search.mode` `outcome`) is heard: an error, or a word that something is missing for now, and the
/// search is not whole.
fn matching(kind: &str, entry: Entry, place: &str) -> Result<Option<Resource>, Issue> {
    let mode = entry.search_mode.as_deref().unwrap_or("match");
    let Some(resource) = entry.resource else {
        let detail = format!("a search for {kind} has an entry without its record");
        return Err(Issue::new(Code::SourceUnreadable, detail).at(place));
    };
    if let Some(outcome) = OperationOutcome::of(&resource) {
        let parts = ["incomplete", "timeout", "throttled", "transient", "too-costly", "exception"];
        let is_part = |code: &Option<String>| code.as_deref().is_some_and(|it| parts.contains(&it));
        if outcome.issues.iter().any(|issue| issue.is_error() || is_part(&issue.code)) {
            let detail = format!("the EHR says that a search for {kind} is not whole");
            return Err(Issue::new(Code::SourceUnreadable, detail).at("Bundle.entry.resource"));
        }
        return Ok(None);
    }
    Ok((mode == "match" && resource.kind() == kind).then_some(resource))
}

/// Whether a record is less than the EHR holds of it: a server may answer so, and then says so (R4
/// §3.1.1.5.9).
pub(super) fn is_subset(resource: &Resource) -> bool {
    let text = std::str::from_utf8(resource.bytes()).unwrap_or_default();
    // Most say nothing of the kind, which a look at their bytes tells, unless they write escapes.
    if !text.contains("SUBSETTED") && !text.contains('\\') {
        return false;
    }
    let doc = resource.doc();
    let tags = doc.root().get("meta").and_then(|meta| meta.get("tag"));
    tags.into_iter().flat_map(|tags| tags.each()).any(|tag| {
        tag.get("code").and_then(|code| code.text()).is_some_and(|code| code == "SUBSETTED")
    })
}

/// Whether a record says readably that it is of another patient than a search was for.
pub(super) fn is_of_another(record: &Resource, patient: Option<&str>, source_base: &str) -> bool {
    let Some(patient) = patient else { return false };
    let owners = owners(record, source_base);
    !owners.is_empty() && owners.iter().all(|id| id != patient)
}

#[cfg(test)]
mod tests {
    //! Goal: no record of a search goes missing without a word, and what only comes twice is no fault.

    #![allow(clippy::unwrap_used)]
    use super::*;
    use fhir::Bundle;

    fn record(id: &str, says: &str) -> String {
        format!(
            r#"{{"resource":{{"resourceType":"Observation","id":"{id}","status":"{says}"}},"search":{{"mode":"match"}}}}"#
        )
    }

    /// The ids that these pages of a search come to, or the place of the fault.
    fn gather(pages: &[(Option<u64>, Vec<String>)]) -> Result<Vec<String>, String> {
        let place = |issue: Issue| {
            assert_eq!(issue.code, Code::SourceUnreadable);
            issue.expression.unwrap()
        };
        let mut gathered = Gathered::default();
        for (total, entries) in pages {
            let total = total.map_or_else(String::new, |total| format!(r#""total":{total},"#));
            let text = format!(
                r#"{{"resourceType":"Bundle","type":"searchset",{total}"entry":[{}]}}"#,
                entries.join(",")
            );
            let page = Bundle::parse(text.into_bytes()).unwrap();
            let bytes = page.bytes.len();
            gathered.page("Observation", page.entries, page.total, bytes).map_err(place)?;
        }
        let found = gathered.whole("Observation").map_err(place)?;
        Ok(found.iter().map(|one| one.id().unwrap().to_owned()).collect())
    }

    #[test]
    fn a_search_is_whole_or_says_where_it_is_not() {
        let (a, b, other) = (record("a", "final"), record("b", "final"), record("a", "amended"));
        let empty = r#"{"fullUrl":"https://ehr.example/fhir/Observation/c"}"#.to_owned();
        let first = |total| (total, vec![a.clone(), b.clone()]);
        let missing = Err("Bundle.total".to_owned());
        let both = Ok(vec!["a".to_owned(), "b".to_owned()]);
        let at = |index| Err(format!("Bundle.entry[{index}].resource"));
        let table = [
            ("one page", vec![first(Some(2))], both.clone()),
            ("no total", vec![first(None)], both.clone()),
            (
                "the second page repeats the first",
                vec![first(Some(4)), first(Some(4))],
                missing.clone(),
            ),
            ("a total on the first page only", vec![first(Some(4)), first(None)], missing),
            ("repeated, and all there", vec![first(Some(2)), first(Some(2))], both.clone()),
            ("repeated, and no total", vec![first(None), first(None)], both),
            ("an entry without a resource", vec![(Some(2), vec![a.clone(), empty.clone()])], at(1)),
            ("the same without a total", vec![(None, vec![empty, a.clone()])], at(0)),
            (
                "two contents on one page",
                vec![(None, vec![a.clone(), b.clone(), other.clone()])],
                at(2),
            ),
            ("two contents on two pages", vec![first(Some(2)), (Some(2), vec![other])], at(0)),
        ];
        for (case, pages, expected) in table {
            assert_eq!(gather(&pages), expected, "{case}");
        }
    }

    #[test]
    fn a_small_record_does_not_keep_a_large_page() {
        let space = " ".repeat(4096);
        let large = format!(r#""valueString":"{}""#, "x".repeat(4096));
        let wanted = record("a", &"final".repeat(50));
        let include = wanted
            .replace("Observation", "Patient")
            .replace(r#""status""#, &format!(r#"{large},"status""#));
        let include = include.replace("match", "include");
        let table = [
            ("a usual page", wanted.clone(), false),
            ("white space", format!("{wanted}{space}"), true),
            ("another type along with it", format!("{wanted},{include}"), true),
            (
                "white space of the record itself",
                wanted.replace(r#""id""#, &(space + r#""id""#)),
                false,
            ),
        ];
        for (case, entries, copied) in table {
            let text =
                format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{entries}]}}"#);
            let page = Bundle::parse(text.into_bytes()).unwrap();
            let mut gathered = Gathered::default();
            gathered.page("Observation", page.entries, None, page.bytes.len()).unwrap();
            let found = gathered.whole("Observation").unwrap();
            let kept = found[0].bytes().as_ptr();
            assert_eq!(!page.bytes.as_ptr_range().contains(&kept), copied, "{case}");
            assert_eq!((found.len(), found[0].id()), (1, Some("a")), "{case}");
        }
    }
}
