//! A text is judged by what it says, whatever was let through before: behind texts that
//! differ from it in values, comments and white space alone, and behind the same text in
//! sessions that read it in another way, what a judge without a memory refuses is refused,
//! and never reaches the replica.

use std::collections::HashSet;

use bytes::Bytes;
use readgate_tests::server::Flavour;
use readgate_tests::stage::Stage;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict};

/// Reads with a place for a value.
const READS: &[&str] = &[
    "SELECT title FROM clinical.studies WHERE title = {}",
    "SELECT CONCAT({}, 'b') FROM clinical.studies LIMIT 1",
    "SELECT COUNT(*) FROM clinical.studies WHERE title IN ('1', '2', '3', '4', '5', '6', '7', '8', {})",
    "(SELECT {} AS a) UNION ALL SELECT \"x\" /* y */",
];
/// What stands there first, three times.
const HARMLESS: &[&str] = &["'one'", "'two'", "'it''s \\\\ three'"];
/// What stands there then; MARK is looked for in the replica's general log.
const OTHER: &[&[u8]] = &[
    b"'a' INTO OUTFILE '/tmp/readgate-MARK' -- ",
    b"'a\\' INTO OUTFILE ''/tmp/readgate-MARK'' -- '",
    b"'a\\\\' INTO OUTFILE '/tmp/readgate-MARK' -- '",
    b"'a\\' /*' FOR UPDATE -- */ MARK'",
    b"'a\\' FOR UPDATE -- MARK'",
    b"'a''' FOR UPDATE -- MARK",
    b"'\xbf\\' FOR UPDATE -- MARK'",
    b"'\xbf\\'' FOR UPDATE -- MARK'",
    b"'\x95\\' FOR UPDATE -- MARK'",
    b"'\xa5\\' FOR UPDATE -- MARK'",
    b"'\xe3\x81\\' FOR UPDATE -- MARK'",
    b"\"a' FOR UPDATE -- \" /* MARK' */",
    b"\"a\"\" ' INTO DUMPFILE '/tmp/readgate-MARK' -- \"",
    b"'a'; DELETE FROM clinical.adverse_events WHERE term = 'MARK'",
    b"'a' /*! FOR UPDATE */ -- MARK",
    b"'a' /*!50000 INTO OUTFILE '/tmp/readgate-MARK' */",
    b"'a' /*!999999 FOR UPDATE */ -- MARK",
    b"'a' /*!99999 FOR UPDATE */ -- MARK",
    b"'a' /*!100100 FOR UPDATE */ -- MARK",
    b"'a' /*M! FOR UPDATE */ -- MARK",
    b"'a' /*!080000 FOR UPDATE */ -- MARK",
    b"'a' /* /*! */ FOR UPDATE -- */ MARK",
    b"'a' --\tFOR UPDATE MARK\n FOR UPDATE",
    b"'a' --FOR UPDATE MARK",
    b"'a' # MARK\n FOR UPDATE",
    b"'a' LOCK IN SHARE MODE -- MARK",
    b"SLEEP(100) AND 'MARK'",
    b"SLEEP/**/(100) AND 'MARK'",
    b"SLEEP (100) AND 'MARK'",
    b"GET_LOCK('MARK', 1)",
    b"LOAD_FILE('/etc/MARK')",
    b"LOAD_FILE ('/etc/MARK')",
    b"LOAD_FILE/*!('/etc/MARK')*/",
    b"`LOAD_FILE`('/etc/MARK')",
    b"\"LOAD_FILE\"('/etc/MARK')",
    b"{fn LOAD_FILE('/etc/MARK')}",
    b"clinical.no_such('MARK')",
    b"'1', '2', '3', '4', '5', '6', '7', '8', '9', LOAD_FILE('MARK')",
    b"'1', '2', '3', '4', '5', '6', '7', '8', '9' INTO OUTFILE '/tmp/readgate-MARK' -- ",
    b"(SELECT 'MARK' FROM clinical.studies FOR UPDATE)",
    b"(SELECT 'MARK' INTO DUMPFILE '/tmp/readgate-MARK')",
    b"'a' PROCEDURE MARK()",
    b"'a' INTO MARK",
    b"'MARK",
    b"'a' /* MARK",
    b"'a' /*! MARK",
    b"'MARK'\0",
    b"'a' \\N MARK )",
];
/// How sessions read their texts.
const MODES: &[(&str, &str)] = &[
    ("", "utf8mb4"),
    ("NO_BACKSLASH_ESCAPES", "utf8mb4"),
    ("ANSI_QUOTES", "utf8mb4"),
    ("IGNORE_SPACE", "latin1"),
    ("", "gbk"),
    ("", "sjis"),
    ("ANSI_QUOTES,NO_BACKSLASH_ESCAPES,IGNORE_SPACE", "big5"),
];

fn server(stage: &Stage) -> ServerVersion {
    let greeting: &[u8] = match stage.server.flavour {
        Flavour::MariaDb => b"10.11.19-MariaDB",
        Flavour::MySql => b"9.7.4",
    };
    ServerVersion::from_greeting(greeting).unwrap()
}

fn replaced(text: &[u8], what: &str, by: &[u8]) -> Vec<u8> {
    let at = text.windows(what.len()).position(|window| window == what.as_bytes());
    match at {
        Some(at) => [&text[..at], by, &replaced(&text[at + what.len()..], what, by)].concat(),
        None => text.to_vec(),
    }
}

on_both! {
    fn what_is_refused_is_refused_behind_its_like(stage) {
        let mut sent = 0;
        let mut refused = Vec::new();
        for (mode, charset) in MODES {
            let facts = SessionFacts::from_session_variables(
                server(stage), mode.as_bytes(), charset.as_bytes(), None,
            );
            let facts = facts.unwrap();
            let mut alice = stage.alice();
            alice.query(format!("SET NAMES {charset}")).expect_ok();
            alice.query(format!("SET SESSION sql_mode = '{mode}'")).expect_ok();
            for (read, value) in READS.iter().flat_map(|read| OTHER.iter().map(move |other| (read, other))) {
                for harmless in HARMLESS {
                    let _ = alice.query(read.replace("{}", harmless));
                }
                sent += 1;
                let mark = format!("mark_sibling_{sent}_end");
                let text = replaced(&replaced(read.as_bytes(), "{}", value), "MARK", mark.as_bytes());
                let fresh = Judge::new(server(stage), Policy::default());
                let must_be_refused = matches!(
                    fresh.judge(&facts, Bytes::copy_from_slice(&text)), Verdict::Deny(_),
                );
                let answer = alice.query(&text);
                if must_be_refused {
                    let error = answer.expect_error();
                    assert_eq!(error.code, 1290, "{} in {mode} {charset}: {error}", text.escape_ascii());
                    refused.push(sent.to_string());
                }
            }
        }
        assert!(refused.len() > 700 && refused.len() < sent - 20, "{} of {sent}", refused.len());
        let log = stage.server.general_log();
        let marks = log.split("mark_sibling_").skip(1);
        let seen: HashSet<&str> = marks.filter_map(|rest| Some(rest.split_once('_')?.0)).collect();
        assert!(seen.len() > 20, "what was let through is there: {}", seen.len());
        let wrongly = refused.iter().find(|number| seen.contains(number.as_str()));
        assert_eq!(wrongly, None, "the replica has seen it");
    }
}
