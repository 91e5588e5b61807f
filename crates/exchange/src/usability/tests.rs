//! Goal: what cannot be used is told, with who can mend it, and nothing else is.
//!
//! How: a push in which nothing is missing, and one change per row.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::disclosure::{Cut, Decision, Disclosure};
use crate::path::Path;
use fhir::Resource;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BASE: &str = "https://ehr.example/fhir";

/// Everything a plan asks for.
fn complete() -> Vec<Value> {
    let coded =
        |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }] });
    let loinc = |code: &str| coded("http://loinc.org", code);
    let category = |code: &str| json!([coded("http://terminology.hl7.org/any", code)]);
    let (patient, visit, doctor) = ("Patient/p", "Encounter/e", "Practitioner/d");
    let to = |reference: &str| json!({ "reference": reference });
    let quantity = json!({ "value": 1.0, "unit": "mg/dL",
        "system": "http://unitsofmeasure.org", "code": "mg/dL" });
    vec![
        json!({ "resourceType": "Patient", "id": "p", "name": [{ "family": "Example" }],
            "birthDate": "1980-02-03", "gender": "female" }),
        json!({ "resourceType": "Coverage", "id": "c", "subscriberId": "W1",
            "beneficiary": to(patient), "payor": [to("Organization/plan")] }),
        json!({ "resourceType": "Organization", "id": "plan", "name": "Plan" }),
        json!({ "resourceType": "Organization", "id": "h", "name": "Hospital", "identifier": [
            { "system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893" },
            { "system": "urn:oid:2.16.840.1.113883.4.4", "value": "12-3456789" },
            { "system": "urn:oid:2.16.840.1.113883.4.7", "value": "11D2030855" }] }),
        json!({ "resourceType": "Practitioner", "id": "d", "identifier": [
            { "system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893" }] }),
        json!({ "resourceType": "Practitioner", "id": "nurse" }),
        json!({ "resourceType": "Encounter", "id": "e", "status": "finished",
            "class": { "code": "IMP" }, "type": [coded("http://snomed.info/sct", "1")],
            "identifier": [{ "value": "V1" }], "subject": to(patient),
            "participant": [{ "type": [coded("v3", "ATND")], "individual": to(doctor) }],
            "period": { "start": "2026-01-01", "end": "2026-01-03" },
            "hospitalization": { "dischargeDisposition": coded("any", "home") },
            "serviceProvider": to("Organization/h") }),
        json!({ "resourceType": "Condition", "id": "dx", "subject": to(patient),
            "code": coded("http://hl7.org/fhir/sid/icd-10-cm", "I10") }),
        json!({ "resourceType": "Procedure", "id": "px", "status": "completed",
            "code": coded("http://www.ama-assn.org/go/cpt", "99213"),
            "performedDateTime": "2026-01-02", "performer": [{ "actor": to(doctor) }] }),
        json!({ "resourceType": "MedicationRequest", "id": "rx", "requester": to(doctor),
            "medicationReference": to("#m"), "contained": [{ "resourceType": "Medication",
                "id": "m", "code": coded("http://www.nlm.nih.gov/research/umls/rxnorm", "1") }] }),
        json!({ "resourceType": "Immunization", "id": "vx", "status": "completed",
            "occurrenceDateTime": "2026-01-02",
            "vaccineCode": coded("http://hl7.org/fhir/sid/cvx", "140") }),
        json!({ "resourceType": "ServiceRequest", "id": "order", "requester": to(doctor) }),
        json!({ "resourceType": "Observation", "id": "lab", "status": "final",
            "category": category("laboratory"), "code": loinc("2160-0"),
            "effectiveDateTime": "2026-01-02", "valueQuantity": quantity.clone() }),
        json!({ "resourceType": "Observation", "id": "bp", "status": "final",
            "category": category("vital-signs"), "code": loinc("85354-9"),
            "effectiveDateTime": "2026-01-02", "component": [
                { "code": loinc("8480-6"), "valueQuantity": quantity.clone() },
                { "code": loinc("8462-4"), "valueQuantity": quantity }] }),
        json!({ "resourceType": "DiagnosticReport", "id": "rep", "status": "final",
            "category": category("LAB"), "code": loinc("24323-8"),
            "effectiveDateTime": "2026-01-02", "performer": [to("Organization/h")],
            "result": [to("Observation/lab")] }),
        json!({ "resourceType": "DocumentReference", "id": "note", "status": "current",
            "docStatus": "final", "type": loinc("11506-3"), "author": [to(doctor)],
            "authenticator": to(doctor), "context": { "encounter": [to(visit)] },
            "content": [{ "attachment": { "contentType": "text/plain", "data": "eA==" } }] }),
    ]
}

