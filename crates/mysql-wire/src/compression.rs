//! Compressed packets: a second framing around the first, when negotiated.
//!
//! Inflation is bounded: a packet says how long it was, never above 2^24-1, and inflating
//! stops there.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression_packet.html>
use std::io::{Read, Write};

use bytes::{Buf, BufMut, BytesMut};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::packet::MAX_PACKET_LEN;
use crate::{Malformed, Reader};

/// Length of a compressed packet's header.
const HEADER_LEN: usize = 7;
/// Shorter packets go out as they are, as the server's do (`MIN_COMPRESS_LENGTH`).
const MIN_LEN: usize = 50;
/// Most bytes put into one compressed packet.
const CHUNK: usize = 1 << 16;

/// How bytes are squeezed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// CLIENT_COMPRESS.
    Zlib,
    /// CLIENT_ZSTD_COMPRESSION_ALGORITHM, with the level the client asked for.
    Zstd {
        /// 1 to 22.
        level: i32,
    },
}

/// Takes one compressed packet off the front of `raw` and appends what was in it to
/// `inbox`. `None` while it isn't whole; else the sequence id that follows its own.
pub fn inflate_packet(
    algorithm: Algorithm,
    raw: &mut BytesMut,
    inbox: &mut BytesMut,
) -> Result<Option<u8>, Malformed> {
    let malformed = Malformed("compressed packet");
    let mut header = Reader::new(raw, "compressed packet");
    let (Ok(first), Ok(second)) = (header.u32(), header.bytes(3)) else {
        return Ok(None);
    };
    let [a, b, c, sequence_id] = first.to_le_bytes();
    let packet_len = len_of(&[a, b, c]);
    let inflated_len = len_of(second);
    let Some(packet) = header.rest().get(..packet_len) else {
        return Ok(None);
    };
    if inflated_len == 0 {
        inbox.put_slice(packet);
    } else {
        inflate(algorithm, packet, inflated_len, inbox).ok_or(malformed)?;
    }
    raw.advance(HEADER_LEN + packet_len);
    Ok(Some(sequence_id.wrapping_add(1)))
}

fn len_of(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}

fn inflate(algorithm: Algorithm, packet: &[u8], len: usize, out: &mut BytesMut) -> Option<()> {
    let mut inflated = vec![0; len];
    match algorithm {
        Algorithm::Zlib => {
            let mut decoder = ZlibDecoder::new(packet);
            decoder.read_exact(&mut inflated).ok()?;
            // Nothing may be left: the length announced was the whole.
            (decoder.read(&mut [0]).ok()? == 0).then_some(())?;
        }
        Algorithm::Zstd { .. } => {
            // Fails if the frame holds more than fits.
            let written = zstd::bulk::decompress_to_buffer(packet, &mut inflated).ok()?;
            (written == len).then_some(())?;
        }
    }
    out.put_slice(&inflated);
    Some(())
}

/// Appends `bytes` to `out` as compressed packets, starting with `sequence_id`; returns the
/// id due next.
pub fn deflate_packets(
    algorithm: Algorithm,
    bytes: &[u8],
    mut sequence_id: u8,
    out: &mut BytesMut,
) -> std::io::Result<u8> {
    for chunk in bytes.chunks(CHUNK) {
        let squeezed = if chunk.len() < MIN_LEN { None } else { squeeze(algorithm, chunk)? };
        let (packet, inflated_len) = match &squeezed {
            Some(smaller) => (smaller.as_slice(), chunk.len()),
            None => (chunk, 0),
        };
        debug_assert!(packet.len() <= MAX_PACKET_LEN);
        out.put_uint_le(packet.len() as u64, 3);
        out.put_u8(sequence_id);
        out.put_uint_le(inflated_len as u64, 3);
        out.put_slice(packet);
        sequence_id = sequence_id.wrapping_add(1);
    }
    Ok(sequence_id)
}

/// `None` where it doesn't get smaller.
fn squeeze(algorithm: Algorithm, chunk: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let squeezed = match algorithm {
        Algorithm::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(chunk)?;
            encoder.finish()?
        }
        Algorithm::Zstd { level } => zstd::bulk::compress(chunk, level)?,
    };
    Ok((squeezed.len() < chunk.len()).then_some(squeezed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Algorithm; 2] = [Algorithm::Zlib, Algorithm::Zstd { level: 3 }];

    #[test]
    fn bytes_survive_the_way_through_compressed_packets() {
        let long = b"compressible ".repeat(20_000);
        for algorithm in BOTH {
            for bytes in [&b"short"[..], &long] {
                let mut wire = BytesMut::new();
                let next = deflate_packets(algorithm, bytes, 5, &mut wire).unwrap();
                let most = if bytes.len() < MIN_LEN { bytes.len() + HEADER_LEN } else { 3_000 };
                assert!(wire.len() <= most, "{algorithm:?} made {} of it", wire.len());
                let mut back = BytesMut::new();
                let mut seen = 5;
                while let Some(id) = inflate_packet(algorithm, &mut wire, &mut back).unwrap() {
                    seen = id;
                }
                assert_eq!(&back[..], bytes);
                assert_eq!(seen, next);
                assert!(wire.is_empty());
            }
        }
    }

    #[test]
    fn a_packet_that_inflates_beyond_its_word_is_malformed() {
        let long = vec![b'x'; 10_000];
        for algorithm in BOTH {
            for lie in [9_999_u32, 10_001, 50] {
                let mut wire = BytesMut::new();
                deflate_packets(algorithm, &long, 0, &mut wire).unwrap();
                wire[4..7].copy_from_slice(&lie.to_le_bytes()[..3]);
                let fault = inflate_packet(algorithm, &mut wire, &mut BytesMut::new());
                assert!(fault.is_err(), "{algorithm:?} said {lie}");
            }
        }
    }

    #[test]
    fn an_incomplete_packet_waits() {
        let mut wire = BytesMut::new();
        deflate_packets(Algorithm::Zlib, &[7; 500], 0, &mut wire).unwrap();
        for cut in 0..wire.len() {
            let mut partial = BytesMut::from(&wire[..cut]);
            let taken = inflate_packet(Algorithm::Zlib, &mut partial, &mut BytesMut::new());
            assert_eq!(taken, Ok(None));
        }
    }
}
