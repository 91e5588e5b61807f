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
            kind: "encounter",
            on: jiff::civil::date(2026, 1, 15),
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
    let patient =
        r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"own"}]}"#;
    let patient = Resource::parse(patient).unwrap();
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
        ("in a reference that is cut anyway", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","partOf":{"identifier":@}}"#),
        ("in one deeper", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","participant":[{"individual":{"reference":"urn:uuid:1","identifier":@}}]}"#),
        ("in an extension", r#"{"resourceType":"Condition","id":"c","extension":[{"url":"u","extension":[{"url":"v","valueIdentifier":@}]}],"code":{"text":"KEPT"}}"#),
        ("beside a primitive", r#"{"resourceType":"Patient","id":"p1","birthDate":"KEPT","_birthDate":{"extension":[{"url":"v","valueIdentifier":@}]}}"#),
        ("in a contained resource", r##"{"resourceType":"Observation","id":"o","contained":[{"resourceType":"Patient","id":"me","identifier":[{"system":"urn:mrn","value":"own"},@]}],"subject":{"reference":"#me"},"status":"KEPT"}"##),
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

/// Addresses that lead out of the source may open more than what travels.
#[test]
fn an_attachment_keeps_no_address_elsewhere() {
    #[rustfmt::skip]
    let table = [
        ("a store's, signed", "https://files.test/a?token=SECRET"),
        ("another server's Binary", "https://files.test/Binary/SECRET"),
        ("the source's, but no resource", "https://ehr.test/fhir/files?token=SECRET"),
        ("a path", "/files/SECRET"),
        ("another resource", "Observation/SECRET"),
        ("by urn", "urn:uuid:SECRET"),
        ("a Binary by a search", "Binary?identifier=SECRET"),
    ];
    let places = [
        r#"{"resourceType":"DocumentReference","id":"d","status":"KEPT","content":[{"attachment":{"contentType":"text/plain","title":"t","url":"@"}}]}"#,
        r#"{"resourceType":"DocumentReference","id":"d","status":"KEPT","content":[{"attachment":{"url":"@"}}]}"#,
        r#"{"resourceType":"DiagnosticReport","id":"d","status":"KEPT","presentedForm":[{"title":"t","url":"@"}]}"#,
        r#"{"resourceType":"Condition","id":"d","extension":[{"url":"u","valueAttachment":{"url":"@"}}],"code":{"text":"KEPT"}}"#,
    ];
    for (case, url) in table {
        for place in places {
            let (text, rules) = sent(&place.replace('@', url));
            assert!(!text.contains("SECRET") && text.contains("KEPT"), "{case}: {text}");
            assert_eq!(rules, ["foreign-attachment"], "{case}");
            assert!(!place.contains("title") || text.contains("title"), "{case}: {text}");
        }
    }
    let data = r#"{"resourceType":"DocumentReference","id":"d","content":[{"attachment":{"contentType":"text/plain","data":"S0VQVA==","url":"https://x.test/a"}}]}"#;
    assert!(sent(data).0.contains("S0VQVA=="), "the data stay");
}

/// A reference without an address may name what is withheld.
#[test]
fn a_logical_reference_stays_only_where_it_can_name_no_content() {
    #[rustfmt::skip]
    let table = [
        ("a diagnosis by identifier", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","diagnosis":[{"condition":{"identifier":{"value":"SECRET"},"display":"SECRET"}}]}"#, true),
        ("a diagnosis in words", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","diagnosis":[{"condition":{"display":"SECRET"}}]}"#, true),
        ("typed as one", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","reasonReference":[{"type":"Condition","identifier":{"value":"SECRET"}}]}"#, true),
        ("what a note is about", r#"{"resourceType":"DocumentReference","id":"d","status":"KEPT","context":{"related":[{"identifier":{"value":"SECRET"}}]}}"#, true),
        ("in a contained resource", r##"{"resourceType":"DiagnosticReport","id":"d","status":"KEPT","contained":[{"resourceType":"Observation","id":"o","status":"final","derivedFrom":[{"display":"SECRET"}]}],"result":[{"reference":"#o"}]}"##, true),
        ("in an extension", r#"{"resourceType":"Condition","id":"c","code":{"text":"KEPT"},"extension":[{"url":"u","valueReference":{"display":"SECRET"}}]}"#, true),
        ("beside its primitive", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","diagnosis":[{"condition":{"type":"Condition","_display":{"extension":[{"url":"u","valueString":"SECRET"}]}}}]}"#, true),
        ("with an empty literal", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","diagnosis":[{"condition":{"_reference":{"extension":[{"url":"u","valueCode":"masked"}]},"display":"SECRET"}}]}"#, true),
        ("by whom, of any kind", r#"{"resourceType":"Observation","id":"o","status":"KEPT","performer":[{"display":"SECRET"}]}"#, true),
        ("a type that is not agreed", r#"{"resourceType":"Observation","id":"o","status":"KEPT","performer":[{"type":"RelatedPerson","display":"SECRET"}]}"#, true),
        ("by a practitioner", r#"{"resourceType":"Observation","id":"o","performer":[{"type":"Practitioner","display":"KEPT"}]}"#, false),
        ("the practice", r#"{"resourceType":"Patient","id":"p1","generalPractitioner":[{"display":"KEPT"}]}"#, false),
        ("where", r#"{"resourceType":"Encounter","id":"e","location":[{"location":{"display":"KEPT"}}]}"#, false),
        ("a coding in words is none", r#"{"resourceType":"Condition","id":"c","code":{"coding":[{"display":"KEPT"}]}}"#, false),
        ("a single coding is none", r#"{"resourceType":"Encounter","id":"e","class":{"display":"KEPT"}}"#, false),
        ("an extension's coding is none", r#"{"resourceType":"Condition","id":"c","extension":[{"url":"u","valueCoding":{"display":"KEPT"}}]}"#, false),
        ("a literal one to nowhere", r#"{"resourceType":"Condition","id":"c","code":{"text":"KEPT"},"asserter":{"reference":"urn:uuid:1","display":"SECRET"}}"#, true),
        ("words of a visit by urn", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","partOf":{"reference":"urn:uuid:1","identifier":{"value":"SECRET"},"display":"SECRET"}}"#, true),
        ("words of a visit by oid", r#"{"resourceType":"Encounter","id":"e","status":"KEPT","partOf":{"reference":"urn:oid:1.2.3","display":"SECRET"}}"#, true),
        ("words beside a record of another server", r#"{"resourceType":"Encounter","id":"e","partOf":{"reference":"https://else.test/fhir/Encounter/KEPT","display":"SECRET"}}"#, true),
        ("where, at another server", r#"{"resourceType":"Encounter","id":"e","location":[{"location":{"reference":"urn:uuid:1","display":"KEPT"}}]}"#, false),
        ("a practitioner of another server", r#"{"resourceType":"Condition","id":"c","asserter":{"reference":"https://else.test/fhir/Practitioner/1","display":"KEPT"}}"#, false),
        ("a urn alone", r#"{"resourceType":"Encounter","id":"e","partOf":{"reference":"urn:uuid:KEPT"}}"#, false),
    ];
    for (case, text, cut) in table {
        let (text, rules) = sent(text);
        assert!(!text.contains("SECRET") && text.contains("KEPT"), "{case}: {text}");
        assert_eq!(rules, if cut { vec!["logical-reference"] } else { vec![] }, "{case}: {text}");
    }
}

#[test]
fn a_payor_by_identifier_stays_in_the_coverage() {
    let house = House::new("");
    let text = r#"{"resourceType":"Coverage","id":"own","payor":[{"identifier":{"system":"urn:naic","value":"1"},"display":"Blue"}]}"#;
    let own = ["Coverage/own".to_owned()];
    let audience = Audience { own_coverages: &own, ..house.audience() };
    let found = vec![Resource::parse(text).unwrap()];
    let disclosure = shape(&Collected { found, ..Collected::default() }, &audience);
    let [Decision::Included { cuts, .. }] = disclosure.decisions.as_slice() else {
        panic!("{disclosure:?}")
    };
    assert!(cuts.is_empty(), "{cuts:?}");
}

/// A diagnosis may know nothing of the visit that names it.
#[test]
fn what_only_a_restricted_encounter_refers_to_is_its_own() {
    let house = House::new("[[restriction]]\nsubject = 'Encounter/secret'\nreason = 'self-pay'\n");
    let read = |text: &str| Resource::parse(text.to_owned()).unwrap();
    let secret = read(
        r#"{"resourceType":"Encounter","id":"secret","participant":[{"individual":{"reference":"Practitioner/d"}}],"diagnosis":[{"condition":{"reference":"Condition/theirs"}},{"condition":{"reference":"Condition/elsewhere"}}],"reasonReference":[{"reference":"Procedure/theirs"}]}"#,
    );
    let found = vec![
        read(r#"{"resourceType":"Patient","id":"p1"}"#),
        read(
            r#"{"resourceType":"Encounter","id":"e","participant":[{"individual":{"reference":"Practitioner/d"}}],"diagnosis":[{"condition":{"reference":"Condition/theirs","display":"SECRET"}},{"condition":{"reference":"Condition/elsewhere"}},{"condition":{"reference":"Condition/open"}}]}"#,
        ),
    ];
    let followed = vec![
        read(r#"{"resourceType":"Condition","id":"theirs","code":{"text":"SECRET"}}"#),
        read(
            r#"{"resourceType":"Condition","id":"elsewhere","subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e"}}"#,
        ),
        read(r#"{"resourceType":"Condition","id":"open","subject":{"reference":"Patient/p1"}}"#),
        read(r#"{"resourceType":"Procedure","id":"theirs","subject":{"reference":"Patient/p1"}}"#),
        read(r#"{"resourceType":"Practitioner","id":"d"}"#),
    ];
    let told = |collected: &Collected| {
        let decisions = shape(collected, &house.audience()).decisions;
        let row = |decision: &Decision| match decision {
            Decision::Included { rule, .. } => format!("{} {rule}", decision.reference()),
            Decision::Withheld { rule, .. } => format!("-{} {rule}", decision.reference()),
        };
        decisions.iter().map(row).collect::<Vec<_>>()
    };
    let mut wanted = vec![
        "Condition/elsewhere clinical-findings",
        "Condition/open clinical-findings",
        "-Condition/theirs patient-restriction",
        "Encounter/e who-and-when",
        "Patient/p1 who-and-when",
        "Practitioner/d who-cares",
        "-Procedure/theirs patient-restriction",
    ];
    let restricted = vec![secret.clone()];
    let apart = Collected {
        found: found.clone(),
        followed: followed.clone(),
        restricted,
        ..Collected::default()
    };
    assert_eq!(told(&apart), wanted, "read apart");
    let among =
        Collected { followed: [followed, vec![secret]].concat(), restricted: vec![], ..apart };
    wanted.insert(4, "-Encounter/secret patient-restriction");
    assert_eq!(told(&among), wanted, "among what was followed");
}

/// A code withholds wherever it stands in the resource.
#[test]
fn a_sensitive_code_withholds_at_any_depth() {
    let use_disorder = r#"{"system":"http://snomed.info/sct","code":"@"}"#;
    #[rustfmt::skip]
    let table = [
        ("a report's conclusion", r#"{"resourceType":"DiagnosticReport","id":"x","conclusionCode":[{"coding":[%]}]}"#),
        ("a component's code", r#"{"resourceType":"Observation","id":"x","component":[{"code":{"coding":[%]}}]}"#),
        ("a component's value", r#"{"resourceType":"Observation","id":"x","component":[{"valueCodeableConcept":{"coding":[%]}}]}"#),
        ("a value", r#"{"resourceType":"Observation","id":"x","valueCodeableConcept":{"coding":[%]}}"#),
        ("evidence", r#"{"resourceType":"Condition","id":"x","evidence":[{"code":[{"coding":[%]}]}]}"#),
        ("the code", r#"{"resourceType":"Condition","id":"x","code":{"coding":[{"code":"1"},%]}}"#),
        ("a medication", r#"{"resourceType":"MedicationRequest","id":"x","medicationCodeableConcept":{"coding":[%]}}"#),
        ("a contained medication", r##"{"resourceType":"MedicationRequest","id":"x","contained":[{"resourceType":"Medication","id":"m","code":{"coding":[%]}}],"medicationReference":{"reference":"#m"}}"##),
        ("an ingredient", r#"{"resourceType":"Medication","id":"x","ingredient":[{"itemCodeableConcept":{"coding":[%]}}]}"#),
        ("an allergy's substance", r#"{"resourceType":"AllergyIntolerance","id":"x","reaction":[{"substance":{"coding":[%]}}]}"#),
        ("a visit's reason", r#"{"resourceType":"Encounter","id":"x","reasonCode":[{"coding":[%]}]}"#),
        ("a visit's service", r#"{"resourceType":"Encounter","id":"x","serviceType":{"coding":[%]}}"#),
        ("a Coding", r#"{"resourceType":"Encounter","id":"x","class":%}"#),
        ("a team's kind", r#"{"resourceType":"CareTeam","id":"x","category":[{"coding":[%]}]}"#),
        ("a note's event", r#"{"resourceType":"DocumentReference","id":"x","context":{"event":[{"coding":[%]}]}}"#),
        ("an extension", r#"{"resourceType":"Procedure","id":"x","extension":[{"url":"u","valueCoding":%}]}"#),
        ("without a system", r#"{"resourceType":"Procedure","id":"x","usedCode":[{"coding":[{"code":"@"}]}]}"#),
    ];
    let set = default_value_set("substance-use").unwrap();
    let entry = set.lines().find_map(|line| line.strip_prefix("http://snomed.info/sct|"));
    let code = entry.unwrap().split(' ').next().unwrap();
    for (case, text) in table {
        let text = text.replace('%', use_disorder);
        let (gone, rules) = sent(&text.replace('@', code));
        assert_eq!((gone.as_str(), rules), ("", vec!["substance-use".to_owned()]), "{case}");
        let (kept, _) = sent(&text.replace('@', "1234567890"));
        assert!(!kept.is_empty(), "{case}: another code travels");
    }
    let note = r#"{"resourceType":"DocumentReference","id":"x","category":[{"coding":[{"system":"http://loinc.org","code":"34865-6"}]}]}"#;
    assert_eq!(sent(note).1, ["psychotherapy-notes"]);
    // A number that looks like a code is none.
    let number = format!(r#"{{"resourceType":"Observation","id":"x","valueInteger":{code}}}"#);
    assert!(!sent(&number).0.is_empty());
}
