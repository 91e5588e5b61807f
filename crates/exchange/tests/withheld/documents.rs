//! Documents that nobody looks into: they take the strictest rule of their days, by the whole chart.

use super::{House, chart, sent, word_on};
use exchange::shape::{Audience, records_to_know, types_to_know};

const RULES: &str = r#"
[[permit]]
rule = "all"
types = ["Patient", "Encounter", "Observation", "Condition", "DiagnosticReport", "DocumentReference", "Binary", "Media", "Practitioner", "Procedure", "Composition"]
[[withhold]]
rule = "quiet"
having = { path = "code", codes = ["1-8"] }
[[withhold]]
rule = "error"
having = { path = "status", codes = ["entered-in-error"] }
sensitive = false
"#;

const DATA: &str = r#""content":[{"attachment":{"contentType":"text/plain","data":"U0VDUkVU"}}]"#;

fn note(more: &str) -> String {
    format!(r#"{{"resourceType":"DocumentReference","id":"d","status":"current",{DATA},{more}}}"#)
}

fn period(period: &str) -> String {
    note(&format!(r#""context":{{"period":{period}}}"#))
}

/// A visit in spring that is restricted; nothing else is sensitive.
const SECRET: &str = r#"{"resourceType":"Encounter","id":"secret","status":"finished","period":{"start":"2024-03-01","end":"2024-03-03"}}"#;

#[test]
fn a_document_stays_where_a_restricted_visit_lies_in_its_days() {
    let ccd = r#""date":"2024-05-01T00:00:00Z","type":{"coding":[{"system":"http://loinc.org","code":"34133-9"}]}"#;
    let cda = |more: &str| {
        note(&format!(r#""date":"2024-05-01T00:00:00Z"{more}"#))
            .replace("text/plain", "application/hl7-cda+xml")
    };
    let visit = r#","context":{"encounter":[{"reference":"Encounter/open"}]}"#;
    #[rustfmt::skip]
    let table = [
        ("its period meets the visit", period(r#"{"start":"2024-03-03T10:00:00Z","end":"2024-03-09"}"#), true),
        ("its period is over before", period(r#"{"start":"2024-02-01","end":"2024-02-29"}"#), false),
        ("its period begins after", period(r#"{"start":"2024-03-04","end":"2024-03-09"}"#), false),
        ("its period ends nowhere", period(r#"{"start":"2024-01-01"}"#), true),
        ("its period begins nowhere", period(r#"{"end":"2024-04-01"}"#), true),
        ("its period ends nowhere, but it was written before", note(r#""date":"2024-02-01T00:00:00Z","context":{"period":{"start":"2024-01-01"}}"#), false),
        ("its period is the month", period(r#"{"start":"2024-03","end":"2024-03"}"#), true),
        ("written in those days", note(r#""date":"2024-03-02T12:00:00Z""#), true),
        ("written on another day", note(r#""date":"2024-03-04T12:00:00Z""#), false),
        ("written later, of a visit that meets it", note(r#""date":"2024-04-04T00:00:00Z","context":{"encounter":[{"reference":"Encounter/long"}]}"#), true),
        ("without any day", note(r#""description":"KEPT""#), true),
        ("a summary of the whole chart", note(ccd), true),
        ("a summary of some days", note(&format!(r#"{ccd},"context":{{"period":{{"start":"2024-05-01","end":"2024-05-01"}}}}"#)), false),
        ("a C-CDA document of no visit", cda(""), true),
        ("a C-CDA document of a visit", cda(visit), false),
        ("a photograph", r#"{"resourceType":"Media","id":"d","createdDateTime":"2024-03-02","content":{"data":"U0VDUkVU"}}"#.into(), true),
        ("nothing attached, of another visit", r#"{"resourceType":"DocumentReference","id":"d","date":"2024-03-02T12:00:00Z","context":{"encounter":[{"reference":"Encounter/long"}]}}"#.into(), false),
    ];
    let open = r#"{"resourceType":"Encounter","id":"open","period":{"start":"2024-05-01","end":"2024-05-01"}}"#;
    let long = r#"{"resourceType":"Encounter","id":"long","period":{"start":"2024-03-03","end":"2024-04-04"}}"#;
    let house = House::of(RULES).restricting(&["Encounter/secret"]);
    let free = House::of(RULES);
    for (case, text, stays) in table {
        // The visits it names are pushed with it or known.
        for (found, known) in [
            (vec![text.as_str()], vec![SECRET, open, long]),
            (vec![&text, open], vec![long, SECRET]),
        ] {
            let collected = chart(&found, &known);
            let reference = collected.found[0].local_reference();
            let word = word_on(&house.shape(&collected), &reference);
            let rule = if stays { "opaque-in-sensitive-period" } else { "all" };
            assert_eq!(word.split(' ').nth(1), Some(rule), "{case}: {word}");
            let word = word_on(&free.shape(&collected), &reference);
            assert_eq!(word, format!("{reference} all"), "{case}: nothing is restricted");
        }
    }
}

#[test]
fn whatever_is_sensitive_keeps_the_documents_of_its_days() {
    let label = r#""meta":{"security":[{"code":"R"}]}"#;
    #[rustfmt::skip]
    let table = [
        ("nothing", r#"{"resourceType":"Observation","id":"o","effectiveDateTime":"2024-03-02"}"#.to_owned(), false),
        ("a labelled result", format!(r#"{{"resourceType":"Observation","id":"o",{label},"effectiveDateTime":"2024-03-02"}}"#), true),
        ("a labelled result of another day", format!(r#"{{"resourceType":"Observation","id":"o",{label},"effectiveDateTime":"2024-03-03"}}"#), false),
        ("a labelled result of no day", format!(r#"{{"resourceType":"Observation","id":"o",{label}}}"#), true),
        ("a result by its code", r#"{"resourceType":"Observation","id":"o","code":{"coding":[{"code":"1-8"}]},"effectiveDateTime":"2024-03-02"}"#.into(), true),
        ("one by a rule that is not sensitive", r#"{"resourceType":"Observation","id":"o","status":"entered-in-error","effectiveDateTime":"2024-03-02"}"#.into(), false),
        ("a disorder since long ago", r#"{"resourceType":"Condition","id":"c","code":{"coding":[{"code":"1-8"}]},"onsetDateTime":"2010-01-01"}"#.into(), true),
        ("one that is over", r#"{"resourceType":"Condition","id":"c","code":{"coding":[{"code":"1-8"}]},"onsetDateTime":"2010-01-01","abatementDateTime":"2024-03-01"}"#.into(), false),
        ("a visit under way", format!(r#"{{"resourceType":"Encounter","id":"e",{label},"status":"in-progress","period":{{"start":"2024-02-01"}}}}"#), true),
        ("a labelled note of the day", format!(r#"{{"resourceType":"DocumentReference","id":"n",{label},"date":"2024-03-02T12:00:00Z"}}"#), true),
        ("a labelled practitioner", format!(r#"{{"resourceType":"Practitioner","id":"x",{label}}}"#), false),
    ];
    let house = House::of(RULES);
    let text = note(r#""date":"2024-03-02T12:00:00Z""#);
    for (case, other, stays) in table {
        for collected in [chart(&[&text], &[&other]), chart(&[&other, &text], &[&text, &other])] {
            let word = word_on(&house.shape(&collected), "DocumentReference/d");
            assert_eq!(word.starts_with('-'), stays, "{case}: {word}");
        }
    }
}

#[test]
fn a_report_travels_without_its_document_and_a_binary_stays_everywhere() {
    let report = r#"{"resourceType":"DiagnosticReport","id":"r","encounter":{"reference":"Encounter/open"},"effectiveDateTime":"2024-03-02","conclusion":"KEPT","presentedForm":[{"url":"Binary/b"},{"data":"U0VDUkVU"}],"text":{"status":"generated","div":"<div>SECRET</div>"}}"#;
    let other = note(r#""date":"2024-06-02T00:00:00Z""#)
        .replace(r#""data":"U0VDUkVU""#, r#""url":"https://ehr.test/fhir/Binary/b","title":"T""#);
    let binary =
        r#"{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"U0VDUkVU"}"#;
    let house = House::of(RULES).restricting(&["Encounter/secret"]);
    let collected = chart(&[report, &other, binary], &[SECRET]);
    let disclosure = house.shape(&collected);
    assert_eq!(word_on(&disclosure, "DiagnosticReport/r"), "DiagnosticReport/r all");
    assert_eq!(word_on(&disclosure, "Binary/b"), "-Binary/b opaque-in-sensitive-period");
    let sent = sent(&disclosure);
    assert!(
        sent.contains("KEPT") && !sent.contains("SECRET") && !sent.contains("U0VDUkVU"),
        "{sent}"
    );
    // The other note names the same Binary, even where the report is only known.
    let disclosure = house.shape(&chart(&[&other, binary], &[SECRET, report]));
    assert_eq!(word_on(&disclosure, "Binary/b"), "-Binary/b opaque-in-sensitive-period");
    let disclosure = House::of(RULES).shape(&collected);
    assert_eq!(word_on(&disclosure, "Binary/b"), "Binary/b all", "nothing is restricted");
}

/// A curve of measured values and a signature are no documents.
#[test]
fn what_is_no_attachment_travels_on_any_day() {
    let curve = r#"{"resourceType":"Observation","id":"o","encounter":{"reference":"Encounter/open"},"effectiveDateTime":"2024-03-02","valueSampledData":{"origin":{"value":0},"period":1,"dimensions":1,"data":"1 2 KEPT"}}"#;
    let house = House::of(RULES).restricting(&["Encounter/secret"]);
    assert!(sent(&house.shape(&chart(&[curve], &[SECRET]))).contains("KEPT"));
    let extension = r#"{"resourceType":"Observation","id":"o","encounter":{"reference":"Encounter/open"},"effectiveDateTime":"2024-03-02","code":{"text":"KEPT"},"extension":[{"url":"u","valueAttachment":{"data":"U0VDUkVU"}}]}"#;
    let sent = sent(&house.shape(&chart(&[extension], &[SECRET])));
    assert!(sent.contains("KEPT") && !sent.contains("U0VDUkVU"), "{sent}");
}

/// A restricted note's content under another name.
#[test]
fn the_binary_of_a_restricted_note_stays_for_every_other_note() {
    let theirs = r#"{"resourceType":"DocumentReference","id":"t","content":[{"attachment":{"url":"Binary/b"}}],"context":{"encounter":[{"reference":"Encounter/secret"}]}}"#;
    let twin = r#"{"resourceType":"DocumentReference","id":"d","date":"2024-06-02T00:00:00Z","content":[{"attachment":{"url":"Binary/b"}}]}"#;
    let binary = r#"{"resourceType":"Binary","id":"b","data":"U0VDUkVU"}"#;
    for more in ["", "opaque = \"permit\"\n"] {
        let house = House::of(&format!("{more}{RULES}")).restricting(&["Encounter/secret"]);
        let disclosure = house.shape(&chart(&[twin, binary], &[SECRET, theirs]));
        assert_eq!(word_on(&disclosure, "Binary/b"), "-Binary/b patient-restriction", "{more}");
        assert!(!sent(&disclosure).contains("Binary/b"));
    }
}

#[test]
fn the_agreement_may_say_that_documents_stay_or_travel() {
    let text = note(
        r#""date":"2024-03-02T12:00:00Z","context":{"encounter":[{"reference":"Encounter/open"}]}"#,
    );
    for (setting, known, rule) in [
        ("permit", SECRET, "all"),
        ("withhold", r#"{"resourceType":"Patient","id":"p"}"#, "opaque-document"),
        ("withhold-in-sensitive-period", SECRET, "opaque-in-sensitive-period"),
    ] {
        let house = House::of(&format!("opaque = \"{setting}\"\n{RULES}"));
        let house = house.restricting(&["Encounter/secret"]);
        let word = word_on(&house.shape(&chart(&[&text], &[known])), "DocumentReference/d");
        assert_eq!(word.split(' ').nth(1), Some(rule), "{setting}");
    }
}

/// A push without documents, in a house that restricts nothing, reads no more of the chart.
#[test]
fn what_is_asked_of_the_chart_depends_on_the_agreement_and_not_on_the_push() {
    let wanted = |house: &House| types_to_know(&audience(house));
    let all = wanted(&House::of(RULES));
    assert_eq!(all.len(), 7, "{all:?}");
    assert!(all.contains("Encounter"));
    assert_eq!(wanted(&House::of(&format!("opaque = \"permit\"\n{RULES}"))), all);
    assert_eq!(wanted(&House::of(RULES).restricting(&["Encounter/secret"])), all);
}

/// An EHR finds results by their category; what has none is named by its report or panel only.
#[test]
fn results_that_no_search_finds_are_read_because_a_report_lists_them() {
    let report = r#"{"resourceType":"DiagnosticReport","id":"r","result":[{"reference":"Observation/a"},{"reference":"https://ehr.test/fhir/Observation/b/_history/1"},{"display":"d"}]}"#;
    let panel = r#"{"resourceType":"Observation","id":"a","hasMember":[{"reference":"Observation/m"},{"reference":"QuestionnaireResponse/q"}]}"#;
    let house = House::of(RULES);
    for (found, known) in [(vec![report], vec![panel]), (vec![], vec![panel, report])] {
        let mut collected = chart(&found, &known);
        let wanted = records_to_know(&collected, &audience(&house));
        assert_eq!(wanted.into_iter().collect::<Vec<_>>(), ["Observation/b", "Observation/m"]);
        collected.missing.insert("Observation/b".to_owned());
        let wanted = records_to_know(&collected, &audience(&house));
        assert_eq!(wanted.into_iter().collect::<Vec<_>>(), ["Observation/m"]);
    }
}

/// Its sections are prose, so it is judged as other documents are, whatever its status says.
#[test]
fn a_composition_stays_where_something_sensitive_lies_in_its_days() {
    let composition = |more: &str| {
        format!(
            r#"{{"resourceType":"Composition","id":"d","status":"final"{more},"section":[{{"text":{{"status":"generated","div":"<div>SECRET</div>"}}}}]}}"#
        )
    };
    #[rustfmt::skip]
    let table = [
        ("written in those days", r#","date":"2024-03-02T12:00:00Z""#, true),
        ("written on another day", r#","date":"2024-03-04T12:00:00Z""#, false),
        ("written later, of those days", r#","date":"2024-05-01","event":[{"period":{"start":"2024-03-01","end":"2024-03-02"}}]"#, true),
        ("written later, of a visit that meets it", r#","date":"2024-04-04","encounter":{"reference":"Encounter/long"}"#, true),
        ("a summary of the whole chart", r#","date":"2024-05-01","type":{"coding":[{"system":"http://loinc.org","code":"34133-9"}]}"#, true),
        ("without any day", "", true),
    ];
    let long = r#"{"resourceType":"Encounter","id":"long","period":{"start":"2024-02-01","end":"2024-04-04"}}"#;
    let house = House::of(RULES).restricting(&["Encounter/secret"]);
    for (case, more, stays) in table {
        let disclosure = house.shape(&chart(&[&composition(more)], &[SECRET, long]));
        let word = word_on(&disclosure, "Composition/d");
        let wanted = "-Composition/d opaque-in-sensitive-period";
        assert_eq!(word == wanted, stays, "{case}: {word}");
        assert_eq!(sent(&disclosure).contains("SECRET"), !stays, "{case}");
    }
}

/// What is made of its resource alone says no more than the resource; the rest may quote a neighbour.
#[test]
fn a_narrative_that_says_more_than_its_resource_stays_in_sensitive_days() {
    let result = |status: &str, day: &str| {
        format!(
            r#"{{"resourceType":"Observation","id":"o","code":{{"text":"KEPT"}},"encounter":{{"reference":"Encounter/long"}},"effectiveDateTime":"{day}","text":{{{status}"div":"<div>SECRET</div>"}}}}"#
        )
    };
    let long = r#"{"resourceType":"Encounter","id":"long","period":{"start":"2024-03-02","end":"2024-03-02"}}"#;
    let house = House::of(RULES).restricting(&["Encounter/secret"]);
    #[rustfmt::skip]
    let table = [
        (r#""status":"generated","#, "2024-03-02", true),
        (r#""status":"extensions","#, "2024-03-02", true),
        (r#""status":"additional","#, "2024-03-02", false),
        ("", "2024-03-02", false),
    ];
    for (status, day, stays) in table {
        let sent = sent(&house.shape(&chart(&[&result(status, day), long], &[SECRET])));
        assert!(sent.contains("KEPT"), "{status}: {sent}");
        assert_eq!(sent.contains("SECRET"), stays, "{status}: {sent}");
    }
    let other = long.replace("2024-03-02", "2024-06-01");
    let text = result(r#""status":"additional","#, "2024-06-01");
    let sent = sent(&house.shape(&chart(&[&text, &other], &[SECRET])));
    assert!(sent.contains("SECRET"), "nothing sensitive was so on that day: {sent}");
}

fn audience(house: &House) -> Audience<'_> {
    Audience {
        terms: &house.terms,
        purpose: house.purpose,
        kind: house.kind,
        on: jiff::civil::date(2026, 1, 15),
        restrictions: &house.restrictions,
        patient: "p",
        own_coverages: &[],
        source_base: "https://ehr.test/fhir",
    }
}
