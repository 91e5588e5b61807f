//! Coverage: which of a patient's coverages count on the day of service, and what rows of the payor
//! map ask of them.
//!
//! Comes in   a Coverage, and the days of service.
//! Goes out   that it counts, with order, classes and member ids; or why it does not.
//! Never      guesses: a coverage that does not say whether it holds is a person's work.
//!
//! Coverages begin and end on days, so dates are compared by the day, as they are written.
//! R4 `Coverage.order` ranks coverages that are in force beside each other and may have gaps, so a
//! lone coverage of order 2 is the first one.

use super::Question;
use crate::days::{Days, clinical_days};
use crate::issue::{Code, Issue};
use crate::member::{folded_id, member_numbers};
use crate::shape::target;
use fhir::{Node, Resource};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Why a coverage leads nowhere, and nobody has work with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotCounted {
    /// `cancelled`, `draft` or `entered-in-error`.
    NotActive,
    /// It does not hold on the day of service.
    NotThatDay,
    /// Nobody but the patient pays.
    SelfPay,
    /// It is another patient's.
    AnotherPatient,
}

impl NotCounted {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            NotCounted::NotActive => "its status is not active",
            NotCounted::NotThatDay => "it does not hold on the day of service",
            NotCounted::SelfPay => "the patient or a relative pays",
            NotCounted::AnotherPatient => "it is another patient's",
        }
    }
}

/// What rows of the payor map ask of a coverage. It is about a patient, and never leaves this room.
pub(super) struct Facts {
    /// `Coverage.order`.
    pub(super) order: Option<u32>,
    /// Type code and value of every `Coverage.class`.
    pub(super) classes: Vec<(Option<String>, String)>,
    /// Member ids as compared.
    pub(super) member_ids: BTreeSet<String>,
}

/// Whether a coverage counts, by its period.
type Counts<'c> = &'c dyn Fn(Node<'_, '_>) -> Result<bool, Issue>;

/// Whether a coverage counts.
pub(super) fn facts(
    coverage: &Resource,
    counts: Counts<'_>,
    question: &Question<'_>,
) -> Result<Result<Facts, NotCounted>, Issue> {
    let doc = coverage.doc();
    let root = doc.root();
    let unreadable =
        |detail: &str, place: &str| Issue::new(Code::SourceUnreadable, detail).at(place.to_owned());
    let whose = "a coverage does not say readably whose it is";
    let beneficiary = root.get("beneficiary").and_then(|node| node.get("reference")?.text());
    match beneficiary.and_then(|text| target(&text, question.source_base)) {
        Some((kind, id)) if kind == "Patient" && id == question.patient => {}
        Some(_) => return Ok(Err(NotCounted::AnotherPatient)),
        None if is_void(root) => return Ok(Err(NotCounted::NotActive)),
        None => return Err(unreadable(whose, "Coverage.beneficiary")),
    }
    if is_void(root) {
        return Ok(Err(NotCounted::NotActive));
    }
    if !counts(root)? {
        return Ok(Err(NotCounted::NotThatDay));
    }
    if is_self_pay(root) {
        return Ok(Err(NotCounted::SelfPay));
    }
    if text(root, "status").as_deref() != Some("active") {
        let detail = "a coverage does not say whether it is active";
        return Err(unreadable(detail, "Coverage.status"));
    }
    let mut member_ids: BTreeSet<String> =
        member_numbers(root).iter().map(|id| folded_id(id)).collect();
    member_ids.extend(text(root, "subscriberId").map(|id| folded_id(&id)));
    member_ids.remove("");
    let order = root.get("order").and_then(|order| order.primitive()?.parse().ok());
    Ok(Ok(Facts { order: order.filter(|order| *order > 0), classes: classes(root), member_ids }))
}

/// R4 `fm-status`: what was ended, never came to be, or was a mistake covers nothing.
fn is_void(coverage: Node<'_, '_>) -> bool {
    let status = text(coverage, "status");
    matches!(status.as_deref(), Some("cancelled" | "draft" | "entered-in-error"))
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.get(name).and_then(|node| node.text()).map(|text| text.trim().to_owned())
}

/// `Coverage.type` where no plan pays: R4 `coverage-selfpay`, ActCode `PAY`, and category 8 of the
/// Source of Payment Typology, to which US Core binds the element ("no payment from an organization").
fn is_self_pay(coverage: Node<'_, '_>) -> bool {
    let codings = coverage.get("type").and_then(|kind| kind.get("coding"));
    codings.into_iter().flat_map(|codings| codings.each()).any(|coding| {
        let system = text(coding, "system").unwrap_or_default();
        let code = text(coding, "code").unwrap_or_default();
        let typology = ["https://nahdo.org/sopt", "urn:oid:2.16.840.1.113883.3.221.5"];
        (system.ends_with("/coverage-selfpay") && code == "pay")
            || (system.ends_with("/v3-ActCode") && code == "PAY")
            || (typology.contains(&system.as_str()) && code.starts_with('8'))
    })
}

fn classes(coverage: Node<'_, '_>) -> Vec<(Option<String>, String)> {
    let rows = coverage.get("class").into_iter().flat_map(|list| list.each());
    rows.flat_map(|row| {
        let value = text(row, "value").filter(|value| !value.is_empty());
        let codings = row.get("type").and_then(|kind| kind.get("coding"));
        let codings = codings.into_iter().flat_map(|codings| codings.each());
        let mut codes: Vec<_> = codings.map(|coding| text(coding, "code")).collect();
        if codes.is_empty() {
            codes.push(None);
        }
        codes.into_iter().filter_map(move |code| Some((code, value.clone()?)))
    })
    .collect()
}

/// The day a visit or report is counted by: the first of its clinical days.
pub(super) fn day_of_service(record: &Resource) -> Option<Days> {
    clinical_days(record).map(|days| Days { first: days.first, last: days.first })
}

/// Whether a coverage holds on a day of service. What has no date is only covered by a coverage
/// without a period.
pub(super) fn covers(coverage: Node<'_, '_>, days: Option<Days>) -> Result<bool, Issue> {
    if coverage.get("period").is_none() {
        return Ok(true);
    }
    let (start, end) = period(coverage)?;
    Ok(holds(start, end, days))
}

/// The first and last day of a coverage, where it has them.
fn period(coverage: Node<'_, '_>) -> Result<(Option<Date>, Option<Date>), Issue> {
    let bound = |name: &str| {
        let Some(node) = coverage.get("period").and_then(|period| period.get(name)) else {
            return Ok(None);
        };
        let days = node.text().and_then(|text| Days::read(&text));
        days.map(Some).ok_or_else(|| {
            let detail = "a coverage's period cannot be read as dates";
            Issue::new(Code::SourceUnreadable, detail).at(format!("Coverage.period.{name}"))
        })
    };
    Ok((bound("start")?.map(|days| days.first), bound("end")?.map(|days| days.last)))
}

/// Whether a span with open ends holds on one of the days.
pub(super) fn holds(first: Option<Date>, last: Option<Date>, days: Option<Days>) -> bool {
    match days {
        None => first.is_none() && last.is_none(),
        Some(days) => {
            first.is_none_or(|first| first <= days.last)
                && last.is_none_or(|last| days.first <= last)
        }
    }
}
