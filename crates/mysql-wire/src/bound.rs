//! The values that an execution binds to a statement's parameters, read for the ledger.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>
use std::borrow::Cow;

use crate::execute::{FIXED_LEN, Parameters, names_types};
use crate::query_attributes::binary_value;
use crate::reader::is_set;
use crate::{Malformed, Reader};

/// One value and the type that the client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundValue<'a> {
    /// `MYSQL_TYPE_...`.
    pub type_code: u8,
    /// What it holds.
    pub content: Content<'a>,
}

/// What a value holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// NULL.
    Null,
    /// It was sent before the execution, as long data.
    SentAhead,
    /// Numbers and times as the server writes them, others as they came.
    Bytes(Cow<'a, [u8]>),
}

/// Reads the values of an execution without query attributes (the payload without its
/// command byte). `known` keeps the types for executions that name none. What a server
/// might read in another way is malformed: its record would say what has not run.
pub fn bound_values<'a>(
    body: &'a [u8],
    known: &mut Parameters,
) -> Result<Vec<BoundValue<'a>>, Malformed> {
    let mut values = Vec::with_capacity(usize::from(known.count));
    each_bound_value(body, known, |_, value| values.push(value))?;
    Ok(values)
}

/// The same, one by one, with the number of the parameter. What is given before an error
/// counts for nothing.
pub fn each_bound_value<'a>(
    body: &'a [u8],
    known: &mut Parameters,
    mut take: impl FnMut(u16, BoundValue<'a>),
) -> Result<(), Malformed> {
    let mut reader = Reader::new(body, "COM_STMT_EXECUTE");
    reader.bytes(FIXED_LEN)?;
    if known.count == 0 {
        return Ok(());
    }
    let nulls = reader.bytes(usize::from(known.count).div_ceil(8))?;
    known.just_named = names_types(&mut reader)?;
    if known.just_named {
        let (types, _) = reader.bytes(2 * usize::from(known.count))?.as_chunks();
        known.types.clear();
        known.types.extend(types.iter().map(|code| u16::from_le_bytes(*code)));
    }
    if known.types.len() != usize::from(known.count) {
        return Err(reader.malformed());
    }
    // The types come first: there may be as many as there are numbers.
    for (type_and_flags, index) in known.types.iter().zip(0_u16..) {
        let [type_code, flags] = type_and_flags.to_le_bytes();
        if flags & 0x7f != 0 {
            return Err(reader.malformed());
        }
        // The server looks for long data first: a value sent ahead counts, NULL bit or not.
        let content = if known.sent_ahead.contains(&index) {
            Content::SentAhead
        } else if is_set(nulls, usize::from(index)) {
            Content::Null
        } else {
            let raw = binary_value(&mut reader, type_code)?;
            Content::Bytes(text(type_code, flags & 0x80 != 0, raw))
        };
        take(index, BoundValue { type_code, content });
    }
    Ok(())
}

/// A value of the binary protocol as the server would print it; strings as they came.
pub fn text(type_code: u8, unsigned: bool, raw: &[u8]) -> Cow<'_, [u8]> {
    let printed = match type_code {
        0x01 | 0x02 | 0x03 | 0x08 | 0x09 | 0x0d | 0xf4 => integer(raw, unsigned),
        0x04 => raw.first_chunk().map(|bytes| f32::from_le_bytes(*bytes).to_string()),
        0x05 => raw.first_chunk().map(|bytes| f64::from_le_bytes(*bytes).to_string()),
        0x07 | 0x0a | 0x0c | 0x11 | 0x12 => moment(raw),
        0x0b | 0x13 => span(raw),
        _ => None,
    };
    printed.map_or(Cow::Borrowed(raw), |text| Cow::Owned(text.into_bytes()))
}

/// The type's name, as the manual has it, in lower case.
pub fn type_name(type_code: u8) -> &'static str {
    match type_code {
        0x00 => "decimal",
        0x01 => "tiny",
        0x02 => "short",
        0x03 => "long",
        0x04 => "float",
        0x05 => "double",
        0x06 => "null",
        0x07 => "timestamp",
        0x08 => "longlong",
        0x09 => "int24",
        0x0a => "date",
        0x0b => "time",
        0x0c => "datetime",
        0x0d => "year",
        0x0f => "varchar",
        0x10 => "bit",
        0xf4 => "bool",
        0xf5 => "json",
        0xf6 => "newdecimal",
        0xf7 => "enum",
        0xf8 => "set",
        0xf9 => "tiny_blob",
        0xfa => "medium_blob",
        0xfb => "long_blob",
        0xfc => "blob",
        0xfd => "var_string",
        0xfe => "string",
        0xff => "geometry",
        _ => "other",
    }
}

