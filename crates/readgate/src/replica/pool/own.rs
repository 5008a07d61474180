//! Sessions for readgate's own needs: to look at the replica, and to end what somebody runs there.
//! One is kept to spare, so that neither fails where the replica has no place for another.
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use mysql_wire::Capabilities;
use mysql_wire::error_code::{ER_KILL_DENIED_ERROR, ER_NO_SUCH_THREAD};
use mysql_wire::handshake_response::Attribute;
use tokio::time::{sleep, timeout};

use super::{FIRST_PAUSE, Pool};
use crate::replica::account::Account;
use crate::replica::seat::Seat;
use crate::replica::text_query::QueryFault;
use crate::replica::{ReplicaFault, ReplicaSession, SessionWish, text_query};

/// Behind one address there may be so many servers: a balancer leads to another each time.
const TRIES: usize = 8;
/// A session that is ended is told so often at most: for three seconds.
const TRIES_TO_END: usize = 6;
/// A replica that is there answers sooner, or refuses.
const SILENCE: Duration = Duration::from_secs(1);
/// Sessions that are ended at a time, each over a connection of its own: hundreds may break at once.
pub(super) const ENDED_TOGETHER: usize = 4;
/// That takes milliseconds each, if all is well.
const LONGEST_TURN: Duration = Duration::from_secs(30);

impl Pool {
    /// Ends what a session of ours runs on the replica, whose client is gone: in its turn, or where
    /// those before it wait for a replica that is silent, without. Its connection is closed by
    /// whoever asks for this, and is nobody else's before.
    ///
    /// Not by KILL CONNECTION: MySQL (8.0.45, 9.7.4) closes the socket then under the thread that
    /// writes TLS to it. What that still writes goes to whichever connection has got the socket's
    /// number meanwhile, and breaks it.
    pub async fn end(
        self: &Arc<Self>,
        account: &Arc<Account>,
        seat: &Seat,
    ) -> Result<(), ReplicaFault> {
        let (mut pause, mut last) = (FIRST_PAUSE, Ok(()));
        for _ in 0..TRIES_TO_END {
            let turn = timeout(LONGEST_TURN, self.turns_to_end.acquire()).await;
            let asked = Instant::now();
            last = match self.kill(account, seat).await {
                Ok(false) => return Ok(()),
                // It may have come before the statement, which then runs all the same.
                Ok(true) => Ok(()),
                // A socket or a port may be had in a moment. One that is silent stays so.
                Err(fault) if fault.is_passing() && asked.elapsed() < SILENCE => Err(fault),
                Err(fault) => return Err(fault),
            };
            drop(turn);
            sleep(pause).await;
            pause *= 2;
        }
        last
    }

    /// Ends a statement of ours on the replica, over another connection of the same account. False
    /// if there is no such session any more, as after the replica was started anew.
    pub async fn kill(
        self: &Arc<Self>,
        account: &Arc<Account>,
        seat: &Seat,
    ) -> Result<bool, ReplicaFault> {
        let mut wish = SessionWish::own("readgate-kill", account);
        wish.client = self.usual().unwrap_or(wish.client);
        let mut session = self.beside(seat, &Arc::new(wish)).await?;
        if session.seat.is_after(seat) {
            self.give_back_own(session);
            return Ok(false);
        }
        let text = format!("KILL QUERY {}", seat.id);
        let done = self
            .target
            .within_deadline(async { Ok(text_query::run(&mut session.channel, &text).await) })
            .await?;
        let killed = match done {
            Err(QueryFault::Stream(fault)) => return Err(fault.into()),
            Err(QueryFault::Replica(err)) => match err.code {
                ER_NO_SUCH_THREAD => Ok(false),
                ER_KILL_DENIED_ERROR => Err(ReplicaFault::NotOurs),
                code => return Err(ReplicaFault::Guard(format!("KILL: error {code}"))),
            },
            Ok(_) => Ok(true),
        };
        self.give_back_own(session);
        killed
    }

    fn give_back_own(self: &Arc<Self>, session: ReplicaSession) {
        if session.connection.place.is_some() {
            self.take_back(session, None);
        } else {
            self.keep_to_spare(session);
        }
    }

    /// A session on the same server as that connection, or on the one that was started in its place: on a
    /// warm one or a new one, over the limit, if need be: a full pool is when people cancel. On
    /// another server the id is somebody else's.
    async fn beside(
        self: &Arc<Self>,
        seat: &Seat,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        let warm = self.shelf().take_at(wish, &seat.server);
        if let Some(warm) = warm
            && let Some(opened) = self.open_warm(warm, wish).await
        {
            return opened;
        }
        for _ in 0..TRIES {
            let session = self.one_beside(seat, wish).await?;
            if session.seat.server == seat.server || session.seat.is_after(seat) {
                return Ok(session);
            }
        }
        Err(ReplicaFault::Elsewhere)
    }

    /// A new session there, or the one that is kept to spare. Where others have just taken that, it
    /// will be back soon.
    async fn one_beside(
        &self,
        seat: &Seat,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        let until = Instant::now() + self.target.deadline();
        loop {
            let opened = self.target.open_beside(seat, wish).await;
            match self.or_spare(opened, wish).await {
                Err(ReplicaFault::Crowded(_)) if Instant::now() < until => sleep(FIRST_PAUSE).await,
                opened => return opened,
            }
        }
    }

    /// What was opened; where the replica has no place for another, the one that is kept.
    pub async fn or_spare(
        &self,
        opened: Result<ReplicaSession, ReplicaFault>,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        match opened {
            Err(full @ ReplicaFault::Crowded(_)) => self.spare(wish).await.ok_or(full),
            opened => opened,
        }
    }

    /// The session that was kept to spare, under the account that is wished for, if it is there
    /// and still answers.
    async fn spare(&self, wish: &Arc<SessionWish>) -> Option<ReplicaSession> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut session = spare?;
        if !Arc::ptr_eq(&session.wish.account, &wish.account) {
            return self.reopen(session.connection, wish).await?.ok();
        }
        self.answers(&mut session).await.then_some(session)
    }

    /// Where the session is that is kept to spare.
    pub fn spare_seat(&self) -> Option<Seat> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.as_ref().map(|session| session.seat.clone())
    }

    /// Keeps a session to spare in place of the one that was.
    pub fn keep_to_spare(&self, session: ReplicaSession) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let before = spare.replace(session);
        // Closed outside the lock.
        drop(spare);
        drop(before);
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
