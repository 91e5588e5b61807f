//! Opaque: documents that nobody here looks into take the strictest rule of their days.
//!
//! Comes in   what is known of the patient, with the verdict on each; one document.
//! Goes out   whether it stays, and by which rule.
//! Never      reads words: a note in plain text is as opaque as a scan. Never asks what is in this
//!            push: a document is judged by the whole chart, as far as *collect* knows it.
//!
//! A note of Tuesday may tell of everything that was so on Tuesday. So where something sensitive
//! that stays lies in its days (a restricted visit, a labelled result, what a sensitive rule
//! withholds), it stays as well. What says no days may be of any: of a document, or of what stays.
//!
//! A Composition is narrative section by section, so it is such a document. The narrative of any other
//! resource is made of that resource alone where its status says so (`generated`, `extensions`: R4
//! §2.1.27.1), and then travels unless something of the resource is cut. Any other narrative may tell
//! more than its resource, of whatever happened: it stays as an attachment does.

use super::belongings::visit_days;
use super::chart::Known;
use super::known::tells;
use super::{ABOUT, Audience, OPAQUE, OPAQUE_ALL, PATIENT_RESTRICTION, Withheld, loose};
use crate::agreement::Opaque;
use crate::days::{Days, possible_days};
use crate::restriction::tail;
use fhir::{Doc, Node, Resource};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// Types that are documents as a whole; of others only the attachment is one.
const DOCUMENTS: [&str; 3] = ["Composition", "DocumentReference", "Media"];

/// What `Narrative.status` says of a narrative that tells no more than its resource.
const OF_ITS_RESOURCE: [&str; 3] = ["empty", "extensions", "generated"];

/// Types that are about no patient's care: what is attached to them tells of none. Fewer than
/// `read::DIRECTORY`: each type here lets an attachment go that the rule would else withhold.
const OF_NOBODY: [&str; 7] = [
    "HealthcareService",
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Substance",
];

/// LOINC types of documents that sum up a patient's whole history.
const SUMMARIES: [&str; 6] = [
    "11503-0", // medical records
    "34133-9", // summary of episode note (continuity of care document)
    "60591-5", // patient summary
    "57133-1", // referral note
    "18761-7", // transfer summary
    "51855-5", // patient note
];

/// All days there are.
const ALWAYS: Days = Days { first: Date::MIN, last: Date::MAX };

/// The days on which something sensitive that stays was so.
#[derive(Default)]
pub(super) struct Sensitive {
    days: Vec<Days>,
    visits: BTreeMap<String, Days>,
}

/// Whether a resource holds an attachment or narrative that could be opaque. Most hold none, and are
/// told by a look at their bytes: names are never written with escapes.
pub(super) fn has_attachment(resource: &Resource) -> bool {
    if resource.kind() == "Composition" {
        return true;
    }
    let text = std::str::from_utf8(resource.bytes()).unwrap_or_default();
    if !["\"data\"", "\"url\"", "\"div\""].iter().any(|name| text.contains(name)) {
        return false;
    }
    let doc = resource.doc();
    loose::attachments(&doc).chain(free_narratives(&doc)).next().is_some()
}

/// Narratives that may tell more than the resource that they stand in.
pub(super) fn free_narratives<'d, 'a>(doc: &'d Doc<'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    doc.root().descendants().filter(|node| {
        let status = node.get("status").and_then(|status| status.text());
        let free = !status.is_some_and(|status| OF_ITS_RESOURCE.contains(&status.trim()));
        node.get("div").is_some() && free
    })
}

impl Sensitive {
    /// Of everything known, by the sensitive verdict on each.
    pub(super) fn of(all: &Known, audience: &Audience<'_>) -> Sensitive {
        let mut sensitive = Sensitive::default();
        for (reference, (resource, _)) in all.iter().filter(|(_, (it, _))| it.kind() == "Encounter")
        {
            sensitive.visits.insert(reference.clone(), visit_days(resource).unwrap_or(ALWAYS));
        }
        for (resource, why) in all.values() {
            let Some(why) = why.as_ref().filter(|_| tells(resource.kind(), audience)) else {
                continue;
            };
            let days = extent(resource, why).or_else(|| joined(sensitive.days_of_visits(resource)));
            sensitive.days.push(days.unwrap_or(ALWAYS));
        }
        sensitive.days.sort();
        sensitive.days.dedup();
        sensitive
    }

    /// The days of the known visits that a resource names.
    fn days_of_visits(&self, resource: &Resource) -> impl Iterator<Item = Days> {
        resource.references().iter().filter_map(|reference| {
            let target = tail(&resource.reference_text(reference))?;
            target.starts_with("Encounter/").then(|| self.visits.get(&target).copied())?
        })
    }

    /// Whether no attachment stays for its own sake.
    pub(super) fn lets_all(&self, audience: &Audience<'_>) -> bool {
        match audience.terms.agreement.opaque {
            Opaque::Permit => true,
            Opaque::Withhold => false,
            Opaque::WithholdInSensitivePeriod => self.days.is_empty(),
        }
    }

