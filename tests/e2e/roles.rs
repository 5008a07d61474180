//! What a role lets its users see: its schemas, its functions, and nobody else's sessions.

use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::place::wait_for;
use readgate_tests::protocol::lenenc;
use readgate_tests::raw::{Login, RawClient, Response, ServerError};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{Flavour, Server};
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at, try_login_at};

const REFUSED: u16 = 1290;
const INIT_DB: u8 = 0x02;

const ROLES: &str = "
[[role]]
name = \"narrow\"
schemas = [\"clinical\"]
functions = [\"GET_LOCK\", \"RELEASE_LOCK\"]
[[role]]
name = \"open\"
see_others = true
";

/// A daemon of the test's own: alice in the role `narrow`, olga in `open`.
fn daemon(stage: &Stage, name: &str) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    set_roles(&mut config, ROLES);
    set(&mut config, "functions.sleep_max", "1s");
    set(&mut config, "user.0.role", "narrow");
    set(&mut config, "user.1.role", "open");
    Readgate::start(&directory, config)
}

fn refused(client: &mut RawClient, sql: &str) {
    let error = client.query(sql).expect_error();
    assert_eq!((error.code, error.state.as_str()), (REFUSED, "HY000"), "{sql}: {error}");
}

/// Whether that connection has closed a prepared statement.
fn closed_at_the_replica(stage: &Stage, connection: &str) -> bool {
    let log = stage.server.general_log();
    log.lines().any(|line| line.contains(&format!("{connection} Close stmt")))
}

/// Names and types of a result's columns.
fn columns(response: &Response) -> Vec<(String, u8)> {
    let count = usize::from(response.payloads[0][0]);
    response.payloads[1..=count].iter().map(|definition| column(definition)).collect()
}

fn column(definition: &[u8]) -> (String, u8) {
    let mut rest = definition;
    let mut texts = Vec::new();
    for _ in 0..6 {
        let (length, after) = lenenc(rest);
        let (text, after) = after.split_at(usize::try_from(length.unwrap()).unwrap());
        texts.push(String::from_utf8_lossy(text).into_owned());
        rest = after;
    }
    // A length, character set (2), column length (4), type.
    (texts.swap_remove(4), rest[7])
}

fn ids(response: &Response) -> Vec<String> {
    let id = |row: Vec<Option<Vec<u8>>>| String::from_utf8(row[0].clone().unwrap()).unwrap();
    response.rows().into_iter().map(id).collect()
}

on_both! {
    fn a_role_reads_its_schemas_and_no_others(stage) {
        stage.server.sql("CREATE DATABASE IF NOT EXISTS other");
        stage.server.sql("CREATE TABLE IF NOT EXISTS other.mark_table (a INT)");
        let readgate = daemon(stage, "role-schemas");
        let mut alice = stage.enter(&readgate, "alice");
        for sql in [
            "SELECT COUNT(*) FROM clinical.studies AS other",
            "SELECT COUNT(other.title) FROM clinical.studies AS other",
            "SELECT COUNT(*) FROM information_schema.tables",
            "SHOW TABLES FROM clinical",
            "USE clinical",
            "SELECT COUNT(*) FROM studies",
        ] {
            alice.query(sql).expect_ok();
        }
        for sql in [
            "SELECT * FROM other.mark_table",
            "SELECT * FROM studies, other.mark_table",
            "SELECT * FROM studies /*! JOIN other.mark_table */",
            "SELECT (SELECT MAX(a) FROM `other`.`mark_table`)",
            "SHOW CREATE TABLE other.mark_table",
            "DESCRIBE other.mark_table",
            "SHOW COLUMNS FROM mark_table FROM other",
            "CHECKSUM TABLE other.mark_table",
            "EXPLAIN SELECT * FROM other.mark_table",
            "USE other",
        ] {
            refused(&mut alice, sql);
        }
        assert_eq!(alice.simple(INIT_DB, b"other")[0], 0xff);
        assert!(alice.prepare("SELECT * FROM other.mark_table").is_err());
        assert_eq!(alice.query("SELECT DATABASE()").value(), "clinical");
        let log = stage.server.general_log();
        let seen = log.lines().find(|line| line.contains("mark_table") && !line.contains("CREATE"));
        assert_eq!(seen, None, "the replica has seen it");

        // To MariaDB another name of what it is called by.
        refused(&mut alice, "SELECT * FROM `#mysql50#sites`");
        assert_eq!(alice.simple(INIT_DB, b"#mysql50#clinical")[0], 0xff);
        for schema in ["other", "#mysql50#clinical"] {
            let login = Login::user("alice", USER_PASSWORD).in_schema(schema);
            let error = try_login_at(readgate.port, &stage.ca_file(), &login).unwrap_err();
            assert_eq!(error.code, 1044, "{schema}");
        }
    }

    fn a_role_adds_functions_to_the_general_ones(stage) {
        let readgate = daemon(stage, "role-functions");
        let (mut alice, mut olga) =
            (stage.enter(&readgate, "alice"), stage.enter(&readgate, "olga"));
        assert_eq!(alice.query("SELECT GET_LOCK('readgate', 0)").value(), "1");
        assert_eq!(alice.query("SELECT RELEASE_LOCK('readgate')").value(), "1");
        refused(&mut alice, "SELECT RELEASE_ALL_LOCKS()");
        refused(&mut olga, "SELECT GET_LOCK('readgate', 0)");
        for client in [&mut alice, &mut olga] {
            client.query("SELECT SLEEP(0.01)").expect_ok();
            refused(client, "SELECT SLEEP(2)");
        }
    }

    fn others_sessions_are_hidden_unless_the_role_shows_them(stage) {
        let readgate = daemon(stage, "role-others");
        let (mut alice, mut olga) =
            (stage.enter(&readgate, "alice"), stage.enter(&readgate, "olga"));
        let mut second = stage.enter(&readgate, "alice");
        for sql in [
            "SELECT * FROM information_schema.PROCESSLIST",
            "SELECT * FROM performance_schema.threads",
            "SELECT * FROM performance_schema.events_statements_history",
            "SELECT * FROM information_schema.innodb_trx",
            "SELECT * FROM sys.session",
            "SHOW ENGINE INNODB STATUS",
        ] {
            refused(&mut alice, sql);
            let error = olga.query(sql).error();
            assert!(error.is_none_or(|error| error.code != REFUSED), "{sql}");
        }
        alice.query("SELECT COUNT(*) FROM performance_schema.setup_consumers").expect_ok();

        let own = |client: &mut RawClient| client.query("SELECT CONNECTION_ID()").value();
        let mut mine = vec![own(&mut alice), own(&mut second)];
        mine.sort_by_key(|id| id.parse::<u64>().unwrap());
        let others = own(&mut olga);
        for sql in ["SHOW PROCESSLIST", "SHOW FULL PROCESSLIST", "show /* x */ processlist"] {
            alice.query("SET sql_select_limit = 1").expect_ok();
            let listed = alice.query(sql);
            alice.query("SET sql_select_limit = DEFAULT").expect_ok();
            assert_eq!(ids(&listed), mine, "{sql}");
            assert_eq!(columns(&listed), columns(&stage.direct().query(sql)), "{sql}");
            assert!(ids(&olga.query(sql)).contains(&others), "{sql}");
        }
        let statement = alice.prepare("SHOW FULL PROCESSLIST").unwrap();
        let listed = alice.execute(&statement, 0, &[]);
        // Column count, definitions and two EOFs beside the rows.
        let rows = listed.payloads.len() - columns(&listed).len() - 3;
        assert_eq!(rows, 1, "a prepared list shows the asking session");
        alice.query("SET NAMES latin1").expect_ok();
        let listed = alice.execute(&statement, 0, &[]);
        assert!(listed.error().is_none(), "a prepared list goes on in another character set");
        alice.query("SET NAMES utf8mb4").expect_ok();
        refused(&mut alice, "PREPARE s FROM 'SHOW FULL PROCESSLIST'");
        if stage.server.flavour == Flavour::MariaDb {
            let sql = "SET STATEMENT max_statement_time = 1 FOR SHOW PROCESSLIST";
            assert_eq!(ids(&alice.query(sql)), mine);
        }
    }

    fn others_statements_neither_break_a_list_of_sessions_nor_show_in_its_error(stage) {
        // MySQL's own list breaks for all of a server's readers.
        let server = Server::start(stage.server.flavour, &stage.own_directory("listed_server"));
        server.load_sample();
        let (directory, mut config) = stage.own_config_for(&server, "listed");
        set(&mut config, "functions.sleep_max", "1h");
        let readgate = Readgate::start(&directory, config);
        let enter = |user| login_at(readgate.port, &server.ca_file(), &Login::user(user, USER_PASSWORD));
        let (mut runs, mut alice, mut olga) = (enter("alice"), enter("alice"), enter("olga"));
        runs.send_command(3, "SELECT SLEEP(600), '🐎 Smith'".as_bytes()).unwrap();
        let holds = |listed: &Response| {
            listed.raw_rows().any(|row| row.windows(5).any(|part| part == b"Smith"))
        };
        let own = wait_for("it runs", Duration::from_secs(30), || {
            let listed = alice.query("SHOW FULL PROCESSLIST");
            (listed.error().is_some() || holds(&listed)).then_some(listed)
        });
        own.expect_ok();
        for sql in ["SHOW PROCESSLIST", "SHOW FULL PROCESSLIST"] {
            let others = olga.query(sql);
            others.expect_ok();
            assert!(!holds(&others), "{sql}");
        }
        alice.query(format!("KILL QUERY {}", runs.greeting.connection_id)).expect_ok();
        runs.read_response().unwrap();
    }

    fn a_user_has_as_many_connections_as_the_role_says(stage) {
        let (directory, mut config) = stage.own_config("role-connections");
        set_roles(&mut config, "[[role]]\nname = \"reader\"\nconnections = 2");
        set(&mut config, "user.0.role", "reader");
        let readgate = Readgate::start(&directory, config);
        let _two = [stage.enter(&readgate, "alice"), stage.enter(&readgate, "alice")];
        let login = Login::user("alice", USER_PASSWORD);
        let error = try_login_at(readgate.port, &stage.ca_file(), &login).expect_err("a third one");
        assert_eq!(error.code, 1226, "{error}");
        stage.enter(&readgate, "olga");
    }

    fn a_role_that_a_reload_narrows_is_narrow_in_running_sessions_too(stage) {
        let (directory, mut config) = stage.own_config("narrowed");
        set_roles(&mut config, "[[role]]\nname = \"reader\"");
        set(&mut config, "user.0.role", "reader");
        let readgate = Readgate::start(&directory, config.clone());
        let mut alice = stage.enter(&readgate, "alice");
        let count = "SELECT COUNT(*) FROM clinical.sites";
        let (prepared, harmless) = (alice.prepare(count).unwrap(), alice.prepare("SELECT 1").unwrap());
        let sites = alice.query(count).value();
        let id = alice.query("SELECT CONNECTION_ID()").value();
        alice.execute(&prepared, 0, &[]).expect_ok();
        // So long a text is looked at elsewhere.
        let mut other = stage.enter(&readgate, "alice");
        let long = format!("{count} -- {}", "long ".repeat(10 << 10));
        let (long, short) = (other.prepare(&long).unwrap(), other.prepare("SELECT 1").unwrap());

        set(&mut config, "listener.0.address", format!("127.0.0.1:{}", readgate.port));
        set(&mut config, "ops.address", format!("127.0.0.1:{}", readgate.ops_port));
        set(&mut config, "role.0.schemas", vec!["elsewhere"]);
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        readgate.signal("HUP");
        readgate.reloaded(|_| true);
        refused(&mut alice, count);
        assert_eq!(alice.execute(&prepared, 0, &[]).expect_error().code, 1243);
        alice.execute(&harmless, 0, &[]).expect_ok();
        assert!(closed_at_the_replica(stage, &id), "alice's");
        assert_eq!(other.execute(&long, 0, &[]).expect_error().code, 1243);
        other.execute(&short, 0, &[]).expect_ok();
        assert_eq!(alice.query("SELECT 1").value(), "1");
        // Both policies are told apart in the records, and the wider one comes back as well.
        let of = |event: &str, text: &str| {
            readgate.record(event, |record| record["text"] == text)["policy"].clone()
        };
        assert_ne!(of("intent", count), of("refusal", count));
        set(&mut config, "role.0.schemas", vec!["clinical"]);
        std::fs::write(directory.join("proxy.toml"), config.to_string()).unwrap();
        readgate.signal("HUP");
        readgate.reloaded(|load| load["differences"].to_string().contains("clinical"));
        assert_eq!(alice.query(count).value(), sites);
    }

    fn a_result_over_a_limit_is_an_error_that_names_it_and_counts_what_was_sent(stage) {
        let (directory, mut config) = stage.own_config("over_limit");
        let role = "[[role]]\nname = \"brief\"\nresult_rows = 100\nbytes_per_day = \"1MiB\"";
        set_roles(&mut config, role);
        set(&mut config, "user.0.role", "brief");
        let readgate = Readgate::start(&directory, config);
        let mut alice = stage.enter(&readgate, "alice");
        let response = alice.query("SELECT * FROM clinical.lab_results");
        let error = response.expect_error();
        assert_eq!((error.code, error.state.as_str()), (1226, "42000"), "{error}");
        assert!(error.message.contains("'result_rows'"), "{error}");
        assert_eq!(response.rows().len(), 100, "what was sent before");
        let outcome = readgate.record("outcome", |record| record["end"] == "over_limit");
        assert_eq!(outcome["rows"], 100, "{outcome}");
        let sent: usize = response.payloads[..response.payloads.len() - 1].iter().map(|p| p.len() + 4).sum();
        assert_eq!(outcome["bytes"], sent, "{outcome}");
        assert_eq!(alice.query("SELECT 1").value(), "1", "the session goes on");
        // Many such results use the day up.
        let error = (0..1000).find_map(|_| {
            let error = alice.query("SELECT * FROM clinical.lab_results").expect_error();
            error.message.contains("'bytes_per_day'").then_some(error)
        });
        assert_eq!(error.map(|error| error.code), Some(1226), "the day's bytes are never used up");
        assert_eq!(alice.query("SELECT 2").expect_error().code, 1226);
        let refusal = readgate.record("refusal", |record| record["rule"] == "bytes_per_day");
        assert_eq!((&refusal["text"], &refusal["verdict"]), (&"SELECT 2".into(), &"refused".into()));
    }

    fn sessions_that_read_at_the_same_time_draw_from_one_day(stage) {
        const DAY: usize = 16 << 20;
        let (directory, mut config) = stage.own_config("one_day");
        set_roles(&mut config, "[[role]]\nname = \"brief\"\nbytes_per_day = \"16MiB\"");
        set(&mut config, "user.0.role", "brief");
        let readgate = Readgate::start(&directory, config);
        // Far more than lies in sockets, so that the first one waits for its client.
        let much = "SELECT REPEAT('x', 1000) FROM clinical.lab_results AS a, clinical.lab_results AS b LIMIT 100000";
        let mut alices = [(); 2].map(|()| stage.enter(&readgate, "alice"));
        alices[0].send_command(3, much.as_bytes()).unwrap();
        readgate.record("intent", |record| record["text"] == much);
        alices[1].send_command(3, much.as_bytes()).unwrap();
        let read = [1, 0].map(|index| {
            let response = alices[index].read_response().unwrap();
            assert!(response.expect_error().message.contains("'bytes_per_day'"));
            response.payloads.iter().map(|payload| payload.len() + 4).sum::<usize>()
        });
        // Either may have been handed a read's worth when the day ended.
        let together: usize = read.iter().sum();
        assert!(together > DAY - 4096 && together < DAY + (256 << 10), "{read:?}");
    }

    fn a_result_that_comes_through_a_cursor_keeps_to_the_limits_of_one(stage) {
        let (directory, mut config) = stage.own_config("cursor_limit");
        let roles = "[[role]]\nname = \"rows\"\nresult_rows = 100\n\
                     [[role]]\nname = \"bytes\"\nresult_bytes = \"4KiB\"";
        set_roles(&mut config, roles);
        set(&mut config, "user.0.role", "rows");
        set(&mut config, "user.1.role", "bytes");
        let readgate = Readgate::start(&directory, config);
        for (user, limit, most) in [("alice", "'result_rows'", 100), ("olga", "'result_bytes'", 4096)] {
            let mut client = stage.enter(&readgate, user);
            let statement = client.prepare("SELECT 'ten bytes.' FROM clinical.lab_results").unwrap();
            // The second execution's result is another one.
            for _ in 0..2 {
                client.execute(&statement, 1, b"").expect_ok();
                let pieces: Vec<_> = (0..100).map(|_| client.fetch(&statement, 30)).collect();
                let (rows, ends): (Vec<_>, Vec<_>) = pieces
                    .into_iter()
                    .flatten()
                    .partition(|payload| payload.first() == Some(&0));
                let got: usize = rows.iter().map(|row| if user == "alice" { 1 } else { row.len() + 4 }).sum();
                assert!(got <= most && got > most / 2, "{user} has got {got}");
                let error = ServerError::parse(ends.last().unwrap()).expect("an error");
                assert!(error.code == 1226 && error.message.contains(limit), "{error}");
                assert!(error.message.contains(&most.to_string()), "the role's own figure: {error}");
            }
            assert_eq!(client.query("SELECT 1").value(), "1", "the session goes on");
        }
    }
}
