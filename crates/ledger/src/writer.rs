//! The ledger thread: takes entries from the journal in order, makes chained lines of
//! them, writes each batch with one call, and forces them to the disk as the policy
//! says. What it can't write stays in the journal; it tries again until it can.
mod failing;
mod naps;
mod surroundings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::anchors::Anchors;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::fault::LedgerFault;
use crate::files::Files;
use crate::journal::Witness;
use crate::keys;
use crate::line::Chain;
use crate::own_event::OwnEvent;
use crate::pace::Pace;
use crate::settings::LedgerSettings;
use crate::shared::{Change, Rest, SharedHandle};
use failing::Failing;
use naps::{LONGEST_NAP, Naps};

/// How long without an entry until it sleeps instead.
const QUIET: Duration = Duration::from_millis(20);
/// How often it looks after the files while it sleeps.
const LOOK: Duration = Duration::from_secs(5);
/// How long a close waits for an unwritable ledger.
const GIVE_UP: Duration = Duration::from_secs(3);

pub(crate) struct Writer {
    shared: SharedHandle,
    chain: Chain,
    files: Files,
    witness: Witness,
    anchors: Anchors,
    pace: Pace,
    policy: LedgerSettings,
    batch: Batch,
    due: Due,
    /// Lines of checkpoints that aren't on the disk yet.
    to_anchor: Vec<Vec<u8>>,
    /// The last record for a file that is no longer where it should be: those in the journal
    /// by then may refer to texts in it.
    leave_after: Option<u64>,
    /// A key file whose rotation is about to be recorded.
    rotated_key: Option<PathBuf>,
    /// Since when, at most, there is a record that is not forced to the disk.
    unsynced_since: Option<Instant>,
    /// When the journal was last looked into: what is new came after.
    looked: Instant,
    naps: Naps,
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
    pub(crate) rotated_key: Option<PathBuf>,
}

/// What the next checkpoint will stand for.
#[derive(Default)]
struct Due {
    /// Since when there is a record that none stands for.
    since: Option<Instant>,
    /// It is in the journal already, for this reason.
    asked: Option<&'static str>,
    /// The one at the close has been asked for.
    closed: bool,
}

impl Writer {
    pub(crate) fn new(shared: SharedHandle, start: WriterStart, policy: LedgerSettings) -> Self {
        let now = Instant::now();
        Self {
            chain: start.chain,
            files: start.files,
            witness: start.witness,
            anchors: Anchors::new(&shared, &policy.anchors),
            pace: Pace::new(policy.sync),
            policy,
            batch: Batch::default(),
            due: Due::default(),
            to_anchor: Vec::new(),
            leave_after: None,
            rotated_key: start.rotated_key,
            unsynced_since: None,
            looked: now,
            naps: Naps::begin(now),
            failing: None,
            last_entry: now,
            last_look: now,
            clock: Clock::now(),
            shared,
        }
    }

    /// Works until the ledger is closed and the journal empty.
    pub(crate) fn run(mut self) {
        // Also when this thread panics, nobody may go on as if records were being kept.
        let _end = EndGuard(self.shared.clone());
        loop {
            let has_more = match self.step() {
                Ok(has_more) => has_more,
                Err(error) => {
                    if self.fail(&error) {
                        break;
                    }
                    continue;
                }
            };
            // The last batch is followed by a nap, so that the next is worth its call.
            if !has_more && self.rest() {
                break;
            }
        }
        self.anchors.finish(GIVE_UP);
    }

    /// Takes over what has been put in force since the last look.
    fn take_over(&mut self) {
        let mut state = self.shared.lock();
        let (changes, synced) = (std::mem::take(&mut state.changes), state.synced);
        drop(state);
        for Change { settings, last_before } in changes {
            self.pace.change(settings.sync, last_before);
            self.pace.synced(synced);
            self.anchors.change(&settings.anchors);
            self.policy = settings;
        }
    }

    /// Moves one batch on. Returns whether there is another one to be moved at once.
    fn step(&mut self) -> io::Result<bool> {
        self.take_over();
        self.watch_clock();
        self.ask_for_checkpoint();
        let looked = std::mem::replace(&mut self.looked, Instant::now());
        let Self { batch, shared, witness, chain, leave_after, .. } = self;
        if batch.is_empty() && !batch.take((shared, witness), chain, *leave_after)? {
            if self.failing.is_some() {
                self.force()?;
                self.recover_from_failing();
            }
            self.sync_if_due(false)?;
            if self.last_look.elapsed() >= LOOK {
                self.last_look = Instant::now();
                self.look_after_files()?;
            }
            return Ok(false);
        }
        let has_more = self.batch.is_full();
        self.naps.moved(self.batch.drains());
        self.last_entry = Instant::now();
        self.write_batch(looked)?;
        if self.failing.is_some() {
            // Well again only if the disk takes it and the files are where they should be.
            self.force()?;
            self.recover_from_failing();
        }
        self.sync_if_due(has_more)?;
        Ok(has_more)
    }

