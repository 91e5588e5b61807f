//! Receiving: one receipt, from its manifest to the last line of its last file.
//!
//! Comes in   a receipt and the lease on its row.
//! Goes out   batches, each filed with its checkpoint; at last the word that all is fetched.
//! Never      waits in place for a server that does not answer: the row says when to go on.
//!
//! Three things go on at once: a file is downloaded and split, the batch before is read on a thread for
//! work and what stands of its records is looked up, and the one before that is filed. Between them one
//! batch waits at most, so that memory is some batches whatever the size of the files.

use super::again::again;
use super::fetched::Fetching;
use super::filing::{Batch, Job, Source};
use super::lines::{Is, ReadLine, Reader};
use super::listing::{self, List, ListStep, Listed, NoList};
use super::look::Look;
use super::status::stored;
use super::{Stop, receipt_row, received_row};
use crate::arrival::keep;
use crate::limits::{BULK_BATCH_BYTES, BULK_BATCH_LINES, BULK_RESTARTS_MAX, STALE_ROUNDS_MAX};
use crate::road::Road;
use crate::setup::Sender;
use bytes::Bytes;
use exchange::bulk::outcome::refused;
use exchange::bulk::receipt::{Place, Receipt};
use exchange::bulk::received::{Received, Step};
use exchange::bulk::{ManifestRef, SubmitRequest};
use exchange::{Code, Digest, Event, Issue};
use repository::store_issue;
use std::time::Duration;
use store::{Commit, Expect, House, Lease, Unit};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use wire::fetch::{Download, Fault, Line};

/// Takes a receipt as far as it goes.
pub(super) async fn receive(road: &Road, lease: &Lease, receipt: Receipt) -> Result<(), Stop> {
    let Some(sender) = sender(road, &receipt) else {
        return orphaned(road, lease, receipt, None).await;
    };
    let body = stored(&road.house, &receipt.request).await?;
    let request = SubmitRequest::read(body).map_err(|issues| issues.first)?;
    let no_manifest = || Issue::new(Code::InternalError, "a receipt's request has no manifest");
    let manifest = request.manifest.as_ref().ok_or_else(no_manifest)?;
    let received = received(road, &receipt).await?.0;
    let mut job = Job::new(road, sender, &lease.fence, receipt, &received);
    let Some(server) = &sender.files else {
        let issue = Issue::new(Code::FileNotAgreed, "no file server is agreed on with this sender");
        return failed(&mut job, issue.at("manifestUrl")).await;
    };
    job.unless_suspended().await?;
    let mut fetching = Fetching::new(server, manifest)?;
    let Some(list) = list(&mut job, &mut fetching, manifest).await? else { return Ok(()) };
    while let Some(step) = list.steps.get(job.receipt.place.step as usize) {
        match step {
            ListStep::File(listed) => file(&mut job, &mut fetching, listed).await?,
            ListStep::Again => again(&mut job, false, &[]).await?,
        }
    }
    let waits = !job.receipt.staged.is_empty();
    let mut unit = job.unit();
    let counted = (!waits).then(|| job.counted(&mut unit));
    let events = counted.into_iter().chain([Step::Fetched { waits }.into()]).collect();
    ended(&mut job, unit, events).await
}

pub(super) fn sender<'r>(road: &'r Road, receipt: &Receipt) -> Option<&'r Sender> {
    road.sender(&receipt.sender)
}

/// Ends a receipt whose sender is no longer a partner: nobody is left to fetch from or to tell. `revision`
/// is that of its row where the lease is on its submission's.
pub(super) async fn orphaned(
    road: &Road,
    lease: &Lease,
    mut receipt: Receipt,
    revision: Option<u64>,
) -> Result<(), Stop> {
    let issue = Issue::new(Code::PartnerUnknown, "the sender is no longer a partner");
    tracing::warn!(receipt = %receipt.id, %issue, "bulk submission");
    let (mut received, own) = received(road, &receipt).await?;
    let at = road.clock.now();
    let mut unit = Unit { at, fence: Some(lease.fence.clone()), ..Unit::default() };
    let mut told = refused(received.dialect, &[], [&issue]);
    told.push(b'\n');
    let told = keep(&mut unit, told);
    let failed: Event = Step::Failed { issue, told }.into();
    let pages = receipt.apply(at, &failed);
    unit.blobs.extend(pages.into_iter().map(|(digest, text)| (digest, text.into())));
    unit.lines.push((receipt.chain(), failed));
    unit.works.push(receipt_row(&receipt)?);
    match revision {
        Some(revision) => {
            let (id, revision) = (receipt.id.to_string(), Some(revision));
            unit.expects.push(Expect::WorkRevision { id, revision });
        }
        None => {
            let said: Event = Step::ReceiptEnded { receipt: receipt.number }.into();
            received.apply(at, &said);
            let (id, revision) = (received.id.to_string(), Some(own));
            unit.expects.push(Expect::WorkRevision { id, revision });
            unit.lines.push((received.chain(), said));
            unit.works.push(received_row(&received)?);
        }
    }
    match road.house.commit(unit).await.map_err(store_issue)? {
        Commit::Done { .. } => Ok(()),
        _ => Err(Stop::Overtaken),
    }
}

