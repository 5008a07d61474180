//! The replica: how to reach it, what it said of itself, and a session on it under the
//! shared account.
//!
//! A [`ReplicaSession`] exists only after login and session guard have succeeded.
pub mod account;
pub mod checks;
pub mod configured;
mod fault;
pub mod guard;
pub mod login;
pub mod name;
pub mod pool;
mod reach;
pub mod relay;
pub mod remembered;
pub mod seat;
pub mod text_query;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use mysql_wire::compression::Algorithm;
use mysql_wire::handshake_response::Attribute;
use mysql_wire::{Capabilities, Command, ErrPacket, StatusFlags};
use rustls::pki_types::ServerName;
use sql_judge::{Flavour, ServerVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::packet_stream::PacketStream;
use account::{Account, Accounts};
pub use fault::ReplicaFault;
use guard::GuardSettings;
use login::LoggedIn;
use name::Name;
use seat::Seat;
use text_query::QueryFault;

/// Id of utf8mb4_general_ci, which every server has.
const UTF8MB4: u8 = 45;

/// Everything needed to open sessions on one replica.
pub struct ReplicaTarget {
    /// Name in config, ledger and metrics.
    pub name: String,
    /// Host and port.
    pub address: Name,
    /// How its TLS is opened; `None` for plaintext by config.
    pub tls: Option<ReplicaTrust>,
    /// The accounts on it.
    pub accounts: ArcSwap<Accounts>,
    /// Compression of the way to it.
    pub compression: Option<Algorithm>,
    /// What bounds sessions on it; a reload may swap it.
    pub bounds: ArcSwap<Bounds>,
    /// No user's session while it takes writes.
    pub refuse_writable: bool,
    /// What the replica said of itself when it was last seen.
    pub profile: ArcSwapOption<ReplicaProfile>,
}

/// Whom connections to the replica trust.
pub struct ReplicaTrust {
    /// Holds the authorities; a reload may swap it.
    pub connector: ArcSwap<TlsConnector>,
    /// The name that the replica's certificate must hold.
    pub name: ServerName<'static>,
}

/// What bounds sessions on the replica that log in from now on.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Deadline of connect, login and guard together.
    pub deadline: Duration,
    /// Session guard (second wall).
    pub guard: GuardSettings,
}

/// What a greeting tells of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaProfile {
    /// Version text, repeated to clients.
    pub version_text: Vec<u8>,
    /// Flavour and version, for the judge.
    pub version: ServerVersion,
    /// What the replica offers.
    pub offered: Capabilities,
    /// Default collation (low byte of its id).
    pub collation: u8,
}

impl ReplicaProfile {
    /// What is said of a replica that nobody has seen yet.
    fn unseen() -> Self {
        Self {
            version_text: b"8.0.0-readgate".to_vec(),
            version: ServerVersion { flavour: Flavour::MySql, number: 80_000 },
            offered: Capabilities::all().mysqls(),
            collation: UTF8MB4,
        }
    }
}

/// What a session on the replica should be like.
#[derive(Debug, Clone)]
pub struct SessionWish {
    /// The account that it runs under.
    pub account: Arc<Account>,
    /// What the client has negotiated.
    pub client: Capabilities,
    /// Collation id that the client asked for.
    pub collation: u16,
    /// Default schema.
    pub schema: Option<Vec<u8>>,
    /// Connection attributes to send.
    pub attributes: Vec<Attribute>,
    /// Longest statement, if shorter than the general limit.
    pub statement_timeout: Option<Duration>,
}

impl SessionWish {
    /// Whether one session would serve for both. An account that was read anew is another.
    pub fn is_like(&self, other: &Self) -> bool {
        let Self { account, client, collation, schema, attributes, statement_timeout } = self;
        Arc::ptr_eq(account, &other.account)
            && login::class(*client) == login::class(other.client)
            && (collation, schema) == (&other.collation, &other.schema)
            && (attributes, statement_timeout) == (&other.attributes, &other.statement_timeout)
    }
}

/// A logged-in, guarded session on the replica.
#[derive(Debug)]
pub struct ReplicaSession {
    connection: LoggedIn,
    guard: GuardSettings,
    /// What it was opened as, the account that it runs under among it.
    pub wish: Arc<SessionWish>,
    /// Session variables after the guard.
    pub baseline: guard::Baseline,
    /// A routine has run that may have set something else than the guard did.
    pub is_loose: bool,
}

impl ReplicaSession {
    /// Longest run of a statement, as the guard has set it.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.guard.statement_timeout
    }
}

impl std::ops::Deref for ReplicaSession {
    type Target = LoggedIn;

    fn deref(&self) -> &LoggedIn {
        &self.connection
    }
}

impl std::ops::DerefMut for ReplicaSession {
    fn deref_mut(&mut self) -> &mut LoggedIn {
        &mut self.connection
    }
}

impl ReplicaTarget {
    /// What it said of itself when it was last seen, or what is said of one that never was.
    pub fn seen(&self) -> Arc<ReplicaProfile> {
        self.profile.load_full().unwrap_or_else(|| Arc::new(ReplicaProfile::unseen()))
    }

