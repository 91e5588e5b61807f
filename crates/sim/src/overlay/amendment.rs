//! Amendment: one laboratory result is corrected after it was sent.
//!
//! Comes in   a chart and the expectation of what was pushed from it.
//! Goes out   the chart with one Observation amended, and which pushes must change because of it.
//! Never      touches a byte beside the value and the status.

use super::{Expectation, value_of};
use crate::chart::splice::{Edit, span_of, splice};
use crate::chart::{Chart, ChartResource};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What was amended, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// The chart afterwards.
    pub chart: Chart,
    /// `Observation/<id>`.
    pub observation: String,
    /// The Observation as it stands now.
    pub amended: ChartResource,
    /// The encounters whose push must change, by the name of the payer.
    pub pushes: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow, rename = "valueQuantity")]
    quantity: Quantity<'a>,
}

#[derive(Deserialize)]
struct Quantity<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Amendment {
    /// Amends the first final laboratory Observation, in order of ids, that was filed with some
    /// payer: its value's last digit goes up by one (nine becomes zero, the scale stays), its
    /// status becomes `amended`. None when the chart has no such Observation.
    pub fn first_laboratory_result(chart: &Chart, expectation: &Expectation) -> Option<Amendment> {
        let filed =
            |reference: &str| expectation.payers.iter().any(|p| p.filed.contains(reference));
        let amended = chart
            .of_kind("Observation")
            .iter()
            .filter(|observation| filed(&observation.reference()) && is_laboratory(observation))
            .find_map(amend)?;
        let observation = amended.reference();
        let mut pushes = BTreeMap::new();
        for payer in &expectation.payers {
            let concerned: Vec<_> = payer
                .pushes
                .iter()
                .filter(|(_, travels)| travels.contains(&observation))
                .map(|(encounter, _)| encounter.clone())
                .collect();
            if !concerned.is_empty() {
                pushes.insert(payer.name.clone(), concerned);
            }
        }
        let mut chart = chart.clone();
        chart.put(amended.clone());
        Some(Amendment { chart, observation, amended, pushes })
    }
}

fn is_laboratory(observation: &ChartResource) -> bool {
    let value = value_of(observation);
    let categories = value["category"].as_array().map(Vec::as_slice).unwrap_or_default();
    let codings = categories.iter().flat_map(|category| category["coding"].as_array()).flatten();
    value["status"] == "final" && codings.into_iter().any(|coding| coding["code"] == "laboratory")
}

/// The Observation with another value and the status `amended`; none where it has no plain number.
pub(super) fn amend(observation: &ChartResource) -> Option<ChartResource> {
    let text = std::str::from_utf8(&observation.bytes).ok()?;
    let parts: Parts<'_> = serde_json::from_str(text).ok()?;
    let value = parts.quantity.value.get();
    if !value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None; // no exponents, no signs
    }
    let last = value.bytes().last().filter(u8::is_ascii_digit)?;
    let next = char::from(if last == b'9' { b'0' } else { last + 1 });
    let end = span_of(text, value)?.end;
    let edits = vec![
        Edit { span: end - 1..end, text: next.to_string() },
        Edit::string(span_of(text, parts.status.get())?, "amended"),
    ];
    Some(ChartResource { bytes: splice(text, edits).into(), ..observation.clone() })
}
