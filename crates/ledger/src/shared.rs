//! What sessions and the ledger thread share: the journal behind one mutex, who waits
//! for what, and whether the ledger can be written. Every lock here is held for a
//! memory copy at most, never over a system call that can wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use crate::entry::{Body, Kind, entry_len};
use crate::fault::LedgerFault;
use crate::journal::Journal;
use crate::own_event::OwnEvent;
use crate::settings::{Keeping, LedgerSettings, SyncPolicy};

/// Room kept free in the journal for the outcome of each open intent.
pub(crate) const OUTCOME_ROOM: usize = 512;
/// Room kept free for the ledger's own records.
const OWN_ROOM: usize = 64 << 10;
/// What a line has beside its record's members, about: number, time, node, chain.
const LINE_BYTES: u64 = 180;
/// How long the thread may sit in one call to the file system before callers that find
/// the journal full are turned away instead of waiting.
const STUCK: Duration = Duration::from_secs(5);

/// How long a close still takes what others record. Records that go on coming would keep it
/// from its end.
const LAST_RECORDS: Duration = Duration::from_secs(3);

/// Which room a record may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A statement about to be forwarded: leaves room for its outcome and all others'.
    Intent,
    /// The same, with its text in the intent of that number, which must be in the same file.
    Referring(u64),
    /// Closes an intent: may take the room that was kept for it.
    Outcome,
    /// Refusals and events: leave all kept room alone.
    Event,
    /// The ledger's own: may take the room kept for those.
    Own,
}

/// Why a record wasn't taken.
#[derive(Debug)]
pub(crate) enum Denied {
    /// The journal is full for this class; the ledger thread is making room.
    NoRoom,
    /// What it refers to is in an earlier file.
    OutOfReach,
    /// It can't be recorded now.
    Fault(LedgerFault),
}

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

/// How the ledger thread rests, which decides whether an appender wakes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It is at work, or has been told to.
    None,
    /// It looks again by itself within a few milliseconds.
    Nap,
    /// It waits to be woken.
    Sleep,
}

/// What each record touches stands first, in this order: sessions on several cores take turns,
/// and each line of memory has to come over from the other core.
#[repr(C)]
pub(crate) struct State {
    open_intents: usize,
    /// No record before this one is sure to be in the newest file.
    file_first: u64,
    /// Records since the last checkpoint, and the size of the newest file with them.
    since_checkpoint: u64,
    file_bytes: u64,
    pub(crate) fault: Option<LedgerFault>,
    pub(crate) rest: Rest,
    /// Set by `close`; the thread empties the journal and ends.
    pub(crate) closing: Option<Instant>,
    /// The thread has ended.
    pub(crate) ended: bool,
    pub(crate) journal: Journal,
    pub(crate) written: u64,
    pub(crate) synced: u64,
    pub(crate) synced_at: Option<SystemTime>,
    pub(crate) syncs: u64,
    pub(crate) sync_time: Duration,
    pub(crate) last_checkpoint: Option<Arc<str>>,
    /// What the records name as `kept_sha256`, which each checkpoint repeats.
    pub(crate) kept: Option<Arc<str>>,
    pub(crate) refused: u64,
    /// Since when the thread is in a call to the file system.
    pub(crate) busy_since: Option<Instant>,
    room_waiters: Vec<Waker>,
    sync_waiters: Vec<(u64, Waker)>,
    /// What the ledger thread has to take over, oldest first.
    pub(crate) changes: Vec<Change>,
}

/// Other settings for a running ledger.
pub(crate) struct Change {
    pub(crate) settings: LedgerSettings,
    /// The newest record of the time before them.
    pub(crate) last_before: u64,
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
        let last = journal.last_sequence();
        let max_body = journal.capacity() / 8;
        let state = State {
            journal,
            fault: None,
            rest: Rest::None,
            closing: None,
            ended: false,
            written: last,
            synced: last,
            synced_at: None,
            syncs: 0,
            sync_time: Duration::ZERO,
            last_checkpoint: None,
            kept: None,
            refused: 0,
            busy_since: None,
            since_checkpoint: 0,
            file_bytes,
            file_first: last + 1,
            open_intents: 0,
            room_waiters: Vec::new(),
            sync_waiters: Vec::new(),
            changes: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
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
        let fault = |reason: &str| Denied::Fault(LedgerFault::new(reason));
        if body.bytes.len() > self.max_body {
            return Err(fault("the record is larger than the journal takes"));
        }
        let is_intent = matches!(class, Class::Intent | Class::Referring(_));
        if state.ended || !state.is_open_for(class) {
            return Err(fault("it is closed"));
        }
        if let (Some(fault), true) = (&state.fault, is_intent) {
            return Err(Denied::Fault(fault.clone()));
        }
        if matches!(class, Class::Referring(earlier) if earlier < state.file_first) {
            return Err(Denied::OutOfReach);
        }
        if !state.has_room(class, entry_len(body.bytes.len())) {
            return Err(match &state.fault {
                Some(fault) => Denied::Fault(fault.clone()),
                None if state.is_stuck() => fault("the file system does not answer"),
                None => Denied::NoRoom,
            });
        }
        let sequence = state.append(kind, body).ok_or(Denied::NoRoom)?;
        match class {
            Class::Intent | Class::Referring(_) => state.open_intents += 1,
            Class::Outcome => state.open_intents = state.open_intents.saturating_sub(1),
            Class::Event | Class::Own => {}
        }
        if class != Class::Own {
            self.checkpoint_if_due(state);
        }
        Ok(sequence)
    }

