//! The words that a statement begins with, where a table's name follows them.

use super::{Event, K, Path, Walk};
use crate::lexer::token::Token;

impl Walk<'_> {
    pub(super) fn leading_word(&mut self) -> Option<Event> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "others lead to no table themselves")]
        match self.token.keyword {
            K::DESC | K::DESCRIBE | K::EXPLAIN => {
                self.bump();
                let next = self.sight.clone().next().unwrap_or(Token::NONE);
                self.describes = is_described(self.token, next);
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
}

/// Whether what follows EXPLAIN is a table's name, which may be a keyword: `DESC user`,
/// `DESC format 'a%'`. `next` is the token behind it.
pub(crate) fn is_described(token: Token, next: Token) -> bool {
    // Reserved to both servers.
    const OTHERS: [K; 11] = [
        K::SELECT,
        K::WITH,
        K::TABLE,
        K::VALUES,
        K::INSERT,
        K::UPDATE,
        K::DELETE,
        K::REPLACE,
        K::FOR,
        K::INTO,
        K::ANALYZE,
    ];
    let is_one = |token: Token| OTHERS.iter().any(|&other| token.is_word(other));
    #[expect(clippy::wildcard_enum_match_arm, reason = "other words name tables")]
    let is_other = match token.keyword {
        K::FORMAT => next.is(b'='),
        K::EXTENDED | K::PARTITIONS => next.is(b'(') || is_one(next),
        _ => is_one(token),
    };
    token.is_name() && (next.is(b'.') || !is_other)
}
