//! Bytes that each user has read today (UTC) on this node, for the daily limit of their
//! role. Every user's are counted, with a limit or without, as a reload may bring one. Kept in memory;
//! after a restart the ledger says what they were, and for what may stand in encrypted files by then,
//! a note beside it.
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Date, Timestamp, day_of};
use config::Config;
use ledger::cli::Search;
use ledger::whole_file;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::clock::today;
use crate::daemon::Daemon;

const FILE: &str = "bytes-of-day";
/// How often it is written down.
pub const EACH: Duration = Duration::from_secs(30);

/// What all users have read today.
#[derive(Debug)]
pub struct DailyBytes {
    directory: PathBuf,
    began: Timestamp,
    /// Whether what was read before `began` is counted too. Until then nothing is noted: the next
    /// start would take it for the whole day's.
    recalled: AtomicBool,
    /// Users since the start; bounded by the number of users.
    users: Mutex<HashMap<String, Arc<BytesRead>>>,
}

/// What one user has read on the day that is named.
#[derive(Debug, Default)]
pub struct BytesRead(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    day: Date,
    bytes: u64,
    /// Drawn by responses that go on: their outcomes, still to be recorded, tell all of theirs.
    under_way: u64,
}

/// A day that a limit is set for, for one response. All sessions of its user draw from it while they
/// read.
#[derive(Debug)]
pub struct LimitedDay {
    read: Arc<BytesRead>,
    /// The limit.
    pub most: u64,
    drawn: u64,
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
    /// Counts from now on, for a ledger in that folder.
    fn begin(directory: PathBuf, began: Timestamp) -> Self {
        Self { directory, began, recalled: AtomicBool::new(false), users: Mutex::default() }
    }

    /// As configured: the start waits for what the ledger says only where a limit asks for it.
    ///
    /// # Errors
    /// If its files can't be read.
    pub fn wanted_by(config: &Config) -> io::Result<Self> {
        let bytes = Self::begin(config.ledger.directory.clone(), Timestamp::now());
        if config.roles.iter().any(|role| role.limits.bytes_per_day.is_some()) {
            bytes.recall()?;
        }
        Ok(bytes)
    }

    /// Adds what the ledger and the note beside it know of the day before the start. Once.
    ///
    /// # Errors
    /// If the ledger's files can't be read.
    fn recall(&self) -> io::Result<()> {
        if self.recalled.load(Ordering::Acquire) {
            return Ok(());
        }
        let day = day_of(self.began);
        let today = day.to_string();
        let noted = Noted::read(&self.directory).filter(|noted| noted.day == today);
        let (from, mut read) = match noted {
            Some(noted) => (noted.until.max(today), noted.bytes),
            None => (today, BTreeMap::new()),
        };
        let outcomes = Search {
            event: Some(String::from("outcome")),
            from: Some(from),
            to: Some(stamp(self.began)),
            passes_over_older: true,
            ..Search::default()
        };
        let stats = ledger::cli::stats(std::slice::from_ref(&self.directory), &outcomes)?;
        for (user, stats) in stats {
            *read.entry(user).or_default() += stats.bytes;
        }
        for (user, bytes) in read {
            self.of(&user).recall(day, bytes);
        }
        self.recalled.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes down what has been read on the day of `until`, which is now. Outcomes recorded before are in
    /// it: a response is counted before its outcome is recorded.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn note(&self, until: Timestamp) -> io::Result<()> {
        if !self.recalled.load(Ordering::Acquire) {
            return Ok(());
        }
        let day = day_of(until);
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_day = users.into_iter().map(|(user, read)| (user, read.ended_on(day)));
        let noted = Noted {
            day: day.to_string(),
            until: stamp(until),
            bytes: of_day.filter(|(_, bytes)| *bytes > 0).collect(),
        };
        if noted.bytes.is_empty() {
            return Ok(());
        }
        whole_file::write(&self.directory, FILE, 0o600, &serde_json::to_vec(&noted)?)
    }

    /// Of one user, for as long as a session of theirs wants to know and count.
    pub fn of(&self, user: &str) -> Arc<BytesRead> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        match users.get(user) {
            Some(read) => Arc::clone(read),
            None => Arc::clone(users.entry(user.to_owned()).or_default()),
        }
    }
}

impl BytesRead {
    /// On that day so far.
    pub fn on(&self, day: Date) -> u64 {
        let counted = self.lock();
        if counted.day == day { counted.bytes } else { 0 }
    }

    /// Of that, without what responses have drawn that go on.
    fn ended_on(&self, day: Date) -> u64 {
        let counted = self.lock();
        if counted.day == day { counted.bytes.saturating_sub(counted.under_way) } else { 0 }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what a response held.
    pub fn add(&self, day: Date, bytes: u64) {
        self.add_unless(day, bytes, |_| false);
    }

    /// Adds what was read earlier; nothing if a later day has begun meanwhile.
    fn recall(&self, day: Date, bytes: u64) {
        self.add_unless(day, bytes, |counted| counted > day);
    }

    fn add_unless(&self, day: Date, bytes: u64, is_over: impl FnOnce(Date) -> bool) {
        let mut read = self.lock();
        if is_over(read.day) {
            return;
        }
        if read.day != day {
            (read.day, read.bytes) = (day, 0);
        }
        read.bytes = read.bytes.saturating_add(bytes);
    }
}

impl LimitedDay {
    /// Nothing is drawn yet.
    pub fn new(read: Arc<BytesRead>, most: u64) -> Self {
        Self { read, most, drawn: 0 }
    }

    /// What may still be read.
    pub fn left(&self) -> u64 {
        self.most.saturating_sub(self.read.on(today()))
    }

