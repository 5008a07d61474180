//! Why the daemon can't start: each fault names what it is about.
use access::store::StoreError;
use ledger::LedgerError;

use crate::tls::TlsFault;

/// Why the daemon can't start, or a configuration can't come into force.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// Certificates or keys.
    #[error("TLS: {0}")]
    Tls(#[from] TlsFault),
    /// A secret that can't be read.
    #[error("{0}")]
    Secret(#[from] config::SecretError),
    /// The ledger can't be opened, or what it needs can't be had. Says itself what it is about.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
    /// The identity store can't be used.
    #[error("identities: {0}")]
    Identities(#[from] StoreError),
    /// What users have read today can't be known.
    #[error("bytes_per_day: the ledger can't be read: {0}")]
    Usage(std::io::Error),
    /// The threads for connections.
    #[error("worker threads: {0}")]
    Workers(std::io::Error),
    /// Metrics that can't be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl StartFault {
    /// Whether it stays until somebody changes the configuration or its files. A ledger's disk or
    /// a store of users may be there at the next try.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            Self::Tls(_)
            | Self::Secret(_)
            | Self::Ledger(LedgerError::Setting(_) | LedgerError::Later { .. }) => true,
            Self::Ledger(_)
            | Self::Identities(_)
            | Self::Usage(_)
            | Self::Workers(_)
            | Self::Metrics(_) => false,
        }
    }
}
