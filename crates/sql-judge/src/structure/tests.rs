//! Texts and what they name.

use super::*;
use crate::server::ServerVersion;
use crate::{Judge, Policy, Verdict};

fn of(text: &str) -> Structure {
    to("9.7.4", text)
}

fn to(server: &str, text: &str) -> Structure {
    let server = ServerVersion::from_greeting(server.as_bytes()).unwrap();
    let facts = SessionFacts::new(server, b"", 255, Some(b"clin")).unwrap();
    structure(&facts, text.as_bytes())
}

fn tables(text: &str) -> String {
    of(text).tables.join(" ")
}

fn columns(text: &str) -> String {
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
        assert_eq!(permit.structure(&facts).qualified.join(" "), expected, "{text}");
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
        assert_eq!(of(text).qualified.join(" "), expected, "{text}");
    }
}

#[test]
fn names_in_other_character_sets_stay_apart() {
    let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let facts = SessionFacts::new(server, b"", 8, Some(b"klinik_s\xfcd")).unwrap();
    let found = structure(&facts, b"SELECT gr\xf6\xdfe FROM `\xe4` UNION SELECT 1 FROM \xfc");
    assert_eq!(found.qualified, [r"klinik_s\xfcd.\xe4", r"klinik_s\xfcd.\xfc"]);
    assert_eq!(found.columns, [r"\xe4.gr\xf6\xdfe"]);
}

#[test]
fn columns_are_told_by_alias_or_by_the_only_table() {
    for (text, expected) in [
        ("SELECT a, b AS c FROM t WHERE d = 1 ORDER BY c", "t.a t.b t.d"),
        (
            "SELECT x.a, s.u.b, y.c, d FROM t AS x JOIN s.u y ON x.id = y.id",
            "s.u.b s.u.c s.u.id t.a t.id",
        ),
        ("SELECT t.a FROM t, u WHERE b = 1", "t.a"),
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
    for names in [found.tables, found.qualified, columns] {
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
    assert_eq!((found.tables, found.qualified), (vec![MORE.to_owned()], vec![MORE.to_owned()]));
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