/// The same, with one element changed or, for null, removed. `place` is `Type/id` and a JSON
/// pointer.
fn changed(place: &str, value: &Value) -> Vec<Value> {
    let mut all = complete();
    let mut steps = place.splitn(3, '/');
    let (kind, id, pointer) = (steps.next().unwrap(), steps.next().unwrap(), steps.next());
    let resource = all.iter_mut().find(|it| it["resourceType"] == kind && it["id"] == id).unwrap();
    let (holder, member) = pointer.unwrap().rsplit_once('/').unwrap_or(("", pointer.unwrap()));
    let holder = if holder.is_empty() { holder.to_owned() } else { format!("/{holder}") };
    match (resource.pointer_mut(&holder).unwrap(), value) {
        (Value::Object(members), Value::Null) => drop(members.remove(member).unwrap()),
        (Value::Object(members), value) => drop(members.insert(member.into(), value.clone())),
        (Value::Array(items), value) => items[member.parse::<usize>().unwrap()] = value.clone(),
        (other, _) => panic!("{other}"),
    }
    all
}

/// Everything travels, but for the elements at these paths: (path, rule).
fn disclosed(all: &[Value], cut: &[(&str, &str)]) -> Disclosure {
    let decision = |value: &Value| {
        let resource = Resource::parse(value.to_string()).unwrap();
        let doc = resource.doc();
        let mut cuts = Vec::new();
        for (path, rule) in cut {
            let path = Path::parse(path).unwrap();
            cuts.extend(path.select(doc.root()).into_iter().map(|node| Cut {
                span: node.span(),
                expression: node.expression(),
                rule: (*rule).to_owned(),
            }));
        }
        cuts.sort_by_key(|cut| cut.span.start);
        drop(doc);
        Decision::Included { resource, rule: "permit".into(), cuts }
    };
    Disclosure { decisions: all.iter().map(decision).collect() }
}

fn told(disclosure: &Disclosure, purpose: Purpose) -> Vec<String> {
    let one = |finding: &Finding| {
        let place = &finding.places[0];
        let cut = finding.cut_by.as_ref().map(|rule| format!(" by {rule}")).unwrap_or_default();
        format!("{} {} {}{cut}", finding.word, place.record, place.expression)
    };
    findings(disclosure, purpose, BASE).iter().map(one).collect()
}

const PURPOSES: [Purpose; 5] = [
    Purpose::Payment,
    Purpose::Operations,
    Purpose::Treatment,
    Purpose::Coverage,
    Purpose::Quality,
];

#[test]
fn nothing_is_told_where_nothing_is_missing() {
    for purpose in PURPOSES {
        let nothing: Vec<String> = Vec::new();
        assert_eq!(told(&disclosed(&complete(), &[]), purpose), nothing, "{purpose}");
    }
}

