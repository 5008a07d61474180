//! Compressed packets: any bytes inflate within bounds, in pieces as at once; what is
//! deflated comes back.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use mysql_wire::MAX_PACKET_LEN;
use mysql_wire::compression::{Algorithm, deflate_packets, inflate_packet};

/// Inflates what is there; true if that was malformed.
fn inflate_all(algorithm: Algorithm, raw: &mut BytesMut, inbox: &mut BytesMut) -> bool {
    loop {
        let before = (raw.len(), inbox.len());
        match inflate_packet(algorithm, raw, inbox) {
            Ok(Some(_)) => {
                assert!(raw.len() + 7 <= before.0);
                assert!(inbox.len() - before.1 <= MAX_PACKET_LEN);
            }
            Ok(None) => return false,
            Err(_) => {
                assert_eq!(inbox.len(), before.1, "nothing of a malformed packet counts");
                return true;
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let [choice, piece, wire @ ..] = input else { return };
    let algorithm = match choice % 2 {
        0 => Algorithm::Zlib,
        _ => Algorithm::Zstd { level: i32::from(choice / 2 % 6) + 1 },
    };
    let (mut raw, mut expected) = (BytesMut::from(wire), BytesMut::new());
    let malformed = inflate_all(algorithm, &mut raw, &mut expected);

    let (mut raw, mut inbox, mut piece_malformed) = (BytesMut::new(), BytesMut::new(), false);
    for piece in wire.chunks(usize::from(*piece).max(1)) {
        raw.extend_from_slice(piece);
        piece_malformed = inflate_all(algorithm, &mut raw, &mut inbox);
        if piece_malformed {
            break;
        }
    }
    assert_eq!((inbox, piece_malformed), (expected, malformed));

    let mut packets = BytesMut::new();
    let next =
        deflate_packets(algorithm, wire, *piece, &mut packets).expect("memory has no faults");
    let (mut back, mut seen) = (BytesMut::new(), *piece);
    while let Some(id) = inflate_packet(algorithm, &mut packets, &mut back).expect("ours") {
        seen = id;
    }
    assert_eq!((&back[..], seen, packets.len()), (wire, next, 0));
});
