//! Chart: everything collected, each resource once, with the verdict on it.
//!
//! Comes in   what was collected, and the audience.
//! Goes out   a verdict for each resource that is decided on, and the fate of every reference.
//! Never      a verdict that depends on the order in which the chart was read, or on which of the
//!            resources are sent in this push.
//!
//! First each resource is judged by itself; then, in this order, what belongs to a withheld visit
//! stays with it, documents take the strictest rule of their days, and what is about something
//! sensitive stays with that.

use super::addresses::VisitNumbers;
use super::members::Numbers;
use super::opaque::{self, Sensitive};
use super::verdicts::Verdicts;
use super::visits::Visited;
use super::{
    ABOUT, Audience, CONTENT_TOO_LARGE, Collected, NOT_AGREED, NOT_COLLECTED, OTHER_PATIENT,
    OUTSIDE_WINDOW, PATIENT_RESTRICTION, Permitted, UNDATED, UNRESOLVED, Whose, Withheld, about,
    belongings, judge_among, target, whose,
};
use fhir::{ReferenceElement, Resource};
use std::collections::{BTreeMap, BTreeSet};

type Verdict = Result<Permitted, Withheld>;

/// What was collected, each resource once, judged.
pub(super) struct Chart<'c> {
    pub(super) judged: BTreeMap<String, (Resource, Verdict)>,
    pub(super) visited: Visited,
    pub(super) numbers: Numbers,
    pub(super) whose: Whose,
    pub(super) visit_numbers: VisitNumbers,
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
        let whose = Whose::read(collected, audience);
        let mut judged: BTreeMap<String, (Resource, Verdict)> = BTreeMap::new();
        let found = collected.found.iter().map(|one| (one, false));
        let followed = collected.followed.iter().map(|one| (one, true));
        for (resource, is_followed) in found.chain(followed) {
            let answers = visited.of(resource);
            let verdict = judge_among(resource, audience, &whose, answers.visits());
            let verdict = match is_followed && whose::is_ownerless(resource) {
                true => verdict.and(Err(Withheld::by(OTHER_PATIENT))),
                false => verdict,
            };
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
            numbers: Numbers::read(collected.all(), audience),
            whose,
            visit_numbers: VisitNumbers::default(),
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
        let any_document = self
            .judged
            .values()
            .any(|(resource, verdict)| verdict.is_ok() && opaque::has_attachment(resource));
        let mut known = self.known(collected, audience, verdicts);
        let mut withheld = belongings::of(&known, audience, verdicts);
        for (reference, why) in &withheld {
            // A document that is taken tells of no more days than what it is taken with.
            if let Some((resource, sensitive)) = known.get_mut(reference)
                && !opaque::is_document(resource)
            {
                sensitive.get_or_insert_with(|| why.clone());
            }
        }
        if any_document {
            let (documents, attachments) = self.by_days(&known, audience);
            self.without_attachments = attachments;
            documents.into_iter().for_each(|(reference, why)| {
                withheld.entry(reference).or_insert(why);
            });
        }
        let whys =
            known.iter().filter_map(|(reference, (_, why))| Some((reference, why.as_ref()?)));
        let whys = whys.chain(withheld.iter().filter(|(_, why)| audience.is_sensitive(&why.rule)));
        let stay: BTreeMap<String, Withheld> =
            whys.map(|(reference, why)| (reference.clone(), why.clone())).collect();
        let about = about::of(&known, &stay, audience, verdicts);
        self.known_to_stay = stay.into_iter().chain(about.clone()).collect();
        self.visit_numbers = VisitNumbers::read(&known, &self.known_to_stay, audience.patient);
        self.known_to_stay.retain(|reference, _| !self.judged.contains_key(reference));
        for (reference, why) in withheld.into_iter().chain(about) {
            if let Some((_, verdict)) = self.judged.get_mut(&reference)
                && gives_way(verdict, &why, audience)
            {
                *verdict = Err(why);
            }
        }
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

/// Whether a verdict gives way to what the chart says. A restriction gives way to nothing, and what is
/// sensitive by itself or of nobody's concern here not to what something is merely about.
fn gives_way(verdict: &Verdict, why: &Withheld, audience: &Audience<'_>) -> bool {
    let Err(known) = verdict else { return true };
    match why.rule.as_str() {
        ABOUT => [NOT_AGREED, OUTSIDE_WINDOW, UNDATED].contains(&known.rule.as_str()),
        PATIENT_RESTRICTION => known.rule != PATIENT_RESTRICTION,
        rule => known.rule != PATIENT_RESTRICTION && audience.is_sensitive(rule),
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
