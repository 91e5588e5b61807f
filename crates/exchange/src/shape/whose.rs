//! Whose: whether a record says readably that it is this patient's.
//!
//! Comes in   the Patient, as far as it was read; a resource, or one contained in it.
//! Goes out   whether it may be another's.
//! Never      takes an owner that cannot be read for this patient.
//!
//! Results name results, and servers hold those of everybody: what a reference leads to is this
//! patient's by what it says itself, not by who refers to it. A subject that is contained or named by
//! identifier is this patient where it bears one of the Patient's own identifiers, and no other one
//! of the same system. Numbers of membership are none of these: a family shares them.
//!
//! Ids are a server's own: at another, the patient's id is somebody else's. But EHRs write references
//! under other names of themselves. What was asked for by patient has the server's word for whose it is;
//! so a name is the EHR's where such a record gives this patient's id under it, and an id counts under the
//! names of the EHR alone.

use super::members::Numbers;
use super::{Audience, Collected, Pointer, pointer};
use crate::path::has_element;
use crate::restriction::tail;
use crate::valueset::canonical;
use fhir::{Node, Resource};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The elements that say whose a resource is.
pub const OWNERS: [&str; 5] = ["subject", "patient", "beneficiary", "for", "individual"];

/// Types with such an element that are nobody's where it is absent: a pump of the ward.
const OF_ANYBODY: [&str; 1] = ["Device"];

/// Types that say whose they are in a part, among others who take part: one that is this patient is enough.
const TAKING_PART: [(&str, &[&str]); 5] = [
    ("Appointment", &["participant", "actor"]),
    ("AppointmentResponse", &["actor"]),
    ("Group", &["member", "entity"]),
    ("Person", &["link", "target"]),
    ("SupplyRequest", &["deliverTo"]),
];

/// What the Patient says of itself that is of no one else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// System, under one of its spellings, and value, without numbers of membership.
    identifiers: BTreeSet<(String, String)>,
    /// As they are written: a day, or the month or year of it.
    birth_dates: BTreeSet<String>,
    /// What stands before `Patient/id` where the EHR names this patient under another name of itself.
    aliases: BTreeSet<String>,
}

/// What the elements that say whose a resource is say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Ours,
    /// Someone else, or nobody that can be told.
    Another,
    /// Something that is no patient: a group, a device, a place.
    Nobody,
}

impl Whose {
    /// What the Patient says of itself, among what was collected.
    pub fn read(collected: &Collected, audience: &Audience<'_>) -> Whose {
        let is_ours =
            |one: &&Resource| one.kind() == "Patient" && one.id() == Some(audience.patient);
        let numbers = Numbers::read(collected.all(), audience);
        let mut whose = Whose::default();
        for patient in collected.all().filter(is_ours) {
            let doc = patient.doc();
            let own = listed(doc.root()).filter(|one| !numbers.are_of_membership(*one));
            whose.identifiers.extend(own.filter_map(pair));
            whose.birth_dates.extend(birth_date(doc.root()));
        }
        // Only these were asked for by patient: whatever merely is referred to has nobody's word.
        let is_elsewhere = |found: &&Resource| {
            let references = found.references().iter();
            let mut texts = references.map(|reference| found.reference_text(reference));
            texts.any(|text| elsewhere(&text, audience).is_some())
        };
        for found in collected.found.iter().filter(is_elsewhere) {
            let doc = found.doc();
            let named = owners(doc.root()).filter(|owner| !whose.is_contradicted(*owner));
            let aliases: Vec<String> = named
                .filter_map(|owner| {
                    let text = owner.get("reference")?.text()?;
                    let (base, id) = elsewhere(&text, audience)?;
                    (id == audience.patient).then_some(base)
                })
                .collect();
            whose.aliases.extend(aliases);
        }
        whose
    }

    /// Whether a resource may be another patient's. `holder` is the resource that it is contained in, or
    /// itself.
    pub(super) fn may_be_of_another(
        &self,
        kind: &str,
        node: Node<'_, '_>,
        holder: Node<'_, '_>,
        audience: &Audience<'_>,
    ) -> bool {
        let named: Vec<Owner> =
            owners(node).map(|owner| self.owner(owner, holder, audience)).collect();
        if named.contains(&Owner::Another) && part_of(kind).is_none() {
            return true;
        }
        // What is contained without an owner is its holder's (R4 §2.3.0.1); else it is asked how a
        // record was read.
        !named.is_empty() && is_bound(kind) && !named.contains(&Owner::Ours)
    }

    /// Whether a contained Patient is this one.
    pub(super) fn is_ours(&self, patient: Node<'_, '_>) -> bool {
        // "1980" and "1980-05-01" do not contradict each other.
        let is_same = |one: &str, two: &str| one.starts_with(two) || two.starts_with(one);
        let was_born_then = birth_date(patient).is_none_or(|day| {
            self.birth_dates.is_empty() || self.birth_dates.iter().any(|own| is_same(own, &day))
        });
        was_born_then && self.fit(&listed(patient).filter_map(pair).collect())
    }

