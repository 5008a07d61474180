//! Mutated statements: whatever the judge lets through runs with every right, and must leave
//! no trace. Seeds are the judge's own tables of rules and `seeds.txt`, to which each find is
//! added; they run unchanged as well.
//!
//! A trace is anything in the binary log, a changed global variable, a new file, a locked row, a
//! sequence that moved, or a read of the schema `secret` by a statement that a role without it
//! may send, or that doesn't name it. What a statement does to the session is followed as the
//! daemon does it, and held against the server's word.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sql_judge::{Judge, Policy, ReadPermit, SessionFacts, Verdict, structure};

use crate::mutate;
use crate::session::Session;
use crate::suite;
use crate::values::Random;

/// Statements between two looks at the server.
const BATCH: usize = 100;
/// How long a run is that comes with all other tests.
const A_MOMENT: Duration = Duration::from_secs(5);
const CHARSETS: &[&str] = &[
    "utf8mb4", "latin1", "gbk", "big5", "sjis", "cp932", "euckr", "ujis", "eucjpms", "gb2312",
    "tis620", "cp1251", "binary", "ascii",
];
const MODES: &[&str] = &[
    "",
    "",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "IGNORE_SPACE",
    "ANSI,NO_BACKSLASH_ESCAPES",
    "PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE",
];
const MARIADB_MODES: &[&str] = &[
    "",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "IGNORE_SPACE",
    "MSSQL",
    "ORACLE",
    "ORACLE",
    "ORACLE,NO_BACKSLASH_ESCAPES",
    "MSSQL,NO_BACKSLASH_ESCAPES",
    "POSTGRESQL",
    "DB2",
    "MAXDB,EMPTY_STRING_IS_NULL",
];

/// Fuzzes for as long as it is told to; `seed` makes a run repeatable.
pub(crate) fn run(session: &mut Session, lasts: Duration, seed: u64) {
    prepare(session);
    let seeds = mutate::seeds();
    let suite = if lasts > A_MOMENT { suite::reads() } else { Vec::new() };
    let mut random = Random(seed);
    let began = Instant::now();
    let (mut tried, mut ran) = (0, 0);
    let modes = if session.is_mysql() { MODES } else { MARIADB_MODES };
    let mut kept = seeds.clone().into_iter();
    // A server older than the suite may die of what the suite has learnt since.
    while !session.is_gone() && (began.elapsed() < lasts || kept.len() > 0) {
        let (charset, mode) = (random.one(CHARSETS), random.one(modes));
        let settings = format!("SET NAMES {charset}, sql_mode = '{mode}'");
        let mut batch: Vec<Vec<u8>> = kept.by_ref().take(BATCH).collect();
        while batch.len() < BATCH {
            let of_suite = !suite.is_empty() && random.below(2) == 0;
            batch.extend(mutate::next(&mut random, if of_suite { &suite } else { &seeds }));
        }
        tried += batch.len();
        ran += round(session, &settings, &batch);
    }
    println!("seed {seed}: {tried} statements tried, {ran} let through and run, no trace left");
    assert!(ran > 0, "none of {tried} statements was let through");
}

/// Runs what passes of a batch. If that left a trace, each statement is run by itself, so
/// that the failure names it.
fn round(session: &mut Session, settings: &str, batch: &[Vec<u8>]) -> usize {
    let before = traces_at_rest(session);
    let ran = run_batch(session, settings, batch);
    if session.is_gone() || traces(session) == before {
        return ran;
    }
    for statement in batch {
        let before = traces_at_rest(session);
        run_batch(session, settings, std::slice::from_ref(statement));
        let after = traces(session);
        assert_eq!(before, after, "{settings}: left a trace: {}", statement.escape_ascii());
    }
    let all: Vec<String> = batch.iter().map(|one| one.escape_ascii().to_string()).collect();
    panic!("{settings}: together these left a trace: {all:#?}");
}

fn run_batch(session: &mut Session, settings: &str, batch: &[Vec<u8>]) -> usize {
    session.reconnect();
    // To MariaDB's ORACLE mode, `BEGIN` is the first word of a block.
    let begin = "START TRANSACTION";
    for setting in [settings, "SET innodb_lock_wait_timeout = 1", time_limit(session), begin] {
        assert!(session.run(setting.as_bytes()), "{settings}: {setting}");
    }
    let narrow = Policy { schemas: Some(vec!["test".to_owned()]), ..Policy::default() };
    let narrow = session.judge_with(narrow);
    let mut facts = session.facts().expect("the judge knows mode and character set");
    let mut ran = 0;
    for statement in batch {
        let Verdict::Allow(permit) = session.verdict(&facts, statement) else { continue };
        // The transaction holds the locks that are looked for.
        let ends = [&b"transaction"[..], b"autocommit", b"completion_type"];
        if permit.kind().as_str() == "transaction" || ends.iter().any(|word| holds(statement, word))
        {
            continue;
        }
        let (before, connection) = (secret_reads(session), session.connection());
        let succeeded = session.run(statement);
        if session.is_gone() {
            println!("{settings}: the server died of {}", statement.escape_ascii());
            return ran;
        }
        if session.connection() != connection {
            // It took too long, as on a machine that does much else. What follows is another session's.
            return ran;
        }
        ran += usize::from(succeeded);
        if secret_reads(session) != before {
            let shown = format!("{settings}: {}", statement.escape_ascii());
            assert!(!lets_pass(&narrow, &facts, &permit), "{shown}: read `secret` in a role");
            if permit.kind().as_str() != "prepare" {
                let named = structure(&facts, statement).tables;
                assert!(named.iter().any(|name| name == "secret.t"), "{shown}: named {named:?}");
            }
        }
        if !permit.effects().is_empty() && !follow(session, &mut facts, &permit, succeeded) {
            return ran;
        }
    }
    ran
}

