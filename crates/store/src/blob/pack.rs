//! Pack: contents by zstd, where that makes them smaller.
//!
//! Comes in   plain bytes; packed bytes.
//! Goes out   packed bytes; plain bytes, never more than the frame declares and the limit allows.
//! Never      trusts a frame: it may come from a place that others can write.

use bytes::Bytes;
use zstd::zstd_safe::get_frame_content_size;

use crate::house::Error;
use crate::limits::{PACK_BYTES_MIN, PACK_LEVEL, UNPACK_BYTES_MAX};

/// Packed bytes; `None` where plain ones are better kept.
pub(super) fn pack(bytes: &[u8]) -> Option<Bytes> {
    if !(PACK_BYTES_MIN..=UNPACK_BYTES_MAX).contains(&bytes.len()) {
        return None;
    }
    let packed = zstd::bulk::compress(bytes, PACK_LEVEL).ok()?;
    (packed.len() < bytes.len()).then(|| Bytes::from(packed))
}

/// Plain bytes that a frame says it holds, where it says so and they are not too many.
pub(super) fn declared(packed: &[u8]) -> Option<u64> {
    let size = get_frame_content_size(packed).ok()??;
    (size <= UNPACK_BYTES_MAX as u64).then_some(size)
}

/// Plain bytes.
///
/// # Errors
/// `Damaged` when the frame is none, declares no size or one that was never packed, or holds more
/// or less than it declares.
pub(super) fn unpack(packed: &[u8]) -> Result<Bytes, Error> {
    let damaged = || Error::Damaged("a stored content cannot be unpacked".to_owned());
    let size = declared(packed).and_then(|size| usize::try_from(size).ok()).ok_or_else(damaged)?;
    let mut plain = vec![0; size];
    let written = zstd::bulk::decompress_to_buffer(packed, &mut plain).map_err(|_| damaged())?;
    match written == size {
        true => Ok(Bytes::from(plain)),
        false => Err(damaged()),
    }
}
