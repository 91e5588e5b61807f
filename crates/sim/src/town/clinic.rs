//! Clinic: what happens to an invented patient at each encounter, as US Core resources.
//!
//! Comes in   a person, a hospital, a die.
//! Goes out   Encounters, each with its diagnoses, vital signs, laboratory report, procedure,
//!            prescription, vaccine, order and note.
//! Never      a clinical truth: values are drawn, so that they look like values.
//!
//! A prescription at a later encounter names the diagnosis of an earlier one as its reason. Real
//! charts do so thousands of times, and it is how one encounter's push comes to hold another's
//! data.

use super::Draft;
use super::dice::Dice;
use super::house::{House, profile};
use super::numbers::base64;
use super::person::Person;
use super::words::{
    Code, DIAGNOSES, LABS, MEDICINES, Measure, PANEL, PRESSURES, PROCEDURES, VACCINES, VITALS,
};
use serde_json::{Value, json};

const LOINC: &str = "http://loinc.org";
const SNOMED: &str = "http://snomed.info/sct";
const ICD10: &str = "http://hl7.org/fhir/sid/icd-10-cm";
const UCUM: &str = "http://unitsofmeasure.org";

/// The last finished encounter is in this month or up to two before it: September 2026.
const LAST_MONTH: u32 = 2026 * 12 + 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Emergency,
    Clinic,
    Ward,
}

/// One patient's time in one hospital.
pub(super) struct Clinic<'a> {
    draft: &'a mut Draft,
    house: &'a House,
    person: &'a Person,
    coverages: Vec<String>,
    dice: Dice,
    /// The first diagnosis of the encounter before.
    earlier: Option<String>,
    creatinine_seen: bool,
}

/// What the resources of one encounter share.
struct Visit {
    encounter: String,
    setting: Setting,
    date: String,
    practitioner: (String, String),
}

impl Visit {
    /// A time on the day, with the hospital's offset.
    fn at(&self, hour: u32, minute: u32) -> String {
        format!("{}T{hour:02}:{minute:02}:00-05:00", self.date)
    }
}