    fn owner(&self, owner: Node<'_, '_>, holder: Node<'_, '_>, audience: &Audience<'_>) -> Owner {
        let ours = |is_ours| if is_ours { Owner::Ours } else { Owner::Another };
        let Some(reference) = owner.get("reference") else {
            return ours(self.is_named(owner));
        };
        if self.is_contradicted(owner) {
            return Owner::Another;
        }
        let text = reference.text().unwrap_or_default();
        match pointer(&text, audience.source_base) {
            Pointer::Source(kind, id) if kind == "Patient" => ours(id == audience.patient),
            Pointer::Source(..) => Owner::Nobody,
            Pointer::Inner(id) => self.inner(&id, holder, audience),
            Pointer::Foreign => match elsewhere(&text, audience) {
                Some((_, id)) if id != audience.patient => Owner::Another,
                Some((base, _)) if self.is_the_sources(&base, audience) => Owner::Ours,
                _ => ours(self.is_named(owner)),
            },
            Pointer::Unreadable => ours(self.is_named(owner)),
        }
    }

    fn inner(&self, id: &str, holder: Node<'_, '_>, audience: &Audience<'_>) -> Owner {
        let text = |node: Node<'_, '_>, name: &str| node.get(name)?.text().map(Cow::into_owned);
        let is_patient = |node| text(node, "resourceType").as_deref() == Some("Patient");
        if id.is_empty() {
            let is_ours =
                is_patient(holder) && text(holder, "id").as_deref() == Some(audience.patient);
            return if is_ours { Owner::Ours } else { Owner::Another };
        }
        let contained = holder.get("contained").into_iter().flat_map(|list| list.items());
        let mut named = contained.filter(|item| text(*item, "id").as_deref() == Some(id));
        match (named.next(), named.next()) {
            (Some(item), None) if !is_patient(item) => Owner::Nobody,
            (Some(item), None) if self.is_ours(item) => Owner::Ours,
            _ => Owner::Another,
        }
    }

    /// Whether a Reference names this patient by identifier.
    fn is_named(&self, owner: Node<'_, '_>) -> bool {
        let kind = owner.get("type").and_then(|kind| kind.text());
        let is_patient = kind.is_none_or(|kind| kind == "Patient");
        is_patient && self.fit(&owner.get("identifier").into_iter().filter_map(pair).collect())
    }

    /// Whether a base that is not written as the source's is the source's nevertheless.
    fn is_the_sources(&self, base: &str, audience: &Audience<'_>) -> bool {
        base == canonical(audience.source_base) || self.aliases.contains(base)
    }

    /// Whether the identifier beside a reference says that it is another, whoever it refers to.
    fn is_contradicted(&self, owner: Node<'_, '_>) -> bool {
        owner.get("identifier").and_then(pair).is_some_and(|one| self.is_anothers(&one))
    }

    /// Whether it is not the Patient's, and of a system of which the Patient has one.
    fn is_anothers(&self, identifier: &(String, String)) -> bool {
        let is_known = self.identifiers.iter().any(|(system, _)| *system == identifier.0);
        is_known && !self.identifiers.contains(identifier)
    }

    /// Whether some of them are the Patient's, and none is another one of the same system.
    fn fit(&self, identifiers: &BTreeSet<(String, String)>) -> bool {
        identifiers.iter().any(|one| self.identifiers.contains(one))
            && !identifiers.iter().any(|one| self.is_anothers(one))
    }
}

/// Whether a record is somebody's and does not say whose. What a search by patient found has said so.
pub(super) fn is_ownerless(resource: &Resource) -> bool {
    let kind = resource.kind();
    is_bound(kind) && !OF_ANYBODY.contains(&kind) && owners(resource.doc().root()).next().is_none()
}

fn is_bound(kind: &str) -> bool {
    OWNERS.iter().any(|name| has_element(kind, name)) || part_of(kind).is_some()
}

fn part_of(kind: &str) -> Option<&'static [&'static str]> {
    TAKING_PART.iter().find(|(known, _)| *known == kind).map(|(_, part)| *part)
}

/// What the elements of a resource say that tell whose it is.
pub(super) fn owners<'d, 'a>(node: Node<'d, 'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    let kind = node.get("resourceType").and_then(|kind| kind.text());
    let part = kind.and_then(|kind| part_of(&kind));
    let mut parts: Vec<Node<'d, 'a>> = part.map(|_| node).into_iter().collect();
    for name in part.into_iter().flatten() {
        let below = parts.iter().filter_map(|node| node.get(name));
        parts = below.flat_map(|node| node.each()).collect();
    }
    let owners = OWNERS.iter().filter_map(move |name| node.get(name));
    owners.flat_map(|owner| owner.each()).chain(parts)
}

/// Base and id of a Patient under another address than the source's.
fn elsewhere(text: &str, audience: &Audience<'_>) -> Option<(String, String)> {
    if pointer(text, audience.source_base) != Pointer::Foreign {
        return None;
    }
    let id = tail(text)?.strip_prefix("Patient/")?.to_owned();
    let base = text.split(['?', '#', '|']).next()?;
    let base = &base[..base.rfind("/Patient/")?];
    Some((canonical(base).into_owned(), id))
}

fn listed<'d, 'a>(patient: Node<'d, 'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    patient.get("identifier").into_iter().flat_map(|list| list.each())
}

fn birth_date(patient: Node<'_, '_>) -> Option<String> {
    let day = patient.get("birthDate")?.text()?.trim().to_owned();
    (!day.is_empty()).then_some(day)
}

fn pair(identifier: Node<'_, '_>) -> Option<(String, String)> {
    let text = |name: &str| {
        let text = identifier.get(name)?.text()?;
        (!text.trim().is_empty()).then(|| text.trim().to_owned())
    };
    Some((canonical(&text("system")?).into_owned(), text("value")?))
}
