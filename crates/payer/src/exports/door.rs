//! Door: kick-off, poll, files and deletion of exports (Bulk Data 2.0.0), for their own reader only.
//!
//! Comes in   callers with a token, ids and names of files.
//! Goes out   202 with a place, progress, the manifest, NDJSON as it is read; deletions.
//! Never      tells another reader, or a partner, that there is such an export; never lets a file go
//!            before its line is durable.

use super::asked::Request;
use super::{Exports, manifest, read, row, whom};
use crate::limits::{
    EXPORT_FILES_AT_ONCE, EXPORTS_ASKED_MAX, EXPORTS_FULL_SECONDS, EXPORTS_READY_MAX,
};
use crate::reader::Reader;
use crate::road::Road;
use bytes::Bytes;
use exchange::export::{ASKED, Asked, Export, ExportState, READY, Wording};
use exchange::{Chain, Code, Digest, Event, Issue};
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, ETAG, RETRY_AFTER};
use repository::snapshot::{Bounds, Lines, Listed, Moment, Stood};
use repository::{Elements, Form, store_issue};
use std::sync::{Arc, PoisonError};
use store::{AnyHouse, Commit, Expect, House, StoredWork, Unit, WorkKind, WorkQuery};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::flow::{Flow, Pieces};
use wire::rest::{KickOff, PREFERENCE_APPLIED};
use wire::{Answer, BoxFuture, Caller, draw_id};

/// Takes a request for an export.
///
/// Errors: `ScopeMissing` for everybody but readers; those of the parameters, of the Group and of the
/// Patients; `RateExceeded` as an answer with the time to come again.
pub(crate) async fn kick_off(
    road: &Road,
    caller: &Caller,
    kick_off: KickOff,
) -> Result<Answer, Issue> {
    let reader = reader(caller)?;
    if !kick_off.prefer.respond_async {
        let detail = "an export is answered later: ask with Prefer: respond-async";
        return Err(Issue::new(Code::ParameterInvalid, detail).at("Prefer"));
    }
    let base = road.setup.base_url.trim_end_matches('/');
    let at = road.clock.now();
    let mut request = super::asked::read(base, &kick_off, caller, at)?;
    whom::look_for(road, &kick_off.level, &mut request, at).await?;
    let apart = request.asked.status_apart;
    let _one = road.exports.kicking.lock().await;
    if is_full(road, &reader).await? {
        let detail = "this reader has as many exports as it may; delete those it has fetched";
        let refused = Answer::from(Issue::new(Code::RateExceeded, detail));
        return Ok(refused.with(RETRY_AFTER, EXPORTS_FULL_SECONDS.to_string()));
    }
    let (asked, blobs) = kept(request)?;
    let (id, reader, asked) = (draw_id(), reader.client_id, Box::new(asked));
    let event = Event::ExportAsked { export: id.clone(), reader, asked };
    let unexpected = || Issue::new(Code::InternalError, "an export did not begin");
    let export = Export::begin(at, &event).ok_or_else(unexpected)?;
    let expects = vec![Expect::WorkRevision { id: id.clone(), revision: None }];
    let (lines, works) = (vec![(Chain::House, event)], vec![row(&export)?]);
    let unit = Unit { at, expects, lines, works, blobs, ..Unit::default() };
    done(road.house.commit(unit).await.map_err(store_issue)?)?;
    (road.setup.passed)("export-asked");
    road.exports.wake.notify_one();
    let taken = Answer::new(202, Bytes::new()).with(CONTENT_LOCATION, place(road, &id));
    Ok(match apart {
        true => taken.with(PREFERENCE_APPLIED, "respond-async, separate-export-status"),
        false => taken,
    })
}

/// What is written down of a request; what may name people is kept apart.
fn kept(request: Request) -> Result<(Asked, Vec<(Digest, Bytes)>), Issue> {
    let Request { mut asked, wording, .. } = request;
    if wording.patients.is_none() && wording.filters.is_empty() {
        asked.request = wording.request;
        return Ok((asked, Vec::new()));
    }
    let written = serde_json::to_vec(&wording).map_err(|_| {
        Issue::new(Code::InternalError, "what an export asks for cannot be written")
    })?;
    let written = Bytes::from(written);
    let digest = Digest::of(&written);
    asked.wording = Some(digest);
    Ok((asked, vec![(digest, written)]))
}

