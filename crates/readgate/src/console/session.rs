//! An operator's session: the same login, limits, registry and ledger as any other, and the
//! console where others have the replica. It can't get at a replica: it never holds one.
use std::sync::Arc;
use std::time::Instant;

use ledger::WhoTag;
use mysql_wire::error_code::ER_UNKNOWN_COM_ERROR;
use mysql_wire::ok_packet::encode_end;
use mysql_wire::packet::Payload;
use mysql_wire::{Capabilities, Command, ErrPacket, OkPacket, SqlState, StatusFlags};
use tokio::time::sleep;

use super::CONSOLE;
use super::prepared::{self, PreparedStatements};
use super::statement::{self, Asked};
use crate::connection::login::LoggedIn;
use crate::context::Context;
use crate::daemon::{Daemon, SessionLimits};
use crate::ending::{Ending, EndingKind};
use crate::login_record::{self, Place};
use crate::packet_stream::PacketStream;
use crate::recording;
use crate::registry::{Card, Order, Orders, Registered};
use crate::reload;
use crate::session::carried::Carried;
use crate::session::{Leaving, flush, ordered};

/// The one status that there is.
pub const STATUS: StatusFlags = StatusFlags::SERVER_STATUS_AUTOCOMMIT;

/// An operator's session.
pub struct Operator<'a> {
    /// The daemon.
    pub daemon: &'a Arc<Daemon>,
    /// The client.
    pub client: &'a mut PacketStream,
    /// For the ledger and the log.
    pub context: &'a mut Context,
    /// Who.
    pub logged_in: LoggedIn,
    /// Who, as the ledger writes it.
    pub tag: WhoTag,
    /// Schema in use.
    pub schema: Option<&'static str>,
    /// Prepared statements.
    pub prepared: PreparedStatements,
    /// Bounds of the session.
    pub limits: SessionLimits,
    orders: Orders,
    _registered: Registered,
}

/// Serves an operator until the session ends.
pub async fn run(
    daemon: &Arc<Daemon>,
    client: &mut PacketStream,
    context: &mut Context,
    logged_in: LoggedIn,
) -> Leaving {
    match Operator::open(daemon, client, context, logged_in).await {
        Ok(operator) => operator.run().await,
        Err(ending) => Leaving::Ended(ending),
    }
}

impl<'a> Operator<'a> {
    async fn open(
        daemon: &'a Arc<Daemon>,
        client: &'a mut PacketStream,
        context: &'a mut Context,
        logged_in: LoggedIn,
    ) -> Result<Self, Ending> {
        // An operator's session holds nothing on the replica. The replica doesn't give an id
        // out again, so the greeting's stays this session's alone.
        drop(context.earmarked.take());
        let policy = recording::console_policy();
        let at =
            Place { replica: CONSOLE, account: CONSOLE, replica_session: None, policy: &policy };
        let tag = login_record::record(daemon, context, &logged_in, at).await?;
        let user = logged_in.named.user();
        let card = Card::new(context, &logged_in.named, client.is_encrypted());
        let limits = daemon.live().session_limits.narrowed(&user.role.limits);
        let (registered, orders) = daemon.registry.register(context.connection_id, card);
        reload::end_if_revoked(daemon, &registered);
        let schema = logged_in.schema.as_deref().unwrap_or(b"readgate");
        let schema = statement::schema(schema).ok_or_else(|| {
            let err = statement::unknown_schema(schema);
            Ending::told(EndingKind::LoginDenied, "the console has no such schema", err)
        })?;
        client.send(&[&OkPacket::plain(STATUS).encode()]).await?;
        if let Some(algorithm) = logged_in.compression {
            client.compress(algorithm);
        }
        Ok(Self {
            daemon,
            client,
            context,
            logged_in,
            tag,
            schema: Some(schema),
            prepared: PreparedStatements::default(),
            limits,
            orders,
            _registered: registered,
        })
    }

