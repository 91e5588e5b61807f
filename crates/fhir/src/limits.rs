//! Every limit of this room, with its reason.

/// Nesting of objects and arrays. The deepest published R4 example nests 15 levels; anything
/// near this is an attack on the stack.
pub const DEPTH_MAX: usize = 64;

/// Bytes of one resource or Bundle: positions are kept in 32 bits.
pub const DOCUMENT_BYTES_MAX: usize = u32::MAX as usize - 1;

/// Values of one document. The largest sample chart has under a million, and FHIR text of 50 MB,
/// the most a door takes, some three; the position of a value takes 24 bytes, so that a body of
/// nothing but `0,` claims 96 MB, and not twelve times its own size.
pub const VALUES_MAX: usize = 4_000_000;

/// Characters of an element name or resource type worth reading. R4's longest has 33.
pub const NAME_CHARS_MAX: usize = 64;

/// Entries of one Bundle. The largest patient of the sample charts has about 9,000; the index of
/// an entry takes up to a kilobyte, so a body cannot fill the memory with empty entries.
pub const BUNDLE_ENTRIES_MAX: usize = 50_000;

/// Issues read from a partner's OperationOutcome: a person reads the first, never the hundredth.
pub const OUTCOME_ISSUES_MAX: usize = 50;

/// Characters of one text of an OperationOutcome: a paragraph, not a stack trace.
pub const OUTCOME_TEXT_CHARS_MAX: usize = 1_000;

/// Places that one issue of an OperationOutcome may name.
pub const OUTCOME_EXPRESSIONS_MAX: usize = 10;
