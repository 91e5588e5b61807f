//! Assemble: put what may travel into the form in which it travels.
//!
//! Comes in   a `Disclosure`, the sending house's frozen namespace, the source's base URL.
//! Goes out   a `Payload`: one transaction Bundle, its digest, and what was edited, by kind.
//! Never      reads a clock or draws a number: the same input gives the same bytes, in whatever
//!            order the chart was read.
//!
//! Why two halves: `edit` gives the digest by which a walk finds that nothing has changed; only
//! then a number is taken, and `bundle` gives it to the push.
//!
//! A reference into the source is always rewritten, whether its target is in this Bundle or not:
//! what one payer sees of a resource is the same in every push to it. A target that does not
//! travel is named in `Shaped::outside`, because *shape* should have cut the reference.

use crate::disclosure::{Cut, Decision, Disclosure};
use crate::id::{Digest, PushId, derived_id};
use crate::issue::{Code, Issue};
use crate::place;
use crate::provenance::{Deed, provenance};
use crate::purpose::Purpose;
use crate::push::Withholding;
use bytes::Bytes;
use fhir::edit::quoted;
use fhir::{Bundle, BundleType, BundleWriter, Doc, Edits, EntryToWrite, Method, Node, Resource};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The disclosure carried out: edited resources, and the digest they are compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaped {
    /// The Patient first, then by type and id.
    pub resources: Vec<ShapedResource>,
    /// Over type, id and bytes of all of them: no Provenance, no wrapper.
    pub digest: Digest,
    /// What stayed behind, by rule.
    pub withheld: Vec<Withholding>,
    /// References whose target does not travel in this push and was not cut.
    pub outside: Vec<Outside>,
}

/// One resource as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapedResource {
    /// Resource type.
    pub kind: String,
    /// The derived id.
    pub id: String,
    /// The id in the source.
    pub source_id: String,
    /// As it travels.
    pub bytes: Bytes,
    /// The `meta.source` it had in the source.
    pub original_source: Option<String>,
}

/// A reference whose target does not travel in the same push.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outside {
    /// `Type/id` of the resource that refers, in the source.
    pub from: String,
    /// FHIRPath of the reference.
    pub expression: String,
    /// `Type/id` it refers to, in the source.
    pub target: String,
}

/// What is the same for every entry of one push.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The sending house's URI, frozen at `init`.
    pub namespace: &'a str,
    /// Gapless within (patient, payer).
    pub number: u64,
    /// What for.
    pub purpose: Purpose,
    /// When it was triggered: derived, never drawn.
    pub recorded: Timestamp,
    /// When the chart was read: `Bundle.timestamp`. It decides which of two contents of a record is
    /// newer that pushes of several patients bring.
    pub as_of: Timestamp,
    /// The sending house as people call it.
    pub sender_name: &'a str,
    /// This program's version.
    pub software_version: &'a str,
}

/// What is stored, sent, and sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its id: `Bundle.identifier.value`.
    pub push: PushId,
    /// Its number within (patient, payer).
    pub number: u64,
    /// Digest of the shaped content (`Shaped::digest`).
    pub digest: Digest,
    /// The transaction Bundle.
    pub bytes: Bytes,
    /// The entries in their order, the push's Provenance last.
    pub contents: Vec<Content>,
    /// What stayed behind, by rule.
    pub withheld: Vec<Withholding>,
}

/// One entry of a payload, for whoever compares or withdraws it later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Resource type.
    pub kind: String,
    /// The id at the payer.
    pub id: String,
    /// The id in the source; the push id for the push's own Provenance; `None` for a deletion.
    pub source_id: Option<String>,
    /// Digest of the resource's bytes; `None` for a deletion.
    pub digest: Option<Digest>,
}

/// `Bundle.identifier.system` of the pushes of a house.
pub fn push_system(namespace: &str) -> String {
    format!("{namespace}/push")
}

