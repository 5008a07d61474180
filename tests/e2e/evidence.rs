//! What records say beyond who and what: values, attributes, shapes, the policy; what a
//! redacted one leaves out; and that all of it is as the published schema says.

use std::process::Command;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::json_schema::disagreements;
use readgate_tests::place::{repository, wait_for};
use readgate_tests::protocol::Login;
use readgate_tests::readgate::{self, Readgate, program};
use readgate_tests::stage::{USER_PASSWORD, login_at};
use serde_json::{Value, json};

/// CLIENT_QUERY_ATTRIBUTES.
const QUERY_ATTRIBUTES: u32 = 1 << 27;

on_both! {
    fn records_bound_values_with_their_types(stage) {
        let mut alice = stage.alice();
        let statement = alice.prepare("SELECT ?, 'bound values', ?, ?").unwrap();
        let values = b"\x04\x01\x08\x00\xfd\x00\x06\x00\xfe\xff\xff\xff\xff\xff\xff\xff\x05Smith";
        alice.execute(&statement, 0, values).expect_ok();
        let execute = stage.readgate.record("intent", |record| {
            record["command"] == "execute" && record["binds"][1]["value"] == "Smith"
        });
        assert_eq!(execute["binds"][0]["type"], "longlong");
        assert_eq!(execute["binds"][0]["value"], "-2");
        assert!(execute["binds"][2]["value"].is_null());
        let outcome = stage.readgate.record("outcome", |record| record["intent"] == execute["seq"]);
        let prepare = stage.readgate.record("outcome", |record| {
            record["intent"] == execute["prepared"]["intent"]
        });
        assert_eq!(outcome["fingerprint"], prepare["fingerprint"]);
    }

    fn a_value_behind_one_of_any_type_is_recorded_as_the_server_reads_it(stage) {
        let (directory, config) = stage.own_config("any_type");
        let daemon = Readgate::start(&directory, config);
        let login = Login::user("alice", USER_PASSWORD);
        // Each byte is a length, and the bytes behind it say where it stood.
        let bytes: Vec<u8> = (0x21..0x7e).chain([b'z'; 200]).collect();
        let mut rows = Vec::new();
        for type_code in 0..=255_u8 {
            let mut alice = login_at(daemon.port, &stage.ca_file(), &login);
            let statement = alice.prepare("SELECT ? IS NULL, ?").unwrap();
            let execution = [&[0, 1, type_code, 0, 0xfd, 0][..], &bytes].concat();
            let response = alice.execute(&statement, 0, &execution);
            match response.error() {
                Some(error) => assert!(matches!(error.code, 1835 | 1210), "{type_code:#x}: {error}"),
                None => rows.push(response.payloads[response.payloads.len() - 2].clone()),
            }
        }
        assert!(rows.len() >= 15, "{} types ran", rows.len());
        // Outcomes are recorded before their answers are sent.
        let records = wait_for("the outcomes", Duration::from_secs(10), || {
            let records = daemon.ledger();
            let ran = |record: &Value| record["event"] == "outcome" && record["end"] == "ok" && record["rows"] == 1;
            let intents: Vec<Value> = records.iter().filter(|record| ran(record)).map(|record| record["intent"].clone()).collect();
            (intents.len() == rows.len()).then(|| {
                records.into_iter().filter(|record| intents.contains(&record["seq"])).collect::<Vec<_>>()
            })
        });
        for (row, record) in rows.iter().zip(&records) {
            let value = record["binds"][1]["value"].as_str().expect("a string").as_bytes();
            let length = u8::try_from(value.len()).expect("a short one");
            assert!(row.ends_with(&[&[length], value].concat()), "{record}: {row:?}");
        }
    }

    fn hashes_the_answer_that_the_client_got(stage) {
        let (directory, mut config) = stage.own_config("hashed");
        set(&mut config, "ledger.hash_results", true);
        let daemon = Readgate::start(&directory, config);
        let mut alice = stage.enter(&daemon, "alice");
        alice.received.clear();
        alice.query("SELECT 'hashed', 7 UNION SELECT 'twice', 8").expect_ok();
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (sequence_id, payload) in &alice.received {
            let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
            context.update(&[len[0], len[1], len[2], *sequence_id]);
            context.update(payload);
        }
        let hash = context.finish();
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        daemon.record("outcome", |record| record["result_sha256"] == hex);
    }

    fn records_long_data_by_its_hash(stage) {
        let mut alice = stage.alice();
        let statement = alice.prepare("SELECT length(?), 'long data'").unwrap();
        let chunk = [&statement.id.to_le_bytes()[..], &[0, 0], &[b'x'; 700]].concat();
        alice.send_command(0x18, &chunk).unwrap();
        alice.send_command(0x18, &chunk).unwrap();
        alice.execute(&statement, 0, b"\x00\x01\xfc\x00").expect_ok();
        let execute = stage.readgate.record("intent", |record| {
            record["command"] == "execute" && record["binds"][0]["bytes"] == 1400
        });
        let hash = ring::digest::digest(&ring::digest::SHA256, &[b'x'; 1400]);
        let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(execute["binds"][0]["sha256"], hex);
    }

    fn statements_of_one_shape_share_a_fingerprint_and_name_their_tables(stage) {
        let mut alice = stage.alice();
        alice.query("USE clinical").expect_ok();
        alice.query("SELECT 'shape', 1 FROM subjects LIMIT 1").expect_ok();
        alice.query("SELECT 'shape', 2 FROM subjects LIMIT 1").expect_ok();
        let outcome_of = |text: &str| {
            let intent = stage.readgate.record("intent", |record| record["text"] == text);
            assert_eq!(intent["policy"].as_str().unwrap().len(), 16);
            stage.readgate.record("outcome", |record| record["intent"] == intent["seq"])
        };
        let one = outcome_of("SELECT 'shape', 1 FROM subjects LIMIT 1");
        let two = outcome_of("SELECT 'shape', 2 FROM subjects LIMIT 1");
        assert_eq!(one["fingerprint"], two["fingerprint"]);
        assert_eq!(one["tables"][0], "clinical.subjects");
        for text in ["PREPARE shape FROM 'SELECT 3 FROM subjects'", "EXECUTE shape"] {
            alice.query(text).expect_ok();
            let outcome = outcome_of(text);
            assert_eq!(outcome["tables"][0], "clinical.subjects", "{text}: {outcome}");
        }
    }

    fn a_join_names_its_columns_whether_their_table_is_told_or_not(stage) {
        let mut alice = stage.alice();
        alice.query("USE clinical").expect_ok();
        let text = "SELECT s.sex, visit_name, j.wide, COUNT(*) AS visits \
                    FROM clinical.subjects AS s JOIN visits USING (subject_id), \
                    JSON_TABLE('[{\"w\": 1}]', '$[*]' COLUMNS (wide INT PATH '$.w')) AS j \
                    WHERE birth_year > 1940 GROUP BY s.sex, visit_name, j.wide ORDER BY visits";
        alice.query(text).expect_ok();
        let intent = stage.readgate.record("intent", |record| record["text"] == text);
        let outcome = stage.readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!(outcome["tables"], json!(["clinical.subjects", "clinical.visits"]));
        let columns = [
            "?.birth_year",
            "?.visit_name",
            "clinical.subjects.sex",
            "clinical.subjects.subject_id",
            "clinical.visits.subject_id",
        ];
        assert_eq!(outcome["columns"], json!(columns));
    }

    fn a_redacted_ledger_holds_no_value_of_any_statement(stage) {
        let (directory, mut config) = stage.own_config("redacted");
        set(&mut config, "ledger.text", "redacted");
        let daemon = Readgate::start(&directory, config);
        let mut alice = stage.enter(&daemon, "alice");
        alice.query("SELECT 'Zaphod', 424242 /* Zaphod */ -- Zaphod").expect_ok();
        alice.query("SELECT * FROM clinical.subjects WHERE site_id = 'Zaphod' + nothing()").expect_error();
        alice.query("DELETE FROM clinical.subjects WHERE subject_id = 'Zaphod'").expect_error();
        // The server repeats the value in its message.
        let error = alice.query("SELECT EXTRACTVALUE('<a/>', ')Zaphod')").expect_error();
        assert!(error.code == 1105 && error.message.contains("Zaphod"), "{error}");
        alice.query("SELECT 'Zaphod").expect_error();
        alice.query("SELECT 1; SELECT 'Zaphod'").expect_error();
        let statement = alice.prepare("SELECT ?").unwrap();
        alice.execute(&statement, 0, b"\x00\x01\xfd\x00\x06Zaphod").expect_ok();
        let executed = daemon.record("intent", |record| record["command"] == "execute");
        let hash = executed["binds"][0]["hash"].as_str().unwrap();
        let text = format!("SELECT '{hash}', 'number#");
        daemon.record("intent", |record| {
            record["text"].as_str().is_some_and(|found| found.starts_with(&text))
        });
        daemon.record("refusal", |record| record["text_bytes"] == 14);
        daemon.record("outcome", |record| record["intent"] == executed["seq"]);
        daemon.record("outcome", |record| record["error"]["code"] == 1105);
        let records = format!("{:?}", daemon.ledger());
        for value in ["Zaphod", "424242"] {
            assert!(!records.contains(value), "{value} is in the ledger");
        }
    }

    fn a_report_that_comes_again_is_told_by_its_first_record(stage) {
        let text = format!("SELECT '{}' AS report", "r".repeat(300));
        for by_reference in [true, false] {
            let (directory, mut config) = stage.own_config(&format!("again-{by_reference}"));
            set(&mut config, "ledger.text_by_reference", by_reference);
            let daemon = Readgate::start(&directory, config);
            let mut alice = stage.enter(&daemon, "alice");
            (0..6).for_each(|_| alice.query(&text).expect_ok());
            drop(alice);
            daemon.record("disconnect", |_| true);
            let records = daemon.ledger();
            let intents: Vec<_> = records.iter().filter(|r| r["event"] == "intent").collect();
            let holding = intents.iter().filter(|intent| intent["text"] == text.as_str());
            let referring: Vec<_> = intents.iter().filter(|one| one["text_of"].is_u64()).collect();
            assert_eq!(holding.count() + referring.len(), 6);
            assert_eq!(!referring.is_empty(), by_reference, "{referring:?}");
            for one in referring {
                let holder = records.iter().find(|record| record["seq"] == one["text_of"]).unwrap();
                assert_eq!(holder["text"], text.as_str());
                let folder = directory.join("ledger").display().to_string();
                let shown = readgate::run(&["ledger", "show", &one["seq"].to_string(), &folder], "");
                assert!(String::from_utf8_lossy(&shown.stdout).contains(&text), "{shown:?}");
            }
        }
    }

    fn a_reload_is_recorded_with_what_it_changed(stage) {
        let (directory, mut config) = stage.own_config("changed");
        let daemon = Readgate::start(&directory, config.clone());
        set(&mut config, "listener.0.address", format!("127.0.0.1:{}", daemon.port));
        set(&mut config, "ops.address", format!("127.0.0.1:{}", daemon.ops_port));
        set(&mut config, "limits.idle_timeout", "7m");
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        daemon.signal("HUP");
        let load = daemon.reloaded(|_| true);
        let found = load["differences"].as_array().unwrap();
        assert!(found.iter().any(|one| one[0] == "limits.idle_timeout" && one[2] == "\"7m\""), "{load}");
    }

    fn every_record_is_as_the_schema_says(stage) {
        let schema = std::fs::read_to_string(repository().join("docs/ledger.schema.json")).unwrap();
        let schema = serde_json::from_str(&schema).unwrap();
        let (directory, config) = stage.own_config("schema");
        let mut daemon = Readgate::start(&directory, config);
        let mut alice = stage.enter(&daemon, "alice");
        alice.query("SELECT * FROM clinical.subjects LIMIT 3").expect_ok();
        alice.query("SELECT * FROM clinical.none").expect_error();
        alice.query("DROP TABLE clinical.subjects").expect_error();
        alice.query(b"SELECT '\xff'").expect_ok();
        alice.query("KILL 4000000000").expect_error();
        alice.simple(2, b"clinical");
        let statement = alice.prepare("SELECT ?").unwrap();
        alice.execute(&statement, 0, b"\x00\x01\xfd\x00\x01a").expect_ok();
        drop(alice);
        daemon.record("disconnect", |_| true);
        daemon.signal("HUP");
        daemon.reloaded(|_| true);
        daemon.kill();
        daemon.restart();
        daemon.record("recovered", |_| true);
        let records = daemon.ledger();
        let events: std::collections::BTreeSet<&str> =
            records.iter().filter_map(|record| record["event"].as_str()).collect();
        for event in ["login", "intent", "outcome", "refusal", "kill", "recovered", "disconnect"] {
            assert!(events.contains(event), "no {event} among {events:?}");
        }
        for record in &records {
            let found = disagreements(&schema, record);
            assert!(found.is_empty(), "{found:?} in {record}");
        }
        let ledger = directory.join("ledger").display().to_string();
        let verified = readgate::run(&["ledger", "verify", &ledger], "");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }

    fn reading_the_ledger_is_recorded_in_it(stage) {
        let ledger = stage.readgate.directory.join("ledger").display().to_string();
        let alices = ["ledger", "report", &ledger, "--user", "alice", "--format", "html"];
        let report = readgate::run(&alices, "");
        assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
        assert!(String::from_utf8_lossy(&report.stdout).starts_with("<!doctype html>"));
        let what = format!("ledger report {ledger} --user alice --format html");
        stage.readgate.record("reading", |record| record["what"] == what);
        let config = stage.readgate.directory.join("proxy.toml").display().to_string();
        let denied = readgate::run(&["sources", "denied", "--config", &config], "");
        assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));
        let what = format!("sources denied --config {config}");
        stage.readgate.record("reading", |record| record["what"] == what);
    }

    fn who_has_logged_in_and_reads_the_ledger_as_another_is_recorded(stage) {
        let ledger = stage.readgate.directory.join("ledger").display().to_string();
        // As a login sets it; not every container lets that be done.
        let as_another = "echo 4321 >/proc/self/loginuid; cat /proc/self/loginuid >&2; \
                          exec \"$0\" ledger stats \"$1\" --user carol";
        let mut shell = Command::new("sh");
        let read = shell.args(["-c", as_another]).arg(program()).arg(&ledger).output().unwrap();
        assert!(read.status.success(), "{read:?}");
        let what = format!("ledger stats {ledger} --user carol");
        let reading = stage.readgate.record("reading", |record| record["what"] == what);
        let told = String::from_utf8_lossy(&read.stderr);
        let login: Option<u32> = told.trim().parse().ok();
        let is_another = |login: &u32| *login != u32::MAX && reading["uid"] != *login;
        assert_eq!(reading["login_uid"].as_u64(), login.filter(is_another).map(u64::from), "{told}");
    }
}

