//! Agreements: rules drawn from a pool, for two plans.

use crate::dice::Dice;
use crate::doors::Rung;
use exchange::Purpose;
use exchange::agreement::{Agreement, PayerIdentifier};
use exchange::usability::FindingCode;

pub(crate) const PAYERS: [(&str, &str); 2] = [("sunrise", "99001"), ("sunset", "99002")];

const PURPOSES: [Purpose; 5] = [
    Purpose::Payment,
    Purpose::Operations,
    Purpose::Treatment,
    Purpose::Coverage,
    Purpose::Quality,
];

const SEARCHED: [&str; 10] = [
    "AllergyIntolerance",
    "Condition",
    "Observation",
    "DiagnosticReport",
    "Procedure",
    "MedicationRequest",
    "Immunization",
    "DocumentReference",
    "ServiceRequest",
    "CareTeam",
];

const REACHED: [&str; 10] = [
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "Medication",
    "Specimen",
    "Binary",
    "Coverage",
    "Account",
    "Provenance",
];

const WITHHOLDS: [&str; 12] = [
    "having = { where = \"encounter\", path = \"class\", codes = [\"EMER\", \"IMP\"] }",
    "having = { where = \"encounter\", path = \"meta.security\", codes = [\"R\", \"PSY\"] }",
    "types = [\"Observation\", \"Condition\"]\nhaving = { where = \"encounter\", path = \"class\", \
     codes = [\"AMB\"] }\nsensitive = false",
    "types = [\"Observation\"]\nhaving = { path = \"category\", codes = [\"laboratory\"] }\n\
     within_days = 120",
    "types = [\"Observation\"]\nhaving = { path = \"category\", codes = [\"vital-signs\"] }",
    "types = [\"Observation\"]\nhaving = { path = \"code\", codes = [\"http://loinc.org|2160-0\"] }",
    "having = { path = \"descendants()\", codes = [\"http://loinc.org|2345-7\"] }",
    "having = { path = \"descendants()\", value_set = \"psychotherapy-notes\" }",
    "having = { path = \"descendants()\", value_set = \"substance-use\" }\nreason = \"needs consent\"",
    "types = [\"Condition\"]\nhaving = { path = \"clinicalStatus\", codes = [\"active\"] }",
    "having = { path = \"status\", codes = [\"entered-in-error\"] }",
    "types = [\"DocumentReference\"]\nhaving = { path = \"type\", codes = [\"11506-3\"] }",
];

const CUTS: [&str; 32] = [
    "Patient.identifier",
    "Patient.name.given",
    "Patient.name",
    "Patient.address",
    "Patient.telecom.value",
    "Patient.birthDate",
    "Patient.extension",
    "Encounter.participant",
    "Encounter.participant.period",
    "Encounter.participant.individual.display",
    "Encounter.reasonCode",
    "Encounter.identifier",
    "Encounter.period.end",
    "Encounter.hospitalization",
    "Encounter.serviceProvider",
    "Observation.value",
    "Observation.component",
    "Observation.valueQuantity.code",
    "Observation.performer",
    "Observation.basedOn",
    "DiagnosticReport.result",
    "DiagnosticReport.performer",
    "DocumentReference.content.attachment.data",
    "DocumentReference.author",
    "Practitioner.identifier",
    "Organization.identifier",
    "Coverage.subscriberId",
    "Coverage.identifier",
    "Resource.meta",
    "Resource.meta.profile",
    "Resource.extension",
    "Condition.code.coding.where(system='http://hl7.org/fhir/sid/icd-10-cm')",
];

/// Cuts at every depth.
const DEEP_CUTS: [&str; 3] = [
    "Resource.descendants().where(system='http://unitsofmeasure.org')",
    "Resource.descendants().where(type.coding.code~'SS')",
    "Resource.descendants().where(system='http://hl7.org/fhir/sid/us-npi')",
];

fn quoted<T: ToString>(words: &[T]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.to_string())).collect();
    format!("[{}]", words.join(", "))
}

/// Agreements with both plans, and the purpose that is asked for, which not all need to allow.
pub(crate) fn draw(dice: &mut Dice) -> (Vec<(Rung, String)>, Option<Purpose>) {
    let agreements: Vec<_> = PAYERS.iter().map(|payer| with_door(dice, payer)).collect();
    let asked = dice.chance(30).then(|| *dice.pick(&PURPOSES));
    (agreements, asked)
}

