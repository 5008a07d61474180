//! Closed files that another hand comes near, and those that wait: what is signed about them
//! holds, nothing is removed too early, and what the ledger does itself is no other hand's.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::life::{
    RECIPIENT, check, decrypt_all, fill, found, names, settings, wait_for_two_passes, wait_until,
};
use ledger::{Ledger, LedgerSettings, Recipient};

fn at(folder: &Path, name: &str) -> PathBuf {
    folder.join("ledger").join(name)
}

#[test]
fn a_closed_file_that_another_hand_changes_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(LedgerSettings { compress: false, ..settings(folder) }).unwrap();
    fill(&ledger, 100);
    wait_until("a closed file", || names(folder, ".jsonl").len() > 2);
    wait_for_two_passes(folder);
    let oldest = at(folder, &names(folder, ".jsonl")[0]);
    let len = fs::metadata(&oldest).unwrap().len();
    fs::File::options().write(true).open(&oldest).unwrap().set_len(len - 1).unwrap();
    wait_until("the note", || found(folder, "ledger_trouble") > 0);
    wait_for_two_passes(folder);
    ledger.close("test").unwrap();
    assert_eq!(found(folder, "ledger_trouble"), 1);
}

#[test]
fn what_the_ledger_puts_away_or_removes_is_no_other_hands_work() {
    for (encrypt_to, keep_for) in
        [(Recipient::parse(RECIPIENT), None), (None, Some(Duration::from_millis(1)))]
    {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let ledger = Ledger::open(LedgerSettings { compress: false, ..settings(folder) }).unwrap();
        fill(&ledger, 100);
        ledger.close("test").unwrap();
        let closed = names(folder, ".jsonl").len() - 1;
        // What is told from here on stays in one file.
        let rotate_bytes = 1 << 30;
        let compress = false;
        let settings =
            LedgerSettings { encrypt_to, keep_for, rotate_bytes, compress, ..settings(folder) };
        let ledger = Ledger::open(settings).unwrap();
        let done = if keep_for.is_some() { "retired" } else { "archived" };
        wait_until("all of them", || found(folder, done) >= closed as u64);
        wait_for_two_passes(folder);
        ledger.close("test").unwrap();
        assert_eq!(found(folder, "ledger_trouble"), 0);
        assert!(check(folder).is_intact());
    }
}

/// A backup brought back, or `touch`: what counts is when the last record was made.
#[test]
fn a_file_that_looks_old_is_kept_for_as_long_as_its_records_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 3);
    ledger.close("test").unwrap();
    let packed = names(folder, ".jsonl.zst");
    for name in &packed {
        let old = SystemTime::now() - Duration::from_secs(100 * 86_400);
        fs::File::open(at(folder, name)).unwrap().set_modified(old).unwrap();
    }
    let keep_for = Some(Duration::from_secs(30 * 86_400));
    let ledger = Ledger::open(LedgerSettings { keep_for, ..settings(folder) }).unwrap();
    wait_for_two_passes(folder);
    ledger.close("test").unwrap();
    assert!(packed.iter().all(|name| at(folder, name).exists()));
    assert_eq!(found(folder, "retired"), 0);
}

/// As a kill between the two leaves it, or somebody who brings a file back from elsewhere.
#[test]
fn a_readable_file_beside_its_encrypted_one_goes_only_if_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(settings(folder)).unwrap();
    fill(&ledger, 200);
    wait_until("compression", || names(folder, ".jsonl.zst").len() > 2);
    ledger.close("test").unwrap();
    let [first, second] = [0, 1].map(|nth| names(folder, ".jsonl.zst").remove(nth));
    let bytes = |name: &str| fs::read(at(folder, name)).unwrap();
    let (of_first, of_second) = (bytes(&first), bytes(&second));
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = Ledger::open(LedgerSettings { encrypt_to, ..settings(folder) }).unwrap();
    wait_until("encryption", || names(folder, ".jsonl.zst").is_empty());
    let sealed =
        [&first, &second].map(|name| (format!("{name}.age"), bytes(&format!("{name}.age"))));

    fs::write(at(folder, &second), &of_second).unwrap();
    wait_until("the removal of what is there twice", || !at(folder, &second).exists());
    assert_eq!(found(folder, "ledger_trouble"), 0);
    fs::write(at(folder, &first), &of_second).unwrap();
    wait_until("the note", || found(folder, "ledger_trouble") > 0);
    wait_for_two_passes(folder);
    assert!(bytes(&first) == of_second, "both are kept");
    fs::write(at(folder, &first), &of_first).unwrap();
    wait_until("the removal of the right one", || !at(folder, &first).exists());
    assert!(sealed.iter().all(|(name, before)| bytes(name) == *before), "none is made anew");

    // One that holds nothing any more is.
    fs::write(at(folder, &sealed[1].0), "damaged").unwrap();
    fs::write(at(folder, &second), &of_second).unwrap();
    wait_until("another encryption", || !at(folder, &second).exists());
    ledger.close("test").unwrap();
    let report = check(folder);
    assert!(report.is_intact(), "{:?}", report.findings().collect::<Vec<_>>());
}

/// What is left may be longer than what it is to become.
#[test]
fn files_that_a_kill_left_half_made_are_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(LedgerSettings { compress: false, ..settings(folder) }).unwrap();
    fill(&ledger, 100);
    ledger.close("test").unwrap();
    for name in names(folder, ".jsonl") {
        for ending in ["zst.new", "zst.age.new"] {
            fs::write(at(folder, &format!("{name}.{ending}")), [b'x'; 100_000]).unwrap();
        }
    }
    let encrypt_to = Recipient::parse(RECIPIENT);
    let ledger = Ledger::open(LedgerSettings { encrypt_to, ..settings(folder) }).unwrap();
    wait_until("encryption", || names(folder, ".jsonl").len() == 1);
    wait_until("the removal of readable files", || names(folder, ".jsonl.zst").is_empty());
    ledger.close("test").unwrap();
    assert_eq!(found(folder, "ledger_trouble"), 0);
    decrypt_all(folder);
    assert_eq!(found(folder, "intent"), 100);
    assert!(check(folder).is_intact());
}
