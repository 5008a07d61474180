//! Warm connections to the replica: logged in, lent for a session and taken back afterwards.
//!
//! A lent connection has logged in anew (COM_CHANGE_USER), under whatever account this session
//! has to have, and is guarded anew, whoever had it before; one that was in the middle of something is never taken back.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql_wire::Capabilities;
use mysql_wire::handshake_response::Attribute;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout, timeout_at};

use super::account::Account;
use super::login::{LoggedIn, class};
use super::{ReplicaFault, ReplicaSession, ReplicaTarget, SessionWish, text_query};
use crate::workers::{self, Workers};

/// ER_NO_SUCH_THREAD: a session to be killed has ended by itself.
const NO_SUCH_THREAD: u16 = 1094;

/// ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED: the replica has
/// no place for another connection of the account at the moment.
const REPLICA_FULL: [u16; 3] = [1040, 1203, 1226];
/// First pause before such a replica is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How many connections are kept, and how long.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Connections kept ready beyond those in use.
    pub warm: usize,
    /// A connection that nobody wanted for this long is closed; below the replica's
    /// wait_timeout.
    pub idle: Duration,
    /// A connection older than this is not lent again.
    pub max_age: Duration,
    /// Most connections at a time, those that wait included.
    pub connections: usize,
    /// A client waits this long for one.
    pub longest_wait: Duration,
}

/// A session that is over; whatever state it has, the next lending resets.
impl From<ReplicaSession> for Warm {
    fn from(session: ReplicaSession) -> Self {
        Self { connection: session.connection, since: Instant::now(), is_used: true }
    }
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
    places: Arc<Semaphore>,
    /// Logins that wait for a place: while there are any, none is kept for later ones.
    wanting: AtomicUsize,
    /// Class that the last client had: what the next one will probably have.
    usual: Mutex<Option<Capabilities>>,
}

#[derive(Default)]
struct Shelf {
    /// Most recently used last.
    waiting: Vec<Warm>,
    /// A connection is being opened to be put here.
    filling: bool,
}

/// A connection that waits for its next session.
#[derive(Debug)]
pub struct Warm {
    connection: LoggedIn,
    since: Instant,
    /// It has state of a session that is over.
    is_used: bool,
}

impl Warm {
    /// The replica's id of it, for a greeting.
    pub fn connection_id(&self) -> u32 {
        self.connection.connection_id
    }
}

