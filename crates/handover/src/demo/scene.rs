//! Scene: who plays: hospitals with charts, plans with members.
//!
//! Comes in   the town, or the charts of a folder.
//! Goes out   what every house needs to be made, and which encounters are to be pushed.
//! Never      draws anything: the same seed and folder give the same scene.

use crate::args::DemoArgs;
use crate::ehr;
use crate::limits::DEMO_PATIENTS;
use exchange::agreement::Terms;
use exchange::partner::{PublicIdentifier, Role};
use exchange::{Code, Issue, PartnerId};
use sim::town::{MemberRow, Plan, PlantedRestriction, PlantedUnknownMember, Restriction};
use sim::{Chart, Expectation, Overlay, OverlayRules, Town, TownPlan};

/// The seed of the demo's town: any would do, this one is always the same.
const SEED: u64 = 2026;

/// Who plays.
pub(super) struct Scene {
    /// One sentence.
    pub(super) title: String,
    pub(super) hospitals: Vec<Hospital>,
    pub(super) plans: Vec<Payer>,
    pub(super) restriction: Option<PlantedRestriction>,
    pub(super) unknown: Option<PlantedUnknownMember>,
    /// With charts of a folder: what must come of them.
    pub(super) charts: Option<Charts>,
}

/// A hospital.
pub(super) struct Hospital {
    /// The house's short name.
    pub(super) name: String,
    pub(super) title: String,
    pub(super) namespace: String,
    pub(super) chart: Chart,
    pub(super) restrictions: Vec<Restriction>,
    /// Ids of encounters to push.
    pub(super) encounters: Vec<String>,
}

/// A plan.
pub(super) struct Payer {
    /// The house's short name.
    pub(super) name: String,
    pub(super) plan: Plan,
    /// The member the plan has yet to hear of.
    pub(super) unheard: Option<MemberRow>,
}

/// Real charts, and the second opinion on what must come of them.
pub(super) struct Charts {
    pub(super) expectation: Expectation,
    /// The agreement both sides of the comparison follow, as TOML for each partner.
    pub(super) resources: usize,
}

impl Scene {
    /// Sets the scene.
    pub(super) fn set(args: &DemoArgs) -> Result<Scene, Issue> {
        match &args.data {
            None => Ok(Scene::of_town(args.patients.unwrap_or(DEMO_PATIENTS))),
            Some(data) => Scene::of_charts(data, args.patients, args.restrict_every),
        }
    }

    fn of_town(patients: usize) -> Scene {
        let plan = TownPlan { patients_per_hospital: patients, ..TownPlan::default() };
        let town = Town::generate(SEED, &plan);
        let unheard = unheard(&town);
        let hospitals: Vec<Hospital> = town
            .hospitals
            .into_iter()
            .map(|it| Hospital {
                name: short_name(&it.name),
                title: it.name,
                namespace: it.namespace,
                encounters: finished(&it.chart),
                chart: it.chart,
                restrictions: it.restrictions,
            })
            .collect();
        let title = format!(
            "Two hospitals, two health plans, {} patients. All of them are invented.",
            patients * hospitals.len()
        );
        let planted = town.planted_unknown_member;
        let plans = town.plans.into_iter().enumerate().map(|(number, plan)| {
            let here = planted.as_ref().is_some_and(|it| it.plan == number);
            let unheard = unheard.clone().filter(|_| here);
            Payer { name: short_name(&plan.name), plan, unheard }
        });
        let (plans, restriction) = (plans.collect(), town.planted_restriction);
        Scene { title, hospitals, plans, restriction, unknown: planted, charts: None }
    }

