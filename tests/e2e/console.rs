//! The operator console: operators see and steer the daemon from any client, reach no data
//! of the replica's, and each of their statements is in the ledger before its answer.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use readgate_tests::config::{make_operators, set};
use readgate_tests::place::wait_for;
use readgate_tests::protocol::capability;
use readgate_tests::raw::{Login, RawClient};
use readgate_tests::readgate::{Readgate, run};
use readgate_tests::server::Flavour;
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, USER_PASSWORD, login_at};

use crate::clients::{Target, command_line};

const SOON: Duration = Duration::from_secs(10);

/// A daemon of the test's own, in which olga and dora are operators.
pub(crate) fn daemon(stage: &Stage, name: &str) -> Readgate {
    let (directory, mut config) = stage.own_config(name);
    make_operators(&mut config, &[1, 3]);
    set(&mut config, "identities.file", directory.join("ids.db").display().to_string());
    set(&mut config, "identities.refresh", "500ms");
    set(&mut config, "limits.write_timeout", "29500ms");
    set(&mut config, "limits.idle_timeout", "9m");
    Readgate::start(&directory, config)
}

/// All rows as text; NULL as nothing.
fn rows(client: &mut RawClient, sql: &str) -> Vec<Vec<String>> {
    let response = client.query(sql);
    if let Some(error) = response.error() {
        panic!("{sql}: {error}");
    }
    let text = |cell: Option<Vec<u8>>| String::from_utf8(cell.unwrap_or_default()).unwrap();
    response.rows().into_iter().map(|row| row.into_iter().map(text).collect()).collect()
}

fn one(client: &mut RawClient, sql: &str) -> String {
    rows(client, sql)[0][0].clone()
}