fn holds(statement: &[u8], word: &[u8]) -> bool {
    statement.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

fn lets_pass(judge: &Judge, facts: &SessionFacts, permit: &ReadPermit) -> bool {
    let verdict = judge.judge(facts, permit.text().clone());
    matches!(verdict, Verdict::Allow(_) | Verdict::Absorb(_))
}

/// Takes over what a statement did to the session as the daemon does, and holds it against
/// the server's own word. False if the daemon would end the session.
fn follow(
    session: &mut Session,
    facts: &mut SessionFacts,
    permit: &ReadPermit,
    succeeded: bool,
) -> bool {
    let in_doubt = match succeeded {
        true => {
            facts.apply(permit.effects());
            facts.in_doubt()
        }
        false => facts.apply_failed(permit.effects()),
    };
    if in_doubt {
        return session.resync(facts);
    }
    let known = session.facts().as_ref().map(reading);
    let shown = permit.text().escape_ascii();
    assert_eq!(Some(reading(facts)), known, "{shown}: read otherwise than judged");
    true
}

/// How texts are read, without the schema and what is prepared.
fn reading(facts: &SessionFacts) -> String {
    let all = format!("{facts:?}");
    all.split(", schema:").next().unwrap_or_default().to_owned()
}

/// Handles to and rows read from the table that no narrow role may read.
fn secret_reads(session: &mut Session) -> String {
    session.ask(
        "SELECT COALESCE(SUM(count_read), 0) FROM \
         performance_schema.table_io_waits_summary_by_table WHERE object_schema = 'secret'",
    )
}

fn time_limit(session: &Session) -> &'static str {
    match session.is_mysql() {
        true => "SET max_execution_time = 1000",
        false => "SET max_statement_time = 1",
    }
}

// ---- the server ------------------------------------------------------------------------

fn prepare(session: &mut Session) {
    for statement in [
        "CREATE TABLE test.log (a INT)",
        "CREATE TABLE test.t (a INT, b INT, c INT, d INT, id INT) ENGINE = InnoDB",
        "INSERT INTO test.t VALUES (1, 1, 1, 1, 1)",
        "DROP DATABASE IF EXISTS secret",
        "CREATE DATABASE secret",
        "CREATE TABLE secret.t (a INT)",
        "INSERT INTO secret.t VALUES (1)",
        "CREATE FUNCTION test.w() RETURNS INT \
         BEGIN INSERT INTO test.log VALUES (1); RETURN 1; END",
    ] {
        session.watch(statement);
    }
    for table in ["u", "v", "clin", "a", "subjects", "visits", "t1", "t2", "t3"] {
        session.watch(&format!("CREATE TABLE test.{table} LIKE test.t"));
        session.watch(&format!("INSERT INTO test.{table} VALUES (1, 1, 1, 1, 1)"));
    }
    let mut baits =
        vec!["SELECT w()", "SELECT * FROM t FOR UPDATE", "SET GLOBAL max_connections = 78"];
    if !session.is_mysql() {
        session.watch("CREATE SEQUENCE test.q NOCACHE");
        baits.push("SELECT NEXTVAL(q)");
    }
    // Each trace shows, or the test would find nothing.
    for bait in baits {
        session.reconnect();
        let before = traces_at_rest(session);
        assert!(session.run(b"BEGIN") && session.run(bait.as_bytes()), "{bait}");
        assert_ne!(traces(session), before, "{bait} leaves no trace");
    }
    let before = secret_reads(session);
    assert!(session.run(b"SELECT * FROM secret.t"));
    assert_ne!(secret_reads(session), before, "a read of `secret` leaves no trace");
}

/// The traces when no transaction is open.
fn traces_at_rest(session: &mut Session) -> String {
    assert!(session.run(b"ROLLBACK"));
    traces(session)
}

/// What a statement may not change.
fn traces(session: &mut Session) -> String {
    // MySQL 8.0 and 8.4 have no statement in common that tells it.
    let (mut traces, variables) = match session.is_mysql() {
        true => (
            session
                .ask("SELECT local ->> '$.binary_log_position' FROM performance_schema.log_status"),
            "performance_schema.global_variables",
        ),
        false => {
            (session.second_column("SHOW MASTER STATUS"), "information_schema.global_variables")
        }
    };
    let variables = format!(
        "SELECT SUM(CRC32(CONCAT(variable_name, '=', variable_value))) FROM {variables} \
         WHERE variable_name NOT LIKE '%gtid%'"
    );
    let _ = write!(traces, " {}", session.ask(&variables));
    // MySQL's SHOW CREATE USER locks the row of its own table.
    let locks = match session.is_mysql() {
        true => {
            "SELECT (SELECT COUNT(*) FROM performance_schema.data_locks \
             WHERE object_schema <> 'mysql') + COALESCE(SUM(trx_rows_modified), 0) \
             FROM information_schema.innodb_trx"
        }
        false => {
            "SELECT COALESCE(SUM(trx_rows_locked + trx_rows_modified), 0) \
             FROM information_schema.innodb_trx"
        }
    };
    // The server looks at its transactions every tenth of a second.
    std::thread::sleep(Duration::from_millis(120));
    let _ = write!(traces, " {}", session.ask(locks));
    if !session.is_mysql() {
        let _ = write!(traces, " {}", session.ask("SELECT next_not_cached_value FROM test.q"));
    }
    let files = std::fs::read_dir(session.directory().join("files")).map(Iterator::count);
    let data = std::fs::read_dir(session.directory().join("data/test")).map(Iterator::count);
    let _ = write!(traces, " {files:?} {data:?}");
    traces
}
