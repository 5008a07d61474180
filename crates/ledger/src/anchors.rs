//! Copies of checkpoints in files outside the ledger's own, so that a cut tail shows. Each file has
//! a thread of its own: one that can't be written or hangs, as on a mount whose server is gone,
//! holds up neither records nor a stop nor the other copies.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::reason;
use crate::files;
use crate::own_event::OwnEvent;
use crate::shared::SharedHandle;

/// Most checkpoints that wait for a file. Those beyond are left out of it.
const MOST_WAITING: usize = 4096;
/// A copy that takes longer is trouble: its file hangs.
const HANGS: Duration = Duration::from_secs(10);

/// The files, and who writes them.
pub(crate) struct Anchors {
    shared: SharedHandle,
    copies: Vec<Copies>,
}

/// The copies in one file.
struct Copies {
    path: PathBuf,
    /// Dropped, it ends the thread once all is written.
    lines: SyncSender<Vec<u8>>,
    ended: Receiver<()>,
    /// Since when the thread has been at a copy.
    busy_since: Arc<Mutex<Option<Instant>>>,
    /// That it hangs is recorded.
    is_told: bool,
}

impl Anchors {
    pub(crate) fn new(shared: &SharedHandle, files: &[PathBuf]) -> Self {
        let mut anchors = Self { shared: shared.clone(), copies: Vec::new() };
        anchors.change(files);
        anchors
    }

    /// Other files. One that stays still gets what it lacks; a new one begins with the next
    /// checkpoint.
    pub(crate) fn change(&mut self, files: &[PathBuf]) {
        let mut before = std::mem::take(&mut self.copies);
        for path in files {
            let known = before.iter().position(|copies| copies.path == *path);
            let copies = known.map(|at| before.swap_remove(at));
            match copies.map_or_else(|| Copies::start(&self.shared, path), Ok) {
                Ok(copies) => self.copies.push(copies),
                Err(error) => tell(&self.shared, path, &reason(&error)),
            }
        }
    }

    /// Has a checkpoint's line copied into each file.
    pub(crate) fn add(&mut self, line: &[u8]) {
        for copies in &mut self.copies {
            let since = *copies.busy_since.lock().unwrap_or_else(PoisonError::into_inner);
            let hangs = since.is_some_and(|since| since.elapsed() > HANGS);
            let left_out =
                matches!(copies.lines.try_send(line.to_vec()), Err(TrySendError::Full(_)));
            if (hangs || left_out) && !copies.is_told {
                tell(&self.shared, &copies.path, "it doesn't answer");
            }
            copies.is_told = hangs || left_out;
        }
    }

    /// Ends the copying; waits that long for what is being written.
    pub(crate) fn finish(&mut self, most: Duration) {
        let until = Instant::now() + most;
        let ended: Vec<Receiver<()>> = self.copies.drain(..).map(|copies| copies.ended).collect();
        for ended in ended {
            // Its other end is closed without a word.
            let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

impl Copies {
    fn start(shared: &SharedHandle, path: &Path) -> std::io::Result<Self> {
        let (lines, taken) = sync_channel(MOST_WAITING);
        let (end, ended) = channel::<()>();
        let busy_since = Arc::new(Mutex::new(None));
        let (shared, busy, file) = (shared.clone(), busy_since.clone(), path.to_owned());
        thread::Builder::new().name("ledger-anchor".into()).spawn(move || {
            copy(&shared, &file, &taken, &busy);
            drop(end);
        })?;
        Ok(Self { path: path.to_owned(), lines, ended, busy_since, is_told: false })
    }
}

/// Copies each line as it comes. What can't be written is tried again with the next one.
fn copy(
    shared: &SharedHandle,
    path: &Path,
    lines: &Receiver<Vec<u8>>,
    busy_since: &Mutex<Option<Instant>>,
) {
    let set = |since| *busy_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    let mut is_told = false;
    while let Ok(line) = lines.recv() {
        if waiting.len() < MOST_WAITING {
            waiting.push(line);
        }
        set(Some(Instant::now()));
        let copied = files::append_lines(path, &waiting.concat());
        set(None);
        match &copied {
            Ok(()) => waiting.clear(),
            Err(error) if !is_told => tell(shared, path, &reason(error)),
            Err(_) => {}
        }
        is_told = copied.is_err();
    }
}

fn tell(shared: &SharedHandle, path: &Path, why: &str) {
    let (what, file) = (format!("anchor can't be written: {why}"), path.display().to_string());
    OwnEvent::LedgerTrouble { what: &what, file: &file }.note(shared);
}
