//! Another hand at the newest file or at the journal, as a rotation of logs by name: no record is
//! lost by it, and it is told.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::life::{found, wait_until};
use common::{event, ok, query, records, references_in, who};
use ledger::{Intent, Ledger, LedgerSettings};

const TEXT: &[u8] = &[b'x'; 2000];

/// A statement whose text is told once in a file; gives its intent.
fn statement(ledger: &Ledger) -> u64 {
    let tag = ledger.tag(&who(1));
    let intent = Intent { may_refer: true, ..query(TEXT) };
    let intent = ledger.intent(&tag, &intent).wait().unwrap();
    let sequence = intent.sequence();
    ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    sequence
}

fn statements(ledger: &Ledger) -> Vec<u64> {
    (0..50).map(|_| statement(ledger)).collect()
}

fn wait_for_the_disk(ledger: &Ledger) {
    wait_until("all of them", || {
        let health = ledger.health();
        health.synced_sequence == health.last_sequence
    });
}

fn files(folder: &Path) -> Vec<PathBuf> {
    common::files(&folder.join("ledger"))
}

/// Once the ledger has told of it and has begun a file, it goes on; all have outcomes in one of
/// the files, and their texts in the same.
fn assert_goes_on(folder: &Path, ledger: &Ledger, mut done: Vec<u64>, what: &str) -> Vec<PathBuf> {
    let before = files(folder);
    done.push(statement(ledger));
    wait_until("another file", || {
        let begun = files(folder).iter().any(|file| !before.contains(file)) || before.len() > 1;
        begun && found(folder, "ledger_trouble") > 0
    });
    done.append(&mut statements(ledger));
    ledger.close("test").unwrap();
    let records = records(&folder.join("ledger"));
    assert_eq!(event(&records, "ledger_trouble").unwrap()["what"], what);
    let has = |member: &str, sequence: u64| records.iter().any(|r| r[member] == sequence);
    for intent in done {
        assert!(has("seq", intent) && has("intent", intent), "intent {intent}");
    }
    let files = files(folder);
    let in_file = |file| references_in(file, |_, text| assert_eq!(text.as_bytes(), TEXT));
    let referring: usize = files.iter().map(|file| in_file(file)[0]).sum();
    assert!(referring >= 40, "{referring}");
    files
}

#[test]
fn a_newest_file_that_is_renamed_gets_its_end_and_another_one_the_rest() {
    for is_quiet in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let ledger = Ledger::open(LedgerSettings::new(folder.join("ledger"), "n1")).unwrap();
        let done = statements(&ledger);
        wait_for_the_disk(&ledger);
        let file = files(folder).remove(0);
        // Still found by the helpers, and no ledger file by its name.
        let renamed = folder.join("ledger/ledger-old.jsonl");
        fs::rename(&file, &renamed).unwrap();
        wait_until("another file", || {
            is_quiet || files(folder).len() > 1 || {
                statements(&ledger);
                false
            }
        });
        let files = assert_goes_on(folder, &ledger, done, "deleted or renamed");
        assert!(files.len() == 2 && files.contains(&renamed) && !file.exists());
    }
}

#[test]
fn a_newest_file_that_another_hand_writes_to_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(LedgerSettings::new(folder.join("ledger"), "n1")).unwrap();
    let done = statements(&ledger);
    wait_for_the_disk(&ledger);
    let file = files(folder).remove(0);
    let mut theirs = fs::OpenOptions::new().append(true).open(&file).unwrap();
    theirs.write_all(b"{}\n").unwrap();
    let whole = fs::read(&file).unwrap();
    let files = assert_goes_on(folder, &ledger, done, "changed in length by another hand");
    assert_eq!(files.len(), 2);
    // What was on its way when it was noticed may stand behind it.
    assert!(fs::read(&file).unwrap().starts_with(&whole));
}

#[test]
fn a_newest_file_that_is_replaced_is_put_back_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger = Ledger::open(LedgerSettings::new(folder.join("ledger"), "n1")).unwrap();
    let done = statements(&ledger);
    wait_until("the file", || files(folder).len() == 1);
    let file = files(folder).remove(0);
    fs::write(folder.join("theirs"), "{}\n").unwrap();
    fs::rename(folder.join("theirs"), &file).unwrap();
    wait_until("what is put back", || {
        statements(&ledger);
        files(folder).len() > 1
    });
    let put_back = "deleted; put back from the open file";
    let files = assert_goes_on(folder, &ledger, done, put_back);
    assert_eq!(files.len(), 3);
    assert_eq!(fs::read(&file).unwrap(), b"{}\n");
}

/// What is recorded behind it is in the new journal: a kill finds it there.
#[test]
fn a_journal_that_is_deleted_is_made_anew_with_what_it_held() {
    let folder = tempfile::tempdir().unwrap();
    let [of_ledger, copy] = ["ledger", "copy"].map(|name| folder.path().join(name));
    let ledger = Ledger::open(LedgerSettings::new(&of_ledger, "n1")).unwrap();
    statements(&ledger);
    let journal = of_ledger.join("journal-n1");
    fs::remove_file(&journal).unwrap();
    wait_until("another journal", || {
        statements(&ledger);
        found(folder.path(), "ledger_trouble") > 0
    });
    assert!(journal.exists());
    // As a kill leaves it whose files have come no further than this.
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&of_ledger).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    let mut done = statements(&ledger);
    fs::copy(&journal, copy.join("journal-n1")).unwrap();
    ledger.close("test").unwrap();
    Ledger::open(LedgerSettings::new(&copy, "n1")).unwrap().close("test").unwrap();
    let brought = records(&copy);
    let told = event(&brought, "ledger_trouble").unwrap();
    assert_eq!((&told["what"], &told["file"]), (&"deleted or renamed".into(), &"journal".into()));
    done.retain(|intent| !brought.iter().any(|record| record["intent"] == *intent));
    assert!(done.is_empty(), "{done:?} are lost");
    assert!(brought.iter().zip(1_u64..).all(|(record, sequence)| record["seq"] == sequence));
}
