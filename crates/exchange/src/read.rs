//! Read: is what arrived a Bundle this house can act on, and is it the sender's to send?
//!
//! Comes in   the bytes of one transaction or batch, and what is agreed with whoever signed in.
//! Goes out   its entries with key, push number, conditions and references; or every issue found,
//!            each with FHIRPath and byte offset.
//! Never      repairs an entry, skips one, or stops at the first fault that leaves the rest readable.
//!
//! Why the document is walked here and not `fhir::Bundle`: that reading ends at the first wrong
//! type, which is right for an answer; a sender mends a Bundle once, so it is told everything.
//!
//! Why conditions and references are only taken apart here: what they lead to is in the store
//! (`repository::resolve`).
//!
//! R4 §3.1.0.11 (batch, transaction), §2.36 (Bundle); derived identity: docs/ARCHITECTURE.md.

mod about;
mod alone;
mod entry;
mod links;
mod reading;

use crate::agreement::Agreement;
use crate::id::{Digest, PartnerId, PushId};
use crate::issue::{Code, Issue};
use crate::issues::Issues;
use crate::limits::FAULTS_MAX;
use crate::place;
pub use about::DIRECTORY;
pub use alone::{About, Alone, alone};
use bytes::Bytes;
use fhir::{Doc, Node, ParseError, Resource};
use jiff::Timestamp;
use reading::{Found, Reading, envelope};
use std::collections::BTreeSet;
use std::ops::Range;

/// The relation of a Bundle's link to the Patient whom it is about (IANA link relations; RFC 6903 §2). A
/// Bundle of deletions of a bulk submission has no other entries (Bulk Data, `deleted`), so nothing else
/// in it says whose records they were.
pub(crate) const ABOUT: &str = "about";

/// What is agreed with whoever signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderTerms {
    /// Who it is.
    pub partner: PartnerId,
    /// The URI registered with it, for senders that derive their ids.
    pub namespace: Option<String>,
    /// Types it may send; empty: all. A Provenance always may come.
    pub types: Vec<String>,
    /// The base URL under which it may name records of this house; empty: by type and id alone.
    pub base: String,
}

/// Whether entries stand or fall together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All, or nothing.
    Transaction,
    /// Each for itself.
    Batch,
}

/// A Bundle that can be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Whether entries stand or fall together.
    pub form: Form,
    /// `system|value` of `Bundle.identifier` (the value alone where there is no system; a bar or
    /// backslash of theirs stands behind a backslash): under it, a repeat is known as one.
    pub key: Option<String>,
    /// The push, where the identifier is one of a house that derives its ids.
    pub push: Option<PushId>,
    /// What decides which push is newer.
    pub number: Option<u64>,
    /// When the sender read its chart (`Bundle.timestamp`): what decides which of two contents is
    /// newer of a record that is nobody's.
    pub as_of: Option<Timestamp>,
    /// Logical id of the Patient whom it says that it is about (`Bundle.link`, relation `about`).
    pub about: Option<String>,
    /// As they arrived.
    pub bytes: Bytes,
    /// Over the bytes.
    pub digest: Digest,
    /// How many entries the Bundle has, refused ones included.
    pub count: usize,
    /// Those that can be acted on, in the order of the Bundle.
    pub entries: Vec<IncomingEntry>,
    /// Those that cannot, in the order of the Bundle. Of a transaction, nothing can be filed then;
    /// those that could be read are among `entries` too, so that all is told that is wrong.
    pub refused: Vec<RefusedEntry>,
    /// What is wrong with the Bundle as a whole: nothing can be filed.
    pub stops: Vec<Issue>,
    /// Types of resources that are brought by entries which could not be read: a condition that
    /// nothing fits may have been meant for one of them.
    pub unread: BTreeSet<String>,
    /// Records referred to that are not in the Bundle, each once: the caller looks for them in its
    /// own, and hands those it does not have to `unresolved`.
    pub outside: Vec<OutsideReference>,
}

/// An entry that cannot be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Its position, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub issues: Issues,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingEntry {
    /// Its position, from 0.
    pub index: usize,
    /// Its `fullUrl` where that is a urn: the name by which a sender finds it again.
    pub urn: Option<String>,
    /// Resource type.
    pub kind: String,
    /// Which record it is about.
    pub target: Target,
    /// What is asked.
    pub action: Action,
    /// `ifMatch`: what the record's newest version must be.
    pub if_match: Option<IfMatch>,
    /// `ifNoneExist`, of a create: what must not be there yet.
    pub unless: Option<Condition>,
    /// The sender's own id of it, for senders that derive their ids.
    pub source_id: Option<String>,
    /// The references of its resource that lead somewhere in this house.
    pub links: Vec<Link>,
    /// Positions in `links` of those that say whom it is about.
    pub subjects: Vec<usize>,
    /// Whether it is about somebody's care: without a member it is not filed.
    pub clinical: bool,
}

