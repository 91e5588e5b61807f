//! Read: from resources to the sections of a page.
//!
//! Comes in   resources as JSON trees. Trees are good enough here: nothing of this is sent on.
//! Goes out   a page without what was withheld.
//! Never      leaves a resource out in silence: types without a section are counted at the end.

use super::words::{
    coding, concept, concepts, each, first_name, identifiers, joined, measured, period, plain,
    quantity, range, time,
};
use super::{Body, Note, Page, Section, table};
use crate::limits::NOTE_BYTES_MAX;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The resources of a page, by type and by reference.
struct Chart<'a> {
    all: &'a [Value],
    by_reference: HashMap<String, &'a Value>,
}

/// Builds the page.
pub(super) fn page(title: String, resources: &[Value]) -> Page {
    let key = |it: &Value| format!("{}/{}", plain(&it["resourceType"]), plain(&it["id"]));
    let by_reference = resources.iter().map(|it| (key(it), it)).collect();
    let chart = Chart { all: resources, by_reference };
    let mut facts = Vec::new();
    for patient in chart.of("Patient") {
        facts.extend(patient_facts(patient));
    }
    let sections = [
        chart.visits(),
        chart.diagnoses(),
        chart.results(),
        chart.reports(),
        chart.medications(),
        chart.allergies(),
        chart.procedures(),
        chart.immunizations(),
        chart.orders(),
        chart.notes(),
        chart.care_teams(),
        chart.people(),
        chart.organizations(),
        chart.coverage(),
        chart.others(),
    ];
    Page { title, facts, sections: sections.into_iter().flatten().collect() }
}

