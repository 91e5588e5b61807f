//! Charts: a patient of the town, and what real charts have beside it: labels, references into
//! nothing, contained resources, other payers' papers, gaps.

use crate::dice::Dice;
use provider::setup::Feed;
use serde_json::{Value, json};
use sim::{Town, TownPlan};

/// The base URL of the EHR.
pub(crate) const EHR: &str = "https://ehr.example/fhir";

/// What an EHR holds, and what is restricted in it.
#[derive(Clone)]
pub(crate) struct Chart {
    pub(crate) all: Vec<Value>,
    /// `Encounter/<id>`, for what a change may hang on.
    encounter: String,
    /// What is to be pushed: an encounter, a report's results, a patient's history.
    pub(crate) subject: String,
    pub(crate) restrictions: String,
    /// The table of payors.
    pub(crate) payors: String,
}

pub(crate) fn draw(dice: &mut Dice, number: u64) -> Chart {
    let plan = TownPlan {
        hospitals: 1,
        plans: 2,
        patients_per_hospital: 1,
        encounters_per_patient: 2..=2,
    };
    let town = Town::generate(number, &plan);
    let hospital = &town.hospitals[0];
    let ids: Vec<&str> = hospital.chart.iter().map(|it| it.id.as_str()).collect();
    // No two cases share an id, so that all can live in one house.
    let own = |text: &str| {
        let rename = |text: String, id: &&str| {
            let text = text.replace(&format!("\"{id}\""), &format!("\"{id}-{number}\""));
            text.replace(&format!("/{id}\""), &format!("/{id}-{number}\""))
        };
        ids.iter().fold(text.to_owned(), rename)
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let all = hospital.chart.iter().map(|it| serde_json::from_str(&own(&text(&it.bytes))).unwrap());
    let mut all: Vec<Value> = all.collect();
    second_coverage(dice, &mut all);
    let mut of_kind = |kind: &str| {
        let found: Vec<String> =
            all.iter().filter(|it| it["resourceType"] == kind).map(reference).collect();
        dice.pick(&found).clone()
    };
    let encounter = of_kind("Encounter");
    let (report, patient) = (of_kind("DiagnosticReport"), of_kind("Patient"));
    let subject = match dice.below(10) {
        0..=5 => encounter.clone(),
        6 | 7 => report,
        8 => patient,
        _ => format!("{patient}?since=2026-05-01"),
    };
    let payors = payors(dice, &mut all);
    let mut chart = Chart { all, encounter, subject, restrictions: String::new(), payors };
    for _ in 0..dice.below(9) {
        chart.change(dice);
    }
    for _ in 0..[0, 0, 0, 1, 1, 3][dice.below(6)] {
        let subject = reference(dice.pick(&chart.all));
        let payers = ["[]", "[\"sunrise\"]", "[\"sunset\"]"][dice.below(3)];
        chart.restrict(&subject, payers);
    }
    chart
}

/// `Type/id`.
pub(crate) fn reference(resource: &Value) -> String {
    format!("{}/{}", word(&resource["resourceType"]), word(&resource["id"]))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Half of the patients are members of both plans.
fn second_coverage(dice: &mut Dice, all: &mut Vec<Value>) {
    let Some(first) = all.iter().find(|it| it["resourceType"] == "Coverage").cloned() else {
        return;
    };
    if dice.chance(50) {
        let mut second = first.clone();
        second["id"] = json!(format!("second-{}", word(&first["id"])));
        second["subscriberId"] = json!("W-second");
        second["payor"] = json!([{ "identifier": { "value": "99002" } }]);
        all.push(second);
    }
}

/// Payors that no agreement names by their number: a row of the house leads them to a plan, or says
/// that they are nobody's business, or there is none.
fn payors(dice: &mut Dice, all: &mut [Value]) -> String {
    let coverages = all.iter_mut().filter(|it| it["resourceType"] == "Coverage");
    for (at, coverage) in coverages.enumerate() {
        if dice.chance(30) {
            let number = *dice.pick(&["77001", "77001", "77002", "77003", "77004"]);
            coverage["payor"] = json!([{ "identifier": { "value": number } }]);
        }
        if dice.chance(30) {
            coverage["order"] = json!(at + 1);
        }
    }
    let row = |rule: &str, leads: &str| format!("[[payor]]\n{rule}\n{leads}\n");
    row("identifier = \"77001\"", "partner = \"sunrise\"")
        + &row("identifier = \"77002\"", "partner = \"sunset\"")
        + &row("identifier = \"77003\"", "none = \"it pays for travel only\"")
}

impl Chart {
    /// `Type/id` of what is to be pushed.
    pub(crate) fn record(&self) -> &str {
        self.subject.split('?').next().unwrap_or_default()
    }

    /// One more row of the table of restrictions.
    pub(crate) fn restrict(&mut self, subject: &str, payers: &str) {
        self.restrictions.push_str(&format!(
            "[[restriction]]\nsubject = \"{subject}\"\nreason = \"self-pay\"\npayers = {payers}\n"
        ));
    }

    /// What is to be pushed is not so any more: it was cancelled, entered in error, or is gone.
    pub(crate) fn end(&mut self, dice: &mut Dice) {
        let record = self.record().to_owned();
        if record.starts_with("Patient/") {
            return;
        }
        let how = dice.below(3);
        for it in self.all.iter_mut().filter(|it| reference(it) == record) {
            it["status"] = json!(if how == 1 { "cancelled" } else { "entered-in-error" });
        }
        self.all.retain(|it| how > 0 || reference(it) != record);
    }

    /// A table that another system writes, as of this morning or of last week; most are kept by hand.
    pub(crate) fn feed(&mut self, dice: &mut Dice) -> Option<Feed> {
        if dice.chance(80) {
            return None;
        }
        let day = if dice.chance(70) { "22" } else { "15" };
        self.restrictions.insert_str(0, &format!("as_of = \"2026-11-{day}T06:00:00Z\"\n"));
        Some(Feed { place: None, max_age_hours: 24 })
    }

    /// One more of the things that real charts have.
    pub(crate) fn change(&mut self, dice: &mut Dice) {
        let references: Vec<String> = self.all.iter().map(reference).collect();
        let at = dice.below(self.all.len());
        let subject = self.all.iter().find(|it| it["resourceType"] == "Patient").map(reference);
        let subject = json!({ "reference": subject.unwrap_or_default() });
        let resource = &mut self.all[at];
        match dice.below(17) {
            0 => resource["meta"]["security"] = label(dice),
            1 => drop_member(dice, resource),
            2 | 3 => lead_elsewhere(dice, resource, &references),
            4 => {
                let to = json!({ "reference": dice.pick(&references) });
                resource["extension"] = json!([{ "url": "urn:own", "valueReference": to }]);
            }
            5 => contain(dice, resource, &subject),
            6 => resource["text"] = json!({ "status": "generated", "div": "<div>all of it</div>" }),
            7 if !resource["code"].is_array() => resource["code"]["coding"] = sensitive(dice),
            8 => resource["status"] = json!("entered-in-error"),
            9 => self.attach(dice),
            10 => resource["subject"] = json!({ "reference": "Patient/another" }),
            11 => self.bill(dice, &subject),
            12 => resource["performer"] = json!([{ "display": "somebody" }]),
            13 => resource["meta"]["versionId"] = json!(dice.below(9).to_string()),
            14 => tell(resource),
            15 => unlink(resource),
            _ => drop_deep(dice, resource),
        }
    }

    /// A note whose text lies elsewhere.
    fn attach(&mut self, dice: &mut Dice) {
        let Some(note) = self.all.iter_mut().find(|it| it["resourceType"] == "DocumentReference")
        else {
            return;
        };
        let binary = format!("binary-{}", word(&note["id"]));
        let kept = format!("Binary/{binary}");
        let urls = [kept.as_str(), "Binary/gone", "https://elsewhere.example/x", "Observation/1"];
        let Some(attachment) = note.pointer_mut("/content/0/attachment") else { return };
        attachment["url"] = json!(dice.pick(&urls).to_owned());
        if dice.chance(50) {
            attachment.as_object_mut().map(|members| members.shift_remove("data"));
        }
        self.put(json!({ "resourceType": "Binary", "id": binary, "contentType": "text/plain",
            "data": "eA==" }));
    }

    /// What speaks of money.
    fn bill(&mut self, dice: &mut Dice, subject: &Value) {
        let kind = *dice.pick(&["Claim", "ExplanationOfBenefit", "Account"]);
        let id = format!("bill-{}", word(&self.all[0]["id"]));
        let to = json!({ "reference": format!("{kind}/{id}") });
        let encounter = self.encounter.clone();
        let mut bill = json!({ "resourceType": kind, "id": id, "patient": subject });
        bill["item"] = json!([{ "encounter": [{ "reference": encounter }] }]);
        if kind == "Account" {
            bill = json!({ "resourceType": kind, "id": id, "subject": [subject] });
        }
        self.put(bill);
        if let Some(visit) = self.all.iter_mut().find(|it| reference(it) == encounter) {
            visit["account"] = json!([to]);
        }
    }

    fn put(&mut self, resource: Value) {
        self.all.retain(|other| reference(other) != reference(&resource));
        self.all.push(resource);
    }
}

fn label(dice: &mut Dice) -> Value {
    let confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
    let act = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    let labels =
        [(confidentiality, "N"), (confidentiality, "R"), (act, "PSY"), (act, "42CFRPart2")];
    let (system, code) = dice.pick(&labels);
    json!([{ "system": system, "code": code }])
}

fn sensitive(dice: &mut Dice) -> Value {
    let codes = [("http://loinc.org", "34787-2"), ("http://snomed.info/sct", "7200002")];
    let (system, code) = dice.pick(&codes);
    json!([{ "system": system, "code": code }])
}

/// Words beside references, which may tell what those lead to.
fn tell(resource: &mut Value) {
    resource["note"] = json!([{ "text": "as said before" }]);
    resource["reasonCode"] = json!([{ "text": "as seen before" }]);
    resource["conclusion"] = json!("as before");
}

/// Charts serve a good part of their results without the visit.
fn unlink(resource: &mut Value) {
    resource.as_object_mut().map(|members| members.shift_remove("encounter"));
}

/// An element that the chart lacks.
fn drop_member(dice: &mut Dice, resource: &mut Value) {
    let Value::Object(members) = resource else { return };
    let names: Vec<String> = members
        .keys()
        .filter(|name| !["resourceType", "id"].contains(&name.as_str()))
        .cloned()
        .collect();
    if !names.is_empty() {
        members.shift_remove(dice.pick(&names));
    }
}

/// The same, one step further down.
fn drop_deep(dice: &mut Dice, resource: &mut Value) {
    let Value::Object(members) = resource else { return };
    let mut inner: Vec<&mut Value> = members.values_mut().filter(|it| it.is_object()).collect();
    if !inner.is_empty() {
        let at = dice.below(inner.len());
        if let Value::Object(members) = &mut *inner[at]
            && members.len() > 1
        {
            let names: Vec<String> = members.keys().cloned().collect();
            members.shift_remove(dice.pick(&names));
        }
    }
}

/// A contained resource that may or may not be told.
fn contain(dice: &mut Dice, resource: &mut Value, subject: &Value) {
    let inner = match dice.below(5) {
        0 => json!({ "resourceType": "Practitioner", "id": "inner", "name": [{ "family": "X" }] }),
        1 => json!({ "resourceType": "Observation", "id": "inner", "status": "final",
            "subject": subject, "meta": { "security": label(dice) } }),
        2 => json!({ "resourceType": "Coverage", "id": "inner", "beneficiary": subject }),
        3 => json!({ "resourceType": "Medication", "id": "inner", "code": { "text": "x" } }),
        _ => json!({ "resourceType": "Patient", "id": "inner" }),
    };
    resource["contained"] = json!([inner]);
    let to = if dice.chance(90) { "#inner" } else { "#nobody" };
    resource["extension"] = json!([{ "url": "urn:own", "valueReference": { "reference": to } }]);
}

/// A reference that leads somewhere else, or nowhere.
fn lead_elsewhere(dice: &mut Dice, resource: &mut Value, references: &[String]) {
    let known = dice.pick(references).clone();
    let places = [
        "Practitioner/gone".to_owned(),
        "Practitioner?identifier=x|1".to_owned(),
        "https://elsewhere.example/fhir/Observation/1".to_owned(),
        "urn:uuid:0b8f9b32-3a52-4f0e-9d5b-1f6f0e6a0b5f".to_owned(),
        "Coverage/another".to_owned(),
        "#nobody".to_owned(),
        format!("{EHR}/{known}"),
        format!("{known}/_history/2"),
        known,
    ];
    let to = dice.pick(&places).clone();
    let mut found = Vec::new();
    pointers(resource, String::new(), &mut found);
    if !found.is_empty()
        && let Some(element) = resource.pointer_mut(dice.pick(&found).as_str())
    {
        *element = match dice.below(6) {
            0 => json!({ "display": "somebody" }),
            1 => json!({ "identifier": { "system": "urn:own", "value": "7" } }),
            _ => json!({ "reference": to, "display": "somebody" }),
        };
    }
}

/// JSON pointers of all References.
fn pointers(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if members.get("reference").is_some_and(Value::is_string) {
                found.push(at.clone());
            }
            members.iter().for_each(|(name, it)| pointers(it, format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, it)| pointers(it, format!("{at}/{n}"), found));
        }
        _ => {}
    }
}
