//! Whom: the Patients whose records an export gives.
//!
//! Comes in   a Group and Patients as a kick-off named them; later, what was written down of it.
//! Goes out   their logical ids, sorted.
//! Never      anybody who was not named, or who is no member of the Group.
//!
//! Bulk Data 2.0.0, group of patients, `patient`.

use super::asked::Request;
use crate::limits::EXPORT_HEADS_TOGETHER;
use crate::road::Road;
use exchange::export::{Export, Level, Wording};
use exchange::{Code, Issue};
use jiff::Timestamp;
use repository::{Members, members, store_issue};
use std::collections::BTreeSet;
use store::House;

/// Looks whether those whom a kick-off names are here, and writes down who counts.
///
/// Errors: `ResourceUnknown`, `ResourceDeleted` and `ContentPurged` for the Group, `ParameterUnsupported`
/// for one that lists nobody; `ParameterInvalid` where a Patient is not here, or is no member.
pub(super) async fn look_for(
    road: &Road,
    level: &Level,
    request: &mut Request,
    at: Timestamp,
) -> Result<(), Issue> {
    let mut of_group = None;
    if let Level::Group(id) = level {
        let name = [("Group".to_owned(), id.clone())];
        let head = road.house.heads(&name).await.map_err(store_issue)?.pop().flatten();
        let unknown = || Issue::new(Code::ResourceUnknown, "there is no such Group").at("Group");
        let head = head.ok_or_else(unknown)?;
        if head.deleted {
            return Err(Issue::new(Code::ResourceDeleted, "this Group was withdrawn").at("Group"));
        }
        let group = (id.clone(), head.version);
        let found = of(road, &group, at).await?;
        let purged = || Issue::new(Code::ContentPurged, "this Group's time is over").at("Group");
        of_group = Some(found.ok_or_else(purged)?.patients);
        request.asked.group = Some(group);
    }
    let Some(named) = request.patients.take() else { return Ok(()) };
    let mut here = Vec::with_capacity(named.len());
    let all: Vec<_> = named.into_iter().map(|id| ("Patient".to_owned(), id)).collect();
    for some in all.chunks(EXPORT_HEADS_TOGETHER) {
        let heads = road.house.heads(some).await.map_err(store_issue)?;
        for (head, (_, id)) in heads.into_iter().zip(some) {
            let stands = head.is_some_and(|head| !head.deleted);
            let counts = stands && of_group.as_ref().is_none_or(|members| members.contains(id));
            match counts {
                true => here.push(id.clone()),
                false if request.lenient => request.asked.passed_over.push("patient".to_owned()),
                false => {
                    let detail = "one of these Patients is not here, or is no member of the Group";
                    return Err(Issue::new(Code::ParameterInvalid, detail).at("patient"));
                }
            }
        }
    }
    request.wording.patients = Some(here);
    Ok(())
}

/// Whose records an export gives; `None`: everybody's. And how many members of its Group are nobody
/// here; no list of members where the Group was purged since.
///
/// Errors: those of the store.
pub(super) async fn chosen(
    road: &Road,
    export: &Export,
    wording: &Wording,
) -> Result<(Option<BTreeSet<String>>, Option<Members>), Issue> {
    let named = wording.patients.as_ref().map(|ids| ids.iter().cloned().collect::<BTreeSet<_>>());
    let Some(group) = &export.asked.group else { return Ok((named, None)) };
    let Some(members) = of(road, group, export.at).await? else {
        return Ok((Some(BTreeSet::new()), None));
    };
    let counts = |id: &&String| named.as_ref().is_none_or(|named| named.contains(*id));
    let patients = members.patients.iter().filter(counts).cloned().collect();
    Ok((Some(patients), Some(members)))
}

/// The members of a version of a Group at a moment; `None` where its content is gone.
async fn of(
    road: &Road,
    (id, version): &(String, u64),
    at: Timestamp,
) -> Result<Option<Members>, Issue> {
    let found = road.house.record("Group", id, Some(*version)).await.map_err(store_issue)?;
    let Some(content) = found.and_then(|record| record.content) else { return Ok(None) };
    let base = road.setup.base_url.trim_end_matches('/');
    members(&content, base, at).map(Some)
}
