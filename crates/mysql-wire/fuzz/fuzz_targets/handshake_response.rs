//! A client's answer to the greeting: what can be read is written back as the same response.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mysql_wire::Capabilities;
use mysql_wire::handshake_response::HandshakeResponse41;

fuzz_target!(|payload: &[u8]| {
    let Ok(response) = HandshakeResponse41::parse(payload) else { return };
    let requested = response.head.requested;
    // What is written has a length before the proof; and a level, if zstd is asked for.
    let without_level = requested.contains(Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM)
        && response.zstd_level.is_none();
    if requested.contains(Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) && !without_level {
        assert_eq!(HandshakeResponse41::parse(&response.encode()), Ok(response));
    }
});