/// Whether values of the type are numbers.
pub fn is_number(type_code: u8) -> bool {
    matches!(type_code, 0x00..=0x05 | 0x08 | 0x09 | 0x0d | 0xf4 | 0xf6)
}

fn integer(raw: &[u8], unsigned: bool) -> Option<String> {
    Some(match (raw.len(), unsigned) {
        (1, false) => i8::from_le_bytes(*raw.first_chunk()?).to_string(),
        (1, true) => u8::from_le_bytes(*raw.first_chunk()?).to_string(),
        (2, false) => i16::from_le_bytes(*raw.first_chunk()?).to_string(),
        (2, true) => u16::from_le_bytes(*raw.first_chunk()?).to_string(),
        (4, false) => i32::from_le_bytes(*raw.first_chunk()?).to_string(),
        (4, true) => u32::from_le_bytes(*raw.first_chunk()?).to_string(),
        (8, false) => i64::from_le_bytes(*raw.first_chunk()?).to_string(),
        (8, true) => u64::from_le_bytes(*raw.first_chunk()?).to_string(),
        _ => return None,
    })
}

/// DATE, DATETIME, TIMESTAMP: 0, 4, 7 or 11 bytes.
fn moment(raw: &[u8]) -> Option<String> {
    let mut reader = Reader::new(raw, "date");
    if raw.is_empty() {
        return Some("0000-00-00".to_owned());
    }
    let (year, month, day) = (reader.u16().ok()?, reader.u8().ok()?, reader.u8().ok()?);
    let date = format!("{year:04}-{month:02}-{day:02}");
    if reader.is_empty() {
        return Some(date);
    }
    let (hour, minute, second) = (reader.u8().ok()?, reader.u8().ok()?, reader.u8().ok()?);
    let time = format!("{date} {hour:02}:{minute:02}:{second:02}");
    if reader.is_empty() {
        return Some(time);
    }
    Some(format!("{time}.{:06}", reader.u32().ok()?))
}

