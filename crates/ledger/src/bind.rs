//! Bound values and query attributes as JSON: bounded, and redacted where they must be.

use ring::digest::{Context, SHA256};

use crate::json::{push_bytes, push_name, push_number, push_text};
use crate::line::{push_hex, sha256};
use crate::record::{Bind, BindValue, LiteralKind};
use crate::redact::{RedactionKey, push_hash};

/// Longest value that is written whole, in bytes; a longer one by length and SHA-256.
const MAX_VALUE: usize = 1024;
/// Bytes of values that one record holds whole.
const MAX_VALUES: usize = 32 << 10;
/// Values that one record names each by itself; the rest by number and one hash.
const MAX_BINDS: usize = 256;

/// How values may be written.
#[derive(Clone, Copy)]
pub(crate) enum Values<'k> {
    Full,
    Redacted(Option<&'k RedactionKey>),
}

/// Appends `,"name":[...]`; nothing if there are none.
pub(crate) fn push_binds(
    out: &mut Vec<u8>,
    name: &'static str,
    binds: &[Bind<'_>],
    how: Values<'_>,
) {
    if binds.is_empty() {
        return;
    }
    push_name(out, name);
    let mut left = MAX_VALUES;
    for (index, bind) in binds.iter().take(MAX_BINDS).enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        out.push(b'{');
        if let Some(name) = bind.name {
            push_bytes(out, "name", name.get(..256).unwrap_or(name));
            out.push(b',');
        }
        out.extend_from_slice(b"\"type\":\"");
        out.extend_from_slice(bind.kind.as_bytes());
        out.push(b'"');
        push_value(out, bind, how, &mut left);
        out.push(b'}');
    }
    if let Some(rest) = binds.get(MAX_BINDS..).filter(|rest| !rest.is_empty()) {
        out.extend_from_slice(b",{\"type\":\"rest\"");
        push_number(out, "count", u64::try_from(rest.len()).unwrap_or(u64::MAX));
        push_digest(out, None, &hash_of(rest), how);
        out.push(b'}');
    }
    out.push(b']');
}

fn push_value(out: &mut Vec<u8>, bind: &Bind<'_>, how: Values<'_>, left: &mut usize) {
    let kind = if bind.is_number { LiteralKind::Number } else { LiteralKind::String };
    match (&bind.value, how) {
        (BindValue::Null, _) => out.extend_from_slice(b",\"value\":null"),
        (BindValue::Bytes(bytes), Values::Redacted(key)) => {
            push_name(out, "hash");
            out.push(b'"');
            push_hash(out, key, kind, bytes);
            out.push(b'"');
        }
        (BindValue::Bytes(bytes), Values::Full) if bytes.len() <= MAX_VALUE.min(*left) => {
            *left -= bytes.len();
            out.push(b',');
            push_bytes(out, "value", bytes);
        }
        (BindValue::Bytes(bytes), Values::Full) => {
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            push_digest(out, Some(len), &sha256(bytes), how);
        }
        (BindValue::Digest { bytes, sha256 }, how) => push_digest(out, Some(*bytes), sha256, how),
    }
}

/// Length and hash; where values are redacted, a keyed hash of the hash.
fn push_digest(out: &mut Vec<u8>, len: Option<u64>, sha256: &[u8; 32], how: Values<'_>) {
    if let Some(len) = len {
        push_number(out, "bytes", len);
    }
    match how {
        Values::Full => {
            push_name(out, "sha256");
            out.push(b'"');
            push_hex(out, sha256);
        }
        Values::Redacted(key) => {
            push_name(out, "hash");
            out.push(b'"');
            push_hash(out, key, LiteralKind::String, sha256);
        }
    }
    out.push(b'"');
}

