//! Chart: everything collected, each resource once, with the verdict on it.
//!
//! Comes in   what was collected, and the audience.
//! Goes out   a verdict for each resource that is decided on, and the fate of every reference.
//! Never      a verdict that depends on the order in which the chart was read, or on which of the
//!            resources are sent in this push.
//!
//! First each resource is judged by itself; then, in this order, what belongs to a withheld visit
//! stays with it, what is about something sensitive stays with that, and documents take the
//! strictest rule of their days.

use super::opaque::{self, Sensitive};
use super::verdicts::Verdicts;
use super::visits::Visited;
use super::{
    Audience, CONTENT_TOO_LARGE, Collected, LABEL, NOT_COLLECTED, PATIENT_RESTRICTION, Permitted,
    UNRESOLVED, Withheld, belongings, judge_among, target, traces,
};
use fhir::{ReferenceElement, Resource};
use std::collections::{BTreeMap, BTreeSet};

type Verdict = Result<Permitted, Withheld>;

/// What was collected, each resource once, judged.
pub(super) struct Chart<'c> {
    pub(super) judged: BTreeMap<String, (Resource, Verdict)>,
    pub(super) visited: Visited,
    found: BTreeSet<String>,
    missing: &'c BTreeSet<String>,
    too_large: &'c BTreeSet<String>,
    /// Resources that travel without what is attached to them.
    without_attachments: BTreeMap<String, Withheld>,
    /// What stays for something sensitive, of what is merely known.
    known_to_stay: BTreeMap<String, Withheld>,
}

/// Everything known, with the sensitive verdict on it.
pub(super) type Known = BTreeMap<String, (Resource, Option<Withheld>)>;

