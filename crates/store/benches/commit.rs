//! Commit: how many units a second a house takes, and what sharing a commit gains.
//!
//! Comes in   nothing; `cargo bench -p store`.
//! Goes out   a table: units a second for 1, 16, 64 and 256 producers, and the ratio to one.
//! Never      runs much longer than ten seconds, nor says anything about another disk.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use exchange::{Chain, Event, HouseId, PartnerId, WalkId};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{DateSpan, House, NewVersion, RecordKeys, SqliteHouse, Unit, Work, WorkKind};

const LENGTH: Duration = Duration::from_millis(2_300);

/// A record of 1.4 KB with keys, a line and a row of work.
fn unit(number: u64) -> Unit {
    let id = format!("{number:064x}");
    let patient = format!("{:064x}", number % 100);
    let record = NewVersion {
        kind: "Observation".to_owned(),
        id: id.clone(),
        owner: PartnerId::from("hospital"),
        receipt: id.clone(),
        lane: Some(patient.clone()),
        number: Some(number),
        content: Some(Bytes::from(vec![b'x'; 1_400])),
        keys: RecordKeys {
            patient: Some(patient.clone()),
            encounter: Some(format!("{:064x}", number % 500)),
            date: Some(DateSpan { from: Timestamp::UNIX_EPOCH, to: Timestamp::MAX }),
            status: Some("final".to_owned()),
            tokens: vec!["category:s|laboratory".to_owned(), format!("code:l|{}", number % 50)],
        },
    };
    let work = Work {
        id: id.clone(),
        kind: WorkKind::Push,
        lane: format!("plan|{patient}"),
        partner: Some(PartnerId::from("plan")),
        dossier: Some(id.clone()),
        trigger: Some(id.clone()),
        label: None,
        number: None,
        state: "due".to_owned(),
        due: Some(Timestamp::UNIX_EPOCH),
        body: vec![b'x'; 400],
    };
    Unit {
        at: Timestamp::UNIX_EPOCH,
        lines: vec![(Chain::Push(WalkId(id.clone())), Event::Opened { version: id })],
        works: vec![work],
        records: vec![record],
        ..Unit::default()
    }
}

/// Units a second with so many producers, each waiting for its answer before the next unit.
async fn measure(producers: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let house = SqliteHouse::open(folder.path(), &HouseId::from("bench")).unwrap();
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let producers = (0..producers).map(|_| {
        let (house, next) = (house.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            let mut written = 0u32;
            while begun.elapsed() < LENGTH {
                house.commit(unit(next.fetch_add(1, Ordering::Relaxed))).await.unwrap();
                written += 1;
            }
            written
        })
    });
    let mut written = 0;
    for producer in producers.collect::<Vec<_>>() {
        written += producer.await.unwrap();
    }
    f64::from(written) / begun.elapsed().as_secs_f64()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let mut one = None;
    println!("producers  units/s  ratio");
    for producers in [1, 16, 64, 256] {
        let rate = runtime.block_on(measure(producers));
        let one = *one.get_or_insert(rate);
        println!("{producers:9}  {rate:7.0}  {:5.1}", rate / one);
    }
}
