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

/// Bundles of one sender that are taken and wait for a worker: more than it can be told of in a minute.
pub const LATER_MAX: u32 = 100;

/// Seconds after which a sender with so many is told to come again.
pub const LATER_FULL_SECONDS: u32 = 10;

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

/// Records in one file of an export: some 20 MB of what charts hold, which a slow line takes within the
/// time for one answer. Files are read while they are taken, so it bounds no memory.
pub const EXPORT_FILE_RECORDS: u64 = 10_000;

/// Exports of one reader that wait to be listed: one runs, and the next may stand in line.
pub const EXPORTS_ASKED_MAX: u32 = 2;

/// Exports of one reader that can be fetched: each is a row. Whoever deletes what was fetched never
/// meets it, and whoever never does may ask twice an hour.
pub const EXPORTS_READY_MAX: u32 = 50;

/// Seconds after which a reader with so many exports is told to come again.
pub const EXPORTS_FULL_SECONDS: u32 = 60;

/// Files that one reader fetches at once: each holds some megabytes while a piece of it is made.
pub const EXPORT_FILES_AT_ONCE: usize = 8;

/// Seconds a poller of an export is asked to wait. A poll reads one row.
pub const EXPORT_POLL_SECONDS: u32 = 2;

/// Who polls again within this time is refused: half of what it was asked to wait.
pub const EXPORT_POLL: jiff::SignedDuration = jiff::SignedDuration::from_secs(1);

/// How long a row of work is one worker's; after a sudden end it waits so long for the next one.
pub const LEASE: Duration = Duration::from_secs(20);

/// How often that is renewed.
pub const RENEWAL: Duration = Duration::from_secs(5);

/// Workers of a process: two exports of a reader may be listed, and Bundles go on beside them.
pub const EXPORT_SEATS: usize = 4;

/// How often a worker looks for exports that nobody woke it for: expired ones, another process's.
pub const EXPORT_LOOK: Duration = Duration::from_secs(10);

/// How far back the moment of an export is where several processes file: by then each has filed what it
/// had begun, clocks that differ a little included.
pub const EXPORT_SETTLE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Lines that are filed in one unit: one commit to the disk is shared by so many, and what is about a
/// member waits no longer for another sender's push than it takes.
pub const BULK_BATCH_LINES: usize = 1_000;

/// Bytes of lines in one unit. Three batches of a file are in memory at once.
pub const BULK_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Manifests of one submission: its row names each in some 200 bytes and is written with each request.
pub const BULK_MANIFESTS_MAX: usize = 1_000;

/// Pages of one manifest.
pub const BULK_PAGES_MAX: usize = 1_000;

/// Files of one manifest, over all its pages: the list of them is in memory while they are read, some
/// 300 bytes each.
pub const BULK_LISTED_FILES_MAX: usize = 50_000;

/// Submissions of one sender that are not ended: one is worked on at a time.
pub const BULK_OPEN_MAX: u32 = 20;

/// Seconds after which a sender with so many is told to come again.
pub const BULK_FULL_SECONDS: u32 = 60;

/// Patients that are remembered as matched while a receipt is worked on, some 100 bytes each.
pub const BULK_KNOWN_MAX: usize = 100_000;

/// Patients on file that are asked for together, within the database's bound on the values of one
/// statement.
pub const BULK_PATIENTS_TOGETHER: usize = 200;

/// How often a file is read from its beginning because it became another one, before it is given up.
pub const BULK_RESTARTS_MAX: u32 = 3;

/// Seconds a poller of a bulk submission is asked to wait. A poll reads some rows.
pub const BULK_POLL_SECONDS: u32 = 5;

/// Who polls again within this time is refused: half of what it was asked to wait.
pub const BULK_POLL: jiff::SignedDuration = jiff::SignedDuration::from_millis(2_500);

/// How long a submission's status can be asked for after its last word: a weekend, and a day to mend what
/// went wrong.
pub const BULK_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// Bytes of Coverages that are in memory while it is looked whose Patients they make members: some 15,000
/// of them at a time.
pub const BULK_COVERAGES_BYTES: usize = 16 * 1024 * 1024;

/// Records whose newest versions are looked up together, within the database's bound on the values of
/// one statement.
pub const EXPORT_HEADS_TOGETHER: usize = 200;

/// Patients whose records are searched for together: for each of them a search looks at an index anew.
pub const EXPORT_PATIENTS_TOGETHER: usize = 100;

/// Names of records that the chosen Patients' records refer to: people and places of a whole region, in
/// some ten megabytes. More than these are told, and not given.
pub const EXPORT_REFERRED_MAX: usize = 100_000;

/// Files in one page of a manifest, for readers who take pages: some 30 KB.
pub const EXPORT_MANIFEST_FILES: usize = 200;

/// Records of a discarded manifest that are taken out in one unit: each is looked up with its versions, and
/// what stands again is read.
pub const BULK_TAKEN_OUT_RECORDS: u32 = 200;
