//! Texts that were judged plain reads, so that a dashboard's next refresh isn't judged
//! again; and what texts name that differ in their values alone. An entry is for the exact text in the exact reading mode and default schema; it
//! lives inside one judge, so under one policy.
//!
//! Only reads that change nothing in the session are kept: what such a verdict depends on
//! is the key and the judge, nothing else of the session.
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::facts::SessionFacts;
use crate::lexer::LexMode;
use crate::verdict::StatementKind;

/// Longest text that is kept, in bytes.
const LONGEST: usize = 16 * 1024;
/// Bytes of texts in one generation; two are kept.
const GENERATION: usize = 2 * 1024 * 1024;
/// Places of the table of texts seen once. A text is kept when it comes a second time: most
/// texts with literals in them never do.
const SEEN: usize = 4096;

/// What others have found out about a text, kept beside its entry.
pub(crate) type Memo = Arc<OnceLock<Arc<dyn Any + Send + Sync>>>;

/// What stands in the memo, or what `make` makes, which then does.
pub(crate) fn remember<T: Any + Send + Sync>(
    memo: Option<&Memo>,
    make: impl FnOnce() -> T,
) -> Arc<T> {
    let Some(memo) = memo else { return Arc::new(make()) };
    if let Some(kept) = memo.get() {
        return Arc::downcast(Arc::clone(kept)).unwrap_or_else(|_| Arc::new(make()));
    }
    let made = Arc::new(make());
    let _ = memo.set(Arc::clone(&made) as Arc<dyn Any + Send + Sync>);
    made
}

/// What stands in the memo.
pub(crate) fn recall<T: Any + Send + Sync>(memo: &Memo) -> Option<Arc<T>> {
    Arc::downcast(Arc::clone(memo.get()?)).ok()
}

/// A text's hash under this cache's secret, made once for finding and keeping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u64);

/// What is known of a text that was judged.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) kind: StatementKind,
    pub(crate) memo: Memo,
}

/// Shared by all sessions of one judge.
#[derive(Clone)]
pub(crate) struct Cache<T>(Arc<Inner<T>>);

struct Inner<T> {
    secret: foldhash::quality::RandomState,
    entries: Mutex<Entries<T>>,
}

struct Entries<T> {
    young: HashMap<u64, Entry<T>>,
    old: HashMap<u64, Entry<T>>,
    /// Bytes of texts in `young`.
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
        let entries = Entries { young: HashMap::new(), old: HashMap::new(), bytes: 0, seen };
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
        if self.bytes + entry.text.len() > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += entry.text.len();
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
    use crate::{Flavour, Judge, Policy, ServerVersion, Verdict};

    const SERVER: ServerVersion = ServerVersion { flavour: Flavour::MariaDb, number: 101_100 };

    fn facts(mode: &str, schema: &str) -> SessionFacts {
        SessionFacts::new(SERVER, mode.as_bytes(), 45, Some(schema.as_bytes())).unwrap()
    }

    fn rule(judge: &Judge, facts: &SessionFacts, text: &str) -> &'static str {
        match judge.judge(facts, Bytes::copy_from_slice(text.as_bytes())) {
            Verdict::Allow(permit) => permit.kind().as_str(),
            Verdict::Deny(denial) => denial.rule,
            other @ (Verdict::Absorb(_) | Verdict::Own(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_that_is_kept_is_judged_anew_where_the_session_reads_it_otherwise() {
        let judge = Judge::new(SERVER, Policy::default());
        let text = r"SELECT 'a\' INTO OUTFILE ''f'' -- '";
        for _ in 0..4 {
            assert_eq!(rule(&judge, &facts("", "clinical"), text), "select");
        }
        let without_escapes = facts("NO_BACKSLASH_ESCAPES", "clinical");
        assert_ne!(rule(&judge, &without_escapes, text), "select");
    }

    #[test]
    fn a_text_that_is_kept_is_judged_anew_in_another_schema_and_by_another_judge() {
        let schemas = Some(vec![String::from("clinical")]);
        let narrow = Judge::new(SERVER, Policy { schemas, ..Policy::default() });
        let text = "SELECT * FROM visits";
        for _ in 0..4 {
            assert_eq!(rule(&narrow, &facts("", "clinical"), text), "select");
            assert_eq!(rule(&narrow, &facts("", "payroll"), text), "schema");
        }
    }

    #[test]
    fn what_was_found_out_is_kept_from_the_second_time_on() {
        let judge = Judge::new(SERVER, Policy::default());
        let facts = facts("", "clinical");
        let mut made = 0;
        for _ in 0..5 {
            let Verdict::Allow(permit) = judge.judge(&facts, Bytes::from_static(b"SELECT 1"))
            else {
                panic!("refused");
            };
            let found = permit.remember(|| {
                made += 1;
                String::from("found")
            });
            assert_eq!(*found, "found");
        }
        assert_eq!(made, 2, "once before it was kept, once for all after that");
    }

    #[test]
    fn old_texts_give_way() {
        let cache = Cache::<usize>::default();
        let facts = facts("", "clinical");
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
