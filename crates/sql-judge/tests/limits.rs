//! Users may shorten the time limits of the session's guard, and not lengthen them.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use bytes::Bytes;
use sql_judge::{Judge, Limits, Policy, ServerVersion, SessionFacts, Verdict};

fn verdict(version: &str, statement: &str) -> &'static str {
    let server = ServerVersion::from_greeting(version.as_bytes()).unwrap();
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let limits = Limits { statement: seconds(60), lock_wait: seconds(10) };
    let judge = Judge::new(server, Policy::default()).with_limits(limits);
    let facts = SessionFacts::new(server, b"", 45, None).unwrap();
    match judge.judge(&facts, Bytes::copy_from_slice(statement.as_bytes())) {
        Verdict::Allow(_) => "allow",
        Verdict::Absorb(_) => "absorb",
        Verdict::Own(_) => "own",
        Verdict::Deny(denial) => denial.rule,
    }
}

#[test]
fn a_shorter_limit_is_set() {
    for statement in [
        "SET max_execution_time = 1000",
        "SET SESSION max_statement_time = 59.5, lock_wait_timeout = 1",
        "SET innodb_lock_wait_timeout = 10",
        "SELECT /*+ MAX_EXECUTION_TIME(60000) */ 1",
        "SET max_statement_time = 0.001",
    ] {
        assert_eq!(verdict("9.7.4", statement), "allow", "{statement}");
    }
    let statement = "SET STATEMENT max_statement_time = 5 FOR SELECT 1";
    assert_eq!(verdict("10.11.19-MariaDB", statement), "allow");
}

#[test]
fn a_longer_limit_or_none_is_answered_and_not_set() {
    for statement in [
        "SET max_execution_time = 0",
        "SET max_execution_time = 60001",
        "SET max_execution_time = DEFAULT",
        "SET max_execution_time = 1 + 1",
        "SET @@max_statement_time = 0.000000",
        "SET max_statement_time = 1e-7",
        "SET lock_wait_timeout = 31536000",
    ] {
        assert_eq!(verdict("9.7.4", statement), "absorb", "{statement}");
    }
}

#[test]
fn a_longer_limit_beside_other_settings_is_refused() {
    let statement = "SET autocommit = 1, max_execution_time = 0";
    assert_eq!(verdict("9.7.4", statement), "mixed_absorbed");
    for statement in
        ["SELECT /*+ MAX_EXECUTION_TIME(0) */ 1", "SELECT /*+ max_execution_time() */ 1"]
    {
        assert_eq!(verdict("9.7.4", statement), "raised_limit", "{statement}");
    }
    for value in ["0", "61", "5 + 100", "DEFAULT"] {
        let statement = format!("SET STATEMENT max_statement_time = {value} FOR SELECT 1");
        assert_eq!(verdict("10.11.19-MariaDB", &statement), "raised_limit", "{value}");
    }
}

#[test]
fn without_a_limit_any_is_set() {
    let server = ServerVersion::from_greeting(b"10.11.19-MariaDB").unwrap();
    let judge = Judge::new(server, Policy::default());
    let facts = SessionFacts::new(server, b"", 45, None).unwrap();
    for statement in [
        "SET max_statement_time = 0",
        "SET lock_wait_timeout = 1 + 1",
        "SET STATEMENT max_statement_time = 1 + 1 FOR SELECT 1",
    ] {
        let verdict = judge.judge(&facts, Bytes::copy_from_slice(statement.as_bytes()));
        assert!(matches!(verdict, Verdict::Allow(_)), "{statement}: {verdict:?}");
    }
}
