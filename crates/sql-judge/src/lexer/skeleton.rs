//! What is left of a text without its values, comments and white space: exactly what the
//! rules may see of it ([`super::sight`]). Texts of one skeleton, read in one mode, can't be
//! told apart by a rule that looks at no value.
//!
//! Each token is a mark and what belongs to it, so that a skeleton can be read in one way only: a
//! plain word ends where no byte of a name follows, and no mark or symbol is one; what may hold any
//! byte has its length in front. Of a long list of values its first few stand for all: behind two
//! pairs of value and comma the rules are where they were, however many follow.

use super::runs::{digits_end, name_end, space_end};
use super::token::{Kind, Token};
use super::{Gap, LexMode, Lexer, Next, is_name_byte};

/// Longest text that gets one, in bytes: lengths in it take two.
pub(super) const LONGEST: usize = 16 * 1024;
/// Longest word that is copied without a call.
const SHORT_WORD: usize = 16;
/// Fewest bytes between two ends of tokens that are noted.
const NOTED_EACH: usize = 16;
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

/// What a byte begins, where one look at it and the next tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A name or a word.
    Name,
    Digit,
    /// A string.
    Quote,
    Open,
    /// A symbol that begins nothing longer.
    Symbol,
    /// A symbol, or a comment if there are two.
    Dash,
    /// A symbol, or a comment with an asterisk.
    Slash,
    /// Not told here.
    Other,
}

impl Class {
    #[inline(always)]
    fn of(byte: u8) -> Self {
        CLASSES.get(usize::from(byte)).copied().unwrap_or(Self::Other)
    }
}

static CLASSES: [Class; 256] = classes();

#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs at compile time, over all values of a byte"
)]
const fn classes() -> [Class; 256] {
    let mut table = [Class::Other; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Name,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Quote,
            b'(' => Class::Open,
            b',' | b')' | b'=' | b'<' | b'>' | b'+' | b'*' | b'!' => Class::Symbol,
            b'-' => Class::Dash,
            b'/' => Class::Slash,
            _ => Class::Other,
        };
        byte += 1;
    }
    table
}

/// A text's skeleton.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skeleton {
    bytes: Vec<u8>,
    list: List,
    /// Of a text that may become a pattern, some ends of tokens, ascending, where
    /// [`Lexer::bare`] may go on as at the beginning.
    rests: Vec<u16>,
    /// The next of them is here or later.
    next_rest: usize,
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
        let is_short = text.len() < super::pattern::SHORTEST;
        let mut skeleton = Self {
            bytes: Vec::with_capacity(text.len() + 64),
            list: List::default(),
            rests: Vec::with_capacity(if is_short { 0 } else { text.len() / NOTED_EACH }),
            next_rest: if is_short { usize::MAX } else { NOTED_EACH },
        };
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

    /// Where in its text a lexer may go on as at the beginning.
    pub(super) fn into_rests(self) -> Vec<u16> {
        self.rests
    }

    /// Adds tokens for as long as one look at the next byte or two tells what they are, as
    /// [`Lexer::bare`] would outside of executable comments; gives the end of the last one. All
    /// others are left to it.
    fn add_plain(&mut self, mut lexer: Lexer<'_>) -> usize {
        let text = lexer.text;
        let mut end = lexer.at;
        loop {
            let start = space_end(text, end);
            let Some(&byte) = text.get(start) else { return end };
            let next = || text.get(start + 1).copied();
            let after = match Class::of(byte) {
                Class::Name => self.add_names(text, start),
                Class::Digit => self.add_numbers(text, start),
                Class::Quote => lexer.string(start, 0).is_ok().then(|| {
                    self.add_value([TEXT, b'\'']);
                    lexer.at
                }),
                Class::Open => {
                    if start > end {
                        self.bytes.push(SPACE);
                    }
                    self.add_symbol(b'(');
                    Some(start + 1)
                }
                Class::Dash if next() == Some(b'-') => None,
                Class::Slash if next() == Some(b'*') => None,
                Class::Dash | Class::Slash | Class::Symbol => {
                    self.add_symbol(byte);
                    Some(start + 1)
                }
                Class::Other => None,
            };
            match after {
                Some(after) => end = after,
                None => return end,
            }
            if end >= self.next_rest {
                self.note_rest(end);
            }
        }
    }

    /// Texts are too short for offsets of more than two bytes.
    #[inline(never)]
    fn note_rest(&mut self, end: usize) {
        if let Ok(end) = u16::try_from(end) {
            self.rests.push(end);
        }
        self.next_rest = end + NOTED_EACH;
    }

    /// Adds a word, or names with nothing but a dot between each two; gives their end. `None`,
    /// and nothing is added, if one of them isn't ASCII, or is the prefix of a string.
    #[inline(always)]
    fn add_names(&mut self, text: &[u8], mut start: usize) -> Option<usize> {
        let before = self.bytes.len();
        let mut mark = WORD;
        loop {
            let end = name_end(text, start);
            let goes_on = match text.get(end) {
                Some(0x80.. | b'\'') => {
                    self.bytes.truncate(before);
                    return None;
                }
                Some(b'.') => text.get(end + 1).is_some_and(|&byte| is_name_byte(byte)),
                _ => false,
            };
            if goes_on {
                mark = NAME;
            }
            self.add_word(mark, text, start, end);
            if !goes_on {
                self.list.count = 0;
                return Some(end);
            }
            self.bytes.push(b'.');
            start = end + 1;
        }
    }

    /// Adds a number of digits alone, and those that follow it in a list once they leave no
    /// trace any more; gives the end of the last. `None` if it isn't such a number.
    #[inline(always)]
    fn add_numbers(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let number_at = |at: usize| {
            let end = digits_end(text, at);
            let goes_on = text.get(end).is_some_and(|&byte| byte == b'.' || is_name_byte(byte));
            (end > at && !goes_on).then_some(end)
        };
        let mut end = number_at(start)?;
        self.add_value([NUMBER, 0]);
        while self.list.count >= LONGEST_LIST && text.get(end) == Some(&b',') {
            let Some(after) = number_at(space_end(text, end + 1)) else { break };
            end = after;
        }
        Some(end)
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
        let len = end - start;
        let whole = self.bytes.len() + len;
        match text.get(start..).and_then(<[u8]>::first_chunk::<SHORT_WORD>) {
            Some(chunk) if len <= SHORT_WORD => {
                self.bytes.extend_from_slice(chunk);
                self.bytes.truncate(whole);
            }
            _ => self.add_long(text.get(start..end).unwrap_or_default()),
        }
    }

    #[inline(never)]
    fn add_long(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
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
