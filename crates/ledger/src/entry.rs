//! One entry of the journal in bytes: a header of 32 and a body.
//!
//! Header: magic 4, body length 4, sequence 8, time 8, checksum 4, kind 4; little endian.
//! The checksum covers body, salt and header, its own field as zero.

use std::time::{SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;

const MAGIC: &[u8; 4] = b"RGe\x01";
/// Bytes of a header.
pub(crate) const HEADER: usize = 32;

/// What the writer makes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body is the members of a record.
    Record,
    /// The writer completes and signs it when it gets there.
    Checkpoint,
    /// A checkpoint after which the next file begins.
    LastOfFile,
}

/// One entry as read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) sequence: u64,
    /// Microseconds since 1970, UTC.
    pub(crate) time: u64,
    pub(crate) kind: Kind,
    pub(crate) body: &'a [u8],
}

/// A body with its checksum and the time, found out before the lock is taken.
pub(crate) struct Body<'a> {
    pub(crate) bytes: &'a [u8],
    /// Microseconds since 1970, UTC.
    pub(crate) made: u64,
    checksum: Hasher,
}

impl<'a> Body<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, made: now_micros(), checksum: checksum_of(bytes) }
    }
}

fn checksum_of(body: &[u8]) -> Hasher {
    let mut checksum = Hasher::new();
    checksum.update(body);
    checksum
}

/// Wall clock in microseconds since 1970, UTC; 0 if it stands before.
pub(crate) fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
}

/// Bytes that an entry takes in the ring.
pub(crate) const fn entry_len(body_len: usize) -> usize {
    (HEADER + body_len).next_multiple_of(8)
}

/// The header of an entry.
pub(crate) fn encode_header(
    kind: Kind,
    body: &Body<'_>,
    sequence: u64,
    time: u64,
    salt: u32,
) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    put_at(&mut header, 0, MAGIC);
    put_at(&mut header, 4, &u32::try_from(body.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    put_at(&mut header, 8, &sequence.to_le_bytes());
    put_at(&mut header, 16, &time.to_le_bytes());
    let kind = match kind {
        Kind::Record => 0_u32,
        Kind::Checkpoint => 1,
        Kind::LastOfFile => 2,
    };
    put_at(&mut header, 28, &kind.to_le_bytes());
    let checksum = seal(body.checksum.clone(), salt, &header);
    put_at(&mut header, 24, &checksum.to_le_bytes());
    header
}

/// The checksum of a header (its own field as zero) on top of its body's.
fn seal(mut body: Hasher, salt: u32, header: &[u8; HEADER]) -> u32 {
    let mut salted = [0; 4 + HEADER];
    let (start, rest) = salted.split_at_mut(4);
    start.copy_from_slice(&salt.to_le_bytes());
    rest.copy_from_slice(header);
    body.update(&salted);
    body.finalize()
}

/// The length of the body that a header announces.
pub(crate) fn body_len(bytes: &[u8]) -> Option<usize> {
    bytes.starts_with(MAGIC).then_some(())?;
    usize::try_from(u32::from_le_bytes(array_at(bytes, 4)?)).ok()
}

/// Reads an entry and its length in the ring, if its checksum holds.
pub(crate) fn read_entry(bytes: &[u8], salt: u32) -> Option<(Entry<'_>, usize)> {
    let body = bytes.get(HEADER..HEADER.checked_add(body_len(bytes)?)?)?;
    let mut header: [u8; HEADER] = array_at(bytes, 0)?;
    let checksum = u32::from_le_bytes(array_at(bytes, 24)?);
    put_at(&mut header, 24, &[0; 4]);
    if seal(checksum_of(body), salt, &header) != checksum {
        return None;
    }
    let kind = match u32::from_le_bytes(array_at(bytes, 28)?) {
        0 => Kind::Record,
        1 => Kind::Checkpoint,
        2 => Kind::LastOfFile,
        _ => return None,
    };
    let sequence = u64::from_le_bytes(array_at(bytes, 8)?);
    let time = u64::from_le_bytes(array_at(bytes, 16)?);
    Some((Entry { sequence, time, kind, body }, entry_len(body.len())))
}

fn put_at(header: &mut [u8; HEADER], at: usize, bytes: &[u8]) {
    if let Some(room) = header.get_mut(at..at + bytes.len()) {
        room.copy_from_slice(bytes);
    }
}

/// `N` bytes at an offset.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
