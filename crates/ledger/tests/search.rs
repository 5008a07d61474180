//! Finding records by what statements read and what the judge said.

#![allow(clippy::unwrap_used, reason = "helpers of tests may stop at the first surprise")]

mod common;

use std::fs;

use common::{ok, query, read_on, refused, report_request, who};
use ledger::cli::{EVENTS, Search, Verdict, search, search_csv, show, stats};
use ledger::report::{ReportRequest, report};
use ledger::{
    Bind, BindValue, Event, Intent, Ledger, LedgerSettings, Names, Outcome, PreparedRef, Refusal,
};

#[test]
fn a_search_by_column_finds_whoever_may_have_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let alice = ledger.tag(&who(1));
    for (tables, columns) in [
        (["clin.visit"], ["clin.visit.held"]),
        (["Clin.Visit"], ["Clin.Visit.Held"]),
        (["clin.visit"], ["clin.visit.*"]),
        (["clin.visit"], ["?.held"]),
        (["clin.visit"], ["..."]),
        (["..."], ["?.held"]),
        (["clin.visit"], ["visit.held"]),
        (["clin.visit"], ["clin.visit.planned"]),
        (["clin.site"], ["clin.site.held"]),
        (["clin.site"], ["visit.held"]),
        (["clin.site"], ["?.held"]),
        (["clin.site"], ["..."]),
    ] {
        let names = Names::new(None, &tables.map(str::to_owned), &columns.map(str::to_owned));
        let recorded = ledger.intent(&alice, &query(b"SELECT 1")).wait().unwrap();
        let outcome = Outcome { names: Some(&names), ..ok() };
        ledger.outcome(&alice, recorded, &outcome).wait().unwrap();
    }
    ledger.close("test").unwrap();
    let paths = vec![folder.path().to_owned()];
    let of = |column: &str| Search { column: Some(column.into()), ..Search::default() };
    let mut lines = Vec::new();
    assert_eq!(search(&paths, &of("clin.visit.HELD"), &mut lines).unwrap(), 7);
    assert!(!String::from_utf8(lines).unwrap().contains("clin.site"));
    // Names that found no room may be any table's.
    let table = Search { table: Some("clin.visit".into()), ..Search::default() };
    assert_eq!(search(&paths, &table, &mut Vec::new()).unwrap(), 8);
    let request = ReportRequest { table: Some("clin.visit".into()), ..report_request(&paths) };
    let report = report(&request).unwrap();
    assert_eq!(report.users["alice"].statements, 8, "{report:?}");
}

#[test]
fn a_search_by_verdict_tells_what_ran_from_what_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let alice = ledger.tag(&who(1));
    drop(ledger.intent(&alice, &query(b"SELECT 'refused'")).wait().unwrap());
    for verdict in ["refused", "absorbed", "absorbed"] {
        ledger.refusal(&alice, &Refusal { verdict, ..refused() }).wait().unwrap();
    }
    ledger.close("test").unwrap();
    let paths = vec![folder.path().to_owned()];
    for (verdict, count) in [(Verdict::Allowed, 1), (Verdict::Refused, 1), (Verdict::Absorbed, 2)] {
        let wanted = Search { verdict: Some(verdict), ..Search::default() };
        assert_eq!(search(&paths, &wanted, &mut Vec::new()).unwrap(), count, "{verdict:?}");
    }
    // The outcome of what was given up names nobody.
    for (user, count) in [("alice", 1), ("bob", 0)] {
        let (user, event) = (Some(user.to_owned()), Some("outcome".to_owned()));
        let wanted = Search { user, event, ..Search::default() };
        assert_eq!(search(&paths, &wanted, &mut Vec::new()).unwrap(), count, "{wanted:?}");
    }
}

