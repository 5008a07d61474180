//! Retention: the one place where records are removed, each time with a signed statement and a
//! record of what went. Rather late than wrong: not while the clock is in doubt, nor under a hold.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::{Keeper, is_older, is_over};
use crate::archive;
use crate::clock::Clock;
use crate::entry::now_micros;
use crate::line::Stamp;
use crate::own_event::OwnEvent;
use crate::statement::{Statement, read_all};

/// A file of this name in the ledger's folder stops retention.
const LEGAL_HOLD: &str = "legal-hold";

/// A clock that was set forward by more than this may be wrong, in microseconds.
const DOUBTED_STEP: i64 = 60 * 60 * 1_000_000;
/// How long nothing is removed then, by the clock that can't be set: time to put it right.
const DOUBT: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether the clock may be too far ahead: by it everything would be old.
pub(super) struct Doubt {
    clock: Clock,
    since: Option<Instant>,
}

impl Doubt {
    /// At a start, behind a newest record of that time. It may have been long ago, or the clock
    /// went wrong since.
    pub(super) fn behind(newest: &str) -> Self {
        let is_doubted = !newest.is_empty() && *newest < *stamp_before(DOUBT);
        Self { clock: Clock::now(), since: is_doubted.then(Instant::now) }
    }

    /// Whether the clock went forward by so much, less than a day ago, that it may be wrong.
    fn is_there(&mut self) -> bool {
        if self.clock.step().is_some_and(|step_us| step_us > DOUBTED_STEP) {
            self.since = Some(Instant::now());
        }
        self.since.is_some_and(|since| since.elapsed() < DOUBT)
    }
}

impl Keeper {
    /// Removes the files whose last record is older than they are to be kept, oldest first.
    pub(super) fn retire(&mut self, stop: &Receiver<()>) -> io::Result<()> {
        let is_doubted = self.doubt.is_there();
        let Some(keep_for) = self.shared.keeping().keep_for else {
            return Ok(());
        };
        let shared = self.shared.clone();
        let directory = self.settings.directory.clone();
        let mut signed = None;
        for (first, path) in self.closed()? {
            if is_over(stop) || is_held(&directory) {
                return Ok(());
            }
            match is_older(&path, keep_for)? {
                Some(true) => {}
                Some(false) => return Ok(()),
                // Written while the clock was ahead: those after it needn't wait for that time.
                None => continue,
            }
            let mut statement = self.statement_of(first, &path, &mut signed)?;
            if statement.to >= stamp_before(keep_for) {
                if statement.to > stamp_before(Duration::ZERO) {
                    continue;
                }
                return Ok(());
            }
            if is_doubted {
                let what = "none is removed for a day: the clock, or the start, is far ahead of what was before";
                return Err(io::Error::other(what));
            }
            // Held: a change of what is kept comes before this file goes, or after it has gone.
            let keeping = shared.hold_keeping();
            if keeping.keep_for != Some(keep_for) {
                return Ok(());
            }
            statement.retired = true;
            statement.public_key = self.key.public().to_hex();
            statement.append(&directory, &self.key)?;
            let (first, last, head) = (statement.first, statement.last, &statement.head);
            let event = OwnEvent::Retired { file: &statement.file, first, last, head };
            if !event.note(&self.shared) {
                return Ok(());
            }
            archive::remove(&path)?;
            self.seen.remove(&path);
        }
        Ok(())
    }

    /// Of an encrypted file, what was said when it was encrypted: `signed`, once it was read.
    fn statement_of(
        &self,
        first: u64,
        path: &Path,
        signed: &mut Option<Vec<Statement>>,
    ) -> io::Result<Statement> {
        if !archive::is_sealed(path) {
            return archive::statement(path, &self.settings.node, &self.key);
        }
        let all = match signed {
            Some(all) => all,
            none => none.insert(read_all(&self.settings.directory, &self.settings.node)?),
        };
        let found = all.iter().rev().find(|one| one.first == first).cloned();
        found.ok_or_else(|| io::Error::other(format!("nothing is signed about {}", path.display())))
    }
}

/// Whether nothing may be removed: also if that can't be told, or a link leads nowhere.
fn is_held(directory: &Path) -> bool {
    let found = fs::symlink_metadata(directory.join(LEGAL_HOLD));
    !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The stamp of a record made that long ago.
fn stamp_before(age: Duration) -> String {
    let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    let mut stamp = Vec::new();
    Stamp::default().push(&mut stamp, now_micros().saturating_sub(age));
    String::from_utf8_lossy(&stamp).into_owned()
}
