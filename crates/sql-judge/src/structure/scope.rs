//! One query's tables, and the names in it that may be their columns.

use std::collections::HashSet;

/// Most names of one query that are kept.
const MAX_NAMES: usize = 1024;

/// A table, or what stands for one.
#[derive(Debug)]
pub(super) struct Source {
    /// What its columns are named by.
    pub(super) alias: String,
    /// The table as written; `None` for a subquery and a common table expression.
    pub(super) table: Option<String>,
}

impl Source {
    /// A subquery, whose alias may follow.
    pub(super) fn derived() -> Self {
        Self { alias: String::new(), table: None }
    }
}

/// A query.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// In how many parentheses it stands.
    pub(super) depth: usize,
    pub(super) sources: Vec<Source>,
    /// Names that it gives to its own columns, in lower case.
    aliases: HashSet<String>,
    names: Vec<Noted>,
    /// There were more names than are kept.
    pub(super) is_cut_off: bool,
}

/// A name that may be a column.
#[derive(Debug, PartialEq, Eq)]
struct Noted {
    parts: Vec<String>,
    /// It stands where the alias of a column counts for more.
    may_be_alias: bool,
}

impl Scope {
    /// A query at this depth.
    pub(super) fn at(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    /// A name that the query gives to a column of its own.
    pub(super) fn name_column(&mut self, alias: &str) {
        self.aliases.insert(alias.to_lowercase());
    }

    /// A name that may be a column.
    pub(super) fn note(&mut self, parts: Vec<String>, may_be_alias: bool) {
        let noted = Noted { parts, may_be_alias };
        if self.names.contains(&noted) {
            return;
        }
        match self.names.len() < MAX_NAMES {
            true => self.names.push(noted),
            false => self.is_cut_off = true,
        }
    }

    /// The name of a column that the last table and one before it have: with USING. Of three or
    /// more tables it isn't known which one that is.
    pub(super) fn note_joined(&mut self, parts: &[String]) {
        let tables = match self.sources.as_slice() {
            [first, last] => vec![first.alias.clone(), last.alias.clone()],
            [.., last] => vec![last.alias.clone()],
            [] => Vec::new(),
        };
        for alias in tables {
            self.note([&[alias], parts].concat(), false);
        }
    }

    /// Takes names that an inner query could not place.
    pub(super) fn take_over(&mut self, names: Vec<Vec<String>>) {
        for name in names {
            self.note(name, true);
        }
    }

    /// Gives each column that it can place, and returns the names that it can't.
    pub(super) fn resolve(self, mut column: impl FnMut(String)) -> Vec<Vec<String>> {
        let mut unknown = Vec::new();
        let is_alias = |name: &String| self.aliases.contains(&name.to_lowercase());
        for Noted { parts, may_be_alias } in self.names {
            match parts.as_slice() {
                [star] if star == "*" => {
                    let tables = self.sources.iter().filter_map(|source| source.table.as_ref());
                    tables.for_each(|table| column(format!("{table}.*")));
                }
                [bare] => match self.sources.as_slice() {
                    [] => unknown.push(parts),
                    [Source { table: Some(table), .. }] if !(may_be_alias && is_alias(bare)) => {
                        column(format!("{table}.{bare}"));
                    }
                    _ => {}
                },
                [alias, bare] => match self.sources.iter().find(|source| source.alias == *alias) {
                    Some(Source { table: Some(table), .. }) => column(format!("{table}.{bare}")),
                    Some(Source { table: None, .. }) => {}
                    None => unknown.push(parts),
                },
                [_, _, _] => column(parts.join(".")),
                _ => {}
            }
        }
        unknown
    }
}
