//! What is read through readgate is byte for byte what the replica itself answers.

use readgate_tests::raw::{Login, RawClient, capability};
use readgate_tests::server::SHARED_PASSWORD;
use readgate_tests::stage::{Stage, USER_PASSWORD, login_at};

/// Reads of every kind that must look the same through readgate and straight at the replica.
const READS: &[&str] = &[
    "SELECT 1",
    "SELECT * FROM clinical.studies",
    "SELECT * FROM clinical.sites ORDER BY site_id",
    "SELECT * FROM clinical.subjects ORDER BY subject_id LIMIT 200",
    "SELECT * FROM clinical.visits WHERE held_at IS NULL ORDER BY visit_id LIMIT 50",
    "SELECT * FROM clinical.adverse_events ORDER BY event_id",
    "SELECT * FROM clinical.enrolment ORDER BY protocol_no, site_no",
    "SELECT '🧠 é 日本', NULL, '', x'00ff27', 1.50, CAST('2024-02-29' AS DATE), TRUE",
    "SELECT NULL FROM clinical.studies WHERE 1 = 0",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT SUM(i) FROM n",
    "(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
    "SELECT analyte, COUNT(*), AVG(value) FROM clinical.lab_results GROUP BY analyte ORDER BY analyte",
    "SHOW DATABASES",
    "SHOW TABLES FROM clinical",
    "SHOW FULL COLUMNS FROM clinical.subjects",
    "SHOW CREATE TABLE clinical.lab_results",
    "SHOW CREATE VIEW clinical.enrolment",
    "SHOW INDEX FROM clinical.visits",
    "SHOW COLLATION LIKE 'utf8mb4%'",
    "SHOW VARIABLES LIKE 'character_set_%'",
    "DESCRIBE clinical.forms",
    "EXPLAIN SELECT * FROM clinical.visits WHERE subject_id = 7",
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'clinical' ORDER BY 1",
    "SELECT * FROM clinical.no_such_table",
    "SELECT no_such_column FROM clinical.studies",
    "SELECT FROM WHERE",
];

/// `alice` through readgate and the shared account straight at the server, wishing the same.
fn pair(stage: &Stage, wishes: u32) -> (RawClient, RawClient) {
    let alice = Login::user("alice", USER_PASSWORD).with(wishes);
    let shared = Login::user("readonly_shared", SHARED_PASSWORD).with(wishes);
    let through = login_at(stage.readgate.port, &stage.ca_file(), &alice);
    let mut direct = login_at(stage.server.port, &stage.ca_file(), &shared);
    direct.query("SET SESSION TRANSACTION READ ONLY").expect_ok();
    (through, direct)
}

fn same_bytes(stage: &Stage, wishes: u32) {
    let (mut through, mut direct) = pair(stage, wishes);
    for sql in READS {
        assert!(through.query(sql) == direct.query(sql), "differs from the replica's: {sql}");
    }
}

on_both! {
    fn gives_the_replicas_bytes_with_classic_endings(stage) {
        same_bytes(stage, 0);
    }

    fn gives_the_replicas_bytes_without_eof_packets(stage) {
        same_bytes(stage, capability::DEPRECATE_EOF);
    }

    fn gives_the_replicas_bytes_for_a_hundred_thousand_rows(stage) {
        let (mut through, mut direct) = pair(stage, 0);
        let sql = "SELECT * FROM clinical.lab_results ORDER BY result_id LIMIT 100000";
        let response = through.query(sql);
        assert_eq!(response.rows().len(), 100_000);
        assert!(response == direct.query(sql));
    }

    fn gives_the_replicas_bytes_for_a_value_over_several_packets(stage) {
        let (mut through, mut direct) = pair(stage, 0);
        // Exactly one full packet, one byte less and more, and 20 MB: the row's own length
        // prefix of four bytes counts too.
        for length in [0xff_ffff - 5, 0xff_ffff - 4, 0xff_ffff - 3, 20_000_000] {
            let sql = format!("SELECT REPEAT('é', {length} DIV 2)");
            let response = through.query(&sql);
            assert!(response == direct.query(&sql), "{length} bytes");
            let value = response.rows()[0][0].as_ref().expect("not NULL").len();
            assert_eq!(value, length / 2 * 2);
        }
    }

    fn takes_a_statement_over_several_packets(stage) {
        for length in [0xff_ffff - 20, 17 << 20] {
            let text = "x".repeat(length);
            let seen = stage.alice().query(format!("SELECT LENGTH('{text}')")).value();
            assert_eq!(seen, length.to_string());
        }
    }

    fn gives_the_replicas_bytes_for_prepared_statements(stage) {
        let (mut through, mut direct) = pair(stage, 0);
        let sql = "SELECT * FROM clinical.adverse_events WHERE subject_id = ? ORDER BY event_id";
        let (ours, theirs) = (through.prepare(sql).unwrap(), direct.prepare(sql).unwrap());
        assert_eq!((ours.columns, ours.parameters), (theirs.columns, theirs.parameters));
        for subject in 1_u64..60 {
            // No NULL, types follow: LONGLONG, then the value.
            let parameters = [&[0, 1, 8, 0][..], &subject.to_le_bytes()].concat();
            let response = through.execute(&ours, 0, &parameters);
            response.expect_ok();
            assert!(response == direct.execute(&theirs, 0, &parameters), "subject {subject}");
        }
    }

    fn fetches_through_a_cursor(stage) {
        let (mut through, mut direct) = pair(stage, 0);
        let sql = "SELECT subject_id, screening_no, consent_scan FROM clinical.subjects ORDER BY 1";
        let (ours, theirs) = (through.prepare(sql).unwrap(), direct.prepare(sql).unwrap());
        assert!(through.execute(&ours, 1, &[]) == direct.execute(&theirs, 1, &[]));
        let mut rows = 0;
        for _ in 0..3 {
            let fetched = through.fetch(&ours, 700);
            rows += fetched.len() - 1;
            assert!(fetched == direct.fetch(&theirs, 700));
        }
        assert_eq!(rows, 2000);
    }

    fn sees_what_is_committed_after_the_login(stage) {
        let mut alice = stage.alice();
        stage.server.sql("CREATE DATABASE IF NOT EXISTS live; CREATE OR REPLACE VIEW live.mark AS SELECT 'first' AS mark");
        assert_eq!(alice.query("SELECT mark FROM live.mark").value(), "first");
        stage.server.sql("CREATE OR REPLACE VIEW live.mark AS SELECT 'second' AS mark");
        assert_eq!(alice.query("SELECT mark FROM live.mark").value(), "second");
    }
}
