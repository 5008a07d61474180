//! What a walk over a text comes upon.

use crate::lexer::token::Token;

/// Most parts of a name: schema, table, column. More are counted, not kept.
const MAX_PARTS: usize = 3;

/// A name of one or more parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    parts: [Token; MAX_PARTS],
    pub(super) count: usize,
    /// `name.*`
    pub(crate) star: bool,
}

impl Path {
    pub(super) fn of(first: Token) -> Self {
        Self { parts: [first, Token::NONE, Token::NONE], count: 1, star: false }
    }

    pub(super) fn push(&mut self, part: Token) {
        if let Some(slot) = self.parts.get_mut(self.count) {
            *slot = part;
        }
        self.count += 1;
    }

    /// Its parts; `None` if it has more than three.
    pub(crate) fn parts(&self) -> Option<&[Token]> {
        self.parts.get(..self.count)
    }

    /// The first part.
    pub(crate) fn first(&self) -> Token {
        let [first, ..] = self.parts;
        first
    }
}

/// What the walk comes upon.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// Stands where a table is read.
    Table(Path),
    /// Only the structure of a table is shown.
    Described(Path),
    /// A schema that is listed or made the default.
    Schema(Token),
    /// The schema in which EXPLAIN has the rest of the text read.
    ExplainedIn(Token),
    /// A routine, trigger or event whose definition is shown.
    Routine(Path),
    /// Called with arguments.
    Function {
        name: Path,
        /// In the place of a table, as JSON_TABLE.
        is_table: bool,
    },
    /// Another name: of a column, an alias, a word of the grammar.
    Name(Name),
    /// `*` where a list of columns begins or goes on.
    Star,
    /// A common table expression gets its name.
    Common { name: Token, recursive: bool },
    /// Its body is over.
    CommonEnds,
    /// SELECT.
    Select {
        /// In parentheses that stand for a table.
        is_table: bool,
    },
    /// `(`
    Open,
    /// `)`
    Close,
    /// `;`
    Semicolon,
}

/// A name and what stands around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) path: Path,
    /// The token before it, and the one before that.
    pub(crate) before: [Token; 2],
    /// The token after it.
    pub(crate) next: Token,
    /// Between FROM and the clause after it.
    pub(crate) in_from: bool,
    /// SELECT stood at this level.
    pub(crate) is_query: bool,
}
