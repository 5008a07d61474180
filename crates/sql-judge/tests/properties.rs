//! What must hold for every statement of the tables, not only for the ones written down:
//! space and comments that the server ignores change no verdict, a statement inside an
//! executable comment is judged as code, and no text of any shape stops the judge.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "common/random.rs"]
mod random;

use bytes::Bytes;
use random::Random;
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, Verdict};

struct Bench {
    judge: Judge,
    facts: SessionFacts,
}

fn benches() -> [Bench; 2] {
    [("9.7.4", 255), ("10.11.19-MariaDB", 45)].map(|(version, collation)| {
        let server = ServerVersion::from_greeting(version.as_bytes()).unwrap();
        let policy = Policy { allowed_functions: vec!["clin.f".into()], ..Policy::default() };
        let facts = SessionFacts::new(server, b"", collation, Some(b"clin")).unwrap();
        Bench { judge: Judge::new(server, policy), facts }
    })
}

impl Bench {
    fn verdict(&self, text: &str) -> String {
        match self.judge.judge(&self.facts, Bytes::copy_from_slice(text.as_bytes())) {
            Verdict::Allow(permit) => format!("allow {}", permit.kind().as_str()),
            Verdict::Absorb(_) => "absorb".to_owned(),
            Verdict::Own(_) => "own".to_owned(),
            Verdict::Deny(denial) => format!("deny {}", denial.rule),
        }
    }
}

/// Pieces that both servers take for tokens of their own. `~` stands where the server
/// must not see a gap.
const STATEMENTS: &[&str] = &[
    "SELECT a , b FROM t WHERE c = 'x''y' AND d IN ( 1 , 2 )",
    "SELECT count~( * ) , concat ( a , `b` ) FROM s . t",
    "WITH c ( x ) AS ( SELECT 1 ) SELECT * FROM c",
    "SELECT a INTO OUTFILE 'f' FROM t",
    "SELECT a FROM t INTO @x",
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t LOCK IN SHARE MODE",
    "SELECT get_lock ( 'a' , 1 )",
    "SELECT fn ( a ) , clin . f ( b ) , s . g ( c )",
    "DELETE FROM t WHERE a = 1",
    "WITH c AS ( SELECT 1 ) DELETE FROM t",
    "SET SESSION TRANSACTION READ WRITE",
    "SET NAMES utf8mb4 , GLOBAL a = 1",
    "SET sql_mode = concat ( @@sql_mode , ',ANSI_QUOTES' )",
    "SHOW FULL TABLES FROM clin LIKE 'a%'",
    "EXPLAIN FORMAT = JSON SELECT 1",
    "START TRANSACTION READ WRITE",
    "KILL QUERY 12",
    "BEGIN NOT ATOMIC DELETE FROM t",
    "( SELECT 1 ) UNION ( SELECT NEXT VALUE FOR s )",
];

const GAPS: &[&str] = &[
    " ",
    "\n",
    "\t \r\n",
    " /* ' */ ",
    "/**/",
    " -- it's\n",
    " # \"\n",
    " /* /* */ ",
    "/*/*/ ",
    " --\t`\n",
    " /*!999999 DELETE ' */ ",
    " /*!999999 /* ' */ \" */ ",
    " \u{b}\u{c} ",
];

fn with_gaps(statement: &str, mut gap: impl FnMut() -> String) -> String {
    let mut text = String::new();
    for (number, word) in statement.split(' ').enumerate() {
        if number > 0 {
            text.push_str(&gap());
        }
        text.push_str(&word.replace('~', ""));
    }
    text
}

#[test]
fn ignored_space_and_comments_change_no_verdict() {
    let mut random = Random(1);
    for bench in benches() {
        for statement in STATEMENTS {
            let plain = bench.verdict(&with_gaps(statement, || " ".to_owned()));
            for _ in 0..200 {
                let text = with_gaps(statement, || random.one(GAPS).to_owned());
                let text = format!("{}{text}{}", random.one(GAPS), random.one(GAPS));
                assert_eq!(bench.verdict(&text), plain, "{text:?}");
            }
        }
    }
}

