//! Queries and expressions: a walk over the tokens that lets every read pass and stops
//! at whatever makes a query more than a read: targets of INTO, locks, calls of
//! functions that aren't known to only compute, statement verbs behind WITH.

use std::borrow::Cow;

use super::{Parser, Refusal, Rule};
use crate::functions::{self, Class, Spelling};
use crate::lexer::is_space;
use crate::lexer::keyword::Keyword;
use crate::lexer::token::{Kind, Token};
use crate::text::{excerpt, unquote_name};

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 200;
/// Deepest nesting of functions whose value outgrows their arguments.
const MAX_GROWTH: u32 = 8;

/// Where an expression ends besides the end of the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Nowhere.
    End,
    /// At a comma outside of parentheses.
    Comma,
    /// At a comma or FOR outside of parentheses (`SET STATEMENT ... FOR`).
    CommaOrFor,
}

/// `name (a, b) AS (`: the column list of a common table expression looks like a call
/// until the AS behind it.
#[derive(Debug, Clone, Copy)]
enum ColumnList {
    No,
    Inside(Token),
    Closed(Token),
    BeforeQuery(Token),
}

impl ColumnList {
    fn name(self) -> Option<Token> {
        match self {
            Self::No => None,
            Self::Inside(name) | Self::Closed(name) | Self::BeforeQuery(name) => Some(name),
        }
    }
}

struct Walk {
    until: Until,
    depth: usize,
    growing: u32,
    grows: [bool; MAX_DEPTH],
    columns: ColumnList,
    in_match: bool,
}

/// What a parenthesis after a name is.
enum Call {
    Group,
    BuiltIn(Class),
    Allowed,
    MaybeColumns,
}

