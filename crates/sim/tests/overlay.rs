//! Goal: the expectation says of every resource exactly one thing, and the right one.
//!
//! How: one small chart written out below, where each rule bites once; then whole towns, of which
//! only what must always hold is asserted.

#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use sim::overlay::{Amendment, PayerExpectation, Reason};
use sim::town::{NAIC, NPI, PayerId, Plan, is_npi};
use sim::{Chart, ChartResource, Expectation, Overlay, OverlayRules, Town, TownPlan};
use std::collections::BTreeSet;

fn plan(name: &str, value: &str) -> Plan {
    let payer_id = PayerId { system: NAIC.to_owned(), value: value.to_owned() };
    Plan { name: name.to_owned(), payer_id, members: Vec::new() }
}

fn chart(resources: &[Value]) -> Chart {
    let one = |value: &Value| ChartResource {
        kind: value["resourceType"].as_str().unwrap().to_owned(),
        id: value["id"].as_str().unwrap().to_owned(),
        bytes: value.to_string().into(),
    };
    Chart::new(resources.iter().map(one).collect()).unwrap()
}

fn to(reference: &str) -> Value {
    json!({ "reference": reference })
}

fn encounter(id: &str, status: &str, condition: &str) -> Value {
    json!({
        "resourceType": "Encounter", "id": id, "status": status, "subject": to("Patient/p"),
        "diagnosis": [{ "condition": to(condition) }],
        "participant": [{ "individual": to("Practitioner/dr") }],
    })
}

fn of(kind: &str, id: &str, encounter: &str) -> Value {
    json!({
        "resourceType": kind, "id": id, "status": "final", "subject": to("Patient/p"),
        "encounter": to(encounter),
    })
}

