//! What is known of texts, kept while they come again. An entry is for the exact bytes in
//! the exact reading mode and default schema; whoever has only their hash finds nothing.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::facts::SessionFacts;
use crate::lexer::LexMode;

/// Longest text that is kept, in bytes.
const LONGEST: usize = 16 * 1024;
/// Bytes of one generation; two are kept.
const GENERATION: usize = 4 * 1024 * 1024;
/// What a text takes beside its bytes, with what others leave about it; as measured, about.
const EACH: usize = 512;
/// Places of the table of texts seen once. A text is kept when it comes a second time: most
/// texts with literals in them never do.
const SEEN: usize = 4096;

/// A text's hash under this cache's secret, made once for finding and keeping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u64);

/// Shared by all sessions of one judge.
#[derive(Clone)]
pub(crate) struct Cache<T>(Arc<Inner<T>>);

struct Inner<T> {
    secret: foldhash::quality::RandomState,
    entries: Mutex<Entries<T>>,
}

/// By a hash that nobody can foretell: the map's own needn't be careful.
type Generation<T> = HashMap<u64, Entry<T>, foldhash::fast::FixedState>;

struct Entries<T> {
    young: Generation<T>,
    old: Generation<T>,
    /// Bytes of `young`.
    bytes: usize,
    seen: Box<[u64]>,
}

#[derive(Clone)]
struct Entry<T> {
    mode: LexMode,
    schema: Option<Bytes>,
    text: Bytes,
    known: T,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        let seen = vec![0; SEEN].into_boxed_slice();
        let entries =
            Entries { young: HashMap::default(), old: HashMap::default(), bytes: 0, seen };
        let secret = foldhash::quality::RandomState::default();
        Self(Arc::new(Inner { secret, entries: Mutex::new(entries) }))
    }
}

impl<T> Entry<T> {
    fn is_for(&self, facts: &SessionFacts, text: &[u8]) -> bool {
        self.mode == facts.lex_mode()
            && self.schema.as_deref() == facts.schema()
            && *self.text == *text
    }
}

impl<T: Clone> Cache<T> {
    /// Where the text stands, if it is one that may be kept.
    pub(crate) fn place(&self, facts: &SessionFacts, text: &[u8]) -> Option<Place> {
        let key = (facts.lex_mode(), facts.schema(), text);
        (text.len() <= LONGEST).then(|| Place(self.0.secret.hash_one(key)))
    }

    /// What is known of the text as this session reads it.
    pub(crate) fn find(&self, place: Place, facts: &SessionFacts, text: &[u8]) -> Option<T> {
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.young.get(&place.0) {
            return entry.is_for(facts, text).then(|| entry.known.clone());
        }
        let entry = entries.old.get(&place.0).filter(|entry| entry.is_for(facts, text))?.clone();
        let known = entry.known.clone();
        entries.keep(place, entry);
        Some(known)
    }

    /// Keeps what is known of the text, from its second time on.
    pub(crate) fn note(
        &self,
        place: Place,
        facts: &SessionFacts,
        text: &[u8],
        known: T,
    ) -> Option<T> {
        let mut entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if !entries.seen_before(place) {
            return None;
        }
        let entry = Entry {
            mode: facts.lex_mode(),
            schema: facts.schema_bytes(),
            // A copy: the text itself is a slice of a buffer that would be kept with it.
            text: Bytes::copy_from_slice(text),
            known: known.clone(),
        };
        entries.keep(place, entry);
        Some(known)
    }
}

impl<T> Entries<T> {
    fn keep(&mut self, place: Place, entry: Entry<T>) {
        let bytes = entry.text.len() + EACH;
        if self.bytes + bytes > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(place.0, entry);
    }

    fn seen_before(&mut self, Place(hash): Place) -> bool {
        let at = usize::try_from(hash % SEEN as u64).unwrap_or(0);
        self.seen.get_mut(at).is_some_and(|seen| std::mem::replace(seen, hash) == hash)
    }
}

/// Nothing of what is kept: a judge is shown to say what its policy is.
impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flavour, ServerVersion};

    const SERVER: ServerVersion = ServerVersion { flavour: Flavour::MariaDb, number: 101_100 };

    /// As if another text had its hash.
    #[test]
    fn whoever_has_only_the_hash_finds_nothing() {
        let cache = Cache::<usize>::default();
        let facts = |mode: &[u8], schema| SessionFacts::new(SERVER, mode, 45, schema).unwrap();
        let (own, text) = (facts(b"", Some(&b"clinical"[..])), b"SELECT a FROM t");
        let place = cache.place(&own, text).unwrap();
        cache.note(place, &own, text, 1);
        cache.note(place, &own, text, 1).unwrap();
        let elsewhere = facts(b"", Some(b"other"));
        let nowhere = facts(b"", None);
        let quoting = facts(b"ANSI_QUOTES", Some(b"clinical"));
        for generation in ["young", "old"] {
            assert_eq!(cache.find(place, &own, b"SELECT b FROM t"), None, "{generation}");
            for facts in [&elsewhere, &nowhere, &quoting] {
                assert_eq!(cache.find(place, facts, text), None, "{generation}: {facts:?}");
            }
            if generation == "young" {
                let mut entries = cache.0.entries.lock().unwrap();
                entries.old = std::mem::take(&mut entries.young);
            }
        }
        assert_eq!(cache.find(place, &own, text), Some(1));
    }

    #[test]
    fn small_texts_are_counted_with_what_they_take_beside_their_bytes() {
        let cache = Cache::<usize>::default();
        let facts = SessionFacts::new(SERVER, b"", 45, None).unwrap();
        for number in 0..50_000_usize {
            let text = number.to_be_bytes();
            let place = cache.place(&facts, &text).unwrap();
            cache.note(place, &facts, &text, number);
            cache.note(place, &facts, &text, number).unwrap();
        }
        let entries = cache.0.entries.lock().unwrap();
        assert!(entries.young.len() + entries.old.len() <= 2 * GENERATION / EACH);
    }

    #[test]
    fn old_texts_give_way() {
        let cache = Cache::<usize>::default();
        let facts = SessionFacts::new(SERVER, b"", 45, Some(b"clinical")).unwrap();
        let text = |number: usize| format!("{number:0>10000}");
        for number in 0..1000 {
            let text = text(number);
            let place = cache.place(&facts, text.as_bytes()).unwrap();
            cache.note(place, &facts, text.as_bytes(), number);
            cache.note(place, &facts, text.as_bytes(), number).unwrap();
        }
        let found = |number: usize| {
            let text = text(number);
            let place = cache.place(&facts, text.as_bytes()).unwrap();
            cache.find(place, &facts, text.as_bytes()).is_some()
        };
        assert!(!found(0));
        assert!(found(999));
        let entries = cache.0.entries.lock().unwrap();
        let bytes: usize = entries.old.values().map(|entry| entry.text.len()).sum();
        assert!(entries.bytes + bytes <= 2 * GENERATION);
    }
}
