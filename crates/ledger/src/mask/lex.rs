//! Just enough of MySQL's lexing to tell literals, comments and words of a text that may
//! not parse.

/// Bytes that are looked at from a word on for what follows it.
const MOST_BLANKS: usize = 4096;
/// Of the words looked for there.
const LONGEST_WORD: usize = "replace".len();

/// Whether literals, comments and words can be told apart for certain: all are closed, and
/// none touches a word as an apostrophe does.
pub(super) fn is_certain(text: &[u8]) -> bool {
    let mut rest = text;
    let mut word: &[u8] = b"";
    while let Some(&byte) = rest.first() {
        let len = match byte {
            b'\'' | b'"' if word.is_empty() || is_introducer(word) => literal_len(rest),
            b'\'' | b'"' => None,
            b'`' => Some(quoted_name_len(rest)).filter(|len| *len > 1),
            _ if is_name_byte(byte) => {
                Some(rest.iter().take_while(|byte| is_name_byte(**byte)).count())
            }
            _ => Some(comment_len(rest).unwrap_or(1)),
        };
        let Some((taken, after)) = len.and_then(|len| rest.split_at_checked(len)) else {
            return false;
        };
        word = if is_name_byte(byte) { taken } else { b"" };
        rest = after;
    }
    true
}

/// What may touch a literal from the left: `N'...'`, `x'...'`, `_utf8mb4'...'`.
fn is_introducer(word: &[u8]) -> bool {
    word.starts_with(b"_") || matches!(word, b"n" | b"N" | b"x" | b"X" | b"b" | b"B")
}

/// The length of the literal whose opening quote `text` begins with, quotes included. `None`:
/// it isn't closed, touches a word, or a backslash stands before a quote and may or may not
/// escape it (NO_BACKSLASH_ESCAPES; the second byte of a character).
pub(super) fn literal_len(text: &[u8]) -> Option<usize> {
    let (&quote, inside) = text.split_first()?;
    let mut from = 0;
    loop {
        let rest = inside.get(from..)?;
        let at = memchr::memchr(quote, rest)?;
        let backslashes = rest.get(..at)?.iter().rev().take_while(|byte| **byte == b'\\');
        if backslashes.count() % 2 == 1 {
            return None;
        }
        from += at + 1;
        match inside.get(from) {
            Some(&next) if next == quote => from += 1,
            Some(&next) if is_name_byte(next) => return None,
            Some(_) | None => return Some(from + 1),
        }
    }
}

/// The length of a name in backticks that `text` begins with; of one that isn't closed, that
/// of its backtick.
pub(super) fn quoted_name_len(text: &[u8]) -> usize {
    let inside = text.get(1..).unwrap_or_default();
    memchr::memchr(b'`', inside).map_or(1, |end| end + 2)
}

/// Whether a byte may stand in a name without quotes.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// Whether the first word of `text` is this one.
pub(super) fn starts_with_word(text: &[u8], word: &[u8]) -> bool {
    text.split_at_checked(word.len()).is_some_and(|(first, after)| {
        first.eq_ignore_ascii_case(word) && !after.first().is_some_and(|byte| is_name_byte(*byte))
    })
}

/// What follows the blanks and comments that `text` begins with; `None`, if they go on for so
/// long that looking past them from each word would take too long.
pub(super) fn after_blanks(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.get(..MOST_BLANKS).unwrap_or(text);
    let is_cut = rest.len() < text.len();
    while let Some(len) = blank_len(rest) {
        rest = rest.get(len..).unwrap_or_default();
    }
    Some(rest).filter(|rest| !is_cut || rest.len() > LONGEST_WORD)
}

/// The length of a blank or of a comment that `text` begins with. What a comment for servers
/// (`/*! */`) holds is code: only its opening and its end are blanks.
pub(super) fn blank_len(text: &[u8]) -> Option<usize> {
    let inner = text.strip_prefix(b"/*");
    if let Some(b'!' | b'M') = inner.and_then(|inner| inner.first()) {
        let marks = text.iter().skip(2).take_while(|byte| b"!M0123456789".contains(byte));
        return Some(2 + marks.count());
    }
    if text.starts_with(b"*/") {
        return Some(2);
    }
    let blank = text.first().filter(|byte| byte.is_ascii_whitespace());
    comment_len(text).or_else(|| blank.map(|_| 1))
}

/// The length of a comment that no server runs: `/* */`, `#`, and `--` before a blank.
pub(super) fn comment_len(text: &[u8]) -> Option<usize> {
    if let Some(inner) = text.strip_prefix(b"/*") {
        if matches!(inner.first(), Some(b'!' | b'M')) {
            return None;
        }
        return Some(memchr::memmem::find(inner, b"*/").map_or(text.len(), |end| end + 4));
    }
    let dashes = text.strip_prefix(b"--").is_some_and(|rest| {
        rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
    });
    let to_line_end = || memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
    (dashes || text.starts_with(b"#")).then(to_line_end)
}
