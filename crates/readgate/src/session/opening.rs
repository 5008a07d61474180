//! The first step of a session: a guarded session on the replica, the record of the login, and
//! only then the client's OK.

use std::sync::Arc;

use mysql_wire::error_code::ER_DBACCESS_DENIED_ERROR;
use mysql_wire::handshake_response::Attribute;
use mysql_wire::{Capabilities, ErrPacket, SqlState};
use sql_judge::SessionFacts;

use super::prepared::PreparedStatements;
use super::settle::charset_unknown;
use super::share::Traces;
use super::{Session, at};
use crate::connection::login::LoggedIn;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::idle::IdleTimer;
use crate::login_record;
use crate::packet_stream::PacketStream;
use crate::recording::RESERVED_ATTRIBUTES;
use crate::registry::{Card, Reason};
use crate::reload;
use crate::replica::account::Account;
use crate::replica::pool::Warm;
use crate::replica::{ReplicaFault, ReplicaSession, SessionWish};
use crate::replica_watch::no_session;
use crate::role_policy::RoleJudge;
use crate::room::Held;

/// Bytes of a client's attributes that go to the replica. One that gets more than 64 kB of them, ours
/// among them, refuses the login.
const MOST_ATTRIBUTES: usize = 32 << 10;

impl<'a> Session<'a> {
    /// Opens the session on the replica, records the login, and tells the client OK.
    pub async fn open(
        daemon: &'a Arc<Daemon>,
        client: &'a mut PacketStream,
        context: &'a mut Context,
        logged_in: LoggedIn,
    ) -> Result<Self, Ending> {
        let account = account_of(daemon, &logged_in)?;
        let wish = Arc::new(SessionWish {
            account: Arc::clone(&account),
            client: logged_in.negotiated,
            collation: logged_in.collation,
            schema: schema_of(daemon, &account, &logged_in)?,
            attributes: attributes_for_replica(&logged_in),
            statement_timeout: logged_in.named.user().role.limits.statement_timeout,
        });
        let mut replica = Box::pin(lent(daemon, &wish, context.earmarked.take())).await?;
        let baseline = std::mem::take(&mut replica.baseline);
        let facts = SessionFacts::of_replica(replica.version, &baseline.variables());
        let facts = facts.ok_or_else(charset_unknown)?;
        let user = logged_in.named.user();
        let card = Card {
            account: Some(account),
            seat: Some(replica.seat.clone()),
            ..Card::new(context, &logged_in.named, client.is_encrypted())
        };
        let RoleJudge { judge, policy } = daemon.judge(replica.version, &user.role);
        let tag = login_record::record(daemon, context, &logged_in, at(daemon, &replica, &policy))
            .await?;
        let (registered, orders) = daemon.registry.register(context.connection_id, card);
        reload::end_if_revoked(daemon, &registered);
        let mut session = Self {
            daemon,
            client,
            context,
            judge,
            facts,
            prepared: PreparedStatements::default(),
            prepared_room: Held::nothing(&daemon.rooms, user.name.as_str()),
            // What has changed since the user was looked up is followed.
            generation: logged_in.generation,
            program: login_record::program_of(&logged_in.attributes),
            tag,
            user: user.name.as_str().to_owned(),
            named: logged_in.named.clone(),
            role: Arc::clone(&user.role),
            records: daemon.live().records.for_session(&user.role.name, &wish.attributes),
            negotiated: logged_in.negotiated,
            collation: logged_in.collation,
            names: baseline.names(replica.version),
            multi_statements: logged_in.negotiated.contains(Capabilities::CLIENT_MULTI_STATEMENTS),
            limits: daemon.live().session_limits.narrowed(&user.role.limits),
            read_today: daemon.usage.of(user.name.as_str()),
            replica,
            traces: Traces::default(),
            untold: None,
            idle: IdleTimer::default(),
            tally: daemon.metrics.statements.tally(user.name.as_str(), &user.role.name),
            orders,
            registered,
            slots: logged_in.slots,
        };
        session.send_ok(false).await?;
        if let Some(algorithm) = logged_in.compression {
            session.client.compress(algorithm);
        }
        Ok(session)
    }
}

/// A session as wished, if the walls stand for its account and the pool has one.
async fn lent(
    daemon: &Daemon,
    wish: &Arc<SessionWish>,
    earmarked: Option<Warm>,
) -> Result<ReplicaSession, Ending> {
    let account = &wish.account;
    daemon.walls.seen(account, daemon.pool.target.deadline()).await;
    let refused = daemon.walls.load().no_session(account);
    if let Some(why) = refused {
        let farewell = no_session(&why);
        return Err(Ending::told(EndingKind::ReplicaFault, why, farewell));
    }
    let opened = daemon.pool.lend(wish, earmarked).await;
    daemon.metrics.replica_opened(&opened, account);
    opened.map_err(|fault| no_replica(daemon, &fault))
}

pub(super) fn no_replica(daemon: &Daemon, fault: &ReplicaFault) -> Ending {
    let farewell = fault.err_packet(&daemon.pool.target.name);
    Ending::told(EndingKind::ReplicaFault, fault.to_string(), farewell)
}

/// The account of the user's role. One that a reload has just taken away is nobody else's.
fn account_of(daemon: &Daemon, logged_in: &LoggedIn) -> Result<Arc<Account>, Ending> {
    let accounts = daemon.pool.target.accounts.load();
    let account = accounts.of(&logged_in.named.user().role).map(Arc::clone);
    account.ok_or_else(|| Ending::ordered(Reason::Revoked))
}

/// The schema that the login asks for, which its role must let it have, or the general one.
fn schema_of(
    daemon: &Daemon,
    account: &Account,
    logged_in: &LoggedIn,
) -> Result<Option<Vec<u8>>, Ending> {
    let policy = daemon.live().policy_of(&logged_in.named.user().role);
    if let Some(schema) = &logged_in.schema {
        if policy.may_use(schema) {
            return Ok(Some(schema.clone()));
        }
        let text = "readgate: access denied to this schema (the role's schemas)";
        let err = ErrPacket::new(ER_DBACCESS_DENIED_ERROR, SqlState::ACCESS, text);
        return Err(Ending::told(EndingKind::LoginDenied, "schema not of the role", err));
    }
    let default = account.default_schema.as_ref().map(|schema| schema.clone().into_bytes());
    Ok(default.filter(|schema| policy.may_use(schema)))
}

/// The client's own attributes, then who it really is, so that the replica's
/// session_connect_attrs name the person behind the shared account. What differs from one run
/// of a program to the next means nothing on the replica and stands in the login's record.
fn attributes_for_replica(logged_in: &LoggedIn) -> Vec<Attribute> {
    let is_passed = |a: &&Attribute| {
        !a.name.starts_with(RESERVED_ATTRIBUTES)
            && !matches!(a.name.as_slice(), b"_pid" | b"_thread")
    };
    let mut room = MOST_ATTRIBUTES;
    let has_room = |attribute: &&Attribute| {
        let left = room.checked_sub(attribute.name.len() + attribute.value.len());
        left.map(|left| room = left).is_some()
    };
    let clients = logged_in.attributes.iter().filter(is_passed).take(64).take_while(has_room);
    let user = logged_in.named.user().name.as_str();
    let mut all: Vec<Attribute> = clients.cloned().collect();
    all.push(Attribute::new("readgate_user", user));
    all
}
