//! Limits of the town: how much a chart may hold and how deep a resource may nest.
//!
//! Comes in   nothing.
//! Goes out   named numbers, each with its reason.
//! Never      a bound without a name: whoever meets one must be able to look it up.
//!
//! Why limits on test data: the loader reads folders that others wrote, and a demo must end with
//! a sentence, not with a machine out of memory.

use std::time::Duration;

/// Bytes of one file, once unpacked. The largest patient Bundle at hand is 7.8 MB; a year of Bulk
/// export of one type fits well below this, and two such files still fit into a small machine.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Files of one folder. One per patient: a town of twenty thousand is past what a demo needs.
pub const FILES_MAX: usize = 20_000;

/// Resources of one chart. A hundred patients hold about eighty thousand; the chart lies in memory.
pub const RESOURCES_MAX: usize = 2_000_000;

/// Levels of nesting in a resource. FHIR content rarely passes twenty; `serde_json` stops at 128
/// only in the parts it looks into, so that parts which are skipped need this bound of their own.
pub const DEPTH_MAX: usize = 100;

/// Characters of a type's name: as many as a logical id may have; R4's longest has 33.
pub const KIND_CHARS_MAX: usize = 64;

/// Patients of one generated hospital: ids have five digits and member ids must stay distinct.
pub const PATIENTS_MAX: usize = 10_000;

/// Finished encounters of one generated patient: three months apart, this is about a lifetime.
pub const ENCOUNTERS_MAX: u32 = 300;

/// Records in a page of the simulated EHR, unless `_count` says otherwise: fewer than the usual
/// chart of one patient holds, so that whoever reads must follow the `next` links.
pub const EHR_PAGE_RECORDS: u32 = 50;

/// Records in a page of the simulated EHR at most, as real EHRs bound them.
pub const EHR_PAGE_RECORDS_MAX: u32 = 200;

/// Resources of a chart that are read into memory at once while it is filed.
pub const EHR_LOAD_MAX: usize = 2_000;

/// Bytes of a request's head at a simulated payer: a signed-in request with a long search has 4 KB.
pub const PAYER_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request's body at a simulated payer: more than any push that the agreements allow.
pub const PAYER_BODY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Records in a page of a simulated payer, unless `_count` says otherwise: few, so that whoever
/// asks what has arrived must follow the `next` links.
pub const PAYER_PAGE_RECORDS: usize = 20;

/// Records in a page of a simulated payer at most.
pub const PAYER_PAGE_RECORDS_MAX: usize = 100;

/// Bytes of a piece of a slow answer.
pub const SLOW_PIECE: usize = 64;

/// Between two pieces of a slow answer: one of a few kilobytes takes less than a second.
pub const SLOW_PAUSE: Duration = Duration::from_millis(5);

/// Between two bytes of an answer whose end nobody waits for.
pub const DRIP_PAUSE: Duration = Duration::from_millis(500);

/// Records that move with a merged encounter at most: a merge is to be one correction among many.
pub const CORRECTION_MOVES_MAX: usize = 40;

/// How often another record is drawn before a kind of correction is given up: a chart of a few
/// patients has nearly always one left, and one that has none is not searched for ever.
pub const CORRECTION_TRIES: usize = 40;

/// Entries in a page of an EHR of the minimum: so few that nearly every search has several.
pub const EHR_MINIMUM_PAGE: usize = 7;

/// Pages that an EHR of the minimum remembers at once: those of the charts of a hundred patients, of
/// which a gateway reads some at a time.
pub const EHR_TOKENS_MAX: usize = 20_000;

/// Resources on one page of a directory: a payer's endpoints fit, and pages are tried with less.
pub const DIRECTORY_PAGE_RECORDS: usize = 50;
