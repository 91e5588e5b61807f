//! Goal: what leads to a withheld record without being a reference to it stays as well.
//!
//! How: a result that says the address, or the number, of a restricted visit.

use super::{House, chart, sent};

const RULES: &str = "[[permit]]\nrule = \"all\"\ntypes = [\"Encounter\", \"Observation\", \
                     \"Condition\", \"ServiceRequest\", \"Patient\"]\n";

const SECRET: &str = r#"{"resourceType":"Encounter","id":"secret","identifier":[{"system":"urn:visits","value":"V-SECRET"},{"system":"urn:visits","value":"7"},{"system":"urn:episodes","value":"EP-1"}]}"#;
const OPEN: &str = r#"{"resourceType":"Encounter","id":"open","identifier":[{"system":"urn:visits","value":"V-OPEN"},{"system":"urn:episodes","value":"EP-1"}]}"#;

/// Whether what an extension says is sent, on a result of a visit that is open.
fn is_sent(value: &str) -> bool {
    let text = format!(
        r#"{{"resourceType":"Observation","id":"x","encounter":{{"reference":"Encounter/open"}},"extension":[{{"url":"urn:more","extension":[{{"url":"urn:told",{value}}}]}}],"code":{{"text":"KEPT"}}}}"#
    );
    let house = House::of(RULES).restricting(&["Encounter/secret"]);
    let sent = sent(&house.shape(&chart(&[OPEN, &text], &[SECRET])));
    assert!(sent.contains("KEPT"), "{value}: {sent}");
    sent.contains(value)
}

#[test]
fn the_address_of_what_stays_is_cut_wherever_it_stands() {
    #[rustfmt::skip]
    let table = [
        (r#""valueUri":"https://ehr.test/fhir/Encounter/secret""#, false),
        (r#""valueUri":"https://ehr.test/fhir/Encounter/secret/_history/1""#, false),
        (r#""valueUrl":"https://alias.test/r4/Encounter/secret""#, false),
        (r#""valueString":"Encounter/secret""#, false),
        (r#""valueCanonical":"https://ehr.test/fhir/Encounter/not-there""#, false),
        (r#""valueUri":"https://ehr.test/fhir/Encounter?identifier=1""#, false),
        (r#""valueUri":"https://ehr.test/fhir/Claim/1""#, false),
        (r#""valueUri":"https:\/\/ehr.test\/fhir\/Encounter\/secret""#, false),
        (r#""valueUri":"https:\u002f\u002fehr.test\u002ffhir\u002fEncounter\u002fsecret""#, false),
        (r#""valueUri":"Encounter\u002fsecret""#, false),
        (r#""valueUri":"/Encounter/secret""#, false),
        (r#""valueUri":"./Encounter/secret""#, false),
        (r#""valueUri":"Encounter/./secret""#, false),
        (r#""valueUri":"Encounter/open/../secret""#, false),
        (r#""valueUri":"Encounter%2Fsecret""#, false),
        (r#""valueUri":"Encounter?_id=secret""#, false),
        (r#""valueUri":"Observation?encounter=secret""#, false),
        (r#""valueUri":"Observation?encounter=Encounter/open""#, false),
        (r#""valueUri":"Encounter/secret/$everything""#, false),
        (r#""valueUri":"Patient/p/$everything""#, false),
        (r#""valueUri":"https://ehr.test/fhir//Encounter/secret""#, false),
        (r#""valueUri":"https://ehr.test/fhir/Encounter%2Fsecret""#, false),
        (r#""valueUri":"https://ehr.test/fhir/Encounter/open/$everything""#, false),
        (r#""valueUri":"https://alias.test/r4/Encounter/secret/$everything""#, false),
        (r#""valueUri":"https://alias.test/r4/Encounter?_id=open,secret""#, false),
        (r#""valueUri":"https://alias.test/r4/Observation?code=1&encounter=Encounter%2Fsecret""#, false),
        (r##""valueUri":"https://alias.test/app#/Encounter/secret""##, false),
        (r#""valueUri":"https://alias.test/r4/Encounter?_id=else""#, true),
        (r#""valueUri":"https://alias.test/r4/Encounter/else/$everything""#, true),
        (r#""valueString":"Procedure?""#, true),
        (r#""valueString":"see Encounter/secret""#, true),
        (r#""valueString":"100%/secret""#, true),
        (r#""valueUri":"https://ehr.test/fhir/Encounter/open""#, true),
        (r#""valueCanonical":"https://ehr.test/fhir/ValueSet/local""#, true),
        (r#""valueUri":"https://ehr.test/fhir/sid/units""#, true),
        (r#""valueUri":"https://alias.test/r4/Encounter/else""#, true),
        (r#""valueString":"and/or""#, true),
    ];
    for (value, stays) in table {
        assert_eq!(is_sent(value), stays, "{value}");
    }
}

#[test]
fn the_number_of_a_visit_that_stays_is_cut_wherever_it_stands() {
    #[rustfmt::skip]
    let table = [
        (r#""valueIdentifier":{"system":"urn:visits","value":"V-SECRET"}"#, false),
        (r#""valueIdentifier":{"value":"V-SECRET"}"#, false),
        (r#""valueIdentifier":{"system":"urn:visits","value":"7"}"#, false),
        (r#""valueIdentifier":{"value":"7"}"#, true),
        (r#""valueIdentifier":{"system":"urn:else","value":"7"}"#, true),
        (r#""valueIdentifier":{"system":"urn:visits","value":"V-OPEN"}"#, true),
        (r#""valueIdentifier":{"system":"urn:episodes","value":"EP-1"}"#, true),
    ];
    for (value, stays) in table {
        assert_eq!(is_sent(value), stays, "{value}");
    }
}

/// Servers repeat the patient's number at every visit, and digits may be a telephone's.
#[test]
fn what_is_the_patients_own_is_no_visits_number() {
    let visit_number =
        r#"{"type":{"coding":[{"code":"VN"}]},"system":"urn:visits","value":"V-SECRET"}"#;
    let patient = format!(
        r#"{{"resourceType":"Patient","id":"p","identifier":[{{"system":"urn:mrn","value":"100001"}},{visit_number}],"telecom":[{{"system":"phone","value":"5551234567"}}]}}"#
    );
    let named = r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/p","identifier":{"system":"urn:mrn","value":"100001"}}}"#;
    for number in [
        r#"{"system":"urn:mrn","value":"100001"}"#,
        r#"{"value":"100001"}"#,
        r#"{"value":"5551234567"}"#,
    ] {
        let visit = SECRET.replace("\"identifier\":[", &format!("\"identifier\":[{number},"));
        let house = House::of(RULES).restricting(&["Encounter/secret"]);
        let sent = sent(&house.shape(&chart(&[&patient, named], &[&visit])));
        assert_eq!(sent.matches("100001").count(), 2, "{number}: {sent}");
        assert!(sent.contains("5551234567"), "{number}: {sent}");
        assert!(!sent.contains("V-SECRET"), "{number}: {sent}");
    }
}
