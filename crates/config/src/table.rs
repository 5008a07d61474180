//! Reads the keys of one table by their description. Every getter notes what is wrong
//! and goes on, so that one run finds every problem; `None` means "noted".
use toml::Spanned;
use toml::de::DeValue;

use crate::document::{Document, Items, Value};
use crate::error::Wrong;
use crate::keys::{Form, Key, Kind, Presence, Section};
use crate::nearest::nearest;
use crate::values::type_name;

/// One table of the file, or what stands for one that was left out.
pub(crate) struct Table<'d, 't> {
    document: &'d Document<'t>,
    section: &'static Section,
    path: String,
    /// Where it begins in the text.
    at: usize,
    items: Option<&'d Items<'t>>,
}

/// A value and the line it stands in.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

/// A list as far as it could be read: the checks of what is right go on beside what is
/// wrong.
#[derive(Debug)]
pub(crate) struct List<T> {
    items: Vec<Placed<T>>,
    /// Whether nothing was noted about it.
    whole: bool,
}

impl<T> List<T> {
    fn broken() -> Self {
        Self { items: Vec::new(), whole: false }
    }

    /// The items that could be read.
    pub(crate) fn items(&self) -> &[Placed<T>] {
        &self.items
    }

    /// All values, unless a problem was noted.
    pub(crate) fn values(self) -> Option<Vec<T>> {
        self.whole.then(|| self.items.into_iter().map(|item| item.value).collect())
    }
}

