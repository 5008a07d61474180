//! Bytes that each user has read today (UTC) on this node, for the daily limit of their
//! role. Kept in memory; after a restart the ledger says what they were, and for what may stand in
//! encrypted files by then, a note beside it.
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::{Date, Timestamp, day_of};
use config::Config;
use ledger::cli::Search;
use ledger::whole_file;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::daemon::Daemon;

const FILE: &str = "bytes-of-day";
/// How often it is written down.
const EACH: Duration = Duration::from_secs(30);
/// Users that have read something today; bounded by the number of users.
#[derive(Debug)]
pub struct DailyBytes {
    directory: PathBuf,
    all: Mutex<HashMap<String, (Date, u64)>>,
}

/// What is written down.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    day: String,
    /// Outcomes from then on may not be in it.
    until: String,
    bytes: BTreeMap<String, u64>,
}

impl DailyBytes {
    fn none(directory: PathBuf) -> Self {
        Self { directory, all: Mutex::default() }
    }

    /// As configured: the ledger is read only where a limit asks for it.
    ///
    /// # Errors
    /// If its files can't be read.
    pub fn wanted_by(config: &Config) -> io::Result<Self> {
        let directory = config.ledger.directory.clone();
        match config.roles.iter().any(|role| role.limits.bytes_per_day.is_some()) {
            true => Self::known_in(directory, crate::clock::today()),
            false => Ok(Self::none(directory)),
        }
    }

    /// What the ledger in that folder, and the note beside it, know of the day.
    ///
    /// # Errors
    /// If its files can't be read.
    pub fn known_in(directory: PathBuf, day: Date) -> io::Result<Self> {
        let bytes = Self::none(directory);
        let today = day.to_string();
        let noted = Noted::read(&bytes.directory).filter(|noted| noted.day == today);
        let (from, noted) = match noted {
            Some(noted) => (noted.until.max(today), noted.bytes),
            None => (today, BTreeMap::new()),
        };
        for (user, count) in noted {
            bytes.add(&user, day, count);
        }
        let outcomes =
            Search { event: Some(String::from("outcome")), from: Some(from), ..Search::default() };
        for (user, stats) in ledger::cli::stats(std::slice::from_ref(&bytes.directory), &outcomes)?
        {
            bytes.add(&user, day, stats.bytes);
        }
        Ok(bytes)
    }

    /// Writes down what has been read on the day of `until`, which is now. Outcomes recorded before are in
    /// it: a response is counted before its outcome is recorded.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn note(&self, until: Timestamp) -> io::Result<()> {
        let day = day_of(until);
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_day = all.into_iter().filter(|(_, (counted, _))| *counted == day);
        let noted = Noted {
            day: day.to_string(),
            until: until.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
            bytes: of_day.map(|(user, (_, bytes))| (user, bytes)).collect(),
        };
        if noted.bytes.is_empty() {
            return Ok(());
        }
        whole_file::write(&self.directory, FILE, 0o600, &serde_json::to_vec(&noted)?)
    }

    /// Bytes read on that day so far.
    pub fn of(&self, user: &str, day: Date) -> u64 {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(user).filter(|(counted, _)| *counted == day).map_or(0, |(_, bytes)| *bytes)
    }

    /// Adds what a response held.
    pub fn add(&self, user: &str, day: Date, bytes: u64) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.entry(user.to_owned()).or_insert((day, 0));
        if entry.0 != day {
            *entry = (day, 0);
        }
        entry.1 = entry.1.saturating_add(bytes);
    }
}

impl Noted {
    /// `None` also for one that can't be read: then the ledger alone says.
    fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join(FILE)).ok()?).ok()
    }
}

/// Writes it down now and then, as long as the daemon runs.
pub async fn keep_noted(daemon: Arc<Daemon>) {
    loop {
        sleep(EACH).await;
        let noting = Arc::clone(&daemon);
        let noted = tokio::task::spawn_blocking(move || noting.usage.note(Timestamp::now()));
        if let Ok(Err(error)) = noted.await {
            tracing::warn!(%error, "the bytes of the day can't be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_starts_at_nothing() {
        let (monday, tuesday): (Date, Date) =
            ("2026-11-23".parse().unwrap(), "2026-11-24".parse().unwrap());
        let bytes = DailyBytes::none(PathBuf::new());
        bytes.add("alice", monday, 10);
        bytes.add("alice", monday, 5);
        assert_eq!((bytes.of("alice", monday), bytes.of("alice", tuesday)), (15, 0));
        bytes.add("alice", tuesday, 1);
        assert_eq!((bytes.of("alice", tuesday), bytes.of("bob", tuesday)), (1, 0));
    }

    #[test]
    fn what_was_noted_counts_on_its_day_alone() {
        let folder = tempfile::tempdir().unwrap();
        let noon: Timestamp = "2026-11-23T12:00:00.5Z".parse().unwrap();
        let (monday, tuesday): (Date, Date) =
            ("2026-11-23".parse().unwrap(), "2026-11-24".parse().unwrap());
        let bytes = DailyBytes::none(folder.path().to_owned());
        bytes.add("alice", monday, 10);
        bytes.note(noon).unwrap();
        let known = |day| DailyBytes::known_in(folder.path().to_owned(), day).unwrap();
        assert_eq!(known(monday).of("alice", monday), 10);
        assert_eq!(known(tuesday).of("alice", tuesday), 0);
        assert_eq!(Noted::read(folder.path()).unwrap().until, "2026-11-23T12:00:00.500000");
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(known(monday).of("alice", monday), 0);
    }
}
