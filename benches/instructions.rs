//! A small fixed program for callgrind: one operation, again and again, in a function whose
//! instructions are counted. `./test instructions` runs it for each operation of
//! `benches/instructions.toml` and compares with the figures there.
//!
//! Nothing in it may depend on the machine or the clock: texts, addresses and numbers are the
//! same in each run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement may stop at the first surprise"
)]

#[path = "../crates/ledger/tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use access::{SourceEntry, SourceNetworks, SourceSet};
use bytes::{Bytes, BytesMut};
use common::who;
use ledger::{Intent, Ledger, LedgerSettings, Names, Outcome};
use mysql_wire::packet::put_payload;
use mysql_wire::response::{Expect, ResponseForm, ResponseWalker};
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts};

/// How often each operation is done within the counted function.
const TIMES: u32 = 500;
const WARM: u32 = 10;
const POINT_SELECT: &str = "SELECT name, born FROM subjects WHERE subject_id = 48151623";
const REPORT: &str = include_str!("report.sql");

fn main() {
    let operation = std::env::args().nth(1).unwrap_or_default();
    match operation.as_str() {
        "judge_point_select" => judge(POINT_SELECT, ends_in),
        "judge_point_select_again" => judge(POINT_SELECT, |text, _| ends_in(text, 0)),
        "judge_report" => judge(REPORT, ends_in),
        "judge_report_without_pattern" => judge(REPORT, holds_everywhere),
        "judge_report_again" => judge(REPORT, |text, _| ends_in(text, 0)),
        // Of the second, the ledger's own thread is counted, in `Chain::push`.
        "records_of_a_statement" | "lines_of_a_statement" => {
            records(POINT_SELECT, |text, _| text.into())
        }
        "records_of_a_new_report" => records(REPORT, differs_at_both_ends),
        "records_of_an_alike_report" => records(REPORT, ends_in),
        "frame_point_select" => frame(1, 20),
        "frame_rows" => frame(1000, 12),
        "source_lookup" => source_lookup(),
        other => panic!("no such operation: {other}"),
    }
}

/// What callgrind counts, and nothing else.
#[inline(never)]
fn counted(mut once: impl FnMut()) {
    for _ in 0..TIMES {
        once();
    }
}

/// The first time is not like the others.
fn warm_then_counted(mut once: impl FnMut()) {
    for _ in 0..WARM {
        once();
    }
    counted(once);
}

fn ends_in(text: &str, number: u32) -> String {
    format!("{text} -- {number:08}")
}

/// So that no other text tells it.
fn differs_at_both_ends(text: &str, number: u32) -> String {
    format!("-- {number:08}\n{text} -- {number:08}")
}

/// In each line, so that no pattern fits in the time it may take.
fn holds_everywhere(text: &str, number: u32) -> String {
    text.replace('\n', &format!(" -- {number:08}\n"))
}

/// Texts that were never judged before, or one that comes again.
fn judge(text: &str, numbered: fn(&str, u32) -> String) {
    let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let judge = Judge::new(server, Policy { own_sessions_only: true, ..Policy::default() });
    let facts = SessionFacts::new(server, b"STRICT_TRANS_TABLES", 255, Some(b"clin")).unwrap();
    let texts: Vec<Bytes> = (0..TIMES + WARM).map(|number| numbered(text, number).into()).collect();
    let mut texts = texts.into_iter();
    warm_then_counted(|| {
        black_box(judge.judge(&facts, black_box(texts.next().unwrap())));
    });
}

/// The two records of a text, from what the session knows to the journal; and, in
/// the ledger's own thread, on to the lines of the file.
fn records(text: &str, numbered: fn(&str, u32) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "bench")).unwrap();
    let tag = ledger.tag_after(1, &who(7));
    let (tables, columns) = (
        [String::from("clin.subjects")],
        [String::from("clin.subjects.name"), String::from("clin.subjects.born")],
    );
    // Kept with the text, as the daemon does.
    let names = Names::new(Some("0123456789abcdef"), &tables, &columns);
    let texts: Vec<String> = (0..TIMES + WARM).map(|number| numbered(text, number)).collect();
    let mut texts = texts.iter();
    warm_then_counted(|| {
        let intent = Intent {
            command: "query",
            schema: Some(b"clin"),
            text: texts.next().unwrap().as_bytes(),
            may_refer: true,
            kind: "select",
            ..Intent::default()
        };
        let intent = ledger.intent(&tag, black_box(&intent)).wait().unwrap();
        let outcome =
            Outcome { rows: 1, bytes: 80, end: "ok", names: Some(&names), ..Outcome::default() };
        ledger.outcome(&tag, intent, black_box(&outcome)).wait().unwrap();
    });
    ledger.close("bench").unwrap();
}

/// A result of so many rows, walked to its end.
fn frame(rows: usize, bytes: usize) {
    let mut wire = BytesMut::new();
    let mut put = |id: u8, payload: &[u8]| put_payload(&mut wire, id, &[payload]);
    let mut id = put(1, &[1]);
    id = put(id, b"\x03def\x04clin\x08subjects\x08subjects\x04name\x04name\x0c\xff\x00\x00\x04\x00\x00\xfd\x00\x00\x00\x00\x00");
    let row = vec![b'x'; bytes];
    for _ in 0..rows {
        id = put(id, &row);
    }
    put(id, b"\xfe\x00\x00\x02\x00\x00\x00");
    let form = ResponseForm { deprecate_eof: true, optional_metadata: false };
    warm_then_counted(|| {
        let mut walker = ResponseWalker::new(Expect::Results, form, 1, 1);
        let walk = walker.walk(black_box(&mut wire)).unwrap();
        assert!(walk.end.is_some());
    });
}

/// Among 1,000 networks of 8 lengths, addresses within and without.
fn source_lookup() {
    let networks = (0..1000_u32).map(|number| {
        let addr = Ipv4Addr::from(0x0a00_0000 + (number << 12));
        format!("{addr}/{}", 20 + number % 8).parse().unwrap()
    });
    let entry = SourceEntry {
        name: "office".into(),
        networks: networks.collect(),
        owner: "bench".into(),
        reason: "bench".into(),
        ticket: None,
        added_on: None,
        expires_on: None,
    };
    let networks = SourceNetworks::new([entry]);
    let accepted: SourceSet = ["office"].into_iter().collect();
    let today = access::Date::constant(2026, 6, 15);
    let mut number = 0_u32;
    warm_then_counted(|| {
        number = number.wrapping_add(7919);
        let addr = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number % (1200 << 12)));
        let _ = black_box(networks.admit(&accepted, black_box(addr), today));
    });
}
