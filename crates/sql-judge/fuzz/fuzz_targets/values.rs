//! A judge that has let a text through says of any other text what a judge without a memory
//! says: same verdict, same names. The second text is the first with a piece of it replaced.
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

fuzz_target!(|input: (bool, u16, u8, Vec<u8>, Vec<u8>)| {
    let (is_mysql, at, len, piece, text) = input;
    let (facts, warm) = &SERVERS[usize::from(is_mysql)];
    for _ in 0..2 {
        said(warm, facts, &text);
    }
    let from = usize::from(at).min(text.len());
    let to = (from + usize::from(len)).min(text.len());
    let other = [&text[..from], &piece, &text[to..]].concat();
    assert_eq!(said(warm, facts, &other), said(&judge(warm.server()), facts, &other));
});
