//! Values of variables that decide how later texts are read: read here where they are written
//! out. What is computed only the replica knows: it is asked.

use super::{Parser, Rule};
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::text::{unquote_name, unquote_text};

impl Parser<'_> {
    /// A string, a bare word, or the number 0, which is no mode.
    pub(super) fn written_value(&mut self) -> Rule<Vec<u8>> {
        let value = self.token;
        #[expect(clippy::wildcard_enum_match_arm, reason = "all else is refused")]
        match value.kind {
            Kind::Text => self.text_value(),
            Kind::Word | Kind::QuotedName => self.word_value(),
            Kind::Number if self.bytes(value) == b"0" => {
                self.advance()?;
                Ok(Vec::new())
            }
            _ => Err(self.not_written_out(value)),
        }
    }

    fn text_value(&mut self) -> Rule<Vec<u8>> {
        let escapes = !self.session.lex_mode().no_backslash_escapes;
        let text = self.token;
        let Some(value) = unquote_text(self.bytes(text), escapes) else {
            return Err(self.not_written_out(text));
        };
        self.advance()?;
        // `'a' 'b'` is one string to the server.
        let is_longer = self.token.kind == Kind::Text;
        let is_null = value.is_empty() && self.session.all().sql_mode().has("EMPTY_STRING_IS_NULL");
        if is_longer || is_null {
            return Err(self.not_written_out(text));
        }
        Ok(value)
    }

    fn word_value(&mut self) -> Rule<Vec<u8>> {
        let word = self.token;
        self.advance()?;
        let is_name = ![K::DEFAULT, K::NULL, K::SELECT].iter().any(|other| word.is_word(*other));
        if !is_name || self.token.is(b'(') {
            return Err(self.not_written_out(word));
        }
        Ok(unquote_name(self.bytes(word)).into_owned())
    }

    fn not_written_out(&self, at: Token) -> Box<super::Refusal> {
        let reason = "this value must be written out, as a text or a word";
        self.refuse_at(at, "not_written_out", reason)
    }
}
