//! Scope: whom an encounter concerns, by the patient's coverages, the agreements and the payor map.
//!
//! Comes in   the encounter, the patient's Coverages, the Organizations they name as payors, the
//!            terms with every partner, the house's table of payors.
//! Goes out   one dossier per payer, an issue for every coverage that leads to none although it
//!            should, and for every coverage what became of it.
//! Never      quotes a coverage: member ids and payer numbers do not stand in issues.
//!
//! A patient's payers are all concerned, the first and those that come second: which is which is
//! said, and an agreement may take no part where its payer is not the first.

mod behalf;
mod coverage;
mod map;
mod payor;

pub use behalf::Behalf;
pub use coverage::NotCounted;
pub use map::{PayorMap, PayorRow, names_this, row_text};
pub use payor::{Payor, PayorIdentifier, PayorKey, payors_of};

use crate::agreement::{Agreement, Terms};
use crate::days::{Days, clinical_days};
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::payload::Kind;
use crate::purpose::Purpose;
use coverage::{Facts, facts};
use fhir::Resource;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What *scope* is asked with.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// `Patient.id` in the source.
    pub patient: &'a str,
    /// The encounter, or the report; the Patient of a history.
    pub encounter: &'a Resource,
    /// What for; `None`: each agreement's first purpose.
    pub purpose: Option<Purpose>,
    /// The patient's coverages, active or not.
    pub coverages: &'a [Resource],
    /// The Organizations that those name as payors, as far as the source holds them.
    pub organizations: &'a [Resource],
    /// The terms with every partner.
    pub agreements: &'a [&'a Terms],
    /// The house's table of payors.
    pub payors: &'a PayorMap,
    /// The base URL of the source.
    pub source_base: &'a str,
}

/// Whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// One per payer, by name.
    pub dossiers: Vec<ScopedPayer>,
    /// Why some or all coverages lead to no dossier.
    pub issues: Vec<Issue>,
    /// What became of every coverage, one row for each payor that it names.
    pub judged: Vec<Judged>,
}

/// One payer the encounter concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedPayer {
    /// The payer.
    pub partner: PartnerId,
    /// What for.
    pub purpose: Purpose,
    /// `Coverage/id` of the patient's coverages with it, whenever they hold; sorted.
    pub coverages: Vec<String>,
    /// Whom it stands for, as the payor map has it.
    pub on_behalf: Vec<Behalf>,
}

/// What became of a coverage, as far as one payor of it is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// `Coverage/id`.
    pub coverage: String,
    /// Among the coverages that count on the day of service. 1: none of them comes before it. Those
    /// that say no order come after those that do, and share their rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Where it leads.
    #[serde(flatten)]
    pub end: End,
    /// What says so: a row of the payor map, or an agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Who is the payer in law, as the row has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_payer: Option<String>,
    /// Who acts for it, as the row has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<String>,
}

/// Where a coverage leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "leads_to", rename_all = "kebab-case")]
pub enum End {
    /// To a payer.
    Payer {
        /// Which.
        partner: PartnerId,
    },
    /// To a person, who maps the payor.
    Unmapped {
        /// Which payor.
        payor: PayorKey,
    },
    /// To nobody, as the house or an agreement says.
    LeftAlone {
        /// Why.
        why: String,
    },
    /// To nobody: it does not count.
    NotCounted {
        /// Why.
        why: NotCounted,
    },
    /// To a person, who mends it in the EHR.
    Unreadable,
}

/// The payors that wait for a person, each once.
pub fn unmapped(judged: &[Judged]) -> Vec<PayorKey> {
    let keys = judged.iter().filter_map(|one| match &one.end {
        End::Unmapped { payor } => Some(payor.clone()),
        _ => None,
    });
    keys.collect::<BTreeSet<_>>().into_iter().collect()
}

/// How many coverages that count are left alone.
pub fn left_alone(judged: &[Judged]) -> u64 {
    judged.iter().filter(|one| matches!(one.end, End::LeftAlone { .. })).count() as u64
}

/// A coverage that counts, with a payor that it names.
struct Named<'a> {
    coverage: &'a Resource,
    /// `Coverage.payor[…]`.
    place: String,
    payor: Payor,
    facts: &'a Facts,
}

/// Whom the encounter concerns.
pub fn scope(question: &Question<'_>) -> Scope {
    let days = coverage::day_of_service(question.encounter);
    with_all_own(scope_on(question, days), question)
}

/// Whom a patient's history concerns: the payers that cover the patient today. `question.encounter`
/// is the Patient.
pub fn scope_history(question: &Question<'_>, today: Date) -> Scope {
    let days = Some(Days { first: today, last: today });
    with_all_own(scope_on(question, days), question)
}

