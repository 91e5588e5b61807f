//! One run of the fuzzer: whatever the bytes are, no reader panics, and what one reader accepts
//! survives being edited, wrapped in a Bundle and written as a line.
#![allow(unreachable_pub, clippy::unwrap_used)]

use fhir::ndjson::{Ndjson, write};
use fhir::{
    Bundle, BundleType, BundleWriter, Doc, Edits, EntryToWrite, OperationOutcome, Parameters,
    Resource, Versions,
};

/// Reads the bytes as everything that can come in.
pub fn fuzz_one(bytes: &[u8]) {
    if let Ok(doc) = Doc::parse(bytes) {
        remove_some(&doc);
    }
    if let Ok(resource) = Resource::parse(bytes.to_vec()) {
        travel(&resource);
    }
    if let Ok(bundle) = Bundle::parse(bytes.to_vec()) {
        bundle.entries.iter().filter_map(|entry| entry.resource.as_ref()).for_each(travel);
    }
    let _ = Parameters::parse(bytes.to_vec());
    let _ = Versions::parse(bytes.to_vec());
    let _ = OperationOutcome::parse(bytes);
    let mut ndjson = Ndjson::new(100, 5);
    let lines: usize = bytes.chunks(7).map(|piece| ndjson.push(piece).len()).sum();
    assert!(lines + usize::from(ndjson.finish().is_some()) <= 6, "more lines than the limit");
}

/// Without some of its values, a document is still a document.
fn remove_some(doc: &Doc<'_>) {
    for step in [2, 7] {
        let mut edits = Edits::new(doc);
        doc.root().descendants().skip(1).step_by(step).for_each(|node| edits.remove_element(node));
        Doc::parse(&edits.apply()).unwrap();
    }
}

/// A resource that was read goes through every form we write, and comes out as it was.
fn travel(resource: &Resource) {
    let _ = (resource.id(), resource.source(), resource.local_reference());
    let _ = OperationOutcome::of(resource);

    let mut writer = BundleWriter::new(BundleType::Collection);
    writer.entry(EntryToWrite { resource: Some(resource.bytes()), ..EntryToWrite::default() });
    // Two levels more may be too deep; then that is the only reason.
    if let Ok(bundle) = Bundle::parse(writer.finish()) {
        let inner = bundle.entries[0].resource.as_ref().unwrap();
        assert_eq!(inner.bytes()[..], resource.bytes().trim_ascii()[..]);
        assert_eq!(inner.references().len(), resource.references().len());
        for (one, other) in inner.references().iter().zip(resource.references()) {
            assert_eq!(inner.reference_text(one), resource.reference_text(other));
        }
    }

    let mut ndjson = Ndjson::new(usize::MAX, 1);
    let lines = ndjson.push(&write([resource]));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].as_ref().unwrap().resource.local_reference(), resource.local_reference());

    let doc = resource.doc();
    let mut edits = Edits::new(&doc);
    for found in resource.references() {
        edits.replace(found.span.clone(), "Patient/new");
    }
    let edited = Resource::parse(edits.apply()).unwrap();
    assert!(edited.references().iter().all(|it| edited.reference_text(it) == "Patient/new"));
}
