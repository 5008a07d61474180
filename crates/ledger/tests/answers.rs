//! Answers that must not be taken for others: what a report and the statistics count, and what
//! they don't.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{line, ok, query, read_on, refused, report_request, who};
use ledger::cli::{Search, Verdict, search, search_csv, show, stats};
use ledger::report::{Report, ReportFormat, ReportRequest, report};
use ledger::{Ledger, LedgerSettings, Names, Outcome, Refusal};

/// A ledger of these lines.
fn written(lines: impl IntoIterator<Item = String>) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let text: String = lines.into_iter().collect();
    fs::write(folder.path().join("ledger-n-000000000001.jsonl"), text).unwrap();
    let paths = vec![folder.path().to_owned()];
    (folder, paths)
}

/// Of a report, whom a sort of notes is about, and what they say.
fn notes<'r>(report: &'r Report, kind: &str) -> Vec<(&'r str, &'r str)> {
    let notes = report.notable.iter().filter(|note| note.kind == kind);
    notes.map(|note| (note.user.as_str(), note.what.as_str())).collect()
}

#[test]
fn what_was_answered_ok_was_not_denied() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let alice = ledger.tag(&who(1));
    let absorbed = Refusal { verdict: "absorbed", rule: "absorbed", ..refused() };
    for refusal in [refused(), absorbed.clone(), absorbed] {
        ledger.refusal(&alice, &refusal).wait().unwrap();
    }
    ledger.close("test").unwrap();
    let paths = vec![folder.path().to_owned()];
    let later = ReportRequest { from: Some("2999".into()), ..report_request(&paths) };
    let mut text = Vec::new();
    report(&later).unwrap().write(ReportFormat::Text, &mut text).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("\nno records in that time\n"));
    let denied = &report(&report_request(&paths)).unwrap().denied["alice"];
    let rules: Vec<_> = denied.iter().map(|(rule, denied)| (rule.as_str(), denied.count)).collect();
    assert_eq!(rules, [("not_a_read", 1)]);
    let counted = &stats(&paths, &Search::default()).unwrap()["alice"];
    assert_eq!((counted.refused, counted.absorbed), (1, 2));
}

#[test]
fn a_report_on_a_table_tells_of_that_one_and_of_who_is_new_to_it() {
    let both = |line: String| line.replace("[\"clin.visit\"]", "[\"clin.visit\",\"clin.drug\"]");
    let (_folder, paths) = written([
        read_on("n", 1, "2026-11-16T10:00:00", "clin.drug"),
        both(read_on("n", 2, "2026-11-20T10:00:00", "clin.visit")),
    ]);
    let (table, from) = (Some("clin.visit".into()), Some("2026-11-20".into()));
    let report = report(&ReportRequest { table, from, ..report_request(&paths) }).unwrap();
    assert_eq!(report.tables.keys().collect::<Vec<_>>(), ["clin.visit"]);
    assert_eq!(notes(&report, "first_time_table"), [("alice", "clin.visit")]);
}

#[test]
fn a_report_on_a_user_is_on_nobody_else_and_who_has_no_past_is_new_to_nothing() {
    let of = |user: &str, line: String| line.replace("alice", user);
    let refusal = |sequence, user: &str| {
        let members = "\"event\":\"refusal\",\"session\":1,\"verdict\":\"refused\",\"rule\":\"x\"";
        line(sequence, "2026-11-20T11:00:00", &format!("{members},\"user\":\"{user}\""))
    };
    let (_folder, paths) = written([
        read_on("n", 1, "2026-11-16T10:00:00", "clin.drug"),
        read_on("n", 2, "2026-11-20T10:00:00", "clin.visit"),
        of("bob", read_on("n", 3, "2026-11-20T10:00:00", "clin.visit")),
        refusal(4, "alice"),
        refusal(5, "bob"),
    ]);
    let on = |user: Option<&str>| {
        let (user, from) = (user.map(str::to_owned), Some("2026-11-20".into()));
        report(&ReportRequest { user, from, ..report_request(&paths) }).unwrap()
    };
    for (user, expected) in [(None, vec!["alice", "bob"]), (Some("bob"), vec!["bob"])] {
        let report = on(user);
        assert_eq!(report.users.keys().collect::<Vec<_>>(), expected);
        assert_eq!(report.tables["clin.visit"].keys().collect::<Vec<_>>(), expected);
        assert_eq!(report.denied.keys().collect::<Vec<_>>(), expected);
    }
    // Whatever bob read before, the ledger doesn't tell: it may begin here.
    assert_eq!(notes(&on(None), "first_time_table"), [("alice", "clin.visit")]);
    assert_eq!(notes(&on(Some("bob")), "first_time_table"), []);
}