/// What the command line client prints for a query.
fn printed(client: &str, stage: &Stage, readgate: &Readgate, sql: &str) -> String {
    let target = Target { port: readgate.port, user: "olga", password: USER_PASSWORD };
    let mut command = command_line(client, stage, &target);
    let output = command.args(["--batch", "-e", sql]).output().expect("the client starts");
    assert!(output.status.success(), "{client}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

on_both! {
    fn operators_see_sessions_statements_refusals_and_denials(stage) {
        let readgate = daemon(stage, "console-sees");
        let mut alice = stage.enter(&readgate, "alice");
        for number in 0..5 {
            alice.query(format!("SELECT 'secret-{number}', COUNT(*) FROM clinical.studies")).expect_ok();
        }
        alice.query("DELETE FROM clinical.studies WHERE title = 'secret-title'").expect_error();
        let mut stranger = RawClient::connect(readgate.port).unwrap();
        let wrong = Login::user("nobody-here", "wrong");
        stranger.start_tls(&stage.ca_file(), &wrong).unwrap();
        stranger.login(&wrong).unwrap_err();

        let mut olga = stage.enter(&readgate, "olga");
        let sessions = rows(&mut olga, "SELECT user, role FROM sessions ORDER BY user");
        assert_eq!(sessions, [["alice", "default"], ["olga", "operator"]]);
        let statement = "SELECT count, errors, row_count, shape FROM readgate.statements WHERE shape LIKE '%studies%'";
        let seen = rows(&mut olga, statement);
        assert_eq!((seen.len(), &seen[0][..3]), (1, &["5".to_owned(), "0".to_owned(), "5".to_owned()][..]));
        assert!(!seen[0][3].contains("secret"), "values are left out: {}", seen[0][3]);
        let refused = rows(&mut olga, "SELECT user, kind, shape FROM refusals");
        assert_eq!((refused[0][0].as_str(), refused[0][1].as_str()), ("alice", "write"));
        assert!(!refused[0][2].contains("secret"), "{}", refused[0][2]);
        let denied = one(&mut olga, "SELECT COUNT(*) FROM denials WHERE user = 'nobody-here' AND ending = 'login_denied'");
        assert_eq!(denied, "1");
        let ms = one(&mut olga, "SELECT p50_ms <= p95_ms AND p95_ms <= p99_ms AND p50_ms > 0 FROM statements WHERE count = 5");
        assert_eq!(ms, "1");
        for (sql, expected) in [
            ("SELECT COUNT(*) FROM users", "4"),
            ("SELECT operator FROM roles WHERE name = 'operator'", "1"),
            ("SELECT COUNT(*) > 0 FROM sources", "1"),
            ("SELECT up FROM replicas", "1"),
            ("SELECT value FROM config WHERE name = 'limits.connections' OR name = 'replica.account.user'", "\"readonly_shared\""),
            ("SELECT COUNT(*) > 5 FROM limits", "1"),
            ("SELECT value FROM limits WHERE name = 'write_timeout'", "29.5"),
            ("SELECT value FROM limits WHERE name = 'idle_timeout'", "540"),
            ("SELECT value FROM metrics WHERE name = 'readgate_ledger_up'", "1"),
            ("SELECT fault IS NULL AND last_sequence > 5 FROM ledger", "1"),
        ] {
            assert_eq!(one(&mut olga, sql), expected, "{sql}");
        }
        let verifiers = "SELECT COUNT(*) FROM config WHERE value LIKE '%$A$%' OR value LIKE '%secret%' AND value <> '(secret)'";
        assert_eq!(one(&mut olga, verifiers), "0", "secrets are masked");
        let tail = "SELECT COUNT(*) FROM ledger_tail WHERE event = 'refusal' AND user = 'alice'";
        wait_for("the ledger's file has the refusal", SOON, || (one(&mut olga, tail) == "1").then_some(()));
    }

    fn each_statement_of_an_operator_is_recorded_and_none_reaches_the_replica(stage) {
        let readgate = daemon(stage, "console-records");
        let mut olga = stage.enter(&readgate, "olga");
        assert_eq!(one(&mut olga, "SELECT 'mark of the operator'"), "mark of the operator");
        let intent = readgate.record("intent", |record| {
            record["text"] == "SELECT 'mark of the operator'" && record["user"] == "olga"
        });
        assert_eq!((&intent["replica"], &intent["kind"]), (&"console".into(), &"console".into()));
        let outcome = readgate.record("outcome", |record| record["intent"] == intent["seq"]);
        assert_eq!((&outcome["end"], &outcome["rows"]), (&"ok".into(), &1.into()));
        for sql in ["SELECT * FROM clinical.studies", "SELECT * FROM studies", "USE clinical", "DELETE FROM sessions",
            "PRAGMA database_list", "ATTACH '/tmp/x' AS x", "SET PASSWORD = 'x'", "SELECT load_extension('x')",
            "EXPLAIN SELECT 1", "CREATE TABLE x (a INT)"] {
            olga.query(sql).expect_error();
            let masked = sql.replace("= 'x'", "= '***'");
            readgate.record("intent", |record| record["text"] == masked.as_str());
        }
        let prepared = olga.prepare("SELECT 'prepared mark of the operator', ?").unwrap();
        assert_eq!((prepared.columns, prepared.parameters), (2, 1));
        let executed = olga.execute(&prepared, 0, b"\x00\x01\xfd\x00\x05value");
        assert!(executed.error().is_none());
        let prepare = readgate.record("intent", |record| {
            record["text"] == "SELECT 'prepared mark of the operator', ?" && record["command"] == "prepare"
        });
        let execution = readgate.record("intent", |record| record["prepared"]["intent"] == prepare["seq"]);
        assert_eq!(execution["binds"][0]["value"], "value", "{execution}");
        readgate.record("outcome", |record| record["intent"] == execution["seq"] && record["rows"] == 1);
        let log = stage.server.general_log();
        assert!(!log.contains("mark of the operator"), "the replica has seen it");
        // MariaDB's clients have no query attributes.
        if stage.server.flavour == Flavour::MySql {
            let login = Login::user("olga", USER_PASSWORD).with(capability::QUERY_ATTRIBUTES);
            let mut told = login_at(readgate.port, &stage.ca_file(), &login);
            told.query(b"\x01\x01\x00\x01\xfe\x00\x06reader\x04ZoraSELECT 'for Zora'").expect_ok();
            let intent = readgate.record("intent", |record| record["text"] == "SELECT 'for Zora'");
            assert_eq!(intent["attributes"][0]["value"], "Zora", "{intent}");
        }
        let id = one(&mut olga, "SELECT CONNECTION_ID()");
        let held = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id}");
        let mut direct = stage.direct();
        wait_for("nothing is held on the replica", SOON, || {
            (direct.query(&held).value() == "0").then_some(())
        });
    }

    fn operators_kill_lock_and_reload(stage) {
        let readgate = daemon(stage, "console-orders");
        let mut olga = stage.enter(&readgate, "olga");
        let mut alice = stage.enter(&readgate, "alice");
        let id = one(&mut olga, "SELECT id FROM sessions WHERE user = 'alice'");
        assert_eq!(olga.query("KILL 4000000").expect_error().code, 1094);
        olga.query(format!("KILL {id}")).expect_ok();
        wait_for("alice's session ends", SOON, || alice.try_query("SELECT 1").is_err().then_some(()));
        readgate.record("kill", |record| record["user"] == "olga" && record["target"].as_u64() == id.parse().ok());

        let advice = olga.query("LOCK USER alice REASON 'left'").expect_error();
        assert!(advice.message.contains("stands in the configuration"), "{advice}");
        assert!(olga.query("LOCK USER nobody").expect_error().message.contains("there is no user"));
        let config = readgate.directory.join("proxy.toml");
        let path = config.display().to_string();
        let added = run(&["user", "add", "bob", "--full-name", "Bob Builder", "--reason", "new", "--config", &path], "");
        assert!(added.status.success(), "{added:?}");
        wait_for("bob is known", SOON, || {
            (one(&mut olga, "SELECT COUNT(*) FROM users WHERE name = 'bob'") == "1").then_some(())
        });
        olga.query("LOCK USER bob REASON 'leaves the company'").expect_ok();
        assert_eq!(one(&mut olga, "SELECT status FROM users WHERE name = 'bob'"), "disabled");
        let change = readgate.record("access_change", |record| record["reason"] == "leaves the company");
        assert!(change["by"].as_str().unwrap().starts_with("operator:olga from 127.0.0.1"), "{change}");
        olga.query("UNLOCK USER bob").expect_ok();
        assert_eq!(one(&mut olga, "SELECT status FROM users WHERE name = 'bob'"), "enabled");
        // Nothing can be written where that stands.
        let in_the_way = readgate.directory.join("ledger/identities.position.new/x");
        std::fs::create_dir_all(&in_the_way).unwrap();
        let locked = olga.query("LOCK USER bob REASON 'for good'").expect_error();
        assert!(locked.message.contains("bob is disabled; the rest is tried again"), "{locked}");
        assert_eq!(one(&mut olga, "SELECT status FROM users WHERE name = 'bob'"), "disabled");
        std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
        readgate.record("access_change", |record| record["reason"] == "for good");

        olga.query("RELOAD").expect_ok();
        let good = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("nonsense = 1\n{good}")).unwrap();
        let refused = olga.query("RELOAD").expect_error();
        assert!(refused.message.contains("the one in force stays"), "{refused}");
        assert_eq!(one(&mut olga, "SELECT 1"), "1");
    }

    fn the_judge_explains_itself(stage) {
        let readgate = daemon(stage, "console-judge");
        let mut olga = stage.enter(&readgate, "olga");
        let explained = rows(&mut olga, "EXPLAIN JUDGE 'DELETE FROM clinical.studies'");
        assert_eq!(explained[0], ["verdict", "reject"]);
        let explained = rows(&mut olga, "EXPLAIN JUDGE 'SELECT ''x'' FROM clinical.studies' FOR ROLE operator;");
        assert_eq!(explained[0], ["verdict", "allow"]);
        olga.query("EXPLAIN JUDGE 'SELECT 1' FOR ROLE nobody").expect_error();
        assert!(rows(&mut olga, "HELP").len() > 5);
    }

    fn drain_ends_the_daemon_in_good_order(stage) {
        let mut readgate = daemon(stage, "console-drain");
        let mut olga = stage.enter(&readgate, "olga");
        olga.query("DRAIN").expect_ok();
        let ended = wait_for("the daemon ends", SOON, || readgate.ended());
        assert_eq!(ended.code(), Some(0));
    }

    fn the_command_line_clients_work(stage) {
        let readgate = daemon(stage, "console-cli");
        for client in ["mysql", "mariadb"] {
            let of = |sql: &str| printed(client, stage, &readgate, sql);
            let help = of("help orders");
            assert!(help.contains("EXPLAIN JUDGE 'sql'") && help.contains("DRAIN"), "{client}: {help}");
            assert!(of("SHOW TABLES").contains("sessions\n"));
            assert!(of("SHOW DATABASES").contains("readgate\n"));
            assert!(of("USE readgate; DESCRIBE sessions").contains("since\tdatetime"));
            assert!(of("SHOW FULL COLUMNS FROM readgate.users LIKE 'na%'").contains("name\ttext"));
            assert!(of("SHOW VARIABLES LIKE 'version_comment'").contains("operator console"));
            let sessions = of("SELECT user, DATABASE() AS d FROM sessions WHERE since <= NOW() LIMIT 1");
            assert_eq!(sessions, "user\td\nolga\treadgate\n", "{client}");
        }
    }

    fn what_tools_send_at_connect_is_answered(stage) {
        let readgate = daemon(stage, "console-tools");
        let mut olga = stage.enter(&readgate, "olga");
        for sql in TOOLS {
            let response = olga.query(sql);
            if let Some(error) = response.error() {
                panic!("{sql}: {error}");
            }
        }
        assert_eq!(one(&mut olga, "select @@version_comment limit 1"), "readgate operator console");
        // Grafana: a time series from the console's own tables.
        let series = "SELECT UNIX_TIMESTAMP(since) DIV 60 * 60 AS time, COUNT(*) AS value FROM sessions \
            WHERE since BETWEEN FROM_UNIXTIME(1700000000) AND FROM_UNIXTIME(4000000000) GROUP BY 1 ORDER BY 1";
        assert_eq!(rows(&mut olga, series)[0][1], "1");
    }

    fn pymysql_reads_the_console(stage) {
        let readgate = daemon(stage, "console-pymysql");
        let Some(python) = std::env::var_os("READGATE_TEST_PYTHON") else {
            panic!("READGATE_TEST_PYTHON names a Python with PyMySQL");
        };
        let program = "import os, pymysql\n\
            c = pymysql.connect(host='127.0.0.1', port=int(os.environ['PORT']), user='dora', password=os.environ['PASSWORD'], database='readgate', ssl_ca=os.environ['CA'], cursorclass=pymysql.cursors.DictCursor)\n\
            q = c.cursor()\n\
            q.execute('SELECT user, since, seconds FROM sessions WHERE user = %s', ('dora',))\n\
            row = q.fetchone()\n\
            print(row['user'], type(row['since']).__name__, type(row['seconds']).__name__)\n";
        let output = Command::new(PathBuf::from(python))
            .args(["-c", program])
            .env("PORT", readgate.port.to_string())
            .env("PASSWORD", DRIVER_PASSWORD)
            .env("CA", stage.ca_file())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "dora datetime int\n", "{output:?}");
    }
}

