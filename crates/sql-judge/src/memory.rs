//! What a judge remembers: texts that were judged plain reads, so that a dashboard's next
//! refresh isn't judged again, skeletons of such texts, so that neither is the next one with
//! other values in it, and patterns, which spare most texts of a known skeleton being lexed to
//! their ends. Lives inside one judge, so under one policy and its limits.
//!
//! Only reads that change nothing in the session are kept, and only if all that the verdict
//! depends on is in the key: [`Looked`] tells.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::cache::{Cache, Place};
use crate::facts::SessionFacts;
use crate::lexer::sight::Looked;
use crate::lexer::skeleton::Skeleton;
use crate::patterns::Patterns;
use crate::verdict::StatementKind;

/// What others have found out.
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

/// Where others leave what they find out about a text, if it is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memos {
    /// About this very text.
    pub(crate) text: Option<Memo>,
    /// About all texts of its skeleton.
    pub(crate) alike: Option<Memo>,
}

impl Memos {
    /// Of a text that is about to be kept.
    fn of_text(alike: Option<&Memo>) -> Self {
        Self { text: Some(Memo::default()), alike: alike.cloned() }
    }
}

/// What is kept of a read that changes nothing that judging goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainRead {
    pub(crate) kind: StatementKind,
    pub(crate) runs_routine: bool,
}

/// A text that is a plain read.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) read: PlainRead,
    pub(crate) memos: Memos,
}

/// Texts of one skeleton.
#[derive(Debug, Clone, Default)]
struct Alike {
    /// What they are if all of them are plain reads.
    read: Option<PlainRead>,
    memo: Memo,
}

/// Texts of one skeleton that are plain reads, all of them.
#[derive(Debug, Clone)]
struct Reads {
    read: PlainRead,
    memo: Memo,
}

/// Shared by all sessions of one judge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    verdicts: Cache<Known>,
    skeletons: Cache<Alike>,
    patterns: Patterns<Reads>,
}

/// A text that must be judged, and where the verdict on it would be kept.
pub(crate) struct Unknown<'t> {
    text: &'t [u8],
    place: Option<Place>,
    skeleton: Option<(Skeleton, Place)>,
    /// What others have found out about such texts.
    alike: Option<Memo>,
}

impl Memory {
    /// What is known of the text as this session reads it.
    pub(crate) fn recall<'t>(
        &self,
        facts: &SessionFacts,
        text: &'t [u8],
    ) -> Result<Known, Unknown<'t>> {
        let place = self.verdicts.place(facts, text);
        if let Some(known) = place.and_then(|place| self.verdicts.find(place, facts, text)) {
            return Ok(known);
        }
        if let Some(reads) = self.patterns.find(facts, text) {
            return Ok(self.one_of(reads, place, facts, text));
        }
        let skeleton = Skeleton::of(facts.lex_mode(), text).and_then(|skeleton| {
            let place = self.skeletons.place(facts, skeleton.bytes())?;
            Some((skeleton, place))
        });
        let Some((skeleton, skeleton_place)) = skeleton else {
            return Err(Unknown { text, place, skeleton: None, alike: None });
        };
        match self.skeletons.find(skeleton_place, facts, skeleton.bytes()) {
            None => {
                let skeleton = Some((skeleton, skeleton_place));
                Err(Unknown { text, place, skeleton, alike: None })
            }
            Some(Alike { read: None, memo }) => {
                Err(Unknown { text, place, skeleton: None, alike: Some(memo) })
            }
            Some(Alike { read: Some(read), memo }) => {
                let reads = Reads { read, memo };
                self.patterns.keep(facts, text, skeleton, &reads);
                Ok(self.one_of(reads, place, facts, text))
            }
        }
    }

    /// A text that has the skeleton of these reads, kept from its second time on.
    fn one_of(
        &self,
        reads: Reads,
        place: Option<Place>,
        facts: &SessionFacts,
        text: &[u8],
    ) -> Known {
        let Reads { read, memo } = reads;
        let known = Known { read, memos: Memos::of_text(Some(&memo)) };
        let kept = place.and_then(|place| self.verdicts.note(place, facts, text, known));
        kept.unwrap_or(Known { read, memos: Memos { text: None, alike: Some(memo) } })
    }

    /// Keeps that the text was judged a read: a plain one if that is given, and then by
    /// looking at this.
    pub(crate) fn keep(
        &self,
        facts: &SessionFacts,
        unknown: Unknown<'_>,
        plain: Option<PlainRead>,
        looked: &Looked,
    ) -> Memos {
        let Unknown { text, place, skeleton, alike } = unknown;
        let plain = plain.filter(|_| !looked.at_session());
        let read = plain.filter(|_| !looked.at_values());
        let alike = alike.or_else(|| {
            let (skeleton, place) = skeleton?;
            let texts = Alike { read, memo: Memo::default() };
            let kept = self.skeletons.note(place, facts, skeleton.bytes(), texts)?;
            Some(kept.memo)
        });
        let known = plain.map(|read| Known { read, memos: Memos::of_text(alike.as_ref()) });
        let kept = place
            .zip(known)
            .and_then(|(place, known)| self.verdicts.note(place, facts, text, known));
        kept.map_or(Memos { text: None, alike }, |kept| kept.memos)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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
    fn what_was_found_out_about_a_text_is_not_for_its_like() {
        let judge = Judge::new(SERVER, Policy::default());
        let facts = facts("", "clinical");
        let found = |text: &'static str| {
            let Verdict::Allow(permit) = judge.judge(&facts, Bytes::from_static(text.as_bytes()))
            else {
                panic!("refused");
            };
            let alike = permit.remember_alike(|| text);
            (*permit.remember(|| text), permit.recall::<&str>().is_some(), *alike)
        };
        for text in ["SELECT 1", "SELECT 2"] {
            for is_kept in [false, true, true] {
                let (of_text, was_kept, of_its_like) = found(text);
                assert_eq!((of_text, was_kept), (text, is_kept));
                assert!(of_its_like == "SELECT 1", "{of_its_like}");
            }
        }
    }
}
