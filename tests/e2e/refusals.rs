//! Writes are refused with an error that clients understand; nothing of them reaches the
//! replica, and the connection goes on.

use readgate_tests::server::Flavour;
use readgate_tests::stage::{Stage, stage};

/// Statements that must be refused; MARK stands for a text that is then looked for in the
/// replica's general log.
const REFUSED: &[&str] = &[
    "INSERT INTO clinical.studies VALUES (99, 'MARK', 'x', 'I', '2024-01-01', NULL, '{}')",
    "REPLACE INTO clinical.forms VALUES (1, 'MARK', 'x', NULL)",
    "UPDATE clinical.subjects SET arm = 'MARK'",
    "DELETE FROM clinical.adverse_events WHERE term = 'MARK'",
    "TRUNCATE TABLE clinical.MARK",
    "DROP TABLE clinical.MARK",
    "CREATE TABLE clinical.MARK (i INT)",
    "CREATE TEMPORARY TABLE clinical.MARK (i INT)",
    "ALTER TABLE clinical.subjects ADD COLUMN MARK INT",
    "GRANT ALL ON *.* TO MARK",
    "CREATE USER MARK",
    "SET PASSWORD = 'MARK'",
    "SET GLOBAL max_connections = 1 /* MARK */",
    "SET @a = 1, GLOBAL max_connections = 1 /* MARK */",
    "/*! DELETE FROM clinical.adverse_events WHERE term = 'MARK' */",
    "/*!50000 DELETE FROM clinical.adverse_events WHERE term = 'MARK' */",
    "SELECT 'MARK' INTO OUTFILE '/tmp/readgate-MARK'",
    "SELECT 'MARK' /*!40000 INTO OUTFILE '/tmp/readgate-MARK' */",
    "SELECT 'MARK' INTO DUMPFILE '/tmp/readgate-MARK'",
    "(SELECT 'MARK' INTO OUTFILE '/tmp/readgate-MARK')",
    "SELECT * FROM clinical.studies WHERE title = 'MARK' FOR UPDATE",
    "SELECT * FROM clinical.studies WHERE title = 'MARK' LOCK IN SHARE MODE",
    "WITH d AS (SELECT 'MARK') DELETE FROM clinical.adverse_events",
    "EXPLAIN ANALYZE DELETE FROM clinical.adverse_events WHERE term = 'MARK'",
    "SELECT GET_LOCK('MARK', 10)",
    "SELECT SLEEP(100), 'MARK'",
    "SELECT LOAD_FILE('/etc/MARK')",
    "LOAD DATA INFILE '/tmp/MARK' INTO TABLE clinical.forms",
    "LOAD DATA LOCAL INFILE '/tmp/MARK' INTO TABLE clinical.forms",
    "CALL MARK()",
    "DO GET_LOCK('MARK', 1)",
    "LOCK TABLES clinical.studies WRITE /* MARK */",
    "FLUSH TABLES WITH READ LOCK /* MARK */",
    "HANDLER clinical.studies OPEN AS MARK",
    "PREPARE s FROM 'DELETE FROM clinical.adverse_events WHERE term = \"MARK\"'",
    "PREPARE s FROM @MARK",
    "EXECUTE IMMEDIATE 'DROP TABLE MARK'",
    "BEGIN NOT ATOMIC DELETE FROM clinical.MARK; END",
    "SET STATEMENT max_statement_time = 1 FOR INSERT INTO MARK VALUES (1)",
    "SHUTDOWN /* MARK */",
    "RESET MASTER /* MARK */",
    "INSTALL PLUGIN MARK SONAME 'MARK.so'",
    "XA START 'MARK'",
    "MARK",
];

/// Nothing of it in the replica's own log.
fn never_reached_the_replica(stage: &Stage, mark: &str) {
    let log = stage.server.general_log();
    let line = log.lines().find(|line| line.contains(mark));
    assert_eq!(line, None, "the replica has seen it");
}

