//! Values of variables that decide how later texts are read: computed here to the letter,
//! or given up, so that the replica is asked.

use super::{Parser, Rule};
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::Kind;
use crate::text::{unquote_name, unquote_text};

/// Deepest nesting of CONCAT, REPLACE and parentheses in a value.
const MAX_DEPTH: u32 = 8;

impl Parser<'_> {
    /// A string, a bare word, `@@sql_mode`, or CONCAT, REPLACE and a bare SELECT over
    /// these.
    pub(super) fn computed_value(&mut self, depth: u32) -> Rule<Vec<u8>> {
        if depth >= MAX_DEPTH {
            return Err(self.not_computable());
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "all else is refused")]
        match self.token.kind {
            Kind::Text => self.text_value(),
            Kind::AtAt => self.sql_mode_value(),
            Kind::Symbol if self.token.byte == b'(' => {
                self.advance()?;
                self.eat(K::SELECT)?;
                let value = self.computed_value(depth + 1)?;
                self.close_value()?;
                Ok(value)
            }
            Kind::Word | Kind::QuotedName => self.word_value(depth),
            Kind::Number if self.bytes(self.token) == b"0" => {
                self.advance()?;
                Ok(Vec::new())
            }
            _ => Err(self.not_computable()),
        }
    }

    fn text_value(&mut self) -> Rule<Vec<u8>> {
        let escapes = !self.session.lex_mode().no_backslash_escapes;
        let Some(value) = unquote_text(self.bytes(self.token), escapes) else {
            return Err(self.not_computable());
        };
        self.advance()?;
        // `'a' 'b'` is one string to the server.
        let is_longer = self.token.kind == Kind::Text;
        let is_null = value.is_empty() && self.session.all().sql_mode().has("EMPTY_STRING_IS_NULL");
        if is_longer || is_null {
            return Err(self.not_computable());
        }
        Ok(value)
    }

    fn word_value(&mut self, depth: u32) -> Rule<Vec<u8>> {
        let word = self.token;
        if word.is_word(K::DEFAULT) || word.is_word(K::NULL) || word.is_word(K::SELECT) {
            return Err(self.not_computable());
        }
        self.advance()?;
        if !self.token.is(b'(') {
            return Ok(unquote_name(self.bytes(word)).into_owned());
        }
        if !word.is_word(K::CONCAT) && !word.is_word(K::REPLACE) {
            return Err(self.not_computable());
        }
        self.advance()?;
        let mut arguments = vec![self.computed_value(depth + 1)?];
        while self.eat_symbol(b',')? {
            arguments.push(self.computed_value(depth + 1)?);
        }
        self.close_value()?;
        if word.is_word(K::CONCAT) {
            return Ok(arguments.concat());
        }
        let [text, from, to] = arguments.as_slice() else {
            return Err(self.not_computable());
        };
        Ok(replaced(text, from, to))
    }

    fn sql_mode_value(&mut self) -> Rule<Vec<u8>> {
        self.advance()?;
        if self.eat(K::SESSION)? || self.eat(K::LOCAL)? {
            self.eat_symbol(b'.')?;
        }
        let name = self.expect_name()?;
        let is_sql_mode = unquote_name(self.bytes(name)).eq_ignore_ascii_case(b"sql_mode");
        let is_known = !self.session.all().runs_later();
        if !is_sql_mode || !is_known || self.token.is(b'.') {
            return Err(self.not_computable());
        }
        Ok(self.session.all().sql_mode().text())
    }

    fn close_value(&mut self) -> Rule {
        if self.eat_symbol(b')')? { Ok(()) } else { Err(self.not_computable()) }
    }

    fn not_computable(&self) -> Box<super::Refusal> {
        let reason = "this value can't be computed here";
        self.refuse("not_computable", reason)
    }
}

/// REPLACE as the server does it: case matters, nothing found in an empty needle.
fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        match rest.strip_prefix(from).filter(|_| !from.is_empty()) {
            Some(after) => {
                result.extend_from_slice(to);
                rest = after;
            }
            None => {
                result.push(first);
                rest = tail;
            }
        }
    }
    result
}
