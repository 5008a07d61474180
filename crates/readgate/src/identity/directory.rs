//! The users of configuration and store together, as the daemon uses them: loaded at
//! start, looked at again when the store has changed, told when a credential is collected.
use std::sync::Arc;
use std::time::Duration;

use access::store::{Author, IdentityStore, StoreError};
use access::{
    Change, CredentialPolicy, HistoryEntry, NamedUser, Role, Timestamp, Unusable, Users, combine,
};
use config::Config;

use super::SqliteStore;

/// How long a change waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store that a configuration names, and the rules for it.
pub struct Directory {
    store: Box<dyn IdentityStore>,
    policy: CredentialPolicy,
}

/// All users at one moment.
#[derive(Debug)]
pub struct Listed {
    /// For logins.
    pub users: Users,
    /// The store's revision; 0 without a store.
    pub revision: u64,
    /// Stored users who can't log in as things are, to be logged.
    pub unusable: Vec<Unusable>,
}

impl Directory {
    /// Opens the store, if the configuration names one.
    ///
    /// # Errors
    /// If it names one that can't be used.
    pub fn open(config: &Config) -> Result<Option<Self>, StoreError> {
        let Some(identities) = &config.identities else { return Ok(None) };
        let store = Box::new(SqliteStore::open(&identities.file, PATIENCE)?);
        Ok(Some(Self { store, policy: config.credentials }))
    }

    /// The store itself.
    pub fn store(&self) -> &dyn IdentityStore {
        self.store.as_ref()
    }

    /// The users of the store joined with the configured ones.
    ///
    /// # Errors
    /// If the store can't be read whole: then what was loaded before goes on counting.
    pub fn list(&self, configured: &Users, roles: &[Arc<Role>]) -> Result<Listed, StoreError> {
        let snapshot = self.store.load()?;
        let (users, unusable) = combine(configured, snapshot.identities, roles);
        Ok(Listed { users, revision: snapshot.revision, unusable })
    }

    /// The changes since a revision, for the ledger; empty while nothing has changed.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub fn changes_since(&self, revision: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        if self.store.revision()? == revision {
            return Ok(Vec::new());
        }
        let mut history = self.store.history(None)?;
        history.retain(|entry| entry.number > revision);
        Ok(history)
    }

    /// Marks the credential of a first login as collected. Must have succeeded before the
    /// session begins. Does nothing for another login.
    ///
    /// # Errors
    /// If the store can't take it: then the session must not begin.
    pub fn collect(&self, named: &NamedUser, now: Timestamp) -> Result<(), StoreError> {
        if !named.collects_credential() {
            return Ok(());
        }
        let Some(credential) = named.credential() else { return Ok(()) };
        let collect = Change::Collect(named.user().name.clone(), credential);
        let by = format!("login from {}", named.source().addr());
        let Ok(author) = Author::new(by, "first login with the credential") else { return Ok(()) };
        self.store.apply(&collect, &author, &self.policy, now).map(|_| ())
    }
}

/// A directory without store: the configured users alone.
pub fn configured_alone(configured: &Users) -> Listed {
    Listed { users: configured.clone(), revision: 0, unusable: Vec::new() }
}
