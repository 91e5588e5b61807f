//! Change: what happens to charts beside new versions: records go, and two patients become one.
//!
//! Comes in   the name of a record, or of two patients; the time.
//! Goes out   how many records were changed.
//! Never      a deletion that leaves references changed elsewhere: an EHR does not mend those.

use super::{Ehr, OWNER};
use crate::limits::EHR_PAGE_RECORDS_MAX;
use bytes::Bytes;
use exchange::place::parts;
use exchange::{Code, Issue, PartnerId};
use fhir::{Doc, Edits, ReferenceElement, Resource};
use jiff::Timestamp;
use repository::store_issue;
use store::{AboutQuery, Commit, House, NewVersion, Unit};

impl Ehr {
    /// Takes a record out of the chart: reads say that it is gone, and no search finds it. Says
    /// whether it was there.
    ///
    /// Errors: `EntryInvalid` for a name that is not `Type/id`; those of the store.
    pub async fn gone(&self, at: Timestamp, reference: &str) -> Result<bool, Issue> {
        let (kind, id) = name(reference)?;
        let record = self.house.record(kind, id, None).await.map_err(store_issue)?;
        if record.is_none_or(|record| record.deleted) {
            return Ok(false);
        }
        let record = NewVersion {
            kind: kind.to_owned(),
            id: id.to_owned(),
            owner: PartnerId::from(OWNER),
            receipt: "chart".to_owned(),
            lane: None,
            number: None,
            content: None,
            keys: Default::default(),
        };
        let unit = Unit { at, records: vec![record], ..Unit::default() };
        match self.house.commit(unit).await.map_err(store_issue)? {
            Commit::Done { .. } => Ok(true),
            _ => Err(Issue::new(Code::InternalError, "the store refused a deletion")),
        }
    }

    /// Makes one patient of two, as EHRs do when somebody was registered twice: what was about the
    /// one that goes is about the one that stays; the Patient that goes is inactive and says which
    /// one replaces it, and the other says whom it replaces (R4 Patient.link). Answers how many
    /// records were changed, the two Patients included.
    ///
    /// Errors: `EntryInvalid` where one of them is no Patient of the chart; those of the store.
    pub async fn merge(&self, at: Timestamp, goes: &str, stays: &str) -> Result<u64, Issue> {
        let (old, new) = (self.patient(goes).await?, self.patient(stays).await?);
        let mut changed = vec![
            linked(&old, &format!("Patient/{stays}"), "replaced-by", Some(false))?,
            linked(&new, &format!("Patient/{goes}"), "replaces", None)?,
        ];
        let mut after = None;
        loop {
            let query = AboutQuery {
                patient: goes.to_owned(),
                after: after.take(),
                limit: EHR_PAGE_RECORDS_MAX,
                ..AboutQuery::default()
            };
            let records = self.house.about(query).await.map_err(store_issue)?;
            let Some(last) = records.last() else { break };
            after = Some((last.kind.clone(), last.id.clone()));
            for record in records.iter().filter(|record| record.kind != "Patient") {
                if let Some(content) = &record.content {
                    changed.push(moved(content, goes, stays)?);
                }
            }
        }
        let loaded = super::load(&self.house, at, changed).await?;
        Ok(loaded.created + loaded.updated)
    }

    async fn patient(&self, id: &str) -> Result<Bytes, Issue> {
        let record = self.house.record("Patient", id, None).await.map_err(store_issue)?;
        record.and_then(|record| record.content).ok_or_else(|| {
            Issue::new(Code::EntryInvalid, "the chart holds no such Patient").at("Patient")
        })
    }
}

fn name(reference: &str) -> Result<(&str, &str), Issue> {
    match parts(reference) {
        Some((kind, id, None)) => Ok((kind, id)),
        _ => Err(Issue::new(Code::EntryInvalid, "a record of the chart is named Type/id")),
    }
}

fn damaged<E>(_: E) -> Issue {
    Issue::new(Code::StoreUnavailable, "a stored record cannot be read")
}

/// A Patient with one more link, and perhaps another `active`.
fn linked(patient: &Bytes, other: &str, kind: &str, active: Option<bool>) -> Result<Bytes, Issue> {
    let doc = Doc::parse(patient).map_err(damaged)?;
    let (root, mut edits) = (doc.root(), Edits::new(&doc));
    let link = format!(r#"{{"other":{{"reference":"{other}"}},"type":"{kind}"}}"#);
    let end = root.get("id").ok_or(()).map_err(damaged)?.span().end;
    let mut more = String::new();
    match root.get("link") {
        Some(links) => {
            let front = links.span().start + 1;
            edits.replace(front..front, format!("{link},"));
        }
        None => more.push_str(&format!(r#","link":[{link}]"#)),
    }
    if let Some(active) = active {
        match root.get("active") {
            Some(node) => edits.replace(node.span(), active.to_string()),
            None => more.push_str(&format!(r#","active":{active}"#)),
        }
    }
    if !more.is_empty() {
        edits.replace(end..end, more);
    }
    Ok(edits.apply().into())
}

/// A record that speaks of the other patient.
fn moved(content: &Bytes, goes: &str, stays: &str) -> Result<Bytes, Issue> {
    let resource = Resource::parse(content.clone()).map_err(damaged)?;
    let moved = resource.rewrite_references(|element, text| {
        let named = parts(text).is_some_and(|(kind, id, _)| kind == "Patient" && id == goes);
        (named && element == ReferenceElement::Reference).then(|| format!("Patient/{stays}"))
    });
    Ok(moved.bytes().clone())
}
