//! A ledger that an earlier readgate began: read, verified and gone on with like any other.
//! `data/version-1` was written by the last one that wrote lines of version 1.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{ok, query, records, report_request, who};
use ledger::cli::{Search, search, search_csv, show, stats};
use ledger::report::report;
use ledger::verify::{VerifyReport, VerifyRequest, What, verify};
use ledger::{Event, Ledger, LedgerError, LedgerSettings, PublicKey};

const FILE: &str = "ledger-n1-000000000001.jsonl";
const RECORDS: u64 = 13;
/// The key that signed it.
const KEY: &str = "2565f8de66eceaf29a3fc6a0a0f0017ed547029bcec3b7de5bff88546ea89f8b";

fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/version-1");
    for file in [FILE, "checkpoints-n1.jsonl"] {
        fs::copy(data.join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn verified(folder: &Path) -> VerifyReport {
    let paths = vec![folder.to_owned()];
    let public_key = PublicKey::from_hex(KEY);
    verify(&VerifyRequest { paths, public_key, anchors: vec![] }).unwrap()
}

#[test]
fn a_ledger_that_a_later_readgate_wrote_to_is_left_as_it_is() {
    let folder = copied();
    let file = folder.path().join(FILE);
    let older = fs::read_to_string(&file).unwrap();
    let newest = older.lines().last().unwrap().replacen(r#""v":1"#, r#""v":3"#, 1);
    let written = format!("{older}{newest}\n{{\"v\":3,\"se");
    fs::write(&file, &written).unwrap();
    let before = common::files(folder.path());

    let opened = Ledger::open(LedgerSettings::new(folder.path(), "n1"));
    assert!(matches!(opened, Err(LedgerError::Later { version: 3, .. })));
    assert_eq!(common::files(folder.path()), before);
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    let report = verified(folder.path());
    let found = report.findings().next().map(|one| &one.what);
    assert_eq!(found, Some(&What::LaterVersion { version: 3 }));
}

#[test]
fn a_ledger_of_version_1_is_intact_and_each_changed_byte_is_found() {
    let folder = copied();
    let report = verified(folder.path());
    assert!(report.is_intact() && report.nodes[0].key_trusted, "{report:?}");
    let file = folder.path().join(FILE);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        fs::write(&file, &bytes).unwrap();
        assert!(!verified(folder.path()).is_intact(), "byte {at}");
    }
    // A line's version is no more to be changed than the rest of it.
    let line_of_version_2 = String::from_utf8(whole).unwrap().replacen(r#""v":1"#, r#""v":2"#, 1);
    fs::write(&file, line_of_version_2).unwrap();
    assert!(!verified(folder.path()).is_intact());
}

#[test]
fn a_chain_goes_on_from_version_1_to_version_2_and_is_read_as_one() {
    let folder = copied();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let event = Event::Login { who: who(5), method: "by/hand", attributes: &[] };
    let login = ledger.event(&event).wait().unwrap();
    assert_eq!(login, RECORDS + 1, "the numbers go on, and nothing had to be recovered");
    let tag = ledger.tag_after(login, &who(5));
    let intent = ledger.intent(&tag, &query(b"SELECT 2")).wait().unwrap();
    ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    ledger.close("test").unwrap();
    let versions: Vec<_> = records(folder.path()).iter().map(|r| r["v"].as_u64()).collect();
    assert!(versions.is_sorted() && versions.contains(&Some(1)) && versions.contains(&Some(2)));

    // All links hold; only the new process had no way to sign with the old one's key.
    let report = verified(folder.path());
    let is_new_key = |what: &What| matches!(what, What::UntrustedKey { .. });
    assert!(report.findings().all(|found| is_new_key(&found.what)), "{report:?}");
    assert_eq!(report.nodes[0].records, u64::try_from(versions.len()).unwrap());

    let paths = vec![folder.path().to_owned()];
    reads_as_one(&paths);
}

fn reads_as_one(paths: &[PathBuf]) {
    let intents = Search { event: Some("intent".into()), with_login: true, ..Search::default() };
    let mut out = Vec::new();
    assert_eq!(search(paths, &intents, &mut out).unwrap(), 4);
    let joined = String::from_utf8(out).unwrap();
    assert_eq!(joined.matches("\"at_login\"").count(), 1, "version 1 says all itself: {joined}");
    let mut out = Vec::new();
    search_csv(paths, &intents, &mut out).unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(table.lines().skip(1).all(|row| row.contains(",mysql,")), "{table}");

    let mut out = Vec::new();
    assert!(show(paths, 4, &mut out).unwrap().found);
    assert!(String::from_utf8(out).unwrap().contains("\"listener\": \"main\""));
    assert_eq!(stats(paths, &Search::default()).unwrap()["alice"].statements, 4);
    let report = report(&report_request(paths)).unwrap();
    assert_eq!(report.users["alice"].statements, 4);
    assert!(report.notable.iter().all(|note| note.kind != "end_unknown"));
}

#[test]
fn a_start_whose_clock_is_behind_the_newest_record_says_so_first() {
    for is_in_journal in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let settings = || LedgerSettings::new(folder.path().to_owned(), "n1");
        let ledger = Ledger::open(settings()).unwrap();
        drop(ledger.intent(&ledger.tag(&who(1)), &query(b"SELECT 1")).wait().unwrap());
        ledger.close("test").unwrap();
        let file = folder.path().join("ledger-n1-000000000001.jsonl");
        let whole = fs::read_to_string(&file).unwrap();
        let (years, last) = whole.trim_end().rsplit_once('\n').unwrap();
        let last = last.replacen("\"time\":\"20", "\"time\":\"21", 1);
        // The record is in the file, a century ahead; or as it was, in the journal alone.
        let left = if is_in_journal { format!("{years}\n") } else { format!("{years}\n{last}\n") };
        fs::write(&file, left).unwrap();
        let before = records(folder.path()).len();
        let ledger = Ledger::open(settings()).unwrap();
        drop(ledger.intent(&ledger.tag(&who(1)), &query(b"SELECT 1")).wait().unwrap());
        ledger.close("test").unwrap();
        let after = &records(folder.path())[before..];
        let steps = after.iter().filter(|record| record["event"] == "clock_step").count();
        if is_in_journal {
            assert_eq!(steps, 0, "it was not ahead");
            continue;
        }
        let century = -100 * 365 * 86_400_000_000_i64;
        assert!(after[0]["step_us"].as_i64().unwrap() < century, "{}", after[0]);
        assert_eq!(steps, 1);
        let now = whole.split_once("\"time\":\"").unwrap().1.get(..3).unwrap();
        assert!(after.iter().all(|record| record["time"].as_str().unwrap().starts_with(now)));
    }
}

#[test]
fn nothing_is_removed_by_a_clock_that_is_far_ahead_of_the_newest_record() {
    // Years have passed since its only record was made, or the clock is wrong: who can tell?
    let folder = copied();
    fs::remove_file(folder.path().join("checkpoints-n1.jsonl")).unwrap();
    let file = folder.path().join(FILE);
    let first = fs::read_to_string(&file).unwrap().lines().next().unwrap().to_owned() + "\n";
    fs::write(&file, first.replacen("\"time\":\"2026", "\"time\":\"2020", 1)).unwrap();
    let rotate_bytes = 20_000;
    let (keep_for, keeper_period) = (Some(Duration::from_millis(1)), Duration::from_millis(5));
    let settings = LedgerSettings::new(folder.path().to_owned(), "n1");
    let settings = LedgerSettings { keep_for, keeper_period, rotate_bytes, ..settings };
    let ledger = Ledger::open(settings).unwrap();
    let tag = ledger.tag(&who(1));
    let count = |event: &str| {
        let what = Search { event: Some(event.into()), ..Search::default() };
        search(&[folder.path().to_owned()], &what, &mut Vec::new()).unwrap()
    };
    let started = Instant::now();
    while count("ledger_trouble") == 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "it is never told");
        let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
        ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    }
    ledger.close("test").unwrap();
    assert_eq!(count("retired"), 0);
    assert_eq!(verified(folder.path()).nodes[0].first, 1);
}
