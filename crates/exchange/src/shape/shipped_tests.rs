//! Goal: with the shipped agreement, what may not travel does not, at whatever depth it stands.
//!
//! How: one resource per row, shaped and cut; `SECRET` may not be sent, `KEPT` must be.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::agreement::{Agreement, default_value_set};
use fhir::Edits;

struct House {
    terms: Terms,
    restrictions: Restrictions,
}

impl House {
    fn new(restrictions: &str) -> House {
        let text = Agreement::default_text(&PartnerId::from("blue"), &[Purpose::Payment], &[]);
        House {
            terms: Terms::parse(&text, "blue.toml", &default_value_set).unwrap(),
            restrictions: Restrictions::parse(restrictions, "r.toml", &[]).unwrap(),
        }
    }

    fn audience(&self) -> Audience<'_> {
        Audience {
            terms: &self.terms,
            purpose: Purpose::Payment,
            restrictions: &self.restrictions,
            patient: "p1",
            own_coverages: &[],
            source_base: "https://ehr.test/fhir",
        }
    }
}

/// What of one resource is sent, with the rules that cut; or the rule that withholds it.
fn sent(text: &str) -> (String, Vec<String>) {
    let house = House::new("");
    let resource = Resource::parse(text.to_owned()).unwrap();
    let patient = Resource::parse(r#"{"resourceType":"Patient","id":"p1"}"#).unwrap();
    let reference = resource.local_reference();
    let mut found = vec![resource];
    if reference != "Patient/p1" {
        found.push(patient);
    }
    let collected = Collected { found, ..Collected::default() };
    let disclosure = shape(&collected, &house.audience());
    let own = disclosure.decisions.iter().find(|decision| decision.reference() == reference);
    match own.unwrap() {
        Decision::Withheld { rule, .. } => (String::new(), vec![rule.clone()]),
        Decision::Included { resource, cuts, .. } => {
            let doc = resource.doc();
            let mut edits = Edits::new(&doc);
            for cut in cuts {
                edits.remove_element(doc.node_at(&cut.span).unwrap());
            }
            let sent = String::from_utf8(edits.apply()).unwrap();
            assert!(Resource::parse(sent.clone()).is_ok(), "what is left is a resource");
            (sent, cuts.iter().map(|cut| cut.rule.clone()).collect())
        }
    }
}

/// Every place where a number of a person may stand, and every way to mark it as one.
#[test]
fn numbers_of_a_person_stay_wherever_they_stand_and_however_they_are_marked() {
    let ssn = r#"{"system":"http://hl7.org/fhir/sid/us-ssn","value":"SECRET"}"#;
    #[rustfmt::skip]
    let marks = [
        ("its system", ssn),
        ("a slash behind", r#"{"system":"http://hl7.org/fhir/sid/us-ssn/","value":"SECRET"}"#),
        ("in capitals, by https", r#"{"system":"HTTPS://HL7.org/fhir/sid/us-ssn","value":"SECRET"}"#),
        ("its OID", r#"{"system":"urn:oid:2.16.840.1.113883.4.1","value":"SECRET"}"#),
        ("its OID in capitals", r#"{"system":"URN:OID:2.16.840.1.113883.4.1","value":"SECRET"}"#),
        ("its OID alone", r#"{"system":"2.16.840.1.113883.4.1","value":"SECRET"}"#),
        ("its type", r#"{"type":{"coding":[{"code":"MR"},{"code":"SS"}]},"value":"SECRET"}"#),
        ("its type, small", r#"{"type":{"coding":[{"code":" ss"}]},"value":"SECRET"}"#),
        ("its type in words", r#"{"type":{"text":"Social  Security Number"},"value":"SECRET"}"#),
        ("its type in other words", r#"{"type":{"text":"social security no."},"value":"SECRET"}"#),
        ("its type in short", r#"{"type":{"text":"SSN"},"value":"SECRET"}"#),
        ("its type's display", r#"{"type":{"coding":[{"display":"Social Security number"}]},"value":"SECRET"}"#),
        ("a licence", r#"{"type":{"coding":[{"code":"DL"}]},"value":"SECRET"}"#),
        ("a state's licence", r#"{"system":"urn:oid:2.16.840.1.113883.4.3.25","value":"SECRET"}"#),
        ("a licence in words", r#"{"type":{"text":"Driver's License"},"value":"SECRET"}"#),
        ("a passport", r#"{"type":{"coding":[{"code":"PPN"}]},"value":"SECRET"}"#),
        ("a country's passport", r#"{"system":"http://hl7.org/fhir/sid/passport-USA","value":"SECRET"}"#),
        ("a passport's OID", r#"{"system":"urn:oid:2.16.840.1.113883.4.330.840","value":"SECRET"}"#),
    ];
    #[rustfmt::skip]
    let places = [
        ("a patient's", r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"KEPT"},@]}"#),
        ("a practitioner's", r#"{"resourceType":"Practitioner","id":"x","active":true,"identifier":[{"system":"http://hl7.org/fhir/sid/us-npi","value":"KEPT"},@]}"#),
        ("in a reference", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","subject":{"reference":"Patient/p1","identifier":@}}"#),
        ("in a reference that is cut anyway", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","subject":{"identifier":@}}"#),
        ("in one deeper", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","participant":[{"individual":{"reference":"urn:uuid:1","identifier":@}}]}"#),
        ("in an extension", r#"{"resourceType":"Condition","id":"c","extension":[{"url":"u","extension":[{"url":"v","valueIdentifier":@}]}],"code":{"text":"KEPT"}}"#),
        ("beside a primitive", r#"{"resourceType":"Patient","id":"p1","birthDate":"KEPT","_birthDate":{"extension":[{"url":"v","valueIdentifier":@}]}}"#),
        ("in a contained resource", r##"{"resourceType":"Observation","id":"o","contained":[{"resourceType":"Patient","id":"me","identifier":[@]}],"subject":{"reference":"#me"},"status":"KEPT"}"##),
        ("of a coverage's subscriber", r#"{"resourceType":"Organization","id":"o","name":"KEPT","partOf":{"reference":"urn:uuid:2","display":"x","identifier":@}}"#),
    ];
    for (mark, identifier) in marks {
        for (place, text) in places {
            let (text, rules) = sent(&text.replace('@', identifier));
            assert!(!text.contains("SECRET"), "{mark}, {place}: {text}");
            assert!(text.contains("KEPT"), "{mark}, {place}: {text} {rules:?}");
        }
    }
}
