//! Find: encounters and laboratory reports of the source, for a person to choose from.
//!
//! Comes in   a record number, a date, or both.
//! Goes out   encounters with just enough of the patient to tell them apart; newest first.
//! Never      keeps or logs what was typed or found; that somebody looked is a line in the ledger.

use super::Desk;
use crate::scope::patient;
use crate::source::{number, us_core};
use exchange::desk::{FoundEncounter, FoundReport, Reply};
use exchange::{Code, Issue, Phi, Who};
use fhir::{Node, Resource};
use std::collections::BTreeMap;

impl Desk {
    pub(super) async fn find(
        &self,
        record_number: Option<Phi<String>>,
        date: Option<String>,
        who: Who,
    ) -> Result<Reply, Issue> {
        self.looked(who, "Encounter".into()).await?;
        let source = self.road.charts.source();
        let mut patients = BTreeMap::new();
        let mut encounters = Vec::new();
        match (&record_number, &date) {
            (Some(Phi(number)), _) => {
                for (id, person) in number::patients(&**source, number).await? {
                    let whom = us_core::named(&id);
                    let mut asked = vec![("patient", whom.as_str())];
                    asked.extend(date.as_deref().map(|date| ("date", date)));
                    let found = source.search("Encounter", &asked).await?;
                    // Whatever the EHR made of the parameters.
                    let own = |one: &Resource| us_core::is_of(one, &id, source.base_url());
                    encounters.extend(found.into_iter().filter(own));
                    patients.insert(id, person);
                }
            }
            (None, Some(date)) => {
                encounters = source.search("Encounter", &[("date", date)]).await?
            }
            (None, None) => {
                let detail = "find needs a record number or a date";
                return Err(Issue::new(Code::CommandInvalid, detail).at("record_number"));
            }
        }
        let mut found = Vec::new();
        for encounter in &encounters {
            let id = patient(encounter, source.base_url())?;
            if !patients.contains_key(&id) {
                let person = source.read("Patient", &id).await?;
                patients.extend(person.map(|person| (id.clone(), person)));
            }
            found.push(row(encounter, id.clone(), patients.get(&id)));
        }
        found.sort_by(|one, other| other.start.cmp(&one.start));
        Ok(Reply::Found { encounters: found, reports: None })
    }

    /// The laboratory reports of whoever has the record number (US Core 6.1.0, DiagnosticReport: by
    /// patient and category is a SHALL).
    pub(super) async fn find_results(
        &self,
        record_number: Option<Phi<String>>,
        date: Option<String>,
        who: Who,
    ) -> Result<Reply, Issue> {
        let invalid = |detail: &str, at: &str| Issue::new(Code::CommandInvalid, detail).at(at);
        let Some(Phi(number)) = &record_number else {
            return Err(invalid(
                "results are found by the patient's record number",
                "record_number",
            ));
        };
        if date.is_some() {
            let detail = "results are found by record number alone; leave out the date";
            return Err(invalid(detail, "date"));
        }
        self.looked(who, REPORT.into()).await?;
        let source = self.road.charts.source();
        let mut reports = Vec::new();
        for (id, _) in &number::patients(&**source, number).await? {
            let laboratory = Some(("category", LABORATORY));
            let found = us_core::whole(&**source, REPORT, &us_core::named(id), laboratory).await?;
            // Whatever the EHR made of the parameters.
            let fits = |one: &&Resource| {
                us_core::is_of(one, id, source.base_url())
                    && us_core::has_code(one, "category", LABORATORY)
            };
            reports.extend(found.iter().filter(fits).map(|one| report(one, id)));
        }
        reports.sort_by(|one, other| other.date.cmp(&one.date));
        Ok(Reply::Found { encounters: Vec::new(), reports: Some(reports) })
    }
}

const REPORT: &str = "DiagnosticReport";
/// HL7 table 0074, as US Core names laboratory reports.
const LABORATORY: &str = "LAB";

fn report(report: &Resource, patient: &str) -> FoundReport {
    let doc = report.doc();
    let root = doc.root();
    let code = root.get("code");
    let coded = |code: Node<'_, '_>| {
        code.get("coding")?.items().next().and_then(|coding| text(coding, &["display"]))
    };
    let what = code.and_then(|code| text(code, &["text"]).or_else(|| coded(code)));
    let days = [&["effectiveDateTime"][..], &["effectivePeriod", "start"], &["issued"]];
    FoundReport {
        report: report.id().unwrap_or_default().to_owned(),
        patient: patient.to_owned(),
        status: text(root, &["status"]).unwrap_or_default(),
        what: what.unwrap_or_default(),
        date: days.iter().find_map(|way| text(root, way)).unwrap_or_default(),
    }
}

fn row(encounter: &Resource, patient: String, person: Option<&Resource>) -> FoundEncounter {
    let doc = encounter.doc();
    let root = doc.root();
    let person = person.map(|person| person.doc());
    let name = person.as_ref().and_then(|doc| doc.root().get("name")).map(spoken_name);
    let birth_date = person.as_ref().and_then(|doc| text(doc.root(), &["birthDate"]));
    let kind = root.get("type").and_then(|kinds| kinds.items().next());
    let what = kind
        .and_then(|kind| {
            text(kind, &["text"]).or_else(|| {
                kind.get("coding")?.items().next().and_then(|coding| text(coding, &["display"]))
            })
        })
        .or_else(|| text(root, &["class", "display"]))
        .or_else(|| text(root, &["class", "code"]));
    FoundEncounter {
        encounter: encounter.id().unwrap_or_default().to_owned(),
        patient,
        name: Phi(name.unwrap_or_default()),
        birth_date: Phi(birth_date.unwrap_or_default()),
        status: text(root, &["status"]).unwrap_or_default(),
        what: what.unwrap_or_default(),
        start: text(root, &["period", "start"]).unwrap_or_default(),
    }
}

fn text(node: Node<'_, '_>, way: &[&str]) -> Option<String> {
    let found = way.iter().try_fold(node, |node, step| node.get(step))?;
    found.text().map(|text| text.into_owned())
}

/// `Family, Given Given` of the first name.
fn spoken_name(names: Node<'_, '_>) -> String {
    let Some(name) = names.items().next() else { return String::new() };
    let given = name.get("given").into_iter().flat_map(|given| given.items());
    let given: Vec<_> = given.filter_map(|name| name.text()).collect();
    let family = text(name, &["family"]).unwrap_or_default();
    format!("{family}, {}", given.join(" "))
}
