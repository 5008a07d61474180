//! Records as they stand in the files, and the states that callers see.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use common::{event, files, ok, query, records, who};
use ledger::{
    Bind, BindValue, Event, Intent, Ledger, LedgerSettings, Literal, LiteralKind, Outcome,
    PreparedRef, Refusal, ReplicaError, SyncPolicy, TextForm, Who,
};

fn settings(folder: &tempfile::TempDir) -> LedgerSettings {
    LedgerSettings::new(folder.path().join("ledger"), "node 1")
}

#[test]
fn a_statement_leaves_an_intent_and_an_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let tag = ledger.tag(&who(9));
    let seven = BindValue::Bytes(b"7".into());
    let bind = |kind, value| Bind { name: None, kind, is_number: kind == "longlong", value };
    let binds = [bind("longlong", seven), bind("null", BindValue::Null)];
    let intent = Intent {
        prepared: Some(PreparedRef { statement_id: 3, intent: 1 }),
        binds: &binds,
        ..query("SELECT 'é\u{202e}\n' -- \u{1b}[2J".as_bytes())
    };
    let recorded = ledger.intent(&tag, &intent).wait().unwrap();
    assert_eq!(recorded.sequence(), 1);
    let error =
        ReplicaError { code: 1317, sqlstate: "70100", message: "Query execution was interrupted" };
    let outcome = Outcome { end: "error", error: Some(error), ..ok() };
    assert_eq!(ledger.outcome(&tag, recorded, &outcome).wait().unwrap(), 2);
    ledger.close("test").unwrap();

    let text = fs::read_to_string(&files(&folder.path().join("ledger"))[0]).unwrap();
    assert!(text.contains(r#""text":"SELECT 'é\u202e\n' -- \u001b[2J""#), "{text}");
    let records = records(&folder.path().join("ledger"));
    let intent = event(&records, "intent").unwrap();
    assert_eq!(intent["v"], 2);
    assert_eq!(intent["node"], "node 1");
    assert_eq!(intent["user"], "alice");
    assert_eq!(intent["source"], "203.0.113.7");
    assert_eq!(intent["schema"], "clin");
    assert_eq!(intent["prepared"]["intent"], 1);
    assert_eq!(intent["binds"][0]["type"], "longlong");
    assert_eq!(intent["binds"][0]["value"], "7");
    assert!(intent["binds"][1]["value"].is_null());
    let outcome = event(&records, "outcome").unwrap();
    assert_eq!(outcome["intent"], 1);
    assert_eq!(outcome["session"], 9);
    assert_eq!(outcome["error"]["code"], 1317);
    assert_eq!(outcome["error"]["message"], "Query execution was interrupted");
    assert_eq!(outcome["duration_us"], 250);
    assert_eq!(event(&records, "stop").unwrap()["reason"], "test");
}

#[test]
fn an_intent_that_is_dropped_leaves_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let tag = ledger.tag(&who(1));
    drop(ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap());
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let outcome = event(&records, "outcome").unwrap();
    assert_eq!((&outcome["intent"], &outcome["end"]), (&1.into(), &"abandoned".into()));
}

#[test]
fn a_long_text_is_cut_with_its_length_and_hash() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(LedgerSettings { max_text: 10, ..settings(&folder) }).unwrap();
    let tag = ledger.tag(&who(1));
    drop(ledger.intent(&tag, &query("SELECT 'aéé'".as_bytes())).wait().unwrap());
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let intent = event(&records, "intent").unwrap();
    assert_eq!(intent["text"], "SELECT 'a", "no character is cut in half");
    assert_eq!(intent["text_bytes"], 14);
    assert_eq!(intent["text_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn refusals_and_events_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let tag = ledger.tag(&who(1));
    let refusal = Refusal {
        command: "query",
        schema: Some(b"clin"),
        text: b"DELETE FROM t\xff",
        kind: "delete",
        form: TextForm::Full,
        verdict: "refused",
        rule: "not_a_read",
        reason: "DELETE is not a read",
        offset: 0,
    };
    ledger.refusal(&tag, &refusal).wait().unwrap();
    let attributes = [("_client_name".to_owned(), "x\",\"user\":\"root".to_owned())];
    let login =
        Event::Login { who: who(1), method: "caching_sha2_password/fast", attributes: &attributes };
    ledger.event(&login).wait().unwrap();
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let refusal = event(&records, "refusal").unwrap();
    assert_eq!(refusal["rule"], "not_a_read");
    assert_eq!(refusal["schema"], "clin");
    assert_eq!(refusal["text_b64"], "REVMRVRFIEZST00gdP8=");
    assert_eq!(event(&records, "login").unwrap()["user"], "alice");
}

#[test]
fn an_orderly_stop_and_start_go_on_without_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let ledger = Ledger::open(settings(&folder)).unwrap();
        let start = Event::Start { program: "0.1", config_hash: "00" };
        ledger.event(&start).wait().unwrap();
        ledger.close("test").unwrap();
    }
    let records = records(&folder.path().join("ledger"));
    let sequences: Vec<u64> = records.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert!(sequences.iter().zip(1..).all(|(seen, expected)| *seen == expected), "{sequences:?}");
    assert!(event(&records, "recovered").is_none());
}

