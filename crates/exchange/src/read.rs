//! Read: is what arrived a transaction this house can act on, and is it the sender's to send?
//!
//! Comes in   the bytes of one Bundle, and what is agreed with whoever signed in.
//! Goes out   its entries with key, push number and references; or every issue found, each with
//!            FHIRPath and byte offset.
//! Never      repairs an entry, skips one, or stops at the first fault that leaves the rest readable.
//!
//! Why the document is walked here and not `fhir::Bundle`: that reading ends at the first wrong
//! type, which is right for an answer; a sender mends a Bundle once, so it is told everything.
//!
//! R4 §3.1.0.11.2 (transaction), §2.36 (Bundle); derived identity: docs/ARCHITECTURE.md.

use crate::agreement::Agreement;
use crate::assemble::push_system;
use crate::id::{Digest, PartnerId, PushId, derived_id};
use crate::issue::{Code, Issue};
use crate::limits::{ENTRIES_MAX, ISSUES_MAX, KEY_CHARS_MAX};
use crate::path::is_resource_type;
use crate::place;
use bytes::Bytes;
use fhir::{Doc, Kind, Node, ParseError, ReferenceElement, Resource};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Elements that say whom a resource is about (R4 §2.5, the patient's compartment).
const SUBJECTS: [&str; 4] = ["subject", "patient", "beneficiary", "for"];

/// What is agreed with whoever signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderTerms {
    /// Who it is.
    pub partner: PartnerId,
    /// The URI registered with it, for senders that derive their ids.
    pub namespace: Option<String>,
    /// Types it may send; empty: all. A Provenance always may come.
    pub types: Vec<String>,
}

/// A Bundle that can be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// `system|value` of `Bundle.identifier` (the value alone where there is no system; a bar or
    /// backslash of theirs stands behind a backslash): under it, a repeat is known as one.
    pub key: Option<String>,
    /// The push, where the identifier is one of a house that derives its ids.
    pub push: Option<PushId>,
    /// What decides which push is newer.
    pub number: Option<u64>,
    /// As they arrived.
    pub bytes: Bytes,
    /// Over the bytes.
    pub digest: Digest,
    /// In the order of the Bundle.
    pub entries: Vec<IncomingEntry>,
    /// Records referred to that are not in the Bundle, each once: the caller looks for them in its
    /// own, and hands those it does not have to `unresolved`.
    pub outside: Vec<OutsideReference>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingEntry {
    /// Its position, from 0.
    pub index: usize,
    /// Resource type.
    pub kind: String,
    /// Logical id.
    pub id: String,
    /// What is asked.
    pub action: Action,
    /// The sender's own id of it, for senders that derive their ids.
    pub source_id: Option<String>,
}

impl IncomingEntry {
    fn puts(&self) -> bool {
        matches!(self.action, Action::Put(_))
    }
}

/// What an entry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// File this.
    Put(Resource),
    /// Withdraw the record.
    Delete,
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
    /// The terms of an agreement, for a partner with or without a registered namespace.
    pub fn of(agreement: &Agreement, namespace: Option<String>) -> SenderTerms {
        let types = agreement.permit.iter().flat_map(|permit| permit.types.iter().cloned());
        SenderTerms { partner: agreement.partner.clone(), namespace, types: types.collect() }
    }
}

impl Incoming {
    /// The one Patient, unless records are only taken back.
    pub fn patient(&self) -> Option<&Resource> {
        self.resources("Patient").next()
    }

    /// The resources of a type, in the order of the Bundle.
    pub fn resources(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        self.entries.iter().filter(move |entry| entry.kind == kind).filter_map(|entry| match &entry
            .action
        {
            Action::Put(resource) => Some(resource),
            Action::Delete => None,
        })
    }

    /// The issues for references that lead nowhere, with their places; at most `ISSUES_MAX`.
    pub fn unresolved<'o>(
        &self,
        outside: impl IntoIterator<Item = &'o OutsideReference>,
    ) -> Vec<Issue> {
        let Ok(doc) = Doc::parse(&self.bytes) else { return Vec::new() };
        let issue = |reference: &OutsideReference| {
            let detail = "it refers to a record that is neither in the Bundle nor filed";
            let node = string_at(&doc, &reference.content).unwrap_or(doc.root());
            issue_at(Code::ReferenceUnresolved, node, detail)
        };
        outside.into_iter().take(ISSUES_MAX).map(issue).collect()
    }
}

