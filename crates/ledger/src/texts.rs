//! Texts of records that name an earlier one (`text_of`) in the place of their own: found for
//! those who read records one by one.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::lines::{Member, Place, each_line, each_of};

/// Members that a text is made of.
const MEMBERS: [&str; 4] = ["text", "text_b64", "text_bytes", "text_sha256"];

/// Members by which a record names another one.
const REFERS: [&str; 3] = ["node", "text_of", "prepared"];
/// How far references lead: from an execution to its preparation, from there to the same text.
const STEPS: usize = 2;

/// The texts that some records refer to.
#[derive(Default)]
pub(crate) struct Texts(HashMap<Place, Map<String, Value>>);

impl Texts {
    /// Finds the texts of the lines that `wants` picks. Reads everything once, and once more
    /// for each step if any of them refers to one.
    pub(crate) fn of(paths: &[PathBuf], wants: impl Fn(&[u8]) -> bool) -> io::Result<Self> {
        let refers = [Member::new("text_of"), Member::new("prepared")];
        let mut wanted = BTreeSet::new();
        each_line(paths, &mut |line| {
            if refers.iter().any(|member| member.is_in(line)) && wants(line) {
                let record: Map<String, Value> = serde_json::from_slice(line)?;
                wanted.extend(reference(&record));
            }
            Ok(true)
        })?;
        let mut found = Self::default();
        for _ in 0..STEPS {
            let mut next = BTreeSet::new();
            each_of(paths, &mut wanted, &mut |place, line| {
                let mut record: Map<String, Value> = serde_json::from_slice(line)?;
                next.extend(reference(&record));
                record.retain(|name, _| {
                    MEMBERS.contains(&name.as_str()) || REFERS.contains(&name.as_str())
                });
                found.0.insert(place, record);
                Ok(())
            })?;
            wanted = next;
        }
        Ok(found)
    }

    /// Puts the text that a record refers to into it.
    pub(crate) fn fill_in(&self, record: &mut Value) {
        let Some(record) = record.as_object_mut() else { return };
        let mut place = reference(record);
        for _ in 0..STEPS {
            let Some(referred) = place.and_then(|place| self.0.get(&place)) else { return };
            for (name, value) in
                referred.iter().filter(|(name, _)| MEMBERS.contains(&name.as_str()))
            {
                record.insert(name.clone(), value.clone());
            }
            place = reference(referred);
        }
    }
}

/// Where a record's text stands, if not in itself: that of an execution in the record of its
/// preparation.
fn reference(record: &Map<String, Value>) -> Option<Place> {
    let has_none = || record.get("text").is_none_or(|text| text == "");
    let prepared = || record.get("prepared").filter(|_| has_none())?.get("intent")?.as_u64();
    let sequence = record.get("text_of").and_then(Value::as_u64).or_else(prepared)?;
    Some((sequence, record.get("node")?.as_str()?.to_owned()))
}
