//! Goal: the expectation says of every resource exactly one thing, and the right one.
//!
//! How: one small chart written out below, where each rule bites once; then whole towns, of which
//! only what must always hold is asserted.

#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::{Value, json};
use sim::overlay::{Amendment, Each, PayerExpectation, PushKind, Reason, Unagreed};
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
    let overlay = Overlay { plans: vec![plan("one", "1"), plan("two", "2")], ..Overlay::default() };
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
                let overlay = Overlay {
                    plans: town.plans.clone(),
                    restrict_every: every,
                    ..Overlay::default()
                };
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

fn finished(id: &str, start: &str, end: &str) -> Value {
    let mut encounter = encounter(id, "finished", "Condition/none");
    encounter["period"] = json!({ "start": start, "end": end });
    encounter.as_object_mut().unwrap().remove("diagnosis");
    encounter
}

fn result(id: &str, when: &str) -> Value {
    let mut result = of("Observation", id, "Encounter/none");
    result.as_object_mut().unwrap().remove("encounter");
    result["category"] = json!([{ "coding": [{ "code": "laboratory" }] }]);
    result["effectiveDateTime"] = json!(when);
    result
}

/// Two visits of one day, one of another day that is restricted; results that name none of them.
fn unlinked_chart() -> Chart {
    let mut report = result("r", "2026-03-09");
    report["resourceType"] = json!("DiagnosticReport");
    report["basedOn"] = json!([to("ServiceRequest/s")]);
    report["result"] = json!([to("Observation/listed")]);
    let mut hushed = result("hushed-report", "2026-08-01");
    hushed["resourceType"] = json!("DiagnosticReport");
    hushed["result"] = json!([to("Observation/hushed-link")]);
    let letter = json!({
        "resourceType": "DocumentReference", "id": "letter", "subject": to("Patient/p"),
        "content": [{ "attachment": { "data": "eA==" } }],
        "context": { "encounter": [to("Encounter/late")], "period": { "start": "2026-05-01" } },
    });
    let mut hushed_link = result("hushed-link", "2026-08-01");
    hushed_link["encounter"] = to("Encounter/hush");
    let mut in_error = of("Observation", "wrong", "Encounter/early");
    in_error["status"] = json!("entered-in-error");
    chart(&[
        json!({ "resourceType": "Patient", "id": "p" }),
        json!({ "resourceType": "Practitioner", "id": "dr" }),
        json!({ "resourceType": "Organization", "id": "pay1",
            "identifier": [{ "system": NAIC, "value": "1" }] }),
        json!({ "resourceType": "Coverage", "id": "one", "subscriberId": "M1",
            "beneficiary": to("Patient/p"), "payor": [to("Organization/pay1")] }),
        finished("early", "2026-03-01T09:00:00-05:00", "2026-03-01T10:00:00-05:00"),
        finished("late", "2026-03-01T15:00:00-05:00", "2026-03-01T16:00:00-05:00"),
        finished("hush", "2026-05-01T09:00:00-05:00", "2026-05-01T10:00:00-05:00"),
        of("ServiceRequest", "s", "Encounter/early"),
        report,
        result("listed", "2026-03-09"),
        // Written in another offset: half past nine of the early visit.
        result("at-early", "2026-03-01T14:30:00Z"),
        result("on-the-day", "2026-03-01T12:00:00-05:00"),
        result("of-the-month", "2026-03"),
        result("never", "2026-07-01"),
        result("hushed", "2026-05-01T09:30:00-05:00"),
        hushed_link,
        hushed,
        letter,
        in_error,
    ])
}

