//! Which changes of the identity store this node's ledger holds: each one once, also those made
//! while no daemon ran, and none is forgotten.
//!
//! Where it stands is kept in a file beside the ledger. What is about to be recorded is noted
//! there before, so that after a crash in between the ledger itself says how far it came.
use std::io;
use std::path::PathBuf;

use access::Timestamp;
use access::store::{HistoryEntry, IdentityStore, StoreError};
use ledger::cli::Search;
use ledger::whole_file;
use serde::{Deserialize, Serialize};

const FILE: &str = "identities.position";

/// The last change that the ledger holds, and those that it is being told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Number of the change in the store's history; 0: none yet.
    number: u64,
    /// When it was made, which tells one history from another.
    made_at: String,
    /// Changes up to this one may have been recorded.
    recording_to: u64,
    /// Since then.
    since: String,
}

/// The way of changes from the store to the ledger.
#[derive(Debug)]
pub struct Outbox {
    directory: PathBuf,
    position: Option<Position>,
}

/// Why changes can't be handed over now. They are not lost.
#[derive(Debug, thiserror::Error)]
pub enum OutboxFault {
    /// The store can't be asked.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The file beside the ledger, or the ledger's own files.
    #[error("which changes of users the ledger holds can't be told: {0}")]
    File(#[from] io::Error),
    /// The ledger is behind with its files.
    #[error("the ledger's files don't hold all its records yet")]
    Behind,
}

impl Outbox {
    /// For the ledger in that folder. Reads nothing yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, position: None }
    }

    /// The changes that the ledger doesn't hold, oldest first. Each one recorded is to be told
    /// by [`Self::recorded`], in this order; the first that can't be recorded ends the round.
    /// `files_are_whole`: the ledger's files hold all its records.
    ///
    /// # Errors
    /// If that can't be told: the next round will.
    pub fn begin(
        &mut self,
        store: &dyn IdentityStore,
        files_are_whole: bool,
    ) -> Result<Vec<HistoryEntry>, OutboxFault> {
        let mut position = match &self.position {
            Some(known) => known.clone(),
            None => self.read()?,
        };
        if position.recording_to > position.number {
            if !files_are_whole {
                return Err(OutboxFault::Behind);
            }
            self.catch_up(&mut position)?;
        }
        let mut changes = store.changes_since(position.number.saturating_sub(1))?;
        if position.number > 0 {
            let last = changes.first().filter(|last| last.number == position.number);
            if last.is_some_and(|last| last.at.to_string() == position.made_at) {
                changes.remove(0);
            } else {
                tracing::warn!("the identity store has another history: all of it is recorded");
                position = Position::default();
                changes = store.changes_since(0)?;
            }
        }
        let Some(last) = changes.last() else {
            self.position = Some(position);
            return Ok(changes);
        };
        position.recording_to = last.number;
        position.since = Timestamp::now().to_string();
        self.write(&position)?;
        self.position = Some(position);
        Ok(changes)
    }

    /// The ledger holds this change.
    pub fn recorded(&mut self, change: &HistoryEntry) {
        if let Some(position) = &mut self.position {
            position.number = change.number;
            position.made_at = change.at.to_string();
        }
    }

    /// Ends a round, whether or not all was recorded.
    ///
    /// # Errors
    /// If it can't be written down: the ledger is asked again then.
    pub fn end(&self) -> Result<(), OutboxFault> {
        match &self.position {
            Some(position) => Ok(self.write(position)?),
            None => Ok(()),
        }
    }

    /// The last round didn't come to its end: the ledger knows what became of it.
    fn catch_up(&self, position: &mut Position) -> io::Result<()> {
        let search = Search {
            event: Some(String::from("access_change")),
            // From the beginning of that day.
            from: Some(position.since.chars().take("2026-01-31".len()).collect()),
            passes_over_older: true,
            ..Search::default()
        };
        let mut lines = Vec::new();
        ledger::cli::search(std::slice::from_ref(&self.directory), &search, &mut lines)?;
        for line in lines.split(|byte| *byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<Recorded>(line) else { continue };
            if (position.number + 1..=position.recording_to).contains(&record.number) {
                position.number = record.number;
                position.made_at = record.made_at;
            }
        }
        Ok(())
    }

    /// One that another hand has broken tells nothing: twice in the ledger is better than never.
    fn read(&self) -> io::Result<Position> {
        match std::fs::read(self.directory.join(FILE)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(%error, "{FILE} is broken: all of the identity store's history is recorded");
                Position::default()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Position::default()),
            Err(error) => Err(error),
        }
    }

    fn write(&self, position: &Position) -> io::Result<()> {
        whole_file::write(&self.directory, FILE, 0o600, &serde_json::to_vec(position)?)
    }
}

