//! Executions: any bytes are taken or refused; one that a driver writes with attributes
//! becomes exactly what the same driver writes without them.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use mysql_wire::execute::{Parameters, without_attributes};

/// A type and a value of it, as the wire has them; `None` is NULL.
type Value = (u8, Option<Vec<u8>>);

fn value(choice: u8, byte: u8) -> Value {
    let bytes = |len: usize| Some(vec![byte; len]);
    match choice % 8 {
        0 => (0x06, None),
        1 => (0x01, bytes(1)),
        2 => (0x02, bytes(2)),
        3 => (0x03, bytes(4)),
        4 => (0x05, bytes(8)),
        5 => (0x0c, Some([vec![7], vec![byte; 7]].concat())),
        6 => (0xfd, Some([vec![byte % 200], vec![byte; usize::from(byte % 200)]].concat())),
        _ => (0xfd, None),
    }
}

/// The body, with names and count where query attributes are negotiated.
fn encode(values: &[Value], count: Option<usize>, sent_ahead: &BTreeSet<u16>) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0, if count.is_some() { 8 } else { 0 }, 1, 0, 0, 0];
    body.extend(count.map(|count| u8::try_from(count).expect("few")));
    let mut nulls = vec![0; values.len().div_ceil(8)];
    for (index, (_, value)) in values.iter().enumerate() {
        nulls[index / 8] |= u8::from(value.is_none()) << (index % 8);
    }
    body.extend(nulls);
    body.push(1);
    for (code, _) in values {
        body.extend([*code, 0]);
        body.extend(count.map(|_| &b"\x02ab"[..]).into_iter().flatten());
    }
    for (index, (_, value)) in (0_u16..).zip(values) {
        if !sent_ahead.contains(&index) {
            body.extend(value.iter().flatten());
        }
    }
    body
}

fuzz_target!(|input: &[u8]| {
    let [count, rest @ ..] = input else { return };
    // Whatever the bytes: no panic, and nothing is made up.
    let mut known = Parameters::new(u16::from(*count));
    for body in [rest, &input[..rest.len() / 2]] {
        if let Ok((out, _)) = without_attributes(body, &mut known) {
            assert!(out.len() <= body.len());
        }
    }
    let values: Vec<Value> =
        rest.chunks_exact(2).take(100).map(|pair| value(pair[0], pair[1])).collect();
    let own = usize::from(*count).min(values.len());
    if own == 0 {
        return;
    }
    let ahead =
        |at: &u16| rest[usize::from(*at) * 2] & 0x40 != 0 && values[usize::from(*at)].1.is_some();
    let sent_ahead: BTreeSet<u16> = (0..u16::try_from(own).expect("few")).filter(ahead).collect();
    let with = encode(&values, Some(values.len()), &sent_ahead);
    let mut known = Parameters::new(u16::try_from(own).expect("few"));
    known.sent_ahead.clone_from(&sent_ahead);
    let (out, attributes) = without_attributes(&with, &mut known).expect("a driver wrote it");
    assert_eq!(out, encode(&values[..own], None, &sent_ahead));
    assert_eq!(attributes.len(), values.len() - own, "what is left out is told");
});