/// MariaDB has no query attributes.
#[test]
fn the_person_that_a_tool_names_is_recorded() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MySql);
    let (directory, mut config) = stage.own_config("asserted");
    set(&mut config, "ledger.asserted_user_attribute", "end_user");
    let daemon = Readgate::start(&directory, config);
    let login = Login::user("alice", USER_PASSWORD).with(QUERY_ATTRIBUTES);
    let mut alice = login_at(daemon.port, &stage.ca_file(), &login);
    let body = b"\x01\x01\x00\x01\xfe\x00\x08end_user\x04ZoraSELECT 'for Zora'";
    alice.query(body).expect_ok();
    let intent = daemon.record("intent", |record| record["text"] == "SELECT 'for Zora'");
    assert_eq!(intent["end_user"], "Zora");
    assert_eq!(intent["attributes"][0]["name"], "end_user");
}

/// What arrives at a receiver, until `enough` of it is there.
fn received(
    listener: &std::net::TcpListener,
    answer: &str,
    enough: impl Fn(&str) -> bool,
) -> String {
    use std::io::{Read, Write};
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut text = String::new();
    let mut room = [0; 4096];
    while !enough(&text) {
        let read = stream.read(&mut room).unwrap();
        assert!(read > 0, "the sender closed after {text}");
        text.push_str(&String::from_utf8_lossy(&room[..read]));
    }
    stream.write_all(answer.as_bytes()).unwrap();
    text
}

