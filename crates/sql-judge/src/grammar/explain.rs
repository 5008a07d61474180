//! EXPLAIN, DESCRIBE, and MariaDB's ANALYZE: of queries and tables only.

use super::{Outcome, Parser, Rule};
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::Kind;
use crate::metadata::special;
use crate::text::unquote_name;
use crate::verdict::StatementKind;
use crate::walk::is_described;

impl Parser<'_> {
    /// `EXPLAIN [options] query`, `DESCRIBE table [column | 'pattern']`.
    pub(super) fn explain(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Explain;
        self.advance()?;
        if is_described(self.token, self.sight.clone().next()?) {
            self.described_table()?;
            return Ok(Outcome::Read);
        }
        self.explain_options()?;
        if !self.starts_query() {
            return Err(self.refuse("explain_write", "only reads can be explained"));
        }
        self.query()?;
        Ok(Outcome::Read)
    }

    /// MariaDB: `ANALYZE [FORMAT = JSON] query` runs the query. `ANALYZE TABLE` writes.
    pub(super) fn analyze(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Explain;
        self.advance()?;
        self.explain_options()?;
        if self.is_mysql() || !self.starts_query() {
            return Err(self.refuse("analyze_write", "ANALYZE of anything but a query writes"));
        }
        self.query()?;
        Ok(Outcome::Read)
    }

    /// Takes `ANALYZE`, `EXTENDED`, `PARTITIONS`, `FORMAT = name`, `INTO @v`,
    /// `FOR SCHEMA name`.
    fn explain_options(&mut self) -> Rule {
        loop {
            if self.eat(K::ANALYZE)? || self.eat(K::EXTENDED)? || self.eat(K::PARTITIONS)? {
                continue;
            }
            if self.eat(K::FORMAT)? {
                if !self.eat_symbol(b'=')? {
                    return Err(self.unexpected());
                }
                self.format_name()?;
            } else if self.eat(K::INTO)? {
                if self.token.kind != Kind::UserVariable {
                    let reason = "EXPLAIN may only write into a user variable";
                    return Err(self.refuse("into_target", reason));
                }
                self.advance()?;
            } else if self.is_word(K::FOR) {
                self.for_schema()?;
            } else {
                return Ok(());
            }
        }
    }

    fn format_name(&mut self) -> Rule {
        if self.token.kind == Kind::Text || self.token.is_name() {
            self.advance()?;
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// `FOR SCHEMA name`; refuses `FOR CONNECTION id`.
    fn for_schema(&mut self) -> Rule {
        self.advance()?;
        if self.eat(K::SCHEMA)? || self.eat(K::DATABASE)? {
            let name = self.expect_name()?;
            self.explained_in = Some(name);
            let schema = unquote_name(self.bytes(name));
            if self.policy.own_sessions_only && special(&schema).is_some() {
                let reason = "EXPLAIN FOR SCHEMA of the server's own schemas is not for this role";
                return Err(self.refuse("others_sessions", reason));
            }
            return Ok(());
        }
        let reason = "EXPLAIN FOR CONNECTION shows another session's statement";
        Err(self.refuse("explain_connection", reason))
    }

    fn starts_query(&self) -> bool {
        let is_table = self.is_word(K::TABLE) && self.is_mysql();
        let word = [K::SELECT, K::WITH, K::VALUES].iter().any(|&word| self.is_word(word));
        word || is_table || self.token.is(b'(')
    }

    fn described_table(&mut self) -> Rule {
        self.expect_qualified_name()?;
        if self.token.kind == Kind::Text || self.token.is_name() {
            self.advance()?;
        }
        Ok(())
    }
}
