//! Goal: charts that others wrote go through *shape* with the shipped agreement, whole.
//!
//! How: the official US Core examples as one chart, when `HANDOVER_DATA` names the folder that
//! holds them; and the same for each example alone.

#![allow(clippy::unwrap_used)]

use exchange::agreement::{Terms, default_value_set};
use exchange::restriction::Restrictions;
use exchange::shape::{Audience, Collected, references_to_follow, shape};
use exchange::{Agreement, Decision, PartnerId, Purpose};
use fhir::{Edits, Resource};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

/// The examples; without them, one line says what is skipped.
fn examples(skipped: &str) -> Option<Vec<Resource>> {
    let folder = std::env::var_os("HANDOVER_DATA").map(PathBuf::from);
    let listing = folder.and_then(|it| std::fs::read_dir(it.join("us-core-6.1.0-examples")).ok());
    let Some(listing) = listing else {
        // Straight to the terminal: the test runner hides what passing tests print.
        let line = format!(
            "skipped: HANDOVER_DATA names no folder with us-core-6.1.0-examples, so {skipped}\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    };
    let mut files: Vec<_> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let json = files.iter().filter(|file| file.extension().is_some_and(|end| end == "json"));
    Some(json.map(|file| Resource::parse(std::fs::read(file).unwrap()).unwrap()).collect())
}

fn terms() -> Terms {
    let purposes = [Purpose::Payment, Purpose::Operations];
    let text = Agreement::default_text(&PartnerId::from("blue"), &purposes, &[]);
    Terms::parse(&text, "blue.toml", &default_value_set).unwrap()
}

fn audience<'a>(
    terms: &'a Terms,
    restrictions: &'a Restrictions,
    own: &'a [String],
) -> Audience<'a> {
    Audience {
        terms,
        purpose: Purpose::Payment,
        kind: "encounter",
        on: jiff::civil::date(2026, 1, 15),
        restrictions,
        patient: "example",
        own_coverages: own,
        source_base: "https://ehr.test/fhir",
    }
}

#[test]
fn official_examples_are_decided_on_each_exactly_once() {
    let Some(examples) = examples("nothing was decided on them as one chart") else { return };
    assert!(examples.len() > 150, "the examples are there");
    let (terms, restrictions) = (terms(), Restrictions::default());
    let own = ["Coverage/coverage-example".to_owned()];
    let audience = audience(&terms, &restrictions, &own);
    let collected = Collected { found: examples.clone(), ..Collected::default() };
    let disclosure = shape(&collected, &audience);

    let references: Vec<String> = disclosure.decisions.iter().map(Decision::reference).collect();
    assert!(references.is_sorted(), "sorted");
    let distinct: BTreeSet<_> = references.iter().cloned().collect();
    assert_eq!(distinct.len(), references.len(), "each once");
    for example in &examples {
        assert!(distinct.contains(&example.local_reference()), "every one is decided on");
    }

    let travels: BTreeSet<String> = disclosure
        .decisions
        .iter()
        .filter(|decision| matches!(decision, Decision::Included { .. }))
        .map(Decision::reference)
        .collect();
    assert!(travels.len() > 100, "most of them travel: {}", travels.len());
    for decision in &disclosure.decisions {
        let Decision::Included { resource, cuts, .. } = decision else { continue };
        let doc = resource.doc();
        let mut edits = Edits::new(&doc);
        for cut in cuts {
            edits.remove(doc.node_at(&cut.span).unwrap());
        }
        let sent = Resource::parse(edits.apply()).unwrap();
        for (kind, id) in references_to_follow(&sent, audience.source_base) {
            assert!(travels.contains(&format!("{kind}/{id}")), "{kind}/{id} resolves");
        }
        let text = std::str::from_utf8(sent.bytes()).unwrap();
        assert!(!text.contains("us-ssn"), "no Social Security number in {}", decision.reference());
    }
    let mut reversed = collected;
    reversed.found.reverse();
    assert_eq!(shape(&reversed, &audience), disclosure);
}

#[test]
fn an_official_example_alone_is_decided_on_with_all_it_refers_to() {
    let (terms, restrictions) = (terms(), Restrictions::default());
    let audience = audience(&terms, &restrictions, &[]);
    for example in examples("nothing was decided on each alone").into_iter().flatten() {
        let reference = example.local_reference();
        let collected = Collected { found: vec![example], ..Collected::default() };
        let disclosure = shape(&collected, &audience);
        let own = disclosure.decisions.iter().filter(|decision| decision.reference() == reference);
        assert_eq!(own.count(), 1, "{reference}");
    }
}