fn reader(caller: &Caller) -> Result<Reader, Issue> {
    Reader::of(caller).ok_or_else(|| {
        let detail = "exports are for the plan's own readers";
        Issue::new(Code::ScopeMissing, detail).at("Authorization")
    })
}

async fn is_full(road: &Road, reader: &Reader) -> Result<bool, Issue> {
    for (state, most) in [(ASKED, EXPORTS_ASKED_MAX), (READY, EXPORTS_READY_MAX)] {
        let query = WorkQuery {
            kind: Some(WorkKind::Export),
            states: vec![state.to_owned()],
            partner: Some(Reader::name(&reader.client_id).into()),
            limit: most,
            ..WorkQuery::default()
        };
        let found = road.house.works(query).await.map_err(store_issue)?;
        if found.len() >= most as usize {
            return Ok(true);
        }
    }
    Ok(false)
}

fn place(road: &Road, id: &str) -> String {
    format!("{}/status/{id}", road.setup.base_url.trim_end_matches('/'))
}

/// The export behind a row, where it is the caller's and can still be asked for.
fn own(road: &Road, caller: &Caller, stored: &StoredWork) -> Result<Export, Issue> {
    let unknown = || Issue::new(Code::StatusUnknown, "no export of this caller is here");
    let reader = Reader::of(caller).ok_or_else(unknown)?;
    let export = read(stored)?;
    let over = match &export.state {
        ExportState::Asked => false,
        ExportState::Ready { expires, .. } => *expires <= road.clock.now(),
        ExportState::Ended => true,
    };
    if over || export.reader != reader.client_id { Err(unknown()) } else { Ok(export) }
}

/// How an export stands: 202, then 200 with its manifest.
///
/// Errors: `StatusUnknown`; `RateExceeded` as an answer for who asks more often than told.
pub(crate) async fn poll(
    road: &Road,
    caller: &Caller,
    stored: &StoredWork,
) -> Result<Answer, Issue> {
    let export = own(road, caller, stored)?;
    if export.state == ExportState::Asked {
        return Ok(manifest::waiting(&road.exports, &export, road.clock.now()));
    }
    let wording = wording(road, &export).await?;
    let told = manifest::complete(&place(road, &export.id), &export, &wording.request, 0);
    told.ok_or_else(|| Issue::new(Code::StatusUnknown, "this export has ended"))
}

/// What an export was asked for in words.
///
/// Errors: `StatusUnknown` where they went with it; those of the store.
pub(super) async fn wording(road: &Road, export: &Export) -> Result<Wording, Issue> {
    let Some(digest) = &export.asked.wording else {
        let request = export.asked.request.clone();
        return Ok(Wording { request, ..Wording::default() });
    };
    let kept = road.house.blob(digest).await.map_err(store_issue)?;
    let kept = kept.ok_or_else(|| Issue::new(Code::StatusUnknown, "this export has ended"))?;
    serde_json::from_slice(&kept)
        .map_err(|_| Issue::new(Code::StoreUnavailable, "what an export asks for cannot be read"))
}