/// Whether one of the patient's coverages leads to a payer on some of these days, whatever would be
/// pushed there. Nothing of `question` counts that is about the record.
pub fn is_covered(question: &Question<'_>, days: Days) -> bool {
    let scope = scope_on(question, Some(days));
    scope.judged.iter().any(|one| matches!(one.end, End::Payer { .. }))
}

/// The same payers, each with all of the patient's coverages with it, whenever they hold: which
/// references to coverages stay must not depend on the day of a push.
fn with_all_own(mut scope: Scope, question: &Question<'_>) -> Scope {
    for one in question.coverages {
        let Ok(Ok(facts)) = facts(one, &|_| Ok(true), question) else { continue };
        let days = clinical_days(one);
        for named in payors(one, &facts, question) {
            let led = question.payors.lead(&named.payor, &facts, days, question.agreements);
            let Ok(Ok(terms)) = led.map(|led| led.to) else { continue };
            let partner = &terms.agreement.partner;
            for payer in scope.dossiers.iter_mut().filter(|payer| payer.partner == *partner) {
                payer.coverages.push(one.local_reference());
                payer.coverages.sort();
                payer.coverages.dedup();
            }
        }
    }
    scope
}

fn scope_on(question: &Question<'_>, days: Option<Days>) -> Scope {
    let mut scope = Scope::default();
    let mut coverages: Vec<&Resource> = question.coverages.iter().collect();
    coverages.sort_by_key(|coverage| coverage.local_reference());
    coverages.dedup_by_key(|coverage| coverage.local_reference());
    let mut counted: Vec<(&Resource, Facts)> = Vec::new();
    for one in coverages {
        match facts(one, &|coverage| coverage::covers(coverage, days), question) {
            Ok(Ok(facts)) => counted.push((one, facts)),
            Ok(Err(why)) => scope.judged.push(judged(one, End::NotCounted { why })),
            Err(issue) => {
                add(&mut scope.issues, issue);
                scope.judged.push(judged(one, End::Unreadable));
            }
        }
    }
    let mut named: Vec<Named<'_>> = Vec::new();
    for (one, facts) in &counted {
        let found = payors(one, facts, question);
        if found.is_empty() {
            scope.judged.push(judged(one, End::NotCounted { why: NotCounted::SelfPay }));
        }
        named.extend(found);
    }
    let payers = lead(&named, days, question, &mut scope);
    dossiers(payers, question, &mut scope);
    scope.judged.sort_by(|one, other| one.coverage.cmp(&other.coverage));
    if scope.dossiers.is_empty() && scope.issues.is_empty() && left_alone(&scope.judged) == 0 {
        scope.issues.push(none_counts(question.encounter, days, &scope.judged));
    }
    scope
}

/// That no coverage counts, and why.
fn none_counts(record: &Resource, days: Option<Days>, judged: &[Judged]) -> Issue {
    let (word, place) = match record.kind() {
        "Patient" => ("today", "Coverage.period"),
        "DiagnosticReport" => ("on the day of service", "DiagnosticReport.effective"),
        _ => ("on the day of service", "Encounter.period"),
    };
    let (detail, place) = match (why_none(judged), days) {
        (Some(found), _) => (format!("no coverage counts {word}: {found}"), "Coverage"),
        (None, Some(_)) => (format!("none of the patient's coverages is active {word}"), place),
        (None, None) => {
            ("there is no day of service, and no coverage holds without one".to_owned(), place)
        }
    };
    Issue::new(Code::CoverageMissing, detail).at(place)
}

/// What was found instead of a coverage that counts; `None` where it is the day alone.
fn why_none(judged: &[Judged]) -> Option<String> {
    let mut found: BTreeMap<&'static str, u64> = BTreeMap::new();
    for one in judged {
        if let End::NotCounted { why } = &one.end {
            *found.entry(why.words()).or_default() += 1;
        }
    }
    if found.is_empty() {
        return Some("the EHR answers none for the patient".to_owned());
    }
    if found.len() == 1 && found.contains_key(NotCounted::NotThatDay.words()) {
        return None;
    }
    let each = found.iter().map(|(words, count)| format!("of {count}, {words}"));
    Some(each.collect::<Vec<_>>().join("; "))
}

fn judged(coverage: &Resource, end: End) -> Judged {
    let coverage = coverage.local_reference();
    Judged { coverage, rank: None, end, by: None, legal_payer: None, delegate: None }
}

