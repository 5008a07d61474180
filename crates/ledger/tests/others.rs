//! What a killed node left in its journal, when the next start has another node's name.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{event, files, ok, query, records, who};
use ledger::verify::{VerifyRequest, verify};
use ledger::{Ledger, LedgerSettings};
use serde_json::Value;

const STATEMENTS: usize = 30;

fn run_statements(ledger: &Ledger) {
    let tag = ledger.tag(&who(1));
    for _ in 0..STATEMENTS {
        let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
        ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    }
}

/// A folder as a kill of node n1 leaves it, with so many lines in its file: none is no file.
fn killed_at(folder: &Path, lines: usize) {
    let before = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(before.path(), "n1")).unwrap();
    run_statements(&ledger);
    fs::copy(before.path().join("journal-n1"), folder.join("journal-n1")).unwrap();
    ledger.close("test").unwrap();
    if lines > 0 {
        let file = &files(before.path())[0];
        let text = fs::read_to_string(file).unwrap();
        let kept: String = text.split_inclusive('\n').take(lines).collect();
        fs::write(folder.join(file.file_name().unwrap()), kept).unwrap();
    }
}

fn of(folder: &Path, node: &str) -> Vec<Value> {
    records(folder).into_iter().filter(|record| record["node"] == node).collect()
}

fn count(records: &[Value], event: &str) -> usize {
    records.iter().filter(|record| record["event"] == event).count()
}

#[test]
fn what_a_killed_node_left_is_brought_in_by_a_start_under_another_name() {
    for lines in [0, 10] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let running = Ledger::open(LedgerSettings::new(folder, "n3")).unwrap();
        killed_at(folder, lines);
        for _ in 0..2 {
            let renamed = Ledger::open(LedgerSettings::new(folder, "n2")).unwrap();
            run_statements(&running);
            renamed.close("test").unwrap();
        }
        running.close("test").unwrap();

        let left = of(folder, "n1");
        assert_eq!([count(&left, "intent"), count(&left, "outcome")], [STATEMENTS; 2]);
        assert_eq!(count(&left, "recovered"), 1, "an orderly end is left as it is");
        let brought_in = 2 * STATEMENTS - lines;
        assert_eq!(event(&left, "recovered").unwrap()["records"], brought_in);
        assert_eq!(event(&left, "stop").unwrap()["reason"], "brought in by the start of node n2");
        for node in ["n2", "n3"] {
            assert!(event(&of(folder, node), "recovered").is_none());
        }
        let paths = vec![folder.to_owned()];
        let report = verify(&VerifyRequest { paths, ..VerifyRequest::default() }).unwrap();
        assert!(report.is_intact(), "{:?}", report.findings().next());
        assert_eq!(report.nodes.len(), 3);
        assert!(folder.join("checkpoints-n1.jsonl").exists());
    }
}

#[test]
fn a_journal_whose_files_are_elsewhere_is_left_alone() {
    let journals = tempfile::tempdir().unwrap();
    killed_at(journals.path(), 10);
    let folder = tempfile::tempdir().unwrap();
    let journal_directory = Some(journals.path().to_owned());
    let settings = LedgerSettings { journal_directory, ..LedgerSettings::new(folder.path(), "n2") };
    Ledger::open(settings).unwrap().close("test").unwrap();
    assert!(of(folder.path(), "n1").is_empty());
    assert_eq!(of(journals.path(), "n1").len(), 10);
}
