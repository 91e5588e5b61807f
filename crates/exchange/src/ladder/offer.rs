//! Offer: what a door says it takes, as far as the ladder asks.
//!
//! Comes in   a CapabilityStatement (R4 §2.15).
//! Goes out   interactions of the whole system, and of every type.
//! Never      reads more out of a statement than it says: what is not there is not offered. A
//!            statement that names no type at all speaks of none, and all are tried.

use fhir::{Doc, Node};
use std::collections::BTreeMap;

/// What a door offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// The other end is a house of this program.
    pub house: bool,
    /// Transactions.
    pub transaction: bool,
    /// Batches.
    pub batch: bool,
    types: BTreeMap<String, TypeOffer>,
    /// It has no statement: what an agreement vouches for, of every type.
    assumed: Option<TypeOffer>,
}

/// What a door offers of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeOffer {
    /// Creating with an id of the payer.
    pub create: bool,
    /// Updating by id.
    pub update: bool,
    /// Taking back by id.
    pub delete: bool,
    /// An update makes what is not there.
    pub update_create: bool,
    /// `If-None-Exist`.
    pub conditional_create: bool,
    /// An update by a search.
    pub conditional_update: bool,
    /// Searching by `_id`.
    pub by_id: bool,
    /// Searching by `identifier`.
    pub by_identifier: bool,
    /// Searching by `target`, as Provenances have it.
    pub by_target: bool,
}

/// What is tried where a statement names no type.
const UNLISTED: TypeOffer = TypeOffer {
    create: false,
    update: true,
    delete: true,
    update_create: true,
    conditional_create: false,
    conditional_update: false,
    by_id: false,
    by_identifier: false,
    by_target: false,
};

impl TypeOffer {
    /// Whether a record can be made at all.
    pub fn takes(&self) -> bool {
        self.create || (self.update && self.update_create) || self.conditional_update
    }

    fn read(resource: Node<'_, '_>) -> TypeOffer {
        let interactions = codes(resource, "interaction", "code");
        let has = |code: &str| interactions.iter().any(|found| found == code);
        let yes = |name: &str| resource.get(name).is_some_and(|node| node.raw() == "true");
        let parameters = codes(resource, "searchParam", "name");
        // `_id` is a parameter of every type (R4 §3.1.1.4.1); statements rarely repeat it.
        let search = has("search-type");
        let by = |name: &str| search && parameters.iter().any(|found| found == name);
        TypeOffer {
            create: has("create"),
            update: has("update"),
            delete: has("delete"),
            update_create: yes("updateCreate"),
            conditional_create: yes("conditionalCreate"),
            conditional_update: yes("conditionalUpdate"),
            by_id: by("_id"),
            by_identifier: by("identifier"),
            by_target: by("target"),
        }
    }
}

impl Offer {
    /// Reads a statement; parts that are not of R4's shape are passed over.
    pub fn read(statement: &Doc<'_>) -> Offer {
        let root = statement.root();
        let text =
            |node: Option<Node<'_, '_>>| node.and_then(|it| it.text().map(|t| t.into_owned()));
        let software = root.get("software").and_then(|software| software.get("name"));
        let rests = root.get("rest").into_iter().flat_map(|rest| rest.items());
        let mut offer =
            Offer { house: text(software).as_deref() == Some("Handover"), ..Offer::default() };
        for rest in rests {
            if text(rest.get("mode")).is_some_and(|mode| mode != "server") {
                continue;
            }
            let system = codes(rest, "interaction", "code");
            offer.transaction |= system.iter().any(|code| code == "transaction");
            offer.batch |= system.iter().any(|code| code == "batch");
            for resource in rest.get("resource").into_iter().flat_map(|list| list.items()) {
                if let Some(kind) = text(resource.get("type")) {
                    offer.types.insert(kind, TypeOffer::read(resource));
                }
            }
        }
        offer
    }

    /// What an agreement vouches for, in words of [`ASSUMED`](super::ASSUMED), where a door has no
    /// statement.
    pub fn assumed(words: &[String]) -> Offer {
        let says = |wanted: &str| words.iter().any(|word| word == wanted);
        let every = TypeOffer {
            create: says("create") || says("conditional"),
            update: says("put"),
            delete: says("delete"),
            update_create: says("put"),
            conditional_create: says("conditional"),
            conditional_update: false,
            by_id: says("search"),
            by_identifier: says("search"),
            by_target: false,
        };
        let (transaction, batch) = (says("transaction"), says("batch"));
        Offer { transaction, batch, assumed: Some(every), ..Offer::default() }
    }

    /// Whether an agreement vouches for it in place of a statement.
    pub fn is_assumed(&self) -> bool {
        self.assumed.is_some()
    }

    /// What it offers of a type; `None` where it names types and not this one, or none of it can be
    /// written.
    pub fn of(&self, kind: &str) -> Option<&TypeOffer> {
        if let Some(every) = &self.assumed {
            return Some(every).filter(|offer| offer.takes());
        }
        if self.unlisted() {
            return Some(&UNLISTED);
        }
        self.types.get(kind).filter(|offer| offer.takes())
    }

    /// Whether the statement names no type.
    pub fn unlisted(&self) -> bool {
        self.types.is_empty() && self.assumed.is_none()
    }

    /// Whether a record of any type can be written by itself; a Bundle is no record.
    pub fn takes_any(&self) -> bool {
        self.unlisted()
            || self.assumed.is_some_and(|it| it.takes())
            || self.kinds().any(|kind| kind != "Bundle")
    }

    /// The types that can be written, in the order of their names.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.types.iter().filter(|(_, offer)| offer.takes()).map(|(kind, _)| kind.as_str())
    }
}

/// The codes of a list of elements: `interaction[].code`.
fn codes(of: Node<'_, '_>, list: &str, member: &str) -> Vec<String> {
    let items = of.get(list).into_iter().flat_map(|list| list.items());
    items.filter_map(|item| Some(item.get(member)?.text()?.into_owned())).collect()
}