/// The submission of a receipt, and its row's revision.
async fn received(road: &Road, receipt: &Receipt) -> Result<(Received, u64), Issue> {
    let gone = || Issue::new(Code::StoreUnavailable, "the submission of a receipt is missing");
    let stored = road.house.work(receipt.submission.as_str()).await.map_err(store_issue)?;
    let stored = stored.ok_or_else(gone)?;
    match super::read(&stored)? {
        super::Row::Received(received) => Ok((*received, stored.revision)),
        super::Row::Receipt(_) => Err(gone()),
    }
}

/// The list of a receipt's files: stored, or fetched and stored. `None` where it ended without one.
async fn list(
    job: &mut Job<'_>,
    fetching: &mut Fetching<'_>,
    manifest: &ManifestRef,
) -> Result<Option<List>, Stop> {
    if let Some(list) = &job.receipt.list {
        let text = stored(&job.road.house, list).await?;
        let unreadable = |_| Issue::new(Code::StoreUnavailable, "a list of files cannot be read");
        return Ok(Some(serde_json::from_slice(&text).map_err(unreadable)?));
    }
    let list = match listing::list(fetching, &manifest.url).await {
        Ok(list) => list,
        Err(NoList::Fault(fault)) => {
            let issue = fault.issue("manifestUrl");
            return match fault.pause(job.receipt.failures + 1) {
                Some(pause) => put_off(job, pause, issue).await,
                None => failed(job, issue).await.map(|()| None),
            };
        }
        Err(NoList::Invalid(issue)) => return failed(job, issue).await.map(|()| None),
    };
    let unwritable = |_| Issue::new(Code::InternalError, "a list of files cannot be written");
    let text = serde_json::to_vec(&list).map_err(unwritable)?;
    let files = list.steps.iter().filter(|step| matches!(step, ListStep::File(_))).count() as u64;
    let listed = Step::Listed { list: Digest::of(&text), files, pages: list.pages };
    let mut unit = job.unit();
    unit.blobs.push((Digest::of(&text), text.into()));
    job.commit(unit, vec![listed.into()]).await?;
    (job.road.setup.passed)("bulk-listed");
    Ok(Some(list))
}

/// Nothing of the receipt can be fetched.
async fn failed(job: &mut Job<'_>, issue: Issue) -> Result<(), Stop> {
    let mut unit = job.unit();
    let told = job.told_of_manifest(&mut unit, &issue);
    ended(job, unit, vec![Step::Failed { issue, told }.into()]).await
}

/// Puts the receipt off.
async fn put_off<T>(job: &mut Job<'_>, pause: Duration, issue: Issue) -> Result<T, Stop> {
    let unit = job.unit();
    let until = unit.at.checked_add(pause).unwrap_or(unit.at);
    job.commit(unit, vec![Step::Delayed { until, issue }.into()]).await?;
    Err(Stop::PutOff(pause))
}

/// The last lines of a receipt that is fetched, in one unit with its submission's.
async fn ended(job: &mut Job<'_>, unit: Unit, events: Vec<Event>) -> Result<(), Stop> {
    for _ in 0..STALE_ROUNDS_MAX {
        let (mut received, revision) = received(job.road, &job.receipt).await?;
        let mut unit = unit.clone();
        let said: Event = Step::ReceiptEnded { receipt: job.receipt.number }.into();
        received.apply(unit.at, &said);
        let (id, revision) = (received.id.to_string(), Some(revision));
        unit.expects.push(Expect::WorkRevision { id, revision });
        unit.lines.push((received.chain(), said));
        unit.works.push(received_row(&received)?);
        if job.try_commit(unit, events.clone()).await? {
            (job.road.setup.passed)("bulk-fetched");
            job.road.exports.wake();
            return Ok(());
        }
    }
    Err(Issue::new(Code::HouseBusy, "the submission kept changing").into())
}

/// Reads a file to its end.
async fn file(job: &mut Job<'_>, fetching: &mut Fetching<'_>, listed: &Listed) -> Result<(), Stop> {
    if let Some(issue) = listed.too_large() {
        return job.skip(issue).await;
    }
    let from = job.mark();
    let download = match fetching.open(listed, from).await {
        Ok(download) => download,
        Err(fault) => return faulty(job, fault, listed).await,
    };
    let reader = job.reader(listed);
    let step = job.receipt.place.step;
    let (send, batches) = mpsc::channel(1);
    let reading = read_all(job.road, download, reader, (step, listed), send);
    let filed = file_all(job, batches);
    let (read, filed) = tokio::join!(reading, filed);
    match (filed?, read) {
        (Some(fault), _) => faulty(job, fault, listed).await,
        (None, Ok(())) => Ok(()),
        // The same lines would end the next thread as well.
        (None, Err(error)) if error.is_panic() => {
            let detail = "the house could not read on in this file";
            job.skip(Issue::new(Code::InternalError, detail).at(&listed.place)).await
        }
        (None, Err(_)) => Err(Issue::new(Code::InternalError, "the house is stopping").into()),
    }
}

