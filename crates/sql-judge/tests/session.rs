//! What a permitted statement does to its session: which the daemon takes over once the server has
//! answered, or asks the server about.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use sql_judge::{
    Judge, Policy, ReadPermit, ServerVersion, SessionFacts, SessionVariables, Verdict,
};

const MARIADB: &[u8] = b"10.11.19-MariaDB";
const MYSQL: &[u8] = b"9.7.4";

fn said<'v>(
    sql_mode: &'v str,
    character_set_client: &'v str,
    collation_connection: &'v str,
) -> SessionVariables<'v> {
    let [sql_mode, character_set_client, collation_connection] =
        [sql_mode, character_set_client, collation_connection].map(str::as_bytes);
    SessionVariables { sql_mode, character_set_client, collation_connection, schema: None }
}

struct Client {
    judge: Judge,
    facts: SessionFacts,
}

impl Client {
    fn of(greeting: &[u8]) -> Self {
        let server = ServerVersion::from_greeting(greeting).unwrap();
        let policy = Policy {
            allowed_functions: vec!["clin.age_at".into(), "clin.md5".into()],
            allowed_calls: vec!["clin.report".into()],
            ..Policy::default()
        };
        let facts = SessionFacts::new(server, b"", 45, Some(b"clin")).unwrap();
        Self { judge: Judge::new(server, policy), facts }
    }

    fn verdict(&self, text: &str) -> Verdict {
        self.judge.judge(&self.facts, Bytes::copy_from_slice(text.as_bytes()))
    }

    fn permit(&self, text: &str) -> ReadPermit {
        match self.verdict(text) {
            Verdict::Allow(permit) => permit,
            other @ (Verdict::Absorb(_) | Verdict::Own(_) | Verdict::Deny(_)) => {
                panic!("{text}: {other:?}")
            }
        }
    }

    fn run(&mut self, text: &str) {
        let permit = self.permit(text);
        self.facts.apply(permit.effects());
    }

    /// The rule that refuses the text, if one does.
    fn refused_by(&self, text: &str) -> Option<&'static str> {
        match self.verdict(text) {
            Verdict::Deny(denial) => Some(denial.rule),
            Verdict::Allow(_) | Verdict::Absorb(_) | Verdict::Own(_) => None,
        }
    }
}

/// A string that ends at its second quote only where a backslash escapes nothing.
const WRITES_UNLESS_ESCAPED: &str = r"SELECT '\' INTO OUTFILE 'f' -- '";

#[test]
fn what_an_error_leaves_in_doubt_is_read_back() {
    for (text, in_doubt) in [
        ("SET NAMES latin1", true),
        ("SET sql_mode = 'ANSI_QUOTES'", true),
        ("SET sql_mode = @x", true),
        ("SET profiling = 1", true),
        ("USE other", false),
        ("PREPARE s FROM 'SELECT 1'", false),
        ("DEALLOCATE PREPARE s", false),
        ("CALL clin.report(1)", false),
        ("EXECUTE IMMEDIATE 'SELECT 1'", false),
        ("EXECUTE IMMEDIATE 'SET NAMES latin1'", true),
        ("SELECT 1", false),
    ] {
        let mut client = Client::of(MARIADB);
        let permit = client.permit(text);
        assert_eq!(client.facts.apply_failed(permit.effects()), in_doubt, "{text}");
        assert_eq!(permit.effects().is_empty(), text == "SELECT 1", "{text}");
    }
}