/// The string whose content has these positions.
fn string_at<'d, 'a>(doc: &'d Doc<'a>, content: &Range<usize>) -> Option<Node<'d, 'a>> {
    doc.node_at(&(content.start - 1..content.end + 1))
}

/// Reads a transaction Bundle. Errors: `BodyMalformed`, `BundleInvalid`, `TooManyEntries`,
/// `EntryInvalid`, `ReferenceUnresolved`, `IdentityMismatch`, `KindNotAgreed`, `MemberNotNamed`;
/// at most `ISSUES_MAX`, those of the first entries.
pub fn read(bytes: Bytes, sender: &SenderTerms) -> Result<Incoming, Vec<Issue>> {
    let doc = Doc::parse(&bytes).map_err(|error| vec![malformed(&error)])?;
    let list = envelope(doc.root())?;
    let mut reading = Reading::new(&bytes, sender);
    let (key, push) = reading.identifier(doc.root());
    let entries: Vec<IncomingEntry> =
        list.items().enumerate().filter_map(|(index, node)| reading.entry(index, node)).collect();
    let outside = reading.references(&doc, list, &entries);
    reading.check_patient(list, &entries);
    reading.check_subjects(list, &entries);
    reading.issues.sort_by_key(|issue| issue.offset);
    reading.issues.truncate(ISSUES_MAX);
    if !reading.issues.is_empty() {
        return Err(reading.issues);
    }
    let (digest, number) = (Digest::of(&bytes), push.as_ref().and_then(PushId::number));
    Ok(Incoming { key, push, number, bytes: bytes.clone(), digest, entries, outside })
}

fn malformed(error: &ParseError) -> Issue {
    let issue = Issue::new(Code::BodyMalformed, error.reason.to_string()).at(&error.expression);
    Issue { offset: Some(error.offset as u64), ..issue }
}

fn issue_at(code: Code, node: Node<'_, '_>, detail: impl Into<String>) -> Issue {
    let issue = Issue::new(code, detail).at(node.expression());
    Issue { offset: Some(node.span().start as u64), ..issue }
}

/// The entries of a body that is a transaction at all.
fn envelope<'d, 'a>(root: Node<'d, 'a>) -> Result<Node<'d, 'a>, Vec<Issue>> {
    let refuse =
        |node: Node<'_, '_>, detail: &str| Err(vec![issue_at(Code::BundleInvalid, node, detail)]);
    let text = |name: &str| root.get(name).and_then(|node| node.text());
    if text("resourceType").as_deref() != Some("Bundle") {
        return refuse(root.get("resourceType").unwrap_or(root), "a Bundle is needed");
    }
    if text("type").as_deref() != Some("transaction") {
        return refuse(root.get("type").unwrap_or(root), "a Bundle of type transaction is needed");
    }
    let Some(list) = root.get("entry") else {
        return refuse(root, "the Bundle has no entries");
    };
    if list.kind() != Kind::Array || list.items().next().is_none() {
        return refuse(list, "a list of entries is needed");
    }
    match list.items().nth(ENTRIES_MAX) {
        Some(beyond) => {
            let detail = format!("more than {ENTRIES_MAX} entries");
            Err(vec![issue_at(Code::TooManyEntries, beyond, detail)])
        }
        None => Ok(list),
    }
}

/// One reading; collects what is wrong.
struct Reading<'a> {
    bytes: &'a Bytes,
    sender: &'a SenderTerms,
    issues: Vec<Issue>,
    /// Positions of the entries by record and by fullUrl.
    records: HashMap<(String, String), usize>,
    full_urls: HashMap<String, usize>,
}

/// What an entry's request asks for.
struct Request {
    put: bool,
    kind: String,
    id: String,
}

