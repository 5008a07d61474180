//! What is left of a text without its values, comments and white space: exactly what the
//! rules may see of it ([`super::sight`]). Texts of one skeleton, read in one mode, can't be
//! told apart by a rule that looks at no value.
//!
//! Each token is a mark and what belongs to it, so that a skeleton can be read in one way
//! only: a plain word ends where no byte of a name follows, and no mark or symbol is one; what
//! may hold any byte has its length in front. Of a long list of values its first few stand for all: behind two pairs of value and
//! comma the rules are where they were, however many follow.

use super::runs::{name_end, space_end};
use super::token::{Kind, Token};
use super::{Gap, LexMode, Lexer, Next, is_name_byte};

/// Longest text that gets one, in bytes: lengths in it take two.
const LONGEST: usize = 16 * 1024;
/// Longest word that is copied without a call.
const SHORT_WORD: usize = 16;
/// Values of one sort in a row that are written down.
const LONGEST_LIST: u32 = 8;

// Marks. All are below every byte that is a symbol of its own.
const WORD: u8 = 1;
const NAME: u8 = 2;
const QUOTED_NAME: u8 = 3;
const USER_VARIABLE: u8 = 4;
const HINT: u8 = 5;
const AT_AT: u8 = 6;
const TEXT: u8 = 7;
const NUMBER: u8 = 8;
/// For words that aren't ASCII.
const WIDE_WORD: u8 = 9;
const WIDE_NAME: u8 = 10;
const SPACE: u8 = 14;
const MORE: u8 = 15;

/// A text's skeleton.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skeleton {
    bytes: Vec<u8>,
    list: List,
}

/// The values in a row that end here.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    /// Mark and first byte of the last; of a number the mark alone.
    value: [u8; 2],
    /// How many there are; 0 if the last token is neither value nor comma behind one.
    count: u32,
    ends_in_comma: bool,
}

impl Skeleton {
    /// The skeleton of a text that is one statement. `None`: it is too long, can't be lexed,
    /// or something follows its `;`.
    pub(crate) fn of(mode: LexMode, text: &[u8]) -> Option<Self> {
        Self::read(mode, text, true)
    }

