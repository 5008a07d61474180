//! The keeper's thread: looks after closed files and takes in the notes of who has read the
//! ledger. What it can't do now it tries again; it never holds up the ledger itself.
mod retire;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use crate::archive;
use crate::files::{COMPRESSED, PLAIN, list_all};
use crate::keys::SigningKey;
use crate::line::hex;
use crate::own_event::OwnEvent;
use crate::readings::{self, Reading};
use crate::settings::{Keeping, LedgerSettings};
use crate::shared::SharedHandle;
use crate::statement::{Statement, read_all};
use age_file::Recipient;
use retire::Doubt;

/// Records a second with which there is time for closed files: compressing what a thousand
/// statements leave is then less than a hundredth of a core.
const QUIET: u64 = 1_000;

pub(crate) struct Keeper {
    shared: SharedHandle,
    settings: LedgerSettings,
    /// The same that signs checkpoints.
    key: SigningKey,
    /// Closed files as last seen: length and time of change.
    seen: BTreeMap<PathBuf, (u64, i64)>,
    /// What went wrong in the last pass, so that it is recorded once.
    trouble: Option<String>,
    /// Sequence of the newest record at the last pass, and when that was.
    passed: (u64, Instant),
    doubt: Doubt,
}

impl Keeper {
    /// `newest`: when the newest record before this start was made.
    pub(crate) fn new(
        shared: SharedHandle,
        settings: LedgerSettings,
        key: SigningKey,
        newest: &str,
    ) -> Self {
        let doubt = Doubt::behind(newest);
        let passed = (shared.health().last_sequence, Instant::now());
        let seen = BTreeMap::new();
        let trouble = None;
        let mut keeper = Self { shared, settings, key, seen, trouble, passed, doubt };
        // Without it reading can't be recorded, so the command line refuses to read.
        let _ = make_readings_folder(&keeper.settings.directory);
        let _ = keeper.look_for_changes();
        keeper
    }

    /// Works until the other end of `stop` is dropped; then the file at hand is finished.
    pub(crate) fn run(mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(self.settings.keeper_period) == Err(RecvTimeoutError::Timeout) {
            // What one can't do keeps no other from its work: what is removed makes room.
            let passed = [
                self.take_in_readings(),
                self.look_for_changes(),
                self.put_away(stop),
                self.retire(stop),
            ];
            let error = passed.into_iter().find_map(Result::err);
            let trouble = error.map(|error| format!("closed files: {error}"));
            if let (Some(what), true) = (&trouble, trouble != self.trouble) {
                OwnEvent::LedgerTrouble { what, file: "" }.note(&self.shared);
            }
            self.trouble = trouble;
        }
    }

    fn take_in_readings(&self) -> io::Result<()> {
        if !readings::folder(&self.settings.directory).exists() {
            // Without it nobody can read; the ledger itself can do without.
            let _ = make_readings_folder(&self.settings.directory);
        }
        let mut taken_in = Ok(());
        for path in readings::waiting(&self.settings.directory)? {
            // One that can't be taken in now holds up none after it.
            taken_in = taken_in.and(self.take_in_reading(&path).map_err(|error| {
                let name = archive::name(&path);
                io::Error::new(error.kind(), format!("the note of a reading {name}: {error}"))
            }));
        }
        taken_in
    }

