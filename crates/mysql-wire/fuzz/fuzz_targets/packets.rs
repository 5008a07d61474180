//! Packets: taken from a buffer that fills piece by piece as from one that is there at once;
//! what is put is taken back.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mysql_wire::packet::{PacketFault, Payload, put_payload, take_payload};

const LIMIT: usize = 1 << 16;

/// Everything that can be taken, and the fault that ended it.
fn take_all(buffer: &mut BytesMut, due: &mut u8, taken: &mut Vec<Payload>) -> Option<PacketFault> {
    loop {
        match take_payload(buffer, *due, LIMIT) {
            Ok(Some(payload)) => {
                assert!(payload.bytes.len() <= LIMIT);
                *due = payload.next_sequence_id;
                taken.push(payload);
            }
            Ok(None) => return None,
            Err(fault) => return Some(fault),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [piece, due, wire @ ..] = input else { return };
    let (mut whole, mut whole_due, mut expected) = (BytesMut::from(wire), *due, Vec::new());
    let fault = take_all(&mut whole, &mut whole_due, &mut expected);

    let (mut buffer, mut piece_due, mut taken) = (BytesMut::new(), *due, Vec::new());
    let mut piece_fault = None;
    for piece in wire.chunks(usize::from(*piece).max(1)) {
        buffer.extend_from_slice(piece);
        piece_fault = take_all(&mut buffer, &mut piece_due, &mut taken);
        if piece_fault.is_some() {
            break;
        }
    }
    assert_eq!((taken, piece_fault), (expected, fault));

    let mut wire_again = BytesMut::new();
    let (first, second) = wire.split_at(wire.len().min(usize::from(*piece)));
    let next = put_payload(&mut wire_again, *due, &[first, second]);
    let back = take_payload(&mut wire_again, *due, usize::MAX).expect("ours").expect("whole");
    assert_eq!((&back.bytes[..], back.next_sequence_id), (wire, next));
    assert!(wire_again.is_empty());
});
