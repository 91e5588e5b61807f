//! Goal: what an agreement says is what happens, and nothing of what stays leaks by a side way.
//!
//! How: small charts in JSON, shaped for one payer under small or the shipped terms; then the
//! decisions are read, or all that would be sent is searched for planted words.

#![allow(clippy::unwrap_used)]

mod addresses;
mod alone;
mod documents;
mod numbers;
mod rules;
mod sideways;
mod traces;
mod visits;
mod whose;

use exchange::agreement::{Terms, default_value_set};
use exchange::restriction::Restrictions;
use exchange::shape::{Audience, Collected, shape};
use exchange::{Agreement, Decision, DecisionRow, Disclosure, PartnerId, Purpose};
use fhir::{Edits, Resource};

/// One sending house with one payer.
struct House {
    terms: Terms,
    restrictions: Restrictions,
    purpose: Purpose,
    kind: &'static str,
}

const OWN: &[&str] = &["Coverage/own"];

impl House {
    /// Terms that permit what `rules` say.
    fn of(rules: &str) -> House {
        let text = format!("partner = \"blue\"\npurposes = [\"HPAYMT\", \"TREAT\"]\n{rules}");
        House::with(&text)
    }

    /// The shipped terms.
    fn shipped() -> House {
        let purposes = [Purpose::Payment];
        House::with(&Agreement::default_text(&PartnerId::from("blue"), &purposes, &[]))
    }

    fn with(text: &str) -> House {
        House {
            terms: Terms::parse(text, "blue.toml", &default_value_set)
                .map_err(|issue| issue.to_string())
                .unwrap(),
            restrictions: Restrictions::default(),
            purpose: Purpose::Payment,
            kind: "encounter",
        }
    }

    /// These are restricted.
    fn restricting(mut self, subjects: &[&str]) -> House {
        let row = |subject: &&str| {
            format!("[[restriction]]\nsubject = \"{subject}\"\nreason = \"a wish\"\n")
        };
        let table: String = subjects.iter().map(row).collect();
        self.restrictions = Restrictions::parse(&table, "r.toml", &[]).unwrap();
        self
    }

    fn shape(&self, collected: &Collected) -> Disclosure {
        let own: Vec<String> = OWN.iter().map(|own| (*own).to_owned()).collect();
        let audience = Audience {
            terms: &self.terms,
            purpose: self.purpose,
            kind: self.kind,
            on: jiff::civil::date(2026, 1, 15),
            restrictions: &self.restrictions,
            patient: "p",
            own_coverages: &own,
            source_base: "https://ehr.test/fhir",
        };
        shape(collected, &audience)
    }
}

fn read(texts: &[&str]) -> Vec<Resource> {
    texts.iter().map(|text| Resource::parse((*text).to_owned()).unwrap()).collect()
}

/// What is pushed, and what else is known of the chart.
fn chart(found: &[&str], known: &[&str]) -> Collected {
    Collected { found: read(found), known: read(known), ..Collected::default() }
}

/// `Type/id rule`, with `-` in front of what stays.
fn told(disclosure: &Disclosure) -> Vec<String> {
    let row = |decision: &Decision| {
        let row = DecisionRow::from(decision);
        format!("{}{} {}", if row.included { "" } else { "-" }, row.reference, row.rule)
    };
    disclosure.decisions.iter().map(row).collect()
}

/// The word on one of them.
fn word_on(disclosure: &Disclosure, reference: &str) -> String {
    let all = told(disclosure);
    let found =
        all.iter().find(|row| row.trim_start_matches('-').split(' ').next() == Some(reference));
    found.cloned().unwrap_or_else(|| panic!("nothing is said of {reference}: {all:?}"))
}

/// All bytes that would be sent.
fn sent(disclosure: &Disclosure) -> String {
    let mut all = String::new();
    for decision in &disclosure.decisions {
        let Decision::Included { resource, cuts, .. } = decision else { continue };
        let doc = resource.doc();
        let mut edits = Edits::new(&doc);
        for cut in cuts {
            edits.remove_element(doc.node_at(&cut.span).unwrap());
        }
        let left = String::from_utf8(edits.apply()).unwrap();
        assert!(Resource::parse(left.clone()).is_ok(), "what is left is a resource: {left}");
        all.push_str(&left);
        all.push('\n');
    }
    all
}
