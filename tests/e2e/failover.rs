//! What happens to a replica in its life: it is promoted, it closes connections, it is full, its
//! host goes without a word.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::meddler::Meddler;
use readgate_tests::place::wait_for;
use readgate_tests::protocol::{lenenc_text, scramble};
use readgate_tests::raw::{Login, RawClient, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{Flavour, SHARED_PASSWORD, Server};
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, stage, try_login_at};
use toml::Table;

use crate::clients::{Target, command_line};

/// Longer than readgate takes to look again.
const SOON: Duration = Duration::from_secs(20);
/// Ids of greetings that aren't the replica's own begin here.
const NOT_THE_REPLICAS: u32 = 1 << 30;

fn alice() -> Login {
    Login::user("alice", USER_PASSWORD)
}

fn try_login(stage: &Stage, readgate: &Readgate, user: &str) -> Result<RawClient, ServerError> {
    let login = Login::user(user, USER_PASSWORD);
    try_login_at(readgate.port, &stage.ca_file(), &login)
}

/// An account of the test's own that may have so many connections.
fn limited(stage: &Stage, user: &str, connections: u32) {
    stage.server.sql(&format!(
        "CREATE USER {user} IDENTIFIED BY '{SHARED_PASSWORD}' WITH MAX_USER_CONNECTIONS {connections};
         GRANT SELECT, SHOW VIEW, PROCESS, SHOW DATABASES, REPLICATION CLIENT ON *.* TO {user}"
    ));
}

/// Somebody else takes every connection that the account still may have.
fn fill(stage: &Stage, user: &str) -> Vec<RawClient> {
    let login = Login::user(user, SHARED_PASSWORD);
    let mut others = Vec::new();
    loop {
        match try_login_at(stage.server.port, &stage.ca_file(), &login) {
            Ok(other) => others.push(other),
            Err(error) => {
                assert!([1203, 1226].contains(&error.code), "{error}");
                return others;
            }
        }
    }
}

/// The replica's id of a client's connection.
fn id_of(client: &mut RawClient) -> u32 {
    client.query("SELECT CONNECTION_ID()").value().parse().expect("a number")
}

/// Somebody who goes straight to a server, and has that id there.
fn stranger(server: &Server, id: u32) -> RawClient {
    let account = Login::user("readonly_shared", SHARED_PASSWORD);
    loop {
        let mut client = login_at(server.port, &server.ca_file(), &account);
        let there = id_of(&mut client);
        assert!(there <= id, "no connection has the id {id} at that server");
        if there == id {
            return client;
        }
    }
}

/// Whether the connection of that id runs a statement with this in it.
fn runs_at(server: &Server, id: u32, mark: &str) -> Option<()> {
    let running = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE id = {id} AND info LIKE '%{mark}%'"
    );
    (server.sql(&running).trim() == "1").then_some(())
}

/// Whether a client sees this in the list of sessions.
pub(crate) fn lists(client: &mut RawClient, mark: &[u8]) -> bool {
    let list = client.query("SHOW FULL PROCESSLIST");
    let mut cells = list.rows().into_iter().flatten().flatten();
    cells.any(|cell| cell.windows(mark.len()).any(|word| word == mark))
}

fn counted(readgate: &Readgate, series: &str) -> Option<u64> {
    let metrics = readgate.http("/metrics")?.1;
    let found = metrics.lines().find_map(|line| line.strip_prefix(series));
    found.map_or(Some(0), |value| value.trim().parse().ok())
}

/// Waits until a series has gone up by that much.
fn until_more(readgate: &Readgate, series: &str, more: u64) {
    let before = counted(readgate, series).expect("metrics");
    wait_for(series, SOON, || (counted(readgate, series)? >= before + more).then_some(()));
}

/// Whether the kernel asks the peers of all connections to that port for signs of life, and when
/// next.
fn keepalives(port: u16) -> Vec<bool> {
    let remote = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let established = |fields: &Vec<&str>| fields[2] == remote && fields[3] == "01";
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(established).map(|fields| fields[5].starts_with("02:")).collect()
}

