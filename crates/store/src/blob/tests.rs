//! Goal: contents come back as they were or not at all, and nothing that is needed goes.
//!
//! How: the same cases over a folder and, where the partners' moto is installed, an S3 storage.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::{KEEPING_BYTES_MAX, PACK_BYTES_MIN, S3_PART_BYTES, UNPACK_BYTES_MAX};
use crate::noise::noise;
use futures_util::future::join_all;
use jiff::SignedDuration;
use std::sync::Mutex;
use testdb::Storage;

const KEY: Key = [7; 32];

/// A place, and what keeps it alive.
struct Ground {
    name: &'static str,
    blobs: Blobs,
    _folder: tempfile::TempDir,
    _storage: Option<Storage>,
}

fn grounds() -> Vec<Ground> {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(&folder.path().join("blobs")).unwrap();
    let mut grounds = vec![Ground { name: "folder", blobs, _folder: folder, _storage: None }];
    if let Some(storage) = Storage::start() {
        let blobs = Blobs::s3(place(&storage.url())).unwrap();
        let _folder = tempfile::tempdir().unwrap();
        grounds.push(Ground { name: "storage", blobs, _folder, _storage: Some(storage) });
    }
    grounds
}

fn place(endpoint: &str) -> S3Place {
    S3Place {
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".to_owned(),
        bucket: testdb::BUCKET.to_owned(),
        prefix: "some/contents".to_owned(),
        credentials: S3Credentials::new("an id".to_owned(), "a secret".to_owned(), None),
        authority: None,
    }
}

#[test]
fn a_content_keeps_its_name() {
    let digest = Digest::of(b"x");
    let table = [
        (false, "a26a95f1bc156a49a4922994e9d2f8a9e3c5d5a5a906b3cda40b3e648f36587d"),
        (true, "84ea34946df3bed47ddb27c16f09910d5ea51291dd60d082ba266add6931c033"),
    ];
    for (packed, name) in table {
        assert_eq!(Digest(address(&KEY, &digest, packed)).to_string(), name, "packed: {packed}");
    }
}

fn smooth(size: usize) -> Bytes {
    Bytes::from(vec![b'x'; size])
}

fn stored(kept: &Kept) -> Stored {
    Stored { file: kept.file, content: kept.inline.clone(), packed: kept.packed }
}

fn hours(count: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(count)
}

async fn none(_: Vec<Address>) -> Result<HashSet<Address>, Error> {
    Ok(HashSet::new())
}

async fn keep(blobs: &Blobs, bytes: &Bytes) -> Kept {
    let hold = blobs.hold();
    let kept = hold.keep(&KEY, bytes).await.unwrap();
    hold.settle().await.unwrap();
    kept
}

#[tokio::test]
async fn what_is_kept_is_packed_where_it_pays_and_comes_back_as_it_was() {
    let half = INLINE_BYTES_MAX / 2;
    let mixed = Bytes::from([&noise(2 * INLINE_BYTES_MAX, 3)[..], &smooth(half)].concat());
    // (what, content, whether packed, whether elsewhere)
    let table = [
        ("nothing", Bytes::new(), false, false),
        ("a small one", smooth(PACK_BYTES_MIN - 1), false, false),
        ("one worth packing", smooth(PACK_BYTES_MIN), true, false),
        ("noise, as large as a row takes", noise(INLINE_BYTES_MAX, 1), false, false),
        ("noise, larger than that", noise(INLINE_BYTES_MAX + 1, 1), false, true),
        ("a large one that packs well", smooth(40 * INLINE_BYTES_MAX), true, false),
        ("a large one that packs badly", mixed, true, true),
        ("one sent in parts", noise(2 * S3_PART_BYTES + 1, 2), false, true),
        ("more than is unpacked at most", smooth(UNPACK_BYTES_MAX + 1), false, true),
    ];
    for Ground { name, blobs, .. } in &grounds() {
        for (what, bytes, packed, elsewhere) in &table {
            let kept = keep(blobs, bytes).await;
            let case = format!("{what}, in a {name}");
            assert_eq!((kept.packed, kept.file.is_some()), (*packed, *elsewhere), "{case}");
            assert_eq!(kept.digest, Digest::of(bytes), "of the plain bytes: {case}");
            assert_eq!(kept.file.is_some(), kept.inline.is_none(), "{case}");
            let least = if *elsewhere { INLINE_BYTES_MAX + 1 } else { bytes.len() };
            assert_eq!(stored(&kept).bytes(), least as u64, "{case}");
            let found = blobs.fetch(&KEY, &kept.digest, stored(&kept)).await.unwrap();
            assert!(found.as_ref() == Some(bytes), "{case}");
        }
        let empty = blobs.fetch(&KEY, &Digest::of(b""), Stored::default()).await.unwrap();
        assert_eq!(empty, None, "a row without content");
    }
}

