//! A walk over the tokens of one text that tells the names of tables from other names.
//!
//! For the rules of roles it must miss no table: every place where a server's grammar takes
//! a table is followed, and where a clause might go on, it is taken to go on. What it may
//! find beyond that is a name that is no table.

mod event;
mod leading;

use crate::lexer::keyword::Keyword as K;
use crate::lexer::sight::Sight;
use crate::lexer::token::{Kind, Token};
pub(crate) use event::{Event, Name, Path, Place, View};
pub(crate) use leading::is_described;

/// Deepest nesting that is followed; the grammar allows less.
const MAX_LEVELS: usize = 1024;

/// From here on MySQL has window functions, and reserves their words.
const MYSQL_WITH_WINDOWS: u32 = 80_002;

/// From here on MySQL has QUALIFY, and reserves it.
const MYSQL_WITH_QUALIFY: u32 = 80_400;

/// How far a WITH has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum With {
    #[default]
    No,
    /// A name is next.
    BeforeName { recursive: bool },
    /// Its columns may follow.
    Named { recursive: bool },
    /// Behind AS.
    BeforeBody { recursive: bool },
    /// A comma right behind it would bring the next.
    AfterBody { recursive: bool },
}

/// Inside one pair of parentheses, or outside of all.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// SELECT stood here, so FROM is a clause and not a word of a function's.
    is_query: bool,
    /// It is not the first query of a UNION or its kin.
    is_united: bool,
    /// The parentheses stand for a table.
    is_table: bool,
    /// What queries in them see of the one around.
    view: View,
    /// Between FROM and the clause after it: commas bring tables.
    in_from: bool,
    /// The next name is a table's.
    wants_table: bool,
    /// What other names are.
    place: Place,
    with: With,
}

impl Level {
    /// What a query sees in parentheses that open here, behind these tokens.
    fn view_inside(self, [before, earlier]: [Token; 2]) -> View {
        let is_all = before.is_word(K::ALL) || before.is_word(K::DISTINCT);
        let is_united = is_set_operator(before) || (is_all && is_set_operator(earlier));
        let goes_on = before.is(b'(') || matches!(self.with, With::BeforeBody { .. });
        if (is_united && !self.is_query) || goes_on {
            self.view
        } else if is_united || (self.wants_table && !before.is_word(K::LATERAL)) {
            View::Beyond
        } else {
            View::All
        }
    }
}

/// The walk.
pub(crate) struct Walk<'t> {
    sight: Sight<'t>,
    token: Token,
    before: [Token; 2],
    levels: Vec<Level>,
    /// The leading word is still to come.
    at_start: bool,
    /// The first name is that of a table to describe.
    describes: bool,
}

impl<'t> Walk<'t> {
    pub(crate) fn new(sight: Sight<'t>) -> Self {
        let levels = vec![Level::default()];
        let none = Token::NONE;
        let mut walk = Self {
            sight,
            token: none,
            before: [none; 2],
            levels,
            at_start: true,
            describes: false,
        };
        walk.bump();
        walk
    }

