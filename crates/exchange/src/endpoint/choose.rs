//! Choose: one endpoint of several, by declared rules.
//!
//! Comes in   a listing; what is wanted; the time.
//! Goes out   the endpoint chosen and which rule decided, and every other one with its reason.
//! Never      chooses by the order in which a directory happens to give its entries: the same entries
//!            give the same choice.

use super::{Candidate, Listing};
use crate::limits::{DIRECTORY_REJECTED_MAX, LISTING_STALE_DAYS};
use crate::partner::is_loopback;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;

/// What of an endpoint is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Environments that will do; the first is liked best.
    pub environments: Vec<String>,
    /// Use cases that will do, FHIR and DirectTrust codes; the first is liked best.
    pub use_cases: Vec<String>,
    /// Guides that are spoken here: `uri`; the first is liked best.
    pub guides: Vec<String>,
    /// Ways of control of access that this house can pass.
    pub access: Vec<String>,
    /// Ways of registering that this house knows; the first is liked best.
    pub registration: Vec<String>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        let words = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
        Wanted {
            environments: words(&["prod"]),
            use_cases: words(&[
                "provider-payer-data-exchange",
                "cdex",
                "medical-records",
                "care-coordination",
                "notifications",
                "adt-notifications",
                "any-all",
                "providerApi",
                "payerToPayer",
            ]),
            guides: words(&[
                "http://hl7.org/fhir/us/davinci-cdex/ImplementationGuide/hl7.fhir.us.davinci-cdex",
                "http://hl7.org/fhir/us/davinci-hrex/ImplementationGuide/hl7.fhir.us.davinci-hrex",
                "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core",
            ]),
            access: words(&[
                "OAuth-backend",
                "SMART-on-FHIR",
                "mutual-tls",
                "Certificates",
                "jwt-access-token",
                "opaque-access-token",
            ]),
            registration: words(&["udap", "smart"]),
        }
    }
}

/// Why an endpoint is not taken. In the order in which it is asked: the first that holds is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Why {
    /// The entry cannot be read.
    Unreadable {
        /// What is missing.
        what: String,
    },
    /// Neither the payer nor anybody who fronts it manages it.
    NotOfPayer {
        /// Who does.
        managing: Option<String>,
    },
    /// Suspended, in error, off, entered in error, or a test by its status.
    Status {
        /// The status.
        status: String,
    },
    /// Its period is over.
    PeriodOver {
        /// Since when.
        end: Timestamp,
    },
    /// Its period has not begun.
    PeriodToCome {
        /// When it does.
        start: Timestamp,
    },
    /// It is no FHIR REST endpoint.
    Connection {
        /// What it is.
        code: Option<String>,
    },
    /// Its address is none that a push can go to.
    Address,
    /// It is for another environment.
    Environment {
        /// Which ones.
        environments: Vec<String>,
    },
    /// It declares use cases, and none of those wanted.
    UseCase {
        /// Which ones.
        use_cases: Vec<String>,
    },
    /// It takes no FHIR JSON.
    MimeType {
        /// What it takes.
        mime_types: Vec<String>,
    },
    /// This house cannot pass its control of access.
    Access {
        /// How it is.
        access: Vec<String>,
    },
    /// It would do; another is better by this rule.
    Outranked {
        /// The first rule in which they differ.
        by: Rule,
        /// Which one.
        to: String,
    },
}

/// By what endpoints that would do are ranked, first rule first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The payer's own before one of who fronts it.
    Own,
    /// The use case liked best; one that declares none after all that do.
    UseCase,
    /// The environment liked best; one that declares none after all that do.
    Environment,
    /// Verified by the directory, or not in need of it; then unsaid; then incomplete.
    Verified,
    /// The directory's own rank; unranked last.
    Rank,
    /// The guide liked best; none last.
    Guide,
    /// The way of registering liked best; unsaid last.
    Registration,
    /// An entry that was looked after before one that was not for two years, or whose certificates
    /// are over.
    Kept,
    /// The newest version of the guide.
    GuideVersion,
    /// The entry changed last.
    Updated,
    /// By address and id, so that there is an order at all.
    Name,
}

/// An endpoint that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Which one.
    pub endpoint: Candidate,
    /// By what the payer was known in the directory.
    pub known_by: String,
    /// The rule by which it came before the next; none where it was the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Rule>,
}

/// An endpoint that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// What people call it.
    pub id: String,
    /// Its address, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// Why.
    #[serde(flatten)]
    pub why: Why,
}

/// What came of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Choice {
    /// The endpoint taken; none: there is none that would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// All others; those that would do first, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
    /// What else is to be said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Chooses.