#[test]
fn a_torn_tail_is_closed_off_and_kept_in_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    ledger.event(&Event::Stop { reason: "x" }).wait().unwrap();
    ledger.close("test").unwrap();
    let path = files(&folder.path().join("ledger")).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"{\"v\":1,\"se");
    fs::write(&path, bytes).unwrap();
    Ledger::open(settings(&folder)).unwrap().close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let torn = &event(&records, "recovered").unwrap()["torn"];
    assert_eq!(torn["bytes"], 10);
    assert_eq!(torn["start_b64"], "eyJ2IjoxLCJzZQ==");
}

#[test]
fn an_end_that_was_not_orderly_is_told_also_where_the_journal_has_no_more() {
    // The line of the close is gone, and another hand's line is the newest.
    for (kept, added, clean, damaged) in [(1, "", false, false), (2, "a note\n", false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(settings(&folder)).unwrap();
        ledger.event(&Event::Stop { reason: "x" }).wait().unwrap();
        ledger.close("test").unwrap();
        let directory = folder.path().join("ledger");
        let path = files(&directory).remove(0);
        let whole = fs::read_to_string(&path).unwrap();
        let lines: String = whole.split_inclusive('\n').take(kept).collect();
        fs::write(&path, format!("{lines}{added}")).unwrap();
        let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let is_journal = |path: &PathBuf| path.to_string_lossy().contains("/journal-");
        entries.filter(is_journal).for_each(|journal| fs::remove_file(journal).unwrap());
        Ledger::open(settings(&folder)).unwrap().close("test").unwrap();
        let texts = files(&directory).into_iter().map(|path| fs::read_to_string(path).unwrap());
        let texts: String = texts.collect();
        let line = texts.lines().find(|line| line.contains("\"recovered\"")).unwrap();
        let recovered: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&recovered["clean"], &recovered["records"]), (&clean.into(), &0.into()));
        assert_eq!(recovered.get("damaged_file").is_some_and(|name| name.is_string()), damaged);
    }
}

#[test]
fn settings_that_no_ledger_can_keep_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [fn(LedgerSettings) -> LedgerSettings; 5] = [
        |settings| LedgerSettings { node: String::new(), ..settings },
        |settings| LedgerSettings { node: "n".repeat(129), ..settings },
        |settings| LedgerSettings { journal_bytes: 4096, max_text: 1, ..settings },
        |settings| LedgerSettings { journal_bytes: settings.journal_bytes + 1, ..settings },
        |settings| LedgerSettings { max_text: 1 << 30, ..settings },
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        assert!(Ledger::open(wrong(settings(&folder))).is_err(), "{number}");
    }
    assert!(Ledger::open(settings(&folder)).is_ok());
}

#[test]
fn a_closed_ledger_takes_nothing_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let tag = ledger.tag(&who(1));
    ledger.close("test").unwrap();
    let refused = ledger.intent(&tag, &query(b"SELECT 1")).wait();
    assert_eq!(refused.unwrap_err().to_string(), "the ledger can't be written: it is closed");
    assert!(!ledger.health().is_ok());
}

#[test]
fn with_sync_each_a_record_counts_only_when_it_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let ledger =
        Ledger::open(LedgerSettings { sync: SyncPolicy::Each, ..settings(&folder) }).unwrap();
    let tag = ledger.tag(&who(1));
    for _ in 0..20 {
        let intent = ledger.intent(&tag, &query(b"SELECT 1")).wait().unwrap();
        assert!(ledger.health().synced_sequence >= intent.sequence());
        let sequence = ledger.outcome(&tag, intent, &ok()).wait().unwrap();
        assert!(ledger.health().synced_sequence >= sequence);
    }
    ledger.close("test").unwrap();
}

