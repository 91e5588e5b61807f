//! Door: kick-off, poll, files and deletion of exports (Bulk Data 2.0.0), for their own reader only.
//!
//! Comes in   callers with a token, ids and names of files.
//! Goes out   202 with a place, progress, the manifest, NDJSON as it is read; deletions.
//! Never      tells another reader, or a partner, that there is such an export; never lets a file go
//!            before its line is durable.

use super::{Exports, read, row};
use crate::limits::{
    EXPORT_FILES_AT_ONCE, EXPORT_POLL, EXPORT_POLL_SECONDS, EXPORTS_ASKED_MAX,
    EXPORTS_FULL_SECONDS, EXPORTS_READY_MAX,
};
use crate::reader::Reader;
use crate::road::Road;
use crate::under_way::back;
use bytes::Bytes;
use exchange::export::{ASKED, Export, ExportFile, ExportState, Level, READY};
use exchange::{Chain, Code, Event, Issue};
use http::header::{CONTENT_LOCATION, CONTENT_TYPE, EXPIRES, HeaderName, RETRY_AFTER};
use jiff::Timestamp;
use repository::snapshot::{Lines, Moment, Stood};
use repository::{http_date, store_issue};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use store::{AnyHouse, Commit, Expect, House, StoredWork, Unit, WorkKind, WorkQuery};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::flow::{Flow, Pieces};
use wire::rest::KickOff;
use wire::{Answer, BoxFuture, Caller, draw_id};

/// The file of a manifest that holds messages.
const MESSAGES: &str = "messages.ndjson";

