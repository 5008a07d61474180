//! Connections to the replica: how many, how long one waits for them, and how they are
//! compressed.

use std::time::{Duration, Instant};

use readgate_tests::config::{set, set_roles};
use readgate_tests::place::wait_for;
use readgate_tests::protocol::capability::FOUND_ROWS;
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};
use toml::{Table, Value};

use crate::reloads::{IN_FORCE, reload, written};

fn alice() -> Login {
    Login::user("alice", USER_PASSWORD)
}

fn try_alice(stage: &Stage, readgate: &Readgate) -> Result<RawClient, ServerError> {
    let mut client = RawClient::connect(readgate.port).expect("a greeting");
    client.start_tls(&stage.ca_file(), &alice()).expect("TLS");
    client.login(&alice()).map(|()| client)
}

/// A login that waits gets in when `leaving` goes.
fn gets_the_place_of(stage: &Stage, readgate: &Readgate, leaving: RawClient) {
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| try_alice(stage, readgate).map(|mut c| c.query("SELECT 7").value()));
        drop(leaving);
        assert_eq!(waiting.join().expect("ends").expect("gets in"), "7");
    });
}

on_both! {
    fn a_login_waits_for_a_connection_and_is_refused_after_its_time(stage) {
        let (directory, mut config) = stage.own_config("full_pool");
        set(&mut config, "replica.connections", 2);
        set(&mut config, "replica.warm_connections", 1);
        set(&mut config, "replica.longest_wait", "3s");
        let readgate = Readgate::start(&directory, config);
        let mut first = stage.enter(&readgate, "alice");
        let second = stage.enter(&readgate, "alice");
        let asked = Instant::now();
        let error = try_alice(stage, &readgate).expect_err("no third");
        assert_eq!((error.code, error.state.as_str()), (1040, "08004"), "{error}");
        assert!(error.message.starts_with("readgate: all connections"), "{error}");
        assert!(asked.elapsed() >= Duration::from_secs(3), "it waited");
        // Who is in can still be cancelled, and whoever waits gets the place of who leaves.
        gets_the_place_of(stage, &readgate, second);
        assert_eq!(first.query("SELECT 1").value(), "1");
    }

    fn what_a_role_loses_while_a_login_waits_is_lost(stage) {
        let (directory, mut config) = stage.own_config("narrowed_while_waiting");
        set(&mut config, "replica.connections", 1);
        set(&mut config, "replica.longest_wait", "30s");
        set(&mut config, "reload.watch", "0s");
        let readgate = Readgate::start(&directory, config);
        let leaving = stage.enter(&readgate, "olga");
        let rows = "SELECT 1 UNION ALL SELECT 2";
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| try_alice(stage, &readgate).expect("in").query(rows).expect_error());
            wait_for("alice waits", Duration::from_secs(20), || {
                let page = readgate.http("/metrics")?.1;
                page.contains("readgate_pool_waiting_clients 1\n").then_some(())
            });
            let mut config = written(&readgate);
            let role: Table = "name = 'default'\nresult_rows = 1".parse().unwrap();
            set(&mut config, "role", vec![Value::Table(role)]);
            assert_eq!(reload(&readgate, &config)["result"], IN_FORCE);
            drop(leaving);
            assert_eq!(waiting.join().expect("ends").code, 1226);
        });
    }

    fn a_reset_goes_back_to_the_character_set_of_the_own_login_not_of_another_users(stage) {
        let (directory, mut config) = stage.own_config("reset_charset");
        set(&mut config, "replica.warm_connections", 0);
        let readgate = Readgate::start(&directory, config);
        let question = "SELECT CONCAT_WS(' ', @@character_set_client, @@character_set_results, @@character_set_connection)";
        // latin1; the next user takes the connection over. MariaDB doesn't know collation 255,
        // which clients of MySQL name, and takes its own default.
        let latin1 = alice().in_collation(8);
        let mut client = login_at(readgate.port, &stage.ca_file(), &latin1);
        assert_eq!(client.query(question).value(), "latin1 latin1 latin1");
        client.change_user_in("olga", USER_PASSWORD, 255).expect("becomes olga");
        let of_login = client.query(question).value();
        assert_eq!(of_login, "utf8mb4 utf8mb4 utf8mb4");
        client.query("SET NAMES cp1251").expect_ok();
        assert_eq!(client.simple(0x1f, b"")[0], 0, "COM_RESET_CONNECTION");
        assert_eq!(client.query(question).value(), of_login);
    }

    fn the_replicas_own_limit_is_waited_for(stage) {
        let (directory, mut config) = stage.own_config("full_replica");
        set(&mut config, "replica.longest_wait", "30s");
        set(&mut config, "replica.warm_connections", 0);
        set(&mut config, "replica.account.user", "limited_shared");
        let grants = "GRANT SELECT, SHOW VIEW, PROCESS, SHOW DATABASES, REPLICATION CLIENT ON *.* TO limited_shared";
        stage.server.sql(&format!(
            "CREATE USER IF NOT EXISTS limited_shared IDENTIFIED BY '{}' WITH MAX_USER_CONNECTIONS 3; {grants}",
            readgate_tests::server::SHARED_PASSWORD
        ));
        let readgate = Readgate::start(&directory, config);
        // One of the three is the watch of the replica.
        let first = stage.enter(&readgate, "alice");
        let mut second = stage.enter(&readgate, "alice");
        gets_the_place_of(stage, &readgate, first);
        assert_eq!(second.query("SELECT 1").value(), "1");
    }

    fn no_two_sessions_have_the_id_of_one_greeting(stage) {
        let (directory, mut config) = stage.own_config("greeting_ids");
        set(&mut config, "limits.workers", 1);
        let readgate = Readgate::start(&directory, config.clone());
        // Clients of two kinds by turns: what was kept ready for one doesn't suit the other.
        let found_rows = Login { capabilities: alice().capabilities ^ FOUND_ROWS, ..alice() };
        let enter = |login: &Login, warm: u64| {
            let enough = format!("{warm} warm connections");
            wait_for(&enough, Duration::from_secs(30), || {
                let found = readgate.metric("readgate_pool_connections{state=\"warm\"}")?;
                (found >= warm).then_some(())
            });
            login_at(readgate.port, &stage.ca_file(), login)
        };
        let mut clients = vec![enter(&alice(), 0)];
        for _ in 0..4 {
            clients.push(enter(&found_rows, 1));
            // One that ends leaves its connection to the next of its kind.
            drop(enter(&alice(), 1));
            clients.push(enter(&alice(), 2));
            clients.push(enter(&alice(), 1));
        }
        let mut ids: Vec<u32> = clients.iter().map(|client| client.greeting.connection_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), clients.len(), "{ids:?}");
        // Whoever is told to end, ends: nobody hides behind another's id.
        set(&mut config, "listener.0.address", format!("127.0.0.1:{}", readgate.port));
        set(&mut config, "ops.address", format!("127.0.0.1:{}", readgate.ops_port));
        set(&mut config, "user.0.status", "disabled");
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        readgate.signal("HUP");
        for client in &mut clients {
            assert!(client.is_sent_away(Duration::from_secs(30)));
        }
    }

    fn the_way_to_the_replica_can_be_compressed(stage) {
        for algorithm in ["zlib", "zstd"] {
            let (directory, mut config) = stage.own_config(&format!("compressed_{algorithm}"));
            set(&mut config, "replica.compression", algorithm);
            let offered = RawClient::connect(stage.server.port).expect("a greeting").greeting.offered;
            if algorithm == "zstd" && offered & (1 << 26) == 0 {
                let readgate = Readgate::start_unready(&directory, config);
                let error = try_alice(stage, &readgate).expect_err("no session");
                assert_eq!(error.code, 3168, "{error}");
                continue;
            }
            let readgate = Readgate::start(&directory, config);
            let mut client = stage.enter(&readgate, "alice");
            let status = client.query("SHOW STATUS LIKE 'Compression'");
            assert_eq!(status.rows()[0][1].as_deref(), Some(b"ON".as_slice()), "{algorithm}");
            let wide = "SELECT * FROM clinical.lab_results ORDER BY result_id LIMIT 20000";
            assert_eq!(client.query(wide).payloads, stage.direct().query(wide).payloads);
            // A lent connection goes on compressed.
            drop(client);
            let mut next = stage.enter(&readgate, "alice");
            assert_eq!(next.query("SELECT REPEAT('x', 3000000)").value().len(), 3_000_000);
        }
    }

    fn a_session_ends_in_the_middle_of_a_statement_when_its_time_is_over(stage) {
        let (directory, mut config) = stage.own_config("session_time");
        set(&mut config, "functions.sleep_max", "60s");
        set(&mut config, "limits.statement_timeout", "2m");
        set_roles(&mut config, "[[role]]\nname = \"brief\"\nsession_time = \"2s\"");
        set(&mut config, "user.0.role", "brief");
        let readgate = Readgate::start(&directory, config);
        let mut client = stage.enter(&readgate, "alice");
        let error = client.query("SELECT SLEEP(50), 'brief'").expect_error();
        assert_eq!((error.code, error.state.as_str()), (4031, "HY000"), "{error}");
        assert!(client.is_closed());
        wait_for("the statement is gone from the replica", Duration::from_secs(30), || {
            let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(50), \\'brief\\'%'";
            (stage.server.sql(running).trim() == "0").then_some(())
        });
        // MySQL mixes sockets up where a connection is killed that is being written to.
        let intent = readgate.record("intent", |record| record["text"] == "SELECT SLEEP(50), 'brief'");
        let (log, id) = (stage.server.general_log(), &intent["replica_session"]);
        assert!(log.contains(&format!("KILL QUERY {id}")), "{id}");
        assert!(!log.contains(&format!("KILL CONNECTION {id}\n")), "{id}");
    }

    fn result_metadata_is_left_out_where_the_server_can(stage) {
        let login = Login { capabilities: alice().capabilities | OPTIONAL_METADATA, ..alice() };
        let mut ours = RawClient::connect(stage.readgate.port).expect("a greeting");
        let theirs = RawClient::connect(stage.server.port).expect("a greeting").greeting;
        let bit = theirs.offered & OPTIONAL_METADATA;
        assert_eq!(ours.greeting.offered & OPTIONAL_METADATA, bit);
        assert_eq!(bit != 0, stage.server.flavour == Flavour::MySql, "MySQL has it");
        if bit == 0 {
            return;
        }
        ours.start_tls(&stage.ca_file(), &login).expect("TLS");
        ours.login(&login).expect("in");
        ours.query("SET resultset_metadata = NONE").expect_ok();
        ours.send_command(3, b"SELECT 41 + 1").expect("sent");
        assert_eq!(ours.receive().expect("a count"), b"\x01\0", "one column, no metadata");
        assert_eq!(ours.receive().expect("the end of no definitions")[0], 0xfe);
        assert_eq!(ours.receive().expect("a row"), b"\x0242");
        assert_eq!(ours.receive().expect("the end")[0], 0xfe);
        ours.send_command(22, b"SELECT 41 + ?").expect("sent");
        let prepared = ours.receive().expect("the id");
        assert_eq!(prepared[5..], [1, 0, 1, 0, 0, 0, 0, 0], "one column, one parameter, no metadata");
        for end in ["parameters", "columns"] {
            assert_eq!(ours.receive().expect(end)[0], 0xfe);
        }
        // One that the replica never hears of.
        let absorbed = ours.simple(22, b"SET SESSION TRANSACTION READ WRITE");
        assert_eq!(absorbed[5..], [0, 0, 0, 0, 0, 0, 0, 1], "no column, no parameter, and a flag");
        assert_eq!(ours.query("SET resultset_metadata = FULL").error(), None);
        assert_eq!(ours.query("SELECT 1").error(), None);
    }
}

/// CLIENT_OPTIONAL_RESULTSET_METADATA.
const OPTIONAL_METADATA: u32 = 1 << 25;
