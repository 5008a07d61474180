//! Space and comments around a text never turn a refusal into a permit.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict};

const GAPS: [&str; 6] = [" ", "\n", "/* ' */", "-- \"\n", "# `\n", "/*!999999 x */ "];

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (gap, text) = input;
    let server = ServerVersion::from_greeting(b"10.11.19-MariaDB").unwrap();
    let judge = Judge::new(server, Policy::default());
    let facts = SessionFacts::from_session_variables(server, b"", b"utf8mb4", None).unwrap();
    let gap = GAPS[usize::from(gap) % GAPS.len()].as_bytes();
    let allowed = |text: &[u8]| {
        matches!(judge.judge(&facts, Bytes::copy_from_slice(text)), Verdict::Allow(_))
    };
    assert_eq!(allowed(&text), allowed(&[gap, &text].concat()));
});
