//! A configuration's keys and values, to say what a reload has changed. Shows no secret.
//!
//! Values stay in the text they were read from: a file of 100,000 users is told apart from the
//! next one without a second tree of it in memory.
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::keys::{Kind, Section};
use crate::sections::ROOT;

/// What stands for a secret's value.
const SECRET: &str = "(secret)";
/// Longest value that is shown, in characters.
const SHOWN: usize = 200;

/// All keys that are written down, by their path; tables of a list by their name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    text: String,
    tables: Vec<TableSettings>,
}

/// The keys of one table.
#[derive(Clone, PartialEq, Eq)]
struct TableSettings {
    path: String,
    keys: Vec<Setting>,
}

#[derive(Clone, PartialEq, Eq)]
struct Setting {
    name: Range<usize>,
    /// As written, secrets too: shown by [`Settings::shown`] alone.
    value: Range<usize>,
    secret: bool,
}

/// One table's keys, and the settings they are of.
type Found<'s> = (&'s Settings, &'s TableSettings);

impl Settings {
    /// The keys of a text, which `items` is the tree of.
    pub(crate) fn of(text: &str, items: &DeTable<'_>) -> Self {
        let mut settings = Self { text: text.to_owned(), tables: Vec::new() };
        settings.table(String::new(), items, Some(&ROOT));
        settings
    }

    /// What differs from the settings before: key, before, after, in the order of the keys. A
    /// key that isn't there has an empty value.
    pub fn differences(&self, before: &Self) -> Vec<(String, String, String)> {
        let (old, new) = (before.by_path(), self.by_path());
        let table = |of, at: Option<&usize>| at.and_then(|at| Self::found(of, *at));
        let mut all = Vec::new();
        for (at, found) in self.tables.iter().enumerate() {
            let former = table(before, old.get(found.path.as_str()));
            differing(former, Self::found(self, at), &mut all);
        }
        for (at, found) in before.tables.iter().enumerate() {
            if !new.contains_key(found.path.as_str()) {
                differing(Self::found(before, at), None, &mut all);
            }
        }
        all.sort();
        all
    }

    fn by_path(&self) -> HashMap<&str, usize> {
        let tables = self.tables.iter().enumerate();
        tables.map(|(at, table)| (table.path.as_str(), at)).collect()
    }

    fn found(of: &Self, at: usize) -> Option<Found<'_>> {
        of.tables.get(at).map(|table| (of, table))
    }

    fn table(&mut self, path: String, table: &DeTable<'_>, section: Option<&'static Section>) {
        let mut keys = Vec::with_capacity(table.len());
        for (name, value) in table {
            let below = || {
                let name: &str = name.get_ref();
                if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
            };
            let inner = section.and_then(|section| {
                section.sections.iter().copied().find(|inner| inner.name == &**name.get_ref())
            });
            match value.get_ref() {
                DeValue::Table(table) => self.table(below(), table, inner),
                DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => {
                    self.list(&below(), items.iter(), inner);
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => {
                    let key = section
                        .and_then(|s| s.keys.iter().find(|key| key.name == &**name.get_ref()));
                    let secret = key.is_none_or(|key| key.kind == Kind::Secret);
                    keys.push(Setting { name: name.span(), value: value.span(), secret });
                }
            }
        }
        self.tables.push(TableSettings { path, keys });
    }

    fn list<'i, 't: 'i>(
        &mut self,
        path: &str,
        items: impl Iterator<Item = &'i Spanned<DeValue<'t>>>,
        section: Option<&'static Section>,
    ) {
        for (index, item) in items.enumerate() {
            let DeValue::Table(table) = item.get_ref() else { continue };
            let name = table.get("name").and_then(|name| name.get_ref().as_str());
            let path = match name {
                Some(name) => format!("{path}[{name}]"),
                None => format!("{path}[{index}]"),
            };
            self.table(path, table, section);
        }
    }

    fn at(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn shown(&self, setting: &Setting) -> String {
        match setting.secret {
            true => SECRET.to_owned(),
            false => self.at(&setting.value).chars().take(SHOWN).collect(),
        }
    }
}

/// A configuration may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}

/// Adds what differs between one table before and after.
fn differing(
    before: Option<Found<'_>>,
    after: Option<Found<'_>>,
    all: &mut Vec<(String, String, String)>,
) {
    let mut note = |(of, table): Found<'_>, key: &Setting, before, after| {
        let name = of.at(&key.name);
        let dot = if table.path.is_empty() { "" } else { "." };
        all.push((format!("{}{dot}{name}", table.path), before, after));
    };
    if let Some((new, table)) = after {
        for key in &table.keys {
            let former = before.and_then(|found| with_name(found, new.at(&key.name)));
            match former {
                Some((old, former)) if is_alike(old.at(&former.value), new.at(&key.value)) => {}
                Some((old, former)) => note((new, table), key, old.shown(former), new.shown(key)),
                None => note((new, table), key, String::new(), new.shown(key)),
            }
        }
    }
    if let Some((old, table)) = before {
        for key in &table.keys {
            if after.and_then(|found| with_name(found, old.at(&key.name))).is_none() {
                note((old, table), key, old.shown(key), String::new());
            }
        }
    }
}

fn with_name<'s>((of, table): Found<'s>, name: &str) -> Option<(&'s Settings, &'s Setting)> {
    table.keys.iter().find(|key| of.at(&key.name) == name).map(|key| (of, key))
}

/// Whether two values are the same, however they are written.
fn is_alike(one: &str, other: &str) -> bool {
    let value = |text: &str| -> Option<Value> {
        format!("value = {text}").parse::<Table>().ok()?.remove("value")
    };
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}
