//! The allow-list: which statements may pass, over the tokens of the lexer.
//!
//! Every statement is recognised by its leading words and then read to its end by the
//! rules of that statement; whatever no rule names is refused with its place. Nothing
//! here recurses on the input.

mod call;
mod explain;
mod prepared;
mod query;
mod session;
mod set;
mod show;
mod value;

use crate::access;
use crate::facts::{Change, PreparedText};
use crate::hints;
use crate::judge::Policy;
use crate::lexer::keyword::Keyword;
use crate::lexer::sight::{Session, Sight};
use crate::lexer::token::{Kind, LexError, Token};
use crate::metadata::special;
use crate::settings::Limits;
use crate::text::excerpt;
use crate::verdict::{OwnStatement, StatementKind};

/// What the grammar found a statement to be.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A read.
    Read,
    /// To be answered OK without forwarding, for this reason.
    Absorb(&'static str),
    /// readgate's own.
    Own(OwnStatement),
}

/// Why the grammar refuses. Boxed: the way of success is the fast one.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) rule: &'static str,
    pub(crate) reason: String,
    pub(crate) offset: usize,
}

impl From<Box<LexError>> for Box<Refusal> {
    fn from(error: Box<LexError>) -> Self {
        let LexError { rule, message, offset } = *error;
        Self::new(Refusal { rule, reason: String::from(message), offset })
    }
}

/// The result of a rule.
pub(crate) type Rule<T = ()> = Result<T, Box<Refusal>>;

/// Reads one statement.
pub(crate) struct Parser<'a> {
    session: Session<'a>,
    policy: &'a Policy,
    limits: &'a Limits,
    sight: Sight<'a>,
    /// The token that comes next.
    token: Token,
    /// The four tokens before it, in a ring.
    recent: [Token; 4],
    /// Where the latest of them is, modulo four.
    latest: usize,
    /// The schema in which EXPLAIN has the text read, if it names one.
    explained_in: Option<Token>,
    /// What the statement is, as far as it is known.
    pub(crate) kind: StatementKind,
    /// What it will change in the session.
    pub(crate) changes: Vec<Change>,
    /// A routine that the policy lists is called.
    pub(crate) runs_routine: bool,
    /// Text of a prepared statement that remains to be judged as one of its own.
    pub(crate) inner: Option<PreparedText>,
    /// Whether the tables that the text names are still to be held against the policy.
    pub(crate) must_look: bool,
    /// A SELECT stands inside SET, DO or SHOW.
    pub(crate) has_subquery: bool,
}

/// A place of the cursor to come back to.
struct Place<'a> {
    sight: Sight<'a>,
    token: Token,
    recent: [Token; 4],
    latest: usize,
}

impl<'a> Parser<'a> {
    /// Starts where `sight` stands.
    pub(crate) fn new(
        session: Session<'a>,
        policy: &'a Policy,
        limits: &'a Limits,
        sight: Sight<'a>,
    ) -> Rule<Self> {
        let kind = StatementKind::Unknown;
        let mut parser = Self {
            session,
            policy,
            limits,
            sight,
            token: Token::NONE,
            recent: [Token::NONE; 4],
            latest: 0,
            explained_in: None,
            kind,
            changes: Vec::new(),
            runs_routine: false,
            inner: None,
            has_subquery: false,
            must_look: policy.restricts_schemas()
                || (policy.own_sessions_only && is_special(session.schema())),
        };
        parser.bump()?;
        Ok(parser)
    }

    /// Reads a statement to the `;` after it or the end of the text.
    pub(crate) fn statement(&mut self) -> Rule<Outcome> {
        let outcome = self.by_leading_word()?;
        self.expect_end()?;
        Ok(outcome)
    }

    /// After a statement: the offset of its `;` if more than white space, comments and
    /// further `;` follows.
    pub(crate) fn more_follows(&mut self) -> Rule<Option<usize>> {
        let end = self.token.offset();
        while self.token.is(b';') {
            self.advance()?;
        }
        Ok((self.token.kind != Kind::End).then_some(end))
    }

