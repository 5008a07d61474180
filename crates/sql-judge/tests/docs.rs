//! Every fenced statement of `docs/statements.md` gets the verdict that its fence names; with
//! `as reader` behind it, in a role that reads `clin` and sees nobody else's sessions. And refusals
//! are worded as `docs/clients.md` quotes them for those who meet them.

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

#[test]
fn the_page_for_people_quotes_refusals_as_they_are_worded() {
    let statements = include_str!("../../../docs/statements.md").lines();
    let more = ["insert into t values (1)", "select f(1)", "call p()", "SET sql_log_bin = 0"];
    let reasons: Vec<String> = statements.chain(more).filter_map(refusal).collect();
    let page = include_str!("../../../docs/clients.md");
    let (_, table) = page.split_once("### Refused statements").unwrap();
    // The last row is of rules that aren't the judge's.
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    for row in rows.iter().skip(1).rev().skip(1) {
        let cell = row.split('|').nth(1).unwrap();
        for quoted in cell.split('`').skip(1).step_by(2) {
            let is_it =
                |reason: &String| quoted.split("...").all(|part| reason.contains(part.trim()));
            assert!(reasons.iter().any(is_it), "{quoted}");
        }
    }
    assert!(rows.len() > 10);
}

fn refusal(statement: &str) -> Option<String> {
    let server = ServerVersion::from_greeting(b"9.7.4").unwrap();
    let facts = SessionFacts::new(server, b"", 255, Some(b"clin")).unwrap();
    let statement = Bytes::copy_from_slice(statement.as_bytes());
    match Judge::new(server, reader()).judge(&facts, statement) {
        Verdict::Deny(denial) => Some(denial.reason.to_string()),
        Verdict::Allow(_) | Verdict::Absorb(_) | Verdict::Own(_) => None,
    }
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
