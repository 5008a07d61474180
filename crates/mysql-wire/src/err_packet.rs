//! ERR packets: written by us, read from the replica.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html>
use bytes::{BufMut, BytesMut};

use crate::{Malformed, Reader};

/// First byte of an ERR payload.
pub const ERR_HEADER: u8 = 0xff;

/// Five characters that class an error (SQL standard).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// `HY000`, the general one.
    pub const GENERAL: Self = Self(*b"HY000");
    /// `08S01`, communication link failure.
    pub const LINK: Self = Self(*b"08S01");
    /// `28000`, invalid authorisation.
    pub const AUTHORISATION: Self = Self(*b"28000");
    /// `42000`, syntax error or access rule violation.
    pub const ACCESS: Self = Self(*b"42000");

    /// `70100`, interrupted by a KILL.
    pub const INTERRUPTED: Self = Self(*b"70100");

    /// A SQLSTATE of five bytes.
    pub const fn new(bytes: [u8; 5]) -> Self {
        Self(bytes)
    }

    /// As text; bytes that aren't ASCII become `?`.
    pub fn to_text(self) -> String {
        self.0.iter().map(|&b| if b.is_ascii_graphic() { char::from(b) } else { '?' }).collect()
    }
}

/// A refusal or failure, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrPacket {
    /// Number of the error (`ER_...`).
    pub code: u16,
    /// Class of the error; `HY000` where the peer sent none.
    pub sqlstate: SqlState,
    /// Text, any bytes.
    pub message: Vec<u8>,
}

impl ErrPacket {
    /// An error of ours.
    pub fn new(code: u16, sqlstate: SqlState, message: impl Into<Vec<u8>>) -> Self {
        Self { code, sqlstate, message: message.into() }
    }

    /// The payload for a client that has negotiated PROTOCOL_41.
    pub fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(9 + self.message.len());
        out.put_u8(ERR_HEADER);
        out.put_u16_le(self.code);
        out.put_u8(b'#');
        out.put_slice(&self.sqlstate.0);
        out.put_slice(&self.message);
        out
    }

    /// The payload in place of a greeting: nothing is negotiated yet, so no SQLSTATE goes
    /// with it, as from the server itself; clients show HY000.
    pub fn encode_before_greeting(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(3 + self.message.len());
        out.put_u8(ERR_HEADER);
        out.put_u16_le(self.code);
        out.put_slice(&self.message);
        out
    }

    /// Reads an ERR payload, with or without SQLSTATE.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "ERR packet");
        if reader.u8()? != ERR_HEADER {
            return Err(reader.malformed());
        }
        let code = reader.u16()?;
        let (sqlstate, message) = match reader.rest() {
            [b'#', a, b, c, d, e, message @ ..] => (SqlState([*a, *b, *c, *d, *e]), message),
            message => (SqlState::GENERAL, message),
        };
        Ok(Self { code, sqlstate, message: message.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let err = ErrPacket::new(1045, SqlState::AUTHORISATION, "no");
        assert_eq!(ErrPacket::parse(&err.encode()), Ok(err.clone()));
        let early = ErrPacket::parse(&err.encode_before_greeting()).unwrap();
        assert_eq!((early.code, early.sqlstate), (1045, SqlState::GENERAL));
        assert!(ErrPacket::parse(&[0xff, 1]).is_err());
        assert!(ErrPacket::parse(&[0, 1, 2]).is_err());
    }
}
