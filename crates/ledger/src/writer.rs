//! The ledger thread: takes entries from the journal in order, makes chained lines of
//! them, writes each batch with one call, and forces them to the disk as the policy
//! says. What it can't write stays in the journal; it tries again until it can.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::fault::LedgerFault;
use crate::files::Files;
use crate::journal::{Journal, Kind, Witness};
use crate::json;
use crate::line::Chain;
use crate::settings::SyncPolicy;
use crate::shared::{Class, Rest, SharedHandle};

/// How long the thread rests between two looks while there is traffic.
const NAP: Duration = Duration::from_millis(2);
/// How long without an entry until it sleeps instead.
const QUIET: Duration = Duration::from_millis(20);
/// How often it looks after the files while it sleeps.
const LOOK: Duration = Duration::from_secs(5);
/// Most bytes copied out of the journal under one lock.
const COPY: usize = 32 << 10;
/// Entries taken into one batch, in bytes, unless a single one is larger.
const BATCH: usize = 512 << 10;
/// A batch after which the thread goes on at once, in bytes.
const WORTH: usize = 64 << 10;
/// Between two tries to write while the ledger can't be written.
const RETRY: Duration = Duration::from_millis(100);
/// How long a close waits for an unwritable ledger.
const GIVE_UP: Duration = Duration::from_secs(3);

pub(crate) struct Writer {
    shared: SharedHandle,
    chain: Chain,
    files: Files,
    witness: Witness,
    sync: SyncPolicy,
    batch: Batch,
    /// Since when there is something written and not forced to the disk.
    unsynced_since: Option<Instant>,
    failing: Option<Failing>,
    last_entry: Instant,
    last_look: Instant,
    clock: Clock,
}

/// What the thread starts from.
pub(crate) struct WriterStart {
    pub(crate) chain: Chain,
    pub(crate) files: Files,
    pub(crate) witness: Witness,
}

/// Lines made and not yet written.
#[derive(Default)]
struct Batch {
    entries: Vec<u8>,
    lines: Vec<u8>,
    /// Bytes of `lines` that the file system has taken.
    written: usize,
    /// Bytes of the journal that `lines` stand for.
    drains: usize,
    first: u64,
    last: u64,
}

/// A time during which the ledger couldn't be written.
struct Failing {
    since: Instant,
    refused_before: u64,
    reason: String,
}

impl Writer {
    pub(crate) fn new(shared: SharedHandle, start: WriterStart, sync: SyncPolicy) -> Self {
        Self {
            shared,
            chain: start.chain,
            files: start.files,
            witness: start.witness,
            sync,
            batch: Batch::default(),
            unsynced_since: None,
            failing: None,
            last_entry: Instant::now(),
            last_look: Instant::now(),
            clock: Clock::now(),
        }
    }

    /// Works until the ledger is closed and the journal empty.
    pub(crate) fn run(mut self) {
        // Also when this thread panics, nobody may go on as if records were being kept.
        let _end = EndGuard(self.shared.clone());
        loop {
            let moved = match self.step() {
                Ok(moved) => moved,
                Err(error) => {
                    if self.fail(&error) {
                        return;
                    }
                    continue;
                }
            };
            // A small batch is followed by a nap, so that the next is worth its call.
            if moved < WORTH && self.rest() {
                return;
            }
        }
    }

    /// Moves one batch on. Returns how many bytes of the journal it moved.
    fn step(&mut self) -> io::Result<usize> {
        self.watch_clock();
        if self.batch.is_empty() && !self.take_batch()? {
            self.sync_if_due()?;
            if self.last_look.elapsed() >= LOOK {
                self.last_look = Instant::now();
                self.look_after_files()?;
            }
            return Ok(0);
        }
        let moved = self.batch.drains;
        self.write_batch()?;
        if self.failing.is_some() {
            // Well again only if the disk takes it and the files are where they should be.
            self.force()?;
            self.recover_from_failing();
        }
        self.sync_if_due()?;
        Ok(moved)
    }

