//! One query's tables, and the names in it that may be their columns.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::once::{FEW, Once};

/// Most names of one query that are kept.
const MAX_NAMES: usize = 1024;
/// Servers join 61 tables at most.
const MOST_JOINED: usize = 61;
/// Stands for the table of a column where it may be one of several.
const ONE_OF_THEM: &str = "?";

/// A table, or what stands for one.
#[derive(Debug)]
pub(super) struct Source {
    /// What its columns are named by.
    pub(super) alias: String,
    /// The table as written; `None` for a subquery and a common table expression.
    pub(super) table: Option<String>,
    /// What the columns of such a one may be named.
    pub(super) columns: Rc<Columns>,
}

impl Source {
    /// A subquery, whose alias may follow.
    pub(super) fn derived() -> Self {
        Self { alias: String::new(), table: None, columns: Rc::default() }
    }
}

/// Names that the columns of a subquery may have, more of them perhaps than it has.
#[derive(Debug, Clone, Default)]
pub(super) enum Columns {
    /// Nothing is known of them, or not yet.
    #[default]
    Unseen,
    /// In lower case.
    Among(HashSet<String>),
    /// Any.
    Any,
}

impl Columns {
    pub(super) fn add(&mut self, name: &str) {
        if let Self::Unseen = self {
            *self = Self::Among(HashSet::new());
        }
        if let Self::Among(names) = self {
            names.insert(name.to_lowercase());
        }
    }

    /// With those of another part of a UNION.
    pub(super) fn merge(&mut self, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::Any, _) | (_, Self::Any) => Self::Any,
            (Self::Unseen, known) | (known, Self::Unseen) => known,
            (Self::Among(mut names), Self::Among(more)) => {
                names.extend(more);
                Self::Among(names)
            }
        };
    }

    /// Whether none of them has that name.
    fn lack(&self, name: &str) -> bool {
        match self {
            Self::Among(names) => !names.contains(&name.to_lowercase()),
            Self::Unseen | Self::Any => false,
        }
    }
}

/// A query.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// In how many parentheses it stands.
    pub(super) depth: usize,
    /// It stands for a table.
    pub(super) is_table: bool,
    pub(super) sources: Vec<Source>,
    /// Names that it gives to its own columns, in lower case.
    aliases: HashSet<String>,
    names: Once<Noted>,
    /// There were more names than are kept.
    pub(super) is_cut_off: bool,
}

/// A name that may be a column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Noted {
    parts: Vec<String>,
    /// It stands where the alias of a column counts for more.
    may_be_alias: bool,
}

impl Scope {
    /// A query at this depth.
    pub(super) fn at(depth: usize, is_table: bool) -> Self {
        Self { depth, is_table, ..Self::default() }
    }

    /// What its columns may be named, to whoever reads it.
    pub(super) fn columns(&self) -> Columns {
        let mut names = self.aliases.clone();
        for Noted { parts, .. } in self.names.iter() {
            match parts.last() {
                Some(star) if star == "*" => return Columns::Any,
                Some(name) => drop(names.insert(name.to_lowercase())),
                None => {}
            }
        }
        if self.is_cut_off { Columns::Any } else { Columns::Among(names) }
    }

    /// The one table that a name without a table's may be of, and the subqueries beside it. `None`
    /// where there are more tables, or more of all than servers join.
    fn only_table(&self) -> Option<(&String, Vec<&Columns>)> {
        if self.sources.len() > MOST_JOINED {
            return None;
        }
        let mut tables = self.sources.iter().filter_map(|source| source.table.as_ref());
        let only = tables.next().filter(|_| tables.next().is_none())?;
        let beside = self.sources.iter().filter(|source| source.table.is_none());
        Some((only, beside.map(|source| source.columns.as_ref()).collect()))
    }

    /// A name that the query gives to a column of its own.
    pub(super) fn name_column(&mut self, alias: &str) {
        self.aliases.insert(alias.to_lowercase());
    }

    /// A name that may be a column.
    pub(super) fn note(&mut self, parts: Vec<String>, may_be_alias: bool) {
        let noted = Noted { parts, may_be_alias };
        match self.names.len() < MAX_NAMES {
            true => self.names.push(noted),
            false => self.is_cut_off |= !self.names.contains(&noted),
        }
    }

    /// The name of a column that the last table and one before it have: with USING. Of three or
    /// more tables it isn't known which one that is.
    pub(super) fn note_joined(&mut self, parts: &[String]) {
        let before = match self.sources.as_slice() {
            [] | [_] => None,
            [first, _] => Some([std::slice::from_ref(&first.alias), parts].concat()),
            [..] => Some(parts.to_vec()),
        };
        let last =
            self.sources.last().map(|last| [std::slice::from_ref(&last.alias), parts].concat());
        for name in before.into_iter().chain(last) {
            self.note(name, false);
        }
    }

    /// Takes names that an inner query could not place.
    pub(super) fn take_over(&mut self, names: Vec<Vec<String>>) {
        for name in names {
            self.note(name, true);
        }
    }

    /// Gives each column that it can place, and returns the names that it can't.
    pub(super) fn resolve(mut self, mut column: impl FnMut(String)) -> Vec<Vec<String>> {
        let mut unknown = Vec::new();
        let names = std::mem::take(&mut self.names).into_items();
        let only = self.only_table();
        let has_table = self.sources.iter().any(|source| source.table.is_some());
        // The first of a name counts.
        let by_alias = (self.sources.len() > FEW).then(|| {
            let sources = self.sources.iter().rev().map(|source| (source.alias.as_str(), source));
            sources.collect::<HashMap<_, _>>()
        });
        let find = |alias: &str| match &by_alias {
            Some(sources) => sources.get(alias).copied(),
            None => self.sources.iter().find(|source| source.alias == alias),
        };
        let is_alias = |name: &String| self.aliases.contains(&name.to_lowercase());
        for Noted { parts, may_be_alias } in names {
            match parts.as_slice() {
                [star] if star == "*" => {
                    let tables = self.sources.iter().filter_map(|source| source.table.as_ref());
                    tables.for_each(|table| column(format!("{table}.*")));
                }
                [_] if self.sources.is_empty() => unknown.push(parts),
                [bare] if may_be_alias && is_alias(bare) => {}
                [bare] => match &only {
                    Some((table, beside)) if beside.iter().all(|columns| columns.lack(bare)) => {
                        column(format!("{table}.{bare}"));
                    }
                    Some(_) | None if has_table => column(format!("{ONE_OF_THEM}.{bare}")),
                    Some(_) | None => {}
                },
                [alias, bare] => match find(alias) {
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