/// CLIENT_OPTIONAL_RESULTSET_METADATA, which MariaDB doesn't have.
const OPTIONAL_METADATA: u32 = 1 << 25;
/// CLIENT_CONNECT_ATTRS.
const CONNECT_ATTRS: u32 = 1 << 20;

/// A way to the one that can be led to the other, and the configuration of a daemon that takes it.
fn on_the_way_to(one: &Stage, other: &Stage, name: &str) -> (Meddler, PathBuf, Table) {
    let (directory, mut config) = one.own_config(name);
    let way = Meddler::honest(one.server.port);
    let authorities = [one, other].map(|stage| fs::read_to_string(stage.ca_file()).unwrap());
    let both = directory.join("both.crt");
    fs::write(&both, authorities.concat()).unwrap();
    set(&mut config, "replica.address", format!("127.0.0.1:{}", way.port));
    set(&mut config, "replica.tls.ca_file", both.display().to_string());
    set(&mut config, "replica.warm_connections", 0);
    (way, directory, config)
}

#[test]
fn a_session_without_a_connection_does_not_go_on_at_a_server_that_reads_otherwise() {
    let (mysql, mariadb) = (stage(Flavour::MySql), stage(Flavour::MariaDb));
    let (way, directory, mut config) = on_the_way_to(mysql, mariadb, "moved_lent");
    set(&mut config, "replica.share_idle", "10ms");
    let readgate = Readgate::start(&directory, config);
    let mut client = login_at(readgate.port, &mysql.ca_file(), &alice());
    client.query("SELECT 1").expect_ok();
    let lent = "readgate_sessions_without_connection";
    wait_for("it has lent its connection", SOON, || (readgate.metric(lent)? == 1).then_some(()));
    way.lead_to(mariadb.server.port);
    let intent = readgate.record("intent", |record| record["text"] == "SELECT 1");
    let id = readgate.told(&intent, "replica_session");
    mysql.server.sql(&format!("KILL CONNECTION {id}"));
    wait_for("the connection is closed here too", SOON, || {
        (readgate.metric("readgate_pool_connections{state=\"warm\"}")? == 0).then_some(())
    });
    let error = client.query("SELECT VERSION()").expect_error();
    assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
    assert!(error.message.contains("connect again"), "{error}");
    assert!(client.is_closed());
}

#[test]
fn who_was_greeted_for_another_server_is_not_answered_in_a_form_of_this_one() {
    let (mysql, mariadb) = (stage(Flavour::MySql), stage(Flavour::MariaDb));
    let (way, directory, config) = on_the_way_to(mysql, mariadb, "moved");
    let readgate = Readgate::start(&directory, config);
    let login = alice().with(OPTIONAL_METADATA);
    let mut greeted = RawClient::connect(readgate.port).expect("a greeting");
    way.lead_to(mariadb.server.port);
    greeted.start_tls(&mysql.ca_file(), &login).expect("TLS");
    let error = greeted.login(&login).expect_err("another server");
    assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
    assert!(error.message.contains("connect again"), "{error}");
    let again = RawClient::connect(readgate.port).expect("a greeting");
    assert_eq!(again.greeting.offered & OPTIONAL_METADATA, 0);
    let mut client = login_at(readgate.port, &mysql.ca_file(), &alice());
    assert!(client.query("SELECT VERSION()").value().contains("MariaDB"));
}