impl<'r> Reading<'r> {
    fn new(bytes: &'r Bytes, sender: &'r SenderTerms) -> Reading<'r> {
        let (records, full_urls) = (HashMap::new(), HashMap::new());
        Reading { bytes, sender, issues: Vec::new(), records, full_urls }
    }

    /// Notes an issue; beyond `ISSUES_MAX` nothing more is looked for, so that a Bundle of nothing
    /// but faults costs no more than a good one.
    fn refuse(&mut self, code: Code, node: Node<'_, '_>, detail: impl Into<String>) {
        if !self.full() {
            self.issues.push(issue_at(code, node, detail));
        }
    }

    fn full(&self) -> bool {
        self.issues.len() >= ISSUES_MAX
    }

    /// `Bundle.identifier` as a key, and as a push of the sender.
    fn identifier(&mut self, root: Node<'_, '_>) -> (Option<String>, Option<PushId>) {
        let Some(identifier) = root.get("identifier") else { return (None, None) };
        if identifier.kind() != Kind::Object {
            self.refuse(Code::BundleInvalid, identifier, "one identifier, an object, is needed");
        }
        let system = self.key_part(identifier, "system");
        let value = self.key_part(identifier, "value");
        let Some(value) = value.filter(|value| !value.is_empty()) else { return (None, None) };
        let key = key(system.as_deref(), &value);
        let ours = self.sender.namespace.as_deref().map(push_system);
        if ours.is_none() || system != ours {
            return (Some(key), None);
        }
        let push = PushId(value);
        if push.number().is_none() {
            let detail = "a push id is a number, a hyphen and 32 hexadecimal digits";
            self.refuse(Code::BundleInvalid, identifier.get("value").unwrap_or(identifier), detail);
        }
        (Some(key), Some(push))
    }

    /// A part of the key: short, and of characters that can be shown as they are.
    fn key_part(&mut self, identifier: Node<'_, '_>, name: &str) -> Option<String> {
        let text = self.text(Code::BundleInvalid, identifier, name)?;
        let shown = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !shown || text.len() > KEY_CHARS_MAX {
            let detail = format!("at most {KEY_CHARS_MAX} printable ASCII characters are taken");
            self.refuse(Code::BundleInvalid, identifier.get(name).unwrap_or(identifier), detail);
        }
        Some(text)
    }

    /// A string member, when it is there; anything else in its place is refused.
    fn text(&mut self, code: Code, node: Node<'_, '_>, name: &str) -> Option<String> {
        let member = node.get(name)?;
        let text = member.text().map(|text| text.into_owned());
        if text.is_none() {
            self.refuse(code, member, "a string is needed");
        }
        text
    }

    /// One entry, when all is well with it.
    fn entry(&mut self, index: usize, node: Node<'_, '_>) -> Option<IncomingEntry> {
        if node.kind() != Kind::Object {
            self.refuse(Code::EntryInvalid, node, "an entry is an object");
            return None;
        }
        let before = self.issues.len();
        let resource = self.resource(node);
        let request = self.request(node);
        if let Some(request) = &request {
            self.check_once(index, node, request);
            self.check_full_url(index, node, request);
        }
        let Request { put, kind, id } = request?;
        let (action, source_id) = if put {
            let resource = resource?;
            self.check_target(node, &resource, &kind, &id);
            self.check_agreed(node, &kind);
            let source_id = self.check_identity(node, &resource, &kind, &id);
            (Action::Put(resource), source_id)
        } else {
            (Action::Delete, None)
        };
        let good = self.issues.len() == before;
        good.then_some(IncomingEntry { index, kind, id, action, source_id })
    }

    /// The entry's resource, where one is allowed and readable.
    fn resource(&mut self, entry: Node<'_, '_>) -> Option<Resource> {
        let deletes = method(entry).is_some_and(|method| method == "DELETE");
        match (entry.get("resource"), deletes) {
            (None, true) => None,
            (None, false) => {
                self.refuse(Code::EntryInvalid, entry, "the entry has no resource");
                None
            }
            (Some(node), true) => {
                self.refuse(Code::EntryInvalid, node, "a DELETE carries no resource");
                None
            }
            (Some(node), false) => match Resource::within(self.bytes, node) {
                Ok(resource) => Some(resource),
                Err(error) => {
                    if !self.full() {
                        self.issues.push(Issue { code: Code::EntryInvalid, ..malformed(&error) });
                    }
                    None
                }
            },
        }
    }

    /// What is asked: PUT or DELETE of `Type/id`, without conditions.
    fn request(&mut self, entry: Node<'_, '_>) -> Option<Request> {
        let Some(request) = entry.get("request").filter(|node| node.kind() == Kind::Object) else {
            let place = entry.get("request").unwrap_or(entry);
            self.refuse(Code::EntryInvalid, place, "the entry has no request");
            return None;
        };
        for name in ["ifMatch", "ifNoneMatch", "ifModifiedSince", "ifNoneExist"] {
            if let Some(condition) = request.get(name) {
                let detail = format!("{name} is not supported: entries are filed unconditionally");
                self.refuse(Code::EntryInvalid, condition, detail);
            }
        }
        let put = match method(entry).as_deref() {
            Some("PUT") => Some(true),
            Some("DELETE") => Some(false),
            other => {
                let known =
                    ["GET", "HEAD", "POST", "PATCH"].into_iter().find(|&m| Some(m) == other);
                let detail = match known {
                    Some(method) => format!("{method} is not taken here; PUT or DELETE is needed"),
                    None => "PUT or DELETE is needed".to_owned(),
                };
                self.refuse(Code::EntryInvalid, request.get("method").unwrap_or(request), detail);
                None
            }
        };
        let Some(url) = self.text(Code::EntryInvalid, request, "url") else {
            if request.get("url").is_none() {
                self.refuse(Code::EntryInvalid, request, "the request has no url");
            }
            return None;
        };
        let node = request.get("url").unwrap_or(request);
        let (kind, id) = match place::type_and_id(&url) {
            Some((kind, id)) if url.len() == kind.len() + 1 + id.len() => (kind, id),
            _ if url.contains('?') => {
                self.refuse(Code::EntryInvalid, node, "conditional urls are not supported");
                return None;
            }
            _ => {
                self.refuse(Code::EntryInvalid, node, "a url of the form Type/id is needed");
                return None;
            }
        };
        if !is_resource_type(kind) {
            self.refuse(Code::EntryInvalid, node, "the url names no resource type of R4");
            return None;
        }
        Some(Request { put: put?, kind: kind.to_owned(), id: id.to_owned() })
    }

    /// A transaction may not name the same record twice (R4 §3.1.0.11.2).
    fn check_once(&mut self, index: usize, entry: Node<'_, '_>, request: &Request) {
        let record = (request.kind.clone(), request.id.clone());
        if let Some(first) = self.records.insert(record, index) {
            let detail = format!("the same record as in entry {first}");
            self.refuse(Code::EntryInvalid, place_in(entry, &["request", "url"]), detail);
        }
    }

    /// `fullUrl`: absolute, once in the Bundle (bdl-7), and not at odds with type and id.
    fn check_full_url(&mut self, index: usize, entry: Node<'_, '_>, request: &Request) {
        let Some(url) = self.text(Code::EntryInvalid, entry, "fullUrl") else { return };
        let node = place_in(entry, &["fullUrl"]);
        let wanted = format!("/{}/{}", request.kind, request.id);
        if !url.contains(':') {
            self.refuse(Code::EntryInvalid, node, "a fullUrl is absolute");
        } else if !url.starts_with("urn:") && !url.ends_with(&wanted) {
            self.refuse(Code::EntryInvalid, node, "the fullUrl is at odds with the request's url");
        }
        if let Some(first) = self.full_urls.insert(url, index) {
            let detail = format!("the same fullUrl as in entry {first}");
            self.refuse(Code::EntryInvalid, node, detail);
        }
    }

    /// The resource is the one its request names.
    fn check_target(&mut self, entry: Node<'_, '_>, resource: &Resource, kind: &str, id: &str) {
        if resource.kind() != kind {
            let node = place_in(entry, &["resource", "resourceType"]);
            self.refuse(Code::EntryInvalid, node, "the resource is not of the type in the url");
        }
        match resource.id() {
            Some(found) if found == id => {}
            Some(_) => {
                let node = place_in(entry, &["resource", "id"]);
                self.refuse(
                    Code::EntryInvalid,
                    node,
                    "the resource's id is not the one in the url",
                );
            }
            None => {
                let node = place_in(entry, &["resource"]);
                self.refuse(Code::EntryInvalid, node, "the resource has no id");
            }
        }
    }

    fn check_agreed(&mut self, entry: Node<'_, '_>, kind: &str) {
        let agreed = self.sender.types.is_empty()
            || kind == "Provenance"
            || self.sender.types.iter().any(|agreed| agreed == kind);
        if !agreed {
            let node = place_in(entry, &["resource", "resourceType"]);
            self.refuse(
                Code::KindNotAgreed,
                node,
                format!("{kind} is not agreed with this sender"),
            );
        }
    }

    /// The id is the one derived from the source id that `meta.source` names.
    fn check_identity(
        &mut self,
        entry: Node<'_, '_>,
        resource: &Resource,
        kind: &str,
        id: &str,
    ) -> Option<String> {
        let namespace = self.sender.namespace.as_deref()?;
        let source = resource.source();
        let below = source.as_deref().and_then(|source| source.strip_prefix(namespace));
        let source_id = below
            .and_then(|rest| rest.strip_prefix('/')?.strip_prefix(kind)?.strip_prefix('/'))
            .filter(|source_id| !source_id.is_empty() && !source_id.contains(['/', '\n']));
        let Some(source_id) = source_id else {
            let node = place_in(entry, &["resource", "meta", "source"]);
            let detail = "meta.source must be the registered namespace, the type and the source id";
            self.refuse(Code::IdentityMismatch, node, detail);
            return None;
        };
        if derived_id(namespace, kind, source_id) != id {
            let node = place_in(entry, &["resource", "id"]);
            let detail = "the id is not the one derived from meta.source";
            self.refuse(Code::IdentityMismatch, node, detail);
        }
        Some(source_id.to_owned())
    }

    /// What the resources refer to: in the Bundle, outside of it, or nowhere.
    fn references(
        &mut self,
        doc: &Doc<'_>,
        list: Node<'_, '_>,
        entries: &[IncomingEntry],
    ) -> Vec<OutsideReference> {
        let deletes = |entry: &&IncomingEntry| entry.action == Action::Delete;
        let record = |entry: &IncomingEntry| (entry.kind.clone(), entry.id.clone());
        let deleted: HashSet<_> = entries.iter().filter(deletes).map(record).collect();
        let mut outside = HashMap::new();
        for (entry, node) in entries.iter().zip(nodes_of(list, entries)) {
            let Action::Put(resource) = &entry.action else { continue };
            let start = place_in(node, &["resource"]).span().start;
            for reference in resource.references() {
                let content = start + reference.span.start..start + reference.span.end;
                let text = resource.reference_text(reference);
                let target = place::type_and_id(&text);
                let target = target.map(|(kind, id)| (kind.to_owned(), id.to_owned()));
                let fault = match &target {
                    None => unusable(&text, reference.element),
                    Some(target) if deleted.contains(target) && entry.kind != "Provenance" => {
                        Some("it refers to a record that the same Bundle deletes")
                    }
                    Some(_) => None,
                };
                if let Some(detail) = fault.filter(|_| !self.full()) {
                    let node = string_at(doc, &content).unwrap_or(node);
                    self.refuse(Code::ReferenceUnresolved, node, detail);
                }
                if let Some(target) = target.filter(|target| !self.records.contains_key(target)) {
                    let rank = (entry.kind == "Provenance", entry.index, content.start);
                    let first = outside.entry(target).or_insert((rank, content.clone()));
                    if rank < first.0 {
                        *first = (rank, content);
                    }
                }
            }
        }
        let row =
            |((kind, id), ((_, entry, _), content))| OutsideReference { entry, content, kind, id };
        let mut outside: Vec<_> = outside.into_iter().map(row).collect();
        outside.sort_by_key(|reference| reference.content.start);
        outside
    }

    /// What a resource is about is this Bundle's Patient, and nobody else: the member is matched by
    /// that Patient, and what is filed is found by it.
    fn check_subjects(&mut self, list: Node<'_, '_>, entries: &[IncomingEntry]) {
        let patient = entries.iter().find(|entry| entry.kind == "Patient" && entry.puts());
        let Some(patient) = patient else { return };
        for (entry, node) in entries.iter().zip(nodes_of(list, entries)) {
            let resource = place_in(node, &["resource"]);
            let elements = SUBJECTS.iter().filter_map(|name| resource.get(name));
            for element in elements.filter(|_| entry.puts()).flat_map(|element| element.each()) {
                let Some(reference) = element.get("reference") else { continue };
                let text = reference.text().unwrap_or_default();
                let whole = match place::type_and_id(&text) {
                    Some(("Patient", id)) => id == patient.id,
                    Some(_) => true,
                    None => !names_a_patient(&text, resource),
                };
                if !whole {
                    let detail = "it is about another Patient than the Bundle's";
                    self.refuse(Code::EntryInvalid, reference, detail);
                }
            }
        }
    }

    /// One person per push, by whom the member is matched.
    fn check_patient(&mut self, list: Node<'_, '_>, entries: &[IncomingEntry]) {
        let puts = |wanted: bool| entries.iter().filter(move |entry| entry.puts() == wanted);
        let patients = puts(true).filter(|entry| entry.kind == "Patient").count();
        let only_takes_back =
            puts(true).all(|entry| entry.kind == "Provenance") && puts(false).next().is_some();
        for (entry, node) in entries.iter().zip(nodes_of(list, entries)) {
            let contained = node.get("resource").and_then(|resource| resource.get("contained"));
            if let Some(contained) = contained.filter(|_| only_takes_back && entry.puts()) {
                let detail =
                    "without a Patient, only records are taken back: nothing else is filed";
                self.refuse(Code::MemberNotNamed, contained, detail);
            }
        }
        let unknown = patients == 0 && !self.issues.is_empty();
        if patients != 1 && !only_takes_back && !unknown {
            let detail = format!("the Bundle holds {patients} Patients; exactly one is needed");
            self.refuse(Code::MemberNotNamed, list, detail);
        }
    }
}

