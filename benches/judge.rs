//! How long a verdict takes: `cargo bench -p readgate-benches --bench judge`.
//!
//! Bars: median at most 1 us for a point select, 10 us for a report of 2 kB; time in
//! proportion to the length for texts of any size and shape.

#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts};

fn main() {
    divan::main();
}

/// As for users of a role without rights of its own.
fn judging(bencher: Bencher<'_, '_>, text: Vec<u8>) {
    judging_under(bencher, text, Policy { own_sessions_only: true, ..Policy::default() });
}

fn judging_under(bencher: Bencher<'_, '_>, text: Vec<u8>, policy: Policy) {
    let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let judge = Judge::new(server, policy);
    let facts = SessionFacts::new(server, b"STRICT_TRANS_TABLES", 255, Some(b"clin")).unwrap();
    let text = Bytes::from(text);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| judge.judge(&facts, divan::black_box(text.clone())));
}

#[divan::bench]
fn point_select(bencher: Bencher<'_, '_>) {
    judging(bencher, b"SELECT name, born FROM subjects WHERE subject_id = 48151623".to_vec());
}

#[divan::bench]
fn report_of_2_kb(bencher: Bencher<'_, '_>) {
    let text = include_bytes!("report.sql").to_vec();
    assert!((1900..2200).contains(&text.len()), "{}", text.len());
    judging(bencher, text);
}

/// In a role with schemas of its own, where the tables must be found first.
#[divan::bench]
fn report_of_2_kb_in_a_narrow_role(bencher: Bencher<'_, '_>) {
    let schemas = Some(vec!["clin".to_owned(), "ref".to_owned()]);
    let policy = Policy { schemas, own_sessions_only: true, ..Policy::default() };
    judging_under(bencher, include_bytes!("report.sql").to_vec(), policy);
}

/// What the ledger is told of a report, while the replica is at work on it.
#[divan::bench]
fn structure_of_2_kb(bencher: Bencher<'_, '_>) {
    let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let facts = SessionFacts::new(server, b"", 255, Some(b"clin")).unwrap();
    bencher.bench_local(|| sql_judge::structure(&facts, include_bytes!("report.sql")));
}

#[divan::bench]
fn connect_settings(bencher: Bencher<'_, '_>) {
    let text =
        "SET NAMES utf8mb4, autocommit=1, sql_mode=concat(@@sql_mode,',STRICT_TRANS_TABLES')";
    judging(bencher, text.into());
}

#[divan::bench(args = [1, 4, 16], sample_count = 10)]
fn list_of_megabytes(bencher: Bencher<'_, '_>, megabytes: usize) {
    let list = "12345, 'abcde', ".repeat(megabytes * (1 << 16));
    judging(bencher, format!("SELECT * FROM t WHERE a IN ({list}0)").into());
}

#[divan::bench(args = [20_000, 80_000, 320_000], sample_count = 10)]
fn sum_of_many(bencher: Bencher<'_, '_>, bytes: usize) {
    judging(bencher, format!("SELECT {}1", "1+".repeat(bytes / 2)).into());
}

#[divan::bench(args = [25_000, 100_000], sample_count = 10)]
fn many_comments(bencher: Bencher<'_, '_>, count: usize) {
    judging(bencher, format!("SELECT 1 {}", "/* x */ ".repeat(count)).into());
}

#[divan::bench(args = [25_000, 100_000], sample_count = 10)]
fn many_parentheses(bencher: Bencher<'_, '_>, count: usize) {
    let (open, close) = ("(".repeat(count), ")".repeat(count));
    judging(bencher, format!("SELECT {open}1{close}").into());
}
