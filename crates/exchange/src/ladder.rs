//! Ladder: in which way a push reaches a door that is no house of ours.
//!
//! Comes in   what the door's CapabilityStatement offers, and what the agreement allows.
//! Goes out   one rung: how requests are carried, and how a record is known again at the payer; with
//!            the reason why each higher rung was not taken.
//! Never      takes a rung that the agreement does not name, and never guesses at what a statement
//!            does not say.
//!
//! Why two questions: whether a door takes transactions says nothing of whether it lets a sender
//! choose ids. The carrier is one for the whole push; identity is asked of every type by itself.

mod offer;

pub use offer::{Offer, TypeOffer};

use crate::issue::{Code, Issue};
use crate::limits::{DOOR_BYTES_MAX, DOOR_ENTRIES_MAX, KINDS_NAMED_MAX};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;

/// How requests are carried, from the highest rung down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// One Bundle, all or nothing (R4 §3.1.0.11.2).
    Transaction,
    /// One Bundle, entry by entry (R4 §3.1.0.11.1).
    Batch,
    /// One request for each record (R4 §3.1.0.4 to §3.1.0.8).
    Single,
    /// One Bundle of type `collection`, kept whole: `POST /Bundle`.
    Collection,
}

/// How a record is known again at the payer, from the surest way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// By the id that this house derived: an update that creates (R4 §3.1.0.4.1).
    Put,
    /// By an identifier that this house adds: `namespace/record|derived id` (R4 §3.1.0.4.3,
    /// §3.1.0.8.1).
    Conditional,
    /// By the id that the payer gave it, as its answer named it.
    Server,
}

/// All carriers, from the top down.
pub const CARRIERS: [Carrier; 4] =
    [Carrier::Transaction, Carrier::Batch, Carrier::Single, Carrier::Collection];

/// All ways of identity, from the surest down.
pub const IDENTITIES: [Identity; 3] = [Identity::Put, Identity::Conditional, Identity::Server];

impl Carrier {
    /// As agreements and lists spell it.
    pub const fn word(self) -> &'static str {
        match self {
            Carrier::Transaction => "transaction",
            Carrier::Batch => "batch",
            Carrier::Single => "single",
            Carrier::Collection => "collection",
        }
    }

    /// What it means for a push, in words for people.
    const fn consequence(self) -> &'static str {
        match self {
            Carrier::Transaction => {
                "each request is all or nothing; what takes several is not as a whole"
            }
            Carrier::Batch | Carrier::Single => {
                "record by record: what is filed stays, also where others are refused"
            }
            Carrier::Collection => "kept as one Bundle; the payer files no record of it",
        }
    }
}

impl Identity {
    /// As lists spell it.
    pub const fn word(self) -> &'static str {
        match self {
            Identity::Put => "put",
            Identity::Conditional => "conditional",
            Identity::Server => "server",
        }
    }

    /// In words for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Identity::Put => "by the id this house derives",
            Identity::Conditional => "by an added identifier",
            Identity::Server => "by the id the payer gives",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// `[door]` of an agreement whose form is `best`: how far down the ladder a push may go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoorTerms {
    /// Carriers that may be used.
    pub forms: Vec<Carrier>,
    /// Entries of one Bundle at most.
    pub entries_max: usize,
    /// Bytes of one request at most, as near as whole resources come to it.
    pub bytes_max: usize,
    /// Whether the push's own Provenance goes with it.
    pub provenance: bool,
    /// What the agreement vouches for where the door has no statement: words of [`ASSUMED`].
    pub assume: Vec<String>,
    /// What becomes of types that the door does not take.
    pub unoffered: Unoffered,
}

/// What becomes of types that a door does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unoffered {
    /// The others go, and the push waits for a person.
    #[default]
    Hold,
    /// They stay, under a rule that is always there, and references to them are cut.
    LeaveOut,
}

/// What an agreement can vouch for in place of a CapabilityStatement: carriers, ways of identity of
/// all types, and whether records can be taken back and searched for by `_id` and `identifier`.
pub const ASSUMED: [&str; 7] =
    ["transaction", "batch", "put", "conditional", "create", "delete", "search"];

impl Default for DoorTerms {
    fn default() -> DoorTerms {
        DoorTerms {
            forms: vec![Carrier::Transaction, Carrier::Batch, Carrier::Single],
            entries_max: DOOR_ENTRIES_MAX,
            bytes_max: DOOR_BYTES_MAX,
            provenance: true,
            assume: Vec::new(),
            unoffered: Unoffered::Hold,
        }
    }
}

impl DoorTerms {
    /// Whether the agreement names a carrier.
    pub fn names(&self, carrier: Carrier) -> bool {
        self.forms.contains(&carrier)
    }
}

