//! COM_STMT_EXECUTE with query attributes, brought to the form without: the values that a
//! driver adds for the server's own use go to the ledger and not to the replica.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html>
use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use crate::query_attributes::{QueryAttribute, binary_value};
use crate::reader::is_set;
use crate::{Malformed, Reader};

/// Flag of the execution: a count of parameters is there though the statement has none.
const PARAMETER_COUNT_AVAILABLE: u8 = 0x08;
/// Id, flags and iteration count.
pub(crate) const FIXED_LEN: usize = 9;

/// What is known of a statement's parameters between its executions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// How many the statement has.
    pub count: u16,
    /// Those whose value was sent ahead as long data, so that it isn't in the execution.
    pub sent_ahead: BTreeSet<u16>,
    /// Types, as the last execution that named them did.
    pub(crate) types: Vec<u16>,
    /// Whether the last execution named them.
    pub(crate) just_named: bool,
}

impl Parameters {
    /// Those of a statement that has just been prepared.
    pub fn new(count: u16) -> Self {
        Self { count, ..Self::default() }
    }

    /// The server has not taken over what the last execution named, or may not have.
    pub fn forget_named(&mut self) {
        if std::mem::take(&mut self.just_named) {
            self.types.clear();
        }
    }
}

/// Whether types follow. Servers disagree on what other bytes than 0 and 1 mean.
pub(crate) fn names_types(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.malformed()),
    }
}

/// Rewrites the body of an execution (the payload without its command byte) for a session
/// in which query attributes are not negotiated. Parameters beyond the statement's own are
/// attributes: left out of the body, and returned beside it.
pub fn without_attributes(
    body: &[u8],
    known: &mut Parameters,
) -> Result<(Bytes, Vec<QueryAttribute>), Malformed> {
    let mut reader = Reader::new(body, "COM_STMT_EXECUTE");
    let fixed = reader.bytes(FIXED_LEN)?;
    let flags = fixed.get(4).copied().unwrap_or_default();
    let parameters = usize::from(known.count);
    let mut out = BytesMut::with_capacity(body.len());
    out.put_slice(fixed);
    if let Some(byte) = out.get_mut(4) {
        *byte = flags & !PARAMETER_COUNT_AVAILABLE;
    }
    if parameters == 0 && flags & PARAMETER_COUNT_AVAILABLE == 0 {
        return Ok((out.freeze(), Vec::new()));
    }
    let count = usize::try_from(reader.lenenc_int()?).map_err(|_| reader.malformed())?;
    if count < parameters || count > usize::from(u16::MAX) {
        return Err(reader.malformed());
    }
    if count == 0 {
        return Ok((out.freeze(), Vec::new()));
    }
    let nulls = reader.bytes(count.div_ceil(8))?;
    let own_nulls = own_null_bits(nulls, parameters);
    let names_types = names_types(&mut reader)?;
    let mut attributes = Vec::new();
    if parameters > 0 {
        out.put_slice(&own_nulls);
        out.put_u8(names_types.into());
    }
    if names_types {
        (known.types, attributes) = read_types(&mut reader, count, parameters)?;
        known.types.iter().for_each(|&code| out.put_u16_le(code));
    }
    match count == parameters {
        true => out.put_slice(reader.rest()),
        false => put_values(&mut out, &mut reader, &own_nulls, known)?,
    }
    for (index, attribute) in (parameters..).zip(&mut attributes) {
        if !is_set(nulls, index) {
            attribute.value = Some(binary_value(&mut reader, attribute.type_code)?.to_vec());
        }
    }
    Ok((out.freeze(), attributes))
}

/// The statement's own bits; those of attributes, which share the last byte, are cleared.
fn own_null_bits(nulls: &[u8], parameters: usize) -> Vec<u8> {
    let mut own: Vec<u8> = nulls.iter().copied().take(parameters.div_ceil(8)).collect();
    if let (Some(last), used @ 1..) = (own.last_mut(), parameters % 8) {
        *last &= (1 << used) - 1;
    }
    own
}

/// The statement's own types, and the attributes, still without their values.
fn read_types(
    reader: &mut Reader<'_>,
    count: usize,
    parameters: usize,
) -> Result<(Vec<u16>, Vec<QueryAttribute>), Malformed> {
    let (mut types, mut attributes) = (Vec::new(), Vec::new());
    for index in 0..count {
        let code = reader.u16()?;
        let name = reader.lenenc_bytes()?;
        if index < parameters {
            types.push(code);
            continue;
        }
        let [type_code, flags] = code.to_le_bytes();
        let unsigned = flags & 0x80 != 0;
        attributes.push(QueryAttribute { name: name.to_vec(), type_code, unsigned, value: None });
    }
    Ok((types, attributes))
}

