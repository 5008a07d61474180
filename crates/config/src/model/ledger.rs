//! The audit ledger: where it is kept, how statements stand in it, where copies go.
use std::path::PathBuf;
use std::time::Duration;

use ledger::{LedgerSettings, Recipient, SyncPolicy};

use super::Endpoint;

/// Where and how the audit ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Its folder.
    pub directory: PathBuf,
    /// Name of this node; `None`: the host's.
    pub node: Option<String>,
    /// When records are forced to the disk.
    pub sync: SyncPolicy,
    /// How statements stand in it.
    pub text: RecordedText,
    /// Whether a text that comes again may stand in an earlier record alone.
    pub text_by_reference: bool,
    /// Key of the hashes that stand for redacted values; needed where any are.
    pub redaction_key_file: PathBuf,
    /// Query or connection attribute that names the person a reporting tool acts for.
    pub asserted_user_attribute: Option<String>,
    /// Whether outcomes hold a hash of the answer.
    pub hash_results: bool,
    /// Size in bytes at which a file is closed.
    pub file_bytes: u64,
    /// Whether closed files are compressed.
    pub compress: bool,
    /// How long they may wait for it while many records come.
    pub compress_within: Duration,
    /// Whom closed files are encrypted to, if anybody.
    pub encrypt_to: Option<Recipient>,
    /// How old a file's last record may be before the file is removed; `None`: any age.
    pub keep_for: Option<Duration>,
    /// Where records and checkpoints are sent beside.
    pub shipping: Shipping,
    /// Files that get a copy of each checkpoint, beside the one in its folder.
    pub anchors: Vec<PathBuf>,
}

impl LedgerConfig {
    /// The ledger's settings on a host of that name.
    pub fn settings(&self, host_name: &str) -> LedgerSettings {
        let node = self.node.clone().unwrap_or_else(|| host_name.to_owned());
        let mut settings = LedgerSettings::new(self.directory.clone(), node);
        settings.sync = self.sync;
        settings.rotate_bytes = self.file_bytes;
        settings.compress = self.compress;
        settings.compress_within = self.compress_within;
        settings.encrypt_to = self.encrypt_to;
        settings.keep_for = self.keep_for;
        settings.anchors.extend(self.anchors.iter().cloned());
        settings.redaction_key_file =
            self.text.redacts_any().then(|| self.redaction_key_file.clone());
        settings
    }
}

/// Whether statements are recorded with the values in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedText {
    /// Roles without a rule of their own: values are replaced by keyed hashes.
    pub redacted: bool,
    /// Roles for which the opposite holds.
    pub except_roles: Vec<String>,
}

impl RecordedText {
    /// Whether values in the statements of a role's users are replaced.
    pub fn redacts(&self, role: &str) -> bool {
        self.redacted != self.except_roles.iter().any(|except| except == role)
    }

    /// Whether values of any role's users are replaced.
    pub fn redacts_any(&self) -> bool {
        self.redacted || !self.except_roles.is_empty()
    }
}

/// Where records and checkpoints are sent beside the ledger's own files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shipping {
    /// Records, one a line, to standard output.
    pub to_stdout: bool,
    /// Records, to a syslog receiver.
    pub syslog: Option<Endpoint>,
    /// Bytes of the longest message that this receiver takes.
    pub longest: usize,
    /// Checkpoints, by HTTP POST.
    pub anchor_webhook: Option<Endpoint>,
    /// PEM file of who signs the certificates of both. There if either is reached by TLS.
    pub ca_file: Option<PathBuf>,
}