#[test]
fn nobody_is_dormant_by_days_still_to_come() {
    let login = |sequence, time: &str, user: &str| {
        line(sequence, time, &format!("\"event\":\"login\",\"session\":1,\"user\":\"{user}\""))
    };
    let (_folder, paths) =
        written([login(1, "2026-01-05T10:00:00", "ann"), login(2, "2026-03-02T10:00:00", "bob")]);
    let dormant = |to: &str, dormant_days| {
        let request = ReportRequest { to: Some(to.into()), dormant_days, ..report_request(&paths) };
        notes(&report(&request).unwrap(), "dormant").len()
    };
    assert_eq!([dormant("2026", 90), dormant("2026", 50)], [0, 1]);
    // What comes later tells that nothing happened up to the end of the report.
    assert_eq!([dormant("2026-02-28", 50), dormant("2026-02-20", 50)], [1, 0]);
}

#[test]
fn notes_that_find_no_room_are_counted() {
    let failed = |sequence| {
        let members = "\"event\":\"login_failed\",\"session\":1,\"user\":\"eve\",\"reason\":\"no\"";
        line(sequence, "2026-11-20T10:00:00", members)
    };
    let (_folder, paths) = written((1..=1200).map(failed));
    let report = report(&report_request(&paths)).unwrap();
    let told = notes(&report, "login_failed");
    assert_eq!(told.len(), 1001);
    assert_eq!(told.last(), Some(&("", "200 more of these are left out here")));
}

#[test]
fn a_configuration_that_was_changed_while_no_daemon_ran_is_worth_a_look() {
    let loaded = |(sequence, event, hash)| {
        let members = format!("\"event\":\"{event}\",\"config_hash\":\"{hash}\"");
        line(sequence, "2026-11-20T10:00:00", &members)
    };
    let starts = [(1, "start", "aa"), (2, "config_load", "bb"), (3, "start", "bb")];
    let (_folder, paths) = written(starts.map(loaded));
    assert!(notes(&report(&report_request(&paths)).unwrap(), "config_changed").is_empty());
    let (_folder, paths) = written([starts[0], starts[1], (3, "start", "cc")].map(loaded));
    let report = report(&report_request(&paths)).unwrap();
    let told = notes(&report, "config_changed");
    assert!(told.len() == 1 && told[0].1.contains("cc"), "{told:?}");
}

#[test]
fn statistics_count_the_statements_that_are_asked_for_with_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let alice = ledger.tag(&who(1));
    for table in ["clin.visit", "clin.visit", "clin.drug"] {
        let names = Names::new(None, &[table.to_owned()], &[]);
        let intent = ledger.intent(&alice, &query(b"SELECT 1")).wait().unwrap();
        let outcome = Outcome { names: Some(&names), ..ok() };
        ledger.outcome(&alice, intent, &outcome).wait().unwrap();
    }
    drop(ledger.intent(&alice, &query(b"SELECT 1")).wait().unwrap());
    ledger.refusal(&alice, &refused()).wait().unwrap();
    ledger.close("test").unwrap();
    let paths = vec![folder.path().to_owned()];
    let allowed = Search { verdict: Some(Verdict::Allowed), ..Search::default() };
    let counted = &stats(&paths, &allowed).unwrap()["alice"];
    assert_eq!((counted.statements, counted.rows, counted.refused), (4, 3, 0));
    let by_table = Search { table: Some("clin.visit".into()), ..Search::default() };
    let counted = &stats(&paths, &by_table).unwrap()["alice"];
    assert_eq!((counted.statements, counted.rows), (2, 2));
    let by_user = Search { user: Some("alice".into()), ..Search::default() };
    let counted = &stats(&paths, &by_user).unwrap()["alice"];
    assert_eq!((counted.statements, counted.failed), (4, 1), "also one whose end names nobody");
}

