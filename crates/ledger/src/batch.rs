//! Lines made of journal entries and not yet written: what one call to the file system
//! takes. Ends early at a checkpoint that ends its file.

use std::io;

use crate::entry::Kind;
use crate::files::Files;
use crate::journal::{Journal, Witness};
use crate::line::Chain;
use crate::shared::Shared;

/// Entries taken into one batch, in bytes, unless a single one is larger. Entries and lines
/// stay in the processor's cache from the journal to the file.
const BATCH: usize = 64 << 10;

#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<u8>,
    lines: Vec<u8>,
    /// Bytes of `lines` that the file system has taken.
    written: usize,
    /// Bytes of the journal that `lines` stand for.
    drains: usize,
    first: u64,
    last: u64,
    /// Records other than checkpoints since the last checkpoint in the batch.
    records: u64,
    /// The lines of its checkpoints.
    checkpoints: Vec<Vec<u8>>,
    ends_file: bool,
    is_full: bool,
}

impl Batch {
    /// Fills the empty batch from the journal, up to the record `last_of_file` if that is
    /// given. False: there was nothing.
    pub(crate) fn take(
        &mut self,
        (shared, witness): (&Shared, &Witness),
        chain: &mut Chain,
        last_of_file: Option<u64>,
    ) -> io::Result<bool> {
        self.copy(shared, witness);
        if self.entries.is_empty() {
            return Ok(false);
        }
        for (entry, len) in Journal::entries(witness.salt(), &self.entries) {
            let start = self.lines.len();
            chain.push(&mut self.lines, &entry);
            if self.drains == 0 {
                self.first = entry.sequence;
            }
            self.last = entry.sequence;
            self.drains += len;
            if entry.kind == Kind::Record {
                self.records += 1;
            } else {
                self.records = 0;
                self.checkpoints.extend(self.lines.get(start..).map(<[u8]>::to_vec));
            }
            if entry.kind == Kind::LastOfFile || last_of_file == Some(entry.sequence) {
                self.ends_file = true;
                break;
            }
        }
        if self.drains == 0 {
            self.clear();
            return Err(io::Error::other("the journal was changed by another hand"));
        }
        Ok(true)
    }

    /// Copies entries out of the journal. Its lock is held for a look at where they stand.
    fn copy(&mut self, shared: &Shared, witness: &Witness) {
        let has_one = |bytes: &[u8]| Journal::entries(witness.salt(), bytes).next().is_some();
        // More if the first entry is larger.
        for most in [BATCH, shared.max_entry()] {
            let oldest = shared.lock().journal.oldest(most);
            self.is_full = oldest.len == most;
            let read = witness.read(oldest, &mut self.entries);
            if read.is_ok() && (oldest.len == 0 || has_one(&self.entries)) {
                return;
            }
        }
        // From where the stores go, if the file doesn't show them.
        self.entries.clear();
        let state = shared.lock();
        state.journal.copy_out(state.journal.oldest(shared.max_entry()), &mut self.entries);
    }

    /// Writes what is left of the lines. What an error leaves is written by the next call.
    pub(crate) fn write(&mut self, files: &mut Files) -> io::Result<()> {
        while let Some(rest) = self.lines.get(self.written..).filter(|rest| !rest.is_empty()) {
            match files.append(self.first, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drains == 0
    }

    /// Whether the journal had more than it took.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Bytes of the journal that it stands for.
    pub(crate) fn drains(&self) -> usize {
        self.drains
    }

    /// Sequence of its last record.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Records after its last checkpoint, or all if it has none.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The lines of its checkpoints.
    pub(crate) fn take_checkpoints(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.checkpoints)
    }

    /// Whether its last line is the last of its file.
    pub(crate) fn ends_file(&self) -> bool {
        self.ends_file
    }

    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.written = 0;
        self.drains = 0;
        self.records = 0;
        self.checkpoints.clear();
        self.ends_file = false;
        self.is_full = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::LedgerSettings;
    use crate::shared::Class;

    #[test]
    fn what_the_file_does_not_show_is_copied_from_where_it_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let settings = LedgerSettings::new(folder.path(), "n1");
        let journal = Journal::open(&path, settings.journal_bytes, &mut |_| {}).unwrap();
        let sees = journal.witness().unwrap();
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        let sees_nothing = sees.replacement().unwrap().witness().unwrap();
        let shared = Shared::new(journal, 0, &settings);
        for number in 0..500 {
            let body = format!("\"number\":{number}");
            shared.append(Class::Event, Kind::Record, body.as_bytes()).unwrap();
        }
        for witness in [sees, sees_nothing] {
            let mut batch = Batch::default();
            batch.copy(&shared, &witness);
            let entries = Journal::entries(witness.salt(), &batch.entries);
            let last = entries.map(|(entry, _)| entry.body.to_vec()).last().unwrap();
            assert_eq!(last, b"\"number\":499");
        }
    }
}
