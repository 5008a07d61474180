//! The replica: how to reach it, what it said of itself, and a session on it under the
//! shared account.
//!
//! A [`ReplicaSession`] exists only after login and session guard have succeeded.
pub mod guard;
pub mod login;
pub mod relay;
pub mod text_query;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mysql_auth::Password;
use mysql_wire::handshake_response::Attribute;
use mysql_wire::response::ResponseForm;
use mysql_wire::{Capabilities, ErrPacket, SqlState, StatusFlags};
use rustls::pki_types::ServerName;
use sql_judge::ServerVersion;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::packet_stream::{PacketStream, StreamFault};
use crate::tls::TlsFault;

/// `CR_CONN_HOST_ERROR`, which drivers know as "the server can't be reached".
const CONN_HOST_ERROR: u16 = 2003;

/// Everything needed to open sessions on one replica.
pub struct ReplicaTarget {
    /// Name in config, ledger and metrics.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// Schema of sessions whose client names none.
    pub default_schema: Option<String>,
    /// TLS and the name its certificate must hold; `None` for plaintext by config.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
    /// User name of the shared account.
    pub account: String,
    /// Its password.
    pub password: Password,
    /// Deadline of connect, login and guard together.
    pub deadline: Duration,
    /// Session guard (second wall).
    pub guard: guard::GuardSettings,
    /// What the replica said of itself when it was last seen.
    pub profile: ArcSwapOption<ReplicaProfile>,
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

/// What a session on the replica should be like.
#[derive(Debug, Clone)]
pub struct SessionWish {
    /// What the client has negotiated.
    pub client: Capabilities,
    /// Collation id of the client's handshake.
    pub collation: u8,
    /// Default schema.
    pub schema: Option<Vec<u8>>,
    /// Connection attributes to send.
    pub attributes: Vec<Attribute>,
}

/// A logged-in, guarded session on the replica.
#[derive(Debug)]
pub struct ReplicaSession {
    /// The connection.
    pub channel: PacketStream,
    /// Form of its responses.
    pub form: ResponseForm,
    /// The replica's id of it (`CONNECTION_ID()`).
    pub connection_id: u32,
    /// Status flags as last reported.
    pub status: StatusFlags,
    /// Session variables after the guard.
    pub baseline: guard::Baseline,
}

/// Why there is no session on the replica.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaFault {
    /// Nothing there, or it doesn't answer in time.
    #[error("can't connect to it: {0}")]
    Unreachable(String),
    /// TLS failed, or the certificate is not the replica's.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It closed or broke the protocol.
    #[error("the connection broke: {0}")]
    Stream(#[from] StreamFault),
    /// It refused the shared account.
    #[error("it refused the shared account: error {}", .0.code)]
    Account(ErrPacket),
    /// The schema that the client asked for isn't there for it.
    #[error("it refused the schema: error {}", .0.code)]
    Schema(ErrPacket),
    /// The login exchange failed on our side.
    #[error("{0}")]
    Login(#[from] mysql_auth::ReplicaAuthFault),
    /// The read-only session guard could not be set and verified.
    #[error("the session guard is not in force: {0}")]
    Guard(String),
    /// It isn't a server that readgate can judge for.
    #[error("it is not a server that readgate knows: version {0:?}")]
    Version(String),
}

impl From<TlsFault> for ReplicaFault {
    fn from(fault: TlsFault) -> Self {
        Self::Tls(fault.to_string())
    }
}

impl ReplicaFault {
    /// What the client is told: nothing of addresses or the account.
    pub fn err_packet(&self, replica: &str) -> ErrPacket {
        let why = match self {
            Self::Schema(err) => return err.clone(),
            Self::Unreachable(_) => "it can't be reached",
            Self::Tls(_) => "its TLS certificate could not be verified",
            Self::Stream(_) => "its connection broke",
            Self::Account(_) | Self::Login(_) => "it refused the shared account",
            Self::Guard(_) => "the read-only guard could not be put in force",
            Self::Version(_) => "it is not a server that readgate knows",
        };
        let message = format!("readgate: no session on the replica '{replica}': {why}");
        ErrPacket::new(CONN_HOST_ERROR, SqlState::LINK, message)
    }

    /// Label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Stream(_) => "broken",
            Self::Account(_) | Self::Login(_) => "account",
            Self::Schema(_) => "schema",
            Self::Guard(_) => "guard",
            Self::Version(_) => "version",
        }
    }
}

impl ReplicaTarget {
    /// Opens a session: connect, TLS, login, guard, all within the deadline.
    pub async fn open(&self, wish: &SessionWish) -> Result<ReplicaSession, ReplicaFault> {
        let opened = timeout(self.deadline, self.open_unbounded(wish)).await;
        opened.unwrap_or_else(|_| {
            let seconds = self.deadline.as_secs_f32();
            Err(ReplicaFault::Unreachable(format!("no answer within {seconds} s")))
        })
    }

    async fn open_unbounded(&self, wish: &SessionWish) -> Result<ReplicaSession, ReplicaFault> {
        let socket = TcpStream::connect(&self.address)
            .await
            .map_err(|e| ReplicaFault::Unreachable(e.to_string()))?;
        socket.set_nodelay(true).map_err(StreamFault::Io)?;
        let logged_in = login::log_in(self, PacketStream::new(socket), wish).await?;
        self.remember(&logged_in.profile);
        guard::put_in_force(logged_in, &self.guard).await
    }

    /// Ends a statement or a session of ours on the replica, over a connection of its own.
    pub async fn kill(&self, connection_id: u32, query_only: bool) -> Result<(), ReplicaFault> {
        let wish = SessionWish {
            client: Capabilities::empty(),
            collation: 45,
            schema: None,
            attributes: vec![Attribute::new("program_name", "readgate-kill")],
        };
        let mut session = self.open(&wish).await?;
        let what = if query_only { "QUERY" } else { "CONNECTION" };
        let text = format!("KILL {what} {connection_id}");
        let done = timeout(self.deadline, text_query::run(&mut session.channel, &text)).await;
        match done {
            Err(_) => Err(ReplicaFault::Unreachable("KILL had no answer".to_owned())),
            // 1094: it has ended by itself meanwhile.
            Ok(Err(text_query::QueryFault::Replica(err))) if err.code == 1094 => Ok(()),
            Ok(Err(fault)) => Err(ReplicaFault::Guard(fault.to_string())),
            Ok(Ok(_)) => Ok(()),
        }
    }

    fn remember(&self, profile: &ReplicaProfile) {
        if self.profile.load().as_deref() != Some(profile) {
            self.profile.store(Some(Arc::new(profile.clone())));
        }
    }
}
