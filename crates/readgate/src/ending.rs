//! How a connection finished: whose doing it was (a closed set, the metric's label), what
//! the ledger is told, and what the client may read.
use mysql_wire::error_code::{
    ER_CLIENT_INTERACTION_TIMEOUT, ER_CONNECTION_KILLED, ER_HANDSHAKE_ERROR, ER_MALFORMED_PACKET,
    ER_NET_PACKET_TOO_LARGE, ER_NET_PACKETS_OUT_OF_ORDER, ER_SERVER_SHUTDOWN,
};
use mysql_wire::packet::PacketFault;
use mysql_wire::{ErrPacket, Malformed, SqlState};

use crate::packet_stream::StreamFault;
use crate::registry::Reason;
use crate::room::none_left;

/// The one error that tells clients of both servers that the connection is over, so that pools
/// make another.
const SESSION_IS_OVER: u16 = ER_CLIENT_INTERACTION_TIMEOUT;

/// Kinds of endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndingKind {
    /// COM_QUIT.
    Quit,
    /// The client closed or its connection broke.
    ClientGone,
    /// The client broke the protocol.
    ClientFault,
    /// The source is not listed.
    SourceDenied,
    /// A connection limit is reached.
    OverLimit,
    /// Login refused, for whatever reason.
    LoginDenied,
    /// No TLS where it is required, or the handshake failed.
    TlsFailed,
    /// Login took too long.
    LoginTimeout,
    /// Idle for too long.
    IdleTimeout,
    /// Lasted longer than the role allows.
    SessionTime,
    /// No session on the replica, or it broke.
    ReplicaFault,
    /// The ledger can't record.
    LedgerFault,
    /// KILL CONNECTION.
    Killed,
    /// The daemon stops.
    Shutdown,
    /// Source or user no longer let in.
    Revoked,
    /// A balancer's own connection.
    HealthCheck,
    /// A fault of ours.
    Internal,
}

impl EndingKind {
    /// Stable name, for metrics and ledger.
    pub fn label(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::ClientGone => "client_gone",
            Self::ClientFault => "client_fault",
            Self::SourceDenied => "source_denied",
            Self::OverLimit => "over_limit",
            Self::LoginDenied => "login_denied",
            Self::TlsFailed => "tls_failed",
            Self::LoginTimeout => "login_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::SessionTime => "session_time",
            Self::ReplicaFault => "replica_fault",
            Self::LedgerFault => "ledger_fault",
            Self::Killed => "killed",
            Self::Shutdown => "shutdown",
            Self::Revoked => "revoked",
            Self::HealthCheck => "health_check",
            Self::Internal => "internal",
        }
    }
}

/// The end of a connection.
#[derive(Debug)]
pub struct Ending {
    /// Whose doing.
    pub kind: EndingKind,
    /// For the ledger and the log.
    pub detail: String,
    /// Last words to the client, if it can still hear them.
    pub farewell: Option<ErrPacket>,
}

impl Ending {
    /// An ending without last words.
    pub fn silent(kind: EndingKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), farewell: None }
    }

    /// An ending that the client is told of.
    pub fn told(kind: EndingKind, detail: impl Into<String>, farewell: ErrPacket) -> Self {
        Self { kind, detail: detail.into(), farewell: Some(farewell) }
    }

    /// A client that can't be understood during login.
    pub fn bad_handshake(detail: impl Into<String>) -> Self {
        let err = ErrPacket::new(ER_HANDSHAKE_ERROR, SqlState::LINK, "Bad handshake");
        Self::told(EndingKind::ClientFault, detail, err)
    }

    /// A payload that can't be read, in the command phase.
    pub fn malformed(detail: impl Into<String>) -> Self {
        let err =
            ErrPacket::new(ER_MALFORMED_PACKET, SqlState::GENERAL, "readgate: malformed packet");
        Self::told(EndingKind::ClientFault, detail, err)
    }

    /// A client that was idle for longer than the limit.
    pub fn idle() -> Self {
        let text = "The client was disconnected by the server because of inactivity.";
        let err = ErrPacket::new(SESSION_IS_OVER, SqlState::GENERAL, text);
        Self::told(EndingKind::IdleTimeout, "idle_timeout", err)
    }

    /// An order to end.
    pub fn ordered(reason: Reason) -> Self {
        let (kind, code, sqlstate, text) = match reason {
            Reason::Killed => (
                EndingKind::Killed,
                ER_CONNECTION_KILLED,
                SqlState::INTERRUPTED,
                "Connection was killed",
            ),
            Reason::Shutdown => (
                EndingKind::Shutdown,
                ER_SERVER_SHUTDOWN,
                SqlState::LINK,
                "readgate is shutting down",
            ),
            Reason::Revoked => (
                EndingKind::Revoked,
                SESSION_IS_OVER,
                SqlState::GENERAL,
                "readgate: access was withdrawn",
            ),
            Reason::SessionTime => (
                EndingKind::SessionTime,
                SESSION_IS_OVER,
                SqlState::GENERAL,
                "readgate: the session has lasted as long as the role's session_time allows",
            ),
        };
        Self::told(kind, kind.label(), ErrPacket::new(code, sqlstate, text))
    }

    /// The same for a session with nothing under way. One that is killed, or met by a stop, is
    /// closed without a word, as servers do: its client takes the connection for lost, and a pool
    /// makes another. Words that nobody asked for would be the answer to the next statement.
    pub fn at_rest(self) -> Self {
        match matches!(self.kind, EndingKind::Killed | EndingKind::Shutdown) {
            true => Self { farewell: None, ..self },
            false => self,
        }
    }
}

/// A fault of the client's stream, in whichever phase.
impl From<StreamFault> for Ending {
    fn from(fault: StreamFault) -> Self {
        let detail = fault.to_string();
        match fault {
            StreamFault::Closed | StreamFault::Io(_) => {
                Self::silent(EndingKind::ClientGone, detail)
            }
            StreamFault::Packet(PacketFault::OutOfOrder { .. }) => {
                let text = "Got packets out of order";
                let err = ErrPacket::new(ER_NET_PACKETS_OUT_OF_ORDER, SqlState::LINK, text);
                Self::told(EndingKind::ClientFault, detail, err)
            }
            StreamFault::Packet(PacketFault::TooLarge { limit }) => {
                let text = format!(
                    "Got a packet bigger than 'max_allowed_packet' bytes (readgate: {limit})"
                );
                let err = ErrPacket::new(ER_NET_PACKET_TOO_LARGE, SqlState::LINK, text);
                Self::told(EndingKind::ClientFault, detail, err)
            }
            StreamFault::Malformed(_) => Self::malformed(detail),
            StreamFault::NoRoom => Self::told(EndingKind::OverLimit, detail, none_left()),
        }
    }
}

/// Writing to the client failed: it is gone.
impl From<Malformed> for Ending {
    fn from(malformed: Malformed) -> Self {
        Self::malformed(malformed.to_string())
    }
}

impl From<std::io::Error> for Ending {
    fn from(error: std::io::Error) -> Self {
        Self::silent(EndingKind::ClientGone, error.to_string())
    }
}
