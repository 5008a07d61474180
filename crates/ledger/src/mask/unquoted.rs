//! Passwords whose quotes were forgotten, or are those of a word processor (`IDENTIFIED BY ‘sesame’`).
//! No server takes such a statement, but its record stays.

use super::lex::{after_blanks, is_name_byte, quoted_name_len, starts_with_word};

/// What behind `IDENTIFIED` stands before a password without quotes, in bytes. Where it ends nobody
/// can tell.
pub(super) fn behind_identified(after: &[u8]) -> Option<usize> {
    let mut rest = after_blanks(after)?;
    if let Some(plugin) = past_word(rest, &[b"with", b"via"]) {
        rest = after_blanks(past_token(after_blanks(plugin)?))?;
    }
    let value = after_blanks(past_word(rest, &[b"by", b"as", b"using"])?)?;
    is_bare(value).then(|| after.len() - value.len())
}

/// Bytes in which a password's `=` is looked for: an account may stand before it.
const MOST_BEFORE: usize = 1024;

/// The same behind `SET PASSWORD`.
pub(super) fn behind_set_password(after: &[u8]) -> Option<usize> {
    let rest = after_blanks(after)?;
    let value = match rest.iter().take(MOST_BEFORE).position(|byte| b"=;".contains(byte)) {
        Some(at) if rest.get(at) == Some(&b'=') => after_blanks(rest.get(at + 1..)?)?,
        _ if past_word(rest, &[b"for", b"to"]).is_some() => return None,
        _ => rest,
    };
    is_bare(value).then(|| after.len() - value.len())
}

/// What follows the first word, if it is one of these.
fn past_word<'t>(text: &'t [u8], words: &[&[u8]]) -> Option<&'t [u8]> {
    words.iter().find(|word| starts_with_word(text, word)).and_then(|word| text.get(word.len()..))
}

/// What follows a word or a quoted name.
fn past_token(text: &[u8]) -> &[u8] {
    let len = match text.first() {
        Some(b'`') => quoted_name_len(text),
        Some(quote @ (b'\'' | b'"')) => {
            memchr::memchr(*quote, text.get(1..).unwrap_or_default()).map_or(1, |at| at + 2)
        }
        Some(_) | None => word_len(text),
    };
    text.get(len..).unwrap_or_default()
}

fn word_len(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_name_byte(**byte)).count()
}

/// Whether a value is nothing that a server would take for one.
fn is_bare(value: &[u8]) -> bool {
    let (word, after) = value.split_at_checked(word_len(value)).unwrap_or((value, &[]));
    if word.is_empty() {
        return !matches!(value.first(), None | Some(b'\'' | b'"' | b'?' | b'@' | b'(' | b';'));
    }
    // `N'...'`, `PASSWORD('...')`, `PASSWORD '...'`, `RANDOM PASSWORD`.
    let next = after_blanks(after).unwrap_or_default();
    let goes_on = matches!(next.first(), Some(b'\'' | b'"' | b'('));
    let is_ours = [&b"password"[..], b"random"].iter().any(|ours| word.eq_ignore_ascii_case(ours));
    let is_hex = word.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"0x"));
    !(goes_on || is_ours || is_hex)
}
