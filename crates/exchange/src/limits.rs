//! Every limit of this room, with its reason.

/// Bytes of one agreement. The shipped one has under 10 KB; rules that nobody can read are no
/// agreement.
pub const AGREEMENT_BYTES_MAX: usize = 256 * 1024;

/// Rules of one agreement. Every resource is asked every rule.
pub const AGREEMENT_RULES_MAX: usize = 500;

/// Bytes of one element path; the longest useful ones hold two URLs.
pub const PATH_BYTES_MAX: usize = 500;

/// Steps of one element path. The deepest element of R4 lies nine steps below its resource.
pub const PATH_STEPS_MAX: usize = 16;

/// Bytes of one value set file: about the size of an enumerated set of 100,000 codes.
pub const VALUE_SET_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the table of restrictions: about 100,000 rows.
pub const RESTRICTIONS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a name that people give: rules, partners, value sets, reasons of restrictions.
pub const NAME_BYTES_MAX: usize = 64;

/// Bytes of the sentence that a withhold rule gives to people.
pub const REASON_BYTES_MAX: usize = 300;

/// Hours a push may take until it must be settled: a month. Later data is a new push.
pub const DEADLINE_HOURS_MAX: u32 = 31 * 24;

/// Characters of a word that a suggestion is looked for; comparing costs their product.
pub const SUGGEST_CHARS_MAX: usize = 64;