    fn of_charts(
        data: &std::path::Path,
        patients: Option<usize>,
        restrict_every: Option<usize>,
    ) -> Result<Scene, Issue> {
        let chart = ehr::load(data, patients)?;
        let overlay = Overlay { plans: ehr::new_plans(2), restrict_every, ..Overlay::default() };
        let overlaid = overlay.apply(&chart, &rules()?)?;
        let patients = overlaid.chart.of_kind("Patient").len();
        let resources = overlaid.chart.len();
        let title = format!(
            "One hospital with the charts of {patients} patients ({resources} resources), two \
             health plans. Coverages, member ids and clinicians' numbers were added where the \
             charts have none."
        );
        let hospital = Hospital {
            name: "hospital".to_owned(),
            title: "Hospital of the Charts".to_owned(),
            namespace: "https://hospital.example/fhir".to_owned(),
            encounters: finished(&overlaid.chart),
            chart: overlaid.chart,
            restrictions: overlaid.restrictions,
        };
        let plans = overlaid.plans.into_iter().map(|plan| Payer {
            name: short_name(&plan.name),
            plan,
            unheard: None,
        });
        let charts = Charts { expectation: overlaid.expectation, resources };
        Ok(Scene {
            title,
            plans: plans.collect(),
            hospitals: vec![hospital],
            restriction: None,
            unknown: None,
            charts: Some(charts),
        })
    }

    /// Roles, for the making of houses.
    pub(super) fn identifiers(plan: &Plan) -> Vec<PublicIdentifier> {
        let id = &plan.payer_id;
        vec![PublicIdentifier { system: id.system.clone(), value: id.value.clone() }]
    }

    /// How many encounters are to be pushed.
    pub(super) fn encounters(&self) -> usize {
        self.hospitals.iter().map(|it| it.encounters.len()).sum()
    }
}

/// The shipped agreement without its rules by code, for charts whose every resource is compared with a
/// second opinion that knows types, restrictions and the days of documents only.
pub(super) fn without_code_rules(agreement: &str) -> Result<String, Issue> {
    let unreadable = || Issue::new(Code::ConfigInvalid, "the shipped agreement cannot be read");
    let mut table: toml::Table = agreement.parse().map_err(|_| unreadable())?;
    table.remove("withhold");
    let text = toml::to_string_pretty(&table).map_err(|_| unreadable())?;
    Ok(format!("# The shipped agreement without its rules by code.\n\n{text}"))
}

/// The types of the shipped agreement, as the second opinion wants them.
fn rules() -> Result<OverlayRules, Issue> {
    let text = exchange::Agreement::default_text(
        &PartnerId::from("plan"),
        &[exchange::Purpose::Payment],
        &[],
    );
    let terms = Terms::parse(&without_code_rules(&text)?, "agreement", &|_| None)?;
    let asked: Vec<&str> = terms.agreement.encounter.types.iter().map(String::as_str).collect();
    let permits = terms.agreement.permit.iter().flat_map(|permit| &permit.types);
    let permitted: Vec<&str> = permits.map(String::as_str).collect();
    Ok(OverlayRules { opaque: true, ..OverlayRules::new(&asked, &permitted) })
}

/// The ids of a chart's finished encounters.
fn finished(chart: &Chart) -> Vec<String> {
    let is_finished = |bytes: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        value["status"] == "finished"
    };
    let all = chart.of_kind("Encounter").iter();
    all.filter(|it| is_finished(&it.bytes)).map(|it| it.id.clone()).collect()
}

/// The row that the plan's member file lacks.
fn unheard(town: &Town) -> Option<MemberRow> {
    let planted = town.planted_unknown_member.as_ref()?;
    let hospital = town.hospitals.get(planted.hospital)?;
    let person = hospital.patients.iter().find(|it| it.reference() == planted.patient)?;
    Some(MemberRow {
        member_id: planted.member_id.clone(),
        family: person.family.clone(),
        given: person.given.clone(),
        birth_date: person.birth_date.clone(),
        gender: person.gender.clone(),
    })
}

/// The first word of a name that says something, as a house's short name.
fn short_name(title: &str) -> String {
    let words = title.split(|char: char| !char.is_alphanumeric());
    let word = words.into_iter().find(|word| word.len() > 2).unwrap_or("house");
    word.to_lowercase()
}

/// The role's word in the story.
pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Provider => "hospital",
        Role::Payer => "health plan",
    }
}