/// Carries a disclosure out. Errors: `SourceUnreadable` for a resource without an id or two
/// different ones with the same, `ConfigInvalid` for a cut that no record can do without.
pub fn edit(disclosure: &Disclosure, namespace: &str, source_base: &str) -> Result<Shaped, Issue> {
    let travels: BTreeSet<String> = included(disclosure).map(|it| it.0.local_reference()).collect();
    let mut resources = BTreeMap::new();
    let mut outside = Vec::new();
    for (resource, cuts) in included(disclosure) {
        let pass = Pass::new(resource, cuts, namespace, source_base)?;
        let shaped = pass.run(&travels, &mut outside)?;
        let place = (shaped.kind != "Patient", shaped.kind.clone(), shaped.id.clone());
        if let Some(other) = resources.insert(place, shaped.clone())
            && other != shaped
        {
            let detail = format!("the source gave a {} twice, with different content", shaped.kind);
            return Err(Issue::new(Code::SourceUnreadable, detail));
        }
    }
    let resources: Vec<ShapedResource> = resources.into_values().collect();
    outside.sort();
    outside.dedup();
    Ok(Shaped {
        digest: content_digest(&resources),
        resources,
        withheld: withheld(disclosure),
        outside,
    })
}

fn included(disclosure: &Disclosure) -> impl Iterator<Item = (&Resource, &[Cut])> {
    disclosure.decisions.iter().filter_map(|decision| match decision {
        Decision::Included { resource, cuts, .. } => Some((resource, cuts.as_slice())),
        Decision::Withheld { .. } => None,
    })
}

fn content_digest(resources: &[ShapedResource]) -> Digest {
    Digest::of_pieces(resources.iter().flat_map(|resource| {
        [resource.kind.as_bytes(), resource.id.as_bytes(), resource.bytes.as_ref()]
    }))
}

/// What stays behind, counted by rule, in the order of the rules' names.
pub fn withheld(disclosure: &Disclosure) -> Vec<Withholding> {
    let mut rules: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for decision in &disclosure.decisions {
        match decision {
            Decision::Withheld { rule, .. } => rules.entry(rule).or_default().0 += 1,
            Decision::Included { cuts, .. } => {
                cuts.iter().for_each(|cut| rules.entry(&cut.rule).or_default().1 += 1);
            }
        }
    }
    let row = |(rule, (resources, elements)): (&str, _)| Withholding {
        rule: rule.to_owned(),
        resources,
        elements,
    };
    rules.into_iter().map(row).collect()
}

/// Writes the transaction: what travels, and deletions of what earlier revisions of the dossier put at
/// the payer and this one no longer holds: (type, id at the payer).
pub fn bundle(shaped: &Shaped, gone: &[(String, String)], envelope: &Envelope<'_>) -> Payload {
    let push = PushId::new(envelope.number, &shaped.digest);
    let mut form = Form::new(envelope, push);
    for resource in &shaped.resources {
        form.put(&resource.kind, &resource.id, &resource.source_id, &resource.bytes);
    }
    gone.iter().for_each(|(kind, id)| form.delete(kind, id));
    let originals = shaped.resources.iter().filter_map(|resource| {
        let original = resource.original_source.as_deref()?;
        Some((format!("{}/{}", resource.kind, resource.id), original))
    });
    let deed = Deed::Sent { originals: originals.collect() };
    Payload { withheld: shaped.withheld.clone(), ..form.finish(shaped.digest, &deed) }
}

/// The contents of a stored payload, as `bundle` or `withdrawal` made them.
///
/// Errors: `InternalError` when it is no such Bundle.
pub fn contents(payload: Bytes, namespace: &str) -> Result<Vec<Content>, Issue> {
    let unreadable = || Issue::new(Code::InternalError, "a stored payload cannot be read");
    let bundle = Bundle::parse(payload).map_err(|_| unreadable())?;
    let content = |entry: &fhir::Entry| {
        let (kind, id) = entry.request.as_ref()?.url.split_once('/')?;
        let source_id = entry.resource.as_ref().and_then(|resource| {
            let source = resource.source()?;
            let source = source.strip_prefix(namespace)?.strip_prefix('/')?.to_owned();
            Some(source.strip_prefix(kind)?.strip_prefix('/')?.to_owned())
        });
        let digest = entry.resource.as_ref().map(|resource| Digest(resource.digest()));
        Some(Content { kind: kind.to_owned(), id: id.to_owned(), source_id, digest })
    };
    bundle.entries.iter().map(|entry| content(entry).ok_or_else(unreadable)).collect()
}