#[tokio::test]
async fn what_is_not_what_was_kept_is_damaged() {
    let damaged = |what: &str, answer: Result<Option<Bytes>, Error>| {
        assert!(matches!(answer, Err(Error::Damaged(_))), "{what}: {answer:?}");
    };
    let bytes = Bytes::from([&noise(2 * INLINE_BYTES_MAX, 5)[..], &smooth(9_999)].concat());
    for Ground { name, blobs, .. } in &grounds() {
        let kept = keep(blobs, &bytes).await;
        let (file, digest) = (kept.file.unwrap(), kept.digest);
        let whole = blobs.read(&file).await.unwrap().unwrap();
        let bomb = |size| zstd::bulk::compress(&vec![0; size], 1).unwrap().into();
        let mut changed = whole.to_vec();
        changed[INLINE_BYTES_MAX] ^= 1;
        let table: [(&str, Bytes); 7] = [
            ("cut off", whole.slice(..whole.len() - 1)),
            ("cut off in its head", whole.slice(..3)),
            ("empty", Bytes::new()),
            ("changed", changed.into()),
            ("another content", zstd::bulk::compress(b"another", 1).unwrap().into()),
            ("a bomb within the limit", bomb(UNPACK_BYTES_MAX)),
            ("a bomb", bomb(UNPACK_BYTES_MAX + 1)),
        ];
        for (what, wrong) in table {
            blobs.write(vec![(file, wrong.clone())]).await.unwrap();
            let case = format!("{what}, in a {name}");
            damaged(&case, blobs.fetch(&KEY, &digest, stored(&kept)).await);
            let row = Stored { file: None, content: Some(wrong), packed: true };
            damaged(&format!("{what}, in its row"), blobs.fetch(&KEY, &digest, row).await);
        }
        blobs.write(vec![(file, whole)]).await.unwrap();
        assert!(blobs.fetch(&KEY, &digest, stored(&kept)).await.is_ok(), "mended");
        let foreign = Stored { file: Some([1; 32]), ..stored(&kept) };
        damaged("another's file", blobs.fetch(&KEY, &digest, foreign).await);
        let plain = Stored { packed: false, ..stored(&kept) };
        damaged("packed, taken for plain", blobs.fetch(&KEY, &digest, plain).await);
        let key = [8; 32];
        damaged("under another house's key", blobs.fetch(&key, &digest, stored(&kept)).await);
        blobs.remove(&[file], None, none).await.unwrap();
        damaged("removed", blobs.fetch(&KEY, &digest, stored(&kept)).await);
    }
}

/// A frame that says it holds little and holds much, or does not say: neither is unpacked.
#[test]
fn a_frame_is_unpacked_to_what_it_declares_and_no_further() {
    let plain = smooth(1 << 20);
    let honest = zstd::bulk::compress(&plain, 1).unwrap();
    assert_eq!(pack::unpack(&honest).unwrap(), plain);
    let mut undeclared = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    undeclared.include_contentsize(false).unwrap();
    std::io::Write::write_all(&mut undeclared, &plain).unwrap();
    let undeclared = undeclared.finish().unwrap();
    let twice = [&honest[..], &honest].concat();
    let small = zstd::bulk::compress(b"small", 1).unwrap();
    let hidden = [&small[..], &honest].concat();
    for (what, frame) in [("undeclared", undeclared), ("twice", twice), ("hidden", hidden)] {
        assert!(matches!(pack::unpack(&frame), Err(Error::Damaged(_))), "{what}");
    }
}

