//! Query attributes: values that a client puts in front of a COM_QUERY's text.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html>
use crate::reader::is_set;
use crate::{Malformed, Reader};

/// More attributes than this in one query are malformed.
const MAX_ATTRIBUTES: u64 = 1024;

/// One attribute, its value as the wire has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryAttribute {
    /// Name, any bytes.
    pub name: Vec<u8>,
    /// Type of the value (`MYSQL_TYPE_...`).
    pub type_code: u8,
    /// Whether an integer is unsigned.
    pub unsigned: bool,
    /// The value's bytes; `None` is NULL.
    pub value: Option<Vec<u8>>,
}

/// A COM_QUERY body taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryBody {
    /// The attributes.
    pub attributes: Vec<QueryAttribute>,
    /// Where the text starts.
    pub text_offset: usize,
}

impl QueryBody {
    /// Reads the body (the payload without its command byte).
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "query attributes");
        let count = reader.lenenc_int()?;
        if reader.lenenc_int()? != 1 || count > MAX_ATTRIBUTES {
            return Err(reader.malformed());
        }
        let attributes = match count {
            0 => Vec::new(),
            _ => parse_attributes(&mut reader, count)?,
        };
        Ok(Self { attributes, text_offset: body.len() - reader.rest().len() })
    }
}

fn parse_attributes(reader: &mut Reader<'_>, count: u64) -> Result<Vec<QueryAttribute>, Malformed> {
    let nulls = reader.bytes(usize::try_from(count.div_ceil(8)).unwrap_or(usize::MAX))?;
    if reader.u8()? != 1 {
        return Err(reader.malformed());
    }
    let mut attributes = Vec::new();
    for _ in 0..count {
        let [type_code, flags] = reader.u16()?.to_le_bytes();
        let name = reader.lenenc_bytes()?.to_vec();
        attributes.push(QueryAttribute {
            name,
            type_code,
            unsigned: flags & 0x80 != 0,
            value: None,
        });
    }
    for (index, attribute) in attributes.iter_mut().enumerate() {
        if !is_set(nulls, index) {
            attribute.value = Some(binary_value(reader, attribute.type_code)?.to_vec());
        }
    }
    Ok(attributes)
}

/// The bytes of one value in the binary protocol. Of types that no client binds, servers take as
/// many bytes as each of them likes (MariaDB none for INT24, YEAR, BIT, GEOMETRY; for NULL, which
/// clients mark by its bit, 10.11.14 a string and others none): they are malformed here, or the
/// values behind them would be read differently.
///
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>
pub fn binary_value<'a>(reader: &mut Reader<'a>, type_code: u8) -> Result<&'a [u8], Malformed> {
    match type_code {
        // TINY
        0x01 => reader.bytes(1),
        // SHORT
        0x02 => reader.bytes(2),
        // LONG, FLOAT
        0x03 | 0x04 => reader.bytes(4),
        // DOUBLE, LONGLONG
        0x05 | 0x08 => reader.bytes(8),
        // TIMESTAMP, DATE, TIME, DATETIME
        0x07 | 0x0a | 0x0b | 0x0c => {
            let len = usize::from(reader.u8()?);
            if len > 12 {
                return Err(reader.malformed());
            }
            reader.bytes(len)
        }
        // DECIMAL, VARCHAR, VECTOR, JSON, NEWDECIMAL, ENUM, SET, BLOBs, strings
        0x00 | 0x0f | 0xf2 | 0xf5..=0xfe => reader.lenenc_bytes(),
        _ => Err(reader.malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_follows_the_attributes() {
        assert_eq!(QueryBody::parse(b"\x00\x01SELECT 1").unwrap().text_offset, 2);
        // As mysql 9.7 sends `query_attributes n1 v1; SELECT 1`, and a NULL second one.
        let body = b"\x02\x01\x02\x01\xfe\x00\x02n1\x03\x80\x01x\x02v1SELECT 1";
        let parsed = QueryBody::parse(body).unwrap();
        assert_eq!(&body[parsed.text_offset..], b"SELECT 1");
        assert_eq!(parsed.attributes[0].value.as_deref(), Some(&b"v1"[..]));
        assert_eq!(
            (parsed.attributes[1].unsigned, parsed.attributes[1].value.as_ref()),
            (true, None)
        );
    }

    #[test]
    fn values_take_as_many_bytes_as_their_type_says() {
        let longest = [&[12_u8][..], &[1; 12]].concat();
        for (type_code, value) in [
            (0x01, &[1][..]),
            (0x02, &[1, 0]),
            (0x04, &[0; 4]),
            (0x05, &[0; 8]),
            (0x0a, &[4, 1, 1, 1, 1]),
            (0x0b, &longest),
            (0x00, b"\x031.5"),
            (0xf2, b"\x01v"),
        ] {
            let body = [&[1, 1, 0, 1, type_code, 0, 1, b'n'], value, b"SELECT 1"].concat();
            let parsed = QueryBody::parse(&body).unwrap();
            assert_eq!(&body[parsed.text_offset..], b"SELECT 1", "{type_code:#x}");
            assert!(!parsed.attributes[0].unsigned);
        }
        let longer = [&[1, 1, 0, 1, 0x0b, 0, 1, b'n', 13][..], &[1; 13]].concat();
        assert!(QueryBody::parse(&longer).is_err());
    }

    #[test]
    fn what_can_not_be_read_is_malformed() {
        let most = usize::try_from(MAX_ATTRIBUTES).unwrap();
        let body = |count: usize| {
            let [low, high, ..] = count.to_le_bytes();
            let nulls = vec![0xff; count.div_ceil(8)];
            [&[0xfc, low, high, 1], &nulls[..], &[1], &[0xfd, 0, 0].repeat(count)].concat()
        };
        assert!(QueryBody::parse(&body(most)).is_ok());
        assert!(QueryBody::parse(&body(most + 1)).is_err());
        assert!(QueryBody::parse(b"").is_err());
        assert!(QueryBody::parse(b"\x00\x02SELECT 1").is_err());
        assert!(QueryBody::parse(b"\x01\x01\x00\x00").is_err());
        assert!(QueryBody::parse(b"\x01\x01\x00\x01\x99\x00\x00aaaaaaaaaaaa").is_err());
        assert!(QueryBody::parse(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    }
}
