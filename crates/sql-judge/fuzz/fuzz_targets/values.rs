//! A judge that has let a text through says of any other text what a judge without a memory
//! says: same verdict, same names. The second text is the first with a piece of it replaced;
//! both are long enough for a pattern, if the input wants that.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict, shape, structure};

static SERVERS: LazyLock<[(SessionFacts, Judge); 2]> = LazyLock::new(|| {
    [&b"9.7.4"[..], b"10.11.19-MariaDB"].map(|greeting| {
        let server = ServerVersion::from_greeting(greeting).unwrap();
        let facts =
            SessionFacts::from_session_variables(server, b"", b"utf8mb4", Some(b"clin")).unwrap();
        (facts, judge(server))
    })
});

/// As long as the shortest text that is tried on patterns.
const LONG_HEAD: &[u8; 256] = &{
    let mut head = [b' '; 256];
    (head[0], head[1], head[254], head[255]) = (b'/', b'*', b'*', b'/');
    head
};

fn judge(server: ServerVersion) -> Judge {
    let policy = Policy { sleep_max_seconds: 2, own_sessions_only: true, ..Policy::default() };
    Judge::new(server, policy)
}

fn said(judge: &Judge, facts: &SessionFacts, text: &[u8]) -> String {
    match judge.judge(facts, Bytes::copy_from_slice(text)) {
        Verdict::Allow(permit) => {
            let named = permit.remember_alike(|| (structure(facts, text), shape(facts, text)));
            format!("{:?} {:?} {named:?}", permit.kind(), permit.effects())
        }
        other => format!("{other:?}"),
    }
}

fuzz_target!(|input: (u8, u16, u8, Vec<u8>, Vec<u8>)| {
    let (choice, at, len, piece, mut text) = input;
    let (facts, warm) = &SERVERS[usize::from(choice & 1)];
    let head = if choice & 2 == 0 { 0 } else { LONG_HEAD.len() };
    text.splice(..0, LONG_HEAD[..head].iter().copied());
    // Twice for the text and its skeleton; the third time, as another text, for the pattern.
    for text in [&text, &text, &[&text[..], b" "].concat()] {
        said(warm, facts, text);
    }
    let from = (head + usize::from(at)).min(text.len());
    let to = (from + usize::from(len)).min(text.len());
    let other = [&text[..from], &piece, &text[to..]].concat();
    assert_eq!(said(warm, facts, &other), said(&judge(warm.server()), facts, &other));
});