/// The rung a push stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// How requests are carried.
    pub carrier: Carrier,
    /// Ways of identity that the door promised and did not keep.
    shut: BTreeSet<String>,
    offer: Offer,
    /// Why each higher rung was not taken, and how records are known again: one line each.
    pub reasons: Vec<String>,
}

/// The highest rung that the door offers and the agreement names. `shut` holds the words of rungs
/// that the door promised and did not keep.
///
/// Errors: `CapabilityMissing`, with all reasons.
pub fn choose(offer: &Offer, terms: &DoorTerms, shut: &BTreeSet<String>) -> Result<Rung, Issue> {
    let mut reasons = Vec::new();
    for carrier in CARRIERS {
        match why_not(carrier, offer, terms, shut) {
            Some(reason) => reasons.push(format!("not by {carrier}: {reason}")),
            None => {
                let mut rung = Rung { carrier, shut: shut.clone(), offer: offer.clone(), reasons };
                rung.reasons.push(carrier.consequence().to_owned());
                if offer.is_assumed() {
                    rung.reasons.push(VOUCHED.to_owned());
                }
                let identities = rung.identities();
                rung.reasons.extend(identities);
                return Ok(rung);
            }
        }
    }
    let detail = format!("the payer's door offers no way that was agreed: {}", reasons.join("; "));
    Err(Issue::new(Code::CapabilityMissing, detail).at("CapabilityStatement.rest"))
}

const VOUCHED: &str =
    "the door has no CapabilityStatement; the agreement vouches for what it takes";

fn why_not(
    carrier: Carrier,
    offer: &Offer,
    terms: &DoorTerms,
    shut: &BTreeSet<String>,
) -> Option<&'static str> {
    let offered = match carrier {
        Carrier::Transaction => offer.transaction,
        Carrier::Batch => offer.batch,
        Carrier::Single => offer.takes_any(),
        Carrier::Collection => offer.of("Bundle").is_some_and(TypeOffer::takes),
    };
    if !terms.names(carrier) {
        Some("the agreement does not name it")
    } else if shut.contains(carrier.word()) {
        Some("the door promised it and refused it")
    } else if !offered {
        Some("the CapabilityStatement does not offer it")
    } else {
        None
    }
}

impl Rung {
    /// What the door offers of a type; `None` where nothing can be written.
    pub fn offer(&self, kind: &str) -> Option<&TypeOffer> {
        self.offer.of(kind)
    }

    /// How a record of this type is known again; `None` where the door takes none.
    pub fn identity(&self, kind: &str) -> Option<Identity> {
        let offer = self.offer.of(kind)?;
        IDENTITIES.into_iter().find(|identity| {
            let offered = match identity {
                Identity::Put => offer.update && offer.update_create,
                Identity::Conditional => {
                    has_identifier(kind)
                        && (offer.conditional_update || (offer.create && offer.conditional_create))
                }
                Identity::Server => offer.create,
            };
            offered && !self.shut.contains(identity.word())
        })
    }

    /// The word of the rung, as the ledger and lists have it: `batch`, `single`, ….
    pub fn word(&self) -> &'static str {
        self.carrier.word()
    }

    fn identities(&self) -> Vec<String> {
        let row = |identity: Identity| {
            let kinds = self.offer.kinds().filter(|kind| self.identity(kind) == Some(identity));
            let kinds: Vec<&str> = kinds.take(KINDS_NAMED_MAX + 1).collect();
            let named = match kinds.len() {
                0 => return None,
                1..=KINDS_NAMED_MAX => kinds.join(", "),
                _ => format!("{} and others", kinds[..KINDS_NAMED_MAX].join(", ")),
            };
            Some(format!("known again {}: {named}", identity.sentence()))
        };
        if self.offer.is_assumed() {
            let own = |identity: &Identity| self.identity("Patient") == Some(*identity);
            let identity = IDENTITIES.into_iter().find(own).into_iter();
            return identity
                .map(|it| format!("known again {}: all types", it.sentence()))
                .collect();
        }
        if self.offer.unlisted() {
            return vec![format!("known again {}: all types", Identity::Put.sentence())];
        }
        IDENTITIES.into_iter().filter_map(row).collect()
    }
}

/// Types of R4 that have no list of business identifiers, so that none can be added.
const NO_IDENTIFIERS: [&str; 14] = [
    "AuditEvent",
    "Binary",
    "Bundle",
    "CompartmentDefinition",
    "Composition",
    "GraphDefinition",
    "Linkage",
    "OperationDefinition",
    "OperationOutcome",
    "Parameters",
    "Provenance",
    "QuestionnaireResponse",
    "SearchParameter",
    "TestReport",
];

/// Whether this house can add an identifier of its own to a record of this type.
pub fn has_identifier(kind: &str) -> bool {
    !NO_IDENTIFIERS.contains(&kind)
}

/// `Identifier.system` of the identifiers that this house adds.
pub fn record_system(namespace: &str) -> String {
    format!("{namespace}/record")
}