/// Which record an entry is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The one with this logical id.
    Id(String),
    /// A new one, under an id that this house gives it.
    New,
    /// The one that fits.
    Fits(Condition),
}

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// File this as a new record.
    Create(Resource),
    /// File this.
    Put(Resource),
    /// Withdraw the record.
    Delete,
}

/// `ifMatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: there is one.
    Any,
    /// `W/"3"`: this one.
    Version(u64),
}

/// A search by which an entry or a reference names a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Resource type.
    pub kind: String,
    /// Decoded parameters in their order; never none.
    pub parameters: Vec<(String, String)>,
}

/// A reference that leads to a record of this house.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which one of the resource's `references()`.
    pub reference: usize,
    /// Where it leads.
    pub to: LinkTo,
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkTo {
    /// To the record of another entry, by its position in the Bundle.
    Entry(usize),
    /// To a record by type and logical id.
    Record(String, String),
    /// To the record that fits.
    Fits(Condition),
}

/// The first reference to a record that is not in the Bundle; a Provenance's only where no other
/// resource refers to it, since a Provenance may speak of what is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideReference {
    /// Position of the entry that refers.
    pub entry: usize,
    /// Byte positions of the reference's text in the body.
    pub content: Range<usize>,
    /// Type it refers to.
    pub kind: String,
    /// Logical id it refers to.
    pub id: String,
}

impl SenderTerms {
    /// The terms of an agreement, for a partner with or without a registered namespace, with a
    /// house of this base URL.
    pub fn of(agreement: &Agreement, namespace: Option<String>, base: &str) -> SenderTerms {
        let types = agreement.permit.iter().flat_map(|permit| permit.types.iter().cloned());
        let (partner, types) = (agreement.partner.clone(), types.collect());
        SenderTerms { partner, namespace, types, base: base.to_owned() }
    }
}

impl Action {
    /// The resource to file, unless something is withdrawn.
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Action::Create(resource) | Action::Put(resource) => Some(resource),
            Action::Delete => None,
        }
    }

    /// The letter of the scope it needs: `c`, `u` or `d`.
    pub fn letter(&self) -> char {
        match self {
            Action::Create(_) => 'c',
            Action::Put(_) => 'u',
            Action::Delete => 'd',
        }
    }
}

impl IncomingEntry {
    /// The logical id, where the entry names it.
    pub fn id(&self) -> Option<&str> {
        match &self.target {
            Target::Id(id) => Some(id),
            Target::New | Target::Fits(_) => None,
        }
    }

    fn puts(&self) -> bool {
        self.action.resource().is_some()
    }

    /// Where the text of a link stands in the body.
    pub fn place(&self, link: &Link, body: &Bytes) -> Range<usize> {
        let Some(resource) = self.action.resource() else { return 0..0 };
        // The resource is a slice of the body.
        let start = resource.bytes().as_ptr() as usize - body.as_ptr() as usize;
        let span = resource.references().get(link.reference).map(|one| one.span.clone());
        span.map_or(start..start, |span| start + span.start..start + span.end)
    }

    /// The words of an issue, with the entry's name where it may be told: a urn is drawn, so it
    /// says nothing of a patient.
    pub fn named(&self, detail: &str) -> String {
        reading::named(detail, self.index, self.urn.as_deref())
    }
}

impl Incoming {
    /// The resources of a type, in the order of the Bundle.
    pub fn resources(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        let of_kind = self.entries.iter().filter(move |entry| entry.kind == kind);
        of_kind.filter_map(|entry| entry.action.resource())
    }

    /// Refuses entries that were read, and may not be acted on.
    pub fn refuse(&mut self, refused: Vec<RefusedEntry>) {
        let gone: BTreeSet<usize> = refused.iter().map(|one| one.index).collect();
        let unread = self.entries.iter().filter(|one| one.puts() && gone.contains(&one.index));
        self.unread.extend(unread.map(|one| one.kind.clone()));
        self.entries.retain(|entry| !gone.contains(&entry.index));
        self.refused.extend(refused);
        self.refused.sort_by_key(|one| one.index);
        self.refused.dedup_by(|later, first| {
            let same = later.index == first.index;
            if same {
                first.issues.rest.extend(later.issues.clone());
            }
            same
        });
    }

    /// All that was found to be wrong where nothing can be filed, in the order of the body; at most
    /// `limits::FAULTS_MAX`.
    pub fn faults(&self) -> Option<Issues> {
        if self.form == Form::Batch && self.stops.is_empty() {
            return None;
        }
        let of_entries = self.refused.iter().flat_map(|one| &one.issues);
        let mut issues: Vec<Issue> = self.stops.iter().chain(of_entries).cloned().collect();
        issues.sort_by_key(|issue| issue.offset);
        issues.truncate(FAULTS_MAX);
        Issues::of(issues)
    }

    /// The entries to file that are about somebody's care, by their positions.
    pub fn clinical(&self) -> Vec<usize> {
        let puts = self.entries.iter().filter(|entry| entry.clinical && entry.puts());
        puts.map(|entry| entry.index).collect()
    }

