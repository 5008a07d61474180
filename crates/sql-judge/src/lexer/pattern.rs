//! Whether a text has the skeleton of an earlier one, its pattern, told by reading only where
//! the two differ. What a lexer reads from a place on depends on its state there and on the
//! bytes behind it: where both are the same in both texts, so are the tokens.
//!
//! Stricter than comparing skeletons, never looser: a pattern fits a text only if their tokens
//! are the same one by one but for the bytes of values. Tests and fuzzing hold it to that.

use super::skeleton::{LONGEST, Skeleton};
use super::token::{Kind, Token};
use super::{Gap, LexMode, Lexer, Next};

/// Shorter texts have none: their skeletons cost little more than a look at patterns.
pub(crate) const SHORTEST: usize = 256;
/// How far a token's bytes are looked past to tell where it ends and what the next may be, and
/// more: a dot with a name's byte behind it, an exponent's sign and digit, `..`, `--` and blank.
const LOOKAHEAD: usize = 8;
/// Fewer bytes in common than that aren't worth a search for where to go on.
const WORTH_SKIPPING: usize = 32;
/// Tokens that are read for any text, and one more for so many of its bytes: a third of what its
/// skeleton costs, which is made where texts differ in more than a few places.
const FEWEST_TOKENS: usize = 4;
const BYTES_PER_TOKEN: usize = 64;

/// A text that has a skeleton, and where in it to go on reading.
pub(crate) struct Pattern {
    mode: LexMode,
    text: Box<[u8]>,
    /// Ends of tokens, ascending, behind which anything may follow and no executable comment
    /// is open.
    rests: Vec<u16>,
}

/// How many tokens may still be read for a text.
pub(crate) struct Patience(usize);

impl Patience {
    /// For all patterns together that are tried on this text.
    pub(crate) fn with(text: &[u8]) -> Self {
        Self(FEWEST_TOKENS + text.len() / BYTES_PER_TOKEN)
    }
}

impl Pattern {
    /// Of a text and its skeleton.
    pub(crate) fn new(mode: LexMode, text: &[u8], skeleton: Skeleton) -> Self {
        Self { mode, text: text.into(), rests: skeleton.into_rests() }
    }

    /// Whether a text, read in this mode, is one statement of the same skeleton. `false` may be
    /// a false alarm.
    pub(crate) fn fits(&self, mode: LexMode, text: &[u8], patience: &mut Patience) -> bool {
        mode == self.mode && text.len() <= LONGEST && self.is_followed(text, patience).is_some()
    }

    /// Reads both texts side by side to their ends. `None` as soon as one of their tokens
    /// differs, or can't be lexed.
    fn is_followed(&self, text: &[u8], patience: &mut Patience) -> Option<()> {
        let mut known = Lexer::new(self.mode, &self.text);
        let mut new = Lexer::new(self.mode, text);
        loop {
            self.skip_common(&mut known, &mut new);
            patience.0 = patience.0.checked_sub(1)?;
            let (known_end, new_end) = (known.at, new.at);
            let (token, other) = (known.bare().ok()?, new.bare().ok()?);
            let is_same = is_same(&known, token, &new, other)
                && gap_before(&known, known_end, token) == gap_before(&new, new_end, other)
                && known.next == new.next
                && known.in_comment == new.in_comment;
            if !is_same {
                return None;
            }
            if token.kind == Kind::End {
                return Some(());
            }
        }
    }

    /// From where both lexers stand in one state, goes on to the last known end of a token that
    /// has nothing but common bytes before it and [`LOOKAHEAD`] of them behind it; to the end, if
    /// all is common.
    fn skip_common(&self, known: &mut Lexer<'_>, new: &mut Lexer<'_>) {
        if known.next != Next::Any || known.in_comment {
            return;
        }
        let (rest, other) = (known.rest(), new.rest());
        if rest.first_chunk::<8>() != other.first_chunk() {
            return;
        }
        let common = common_len(rest, other);
        if common == rest.len() && common == other.len() {
            known.at += common;
            new.at += common;
            return;
        }
        if common < WORTH_SKIPPING {
            return;
        }
        let last = known.at + common - LOOKAHEAD;
        let before = self.rests.partition_point(|&end| usize::from(end) <= last);
        let end = before.checked_sub(1).and_then(|index| self.rests.get(index));
        if let Some(len) = end.and_then(|&end| usize::from(end).checked_sub(known.at)) {
            known.at += len;
            new.at += len;
        }
    }
}

/// Whether two tokens are the same to every rule that looks at no value, as a skeleton has it.
fn is_same(lexer: &Lexer<'_>, token: Token, other_lexer: &Lexer<'_>, other: Token) -> bool {
    let (bytes, other_bytes) = (lexer.bytes(token), other_lexer.bytes(other));
    let is_alike = match token.kind {
        Kind::Number => true,
        // The prefix or the quote.
        Kind::Text => bytes.first() == other_bytes.first(),
        Kind::Word
        | Kind::Name
        | Kind::QuotedName
        | Kind::UserVariable
        | Kind::End
        | Kind::AtAt
        | Kind::Hint
        | Kind::Symbol => bytes == other_bytes,
    };
    is_alike && token.kind == other.kind
}

/// What stands before a parenthesis; a skeleton knows of no other gaps.
fn gap_before(lexer: &Lexer<'_>, end: usize, token: Token) -> Gap {
    if token.is(b'(') { lexer.gap_from(end, token) } else { Gap::None }
}

/// How many bytes two texts have in common at their beginnings.
fn common_len(one: &[u8], other: &[u8]) -> usize {
    let (blocks, other_blocks) = (one.as_chunks::<32>().0, other.as_chunks::<32>().0);
    let pairs = blocks.iter().zip(other_blocks);
    let start = 32 * pairs.take_while(|(block, other)| block == other).count();
    let tail = one.get(start..).unwrap_or_default();
    let other_tail = other.get(start..).unwrap_or_default();
    start + tail.iter().zip(other_tail).take_while(|(byte, other)| byte == other).count()
}

#[cfg(test)]
mod tests;
