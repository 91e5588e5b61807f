//! Fill: a house with many records in it, by its own road.
//!
//! Comes in   a house that does not run, how many records it holds and how many it shall hold.
//! Goes out   the same house, filled as pushes fill it: lines, rows of work, contents, keys.
//! Never      writes past the road: what a push leaves behind is what fills the house.
//!
//! Why not over HTTP: the fill is not measured, and takes half as long without.

use crate::bundles::Series;
use crate::house::House;
use exchange::SubmissionId;
use handover::config;
use handover::house::{Desk, Opened};
use std::sync::Arc;
use wire::Caller;

/// Resources of one Bundle of the fill.
const SIZE: usize = 100;

/// Bundles on their way at once.
const AT_ONCE: u64 = 16;

/// Fills a house from so many records to so many.
pub(crate) fn fill(house: &House<'_>, namespace: &str, held: u64, wanted: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let config = config::House::read(&house.folder()).expect("a configuration");
        let opened = Arc::new(Opened::open(Arc::new(config)).await.expect("the house opens"));
        opened.confirm_ledger().await.expect("a ledger");
        let series = Series { namespace: namespace.to_owned(), resources: SIZE, name: "f" };
        let (mut next, end) = (held / SIZE as u64, wanted / SIZE as u64);
        while next < end {
            let count = AT_ONCE.min(end - next);
            let tasks = series.bundles(next, count).into_iter().map(|bundle| {
                let opened = Arc::clone(&opened);
                tokio::spawn(async move { push(&opened, bundle).await })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("a push");
            }
            next += count;
            if next % 1_600 < AT_ONCE {
                opened.checkpoint().await.expect("a checkpoint");
            }
        }
        opened.checkpoint().await.expect("a checkpoint");
    });
}

async fn push(opened: &Opened, bundle: bytes::Bytes) {
    let Desk::Payer { road, .. } = &opened.desk else { panic!("a receiving house") };
    let sender = "hospital".to_owned();
    let scopes = vec!["system/*.cruds".to_owned()];
    let caller = Caller { client_id: sender.clone(), partner: sender, scopes, purposes: None };
    let id = uuid::Uuid::new_v4().simple().to_string();
    let id = SubmissionId(id[16..].to_owned());
    let answer = road.receive(&caller, bundle, id, payer::Asked::BUNDLE).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
}
