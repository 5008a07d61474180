//! Connections that were made ready for the next login of the same person: nobody waits for
//! the replica, nothing of the session before is left, and none that has gone is lent.

use std::path::PathBuf;
use std::time::Duration;

use readgate_tests::config::set;
use readgate_tests::place::wait_for;
use readgate_tests::protocol::capability::FOUND_ROWS;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Server;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};
use toml::Table;

fn alice() -> Login {
    Login::user("alice", USER_PASSWORD)
}

/// One worker and room for one connection: the next client gets what the last one had.
fn config_with_one_kept(stage: &Stage, server: &Server, name: &str) -> (PathBuf, Table) {
    let (directory, mut config) = stage.own_config_for(server, name);
    set(&mut config, "limits.workers", 1);
    set(&mut config, "replica.warm_connections", 1);
    (directory, config)
}

fn with_one_kept(stage: &Stage, name: &str) -> Readgate {
    let (directory, config) = config_with_one_kept(stage, &stage.server, name);
    Readgate::start(&directory, config)
}

/// Waits until the connections of sessions that are over have been made ready.
fn until_kept(readgate: &Readgate) {
    wait_for("a kept connection", Duration::from_secs(30), || {
        let metrics = readgate.http("/metrics")?.1;
        let has = |line: &str| metrics.lines().any(|found| found == line);
        let none_in_use = has("readgate_pool_connections{state=\"in_use\"} 0");
        (none_in_use && has("readgate_pool_connections{state=\"warm\"} 1")).then_some(())
    });
}

fn id_of(client: &mut RawClient) -> String {
    client.query("SELECT CONNECTION_ID()").value()
}

/// Runs a statement with all that a server keeps of statements switched on, in each way.
fn traced(client: &mut RawClient, how: &str) {
    match how {
        "prepared" => {
            client.query("PREPARE p FROM 'SET profiling = 1'").expect_ok();
            client.query("EXECUTE p").expect_ok();
            let prepared = client.prepare("SET optimizer_trace = 'enabled=on'").expect("allowed");
            client.execute(&prepared, 0, b"").expect_ok();
        }
        _ => client.query("SET profiling = 1, optimizer_trace = 'enabled=on'").expect_ok(),
    }
    assert_eq!(client.query("SELECT 4711 FROM clinical.studies LIMIT 1").value(), "4711");
    client.query("SET profiling = 0, optimizer_trace = 'enabled=off'").expect_ok();
}

/// What the server has kept of statements on this connection.
fn kept_texts(client: &mut RawClient) -> String {
    let read = ["SHOW PROFILES", "SELECT * FROM information_schema.optimizer_trace"];
    let rows = read.map(|sql| client.query(sql).rows());
    let columns = rows.iter().flatten().flatten().flatten();
    columns.map(|column| String::from_utf8_lossy(column).into_owned()).collect()
}

/// What the general log has of a connection.
fn logged(stage: &Stage, id: &str) -> Vec<String> {
    let log = stage.server.general_log();
    let of_connection = |line: &&str| line.split_whitespace().any(|word| word == id);
    log.lines().filter(of_connection).map(str::to_owned).collect()
}