    /// Puts a checkpoint right behind the record that makes it due.
    fn checkpoint_if_due(&self, state: &mut State) {
        let (kind, why) = if state.file_bytes >= self.rotate_bytes.load(Ordering::Relaxed) {
            (Kind::LastOfFile, "rotation")
        } else if state.since_checkpoint >= self.checkpoint_records {
            (Kind::Checkpoint, "count")
        } else {
            return;
        };
        let records = state.journal.last_sequence();
        let kept_sha256 = state.kept.as_deref();
        let body = OwnEvent::Checkpoint { why, records, kept_sha256 }.members();
        // Without room the next record tries again.
        if state.has_room(Class::Own, entry_len(body.len())) {
            let _ = state.append(kind, &Body::new(&body));
        }
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
        state.room_waiters.push(waker.clone());
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
        state.sync_waiters.push((sequence, waker.clone()));
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
            open_intents: state.open_intents,
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

impl State {
    /// A close takes no new statements, the ends of those under way, and for a while the rest.
    fn is_open_for(&self, class: Class) -> bool {
        match (self.closing, class) {
            (None, _) | (Some(_), Class::Outcome | Class::Own) => true,
            (Some(since), Class::Event) => since.elapsed() < LAST_RECORDS,
            (Some(_), Class::Intent | Class::Referring(_)) => false,
        }
    }

    fn has_room(&self, class: Class, len: usize) -> bool {
        let outcomes = self.open_intents * OUTCOME_ROOM;
        let kept = match class {
            Class::Intent | Class::Referring(_) => outcomes + OUTCOME_ROOM + OWN_ROOM,
            Class::Outcome => outcomes.saturating_sub(OUTCOME_ROOM) + OWN_ROOM,
            Class::Event => outcomes + OWN_ROOM,
            Class::Own => outcomes,
        };
        len + kept <= self.journal.free()
    }

    /// Puts an entry into the journal. What follows the last of a file is in another one.
    fn append(&mut self, kind: Kind, body: &Body<'_>) -> Option<u64> {
        let sequence = self.journal.append(kind, body)?;
        let len = u64::try_from(body.bytes.len()).unwrap_or(u64::MAX);
        self.file_bytes = self.file_bytes.saturating_add(len + LINE_BYTES);
        self.since_checkpoint += 1;
        match kind {
            Kind::Record => {}
            Kind::Checkpoint => self.since_checkpoint = 0,
            Kind::LastOfFile => {
                self.since_checkpoint = 0;
                self.begin_file();
            }
        }
        Some(sequence)
    }

    /// The next record begins a file, or the newest one is not what it was.
    pub(crate) fn begin_file(&mut self) {
        self.file_first = self.journal.last_sequence() + 1;
        self.file_bytes = 0;
    }

    fn is_stuck(&self) -> bool {
        self.busy_since.is_some_and(|since| since.elapsed() > STUCK)
    }

    /// Who waits for room or for the disk. All look again; those too early wait anew.
    fn take_waiters(&mut self) -> Vec<Waker> {
        let room = std::mem::take(&mut self.room_waiters);
        let (ready, waiting) =
            std::mem::take(&mut self.sync_waiters).into_iter().partition::<Vec<_>, _>(
                |(sequence, _)| *sequence <= self.synced || self.fault.is_some() || self.ended,
            );
        self.sync_waiters = waiting;
        room.into_iter().chain(ready.into_iter().map(|(_, waker)| waker)).collect()
    }
}

/// A handle that many hold.
pub(crate) type SharedHandle = Arc<Shared>;

#[cfg(test)]
mod tests;
