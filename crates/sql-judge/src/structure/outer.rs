//! Columns that a text names by other names than theirs, or not at all, and those of queries around.

use super::*;
use crate::server::ServerVersion;

fn columns(server: &str, text: &str) -> String {
    let server = ServerVersion::from_greeting(server.as_bytes()).unwrap();
    let facts = SessionFacts::new(server, b"", 255, None).unwrap();
    structure(&facts, text.as_bytes()).columns.join(" ")
}

#[test]
fn a_bare_column_of_a_subquery_may_be_of_a_query_around() {
    for (text, expected) in [
        ("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE k = b AND u.c)", "?.b ?.k t.a u.c"),
        ("SELECT (SELECT b FROM u) FROM t", "?.b"),
        (
            "SELECT a FROM t WHERE b > ALL (SELECT c FROM u) OR COUNT(DISTINCT (SELECT d FROM u))",
            "?.c ?.d t.a t.b",
        ),
        ("SELECT a FROM t GROUP BY a HAVING a IN (SELECT c FROM u WHERE MAX(b))", "?.b ?.c t.a"),
        ("SELECT 1 FROM t WHERE (SELECT 1 FROM u WHERE (SELECT 1 FROM v WHERE a))", "?.a"),
        (
            "SELECT a FROM t WHERE b IN (WITH c AS (SELECT d FROM u) SELECT c.d FROM c)",
            "?.d t.a t.b",
        ),
        // A table of the same name has the same columns.
        ("SELECT a FROM t WHERE b = (SELECT MAX(b) FROM t AS x)", "t.a t.b"),
        // No query around has tables.
        ("SELECT (SELECT b FROM u), (SELECT c FROM (SELECT 1 AS k) AS d, u)", "u.b u.c"),
        ("SET @a = (SELECT MAX(b) FROM u)", "u.b"),
        // One that stands for a table doesn't see those beside it.
        ("SELECT a FROM t JOIN (SELECT b FROM u UNION SELECT c FROM v) AS d", "t.a u.b v.c"),
        ("SELECT a FROM t, ((SELECT b FROM u) UNION (SELECT c FROM v)) AS d", "t.a u.b v.c"),
        ("WITH c AS (SELECT b FROM u) SELECT a FROM t WHERE a IN (TABLE c)", "t.a u.b"),
        ("SELECT a FROM t, (WITH c AS (SELECT b FROM u) SELECT 1 FROM c) AS d", "t.a u.b"),
        // Nor do those of one UNION see each other's.
        ("SELECT a FROM t UNION ALL (SELECT b FROM u) EXCEPT (SELECT c FROM v)", "t.a u.b v.c"),
        // A subquery without the name hides no column.
        ("SELECT (SELECT b FROM (SELECT 1 AS k) AS d) FROM t", "t.b"),
    ] {
        for server in ["9.7.4", "10.11.14-MariaDB"] {
            assert_eq!(columns(server, text), expected, "{text}");
        }
    }
}

#[test]
fn an_alias_does_not_hide_the_same_one_further_out() {
    for (text, expected) in [
        ("SELECT (SELECT x.b FROM u AS x) FROM t AS x", "t.b u.b"),
        ("SELECT 1 FROM (TABLE u) AS x, t AS x WHERE x.a", "t.a u.*"),
        ("SELECT x.a FROM t AS x JOIN (SELECT x.b FROM u AS x) AS d", "t.a u.b"),
        ("SELECT 1 AS a FROM t WHERE EXISTS (SELECT a FROM (SELECT 1 AS k) AS d)", "t.a"),
    ] {
        for server in ["9.7.4", "10.11.14-MariaDB"] {
            assert_eq!(columns(server, text), expected, "{text}");
        }
    }
    let text = "SELECT (SELECT 1 FROM LATERAL (SELECT d.b) AS d) FROM t AS d";
    assert_eq!(columns("9.7.4", text), "t.b");
}

#[test]
fn what_stands_for_a_table_sees_more_of_mysql() {
    for (text, mysql, mariadb) in [
        ("SELECT 1 FROM t, LATERAL (SELECT b FROM u) AS d", "?.b", "?.b"),
        ("SELECT (SELECT 1 FROM (SELECT b FROM u) AS d) FROM t", "?.b", "u.b"),
        ("SELECT (SELECT k FROM (SELECT c AS k FROM u) AS d) FROM t", "?.c ?.k", "?.k u.c"),
    ] {
        assert_eq!(columns("9.7.4", text), mysql, "{text}");
        assert_eq!(columns("10.11.14-MariaDB", text), mariadb, "{text}");
    }
}

#[test]
fn a_natural_join_reads_what_it_does_not_name() {
    for (text, expected) in [
        ("SELECT t.a FROM t NATURAL JOIN u", "t.* t.a u.*"),
        ("SELECT x.a FROM t AS x NATURAL LEFT JOIN (SELECT 1980 AS born) AS d", "t.* t.a"),
        ("SELECT 1 FROM (t PARTITION (p) NATURAL RIGHT OUTER JOIN u) WHERE t.a", "t.* t.a u.*"),
        ("SELECT 1 FROM t JOIN u ON t.a = u.a NATURAL JOIN v", "t.* t.a u.* u.a v.*"),
        ("SELECT MATCH(a) AGAINST('x' IN NATURAL LANGUAGE MODE) FROM t", "t.a"),
        // No server runs these; what follows is a value, at which a record must not look.
        ("SELECT NATURAL 'LANGUAGE', a FROM t", "t.a"),
        ("SELECT NATURAL 1, a FROM t", "t.a"),
    ] {
        for server in ["9.7.4", "10.11.14-MariaDB"] {
            assert_eq!(columns(server, text), expected, "{text}");
        }
    }
}

#[test]
fn a_row_s_id_is_one_of_all_columns() {
    for (text, expected) in [
        ("SELECT _rowid FROM t WHERE b", "t.* t.b"),
        ("SELECT x.`_RowId`, u.a FROM t AS x, u", "t.* u.a"),
    ] {
        for server in ["9.7.4", "10.11.14-MariaDB"] {
            assert_eq!(columns(server, text), expected, "{text}");
        }
    }
}

#[test]
fn an_alias_may_stand_behind_a_sign_of_equality() {
    for server in ["9.7.4", "10.11.14-MariaDB"] {
        assert_eq!(columns(server, "SELECT x.a, u.b FROM t = x, u"), "t.a u.b");
    }
}
