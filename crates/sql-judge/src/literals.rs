//! Where the values of a text stand, so that a record can leave them out. Read by the
//! judge's own lexer: what the server takes for a value is one here.

use std::ops::Range;

use crate::facts::SessionFacts;
use crate::lexer::Lexer;
use crate::lexer::token::{Kind, Token};

/// A value, or a comment, which may hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Where it stands, in bytes. Of a string: with prefix and quotes.
    pub range: Range<usize>,
    /// Which sort.
    pub kind: LiteralKind,
}

/// The sort of a [`Literal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// A string of any prefix.
    String,
    /// A number.
    Number,
    /// A comment that the server skips, or takes for hints.
    Comment,
}

/// The literals of a text in this session, in order, without overlap. `None`: the text
/// can't be lexed to its end, so where values stand is not known.
pub fn literals(facts: &SessionFacts, text: &[u8]) -> Option<Vec<Literal>> {
    let mut lexer = Lexer::new(facts.lex_mode(), text);
    let mut found = Vec::new();
    let mut end = 0;
    loop {
        let token = lexer.next().ok()?;
        let range = lexer.range(token);
        if let Some(comment) = comment_in(text, end..range.start) {
            found.push(Literal { range: comment, kind: LiteralKind::Comment });
        }
        end = range.end;
        match token.kind {
            Kind::End => return Some(found),
            Kind::Text => found.push(Literal { range, kind: LiteralKind::String }),
            Kind::Number => found.push(Literal { range, kind: LiteralKind::Number }),
            Kind::UserVariable if names_freely(lexer.bytes(token)) => {
                found
                    .push(Literal { range: range.start + 1..range.end, kind: LiteralKind::String });
            }
            // What servers don't know in a hint they pass over: it may hold anything.
            Kind::Hint => found.push(Literal { range, kind: LiteralKind::Comment }),
            Kind::UserVariable
            | Kind::Word
            | Kind::Name
            | Kind::QuotedName
            | Kind::AtAt
            | Kind::Symbol => {}
        }
    }
}

/// The shape of a text in this session: its tokens with values as `?`, lists of values as
/// one, words in capitals, comments left out. Equal for texts that differ in values alone.
/// One pass and one buffer, unlike [`crate::digest_text`]; for hashing, not for reading.
pub fn shape(facts: &SessionFacts, text: &[u8]) -> Vec<u8> {
    let mut lexer = Lexer::new(facts.lex_mode(), text);
    let mut outline = Outline::new(text.len());
    loop {
        match lexer.next() {
            Ok(token) if token.kind == Kind::End => return outline.finish(),
            Ok(token) => outline.add(token, lexer.bytes(token)),
            // What can't be lexed has the shape of what stands before.
            Err(_) => return outline.broken_off(),
        }
    }
}

/// A shape in the making.
struct Outline {
    shape: Vec<u8>,
    after_value: bool,
    after_value_and_comma: bool,
}

impl Outline {
    fn new(len: usize) -> Self {
        let shape = Vec::with_capacity(len);
        Self { shape, after_value: false, after_value_and_comma: false }
    }

    fn add(&mut self, token: Token, bytes: &[u8]) {
        let shape = &mut self.shape;
        let is_value = token.is_value() || token.is(b'?');
        match token.kind {
            Kind::End | Kind::Hint => return,
            _ if is_value && self.after_value_and_comma => {
                // The comma before it and the space behind that.
                shape.truncate(shape.len().saturating_sub(2));
            }
            _ if is_value => shape.extend_from_slice(b"? "),
            // As much a text of the client's as a string.
            Kind::UserVariable if names_freely(bytes) => shape.extend_from_slice(b"@? "),
            Kind::Word | Kind::Name => {
                shape.extend(bytes.iter().map(u8::to_ascii_uppercase));
                shape.push(b' ');
            }
            Kind::QuotedName
            | Kind::UserVariable
            | Kind::AtAt
            | Kind::Symbol
            | Kind::Text
            | Kind::Number => {
                shape.extend_from_slice(bytes);
                shape.push(b' ');
            }
        }
        self.after_value_and_comma = self.after_value && token.is(b',');
        self.after_value = is_value;
    }

    fn finish(mut self) -> Vec<u8> {
        while let Some(rest) = self.shape.strip_suffix(b"; ") {
            self.shape.truncate(rest.len());
        }
        self.shape
    }

