//! Connections that wait for their next session. Most tools come again as who they were, so
//! a connection is made ready for a session like its last one while nobody waits for it.
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mysql_wire::Capabilities;

use crate::replica::login::{LoggedIn, class};
use crate::replica::seat::Seat;
use crate::replica::{ReplicaSession, SessionWish};

/// A connection that waits for its next session.
#[derive(Debug)]
pub struct Warm {
    pub(super) kept: Kept,
    since: Instant,
    /// When it last answered.
    proven: Instant,
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
        Self::waiting(Kept::Fresh(connection), None)
    }

    /// A session that is over; whatever state it has, the next lending resets.
    pub fn used(session: ReplicaSession) -> Self {
        Self::waiting(Kept::Used(session.connection), None)
    }

    /// A guarded session that nobody has had yet.
    pub(super) fn ready(session: ReplicaSession, source: Option<IpAddr>) -> Self {
        Self::waiting(Kept::Ready(Box::new(session)), source)
    }

    fn waiting(kept: Kept, source: Option<IpAddr>) -> Self {
        let now = Instant::now();
        Self { kept, since: now, proven: now, source }
    }

    /// The replica's id of it, for a greeting.
    pub fn connection_id(&self) -> u32 {
        self.seat().id
    }

    /// Where it is.
    pub(super) fn seat(&self) -> &Seat {
        &self.connection().seat
    }

    /// Which clients it suits.
    pub(super) fn class(&self) -> Capabilities {
        self.connection().class
    }

    /// Whether it answered within that time.
    pub(super) fn is_proven(&self, within: Duration) -> bool {
        self.proven.elapsed() < within
    }

    /// It has just answered.
    pub(super) fn prove(&mut self) {
        self.proven = Instant::now();
    }

    /// Whether the replica has neither closed it nor said anything.
    pub(super) fn is_quiet(&self) -> bool {
        self.connection().channel.is_quiet()
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
    /// Who has waited longest first.
    waiting: Vec<Warm>,
    /// Connections are being opened to be put here, or asked whether they answer.
    pub(super) busy: bool,
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

    /// The same at one server, which a connection must have named.
    pub(super) fn take_at(&mut self, wish: &SessionWish, server: &[u8]) -> Option<Warm> {
        let is_there = |warm: &Warm| *warm.seat().server == *server;
        let mut found = self.waiting.iter();
        let at = found.rposition(|warm| warm.class() == class(wish.client) && is_there(warm));
        at.map(|at| self.waiting.remove(at))
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
            self.insert(warm);
            return None;
        }
        if warm.is_bare() {
            return Some(warm);
        }
        let alike = |other: &Warm| other.class() == warm.class();
        let bare = self.waiting.iter().position(|other| alike(other) && other.is_bare());
        let goes = bare.or_else(|| self.waiting.iter().position(alike));
        let gone = goes.map(|at| self.waiting.remove(at));
        self.insert(warm);
        gone
    }

    fn insert(&mut self, warm: Warm) {
        let at = self.waiting.partition_point(|other| other.since <= warm.since);
        self.waiting.insert(at, warm);
    }

    /// The one that has waited longest.
    pub(super) fn oldest(&mut self) -> Option<Warm> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Closes what nobody has wanted for that long, but for as many of the usual class as are kept
    /// ready: those that have waited least.
    pub(super) fn retire(&mut self, idle: Duration, usual: Option<Capabilities>, kept: usize) {
        let mut surplus = usual.map_or(0, |usual| self.count(usual)).saturating_sub(kept);
        self.waiting.retain(|warm| {
            let is_kept = Some(warm.class()) == usual && surplus == 0;
            if Some(warm.class()) == usual {
                surplus = surplus.saturating_sub(1);
            }
            is_kept || warm.since.elapsed() < idle
        });
    }

    /// Whether there is one that hasn't answered for that long.
    pub(super) fn has_unproven(&self, within: Duration) -> bool {
        self.waiting.iter().any(|warm| !warm.is_proven(within))
    }

    /// One of those.
    pub(super) fn take_unproven(&mut self, within: Duration) -> Option<Warm> {
        let at = self.waiting.iter().position(|warm| !warm.is_proven(within));
        at.map(|at| self.waiting.remove(at))
    }

    /// Where those that wait are.
    pub(super) fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.waiting.iter().map(Warm::seat)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Warm) -> bool) {
        self.waiting.retain(keep);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
