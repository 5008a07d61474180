//! Texts that were recorded whole not long ago. One that comes later and differs from such a text
//! in one place, as a dashboard's do where a filter stands, is recorded as that record's sequence
//! and what stands in that place.

use std::sync::{Mutex, PoisonError};

use crate::mask;

/// Bytes of a text that decide where it is looked for.
const HEAD: usize = 32;
/// Longer texts are recorded whole, and are not kept.
const LONGEST: usize = 16 << 10;
/// Places, each for texts whose heads have one checksum.
const PLACES: usize = 64;
/// Texts of one place. All of them together take 4 MiB at most.
const PER_PLACE: usize = 4;

/// Shared by all sessions of a ledger.
pub(crate) struct WholeTexts(Box<[Mutex<Place>]>);

/// The newest first.
type Place = [Option<WholeText>; PER_PLACE];

/// A text, and the intent that holds it.
struct WholeText {
    sequence: u64,
    text: Box<[u8]>,
    /// Whether its record is known to hold it as it is, see [`WholeText::holds_as_it_is`].
    vetted: bool,
}

/// A text told by an earlier one: `head` bytes of its beginning, then other ones, then `tail`
/// bytes of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Likeness<'t> {
    /// Sequence of the intent that holds the earlier one whole.
    pub(crate) of: u64,
    pub(crate) head: usize,
    pub(crate) between: &'t str,
    pub(crate) tail: usize,
    /// Whether it is the same text, of which nothing is left out.
    pub(crate) is_same: bool,
}

impl Default for WholeTexts {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }
}

impl WholeTexts {
    /// How a text is told by the newest one that it is like.
    pub(crate) fn find<'t>(&self, text: &'t [u8]) -> Option<Likeness<'t>> {
        let mut place = self.place(text)?.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in place.iter_mut() {
            let Some(whole) = kept else { continue };
            let Some(like) = whole.tells(text) else { continue };
            if whole.holds_as_it_is() {
                return Some(like);
            }
            *kept = None;
        }
        None
    }

    /// Keeps a text that the intent of that number holds, uncut.
    pub(crate) fn keep(&self, sequence: u64, text: &[u8]) {
        let Some(place) = self.place(text) else { return };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        place.rotate_right(1);
        if let Some(newest) = place.first_mut() {
            *newest = Some(WholeText { sequence, text: text.into(), vetted: false });
        }
    }

    /// Forgets all texts.
    pub(crate) fn forget(&self) {
        for place in &self.0 {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Place::default();
        }
    }

    fn place(&self, text: &[u8]) -> Option<&Mutex<Place>> {
        let head = text.get(..HEAD).filter(|_| text.len() <= LONGEST)?;
        let checksum = usize::try_from(crc32fast::hash(head)).unwrap_or(0);
        self.0.get(checksum % PLACES)
    }
}

impl WholeText {
    /// Whether the record holds these very bytes, as text and with nothing masked; found out when
    /// it first counts, as most texts are never asked for. No word in it announces a password:
    /// so none of it is to be masked, whatever stands between its pieces.
    fn holds_as_it_is(&mut self) -> bool {
        let is_text = |text| std::str::from_utf8(text).is_ok();
        self.vetted = self.vetted || (is_text(&self.text) && !mask::announces_password(&self.text));
        self.vetted
    }

    /// What is told of a text if this one's record holds it as it is. `None` where that is less
    /// than half, where what is left is no UTF-8, and where a password may be announced in it.
    fn tells<'t>(&self, text: &'t [u8]) -> Option<Likeness<'t>> {
        let whole = &*self.text;
        let head = common_head(whole, text);
        let (whole_rest, rest) = (whole.get(head..)?, text.get(head..)?);
        let tail = common_tail(whole_rest, rest);
        // Between two characters of the whole text, and so of this one if the rest is whole too.
        let head = (0..=head).rev().find(|&at| is_boundary(whole, at))?;
        let tail = (0..=tail).rev().find(|at| is_boundary(whole, whole.len() - at))?;
        let end = text.len() - tail;
        let between = text.get(head..end)?;
        if between.len() > text.len() / 2 {
            return None;
        }
        // None of those words is in either piece, but one may begin or end in them.
        let reach = mask::LONGEST_ANNOUNCING - 1;
        let around = head.saturating_sub(reach)..text.len().min(end + reach);
        if mask::announces_password(text.get(around)?) {
            return None;
        }
        let between = std::str::from_utf8(between).ok()?;
        let is_same = head + tail == whole.len() && between.is_empty();
        Some(Likeness { of: self.sequence, head, between, tail, is_same })
    }
}

/// Whether a character may begin here, or the text ends.
fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

/// How many bytes two texts have in common at their beginnings.
fn common_head(one: &[u8], other: &[u8]) -> usize {
    let (blocks, other_blocks) = (one.as_chunks::<32>().0, other.as_chunks::<32>().0);
    let same_blocks = blocks.iter().zip(other_blocks).take_while(|(one, other)| one == other);
    let start = 32 * same_blocks.count();
    let rest = one.iter().skip(start).zip(other.iter().skip(start));
    start + rest.take_while(|(one, other)| one == other).count()
}

/// The same at their ends.
fn common_tail(one: &[u8], other: &[u8]) -> usize {
    let (blocks, other_blocks) = (one.as_rchunks::<32>().1, other.as_rchunks::<32>().1);
    let pairs = blocks.iter().rev().zip(other_blocks.iter().rev());
    let end = 32 * pairs.take_while(|(one, other)| one == other).count();
    let rest = one.iter().rev().skip(end).zip(other.iter().rev().skip(end));
    end + rest.take_while(|(one, other)| one == other).count()
}