impl Pool {
    /// An empty pool.
    pub fn new(target: ReplicaTarget, settings: PoolSettings, workers: Arc<Workers>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS)));
        let shelves = (0..workers.count()).map(|_| Mutex::default()).collect();
        Arc::new(Self {
            target,
            settings,
            shelves,
            workers,
            places,
            wanting: AtomicUsize::new(0),
            usual: Mutex::default(),
        })
    }

    /// Sets a connection aside for a client that is about to be greeted, so that the id of
    /// the greeting is the replica's own. The replica is not touched.
    pub fn earmark(&self) -> Option<Warm> {
        let usual = self.usual()?;
        take(&mut self.shelf(), usual)
    }

    /// Puts an earmarked connection back.
    pub fn put_back(self: &Arc<Self>, warm: Warm) {
        match warm.is_used {
            true => self.shelve_after_reset(warm.connection),
            false => self.shelve(warm.connection),
        }
    }

    /// A session as wished: on the earmarked connection if it suits, on another warm one,
    /// or on a new one.
    pub async fn lend(
        self: &Arc<Self>,
        wish: &SessionWish,
        earmarked: Option<Warm>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        let wanted = class(wish.client);
        // An earmarked one that doesn't suit is closed: its id is the greeting's, and while this
        // session has it no other may.
        let suits = |warm: &Warm| warm.connection.class == wanted;
        let warm = earmarked.filter(suits).or_else(|| take(&mut self.shelf(), wanted));
        *self.usual.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        self.fill_later(wanted);
        if let Some(Warm { connection, .. }) = warm
            && let Some(reopened) = self.reopen(connection, wish).await
        {
            return reopened;
        }
        self.open(wish).await
    }

    /// A new connection, as soon as there is a place for it, here and at the replica.
    async fn open(self: &Arc<Self>, wish: &SessionWish) -> Result<ReplicaSession, ReplicaFault> {
        let deadline = Instant::now() + self.settings.longest_wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let place = self.place(deadline).await?;
            match self.target.open(wish).await {
                Ok(mut session) => {
                    session.connection.place = Some(place);
                    return Ok(session);
                }
                Err(ReplicaFault::Account(err)) if REPLICA_FULL.contains(&err.code) => {
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

    /// Waits for a place, first come, first served. A connection of another class that only
    /// waits gives its own up.
    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, ReplicaFault> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        // First counted, then looked: whoever shelves a connection meanwhile sees it.
        let _counted = Counted::among(&self.wanting);
        self.make_room();
        let free = Arc::clone(&self.places).acquire_owned();
        match timeout_at(deadline.into(), free).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(ReplicaFault::Full),
        }
    }

    fn make_room(&self) {
        let idle = (0..self.shelves.len()).find_map(|index| {
            let mut shelf = self.shelf_of(index);
            (!shelf.waiting.is_empty()).then(|| shelf.waiting.remove(0))
        });
        drop(idle);
    }

    /// `None` if the connection was of no use; half of the deadline is left for a new one.
    async fn reopen(
        &self,
        connection: LoggedIn,
        wish: &SessionWish,
    ) -> Option<Result<ReplicaSession, ReplicaFault>> {
        let reopening = self.target.reopen(connection, wish);
        match timeout(self.target.deadline / 2, reopening).await {
            Ok(Ok(session)) => Some(Ok(session)),
            Ok(Err(fault @ ReplicaFault::Schema(_))) => Some(Err(fault)),
            Ok(Err(fault)) => {
                tracing::debug!(%fault, "a warm connection was of no use");
                None
            }
            Err(_) => {
                // The others lead to the same silence.
                self.shelf().waiting.clear();
                tracing::debug!("a warm connection did not answer");
                None
            }
        }
    }

    /// Takes a session back that is between commands.
    pub fn take_back(self: &Arc<Self>, session: ReplicaSession) {
        self.shelve_after_reset(session.connection);
    }

    /// With clients waiting for a place the connection is closed, which gives them its own.
    fn shelve_after_reset(self: &Arc<Self>, mut connection: LoggedIn) {
        if self.places.available_permits() == 0 {
            return;
        }
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if pool.target.reset(&mut connection).await.is_err() {
                return;
            }
            let alike = {
                let shelf = pool.shelf();
                let of_class = |warm: &&Warm| warm.connection.class == connection.class;
                shelf.waiting.iter().filter(of_class).count()
            };
            if alike < pool.warm_at(workers::current())
                && connection.born.elapsed() < pool.settings.max_age
            {
                pool.shelve(connection);
            }
        });
    }

    /// How full it is.
    pub fn state(&self) -> PoolState {
        let limit = self.settings.connections.min(Semaphore::MAX_PERMITS);
        let taken = limit.saturating_sub(self.places.available_permits());
        let warm = (0..self.shelves.len()).map(|index| self.shelf_of(index).waiting.len()).sum();
        let waiting = self.wanting.load(Ordering::Relaxed);
        PoolState { in_use: taken.saturating_sub(warm), warm, waiting, limit }
    }

    /// Puts a connection without state where the next login finds it; one that waits for a
    /// place gets its place instead.
    fn shelve(&self, connection: LoggedIn) {
        let mut shelf = self.shelf();
        if self.wanting.load(Ordering::SeqCst) == 0 {
            shelf.waiting.push(Warm { connection, since: Instant::now(), is_used: false });
        }
    }

    /// Closes what has waited too long.
    pub fn tidy(&self) {
        let PoolSettings { idle, max_age, .. } = self.settings;
        let keep =
            |warm: &Warm| warm.since.elapsed() < idle && warm.connection.born.elapsed() < max_age;
        for index in 0..self.shelves.len() {
            self.shelf_of(index).waiting.retain(keep);
        }
    }

    /// Ends a statement or a session of ours on the replica, over another connection of the
    /// same account.
    pub async fn kill(
        self: &Arc<Self>,
        account: &Arc<Account>,
        connection_id: u32,
        query_only: bool,
    ) -> Result<(), ReplicaFault> {
        let mut wish = SessionWish::own("readgate-kill", account);
        wish.client = self.usual().unwrap_or(wish.client);
        // Over the limit, if need be: a full pool is when people cancel.
        let warm = take(&mut self.shelf(), wish.client);
        let reopened = match warm {
            Some(Warm { connection, .. }) => self.reopen(connection, &wish).await,
            None => None,
        };
        let mut session = match reopened {
            Some(session) => session?,
            None => self.target.open(&wish).await?,
        };
        let what = if query_only { "QUERY" } else { "CONNECTION" };
        let text = format!("KILL {what} {connection_id}");
        let done = self
            .target
            .within_deadline(async { Ok(text_query::run(&mut session.channel, &text).await) })
            .await?;
        match done {
            Err(text_query::QueryFault::Replica(err)) if err.code != NO_SUCH_THREAD => {
                Err(ReplicaFault::Guard(format!("KILL: error {}", err.code)))
            }
            Err(text_query::QueryFault::Stream(fault)) => Err(fault.into()),
            Err(text_query::QueryFault::Replica(_)) | Ok(_) => {
                if session.connection.place.is_some() {
                    self.take_back(session);
                }
                Ok(())
            }
        }
    }

    /// Sees to it that on each worker a connection of that class waits for the next client.
    fn fill_later(self: &Arc<Self>, wanted: Capabilities) {
        for index in 0..self.shelves.len() {
            let mut shelf = self.shelf_of(index);
            let waiting = shelf.waiting.iter().filter(|warm| warm.connection.class == wanted);
            if shelf.filling || waiting.count() >= self.warm_at(index) {
                continue;
            }
            shelf.filling = true;
            self.workers.spawn_on(index, fill(Arc::clone(self), wanted));
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

impl SessionWish {
    /// A session for readgate's own needs.
    pub fn own(program: &str, account: &Arc<Account>) -> Self {
        Self {
            account: Arc::clone(account),
            client: Capabilities::empty(),
            collation: 45,
            schema: None,
            attributes: vec![Attribute::new("program_name", program)],
            statement_timeout: None,
        }
    }
}

/// Opens one connection for the shelf of the worker that this runs on.
async fn fill(pool: Arc<Pool>, wanted: Capabilities) {
    let Ok(place) = Arc::clone(&pool.places).try_acquire_owned() else {
        pool.shelf().filling = false;
        return;
    };
    let account = Arc::clone(pool.target.accounts.load().own());
    let wish = SessionWish { client: wanted, ..SessionWish::own("readgate-warm", &account) };
    let opened = pool.target.open(&wish).await;
    pool.shelf().filling = false;
    if let Ok(session) = opened {
        let mut connection = session.connection;
        connection.place = Some(place);
        pool.shelve(connection);
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

fn take(shelf: &mut Shelf, wanted: Capabilities) -> Option<Warm> {
    let at = shelf.waiting.iter().rposition(|warm| warm.connection.class == wanted)?;
    Some(shelf.waiting.remove(at))
}
