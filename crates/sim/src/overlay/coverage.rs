//! Coverage: plans as Organizations, and the coverages of patients with them.
//!
//! Comes in   patients and plans.
//! Goes out   Coverages, payers, and the lines of the plans' member files that go with them.
//! Never      draws: every id and number derives from the ids of patient and plan.

use super::{ChartResource, resource, value_of};
use crate::chart::{Chart, sha256_hex};
use crate::town::{MemberRow, NPI, Plan, coverage, npi_of};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// By which plans a patient is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Each {
    /// By one: patients are dealt out to the plans in turn, in order of their ids.
    #[default]
    Turn,
    /// By all of them, in an order that begins with another plan for each next patient.
    All,
}

/// A plan nobody has an agreement with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unagreed {
    /// The plan.
    pub plan: Plan,
    /// It covers every so-many-eth patient, as the last to pay.
    pub every: usize,
}

/// The patients that have a coverage.
pub(super) fn covered(chart: &Chart) -> BTreeSet<String> {
    let beneficiary =
        |coverage| value_of(coverage)["beneficiary"]["reference"].as_str().map(str::to_owned);
    chart.of_kind("Coverage").iter().filter_map(beneficiary).collect()
}

/// The id of a plan's Organization: derived from its payer id, so that a chart can hold many.
pub(super) fn payer_of(plan: &Plan) -> String {
    let digest = sha256_hex(&[plan.payer_id.system.as_bytes(), plan.payer_id.value.as_bytes()]);
    format!("payer-{}", &digest[..16])
}

pub(super) fn payer(plan: &Plan) -> ChartResource {
    resource(&json!({
        "resourceType": "Organization",
        "id": payer_of(plan),
        "meta": {
            "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-organization"],
        },
        "identifier": [
            { "system": plan.payer_id.system, "value": plan.payer_id.value },
            { "system": NPI, "value": derived_npi(&payer_of(plan)) },
        ],
        "active": true,
        "type": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "pay",
        }] }],
        "name": plan.name,
    }))
}

/// The coverages of the patient at this place of the chart, and their lines in the member files.
pub(super) fn cover(
    patient: &ChartResource,
    place: usize,
    plans: &mut [Plan],
    each: Each,
) -> Vec<ChartResource> {
    let count = plans.len();
    match each {
        Each::Turn => plans
            .get_mut(place % count.max(1))
            .map(|plan| {
                vec![cover_with(
                    patient,
                    plan,
                    1,
                    &sha256_hex(&[b"coverage", patient.id.as_bytes()]),
                )]
            })
            .unwrap_or_default(),
        Each::All => (0..count)
            .filter_map(|turn| {
                let plan = plans.get_mut((place + turn) % count)?;
                let digest = digest(patient, plan);
                Some(cover_with(patient, plan, turn + 1, &digest))
            })
            .collect(),
    }
}

/// The coverage with a plan that has no agreement, after `before` others.
pub(super) fn cover_beside(
    patient: &ChartResource,
    unagreed: &Unagreed,
    before: usize,
) -> ChartResource {
    let mut plan = unagreed.plan.clone();
    let digest = digest(patient, &plan);
    cover_with(patient, &mut plan, before + 1, &digest)
}

fn digest(patient: &ChartResource, plan: &Plan) -> String {
    let (system, value) = (&plan.payer_id.system, &plan.payer_id.value);
    sha256_hex(&[b"coverage", patient.id.as_bytes(), system.as_bytes(), value.as_bytes()])
}

/// The coverage of a patient, and the line in the plan's member file that goes with it.
fn cover_with(
    patient: &ChartResource,
    plan: &mut Plan,
    order: usize,
    digest: &str,
) -> ChartResource {
    let member_id = format!("M{:011}", number(digest) % 100_000_000_000);
    let value = value_of(patient);
    let name = &value["name"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    plan.members.push(MemberRow {
        member_id: member_id.clone(),
        family: text(&name["family"]),
        given: text(&name["given"][0]),
        birth_date: text(&value["birthDate"]),
        gender: text(&value["gender"]),
    });
    resource(&coverage(
        &format!("coverage-{}", &digest[..24]),
        order,
        &member_id,
        &plan.payer_id.value,
        &patient.reference(),
        &format!("Organization/{}", payer_of(plan)),
    ))
}

/// The first sixteen hex digits as a number.
pub(super) fn number(digest: &str) -> u64 {
    digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

/// An NPI with a right check digit, from an id.
pub(super) fn derived_npi(id: &str) -> String {
    let digest = sha256_hex(&[b"npi", id.as_bytes()]);
    npi_of(u32::try_from(number(&digest) % 100_000_000).unwrap_or_default())
}
