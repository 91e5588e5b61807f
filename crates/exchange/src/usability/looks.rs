//! Looks: what is looked at where one element does not answer.
//!
//! Comes in   one resource that travels, and everything that travels with it.
//! Goes out   what is missing of it, with its place.
//! Never      a verdict of its own: what it means, for whom and for what, stands in the table.

use super::Lack;
use super::numbers::{Held, Number};
use super::seen::{Leads, Seen, Travelling};
use fhir::{Kind, Node};
use std::collections::BTreeSet;

pub(super) const UCUM: [&str; 2] = ["http://unitsofmeasure.org", "urn:oid:2.16.840.1.113883.6.8"];

/// Participants who attended or treated (v3 ParticipationType): attender, primary and secondary
/// performer. One without a type may be any of them.
const TREATING: [&str; 3] = ["ATND", "PPRF", "SPRF"];

/// Encounter classes of an inpatient stay (v3 ActEncounterCode).
const INPATIENT: [&str; 3] = ["IMP", "ACUTE", "NONAC"];

/// Statuses of an observation or report of which nothing is expected yet, or any more.
const WITHOUT_CONTENT: [&str; 3] = ["registered", "cancelled", "entered-in-error"];

// ---- Which resources of a type ---------------------------------------------------------------

pub(super) fn all(_: &Seen<'_>, _: &Travelling<'_>) -> bool {
    true
}

pub(super) fn is_finished(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    seen.has_code("status", &["finished"])
}

pub(super) fn is_finished_stay(seen: &Seen<'_>, push: &Travelling<'_>) -> bool {
    is_finished(seen, push) && seen.has_code("class", &INPATIENT)
}

pub(super) fn is_laboratory(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    seen.has_code("category", &["laboratory", "LAB"]) && has_content(seen)
}

/// Vital signs, and what does not say of which kind it is.
pub(super) fn is_measured(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    let unknown = seen.said(&seen.at("category")).is_err();
    (unknown || seen.has_code("category", &["vital-signs"])) && has_content(seen)
}

pub(super) fn is_laboratory_of_any_status(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    seen.has_code("category", &["laboratory", "LAB"])
}

pub(super) fn is_other_report(seen: &Seen<'_>, push: &Travelling<'_>) -> bool {
    !is_laboratory_of_any_status(seen, push)
}

/// What has not been replaced by another note.
pub(super) fn is_current(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    !seen.has_code("status", &["superseded", "entered-in-error"])
}

fn has_content(seen: &Seen<'_>) -> bool {
    !seen.has_code("status", &WITHOUT_CONTENT)
}

pub(super) fn was_done(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    seen.has_code("status", &["completed", "in-progress"])
}

pub(super) fn was_given(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    seen.has_code("status", &["completed"])
}

/// A problem or diagnosis that was not ruled out; a concern of the patient's is none.
pub(super) fn is_diagnosis(seen: &Seen<'_>, _: &Travelling<'_>) -> bool {
    !seen.has_code("verificationStatus", &["refuted", "entered-in-error"])
        && !seen.has_code("category", &["health-concern"])
}

/// Organizations that care for patients: payers have other numbers.
pub(super) fn is_provider(seen: &Seen<'_>, push: &Travelling<'_>) -> bool {
    !seen.has_code("type", &["pay", "ins"]) && !push.is_payor(&seen.record)
}

/// Elements that name practitioners whose NPI a plan asks for.
const PROVIDERS: [(&str, &str); 8] = [
    ("Encounter", "participant.individual"),
    ("ServiceRequest", "requester"),
    ("MedicationRequest", "requester"),
    ("DiagnosticReport", "performer"),
    ("DiagnosticReport", "resultsInterpreter"),
    ("Procedure", "performer.actor"),
    ("Immunization", "performer.actor"),
    (ROLE, "practitioner"),
];

/// Practitioners who treated, ordered or reported; not everybody in a care team has an NPI.
pub(super) fn is_named_provider(seen: &Seen<'_>, push: &Travelling<'_>) -> bool {
    push.is_named(&seen.record, named_providers)
}

