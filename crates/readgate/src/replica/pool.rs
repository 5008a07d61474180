//! Warm connections to the replica: logged in, lent for a session and taken back afterwards.
//!
//! A lent connection has logged in anew (COM_CHANGE_USER), under the account this session has to
//! have, and is guarded anew, whoever had it before; one that was in the middle of something is
//! never taken back.
mod keeping;
mod own;
mod places;
mod shelf;

use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql_wire::Capabilities;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::login::{LoggedIn, class};
use super::{ReplicaFault, ReplicaSession, ReplicaTarget, SessionWish};
use crate::workers::{self, Workers};
use places::Places;
pub use shelf::Warm;
use shelf::{Kept, Shelf};

/// A session that was made ready so lately is lent without asking whether it still answers.
const PROVEN: Duration = Duration::from_secs(10);
/// First pause before such a replica is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How many connections are kept, and how long.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections kept ready beyond those in use.
    pub warm: usize,
    /// A connection that nobody wanted for this long is closed, unless it is one of those that
    /// are kept ready.
    pub idle: Duration,
    /// A connection older than this is not lent again.
    pub max_age: Duration,
    /// Most connections at a time, those that wait included.
    pub connections: usize,
    /// A client waits this long for one.
    pub longest_wait: Duration,
    /// A session that is idle for this long lends its own; `None`: never.
    pub share_idle: Option<Duration>,
}

/// How full a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Connections that sessions have, or that are being opened.
    pub in_use: usize,
    /// Connections that wait for a session.
    pub warm: usize,
    /// Clients that wait for a connection.
    pub waiting: usize,
    /// Most connections at a time.
    pub limit: usize,
}

/// Lends sessions on one replica.
pub struct Pool {
    /// The replica.
    pub target: ReplicaTarget,
    settings: PoolSettings,
    /// One for each worker: a socket stays where it was opened.
    shelves: Vec<Mutex<Shelf>>,
    workers: Arc<Workers>,
    places: Places,
    /// Class that the last client had: what the next one will probably have.
    usual: Mutex<Option<Capabilities>>,
    /// The replica has an `init_connect`: each session needs a new connection.
    each_anew: AtomicBool,
    /// A session of readgate's own, for when the replica has no place for another.
    spare: Mutex<Option<ReplicaSession>>,
    /// Who ends sessions whose clients are gone.
    turns_to_end: Semaphore,
}

impl Pool {
    /// An empty pool.
    pub fn new(target: ReplicaTarget, settings: PoolSettings, workers: Arc<Workers>) -> Arc<Self> {
        let places = Places::new(settings.connections);
        let shelves = (0..workers.count()).map(|_| Mutex::default()).collect();
        Arc::new(Self {
            target,
            settings,
            shelves,
            workers,
            places,
            usual: Mutex::default(),
            each_anew: AtomicBool::new(false),
            spare: Mutex::default(),
            turns_to_end: Semaphore::new(own::ENDED_TOGETHER),
        })
    }

    /// Sets a connection aside for a client that is about to be greeted, so that the id of
    /// the greeting is the replica's own. The replica is not touched. Where sessions share
    /// connections there is none: its id would be another session's before long.
    pub fn earmark(&self, source: IpAddr) -> Option<Warm> {
        let usual = self.usual().filter(|_| self.settings.share_idle.is_none())?;
        self.shelf().take(usual, source)
    }

    /// Puts an earmarked connection back.
    pub fn put_back(self: &Arc<Self>, warm: Warm) {
        match warm.kept {
            Kept::Used(connection) => self.shelve_after_reset(connection),
            Kept::Fresh(_) | Kept::Ready(_) => self.shelve(warm),
        }
    }

    /// A session as wished, on a server that takes no writes unless config lets it: on the
    /// earmarked connection if it suits, on another warm one, or on a new one. Its answers have the
    /// form that the client expects, or it is none.
    pub async fn lend(
        self: &Arc<Self>,
        wish: &Arc<SessionWish>,
        earmarked: Option<Warm>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        let session = self.lend_any(wish, earmarked).await?;
        if self.is_barred(&session) {
            return Err(ReplicaFault::Writable);
        }
        if session.class != class(wish.client) {
            return Err(ReplicaFault::Changed);
        }
        Ok(session)
    }