/// What is needed of a record.
#[derive(Deserialize)]
struct Recorded {
    number: u64,
    made_at: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access::store::Author;
    use access::{Change, CredentialPolicy, Identity, UserName};

    use super::*;
    use crate::identity::SqliteStore;

    const POLICY: CredentialPolicy = CredentialPolicy {
        collect_within: Duration::from_secs(86_400),
        valid_for: None,
        warn_before: Duration::ZERO,
        overlap: Duration::ZERO,
    };

    fn store(directory: &tempfile::TempDir, name: &str, users: &[&str]) -> SqliteStore {
        let store = SqliteStore::open(&directory.path().join(name), Duration::ZERO).unwrap();
        users.iter().for_each(|user| add(&store, user));
        store
    }

    fn add(store: &SqliteStore, user: &str) {
        let user = Identity::new(UserName::new(user).unwrap(), user, "default");
        let author = Author::new("os:tester", "a test").unwrap();
        let change = Change::Add(Box::new(user));
        store.apply(&change, &author, &POLICY, Timestamp::now()).unwrap();
    }

    fn outbox(directory: &tempfile::TempDir) -> Outbox {
        Outbox::new(directory.path().to_owned())
    }

    /// One round in which the first `most` can be recorded.
    fn round(outbox: &mut Outbox, store: &SqliteStore, most: usize) -> Vec<String> {
        let changes = outbox.begin(store, true).unwrap();
        changes.iter().take(most).for_each(|change| outbox.recorded(change));
        outbox.end().unwrap();
        changes.into_iter().map(|change| change.user).collect()
    }

    #[test]
    fn each_change_is_handed_over_once_also_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "store", &["ann", "bob"]);
        let mut first = outbox(&directory);
        assert_eq!(round(&mut first, &store, 9), ["ann", "bob"]);
        assert!(round(&mut first, &store, 9).is_empty());
        add(&store, "cid");
        assert_eq!(round(&mut outbox(&directory), &store, 9), ["cid"]);
        assert!(round(&mut outbox(&directory), &store, 9).is_empty());
    }

    #[test]
    fn what_the_ledger_did_not_take_comes_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "store", &["ann", "bob", "cid"]);
        let mut outbox = outbox(&directory);
        assert_eq!(round(&mut outbox, &store, 1), ["ann", "bob", "cid"]);
        assert_eq!(round(&mut outbox, &store, 9), ["bob", "cid"]);
    }

    #[test]
    fn after_a_crash_the_ledger_says_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "store", &["ann", "bob", "cid"]);
        let changes = outbox(&directory).begin(&store, true).unwrap();
        // Two were recorded when it ended.
        let lines: String = changes.iter().take(2).map(record_of).collect();
        std::fs::write(directory.path().join("ledger-node-00000001.jsonl"), lines).unwrap();
        let refused = outbox(&directory).begin(&store, false);
        assert!(matches!(refused, Err(OutboxFault::Behind)), "{refused:?}");
        assert_eq!(round(&mut outbox(&directory), &store, 9), ["cid"]);
    }

    #[test]
    fn a_position_that_is_broken_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory, "store", &["ann", "bob"]);
        for broken in ["", "{\"number\":2", "{\"number\":-1}"] {
            assert_eq!(round(&mut outbox(&directory), &store, 9), ["ann", "bob"]);
            assert!(round(&mut outbox(&directory), &store, 9).is_empty());
            std::fs::write(directory.path().join(FILE), broken).unwrap();
        }
    }

    fn record_of(change: &HistoryEntry) -> String {
        let (number, at) = (change.number, change.at);
        format!(
            "{{\"v\":1,\"seq\":{number},\"time\":\"{at}\",\"event\":\"access_change\",\
             \"number\":{number},\"made_at\":\"{at}\"}}\n"
        )
    }

    #[test]
    fn another_store_has_another_history() {
        let directory = tempfile::tempdir().unwrap();
        let old = store(&directory, "old", &["ann", "bob"]);
        round(&mut outbox(&directory), &old, 9);
        for users in [&["cid"][..], &["cid", "dan"], &["cid", "dan", "eve"]] {
            let name = format!("new{}", users.len());
            let new = store(&directory, &name, users);
            assert_eq!(round(&mut outbox(&directory), &new, 9), users);
        }
    }
}