/// Files batches as they come; the fault with which they end. Once nothing can be filed any more, the
/// download ends too.
async fn file_all(
    job: &mut Job<'_>,
    mut batches: mpsc::Receiver<Result<Batch, Fault>>,
) -> Result<Option<Fault>, Stop> {
    while let Some(batch) = batches.recv().await {
        match batch {
            Ok(batch) => {
                job.unless_suspended().await?;
                job.file(batch, Look::TO_COME).await?;
            }
            Err(fault) => return Ok(Some(fault)),
        }
    }
    Ok(None)
}

/// Downloads a file and reads its lines in batches, the next one while the last is being filed.
async fn read_all(
    road: &Road,
    mut download: Download,
    reader: Reader,
    (step, listed): (u32, &Listed),
    send: mpsc::Sender<Result<Batch, Fault>>,
) -> Result<(), JoinError> {
    let mut before: Option<tokio::task::JoinHandle<Batch>> = None;
    loop {
        let gathered = gather(&mut download).await;
        if let Some(before) = before.take() {
            let batch = with_heads(road, before.await?).await;
            if send.send(Ok(batch)).await.is_err() {
                return Ok(());
            }
        }
        let (lines, end, fault) = match gathered {
            Gathered::Full(lines) => (lines, false, None),
            Gathered::End(lines) => (lines, true, None),
            // An attempt that brought nothing leaves no line, so that it counts as one.
            Gathered::Broken(lines, fault) if lines.is_empty() => {
                send.send(Err(fault)).await.ok();
                return Ok(());
            }
            Gathered::Broken(lines, fault) => (lines, false, Some(fault)),
        };
        let place = download.place();
        let behind = match end {
            true => Place::at(step + 1),
            false => Place { line: place.lines, offset: place.bytes, ..Place::at(step) },
        };
        let length = download.length();
        let edition = place.edition.clone();
        let source = Source::File { edition, listed: listed.clone(), length };
        let mark = (!end).then_some(place);
        let reader = reader.clone();
        before = Some(tokio::task::spawn_blocking(move || {
            let lines: Vec<ReadLine> = reader.read(lines);
            Batch { lines, heads: Vec::new(), behind, mark, end, source }
        }));
        if end || fault.is_some() {
            let Some(last) = before.take() else { return Ok(()) };
            let batch = with_heads(road, last.await?).await;
            if send.send(Ok(batch)).await.is_ok()
                && let Some(fault) = fault
            {
                send.send(Err(fault)).await.ok();
            }
            return Ok(());
        }
    }
}

/// Looks up what stands of a batch's records while the batch before is filed. What that one changes is
/// found when the unit is written, and looked up again.
async fn with_heads(road: &Road, batch: Batch) -> Batch {
    let puts = batch.lines.iter().filter_map(|line| match &line.is {
        Is::Put(put) => Some((put.kind().to_owned(), put.alone.id.clone())),
        _ => None,
    });
    let names: Vec<_> = puts.collect();
    // A store that does not answer is asked again when the batch is filed, and then says why.
    let heads = road.house.heads(&names).await.unwrap_or_default();
    Batch { heads, ..batch }
}

enum Gathered {
    Full(Vec<Line>),
    End(Vec<Line>),
    Broken(Vec<Line>, Fault),
}

async fn gather(download: &mut Download) -> Gathered {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    loop {
        match download.next().await {
            Ok(Some(line)) => {
                bytes += line.text.as_ref().map_or(0, Bytes::len);
                lines.push(line);
                if lines.len() >= BULK_BATCH_LINES || bytes >= BULK_BATCH_BYTES {
                    return Gathered::Full(lines);
                }
            }
            Ok(None) => return Gathered::End(lines),
            Err(fault) => return Gathered::Broken(lines, fault),
        }
    }
}

/// A file that cannot be read (any further): later, from its beginning, or not at all; then its
/// submitter is told, and the next one comes.
async fn faulty(job: &mut Job<'_>, fault: Fault, listed: &Listed) -> Result<(), Stop> {
    let issue = fault.issue(&listed.place);
    if fault == Fault::Changed && job.receipt.restarts < BULK_RESTARTS_MAX {
        let unit = job.unit();
        job.commit(unit, vec![Step::Restarted { issue }.into()]).await?;
        return Ok(());
    }
    if let Some(pause) = fault.pause(job.receipt.failures + 1) {
        return put_off(job, pause, issue).await;
    }
    job.skip(issue).await
}
