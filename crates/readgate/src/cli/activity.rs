//! What the ledger knows of logins: who came, who was refused, from which networks. Read
//! from the files as they are; the daemon need not run.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use access::Timestamp;
use ipnet::IpNet;
use ledger::cli::{Search, holds_statements, sealed_files};
use serde_json::Value;

use super::ledger::note_this_reading;
use crate::denials::network_of;

/// Logins of one user name, right or wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Logins {
    pub(super) succeeded: u64,
    /// Time and address of the last one.
    pub(super) last: Option<(String, String)>,
    pub(super) failed: u64,
    pub(super) last_failed: Option<(String, String)>,
}

/// Connections from a network that were refused before any login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Denials {
    pub(super) count: u64,
    pub(super) last: String,
}

/// Everything about logins in a ledger.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// By user name as given.
    pub(super) logins: BTreeMap<String, Logins>,
    /// By network ([`network_of`]).
    pub(super) denials: BTreeMap<IpNet, Denials>,
    /// Whether files of the ledger can't be looked into: they are encrypted, or were removed.
    pub(super) lacks_files: bool,
}

/// What to say where a ledger lacks files.
pub(super) const LACKS_FILES: &str =
    "files of the ledger are encrypted or were removed: what is in them is not known here";

impl Activity {
    /// Reads ledger files or folders. Logins are read from the beginning, refusals from
    /// `since` on. Whoever asks is recorded in a live ledger first.
    ///
    /// # Errors
    /// If they can't be read, or that can't be recorded.
    pub(super) fn read(paths: &[PathBuf], since: Timestamp) -> std::io::Result<Self> {
        note_this_reading(paths)?;
        let lacks_files =
            !sealed_files(paths)?.is_empty() || paths.iter().any(|path| holds_statements(path));
        let mut activity = Self { lacks_files, ..Self::default() };
        let from = Some(since.to_string().chars().take(19).collect::<String>());
        for (event, from) in
            [("login", None), ("login_failed", from.clone()), ("source_denied", from)]
        {
            let search = Search { event: Some(event.to_owned()), from, ..Search::default() };
            let mut lines = Lines { rest: Vec::new(), take: |record| activity.note(event, record) };
            ledger::cli::search(paths, &search, &mut lines)?;
        }
        Ok(activity)
    }

    fn note(&mut self, event: &str, record: &Value) {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        // Records of several nodes don't come in the order of their times.
        let (time, source) = (text("time"), text("source"));
        if event == "source_denied" {
            let network = source.parse().ok().and_then(network_of);
            if let Some(network) = network {
                let denials = self.denials.entry(network).or_default();
                denials.count += 1;
                denials.last = time.max(std::mem::take(&mut denials.last));
            }
            return;
        }
        let logins = self.logins.entry(text("user")).or_default();
        if event == "login" {
            logins.succeeded += 1;
            logins.last = logins.last.take().max(Some((time, source)));
        } else {
            logins.failed += 1;
            logins.last_failed = logins.last_failed.take().max(Some((time, source)));
        }
    }
}

/// Hands over each line as the record that it is.
struct Lines<F: FnMut(&Value)> {
    rest: Vec<u8>,
    take: F,
}

impl<F: FnMut(&Value)> Write for Lines<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if self.rest.ends_with(b"\n") {
            for line in self.rest.split(|byte| *byte == b'\n') {
                if let Ok(record) = serde_json::from_slice::<Value>(line) {
                    (self.take)(&record);
                }
            }
            self.rest.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
