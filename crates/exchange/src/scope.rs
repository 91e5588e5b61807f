//! Scope: whom an encounter concerns, by the patient's coverages and the agreements.
//!
//! Comes in   the encounter, the patient's Coverages, the Organizations they name as payors, the
//!            terms with every partner.
//! Goes out   one dossier per payer, and an issue for every coverage that leads to none.
//! Never      quotes a coverage: member ids and payer numbers do not stand in issues.
//!
//! Coverages begin and end on days, so dates are compared by the day, as they are written.

use crate::agreement::{Agreement, Terms};
use crate::days::{Days, clinical_days};
use crate::id::PartnerId;
use crate::issue::{Code, Issue};
use crate::payload::Kind;
use crate::push::Purpose;
use crate::shape::target;
use fhir::{Node, Resource};
use jiff::civil::Date;
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
}

/// One payer the encounter concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedPayer {
    /// The payer.
    pub partner: PartnerId,
    /// What for.
    pub purpose: Purpose,
    /// `Coverage/id` of the patient's coverages with it, sorted.
    pub coverages: Vec<String>,
}

/// Whom the encounter concerns.
pub fn scope(question: &Question<'_>) -> Scope {
    let day = encounter_day(question.encounter);
    scope_on(question, &|coverage| covers_day(coverage, day), day.is_some())
}

/// Whom a patient's history concerns: the payers that cover the patient today, each with all of the
/// patient's coverages with it that have begun. `question.encounter` is the Patient.
pub fn scope_history(question: &Question<'_>, today: Date) -> Scope {
    let began = |coverage: Node<'_, '_>| {
        let until_now = covers_day(coverage, Some(today))?;
        let period = coverage.get("period").filter(|_| !until_now);
        let start = period.and_then(|period| Days::read(&period.get("start")?.text()?));
        let end = period.and_then(|period| Days::read(&period.get("end")?.text()?));
        let before = start.is_none_or(|start| start.first <= today);
        Ok(until_now || (before && end.is_some()))
    };
    let now = scope_on(question, &|coverage| covers_day(coverage, Some(today)), true);
    let mut ever = scope_on(question, &began, true);
    ever.dossiers.retain(|one| now.dossiers.iter().any(|own| own.partner == one.partner));
    Scope { dossiers: ever.dossiers, issues: now.issues }
}

/// Whether a coverage counts, by its period.
type Counts<'c> = &'c dyn Fn(Node<'_, '_>) -> Result<bool, Issue>;

fn scope_on(question: &Question<'_>, counts: Counts<'_>, dated: bool) -> Scope {
    let mut payers: BTreeMap<&PartnerId, (&Terms, BTreeSet<String>)> = BTreeMap::new();
    let mut issues = Vec::new();
    let mut coverages: Vec<&Resource> = question.coverages.iter().collect();
    coverages.sort_by_key(|coverage| coverage.local_reference());
    coverages.dedup_by_key(|coverage| coverage.local_reference());
    for coverage in coverages {
        match payers_of(coverage, counts, question) {
            Ok(found) => found.into_iter().for_each(|found| match found {
                Ok(terms) => {
                    let new = || (terms, BTreeSet::new());
                    let (_, own) = payers.entry(&terms.agreement.partner).or_insert_with(new);
                    own.insert(coverage.local_reference());
                }
                Err(issue) => add(&mut issues, issue),
            }),
            Err(issue) => add(&mut issues, issue),
        }
    }
    let mut dossiers = Vec::new();
    for (terms, own) in payers.into_values() {
        match allowed(terms, question) {
            Ok(purpose) => dossiers.push(ScopedPayer {
                partner: terms.agreement.partner.clone(),
                purpose,
                coverages: own.into_iter().collect(),
            }),
            Err(issue) => add(&mut issues, issue),
        }
    }
    if dossiers.is_empty() && issues.is_empty() {
        let (word, place) = match question.encounter.kind() {
            "Patient" => ("today", "Coverage.period"),
            "DiagnosticReport" => ("on the report's date", "DiagnosticReport.effective"),
            _ => ("on the encounter's date", "Encounter.period"),
        };
        let detail = match dated {
            true => format!("none of the patient's coverages is active {word}"),
            false => "it has no date, and no coverage holds without one".to_owned(),
        };
        issues.push(Issue::new(Code::CoverageMissing, detail).at(place));
    }
    Scope { dossiers, issues }
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

/// The terms with each payer of a coverage that counts; nothing for one that does not.
fn payers_of<'a>(
    coverage: &Resource,
    counts: Counts<'_>,
    question: &Question<'a>,
) -> Result<Vec<Result<&'a Terms, Issue>>, Issue> {
    let doc = coverage.doc();
    let root = doc.root();
    let status = root.get("status").and_then(|status| status.text());
    if status.as_deref() != Some("active") || is_self_pay(root) || !counts(root)? {
        return Ok(Vec::new());
    }
    let unreadable = |place: &str| {
        let detail = "a coverage does not say readably whose it is";
        Issue::new(Code::SourceUnreadable, detail).at(place)
    };
    let beneficiary = root.get("beneficiary").and_then(|node| reference(node, question));
    match beneficiary {
        Some((kind, id)) if kind == "Patient" && id == question.patient => {}
        Some(_) => return Ok(Vec::new()),
        None => return Err(unreadable("Coverage.beneficiary")),
    }
    let payors = root.get("payor").into_iter().flat_map(|payor| payor.each());
    let payors: Vec<_> = payors.filter(|payor| !is_person(*payor, root, question)).collect();
    Ok(payors.into_iter().map(|payor| terms_with(payor, root, question)).collect())
}

