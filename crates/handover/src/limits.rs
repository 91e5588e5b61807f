//! Every limit of the front door, with its reason.

use std::time::Duration;

/// Threads that run the house: its work waits for disk and network, not for processors, and each
/// idle thread costs memory.
pub const WORKER_THREADS: usize = 2;

/// Time for one exchange with a partner: a door that files thousands of records before it answers
/// takes most of it. The lease of the walk that waits is renewed meanwhile.
pub const PARTNER_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a partner's answer: a transaction's answer has some 500 bytes an entry.
pub const PARTNER_ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Time for one request to the EHR.
pub const SOURCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an EHR's answer: one page of a search, notes and images included. Several are read at once,
/// and what all pages of a search may hold together is twice that.
pub const SOURCE_ANSWER_MAX: usize = 32 * 1024 * 1024;

/// Time for a command to a running house, beyond what it was asked to wait.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of a house's answer to a command: a list of 100,000 rows has some 50 MB.
pub const COMMAND_ANSWER_MAX: usize = 256 * 1024 * 1024;

/// How often a command that walks the road itself looks whether it has come to its end.
pub const WALK_LOOK: Duration = Duration::from_millis(50);

/// Time for a partner's port to answer at all, when `check` knocks.
pub const KNOCK_MAX: Duration = Duration::from_secs(5);

/// A certificate with so many days left, or fewer, is a person's work: an authority may take weeks.
pub const CERTIFICATE_DAYS_WARN: i64 = 30;

/// With so many it is the week's.
pub const CERTIFICATE_DAYS_URGENT: i64 = 7;

/// With so many it is today's.
pub const CERTIFICATE_DAYS_LAST: i64 = 1;

/// Bytes of a note that a page shows; the rest is counted.
pub const NOTE_BYTES_MAX: usize = 200_000;

/// Triggers on their way to one house at once, in the demo.
pub const DEMO_TRIGGERS: usize = 16;

/// Time for a house of the demo to open its doors.
pub const DEMO_READY_MAX: Duration = Duration::from_secs(20);

/// Time for all pushes of the demo to come to rest: ten thousand encounters at 30 a second.
pub const DEMO_REST_MAX: Duration = Duration::from_secs(600);

/// How often the demo looks how far the pushes are.
pub const DEMO_LOOK: Duration = Duration::from_millis(150);

/// Time for a house of the demo to stop by itself before it is ended.
pub const DEMO_STOP_MAX: Duration = Duration::from_secs(10);

/// Patients of each hospital in the demo, unless told otherwise: enough for a story, few enough
/// to read.
pub const DEMO_PATIENTS: usize = 4;

/// A list of due pushes that has not changed for so long rests: what is left waits for a plan's
/// person, or behind such a push of the same patient.
pub const DEMO_QUIET: Duration = Duration::from_millis(1_500);

/// The demo waits for a plan's late word only when that comes this soon after the beginning.
pub const DEMO_STORY_MAX: Duration = Duration::from_secs(12);

/// Rows looked through for the push about an encounter.
pub const LIST_ROWS_MAX: u32 = 100_000;

/// Ports the demo's houses are given: below those that outgoing connections take by themselves, so
/// that a port that was free stays free until its house has it.
pub const DEMO_PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Characters of a value shown in a line: what a partner wrote must not fill the screen. `--json` has
/// all of it.
pub const CELL_MAX: usize = 200;

/// Characters of a sentence shown, for the same reason.
pub const SENTENCE_MAX: usize = 2_000;

/// Time for a backup or a retention of a running house: a million records take minutes, a network
/// share hours.
pub const KEEPING_SECONDS_MAX: u32 = 6 * 60 * 60;

/// Lines or rows of work read in one commit while contents are linked to them.
pub const LINK_ROWS: u32 = 1_000;

/// Records whose keys are read anew in one commit: some megabytes at a time, and little lost when
/// it is cut off.
pub const REKEY_ROWS: u32 = 500;

/// How often a running house looks whether contents of this day are purged already.
pub const RETENTION_LOOK: Duration = Duration::from_secs(10 * 60);

/// How long the others leave it to the process that has begun: after a failure, or the end of that
/// process, the next look behind it begins again.
pub const RETENTION_TURN: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// How long it is remembered that a day's contents are purged: longer than the day.
pub const RETENTION_REMEMBERED: jiff::SignedDuration = jiff::SignedDuration::from_hours(48);

/// Clients kept for one partner's doors: the one in use, one that pushes are still polled at, and those
/// of an endpoint that goes to and fro.
pub const PARTNER_DOORS_MAX: usize = 4;

/// How long an endpoint is believed to be a payer's by its signed metadata before they are read again:
/// as long as the metadata themselves are kept.
pub const VOUCHED_KEEP: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// How long it is believed that nothing signed names the payer: a payer that has just moved is waited
/// for by people.
pub const VOUCHED_NOT_KEEP: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// Endpoints of which that is kept: as many as a house has payers, and some that go to and fro.
pub const VOUCHED_KEPT_MAX: usize = 1_000;

/// Time for one answer of a directory: a search there takes a second at most, and a push waits for it.
pub const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(15);

/// How often a running house looks whether its keys or certificates changed: twice a minute, some ten
/// small files.
pub const RELOAD_LOOK: Duration = Duration::from_secs(30);

/// How often files of a key are read anew because somebody renamed one meanwhile.
pub const STAGE_LOOKS: usize = 5;

/// How long a key is announced before it signs, and honoured after it: partners keep a JWK Set for
/// minutes to hours, and a file that people exchange arrives within a working day.
pub const KEYS_OVERLAP: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// How long the next secret of tokens is read before tokens are issued under it: every process of the
/// house has taken it up by then, some times over.
pub const TOKENS_OVERLAP: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How long tokens of an earlier secret are read: their life of five minutes, with the differences of
/// clocks and the look at the files.
pub const TOKENS_KEEP: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// How long `serve` waits for a house that a command holds: `check` asks partners and the EHR meanwhile.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How often it looks whether the house is free: whoever runs command after command leaves short gaps.
pub const LOCK_LOOK: Duration = Duration::from_millis(20);

/// How long each step of a first look at a partner's door may take: a person waits for it.
pub const PARTNER_LOOK_MAX: Duration = Duration::from_secs(10);

/// How long a small answer of a server may take that `export` asks; files take as long as they bring
/// bytes.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an answer that `export` reads whole: a manifest names hundreds of files in a megabyte.
pub const EXPORT_ANSWER_MAX: usize = 64 * 1024 * 1024;

/// The first pause between polls of a server that names none; each is twice the one before.
pub const EXPORT_POLL_MIN: Duration = Duration::from_secs(1);

/// The longest, and the longest that a server is believed: whoever waits wants to see it go on.
pub const EXPORT_POLL_MAX: Duration = Duration::from_secs(300);

/// Polls in a row that may fail for a while.
pub const EXPORT_TRIES_MAX: u32 = 8;

/// Pages of a manifest: with hundreds of files each, more than any export has.
pub const EXPORT_PAGES_MAX: u64 = 10_000;

/// Lines between two moments at which a file is brought to the disk: a second's work that a sudden end
/// costs.
pub const EXPORT_SAVED_LINES: u64 = 10_000;

/// Pushes of a roster that are asked for at once: each is one small commit of the house.
pub const ROSTER_AT_ONCE: usize = 16;

/// How often it is looked how far the pushes of a roster are.
pub const ROSTER_LOOK: Duration = Duration::from_secs(1);
