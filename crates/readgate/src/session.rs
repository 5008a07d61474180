//! The command phase: read a command, run it, repeat until an [`Ending`].
//!
//! A session exists only for a [`NamedUser`] with a guarded session on
//! the replica; the client's OK goes out after both.
pub mod aside;
mod broken_off;
pub mod carried;
pub mod command;
pub mod kill;
pub mod limits;
pub mod opening;
pub mod overtime;
pub mod own;
pub mod passthrough;
pub mod password;
pub mod prepared;
pub mod refuse;
mod settle;
pub mod share;
pub mod statement;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{NamedUser, Role, SourceSlot, UserSlot, UserStore};
use ledger::WhoTag;
use mysql_wire::change_user::ChangeUser;
use mysql_wire::packet::Payload;
use mysql_wire::{Capabilities, Command, ErrPacket, OkPacket, StatusFlags};
use sql_judge::{Judge, SessionFacts};

use crate::context::Context;
use crate::daemon::{Daemon, SessionLimits};
use crate::ending::{Ending, EndingKind};
use crate::idle::{Idle, IdleTimer, Wait};
use crate::login_record::{self, Place};
use crate::metrics::tally::{Ran, Tally};
use crate::packet_stream::PacketStream;
use crate::patience;
use crate::recording::SessionRecords;
use crate::registry::{Order, Orders, Registered};
use crate::replica::ReplicaSession;
use crate::replica::pool::Warm;
use crate::role_policy::RoleJudge;
use crate::room::Held;
use crate::usage::BytesRead;
use prepared::PreparedStatements;
use share::{Rested, Traces};

/// Flags that belong to one response, not to the session. One of them says that more follows in
/// the same packet.
const RESPONSE_FLAGS: StatusFlags = StatusFlags::SERVER_MORE_RESULTS_EXISTS
    .union(StatusFlags::SERVER_STATUS_NO_GOOD_INDEX_USED)
    .union(StatusFlags::SERVER_STATUS_NO_INDEX_USED)
    .union(StatusFlags::SERVER_STATUS_CURSOR_EXISTS)
    .union(StatusFlags::SERVER_STATUS_LAST_ROW_SENT)
    .union(StatusFlags::SERVER_STATUS_DB_DROPPED)
    .union(StatusFlags::SERVER_STATUS_METADATA_CHANGED)
    .union(StatusFlags::SERVER_QUERY_WAS_SLOW)
    .union(StatusFlags::SERVER_PS_OUT_PARAMS)
    .union(StatusFlags::SERVER_SESSION_STATE_CHANGED);

/// A named user's session. `R` is what it has of the replica: a guarded session there, which
/// all that runs statements asks for, or, while it is idle and shares, none.
pub struct Session<'a, R = ReplicaSession> {
    daemon: &'a Arc<Daemon>,
    client: &'a mut PacketStream,
    context: &'a mut Context,
    replica: R,
    traces: Traces,
    /// The last error, if the replica's diagnostics don't have it.
    untold: Option<ErrPacket>,
    judge: Arc<Judge>,
    facts: SessionFacts,
    prepared: PreparedStatements,
    /// For their texts.
    prepared_room: Held,
    /// Of the judges that this session's is one of.
    generation: u64,
    program: Option<String>,
    tag: WhoTag,
    user: String,
    named: NamedUser,
    role: Arc<Role>,
    records: SessionRecords,
    negotiated: Capabilities,
    collation: u16,
    /// What gives it the character set of its login again.
    names: Option<Box<str>>,
    /// Whether one query may hold several statements.
    multi_statements: bool,
    limits: SessionLimits,
    read_today: Arc<BytesRead>,
    idle: IdleTimer,
    tally: Tally,
    orders: Orders,
    registered: Registered,
    slots: (SourceSlot, UserSlot),
}

/// How a session was left.
pub enum Leaving {
    /// With the connection.
    Ended(Ending),
    /// The client wants to be somebody else.
    ToBecome(Left),
}

impl Leaving {
    /// By COM_CHANGE_USER; `slot`, `negotiated` and `collation` are the session's.
    pub fn by_change_user(
        payload: &Payload,
        slot: SourceSlot,
        negotiated: Capabilities,
        collation: u16,
    ) -> Self {
        let body = payload.bytes.get(1..).unwrap_or_default();
        match ChangeUser::parse(body, negotiated) {
            Ok(request) => Self::ToBecome(Left { request, slot, negotiated, collation }),
            Err(malformed) => Self::Ended(malformed.into()),
        }
    }
}

/// What a session leaves to the next one on the same connection.
pub struct Left {
    /// Who the client wants to be.
    pub request: ChangeUser,
    /// The connection's place under the limits.
    pub slot: SourceSlot,
    /// What both sides can.
    pub negotiated: Capabilities,
    /// Collation of the session before.
    pub collation: u16,
}

