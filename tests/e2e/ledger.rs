//! What the ledger holds about sessions and statements.

use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use readgate_tests::config::{make_operators, set};
use readgate_tests::place::wait_for;
use readgate_tests::raw::Login;
use readgate_tests::readgate::{self, Readgate};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{USER_PASSWORD, try_login_at};
use serde_json::Value;

/// One flavour is enough: no server has a part in it.
#[test]
fn a_ledger_file_is_closed_at_the_size_that_is_configured() {
    let stage = readgate_tests::stage::stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("file-bytes");
    set(&mut config, "ledger.file_bytes", "1MiB");
    set(&mut config, "ledger.compress", false);
    let daemon = Readgate::start(&directory, config);
    let mut alice = stage.enter(&daemon, "alice");
    let text = "x".repeat(40_000);
    for number in 0..40 {
        assert_eq!(alice.query(format!("SELECT '{text}', {number}")).rows().len(), 1);
    }
    daemon.record("checkpoint", |record| record["why"] == "rotation");
    let files = wait_for("the next file", Duration::from_secs(10), || {
        let files = std::fs::read_dir(directory.join("ledger")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        Some(names.filter(|name| name.starts_with("ledger-")).count()).filter(|files| *files > 1)
    });
    assert_eq!(files, 2, "1.6 MB of texts");
}

/// The file's open waits for whoever holds a lease on it, as on a mount whose server is gone.
#[test]
fn an_anchor_that_hangs_holds_up_no_statement_and_no_stop() {
    let stage = readgate_tests::stage::stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("anchor-hangs");
    let anchor = directory.join("anchor.jsonl");
    set(&mut config, "ledger.file_bytes", "1MiB");
    set(&mut config, "ledger.sync", "each");
    set(&mut config, "ledger.anchors", vec![anchor.display().to_string()]);
    let python = std::env::var_os("READGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let mut holder = Command::new(python)
        .args(["-c", include_str!("../servers/hold-lease.py")])
        .arg(&anchor)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = holder.stdout.take().unwrap();
    said.read_exact(&mut [0; 5]).unwrap();
    let mut daemon = Readgate::start(&directory, config);
    let mut alice = stage.enter(&daemon, "alice");
    let text = "x".repeat(40_000);
    for number in 0..40 {
        assert_eq!(alice.query(format!("SELECT '{text}', {number}")).rows().len(), 1);
    }
    daemon.record("checkpoint", |record| record["why"] == "rotation");
    assert_eq!(alice.query("SELECT 'after the checkpoint'").rows().len(), 1);
    drop(alice);
    daemon.stop(Duration::from_secs(20));
    let copied = std::fs::metadata(&anchor).unwrap().len();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(copied, 0, "it waited until the lease was broken");
}

on_both! {
    fn records_intent_and_outcome_of_a_read(stage) {
        let sql = "SELECT subject_id FROM clinical.subjects WHERE 'recorded_read' <> '' LIMIT 7";
        let mut alice = stage.alice();
        assert_eq!(alice.query(sql).rows().len(), 7);
        let intent = stage.readgate.record("intent", |record| record["text"] == sql);
        assert_eq!(intent["user"], "alice");
        assert_eq!(intent["source"], "127.0.0.1");
        assert_eq!(stage.readgate.told(&intent, "account"), "readonly_shared");
        assert_eq!(stage.readgate.told(&intent, "tls_version"), "TLSv1.3");
        let outcome = stage.readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!(outcome["rows"], 7);
        assert_eq!(outcome["end"], "ok");
    }

    fn the_end_of_a_session_says_how_much_it_has_asked(stage) {
        let mut alice = stage.alice();
        let id = alice.greeting.connection_id;
        for sql in ["SELECT 1", "SELECT 2", "SELECT no_such_column", "DELETE FROM clinical.sites"] {
            alice.query(sql);
        }
        alice.prepare("DELETE FROM clinical.sites").expect_err("refused");
        alice.send_command(1, b"").expect("sent");
        stage.readgate.record("disconnect", |record| {
            record["session"] == id && record["statements"] == 3 && record["refusals"] == 2
        });
    }

    fn every_statement_leads_to_the_login_of_its_session(stage) {
        let mut alice = stage.alice();
        alice.query("SELECT 'led to a login'").expect_ok();
        alice.query("DELETE FROM clinical.subjects WHERE 'led' = 'to a login'").expect_error();
        let intent = stage.readgate.record("intent", |record| record["text"] == "SELECT 'led to a login'");
        stage.readgate.record("refusal", |record| record["login"] == intent["login"]);
        for member in ["source_port", "listener", "tls_cipher"] {
            assert!(intent.get(member).is_none(), "{member} stands in the login: {intent}");
            assert!(!stage.readgate.told(&intent, member).is_null(), "{member}");
        }
        let ledger = stage.readgate.directory.join("ledger").display().to_string();
        let shown = readgate::run(&["ledger", "show", &intent["seq"].to_string(), &ledger], "");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let (listener, event) = ("\"listener\": \"main\"", "\"event\": \"login\"");
        assert!(shown.contains(listener) && shown.contains(event), "{shown}");
        let what = ["ledger", "search", &ledger, "--event", "refusal", "--with-login"];
        let found = readgate::run(&what, "");
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        let line = found.lines().find(|line| line.contains("'led' = 'to a login'")).unwrap();
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["at_login"]["account"], "readonly_shared", "{record}");
    }

    fn who_changes_user_is_led_to_the_login_that_counted(stage) {
        let (directory, mut config) = stage.own_config("changes-user");
        make_operators(&mut config, &[1]);
        // The connection to the replica is another one after each rest.
        set(&mut config, "replica.share_idle", "10ms");
        let daemon = Readgate::start(&directory, config);
        let mut client = stage.enter(&daemon, "alice");
        let mut other = stage.enter(&daemon, "alice");
        for round in 0..3 {
            for user in ["olga", "alice"] {
                client.query(format!("SELECT '{round}', 'before {user}'")).expect_ok();
                client.change_user(user, USER_PASSWORD).unwrap();
                client.query(format!("SELECT 'as {user}'")).expect_ok();
                client.query("DROP TABLE clinical.subjects").expect_error();
                other.query("SELECT 'another'").expect_ok();
            }
        }
        drop((client, other));
        let ended = || daemon.ledger().iter().filter(|r| r["event"] == "disconnect").count();
        wait_for("all records", Duration::from_secs(30), || (ended() >= 8).then_some(()));

        let mut latest: HashMap<u64, Value> = HashMap::new();
        let mut led = HashMap::from([("alice", 0), ("olga", 0)]);
        for record in daemon.ledger() {
            let Some(session) = record["session"].as_u64() else { continue };
            if record["event"] == "login" {
                latest.insert(session, record);
                continue;
            }
            if record["event"] != "intent" && record["event"] != "refusal" {
                continue;
            }
            let login = &latest[&session];
            assert_eq!(record["login"], login["seq"], "{record} is not led to {login}");
            for member in ["user", "role", "source"] {
                assert_eq!(record[member], login[member], "{record} of {login}");
            }
            let user = if record["user"] == "olga" { "olga" } else { "alice" };
            let place = if user == "olga" { "console" } else { "readonly_shared" };
            assert_eq!(daemon.told(&record, "account"), place, "{record}");
            *led.entry(user).or_default() += 1;
        }
        assert!(led.values().all(|records| *records >= 9), "{led:?}");
    }

    fn records_the_replicas_error(stage) {
        let sql = "SELECT * FROM clinical.no_table_for_the_ledger";
        stage.alice().query(sql).expect_error();
        let intent = stage.readgate.record("intent", |record| record["text"] == sql);
        let outcome = stage.readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!(outcome["end"], "error");
        assert_eq!(outcome["error"]["code"], 1146);
    }

    fn ties_executions_to_the_prepared_text(stage) {
        let sql = "SELECT 'prepared for the ledger'";
        let mut alice = stage.alice();
        let statement = alice.prepare(sql).unwrap();
        alice.execute(&statement, 0, &[]).expect_ok();
        let prepare = stage.readgate.record("intent", |record| {
            record["text"] == sql && record["command"] == "prepare"
        });
        let execute = stage.readgate.record("intent", |record| {
            record["command"] == "execute" && record["prepared"]["intent"] == prepare["seq"]
        });
        stage.readgate.record("outcome", |record| record["intent"] == execute["seq"]);
    }

    fn numbers_records_without_gaps(stage) {
        stage.alice().query("SELECT 'a last one'").expect_ok();
        stage.readgate.record("intent", |record| record["text"] == "SELECT 'a last one'");
        let sequence: Vec<u64> =
            stage.readgate.ledger().iter().map(|record| record["seq"].as_u64().unwrap()).collect();
        for pair in sequence.windows(2) {
            assert_eq!(pair[1], pair[0] + 1, "a record is missing");
        }
    }

    fn never_holds_a_password(stage) {
        let login = Login::user("alice", "a wrong secret to look for");
        try_login_at(stage.readgate.port, &stage.ca_file(), &login).unwrap_err();
        stage.readgate.record("login_failed", |record| record["user"] == "alice");
        let records = format!("{:?}", stage.readgate.ledger());
        let log = stage.readgate.log();
        for secret in ["a wrong secret to look for", USER_PASSWORD, readgate_tests::server::SHARED_PASSWORD] {
            assert!(!records.contains(secret), "a password is in the ledger");
            assert!(!log.contains(secret), "a password is in the log");
        }
    }

    fn holds_no_password_that_a_statement_names(stage) {
        let mut alice = stage.alice();
        for sql in [
            "SET PASSWORD = 'new' REPLACE 'sesame of the ledger'",
            "SET PASSWORD -- it's new\n = 'sesame of the ledger'",
            "PREPARE s FROM 'ALTER USER u IDENTIFIED BY ''sesame of the ledger'''",
            // The replica's error quotes it.
            "SELECT 1 AS a b, PASSWORD('sesame of the ledger')",
        ] {
            alice.query(sql).expect_error();
        }
        alice.query("SELECT 'mysql://bob:sesame-of-the-ledger@h/db'").expect_ok();
        let statement = alice.prepare("SELECT 1 AS password HAVING password = ? AND 'mrn 7' = ?").unwrap();
        alice.execute(&statement, 0, b"\0\x01\xfd\0\xfd\0\x14sesame of the ledger\x05mrn 7").expect_ok();
        let last = "SELECT 'behind the passwords'";
        alice.query(last).expect_ok();
        stage.readgate.record("intent", |record| record["text"] == last);
        for record in stage.readgate.ledger() {
            let record = record.to_string();
            assert!(!record.contains("sesame of the ledger"), "{record}");
            assert!(!record.contains("sesame-of-the-ledger"), "{record}");
        }
        let is_execution = |record: &Value| {
            record["binds"][0]["value"] == "***" && record["binds"][1]["value"] == "mrn 7"
        };
        stage.readgate.record("intent", is_execution);
    }

    fn keeps_what_was_looked_for_in_a_column_named_like_a_password(stage) {
        let mut alice = stage.alice();
        for sql in [
            "SELECT 1 FROM (SELECT '2026-01-01' AS date_identified) t WHERE date_identified > '2025-06-07'",
            "SELECT 1 FROM (SELECT 1 AS note) t WHERE note LIKE '%identified by CT%' OR note <> 'ledger'",
        ] {
            alice.query(sql).expect_ok();
            stage.readgate.record("intent", |record| record["text"] == sql);
        }
    }
}
