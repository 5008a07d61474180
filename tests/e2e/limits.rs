//! How long a client may take and how much it may hold: each of the times and numbers in `limits`
//! ends what goes beyond it, and says so.

use std::path::Path;
use std::thread;
use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::place::wait_for;
use readgate_tests::protocol::ServerError;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, USER_PASSWORD, try_enter_at};

use crate::reloads::{reload, written};

const SOON: Duration = Duration::from_secs(20);
/// What tells a client that its connection is over.
const IS_OVER: u16 = 4031;
/// More than anybody can wait for.
const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
                       SELECT REPEAT('endless', 700) FROM n a, n b, n c";
/// An execution of something that was never prepared: answered by readgate itself.
const EXECUTES_NOTHING: &[u8] = &[10, 0, 0, 0, 0x17, 9, 9, 9, 9, 0, 1, 0, 0, 0];

/// A daemon with one of its limits set.
fn limited(stage: &Stage, name: &str, limit: &str, value: impl Into<toml::Value>) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    set(&mut config, limit, value);
    Readgate::start(&directory, config)
}

/// A client that has sent its name and a wrong proof, and is asked for the password itself.
fn half_logged_in(port: u16, ca_file: &Path) -> RawClient {
    let mut client = RawClient::connect(port).expect("a greeting");
    let login = Login::user("alice", "wrong");
    client.start_tls(ca_file, &login).expect("TLS");
    let response = login.response(true, &client.greeting);
    client.send(&response).expect("the server reads");
    client.receive().expect("a question");
    client
}

/// Whether the session of that id is on record as ended for this reason.
fn has_ended(readgate: &Readgate, id: u32, reason: &str) {
    readgate.record("disconnect", |record| {
        record["session"] == id
            && record["reason"].as_str().is_some_and(|told| told.contains(reason))
    });
}

/// What an idle client is told.
fn told(client: &mut RawClient) -> u16 {
    client.set_patience(SOON);
    let words = client.receive().expect("last words");
    ServerError::parse(&words).expect("an error").code
}

