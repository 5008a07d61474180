//! Texts of records that name an earlier one (`text_of`, `text_like`) in the place of their own:
//! found for those who read records one by one.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::alike;
use crate::lines::{Member, Place, each_line, each_of, unescaped};

/// Members that a text is made of.
const MEMBERS: [&str; 4] = ["text", "text_b64", "text_bytes", "text_sha256"];

/// The texts that some records refer to.
#[derive(Default)]
pub(crate) struct Texts(HashMap<Place, Map<String, Value>>);

impl Texts {
    /// Finds the texts of the lines that `wants` picks. Reads everything once, and once more
    /// if any of them refers to one.
    pub(crate) fn of(paths: &[PathBuf], wants: impl Fn(&[u8]) -> bool) -> io::Result<Self> {
        let [text_of, text_like, node] = ["text_of", "text_like", "node"].map(Member::new);
        let holder = |line: &[u8]| text_of.number(line).or_else(|| text_like.number(line));
        let mut wanted = BTreeSet::new();
        each_line(paths, &mut |line| {
            if wants(line)
                && let (Some(sequence), Some(node)) = (holder(line), node.text(line))
            {
                wanted.insert((sequence, unescaped(node)));
            }
            Ok(true)
        })?;
        let mut found = Self::default();
        each_of(paths, &mut wanted, &mut |place, line| {
            let mut record: Map<String, Value> = serde_json::from_slice(line)?;
            record.retain(|name, _| MEMBERS.contains(&name.as_str()));
            found.0.insert(place, record);
            Ok(())
        })?;
        Ok(found)
    }

    /// Puts the text that a record refers to into it.
    pub(crate) fn fill_in(&self, record: &mut Value) {
        let Some(node) = record["node"].as_str() else { return };
        let held_by = |name: &str| {
            let sequence = record[name].as_u64()?;
            self.0.get(&(sequence, node.to_owned()))
        };
        let text = match (held_by("text_of"), held_by("text_like")) {
            (Some(same), _) => same.clone(),
            (None, Some(like)) => alike(record, like).into_iter().collect(),
            (None, None) => return,
        };
        if let Some(record) = record.as_object_mut() {
            record.extend(text);
        }
    }
}

/// The text of a record that tells it by the one in `like`.
fn alike(record: &Value, like: &Map<String, Value>) -> Option<(String, Value)> {
    let [head, tail] = ["text_head", "text_tail"].map(|name| record[name].as_u64());
    let between = record["text_between"].as_str()?;
    let text = alike::told(like.get("text")?.as_str()?, head?, between, tail?)?;
    Some(("text".to_owned(), Value::String(text)))
}
