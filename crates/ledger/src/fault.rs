//! What can go wrong, in two types: at start ([`LedgerError`], for the operator) and
//! while serving ([`LedgerFault`], fit for the client).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a ledger can't be opened. The daemon must not start.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file or folder can't be used.
    #[error("ledger: can't {what} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process keeps this ledger.
    #[error("ledger: {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A later program has written here.
    #[error(
        "ledger: {} was written by a later readgate: lines of version {version}, which this one \
         doesn't know; start that one, or name another folder",
        path.display()
    )]
    Later {
        /// Its newest file.
        path: PathBuf,
        /// What its newest line names.
        version: u32,
    },
    /// A setting that can't work.
    #[error("ledger: {0}")]
    Setting(String),
    /// What another node had left could not be brought in to its end.
    #[error("{0}")]
    Fault(#[from] LedgerFault),
}

impl LedgerError {
    /// Wraps a system's answer with what was tried on which path.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// What the system said, or words that name no path.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Io { source, .. } => source,
            Self::InUse(_) => io::Error::other("another process keeps its journal"),
            later @ Self::Later { .. } => io::Error::other(later.to_string()),
            Self::Setting(what) => io::Error::other(what),
            Self::Fault(fault) => io::Error::other(fault.to_string()),
        }
    }
}

/// Why a record can't be taken now. The text may be shown to the client: it names the
/// cause, but no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger can't be written: {reason}")]
pub struct LedgerFault {
    reason: Arc<str>,
}

impl LedgerFault {
    pub(crate) fn new(reason: impl Into<Arc<str>>) -> Self {
        Self { reason: reason.into() }
    }

    /// The cause alone, without the leading words.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The cause in words that a client may read: no paths.
#[allow(clippy::wildcard_enum_match_arm, reason = "an open list of another's making")]
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "no space left on its disk".into(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".into(),
        io::ErrorKind::NotFound => "its folder is gone".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        // The system's own words name no path.
        _ => error.to_string(),
    }
}
