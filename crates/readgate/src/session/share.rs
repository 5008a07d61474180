//! An idle session without a state of its own lends its connection to the replica to others
//! (`replica.share_idle`), and gets one again with its next command.
//!
//! A session that has none is a `Session<Lent>`, which can wait and end, and nothing else:
//! what judges, records and forwards takes a `Session<ReplicaSession>`, and the only way back
//! to one is [`Session::borrow`].
use std::sync::Arc;

use access::UserStore;
use mysql_wire::packet::Payload;
use mysql_wire::response::{ResponseEnd, ResponseWalker};
use mysql_wire::{Command, ErrPacket, StatusFlags};
use prometheus::IntGauge;
use sql_judge::{Footprint, StatementKind};

use super::opening::no_replica;
use super::{Leaving, Session, ordered, refuse};
use crate::ending::{Ending, EndingKind};
use crate::idle::{Idle, Wait};
use crate::recording::Named;
use crate::registry::Reason;
use crate::replica::account::Account;
use crate::replica::remembered::{self, MOST_ROWS, Remembered};
use crate::replica::{ReplicaFault, SessionWish};

/// Rows before an offset count as found; statements with a longer offset leave diagnostics.
const LONGEST_OFFSET: u64 = 100_000;

/// What a session's statements have left in its connection.
#[derive(Debug, Default)]
pub struct Traces {
    /// Something that only this connection has: the session keeps it until it is reset.
    lasting: bool,
    /// Warnings, an error, or a FOUND_ROWS() that can't be made again: it keeps the connection
    /// until a later statement has cleared them.
    diagnostics: bool,
}

impl Traces {
    /// A statement is about to run.
    pub fn before(&mut self, footprint: Footprint) {
        self.lasting |= footprint == Footprint::Lasting;
    }

    /// It has ended. MariaDB keeps warnings beyond statements that use no table.
    pub fn after(
        &mut self,
        footprint: Footprint,
        walker: &ResponseWalker,
        end: &ResponseEnd,
        named: &Named,
    ) {
        let is_clean = matches!(end, ResponseEnd::Ok(_))
            && walker.warnings() == 0
            && walker.rows() <= MOST_ROWS - LONGEST_OFFSET
            && footprint == Footprint::Nothing;
        if !is_clean {
            self.diagnostics = true;
        } else if named.has_tables() {
            self.diagnostics = false;
        }
    }

    /// Something has run whose diagnostics aren't followed.
    pub fn blur(&mut self) {
        self.diagnostics = true;
    }
}

/// What a session has in place of its connection.
pub struct Lent {
    wish: Arc<SessionWish>,
    status: StatusFlags,
    remembered: Remembered,
    _counted: Counted,
}

/// One of the sessions without a connection.
struct Counted(IntGauge);