impl Chart<'_> {
    pub(super) fn read<'c>(
        collected: &'c Collected,
        audience: &Audience<'_>,
        verdicts: &Verdicts,
    ) -> Chart<'c> {
        let visited = Visited::read(collected, audience);
        let mut judged: BTreeMap<String, (Resource, Verdict)> = BTreeMap::new();
        for resource in collected.found.iter().chain(&collected.followed) {
            let verdict = judge_among(resource, audience, visited.of(resource).visits());
            // Twice the same with other content: what withholds wins, else the later by its bytes.
            let rank = |(resource, verdict): &(Resource, Verdict)| {
                (verdict.is_err(), last_updated(resource), resource.bytes().clone())
            };
            let new = (resource.clone(), verdict);
            match judged.get(&resource.local_reference()) {
                Some(old) if old.0 == new.0 || rank(old) >= rank(&new) => {}
                _ => drop(judged.insert(resource.local_reference(), new)),
            }
        }
        let found = collected.found.iter().map(Resource::local_reference).collect();
        let (missing, too_large) = (&collected.missing, &collected.notes.too_large);
        let (without_attachments, known_to_stay) = (BTreeMap::new(), BTreeMap::new());
        let mut chart = Chart {
            judged,
            visited,
            found,
            missing,
            too_large,
            without_attachments,
            known_to_stay,
        };
        chart.ask_around(collected, audience, verdicts);
        chart
    }

    /// What the rest of the chart says about each resource.
    fn ask_around(&mut self, collected: &Collected, audience: &Audience<'_>, verdicts: &Verdicts) {
        let any_visit = audience.restrictions.any_encounter(audience.payer())
            || audience.terms.asks_encounters();
        let any_document = self
            .judged
            .values()
            .any(|(resource, verdict)| verdict.is_ok() && opaque::has_attachment(resource));
        let mut withheld: BTreeMap<String, Withheld> = BTreeMap::new();
        if any_visit || any_document {
            let mut known = self.known(collected, audience, verdicts);
            withheld = belongings::of(&known, audience, verdicts);
            for (reference, why) in &withheld {
                // A document that is taken tells of no more days than what it is taken with.
                if let Some((resource, sensitive)) = known.get_mut(reference)
                    && !opaque::is_document(resource)
                {
                    sensitive.get_or_insert_with(|| why.clone());
                }
            }
            let stays = known.iter().filter(|(reference, _)| !self.judged.contains_key(*reference));
            let stays = stays.filter_map(|(reference, (_, why))| Some((reference, why.clone()?)));
            self.known_to_stay = stays.map(|(reference, why)| (reference.clone(), why)).collect();
            if any_document {
                let (documents, attachments) = self.by_days(&known, audience);
                self.without_attachments = attachments;
                documents.into_iter().for_each(|(reference, why)| {
                    withheld.entry(reference).or_insert(why);
                });
            }
        }
        for (reference, why) in withheld {
            if let Some((_, verdict)) = self.judged.get_mut(&reference) {
                let stronger = why.rule == PATIENT_RESTRICTION || audience.is_sensitive(&why.rule);
                match verdict {
                    Err(known) if known.rule == PATIENT_RESTRICTION || !stronger => {}
                    verdict => *verdict = Err(why),
                }
            }
        }
        self.about(audience);
    }

    /// Everything known: what is decided on, and the rest.
    fn known(&self, collected: &Collected, audience: &Audience<'_>, verdicts: &Verdicts) -> Known {
        let sensitive = |verdict: &Verdict| {
            let why = verdict.as_ref().err();
            why.filter(|why| audience.is_sensitive(&why.rule)).cloned()
        };
        let judged = self.judged.iter();
        let mut known: Known = judged
            .map(|(reference, (it, verdict))| (reference.clone(), (it.clone(), sensitive(verdict))))
            .collect();
        for resource in collected.restricted.iter().chain(&collected.known) {
            let reference = resource.local_reference();
            if self.judged.contains_key(&reference) {
                continue;
            }
            let why = verdicts.sensitive(resource, audience, &self.visited);
            let new = (resource.clone(), why);
            // Twice the same with other content, as above.
            let rank = |(resource, why): &(Resource, Option<Withheld>)| {
                (why.is_some(), last_updated(resource), resource.bytes().clone())
            };
            match known.get(&reference) {
                Some(old) if old.0 == new.0 || rank(old) >= rank(&new) => {}
                _ => drop(known.insert(reference, new)),
            }
        }
        known
    }

    /// Documents that stay for what lies in their days, with the Binaries that hold them; and records that
    /// travel without their attachments.
    fn by_days(
        &self,
        known: &Known,
        audience: &Audience<'_>,
    ) -> (BTreeMap<String, Withheld>, BTreeMap<String, Withheld>) {
        let sensitive = Sensitive::of(known, audience);
        let (mut documents, mut attachments) = (BTreeMap::new(), BTreeMap::new());
        let mut binaries: BTreeMap<String, Withheld> = BTreeMap::new();
        for (reference, (resource, stays)) in known {
            let asked = self.judged.contains_key(reference) || opaque::may_share_binaries(resource);
            if stays.is_none() && sensitive.lets_all(audience) {
                continue;
            }
            if !asked || (stays.is_none() && !opaque::has_attachment(resource)) {
                continue;
            }
            let why = stays.clone().or_else(|| sensitive.verdict(resource, audience));
            let Some(why) = why else { continue };
            // Of several reasons a sensitive one, then the first, whatever the order of the chart.
            let rank = |why: &Withheld| (!audience.is_sensitive(&why.rule), why.clone());
            for binary in attached(resource, audience) {
                let known = binaries.entry(binary).or_insert_with(|| why.clone());
                if rank(&why) < rank(known) {
                    *known = why.clone();
                }
            }
            if stays.is_none() {
                let list =
                    if opaque::is_document(resource) { &mut documents } else { &mut attachments };
                list.insert(reference.clone(), why);
            }
        }
        documents.extend(binaries);
        (documents, attachments)
    }

    /// What is about something sensitive that stays, again until nothing is added.
    fn about(&mut self, audience: &Audience<'_>) {
        let mut faults = self.judged.values().filter_map(|(_, verdict)| verdict.as_ref().err());
        if !faults.any(|why| audience.is_sensitive(&why.rule)) {
            return;
        }
        let of_visits = self.judged.iter().any(|(_, (resource, verdict))| {
            let labelled = verdict.as_ref().is_err_and(|why| why.rule == LABEL);
            resource.kind() == "Encounter" && labelled
        });
        loop {
            let sensitive = |reference: &str| match self.judged.get(reference) {
                Some((_, Err(why))) if audience.is_sensitive(&why.rule) => Some(why),
                _ => None,
            };
            let permitted = self.judged.iter().filter(|(_, (_, verdict))| verdict.is_ok());
            let more: Vec<(String, Withheld)> = permitted
                .filter_map(|(reference, (resource, _))| {
                    let why = traces::about(resource, audience, &sensitive);
                    let of_visit = || traces::of_visit(resource, &sensitive);
                    let why = why.or_else(|| of_visits.then(of_visit).flatten())?;
                    Some((reference.clone(), why))
                })
                .collect();
            if more.is_empty() {
                return;
            }
            for (reference, why) in more {
                if let Some((_, verdict)) = self.judged.get_mut(&reference) {
                    *verdict = Err(why);
                }
            }
        }
    }

    /// What the push begins with; all else travels where something that travels refers to it.
    pub(super) fn begins(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(String::as_str).filter(|reference| {
            let verdict = self.judged.get(*reference).map(|(_, verdict)| verdict);
            matches!(verdict, Some(Ok(permitted)) if permitted.of_this_kind)
        })
    }

    /// By which rule what is attached to a resource that travels stays.
    pub(super) fn opaque(&self, resource: &Resource) -> Option<&Withheld> {
        if self.without_attachments.is_empty() {
            return None;
        }
        self.without_attachments.get(&resource.local_reference())
    }

    /// Whether a reference to this resource may stay, and if not, by which rule it goes. The second
    /// value says that the resource was not collected.
    pub(super) fn fate(
        &self,
        reference: &str,
        audience: &Audience<'_>,
    ) -> (Result<(), Withheld>, bool) {
        if let Some((_, verdict)) = self.judged.get(reference) {
            return (verdict.as_ref().map(|_| ()).map_err(Clone::clone), false);
        }
        if audience.restrictions.names(reference, audience.payer()) {
            return (Err(Withheld::by(PATIENT_RESTRICTION)), true);
        }
        if let Some(why) = self.known_to_stay.get(reference) {
            return (Err(why.clone()), true);
        }
        let rule = match self.too_large.contains(reference) {
            true => CONTENT_TOO_LARGE,
            false if self.missing.contains(reference) => UNRESOLVED,
            false => NOT_COLLECTED,
        };
        (audience.could_travel(reference).and(Err(Withheld::by(rule))), true)
    }
}

/// The Binaries that a resource's attachments name.
fn attached(resource: &Resource, audience: &Audience<'_>) -> Vec<String> {
    let urls = resource.references().iter();
    let urls = urls.filter(|found| found.element == ReferenceElement::AttachmentUrl);
    let targets =
        urls.filter_map(|url| target(&resource.reference_text(url), audience.source_base));
    targets.map(|(kind, id)| format!("{kind}/{id}")).collect()
}

fn last_updated(resource: &Resource) -> String {
    let doc = resource.doc();
    let updated = doc.root().get("meta").and_then(|meta| meta.get("lastUpdated")?.text());
    updated.unwrap_or_default().into_owned()
}