/// Three encounters: `now` refers to `before` by a diagnosis, `hush` is restricted, `open` is not
/// finished.
fn small_chart() -> Chart {
    let mut request = of("MedicationRequest", "m", "Encounter/now");
    request["reasonReference"] =
        json!([to("Condition/old"), to("Condition/hush"), to("Condition/gone")]);
    let mut order = of("ServiceRequest", "s", "Encounter/now");
    order["insurance"] = json!([to("Coverage/one"), to("Coverage/two")]);
    let mut observation = of("Observation", "o", "Encounter/now");
    observation["category"] = json!([{ "coding": [{ "code": "laboratory" }] }]);
    observation["device"] = to("Device/d");
    observation["focus"] =
        json!([to("#in"), to("https://else.example/Patient/9"), to("Patient/p/_history/2")]);
    observation["valueQuantity"] =
        serde_json::from_str(r#"{"value":1.09,"unit":"mg/dL"}"#).unwrap();
    let payor = |id: &str, value: &str| {
        json!({ "resourceType": "Organization", "id": id,
            "identifier": [{ "system": NAIC, "value": value }] })
    };
    let coverage = |id: &str, member: &str, payor: &str| {
        json!({ "resourceType": "Coverage", "id": id, "subscriberId": member,
            "beneficiary": to("Patient/p"), "payor": [to(payor)] })
    };
    chart(&[
        json!({ "resourceType": "Patient", "id": "p" }),
        json!({ "resourceType": "Practitioner", "id": "dr" }),
        json!({ "resourceType": "Device", "id": "d", "owner": to("Organization/maker") }),
        json!({ "resourceType": "Organization", "id": "maker" }),
        payor("pay1", "1"),
        payor("pay2", "2"),
        coverage("one", "M1", "Organization/pay1"),
        coverage("two", "M2", "Organization/pay2"),
        encounter("now", "finished", "Condition/new"),
        encounter("before", "finished", "Condition/old"),
        encounter("hush", "finished", "Condition/hush"),
        encounter("open", "in-progress", "Condition/open"),
        of("Condition", "new", "Encounter/now"),
        of("Condition", "old", "Encounter/before"),
        of("Condition", "hush", "Encounter/hush"),
        of("Condition", "open", "Encounter/open"),
        request,
        order,
        observation,
        of("Claim", "c", "Encounter/now"),
        json!({
            "resourceType": "DocumentReference", "id": "doc", "subject": to("Patient/p"),
            "context": { "encounter": [to("Encounter/now"), to("Encounter/hush")] },
        }),
        json!({
            "resourceType": "MedicationAdministration", "id": "adm", "subject": to("Patient/p"),
            "context": to("Encounter/before"), "medicationReference": to("Medication/drug"),
        }),
        json!({ "resourceType": "Medication", "id": "drug" }),
    ])
}

fn small_rules() -> OverlayRules {
    let mut rules = OverlayRules::usual();
    rules.restricted.insert("Encounter/hush".to_owned());
    // Naming them does not help: what is billed never travels.
    rules.asked.insert("Claim".to_owned());
    rules.permitted.insert("Claim".to_owned());
    rules
}

fn known(mut plan: Plan, member_id: &str) -> Plan {
    let text = String::new;
    let (member_id, gender) = (member_id.to_owned(), text());
    let row = sim::town::MemberRow {
        member_id,
        family: text(),
        given: text(),
        birth_date: text(),
        gender,
    };
    plan.members.push(row);
    plan
}

fn set(references: &[&str]) -> BTreeSet<String> {
    references.iter().map(|reference| (*reference).to_owned()).collect()
}

#[test]
fn each_rule_of_the_small_chart_bites_where_it_should() {
    let chart = small_chart();
    let plans = [known(plan("one", "1"), "M1"), plan("two", "2"), plan("three", "3")];
    let expectation = Expectation::compute(&chart, &plans, &small_rules());

    let one = expectation.payer("one").unwrap();
    let always = [
        "Condition/old",
        "Coverage/one",
        "Encounter/before",
        "Organization/pay1",
        "Patient/p",
        "Practitioner/dr",
    ];
    let before = set(&[&always[..], &["Medication/drug", "MedicationAdministration/adm"]].concat());
    let now = set(&[
        &always[..],
        &[
            "Condition/new",
            "Encounter/now",
            "MedicationRequest/m",
            "Observation/o",
            "ServiceRequest/s",
        ],
    ]
    .concat());
    assert_eq!(one.pushes.keys().collect::<Vec<_>>(), ["Encounter/before", "Encounter/now"]);
    assert_eq!(one.pushes["Encounter/before"], before);
    assert_eq!(one.pushes["Encounter/now"], now);
    assert_eq!(one.pushes_withheld, set(&["Encounter/hush"]));
    assert_eq!(one.filed, now.union(&before).cloned().collect());
    assert!(one.held.is_empty() && one.pushes_held.is_empty());
    let withheld: Vec<_> =
        one.withheld.iter().map(|(what, why)| (what.as_str(), why.name())).collect();
    assert_eq!(
        withheld,
        [
            ("Condition/hush", "patient-restriction"),
            ("Coverage/two", "other-payer"),
            ("Device/d", "not-agreed"),
            ("DocumentReference/doc", "patient-restriction"),
            ("Encounter/hush", "patient-restriction"),
        ]
    );
    assert_eq!(one.unresolved, set(&["Condition/gone"]));
    // Claim, open Encounter and its Condition, the device's maker, the other payer.
    assert_eq!(one.not_asked, 5);

    let two = expectation.payer("two").unwrap();
    assert!(two.filed.is_empty(), "its member file does not know the member");
    assert_eq!(two.pushes_held, set(&["Encounter/before", "Encounter/now"]));
    assert!(two.held.contains("Coverage/two") && !two.held.contains("Coverage/one"));
    assert_eq!(two.withheld["Coverage/one"], Reason::OtherPayer);

    let three = expectation.payer("three").unwrap();
    assert!(three.pushes.is_empty() && three.withheld.is_empty());
    assert_eq!(three.not_asked, chart.len());
}

#[test]
fn an_amended_result_changes_the_pushes_that_carry_it_and_no_other() {
    let chart = small_chart();
    let plans = [known(plan("one", "1"), "M1"), plan("two", "2")];
    let expectation = Expectation::compute(&chart, &plans, &small_rules());
    let amendment = Amendment::first_laboratory_result(&chart, &expectation).unwrap();
    assert_eq!(amendment.observation, "Observation/o");
    assert_eq!(amendment.pushes["one"], ["Encounter/now"]);
    let before = String::from_utf8(chart.find("Observation/o").unwrap().bytes.to_vec()).unwrap();
    let after = before.replace(r#""final""#, r#""amended""#).replace("1.09", "1.00");
    assert_eq!(amendment.amended.bytes, after.as_bytes());
    let changed = chart.iter().zip(&amendment.chart).filter(|(old, new)| old != new).count();
    assert_eq!((changed, chart.len()), (1, amendment.chart.len()));
}

#[test]
fn the_overlay_adds_what_is_missing_and_nothing_twice() {
    let bare = chart(&[
        json!({ "resourceType": "Patient", "id": "a", "birthDate": "1950-02-03", "gender": "other",
            "name": [{ "family": "Wobblestone", "given": ["Ismeraud", "B."] }] }),
        json!({ "resourceType": "Patient", "id": "b" }),
        json!({ "resourceType": "Patient", "id": "c" }),
        json!({ "resourceType": "Organization", "id": "none", "name": "x" }),
        json!({ "resourceType": "Organization", "id": "some", "identifier": [{ "value": "1" }] }),
        json!({ "resourceType": "Practitioner", "id": "has", "identifier": [{ "system": NPI, "value": "9" }] }),
        encounter("e1", "finished", "Condition/x"),
    ]);
    let overlay = Overlay { plans: vec![plan("one", "1"), plan("two", "2")], restrict_every: None };
    let rules = OverlayRules::usual();
    let overlaid = overlay.apply(&bare, &rules).unwrap();
    assert_eq!(overlaid, overlay.apply(&bare, &rules).unwrap(), "the same every time");
    let members: Vec<_> = overlaid.plans.iter().map(|plan| plan.members.len()).collect();
    assert_eq!(members, [2, 1], "patients are dealt out in turn");
    let row = overlaid.plans[0].members.iter().find(|row| row.family == "Wobblestone").unwrap();
    assert_eq!((row.given.as_str(), row.birth_date.as_str()), ("Ismeraud", "1950-02-03"));
    assert_eq!(overlaid.chart.of_kind("Coverage").len(), 3);
    assert_eq!(overlaid.chart.get("Practitioner", "has"), bare.get("Practitioner", "has"));
    for id in ["none", "some"] {
        let bytes = &overlaid.chart.get("Organization", id).unwrap().bytes;
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let last = value["identifier"].as_array().unwrap().last().unwrap();
        assert_eq!(last["system"], NPI);
        assert!(is_npi(last["value"].as_str().unwrap()));
    }
    let again = overlay.apply(&overlaid.chart, &rules).unwrap();
    assert_eq!(again.chart.digest(), overlaid.chart.digest(), "what is there is not added again");
}

/// What must hold for every chart and payer, whatever the rules.
fn check(chart: &Chart, rules: &OverlayRules, payer: &PayerExpectation) {
    let all: BTreeSet<_> = chart.iter().map(ChartResource::reference).collect();
    let withheld: BTreeSet<_> = payer.withheld.keys().cloned().collect();
    assert!(payer.filed.is_disjoint(&withheld), "filed and withheld");
    assert!(payer.held.is_disjoint(&withheld), "held and withheld");
    assert!(payer.filed.is_disjoint(&payer.held), "filed and held");
    let near = payer.filed.len() + payer.held.len() + withheld.len();
    assert_eq!(near + payer.not_asked, all.len(), "each resource is counted once");
    for reference in payer.filed.iter().chain(&payer.held).chain(&withheld) {
        assert!(all.contains(reference));
    }
    for reference in payer.filed.iter().chain(&payer.held) {
        let kind = reference.split('/').next().unwrap();
        assert!(rules.permitted.contains(kind), "{kind} was not permitted");
        assert!(!rules.restricted.contains(reference), "a restricted encounter travels");
        let resource = chart.find(reference).unwrap();
        let text = std::str::from_utf8(&resource.bytes).unwrap();
        let value: Value = serde_json::from_str(text).unwrap();
        for own in [&value["encounter"], &value["context"], &value["context"]["encounter"][0]] {
            let own = own["reference"].as_str().unwrap_or_default();
            assert!(!rules.restricted.contains(own), "linked to a restricted encounter");
        }
    }
    // Asked for means accounted for: whatever belongs to a pushed encounter is somewhere.
    for kind in &rules.asked {
        for resource in chart.of_kind(kind) {
            let value: Value = serde_json::from_slice(&resource.bytes).unwrap();
            let own = value["encounter"]["reference"].as_str().unwrap_or_default();
            if payer.pushes.contains_key(own) || payer.pushes_withheld.contains(own) {
                let reference = resource.reference();
                let accounted = payer.filed.contains(&reference)
                    || payer.held.contains(&reference)
                    || payer.withheld.contains_key(&reference);
                assert!(accounted, "{kind} of a pushed encounter is lost");
            }
        }
    }
}

#[test]
fn in_whole_towns_every_resource_is_counted_exactly_once() {
    for seed in 0..6 {
        let town = Town::generate(
            seed,
            &TownPlan { plans: 3, patients_per_hospital: 9, ..TownPlan::default() },
        );
        for hospital in &town.hospitals {
            for every in [None, Some(2), Some(3)] {
                let rules = OverlayRules::usual().with_restrictions(&hospital.restrictions);
                let overlay = Overlay { plans: town.plans.clone(), restrict_every: every };
                let overlaid = overlay.apply(&hospital.chart, &rules).unwrap();
                let rules = rules.with_restrictions(&overlaid.restrictions);
                for payer in &overlaid.expectation.payers {
                    check(&overlaid.chart, &rules, payer);
                }
            }
        }
    }
}

#[test]
fn the_table_has_a_line_per_payer() {
    let town = Town::generate(1, &TownPlan::default());
    let chart = &town.hospitals[0].chart;
    let table = Expectation::compute(chart, &town.plans, &OverlayRules::usual()).to_string();
    assert_eq!(table.lines().count(), 1 + town.plans.len());
    assert!(town.plans.iter().all(|plan| table.contains(&plan.name)), "{table}");
}