#[tokio::test]
async fn a_refused_unit_leaves_nothing_behind_that_nobody_needs() {
    let bytes = noise(INLINE_BYTES_MAX + 1, 9);
    for Ground { name, blobs, .. } in grounds() {
        let alone = blobs.clone().alone();
        let there = async |file| blobs.read(&file).await.unwrap().is_some();
        let hold = alone.hold();
        let file = hold.keep(&KEY, &bytes).await.unwrap().file.unwrap();
        hold.discard(none).await.unwrap();
        assert!(!there(file).await, "nobody needs it, in a {name}");

        let (first, second) = (alone.hold(), alone.hold());
        first.keep(&KEY, &bytes).await.unwrap();
        second.keep(&KEY, &bytes).await.unwrap();
        first.discard(none).await.unwrap();
        assert!(there(file).await, "another unit is on its way, in a {name}");
        let named = async |files: Vec<Address>| Ok(files.into_iter().collect());
        second.discard(named).await.unwrap();
        assert!(there(file).await, "a row names it, in a {name}");
        let third = alone.hold();
        third.keep(&KEY, &bytes).await.unwrap();
        let unknown = async |_| Err(Error::Busy);
        assert!(third.discard(unknown).await.is_err());
        assert!(there(file).await, "nobody knows, in a {name}");

        let shared = blobs.hold();
        shared.keep(&KEY, &bytes).await.unwrap();
        shared.discard(none).await.unwrap();
        assert!(there(file).await, "another process may be about to name it, in a {name}");
    }
}

/// Units that keep the same content race with units that are refused: whoever has kept it finds
/// it, until it is refused too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_content_that_is_leaving_is_kept_anew() {
    let bytes = noise(INLINE_BYTES_MAX + 1, 11);
    for Ground { name, blobs, .. } in grounds() {
        let (alone, named) = (blobs.alone(), Arc::new(Mutex::new(HashSet::new())));
        let units = (0..40).map(|number| {
            let (alone, bytes, named) = (alone.clone(), bytes.clone(), Arc::clone(&named));
            tokio::spawn(async move {
                let hold = alone.hold();
                let kept = hold.keep(&KEY, &bytes).await.unwrap();
                let file = kept.file.unwrap();
                assert!(alone.read(&file).await.unwrap().is_some(), "{number}, in a {name}");
                match number % 3 {
                    0 => drop(named.lock().unwrap().insert(file)),
                    _ => {
                        let asked = || named.lock().unwrap().clone();
                        hold.discard(async |_| Ok(asked())).await.unwrap();
                    }
                }
                file
            })
        });
        let files = join_all(units.collect::<Vec<_>>()).await;
        let file = files.into_iter().map(Result::unwrap).next().unwrap();
        assert!(alone.read(&file).await.unwrap().is_some(), "named in the end, in a {name}");
    }
}

#[tokio::test]
async fn a_sweep_takes_what_is_old_and_unnamed_and_nothing_else() {
    for Ground { name, blobs, .. } in &grounds() {
        let ours = blobs.of_database(&KEY).unwrap();
        let theirs = blobs.of_database(&[8; 32]).unwrap();
        let mut files = Vec::new();
        for seed in 1..=5 {
            let bytes = noise(INLINE_BYTES_MAX + 1, seed);
            files.push(keep(&ours, &bytes).await.file.unwrap());
            keep(&theirs, &bytes).await;
        }
        let in_use: HashSet<Address> = files[..2].iter().copied().collect();
        let named = async |asked: Vec<Address>| {
            Ok(asked.into_iter().filter(|file| in_use.contains(file)).collect())
        };
        let hold = ours.hold();
        hold.keep(&KEY, &noise(INLINE_BYTES_MAX + 1, 3)).await.unwrap();
        let young = ours.sweep(Some(hours(-1)), named).await.unwrap();
        assert_eq!(young, 0, "younger than an hour, in a {name}");
        let failed = ours.sweep(Some(hours(1)), async |_| Err(Error::Busy)).await;
        assert!(failed.is_err(), "nobody knows what is in use, in a {name}");
        assert_eq!(ours.sweep(Some(hours(1)), named).await.unwrap(), 2, "in a {name}");
        for (file, there) in files.iter().zip([true, true, true, false, false]) {
            assert_eq!(ours.read(file).await.unwrap().is_some(), there, "in a {name}");
            assert!(theirs.read(file).await.unwrap().is_some(), "another's, in a {name}");
        }
        drop(hold);
        assert_eq!(ours.sweep(Some(hours(1)), named).await.unwrap(), 1, "let go, in a {name}");
        assert_eq!(ours.sweep(Some(hours(1)), named).await.unwrap(), 0, "in a {name}");
    }
}