    async fn run(mut self) -> Leaving {
        loop {
            self.client.begin_command();
            self.daemon.metrics.traffic(self.client.take_traffic());
            let payload = match self.wait_for_command().await {
                Ok(payload) => payload,
                Err(ending) => return Leaving::Ended(ending),
            };
            if payload.bytes.first() == Some(&Command::ChangeUser.byte()) {
                return self.leave(&payload);
            }
            if let Err(ending) = self.command(&payload).await {
                return Leaving::Ended(ending);
            }
        }
    }

    async fn wait_for_command(&mut self) -> Result<Payload, Ending> {
        let Self { client, orders, limits, .. } = self;
        if orders.current() != Order::GoOn {
            return Err(ordered(orders).at_rest());
        }
        tokio::select! {
            biased;
            payload = client.read_payload(limits.max_payload) => payload.map_err(Ending::from),
            () = orders.end_when_idle() => Err(ordered(orders).at_rest()),
            () = sleep(limits.idle_timeout) => Err(Ending::idle()),
        }
    }

    async fn command(&mut self, payload: &Payload) -> Result<(), Ending> {
        let Some(&first) = payload.bytes.first() else {
            return Err(Ending::malformed("empty command"));
        };
        let body = payload.bytes.slice(1..);
        match Command::from_byte(first) {
            Some(Command::Quit) => Err(Ending::silent(EndingKind::Quit, "quit")),
            Some(Command::Query) => {
                let (text, carried) = Carried::of_query(body, self.logged_in.negotiated)?;
                let asked = Asked { carried: &carried, ..Asked::text(Command::Query, &text) };
                statement::run(self, &asked, Instant::now()).await
            }
            Some(Command::InitDb) => {
                let text = format!("USE `{}`", String::from_utf8_lossy(&body).replace('`', "``"));
                let asked = Asked::text(Command::Query, text.as_bytes());
                statement::run(self, &asked, Instant::now()).await
            }
            Some(Command::Ping) => self.ok().await,
            Some(Command::ResetConnection) => {
                self.prepared = PreparedStatements::default();
                self.ok().await
            }
            Some(Command::SetOption) => {
                let is_modern =
                    self.logged_in.negotiated.contains(Capabilities::CLIENT_DEPRECATE_EOF);
                self.send(&encode_end(STATUS, is_modern)).await
            }
            Some(Command::Statistics) => self.send(b"readgate console").await,
            Some(Command::StmtPrepare) => prepared::prepare(self, &body, Instant::now()).await,
            Some(Command::StmtExecute) => prepared::execute(self, &body, Instant::now()).await,
            Some(Command::StmtReset) => prepared::reset(self, &body).await,
            Some(Command::StmtFetch) => prepared::fetch(self).await,
            // These two are never answered.
            Some(Command::StmtClose) => {
                self.prepared.close(&body);
                Ok(())
            }
            Some(Command::StmtSendLongData) => {
                self.prepared.send_ahead(&body, self.limits.max_payload);
                Ok(())
            }
            Some(Command::FieldList | Command::ChangeUser) | None => {
                let err = ErrPacket::new(ER_UNKNOWN_COM_ERROR, SqlState::LINK, "Unknown command");
                self.err(&err).await
            }
        }
    }

    /// The session is over, whoever the client becomes.
    fn leave(self, payload: &Payload) -> Leaving {
        let LoggedIn { slots: (slot, _), negotiated, collation, .. } = self.logged_in;
        Leaving::by_change_user(payload, slot, negotiated, collation)
    }

    /// Tells the client OK.
    pub async fn ok(&mut self) -> Result<(), Ending> {
        self.send(&OkPacket::plain(STATUS).encode()).await
    }

    /// Tells the client what is wrong.
    pub async fn err(&mut self, err: &ErrPacket) -> Result<(), Ending> {
        self.send(&err.encode()).await
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), Ending> {
        self.client.queue(&[payload]);
        self.flush().await
    }

    /// Sends what is queued, to a client that reads.
    pub async fn flush(&mut self) -> Result<(), Ending> {
        flush(self.client, &mut self.orders, self.limits.write_timeout).await
    }
}
