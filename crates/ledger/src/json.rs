//! JSON for evidence: strings in which no control character, line separator or
//! direction mark survives unescaped, so that no name, program or statement can forge
//! a line or mislead the eye of who reads one in a terminal.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

/// Appends `value` as JSON. Fails only for maps with keys that aren't strings.
pub(crate) fn push_value<T: Serialize>(out: &mut Vec<u8>, value: &T) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Strict))
}

/// Appends the members of the object that `value` serialises to, without the braces.
pub(crate) fn push_members<T: Serialize>(out: &mut Vec<u8>, value: &T) -> serde_json::Result<()> {
    let mut object = Vec::with_capacity(256);
    push_value(&mut object, value)?;
    let members = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    out.extend_from_slice(members.unwrap_or_default());
    Ok(())
}

/// Appends `"name":"text"` for valid UTF-8, `"name_b64":"..."` for other bytes: the exact
/// bytes can be had back from either.
pub(crate) fn push_bytes(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    if is_plain_text(bytes) {
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(bytes);
        return out.push(b'"');
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            out.extend_from_slice(b"\":\"");
            push_escaped(out, text);
        }
        Err(_) => {
            out.extend_from_slice(b"_b64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        }
    }
    out.push(b'"');
}

/// Appends `,"name":`. The name is one of ours: nothing in it needs escaping.
#[inline(always)]
pub(crate) fn push_name(out: &mut Vec<u8>, name: &'static str) {
    // Inlined, each piece is a store of a length known while compiling.
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends `,"name":` in one piece, as `push_name` does in three.
macro_rules! name {
    ($out:expr, $name:literal) => {
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}
pub(crate) use name;

/// Appends `,"name":123` in two pieces.
macro_rules! number {
    ($out:expr, $name:literal, $number:expr) => {{
        $crate::json::name!($out, $name);
        $crate::json::push_digits($out, $number);
    }};
}
pub(crate) use number;

/// Appends a text in quotes.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `,"name":123`.
#[inline(always)]
pub(crate) fn push_number(out: &mut Vec<u8>, name: &'static str, number: u64) {
    push_name(out, name);
    push_digits(out, number);
}

/// Appends a number's digits. Twenty are enough for any.
pub(crate) fn push_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for pair in pairs.iter_mut().rev() {
        *pair = two_digits(number % 100);
        start -= 2;
        number /= 100;
        if number == 0 {
            break;
        }
    }
    let is_padded = digits.get(start) == Some(&b'0') && start + 1 < digits.len();
    out.extend_from_slice(digits.get(start + usize::from(is_padded)..).unwrap_or_default());
}

/// The two digits of a number below a hundred.
pub(crate) fn two_digits(number: u64) -> [u8; 2] {
    let [tens, ones] = [number / 10, number % 10].map(|digit| digit.to_le_bytes()[0]);
    [b'0' + tens, b'0' + ones]
}

/// Appends the inside of a JSON string.
pub(crate) fn push_escaped(out: &mut Vec<u8>, text: &str) {
    if is_plain_text(text.as_bytes()) {
        return out.extend_from_slice(text.as_bytes());
    }
    let mut rest = text;
    while let Some(at) = first_suspect(rest.as_bytes()) {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        if let Some(c) = chars.next() {
            push_char(out, c);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Whether bytes are plain ASCII that stands in JSON as it is. The last step looks at the last
/// bytes, some of them again; `false` may be a false alarm.
fn is_plain_text(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk() {
        return bytes.as_chunks().0.iter().all(is_plain_block) && is_plain_block(last);
    }
    let is_plain = |word: &[u8; 8]| is_plain(u64::from_le_bytes(*word));
    if let Some(last) = bytes.last_chunk() {
        return bytes.as_chunks().0.iter().all(is_plain) && is_plain(last);
    }
    bytes.iter().all(|&byte| byte < 0x7f && !is_suspect(byte))
}

/// Where the first suspect byte stands. Texts have few: 32 bytes are looked at together, and
/// from the first block on that may hold one, eight.
fn first_suspect(bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<32>();
    let mut start = 32 * blocks.iter().take_while(|block| is_plain_block(block)).count();
    let (words, tail) = bytes.get(start..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        if !is_plain(u64::from_le_bytes(*word))
            && let Some(at) = word.iter().position(|&byte| is_suspect(byte))
        {
            return Some(start + at);
        }
        start += 8;
    }
    tail.iter().position(|&byte| is_suspect(byte)).map(|at| start + at)
}

/// Whether a block holds nothing but plain ASCII. Without a branch for each byte, so that the
/// compiler takes all of them in a few steps.
fn is_plain_block(block: &[u8; 32]) -> bool {
    let is_not = |byte: u8| {
        u8::from(byte < 0x20)
            | u8::from(byte >= 0x7f)
            | u8::from(byte == b'"')
            | u8::from(byte == b'\\')
    };
    block.iter().fold(0, |found, &byte| found | is_not(byte)) == 0
}

/// Whether eight bytes hold nothing but plain ASCII; `false` may be a false alarm.
fn is_plain(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    // The high bit of each byte that is below `limit`, which is at most 128.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (word | below(word, 0x20) | is(b'"') | is(b'\\') | is(0x7f)) & HIGHS == 0
}

/// Bytes that may begin a character to be escaped. The four lead bytes are those of
/// U+0080 to U+00BF, U+0600 to U+063F, U+2000 to U+2FFF and U+F000 to U+FFFF.
fn is_suspect(byte: u8) -> bool {
    SUSPECTS.get(usize::from(byte)).copied().unwrap_or(true)
}

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "computed while compiling, over all values of a byte"
)]
static SUSPECTS: [bool; 256] = {
    let mut suspects = [false; 256];
    let mut value = 0;
    while value < 256 {
        let byte = value as u8;
        suspects[value] =
            byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f | 0xc2 | 0xd8 | 0xe2 | 0xef);
        value += 1;
    }
    suspects
};

fn push_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if misleads(c) => {
            // Writing into a Vec can't fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Control characters, separators that some readers take for line ends, marks that
/// reorder what follows, and the byte order mark.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// serde_json's compact form with the stricter escapes.
struct Strict;

impl Formatter for Strict {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        if first_suspect(text.as_bytes()).is_none() {
            return out.write_all(text.as_bytes());
        }
        let mut escaped = Vec::with_capacity(text.len() + 16);
        push_escaped(&mut escaped, text);
        out.write_all(&escaped)
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let mut escaped = Vec::with_capacity(6);
        push_char(&mut escaped, escaped_char(escape));
        out.write_all(&escaped)
    }
}

fn escaped_char(escape: CharEscape) -> char {
    match escape {
        CharEscape::Quote => '"',
        CharEscape::ReverseSolidus => '\\',
        CharEscape::Solidus => '/',
        CharEscape::Backspace => '\u{8}',
        CharEscape::FormFeed => '\u{c}',
        CharEscape::LineFeed => '\n',
        CharEscape::CarriageReturn => '\r',
        CharEscape::Tab => '\t',
        CharEscape::AsciiControl(byte) => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = b"{".to_vec();
        push_bytes(&mut out, "text", bytes);
        out.push(b'}');
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_comes_back_and_none_that_misleads_goes_out_raw() {
        for c in ('\0'..=char::MAX).step_by(1).filter(|c| u32::from(*c) < 0x1_1000) {
            let whole = format!("a{c}b");
            let json = text(whole.as_bytes());
            let back: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(back["text"], whole, "{c:?}");
            assert!(!json.chars().any(misleads), "{c:?}");
            let mut by_serde = Vec::new();
            push_value(&mut by_serde, &whole).unwrap();
            assert_eq!(json, format!("{{\"text\":{}}}", String::from_utf8(by_serde).unwrap()));
        }
    }

    /// All that have Unicode's property `Bidi_Control` (PropList.txt).
    #[test]
    fn marks_that_reorder_what_follows_are_escaped() {
        for mark in ['\u{61c}', '\u{200e}', '\u{200f}']
            .into_iter()
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
        {
            let json = text(format!("a{mark}b").as_bytes());
            assert_eq!(json, format!("{{\"text\":\"a\\u{:04x}b\"}}", u32::from(mark)));
        }
    }

    #[test]
    fn blocks_of_bytes_find_what_one_at_a_time_finds() {
        for filler in [b'a', b' ', b'~', 0x80, 0xff] {
            for (byte, at) in (0..=255_u8).flat_map(|byte| (0..70).map(move |at| (byte, at))) {
                let mut bytes = [filler; 70];
                bytes[at] = byte;
                let plainly = bytes.iter().position(|&byte| is_suspect(byte));
                assert_eq!(first_suspect(&bytes), plainly, "{byte} at {at}");
                for len in [at + 1, 70] {
                    let found = bytes[..len].iter().any(|&b| is_suspect(b) || b >= 0x7f);
                    // A block of eight may raise a false alarm, never miss.
                    assert!(!(found && is_plain_text(&bytes[..len])), "{byte} in {len}");
                }
                assert!(is_plain_text(&[b'a'; 70][..at]));
            }
        }
    }

    #[test]
    fn numbers_have_the_digits_that_they_have() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        for number in powers.flat_map(|p| [p - 1, p, p + 1, 9 * (p / 10)]).chain([0, u64::MAX]) {
            let mut out = Vec::new();
            push_digits(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_utf8_come_back_exactly() {
        let json = text(b"SELECT '\xff\x5c'");
        let back: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            STANDARD.decode(back["text_b64"].as_str().unwrap()).unwrap(),
            b"SELECT '\xff\x5c'"
        );
    }
}
