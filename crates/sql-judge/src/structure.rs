//! Tables, columns and functions that a text names. For the ledger and for `explain`, never
//! for a verdict: a name it misses costs a line in a report.

mod common;
mod once;
mod reserved;
mod scope;

use crate::facts::SessionFacts;
use crate::lexer::keyword::Keyword as K;
use crate::lexer::sight::{Looked, Sight};
use crate::lexer::token::{Kind, Token};
use crate::server::Flavour;
use crate::text::{readable_name, unquote_name};
use crate::walk::{Event, Name, Path, Walk};
use common::CommonNames;
use once::Once;
use reserved::is_reserved;
use scope::{Scope, Source};

/// Most names that are kept of each sort.
const MAX_NAMES: usize = 256;
/// Stands for those beyond them.
const MORE: &str = "...";

/// What a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Tables and views as written, without quotes: `t` or `s.t`; each once, in order. Behind
    /// EXPLAIN FOR SCHEMA with that schema. Common table expressions are none. Beyond 256 stands
    /// `...` for the rest, of columns and functions too.
    pub tables: Vec<String>,
    /// The same with the session's schema where the text gives none and the session has one.
    pub qualified: Vec<String>,
    /// Columns as `table.column`, the table as in `tables`, where the text tells which table
    /// it is: behind the table's name or alias, or with one table to choose from. `table.*`
    /// for all of them. Each once, sorted.
    pub columns: Vec<String>,
    /// Functions as written, in lower case; each once, in order.
    pub functions: Vec<String>,
}

/// Tables, columns and functions that a text names in this session. Stops where it can't be
/// lexed.
pub fn structure(facts: &SessionFacts, text: &[u8]) -> Structure {
    let looked = Looked::default();
    let is_mysql = facts.server().flavour == Flavour::MySql;
    let mut reader = Reader {
        walk: Walk::new(Sight::new(facts.lex_mode(), text, &looked)),
        is_mysql,
        depth: 0,
        scopes: vec![Scope::default()],
        common: CommonNames::new(!is_mysql),
        lists: Vec::new(),
        tables: Once::default(),
        has_more_tables: false,
        last_table: None,
        explained_in: None,
        found: Structure::default(),
    };
    while let Some(event) = reader.walk.next() {
        reader.event(event);
    }
    let found = reader.end(facts.schema());
    // Else it might be another one for a text of the same skeleton, which shares it.
    debug_assert!(!looked.at_values(), "a name is no value");
    found
}

/// A table that was named, before it is known whether it is a common table expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NamedTable {
    name: String,
    is_bare: bool,
    /// It stands in the session's schema.
    lacks_schema: bool,
}

/// Common table expressions of one WITH.
#[derive(Debug)]
struct CommonList {
    depth: usize,
    recursive: bool,
    /// How many tables had been named before it.
    start: usize,
    /// Named, but its body is not over.
    pending: Option<String>,
}

struct Reader<'t> {
    walk: Walk<'t>,
    is_mysql: bool,
    depth: usize,
    /// Queries that are open, the innermost last.
    scopes: Vec<Scope>,
    common: CommonNames,
    lists: Vec<CommonList>,
    tables: Once<NamedTable>,
    /// Further ones were named than `tables` has.
    has_more_tables: bool,
    /// The last token of the table before, to which an alias may belong.
    last_table: Option<usize>,
    /// Where EXPLAIN has bare names looked for, if it says so.
    explained_in: Option<String>,
    found: Structure,
}

