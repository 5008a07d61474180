//! What a computed value makes of the mode is read back, not foretold. So is what a prepared
//! statement makes of it, which runs later than it is judged, under another mode perhaps.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use sql_judge::{Judge, Policy, ReadPermit, ServerVersion, SessionFacts, Verdict};

/// What is written out, and what only the replica can compute.
const SETS: &[(&str, bool)] = &[
    ("SET sql_mode = 'ANSI_QUOTES'", true),
    ("SET sql_mode = 0", true),
    ("SET NAMES latin1", true),
    ("SET CHARACTER SET utf8mb4", true),
    ("SET sql_mode = CONCAT(@@sql_mode, '')", false),
    ("SET sql_mode = REPLACE(0, 0, 'ANSI_QUOTES')", false),
    ("SET sql_mode = (SELECT 'ANSI_QUOTES')", false),
    (r"SET sql_mode = REPLACE('ANSI_QUOTES', 'ANSI_Q\UOTES', '')", false),
    (r"SET character_set_client = REPLACE('utf8mb4', 'utf\8mb4', 'gbk')", false),
];

fn judges() -> [(Judge, SessionFacts); 2] {
    [&b"9.7.4"[..], b"10.11.19-MariaDB"].map(|greeting| {
        let server = ServerVersion::from_greeting(greeting).unwrap();
        let facts = SessionFacts::new(server, b"", 45, None).unwrap();
        (Judge::new(server, Policy::default()), facts)
    })
}

fn permit(verdict: Verdict) -> ReadPermit {
    match verdict {
        Verdict::Allow(permit) => permit,
        other @ (Verdict::Absorb(_) | Verdict::Own(_) | Verdict::Deny(_)) => panic!("{other:?}"),
    }
}

fn leaves_doubt(facts: &SessionFacts, permit: &ReadPermit) -> bool {
    let mut facts = facts.clone();
    facts.apply(permit.effects());
    facts.in_doubt()
}

#[test]
fn a_setting_of_the_mode_is_read_back_where_it_is_computed_or_was_prepared() {
    for (judge, facts) in judges() {
        for (set, written_out) in SETS {
            let text = Bytes::from_static(set.as_bytes());
            let at_once = permit(judge.judge(&facts, text.clone()));
            assert_ne!(leaves_doubt(&facts, &at_once), *written_out, "{set}");
            let prepared = permit(judge.judge_prepare(&facts, text));
            assert!(leaves_doubt(&facts, &prepared), "{set}");
            let literal = set.replace('\\', r"\\").replace('\'', "''");
            let named = Bytes::from(format!("PREPARE s FROM '{literal}'"));
            let named = permit(judge.judge(&facts, named));
            assert!(!leaves_doubt(&facts, &named), "{set}");
            let mut facts = facts.clone();
            facts.apply(named.effects());
            let executed = permit(judge.judge(&facts, Bytes::from_static(b"EXECUTE s")));
            assert!(leaves_doubt(&facts, &executed), "{set}");
        }
    }
}

#[test]
fn other_prepared_statements_leave_no_doubt() {
    for (judge, facts) in judges() {
        for text in ["SET autocommit = 1", "SELECT @@sql_mode", "SET @a = 1, time_zone = '+00:00'"]
        {
            let prepared = judge.judge_prepare(&facts, Bytes::from_static(text.as_bytes()));
            assert!(!leaves_doubt(&facts, &permit(prepared)), "{text}");
        }
    }
}

#[test]
fn the_own_list_of_sessions_holds_under_any_mode() {
    for (judge, facts) in judges() {
        let policy = Policy { own_sessions_only: true, ..Policy::default() };
        let judge = Judge::new(judge.server(), policy);
        let text = Bytes::from_static(b"SHOW PROCESSLIST");
        let prepared = permit(judge.judge_prepare(&facts, text));
        let later = SessionFacts::new(judge.server(), b"ANSI_QUOTES", 8, None).unwrap();
        assert!(judge.still_holds(&later, &prepared));
        assert!(judge.would_allow(&facts, &prepared));
    }
}
