//! A walk over the tokens of one text that tells the names of tables from other names.
//!
//! For the rules of roles it must miss no table: every place where a server's grammar takes
//! a table is followed, and where a clause might go on, it is taken to go on. What it may
//! find beyond that is a name that is no table.

mod event;

use crate::lexer::keyword::Keyword as K;
use crate::lexer::sight::Sight;
use crate::lexer::token::{Kind, Token};
pub(crate) use event::{Event, Name, Path};

/// Deepest nesting that is followed; the grammar allows less.
const MAX_LEVELS: usize = 1024;

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
    /// The parentheses stand for a table.
    is_table: bool,
    /// Between FROM and the clause after it: commas bring tables.
    in_from: bool,
    /// The next name is a table's.
    wants_table: bool,
    with: With,
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

    // ---- leading words ---------------------------------------------------------------

    fn leading_word(&mut self) -> Option<Event> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "others lead to no table themselves")]
        match self.token.keyword {
            K::DESC | K::DESCRIBE | K::EXPLAIN => {
                self.bump();
                let is_plain = self.token.is_name() && self.token.keyword == K::None;
                let wants = is_plain || (self.token.is_name() && self.dot_follows());
                self.describes = wants;
                None
            }
            K::CHECKSUM => {
                self.bump();
                self.bump();
                self.change(|level| (level.in_from, level.wants_table) = (true, true));
                None
            }
            K::SHOW => {
                self.bump();
                self.show()
            }
            _ => None,
        }
    }

    /// `SHOW subject [FROM | IN name [FROM | IN schema]]`: what follows is left to the walk.
    fn show(&mut self) -> Option<Event> {
        let (mut of_table, mut table) = (false, None);
        let mut schema = None;
        while self.token.is_name() && !self.is(K::LIKE) && !self.is(K::WHERE) {
            if self.is(K::CREATE) {
                self.bump();
                return self.shown_definition();
            }
            if self.is(K::CODE) {
                self.bump();
                return self.token.is_name().then(|| Event::Routine(self.path()));
            }
            of_table |= matches!(
                self.token.keyword,
                K::COLUMNS | K::FIELDS | K::INDEX | K::INDEXES | K::KEYS
            );
            let is_from = self.is(K::FROM) || self.is(K::IN);
            self.bump();
            if !is_from || !self.token.is_name() {
                continue;
            }
            let path = self.path();
            if of_table && table.is_none() {
                table = Some(path);
            } else {
                schema = Some(path);
            }
        }
        match (table, schema) {
            (None, schema) => schema.map(|path| Event::Schema(path.first())),
            (Some(table), None) => Some(Event::Described(table)),
            (Some(table), Some(schema)) => {
                let name = table.parts().and_then(<[Token]>::last).copied();
                let mut path = Path::of(schema.first());
                path.push(name.unwrap_or(Token::NONE));
                Some(Event::Described(path))
            }
        }
    }

    /// `SHOW CREATE sort [IF NOT EXISTS] name`
    fn shown_definition(&mut self) -> Option<Event> {
        let sort = self.bump();
        if self.is(K::BODY) && !self.dot_follows() {
            self.bump();
        }
        while self.token.is_name() && !self.dot_follows() && self.is_if_not_exists() {
            self.bump();
        }
        if !self.token.is_name() {
            return None;
        }
        let path = self.path();
        let is_schema = sort.is_word(K::DATABASE) || sort.is_word(K::SCHEMA);
        let is_table = [K::TABLE, K::VIEW, K::SEQUENCE].iter().any(|&word| sort.is_word(word));
        Some(match (is_schema, is_table) {
            (true, _) => Event::Schema(path.first()),
            (_, true) => Event::Described(path),
            (_, _) => Event::Routine(path),
        })
    }

    fn is_if_not_exists(&self) -> bool {
        self.is(K::NOT) || self.is(K::EXISTS) || self.bytes(self.token).eq_ignore_ascii_case(b"IF")
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
        let [before, _] = self.before;
        let symbol = self.bump();
        match symbol.byte {
            b'(' => {
                self.change(|level| level.wants_table = false);
                let is_table = level.wants_table;
                let inner = Level {
                    is_table,
                    in_from: is_table,
                    wants_table: is_table,
                    ..Level::default()
                };
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
                self.change(|level| (level.wants_table, level.with) = (level.in_from, with));
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
        let is_call = self.token.is(b'(') && !word.takes_parenthesis();
        if level.wants_table {
            self.change(|level| level.wants_table = false);
            let is_dual = path.count == 1 && self.is_unquoted(path.first(), b"DUAL");
            if is_call && path.count == 1 {
                return Some(Event::Function { name: path, is_table: true });
            }
            // `WINDOW w AS (...), v AS (...)`: windows go on where tables would.
            if !self.as_parenthesis_follows() {
                return (!is_dual).then_some(Event::Table(path));
            }
        }
        if is_call {
            return Some(Event::Function { name: path, is_table: false });
        }
        let Level { in_from, is_query, .. } = level;
        Some(Event::Name(Name { path, before, next: self.token, in_from, is_query }))
    }

    /// Follows the words that begin and end clauses; `None` if this is none of them.
    fn clause(&mut self, level: Level) -> Option<Option<Event>> {
        let [before, earlier] = self.before;
        let is_start = before.is(b'(') || self.levels.len() == 1;
        #[expect(clippy::wildcard_enum_match_arm, reason = "other words begin no clause")]
        match self.token.keyword {
            K::SELECT => {
                let is_table = level.is_table;
                self.change(|level| {
                    *level = Level { is_query: true, is_table, ..Level::default() }
                });
                self.bump();
                return Some(Some(Event::Select { is_table }));
            }
            // MariaDB: `FOR SYSTEM_TIME FROM ... TO ...`
            K::FROM if earlier.is_word(K::FOR) && self.is_unquoted(before, b"SYSTEM_TIME") => {}
            K::FROM if level.is_query => {
                self.change(|level| (level.in_from, level.wants_table) = (true, true));
            }
            K::JOIN | K::STRAIGHT_JOIN if level.in_from && !before.is_word(K::FOR) => {
                self.change(|level| level.wants_table = true);
            }
            K::TABLE => self.change(|level| level.wants_table = true),
            // Rows, unless it is the function: `ON VALUES(a) = 1, t`.
            K::VALUES => {
                let begins_rows = level.is_table && before.is(b'(');
                self.change(|level| {
                    (level.in_from, level.wants_table) = (level.in_from && !begins_rows, false);
                });
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
            K::WHERE | K::GROUP | K::HAVING | K::ORDER | K::LIMIT | K::UNION => {
                self.change(|level| (level.in_from, level.wants_table) = (false, false));
            }
            K::FOR => {
                self.bump();
                // MariaDB: `SET STATEMENT ... FOR SHOW ...`
                let is_verb = [K::SHOW, K::DESC, K::DESCRIBE, K::EXPLAIN, K::CHECKSUM]
                    .iter()
                    .any(|&verb| self.is(verb));
                if is_verb && self.levels.len() == 1 {
                    self.at_start = true;
                    return Some(None);
                }
                if !self.is(K::SCHEMA) && !self.is(K::DATABASE) {
                    return Some(None);
                }
                self.bump();
                let sort = if self.levels.len() == 1 { Event::ExplainedIn } else { Event::Schema };
                return Some(self.token.is_name().then(|| sort(self.bump())));
            }
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
}

/// Words behind which a list of columns begins.
fn is_select_word(token: Token) -> bool {
    token.is_word(K::SELECT) || token.is_select_option()
}
