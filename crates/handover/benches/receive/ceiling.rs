//! Ceiling: the least that could be done with the same bytes, by a program that does not change.
//!
//! Comes in   the same Bundles, how many producers, a folder or a PostgreSQL server.
//! Goes out   resources a second and CPU time, to be set beside those of the receiving house.
//! Never      changes with the product: it parses once, digests once, and inserts one row per
//!            resource in one table set, with the same durability and shared commits. No HTTP, no
//!            sign-in, no ledger, no versions, no rules.

use bytes::Bytes;
use fhir::{Doc, Node};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::ToSql;

/// What one run did.
pub(crate) struct Done {
    /// Resources on the disk.
    pub(crate) resources: u64,
    /// From the first Bundle to the last commit.
    pub(crate) wall: Duration,
}

/// One resource, ready for its row.
pub(crate) struct Row {
    kind: String,
    id: String,
    patient: String,
    date: Option<String>,
    status: Option<String>,
    digest: [u8; 32],
    content: Range<usize>,
}

/// A Bundle's rows, and where to say that they are on the disk.
struct Group {
    bundle: Bytes,
    rows: Vec<Row>,
    done: mpsc::SyncSender<()>,
}

/// Index and digest of every resource of a Bundle.
pub(crate) fn rows(bundle: &Bytes) -> Vec<Row> {
    let doc = Doc::parse(bundle).expect("the Bundles of this bench are sound");
    let entries = doc.root().get("entry").expect("they have entries");
    entries.items().filter_map(|entry| row(bundle, entry.get("resource")?)).collect()
}

fn row(bundle: &Bytes, resource: Node<'_, '_>) -> Option<Row> {
    let text = |name: &str| resource.get(name)?.text().map(|text| text.into_owned());
    let subject = resource.get("subject").or_else(|| resource.get("beneficiary"));
    let subject = subject.and_then(|it| it.get("reference")?.text().map(|it| it.into_owned()));
    let content = resource.span();
    Some(Row {
        kind: text("resourceType")?,
        id: text("id")?,
        patient: subject.or_else(|| text("id"))?,
        date: text("effectiveDateTime").or_else(|| text("recordedDate")),
        status: text("status"),
        digest: Sha256::digest(&bundle[content.clone()]).into(),
        content,
    })
}

const TABLES: &str = "
    CREATE TABLE resources (
        resource INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, patient TEXT NOT NULL,
        date TEXT, status TEXT, digest BLOB NOT NULL, content BLOB NOT NULL, UNIQUE (kind, id)
    ) STRICT;
    CREATE INDEX resources_by_patient ON resources (patient, kind);";

/// Into SQLite: one writer, group commit, WAL, `synchronous=FULL`.
pub(crate) fn sqlite(folder: &Path, bundles: &[Bytes], producers: usize, limit: Duration) -> Done {
    let db = Connection::open(folder.join("ceiling.sqlite")).expect("the folder can be written");
    db.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    db.pragma_update(None, "synchronous", "FULL").expect("FULL");
    db.pragma_update(None, "wal_autocheckpoint", 8_192).expect("a pragma");
    db.pragma_update(None, "cache_size", -32 * 1024).expect("a pragma");
    db.execute_batch(TABLES).expect("tables");
    produce(bundles, producers, limit, |groups| {
        let mut written = 0;
        let mut gathered = Vec::new();
        while let Ok(first) = groups.recv() {
            gathered.push(first);
            gathered.extend(groups.try_iter().take(255));
            db.execute_batch("BEGIN IMMEDIATE").expect("begin");
            for group in &gathered {
                written += insert(&db, group);
            }
            db.execute_batch("COMMIT").expect("commit");
            for group in gathered.drain(..) {
                group.done.send(()).ok();
            }
        }
        written
    })
}

fn insert(db: &Connection, group: &Group) -> u64 {
    let insert = "INSERT INTO resources (kind, id, patient, date, status, digest, content)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = db.prepare_cached(insert).expect("a statement");
    for row in &group.rows {
        let content = &group.bundle[row.content.clone()];
        let columns =
            params![row.kind, row.id, row.patient, row.date, row.status, row.digest, content];
        insert.execute(columns).expect("a row");
    }
    group.rows.len() as u64
}

/// Into PostgreSQL: one connection, one binary COPY for all that wait.
pub(crate) fn postgres(url: &str, bundles: &[Bytes], producers: usize, limit: Duration) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let client = runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.batch_execute(POSTGRES_TABLES).await.expect("tables");
        client
    });
    produce(bundles, producers, limit, |groups| {
        let mut written = 0;
        let mut gathered = Vec::new();
        while let Ok(first) = groups.recv() {
            gathered.push(first);
            gathered.extend(groups.try_iter().take(255));
            runtime.block_on(copy(&client, &gathered));
            written += gathered.iter().map(|group: &Group| group.rows.len() as u64).sum::<u64>();
            for group in gathered.drain(..) {
                group.done.send(()).ok();
            }
        }
        written
    })
}

const POSTGRES_TABLES: &str = "
    CREATE TABLE resources (
        resource BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind TEXT NOT NULL,
        id TEXT NOT NULL, patient TEXT NOT NULL, date TEXT, status TEXT, digest BYTEA NOT NULL,
        content BYTEA NOT NULL, UNIQUE (kind, id));
    CREATE INDEX resources_by_patient ON resources (patient, kind);";

async fn copy(client: &tokio_postgres::Client, groups: &[Group]) {
    use tokio_postgres::types::Type;
    let copy = "COPY resources (kind, id, patient, date, status, digest, content)
        FROM STDIN BINARY";
    let types =
        [Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::BYTEA, Type::BYTEA];
    let sink = client.copy_in(copy).await.expect("a copy");
    let mut writer = std::pin::pin!(BinaryCopyInWriter::new(sink, &types));
    for group in groups {
        for row in &group.rows {
            let content = &group.bundle[row.content.clone()];
            let digest = &row.digest[..];
            let columns: [&(dyn ToSql + Sync); 7] =
                [&row.kind, &row.id, &row.patient, &row.date, &row.status, &digest, &content];
            writer.as_mut().write(&columns).await.expect("a row");
        }
    }
    writer.finish().await.expect("a commit");
}

/// Producers take Bundle after Bundle, read it, hand it over and wait for its commit.
fn produce(
    bundles: &[Bytes],
    producers: usize,
    limit: Duration,
    write: impl FnOnce(mpsc::Receiver<Group>) -> u64,
) -> Done {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    let (queue, groups) = mpsc::sync_channel(1024);
    let resources = std::thread::scope(|scope| {
        for _ in 0..producers {
            let (queue, next) = (queue.clone(), &next);
            scope.spawn(move || {
                while begun.elapsed() < limit
                    && let Some(bundle) = bundles.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let (done, waits) = mpsc::sync_channel(1);
                    let group = Group { bundle: bundle.clone(), rows: rows(bundle), done };
                    if queue.send(group).is_err() || waits.recv().is_err() {
                        return;
                    }
                }
            });
        }
        drop(queue);
        write(groups)
    });
    Done { resources, wall: begun.elapsed() }
}