/// The hash over values, each with its length in front.
fn hash_of(binds: &[Bind<'_>]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for bind in binds {
        let (len, bytes): (usize, &[u8]) = match &bind.value {
            BindValue::Null => (usize::MAX, &[]),
            BindValue::Bytes(bytes) => (bytes.len(), bytes),
            BindValue::Digest { sha256, .. } => (sha256.len(), sha256),
        };
        context.update(&u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes());
        context.update(bytes);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Appends `,"end_user":"..."`, shortened to what a name can be.
pub(crate) fn push_end_user(out: &mut Vec<u8>, name: &str) {
    push_name(out, "end_user");
    let end = (0..=256.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    push_text(out, name.get(..end).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn bind(value: BindValue<'_>) -> Bind<'_> {
        Bind { name: None, kind: "var_string", is_number: false, value }
    }

    fn told(binds: &[Bind<'_>], how: Values<'_>) -> Value {
        let mut out = Vec::from(b"{\"v\":2");
        push_binds(&mut out, "binds", binds, how);
        out.push(b'}');
        serde_json::from_slice::<Value>(&out).unwrap()["binds"].take()
    }

    #[test]
    fn values_are_told_whole_until_one_or_all_are_too_long() {
        let long = "x".repeat(MAX_VALUE + 1);
        let whole = &long[1..];
        for (texts, whole) in [
            (vec![whole; 1], 1),
            (vec![&long[..]; 1], 0),
            (vec![whole; 33], 32),
            ([vec![whole; 31], vec!["y"; 200]].concat(), 231),
        ] {
            let binds: Vec<Bind<'_>> =
                texts.iter().map(|text| bind(BindValue::Bytes(text.as_bytes().into()))).collect();
            let told = told(&binds, Values::Full);
            for (at, text) in texts.iter().enumerate() {
                let one = &told[at];
                if at < whole {
                    assert_eq!(one["value"], *text);
                } else {
                    assert_eq!(one["bytes"], text.len());
                    assert_eq!(one["sha256"], crate::line::hex(&sha256(text.as_bytes())));
                }
            }
        }
    }

    #[test]
    fn more_values_than_a_record_names_are_told_by_a_hash_of_all_of_them() {
        let rest = |texts: &[&'static str]| {
            let first = vec!["1"; MAX_BINDS];
            let texts = [&first[..], texts].concat();
            let binds: Vec<Bind<'_>> =
                texts.iter().map(|text| bind(BindValue::Bytes(text.as_bytes().into()))).collect();
            told(&binds, Values::Full)[MAX_BINDS].clone()
        };
        assert_eq!(rest(&[]), Value::Null);
        let told = rest(&["ab", "c"]);
        assert_eq!((&told["type"], &told["count"]), (&Value::from("rest"), &Value::from(2)));
        assert_eq!(told["sha256"].as_str().map(str::len), Some(64));
        assert_eq!(told, rest(&["ab", "c"]));
        for other in [["a", "bc"], ["ab", "d"], ["ab", ""]] {
            assert_ne!(told["sha256"], rest(&other)["sha256"], "{other:?}");
        }
    }

    #[test]
    fn redacted_values_are_told_by_keyed_hashes_alone() {
        let digest = BindValue::Digest { bytes: 5000, sha256: [7; 32] };
        let mut binds = vec![bind(BindValue::Bytes(b"Smith".into())), bind(digest)];
        binds.resize_with(MAX_BINDS + 2, || bind(BindValue::Bytes(b"Smith".into())));
        let told = told(&binds, Values::Redacted(None));
        for one in told.as_array().unwrap() {
            assert_eq!(one["hash"], "string#", "without a key nothing is left of a value");
            assert!(one.get("value").is_none() && one.get("sha256").is_none(), "{one}");
        }
        assert_eq!(told[1]["bytes"], 5000);
    }

    #[test]
    fn names_of_attributes_are_bounded() {
        let name = [b'n'; 300];
        let binds = [Bind { name: Some(&name), ..bind(BindValue::Null) }];
        let told = told(&binds, Values::Full);
        assert_eq!(told[0]["name"].as_str().map(str::len), Some(256));
        assert_eq!(told[0]["value"], Value::Null);
    }
}
