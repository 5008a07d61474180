//! Assignments of what decides how texts are read. The judge computes some of them; the
//! server must come to the same.

use crate::values::Random;

const WORDS: &[&str] = &[
    "ANSI_QUOTES",
    "ansi",
    "Ansi_Quotes,IGNORE_SPACE",
    "NO_BACKSLASH_ESCAPES",
    "no_backslash_escapes,ansi_quotes",
    "EMPTY_STRING_IS_NULL",
    "TRADITIONAL",
    "ORACLE",
    "mssql",
    "DB2",
    "MAXDB",
    "POSTGRESQL",
    "MYSQL40",
    "HIGH_NOT_PRECEDENCE",
    "PAD_CHAR_TO_FULL_LENGTH",
    "PIPES_AS_CONCAT",
    "STRICT_ALL_TABLES",
    "DEFAULT",
    "NULL",
    "0",
    "4",
    "",
    ",",
    " ",
    "QUOTES",
    "ANSI",
    ",ANSI",
    ",ANSI_QUOTES",
    "BACKSLASH",
    "utf8mb4",
    "gbk",
    "latin1",
    "sjis",
    "BINARY",
];

/// The next statement.
pub(crate) fn statement(random: &mut Random) -> Vec<u8> {
    let mut items = vec![item(random)];
    while random.below(3) == 0 {
        items.push(item(random));
    }
    format!("SET {}", items.join(", ")).into_bytes()
}

fn item(random: &mut Random) -> String {
    let scope = random.one(&["", "", "SESSION ", "LOCAL ", "@@", "@@session.", "@@local."]);
    let assign = random.one(&[" = ", "=", " := "]);
    match random.below(10) {
        0..=4 => format!("{scope}{}{assign}{}", name(random, "sql_mode"), value(random, 0)),
        5 => format!("{scope}character_set_client{assign}{}", value(random, 0)),
        6 => {
            let rest = random.one(&["", "", " COLLATE gbk_bin", " COLLATE 'utf8mb4_bin'"]);
            format!("NAMES {}{rest}", value(random, 2))
        }
        7 => format!("CHARACTER SET {}", value(random, 2)),
        8 => format!("@x{assign}{}", value(random, 0)),
        _ => format!("{scope}collation_connection{assign}{}", value(random, 1)),
    }
}

fn name(random: &mut Random, plain: &str) -> String {
    match random.below(6) {
        0 => format!("`{plain}`"),
        1 => plain.to_uppercase(),
        2 => format!("\"{plain}\""),
        _ => plain.to_owned(),
    }
}

fn value(random: &mut Random, depth: usize) -> String {
    let kinds = if depth > 3 { 8 } else { 14 };
    match random.below(kinds) {
        0..=2 => literal(random),
        3 => random.one(WORDS).to_owned(),
        4 => format!("@@{}", name(random, "sql_mode")),
        5 => format!("@@session.{}", name(random, "sql_mode")),
        6 => random.one(&["@x", "NULL", "DEFAULT", "''", "0", "0x414E5349"]).to_owned(),
        7 => format!("`{}`", random.one(WORDS)),
        8 => format!("({})", value(random, depth + 1)),
        9 => format!("(SELECT {})", value(random, depth + 1)),
        10 | 11 => format!("CONCAT({}, {})", value(random, depth + 1), value(random, depth + 1)),
        _ => {
            let [text, from] = [value(random, depth + 1), value(random, depth + 1)];
            format!("REPLACE({text}, {from}, {})", value(random, depth + 1))
        }
    }
}

fn literal(random: &mut Random) -> String {
    let word = random.one(WORDS);
    match random.below(12) {
        0 => format!("\"{word}\""),
        1 => format!("N'{word}'"),
        2 => format!("_latin1'{word}'"),
        3 => format!("'{word}' '{}'", random.one(WORDS)),
        4 => format!("'{}'", word.replace('_', "\\_")),
        5 => format!("'\\{word}'"),
        6 => format!("'{word}''x'"),
        _ => format!("'{word}'"),
    }
}
