//! Queries and expressions: a walk over the tokens that lets every read pass and stops
//! at whatever makes a query more than a read: targets of INTO, locks, calls of
//! functions that aren't known to only compute, statement verbs behind WITH.

use super::{Parser, Rule};
use crate::lexer::keyword::Keyword;
use crate::lexer::token::{Kind, Token};
use crate::text::{excerpt, unquote_name};

/// Deepest nesting of parentheses.
pub(super) const MAX_DEPTH: usize = 200;

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
pub(super) enum ColumnList {
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

/// What parentheses hold, as far as it matters at their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Anything,
    /// Arguments of a function whose value may grow.
    Growing,
    /// The same of REPLACE, whose value doesn't grow if it puts in no more than it takes out.
    Replacing,
    /// Arguments that must be two, behind so many commas.
    Pair(u8),
    /// Arguments that must end in COLUMNS, which hasn't come yet.
    Columns,
}

/// A pair of parentheses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parentheses {
    pub(super) held: Held,
    /// How many functions whose value may grow are inside each other in them.
    pub(super) growth: u8,
}

/// The state of a walk over an expression.
pub(super) struct Walk {
    until: Until,
    /// Parentheses that are open.
    pub(super) depth: usize,
    /// Each of them.
    pub(super) opened: [Parentheses; MAX_DEPTH],
    pub(super) columns: ColumnList,
    /// Behind MATCH, before its AGAINST.
    pub(super) in_match: bool,
}

impl Walk {
    /// What the innermost open parentheses hold.
    fn innermost(&mut self) -> Option<&mut Held> {
        Some(&mut self.opened.get_mut(self.depth.checked_sub(1)?)?.held)
    }

    fn comma(&mut self) {
        if let Some(Held::Pair(commas)) = self.innermost() {
            *commas = commas.saturating_add(1);
        }
    }

    /// `'path' COLUMNS (`: no argument of a stored function can be written so.
    fn columns_of_table(&mut self, path: Token) {
        if let Some(held) = self.innermost()
            && *held == Held::Columns
            && path.kind == Kind::Text
        {
            *held = Held::Anything;
        }
    }
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
        let none = Parentheses { held: Held::Anything, growth: 0 };
        let (columns, opened) = (ColumnList::No, [none; MAX_DEPTH]);
        let mut walk = Walk { until, depth: 0, opened, columns, in_match: false };
        let oracle = self.session.lex_mode().oracle;
        while !self.at_walk_end(&walk)? {
            if self.column_list(&mut walk)? {
                continue;
            }
            if self.token.is(b'(') {
                self.open(&mut walk)?;
            } else if self.token.is(b')') {
                self.close(&mut walk)?;
            } else if self.token.keyword == Keyword::None {
                if self.token.is(b',') {
                    walk.comma();
                }
                self.advance()?;
                if oracle {
                    self.oracle_pseudo_column()?;
                }
            } else {
                self.word(&mut walk)?;
            }
        }
        Ok(())
    }

    fn at_walk_end(&self, walk: &Walk) -> Rule<bool> {
        let statement_ends = self.at_end();
        let outside = walk.depth == 0;
        let ends = statement_ends
            || match walk.until {
                Until::End => false,
                Until::Comma => outside && self.token.is(b','),
                Until::CommaOrFor => outside && (self.token.is(b',') || self.is_word(Keyword::FOR)),
            };
        // What might have been a table's columns was followed by nothing that says so.
        if let Some(name) = walk.columns.name().filter(|_| ends) {
            return Err(self.unknown_function(name));
        }
        if statement_ends && walk.depth > 0 {
            return Err(self.refuse("unclosed_parenthesis", "a parenthesis is not closed"));
        }
        Ok(ends)
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
            Keyword::NEXTVAL | Keyword::CURRVAL if self.session.lex_mode().oracle => {
                self.oracle_pseudo_column()
            }
            Keyword::SELECT | Keyword::TABLE => {
                self.has_subquery |= self.kind.locks_what_it_reads();
                Ok(())
            }
            Keyword::COLUMNS if next.is(b'(') => {
                let [_, path, ..] = self.before();
                walk.columns_of_table(path);
                Ok(())
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

    /// MariaDB's ORACLE mode: `s.NEXTVAL` moves a sequence without parentheses, in quotes too.
    fn oracle_pseudo_column(&self) -> Rule {
        let [name, dot, ..] = self.before();
        let is_name = matches!(name.kind, Kind::Word | Kind::Name | Kind::QuotedName);
        let is_step = is_name
            && matches!(
                Keyword::find(&unquote_name(self.bytes(name))),
                Keyword::NEXTVAL | Keyword::CURRVAL
            );
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
            self.advance()?;
            if !self.token.is(b',') {
                return Ok(());
            }
            self.advance()?;
        }
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
        self.advance()?;
        Ok(true)
    }
}
