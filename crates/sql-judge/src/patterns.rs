//! Patterns that new texts are tried on, found by how a text begins: a dashboard's queries
//! differ where their filters stand. What begins alike need not be alike; [`Pattern::fits`]
//! tells.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::facts::SessionFacts;
use crate::lexer::pattern::{Patience, Pattern, SHORTEST};
use crate::lexer::skeleton::Skeleton;

/// Bytes of a text that decide where it is looked for.
const HEAD: usize = 64;
/// Places, each for texts whose heads have one hash.
const PLACES: usize = 64;
/// Patterns of one place. With them all texts kept are at most 4 MiB.
const PER_PLACE: usize = 4;

/// Shared by all sessions of one judge.
pub(crate) struct Patterns<T>(Arc<Inner<T>>);

struct Inner<T> {
    secret: foldhash::quality::RandomState,
    places: Box<[Mutex<Place<T>>]>,
}

/// The newest first.
type Place<T> = [Option<Arc<Kept<T>>>; PER_PLACE];

struct Kept<T> {
    schema: Option<Bytes>,
    pattern: Pattern,
    known: T,
}

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { secret: foldhash::quality::RandomState::default(), places }))
    }
}

impl<T> Clone for Patterns<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Patterns<T> {
    /// What is known of texts of the same skeleton as this one, read as this session reads it,
    /// if a pattern tells.
    pub(crate) fn find(&self, facts: &SessionFacts, text: &[u8]) -> Option<T> {
        let place = self.place(facts, text)?.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut patience = Patience::with(text);
        let mut fits = |kept: &&Arc<Kept<T>>| {
            kept.schema.as_deref() == facts.schema()
                && kept.pattern.fits(facts.lex_mode(), text, &mut patience)
        };
        place.iter().flatten().find(|kept| fits(kept)).map(|kept| kept.known.clone())
    }

    /// Keeps what is known of texts of this skeleton, in the place of an older pattern.
    pub(crate) fn keep(&self, facts: &SessionFacts, text: &[u8], skeleton: Skeleton, known: &T) {
        let Some(place) = self.place(facts, text) else { return };
        let pattern = Pattern::new(facts.lex_mode(), text, skeleton);
        let kept = Kept { schema: facts.schema_bytes(), pattern, known: known.clone() };
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        place.rotate_right(1);
        if let Some(newest) = place.first_mut() {
            *newest = Some(Arc::new(kept));
        }
    }

    fn place(&self, facts: &SessionFacts, text: &[u8]) -> Option<&Mutex<Place<T>>> {
        let head = text.get(..HEAD).filter(|_| text.len() >= SHORTEST)?;
        let hash = self.0.secret.hash_one((facts.lex_mode(), facts.schema(), head));
        self.0.places.get(usize::try_from(hash % PLACES as u64).unwrap_or(0))
    }
}

/// Nothing of what is kept, as with [`crate::cache::Cache`].
impl<T> fmt::Debug for Patterns<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patterns")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Flavour, ServerVersion};

    const SERVER: ServerVersion = ServerVersion { flavour: Flavour::MariaDb, number: 101_100 };

    /// What a text names depends on the schema. Of so many schemas some have the pattern's place.
    #[test]
    fn a_pattern_is_for_its_schema_and_mode_alone() {
        let facts = |mode: &[u8], schema: Option<&str>| {
            SessionFacts::new(SERVER, mode, 45, schema.map(str::as_bytes)).unwrap()
        };
        let text =
            |value| format!("SELECT {} FROM visits WHERE n = {value}", "a, ".repeat(100) + "b");
        let own = facts(b"", Some("clinical"));
        let patterns = Patterns::default();
        let first = text(1);
        let skeleton = Skeleton::of(own.lex_mode(), first.as_bytes()).unwrap();
        patterns.keep(&own, first.as_bytes(), skeleton, &"of clinical");
        let find = |facts: &SessionFacts| patterns.find(facts, text(2).as_bytes());
        assert_eq!(find(&own), Some("of clinical"));
        assert_eq!(patterns.find(&own, text(2).replace("visits", "people").as_bytes()), None);
        assert_eq!(find(&facts(b"", None)), None);
        for number in 0..2_000 {
            let schema = format!("clinical{number}");
            assert_eq!(find(&facts(b"", Some(&schema))), None, "{schema}");
        }
        for mode in ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "IGNORE_SPACE"] {
            assert_eq!(find(&facts(mode.as_bytes(), Some("clinical"))), None, "{mode}");
        }
    }
}