/// Takes records back: deletes each and says in a Provenance which push is withdrawn and why.
/// Records are (type, id at the payer); the Provenance names the patient (id at the payer) also
/// where the Patient itself stays. The reason never names a patient.
pub fn withdrawal(
    patient: &str,
    records: &[(String, String)],
    withdraws: &PushId,
    reason: &str,
    envelope: &Envelope<'_>,
) -> Payload {
    // The Patient goes last, so that nothing ever refers to a record that is gone already.
    let records: BTreeSet<_> =
        records.iter().map(|(kind, id)| (kind == "Patient", kind, id)).collect();
    let pieces = records.iter().flat_map(|(_, kind, id)| [kind.as_bytes(), id.as_bytes()]);
    let head = [b"withdrawal", withdraws.as_str().as_bytes()];
    let digest = Digest::of_pieces(head.into_iter().chain(pieces));
    let mut form = Form::new(envelope, PushId::new(envelope.number, &digest));
    records.iter().for_each(|(_, kind, id)| form.delete(kind, id));
    form.finish(digest, &Deed::Withdrawn { patient, push: withdraws, reason })
}

/// A transaction Bundle being written.
struct Form<'a> {
    envelope: &'a Envelope<'a>,
    push: PushId,
    writer: BundleWriter,
    contents: Vec<Content>,
}

impl<'a> Form<'a> {
    fn new(envelope: &'a Envelope<'a>, push: PushId) -> Form<'a> {
        let writer = BundleWriter::new(BundleType::Transaction)
            .identifier(&push_system(envelope.namespace), push.as_str())
            .timestamp(&envelope.as_of.to_string());
        Form { envelope, push, writer, contents: Vec::new() }
    }

    fn put(&mut self, kind: &str, id: &str, source_id: &str, bytes: &[u8]) {
        let url = format!("{kind}/{id}");
        let full_url = format!("{}/{url}", self.envelope.namespace);
        self.writer.entry(EntryToWrite {
            full_url: Some(&full_url),
            resource: Some(bytes),
            request: Some((Method::Put, &url)),
            ..EntryToWrite::default()
        });
        self.contents.push(Content {
            kind: kind.to_owned(),
            id: id.to_owned(),
            source_id: Some(source_id.to_owned()),
            digest: Some(Digest::of(bytes)),
        });
    }

    fn delete(&mut self, kind: &str, id: &str) {
        let url = format!("{kind}/{id}");
        let request = Some((Method::Delete, url.as_str()));
        self.writer.entry(EntryToWrite { request, ..EntryToWrite::default() });
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.contents.push(Content { kind, id, source_id: None, digest: None });
    }

    fn finish(mut self, digest: Digest, deed: &Deed<'_>) -> Payload {
        let reference = |content: &Content| format!("{}/{}", content.kind, content.id);
        let mut targets: Vec<String> = self.contents.iter().map(reference).collect();
        if let Deed::Withdrawn { patient, .. } = deed {
            let patient = format!("Patient/{patient}");
            targets.retain(|target| *target != patient);
            targets.insert(0, patient);
        }
        let (id, bytes) = provenance(self.envelope, &self.push, &targets, deed);
        let source_id = self.push.to_string();
        self.put("Provenance", &id, &source_id, &bytes);
        Payload {
            push: self.push,
            number: self.envelope.number,
            digest,
            bytes: self.writer.finish().into(),
            contents: self.contents,
            withheld: Vec::new(),
        }
    }
}

/// One pass of edits over one resource.
struct Pass<'a> {
    resource: &'a Resource,
    id: &'a str,
    cuts: &'a [Cut],
    namespace: &'a str,
    base: &'a str,
}

