//! Side ways: records that do not say where they belong, and references that do not look like any.

use super::{House, chart, read, sent, word_on};
use exchange::shape::Collected;

const RULES: &str = r#"
[[permit]]
rule = "all"
types = ["Patient", "Encounter", "Observation", "Condition", "DiagnosticReport", "DocumentReference", "Media", "ServiceRequest", "Specimen", "Procedure", "MedicationRequest", "Coverage"]
"#;

/// A visit of an evening that is restricted, and one of the day before that is not.
const SECRET: &str = r#"{"resourceType":"Encounter","id":"secret","status":"finished","period":{"start":"2024-03-01T19:00:00-05:00","end":"2024-03-01T20:00:00-05:00"}}"#;
const OPEN: &str = r#"{"resourceType":"Encounter","id":"open","status":"finished","period":{"start":"2024-02-20T09:00:00-05:00","end":"2024-03-05T10:00:00-05:00"}}"#;

fn house() -> House {
    House::of(RULES).restricting(&["Encounter/secret", "Condition/wish"])
}

fn obs(more: &str) -> String {
    format!(r#"{{"resourceType":"Observation","id":"x",{more}}}"#)
}

#[test]
fn what_a_restricted_visit_is_the_reason_for_stays_with_it() {
    let known = [
        SECRET,
        r#"{"resourceType":"Observation","id":"theirs","encounter":{"reference":"Encounter/secret"},"basedOn":[{"reference":"ServiceRequest/theirs"}]}"#,
        r#"{"resourceType":"Observation","id":"also","encounter":{"reference":"Encounter/secret"},"basedOn":[{"reference":"ServiceRequest/standing"}]}"#,
        r#"{"resourceType":"Observation","id":"ours","encounter":{"reference":"Encounter/open"},"basedOn":[{"reference":"ServiceRequest/standing"}]}"#,
        r#"{"resourceType":"MedicationRequest","id":"theirs","encounter":{"reference":"Encounter/secret"},"reasonReference":[{"reference":"Condition/reason"}]}"#,
        r#"{"resourceType":"Procedure","id":"theirs","encounter":{"reference":"Encounter/secret"},"complicationDetail":[{"reference":"Condition/complication"}],"report":[{"reference":"DiagnosticReport/of"}]}"#,
        r#"{"resourceType":"Specimen","id":"theirs","collection":{"collectedDateTime":"2024-03-01"}}"#,
    ];
    let condition = |id: &str, more: &str| {
        format!(r#"{{"resourceType":"Condition","id":"{id}","code":{{"text":"SECRET"}}{more}}}"#)
    };
    #[rustfmt::skip]
    let table = [
        ("the order of their result, written long before", r#"{"resourceType":"ServiceRequest","id":"theirs","authoredOn":"2024-01-01"}"#.to_owned(), true),
        ("an order of theirs and of others", r#"{"resourceType":"ServiceRequest","id":"standing","authoredOn":"2024-01-01"}"#.into(), false),
        ("the reason of their medication", condition("reason", ""), true),
        ("a complication of their procedure", condition("complication", ""), true),
        ("the report of their procedure", r#"{"resourceType":"DiagnosticReport","id":"of","effectiveDateTime":"2024-03-09"}"#.into(), true),
        ("a problem written down on that day, and older", condition("old", r#","onsetDateTime":"2010","recordedDate":"2024-03-01T19:30:00-05:00""#), true),
        ("a problem written down on another day", condition("old", r#","onsetDateTime":"2010","recordedDate":"2024-01-01""#), false),
        ("a result of a specimen of that day, known much later", obs(r#""specimen":{"reference":"Specimen/theirs"},"issued":"2024-03-20T10:00:00Z""#), true),
    ];
    for (case, text, stays) in table {
        for found in [vec![text.as_str()], vec![&text, SECRET]] {
            let collected = chart(&found, &known);
            let reference = collected.found[0].local_reference();
            let word = word_on(&house().shape(&collected), &reference);
            assert_eq!(word.starts_with('-'), stays, "{case}: {word}");
        }
    }
}

#[test]
fn a_day_is_a_day_of_the_visits_own_clock() {
    let late = |when: &str| obs(&format!(r#""effectiveDateTime":"{when}""#));
    #[rustfmt::skip]
    let table = [
        ("within the hour", late("2024-03-02T00:30:00Z"), true),
        ("later that evening, by another clock", late("2024-03-02T03:00:00Z"), true),
        ("the next morning", late("2024-03-02T14:00:00Z"), false),
        ("the night before", late("2024-02-29T23:00:00-05:00"), false),
        ("a note of that evening, by another clock", r#"{"resourceType":"DocumentReference","id":"d","date":"2024-03-02T03:00:00Z","content":[{"attachment":{"data":"U0VDUkVU"}}]}"#.into(), true),
        ("a note of the next morning", r#"{"resourceType":"DocumentReference","id":"d","date":"2024-03-02T14:00:00Z","content":[{"attachment":{"data":"U0VDUkVU"}}]}"#.into(), false),
    ];
    for (case, text, stays) in table {
        let collected = chart(&[&text], &[SECRET]);
        let reference = collected.found[0].local_reference();
        let word = word_on(&house().shape(&collected), &reference);
        assert_eq!(word.starts_with('-'), stays, "{case}: {word}");
    }
}

/// A stay of weeks clears what is of its time, but not of a restricted visit of that day whose hours
/// nobody knows.
#[test]
fn a_stay_around_a_visit_without_hours_clears_nothing_of_its_day() {
    let day = SECRET
        .replace("2024-03-01T19:00:00-05:00", "2024-03-01")
        .replace("2024-03-01T20:00:00-05:00", "2024-03-01");
    let lab = obs(r#""effectiveDateTime":"2024-03-01T12:00:00-05:00""#);
    let word =
        |visit: &str| word_on(&house().shape(&chart(&[&lab], &[visit, OPEN])), "Observation/x");
    assert_eq!(word(&day), "-Observation/x patient-restriction");
    assert_eq!(word(SECRET), "Observation/x all", "its hours are known, and over");
}

#[test]
fn documents_of_the_day_stay_where_documents_travel() {
    let note = |more: &str| {
        format!(r#"{{"resourceType":"DocumentReference","id":"d","description":"SECRET"{more}}}"#)
    };
    let data = r#","content":[{"attachment":{"data":"U0VDUkVU"}}]"#;
    let on = r#","date":"2024-03-01T20:30:00-05:00""#;
    let of = |visit: &str| {
        format!(r#","context":{{"encounter":[{{"reference":"Encounter/{visit}"}}]}}"#)
    };
    #[rustfmt::skip]
    let table = [
        ("of the day", note(&format!("{data}{on}")), true),
        ("of the day, with nothing attached", note(on), true),
        ("of another visit", note(&format!("{on}{}", of("open"))), false),
        ("a photograph of the day", r#"{"resourceType":"Media","id":"d","createdDateTime":"2024-03-01","content":{"data":"U0VDUkVU"}}"#.into(), true),
    ];
    for setting in ["permit", "withhold-in-sensitive-period"] {
        let house = House::of(&format!("opaque = \"{setting}\"\n{RULES}"));
        let house = house.restricting(&["Encounter/secret"]);
        for (case, text, stays) in &table {
            let open = OPEN.replace("2024-02-20", "2024-03-04");
            let collected = chart(&[text], &[SECRET, &open]);
            let reference = collected.found[0].local_reference();
            let word = word_on(&house.shape(&collected), &reference);
            assert_eq!(word.starts_with('-'), *stays, "{setting}, {case}: {word}");
        }
    }
}

#[test]
fn a_reference_under_another_address_tells_no_more_than_one_under_its_own() {
    let place = |reference: &str| {
        format!(
            r#"{{"resourceType":"ServiceRequest","id":"s","code":{{"text":"KEPT"}},"supportingInfo":[{{"reference":"{reference}","display":"SECRET"}}],"insurance":[{{"reference":"https://plan.test/r4/Coverage/7","display":"SECRET"}},{{"reference":"https://plan.test/r4/ClaimResponse/7","display":"SECRET"}}],"note":[{{"text":"NOTE"}}]}}"#
        )
    };
    #[rustfmt::skip]
    let table = [
        ("of the patient's wish", "https://alias.test/fhir/Condition/wish", false),
        ("of their visit's diagnosis", "http://ehr.test/fhir/Condition/theirs", false),
        ("another patient", "https://alias.test/fhir/Patient/somebody", false),
        ("a record of another server", "https://alias.test/fhir/Condition/else", false),
        ("a portal's page", "https://portal.test/visits?id=SECRET", false),
    ];
    for (case, reference, stays) in table {
        let theirs = r#"{"resourceType":"Condition","id":"theirs","encounter":{"reference":"Encounter/secret"}}"#;
        let text = place(reference);
        let sent = sent(&house().shape(&chart(&[&text], &[SECRET, theirs])));
        assert!(sent.contains("KEPT"), "{case}: {sent}");
        assert_eq!(sent.contains("SECRET"), stays, "{case}: {sent}");
        assert!(!sent.contains("plan.test"), "{case}: {sent}");
    }
}

#[test]
fn what_is_said_to_be_another_persons_stays_under_every_address() {
    for subject in [
        "Patient/other",
        "https://alias.test/r4/Patient/other",
        "http://ehr.test/fhir/Patient/other/_history/1",
    ] {
        let text = obs(&format!(r#""subject":{{"reference":"{subject}"}}"#));
        let word = word_on(&house().shape(&chart(&[&text], &[])), "Observation/x");
        assert_eq!(word, "-Observation/x other-patient", "{subject}");
    }
    let own = obs(r#""subject":{"reference":"https://alias.test/r4/Patient/p"}"#);
    let word = word_on(&house().shape(&chart(&[&own], &[])), "Observation/x");
    assert_eq!(word, "Observation/x all");
}

#[test]
fn what_is_contained_in_what_is_contained_is_judged_too() {
    let text = r#"{"resourceType":"Observation","id":"x","code":{"text":"KEPT"},"contained":[{"resourceType":"Specimen","id":"s","note":[{"text":"KEPT"}],"contained":[{"resourceType":"Claim","id":"c","type":{"text":"SECRET"}}],"extension":[{"url":"u","valueX":{"resourceType":"Coverage","subscriberId":"SECRET"}}]}]}"#;
    let sent = sent(&house().shape(&chart(&[text], &[])));
    assert!(sent.contains("KEPT") && !sent.contains("SECRET"), "{sent}");
}

/// A label on a visit is about the visit: what names it as its encounter is about the same.
#[test]
fn what_names_a_labelled_visit_stays_with_it() {
    let visit = r#"{"resourceType":"Encounter","id":"v","status":"finished","meta":{"security":[{"code":"PSY"}]},"period":{"start":"2024-06-01","end":"2024-06-01"}}"#;
    let lab = obs(r#""code":{"text":"SECRET"},"encounter":{"reference":"Encounter/v"}"#);
    let team = r#"{"resourceType":"Observation","id":"y","code":{"text":"KEPT"},"encounter":{"reference":"Encounter/open"},"focus":[{"reference":"Encounter/v","display":"SECRET"}]}"#;
    for (found, followed) in
        [(vec![lab.as_str(), visit, team], vec![]), (vec![&lab, team], vec![visit, OPEN])]
    {
        let collected =
            Collected { found: read(&found), followed: read(&followed), ..Collected::default() };
        let disclosure = house().shape(&collected);
        assert_eq!(word_on(&disclosure, "Observation/x"), "-Observation/x about-withheld");
        let sent = sent(&disclosure);
        assert!(sent.contains("KEPT") && !sent.contains("SECRET"), "{sent}");
    }
}
