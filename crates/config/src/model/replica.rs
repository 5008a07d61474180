//! The server that is read, and the way to it.
use std::path::PathBuf;
use std::time::Duration;

use super::HostPort;
use crate::secret::PasswordSource;

/// The server that is read.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Name, in ledger and metrics.
    pub name: String,
    /// Where it listens.
    pub address: HostPort,
    /// Schema of sessions that name none.
    pub default_schema: Option<String>,
    /// No sessions while the shared account can do more than read.
    pub refuse_excess_rights: bool,
    /// No sessions while the replica is not read-only.
    pub refuse_writable: bool,
    /// Connections kept ready.
    pub warm_connections: u32,
    /// Most connections to it at a time.
    pub connections: u32,
    /// A client waits this long for one of them.
    pub longest_wait: Duration,
    /// A session without a command for this long lends its connection; `None`: never.
    pub share_idle: Option<Duration>,
    /// Compression of the way to it.
    pub compression: ReplicaCompression,
    /// How far behind its source it may be; `None`: any time.
    pub max_lag: Option<Duration>,
    /// What happens when it is further behind.
    pub when_behind: WhenBehind,
    /// Query for the seconds it is behind; `None`: replication itself is asked.
    pub heartbeat_query: Option<String>,
    /// How the way to it is protected.
    pub tls: ReplicaTls,
    /// The account that all sessions share whose role names no other.
    pub account: ReplicaAccount,
    /// Further accounts, for the roles that name them.
    pub role_accounts: Vec<RoleAccount>,
}

impl Replica {
    /// The names that a role may give as its account.
    pub(crate) fn role_account_names(&self) -> Vec<String> {
        self.role_accounts.iter().map(|account| account.name.clone()).collect()
    }
}

/// What happens when the replica is too far behind, or a delivery is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBehind {
    /// Nothing but a metric.
    Serve,
    /// A warning in log, health and ledger.
    Warn,
    /// No logins and no statements.
    Refuse,
}

/// How the way to the replica is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaCompression {
    /// Not at all.
    None,
    /// The classic protocol's zlib.
    Zlib,
    /// zstd, MySQL 8.0.18 and later.
    Zstd,
}

/// How the way to the replica is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaTls {
    /// TLS, the certificate verified against a CA and a name.
    Verified {
        /// PEM, one or more CA certificates.
        ca_file: PathBuf,
        /// DNS name or IP address that the certificate must be for.
        server_name: String,
    },
    /// None. Anybody on the way can read data and act as the replica.
    InsecurePlaintext,
}

/// A shared account on the replica for the roles that name it.
#[derive(Debug, Clone)]
pub struct RoleAccount {
    /// Name in roles.
    pub name: String,
    /// The account.
    pub account: ReplicaAccount,
    /// Schema of its sessions whose client names none; `None`: the replica's.
    pub default_schema: Option<String>,
}

/// A shared account on the replica.
#[derive(Debug, Clone)]
pub struct ReplicaAccount {
    /// Its name.
    pub user: String,
    /// Where its password is.
    pub password_source: PasswordSource,
}