    /// The bytes of a token.
    pub(crate) fn bytes(&self, token: Token) -> &'t [u8] {
        self.sight.bytes(token)
    }

    /// The next event; `None` at the end, and where the text can't be lexed.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if self.token.kind == Kind::End {
                return None;
            }
            let event =
                if std::mem::take(&mut self.at_start) { self.leading_word() } else { self.step() };
            if event.is_some() {
                return event;
            }
        }
    }

    // ---- cursor --------------------------------------------------------------------

    fn bump(&mut self) -> Token {
        let taken = self.token;
        let [latest, _] = self.before;
        self.before = [taken, latest];
        loop {
            self.token = self.sight.next().unwrap_or(Token::NONE);
            if self.token.kind != Kind::Hint {
                return taken;
            }
        }
    }

    fn is(&self, keyword: K) -> bool {
        self.token.is_word(keyword)
    }

    /// Whether a dot follows the next token.
    fn dot_follows(&self) -> bool {
        let mut ahead = self.sight.clone();
        ahead.next().is_ok_and(|token| token.is(b'.'))
    }

    /// Whether `AS (` follows.
    fn as_parenthesis_follows(&self) -> bool {
        self.is(K::AS) && self.sight.clone().next().is_ok_and(|token| token.is(b'('))
    }

    /// Whether this is the word of a list of windows, which MariaDB reserves only there.
    fn begins_windows(&self, path: Path) -> bool {
        let mut ahead = self.sight.clone();
        let mut is_next = |is_it: fn(Token) -> bool| ahead.next().is_ok_and(is_it);
        self.token.is_name()
            && self.is_unquoted(path.first(), b"WINDOW")
            && is_next(|token| token.is_word(K::AS))
            && is_next(|token| token.is(b'('))
    }

    /// Whether this FROM is a window function's: `NTH_VALUE(a, 2) FROM FIRST OVER w`, with
    /// `RESPECT NULLS` before OVER perhaps. No table's: OVER is reserved where that is known, and two
    /// names don't follow one of a table.
    fn is_value_of_window(&self) -> bool {
        let mut ahead = self.sight.clone();
        let mut next = || ahead.next().unwrap_or(Token::NONE);
        let (end, then, last) = (next(), next(), next());
        let is = |token, words: [&[u8]; 2]| words.iter().any(|word| self.is_unquoted(token, word));
        let has_nulls = is(then, [b"RESPECT", b"IGNORE"]) && self.is_unquoted(last, b"NULLS");
        self.sight.is_mysql_since(MYSQL_WITH_WINDOWS)
            && is(end, [b"FIRST", b"LAST"])
            && (then.is_word(K::OVER) || has_nulls)
    }

    /// Whether a token is this word, which is none of the keywords.
    fn is_unquoted(&self, token: Token, word: &[u8]) -> bool {
        token.is_name() && self.bytes(token).eq_ignore_ascii_case(word)
    }

    fn level(&self) -> Level {
        self.levels.last().copied().unwrap_or_default()
    }

    fn change(&mut self, change: impl FnOnce(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            change(level);
        }
    }

    fn path(&mut self) -> Path {
        let mut path = Path::of(self.bump());
        while self.token.is(b'.') {
            self.bump();
            if self.token.is_name() {
                path.push(self.bump());
            } else if self.token.is(b'*') {
                self.bump();
                path.star = true;
            }
        }
        path
    }

    // ---- anywhere --------------------------------------------------------------------

    fn step(&mut self) -> Option<Event> {
        let level = self.level();
        if std::mem::take(&mut self.describes) && self.token.is_name() {
            return Some(Event::Described(self.path()));
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "other tokens name nothing")]
        match self.token.kind {
            Kind::Word | Kind::Name | Kind::QuotedName => self.name(level),
            Kind::AtAt => {
                self.bump();
                if self.token.is_name() {
                    self.path();
                }
                None
            }
            Kind::Symbol => self.symbol(level),
            _ => {
                self.bump();
                None
            }
        }
    }

    fn symbol(&mut self, level: Level) -> Option<Event> {
        let [before, earlier] = self.before;
        let symbol = self.bump();
        match symbol.byte {
            b'(' => {
                let is_table = level.wants_table;
                if is_table || level.place == Place::TableFunction {
                    self.table_is_named();
                }
                let place = match (is_table, level.with) {
                    (true, _) => Place::Other,
                    (_, With::Named { .. }) => Place::CommonParts,
                    (_, _) => level.place.inside(before),
                };
                let (in_from, wants_table) = (is_table, is_table);
                let view = level.view_inside([before, earlier]);
                let inner =
                    Level { is_table, view, in_from, wants_table, place, ..Level::default() };
                if self.levels.len() < MAX_LEVELS {
                    self.levels.push(inner);
                }
                Some(Event::Open)
            }
            b')' => {
                if self.levels.len() > 1 {
                    self.levels.pop();
                }
                Some(self.closed())
            }
            b',' => {
                let mut with = level.with;
                // MariaDB: `) CYCLE a, b RESTRICT, next AS (`.
                if let With::AfterBody { recursive } = with
                    && (before.is(b')') || self.is_unquoted(before, b"RESTRICT"))
                {
                    with = With::BeforeName { recursive };
                }
                let place = level.place.behind_comma();
                self.change(|level| {
                    (level.wants_table, level.with, level.place) = (level.in_from, with, place);
                });
                None
            }
            // `{oj t LEFT JOIN ...}`
            b'{' if level.wants_table => {
                if self.token.is_name() {
                    self.bump();
                }
                None
            }
            b'*' if before.is(b',') || is_select_word(before) => Some(Event::Star),
            b';' => {
                self.levels = vec![Level::default()];
                self.at_start = true;
                Some(Event::Semicolon)
            }
            _ => None,
        }
    }

    /// Behind a table, where its alias may follow.
    fn table_is_named(&mut self) {
        self.change(|level| (level.wants_table, level.place) = (false, Place::Table));
    }

    fn ends_from(&mut self, place: Place) {
        self.change(|level| {
            (level.in_from, level.wants_table, level.place) = (false, false, place);
        });
    }

    fn closed(&mut self) -> Event {
        let With::BeforeBody { recursive } = self.level().with else {
            return Event::Close;
        };
        self.change(|level| level.with = With::AfterBody { recursive });
        Event::CommonEnds
    }

    fn name(&mut self, level: Level) -> Option<Event> {
        if let With::BeforeName { recursive } = level.with {
            self.change(|level| level.with = With::Named { recursive });
            return Some(Event::Common { name: self.bump(), recursive });
        }
        let word = self.token.keyword;
        let may_be_clause = word != K::None && !(level.wants_table && self.dot_follows());
        if may_be_clause && let Some(event) = self.clause(level) {
            return event;
        }
        let before = self.before;
        let path = self.path();
        let [earlier, _] = before;
        let is_list = word == K::SETS && earlier.is_word(K::GROUPING);
        let is_call = self.token.is(b'(') && !word.takes_parenthesis() && !is_list;
        // `WINDOW w AS (...), v AS (...)`: windows go on where tables would.
        if level.is_query && (self.as_parenthesis_follows() || self.begins_windows(path)) {
            self.change(|level| (level.wants_table, level.place) = (false, Place::Other));
            return None;
        }
        if level.wants_table {
            self.table_is_named();
            let is_dual = path.count == 1 && self.is_unquoted(path.first(), b"DUAL");
            if is_call && path.count == 1 {
                self.change(|level| level.place = Place::TableFunction);
                return Some(Event::Function { name: path, is_table: true });
            }
            return (!is_dual).then_some(Event::Table(path));
        }
        // `(SELECT ...) AS x (a, b)` calls nothing.
        if is_call && level.place != Place::Table {
            return Some(Event::Function { name: path, is_table: false });
        }
        let Level { place, is_query, .. } = level;
        Some(Event::Name(Name { path, before, next: self.token, place, is_query }))
    }

    /// Follows the words that begin and end clauses; `None` if this is none of them.
    fn clause(&mut self, level: Level) -> Option<Option<Event>> {
        let [before, earlier] = self.before;
        let Level { is_table, view, .. } = level;
        let is_start = before.is(b'(') || self.levels.len() == 1;
        #[expect(clippy::wildcard_enum_match_arm, reason = "other words begin no clause")]
        match self.token.keyword {
            K::SELECT => {
                let (place, is_united) = (Place::Columns, unites(before));
                let query = Level { is_query: true, is_table, view, is_united, ..Level::default() };
                self.change(|level| *level = Level { place, ..query });
                self.bump();
                return Some(Some(Event::Select { is_table, view, all: false }));
            }
            // `SELECT * FROM`, in short.
            K::TABLE => {
                let (in_from, is_united) = (level.in_from, unites(before));
                let query = Level { is_query: true, is_table, view, is_united, ..Level::default() };
                self.change(|level| *level = Level { in_from, wants_table: true, ..query });
                self.bump();
                return Some(Some(Event::Select { is_table, view, all: true }));
            }
            // MariaDB: `FOR SYSTEM_TIME FROM ... TO ...`
            K::FROM if earlier.is_word(K::FOR) && self.is_unquoted(before, b"SYSTEM_TIME") => {}
            K::FROM if before.is(b')') && self.is_value_of_window() => drop(self.bump()),
            K::FROM if level.is_query => {
                self.change(|level| (level.in_from, level.wants_table) = (true, true));
            }
            K::JOIN | K::STRAIGHT_JOIN if level.in_from && !before.is_word(K::FOR) => {
                self.change(|level| level.wants_table = true);
            }
            // Rows, unless it is the function: `ON VALUES(a) = 1, t`.
            K::VALUES => {
                let begins_rows = level.is_table && before.is(b'(');
                self.change(|level| {
                    (level.in_from, level.wants_table) = (level.in_from && !begins_rows, false);
                });
                if begins_rows {
                    self.bump();
                    return Some(Some(Event::Select { is_table, view, all: true }));
                }
            }
            K::ON if level.in_from => self.change(|level| level.place = Place::Other),
            K::USING if level.in_from => self.change(|level| level.place = Place::Using),
            K::BY if level.is_query && !level.in_from => {
                let place = match before.is_word(K::ORDER) {
                    true if level.is_united => Place::United,
                    true => Place::Order,
                    false => Place::Group,
                };
                self.change(|level| level.place = place);
            }
            K::HAVING => self.ends_from(Place::Having),
            K::QUALIFY if self.sight.is_mysql_since(MYSQL_WITH_QUALIFY) => {
                self.ends_from(Place::Having);
            }
            K::WITH if is_start && !level.is_query => {
                self.change(|level| (level.in_from, level.wants_table) = (false, false));
                self.bump();
                let recursive = self.is(K::RECURSIVE);
                self.change(|level| level.with = With::BeforeName { recursive });
                if !recursive {
                    return Some(None);
                }
            }
            // `USE INDEX FOR ORDER BY (i), t`: the clause goes on.
            K::GROUP | K::ORDER | K::JOIN if before.is_word(K::FOR) => {}
            K::WHERE | K::GROUP | K::ORDER | K::LIMIT | K::UNION => self.ends_from(Place::Other),
            K::FOR => return Some(self.behind_for(level)),
            K::AS => {
                if let With::Named { recursive } = level.with {
                    self.change(|level| level.with = With::BeforeBody { recursive });
                }
            }
            K::LATERAL if level.wants_table => {}
            _ => return None,
        }
        self.bump();
        Some(None)
    }

    /// What FOR says.
    fn behind_for(&mut self, level: Level) -> Option<Event> {
        self.bump();
        if level.place == Place::Table && self.is_unquoted(self.token, b"SYSTEM_TIME") {
            self.bump();
            self.change(|level| level.place = Place::Time);
            return None;
        }
        // MariaDB: `SET STATEMENT ... FOR SHOW ...`
        let is_verb = [K::SHOW, K::DESC, K::DESCRIBE, K::EXPLAIN, K::CHECKSUM]
            .iter()
            .any(|&verb| self.is(verb));
        if is_verb && self.levels.len() == 1 {
            self.at_start = true;
            return None;
        }
        if !self.is(K::SCHEMA) && !self.is(K::DATABASE) {
            return None;
        }
        self.bump();
        let sort = if self.levels.len() == 1 { Event::ExplainedIn } else { Event::Schema };
        self.token.is_name().then(|| sort(self.bump()))
    }
}

/// Whether a query behind this token goes on with the result of the one before it.
fn unites(token: Token) -> bool {
    is_set_operator(token) || token.is_word(K::ALL) || token.is_word(K::DISTINCT)
}

fn is_set_operator(token: Token) -> bool {
    [K::UNION, K::EXCEPT, K::INTERSECT, K::MINUS].iter().any(|&word| token.is_word(word))
}

/// Words behind which a list of columns begins.
fn is_select_word(token: Token) -> bool {
    token.is_word(K::SELECT) || token.is_select_option()
}
