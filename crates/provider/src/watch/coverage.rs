//! Coverage: everybody with an agreement's coverage, as a roster.
//!
//! Comes in   the searches for Coverages that the EHR offers without a patient; the agreements and the
//!            payor map.
//! Goes out   patients of whom a coverage leads to a payer, today or not long ago; or why that cannot be
//!            known, and what to do instead.
//! Never      half a roster: where one answer is missing, nobody's watch ends.
//!
//! Why searches by what they offer: US Core makes nothing SHALL that finds a Coverage without its
//! patient, so many EHRs need a roster file. Who counts is decided as *scope* decides, by the house's own
//! tables, so that nobody is watched for whom nothing would be pushed.

use crate::limits::COVERAGE_GRACE_DAYS;
use crate::road::Road;
use crate::source::offer::Offer;
use crate::source::{Source, at_once, us_core};
use exchange::days::Days;
use exchange::scope::{Question, is_covered};
use exchange::shape::references_to_follow;
use exchange::{Code, Issue};
use fhir::Resource;
use jiff::Span;
use std::collections::{BTreeMap, BTreeSet};

const KIND: &str = "Coverage";

/// A search that finds Coverages whosesoever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All that were ever written.
    LastUpdated,
    /// All that are active.
    Status,
    /// Those of each payor that an agreement names by an identifier: not those whom only a row of the
    /// payor map knows otherwise.
    Payor,
}

/// What the EHR offers, the search that leaves out least first.
fn way(offer: &Offer) -> Result<Way, Issue> {
    let by_payor = offer.has(KIND, "payor") && offer.has("Organization", "identifier");
    let ways = [
        (Way::LastUpdated, offer.has(KIND, "_lastUpdated")),
        (Way::Status, offer.has(KIND, "status")),
        (Way::Payor, by_payor),
    ];
    ways.into_iter().find(|(_, offered)| *offered).map(|(way, _)| way).ok_or_else(|| {
        let detail = "the EHR offers no search for Coverage by _lastUpdated, status or payor, so \
                      that nobody can say who is covered; name a roster file instead";
        Issue::new(Code::ConfigInvalid, detail).at("house.toml: watch.coverage")
    })
}

/// How everybody is found, for a person.
///
/// Errors: `ConfigInvalid` where the EHR cannot be asked; those of the source.
pub(super) async fn told(source: &dyn Source) -> Result<String, Issue> {
    Ok(match way(&*source.offer().await?)? {
        Way::LastUpdated => "Coverages are searched for by _lastUpdated",
        Way::Status => "Coverages are searched for by status",
        Way::Payor => "Coverages are searched for by the payors that agreements name",
    }
    .to_owned())
}

impl Road {
    /// `Patient.id` of everybody with a coverage that leads to a payer of this house.
    ///
    /// Errors: as `told`; those of the payor map.
    pub(super) async fn covered(&self) -> Result<BTreeSet<String>, Issue> {
        let source = &**self.charts.source();
        let coverages = self.coverages(source).await?;
        let organizations = organizations(source, &coverages).await?;
        let payors = self.payors()?;
        let agreements: Vec<_> = self.setup.payers.values().map(|payer| &payer.terms).collect();
        let today = self.today();
        let first = today.checked_sub(Span::new().days(COVERAGE_GRACE_DAYS)).unwrap_or(today);
        let days = Days { first, last: today };
        let mut by_patient: BTreeMap<String, Vec<Resource>> = BTreeMap::new();
        for coverage in coverages {
            if let Some(patient) = us_core::owner(&coverage, source.base_url()) {
                by_patient.entry(patient).or_default().push(coverage);
            }
        }
        let is_ours = |(patient, coverages): &(String, Vec<Resource>)| {
            let Some(about) = coverages.first() else { return false };
            let question = Question {
                patient,
                encounter: about,
                purpose: None,
                coverages,
                organizations: &organizations,
                agreements: &agreements,
                payors: &payors,
                source_base: source.base_url(),
            };
            is_covered(&question, days)
        };
        Ok(by_patient.into_iter().filter(is_ours).map(|(patient, _)| patient).collect())
    }

    async fn coverages(&self, source: &dyn Source) -> Result<Vec<Resource>, Issue> {
        match way(&*source.offer().await?)? {
            Way::LastUpdated => source.search(KIND, &[("_lastUpdated", "ge1900-01-01")]).await,
            Way::Status => source.search(KIND, &[("status", "active")]).await,
            Way::Payor => {
                let mut found = Vec::new();
                for payor in self.payors_of_agreements(source).await? {
                    found.extend(source.search(KIND, &[("payor", &payor)]).await?);
                }
                Ok(found)
            }
        }
    }

    /// `Organization/id` of the payors that agreements name.
    async fn payors_of_agreements(&self, source: &dyn Source) -> Result<BTreeSet<String>, Issue> {
        let agreements = self.setup.payers.values().map(|payer| &payer.terms.agreement);
        let mut found = BTreeSet::new();
        for identifier in agreements.flat_map(|agreement| &agreement.payer_identifiers) {
            let token = match &identifier.system {
                Some(system) => format!("{system}|{}", identifier.value),
                None => identifier.value.clone(),
            };
            let payors = source.search("Organization", &[("identifier", &token)]).await?;
            found.extend(payors.iter().map(Resource::local_reference));
        }
        Ok(found)
    }
}

/// The Organizations that these coverages name, each read once.
async fn organizations(
    source: &dyn Source,
    coverages: &[Resource],
) -> Result<Vec<Resource>, Issue> {
    let named = coverages.iter().flat_map(|one| references_to_follow(one, source.base_url()));
    let named = named.filter(|(kind, _)| kind == "Organization").map(|(_, id)| id);
    let named: BTreeSet<String> = named.collect();
    let reads = named.iter().map(|id| source.read("Organization", id)).collect();
    Ok(at_once(reads).await?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    //! Goal: of what an EHR offers, the search that leaves out least; and a word on what to do where
    //! there is none.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_search_that_leaves_out_least_is_chosen() {
        let table = [
            (r#"[{"name":"patient"}]"#, "[]", None),
            (r#"[{"name":"patient"},{"name":"payor"}]"#, "[]", None),
            (r#"[{"name":"payor"}]"#, r#"[{"name":"identifier"}]"#, Some(Way::Payor)),
            (r#"[{"name":"payor"},{"name":"status"}]"#, "[]", Some(Way::Status)),
            (r#"[{"name":"status"},{"name":"_lastUpdated"}]"#, "[]", Some(Way::LastUpdated)),
        ];
        for (coverage, organization, expected) in table {
            let row = |kind, list| format!(r#"{{"type":"{kind}","searchParam":{list}}}"#);
            let rows = [row("Coverage", coverage), row("Organization", organization)].join(",");
            let text = format!(
                r#"{{"resourceType":"CapabilityStatement","rest":[{{"resource":[{rows}]}}]}}"#
            );
            let found = way(&Offer::read(text.as_bytes()));
            assert_eq!(found.as_ref().ok().copied(), expected, "{coverage}");
            if let Err(issue) = found {
                assert_eq!(issue.code, Code::ConfigInvalid);
                assert!(issue.detail.contains("roster file"), "{issue}");
            }
        }
    }
}
