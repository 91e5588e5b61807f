//! Every limit of this room, with its reason.

use std::time::Duration;

/// Bytes of one content kept in its row; larger ones become files. Up to here a row is faster to
/// read and write than a file of its own, and most resources are 1 to 4 KB.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

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

/// Bytes above which a unit is hashed and spilled on a thread of its own: about the work that an
/// async thread may do without starving its neighbours.
pub const HASH_BYTES_INLINE_MAX: usize = 256 * 1024;

/// How long a statement waits for a lock of SQLite: only a backup or a person with a shell can
/// hold one, since the lock file keeps every other process of ours away.
pub const DATABASE_WAIT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection: somewhat more than this room has.
pub const STATEMENTS_KEPT: usize = 128;

/// Pages (4 KB) in the write-ahead log before they are brought into the database. A group of
/// units fills a thousand, and bringing them in costs two waits for the disk: not after each.
pub const LOG_PAGES: u32 = 8_192;

/// Memory of the writing connection for pages, in KB: the inner pages of all indexes of a house
/// of some million records.
pub const WRITER_CACHE_KB: i64 = 32 * 1024;

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

/// Time between two tries to empty the write-ahead log.
pub const SCRUB_PAUSE: Duration = Duration::from_millis(300);

/// How often it tries: about half a minute, longer than any reading of ours takes.
pub const SCRUB_TRIES: u32 = 60;