#[test]
fn a_search_for_tables_finds_what_was_allowed_and_says_where_it_can_find_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let alice = ledger.tag(&who(1));
    let names = Names::new(None, &["clin.visit".to_owned()], &[]);
    let recorded = ledger.intent(&alice, &query(b"SELECT 1")).wait().unwrap();
    ledger.outcome(&alice, recorded, &Outcome { names: Some(&names), ..ok() }).wait().unwrap();
    ledger.close("test").unwrap();
    let paths = vec![folder.path().to_owned()];
    let visit = Search { table: Some("clin.visit".into()), ..Search::default() };
    let allowed = Search { verdict: Some(Verdict::Allowed), ..visit.clone() };
    assert!(allowed.can_match());
    assert_eq!(search(&paths, &allowed, &mut Vec::new()).unwrap(), 1);
    let refused = Search { verdict: Some(Verdict::Refused), ..visit.clone() };
    let intents = Search { event: Some("intent".into()), ..visit.clone() };
    let by_rule = Search { rule: Some("not_a_read".into()), ..visit };
    let of = |event: &str, rule: Option<&str>, verdict| {
        let (event, rule) = (Some(event.to_owned()), rule.map(str::to_owned));
        Search { event, rule, verdict, ..Search::default() }
    };
    let ended = of("outcome", None, Some(Verdict::Allowed));
    assert!(ended.can_match() && of("refusal", Some("not_a_read"), None).can_match());
    assert_eq!(search(&paths, &ended, &mut Vec::new()).unwrap(), 1);
    let begun = of("intent", Some("not_a_read"), None);
    let login = of("login", None, Some(Verdict::Refused));
    let both = Search { event: None, ..of("", Some("not_a_read"), Some(Verdict::Allowed)) };
    let of_three = Search { event: Some("refusal".into()), ..both.clone() };
    let column = Search { column: Some("clin.visit.held".into()), ..begun.clone() };
    let fingerprint = Search { fingerprint: Some("0".into()), ..begun.clone() };
    let [column, fingerprint] = [column, fingerprint].map(|by| Search { rule: None, ..by });
    let none = [refused, intents, by_rule, begun, login, both, of_three, column, fingerprint];
    assert!(none.iter().all(|search| !search.can_match()));
}

#[test]
fn a_search_takes_in_the_whole_of_what_its_bounds_name() {
    let folder = tempfile::tempdir().unwrap();
    let times = ["2026-11-19T23:59:59", "2026-11-20T00:00:00", "2026-11-20T10:00:00"];
    let lines = times.map(|time| read_on("n", 1, time, "clin.visit")).concat();
    fs::write(folder.path().join("ledger-n-000000000001.jsonl"), lines).unwrap();
    let paths = vec![folder.path().to_owned()];
    for (from, to, count) in [
        (Some("2026-11-20"), None, 2),
        (Some("2026-11-20T10:00:00"), None, 1),
        (Some("2026-11-20T10:00:01"), None, 0),
        (None, Some("2026-11-19"), 1),
        (None, Some("2026-11-20T00:00:00"), 2),
        (Some("2026-11-20"), Some("2026-11-20"), 2),
    ] {
        let [from_, to_] = [from, to].map(|bound| bound.map(str::to_owned));
        let wanted = Search { from: from_, to: to_, ..Search::default() };
        let found = search(&paths, &wanted, &mut Vec::new()).unwrap();
        assert_eq!(found, count, "from {from:?} to {to:?}");
    }
}

