//! Listing: what a directory holds about one payer.
//!
//! Comes in   resources in any order and number, as they were read; whom is sought.
//! Goes out   which organizations are the payer, who fronts it, and all endpoints that concern it.
//! Never      takes two organizations for one: where a name fits several, none is the payer.
//!
//! Why affiliations: an HIE or a clearinghouse may stand before a payer's door. It counts only where an
//! OrganizationAffiliation that is active today says so, and lists the endpoint itself or gives a role
//! that passes on (US NDH OrganizationAffiliation).

use super::Candidate;
use super::read::{candidate, list, period, reference, word};
use crate::id::PartnerId;
use crate::limits::{AFFILIATIONS_DEPTH_MAX, DIRECTORY_ORGANIZATIONS_MAX};
use crate::partner::PublicIdentifier;
use fhir::Resource;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Roles by which somebody passes on to a participant (R4 `organization-affiliation-role`).
const PASSES_ON: &[&str] = &["HIE/HIO", "agency", "payer"];

/// Whom a directory is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sought {
    /// The partner's name in this house, where it is one.
    pub payer: Option<PartnerId>,
    /// Its name in words.
    pub name: Option<String>,
    /// Identifiers that coverages name it by.
    pub identifiers: Vec<PublicIdentifier>,
    /// Its organization in the directory (`Organization/id`), where the crosswalk says so.
    pub organization: Option<String>,
    /// Where its HRex configuration lies, where the crosswalk or a coverage says so.
    pub configuration: Option<String>,
}

impl Sought {
    /// By what a person typed: `system|value`, or a name.
    pub fn of_words(words: &str) -> Sought {
        match words.split_once('|') {
            Some((system, value)) => {
                let (system, value) = (system.trim().to_owned(), value.trim().to_owned());
                let identifiers = vec![PublicIdentifier { system, value }];
                Sought { identifiers, ..Sought::default() }
            }
            None => Sought { name: Some(words.trim().to_owned()), ..Sought::default() },
        }
    }
}

/// What a directory holds about a payer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The payer's organizations: `Organization/id`, and by what it was known again.
    pub payers: Vec<(String, String)>,
    /// Endpoints that concern it or claim to; its own first.
    pub candidates: Vec<Candidate>,
    /// Entries that cannot be read or used: what, and why.
    pub faults: Vec<(String, String)>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

struct Organization {
    id: String,
    name: Option<String>,
    identifiers: Vec<PublicIdentifier>,
    endpoints: Vec<String>,
    active: bool,
}

struct Affiliation {
    id: String,
    primary: Option<String>,
    participant: Option<String>,
    roles: Vec<String>,
    endpoints: Vec<String>,
    counts: bool,
}

impl Listing {
    /// Reads what a directory gave; what is neither of the three types says nothing here.
    pub fn of(resources: &[Resource], sought: &Sought, now: Timestamp) -> Listing {
        let mut listing = Listing::default();
        let of_kind = |kind: &'static str| resources.iter().filter(move |it| it.kind() == kind);
        let organizations: Vec<Organization> =
            of_kind("Organization").filter_map(organization).collect();
        let affiliations: Vec<Affiliation> =
            of_kind("OrganizationAffiliation").filter_map(|it| affiliation(it, now)).collect();
        listing.payers = listing.known(&organizations, sought);
        let own: BTreeSet<&str> = listing.payers.iter().map(|(id, _)| id.as_str()).collect();
        let listed_by = |id: &str| -> BTreeSet<String> {
            let theirs = organizations.iter().filter(|it| own.contains(it.id.as_str()));
            let all = theirs.flat_map(|it| it.endpoints.iter().cloned());
            all.filter(|endpoint| endpoint == id).collect()
        };
        let (fronts, fronted) = fronts(&own, &affiliations);
        for endpoint in of_kind("Endpoint") {
            let mut found = match candidate(endpoint) {
                Ok(found) => found,
                Err(place) => {
                    let id = endpoint.id().map_or_else(
                        || "an Endpoint without id".to_owned(),
                        |id| format!("Endpoint/{id}"),
                    );
                    listing.faults.push((id, format!("it has no readable {place}")));
                    continue;
                }
            };
            let managed = found.managing.as_deref().is_some_and(|it| own.contains(it));
            if !managed {
                let by = found.managing.as_ref().and_then(|it| fronts.get(it));
                let by = fronted.get(&found.id).or(by);
                let listed = !listed_by(&found.id).is_empty();
                found.through = by.cloned();
                // The payer's own entry counts where nobody else is said to manage it.
                if found.through.is_none() && listed && found.managing.is_none() {
                    found.managing = listing.payers.first().map(|(id, _)| id.clone());
                }
            }
            listing.candidates.push(found);
        }
        listing.candidates.sort_by(|a, b| (&a.through, &a.id).cmp(&(&b.through, &b.id)));
        listing.candidates.dedup_by(|a, b| a.id == b.id);
        listing
    }

