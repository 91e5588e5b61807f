//! History: which of a patient's records lie in the window that a payer may see.
//!
//! Comes in   the date asked for, the agreement's `[history]`, the payer's own coverages, the day.
//! Goes out   a window; whether a resource lies in it.
//! Never      lets what is no longer in the window be taken for gone from the chart.
//!
//! The window begins at the latest of: the date asked for, so many days back, the first day of the
//! payer's own coverages (unless the agreement takes what was before them). It has no end: what was
//! recorded by today is read today. It has gaps: what was so on no day of the payer's own coverages is
//! another plan's business or the patient's own (unless the agreement takes that as well).
//!
//! What is so *now* is of today, whenever it began: a problem or an allergy that is not resolved, an
//! order for a medication that is active, a care team, a plan, a goal, a device in use. Of what is an
//! event and says no day nobody can tell whether it was in the window: it stays behind.

use crate::agreement::HistoryContent;
use crate::days::{Days, clinical_days};
use fhir::{Node, Resource};
use jiff::SignedDuration;
use jiff::civil::Date;

/// The days of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The first day; `None`: all there is.
    pub from: Option<Date>,
    /// The days of which what was so is in it, as far as they are since `from`; `None`: all.
    pub covered: Option<Vec<Days>>,
}

impl Window {
    /// The window of one payer on this day.
    pub fn of(
        since: Option<Date>,
        content: &HistoryContent,
        own_coverages: &[Resource],
        today: Date,
    ) -> Window {
        let back = content.look_back_days.map(|days| {
            let back = SignedDuration::from_hours(24 * i64::from(days));
            today.checked_sub(back).unwrap_or(Date::MIN)
        });
        let covered = if content.pre_coverage { None } else { first_covered(own_coverages) };
        let from = [since, back, covered].into_iter().flatten().max();
        Window { from, covered: spans(content, own_coverages) }
    }

    /// Whether a resource lies in it.
    pub fn holds(&self, resource: &Resource) -> bool {
        if (self.from.is_none() && self.covered.is_none()) || is_current(resource) {
            return true;
        }
        let is_covered = |days: &Days| {
            let spans = self.covered.as_ref();
            spans.is_none_or(|spans| spans.iter().any(|span| span.meets(days)))
        };
        clinical_days(resource)
            .is_some_and(|days| self.from.is_none_or(|from| from <= days.last) && is_covered(&days))
    }
}

/// The days that count; `None`: all of them. Without any coverage nothing counts.
fn spans(content: &HistoryContent, coverages: &[Resource]) -> Option<Vec<Days>> {
    if content.between_coverages || (content.pre_coverage && coverages.is_empty()) {
        return None;
    }
    let mut spans: Vec<Days> = coverages.iter().map(span).collect();
    let first = spans.iter().map(|span| span.first).min();
    if let Some(first) = first.filter(|_| content.pre_coverage) {
        spans.push(Days { first: Date::MIN, last: first });
    }
    (!spans.contains(&ALWAYS)).then_some(spans)
}

/// All days there are.
const ALWAYS: Days = Days { first: Date::MIN, last: Date::MAX };

/// The days of a coverage: an end that it does not say, or that nobody can read, is open.
fn span(coverage: &Resource) -> Days {
    let doc = coverage.doc();
    let end = |name: &str| {
        let text = doc.root().get("period").and_then(|period| period.get(name)?.text());
        text.and_then(|text| Days::read(&text))
    };
    Days {
        first: end("start").map_or(Date::MIN, |days| days.first),
        last: end("end").map_or(Date::MAX, |days| days.last),
    }
}

/// The first day of the earliest coverage; `None` where one of them has no beginning.
fn first_covered(coverages: &[Resource]) -> Option<Date> {
    let first = |coverage: &Resource| {
        let doc = coverage.doc();
        let start = doc.root().get("period").and_then(|period| period.get("start")?.text());
        start.and_then(|start| Days::read(&start)).map(|days| days.first)
    };
    let all: Option<Vec<Date>> = coverages.iter().map(first).collect();
    all?.into_iter().min()
}

/// Types that say how things stand, the element that says whether they still do, and the codes with
/// which it says that they do not.
const STANDING: [(&str, &str, &[&str]); 7] = [
    ("AllergyIntolerance", "clinicalStatus", &["inactive", "resolved"]),
    ("CarePlan", "status", &["revoked", "completed", "entered-in-error"]),
    ("CareTeam", "status", &["inactive", "entered-in-error"]),
    ("Condition", "clinicalStatus", &["inactive", "remission", "resolved"]),
    ("Device", "status", &["inactive", "entered-in-error"]),
    ("Goal", "lifecycleStatus", &["completed", "cancelled", "rejected", "entered-in-error"]),
    (
        "MedicationRequest",
        "status",
        &["cancelled", "completed", "entered-in-error", "stopped", "draft", "unknown"],
    ),
];

/// Whether a resource says how things stand today.
fn is_current(resource: &Resource) -> bool {
    let standing = STANDING.iter().find(|(kind, _, _)| *kind == resource.kind());
    let Some((_, element, ended)) = standing else { return false };
    let doc = resource.doc();
    let root = doc.root();
    let codes = root.get(element).map(codes).unwrap_or_default();
    let abated = root.members().any(|member| member.name().starts_with("abatement"));
    !abated && !codes.iter().any(|code| ended.contains(&code.as_str()))
}

