//! Primitives that put values into a payload, in the protocol's encoding.
use bytes::{BufMut, BytesMut};

/// Appends a length-encoded integer.
pub fn put_lenenc_int(out: &mut BytesMut, value: u64) {
    match value {
        0..=250 => out.put_uint_le(value, 1),
        251..=0xffff => {
            out.put_u8(0xfc);
            out.put_uint_le(value, 2);
        }
        0x1_0000..=0xff_ffff => {
            out.put_u8(0xfd);
            out.put_uint_le(value, 3);
        }
        _ => {
            out.put_u8(0xfe);
            out.put_u64_le(value);
        }
    }
}

/// Appends a length-encoded string.
pub fn put_lenenc_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_lenenc_int(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Appends bytes and a closing NUL. Bytes after a NUL of their own are left out.
pub fn put_nul_terminated(out: &mut BytesMut, bytes: &[u8]) {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    out.put_slice(bytes.get(..end).unwrap_or(bytes));
    out.put_u8(0);
}