#[test]
fn what_a_setting_was_understood_to_mean_is_held_against_the_replicas_word() {
    const MODE: &str = "SET sql_mode = 'ANSI_QUOTES'";
    const NAMES: &str = "SET NAMES sjis";
    // What the replica says, and whether that is what was understood.
    for (setting, mode, charset, collation, is_confirmed) in [
        (MODE, "ANSI_QUOTES", "utf8mb4", "utf8mb4_bin", true),
        (MODE, "ANSI_QUOTES,NO_ZERO_DATE", "utf8mb3", "latin1_bin", true),
        (MODE, "", "utf8mb4", "utf8mb4_bin", false),
        (MODE, "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "utf8mb4", "utf8mb4_bin", false),
        (MODE, "ANSI_QUOTES", "gbk", "utf8mb4_bin", false),
        (MODE, "ANSI_QUOTES", "swe7", "utf8mb4_bin", false),
        (MODE, "ANSI_QUOTES,NEVER_HEARD_OF", "utf8mb4", "utf8mb4_bin", false),
        (NAMES, "", "cp932", "sjis_bin", true),
        (NAMES, "", "utf8mb4", "sjis_bin", false),
        (NAMES, "", "sjis", "swe7_bin", false),
        // The schema's, in which literals may be anything.
        ("SET CHARACTER SET latin1", "", "latin1", "swe7_bin", true),
    ] {
        let mut client = Client::of(MARIADB);
        assert!(!client.facts.is_foretold());
        client.run(setting);
        assert!(client.facts.is_foretold(), "{setting}");
        assert_eq!(
            client.facts.confirm(&said(mode, charset, collation)),
            is_confirmed,
            "{mode} {charset} {collation}"
        );
        assert!(!client.facts.is_foretold(), "asked once");
    }
    for text in ["SET @a = 1", "SET autocommit = 1", "USE other", "PREPARE s FROM 'SELECT 1'"] {
        let mut client = Client::of(MARIADB);
        client.run(text);
        assert!(!client.facts.is_foretold(), "{text}");
    }
}

#[test]
fn a_text_without_quotes_is_read_alike_in_all_modes() {
    let alike = |text: &str| Client::of(MARIADB).permit(text).reads_alike();
    for text in ["SHOW WARNINGS", "SELECT FOUND_ROWS() AS n, @@warning_count"] {
        assert!(alike(text), "{text}");
    }
    let others = [
        "SELECT 'a'",
        r#"SELECT "a""#,
        "SELECT 1 AS `a`",
        r"SELECT 1 /* \ */",
        "SELECT 1 AS \u{e9}",
    ];
    for text in others {
        assert!(!alike(text), "{text}");
    }
}

#[test]
fn a_call_that_fails_may_have_prepared_other_texts() {
    for (failed, refused) in
        [("CALL clin.report(1)", Some("unknown_prepared")), ("SET NAMES latin1", None)]
    {
        let mut client = Client::of(MARIADB);
        client.run("PREPARE s FROM 'SELECT 1'");
        let permit = client.permit(failed);
        let _: bool = client.facts.apply_failed(permit.effects());
        assert_eq!(client.refused_by("EXECUTE s"), refused, "{failed}");
    }
}

#[test]
fn what_the_server_says_of_the_session_counts_from_then_on() {
    let mut client = Client::of(MYSQL);
    client.run("PREPARE s FROM 'SELECT 1'");
    client.run("SET sql_mode = @x");
    assert_eq!(client.refused_by("SELECT 1"), Some("in_doubt"));
    let variables = said("NO_BACKSLASH_ESCAPES", "latin1", "latin1_bin");
    let in_other = SessionVariables { schema: Some(b"other"), ..variables };
    assert!(client.facts.resync(&in_other));
    assert_eq!(client.refused_by(WRITES_UNLESS_ESCAPED), Some("into_target"));
    assert_eq!(client.facts.schema(), Some(&b"other"[..]));
    assert_eq!(client.refused_by("EXECUTE s"), None);
    // What can't be read leaves everything as it was.
    for (mode, charset) in [("KLINGON", "latin1"), ("", "utf16")] {
        assert!(!client.facts.resync(&said(mode, charset, "latin1_bin")));
        assert_eq!(client.facts.schema(), Some(&b"other"[..]));
        assert_eq!(client.refused_by(WRITES_UNLESS_ESCAPED), Some("into_target"));
    }
}

#[test]
fn the_servers_flag_is_held_against_the_mode() {
    let mut client = Client::of(MYSQL);
    assert!(client.facts.agrees(false) && !client.facts.agrees(true));
    client.run("SET sql_mode = 'NO_BACKSLASH_ESCAPES'");
    assert!(client.facts.agrees(true) && !client.facts.agrees(false));
}

#[test]
fn a_routine_is_seen_however_it_is_run() {
    for (greeting, text, runs) in [
        (MARIADB, "CALL clin.report(1)", true),
        (MARIADB, "SELECT clin.age_at(1)", true),
        (MARIADB, "SELECT age_at(1) FROM t", true),
        (MARIADB, "EXECUTE IMMEDIATE 'SELECT age_at(1)'", true),
        (MARIADB, "SELECT concat(1, 2)", false),
        (MARIADB, "EXECUTE IMMEDIATE 'SELECT 1'", false),
        // A function that this version has no more.
        (MYSQL, "SELECT md5(1)", true),
        (b"8.4.0", "SELECT md5(1)", false),
    ] {
        assert_eq!(Client::of(greeting).permit(text).runs_routine(), runs, "{text}");
    }
}

#[test]
fn a_session_that_may_keep_texts_is_known() {
    for (text, keeps) in [
        ("SET profiling = 1", true),
        ("SET @@session.optimizer_trace = 'enabled=on'", true),
        ("SET STATEMENT profiling = 1 FOR SELECT 1", true),
        ("EXECUTE IMMEDIATE 'SET profiling = 1'", true),
        ("SET optimizer_search_depth = 1", false),
    ] {
        assert_eq!(Client::of(MARIADB).permit(text).effects().leave_texts(), keeps, "{text}");
    }
}

#[test]
fn statements_prepared_by_name_are_bounded() {
    let mut client = Client::of(MYSQL);
    for number in 0..128 {
        client.run(&format!("PREPARE s{number} FROM 'SELECT 1'"));
    }
    assert_eq!(client.refused_by("PREPARE t FROM 'SELECT 1'"), Some("too_many_prepared"));
    client.run("DEALLOCATE PREPARE s5");
    assert_eq!(client.refused_by("PREPARE t FROM 'SELECT 1'"), None);
    let long = |len: usize| format!("PREPARE t FROM 'SELECT 1{}'", " ".repeat(len - 8));
    assert_eq!(client.refused_by(&long(64 * 1024)), None);
    assert_eq!(client.refused_by(&long(64 * 1024 + 1)), Some("prepare_source"));
}

#[test]
fn a_character_set_that_alters_literals_is_mariadbs_alone_to_fear() {
    for (greeting, collation, as_written) in [
        (MARIADB, "utf8mb4_uca1400_ai_ci", true),
        (MARIADB, "utf16le_bin", true),
        (MARIADB, "swe7_swedish_ci", false),
        (MARIADB, "filename", false),
        (MYSQL, "swe7_swedish_ci", true),
    ] {
        let server = ServerVersion::from_greeting(greeting).unwrap();
        let facts = SessionFacts::of_replica(server, &said("", "utf8mb4", collation));
        assert_eq!(facts.is_some(), as_written, "{collation}");
    }
}

#[test]
fn a_text_of_several_statements_is_judged_whole_each_time() {
    let client = Client::of(MARIADB);
    let text = Bytes::from_static(b"SELECT 1; DELETE FROM t");
    for time in 0..5 {
        assert_eq!(client.refused_by("SELECT 1; DELETE FROM t"), Some("several_statements"));
        let verdicts = client.judge.judge_several(&client.facts, text.clone());
        assert!(matches!(verdicts.as_slice(), [Verdict::Allow(_), Verdict::Deny(_)]), "{time}");
    }
}

#[test]
fn statements_of_one_text_are_bounded() {
    let client = Client::of(MYSQL);
    for (count, refused) in [(1000, false), (1001, true)] {
        let text = Bytes::from("SELECT 1;".repeat(count));
        let verdicts = client.judge.judge_several(&client.facts, text);
        assert_eq!(matches!(verdicts.last(), Some(Verdict::Deny(_))), refused, "{count}");
    }
}

/// What is kept of a statement wherever it is counted or recorded.
#[test]
fn each_statement_is_known_by_its_kind_whatever_becomes_of_it() {
    let client = Client::of(MARIADB);
    for (text, kind) in [
        ("", "empty"),
        ("SELECT 1", "select"),
        ("SELECT a FROM t INTO OUTFILE 'f'", "select"),
        ("ANALYZE SELECT 1", "explain"),
        ("ANALYZE TABLE t", "explain"),
        ("PREPARE s FROM 'SELECT 1'", "prepare"),
        ("EXECUTE IMMEDIATE 'SELECT 1'", "prepare"),
        ("DEALLOCATE PREPARE s", "prepare"),
        ("DROP TABLE t", "definition"),
        ("START SLAVE", "admin"),
        ("LOCK TABLES t READ", "lock"),
        ("UNLOCK TABLES", "lock"),
        ("KILL x", "kill"),
        ("HELP 'x'", "help"),
        ("CHECKSUM TABLE t", "checksum"),
        ("CALL clin.report(1)", "call"),
        ("CALL clin.other(1)", "call"),
        ("DELETE FROM t", "write"),
        ("GRANT ALL ON *.* TO a", "admin"),
        ("FROBNICATE", "unknown"),
    ] {
        let found = match client.verdict(text) {
            Verdict::Allow(permit) => permit.kind(),
            Verdict::Absorb(absorbed) => absorbed.kind,
            Verdict::Deny(denial) => denial.kind,
            Verdict::Own(own) => panic!("{own:?}"),
        };
        assert_eq!(found.as_str(), kind, "{text}");
    }
}

#[test]
fn a_reason_holds_no_value() {
    let client = Client::of(MYSQL);
    for (text, named) in
        [("COMMIT 'sesame'", "a string"), ("COMMIT AND", "the end"), ("COMMIT x", "x")]
    {
        let Verdict::Deny(denial) = client.verdict(text) else { panic!("{text}") };
        assert!(denial.reason.ends_with(&format!("at: {named}")), "{}", denial.reason);
    }
}

#[test]
fn a_permit_from_before_holds_only_while_its_text_means_a_read() {
    let mut client = Client::of(MYSQL);
    let prepare = |client: &Client, text: &str| {
        let text = Bytes::copy_from_slice(text.as_bytes());
        match client.judge.judge_prepare(&client.facts, text) {
            Verdict::Allow(permit) => permit,
            other @ (Verdict::Absorb(_) | Verdict::Own(_) | Verdict::Deny(_)) => {
                panic!("{other:?}")
            }
        }
    };
    let harmless = prepare(&client, "SELECT * FROM t");
    let hangs_on_mode = prepare(&client, r"SELECT '\' INTO OUTFILE f -- '");
    assert!(client.judge.still_holds(&client.facts, &hangs_on_mode));
    client.run("SET sql_mode = 'NO_BACKSLASH_ESCAPES'");
    assert!(client.judge.still_holds(&client.facts, &harmless));
    assert!(!client.judge.still_holds(&client.facts, &hangs_on_mode));

    // A role that reads less by now: names are those of the schema of then.
    let schemas = |names: &[&str]| {
        let schemas = Some(names.iter().map(|name| String::from(*name)).collect());
        Judge::new(client.judge.server(), Policy { schemas, ..Policy::default() })
    };
    for (listed, allowed) in [(&["clin"][..], true), (&["other"], false), (&["x", "clin"], true)] {
        let mut facts = client.facts.clone();
        facts.apply(client.permit("USE other").effects());
        assert_eq!(schemas(listed).would_allow(&facts, &harmless), allowed, "{listed:?}");
    }
}

#[test]
fn names_in_commands_are_names_and_of_schemas_that_may_be_read() {
    let client = Client::of(MYSQL);
    let schemas = Some(vec!["clin".to_owned()]);
    let narrow = Judge::new(client.judge.server(), Policy { schemas, ..Policy::default() });
    let long = |len: usize| "x".repeat(len);
    for (name, wide, in_narrow) in [
        ("clin", true, true),
        ("mysql", true, true),
        ("other", true, false),
        ("", false, false),
        ("a\0b", false, false),
        (&long(256), true, false),
        (&long(257), false, false),
    ] {
        let found = [&client.judge, &narrow].map(|judge| {
            let name = Bytes::copy_from_slice(name.as_bytes());
            matches!(judge.judge_init_db(&client.facts, name), Verdict::Allow(_))
        });
        assert_eq!(found, [wide, in_narrow], "{name}");
    }
    let in_schema =
        |schema: &[u8]| SessionFacts::new(client.judge.server(), b"", 45, Some(schema)).unwrap();
    for (payload, schema, allowed) in [
        ("t\0", "clin", true),
        ("t\0a%", "clin", true),
        ("t\0a%\0", "clin", true),
        ("t\0a%\0b", "clin", false),
        ("\0a%", "clin", false),
        ("t\0a%", "other", false),
        (&format!("{}\0", long(256)), "clin", true),
        (&format!("{}\0", long(257)), "clin", false),
        (&format!("t\0{}", long(256)), "clin", true),
        (&format!("t\0{}", long(257)), "clin", false),
    ] {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let verdict = narrow.judge_field_list(&in_schema(schema.as_bytes()), payload.clone());
        assert_eq!(matches!(verdict, Verdict::Allow(_)), allowed, "{payload:?} in {schema}");
    }
}

#[test]
fn versions_that_the_rules_are_not_made_for_are_none() {
    for (greeting, number) in [
        ("8.0.0", Some(80_000)),
        ("8.0.45-aurora", Some(80_045)),
        ("99.99.99", Some(999_999)),
        ("7.9.99", None),
        ("0.9.1", None),
        ("100.0.1", None),
        ("9.100.1", None),
        ("9.1.100", None),
        ("10.3.0-MariaDB", Some(100_300)),
        ("5.5.5-10.11.19-MariaDB", Some(101_119)),
        ("10.2.99-MariaDB", None),
        ("MariaDB", None),
    ] {
        let found = ServerVersion::from_greeting(greeting.as_bytes());
        assert_eq!(found.map(|server| server.number), number, "{greeting}");
    }
}
