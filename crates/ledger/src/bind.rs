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