    async fn lend_any(
        self: &Arc<Self>,
        wish: &Arc<SessionWish>,
        earmarked: Option<Warm>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        let wanted = class(wish.client);
        // An earmarked one that doesn't suit is closed: its id is the greeting's, and while this
        // session has it no other may.
        let suits = |warm: &Warm| warm.class() == wanted;
        let warm = earmarked.filter(suits).or_else(|| self.shelf().take_for(wish));
        *self.usual.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        self.fill_later(wanted);
        // The name may lead elsewhere since that one was promoted.
        let is_barred = |session: &ReplicaSession| self.is_barred(session);
        if let Some(warm) = warm
            && let Some(opened) = self.open_warm(warm, wish).await
            && !opened.as_ref().is_ok_and(is_barred)
        {
            return opened;
        }
        self.open(wish).await
    }

    /// Whether its server takes writes, and config refuses that.
    fn is_barred(&self, session: &ReplicaSession) -> bool {
        session.baseline.server_is_writable && self.target.refuse_writable
    }

    /// `None` if the connection was of no use. A session that is ready is not logged in anew:
    /// that was done when its last client had gone.
    async fn open_warm(
        &self,
        warm: Warm,
        wish: &Arc<SessionWish>,
    ) -> Option<Result<ReplicaSession, ReplicaFault>> {
        let is_proven = warm.is_proven(PROVEN);
        match warm.kept {
            Kept::Ready(mut session) if self.is_as_wished(&session, wish) => {
                self.is_there(&mut session, is_proven).await.then_some(Ok(*session))
            }
            Kept::Ready(session) => self.reopen(session.connection, wish).await,
            Kept::Fresh(connection) | Kept::Used(connection) => self.reopen(connection, wish).await,
        }
    }

    /// Whether a session that is ready serves the wish, under the guard that counts now. A reload
    /// makes each account another one, which tells of most; not of a login that came just then.
    fn is_as_wished(&self, session: &ReplicaSession, wish: &SessionWish) -> bool {
        session.wish.is_like(wish) && session.guard == self.target.guard(wish.statement_timeout)
    }

    /// Whether a session that has waited can still be used: the replica hasn't closed it,
    /// and answers, if it last did long ago.
    async fn is_there(&self, session: &mut ReplicaSession, is_proven: bool) -> bool {
        session.channel.is_quiet() && (is_proven || self.answers(session).await)
    }

    /// Whether a guarded session answers. What it says of its server is what counts from then on.
    async fn answers(&self, session: &mut ReplicaSession) -> bool {
        match self.in_half_the_time(self.target.read_again(session)).await {
            Some(baseline) => {
                session.baseline = baseline;
                self.may_be_lent_again(session)
            }
            None => false,
        }
    }

    /// Whether a session whose connection was another's before is as a new one would be.
    fn may_be_lent_again(&self, session: &ReplicaSession) -> bool {
        let each_anew = session.baseline.has_init_connect;
        self.each_anew.store(each_anew, Ordering::Relaxed);
        !each_anew
    }

