//! What is known under the lock: the journal, how far its records have come, and which record
//! is taken next. Decides, and waits for nothing.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use crate::entry::{Body, Kind, entry_len};
use crate::fault::LedgerFault;
use crate::journal::Journal;
use crate::own_event::OwnEvent;
use crate::settings::LedgerSettings;

/// Room kept free in the journal for the outcome of each open intent.
pub(super) const OUTCOME_ROOM: usize = 512;
/// Room kept free for the ledger's own records.
pub(super) const OWN_ROOM: usize = 64 << 10;
/// What a line has beside its record's members, about: number, time, node, chain.
pub(super) const LINE_BYTES: u64 = 180;
/// How long the thread may sit in one call to the file system before callers that find
/// the journal full are turned away instead of waiting.
pub(super) const STUCK: Duration = Duration::from_secs(5);

/// How long a close still takes what others record. Records that go on coming would keep it
/// from its end.
pub(super) const LAST_RECORDS: Duration = Duration::from_secs(3);

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

impl State {
    /// With nothing recorded by this process; the newest file has that size.
    pub(super) fn new(journal: Journal, file_bytes: u64) -> Self {
        let last = journal.last_sequence();
        Self {
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
        }
    }

    /// Intents without an outcome.
    pub(super) fn open_intents(&self) -> usize {
        self.open_intents
    }

    /// Puts a record into the journal and gives its sequence, or says why not.
    pub(super) fn take(
        &mut self,
        class: Class,
        kind: Kind,
        body: &Body<'_>,
    ) -> Result<u64, Denied> {
        let fault = |reason: &str| Denied::Fault(LedgerFault::new(reason));
        let is_intent = matches!(class, Class::Intent | Class::Referring(_));
        if self.ended || !self.is_open_for(class) {
            return Err(fault("it is closed"));
        }
        if let (Some(fault), true) = (&self.fault, is_intent) {
            return Err(Denied::Fault(fault.clone()));
        }
        if matches!(class, Class::Referring(earlier) if earlier < self.file_first) {
            return Err(Denied::OutOfReach);
        }
        if !self.has_room(class, entry_len(body.bytes.len())) {
            return Err(match &self.fault {
                Some(fault) => Denied::Fault(fault.clone()),
                None if self.is_stuck() => fault("the file system does not answer"),
                None => Denied::NoRoom,
            });
        }
        let sequence = self.append(kind, body).ok_or(Denied::NoRoom)?;
        match class {
            Class::Intent | Class::Referring(_) => self.open_intents += 1,
            Class::Outcome => self.open_intents = self.open_intents.saturating_sub(1),
            Class::Event | Class::Own => {}
        }
        Ok(sequence)
    }

    /// Puts a checkpoint right behind the record that makes it due.
    pub(super) fn checkpoint_if_due(&mut self, rotate_bytes: u64, checkpoint_records: u64) {
        let (kind, why) = if self.file_bytes >= rotate_bytes {
            (Kind::LastOfFile, "rotation")
        } else if self.since_checkpoint >= checkpoint_records {
            (Kind::Checkpoint, "count")
        } else {
            return;
        };
        let records = self.journal.last_sequence();
        let kept_sha256 = self.kept.as_deref();
        let body = OwnEvent::Checkpoint { why, records, kept_sha256 }.members();
        // Without room the next record tries again.
        if self.has_room(Class::Own, entry_len(body.len())) {
            let _ = self.append(kind, &Body::new(&body));
        }
    }

    /// A close takes no new statements, the ends of those under way, and for a while the rest.
    fn is_open_for(&self, class: Class) -> bool {
        match (self.closing, class) {
            (None, _) | (Some(_), Class::Outcome | Class::Own) => true,
            (Some(since), Class::Event) => since.elapsed() < LAST_RECORDS,
            (Some(_), Class::Intent | Class::Referring(_)) => false,
        }
    }

    /// Whether there is room for an entry of that many bytes, beside what is kept for others.
    pub(super) fn has_room(&self, class: Class, len: usize) -> bool {
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

    /// Whether the ledger thread has sat in one call for too long.
    pub(super) fn is_stuck(&self) -> bool {
        self.busy_since.is_some_and(|since| since.elapsed() > STUCK)
    }

    /// Has this one woken when there may be room.
    pub(super) fn add_room_waiter(&mut self, waker: &Waker) {
        self.room_waiters.push(waker.clone());
    }

    /// Has this one woken when that record is on the disk.
    pub(super) fn add_sync_waiter(&mut self, sequence: u64, waker: &Waker) {
        self.sync_waiters.push((sequence, waker.clone()));
    }

    /// Who waits for room or for the disk. All look again; those too early wait anew.
    pub(super) fn take_waiters(&mut self) -> Vec<Waker> {
        let room = std::mem::take(&mut self.room_waiters);
        let (ready, waiting) =
            std::mem::take(&mut self.sync_waiters).into_iter().partition::<Vec<_>, _>(
                |(sequence, _)| *sequence <= self.synced || self.fault.is_some() || self.ended,
            );
        self.sync_waiters = waiting;
        room.into_iter().chain(ready.into_iter().map(|(_, waker)| waker)).collect()
    }
}
