//! Takes passwords out of statement texts before they are recorded, also out of texts
//! that no server would parse: every string literal that follows `IDENTIFIED BY`, and what
//! follows `PASSWORD` as a value. Where it isn't certain what is a literal it rather masks too
//! much; where it is, the values of a read stay, for they are evidence. Passwords in addresses
//! (`mysql://user:password@host`) go wherever they stand.

use std::borrow::Cow;
use std::sync::LazyLock;

use aho_corasick::packed::Searcher;
use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

mod lex;
mod masked;
mod unquoted;
mod url;

use lex::{after_blanks, blank_len, comment_len, is_name_byte, starts_with_word};
use masked::Masked;

/// What stands in a record for a password.
const MASK: &[u8] = b"'***'";

/// Words that announce a password, wherever they stand: `MASTER_PASSWORD`,
/// `SOURCE_PASSWORD`, `IDENTIFIED BY`, `SET PASSWORD`.
static ANNOUNCES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasickBuilder::new();
    builder.ascii_case_insensitive(true).build(["password", "identified"]).ok()
});

/// Which of the two it is.
const PASSWORD: usize = 0;

/// The end of the function's name to which a password is given to be judged.
const STRENGTH: &[u8] = b"_strength";

/// Bytes of the longest such word.
pub(crate) const LONGEST_ANNOUNCING: usize = "identified".len();

/// Pairs of letters without which nothing announces a password; few texts hold one, and many
/// bytes at once are searched for them. `None` on processors where that can't be done.
static PAIRS: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new(["sw", "sW", "Sw", "SW", "fi", "fI", "Fi", "FI", ":/"]));

/// Whether a word that announces a password may be there, or an address.
fn may_announce(text: &[u8]) -> bool {
    PAIRS.as_ref().is_none_or(|pairs| pairs.find(text).is_some())
}

/// Whether a word that announces a password is there, or an address. Without one nothing is
/// masked.
pub(crate) fn announces_password(text: &[u8]) -> bool {
    may_announce(text)
        && (ANNOUNCES.as_ref().is_none_or(|words| words.is_match(text)) || url::is_in(text))
}

/// Whether the ledger masks something in the text, or in what is bound to it. What a server says
/// of such a text, which quotes it, is to be kept nowhere either.
pub fn tells_password(text: &[u8]) -> bool {
    announces_password(text) && {
        let masked = mask(text);
        masked.text != text || !masked.secret.is_empty()
    }
}

/// Which parameters of a statement to prepare, which has `count` of them, stand where a password
/// would: those that are bound to them are no more to be recorded than it. In order.
pub fn password_parameters(text: &[u8], count: u16) -> Vec<u16> {
    if count == 0 || !announces_password(text) {
        return Vec::new();
    }
    let masked = mask(text);
    match masked.parameters == usize::from(count) {
        true => masked.secret,
        // The server counts others: which they are can't be told.
        false => (0..count).collect(),
    }
}

/// The text with passwords masked; borrowed if there is none.
pub fn passwords(text: &[u8]) -> Cow<'_, [u8]> {
    if !announces_password(text) {
        return Cow::Borrowed(text);
    }
    let masked = mask(text).text;
    if masked == text { Cow::Borrowed(text) } else { Cow::Owned(masked) }
}

fn mask(text: &[u8]) -> Masked {
    let mut masked = Masked::default();
    match lex::is_certain(text) {
        true => mask_code(text, &mut masked),
        false => mask_anywhere(text, &mut masked),
    }
    masked.text = url::without_passwords(masked.text);
    masked
}

/// Masks what words announce, but not what literals only tell of.
fn mask_code(text: &[u8], masked: &mut Masked) {
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        rest = match byte {
            b'\'' | b'"' => pass_literal(rest, masked),
            b'`' => pass_name(rest, lex::quoted_name_len(rest), masked),
            b'?' => {
                masked.push_parameter(false);
                rest.get(1..).unwrap_or_default()
            }
            _ if is_name_byte(byte) => pass_word(rest, masked),
            _ => match comment_len(rest) {
                Some(len) => {
                    // A statement that somebody has commented out has its password still.
                    let (comment, after) = rest.split_at(len.min(rest.len()));
                    let mut inner = Masked::default();
                    mask_anywhere(comment, &mut inner);
                    masked.extend_from_slice(&inner.text);
                    after
                }
                None => copy(rest, 1, masked),
            },
        };
    }
}

