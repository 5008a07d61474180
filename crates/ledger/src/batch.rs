//! Lines made of journal entries and not yet written: what one call to the file system
//! takes. Ends early at a checkpoint that ends its file.

use std::io;

use crate::entry::Kind;
use crate::files::Files;
use crate::journal::Journal;
use crate::line::Chain;
use crate::shared::Shared;

/// Most bytes copied out of the journal under one lock.
const COPY: usize = 32 << 10;
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
        shared: &Shared,
        chain: &mut Chain,
        last_of_file: Option<u64>,
    ) -> io::Result<bool> {
        let mut salt = self.copy(shared, BATCH);
        if self.is_full && Journal::entries(salt, &self.entries).next().is_none() {
            // The first entry is larger.
            salt = self.copy(shared, shared.max_entry());
        }
        if self.entries.is_empty() {
            return Ok(false);
        }
        for (entry, len) in Journal::entries(salt, &self.entries) {
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

    /// Copies entries out of the journal, up to `most` bytes together. Returns its salt.
    fn copy(&mut self, shared: &Shared, most: usize) -> u32 {
        loop {
            let state = shared.lock();
            let have = self.entries.len();
            let copied = state.journal.copy_out(have, (most - have).min(COPY), &mut self.entries);
            self.is_full = self.entries.len() >= most;
            if copied == 0 || self.is_full {
                return state.journal.salt();
            }
        }
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
        self.entries.clear();
        self.lines.clear();
        self.written = 0;
        self.drains = 0;
        self.records = 0;
        self.checkpoints.clear();
        self.ends_file = false;
        self.is_full = false;
    }
}
