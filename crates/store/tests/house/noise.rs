//! Noise: bytes that no packing makes small.

use bytes::Bytes;

/// So many bytes that nothing packs; another seed, other bytes (`0`: as `1`).
pub(crate) fn noise(size: usize, seed: u64) -> Bytes {
    // Neighbouring seeds must not begin alike.
    let mut state = seed.max(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Some(state.to_le_bytes()[0])
    };
    std::iter::from_fn(next).take(size).collect()
}

/// As `noise`, for a name of its own.
#[allow(dead_code)] // not all who use this file have names
pub(crate) fn noise_of(name: &str, size: usize) -> Bytes {
    let seed = name.bytes().fold(1_u64, |seed, byte| {
        seed.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))
    });
    noise(size, seed)
}
