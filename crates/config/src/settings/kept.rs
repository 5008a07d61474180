//! A configuration's keys and values as a text that can be kept, for the next start to compare
//! with. It holds no secret: of one there is a hash, by which to see that it has changed, under a
//! key that stands in the same text.
//!
//! A line of JSON each: first the text's own members, then the keys.
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use ring::hmac;
use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Place, SECRET, SHOWN, Settings, is_alike, whole_or_begun};
use crate::load::{ConfigHash, hex};

/// The form of the text: one of another form can't be compared with.
const VERSION: u64 = 1;
/// Bytes of a secret's hash.
const HASH: usize = 16;

/// What was kept of a configuration.
#[derive(Debug)]
pub struct Kept<'t> {
    config_hash: String,
    key: String,
    lines: &'t str,
}

impl Settings {
    /// The text to be kept. The key of its hashes is to be random, for each text another.
    pub fn to_be_kept(&self, hash: &ConfigHash, key: &str) -> String {
        let head = json!({"version": VERSION, "config_hash": hash.as_str(), "key": key});
        format!("{head}\n{}", self.lines(key))
    }

    fn lines(&self, key: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let mut lines = String::new();
        for place in self.tables.iter().flat_map(|table| self.places(table)) {
            let path = place.path();
            let (member, value) = match place.is_secret() {
                true => ("hash", Cow::Owned(place.hash(&path, &key))),
                false => ("value", Cow::Borrowed(place.value())),
            };
            // Made by hand: a tree for each of a million lines takes twice as long.
            let (path, value) = (Value::from(path), Value::from(value));
            // A string takes all that is written.
            let _ = writeln!(lines, "{{\"key\":{path},\"{member}\":{value}}}");
        }
        lines
    }
}

impl Place<'_> {
    /// Of a secret: the same for the same value, however it is written.
    fn hash(self, path: &str, key: &hmac::Key) -> String {
        let read = DeValue::parse(self.value()).ok();
        let text = read.as_ref().and_then(|value| value.get_ref().as_str());
        let hash = hmac::sign(key, [path, text.unwrap_or(self.value())].join("\n").as_bytes());
        hex(hash.as_ref().get(..HASH).unwrap_or_default())
    }
}

impl<'t> Kept<'t> {
    /// Reads a text that was kept. `None`: it is none, or of another form.
    pub fn read(text: &'t str) -> Option<Self> {
        let (head, lines) = text.split_once('\n')?;
        let head: Value = serde_json::from_str(head).ok()?;
        let member = |name: &str| Some(head.get(name)?.as_str()?.to_owned());
        (head.get("version")?.as_u64()? == VERSION).then_some(())?;
        Some(Self { config_hash: member("config_hash")?, key: member("key")?, lines })
    }

    /// Whether it is of a file of these bytes.
    pub fn is_of(&self, hash: &ConfigHash) -> bool {
        self.config_hash == hash.as_str()
    }

    /// What differs in a configuration from the one that was kept, as
    /// [`Settings::differences`] tells it. Lines that both have are not even read.
    pub fn differences(&self, now: &Settings) -> Vec<(String, String, String)> {
        let now = now.lines(&self.key);
        let (old, new): (HashSet<&str>, HashSet<&str>) =
            (self.lines.lines().collect(), now.lines().collect());
        let mut changed: BTreeMap<String, Change> = BTreeMap::new();
        for (key, told) in old.difference(&new).filter_map(|line| Told::read(line)) {
            changed.entry(key).or_default().before = Some(told);
        }
        for (key, told) in new.difference(&old).filter_map(|line| Told::read(line)) {
            changed.entry(key).or_default().after = Some(told);
        }
        let shown = |told: Option<Told>| told.map(Told::shown).unwrap_or_default();
        changed.retain(|_, change| !change.is_of_form_alone());
        let changed = changed.into_iter();
        changed.map(|(key, change)| (key, shown(change.before), shown(change.after))).collect()
    }
}

/// What two texts tell of a key, where that isn't the same.
#[derive(Default)]
struct Change {
    before: Option<Told>,
    after: Option<Told>,
}

impl Change {
    fn is_of_form_alone(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(Told::Value(before)), Some(Told::Value(after))) => is_alike(before, after),
            _ => false,
        }
    }
}

/// What a line tells of its key.
enum Told {
    Value(String),
    Secret,
}

impl Told {
    fn read(line: &str) -> Option<(String, Self)> {
        let line: Value = serde_json::from_str(line).ok()?;
        let member = |name: &str| Some(line.get(name)?.as_str()?.to_owned());
        Some((member("key")?, member("value").map_or(Self::Secret, Self::Value)))
    }

    fn shown(self) -> String {
        match self {
            Self::Value(value) => whole_or_begun(&value, SHOWN),
            Self::Secret => SECRET.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::of(text, DeTable::parse(text).unwrap().get_ref())
    }

    const BEFORE: &str = "[ledger]\ndirectory = \"a\"\n\
                          [[user]]\nname = \"alice\"\nrole = \"x\"\ncaching_sha2_verifier = \"one\"\n\
                          [replica.account]\npassword = \"old\"\n[limits]\ndrain = \"30s\"\n";

    fn kept(text: &str) -> String {
        settings(text).to_be_kept(&ConfigHash::of(text.as_bytes()), "random")
    }

    #[test]
    fn what_was_kept_tells_the_same_as_the_settings_themselves() {
        let text = kept(BEFORE);
        let kept = Kept::read(&text).unwrap();
        assert!(kept.is_of(&ConfigHash::of(BEFORE.as_bytes())));
        assert!(!kept.is_of(&ConfigHash::of(b"")));
        let after =
            BEFORE.replace("one", "two").replace("\"a\"", "\"b\"").replace("role = \"x\"\n", "");
        for after in [&after, "", BEFORE, &BEFORE.replace("\"x\"", "\"x\"\nfull_name = \"é\\\"\"")]
        {
            let after = settings(after);
            assert_eq!(kept.differences(&after), after.differences(&settings(BEFORE)));
        }
        let differences = kept.differences(&settings(&after));
        let keys: Vec<&str> = differences.iter().map(|(key, ..)| key.as_str()).collect();
        let expected =
            ["ledger.directory", "user[alice].caching_sha2_verifier", "user[alice].role"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_is_written_in_another_way_is_no_difference() {
        let text = kept(BEFORE);
        let other = BEFORE.replace("\"one\"", "'one'").replace("\"30s\"", "'''30s'''");
        assert!(Kept::read(&text).unwrap().differences(&settings(&other)).is_empty());
    }

    #[test]
    fn no_secret_is_kept_and_a_hash_is_of_its_key() {
        let text = kept(BEFORE);
        assert!(!text.contains("one") && !text.contains("old"), "{text}");
        let two = "[[user]]\nname = \"a\"\ncaching_sha2_verifier = \"v\"\n[[user]]\nname = \"b\"\n\
                   caching_sha2_verifier = \"v\"\n";
        let hashes = kept(two);
        let hashes: HashSet<&str> = hashes
            .lines()
            .filter(|line| line.contains("\"hash\""))
            .map(|line| &line[..42])
            .collect();
        assert_eq!(hashes.len(), 2);
    }

    #[test]
    fn another_text_is_not_read() {
        let text = kept(BEFORE);
        for other in ["", "{}", "nonsense\n", &text.replace("\"version\":1", "\"version\":2")] {
            assert!(Kept::read(other).is_none(), "{other}");
        }
    }
}