#[test]
#[rustfmt::skip] // a table is read down
fn what_is_missing_is_told_once_and_at_its_place() {
    let none = Value::Null;
    let wrong_npi = json!("1234567890");
    let table: &[(&str, &Value, &[&str])] = &[
        ("Coverage/c/subscriberId", &none, &["member-id-missing Patient/p Patient.identifier"]),
        ("Coverage/c/subscriberId", &json!(" "), &["member-id-missing Patient/p Patient.identifier"]),
        ("Patient/p/name/0/family", &json!(""), &["patient-name-missing Patient/p Patient.name.family"]),
        ("Patient/p/birthDate", &none, &["patient-birth-date-missing Patient/p Patient.birthDate"]),
        ("Patient/p/gender", &none, &["patient-gender-missing Patient/p Patient.gender"]),
        ("Encounter/e/period/start", &none, &["encounter-period-missing Encounter/e Encounter.period.start"]),
        ("Encounter/e/period/end", &none, &["encounter-period-missing Encounter/e Encounter.period.end"]),
        ("Encounter/e/class", &none, &["encounter-class-missing Encounter/e Encounter.class.code"]),
        ("Encounter/e/type", &json!([{ "text": "visit" }]), &["encounter-type-missing Encounter/e Encounter.type.coding.code"]),
        ("Encounter/e/hospitalization", &none, &["encounter-disposition-missing Encounter/e Encounter.hospitalization.dischargeDisposition"]),
        ("Encounter/e/identifier", &none, &["visit-number-missing Encounter/e Encounter.identifier.value"]),
        ("Encounter/e/participant", &none, &["encounter-practitioner-missing Encounter/e Encounter.participant.individual"]),
        ("Encounter/e/participant/0/type/0/coding/0/code", &json!("ESC"), &["encounter-practitioner-missing Encounter/e Encounter.participant.individual"]),
        ("Encounter/e/participant/0/individual", &json!({ "reference": "RelatedPerson/r" }), &["encounter-practitioner-missing Encounter/e Encounter.participant.individual", "reference-dangling Encounter/e Encounter.participant[0].individual"]),
        ("Encounter/e/participant/0/individual", &json!({ "reference": "Practitioner/nurse" }), &["encounter-npi-missing Encounter/e Encounter.participant[0].individual", "practitioner-npi-missing Practitioner/nurse Practitioner.identifier"]),
        ("Encounter/e/serviceProvider", &none, &["encounter-provider-missing Encounter/e Encounter.serviceProvider"]),
        ("Condition/dx/code", &json!({ "coding": [{ "system": "http://snomed.info/sct", "code": "38341003" }] }), &["diagnosis-not-icd-10-cm Condition/dx Condition.code"]),
        ("Condition/dx/code/coding/0/code", &none, &["diagnosis-not-icd-10-cm Condition/dx Condition.code"]),
        ("Procedure/px/code", &json!({ "text": "visit" }), &["procedure-uncoded Procedure/px Procedure.code"]),
        ("Procedure/px/performedDateTime", &none, &["procedure-time-missing Procedure/px Procedure.performed"]),
        ("MedicationRequest/rx/contained/0/code", &none, &["medication-uncoded MedicationRequest/rx MedicationRequest.medication"]),
        ("MedicationRequest/rx/requester", &none, &["order-requester-missing MedicationRequest/rx MedicationRequest.requester.reference"]),
        ("Immunization/vx/vaccineCode/coding/0/system", &json!("urn:own"), &["immunization-uncoded Immunization/vx Immunization.vaccineCode"]),
        ("Immunization/vx/occurrenceDateTime", &none, &["immunization-time-missing Immunization/vx Immunization.occurrence"]),
        ("ServiceRequest/order/requester", &json!({ "display": "Dr. X" }), &["order-requester-missing ServiceRequest/order ServiceRequest.requester.reference"]),
        ("Observation/lab/valueQuantity", &none, &["result-value-missing Observation/lab Observation.value"]),
        ("Observation/lab/valueQuantity/value", &none, &["result-value-missing Observation/lab Observation.value"]),
        ("Observation/bp/component/1/valueQuantity", &none, &["result-value-missing Observation/bp Observation.component[1].value"]),
        ("Observation/lab/valueString", &json!("< 0.5 mg/dL"), &["result-number-in-words Observation/lab Observation.value"]),
        ("Observation/lab/valueQuantity", &json!({ "value": 1 }), &["result-unit-missing Observation/lab Observation.valueQuantity.code"]),
        ("Observation/lab/valueQuantity", &json!({ "value": 1, "unit": "mg/dL" }), &["result-unit-not-ucum Observation/lab Observation.valueQuantity.code"]),
        ("Observation/lab/valueQuantity/system", &json!("urn:own"), &["result-unit-not-ucum Observation/lab Observation.valueQuantity.code"]),
        ("Observation/lab/code/coding/0/system", &json!("urn:own"), &["result-code-missing Observation/lab Observation.code"]),
        ("Observation/bp/effectiveDateTime", &none, &["result-time-missing Observation/bp Observation.effective"]),
        ("Observation/lab/status", &json!("preliminary"), &["result-not-final Observation/lab Observation.status"]),
        ("Observation/bp/category", &none, &["result-category-missing Observation/bp Observation.category"]),
        ("DiagnosticReport/rep/status", &json!("registered"), &["result-not-final DiagnosticReport/rep DiagnosticReport.status"]),
        ("DiagnosticReport/rep/result", &none, &["report-empty DiagnosticReport/rep DiagnosticReport.result"]),
        ("DiagnosticReport/rep/performer", &none, &["report-performer-missing DiagnosticReport/rep DiagnosticReport.performer"]),
        ("DiagnosticReport/rep/performer/0/reference", &json!("Practitioner/d"), &["laboratory-clia-missing DiagnosticReport/rep DiagnosticReport.performer"]),
        ("DiagnosticReport/rep/category/0/coding/0/code", &json!("RAD"), &[]),
        ("DiagnosticReport/rep/result/0/reference", &json!("https://elsewhere.example/Observation/1"), &["reference-dangling DiagnosticReport/rep DiagnosticReport.result[0]"]),
        ("DocumentReference/note/type", &none, &["note-type-missing DocumentReference/note DocumentReference.type"]),
        ("DocumentReference/note/author", &none, &["note-author-missing DocumentReference/note DocumentReference.author"]),
        ("DocumentReference/note/authenticator", &none, &["note-authenticator-missing DocumentReference/note DocumentReference.authenticator"]),
        ("DocumentReference/note/docStatus", &json!("preliminary"), &["note-not-final DocumentReference/note DocumentReference.docStatus"]),
        ("DocumentReference/note/content/0/attachment/data", &none, &["note-content-missing DocumentReference/note DocumentReference.content.attachment"]),
        ("Practitioner/d/identifier", &none, &["encounter-npi-missing Encounter/e Encounter.participant[0].individual", "practitioner-npi-missing Practitioner/d Practitioner.identifier"]),
        ("Practitioner/d/identifier/0/value", &wrong_npi, &["encounter-npi-missing Encounter/e Encounter.participant[0].individual", "npi-invalid Practitioner/d Practitioner.identifier"]),
        ("Organization/h/identifier/0/value", &wrong_npi, &["npi-invalid Organization/h Organization.identifier"]),
        ("Organization/h/identifier/0", &json!({ "value": "x" }), &["organization-npi-missing Organization/h Organization.identifier"]),
        ("Organization/h/identifier/1", &json!({ "value": "x" }), &["organization-tin-missing Organization/h Organization.identifier"]),
        ("Organization/h/identifier/2", &json!({ "value": "x" }), &["laboratory-clia-missing DiagnosticReport/rep DiagnosticReport.performer"]),
    ];
    for (place, value, expected) in table {
        let disclosure = disclosed(&changed(place, value), &[]);
        assert_eq!(told(&disclosure, Purpose::Payment), *expected, "{place} as {value}");
    }
    let seen: BTreeSet<String> = table.iter().flat_map(|(_, _, told)| *told)
        .map(|told| told.split(' ').next().unwrap().to_owned()).collect();
    let all: BTreeSet<String> = FindingCode::ALL.iter().map(|word| word.to_string()).collect();
    let others: Vec<_> = all.difference(&seen).collect();
    assert_eq!(others, ["diagnosis-uncoded"], "told for treatment only");
}

