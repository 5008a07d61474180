//! Reading a ledger: search, show, stats, and the verifier's words.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{line, ok, query, read_on, refused, report_request, who};
use ledger::cli::{Format, Search, search, search_csv, show, stats, verify_to};
use ledger::report::{Report, ReportFormat, ReportRequest, report};
use ledger::verify::VerifyRequest;
use ledger::{Event, Ledger, LedgerSettings, Names, Outcome, Who};

/// Two users; bob's text tries to pass for alice's record.
fn made() -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let names = Names::new(None, &["clin.visit".to_owned()], &[]);
    let alice = ledger.tag(&who(1));
    let bob = ledger.tag(&Who { user: "bob", ..who(2) });
    for _ in 0..2 {
        let recorded = ledger.intent(&alice, &query(b"SELECT 1")).wait().unwrap();
        let outcome = Outcome { names: Some(&names), ..ok() };
        ledger.outcome(&alice, recorded, &outcome).wait().unwrap();
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
    // Some servers don't tell names by case. A text that is that name alone is no table.
    let table = Search { table: Some("CLIN.visit".into()), ..Search::default() };
    assert_eq!(found(&paths, &table), 2);
    let table = Search { table: Some("clin".into()), ..Search::default() };
    assert_eq!(found(&paths, &table), 0, "a schema's name");
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
    assert!(show(&paths, 1, &mut out).unwrap().found);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("\"seq\"").count(), 2, "{text}");
    assert!(!show(&paths, 99, &mut Vec::new()).unwrap().found);
}

#[test]
fn no_text_steers_the_terminal_of_who_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let paths = vec![folder.path().to_owned()];
    let program = Some("x\u{9b}2J\u{202e}");
    let who = Who { user: "bob\u{9b}2J\u{202e}", program, ..who(1) };
    let login =
        ledger.event(&Event::Login { who: who.clone(), method: "by/hand", attributes: &[] });
    let tag = ledger.tag_after(login.wait().unwrap(), &who);
    let text = "SELECT '\u{1b}[2J\u{9b}2J\u{202e}'";
    drop(ledger.intent(&tag, &query(text.as_bytes())).wait().unwrap());
    ledger.close("test").unwrap();
    let mut out = Vec::new();
    show(&paths, 2, &mut out).unwrap();
    let all = Search::default();
    search(&paths, &Search { with_login: true, ..all.clone() }, &mut out).unwrap();
    ledger::cli::search_csv(&paths, &all, &mut out).unwrap();
    ledger::cli::write_stats(&stats(&paths, &all).unwrap(), &mut out).unwrap();
    let report = report(&report_request(&paths)).unwrap();
    for format in [ReportFormat::Text, ReportFormat::Csv, ReportFormat::Json, ReportFormat::Html] {
        report.write(format, &mut out).unwrap();
    }
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("SELECT '\\u001b[2J\\u009b2J\\u202e'"), "{out}");
    let steers = |c: char| (c.is_control() && !"\r\n".contains(c)) || c == '\u{202e}';
    assert_eq!(out.find(steers), None, "{out:?}");
}

#[test]
fn a_records_login_is_at_hand_wherever_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        LedgerSettings { rotate_bytes: 6_000, ..LedgerSettings::new(folder.path(), "n1") };
    let ledger = Ledger::open(LedgerSettings { compress: false, ..settings }).unwrap();
    let event = Event::Login { who: who(1), method: "by/hand", attributes: &[] };
    let login = ledger.event(&event).wait().unwrap();
    let tag = ledger.tag_after(login, &who(1));
    for _ in 0..20 {
        let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
        ledger.outcome(&tag, intent, &ok()).wait().unwrap();
    }
    let last = ledger.intent(&tag, &query(b"SELECT 'last'")).wait().unwrap();
    let number = last.sequence();
    drop(last);
    ledger.close("test").unwrap();
    let files = common::files(folder.path());
    assert!(files.len() > 1, "the session spans files");

    let paths = vec![folder.path().to_owned()];
    let mut out = Vec::new();
    let shown = show(&paths, number, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(shown.found && shown.missing_logins.is_empty(), "{shown:?}");
    assert!(text.contains("TLS13_AES_256_GCM_SHA384") && text.contains("by/hand"), "{text}");
    // Without the file that holds the login the record is found, and what is missing is said.
    let shown = show(&files[1..], number, &mut Vec::new()).unwrap();
    assert_eq!((shown.found, shown.missing_logins), (true, vec![login]));

    let intents = Search { event: Some("intent".into()), with_login: true, ..Search::default() };
    let mut out = Vec::new();
    assert_eq!(search(&paths, &intents, &mut out).unwrap(), 21);
    for line in String::from_utf8(out).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["at_login"]["source_port"], 50_123, "{record}");
        assert_eq!(record["at_login"]["method"], "by/hand");
    }
    let mut out = Vec::new();
    search_csv(&paths, &Search { with_login: false, ..intents }, &mut out).unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(table.lines().skip(1).all(|row| row.contains(",mysql,")), "{table}");
}

