//! Words that are none of the reserved ones, in places where the grammar wants one of its own.

use crate::lexer::keyword::Keyword as K;
use crate::lexer::token::{Kind, Token};
use crate::walk::Name;

/// Words behind which another one follows that is no column.
const BEFORE: [K; 8] = [K::COLLATE, K::USING, K::CHARSET, K::SET, K::OVER, K::IS, K::SHOW, K::WITH];

/// What a literal behind them is, as a character set says too; other names have it as their alias.
const LITERAL_TYPES: [&str; 3] = ["DATE", "TIME", "TIMESTAMP"];

const UNITS: [&str; 9] =
    ["MICROSECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];

/// Functions whose first argument is a unit or a sort of time.
const OF_UNITS: [&str; 4] = ["TIMESTAMPDIFF", "TIMESTAMPADD", "GET_FORMAT", "EXTRACT"];

/// Whether the word is a unit of time, whatever its case.
pub(super) fn is_unit(word: &[u8]) -> bool {
    is_one_of(word, &UNITS)
}

/// Whether this name, a single word, belongs to the grammar. `depth` is that of the parentheses in
/// the text, `bytes` gives a token's.
pub(super) fn is_word_of_grammar<'t>(
    name: &Name,
    depth: usize,
    bytes: impl Fn(Token) -> &'t [u8],
) -> bool {
    let [before, earlier] = name.before;
    let next = name.next;
    let word = bytes(name.path.first());
    let is = |known: &[&str]| is_one_of(word, known);
    let word_of = |token: Token| if token.is_name() { bytes(token) } else { b"" };
    let is_before = |known: &[&str]| is_one_of(word_of(before), known);
    let opens = before.is(b'(');
    // `SUBSTRING(a FROM 1 FOR b)` has a value behind FOR.
    let is_behind_for = before.is_word(K::FOR) && (name.is_query || depth == 0);
    let is_literal = next.kind == Kind::Text && (word.starts_with(b"_") || is(&LITERAL_TYPES));
    let is_of_function = opens && is_one_of(word_of(earlier), &OF_UNITS);
    // `OVER (w ORDER BY a)`, `WINDOW v AS (w)`
    let is_window = opens && (earlier.is_word(K::OVER) || earlier.is_word(K::AS));
    let ends = next.kind != Kind::Symbol || next.is(b')') || next.is(b',');
    // `NULL ON EMPTY ERROR ON ERROR`
    let is_of_json = is(&["EMPTY", "ERROR"])
        && (next.is_word(K::ON) || (before.is_word(K::ON) && ends && !name.is_query));
    BEFORE.iter().any(|&keyword| before.is_word(keyword))
        || is_behind_for
        || before.is(b'{')
        || next.is(b'(')
        || is_literal
        || is_of_function
        || is_window
        || is_of_json
        || is_before(&["NATURAL", "FETCH", "ROWS"])
        || (is(&["NULLS"]) && is_before(&["IGNORE", "RESPECT"]))
        || (is(&["UNKNOWN"]) && before.is_word(K::NOT) && earlier.is_word(K::IS))
        || (is(&["CURRENT"]) && next.is_word(K::ROW))
        || (is(&["UNBOUNDED"]) && is_one_of(word_of(next), &["PRECEDING", "FOLLOWING"]))
        || (is(&["BOOLEAN"]) && is_one_of(word_of(next), &["MODE"]))
}

fn is_one_of(word: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}
