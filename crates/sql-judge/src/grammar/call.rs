//! Parentheses and what opens them: a group, or the call of a function. A call passes if
//! this server runs a built-in for it that only computes, or if the policy lists it.

use std::borrow::Cow;

use super::query::{ColumnList, Held, MAX_DEPTH, Parentheses, Walk};
use super::{Parser, Refusal, Rule};
use crate::functions::{self, Class, Shape, Spelling};
use crate::lexer::Gap;
use crate::lexer::keyword::Keyword;
use crate::lexer::reserved::is_reserved;
use crate::lexer::token::{Kind, Token};
use crate::text::{excerpt, unquote_name, unquote_text};

/// Deepest nesting of functions whose value outgrows their arguments.
const MAX_GROWTH: u8 = 8;
/// So many are counted without a look at what they put in: verdicts on other values differ then.
const MOST_UNSEEN: u8 = 4;

/// MariaDB has packages outside of ORACLE mode from this version on.
const MARIADB_WITH_PACKAGES: u32 = 110_400;

/// What a parenthesis after a name is.
enum Call {
    Group,
    BuiltIn(Class),
    Allowed,
    MaybeColumns,
}

fn held_by(name: Token, call: &Call) -> Held {
    match call {
        Call::BuiltIn(Class::Growth) if name.is_word(Keyword::REPLACE) => Held::Replacing,
        Call::BuiltIn(Class::Growth) => Held::Growing,
        Call::BuiltIn(Class::Shaped(Shape::Pair)) => Held::Pair(0),
        Call::BuiltIn(Class::Shaped(Shape::Columns)) => Held::Columns,
        Call::BuiltIn(_) | Call::Group | Call::Allowed | Call::MaybeColumns => Held::Anything,
    }
}