#[test]
fn with_sync_group_a_record_is_ready_at_once_and_on_the_disk_soon() {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let tag = ledger.tag(&who(1));
    let mut recording = Box::pin(ledger.intent(&tag, &query(b"SELECT 1")));
    let waker = Arc::new(Nobody).into();
    let polled = recording.as_mut().poll(&mut Context::from_waker(&waker));
    let Poll::Ready(Ok(intent)) = polled else { panic!("not ready at once") };
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while ledger.health().synced_sequence < intent.sequence() {
        assert!(std::time::Instant::now() < deadline, "never synced");
        std::thread::yield_now();
    }
    drop(intent);
    ledger.close("test").unwrap();
}

#[test]
fn a_full_journal_makes_callers_wait_and_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let small = LedgerSettings { journal_bytes: 1 << 20, max_text: 8 << 10, ..settings(&folder) };
    let ledger = Ledger::open(small).unwrap();
    let text = vec![b'x'; 8 << 10];
    std::thread::scope(|scope| {
        for session in 0..8 {
            let (ledger, text) = (&ledger, &text);
            scope.spawn(move || {
                let tag = ledger.tag(&who(session));
                for _ in 0..500 {
                    let intent = ledger.intent(&tag, &query(text)).wait().unwrap();
                    ledger.outcome(&tag, intent, &ok()).wait().unwrap();
                }
            });
        }
    });
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    assert_eq!(records.iter().filter(|r| r["event"] == "intent").count(), 4000);
    assert_eq!(records.iter().filter(|r| r["event"] == "outcome").count(), 4000);
}

#[test]
fn an_empty_file_left_by_a_kill_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("ledger");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("ledger-node_1-000000000001.jsonl"), b"").unwrap();
    Ledger::open(settings(&folder)).unwrap().close("test").unwrap();
    assert!(event(&records(&directory), "stop").is_some());
}

#[test]
fn a_redacted_record_holds_no_value_and_equal_values_correlate() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("redaction.key");
    let settings = LedgerSettings { redaction_key_file: Some(key), ..settings(&folder) };
    let ledger = Ledger::open(settings).unwrap();
    let tag = ledger.tag(&who(1));
    let text = b"SELECT 1 FROM t WHERE name = 'Smith'";
    let literals = [
        Literal { range: 7..8, kind: LiteralKind::Number },
        Literal { range: 29..36, kind: LiteralKind::String },
    ];
    let binds = [Bind {
        name: None,
        kind: "var_string",
        is_number: false,
        value: BindValue::Bytes(b"Smith".into()),
    }];
    let form = TextForm::Redacted(&literals);
    drop(ledger.intent(&tag, &Intent { form, binds: &binds, ..query(text) }).wait().unwrap());
    let unlexable = b"SELECT 'Smith";
    let refusal = Refusal {
        command: "query",
        schema: None,
        text: unlexable,
        kind: "unknown",
        form: TextForm::Hashed,
        verdict: "refused",
        rule: "unclosed_quote",
        reason: "a quote is not closed near Smith",
        offset: 7,
    };
    ledger.refusal(&tag, &refusal).wait().unwrap();
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    assert!(!format!("{records:?}").contains("Smith"));
    let intent = event(&records, "intent").unwrap();
    let hash = intent["binds"][0]["hash"].as_str().unwrap();
    assert_eq!(hash.len(), "string#".len() + 16);
    assert!(intent["text"].as_str().unwrap().ends_with(&format!("WHERE name = '{hash}'")));
    let refused = event(&records, "refusal").unwrap();
    assert_eq!(refused["text_bytes"], unlexable.len());
    assert!(refused.get("text").is_none() && refused.get("reason").is_none());
}

