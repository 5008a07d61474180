//! `limits.statement_timeout` holds for every kind of statement, whatever the replica makes of
//! it: MySQL keeps it for queries alone, and a server that hangs keeps nothing.

use std::time::{Duration, Instant};

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, Response};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{USER_PASSWORD, login_at};

/// Runs far longer than any test waits: a join of metadata, where no lock is taken.
const HEAVY: &str = "(SELECT SUM(LENGTH(CONCAT(a.column_name, b.column_name, c.column_name, d.column_name))) \
                     FROM information_schema.columns a, information_schema.columns b, \
                     information_schema.columns c, information_schema.columns d)";

fn alice() -> Login {
    Login::user("alice", USER_PASSWORD)
}

/// Within its time, a grace and what a loaded machine needs.
fn ends_soon(sql: &str, ask: impl FnOnce() -> Response) {
    let begun = Instant::now();
    let response = ask();
    assert!(begun.elapsed() < Duration::from_secs(20), "{sql}: {response:?}");
}

on_both! {
    fn no_kind_of_statement_goes_on_beyond_its_time(stage) {
        let (directory, mut config) = stage.own_config("statement_times");
        set(&mut config, "functions.sleep_max", "60s");
        set(&mut config, "limits.statement_timeout", "1s");
        let readgate = Readgate::start(&directory, config);
        let mut client = stage.enter(&readgate, "alice");
        let texts = [
            "DO SLEEP(50), 'beyond'".to_owned(),
            "SET @beyond = SLEEP(50)".to_owned(),
            format!("DO {HEAVY}, 'beyond'"),
            format!("SET @beyond = {HEAVY}"),
            "SHOW DATABASES WHERE SLEEP(50) = 'beyond'".to_owned(),
            "SELECT SLEEP(50), 'beyond'".to_owned(),
        ];
        for sql in &texts {
            ends_soon(sql, || client.query(sql));
            assert_eq!(client.query("SELECT 'goes on'").value(), "goes on", "after {sql}");
        }
        let prepared = client.prepare("DO SLEEP(50), 'beyond'").expect("a read");
        ends_soon("a prepared DO", || client.execute(&prepared, 0, b""));
        assert_eq!(client.query("SELECT 'goes on'").value(), "goes on");
        wait_for("nothing of it runs on the replica", Duration::from_secs(30), || {
            let running = "SELECT COUNT(*) FROM information_schema.processlist \
                           WHERE info LIKE '%beyond%' AND info NOT LIKE '%processlist%'";
            (stage.server.sql(running).trim() == "0").then_some(())
        });
    }

    fn a_session_whose_replica_hangs_in_a_statement_ends(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("hanging_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "hanging");
        set(&mut config, "limits.statement_timeout", "1s");
        let readgate = Readgate::start(&directory, config);
        let mut client = login_at(readgate.port, &server.ca_file(), &alice());
        assert_eq!(client.query("SELECT 1").value(), "1");
        server.hang();
        ends_soon("a query", || {
            let response = client.query("SELECT 'hangs'");
            assert_eq!(response.expect_error().state, "08S01");
            response
        });
        assert!(client.is_closed());
        server.signal("CONT");
        let intent = readgate.record("intent", |record| record["text"] == "SELECT 'hangs'");
        let outcome = readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!(outcome["end"], "replica_gone");
    }

    fn a_statement_that_a_hanging_replica_does_not_take_ends(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("deaf_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "deaf");
        set(&mut config, "limits.statement_timeout", "1s");
        let readgate = Readgate::start(&directory, config);
        let mut client = login_at(readgate.port, &server.ca_file(), &alice());
        let mut sender = login_at(readgate.port, &server.ca_file(), &alice());
        let prepared = sender.prepare("SELECT LENGTH(?)").expect("a read");
        server.hang();
        // More than the sockets between the two hold.
        let large = "x".repeat(16 << 20);
        ends_soon("a large query", || {
            let response = client.query(format!("SELECT '{large}'"));
            assert_eq!(response.expect_error().state, "08S01");
            response
        });
        assert!(client.is_closed());
        let piece = [&prepared.id.to_le_bytes()[..], &[0, 0], large.as_bytes()].concat();
        sender.send_command(0x18, &piece).expect("sent");
        assert!(sender.is_sent_away(Duration::from_secs(20)), "long data");
        server.signal("CONT");
        let outcome = readgate.record("outcome", |record| record["end"] == "replica_gone");
        assert_eq!(outcome["rows"], 0);
    }
}