/// Whether a reference that is no `Type/id` leads to a Patient: elsewhere, or within the resource.
fn names_a_patient(text: &str, resource: Node<'_, '_>) -> bool {
    let text_of = |node: Node<'_, '_>, name: &str| node.get(name)?.text().map(|it| it.into_owned());
    if let Some(id) = text.strip_prefix('#') {
        let mut contained = resource.get("contained").into_iter().flat_map(|list| list.each());
        return contained.any(|one| {
            let own = text_of(one, "id").as_deref() == Some(id);
            own && text_of(one, "resourceType").as_deref() == Some("Patient")
        });
    }
    text.split(['/', '?', '#', '|']).any(|step| step == "Patient")
}

/// System and value in one text that no other two make: only the bar between them is bare.
fn key(system: Option<&str>, value: &str) -> String {
    let escaped = |text: &str| text.replace('\\', r"\\").replace('|', r"\|");
    match system {
        Some(system) => format!("{}|{}", escaped(system), escaped(value)),
        None => escaped(value),
    }
}

/// `request.method`, as written.
fn method(entry: Node<'_, '_>) -> Option<String> {
    entry.get("request")?.get("method")?.text().map(|text| text.into_owned())
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

/// The nodes of entries that were read, in the same order.
fn nodes_of<'d, 'a>(
    list: Node<'d, 'a>,
    entries: &[IncomingEntry],
) -> impl Iterator<Item = Node<'d, 'a>> {
    let read: HashSet<usize> = entries.iter().map(|entry| entry.index).collect();
    list.items().enumerate().filter(move |(index, _)| read.contains(index)).map(|(_, node)| node)
}

/// Why a reference that is not `Type/id` cannot be followed; `None` for those that need not be:
/// contained resources and absolute URLs elsewhere.
fn unusable(text: &str, element: ReferenceElement) -> Option<&'static str> {
    let urn = text.starts_with("urn:uuid:") || text.starts_with("urn:oid:");
    match element {
        ReferenceElement::AttachmentUrl => None,
        _ if urn => Some("entries are filed under their own ids; Type/id is needed, not a urn"),
        _ if text.starts_with('#') || text.contains("://") => None,
        _ if text.contains('?') => Some("conditional references are not supported"),
        _ if text.contains(':') => None,
        _ => Some("a reference of the form Type/id is needed"),
    }
}