/// The text that a likeness tells, from the one that it is like; `None` if that is another one.
pub(crate) fn told(whole: &str, head: u64, between: &str, tail: u64) -> Option<String> {
    let head = whole.get(..usize::try_from(head).ok()?)?;
    let tail = whole.get(whole.len().checked_sub(usize::try_from(tail).ok()?)?..)?;
    Some([head, between, tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty bytes that many texts begin with.
    const BEGIN: &str = "SELECT site, visit, result FROM results ";

    fn keeping(text: &str) -> WholeTexts {
        let texts = WholeTexts::default();
        texts.keep(7, text.as_bytes());
        texts
    }

    /// Held against the text itself.
    fn found<'t>(texts: &WholeTexts, whole: &str, text: &'t [u8]) -> Option<Likeness<'t>> {
        let like = texts.find(text)?;
        let [head, tail] = [like.head, like.tail].map(|len| u64::try_from(len).unwrap());
        let told = told(whole, head, like.between, tail).unwrap();
        assert_eq!(told.as_bytes(), text);
        assert_eq!(like.is_same, whole.as_bytes() == text);
        Some(like)
    }

    #[test]
    fn a_text_is_told_by_one_that_differs_in_one_place() {
        let whole = format!("{BEGIN}WHERE site = 'Łódź' AND visit = 12 ORDER BY 1");
        let texts = keeping(&whole);
        for (was, is) in [
            ("12", "13"),
            ("12", ""),
            ("12", "1212"),
            ("12", "12, 12, 12"),
            ("Łódź", "Łódż"),
            ("Łódź", "łódź"),
            ("ORDER BY 1", "ORDER BY 11"),
            ("ORDER BY 1", ""),
            ("results WHERE", "results"),
        ] {
            let text = whole.replace(was, is);
            let like = found(&texts, &whole, text.as_bytes());
            assert_eq!(like.unwrap_or_else(|| panic!("{text}")).of, 7);
        }
        assert!(found(&texts, &whole, whole.as_bytes()).unwrap().is_same);
    }

    #[test]
    fn what_repeats_at_the_seam_is_not_told_twice() {
        let whole = format!("{BEGIN}{}", "ab".repeat(40));
        let texts = keeping(&whole);
        for count in 30..60 {
            let text = format!("{BEGIN}{}", "ab".repeat(count));
            found(&texts, &whole, text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn cuts_of_characters_and_other_bytes_are_told_or_left_whole_but_never_wrong() {
        let whole = format!("{BEGIN}WHERE name IN ('é', '€', '😀', 'ä') -- {}", "x".repeat(60));
        let texts = keeping(&whole);
        let mut told = 0;
        for at in BEGIN.len()..whole.len() {
            for byte in [b'a', 0x80, 0xc3, 0xe2, 0xf0, 0xff] {
                let mut text = whole.clone().into_bytes();
                text[at] = byte;
                let like = found(&texts, &whole, &text);
                assert!(like.is_none() || std::str::from_utf8(&text).is_ok());
                told += usize::from(like.is_some());
                text.remove(at);
                found(&texts, &whole, &text);
            }
        }
        assert!(told > 60, "{told}");
    }

    #[test]
    fn a_text_that_may_hold_a_password_or_is_no_text_neither_tells_nor_is_told() {
        let announcing = format!("{BEGIN}IDENTIFIED BY 'sesame' {}", "x".repeat(90));
        assert!(keeping(&announcing).find(announcing.as_bytes()).is_none());
        let other_bytes = [BEGIN.as_bytes(), &[0xe9; 90]].concat();
        let texts = WholeTexts::default();
        texts.keep(7, &other_bytes);
        assert!(texts.find(&other_bytes).is_none());

        let whole = format!("{BEGIN}{} PASSWO AND IDENTIFI {}", "x".repeat(90), "y".repeat(90));
        let texts = keeping(&whole);
        for (was, is) in
            [("PASSWO", "PASSWORD"), ("IDENTIFI ", "IDENTIFIED "), ("AND", "passwords")]
        {
            assert!(texts.find(whole.replace(was, is).as_bytes()).is_none(), "{is}");
        }
        assert!(texts.find(whole.replace("AND", "OR").as_bytes()).is_some());
    }

    #[test]
    fn little_in_common_other_heads_and_long_texts_are_left_whole() {
        let whole = format!("{BEGIN}{}", "x".repeat(100));
        let texts = keeping(&whole);
        assert!(texts.find(format!("{BEGIN}{}", "y".repeat(100)).as_bytes()).is_none());
        assert!(texts.find(whole.to_lowercase().as_bytes()).is_none());
        assert!(texts.find(b"").is_none());
        let long = format!("{BEGIN}{}", "x".repeat(LONGEST));
        assert!(keeping(&long).find(long.as_bytes()).is_none());
    }

    #[test]
    fn the_newest_is_tried_first_and_the_oldest_is_given_up() {
        let texts = WholeTexts::default();
        let text = |number: usize| format!("{BEGIN}{}", format!("{number:04}").repeat(30));
        for number in 0..=PER_PLACE {
            texts.keep(u64::try_from(number).unwrap(), text(number).as_bytes());
        }
        assert!(texts.find(text(0).as_bytes()).is_none());
        assert_eq!(texts.find(text(1).as_bytes()).unwrap().of, 1);
        texts.keep(99, text(1).as_bytes());
        assert_eq!(texts.find(text(1).as_bytes()).unwrap().of, 99);
    }
}
