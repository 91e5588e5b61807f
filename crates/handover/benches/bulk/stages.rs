//! Stages: the product's own parts, as far as one of them, put together as a worker does.
//!
//! Comes in   the last stage, URLs of files, a folder.
//! Goes out   when each batch was through.
//! Never      leaves out a part that a worker needs: bounds, places, digests, what stands, durability.

use crate::Done;
use exchange::{Chain, Event, HouseId, PartnerId, SubmissionId};
use fhir::Resource;
use jiff::Timestamp;
use repository::{Filing, Incoming, Standing, plan_transaction};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Commit, House, SqliteHouse, Unit};
use tokio::sync::mpsc;
use wire::SystemClock;
use wire::fetch::{Access, Bounds, Fetcher, Line, Origins, Place};
use wire::reach::Network;
use wire::transport::Lines;

/// Resources in one unit.
const EACH: usize = 1_000;

/// Batches that are read ahead.
const AHEAD: usize = 2;

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Fetch,
    Read,
    Plan,
    File,
}

/// Runs as far as the stage of this name.
pub(crate) fn run(name: &str, urls: &[String], folder: &Path) -> Done {
    let stage = match name {
        "fetch" => Stage::Fetch,
        "read" => Stage::Read,
        "plan" => Stage::Plan,
        _ => Stage::File,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(all(stage, urls.to_vec(), folder))
}

async fn all(stage: Stage, urls: Vec<String>, folder: &Path) -> Done {
    let house = SqliteHouse::open(&folder.join("house"), &HouseId::from("plan")).unwrap();
    let begun = Instant::now();
    let (read, mut batches) = mpsc::channel(AHEAD);
    let fetching = tokio::spawn(async move {
        let fetcher = fetcher(&urls[0]);
        for url in urls {
            fetch(stage, &fetcher, &url, &read).await;
        }
    });
    let mut done = Done { batches: Vec::new() };
    while let Some(reading) = batches.recv().await {
        let reading: Reading = reading;
        let (resources, incoming) = reading.await.unwrap();
        if stage >= Stage::Plan {
            file(stage, &house, incoming).await;
        }
        done.batches.push((begun.elapsed(), resources));
    }
    fetching.await.unwrap();
    done
}

/// A batch that is being read in a thread of its own.
type Reading = tokio::task::JoinHandle<(u64, Vec<Incoming>)>;

fn fetcher(url: &str) -> Fetcher {
    let network = Network::allowing(&["127.0.0.1".to_owned()]).unwrap();
    let lines = Lines {
        roots: &[],
        identity: None,
        network: Some(&network),
        timeout: Duration::from_secs(30),
        answer_limit: 1_000_000,
    };
    let origins = Origins::of([url]).unwrap();
    Fetcher::over(lines, origins, Arc::new(SystemClock), Bounds::default()).unwrap()
}

async fn fetch(stage: Stage, fetcher: &Fetcher, url: &str, to: &mpsc::Sender<Reading>) {
    let mut file = fetcher.open(url, &Access::default(), Place::default()).await.unwrap();
    let mut batch = Vec::with_capacity(EACH);
    loop {
        let line = file.next().await.unwrap();
        let ended = line.is_none();
        batch.extend(line);
        if batch.len() == EACH || ended && !batch.is_empty() {
            let lines = std::mem::replace(&mut batch, Vec::with_capacity(EACH));
            let reading = tokio::task::spawn_blocking(move || read(stage, lines));
            to.send(reading).await.unwrap();
        }
        if ended {
            return;
        }
    }
}

fn read(stage: Stage, lines: Vec<Line>) -> (u64, Vec<Incoming>) {
    let resources = lines.len() as u64;
    if stage == Stage::Fetch {
        return (resources, Vec::new());
    }
    let incoming = lines.into_iter().enumerate().map(|(entry, line)| {
        let resource = Resource::parse(line.text.unwrap()).unwrap();
        Incoming::put(entry, &resource).unwrap()
    });
    (resources, incoming.collect())
}

async fn file(stage: Stage, house: &SqliteHouse, incoming: Vec<Incoming>) {
    let filing = Filing {
        owner: PartnerId::from("hospital"),
        receipt: "receipt-1".to_owned(),
        lane: None,
        number: None,
        as_of: None,
    };
    let places: Vec<_> = incoming.iter().map(|it| (it.kind.clone(), it.id.clone())).collect();
    let heads = house.heads(&places).await.unwrap();
    let standing = Standing { heads: &heads, marks: &[] };
    let plan = plan_transaction(incoming, &filing, standing).unwrap();
    if stage == Stage::Plan {
        return;
    }
    let at = Timestamp::now();
    let chain = Chain::Submission(SubmissionId::from("receipt-1"));
    let lines = vec![(chain, Event::Opened { version: "bench".to_owned() })];
    let (records, raises, expects) = (plan.records, plan.raises, plan.expects);
    let unit = Unit { at, lines, records, raises, expects, ..Unit::default() };
    assert!(matches!(house.commit(unit).await.unwrap(), Commit::Done { .. }));
}
