//! Merged: patients whom an EHR has made one of (R4 Patient.link).
//!
//! Comes in   a push that may take something back; what was collected for one that is to be made.
//! Goes out   pushes about the other patient to the same payer; or why a person is needed.
//! Never      takes a record back at a payer that now stands there as another patient's: its id is
//!            derived from its own, and a merge does not change that.
//!
//! Why the old patient's pushes wait for a person: what a merge has moved is not gone, and what it left
//! may be a mistake. Pushes of what was moved are the other patient's and go by themselves.

use crate::road::Road;
use crate::source::Read;
use crate::turn::Fault;
use exchange::payload::Topic;
use exchange::shape::{self, Collected};
use exchange::{Code, Dossier, Issue, Push};
use fhir::Resource;
use std::collections::BTreeSet;

impl Road {
    /// Pushes to the same payer about patients with whom this one was merged, or who had this record
    /// before or have it now.
    pub(crate) async fn of_merged(&self, push: &Push) -> Result<Vec<Push>, Fault> {
        let own = &push.dossier;
        let mut others = BTreeSet::new();
        if let Ok(topic) = Topic::parse(&own.subject) {
            let about = self.pushed_about(&topic).await?.into_iter();
            others.extend(about.map(|other| other.dossier.patient));
        }
        // An EHR that is away stops nothing from being taken back.
        let source = &**self.charts.source();
        if let Ok(Read::Found(patient)) = source.fetch("Patient", &own.patient).await {
            others.extend(linked(&patient, source.base_url()).into_iter().map(|(id, _)| id));
        }
        others.remove(&own.patient);
        let mut pushes = Vec::new();
        for patient in others {
            let lane = Dossier { patient, ..own.clone() }.lane();
            pushes.extend(self.in_lane(lane).await?);
        }
        Ok(pushes)
    }
}

/// Why nothing is made of a patient's chart before a person has looked: another one replaces it.
pub(crate) fn merged_away(collected: &Collected, patient: &str, base: &str) -> Option<Issue> {
    let own = |one: &&Resource| one.kind() == "Patient" && one.id() == Some(patient);
    let patient = collected.found.iter().chain(&collected.followed).find(own)?;
    let replaced = linked(patient, base).iter().any(|(_, how)| how == REPLACED_BY);
    replaced.then(|| {
        let detail = "the EHR has merged this patient into another one (Patient.link, replaced-by): push \
                      what was moved as that patient's, and withdraw what stands as this one's";
        Issue::new(Code::SubjectUnknown, detail).at("Patient.link")
    })
}

/// How the Patient that goes names the one that stays.
const REPLACED_BY: &str = "replaced-by";

/// Patients whom this one replaces or is replaced by: `Patient.id` and how.
fn linked(patient: &Resource, base: &str) -> Vec<(String, String)> {
    let doc = patient.doc();
    let links = doc.root().get("link");
    let links = links.iter().flat_map(|links| links.each());
    let read = |link: fhir::Node<'_, '_>| {
        let how = link.get("type")?.text()?.into_owned();
        let other = link.get("other")?.get("reference")?.text()?;
        let (kind, id) = shape::target(&other, base)?;
        let merged = [REPLACED_BY, "replaces"].contains(&how.as_str());
        (kind == "Patient" && merged).then_some((id, how))
    };
    links.filter_map(read).collect()
}
