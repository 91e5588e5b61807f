//! Numbers: by which other payers or the state know a person, whoever carries them and however they are
//! marked; this payer's own member number travels.

use super::{House, chart, sent};

const OWN: &str = r#"{"resourceType":"Coverage","id":"own","status":"active","identifier":[{"system":"urn:own","value":"C-0001"}],"subscriberId":"KEPT-001","beneficiary":{"reference":"Patient/p"},"payor":[{"reference":"Organization/blue"}]}"#;
const OTHER: &str = r#"{"resourceType":"Coverage","id":"other","status":"active","identifier":[{"system":"urn:green","value":"SECRET-2"}],"subscriberId":"SECRET 001","beneficiary":{"reference":"Patient/p"},"payor":[{"reference":"Organization/green"}]}"#;

fn typed(code: &str, value: &str) -> String {
    format!(
        r#"{{"type":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"{code}"}}]}},"value":"{value}"}}"#
    )
}

fn worded(words: &str, value: &str) -> String {
    format!(r#"{{"type":{{"text":"{words}"}},"value":"{value}"}}"#)
}

#[test]
fn numbers_of_other_payers_stay_and_the_payers_own_travel() {
    #[rustfmt::skip]
    let table = [
        ("the member number of the other coverage", r#"{"value":"SECRET-001"}"#.to_owned()),
        ("the same, spelt otherwise", r#"{"system":"urn:any","value":"secret 001"}"#.into()),
        ("a number of the other coverage's system", r#"{"system":"urn:green","value":"SECRET"}"#.into()),
        ("a number that the other payer gave", r#"{"assigner":{"reference":"Organization/green"},"value":"SECRET"}"#.into()),
        ("a member number of nobody knows which plan", typed("MB", "SECRET")),
        ("Medicaid", typed("MA", "SECRET")),
        ("Medicare", typed("MC", "SECRET")),
        ("a subscriber", typed("SN", "SECRET")),
        ("Medicare's, by its system", r#"{"system":"http://hl7.org/fhir/sid/us-mbi","value":"SECRET"}"#.into()),
        ("in words", worded("Member ID", "SECRET")),
        ("in other words", worded("State medicaid no.", "SECRET")),
    ];
    let own = [
        typed("MB", "KEPT-001"),
        r#"{"value":"kept001"}"#.into(),
        r#"{"system":"urn:own","value":"KEPT"}"#.into(),
        r#"{"type":{"coding":[{"code":"MB"}]},"assigner":{"reference":"Organization/blue"},"value":"KEPT"}"#.into(),
        typed("MR", "KEPT"),
    ];
    for (case, other) in &table {
        for own in &own {
            let patient = format!(
                r#"{{"resourceType":"Patient","id":"p","identifier":[{own},{other}],"text":{{"status":"generated","div":"<div>SECRET</div>"}}}}"#
            );
            let sent = sent(&House::shipped().shape(&chart(&[&patient, OWN], &[OTHER])));
            let patient = sent.lines().find(|line| line.contains("\"Patient\"")).unwrap();
            assert!(!sent.to_uppercase().contains("SECRET"), "{case}: {sent}");
            assert!(patient.to_uppercase().contains("KEPT"), "{own}, beside {case}: {sent}");
        }
    }
}

#[test]
fn numbers_of_other_payers_stay_wherever_they_stand() {
    let number = r#"{"system":"urn:any","value":"SECRET001"}"#;
    #[rustfmt::skip]
    let table = [
        format!(r#"{{"resourceType":"Observation","id":"o","code":{{"text":"KEPT"}},"subject":{{"reference":"Patient/p","identifier":{number}}}}}"#),
        format!(r#"{{"resourceType":"Encounter","id":"o","class":{{"code":"KEPT"}},"identifier":[{number}]}}"#),
        r#"{"resourceType":"Account","id":"o","name":"KEPT","extension":[{"url":"urn:insured","valueString":"SECRET001"}]}"#.to_owned(),
        format!(r##"{{"resourceType":"ServiceRequest","id":"o","code":{{"text":"KEPT"}},"subject":{{"reference":"#p"}},"contained":[{{"resourceType":"Patient","id":"p","identifier":[{}]}}]}}"##, worded("Medicare Number", "SECRET")),
    ];
    for text in table {
        let sent = sent(&House::shipped().shape(&chart(&[&text, OWN], &[OTHER])));
        assert!(sent.contains("KEPT") && !sent.contains("SECRET"), "{text}: {sent}");
    }
}

/// What says that it is of this payer is its own, and words of a provider's number say nothing.
#[test]
fn what_only_looks_like_a_number_of_membership_travels() {
    let practitioner = format!(
        r#"{{"resourceType":"Practitioner","id":"d","identifier":[{}]}}"#,
        worded("Medicare provider number", "KEPT")
    );
    let lab = r#"{"resourceType":"Observation","id":"o","performer":[{"reference":"Practitioner/d"}],"valueQuantity":{"value":1234567}}"#;
    let other = OTHER.replace("SECRET 001", "1234567");
    let sent = sent(&House::shipped().shape(&chart(&[&practitioner, lab, OWN], &[&other])));
    assert!(sent.contains("KEPT") && sent.contains(":1234567}"), "{sent}");
}

#[test]
fn a_social_security_number_stays_by_whatever_marks_it() {
    let text = |words: &str| worded(words, "SECRET");
    #[rustfmt::skip]
    let marks = [
        text("Social Security Number"),
        text("SOCIAL  SECURITY no"),
        text("social-security number"),
        text("Patient SSN"),
        text("ssn"),
        text("SSN (last four)"),
        text("S.S.N."),
        text("Soc. or Social Sec. No."),
        r#"{"type":{"coding":[{"code":"ssn"}]},"value":"SECRET"}"#.to_owned(),
        r#"{"type":{"coding":[{"display":"Patient SSN"}]},"value":"SECRET"}"#.into(),
        r#"{"system":"urn:hospital:ssn","value":"SECRET"}"#.into(),
        r#"{"system":"http://hl7.org/fhir/sid/us-ssn/","value":"SECRET"}"#.into(),
        r#"{"assigner":{"display":"Social Security Administration"},"value":"SECRET"}"#.into(),
    ];
    for mark in &marks {
        #[rustfmt::skip]
        let places = [
            format!(r#"{{"resourceType":"Patient","id":"p","gender":"KEPT","identifier":[{mark}]}}"#),
            format!(r#"{{"resourceType":"Patient","id":"p","gender":"KEPT","extension":[{{"url":"urn:u","valueIdentifier":{mark}}}]}}"#),
            format!(r#"{{"resourceType":"Practitioner","id":"p","gender":"KEPT","identifier":[{mark}]}}"#),
            format!(r#"{{"resourceType":"Account","id":"p","name":"KEPT","subject":[{{"reference":"Patient/p","identifier":{mark}}}]}}"#),
            format!(r##"{{"resourceType":"ServiceRequest","id":"p","code":{{"text":"KEPT"}},"subject":{{"reference":"Patient/p"}},"requester":{{"reference":"#d"}},"contained":[{{"resourceType":"Practitioner","id":"d","identifier":[{mark}]}}]}}"##),
        ];
        for place in places {
            let mut shipped = House::shipped();
            shipped.kind = "history";
            let sent = sent(&shipped.shape(&chart(&[&place, OWN], &[])));
            let referred = place.contains("\"Practitioner\",\"id\":\"p\"");
            assert!(!sent.contains("SECRET"), "{place}: {sent}");
            assert!(referred || sent.contains("KEPT"), "{place}: {sent}");
        }
    }
    let patient = r#"{"resourceType":"Patient","id":"p","gender":"KEPT","extension":[{"url":"https://hospital.test/ssn","valueString":"SECRET"},{"url":"urn:x-social-security","valueString":"SECRET"}]}"#;
    let sent = sent(&House::shipped().shape(&chart(&[patient, OWN], &[])));
    assert!(sent.contains("KEPT") && !sent.contains("SECRET"), "{sent}");
}
