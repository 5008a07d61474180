//! Packets: a 4-byte header and up to 2^24-1 bytes; and payloads, joined from them.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html>
use bytes::{BufMut, Bytes, BytesMut};

/// Longest packet without its header. A packet this long is always followed by another
/// of the same payload, even an empty one.
pub const MAX_PACKET_LEN: usize = 0xff_ffff;
/// Length of a packet header.
pub const HEADER_LEN: usize = 4;

/// Length and sequence id in front of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHeader {
    /// Bytes that follow the header.
    pub len: usize,
    /// Counts packets of one exchange, wraps at 256.
    pub sequence_id: u8,
}

impl PacketHeader {
    /// Reads the header at the start of `bytes`; `None` while it isn't complete.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, sequence_id] = *bytes.first_chunk()?;
        let len = u32::from_le_bytes([a, b, c, 0]);
        Some(Self { len: usize::try_from(len).ok()?, sequence_id })
    }
}

/// One logical unit of the protocol with the sequence ids it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes without headers.
    pub bytes: Bytes,
    /// The packet that it came in, header first, unless it took several.
    pub packet: Option<Bytes>,
    /// Sequence id that the answer starts with.
    pub next_sequence_id: u8,
}

/// Why bytes can't be a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketFault {
    /// The peer's sequence id is not the one due (ER_NET_PACKETS_OUT_OF_ORDER).
    #[error("packets out of order: sequence id {found}, expected {expected}")]
    OutOfOrder {
        /// The id due.
        expected: u8,
        /// The id found.
        found: u8,
    },
    /// Larger than the limit (ER_NET_PACKET_TOO_LARGE).
    #[error("payload larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Takes one whole payload off the front of `buffer`, joining its packets. `Ok(None)`
/// while more bytes are needed. Nothing is taken until the payload is complete, so a
/// caller may be cancelled between reads.
pub fn take_payload(
    buffer: &mut BytesMut,
    expected_sequence_id: u8,
    limit: usize,
) -> Result<Option<Payload>, PacketFault> {
    let Some(extent) = measure(buffer, expected_sequence_id, limit)? else {
        return Ok(None);
    };
    let next_sequence_id = extent.next_sequence_id;
    let mut raw = buffer.split_to(extent.raw_len);
    if extent.packets == 1 {
        let packet = raw.freeze();
        let bytes = packet.slice(HEADER_LEN..);
        return Ok(Some(Payload { bytes, packet: Some(packet), next_sequence_id }));
    }
    let mut joined = BytesMut::with_capacity(extent.raw_len);
    while let Some(header) = PacketHeader::peek(&raw) {
        let mut packet = raw.split_to(HEADER_LEN + header.len);
        joined.put(packet.split_off(HEADER_LEN));
    }
    Ok(Some(Payload { bytes: joined.freeze(), packet: None, next_sequence_id }))
}

struct Extent {
    raw_len: usize,
    packets: usize,
    next_sequence_id: u8,
}

fn measure(buffer: &[u8], expected: u8, limit: usize) -> Result<Option<Extent>, PacketFault> {
    let mut raw_len = 0_usize;
    let mut payload_len = 0_usize;
    let mut packets = 0_usize;
    let mut sequence_id = expected;
    loop {
        let Some(header) = buffer.get(raw_len..).and_then(PacketHeader::peek) else {
            return Ok(None);
        };
        if header.sequence_id != sequence_id {
            return Err(PacketFault::OutOfOrder {
                expected: sequence_id,
                found: header.sequence_id,
            });
        }
        payload_len += header.len;
        if payload_len > limit {
            return Err(PacketFault::TooLarge { limit });
        }
        raw_len += HEADER_LEN + header.len;
        packets += 1;
        sequence_id = sequence_id.wrapping_add(1);
        if header.len < MAX_PACKET_LEN {
            break;
        }
    }
    let complete = buffer.len() >= raw_len;
    Ok(complete.then_some(Extent { raw_len, packets, next_sequence_id: sequence_id }))
}

/// Whether a packet is what [`put_payload`] makes of a command byte and its body from sequence
/// id 0 on. The body must be the packet's own: nothing is compared but where it lies.
pub fn is_packet_of(packet: &[u8], command: u8, body: &[u8]) -> bool {
    let Some((&[a, b, c, sequence_id, first], own)) = packet.split_first_chunk() else {
        return false;
    };
    let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    let is_whole = len == 1 + own.len() && len < MAX_PACKET_LEN;
    is_whole && sequence_id == 0 && first == command && std::ptr::eq(own, body)
}

