//! Keyed hashes in the place of values: whoever lacks the key learns whether two values
//! are equal, and nothing else, not even by trying all dates of birth.

use std::path::Path;

use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};

use crate::fault::LedgerError;
use crate::line::{hex, push_hex};
use crate::record::{Literal, LiteralKind};
use crate::{keys, whole_file};

/// Least bytes of a key file.
const MIN_KEY: usize = 32;
/// Bytes of a hash that are written. Enough to tell any two values of a ledger apart.
const KEPT: usize = 8;

/// The key. Shows nothing of itself.
pub(crate) struct RedactionKey(hmac::Key);

impl RedactionKey {
    /// Reads the key file, or makes it (0600) with a random key if it is missing.
    pub(crate) fn read_or_make(path: &Path) -> Result<Self, LedgerError> {
        if !path.exists() {
            make(path)?;
        }
        let text = keys::read_secret(path, 0o007)?;
        let key = text.trim_ascii();
        if key.len() < MIN_KEY {
            let what = format!("{}: a key has at least {MIN_KEY} bytes", path.display());
            return Err(LedgerError::Setting(what));
        }
        Ok(Self(hmac::Key::new(HMAC_SHA256, key)))
    }

    /// The hash of a value of that sort: the same in texts, binds and attributes.
    fn hash(&self, kind: LiteralKind, value: &[u8]) -> [u8; KEPT] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(name(kind).as_bytes());
        context.update(b"\0");
        context.update(value);
        let tag = context.sign();
        let mut kept = [0; KEPT];
        kept.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        kept
    }
}

fn make(path: &Path) -> Result<(), LedgerError> {
    let mut key = [0; 32];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| LedgerError::Setting("the system gives no random numbers".into()))?;
    let line = format!("{}\n", hex(&key));
    whole_file::write_new(path, 0o600, line.as_bytes()).map_err(LedgerError::io("make", path))
}

/// Appends `string#<16 hex>`. Without a key nothing of the value remains.
pub(crate) fn push_hash(
    out: &mut Vec<u8>,
    key: Option<&RedactionKey>,
    kind: LiteralKind,
    value: &[u8],
) {
    out.extend_from_slice(name(kind).as_bytes());
    out.push(b'#');
    if let Some(key) = key {
        push_hex(out, &key.hash(kind, value));
    }
}

/// The text with its literals replaced. They come in order; what doesn't fit the text
/// (which can't be) hides the rest of it.
pub(crate) fn redacted(key: Option<&RedactionKey>, text: &[u8], literals: &[Literal]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut end = 0;
    for Literal { range, kind } in literals {
        let (Some(before), Some(literal)) = (text.get(end..range.start), text.get(range.clone()))
        else {
            return out;
        };
        end = range.end;
        out.extend_from_slice(before);
        let (open, close) = match kind {
            LiteralKind::String | LiteralKind::Number => ("'", "'"),
            LiteralKind::Comment => ("/*", "*/"),
        };
        out.extend_from_slice(open.as_bytes());
        push_hash(&mut out, key, *kind, value(*kind, literal));
        out.extend_from_slice(close.as_bytes());
    }
    out.extend_from_slice(text.get(end..).unwrap_or_default());
    out
}

/// A string without prefix and quotes, so that it equals the same value when bound.
fn value(kind: LiteralKind, literal: &[u8]) -> &[u8] {
    let quote = literal.iter().position(|byte| matches!(byte, b'\'' | b'"'));
    match (kind, quote) {
        (LiteralKind::String, Some(at)) => {
            let end = literal.len().saturating_sub(1);
            literal.get(at + 1..end).unwrap_or_default()
        }
        _ => literal,
    }
}

fn name(kind: LiteralKind) -> &'static str {
    match kind {
        LiteralKind::String => "string",
        LiteralKind::Number => "number",
        LiteralKind::Comment => "comment",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_that_could_be_guessed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (len, is_taken) in [(0, false), (31, false), (32, true)] {
            let path = folder.path().join(len.to_string());
            fs::write(&path, format!("{}\n", "k".repeat(len))).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(RedactionKey::read_or_make(&path).is_ok(), is_taken, "{len}");
        }
    }

    #[test]
    fn who_has_the_key_finds_a_value_as_the_page_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redaction.key");
        fs::write(&path, format!("{}\n", "k".repeat(32))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut hash = Vec::new();
        let key = RedactionKey::read_or_make(&path).unwrap();
        push_hash(&mut hash, Some(&key), LiteralKind::String, b"S001-0017");
        // printf 'string\0%s' S001-0017 | openssl dgst -sha256 -hmac "$(cat redaction.key)"
        assert_eq!(hash, b"string#e489b1f8f782d9fc");
    }

    #[test]
    fn equal_values_have_equal_hashes_under_one_key_and_different_ones_under_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redaction.key");
        let key = RedactionKey::read_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = RedactionKey::read_or_make(&path).unwrap();
        let other = RedactionKey::read_or_make(&folder.path().join("other.key")).unwrap();
        let string = LiteralKind::String;
        assert_eq!(key.hash(string, b"Smith"), again.hash(string, b"Smith"));
        assert_ne!(key.hash(string, b"Smith"), other.hash(string, b"Smith"));
        assert_ne!(key.hash(string, b"Smith"), key.hash(string, b"Smyth"));
        assert_ne!(key.hash(string, b"1"), key.hash(LiteralKind::Number, b"1"));

        let text = b"SELECT 'Smith', N'Smith', 7 -- x\nFROM t";
        let literal = |range, kind| Literal { range, kind };
        let literals = [
            literal(7..14, string),
            literal(16..24, string),
            literal(26..27, LiteralKind::Number),
            literal(28..32, LiteralKind::Comment),
        ];
        let redacted = String::from_utf8(redacted(Some(&key), text, &literals)).unwrap();
        let smith = hex(&key.hash(string, b"Smith"));
        let start = format!("SELECT 'string#{smith}', 'string#{smith}', 'number#");
        assert!(redacted.starts_with(&start) && redacted.ends_with("\nFROM t"), "{redacted}");
        assert!(!redacted.contains("Smith") && !redacted.contains("-- x"), "{redacted}");
    }
}
