//! PREPARE, EXECUTE and DEALLOCATE as statements. What is prepared must be a literal: it
//! is judged as the statement that it is, when it is prepared and when it is executed.

use bytes::Bytes;

use super::{Outcome, Parser, Rule};
use crate::facts::{Change, MAX_PREPARED, MAX_PREPARED_TEXT, PreparedText};
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::text::{unquote_name, unquote_text};
use crate::verdict::StatementKind;

impl Parser<'_> {
    /// `PREPARE name FROM 'text'`
    pub(super) fn prepare(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Prepare;
        self.advance()?;
        let name = self.expect_name()?;
        let name = self.prepared_name(name)?;
        self.expect(K::FROM)?;
        let text = self.literal_statement()?;
        if self.session.all().prepared_count() >= MAX_PREPARED {
            return Err(self.refuse("too_many_prepared", "too many statements are prepared"));
        }
        self.changes.push(Change::Prepared(name, text.clone()));
        self.inner = Some(PreparedText { text, schema: self.session.schema_bytes() });
        Ok(Outcome::Read)
    }

    /// `EXECUTE name [USING @a, ...]`, `EXECUTE IMMEDIATE 'text' [USING ...]` (MariaDB).
    pub(super) fn execute(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Prepare;
        self.advance()?;
        if self.is_word(K::IMMEDIATE) && !self.is_mysql() {
            self.advance()?;
            let text = self.literal_statement()?;
            self.inner = Some(PreparedText { text, schema: self.session.schema_bytes() });
        } else {
            let name = self.expect_name()?;
            let key = self.prepared_name(name)?;
            let Some(prepared) = self.session.all().prepared(&key) else {
                let reason = "EXECUTE of a statement that was not prepared here";
                return Err(self.refuse_at(name, "unknown_prepared", reason));
            };
            self.inner = Some(prepared.clone());
        }
        if self.eat(K::USING)? {
            self.using_values()?;
        }
        Ok(Outcome::Read)
    }

    /// `{DEALLOCATE | DROP} PREPARE name`
    pub(super) fn deallocate(&mut self) -> Rule<Outcome> {
        let verb = self.token;
        self.advance()?;
        if !self.is_word(K::PREPARE) {
            self.kind = StatementKind::Definition;
            return Err(self.refuse_at(verb, "definition_statement", "DROP is not a read"));
        }
        self.kind = StatementKind::Prepare;
        self.advance()?;
        let name = self.expect_name()?;
        let name = self.prepared_name(name)?;
        self.changes.push(Change::Deallocated(name));
        Ok(Outcome::Read)
    }

    /// Names are compared without regard to case; other bytes than ASCII would need the
    /// server's collation. To MySQL `s` and `s ` are one name, to MariaDB two.
    fn prepared_name(&self, name: Token) -> Rule<Bytes> {
        let bytes = unquote_name(self.bytes(name));
        if !bytes.is_ascii() || bytes.ends_with(b" ") {
            let reason =
                "names of prepared statements must be ASCII here, with no blank at the end";
            return Err(self.refuse_at(name, "prepared_name", reason));
        }
        Ok(Bytes::from(bytes.to_ascii_lowercase()))
    }

    /// One string literal in ASCII: the server converts others between character sets.
    fn literal_statement(&mut self) -> Rule<Bytes> {
        let literal = self.token;
        let escapes = !self.session.lex_mode().no_backslash_escapes;
        let value = (literal.kind == Kind::Text)
            .then(|| unquote_text(self.bytes(literal), escapes))
            .flatten()
            .filter(|value| value.len() <= MAX_PREPARED_TEXT);
        let Some(value) = value else {
            let reason = "only a plain string in ASCII can be prepared, so that it can be judged";
            return Err(self.refuse("prepare_source", reason));
        };
        if self.session.all().literals_in_doubt() {
            let reason = "after SET CHARACTER SET the server may prepare another text than this; \
                          SET NAMES tells it how to read it";
            return Err(self.refuse("in_doubt", reason));
        }
        self.advance()?;
        Ok(Bytes::from(value))
    }

    fn using_values(&mut self) -> Rule {
        loop {
            if !matches!(self.token.kind, Kind::UserVariable | Kind::Text | Kind::Number) {
                return Err(self.unexpected());
            }
            self.advance()?;
            if !self.eat_symbol(b',')? {
                return Ok(());
            }
        }
    }
}