on_both! {
    fn the_next_login_of_the_same_person_does_not_wait_for_the_replica(stage) {
        let readgate = with_one_kept(stage, "ready_again");
        // The first one makes known of which kind clients are.
        drop(stage.enter(&readgate, "alice"));
        until_kept(&readgate);
        let mut first = stage.enter(&readgate, "alice");
        let id = id_of(&mut first);
        for state in ["SET @left = 'behind'", "USE clinical", "SET NAMES latin1", "BEGIN"] {
            first.query(state).expect_ok();
        }
        drop(first);
        // Another may be kept in its place until it is ready itself, which the guard's question ends.
        let before = wait_for("the first one's is ready again", Duration::from_secs(30), || {
            let lines = logged(stage, &id);
            lines.last()?.contains("@@global.init_connect").then_some(lines.len())
        });
        until_kept(&readgate);
        let mut second = stage.enter(&readgate, "alice");
        assert_eq!(second.greeting.connection_id.to_string(), id, "what it was set aside for");
        assert_eq!(id_of(&mut second), id);
        let after = logged(stage, &id).split_off(before);
        assert!(after.iter().all(|line| line.contains("SELECT CONNECTION_ID()")), "{after:?}");
        let left = "SELECT CONCAT_WS('|', @left, DATABASE(), @@character_set_client, @@in_transaction)";
        let left = match stage.server.flavour.name() {
            "mysql" => left.replace(", @@in_transaction", ""),
            _ => left.to_owned(),
        };
        let plain = stage.direct().query(&left).value();
        assert_eq!(second.query(&left).value(), plain);
    }

    fn a_kept_connection_that_the_replica_has_closed_is_not_lent(stage) {
        let readgate = with_one_kept(stage, "ready_closed");
        drop(stage.enter(&readgate, "alice"));
        until_kept(&readgate);
        let mut first = stage.enter(&readgate, "alice");
        let id = id_of(&mut first);
        drop(first);
        until_kept(&readgate);
        stage.server.sql(&format!("KILL CONNECTION {id}"));
        wait_for("the end of the connection", Duration::from_secs(30), || {
            let left = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ";
            (stage.server.sql(&format!("{left}{id}")).trim().ends_with('0')).then_some(())
        });
        let mut second = stage.enter(&readgate, "alice");
        assert_ne!(id_of(&mut second), id);
    }

    fn a_login_that_wishes_otherwise_is_logged_in_anew(stage) {
        let readgate = with_one_kept(stage, "ready_otherwise");
        drop(stage.enter(&readgate, "alice"));
        until_kept(&readgate);
        let in_clinical = alice().in_schema("clinical");
        let in_latin1 = alice().in_collation(8);
        for login in [&in_clinical, &alice(), &in_clinical, &alice(), &in_latin1, &alice()] {
            let mut client = login_at(readgate.port, &stage.ca_file(), login);
            let schema = client.query("SELECT COALESCE(DATABASE(), 'none')").value();
            let wished = login.schema.as_deref();
            assert_eq!(schema, wished.unwrap_or("none"));
            let charset = client.query("SELECT @@character_set_results").value();
            assert_eq!(charset, if login.collation == 8 { "latin1" } else { "utf8mb4" });
            drop(client);
            until_kept(&readgate);
        }
        // Another kind of client doesn't get it at all.
        let found_rows = Login { capabilities: alice().capabilities ^ FOUND_ROWS, ..alice() };
        let mut other = login_at(readgate.port, &stage.ca_file(), &found_rows);
        assert_eq!(other.query("SELECT 1").value(), "1");
    }

    fn another_person_does_not_get_what_was_made_ready_for_one(stage) {
        let readgate = with_one_kept(stage, "ready_for_another");
        drop(stage.enter(&readgate, "alice"));
        until_kept(&readgate);
        let mut client = stage.enter(&readgate, "alice");
        for user in ["olga", "alice"] {
            let id = id_of(&mut client);
            let before = wait_for("it is ready again", Duration::from_secs(30), || {
                client.send_command(0x01, b"").ok();
                let lines = logged(stage, &id);
                lines.last()?.contains("@@global.init_connect").then_some(lines.len())
            });
            until_kept(&readgate);
            client = stage.enter(&readgate, user);
            assert_eq!(id_of(&mut client), id);
            // The login tells the replica who it is for.
            let after = logged(stage, &id).split_off(before);
            let begins_anew = after.iter().any(|line| line.contains("Change user"));
            assert!(begins_anew, "{user}: {after:?}");
        }
    }

    fn each_session_begins_as_the_servers_init_connect_makes_it(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("init_connect_server"));
        server.load_sample();
        server.sql("SET GLOBAL init_connect = \"SET time_zone = '+05:00'\"");
        let config_of = |name| {
            let (directory, mut config) = config_with_one_kept(stage, &server, name);
            set(&mut config, "replica.longest_wait", "1s");
            (directory, config)
        };
        let (directory, config) = config_of("init_connect");
        let readgate = Readgate::start(&directory, config);
        let zone = "SELECT @@session.time_zone";
        let login = |readgate: &Readgate| login_at(readgate.port, &server.ca_file(), &alice());
        for _ in 0..3 {
            let mut client = login(&readgate);
            assert_eq!(client.query(zone).value(), "+05:00");
            client.change_user("olga", USER_PASSWORD).expect("let in");
            assert_eq!(client.query(zone).value(), "+05:00");
        }
        // Without it connections are kept again.
        server.sql("SET GLOBAL init_connect = ''");
        assert_eq!(login(&readgate).query(zone).value(), "SYSTEM");
        until_kept(&readgate);

        // An idle session has nothing that it could lend: who comes then gets no connection.
        server.sql("SET GLOBAL init_connect = \"SET time_zone = '+05:00'\"");
        let (directory, mut config) = config_of("init_connect_shared");
        set(&mut config, "replica.share_idle", "10ms");
        set(&mut config, "replica.connections", 1);
        let readgate = Readgate::start(&directory, config);
        let mut first = login(&readgate);
        let mut second = RawClient::connect(readgate.port).expect("a greeting");
        second.start_tls(&server.ca_file(), &alice()).expect("TLS");
        assert_eq!(second.login(&alice()).expect_err("no place").code, 1040);
        assert_eq!(first.query(zone).value(), "+05:00");
    }

    fn a_connection_that_keeps_texts_of_statements_is_nobody_elses(stage) {
        let readgate = with_one_kept(stage, "traced");
        for how in ["queried", "prepared"] {
            let mut client = stage.enter(&readgate, "alice");
            let id = id_of(&mut client);
            traced(&mut client, how);
            assert!(kept_texts(&mut client).contains("4711"), "one's own");
            client.change_user("olga", USER_PASSWORD).expect("let in");
            assert_ne!(id_of(&mut client), id);
            let found = kept_texts(&mut client);
            assert!(!found.contains("4711"), "{found}");

            traced(&mut client, how);
            let id = id_of(&mut client);
            client.send_command(0x01, b"").expect("sent");
            wait_for("the connection is closed", Duration::from_secs(30), || {
                let left = "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ";
                (stage.server.sql(&format!("{left}{id}")).trim() == "0").then_some(())
            });
        }
    }
}
