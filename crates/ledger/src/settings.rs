//! Where and how a ledger is kept. Every knob has a default that is safe for evidence;
//! the daemon's configuration sets the few that an owner should decide.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::files::checkpoints_name;
use age_file::Recipient;

/// Where and how the ledger is kept. Made by [`LedgerSettings::new`].
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// Folder of the ledger files. Made if missing (0750).
    pub directory: PathBuf,
    /// Name of this node, in each record and in the names of the files.
    pub node: String,
    /// Version of the program, in each checkpoint.
    pub build: String,
    /// Against power loss.
    pub sync: SyncPolicy,
    /// Folder of the journal, if it isn't `directory`. A tmpfs saves the disk the
    /// journal's own writes and still survives `kill -9`, but not a container's end.
    pub journal_directory: Option<PathBuf>,
    /// Size of the journal in bytes: what sessions may be ahead of the ledger files.
    pub journal_bytes: usize,
    /// Longest statement text kept whole, in bytes; a longer one is cut there and
    /// recorded with its length and SHA-256.
    pub max_text: usize,
    /// Private key that signs checkpoints (PEM, 0600). Made at the first start if missing,
    /// its public half beside it as `.pub`. Kept off this host's backups, it is what an
    /// attacker lacks.
    pub key_file: PathBuf,
    /// Key of the hashes that stand for values in redacted texts. Made at the first start
    /// if missing (0600). `None`: no text is redacted.
    pub redaction_key_file: Option<PathBuf>,
    /// A checkpoint is signed after this many records...
    pub checkpoint_records: u64,
    /// ...or this long after the first record since the last one.
    pub checkpoint_age: Duration,
    /// Files that get a copy of each checkpoint: another mount, best of another host.
    /// The first entry is in the ledger's own folder.
    pub anchors: Vec<PathBuf>,
    /// Whether closed files are compressed (zstd).
    pub compress: bool,
    /// A closed file is compressed when few records come, at the latest when it is this old.
    pub compress_within: Duration,
    /// Whom closed files are encrypted to, if anybody; they are compressed then too.
    pub encrypt_to: Option<Recipient>,
    /// Files are removed when their last record is this old; `None`: never.
    pub keep_for: Option<Duration>,
    /// How often closed files and notes of readings are looked after.
    pub keeper_period: Duration,
    /// A file is closed and the next one opened at this size in bytes...
    pub rotate_bytes: u64,
    /// ...or at this age.
    pub rotate_age: Duration,
}

impl LedgerSettings {
    /// The defaults: group sync within 25 ms, a journal of 16 MiB, texts up to 64 KiB, a
    /// checkpoint each 10,000 records or 60 s, a new file each 256 MiB or day.
    pub fn new(directory: impl Into<PathBuf>, node: impl Into<String>) -> Self {
        let (directory, node) = (directory.into(), node.into());
        Self {
            key_file: directory.join("signing.key"),
            anchors: vec![directory.join(checkpoints_name(&node))],
            directory,
            node,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            sync: SyncPolicy::Group(Duration::from_millis(25)),
            journal_directory: None,
            journal_bytes: 16 << 20,
            max_text: 64 << 10,
            redaction_key_file: None,
            checkpoint_records: 10_000,
            checkpoint_age: Duration::from_secs(60),
            compress: true,
            compress_within: Duration::from_secs(6 * 3600),
            encrypt_to: None,
            keep_for: None,
            keeper_period: Duration::from_secs(2),
            rotate_bytes: 256 << 20,
            rotate_age: Duration::from_secs(24 * 3600),
        }
    }

    pub(crate) fn folder_of_journals(&self) -> &Path {
        self.journal_directory.as_ref().unwrap_or(&self.directory)
    }
}

/// What becomes of closed files: looked at anew for each of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeping {
    pub(crate) compress: bool,
    pub(crate) compress_within: Duration,
    pub(crate) encrypt_to: Option<Recipient>,
    pub(crate) keep_for: Option<Duration>,
}

impl Keeping {
    pub(crate) fn of(settings: &LedgerSettings) -> Self {
        let &LedgerSettings { compress, compress_within, encrypt_to, keep_for, .. } = settings;
        Self { compress, compress_within, encrypt_to, keep_for }
    }
}

/// When recorded bytes are forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before each record counts as recorded.
    Each,
    /// In groups, at most this long after.
    Group(Duration),
    /// Once in that period.
    Interval(Duration),
}

impl SyncPolicy {
    /// How long written bytes may stay unforced.
    pub(crate) fn delay(self) -> Duration {
        match self {
            Self::Each => Duration::ZERO,
            Self::Group(delay) | Self::Interval(delay) => delay,
        }
    }
}
