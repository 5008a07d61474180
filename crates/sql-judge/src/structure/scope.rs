//! One query's tables, and the names in it that may be their columns.

use std::collections::HashMap;

use super::once::{FEW, Once};

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
    /// Names that it gives to its own columns.
    pub(super) aliases: Once<String>,
    /// Names that may be columns, in parts.
    pub(super) names: Once<Vec<String>>,
}

impl Scope {
    pub(super) fn note(&mut self, parts: Vec<String>) {
        if self.names.len() < MAX_NAMES {
            self.names.push(parts);
        }
    }

    /// Notes a name that it gives to a column of its own.
    pub(super) fn note_alias(&mut self, alias: String) {
        if self.aliases.len() < MAX_NAMES {
            self.aliases.push(alias);
        }
    }

    /// Takes names that an inner query could not place.
    pub(super) fn take_over(&mut self, names: Vec<Vec<String>>) {
        for name in names {
            self.note(name);
        }
    }

    /// Gives each column that it can place, and returns the names that it can't.
    pub(super) fn resolve(self, mut column: impl FnMut(String)) -> Vec<Vec<String>> {
        let mut unknown = Vec::new();
        // The first of a name counts.
        let by_alias = (self.sources.len() > FEW).then(|| {
            let sources = self.sources.iter().rev().map(|source| (source.alias.as_str(), source));
            sources.collect::<HashMap<_, _>>()
        });
        let find = |alias: &str| match &by_alias {
            Some(sources) => sources.get(alias).copied(),
            None => self.sources.iter().find(|source| source.alias == alias),
        };
        for name in self.names.iter() {
            match name.as_slice() {
                [star] if star == "*" => {
                    let tables = self.sources.iter().filter_map(|source| source.table.as_ref());
                    tables.for_each(|table| column(format!("{table}.*")));
                }
                [bare] => match self.sources.as_slice() {
                    [] => unknown.push(name.clone()),
                    [Source { table: Some(table), .. }] if !self.aliases.contains(bare) => {
                        column(format!("{table}.{bare}"));
                    }
                    _ => {}
                },
                [alias, bare] => match find(alias) {
                    Some(Source { table: Some(table), .. }) => column(format!("{table}.{bare}")),
                    Some(Source { table: None, .. }) => {}
                    None => unknown.push(name.clone()),
                },
                [_, _, _] => column(name.join(".")),
                _ => {}
            }
        }
        unknown
    }
}
