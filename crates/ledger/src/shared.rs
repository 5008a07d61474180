//! What sessions and the ledger thread share: the journal behind one mutex, who waits
//! for what, and whether the ledger can be written. Every lock here is held for a
//! memory copy at most, never over a system call that can wait.
mod state;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime};

use crate::entry::{Body, Kind, entry_len};
use crate::fault::LedgerFault;
use crate::journal::Journal;
use crate::settings::{Keeping, LedgerSettings, SyncPolicy};
pub(crate) use state::{Change, Class, Denied, Rest, State};

/// The ledger's state, for `/readyz` and `/metrics`.
#[derive(Debug, Clone)]
pub struct LedgerHealth {
    /// Why nothing can be recorded, if so.
    pub fault: Option<LedgerFault>,
    /// Bytes in the journal that are not in the ledger files yet.
    pub queued_bytes: usize,
    /// Bytes that the journal can hold.
    pub capacity_bytes: usize,
    /// Intents without an outcome.
    pub open_intents: usize,
    /// Sequence of the newest record.
    pub last_sequence: u64,
    /// Sequence of the newest record in the ledger files.
    pub written_sequence: u64,
    /// Sequence of the newest record forced to the disk.
    pub synced_sequence: u64,
    /// How often records were forced to the disk, since this start.
    pub syncs: u64,
    /// How long that took, all together.
    pub sync_time: Duration,
    /// When records were last forced to the disk, since this start.
    pub last_sync: Option<SystemTime>,
    /// The line of the newest checkpoint since this start, to be kept elsewhere.
    pub last_checkpoint: Option<Arc<str>>,
    /// Records turned away because the ledger couldn't be written, since this start.
    pub refused: u64,
}

impl LedgerHealth {
    /// Whether statements can be recorded.
    pub fn is_ok(&self) -> bool {
        self.fault.is_none()
    }
}

#[repr(C)]
pub(crate) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// Whether records count as recorded only once they are on the disk. Stored under the
    /// state's lock: whoever has put a record in since then sees it.
    each: AtomicBool,
    pub(crate) max_text: usize,
    max_body: usize,
    checkpoint_records: u64,
    rotate_bytes: AtomicU64,
    keeping: Mutex<Keeping>,
}

impl Shared {
    pub(crate) fn new(journal: Journal, file_bytes: u64, settings: &LedgerSettings) -> Self {
        let max_body = journal.capacity() / 8;
        Self {
            state: Mutex::new(State::new(journal, file_bytes)),
            wake: Condvar::new(),
            each: AtomicBool::new(settings.sync == SyncPolicy::Each),
            max_text: settings.max_text,
            max_body,
            checkpoint_records: settings.checkpoint_records,
            rotate_bytes: AtomicU64::new(settings.rotate_bytes),
            keeping: Mutex::new(Keeping::of(settings)),
        }
    }

    /// Other settings, between two records; the ledger thread takes over what is its own before
    /// it moves the next batch on. No file is removed any more that the new ones keep.
    pub(crate) fn put_in_force(&self, settings: LedgerSettings) {
        *self.hold_keeping() = Keeping::of(&settings);
        let mut state = self.lock();
        self.each.store(settings.sync == SyncPolicy::Each, Ordering::Relaxed);
        self.rotate_bytes.store(settings.rotate_bytes, Ordering::Relaxed);
        let last_before = state.journal.last_sequence();
        state.changes.push(Change { settings, last_before });
        drop(state);
        self.nudge();
    }

    /// Whether a record counts only once it is on the disk. For who has put one in: as it was
    /// then, or as it is by now.
    pub(crate) fn each(&self) -> bool {
        self.each.load(Ordering::Relaxed)
    }

    /// What becomes of closed files.
    pub(crate) fn keeping(&self) -> Keeping {
        *self.hold_keeping()
    }

    /// The same, and it stays so for as long as it is held.
    pub(crate) fn hold_keeping(&self) -> MutexGuard<'_, Keeping> {
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state. A panic while it was held can't leave a half-made entry that counts:
    /// an entry exists once its sequence was given out, which comes last.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Largest entry that the journal takes.
    pub(crate) fn max_entry(&self) -> usize {
        entry_len(self.max_body)
    }

