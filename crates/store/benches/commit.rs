//! Commit: how many units a second a house takes, what sharing a commit gains, and what of the
//! processor a unit costs, the database's server included.
//!
//! Comes in   nothing, or a word of a table's title: `cargo bench -p store --bench commit`.
//! Goes out   a table for each database: units a second for 1, 16, 64 and 256 producers, the
//!            ratio to one, microseconds of processor time for each unit.
//! Never      runs much longer than twenty seconds, nor says anything about another disk.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use exchange::{Chain, Event, HouseId, PartnerId, WalkId};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{AnyHouse, DateSpan, House, NewVersion, PostgresHouse, PostgresPlace};
use store::{RecordKeys, SqliteHouse, Unit, Work, WorkKind};
use testdb::Server;
use tokio::runtime::Runtime;

const LENGTH: Duration = Duration::from_millis(2_300);

/// A record of 1.4 KB with keys, a line and a row of work.
fn unit(number: u64) -> Unit {
    let id = format!("{number:064x}");
    let patient = format!("{:064x}", number % 100);
    let work = Work {
        id: id.clone(),
        kind: WorkKind::Push,
        lane: format!("plan|{patient}"),
        partner: Some(PartnerId::from("plan")),
        dossier: Some(id.clone()),
        trigger: Some(id.clone()),
        label: None,
        gathered: None,
        number: None,
        state: "due".to_owned(),
        due: Some(Timestamp::UNIX_EPOCH),
        body: vec![b'x'; 400],
    };
    Unit {
        at: Timestamp::UNIX_EPOCH,
        lines: vec![(Chain::Push(WalkId(id.clone())), Event::Opened { version: id })],
        works: vec![work],
        records: vec![record(number, 0)],
        ..Unit::default()
    }
}

/// Fifty records of 1.4 KB with keys, a line and a row of work: a part of a push.
fn part(number: u64) -> Unit {
    let records = (0..50).map(|entry| record(number, entry)).collect();
    Unit { records, ..unit(number) }
}

fn record(number: u64, entry: u64) -> NewVersion {
    let id = format!("{:064x}", number * 50 + entry);
    let patient = format!("{:064x}", number % 100);
    // Text as incompressible as that of real resources: packed to about a third.
    let mut content = String::from("{\"resourceType\":\"Observation\",\"id\":\"");
    let mut word = number.wrapping_mul(50).wrapping_add(entry).wrapping_add(1);
    while content.len() < 1_400 {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        content.push_str(&format!("\",\"valueQuantity\":{}", word >> 40));
    }
    NewVersion {
        kind: "Observation".to_owned(),
        id: id.clone(),
        owner: PartnerId::from("hospital"),
        receipt: format!("{number:064x}"),
        lane: Some(patient.clone()),
        number: Some(number),
        content: Some(Bytes::from(content)),
        keys: RecordKeys {
            patient: Some(patient.clone()),
            encounter: Some(format!("{:064x}", number % 500)),
            date: Some(DateSpan { from: Timestamp::UNIX_EPOCH, to: Timestamp::MAX }),
            status: Some("final".to_owned()),
            tokens: vec![
                "category:s|laboratory".to_owned(),
                format!("code:l|{}", (number + entry) % 50),
            ],
        },
    }
}

/// What was measured.
struct Measured {
    /// Units a second.
    rate: f64,
    /// Processor seconds for each unit: of this process, and of the server.
    cost: (f64, f64),
}

/// Units a second with so many producers, each waiting for its answer before the next unit.
async fn measure(
    house: AnyHouse,
    producers: u64,
    unit: fn(u64) -> Unit,
    server: impl Fn() -> f64,
) -> Measured {
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let before = (processor_seconds(), server());
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
    let (written, elapsed) = (f64::from(written), begun.elapsed().as_secs_f64());
    let cost = (processor_seconds() - before.0, server() - before.1);
    Measured { rate: written / elapsed, cost: (cost.0 / written, cost.1 / written) }
}

/// Processor time of this process so far, as the system counts it (in hundredths of a second).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn print(producers: u64, one: &mut Option<f64>, measured: &Measured) {
    let Measured { rate, cost } = measured;
    let ratio = rate / *one.get_or_insert(*rate);
    let (own, server) = (cost.0 * 1e6, cost.1 * 1e6);
    println!("{producers:9}  {rate:7.0}  {ratio:5.1}  {own:9.0}  {server:9.0}");
}

/// A kind of unit, and with how many producers it is measured.
type Load = (&'static str, fn(u64) -> Unit, &'static [u64]);

const LOADS: [Load; 2] =
    [("units of one record", unit, &[1, 16, 64, 256]), ("units of fifty records", part, &[1, 8])];

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let wants = |title: &str| {
        let wanted = title.contains(&wanted);
        if wanted {
            println!("{title}\nproducers  units/s  ratio  own us/unit  server us/unit");
        }
        wanted
    };
    for (name, unit, producers) in LOADS {
        if wants(&format!("SQLite, {name}")) {
            on_sqlite(&runtime, unit, producers);
        }
        if wants(&format!("PostgreSQL, {name}"))
            && let Some(server) = Server::start()
        {
            on_postgres(&runtime, &server, unit, producers);
        }
    }
}

fn on_sqlite(runtime: &Runtime, unit: fn(u64) -> Unit, producers: &[u64]) {
    let mut one = None;
    for count in producers {
        let folder = tempfile::tempdir().unwrap();
        let house = SqliteHouse::open(folder.path(), &HouseId::from("bench")).unwrap();
        let measured = runtime.block_on(measure(house.into(), *count, unit, || 0.0));
        print(*count, &mut one, &measured);
    }
}

fn on_postgres(runtime: &Runtime, server: &Server, unit: fn(u64) -> Unit, producers: &[u64]) {
    let mut one = None;
    for count in producers {
        let url = server.create_database(&format!("bench_{count}"));
        let place = PostgresPlace { url, ..PostgresPlace::default() };
        let measured = runtime.block_on(async {
            let house = PostgresHouse::open(&place, &HouseId::from("bench")).await.unwrap();
            measure(house.into(), *count, unit, || server.cpu_seconds()).await
        });
        print(*count, &mut one, &measured);
    }
}