/// Statements of MySQL Workbench, DBeaver, Connector/J (both makes), Grafana, the Go and Node
/// drivers, as they send them before a user has typed anything.
const TOOLS: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET CHARACTER SET utf8",
    "SET SQL_SAFE_UPDATES=1",
    "SET autocommit=1",
    "SET @@session.sql_mode = 'STRICT_TRANS_TABLES'",
    "SELECT current_user()",
    "SELECT CONNECTION_ID()",
    "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
    "SHOW SESSION VARIABLES LIKE 'lower_case_table_names'",
    "SHOW SESSION VARIABLES LIKE 'sql_mode'",
    "SHOW SESSION VARIABLES LIKE 'version_comment'",
    "SHOW SESSION VARIABLES LIKE 'version'",
    "SHOW DATABASES",
    "SHOW PLUGINS",
    "SELECT DATABASE()",
    "/* mysql-connector-j-9.1.0 (Revision: x) */SELECT  @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@character_set_connection AS character_set_connection, @@character_set_results AS character_set_results, @@character_set_server AS character_set_server, @@collation_server AS collation_server, @@collation_connection AS collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, @@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, @@net_write_timeout AS net_write_timeout, @@performance_schema AS performance_schema, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS transaction_isolation, @@wait_timeout AS wait_timeout",
    "select @@max_allowed_packet, @@system_time_zone, @@time_zone, @@auto_increment_increment, @@sql_mode",
    "set session sql_mode=concat(@@sql_mode,',STRICT_TRANS_TABLES'), names utf8mb4",
    "/* ApplicationName=DBeaver 24.1.0 - Main */ SET SESSION TRANSACTION READ ONLY",
    "/* ApplicationName=DBeaver 24.1.0 - Main */ SELECT @@GLOBAL.character_set_server,@@GLOBAL.collation_server",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW ENGINES",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW CHARSET",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW COLLATION",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW FULL TABLES FROM `readgate`",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW TABLE STATUS FROM `readgate`",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SELECT * FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = 'information_schema' AND t.TABLE_NAME = 'CHECK_CONSTRAINTS'",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW FULL COLUMNS FROM `sessions` FROM `readgate`",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW CREATE TABLE `readgate`.`sessions`",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SHOW INDEX FROM `sessions` FROM `readgate`",
    "/* ApplicationName=DBeaver 24.1.0 - Metadata */ SELECT * FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'readgate' ORDER BY ROUTINE_NAME",
    "SHOW FULL TABLES WHERE Table_type <> 'VIEW'",
    "SHOW PROCEDURE STATUS WHERE Db='readgate'",
    "SHOW WARNINGS",
    "SHOW GRANTS",
    "SHOW PROCESSLIST",
    "SELECT DISTINCT TABLE_SCHEMA from information_schema.TABLES where TABLE_TYPE != 'SYSTEM VIEW' ORDER BY TABLE_SCHEMA",
    "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'readgate' ORDER BY TABLE_NAME",
    "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'readgate' AND table_name = 'sessions' ORDER BY column_name",
    "START TRANSACTION",
    "SELECT 1 FROM DUAL",
    "ROLLBACK",
    "/*!40101 SET NAMES utf8 */",
    "SELECT 1",
];
