//! What a permitted statement does to its session: which the daemon takes over once the server has
//! answered, or asks the server about.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use sql_judge::{
    Judge, Policy, ReadPermit, ServerVersion, SessionFacts, Verdict, prepares_as_written,
};

const MARIADB: &[u8] = b"10.11.19-MariaDB";
const MYSQL: &[u8] = b"9.7.4";

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
    assert!(client.facts.resync(b"NO_BACKSLASH_ESCAPES", b"latin1", Some(b"other")));
    assert_eq!(client.refused_by(WRITES_UNLESS_ESCAPED), Some("into_target"));
    assert_eq!(client.facts.schema(), Some(&b"other"[..]));
    assert_eq!(client.refused_by("EXECUTE s"), None);
    // What can't be read leaves everything as it was.
    for (mode, charset) in [(&b"KLINGON"[..], &b"latin1"[..]), (b"", b"utf16")] {
        assert!(!client.facts.resync(mode, charset, None));
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
        assert_eq!(prepares_as_written(server, collation.as_bytes()), as_written, "{collation}");
    }
}