on_both! {
    fn a_replica_that_is_promoted_serves_nobody_from_the_next_login_on(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("promoted_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "promoted");
        set(&mut config, "replica.warm_connections", 0);
        let readgate = Readgate::start(&directory, config);
        let enter = || try_login_at(readgate.port, &server.ca_file(), &alice());
        let mut before = enter().expect("she is let in");
        before.query("SELECT 1").expect_ok();
        server.sql("SET GLOBAL read_only = 0");
        let error = enter().expect_err("no service");
        assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
        assert!(error.message.contains("not read-only"), "{error}");
        assert!(before.is_sent_away(SOON), "who is in goes at the next look");
        let (status, said) = readgate.http("/readyz").expect("an answer");
        assert_eq!(status, 503, "{said}");
        assert!(said.contains("replica: ok") && said.contains("not read-only"), "{said}");
        server.sql("SET GLOBAL read_only = 1");
        wait_for("service is back", SOON, || enter().ok());
    }

    fn behind_one_name_the_ids_of_one_server_mean_nothing_at_another(stage) {
        let servers = ["one_server", "other_server"].map(|name| {
            let server = Server::start(stage.server.flavour, &stage.own_directory(name));
            server.load_sample();
            server
        });
        let [one, other] = &servers;
        let way = Meddler::honest(one.port);
        let (directory, mut config) = stage.own_config_for(one, "one_name");
        let authorities = servers.each_ref().map(|server| fs::read_to_string(server.ca_file()).unwrap());
        fs::write(directory.join("both.crt"), authorities.concat()).unwrap();
        set(&mut config, "replica.address", format!("127.0.0.1:{}", way.port));
        set(&mut config, "replica.tls.ca_file", directory.join("both.crt").display().to_string());
        set(&mut config, "limits.workers", 1);
        set(&mut config, "replica.warm_connections", 1);
        set(&mut config, "functions.sleep_max", "60s");
        let readgate = Readgate::start(&directory, config);
        let enter = || login_at(readgate.port, &one.ca_file(), &alice());
        // Until ids there are beyond those that the other server has given out.
        let behind = other.sql("SELECT CONNECTION_ID()").trim().parse::<u32>().unwrap() + 20;
        let mut others = Vec::new();
        let (mut sleeper, id) = loop {
            let mut client = enter();
            let id = id_of(&mut client);
            if id > behind {
                break (client, id);
            }
            others.push(client);
        };
        let mut killer = enter();
        let mut victim = stranger(other, id);
        let one_is_kept = || {
            wait_for("a kept connection", SOON, || {
                (readgate.metric("readgate_pool_connections{state=\"warm\"}")? > 0).then_some(())
            });
        };
        // What is kept ready is the other server's from now on: none is on its way to this one.
        one_is_kept();
        way.lead_to(other.port);
        while others.last_mut().expect("some").query("SELECT @@port").value() != other.port.to_string() {
            others.push(enter());
        }
        drop(others.pop());
        one_is_kept();
        victim.send_command(3, b"SELECT SLEEP(5), 'anothers'").expect("sent");
        sleeper.send_command(3, b"SELECT SLEEP(50), 'to be stopped'").expect("sent");
        wait_for("both run", SOON, || runs_at(other, id, "anothers").and(runs_at(one, id, "to be stopped")));
        let error = killer.query(format!("KILL QUERY {id}")).expect_error();
        assert_eq!((error.code, error.state.as_str()), (3168, "08S01"), "{error}");
        assert!(!lists(&mut enter(), b"anothers"), "the statement of whoever has the id there is nobody else's to see");
        let undisturbed = victim.read_response().expect("an answer").rows();
        assert_eq!(undisturbed[0][0].as_deref(), Some(&b"0"[..]), "it has slept to the end");
        way.lead_to(one.port);
        killer.query(format!("KILL QUERY {id}")).expect_ok();
        sleeper.read_response().expect("an answer");
        assert_eq!(sleeper.query("SELECT 'goes on'").value(), "goes on");
    }

    fn the_ids_of_before_a_restart_of_the_replica_mean_nothing_after_it(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("restarted_server"));
        server.load_sample();
        let way = Meddler::without_ends(server.port);
        let (directory, mut config) = stage.own_config_for(&server, "restarted");
        set(&mut config, "replica.address", format!("127.0.0.1:{}", way.port));
        set(&mut config, "replica.warm_connections", 0);
        set(&mut config, "limits.replica_timeout", "2s");
        let readgate = Readgate::start(&directory, config);
        let ca_file = server.ca_file();
        let enter = || login_at(readgate.port, &ca_file, &alice());
        // Until ids are beyond those that a fresh server needs itself.
        let mut stale = Vec::new();
        let former = loop {
            stale.push(enter());
            match id_of(stale.last_mut().expect("one")) {
                id if id > 40 => break id,
                _ => {}
            }
        };
        server.kill();
        server.restart();
        let mut killer = wait_for("alice is let in", SOON, || {
            try_login_at(readgate.port, &ca_file, &alice()).ok()
        });
        let mut victim = stranger(&server, former);
        victim.send_command(3, b"SELECT SLEEP(5), 'anothers'").expect("sent");
        wait_for("it runs", SOON, || runs_at(&server, former, "anothers"));
        assert!(!lists(&mut killer, b"anothers"), "the statement of whoever has the id now is nobody else's to see");
        let stale = stale.last().expect("one").greeting.connection_id;
        killer.query(format!("KILL QUERY {stale}")).expect_ok();
        let undisturbed = victim.read_response().expect("an answer").rows();
        assert_eq!(undisturbed[0][0].as_deref(), Some(&b"0"[..]), "it has slept to the end");
    }

    fn a_schema_that_cannot_be_is_not_the_replicas_fault(stage) {
        let (directory, config) = stage.own_config("no_such_schema");
        let readgate = Readgate::start(&directory, config);
        for schema in ["no_such", "a ", "a/b", &"x".repeat(100)] {
            let refused = |port: u16, user: &str, password: &str| {
                let login = Login::user(user, password).in_schema(schema);
                let error = try_login_at(port, &stage.ca_file(), &login).expect_err(schema);
                (error.code, error.state, error.message)
            };
            let ours = refused(readgate.port, "alice", USER_PASSWORD);
            assert_eq!(ours, refused(stage.server.port, "readonly_shared", SHARED_PASSWORD));
            assert_eq!(counted(&readgate, "readgate_replica_up "), Some(1), "{schema:?}");
        }
    }

    fn more_attributes_than_servers_take_are_not_the_replicas_fault(stage) {
        let (directory, config) = stage.own_config("many_attributes");
        let readgate = Readgate::start(&directory, config);
        let value = "x".repeat(1200);
        for (count, code) in [(54, None), (60, Some(1835))] {
            let mut client = login_at(readgate.port, &stage.ca_file(), &alice().with(CONNECT_ATTRS));
            let all: Vec<u8> = (0..count).flat_map(|_| [lenenc_text("padding"), lenenc_text(&value)].concat()).collect();
            let [low, middle, high, _] = u32::try_from(all.len()).unwrap().to_le_bytes();
            let fixed = b"alice\0\0\0\x2d\0caching_sha2_password\0\xfd";
            client.send_command(0x11, &[&fixed[..], &[low, middle, high], &all].concat()).expect("sent");
            let said = loop {
                let said = client.receive().expect("an answer");
                match said[0] {
                    0xfe => {
                        let nonce = &said[said.len() - 21..said.len() - 1];
                        let proof = scramble("caching_sha2_password", USER_PASSWORD.as_bytes(), nonce);
                        client.send(&proof).expect("sent");
                    }
                    1 => {}
                    _ => break said,
                }
            };
            assert_eq!(ServerError::parse(&said).map(|error| error.code), code, "{said:?}");
            assert_eq!(counted(&readgate, "readgate_replica_up "), Some(1));
        }
    }

    fn what_readgate_asks_leaves_no_warning_in_a_session(stage) {
        // On a new connection, and on one that was made ready by then.
        for _ in 0..2 {
            let mut client = stage.alice();
            let warnings = client.query("SHOW WARNINGS").rows();
            assert!(warnings.is_empty(), "{warnings:?}");
        }
    }

    fn what_is_kept_ready_is_replaced_when_the_replica_closes_it_though_nobody_comes(stage) {
        let (directory, mut config) = stage.own_config("kept_closed");
        set(&mut config, "limits.workers", 1);
        set(&mut config, "replica.warm_connections", 1);
        let readgate = Readgate::start(&directory, config);
        drop(stage.enter(&readgate, "alice"));
        let kept = || {
            let id = RawClient::connect(readgate.port).expect("a greeting").greeting.connection_id;
            (id < NOT_THE_REPLICAS).then_some(id)
        };
        let until_settled = || {
            let at_rest = ["{state=\"in_use\"} 0", "{state=\"warm\"} 1"]
                .map(|state| format!("readgate_pool_connections{state}"));
            wait_for("one kept, none in use", SOON, || {
                let metrics = readgate.http("/metrics")?.1;
                at_rest.iter().all(|line| metrics.contains(line.as_str())).then_some(())
            });
        };
        for _ in 0..2 {
            until_settled();
            let first = wait_for("a kept connection", SOON, kept);
            stage.server.sql(&format!("KILL CONNECTION {first}"));
            // Nobody logs in meanwhile; who does then has the new one.
            wait_for("another one", SOON, || kept().filter(|id| *id != first));
        }
        until_settled();
        let mut client = stage.enter(&readgate, "alice");
        let id = client.query("SELECT CONNECTION_ID()").value();
        assert_eq!(id, client.greeting.connection_id.to_string());
    }

    fn a_replica_without_room_is_neither_down_nor_behind_and_who_is_in_reads_and_cancels(stage) {
        limited(stage, "crowded_shared", 4);
        let (directory, mut config) = stage.own_config("crowded");
        set(&mut config, "replica.account.user", "crowded_shared");
        set(&mut config, "replica.warm_connections", 0);
        set(&mut config, "replica.longest_wait", "1s");
        set(&mut config, "replica.max_lag", "1s");
        set(&mut config, "replica.when_behind", "refuse");
        set(&mut config, "replica.heartbeat_query", "SELECT 0");
        set(&mut config, "functions.sleep_max", "60s");
        set(&mut config, "limits.statement_timeout", "2m");
        let readgate = Readgate::start(&directory, config);
        let mut first = stage.enter(&readgate, "alice");
        let mut second = stage.enter(&readgate, "alice");
        until_more(&readgate, "readgate_replica_opens_total{result=\"ok\"} ", 1);
        let others = fill(stage, "crowded_shared");
        let error = try_login(stage, &readgate, "alice").expect_err("no room");
        assert_eq!((error.code, error.state.as_str()), (1040, "08004"), "{error}");
        until_more(&readgate, "readgate_replica_opens_total{result=\"full\"} ", 3);
        let (status, said) = readgate.http("/readyz").expect("an answer");
        assert_eq!((status, said.contains("replica: ok")), (200, true), "{said}");
        assert_eq!(first.query("SELECT 1").value(), "1");
        let running = || {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(50), \\'crowd%'";
            stage.server.sql(sql).trim() != "0"
        };
        second.send_command(0x03, b"SELECT SLEEP(50), 'crowd'").expect("sent");
        wait_for("it runs", SOON, || running().then_some(()));
        drop(second);
        wait_for("it is gone from the replica", SOON, || (!running()).then_some(()));
        drop(others);
        wait_for("a login", SOON, || try_login(stage, &readgate, "alice").ok());
    }

    fn statements_whose_clients_go_together_are_all_ended_on_a_replica_without_room(stage) {
        const TOGETHER: u32 = 6;
        limited(stage, "crowded_many", TOGETHER + 3);
        let (directory, mut config) = stage.own_config("crowded_many");
        set(&mut config, "replica.account.user", "crowded_many");
        set(&mut config, "replica.warm_connections", 0);
        set(&mut config, "limits.statement_timeout", "2m");
        let readgate = Readgate::start(&directory, config);
        let mut clients: Vec<_> = (0..TOGETHER).map(|_| stage.enter(&readgate, "alice")).collect();
        until_more(&readgate, "readgate_replica_opens_total{result=\"ok\"} ", 1);
        let _others = fill(stage, "crowded_many");
        // Servers end a SLEEP whose client is gone by themselves.
        let tables = ["a", "b", "c"].map(|alias| format!("clinical.lab_results AS {alias}")).join(", ");
        let long = format!("SELECT SUM(RAND()), 'together' FROM {tables}");
        for client in &mut clients {
            client.send_command(0x03, long.as_bytes()).expect("sent");
        }
        let running = || {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SUM(RAND()), \\'tog%'";
            stage.server.sql(sql).trim().parse::<u32>().expect("a number")
        };
        wait_for("all run", SOON, || (running() == TOGETHER).then_some(()));
        drop(clients);
        wait_for("all are gone from the replica", SOON, || (running() == 0).then_some(()));
    }

    fn an_account_that_has_no_room_to_be_checked_keeps_its_service(stage) {
        limited(stage, "crowded_role", 2);
        let (directory, mut config) = stage.own_config("crowded_role");
        let mut account = Table::new();
        account.insert("name".into(), "own".into());
        account.insert("user".into(), "crowded_role".into());
        account.insert("password_file".into(), config["replica"]["account"]["password_file"].clone());
        set(&mut config, "replica.role_account", vec![account]);
        set_roles(&mut config, "[[role]]\nname = \"own\"\naccount = \"own\"\n");
        set(&mut config, "user.1.role", "own");
        set(&mut config, "replica.warm_connections", 0);
        let readgate = Readgate::start(&directory, config);
        let mut olga = wait_for("a login", SOON, || try_login(stage, &readgate, "olga").ok());
        let _others = fill(stage, "crowded_role");
        // A reload has the accounts checked at once.
        readgate.signal("HUP");
        until_more(&readgate, "readgate_replica_opens_total{result=\"ok\"} ", 3);
        assert_eq!(olga.query("SELECT 1").value(), "1");
        let (status, said) = readgate.http("/readyz").expect("an answer");
        assert!(status == 200 && !said.contains("could not be checked"), "{said}");
    }

    fn command_line_clients_of_both_makes_show_what_is_the_matter_with_the_replica(stage) {
        let mut server = Server::start(stage.server.flavour, &stage.own_directory("told_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "told_replica");
        set(&mut config, "functions.sleep_max", "60s");
        set(&mut config, "limits.statement_timeout", "2m");
        let readgate = Readgate::start(&directory, config);
        let target = Target { port: readgate.port, user: "alice", password: USER_PASSWORD };
        let running = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(5%'";
        let ca_file = server.ca_file();
        let ask = |client: &str| {
            let mut command = command_line(client, stage, &target);
            command.arg(format!("--ssl-ca={}", ca_file.display()));
            command.args(["--batch", "-e", "SELECT SLEEP(50)"]).stderr(Stdio::piped());
            command.spawn().expect("the client starts")
        };
        let asked = ["mysql", "mariadb"].map(ask);
        wait_for("both run", SOON, || (server.sql(running).trim() == "2").then_some(()));
        server.kill();
        for client in asked.into_iter().chain(["mysql", "mariadb"].map(ask)) {
            let output = client.wait_with_output().expect("it ends");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(told.contains("ERROR 3168 (08S01)") && told.contains(": readgate: "), "{told}");
        }
    }

    fn a_host_that_goes_without_a_word_is_asked_for_signs_of_life(stage) {
        let server = Server::start(stage.server.flavour, &stage.own_directory("wordless_server"));
        server.load_sample();
        let (directory, config) = stage.own_config_for(&server, "wordless");
        let readgate = Readgate::start(&directory, config);
        let mut alice = login_at(readgate.port, &server.ca_file(), &alice());
        assert_eq!(alice.query("SELECT 1").value(), "1");
        wait_for("each connection to the replica is watched", SOON, || {
            let watched = keepalives(server.port);
            (watched.len() > 1 && watched.iter().filter(|is_asked| **is_asked).count() > 1).then_some(())
        });
    }
}