impl Reader<'_> {
    fn event(&mut self, event: Event) {
        match event {
            Event::Table(path) => self.table(path),
            Event::Described(path) => self.described(path),
            Event::Function { name, is_table } => {
                if is_table {
                    self.source(Source::derived());
                }
                let name = self.text(name).to_lowercase();
                keep(&mut self.found.functions, name);
            }
            Event::Name(name) => self.name(name),
            Event::Star => self.note(vec!["*".to_owned()]),
            Event::Common { name, recursive } => self.common(name, recursive),
            Event::CommonEnds => {
                self.close();
                self.common_ends();
            }
            Event::Select { is_table } => self.select(is_table),
            Event::Open => self.depth += 1,
            Event::Close => self.close(),
            Event::Semicolon => self.semicolon(),
            Event::ExplainedIn(name) => self.explained_in = Some(self.token_text(name)),
            Event::Schema(_) | Event::Routine(_) => {}
        }
    }

    // ---- queries ---------------------------------------------------------------------

    fn select(&mut self, is_table: bool) {
        let depth = self.depth;
        if self.scopes.last().is_some_and(|scope| scope.depth == depth) {
            self.leave_scope();
        } else if is_table {
            self.source(Source::derived());
        }
        self.scopes.push(Scope { depth, ..Scope::default() });
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        while self.scopes.last().is_some_and(|scope| scope.depth > self.depth) {
            self.leave_scope();
        }
        let depth = self.depth;
        while let Some(list) = self.lists.pop_if(|list| list.depth > depth) {
            self.list_ends(&list);
        }
        self.common.leave(depth);
    }

    /// Resolves the names of the innermost query; what it can't know goes to the outer one.
    fn leave_scope(&mut self) {
        let Some(scope) = self.scopes.pop() else { return };
        let unknown = scope.resolve(|column| keep(&mut self.found.columns, column));
        if let Some(outer) = self.scopes.last_mut() {
            outer.take_over(unknown);
        }
    }

    fn semicolon(&mut self) {
        while !self.scopes.is_empty() {
            self.leave_scope();
        }
        self.depth = 0;
        self.explained_in = None;
        self.scopes.push(Scope::default());
        while let Some(list) = self.lists.pop() {
            self.list_ends(&list);
        }
        self.common.clear();
    }

    fn end(mut self, schema: Option<&[u8]>) -> Structure {
        self.semicolon();
        let schema = schema.map(readable_name);
        for NamedTable { name, lacks_schema, .. } in self.tables.into_items() {
            let qualified = match schema.as_ref().filter(|_| lacks_schema) {
                Some(schema) => format!("{schema}.{name}"),
                None => name.clone(),
            };
            keep(&mut self.found.qualified, qualified);
            keep(&mut self.found.tables, name);
        }
        if self.has_more_tables {
            for names in [&mut self.found.tables, &mut self.found.qualified] {
                keep(names, MORE.to_owned());
            }
        }
        self.found.columns.sort_unstable();
        self.found
    }

    // ---- tables ----------------------------------------------------------------------

    fn table(&mut self, path: Path) {
        let name = self.text(path);
        let is_bare = path.parts().is_some_and(|parts| parts.len() == 1);
        let is_common = is_bare && self.common.has(&name);
        let last = path.parts().and_then(<[Token]>::last).copied().unwrap_or(path.first());
        self.last_table = Some(last.offset());
        let alias = self.token_text(last);
        if is_common {
            self.source(Source { alias, table: None });
        } else {
            let name = if is_bare { self.bare(name) } else { name };
            self.source(Source { alias, table: Some(name.clone()) });
            let lacks_schema = is_bare && self.explained_in.is_none();
            self.keep_table(NamedTable { name, is_bare, lacks_schema });
        }
    }

    /// A table's bare name, with the schema that EXPLAIN says.
    fn bare(&self, name: String) -> String {
        match &self.explained_in {
            Some(schema) => format!("{schema}.{name}"),
            None => name,
        }
    }

    fn described(&mut self, path: Path) {
        let name = self.text(path);
        let lacks_schema = path.parts().is_some_and(|parts| parts.len() == 1);
        self.keep_table(NamedTable { name, is_bare: false, lacks_schema });
    }

    /// Each once, and so many that more than [`MAX_NAMES`] are told as such.
    fn keep_table(&mut self, table: NamedTable) {
        if self.tables.len() < 8 * MAX_NAMES {
            self.tables.push(table);
        } else {
            self.has_more_tables |= !self.tables.contains(&table);
        }
    }

    fn source(&mut self, source: Source) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.sources.push(source);
        }
    }

    // ---- common table expressions ----------------------------------------------------

    fn common(&mut self, token: Token, recursive: bool) {
        let name = self.token_text(token);
        let depth = self.depth;
        if self.lists.last().is_none_or(|list| list.depth < depth) {
            let start = self.tables.len();
            self.lists.push(CommonList { depth, recursive, start, pending: None });
        }
        let Some(list) = self.lists.last_mut() else { return };
        if !list.recursive {
            list.pending = Some(name);
            return;
        }
        self.common.declare(depth, &name);
    }

    /// In MariaDB all names of a recursive list can be read in all of its bodies: also in those before
    /// a name's own.
    fn list_ends(&mut self, list: &CommonList) {
        if list.recursive && !self.is_mysql {
            let common = &self.common;
            self.tables.retain_from(list.start, |table| !table.is_bare || !common.has(&table.name));
        }
    }

    fn common_ends(&mut self) {
        let depth = self.depth;
        let list = self.lists.last_mut().filter(|list| list.depth == depth);
        if let Some(name) = list.and_then(|list| list.pending.take()) {
            self.common.declare(depth, &name);
        }
    }

    // ---- other names -----------------------------------------------------------------

    fn name(&mut self, name: Name) {
        let [before, earlier] = name.before;
        let first = name.path.first();
        let is_bare = name.path.parts().is_some_and(|parts| parts.len() == 1) && !name.path.star;
        let bytes = self.walk.bytes(first);
        if is_bare && first.kind == Kind::Word && is_reserved(bytes) {
            return;
        }
        let after_as = before.is_word(K::AS);
        if is_bare && name.in_from {
            let belongs_to = if after_as { earlier } else { before };
            if self.last_table == Some(belongs_to.offset()) {
                let alias = self.token_text(first);
                if let Some(source) =
                    self.scopes.last_mut().and_then(|scope| scope.sources.last_mut())
                {
                    source.alias = alias;
                }
                return;
            }
            if belongs_to.is(b')') {
                let alias = self.token_text(first);
                self.source(Source { alias, table: None });
                return;
            }
        }
        if is_bare && (after_as || self.is_operand(before)) {
            let alias = self.token_text(first);
            if let Some(scope) = self.scopes.last_mut() {
                scope.note_alias(alias);
            }
            return;
        }
        if is_bare && is_no_column(name, before, bytes) {
            return;
        }
        let parts = name.path.parts().unwrap_or_default();
        let mut parts: Vec<String> = parts.iter().map(|part| self.token_text(*part)).collect();
        if name.path.star {
            parts.push("*".to_owned());
        }
        self.note(parts);
    }

    /// Whether a name right behind this token can only be an alias.
    fn is_operand(&self, before: Token) -> bool {
        match before.kind {
            Kind::Text | Kind::Number | Kind::UserVariable | Kind::QuotedName | Kind::Name => true,
            Kind::Word => !is_reserved(self.walk.bytes(before)),
            Kind::Symbol => before.is(b')'),
            Kind::End | Kind::AtAt | Kind::Hint => false,
        }
    }

    fn note(&mut self, parts: Vec<String>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.note(parts);
        }
    }

    // ---- texts -----------------------------------------------------------------------

    fn token_text(&self, token: Token) -> String {
        readable_name(&unquote_name(self.walk.bytes(token)))
    }

    fn text(&self, path: Path) -> String {
        let parts = path.parts().unwrap_or_default();
        parts.iter().map(|part| self.token_text(*part)).collect::<Vec<_>>().join(".")
    }
}

