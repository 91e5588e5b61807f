//! Town: invented hospitals, plans and patients, all from one seed.
//!
//! Comes in   a seed and how large the town is to be.
//! Goes out   a chart per hospital in the shape of US Core 6.1, a member file per plan, and what was
//!            planted for a demo: a patient's restriction and a member the plan does not know.
//! Never      a real person: names are made up, record numbers are the town's own, Social Security
//!            numbers begin with 999, telephones with 555.
//!
//! Two hospitals use the same ids for different patients (`pat-00001`), on purpose: whoever files
//! by source id alone will mix them up, and a test will see it.

mod clinic;
mod dice;
mod house;
mod numbers;
mod person;
mod words;

pub use numbers::is_npi;
pub use person::{Person, secrets_of};

pub(crate) use dice::Dice;
pub(crate) use numbers::{base64, npi_of};
pub(crate) use person::coverage;

use crate::chart::{Chart, ChartResource};
use crate::limits::{ENCOUNTERS_MAX, PATIENTS_MAX};
use clinic::Clinic;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How large the town is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TownPlan {
    /// Hospitals, each with its own chart.
    pub hospitals: usize,
    /// Health plans; every patient is a member of one or two.
    pub plans: usize,
    /// Patients of each hospital, at most [`PATIENTS_MAX`].
    pub patients_per_hospital: usize,
    /// Finished encounters of each patient, drawn from this range, at most [`ENCOUNTERS_MAX`].
    /// Every fourth patient has one more that is still in progress.
    pub encounters_per_patient: RangeInclusive<u32>,
}

impl Default for TownPlan {
    fn default() -> TownPlan {
        TownPlan { hospitals: 2, plans: 2, patients_per_hospital: 5, encounters_per_patient: 1..=3 }
    }
}

/// The whole town.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Town {
    /// The hospitals.
    pub hospitals: Vec<Hospital>,
    /// The health plans, with their member files.
    pub plans: Vec<Plan>,
    /// An encounter that its patient paid for and asked not to be told to the plan
    /// (45 CFR 164.522(a)(1)(vi)). None in a town without patients.
    pub planted_restriction: Option<PlantedRestriction>,
    /// A patient whose coverage names a member id that the plan's member file lacks. None in a
    /// town of fewer than two patients.
    pub planted_unknown_member: Option<PlantedUnknownMember>,
}

/// A sending house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hospital {
    /// Its name.
    pub name: String,
    /// The URI under which its source ids are unique.
    pub namespace: String,
    /// What its EHR holds.
    pub chart: Chart,
    /// What patients asked to keep from their plans.
    pub restrictions: Vec<Restriction>,
    /// The people whose chart it is, in order of their ids.
    pub patients: Vec<Person>,
}

/// A patient's restriction on disclosures to plans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Restriction {
    /// What is restricted: `Encounter/<id>`, and with it what is linked to it.
    pub subject: String,
    /// Why: `self-pay`.
    pub reason: String,
}

/// A receiving house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The identifier by which coverages name it.
    pub payer_id: PayerId,
    /// The people it knows.
    pub members: Vec<MemberRow>,
}

/// An identifier of a payer, as it stands on the payer's Organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PayerId {
    /// Who gives such numbers, as a URI.
    pub system: String,
    /// The number.
    pub value: String,
}

/// The system of company codes of the National Association of Insurance Commissioners, which
/// US Core Organization names for payers.
pub const NAIC: &str = "urn:oid:2.16.840.1.113883.6.300";

/// The system of National Provider Identifiers.
pub const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// One line of a plan's member file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberRow {
    /// The number on the insurance card.
    pub member_id: String,
    /// Family name.
    pub family: String,
    /// First given name.
    pub given: String,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// FHIR administrative gender.
    pub gender: String,
}

/// Where the planted restriction is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantedRestriction {
    /// Index into [`Town::hospitals`].
    pub hospital: usize,
    /// `Patient/<id>`.
    pub patient: String,
    /// `Encounter/<id>`: finished, and not the patient's only one.
    pub encounter: String,
}

/// Where the planted unknown member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlantedUnknownMember {
    /// Index into [`Town::hospitals`].
    pub hospital: usize,
    /// Index into [`Town::plans`].
    pub plan: usize,
    /// `Patient/<id>`.
    pub patient: String,
    /// The member id on the coverage.
    pub member_id: String,
}

impl Town {
    /// Builds the town. The same seed and plan give the same bytes, on every machine.
    pub fn generate(seed: u64, plan: &TownPlan) -> Town {
        let mut town = Town {
            hospitals: Vec::new(),
            plans: (0..plan.plans).map(new_plan).collect(),
            planted_restriction: None,
            planted_unknown_member: None,
        };
        for number in 0..plan.hospitals {
            let hospital = town.build_hospital(seed, number, plan);
            town.hospitals.push(hospital);
        }
        town.fill_member_files();
        town
    }

