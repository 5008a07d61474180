//! OK and EOF packets: the ones readgate writes, and the parts it reads of the replica's.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html>
use bytes::{BufMut, BytesMut};

use crate::writer::put_lenenc_int;
use crate::{Malformed, Reader, StatusFlags};

/// First byte of an OK payload.
pub const OK_HEADER: u8 = 0x00;
/// First byte of an EOF payload, and of the OK that stands for it (DEPRECATE_EOF).
pub const EOF_HEADER: u8 = 0xfe;
/// An EOF payload is shorter than this; a row that starts with 0xFE is not.
pub const MAX_EOF_LEN: usize = 9;

/// The fixed part of an OK packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OkPacket {
    /// Rows changed.
    pub affected_rows: u64,
    /// AUTO_INCREMENT value.
    pub last_insert_id: u64,
    /// Session status after the statement.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
}

impl OkPacket {
    /// The OK of something that changed nothing.
    pub fn plain(status: StatusFlags) -> Self {
        Self { affected_rows: 0, last_insert_id: 0, status, warnings: 0 }
    }

    /// The payload, without info text.
    pub fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(16);
        out.put_u8(OK_HEADER);
        put_lenenc_int(&mut out, self.affected_rows);
        put_lenenc_int(&mut out, self.last_insert_id);
        out.put_u16_le(self.status.bits());
        out.put_u16_le(self.warnings);
        out
    }

    /// Reads an OK payload, whichever of its two headers it has; what follows the
    /// warnings (info, session state) is left alone.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "OK packet");
        if !matches!(reader.u8()?, OK_HEADER | EOF_HEADER) {
            return Err(reader.malformed());
        }
        let affected_rows = reader.lenenc_int()?;
        let last_insert_id = reader.lenenc_int()?;
        let status = StatusFlags::from_bits_truncate(reader.u16()?);
        Ok(Self { affected_rows, last_insert_id, status, warnings: reader.u16()? })
    }
}

/// The number of warnings and the status flags of a classic EOF payload.
pub fn parse_eof(payload: &[u8]) -> Result<(u16, StatusFlags), Malformed> {
    let mut reader = Reader::new(payload, "EOF packet");
    if reader.u8()? != EOF_HEADER {
        return Err(reader.malformed());
    }
    let warnings = reader.u16()?;
    Ok((warnings, StatusFlags::from_bits_truncate(reader.u16()?)))
}

/// What ends rows, and answers COM_SET_OPTION: a classic EOF payload, or where DEPRECATE_EOF is
/// negotiated the OK that stands for it.
pub fn encode_end(status: StatusFlags, deprecate_eof: bool) -> BytesMut {
    if deprecate_eof {
        let mut ok = OkPacket::plain(status).encode();
        ok.iter_mut().take(1).for_each(|header| *header = EOF_HEADER);
        return ok;
    }
    encode_eof(status)
}

/// A classic EOF payload.
pub fn encode_eof(status: StatusFlags) -> BytesMut {
    let mut out = BytesMut::with_capacity(5);
    out.put_u8(EOF_HEADER);
    out.put_u16_le(0);
    out.put_u16_le(status.bits());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_round_trips() {
        let ok = OkPacket {
            affected_rows: 70_000,
            last_insert_id: 3,
            status: StatusFlags::SERVER_STATUS_AUTOCOMMIT,
            warnings: 2,
        };
        assert_eq!(OkPacket::parse(&ok.encode()), Ok(ok));
        // MySQL 9.7.4's answer to a refused SET GLOBAL in COM_STMT_PREPARE: 7 bytes.
        assert!(OkPacket::parse(&[0, 0, 0, 2, 0, 0, 0]).is_ok());
        assert!(OkPacket::parse(&[0, 0]).is_err());
    }
}