    fn by_leading_word(&mut self) -> Rule<Outcome> {
        use Keyword as K;
        if self.token.kind == Kind::End {
            self.kind = StatementKind::Empty;
            return Ok(Outcome::Read);
        }
        if self.token.is(b'(') {
            return self.select();
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other words are refused")]
        match self.token.keyword {
            K::SELECT | K::WITH | K::VALUES => self.select(),
            K::TABLE if self.is_mysql() => self.select(),
            K::SHOW => self.show(),
            K::EXPLAIN | K::DESCRIBE | K::DESC => self.explain(),
            K::ANALYZE => self.analyze(),
            K::SET => self.set(),
            K::USE => self.use_schema(),
            K::START | K::BEGIN | K::COMMIT | K::ROLLBACK | K::SAVEPOINT | K::RELEASE => {
                self.transaction()
            }
            K::LOCK | K::UNLOCK => self.table_locks(),
            K::KILL => self.kill(),
            K::DO => self.do_expressions(),
            K::HELP => self.help(),
            K::CHECKSUM => self.checksum(),
            K::GET => self.get_diagnostics(),
            K::PREPARE => self.prepare(),
            K::EXECUTE => self.execute(),
            K::DEALLOCATE | K::DROP => self.deallocate(),
            K::CALL => self.call(),
            _ => Err(self.unknown_statement()),
        }
    }

    fn select(&mut self) -> Rule<Outcome> {
        self.kind = StatementKind::Select;
        self.query()?;
        Ok(Outcome::Read)
    }

    fn unknown_statement(&mut self) -> Box<Refusal> {
        let word = self.sight.bytes(self.token);
        let (kind, rule) = kind_of_refused(word);
        self.kind = kind;
        self.refuse(rule, format!("{} is not a read that readgate knows", excerpt(word)))
    }

    // ---- cursor --------------------------------------------------------------------

    /// Takes the next token.
    fn bump(&mut self) -> Rule<Token> {
        let taken = self.token;
        self.advance()?;
        Ok(taken)
    }

    /// Goes on by one token. Hints are left out: the lexer has checked what they set.
    fn advance(&mut self) -> Rule {
        self.latest = self.latest.wrapping_add(1);
        if let Some(slot) = self.recent.get_mut(self.latest % 4) {
            *slot = self.token;
        }
        loop {
            self.token = self.sight.next()?;
            if self.token.kind != Kind::Hint {
                break;
            }
            if !hints::keeps_limit(self.sight.bytes(self.token), self.limits) {
                let reason = "MAX_EXECUTION_TIME would exceed the limit of this session";
                return Err(self.refuse("raised_limit", reason));
            }
        }
        if self.token.is(b'.') && self.policy.own_sessions_only && !self.must_look {
            let [qualifier, ..] = self.before();
            self.must_look = access::watches(self.sight.bytes(qualifier));
        }
        if self.token.is(b';') && self.sight.in_comment() {
            return Err(self.refuse("semicolon_in_comment", "a comment holds a `;`"));
        }
        Ok(())
    }

    /// Where the cursor stands.
    fn place(&self) -> Place<'a> {
        Place {
            sight: self.sight.clone(),
            token: self.token,
            recent: self.recent,
            latest: self.latest,
        }
    }

    /// Reads again from there.
    fn go_back(&mut self, place: Place<'a>) {
        let Place { sight, token, recent, latest } = place;
        (self.sight, self.token, self.recent, self.latest) = (sight, token, recent, latest);
    }

    /// The tokens before the next one, the latest first.
    fn before(&self) -> [Token; 4] {
        let back = |steps: usize| {
            let at = self.latest.wrapping_sub(steps) % 4;
            self.recent.get(at).copied().unwrap_or(Token::NONE)
        };
        [back(0), back(1), back(2), back(3)]
    }

    fn is_word(&self, keyword: Keyword) -> bool {
        self.token.is_word(keyword)
    }

    fn eat(&mut self, keyword: Keyword) -> Rule<bool> {
        let found = self.is_word(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, keyword: Keyword) -> Rule {
        if self.eat(keyword)? { Ok(()) } else { Err(self.unexpected()) }
    }

    fn eat_symbol(&mut self, byte: u8) -> Rule<bool> {
        let found = self.token.is(byte);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// A word or quoted name.
    fn expect_name(&mut self) -> Rule<Token> {
        if self.token.is_name() { self.bump() } else { Err(self.unexpected()) }
    }

    /// `name` or `name.name`.
    fn expect_qualified_name(&mut self) -> Rule {
        self.expect_name()?;
        if self.eat_symbol(b'.')? {
            self.expect_name()?;
        }
        Ok(())
    }

    fn at_end(&self) -> bool {
        self.token.kind == Kind::End || self.token.is(b';')
    }

    fn expect_end(&self) -> Rule {
        if self.at_end() { Ok(()) } else { Err(self.unexpected()) }
    }

    fn is_mysql(&self) -> bool {
        self.session.is_mysql()
    }

    fn bytes(&self, token: Token) -> &'a [u8] {
        self.sight.bytes(token)
    }

    // ---- refusals ------------------------------------------------------------------

    /// Refuses at the next token.
    fn refuse(&self, rule: &'static str, reason: impl Into<String>) -> Box<Refusal> {
        self.refuse_at(self.token, rule, reason)
    }

    fn refuse_at(&self, at: Token, rule: &'static str, reason: impl Into<String>) -> Box<Refusal> {
        Box::new(Refusal { rule, reason: reason.into(), offset: at.offset() })
    }

    fn unexpected(&self) -> Box<Refusal> {
        let kind = self.kind.as_str().to_uppercase();
        let found = if self.token.kind == Kind::End {
            String::from("the end")
        } else if self.token.kind == Kind::Text {
            // A patient's value, perhaps, or a password: a reason is kept in more places.
            String::from("a string")
        } else {
            excerpt(self.bytes(self.token))
        };
        self.refuse("unknown_form", format!("this form of {kind} is not known at: {found}"))
    }
}

fn is_special(schema: Option<&[u8]>) -> bool {
    schema.is_some_and(|schema| special(schema).is_some())
}

/// Kind and rule of a leading word that no rule allows, for metrics and messages.
fn kind_of_refused(word: &[u8]) -> (StatementKind, &'static str) {
    let is = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    if is(&["INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "TRUNCATE", "IMPORT", "HANDLER"]) {
        (StatementKind::Write, "write_statement")
    } else if is(&["CREATE", "ALTER", "DROP", "RENAME"]) {
        (StatementKind::Definition, "definition_statement")
    } else if is(&[
        "GRANT",
        "REVOKE",
        "FLUSH",
        "RESET",
        "PURGE",
        "CHANGE",
        "STOP",
        "INSTALL",
        "UNINSTALL",
        "SHUTDOWN",
        "RESTART",
        "CLONE",
        "OPTIMIZE",
        "REPAIR",
        "CHECK",
        "CACHE",
        "BINLOG",
        "XA",
        "BACKUP",
    ]) {
        (StatementKind::Admin, "admin_statement")
    } else {
        (StatementKind::Unknown, "unknown_statement")
    }
}
