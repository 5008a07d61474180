//! The names that are neither a table's nor a function's: columns, aliases, words of the grammar.

use std::rc::Rc;

use super::Reader;
use super::scope::Alias;
use super::words::{is_unit, is_word_of_grammar};
use crate::lexer::keyword::Keyword as K;
use crate::lexer::reserved::{is_reserved, is_value};
use crate::lexer::token::{Kind, Token};
use crate::walk::{Name, Place};

impl Reader<'_> {
    pub(super) fn name(&mut self, name: Name) {
        let [before, _] = name.before;
        let first = name.path.first();
        let is_bare = name.path.parts().is_some_and(|parts| parts.len() == 1) && !name.path.star;
        let word = self.walk.bytes(first);
        if is_bare && first.kind == Kind::Word && is_reserved(self.mode, word) {
            // `t NATURAL JOIN u` compares columns that it doesn't name.
            let is_mode = |next| self.walk.bytes(next).eq_ignore_ascii_case(b"LANGUAGE");
            let joins = name.next.is_name() && !is_mode(name.next);
            if word.eq_ignore_ascii_case(b"NATURAL") && joins {
                self.all_columns();
            }
            return self.note_interval(word);
        }
        if matches!(name.place, Place::United | Place::Type) {
            return;
        }
        if matches!(name.place, Place::Parts | Place::CommonParts | Place::Made) {
            return self.part(name);
        }
        if is_bare && matches!(name.place, Place::Table | Place::Time) {
            return self.table_alias(name);
        }
        if is_bare && (before.is_word(K::AS) || self.is_operand(before)) {
            let alias = self.token_text(first);
            let is_of_interval = !before.is_word(K::AS)
                && is_unit(word)
                && self.interval.take_if(|depth| *depth == self.depth).is_some();
            let names_column = name.place == Place::Columns && !is_of_interval;
            if let Some(scope) = self.scopes.last_mut().filter(|_| names_column) {
                scope.name_column(&alias);
            }
            return;
        }
        if is_bare && is_word_of_grammar(&name, self.depth, |token| self.walk.bytes(token)) {
            return;
        }
        let parts = name.path.parts().unwrap_or_default();
        let mut parts: Vec<String> = parts.iter().map(|part| self.token_text(*part)).collect();
        // Another name of a key's column, whichever that is.
        if parts.last().is_some_and(|last| last.eq_ignore_ascii_case("_rowid")) {
            parts.pop();
            parts.push("*".to_owned());
        } else if name.path.star {
            parts.push("*".to_owned());
        }
        let alias = if is_bare { self.alias_there(&name) } else { Alias::Never };
        let Some(scope) = self.scopes.last_mut() else { return };
        match name.place == Place::Joined {
            true => scope.note_joined(&parts),
            false => scope.note(parts, alias),
        }
    }

    /// A new name for a column of what stands for a table.
    fn part(&mut self, name: Name) {
        let [before, _] = name.before;
        let is_head = before.is(b'(') || before.is(b',');
        if name.place == Place::Made && !is_head {
            return;
        }
        let column = self.token_text(name.path.first());
        if name.place == Place::CommonParts {
            if let Some(list) = self.lists.last_mut() {
                list.columns.add(&column);
            }
        } else if let Some(source) =
            self.scopes.last_mut().and_then(|scope| scope.sources.last_mut())
        {
            Rc::make_mut(&mut source.columns).add(&column);
        }
    }

    /// `INTERVAL 1 day` gives no name, unlike `year(a) year`.
    pub(super) fn note_interval(&mut self, word: &[u8]) {
        if word.eq_ignore_ascii_case(b"INTERVAL") {
            self.interval = Some(self.depth);
        }
    }

    /// A name behind a table: its alias, unless it is a word of the grammar.
    fn table_alias(&mut self, name: Name) {
        let [before, _] = name.before;
        let first = name.path.first();
        // `FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01' - INTERVAL 1 DAY AS x`
        let is_of_time = name.place == Place::Time
            && (first.is_word(K::OF)
                || before.is_word(K::OF)
                || (!before.is_word(K::AS) && is_unit(self.walk.bytes(first))));
        // `FROM t = x` is `FROM t AS x` to MariaDB.
        let follows = before.is_word(K::AS)
            || before.is_word(K::ALL)
            || before.is(b'=')
            || self.is_operand(before);
        if follows && !is_of_time {
            let alias = self.token_text(first);
            let scope = self.scopes.last_mut();
            if let Some(source) = scope.and_then(|scope| scope.sources.last_mut()) {
                source.alias = alias;
            }
        }
    }

    /// Whether a name right behind this token can only be an alias.
    fn is_operand(&self, before: Token) -> bool {
        let word = || self.walk.bytes(before);
        match before.kind {
            Kind::Text | Kind::Number | Kind::UserVariable | Kind::QuotedName | Kind::Name => true,
            Kind::Word => !is_reserved(self.mode, word()) || is_value(word()),
            Kind::Symbol => before.is(b')') || before.is(b'}'),
            Kind::End | Kind::AtAt | Kind::Hint => false,
        }
    }

    /// Whether an alias may stand there.
    fn alias_there(&self, name: &Name) -> Alias {
        let is_whole_item = || self.is_whole_item(name);
        if name.place == Place::Having || (name.place == Place::Order && is_whole_item()) {
            Alias::First
        } else if name.place == Place::Group && is_whole_item() {
            Alias::Last
        } else {
            Alias::Never
        }
    }

    /// Whether a name is a whole item of GROUP BY or ORDER BY. Only then is it an alias: within
    /// an expression servers look for a column first.
    fn is_whole_item(&self, name: &Name) -> bool {
        const OPERATORS: [K; 12] = [
            K::AND,
            K::OR,
            K::XOR,
            K::NOT,
            K::IS,
            K::IN,
            K::LIKE,
            K::BETWEEN,
            K::REGEXP,
            K::RLIKE,
            K::DIV,
            K::COLLATE,
        ];
        let [before, _] = name.before;
        let next = name.next;
        let begins = before.is_word(K::BY) || before.is(b',') || before.is(b'(');
        let ends = next.kind != Kind::Symbol || [b',', b')', b';'].iter().any(|&end| next.is(end));
        // `x MEMBER OF (y)`, `x SOUNDS LIKE y`.
        let words: [&[u8]; 3] = [b"MOD", b"MEMBER", b"SOUNDS"];
        let is_other = || words.iter().any(|word| self.walk.bytes(next).eq_ignore_ascii_case(word));
        let is_operator =
            next.kind == Kind::Word && (OPERATORS.contains(&next.keyword) || is_other());
        begins && ends && !is_operator
    }

    pub(super) fn all_columns(&mut self) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.note(vec!["*".to_owned()], Alias::Never);
        }
    }
}
