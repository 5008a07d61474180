//! Keeps connections ready for the next clients, however long none comes: those that the replica
//! has closed are opened anew, those that have said nothing for a while are asked whether they
//! still answer. What waits beyond that is closed after its time.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mysql_wire::Capabilities;

use super::shelf::{Kept, Warm};
use super::{Pool, PoolSettings};
use crate::replica::SessionWish;
use crate::replica::seat::Seat;
use crate::workers;

/// A connection that waits is asked again after this time.
const ASKED_AGAIN: Duration = Duration::from_secs(60);

impl Pool {
    /// Looks at what waits. To be called every few seconds.
    pub fn tidy(self: &Arc<Self>) {
        let PoolSettings { idle, max_age, .. } = self.settings;
        let usual = self.usual();
        for index in 0..self.shelves.len() {
            let kept = self.warm_at(index);
            let mut shelf = self.shelf_of(index);
            shelf.retain(|warm| warm.age() < max_age && warm.is_quiet());
            shelf.retire(idle, usual, kept);
            if !shelf.busy && shelf.has_unproven(ASKED_AGAIN) {
                shelf.busy = true;
                self.workers.spawn_on(index, prove(Arc::clone(self)));
            }
        }
        if let Some(usual) = usual {
            self.fill_later(usual);
        }
    }

    /// Where connections wait.
    pub fn seats(&self) -> Vec<Seat> {
        let seats = |index| self.shelf_of(index).seats().cloned().collect::<Vec<_>>();
        (0..self.shelves.len()).flat_map(seats).collect()
    }

    /// Closes those that wait at that server.
    pub fn leave(&self, server: &[u8]) {
        for index in 0..self.shelves.len() {
            self.shelf_of(index).retain(|warm| *warm.seat().server != *server);
        }
    }

    /// Sees to it that on each worker connections of that class wait for the next clients.
    /// Those under way will mostly come back; so only a shelf that is half empty is filled.
    pub(super) fn fill_later(self: &Arc<Self>, wanted: Capabilities) {
        if self.each_anew.load(Ordering::Relaxed) {
            return;
        }
        for index in 0..self.shelves.len() {
            let mut shelf = self.shelf_of(index);
            if shelf.busy || shelf.count(wanted) >= self.warm_at(index).div_ceil(2) {
                continue;
            }
            shelf.busy = true;
            self.workers.spawn_on(index, fill(Arc::clone(self), wanted));
        }
    }
}

/// Asks what waits on the shelf of this worker, one after the other; what doesn't answer is closed.
async fn prove(pool: Arc<Pool>) {
    // Not a guard of the lock: it would live as long as the loop's body.
    while let Some(mut warm) = { pool.shelf().take_unproven(ASKED_AGAIN) } {
        let answers = match &mut warm.kept {
            Kept::Ready(session) => pool.answers(session).await && !pool.is_barred(session),
            Kept::Fresh(connection) | Kept::Used(connection) => {
                pool.in_half_the_time(pool.target.ping(connection)).await.is_some()
            }
        };
        if answers {
            warm.prove();
            pool.shelve(warm);
        }
    }
    pool.shelf().busy = false;
}

/// Opens connections for the shelf of the worker that this runs on until it is full.
async fn fill(pool: Arc<Pool>, wanted: Capabilities) {
    let account = Arc::clone(pool.target.accounts.load().own());
    let wish = SessionWish { client: wanted, ..SessionWish::own("readgate-warm", &account) };
    let wish = Arc::new(wish);
    let room = pool.warm_at(workers::current());
    while pool.shelf().count(wanted) < room {
        let Some(place) = pool.places.try_take() else { break };
        let Ok(session) = pool.target.open(&wish).await else { break };
        if !pool.may_be_lent_again(&session) || session.class != wanted {
            break;
        }
        let mut connection = session.connection;
        connection.place = Some(place);
        if pool.places.are_waited_for() {
            break;
        }
        pool.shelve(Warm::fresh(connection));
    }
    pool.shelf().busy = false;
}