/// `Coverage.type` is `pay` where nobody but the patient pays (R4 coverage-selfpay).
fn is_self_pay(coverage: Node<'_, '_>) -> bool {
    let codings = coverage.get("type").and_then(|kind| kind.get("coding"));
    codings.into_iter().flat_map(|codings| codings.each()).any(|coding| {
        let text = |name| coding.get(name).and_then(|node| node.text());
        let system = text("system").unwrap_or_default();
        system.ends_with("/coverage-selfpay") && text("code").as_deref() == Some("pay")
    })
}

fn reference(node: Node<'_, '_>, question: &Question<'_>) -> Option<(String, String)> {
    target(&node.get("reference")?.text()?, question.source_base)
}

/// A patient or relative who pays is no plan.
fn is_person(payor: Node<'_, '_>, coverage: Node<'_, '_>, question: &Question<'_>) -> bool {
    let person = |kind: &str| matches!(kind, "Patient" | "RelatedPerson");
    let named = payor.get("type").and_then(|kind| kind.text());
    let referred = reference(payor, question).map(|(kind, _)| kind);
    let inner = contained(payor, coverage).and_then(|inner| inner.get("resourceType")?.text());
    named.is_some_and(|kind| person(&kind))
        || referred.is_some_and(|kind| person(&kind))
        || inner.is_some_and(|kind| person(&kind))
}

fn contained<'d, 'a>(payor: Node<'d, 'a>, coverage: Node<'d, 'a>) -> Option<Node<'d, 'a>> {
    let text = payor.get("reference")?.text()?;
    let id = text.strip_prefix('#')?;
    coverage
        .get("contained")?
        .items()
        .find(|item| item.get("id").and_then(|found| found.text()).is_some_and(|found| found == id))
}

/// The one agreement whose payer identifiers hold one of the payor's.
fn terms_with<'a>(
    payor: Node<'_, '_>,
    coverage: Node<'_, '_>,
    question: &Question<'a>,
) -> Result<&'a Terms, Issue> {
    let mut identifiers: Vec<(Option<String>, String)> = Vec::new();
    read_identifiers(payor, &mut identifiers);
    if let Some(inner) = contained(payor, coverage) {
        read_identifiers(inner, &mut identifiers);
    }
    if let Some((kind, id)) = reference(payor, question) {
        let wanted = format!("{kind}/{id}");
        let found = question.organizations.iter().find(|found| found.local_reference() == wanted);
        if let Some(organization) = found {
            read_identifiers(organization.doc().root(), &mut identifiers);
        }
    }
    let names = |terms: &&&Terms| {
        terms.agreement.payer_identifiers.iter().any(|ours| {
            identifiers.iter().any(|(system, value)| {
                ours.value.trim() == value
                    && (ours.system.is_none() || ours.system.as_deref() == system.as_deref())
            })
        })
    };
    let mut found = question.agreements.iter().filter(names);
    let place = payor.expression();
    match (found.next(), found.next()) {
        (Some(terms), None) => Ok(terms),
        (Some(one), Some(other)) => {
            let (one, other) = (&one.agreement.partner, &other.agreement.partner);
            let detail =
                format!("the agreements with {one} and {other} both name this payer's identifier");
            Err(Issue::new(Code::PayerUnmapped, detail).at(place))
        }
        (None, _) if identifiers.is_empty() => {
            let detail = "a coverage names its payer without any identifier";
            Err(Issue::new(Code::PayerUnmapped, detail).at(place))
        }
        (None, _) => {
            let detail = "no agreement names any of the identifiers of a coverage's payer";
            Err(Issue::new(Code::PayerUnmapped, detail).at(place))
        }
    }
}

fn read_identifiers(node: Node<'_, '_>, found: &mut Vec<(Option<String>, String)>) {
    for identifier in node.get("identifier").into_iter().flat_map(|list| list.each()) {
        let text = |name| identifier.get(name).and_then(|node| node.text());
        if let Some(value) = text("value") {
            let system = text("system").map(|system| system.trim().to_owned());
            found.push((system, value.trim().to_owned()));
        }
    }
}

/// The day an encounter is counted by: its start, else its end; a report by its clinical day.
fn encounter_day(record: &Resource) -> Option<Date> {
    clinical_days(record).map(|days| days.first)
}

/// Whether a coverage holds on the encounter's day. An encounter without one is only covered by a
/// coverage without a period.
fn covers_day(coverage: Node<'_, '_>, day: Option<Date>) -> Result<bool, Issue> {
    let Some(period) = coverage.get("period") else { return Ok(true) };
    let bound = |name: &str| {
        let Some(node) = period.get(name) else { return Ok(None) };
        let days = node.text().and_then(|text| Days::read(&text));
        days.map(Some).ok_or_else(|| {
            let detail = "a coverage's period cannot be read as dates";
            Issue::new(Code::SourceUnreadable, detail).at(format!("Coverage.period.{name}"))
        })
    };
    let (start, end) = (bound("start")?, bound("end")?);
    let unbounded = start.is_none() && end.is_none();
    Ok(match day {
        None => unbounded,
        Some(day) => {
            start.is_none_or(|start| start.first <= day) && end.is_none_or(|end| day <= end.last)
        }
    })
}

#[cfg(test)]
mod tests;
