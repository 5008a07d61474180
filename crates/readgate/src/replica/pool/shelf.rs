//! Connections that wait for their next session. Most tools come again as who they were, so
//! a connection is made ready for a session like its last one while nobody waits for it.
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mysql_wire::Capabilities;

use crate::replica::login::{LoggedIn, class};
use crate::replica::{ReplicaSession, SessionWish};

/// A connection that waits for its next session.
#[derive(Debug)]
pub struct Warm {
    pub(super) kept: Kept,
    since: Instant,
    /// Where its last client came from: the next one from there is probably the same.
    source: Option<IpAddr>,
}

/// In which state it waits.
#[derive(Debug)]
pub(super) enum Kept {
    /// Without state.
    Fresh(LoggedIn),
    /// With the state of a session that is over.
    Used(LoggedIn),
    /// Logged in anew and guarded, for a session as it was wished the last time.
    Ready(Box<ReplicaSession>),
}

impl Warm {
    /// Nobody has had it since its last login or reset.
    pub(super) fn fresh(connection: LoggedIn) -> Self {
        Self { kept: Kept::Fresh(connection), since: Instant::now(), source: None }
    }

    /// A session that is over; whatever state it has, the next lending resets.
    pub fn used(session: ReplicaSession) -> Self {
        Self { kept: Kept::Used(session.connection), since: Instant::now(), source: None }
    }

    /// A guarded session that nobody has had yet.
    pub(super) fn ready(session: ReplicaSession, source: Option<IpAddr>) -> Self {
        Self { kept: Kept::Ready(Box::new(session)), since: Instant::now(), source }
    }

    /// The replica's id of it, for a greeting.
    pub fn connection_id(&self) -> u32 {
        self.connection().connection_id
    }

    /// Which clients it suits.
    pub(super) fn class(&self) -> Capabilities {
        self.connection().class
    }

    /// How long it has waited.
    pub(super) fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// How long ago it was opened.
    pub(super) fn age(&self) -> Duration {
        self.connection().born.elapsed()
    }

    /// Whether the session that is wished is there already.
    pub(super) fn is_ready_for(&self, wish: &SessionWish) -> bool {
        matches!(&self.kept, Kept::Ready(session) if session.wish.is_like(wish))
    }

    /// Whether it is ready for nobody.
    fn is_bare(&self) -> bool {
        !matches!(self.kept, Kept::Ready(_))
    }

    fn connection(&self) -> &LoggedIn {
        match &self.kept {
            Kept::Fresh(connection) | Kept::Used(connection) => connection,
            Kept::Ready(session) => &session.connection,
        }
    }
}

/// What waits on one worker.
#[derive(Default)]
pub(super) struct Shelf {
    /// Most recently put here last.
    waiting: Vec<Warm>,
    /// Connections are being opened to be put here.
    pub(super) filling: bool,
}

impl Shelf {
    /// One of that class, of the source if there is one.
    pub(super) fn take(&mut self, wanted: Capabilities, source: IpAddr) -> Option<Warm> {
        self.take_best(wanted, |warm| warm.source == Some(source))
    }

    /// One that suits the wish, the session itself if it is there.
    pub(super) fn take_for(&mut self, wish: &SessionWish) -> Option<Warm> {
        self.take_best(class(wish.client), |warm| warm.is_ready_for(wish))
    }

    fn take_best(&mut self, wanted: Capabilities, best: impl Fn(&Warm) -> bool) -> Option<Warm> {
        let suits = |warm: &Warm| warm.class() == wanted;
        let found = self.waiting.iter().rposition(|warm| suits(warm) && best(warm));
        let found = found.or_else(|| self.waiting.iter().rposition(suits));
        found.map(|at| self.waiting.remove(at))
    }

    /// How many of that class there are.
    pub(super) fn count(&self, wanted: Capabilities) -> usize {
        self.waiting.iter().filter(|warm| warm.class() == wanted).count()
    }

    /// Puts one here; what has no room is returned. With `room` of its class here already, one
    /// that is ready for somebody takes the place of one that isn't, or else of the one that
    /// has waited longest; any other takes nobody's.
    pub(super) fn put(&mut self, warm: Warm, room: usize) -> Option<Warm> {
        if self.count(warm.class()) < room {
            self.waiting.push(warm);
            return None;
        }
        if warm.is_bare() {
            return Some(warm);
        }
        let alike = |other: &Warm| other.class() == warm.class();
        let bare = self.waiting.iter().position(|other| alike(other) && other.is_bare());
        let goes = bare.or_else(|| self.waiting.iter().position(alike));
        let gone = goes.map(|at| self.waiting.remove(at));
        self.waiting.push(warm);
        gone
    }

    /// The one that has waited longest.
    pub(super) fn oldest(&mut self) -> Option<Warm> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Warm) -> bool) {
        self.waiting.retain(keep);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
