//! What fuzzing tries: seeds, and mutations of them that try to bring a write past the judge.

use std::path::Path;

use crate::generator;
use crate::settings;
use crate::values::{Random, unescape};

/// What a mutation tries to bring past the judge.
const PAYLOADS: &[&[u8]] = &[
    b",w()",
    b" INTO OUTFILE 'fuzz'",
    b" FOR UPDATE",
    b" LOCK IN SHARE MODE",
    b";INSERT INTO log VALUES (1)",
    b",secret.t",
    b" JOIN secret.t",
    b" UNION SELECT a FROM secret.t",
    b",(SELECT a FROM secret.t)",
    b" UNION TABLE secret.t",
    b"@@global.max_connections = 77",
    b"INSERT INTO log VALUES (1)",
    b"SET GLOBAL max_connections = 77",
    b"SELECT w()",
    b"DO w()",
    b",NEXTVAL(q)",
    b",q.nextval",
    b",q.`currval`",
    b" + NEXT VALUE FOR q",
    b" QUALIFY w()",
    b" MINUS SELECT a FROM secret.t",
    b" NATURAL JOIN secret . t",
    b" JOIN LATERAL (SELECT * FROM secret.t) AS l",
    b"SELECT a FROM secret.t",
    b"TABLE secret.t",
    b"USE secret",
    b"SET sql_mode = 'NO_BACKSLASH_ESCAPES'",
    b"SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
    b"SET sql_mode = (SELECT REPLACE(@@sql_mode, 'ANSI', ''))",
    b"SET character_set_client = sjis",
    b"SET NAMES gbk COLLATE gbk_chinese_ci",
    b"EXECUTE p",
];
/// What lexers disagree about.
const GLUE: &[&[u8]] = &[
    b" ",
    b"/*",
    b"*/",
    b"/*!",
    b"/*!50000 ",
    b"/*!99999 ",
    b"/*M!",
    b"--",
    b"-- ",
    b"#",
    b"\n",
    b"'",
    b"\"",
    b"`",
    b"\\",
    b"\\'",
    b"''",
    b"(",
    b")",
    b",",
    b";",
    b".",
    b"@",
    b"\xa5\\",
    b"\x95\\",
    b"\xa0",
    b"\0",
    b"1.e",
    b"0x",
    b"N'",
    b"x'",
    b"[",
    b"]",
    b"{oj ",
    b"{`x` ",
    b"}",
    b" AS ",
    b"/*+ */",
    b"$$",
    b"\xe3\x80\x80",
    b" FROM ",
    b" SELECT ",
    b" JOIN ",
    b" WITH ",
    b" VALUES(a) ",
    b" TABLE ",
    b" FOR ",
    b" USE INDEX ",
    b":=",
    b":a",
    b"::",
    b"..",
    b"||",
    b"(+)",
    b"<<a>>",
    b"q'[",
    b"]'",
    b" ROWNUM ",
    b"@@",
    b"@`",
    b"_gbk",
    b"/*!80000 /*!50000 ",
    b"/*!100100 ",
    b"/*+ SET_VAR(sql_mode='ANSI_QUOTES') */",
    b"/*+ QB_NAME(`\x81`) */",
    b" AS OF ",
    b" FOR SYSTEM_TIME ALL ",
    b" FOR SCHEMA secret ",
    b" INTO @a ",
    b" LATERAL ",
    b" UNION ",
    b" EXCEPT ",
    b" MINUS ",
    b" NATURAL ",
    b" USING (a) ",
    b" WHERE 1 ",
    b" LIMIT 1 ",
    b" ORDER BY 1 ",
    b" GROUP BY a ",
    b" HAVING 1 ",
    b" BEGIN ",
    b" END ",
    b" DECLARE ",
    b" EXECUTE IMMEDIATE '",
    b" PREPARE p FROM '",
    b" USING 1 ",
    b"w()",
    b"secret.t",
];

/// Statements of the judge's tables and of earlier finds.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(here.join("../crates/sql-judge/tests/rules"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.push(here.join("judge/seeds.txt"));
    let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let mut seeds = Vec::new();
    for text in texts.collect::<Vec<_>>() {
        let lines = text.lines().filter(|line| !line.starts_with(['#', '@']));
        let lines = lines.filter_map(|line| line.split_once('|'));
        seeds.extend(lines.map(|(_, statement)| unescape(statement.trim_start())));
    }
    seeds
}

/// The next statements: one, or one that is prepared under a name and then executed.
pub(crate) fn next(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let text = mutated(random, seeds);
    match random.below(12) {
        3 => vec![settings::statement(random)],
        0 => vec![prepared(random, b"PREPARE p FROM ", &text), b"EXECUTE p".to_vec()],
        1 => vec![prepared(random, b"EXECUTE IMMEDIATE ", &text)],
        2 => {
            let setting = random.one(&[
                &b"SET STATEMENT max_statement_time = 1 FOR "[..],
                b"SET STATEMENT sql_select_limit = (1 + 1), time_zone = '+1:00' FOR ",
                b"ANALYZE FORMAT = JSON ",
                b"EXPLAIN ANALYZE ",
                b"EXPLAIN FORMAT = JSON FOR SCHEMA test ",
            ]);
            vec![[setting, &text].concat()]
        }
        _ => vec![text],
    }
}

/// A text in a literal, mostly so that the literal holds all of it.
fn prepared(random: &mut Random, verb: &[u8], text: &[u8]) -> Vec<u8> {
    let quote = *random.one(&[b"'", b"'", b"\""]).first().unwrap();
    let escapes = random.below(2) == 0;
    let mut literal = vec![quote];
    for &byte in text {
        if byte == quote || (byte == b'\\' && escapes) {
            literal.push(byte);
        }
        literal.push(byte);
    }
    literal.push(quote);
    let using = random.one(&[&b""[..], b"", b" USING 1", b" USING @a, 'x'"]);
    [verb, &literal, using].concat()
}

fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.below(8) == 0 {
        return generator::statement(random);
    }
    let mut text = seeds[random.below(seeds.len())].clone();
    text.truncate(4096);
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(7) {
            0 | 1 => drop(text.splice(at..at, random.one(GLUE).iter().copied())),
            2 | 3 => drop(text.splice(at..at, random.one(PAYLOADS).iter().copied())),
            4 => {
                let until = (at + random.below(8)).min(text.len());
                text.drain(at..until);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                text.truncate(at);
                text.extend_from_slice(&other[from..]);
            }
            _ => {
                if let Some(byte) = text.get_mut(at) {
                    *byte = u8::try_from(random.below(256)).unwrap();
                }
            }
        }
    }
    text
}
