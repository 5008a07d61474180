//! Every word that a server or the judge knows, called as a function in many places. No
//! stored functions are there: what passes must never have the server look for one.

use std::collections::BTreeSet;

use sql_judge::Verdict;

use crate::session::Session;

/// Where the judge's own names stand, in capitals.
const TABLE: &str = include_str!("../../crates/sql-judge/src/functions/table.rs");
/// Each `?` becomes the word.
const PLACES: &[&str] = &[
    "SELECT ?()",
    "SELECT ?(1)",
    "SELECT ? (1)",
    "SELECT `?`(1)",
    "SELECT 1, ?(1, 1)",
    "SELECT concat(?(1, 1, 1))",
    "SELECT DISTINCT ? (1)",
    "SELECT SQL_BUFFER_RESULT ? (1)",
    "SELECT 1 FROM dual WHERE ? (1) ORDER BY ? (1)",
    "SELECT 1 AND ? (1)",
    "SELECT CASE ? (1) WHEN ? (1) THEN ? (1) ELSE ? (1) END",
    "SELECT INTERVAL ? (1) DAY + now()",
    "SELECT 1 BETWEEN ? (1) AND ? (1)",
    "SELECT MATCH (a) AGAINST (? (1))",
    "SELECT EXTRACT(YEAR FROM ? (1))",
    "SELECT {fn ?(1)}, {`fn` ? (1)}",
    "SELECT sum(1) OVER (PARTITION BY ? (1))",
    "SELECT * FROM JSON_TABLE(? (1), '$' COLUMNS (a INT PATH '$')) AS t",
    "WITH ? (a) AS (SELECT 1) SELECT ? (1)",
    "WITH RECURSIVE ? (a) AS (SELECT 1) SELECT a FROM ?",
    "WITH ? (1) AS (SELECT 1) SELECT 1",
    "SELECT 1 FROM dual GROUP BY GROUPING ? (1)",
    "SELECT 1 FROM dual TABLESAMPLE ? (1)",
    "SELECT 1 FROM dual WHERE 1 QUALIFY ? (1)",
    "VALUES (?(1))",
    "SET @a = ? (1)",
    "SET @a = ?(), @b = 1",
    "SET @a = `?`(NULL, TRUE), @b = ?(NULL), @c = 1",
    "SET STATEMENT max_statement_time = ?() FOR SELECT 1",
    "SELECT ?(NULL, TRUE), 1",
    "DO 1, ?(1)",
    "SHOW STATUS WHERE ? (1)",
];
/// What a server says that has looked for a stored function.
const NO_SUCH_ROUTINE: [u16; 2] = [1305, 1630];

/// Runs what is let through, and looks for servers that looked for a stored function.
pub(crate) fn run(session: &mut Session) {
    let facts = session.facts().expect("the judge knows the mode and character set");
    let (mut ran, mut searched) = (0, Vec::new());
    for word in words(session) {
        for place in PLACES {
            let statement = place.replace('?', &word);
            if matches!(session.verdict(&facts, statement.as_bytes()), Verdict::Allow(_)) {
                ran += 1;
                let error = session.error(statement.as_bytes());
                searched.extend(error.filter(|e| NO_SUCH_ROUTINE.contains(e)).map(|_| statement));
            }
        }
    }
    println!("{ran} calls were let through");
    assert!(searched.is_empty(), "stored functions would run: {searched:#?}");
    assert!(ran > 3000, "only {ran} calls were let through");
}

fn words(session: &mut Session) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let mut words: BTreeSet<String> = TABLE.split(|c| !is_part(c)).map(str::to_owned).collect();
    let mut lists = vec!["SELECT word FROM information_schema.keywords"];
    if !session.is_mysql() {
        lists.push("SELECT function FROM information_schema.sql_functions");
    }
    for list in lists {
        words.extend(session.list(list).into_iter().filter(|word| word.chars().all(is_part)));
    }
    // Aurora's own, whose greeting is MySQL's.
    words.remove("AURORA_VERSION");
    words.retain(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    words
}
