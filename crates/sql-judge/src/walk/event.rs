//! What a walk over a text comes upon.

use crate::lexer::keyword::Keyword as K;
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
    /// A query begins: SELECT, TABLE, rows.
    Select {
        /// In parentheses that stand for a table.
        is_table: bool,
        view: View,
        /// All columns are read, as by TABLE, or they have names of the server's.
        all: bool,
    },
    /// `(`
    Open,
    /// `)`
    Close,
    /// `;`
    Semicolon,
}

/// What a query sees of the one around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum View {
    /// Its tables, and what it sees itself.
    #[default]
    All,
    /// Only what it sees itself: what stands for one of its tables, or goes on with its result.
    Beyond,
}

/// A name and what stands around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) path: Path,
    /// The token before it, and the one before that.
    pub(crate) before: [Token; 2],
    /// The token after it.
    pub(crate) next: Token,
    /// What it may be there.
    pub(crate) place: Place,
    /// SELECT stood at this level.
    pub(crate) is_query: bool,
}

/// What names are that stand somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Place {
    /// Columns, words of an expression.
    #[default]
    Other,
    /// Columns in the list behind SELECT, and the aliases that they get.
    Columns,
    /// Behind a table: its alias, words that say how it is read.
    Table,
    /// The same behind MariaDB's FOR SYSTEM_TIME, and words of a point in time.
    Time,
    /// Behind the name of a function in the place of a table, where its arguments follow.
    TableFunction,
    /// In its arguments.
    Arguments,
    /// Behind the COLUMNS of JSON_TABLE: at the head of each item a new column, then words.
    Made,
    /// Indexes, partitions, new names for the columns of a subquery.
    Parts,
    /// Names for the columns of a common table expression.
    CommonParts,
    /// Behind USING, where parentheses follow.
    Using,
    /// Columns of all tables that are joined.
    Joined,
    /// Columns and aliases behind ORDER BY, each an alias if it is an item's whole.
    Order,
    /// The same where a column of that name may come first: behind GROUP BY and in parentheses.
    Group,
    /// Columns and aliases in HAVING.
    Having,
    /// Columns of the whole result, behind ORDER BY of a UNION: its first query has named them.
    United,
    /// Arguments of CONVERT, behind whose comma a type follows.
    Converted,
    /// A type.
    Type,
}

impl Place {
    /// What names are behind a comma.
    pub(super) fn behind_comma(self) -> Self {
        if self == Self::Converted { Self::Type } else { self }
    }

    /// What names are within parentheses that open here, behind this token.
    pub(super) fn inside(self, before: Token) -> Self {
        let is_sets = before.is_word(K::SETS);
        let is_call = before.is_name() && !before.keyword.takes_parenthesis() && !is_sets;
        match self {
            Self::Table => Self::Parts,
            Self::Using => Self::Joined,
            Self::TableFunction => Self::Arguments,
            Self::Arguments | Self::Made if before.is_word(K::COLUMNS) => Self::Made,
            // `ORDER BY (x)` is the alias, `ORDER BY (x) + 1` and `ORDER BY y IN (x)` the column.
            Self::Order | Self::Group if !is_call && !before.is_word(K::OVER) => Self::Group,
            // In QUALIFY a window's columns come before aliases.
            Self::Having if !is_call && !before.is_word(K::OVER) => self,
            Self::United | Self::Type => self,
            _ if before.is_word(K::CONVERT) => Self::Converted,
            Self::Other
            | Self::Columns
            | Self::Time
            | Self::Arguments
            | Self::Made
            | Self::Parts
            | Self::CommonParts
            | Self::Joined
            | Self::Order
            | Self::Group
            | Self::Having
            | Self::Converted => Self::Other,
        }
    }
}
