//! Tables, columns and functions that a text names. For the ledger and for `explain`, never
//! for a verdict: a name it misses costs a line in a report.

mod common;
mod names;
mod once;
mod scope;
mod words;

use std::rc::Rc;

use crate::facts::SessionFacts;
use crate::lexer::LexMode;
use crate::lexer::sight::{Looked, Sight};
use crate::lexer::token::Token;
use crate::text::{readable_name, unquote_name};
use crate::walk::{Event, Path, View, Walk};
use common::CommonNames;
use once::Once;
use scope::{Columns, Scope, Source};

/// Most names that are kept of each sort.
const MAX_NAMES: usize = 256;
/// Stands for those beyond them.
const MORE: &str = "...";

/// What a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Tables and views without quotes, `s.t`, each once, in order. Where the text gives no
    /// schema it is that of EXPLAIN FOR SCHEMA or the session's; without one, `t`. Common table
    /// expressions are none. Beyond 256 stands `...` for the rest, of columns and functions too.
    pub tables: Vec<String>,
    /// Columns as `table.column`, the table as in `tables`, where the text tells which table
    /// it is: behind the table's name or alias, or with one table to choose from, in the query
    /// and in those around it. `?.column` where it may be one of several. `table.*` for all of
    /// them. Each once, sorted.
    pub columns: Vec<String>,
    /// Functions as written, in lower case; each once, in order.
    pub functions: Vec<String>,
}

/// Tables, columns and functions that a text names in this session. Stops where it can't be
/// lexed.
pub fn structure(facts: &SessionFacts, text: &[u8]) -> Structure {
    let looked = Looked::default();
    let mut reader = Reader {
        walk: Walk::new(Sight::new(facts.lex_mode(), text, &looked)),
        mode: facts.lex_mode(),
        depth: 0,
        scopes: vec![Scope::default()],
        common: CommonNames::new(!facts.lex_mode().is_mysql()),
        lists: Vec::new(),
        tables: Once::default(),
        has_more_tables: false,
        schema: facts.schema().map(readable_name),
        explained_in: None,
        interval: None,
        found: Structure::default(),
    };
    while let Some(event) = reader.walk.next() {
        reader.event(event);
    }
    let found = reader.end();
    // Else it might be another one for a text of the same skeleton, which shares it.
    debug_assert!(!looked.at_values(), "a name is no value");
    found
}

/// What COM_FIELD_LIST names: the table before its NUL, of which only the structure is shown.
pub(crate) fn field_list(facts: &SessionFacts, payload: &[u8]) -> Structure {
    let table = readable_name(payload.split(|&byte| byte == 0).next().unwrap_or_default());
    let table = in_schema(facts.schema().map(readable_name).as_deref(), table);
    Structure { tables: vec![table], ..Structure::default() }
}

/// A table that was named, before it is known whether it is a common table expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct NamedTable {
    name: String,
    /// What the text has alone, which a common table expression may have as well.
    bare: Option<String>,
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
    /// What its columns may be named.
    columns: Columns,
}