    /// A new connection, as soon as there is a place for it, here and at the replica.
    async fn open(
        self: &Arc<Self>,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        let deadline = Instant::now() + self.settings.longest_wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let place = self.places.take(deadline, || self.make_room()).await;
            let place = place.ok_or(ReplicaFault::Full)?;
            match self.target.open(wish).await {
                Ok(mut session) => {
                    self.may_be_lent_again(&session);
                    session.connection.place = Some(place);
                    return Ok(session);
                }
                Err(ReplicaFault::Crowded(_)) => {
                    self.make_room();
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ReplicaFault::Full);
                    }
                    sleep(pause.min(left)).await;
                    pause *= 2;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    fn make_room(&self) {
        let idle = (0..self.shelves.len()).find_map(|index| self.shelf_of(index).oldest());
        drop(idle);
    }

    /// `None` if the connection was of no use; half of the deadline is left for a new one.
    async fn reopen(
        &self,
        connection: LoggedIn,
        wish: &Arc<SessionWish>,
    ) -> Option<Result<ReplicaSession, ReplicaFault>> {
        let reopening = self.target.reopen(connection, wish);
        let reopening = async {
            match reopening.await {
                Err(fault) if fault.is_the_clients() => Ok(Err(fault)),
                reopened => reopened.map(Ok),
            }
        };
        let reopened = self.in_half_the_time(reopening).await?;
        let is_of_use = reopened.as_ref().map_or(true, |session| self.may_be_lent_again(session));
        is_of_use.then_some(reopened)
    }

    /// Work on a warm connection; `None` if that was of no use.
    async fn in_half_the_time<T>(
        &self,
        work: impl Future<Output = Result<T, ReplicaFault>>,
    ) -> Option<T> {
        match timeout(self.target.deadline() / 2, work).await {
            Ok(done) => done
                .inspect_err(|fault| tracing::debug!(%fault, "a warm connection was of no use"))
                .ok(),
            Err(_) => {
                // The others lead to the same silence.
                self.shelf().clear();
                tracing::debug!("a warm connection did not answer");
                None
            }
        }
    }

    /// Takes a session back that is between commands, and makes it ready for another one like
    /// it: a new login, which forgets all, and a new guard. With clients waiting for a place it
    /// is closed, which gives them its own; so is one that nobody else may have.
    pub fn take_back(self: &Arc<Self>, session: ReplicaSession, source: Option<IpAddr>) {
        let LoggedIn { born, is_personal, .. } = &session.connection;
        if self.is_wanted() || born.elapsed() >= self.settings.max_age || *is_personal {
            return;
        }
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            let ReplicaSession { connection, wish, .. } = session;
            if let Some(Ok(ready)) = pool.reopen(connection, &wish).await
                && !pool.is_barred(&ready)
            {
                pool.shelve(Warm::ready(ready, source));
            }
        });
    }

    /// Whether a place that comes free has takers. Where sessions share connections, one that
    /// is kept is what the next of them takes.
    fn is_wanted(&self) -> bool {
        match self.settings.share_idle {
            Some(_) => self.places.are_waited_for(),
            None => self.places.are_taken(),
        }
    }

    /// After how long an idle session lends its connection.
    pub fn share_idle(&self) -> Option<Duration> {
        self.settings.share_idle
    }

    fn shelve_after_reset(self: &Arc<Self>, mut connection: LoggedIn) {
        if self.places.are_taken() {
            return;
        }
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if pool.target.reset(&mut connection).await.is_ok() {
                pool.shelve(Warm::fresh(connection));
            }
        });
    }

    /// How full it is.
    pub fn state(&self) -> PoolState {
        let taken = self.places.taken();
        let warm = (0..self.shelves.len()).map(|index| self.shelf_of(index).len()).sum();
        let (waiting, limit) = (self.places.waiting(), self.places.limit());
        PoolState { in_use: taken.saturating_sub(warm), warm, waiting, limit }
    }

    /// Puts a connection without state where the next login finds it; one that waits for a
    /// place gets its place instead.
    fn shelve(&self, warm: Warm) {
        let room = match self.settings.share_idle {
            Some(_) => self.settings.connections,
            None => self.warm_at(workers::current()),
        };
        let mut shelf = self.shelf();
        if !self.places.are_waited_for() && room > 0 {
            let gone = shelf.put(warm, room);
            // Closed outside the lock.
            drop(shelf);
            drop(gone);
        }
    }

    /// A worker's part of the connections that are kept ready.
    fn warm_at(&self, index: usize) -> usize {
        let (all, workers) = (self.settings.warm, self.shelves.len());
        all / workers + usize::from(index < all % workers)
    }

    fn usual(&self) -> Option<Capabilities> {
        *self.usual.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shelf of the worker that asks.
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf_of(workers::current())
    }

    #[expect(clippy::indexing_slicing, reason = "reduced to the number of shelves, at least one")]
    fn shelf_of(&self, index: usize) -> MutexGuard<'_, Shelf> {
        let shelf = &self.shelves[index % self.shelves.len()];
        shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
