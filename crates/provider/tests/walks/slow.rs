//! Goal: a payer that takes requests and never answers keeps its own pushes, and nobody else's.
//!
//! How: its door is a socket that is never read to the end; the other plan's is in order.

use crate::hospital::{Hospital, OTHERS, SENT, who};
use exchange::desk::{Command, Reply, Row};
use provider::limits::{CLAIM_MAX, PARTNER_REQUESTS_MAX, PARTNER_WALKS_MAX};
use provider::worker;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::House as _;
use tokio::net::TcpListener;

/// More than a process takes up with one payer, twice over.
const WAITING: u32 = 90;

async fn push(hospital: &Hospital, patient: u32, wait: u32) -> Vec<Row> {
    let encounter = format!("e{patient}");
    let push =
        Command::Push { subject: encounter, purpose: None, who: who(), wait, asynchronous: false };
    match hospital.command(push).await.unwrap() {
        Reply::Pushed { rows, .. } => rows,
        other => panic!("{other:?}"),
    }
}

async fn rows(hospital: &Hospital) -> Vec<Row> {
    let list = Command::List { states: vec![], limit: Some(1_000) };
    match hospital.command(list).await.unwrap() {
        Reply::Listed { rows, .. } => rows,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_hangs_delays_no_other() {
    let hospital = Hospital::open_with_both();
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    hospital.network.hang(SENT, door.local_addr().unwrap());
    for patient in 1..=WAITING {
        push(&hospital, patient, 0).await;
    }
    let (road, wake) = (Arc::clone(&hospital.road), Arc::clone(&hospital.wake));
    let worker = tokio::spawn(worker::run(road, wake, std::future::pending()));
    let mut held = Vec::new();
    for _ in 0..PARTNER_REQUESTS_MAX {
        held.push(door.accept().await.unwrap());
    }
    loop {
        let changed = hospital.road.changed.notified();
        let waiting = rows(&hospital).await;
        if waiting.iter().filter(|row| row.partner.is_some()).count() == WAITING as usize {
            break;
        }
        changed.await;
    }

    for patient in OTHERS..OTHERS + 3 {
        let other = push(&hospital, patient, 120).await;
        let states: Vec<_> = other.iter().map(|row| row.state.as_str()).collect();
        assert_eq!(states, ["settled"], "the other plan's push {patient} goes through: {other:?}");
    }

    let counts = hospital.house.work_counts().await.unwrap();
    let due = counts.iter().find(|(state, _)| state == "due").unwrap().1;
    assert_eq!(due, u64::from(WAITING), "those of the plan that hangs wait: {counts:?}");
    let asked = hospital.network.asked();
    let charts: BTreeSet<_> = asked.iter().filter(|line| line.contains("/Procedure?")).collect();
    let most = PARTNER_WALKS_MAX + CLAIM_MAX as usize - 1;
    assert!(charts.len() <= most + 3, "no more charts are opened for it: {}", charts.len());
    worker.abort();
}
