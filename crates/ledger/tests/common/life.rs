//! A ledger whose files end soon and are put away at once, and looks at it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ledger::cli::{Search, search};
use ledger::verify::{VerifyReport, VerifyRequest, verify};
use ledger::{Ledger, LedgerSettings, Reader, note_reading};

use super::{ok, query, who};

/// The example key of the age format's own tests.
pub(crate) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
/// What decrypts for it.
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

pub(crate) fn settings(folder: &Path) -> LedgerSettings {
    LedgerSettings {
        rotate_bytes: 20_000,
        keeper_period: Duration::from_millis(5),
        ..LedgerSettings::new(folder.join("ledger"), "n1")
    }
}

pub(crate) fn fill(ledger: &Ledger, statements: u64) {
    let tag = ledger.tag(&who(1));
    for _ in 0..statements {
        let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
        ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    }
}

pub(crate) fn names(folder: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join("ledger")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| name.starts_with("ledger-") && name.ends_with(ending)).collect();
    names.sort();
    names
}

/// What an operator does who needs encrypted files: their contents in their place.
pub(crate) fn decrypt_all(folder: &Path) {
    let identity = folder.join("identity");
    fs::write(&identity, IDENTITY).unwrap();
    for name in names(folder, ".age") {
        let sealed = folder.join("ledger").join(name);
        let mut age = Command::new("age");
        age.arg("--decrypt").arg("-i").arg(&identity).arg("-o").arg(sealed.with_extension(""));
        assert!(age.arg(&sealed).status().unwrap().success());
        fs::remove_file(&sealed).unwrap();
    }
}

pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} never came");
        std::thread::yield_now();
    }
}

pub(crate) fn check(folder: &Path) -> VerifyReport {
    let paths = vec![folder.join("ledger")];
    verify(&VerifyRequest { paths, ..VerifyRequest::default() }).unwrap()
}

pub(crate) fn found(folder: &Path, event: &str) -> u64 {
    let what = Search { event: Some(event.into()), ..Search::default() };
    search(&[folder.join("ledger")], &what, &mut Vec::new()).unwrap()
}

/// The keeper has been through all files from one end to the other since this began.
pub(crate) fn wait_for_two_passes(folder: &Path) {
    let before = found(folder, "reading");
    for passes in 1..=2 {
        let reader = Reader { name: "op", uid: 7, login_uid: None };
        note_reading(&[folder.join("ledger")], reader, "marks a pass of the keeper").unwrap();
        wait_until("a pass", || found(folder, "reading") == before + passes);
    }
}
