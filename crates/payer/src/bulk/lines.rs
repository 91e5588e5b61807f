//! Lines: what each line of a file is, before anybody is looked for.
//!
//! Comes in   lines, which file they are of, what is agreed with the sender.
//! Goes out   headers of blocks, resources with what they are found by, deletions; or what is wrong.
//! Never      touches the store: it is done on threads for work, while the lines before are filed.

use bytes::Bytes;
use exchange::bulk::Header;
use exchange::limits::KEY_CHARS_MAX;
use exchange::read::{self, Action, Alone, Incoming, SenderTerms};
use exchange::{Code, Issue, Issues, Purpose, provenance};
use fhir::{Doc, Node, ParseError, Resource};
use repository::{keys, keys_in};
use std::collections::BTreeSet;
use store::RecordKeys;
use wire::fetch::Line;

/// What is known of a file before it is read.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) terms: SenderTerms,
    /// Against which references are read.
    pub(super) base: String,
    /// What the token of the request was given for.
    pub(super) purposes: Option<BTreeSet<Purpose>>,
    /// The type of its resources; none where it is organised.
    pub(super) kind: Option<String>,
    /// It holds transaction Bundles of deletions.
    pub(super) deleted: bool,
    /// Its place in the manifest.
    pub(super) place: String,
}

/// A line that was read.
#[derive(Debug)]
pub(super) struct ReadLine {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Where the next one begins.
    pub(super) end: u64,
    /// As it came; empty where it was too long to be kept.
    pub(super) text: Bytes,
    /// What it is.
    pub(super) is: Is,
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Is {
    /// The header of a block.
    Header(Header),
    /// A resource to be filed.
    Put(Box<Put>),
    /// Records to be taken back.
    TakesBack(Box<Incoming>),
    /// Nothing that can be acted on.
    Faulty(Fault),
}

/// A line that nothing comes of.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its type and id, where they can be read.
    pub(super) whom: Option<(String, String)>,
    /// `system` and `value` of the push that it says it is of.
    pub(super) push: Option<(String, String)>,
    pub(super) issues: Issues,
    pub(super) reach: Reach,
}

/// What a faulty line takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing.
    Line,
    /// It is a header: the block before it ends, and whose the lines behind it are nobody can tell.
    Header,
    /// All of its block.
    Block,
}

impl From<Issues> for Fault {
    fn from(issues: Issues) -> Fault {
        Fault { whom: None, push: None, issues, reach: Reach::Line }
    }
}

/// A resource to be filed.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) alone: Alone,
    pub(super) keys: RecordKeys,
    /// It only says of records that they were taken back.
    pub(super) takes_back: bool,
}

impl Put {
    pub(super) fn kind(&self) -> &str {
        self.alone.resource.kind()
    }
}

impl Reader {
    /// Reads lines, in their order.
    pub(super) fn read(&self, lines: Vec<Line>) -> Vec<ReadLine> {
        let read = |line: Line| {
            let Line { number, offset, end, text } = line;
            match text {
                Ok(text) => {
                    let is = self.line(number, offset, &text);
                    ReadLine { number, end, text, is }
                }
                Err(too_long) => {
                    let is = Is::Faulty(Issues::from(too_long.issue(&self.place)).into());
                    ReadLine { number, end, text: Bytes::new(), is }
                }
            }
        };
        lines.into_iter().map(read).collect()
    }

