//! Goal: a house whose large contents lie in an S3 storage keeps the contract, and what the
//! storage does not take is not accepted.
//!
//! How: moto, where the partners have it, and between house and storage a wire that can be cut.

#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use exchange::{Chain, Digest, Event, HouseId, PartnerId};
use jiff::{SignedDuration, Timestamp};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::limits::INLINE_BYTES_MAX;
use store::{
    Blobs, Commit, Error, House, NewVersion, PostgresHouse, PostgresPlace, RecordKeys,
    S3Credentials, S3Place, SqliteHouse, Unit,
};
use testdb::{Server, Storage};

use crate::contract::{check_contract, check_tenants};
use crate::noise::noise;

fn place(endpoint: &str) -> S3Place {
    S3Place {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".to_owned(),
        bucket: testdb::BUCKET.to_owned(),
        prefix: String::new(),
        credentials: S3Credentials::new("id".to_owned(), "secret".to_owned(), None),
        authority: None,
    }
}

fn blobs(address: SocketAddr) -> Blobs {
    Blobs::s3(place(&format!("http://{address}"))).unwrap()
}

fn open(folder: &Path, address: SocketAddr) -> SqliteHouse {
    SqliteHouse::open_with(folder, &HouseId::from("one"), Some(blobs(address))).unwrap()
}

fn unit(id: &str, content: &Bytes) -> Unit {
    let record = NewVersion {
        kind: "Binary".to_owned(),
        id: id.to_owned(),
        owner: PartnerId::from("hospital"),
        receipt: "receipt".to_owned(),
        lane: None,
        number: None,
        content: Some(content.clone()),
        keys: RecordKeys::default(),
    };
    Unit {
        at: Timestamp::UNIX_EPOCH,
        lines: vec![(Chain::House, Event::Opened { version: id.to_owned() })],
        records: vec![record],
        blobs: vec![(Digest::of(content), content.clone())],
        ..Unit::default()
    }
}

const ONE: fn() -> Commit = || Commit::Done { versions: vec![1] };

/// A wire to the storage that lets so many bytes of requests through, and is then cut.
struct Wire {
    address: SocketAddr,
    left: Arc<AtomicI64>,
}

