//! Person: an invented patient, and the strings that must never be seen outside the chart.
//!
//! Comes in   a die; or a chart and a patient's reference, for `secrets_of`.
//! Goes out   a Patient and its Coverages; a line for the member file; the list of secrets.
//! Never      a name or number that could be somebody's.

use super::dice::Dice;
use super::house::{House, profile};
use super::words::{ALLERGIES, FAMILIES, GIVEN_FEMALE, GIVEN_MALE, RACES, STREETS};
use super::{Draft, MemberRow, Plan};
use crate::chart::Chart;
use serde_json::{Value, json};

/// One invented patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The logical id of the Patient in the hospital's chart.
    pub id: String,
    /// The hospital's record number.
    pub mrn: String,
    /// A Social Security number of a range that is given to nobody.
    pub ssn: String,
    /// Family name.
    pub family: String,
    /// Given name.
    pub given: String,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// FHIR administrative gender.
    pub gender: String,
    /// Telephone.
    pub telephone: String,
    /// Electronic mail.
    pub email: String,
    /// Street and number.
    pub street: String,
    /// Index into the town's plans and the member id there, first coverage first.
    pub memberships: Vec<(usize, String)>,
}

impl Person {
    pub(super) fn invent(
        dice: &mut Dice,
        hospital: usize,
        place: usize,
        slug: &str,
        plans: usize,
        coverages: usize,
    ) -> Person {
        let female = dice.below(2) == 0;
        let given = if female { *dice.pick(&GIVEN_FEMALE) } else { *dice.pick(&GIVEN_MALE) };
        // Numbers lead with the place, so that no two people of a town share one.
        let number = hospital * 10_000 + place;
        Person {
            id: format!("pat-{:05}", place + 1),
            mrn: format!("MRN{:04}{number:06}", dice.below(10_000)),
            ssn: format!("999-{:02}-{place:04}", 10 + hospital % 90),
            family: (*dice.pick(&FAMILIES)).to_owned(),
            given: given.to_owned(),
            birth_date: format!(
                "{}-{:02}-{:02}",
                dice.between(1938, 2012),
                dice.between(1, 12),
                dice.between(1, 28)
            ),
            gender: if female { "female" } else { "male" }.to_owned(),
            telephone: format!("555-{:03}-{:04}", dice.between(100, 999), dice.below(10_000)),
            email: format!("resident{}.{number}@{slug}.example", dice.below(1000)),
            street: format!("{} {}", dice.between(2, 998), dice.pick(&STREETS)),
            memberships: (0..coverages.min(plans))
                .map(|which| {
                    (
                        (place + hospital + which) % plans,
                        format!("M{which}{number:06}{:03}", dice.below(1000)),
                    )
                })
                .collect(),
        }
    }

    /// `Patient/<id>`.
    pub fn reference(&self) -> String {
        format!("Patient/{}", self.id)
    }

    /// Every string that tells who this is: none may appear in a log, message or error.
    pub fn secrets(&self) -> Vec<String> {
        let own = [
            &self.family,
            &self.given,
            &self.mrn,
            &self.ssn,
            &self.birth_date,
            &self.telephone,
            &self.email,
            &self.street,
        ];
        own.into_iter().chain(self.memberships.iter().map(|(_, id)| id)).cloned().collect()
    }

    /// The line of a plan's member file that knows this person under a member id.
    pub fn member_row(&self, member_id: &str) -> MemberRow {
        MemberRow {
            member_id: member_id.to_owned(),
            family: self.family.clone(),
            given: self.given.clone(),
            birth_date: self.birth_date.clone(),
            gender: self.gender.clone(),
        }
    }
}

impl Person {
    /// Adds the Patient, an allergy for some, and the Coverages, whose references it returns.
    pub(super) fn chart(
        &self,
        draft: &mut Draft,
        slug: &str,
        plans: &[Plan],
        house: &House,
    ) -> Vec<String> {
        draft.add(self.patient(slug));
        let memberships = self.memberships.iter().enumerate();
        memberships
            .filter_map(|(place, (plan, member_id))| {
                let (plan, payer) = (plans.get(*plan)?, house.payers.get(*plan)?);
                let id = draft.id("cov");
                let number = &plan.payer_id.value;
                Some(draft.add(coverage(
                    &id,
                    place + 1,
                    member_id,
                    number,
                    &self.reference(),
                    payer,
                )))
            })
            .collect()
    }

