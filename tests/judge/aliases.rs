//! Names that are a query's own alias in one place and a column of its table in another: servers
//! look for the alias first, for the column first, or for the column alone.

use sql_judge::Verdict;

use crate::columns;
use crate::session::Session;

/// `a` is both.
const QUERIES: &[&str] = &[
    "SELECT 1 AS a FROM t ORDER BY ",
    "SELECT DISTINCT 1 AS A FROM t ORDER BY ",
    "SELECT 1 AS a, COUNT(*) FROM t GROUP BY ",
    "SELECT 1 AS a, COUNT(*) FROM t GROUP BY b HAVING ",
    "SELECT 1 AS a, COUNT(*) FROM t GROUP BY b ORDER BY ",
    "SELECT 1 AS a FROM t JOIN u USING (id) ORDER BY ",
    "SELECT 1 AS a FROM (SELECT a, b FROM t) AS d ORDER BY ",
    "SELECT b FROM t UNION SELECT 1 AS a FROM t GROUP BY ",
];

/// MySQL has QUALIFY with one of its optimizers.
const MYSQL_QUERIES: &[&str] = &[
    "SELECT /*+ SET_VAR(optimizer_switch = 'hypergraph_optimizer=on') */ \
     1 AS a, RANK() OVER () AS r FROM t QUALIFY r AND ",
    "SELECT /*+ SET_VAR(optimizer_switch = 'hypergraph_optimizer=on') */ \
     b AS a, MAX(b) FROM t GROUP BY b QUALIFY RANK() OVER () AND ",
];

const ITEMS: &[&str] = &[
    "a",
    "A DESC",
    "b, a",
    "(a)",
    "((a))",
    "b, (a)",
    "a + 1",
    "-a",
    "a = 1",
    "a IS NULL",
    "a IN (1)",
    "a BETWEEN 0 AND 1",
    "a LIKE 'x'",
    "a DIV 2",
    "a MOD 2",
    "a XOR 1",
    "a COLLATE utf8mb4_bin",
    "a SOUNDS LIKE 'x'",
    "a MEMBER OF ('[1]')",
    "(a) + 1",
    "(a) IS NULL",
    "1 + (a)",
    "NOT (a)",
    "NOT a",
    "BINARY a",
    "b IN (a, 2)",
    "b IN (2, a)",
    "b IN (2, (a))",
    "b BETWEEN 1 AND (a)",
    "ROW(a, 1) = ROW(1, 1)",
    "(2, a) = (1, 2)",
    "CASE a WHEN 1 THEN 1 END",
    "CASE WHEN (a) THEN 1 END",
    "ABS(a)",
    "ABS((a))",
    "COALESCE(b, a)",
    "CAST(a AS CHAR)",
    "CONVERT(a, CHAR)",
    "'2020-01-01' + INTERVAL a DAY",
    "MAX(a)",
    "GROUP_CONCAT(b ORDER BY a)",
    "(SELECT a)",
    "EXISTS (SELECT 1 FROM u WHERE c = a)",
    "b IN (SELECT c FROM u WHERE a = 1)",
    "SUM(b) OVER (PARTITION BY a)",
    "SUM(b) OVER (PARTITION BY b, a)",
    "SUM(b) OVER (PARTITION BY (a) ORDER BY b)",
    "SUM(b) OVER (ORDER BY a)",
    "SUM(b) OVER (PARTITION BY b ORDER BY (a), b)",
];

/// Several tables have `a`, and one is named.
const AMBIGUOUS: &[&str] = &[
    "SELECT COUNT(t.a), 1 AS a FROM t JOIN w ON t.id = w.id GROUP BY a",
    "SELECT COUNT(w.a), 1 AS a FROM t JOIN w ON t.id = w.id GROUP BY a",
    "SELECT COUNT(w.a), 1 AS a FROM t RIGHT JOIN w ON t.id = w.id GROUP BY a",
    "SELECT t.a AS a, COUNT(*) FROM t, w GROUP BY a",
    "SELECT w.a AS a, COUNT(*) FROM t, w GROUP BY a",
    "SELECT d.a + 0 AS a FROM t, (SELECT 1 AS a) AS d GROUP BY a",
    "SELECT COUNT(w.a), 1 AS a FROM t JOIN w ON t.id = w.id ORDER BY (a)",
];

/// Runs each item in each query, and again with the rights to those columns alone that its record
/// names.
pub(crate) fn run(session: &mut Session) {
    session.watch("CREATE TABLE test.t (id INT PRIMARY KEY, a INT, b INT, last INT)");
    session.watch("CREATE TABLE test.u (id INT PRIMARY KEY, c INT, last INT)");
    session.watch("CREATE TABLE test.w (id INT PRIMARY KEY, a INT, last INT)");
    assert!(session.run(b"SET sql_mode = ''"));
    let facts = session.facts().expect("the judge knows it");
    let (mut succeeded, mut faults) = (0, Vec::new());
    let own = if session.is_mysql() { MYSQL_QUERIES } else { &[] };
    let queries = QUERIES.iter().chain(own);
    let made = queries.flat_map(|query| ITEMS.iter().map(move |item| format!("{query}{item}")));
    let all: Vec<String> = made.chain(AMBIGUOUS.iter().map(|&text| text.to_owned())).collect();
    for text in &all {
        let statement = text.as_bytes();
        let passes = matches!(session.verdict(&facts, statement), Verdict::Allow(_));
        if !passes || !session.run(statement) {
            continue;
        }
        succeeded += 1;
        let fault = columns::fault(session, &facts, statement);
        faults.extend(fault.map(|fault| format!("{text}: {fault}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let all = all.len();
    println!("{succeeded} of {all} succeeded");
    assert!(succeeded * 10 > all * 7, "only {succeeded} of {all}");
}
