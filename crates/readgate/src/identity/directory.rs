//! The users of configuration and store together, as the daemon uses them: loaded at
//! start, looked at again when the store has changed, told when a credential is collected.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::store::{Author, IdentityStore, StoreError};
use access::{
    Change, CredentialPolicy, Identity, NamedUser, Password, Role, SharedBlock, Timestamp,
    Unusable, Users, combine,
};
use arc_swap::ArcSwap;
use config::{Config, IdentityPlace};

use super::{MySqlStore, SqliteStore};

/// How long a change waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store that a configuration names, and the rules for it.
pub struct Directory {
    store: Box<dyn IdentityStore>,
    /// A reload may swap it.
    policy: ArcSwap<CredentialPolicy>,
    stale_after: Duration,
    /// When the store was last asked something that it then answered whole.
    seen: Mutex<Instant>,
    answers: AtomicBool,
}

/// All users at one moment.
#[derive(Debug)]
pub struct Listed {
    /// For logins.
    pub users: Users,
    /// The store's revision; `None`: the store wasn't asked, or didn't answer.
    pub revision: Option<u64>,
    /// Stored users who can't log in as things are.
    unusable: Vec<Unusable>,
}

impl Listed {
    /// The users and the revision, once the log has those who can't log in.
    pub fn told(self) -> (Users, Option<u64>) {
        for unusable in self.unusable {
            tracing::warn!(%unusable, "a stored user can't log in");
        }
        (self.users, self.revision)
    }
}

impl Directory {
    /// Opens the store, if the configuration names one.
    ///
    /// # Errors
    /// If it names one that can't be used.
    pub fn open(config: &Config) -> Result<Option<Self>, StoreError> {
        let Some(identities) = &config.identities else { return Ok(None) };
        let store: Box<dyn IdentityStore> = match &identities.place {
            IdentityPlace::File(file) => Box::new(SqliteStore::open(file, PATIENCE)?),
            IdentityPlace::Shared(place) => Box::new(MySqlStore::open(place)?),
        };
        Ok(Some(Self {
            store,
            policy: ArcSwap::from_pointee(config.credentials),
            stale_after: identities.stale_after,
            seen: Mutex::new(Instant::now()),
            answers: AtomicBool::new(true),
        }))
    }

    /// Other rules for the life of credentials: they count for changes from here on.
    pub fn set_policy(&self, policy: CredentialPolicy) {
        self.policy.store(Arc::new(policy));
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
        Ok(Listed { users, revision: Some(snapshot.revision), unusable })
    }

    /// The users where they are not of that revision any more. A store that tells its revision
    /// and nothing else hasn't answered: what it keeps back may be who is disabled.
    ///
    /// # Errors
    /// If the store can't be asked, or can't be read whole.
    pub fn news(
        &self,
        known: Option<u64>,
        configured: &Users,
        roles: &[Arc<Role>],
    ) -> Result<Option<Listed>, StoreError> {
        let asked = Instant::now();
        let news = self.store.revision().and_then(|revision| {
            let is_known = Some(revision) == known;
            (!is_known).then(|| self.list(configured, roles)).transpose()
        });
        self.answers.store(news.is_ok(), Ordering::Relaxed);
        if news.is_ok() {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        }
        news
    }

    /// Whether the store answered when it was last asked for news.
    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether the store has been out of reach for so long that its users must not log in:
    /// they may have been disabled meanwhile.
    pub fn is_stale(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.elapsed() > self.stale_after
    }

    /// Tells the other nodes of a block.
    ///
    /// # Errors
    /// If the store can't take it.
    pub fn block(&self, block: &SharedBlock, now: Timestamp) -> Result<(), StoreError> {
        self.store.block(block, now)
    }

    /// The blocks in force, of all nodes.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub fn blocks(&self, now: Timestamp) -> Result<Vec<SharedBlock>, StoreError> {
        self.store.blocks(now)
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
        self.store.apply(&collect, &author, &self.policy.load(), now).map(|_| ())
    }

    /// An operator changes a user.
    ///
    /// # Errors
    /// If the change can't be, or the store can't take it.
    pub fn change(&self, change: &Change, author: &Author) -> Result<(), StoreError> {
        self.store.apply(change, author, &self.policy.load(), Timestamp::now()).map(|_| ())
    }

    /// The user of a session chooses a password.
    ///
    /// # Errors
    /// If it was theirs before, or the store can't take it.
    pub fn choose(
        &self,
        named: &NamedUser,
        password: Password,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let choose = Change::Choose(named.user().name.clone(), password);
        let by = format!("session from {}", named.source().addr());
        let Ok(author) = Author::new(by, "chosen by the user") else { return Ok(()) };
        self.store.apply(&choose, &author, &self.policy.load(), now).map(|_| ())
    }
}

/// A directory without store: the configured users alone.
pub fn configured_alone(configured: &Users) -> Listed {
    Listed { users: configured.clone(), revision: None, unusable: Vec::new() }
}

/// The configured users, and the stored ones as they were known, for as long as the store can't be
/// read: it is read as soon as it can.
pub fn known_before(configured: &Users, stored: Vec<Identity>, roles: &[Arc<Role>]) -> Listed {
    let (users, unusable) = combine(configured, stored, roles);
    Listed { users, revision: None, unusable }
}
