//! Tables and functions that a text names, by a walk over its tokens. For the ledger and
//! for `explain`, never for a verdict: a name it misses costs a line in a report.

use crate::facts::SessionFacts;
use crate::lexer::Lexer;
use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::text::unquote_name;

/// Most names that are kept of each sort.
const MAX_NAMES: usize = 256;

/// What a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Tables and views as written, without quotes: `t` or `s.t`; each once, in order.
    pub tables: Vec<String>,
    /// Functions as written, in lower case; each once, in order.
    pub functions: Vec<String>,
}

/// Inside one pair of parentheses, or outside of all.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    /// A SELECT or the like stood here: FROM and commas speak of tables.
    is_query: bool,
    /// Between FROM and the clause after it.
    in_from: bool,
    /// The next name is a table's.
    wants_table: bool,
}

/// Tables and functions that a text names in this session. Stops where it can't be lexed.
pub fn structure(facts: &SessionFacts, text: &[u8]) -> Structure {
    let mut walk = Walk {
        lexer: Lexer::new(facts.lex_mode(), text),
        token: Token::NONE,
        levels: vec![Level { is_query: true, ..Level::default() }],
        common: Vec::new(),
        found: Structure::default(),
    };
    walk.bump();
    walk.leading_word();
    while walk.token.kind != Kind::End {
        walk.step();
    }
    let Walk { common, mut found, .. } = walk;
    found.tables.retain(|table| !common.contains(table));
    found
}

struct Walk<'t> {
    lexer: Lexer<'t>,
    token: Token,
    levels: Vec<Level>,
    /// Names of common table expressions.
    common: Vec<String>,
    found: Structure,
}

impl Walk<'_> {
    fn bump(&mut self) -> Token {
        let taken = self.token;
        loop {
            self.token = self.lexer.next().unwrap_or(Token::NONE);
            if self.token.kind != Kind::Hint {
                return taken;
            }
        }
    }

    /// `DESCRIBE t`, `TABLE t`, `CHECKSUM TABLE t`: a table without FROM.
    fn leading_word(&mut self) {
        let is_describe = self.token.is_word(K::DESC) || self.token.is_word(K::DESCRIBE);
        if is_describe || self.token.is_word(K::EXPLAIN) {
            self.bump();
            let is_name = self.token.is_name() && self.token.keyword == K::None;
            self.want_table(is_name);
        }
    }

    fn want_table(&mut self, wants: bool) {
        if let Some(level) = self.levels.last_mut() {
            level.wants_table = wants;
        }
    }

    fn step(&mut self) {
        let level = self.levels.last().copied().unwrap_or_default();
        if self.token.is(b'(') {
            self.bump();
            let is_query = [K::SELECT, K::WITH, K::VALUES, K::TABLE];
            let is_query = is_query.iter().any(|&word| self.token.is_word(word));
            let is_join = level.wants_table && !is_query;
            let inner = Level { is_query, in_from: is_join, wants_table: is_join };
            self.want_table(false);
            self.levels.push(Level { is_query: is_query || is_join, ..inner });
        } else if self.token.is(b')') {
            self.bump();
            if self.levels.len() > 1 {
                self.levels.pop();
            }
        } else if self.token.is(b',') {
            self.bump();
            self.want_table(level.in_from);
        } else if self.token.is_name() {
            self.name(level);
        } else {
            self.bump();
        }
    }

    fn name(&mut self, level: Level) {
        let first = self.token;
        if first.keyword != K::None && self.clause_word(level) {
            return;
        }
        let mut path = self.text(self.token);
        self.bump();
        while self.token.is(b'.') {
            self.bump();
            if self.token.is_name() {
                path = format!("{path}.{}", self.text(self.token));
                self.bump();
            }
        }
        if self.token.is(b'(') && !first.keyword.takes_parenthesis() {
            self.want_table(false);
            keep(&mut self.found.functions, path.to_lowercase());
        } else if level.wants_table {
            self.want_table(false);
            keep(&mut self.found.tables, path);
        }
    }

    /// Follows the words that begin and end clauses; true if it took the word.
    fn clause_word(&mut self, level: Level) -> bool {
        let Some(top) = self.levels.last_mut() else {
            return false;
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "other words begin no clause")]
        match self.token.keyword {
            K::SELECT | K::VALUES => *top = Level { is_query: true, ..Level::default() },
            K::FROM if level.is_query => {
                top.in_from = true;
                top.wants_table = true;
            }
            K::JOIN | K::STRAIGHT_JOIN if level.in_from => top.wants_table = true,
            K::TABLE if level.is_query => top.wants_table = true,
            K::WITH => return self.common_name(),
            K::WHERE
            | K::GROUP
            | K::HAVING
            | K::ORDER
            | K::LIMIT
            | K::UNION
            | K::INTO
            | K::EXCEPT
            | K::INTERSECT
            | K::FOR => top.in_from = false,
            K::LATERAL | K::AS | K::ON | K::USING | K::AND | K::OR | K::IN | K::NOT => {}
            _ => return false,
        }
        self.bump();
        true
    }

    /// `WITH [RECURSIVE] name`
    fn common_name(&mut self) -> bool {
        self.bump();
        if self.token.is_word(K::RECURSIVE) {
            self.bump();
        }
        if self.token.is_name() {
            let name = self.text(self.token);
            keep(&mut self.common, name);
            self.bump();
        }
        true
    }

    fn text(&self, token: Token) -> String {
        String::from_utf8_lossy(&unquote_name(self.lexer.bytes(token))).into_owned()
    }
}

fn keep(names: &mut Vec<String>, name: String) {
    if names.len() < MAX_NAMES && !names.contains(&name) {
        names.push(name);
    }
}
