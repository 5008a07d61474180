//! What stands for a record where one of its length isn't taken. It can't be taken for the record:
//! it begins otherwise, and names the hash of the whole line.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::line::{hex, sha256};
use crate::shown::shown;

/// The line, or, if it is longer than `most`, its members without the longest ones: as many as must
/// go. `left_out` names those; `line_bytes` and `line_sha256` are of the whole line.
pub fn shortened(line: &[u8], most: usize) -> Cow<'_, [u8]> {
    if line.len() <= most {
        return line.into();
    }
    let mut members: Map<String, Value> = serde_json::from_slice(line).unwrap_or_default();
    let mut by_length: Vec<_> =
        members.iter().map(|(name, value)| (value.to_string().len(), name.clone())).collect();
    by_length.sort();
    members.insert("line_bytes".into(), line.len().into());
    members.insert("line_sha256".into(), hex(&sha256(line)).into());
    let mut left_out = Vec::new();
    loop {
        members.insert("left_out".into(), left_out.clone().into());
        // Beginning like no line of a ledger: `v` is its first member.
        let rest = Value::Object(members.clone()).to_string();
        let text = shown(&rest).into_owned().into_bytes();
        let Some((_, longest)) = by_length.pop().filter(|_| text.len() > most) else {
            return text.into();
        };
        members.remove(&longest);
        left_out.push(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_members_go_first_and_the_others_stay() {
        let (text, binds) = ("\u{1}".repeat(9000), vec!["b".repeat(30); 100]);
        let line = serde_json::json!({
            "v": 2, "seq": 7, "event": "intent", "user": "al\u{202e}ice", "text": text, "binds": binds
        });
        let line = line.to_string().into_bytes();
        assert_eq!(shortened(&line, line.len()), line);
        for (most, without) in [(8000, vec!["text"]), (400, vec!["text", "binds"])] {
            let short = shortened(&line, most);
            assert!(short.len() <= most && !short.starts_with(b"{\"v\""));
            assert!(!String::from_utf8_lossy(&short).contains('\u{202e}'));
            let read: Value = serde_json::from_slice(&short).unwrap();
            assert_eq!(read["left_out"], serde_json::json!(without));
            assert_eq!((&read["seq"], &read["user"]), (&7.into(), &"al\u{202e}ice".into()));
            assert_eq!(read["line_bytes"], line.len());
            assert_eq!(read["line_sha256"], hex(&sha256(&line)));
        }
        let no_record = shortened(b"no record", 3);
        assert!(serde_json::from_slice::<Value>(&no_record).unwrap()["line_bytes"] == 9);
    }
}