    fn patient(&self, slug: &str) -> Value {
        let race = RACES[self.mrn.bytes().map(usize::from).sum::<usize>() % RACES.len()];
        let (race_code, race_display) = race;
        json!({
            "resourceType": "Patient",
            "id": self.id,
            "meta": profile("us-core-patient"),
            "extension": [
                omb("us-core-race", race_code, race_display),
                omb("us-core-ethnicity", "2186-5", "Not Hispanic or Latino"),
                {
                    "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex",
                    "valueCode": if self.gender == "female" { "F" } else { "M" },
                },
            ],
            "identifier": [
                identifier("MR", &format!("https://{slug}.example/mrn"), &self.mrn),
                identifier("SS", "http://hl7.org/fhir/sid/us-ssn", &self.ssn),
            ],
            "active": true,
            "name": [{ "use": "official", "family": self.family, "given": [self.given] }],
            "telecom": [
                { "system": "phone", "value": self.telephone, "use": "home" },
                { "system": "email", "value": self.email },
            ],
            "gender": self.gender,
            "birthDate": self.birth_date,
            "address": [{
                "use": "home", "line": [self.street], "city": "Nowhereton", "state": "MA",
                "postalCode": "00001", "country": "US",
            }],
            "communication": [{ "language": { "coding": [{
                "system": "urn:ietf:bcp:47", "code": "en-US", "display": "English (United States)",
            }] } }],
        })
    }

    /// An allergy, recorded at an encounter or at none.
    pub(super) fn allergy(&self, id: &str, place: usize, encounter: Option<&str>) -> Value {
        let (code, display) = ALLERGIES[place % ALLERGIES.len()];
        let mut allergy = json!({
            "resourceType": "AllergyIntolerance",
            "id": id,
            "meta": profile("us-core-allergyintolerance"),
            "clinicalStatus": { "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                "code": "active",
            }] },
            "verificationStatus": { "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
                "code": "confirmed",
            }] },
            "code": { "coding": [{
                "system": "http://snomed.info/sct", "code": code, "display": display,
            }] },
            "patient": { "reference": self.reference() },
        });
        if let Some(encounter) = encounter {
            allergy["encounter"] = json!({ "reference": encounter });
        }
        allergy
    }
}

fn identifier(code: &str, system: &str, value: &str) -> Value {
    json!({
        "type": { "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code,
        }] },
        "system": system,
        "value": value,
    })
}

fn omb(name: &str, code: &str, display: &str) -> Value {
    json!({
        "url": format!("http://hl7.org/fhir/us/core/StructureDefinition/{name}"),
        "extension": [
            {
                "url": "ombCategory",
                "valueCoding": {
                    "system": "urn:oid:2.16.840.1.113883.6.238", "code": code, "display": display,
                },
            },
            { "url": "text", "valueString": display },
        ],
    })
}

/// A Coverage in the shape of US Core 6.1 and HRex 1.0: member id both as identifier of type MB
/// and as `subscriberId`, the payer by reference, group and plan as classes. It began before any
/// encounter of any chart, because a plan that did not cover the day is another test.
pub(crate) fn coverage(
    id: &str,
    order: usize,
    member_id: &str,
    plan_number: &str,
    patient: &str,
    payer: &str,
) -> Value {
    let class = |code: &str, value: String| {
        json!({
            "type": { "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/coverage-class", "code": code,
            }] },
            "value": value,
        })
    };
    json!({
        "resourceType": "Coverage",
        "id": id,
        "meta": profile("us-core-coverage"),
        "identifier": [identifier(
            "MB", &format!("https://plan-{plan_number}.example/member-id"), member_id,
        )],
        "status": "active",
        "type": { "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIP",
            "display": "health insurance plan policy",
        }] },
        "subscriberId": member_id,
        "beneficiary": { "reference": patient },
        "relationship": { "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "self",
        }] },
        "period": { "start": "1900-01-01" },
        "payor": [{ "reference": payer }],
        "class": [
            class("group", format!("G-{plan_number}")),
            class("plan", format!("P-{plan_number}")),
        ],
        "order": order,
    })
}

/// The secrets of a patient of any chart, `Patient/<id>`: names, identifiers, telecom, street and
/// birth date of the Patient, and the member ids of its Coverages. Sorted, each once.
pub fn secrets_of(chart: &Chart, patient: &str) -> Vec<String> {
    const PLACES: [&str; 6] = [
        "name/*/family",
        "name/*/given/*",
        "identifier/*/value",
        "telecom/*/value",
        "address/*/line/*",
        "birthDate",
    ];
    let mut secrets = Vec::new();
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    if let Some(resource) = chart.find(patient) {
        let value = read(&resource.bytes);
        for place in PLACES {
            strings_at(&value, place, &mut secrets);
        }
    }
    for coverage in chart.of_kind("Coverage") {
        let value = read(&coverage.bytes);
        if value["beneficiary"]["reference"] == patient {
            strings_at(&value, "subscriberId", &mut secrets);
            strings_at(&value, "identifier/*/value", &mut secrets);
        }
    }
    secrets.sort();
    secrets.dedup();
    secrets
}

/// The strings at a path of members, where `*` stands for every element of an array.
fn strings_at(value: &Value, path: &str, found: &mut Vec<String>) {
    if path.is_empty() {
        found.extend(value.as_str().map(str::to_owned));
        return;
    }
    let (step, rest) = path.split_once('/').unwrap_or((path, ""));
    match (step, value) {
        ("*", Value::Array(items)) => items.iter().for_each(|item| strings_at(item, rest, found)),
        (_, Value::Object(members)) => {
            members.get(step).into_iter().for_each(|member| strings_at(member, rest, found));
        }
        _ => {}
    }
}