    fn line(&self, number: u64, offset: u64, text: &Bytes) -> Is {
        let unreadable = |error: ParseError| {
            let issue = Issue::new(Code::EntryInvalid, format!("line {number}: {}", error.reason));
            let issue = Issue { offset: Some(offset + error.offset as u64), ..issue };
            let fault = Fault::from(Issues::from(issue.at(&self.place)));
            // What is broken may have been a header: then nothing behind it is the last block's.
            let header = self.kind.is_none() && !self.deleted && says_parameters(text);
            let reach = if header { Reach::Header } else { Reach::Line };
            Is::Faulty(Fault { reach, ..fault })
        };
        let doc = match Doc::parse(text) {
            Ok(doc) => doc,
            Err(error) => return unreadable(error),
        };
        let resource = match Resource::within(text, doc.root()) {
            Ok(resource) => resource,
            Err(error) => return unreadable(error),
        };
        if self.deleted {
            return self.takes_back(number, text, doc.root());
        }
        // No file holds Parameters for anything else (Bulk Data 3.0.0, output file organization).
        if self.kind.is_none() && resource.kind() == "Parameters" {
            return self.header(number, &resource);
        }
        let whom = resource.id().map(|id| (resource.kind().to_owned(), id.to_owned()));
        let faulty = |issues: Issues| Is::Faulty(Fault { whom: whom.clone(), ..issues.into() });
        if self.kind.as_deref().is_some_and(|kind| kind != resource.kind()) {
            let detail = format!("line {number}: the resource is not of the type of its file");
            return faulty(Issue::new(Code::EntryInvalid, detail).at(&self.place).into());
        }
        let alone = match read::alone(&resource, doc.root(), &self.terms, &self.base) {
            Ok(alone) => alone,
            Err(issues) => return faulty(issues),
        };
        if let Some(purposes) = &self.purposes
            && alone.resource.kind() == "Provenance"
            && let Err(issues) = crate::purposes::check_one(purposes, &alone.resource)
        {
            let reach = if self.kind.is_none() { Reach::Block } else { Reach::Line };
            return Is::Faulty(Fault { whom, reach, ..issues.into() });
        }
        // References that were rewritten are among the keys.
        let keys = match alone.resource == resource {
            true => keys_in(&resource, doc.root()),
            false => keys(&alone.resource),
        };
        let takes_back = provenance::takes_back(&alone.resource);
        Is::Put(Box::new(Put { alone, keys, takes_back }))
    }

    /// The header of a block; one that does not say whose it is opens a block of nobody's.
    fn header(&self, number: u64, resource: &Resource) -> Is {
        let header = Header::of(resource);
        let push = header.as_ref().and_then(|header| header.push.clone());
        match header.filter(|header| header.patient().is_some()) {
            Some(header) => Is::Header(header),
            None => {
                let detail = format!("line {number}: the header does not name a Patient");
                let issues = Issues::from(Issue::new(Code::EntryInvalid, detail).at(&self.place));
                Is::Faulty(Fault { push, reach: Reach::Header, ..Fault::from(issues) })
            }
        }
    }

    /// A transaction of deletions (Bulk Data, `deleted`).
    fn takes_back(&self, number: u64, text: &Bytes, root: Node<'_, '_>) -> Is {
        let at = |issue: Issue| {
            let detail = format!("line {number}: {}", issue.detail);
            Issue { detail, expression: Some(self.place.clone()), ..issue }
        };
        let faulty =
            |issues: Issues| Is::Faulty(Fault { push: push_named(root), ..issues.map(at).into() });
        let incoming = match read::read(text.clone(), &self.terms) {
            Ok(incoming) => incoming,
            Err(issues) => return faulty(issues),
        };
        let deletes = incoming.entries.iter().all(|one| one.action == Action::Delete);
        match deletes && incoming.form == read::Form::Transaction {
            true => Is::TakesBack(Box::new(incoming)),
            false => {
                let detail = "a line of a file of deletions is a transaction of DELETE entries";
                faulty(Issue::new(Code::EntryInvalid, detail).into())
            }
        }
    }
}

/// Whether a text that cannot be read has the word by which a header is known.
fn says_parameters(text: &[u8]) -> bool {
    const WORD: &[u8] = br#""Parameters""#;
    text.windows(WORD.len()).any(|some| some == WORD)
}

/// `system` and `value` of a Bundle's `identifier`, whatever else is wrong with it; a key is short.
fn push_named(root: Node<'_, '_>) -> Option<(String, String)> {
    let identifier = root.get("identifier")?;
    let part = |name: &str| Some(identifier.get(name)?.text()?.into_owned());
    let key = (part("system")?, part("value")?);
    Some(key).filter(|(system, value)| system.len().max(value.len()) <= KEY_CHARS_MAX)
}