#[test]
fn what_is_there_in_another_form_is_not_missing() {
    let npi = "http://hl7.org/fhir/sid/us-npi";
    #[rustfmt::skip]
    let table: &[(&str, &str, Value)] = &[
        ("a member number of the patient", "Patient/p/identifier",
            json!([{ "type": { "coding": [{ "code": "MB" }] }, "value": "W1" }])),
        ("an outpatient's disposition", "Encounter/e/class", json!({ "code": "AMB" })),
        ("a visit that goes on", "Encounter/e/status", json!("in-progress")),
        ("an account's number", "Encounter/e/identifier", json!([{ "type": { "coding": [{ "code": "AN" }] }, "value": "1" }])),
        ("a practitioner by NPI alone", "Encounter/e/participant/0/individual", json!({ "identifier": { "system": npi, "value": "1234567893" } })),
        ("an NPI by its OID", "Practitioner/d/identifier/0/system", json!("urn:oid:2.16.840.1.113883.4.6")),
        ("an NPI by its type", "Practitioner/d/identifier/0", json!({ "type": { "coding": [{ "code": "NPI" }] }, "value": "1234567893" })),
        ("a participant of any kind", "Encounter/e/participant/0", json!({ "individual": { "reference": "Practitioner/d" } })),
        ("an absolute reference", "Encounter/e/participant/0/individual/reference", json!("https://ehr.example/fhir/Practitioner/d/_history/2")),
        ("a system with a slash behind", "Condition/dx/code/coding/0/system", json!("https://hl7.org/fhir/sid/icd-10-cm/")),
        ("a diagnosis that was ruled out", "Condition/dx", json!({ "resourceType": "Condition", "id": "dx", "verificationStatus": { "coding": [{ "code": "refuted" }] } })),
        ("a patient's concern", "Condition/dx", json!({ "resourceType": "Condition", "id": "dx", "category": [{ "coding": [{ "code": "health-concern" }] }] })),
        ("a procedure that was not done", "Procedure/px/status", json!("not-done")),
        ("a vaccine that was not given", "Immunization/vx/status", json!("not-done")),
        ("no value, with a reason", "Observation/lab", json!({ "resourceType": "Observation", "id": "lab", "status": "final", "category": [{ "coding": [{ "code": "laboratory" }] }], "code": { "coding": [{ "system": "http://loinc.org", "code": "2160-0" }] }, "effectiveDateTime": "2026-01-02", "dataAbsentReason": { "text": "clotted" } })),
        ("a result in words", "Observation/lab", json!({ "resourceType": "Observation", "id": "lab", "status": "final", "category": [{ "coding": [{ "code": "laboratory" }] }], "code": { "coding": [{ "system": "http://loinc.org", "code": "2160-0" }] }, "effectivePeriod": { "start": "2026-01-02" }, "valueString": "growth of nothing" })),
        ("a panel", "Observation/bp", json!({ "resourceType": "Observation", "id": "bp", "status": "final", "category": [{ "coding": [{ "code": "vital-signs" }] }], "code": { "coding": [{ "system": "http://loinc.org", "code": "85353-1" }] }, "effectiveDateTime": "2026-01-02", "hasMember": [{ "reference": "Observation/lab" }] })),
        ("an order that was cancelled", "Observation/lab/status", json!("cancelled")),
        ("an observation of another kind", "Observation/bp", json!({ "resourceType": "Observation", "id": "bp", "status": "final", "category": [{ "coding": [{ "code": "survey" }] }], "code": { "text": "asked" } })),
        ("a note that another replaced", "DocumentReference/note", json!({ "resourceType": "DocumentReference", "id": "note", "status": "superseded", "type": { "coding": [{ "system": "http://loinc.org", "code": "1-8" }] }, "author": [{ "reference": "Practitioner/d" }], "content": [{ "attachment": { "data": "eA==" } }] })),
        ("a report's document", "DiagnosticReport/rep/result", json!([{ "reference": "Observation/bp" }])),
        ("an organization by its CLIA number", "DiagnosticReport/rep/performer", json!([{ "reference": "Practitioner/d" }, { "identifier": { "system": "urn:oid:2.16.840.1.113883.4.7", "value": "1" } }])),
    ];
    for (case, place, value) in table {
        let all = match place.split('/').count() {
            2 => {
                let mut all = complete();
                all.retain(|it| {
                    format!("{}/{}", word(it, "resourceType"), word(it, "id")) != *place
                });
                all.push(value.clone());
                all
            }
            _ => changed(place, value),
        };
        assert_eq!(told(&disclosed(&all, &[]), Purpose::Payment), Vec::<String>::new(), "{case}");
    }
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

#[test]
#[rustfmt::skip] // a table is read down
fn what_a_rule_keeps_here_is_no_fault_of_the_chart() {
    let table: &[(&str, &str, &[&str])] = &[
        ("Coverage.subscriberId", "no-member-ids", &["member-id-missing Patient/p Patient.identifier by no-member-ids"]),
        ("Patient.birthDate", "no-dates", &["patient-birth-date-missing Patient/p Patient.birthDate by no-dates"]),
        ("Patient.name", "no-names", &["patient-name-missing Patient/p Patient.name.family by no-names"]),
        ("Encounter.participant.individual", "not-agreed", &["encounter-practitioner-missing Encounter/e Encounter.participant.individual by not-agreed"]),
        ("Practitioner.identifier", "no-numbers", &["encounter-npi-missing Encounter/e Encounter.participant[0].individual by no-numbers", "practitioner-npi-missing Practitioner/d Practitioner.identifier by no-numbers"]),
        ("Condition.code.coding", "no-codes", &["diagnosis-not-icd-10-cm Condition/dx Condition.code by no-codes"]),
        ("Medication.code", "of-no-contained", &[]),
        ("MedicationRequest.medication", "no-medicines", &["medication-uncoded MedicationRequest/rx MedicationRequest.medication by no-medicines"]),
        ("Observation.value", "no-values", &["result-value-missing Observation/lab Observation.value by no-values"]),
        ("Observation.component.value", "no-values", &["result-value-missing Observation/bp Observation.component[0].value by no-values"]),
        ("DocumentReference.content", "no-texts", &["note-content-missing DocumentReference/note DocumentReference.content.attachment by no-texts"]),
        ("DocumentReference.content.attachment.data", "no-texts", &["note-content-missing DocumentReference/note DocumentReference.content.attachment by no-texts"]),
        ("DiagnosticReport.performer", "not-agreed", &["report-performer-missing DiagnosticReport/rep DiagnosticReport.performer by not-agreed"]),
        ("Patient.telecom", "not-needed", &[]),
    ];
    for (path, rule, expected) in table {
        let disclosure = disclosed(&complete(), &[(path, rule)]);
        assert_eq!(told(&disclosure, Purpose::Payment), *expected, "{path}");
        for finding in findings(&disclosure, Purpose::Payment, BASE) {
            assert_eq!(finding.actor, Mender::AgreementKeeper, "{path}");
            assert!(finding.to_string().contains(&format!("cut by rule {rule}")), "{path}");
        }
    }
}

#[test]
fn a_reference_into_nothing_is_the_interfaces_and_not_the_agreements() {
    let disclosure =
        disclosed(&complete(), &[("Encounter.participant.individual", crate::shape::UNRESOLVED)]);
    let found = findings(&disclosure, Purpose::Payment, BASE);
    let words: Vec<_> = found.iter().map(|finding| (finding.word, finding.actor)).collect();
    assert_eq!(
        words,
        [
            (FindingCode::EncounterPractitionerMissing, Mender::InterfaceTeam),
            (FindingCode::ReferenceDangling, Mender::InterfaceTeam),
        ]
    );
}

#[test]
fn a_coverage_that_may_not_travel_is_the_reason_why_the_member_is_not_named() {
    let all: Vec<_> =
        complete().into_iter().filter(|it| it["resourceType"] != "Coverage").collect();
    let table = [("member-data", Some("member-data")), (crate::shape::OTHER_PAYER, None)];
    for (rule, cut_by) in table {
        let mut disclosure = disclosed(&all, &[]);
        let (reference, reason) = ("Coverage/c".to_owned(), String::new());
        disclosure.decisions.push(Decision::Withheld { reference, rule: rule.into(), reason });
        let found = findings(&disclosure, Purpose::Payment, BASE);
        assert_eq!(found[0].word, FindingCode::MemberIdMissing, "{rule}");
        assert_eq!(found[0].cut_by.as_deref(), cut_by, "{rule}");
    }
}

#[test]
fn a_purpose_is_told_what_it_needs_and_no_more() {
    let snomed = json!({ "coding": [{ "system": "http://snomed.info/sct", "code": "38341003" }] });
    let text = json!({ "text": "high pressure" });
    let table: &[(&str, &Value, Purpose, &[&str])] = &[
        ("Condition/dx/code", &snomed, Purpose::Treatment, &[]),
        ("Condition/dx/code", &text, Purpose::Treatment, &["diagnosis-uncoded"]),
        ("Condition/dx/code", &text, Purpose::Quality, &["diagnosis-not-icd-10-cm"]),
        ("Encounter/e/identifier", &Value::Null, Purpose::Quality, &[]),
        ("Encounter/e/identifier", &Value::Null, Purpose::Coverage, &["visit-number-missing"]),
        ("DocumentReference/note/authenticator", &Value::Null, Purpose::Treatment, &[]),
    ];
    for (place, value, purpose, expected) in table {
        let found = findings(&disclosed(&changed(place, value), &[]), *purpose, BASE);
        let words: Vec<_> = found.iter().map(|finding| finding.word.slug()).collect();
        assert_eq!(words, *expected, "{place} for {purpose}");
        assert!(found.iter().all(|finding| finding.purposes.contains(purpose)));
    }
}

#[test]
fn the_same_on_three_hundred_signs_is_one_line_with_its_first_places() {
    let mut all = complete();
    let sign = all.iter().find(|it| it["id"] == "lab").unwrap().clone();
    for number in 0..300 {
        let mut other = sign.clone();
        other["id"] = json!(format!("x{number:03}"));
        other["valueQuantity"] = json!({ "value": number });
        all.push(other);
    }
    let found = findings(&disclosed(&all, &[]), Purpose::Payment, BASE);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].count, found[0].places.len()), (300, FINDING_PLACES_MAX));
    assert_eq!(
        found[0].lines(),
        [
            "result-unit-missing, 300 times: a result's number has no unit",
            "the laboratory: give the unit beside the number, as UCUM code",
            "Observation/x000 at Observation.valueQuantity.code, \
             Observation/x001 at Observation.valueQuantity.code, \
             Observation/x002 at Observation.valueQuantity.code, 297 more",
        ]
    );
    all.reverse();
    assert_eq!(findings(&disclosed(&all, &[]), Purpose::Payment, BASE), found, "in any order");
}

