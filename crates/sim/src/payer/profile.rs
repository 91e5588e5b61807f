//! Profile: what a stranger's FHIR server offers, and what it insists on.
//!
//! Comes in   one of eight names.
//! Goes out   two sets, of interactions and of habits, which a test may change.
//! Never      promises what the server does not do: its capability statement is a reading of this.
//!
//! Why sets and not eight servers: what differs between servers in the field is which of a few
//! interactions they have. One server that lacks some of them is tested once.

use std::collections::BTreeSet;

/// One of eight kinds of foreign payers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// No PUT of an id that the server has not given; conditional interactions are taken.
    PutRefused,
    /// No conditional interactions; whoever sends PUTs under ids of his own.
    ConditionalRefused,
    /// Takes batches, but no transactions.
    BatchOnly,
    /// Single POSTs; the server gives the ids. What it knows can be updated; conditions are
    /// overlooked, as many servers do.
    PostOnly,
    /// Single requests of all kinds; no Bundles.
    SingleOnly,
    /// `POST Bundle` with a collection, and nothing else: no reading either.
    CollectionOnly,
    /// Everything, but by the book: unknown elements, extensions and headers are refused.
    Strict,
    /// Everything, but whatever is sent is stored the first time without an answer.
    Silent,
}

impl Profile {
    /// All eight.
    pub const ALL: [Profile; 8] = [
        Profile::PutRefused,
        Profile::ConditionalRefused,
        Profile::BatchOnly,
        Profile::PostOnly,
        Profile::SingleOnly,
        Profile::CollectionOnly,
        Profile::Strict,
        Profile::Silent,
    ];

    /// Its name, as people type it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::PutRefused => "put-refused",
            Profile::ConditionalRefused => "conditional-refused",
            Profile::BatchOnly => "batch-only",
            Profile::PostOnly => "post-only",
            Profile::SingleOnly => "single-only",
            Profile::CollectionOnly => "collection-only",
            Profile::Strict => "strict",
            Profile::Silent => "silent",
        }
    }

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What a server of this profile does.
    pub fn abilities(self) -> Abilities {
        use Habit::{
            IgnoresConditions, KnownElementsOnly, KnownExtensionsOnly, KnownHeadersOnly,
            MinimalAnswers, ResolvedReferencesOnly, SilentFirst,
        };
        use Offer::{
            Batch, Collection, ConditionalCreate, ConditionalUpdate, Create, Transaction,
            UpdateCreate,
        };
        let (without, habits): (&[Offer], &[Habit]) = match self {
            Profile::PutRefused => (&[UpdateCreate, Batch], &[ResolvedReferencesOnly]),
            Profile::ConditionalRefused => {
                (&[ConditionalCreate, ConditionalUpdate], &[ResolvedReferencesOnly])
            }
            Profile::BatchOnly => (&[Transaction, ConditionalUpdate], &[]),
            Profile::PostOnly => (
                &[Transaction, Batch, UpdateCreate, ConditionalCreate, ConditionalUpdate],
                &[ResolvedReferencesOnly, IgnoresConditions],
            ),
            Profile::SingleOnly => (&[Transaction, Batch], &[ResolvedReferencesOnly]),
            Profile::CollectionOnly => {
                return Abilities {
                    offers: BTreeSet::from([Collection, Create]),
                    habits: BTreeSet::new(),
                    kinds: vec!["Bundle"],
                    ..Abilities::default()
                };
            }
            Profile::Strict => (
                &[],
                &[
                    ResolvedReferencesOnly,
                    KnownElementsOnly,
                    KnownExtensionsOnly,
                    KnownHeadersOnly,
                    MinimalAnswers,
                ],
            ),
            Profile::Silent => (&[], &[SilentFirst]),
        };
        let mut abilities = Abilities::default();
        abilities.offers.retain(|offer| !without.contains(offer));
        abilities.habits.extend(habits);
        abilities
    }
}

/// An interaction that a server may offer (R4 §3.1.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offer {
    /// Transactions at the base.
    Transaction,
    /// Batches at the base.
    Batch,
    /// `POST Bundle` with a Bundle of type collection.
    Collection,
    /// `POST Type`.
    Create,
    /// `PUT Type/id` of what is there.
    Update,
    /// `PUT Type/id` of what is not there (`updateCreate`).
    UpdateCreate,
    /// `If-None-Exist`.
    ConditionalCreate,
    /// `PUT Type?query`, and references by condition in transactions.
    ConditionalUpdate,
    /// `DELETE Type/id`.
    Delete,
    /// Read, read of a version, history of a record.
    Read,
    /// Search by `_id`, `identifier` and `patient`.
    Search,
}

/// What a server insists on or does in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// A reference to what is not there is refused, and so is a deletion of what is referred to.
    ResolvedReferencesOnly,
    /// Elements that R4 does not have are refused.
    KnownElementsOnly,
    /// Extensions that HL7 does not define are refused, and all modifier extensions.
    KnownExtensionsOnly,
    /// Content types other than FHIR JSON of R4, preferences and search parameters that are not
    /// known are refused.
    KnownHeadersOnly,
    /// `Bundle.identifier` of what is sent to the base is refused.
    NoBundleIdentifier,
    /// `meta.source` is refused.
    NoMetaSource,
    /// Without a preference, no bodies are answered.
    MinimalAnswers,
    /// Conditions that are not offered are overlooked instead of refused.
    IgnoresConditions,
    /// What is sent for the first time is stored, and the connection cut without an answer.
    SilentFirst,
}

/// What a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// Interactions it has.
    pub offers: BTreeSet<Offer>,
    /// What it insists on.
    pub habits: BTreeSet<Habit>,
    /// Types it has.
    pub kinds: Vec<&'static str>,
    /// Entries of a Bundle at most; more are answered 413.
    pub entries_max: Option<usize>,
    /// Bytes of a body at most; more are answered 413.
    pub bytes_max: Option<usize>,
}

impl Default for Abilities {
    /// A server that has all of it but collections, and insists on nothing.
    fn default() -> Abilities {
        Abilities {
            offers: BTreeSet::from([
                Offer::Transaction,
                Offer::Batch,
                Offer::Create,
                Offer::Update,
                Offer::UpdateCreate,
                Offer::ConditionalCreate,
                Offer::ConditionalUpdate,
                Offer::Delete,
                Offer::Read,
                Offer::Search,
            ]),
            habits: BTreeSet::new(),
            kinds: KINDS.to_vec(),
            entries_max: None,
            bytes_max: None,
        }
    }
}

impl Abilities {
    pub(crate) fn offer(&self, offer: Offer) -> bool {
        self.offers.contains(&offer)
    }

    pub(crate) fn is(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }
}

/// The types of a payer that files clinical data.
const KINDS: [&str; 42] = [
    "Account",
    "AllergyIntolerance",
    "Appointment",
    "Binary",
    "CarePlan",
    "CareTeam",
    "Claim",
    "ClinicalImpression",
    "Composition",
    "Condition",
    "Consent",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Endpoint",
    "EpisodeOfCare",
    "ExplanationOfBenefit",
    "FamilyMemberHistory",
    "Flag",
    "Goal",
    "HealthcareService",
    "ImagingStudy",
    "Immunization",
    "Location",
    "Media",
    "Medication",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "QuestionnaireResponse",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
];