struct Reader<'t> {
    walk: Walk<'t>,
    mode: LexMode,
    depth: usize,
    /// Queries that are open, the innermost last.
    scopes: Vec<Scope>,
    common: CommonNames,
    lists: Vec<CommonList>,
    tables: Once<NamedTable>,
    /// Further ones were named than `tables` has.
    has_more_tables: bool,
    /// Where bare names are looked for.
    schema: Option<String>,
    /// The same as EXPLAIN has it, if it says so.
    explained_in: Option<String>,
    /// In how many parentheses an INTERVAL stood whose unit is still to come.
    interval: Option<usize>,
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
                self.note_interval(name.as_bytes());
                keep(&mut self.found.functions, name);
            }
            Event::Name(name) => self.name(name),
            Event::Star => self.all_columns(),
            Event::Common { name, recursive } => self.common(name, recursive),
            Event::CommonEnds => {
                self.close();
                self.common_ends();
            }
            Event::Select { is_table, view, all } => {
                self.select(is_table, view);
                if all {
                    self.all_columns();
                }
            }
            Event::Open => self.depth += 1,
            Event::Close => self.close(),
            Event::Semicolon => self.semicolon(),
            Event::ExplainedIn(name) => self.explained_in = Some(self.token_text(name)),
            Event::Schema(_) | Event::Routine(_) => {}
        }
    }

    // ---- queries ---------------------------------------------------------------------

    fn select(&mut self, is_table: bool, view: View) {
        let depth = self.depth;
        self.interval = None;
        if self.scopes.last().is_some_and(|scope| scope.depth == depth) {
            self.leave_scope();
        } else if is_table {
            self.source(Source::derived());
        }
        self.scopes.push(Scope::at(depth, is_table, view));
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
        let is_cut_off = scope.is_cut_off;
        let body = self.lists.last_mut().filter(|list| list.depth + 1 == scope.depth);
        let derived = self.scopes.last_mut().and_then(|outer| outer.sources.last_mut());
        match (scope.is_table, derived, body) {
            (true, Some(derived), _) => Rc::make_mut(&mut derived.columns).merge(scope.columns()),
            (false, _, Some(list)) => list.columns.merge(scope.columns()),
            (_, _, _) => {}
        }
        let view = scope.view;
        let is_mysql = self.mode.is_mysql();
        let sees_none = scope.is_table && view == View::Beyond && !is_mysql;
        let unknown = scope.resolve(is_mysql, |column| keep(&mut self.found.columns, column));
        for noted in unknown {
            match self.scopes.last_mut().filter(|_| !sees_none) {
                Some(outer) => outer.take_over(noted, view),
                None => {
                    if let Some(column) = noted.into_column() {
                        keep(&mut self.found.columns, column);
                    }
                }
            }
        }
        if is_cut_off {
            keep(&mut self.found.columns, MORE.to_owned());
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

    fn end(mut self) -> Structure {
        self.semicolon();
        for table in self.tables.into_items() {
            keep(&mut self.found.tables, table.name);
        }
        if self.has_more_tables {
            keep(&mut self.found.tables, MORE.to_owned());
        }
        self.found.columns.sort_unstable();
        self.found
    }

    // ---- tables ----------------------------------------------------------------------

    fn table(&mut self, path: Path) {
        let table = self.named(path);
        let common = table.bare.as_deref().and_then(|name| self.common.columns_of(name));
        let last = path.parts().and_then(<[Token]>::last).copied().unwrap_or(path.first());
        let alias = self.token_text(last);
        if let Some(columns) = common {
            self.source(Source { alias, table: None, columns });
        } else {
            let columns = Rc::new(Columns::Any);
            self.source(Source { alias, table: Some(table.name.clone()), columns });
            self.keep_table(table);
        }
    }

    fn described(&mut self, path: Path) {
        let table = self.named(path);
        self.keep_table(NamedTable { bare: None, ..table });
    }

    fn named(&self, path: Path) -> NamedTable {
        let name = self.text(path);
        if path.parts().is_none_or(|parts| parts.len() != 1) {
            return NamedTable { name, bare: None };
        }
        let schema = self.explained_in.as_deref().or(self.schema.as_deref());
        NamedTable { name: in_schema(schema, name.clone()), bare: Some(name) }
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
            let (pending, columns) = (None, Columns::default());
            self.lists.push(CommonList { depth, recursive, start, pending, columns });
        }
        let Some(list) = self.lists.last_mut() else { return };
        list.columns = Columns::default();
        if !list.recursive {
            list.pending = Some(name);
            return;
        }
        self.common.declare(depth, &name, Columns::Any);
    }

    /// In MariaDB all names of a recursive list can be read in all of its bodies: also in those before
    /// a name's own.
    fn list_ends(&mut self, list: &CommonList) {
        if list.recursive && !self.mode.is_mysql() {
            let common = &self.common;
            let is_common =
                |table: &NamedTable| table.bare.as_deref().is_some_and(|name| common.has(name));
            self.tables.retain_from(list.start, |table| !is_common(table));
        }
    }

    fn common_ends(&mut self) {
        let depth = self.depth;
        let Some(list) = self.lists.last_mut().filter(|list| list.depth == depth) else { return };
        let columns = std::mem::take(&mut list.columns);
        if let Some(name) = list.pending.take() {
            self.common.declare(depth, &name, columns);
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

/// A table's name, with that of its schema where there is one to say.
fn in_schema(schema: Option<&str>, table: String) -> String {
    match schema {
        Some(schema) => format!("{schema}.{table}"),
        None => table,
    }
}

fn keep(names: &mut Vec<String>, name: String) {
    if names.len() > MAX_NAMES || names.contains(&name) {
        return;
    }
    let name = if names.len() < MAX_NAMES { name } else { MORE.to_owned() };
    if name != MORE || !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod aliases;
#[cfg(test)]
mod outer;
#[cfg(test)]
mod tests;
