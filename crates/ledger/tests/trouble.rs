//! A disk that fills up, files that vanish or can't be written: nothing is taken without
//! a record, and service comes back by itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{event, files, ok, query, records, who};
use ledger::{Event, Ledger, LedgerFault, LedgerSettings, Names, Outcome, ReplicaError, WhoTag};

fn settings(directory: &Path) -> LedgerSettings {
    LedgerSettings {
        journal_bytes: 1 << 20,
        max_text: 4 << 10,
        ..LedgerSettings::new(directory, "n1")
    }
}

/// Waits for the ledger to be (un)well; there is nothing to be told by, so it looks.
fn wait_until(ledger: &Ledger, well: bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while ledger.health().is_ok() != well {
        assert!(Instant::now() < deadline, "still {:?}", ledger.health());
        std::thread::yield_now();
    }
}

/// One statement; gives the intent's sequence.
fn statement(ledger: &Ledger, tag: &WhoTag) -> Result<u64, LedgerFault> {
    let intent = ledger.intent(tag, &query(&[b'x'; 2000])).wait()?;
    let sequence = intent.sequence();
    ledger.outcome(tag, intent, &ok()).wait()?;
    Ok(sequence)
}

/// Asserts that each of these intents has its record and its outcome, in an unbroken row.
fn assert_recorded(directory: &Path, intents: &[u64]) {
    let records = records(directory);
    assert!(records.iter().zip(1_u64..).all(|(record, sequence)| record["seq"] == sequence));
    let outcomes: std::collections::HashSet<u64> =
        records.iter().filter_map(|record| record["intent"].as_u64()).collect();
    for intent in intents {
        let record = usize::try_from(*intent).ok().and_then(|seq| records.get(seq - 1)).unwrap();
        assert_eq!(record["event"], "intent");
        assert!(outcomes.contains(intent), "intent {intent} has no outcome");
    }
}

#[test]
fn a_full_disk_stops_statements_and_room_brings_them_back() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let directory = disk.0.join("ledger");
    let ledger = Ledger::open(settings(&directory)).unwrap();
    let tag = ledger.tag(&who(1));
    let mut done = Vec::new();
    let mut open = vec![ledger.intent(&tag, &query(b"SELECT SLEEP(9)")).wait().unwrap()];
    let fault = loop {
        match statement(&ledger, &tag) {
            Ok(sequence) => done.push(sequence),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.to_string(), "the ledger can't be written: no space left on its disk");
    assert!(!ledger.health().is_ok());
    // What runs already is still closed with a record.
    let late = open.pop().unwrap();
    done.push(late.sequence());
    ledger.outcome(&tag, late, &ok()).wait().unwrap();

    fs::remove_file(&filler).unwrap();
    wait_until(&ledger, true);
    for _ in 0..10 {
        done.push(statement(&ledger, &tag).unwrap());
    }
    ledger.close("test").unwrap();
    assert_recorded(&directory, &done);
    let records = records(&directory);
    assert!(event(&records, "ledger_failed").is_some());
    assert!(event(&records, "ledger_resumed").unwrap()["refused"].as_u64().unwrap() >= 1);
}

#[test]
fn a_key_that_finds_no_room_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount("16k") else {
        return;
    };
    let (filler, key) = (disk.0.join("filler"), disk.0.join("signing.key"));
    fs::write(&filler, vec![0; 16 << 10]).unwrap();
    ledger::keygen(&key).unwrap_err();
    assert!(!key.exists(), "half a key");
    fs::remove_file(&filler).unwrap();
    ledger::keygen(&key).unwrap();
}

#[test]
fn a_ledger_killed_on_a_full_disk_opens_again_once_there_is_room() {
    let Some(disk) = SmallDisk::mount("3m") else {
        return;
    };
    let directory = disk.0.join("ledger");
    let ledger = Ledger::open(settings(&directory)).unwrap();
    let tag = ledger.tag(&who(1));
    let mut done = Vec::new();
    while let Ok(sequence) = statement(&ledger, &tag) {
        done.push(sequence);
    }
    // The close gives up; the journal keeps what the files could not take.
    ledger.close("test").unwrap_err();
    assert!(Ledger::open(settings(&directory)).is_err(), "it must not start without room");
    disk.grow("8m");
    Ledger::open(settings(&directory)).unwrap().close("test").unwrap();
    assert_recorded(&directory, &done);
}

#[test]
fn a_deleted_file_is_put_back_and_the_ledger_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(folder.path())).unwrap();
    let tag = ledger.tag(&who(1));
    let mut done = vec![statement(&ledger, &tag).unwrap()];
    wait_written(&ledger);
    for file in files(folder.path()) {
        fs::remove_file(file).unwrap();
    }
    for _ in 0..100 {
        done.push(statement(&ledger, &tag).unwrap());
        wait_written(&ledger);
    }
    ledger.close("test").unwrap();
    assert_recorded(folder.path(), &done);
    let records = records(folder.path());
    let what = &event(&records, "ledger_trouble").unwrap()["what"];
    assert_eq!(*what, "deleted; put back from the open file");
}

