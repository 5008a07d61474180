//! Which kept configuration the records name last: a start finds it whatever became of the record
//! that told it first.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{files, records};
use ledger::verify::{VerifyRequest, verify};
use ledger::{Event, Ledger, LedgerSettings};

fn name() -> String {
    "0a".repeat(32)
}

fn open(folder: &Path) -> Ledger {
    Ledger::open(LedgerSettings::new(folder, "n1")).unwrap()
}

fn load(ledger: &Ledger, kept_sha256: &str) {
    let event = Event::ConfigLoad {
        config_hash: "00",
        result: "in force",
        differences: &[],
        pending: &[],
        not_compared: None,
        kept_sha256: Some(kept_sha256),
    };
    ledger.event(&event).wait().unwrap();
}

fn named(folder: &Path) -> Option<String> {
    let ledger = open(folder);
    let named = ledger.kept();
    ledger.close("test").unwrap();
    named.as_deref().map(str::to_owned)
}

#[test]
fn a_record_that_only_the_journal_of_a_killed_daemon_holds_counts() {
    let (folder, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = open(folder.path());
    assert_eq!(ledger.kept(), None);
    load(&ledger, &"0b".repeat(32));
    load(&ledger, &name());
    fs::copy(folder.path().join("journal-n1"), killed.path().join("journal-n1")).unwrap();
    ledger.close("test").unwrap();
    assert_eq!(named(killed.path()), Some(name()));
}

#[test]
fn each_checkpoint_repeats_it_also_those_of_later_runs() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    load(&ledger, &name());
    ledger.has_named(&name());
    ledger.close("test").unwrap();
    assert_eq!(named(folder.path()), Some(name()));
    let records = records(folder.path());
    let checkpoints = records.iter().filter(|record| record["event"] == "checkpoint");
    let all: Vec<_> = checkpoints.map(|checkpoint| checkpoint["kept_sha256"].clone()).collect();
    assert_eq!(all, [name(), name()]);

    // Where the records are out of reach, the copies of checkpoints tell it.
    let request =
        VerifyRequest { paths: vec![folder.path().to_owned()], ..VerifyRequest::default() };
    assert!(verify(&request).unwrap().is_intact());
    for file in files(folder.path()) {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(named(folder.path()), Some(name()));
}

#[test]
fn what_only_looks_like_it_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path());
    let reason = format!("x\",\"kept_sha256\":\"{}\"", name());
    ledger.event(&Event::Stop { reason: &reason }).wait().unwrap();
    ledger.close("test").unwrap();
    assert_eq!(named(folder.path()), None);
}