/// The codes of a code or a CodeableConcept.
fn codes(node: Node<'_, '_>) -> Vec<String> {
    match node.text() {
        Some(code) => vec![code.into_owned()],
        None => {
            let codings = node.get("coding").into_iter().flat_map(|codings| codings.each());
            let codes = codings.filter_map(|coding| coding.get("code")?.text());
            codes.map(|code| code.into_owned()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the window is the narrowest of what was asked, agreed and covered; what stands today is
    //! in it.

    #![allow(clippy::unwrap_used)]
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn resource(text: &str) -> Resource {
        Resource::parse(text.as_bytes().to_vec()).unwrap()
    }

    fn coverage(start: &str) -> Resource {
        resource(&format!(r#"{{"resourceType":"Coverage","period":{{"start":"{start}"}}}}"#))
    }

    #[test]
    fn a_window_begins_at_the_latest_of_asked_agreed_and_covered() {
        let open = resource(r#"{"resourceType":"Coverage"}"#);
        let covered = vec![coverage("2021-05-01"), coverage("2019-03")];
        let table = [
            ("nothing said", None, None, true, vec![], None),
            ("asked", Some("2020-01-01"), None, true, vec![], Some("2020-01-01")),
            ("agreed", None, Some(10), true, vec![], Some("2026-11-12")),
            ("asked for more", Some("2020-01-01"), Some(10), true, vec![], Some("2026-11-12")),
            ("covered", None, None, false, covered.clone(), Some("2019-03-01")),
            ("before coverage", None, None, true, covered.clone(), None),
            (
                "a coverage without a beginning",
                None,
                None,
                false,
                vec![covered[0].clone(), open],
                None,
            ),
        ];
        for (case, since, look_back_days, pre_coverage, own, from) in table {
            let content =
                HistoryContent { look_back_days, pre_coverage, ..HistoryContent::default() };
            let window = Window::of(since.map(day), &content, &own, day("2026-11-22"));
            assert_eq!(window.from, from.map(day), "{case}");
        }
    }

    #[test]
    fn what_stands_today_is_in_every_window_and_past_events_are_not() {
        let window = Window { from: Some(day("2024-01-01")), covered: None };
        let table = [
            (r#"{"resourceType":"Observation","effectiveDateTime":"2024-01-01"}"#, true),
            (r#"{"resourceType":"Observation","effectiveDateTime":"2023-12-31T23:59:59Z"}"#, false),
            (r#"{"resourceType":"Observation"}"#, false),
            (
                r#"{"resourceType":"Encounter","period":{"start":"2023-12-30","end":"2024-01-02"}}"#,
                true,
            ),
            (r#"{"resourceType":"Condition","onsetDateTime":"2010-01-01"}"#, true),
            (
                r#"{"resourceType":"Condition","onsetDateTime":"2010-01-01","abatementDateTime":"2011"}"#,
                false,
            ),
            (
                r#"{"resourceType":"Condition","onsetDateTime":"2010-01-01","clinicalStatus":{"coding":[{"code":"resolved"}]}}"#,
                false,
            ),
            (r#"{"resourceType":"AllergyIntolerance"}"#, true),
            (
                r#"{"resourceType":"MedicationRequest","status":"active","authoredOn":"2019-01-01"}"#,
                true,
            ),
            (
                r#"{"resourceType":"MedicationRequest","status":"stopped","authoredOn":"2019-01-01"}"#,
                false,
            ),
        ];
        for (text, held) in table {
            assert_eq!(window.holds(&resource(text)), held, "{text}");
        }
        let all = Window { from: None, covered: None };
        assert!(all.holds(&resource(r#"{"resourceType":"Observation"}"#)));
    }

    #[test]
    fn what_was_while_the_payer_did_not_cover_is_in_no_window_unless_the_agreement_takes_it() {
        let period =
            |period: &str| resource(&format!(r#"{{"resourceType":"Coverage","period":{period}}}"#));
        let first = period(r#"{"start":"2020-01-01","end":"2020-12-31"}"#);
        let again = period(r#"{"start":"2023-01-01"}"#);
        let own = [again, first];
        let [before, within, gap, today] = ["2019-06-01", "2020-06-01", "2021-06-01", "2026-06-01"];
        // Pre-coverage, between coverages; of these days.
        let table = [
            (false, false, vec![within, today]),
            (true, false, vec![before, within, today]),
            (false, true, vec![within, gap, today]),
            (true, true, vec![before, within, gap, today]),
        ];
        for (pre_coverage, between_coverages, held) in table {
            let content = HistoryContent { look_back_days: None, pre_coverage, between_coverages };
            let window = Window::of(None, &content, &own, day("2026-11-22"));
            for when in [before, within, gap, today] {
                let result = resource(&format!(
                    r#"{{"resourceType":"Observation","effectiveDateTime":"{when}T12:00:00Z"}}"#
                ));
                let case = format!("{when}, {pre_coverage}, {between_coverages}");
                assert_eq!(window.holds(&result), held.contains(&when), "{case}");
            }
            let stands = resource(r#"{"resourceType":"Condition","onsetDateTime":"2021-06-01"}"#);
            assert!(window.holds(&stands), "what stands today is of today");
            let over = resource(
                r#"{"resourceType":"Encounter","period":{"start":"2020-12-30","end":"2021-01-02"}}"#,
            );
            assert!(window.holds(&over), "it was covered in part");
        }
        let narrow = HistoryContent::default();
        let lab = resource(r#"{"resourceType":"Observation","effectiveDateTime":"2020-06-01"}"#);
        assert!(!Window::of(None, &narrow, &[], day("2026-11-22")).holds(&lab), "never covered");
        let open = [own[1].clone(), resource(r#"{"resourceType":"Coverage"}"#)];
        let gap = resource(r#"{"resourceType":"Observation","effectiveDateTime":"2021-06-01"}"#);
        assert!(Window::of(None, &narrow, &open, day("2026-11-22")).holds(&gap), "always covered");
    }
}
