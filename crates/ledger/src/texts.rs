//! Texts of records that name an earlier one in the place of their own (`text_of`, `text_like`,
//! `prepared`): found for those who read records one by one.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;

use memchr::memmem::Finder;
use serde_json::{Map, Value};

use crate::alike;
use crate::json;
use crate::lines::{Member, Place, each_line, each_of, record, unescaped};

/// Members that a text is made of.
const MEMBERS: [&str; 4] = ["text", "text_b64", "text_bytes", "text_sha256"];

/// A text that isn't there. Quotes within texts are escaped, so that none can pose as one.
const EMPTY: &[u8] = b",\"text\":\"\"";

/// The texts that some records refer to.
#[derive(Default)]
pub(crate) struct Texts(HashMap<Place, Map<String, Value>>);

impl Texts {
    /// Finds the texts of the lines that `wants` picks, or has in place of the given ones. Reads
    /// everything once, and once more if any of them refers to one.
    pub(crate) fn of(
        paths: &[PathBuf],
        mut wants: impl FnMut(&[u8]) -> Option<Cow<'_, [u8]>>,
    ) -> io::Result<Self> {
        let (holder, node) = (Holder::default(), Member::new("node"));
        let mut wanted = BTreeSet::new();
        each_line(paths, &mut |line| {
            if let Some(line) = wants(line)
                && let (Some(sequence), Some(node)) = (holder.of(&line), node.text(&line))
            {
                wanted.insert((sequence, unescaped(node)));
            }
            Ok(true)
        })?;
        let mut found = Self::default();
        each_of(paths, &mut wanted, &mut |place, line| {
            // Of a damaged line nothing is told.
            let mut record: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
            record.retain(|name, _| MEMBERS.contains(&name.as_str()));
            found.0.insert(place, record);
            Ok(())
        })?;
        Ok(found)
    }

    /// Puts the text that a record refers to into it.
    pub(crate) fn fill_in(&self, record: &mut Value) {
        let text = self.told(record);
        if let Some(record) = record.as_object_mut() {
            record.extend(text);
        }
    }

    /// A line's record with the text that it refers to.
    pub(crate) fn whole(&self, line: &[u8]) -> Value {
        let mut record = record(line);
        self.fill_in(&mut record);
        record
    }

    /// Writes a line, with the text that it refers to as its last members; an outcome with what was run,
    /// as its intent's line tells.
    pub(crate) fn write_filled_in(
        &self,
        line: &[u8],
        intent: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let text = intent.map_or_else(|| self.told(&record(line)), |intent| self.run(intent));
        let Some(open) = line.strip_suffix(b"}").filter(|_| !text.is_empty()) else {
            return out.write_all(line);
        };
        // Executions have an empty one.
        let (before, after) = match memchr::memmem::find(open, EMPTY) {
            Some(at) => (open.get(..at), open.get(at + EMPTY.len()..)),
            None => (Some(open), None),
        };
        let mut members = Vec::new();
        json::push_members(&mut members, &text)?;
        out.write_all(before.unwrap_or_default())?;
        out.write_all(after.unwrap_or_default())?;
        out.write_all(b",")?;
        out.write_all(&members)?;
        out.write_all(b"}")
    }

    /// What was run, by its intent's line.
    fn run(&self, intent: &[u8]) -> Map<String, Value> {
        let Value::Object(mut run) = self.whole(intent) else { return Map::new() };
        run.retain(|name, _| name == "binds" || MEMBERS.contains(&name.as_str()));
        run
    }

    /// What a record's text is made of, as far as it stands elsewhere.
    fn told(&self, record: &Value) -> Map<String, Value> {
        let held_by = |sequence: &Value| {
            let place = (sequence.as_u64()?, record["node"].as_str()?.to_owned());
            self.0.get(&place)
        };
        let like = || Some(alike(record, held_by(&record["text_like"])?).into_iter().collect());
        // An execution that has a text of its own was prepared by a record that tells less.
        let has_text = record["text"].as_str().is_some_and(|text| !text.is_empty());
        let prepared =
            || held_by(record.pointer("/prepared/intent")?).filter(|_| !has_text).cloned();
        let same = held_by(&record["text_of"]).cloned();
        same.or_else(like).or_else(prepared).unwrap_or_default()
    }
}

/// Finds the sequence of the record that holds a line's text.
struct Holder {
    text_of: Member,
    text_like: Member,
    prepared: Member,
    /// Within `prepared`; outcomes have one of their own.
    intent: Member,
    is_intent: Finder<'static>,
}

impl Default for Holder {
    fn default() -> Self {
        let [text_of, text_like, prepared, intent] =
            ["text_of", "text_like", "prepared", "intent"].map(Member::new);
        let is_intent = Finder::new(b",\"event\":\"intent\",");
        Self { text_of, text_like, prepared, intent, is_intent }
    }
}

impl Holder {
    fn of(&self, line: &[u8]) -> Option<u64> {
        self.is_intent.find(line)?;
        let of_text = self.text_of.number(line).or_else(|| self.text_like.number(line));
        of_text.or_else(|| self.intent.number(line).filter(|_| self.prepared.is_in(line)))
    }
}

/// The text of a record that tells it by the one in `like`.
fn alike(record: &Value, like: &Map<String, Value>) -> Option<(String, Value)> {
    let [head, tail] = ["text_head", "text_tail"].map(|name| record[name].as_u64());
    let between = record["text_between"].as_str()?;
    let text = alike::told(like.get("text")?.as_str()?, head?, between, tail?)?;
    Some(("text".to_owned(), Value::String(text)))
}
