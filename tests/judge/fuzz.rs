//! Mutated statements: whatever the judge lets through runs with every right, and must leave
//! no trace. Seeds are the judge's own tables of rules and `seeds.txt`, to which each find is
//! added; they run unchanged as well.
//!
//! A trace is anything in the binary log, a changed global variable, a new file, a locked row,
//! or a read of the schema `secret` by a statement that was let through in a role without it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sql_judge::{Policy, Verdict};

use crate::generator;
use crate::session::Session;
use crate::values::{Random, unescape};

/// Statements between two looks at the server.
const BATCH: usize = 100;
const CHARSETS: &[&str] = &["utf8mb4", "latin1", "gbk", "big5", "sjis", "euckr", "ujis"];
const MODES: &[&str] = &["", "", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "IGNORE_SPACE"];
const MARIADB_MODES: &[&str] = &["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "MSSQL", "ORACLE"];
/// What a mutation tries to bring past the judge.
const PAYLOADS: &[&[u8]] = &[
    b",w()",
    b" INTO OUTFILE 'fuzz'",
    b" FOR UPDATE",
    b" LOCK IN SHARE MODE",
    b";INSERT INTO log VALUES (1)",
    b",secret.t",
    b" JOIN secret.t",
    b" UNION SELECT a FROM secret.t",
    b",(SELECT a FROM secret.t)",
    b" UNION TABLE secret.t",
    b"@@global.max_connections = 77",
    b"INSERT INTO log VALUES (1)",
    b"SET GLOBAL max_connections = 77",
    b"SELECT w()",
    b"DO w()",
];
/// What lexers disagree about.
const GLUE: &[&[u8]] = &[
    b" ",
    b"/*",
    b"*/",
    b"/*!",
    b"/*!50000 ",
    b"/*!99999 ",
    b"/*M!",
    b"--",
    b"-- ",
    b"#",
    b"\n",
    b"'",
    b"\"",
    b"`",
    b"\\",
    b"\\'",
    b"''",
    b"(",
    b")",
    b",",
    b";",
    b".",
    b"@",
    b"\xa5\\",
    b"\x95\\",
    b"\xa0",
    b"\0",
    b"1.e",
    b"0x",
    b"N'",
    b"x'",
    b"[",
    b"]",
    b"{oj ",
    b"}",
    b" AS ",
    b"/*+ */",
    b"$$",
    b"\xe3\x80\x80",
    b" FROM ",
    b" SELECT ",
    b" JOIN ",
    b" WITH ",
    b" VALUES(a) ",
    b" TABLE ",
    b" FOR ",
    b" USE INDEX ",
];

/// Fuzzes for as long as it is told to; `seed` makes a run repeatable.
pub(crate) fn run(session: &mut Session, lasts: Duration, seed: u64) {
    prepare(session);
    let seeds = seeds();
    let mut random = Random(seed);
    let began = Instant::now();
    let (mut tried, mut ran) = (0, 0);
    let modes = if session.is_mysql() { MODES } else { MARIADB_MODES };
    let mut kept = seeds.clone().into_iter();
    while began.elapsed() < lasts || kept.len() > 0 {
        let (charset, mode) = (random.one(CHARSETS), random.one(modes));
        let settings = format!("SET NAMES {charset}, sql_mode = '{mode}'");
        let mut batch: Vec<Vec<u8>> = kept.by_ref().take(BATCH).collect();
        while batch.len() < BATCH {
            batch.push(mutated(&mut random, &seeds));
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
    if traces(session) == before {
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
        if matches!(permit.kind().as_str(), "transaction" | "set") && !permit.effects().is_empty()
            || permit.kind().as_str() == "transaction"
        {
            continue;
        }
        let is_narrow = matches!(
            narrow.judge(&facts, permit.text().clone()),
            Verdict::Allow(_) | Verdict::Absorb(_)
        );
        let secret_reads = is_narrow.then(|| secret_reads(session));
        ran += usize::from(session.run(statement));
        if let Some(before) = secret_reads {
            let shown = statement.escape_ascii();
            assert_eq!(secret_reads_now(session), before, "{settings}: read `secret`: {shown}");
        }
        if !permit.effects().is_empty() {
            match session.facts() {
                Some(known) => facts = known,
                None => return ran,
            }
        }
    }
    ran
}

fn secret_reads(session: &mut Session) -> String {
    secret_reads_now(session)
}

/// Handles to and rows read from the table that no narrow role may read.
fn secret_reads_now(session: &mut Session) -> String {
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
    for table in ["u", "v", "clin", "a", "subjects", "visits"] {
        session.watch(&format!("CREATE TABLE test.{table} LIKE test.t"));
        session.watch(&format!("INSERT INTO test.{table} VALUES (1, 1, 1, 1, 1)"));
    }
    // Each trace shows, or the test would find nothing.
    for bait in ["SELECT w()", "SELECT * FROM t FOR UPDATE", "SET GLOBAL max_connections = 78"] {
        session.reconnect();
        let before = traces_at_rest(session);
        assert!(session.run(b"BEGIN") && session.run(bait.as_bytes()), "{bait}");
        assert_ne!(traces(session), before, "{bait} leaves no trace");
    }
    let before = secret_reads(session);
    assert!(session.run(b"SELECT * FROM secret.t"));
    assert_ne!(secret_reads_now(session), before, "a read of `secret` leaves no trace");
}

/// The traces when no transaction is open.
fn traces_at_rest(session: &mut Session) -> String {
    assert!(session.run(b"ROLLBACK"));
    traces(session)
}

/// What a statement may not change.
fn traces(session: &mut Session) -> String {
    let (log, variables) = match session.is_mysql() {
        true => ("SHOW BINARY LOG STATUS", "performance_schema.global_variables"),
        false => ("SHOW MASTER STATUS", "information_schema.global_variables"),
    };
    let mut traces = session.second_column(log);
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
    let files = std::fs::read_dir(session.directory().join("files")).map(Iterator::count);
    let data = std::fs::read_dir(session.directory().join("data/test")).map(Iterator::count);
    let _ = write!(traces, " {files:?} {data:?}");
    traces
}

// ---- statements ------------------------------------------------------------------------

/// Statements of the judge's tables and of earlier finds.
fn seeds() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(here.join("../crates/sql-judge/tests/rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.push(here.join("judge/seeds.txt"));
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let mut seeds = Vec::new();
    for text in texts.collect::<Vec<_>>() {
        let lines = text.lines().filter(|line| !line.starts_with(['#', '@']));
        let lines = lines.filter_map(|line| line.split_once('|'));
        seeds.extend(lines.map(|(_, statement)| unescape(statement.trim_start())));
    }
    seeds
}

fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.below(8) == 0 {
        return generator::statement(random);
    }
    let mut text = seeds[random.below(seeds.len())].clone();
    text.truncate(4096);
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(7) {
            0 | 1 => drop(text.splice(at..at, random.one(GLUE).iter().copied())),
            2 | 3 => drop(text.splice(at..at, random.one(PAYLOADS).iter().copied())),
            4 => {
                let until = (at + random.below(8)).min(text.len());
                text.drain(at..until);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                text.truncate(at);
                text.extend_from_slice(&other[from..]);
            }
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).unwrap();
                }
            }
        }
    }
    text
}
