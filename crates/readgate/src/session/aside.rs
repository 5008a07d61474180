//! Long texts are looked at beside the worker that their session lives on, few at a time: one of
//! 60 MB takes seconds, and all other sessions of that worker would stand still for them.
//!
//! Whoever sends many of them, or sends them on many sessions, waits for himself: nobody else's
//! report stands behind more than one of his.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mysql_wire::error_code::ER_SERVER_ISNT_AVAILABLE;
use mysql_wire::{ErrPacket, SqlState};
use sql_judge::{Judge, SessionFacts};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Session, ordered};
use crate::ending::{Ending, EndingKind};

/// Texts up to this length are looked at in place: that takes milliseconds at most.
const LONG: usize = 32 << 10;
/// Longer ones have a queue of their own: a report's text, which takes some tenths of a second at
/// most, never stands behind one that takes seconds.
const HUGE: usize = 1 << 20;
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

/// Whose turn it is among those who have long texts.
#[derive(Debug)]
pub struct Turns {
    long: Queue,
    huge: Queue,
}

#[derive(Debug)]
struct Queue {
    places: Semaphore,
    /// How many of the places one user may have, or wait for, at a time.
    each: usize,
    /// What each has left of that; bounded by the number of users.
    users: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Turns {
    /// For so many workers: their threads have half of the cores left beside either queue.
    pub fn for_workers(workers: usize) -> Self {
        let places = (workers / 2).max(1);
        Self { long: Queue::new(places), huge: Queue::new(places) }
    }

    /// Where texts of so many bytes wait.
    fn queue(&self, bytes: usize) -> &Queue {
        if bytes > HUGE { &self.huge } else { &self.long }
    }
}

impl Queue {
    fn new(places: usize) -> Self {
        let (each, users) = (places.div_ceil(2), Mutex::default());
        Self { places: Semaphore::new(places), each, users }
    }

    fn of(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        match users.get(user) {
            Some(own) => Arc::clone(own),
            None => {
                let own = Arc::new(Semaphore::new(self.each));
                users.insert(user.to_owned(), Arc::clone(&own));
                own
            }
        }
    }

    /// One of the places: first among the user's own, then among all users'.
    async fn place<'q>(
        &'q self,
        own: &'q Semaphore,
    ) -> Result<[SemaphorePermit<'q>; 2], AcquireError> {
        let turn = own.acquire().await?;
        Ok([turn, self.places.acquire().await?])
    }
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
    beside(session, text.len(), move || work(&judge, &facts, &text)).await
}

/// What comes of work on so many bytes that others would wait for. No session waits for its turn
/// for ever, or beyond its end.
pub async fn beside<R, T: Send + 'static>(
    session: &Session<'_, R>,
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    let queue = session.daemon.long_texts.queue(bytes);
    let own = queue.of(&session.user);
    let place = tokio::select! {
        biased;
        place = queue.place(&own) => place,
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
