//! Why there is no session on the replica, and what of that the client, the metrics and the
//! walls are told.
use mysql_wire::error_code::{ER_CON_COUNT_ERROR, ER_KILL_DENIED_ERROR, ER_SERVER_ISNT_AVAILABLE};
use mysql_wire::{ErrPacket, SqlState};

use crate::packet_stream::StreamFault;
use crate::tls::TlsFault;

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
    /// It speaks to no client in the character set that this one asked for.
    #[error("it refused the character set: error {}", .0.code)]
    CharacterSet(ErrPacket),
    /// The login exchange failed on our side.
    #[error("{0}")]
    Login(#[from] mysql_auth::ReplicaAuthFault),
    /// The read-only session guard could not be set and verified.
    #[error("the session guard is not in force: {0}")]
    Guard(String),
    /// It can't compress as configured.
    #[error("it doesn't offer the compression that replica.compression asks for")]
    Compression,
    /// No place among the connections to it has become free in time.
    #[error("all connections to it are in use")]
    Full,
    /// It has no place for another connection of the account at the moment.
    #[error("it takes no more connections: error {0}")]
    Crowded(u16),
    /// It takes writes, and `replica.writable` refuses that.
    #[error("it is not read-only")]
    Writable,
    /// It is another server than the one that the client was greeted for.
    #[error("it has become another server")]
    Changed,
    /// It doesn't let the account stop what runs there: a routine that runs with its definer's rights
    /// is the definer's.
    #[error("the account may not stop a routine that runs with its definer's rights")]
    NotOurs,
    /// Its name and address lead to others than the server that is meant.
    #[error("its name leads to another server now")]
    Elsewhere,
    /// It isn't a server that readgate can judge for.
    #[error("it is not a MySQL from 8.0 or MariaDB from 10.3 on: version {0:?}")]
    Version(String),
}

impl From<TlsFault> for ReplicaFault {
    fn from(fault: TlsFault) -> Self {
        Self::Tls(fault.to_string())
    }
}

impl ReplicaFault {
    /// What the client is told.
    pub fn err_packet(&self, replica: &str) -> ErrPacket {
        if let Self::Schema(err) | Self::CharacterSet(err) = self {
            return err.clone();
        }
        if matches!(self, Self::NotOurs) {
            return not_ours();
        }
        if matches!(self, Self::Full | Self::Crowded(_)) {
            return all_in_use(replica);
        }
        if matches!(self, Self::Writable) {
            return writable();
        }
        let why = self.words();
        let message = format!("readgate: no session on the replica '{replica}': {why}");
        ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, message)
    }

    /// In words for who administers it: with what the replica itself says, such as from which
    /// address it saw the account come.
    pub fn in_full(&self) -> String {
        let (Self::Account(err) | Self::Schema(err) | Self::CharacterSet(err)) = self else {
            return self.to_string();
        };
        let said = String::from_utf8_lossy(&err.message);
        let said: String = said.chars().filter(|c| !c.is_control()).collect();
        format!("{self}: {said}")
    }

    /// In words for clients: nothing of addresses or the account.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Schema(_) => "it refused the schema",
            Self::CharacterSet(_) => "it refused the character set",
            Self::NotOurs => "it doesn't let its account stop a routine",
            Self::Unreachable(_) => "it can't be reached",
            Self::Tls(_) => "its TLS certificate could not be verified",
            Self::Stream(_) => "its connection broke",
            Self::Account(_) | Self::Login(_) => "it refused the shared account",
            Self::Guard(_) => "the read-only guard could not be put in force",
            Self::Version(_) => "it is not a MySQL from 8.0 or MariaDB from 10.3 on",
            Self::Changed => "it has become another server; connect again",
            Self::Elsewhere => "its name leads to another server now",
            Self::Compression => "it does not offer the compression that is configured",
            Self::Full | Self::Crowded(_) => "all connections to it are in use",
            Self::Writable => "it is not read-only",
        }
    }

    /// Whether what the client asked for was the reason, and neither account nor replica.
    pub fn is_the_clients(&self) -> bool {
        matches!(self, Self::Schema(_) | Self::CharacterSet(_))
    }

    /// Whether the replica refused the account itself.
    pub fn is_of_the_account(&self) -> bool {
        matches!(self, Self::Account(_) | Self::Login(_))
    }

    /// Whether the way there failed, which may be well again in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Tls(_) | Self::Stream(_))
    }

    /// Whether the replica is there all the same; `None` if it wasn't asked.
    pub fn is_up(&self) -> Option<bool> {
        match self {
            Self::Full => None,
            Self::Crowded(_)
            | Self::Writable
            | Self::Changed
            | Self::NotOurs
            | Self::Elsewhere
            | Self::Schema(_)
            | Self::CharacterSet(_) => Some(true),
            Self::Unreachable(_)
            | Self::Tls(_)
            | Self::Stream(_)
            | Self::Account(_)
            | Self::Login(_)
            | Self::Guard(_)
            | Self::Compression
            | Self::Version(_) => Some(false),
        }
    }

    /// Label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Stream(_) => "broken",
            Self::Account(_) | Self::Login(_) | Self::NotOurs => "account",
            Self::Schema(_) => "schema",
            Self::CharacterSet(_) => "character_set",
            Self::Guard(_) => "guard",
            Self::Version(_) | Self::Changed | Self::Elsewhere => "version",
            Self::Compression => "compression",
            Self::Full | Self::Crowded(_) => "full",
            Self::Writable => "writable",
        }
    }
}

