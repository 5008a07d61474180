//! COM_STMT_PREPARE's answer and the statement ids in the commands that follow it.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_prepare.html>
use bytes::{BufMut, BytesMut};

use crate::{Malformed, Reader};

/// First payload of a good answer to COM_STMT_PREPARE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareOk {
    /// Number that later commands name the statement by.
    pub statement_id: u32,
    /// Columns of its result; 0 if it has none.
    pub columns: u16,
    /// Parameter markers in it.
    pub parameters: u16,
    /// Whether column definitions follow (false only with OPTIONAL_RESULTSET_METADATA).
    pub metadata_follows: bool,
}

impl PrepareOk {
    /// Reads the payload. MySQL 9.7 may answer with a plain OK of 7 bytes instead; that is
    /// malformed here.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "COM_STMT_PREPARE response");
        if reader.u8()? != 0 {
            return Err(reader.malformed());
        }
        let statement_id = reader.u32()?;
        let columns = reader.u16()?;
        let parameters = reader.u16()?;
        reader.u8()?;
        reader.u16()?;
        let metadata_follows = reader.u8().map_or(true, |flag| flag == 1);
        Ok(Self { statement_id, columns, parameters, metadata_follows })
    }

    /// The payload, with the flag of optional metadata where that is negotiated.
    pub fn encode(&self, optional_metadata: bool) -> BytesMut {
        let mut out = BytesMut::with_capacity(13);
        out.put_u8(0);
        out.put_u32_le(self.statement_id);
        out.put_u16_le(self.columns);
        out.put_u16_le(self.parameters);
        out.put_bytes(0, 3);
        if optional_metadata {
            out.put_u8(self.metadata_follows.into());
        }
        out
    }
}

/// The statement id that starts the body of EXECUTE, FETCH, RESET, CLOSE and
/// SEND_LONG_DATA (`body` is the payload without its command byte).
pub fn statement_id(body: &[u8]) -> Result<u32, Malformed> {
    Reader::new(body, "statement id").u32()
}
