//! Every fenced statement of `docs/statements.md` gets the verdict that its fence names; with
//! `as reader` behind it, in a role that reads `clin` and sees nobody else's sessions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict};

#[test]
fn the_page_of_statements_says_what_the_judge_does() {
    let page = include_str!("../../../docs/statements.md");
    let mut fence = None;
    let mut count = 0;
    for line in page.lines() {
        if let Some(info) = line.strip_prefix("```") {
            fence = (!info.is_empty()).then_some(info);
        } else if let Some(expected) = fence {
            for (version, collation) in [("9.7.4", 255), ("10.11.19-MariaDB", 45)] {
                let (expected, role) = match expected.strip_suffix(" as reader") {
                    Some(expected) => (expected, reader()),
                    None => (expected, Policy::default()),
                };
                let found = verdict(version, collation, line, role);
                assert_eq!(found, expected, "{version}: {line}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} statements were found");
}

fn reader() -> Policy {
    let schemas = Some(vec!["clin".to_owned()]);
    Policy { schemas, own_sessions_only: true, ..Policy::default() }
}

fn verdict(version: &str, collation: u16, statement: &str, role: Policy) -> String {
    let server = ServerVersion::from_greeting(version.as_bytes()).unwrap();
    let judge = Judge::new(server, Policy { sleep_max_seconds: 2, ..role });
    let facts = SessionFacts::new(server, b"", collation, Some(b"clin")).unwrap();
    match judge.judge(&facts, Bytes::copy_from_slice(statement.as_bytes())) {
        Verdict::Allow(_) => "allow".to_owned(),
        Verdict::Absorb(_) => "absorb".to_owned(),
        Verdict::Own(_) => "own".to_owned(),
        Verdict::Deny(denial) => format!("refuse {}", denial.rule),
    }
}