fn patient_facts(patient: &Value) -> Vec<(String, String)> {
    let address = each(&patient["address"]).next().map(|it| {
        let lines = each(&it["line"]).map(plain);
        joined(lines.chain(["city", "state", "postalCode"].map(|part| plain(&it[part]))), ", ")
    });
    let facts = [
        ("Patient", first_name(patient)),
        ("Born", plain(&patient["birthDate"])),
        ("Gender", plain(&patient["gender"])),
        ("Numbers", identifiers(&patient["identifier"])),
        ("Address", address.unwrap_or_default()),
        ("Telephone", joined(each(&patient["telecom"]).map(|it| plain(&it["value"])), ", ")),
    ];
    let told = facts.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

impl<'a> Chart<'a> {
    fn of(&self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.all.iter().filter(move |it| it["resourceType"] == kind)
    }

    /// What a reference points to, in words: its display, else the name of its target.
    fn named(&self, reference: &Value) -> String {
        let display = plain(&reference["display"]);
        if !display.is_empty() {
            return display;
        }
        let Some(target) = self.by_reference.get(plain(&reference["reference"]).as_str()) else {
            return String::new();
        };
        let named = [
            plain(&target["name"]),
            first_name(target),
            concept(&target["code"]),
            self.role(target),
        ];
        named.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    }

    fn role(&self, target: &Value) -> String {
        if target["resourceType"] != "PractitionerRole" {
            return String::new();
        }
        joined([self.named(&target["practitioner"]), concepts(&target["code"])], ", ")
    }

    fn visits(&self) -> Option<Section> {
        let row = |it: &Value| {
            let who = each(&it["participant"]).map(|part| self.named(&part["individual"]));
            let places = each(&it["location"]).map(|part| self.named(&part["location"]));
            let places = joined(places, ", ");
            let place = if places.is_empty() { self.named(&it["serviceProvider"]) } else { places };
            vec![
                period(&it["period"]),
                joined([class_words(&it["class"]), concepts(&it["type"])], ", "),
                plain(&it["status"]),
                concepts(&it["reasonCode"]),
                place,
                joined(who, ", "),
                concept(&it["hospitalization"]["dischargeDisposition"]),
            ]
        };
        let head = ["When", "What", "Status", "Reason", "Where", "With", "Discharged to"];
        table("Visit", &head, self.of("Encounter").map(row).collect())
    }

    fn diagnoses(&self) -> Option<Section> {
        let row = |it: &Value| {
            let onset = [time(&it["onsetDateTime"]), period(&it["onsetPeriod"])];
            vec![
                concept(&it["code"]),
                concept(&it["clinicalStatus"]),
                concept(&it["verificationStatus"]),
                concepts(&it["category"]),
                joined(onset, ""),
            ]
        };
        let head = ["Diagnosis", "Status", "Certainty", "Kind", "Since"];
        table("Diagnoses and problems", &head, self.of("Condition").map(row).collect())
    }

    fn results(&self) -> Option<Section> {
        let mut rows = Vec::new();
        for it in self.of("Observation") {
            rows.push(vec![
                concept(&it["code"]),
                measured(it),
                joined(each(&it["interpretation"]).map(concept), ", "),
                joined(each(&it["referenceRange"]).map(range), "; "),
                joined([time(&it["effectiveDateTime"]), period(&it["effectivePeriod"])], ""),
                plain(&it["status"]),
            ]);
            for part in each(&it["component"]) {
                let ranges = joined(each(&part["referenceRange"]).map(range), "; ");
                let name = format!("- {}", concept(&part["code"]));
                let high = joined(each(&part["interpretation"]).map(concept), ", ");
                rows.push(vec![name, measured(part), high, ranges, String::new(), String::new()]);
            }
        }
        let head = ["Result", "Value", "Reading", "Usual range", "When", "Status"];
        table("Results and observations", &head, rows)
    }

    fn reports(&self) -> Option<Section> {
        let row = |it: &Value| {
            vec![
                concept(&it["code"]),
                concepts(&it["category"]),
                plain(&it["status"]),
                joined([time(&it["effectiveDateTime"]), period(&it["effectivePeriod"])], ""),
                plain(&it["conclusion"]),
                joined(each(&it["performer"]).map(|who| self.named(who)), ", "),
            ]
        };
        let head = ["Report", "Kind", "Status", "When", "Conclusion", "By"];
        table("Reports", &head, self.of("DiagnosticReport").map(row).collect())
    }

    fn medications(&self) -> Option<Section> {
        let kinds = ["MedicationRequest", "MedicationAdministration", "MedicationStatement"];
        let kinds = kinds.into_iter().chain(["MedicationDispense"]);
        let row = |it: &Value| {
            let drug =
                [concept(&it["medicationCodeableConcept"]), self.named(&it["medicationReference"])];
            let doses = each(&it["dosageInstruction"]).map(dosage);
            let given = quantity(&it["dosage"]["dose"]);
            let times =
                ["authoredOn", "effectiveDateTime", "whenHandedOver"].map(|at| time(&it[at]));
            vec![
                joined(drug, ", "),
                joined(doses.chain([given]), "; "),
                joined([plain(&it["intent"]), plain(&it["status"])], ", "),
                joined(times, ""),
                self.named(&it["requester"]),
            ]
        };
        let head = ["Medication", "How", "Status", "When", "By"];
        table("Medications", &head, kinds.flat_map(|kind| self.of(kind)).map(row).collect())
    }

    fn allergies(&self) -> Option<Section> {
        let row = |it: &Value| {
            let signs = each(&it["reaction"]).map(|it| concepts(&it["manifestation"]));
            vec![
                concept(&it["code"]),
                joined(signs, ", "),
                plain(&it["criticality"]),
                concept(&it["clinicalStatus"]),
            ]
        };
        let head = ["Allergy", "Reaction", "Criticality", "Status"];
        table("Allergies", &head, self.of("AllergyIntolerance").map(row).collect())
    }

    fn procedures(&self) -> Option<Section> {
        let row = |it: &Value| {
            let times = [time(&it["performedDateTime"]), period(&it["performedPeriod"])];
            vec![
                concept(&it["code"]),
                joined(times, ""),
                plain(&it["status"]),
                concepts(&it["reasonCode"]),
                joined(each(&it["performer"]).map(|who| self.named(&who["actor"])), ", "),
            ]
        };
        let head = ["Procedure", "When", "Status", "Reason", "By"];
        table("Procedures", &head, self.of("Procedure").map(row).collect())
    }

    fn immunizations(&self) -> Option<Section> {
        let row = |it: &Value| {
            let when = [time(&it["occurrenceDateTime"]), plain(&it["occurrenceString"])];
            vec![concept(&it["vaccineCode"]), joined(when, ""), plain(&it["status"])]
        };
        let head = ["Vaccine", "When", "Status"];
        table("Immunizations", &head, self.of("Immunization").map(row).collect())
    }

    fn orders(&self) -> Option<Section> {
        let row = |it: &Value| {
            vec![
                concept(&it["code"]),
                joined([plain(&it["intent"]), plain(&it["status"])], ", "),
                time(&it["authoredOn"]),
                self.named(&it["requester"]),
            ]
        };
        let head = ["Order", "Status", "When", "By"];
        table("Orders", &head, self.of("ServiceRequest").map(row).collect())
    }

    /// Texts of notes and reports. One text that two resources carry is shown once.
    fn notes(&self) -> Option<Section> {
        let mut notes: Vec<Note> = Vec::new();
        for it in self.of("DocumentReference") {
            let authors = joined(each(&it["author"]).map(|who| self.named(who)), ", ");
            let title = joined([concept(&it["type"]), time(&it["date"]), authors], ", ");
            let attachments = each(&it["content"]).map(|content| &content["attachment"]);
            notes.extend(attachments.map(|it| Note { title: title.clone(), text: attachment(it) }));
        }
        for it in self.of("DiagnosticReport") {
            let title = joined([concept(&it["code"]), time(&it["effectiveDateTime"])], ", ");
            let forms = each(&it["presentedForm"]);
            notes.extend(forms.map(|it| Note { title: title.clone(), text: attachment(it) }));
        }
        let mut seen = Vec::new();
        notes.retain(|note| {
            let fresh = !seen.contains(&note.text);
            seen.push(note.text.clone());
            fresh
        });
        (!notes.is_empty()).then_some(Section { title: "Notes", body: Body::Notes(notes) })
    }

    fn care_teams(&self) -> Option<Section> {
        let mut rows = Vec::new();
        for team in self.of("CareTeam") {
            for part in each(&team["participant"]) {
                rows.push(vec![self.named(&part["member"]), concepts(&part["role"])]);
            }
        }
        table("Care team", &["Who", "Role"], rows)
    }

    fn people(&self) -> Option<Section> {
        let clinicians = self.of("Practitioner").map(|it| {
            let id = format!("Practitioner/{}", plain(&it["id"]));
            let roles = self.of("PractitionerRole");
            let own = roles.filter(|role| role["practitioner"]["reference"] == id.as_str());
            let roles = joined(own.map(|role| concepts(&role["code"])), ", ");
            vec![first_name(it), roles, identifiers(&it["identifier"])]
        });
        table("Clinicians", &["Name", "Role", "Numbers"], clinicians.collect())
    }

    fn organizations(&self) -> Option<Section> {
        let row = |it: &Value| {
            vec![plain(&it["name"]), concepts(&it["type"]), identifiers(&it["identifier"])]
        };
        let all = self.of("Organization").chain(self.of("Location"));
        table("Organizations and places", &["Name", "Kind", "Numbers"], all.map(row).collect())
    }

    fn coverage(&self) -> Option<Section> {
        let row = |it: &Value| {
            vec![
                joined(each(&it["payor"]).map(|payor| self.named(payor)), ", "),
                plain(&it["subscriberId"]),
                plain(&it["status"]),
                period(&it["period"]),
            ]
        };
        let head = ["Plan", "Member id", "Status", "When"];
        table("Coverage", &head, self.of("Coverage").map(row).collect())
    }

    fn others(&self) -> Option<Section> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for it in self.all {
            let kind = plain(&it["resourceType"]);
            if !SHOWN.contains(&kind.as_str()) {
                *counts.entry(kind).or_default() += 1;
            }
        }
        let sentences = counts.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        let body = Body::Sentences(sentences);
        (!counts.is_empty()).then_some(Section { title: "Also here", body })
    }
}