    /// Opens a session on a new connection: connect, TLS, login, guard, all within the
    /// deadline.
    pub async fn open(&self, wish: &Arc<SessionWish>) -> Result<ReplicaSession, ReplicaFault> {
        self.open_by(reach::connect(&self.address), wish).await
    }

    /// The same where that one is, whatever the name leads to now.
    pub async fn open_beside(
        &self,
        seat: &Seat,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        self.open_by(reach::connect_to(seat.address), wish).await
    }

    async fn open_by(
        &self,
        connecting: impl Future<Output = std::io::Result<TcpStream>>,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        self.within_deadline(async {
            let socket = connecting.await;
            let socket = socket.map_err(|e| ReplicaFault::Unreachable(e.to_string()))?;
            let mut connection = login::log_in(self, PacketStream::new(socket), wish).await?;
            if u8::try_from(wish.collation).is_err() {
                // A handshake has one byte for it, a change of user two.
                connection = login::log_in_again(connection, wish).await?;
            }
            guard::put_in_force(connection, self.guard(wish.statement_timeout), wish).await
        })
        .await
    }

    /// Opens a session on a connection that was used before.
    pub async fn reopen(
        &self,
        used: LoggedIn,
        wish: &Arc<SessionWish>,
    ) -> Result<ReplicaSession, ReplicaFault> {
        self.within_deadline(async {
            let connection = login::log_in_again(used, wish).await?;
            guard::put_in_force(connection, self.guard(wish.statement_timeout), wish).await
        })
        .await
    }

    /// COM_RESET_CONNECTION: a connection forgets all, its guard too, and the replica frees
    /// what it held.
    pub async fn reset(&self, connection: &mut LoggedIn) -> Result<(), ReplicaFault> {
        connection.status = self.command(connection, Command::ResetConnection).await?;
        Ok(())
    }

    /// Whether the replica answers on that connection.
    pub async fn ping(&self, connection: &mut LoggedIn) -> Result<(), ReplicaFault> {
        self.command(connection, Command::Ping).await.map(drop)
    }

    /// A command without a body; the session's status after it.
    async fn command(
        &self,
        connection: &mut LoggedIn,
        command: Command,
    ) -> Result<StatusFlags, ReplicaFault> {
        let done = text_query::command(&mut connection.channel, command);
        self.within_deadline(async {
            done.await.map_err(|fault| ReplicaFault::Guard(fault.to_string()))
        })
        .await
    }

    /// Sets and verifies a session's guard again, behind its [`guard::Baseline::names`], and
    /// reads its state back.
    pub async fn guard_again(
        &self,
        session: &mut ReplicaSession,
        names: Option<&str>,
    ) -> Result<guard::Baseline, ReplicaFault> {
        let guard = session.guard.clone();
        session.is_loose = false;
        self.within_deadline(guard::set_again(session, &guard, names)).await
    }

    /// Reads a session's state back; behind a routine it is made read-only again first.
    pub async fn read_again(
        &self,
        session: &mut ReplicaSession,
    ) -> Result<guard::Baseline, ReplicaFault> {
        let baseline = match session.is_loose {
            true => self.within_deadline(guard::tighten(session)).await?,
            false => self.within_deadline(guard::read_again(session)).await?,
        };
        session.is_loose = false;
        Ok(baseline)
    }

    /// Has a session's diagnostics say of its last statement what readgate has said: that error.
    /// FOUND_ROWS() stays, as behind any error.
    pub async fn signal(
        &self,
        session: &mut ReplicaSession,
        err: &ErrPacket,
    ) -> Result<(), ReplicaFault> {
        let text = text_query::signal(err);
        let signalling = async {
            match text_query::run(&mut session.channel, &text).await {
                Err(QueryFault::Stream(fault)) => Err(fault.into()),
                Ok(_) | Err(QueryFault::Replica(_)) => Ok(()),
            }
        };
        self.within_deadline(signalling).await
    }

    /// Runs work on the replica within the deadline for it.
    pub async fn within_deadline<T>(
        &self,
        work: impl Future<Output = Result<T, ReplicaFault>>,
    ) -> Result<T, ReplicaFault> {
        let deadline = self.deadline();
        timeout(deadline, work).await.unwrap_or_else(|_| {
            let seconds = deadline.as_secs_f32();
            Err(ReplicaFault::Unreachable(format!("no answer within {seconds} s")))
        })
    }

    /// The deadline of what is asked of the replica from now on.
    pub fn deadline(&self) -> Duration {
        self.bounds.load().deadline
    }

    /// The guard of a session that logs in now, with its role's statement timeout if that is
    /// shorter.
    pub fn guard(&self, statement_timeout: Option<Duration>) -> GuardSettings {
        self.bounds.load().guard.narrowed(statement_timeout)
    }

    fn remember(&self, profile: &ReplicaProfile) {
        if self.profile.load().as_deref() != Some(profile) {
            self.profile.store(Some(Arc::new(profile.clone())));
        }
    }
}