/// With what is said of the door and of documents, which every agreement may say.
fn with_door(dice: &mut Dice, payer: &(&str, &str)) -> (Rung, String) {
    let rung = Rung::draw(dice);
    let (form, door) = rung.terms(dice);
    let opaque = *dice.pick(&["withhold-in-sensitive-period", "withhold", "permit"]);
    let secondary = dice.chance(85);
    let written = ["form = ", "opaque = ", "secondary = "];
    let text = one(dice, payer);
    let kept = text.lines().filter(|line| !written.iter().any(|key| line.starts_with(key)));
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    let head = format!("form = \"{form}\"\nopaque = \"{opaque}\"\nsecondary = {secondary}\n");
    (rung, head + &kept + &door)
}

fn one(dice: &mut Dice, (name, number): &(&str, &str)) -> String {
    let first = *dice.pick(&PURPOSES);
    let mut purposes = vec![first];
    purposes.extend(dice.some(&PURPOSES, 50).into_iter().filter(|purpose| *purpose != first));
    let held = if dice.chance(25) { dice.some(FindingCode::ALL, 8) } else { Vec::new() };
    let held = format!("\n[usability]\nhold = {}\n", quoted(&held));
    if dice.chance(25) {
        let identifier = PayerIdentifier { system: None, value: (*number).to_owned() };
        return Agreement::default_text(&(*name).into(), &purposes, &[identifier]) + &held;
    }
    let searched = dice.some(&SEARCHED, 85);
    let mut text = format!(
        "partner = \"{name}\"\npurposes = {}\n[[payer_identifiers]]\nvalue = \"{number}\"\n\
         [encounter]\nstatuses = [\"finished\"]\ntypes = {}\n{held}{}",
        quoted(&purposes),
        quoted(&searched),
        history(dice),
    );
    let mut base = vec!["Patient", "Encounter"];
    base.extend(dice.some(&REACHED, 75));
    permit(&mut text, 0, &base, "");
    let narrowed = *dice.pick(&NARROWED);
    permit(&mut text, 1, &dice.some(&searched, 80), narrowed);
    let only = "only = { path = \"category\", codes = [\"laboratory\"] }";
    permit(&mut text, 2, &["Observation"], only);
    let some = dice.some(&searched, 50);
    if purposes.iter().any(|it| [Purpose::Treatment, Purpose::Quality].contains(it)) {
        permit(&mut text, 3, &some, "purposes = [\"TREAT\", \"HQUALIMP\"]");
    }
    for (at, rule) in dice.some(&WITHHOLDS, 15).iter().enumerate() {
        text.push_str(&format!("[[withhold]]\nrule = \"kept-{at}\"\n{rule}\n"));
    }
    let deep = dice.some(&DEEP_CUTS, 15);
    for (at, element) in dice.some(&CUTS, 8).iter().chain(&deep).enumerate() {
        text.push_str(&format!("[[cut]]\nrule = \"cut-{at}\"\nelement = \"{element}\"\n"));
        let excepted = if dice.chance(20) { dice.some(&PURPOSES, 30) } else { Vec::new() };
        if !excepted.is_empty() && !purposes.iter().all(|purpose| excepted.contains(purpose)) {
            text.push_str(&format!("except_purposes = {}\n", quoted(&excepted)));
        }
    }
    text
}

/// How far a history goes.
fn history(dice: &mut Dice) -> String {
    if dice.chance(50) {
        return String::new();
    }
    let (days, before) = (dice.pick(&[60, 400, 4_000]), dice.chance(50));
    let between = dice.chance(30);
    format!(
        "[history]\nlook_back_days = {days}\npre_coverage = {before}\nbetween_coverages = {between}\n"
    )
}

/// What a permit may ask beside the type.
const NARROWED: [&str; 7] = [
    "",
    "",
    "",
    "within_days = 120",
    "since = \"2026-06-01\"",
    "kinds = [\"history\", \"results\"]",
    "only = { where = \"encounter\", path = \"class\", codes = [\"AMB\", \"EMER\"] }",
];

fn permit(text: &mut String, number: usize, types: &[&str], more: &str) {
    if !types.is_empty() {
        let types = quoted(types);
        text.push_str(&format!(
            "[[permit]]\nrule = \"travels-{number}\"\ntypes = {types}\n{more}\n"
        ));
    }
}
