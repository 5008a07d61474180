//! Takes passwords out of statement texts before they are recorded, also out of texts
//! that no server would parse. Rather masks too much: every string literal that follows
//! `IDENTIFIED`, and what follows `PASSWORD` as a value.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

/// What stands in a record for a password.
const MASK: &[u8] = b"'***'";

/// Words that announce a password, wherever they stand: `MASTER_PASSWORD`,
/// `SOURCE_PASSWORD`, `IDENTIFIED BY`, `SET PASSWORD`.
static ANNOUNCES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasickBuilder::new();
    builder.ascii_case_insensitive(true).build(["password", "identified"]).ok()
});

/// Bytes of the longest such word.
pub(crate) const LONGEST_ANNOUNCING: usize = "identified".len();

/// Pairs of letters without which no word announces a password; few texts hold one, and many
/// bytes at once are searched for them. `None` on processors where that can't be done.
static PAIRS: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new(["sw", "sW", "Sw", "SW", "fi", "fI", "Fi", "FI"]));

/// Whether a word that announces a password may be there.
fn may_announce(text: &[u8]) -> bool {
    PAIRS.as_ref().is_none_or(|pairs| pairs.find(text).is_some())
}

/// Whether a word that announces a password is there. Without one nothing is masked.
pub(crate) fn announces_password(text: &[u8]) -> bool {
    may_announce(text) && ANNOUNCES.as_ref().is_none_or(|words| words.is_match(text))
}

/// The text with passwords masked; borrowed if there is none.
pub(crate) fn passwords(text: &[u8]) -> Cow<'_, [u8]> {
    if !may_announce(text) {
        return Cow::Borrowed(text);
    }
    // Two fixed words always build; without them everything would be masked.
    let Some(words) = &*ANNOUNCES else {
        return Cow::Borrowed(MASK);
    };
    let Some(first) = words.find(text) else {
        return Cow::Borrowed(text);
    };
    let mut masked = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some(word) = next {
        let (before, after) = rest.split_at_checked(word.end()).unwrap_or((rest, &[]));
        masked.extend_from_slice(before);
        let all = word.pattern().as_usize() == 1 || takes_account(after);
        rest = mask_literals(after, all, &mut masked);
        next = words.find(rest);
    }
    masked.extend_from_slice(rest);
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

/// `PASSWORD FOR 'user'@'host' = '...'`: which literal is the password is not worth
/// guessing.
fn takes_account(after: &[u8]) -> bool {
    let mut rest = after;
    while let Some(at) = blank_len(rest) {
        rest = rest.get(at..).unwrap_or_default();
    }
    rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"for"))
}

/// Copies `text` to `masked`, the literals in it replaced: all up to a semicolon, or one
/// that stands where a value is given. Returns what it has not looked at.
fn mask_literals<'a>(text: &'a [u8], mut all: bool, masked: &mut Vec<u8>) -> &'a [u8] {
    let mut rest = text;
    // A value comes: anything but a plain literal, such as a call, is masked whole.
    let mut value = false;
    while let Some((&byte, tail)) = rest.split_first() {
        let mut len = blank_len(rest).unwrap_or(1);
        match byte {
            b'\'' | b'"' => {
                masked.extend_from_slice(MASK);
                rest = after_literal(tail, byte);
                if !all {
                    return rest;
                }
                continue;
            }
            b'0' if all && tail.first().is_some_and(|x| x.eq_ignore_ascii_case(&b'x')) => {
                masked.extend_from_slice(MASK);
                let digits = tail.iter().skip(1).take_while(|digit| digit.is_ascii_hexdigit());
                rest = rest.get(2 + digits.count()..).unwrap_or_default();
                continue;
            }
            b';' if all => return rest,
            b'=' | b'(' | b':' => value = true,
            _ if all || len > 1 || byte.is_ascii_whitespace() || byte == b'`' => {}
            _ if value => all = true,
            _ => return rest,
        }
        len = len.min(rest.len());
        masked.extend_from_slice(rest.get(..len).unwrap_or_default());
        rest = rest.get(len..).unwrap_or_default();
    }
    rest
}

