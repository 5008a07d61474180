//! What is left of a text without its values, comments and white space: exactly what the
//! rules may see of it ([`super::sight`]). Texts of one skeleton, read in one mode, can't be
//! told apart by a rule that looks at no value.
//!
//! Each token is a mark and what belongs to it, so that a skeleton can be read in one way
//! only. Of a long list of values its first few stand for all: behind two pairs of value and
//! comma the rules are where they were, however many follow.

use super::token::{Kind, Token};
use super::{Gap, LexMode, Lexer, Plain};

/// Longest text that gets one, in bytes: lengths in it take two.
const LONGEST: usize = 16 * 1024;
/// Values of one sort in a row that are written down.
const LONGEST_LIST: u32 = 8;

// Marks. All are below every byte that is a symbol of its own.
const WORD: u8 = 1;
const NAME: u8 = 2;
const QUOTED_NAME: u8 = 3;
const USER_VARIABLE: u8 = 4;
const HINT: u8 = 5;
const AT_AT: u8 = 6;
const TEXT: u8 = 7;
const NUMBER: u8 = 8;
const SPACE: u8 = 14;
const MORE: u8 = 15;

/// A text's skeleton.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skeleton {
    bytes: Vec<u8>,
    list: List,
}

/// The values in a row that end here.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    /// Mark and first byte of the last; of a number the mark alone.
    value: [u8; 2],
    /// How many there are; 0 if the last token is neither value nor comma behind one.
    count: u32,
    ends_in_comma: bool,
}