impl<'a> Pass<'a> {
    fn new(
        resource: &'a Resource,
        cuts: &'a [Cut],
        namespace: &'a str,
        base: &'a str,
    ) -> Result<Pass<'a>, Issue> {
        let Some(id) = resource.id() else {
            let detail = format!("the source gave a {} without an id", resource.kind());
            return Err(
                Issue::new(Code::SourceUnreadable, detail).at(format!("{}.id", resource.kind()))
            );
        };
        Ok(Pass { resource, id, cuts, namespace, base })
    }

    fn run(
        &self,
        travels: &BTreeSet<String>,
        outside: &mut Vec<Outside>,
    ) -> Result<ShapedResource, Issue> {
        let doc = self.resource.doc();
        let mut edits = Edits::new(&doc);
        for cut in self.cuts {
            self.cut(&doc, cut, &mut edits)?;
        }
        let id = derived_id(self.namespace, self.resource.kind(), self.id);
        let original_source = self.identify(&doc, &id, &mut edits);
        let targets = self.rewrite(&mut edits);
        outside.extend(targets.into_iter().filter(|(_, target)| !travels.contains(target)).map(
            |(literal, target)| Outside {
                from: self.resource.local_reference(),
                expression: doc.node_at(&literal).map(|node| node.expression()).unwrap_or_default(),
                target,
            },
        ));
        Ok(ShapedResource {
            kind: self.resource.kind().to_owned(),
            id,
            source_id: self.id.to_owned(),
            bytes: edits.apply().into(),
            original_source,
        })
    }

    /// Whether a place stays behind.
    fn is_cut(&self, span: &Range<usize>) -> bool {
        self.cuts.iter().any(|cut| cut.span.start <= span.start && span.end <= cut.span.end)
    }

    /// Removes an element; what else stands in a resource can go, but not what makes it a record.
    fn cut(&self, doc: &Doc<'_>, cut: &Cut, edits: &mut Edits<'_, '_>) -> Result<(), Issue> {
        let root = doc.root();
        let mut needed = ["resourceType", "id"].iter().filter_map(|name| root.get(name));
        let node = doc.node_at(&cut.span).filter(|node| *node != root);
        match node.filter(|_| !needed.any(|node| self.is_cut(&node.span()))) {
            // `identify` puts another in its place.
            Some(node) if root.get("meta") == Some(node) => {}
            Some(node) => edits.remove_element(node),
            None => {
                let detail = format!("rule {} cuts what no record can do without", cut.rule);
                return Err(Issue::new(Code::ConfigInvalid, detail).at(&cut.expression));
            }
        }
        Ok(())
    }

    /// Sets id and `meta.source`; gives back the original `meta.source`.
    fn identify(&self, doc: &Doc<'_>, id: &str, edits: &mut Edits<'_, '_>) -> Option<String> {
        let root = doc.root();
        let source = format!("{}/{}/{}", self.namespace, self.resource.kind(), self.id);
        let fresh = format!(r#"{{"source":{}}}"#, quoted(&source));
        let id_node = root.get("id")?;
        let Some(meta) = root.get("meta") else {
            edits.replace(id_node.span(), format!(r#"{},"meta":{fresh}"#, quoted(id)));
            return None;
        };
        edits.set_text(id_node, id);
        if self.is_cut(&meta.span()) {
            edits.replace(meta.span(), fresh);
            return None;
        }
        self.remove_served(meta, edits);
        match meta.get("source") {
            Some(original) if !self.is_cut(&original.span()) => {
                edits.set_text(original, &source);
                original.text().map(|text| text.into_owned())
            }
            _ => {
                edits.insert(meta, "source", &quoted(&source));
                None
            }
        }
    }

    /// Removes what the payer serves of its own.
    fn remove_served(&self, meta: Node<'_, '_>, edits: &mut Edits<'_, '_>) {
        let served = ["versionId", "_versionId", "lastUpdated", "_lastUpdated"];
        served.iter().filter_map(|name| meta.get(name)).for_each(|node| edits.remove(node));
    }

    /// Rewrites every reference into the source; gives back where each stands and points.
    fn rewrite(&self, edits: &mut Edits<'_, '_>) -> Vec<(Range<usize>, String)> {
        let mut targets = Vec::new();
        for reference in self.resource.references() {
            let text = self.resource.reference_text(reference);
            let Some((kind, id)) = place::below(&text, self.base) else { continue };
            let literal = reference.span.start - 1..reference.span.end + 1;
            if self.is_cut(&literal) {
                continue;
            }
            let derived = derived_id(self.namespace, kind, id);
            edits.replace(reference.span.clone(), format!("{kind}/{derived}"));
            targets.push((literal, format!("{kind}/{id}")));
        }
        targets
    }
}