/// Copies what stands at the beginning of `text`; returns the rest.
fn copy<'a>(text: &'a [u8], len: usize, masked: &mut Masked) -> &'a [u8] {
    let (copied, rest) = text.split_at(len.min(text.len()));
    masked.extend_from_slice(copied);
    rest
}

/// A literal that nothing has announced: a value of a read, or a statement to prepare.
fn pass_literal<'a>(text: &'a [u8], masked: &mut Masked) -> &'a [u8] {
    let len = lex::literal_len(text).unwrap_or(text.len());
    match holds_password(text.get(1..len.saturating_sub(1)).unwrap_or_default()) {
        true => masked.extend_from_slice(MASK),
        // Where ANSI_QUOTES holds, it is a name.
        false => return pass_name(text, len, masked),
    }
    text.get(len..).unwrap_or_default()
}

/// Whether a literal is itself a statement, or settings, with a password in it.
fn holds_password(inside: &[u8]) -> bool {
    let Some(words) = ANNOUNCES.as_ref() else {
        return true;
    };
    let last_quote = memchr::memrchr2(b'\'', b'"', inside);
    let last_hex = memchr::memmem::rfind(inside, b"0x");
    words.find_iter(inside).any(|word| {
        let is_before = |at: Option<usize>| at.is_some_and(|at| at >= word.end());
        let next = behind_password(inside.get(word.end()..).unwrap_or_default()).trim_ascii_start();
        let names = word.pattern().as_usize() == PASSWORD;
        if names && !starts_with_word(next, b"for") {
            let marks = matches!(next.first(), Some(b'=' | b':' | b'(' | b'\'' | b'"' | b'\\'));
            return marks || next.starts_with(b"/*");
        }
        is_before(last_quote) || (!names && is_before(last_hex))
    })
}

/// A word, and what it announces.
fn pass_word<'a>(text: &'a [u8], masked: &mut Masked) -> &'a [u8] {
    let len = text.iter().take_while(|byte| is_name_byte(**byte)).count();
    let (word, after) = text.split_at_checked(len).unwrap_or((text, &[]));
    if word.eq_ignore_ascii_case(b"identified") && takes_password(after) {
        masked.extend_from_slice(word);
        return match unquoted::behind_identified(after) {
            Some(at) => mask_rest(after, at, masked),
            None => mask_literals(after, true, masked),
        };
    }
    if word.eq_ignore_ascii_case(b"password")
        && masked.ends_with_word(b"set")
        && let Some(at) = unquoted::behind_set_password(after)
    {
        masked.extend_from_slice(word);
        return mask_rest(after, at, masked);
    }
    pass_name(text, len, masked)
}

/// Masks all from there on, and literals before.
fn mask_rest<'a>(text: &'a [u8], at: usize, masked: &mut Masked) -> &'a [u8] {
    mask_literals(text.get(..at).unwrap_or_default(), true, masked);
    masked.extend_from_slice(MASK);
    &[]
}

/// A name, quoted or not: `MASTER_PASSWORD` announces as `PASSWORD` does.
fn pass_name<'a>(text: &'a [u8], len: usize, masked: &mut Masked) -> &'a [u8] {
    let (name, after) = text.split_at_checked(len).unwrap_or((text, &[]));
    masked.extend_from_slice(name);
    // Without its closing quote.
    let end = name.iter().rposition(|byte| is_name_byte(*byte)).map_or(0, |last| last + 1);
    let name = name.get(..end).unwrap_or_default();
    match ends_with(name, b"password") || ends_with(name, [b"password", STRENGTH].concat()) {
        true => mask_literals(after, takes_account(after), masked),
        false => after,
    }
}

