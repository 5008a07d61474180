//! For tests: texts put together by chance from what changes how a text is read, in all that
//! changes it too.
use super::LexMode;
use crate::facts::SessionFacts;
use crate::server::ServerVersion;

pub(crate) const PIECES: &[&str] = &[
    "a",
    "N",
    "x",
    "b",
    "_utf8",
    "$",
    "$a$",
    "SELECT",
    "a_long_name_of_a_column",
    "\u{e4}",
    "\u{20ac}",
    ".",
    ".5",
    "1",
    "12",
    "1.",
    "1e",
    "1e5",
    "0x1F",
    "0b2",
    "1st",
    "'",
    "'it''s'",
    "'a\\'b'",
    "\"q\"",
    "\"",
    "`c`",
    "`",
    "@",
    "@a",
    "@@",
    "@'v'",
    "--",
    "-- ",
    "-",
    "#",
    "\n",
    "/*",
    "*/",
    "/*!",
    "/*!50000",
    "/*+",
    "/",
    "*",
    " ",
    "  ",
    "\t",
    "(",
    ")",
    ",",
    ";",
    "=",
    "<",
    ">",
    "!",
    "+",
    "?",
    ":=",
    "|",
    "{",
    "\\",
    "\\N",
    "\0",
    "\u{1}",
    "\u{a0}",
    "a_long_name",
    "..",
    "e+",
    "/* c */",
    " (",
];

/// Numbers that are the same in each run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Self {
        Self(1)
    }

    /// A number below that.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn mode(&mut self) -> LexMode {
        let greeting = self.one_of(&[&b"9.7.4"[..], b"5.5.5-10.11.6-MariaDB"]);
        let sql_mode = self.one_of(&["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"]);
        mode(
            greeting,
            sql_mode.as_bytes(),
            self.one_of(&[&b"utf8mb4"[..], b"latin1", b"gbk", b"sjis"]),
        )
    }
}

pub(crate) fn mode(greeting: &[u8], sql_mode: &[u8], charset: &[u8]) -> LexMode {
    let version = ServerVersion::from_greeting(greeting).unwrap();
    SessionFacts::from_session_variables(version, sql_mode, charset, None).unwrap().lex_mode()
}
