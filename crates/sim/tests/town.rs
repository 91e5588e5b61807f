//! Goal: the town is the same for the same seed, looks like US Core, and holds what was planted.
//!
//! How: a few towns of different sizes, read as JSON trees; no file, no network.

#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use sim::town::{NPI, is_npi, secrets_of};
use sim::{Chart, ChartResource, Expectation, OverlayRules, Town, TownPlan};
use std::collections::BTreeSet;

fn value(resource: &ChartResource) -> Value {
    serde_json::from_slice(&resource.bytes).unwrap()
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(members) => {
            found.extend(members.get("reference").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        _ => {}
    }
}

fn towns() -> Vec<Town> {
    let plan = |hospitals, plans, patients, encounters| TownPlan {
        hospitals,
        plans,
        patients_per_hospital: patients,
        encounters_per_patient: encounters,
    };
    let plans =
        [TownPlan::default(), plan(1, 1, 2, 1..=1), plan(6, 5, 12, 2..=6), plan(1, 3, 40, 0..=9)];
    plans.iter().enumerate().map(|(seed, plan)| Town::generate(seed as u64, plan)).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let town = |seed| Town::generate(seed, &TownPlan::default());
    assert_eq!(town(7), town(7));
    for (seven, eight) in town(7).hospitals.iter().zip(&town(8).hospitals) {
        assert_ne!(seven.chart.digest(), eight.chart.digest());
    }
}

#[test]
fn every_reference_of_a_chart_leads_to_a_resource_of_it() {
    for town in towns() {
        for hospital in &town.hospitals {
            let mut found = Vec::new();
            hospital.chart.iter().for_each(|resource| references(&value(resource), &mut found));
            assert!(!found.is_empty());
            for reference in found {
                assert!(hospital.chart.find(&reference).is_some(), "{reference}");
            }
        }
    }
}

#[test]
fn every_chart_holds_every_type_that_a_push_can_carry() {
    let town = Town::generate(1, &TownPlan { patients_per_hospital: 12, ..TownPlan::default() });
    const KINDS: [&str; 16] = [
        "AllergyIntolerance",
        "Condition",
        "Coverage",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "Immunization",
        "Location",
        "MedicationRequest",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Procedure",
        "ServiceRequest",
    ];
    for hospital in &town.hospitals {
        let kinds: BTreeSet<_> = hospital.chart.iter().map(|r| r.kind.as_str()).collect();
        assert_eq!(kinds, BTreeSet::from(KINDS));
    }
}

#[test]
fn no_resource_has_an_empty_or_null_member() {
    fn check(value: &Value, reference: &str) {
        match value {
            Value::Null => panic!("null in {reference}"),
            Value::String(text) => assert!(!text.is_empty(), "empty string in {reference}"),
            Value::Array(items) => {
                assert!(!items.is_empty(), "empty array in {reference}");
                items.iter().for_each(|item| check(item, reference));
            }
            Value::Object(members) => {
                assert!(!members.is_empty(), "empty object in {reference}");
                members.values().for_each(|member| check(member, reference));
            }
            _ => {}
        }
    }
    for town in towns() {
        for resource in town.hospitals.iter().flat_map(|hospital| hospital.chart.iter()) {
            check(&value(resource), &resource.reference());
        }
    }
}

#[test]
fn every_npi_has_its_check_digit() {
    let mut npis = Vec::new();
    for resource in towns().iter().flat_map(|town| &town.hospitals).flat_map(|h| h.chart.iter()) {
        for identifier in value(resource)["identifier"].as_array().into_iter().flatten() {
            if identifier["system"] == NPI {
                npis.push(identifier["value"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(npis.len() > 20);
    npis.iter().for_each(|npi| assert!(is_npi(npi), "{npi}"));
}

#[test]
fn decimals_keep_their_digits() {
    for hospital in &Town::generate(3, &TownPlan::default()).hospitals {
        let labs = hospital.chart.of_kind("Observation").iter();
        let texts: Vec<_> = labs.map(|lab| std::str::from_utf8(&lab.bytes).unwrap()).collect();
        let exact = texts.iter().filter(|text| text.contains("\"value\":1.00,")).count();
        assert!(exact >= hospital.patients.len(), "each patient's first creatinine is 1.00");
    }
}

#[test]
fn a_later_prescription_names_the_diagnosis_of_an_earlier_encounter() {
    let town =
        Town::generate(5, &TownPlan { encounters_per_patient: 3..=3, ..TownPlan::default() });
    let chart = &town.hospitals[0].chart;
    let across = chart.of_kind("MedicationRequest").iter().map(value).filter(|request| {
        let reason = request["reasonReference"][0]["reference"].as_str().unwrap();
        value(chart.find(reason).unwrap())["encounter"] != request["encounter"]
    });
    assert_eq!(across.count(), 2 * town.hospitals[0].patients.len());
}

#[test]
fn encounters_are_finished_in_order_and_a_few_are_in_progress() {
    let town = Town::generate(11, &TownPlan { patients_per_hospital: 8, ..TownPlan::default() });
    for hospital in &town.hospitals {
        let encounters: Vec<_> = hospital.chart.of_kind("Encounter").iter().map(value).collect();
        let open: Vec<_> = encounters.iter().filter(|e| e["status"] == "in-progress").collect();
        assert_eq!(open.len(), 2, "every fourth patient has one");
        assert!(open.iter().all(|encounter| encounter["period"].get("end").is_none()));
        for person in &hospital.patients {
            let own = encounters.iter().filter(|e| e["subject"]["reference"] == person.reference());
            let starts: Vec<_> =
                own.map(|e| e["period"]["start"].as_str().unwrap().to_owned()).collect();
            assert!(starts.is_sorted(), "{}: {starts:?}", person.id);
            assert!(person.birth_date < starts[0]);
        }
    }
}

#[test]
fn the_planted_restriction_is_on_one_finished_encounter_of_a_patient_who_has_more() {
    for town in towns() {
        let planted = town.planted_restriction.as_ref().unwrap();
        let hospital = &town.hospitals[planted.hospital];
        assert!(hospital.restrictions.iter().any(|r| r.subject == planted.encounter));
        assert_eq!(hospital.restrictions[0].reason, "self-pay");
        let encounter = value(hospital.chart.find(&planted.encounter).unwrap());
        assert_eq!(encounter["status"], "finished");
        assert_eq!(encounter["subject"]["reference"], planted.patient.as_str());
        let finished = hospital.chart.of_kind("Encounter").iter().map(value).filter(|e| {
            e["subject"]["reference"] == planted.patient.as_str() && e["status"] == "finished"
        });
        assert!(finished.count() >= 2);
    }
}

#[test]
fn the_unknown_member_is_on_a_coverage_and_in_no_member_file() {
    for town in towns() {
        let planted = town.planted_unknown_member.as_ref().unwrap();
        let coverages =
            town.hospitals[planted.hospital].chart.of_kind("Coverage").iter().map(value);
        let named = coverages.filter(|coverage| {
            coverage["subscriberId"] == planted.member_id.as_str()
                && coverage["identifier"][0]["value"] == planted.member_id.as_str()
                && coverage["beneficiary"]["reference"] == planted.patient.as_str()
        });
        assert_eq!(named.count(), 1);
        let files = town.plans.iter().map(sim::town::Plan::member_file).collect::<String>();
        assert!(!files.contains(&planted.member_id));
        let chart = &town.hospitals[planted.hospital].chart;
        let finished = chart.of_kind("Encounter").iter().map(value).any(|encounter| {
            encounter["subject"]["reference"] == planted.patient.as_str()
                && encounter["status"] == "finished"
        });
        assert!(finished, "there is a push for the plan to hold");
        let restriction = town.planted_restriction.as_ref().unwrap();
        let same =
            (restriction.hospital, &restriction.patient) == (planted.hospital, &planted.patient);
        assert!(!same, "the two are planted on different people");
    }
}

#[test]
fn every_other_member_id_stands_in_its_plans_file_once() {
    for town in towns() {
        let unknown = &town.planted_unknown_member.as_ref().unwrap().member_id;
        let mut ids = BTreeSet::new();
        for plan in &town.plans {
            let file = plan.member_file();
            assert_eq!(file.lines().next(), Some("member_id,family,given,birth_date,gender"));
            assert_eq!(file.lines().count(), plan.members.len() + 1);
            for row in &plan.members {
                assert!(ids.insert(row.member_id.clone()), "a member id came twice");
            }
        }
        for person in town.hospitals.iter().flat_map(|hospital| &hospital.patients) {
            for (plan, id) in &person.memberships {
                let listed = town.plans[*plan].members.iter().any(|row| &row.member_id == id);
                assert_eq!(listed, id != unknown);
            }
        }
    }
}

#[test]
fn secrets_read_from_the_chart_are_those_of_the_person() {
    let town = Town::generate(2, &TownPlan::default());
    for hospital in &town.hospitals {
        for person in &hospital.patients {
            let mut secrets = person.secrets();
            secrets.sort();
            assert_eq!(secrets_of(&hospital.chart, &person.reference()), secrets);
        }
    }
    assert!(secrets_of(&Chart::default(), "Patient/nobody").is_empty());
}

#[test]
fn what_is_expected_of_the_town_names_both_planted_cases() {
    let town = Town::generate(1, &TownPlan::default());
    let restriction = town.planted_restriction.as_ref().unwrap();
    let unknown = town.planted_unknown_member.as_ref().unwrap();
    for (number, hospital) in town.hospitals.iter().enumerate() {
        let rules = OverlayRules::usual().with_restrictions(&hospital.restrictions);
        let expectation = Expectation::compute(&hospital.chart, &town.plans, &rules);
        assert_eq!(expectation.without_payer, 0);
        let withheld = |payer: &sim::overlay::PayerExpectation| {
            payer.pushes_withheld.contains(&restriction.encounter)
        };
        assert_eq!(expectation.payers.iter().any(withheld), number == restriction.hospital);
        let held = expectation.payers.iter().filter(|payer| payer.held.contains(&unknown.patient));
        assert_eq!(held.count(), usize::from(number == unknown.hospital));
    }
}
