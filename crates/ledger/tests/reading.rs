//! Reading a ledger: search, show, stats, and the verifier's words.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::path::PathBuf;

use common::{ok, query, who};
use ledger::cli::{Format, Search, search, show, stats, verify_to};
use ledger::verify::VerifyRequest;
use ledger::{Intent, Ledger, LedgerSettings, Outcome, Who};

/// Two users; bob's text tries to pass for alice's record.
fn made() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let tables = ["clin.visit".to_owned()];
    let alice = ledger.tag(&who(1));
    let bob = ledger.tag(&Who { user: "bob", ..who(2) });
    for _ in 0..2 {
        let intent = Intent { tables: &tables, ..query(b"SELECT 1") };
        let recorded = ledger.intent(&alice, &intent).wait().unwrap();
        ledger.outcome(&alice, recorded, &ok()).wait().unwrap();
    }
    let forged = query(b"SELECT '\",\"user\":\"alice\",\"x\":\"'");
    let recorded = ledger.intent(&bob, &forged).wait().unwrap();
    ledger.outcome(&bob, recorded, &Outcome { end: "killed", ..ok() }).wait().unwrap();
    ledger.close("test").unwrap();
    let paths = vec![folder.path().to_owned()];
    (folder, paths)
}

fn found(paths: &[PathBuf], what: &Search) -> u64 {
    search(paths, what, &mut Vec::new()).unwrap()
}

#[test]
fn a_search_finds_a_users_records_and_none_that_only_look_so() {
    let (_folder, paths) = made();
    let by = |user: &str| Search { user: Some(user.into()), ..Search::default() };
    assert_eq!(found(&paths, &by("alice")), 4);
    assert_eq!(found(&paths, &by("bob")), 2);
    let table = Search { table: Some("clin.visit".into()), ..Search::default() };
    assert_eq!(found(&paths, &table), 2);
    let early = Search { to: Some("2001".into()), ..Search::default() };
    assert_eq!(found(&paths, &early), 0);
    let late =
        Search { from: Some("2001".into()), event: Some("intent".into()), ..Search::default() };
    assert_eq!(found(&paths, &late), 3);
}

#[test]
fn a_record_is_shown_with_what_refers_to_it() {
    let (_folder, paths) = made();
    let mut out = Vec::new();
    assert!(show(&paths, 1, &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("\"seq\"").count(), 2, "{text}");
    assert!(!show(&paths, 99, &mut Vec::new()).unwrap());
}

#[test]
fn stats_count_per_user() {
    let (_folder, paths) = made();
    let users = stats(&paths, &Search::default()).unwrap();
    assert_eq!((users["alice"].statements, users["alice"].rows, users["alice"].failed), (2, 2, 0));
    assert_eq!((users["bob"].statements, users["bob"].failed), (1, 1));
}

#[test]
fn the_verifier_says_intact_or_where_it_is_not() {
    let (folder, paths) = made();
    let request = VerifyRequest { paths, ..VerifyRequest::default() };
    let mut out = Vec::new();
    assert!(verify_to(&request, Format::Text, &mut out).unwrap());
    assert!(String::from_utf8(out).unwrap().ends_with("intact\n"));

    let file = common::files(folder.path()).remove(0);
    let text = std::fs::read_to_string(&file).unwrap().replacen("bob", "eve", 1);
    std::fs::write(&file, text).unwrap();
    let mut out = Vec::new();
    assert!(!verify_to(&request, Format::Text, &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(":5: record 5: the record was changed"), "{text}");
}