    /// Counts a part of the response.
    pub fn count(&mut self, bytes: u64) {
        self.draw(today(), bytes);
    }

    fn draw(&mut self, day: Date, bytes: u64) {
        self.read.add(day, bytes);
        self.read.lock().under_way += bytes;
        self.drawn += bytes;
    }
}

/// The response has ended; its outcome is recorded next.
impl Drop for LimitedDay {
    fn drop(&mut self) {
        self.read.lock().under_way -= self.drawn;
    }
}

/// As records give their time.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
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
        let noting = Arc::clone(&daemon);
        let noted = tokio::task::spawn_blocking(move || {
            noting.usage.recall()?;
            noting.usage.note(Timestamp::now())
        });
        if let Ok(Err(error)) = noted.await {
            tracing::warn!(%error, "the bytes of the day can't be recalled or written down");
        }
        sleep(EACH).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: &str = "2026-11-23T12:00:00.5Z";
    const TUESDAY: &str = "2026-11-24T12:00:00.5Z";

    fn begun(folder: &Path, at: &str) -> DailyBytes {
        DailyBytes::begin(folder.to_owned(), at.parse().unwrap())
    }

    fn day(at: &str) -> Date {
        day_of(at.parse().unwrap())
    }

    #[test]
    fn a_new_day_starts_at_nothing() {
        let bytes = begun(Path::new(""), MONDAY);
        let alice = bytes.of("alice");
        alice.add(day(MONDAY), 10);
        bytes.of("alice").add(day(MONDAY), 5);
        assert_eq!((alice.on(day(MONDAY)), alice.on(day(TUESDAY))), (15, 0));
        alice.add(day(TUESDAY), 1);
        assert_eq!((alice.on(day(TUESDAY)), bytes.of("bob").on(day(TUESDAY))), (1, 0));
    }

    #[test]
    fn what_was_noted_counts_on_its_day_alone() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = begun(folder.path(), MONDAY);
        bytes.of("alice").add(day(MONDAY), 10);
        bytes.recall().unwrap();
        bytes.note(MONDAY.parse().unwrap()).unwrap();
        let recalled = |at| {
            let bytes = begun(folder.path(), at);
            bytes.of("alice").add(day(at), 1);
            bytes.recall().unwrap();
            bytes.recall().unwrap();
            bytes.of("alice").on(day(at))
        };
        assert_eq!((recalled(MONDAY), recalled(TUESDAY)), (11, 1));
        assert_eq!(Noted::read(folder.path()).unwrap().until, "2026-11-23T12:00:00.500000");
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(recalled(MONDAY), 1);
    }

    #[test]
    fn what_is_recalled_late_takes_nothing_from_the_day_that_has_begun() {
        let folder = tempfile::tempdir().unwrap();
        let before = begun(folder.path(), MONDAY);
        before.of("alice").add(day(MONDAY), 10);
        before.recall().unwrap();
        before.note(MONDAY.parse().unwrap()).unwrap();
        let bytes = begun(folder.path(), MONDAY);
        let alice = bytes.of("alice");
        alice.add(day(TUESDAY), 3);
        bytes.recall().unwrap();
        assert_eq!(alice.on(day(TUESDAY)), 3);
    }

    #[test]
    fn what_a_response_has_drawn_is_noted_when_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = begun(folder.path(), MONDAY);
        bytes.recall().unwrap();
        let alice = bytes.of("alice");
        alice.add(day(MONDAY), 5);
        let mut response = LimitedDay::new(Arc::clone(&alice), 100);
        response.draw(day(MONDAY), 10);
        let noted = || {
            bytes.note(MONDAY.parse().unwrap()).unwrap();
            Noted::read(folder.path()).unwrap().bytes["alice"]
        };
        assert_eq!((noted(), alice.on(day(MONDAY))), (5, 15), "its outcome will tell of ten");
        drop(response);
        assert_eq!((noted(), alice.on(day(MONDAY))), (15, 15));
    }

    #[test]
    fn a_start_reads_no_files_of_other_days() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = |sequence, at: &str| {
            format!(
                "{{\"v\":2,\"seq\":{sequence},\"time\":\"{at}.000000Z\",\"node\":\"n\",\"event\":\"outcome\",\
                 \"user\":\"alice\",\"intent\":1,\"end\":\"ok\",\"rows\":1,\"bytes\":7}}\n"
            )
        };
        let begins_before =
            [outcome(6, "2026-11-22T23:00:00"), outcome(7, "2026-11-23T08:00:00")].concat();
        for (first, text) in [
            ("000000000001.jsonl.zst", "damaged long ago".to_owned()),
            ("000000000006.jsonl", begins_before),
            ("000000000008.jsonl", outcome(8, "2026-11-23T09:00:00")),
            // Since the start: its session has counted it.
            ("000000000009.jsonl", outcome(9, "2026-11-23T12:00:01")),
        ] {
            fs::write(folder.path().join(format!("ledger-n-{first}")), text).unwrap();
        }
        let bytes = begun(folder.path(), MONDAY);
        bytes.recall().unwrap();
        assert_eq!(bytes.of("alice").on(day(MONDAY)), 14);
    }

    #[test]
    fn nothing_is_noted_before_the_day_is_known_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = begun(folder.path(), MONDAY);
        bytes.of("alice").add(day(MONDAY), 10);
        bytes.note(MONDAY.parse().unwrap()).unwrap();
        assert_eq!(Noted::read(folder.path()), None);
        bytes.recall().unwrap();
        bytes.note(MONDAY.parse().unwrap()).unwrap();
        assert!(Noted::read(folder.path()).is_some());
    }
}