/// One flavour is enough: no server has a part in it.
#[test]
fn records_go_to_a_syslog_receiver_and_checkpoints_to_a_webhook() {
    let stage = readgate_tests::stage::stage(readgate_tests::server::Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("shipping");
    let (syslog, webhook) = (
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let port = |listener: &std::net::TcpListener| listener.local_addr().unwrap().port();
    set(&mut config, "ledger.ship_to", format!("tcp://127.0.0.1:{}", port(&syslog)));
    set(&mut config, "ledger.anchor_webhook", format!("http://127.0.0.1:{}/a", port(&webhook)));
    let daemon = Readgate::start(&directory, config);
    stage.enter(&daemon, "alice").query("SELECT 'shipped'").expect_ok();
    let shipped = received(&syslog, "", |text| text.contains("SELECT 'shipped'"));
    assert!(shipped.contains(" readgate - start - {\"v\":2,\"seq\":1,"), "{shipped}");
    daemon.signal("TERM");
    let whole = |text: &str| text.ends_with("\"}");
    let posted = received(&webhook, "HTTP/1.1 204 No Content\r\n\r\n", whole);
    let (head, checkpoint) = posted.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /a HTTP/1.1\r\n"), "{head}");
    let anchor = directory.join("anchor.jsonl");
    std::fs::write(&anchor, format!("{checkpoint}\n")).unwrap();
    let (ledger, anchor) =
        (directory.join("ledger").display().to_string(), anchor.display().to_string());
    let verified = readgate::run(&["ledger", "verify", &ledger, "--anchor", &anchor], "");
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && said.contains("met elsewhere"), "{said}");
}