/// TIME: 0, 8 or 12 bytes.
fn span(raw: &[u8]) -> Option<String> {
    let mut reader = Reader::new(raw, "time");
    if raw.is_empty() {
        return Some("00:00:00".to_owned());
    }
    let sign = if reader.u8().ok()? == 1 { "-" } else { "" };
    let hours = u64::from(reader.u32().ok()?) * 24 + u64::from(reader.u8().ok()?);
    let (minute, second) = (reader.u8().ok()?, reader.u8().ok()?);
    let time = format!("{sign}{hours:02}:{minute:02}:{second:02}");
    if reader.is_empty() {
        return Some(time);
    }
    Some(format!("{time}.{:06}", reader.u32().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: &[u8] = &[7, 0, 0, 0, 0, 1, 0, 0, 0];

    fn shown(value: &BoundValue<'_>) -> String {
        match &value.content {
            Content::Null => "NULL".to_owned(),
            Content::SentAhead => "ahead".to_owned(),
            Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    #[test]
    fn values_read_as_the_server_prints_them() {
        let body = [
            FIXED,
            b"\x02\x01\x03\x00\x08\x00\xfd\x00\x0c\x00\x0b\x00\x08\x80\x05\x00",
            b"\xff\xff\xff\xff\x02ab\x0b\xea\x07\x01\x1f\x17\x3b\x3b\x01\x00\x00\x00",
            b"\x08\x01\x01\x00\x00\x00\x02\x03\x04",
            &u64::MAX.to_le_bytes(),
            &1.5_f64.to_le_bytes(),
        ]
        .concat();
        let mut known = Parameters::new(7);
        let values = bound_values(&body, &mut known).unwrap();
        let texts: Vec<String> = values.iter().map(shown).collect();
        let expected = [
            "-1",
            "NULL",
            "ab",
            "2026-01-31 23:59:59.000001",
            "-26:03:04",
            "18446744073709551615",
            "1.5",
        ];
        assert_eq!(texts, expected);
        for cut in 0..body.len() {
            assert!(bound_values(&body[..cut], &mut Parameters::new(7)).is_err());
        }
    }

    #[test]
    fn each_form_of_a_number_or_a_time_is_read() {
        let cases: [(u8, u8, &[u8], &str); 17] = [
            (0x01, 0x80, &[0xff], "255"),
            (0x02, 0, &[0xfe, 0xff], "-2"),
            (0x02, 0x80, &[0xfe, 0xff], "65534"),
            (0x03, 0, &[0xfd, 0xff, 0xff, 0xff], "-3"),
            (0x03, 0x80, &[0xfd, 0xff, 0xff, 0xff], "4294967293"),
            (0x08, 0, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "-4"),
            (0x04, 0, &0.25_f32.to_le_bytes(), "0.25"),
            (0xf6, 0, b"\x041.50", "1.50"),
            (0x0a, 0, &[0], "0000-00-00"),
            (0x0a, 0, &[4, 0xea, 7, 2, 3], "2026-02-03"),
            (0x0c, 0, &[7, 0xea, 7, 2, 3, 4, 5, 6], "2026-02-03 04:05:06"),
            (0x07, 0, &[11, 0xea, 7, 2, 3, 4, 5, 6, 7, 0, 0, 0], "2026-02-03 04:05:06.000007"),
            (0x0b, 0, &[0], "00:00:00"),
            (0x0b, 0, &[8, 0, 1, 0, 0, 0, 2, 3, 4], "26:03:04"),
            (0x0b, 0, &[12, 1, 0, 0, 0, 0, 2, 3, 4, 5, 0, 0, 0], "-02:03:04.000005"),
            (0x0f, 0, b"\x02ab", "ab"),
            (0xf5, 0, b"\x02{}", "{}"),
        ];
        for (type_code, flags, raw, text) in cases {
            let body = [FIXED, &[0, 1, type_code, flags], raw].concat();
            let values = bound_values(&body, &mut Parameters::new(1));
            let shown = values.map(|values| values.iter().map(shown).collect::<Vec<_>>());
            assert_eq!(shown, Ok(vec![text.to_owned()]), "{type_code:#x}");
        }
        assert_eq!(bound_values(FIXED, &mut Parameters::default()), Ok(Vec::new()));
    }

    #[test]
    fn what_servers_read_in_different_ways_is_malformed() {
        let read = |rest: &[u8]| {
            let body = [FIXED, rest].concat();
            bound_values(&body, &mut Parameters::new(1)).map(|values| values.len())
        };
        assert!(read(b"\x00\x01\xfd\x00\x01x").is_ok());
        // MariaDB takes any other number than 0 for a yes, and knows no flag but unsigned.
        assert!(read(b"\x00\x02\xfd\x00\x01x").is_err());
        assert!(read(b"\x00\x01\xfd\x01\x01x").is_err());
        // INT24, YEAR, BIT, GEOMETRY: MariaDB takes no byte for them; for NULL without its bit one
        // version does and another doesn't. It takes 251 and 255 for 254.
        assert!(read(b"\x01\x01\x06\x00").is_ok());
        for type_code in [0x06, 0x09, 0x0d, 0x10, 0xff] {
            let rest = [&[0, 1, type_code, 0][..], &[1; 16]].concat();
            assert!(read(&rest).is_err(), "{type_code:#x}");
        }
        for length in [251, 255] {
            let rest = [&[0, 1, 0xfd, 0, length][..], &[1; 16]].concat();
            assert!(read(&rest).is_err(), "{length}");
        }
    }

    #[test]
    fn a_statement_may_have_as_many_parameters_as_it_can_count() {
        let (count, nulls) = (usize::from(u16::MAX), vec![0xff; 8192]);
        let body = [FIXED, &nulls, b"\x01", &vec![0; 2 * count]].concat();
        let mut known = Parameters::new(u16::MAX);
        assert_eq!(bound_values(&body, &mut known).unwrap().len(), count);
    }

    #[test]
    fn types_of_the_last_execution_count_and_long_data_is_not_looked_for() {
        let first = [FIXED, b"\x00\x01\xfc\x00\x03\x00\x02\x00\x00\x00"].concat();
        let sent_ahead = std::collections::BTreeSet::from([0]);
        let mut known = Parameters { count: 2, sent_ahead, ..Parameters::default() };
        let texts: Vec<String> =
            bound_values(&first, &mut known).unwrap().iter().map(shown).collect();
        assert_eq!(texts, ["ahead", "2"]);
        known.sent_ahead.clear();
        let again = [FIXED, b"\x00\x00\x01x\x05\x00\x00\x00"].concat();
        let texts: Vec<String> =
            bound_values(&again, &mut known).unwrap().iter().map(shown).collect();
        assert_eq!(texts, ["x", "5"]);
        // An execution may name others; those the server may not have taken over count no more.
        let anew = [FIXED, b"\x00\x01\x01\x00\x01\x00\x07\x08"].concat();
        let texts: Vec<String> =
            bound_values(&anew, &mut known).unwrap().iter().map(shown).collect();
        assert_eq!(texts, ["7", "8"]);
        let unnamed = [FIXED, b"\x00\x00\x07\x08"].concat();
        assert!(bound_values(&unnamed, &mut known.clone()).is_ok());
        known.forget_named();
        assert!(bound_values(&unnamed, &mut known).is_err());
        // Nor does an execution count that names none.
        known.types = vec![0x01, 0x01];
        assert!(bound_values(&unnamed, &mut known).is_ok());
        known.forget_named();
        assert!(bound_values(&unnamed, &mut known).is_ok());
    }
}
