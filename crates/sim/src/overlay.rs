//! Overlay: what a chart lacks before it can be pushed, added the same way every time.
//!
//! Comes in   a chart (Synthea's have no Coverage at all), plans, and which encounters to restrict.
//! Goes out   the chart with payers, coverages, member ids and NPIs; the plans' member files; the
//!            restrictions; and the expectation of what a push of it files and withholds.
//! Never      changes a resource beside inserting an NPI where a Practitioner or Organization has
//!            none; never draws: everything derives from ids by SHA-256.
//!
//! Why the expectation is made here and not by the product: it is the second opinion that the
//! product's own counts are held against, so it shares no code with it.

mod amendment;
mod expectation;

pub use amendment::Amendment;
pub use expectation::{Expectation, PayerExpectation, Reason};

use crate::chart::splice::{Edit, span_of, splice};
use crate::chart::{Chart, ChartError, ChartResource, sha256_hex};
use crate::town::{MemberRow, NPI, Plan, Restriction, coverage, npi_of};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which resources a push asks for, which may travel, and what patients restricted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverlayRules {
    /// Types that are searched by encounter.
    pub asked: BTreeSet<String>,
    /// Types that may travel when they are asked for or reached by a reference. `Claim` and
    /// `ExplanationOfBenefit` never may, even when they are named here.
    pub permitted: BTreeSet<String>,
    /// References under a patient's restriction, usually `Encounter/<id>`.
    pub restricted: BTreeSet<String>,
}

impl OverlayRules {
    /// The rules from plain lists, without restrictions.
    pub fn new(asked: &[&str], permitted: &[&str]) -> OverlayRules {
        let set = |list: &[&str]| list.iter().map(|kind| (*kind).to_owned()).collect();
        OverlayRules { asked: set(asked), permitted: set(permitted), restricted: BTreeSet::new() }
    }

    /// The types of a usual agreement on encounters: the clinical ones of US Core, and what they
    /// refer to. A demo that has no agreement at hand begins with these.
    pub fn usual() -> OverlayRules {
        const ASKED: [&str; 13] = [
            "AllergyIntolerance",
            "CarePlan",
            "CareTeam",
            "Condition",
            "DiagnosticReport",
            "DocumentReference",
            "ImagingStudy",
            "Immunization",
            "MedicationAdministration",
            "MedicationRequest",
            "Observation",
            "Procedure",
            "ServiceRequest",
        ];
        const REACHED: [&str; 8] = [
            "Coverage",
            "Encounter",
            "Location",
            "Medication",
            "Organization",
            "Patient",
            "Practitioner",
            "PractitionerRole",
        ];
        OverlayRules::new(&ASKED, &[&ASKED[..], &REACHED[..]].concat())
    }

    /// The same rules under these restrictions as well.
    pub fn with_restrictions(mut self, restrictions: &[Restriction]) -> OverlayRules {
        self.restricted.extend(restrictions.iter().map(|restriction| restriction.subject.clone()));
        self
    }
}

/// What to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The plans; patients are dealt out to them in turn, in order of their ids. Rows that are
    /// already in a member file stay.
    pub plans: Vec<Plan>,
    /// Restrict every so-many-eth finished encounter of each patient; `Some(4)` takes the fourth,
    /// the eighth and so on, in order of their ids.
    pub restrict_every: Option<usize>,
}

/// A chart that can be pushed, and what is to come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlaid {
    /// The chart with what was added.
    pub chart: Chart,
    /// The plans with their member files.
    pub plans: Vec<Plan>,
    /// The restrictions of the rules and those that were planted.
    pub restrictions: Vec<Restriction>,
    /// What a push of every finished encounter files, withholds and leaves alone.
    pub expectation: Expectation,
}

impl Overlay {
    /// Adds what the chart lacks. A patient who has a Coverage already gets no other.
    pub fn apply(&self, chart: &Chart, rules: &OverlayRules) -> Result<Overlaid, ChartError> {
        let mut added = Vec::new();
        let mut plans = self.plans.clone();
        let covered = covered(chart);
        if !plans.is_empty() {
            added.extend(plans.iter().map(payer));
            for (place, patient) in chart.of_kind("Patient").iter().enumerate() {
                if !covered.contains(&patient.reference()) {
                    let which = place % plans.len();
                    added.push(cover(patient, &mut plans[which])?);
                }
            }
        }
        plans.iter_mut().for_each(|plan| plan.members.sort());
        for kind in ["Organization", "Practitioner"] {
            added.extend(chart.of_kind(kind).iter().filter_map(with_npi));
        }
        let chart = together(chart, added)?;
        let mut restrictions: Vec<_> = rules
            .restricted
            .iter()
            .map(|subject| Restriction {
                subject: subject.clone(),
                reason: "patient-request".to_owned(),
            })
            .collect();
        restrictions.extend(self.planted(&chart));
        restrictions.sort();
        restrictions.dedup_by(|a, b| a.subject == b.subject);
        let rules = rules.clone().with_restrictions(&restrictions);
        let expectation = Expectation::compute(&chart, &plans, &rules);
        Ok(Overlaid { chart, plans, restrictions, expectation })
    }