    /// Whether records are only taken back, and a Provenance says why: that needs no member.
    pub fn only_takes_back(&self) -> bool {
        about::only_takes_back(&self.entries)
    }

    /// The issues for references that lead nowhere, with their places.
    pub fn unresolved<'o>(
        &self,
        outside: impl IntoIterator<Item = &'o OutsideReference>,
    ) -> Vec<Issue> {
        let detail = "it refers to a record that is neither in the Bundle nor filed";
        let fault = |one: &OutsideReference| {
            (Code::ReferenceUnresolved, detail.to_owned(), one.content.clone())
        };
        self.at_references(outside.into_iter().map(fault))
    }

    /// Issues at the texts of references, given by their byte positions: one for each.
    pub fn at_references(
        &self,
        faults: impl IntoIterator<Item = (Code, String, Range<usize>)>,
    ) -> Vec<Issue> {
        let mut faults = faults.into_iter().peekable();
        if faults.peek().is_none() {
            return Vec::new();
        }
        let doc = Doc::parse(&self.bytes).ok();
        let issue = |(code, detail, content): (Code, String, Range<usize>)| match doc
            .as_ref()
            .and_then(|doc| string_at(doc, &content))
        {
            Some(node) => issue_at(code, node, detail),
            None => Issue::new(code, detail),
        };
        faults.map(issue).collect()
    }
}

/// The string whose content has these positions.
fn string_at<'d, 'a>(doc: &'d Doc<'a>, content: &Range<usize>) -> Option<Node<'d, 'a>> {
    doc.node_at(&(content.start.checked_sub(1)?..content.end + 1))
}

/// Reads a transaction or a batch. Errors: those of `take_apart`; in a transaction also those of
/// its entries: `EntryInvalid`, `ReferenceUnresolved`, `IdentityMismatch`, `KindNotAgreed`,
/// `MemberNotNamed`; at most `limits::FAULTS_MAX`, those of the first entries.
pub fn read(bytes: Bytes, sender: &SenderTerms) -> Result<Incoming, Issues> {
    let incoming = take_apart(bytes, sender)?;
    incoming.faults().map_or(Ok(incoming), Err)
}

/// Takes a transaction or a batch apart, whatever is wrong with its entries: whoever knows what is
/// filed can then name all faults at once. Nothing may be filed while there are `faults`.
///
/// Errors: `BodyMalformed`, `BundleInvalid`, `TooManyEntries`, `BodyTooLarge`
/// (`limits::REFERENCES_MAX`).
pub fn take_apart(bytes: Bytes, sender: &SenderTerms) -> Result<Incoming, Issues> {
    let doc = Doc::parse(&bytes).map_err(|error| malformed(&error))?;
    let (form, list) = envelope(doc.root())?;
    let mut reading = Reading::new(&bytes, sender, form);
    let (key, push) = reading.identifier(doc.root());
    let mut entries: Vec<IncomingEntry> = Vec::new();
    for (index, node) in list.items().enumerate() {
        let entry = reading.entry(index, node);
        reading.count_references(entry.as_ref(), node)?;
        entries.extend(entry);
    }
    let outside = reading.links(&doc, list, &mut entries);
    reading.about(list, &mut entries);
    let Found { stops, refused, unread } = reading.end(&mut entries);
    let (digest, number) = (Digest::of(&bytes), push.as_ref().and_then(PushId::number));
    let count = list.items().count();
    let timestamp = doc.root().get("timestamp").and_then(|node| node.text());
    let as_of = timestamp.and_then(|text| text.parse().ok());
    Ok(Incoming {
        form,
        key,
        push,
        number,
        as_of,
        about: said_about(doc.root()),
        bytes: bytes.clone(),
        digest,
        count,
        entries,
        refused,
        stops,
        unread,
        outside,
    })
}

/// The Patient to whom the first link `about` leads that leads to one.
fn said_about(root: Node<'_, '_>) -> Option<String> {
    let mut links = root.get("link").into_iter().flat_map(|list| list.each());
    links.find_map(|link| {
        let text = |name: &str| link.get(name).and_then(|member| member.text());
        let url = text("url").filter(|_| text("relation").as_deref() == Some(ABOUT))?;
        let (kind, id) = place::type_and_id(&url)?;
        (kind == "Patient").then(|| id.to_owned())
    })
}

fn malformed(error: &ParseError) -> Issue {
    let issue = Issue::new(Code::BodyMalformed, error.reason.to_string()).at(&error.expression);
    Issue { offset: Some(error.offset as u64), ..issue }
}

fn issue_at(code: Code, node: Node<'_, '_>, detail: impl Into<String>) -> Issue {
    let issue = Issue::new(code, detail).at(node.expression());
    Issue { offset: Some(node.span().start as u64), ..issue }
}

/// The deepest element on a way that is there.
fn place_in<'d, 'a>(entry: Node<'d, 'a>, way: &[&str]) -> Node<'d, 'a> {
    let mut place = entry;
    for step in way {
        match place.get(step) {
            Some(below) => place = below,
            None => return place,
        }
    }
    place
}
