//! A configuration's keys and values, to say what a reload has changed, and what of it waits for
//! the next start. Shows no secret.
//!
//! Values stay in the text they were read from: a file of 100,000 users is told apart from the
//! next one without a second tree of it in memory.
mod kept;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

pub use self::kept::Kept;
use crate::keys::{Counts, Key, Kind, Presence, Section};
use crate::sections::ROOT;

/// What stands for a secret's value.
const SECRET: &str = "(secret)";
/// Longest value that is shown whole, in characters: lists of a thousand networks are.
const SHOWN: usize = 20_000;

/// All keys that are written down, by their path; tables of a list by their name.
#[derive(Clone, Default)]
pub struct Settings {
    text: String,
    tables: Vec<TableSettings>,
}

/// The keys of one table.
#[derive(Clone)]
struct TableSettings {
    path: String,
    section: Option<&'static Section>,
    keys: Vec<Setting>,
}

#[derive(Clone)]
struct Setting {
    name: Range<usize>,
    /// As written, secrets too: shown by [`Place::shown`] alone.
    value: Range<usize>,
}

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
        let shown = |place: Option<Place<'_>>| place.map(Place::shown).unwrap_or_default();
        let changes = self.changes(before).into_iter();
        let mut all: Vec<_> = changes
            .map(|change| (change.path(), shown(change.before), shown(change.after)))
            .collect();
        all.sort();
        all
    }

    /// Keys whose change since the start counts from the next start alone, in order. `started` is
    /// what the daemon has started with: what waits does so until then, however many reloads
    /// come between.
    pub fn pending(&self, started: &Self) -> Vec<String> {
        let waiting = self.changes(started).into_iter().filter(Change::waits);
        let mut all: Vec<String> = waiting.map(|change| change.path()).collect();
        all.sort();
        all
    }

    fn changes<'s>(&'s self, before: &'s Self) -> Vec<Change<'s>> {
        let (old, new) = (before.by_path(), self.by_path());
        let mut all = Vec::new();
        for table in &self.tables {
            let former = old.get(table.path.as_str()).copied();
            for after in self.places(table) {
                let before = former.and_then(|table| before.with_name(table, after.name()));
                if before.is_none_or(|before| !is_alike(before.value(), after.value())) {
                    all.push(Change { before, after: Some(after) });
                }
            }
        }
        for table in &before.tables {
            let now = new.get(table.path.as_str()).copied();
            for before in before.places(table) {
                if now.and_then(|table| self.with_name(table, before.name())).is_none() {
                    all.push(Change { before: Some(before), after: None });
                }
            }
        }
        all
    }

    fn by_path(&self) -> HashMap<&str, &TableSettings> {
        self.tables.iter().map(|table| (table.path.as_str(), table)).collect()
    }

    fn places<'s>(&'s self, table: &'s TableSettings) -> impl Iterator<Item = Place<'s>> {
        table.keys.iter().map(move |setting| Place { of: self, table, setting })
    }

    fn with_name<'s>(&'s self, table: &'s TableSettings, name: &str) -> Option<Place<'s>> {
        self.places(table).find(|place| place.name() == name)
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
                    keys.push(Setting { name: name.span(), value: value.span() });
                }
            }
        }
        self.tables.push(TableSettings { path, section, keys });
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
}

/// A key where it is written down.
#[derive(Clone, Copy)]
struct Place<'s> {
    of: &'s Settings,
    table: &'s TableSettings,
    setting: &'s Setting,
}

impl<'s> Place<'s> {
    fn name(self) -> &'s str {
        self.of.at(&self.setting.name)
    }

    fn value(self) -> &'s str {
        self.of.at(&self.setting.value)
    }

    fn path(self) -> String {
        let dot = if self.table.path.is_empty() { "" } else { "." };
        format!("{}{dot}{}", self.table.path, self.name())
    }

    /// Its description, and that of its table.
    fn described(self) -> Option<(&'static Section, &'static Key)> {
        let section = self.table.section?;
        section.keys.iter().find(|key| key.name == self.name()).map(|key| (section, key))
    }

    fn is_secret(self) -> bool {
        self.described().is_none_or(|(_, key)| key.kind == Kind::Secret)
    }

    fn shown(self) -> String {
        if self.is_secret() { SECRET.to_owned() } else { whole_or_begun(self.value(), SHOWN) }
    }
}

/// A text for a record that can't hold more than so many characters of it. What isn't whole says so.
pub fn whole_or_begun(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => {
            let (start, rest) = text.split_at_checked(end).unwrap_or((text, ""));
            format!("{start}... and {} bytes more", rest.len())
        }
        None => text.to_owned(),
    }
}

/// A key that differs; at least one of both is there.
struct Change<'s> {
    before: Option<Place<'s>>,
    after: Option<Place<'s>>,
}

impl Change<'_> {
    fn path(&self) -> String {
        self.after.or(self.before).map(Place::path).unwrap_or_default()
    }

    /// Whether it counts from the next start alone.
    fn waits(&self) -> bool {
        let described = self.after.or(self.before).and_then(Place::described);
        described.is_some_and(|(section, key)| {
            section.counts(key) == Counts::AtNextStart && !self.only_writes_default(key)
        })
    }

    /// Whether a default was written down, or is no longer.
    fn only_writes_default(&self, key: &Key) -> bool {
        match (self.before, self.after, key.presence) {
            (Some(written), None, Presence::Default(value))
            | (None, Some(written), Presence::Default(value)) => is_alike(written.value(), value),
            _ => false,
        }
    }
}

/// A configuration may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}

/// Whether two values are the same, however they are written.
fn is_alike(one: &str, other: &str) -> bool {
    let value = |text: &str| -> Option<Value> {
        format!("value = {text}").parse::<Table>().ok()?.remove("value")
    };
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}
