//! `kill -9` in the middle of work: what was acknowledged is found afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may stop at the first surprise"
)]

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{files, ok, query, records, references_in, who};
use ledger::verify::{VerifyRequest, verify};
use ledger::{Intent, Ledger, LedgerSettings, TextPlace};
use serde_json::Value;

const DIRECTORY: &str = "READGATE_TEST_LEDGER";
const SESSIONS: u64 = 50;

/// The child: not a test by itself, run by the one below with the folder in its environment.
#[test]
#[ignore = "the process that the next test kills"]
fn records_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let ledger = Ledger::open(settings(Path::new(&directory))).unwrap();
    std::thread::scope(|scope| {
        for session in 0..SESSIONS {
            let ledger = &ledger;
            scope.spawn(move || {
                let tag = ledger.tag(&who(session));
                let text = text_of(session);
                let place = TextPlace::default();
                for number in 0_u64.. {
                    // One text that comes again, and one that is new each time.
                    let new = format!("{text} -- {number}");
                    let (text, place) = match number % 2 {
                        0 => (&text, Some(&place)),
                        _ => (&new, None),
                    };
                    let query =
                        Intent { may_refer: true, text_place: place, ..query(text.as_bytes()) };
                    let intent = ledger.intent(&tag, &query).wait().unwrap();
                    let sequence = intent.sequence();
                    tell("intent", sequence);
                    ledger.outcome(&tag, intent, &ok()).wait().unwrap();
                    tell("outcome", sequence);
                }
            });
        }
    });
}

fn tell(what: &str, sequence: u64) {
    writeln!(std::io::stdout().lock(), "@{what} {sequence}").unwrap();
}

/// What a session asks again and again: long enough to be referred to.
fn text_of(session: u64) -> String {
    format!("SELECT {session}, '{}'", "x".repeat(300))
}

fn settings(directory: &Path) -> LedgerSettings {
    LedgerSettings {
        journal_bytes: 1 << 20,
        max_text: 4 << 10,
        rotate_bytes: 100_000,
        ..LedgerSettings::new(directory, "n1")
    }
}

#[test]
fn everything_acknowledged_is_found_after_twenty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = HashSet::new();
    for round in 0..20 {
        let before = acknowledged.len();
        kill_after(folder.path(), 500 + round * 97, &mut acknowledged);
        assert!(acknowledged.len() > before, "round {round} recorded nothing");
    }
    let ledger = Ledger::open(settings(folder.path())).unwrap();
    ledger.close("test").unwrap();

    let paths = vec![folder.path().to_owned()];
    let report = verify(&VerifyRequest { paths, ..VerifyRequest::default() }).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings().next());

    let its_own = |record: &Value, text: &str| {
        let asked = text_of(record["session"].as_u64().unwrap());
        assert!(text.starts_with(&asked), "{record} refers to {text}");
    };
    let all = files(folder.path());
    let referring: usize = all.iter().map(|file| references_in(file, its_own)[0]).sum();
    assert!(referring > 1000, "{referring}");

    let records = records(folder.path());
    let mut found = HashSet::new();
    for (line, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], line + 1);
        match record["event"].as_str().unwrap() {
            "intent" => found.insert(format!("intent {}", record["seq"])),
            "outcome" => found.insert(format!("outcome {}", record["intent"])),
            _ => true,
        };
    }
    let lost: Vec<&String> = acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "{} of {} lost: {:?}", lost.len(), acknowledged.len(), lost.first());
}

/// Runs the child until it has acknowledged `most` records, kills it, and keeps all that
/// it had acknowledged by then.
fn kill_after(directory: &Path, most: usize, acknowledged: &mut HashSet<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "records_until_killed", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    // After the kill, what is still in the pipe was acknowledged too.
    while let Some(Ok(line)) = lines.next() {
        if let Some(record) = line.split_once('@').map(|(_, record)| record) {
            acknowledged.insert(record.to_owned());
            seen += 1;
            if seen == most {
                child.kill().unwrap();
            }
        }
    }
    child.wait().unwrap();
}
