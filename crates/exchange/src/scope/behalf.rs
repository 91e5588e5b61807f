//! Behalf: in whose name a payer takes what is pushed, where the payor map says so.
//!
//! Comes in   what became of each coverage.
//! Goes out   for a payer: who is the payer in law, and who acts for it.
//! Never      anything of the chart: these are words of the house's own table.

use super::{End, Judged};
use crate::id::PartnerId;
use serde::{Deserialize, Serialize};

/// Whom a payer of the payor map stands for, in the words of its row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Behalf {
    /// Who is the payer in law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_payer: Option<String>,
    /// Who acts for it: a third-party administrator, a delegated medical group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<String>,
}

impl Behalf {
    /// In words.
    pub fn words(&self) -> String {
        match (&self.legal_payer, &self.delegate) {
            (Some(legal), Some(delegate)) => {
                format!("the payer in law is {legal}; {delegate} acts for it")
            }
            (Some(legal), None) => format!("the payer in law is {legal}"),
            (None, Some(delegate)) => format!("{delegate} acts for the payer"),
            (None, None) => String::new(),
        }
    }
}

/// Whom a payer stands for, by the coverages that lead to it: each once, in a fixed order.
pub(super) fn of(partner: &PartnerId, judged: &[Judged]) -> Vec<Behalf> {
    let leads_there =
        |one: &&Judged| matches!(&one.end, End::Payer { partner: it } if it == partner);
    let behalf = |one: &Judged| {
        let (legal_payer, delegate) = (one.legal_payer.clone(), one.delegate.clone());
        let says = legal_payer.is_some() || delegate.is_some();
        says.then_some(Behalf { legal_payer, delegate })
    };
    let mut all: Vec<Behalf> = judged.iter().filter(leads_there).filter_map(behalf).collect();
    all.sort();
    all.dedup();
    all
}