impl Parser<'_> {
    pub(super) fn open(&mut self, walk: &mut Walk) -> Rule {
        let [name, ..] = self.before();
        let call = if name.is_name() { self.call_before(walk)? } else { Call::Group };
        let Some(slot) = walk.opened.get_mut(walk.depth) else {
            let reason = format!("parentheses are nested more than {MAX_DEPTH} deep");
            return Err(self.refuse("too_deep", reason));
        };
        *slot = Parentheses { held: held_by(name, &call), growth: 0 };
        walk.depth += 1;
        self.advance()?;
        match call {
            Call::BuiltIn(class) => self.built_in(name, class),
            Call::MaybeColumns => {
                walk.columns = ColumnList::Inside(name);
                Ok(())
            }
            Call::Allowed => {
                self.runs_routine = true;
                Ok(())
            }
            Call::Group => Ok(()),
        }
    }

    pub(super) fn close(&mut self, walk: &mut Walk) -> Rule {
        let Some(depth) = walk.depth.checked_sub(1) else {
            return Err(self.refuse("unclosed_parenthesis", "a `)` closes nothing"));
        };
        walk.depth = depth;
        if let Some(&closed) = walk.opened.get(depth) {
            let growth = self.growth_of(closed)?;
            if let Some(outer) = depth.checked_sub(1).and_then(|outer| walk.opened.get_mut(outer)) {
                outer.growth = outer.growth.max(growth);
            }
        }
        self.advance()?;
        Ok(())
    }

    /// How many functions whose value may grow are inside each other in parentheses that close
    /// here, their own among them.
    fn growth_of(&self, closed: Parentheses) -> Rule<u8> {
        let Parentheses { held, growth } = closed;
        let growth = match held {
            Held::Pair(commas) if commas != 1 => return Err(self.misshapen(self.token)),
            Held::Columns => return Err(self.misshapen(self.token)),
            Held::Pair(_) | Held::Anything => growth,
            Held::Replacing if growth >= MOST_UNSEEN && self.puts_in_no_more() => growth,
            Held::Growing | Held::Replacing => growth + 1,
        };
        if growth > MAX_GROWTH {
            let reason = format!(
                "functions that lengthen their arguments are nested more than {MAX_GROWTH} deep"
            );
            return Err(self.refuse("growing_value", reason));
        }
        Ok(growth)
    }

    /// Whether the REPLACE that closes here puts in a literal that is empty, or no longer than the
    /// one that it takes out: `REPLACE(phone, '-', '')`.
    fn puts_in_no_more(&self) -> bool {
        let [put, comma, taken, earlier] = self.before();
        let escapes = !self.session.lex_mode().no_backslash_escapes;
        let value = |token: Token| unquote_text(self.bytes(token), escapes);
        let is_whole = put.kind == Kind::Text && comma.is(b',');
        let Some(put) = Some(put).filter(|_| is_whole).and_then(value) else { return false };
        let is_literal = taken.kind == Kind::Text
            && earlier.is(b',')
            && matches!(self.bytes(taken).first(), Some(b'\'' | b'"'));
        // Other characters than ASCII are one at least, which takes no less room.
        let least = if is_literal { value(taken).map_or(1, |taken| taken.len()) } else { 0 };
        put.len() <= least
    }

    /// What the parenthesis is that follows a name.
    fn call_before(&mut self, walk: &mut Walk) -> Rule<Call> {
        let [name, previous, schema, earlier] = self.before();
        if previous.is(b'.') {
            return self.stored_call(schema, name, earlier).map(|()| Call::Allowed);
        }
        // `@@name (`, `{fn (`, and a name right after an operand, which no operand can
        // follow: an alias with its columns, or an operator. A quoted name may be no operand:
        // {`fn` call()}.
        let after_operand = previous.is(b')')
            || previous.is(b'{')
            || matches!(previous.kind, Kind::AtAt | Kind::Text | Kind::Number | Kind::UserVariable);
        let after_word = previous.is_word(Keyword::AS) || previous.is_word(Keyword::PROCEDURE);
        if self.groups(name, walk) || after_operand || after_word {
            return Ok(Call::Group);
        }
        // `WITH point (x, y, z) AS (`
        if self.names_common_table() {
            return Ok(Call::MaybeColumns);
        }
        let server = self.session.server();
        match functions::find(server, &self.called_name(name), self.spelling(name)) {
            // Words of MySQL's grammar, never a stored function's names.
            Some(Class::Shaped(_)) if self.is_mysql() => Ok(Call::BuiltIn(Class::Pure)),
            Some(class) => Ok(Call::BuiltIn(class)),
            None if self.is_allowed_in_schema(name) => Ok(Call::Allowed),
            None => Ok(Call::MaybeColumns),
        }
    }

    /// Whether a parenthesis after this word opens no arguments to this server.
    fn groups(&self, name: Token, walk: &mut Walk) -> bool {
        let is_since = |first| self.session.server().number >= first;
        let is_reserved = || is_reserved(self.session.lex_mode(), self.bytes(name));
        #[expect(clippy::wildcard_enum_match_arm, reason = "the table tells of the others")]
        match name.keyword {
            Keyword::AGAINST => std::mem::take(&mut walk.in_match),
            Keyword::ROLLUP | Keyword::COLUMNS | Keyword::OF | Keyword::ESCAPE => self.is_mysql(),
            // Names to an earlier MySQL or MariaDB.
            Keyword::LATERAL | Keyword::INTERSECT | Keyword::QUALIFY | Keyword::CUBE => {
                is_reserved()
            }
            // `GROUPING SETS (`, `TABLESAMPLE SYSTEM (`
            Keyword::SETS => self.follows_reserved(Keyword::GROUPING),
            Keyword::SYSTEM | Keyword::BERNOULLI => self.follows_reserved(Keyword::TABLESAMPLE),
            Keyword::VECTOR => self.is_mysql() && is_since(90_000),
            Keyword::RETURNING => is_reserved() || is_since(80_021),
            Keyword::OFFSET => is_reserved() || self.is_mysql(),
            // MariaDB reserves none of these, and MySQL doesn't know SQL_CACHE any more.
            Keyword::SQL_NO_CACHE | Keyword::SQL_BUFFER_RESULT => self.follows_select(),
            Keyword::SQL_CACHE => !self.is_mysql() && self.follows_select(),
            Keyword::MINUS => self.session.lex_mode().oracle && is_since(100_600),
            keyword => keyword.takes_parenthesis(),
        }
    }

    /// Whether this word stands before the name before the parenthesis, and can be no name here.
    fn follows_reserved(&self, word: Keyword) -> bool {
        let [_, previous, ..] = self.before();
        previous.is_word(word) && is_reserved(self.session.lex_mode(), self.bytes(previous))
    }

    /// Whether the name before the parenthesis is that of a common table expression: WITH and
    /// RECURSIVE are reserved to all servers.
    fn names_common_table(&self) -> bool {
        let [_, previous, ..] = self.before();
        previous.is_word(Keyword::WITH) || previous.is_word(Keyword::RECURSIVE)
    }

    /// Whether the name before the parenthesis stands where options of SELECT do.
    fn follows_select(&self) -> bool {
        let [_, previous @ ..] = self.before();
        let select = previous.iter().find(|token| !token.is_select_option());
        select.is_some_and(|token| token.is_word(Keyword::SELECT))
    }

    fn called_name(&self, name: Token) -> Cow<'_, [u8]> {
        unquote_name(self.bytes(name))
    }

    fn spelling(&self, name: Token) -> Spelling {
        if name.kind == Kind::QuotedName {
            return Spelling::Quoted;
        }
        match self.sight.gap_before_parenthesis(name, self.token) {
            Gap::None => Spelling::Plain,
            Gap::Space if self.session.lex_mode().ignore_space => Spelling::Plain,
            Gap::Space | Gap::More => Spelling::Spaced,
        }
    }

    fn built_in(&mut self, name: Token, class: Class) -> Rule {
        let (rule, why) = match class {
            Class::Shaped(Shape::Some) if self.token.is(b')') => return Err(self.misshapen(name)),
            Class::Pure | Class::Growth | Class::Shaped(_) => return Ok(()),
            Class::Sleep => return self.sleep_argument(name),
            class if class.is_switchable() && self.is_switched_on(name) => return Ok(()),
            Class::Lock => ("user_lock", "takes or frees user locks"),
            Class::Burn => ("benchmark", "burns time or memory of the replica"),
            Class::File => ("server_file", "reads a file of the replica"),
            Class::Sequence => ("sequence", "reads or moves a sequence"),
            Class::Wait => ("replication_wait", "waits for replication"),
            Class::Admin => ("admin_function", "changes settings of the replica"),
            Class::Former if self.is_allowed_in_schema(name) => {
                self.runs_routine = true;
                return Ok(());
            }
            Class::Former => {
                ("unknown_function", "is a component's here, or a stored one; it isn't listed")
            }
        };
        let called = excerpt(self.bytes(name)).to_uppercase();
        Err(self.refuse_at(name, rule, format!("the function {called} {why}")))
    }

    /// A built-in without the arguments that make it one: a stored function to MariaDB.
    fn misshapen(&self, at: Token) -> Box<Refusal> {
        let reason = "with these arguments the name is no built-in function's";
        self.refuse_at(at, "unknown_function", reason)
    }

    /// Whether the policy lists a built-in function.
    fn is_switched_on(&self, name: Token) -> bool {
        let name = self.called_name(name);
        let listed = &self.policy.allowed_functions;
        listed.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(&name))
    }

    /// `SLEEP(2)`: a literal within the policy's limit.
    fn sleep_argument(&mut self, name: Token) -> Rule {
        let text = std::str::from_utf8(self.bytes(self.token)).unwrap_or_default();
        let seconds = text.parse::<f64>().ok().filter(|_| self.token.kind == Kind::Number);
        let most = f64::from(self.policy.sleep_max_seconds);
        if seconds.is_some_and(|seconds| seconds <= most) {
            self.advance()?;
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
        if !is_listed {
            return Err(self.unknown_function(name));
        }
        self.no_package(schema, "unknown_function")
    }

    /// Refuses `schema.routine` where a package of that name in the session's schema would come
    /// first: in MariaDB's ORACLE mode, and from 11.4 on in every mode. A session without a
    /// schema has no packages, and within `schema` those who make its packages make its listed
    /// routines as well.
    pub(super) fn no_package(&self, schema: Token, rule: &'static str) -> Rule {
        let server = self.session.server();
        let has_packages = !self.is_mysql() && server.number >= MARIADB_WITH_PACKAGES;
        let elsewhere = |own: &[u8]| own != &*unquote_name(self.bytes(schema));
        if (has_packages || self.session.lex_mode().oracle)
            && self.session.schema().is_some_and(elsewhere)
        {
            let reason = "this may be a package's routine of the session's schema; USE the schema \
                          of the listed one first";
            return Err(self.refuse_at(schema, rule, reason));
        }
        Ok(())
    }

    fn is_allowed_in_schema(&self, name: Token) -> bool {
        match self.explained_in {
            Some(schema) => self.is_listed(&unquote_name(self.bytes(schema)), name),
            None => self.session.schema().is_some_and(|schema| self.is_listed(schema, name)),
        }
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

    pub(super) fn unknown_function(&self, name: Token) -> Box<Refusal> {
        let called = excerpt(self.bytes(name));
        let reason = format!("{called} is not a built-in function that only reads, nor listed");
        self.refuse_at(name, "unknown_function", reason)
    }
}
