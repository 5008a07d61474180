//! Texts of records that name an earlier one (`text_of`) in the place of their own: found for
//! those who read records one by one.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::line::Frame;
use crate::lines::{Member, each_line, unescaped};

/// Members that a text is made of.
const MEMBERS: [&str; 4] = ["text", "text_b64", "text_bytes", "text_sha256"];

/// A record: its sequence and its node.
type Place = (u64, String);

/// The texts that some records refer to.
#[derive(Default)]
pub(crate) struct Texts(HashMap<Place, Map<String, Value>>);

impl Texts {
    /// Finds the texts of the lines that `wants` picks. Reads everything once, and once more
    /// if any of them refers to one.
    pub(crate) fn of(paths: &[PathBuf], wants: impl Fn(&[u8]) -> bool) -> io::Result<Self> {
        let (text_of, node) = (Member::new("text_of"), Member::new("node"));
        let mut wanted: HashSet<Place> = HashSet::new();
        each_line(paths, &mut |line| {
            if wants(line)
                && let (Some(sequence), Some(node)) = (text_of.number(line), node.text(line))
            {
                wanted.insert((sequence, unescaped(node)));
            }
            Ok(true)
        })?;
        let mut found = Self::default();
        if wanted.is_empty() {
            return Ok(found);
        }
        let sequences: HashSet<u64> = wanted.iter().map(|(sequence, _)| *sequence).collect();
        each_line(paths, &mut |line| {
            if let (Some(frame), Some(node)) = (Frame::read(line), node.text(line))
                && sequences.contains(&frame.sequence)
            {
                let place = (frame.sequence, unescaped(node));
                if wanted.remove(&place) {
                    let mut record: Map<String, Value> = serde_json::from_slice(line)?;
                    record.retain(|name, _| MEMBERS.contains(&name.as_str()));
                    found.0.insert(place, record);
                }
            }
            Ok(!wanted.is_empty())
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