impl<'a> Session<'a> {
    /// Runs commands until the session ends. A replica session that ends between commands
    /// goes back to the pool; one in the middle of something does not. Boxed: a future holds what
    /// it was given beside what it makes of it, and whoever waits for it holds it a third time.
    pub async fn run(mut self: Box<Self>) -> Leaving {
        loop {
            self.client.begin_command();
            self.daemon.metrics.traffic(self.client.take_traffic());
            let share = self.daemon.pool.share_idle();
            let mut wait = Wait::begin(self.limits.idle_timeout).sharing_after(share);
            let payload = loop {
                match self.wait_for_command(&mut wait).await {
                    Ok(Some(payload)) => break payload,
                    // Few come here at a time: the others' futures needn't have room for it.
                    Ok(None) => match Box::pin(share::rest(*self, wait)).await {
                        Ok(Rested::Kept(session)) => *self = session,
                        Ok(Rested::Woken(session, payload)) => {
                            *self = session;
                            break payload;
                        }
                        Err(leaving) => return leaving,
                    },
                    Err(ending) => return Leaving::Ended(self.give_back(ending)),
                }
            };
            if payload.bytes.first() == Some(&Command::ChangeUser.byte()) {
                return self.leave_with_connection(&payload);
            }
            if self.generation != self.daemon.judges.generation() {
                let followed = Box::pin(self.follow_changes()).await;
                let done = Box::pin(refuse::unless_over(&mut *self, &payload, followed));
                if let Err(ending) = done.await {
                    return Leaving::Ended(ending);
                }
            }
            match command::run(&mut self, payload, Instant::now()).await {
                Ok(()) => {}
                Err(ending) if ending.kind == EndingKind::Quit => {
                    return Leaving::Ended(self.give_back(ending));
                }
                Err(ending) => return Leaving::Ended(ending),
            }
        }
    }

    /// Users or the configuration have changed since the judge was asked for: what the role may do
    /// now, and how that is recorded, counts from the next statement on, for prepared ones too. A
    /// session that may not go on at all is told to end by others. Limits that the replica keeps
    /// stay as they were set at login.
    async fn follow_changes(&mut self) -> Result<(), Ending> {
        self.generation = self.daemon.judges.generation();
        let live = self.daemon.live();
        if let Some(user) = live.users.find(self.user.as_bytes()) {
            let RoleJudge { judge, policy } = self.daemon.judge(self.replica.version, &user.role);
            self.judge = judge;
            prepared::retain_allowed(self).await?;
            self.role = Arc::clone(&user.role);
            self.limits = live.session_limits.narrowed(&user.role.limits);
            self.retag(&policy);
        }
        let attributes = &self.replica.wish.attributes;
        self.records = live.records.for_session(&self.role.name, attributes);
        Ok(())
    }

    /// Who it is, as its records say from now on.
    fn retag(&mut self, policy: &str) {
        let program = self.program.as_deref();
        let at = at(self.daemon, &self.replica, policy);
        let who = login_record::who(self.context, (&self.named, &self.role.name), program, at);
        self.tag = self.tag.changed(&who);
    }

    /// COM_CHANGE_USER: this session is over, whoever the client becomes. Its connection to
    /// the replica is kept for the next one, unless that one must have another, or a KILL under
    /// way would hit the next one's.
    fn leave_with_connection(self, payload: &Payload) -> Leaving {
        let (session, replica) = self.with(());
        let is_free = session.registered.leave_replica() && !replica.is_personal;
        session.context.earmarked = is_free.then(|| Warm::used(replica));
        session.leave(payload)
    }

    /// The session leaves the registry first: its connection id may be somebody else's next.
    fn give_back(self, ending: Ending) -> Ending {
        let Self { daemon, context, replica, registered, .. } = self;
        let is_free = registered.leave_replica();
        drop(registered);
        if is_free && ending.kind != EndingKind::ReplicaFault {
            daemon.pool.take_back(replica, Some(context.peer.ip()));
        }
        ending
    }

    /// Waits for the next command, as long as nothing else ends the session. `None`: the
    /// session has been idle for so long that it may lend its connection meanwhile.
    async fn wait_for_command(&mut self, wait: &mut Wait) -> Result<Option<Payload>, Ending> {
        // Of a client that sends ahead there is always a command: nothing below waits for an order.
        if self.orders.current() != Order::GoOn {
            return Err(ordered(&self.orders).at_rest());
        }
        loop {
            let Self { client, replica, orders, limits, idle, .. } = self;
            tokio::select! {
                biased;
                payload = client.read_payload(limits.max_payload) => {
                    return payload.map(Some).map_err(Ending::from);
                }
                () = orders.end_when_idle() => return Err(ordered(orders).at_rest()),
                unasked = replica.channel.fill() => {
                    return Err(replica_spoke_unasked(replica, unasked));
                }
                idle = idle.pass(wait) => match idle {
                    Idle::Nap => {
                        client.release_buffers();
                        replica.channel.release_buffers();
                    }
                    Idle::Share if self.may_share() => return Ok(None),
                    Idle::Share => {}
                    Idle::Over => return Err(Ending::idle()),
                },
            }
        }
    }

