//! Keys of `[ledger]` that count at a reload: open sessions go on, each of their statements
//! stands in the way in force when it came, and the chain has no gap.

use std::os::unix::fs::PermissionsExt;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::protocol::{Login, capability};
use readgate_tests::readgate::{self, Readgate};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{USER_PASSWORD, login_at, stage};
use serde_json::{Value, json};

use crate::reloads::{IN_FORCE, LONG, reload, start};

/// A reload after which everything counts; the sequence of its record.
fn reloaded(readgate: &Readgate, config: &toml::Table) -> u64 {
    let load = reload(readgate, config);
    assert_eq!((&load["result"], &load["pending"]), (&json!(IN_FORCE), &Value::Null), "{load}");
    load["seq"].as_u64().unwrap()
}

/// Stops the daemon in good order. Its records, by a ledger that is whole.
fn verified(mut readgate: Readgate) -> Vec<Value> {
    readgate.stop(LONG);
    let folder = readgate.directory.join("ledger");
    let key = std::fs::read_to_string(folder.join("signing.pub")).unwrap();
    let folder = folder.display().to_string();
    let verified = readgate::run(&["ledger", "verify", &folder, "--public-key", key.trim()], "");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    readgate.ledger()
}

/// One value bound, a string.
fn bound(value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    [b"\x00\x01\xfd\x00", &[length][..], value.as_bytes()].concat()
}

on_both! {
    fn an_open_session_is_redacted_from_the_reload_on_and_in_full_after_the_next(stage) {
        let (readgate, mut config) = start(stage, "redacted_anew");
        let key = readgate.directory.join("ledger/redaction.key");
        let long = format!("SELECT 'Slartibartfast', '{}'", "l".repeat(300));
        let (mut alice, mut olga) = (stage.enter(&readgate, "alice"), stage.enter(&readgate, "olga"));
        (0..6).for_each(|_| alice.query(&long).expect_ok());
        let before = alice.prepare("SELECT ?, 'Zaphod'").unwrap();
        alice.execute(&before, 0, &bound("Beeblebrox")).expect_ok();
        assert!(!key.exists());

        set(&mut config, "ledger.text", "redacted");
        let redacted_from = reloaded(&readgate, &config);
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        alice.query("SELECT 'Ford'").expect_ok();
        (0..6).for_each(|_| alice.query(&long).expect_ok());
        alice.query("DELETE FROM clinical.subjects WHERE subject_id = 'Prefect'").expect_error();
        alice.query("SELECT * FROM clinical.subjects WHERE site_id = none('Prefect')").expect_error();
        alice.execute(&before, 0, &bound("Trillian")).expect_ok();
        let between = alice.prepare("SELECT ?, 'Marvin'").unwrap();
        alice.execute(&between, 0, &bound("Dent")).expect_ok();
        olga.query("SELECT name FROM config WHERE name = 'Deep Thought'");

        set(&mut config, "ledger.text", "full");
        let full_from = reloaded(&readgate, &config);
        (0..6).for_each(|_| alice.query(&long).expect_ok());
        alice.execute(&before, 0, &bound("Arthur")).expect_ok();
        alice.execute(&between, 0, &bound("Eddie")).expect_ok();
        drop((alice, olga));

        let records = verified(readgate);
        let sequence = |record: &Value| record["seq"].as_u64().unwrap();
        let told = |from: u64, to: u64, value: &str| {
            let those = records.iter().filter(|one| (from..to).contains(&sequence(one)));
            those.filter(|one| one.to_string().contains(value)).count()
        };
        for value in ["Slartibartfast", "Zaphod", "Beeblebrox"] {
            assert!(told(0, redacted_from, value) > 0, "{value}");
        }
        for value in [
            "Slartibartfast", "Zaphod", "Ford", "Prefect", "Trillian", "Marvin", "Dent", "Deep Thought",
        ] {
            assert_eq!(told(redacted_from, full_from, value), 0, "{value}");
        }
        assert!(told(redacted_from, full_from, "string#") >= 9);
        for value in ["Slartibartfast", "Arthur", "Eddie"] {
            assert!(told(full_from, u64::MAX, value) > 0, "{value}");
        }
        // An execution's values are whole: those of its text too, where no record has them.
        let execution = |value: &str| {
            let is_it = |one: &&Value| one["binds"][0]["value"] == value;
            records.iter().find(is_it).unwrap()["text"].clone()
        };
        assert_eq!((execution("Beeblebrox"), execution("Arthur")), (json!(""), json!("")));
        assert_eq!(execution("Eddie"), "SELECT ?, 'Marvin'");
        let referring: Vec<_> = records.iter().filter(|one| one["text_of"].is_u64()).collect();
        for one in &referring {
            let is_redacted = (redacted_from..full_from).contains(&sequence(one));
            let holder = records.iter().find(|record| record["seq"] == one["text_of"]).unwrap();
            assert!(!is_redacted && holder["text"] == long.as_str(), "{one} {holder}");
        }
        assert!(!referring.is_empty());
    }

    fn a_statement_under_way_at_a_reload_is_recorded_in_one_way(stage) {
        let (readgate, mut config) = start(stage, "hashed_anew");
        set(&mut config, "functions.sleep_max", "1h");
        reloaded(&readgate, &config);
        let mut alice = stage.enter(&readgate, "alice");
        let text = "SELECT 'Zaphod' FROM (SELECT SLEEP(600)) AS one";
        alice.send_command(3, text.as_bytes()).unwrap();
        let under_way = readgate.record("intent", |record| record["text"] == text);
        set(&mut config, "ledger.hash_results", true);
        set(&mut config, "ledger.text", "redacted");
        let from = reloaded(&readgate, &config);
        let session = &under_way["session"];
        stage.enter(&readgate, "alice").query(format!("KILL QUERY {session}")).expect_ok();
        alice.read_response().unwrap();
        alice.query("SELECT 'Ford'").expect_ok();
        let outcome = readgate.record("outcome", |record| record["intent"] == under_way["seq"]);
        assert!(outcome["seq"].as_u64().unwrap() > from);
        assert_eq!(outcome["result_sha256"], Value::Null, "{outcome}");
        let next = readgate.record("intent", |one| {
            one["session"] == *session && one["seq"].as_u64() > outcome["seq"].as_u64()
        });
        assert!(next["text"].as_str().unwrap().contains("string#"), "{next}");
        let outcome = readgate.record("outcome", |record| record["intent"] == next["seq"]);
        assert_eq!(outcome["result_sha256"].as_str().map(str::len), Some(64), "{outcome}");
        drop(alice);
        verified(readgate);
    }
}

