//! Listed routines run with their definers' rights, and may set what users may not: what they
//! leave of a session, before it goes on.

use std::time::Duration;

use readgate_tests::config::{set, set_roles};
use readgate_tests::place::wait_for;
use readgate_tests::raw::{Login, RawClient, capability};
use readgate_tests::readgate::Readgate;
use readgate_tests::server::{ADMIN_PASSWORD, Flavour, SHARED_PASSWORD};
use readgate_tests::stage::{DRIVER_PASSWORD, Stage, USER_PASSWORD, login_at};
use serde_json::{Value, json};

const REFUSED: u16 = 1290;
const USER_LIMIT_REACHED: u16 = 1226;
const READ_ONLY_TRANSACTION: u16 = 1792;
const NOT_AVAILABLE: u16 = 3168;
const NOT_OWNER: u16 = 1095;
const UNSUPPORTED_PS: u16 = 1295;
const FIELD_LIST: u8 = 4;

/// In a schema of the test's own, under an account that no other test has:
const ROUTINES: &[&str] = &[
    "CREATE TABLE t (a INT) ENGINE=InnoDB",
    "CREATE PROCEDURE writes() INSERT INTO t VALUES (1)",
    "CREATE PROCEDURE loosen() SET SESSION TRANSACTION READ WRITE",
    "CREATE PROCEDURE loosen_next() SET TRANSACTION READ WRITE",
    "CREATE PROCEDURE begins() START TRANSACTION READ WRITE",
    "CREATE FUNCTION loosened() RETURNS INT READS SQL DATA BEGIN \
     SET SESSION TRANSACTION READ WRITE; RETURN 1; END",
    "CREATE PROCEDURE fails() BEGIN SET SESSION TRANSACTION READ WRITE; \
     SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'of the routine'; END",
    "CREATE PROCEDURE long_one() BEGIN SET SESSION TRANSACTION READ WRITE; \
     PREPARE s FROM 'SELECT 2'; SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4; END",
    "CREATE PROCEDURE unlimits() BEGIN /*M! SET SESSION max_statement_time = 0; */ END",
    // In another schema, if the server prepares it.
    "CREATE PROCEDURE moves() BEGIN PREPARE m FROM 'USE clinical'; EXECUTE m; END",
    // The same beyond the time that a statement has, which its definer's rights let nobody stop.
    "CREATE PROCEDURE moves_late() BEGIN PREPARE m FROM 'USE clinical'; EXECUTE m; DO SLEEP(6); END",
    // So much that servers send it before they go on.
    "CREATE PROCEDURE slow_end() BEGIN SELECT REPEAT('x', 60000) FROM \
     (SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) AS rows_; DO SLEEP(5); END",
];

/// A daemon of the test's own whose users may run these, and what its results may hold.
fn daemon(stage: &Stage, schema: &str) -> Readgate {
    let (directory, mut config) = stage.own_config(schema);
    let login = Login::user("admin", ADMIN_PASSWORD);
    let mut admin = login_at(stage.server.port, &stage.ca_file(), &login);
    let schema_of_its_own = [
        format!("DROP DATABASE IF EXISTS {schema}"),
        format!("CREATE DATABASE {schema}"),
        format!("CREATE USER IF NOT EXISTS {schema} IDENTIFIED BY '{SHARED_PASSWORD}'"),
        format!("GRANT SELECT, PROCESS, REPLICATION CLIENT ON *.* TO {schema}"),
        format!("GRANT EXECUTE ON {schema}.* TO {schema}"),
        format!("USE {schema}"),
    ];
    schema_of_its_own.iter().for_each(|sql| admin.query(sql).expect_ok());
    ROUTINES.iter().for_each(|sql| admin.query(sql).expect_ok());
    set(&mut config, "replica.account.user", schema);
    let roles = "[[role]]\nname = \"brief\"\nresult_rows = 3\n[[role]]\nname = \"operator\"\noperator = true\n\
                 [[role]]\nname = \"narrow\"\nschemas = [\"SCHEMA\"]\n\
                 statement_timeout = \"2s\"\n";
    set_roles(&mut config, &roles.replace("SCHEMA", schema));
    set(&mut config, "user.0.role", "brief");
    set(&mut config, "user.1.role", "operator");
    set(&mut config, "user.3.role", "narrow");
    let listed = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("{schema}.{name}")).collect()
    };
    set(&mut config, "functions.allow", listed(&["loosened"]));
    let calls = [
        "writes",
        "loosen",
        "loosen_next",
        "begins",
        "fails",
        "long_one",
        "slow_end",
        "moves",
        "moves_late",
        "unlimits",
    ];
    set(&mut config, "functions.call", listed(&calls));
    Readgate::start(&directory, config)
}