/// Words in places where the grammar wants one of its own.
fn is_no_column(name: Name, before: Token, word: &[u8]) -> bool {
    let behind = [K::COLLATE, K::USING, K::CHARSET, K::SET, K::OVER, K::IS, K::FOR, K::SHOW];
    let is_one_of =
        |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    behind.iter().any(|&keyword| before.is_word(keyword))
        || before.is(b'{')
        || (name.next.kind == Kind::Text && (word.starts_with(b"_") || is_one_of(LITERAL_TYPES)))
        || (name.next.is_word(K::FROM) && !name.is_query)
        || (before.is(b'(') && name.next.is(b',') && is_one_of(UNITS))
        || is_one_of(&["UNBOUNDED", "CURRENT", "BOOLEAN", "UNKNOWN"])
}

/// What a literal behind them is, as a character set says too; other names have it as their alias.
const LITERAL_TYPES: &[&str] = &["DATE", "TIME", "TIMESTAMP"];

/// First arguments of TIMESTAMPDIFF and TIMESTAMPADD.
const UNITS: &[&str] =
    &["MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];

fn keep(names: &mut Vec<String>, name: String) {
    if names.len() <= MAX_NAMES && !names.contains(&name) {
        names.push(if names.len() < MAX_NAMES { name } else { MORE.to_owned() });
    }
}

#[cfg(test)]
mod tests;
