//! Whom: the one Patient that a Bundle is about.
//!
//! Comes in   entries whose records are known, and the references that say whom they are about.
//! Goes out   that Patient: brought by the Bundle, or on file already.
//! Never      two: a member is matched by one Patient, and what is filed is found by it.

use super::references::Links;
use super::{Placed, Resolving};
use exchange::read::{self, Form, IncomingEntry, Link};
use exchange::{Code, Issue};

/// The Patient a Bundle is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// The Bundle brings it, under this id.
    Brought(String),
    /// It stands on file, under this id.
    OnFile(String),
}

impl Whom {
    /// The logical id of the Patient.
    pub fn id(&self) -> &str {
        match self {
            Whom::Brought(id) | Whom::OnFile(id) => id,
        }
    }
}

impl<'r> Resolving<'r> {
    /// Whom the Bundle is about, as far as its entries stand.
    pub(super) fn whom(&self, links: &Links) -> Option<Whom> {
        let brought = self.patient().and_then(|entry| match self.placed.get(&entry.index)? {
            Placed::Here(id) => Some(Whom::Brought(id.clone())),
            Placed::Stands(id) => Some(Whom::OnFile(id.clone())),
            Placed::Same(_) | Placed::Absent => None,
        });
        brought.or_else(|| self.named(links).map(Whom::OnFile))
    }

    /// The entry that brings a Patient.
    fn patient(&self) -> Option<&IncomingEntry> {
        let mut entries = self.incoming.entries.iter();
        entries.find(|entry| {
            entry.kind == "Patient" && entry.action.resource().is_some() && self.stands(entry)
        })
    }

    /// Refuses the entries that are about somebody else. Where the Bundle's own Patient is refused,
    /// nobody can tell.
    pub(super) fn check_whom(&mut self, whom: Option<&Whom>, links: &Links) {
        let Some(whom) = whom else { return self.check_nobody() };
        let others = self.others(whom.id(), links);
        let together = self.incoming.form == Form::Transaction;
        let brought = self.incoming.resources("Patient").next().is_some();
        if brought && self.patient().is_none() {
            return;
        }
        if together && !others.is_empty() && !brought {
            let detail = "its resources are about different Patients; one is needed";
            self.stops.push(Issue::new(Code::MemberNotNamed, detail).at("Bundle.entry"));
            return;
        }
        let detail = "it is about another Patient than the Bundle's";
        let fault = |(index, link)| (index, Code::EntryInvalid, detail.to_owned(), link);
        self.refuse_links(others.into_iter().map(fault).collect());
    }

    /// The entries to file that stand and are about somebody's care.
    pub(super) fn clinical(&self) -> impl Iterator<Item = &'r IncomingEntry> {
        let puts = |entry: &&IncomingEntry| entry.clinical && entry.action.resource().is_some();
        self.incoming.entries.iter().filter(puts).filter(|entry| self.stands(entry))
    }

    /// Where no entry of a batch that stands names a Patient, none is filed that is about
    /// somebody's care. Records may be taken back, and a Provenance may say why; it brings nothing
    /// along.
    fn check_nobody(&mut self) {
        if self.incoming.form == Form::Transaction {
            return;
        }
        let takes_back = self.incoming.only_takes_back();
        let brings = |entry: &&IncomingEntry| {
            let contained =
                entry.action.resource().map(|one| one.doc().root().get("contained").is_some());
            !takes_back || contained == Some(true)
        };
        let refused: Vec<_> = self.clinical().filter(brings).collect();
        for entry in refused {
            let detail = "no Patient whom it is about is named by an entry that can be acted on";
            self.refuse(entry, "resource", Code::MemberNotNamed, detail);
        }
    }

    /// The first Patient that a resource says it is about; else one that a Provenance speaks of.
    fn named(&self, links: &Links) -> Option<String> {
        let entries = || self.incoming.entries.iter().filter(|entry| self.stands(entry));
        let patient = |link: &Link| match self.leads_to(link, links)? {
            ("Patient", id) => Some(id.to_owned()),
            _ => None,
        };
        let subject = entries().find_map(|entry| subjects(entry).find_map(patient));
        let takes_back = || self.incoming.only_takes_back();
        subject.or_else(|| {
            let speaks = entries().filter(|entry| entry.kind == "Provenance" && !takes_back());
            speaks.flat_map(|entry| &entry.links).find_map(patient)
        })
    }

    /// The entries that are about another Patient, each with the reference that says so.
    fn others(&self, whom: &str, links: &Links) -> Vec<(usize, Link)> {
        let entries = self.incoming.entries.iter().filter(|entry| self.stands(entry));
        let other = |link: &&Link| {
            let led = self.leads_to(link, links);
            matches!(led, Some(("Patient", id)) if id != whom)
        };
        entries
            .filter_map(|entry| Some((entry.index, subjects(entry).find(other)?.clone())))
            .collect()
    }
}

fn subjects(entry: &IncomingEntry) -> impl Iterator<Item = &Link> {
    entry.subjects.iter().filter_map(|at| entry.links.get(*at))
}

/// Whom a Bundle speaks of that only takes records back: the Patient its Provenance names; without one,
/// the Patient whom it says that it is about.
pub(super) fn spoken_of(incoming: &read::Incoming) -> Option<String> {
    let Some(provenance) = incoming.resources("Provenance").next() else {
        return incoming.about.clone();
    };
    let texts = provenance.references().iter().map(|one| provenance.reference_text(one));
    texts.filter_map(|text| text.strip_prefix("Patient/").map(str::to_owned)).next()
}