impl Counted {
    fn among(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How a session comes back from lending.
pub enum Rested<'a> {
    /// It could not lend its connection after all.
    Kept(Session<'a>),
    /// With a connection and a command to run on it.
    Woken(Session<'a>, Payload),
}

/// Lends the session's connection, and waits for its next command without one.
pub async fn rest(session: Session<'_>, mut wait: Wait) -> Result<Rested<'_>, Leaving> {
    let mut lent = match session.lend().await? {
        Ok(lent) => lent,
        Err(kept) => return Ok(Rested::Kept(*kept)),
    };
    loop {
        let payload = lent.wait(&mut wait).await.map_err(Leaving::Ended)?;
        match payload.bytes.first().copied().and_then(Command::from_byte) {
            Some(Command::Quit) => {
                return Err(Leaving::Ended(Ending::silent(EndingKind::Quit, "quit")));
            }
            Some(Command::ChangeUser) => return Err(lent.leave(&payload)),
            // Neither is answered, and nothing is prepared that they could mean.
            Some(Command::StmtClose | Command::StmtSendLongData) => {}
            _ => match lent.borrow(&payload).await.map_err(Leaving::Ended)? {
                Ok(session) => return Ok(Rested::Woken(*session, payload)),
                Err((still_lent, err)) => {
                    lent = *still_lent;
                    lent.refuse(&payload, err).await.map_err(Leaving::Ended)?;
                }
            },
        }
        lent.client.begin_command();
        wait = Wait::begin(lent.limits.idle_timeout);
    }
}

/// A session, or the same session as it was and why.
type Borrowed<'a> = Result<Box<Session<'a>>, (Box<Session<'a, Lent>>, ErrPacket)>;

impl<'a> Session<'a> {
    /// Whether nothing but what [`Remembered`] holds ties the session to its connection.
    pub(super) fn may_share(&self) -> bool {
        let Traces { lasting, diagnostics } = self.traces;
        let status = self.replica.status;
        // Other names would depend on the character set in which they are sent.
        let is_plain = |schema: &[u8]| schema.is_ascii();
        let in_transaction =
            StatusFlags::SERVER_STATUS_IN_TRANS.union(StatusFlags::SERVER_STATUS_IN_TRANS_READONLY);
        !lasting
            && !diagnostics
            && !self.replica.is_personal
            && self.prepared.is_empty()
            && self.facts.schema().is_none_or(is_plain)
            && self.replica.wish.schema.as_deref().is_none_or(is_plain)
            && status.contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT)
            && !status.intersects(in_transaction)
            && self.replica.channel.is_quiet()
    }

    async fn lend(mut self) -> Result<Result<Session<'a, Lent>, Box<Self>>, Leaving> {
        if !self.registered.leave_replica() {
            return Ok(Err(Box::new(self)));
        }
        let daemon = self.daemon;
        let asked = remembered::ask(&daemon.pool.target, &mut self.replica).await;
        let asked = asked.map_err(|fault| {
            let detail = format!("reading the session's state: {fault}");
            Leaving::Ended(Ending::silent(EndingKind::ReplicaFault, detail))
        })?;
        let Some(remembered) = asked else {
            self.registered.at_replica(&self.replica.seat, &self.replica.wish.account);
            self.traces.lasting = true;
            return Ok(Err(Box::new(self)));
        };
        let lent = Lent {
            wish: Arc::clone(&self.replica.wish),
            status: self.replica.status,
            remembered,
            _counted: Counted::among(&daemon.metrics.sessions_without_connection),
        };
        let source = self.context.peer.ip();
        let (lent, replica) = self.with(lent);
        daemon.pool.take_back(replica, Some(source));
        Ok(Ok(lent))
    }
}

impl<'a> Session<'a, Lent> {
    /// Waits for a command, as long as nothing else ends the session.
    async fn wait(&mut self, wait: &mut Wait) -> Result<Payload, Ending> {
        let Self { client, orders, limits, idle, .. } = self;
        loop {
            tokio::select! {
                biased;
                payload = client.read_payload(limits.max_payload) => {
                    return payload.map_err(Ending::from);
                }
                () = orders.end_when_idle() => return Err(ordered(orders).at_rest()),
                idle = idle.pass(wait) => match idle {
                    Idle::Nap => client.release_buffers(),
                    Idle::Share => {}
                    Idle::Over => return Err(Ending::idle()),
                },
            }
        }
    }

    /// A connection for the session, guarded and in the state that it left behind. Without one
    /// the session stays as it is, and the client may try again. For a command, which may be a
    /// statement that the session's end comes before.
    async fn borrow(mut self, payload: &Payload) -> Result<Borrowed<'a>, Ending> {
        let daemon = self.daemon;
        let account = self.account();
        let account = refuse::unless_over(&mut self, payload, account).await?;
        if let Some(err) = daemon.walls.load().err_packet(&account) {
            return Ok(Err((Box::new(self), err)));
        }
        let wish = &self.replica.wish;
        if !Arc::ptr_eq(&wish.account, &account) {
            let account = Arc::clone(&account);
            self.replica.wish = Arc::new(SessionWish { account, ..SessionWish::clone(wish) });
        }
        let lending = Box::pin(daemon.pool.lend(&self.replica.wish, None));
        let opened = tokio::select! {
            biased;
            () = self.orders.end_when_idle() => Err(ordered(&self.orders)),
            opened = lending => Ok(opened),
        };
        let opened = refuse::unless_over(&mut self, payload, opened).await?;
        daemon.metrics.replica_opened(&opened, &account);
        let restored = match opened {
            Ok(replica) if replica.version != self.judge.server() => Err(ReplicaFault::Changed),
            Ok(mut replica) => {
                let target = &daemon.pool.target;
                let restored = self.replica.remembered.restore(target, &mut replica).await;
                restored.map(|()| replica)
            }
            Err(fault) => Err(fault),
        };
        let mut replica = match restored {
            Ok(replica) => replica,
            // It can't go on with this session.
            Err(changed @ ReplicaFault::Changed) => {
                let changed = Err(no_replica(daemon, &changed));
                return refuse::unless_over(&mut self, payload, changed).await;
            }
            Err(fault) => {
                let err = fault.err_packet(&daemon.pool.target.name);
                return Ok(Err((Box::new(self), err)));
            }
        };
        replica.status = self.replica.status;
        drop(std::mem::take(&mut replica.baseline));
        daemon.metrics.connections_borrowed.inc();
        self.registered.at_replica(&replica.seat, &account);
        let (mut session, _) = self.with(replica);
        session.retag(&daemon.judge(session.judge.server(), &session.role).policy);
        Ok(Ok(Box::new(session)))
    }

    /// Tells the client that there is no connection, and the ledger if that was for a statement.
    async fn refuse(&mut self, payload: &Payload, err: ErrPacket) -> Result<(), Ending> {
        match refuse::statement(payload, self.negotiated) {
            Some((command, text)) => {
                let cause = ("no_connection", StatementKind::Unknown);
                refuse::limited(self, command, &text, cause, err).await
            }
            None => self.send_err(&err).await,
        }
    }

    /// The account of the user's role as it is now.
    fn account(&self) -> Result<Arc<Account>, Ending> {
        let live = self.daemon.live();
        let role = live.users.find(self.user.as_bytes()).map(|user| Arc::clone(&user.role));
        let accounts = self.daemon.pool.target.accounts.load();
        let account = role.and_then(|role| accounts.of(&role).map(Arc::clone));
        account.ok_or_else(|| Ending::ordered(Reason::Revoked))
    }
}
