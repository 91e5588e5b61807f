//! Every limit of this room, with its reason.

/// Records in a page when the caller names no `_count`: a page of laboratory results stays near
/// 100 KB, and a chart of some hundreds of records comes in a few requests.
pub const PAGE_RECORDS: u32 = 100;

/// Records in a page at most, whatever `_count` says: the page is built in memory.
pub const PAGE_RECORDS_MAX: u32 = 500;

/// Bytes of content in a page: notes and images are large, and a page is built in memory. A page
/// that reaches it ends early and has a `next` link; one record always fits.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Records that come along with a page (`_include`, `_revinclude`): a few for each record of it. A
/// page that would bring more holds fewer records.
pub const INCLUDED_RECORDS_MAX: usize = 1_000;

/// Parameters of one search: no type has a tenth of it.
pub const PARAMETERS_MAX: usize = 64;

/// Alternatives of one parameter (`_id=a,b,c`): a page's worth of ids, within the database's
/// bound on the values of one statement.
pub const ALTERNATIVES_MAX: usize = 500;

/// Different conditions of one Bundle, in urls, `ifNoneExist` and references: each entry of the
/// largest one may have its own.
pub const CONDITIONS_MAX: usize = 5_000;

/// Conditions for one token each that are asked in one question, within the database's bound on
/// the values of one statement.
pub const CONDITIONS_TOGETHER: usize = 200;

/// Records that are looked at to tell what fits the conditions of one Bundle, of those that are
/// asked alone: two for each condition, and as many again that the Bundle's own entries take away.
pub const CONDITION_FITS_MAX: usize = 20_000;

/// How often the entries of a batch are asked again because some of them were refused. Each time
/// what they lean on is looked up; three times is much where nobody wishes to make work.
pub const BATCH_ROUNDS_MAX: usize = 16;

/// Bytes of content read at once to tell which of them fit.
pub const CONDITION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Versions in a page of a history, whatever `_count` says: their contents are read one by one, and
/// the page is built in memory.
pub const HISTORY_RECORDS_MAX: u32 = 100;

/// Records of a chart that are looked through at once for what they refer to.
pub const CHART_STEP_RECORDS: u32 = 500;

/// Bytes of content of a chart that are looked through at once.
pub const CHART_STEP_BYTES: u64 = 2 * 1024 * 1024;

/// Records referred to by a chart that are looked up at once: more than a page holds, so that one
/// walk through the chart does for a page.
pub const REFERRED_RECORDS_MAX: usize = 1_000;

/// Records that the loader files in one unit: one commit to the disk is shared by so many, and
/// other writers wait no longer than it takes.
pub const LOAD_RECORDS_MAX: usize = 500;

/// Bytes of content that the loader files in one unit: the unit is held in memory.
pub const LOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How often the loader reads again when somebody else wrote in between. Each round is lost only
/// to a writer who went forward.
pub const LOAD_ROUNDS_MAX: u32 = 10;

/// Characters of a parameter's name that are quoted in an answer. Names of R4 are shorter.
pub const QUOTED_NAME_MAX: usize = 40;

/// Rows looked at to tell what an abbreviated id means: a trigger and its walks.
pub const ROWS_LOOKED_AT: u32 = 64;

/// Rows of work whose contents are purged in one commit: with some hundred resources each, others
/// wait for the writer no longer than for a large push.
pub const PURGE_ROWS: u32 = 10;

/// Partners of whom a suspension or its end is remembered: more than any house has.
pub const SUSPENSIONS_MAX: u32 = 10_000;

/// Most registrations looked at: a plan has hundreds of senders, each with one application.
pub const REGISTRATIONS_MAX: u32 = 10_000;

/// Rounds of reading again when somebody else says something of the same partner or client.
pub const STALE_ROUNDS_MAX: u32 = 16;

/// Versions looked at in one step through a snapshot, without content: half a megabyte of heads.
pub const SNAPSHOT_ROWS: u32 = 2_000;

/// Contents of a snapshot that are asked for together, within the database's bound on the values of
/// one statement.
pub const SNAPSHOT_CONTENTS: usize = 200;

/// Bytes of content of a snapshot that are in memory at once, the record aside that reaches it.
pub const SNAPSHOT_BYTES: u64 = 1024 * 1024;

/// Versions of a record that are looked at, newest first, before what is set aside is put beneath the
/// newest: without those below, one may be put there twice.
pub const BENEATH_VERSIONS: usize = 50;

/// So much of what stands is filed once more in one unit, over what is put beneath it; what is set aside
/// beyond that does not come back.
pub const BENEATH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Once a page of what is taken out restores so much, it ends: each content is read into memory.
pub const TAKEN_OUT_BYTES: usize = 16 * 1024 * 1024;