/// The length of a blank or of a `/* */` comment that `text` begins with. What a comment
/// for servers (`/*! */`) holds is code: only its opening is a blank.
fn blank_len(text: &[u8]) -> Option<usize> {
    if text.starts_with(b"/*") {
        let inner = text.get(2..).unwrap_or_default();
        if inner.first().is_some_and(|mark| matches!(mark, b'!' | b'M')) {
            let digits = inner.iter().take_while(|b| b"!M0123456789".contains(b));
            return Some(2 + digits.count());
        }
        let end = memchr::memmem::find(inner, b"*/").map_or(text.len(), |end| end + 4);
        return Some(end);
    }
    if text.starts_with(b"*/") {
        return Some(2);
    }
    text.first().is_some_and(u8::is_ascii_whitespace).then_some(1)
}

/// What follows a literal whose opening quote was read. One that isn't closed ends with
/// the text. A backslash may or may not escape: where the two readings differ, the
/// longer one is masked.
fn after_literal(text: &[u8], quote: u8) -> &[u8] {
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail.split_first()) {
            (b'\\', Some((_, after))) => after,
            (byte, Some((&next, after))) if byte == quote && next == quote => after,
            (byte, _) if byte == quote => return tail,
            _ => tail,
        };
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_never_reach_a_record() {
        for text in [
            "SET PASSWORD = 'sesame'",
            "set password for 'bob'@'%' = 'sesame'",
            "SET PASSWORD FOR bob = PASSWORD('sesame')",
            "ALTER USER bob IDENTIFIED BY 'sesame'",
            "CREATE USER 'bob'@'%' IDENTIFIED WITH caching_sha2_password BY \"sesame\" REPLACE 'x'",
            "create user b identified with 'plugin' as 'sesame', c identified by 'sesame'",
            "CHANGE MASTER TO MASTER_HOST='h', MASTER_PASSWORD='sesame', MASTER_PORT=1",
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD 'sesame')",
            "SELECT PASSWORD('sesame')",
            "GRANT ALL ON *.* TO b IDENTIFIED BY PASSWORD 'sesame'",
            "IDENTIFIED BY 'sesame",
            "IDENTIFIED BY 'it''s sesame\\' sesame'",
            "SET PASSWORD = 'a'; SET PASSWORD = 'sesame'",
            "SELECT 1 FROM t WHERE `password` = 'sesame'",
            "SELECT PASSWORD/* x */('sesame')",
            "SET PASSWORD/**/FOR 'b'@'%' = 'sesame'",
            "SET PASSWORD /*!50000 = 'sesame' */",
            "SELECT PASSWORD(_utf8'sesame')",
            "SET PASSWORD = CONCAT('ses', 'sesame')",
        ] {
            let masked = passwords(text.as_bytes());
            let masked = String::from_utf8_lossy(&masked);
            assert!(!masked.contains("sesame"), "{text} gave {masked}");
            assert!(masked.contains("'***'"), "{text} gave {masked}");
        }
    }

    #[test]
    fn passwords_are_found_wherever_they_stand() {
        for word in ["PASSWORD", "identified by", "pAsSwOrD", "iDENTIFIED BY"] {
            for (before, after) in (0..100).flat_map(|n| [(n, 0), (n, 40)]) {
                let (before, after) = ("x ".repeat(before), "; y".repeat(after));
                let text = format!("{before}{word} 'sesame'{after}");
                let masked = passwords(text.as_bytes());
                assert!(!String::from_utf8_lossy(&masked).contains("sesame"), "{text}");
            }
        }
    }

    #[test]
    fn hashes_given_as_hex_are_masked() {
        let masked = passwords(b"ALTER USER b IDENTIFIED WITH p AS 0x2441AB REQUIRE SSL");
        assert_eq!(&*masked, b"ALTER USER b IDENTIFIED WITH p AS '***' REQUIRE SSL");
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "SELECT 'a' FROM t",
            "SELECT password, name FROM t WHERE name = 'x'",
            "SELECT identified FROM t",
            "SET PASSWORD",
        ] {
            assert!(matches!(passwords(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        }
    }
}