    /// Copies entries out of the journal and makes lines of them.
    fn take_batch(&mut self) -> io::Result<bool> {
        let batch = &mut self.batch;
        batch.clear();
        let most = BATCH.max(self.shared.max_entry());
        let salt = loop {
            let state = self.shared.lock();
            let room = (most - batch.entries.len()).min(COPY);
            let copied = state.journal.copy_out(batch.entries.len(), room, &mut batch.entries);
            if copied == 0 || batch.entries.len() >= most {
                break state.journal.salt();
            }
        };
        if batch.entries.is_empty() {
            return Ok(false);
        }
        for (entry, len) in Journal::entries(salt, &batch.entries) {
            match entry.kind {
                Kind::Record | Kind::Checkpoint => {
                    self.chain.push(&mut batch.lines, entry.sequence, entry.time, entry.body);
                }
            }
            if batch.drains == 0 {
                batch.first = entry.sequence;
            }
            batch.last = entry.sequence;
            batch.drains += len;
        }
        if batch.drains == 0 {
            return Err(io::Error::other("the journal was changed by another hand"));
        }
        self.last_entry = Instant::now();
        Ok(true)
    }

    fn write_batch(&mut self) -> io::Result<()> {
        self.shared.lock().busy_since = Some(Instant::now());
        let result = self.write_lines();
        let (drains, last) = (self.batch.drains, self.batch.last);
        if result.is_ok() {
            self.batch.clear();
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        let done = result.is_ok();
        self.shared.change(|state| {
            state.busy_since = None;
            if done {
                state.journal.drain(drains);
                state.written = last;
            }
        });
        result
    }

    fn write_lines(&mut self) -> io::Result<()> {
        while let Some(rest) = self.batch.lines.get(self.batch.written..) {
            if rest.is_empty() {
                break;
            }
            match self.files.append(self.batch.first, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.batch.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync_if_due(&mut self) -> io::Result<()> {
        let Some(since) = self.unsynced_since else {
            return Ok(());
        };
        if since.elapsed() < self.sync.delay() && !self.shared.lock().closing {
            return Ok(());
        }
        self.force()
    }

    fn force(&mut self) -> io::Result<()> {
        self.shared.lock().busy_since = Some(Instant::now());
        let synced = self.files.sync();
        if synced.is_ok() {
            self.unsynced_since = None;
        } else {
            // The kernel may have dropped what it couldn't write: go on in a new file.
            self.files.leave();
        }
        let done = synced.is_ok();
        self.shared.change(|state| {
            state.busy_since = None;
            if done {
                state.synced = state.written;
                state.synced_at = Some(SystemTime::now());
            }
        });
        synced?;
        self.look_after_files()
    }

    /// Rests until there may be work. True when the ledger is closed and nothing is left.
    fn rest(&mut self) -> bool {
        let state = self.shared.lock();
        if state.closing && state.journal.used() == 0 && self.unsynced_since.is_none() {
            return true;
        }
        drop(state);
        let due =
            self.unsynced_since.map(|since| self.sync.delay().saturating_sub(since.elapsed()));
        let (rest, most) = match due {
            _ if self.last_entry.elapsed() < QUIET => (Rest::Nap, NAP.min(due.unwrap_or(NAP))),
            Some(due) => (Rest::Sleep, due.max(Duration::from_micros(100))),
            None => (Rest::Sleep, LOOK),
        };
        let each = self.shared.each;
        self.shared.rest(rest, most, |state| {
            let used = state.journal.used();
            let now = each || rest == Rest::Sleep || used > state.journal.capacity() / 2;
            state.closing || (used > 0 && now)
        });
        false
    }

    /// Notices a ledger file or a journal that is no longer where it should be.
    fn look_after_files(&mut self) -> io::Result<()> {
        if let Some(lost) = self.files.check()? {
            self.note(&OwnEvent::LedgerTrouble { what: lost.what, file: &lost.name });
        }
        if let Some(what) = self.witness.misplaced()? {
            let mut journal = self.witness.replacement().map_err(io::Error::other)?;
            self.witness = journal.witness().map_err(io::Error::other)?;
            self.shared.change(|state| {
                journal.adopt(&state.journal);
                state.journal = journal;
            });
            self.note(&OwnEvent::LedgerTrouble { what, file: "journal" });
        }
        Ok(())
    }

    /// Turns new statements away and waits for the next try. True when it is time to end.
    fn fail(&mut self, error: &io::Error) -> bool {
        let reason = reason(error);
        let fault = LedgerFault::new(reason.as_str());
        let mut refused = 0;
        let mut closing = false;
        self.shared.change(|state| {
            refused = state.refused;
            closing = state.closing;
            state.fault = Some(fault);
        });
        if self.failing.is_none() {
            // Also what the next try has to write.
            self.note(&OwnEvent::LedgerFailed { reason: &reason });
        }
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: Instant::now(),
            refused_before: refused,
            reason,
        });
        if closing && failing.since.elapsed() > GIVE_UP {
            return true;
        }
        self.shared.rest(Rest::Nap, RETRY, |_| false);
        false
    }

    /// After a batch went through: service resumes, and the gap is recorded.
    fn recover_from_failing(&mut self) {
        let Some(failing) = self.failing.take() else {
            return;
        };
        let mut refused = 0;
        self.shared.change(|state| {
            state.fault = None;
            refused = state.refused - failing.refused_before;
        });
        self.note(&OwnEvent::LedgerResumed {
            reason: &failing.reason,
            failed_for_us: micros(failing.since.elapsed()),
            refused,
        });
    }

    fn watch_clock(&mut self) {
        if let Some(step_us) = self.clock.step() {
            self.note(&OwnEvent::ClockStep { step_us });
        }
    }

    /// Adds a record of the ledger's own.
    fn note(&self, event: &OwnEvent<'_>) {
        let mut members = Vec::new();
        if json::push_members(&mut members, event).is_ok() {
            // Its room is kept; if that is full of such notes already, they tell enough.
            let _ = self.shared.append(Class::Own, Kind::Record, &members);
        }
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.drains == 0
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.lines.clear();
        self.written = 0;
        self.drains = 0;
    }
}

/// Records that the ledger makes about itself.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum OwnEvent<'a> {
    /// What the start found after an end that wasn't orderly.
    Recovered {
        /// Records brought from the journal into the files.
        records: u64,
        /// The newest file whose end was torn, if so.
        torn: Option<Torn>,
        /// A file whose newest whole line isn't one of ours, if so: left as it is.
        damaged_file: Option<String>,
    },
    /// Records that were lost (in a power cut): this one stands for all of them.
    Gap {
        /// Sequence of the last lost one.
        lost_to: u64,
    },
    /// A ledger file isn't as it was left.
    LedgerTrouble { what: &'a str, file: &'a str },
    /// The ledger can't be written; written once it can.
    LedgerFailed { reason: &'a str },
    /// Writing works again.
    LedgerResumed { reason: &'a str, failed_for_us: u64, refused: u64 },
    /// The wall clock moved against the monotonic one.
    ClockStep { step_us: i64 },
}

/// The bytes after the last line feed of a file, taken off it.
#[derive(Debug, Serialize)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
    /// The bytes, at most 4 KiB of them.
    pub(crate) start_b64: String,
}

/// Compares the wall clock with the monotonic one.
struct Clock {
    wall: SystemTime,
    monotonic: Instant,
}

impl Clock {
    fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// By how many microseconds the wall clock has stepped since the last look, if by
    /// more than half a second.
    fn step(&mut self) -> Option<i64> {
        let now = Self::now();
        let passed = now.monotonic.duration_since(self.monotonic);
        let expected = self.wall + passed;
        *self = now;
        let (size, sign) = match self.wall.duration_since(expected) {
            Ok(ahead) => (ahead, 1),
            Err(behind) => (behind.duration(), -1),
        };
        let size_us = i64::try_from(size.as_micros()).unwrap_or(i64::MAX);
        (size_us > 500_000).then_some(sign * size_us)
    }
}

/// Marks the ledger as ended, whichever way the thread goes.
struct EndGuard(SharedHandle);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.ended = true;
            state.journal.release();
            state.fault.get_or_insert_with(|| LedgerFault::new("it is closed"));
        });
    }
}

/// The cause in words that a client may read: no paths.
#[allow(clippy::wildcard_enum_match_arm, reason = "an open list of another's making")]
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "no space left on its disk".into(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".into(),
        io::ErrorKind::NotFound => "its folder is gone".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        // The system's own words name no path.
        #[allow(clippy::wildcard_enum_match_arm, reason = "an open list of another's making")]
        _ => error.to_string(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