#[test]
fn a_report_knows_by_its_intent_whose_a_short_outcome_is_though_that_is_before_its_bounds() {
    let intent = "\"event\":\"intent\",\"session\":1,\"user\":\"alice\",\"text\":\"x\"";
    let brief = "\"event\":\"outcome\",\"brief\":true,\"intent\":1,\"end\":\"ok\",\"rows\":3";
    let (_folder, paths) = written([
        line(1, "2026-11-19T23:59:59", intent),
        line(2, "2026-11-19T23:59:59", intent),
        line(3, "2026-11-20T00:00:01", brief),
    ]);
    for user in [None, Some("alice".to_owned())] {
        let from = Some("2026-11-20".into());
        let report = report(&ReportRequest { from, user, ..report_request(&paths) }).unwrap();
        let users: Vec<_> = report.users.iter().map(|(user, did)| (&**user, did.rows)).collect();
        assert_eq!(users, [("alice", 3)]);
        // How the other one ended is no question of these days.
        assert!(notes(&report, "end_unknown").is_empty(), "{report:?}");
    }
}

#[test]
fn a_report_says_once_of_a_start_that_what_was_changed_cannot_be_told() {
    let part = |sequence, kept: &str| {
        let load = "\"event\":\"config_load\",\"config_hash\":\"aa\",\"result\":\"in force by a start\",\
                    \"differences\":[],\"not_compared\":\"no such file\"";
        line(sequence, "2026-11-20T10:00:00", &format!("{load}{kept}"))
    };
    let (_folder, paths) = written([part(1, ""), part(2, ""), part(3, ",\"kept_sha256\":\"bb\"")]);
    let report = report(&report_request(&paths)).unwrap();
    let expected = ("", "n: what was changed can't be told: no such file");
    assert_eq!(notes(&report, "config_changed"), [expected]);
}

#[test]
fn a_report_over_encrypted_files_says_that_they_are_missing() {
    let (folder, paths) = written([read_on("n", 9, "2026-11-20T10:00:00", "clin.visit")]);
    let of = |paths: &[PathBuf]| report(&report_request(paths)).unwrap();
    assert!(notes(&of(&paths), "not_read").is_empty());
    let sealed = folder.path().join("ledger-n-000000000000.jsonl.zst.age");
    fs::write(&sealed, "").unwrap();
    let report = of(&paths);
    assert_eq!(notes(&report, "not_read").len(), 1);
    for format in [ReportFormat::Text, ReportFormat::Csv, ReportFormat::Json, ReportFormat::Html] {
        let mut out = Vec::new();
        report.write(format, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("1 files are encrypted"), "{format:?}");
    }
    decrypted_beside(&sealed);
    assert!(notes(&of(&paths), "not_read").is_empty());
}

fn decrypted_beside(sealed: &Path) {
    let line = read_on("n", 1, "2026-11-19T10:00:00", "clin.visit");
    let packed = zstd::encode_all(line.as_bytes(), 1).unwrap();
    fs::write(sealed.with_extension(""), packed).unwrap();
}