    /// Writes the batch, whose records came after `since`.
    fn write_batch(&mut self, since: Instant) -> io::Result<()> {
        self.shared.lock().busy_since = Some(Instant::now());
        let result = self.batch.write(&mut self.files);
        let (drains, last) = (self.batch.drains(), self.batch.last());
        let done = result.is_ok();
        self.shared.change(|state| {
            state.busy_since = None;
            if done {
                state.journal.drain(drains);
                state.written = last;
            }
        });
        result?;
        self.unsynced_since.get_or_insert(since);
        let mut checkpoints = self.batch.take_checkpoints();
        if !checkpoints.is_empty() {
            self.due = Due { closed: self.due.closed, ..Due::default() };
            self.to_anchor.append(&mut checkpoints);
        }
        if self.batch.records() > 0 {
            self.due.since.get_or_insert_with(Instant::now);
        }
        let ends_file = self.batch.ends_file();
        self.batch.clear();
        if ends_file {
            self.force()?;
            self.leave_file();
        }
        Ok(())
    }

    /// Forces what is written to the disk when its time has come. Batches that follow each other
    /// go together, as long as they don't take a quarter of the delay.
    fn sync_if_due(&mut self, has_more: bool) -> io::Result<()> {
        let Some(since) = self.unsynced_since else {
            return Ok(());
        };
        let delay = self.pace.delay();
        let due = if has_more { delay + delay / 4 } else { delay };
        if since.elapsed() < due && self.shared.lock().closing.is_none() {
            return Ok(());
        }
        self.force()
    }

    fn force(&mut self) -> io::Result<()> {
        self.shared.lock().busy_since = Some(Instant::now());
        let synced = self.files.sync();
        let (done, left) = (synced.is_ok(), self.files.is_left());
        if done {
            self.unsynced_since = None;
        } else if left {
            self.leave_after = None;
        }
        let mut on_disk = 0;
        self.shared.change(|state| {
            let began = state.busy_since.take();
            if done {
                state.syncs += 1;
                state.sync_time += began.map(|began| began.elapsed()).unwrap_or_default();
                state.synced = state.written;
                state.synced_at = Some(SystemTime::now());
                on_disk = state.synced;
            } else if left {
                state.begin_file();
            }
        });
        synced?;
        self.pace.synced(on_disk);
        self.anchor();
        if let Some(key_file) = self.rotated_key.take() {
            // If it can't be removed, the rotation is recorded once more at the next start.
            let _ = keys::rotation_recorded(&key_file);
        }
        self.look_after_files()
    }

    /// Rests until there may be work. True when the ledger is closed and nothing is left.
    fn rest(&mut self) -> bool {
        let mut state = self.shared.lock();
        if state.closing.is_some() && state.journal.used() == 0 && self.due.asked.is_none() {
            if self.due.closed && self.unsynced_since.is_none() {
                // Under the same lock: what comes from here on is refused, and not left behind.
                state.ended = true;
                return true;
            }
            drop(state);
            self.due.closed = true;
            self.checkpoint("close");
        } else {
            drop(state);
        }
        if self.last_entry.elapsed() >= QUIET {
            let due = self.until_sync().unwrap_or(LOOK);
            self.wait(Rest::Sleep, due.max(Duration::from_micros(100)));
            // Woken by the first record, if there is one: those that follow it go with it.
            self.looked = Instant::now();
        }
        let nap = if self.pace.is_each() { LONGEST_NAP } else { self.pace.delay() };
        let nap = self.until_sync().map_or(nap, |due| due.min(nap));
        let worth = self.naps.next();
        self.wait(Rest::Nap, nap.min(LONGEST_NAP).min(worth));
        false
    }

    /// How long what is written may stay unforced from now on, if anything is.
    fn until_sync(&self) -> Option<Duration> {
        let delay = self.pace.delay();
        self.unsynced_since.map(|since| delay.saturating_sub(since.elapsed()))
    }

    /// Rests unless there is work that such a rest may not put off.
    fn wait(&self, rest: Rest, most: Duration) {
        let each = self.pace.is_each();
        self.shared.rest(rest, most, |state| {
            let used = state.journal.used();
            let now = each || rest == Rest::Sleep || used > state.journal.capacity() / 2;
            state.closing.is_some() || !state.changes.is_empty() || (used > 0 && now)
        });
    }

    /// Asks for a checkpoint when one is due by time; those by count and size are put
    /// where they belong by the record that makes them due.
    fn ask_for_checkpoint(&mut self) {
        if self.failing.is_some() || self.due.asked.is_some() {
            return;
        }
        let aged = |since: Instant| since.elapsed() >= self.policy.checkpoint_age;
        if self.files.is_older_than(self.policy.rotate_age) {
            self.checkpoint("rotation");
        } else if self.due.since.is_some_and(aged) {
            self.checkpoint("time");
        }
    }

    fn checkpoint(&mut self, why: &'static str) {
        self.due.asked = Some(why);
        let state = self.shared.lock();
        let (records, kept) = (state.journal.last_sequence(), state.kept.clone());
        drop(state);
        let kept_sha256 = kept.as_deref();
        OwnEvent::Checkpoint { why, records, kept_sha256 }.note(&self.shared);
    }

    /// Copies checkpoints that are on the disk to where a cut tail would show.
    fn anchor(&mut self) {
        for line in std::mem::take(&mut self.to_anchor) {
            self.anchors.add(&line);
            let text = Arc::from(String::from_utf8_lossy(&line).trim_end());
            self.shared.change(|state| state.last_checkpoint = Some(text));
        }
    }

    /// The next record opens a new file.
    fn leave_file(&mut self) {
        self.files.leave();
        self.leave_after = None;
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

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