fn named_providers(push: &Travelling<'_>) -> BTreeSet<String> {
    let of = |wanted: fn(&str) -> bool| {
        let rows = PROVIDERS.iter().filter(move |(kind, _)| wanted(kind));
        rows.flat_map(|(kind, path)| push.of_kind(kind).map(move |seen| (seen, *path)))
    };
    let by_records = of(|kind| kind != ROLE).flat_map(|(seen, path)| push.targets(seen, path));
    let named: BTreeSet<String> = by_records.map(|seen| seen.record.clone()).collect();
    // A role that came with its practitioner says nothing of what the practitioner did here, and one
    // with an NPI of its own says enough.
    let by_roles = of(|kind| kind == ROLE).filter(|(seen, _)| {
        named.contains(&seen.record) && Number::Npi.of(seen, seen.root()) != Held::Good
    });
    let by_roles = by_roles.flat_map(|(seen, path)| push.targets(seen, path));
    let by_roles: Vec<String> = by_roles.map(|seen| seen.record.clone()).collect();
    named.into_iter().chain(by_roles).collect()
}

const ROLE: &str = "PractitionerRole";

// ---- What is missing -------------------------------------------------------------------------

/// HRex Coverage and US Core: the member id is an identifier of type MB, or the subscriber's.
pub(super) fn member_id<'r>(patient: &Seen<'r>, push: &Travelling<'r>) -> Vec<Lack> {
    let mut cut_by = None;
    let mut own = |seen: &Seen<'r>| {
        let found = seen.at("identifier");
        cut_by = cut_by.or(found.cut_by);
        found.here.iter().any(|identifier| {
            let codings = seen.below(*identifier, "type.coding").here;
            let is_member_number =
                codings.iter().any(|coding| seen.text(*coding, "code").as_deref() == Some("MB"));
            is_member_number && seen.text(*identifier, "value").is_some()
        })
    };
    if own(patient) || push.of_kind("Coverage").any(&mut own) {
        return Vec::new();
    }
    for coverage in push.of_kind("Coverage") {
        match coverage.said(&coverage.at("subscriberId")) {
            Ok(()) => return Vec::new(),
            Err(rule) => cut_by = rule.or(cut_by),
        }
    }
    // Another payer's coverage would not have helped.
    let withheld = push.stays.iter().find(|(reference, rule)| {
        reference.starts_with("Coverage/") && *rule != crate::shape::OTHER_PAYER
    });
    vec![Lack::of(patient, "identifier", withheld.map(|(_, rule)| *rule).or(cut_by))]
}

/// The participants who may have attended or treated: their References.
fn treating<'s, 'r>(seen: &'s Seen<'r>) -> Vec<Node<'s, 'r>> {
    let participants = seen.at("participant").here.into_iter().filter(|participant| {
        let kinds = seen.below(*participant, "type.coding").here;
        let code = |kind: &Node<'s, 'r>| seen.text(*kind, "code");
        kinds.is_empty()
            || kinds.iter().filter_map(code).any(|code| TREATING.contains(&code.as_str()))
    });
    let people = participants.flat_map(|participant| seen.below(participant, "individual").here);
    people.filter(|person| names_somebody(seen, *person)).collect()
}

fn names_somebody<'r>(seen: &Seen<'r>, reference: Node<'_, 'r>) -> bool {
    let text = seen.text(reference, "reference");
    let is_relative = text.is_some_and(|text| text.contains("RelatedPerson/"));
    let named = ["reference", "identifier"].iter().filter_map(|name| reference.get(name));
    !is_relative && named.into_iter().any(|node| seen.says(node))
}

pub(super) fn encounter_practitioner<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    if !treating(seen).is_empty() {
        return Vec::new();
    }
    let cut_by = seen.at("participant.individual").cut_by;
    let cut_by = cut_by.or_else(|| seen.said(&seen.at("participant")).err().flatten());
    vec![Lack::of(seen, "participant.individual", cut_by)]
}