#[test]
fn a_text_that_is_made_ahead_stands_in_its_record_as_any_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("redaction.key");
    let settings =
        LedgerSettings { redaction_key_file: Some(key), max_text: 50, ..settings(&folder) };
    let ledger = Ledger::open(settings).unwrap();
    let tag = ledger.tag(&who(1));
    let value = BindValue::Bytes(b"Smith".into());
    let binds = [Bind { name: None, kind: "var_string", is_number: false, value }];
    let literals = [Literal { range: 27..35, kind: LiteralKind::String }];
    let text = "ALTER USER b IDENTIFIED BY 'sesame' /* éééééééééééé */".as_bytes();
    let forms = [TextForm::Full, TextForm::Redacted(&literals), TextForm::Hashed];
    for form in forms {
        let made = ledger.make_text(text, form);
        for form in [form, TextForm::Made(&made)] {
            let intent = Intent { form, binds: &binds, may_refer: true, ..query(text) };
            drop(ledger.intent(&tag, &intent).wait().unwrap());
            let (command, schema, kind, verdict) = ("query", None, "alter", "refused");
            let (rule, reason, offset) = ("not_a_read", "it is not", 0);
            let refusal =
                Refusal { command, schema, text, kind, form, verdict, rule, reason, offset };
            ledger.refusal(&tag, &refusal).wait().unwrap();
        }
    }
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    for kind in ["intent", "refusal"] {
        let mut told: Vec<_> =
            records.iter().filter(|record| record["event"] == kind).cloned().collect();
        for record in &mut told {
            for own in ["seq", "time", "hash", "prev", "chain"] {
                record.as_object_mut().unwrap().remove(own);
            }
            assert!(!record.to_string().contains("sesame"));
        }
        let pairs = told.as_chunks::<2>().0;
        assert_eq!(pairs.len(), forms.len());
        assert!(pairs.iter().all(|[one, other]| one == other), "{pairs:#?}");
    }
}

#[test]
fn a_password_is_masked_in_a_redacted_text_too() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("redaction.key");
    let settings = LedgerSettings { redaction_key_file: Some(key), ..settings(&folder) };
    let ledger = Ledger::open(settings).unwrap();
    let text = b"ALTER USER b IDENTIFIED BY 'sesame' AS 0x2441";
    let literals = [
        Literal { range: 27..35, kind: LiteralKind::String },
        Literal { range: 39..45, kind: LiteralKind::Number },
    ];
    let form = TextForm::Redacted(&literals);
    drop(ledger.intent(&ledger.tag(&who(1)), &Intent { form, ..query(text) }).wait().unwrap());
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let text = &event(&records, "intent").unwrap()["text"];
    assert_eq!(text, "ALTER USER b IDENTIFIED BY '***' AS '***'");
}

#[test]
fn records_refer_to_their_login_and_repeat_only_what_has_changed_since() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    let event_of = |who| Event::Login { who, method: "test", attributes: &[] };
    let login = ledger.event(&event_of(who(9))).wait().unwrap();
    let tag = ledger.tag_after(login, &who(9));
    let moved = Who { account: "other", role: "reviewer", replica_session: Some(78), ..who(9) };
    let changed = tag.changed(&moved);
    let back = changed.changed(&who(9));
    let none = changed.changed(&Who { program: None, ..who(9) });
    for tag in [&tag, &changed, &back, &none] {
        drop(ledger.intent(tag, &query(b"SELECT 1")).wait().unwrap());
    }
    ledger.close("test").unwrap();
    let records = records(&folder.path().join("ledger"));
    let at_login = ["source_port", "listener", "tls_version", "tls_cipher", "program", "account"];
    let told = event(&records, "login").unwrap();
    assert!(at_login.iter().all(|name| told.get(name).is_some()), "{told}");
    let intents: Vec<_> = records.iter().filter(|record| record["event"] == "intent").collect();
    for intent in &intents {
        assert_eq!(intent["login"], login);
        for member in ["session", "user", "role", "source", "replica", "replica_session"] {
            assert!(intent.get(member).is_some(), "no {member} in {intent}");
        }
    }
    let repeated = |place: usize| -> Vec<&str> {
        at_login.iter().filter(|name| intents[place].get(name).is_some()).copied().collect()
    };
    assert_eq!(
        [repeated(0), repeated(1), repeated(2), repeated(3)],
        [vec![], vec!["account"], vec![], vec!["program"]]
    );
    assert_eq!(intents[1]["account"], "other");
    assert_eq!(
        (&intents[1]["role"], &intents[1]["replica_session"]),
        (&"reviewer".into(), &78.into())
    );
    assert!(intents[3]["program"].is_null());
}

#[test]
fn only_checkpoints_name_the_build_in_each_line() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(settings(&folder)).unwrap();
    drop(ledger.intent(&ledger.tag(&who(1)), &query(b"SELECT 1")).wait().unwrap());
    ledger.close("test").unwrap();
    for record in records(&folder.path().join("ledger")) {
        assert_eq!(record.get("build").is_some(), record["event"] == "checkpoint", "{record}");
    }
}
