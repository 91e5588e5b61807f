//! Again: another look at lines that wait for their Patients.
//!
//! Comes in   a receipt of whose lines some wait; what waits of other manifests of its submission.
//! Goes out   those filed whose Patients are members now; at the last look the others are told of.
//! Never      ends with a line that was neither filed nor told of; holds more Coverages than
//!            `BULK_COVERAGES_BYTES`, or a few more.
//!
//! A Patient and the Coverage that names the member may wait in different batches, and in different
//! manifests: so Coverages that wait are gathered first, from all of them. Where they are too many, the
//! Patients are parted into shares by their ids, and each share has a look of its own with all of its
//! Coverages.

use super::filing::{Batch, Job, Source};
use super::lines::{Is, ReadLine};
use super::look::{Look, Share};
use super::status::Contents;
use super::{Row, Stop, read};
use crate::limits::COVERAGES_MAX;
use crate::road::Road;
use bytes::Bytes;
use exchange::bulk::receipt::{Place, ReceiptState, Roll};
use exchange::bulk::received::{Received, Step, receipt_id};
use exchange::read::About;
use exchange::{Code, Issue};
use repository::store_issue;
use store::House;
use wire::fetch::Line;

/// Looks again at what waits of a receipt; `beside`: what waits of others. `last`: what cannot be filed now
/// is told of.
pub(super) async fn again(job: &mut Job<'_>, last: bool, beside: &[Roll]) -> Result<(), Stop> {
    if job.receipt.again.is_none() {
        if job.receipt.staged.is_empty() {
            let unit = job.unit();
            return job.commit(unit, vec![Step::Looked {}.into()]).await;
        }
        begin(job).await?;
    }
    loop {
        let bytes = gather(job, beside, Share::ALL).await?;
        let of = (bytes / job.road.bulk.coverages + 1) as u64;
        for number in 0..of {
            let share = Share { number, of };
            if of > 1 {
                gather(job, beside, share).await?;
            }
            if number > 0 {
                begin(job).await?;
            }
            let roll = job.receipt.again.clone().unwrap_or_default();
            look(job, roll, Look { last, share }).await?;
        }
        job.waiting.clear();
        // A look that was cut off, or a Patient that is gone since, leaves some for another round.
        if !last || job.receipt.staged.is_empty() {
            let unit = job.unit();
            return job.commit(unit, vec![Step::Looked {}.into()]).await;
        }
        begin(job).await?;
    }
}

/// What waits of the other receipts of a submission.
pub(super) async fn waiting(road: &Road, received: &Received, but: u32) -> Result<Vec<Roll>, Stop> {
    let mut rolls = Vec::new();
    for number in (1..received.next_number()).filter(|number| *number != but) {
        let id = receipt_id(&received.id, number);
        let stored = road.house.work(id.as_str()).await.map_err(store_issue)?;
        let Some(stored) = stored else { continue };
        if let Row::Receipt(receipt) = read(&stored)?
            && receipt.state == ReceiptState::Waiting
        {
            rolls.extend([receipt.staged].into_iter().chain(receipt.again));
        }
    }
    Ok(rolls)
}

async fn begin(job: &mut Job<'_>) -> Result<(), Stop> {
    let unit = job.unit();
    job.commit(unit, vec![Step::Again {}.into()]).await
}

/// Files what of a roll can be filed now.
async fn look(job: &mut Job<'_>, roll: Roll, look: Look) -> Result<(), Stop> {
    let mut contents = Contents::of(job.road.house.clone(), roll);
    let mut done = 0;
    while let Some(content) = contents.content().await? {
        done += 1;
        if done <= job.receipt.place.line {
            continue;
        }
        let lines = read_stored(job, content).await?;
        let behind = Place { line: done, ..job.receipt.place };
        let (mark, heads, source) = (None, Vec::new(), Source::Stored);
        let batch = Batch { lines, heads, behind, mark, end: false, source };
        job.file(batch, look).await?;
    }
    Ok(())
}

/// Reads lines that waited, on a thread for work.
async fn read_stored(job: &Job<'_>, content: Bytes) -> Result<Vec<ReadLine>, Stop> {
    let reader = job.stored_reader();
    let read = tokio::task::spawn_blocking(move || reader.read(split(&content))).await;
    read.map_err(|error| {
        tracing::error!(%error, "lines that wait");
        Issue::new(Code::InternalError, "lines that wait could not be read").into()
    })
}

/// Gathers Coverages that wait, of a share of the Patients; how many bytes of them there are. Behind twice
/// what is to be held, the others of an uneven share are left out, and told of as without a Coverage.
async fn gather(job: &mut Job<'_>, beside: &[Roll], share: Share) -> Result<usize, Stop> {
    job.waiting.clear();
    let most = job.road.bulk.coverages.saturating_mul(2);
    let mut bytes = 0;
    let own = [job.receipt.again.clone(), Some(job.receipt.staged.clone())];
    for roll in own.into_iter().flatten().chain(beside.iter().cloned()) {
        let mut contents = Contents::of(job.road.house.clone(), roll);
        while let Some(content) = contents.content().await? {
            for line in read_stored(job, content).await? {
                let Is::Put(put) = line.is else { continue };
                let About::Patient(patient) = &put.alone.about else { continue };
                if put.alone.resource.kind() != "Coverage" || !share.has(patient) {
                    continue;
                }
                bytes += line.text.len();
                let of_one = job.waiting.entry(patient.clone()).or_default();
                if bytes <= most && of_one.len() < COVERAGES_MAX as usize {
                    // In bytes of its own: the content that it stands in can go.
                    of_one.push(put.alone.resource.apart());
                }
            }
        }
    }
    Ok(bytes)
}

/// The lines of a stored content.
fn split(content: &Bytes) -> Vec<Line> {
    let (mut lines, mut start, mut number) = (Vec::new(), 0, 0);
    while start < content.len() {
        let length = content[start..].iter().position(|byte| *byte == b'\n');
        let end = length.map_or(content.len(), |length| start + length);
        number += 1;
        let (offset, text) = (start as u64, Ok(content.slice(start..end)));
        lines.push(Line { number, offset, end: end as u64 + 1, text });
        start = end + 1;
    }
    lines
}