on_both! {
    fn refuses_writes_and_goes_on(stage) {
        let mut alice = stage.alice();
        for (number, sql) in REFUSED.iter().enumerate() {
            let mark = format!("mark_refused_{number}_end");
            let error = alice.query(sql.replace("MARK", &mark)).expect_error();
            assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{sql}: {error}");
            assert!(error.message.starts_with("readgate: "), "{sql}: {error}");
            assert_eq!(alice.query("SELECT 'still here'").value(), "still here", "after {sql}");
            never_reached_the_replica(stage, &mark);
        }
    }

    fn records_each_refusal_with_its_text(stage) {
        let sql = "DELETE FROM clinical.adverse_events WHERE term = 'recorded_refusal'";
        stage.alice().query(sql).expect_error();
        let record = stage.readgate.record("refusal", |record| record["text"] == sql);
        assert_eq!(record["user"], "alice");
        assert_eq!(record["source"], "127.0.0.1");
    }

    fn refuses_to_prepare_a_write(stage) {
        let mut alice = stage.alice();
        let sql = "INSERT INTO clinical.forms VALUES (9, 'mark_prepared_write', ?, NULL)";
        let error = alice.prepare(sql).expect_err("a write");
        assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
        assert_eq!(alice.query("SELECT 1").value(), "1");
        never_reached_the_replica(stage, "mark_prepared_write");
    }

    fn refuses_the_second_of_two_statements(stage) {
        // Without the multi-statement wish this is one statement, and no read.
        let mut alice = stage.alice();
        let error = alice.query("SELECT 'mark_first'; DROP TABLE clinical.mark_second").expect_error();
        assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
        assert_eq!(alice.query("SELECT 'still here'").value(), "still here");
        never_reached_the_replica(stage, "mark_second");
    }

    fn refuses_writes_in_a_read_write_transaction(stage) {
        let mut alice = stage.alice();
        let error = alice.query("START TRANSACTION READ WRITE").expect_error();
        assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
        let error = alice.query("UPDATE clinical.subjects SET arm = 'mark_read_write'").expect_error();
        assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
        assert_eq!(alice.query("SELECT COUNT(*) FROM clinical.studies").value(), "4");
        alice.query("COMMIT").expect_ok();
        never_reached_the_replica(stage, "mark_read_write");
    }

    fn keeps_the_session_read_only_at_the_replica(stage) {
        // The second wall: even what the judge let through by mistake could not write.
        let variable = match stage.server.flavour {
            Flavour::MariaDb => "@@tx_read_only",
            Flavour::MySql => "@@transaction_read_only",
        };
        let mut alice = stage.alice();
        assert_eq!(alice.query(format!("SELECT {variable}")).value(), "1");
        // Answered without effect, as drivers send it after each read.
        alice.query("SET SESSION TRANSACTION READ WRITE").expect_ok();
        assert_eq!(alice.query(format!("SELECT {variable}")).value(), "1");
        assert_eq!(alice.simple(0x1f, b"")[0], 0, "COM_RESET_CONNECTION");
        assert_eq!(alice.query(format!("SELECT {variable}")).value(), "1");
    }
}

#[test]
fn brackets_hide_nothing_from_the_judge_in_mssql_mode() {
    let stage = stage(Flavour::MariaDb);
    let mut alice = stage.alice();
    alice.query("SET sql_mode = 'MSSQL'").expect_ok();
    let hidden = "SELECT 1 AS [/*], LOAD_FILE('mark_bracket') -- */";
    let error = alice.query(hidden).expect_error();
    assert_eq!((error.code, error.state.as_str()), (1290, "HY000"), "{error}");
    assert_eq!(alice.query("SELECT 1 AS \"[/*]\"").value(), "1");
    never_reached_the_replica(stage, "mark_bracket");
}

#[test]
fn a_default_that_moves_a_sequence_does_not_move_it() {
    // No text tells what a column's default does: the second wall holds.
    let stage = stage(Flavour::MariaDb);
    stage.server.sql(
        "CREATE DATABASE moving; CREATE SEQUENCE moving.s; \
         CREATE TABLE moving.t (a INT DEFAULT NEXTVAL(moving.s)); INSERT INTO moving.t VALUES (7)",
    );
    let mut alice = stage.alice();
    alice.query("SELECT DEFAULT(a) FROM moving.t").expect_error();
    assert_eq!(stage.server.sql("SELECT NEXTVAL(moving.s)").trim(), "1");
    stage.server.sql("DROP DATABASE moving");
}