    /// The organizations that are the payer: by id, by identifier, else by name.
    fn known(&mut self, all: &[Organization], sought: &Sought) -> Vec<(String, String)> {
        let by_id = |it: &&Organization| sought.organization.as_deref() == Some(it.id.as_str());
        let names_it = |it: &PublicIdentifier| {
            sought.identifiers.iter().any(|one| {
                one.value == it.value && (one.system.is_empty() || one.system == it.system)
            })
        };
        let mut found: Vec<(&Organization, String)> = Vec::new();
        if let Some(it) = all.iter().find(by_id) {
            found.push((it, "the crosswalk".to_owned()));
        }
        if found.is_empty() {
            let fit = all
                .iter()
                .filter_map(|it| Some((it, it.identifiers.iter().find(|x| names_it(x))?)));
            found
                .extend(fit.map(|(it, by)| (it, format!("identifier {}|{}", by.system, by.value))));
        }
        if found.is_empty()
            && let Some(name) = sought.name.as_deref().map(folded)
            && !name.is_empty()
        {
            let called = |it: &&Organization| it.name.as_deref().map(folded);
            let mut fit: Vec<_> =
                all.iter().filter(|it| called(it).as_ref() == Some(&name)).collect();
            if fit.is_empty() {
                let starts =
                    |it: &&Organization| called(it).is_some_and(|it| it.starts_with(&name));
                fit = all.iter().filter(starts).collect();
            }
            match fit.as_slice() {
                [one] => found.push((one, "its name alone".to_owned())),
                [] => {}
                many => self.notes.push(format!(
                    "the name fits {} organizations ({}), so none of them is taken for the payer",
                    many.len(),
                    many.iter().take(5).map(|it| it.id.as_str()).collect::<Vec<_>>().join(", "),
                )),
            }
        }
        found.truncate(DIRECTORY_ORGANIZATIONS_MAX);
        let (active, closed): (Vec<_>, Vec<_>) = found.into_iter().partition(|(it, _)| it.active);
        self.notes.extend(closed.iter().map(|(it, _)| format!("{} is not active", it.id)));
        active.into_iter().map(|(it, by)| (it.id.clone(), by)).collect()
    }
}

/// Who fronts the payer, by organization and by endpoint, each with the affiliations that say so.
fn fronts(
    own: &BTreeSet<&str>,
    affiliations: &[Affiliation],
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut by_organization, mut by_endpoint) = (BTreeMap::new(), BTreeMap::new());
    let mut reached: BTreeSet<String> = own.iter().map(|it| (*it).to_owned()).collect();
    let mut edge: Vec<(String, String)> =
        reached.iter().map(|it| (it.clone(), String::new())).collect();
    // Affiliations may name each other in a circle: nobody is reached twice, nor from too far.
    for _ in 0..AFFILIATIONS_DEPTH_MAX {
        let mut next = Vec::new();
        for (participant, way) in &edge {
            let theirs = affiliations
                .iter()
                .filter(|it| it.counts && it.participant.as_deref() == Some(participant.as_str()));
            for affiliation in theirs {
                let primary = affiliation.primary.clone().unwrap_or_default();
                let way = match way.is_empty() {
                    true => format!("{primary} by {}", affiliation.id),
                    false => format!("{primary} by {}, {way}", affiliation.id),
                };
                for endpoint in &affiliation.endpoints {
                    by_endpoint.entry(endpoint.clone()).or_insert_with(|| way.clone());
                }
                let passes = affiliation.roles.iter().any(|it| PASSES_ON.contains(&it.as_str()));
                if passes && !primary.is_empty() && reached.insert(primary.clone()) {
                    by_organization.insert(primary.clone(), way.clone());
                    next.push((primary, way));
                }
            }
        }
        edge = next;
    }
    (by_organization, by_endpoint)
}

fn organization(resource: &Resource) -> Option<Organization> {
    let doc = resource.doc();
    let root = doc.root();
    let identifiers = list(root.get("identifier")).filter_map(|it| {
        let (system, value) = (word(it.get("system")).unwrap_or_default(), word(it.get("value"))?);
        Some(PublicIdentifier { system, value })
    });
    Some(Organization {
        id: format!("Organization/{}", resource.id()?),
        name: word(root.get("name")),
        identifiers: identifiers.collect(),
        endpoints: list(root.get("endpoint")).filter_map(|it| reference(Some(it))).collect(),
        active: root.get("active").is_none_or(|it| it.raw() != "false"),
    })
}

fn affiliation(resource: &Resource, now: Timestamp) -> Option<Affiliation> {
    let doc = resource.doc();
    let root = doc.root();
    let span = period(root.get("period"));
    let concepts = list(root.get("code")).flat_map(|it| list(it.get("coding")));
    Some(Affiliation {
        id: format!("OrganizationAffiliation/{}", resource.id()?),
        primary: reference(root.get("organization")),
        participant: reference(root.get("participatingOrganization")),
        roles: concepts.filter_map(|it| word(it.get("code"))).collect(),
        endpoints: list(root.get("endpoint")).filter_map(|it| reference(Some(it))).collect(),
        counts: root.get("active").is_none_or(|it| it.raw() != "false")
            && !span.is_over(now)
            && !span.is_to_come(now),
    })
}

/// A name as it is compared: case and spaces do not matter.
fn folded(name: &str) -> String {
    name.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}
