//! Follow: what the collected resources refer to, and what that refers to in turn.
//!
//! Comes in   what was found.
//! Goes out   the same, with what its permitted resources refer to, and the roles of its permitted
//!            practitioners; and what the chart does not hold.
//! Never      follows a resource that stays, or reads what could not travel.
//!
//! A document's content that is too large for a push stays where it is: the note travels, its address
//! is cut by a rule of its own, so that the payer knows of the document and may ask for it.

use crate::limits::CHART_RESOURCES_MAX;
use crate::source::chart::Chart;
use crate::source::{Read, Source, at_once, roles};
use exchange::shape::{self, Audience, Collected, Whose};
use exchange::{Code, Issue};
use fhir::Resource;
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn follow(
    chart: &Chart,
    audience: &Audience<'_>,
    collected: &mut Collected,
) -> Result<(), Issue> {
    // What is outside of a window has been read already, and is followed once something leads there.
    let known = collected.followed.iter().map(|one| (one.local_reference(), one.clone()));
    let known: BTreeMap<String, Resource> = known.collect();
    let mut fresh = collected.found.clone();
    let mut seen: BTreeSet<String> = fresh.iter().map(Resource::local_reference).collect();
    let whose = Whose::read(collected, audience);
    let takes_roles = audience.could_travel("PractitionerRole/-").is_ok();
    while !fresh.is_empty() {
        let (mut wanted, mut practitioners) = (Vec::new(), Vec::new());
        for resource in std::mem::take(&mut fresh) {
            if shape::judge(&resource, audience, &whose).is_err() {
                continue;
            }
            if takes_roles && resource.kind() == "Practitioner" {
                practitioners.push(resource.clone());
            }
            for (kind, id) in shape::references_to_follow(&resource, chart.base_url()) {
                let reference = format!("{kind}/{id}");
                if audience.could_travel(&reference).is_err() || !seen.insert(reference.clone()) {
                    continue;
                }
                match known.get(&reference) {
                    Some(resource) => fresh.push(resource.clone()),
                    None => wanted.push((kind, id)),
                }
            }
        }
        let reads = wanted.iter().map(|(kind, id)| chart.fetch(kind, id)).collect();
        for ((kind, id), read) in wanted.iter().zip(at_once(reads).await?) {
            match read {
                Read::Found(resource) => {
                    fresh.push(resource.clone());
                    collected.followed.push(resource);
                }
                Read::Missing => drop(collected.missing.insert(format!("{kind}/{id}"))),
                Read::TooLarge if kind == "Binary" => {
                    collected.notes.too_large.insert(format!("{kind}/{id}"));
                }
                Read::TooLarge => {
                    let detail = format!("a {kind} of the EHR is larger than this house reads");
                    return Err(Issue::new(Code::SourceUnreadable, detail));
                }
            }
        }
        for role in roles_of(chart, &practitioners).await? {
            if seen.insert(role.local_reference()) {
                fresh.push(role.clone());
                collected.followed.push(role);
            }
        }
        if seen.len() > CHART_RESOURCES_MAX {
            let detail = "the data of this push are more than a push can hold";
            return Err(Issue::new(Code::SourceUnreadable, detail));
        }
    }
    Ok(())
}

/// The roles of these practitioners: nothing refers to them, so no reference leads there.
async fn roles_of(chart: &Chart, practitioners: &[Resource]) -> Result<Vec<Resource>, Issue> {
    let asked = practitioners.iter().map(|one| roles::of_practitioner(chart, one)).collect();
    Ok(at_once(asked).await?.concat())
}
