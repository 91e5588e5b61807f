//! Filter: a search that narrows an export (`_typeFilter`), asked of records at hand.
//!
//! Comes in   `Type?query` as it was sent; records with what they are found by.
//! Goes out   whether a record meets it, as the door's own search would find it.
//! Never      asks the store: an export reads versions that may not be the newest any more, and no
//!            search finds those.
//!
//! Bulk Data 3.0.0, `_typeFilter`.

use crate::limits::PARAMETERS_MAX;
use crate::search::Search;
use exchange::query::{Handling, decode};
use exchange::{Code, Issue};
use store::{Record, RecordKeys, RecordQuery};

/// One search of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    query: RecordQuery,
    impossible: bool,
}

impl Filter {
    /// Reads `Type?name=value&…`, its values escaped as in a URL. Parameters about the answer and not
    /// about the records (`_include`, `_sort`, `_count`) are none of a filter's.
    ///
    /// Errors: `ParameterInvalid`, `ParameterUnsupported`; no value is quoted.
    pub fn read(base: &str, text: &str) -> Result<Filter, Issue> {
        let invalid = |detail| Issue::new(Code::ParameterInvalid, detail).at("_typeFilter");
        let (kind, query) =
            text.split_once('?').ok_or_else(|| invalid("a filter is written Type?query"))?;
        let parameters = decode(query.as_bytes(), PARAMETERS_MAX).map_err(invalid)?;
        let about_answer =
            |name: &str| name.starts_with('_') && !matches!(name, "_id" | "_lastUpdated");
        if parameters.is_empty() || parameters.iter().any(|(name, _)| about_answer(name)) {
            let detail = "a filter asks about the records, and not about how they are answered";
            return Err(invalid(detail));
        }
        let search = Search::parse(base, kind, &parameters, Handling::Strict).map_err(|issue| {
            let code = match issue.code {
                Code::ResourceUnknown => Code::ParameterUnsupported,
                code => code,
            };
            Issue::new(code, issue.detail).at("_typeFilter")
        })?;
        Ok(Filter { query: search.query, impossible: search.impossible })
    }

    /// The type it narrows.
    pub fn kind(&self) -> &str {
        &self.query.kind
    }

    /// Whether a record of its type, found by these keys, meets it.
    pub fn fits(&self, record: &Record, keys: &RecordKeys) -> bool {
        let (from, to) = self.query.last_updated;
        !self.impossible
            && self.query.fits(Some(&record.id), keys)
            && from.is_none_or(|from| record.last_updated >= from)
            && to.is_none_or(|to| record.last_updated < to)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a filter finds what a search finds, and nothing that it cannot judge is let through.
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys;
    use exchange::Digest;
    use fhir::Resource;

    const TEXT: &str = r#"{"resourceType":"Observation","id":"o1","status":"final",
        "category":[{"coding":[{"system":"urn:c","code":"laboratory"}]}],
        "subject":{"reference":"Patient/p1"},"effectiveDateTime":"2026-03-01"}"#;

    fn record(resource: &Resource) -> Record {
        Record {
            kind: "Observation".to_owned(),
            id: "o1".to_owned(),
            version: 1,
            last_updated: "2026-04-01T00:00:00Z".parse().unwrap(),
            owner: "clinic".into(),
            receipt: "s".to_owned(),
            lane: None,
            number: None,
            digest: Digest::of(TEXT.as_bytes()),
            content: Some(resource.bytes().clone()),
            deleted: false,
            purged: false,
        }
    }

    #[test]
    fn a_record_meets_a_filter_as_a_search_would_find_it() {
        let resource = Resource::parse(TEXT.as_bytes().to_vec()).unwrap();
        let (record, keys) = (record(&resource), keys(&resource));
        let table = [
            ("Observation?status=final", true),
            ("Observation?status=amended", false),
            ("Observation?category=laboratory&status=final", true),
            ("Observation?category=urn%3Ac%7Claboratory", true),
            ("Observation?category=vital-signs,laboratory", true),
            ("Observation?date=ge2026-02-01&date=lt2026-04-01", true),
            ("Observation?date=gt2026-03-01", false),
            ("Observation?patient=p1", true),
            ("Observation?subject=https://plan.example/fhir/Patient/p1", true),
            ("Observation?_id=o2", false),
            ("Observation?_id=o1&_id=o2", false),
            ("Observation?_lastUpdated=gt2026-03-01", true),
            ("Observation?_lastUpdated=lt2026-03-01", false),
        ];
        for (text, fits) in table {
            let filter = Filter::read("https://plan.example/fhir", text).unwrap();
            assert_eq!(filter.kind(), "Observation");
            assert_eq!(filter.fits(&record, &keys), fits, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        use Code::{ParameterInvalid as Invalid, ParameterUnsupported as Unsupported};
        let table = [
            ("Observation", Invalid),
            ("Observation?", Invalid),
            ("Observation?_include=Observation:subject", Invalid),
            ("Observation?status=final&_sort=date", Invalid),
            ("Observation?_count=5", Invalid),
            ("Observation?%zz=1", Invalid),
            ("Observation?date=soon", Invalid),
            ("Observation?mood=good", Unsupported),
            ("Observation?code:in=urn:v", Unsupported),
            ("Observation?subject.name=R-12345", Unsupported),
            ("Sandwich?status=final", Unsupported),
        ];
        for (text, code) in table {
            let issue = Filter::read("https://plan.example/fhir", text).unwrap_err();
            assert_eq!(issue.code, code, "{text}");
            assert!(!format!("{issue:?}").contains("R-12345"), "no value is quoted");
        }
    }
}
