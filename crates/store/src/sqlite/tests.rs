//! Goal: a house in a file keeps the contract, and survives what a disk can do.
//!
//! How: the contract over files in a temporary folder; faults by SQLite's own limits.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::contract::{check_contract, check_tenants};

fn house(name: &str) -> HouseId {
    HouseId::from(name)
}

#[tokio::test]
async fn a_house_in_a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SqliteHouse::open(folder.path(), &house("one")).unwrap();
    check_contract(open(), async |house| {
        drop(house);
        open()
    })
    .await;
}

#[tokio::test]
async fn two_houses_in_one_file_share_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let one = SqliteHouse::open(folder.path(), &house("one")).unwrap();
    let other = one.tenant(&house("other")).await.unwrap();
    check_tenants(one, other).await;
}

#[tokio::test]
async fn two_houses_in_two_folders_share_nothing() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = SqliteHouse::open(here.path(), &house("one")).unwrap();
    check_tenants(one, SqliteHouse::open(there.path(), &house("one")).unwrap()).await;
}
