//! The journal: a ring of entries in mapped memory, in the kernel's hands from the
//! moment they are stored. Gives out sequence numbers in the order of its entries.
//!
//! An entry begins at an offset divisible by 8 and wraps at the ring's end. Nothing else
//! is kept: at start the whole ring is searched for
//! entries whose checksum holds, and their sequence numbers say what is new.
mod file;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::MmapMut;

use crate::entry::{Body, Entry, HEADER, Kind, body_len, encode_header, entry_len, read_entry};
use crate::fault::LedgerError;
use crate::files::misplaced;
use crate::map;
use file::{PREAMBLE, file_len, locked, new_salt, read_preamble, write_preamble};
pub(crate) use file::{journal_name, node_of_journal};

/// Smallest ring that makes sense: kept room and some records.
pub(crate) const MIN_JOURNAL: usize = 1 << 20;

/// The ring. Owned behind one mutex; the lock on the file lives as long as it. What each entry
/// touches stands first, see `State`.
#[repr(C)]
pub(crate) struct Journal {
    map: MmapMut,
    capacity: usize,
    /// Offset of the oldest entry that isn't drained.
    tail: usize,
    /// Bytes from `tail` on that hold entries.
    used: usize,
    next_sequence: u64,
    last_time: u64,
    /// Mixed into each checksum, unknown to clients: no text can pose as an entry.
    salt: u32,
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or makes the journal file and takes its lock. Entries found in it are
    /// handed to `found`, in no particular order.
    pub(crate) fn open(
        path: &Path,
        capacity: usize,
        found: &mut dyn FnMut(Entry<'_>),
    ) -> Result<Self, LedgerError> {
        let mut file = locked(path)?;
        match read_preamble(&mut file, path)? {
            Some((salt, old_capacity)) => {
                // Of one that another hand has cut, what is left.
                let len = file_len(&file, path)?.min(PREAMBLE + old_capacity);
                let journal = Self::mapped(file, path, salt, old_capacity, len)?;
                journal.search(found);
                Ok(journal)
            }
            None => Self::fresh(file, path, capacity, new_salt()?),
        }
    }

    /// The same journal, whole and with that capacity. What it held must be in the ledger files.
    pub(crate) fn resized(self, capacity: usize) -> Result<Self, LedgerError> {
        let is_whole = file_len(&self.file, &self.path)? == PREAMBLE + capacity;
        if self.capacity == capacity && is_whole {
            return Ok(self);
        }
        let Self { map, file, path, .. } = self;
        drop(map);
        Self::fresh(file, &path, capacity, new_salt()?)
    }

    /// A handle to tell whether the journal's file is still in its place.
    pub(crate) fn witness(&self) -> Result<Witness, LedgerError> {
        let file = self.file.try_clone().map_err(LedgerError::io("keep open", &self.path))?;
        Ok(Witness { file, path: self.path.clone(), capacity: self.capacity, salt: self.salt })
    }

    /// Takes over what `old`, whose file is gone, still holds.
    pub(crate) fn adopt(&mut self, old: &Self) {
        let mut entries = Vec::new();
        old.copy_out(old.oldest(old.used), &mut entries);
        self.put(0, &entries);
        self.tail = 0;
        self.used = old.used;
        self.next_sequence = old.next_sequence;
        self.last_time = old.last_time;
    }

    fn fresh(mut file: File, path: &Path, capacity: usize, salt: u32) -> Result<Self, LedgerError> {
        map::preallocate(&mut file, PREAMBLE + capacity).map_err(LedgerError::io("fill", path))?;
        write_preamble(&mut file, salt, capacity).map_err(LedgerError::io("write", path))?;
        Self::mapped(file, path, salt, capacity, PREAMBLE + capacity)
    }

    /// With a ring of that capacity, of whose file `len` bytes are there.
    fn mapped(
        file: File,
        path: &Path,
        salt: u32,
        capacity: usize,
        len: usize,
    ) -> Result<Self, LedgerError> {
        let map = map::map(&file, len).map_err(LedgerError::io("map", path))?;
        Ok(Self {
            map,
            path: path.to_owned(),
            file,
            salt,
            capacity,
            tail: 0,
            used: 0,
            next_sequence: 1,
            last_time: 0,
        })
    }

    /// Where numbering goes on. Called once, after recovery.
    pub(crate) fn continue_at(&mut self, next_sequence: u64) {
        self.next_sequence = next_sequence;
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of entries not drained.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn free(&self) -> usize {
        self.capacity - self.used
    }

    /// The sequence of the newest entry; 0 if there never was one.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Stores an entry and gives its sequence. The caller has made sure of
    /// `entry_len(body.len()) <= free()`; an entry without room is not stored.
    pub(crate) fn append(&mut self, kind: Kind, body: &Body<'_>) -> Option<u64> {
        let len = entry_len(body.bytes.len());
        if len > self.free() {
            return None;
        }
        let sequence = self.next_sequence;
        // Sessions take their time before their turn: stamps keep to the order of the records.
        let time = body.made.max(self.last_time);
        let header = encode_header(kind, body, sequence, time, self.salt);
        let at = self.wrap(self.tail + self.used);
        self.put(at, &header);
        self.put(self.wrap(at + HEADER), body.bytes);
        self.used += len;
        self.next_sequence += 1;
        self.last_time = time;
        Some(sequence)
    }

    /// How far the newest stamp is ahead of `now`, in microseconds: the clock was set back.
    pub(crate) fn is_ahead_of(&self, now: u64) -> u64 {
        self.last_time.saturating_sub(now)
    }

    /// Stamps run backwards once, to follow a clock that was set back.
    pub(crate) fn follow_clock(&mut self) {
        self.last_time = 0;
    }

    /// Where the oldest entries stand, `most` bytes of them or all there are. Those bytes stay
    /// as they are until they are drained.
    pub(crate) fn oldest(&self, most: usize) -> Span {
        Span { at: self.tail, len: self.used.min(most) }
    }

    /// Copies the entries of a span.
    pub(crate) fn copy_out(&self, span: Span, out: &mut Vec<u8>) {
        self.get(span.at, span.len, out);
    }

    /// Gives the room of the oldest `len` bytes back: they are in the ledger files.
    pub(crate) fn drain(&mut self, len: usize) {
        let len = len.min(self.used);
        self.tail = self.wrap(self.tail + len);
        self.used -= len;
    }

    /// Gives the lock back, when nothing will be appended or drained any more.
    pub(crate) fn release(&self) {
        // Closing the file would do the same; until then another process is just refused.
        let _ = self.file.unlock();
    }

    /// An offset below twice the capacity, in the ring.
    fn wrap(&self, offset: usize) -> usize {
        if offset < self.capacity { offset } else { offset - self.capacity }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let start = PREAMBLE + at;
        // The mapping ends with the ring.
        if let Some(room) = self.map.get_mut(start..start + bytes.len()) {
            return room.copy_from_slice(bytes);
        }
        let (first, second) = bytes.split_at(bytes.len().min(self.capacity - at));
        for (offset, part) in [(at, first), (0, second)] {
            let start = PREAMBLE + offset;
            if let Some(room) = self.map.get_mut(start..start + part.len()) {
                room.copy_from_slice(part);
            }
        }
    }

    fn get(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let first = len.min(self.capacity - at);
        for (offset, part) in [(at, first), (0, len - first)] {
            let start = PREAMBLE + offset;
            out.extend_from_slice(self.map.get(start..start + part).unwrap_or_default());
        }
    }

    /// Finds each whole entry in the ring, drained or not.
    fn search(&self, found: &mut dyn FnMut(Entry<'_>)) {
        let mut copy = Vec::new();
        let mut at = 0;
        let end = self.capacity.min(self.map.len().saturating_sub(PREAMBLE));
        while at < end {
            copy.clear();
            self.get(at, HEADER, &mut copy);
            let mut step = 8;
            let fits = |len: &usize| entry_len(*len) <= self.capacity;
            if let Some(body_len) = body_len(&copy).filter(fits) {
                self.get(self.wrap(at + HEADER), body_len, &mut copy);
                if let Some((entry, len)) = read_entry(&copy, self.salt) {
                    found(entry);
                    step = len;
                }
            }
            at += step;
        }
    }

    /// Reads the entries of a copied batch whose checksums hold; stops at the first that
    /// doesn't, which only a foreign hand in the file can cause.
    pub(crate) fn entries<'a>(
        salt: u32,
        batch: &'a [u8],
    ) -> impl Iterator<Item = (Entry<'a>, usize)> {
        let mut rest = batch;
        std::iter::from_fn(move || {
            let (entry, len) = read_entry(rest, salt)?;
            rest = rest.get(len..)?;
            Some((entry, len))
        })
    }
}

/// Bytes of the ring, from an offset on.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    at: usize,
    pub(crate) len: usize,
}

/// The journal's file from outside the mutex: watches over it, and reads what was stored.
pub(crate) struct Witness {
    file: File,
    path: PathBuf,
    capacity: usize,
    salt: u32,
}

impl Witness {
    /// Reads the entries of a span through the file system, where stores into the mapping are
    /// seen at once: whoever appends needn't wait for the copy. A file system on which they
    /// are not gives bytes whose checksums don't hold.
    pub(crate) fn read(&self, span: Span, out: &mut Vec<u8>) -> io::Result<()> {
        out.resize(span.len, 0);
        let first = span.len.min(self.capacity - span.at);
        let (first, second) = out.split_at_mut_checked(first).unwrap_or_default();
        self.file.read_exact_at(first, as_u64(PREAMBLE + span.at))?;
        self.file.read_exact_at(second, as_u64(PREAMBLE))
    }

    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// What is wrong with the file's place or size, if anything.
    pub(crate) fn misplaced(&self) -> io::Result<Option<&'static str>> {
        misplaced(&self.path, &self.file, as_u64(PREAMBLE + self.capacity))
    }

    /// An empty journal in a new file, ready to [`Journal::adopt`] the misplaced one.
    pub(crate) fn replacement(&self) -> Result<Journal, LedgerError> {
        let file = locked(&self.path)?;
        Journal::fresh(file, &self.path, self.capacity, self.salt)
    }
}

fn as_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
