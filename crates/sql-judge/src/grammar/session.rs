//! Small statements about the session: schema, transactions, locks, KILL, and reads that
//! aren't queries.

use bytes::Bytes;

use super::query::Until;
use super::{Outcome, Parser, Rule};
use crate::facts::Change;
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::Kind;
use crate::text::unquote_name;
use crate::verdict::{OwnStatement, StatementKind};

impl Parser<'_> {
    /// `USE schema`
    pub(super) fn use_schema(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Use;
        self.advance()?;
        let name = self.expect_name()?;
        let schema = unquote_name(self.bytes(name));
        if !self.policy.may_use(&schema) {
            let reason = "this schema is not one that this role may read";
            return Err(self.refuse_at(name, "schema", reason));
        }
        self.changes.push(Change::Schema(Bytes::copy_from_slice(&schema)));
        Ok(Outcome::Read)
    }

    /// `START TRANSACTION`, `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints.
    pub(super) fn transaction(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Transaction;
        let verb = self.bump()?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "called with these words only")]
        match verb.keyword {
            K::START => self.start_transaction()?,
            K::BEGIN => drop(self.eat(K::WORK)?),
            K::SAVEPOINT => drop(self.expect_name()?),
            K::RELEASE => {
                self.expect(K::SAVEPOINT)?;
                self.expect_name()?;
            }
            _ => {
                self.eat(K::WORK)?;
                if verb.is_word(K::ROLLBACK) && self.eat(K::TO)? {
                    self.eat(K::SAVEPOINT)?;
                    self.expect_name()?;
                } else {
                    self.completion()?;
                }
            }
        }
        Ok(Outcome::Read)
    }

    /// `[WITH CONSISTENT SNAPSHOT | READ ONLY], ...`
    fn start_transaction(&mut self) -> Rule {
        if !self.eat(K::TRANSACTION)? {
            // START SLAVE, REPLICA, GROUP_REPLICATION: no transaction, as STOP isn't.
            self.kind = StatementKind::Admin;
            let reason = "START of anything but a transaction is an order to the server";
            return Err(self.refuse("admin_statement", reason));
        }
        while !self.at_end() {
            if self.eat(K::WITH)? {
                self.expect(K::CONSISTENT)?;
                self.expect(K::SNAPSHOT)?;
            } else {
                self.expect(K::READ)?;
                if self.is_word(K::WRITE) {
                    let reason = "START TRANSACTION READ WRITE asks for the right to write";
                    return Err(self.refuse("read_write_transaction", reason));
                }
                self.expect(K::ONLY)?;
            }
            if !self.eat_symbol(b',')? {
                break;
            }
        }
        Ok(())
    }

    /// `[AND [NO] CHAIN] [NO RELEASE]`
    fn completion(&mut self) -> Rule {
        if self.eat(K::AND)? {
            self.eat(K::NO)?;
            self.expect(K::CHAIN)?;
        }
        if self.eat(K::NO)? {
            self.expect(K::RELEASE)?;
        }
        Ok(())
    }

    /// `UNLOCK TABLES` is harmless and meaningless; `LOCK TABLES` is refused, since a
    /// dump that believes in its lock would be inconsistent without a word.
    pub(super) fn table_locks(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Lock;
        if self.is_word(K::LOCK) {
            let reason = "LOCK TABLES would hold locks on the replica; a dump can read in one \
                          transaction (--single-transaction) instead";
            return Err(self.refuse("table_lock", reason));
        }
        self.advance()?;
        if !self.eat(K::TABLES)? {
            self.expect(K::TABLE)?;
        }
        Ok(Outcome::Absorb("no table is ever locked"))
    }

    /// `KILL [HARD | SOFT] [CONNECTION | QUERY] id`, the id a literal.
    pub(super) fn kill(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Kill;
        self.advance()?;
        if !self.eat(K::HARD)? {
            self.eat(K::SOFT)?;
        }
        let query_only = self.eat(K::QUERY)?;
        if !query_only {
            self.eat(K::CONNECTION)?;
        }
        let id = self.token;
        let number = std::str::from_utf8(self.bytes(id)).ok().and_then(|text| text.parse().ok());
        match number {
            Some(id) if self.token.kind == Kind::Number => {
                self.advance()?;
                Ok(Outcome::Own(OwnStatement::Kill { id, query_only }))
            }
            _ => Err(self.refuse("kill_target", "KILL takes the id of a connection, as a number")),
        }
    }

    /// `DO expression, ...`
    pub(super) fn do_expressions(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Do;
        self.advance()?;
        self.expression(Until::End)?;
        Ok(Outcome::Read)
    }

    /// `HELP 'topic'`
    pub(super) fn help(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Help;
        self.advance()?;
        if self.token.kind == Kind::Text || self.token.is_name() {
            self.advance()?;
        }
        Ok(Outcome::Read)
    }

    /// `CHECKSUM TABLE name, ... [QUICK | EXTENDED]`
    pub(super) fn checksum(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Checksum;
        self.advance()?;
        if !self.eat(K::TABLE)? {
            self.expect(K::TABLES)?;
        }
        self.expect_qualified_name()?;
        while self.eat_symbol(b',')? {
            self.expect_qualified_name()?;
        }
        if !self.eat(K::QUICK)? {
            self.eat(K::EXTENDED)?;
        }
        Ok(Outcome::Read)
    }

    /// `GET [CURRENT | STACKED] DIAGNOSTICS ... @name = item, ...`: fills user variables.
    pub(super) fn get_diagnostics(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Diagnostics;
        self.advance()?;
        if !self.eat(K::CURRENT)? {
            self.eat(K::STACKED)?;
        }
        self.expect(K::DIAGNOSTICS)?;
        if self.eat(K::CONDITION)? {
            if !matches!(self.token.kind, Kind::Number | Kind::UserVariable) {
                return Err(self.unexpected());
            }
            self.advance()?;
        }
        loop {
            if self.token.kind != Kind::UserVariable {
                return Err(self.unexpected());
            }
            self.advance()?;
            if !self.eat_symbol(b'=')? {
                return Err(self.unexpected());
            }
            self.expect_name()?;
            if !self.eat_symbol(b',')? {
                return Ok(Outcome::Read);
            }
        }
    }

    /// `CALL schema.routine(...)`, if it is listed.
    pub(super) fn call(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Call;
        self.advance()?;
        let first = self.expect_name()?;
        let is_qualified = self.eat_symbol(b'.')?;
        let (schema, routine) = if is_qualified {
            (unquote_name(self.bytes(first)).to_vec(), self.expect_name()?)
        } else {
            (self.session.schema().unwrap_or_default().to_vec(), first)
        };
        let routine_name = unquote_name(self.bytes(routine));
        let listed = self.policy.allowed_calls.iter().filter_map(|listed| listed.split_once('.'));
        let mut listed = listed.filter(|(known, _)| known.as_bytes() == schema);
        if !listed.any(|(_, known)| known.as_bytes().eq_ignore_ascii_case(&routine_name)) {
            return Err(self.refuse_at(first, "call", "CALL of a routine that is not listed"));
        }
        if is_qualified {
            self.no_package(first, "call")?;
        }
        if self.eat_symbol(b'(')? {
            // The opening parenthesis is behind: arguments, then the closing one.
            self.call_arguments()?;
        }
        self.changes.push(Change::Called);
        self.runs_routine = true;
        Ok(Outcome::Read)
    }

    fn call_arguments(&mut self) -> Rule {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "all else is refused")]
            match self.token.kind {
                Kind::Symbol if self.token.byte == b')' => return self.bump().map(drop),
                Kind::Symbol if matches!(self.token.byte, b',' | b'-' | b'?') => self.bump()?,
                Kind::Text | Kind::Number | Kind::UserVariable => self.bump()?,
                _ if self.is_word(K::NULL) => self.bump()?,
                _ => {
                    let reason = "CALL takes literals and user variables only";
                    return Err(self.refuse("call_argument", reason));
                }
            };
        }
    }
}