/// Types that have a section, or speak through another's.
const SHOWN: [&str; 21] = [
    "AllergyIntolerance",
    "CareTeam",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Immunization",
    "Location",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "ServiceRequest",
];

fn class_words(class: &Value) -> String {
    match plain(&class["code"]).as_str() {
        "AMB" => "outpatient visit".to_owned(),
        "EMER" => "emergency".to_owned(),
        "IMP" | "ACUTE" | "NONAC" => "inpatient stay".to_owned(),
        "HH" => "home visit".to_owned(),
        "VR" => "virtual visit".to_owned(),
        "OBSENC" => "observation stay".to_owned(),
        _ => coding(class),
    }
}

fn dosage(value: &Value) -> String {
    let text = plain(&value["text"]);
    if !text.is_empty() {
        return text;
    }
    let doses = each(&value["doseAndRate"]).map(|it| quantity(&it["doseQuantity"]));
    joined(doses.chain([concept(&value["timing"]["code"])]), ", ")
}

/// The text of an attachment, or what it is instead.
fn attachment(value: &Value) -> String {
    let kind = plain(&value["contentType"]);
    let data = value["data"].as_str().and_then(|data| STANDARD.decode(data.trim()).ok());
    let Some(data) = data else { return format!("(a document of type {kind}, not part of this)") };
    if !kind.starts_with("text/") {
        return format!("(a document of type {kind}, {} bytes)", data.len());
    }
    let whole = String::from_utf8_lossy(&data);
    let whole =
        if kind.starts_with("text/html") { without_tags(&whole) } else { whole.into_owned() };
    let mut end = whole.len().min(NOTE_BYTES_MAX);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    match whole.len() - end {
        0 => whole,
        rest => format!("{}\n({rest} more bytes)", &whole[..end]),
    }
}

fn without_tags(text: &str) -> String {
    let mut inside = false;
    let kept = text.chars().filter(|char| {
        inside = (inside || *char == '<') && *char != '>';
        !inside && *char != '>'
    });
    kept.collect()
}
