//! A disk that fails when it is told to: between the daemon and the kernel, see `failing_disk.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::place::wait_for;
use crate::preloaded::library;

/// What stands between a daemon and its disk.
#[derive(Debug)]
pub struct FailingDisk {
    /// Exists while it fails, and says how.
    fails: PathBuf,
    /// Holds the bytes that syncs have brought to the disk.
    pub holds: PathBuf,
    /// What a daemon is to be started with.
    pub environment: Vec<(&'static str, String)>,
}

impl FailingDisk {
    /// For a daemon whose folder that is, with its ledger in it.
    pub fn of(directory: &Path) -> Self {
        let place = |name: &str| directory.join(name);
        let (holds, fails) = (place("disk"), place("fails"));
        fs::create_dir_all(&holds).expect("the folder can be made");
        let environment = [
            ("LD_PRELOAD", &library(directory, "failing_disk")),
            ("DISK_OF", &place("ledger")),
            ("DISK_HOLDS", &holds),
            ("DISK_FAILS", &fails),
        ];
        let environment = environment.map(|(name, path)| (name, path.display().to_string()));
        Self { fails, holds, environment: environment.to_vec() }
    }

    /// The same under a file, or all of a folder, in place of the ledger. What syncs bring to the
    /// disk isn't held.
    #[must_use]
    pub fn below(mut self, place: &Path) -> Self {
        self.environment.retain(|(name, _)| !["DISK_OF", "DISK_HOLDS"].contains(name));
        self.environment.push(("DISK_OF", place.display().to_string()));
        self
    }

    /// From now on calls of that kind fail.
    pub fn fail(&self, kind: &str) {
        fs::write(&self.fails, kind).expect("it can be told");
    }

    /// From now on some of a hundred calls fail, whichever.
    pub fn fail_at_random(&self, percent: u8) {
        fs::write(&self.fails, [b'r', percent]).expect("it can be told");
    }

    /// The same, and as many new threads can't be had.
    pub fn fail_with_threads(&self, percent: u8) {
        fs::write(&self.fails, [b't', percent]).expect("it can be told");
    }

    /// It is well again.
    pub fn serve(&self) {
        fs::remove_file(&self.fails).expect("it can be told");
    }

    /// Waits until so many calls have failed since it was told to.
    pub fn wait_for_failures(&self, calls: u64) {
        wait_for("the disk has failed often enough", Duration::from_secs(20), || {
            (fs::metadata(&self.fails).ok()?.len() > calls).then_some(())
        });
    }
}
