//! A ledger that is written to and put away while others read it, and one that is closed meanwhile.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::life::{RECIPIENT, check, fill, found, names, settings, wait_until};
use ledger::{Event, Ledger, LedgerSettings, Recipient, Tail};

/// Fills a ledger whose files are encrypted and removed at once, and lets `look` read it meanwhile.
fn while_files_are_put_away(folder: &Path, keep_for: Option<Duration>, look: impl Fn()) {
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = LedgerSettings { encrypt_to, keep_for, ..settings(folder) };
    let keeper_period = Duration::from_millis(1);
    let ledger = LedgerSettings { rotate_bytes: 6_000, keeper_period, ..ledger };
    let ledger = Ledger::open(ledger).unwrap();
    fill(&ledger, 20);
    wait_until("the first records", || found(folder, "intent") > 0);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..12 {
                fill(&ledger, 20);
                wait_until("the files", || ledger.health().queued_bytes == 0);
            }
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            look();
        }
    });
    ledger.close("test").unwrap();
}

#[test]
fn a_ledger_is_intact_while_its_files_are_put_away() {
    for keep_for in [None, Some(Duration::from_millis(1))] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        while_files_are_put_away(folder, keep_for, || {
            let report = check(folder);
            assert!(report.is_intact(), "{:?}", report.findings().next());
        });
        let report = check(folder);
        let node = &report.nodes[0];
        let put_away = if keep_for.is_some() { node.retired } else { node.sealed };
        assert!(report.is_intact() && put_away > 0, "{report:?}");
    }
}

#[test]
fn a_close_waits_for_no_more_than_the_file_that_is_being_put_away() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let plain = || LedgerSettings { compress: false, rotate_bytes: 6_000, ..settings(folder) };
    let ledger = Ledger::open(plain()).unwrap();
    fill(&ledger, 1500);
    ledger.close("test").unwrap();
    let files = names(folder, ".jsonl").len();
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = Ledger::open(LedgerSettings { encrypt_to, ..plain() }).unwrap();
    wait_until("the first one", || !names(folder, ".jsonl.zst.age").is_empty());
    ledger.close("test").unwrap();
    let left = names(folder, ".jsonl").len();
    assert!(left > files / 2, "{left} of {files} were left");
    assert!(check(folder).is_intact());
}

#[test]
fn a_close_comes_to_its_end_while_records_go_on_coming() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings { compress: false, ..settings(folder.path()) };
    let ledger = Ledger::open(LedgerSettings { rotate_bytes: 1 << 30, ..settings }).unwrap();
    let others = [(); 3].map(|()| {
        let ledger = ledger.clone();
        thread::spawn(move || while ledger.event(&Event::Stop { reason: "late" }).wait().is_ok() {})
    });
    let closing = {
        let ledger = ledger.clone();
        thread::spawn(move || ledger.close("test"))
    };
    wait_until("the end", || closing.is_finished());
    closing.join().unwrap().unwrap();
    assert_eq!(ledger.health().queued_bytes, 0);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(check(folder.path()).is_intact());
}

#[test]
fn a_tail_goes_on_in_a_file_that_was_deleted_and_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = LedgerSettings { rotate_bytes: 1 << 20, ..settings(folder) };
    let ledger = Ledger::open(ledger).unwrap();
    let mut tail = Tail::after(0, folder.join("ledger"), "n1");
    let mut taken = 0;
    let mut pass = || {
        tail.pass(&mut |sequence, _| {
            taken += 1;
            assert_eq!(sequence, taken);
            Ok(())
        })
        .unwrap();
        taken
    };
    fill(&ledger, 5);
    while pass() < ledger.health().last_sequence {}
    let file = names(folder, ".jsonl").remove(0);
    fs::remove_file(folder.join("ledger").join(&file)).unwrap();
    wait_until("the file", || names(folder, ".jsonl").contains(&file));
    fill(&ledger, 5);
    let last = ledger.health().last_sequence;
    let started = Instant::now();
    while pass() < last {
        assert!(started.elapsed() < Duration::from_secs(20), "it stays behind");
    }
    ledger.close("test").unwrap();
}

#[test]
fn a_tail_hands_over_each_record_once_across_compression_and_failures() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 100);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 1);
    let mut tail = Tail::after(7, folder.join("ledger"), "n1");
    let mut taken = Vec::new();
    let mut fails = 0;
    let mut pass = |tail: &mut Tail| {
        tail.pass(&mut |sequence, line| {
            assert!(line.ends_with(b"\"}"));
            if sequence % 50 == 0 && fails % 2 == 0 {
                fails += 1;
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            fails += u64::from(sequence % 50 == 0);
            taken.push(sequence);
            Ok(())
        })
    };
    assert!(pass(&mut tail).is_err());
    fill(&ledger, 100);
    let last = ledger.health().last_sequence;
    ledger.close("test").unwrap();
    while tail.last() < last {
        let _ = pass(&mut tail);
    }
    assert!(taken.iter().zip(8..).all(|(taken, expected)| *taken == expected), "{taken:?}");

    // What was removed is passed over, and the jump in the numbers shows it.
    fs::remove_file(folder.join("ledger").join(&names(folder, ".jsonl.zst")[1])).unwrap();
    let mut seen = Vec::new();
    let mut tail = Tail::after(0, folder.join("ledger"), "n1");
    let mut see = |sequence, _: &[u8]| {
        seen.push(sequence);
        Ok(())
    };
    tail.pass(&mut see).unwrap();
    assert!(seen[0] == 1 && *seen.last().unwrap() >= last);
    assert_eq!(seen.windows(2).filter(|pair| pair[1] != pair[0] + 1).count(), 1);
}
