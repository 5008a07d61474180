//! Generated statements in every character set and lexing mode.

use sql_judge::Verdict;

use crate::generator::statement;
use crate::session::Session;
use crate::values::Random;

/// Statements for each pair of character set and mode.
const EACH: usize = 250;
const CHARSETS: &[&str] = &[
    "utf8mb4", "utf8mb3", "latin1", "gbk", "big5", "sjis", "cp932", "euckr", "ujis", "eucjpms",
    "gb2312", "ascii", "binary", "cp1251", "koi8r", "tis620", "latin2", "hebrew", "gb18030",
];
const MODES: &[&str] = &[
    "",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "IGNORE_SPACE",
];
const MARIADB_MODES: &[&str] = &["MSSQL", "ORACLE"];

/// Runs what is let through, and looks for rows that `w()` has written.
pub(crate) fn run(session: &mut Session) {
    session.watch("CREATE TABLE test.log (a INT)");
    session.watch(
        "CREATE FUNCTION test.w() RETURNS INT \
         BEGIN INSERT INTO test.log VALUES (1); RETURN 1; END",
    );
    assert!(session.run(b"SELECT w()"));
    assert_eq!(session.ask("SELECT COUNT(*) FROM test.log"), "1", "the bait works");
    let mut random = Random(1);
    let (mut ran, mut succeeded) = (0, 0);
    let is_mysql = session.is_mysql();
    for charset in CHARSETS.iter().filter(|name| is_mysql || **name != "gb18030") {
        let own_modes = if is_mysql { &[] } else { MARIADB_MODES };
        for mode in MODES.iter().chain(own_modes) {
            assert!(session.run(format!("SET NAMES {charset}").as_bytes()));
            assert!(session.run(format!("SET sql_mode = '{mode}'").as_bytes()));
            let facts = session.facts().expect("the judge knows the mode and character set");
            let mut tried = Vec::new();
            for _ in 0..EACH {
                let statement = statement(&mut random);
                if matches!(session.verdict(&facts, &statement), Verdict::Allow(_)) {
                    succeeded += usize::from(session.run(&statement));
                    tried.push(statement.escape_ascii().to_string());
                }
            }
            ran += tried.len();
            let rows = session.ask("SELECT COUNT(*) FROM test.log");
            assert_eq!(rows, "1", "{charset} {mode}: one of these wrote: {tried:#?}");
        }
    }
    println!("{ran} statements were let through, {succeeded} of them succeeded");
    assert!(succeeded > 500, "only {succeeded} of {ran} statements succeeded");
}