impl<'a> Clinic<'a> {
    pub(super) fn new(
        draft: &'a mut Draft,
        house: &'a House,
        person: &'a Person,
        coverages: Vec<String>,
        dice: Dice,
    ) -> Clinic<'a> {
        Clinic { draft, house, person, coverages, dice, earlier: None, creatinine_seen: false }
    }

    /// Lives through the encounters, oldest first, and returns the finished ones' references.
    pub(super) fn all_encounters(&mut self, finished: u32, in_progress: bool) -> Vec<String> {
        let mut encounters = Vec::new();
        for place in 0..finished {
            let months_back = 3 * (finished - 1 - place) + self.dice.below(3);
            let visit = self.visit(LAST_MONTH.saturating_sub(months_back));
            let diagnoses = self.diagnoses(&visit);
            self.encounter(&visit, &diagnoses, true);
            self.care(&visit, &diagnoses, place);
            self.earlier = diagnoses.into_iter().next().map(|(reference, _)| reference);
            encounters.push(visit.encounter);
        }
        if in_progress {
            let visit = self.visit(LAST_MONTH + 1);
            self.encounter(&visit, &[], false);
            self.vital_signs(&visit);
        }
        encounters
    }

    fn visit(&mut self, month: u32) -> Visit {
        let setting = match self.dice.below(4) {
            0 => Setting::Ward,
            1 => Setting::Emergency,
            _ => Setting::Clinic,
        };
        let day = self.dice.between(1, 24);
        Visit {
            encounter: format!("Encounter/{}", self.draft.id("enc")),
            setting,
            date: format!("{}-{:02}-{day:02}", month / 12, month % 12 + 1),
            practitioner: self.dice.pick(&self.house.practitioners).clone(),
        }
    }

    fn care(&mut self, visit: &Visit, diagnoses: &[(String, Code)], place: u32) {
        self.vital_signs(visit);
        let order = self.order(visit);
        self.report(visit, &order);
        if place == 0 && self.dice.below(3) > 0 {
            let (id, kind) = (self.draft.id("alg"), self.dice.below(2) as usize);
            let encounter = (kind == 0).then_some(visit.encounter.as_str());
            self.draft.add(self.person.allergy(&id, kind, encounter));
        }
        if self.dice.below(2) == 0 {
            self.procedure(visit, diagnoses);
        }
        self.prescription(visit, diagnoses);
        if visit.setting == Setting::Clinic {
            self.vaccine(visit);
        }
        self.note(visit, diagnoses);
    }

    /// A resource with what every resource of an encounter begins with.
    fn resource(&mut self, kind: &str, prefix: &'static str, us_core: &str) -> Value {
        let id = self.draft.id(prefix);
        json!({ "resourceType": kind, "id": id, "meta": profile(us_core) })
    }

    fn add(&mut self, mut resource: Value, members: Value) -> String {
        if let (Value::Object(resource), Value::Object(members)) = (&mut resource, members) {
            resource.extend(members);
        }
        self.draft.add(resource)
    }

    fn encounter(&mut self, visit: &Visit, diagnoses: &[(String, Code)], finished: bool) {
        let (class, class_display, kind, room) = match visit.setting {
            Setting::Emergency => ("EMER", "emergency", EMERGENCY, 0),
            Setting::Clinic => ("AMB", "ambulatory", PROBLEM, 1),
            Setting::Ward => ("IMP", "inpatient encounter", ADMISSION, 2),
        };
        let mut period = json!({ "start": visit.at(9, 0) });
        if finished {
            period["end"] =
                json!(visit.at(if visit.setting == Setting::Ward { 17 } else { 10 }, 45));
        }
        let id = visit.encounter.trim_start_matches("Encounter/");
        let (practitioner, display) = &visit.practitioner;
        let mut encounter = json!({
            "resourceType": "Encounter",
            "id": id,
            "meta": profile("us-core-encounter"),
            "identifier": [{
                "use": "usual",
                "type": { "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "VN",
                }] },
                "system": "https://visits.example/number",
                "value": format!("V{}", id.trim_start_matches("enc-")),
            }],
            "status": if finished { "finished" } else { "in-progress" },
            "class": {
                "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                "code": class,
                "display": class_display,
            },
            "type": [concept(SNOMED, kind)],
            "subject": { "reference": self.person.reference() },
            "participant": [{
                "type": [{ "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                    "code": "ATND",
                    "display": "attender",
                }] }],
                "period": period,
                "individual": { "reference": practitioner, "display": display },
            }],
            "period": period,
            "reasonCode": diagnoses.iter().take(1).map(|(_, code)| concept(SNOMED, *code))
                .collect::<Vec<_>>(),
            "diagnosis": diagnoses.iter().enumerate().map(|(place, (condition, _))| json!({
                "condition": { "reference": condition }, "rank": place + 1,
            })).collect::<Vec<_>>(),
            "hospitalization": { "dischargeDisposition": { "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/discharge-disposition",
                "code": "home",
                "display": "Home",
            }] } },
            "location": [{ "location": { "reference": self.house.locations[room] } }],
            "serviceProvider": { "reference": self.house.organization },
        });
        if let Value::Object(members) = &mut encounter {
            // FHIR has no empty arrays, and only those who stayed are discharged.
            members.retain(|_, member| member.as_array().is_none_or(|items| !items.is_empty()));
            if visit.setting != Setting::Ward || !finished {
                members.shift_remove("hospitalization");
            }
        }
        self.draft.add(encounter);
    }

    fn diagnoses(&mut self, visit: &Visit) -> Vec<(String, Code)> {
        let first = self.dice.below(8) as usize;
        let count = self.dice.between(1, 2) as usize;
        (0..count)
            .map(|place| {
                let (icd, snomed) = DIAGNOSES[(first + place * 3) % DIAGNOSES.len()];
                let condition =
                    self.resource("Condition", "cond", "us-core-condition-encounter-diagnosis");
                let reference = self.add(
                    condition,
                    json!({
                        "clinicalStatus": { "coding": [{
                            "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                            "code": "active",
                        }] },
                        "verificationStatus": { "coding": [{
                            "system": "http://terminology.hl7.org/CodeSystem/condition-ver-status",
                            "code": "confirmed",
                        }] },
                        "category": [{ "coding": [{
                            "system": "http://terminology.hl7.org/CodeSystem/condition-category",
                            "code": "encounter-diagnosis",
                            "display": "Encounter Diagnosis",
                        }] }],
                        "code": {
                            "coding": [coding(ICD10, icd), coding(SNOMED, snomed)],
                            "text": icd.1,
                        },
                        "subject": { "reference": self.person.reference() },
                        "encounter": { "reference": visit.encounter },
                        "onsetDateTime": visit.date,
                        "recordedDate": visit.at(9, 20),
                    }),
                );
                (reference, snomed)
            })
            .collect()
    }

    fn vital_signs(&mut self, visit: &Visit) {
        let mut pressure = self.observation(visit, "us-core-blood-pressure", "vital-signs");
        pressure["code"] =
            concept(LOINC, ("85354-9", "Blood pressure panel with all children optional"));
        let components: Vec<_> = PRESSURES
            .iter()
            .map(|measure| {
                let value = self.dice.between(measure.seen.0, measure.seen.1);
                json!({
                    "code": concept(LOINC, measure.code), "valueQuantity": quantity(measure, value),
                })
            })
            .collect();
        pressure["component"] = Value::from(components);
        self.draft.add(pressure);
        for measure in &VITALS {
            let value = self.dice.between(measure.seen.0, measure.seen.1);
            let mut sign = self.observation(visit, "us-core-vital-signs", "vital-signs");
            sign["code"] = concept(LOINC, measure.code);
            sign["valueQuantity"] = quantity(measure, value);
            self.draft.add(sign);
        }
    }

    fn observation(&mut self, visit: &Visit, us_core: &str, category: &str) -> Value {
        let mut observation = self.resource("Observation", "obs", us_core);
        observation["status"] = json!("final");
        observation["category"] = json!([{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category,
        }] }]);
        observation["code"] = Value::Null; // keeps its place in the usual order
        observation["subject"] = json!({ "reference": self.person.reference() });
        observation["encounter"] = json!({ "reference": visit.encounter });
        observation["effectiveDateTime"] = json!(visit.at(9, 30));
        observation["issued"] = json!(visit.at(10, 15));
        observation["performer"] = json!([{ "reference": visit.practitioner.0 }]);
        observation
    }

    fn order(&mut self, visit: &Visit) -> String {
        let order = self.resource("ServiceRequest", "ord", "us-core-servicerequest");
        let insurance: Vec<_> =
            self.coverages.iter().map(|coverage| json!({ "reference": coverage })).collect();
        let mut members = json!({
            "status": "completed",
            "intent": "order",
            "category": [concept(SNOMED, ("108252007", "Laboratory procedure (procedure)"))],
            "code": concept(LOINC, PANEL),
            "subject": { "reference": self.person.reference() },
            "encounter": { "reference": visit.encounter },
            "occurrenceDateTime": visit.at(9, 25),
            "authoredOn": visit.at(9, 22),
            "requester": { "reference": visit.practitioner.0 },
        });
        if !insurance.is_empty() {
            members["insurance"] = Value::from(insurance);
        }
        self.add(order, members)
    }

    fn report(&mut self, visit: &Visit, order: &str) {
        let count = self.dice.between(3, 6) as usize;
        let results: Vec<_> = LABS
            .iter()
            .take(count)
            .map(|measure| json!({ "reference": self.lab(visit, order, measure) }))
            .collect();
        let report = self.resource("DiagnosticReport", "rep", "us-core-diagnosticreport-lab");
        self.add(
            report,
            json!({
                "basedOn": [{ "reference": order }],
                "status": "final",
                "category": [{ "coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB",
                }] }],
                "code": concept(LOINC, PANEL),
                "subject": { "reference": self.person.reference() },
                "encounter": { "reference": visit.encounter },
                "effectiveDateTime": visit.at(9, 30),
                "issued": visit.at(10, 30),
                "performer": [{ "reference": self.house.organization }],
                "result": results,
            }),
        );
    }

    fn lab(&mut self, visit: &Visit, order: &str, measure: &Measure) -> String {
        let drawn = self.dice.between(measure.seen.0, measure.seen.1);
        // A decimal that a careless reader would shorten, once for every patient.
        let first = !self.creatinine_seen && measure.code.0 == "2160-0";
        let value = if first { 100 } else { drawn };
        self.creatinine_seen |= first;
        let (low, high) = measure.normal;
        let (flag, flag_display) = match value {
            value if value < low => ("L", "Low"),
            value if value > high => ("H", "High"),
            _ => ("N", "Normal"),
        };
        let mut lab = self.observation(visit, "us-core-observation-lab", "laboratory");
        lab["basedOn"] = json!([{ "reference": order }]);
        lab["code"] = concept(LOINC, measure.code);
        lab["valueQuantity"] = quantity(measure, value);
        lab["interpretation"] = json!([{ "coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
            "code": flag,
            "display": flag_display,
        }] }]);
        lab["referenceRange"] =
            json!([{ "low": quantity(measure, low), "high": quantity(measure, high) }]);
        self.draft.add(lab)
    }

    fn procedure(&mut self, visit: &Visit, diagnoses: &[(String, Code)]) {
        let code = *self.dice.pick(&PROCEDURES);
        let procedure = self.resource("Procedure", "proc", "us-core-procedure");
        let reasons: Vec<_> = diagnoses
            .iter()
            .take(1)
            .map(|(reference, _)| json!({ "reference": reference }))
            .collect();
        self.add(
            procedure,
            json!({
                "status": "completed",
                "code": concept(SNOMED, code),
                "subject": { "reference": self.person.reference() },
                "encounter": { "reference": visit.encounter },
                "performedPeriod": { "start": visit.at(9, 40), "end": visit.at(9, 55) },
                "performer": [{ "actor": { "reference": visit.practitioner.0 } }],
                "reasonReference": reasons,
            }),
        );
    }

    fn prescription(&mut self, visit: &Visit, diagnoses: &[(String, Code)]) {
        let medicine = *self.dice.pick(&MEDICINES);
        let own = diagnoses.first().map(|(reference, _)| reference.clone());
        let request = self.resource("MedicationRequest", "med", "us-core-medicationrequest");
        let reason = self.earlier.clone().or(own).unwrap_or_default();
        self.add(
            request,
            json!({
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept":
                    concept("http://www.nlm.nih.gov/research/umls/rxnorm", medicine),
                "subject": { "reference": self.person.reference() },
                "encounter": { "reference": visit.encounter },
                "authoredOn": visit.at(10, 20),
                "requester": { "reference": visit.practitioner.0 },
                "reasonReference": [{ "reference": reason }],
                "dosageInstruction": [{
                    "text": "1 tablet by mouth once a day",
                    "doseAndRate": [{ "doseQuantity": {
                        "value": decimal(10, 1), "unit": "tablet", "system": UCUM, "code": "{tbl}",
                    } }],
                }],
            }),
        );
    }

    fn vaccine(&mut self, visit: &Visit) {
        let vaccine = *self.dice.pick(&VACCINES);
        let immunization = self.resource("Immunization", "imm", "us-core-immunization");
        self.add(
            immunization,
            json!({
                "status": "completed",
                "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", vaccine),
                "patient": { "reference": self.person.reference() },
                "encounter": { "reference": visit.encounter },
                "occurrenceDateTime": visit.at(10, 25),
                "primarySource": true,
                "location": { "reference": self.house.locations[1] },
            }),
        );
    }

    fn note(&mut self, visit: &Visit, diagnoses: &[(String, Code)]) {
        let (code, title) = match visit.setting {
            Setting::Ward => (("18842-5", "Discharge summary"), "Discharge summary"),
            _ => (("11506-3", "Progress note"), "Progress note"),
        };
        let findings: Vec<_> =
            diagnoses.iter().map(|(_, (_, display))| format!("- {display}\n")).collect();
        let text = format!(
            "{title}\n{}\n\nAssessment\n{}\nPlan\nContinue as before; come back in three months.\n\n{}\n",
            visit.date,
            findings.concat(),
            visit.practitioner.1,
        );
        let document = self.resource("DocumentReference", "doc", "us-core-documentreference");
        self.add(document, json!({
            "status": "current",
            "type": concept(LOINC, code),
            "category": [{ "coding": [{
                "system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                "code": "clinical-note",
                "display": "Clinical Note",
            }] }],
            "subject": { "reference": self.person.reference() },
            "date": visit.at(11, 0),
            "author": [{ "reference": visit.practitioner.0 }],
            "custodian": { "reference": self.house.organization },
            "content": [{ "attachment": {
                "contentType": "text/plain; charset=utf-8", "data": base64(text.as_bytes()),
                "title": title,
            } }],
            "context": {
                "encounter": [{ "reference": visit.encounter }],
                "period": { "start": visit.at(9, 0), "end": visit.at(10, 45) },
            },
        }));
    }
}

const EMERGENCY: Code = ("50849002", "Emergency room admission (procedure)");
const PROBLEM: Code = ("185347001", "Encounter for problem (procedure)");
const ADMISSION: Code = ("32485007", "Hospital admission (procedure)");

fn coding(system: &str, (code, display): Code) -> Value {
    json!({ "system": system, "code": code, "display": display })
}

fn concept(system: &str, code: Code) -> Value {
    json!({ "coding": [coding(system, code)], "text": code.1 })
}

fn quantity(measure: &Measure, steps: u32) -> Value {
    json!({
        "value": decimal(steps, measure.digits),
        "unit": measure.unit,
        "system": UCUM,
        "code": measure.unit,
    })
}

/// A decimal with all its digits: 100 steps of a hundredth are `1.00`, not `1`.
fn decimal(steps: u32, digits: u32) -> Value {
    let whole = 10_u32.pow(digits);
    let text = match digits {
        0 => steps.to_string(),
        _ => format!("{}.{:0width$}", steps / whole, steps % whole, width = digits as usize),
    };
    serde_json::from_str(&text).unwrap_or_default()
}
