//! An answer as packets: result sets with text rows, or binary ones for executions, in the two
//! forms that clients negotiate; and the answer to COM_STMT_PREPARE.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html>
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>
use bytes::{BufMut, BytesMut};
use mysql_wire::ok_packet::{encode_end, encode_eof};
use mysql_wire::prepare::PrepareOk;
use mysql_wire::writer::{put_lenenc_bytes, put_lenenc_int};
use mysql_wire::{Capabilities, StatusFlags};

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

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// For a query.
    Text,
    /// For an execution.
    Binary,
}

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
pub fn queue(client: &mut PacketStream, table: &Table, negotiated: Capabilities, rows: Rows) {
    let deprecate_eof = negotiated.contains(Capabilities::CLIENT_DEPRECATE_EOF);
    let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
    let mut payload = BytesMut::new();
    if negotiated.contains(Capabilities::CLIENT_OPTIONAL_RESULTSET_METADATA) {
        payload.put_u8(FULL_METADATA);
    }
    put_lenenc_int(&mut payload, table.columns.len() as u64);
    client.queue(&[&payload]);
    queue_definitions(client, &table.columns, negotiated);
    for row in &table.rows {
        payload.clear();
        match rows {
            Rows::Text => put_text_row(&mut payload, row),
            Rows::Binary => put_binary_row(&mut payload, &table.columns, row),
        }
        client.queue(&[&payload]);
    }
    client.queue(&[&encode_end(status, deprecate_eof)]);
}

/// Queues the answer to COM_STMT_PREPARE: what the statement's parameters and columns are.
pub fn queue_prepared(
    client: &mut PacketStream,
    prepared: PrepareOk,
    columns: &[Column],
    negotiated: Capabilities,
) {
    let optional = negotiated.contains(Capabilities::CLIENT_OPTIONAL_RESULTSET_METADATA);
    client.queue(&[&prepared.encode(optional)]);
    let parameter = || Column { name: String::from("?"), kind: Kind::Text };
    let parameters: Vec<Column> = (0..prepared.parameters).map(|_| parameter()).collect();
    for definitions in [parameters.as_slice(), columns] {
        if !definitions.is_empty() {
            queue_definitions(client, definitions, negotiated);
        }
    }
}

fn queue_definitions(client: &mut PacketStream, columns: &[Column], negotiated: Capabilities) {
    let extended = negotiated.contains(Capabilities::MARIADB_CLIENT_EXTENDED_METADATA);
    for column in columns {
        client.queue(&[&definition(column, extended)]);
    }
    if !negotiated.contains(Capabilities::CLIENT_DEPRECATE_EOF) {
        client.queue(&[&encode_eof(StatusFlags::SERVER_STATUS_AUTOCOMMIT)]);
    }
}

fn put_text_row(payload: &mut BytesMut, row: &[Cell]) {
    for cell in row {
        match cell {
            Some(bytes) => put_lenenc_bytes(payload, bytes),
            None => payload.put_u8(NULL),
        }
    }
}

/// A zero, a bit for each NULL after two that are unused, the values by their columns' types.
fn put_binary_row(payload: &mut BytesMut, columns: &[Column], row: &[Cell]) {
    payload.put_u8(0);
    let mut nulls = vec![0_u8; (row.len() + 9) / 8];
    for (index, _) in row.iter().enumerate().filter(|(_, cell)| cell.is_none()) {
        if let Some(bits) = nulls.get_mut((index + 2) / 8) {
            *bits |= 1 << ((index + 2) % 8);
        }
    }
    payload.put_slice(&nulls);
    for (column, cell) in columns.iter().zip(row) {
        if let Some(bytes) = cell {
            put_binary(payload, column.kind, bytes);
        }
    }
}

/// A number's text was made from that sort of number, so it can be read back as one.
fn put_binary(payload: &mut BytesMut, kind: Kind, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match kind {
        Kind::Integer => payload.put_i64_le(text.parse().unwrap_or_default()),
        Kind::Real => payload.put_f64_le(text.parse().unwrap_or_default()),
        // No bytes at all are the zero date, which stands for what is no moment.
        Kind::Moment => put_lenenc_bytes(payload, &binary_moment(text).unwrap_or_default()),
        Kind::Empty | Kind::Text => put_lenenc_bytes(payload, bytes),
    }
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]` as 11 bytes.
fn binary_moment(text: &str) -> Option<Vec<u8>> {
    let (date, time) = text.split_once(' ')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut days = date.split('-');
    let mut hours = time.split(':');
    let mut out = Vec::with_capacity(11);
    out.put_u16_le(days.next()?.parse().ok()?);
    for part in [days.next(), days.next(), hours.next(), hours.next(), hours.next()] {
        out.put_u8(part?.parse().ok()?);
    }
    out.put_u32_le(format!("{fraction:0<6}").parse().ok()?);
    Some(out)
}

fn definition(column: &Column, extended: bool) -> BytesMut {
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
    if extended {
        // The type says all that there is to say.
        put_lenenc_bytes(&mut out, b"");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_rows_hold_numbers_moments_and_nulls_as_the_protocol_has_them() {
        let kinds = [Kind::Integer, Kind::Text, Kind::Moment, Kind::Real];
        let columns = kinds.map(|kind| Column { name: String::new(), kind });
        let cell = |text: &str| Some(text.as_bytes().to_vec());
        let row = [cell("-2"), None, cell("2023-11-14 22:13:20.25"), cell("1.5")];
        let mut out = BytesMut::new();
        put_binary_row(&mut out, &columns, &row);
        let number = (-2_i64).to_le_bytes();
        let moment = [11, 0xe7, 7, 11, 14, 22, 13, 20, 0x90, 0xd0, 3, 0];
        let expected = [&[0, 0b1000][..], &number, &moment, &1.5_f64.to_le_bytes()].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in ["", "2023-11-14", "2023-11-14 22:13", "a-b-c d:e:f", "2023-11-14 22:13:20.x"] {
            assert_eq!(binary_moment(text), None, "{text}");
        }
    }
}
