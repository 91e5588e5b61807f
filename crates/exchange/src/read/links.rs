//! Links: where the references of a Bundle's resources lead.
//!
//! Comes in   the entries, and the document they stand in.
//! Goes out   for each reference the entry, the record or the condition it names; the records that
//!            are not in the Bundle.
//! Never      follows a URL to another server, and never lets an entry of a batch lean on another
//!            one that has no id of its own (R4 §3.1.0.11.1).
//!
//! R4 §2.36.4.1 (resolving references in Bundles), §3.1.0.11.2 (references in a transaction).

use super::entry::condition_of;
use super::reading::Reading;
use super::{Form, IncomingEntry, Link, LinkTo, OutsideReference, issue_at, place_in, string_at};
use crate::issue::Code;
use crate::path::is_resource_type;
use crate::place;
use fhir::{Doc, Node, ReferenceElement};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Where a reference leads, or why that is nowhere; `None` for those that need not be followed:
/// contained resources and absolute URLs elsewhere.
type Led = Result<Option<LinkTo>, &'static str>;

type Record = (String, String);

/// Of the references to a record outside, which one is told first.
type Rank = (bool, usize, usize);

/// Records that are not in the Bundle, each with the reference that is told of it.
#[derive(Default)]
struct Outside(HashMap<Record, (Rank, Range<usize>)>);

impl Outside {
    fn note(&mut self, record: Record, rank: Rank, content: Range<usize>) {
        let first = self.0.entry(record).or_insert_with(|| (rank, content.clone()));
        if rank < first.0 {
            *first = (rank, content);
        }
    }

    fn in_order(self) -> Vec<OutsideReference> {
        let row =
            |((kind, id), ((_, entry, _), content))| OutsideReference { entry, content, kind, id };
        let mut rows: Vec<_> = self.0.into_iter().map(row).collect();
        rows.sort_by_key(|reference| reference.content.start);
        rows
    }
}

impl Reading<'_> {
    /// Follows the references of all entries.
    pub(super) fn links(
        &mut self,
        doc: &Doc<'_>,
        list: Node<'_, '_>,
        entries: &mut [IncomingEntry],
    ) -> Vec<OutsideReference> {
        let mut outside = Outside::default();
        let nodes: Vec<_> = nodes_of(list, entries).collect();
        for (entry, node) in entries.iter_mut().zip(nodes) {
            let Some(resource) = entry.action.resource() else { continue };
            let speaks = entry.kind == "Provenance";
            let start = place_in(node, &["resource"]).span().start;
            let full_url = node.get("fullUrl").and_then(|node| node.text());
            let root = full_url.as_deref().and_then(place::root);
            for (at, reference) in resource.references().iter().enumerate() {
                let text = resource.reference_text(reference);
                let content = start + reference.span.start..start + reference.span.end;
                match self.lead(&text, root, reference.element) {
                    Ok(None) => {}
                    Ok(Some(LinkTo::Entry(other))) if self.deletes.contains(&other) => {
                        // A Provenance may speak of what is gone.
                        if !speaks {
                            let detail = "it refers to a record that the same Bundle deletes";
                            self.leads_nowhere(entry.index, doc, &content, detail);
                        }
                    }
                    Ok(Some(to)) => {
                        if let LinkTo::Record(kind, id) = &to {
                            let rank = (speaks, entry.index, content.start);
                            outside.note((kind.clone(), id.clone()), rank, content);
                        }
                        entry.links.push(Link { reference: at, to });
                    }
                    Err(detail) => {
                        self.leads_nowhere(entry.index, doc, &content, detail);
                    }
                }
            }
        }
        outside.in_order()
    }

    /// Refuses an entry by one of its references. Where that stands is only looked up to be told.
    fn leads_nowhere(&mut self, index: usize, doc: &Doc<'_>, content: &Range<usize>, detail: &str) {
        self.note(index, || {
            let node = string_at(doc, content).unwrap_or(doc.root());
            issue_at(Code::ReferenceUnresolved, node, detail)
        });
    }

    /// `root`: what stands before type and id in the `fullUrl` of the entry that refers.
    fn lead(&self, text: &str, root: Option<&str>, element: ReferenceElement) -> Led {
        let together = self.form == Form::Transaction;
        if let Some(&entry) = self.full_urls.get(text).filter(|_| together) {
            return Ok(Some(LinkTo::Entry(entry)));
        }
        if let Some(entry) = root.and_then(|root| self.beside(root, text)) {
            match together {
                true => return Ok(Some(LinkTo::Entry(entry))),
                false if self.brings_under(entry, text) => {}
                false => return Err(ALONE),
            }
        }
        if let Some((kind, id)) = place::below(text, &self.sender.base) {
            let record = (kind.to_owned(), id.to_owned());
            let created = || self.created.get(&record).filter(|_| together);
            return Ok(Some(match self.records.get(&record).or_else(created) {
                // An entry of a batch may refer to what another one files by its id, but it
                // stands on its own: if that one is refused, the record must be there already.
                Some(&entry) if together || self.deletes.contains(&entry) => LinkTo::Entry(entry),
                _ => LinkTo::Record(record.0, record.1),
            }));
        }
        if element == ReferenceElement::AttachmentUrl || text.starts_with('#') {
            return Ok(None);
        }
        // Before URLs: a condition may hold one.
        if let Some((kind, query)) = text.split_once('?').filter(|(kind, _)| !kind.contains(':')) {
            return match is_resource_type(kind) {
                true => condition_of(kind, query).map(|condition| Some(LinkTo::Fits(condition))),
                false => Err("a conditional reference begins with a resource type of R4"),
            };
        }
        if text.starts_with("urn:uuid:") || text.starts_with("urn:oid:") {
            return Err(match together {
                true => "no entry of the Bundle has this fullUrl",
                false => ALONE,
            });
        }
        match text.contains(':') {
            true => Ok(None),
            false => Err("a reference of the form Type/id is needed"),
        }
    }

    /// The entry that a relative reference means by its `fullUrl`: that goes before any record of
    /// the same type and id (R4 §2.36.4.1).
    fn beside(&self, root: &str, text: &str) -> Option<usize> {
        let (kind, id) = place::type_and_id(text)?;
        self.full_urls.get(&format!("{root}{kind}/{id}")).copied()
    }

    /// Whether an entry names its record by the type and id of this reference.
    fn brings_under(&self, entry: usize, text: &str) -> bool {
        let record = place::type_and_id(text).map(|(kind, id)| (kind.to_owned(), id.to_owned()));
        record.and_then(|record| self.records.get(&record)) == Some(&entry)
    }
}

/// Why one entry of a batch does not lead to what another creates.
const ALONE: &str = "entries of a batch cannot refer to each other by fullUrl";

/// The nodes of entries that were read, in the same order.
pub(super) fn nodes_of<'d, 'a>(
    list: Node<'d, 'a>,
    entries: &[IncomingEntry],
) -> impl Iterator<Item = Node<'d, 'a>> + use<'d, 'a> {
    let read: HashSet<usize> = entries.iter().map(|entry| entry.index).collect();
    list.items().enumerate().filter(move |(index, _)| read.contains(index)).map(|(_, node)| node)
}
