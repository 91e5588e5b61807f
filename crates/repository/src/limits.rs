//! Every limit of this room, with its reason.

/// Records in a page when the caller names no `_count`: a page of laboratory results stays near
/// 100 KB, and a chart of some hundreds of records comes in a few requests.
pub const PAGE_RECORDS: u32 = 100;

/// Records in a page at most, whatever `_count` says: the page is built in memory.
pub const PAGE_RECORDS_MAX: u32 = 500;

/// Bytes of content in a page: notes and images are large, and a page is built in memory. A page
/// that reaches it ends early and has a `next` link; one record always fits.
pub const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Records whose content is read at once for a page. What was read beyond `PAGE_BYTES_MAX` is let
/// go again, and a record may be as large as a body; small records come in a few readings.
pub const PAGE_STEP_RECORDS: u32 = 10;

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

/// Bytes of content read at once to tell which of them fit.
pub const CONDITION_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Versions of which a history shows the content; older ones are listed, and can be read one by
/// one. The answer is built in memory.
pub const HISTORY_CONTENTS_MAX: usize = 100;

/// Bytes of content in a history; versions beyond it are listed without content.
pub const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;

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
