//! Every limit of this room, with its reason.

use std::time::Duration;

/// Rounds of reading again when another push filed the same record between reading and writing.
/// Each round loses to a commit that succeeded, so sixteen in a row means something is wrong.
pub const STALE_ROUNDS_MAX: u32 = 16;

/// Persons that are looked for on behalf of one batch: it is about one, and where that one is not
/// found, there may be another. With the last, all is refused that is about anybody.
pub const PERSONS_TRIED_MAX: u32 = 4;

/// Coverages of one Patient that are read for a member id: a person has a few, and old cards.
pub const COVERAGES_MAX: u32 = 50;

/// Bytes of them that are read, the one that reaches it included: some thousand Coverages as people
/// have them.
pub const COVERAGES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of records that one answer gives back, for senders who ask for what was written. The one that
/// reaches it is the last; the answer is built in memory, and kept.
pub const REPRESENTATIONS_BYTES_MAX: usize = wire::limits::REPRESENTATIONS_ROOM;

/// How long a repeat waits for the first with the same key, before it is told to come again.
pub const KEY_WAIT: Duration = Duration::from_secs(10);

/// Seconds a poller of a held submission is asked to wait: a person has the work, and whoever waits
/// at the other end sees within moments that it is done. A poll reads one row.
pub const POLL_SECONDS: u32 = 5;

/// Rows a list shows when no number is asked for.
pub const LIST_ROWS: u32 = 50;

/// Rows a list shows at most.
pub const LIST_ROWS_MAX: u32 = 10_000;

/// Bytes of the member file: some ten million members.
pub const MEMBER_FILE_BYTES_MAX: u64 = 1 << 30;

/// When the capability statement last changed: with a release, never with the day.
pub const STATEMENT_DATE: &str = "2026-11-22";

/// Most registrations that wait for a person; more would hide those that matter, and anybody whom a
/// community certified may ask.
pub const REGISTRATIONS_WAITING_MAX: usize = 200;

/// How long what a client says of itself stands, as long as nobody vouches for it: each change is a line
/// of the ledger, for good, and anybody whom a community certified could write one after the other.
pub const REGISTRATION_FLOOR: std::time::Duration = std::time::Duration::from_secs(60);

/// How often a process looks for what others decided about registrations: so long at most a refused
/// client's token still opens another process's door.
pub const REGISTRATIONS_LOOK: std::time::Duration = std::time::Duration::from_secs(1);
