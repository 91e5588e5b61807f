//! Edits: a record with one thing corrected, every other byte as it was.
//!
//! Comes in   a record of a chart, and what is to stand in it.
//! Goes out   the record with that; none where it has no place for it.
//! Never      re-serialises: whatever compares versions must see this one change.

use crate::chart::ChartResource;
use crate::chart::splice::{Edit, span_of, splice};
use crate::overlay::value_of;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Stated<'a> {
    #[serde(borrow)]
    status: &'a RawValue,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

#[derive(Deserialize)]
struct Listing<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct Verified<'a> {
    #[serde(borrow, rename = "verificationStatus")]
    status: Codings<'a>,
}

#[derive(Deserialize)]
struct Codings<'a> {
    #[serde(borrow)]
    coding: Vec<Coding<'a>>,
}

#[derive(Deserialize)]
struct Coding<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
}

fn edited(resource: &ChartResource, text: &str, edit: Edit) -> ChartResource {
    ChartResource { bytes: splice(text, vec![edit]).into(), ..resource.clone() }
}

/// The resource with another status; none where it has that one already.
pub(super) fn with_status(resource: &ChartResource, word: &str) -> Option<ChartResource> {
    let text = std::str::from_utf8(&resource.bytes).ok()?;
    let Stated { status } = serde_json::from_str(text).ok()?;
    let span = span_of(text, status.get())?;
    (text.get(span.clone())? != format!("\"{word}\""))
        .then(|| edited(resource, text, Edit::string(span, word)))
}

pub(super) fn with_verification(resource: &ChartResource, word: &str) -> Option<ChartResource> {
    let text = std::str::from_utf8(&resource.bytes).ok()?;
    let Verified { status } = serde_json::from_str(text).ok()?;
    let code = status.coding.first()?.code;
    Some(edited(resource, text, Edit::string(span_of(text, code.get())?, word)))
}

/// The resource with one more member behind its id; none where it has such a member.
pub(super) fn with_member(
    resource: &ChartResource,
    name: &str,
    member: &Value,
) -> Option<ChartResource> {
    let text = std::str::from_utf8(&resource.bytes).ok()?;
    let Named { id } = serde_json::from_str(text).ok()?;
    let end = span_of(text, id.get())?.end;
    value_of(resource)[name]
        .is_null()
        .then(|| edited(resource, text, Edit::insert(end, format!(",\"{name}\":{member}"))))
}

/// The report with one more result at the end of its list; none where it lists none.
pub(super) fn with_result(report: &ChartResource, result: &str) -> Option<ChartResource> {
    let text = std::str::from_utf8(&report.bytes).ok()?;
    let Listing { result: list } = serde_json::from_str(text).ok()?;
    let end = span_of(text, list.get())?.end - 1;
    let more = format!(",{{\"reference\":\"{result}\"}}");
    Some(edited(report, text, Edit::insert(end, more)))
}
