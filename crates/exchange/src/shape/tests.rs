//! Goal: what may not travel leaves no content behind, every decision has its rule, and the same
//! chart gives the same decisions in whatever order it was read.
//!
//! How: single resources against small terms, one row per rule; then charts of a few resources.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::disclosure::DecisionRow;

const BASE: &str = "https://ehr.test/fhir";

const AGREEMENT: &str = r#"
partner = "blue"
purposes = ["HPAYMT", "TREAT"]

[[permit]]
rule = "findings"
types = ["Patient", "Encounter", "Observation", "Condition", "DiagnosticReport", "Coverage"]
[[permit]]
rule = "people"
types = ["Practitioner", "Organization", "Medication", "MedicationRequest", "Binary"]
[[permit]]
rule = "treatment-only"
types = ["CarePlan"]
purposes = ["TREAT"]
[[permit]]
rule = "notes-of-discharge"
types = ["DocumentReference"]
only = { path = "type", codes = ["http://loinc.org|18842-5"] }

[[withhold]]
rule = "quiet"
having = { path = "code", codes = ["http://loinc.org|1-8"] }
reason = "quiet results stay"
sensitive = false

[[cut]]
rule = "ssn"
element = "Resource.identifier.where(system='urn:ssn')"
[[cut]]
rule = "contacts"
element = "Patient.contact"
except_purposes = ["TREAT"]
[[cut]]
rule = "birth-time"
element = "Patient.birthDate.extension"
"#;

struct House {
    terms: Terms,
    restrictions: Restrictions,
    own: Vec<String>,
}

impl House {
    fn new() -> House {
        let text = "[[restriction]]\nsubject = 'Encounter/secret'\nreason = 'self-pay'\n";
        House {
            terms: Terms::parse(AGREEMENT, "blue.toml", &|_| None).unwrap(),
            restrictions: Restrictions::parse(text, "r.toml", &[]).unwrap(),
            own: vec!["Coverage/own".into()],
        }
    }

    fn audience(&self, purpose: Purpose) -> Audience<'_> {
        Audience {
            terms: &self.terms,
            purpose,
            kind: "encounter",
            on: jiff::civil::date(2026, 1, 15),
            restrictions: &self.restrictions,
            patient: "p1",
            own_coverages: &self.own,
            source_base: BASE,
        }
    }

    fn shape(&self, found: &[&str], followed: &[&str], missing: &[&str]) -> Disclosure {
        let read = |texts: &[&str]| texts.iter().map(|text| resource(text)).collect();
        let missing = missing.iter().map(|reference| (*reference).to_owned()).collect();
        let collected = Collected {
            found: read(found),
            followed: read(followed),
            missing,
            ..Collected::default()
        };
        shape(&collected, &self.audience(Purpose::Payment))
    }
}

fn resource(text: &str) -> Resource {
    Resource::parse(text.to_owned()).unwrap()
}

/// `Type/id: rule`, with `-` in front of what stays, and the cuts.
fn told(disclosure: &Disclosure) -> Vec<String> {
    let row = |decision: &Decision| {
        let row = DecisionRow::from(decision);
        let sign = if row.included { "" } else { "-" };
        let cuts: String =
            row.cuts.iter().map(|(place, rule)| format!(" {place}:{rule}")).collect();
        format!("{sign}{} {}{cuts}", row.reference, row.rule)
    };
    disclosure.decisions.iter().map(row).collect()
}