#[test]
fn a_report_tells_what_it_is_about() {
    let (_folder, paths) = written([read_on("n", 1, "2026-11-20T10:00:00", "clin.visit")]);
    let (user, table) = (Some("alice".into()), Some("clin.visit".into()));
    let (from, to) = (Some("2026-11".into()), Some("2026-11-23".into()));
    let request = ReportRequest { user, table, from, to, ..report_request(&paths) };
    let report = report(&request).unwrap();
    for format in [ReportFormat::Text, ReportFormat::Csv, ReportFormat::Json, ReportFormat::Html] {
        let mut out = Vec::new();
        report.write(format, &mut out).unwrap();
        let about = "user alice, table clin.visit, from 2026-11, to 2026-11-23 (UTC)";
        assert!(String::from_utf8(out).unwrap().contains(about), "{format:?}");
    }
}

#[test]
fn a_damaged_line_hides_none_of_the_others() {
    let read = |sequence| read_on("n", sequence, "2026-11-20T10:00:00", "clin.visit");
    let garbled = read(2).replace("\"rows\":1", "\"rows\":\u{fffd}");
    let (_folder, paths) = written([read(1), garbled, "\u{1}\u{2}\n".to_owned(), read(4)]);
    let all = Search { with_text: true, with_login: true, ..Search::default() };
    let (mut lines, mut table, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(search(&paths, &all, &mut lines).unwrap(), 4);
    assert_eq!(search_csv(&paths, &all, &mut table).unwrap(), 4);
    assert!(show(&paths, 2, &mut shown).unwrap().found);
    for out in [lines, table, shown] {
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains('\u{fffd}'), "{out}");
    }
}

#[test]
fn an_outcome_that_names_nobody_counts_for_who_its_intent_names() {
    let folder = tempfile::tempdir().unwrap();
    let line = |number: u8, hour: u8, rest: &str| {
        let time = format!("2026-11-20T{hour}:00:00.000000Z");
        let prev = "0".repeat(64);
        let frame = format!(r#""v":2,"seq":{number},"time":"{time}","node":"n1","event""#);
        format!(r#"{{{frame}:{rest},"prev":"{prev}"}}"#)
    };
    let begins = line(1, 10, r#""intent","session":1,"user":"alice""#);
    let ends = line(2, 11, r#""outcome","brief":true,"intent":1,"end":"ok","rows":2,"bytes":30"#);
    let path = folder.path().join("ledger-n1-000000000001.jsonl");
    std::fs::write(path, format!("{begins}\n{ends}\n")).unwrap();
    let paths = [folder.path().to_owned()];
    let outcomes = Search { event: Some("outcome".into()), ..Search::default() };
    let later = Search { from: Some("2026-11-20T11".into()), ..Search::default() };
    for asked in [Search::default(), outcomes, later] {
        let users = stats(&paths, &asked).unwrap();
        let counted: Vec<_> =
            users.iter().map(|(user, of)| (&**user, of.statements, of.bytes)).collect();
        assert_eq!(counted, [("alice", 1, 30)], "{asked:?}");
    }
}

#[test]
fn a_table_says_why_somebody_was_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let line = |number: u8, rest: &str| {
        let (time, prev) = ("2026-11-20T10:00:00.000000Z", "0".repeat(64));
        let frame = format!(r#""v":2,"seq":{number},"time":"{time}","node":"n1","event""#);
        format!("{{{frame}:{rest},\"prev\":\"{prev}\"}}\n")
    };
    let failed = r#""login_failed","user":"alice","reason":"login_denied: wrong_password""#;
    let refused = r#""refusal","user":"bob","rule":"schema","reason":"not, it says, for you""#;
    let path = folder.path().join("ledger-n1-000000000001.jsonl");
    std::fs::write(path, [line(1, failed), line(2, refused)].concat()).unwrap();
    let mut table = Vec::new();
    let found = search_csv(&[folder.path().to_owned()], &Search::default(), &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!((found, rows.len()), (2, 3));
    assert!(rows[0].ends_with(",text,binds,reason"), "{table}");
    assert!(rows[1].ends_with(",,login_denied: wrong_password"), "{table}");
    assert!(rows[2].ends_with(",,\"not, it says, for you\""), "{table}");
}