pub fn choose(listing: &Listing, wanted: &Wanted, now: Timestamp) -> Choice {
    let mut notes = listing.notes.clone();
    if listing.payers.is_empty() {
        notes.push("the directory knows no organization that is this payer".to_owned());
    }
    let mut rejected: Vec<Rejected> = Vec::new();
    let mut fit: Vec<(&Candidate, Order)> = Vec::new();
    for candidate in &listing.candidates {
        match unfit(candidate, listing, wanted, now) {
            Some(why) => rejected.push(Rejected {
                id: candidate.id.clone(),
                address: candidate.address.clone(),
                why,
            }),
            None => fit.push((candidate, Order::of(candidate, wanted, now))),
        }
    }
    fit.sort_by(|a, b| a.1.cmp(&b.1));
    let mut fit = fit.into_iter();
    let first = fit.next();
    let others: Vec<_> = fit.collect();
    let by = |other: &Order| first.as_ref().and_then(|(_, order)| order.differs(other));
    let outranked = others.iter().filter_map(|(it, order)| {
        let why = Why::Outranked { by: by(order)?, to: first.as_ref()?.0.id.clone() };
        Some(Rejected { id: it.id.clone(), address: it.address.clone(), why })
    });
    let mut all: Vec<Rejected> = outranked.collect();
    // Endpoints of others come last: of a whole directory they are most.
    rejected.sort_by_key(|it| matches!(it.why, Why::NotOfPayer { .. }));
    let unreadable = listing.faults.iter().map(|(id, what)| Rejected {
        id: id.clone(),
        address: String::new(),
        why: Why::Unreadable { what: what.clone() },
    });
    let others_of = rejected.partition_point(|it| !matches!(it.why, Why::NotOfPayer { .. }));
    let foreign = rejected.split_off(others_of);
    all.extend(rejected);
    all.extend(unreadable);
    all.extend(foreign);
    if all.len() > DIRECTORY_REJECTED_MAX {
        notes.push(format!("{} more are not shown", all.len() - DIRECTORY_REJECTED_MAX));
        all.truncate(DIRECTORY_REJECTED_MAX);
    }
    let known = |it: &Candidate| {
        let by = listing.payers.iter().find(|(id, _)| Some(id) == it.managing.as_ref());
        by.or(listing.payers.first()).map_or_else(String::new, |(_, by)| by.clone())
    };
    let next = others.first().and_then(|(_, order)| by(order));
    let chosen = first.as_ref().map(|(it, _)| Chosen {
        endpoint: (*it).clone(),
        known_by: known(it),
        by: next,
    });
    Choice { chosen, rejected: all, notes }
}

/// Why an endpoint would not do, if so.
fn unfit(it: &Candidate, listing: &Listing, wanted: &Wanted, now: Timestamp) -> Option<Why> {
    let own = it.managing.as_ref().is_some_and(|it| listing.payers.iter().any(|(id, _)| id == it));
    if !own && it.through.is_none() {
        return Some(Why::NotOfPayer { managing: it.managing.clone() });
    }
    if it.status != "active" {
        return Some(Why::Status { status: it.status.clone() });
    }
    if let Some(end) = it.period.end.filter(|_| it.period.is_over(now)) {
        return Some(Why::PeriodOver { end });
    }
    if let Some(start) = it.period.start.filter(|_| it.period.is_to_come(now)) {
        return Some(Why::PeriodToCome { start });
    }
    if it.connection.as_deref() != Some("hl7-fhir-rest") {
        return Some(Why::Connection { code: it.connection.clone() });
    }
    if !is_fit(&it.address) {
        return Some(Why::Address);
    }
    let none_of = |said: &[String], wanted: &[String]| {
        !said.is_empty() && !said.iter().any(|it| wanted.contains(it))
    };
    if none_of(&it.environments, &wanted.environments) {
        return Some(Why::Environment { environments: it.environments.clone() });
    }
    // `no-reply` says how an answer comes, not what an endpoint is for.
    let mut use_cases: Vec<String> =
        it.use_cases().filter(|code| *code != "no-reply").map(str::to_owned).collect();
    use_cases.sort();
    use_cases.dedup();
    if none_of(&use_cases, &wanted.use_cases) {
        return Some(Why::UseCase { use_cases });
    }
    let json = |it: &String| {
        let essence = it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(essence.as_str(), "application/fhir+json" | "application/json")
    };
    if !it.mime_types.is_empty() && !it.mime_types.iter().any(json) {
        return Some(Why::MimeType { mime_types: it.mime_types.clone() });
    }
    if none_of(&it.access, &wanted.access) {
        return Some(Why::Access { access: it.access.clone() });
    }
    None
}

/// An address with `https`, or on this machine; without user, query or fragment.
fn is_fit(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let plain = !address.contains(['?', '#', '@', '\\'])
        && address.bytes().all(|byte| byte.is_ascii_graphic())
        && !host.is_empty();
    plain && (scheme == "https" || (scheme == "http" && is_loopback(address)))
}

/// Where an endpoint stands, rule by rule: less is better.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    own: bool,
    use_case: usize,
    environment: usize,
    verified: u8,
    rank: u32,
    guide: usize,
    registration: usize,
    kept: bool,
    guide_version: Reverse<Vec<u64>>,
    updated: Reverse<Option<Timestamp>>,
    name: (String, String),
}