#[test]
fn a_record_is_not_given_another_login_of_its_sessions_number() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        LedgerSettings { rotate_bytes: 6_000, ..LedgerSettings::new(folder.path(), "n1") };
    let ledger = Ledger::open(LedgerSettings { compress: false, ..settings }).unwrap();
    // As behind a change of user, or a start.
    for method in ["first/way", "second/way"] {
        let event = Event::Login { who: who(1), method, attributes: &[] };
        let login = ledger.event(&event).wait().unwrap();
        let tag = ledger.tag_after(login, &who(1));
        for _ in 0..30 {
            let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
            ledger.outcome(&tag, intent, &ok()).wait().unwrap();
        }
    }
    ledger.close("test").unwrap();
    let mut files = common::files(folder.path());
    let holds = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("second/way");
    let at = files.iter().position(holds).expect("the login is recorded");
    assert!(at > 0 && at + 1 < files.len(), "it stands between others");
    let intents = Search { event: Some("intent".into()), with_login: true, ..Search::default() };
    let joined = |files: &[PathBuf]| {
        let mut out = Vec::new();
        search(files, &intents, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let last = text.lines().last().expect("records are found").to_owned();
        (text.contains("first/way"), last.contains("at_login"), last.contains("second/way"))
    };
    assert_eq!(joined(&files), (true, true, true));
    files.remove(at);
    assert_eq!(joined(&files), (true, false, false), "its own login isn't there");
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

fn written(report: &Report, format: ReportFormat) -> String {
    let mut out = Vec::new();
    report.write(format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_report_tells_who_could_have_read_a_table_and_what_was_denied() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let evil = "<script>=1";
    for (session, user) in [(1, "alice"), (2, evil)] {
        let tag = ledger.tag(&Who { user, ..who(session) });
        let tables = ["clin.visit".to_owned(), "clin.drug".to_owned()];
        let tables = if user == "alice" { &tables[..1] } else { &tables[..] };
        let names = Names::new(None, tables, &[]);
        for _ in 0..3 {
            let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
            ledger.outcome(&tag, intent, &Outcome { names: Some(&names), ..ok() }).wait().unwrap();
        }
        ledger.refusal(&tag, &refused()).wait().unwrap();
    }
    ledger.close("test").unwrap();
    let paths = [folder.path().to_owned()];
    let all = report(&report_request(&paths)).unwrap();
    let readers: Vec<&String> = all.tables["clin.visit"].keys().collect();
    assert_eq!(readers, [evil, "alice"]);
    assert_eq!(all.tables["clin.drug"].len(), 1);
    assert_eq!(all.users["alice"].statements, 3);
    assert_eq!(all.denied["alice"]["not_a_read"].count, 1);
    let drug = ReportRequest { table: Some("clin.drug".into()), ..report_request(&paths) };
    assert!(!report(&drug).unwrap().users.contains_key("alice"));
    let early = ReportRequest { to: Some("2001".into()), ..report_request(&paths) };
    assert_eq!(report(&early).unwrap().records, 0);

    let html = written(&all, ReportFormat::Html);
    assert!(html.contains("<svg") && html.contains("&lt;script&gt;") && !html.contains("<script"));
    let csv = written(&all, ReportFormat::Csv);
    assert!(csv.contains("table,alice,clin.visit,3,3,240,0,"), "{csv}");
    assert!(written(&all, ReportFormat::Text).contains("who could have read"));
    let json: serde_json::Value = serde_json::from_str(&written(&all, ReportFormat::Json)).unwrap();
    assert_eq!(json["users"]["alice"]["rows"], 3);
}

#[test]
fn a_report_notices_what_is_unusual() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger-n-000000000001.jsonl");
    let read = |sequence, time: &str, user: &str, rows: u64, table: &str| {
        let members = format!(
            "\"event\":\"outcome\",\"session\":1,\"user\":\"{user}\",\"intent\":1,\"end\":\"ok\",\
             \"rows\":{rows},\"bytes\":1,\"duration_us\":1,\"tables\":[\"{table}\"]"
        );
        line(sequence, time, &members)
    };
    let seen = |sequence, time: &str, user: &str| {
        line(sequence, time, &format!("\"event\":\"login\",\"session\":1,\"user\":\"{user}\""))
    };
    let text = [
        seen(1, "2026-05-01T10:00:00", "carol"),
        seen(2, "2026-11-20T10:00:00", "bob"),
        read(3, "2026-11-16T10:00:00", "bob", 100, "clin.visit"),
        read(4, "2026-11-17T10:00:00", "bob", 110, "clin.visit"),
        read(5, "2026-11-18T10:00:00", "bob", 90, "clin.visit"),
        read(6, "2026-11-19T23:00:00", "bob", 5000, "clin.visit"),
        read(7, "2026-11-20T10:00:00", "bob", 100, "clin.drug"),
        line(
            8,
            "2026-11-20T10:00:01",
            "\"event\":\"intent\",\"session\":1,\"user\":\"bob\",\"text\":\"x\"",
        ),
    ]
    .concat();
    std::fs::write(file, text).unwrap();
    let request = ReportRequest {
        from: Some("2026-11-19".into()),
        hours: (7, 19),
        ..report_request(&[folder.path().to_owned()])
    };
    let report = report(&request).unwrap();
    let found: Vec<(&str, &str)> =
        report.notable.iter().map(|note| (note.kind, note.user.as_str())).collect();
    let expected = [
        ("dormant", "carol"),
        ("unusual_volume", "bob"),
        ("off_hours", "bob"),
        ("first_time_table", "bob"),
        ("end_unknown", "bob"),
    ];
    assert_eq!(found, expected);
    assert_eq!(report.users["bob"].rows, 5100, "what is before tells only what is usual");

    let up_to = |to: &str| {
        let report =
            ledger::report::report(&ReportRequest { to: Some(to.into()), ..request.clone() });
        report.unwrap().notable.iter().any(|note| note.kind == "dormant")
    };
    assert!(up_to("2026-11") && up_to("2026"), "also up to the end of a month or a year");
}

#[test]
fn records_of_several_nodes_count_by_their_times() {
    let folder = tempfile::tempdir().unwrap();
    for (node, text) in [
        ("a", read_on("a", 1, "2026-11-20T10:00:00", "clin.visit")),
        ("b", read_on("b", 1, "2026-11-10T23:00:00", "clin.visit")),
        ("c", read_on("c", 1, "2026-11-20T23:00:00", "clin.drug")),
        ("d", read_on("d", 1, "2026-11-19T23:00:00", "clin.drug")),
        ("e", read_on("e", 1, "2026-11-20T23:30:00", "clin.drug")),
    ] {
        let name = format!("ledger-{node}-000000000001.jsonl");
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let paths = [folder.path().to_owned()];
    let from = Some("2026-11-19".into());
    let request = ReportRequest { from, hours: (7, 19), ..report_request(&paths) };
    let report = report(&request).unwrap();
    let spans = [
        (&report.first, &report.last),
        (&report.users["alice"].first, &report.users["alice"].last),
    ];
    for (first, last) in spans {
        assert!(first.starts_with("2026-11-19") && last.starts_with("2026-11-20T23:30"));
    }
    let notes: Vec<_> =
        report.notable.iter().map(|note| (note.kind, &note.time[..10], &*note.what)).collect();
    let off_hours = "reads outside of usual hours";
    let expected = [
        ("first_time_table", "2026-11-19", "clin.drug"),
        ("off_hours", "2026-11-19", off_hours),
        ("off_hours", "2026-11-20", off_hours),
    ];
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(expected.iter().all(|note| notes.contains(note)), "{notes:?}");
    let counted = stats(&paths, &Search::default()).unwrap();
    assert!(counted["alice"].first.starts_with("2026-11-10"), "{counted:?}");
    assert!(counted["alice"].last.starts_with("2026-11-20T23:30"), "{counted:?}");
}

#[test]
fn a_damaged_line_takes_nothing_from_the_span_of_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let [older, newer] = ["2026-11-10T10:00:00", "2026-11-20T10:00:00"]
        .map(|time| read_on("a", 1, time, "clin.visit"));
    let file = folder.path().join("ledger-a-000000000001.jsonl");
    std::fs::write(file, format!("{older}torn\n{newer}")).unwrap();
    let report = report(&report_request(&[folder.path().to_owned()])).unwrap();
    assert!(report.first.starts_with("2026-11-10T10"), "{}", report.first);
}

#[test]
fn a_statement_that_ends_behind_a_reports_bounds_has_a_known_end() {
    let folder = tempfile::tempdir().unwrap();
    let intent = "\"event\":\"intent\",\"session\":1,\"user\":\"alice\",\"text\":\"x\"";
    let text = [
        line(1, "2026-11-20T23:59:59", intent),
        read_on("n", 2, "2026-11-21T00:00:01", "clin.visit"),
        line(3, "2026-11-21T00:00:02", intent),
    ];
    std::fs::write(folder.path().join("ledger-n-000000000001.jsonl"), text.concat()).unwrap();
    let paths = [folder.path().to_owned()];
    for (to, unknown) in [("2026-11-20", 0), ("2026-11-21", 1)] {
        let request = ReportRequest { to: Some(to.into()), ..report_request(&paths) };
        let notes = report(&request).unwrap().notable;
        assert_eq!(notes.iter().filter(|note| note.kind == "end_unknown").count(), unknown, "{to}");
    }
}

#[test]
fn a_report_on_a_table_tells_of_ends_that_name_none() {
    let folder = tempfile::tempdir().unwrap();
    let time = "2026-11-20T10:00:00";
    let intent = "\"event\":\"intent\",\"session\":1,\"user\":\"alice\",\"text\":\"x\"";
    let brief = "\"event\":\"outcome\",\"brief\":true,\"intent\":1,\"end\":\"ok\",\"rows\":1";
    let abandoned = "\"event\":\"outcome\",\"intent\":3,\"end\":\"abandoned\"";
    let text = [
        line(1, time, intent),
        line(2, time, brief),
        line(3, time, intent),
        line(4, time, abandoned),
        read_on("n", 5, time, "clin.drug"),
    ];
    std::fs::write(folder.path().join("ledger-n-000000000001.jsonl"), text.concat()).unwrap();
    let paths = [folder.path().to_owned()];
    let request = ReportRequest { table: Some("clin.visit".into()), ..report_request(&paths) };
    let report = report(&request).unwrap();
    assert!(report.users.is_empty() && report.tables.is_empty(), "{report:?}");
    let notes: Vec<_> =
        report.notable.iter().map(|note| (note.kind, &*note.user, &*note.what)).collect();
    let expected =
        ["record 1 of n: what it read is not known", "record 3 of n: what it read is not known"];
    assert_eq!(notes, expected.map(|what| ("tables_unknown", "alice", what)));
}

#[test]
fn what_others_did_leaves_room_for_notes_on_who_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let failed = |sequence, user: &str| {
        let members = format!(
            "\"event\":\"login_failed\",\"session\":1,\"user\":\"{user}\",\"reason\":\"no\""
        );
        line(sequence, "2026-11-20T10:00:00", &members)
    };
    let mut text: String = (1..=2000).map(|sequence| failed(sequence, "mallory")).collect();
    text.push_str(&failed(2001, "bob"));
    std::fs::write(folder.path().join("ledger-n-000000000001.jsonl"), text).unwrap();
    let paths = [folder.path().to_owned()];
    let request = ReportRequest { user: Some("bob".into()), ..report_request(&paths) };
    assert_eq!(report(&request).unwrap().notable.len(), 1);
}

#[test]
fn a_table_shows_texts_of_clients_in_other_character_sets() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let tag = ledger.tag(&who(1));
    drop(ledger.intent(&tag, &query(b"SELECT 'J\xfcrgen'")).wait().unwrap());
    ledger.close("test").unwrap();
    let mut out = Vec::new();
    search_csv(&[folder.path().to_owned()], &Search::default(), &mut out).unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(table.contains(r"SELECT 'J\xfcrgen'"), "{table}");
}

#[test]
fn an_outcome_that_names_nobody_counts_for_who_sent_the_statement() {
    let (_folder, paths) = made();
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let tag = ledger.tag(&who(1));
    drop(ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap());
    ledger.close("test").unwrap();
    let users = stats(&[paths, vec![folder.path().to_owned()]].concat(), &Search::default());
    let users = users.unwrap();
    assert_eq!((users["alice"].failed, users[""].failed), (1, 0));
}