    /// The same, with or without [`Skeleton::add_plain`].
    fn read(mode: LexMode, text: &[u8], quickly: bool) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut lexer = Lexer::new(mode, text);
        let mut skeleton =
            Self { bytes: Vec::with_capacity(text.len() + 64), list: List::default() };
        let mut is_over = false;
        loop {
            if quickly && lexer.next == Next::Any && !lexer.in_comment && !is_over {
                lexer.at = skeleton.add_plain(lexer.clone());
            }
            let end = lexer.at;
            let token = lexer.bare().ok()?;
            if token.kind == Kind::End {
                return Some(skeleton);
            }
            let is_semicolon = token.is(b';');
            // The rules refuse the one in a comment.
            if (is_over && !is_semicolon) || (is_semicolon && lexer.in_comment) {
                return None;
            }
            is_over = is_semicolon;
            skeleton.add(&lexer, end, token);
        }
    }

    /// What it is compared by.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds tokens for as long as one look at the next byte or two tells what they are, as
    /// [`Lexer::bare`] would outside of executable comments; gives the end of the last one. All
    /// others are left to it.
    fn add_plain(&mut self, mut lexer: Lexer<'_>) -> usize {
        let text = lexer.text;
        loop {
            let end = lexer.at;
            let start = space_end(text, end);
            let next = || text.get(start + 1).copied();
            match text.get(start) {
                Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') if next() != Some(b'\'') => {
                    match self.add_names(text, start) {
                        Some(after) => lexer.at = after,
                        None => return end,
                    }
                }
                Some(b'0'..=b'9') => {
                    let digits = text.iter().skip(start).take_while(|byte| byte.is_ascii_digit());
                    let after = start + digits.count();
                    if text.get(after).is_some_and(|&byte| byte == b'.' || is_name_byte(byte)) {
                        return end;
                    }
                    self.add_value([NUMBER, 0]);
                    lexer.at = after;
                }
                Some(b'\'') => match lexer.string(start, 0) {
                    Ok(_) => self.add_value([TEXT, b'\'']),
                    Err(_) => return end,
                },
                Some(b'(') => {
                    if start > end {
                        self.bytes.push(SPACE);
                    }
                    self.add_symbol(b'(');
                    lexer.at = start + 1;
                }
                Some(b'-') if next() == Some(b'-') => return end,
                Some(b'/') if next() == Some(b'*') => return end,
                Some(
                    byte @ (b',' | b')' | b'=' | b'<' | b'>' | b'+' | b'*' | b'-' | b'/' | b'!'),
                ) => {
                    self.add_symbol(*byte);
                    lexer.at = start + 1;
                }
                _ => return end,
            }
        }
    }

    /// Adds a word, or names with nothing but a dot between each two; gives their end. `None`,
    /// and nothing is added, if one of them isn't ASCII.
    #[inline(always)]
    fn add_names(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let before = self.bytes.len();
        let (mut start, mut is_name) = (start, false);
        loop {
            let end = name_end(text, start);
            let behind = match (text.get(end), text.get(end + 1)) {
                (Some(0x80..), _) => {
                    self.bytes.truncate(before);
                    return None;
                }
                (Some(b'.'), Some(&byte)) if is_name_byte(byte) => Some(end + 1),
                _ => None,
            };
            is_name |= behind.is_some();
            self.add_word(if is_name { NAME } else { WORD }, text, start, end);
            let Some(next) = behind else {
                self.list.count = 0;
                return Some(end);
            };
            self.bytes.push(b'.');
            start = next;
        }
    }

    /// A token that stands behind what ends at `end`.
    fn add(&mut self, lexer: &Lexer<'_>, end: usize, token: Token) {
        let bytes = lexer.bytes(token);
        match token.kind {
            Kind::Text => {
                return self.add_value([TEXT, bytes.first().copied().unwrap_or_default()]);
            }
            Kind::Number => return self.add_value([NUMBER, 0]),
            Kind::Symbol => {
                if token.byte == b'(' {
                    match lexer.gap_from(end, token) {
                        Gap::None => {}
                        Gap::Space => self.bytes.push(SPACE),
                        Gap::More => self.bytes.push(MORE),
                    }
                }
                return self.add_symbol(token.byte);
            }
            Kind::Word if bytes.is_ascii() => self.add_word(WORD, bytes, 0, bytes.len()),
            Kind::Word => self.add_bytes(WIDE_WORD, bytes),
            Kind::Name if bytes.is_ascii() => self.add_word(NAME, bytes, 0, bytes.len()),
            Kind::Name => self.add_bytes(WIDE_NAME, bytes),
            Kind::QuotedName => self.add_bytes(QUOTED_NAME, bytes),
            Kind::UserVariable => self.add_bytes(USER_VARIABLE, bytes),
            Kind::Hint => self.add_bytes(HINT, bytes),
            Kind::AtAt => self.bytes.push(AT_AT),
            Kind::End => {}
        }
        self.list.count = 0;
    }

    #[inline(always)]
    fn add_symbol(&mut self, byte: u8) {
        self.bytes.push(byte);
        if byte != b',' || std::mem::replace(&mut self.list.ends_in_comma, true) {
            self.list.count = 0;
        }
    }

    /// A value as its sort: a string by its prefix or quote, a number.
    #[inline(always)]
    fn add_value(&mut self, value: [u8; 2]) {
        let List { count, ends_in_comma, value: last } = self.list;
        let goes_on = count > 0 && ends_in_comma && last == value;
        let count = if goes_on { count + 1 } else { 1 };
        if count > LONGEST_LIST {
            // Nor the comma before it.
            self.bytes.pop();
        } else {
            let [mark, first] = value;
            self.bytes.push(mark);
            if mark == TEXT {
                self.bytes.push(first);
            }
        }
        self.list = List { value, count, ends_in_comma: false };
    }

    /// A word of ASCII. A copy of a fixed length is made without a call, so some more bytes
    /// are taken where there are, and left away again.
    #[inline(always)]
    fn add_word(&mut self, mark: u8, text: &[u8], start: usize, end: usize) {
        self.bytes.push(mark);
        let whole = self.bytes.len() + (end - start);
        let rest = text.get(start..).unwrap_or_default();
        match rest.first_chunk::<SHORT_WORD>() {
            Some(chunk) if end - start <= SHORT_WORD => self.bytes.extend_from_slice(chunk),
            _ => self.bytes.extend_from_slice(rest.get(..end - start).unwrap_or_default()),
        }
        self.bytes.truncate(whole);
    }

    /// Texts are too short for lengths of more than two bytes.
    fn add_bytes(&mut self, mark: u8, bytes: &[u8]) {
        let [low, high, ..] = bytes.len().to_le_bytes();
        self.bytes.extend_from_slice(&[mark, low, high]);
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;
