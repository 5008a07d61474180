//! How long a response takes to be followed to its end: `cargo bench -p readgate-benches --bench
//! framing`. Bar: nothing that grows with the bytes of a row, only with the number of packets.

#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use bytes::BytesMut;
use divan::Bencher;
use divan::counter::BytesCount;
use mysql_wire::packet::put_payload;
use mysql_wire::response::{Expect, ResponseForm, ResponseWalker};

/// One column `name` of a table, as MySQL 9.7 describes it.
const COLUMN: &[u8] = b"\x03def\x04clin\x08subjects\x08subjects\x04name\x04name\x0c\xff\x00\x00\x04\x00\x00\xfd\x00\x00\x00\x00\x00";
/// The OK that stands for an EOF.
const END: &[u8] = b"\xfe\x00\x00\x02\x00\x00\x00";

fn main() {
    divan::main();
}

fn wire(payloads: impl IntoIterator<Item = Vec<u8>>) -> BytesMut {
    let mut wire = BytesMut::new();
    payloads.into_iter().fold(1, |id, payload| put_payload(&mut wire, id, &[&payload]));
    wire
}

fn result(rows: usize, bytes: usize) -> BytesMut {
    let head = [vec![1], COLUMN.to_vec()];
    let rows = (0..rows).map(|_| vec![b'x'; bytes]);
    wire(head.into_iter().chain(rows).chain([END.to_vec()]))
}

fn walked(bencher: Bencher<'_, '_>, expect: Expect, mut wire: BytesMut) {
    let form = ResponseForm { deprecate_eof: true, optional_metadata: false };
    bencher.counter(BytesCount::new(wire.len())).bench_local(move || {
        let mut walker = ResponseWalker::new(expect, form, 1, 1);
        assert!(walker.walk(divan::black_box(&mut wire)).unwrap().end.is_some());
    });
}

#[divan::bench]
fn point_select(bencher: Bencher<'_, '_>) {
    walked(bencher, Expect::Results, result(1, 20));
}

/// 1,000 rows, of a width that dashboards have and of 16 kB.
#[divan::bench(args = [12, 120, 16 << 10])]
fn thousand_rows(bencher: Bencher<'_, '_>, bytes: usize) {
    walked(bencher, Expect::Results, result(1000, bytes));
}

/// What a PREPARE is answered: one parameter, one column.
#[divan::bench]
fn prepared(bencher: Bencher<'_, '_>) {
    let ok = b"\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00".to_vec();
    walked(bencher, Expect::Prepare, wire([ok, COLUMN.to_vec(), COLUMN.to_vec()]));
}