#[test]
fn what_stands_in_an_executable_comment_is_judged_as_code() {
    let markers: [&[&str]; 2] = [
        &["/*!", "/*! ", "/*!40101 ", "/*!90704 ", "/*!080030 ", "/*!50700"],
        &["/*!", "/*! ", "/*!40101 ", "/*!100100 ", "/*M!", "/*M!101119 ", "/*M!50700 "],
    ];
    let mut random = Random(2);
    for (bench, markers) in benches().iter().zip(markers) {
        for statement in STATEMENTS {
            let plain = bench.verdict(&with_gaps(statement, || " ".to_owned()));
            let words: Vec<&str> = statement.split(' ').collect();
            for _ in 0..100 {
                let from = random.below(words.len());
                let to = from + 1 + random.below(words.len() - from);
                let text = [
                    &words[..from],
                    &[random.one(markers)],
                    &words[from..to],
                    &["*/"],
                    &words[to..],
                ]
                .concat()
                .join(" ")
                .replace('~', "");
                assert_eq!(bench.verdict(&text), plain, "{text:?}");
            }
        }
    }
}

#[test]
fn no_text_stops_the_judge() {
    let pieces = [
        "SELECT",
        "(",
        ")",
        "'",
        "\"",
        "`",
        "/*",
        "*/",
        "/*!",
        "/*!50000",
        "--",
        "-- ",
        "#",
        "\n",
        ";",
        ",",
        "@",
        "@@",
        ".",
        "1.e",
        "0x",
        "x'",
        "SET",
        "sql_mode",
        "=",
        ":=",
        "INTO",
        "WITH",
        "AS",
        "f",
        "concat",
        "replace",
        "PREPARE",
        "FROM",
        "EXECUTE",
        "\\",
        "\0",
        "é",
        "$$",
        "$a",
        "/*+",
        "SET_VAR",
        "NAMES",
        "KILL",
        "99999999999999999999",
        "SHOW",
        "CREATE",
        "EXPLAIN",
        "FORMAT",
        "START",
        "TRANSACTION",
        "READ",
        "CALL",
        "TABLE",
        "FOR",
        "{",
        "}",
        "\u{1}",
    ];
    let mut random = Random(3);
    for bench in benches() {
        for _ in 0..60_000 {
            let count = 1 + random.below(12);
            let words: Vec<&str> = (0..count).map(|_| random.one(&pieces)).collect();
            let text = Bytes::from(words.join(random.one(&["", " "])));
            let verdicts = bench.judge.judge_several(&bench.facts, text.clone());
            assert!(!verdicts.is_empty());
            for verdict in verdicts {
                if let Verdict::Deny(denial) = verdict {
                    assert!(denial.offset <= text.len(), "{text:?}: {denial:?}");
                    assert!(denial.reason.len() <= 400 && denial.reason.is_ascii());
                }
            }
        }
    }
}

#[test]
fn large_texts_end_in_a_verdict_without_recursion() {
    let texts = [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}1", "/* */".repeat(100_000)),
        format!("SELECT {}1", "/*! ".repeat(100_000)),
        format!("SELECT {}1", "1+".repeat(40_000)),
        format!("SELECT '{}'", "x".repeat(16 << 20)),
        format!("SELECT {}1{}", "concat(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT 1{}", ";".repeat(1 << 20)),
        format!("SELECT 1;{}", ";SELECT 1".repeat(100_000)),
        "SELECT 1;".repeat(100_000),
        format!("SET sql_mode={}", "concat(".repeat(100_000)),
        format!("WITH {} SELECT 1", "a(b) AS (SELECT 1),".repeat(50_000)),
    ];
    for bench in benches() {
        for text in &texts {
            let text = Bytes::copy_from_slice(text.as_bytes());
            assert!(!bench.judge.judge_several(&bench.facts, text).is_empty());
        }
    }
}
