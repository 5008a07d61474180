//! Any bytes in any session end in verdicts that keep their promises: a permit holds the
//! bytes that were judged, a refusal points into the text and can be shown to a client.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict, explain};

const VERSIONS: [&[u8]; 4] = [b"9.7.4", b"8.0.30", b"10.11.19-MariaDB", b"11.8.2-MariaDB"];
const MODES: [&[u8]; 4] = [b"", b"ANSI_QUOTES", b"NO_BACKSLASH_ESCAPES", b"ANSI"];
const CHARSETS: [&[u8]; 8] =
    [b"utf8mb4", b"latin1", b"gbk", b"big5", b"sjis", b"ujis", b"binary", b"cp1251"];

fuzz_target!(|input: (u8, u8, u8, Vec<u8>)| {
    let (version, mode, charset, text) = input;
    let one = |of: &[&'static [u8]], index: u8| of[usize::from(index) % of.len()];
    let server = ServerVersion::from_greeting(one(&VERSIONS, version)).unwrap();
    let (mode, charset) = (one(&MODES, mode), one(&CHARSETS, charset));
    let facts = SessionFacts::from_session_variables(server, mode, charset, Some(b"clin")).unwrap();
    let judge = Judge::new(server, Policy::default());
    let text = Bytes::from(text);

    let verdicts = judge.judge_several(&facts, text.clone());
    assert!(!verdicts.is_empty());
    for (number, verdict) in verdicts.iter().enumerate() {
        match verdict {
            Verdict::Deny(denial) => {
                assert!(denial.offset <= text.len());
                assert!(denial.reason.len() <= 400 && denial.reason.is_ascii());
            }
            Verdict::Allow(permit) if verdicts.len() == 1 => assert_eq!(permit.text(), &text),
            Verdict::Allow(permit) if number == 0 => {
                // What is sent alone is what was judged alone.
                assert!(matches!(judge.judge(&facts, permit.text().clone()), Verdict::Allow(_)));
            }
            Verdict::Allow(_) => {}
            Verdict::Absorb(_) | Verdict::Own(_) => {}
        }
    }
    let _ = explain(&judge, &facts, text).to_text(b"");
});
