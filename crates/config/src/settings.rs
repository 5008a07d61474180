//! A configuration's keys and values, to say what a reload has changed. Shows no secret.
use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use toml::{Table, Value};

use crate::keys::{Kind, Section};
use crate::sections::ROOT;

/// What stands for a secret's value.
const SECRET: &str = "(secret)";
/// Longest value that is shown, in characters.
const SHOWN: usize = 200;

/// All keys that are written down, by their path; tables of a list by their name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Setting>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    shown: String,
    /// Tells whether a value is another one, also where it isn't shown.
    hash: [u8; 32],
}

impl Settings {
    /// The keys of a text that is TOML; none of another.
    pub(crate) fn of(text: &str) -> Self {
        let mut settings = Self::default();
        if let Ok(table) = text.parse::<Table>() {
            settings.table("", &table, Some(&ROOT));
        }
        settings
    }

    /// What differs from the settings before: key, before, after. A key that isn't there
    /// has an empty value.
    pub fn differences(&self, before: &Self) -> Vec<(String, String, String)> {
        let mut paths: Vec<&String> = self.0.keys().chain(before.0.keys()).collect();
        paths.sort();
        paths.dedup();
        let shown = |settings: &Self, path: &String| {
            settings.0.get(path).map_or_else(String::new, |setting| setting.shown.clone())
        };
        let differs = |path: &&String| self.0.get(*path) != before.0.get(*path);
        let changed = paths.into_iter().filter(differs);
        changed.map(|path| (path.clone(), shown(before, path), shown(self, path))).collect()
    }

    fn table(&mut self, path: &str, table: &Table, section: Option<&'static Section>) {
        for (name, value) in table {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let inner =
                section.and_then(|s| s.sections.iter().copied().find(|inner| inner.name == name));
            match value {
                Value::Table(table) => self.table(&path, table, inner),
                Value::Array(items) if items.iter().any(Value::is_table) => {
                    for (index, item) in items.iter().enumerate() {
                        let Value::Table(table) = item else { continue };
                        let name = table.get("name").and_then(Value::as_str);
                        let name = name.map_or_else(|| index.to_string(), str::to_owned);
                        self.table(&format!("{path}[{name}]"), table, inner);
                    }
                }
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_) => {
                    let key = section.and_then(|s| s.keys.iter().find(|key| key.name == name));
                    let secret = key.is_none_or(|key| key.kind == Kind::Secret);
                    self.0.insert(path, Setting::of(value, secret));
                }
            }
        }
    }
}

impl Setting {
    fn of(value: &Value, secret: bool) -> Self {
        let text = value.to_string();
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        let shown = if secret { SECRET.to_owned() } else { text.chars().take(SHOWN).collect() };
        Self { shown, hash }
    }
}
