//! Where a run of bytes ends, eight bytes at a time: names, white space, and what stands inside
//! quotes. Each is told by a mask over a word of eight bytes and, for the last few of a text, by
//! the table or comparison that the mask stands for; tests hold the two against each other.

use super::{is_name_byte, is_space};

/// The highest bit of each byte.
const TOP: u64 = 0x8080_8080_8080_8080;

/// A word whose bytes are all this one.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The top bit of each byte that is ASCII and at least this; others may hold anything.
const fn at_least(low: u64, least: u8) -> u64 {
    low + all(0x80 - least)
}

/// The top bit of each byte that isn't this ASCII byte, given words without top bits.
const fn differs(low: u64, byte: u8) -> u64 {
    (low ^ all(byte)) + all(0x7f)
}

/// From `at` on, the first byte that is no ASCII byte of a name; the text's end if there is none.
#[inline(always)]
pub(super) fn name_end(text: &[u8], at: usize) -> usize {
    let stops = |word: u64| {
        let low = word & !TOP;
        let folded = low | all(0x20);
        let letter = at_least(folded, b'a') & !at_least(folded, b'z' + 1);
        let digit = at_least(low, b'0') & !at_least(low, b'9' + 1);
        let other = !(differs(low, b'_') & differs(low, b'$'));
        (word | !(letter | digit | other)) & TOP
    };
    end_of_run(text, at, stops, |byte| byte >= 0x80 || !is_name_byte(byte))
}

/// From `at` on, the first byte that is no white space; the text's end if there is none.
#[inline(always)]
pub(super) fn space_end(text: &[u8], at: usize) -> usize {
    // Mostly there is none or one blank; no white space is above it.
    match text.get(at) {
        None | Some(b'!'..) => at,
        Some(b' ') if matches!(text.get(at + 1), Some(b'!'..)) => at + 1,
        Some(_) => long_space_end(text, at),
    }
}

#[inline(never)]
fn long_space_end(text: &[u8], at: usize) -> usize {
    let stops = |word: u64| {
        let low = word & !TOP;
        let control = at_least(low, b'\t') & !at_least(low, b'\r' + 1);
        (word | !(control | !differs(low, b' '))) & TOP
    };
    end_of_run(text, at, stops, |byte| !is_space(byte))
}

/// From `at` on, the first byte that means something inside quotes: the quote itself, `other`
/// (a backslash, or the NUL that no name has), or one that isn't ASCII.
#[inline(always)]
pub(super) fn quoted_end(text: &[u8], at: usize, quote: u8, other: u8) -> usize {
    let stops = |word: u64| {
        let low = word & !TOP;
        (word | !(differs(low, quote) & differs(low, other))) & TOP
    };
    end_of_run(text, at, stops, |byte| byte == quote || byte == other || byte >= 0x80)
}

/// From `at` on, the first byte that is no digit; the text's end if there is none.
#[inline(always)]
pub(super) fn digits_end(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    at
}

#[inline(always)]
fn end_of_run(
    text: &[u8],
    mut at: usize,
    stops: impl Fn(u64) -> u64,
    is_stop: impl Fn(u8) -> bool,
) -> usize {
    while let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = stops(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|&byte| !is_stop(byte)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each byte at each place behind bytes that go on: the place that is found.
    fn holds(goes_on: u8, find: impl Fn(&[u8], usize) -> usize, is_stop: impl Fn(u8) -> bool) {
        for byte in 0..=u8::MAX {
            for next in [goes_on, byte, 0, 0x7f, 0x80, 0xff] {
                for place in 0..18 {
                    let mut text = vec![goes_on; 18];
                    text[place] = byte;
                    if let Some(after) = text.get_mut(place + 1) {
                        *after = next;
                    }
                    for start in [0, 1, place, place + 1] {
                        let slowly = text.iter().skip(start).position(|&byte| is_stop(byte));
                        let end = slowly.map_or(text.len(), |len| start + len);
                        assert_eq!(find(&text, start), end, "{byte:#x} {next:#x} at {place}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_run_ends_where_it_does_byte_by_byte() {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
        for goes_on in [b'a', b'Z', b'0', b'_', b'$'] {
            holds(goes_on, name_end, |byte| !is_name(byte));
        }
        for goes_on in [b' ', b'\n', b'\t', b'\r'] {
            holds(goes_on, space_end, |byte| !is_space(byte));
        }
        for quote in [b'\'', b'"', b'`'] {
            for other in [b'\\', 0] {
                let is_stop = |byte: u8| byte == quote || byte == other || byte >= 0x80;
                holds(b'x', |text, at| quoted_end(text, at, quote, other), is_stop);
            }
        }
    }
}
