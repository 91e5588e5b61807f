//! Offer: what an EHR says that it can do beyond what it must.
//!
//! Comes in   its CapabilityStatement (R4 §2.21).
//! Goes out   whether it searches a type, and by a parameter.
//! Never      holds an EHR to it: a search it names and then refuses is asked in another way.

use fhir::{Doc, Node};
use std::collections::{BTreeMap, BTreeSet};

/// Search parameters by type; empty where the EHR gives no readable statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    searches: BTreeMap<String, BTreeSet<String>>,
    everywhere: BTreeSet<String>,
}

impl Offer {
    /// Reads a CapabilityStatement; whatever cannot be understood is not offered.
    pub fn read(statement: &[u8]) -> Offer {
        let mut offer = Offer::default();
        let Ok(doc) = Doc::parse(statement) else { return offer };
        if word(doc.root(), "resourceType").as_deref() != Some("CapabilityStatement") {
            return offer;
        }
        let rests = doc.root().get("rest").into_iter().flat_map(|list| list.each());
        for rest in rests.filter(|rest| word(*rest, "mode").is_none_or(|mode| mode == "server")) {
            offer.everywhere.extend(parameters(rest));
            for resource in rest.get("resource").into_iter().flat_map(|list| list.each()) {
                let Some(kind) = word(resource, "type") else { continue };
                offer.searches.entry(kind).or_default().extend(parameters(resource));
            }
        }
        offer
    }

    /// Whether there is no statement to go by.
    pub fn is_silent(&self) -> bool {
        self.searches.is_empty()
    }

    /// Whether the type is there at all.
    pub fn knows(&self, kind: &str) -> bool {
        self.searches.contains_key(kind)
    }

    /// Whether the type can be searched by a parameter.
    pub fn has(&self, kind: &str, parameter: &str) -> bool {
        self.everywhere.contains(parameter)
            || self.searches.get(kind).is_some_and(|all| all.contains(parameter))
    }
}

fn parameters(node: Node<'_, '_>) -> Vec<String> {
    let all = node.get("searchParam").into_iter().flat_map(|list| list.each());
    all.filter_map(|parameter| word(parameter, "name")).collect()
}

fn word(node: Node<'_, '_>, name: &str) -> Option<String> {
    Some(node.get(name)?.text()?.into_owned())
}

#[cfg(test)]
mod tests {
    //! Goal: what a statement says is offered, and nothing else.

    use super::*;

    #[test]
    fn a_statement_is_read_for_what_it_offers() {
        let offer = Offer::read(
            br#"{"resourceType":"CapabilityStatement","rest":[{"mode":"server","searchParam":[{"name":"_count"}],
            "resource":[{"type":"Observation","searchParam":[{"name":"patient"},{"name":7}]},{"type":"Goal"}]},
            {"mode":"client","resource":[{"type":"Condition","searchParam":[{"name":"patient"}]}]}]}"#,
        );
        let table = [
            ("Observation", "patient", true),
            ("Observation", "encounter", false),
            ("Observation", "_count", true),
            ("Goal", "patient", false),
            ("Condition", "patient", false),
        ];
        for (kind, parameter, has) in table {
            assert_eq!(offer.has(kind, parameter), has, "{kind}?{parameter}");
        }
        assert!(offer.knows("Goal") && !offer.knows("Condition") && !offer.is_silent());
        for silent in [
            "",
            "[]",
            "{\"resourceType\":\"Bundle\"}",
            "{\"resourceType\":\"CapabilityStatement\"}",
        ] {
            assert!(Offer::read(silent.as_bytes()).is_silent(), "{silent}");
        }
    }
}