fn enter(stage: &Stage, readgate: &Readgate, schema: &str) -> RawClient {
    let login = Login::user("alice", USER_PASSWORD).in_schema(schema);
    login_at(readgate.port, &stage.ca_file(), &login)
}

on_both! {
    fn no_statement_behind_a_routine_may_write(stage) {
        let schema = "routine_guard";
        let readgate = daemon(stage, schema);
        for loosening in [
            "CALL loosen()",
            "CALL loosen_next()",
            "SELECT loosened()",
            "SELECT 1, loosened()",
            "PREPARE p FROM 'CALL loosen()'; EXECUTE p",
            "CALL fails()",
            "CALL long_one()",
        ] {
            // The second time the judge knows the text.
            for _ in 0..3 {
                let mut alice = enter(stage, &readgate, schema);
                let mut last = None;
                for statement in loosening.split("; ") {
                    last = alice.query(statement).error().map(|error| error.code);
                }
                let expected = match loosening {
                    "CALL fails()" => Some(1644),
                    "CALL long_one()" => Some(USER_LIMIT_REACHED),
                    _ => None,
                };
                assert_eq!(last, expected, "{loosening}");
                // In MySQL what a function has set counts from the next transaction on.
                alice.query("SELECT COUNT(*) FROM t").expect_ok();
                let error = alice.query("CALL writes()").expect_error();
                assert_eq!(error.code, READ_ONLY_TRANSACTION, "{loosening}: {error}");
                assert_eq!(alice.query("SELECT COUNT(*) FROM t").value(), "0", "{loosening}");
            }
        }
        let mut alice = enter(stage, &readgate, schema);
        for loosening in ["CALL loosen()", "SELECT loosened()"] {
            let loosening = alice.prepare(loosening).unwrap();
            alice.execute(&loosening, 0, &[]).expect_ok();
            let error = alice.query("CALL writes()").expect_error();
            assert_eq!(error.code, READ_ONLY_TRANSACTION);
        }
    }

    fn what_is_behind_a_routine_is_judged_in_the_schema_that_it_left(stage) {
        let schema = "routine_moves";
        let readgate = daemon(stage, schema);
        let table = "SELECT COUNT(*) FROM studies";
        let login = Login::user("dora", DRIVER_PASSWORD).in_schema(schema);
        let login = login.with(capability::LONG_FLAG | capability::MULTI_STATEMENTS);
        let as_dora = || login_at(readgate.port, &stage.ca_file(), &login);
        let moves = as_dora().query("CALL moves()").error().map(|error| error.code);
        // MySQL prepares no USE.
        assert_eq!(moves, (stage.server.flavour == Flavour::MySql).then_some(UNSUPPORTED_PS));
        if moves.is_some() {
            return;
        }
        let mut dora = as_dora();
        dora.query("CALL moves()").expect_ok();
        assert_eq!(dora.query(table).expect_error().code, REFUSED);
        let refusal = readgate.record("refusal", |record| record["text"] == table);
        assert_eq!((&refusal["rule"], &refusal["schema"]), (&json!("schema"), &json!("clinical")));
        let mut dora = as_dora();
        dora.query("CALL moves()").expect_ok();
        assert_eq!(dora.query("SHOW WARNINGS").rows().len(), 0, "asked for first");
        assert_eq!(dora.prepare(table).unwrap_err().code, REFUSED);
        let mut dora = as_dora();
        dora.query("CALL moves()").expect_ok();
        assert_eq!(dora.simple(FIELD_LIST, b"studies\0")[1..3], REFUSED.to_le_bytes());
        let mut dora = as_dora();
        let both = dora.query(format!("CALL moves(); SELECT 1; {table}"));
        assert_eq!(both.expect_error().code, REFUSED);
        let refusal = readgate.record("refusal", |record| record["rule"] == "moved_by_routine");
        assert_eq!(refusal["text"], format!(" {table}"));
        assert_eq!(dora.query(table).expect_error().code, REFUSED);
        // One that could not be stopped in its time is asked for its end, and what it left is no
        // less held against the rest of its text.
        let mut dora = as_dora();
        let late = dora.query("CALL unlimits(); CALL moves_late(); SELECT 1 FROM studies");
        assert_eq!(late.expect_error().code, REFUSED);
        let refusal = readgate.record("refusal", |record| record["text"] == " SELECT 1 FROM studies");
        assert_eq!(refusal["rule"], "moved_by_routine");
        let seen = readgate.ledger().into_iter().filter(|record| {
            record["event"] == "intent" && record["text"].as_str().is_some_and(|text| text.contains("studies"))
        });
        assert_eq!(seen.count(), 0);
        // Who may read both schemas goes on in the other one.
        let mut alice = enter(stage, &readgate, schema);
        alice.query("CALL moves()").expect_ok();
        alice.query(table).expect_ok();
        let intent = readgate.record("intent", |record| record["text"] == table);
        assert_eq!(intent["schema"], "clinical");
        assert_eq!(alice.query("SELECT DATABASE()").value(), "clinical");
    }

    fn a_session_in_a_transaction_that_may_write_ends(stage) {
        let schema = "routine_transaction";
        let readgate = daemon(stage, schema);
        let mut alice = enter(stage, &readgate, schema);
        alice.query("CALL begins()").expect_ok();
        let error = alice.query("CALL writes()").expect_error();
        assert_eq!(error.code, NOT_AVAILABLE, "{error}");
        assert!(alice.is_closed());
        assert_eq!(stage.direct().query(format!("SELECT COUNT(*) FROM {schema}.t")).value(), "0");
        // One that only reads goes on.
        let mut alice = enter(stage, &readgate, schema);
        alice.query("START TRANSACTION WITH CONSISTENT SNAPSHOT").expect_ok();
        alice.query("SELECT loosened()").expect_ok();
        assert_eq!(alice.query("SELECT COUNT(*) FROM t").value(), "0");
        alice.query("SET autocommit = 0").expect_ok();
        alice.query("SELECT loosened(), COUNT(*) FROM t").expect_ok();
        let error = alice.query("CALL writes()").expect_error();
        assert_eq!(error.code, READ_ONLY_TRANSACTION, "{error}");
    }

    fn what_a_routine_left_can_be_asked_for(stage) {
        let schema = "routine_diagnostics";
        let readgate = daemon(stage, schema);
        let mut alice = enter(stage, &readgate, schema);
        let warning = "SELECT loosened(), CAST('x' AS SIGNED)";
        alice.query(warning).expect_ok();
        for asking in ["SHOW WARNINGS", "SHOW WARNINGS LIMIT 1", "SHOW COUNT(*) WARNINGS"] {
            assert_eq!(alice.query(asking).rows().len(), 1, "{asking}");
        }
        let three = "SELECT SQL_CALC_FOUND_ROWS loosened(), a FROM \
                     (SELECT 1 AS a UNION SELECT 2 UNION SELECT 3) AS t LIMIT 1";
        alice.query(three).expect_ok();
        assert_eq!(alice.query("SELECT FOUND_ROWS() AS n").value(), "3");
        assert_eq!(alice.query("CALL fails()").expect_error().code, 1644);
        assert_eq!(alice.query("SHOW ERRORS").rows().len(), 1);
        let error = alice.query("CALL writes()").expect_error();
        assert_eq!(error.code, READ_ONLY_TRANSACTION, "{error}");
    }

    fn a_routine_that_is_its_definers_to_stop_ends_by_itself(stage) {
        let schema = "routine_not_ours";
        let readgate = daemon(stage, schema);
        let mut alice = enter(stage, &readgate, schema);
        let id = alice.query("SELECT CONNECTION_ID()").value();
        alice.send_command(3, b"CALL slow_end()").unwrap();
        readgate.record("intent", |record| record["text"] == "CALL slow_end()");
        wait_for("the routine sleeps", Duration::from_secs(30), || {
            let sleeps = "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'DO SLEEP(5)'";
            (stage.server.sql(sleeps).trim() == "1").then_some(())
        });
        let error = enter(stage, &readgate, schema).query(format!("KILL QUERY {id}")).expect_error();
        assert_eq!(error.code, NOT_OWNER, "{error}");
        // An operator's is as little use.
        let mut olga = stage.enter(&readgate, "olga");
        let error = olga.query(format!("KILL QUERY {}", alice.greeting.connection_id)).expect_error();
        assert!(error.message.contains("definer's rights"), "{error}");
        for user in ["alice", "olga"] {
            let is_not = |kill: &Value| kill["result"].as_str().is_some_and(|said| said.starts_with("not "));
            let kill = readgate.record("kill", |kill| kill["user"] == user && is_not(kill));
            let why = "not killed: the account may not stop a routine that runs with its definer's rights";
            assert_eq!(kill["result"], why);
        }
        assert_eq!(alice.read_response().unwrap().expect_error().code, USER_LIMIT_REACHED);
        assert_eq!(alice.query("SELECT 1").value(), "1", "the session goes on");
    }

    fn names_prepared_before_a_routine_are_unknown_behind_one_that_was_stopped(stage) {
        let schema = "routine_names";
        let readgate = daemon(stage, schema);
        let mut alice = enter(stage, &readgate, schema);
        alice.query("PREPARE s FROM 'SELECT 1'").expect_ok();
        assert_eq!(alice.query("CALL long_one()").expect_error().code, USER_LIMIT_REACHED);
        assert_eq!(alice.query("EXECUTE s").expect_error().code, REFUSED);
    }
}