    /// By which rule what is attached to a resource stays; `None`: it may travel with it.
    pub(super) fn verdict(&self, resource: &Resource, audience: &Audience<'_>) -> Option<Withheld> {
        if OF_NOBODY.contains(&resource.kind()) {
            return None;
        }
        match audience.terms.agreement.opaque {
            Opaque::Permit => None,
            Opaque::Withhold => Some(Withheld::by(OPAQUE_ALL)),
            Opaque::WithholdInSensitivePeriod => {
                let own = self.days_told(resource);
                let meets = self.days.iter().any(|days| days.meets(&own));
                meets.then(|| Withheld::by(OPAQUE))
            }
        }
    }

    /// The days that a document may tell of: its period, else the day it was written and the days of
    /// its visits; all, where it says neither or sums up a history.
    fn days_told(&self, resource: &Resource) -> Days {
        let doc = resource.doc();
        let root = doc.root();
        let written = root.get("date").and_then(Days::possible);
        let period = root.get("context").and_then(|context| context.get("period"));
        if let Some(days) = period.and_then(|period| open_days(period, written)) {
            return days;
        }
        let may_sum_up = ["Composition", "DocumentReference"].contains(&resource.kind());
        if may_sum_up && sums_up(root) {
            return ALWAYS;
        }
        let events = root.get("event").into_iter().flat_map(|events| events.each());
        let events = events.filter_map(|event| open_days(event.get("period")?, written));
        let all = possible_days(resource).into_iter().chain(written).chain(events);
        joined(all.chain(self.days_of_visits(resource))).unwrap_or(ALWAYS)
    }
}

/// From the first of all to the last.
fn joined(days: impl Iterator<Item = Days>) -> Option<Days> {
    days.reduce(|a, b| Days { first: a.first.min(b.first), last: a.last.max(b.last) })
}

/// Whether what is known beside the push is looked at for Binaries that it shares with it.
pub(super) fn may_share_binaries(resource: &Resource) -> bool {
    is_document(resource) || resource.kind() == "DiagnosticReport"
}

/// Whether a resource is a document as a whole.
pub(super) fn is_document(resource: &Resource) -> bool {
    DOCUMENTS.contains(&resource.kind())
}

/// A period, whose open end reaches as far as it can: no document tells of days after it was
/// written.
fn open_days(period: Node<'_, '_>, written: Option<Days>) -> Option<Days> {
    let days = Days::possible(period)?;
    let first = if period.get("start").is_some() { days.first } else { Date::MIN };
    let open = || written.map_or(Date::MAX, |written| written.last.max(days.last));
    let last = if period.get("end").is_some() { days.last } else { open() };
    Some(Days { first, last })
}

/// Whether a DocumentReference is of a kind that tells a whole history: by its type, or because it is
/// a C-CDA document (XML) of no visit.
fn sums_up(root: Node<'_, '_>) -> bool {
    let has = |node: Node<'_, '_>, words: &[&str]| {
        node.descendants().any(|node| {
            node.name() == "code" && node.text().is_some_and(|code| words.contains(&code.trim()))
        })
    };
    let summary = ["type", "category"].iter().filter_map(|name| root.get(name));
    if summary.into_iter().any(|node| has(node, &SUMMARIES)) {
        return true;
    }
    let visit = root.get("context").is_some_and(|context| context.get("encounter").is_some());
    !visit && root.get("content").is_some_and(|content| content.descendants().any(is_cda))
}

fn is_cda(node: Node<'_, '_>) -> bool {
    let text = || node.text().unwrap_or_default().to_ascii_lowercase();
    match node.name() {
        "contentType" => text().contains("xml"),
        "code" => text().contains("ccda") || text().contains("cda:"),
        _ => false,
    }
}

/// From when to when a sensitive record was so. A restriction is one of a visit or a record, and counts
/// for its days; what is labelled, or withheld by a rule, is a matter that goes on until it is said
/// to have ended.
fn extent(resource: &Resource, why: &Withheld) -> Option<Days> {
    if resource.kind() == "Encounter" {
        return visit_days(resource);
    }
    let days = possible_days(resource)?;
    let doc = resource.doc();
    let root = doc.root();
    let ended = match resource.kind() {
        // What a labelled visit takes along was so on its days, as what a restricted one does.
        _ if [ABOUT, PATIENT_RESTRICTION].contains(&why.rule.as_str()) => return Some(days),
        "Condition" => {
            let ended = root.members().find(|member| member.name().starts_with("abatement"));
            ended.map(|ended| Days::of(ended).map_or(days.last, |ended| ended.last))
        }
        _ => {
            let open = |name: &str| root.get(name).is_some_and(|node| node.get("end").is_none());
            let goes_on = ["period", "effectivePeriod", "performedPeriod"].into_iter().any(open);
            (!goes_on).then_some(days.last)
        }
    };
    Some(Days { first: days.first, last: ended.unwrap_or(Date::MAX).max(days.last) })
}