impl Order {
    fn of(it: &Candidate, wanted: &Wanted, now: Timestamp) -> Order {
        let best = |said: &mut dyn Iterator<Item = &str>, wanted: &[String]| {
            said.filter_map(|one| wanted.iter().position(|it| it == one))
                .min()
                .unwrap_or(usize::MAX)
        };
        let old = now.checked_sub(SignedDuration::from_hours(24 * LISTING_STALE_DAYS)).ok();
        let untended = it.updated.zip(old).is_some_and(|(updated, old)| updated < old);
        let lapsed = it.artifacts.iter().any(|it| it.expires.is_some_and(|until| until < now));
        let versions = it
            .guides
            .iter()
            .filter(|guide| guide.uri.as_ref().is_some_and(|uri| wanted.guides.contains(uri)));
        let numbers = |version: &str| -> Vec<u64> {
            version.split(['.', '-']).map_while(|part| part.parse().ok()).collect()
        };
        let newest = versions.filter_map(|it| it.version.as_deref().map(numbers)).max();
        let mut uris = it.guides.iter().filter_map(|guide| guide.uri.as_deref());
        Order {
            own: it.through.is_some(),
            use_case: best(&mut it.use_cases(), &wanted.use_cases),
            environment: best(
                &mut it.environments.iter().map(String::as_str),
                &wanted.environments,
            ),
            verified: match it.verification.as_deref() {
                Some("complete" | "not-required") => 0,
                None => 1,
                Some(_) => 2,
            },
            rank: it.rank.unwrap_or(u32::MAX),
            guide: best(&mut uris, &wanted.guides),
            registration: best(
                &mut it.registration.iter().map(String::as_str),
                &wanted.registration,
            ),
            kept: untended || lapsed,
            guide_version: Reverse(newest.unwrap_or_default()),
            updated: Reverse(it.updated),
            name: (it.address.clone(), it.id.clone()),
        }
    }

    /// The first rule in which another differs.
    fn differs(&self, other: &Order) -> Option<Rule> {
        let differ = [
            (Rule::Own, self.own != other.own),
            (Rule::UseCase, self.use_case != other.use_case),
            (Rule::Environment, self.environment != other.environment),
            (Rule::Verified, self.verified != other.verified),
            (Rule::Rank, self.rank != other.rank),
            (Rule::Guide, self.guide != other.guide),
            (Rule::Registration, self.registration != other.registration),
            (Rule::Kept, self.kept != other.kept),
            (Rule::GuideVersion, self.guide_version != other.guide_version),
            (Rule::Updated, self.updated != other.updated),
        ];
        let found = differ.into_iter().find(|(_, differs)| *differs).map(|(rule, _)| rule);
        Some(found.unwrap_or(Rule::Name))
    }
}

impl Rule {
    /// Half a sentence: why one comes before the other.
    pub fn words(self) -> &'static str {
        match self {
            Rule::Own => "the payer's own endpoint comes before that of who fronts it",
            Rule::UseCase => "its use case is nearer to a push",
            Rule::Environment => "it says that it is for this environment",
            Rule::Verified => "the directory has verified it",
            Rule::Rank => "the directory ranks it first",
            Rule::Guide => "it follows a guide that is liked better here",
            Rule::Registration => "it offers a way of registering that is liked better here",
            Rule::Kept => {
                "the other's entry was not looked after: two years old, or its certificate is over"
            }
            Rule::GuideVersion => "it follows a newer version of the guide",
            Rule::Updated => "its entry was changed last",
            Rule::Name => "nothing tells them apart, so the first by address is taken",
        }
    }
}

impl Why {
    /// One sentence without its beginning: `it is suspended`.
    pub fn words(&self) -> String {
        let list = |words: &[String]| words.join(", ");
        match self {
            Why::Unreadable { what } => format!("its entry cannot be used: {what}"),
            Why::NotOfPayer { managing: Some(by) } => {
                format!("{by} manages it, who is neither this payer nor known to front it")
            }
            Why::NotOfPayer { managing: None } => "nothing says that it is this payer's".to_owned(),
            Why::Status { status } => format!("its status is {status}, not active"),
            Why::PeriodOver { end } => format!("its period ended at {end}"),
            Why::PeriodToCome { start } => format!("its period begins at {start}"),
            Why::Connection { code: Some(code) } => {
                format!("its connection type is {code}, not hl7-fhir-rest")
            }
            Why::Connection { code: None } => "it names no connection type".to_owned(),
            Why::Address => "its address is no https URL of a FHIR base".to_owned(),
            Why::Environment { environments } => {
                format!("it is for another environment: {}", list(environments))
            }
            Why::UseCase { use_cases } => {
                format!("none of its use cases is a push: {}", list(use_cases))
            }
            Why::MimeType { mime_types } => {
                format!("it takes no FHIR JSON: {}", list(mime_types))
            }
            Why::Access { access } => {
                format!("this house cannot pass its control of access: {}", list(access))
            }
            Why::Outranked { by, to } => {
                format!("it would do, but {to} comes first: {}", by.words())
            }
        }
    }
}