impl Skeleton {
    /// The skeleton of a text that is one statement. `None`: it is too long, can't be lexed,
    /// or something follows its `;`.
    pub(crate) fn of(mode: LexMode, text: &[u8]) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut lexer = Lexer::new(mode, text);
        let mut skeleton =
            Self { bytes: Vec::with_capacity(text.len() + 64), list: List::default() };
        let (mut end, mut is_over) = (0, false);
        loop {
            if let Some(plain) = lexer.plain() {
                if is_over {
                    return None;
                }
                end = lexer.at;
                match plain {
                    Plain::Symbol(byte) => skeleton.add_symbol(byte),
                    Plain::Number => skeleton.add_value([NUMBER, 0]),
                }
                continue;
            }
            let token = lexer.bare().ok()?;
            if token.kind == Kind::End {
                return Some(skeleton);
            }
            let is_semicolon = token.is(b';');
            // The rules refuse the one in a comment.
            if (is_over && !is_semicolon) || (is_semicolon && lexer.in_comment) {
                return None;
            }
            is_over = is_semicolon;
            skeleton.add(&lexer, end, token);
            end = lexer.at;
        }
    }

    /// What it is compared by.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A token that stands behind what ends at `end`.
    #[inline(always)]
    fn add(&mut self, lexer: &Lexer<'_>, end: usize, token: Token) {
        match token.kind {
            Kind::Text => {
                let first = lexer.bytes(token).first().copied().unwrap_or_default();
                return self.add_value([TEXT, first]);
            }
            Kind::Number => return self.add_value([NUMBER, 0]),
            Kind::Symbol => {
                if token.byte == b'(' {
                    match lexer.gap_from(end, token) {
                        Gap::None => {}
                        Gap::Space => self.bytes.push(SPACE),
                        Gap::More => self.bytes.push(MORE),
                    }
                }
                return self.add_symbol(token.byte);
            }
            Kind::Word => self.add_bytes(WORD, lexer.bytes(token)),
            Kind::Name => self.add_bytes(NAME, lexer.bytes(token)),
            Kind::QuotedName => self.add_bytes(QUOTED_NAME, lexer.bytes(token)),
            Kind::UserVariable => self.add_bytes(USER_VARIABLE, lexer.bytes(token)),
            Kind::Hint => self.add_bytes(HINT, lexer.bytes(token)),
            Kind::AtAt => self.bytes.push(AT_AT),
            Kind::End => {}
        }
        self.list.count = 0;
    }

    #[inline(always)]
    fn add_symbol(&mut self, byte: u8) {
        self.bytes.push(byte);
        if byte != b',' || std::mem::replace(&mut self.list.ends_in_comma, true) {
            self.list.count = 0;
        }
    }

    /// A value as its sort: a string by its prefix or quote, a number.
    #[inline(always)]
    fn add_value(&mut self, value: [u8; 2]) {
        let List { count, ends_in_comma, value: last } = self.list;
        let goes_on = count > 0 && ends_in_comma && last == value;
        let count = if goes_on { count + 1 } else { 1 };
        if count > LONGEST_LIST {
            // Nor the comma before it.
            self.bytes.pop();
        } else {
            let [mark, first] = value;
            self.bytes.push(mark);
            if mark == TEXT {
                self.bytes.push(first);
            }
        }
        self.list = List { value, count, ends_in_comma: false };
    }

    /// Texts are too short for lengths of more than two bytes.
    fn add_bytes(&mut self, mark: u8, bytes: &[u8]) {
        let [low, high, ..] = bytes.len().to_le_bytes();
        self.bytes.extend_from_slice(&[mark, low, high]);
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::SessionFacts;
    use crate::server::ServerVersion;

    fn of(text: &str) -> Option<Vec<u8>> {
        let version = ServerVersion::from_greeting(b"9.7.4").unwrap();
        let facts = SessionFacts::new(version, b"", 255, None).unwrap();
        Skeleton::of(facts.lex_mode(), text.as_bytes()).map(|skeleton| skeleton.bytes)
    }

    /// No two of the texts may have one skeleton.
    fn all_differ(texts: &[&str]) {
        for (number, one) in texts.iter().enumerate() {
            for other in texts.iter().skip(number + 1) {
                assert_ne!(of(one).unwrap(), of(other).unwrap(), "{one} and {other}");
            }
        }
    }

    fn same(one: &str, other: &str) {
        assert_eq!(of(one).unwrap(), of(other).unwrap(), "{one} and {other}");
    }

    #[test]
    fn values_comments_and_space_leave_no_trace() {
        same(
            "SELECT a FROM t WHERE b = 'x' AND c < 1.5e3",
            "SELECT a FROM t WHERE b='' AND c<0x1F",
        );
        same("SELECT a -- x\nFROM t", "SELECT /* SELECT 1 */ a FROM t # y");
        same("SELECT /*!50000 a */", "SELECT a");
        same("SELECT 'it''s', 'a\\'b'", "SELECT '/*', ';'");
    }

    #[test]
    fn whatever_a_rule_may_see_leaves_a_trace() {
        all_differ(&[
            "SELECT 1",
            "SELECT /*+ a */ 1",
            "SELECT /*+ b */ 1",
            "SELECT 1;",
            "select 1",
        ]);
        all_differ(&["SELECT f(1)", "SELECT f (1)", "SELECT f/**/(1)"]);
        all_differ(&[
            "SELECT a",
            "SELECT `a`",
            "SELECT @a",
            "SELECT @@a",
            "SELECT @`a`",
            "SELECT 'a'",
        ]);
        all_differ(&["SELECT a.b", "SELECT a . b", "SELECT a .b", "SELECT `a`.b", "SELECT ab"]);
        all_differ(&[
            "SELECT 1",
            "SELECT '1'",
            "SELECT \"1\"",
            "SELECT N'1'",
            "SELECT n'1'",
            "SELECT x'11'",
            "SELECT b'11'",
            "SELECT ?",
            "SELECT -1",
            "SELECT NULL",
        ]);
        all_differ(&[
            "SELECT `a`, `b`",
            "SELECT `a, b`",
            "SELECT `a``, ``b`",
            "SELECT `a\u{3}`, `b`",
            "SELECT `a,\u{3}\u{3}b`",
            "SELECT a, b",
        ]);
    }

    #[test]
    fn of_a_long_list_of_values_of_one_sort_the_first_stand_for_all() {
        let list = |values: &[&str]| format!("SELECT a IN ({})", values.join(", "));
        same(&list(&["1"; 8]), &list(&["2"; 300]));
        same(&list(&["'a'"; 8]), &list(&["'b'"; 9]));
        same("SELECT 1,1,1,1,1,1,1,1,1,a", "SELECT 1,1,1,1,1,1,1,1,a");
        let lists = [
            list(&["1"; 1]),
            list(&["1"; 2]),
            list(&["1"; 7]),
            list(&["1"; 8]),
            list(&["'1'"; 8]),
            list(&["1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'"]),
            list(&["1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'", "1", "'1'", "1"]),
            list(&["-1"; 8]),
            list(&["-1"; 9]),
            list(&["a"; 8]),
            list(&["a"; 9]),
            list(&["1,"; 8]),
            list(&["1,"; 9]),
            list(&["1,"; 10]),
            list(&["1 1"; 9]),
            list(&["1 1"; 10]),
        ];
        all_differ(&lists.each_ref().map(String::as_str));
    }

    #[test]
    fn one_statement_alone_has_one() {
        for text in [
            "SELECT 1; SELECT 2",
            "SELECT 1;;1",
            "SELECT 1 /*! ; */",
            "SELECT 'open",
            "SELECT /*! 1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(of(&format!("SELECT '{}'", "x".repeat(LONGEST))), None);
        assert!(of("SELECT 1;; -- x").is_some());
    }
}