fn put_values(
    out: &mut BytesMut,
    reader: &mut Reader<'_>,
    nulls: &[u8],
    known: &Parameters,
) -> Result<(), Malformed> {
    // The types come first: there may be as many as there are numbers.
    for (code, index) in known.types.iter().zip(0_u16..) {
        if is_set(nulls, usize::from(index)) || known.sent_ahead.contains(&index) {
            continue;
        }
        let [type_code, _] = code.to_le_bytes();
        let before = reader.rest();
        binary_value(reader, type_code)?;
        let used = before.len() - reader.rest().len();
        out.put_slice(before.get(..used).unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: &[u8] = &[7, 0, 0, 0, 0, 1, 0, 0, 0];

    #[test]
    fn names_and_further_values_are_left_out() {
        // Two parameters (LONG 5, VARCHAR "ab") and one attribute n1="v1".
        let with = [
            &[7, 0, 0, 0, 8, 1, 0, 0, 0][..],
            b"\x03\x00\x01\x03\x00\x00\xfd\x00\x00\xfd\x00\x02n1\x05\x00\x00\x00\x02ab\x02v1",
        ]
        .concat();
        let without = [FIXED, b"\x00\x01\x03\x00\xfd\x00\x05\x00\x00\x00\x02ab"].concat();
        let mut known = Parameters::new(2);
        let (body, attributes) = without_attributes(&with, &mut known).unwrap();
        assert_eq!(body, without);
        assert_eq!(attributes[0].name, b"n1");
        assert_eq!(attributes[0].value.as_deref(), Some(&b"v1"[..]));
        // The next execution names no types; they are those of the last one.
        let again = [FIXED, b"\x02\x02\x00\x06\x00\x00\x00"].concat();
        let shorter = [FIXED, b"\x02\x00\x06\x00\x00\x00"].concat();
        assert_eq!(without_attributes(&again, &mut known).unwrap().0, shorter);
    }

    #[test]
    fn statements_without_parameters_keep_their_fixed_part() {
        let mut known = Parameters::default();
        assert_eq!(without_attributes(FIXED, &mut known).unwrap().0, FIXED);
        let with = [&[7, 0, 0, 0, 8, 1, 0, 0, 0][..], b"\x01\x00\x01\xfd\x00\x02n1\x02v1"].concat();
        let (body, attributes) = without_attributes(&with, &mut known).unwrap();
        assert_eq!((body, attributes.len()), (FIXED.into(), 1));
    }

    #[test]
    fn nulls_and_numbers_of_attributes_stay_their_own() {
        // Parameters NULL and LONG 5; attributes NULL, and an unsigned LONGLONG.
        let head = [&[7, 0, 0, 0, 8, 1, 0, 0, 0][..], b"\x04\x05\x01"].concat();
        let types = b"\xfd\x00\x00\x03\x00\x00\xfd\x00\x01a\x08\x80\x01b";
        let most = u64::MAX.to_le_bytes();
        let with = [&head[..], types, b"\x05\x00\x00\x00", &most].concat();
        let without = [FIXED, b"\x01\x01\xfd\x00\x03\x00\x05\x00\x00\x00"].concat();
        let (body, attributes) = without_attributes(&with, &mut Parameters::new(2)).unwrap();
        assert_eq!(body, without);
        let attribute = |name: &[u8], type_code, unsigned, value: Option<&[u8]>| QueryAttribute {
            name: name.to_vec(),
            type_code,
            unsigned,
            value: value.map(<[u8]>::to_vec),
        };
        let expected =
            [attribute(b"a", 0xfd, false, None), attribute(b"b", 0x08, true, Some(&most))];
        assert_eq!(attributes, expected);
        // None at all, said with a count.
        let none = [&[7, 0, 0, 0, 8, 1, 0, 0, 0][..], b"\x00"].concat();
        let taken = without_attributes(&none, &mut Parameters::default());
        assert_eq!(taken, Ok((FIXED.into(), Vec::new())));
    }

    #[test]
    fn no_cut_panics() {
        let with = [FIXED, b"\x02\x00\x01\x03\x00\x00\xfd\x00\x00\x05\x00\x00\x00\x02ab"].concat();
        for cut in 0..with.len() {
            let mut known = Parameters::new(2);
            let _ = without_attributes(&with[..cut], &mut known);
        }
        let mut more = Parameters::new(3);
        assert!(without_attributes(&with, &mut more).is_err());
    }

    #[test]
    fn a_value_that_was_sent_ahead_is_not_looked_for() {
        let with =
            [FIXED, b"\x03\x00\x01\xfc\x00\x00\x03\x00\x00\xfd\x00\x02n1\x05\x00\x00\x00\x02v1"]
                .concat();
        let without = [FIXED, b"\x00\x01\xfc\x00\x03\x00\x05\x00\x00\x00"].concat();
        let sent_ahead = BTreeSet::from([0]);
        let mut known = Parameters { count: 2, sent_ahead, ..Parameters::default() };
        assert_eq!(without_attributes(&with, &mut known).unwrap().0, without);
    }
}
