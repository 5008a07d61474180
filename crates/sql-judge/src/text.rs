//! The values of quoted tokens, where the judge needs them. ASCII only: what the server
//! makes of other bytes depends on conversions, so it is left alone.

use std::borrow::Cow;

/// The value of a string token with plain quotes. `None` for other bytes than ASCII and
/// for prefixed strings.
pub(crate) fn unquote_text(token: &[u8], backslash_escapes: bool) -> Option<Vec<u8>> {
    let (&quote, rest) = token.split_first()?;
    if !matches!(quote, b'\'' | b'"') || !token.is_ascii() {
        return None;
    }
    let inside = rest.strip_suffix(&[quote])?;
    let mut value = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && backslash_escapes {
            unescape(bytes.next()?, &mut value);
            continue;
        }
        if byte == quote {
            // The second of a doubled quote.
            bytes.next()?;
        }
        value.push(byte);
    }
    Some(value)
}

fn unescape(byte: u8, value: &mut Vec<u8>) {
    match byte {
        b'n' => value.push(b'\n'),
        b't' => value.push(b'\t'),
        b'r' => value.push(b'\r'),
        b'b' => value.push(8),
        b'0' => value.push(0),
        b'Z' => value.push(26),
        b'_' | b'%' => value.extend([b'\\', byte]),
        _ => value.push(byte),
    }
}

/// A name as records show it: its bytes that are no UTF-8, as a client in another character set
/// sends them, stand as `\xe4`, so that names that differ do so there.
pub(crate) fn readable_name(name: &[u8]) -> String {
    let mut shown = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}

/// The name that a token means: quotes removed, doubled quotes made single.
pub(crate) fn unquote_name(token: &[u8]) -> Cow<'_, [u8]> {
    let Some((&quote, rest)) = token.split_first() else {
        return Cow::Borrowed(token);
    };
    if !matches!(quote, b'`' | b'"') {
        return Cow::Borrowed(token);
    }
    let inside = rest.strip_suffix(&[quote]).unwrap_or(rest);
    if !inside.contains(&quote) {
        return Cow::Borrowed(inside);
    }
    let mut name = Vec::with_capacity(inside.len());
    let mut bytes = inside.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == quote {
            bytes.next();
        }
        name.push(byte);
    }
    Cow::Owned(name)
}

/// Whether a name means a table or schema by its file: to MariaDB `#mysql50#t` is `t` by another
/// name, which neither rules nor records would know.
pub(crate) fn names_file(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"#mysql50#";
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// At most 64 bytes of a statement, safe to show to a client and in a log.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let mut shown: String =
        bytes.iter().take(48).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
    shown.truncate(61);
    if bytes.len() > 48 {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_lose_quotes_and_escapes() {
        let value = |text: &[u8]| unquote_text(text, true).map(|v| String::from_utf8(v).unwrap());
        assert_eq!(value(b"'it''s'").as_deref(), Some("it's"));
        assert_eq!(value(b"\"a\\\"b\"").as_deref(), Some("a\"b"));
        assert_eq!(value(b"'50\\%'").as_deref(), Some("50\\%"));
        let escapes = b"'\\n\\t\\r\\b\\0\\Z\\_\\x'";
        assert_eq!(value(escapes).as_deref(), Some("\n\t\r\x08\0\x1a\\_x"));
        assert_eq!(value(b"N'x'"), None);
        assert_eq!(value("'é'".as_bytes()), None);
        assert_eq!(unquote_text(b"'a\\'", false).as_deref(), Some(&b"a\\"[..]));
    }

    #[test]
    fn names_lose_quotes() {
        assert_eq!(unquote_name(b"`a``b`"), &b"a`b"[..]);
        assert_eq!(unquote_name(b"plain"), &b"plain"[..]);
    }

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt(b"a\nb\xff"), "a\\nb\\xff");
        assert!(excerpt(&[0xff; 4000]).len() <= 64);
    }
}
