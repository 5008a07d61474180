//! Texts and what they name.

use super::*;
use crate::server::ServerVersion;
use crate::{Judge, Policy, Verdict};

fn of(text: &str) -> Structure {
    to("9.7.4", text)
}

pub(super) fn to(server: &str, text: &str) -> Structure {
    in_schema(None, server, text)
}

fn in_schema(schema: Option<&[u8]>, server: &str, text: &str) -> Structure {
    let server = ServerVersion::from_greeting(server.as_bytes()).unwrap();
    let facts = SessionFacts::new(server, b"", 255, schema).unwrap();
    structure(&facts, text.as_bytes())
}

fn tables(text: &str) -> String {
    of(text).tables.join(" ")
}

pub(super) fn columns(text: &str) -> String {
    of(text).columns.join(" ")
}

#[test]
fn tables_are_found_wherever_they_stand() {
    for (text, expected) in [
        ("SELECT 1", ""),
        ("SELECT 1 FROM DUAL", ""),
        ("SELECT * FROM a, s.b AS x JOIN `c` USING (id)", "a s.b c"),
        ("SELECT * FROM (a, b) JOIN {oj c LEFT JOIN d ON 1}", "a b c d"),
        ("SELECT (SELECT 1 FROM a) FROM b WHERE x IN (SELECT y FROM c)", "b a c"),
        ("SELECT EXTRACT(YEAR FROM d), TRIM(x FROM y) FROM a", "a"),
        ("SELECT * FROM a UNION TABLE b", "a b"),
        ("DESCRIBE s.t", "s.t"),
        ("DESC format 'a%'", "format"),
        ("EXPLAIN extended", "extended"),
        ("EXPLAIN FORMAT=JSON SELECT * FROM a", "a"),
        ("SHOW FULL COLUMNS FROM t FROM s", "s.t"),
        ("SHOW CREATE TABLE s.t", "s.t"),
        ("SHOW TABLES FROM s", ""),
        ("SHOW TABLE STATUS", ""),
        ("CHECKSUM TABLE a, s.b", "a s.b"),
        ("SELECT * FROM status, events", "status events"),
    ] {
        let mut found: Vec<String> = of(text).tables;
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_prepares_or_executes_a_text_names_what_that_does() {
    let server = ServerVersion::from_greeting(b"10.11.14-MariaDB").unwrap();
    let mut facts = SessionFacts::new(server, b"", 45, Some(b"clin")).unwrap();
    let judge = Judge::new(server, Policy::default());
    for (text, expected) in [
        ("PREPARE p FROM 'SELECT x FROM t'", "clin.t"),
        ("USE other", ""),
        // Its names stay bound to the schema of then.
        ("EXECUTE p", "clin.t"),
        ("EXECUTE IMMEDIATE 'SELECT ? FROM s.t, u' USING 1", "s.t other.u"),
        ("DEALLOCATE PREPARE p", ""),
    ] {
        let Verdict::Allow(permit) = judge.judge(&facts, text.into()) else { panic!("{text}") };
        assert_eq!(permit.structure(&facts).tables.join(" "), expected, "{text}");
        facts.apply(permit.effects());
    }
}

#[test]
fn what_stands_where_tables_do_is_none() {
    for (text, expected) in [
        ("SELECT 1 FROM a WINDOW w AS (ORDER BY x), v AS (w) ORDER BY y", "a"),
        ("SELECT 1 FROM a USE INDEX FOR JOIN (i, PRIMARY), b", "a b"),
        ("SELECT 1 FROM a JOIN b IGNORE KEY FOR JOIN (i) JOIN c FORCE KEY (j)", "a b c"),
        ("SELECT 1 FROM (VALUES ROW(1, (SELECT 2 FROM a)), ROW(3, 4)) AS v, b", "a b"),
        ("SELECT 1 FROM a JOIN b ON (VALUES(x) = 1), c", "a b c"),
    ] {
        assert_eq!(tables(text), expected, "{text}");
    }
    for (text, expected) in [
        ("SELECT 1 FROM a FOR SYSTEM_TIME FROM TIMESTAMP '2020-01-01' TO NOW() AS x, b", "a b"),
        ("SELECT 1 FROM a FOR SYSTEM_TIME FROM CURRENT_TIMESTAMP TO CURRENT_TIMESTAMP", "a"),
        ("SELECT 1 system_time FROM a", "a"),
        ("SELECT 1 FROM (VALUES (1, 2), (3, 4)) AS v, b", "b"),
        ("SELECT 1 FROM a window, b", "a b"),
    ] {
        assert_eq!(to("10.11.14-MariaDB", text).tables.join(" "), expected, "{text}");
    }
}

#[test]
fn common_table_expressions_of_mariadb_are_no_tables() {
    for (text, expected) in [
        ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM t) SELECT * FROM a", "t"),
        ("WITH A AS (SELECT 1) SELECT * FROM a, t", "t"),
        ("WITH RECURSIVE a(x) AS (SELECT 1) CYCLE x, b RESTRICT SELECT * FROM a, b", "b"),
        ("WITH RECURSIVE a AS (SELECT 1) CYCLE x RESTRICT, b AS (SELECT 1) SELECT * FROM b", ""),
    ] {
        assert_eq!(to("10.11.14-MariaDB", text).tables.join(" "), expected, "{text}");
    }
}

#[test]
fn common_table_expressions_are_no_tables() {
    for (text, expected) in [
        ("WITH a AS (SELECT * FROM t) SELECT * FROM a", "t"),
        ("WITH a AS (SELECT * FROM t), b (x) AS (SELECT * FROM a) SELECT * FROM a, b", "t"),
        ("WITH RECURSIVE a AS (SELECT 1 UNION SELECT n FROM a) SELECT * FROM a", ""),
        // To MySQL a later one is a table still.
        ("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM t) SELECT * FROM a", "b t"),
        ("WITH A AS (SELECT 1) SELECT * FROM a", "a"),
        // The body of one that isn't recursive reads the table of that name.
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
        // One that counts in a subquery only.
        ("SELECT * FROM a WHERE x IN (WITH a AS (SELECT 1) SELECT * FROM a)", "a"),
        ("WITH b AS (TABLE t) SELECT (WITH b AS (TABLE t),a AS (TABLE b) TABLE a) FROM a,b", "t a"),
        ("WITH a AS (SELECT 1) SELECT * FROM s.a", "s.a"),
        ("WITH a AS (SELECT 1) SELECT * FROM (SELECT * FROM a) AS x", ""),
        ("SELECT a FROM t GROUP BY a WITH ROLLUP", "t"),
    ] {
        assert_eq!(tables(text), expected, "{text}");
    }
}

#[test]
fn bare_tables_are_those_of_the_schema_that_explain_names() {
    for (text, expected) in [
        ("EXPLAIN FOR SCHEMA other SELECT * FROM t JOIN s.u", "other.t s.u"),
        ("EXPLAIN FORMAT = JSON INTO @x FOR DATABASE `other` (SELECT 1 FROM t)", "other.t"),
        ("EXPLAIN FOR SCHEMA other WITH c AS (SELECT 1 FROM t) SELECT * FROM c", "other.t"),
        (
            "EXPLAIN FOR SCHEMA o WITH RECURSIVE c AS (SELECT 1 FROM d), d AS (SELECT 1) TABLE c",
            "o.d",
        ),
        ("EXPLAIN FOR SCHEMA other SELECT 1; SELECT * FROM t", "t"),
        ("SELECT SUBSTRING(a, 1 FOR SCHEMA()) FROM t", "t"),
    ] {
        assert_eq!(of(text).tables.join(" "), expected, "{text}");
    }
    let found = of("EXPLAIN FOR SCHEMA other SELECT x.a, b FROM t AS x");
    assert_eq!(found.columns.join(" "), "other.t.a other.t.b");
}

#[test]
fn a_bare_table_stands_in_the_schema_of_the_session() {
    for (text, expected) in [
        ("SELECT * FROM t JOIN s.u JOIN clin.t AS x", "clin.t s.u"),
        ("SELECT * FROM `visits.2024` JOIN `s`.`a.b`", "clin.visits.2024 s.a.b"),
        ("DESCRIBE t", "clin.t"),
        ("SHOW COLUMNS FROM t FROM s", "s.t"),
        ("EXPLAIN FOR SCHEMA s SELECT * FROM `a.b`", "s.a.b"),
        ("WITH c AS (SELECT 1 FROM t) SELECT * FROM c", "clin.t"),
    ] {
        assert_eq!(in_schema(Some(b"clin"), "9.7.4", text).tables.join(" "), expected, "{text}");
    }
    let text =
        "SELECT x.a, u.b FROM t AS x JOIN s.u WHERE u.c = c; EXPLAIN FOR SCHEMA s SELECT d FROM u";
    let columns = in_schema(Some(b"clin"), "9.7.4", text).columns;
    assert_eq!(columns.join(" "), "?.c clin.t.a s.u.b s.u.c s.u.d");
}

#[test]
fn names_in_other_character_sets_stay_apart() {
    let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let facts = SessionFacts::new(server, b"", 8, Some(b"klinik_s\xfcd")).unwrap();
    let found = structure(&facts, b"SELECT gr\xf6\xdfe FROM `\xe4` UNION SELECT 1 FROM \xfc");
    assert_eq!(found.tables, [r"klinik_s\xfcd.\xe4", r"klinik_s\xfcd.\xfc"]);
    assert_eq!(found.columns, [r"klinik_s\xfcd.\xe4.gr\xf6\xdfe"]);
}

#[test]
fn columns_are_told_by_alias_or_by_the_only_table() {
    for (text, expected) in [
        ("SELECT a, b AS c FROM t WHERE d = 1 ORDER BY c", "t.a t.b t.d"),
        (
            "SELECT x.a, s.u.b, y.c, d FROM t AS x JOIN s.u y ON x.id = y.id",
            "?.d s.u.b s.u.c s.u.id t.a t.id",
        ),
        ("SELECT t.a FROM t, u WHERE b = 1", "?.b t.a"),
        ("SELECT a, b AS c, (SELECT d FROM v) FROM t, u ORDER BY c", "?.a ?.b ?.d"),
        ("SELECT a FROM (SELECT 1 AS a) AS d, (SELECT 2 AS b) AS e", ""),
        ("SELECT * FROM t", "t.*"),
        ("SELECT x.*, count(*) FROM t x, u", "t.*"),
        ("SELECT a * b, 2 * c FROM t", "t.a t.b t.c"),
        ("SELECT `a``b` FROM `t t`", "t t.a`b"),
        ("SELECT (SELECT max(i.b) FROM i WHERE i.k = o.k) FROM o", "i.b i.k o.k"),
        ("SELECT a FROM (SELECT b AS a FROM t) AS d", "t.b"),
        ("WITH c AS (SELECT b FROM t) SELECT c.b, b FROM c", "t.b"),
        ("SELECT CASE WHEN a IS NULL THEN 'x' ELSE b END AS e FROM t", "t.a t.b"),
        (
            "SELECT a FROM t WHERE d > now() - INTERVAL 1 MONTH AND e COLLATE utf8mb4_bin = 'x'",
            "t.a t.d t.e",
        ),
        (
            "SELECT EXTRACT(YEAR FROM d), CAST(a AS CHAR), CONVERT(b USING utf8mb4) FROM t",
            "t.a t.b t.d",
        ),
        ("SELECT TIMESTAMPDIFF(MONTH, a, b), DATE '2024-01-01', @@sql_mode, @v FROM t", "t.a t.b"),
        ("SELECT a FROM t UNION SELECT b FROM u", "t.a u.b"),
        (
            "SELECT sum(a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t",
            "t.a t.b t.c",
        ),
        ("SELECT 1", ""),
        ("SELECT a", ""),
        ("SELECT nhs_number 'NHS', _utf8mb4 'x', TIME '10:11' FROM t", "t.nhs_number"),
        ("SELECT SQL_CALC_FOUND_ROWS * FROM t", "t.*"),
        ("SELECT STRAIGHT_JOIN HIGH_PRIORITY * FROM t", "t.*"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
}

pub(super) const MARIADB: &str = "10.11.14-MariaDB";

#[test]
fn behind_a_union_order_by_names_columns_of_the_result() {
    for (text, expected) in [
        (
            "SELECT a FROM t UNION SELECT d FROM u WHERE e = 1 ORDER BY a, (b), UPPER(c)",
            "t.a u.d u.e",
        ),
        ("SELECT a AS b FROM t EXCEPT ALL SELECT d FROM u GROUP BY e ORDER BY b", "t.a u.d u.e"),
        ("SELECT 1 FROM (SELECT a FROM t UNION SELECT d FROM u ORDER BY a) AS x", "t.a u.d"),
        // This is the second query's own.
        ("SELECT a FROM t UNION (SELECT d FROM u ORDER BY e LIMIT 1) ORDER BY a", "t.a u.d u.e"),
        ("SELECT a FROM t UNION SELECT MAX(d) OVER (ORDER BY e) FROM u ORDER BY 1", "t.a u.d u.e"),
        ("SELECT a FROM t WHERE b = ALL (SELECT d FROM u ORDER BY e)", "?.d ?.e t.a t.b"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
        assert_eq!(to(MARIADB, text).columns.join(" "), expected, "{text}");
    }
    assert_eq!(columns("SELECT a FROM t UNION TABLE u ORDER BY a"), "t.a u.*");
}

#[test]
fn a_table_s_name_is_looked_for_in_any_case_if_none_is_spelled_so() {
    for (text, expected) in [
        ("SELECT X.a, T.b FROM t AS x", "t.a"),
        ("SELECT VISITS.a, u.b FROM Visits JOIN U", "U.b Visits.a"),
        ("SELECT x.a, X.b FROM t AS X JOIN u AS x", "t.b u.a"),
        ("SELECT 1 FROM t T WHERE (SELECT 1 FROM u t WHERE t.a = T.b)", "t.b u.a u.b"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
}

#[test]
fn columns_are_told_from_words_of_the_grammar() {
    for (text, expected) in [
        ("SELECT SQL_NO_CACHE a, b FROM t", "t.a t.b"),
        ("SELECT SQL_BUFFER_RESULT a FROM t", "t.a"),
        (
            "SELECT SUBSTRING(a FROM 2), SUBSTRING('x' FROM b FOR c), TRIM(d FROM 'x') FROM t",
            "t.a t.b t.c t.d",
        ),
        ("SELECT COALESCE(year, 2000), CONCAT(month, '-', day) FROM t", "t.day t.month t.year"),
        (
            "SELECT TIMESTAMPDIFF(month, a, b), TIMESTAMPADD(SQL_TSI_DAY, 1, c) FROM t",
            "t.a t.b t.c",
        ),
        ("SELECT current, unknown, boolean FROM t", "t.boolean t.current t.unknown"),
        ("SELECT a IS NOT UNKNOWN, GET_FORMAT(DATE, 'USA') FROM t", "t.a"),
        ("SELECT CASE WHEN a THEN 1 ELSE NULL END, CURRENT_DATE today, TRUE b FROM t", "t.a"),
        (
            "SELECT a FROM t WHERE b > ANY (SELECT c FROM u) OR c = SOME (SELECT d FROM u)",
            "?.c ?.d t.a t.b t.c",
        ),
        (
            "SELECT MATCH(a) AGAINST('x' IN NATURAL LANGUAGE MODE WITH QUERY EXPANSION) FROM t",
            "t.a",
        ),
        ("SELECT MATCH(a) AGAINST('x' IN BOOLEAN MODE) FROM t GROUP BY a WITH ROLLUP", "t.a"),
        ("SELECT JSON_VALUE(a, '$' NULL ON EMPTY ERROR ON ERROR) FROM t", "t.a"),
        (
            "SELECT SUM(a) OVER (w ORDER BY b) FROM t WINDOW v AS (PARTITION BY c), w AS (v), x AS (PARTITION BY d)",
            "t.a t.b t.c t.d",
        ),
        ("SELECT t.a FROM t USE INDEX (i, j) IGNORE KEY FOR ORDER BY (k) WHERE b = 1", "t.a t.b"),
        ("SELECT * FROM t JOIN u USING (a, b)", "t.* t.a t.b u.* u.a u.b"),
        ("SELECT 1 FROM t JOIN u USING (a) JOIN v USING (b)", "?.b t.a u.a v.b"),
        ("SELECT x.c, d FROM (SELECT a FROM t) AS x (c, d)", "t.a"),
        ("SELECT (WITH x (c) AS (SELECT a FROM u) SELECT UPPER(e) FROM x, v) FROM t", "?.a ?.e"),
        ("SELECT CONVERT(CONVERT(a, date), SIGNED), CONVERT(b, JSON), c FROM t", "t.a t.b t.c"),
        ("SELECT j.c FROM t, JSON_TABLE(t.a, '$' COLUMNS (c INT PATH '$')) AS j, u", "t.a"),
        ("SELECT c FROM JSON_TABLE(@a, '$' COLUMNS (c INT PATH '$')) AS j", ""),
    ] {
        assert_eq!(columns(text), expected, "{text}");
        assert_eq!(to(MARIADB, text).columns.join(" "), expected, "{text}");
    }
    assert_eq!(of("SELECT c FROM (SELECT 1) AS x (c)").functions, [""; 0]);
}

#[test]
fn what_is_reserved_depends_on_the_server() {
    let words = "rank, system, empty, library, `groups`, offset";
    let text = format!("SELECT {words} FROM t");
    let all = "t.empty t.groups t.library t.offset t.rank t.system";
    for (server, expected) in [
        ("9.7.4", "t.groups t.offset"),
        ("8.0.43", "t.groups t.library t.offset"),
        ("10.5.20-MariaDB", all),
        (MARIADB, "t.empty t.groups t.library t.rank t.system"),
    ] {
        assert_eq!(to(server, &text).columns.join(" "), expected, "{server}");
    }
    assert_eq!(to("8.0.13", "SELECT lateral FROM t").columns, ["t.lateral"]);
    assert_eq!(to("8.0.14", "SELECT lateral FROM t").columns, [""; 0]);
    let text = "SELECT rownum, a FROM t MINUS SELECT t.b FROM t";
    let server = ServerVersion::from_greeting(MARIADB.as_bytes()).unwrap();
    let facts = SessionFacts::new(server, b"ORACLE", 255, None).unwrap();
    assert_eq!(structure(&facts, text.as_bytes()).columns.join(" "), "t.a t.b");
}

#[test]
fn a_table_keeps_its_alias_behind_what_says_how_it_is_read() {
    for (text, expected) in [
        ("SELECT x.a FROM t PARTITION (p, q) AS x, u", "t.a"),
        ("SELECT x.a FROM t PARTITION (p) x JOIN u ON x.b = u.c", "t.a t.b u.c"),
        ("SELECT t.a FROM t PARTITION (p), u", "t.a"),
        ("SELECT t.a FROM t JOIN u ON t.b > u.c - INTERVAL 7 DAY", "t.a t.b u.c"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
    for (text, expected) in [
        ("SELECT x.a FROM t FOR SYSTEM_TIME AS OF NOW() AS x, u", "t.a"),
        ("SELECT x.a FROM t FOR SYSTEM_TIME ALL x, u", "t.a"),
        (
            "SELECT x.a FROM t FOR SYSTEM_TIME BETWEEN '2020-01-01' AND CURRENT_TIMESTAMP x, u",
            "t.a",
        ),
        (
            "SELECT x.a FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01' - INTERVAL 1 DAY x",
            "t.a",
        ),
        ("SELECT t.a FROM t FOR SYSTEM_TIME AS OF NOW() - INTERVAL 1 DAY, u", "t.a"),
        ("SELECT t.a FROM t FOR SYSTEM_TIME AS OF TRANSACTION 5 WHERE t.b", "t.a t.b"),
        ("SELECT t.a, u.b FROM t, u WINDOW w AS (ORDER BY c)", "?.c t.a u.b"),
        ("SELECT window.a FROM t window, u", "t.a"),
        ("SELECT t.a FROM t, u OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY", "t.a"),
    ] {
        assert_eq!(to(MARIADB, text).columns.join(" "), expected, "{text}");
    }
}

#[test]
fn from_of_a_window_function_names_no_table() {
    for (text, expected) in [
        ("SELECT NTH_VALUE(a, 2) FROM FIRST OVER (ORDER BY b) FROM t", "t.a t.b"),
        ("SELECT NTH_VALUE(a, 2) FROM FIRST RESPECT NULLS OVER w FROM t WINDOW w AS ()", "t.a"),
        ("SELECT (1) FROM first, t", ""),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
    assert_eq!(tables("SELECT NTH_VALUE(a, 2) FROM FIRST OVER (ORDER BY b) FROM t"), "t");
    for text in [
        "SELECT (1) FROM first, t",
        "SELECT (1) FROM first AS nulls, t",
        "SELECT (1) FROM first ignore, t",
    ] {
        assert_eq!(tables(text), "first t", "{text}");
    }
}

#[test]
fn a_bare_column_is_the_only_tables_beside_subqueries_that_lack_it() {
    for (text, expected) in [
        ("SELECT a, k FROM t JOIN (SELECT b AS k FROM u) AS d", "?.k t.a u.b"),
        ("SELECT a, b FROM t, (SELECT b AS k FROM u) AS d", "?.b t.a u.b"),
        ("SELECT a FROM t, (SELECT * FROM u) AS d", "?.a u.*"),
        ("SELECT a FROM t, (SELECT u.* FROM u, v) AS d", "?.a u.*"),
        ("SELECT c, a FROM t, (SELECT 1) AS d (a)", "?.a t.c"),
        ("SELECT A, k, l FROM t, (SELECT 1 AS k UNION SELECT 2 AS a) AS d", "?.A ?.k t.l"),
        ("SELECT column_0, a FROM t, (VALUES ROW(1)) AS v", "?.a ?.column_0"),
        ("SELECT a FROM t, u, (SELECT 1 AS k) AS d", "?.a"),
        ("WITH c AS (SELECT b AS k FROM u) SELECT a, k FROM t JOIN c", "?.k t.a u.b"),
        ("WITH c (a) AS (SELECT b FROM u) SELECT a, d FROM t JOIN c", "?.a t.d u.b"),
        ("WITH RECURSIVE c AS (SELECT 1 AS k) SELECT a FROM t JOIN c", "?.a"),
        ("WITH c AS (TABLE u) SELECT a FROM t JOIN c", "?.a u.*"),
        ("SELECT x, a FROM t, JSON_TABLE('[]', '$' COLUMNS (x INT PATH '$')) AS j", "?.x t.a"),
        (
            "SELECT n, o, x, w, a FROM t, JSON_TABLE(t.d, '$' COLUMNS (n FOR ORDINALITY, x VARCHAR(9) CHARACTER SET latin1 PATH '$' DEFAULT '0' ON EMPTY NULL ON ERROR, NESTED PATH '$' COLUMNS (o DATE PATH '$', w INT EXISTS PATH '$'))) AS j",
            "?.n ?.o ?.w ?.x t.a t.d",
        ),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
}

#[test]
fn a_whole_table_is_all_of_its_columns() {
    for (text, expected) in [
        ("TABLE t", "t.*"),
        ("SELECT a FROM t UNION TABLE u ORDER BY 1", "t.a u.*"),
        ("SELECT x.a FROM (TABLE t) AS x WHERE a IN (TABLE u)", "t.* u.*"),
        ("WITH c AS (TABLE t) TABLE c LIMIT 1", "t.*"),
    ] {
        assert_eq!(columns(text), expected, "{text}");
    }
}

#[test]
fn a_described_table_may_have_a_keyword_as_its_name() {
    for text in ["DESC event", "EXPLAIN event a", "DESCRIBE event 'a%'", "DESC `event`"] {
        assert_eq!(tables(text), "event", "{text}");
    }
    for text in ["EXPLAIN FORMAT = JSON SELECT 1", "EXPLAIN EXTENDED SELECT 1", "DESC SELECT 1"] {
        assert_eq!(tables(text), "", "{text}");
    }
}

#[test]
fn functions_are_named_once_in_lower_case() {
    let found = of("SELECT COUNT(*), Clin.Age_At(a), count(b) FROM t WHERE a IN (1) AND (b)");
    assert_eq!(found.functions, ["count", "clin.age_at"]);
}

#[test]
fn several_statements_are_kept_apart() {
    let found = of("WITH a AS (SELECT 1) SELECT * FROM a; SELECT b FROM a; DESCRIBE c");
    assert_eq!((found.tables.join(" "), found.columns.join(" ")), ("a c".into(), "a.b".into()));
}

#[test]
fn a_flood_of_names_is_cut_off_and_says_so() {
    let many: Vec<String> = (0..5000).map(|n| format!("t{n}")).collect();
    let found = of(&format!("SELECT {} FROM {}", many.join(","), many.join(",")));
    let columns = of(&format!("SELECT {} FROM t", many.join(","))).columns;
    let derived = format!("SELECT {}, t.secret FROM t, (SELECT * FROM u) AS d", many.join(","));
    for names in [found.tables, columns, of(&derived).columns] {
        assert_eq!((names.len(), names.contains(&MORE.to_owned())), (MAX_NAMES + 1, true));
    }
}

#[test]
fn no_table_is_missed_behind_one_that_is_named_many_times() {
    let many = ["SELECT a FROM t", &" UNION ALL SELECT a FROM t".repeat(9000)].concat();
    assert_eq!(tables(&format!("{many} UNION ALL SELECT b FROM u")), "t u");
}

#[test]
fn a_table_behind_a_flood_of_common_names_is_told_of() {
    // MariaDB reads names before they are declared.
    let names: Vec<String> = (0..2048).map(|n| format!("f{n}")).collect();
    let reads: String = names.iter().map(|name| format!("SELECT 1 FROM {name} UNION ")).collect();
    let bodies: String = names.iter().map(|name| format!(", {name} AS (SELECT 1)")).collect();
    let text = format!("WITH RECURSIVE c AS ({reads} SELECT b FROM t){bodies} SELECT * FROM c");
    let found = to("10.11.14-MariaDB", &text);
    assert_eq!(found.tables, [MORE]);
}

/// Each is looked for among all others: where that is one by one, this takes minutes.
#[test]
fn a_long_list_of_common_table_expressions_is_read_to_its_end() {
    let list: Vec<String> = (0..100_000).map(|n| format!("c{n} AS (SELECT a FROM t)")).collect();
    for recursive in ["", "RECURSIVE"] {
        let text = format!("WITH {recursive} {} SELECT * FROM c9, u", list.join(","));
        for server in ["9.7.4", "10.11.14-MariaDB"] {
            assert_eq!(to(server, &text).tables, ["t", "u"]);
        }
    }
}
