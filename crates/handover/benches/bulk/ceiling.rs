//! Ceiling: the least that could be done with the same files, by a program that does not change.
//!
//! Comes in   URLs of files, a folder.
//! Goes out   when each thousand resources was on the disk.
//! Never      changes with the product: it downloads, unpacks, parses and digests once on one core, and
//!            inserts one row per resource on the other, with the same durability and shared commits. No
//!            TLS, no ledger, no versions, no rules.

use crate::Done;
use fhir::Doc;
use flate2::bufread::MultiGzDecoder;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

/// Resources in one commit.
const EACH: usize = 1_000;

struct Row {
    kind: String,
    id: String,
    patient: String,
    date: Option<String>,
    status: Option<String>,
    digest: [u8; 32],
    content: Vec<u8>,
}

const TABLES: &str = "
    CREATE TABLE resources (
        resource INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, patient TEXT NOT NULL,
        date TEXT, status TEXT, digest BLOB NOT NULL, content BLOB NOT NULL, UNIQUE (kind, id)
    ) STRICT;
    CREATE INDEX resources_by_patient ON resources (patient, kind);";

/// All of it.
pub(crate) fn run(urls: &[String], folder: &Path) -> Done {
    let db = Connection::open(folder.join("ceiling.sqlite")).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 8_192).unwrap();
    db.pragma_update(None, "cache_size", -32 * 1024).unwrap();
    db.execute_batch(TABLES).unwrap();
    let (queue, batches) = mpsc::sync_channel(2);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || urls.iter().for_each(|url| download(url, &queue)));
        let mut done = Done { batches: Vec::new() };
        while let Ok(batch) = batches.recv() {
            insert(&db, &batch);
            done.batches.push((begun.elapsed(), batch.len() as u64));
        }
        done
    })
}

fn download(url: &str, queue: &mpsc::SyncSender<Vec<Row>>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    let mut answer = BufReader::with_capacity(256 * 1024, stream);
    let mut line = String::new();
    while answer.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    let mut lines = BufReader::with_capacity(256 * 1024, MultiGzDecoder::new(answer));
    let mut batch = Vec::with_capacity(EACH);
    loop {
        let mut content = Vec::new();
        let more = lines.read_until(b'\n', &mut content).unwrap() > 0;
        if more {
            content.pop();
            batch.push(row(content));
        }
        if batch.len() == EACH || !more && !batch.is_empty() {
            queue.send(std::mem::replace(&mut batch, Vec::with_capacity(EACH))).unwrap();
        }
        if !more {
            return;
        }
    }
}

fn row(content: Vec<u8>) -> Row {
    let doc = Doc::parse(&content).unwrap();
    let root = doc.root();
    let text = |name: &str| root.get(name)?.text().map(|text| text.into_owned());
    let subject = root.get("subject").or_else(|| root.get("beneficiary"));
    let subject = subject.and_then(|it| it.get("reference")?.text().map(|it| it.into_owned()));
    let (kind, id) = (text("resourceType").unwrap(), text("id").unwrap());
    let patient = subject.unwrap_or_else(|| id.clone());
    let date = text("effectiveDateTime").or_else(|| text("recordedDate"));
    let (status, digest) = (text("status"), Sha256::digest(&content).into());
    drop(doc);
    Row { kind, id, patient, date, status, digest, content }
}

fn insert(db: &Connection, batch: &[Row]) {
    let insert = "INSERT INTO resources (kind, id, patient, date, status, digest, content)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut insert = db.prepare_cached(insert).unwrap();
    for row in batch {
        let Row { kind, id, patient, date, status, digest, content } = row;
        insert.execute(params![kind, id, patient, date, status, digest, content]).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}