/// One flavour is enough: no server has a part in it.
#[test]
fn a_reload_that_can_not_redact_is_refused_and_the_former_way_goes_on() {
    let stage = stage(Flavour::MariaDb);
    let (directory, mut config) = stage.own_config("no_redaction_key");
    let key_folder = directory.join("keys");
    set(&mut config, "reload.watch", "0s");
    set(&mut config, "ledger.redaction_key_file", key_folder.join("key").display().to_string());
    let readgate = Readgate::start(&directory, config);
    let written = std::fs::read_to_string(directory.join("proxy.toml")).unwrap();
    let mut config: toml::Table = written.parse().unwrap();
    let mut alice = stage.enter(&readgate, "alice");
    set(&mut config, "ledger.text", "redacted");
    set(&mut config, "ledger.hash_results", true);
    let load = reload(&readgate, &config);
    assert!(load["result"].as_str().unwrap().starts_with("ledger: can't make"), "{load}");
    alice.query("SELECT 'Zaphod'").expect_ok();
    let intent = readgate.record("intent", |record| record["text"] == "SELECT 'Zaphod'");
    let outcome = readgate.record("outcome", |record| record["intent"] == intent["seq"]);
    assert_eq!(outcome["result_sha256"], Value::Null, "{outcome}");
    std::fs::create_dir(&key_folder).unwrap();
    let from = reloaded(&readgate, &config);
    alice.query("SELECT 'Zaphod'").expect_ok();
    let next = readgate.record("intent", |record| record["seq"].as_u64().unwrap() > from);
    assert!(next["text"].as_str().unwrap().contains("string#"), "{next}");
}

/// One flavour is enough: no server has a part in it.
#[test]
fn how_files_are_kept_and_who_is_named_counts_at_a_reload() {
    let stage = stage(Flavour::MariaDb);
    let (readgate, mut config) = start(stage, "kept_anew");
    let mut login = Login::user("alice", USER_PASSWORD).with(capability::CONNECT_ATTRS);
    login.attributes = vec![("reader".into(), "Zora".into())];
    let mut alice = login_at(readgate.port, &stage.ca_file(), &login);
    let filler = |number: usize| format!("SELECT {number} -- {}", "f".repeat(60_000));
    (0..20).for_each(|number| alice.query(filler(number)).expect_ok());
    readgate.record("intent", |record| {
        record["text"].as_str().is_some_and(|text| text.starts_with("SELECT 19"))
    });
    let anchor = readgate.directory.join("anchor.jsonl");
    set(&mut config, "ledger.sync", "each");
    set(&mut config, "ledger.file_bytes", "1MiB");
    set(&mut config, "ledger.compress", false);
    set(&mut config, "ledger.anchors", vec![anchor.display().to_string()]);
    set(&mut config, "ledger.asserted_user_attribute", "reader");
    let from = reloaded(&readgate, &config);
    // The file was too large with the reload's own record.
    let checkpoint = readgate.record("checkpoint", |record| record["why"] == "rotation");
    assert_eq!(checkpoint["seq"], from + 1);
    alice.query("SELECT 'after'").expect_ok();
    let after = readgate.record("intent", |record| record["text"] == "SELECT 'after'");
    assert_eq!(after["end_user"], "Zora", "{after}");
    let rotation = |text: &String| text.contains("\"why\":\"rotation\"");
    wait_for("the anchor", LONG, || std::fs::read_to_string(&anchor).ok().filter(rotation));

    config["ledger"].as_table_mut().unwrap().remove("asserted_user_attribute");
    reloaded(&readgate, &config);
    alice.query("SELECT 'nobody named'").expect_ok();
    let last = readgate.record("intent", |record| record["text"] == "SELECT 'nobody named'");
    assert_eq!(last["end_user"], Value::Null, "{last}");
    drop(alice);
    verified(readgate);
}