    fn take_in_reading(&self, path: &Path) -> io::Result<()> {
        let is_recorded = match readings::read(path)? {
            Some(Reading { by, uid, login_uid, what, read_at }) => {
                let (by, what, read_at) = (&by, &what, &read_at);
                OwnEvent::Reading { by, uid, login_uid, what, read_at }.note(&self.shared)
            }
            None => {
                let what = "a note of a reading can't be read";
                OwnEvent::LedgerTrouble { what, file: &archive::name(path) }.note(&self.shared)
            }
        };
        if is_recorded {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// All of the node's files but the newest, oldest first, with their first sequence.
    fn closed(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = list_all(&self.settings.directory, &self.settings.node)?;
        let newest = files.iter().filter(|(_, path)| ends_with(path, PLAIN)).map(|f| f.0).max();
        files.retain(|(first, _)| Some(*first) != newest);
        Ok(files)
    }

    /// Notices closed files that another hand removed, renamed or changed.
    fn look_for_changes(&mut self) -> io::Result<()> {
        let mut now = BTreeMap::new();
        for (_, path) in self.closed()? {
            let Ok(found) = fs::metadata(&path) else { continue };
            now.insert(path, (found.len(), found.mtime()));
        }
        for (path, before) in &self.seen {
            let what = match now.get(path) {
                Some(after) if after == before => continue,
                Some(_) => "a closed file was changed by another hand",
                None => "a closed file was deleted or renamed by another hand",
            };
            OwnEvent::LedgerTrouble { what, file: &archive::name(path) }.note(&self.shared);
        }
        self.seen = now;
        Ok(())
    }

    /// Compresses and encrypts what is closed. What is to be encrypted doesn't wait. A file with
    /// which that fails holds up none after it; the first such error is returned.
    fn put_away(&mut self, stop: &Receiver<()>) -> io::Result<()> {
        let is_busy = self.is_busy();
        let mut done = Ok(());
        for (_, path) in self.closed()? {
            if is_over(stop) {
                break;
            }
            let put = self.put_away_one(path, is_busy);
            done = done.and(put);
        }
        done
    }

    fn put_away_one(&mut self, mut path: PathBuf, is_busy: bool) -> io::Result<()> {
        let Keeping { compress, compress_within, encrypt_to, .. } = self.shared.keeping();
        let waits = is_busy && encrypt_to.is_none();
        if waits && is_older(&path, compress_within)? != Some(true) {
            return Ok(());
        }
        if ends_with(&path, PLAIN) && (compress || encrypt_to.is_some()) {
            let compressed = archive::compress(&path)?;
            self.finish(&path, &compressed, None)?;
            path = compressed;
        }
        match encrypt_to {
            // A file in two forms is listed twice, and the second may be gone by now.
            Some(recipient) if ends_with(&path, COMPRESSED) && path.exists() => {
                self.seal(&path, &recipient)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether records come so fast that the machine is better left to those who read.
    fn is_busy(&mut self) -> bool {
        let (before, since) = self.passed;
        self.passed = (self.shared.health().last_sequence, Instant::now());
        let (records, took) = (self.passed.0.saturating_sub(before), self.passed.1 - since);
        is_busy(records, took)
    }

    fn seal(&mut self, path: &Path, recipient: &Recipient) -> io::Result<()> {
        let mut statement = archive::statement(path, &self.settings.node, &self.key)?;
        if let Some(known) = self.known_as(&archive::sealed_name(path))? {
            if (known.first, known.last, &known.head)
                != (statement.first, statement.last, &statement.head)
            {
                let (open, sealed) = (archive::name(path), known.file);
                let what = format!("{open} isn't what {sealed} holds: both are kept");
                return Err(io::Error::other(what));
            }
            return self.finish(path, &archive::sealed_name(path), known.sha256.as_deref());
        }
        let made = archive::seal(path, recipient)?;
        statement.file = archive::name(&archive::sealed_name(path));
        statement.sha256 = Some(hex(&made.sha256));
        // Before it has its name: the verifier takes no encrypted file without.
        statement.append(&self.settings.directory, &self.key)?;
        self.finish(path, &made.put()?, statement.sha256.as_deref())
    }

    /// What was signed about an encrypted file as it is, if there is one: such a one is never
    /// replaced.
    fn known_as(&self, sealed: &Path) -> io::Result<Option<Statement>> {
        if !sealed.exists() {
            return Ok(None);
        }
        let hash = Some(hex(&archive::hash_of(sealed)?));
        let all = read_all(&self.settings.directory, &self.settings.node)?;
        let name = archive::name(sealed);
        Ok(all.into_iter().rev().find(|one| one.file == name && one.sha256 == hash))
    }

    /// Records what a file has become, and removes what it was.
    fn finish(&mut self, old: &Path, new: &Path, sha256: Option<&str>) -> io::Result<()> {
        let bytes = fs::metadata(new)?.len();
        OwnEvent::Archived { file: &archive::name(new), bytes, sha256 }.note(&self.shared);
        archive::remove(old)?;
        self.seen.remove(old);
        Ok(())
    }
}

/// Whether the ledger is being closed, which waits for no more than the file at hand.
fn is_over(stop: &Receiver<()>) -> bool {
    stop.try_recv() == Err(TryRecvError::Disconnected)
}

fn is_busy(records: u64, took: Duration) -> bool {
    u128::from(records) * 1_000_000 > u128::from(QUIET) * took.as_micros()
}

/// By the time of its last change, which compression and encryption keep. A first look:
/// what counts is the time of its last record. `None`: that time is still to come.
fn is_older(path: &Path, age: Duration) -> io::Result<Option<bool>> {
    let changed = fs::metadata(path)?.modified()?;
    let since = SystemTime::now().duration_since(changed).ok();
    Ok(since.map(|since| since > age))
}

fn ends_with(path: &Path, suffix: &str) -> bool {
    path.to_str().is_some_and(|name| name.ends_with(suffix))
}

/// The folder for notes of readings: those of the ledger folder's group may add some.
fn make_readings_folder(directory: &Path) -> io::Result<()> {
    let folder = readings::folder(directory);
    match DirBuilder::new().mode(0o770).create(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o2770))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_records_a_second_are_busy() {
        assert!(!is_busy(2_000, Duration::from_secs(2)));
        assert!(is_busy(2_001, Duration::from_secs(2)));
        assert!(!is_busy(0, Duration::ZERO));
    }
}
