//! Goal: what does not say readably that it is this patient's stays, however it was come by.
//!
//! How: a result names results, whose subjects are said in many ways.

use super::{House, chart, read, sent, word_on};
use exchange::shape::Collected;

const RULES: &str = "[[permit]]\nrule = \"all\"\ntypes = [\"Patient\", \"Observation\", \"Device\", \
                     \"Medication\", \"Practitioner\", \"Task\", \"ServiceRequest\", \"Specimen\", \
                     \"Appointment\", \"AppointmentResponse\", \"Group\", \"Person\", \
                     \"SupplyRequest\"]\n";

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"OWN"},{"value":"BARE"}]}"#;

/// A panel that names a record, and that record.
fn led_to(kind: &str, more: &str) -> Collected {
    let panel = format!(
        r#"{{"resourceType":"Observation","id":"panel","subject":{{"reference":"Patient/p"}},"code":{{"text":"KEPT"}},"hasMember":[{{"reference":"{kind}/x","display":"SECRET"}}]}}"#
    );
    let record = format!(r#"{{"resourceType":"{kind}","id":"x","text":{{"div":"SECRET"}}{more}}}"#);
    Collected { followed: read(&[&record]), ..chart(&[PATIENT, &panel], &[]) }
}

#[test]
fn a_record_that_is_led_to_travels_only_where_it_names_this_patient() {
    #[rustfmt::skip]
    let table = [
        ("this patient", r#","subject":{"reference":"Patient/p"}"#, true),
        ("a version of them", r#","subject":{"reference":"Patient/p/_history/2"}"#, true),
        ("under the EHR's base", r#","subject":{"reference":"https://ehr.test/fhir/Patient/p"}"#, true),
        ("by their number", r#","subject":{"type":"Patient","identifier":{"system":"urn:mrn","value":"OWN"}}"#, true),
        ("contained, with their number", r##","contained":[{"resourceType":"Patient","id":"z","identifier":[{"system":"urn:mrn","value":"OWN"}]}],"subject":{"reference":"#z"}"##, true),
        ("a urn, and their number", r#","subject":{"reference":"urn:uuid:1","identifier":{"system":"urn:mrn","value":"OWN"}}"#, true),
        ("their number, its system spelt otherwise", r#","subject":{"identifier":{"system":"URN:mrn/","value":"OWN"}}"#, true),
        ("under the EHR's base, its host in capitals", r#","subject":{"reference":"HTTPS://EHR.test/fhir/Patient/p"}"#, true),
        ("at another server, with their number", r#","subject":{"reference":"https://other.test/fhir/Patient/p","identifier":{"system":"urn:mrn","value":"OWN"}}"#, true),
        ("at another server, by the same id", r#","subject":{"reference":"https://other.test/fhir/Patient/p"}"#, false),
        ("at another server, another", r#","subject":{"reference":"https://other.test/fhir/Patient/victim"}"#, false),
        ("this patient, and another's number", r#","subject":{"reference":"Patient/p","identifier":{"system":"urn:mrn","value":"SECRET"}}"#, false),
        ("contained with their number, and another's beside", r##","contained":[{"resourceType":"Patient","id":"z","identifier":[{"system":"urn:mrn","value":"OWN"}]}],"subject":{"reference":"#z","identifier":{"system":"urn:mrn","value":"SECRET"}}"##, false),
        ("another", r#","subject":{"reference":"Patient/victim"}"#, false),
        ("another's number", r#","subject":{"identifier":{"system":"urn:mrn","value":"SECRET"}}"#, false),
        ("a number without a system", r#","subject":{"identifier":{"value":"BARE"}}"#, false),
        ("the value under another system", r#","subject":{"identifier":{"system":"urn:other","value":"OWN"}}"#, false),
        ("the number as another thing's", r#","subject":{"type":"Device","identifier":{"system":"urn:mrn","value":"OWN"}}"#, false),
        ("a search", r#","subject":{"reference":"Patient?identifier=SECRET"}"#, false),
        ("a urn", r#","subject":{"reference":"urn:uuid:1"}"#, false),
        ("contained, with another number", r##","contained":[{"resourceType":"Patient","id":"z","identifier":[{"system":"urn:mrn","value":"SECRET"}]}],"subject":{"reference":"#z"}"##, false),
        ("contained, with both numbers", r##","contained":[{"resourceType":"Patient","id":"z","identifier":[{"system":"urn:mrn","value":"OWN"},{"system":"urn:mrn","value":"SECRET"}]}],"subject":{"reference":"#z"}"##, false),
        ("contained, without a number", r##","contained":[{"resourceType":"Patient","id":"z"}],"subject":{"reference":"#z"}"##, false),
        ("contained twice", r##","contained":[{"resourceType":"Patient","id":"z","identifier":[{"system":"urn:mrn","value":"OWN"}]},{"resourceType":"Patient","id":"z"}],"subject":{"reference":"#z"}"##, false),
        ("contained nowhere", r##","subject":{"reference":"#z"}"##, false),
        ("itself", r##","subject":{"reference":"#"}"##, false),
        ("a group", r#","subject":{"reference":"Group/1"}"#, false),
        ("a contained group", r##","contained":[{"resourceType":"Group","id":"z"}],"subject":{"reference":"#z"}"##, false),
        ("words", r#","subject":{"display":"SECRET"}"#, false),
        ("nobody", "", false),
    ];
    for (case, more, travels) in table {
        let disclosure = House::of(RULES).shape(&led_to("Observation", more));
        let word = word_on(&disclosure, "Observation/x");
        let wanted = if travels { "Observation/x all" } else { "-Observation/x other-patient" };
        assert_eq!(word, wanted, "{case}");
        let sent = sent(&disclosure);
        assert!(sent.contains("KEPT"), "{case}");
        assert!(travels || !sent.contains("SECRET"), "{case}: {sent}");
    }
}

#[test]
fn what_is_nobodys_travels_and_what_names_another_elsewhere_stays() {
    #[rustfmt::skip]
    let table = [
        ("a medication", "Medication", "", true),
        ("a practitioner", "Practitioner", "", true),
        ("a device of the ward", "Device", "", true),
        ("a device of the patient", "Device", r#","patient":{"reference":"Patient/p"}"#, true),
        ("a device of another", "Device", r#","patient":{"identifier":{"system":"urn:mrn","value":"SECRET"}}"#, false),
        ("a task for the patient", "Task", r#","for":{"reference":"Patient/p"}"#, true),
        ("a task for another", "Task", r#","for":{"reference":"Patient/victim"}"#, false),
        ("an appointment of the patient", "Appointment", r#","participant":[{"actor":{"reference":"Practitioner/d"}},{"actor":{"reference":"Patient/p"}}]"#, true),
        ("one of the patient with another", "Appointment", r#","participant":[{"actor":{"reference":"Patient/victim","display":"SECRET"}},{"actor":{"reference":"Patient/p"}}]"#, true),
        ("one of another", "Appointment", r#","comment":"SECRET","participant":[{"actor":{"reference":"Practitioner/d"}},{"actor":{"reference":"Patient/victim"}}]"#, false),
        ("one of nobody", "Appointment", r#","comment":"SECRET""#, false),
        ("one of a contained patient", "Appointment", r##","contained":[{"resourceType":"Patient","id":"z","identifier":[{"system":"urn:mrn","value":"OWN"}]}],"participant":[{"actor":{"reference":"#z"}}]"##, true),
        ("the patient's word on one", "AppointmentResponse", r#","actor":{"identifier":{"system":"urn:mrn","value":"OWN"}}"#, true),
        ("another's word", "AppointmentResponse", r#","comment":"SECRET","actor":{"reference":"Patient/victim"}"#, false),
        ("a person that the patient is", "Person", r#","link":[{"target":{"reference":"Patient/p"}}]"#, true),
        ("a person that another is", "Person", r#","name":[{"text":"SECRET"}],"link":[{"target":{"reference":"Patient/victim"}}]"#, false),
        ("a person that nobody says who they are", "Person", r#","name":[{"text":"SECRET"}]"#, false),
        ("a group with the patient", "Group", r#","member":[{"entity":{"reference":"Patient/p"}}]"#, true),
        ("a group without", "Group", r#","name":"SECRET","member":[{"entity":{"reference":"Patient/victim"}}]"#, false),
        ("supplies for the patient", "SupplyRequest", r#","deliverTo":{"reference":"Patient/p"}"#, true),
        ("supplies for another", "SupplyRequest", r#","deliverTo":{"reference":"Patient/victim","display":"SECRET"}"#, false),
        ("supplies for a ward", "SupplyRequest", r#","deliverTo":{"reference":"Location/l"}"#, false),
        ("what is contained is its holder's", "ServiceRequest", r##","subject":{"reference":"Patient/p"},"contained":[{"resourceType":"Specimen","id":"s"}],"specimen":[{"reference":"#s"}]"##, true),
    ];
    for (case, kind, more, travels) in table {
        let disclosure = House::of(RULES).shape(&led_to(kind, more));
        let word = word_on(&disclosure, &format!("{kind}/x"));
        let wanted = if travels { "all" } else { "other-patient" };
        assert!(word.ends_with(wanted), "{case}: {word}");
        let sent = sent(&disclosure);
        assert_eq!(sent.contains(r#""id":"s""#), case.contains("is contained"), "{case}");
        // The narrative and the panel's word of the record are planted, too: they go with what stays.
        assert!(travels || !sent.contains("SECRET"), "{case}: {sent}");
        assert!(!sent.contains("victim"), "{case}: {sent}");
    }
}

#[test]
fn a_contained_record_of_another_goes_with_the_reference_to_it() {
    let text = r##"{"resourceType":"ServiceRequest","id":"s","subject":{"reference":"Patient/p"},"code":{"text":"KEPT"},"contained":[{"resourceType":"Observation","id":"o","subject":{"reference":"Group/1"},"valueString":"SECRET"}],"supportingInfo":[{"reference":"#o"}]}"##;
    let disclosure = House::of(RULES).shape(&chart(&[PATIENT, text], &[]));
    let sent = sent(&disclosure);
    assert!(sent.contains("KEPT") && !sent.contains("SECRET") && !sent.contains("#o"), "{sent}");
}

/// An EHR that writes references under another name of itself says so in what is asked for by patient.
#[test]
fn an_id_counts_under_the_names_of_the_ehr_and_under_no_others() {
    let record = |base: &str, id: &str| {
        led_to("Observation", &format!(r#","subject":{{"reference":"{base}/Patient/{id}"}}"#))
    };
    let found = |subject: &str| {
        let more = format!(r#"{{"resourceType":"Observation","id":"found","subject":{subject}}}"#);
        read(&[&more]).remove(0)
    };
    let alias = r#"{"reference":"https://alias.test/r4/Patient/p"}"#;
    let of_another = r#"{"reference":"https://alias.test/r4/Patient/p","identifier":{"system":"urn:mrn","value":"SECRET"}}"#;
    let table = [
        ("the name is known", alias, "https://alias.test/r4", "p", true),
        ("in other capitals", alias, "https://Alias.test/r4", "p", true),
        ("another of that name", alias, "https://alias.test/r4", "victim", false),
        ("another name", alias, "https://other.test/fhir", "p", false),
        ("a longer name", alias, "https://alias.test/r4/tenant", "p", false),
        ("known of another only", of_another, "https://alias.test/r4", "p", false),
    ];
    for (case, subject, base, id, travels) in table {
        let mut collected = record(base, id);
        collected.found.push(found(subject));
        let disclosure = House::of(RULES).shape(&collected);
        let word = word_on(&disclosure, "Observation/x");
        assert_eq!(!word.starts_with('-'), travels, "{case}: {word}");
        let word = word_on(&disclosure, "Observation/found");
        assert_eq!(!word.starts_with('-'), subject == alias, "{case}: {word}");
    }
}

/// What families share says of nobody whose a record is.
#[test]
fn a_number_of_membership_says_not_whose_a_record_is() {
    let coverage = r#"{"resourceType":"Coverage","id":"own","subscriberId":"FAM-3","identifier":[{"system":"urn:covered","value":"4"}],"beneficiary":{"reference":"Patient/p"}}"#;
    let typed = |code: &str, value: &str| {
        format!(
            r#"{{"type":{{"coding":[{{"code":"{code}"}}]}},"system":"urn:plan","value":"{value}"}}"#
        )
    };
    #[rustfmt::skip]
    let table = [
        (typed("SN", "FAM-1"), "urn:plan|FAM-1"),
        (typed("MB", "FAM-2"), "urn:plan|FAM-2"),
        (r#"{"system":"urn:any","value":"FAM-3"}"#.to_owned(), "urn:any|FAM-3"),
        (r#"{"system":"urn:covered","value":"4-01"}"#.into(), "urn:covered|4-01"),
        (r#"{"type":{"text":"Subscriber no."},"system":"urn:words","value":"FAM-5"}"#.into(), "urn:words|FAM-5"),
    ];
    for (number, shared) in table {
        let patient = PATIENT.replace("\"identifier\":[", &format!("\"identifier\":[{number},"));
        assert!(patient.contains(&number));
        let (system, value) = shared.split_once('|').unwrap();
        let shared = format!(r#"{{"system":"{system}","value":"{value}"}}"#);
        for relative in [
            format!(r#","subject":{{"identifier":{shared}}}"#),
            format!(
                r##","contained":[{{"resourceType":"Patient","id":"z","identifier":[{shared}]}}],"subject":{{"reference":"#z"}}"##
            ),
        ] {
            let record = led_to("Observation", &relative);
            let found = [read(&[&patient, coverage]), record.found].concat();
            let disclosure = House::of(RULES).shape(&Collected { found, ..record });
            let word = word_on(&disclosure, "Observation/x");
            assert_eq!(word, "-Observation/x other-patient", "{relative}");
            assert!(!sent(&disclosure).contains("SECRET"), "{relative}");
        }
    }
}

#[test]
fn a_contained_patient_of_another_birth_date_is_another() {
    let table = [
        ("the same day", "1980-05-01", true),
        ("the year of it", "1980", true),
        ("another day", "1980-05-02", false),
        ("another year", "2020", false),
    ];
    for (case, day, travels) in table {
        let born = r#""birthDate":"1980-05-01","identifier":["#;
        let patient = PATIENT.replace("\"identifier\":[", born);
        let record = led_to(
            "Observation",
            &format!(
                r##","contained":[{{"resourceType":"Patient","id":"z","identifier":[{{"system":"urn:mrn","value":"OWN"}}],"birthDate":"{day}"}}],"subject":{{"reference":"#z"}}"##
            ),
        );
        let found = record.found.into_iter().filter(|one| one.kind() != "Patient");
        let found = found.chain(read(&[&patient])).collect();
        let disclosure = House::of(RULES).shape(&Collected { found, ..record });
        let word = word_on(&disclosure, "Observation/x");
        assert_eq!(!word.starts_with('-'), travels, "{case}: {word}");
    }
}