/// Takes a request for an export.
///
/// Errors: `ScopeMissing` for everybody but readers; `ResourceUnknown` for a Group; those of the
/// parameters; `RateExceeded` as an answer with the time to come again.
pub(crate) async fn kick_off(
    road: &Road,
    caller: &Caller,
    kick_off: KickOff,
) -> Result<Answer, Issue> {
    let reader = reader(caller)?;
    if let Level::Group(_) = kick_off.level {
        return Err(Issue::new(Code::ResourceUnknown, "this house has no Groups yet").at("Group"));
    }
    if !kick_off.prefer.respond_async {
        let detail = "an export is answered later: ask with Prefer: respond-async";
        return Err(Issue::new(Code::ParameterInvalid, detail).at("Prefer"));
    }
    let base = road.setup.base_url.trim_end_matches('/');
    let at = road.clock.now();
    let asked = super::asked::read(base, &kick_off, caller, at)?;
    let _one = road.exports.kicking.lock().await;
    if is_full(road, &reader).await? {
        let detail = "this reader has as many exports as it may; delete those it has fetched";
        let refused = Answer::from(Issue::new(Code::RateExceeded, detail));
        return Ok(refused.with(RETRY_AFTER, EXPORTS_FULL_SECONDS.to_string()));
    }
    let (id, reader, asked) = (draw_id(), reader.client_id, Box::new(asked));
    let event = Event::ExportAsked { export: id.clone(), reader, asked };
    let unexpected = || Issue::new(Code::InternalError, "an export did not begin");
    let export = Export::begin(at, &event).ok_or_else(unexpected)?;
    let expects = vec![Expect::WorkRevision { id: id.clone(), revision: None }];
    let (lines, works) = (vec![(Chain::House, event)], vec![row(&export)?]);
    let unit = Unit { at, expects, lines, works, ..Unit::default() };
    done(road.house.commit(unit).await.map_err(store_issue)?)?;
    (road.setup.passed)("export-asked");
    road.exports.wake.notify_one();
    Ok(Answer::new(202, Bytes::new()).with(CONTENT_LOCATION, place(road, &id)))
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
pub(crate) fn poll(road: &Road, caller: &Caller, stored: &StoredWork) -> Result<Answer, Issue> {
    let export = own(road, caller, stored)?;
    let ExportState::Ready { expires, .. } = &export.state else {
        return Ok(waiting(&road.exports, &export.id, road.clock.now()));
    };
    let manifest = manifest(&place(road, &export.id), &export).to_string();
    Ok(Answer::new(200, manifest)
        .with(CONTENT_TYPE, "application/json")
        .with(EXPIRES, http_date(*expires)))
}

fn waiting(exports: &Exports, id: &str, now: Timestamp) -> Answer {
    let mut progress = exports.progress();
    let known = progress.entry(id.to_owned()).or_default();
    let again = EXPORT_POLL_SECONDS.to_string();
    if known.polled.is_some_and(|polled| polled > back(now, EXPORT_POLL)) {
        let detail = "this status was asked for a moment ago";
        return Answer::from(Issue::new(Code::RateExceeded, detail)).with(RETRY_AFTER, again);
    }
    known.polled = Some(now);
    let words = match known.counted {
        0 => "waiting for its turn".to_owned(),
        counted => format!("{counted} records looked at"),
    };
    Answer::new(202, Bytes::new())
        .with(HeaderName::from_static("x-progress"), words)
        .with(RETRY_AFTER, again)
}

fn manifest(place: &str, export: &Export) -> Value {
    let ExportState::Ready { as_of, files, .. } = &export.state else { return Value::Null };
    let url = |name: &str| format!("{place}/{name}");
    let list = |deleted: bool| -> Value {
        let files = files.iter().filter(|file| file.deleted == deleted);
        let kind =
            |file: &ExportFile| if deleted { "Bundle".to_owned() } else { file.kind.clone() };
        let item = |file: &ExportFile| json!({ "type": kind(file), "url": url(&file.name), "count": file.count });
        files.map(item).collect()
    };
    let error = match messages(export).len() {
        0 => json!([]),
        count => json!([{ "type": "OperationOutcome", "url": url(MESSAGES), "count": count }]),
    };
    json!({
        "transactionTime": as_of.to_string(),
        "request": export.asked.request,
        "requiresAccessToken": true,
        "output": list(false),
        "deleted": list(true),
        "error": error,
    })
}

/// What is to be said of an export: an OperationOutcome a line.
fn messages(export: &Export) -> Vec<Vec<u8>> {
    let nothing = BTreeMap::new();
    let left_out = match &export.state {
        ExportState::Ready { left_out, .. } => left_out,
        _ => &nothing,
    };
    let left_out = left_out.iter().map(|(kind, count)| {
        let detail = format!("{count} records of the type {kind} are not in this export");
        Issue::new(Code::ContentPurged, detail)
    });
    let passed_over = export.asked.passed_over.iter().map(|name| {
        let detail = "this was passed over, as Prefer: handling=lenient asks for";
        Issue::new(Code::ParameterUnsupported, detail).at(name)
    });
    left_out.chain(passed_over).map(|issue| Issue::outcome([&issue])).collect()
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
    let ndjson = |answer: Answer| answer.with(CONTENT_TYPE, "application/fhir+ndjson");
    if name == MESSAGES {
        let lines = messages(&export).join(&b'\n');
        let lines =
            if lines.is_empty() { return Err(unknown()) } else { [&lines[..], b"\n"].concat() };
        return Ok(ndjson(Answer::new(200, lines)));
    }
    let file = files.iter().find(|file| file.name == name).ok_or_else(unknown)?;
    caller.require(&file.kind, 'r')?;
    let place = turn(&road.exports, &export.reader)?;
    let fetched = Event::ExportFetched { export: export.id.clone(), file: name.to_owned() };
    let lines = vec![(Chain::House, fetched)];
    let unit = Unit { at: road.clock.now(), lines, ..Unit::default() };
    done(road.house.commit(unit).await.map_err(store_issue)?)?;
    let moment = Moment { as_of: *as_of, since: export.asked.since, until: export.asked.until };
    let gives = if file.deleted { Stood::Deleted } else { Stood::There };
    let bounds = (file.after.as_deref(), file.through.as_str());
    let lines = Lines::new(road.house.clone(), moment, &file.kind, bounds, gives);
    Ok(ndjson(Answer::flowing(200, Flow::of(Fetched { lines, _place: place }))))
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

struct Fetched {
    lines: Lines<AnyHouse>,
    _place: OwnedSemaphorePermit,
}

impl Pieces for Fetched {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Issue>> {
        Box::pin(self.lines.piece())
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
    let event = Event::ExportEnded { export: export.id.clone(), expired: false };
    export.apply(at, &event);
    let (id, revision) = (export.id.clone(), Some(stored.revision));
    let expects = vec![Expect::WorkRevision { id, revision }];
    let (lines, works) = (vec![(Chain::House, event)], vec![row(&export)?]);
    let unit = Unit { at, expects, lines, works, ..Unit::default() };
    done(road.house.commit(unit).await.map_err(store_issue)?)?;
    road.exports.progress().remove(&export.id);
    Ok(Answer::new(202, Bytes::new()))
}

fn done(commit: Commit) -> Result<(), Issue> {
    match commit {
        Commit::Done { .. } => Ok(()),
        _ => Err(Issue::new(Code::HouseBusy, "the export was changed meanwhile")),
    }
}
