//! Every limit of this room, with its reason.

/// Nesting of objects and arrays. The deepest published R4 example nests 15 levels; anything
/// near this is an attack on the stack.
pub const DEPTH_MAX: usize = 64;

/// Bytes of one resource or Bundle: positions are kept in 32 bits.
pub const DOCUMENT_BYTES_MAX: usize = u32::MAX as usize - 1;