impl Wire {
    fn to(storage: SocketAddr) -> Wire {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let allowed = Arc::clone(&left);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, far) = (near.unwrap(), TcpStream::connect(storage).unwrap());
                let ends = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let asks = Arc::clone(&allowed);
                std::thread::spawn(move || carry(near, far, Some(&asks)));
                std::thread::spawn(move || carry(ends.1, ends.0, None));
            }
        });
        Wire { address, left }
    }

    fn cut_after(&self, bytes: usize) {
        self.left.store(bytes as i64, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, left: Option<&AtomicI64>) {
    let mut buffer = [0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let cut = left.is_some_and(|left| left.fetch_sub(count as i64, Ordering::SeqCst) < 0);
        if cut || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[tokio::test]
async fn a_house_with_a_storage_keeps_the_contract() {
    let Some(storage) = Storage::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    check_contract(open(folder.path(), storage.address()), async |house| {
        drop(house);
        open(folder.path(), storage.address())
    })
    .await;
    let blobs = folder.path().join("blobs");
    assert!(!blobs.exists(), "nothing lies in the folder");
}

#[tokio::test]
async fn a_house_in_postgres_with_a_storage_keeps_the_contract() {
    let (Some(storage), Some(database)) = (Storage::start(), Server::shared()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let places = [Blobs::folder(folder.path()).unwrap(), blobs(storage.address())];
    for (number, blobs) in places.into_iter().enumerate() {
        let place =
            PostgresPlace { url: database.url(), blobs: Some(blobs), ..PostgresPlace::default() };
        let house = HouseId::from(format!("house-{number}"));
        let open = async || PostgresHouse::open(&place, &house).await.unwrap();
        check_contract(open().await, async |house| {
            drop(house);
            open().await
        })
        .await;
    }
}

#[tokio::test]
async fn a_storage_is_trusted_by_its_own_authority_only() {
    let names = vec!["127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names.clone()).unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(names).unwrap().cert.pem();
    let Some(storage) = Storage::start_with_tls(&certificate, &key) else { return };
    let house = async |authority: Option<String>| {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::s3(S3Place { authority, ..place(&storage.url()) }).unwrap();
        let id = HouseId::from("one");
        let house = SqliteHouse::open_with(folder.path(), &id, Some(blobs.clone())).unwrap();
        let done = house.commit(unit("a", &noise(INLINE_BYTES_MAX + 1, 1))).await;
        assert_eq!(done.is_ok(), blobs.reach().await.is_ok());
        done
    };
    assert_eq!(house(Some(certificate)).await.unwrap(), ONE());
    for stranger in [None, Some(other)] {
        let refused = house(stranger).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn two_houses_in_one_storage_share_nothing() {
    let Some(storage) = Storage::start() else { return };
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let house = |folder: &tempfile::TempDir| open(folder.path(), storage.address());
    let (one, other) = (house(&here), house(&there));
    let content = noise(INLINE_BYTES_MAX + 1, 1);
    check_tenants(one.clone(), other.clone()).await;
    assert_eq!(one.commit(unit("a", &content)).await.unwrap(), ONE());
    let later = Timestamp::now() + SignedDuration::from_hours(2);
    assert_eq!(other.sweep(later).await.unwrap(), 0, "what another house keeps is not swept");
    assert_eq!(one.sweep(later).await.unwrap(), 0, "nor what a row names");
    assert_eq!(one.blob(&Digest::of(&content)).await.unwrap(), Some(content));
}

#[tokio::test]
async fn what_the_storage_did_not_take_is_not_accepted() {
    let Some(storage) = Storage::start() else { return };
    let wire = Wire::to(storage.address());
    let folder = tempfile::tempdir().unwrap();
    let house = open(folder.path(), wire.address);
    let small = Bytes::from_static(b"{}");
    let kept = noise(INLINE_BYTES_MAX + 1, 1);
    house.commit(unit("before", &kept)).await.unwrap();

    let whole = 20 << 20; // three parts
    let content = noise(whole, 2);
    for (number, bytes) in [0, 100, 60_000, whole / 2, whole - 1].into_iter().enumerate() {
        wire.cut_after(bytes);
        let id = format!("cut-{number}");
        let refused = house.commit(unit(&id, &content)).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "after {bytes}: {refused:?}");
        assert_eq!(house.record("Binary", &id, None).await.unwrap(), None, "after {bytes}");
        assert_eq!(house.entries(1, 99).await.unwrap().len(), 1 + number, "after {bytes}");
        let unread = house.record("Binary", "before", None).await;
        assert!(matches!(unread, Err(Error::Unavailable(_))), "{unread:?}");
        let done = house.commit(unit(&format!("small-{number}"), &small)).await;
        assert_eq!(done.unwrap(), ONE(), "what fits into a row needs no storage");
    }

    wire.mend();
    assert_eq!(house.commit(unit("after", &content)).await.unwrap(), ONE(), "it recovers");
    for (id, content) in [("before", kept), ("after", content)] {
        let found = house.record("Binary", id, None).await.unwrap().unwrap();
        assert!(found.content == Some(content), "{id}");
    }
}

#[tokio::test]
async fn a_storage_that_was_killed_is_missed_and_found_again() {
    let Some(mut storage) = Storage::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let house = open(folder.path(), storage.address());
    let content = noise(INLINE_BYTES_MAX + 1, 1);
    house.commit(unit("lost", &content)).await.unwrap();
    storage.kill();
    let refused = house.commit(unit("refused", &noise(99_999, 2))).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert!(matches!(house.record("Binary", "lost", None).await, Err(Error::Unavailable(_))));
    drop(house);
    let house = open(folder.path(), storage.address());
    assert!(house.heads(&[("Binary".to_owned(), "lost".to_owned())]).await.unwrap()[0].is_some());

    storage.start_again();
    let lost = house.record("Binary", "lost", None).await;
    assert!(matches!(lost, Err(Error::Damaged(_))), "its memory is gone: {lost:?}");
    let other = noise(99_999, 2);
    assert_eq!(house.commit(unit("other", &other)).await.unwrap(), ONE());
    assert_eq!(house.blob(&Digest::of(&other)).await.unwrap(), Some(other));
    assert_eq!(house.commit(unit("found", &content)).await.unwrap(), ONE());
    let again = house.record("Binary", "lost", None).await.unwrap().unwrap();
    assert!(again.content == Some(content), "who sends it again mends it");
}