/// Provokes `Code::NotUsable`.
#[test]
fn a_push_is_held_by_the_words_of_its_agreement_and_by_no_other() {
    let disclosure = disclosed(&changed("Encounter/e/participant", &Value::Null), &[]);
    let found = findings(&disclosure, Purpose::Payment, BASE);
    assert_eq!(holding(&found, &[]), []);
    assert_eq!(holding(&found, &[FindingCode::MemberIdMissing]), []);
    let held = holding(&found, &[FindingCode::EncounterPractitionerMissing]);
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].code, Code::NotUsable);
    assert_eq!(held[0].expression.as_deref(), Some("Encounter.participant.individual"));
    assert_eq!(
        held[0].detail,
        "encounter-practitioner-missing, once: the encounter names nobody who attended or treated \
         the patient; registration: enter who attended or treated the patient"
    );
}

#[test]
fn no_finding_tells_a_value_of_the_chart() {
    let mut all = complete();
    for resource in &mut all {
        if let Value::Object(members) = resource {
            let kept = ["resourceType", "id", "status", "category"];
            members.retain(|name, _| kept.contains(&name.as_str()));
        }
    }
    all.extend(complete().into_iter().map(|mut it| {
        it["id"] = json!(format!("two-{}", word(&it, "id")));
        it
    }));
    let found = findings(&disclosed(&all, &[]), Purpose::Payment, BASE);
    let text = serde_json::to_string(&found).unwrap();
    for value in ["Example", "1980-02-03", "W1", "1234567893", "12-3456789", "V1"] {
        assert!(!text.contains(value), "{value}");
    }
}
