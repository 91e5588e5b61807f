//! Reading: one Bundle on its way, and everything that is wrong with it.
//!
//! Comes in   the document; entries as they are read.
//! Goes out   the envelope's values; the issues of all, or of each entry of a batch.
//! Never      loses a fault of a batch's entry: that entry would be filed.

use super::{Form, IncomingEntry, RefusedEntry, SenderTerms, Target, issue_at};
use crate::assemble::push_system;
use crate::id::PushId;
use crate::issue::{Code, Issue};
use crate::issues::{Issues, IssuesByEntry};
use crate::limits::{ENTRIES_MAX, FAULTS_MAX, FAULTS_PER_ENTRY_MAX, KEY_CHARS_MAX, REFERENCES_MAX};
use bytes::Bytes;
use fhir::{Kind, Node};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The form and the entries of a body that is a transaction or a batch at all.
pub(super) fn envelope<'d, 'a>(root: Node<'d, 'a>) -> Result<(Form, Node<'d, 'a>), Issues> {
    let refuse =
        |node: Node<'_, '_>, detail: &str| Err(issue_at(Code::BundleInvalid, node, detail).into());
    let text = |name: &str| root.get(name).and_then(|node| node.text());
    if text("resourceType").as_deref() != Some("Bundle") {
        return refuse(root.get("resourceType").unwrap_or(root), "a Bundle is needed");
    }
    let form = match text("type").as_deref() {
        Some("transaction") => Form::Transaction,
        Some("batch") => Form::Batch,
        _ => {
            let detail = "a Bundle of type transaction or batch is needed";
            return refuse(root.get("type").unwrap_or(root), detail);
        }
    };
    let Some(list) = root.get("entry") else {
        return refuse(root, "the Bundle has no entries");
    };
    if list.kind() != Kind::Array || list.items().next().is_none() {
        return refuse(list, "a list of entries is needed");
    }
    match list.items().nth(ENTRIES_MAX) {
        Some(beyond) => {
            let detail = format!("more than {ENTRIES_MAX} entries");
            Err(issue_at(Code::TooManyEntries, beyond, detail).into())
        }
        None => Ok((form, list)),
    }
}

/// What was found to be wrong.
pub(super) struct Found {
    /// With the Bundle as a whole.
    pub(super) stops: Vec<Issue>,
    /// With each entry.
    pub(super) refused: Vec<RefusedEntry>,
    /// Types of resources in entries that could not be read.
    pub(super) unread: BTreeSet<String>,
}

/// One reading; collects what is wrong.
pub(super) struct Reading<'r> {
    pub(super) bytes: &'r Bytes,
    pub(super) sender: &'r SenderTerms,
    pub(super) form: Form,
    /// Positions of the entries by the record they name, by the id of a resource they create, and
    /// by fullUrl.
    pub(super) records: HashMap<(String, String), usize>,
    pub(super) created: HashMap<(String, String), usize>,
    pub(super) full_urls: HashMap<String, usize>,
    /// Positions of the entries that delete.
    pub(super) deletes: HashSet<usize>,
    /// What is wrong with the Bundle, and with each entry.
    issues: Vec<Issue>,
    faults: IssuesByEntry,
    count: usize,
    unread: BTreeSet<String>,
    /// How many references the resources read so far have.
    references: usize,
    /// The urns of entries.
    urns: HashMap<usize, String>,
}