    fn planted(&self, chart: &Chart) -> Vec<Restriction> {
        let Some(every) = self.restrict_every.filter(|every| *every > 0) else {
            return Vec::new();
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut restrictions = Vec::new();
        for encounter in chart.of_kind("Encounter") {
            let value = value_of(encounter);
            if value["status"] == "finished" {
                let patient = value["subject"]["reference"].as_str().unwrap_or_default();
                let count = seen.entry(patient.to_owned()).or_default();
                *count += 1;
                if count.is_multiple_of(every) {
                    let (subject, reason) = (encounter.reference(), "self-pay".to_owned());
                    restrictions.push(Restriction { subject, reason });
                }
            }
        }
        restrictions
    }
}

fn value_of(resource: &ChartResource) -> Value {
    serde_json::from_slice(&resource.bytes).unwrap_or_default()
}

fn covered(chart: &Chart) -> BTreeSet<String> {
    let beneficiary =
        |coverage| value_of(coverage)["beneficiary"]["reference"].as_str().map(str::to_owned);
    chart.of_kind("Coverage").iter().filter_map(beneficiary).collect()
}

/// The chart with resources added, or put in the place of those of their type and id.
fn together(chart: &Chart, added: Vec<ChartResource>) -> Result<Chart, ChartError> {
    let replaced: BTreeSet<_> = added.iter().map(ChartResource::reference).collect();
    let kept = chart.iter().filter(|resource| !replaced.contains(&resource.reference()));
    Chart::new(kept.cloned().chain(added.iter().cloned()).collect())
}

fn resource(value: &Value) -> ChartResource {
    let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
    let bytes = value.to_string().into();
    ChartResource { kind: text("resourceType"), id: text("id"), bytes }
}

/// The id of a plan's Organization: derived from its payer id, so that a chart can hold many.
fn payer_of(plan: &Plan) -> String {
    let digest = sha256_hex(&[plan.payer_id.system.as_bytes(), plan.payer_id.value.as_bytes()]);
    format!("payer-{}", &digest[..16])
}

fn payer(plan: &Plan) -> ChartResource {
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

/// The coverage of a patient, and the line in the plan's member file that goes with it.
fn cover(patient: &ChartResource, plan: &mut Plan) -> Result<ChartResource, ChartError> {
    let digest = sha256_hex(&[b"coverage", patient.id.as_bytes()]);
    let member_id = format!("M{:011}", number(&digest) % 100_000_000_000);
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
    Ok(resource(&coverage(
        &format!("coverage-{}", &digest[..24]),
        1,
        &member_id,
        &plan.payer_id.value,
        &patient.reference(),
        &format!("Organization/{}", payer_of(plan)),
    )))
}

/// The first sixteen hex digits as a number.
fn number(digest: &str) -> u64 {
    digest.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default()
}

fn derived_npi(id: &str) -> String {
    let digest = sha256_hex(&[b"npi", id.as_bytes()]);
    npi_of(u32::try_from(number(&digest) % 100_000_000).unwrap_or_default())
}

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    identifier: Option<&'a RawValue>,
}

/// The resource with an NPI as its last identifier; none when it has one already.
fn with_npi(source: &ChartResource) -> Option<ChartResource> {
    let identifiers = value_of(source)["identifier"].as_array().cloned().unwrap_or_default();
    if identifiers.iter().any(|identifier| identifier["system"] == NPI) {
        return None;
    }
    let text = std::str::from_utf8(&source.bytes).ok()?;
    let members: Identified<'_> = serde_json::from_str(text).ok()?;
    let npi = json!({ "system": NPI, "value": derived_npi(&source.id) });
    let edit = match members.identifier {
        Some(array) => {
            let end = span_of(text, array.get())?.end - 1;
            let comma = if identifiers.is_empty() { "" } else { "," };
            Edit::insert(end, format!("{comma}{npi}"))
        }
        None => {
            Edit::insert(span_of(text, members.id.get())?.end, format!(",\"identifier\":[{npi}]"))
        }
    };
    Some(ChartResource { bytes: splice(text, vec![edit]).into(), ..source.clone() })
}
