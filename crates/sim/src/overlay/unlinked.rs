//! Unlinked: laboratory results without their encounter, as many EHRs serve them.
//!
//! Comes in   resources of a chart, and how many of a hundred lose their encounter.
//! Goes out   the same resources without the member `encounter`; every other byte stays.
//! Never      draws: which ones lose it derives from type and id by SHA-256.

use super::coverage::number;
use super::facts::is_laboratory;
use super::{ChartResource, value_of};
use crate::chart::splice::{Edit, span_of, splice};
use crate::chart::{Chart, sha256_hex};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The laboratory Observations and DiagnosticReports that lose their encounter.
pub(super) fn unlinked(chart: &Chart, percent: u8) -> Vec<ChartResource> {
    let kinds = ["DiagnosticReport", "Observation"];
    let all = kinds.iter().flat_map(|kind| chart.of_kind(kind));
    let chosen = all.filter(|one| is_chosen(one, percent) && is_laboratory(&value_of(one)));
    chosen.filter_map(without_encounter).collect()
}

fn is_chosen(resource: &ChartResource, percent: u8) -> bool {
    let digest = sha256_hex(&[b"unlinked", resource.reference().as_bytes()]);
    number(&digest) % 100 < u64::from(percent)
}

#[derive(Deserialize)]
struct Linked<'a> {
    #[serde(borrow)]
    encounter: &'a RawValue,
}

/// The resource without its member `encounter`; none when it has none.
pub(super) fn without_encounter(resource: &ChartResource) -> Option<ChartResource> {
    let text = std::str::from_utf8(&resource.bytes).ok()?;
    let Linked { encounter } = serde_json::from_str(text).ok()?;
    let value = span_of(text, encounter.get())?;
    let before = text.get(..value.start)?.trim_end().strip_suffix(':')?.trim_end();
    let before = before.strip_suffix("\"encounter\"")?.trim_end();
    // A member goes with the comma before it; the first one of all with the comma behind it.
    let span = match before.strip_suffix(',') {
        Some(kept) => kept.len()..value.end,
        None => {
            let comma = text.get(value.end..)?.find(',').map_or(0, |at| at + 1);
            before.len()..value.end + comma
        }
    };
    let edits = vec![Edit { span, text: String::new() }];
    Some(ChartResource { bytes: splice(text, edits).into(), ..resource.clone() })
}