pub(super) fn encounter_npi<'r>(seen: &Seen<'r>, push: &Travelling<'r>) -> Vec<Lack> {
    let people = treating(seen);
    let Some(first) = people.first() else { return Vec::new() };
    let mut cut_by = None;
    for person in &people {
        match Number::Npi.behind(push, seen, *person) {
            Held::Good => return Vec::new(),
            Held::Wrong => {}
            Held::Missing(rule) => cut_by = cut_by.or(rule),
        }
    }
    vec![Lack { expression: first.expression(), cut_by: cut_by.map(str::to_owned) }]
}

pub(super) fn npi_missing<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    missing(seen, Number::Npi)
}

pub(super) fn tin_missing<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    missing(seen, Number::Tin)
}

fn missing(seen: &Seen<'_>, number: Number) -> Vec<Lack> {
    match number.of(seen, seen.root()) {
        Held::Missing(rule) => vec![Lack::of(seen, "identifier", rule)],
        Held::Good | Held::Wrong => Vec::new(),
    }
}

pub(super) fn npi_wrong<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    match Number::Npi.of(seen, seen.root()) {
        Held::Wrong => vec![Lack::of(seen, "identifier", None)],
        Held::Good | Held::Missing(_) => Vec::new(),
    }
}

/// A laboratory report whose performers have no CLIA number. One without a performer is told as
/// such.
pub(super) fn clia<'r>(seen: &Seen<'r>, push: &Travelling<'r>) -> Vec<Lack> {
    let performers = seen.at("performer").here;
    let mut cut_by = None;
    for performer in &performers {
        match Number::Clia.behind(push, seen, *performer) {
            Held::Missing(rule) => cut_by = cut_by.or(rule),
            Held::Good | Held::Wrong => return Vec::new(),
        }
    }
    let lack = || Lack::of(seen, "performer", cut_by);
    if performers.is_empty() { Vec::new() } else { vec![lack()] }
}

/// What gives a medication: a code of its own, or the Medication it refers to.
pub(super) fn medication<'r>(seen: &Seen<'r>, push: &Travelling<'r>) -> Vec<Lack> {
    let found = seen.at("medicationCodeableConcept");
    if found.here.iter().any(|concept| seen.is_coded(*concept, super::checks::MEDICINES)) {
        return Vec::new();
    }
    let referred = seen.at("medicationReference");
    let cut_by = found.cut_by.or(referred.cut_by);
    for reference in &referred.here {
        let (holder, node) = match push.follow(seen, *reference) {
            Leads::To(target) => (target, target.root()),
            Leads::Inside(node) => (seen, node),
            Leads::NoText | Leads::Nowhere => continue,
        };
        let code = holder.below(node, "code");
        if code.here.iter().any(|concept| holder.is_coded(*concept, super::checks::MEDICINES)) {
            return Vec::new();
        }
        if let Some(rule) = code.cut_by {
            return vec![Lack::of(seen, "medication", Some(rule))];
        }
    }
    vec![Lack::of(seen, "medication", cut_by)]
}

/// What holds a value: the observation, or each of its components.
fn holders<'s, 'r>(seen: &'s Seen<'r>) -> Vec<Node<'s, 'r>> {
    let components = seen.at("component").here;
    let own = seen.said(&seen.at("value[x]")).is_ok() || components.is_empty();
    own.then(|| seen.root()).into_iter().chain(components).collect()
}

/// US Core us-core-2: without components or members, a value or the reason why there is none. A
/// quantity without its number is no value.
pub(super) fn result_value<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    let is_panel = seen.said(&seen.at("hasMember")).is_ok();
    let lack = |holder: Node<'_, 'r>| {
        if holder == seen.root() && is_panel {
            return None;
        }
        let value = seen.below(holder, "value[x]");
        let number = seen.below(holder, "valueQuantity.value");
        let has_quantity = holder.get("valueQuantity").is_some();
        let told = seen.said(if has_quantity { &number } else { &value });
        let reason = seen.said(&seen.below(holder, "dataAbsentReason"));
        let rule = told.err().filter(|_| reason.is_err())?;
        Some(Lack::under(holder, "value", rule.or(value.cut_by)))
    };
    holders(seen).into_iter().filter_map(lack).collect()
}

