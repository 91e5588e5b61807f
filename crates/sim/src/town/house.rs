//! House: a hospital's own resources, and the plans as its chart knows them.
//!
//! Comes in   the hospital's name, and the plans.
//! Goes out   Organizations, Locations, Practitioners and PractitionerRoles, with their references.
//! Never      a clinician without a valid NPI: a payer's system would refuse the push.

use super::dice::Dice;
use super::numbers::npi_of;
use super::words::{CLINICIANS, TAXONOMY};
use super::{Draft, NPI, Plan};
use serde_json::{Value, json};

/// Clinicians of each hospital.
const PRACTITIONERS: usize = 3;

/// References to what every encounter of a hospital points to.
pub(super) struct House {
    pub(super) organization: String,
    /// Emergency room, clinic, ward.
    pub(super) locations: Vec<String>,
    /// With the display of each.
    pub(super) practitioners: Vec<(String, String)>,
    /// The Organization of each plan, in the order of the town's plans.
    pub(super) payers: Vec<String>,
}

pub(super) fn build(draft: &mut Draft, seed: u64, name: &str, slug: &str, plans: &[Plan]) -> House {
    let mut dice = Dice::named(seed, &format!("{slug} house"));
    let organization = add_hospital(draft, &mut dice, name);
    let locations = ["Emergency Room", "Outpatient Clinic", "Ward 3"]
        .map(|room| add_location(draft, &organization, &format!("{name}, {room}")));
    let practitioners: Vec<_> =
        (0..PRACTITIONERS).map(|place| add_practitioner(draft, &mut dice, slug, place)).collect();
    for (place, (practitioner, _)) in practitioners.iter().enumerate() {
        let (code, display) = TAXONOMY[place % TAXONOMY.len()];
        let id = draft.id("role");
        draft.add(json!({
            "resourceType": "PractitionerRole",
            "id": id,
            "meta": profile("us-core-practitionerrole"),
            "active": true,
            "practitioner": { "reference": practitioner },
            "organization": { "reference": organization },
            "code": [{ "coding": [{
                "system": "http://nucc.org/provider-taxonomy", "code": code, "display": display,
            }] }],
            "location": [{ "reference": locations[place % locations.len()] }],
            "telecom": [{ "system": "phone", "value": format!("555-{:04}", 200 + place) }],
        }));
    }
    let payers = plans.iter().map(|plan| add_payer(draft, plan)).collect();
    House { organization, locations: locations.to_vec(), practitioners, payers }
}

/// `meta` with a profile of US Core.
pub(super) fn profile(name: &str) -> Value {
    json!({ "profile": [format!("http://hl7.org/fhir/us/core/StructureDefinition/{name}")] })
}

fn add_hospital(draft: &mut Draft, dice: &mut Dice, name: &str) -> String {
    let id = draft.id("org");
    draft.add(json!({
        "resourceType": "Organization",
        "id": id,
        "meta": profile("us-core-organization"),
        "identifier": [
            { "system": NPI, "value": npi_of(dice.below(100_000_000)) },
            {
                "type": { "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "TAX",
                }] },
                "system": "urn:oid:2.16.840.1.113883.4.4",
                "value": format!("00-{:07}", dice.below(10_000_000)),
            },
        ],
        "active": true,
        "type": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/organization-type",
            "code": "prov",
            "display": "Healthcare Provider",
        }] }],
        "name": name,
        "telecom": [{ "system": "phone", "value": format!("555-{:04}", dice.below(10_000)) }],
        "address": [{
            "line": ["1 Hospital Hill"], "city": "Nowhereton", "state": "MA", "postalCode": "00001",
            "country": "US",
        }],
    }))
}

fn add_location(draft: &mut Draft, organization: &str, name: &str) -> String {
    let id = draft.id("loc");
    draft.add(json!({
        "resourceType": "Location",
        "id": id,
        "meta": profile("us-core-location"),
        "status": "active",
        "name": name,
        "address": { "line": ["1 Hospital Hill"], "city": "Nowhereton", "state": "MA" },
        "managingOrganization": { "reference": organization },
    }))
}

fn add_practitioner(
    draft: &mut Draft,
    dice: &mut Dice,
    slug: &str,
    place: usize,
) -> (String, String) {
    let id = draft.id("prac");
    let (given, family) = CLINICIANS[(place * 2 + dice.below(2) as usize) % CLINICIANS.len()];
    let reference = draft.add(json!({
        "resourceType": "Practitioner",
        "id": id,
        "meta": profile("us-core-practitioner"),
        "identifier": [{ "system": NPI, "value": npi_of(dice.below(100_000_000)) }],
        "active": true,
        "name": [{ "family": family, "given": [given], "prefix": ["Dr."] }],
        "telecom": [{
            "system": "email", "value": format!("clinician{}@{slug}.example", place + 1), "use": "work",
        }],
    }));
    (reference, format!("Dr. {given} {family}"))
}

fn add_payer(draft: &mut Draft, plan: &Plan) -> String {
    let id = draft.id("payer");
    draft.add(json!({
        "resourceType": "Organization",
        "id": id,
        "meta": profile("us-core-organization"),
        "identifier": [{ "system": plan.payer_id.system, "value": plan.payer_id.value }],
        "active": true,
        "type": [{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/organization-type",
            "code": "pay",
            "display": "Payer",
        }] }],
        "name": plan.name,
    }))
}
