//! A judge that remembers what it judged says of a text with other values in it what a judge
//! without a memory says: for every statement of the tables, in every mode, under policies
//! that look at names and such that don't.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::path::Path;

use bytes::Bytes;
use common::{Random, Warm, unescape};
use sql_judge::{Judge, Limits, Policy, ServerVersion, SessionFacts, Verdict};

/// Texts with other values, of each statement in each mode.
const TIMES: usize = 1;
const MODES: &[&str] =
    &["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "IGNORE_SPACE", "STRICT_TRANS_TABLES", "ORACLE"];
/// utf8mb4, gbk, latin1.
const COLLATIONS: &[u16] = &[45, 28, 8];
/// What the tables lack: every place where a rule looks at a value, beside one where none does.
const MORE: &[&str] = &[
    "SELECT SLEEP(1), 5",
    "SELECT a, 'x' FROM t WHERE b IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) AND c = 'y' LIMIT 5",
    "SELECT concat ('a', 1), count(*) FROM t",
    "SELECT concat('a', 1), count( * ) FROM t",
    "SELECT concat/* */('a', 1), count/*!(*/*) FROM t",
    "SELECT /*+ MAX_EXECUTION_TIME(5000) */ 1",
    "SELECT /*+ MAX_EXECUTION_TIME(9999999) */ 1",
    "SELECT /*+ SET_VAR(sort_buffer_size = 1) */ 'x'",
    "SET max_execution_time = 1000",
    "SET @a = 1, @b = 'x'",
    "SET transaction_isolation = 'READ-COMMITTED'",
    "SET transaction_isolation = REPLACE('READ-COMMITTED', 'x', 'y')",
    "SET SESSION transaction_read_only = 1",
    "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'",
    "SET sql_mode = 'ANSI_QUOTES'",
    "SET STATEMENT max_statement_time = 5 FOR SELECT 1",
    "SET STATEMENT sort_buffer_size = 5 FOR SELECT SLEEP(1)",
    "KILL 17",
    "PREPARE s FROM 'SELECT 1'",
    "EXECUTE IMMEDIATE 'SELECT 1' USING 2",
    "CALL clin.report(1, 'a', -2)",
    "GET DIAGNOSTICS CONDITION 1 @a = MESSAGE_TEXT",
    "EXPLAIN FORMAT = 'JSON' SELECT 1",
    "DESCRIBE t 'a%'",
    "HELP 'SELECT'",
    "SHOW TABLES FROM clin LIKE 'a%'",
    "DO 1, SLEEP(0)",
    "SELECT * FROM payroll.t WHERE a = 'x'",
    "SELECT * FROM clin.t, information_schema.processlist WHERE a = 1",
    "SELECT 1 AS 'a', 'b' AS b, 'c' c, CURRENT_USER(), @@version, @'x', @x FROM dual;",
    "VALUES ROW(1, 2), ROW('a', 'b')",
    "SELECT 1, 2; SELECT 3",
    "WITH c (x) AS (SELECT 1), d (1) AS (SELECT 2) SELECT * FROM c",
];

fn policies() -> [Policy; 2] {
    let wide = Policy {
        allowed_functions: vec!["clin.age_at".to_owned()],
        allowed_calls: vec!["clin.report".to_owned()],
        sleep_max_seconds: 2,
        ..Policy::default()
    };
    let schemas = Some(vec!["clin".to_owned()]);
    [wide.clone(), Policy { schemas, own_sessions_only: true, ..wide }]
}

fn servers() -> [ServerVersion; 2] {
    [&b"9.7.4"[..], b"10.11.19-MariaDB"].map(|text| ServerVersion::from_greeting(text).unwrap())
}

/// The statements of the tables, as bytes.
fn statements() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut all: Vec<Vec<u8>> = MORE.iter().map(|text| text.as_bytes().to_vec()).collect();
    for entry in std::fs::read_dir(folder).unwrap() {
        let table = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines = table.lines().filter(|line| !line.starts_with(['#', '@']));
        let texts = lines.filter_map(|line| line.split_once('|'));
        all.extend(texts.map(|(_, text)| unescape(text.trim_start())));
    }
    all
}

