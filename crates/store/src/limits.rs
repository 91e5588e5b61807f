//! Every limit of this room, with its reason.

use std::time::Duration;

/// Bytes of one content, as it is stored, kept in its row; larger ones become files. Up to here a
/// row is faster to read and write than a file of its own, and most resources are 1 to 4 KB.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes from which a content is packed: from here on it becomes a third or less, at a millisecond
/// per MB, and saves pages. Most resources are smaller and would become a half at five times the
/// cost.
pub const PACK_BYTES_MIN: usize = 4 * 1024;

/// How hard zstd tries: on Bundles of charts the levels above cost more and gain nothing.
pub const PACK_LEVEL: i32 = 1;

/// Bytes of a content that is packed at most, and so the most that one is ever unpacked to: above
/// the largest body that a house takes (50 MB). Larger ones are kept as they are.
pub const UNPACK_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes on their way to files or objects; beyond it `Busy`. A slow storage would otherwise fill
/// the memory with what waits for it.
pub const KEEPING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Files that are asked about at once while sweeping.
pub const SWEEP_FILES: usize = 1_000;

/// Files that a sweep removes at once while no process may write one: a storage takes some
/// milliseconds for each.
pub const SWEEP_FILES_ALONE: usize = 16;

/// How long a storage may take to be reached.
pub const S3_CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How long a storage may take for one answer, a part of an upload included.
pub const S3_ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Times a call to a storage is repeated when it fails: what passes quickly (a dropped connection,
/// a `SlowDown`) is not worth a 503.
pub const S3_RETRIES_MAX: usize = 3;

/// How long after its beginning a call is repeated no more.
pub const S3_RETRY_WAIT: Duration = Duration::from_secs(10);

/// The longest pause between two of them.
pub const S3_BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Bytes of one part of an upload; larger contents are sent in several. S3 takes 5 MB at least.
pub const S3_PART_BYTES: usize = 8 * 1024 * 1024;

/// Calls that one unit makes to a storage at the same time.
pub const S3_CALLS_AT_ONCE: usize = 4;

/// Units that may wait for the writer. At the few thousand units a second a disk takes, this is
/// well under a second of waiting; whoever comes then is told `Busy` at once.
pub const QUEUE_UNITS_MAX: usize = 1024;

/// Bytes of content that may wait for the writer: large contents are in files before they queue,
/// so that only very many rows at once come near it.
pub const QUEUE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Units that share one database commit. Measured gains flatten here, and the first unit of a
/// group waits for the last.
pub const GROUP_UNITS_MAX: usize = 256;

/// Connections that read at the same time. Readings are short, and a house runs beside others.
pub const READERS_MAX: usize = 4;

/// Readings that may wait for a connection; beyond it `Busy`.
pub const READS_WAITING_MAX: usize = 4096;

/// Connections to a database server beside the writer's, for readings, leases and doors: a server
/// has a hundred by default, for all processes.
pub const POOL_CONNECTIONS_MAX: usize = 6;

/// Houses of one database that one process holds: each has a writer with its own connection.
pub const HOUSES_MAX: usize = 256;

/// How long a connection may take to be made.
pub const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How long the server may keep a caller waiting before it is given up.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// How long a connection over a network may be silent before it counts as lost.
pub const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How long a statement waits for a lock: longer than the process that holds one may be stopped.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// How long the server lets a transaction of ours stand still before it ends it: a stopped process
/// must not keep the others from the house. A transaction waits for nothing but the server, so
/// that milliseconds are much.
pub const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// Bytes of content in one group of a database server: the group stands twice in memory on its way
/// there, and twice more at the other end.
pub const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Versions of one type in a group that a unit's conditions are compared with in memory; behind
/// more of them the unit waits for the next group.
pub const FILED_COMPARED_MAX: usize = 256;

/// How often something is tried that had to give way to another transaction.
pub const TRIES_MAX: u32 = 5;

/// How long the writer leaves a server alone that it could not reach; twice as long each time.
pub const RECONNECT_WAIT: Duration = Duration::from_millis(50);

/// It never leaves it alone for longer: so long after its return a server is found again.
pub const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Bytes of either part of a token as such in its index: a database server takes some 2,700 with the
/// rest of the key, and real identifiers are shorter than this.
pub const TOKEN_BYTES_MAX: usize = 1_000;

/// Bytes above which a unit is hashed and spilled on a thread of its own: about the work that an
/// async thread may do without starving its neighbours.
pub const HASH_BYTES_INLINE_MAX: usize = 256 * 1024;

/// How long a statement waits for a lock of SQLite: only a backup or a person with a shell can
/// hold one, since the lock file keeps every other process of ours away.
pub const DATABASE_WAIT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection: somewhat more than this room has.
pub const STATEMENTS_KEPT: usize = 128;

/// Bytes of a page of a new database file: five contents of the usual size fit in one, where one of 4 KB
/// holds two. A file keeps the pages that it was made with.
pub const PAGE_BYTES: u32 = 8_192;

/// Bytes in the write-ahead log before they are brought into the database: 32 MB. The same
/// pages are written again and again, and are brought over once; with twice as many, the commits
/// that wait for the disk meanwhile wait longer.
pub const LOG_BYTES: u32 = 32 * 1024 * 1024;

/// How many times as many there are in the log when the writer waits until they have been brought
/// over: 128 MB. The log grows that far only where the disk is slower than what comes.
pub const LOG_TIMES_MAX: u32 = 4;

/// Memory of the writing connection for pages, in KB: most of the index by id of a million records, of
/// which each new one changes another page, and the inner pages of all indexes.
pub const WRITER_CACHE_KB: i64 = 64 * 1024;

/// Bytes of the write-ahead log file that stay after its content went to the database (64 MB):
/// without it one large unit would keep its log for ever.
pub const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;

/// Expired single-use tokens forgotten with each new one, so that no call pays for a long pause.
pub const USES_FORGOTTEN_MAX: u32 = 64;

/// A checkpoint is due once so many entries are not signed.
pub const CHECKPOINT_ENTRIES: u64 = 10_000;

/// A checkpoint is due once the oldest unsigned entry is so old.
pub const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

/// How often it is looked whether there are so many entries already.
pub const CHECKPOINT_LOOK: Duration = Duration::from_secs(2);

/// Bytes of an anchor's file: seven short lines, with room.
pub const ANCHOR_BYTES_MAX: u64 = 4 * 1024;

/// Entries read at once while proving: some 500 KB of memory.
pub const VERIFY_PAGE: u32 = 1_000;

/// How many lines removed or inserted in one place are recognised as such, rather than as a
/// change of the line behind them.
pub const SHIFT_MAX: u64 = 16;

/// Changed lines whose successors are recognised while proving, so that they put no blame on an
/// earlier line. Beyond it the line named may be an earlier one than the first that was changed.
pub const DOUBTED_MAX: usize = 64;

/// Bytes of content read at once while keys are read anew: one of the largest contents, or some
/// thousand of the usual ones.
pub const REKEY_BYTES: u64 = 16 * 1024 * 1024;

/// How long the writer waits for readings to end before it can empty the write-ahead log; it lets
/// units go first, and tries again.
pub const SCRUB_WAIT: Duration = Duration::from_millis(200);

/// Tokens up to which their records are looked up one by one: a matter of milliseconds. Where more
/// fit, a walk through all records of the type soon has a page of them.
pub const LEAD_TOKENS: u64 = 5_000;

/// Rows that are on their way together from one database to another.
pub const COPY_ROWS: usize = 500;

/// Bytes that are; a few of such steps wait at a time.
pub const COPY_BYTES: usize = 1024 * 1024;

/// Steps that wait for the slower side of a copy.
pub const COPY_STEPS: usize = 4;

/// Memory for pages of a file that is made of another database's rows, in KB.
pub const COPY_CACHE_KB: i64 = 64 * 1024;

/// Ledger lines, or rows of work, whose contents are linked in one commit before a restore.
pub const LINK_LINES: u32 = 1_000;

/// How long ago a file must have been written before it can be an orphan: much longer than any commit
/// takes whose answer was lost. Clocks that differ by more do no harm to a unit on its way, which a
/// sweep is kept from.
pub const ORPHAN_AGE: Duration = Duration::from_secs(3600);

/// Checkpoints read at once, some 300 bytes each: a house that is two years old has a million.
pub const CHECKPOINT_PAGE: u32 = 500;

/// Time between two tries to empty the write-ahead log.
pub const SCRUB_PAUSE: Duration = Duration::from_millis(300);

/// How often it tries: about half a minute, longer than any reading of ours takes.
pub const SCRUB_TRIES: u32 = 60;

/// Contents looked at in one reading while a house is inspected: some megabytes, and short enough
/// that the write-ahead log can be brought in between.
pub const INSPECT_PAGE: u32 = 200;

/// Faults of a file that are named; a person restores a backup long before reading more.
pub const FAULTS_NAMED_MAX: u32 = 20;

/// What is remembered of what brought a version before: beyond it a version counts as brought for good.
/// A practitioner comes with every push, and nobody takes nine of them back.
pub const BRINGERS_MAX: usize = 8;
