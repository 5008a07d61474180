//! An answer as packets: text result sets, in the two forms that clients negotiate.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html>
use bytes::{BufMut, BytesMut};
use mysql_wire::ok_packet::{EOF_HEADER, encode_eof};
use mysql_wire::writer::{put_lenenc_bytes, put_lenenc_int};
use mysql_wire::{Capabilities, OkPacket, StatusFlags};

use super::engine::Kind;
use crate::packet_stream::PacketStream;

/// utf8mb4_general_ci, which MySQL and MariaDB both know.
const UTF8MB4: u16 = 45;
/// "binary", as numbers and moments have it.
const BINARY: u16 = 63;
/// First byte of a NULL.
const NULL: u8 = 0xfb;
/// Definitions follow, where a client may do without (OPTIONAL_RESULTSET_METADATA).
const FULL_METADATA: u8 = 1;
/// The schema that columns say they are of.
const SCHEMA: &[u8] = b"readgate";

/// A value as text; `None` is NULL.
pub type Cell = Option<Vec<u8>>;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A result set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table of texts.
    pub fn of_texts(names: &[&str], rows: Vec<Vec<String>>) -> Self {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: Kind::Text };
        let cells = |row: Vec<String>| row.into_iter().map(|cell| Some(cell.into_bytes()));
        Self {
            columns: names.iter().map(column).collect(),
            rows: rows.into_iter().map(|row| cells(row).collect()).collect(),
        }
    }

    /// Bytes of its values.
    pub fn bytes(&self) -> u64 {
        let cells = self.rows.iter().flatten();
        cells.map(|cell| cell.as_ref().map_or(1, |bytes| bytes.len() as u64 + 1)).sum()
    }
}

/// Queues a result set behind what waits to be sent.
pub fn queue(client: &mut PacketStream, table: &Table, negotiated: Capabilities) {
    let deprecate_eof = negotiated.contains(Capabilities::CLIENT_DEPRECATE_EOF);
    let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
    let mut payload = BytesMut::new();
    if negotiated.contains(Capabilities::CLIENT_OPTIONAL_RESULTSET_METADATA) {
        payload.put_u8(FULL_METADATA);
    }
    put_lenenc_int(&mut payload, table.columns.len() as u64);
    client.queue(&[&payload]);
    for column in &table.columns {
        client.queue(&[&definition(column)]);
    }
    if !deprecate_eof {
        client.queue(&[&encode_eof(status)]);
    }
    for row in &table.rows {
        payload.clear();
        for cell in row {
            match cell {
                Some(bytes) => put_lenenc_bytes(&mut payload, bytes),
                None => payload.put_u8(NULL),
            }
        }
        client.queue(&[&payload]);
    }
    if deprecate_eof {
        let ok = OkPacket::plain(status).encode();
        client.queue(&[&[EOF_HEADER], ok.get(1..).unwrap_or_default()]);
    } else {
        client.queue(&[&encode_eof(status)]);
    }
}

fn definition(column: &Column) -> BytesMut {
    /// Longest text, as clients reserve room for it.
    const TEXT_LENGTH: u32 = 65_535;
    let (type_code, charset, length, decimals) = match column.kind {
        Kind::Integer => (0x08, BINARY, 20, 0),
        Kind::Real => (0x05, BINARY, 22, 31),
        Kind::Moment => (0x0c, BINARY, 26, 6),
        Kind::Empty | Kind::Text => (0xfd, UTF8MB4, TEXT_LENGTH, 0),
    };
    let mut out = BytesMut::with_capacity(64);
    for text in [b"def", SCHEMA, b"", b"", column.name.as_bytes(), b""] {
        put_lenenc_bytes(&mut out, text);
    }
    out.put_u8(0x0c);
    out.put_u16_le(charset);
    out.put_u32_le(length);
    out.put_u8(type_code);
    out.put_u16_le(0);
    out.put_u8(decimals);
    out.put_u16_le(0);
    out
}