/// ER_CON_COUNT_ERROR, as a server says it whose connections are all in use.
fn all_in_use(replica: &str) -> ErrPacket {
    let message = format!("readgate: all connections to the replica '{replica}' are in use");
    ErrPacket::new(ER_CON_COUNT_ERROR, SqlState::new(*b"08004"), message)
}

/// ER_KILL_DENIED_ERROR, as the replica answers.
fn not_ours() -> ErrPacket {
    let message = "readgate: the replica doesn't let its account stop a routine that runs with its \
                   definer's rights";
    ErrPacket::new(ER_KILL_DENIED_ERROR, SqlState::GENERAL, message)
}

/// In the words of the wall that is down.
fn writable() -> ErrPacket {
    let message = "readgate: no service: the replica is not read-only (replica.writable)";
    ErrPacket::new(ER_SERVER_ISNT_AVAILABLE, SqlState::LINK, message.to_owned())
}

#[cfg(test)]
mod tests {
    use mysql_wire::error_code::ER_ACCESS_DENIED_ERROR;

    use super::*;

    #[test]
    fn a_replica_that_lets_nobody_in_is_down_and_one_without_room_is_not() {
        let refused = ErrPacket::new(ER_ACCESS_DENIED_ERROR, SqlState::AUTHORISATION, "no");
        for (fault, is_up) in [
            (ReplicaFault::Account(refused), Some(false)),
            (ReplicaFault::Unreachable(String::new()), Some(false)),
            (ReplicaFault::Crowded(ER_CON_COUNT_ERROR), Some(true)),
            (ReplicaFault::Writable, Some(true)),
            (ReplicaFault::Full, None),
        ] {
            assert_eq!(fault.is_up(), is_up, "{fault}");
        }
    }

    #[test]
    fn what_the_replica_says_is_for_administrators_on_one_line() {
        let said = "Access denied for user 'shared'@'10.0.0.9'\nledger: ok";
        let refused = ErrPacket::new(ER_ACCESS_DENIED_ERROR, SqlState::AUTHORISATION, said);
        let fault = ReplicaFault::Account(refused);
        assert_eq!(
            fault.in_full(),
            "it refused the shared account: error 1045: \
             Access denied for user 'shared'@'10.0.0.9'ledger: ok"
        );
        assert_eq!(fault.words(), "it refused the shared account");
        assert!(!String::from_utf8_lossy(&fault.err_packet("r").message).contains("10.0.0.9"));
    }
}
