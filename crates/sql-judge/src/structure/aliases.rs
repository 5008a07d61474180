//! Names that are the alias of a column, or a column.

use super::tests::{MARIADB, columns, to};

#[test]
fn an_alias_hides_a_column_only_where_servers_look_for_aliases_first() {
    for (text, expected) in [
        ("SELECT UPPER(name) AS name FROM t", "t.name"),
        ("SELECT 1 AS a FROM t WHERE a = 5", "t.a"),
        (
            "SELECT MAX(a) AS A FROM t GROUP BY b HAVING a > 5 AND (a < 9) ORDER BY A DESC, c",
            "t.a t.b t.c",
        ),
        ("SELECT 1 AS a FROM t ORDER BY a", ""),
        ("SELECT INTERVAL(a, 1, 5), YEAR(b) AS year FROM t ORDER BY year", "t.a t.b"),
        // In an expression a column comes first.
        ("SELECT 1 AS a FROM t ORDER BY a + 1", "t.a"),
        ("SELECT 1 AS a, 2 AS b FROM t ORDER BY LENGTH(a), b IS NULL", "t.a t.b"),
        ("SELECT 1 AS a FROM t GROUP BY b HAVING MAX(a) > 1", "t.a t.b"),
        ("SELECT 1 AS a FROM t ORDER BY a SOUNDS LIKE 'x'", "t.a"),
        ("SELECT 1 AS b FROM t ORDER BY SUM(a) OVER (PARTITION BY a, b)", "t.a t.b"),
        ("SELECT 1 AS b FROM t ORDER BY SUM(a) OVER (PARTITION BY (b) ORDER BY c)", "t.a t.b t.c"),
        // Not every server takes the Kelvin sign for a k.
        ("SELECT 1 AS `\u{212a}` FROM t ORDER BY k", "t.k"),
        (
            "SELECT YEAR(a) year, MAX(b) - INTERVAL 1 day day FROM t GROUP BY a ORDER BY year, day",
            "t.a t.b",
        ),
        // No alias is given behind FROM, nor in parentheses.
        ("SELECT day FROM t WHERE d > NOW() - INTERVAL 5 day ORDER BY day", "t.d t.day"),
        ("SELECT CAST(a AS signed) FROM t ORDER BY signed", "t.a t.signed"),
        ("SELECT a - INTERVAL 1 day, {fn UCASE(b)} c FROM t ORDER BY day, c", "t.a t.b t.day"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
        assert_eq!(to(MARIADB, text).columns.join(" "), expected, "{text}");
    }
}

#[test]
fn names_behind_qualify_are_those_of_having() {
    for (text, expected) in [
        ("SELECT a FROM t QUALIFY RANK() OVER (ORDER BY b) > c", "t.a t.b t.c"),
        ("SELECT a AS x, RANK() OVER () AS r FROM t QUALIFY r > 1 AND x", "t.a"),
        ("SELECT b AS a FROM t QUALIFY MAX(b) OVER (PARTITION BY a) > 1", "t.a t.b"),
        (
            "SELECT a FROM t GROUP BY a HAVING b QUALIFY MAX(c) OVER () ORDER BY d",
            "t.a t.b t.c t.d",
        ),
        ("SELECT a AS x FROM t GROUP BY GROUPING SETS ((x), (b))", "?.x t.a t.b"),
        ("SELECT a AS x FROM t GROUP BY CUBE (x, b)", "?.x t.a t.b"),
        ("SELECT a FROM t TABLESAMPLE SYSTEM (@n), u AS x TABLESAMPLE BERNOULLI (9)", "?.a"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
    let earlier = to("8.3.0", "SELECT qualify.a FROM t qualify WHERE b");
    assert_eq!(earlier.columns, ["t.a", "t.b"]);
    assert_eq!(
        to("9.7.4", "SELECT GROUPING(a) FROM t GROUP BY GROUPING SETS ((a))").functions,
        ["grouping"]
    );
}

#[test]
fn behind_group_by_and_in_parentheses_an_alias_may_be_a_column() {
    for (text, expected) in [
        ("SELECT 1 AS a FROM t ORDER BY (a) + 1", "?.a"),
        ("SELECT 1 AS a FROM t ORDER BY 1 + (a)", "?.a"),
        ("SELECT 1 AS a FROM t ORDER BY (a) IS NULL, (b)", "?.a t.b"),
        ("SELECT 1 AS a FROM t ORDER BY CASE WHEN (a) THEN 1 END", "?.a"),
        ("SELECT 1 AS a FROM t ORDER BY b IN (2, a)", "?.a t.b"),
        ("SELECT 1 AS a FROM t ORDER BY ROW(a, 1) = (1, 1)", "?.a"),
        ("SELECT MAX(a) AS a FROM t ORDER BY (a)", "t.a"),
        ("SELECT a + 1 AS x, COUNT(*) FROM t GROUP BY x", "?.x t.a"),
        ("SELECT MAX(a) AS x FROM t GROUP BY X HAVING x > 1 ORDER BY x", "?.X t.a"),
        ("SELECT 1 AS a FROM t GROUP BY (a), b WITH ROLLUP", "?.a t.b"),
        ("SELECT a AS x, u.c FROM t JOIN u USING (id) GROUP BY u.c, x", "?.a ?.x t.id u.c u.id"),
        ("SELECT b FROM t WHERE EXISTS (SELECT 1 AS x FROM u GROUP BY x)", "?.x t.b"),
        // Within an expression it is none.
        ("SELECT a AS x FROM t GROUP BY x + 0", "t.a t.x"),
        // One that the query reads as a column is that.
        ("SELECT UPPER(name) AS name FROM t GROUP BY name", "t.name"),
        // No column of that name can be there.
        ("SELECT d.a AS x FROM (SELECT YEAR(b) AS a FROM t) AS d GROUP BY x", "t.b"),
        ("SELECT 1 AS x GROUP BY x", ""),
        // That of a query around isn't looked for where there is an alias.
        ("SELECT a, (SELECT 1 AS x FROM (SELECT 2 AS y) AS d GROUP BY x) FROM t", "t.a"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
        assert_eq!(to(MARIADB, text).columns.join(" "), expected, "{text}");
    }
}

/// Where several tables have the column, MySQL asks for the right to it in each, and takes one.
#[test]
fn what_a_query_groups_by_may_be_another_tables_to_mysql() {
    for (text, to_mysql, to_mariadb) in [
        (
            "SELECT s.site AS Site, COUNT(u.id) FROM s, u GROUP BY site",
            "?.site s.site u.id",
            "s.site u.id",
        ),
        (
            "SELECT COUNT(u.id), 1 AS id FROM t JOIN u ON t.a = u.b GROUP BY id",
            "?.id t.a u.b u.id",
            "t.a u.b u.id",
        ),
    ] {
        assert_eq!(columns(text), to_mysql, "{text}");
        assert_eq!(to(MARIADB, text).columns.join(" "), to_mariadb, "{text}");
    }
}
