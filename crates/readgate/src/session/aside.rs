//! Long texts are looked at beside the worker that their session lives on, few at a time: one of
//! 60 MB takes seconds, and all other sessions of that worker would stand still for them.
use bytes::Bytes;
use sql_judge::{Judge, SessionFacts};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Session;
use crate::ending::{Ending, EndingKind};

/// Texts up to this length are looked at in place: that takes milliseconds at most.
const LONG: usize = 32 << 10;

/// Whether a text is one that others would wait for.
pub fn is_long(text: &[u8]) -> bool {
    are_long(text.len())
}

/// The same of texts of so many bytes together.
pub fn are_long(bytes: usize) -> bool {
    bytes > LONG
}

/// Places for long texts, for so many workers: the others' threads have half of the cores left.
pub fn places(workers: usize) -> Semaphore {
    Semaphore::new((workers / 2).max(1))
}

/// What comes of looking at a text in this session. In place, if it is short.
pub async fn look<T: Send + 'static>(
    session: &Session<'_>,
    text: &Bytes,
    work: impl FnOnce(&Judge, &SessionFacts, &Bytes) -> T + Send + 'static,
) -> Result<T, Ending> {
    if !is_long(text) {
        return Ok(work(&session.judge, &session.facts, text));
    }
    let (judge, facts, text) = (session.judge.clone(), session.facts.clone(), text.clone());
    beside(&session.daemon.long_texts, move || work(&judge, &facts, &text)).await
}

/// What comes of work that others would wait for.
pub async fn beside<T: Send + 'static>(
    places: &Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    let place = places.acquire().await;
    let done = spawn_blocking(work).await;
    drop(place);
    done.map_err(|error| Ending::silent(EndingKind::Internal, error.to_string()))
}
