//! A house in a file: the contract of all houses.
//!
//! Goal: a house of one machine needs nothing but a folder, and keeps every promise.
//! Method: files in a temporary folder.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use exchange::{Digest, HouseId};
use jiff::Timestamp;
use rusqlite::Connection;
use std::path::Path;
use store::{AnyHouse, House, SqliteHouse, Unit};

use crate::contract::{check_backup, check_contract, check_loss, check_tenants};
use crate::noise::noise;

fn open(folder: &Path) -> SqliteHouse {
    SqliteHouse::open(folder, &HouseId::from("one")).unwrap()
}

#[tokio::test]
async fn a_house_in_a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let open = || AnyHouse::from(open(folder.path()));
    check_contract(open(), async |house| {
        drop(house);
        open()
    })
    .await;
}

#[tokio::test]
async fn two_houses_in_one_file_share_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path());
    let other = one.tenant(&HouseId::from("other")).await.unwrap();
    check_tenants(one, other).await;
}

#[tokio::test]
async fn two_houses_in_two_folders_share_nothing() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    check_tenants(open(here.path()), open(there.path())).await;
}

#[tokio::test]
async fn a_backup_of_a_file_is_the_house() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let opened = open(&here);
    let other = opened.tenant(&HouseId::from("other")).await.unwrap();
    let word = b"planted-elsewhere";
    for size in [99_999, 9] {
        let planted: Bytes = [&word[..], &noise(size, 1)].concat().into();
        let blobs = vec![(Digest::of(&planted), planted)];
        let unit = Unit { at: Timestamp::UNIX_EPOCH, blobs, ..Unit::default() };
        other.commit(unit).await.unwrap();
    }
    assert!(occurrences(&here, word) >= 2, "it is there to be found");
    check_backup(opened, &there, async |copy: &Path| open(copy)).await;
    assert_eq!(occurrences(&there, word), 0, "nothing of the other house");
    let unfinished = open(&folder.path().join("there.unfinished"));
    assert!(unfinished.entries(1, 1).await.unwrap().is_empty(), "there is none");
}

/// How often bytes stand in the files of a folder, those of its folders included.
fn occurrences(folder: &Path, bytes: &[u8]) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found += occurrences(&path, bytes),
            false => {
                let file = std::fs::read(&path).unwrap();
                found += file.windows(bytes.len()).filter(|window| *window == bytes).count();
            }
        }
    }
    found
}

#[tokio::test]
async fn what_was_lost_is_not_taken_for_purged() {
    let folder = tempfile::tempdir().unwrap();
    check_loss(open(folder.path()), async |opened| {
        drop(opened);
        let db = Connection::open(folder.path().join("house.sqlite")).unwrap();
        for table in ["first_answers", "versions"] {
            let lose = format!("UPDATE {table} SET file = NULL, content = NULL");
            db.execute_batch(&lose).unwrap();
        }
        drop(db);
        open(folder.path())
    })
    .await;
}
