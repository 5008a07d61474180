//! Places for connections to the replica: how many there may be at a time, and who waits for one.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

pub(super) struct Places {
    free: Arc<Semaphore>,
    limit: usize,
    /// Logins that wait for one: while there are any, none is kept for later ones.
    waiting: AtomicUsize,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(limit)), limit, waiting: AtomicUsize::new(0) }
    }

    /// One that is free now.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Waits for one, first come, first served; `make_room` has somebody who only waits give
    /// theirs up. `None`: there was none in time.
    pub(super) async fn take(
        &self,
        deadline: Instant,
        make_room: impl FnOnce(),
    ) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.try_take() {
            return Some(place);
        }
        // First counted, then looked: whoever shelves a connection meanwhile sees it.
        let _counted = Counted::among(&self.waiting);
        make_room();
        let free = Arc::clone(&self.free).acquire_owned();
        timeout_at(deadline.into(), free).await.ok()?.ok()
    }

    /// Whether somebody waits for one.
    pub(super) fn are_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Whether none is free.
    pub(super) fn are_taken(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// How many wait for one.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }
}

/// One of those that wait.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn among(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::SeqCst);
        Self(all)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn whoever_has_a_place_or_has_waited_in_vain_waits_no_more() {
        let places = Places::new(1);
        let soon = || Instant::now() + Duration::from_millis(10);
        let taken = places.try_take().expect("it is free");
        assert!(places.take(soon(), || {}).await.is_none(), "it is taken");
        assert!(!places.are_waited_for() && places.are_taken());
        let make_room = || {
            assert!(places.are_waited_for(), "whoever shelves a connection sees it");
            drop(taken);
        };
        let given = places.take(soon(), make_room).await.expect("it was given up");
        assert!(!places.are_waited_for() && places.taken() == 1);
        drop(given);
        assert_eq!((places.taken(), places.waiting()), (0, 0));
    }
}