/// A file of the manifest, read from the store while it is taken.
///
/// Errors: `StatusUnknown`; `ScopeMissing` where the token does not cover its type; `HouseBusy` where
/// the reader fetches as many files as it may at once.
pub(crate) async fn file(
    road: &Road,
    caller: &Caller,
    stored: &StoredWork,
    name: &str,
) -> Result<Answer, Issue> {
    let export = own(road, caller, stored)?;
    let unknown = || Issue::new(Code::StatusUnknown, "the export has no such file");
    let ExportState::Ready { as_of, files, .. } = &export.state else { return Err(unknown()) };
    if let Some(page) = manifest::page(name) {
        let wording = wording(road, &export).await?;
        let place = place(road, &export.id);
        return manifest::complete(&place, &export, &wording.request, page).ok_or_else(unknown);
    }
    let ndjson = |answer: Answer| answer.with(CONTENT_TYPE, "application/fhir+ndjson");
    if name == manifest::MESSAGES {
        let lines = manifest::messages(&export).join(&b'\n');
        let lines =
            if lines.is_empty() { return Err(unknown()) } else { [&lines[..], b"\n"].concat() };
        return Ok(ndjson(Answer::new(200, lines)));
    }
    let file = files.iter().find(|file| file.name == name).ok_or_else(unknown)?;
    match (file.kind.as_str(), &export.asked.kinds) {
        ("", Some(kinds)) => {
            let held = kinds.iter().map(String::as_str).chain(["Patient"]);
            held.into_iter().try_for_each(|kind| caller.require(kind, 'r'))?;
        }
        ("", None) => caller.require_scope("system/*.rs")?,
        (kind, _) => caller.require(kind, 'r')?,
    }
    let place = turn(&road.exports, &export.reader)?;
    let fetched = Event::ExportFetched { export: export.id.clone(), file: name.to_owned() };
    let lines = vec![(Chain::House, fetched)];
    let unit = Unit { at: road.clock.now(), lines, ..Unit::default() };
    done(road.house.commit(unit).await.map_err(store_issue)?)?;
    let gives = if file.deleted { Stood::Deleted } else { Stood::There };
    let form = Form {
        elements: elements(&export)?,
        base: road.setup.base_url.trim_end_matches('/').to_owned(),
    };
    let lines = match &file.listed {
        Some(list) => {
            Chosen::Listed(Listed::open(road.house.clone(), list, file.deleted, form).await?)
        }
        None => {
            let moment =
                Moment { as_of: *as_of, since: export.asked.since, until: export.asked.until };
            let (after, through) = (file.after.clone(), file.through.clone());
            let bounds = Bounds { after, through, count: file.count };
            let house = road.house.clone();
            let lines = Lines::new(house, moment, &file.kind, bounds, gives, form);
            Chosen::Range(Box::new(lines))
        }
    };
    // What was listed does not change: the same name gives the same bytes, or breaks off.
    let tag = format!("\"{}-{name}\"", export.id);
    let fetched = Flow::of(Fetched { lines, _place: place });
    Ok(ndjson(Answer::flowing(200, fetched)).with(ETAG, tag))
}

/// The elements that an export gives; `None`: all.
fn elements(export: &Export) -> Result<Option<Elements>, Issue> {
    let mut elements = Elements::default();
    export.asked.elements.iter().try_for_each(|name| elements.add(name))?;
    Ok((!export.asked.elements.is_empty()).then_some(elements))
}

/// One of the files that a reader may fetch at once.
fn turn(exports: &Exports, reader: &str) -> Result<OwnedSemaphorePermit, Issue> {
    let mut places = exports.places.lock().unwrap_or_else(PoisonError::into_inner);
    let own = places.entry(reader.to_owned());
    let own = own.or_insert_with(|| Arc::new(Semaphore::new(EXPORT_FILES_AT_ONCE)));
    let busy =
        |_| Issue::new(Code::HouseBusy, "this reader fetches as many files as it may at once");
    Arc::clone(own).try_acquire_owned().map_err(busy)
}

/// How the records of a file were chosen.
enum Chosen {
    Range(Box<Lines<AnyHouse>>),
    Listed(Listed<AnyHouse>),
}

struct Fetched {
    lines: Chosen,
    _place: OwnedSemaphorePermit,
}

impl Pieces for Fetched {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
        Box::pin(async {
            match &mut self.lines {
                Chosen::Range(lines) => lines.piece().await,
                Chosen::Listed(lines) => lines.piece().await,
            }
        })
    }
}

/// Its reader wants no more of an export: 202, and from then on it is unknown.
///
/// Errors: `StatusUnknown`; `HouseBusy` where it changes just now.
pub(crate) async fn end(
    road: &Road,
    caller: &Caller,
    stored: &StoredWork,
) -> Result<Answer, Issue> {
    let mut export = own(road, caller, stored)?;
    let at = road.clock.now();
    super::forget(road, &export, at).await?;
    let event = Event::ExportEnded { export: export.id.clone(), expired: false };
    export.apply(at, &event);
    let expects = vec![stored.unchanged()];
    let (lines, works) = (vec![(Chain::House, event)], vec![row(&export)?]);
    let unit = Unit { at, expects, lines, works, ..Unit::default() };
    done(road.house.commit(unit).await.map_err(store_issue)?)?;
    road.exports.forget(&export.id);
    Ok(Answer::new(202, Bytes::new()))
}

fn done(commit: Commit) -> Result<(), Issue> {
    match commit {
        Commit::Done { .. } => Ok(()),
        _ => Err(Issue::new(Code::HouseBusy, "the export was changed meanwhile")),
    }
}