#[test]
fn a_removed_folder_is_noticed_and_a_new_one_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("ledger");
    let ledger = Ledger::open(settings(&directory)).unwrap();
    let tag = ledger.tag(&who(1));
    statement(&ledger, &tag).unwrap();
    wait_written(&ledger);
    // The ledger puts a deleted file back at once: it may do so before its folder is gone.
    while directory.exists() {
        let _ = fs::remove_dir_all(&directory);
    }
    while statement(&ledger, &tag).is_ok() {
        std::thread::yield_now();
    }
    let fault = ledger.health().fault.unwrap();
    assert_eq!(fault.reason(), "its folder is gone");
    fs::create_dir(&directory).unwrap();
    wait_until(&ledger, true);
    let after = statement(&ledger, &tag).unwrap();
    ledger.close("test").unwrap();
    assert_recorded(&directory, &[after]);
    assert!(directory.join("journal-n1").exists(), "the journal is on the disk again");
}

#[test]
fn a_file_that_refuses_writes_stops_statements_until_it_takes_them() {
    // Not where temporary files are: that may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if !can_refuse_writes(folder.path()) {
        eprintln!("skipped: needs the right, and a file system, to make an open file immutable");
        return;
    }
    let ledger = Ledger::open(settings(folder.path())).unwrap();
    let tag = ledger.tag(&who(1));
    let mut done = vec![statement(&ledger, &tag).unwrap()];
    wait_written(&ledger);
    let file = files(folder.path()).remove(0);
    assert!(run("chattr", &["+i", file.to_str().unwrap()]));
    while let Ok(sequence) = statement(&ledger, &tag) {
        done.push(sequence);
        std::thread::yield_now();
    }
    assert!(run("chattr", &["-i", file.to_str().unwrap()]));
    wait_until(&ledger, true);
    done.push(statement(&ledger, &tag).unwrap());
    ledger.close("test").unwrap();
    assert_recorded(folder.path(), &done);
}

/// Whether a file can be made to refuse also those who have it open: ext4's can, tmpfs' take what
/// they write.
fn can_refuse_writes(folder: &Path) -> bool {
    let path = folder.join("probe");
    let mut probe = fs::File::create(&path).unwrap();
    let marked = run("chattr", &["+i", path.to_str().unwrap()]);
    let refused = probe.write_all(b"x").is_err();
    if marked {
        assert!(run("chattr", &["-i", path.to_str().unwrap()]));
    }
    fs::remove_file(path).unwrap();
    refused
}

#[test]
fn events_are_kept_while_the_files_cannot_be_written() {
    let Some(disk) = SmallDisk::mount("3m") else {
        return;
    };
    let directory = disk.0.join("ledger");
    let ledger = Ledger::open(settings(&directory)).unwrap();
    let tag = ledger.tag(&who(1));
    while statement(&ledger, &tag).is_ok() {}
    let gone =
        Event::Disconnect { session: 1, user: "alice", reason: "quit", statements: 1, refusals: 0 };
    ledger.event(&gone).wait().unwrap();
    disk.grow("8m");
    wait_until(&ledger, true);
    ledger.close("test").unwrap();
    assert!(event(&records(&directory), "disconnect").is_some());
}

#[test]
fn an_outcome_for_which_there_is_no_room_is_recorded_in_brief() {
    let Some(disk) = SmallDisk::mount("3m") else {
        return;
    };
    let directory = disk.0.join("ledger");
    let ledger = Ledger::open(settings(&directory)).unwrap();
    let tag = ledger.tag(&who(1));
    let running = ledger.intent(&tag, &query(b"SELECT SLEEP(9)")).wait().unwrap();
    let intent = running.sequence();
    while statement(&ledger, &tag).is_ok() {}
    let gone =
        Event::Disconnect { session: 1, user: "alice", reason: "quit", statements: 1, refusals: 0 };
    while ledger.event(&gone).wait().is_ok() {}
    let tables: Vec<String> = (0..200).map(|number| format!("clin.visit_{number}")).collect();
    let names = Names::new(None, &tables, &[]);
    let error = ReplicaError { code: 1317, sqlstate: "70100", message: "interrupted" };
    let outcome = Outcome { end: "error", error: Some(error), names: Some(&names), ..ok() };
    ledger.outcome(&tag, running, &outcome).wait().unwrap();
    disk.grow("8m");
    wait_until(&ledger, true);
    ledger.close("test").unwrap();
    let records = records(&directory);
    let ended: Vec<_> = records.iter().filter(|record| record["intent"] == intent).collect();
    let [brief] = ended[..] else { panic!("{ended:?}") };
    assert_eq!((&brief["brief"], &brief["end"]), (&true.into(), &"error".into()));
    assert_eq!((&brief["rows"], &brief["error_code"]), (&1.into(), &1317.into()));
    assert!(brief.get("tables").is_none());
}

fn wait_written(ledger: &Ledger) {
    let last = ledger.health().last_sequence;
    while ledger.health().written_sequence < last {
        std::thread::yield_now();
    }
}

/// A tmpfs of a given size, for as long as it lives. Needs the right to mount.
struct SmallDisk(PathBuf, #[allow(dead_code, reason = "removed when dropped")] tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        fs::create_dir(&path).unwrap();
        let options = format!("size={size}");
        if run("mount", &["-t", "tmpfs", "-o", &options, "readgate-test", path.to_str().unwrap()]) {
            return Some(Self(path, folder));
        }
        eprintln!("skipped: needs the right to mount a tmpfs");
        None
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        assert!(run("mount", &["-o", &options, self.0.to_str().unwrap()]));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}