/// Appends a payload as packets to `out`, starting with `sequence_id`; returns the id due
/// next. `parts` are joined: the first is often a command byte, the second its text.
pub fn put_payload(out: &mut BytesMut, mut sequence_id: u8, parts: &[&[u8]]) -> u8 {
    let mut left: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(left + HEADER_LEN * (1 + left / MAX_PACKET_LEN));
    let mut source = parts.iter().flat_map(|part| part.chunks(MAX_PACKET_LEN));
    let mut pending: &[u8] = &[];
    loop {
        let packet_len = left.min(MAX_PACKET_LEN);
        out.put_uint_le(packet_len as u64, 3);
        out.put_u8(sequence_id);
        sequence_id = sequence_id.wrapping_add(1);
        let mut room = packet_len;
        while room > 0 {
            if pending.is_empty() {
                pending = source.next().unwrap_or_default();
            }
            let (now, later) = pending.split_at(room.min(pending.len()));
            out.put_slice(now);
            room -= now.len();
            pending = later;
        }
        left -= packet_len;
        if packet_len < MAX_PACKET_LEN {
            return sequence_id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(payload: &[u8], sequence_id: u8) -> BytesMut {
        let mut out = BytesMut::new();
        put_payload(&mut out, sequence_id, &[payload]);
        out
    }

    #[test]
    fn payload_survives_the_way_through_packets() {
        for len in [0, 1, 5, MAX_PACKET_LEN - 1, MAX_PACKET_LEN, MAX_PACKET_LEN + 1] {
            let payload = vec![7_u8; len];
            let mut wire = packets(&payload, 3);
            wire.put_slice(b"next");
            let taken = take_payload(&mut wire, 3, len).unwrap().unwrap();
            assert_eq!(taken.bytes, payload);
            assert_eq!(taken.next_sequence_id, if len < MAX_PACKET_LEN { 4 } else { 5 });
            assert_eq!(&wire[..], b"next");
        }
    }

    #[test]
    fn parts_are_joined_across_packet_borders() {
        let text = vec![b'x'; MAX_PACKET_LEN];
        let mut wire = BytesMut::new();
        assert_eq!(put_payload(&mut wire, 0, &[&[3], &text]), 2);
        let taken = take_payload(&mut wire, 0, usize::MAX).unwrap().unwrap();
        assert_eq!(taken.bytes[0], 3);
        assert_eq!(&taken.bytes[1..], &text[..]);
        assert!(wire.is_empty());
    }

    #[test]
    fn nothing_is_taken_before_the_last_byte() {
        let whole = packets(b"abcdef", 0);
        for cut in 0..whole.len() {
            let mut partial = BytesMut::from(&whole[..cut]);
            assert_eq!(take_payload(&mut partial, 0, 100), Ok(None));
            assert_eq!(partial.len(), cut);
        }
    }

    #[test]
    fn a_packet_is_sent_on_as_it_came_only_if_it_would_be_made_anew_like_that() {
        let taken = |len: usize, id: u8| {
            let mut wire = BytesMut::new();
            put_payload(&mut wire, id, &[&[3], &vec![b'x'; len]]);
            take_payload(&mut wire, id, usize::MAX).unwrap().unwrap()
        };
        for len in [0, 1, 300, MAX_PACKET_LEN - 2] {
            let payload = taken(len, 0);
            let (packet, body) = (payload.packet.unwrap(), payload.bytes.slice(1..));
            let mut anew = BytesMut::new();
            put_payload(&mut anew, 0, &[&[3], &body]);
            assert!(is_packet_of(&packet, 3, &body) && *packet == *anew);
            assert!(!is_packet_of(&packet, 4, &body));
            let others = body.to_vec();
            assert!(!is_packet_of(&packet, 3, &others), "another's body of {len}");
            for cut in 1..len.min(3) {
                assert!(!is_packet_of(&packet, 3, &body[cut..]));
                assert!(!is_packet_of(&packet, 3, &body[..cut]));
                assert!(!is_packet_of(&packet[..packet.len() - cut], 3, &body[..len - cut]));
            }
        }
        let later = taken(1, 2);
        assert!(!is_packet_of(&later.packet.unwrap(), 3, &later.bytes[1..]));
        assert_eq!(taken(MAX_PACKET_LEN - 1, 0).packet, None);
    }

    #[test]
    fn wrong_sequence_and_impossible_length_are_refused_from_the_header_alone() {
        let mut wire = packets(b"abc", 1);
        let fault = take_payload(&mut wire, 0, 100);
        assert_eq!(fault, Err(PacketFault::OutOfOrder { expected: 0, found: 1 }));
        let mut header_only = BytesMut::from(&[0xff, 0xff, 0xff, 0][..]);
        assert_eq!(
            take_payload(&mut header_only, 0, 1000),
            Err(PacketFault::TooLarge { limit: 1000 })
        );
    }
}