#[test]
fn every_resource_has_the_rule_that_decides() {
    let house = House::new();
    #[rustfmt::skip]
    let table = [
        ("permitted", "Condition", "", "findings"),
        ("by the second permit", "Practitioner", "", "people"),
        ("no permit names it", "Goal", "", "-not-agreed"),
        ("permitted for another purpose", "CarePlan", "", "-not-agreed"),
        ("the permit's condition holds", "DocumentReference", r#","type":{"coding":[{"system":"http://loinc.org","code":"18842-5"}]}"#, "notes-of-discharge"),
        ("the permit's condition does not hold", "DocumentReference", r#","type":{"coding":[{"system":"http://loinc.org","code":"9-9"}]}"#, "-not-agreed"),
        ("the permit's condition is in doubt", "DocumentReference", r#","type":{"coding":[{"code":"18842-5"}]}"#, "-not-agreed"),
        ("withheld by its code", "Observation", r#","code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]}"#, "-quiet"),
        ("withheld in doubt", "Observation", r#","code":{"coding":[{"code":"1-8"}]}"#, "-quiet"),
        ("a claim", "Claim", "", "-financial-never"),
        ("a benefit of another type", "CoverageEligibilityResponse", "", "-financial-never"),
        ("another payer's coverage", "Coverage", "", "-other-payer"),
        ("another patient", "Patient", "", "-other-patient"),
        ("about another patient", "Condition", r#","subject":{"reference":"Patient/p2"}"#, "-other-patient"),
        ("the same by absolute URL", "Condition", r#","subject":{"reference":"https://ehr.test/fhir/Patient/p2"}"#, "-other-patient"),
        ("about this patient", "Condition", r#","subject":{"reference":"Patient/p1/_history/2"}"#, "findings"),
        ("of the restricted encounter", "Condition", r#","encounter":{"reference":"Encounter/secret"}"#, "-patient-restriction"),
        ("a restriction before all else", "Claim", r#","item":[{"encounter":[{"reference":"Encounter/secret"}]}]"#, "-patient-restriction"),
        ("labelled restricted", "Condition", r#","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]}"#, "-sensitivity-label"),
        ("labelled normal", "Condition", r#","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"N"}]}"#, "findings"),
        ("labelled by an older system", "Condition", r#","meta":{"security":[{"system":"http://hl7.org/fhir/v3/ActCode","code":"HIV"}]}"#, "-sensitivity-label"),
        ("labelled without a system", "Condition", r#","meta":{"security":[{"code":"PSY"}]}"#, "-sensitivity-label"),
        ("the same letter of another system", "Condition", r#","meta":{"security":[{"system":"urn:colours","code":"R"}]}"#, "findings"),
        ("a note labelled as such", "DocumentReference", r#","securityLabel":[{"coding":[{"code":"V"}]}],"type":{"coding":[{"system":"http://loinc.org","code":"18842-5"}]}"#, "-sensitivity-label"),
        ("an element labelled within", "Condition", r#","code":{"extension":[{"url":"http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label","valueCoding":{"code":"SUD"}}]}"#, "-sensitivity-label"),
        ("a label before a withhold rule", "Observation", r#","meta":{"security":[{"code":"R"}]},"code":{"coding":[{"code":"1-8"}]}"#, "-sensitivity-label"),
    ];
    for (case, kind, more, rule) in table {
        let text = format!(r#"{{"resourceType":"{kind}","id":"x"{more}}}"#);
        let verdict = judge(&resource(&text), &house.audience(Purpose::Payment), &Whose::default());
        let verdict = verdict.unwrap_or_else(|withheld| format!("-{}", withheld.rule));
        assert_eq!(verdict, rule, "{case}");
    }
    let plan = resource(r#"{"resourceType":"CarePlan","id":"x"}"#);
    assert_eq!(
        judge(&plan, &house.audience(Purpose::Treatment), &Whose::default()).unwrap(),
        "treatment-only"
    );
    let own = resource(r#"{"resourceType":"Coverage","id":"own"}"#);
    assert_eq!(
        judge(&own, &house.audience(Purpose::Payment), &Whose::default()).unwrap(),
        "findings"
    );
    let nameless = resource(r#"{"resourceType":"Condition"}"#);
    let withheld =
        judge(&nameless, &house.audience(Purpose::Payment), &Whose::default()).unwrap_err();
    assert_eq!(withheld.rule, "unreadable");
}

#[test]
fn an_element_name_behind_escapes_hides_nothing() {
    let house = House::new();
    let text = r#"{"resourceType":"Patient","id":"p1","\u0069dentifier":[{"system":"urn:ssn"}]}"#;
    // Whoever reads resources may refuse the name already; here it would be withheld.
    if let Ok(patient) = Resource::parse(text) {
        let verdict = judge(&patient, &house.audience(Purpose::Payment), &Whose::default());
        assert_eq!(verdict.unwrap_err().rule, "unreadable");
    }
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p1","text":{"status":"generated","div":"<div>all of it</div>"},"identifier":[{"system":"urn:mrn","value":"m"},{"system":"urn:ssn","value":"SECRET-1"}],"birthDate":"2000-01-01","_birthDate":{"extension":[{"url":"u","valueString":"SECRET-2"}]},"contact":[{"name":{"family":"SECRET-3"},"organization":{"reference":"Organization/friend"}}]}"#;

#[test]
fn elements_are_cut_by_rule_and_the_narrative_with_them() {
    let house = House::new();
    let disclosure = house.shape(&[PATIENT], &[], &[]);
    assert_eq!(
        told(&disclosure),
        ["Patient/p1 findings Patient.text:narrative-of-cut Patient.identifier[1]:ssn \
             Patient._birthDate.extension[0]:birth-time Patient.contact[0]:contacts"],
        "a reference within a cut element is neither followed nor named"
    );
    let plain = house.shape(&[r#"{"resourceType":"Patient","id":"p1","text":{"status":"generated","div":"<div>x</div>"}}"#], &[], &[]);
    assert_eq!(told(&plain), ["Patient/p1 findings"], "an uncut resource keeps its narrative");
}

/// One row per kind of reference an Observation may hold in `performer`.
#[test]
fn a_reference_is_kept_or_cut_by_what_its_target_is() {
    let house = House::new();
    let followed = [
        r#"{"resourceType":"Practitioner","id":"good"}"#,
        r#"{"resourceType":"Observation","id":"quiet","code":{"coding":[{"code":"1-8"}]}}"#,
        r#"{"resourceType":"Goal","id":"g"}"#,
    ];
    #[rustfmt::skip]
    let table = [
        ("its target travels", "Practitioner/good", None),
        ("a version of it", "Practitioner/good/_history/1", None),
        ("absolute", "https://ehr.test/fhir/Practitioner/good", None),
        ("another server's", "https://elsewhere.test/fhir/Practitioner/good", None),
        ("a urn, with words beside it", "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", Some("logical-reference")),
        ("the container", "#", None),
        ("a contained one", "#inner", None),
        ("a contained one that is not there", "#nowhere", Some("unresolved-in-source")),
        ("its target is withheld", "Observation/quiet", Some("quiet")),
        ("the same, absolute", "https://ehr.test/fhir/Observation/quiet", Some("quiet")),
        ("its type is not agreed", "Goal/g", Some("not-agreed")),
        ("of such a type, and not read", "Goal/other", Some("not-agreed")),
        ("of money", "Claim/c", Some("financial-never")),
        ("another payer's coverage", "Coverage/other", Some("other-payer")),
        ("another patient", "Patient/p2", Some("other-patient")),
        ("not in the source", "Practitioner/gone", Some("unresolved-in-source")),
        ("not read at all", "Practitioner/unread", Some("not-collected")),
        ("a search", "Practitioner?identifier=SECRET", Some("reference-unreadable")),
        ("a search under the base", "https://ehr.test/fhir/Practitioner?identifier=SECRET", Some("reference-unreadable")),
        ("a word", "SECRET", Some("reference-unreadable")),
        ("a type that is none", "Doctor/good", Some("reference-unreadable")),
    ];
    for (case, reference, rule) in table {
        let text = format!(
            r##"{{"resourceType":"Observation","id":"o","contained":[{{"resourceType":"Practitioner","id":"inner"}}],"note":[{{"authorReference":{{"reference":"#inner"}},"text":"x"}}],"performer":[{{"type":"Practitioner","display":"Dr. X"}},{{"reference":"{reference}","display":"Dr. Y"}}]}}"##
        );
        let disclosure = house.shape(&[&text], &followed, &["Practitioner/gone"]);
        let cuts = match &disclosure.decisions.iter().find(|d| d.reference() == "Observation/o") {
            Some(Decision::Included { cuts, .. }) => cuts.clone(),
            other => panic!("{case}: {other:?}"),
        };
        let found = cuts.iter().map(|cut| (cut.expression.as_str(), cut.rule.as_str()));
        let wanted = rule.map(|rule| ("Observation.performer[1]", rule));
        assert_eq!(found.collect::<Vec<_>>(), Vec::from_iter(wanted), "{case}");
        for cut in cuts {
            let value = &text[cut.span];
            assert!(value.starts_with('{') && value.contains("Dr. Y"), "{case}: whole, {value}");
        }
    }
}

#[test]
fn a_target_that_was_not_read_is_decided_on_too() {
    let house = House::new();
    let text = r#"{"resourceType":"Encounter","id":"e","account":[{"reference":"Account/a"}],"location":[{"location":{"reference":"Location/l"}}],"serviceProvider":{"reference":"Organization/gone"},"participant":[{"individual":{"reference":"Practitioner/unread"}}]}"#;
    assert_eq!(
        told(&house.shape(&[text], &[], &["Organization/gone"])),
        [
            "-Account/a not-agreed",
            "Encounter/e findings Encounter.account[0]:not-agreed \
             Encounter.location[0].location:not-agreed Encounter.serviceProvider:unresolved-in-source \
             Encounter.participant[0].individual:not-collected",
            "-Location/l not-agreed",
            "-Organization/gone unresolved-in-source",
            "-Practitioner/unread not-collected",
        ]
    );
}

#[test]
fn an_attachment_goes_with_its_binary() {
    let house = House::new();
    let note = |attachment: &str| {
        format!(
            r#"{{"resourceType":"DocumentReference","id":"d","type":{{"coding":[{{"system":"http://loinc.org","code":"18842-5"}}]}},"content":[{{"attachment":{attachment}}}]}}"#
        )
    };
    let binary = r#"{"resourceType":"Binary","id":"b","contentType":"text/plain"}"#;
    let secret = r#"{"resourceType":"Binary","id":"b","meta":{"security":[{"code":"R"}]},"contentType":"text/plain"}"#;
    let place = "DocumentReference.content[0].attachment";
    #[rustfmt::skip]
    let table = [
        ("it travels", r#"{"url":"Binary/b"}"#, binary, None),
        ("it is withheld", r#"{"url":"Binary/b","title":"t"}"#, secret, Some(format!("{place}:sensitivity-label"))),
        ("it is not there", r#"{"url":"Binary/gone"}"#, binary, Some(format!("{place}:unresolved-in-source"))),
        ("it is not there, but its data are", r#"{"url":"Binary/gone","data":"eA=="}"#, binary, Some(format!("{place}.url:unresolved-in-source"))),
        ("withheld, though data stand here", r#"{"url":"Binary/b","data":"eA=="}"#, secret, Some(format!("{place}:sensitivity-label"))),
        ("another server's", r#"{"url":"https://elsewhere.test/Binary/b"}"#, binary, Some(format!("{place}.url:foreign-attachment"))),
    ];
    for (case, attachment, binary, cut) in table {
        let disclosure = house.shape(&[&note(attachment)], &[binary], &["Binary/gone"]);
        let row =
            told(&disclosure).into_iter().find(|row| row.starts_with("DocumentReference")).unwrap();
        let wanted = cut.map(|cut| format!(" {cut}")).unwrap_or_default();
        assert_eq!(row, format!("DocumentReference/d notes-of-discharge{wanted}"), "{case}");
    }
}

#[test]
fn contained_resources_are_judged_like_others_and_go_with_what_named_them() {
    let house = House::new();
    let disclosure = house.shape(
        &[
            // A Goal is not agreed; its reference goes with it, and so does what only it named.
            r##"{"resourceType":"Condition","id":"c1","contained":[{"resourceType":"Goal","id":"g","expressedBy":{"reference":"#p"}},{"resourceType":"Practitioner","id":"p"}],"extension":[{"url":"u","valueReference":{"reference":"#g"}}],"subject":{"reference":"Patient/p1"}}"##,
            // The coverage of nobody knows whom; a medication that is quiet; one that is not.
            r##"{"resourceType":"MedicationRequest","id":"m1","contained":[{"resourceType":"Coverage","id":"c"},{"resourceType":"Medication","id":"q","code":{"coding":[{"code":"1-8"}]}},{"resourceType":"Medication","id":"ok"}],"insurance":[{"reference":"#c"}],"medicationReference":{"reference":"#q"},"priorPrescription":{"reference":"#ok"}}"##,
            // The patient's own number within.
            r##"{"resourceType":"Observation","id":"o1","contained":[{"resourceType":"Patient","id":"me","identifier":[{"system":"urn:mrn","value":"m"},{"system":"urn:ssn","value":"SECRET"}]},{"resourceType":"Patient","id":"other"}],"subject":{"reference":"#me"},"focus":[{"reference":"#other"}]}"##,
        ],
        &[r#"{"resourceType":"Patient","id":"p1","identifier":[{"system":"urn:mrn","value":"m"}]}"#],
        &[],
    );
    assert_eq!(
        told(&disclosure),
        [
            "Condition/c1 findings Condition.contained[0]:not-agreed \
             Condition.contained[1]:contained-of-cut Condition.extension[0].valueReference:not-agreed",
            "MedicationRequest/m1 people MedicationRequest.contained[0]:other-payer \
             MedicationRequest.contained[1]:quiet MedicationRequest.insurance[0]:other-payer \
             MedicationRequest.medicationReference:quiet",
            "Observation/o1 findings Observation.contained[0].identifier[1]:ssn \
             Observation.contained[1]:other-patient Observation.focus[0]:other-patient",
            "Patient/p1 findings",
        ]
    );
}

/// A chart of a few resources with something of every kind.
fn chart() -> Collected {
    let found = [
        PATIENT,
        r#"{"resourceType":"Encounter","id":"e1","subject":{"reference":"Patient/p1"},"diagnosis":[{"condition":{"reference":"Condition/c1","display":"SECRET-4"}},{"condition":{"reference":"Condition/c2"}}]}"#,
        r#"{"resourceType":"Condition","id":"c1","encounter":{"reference":"Encounter/secret"},"code":{"text":"SECRET-5"}}"#,
        r#"{"resourceType":"Observation","id":"o1","code":{"coding":[{"system":"http://loinc.org","code":"1-8"}]},"valueString":"SECRET-6","performer":[{"reference":"Practitioner/only-secret"}]}"#,
        r#"{"resourceType":"DiagnosticReport","id":"r1","text":{"status":"generated","div":"<div>SECRET-7</div>"},"result":[{"reference":"Observation/o1","display":"SECRET-8"},{"reference":"Observation/o2"}]}"#,
        r#"{"resourceType":"Coverage","id":"own","payor":[{"reference":"Organization/blue"}]}"#,
        r#"{"resourceType":"Coverage","id":"other","subscriberId":"SECRET-9","payor":[{"reference":"Organization/green"}]}"#,
        r#"{"resourceType":"Claim","id":"cl","total":{"value":1.00,"currency":"USD"}}"#,
    ];
    let followed = [
        r#"{"resourceType":"Condition","id":"c2","subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e0"}}"#,
        r#"{"resourceType":"Encounter","id":"e0","subject":{"reference":"Patient/p1"}}"#,
        r#"{"resourceType":"Observation","id":"o2","subject":{"reference":"Patient/p1"},"valueQuantity":{"value":1.00}}"#,
        r#"{"resourceType":"Organization","id":"blue"}"#,
        r#"{"resourceType":"Organization","id":"green","name":"SECRET-10"}"#,
        r#"{"resourceType":"Practitioner","id":"only-secret","name":[{"family":"SECRET-11"}]}"#,
    ];
    let read = |texts: &[&str]| texts.iter().map(|text| resource(text)).collect();
    Collected { found: read(&found), followed: read(&followed), ..Collected::default() }
}

#[test]
fn a_chart_is_decided_on_whole_and_what_only_withheld_things_name_stays() {
    let house = House::new();
    let disclosure = shape(&chart(), &house.audience(Purpose::Payment));
    assert_eq!(
        told(&disclosure),
        [
            "-Claim/cl financial-never",
            "-Condition/c1 patient-restriction",
            "Condition/c2 findings",
            "-Coverage/other other-payer",
            "Coverage/own findings",
            "DiagnosticReport/r1 findings DiagnosticReport.text:narrative-of-cut \
             DiagnosticReport.result[0]:quiet",
            "Encounter/e0 findings",
            "Encounter/e1 findings Encounter.diagnosis[0]:patient-restriction",
            "-Observation/o1 quiet",
            "Observation/o2 findings",
            "Organization/blue people",
            "-Organization/green not-referred-to",
            "Patient/p1 findings Patient.text:narrative-of-cut Patient.identifier[1]:ssn \
             Patient._birthDate.extension[0]:birth-time Patient.contact[0]:contacts",
            "-Practitioner/only-secret not-referred-to",
        ]
    );
    let reason = disclosure.decisions.iter().find_map(|decision| match decision {
        Decision::Withheld { reference, reason, .. } if reference == "Condition/c1" => Some(reason),
        _ => None,
    });
    assert_eq!(reason.unwrap(), "a restriction of the house covers it: self-pay");
}

#[test]
fn the_same_chart_in_any_order_gives_the_same_decisions() {
    let house = House::new();
    let collected = chart();
    let decided = shape(&collected, &house.audience(Purpose::Payment));
    for turn in 0..collected.found.len() {
        let mut turned = collected.clone();
        turned.found.rotate_left(turn);
        turned.followed.reverse();
        turned.followed.rotate_left(turn % collected.followed.len());
        turned.followed.extend(turned.found.iter().take(turn).cloned());
        assert_eq!(shape(&turned, &house.audience(Purpose::Payment)), decided, "turned by {turn}");
    }
}

/// The negative space: what was withheld or cut is not in what *assemble* will send.
#[test]
fn nothing_withheld_leaves_content_behind() {
    let house = House::new();
    let disclosure = shape(&chart(), &house.audience(Purpose::Payment));
    for decision in &disclosure.decisions {
        match decision {
            Decision::Withheld { .. } => {
                let text = format!("{decision:?}");
                assert!(!text.contains("SECRET"), "{text}");
            }
            Decision::Included { resource, cuts, .. } => {
                let doc = resource.doc();
                let mut edits = fhir::Edits::new(&doc);
                for cut in cuts {
                    edits.remove(doc.node_at(&cut.span).unwrap());
                }
                let sent = String::from_utf8(edits.apply()).unwrap();
                assert!(!sent.contains("SECRET"), "{sent}");
                assert!(Resource::parse(sent).is_ok(), "what is left is a resource");
            }
        }
        let row = serde_json::to_string(&DecisionRow::from(decision)).unwrap();
        assert!(!row.contains("SECRET"), "{row}");
    }
}

#[test]
fn two_versions_of_one_resource_are_one_decision_and_what_withholds_wins() {
    let house = House::new();
    let open =
        r#"{"resourceType":"Condition","id":"c","meta":{"lastUpdated":"2024-01-01T00:00:00Z"}}"#;
    let later =
        r#"{"resourceType":"Condition","id":"c","meta":{"lastUpdated":"2024-01-02T00:00:00Z"}}"#;
    let labelled = r#"{"resourceType":"Condition","id":"c","meta":{"security":[{"code":"R"}]}}"#;
    for found in [[open, later, labelled], [labelled, later, open], [later, labelled, open]] {
        assert_eq!(told(&house.shape(&found, &[], &[])), ["-Condition/c sensitivity-label"]);
        let (kept, _): (Vec<_>, Vec<_>) = found.into_iter().partition(|text| *text != labelled);
        let disclosure = house.shape(&kept, &[], &[]);
        let [Decision::Included { resource: taken, .. }] = disclosure.decisions.as_slice() else {
            panic!("one decision")
        };
        assert_eq!(*taken, resource(later), "the later one");
    }
}

/// Provokes `Code::AllWithheld`.
#[test]
fn a_push_without_its_subject_or_patient_does_not_go() {
    let house = House::new();
    let patient = r#"{"resourceType":"Patient","id":"p1"}"#;
    let secret = r#"{"resourceType":"Encounter","id":"secret"}"#;
    let open = r#"{"resourceType":"Encounter","id":"e1"}"#;
    let disclosure = house.shape(&[patient, secret], &[], &[]);
    let issue = nothing_travels(&disclosure, "p1", "Encounter/secret").unwrap();
    assert_eq!(issue.code, Code::AllWithheld);
    assert!(issue.detail.contains("`patient-restriction` withholds the encounter"), "{issue}");
    let issue = nothing_travels(&house.shape(&[open], &[], &[]), "p1", "Encounter/e1").unwrap();
    assert!(issue.detail.contains("patient is not among"), "{issue}");
    assert!(
        nothing_travels(&house.shape(&[patient, open], &[], &[]), "p1", "Encounter/e1").is_none()
    );
}

#[test]
fn what_a_reference_means() {
    let source = |kind: &str, id: &str| Pointer::Source(kind.into(), id.into());
    let table = [
        ("Patient/1", source("Patient", "1")),
        ("Patient/1/_history/2", source("Patient", "1")),
        ("https://ehr.test/fhir/Patient/1", source("Patient", "1")),
        ("https://ehr.test/fhir/", Pointer::Unreadable),
        ("https://ehr.test/fhirs/Patient/1", Pointer::Foreign),
        ("https://ehr.test/Patient/1", Pointer::Foreign),
        ("urn:oid:1.2", Pointer::Foreign),
        ("#a", Pointer::Inner("a".into())),
        ("", Pointer::Unreadable),
        ("/Patient/1", Pointer::Unreadable),
        ("Patient/1#a", Pointer::Unreadable),
        ("Patient/1/", Pointer::Unreadable),
        ("patient/1", Pointer::Unreadable),
        ("Patient/a b", Pointer::Unreadable),
        ("Patient/1/_history/", Pointer::Unreadable),
        ("Patient?name=x:y", Pointer::Unreadable),
    ];
    for (text, wanted) in table {
        assert_eq!(pointer(text, BASE), wanted, "{text}");
        assert_eq!(pointer(text, "https://ehr.test/fhir/"), wanted, "{text}, base with a slash");
    }
    assert_eq!(pointer("Patient/1", ""), source("Patient", "1"), "without a base");
    assert_eq!(pointer("https://x.test/Patient/1", ""), Pointer::Foreign);
}

#[test]
fn collect_follows_every_reference_once_in_order() {
    let text = r##"{"resourceType":"Encounter","id":"e","subject":{"reference":"Patient/p1"},"partOf":{"reference":"Encounter/e"},"participant":[{"individual":{"reference":"Practitioner/b"}},{"individual":{"reference":"Practitioner/a"}},{"individual":{"reference":"https://ehr.test/fhir/Practitioner/b"}}],"serviceProvider":{"reference":"#o"},"account":[{"reference":"urn:uuid:1"}]}"##;
    let follow = |text: &str| {
        let found = references_to_follow(&resource(text), BASE).into_iter();
        found.map(|(kind, id)| format!("{kind}/{id}")).collect::<Vec<_>>()
    };
    assert_eq!(follow(text), ["Patient/p1", "Practitioner/b", "Practitioner/a"]);
    let note = r#"{"resourceType":"DocumentReference","id":"d","content":[{"attachment":{"url":"Binary/b"}},{"attachment":{"url":"https://elsewhere.test/Binary/c"}}]}"#;
    assert_eq!(follow(note), ["Binary/b"]);
}