/// Reads one value of a kind.
type Read<T> = fn(&Value<'_>, Kind) -> Result<T, Wrong>;

impl<'d, 't> Table<'d, 't> {
    /// The file itself.
    pub(crate) fn root(
        document: &'d Document<'t>,
        section: &'static Section,
        items: &'d Items<'t>,
    ) -> Self {
        let root = Self { document, section, path: String::new(), at: 0, items: Some(items) };
        root.note_unknown_keys();
        root
    }

    /// A key that is required or has a default.
    pub(crate) fn get<T>(&self, name: &str, read: Read<T>) -> Option<T> {
        match self.optional(name, read)? {
            Some(value) => Some(value),
            None => {
                self.missing(self.key(name)?);
                None
            }
        }
    }

    fn missing(&self, key: &Key) {
        let right = format!("add {} = {}", key.name, key.example);
        self.problem(key.name, Wrong::new("is missing", right));
    }

    /// A key that may be left out; a default counts as given.
    pub(crate) fn optional<T>(&self, name: &str, read: Read<T>) -> Option<Option<T>> {
        let key = self.key(name)?;
        let outcome = match (self.item(name), key.presence) {
            (Some(value), _) => read(value.get_ref(), key.kind),
            (None, Presence::Default(text)) => match self.document.default(text) {
                Some(value) => read(&value, key.kind),
                None => Err(Wrong::new("has a broken default", "report this")),
            },
            (None, Presence::Optional | Presence::Required) => return Some(None),
        };
        match outcome {
            Ok(value) => Some(Some(value)),
            Err(wrong) => {
                self.problem(name, wrong.or_right(key));
                None
            }
        }
    }

    /// A list; what is wrong with an item is noted in the item's own line. A list that
    /// is left out is empty, unless the key is required.
    pub(crate) fn list<T>(&self, name: &str, read: Read<T>) -> List<T> {
        let Some(key) = self.key(name) else {
            return List::broken();
        };
        match (self.item(name), key.presence) {
            (Some(value), _) => self.list_items(key, value.get_ref(), read),
            (None, Presence::Optional) => List { items: Vec::new(), whole: true },
            (None, Presence::Default(text)) => match self.document.default(text) {
                Some(value) => self.list_items(key, &value, read),
                None => List::broken(),
            },
            (None, Presence::Required) => {
                self.missing(key);
                List::broken()
            }
        }
    }

    fn list_items<T>(&self, key: &Key, value: &Value<'_>, read: Read<T>) -> List<T> {
        let (DeValue::Array(values), Kind::List(item_kind)) = (value, key.kind) else {
            self.problem(key.name, Wrong::type_of(value).or_right(key));
            return List::broken();
        };
        let of_item = Key { kind: *item_kind, ..key.without_brackets() };
        let mut list = List { items: Vec::with_capacity(values.len()), whole: true };
        for value in values.iter() {
            let line = self.document.line(value.span());
            match read(value.get_ref(), *item_kind) {
                Ok(value) => list.items.push(Placed { value, line }),
                Err(wrong) => {
                    self.problem_at(line, key.name, wrong.or_right(&of_item));
                    list.whole = false;
                }
            }
        }
        list
    }

    /// The `[name]` table below this one. `None` if it is required and missing (noted),
    /// or is no table.
    pub(crate) fn child(&self, name: &str) -> Option<Table<'d, 't>> {
        let section = self.child_section(name)?;
        match self.item(name).map(|item| (item, item.get_ref())) {
            Some((item, DeValue::Table(items))) => Some(self.open(section, item, items)),
            Some((_, other)) => {
                let right = format!("write a table [{}]", self.key_path(name));
                self.problem(name, Wrong::new(Wrong::type_of(other).wrong, right));
                None
            }
            None if section.form == Form::One => {
                let right = format!("add a table [{}]", self.key_path(name));
                self.problem(name, Wrong::new("is missing", right));
                None
            }
            None => {
                let (document, at) = (self.document, self.at);
                Some(Table { document, section, path: self.key_path(name), at, items: None })
            }
        }
    }

    /// The `[[name]]` tables below this one.
    pub(crate) fn children(&self, name: &str) -> Vec<Table<'d, 't>> {
        let Some(section) = self.child_section(name) else {
            return Vec::new();
        };
        let path = self.key_path(name);
        let Some(item) = self.item(name) else {
            if section.form == Form::Several {
                self.problem(name, Wrong::new("is missing", format!("add a table [[{path}]]")));
            }
            return Vec::new();
        };
        let not_tables = |other: &Value<'_>| {
            let right = format!("write [[{path}]] in double brackets");
            self.problem(name, Wrong::new(Wrong::type_of(other).wrong, right));
        };
        let DeValue::Array(tables) = item.get_ref() else {
            not_tables(item.get_ref());
            return Vec::new();
        };
        let opened = tables.iter().filter_map(|table| {
            if let Some(items) = table.get_ref().as_table() {
                return Some(self.open(section, table, items));
            }
            not_tables(table.get_ref());
            None
        });
        opened.collect()
    }

    /// Whether the key or table was written down.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.item(name).is_some()
    }

    /// Notes that the value of a key is wrong, or that the key is missing.
    pub(crate) fn problem(&self, name: &str, wrong: Wrong) {
        self.document.problem(self.line_of(name), self.key_path(name), wrong);
    }

    /// Notes that the value of a key is wrong in a table below this one.
    pub(crate) fn problem_below(&self, table: &str, name: &str, wrong: Wrong) {
        let key = self.item(table).and_then(|below| below.get_ref().as_table()?.get(name));
        let at = key.map_or(self.at, |value| value.span().start);
        let path = format!("{}.{name}", self.key_path(table));
        self.document.problem(self.document.line(at..at), path, wrong);
    }

    /// Notes something about a key that is allowed and worth a look.
    pub(crate) fn warning(&self, name: &str, wrong: Wrong) {
        self.document.warning(self.line_of(name), self.key_path(name), wrong);
    }

    /// Notes a problem of one item of a list.
    pub(crate) fn problem_at(&self, line: usize, name: &str, wrong: Wrong) {
        self.document.problem(line, self.key_path(name), wrong);
    }

    /// Notes something about one item of a list that is allowed and worth a look.
    pub(crate) fn warning_at(&self, line: usize, name: &str, wrong: Wrong) {
        self.document.warning(line, self.key_path(name), wrong);
    }

    /// The line of the key's value, or of the table if the key isn't there.
    pub(crate) fn line_of(&self, name: &str) -> usize {
        let at = self.item(name).map_or(self.at, |value| value.span().start);
        self.document.line(at..at)
    }

    pub(crate) fn document(&self) -> &'d Document<'t> {
        self.document
    }

    fn open(
        &self,
        section: &'static Section,
        item: &Spanned<Value<'t>>,
        items: &'d Items<'t>,
    ) -> Table<'d, 't> {
        let at = item.span().start;
        let (document, path) = (self.document, self.key_path(section.name));
        let table = Table { document, section, path, at, items: Some(items) };
        table.note_unknown_keys();
        table
    }

    fn note_unknown_keys(&self) {
        let sections = self.section.sections.iter().map(|section| section.name);
        let known: Vec<&str> =
            self.section.keys.iter().map(|key| key.name).chain(sections).collect();
        for (key, _) in self.items.into_iter().flatten() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let right = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let line = self.document.line(key.span());
            let wrong = Wrong::new("is not a known key", right);
            // A quoted key can hold what a terminal would obey.
            let shown = name.escape_debug().to_string();
            self.document.problem(line, self.key_path(&shown), wrong);
        }
    }

    fn item(&self, name: &str) -> Option<&'d Spanned<Value<'t>>> {
        self.items?.get(name)
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        let key = self.section.keys.iter().find(|key| key.name == name);
        debug_assert!(key.is_some(), "{} has no description", self.key_path(name));
        key
    }

    fn child_section(&self, name: &str) -> Option<&'static Section> {
        self.section.sections.iter().copied().find(|section| section.name == name)
    }

    fn key_path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl Key {
    /// The description of one item of a list: its example is the list's first item.
    fn without_brackets(&self) -> Key {
        let inner = self.example.trim_start_matches('[').trim_end_matches(']');
        let example = inner.split(", ").next().unwrap_or(inner);
        let (name, kind, presence) = (self.name, self.kind, self.presence);
        Key { name, kind, presence, example, meaning: "", counts: None }
    }
}

impl Wrong {
    /// The value has a type that can't be right.
    pub(crate) fn type_of(value: &Value<'_>) -> Self {
        Self::new(format!("is {}", type_name(value)), "")
    }

    /// Fills in what would be right from the key's description, if nothing better is said.
    fn or_right(self, key: &Key) -> Self {
        match self.right.is_empty() {
            true => Self::new(self.wrong, key.kind.right(key.example)),
            false => self,
        }
    }
}