on_both! {
    fn who_does_not_come_to_the_end_of_a_login_in_time_is_sent_away(stage) {
        let (directory, mut config) = stage.own_config("login_time");
        set(&mut config, "limits.login_timeout", "2s");
        set(&mut config, "login.longest_delay", "1s");
        let readgate = Readgate::start(&directory, config);
        let ca_file = stage.ca_file();
        let mut changes = stage.enter(&readgate, "alice");
        // COM_CHANGE_USER, and no answer to the question that follows.
        changes.send_command(0x11, b"olga\0\0\0\x2d\0mysql_native_password\0").expect("sent");
        let greeted = RawClient::connect(readgate.port).expect("a greeting");
        let mut encrypted = RawClient::connect(readgate.port).expect("a greeting");
        encrypted.start_tls(&ca_file, &Login::user("alice", USER_PASSWORD)).expect("TLS");
        let asked = half_logged_in(readgate.port, &ca_file);
        changes.receive().expect("a question");
        for (who, mut client) in
            [("greeted", greeted), ("encrypted", encrypted), ("asked", asked), ("changes", changes)]
        {
            assert!(client.is_sent_away(SOON), "{who}");
        }
        let late = |record: &serde_json::Value| {
            record["event"] == "login_failed" && record["reason"] == "login_timeout"
        };
        wait_for("all are on record", SOON, || {
            (readgate.ledger().into_iter().filter(late).count() == 4).then_some(())
        });
    }

    fn who_is_idle_for_longer_than_the_role_or_all_may_be_is_told_and_sent_away(stage) {
        let (directory, mut config) = stage.own_config("idle_time");
        set_roles(&mut config, "[[role]]\nname = \"hasty\"\nidle_timeout = \"1s\"");
        set(&mut config, "user.0.role", "hasty");
        let readgate = Readgate::start(&directory, config);
        let mut config = written(&readgate);
        let (mut alice, mut olga) = (stage.enter(&readgate, "alice"), stage.enter(&readgate, "olga"));
        assert_eq!(told(&mut alice), IS_OVER);
        assert!(alice.is_closed());
        has_ended(&readgate, alice.greeting.connection_id, "idle_timeout");
        // The general limit counts in open sessions from a reload's next command on.
        set(&mut config, "limits.idle_timeout", "1s");
        reload(&readgate, &config);
        assert_eq!(olga.query("SELECT 1").value(), "1");
        assert_eq!(told(&mut olga), IS_OVER);
        has_ended(&readgate, olga.greeting.connection_id, "idle_timeout");
    }

    fn limits_of_a_role_count_in_open_sessions_from_a_reload_on(stage) {
        let (directory, mut config) = stage.own_config("role_limits_later");
        set_roles(&mut config, "[[role]]\nname = \"reader\"");
        set(&mut config, "user.0.role", "reader");
        set(&mut config, "ledger.hash_results", true);
        let readgate = Readgate::start(&directory, config);
        let mut config = written(&readgate);
        let mut alice = stage.enter(&readgate, "alice");
        let some = "SELECT * FROM clinical.lab_results LIMIT 20";
        alice.query(some).expect_ok();
        set(&mut config, "role.0.result_rows", 10);
        reload(&readgate, &config);
        let error = alice.query(some).expect_error();
        assert!(error.code == 1226 && error.message.contains("'result_rows'"), "{error}");
        let outcome = readgate.record("outcome", |record| record["end"] == "over_limit");
        assert_eq!(outcome.get("result_sha256"), None, "nobody has seen the whole: {outcome}");
        // The replica is told to stop: nobody could wait for the rest.
        alice.query(ENDLESS).expect_error();
        assert_eq!(alice.query("SELECT 1").value(), "1");
    }

    fn a_roles_statements_run_as_long_as_it_says(stage) {
        let (directory, mut config) = stage.own_config("role_statement_time");
        let role = "[[role]]\nname = \"brief\"\nstatement_timeout = \"1s\"";
        set_roles(&mut config, role);
        set(&mut config, "user.0.role", "brief");
        let readgate = Readgate::start(&directory, config);
        let limit = match stage.server.flavour {
            Flavour::MariaDb => "SELECT ROUND(@@max_statement_time * 1000)",
            Flavour::MySql => "SELECT @@max_execution_time",
        };
        let (mut alice, mut olga) = (stage.enter(&readgate, "alice"), stage.enter(&readgate, "olga"));
        assert_eq!(alice.query(limit).value(), "1000");
        assert_ne!(olga.query(limit).value(), "1000");
        let long = "SELECT COUNT(*) FROM clinical.lab_results a, clinical.lab_results b, \
                    clinical.lab_results c WHERE a.result_id + b.result_id + c.result_id < 0";
        let error = alice.query(long).expect_error();
        assert!([1969, 3024].contains(&error.code), "the replica's own: {error}");
    }

    fn a_client_that_reads_nothing_for_too_long_is_given_up(stage) {
        let readgate = limited(stage, "write_time", "limits.write_timeout", "1s");
        let mut reads_nothing = stage.enter(&readgate, "alice");
        reads_nothing.send_command(3, ENDLESS.as_bytes()).expect("sent");
        let id = reads_nothing.greeting.connection_id;
        has_ended(&readgate, id, "it takes nothing any more");
        let of_it = |record: &serde_json::Value| record["end"] == "client_gone";
        readgate.record("outcome", of_it);
        // The same of answers that are readgate's own.
        let mut sends_ahead = stage.enter(&readgate, "olga");
        let id = sends_ahead.greeting.connection_id;
        let flood = thread::spawn(move || {
            let _ = sends_ahead.send_raw(&EXECUTES_NOTHING.repeat(1_000_000));
            sends_ahead
        });
        has_ended(&readgate, id, "takes nothing any more");
        drop(flood.join());
    }

    fn a_session_has_as_many_prepared_statements_as_configured(stage) {
        let readgate = limited(stage, "prepared_number", "limits.prepared_statements", 2);
        let mut alice = stage.enter(&readgate, "alice");
        let first = alice.prepare("SELECT 1").expect("room");
        alice.prepare("SELECT 2").expect("room");
        let error = alice.prepare("SELECT 3").expect_err("no room");
        assert_eq!((error.code, error.state.as_str()), (1461, "42000"), "{error}");
        assert!(error.message.contains("limits.prepared_statements"), "{error}");
        let refusal = readgate.record("refusal", |record| record["rule"] == "prepared_statements");
        assert_eq!(refusal["text"], "SELECT 3");
        alice.send_command(0x19, &first.id.to_le_bytes()).expect("sent");
        let third = alice.prepare("SELECT 3").expect("room again");
        alice.execute(&third, 0, b"").expect_ok();
        // What a reset has made the replica forget takes no room.
        for _ in 0..2 {
            assert_eq!(alice.simple(0x1f, b"")[0], 0);
            for text in ["SELECT 4", "SELECT 5"] {
                alice.prepare(text).expect("room behind a reset");
            }
        }
    }

    fn a_source_has_as_many_connections_as_configured(stage) {
        let readgate = limited(stage, "source_number", "limits.connections_per_source", 2);
        // The one too many isn't greeted.
        let login = Login::user("alice", USER_PASSWORD);
        let enter = || try_enter_at(readgate.port, &stage.ca_file(), &login);
        let in_time = || wait_for("there is room", SOON, || enter().ok());
        let (first, mut second) = (in_time(), in_time());
        let error = enter().expect_err("a third one");
        assert!(error.starts_with("ERROR 1040"), "{error}");
        readgate.record("login_failed", |record| {
            record["reason"].as_str().is_some_and(|told| told.starts_with("over_limit"))
        });
        // Who becomes somebody else stays the same connection.
        second.change_user("olga", USER_PASSWORD).expect("let in");
        assert!(enter().is_err(), "still two");
        drop(first);
        let _third = in_time();
        assert!(enter().is_err(), "two again");
    }
}
