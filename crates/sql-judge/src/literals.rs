//! Where the values of a text stand, so that a record can leave them out. Read by the
//! judge's own lexer: what the server takes for a value is one here.

use std::ops::Range;

use crate::facts::SessionFacts;
use crate::lexer::Lexer;
use crate::lexer::token::{Kind, Token, Tokens};

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
    /// A comment that the server skips.
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
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        if let Some(comment) = comment_in(text, end..range.start) {
            found.push(Literal { range: comment, kind: LiteralKind::Comment });
        }
        end = range.end;
        match token.kind {
            Kind::End => return Some(found),
            Kind::Text => found.push(Literal { range, kind: LiteralKind::String }),
            Kind::Number => found.push(Literal { range, kind: LiteralKind::Number }),
            // A quoted user variable is a text that the client chose freely.
            Kind::UserVariable if text.get(range.start + 1).is_some_and(|b| b"'\"".contains(b)) => {
                found
                    .push(Literal { range: range.start + 1..range.end, kind: LiteralKind::String });
            }
            Kind::UserVariable
            | Kind::Word
            | Kind::Name
            | Kind::QuotedName
            | Kind::AtAt
            | Kind::Hint
            | Kind::Symbol => {}
        }
    }
}

/// The shape of a text in this session: its tokens with values as `?`, lists of values as
/// one, words in capitals, comments left out. Equal for texts that differ in values alone.
/// One pass and one buffer, unlike [`crate::fingerprint`]; for hashing, not for reading.
pub fn shape(facts: &SessionFacts, text: &[u8]) -> Vec<u8> {
    outline(facts, text, false)
}

/// The shape with words as they are written and with the strings that may be names: what a
/// text names follows from it alone.
pub(crate) fn skeleton(facts: &SessionFacts, text: &[u8]) -> Vec<u8> {
    outline(facts, text, true)
}

/// The same of tokens that are at hand.
pub(crate) fn skeleton_of(text: &[u8], tokens: &Tokens) -> Vec<u8> {
    let mut outline = Outline::new(text, true);
    tokens.0.iter().for_each(|token| outline.add(*token));
    outline.finish()
}

fn outline(facts: &SessionFacts, text: &[u8], for_names: bool) -> Vec<u8> {
    let mut lexer = Lexer::new(facts.lex_mode(), text);
    let mut outline = Outline::new(text, for_names);
    loop {
        match lexer.next() {
            Ok(token) if token.kind == Kind::End => return outline.finish(),
            Ok(token) => outline.add(token),
            // What can't be lexed has the shape of what stands before.
            Err(_) => return outline.broken_off(),
        }
    }
}

/// A shape in the making.
struct Outline<'t> {
    text: &'t [u8],
    for_names: bool,
    shape: Vec<u8>,
    after_value: bool,
    after_value_and_comma: bool,
    /// An alias may be a string; what follows an operator, a comma or a parenthesis is none.
    may_name: bool,
}

impl<'t> Outline<'t> {
    fn new(text: &'t [u8], for_names: bool) -> Self {
        Self {
            text,
            for_names,
            shape: Vec::with_capacity(text.len()),
            after_value: false,
            after_value_and_comma: false,
            may_name: true,
        }
    }

    fn add(&mut self, token: Token) {
        let Self { text, for_names, shape, .. } = self;
        let bytes = text.get(token.start as usize..token.end as usize).unwrap_or_default();
        let is_name = *for_names && self.may_name && token.kind == Kind::Text;
        self.may_name = token.kind != Kind::Symbol || token.is(b')');
        let is_value =
            (matches!(token.kind, Kind::Text | Kind::Number) && !is_name) || token.is(b'?');
        match token.kind {
            Kind::End | Kind::Hint => return,
            _ if is_value && self.after_value_and_comma => {
                // The comma before it and the space behind that.
                shape.truncate(shape.len().saturating_sub(2));
            }
            _ if is_value => shape.extend_from_slice(b"? "),
            Kind::Word | Kind::Name if !*for_names => {
                shape.extend(bytes.iter().map(u8::to_ascii_uppercase));
                shape.push(b' ');
            }
            Kind::Word
            | Kind::Name
            | Kind::QuotedName
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
    use bytes::Bytes;

    use super::*;
    use crate::server::ServerVersion;
    use crate::{Judge, Policy, Verdict};

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
    }

    #[test]
    fn a_text_that_can_not_be_lexed_has_no_known_values() {
        assert_eq!(found("", "SELECT 'open"), None);
        assert_eq!(found("", "SELECT 'a' \u{1} b"), None);
    }

    #[test]
    fn a_skeleton_keeps_whatever_may_be_a_name() {
        let facts = facts(b"");
        let of = |text: &str| skeleton(&facts, text.as_bytes());
        let same = |one: &str, other: &str| assert_eq!(of(one), of(other), "{one} and {other}");
        let differ = |one: &str, other: &str| assert_ne!(of(one), of(other), "{one} and {other}");
        same(
            "SELECT a FROM t WHERE b = 'x' AND c IN (1, 2)",
            "SELECT a FROM t WHERE b='y' AND c IN(3)",
        );
        differ("SELECT a FROM t", "SELECT a FROM T");
        differ("SELECT a FROM t", "SELECT `a` FROM t");
        differ("SELECT 1 AS 'a', 2 FROM t", "SELECT 1 AS 'b', 2 FROM t");
        differ("SELECT f(1) 'a' FROM t", "SELECT f(1) 'b' FROM t");
        differ("SELECT c 'a' FROM t", "SELECT c 'b' FROM t");
    }

    #[test]
    fn the_tokens_that_a_text_was_judged_by_give_its_skeleton() {
        let (facts, mut compared) = (facts(b""), 0);
        let judge = Judge::new(ServerVersion::from_greeting(b"9.7.4").unwrap(), Policy::default());
        let rules =
            [include_str!("../tests/rules/reads.txt"), include_str!("../tests/rules/tools.txt")];
        for line in rules.iter().flat_map(|rules| rules.lines()) {
            let text = line.split_once(" | ").map_or(line, |(_, text)| text).replace("\\n", "\n");
            let verdict = judge.judge(&facts, Bytes::from(text.clone()));
            let Verdict::Allow(permit) = verdict else { continue };
            let Some(tokens) = permit.tokens() else { continue };
            assert_eq!(
                skeleton_of(text.as_bytes(), tokens),
                skeleton(&facts, text.as_bytes()),
                "{text}"
            );
            compared += 1;
        }
        assert!(compared > 100, "{compared}");
    }
}