    fn broken_off(mut self) -> Vec<u8> {
        self.shape.push(b'!');
        self.shape
    }
}

/// Whether a user variable stands in quotes: a text that the client chose freely.
fn names_freely(variable: &[u8]) -> bool {
    variable.get(1).is_some_and(|byte| b"'\"".contains(byte))
}

/// What of the gap between two tokens is more than white space and the marks of an
/// executable comment.
fn comment_in(text: &[u8], gap: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.get(gap.clone())?;
    let first = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let last = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace())?;
    if is_mark(bytes.get(first..=last)?) {
        return None;
    }
    Some(gap.start + first..gap.start + last + 1)
}

/// `*/`, `/*!`, `/*!50000` and the like: what holds code, not words.
fn is_mark(gap: &[u8]) -> bool {
    let rest = gap.strip_prefix(b"*/").unwrap_or(gap).trim_ascii();
    let version = rest.strip_prefix(b"/*!").or_else(|| rest.strip_prefix(b"/*M!"));
    let is_version = |digits: &[u8]| digits.len() <= 6 && digits.iter().all(u8::is_ascii_digit);
    rest.is_empty() || version.is_some_and(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ServerVersion;

    fn facts(mode: &[u8]) -> SessionFacts {
        let version = ServerVersion::from_greeting(b"9.7.4").unwrap();
        SessionFacts::from_session_variables(version, mode, b"utf8mb4", None).unwrap()
    }

    fn found(mode: &str, text: &str) -> Option<Vec<String>> {
        let literals = literals(&facts(mode.as_bytes()), text.as_bytes())?;
        Some(literals.iter().map(|literal| text[literal.range.clone()].to_owned()).collect())
    }

    #[test]
    fn finds_values_as_the_server_reads_them() {
        let text =
            "SELECT 1.5e3, 'it''s', N'x', x'41', 0x41, \"a\", `b`, @c FROM t WHERE d = 'e\\'f'";
        let values =
            ["1.5e3", "'it''s'", "N'x'", "x'41'", "0x41", "\"a\"", "'e\\'f'"].map(str::to_owned);
        assert_eq!(found("", text).unwrap(), values);
        assert_eq!(found("ANSI_QUOTES", "SELECT \"a\", 'b'").unwrap(), ["'b'"]);
        assert_eq!(found("", "SELECT @'Smith', @x").unwrap(), ["'Smith'"]);
    }

    #[test]
    fn comments_are_values_and_code_in_comments_is_not() {
        assert_eq!(
            found("", "SELECT /* Smith */ a -- Jones\nFROM t # x").unwrap(),
            ["/* Smith */", "-- Jones", "# x"]
        );
        assert_eq!(found("", "SELECT /*!50000 'x' */ FROM t").unwrap(), ["'x'"]);
        assert_eq!(found("", "SELECT a /*1*/").unwrap(), ["/*1*/"]);
        let hint = "/*+ Smith, 'Jones', NO_MERGE(t) */";
        assert_eq!(found("", &format!("SELECT {hint} a FROM t")).unwrap(), [hint]);
    }

    #[test]
    fn texts_that_differ_in_values_alone_have_one_shape() {
        let of = |text: &str| String::from_utf8(shape(&facts(b""), text.as_bytes())).unwrap();
        let first = of("SELECT a FROM t WHERE b IN (1, 2) AND c = 'x'");
        assert_eq!(first, "SELECT A FROM T WHERE B IN ( ? ) AND C = ? ");
        for same in [
            "select a from t where b in (7,8,9) and c = 'it''s';",
            "SELECT /* x */ a FROM t WHERE b IN (1) AND c = ? -- y",
        ] {
            assert_eq!(of(same), first, "{same}");
        }
        for other in ["SELECT a FROM u WHERE b IN (1) AND c = 'x'", "SELECT a FROM t", "SELECT 'x"]
        {
            assert_ne!(of(other), first, "{other}");
        }
        assert_eq!(of("SELECT 1, a, 2"), "SELECT ? , A , ? ");
        assert_eq!(of("SELECT @'Smith', @\"Jones\", @x"), "SELECT @? , @? , @x ");
    }

    #[test]
    fn a_text_that_can_not_be_lexed_has_no_known_values() {
        assert_eq!(found("", "SELECT 'open"), None);
        assert_eq!(found("", "SELECT 'a' \u{1} b"), None);
    }
}