/// The payors of a coverage that counts, but for persons. One that names nobody may still be known
/// by its class or member id.
fn payors<'a>(coverage: &'a Resource, facts: &'a Facts, question: &Question<'_>) -> Vec<Named<'a>> {
    let doc = coverage.doc();
    let root = doc.root();
    let each: Vec<_> = root.get("payor").into_iter().flat_map(|payor| payor.each()).collect();
    if each.is_empty() {
        let (place, payor) = ("Coverage.payor".to_owned(), Payor::default());
        return vec![Named { coverage, place, payor, facts }];
    }
    let read = |node: &fhir::Node<'_, '_>| {
        let payor = payor::payor(*node, root, question.organizations, question.source_base)?;
        Some(Named { coverage, place: node.expression(), payor, facts })
    };
    each.iter().filter_map(read).collect()
}

type Payers<'a> = BTreeMap<PartnerId, (&'a Terms, BTreeSet<String>)>;

/// Where each payor leads; what leads nowhere is said.
fn lead<'a>(
    named: &[Named<'_>],
    days: Option<Days>,
    question: &Question<'a>,
    scope: &mut Scope,
) -> Payers<'a> {
    let mut payers = Payers::new();
    let orders: BTreeSet<u32> = named.iter().map(|one| order(one.facts)).collect();
    for one in named {
        let rank = orders.iter().position(|it| *it == order(one.facts)).unwrap_or_default() + 1;
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let led = question.payors.lead(&one.payor, one.facts, days, question.agreements);
        let mut row = judged(one.coverage, End::Unmapped { payor: one.payor.key() });
        row.rank = Some(rank);
        match led {
            Ok(led) => {
                row.by = Some(led.by);
                row.legal_payer = led.row.as_ref().and_then(|row| row.legal_payer.clone());
                row.delegate = led.row.as_ref().and_then(|row| row.delegate.clone());
                row.end = match led.to {
                    Err(why) => End::LeftAlone { why },
                    Ok(terms) if rank > 1 && !terms.agreement.secondary => {
                        let why = "the agreement takes no coverage that is not the first";
                        End::LeftAlone { why: why.to_owned() }
                    }
                    Ok(terms) => {
                        let partner = terms.agreement.partner.clone();
                        let new = || (terms, BTreeSet::new());
                        let payer = payers.entry(partner.clone()).or_insert_with(new);
                        payer.1.insert(one.coverage.local_reference());
                        End::Payer { partner }
                    }
                };
            }
            Err(issue) => add(&mut scope.issues, issue.at(one.place.as_str())),
        }
        scope.judged.push(row);
    }
    payers
}

/// What says no order comes last.
fn order(facts: &Facts) -> u32 {
    facts.order.unwrap_or(u32::MAX)
}

/// The dossiers of the payers whose agreements allow the push as a whole.
fn dossiers(payers: Payers<'_>, question: &Question<'_>, scope: &mut Scope) {
    for (partner, (terms, own)) in payers {
        match allowed(terms, question) {
            Ok(purpose) => {
                let coverages = own.into_iter().collect();
                let on_behalf = behalf::of(&partner, &scope.judged);
                let payer = ScopedPayer { partner, purpose, coverages, on_behalf };
                scope.dossiers.push(payer);
            }
            Err(issue) => add(&mut scope.issues, issue),
        }
    }
}

/// The purpose, when one agreement allows the push as a whole.
fn allowed(terms: &Terms, question: &Question<'_>) -> Result<Purpose, Issue> {
    let agreement = &terms.agreement;
    let purpose = question.purpose.or(agreement.default_purpose());
    let Some(purpose) = purpose.filter(|purpose| agreement.purposes.contains(purpose)) else {
        let asked = question.purpose.map(|purpose| format!(" {purpose}")).unwrap_or_default();
        let detail =
            format!("the agreement with {} does not allow the purpose{asked}", agreement.partner);
        return Err(Issue::new(Code::PurposeNotAgreed, detail));
    };
    allowed_kind(agreement, question.encounter)?;
    Ok(purpose)
}

/// Whether the agreement covers the kind of push that is about this record, and the record's status.
fn allowed_kind(agreement: &Agreement, record: &Resource) -> Result<(), Issue> {
    let kind = Kind::of_record(record.kind()).unwrap_or(Kind::Encounter);
    if !agreement.kinds.contains(&kind) {
        let detail = format!("the agreement with {} covers no push of {kind}", agreement.partner);
        return Err(Issue::new(Code::KindNotAgreed, detail));
    }
    match kind {
        Kind::Encounter => agreement.encounter.allow(record),
        Kind::Results | Kind::History => Ok(()),
    }
}

fn add(issues: &mut Vec<Issue>, issue: Issue) {
    if !issues.contains(&issue) {
        issues.push(issue);
    }
}

#[cfg(test)]
mod tests;
