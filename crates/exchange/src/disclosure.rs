//! Disclosure: what *shape* decided, resource by resource and element by element.
//!
//! Comes in   decisions, from *shape* only.
//! Goes out   the same decisions, for *assemble* to carry out and for `explain` to show.
//! Never      the content of a withheld resource: it is no longer there to be sent.
//!
//! Why a list of decisions and not a filter: a filter answers "what was sent". People ask
//! "why was this *not* sent" and "why *was* it".

use crate::payload::Belongs;
use crate::shape::Notes;
use fhir::Resource;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What may travel, and why everything else may not. Sorted by reference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disclosure {
    /// One per resource that was collected or referred to.
    pub decisions: Vec<Decision>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It travels, without the cut elements.
    Included {
        /// As read from the source, byte for byte.
        resource: Resource,
        /// The rule that permits it.
        rule: String,
        /// Elements and references that stay behind.
        cuts: Vec<Cut>,
    },
    /// It stays; only its reference is left.
    Withheld {
        /// `Type/id` in the source.
        reference: String,
        /// The rule that withholds it.
        rule: String,
        /// One sentence for people.
        reason: String,
    },
}

/// An element that stays behind although its resource travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Byte positions of the value in the resource as read.
    pub span: Range<usize>,
    /// FHIRPath with positions, for example `Patient.identifier[2]`.
    pub expression: String,
    /// The rule that cuts it.
    pub rule: String,
}

impl Decision {
    /// `Type/id` in the source.
    pub fn reference(&self) -> String {
        match self {
            Decision::Included { resource, .. } => resource.local_reference(),
            Decision::Withheld { reference, .. } => reference.clone(),
        }
    }
}

/// A decision as it is kept with the push (a blob under its digest) and shown by `explain`:
/// references, rules and places, never content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRow {
    /// `Type/id` in the source.
    pub reference: String,
    /// Whether it travels.
    pub included: bool,
    /// The rule that decided.
    pub rule: String,
    /// One sentence, for withheld ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Elements that stay behind: (FHIRPath, rule).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<(String, String)>,
    /// By what it is part of a push about an encounter; none for what others refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belongs: Option<Belongs>,
}

impl Disclosure {
    /// The decisions as they are kept and shown, with what *collect* says of each.
    pub fn rows(&self, notes: &Notes) -> Vec<DecisionRow> {
        let belongs = |row: DecisionRow| {
            let belongs = notes.belongs.get(&row.reference).copied();
            DecisionRow { belongs, ..row }
        };
        self.decisions.iter().map(DecisionRow::from).map(belongs).collect()
    }
}

impl From<&Decision> for DecisionRow {
    fn from(decision: &Decision) -> DecisionRow {
        let reference = decision.reference();
        match decision {
            Decision::Included { rule, cuts, .. } => {
                let cuts = cuts.iter().map(|cut| (cut.expression.clone(), cut.rule.clone()));
                let (rule, cuts) = (rule.clone(), cuts.collect());
                DecisionRow { reference, included: true, rule, reason: None, cuts, belongs: None }
            }
            Decision::Withheld { rule, reason, .. } => {
                let (rule, reason) = (rule.clone(), Some(reason.clone()));
                let cuts = Vec::new();
                DecisionRow { reference, included: false, rule, reason, cuts, belongs: None }
            }
        }
    }
}
