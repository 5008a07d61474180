//! One query's tables, and the names in it that may be their columns.

use std::collections::HashSet;
use std::rc::Rc;

use super::once::Once;
use crate::walk::View;

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

/// Where a name without a table's may be a column, in the query that has it and in those around.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
enum Found {
    /// Nowhere so far.
    #[default]
    Nowhere,
    /// In a subquery that stands for a table, whose own columns are told.
    Derived,
    /// In this table.
    Table(String),
    /// In one of several.
    Several,
}

/// A query.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// In how many parentheses it stands.
    pub(super) depth: usize,
    /// It stands for a table.
    pub(super) is_table: bool,
    pub(super) view: View,
    pub(super) sources: Vec<Source>,
    /// Names that it gives to its own columns, in lower case as far as all servers have the same.
    aliases: HashSet<String>,
    names: Once<Noted>,
    /// There were more names than are kept.
    pub(super) is_cut_off: bool,
}

/// Whether the alias that a query gives to a column of its own may stand somewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) enum Alias {
    #[default]
    Never,
    /// Before a column of that name: behind ORDER BY and HAVING.
    First,
    /// Where there may be no column of that name: behind GROUP BY and in parentheses.
    Last,
}

/// A name that may be a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Noted {
    parts: Vec<String>,
    alias: Alias,
    /// It came from an inner query.
    is_inner: bool,
    /// That query doesn't see the tables here.
    passes: bool,
    found: Found,
}

impl Noted {
    /// The column, if there is no query further out that it may be of.
    pub(super) fn into_column(self) -> Option<String> {
        let Found::Table(table) = self.found else { return None };
        Some(format!("{table}.{}", self.parts.join(".")))
    }
}

impl Scope {
    /// A query at this depth.
    pub(super) fn at(depth: usize, is_table: bool, view: View) -> Self {
        Self { depth, is_table, view, ..Self::default() }
    }

    /// What its columns may be named, to whoever reads it.
    pub(super) fn columns(&self) -> Columns {
        let mut names = self.aliases.clone();
        for noted in self.names.iter().filter(|noted| !noted.is_inner) {
            match noted.parts.last() {
                Some(star) if star == "*" => return Columns::Any,
                Some(name) => drop(names.insert(name.to_lowercase())),
                None => {}
            }
        }
        if self.is_cut_off { Columns::Any } else { Columns::Among(names) }
    }

    /// Where a bare name may be a column, if it is one of `found` in the queries within. Of more
    /// tables than servers join not each is looked at.
    fn look(&self, name: &str, found: Found) -> Found {
        let looked = self.sources.iter().take(MOST_JOINED + 1);
        looked.fold(found, |found, source| match (&source.table, found) {
            (None, found) if source.columns.lack(name) => found,
            (None, Found::Nowhere | Found::Derived) => Found::Derived,
            (Some(table), Found::Nowhere) => Found::Table(table.clone()),
            (Some(table), Found::Table(known)) if *table == known => Found::Table(known),
            (_, Found::Several | Found::Table(_)) | (Some(_), Found::Derived) => Found::Several,
        })
    }

    /// What has that alias: spelled so, or else in another case, which servers with
    /// `lower_case_table_names` don't tell apart. Two may have it, as one is a subquery.
    fn of_alias<'s>(
        &'s self,
        alias: &'s str,
        is_spelled: bool,
    ) -> impl Iterator<Item = &'s Source> {
        let looked = || self.sources.iter().take(MOST_JOINED + 1);
        let is_spelled = is_spelled || looked().any(|source| source.alias == alias);
        let lower = alias.to_lowercase();
        looked().filter(move |source| match is_spelled {
            true => source.alias == alias,
            false => source.alias.to_lowercase() == lower,
        })
    }

    /// A name that the query gives to a column of its own.
    pub(super) fn name_column(&mut self, alias: &str) {
        self.aliases.insert(alias.to_ascii_lowercase());
    }

    /// A name that may be a column.
    pub(super) fn note(&mut self, parts: Vec<String>, alias: Alias) {
        self.keep(Noted { parts, alias, ..Noted::default() });
    }

    fn keep(&mut self, noted: Noted) {
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
            self.note(name, Alias::Never);
        }
    }

    /// Takes a name that an inner query with that view could not place.
    pub(super) fn take_over(&mut self, noted: Noted, view: View) {
        let passes = view == View::Beyond;
        self.keep(Noted { alias: Alias::Never, is_inner: true, passes, ..noted });
    }

    fn is_alias(&self, name: &str) -> bool {
        self.aliases.contains(&name.to_ascii_lowercase())
    }

    /// Columns that stand there if the tables have them, and aliases if not. One that is
    /// a column elsewhere in the query is told from there.
    fn may_be_grouped_by(&self, names: &[Noted], is_mysql: bool) -> impl Iterator<Item = String> {
        // To MySQL it may be another table's all the same; MariaDB takes the alias then.
        let says_which = self.sources.len() == 1 || !is_mysql;
        let is_column = move |noted: &Noted, name: &str| match noted.parts.as_slice() {
            _ if noted.alias != Alias::Never || noted.is_inner => false,
            [bare] => bare.eq_ignore_ascii_case(name),
            [alias, bare] if says_which => {
                bare.eq_ignore_ascii_case(name) && self.of_alias(alias, false).next().is_some()
            }
            _ => false,
        };
        let grouped = names.iter().filter(|noted| noted.alias == Alias::Last);
        grouped
            .filter_map(|noted| noted.parts.first())
            .filter(|name| self.is_alias(name))
            .filter(move |name| !names.iter().any(|noted| is_column(noted, name)))
            .filter(|name| {
                matches!(self.look(name, Found::Nowhere), Found::Table(_) | Found::Several)
            })
            .map(|name| format!("{ONE_OF_THEM}.{name}"))
    }

    /// Gives each column that it can place, and returns the names that may be of a query around.
    pub(super) fn resolve(mut self, is_mysql: bool, mut column: impl FnMut(String)) -> Vec<Noted> {
        let mut unknown = Vec::new();
        let names = std::mem::take(&mut self.names).into_items();
        self.may_be_grouped_by(&names, is_mysql).for_each(&mut column);
        for mut noted in names {
            match noted.parts.as_slice() {
                [star] if star == "*" => {
                    let tables = self.sources.iter().filter_map(|source| source.table.as_ref());
                    tables.for_each(|table| column(format!("{table}.*")));
                }
                [_] | [_, _] if noted.passes => unknown.push(noted),
                [bare] if noted.alias != Alias::Never && self.is_alias(bare) => {}
                [bare] => {
                    noted.found = self.look(bare, noted.found);
                    if noted.found == Found::Several {
                        column(format!("{ONE_OF_THEM}.{bare}"));
                    } else {
                        unknown.push(noted);
                    }
                }
                // One that lacks the column doesn't hide what has its alias further out.
                [alias, bare] => {
                    let is_found = noted.found != Found::Nowhere;
                    for source in self.of_alias(alias, is_found) {
                        noted.found = Found::Derived;
                        if let Some(table) = &source.table {
                            column(format!("{table}.{bare}"));
                        }
                    }
                    unknown.push(noted);
                }
                [_, _, _] => column(noted.parts.join(".")),
                _ => {}
            }
        }
        unknown
    }
}