    /// Counts a statement that ran.
    pub fn tally(&mut self, ran: &Ran) {
        self.tally.ran(&self.daemon.metrics.statements, ran);
    }

    /// Tells the client OK, with the session's status.
    async fn send_ok(&mut self, more_results: bool) -> Result<(), Ending> {
        let mut status = self.replica.status - RESPONSE_FLAGS;
        status.set(StatusFlags::SERVER_MORE_RESULTS_EXISTS, more_results);
        self.untold = None;
        self.send(&OkPacket::plain(status).encode()).await
    }

    /// Ends what the session runs on the replica, without waiting for it.
    fn kill_later(&self) {
        self.daemon.kill_later(&self.replica.wish.account, &self.replica.seat);
    }
}

impl<'a, R> Session<'a, R> {
    /// The daemon it belongs to.
    pub fn daemon(&self) -> &Daemon {
        self.daemon
    }

    /// What is known of it.
    pub fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// Whether values are left out of its records.
    pub fn redacts(&self) -> bool {
        self.records.redacts
    }

    /// Who, as the ledger writes it.
    pub fn tag(&self) -> &WhoTag {
        &self.tag
    }

    async fn send_err(&mut self, err: &ErrPacket) -> Result<(), Ending> {
        self.untold = Some(err.clone());
        self.send(&err.encode()).await
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), Ending> {
        self.client.queue(&[payload]);
        flush(self.client, &mut self.orders, self.limits.write_timeout).await
    }

    /// The session is over, whoever the client becomes.
    fn leave(self, payload: &Payload) -> Leaving {
        let (slot, _) = self.slots;
        Leaving::by_change_user(payload, slot, self.negotiated, self.collation)
    }

    /// The same session with something else of the replica, and what it had.
    fn with<T>(self, replica: T) -> (Session<'a, T>, R) {
        let session = Session {
            daemon: self.daemon,
            client: self.client,
            context: self.context,
            replica,
            traces: self.traces,
            untold: self.untold,
            judge: self.judge,
            facts: self.facts,
            prepared: self.prepared,
            prepared_room: self.prepared_room,
            generation: self.generation,
            program: self.program,
            tag: self.tag,
            user: self.user,
            named: self.named,
            role: self.role,
            records: self.records,
            negotiated: self.negotiated,
            collation: self.collation,
            names: self.names,
            multi_statements: self.multi_statements,
            limits: self.limits,
            read_today: self.read_today,
            idle: self.idle,
            tally: self.tally,
            orders: self.orders,
            registered: self.registered,
            slots: self.slots,
        };
        (session, self.replica)
    }
}

/// Sends what is queued, to a client that takes it, for as long as its session may go on.
pub async fn flush(
    client: &mut PacketStream,
    orders: &mut Orders,
    write_timeout: Duration,
) -> Result<(), Ending> {
    tokio::select! {
        biased;
        sent = patience::within(write_timeout, client.flush()) => match sent {
            Ok(sent) => Ok(sent?),
            Err(_) => {
                Err(Ending::silent(EndingKind::ClientGone, "the client takes nothing any more"))
            }
        },
        () = orders.end_now() => Err(ordered(orders)),
    }
}

/// The ending that a session is ordered to.
pub fn ordered(orders: &Orders) -> Ending {
    match orders.current() {
        Order::FinishAndEnd(reason) | Order::EndNow(reason) => Ending::ordered(reason),
        Order::GoOn => Ending::silent(EndingKind::Internal, "woken without an order"),
    }
}

/// Between commands a replica has nothing to say but goodbye, such as 4031 when its
/// wait_timeout passes: pass that on.
fn replica_spoke_unasked(replica: &mut ReplicaSession, filled: std::io::Result<usize>) -> Ending {
    let gone = || Ending::silent(EndingKind::ReplicaFault, "the replica closed the session");
    if !matches!(filled, Ok(1..)) {
        return gone();
    }
    let payload = mysql_wire::packet::take_payload(replica.channel.inbox(), 0, 1 << 16);
    match payload.ok().flatten().map(|payload| ErrPacket::parse(&payload.bytes)) {
        Some(Ok(err)) => Ending::told(EndingKind::ReplicaFault, "the replica said goodbye", err),
        Some(Err(_)) | None => gone(),
    }
}

/// Where the session's statements run, for its records.
fn at<'a>(daemon: &'a Daemon, replica: &'a ReplicaSession, policy: &'a str) -> Place<'a> {
    let replica_session = Some(u64::from(replica.seat.id));
    let (name, account) = (&daemon.pool.target.name, &replica.wish.account.user);
    Place { replica: name, account, replica_session, policy }
}