/// Text that begins with a number, as `< 0.5` or `7.2 %`.
pub(super) fn number_in_words<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    let is_number = |holder: &Node<'_, 'r>| {
        let text = seen.text(*holder, "valueString").unwrap_or_default();
        let text = text.trim_start_matches(['<', '>', '=', '~', '+', '-', '≤', '≥', '±', ' ']);
        text.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let found = holders(seen).into_iter().filter(is_number);
    found.map(|holder| Lack::under(holder, "value", None)).collect()
}

/// The unit of a number, as far as it is given.
enum Unit<'r> {
    Ucum,
    Other,
    None(Option<&'r str>),
}

fn units<'s, 'r>(seen: &'s Seen<'r>) -> Vec<(Node<'s, 'r>, Unit<'r>)> {
    let unit = |quantity: Node<'s, 'r>| {
        let text = |name| seen.text(quantity, name);
        let (code, system) = (text("code"), text("system"));
        let is_ucum = system.is_some_and(|system| super::seen::is_of(&system, &UCUM));
        match (code, text("unit")) {
            (Some(code), _) if is_ucum && !code.contains(char::is_whitespace) => Unit::Ucum,
            (None, None) => {
                let cut = ["code", "unit"].into_iter().filter_map(|name| quantity.get(name));
                Unit::None(cut.into_iter().find_map(|node| seen.rule_over(&node.span())))
            }
            _ => Unit::Other,
        }
    };
    let quantities = holders(seen).into_iter().flat_map(|it| seen.below(it, "valueQuantity").here);
    let with_number = quantities.filter(|it| seen.text(*it, "value").is_some());
    with_number.map(|quantity| (quantity, unit(quantity))).collect()
}

pub(super) fn unit_missing<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    let none = |(quantity, unit): (Node<'_, 'r>, Unit<'r>)| match unit {
        Unit::None(rule) => Some(Lack::under(quantity, "code", rule)),
        Unit::Ucum | Unit::Other => None,
    };
    units(seen).into_iter().filter_map(none).collect()
}

pub(super) fn unit_not_ucum<'r>(seen: &Seen<'r>, _: &Travelling<'r>) -> Vec<Lack> {
    let other = units(seen).into_iter().filter(|(_, unit)| matches!(unit, Unit::Other));
    other.map(|(quantity, _)| Lack::under(quantity, "code", None)).collect()
}

/// A note's text: in the attachment, or in a Binary that travels.
pub(super) fn note_content<'r>(seen: &Seen<'r>, push: &Travelling<'r>) -> Vec<Lack> {
    let found = seen.at("content.attachment");
    let has_text = |attachment: &Node<'_, 'r>| {
        let url = seen.text(*attachment, "url").unwrap_or_default();
        seen.text(*attachment, "data").is_some() || push.holds(&url)
    };
    if found.here.iter().any(has_text) {
        return Vec::new();
    }
    let inner = ["content.attachment.data", "content.attachment.url"];
    let cut_by = found.cut_by.or_else(|| inner.iter().find_map(|path| seen.at(path).cut_by));
    vec![Lack::of(seen, "content.attachment", cut_by)]
}

/// References that are needed to understand the resource and lead to nothing that travels: the
/// source does not hold their target, or they lead elsewhere.
pub(super) fn dangling<'r>(
    seen: &Seen<'r>,
    push: &Travelling<'r>,
    paths: &[&'static str],
) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for path in paths {
        for node in seen.whole(path) {
            let is_reference = node.kind() == Kind::Object && node.get("reference").is_some();
            let dangles = match seen.rule_over(&node.span()) {
                Some(rule) => super::is_broken(rule),
                None => is_reference && matches!(push.follow(seen, node), Leads::Nowhere),
            };
            if is_reference && dangles {
                lacks.push(Lack { expression: node.expression(), cut_by: None });
            }
        }
    }
    lacks
}