impl<'r> Reading<'r> {
    pub(super) fn new(bytes: &'r Bytes, sender: &'r SenderTerms, form: Form) -> Reading<'r> {
        Reading {
            bytes,
            sender,
            form,
            records: HashMap::new(),
            created: HashMap::new(),
            full_urls: HashMap::new(),
            deletes: HashSet::new(),
            issues: Vec::new(),
            faults: IssuesByEntry::new(),
            count: 0,
            unread: BTreeSet::new(),
            references: 0,
            urns: HashMap::new(),
        }
    }

    /// Notes an issue of the Bundle as a whole.
    pub(super) fn refuse_all(&mut self, code: Code, node: Node<'_, '_>, detail: impl Into<String>) {
        self.issues.push(issue_at(code, node, detail));
        self.count += 1;
    }

    /// Notes an issue of one entry.
    pub(super) fn refuse(
        &mut self,
        index: usize,
        code: Code,
        node: Node<'_, '_>,
        detail: impl Into<String>,
    ) {
        self.note(index, || issue_at(code, node, detail));
    }

    /// Notes an issue under the name of its entry: so much of one, and of all, that a Bundle of
    /// nothing but faults costs no more than a good one.
    pub(super) fn note(&mut self, index: usize, issue: impl FnOnce() -> Issue) {
        let said = self.faults.get(&index).map_or(0, |noted| noted.iter().count());
        // A batch's entry without a fault would be filed: one is always noted.
        let needed = self.form == Form::Batch && said == 0;
        let room = said < FAULTS_PER_ENTRY_MAX && self.count < FAULTS_MAX;
        if needed || room {
            let issue = issue();
            let urn = self.urns.get(&index).map(String::as_str);
            let detail = named(&issue.detail, index, urn);
            Issues::note(&mut self.faults, index, Issue { detail, ..issue });
            self.count += 1;
        }
    }

    /// Notes what an entry would bring that could not be read. Of a transaction, references to the
    /// record it names are good: it alone is told.
    pub(super) fn unread(&mut self, index: usize, kind: &str, target: &Target) {
        self.unread.insert(kind.to_owned());
        if let (Form::Transaction, Target::Id(id)) = (self.form, target) {
            self.records.entry((kind.to_owned(), id.clone())).or_insert(index);
        }
    }

    /// Counts the references of an entry's resource; a Bundle with too many is not read further.
    pub(super) fn count_references(
        &mut self,
        entry: Option<&IncomingEntry>,
        node: Node<'_, '_>,
    ) -> Result<(), Issues> {
        let resource = entry.and_then(|entry| entry.action.resource());
        self.references += resource.map_or(0, |resource| resource.references().len());
        if self.references <= REFERENCES_MAX {
            return Ok(());
        }
        let detail = format!("the Bundle has more than {REFERENCES_MAX} references");
        Err(issue_at(Code::BodyTooLarge, node, detail).into())
    }

    pub(super) fn is_faulty(&self, index: usize) -> bool {
        self.faults.contains_key(&index)
    }

    pub(super) fn nothing_wrong(&self) -> bool {
        self.count == 0
    }

    pub(super) fn name(&mut self, index: usize, urn: String) {
        self.urns.insert(index, urn);
    }

    pub(super) fn urn(&self, index: usize) -> Option<String> {
        self.urns.get(&index).cloned()
    }

    /// What is wrong. Of a batch, the entries that are refused leave the others.
    pub(super) fn end(self, entries: &mut Vec<IncomingEntry>) -> Found {
        if self.form == Form::Batch {
            entries.retain(|entry| !self.faults.contains_key(&entry.index));
        }
        let refused = self.faults.into_iter();
        let refused = refused.map(|(index, issues)| RefusedEntry { index, issues }).collect();
        Found { stops: self.issues, refused, unread: self.unread }
    }

    /// `Bundle.identifier` as a key, and as a push of the sender.
    pub(super) fn identifier(&mut self, root: Node<'_, '_>) -> (Option<String>, Option<PushId>) {
        let Some(identifier) = root.get("identifier") else { return (None, None) };
        if identifier.kind() != Kind::Object {
            let detail = "one identifier, an object, is needed";
            self.refuse_all(Code::BundleInvalid, identifier, detail);
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
            let node = identifier.get("value").unwrap_or(identifier);
            self.refuse_all(Code::BundleInvalid, node, detail);
        }
        (Some(key), Some(push))
    }

    /// A part of the key: short, and of characters that can be shown as they are.
    fn key_part(&mut self, identifier: Node<'_, '_>, name: &str) -> Option<String> {
        let member = identifier.get(name)?;
        let Some(text) = member.text() else {
            self.refuse_all(Code::BundleInvalid, member, "a string is needed");
            return None;
        };
        let shown = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !shown || text.len() > KEY_CHARS_MAX {
            let detail = format!("at most {KEY_CHARS_MAX} printable ASCII characters are taken");
            self.refuse_all(Code::BundleInvalid, member, detail);
        }
        Some(text.into_owned())
    }
}

/// System and value in one text that no other two make: only the bar between them is bare.
fn key(system: Option<&str>, value: &str) -> String {
    let escaped = |text: &str| text.replace('\\', r"\\").replace('|', r"\|");
    match system {
        Some(system) => format!("{}|{}", escaped(system), escaped(value)),
        None => escaped(value),
    }
}

/// A sentence with the entry it is about.
pub(super) fn named(detail: &str, index: usize, urn: Option<&str>) -> String {
    match urn {
        Some(urn) => format!("{detail} (entry {index}, {urn})"),
        None => detail.to_owned(),
    }
}
