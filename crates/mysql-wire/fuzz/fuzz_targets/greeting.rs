//! A replica's greeting: what can be read is written back as the same greeting.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mysql_wire::greeting::HandshakeV10;

fuzz_target!(|payload: &[u8]| {
    let Ok(greeting) = HandshakeV10::parse(payload) else { return };
    assert!(greeting.nonce.len() >= 20);
    // A longer nonce has no length on the wire; readgate's own has 20 bytes.
    if greeting.nonce.len() < 255 {
        assert_eq!(HandshakeV10::parse(&greeting.encode()), Ok(greeting));
    }
});