impl Parser<'_> {
    /// A query, to the end of the statement.
    pub(super) fn query(&mut self) -> Rule {
        // A parenthesis right at the start follows a word of the statement, not a name.
        self.recent = [Token::NONE; 4];
        self.expression(Until::End)
    }

    /// An expression or query, to where `until` says.
    pub(super) fn expression(&mut self, until: Until) -> Rule {
        let columns = ColumnList::No;
        let mut walk = Walk {
            until,
            depth: 0,
            growing: 0,
            grows: [false; MAX_DEPTH],
            columns,
            in_match: false,
        };
        while !self.at_walk_end(&walk)? {
            if self.column_list(&mut walk)? {
                continue;
            }
            if self.token.is(b'(') {
                self.open(&mut walk)?;
            } else if self.token.is(b')') {
                self.close(&mut walk)?;
            } else if self.token.keyword == Keyword::None {
                let name = self.bump()?;
                if name.kind == Kind::Name && self.facts.lex_mode().oracle {
                    self.oracle_pseudo_column(name)?;
                }
            } else {
                self.word(&mut walk)?;
            }
        }
        Ok(())
    }

    fn at_walk_end(&self, walk: &Walk) -> Rule<bool> {
        let statement_ends = self.at_end();
        if let Some(name) = walk.columns.name().filter(|_| statement_ends) {
            return Err(self.unknown_function(name));
        }
        if statement_ends && walk.depth > 0 {
            return Err(self.refuse("unclosed_parenthesis", "a parenthesis is not closed"));
        }
        let outside = walk.depth == 0;
        Ok(statement_ends
            || match walk.until {
                Until::End => false,
                Until::Comma => outside && self.token.is(b','),
                Until::CommaOrFor => outside && (self.token.is(b',') || self.is_word(Keyword::FOR)),
            })
    }

    // ---- words ---------------------------------------------------------------------

    fn word(&mut self, walk: &mut Walk) -> Rule {
        let word = self.bump()?;
        let next = self.token;
        #[expect(clippy::wildcard_enum_match_arm, reason = "other words mean nothing here")]
        match word.keyword {
            Keyword::INTO => self.variables_of_into(word),
            Keyword::FOR if next.is_word(Keyword::UPDATE) || next.is_word(Keyword::SHARE) => {
                Err(self.refuse_at(word, "locking_read", "FOR UPDATE and FOR SHARE take row locks"))
            }
            Keyword::FOR => self.sequence_step(),
            Keyword::LOCK => {
                Err(self.refuse_at(word, "locking_read", "LOCK IN SHARE MODE takes row locks"))
            }
            Keyword::INSERT | Keyword::REPLACE if next.is(b'(') => Ok(()),
            Keyword::PROCEDURE if next.is_word(Keyword::ANALYSE) && !self.is_mysql() => Ok(()),
            Keyword::INSERT
            | Keyword::REPLACE
            | Keyword::UPDATE
            | Keyword::DELETE
            | Keyword::PROCEDURE
            | Keyword::OUTFILE
            | Keyword::LOAD
            | Keyword::CALL => {
                let verb = excerpt(self.bytes(word)).to_uppercase();
                Err(self.refuse_at(word, "verb_in_query", format!("{verb} stands inside a query")))
            }
            Keyword::NEXTVAL | Keyword::CURRVAL if self.facts.lex_mode().oracle => {
                self.oracle_pseudo_column(word)
            }
            Keyword::MATCH => {
                walk.in_match = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Behind FOR: refuses `NEXT VALUE FOR` and `PREVIOUS VALUE FOR`.
    fn sequence_step(&self) -> Rule {
        let [_, value, step, _] = self.before();
        let is_step = step.is_word(Keyword::NEXT) || step.is_word(Keyword::PREVIOUS);
        if value.is_word(Keyword::VALUE) && is_step {
            return Err(self.refuse_at(step, "sequence", "NEXT VALUE FOR moves a sequence"));
        }
        Ok(())
    }

    /// MariaDB's ORACLE mode: `s.NEXTVAL` moves a sequence without parentheses.
    fn oracle_pseudo_column(&self, name: Token) -> Rule {
        let is_step =
            matches!(Keyword::find(self.bytes(name)), Keyword::NEXTVAL | Keyword::CURRVAL);
        let [_, dot, ..] = self.before();
        if is_step && dot.is(b'.') {
            return Err(self.refuse_at(name, "sequence", "NEXTVAL moves a sequence"));
        }
        Ok(())
    }

    /// `INTO @a, @b`: the only harmless targets.
    fn variables_of_into(&mut self, into: Token) -> Rule {
        loop {
            if self.token.kind != Kind::UserVariable {
                let target = excerpt(self.bytes(self.token));
                let reason = format!("INTO may only fill user variables, not {target}");
                return Err(self.refuse_at(into, "into_target", reason));
            }
            self.bump()?;
            if !self.token.is(b',') {
                return Ok(());
            }
            self.bump()?;
        }
    }

    // ---- parentheses and calls -------------------------------------------------------

    fn open(&mut self, walk: &mut Walk) -> Rule {
        let [name, ..] = self.before();
        let call = if name.is_name() { self.call_before(walk)? } else { Call::Group };
        let grows = matches!(call, Call::BuiltIn(Class::Growth));
        let Some(slot) = walk.grows.get_mut(walk.depth) else {
            let reason = format!("parentheses are nested more than {MAX_DEPTH} deep");
            return Err(self.refuse("too_deep", reason));
        };
        *slot = grows;
        walk.depth += 1;
        walk.growing += u32::from(grows);
        if walk.growing > MAX_GROWTH {
            let reason = format!(
                "functions that lengthen their arguments are nested more than {MAX_GROWTH} deep"
            );
            return Err(self.refuse_at(name, "growing_value", reason));
        }
        self.bump()?;
        match call {
            Call::BuiltIn(class) => self.built_in(name, class),
            Call::MaybeColumns => {
                walk.columns = ColumnList::Inside(name);
                Ok(())
            }
            Call::Group | Call::Allowed => Ok(()),
        }
    }

    fn close(&mut self, walk: &mut Walk) -> Rule {
        let Some(depth) = walk.depth.checked_sub(1) else {
            return Err(self.refuse("unclosed_parenthesis", "a `)` closes nothing"));
        };
        walk.depth = depth;
        walk.growing -= u32::from(walk.grows.get(depth).copied().unwrap_or(false));
        self.bump()?;
        Ok(())
    }

    /// What the parenthesis is that follows a name.
    fn call_before(&mut self, walk: &mut Walk) -> Rule<Call> {
        let [name, previous, schema, earlier] = self.before();
        if previous.is(b'.') {
            return self.stored_call(schema, name, earlier).map(|()| Call::Allowed);
        }
        // `@@name (`, `{fn (`, and a name right after an operand, which no operand can
        // follow: an alias with its columns, or an operator.
        let after_operand = previous.is(b')')
            || previous.is(b'{')
            || matches!(
                previous.kind,
                Kind::AtAt | Kind::Text | Kind::UserVariable | Kind::QuotedName
            );
        let after_word = previous.is_word(Keyword::AS) || previous.is_word(Keyword::PROCEDURE);
        if after_operand || after_word || self.groups(name, walk) {
            return Ok(Call::Group);
        }
        let flavour = self.facts.server().flavour;
        match functions::find(flavour, &self.called_name(name), self.spelling(name)) {
            Some(class) => Ok(Call::BuiltIn(class)),
            None if self.is_allowed_in_schema(name) => Ok(Call::Allowed),
            None => Ok(Call::MaybeColumns),
        }
    }

    /// Whether a parenthesis after this word opens no arguments to this server.
    fn groups(&self, name: Token, walk: &mut Walk) -> bool {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the table tells of the others")]
        match name.keyword {
            Keyword::AGAINST => std::mem::take(&mut walk.in_match),
            Keyword::LATERAL
            | Keyword::ROLLUP
            | Keyword::COLUMNS
            | Keyword::OF
            | Keyword::VECTOR
            | Keyword::ESCAPE => self.is_mysql(),
            Keyword::SQL_CACHE => !self.is_mysql(),
            Keyword::MINUS => self.facts.lex_mode().oracle,
            keyword => keyword.takes_parenthesis(),
        }
    }

    fn called_name(&self, name: Token) -> Cow<'_, [u8]> {
        unquote_name(self.bytes(name))
    }

    fn spelling(&self, name: Token) -> Spelling {
        if name.kind == Kind::QuotedName {
            return Spelling::Quoted;
        }
        let between = self.lexer.text().get(name.end as usize..self.token.start as usize);
        let between = between.unwrap_or_default();
        let ignored = self.facts.lex_mode().ignore_space && between.iter().all(|&b| is_space(b));
        if between.is_empty() || ignored { Spelling::Plain } else { Spelling::Spaced }
    }

    fn built_in(&mut self, name: Token, class: Class) -> Rule {
        let (rule, why) = match class {
            Class::Pure | Class::Growth => return Ok(()),
            Class::Sleep => return self.sleep_argument(name),
            Class::Lock => ("user_lock", "takes or frees user locks"),
            Class::Burn => ("benchmark", "burns time on the replica"),
            Class::File => ("server_file", "reads a file of the replica"),
            Class::Sequence => ("sequence", "reads or moves a sequence"),
            Class::Wait => ("replication_wait", "waits for replication"),
            Class::Admin => ("admin_function", "changes settings of the replica"),
        };
        let called = excerpt(self.bytes(name)).to_uppercase();
        Err(self.refuse_at(name, rule, format!("the function {called} {why}")))
    }

    /// `SLEEP(2)`: a literal within the policy's limit.
    fn sleep_argument(&mut self, name: Token) -> Rule {
        let text = std::str::from_utf8(self.bytes(self.token)).unwrap_or_default();
        let seconds = text.parse::<f64>().ok().filter(|_| self.token.kind == Kind::Number);
        let most = f64::from(self.policy.sleep_max_seconds);
        if seconds.is_some_and(|seconds| seconds <= most) {
            self.bump()?;
            if self.token.is(b')') {
                return Ok(());
            }
        }
        let reason = format!("SLEEP may wait for a literal of at most {most} seconds");
        Err(self.refuse_at(name, "sleep", reason))
    }

    // ---- stored functions ------------------------------------------------------------

    /// `schema.name(`: must be listed. The schema's name is compared as it stands, since
    /// servers may tell `Clin` from `clin`; the function's without regard to case.
    fn stored_call(&self, schema: Token, name: Token, earlier: Token) -> Rule {
        let is_listed = schema.is_name()
            && !earlier.is(b'.')
            && self.is_listed(&unquote_name(self.bytes(schema)), name);
        if is_listed { Ok(()) } else { Err(self.unknown_function(name)) }
    }

    fn is_allowed_in_schema(&self, name: Token) -> bool {
        self.facts.schema().is_some_and(|schema| self.is_listed(schema, name))
    }

    fn is_listed(&self, schema: &[u8], name: Token) -> bool {
        let name = self.called_name(name);
        self.policy.allowed_functions.iter().filter_map(|listed| listed.split_once('.')).any(
            |(listed_schema, listed_name)| {
                listed_schema.as_bytes() == schema
                    && listed_name.as_bytes().eq_ignore_ascii_case(&name)
            },
        )
    }

    fn unknown_function(&self, name: Token) -> Box<Refusal> {
        let called = excerpt(self.bytes(name));
        let reason = format!("{called} is not a built-in function that only reads, nor listed");
        self.refuse_at(name, "unknown_function", reason)
    }

    // ---- column lists ----------------------------------------------------------------

    /// Follows what looked like a call of an unknown function; true if it took a token.
    fn column_list(&mut self, walk: &mut Walk) -> Rule<bool> {
        let token = self.token;
        let (name, goes_on) = match walk.columns {
            ColumnList::No => return Ok(false),
            ColumnList::Inside(name) if token.is(b')') => {
                walk.columns = ColumnList::Closed(name);
                self.close(walk)?;
                return Ok(true);
            }
            ColumnList::Inside(name) => (name, token.is_name() || token.is(b',')),
            ColumnList::Closed(name) => {
                walk.columns = ColumnList::BeforeQuery(name);
                (name, token.is_word(Keyword::AS))
            }
            ColumnList::BeforeQuery(_) if token.is(b'(') => {
                walk.columns = ColumnList::No;
                return Ok(false);
            }
            ColumnList::BeforeQuery(name) => (name, false),
        };
        if !goes_on {
            return Err(self.unknown_function(name));
        }
        self.bump()?;
        Ok(true)
    }
}