/// A file that can't be read is found out by whoever reads it.
#[test]
fn who_cannot_wait_reads_no_file_that_is_older_as_a_whole() {
    const BROKEN: &str = "no zstd";
    let folder = tempfile::tempdir().unwrap();
    let read = |node: &str, time: &str| read_on(node, 1, time, "clin.visit");
    for (name, text) in [
        ("a-000000000001.jsonl.zst", BROKEN.to_owned()),
        ("a-000000000002.jsonl.zst", BROKEN.to_owned()),
        ("a-000000000003.jsonl", read("a", "2026-11-19T10:00:00")),
        ("a-000000000004.jsonl", read("a", "2026-11-20T10:00:00")),
        ("b-000000000001.jsonl", read("b", "2026-11-20T10:00:00")),
    ] {
        fs::write(folder.path().join(format!("ledger-{name}")), text).unwrap();
    }
    let paths = vec![folder.path().to_owned()];
    let found = |from: &str, passes_over_older| {
        let from = Some(from.to_owned());
        let wanted = Search { from, passes_over_older, ..Search::default() };
        search(&paths, &wanted, &mut Vec::new()).ok()
    };
    assert_eq!(found("2026-11-20", false), None);
    assert_eq!([found("2026-11-20", true), found("2026-11-19T12:00:00", true)], [Some(2); 2]);
    // The broken files may end in that moment.
    let begin = "2026-11-19T10:00:00.000000Z";
    assert_eq!([found(begin, true), found("2026-11-18", true)], [None; 2]);
}

#[test]
fn a_search_can_ask_for_all_events_that_the_schema_has() {
    let schema = include_str!("../../../docs/ledger.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let known = schema["properties"]["event"]["enum"].as_array().unwrap();
    assert!(known.iter().eq(EVENTS), "{known:?}");
}

#[test]
fn who_searches_by_what_was_read_is_told_by_whom_from_where_and_by_what_statement() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings::new(folder.path(), "n1")).unwrap();
    let event = Event::Login { who: who(1), method: "by/hand", attributes: &[] };
    let login = ledger.event(&event).wait().unwrap();
    let alice = ledger.tag_after(login, &who(1));
    let prepared = Intent { command: "prepare", ..query(b"SELECT held FROM visit WHERE id = ?") };
    let prepared = ledger.intent(&alice, &prepared).wait().unwrap();
    let of_it = Some(PreparedRef { statement_id: 1, intent: prepared.sequence() });
    ledger.outcome(&alice, prepared, &ok()).wait().unwrap();
    let value = BindValue::Bytes(b"17".into());
    let binds = [Bind { name: None, kind: "longlong", is_number: true, value }];
    let execution = Intent { command: "execute", prepared: of_it, binds: &binds, ..query(b"") };
    let execution = ledger.intent(&alice, &execution).wait().unwrap();
    let names = Names::new(None, &["clin.visit".to_owned()], &[]);
    let end = Outcome { names: Some(&names), ..ok() };
    let outcome = ledger.outcome(&alice, execution, &end).wait().unwrap();
    ledger.close("test").unwrap();

    let paths = vec![folder.path().to_owned()];
    let from = |source: &str| Search {
        table: Some("clin.visit".into()),
        source: Some(source.into()),
        with_text: true,
        with_login: true,
        ..Search::default()
    };
    let alone = |with_text, with_login| {
        let mut line = Vec::new();
        let wanted = Search { with_text, with_login, source: None, ..from("") };
        assert_eq!(search(&paths, &wanted, &mut line).unwrap(), 1);
        let line = String::from_utf8(line).unwrap();
        [line.contains("SELECT held"), line.contains("by/hand")]
    };
    let told = [alone(false, false), alone(true, false), alone(false, true)];
    assert_eq!(told, [[false, false], [true, false], [false, true]]);
    let (mut line, mut table, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(search(&paths, &from("203.0.113.7"), &mut line).unwrap(), 1);
    assert_eq!(search(&paths, &from("203.0.113.8"), &mut line).unwrap(), 0);
    assert_eq!(stats(&paths, &from("203.0.113.7")).unwrap()["alice"].rows, 1);
    search_csv(&paths, &from("203.0.113.7"), &mut table).unwrap();
    assert!(show(&paths, outcome, &mut shown).unwrap().found);
    for told in [line, table, shown] {
        let told = String::from_utf8(told).unwrap();
        for part in ["SELECT held FROM visit WHERE id = ?", "longlong", "17", "mysql"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
