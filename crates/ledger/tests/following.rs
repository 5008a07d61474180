//! A search that follows a ledger: each record once, whatever becomes of the files meanwhile.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use common::life::{fill, names, settings, wait_until};
use common::{query, who};
use ledger::cli::{Search, search_follow};
use ledger::{Ledger, LedgerSettings, WhoTag};

#[test]
fn a_search_that_follows_shows_records_of_each_later_file_once_also_of_a_compressed_one() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LedgerSettings {
        rotate_bytes: 10_000,
        keeper_period: Duration::from_millis(1),
        ..LedgerSettings::new(folder.path(), "n1")
    };
    let ledger = Ledger::open(settings).unwrap();
    let paths = vec![folder.path().to_owned()];
    let tag = ledger.tag(&who(1));
    let statement = || drop(ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap());
    statement();
    /// Ends the search when it has seen enough.
    struct Enough(u64);
    impl std::io::Write for Enough {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 -= bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            if self.0 == 0 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    std::thread::scope(|scope| {
        let following = scope.spawn(|| {
            let what = Search { event: Some("intent".into()), ..Search::default() };
            search_follow(&paths, &what, &mut Enough(1001))
        });
        (0..1000).for_each(|_| statement());
        assert!(following.join().unwrap().is_err(), "it saw all and was ended by its reader");
    });
    ledger.close("test").unwrap();
    let is_compressed = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".zst");
    let mut entries = fs::read_dir(folder.path()).unwrap();
    assert!(entries.any(|entry| is_compressed(&entry.unwrap().file_name())));
}

/// Hands over what is shown, and ends the search when nobody looks any more.
struct Shown(Sender<Vec<u8>>);

impl std::io::Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.send(bytes.to_vec());
        sent.map(|()| bytes.len()).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_search_that_follows_two_nodes_goes_on_in_the_newest_file_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = ["n1", "n2"]
        .map(|node| Ledger::open(LedgerSettings::new(folder.path(), node)).unwrap())
        .map(|ledger| (ledger.tag(&who(1)), ledger));
    let statement = |(tag, ledger): &(WhoTag, Ledger)| {
        drop(ledger.intent(tag, &query(b"SELECT 1")).wait().unwrap());
    };
    let (shown, seen) = channel();
    let paths = vec![folder.path().to_owned()];
    let following = std::thread::spawn(move || {
        let what = Search { event: Some("intent".into()), ..Search::default() };
        search_follow(&paths, &what, &mut Shown(shown))
    });
    // Each is shown before the next is made: in the one way or the other a file is behind another.
    for _ in 0..3 {
        for node in &nodes {
            statement(node);
            while !seen.recv_timeout(Duration::from_secs(20)).unwrap().ends_with(b"\n") {}
        }
    }
    drop(seen);
    statement(&nodes[0]);
    assert!(following.join().unwrap().is_err(), "it was ended by its reader");
    for (_, ledger) in nodes {
        ledger.close("test").unwrap();
    }
}

/// The copy begins with what was shown already.
#[test]
fn a_search_goes_on_in_a_file_that_was_deleted_and_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ledger =
        Ledger::open(LedgerSettings { rotate_bytes: 1 << 20, ..settings(folder) }).unwrap();
    let (shown, seen) = channel();
    let paths = vec![folder.join("ledger")];
    let following = std::thread::spawn(move || {
        let what = Search { event: Some("outcome".into()), ..Search::default() };
        search_follow(&paths, &what, &mut Shown(shown))
    });
    let mut all = Vec::new();
    let mut see = |lines: usize| {
        while all.iter().filter(|byte| **byte == b'\n').count() < lines {
            all.extend(seen.recv_timeout(Duration::from_secs(20)).unwrap());
        }
        String::from_utf8_lossy(&all).lines().map(sequence).collect::<Vec<u64>>()
    };
    fill(&ledger, 5);
    see(5);
    let file = names(folder, ".jsonl").remove(0);
    fs::remove_file(folder.join("ledger").join(&file)).unwrap();
    wait_until("the file", || names(folder, ".jsonl").contains(&file));
    fill(&ledger, 5);
    let sequences = see(10);
    assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    drop(seen);
    fill(&ledger, 1);
    assert!(following.join().unwrap().is_err(), "it was ended by its reader");
    ledger.close("test").unwrap();
}

fn sequence(line: &str) -> u64 {
    serde_json::from_str::<serde_json::Value>(line)
        .unwrap()
        .get("seq")
        .and_then(serde_json::Value::as_u64)
        .unwrap()
}