    fn build_hospital(&mut self, seed: u64, number: usize, plan: &TownPlan) -> Hospital {
        let (name, slug) = named(&words::HOSPITALS, number, "Hospital", "hospital");
        let mut draft = Draft::default();
        let house = house::build(&mut draft, seed, &name, &slug, &self.plans);
        let count = plan.patients_per_hospital.min(PATIENTS_MAX);
        let (restricted, unknown) = planted_places(number, plan.hospitals, count);
        let (mut patients, mut restrictions) = (Vec::new(), Vec::new());
        for place in 0..count {
            let coverages = if unknown == Some(place) { 1 } else { coverages_of(place) };
            let mut dice = Dice::named(seed, &format!("{slug} patient {place}"));
            let plans = self.plans.len();
            let person = Person::invent(&mut dice, number, place, &slug, plans, coverages);
            let coverages = person.chart(&mut draft, &slug, &self.plans, &house);
            let wanted = &plan.encounters_per_patient;
            let most = (*wanted.end()).min(ENCOUNTERS_MAX);
            // What is planted must be seen: a push to hold, and one beside the restricted one.
            let needed = match place {
                _ if restricted == Some(place) => 2,
                _ if unknown == Some(place) => 1,
                _ => 0,
            };
            let least = (*wanted.start()).max(needed);
            let finished = dice.between(least.min(ENCOUNTERS_MAX), most.max(least));
            let in_progress = place % 4 == 3;
            let mut clinic = Clinic::new(&mut draft, &house, &person, coverages, dice);
            let encounters = clinic.all_encounters(finished, in_progress);
            if let (true, Some(encounter)) = (restricted == Some(place), encounters.first()) {
                restrictions.push(self.plant_restriction(number, &person, encounter));
            }
            if unknown == Some(place) {
                self.plant_unknown_member(number, &person);
            }
            patients.push(person);
        }
        let namespace = format!("https://{slug}.example/fhir");
        // Ids are counted, so none comes twice and the chart cannot be refused.
        let chart = Chart::new(draft.resources).unwrap_or_default();
        Hospital { name, namespace, chart, restrictions, patients }
    }

    fn plant_restriction(&mut self, hospital: usize, who: &Person, encounter: &str) -> Restriction {
        let (patient, encounter) = (who.reference(), encounter.to_owned());
        let subject = encounter.clone();
        self.planted_restriction = Some(PlantedRestriction { hospital, patient, encounter });
        Restriction { subject, reason: "self-pay".to_owned() }
    }

    fn plant_unknown_member(&mut self, hospital: usize, who: &Person) {
        self.planted_unknown_member =
            who.memberships.first().map(|(plan, member_id)| PlantedUnknownMember {
                hospital,
                plan: *plan,
                patient: who.reference(),
                member_id: member_id.clone(),
            });
    }

    fn fill_member_files(&mut self) {
        let unknown = self.planted_unknown_member.as_ref().map(|planted| planted.member_id.clone());
        let people = self.hospitals.iter().flat_map(|hospital| &hospital.patients);
        for (person, (plan, member_id)) in
            people.flat_map(|person| person.memberships.iter().map(move |m| (person, m)))
        {
            if let (Some(plan), true) =
                (self.plans.get_mut(*plan), unknown.as_ref() != Some(member_id))
            {
                plan.members.push(person.member_row(member_id));
            }
        }
        self.plans.iter_mut().for_each(|plan| plan.members.sort());
    }
}

impl Plan {
    /// The member file as CSV (RFC 4180), header first, lines ended by a line feed.
    pub fn member_file(&self) -> String {
        let mut text = String::from("member_id,family,given,birth_date,gender\n");
        for row in &self.members {
            let fields = [&row.member_id, &row.family, &row.given, &row.birth_date, &row.gender];
            let line: Vec<_> = fields.into_iter().map(|field| csv_field(field)).collect();
            text.push_str(&line.join(","));
            text.push('\n');
        }
        text
    }
}

fn csv_field(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

/// Name and slug: of the list while it lasts, numbered after that.
fn named(list: &[(&str, &str)], number: usize, name: &str, slug: &str) -> (String, String) {
    match list.get(number) {
        Some((name, slug)) => ((*name).to_owned(), (*slug).to_owned()),
        None => {
            (format!("{name} No. {} of the Hollow", number + 1), format!("{slug}-{}", number + 1))
        }
    }
}

fn new_plan(number: usize) -> Plan {
    let (name, _) = named(&words::PLANS, number, "Health Plan", "plan");
    let value = format!("{:05}", 99_001 + number);
    Plan { name, payer_id: PayerId { system: NAIC.to_owned(), value }, members: Vec::new() }
}

/// Every fifth patient has two plans.
fn coverages_of(place: usize) -> usize {
    if place % 5 == 4 { 2 } else { 1 }
}

/// Which patient of this hospital restricts an encounter, and which one the plan does not know:
/// the second of the first hospital (the only one, where there is no second), and the last of the
/// last hospital, if that is somebody else.
fn planted_places(
    hospital: usize,
    hospitals: usize,
    patients: usize,
) -> (Option<usize>, Option<usize>) {
    let restricted = (hospital == 0 && patients > 0).then(|| 1.min(patients - 1));
    let last_hospital = hospital + 1 == hospitals && patients > 0;
    let unknown = last_hospital.then(|| match restricted {
        Some(taken) if taken == patients - 1 => patients.checked_sub(2),
        _ => patients.checked_sub(1),
    });
    (restricted, unknown.flatten())
}

/// A chart in the making: resources, and a counter per kind of id.
#[derive(Debug, Default)]
struct Draft {
    resources: Vec<ChartResource>,
    counters: BTreeMap<&'static str, u32>,
}

impl Draft {
    /// The next id of the hospital's own style, such as `enc-00017`.
    fn id(&mut self, prefix: &'static str) -> String {
        let counter = self.counters.entry(prefix).or_default();
        *counter += 1;
        format!("{prefix}-{counter:05}")
    }

    /// Adds a resource and returns its reference.
    fn add(&mut self, resource: Value) -> String {
        let text = |member: &str| resource[member].as_str().unwrap_or_default().to_owned();
        let (kind, id) = (text("resourceType"), text("id"));
        let reference = format!("{kind}/{id}");
        self.resources.push(ChartResource { kind, id, bytes: resource.to_string().into() });
        reference
    }
}
