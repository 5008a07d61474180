//! The short packets of a replica: OK, EOF, ERR, PREPARE_OK and statement ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mysql_wire::ok_packet::{encode_eof, parse_eof};
use mysql_wire::prepare::{PrepareOk, statement_id};
use mysql_wire::{ErrPacket, OkPacket};

fuzz_target!(|payload: &[u8]| {
    if let Ok(ok) = OkPacket::parse(payload) {
        assert_eq!(OkPacket::parse(&ok.encode()), Ok(ok));
    }
    if let Ok((_, status)) = parse_eof(payload) {
        assert_eq!(parse_eof(&encode_eof(status)), Ok((0, status)));
    }
    if let Ok(err) = ErrPacket::parse(payload) {
        assert_eq!(ErrPacket::parse(&err.encode()), Ok(err.clone()));
        assert_eq!(err.sqlstate.to_text().len(), 5);
    }
    if let Ok(ok) = PrepareOk::parse(payload) {
        assert!(payload.len() >= 12);
        assert_eq!(PrepareOk::parse(&ok.encode(true)), Ok(ok));
    }
    assert_eq!(statement_id(payload).is_ok(), payload.len() >= 4);
});