/// A file of a row long ago that is kept once more, while its row is being purged elsewhere.
#[tokio::test]
async fn what_is_kept_again_is_young_again() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(folder.path()).unwrap();
    let bytes = noise(INLINE_BYTES_MAX + 1, 1);
    let file = keep(&blobs, &bytes).await.file.unwrap();
    let path = folder.path().join(Digest(file).to_string());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    keep(&blobs, &bytes).await;
    assert_eq!(blobs.sweep(Some(hours(-1)), none).await.unwrap(), 0, "it is needed");
}

#[tokio::test]
async fn unfinished_files_go_and_those_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(folder.path()).unwrap();
    let names = ["unfinished-1", "unfinished-0011223344556677-8", "README", "unfinish"];
    for name in names {
        std::fs::write(folder.path().join(name), "words").unwrap();
    }
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(blobs.sweep(Some(hours(-1)), none).await.unwrap(), 0, "somebody is at it");
    assert_eq!(left(), 4);
    assert_eq!(blobs.sweep(Some(hours(1)), none).await.unwrap(), 2);
    assert_eq!(left(), 2, "what is not ours stays");
}

#[tokio::test]
async fn contents_move_from_place_to_place_as_they_are_stored() {
    let grounds = grounds();
    let bytes = Bytes::from([&noise(2 * INLINE_BYTES_MAX, 5)[..], &smooth(9_999)].concat());
    let there = tempfile::tempdir().unwrap();
    for Ground { name, blobs, .. } in &grounds {
        let kept = keep(blobs, &bytes).await;
        let copy = Blobs::folder(&there.path().join(name)).unwrap();
        blobs.copy(&kept.file.unwrap(), &copy).await.unwrap();
        copy.settle().await.unwrap();
        let found = copy.fetch(&KEY, &kept.digest, stored(&kept)).await.unwrap();
        assert!(found.as_ref() == Some(&bytes), "from a {name}");
        let missing = blobs.copy(&[3; 32], &copy).await;
        assert!(matches!(missing, Err(Error::Damaged(_))), "from a {name}");
    }
}

#[tokio::test]
async fn more_than_can_be_on_its_way_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::folder(folder.path()).unwrap();
    let bytes = noise(INLINE_BYTES_MAX + 1, 1);
    let others = blobs.held.room(KEEPING_BYTES_MAX - INLINE_BYTES_MAX).unwrap();
    assert!(matches!(blobs.hold().keep(&KEY, &bytes).await, Err(Error::Busy)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
    drop(others);
    assert!(blobs.hold().keep(&KEY, &bytes).await.is_ok(), "the others have arrived");
    let large = noise(KEEPING_BYTES_MAX + 1, 1);
    assert!(blobs.hold().keep(&KEY, &large).await.is_ok(), "a large one alone goes");
}

#[tokio::test]
async fn a_storage_is_not_what_its_words_say() {
    let good = || place("http://127.0.0.1:9");
    for endpoint in ["http://localhost:9", "http://[::1]:9/x", "https://s3.example.org"] {
        assert!(Blobs::s3(place(endpoint)).is_ok(), "{endpoint}");
    }
    let plain = ["http://s3.example.org", "http://127.0.0.1.example.org", "http://10.0.0.1:9000"];
    let odd = ["", "ftp://127.0.0.1", "127.0.0.1:9", "http://me@s3.example.org", "HTTP://a.org"];
    for endpoint in plain.into_iter().chain(odd) {
        assert!(Blobs::s3(place(endpoint)).is_err(), "{endpoint:?}");
    }
    let no_pem = S3Place { authority: Some("words".to_owned()), ..good() };
    assert!(Blobs::s3(no_pem).is_err(), "an authority that is none");
    let words = format!("{:?} {:?}", good(), Blobs::s3(good()).unwrap());
    assert!(!words.contains("a secret"), "{words}");
}
