//! Long texts are looked at beside the worker that their session lives on, few at a time: one of
//! 60 MB takes seconds, and all other sessions of that worker would stand still for them.
use std::time::Duration;

use bytes::Bytes;
use mysql_wire::error_code::ER_SERVER_ISNT_AVAILABLE;
use mysql_wire::{ErrPacket, SqlState};
use sql_judge::{Judge, SessionFacts};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Session, ordered};
use crate::ending::{Ending, EndingKind};

/// Texts up to this length are looked at in place: that takes milliseconds at most.
const LONG: usize = 32 << 10;
/// A text waits this long for its turn.
const PATIENCE: Duration = Duration::from_secs(60);

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
pub async fn look<R, T: Send + 'static>(
    session: &Session<'_, R>,
    text: &Bytes,
    work: impl FnOnce(&Judge, &SessionFacts, &Bytes) -> T + Send + 'static,
) -> Result<T, Ending> {
    if !is_long(text) {
        return Ok(work(&session.judge, &session.facts, text));
    }
    let (judge, facts, text) = (session.judge.clone(), session.facts.clone(), text.clone());
    beside(session, move || work(&judge, &facts, &text)).await
}

/// What comes of work that others would wait for. No session waits for its turn for ever, or
/// beyond its end.
pub async fn beside<R, T: Send + 'static>(
    session: &Session<'_, R>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    let place = tokio::select! {
        biased;
        place = session.daemon.long_texts.acquire() => place,
        () = session.orders.end_now() => return Err(ordered(&session.orders)),
        () = sleep(PATIENCE) => return Err(too_many()),
    };
    let done = spawn_blocking(work).await;
    drop(place);
    done.map_err(|error| Ending::silent(EndingKind::Internal, error.to_string()))
}

fn too_many() -> Ending {
    let text = "readgate: too many long statements wait to be looked at; try again later";
    let err = ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, text);
    Ending::told(EndingKind::OverLimit, "long statements", err)
}