#[test]
fn other_values_are_judged_as_by_a_judge_without_a_memory() {
    let statements = statements();
    for server in servers() {
        for policy in policies() {
            let mut warm = Warm::new(server, policy, 7);
            for mode in MODES {
                for &collation in COLLATIONS {
                    let facts =
                        SessionFacts::new(server, mode.as_bytes(), collation, Some(b"clin"));
                    // ORACLE is MariaDB's alone.
                    let Some(facts) = facts else { continue };
                    statements.iter().for_each(|text| warm.compare(&facts, text, TIMES));
                }
            }
            let Warm { known, compared, .. } = warm;
            assert!(compared > 20_000 && known > 2000, "{known} of {compared}");
        }
    }
}

/// Texts of random pieces find what others left behind: nothing of it may be for another.
#[test]
fn texts_of_random_pieces_are_judged_as_by_a_judge_without_a_memory() {
    const PIECES: &[&str] = &[
        "SELECT", "(", ")", ",", "1", "'x'", "\"y\"", "`z`", "concat", "sleep", "f", "t", ".",
        "FROM", "@", "@@", "x'41'", "N'a'", "/*!", "*/", "/* */", "/*+ x */", "/*+ y */", ";", " ",
        " ", "=", "SET", "INTO", "@v", "WITH", "AS", "-- \n", "1.5", "0x1", "?", "\\N", "e",
        "LIMIT", "clin",
    ];
    let mut random = Random(11);
    for server in servers() {
        for policy in policies() {
            let mut warm = Warm::new(server, policy, 13);
            let facts = SessionFacts::new(server, b"", 45, Some(b"clin")).unwrap();
            for _ in 0..3000 {
                let count = 1 + random.below(10);
                let words: Vec<&str> =
                    (0..count).map(|_| PIECES[random.below(PIECES.len())]).collect();
                let gap = [" ", ""][random.below(2)];
                let text = format!("SELECT {}", words.join(gap));
                warm.compare(&facts, text.as_bytes(), 1);
            }
        }
    }
}

#[test]
fn a_verdict_that_hangs_on_the_rest_of_the_session_is_for_that_session_alone() {
    let [_, server] = servers();
    let judge = Judge::new(server, Policy::default());
    let in_mode = |mode: &[u8]| SessionFacts::new(server, mode, 45, None).unwrap();
    // With the mode an empty literal is NULL.
    let leaves_doubt = |mode: &[u8]| {
        let mut facts = in_mode(mode);
        let verdict = judge.judge(&facts, Bytes::from_static(b"SET sql_mode = ''"));
        let Verdict::Allow(permit) = verdict else { panic!("{verdict:?}") };
        facts.apply(permit.effects());
        facts.in_doubt()
    };
    for _ in 0..3 {
        assert!(!leaves_doubt(b""));
    }
    assert!(leaves_doubt(b"EMPTY_STRING_IS_NULL"));
}

#[test]
fn what_was_judged_under_other_limits_is_judged_anew() {
    let [server, _] = servers();
    let facts = SessionFacts::new(server, b"", 45, None).unwrap();
    let judge = Judge::new(server, Policy::default());
    let text = |value: usize| format!("SELECT /*+ MAX_EXECUTION_TIME(90000) */ {value}");
    for value in 0..3 {
        assert!(matches!(judge.judge(&facts, Bytes::from(text(value))), Verdict::Allow(_)));
    }
    let limits = Limits { statement: Some(std::time::Duration::from_secs(60)), lock_wait: None };
    let limited = judge.with_limits(limits);
    assert!(matches!(limited.judge(&facts, Bytes::from(text(2))), Verdict::Deny(_)));
    assert!(matches!(limited.judge(&facts, Bytes::from(text(3))), Verdict::Deny(_)));
}