    /// Puts a record into the journal and gives its sequence, or says why not.
    pub(crate) fn append(&self, class: Class, kind: Kind, body: &[u8]) -> Result<u64, Denied> {
        let body = Body::new(body);
        let mut state = self.lock();
        let taken = self.take(&mut state, class, kind, &body);
        // One that refers is tried again with its text, and counted then.
        if matches!(taken, Err(Denied::Fault(_))) && !matches!(class, Class::Referring(_)) {
            state.refused += 1;
        }
        let urgent = self.each() || state.journal.used() > state.journal.capacity() / 2;
        let wake = match state.rest {
            Rest::None => false,
            Rest::Nap => urgent,
            Rest::Sleep => true,
        };
        if wake {
            state.rest = Rest::None;
            drop(state);
            self.wake.notify_one();
        }
        taken
    }

    fn take(
        &self,
        state: &mut State,
        class: Class,
        kind: Kind,
        body: &Body<'_>,
    ) -> Result<u64, Denied> {
        if body.bytes.len() > self.max_body {
            let fault = LedgerFault::new("the record is larger than the journal takes");
            return Err(Denied::Fault(fault));
        }
        let sequence = state.take(class, kind, body)?;
        if class != Class::Own {
            let rotate_bytes = self.rotate_bytes.load(Ordering::Relaxed);
            state.checkpoint_if_due(rotate_bytes, self.checkpoint_records);
        }
        Ok(sequence)
    }

    /// Lets a caller that found no room for a body of `len` bytes be woken when there may
    /// be some.
    pub(crate) fn wait_for_room(&self, class: Class, len: usize, waker: &Waker) {
        let mut state = self.lock();
        if state.has_room(class, entry_len(len)) || state.fault.is_some() || state.ended {
            // Room came between the attempt and now: try again at once.
            waker.wake_by_ref();
            return;
        }
        state.add_room_waiter(waker);
        let asleep = state.rest != Rest::None;
        state.rest = Rest::None;
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Whether `sequence` is on the disk; otherwise the caller is woken when it is, or
    /// when the ledger has become unwritable.
    pub(crate) fn poll_synced(
        &self,
        sequence: u64,
        waker: &Waker,
    ) -> Option<Result<(), LedgerFault>> {
        let mut state = self.lock();
        if state.synced >= sequence {
            return Some(Ok(()));
        }
        if let Some(fault) = &state.fault {
            return Some(Err(fault.clone()));
        }
        if state.ended {
            return Some(Err(LedgerFault::new("it is closed")));
        }
        state.add_sync_waiter(sequence, waker);
        None
    }

    pub(crate) fn health(&self) -> LedgerHealth {
        let mut state = self.lock();
        let stuck = state.is_stuck();
        let fault = state
            .fault
            .clone()
            .or_else(|| stuck.then(|| LedgerFault::new("the file system does not answer")));
        let health = LedgerHealth {
            fault,
            queued_bytes: state.journal.used(),
            capacity_bytes: state.journal.capacity(),
            open_intents: state.open_intents(),
            last_sequence: state.journal.last_sequence(),
            written_sequence: state.written,
            synced_sequence: state.synced,
            syncs: state.syncs,
            sync_time: state.sync_time,
            last_sync: state.synced_at,
            last_checkpoint: state.last_checkpoint.clone(),
            refused: state.refused,
        };
        // Waiters that a stuck thread can't wake are woken by whoever asks.
        let waiters = if stuck { state.take_waiters() } else { Vec::new() };
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
        health
    }

    /// Changes the state and wakes all who wait for a change of it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waiters = state.take_waiters();
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Rests the ledger thread for at most `most`, unless it has been told of work.
    pub(crate) fn rest(&self, rest: Rest, most: Duration, has_work: impl Fn(&State) -> bool) {
        let mut state = self.lock();
        if has_work(&state) {
            return;
        }
        state.rest = rest;
        let waited = self.wake.wait_timeout(state, most);
        waited.unwrap_or_else(PoisonError::into_inner).0.rest = Rest::None;
    }

    /// Tells the thread to look at the state.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
    }
}

/// A handle that many hold.
pub(crate) type SharedHandle = Arc<Shared>;

#[cfg(test)]
mod tests;