#[test]
fn what_names_no_encounter_belongs_to_one_by_order_or_by_date() {
    let chart = unlinked_chart();
    let plans = [known(plan("one", "1"), "M1")];
    let mut rules = OverlayRules::usual();
    rules.kinds = PushKind::ALL.to_vec();
    rules.history = rules.asked.clone();
    rules.restricted = set(&["Encounter/hush"]);
    (rules.opaque, rules.in_error) = (true, true);
    let expectation = Expectation::compute(&chart, &plans, &rules);

    let belongs = |encounter: &str| -> Vec<(String, &str)> {
        let all = &expectation.belongs[encounter];
        all.iter().map(|(one, how)| (one.clone(), how.word())).collect()
    };
    let early = [
        ("DiagnosticReport/r", "order"),
        ("Observation/at-early", "date"),
        ("Observation/listed", "order"),
        ("Observation/on-the-day", "date"),
        ("Observation/wrong", "link"),
        ("ServiceRequest/s", "link"),
    ];
    assert_eq!(belongs("Encounter/early"), early.map(|(one, how)| (one.to_owned(), how)));
    let late = [("DocumentReference/letter", "link"), ("Observation/on-the-day", "date")];
    assert_eq!(belongs("Encounter/late"), late.map(|(one, how)| (one.to_owned(), how)));

    let one = &expectation.payers[0];
    let withheld: Vec<_> =
        one.withheld.iter().map(|(what, why)| (what.as_str(), why.name())).collect();
    assert_eq!(
        withheld,
        [
            ("DiagnosticReport/hushed-report", "patient-restriction"),
            ("DocumentReference/letter", "opaque-in-sensitive-period"),
            ("Encounter/hush", "patient-restriction"),
            ("Observation/hushed", "patient-restriction"),
            ("Observation/hushed-link", "patient-restriction"),
            ("Observation/wrong", "entered-in-error"),
        ]
    );
    assert_eq!(one.subjects(PushKind::Results), set(&["DiagnosticReport/r"]));
    assert_eq!(one.subjects(PushKind::History), set(&["Patient/p"]));
    // It belongs to no visit and is no report's: only the history has it.
    let with_never = one.pushes.iter().filter(|(_, has)| has.contains("Observation/never"));
    assert_eq!(with_never.map(|(subject, _)| subject.as_str()).collect::<Vec<_>>(), ["Patient/p"]);
    assert!(one.pushes["DiagnosticReport/r"].contains("Encounter/early"), "its order leads there");
    assert!(!one.pushes["DiagnosticReport/r"].contains("Observation/at-early"));

    rules.since = Some("2026-06-01".to_owned());
    rules.kinds = vec![PushKind::History];
    let one = &Expectation::compute(&chart, &plans, &rules).payers[0];
    assert!(one.filed.contains("Observation/never"));
    assert_eq!(one.withheld["Observation/listed"], Reason::OutsideWindow);
    assert_eq!(one.withheld["Observation/hushed"], Reason::PatientRestriction);
}

#[test]
fn both_plans_cover_everybody_and_a_third_one_some() {
    let town =
        Town::generate(3, &TownPlan { plans: 0, patients_per_hospital: 6, ..TownPlan::default() });
    let chart = &town.hospitals[0].chart;
    let overlay = Overlay {
        plans: vec![plan("one", "1"), plan("two", "2")],
        coverages: Each::All,
        unagreed: Some(Unagreed { plan: plan("stranger", "3"), every: 3 }),
        ..Overlay::default()
    };
    let rules = OverlayRules::usual();
    let overlaid = overlay.apply(chart, &rules).unwrap();
    assert_eq!(overlaid, overlay.apply(chart, &rules).unwrap(), "the same every time");
    assert_eq!(overlaid.chart.of_kind("Coverage").len(), 6 + 6 + 2);
    let mut firsts = BTreeSet::new();
    for patient in chart.of_kind("Patient") {
        let mut orders = Vec::new();
        for coverage in overlaid.chart.of_kind("Coverage") {
            let value: Value = serde_json::from_slice(&coverage.bytes).unwrap();
            if value["beneficiary"]["reference"] == patient.reference().as_str() {
                let order = value["order"].as_u64().unwrap();
                let payor = value["payor"][0]["reference"].as_str().unwrap().to_owned();
                firsts.extend((order == 1).then_some(payor));
                orders.push(order);
            }
        }
        orders.sort_unstable();
        assert!([vec![1, 2], vec![1, 2, 3]].contains(&orders), "{orders:?}");
    }
    assert_eq!(firsts.len(), 2, "each plan pays first for some");
    for payer in &overlaid.expectation.payers {
        assert_eq!(payer.filed_of("Patient"), 6);
        assert_eq!(payer.filed_of("Coverage"), 6, "its own and no other");
    }
    // What is planted for one plan stands in the chart, and not in what is to be filed there.
    for payer in &overlaid.expectation.payers {
        let mut seen = 0;
        for planted in overlaid.planted_for(&payer.name) {
            seen += 1;
            let has = |one: &ChartResource| {
                std::str::from_utf8(&one.bytes).unwrap().contains(&planted.value)
            };
            assert!(overlaid.chart.iter().any(has), "{} is in the chart", planted.why);
            let social = planted.why == "a Social Security number";
            let filed = overlaid.chart.iter().filter(|one| payer.filed.contains(&one.reference()));
            assert!(social || !filed.into_iter().any(has), "{} would travel", planted.why);
        }
        assert!(seen > 6, "numbers of patients and coverages of others");
    }
}

