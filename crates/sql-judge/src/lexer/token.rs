//! What the lexer hands to the grammar.

use super::keyword::Keyword;

/// The sort of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// End of the text.
    End,
    /// An unquoted word; `keyword` tells which, if the grammar knows it.
    Word,
    /// A word that can only be a name, because a dot stands right beside it.
    Name,
    /// A name in backticks, or in double quotes under ANSI_QUOTES.
    QuotedName,
    /// A string, of any prefix (`N''`, `x''`, `b''`).
    Text,
    /// A number.
    Number,
    /// `@name`, `@'name'`.
    UserVariable,
    /// `@@`; the name follows as tokens of its own.
    AtAt,
    /// An optimizer hint comment, its contents already checked.
    Hint,
    /// Any other single byte, in `byte`.
    Symbol,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// `Keyword::None` for all but words the grammar knows.
    pub(crate) keyword: Keyword,
    /// The byte of a `Symbol`, the opening quote of a `Text`; else 0.
    pub(crate) byte: u8,
    /// Offset of the first byte.
    pub(super) start: u32,
    /// Offset after the last byte; with it the length of a value could be told, so that only
    /// [`super::Lexer`] gives it away.
    pub(super) end: u32,
}

impl Token {
    /// Stands where there is no token.
    pub(crate) const NONE: Self =
        Self { kind: Kind::End, keyword: Keyword::None, byte: 0, start: 0, end: 0 };

    /// Offset of its first byte: a place to show, and what tells it from all others.
    pub(crate) fn offset(self) -> usize {
        self.start as usize
    }

    /// Whether this is that symbol.
    pub(crate) fn is(self, byte: u8) -> bool {
        self.kind == Kind::Symbol && self.byte == byte
    }

    /// Whether this is a value, of which texts that are judged alike may hold different ones.
    pub(crate) fn is_value(self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Number)
    }

    /// Whether this is that keyword, unquoted.
    pub(crate) fn is_word(self, keyword: Keyword) -> bool {
        self.keyword == keyword
    }

    /// Whether this is an option of SELECT, which may stand between that word and its columns.
    pub(crate) fn is_select_option(self) -> bool {
        const OPTIONS: [Keyword; 11] = [
            Keyword::ALL,
            Keyword::DISTINCT,
            Keyword::DISTINCTROW,
            Keyword::HIGH_PRIORITY,
            Keyword::STRAIGHT_JOIN,
            Keyword::SQL_BIG_RESULT,
            Keyword::SQL_SMALL_RESULT,
            Keyword::SQL_CALC_FOUND_ROWS,
            Keyword::SQL_BUFFER_RESULT,
            Keyword::SQL_CACHE,
            Keyword::SQL_NO_CACHE,
        ];
        OPTIONS.contains(&self.keyword)
    }

    /// Whether this can name something: a word, a quoted name.
    pub(crate) fn is_name(self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Name | Kind::QuotedName)
    }
}

/// A text that the server can't lex, or that might be lexed in two ways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LexError {
    /// Stable name of the rule.
    pub(crate) rule: &'static str,
    /// What is wrong, for the client.
    pub(crate) message: &'static str,
    /// Where.
    pub(crate) offset: usize,
}

/// What lexing gives. The error is boxed: a token then comes back in registers.
pub(crate) type Lexed<T> = Result<T, Box<LexError>>;
