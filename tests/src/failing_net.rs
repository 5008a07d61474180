//! A network and a resolver that fail when they are told to: between the daemon and the C library,
//! see `failing_net.c`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::place::wait_for;
use crate::preloaded::library;

/// A letter for each kind of call that can fail.
pub const CALLS: &str = "caekiodsn";
/// Bytes come and go in small pieces, and nothing fails.
pub const PIECES: &str = "p";

const HANGS: &[u8] = b"hangs";

/// What stands between a daemon and its network.
#[derive(Debug)]
pub struct FailingNet {
    /// Exists while it fails, and says how.
    fails: PathBuf,
    /// Exists while it says what names lead to.
    names: PathBuf,
    /// What a daemon is to be started with.
    pub environment: Vec<(&'static str, String)>,
}

impl FailingNet {
    /// For a daemon whose folder that is.
    pub fn of(directory: &Path) -> Self {
        let place = |name: &str| directory.join(name);
        let (fails, names) = (place("fails"), place("names"));
        let library = library(directory, "failing_net");
        let environment = [("LD_PRELOAD", &library), ("NET_FAILS", &fails), ("NET_NAMES", &names)];
        let environment = environment.map(|(name, path)| (name, path.display().to_string()));
        Self { fails, names, environment: environment.to_vec() }
    }

    /// From now on so many of a hundred of these calls fail.
    pub fn fail(&self, percent: u8, calls: &str) {
        write(&self.fails, &[&[percent], calls.as_bytes(), b"\n"].concat());
    }

    /// It is well again.
    pub fn serve(&self) {
        fs::remove_file(&self.fails).expect("it can be told");
    }

    /// Waits until so many calls have failed since it was told to.
    pub fn wait_for_failures(&self, calls: u64) {
        let is_end = |byte: &u8| *byte == b'\n';
        wait_for("the network has failed often enough", Duration::from_secs(20), || {
            let told = fs::read(&self.fails).ok()?;
            // The first byte is a number.
            let end = told.iter().skip(1).position(is_end)? + 2;
            ((told.len() - end) as u64 >= calls).then_some(())
        });
    }

    /// From now on each name leads to these addresses.
    pub fn lead_to(&self, addresses: &[&str]) {
        write(&self.names, addresses.join("\n").as_bytes());
    }

    /// From now on who looks a name up waits until it is told something else.
    pub fn hang_names(&self) {
        write(&self.names, HANGS);
    }

    /// How many have begun to wait since.
    pub fn hanging(&self) -> usize {
        fs::read(&self.names).map_or(0, |told| told.len() - HANGS.len())
    }

    /// From now on names can't be looked up, and that is why: an error of getaddrinfo(3).
    pub fn fail_names(&self, error: i32) {
        write(&self.names, error.to_string().as_bytes());
    }
}

/// Whole or not at all: somebody may read it at any moment.
fn write(file: &Path, bytes: &[u8]) {
    let fresh = file.with_extension("new");
    fs::write(&fresh, bytes).expect("it can be told");
    fs::rename(fresh, file).expect("it can be told");
}