#[test]
fn results_lose_their_encounter_and_nothing_else() {
    let town = Town::generate(5, &TownPlan { patients_per_hospital: 40, ..TownPlan::default() });
    let chart = &town.hospitals[0].chart;
    let overlay = Overlay { plans: town.plans.clone(), unlink_percent: 15, ..Overlay::default() };
    let overlaid = overlay.apply(chart, &OverlayRules::usual()).unwrap();
    let (mut lost, mut laboratory) = (0_usize, 0);
    for resource in chart {
        let now = overlaid.chart.get(&resource.kind, &resource.id).unwrap();
        let mut before: Value = serde_json::from_slice(&resource.bytes).unwrap();
        let after: Value = serde_json::from_slice(&now.bytes).unwrap();
        let categories = before["category"].to_string();
        let is_laboratory = categories.contains("laboratory") || categories.contains("\"LAB\"");
        let is_one = matches!(resource.kind.as_str(), "Observation" | "DiagnosticReport");
        laboratory += usize::from(is_laboratory && is_one);
        if before != after && is_one {
            lost += 1;
            assert!(is_laboratory);
            assert!(before.as_object_mut().unwrap().remove("encounter").is_some());
            assert_eq!(before, after);
        }
    }
    assert!((lost * 100).abs_diff(laboratory * 15) < laboratory * 5, "{lost} of {laboratory}");
    // All of them were taken while a visit lasted, so nothing is missed.
    let whole = Overlay { plans: town.plans.clone(), ..Overlay::default() };
    let whole = whole.apply(chart, &OverlayRules::usual()).unwrap();
    for (one, other) in overlaid.expectation.payers.iter().zip(&whole.expectation.payers) {
        assert_eq!(one.filed, other.filed);
    }
}

#[test]
fn what_is_restricted_is_marked_where_it_must_not_be_found() {
    let town = Town::generate(9, &TownPlan { patients_per_hospital: 12, ..TownPlan::default() });
    let mut rules = OverlayRules::usual();
    rules.opaque = true;
    let overlay = Overlay {
        plans: town.plans.clone(),
        unlink_percent: 15,
        restrict_every: Some(2),
        mark_restricted: true,
        add_summaries: true,
        ..Overlay::default()
    };
    let overlaid = overlay.apply(&town.hospitals[0].chart, &rules).unwrap();
    let marks: Vec<_> =
        overlaid.planted.iter().filter(|one| one.value.starts_with("planted-")).collect();
    assert!(marks.len() > 20, "{}", marks.len());
    for payer in &overlaid.expectation.payers {
        assert!(payer.withheld_for(Reason::OpaqueInSensitivePeriod) > 0);
        let (mut inside, mut beside) = (0, 0);
        for resource in &overlaid.chart {
            let text = std::str::from_utf8(&resource.bytes).unwrap();
            let found = marks.iter().filter(|mark| text.contains(&mark.value)).count();
            if payer.filed.contains(&resource.reference()) {
                // A mark in what is filed stands beside a reference that is cut.
                let displays = text.matches(",\"display\":\"planted-").count();
                assert_eq!(text.matches("planted-").count(), displays, "{}", resource.kind);
                beside += displays;
            } else {
                inside += found;
            }
        }
        assert!(inside > 20 && beside > 0, "{inside} {beside}");
    }
}

#[test]
fn what_tells_of_a_labelled_result_is_planted_and_expected_to_stay() {
    let town = Town::generate(9, &TownPlan { patients_per_hospital: 12, ..TownPlan::default() });
    let rules = OverlayRules::usual();
    let overlay = Overlay {
        plans: town.plans.clone(),
        add_labelled: true,
        add_numbers: true,
        ..Overlay::default()
    };
    let overlaid = overlay.apply(&town.hospitals[0].chart, &rules).unwrap();
    let labelled = |payer: &PayerExpectation| payer.withheld_for(Reason::SensitivityLabel);
    for payer in &overlaid.expectation.payers {
        assert!(labelled(payer) > 0);
        // The order and the report of each.
        assert_eq!(payer.withheld_for(Reason::AboutWithheld), 2 * labelled(payer));
    }
    for patient in overlaid.chart.of_kind("Patient") {
        let value: Value = serde_json::from_slice(&patient.bytes).unwrap();
        let identifiers = value["identifier"].as_array().unwrap();
        let of_words = identifiers.iter().find(|one| one["type"]["text"] == "Patient SSN");
        let number = of_words.unwrap()["value"].as_str().unwrap();
        assert!(overlaid.planted.iter().any(|one| one.value == number));
        let members = identifiers.iter().filter(|one| one["type"]["coding"][0]["code"] == "MB");
        assert!(members.count() > 0);
    }
}
