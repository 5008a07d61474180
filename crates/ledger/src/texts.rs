//! Texts of records that name an earlier one (`text_of`) in the place of their own: found for
//! those who read records one by one.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

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
        let (text_of, node) = (Member::new("text_of"), Member::new("node"));
        let mut wanted = BTreeSet::new();
        each_line(paths, &mut |line| {
            if wants(line)
                && let (Some(sequence), Some(node)) = (text_of.number(line), node.text(line))
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
        let place = (record["text_of"].as_u64(), record["node"].as_str());
        let (Some(sequence), Some(node)) = place else { return };
        let text = self.0.get(&(sequence, node.to_owned()));
        if let (Some(text), Some(record)) = (text, record.as_object_mut()) {
            record.extend(text.clone());
        }
    }
}
