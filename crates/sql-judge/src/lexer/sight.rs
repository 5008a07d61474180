//! A text and a session as the rules may see them. What a verdict depends on beyond the
//! [`super::skeleton`] of the text, its reading mode and the default schema can only be had
//! here: the bytes of values, and the rest of the session. Who takes it leaves a trace in
//! [`Looked`], and such a verdict holds for no other text.

use std::cell::Cell;

use bytes::Bytes;

use super::token::{Lexed, Token};
use super::{Gap, LexMode, Lexer};
use crate::facts::SessionFacts;
use crate::server::{Flavour, ServerVersion};

/// What was looked at while judging.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    values: Cell<bool>,
    session: Cell<bool>,
}

impl Looked {
    /// Whether the bytes of a value were.
    pub(crate) fn at_values(&self) -> bool {
        self.values.get()
    }

    /// Whether more of the session was than its reading mode and its default schema.
    pub(crate) fn at_session(&self) -> bool {
        self.session.get()
    }
}

/// A text, token by token. Neither a value's bytes nor its length can be told but by
/// [`Sight::bytes`].
#[derive(Clone)]
pub(crate) struct Sight<'t> {
    lexer: Lexer<'t>,
    looked: &'t Looked,
}

impl<'t> Sight<'t> {
    pub(crate) fn new(mode: LexMode, text: &'t [u8], looked: &'t Looked) -> Self {
        Self { lexer: Lexer::new(mode, text), looked }
    }

    /// The same text once more from its beginning, looked at in the same book.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.lexer.mode, self.lexer.text, self.looked)
    }

    /// The next token: see [`Lexer::next`].
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Lexed<Token> {
        self.lexer.next()
    }

    /// The bytes of a token.
    pub(crate) fn bytes(&self, token: Token) -> &'t [u8] {
        if token.is_value() {
            self.looked.values.set(true);
        }
        self.lexer.bytes(token)
    }

    /// Whether the server is a MySQL of that version or a later one.
    pub(crate) fn is_mysql_since(&self, number: u32) -> bool {
        self.lexer.mode.is_mysql() && self.lexer.mode.server.number >= number
    }

    /// What stands between a token and the parenthesis that follows it. The skeleton knows
    /// of no other gaps.
    pub(crate) fn gap_before_parenthesis(&self, before: Token, parenthesis: Token) -> Gap {
        match parenthesis.is(b'(') {
            true => self.lexer.gap(before, parenthesis),
            false => Gap::More,
        }
    }

    /// Whether the last token stands inside an executable comment.
    pub(crate) fn in_comment(&self) -> bool {
        self.lexer.in_comment
    }
}

/// What the rules know of a session.
#[derive(Clone, Copy)]
pub(crate) struct Session<'a> {
    facts: &'a SessionFacts,
    looked: &'a Looked,
}

impl<'a> Session<'a> {
    pub(crate) fn new(facts: &'a SessionFacts, looked: &'a Looked) -> Self {
        Self { facts, looked }
    }

    /// How its texts are read.
    pub(crate) fn lex_mode(&self) -> LexMode {
        self.facts.lex_mode()
    }

    /// The server that it is on.
    pub(crate) fn server(&self) -> ServerVersion {
        self.facts.server()
    }

    /// Whether that is MySQL.
    pub(crate) fn is_mysql(&self) -> bool {
        self.server().flavour == Flavour::MySql
    }

    /// Its default schema.
    pub(crate) fn schema(&self) -> Option<&'a [u8]> {
        self.facts.schema()
    }

    /// The same, to keep.
    pub(crate) fn schema_bytes(&self) -> Option<Bytes> {
        self.facts.schema_bytes()
    }

    /// All of it.
    pub(crate) fn all(&self) -> &'a SessionFacts {
        self.looked.session.set(true);
        self.facts
    }
}