fn ends_with(name: &[u8], end: impl AsRef<[u8]>) -> bool {
    let end = end.as_ref();
    let at = name.len().checked_sub(end.len());
    at.and_then(|at| name.get(at..)).is_some_and(|last| last.eq_ignore_ascii_case(end))
}

/// What follows `PASSWORD`, or `VALIDATE_PASSWORD_STRENGTH`, of which that is a part.
fn behind_password(after: &[u8]) -> &[u8] {
    match after.split_at_checked(STRENGTH.len()) {
        Some((end, rest)) if end.eq_ignore_ascii_case(STRENGTH) => rest,
        Some(_) | None => after,
    }
}

/// For what can't be told into words and literals: what follows any of the words, wherever it
/// stands.
fn mask_anywhere(text: &[u8], masked: &mut Masked) {
    // Two fixed words always build; without them everything would be masked.
    let Some(words) = &*ANNOUNCES else {
        return masked.extend_from_slice(MASK);
    };
    let mut rest = text;
    while let Some(word) = words.find(rest) {
        let begins =
            !rest.get(..word.start()).and_then(<[u8]>::last).is_some_and(|b| is_name_byte(*b));
        let after = copy(rest, word.end(), masked);
        rest = match word.pattern().as_usize() {
            PASSWORD => {
                let end = after.len() - behind_password(after).len();
                let after = copy(after, end, masked);
                mask_literals(after, takes_account(after), masked)
            }
            _ if begins && takes_password(after) => mask_literals(after, true, masked),
            _ => after,
        };
    }
    masked.extend_from_slice(rest);
}

/// `PASSWORD FOR 'user'@'host' = '...'`: which literal is the password is not worth
/// guessing.
fn takes_account(after: &[u8]) -> bool {
    after_blanks(after).is_none_or(|next| starts_with_word(next, b"for"))
}

/// `IDENTIFIED BY`, `WITH`, `VIA`, or the `BY` forgotten; not a column of that name.
fn takes_password(after: &[u8]) -> bool {
    let Some(next) = after_blanks(after) else {
        return true;
    };
    let words: [&[u8]; 3] = [b"by", b"with", b"via"];
    words.iter().any(|word| starts_with_word(next, word))
        || matches!(next.first(), Some(b'\'' | b'"'))
        || next.starts_with(b"0x")
}

/// Copies `text` to `masked`, the literals in it replaced: all up to a semicolon, or one
/// that stands where a value is given, and the one it replaces. Returns what it has not
/// looked at.
fn mask_literals<'a>(text: &'a [u8], mut all: bool, masked: &mut Masked) -> &'a [u8] {
    let mut rest = text;
    // A value comes: anything but a plain literal, such as a call, is masked whole.
    let mut value = false;
    while let Some((&byte, tail)) = rest.split_first() {
        let mut len = blank_len(rest).unwrap_or(1);
        match byte {
            b'\'' | b'"' => {
                masked.extend_from_slice(MASK);
                // Where its end isn't certain, everything after it may be the password's.
                let len = lex::literal_len(rest).unwrap_or(rest.len());
                rest = rest.get(len..).unwrap_or_default();
                // `SET PASSWORD = '...' REPLACE '...'`
                all |= after_blanks(rest).is_none_or(|next| starts_with_word(next, b"replace"));
                if !all {
                    return rest;
                }
                continue;
            }
            b'?' => {
                masked.push_parameter(true);
                rest = tail;
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
            b'`' => len = lex::quoted_name_len(rest),
            _ if all || len > 1 || byte.is_ascii_whitespace() => {}
            // An escaped quote, within a statement that stands in a literal.
            b'\\' if matches!(tail.first(), Some(b'\'' | b'"')) => {}
            _ if value => all = true,
            _ => return rest,
        }
        len = len.min(rest.len());
        masked.extend_from_slice(rest.get(..len).unwrap_or_default());
        rest = rest.get(len..).unwrap_or_default();
    }
    rest
}

#[cfg(test)]
mod tests;
