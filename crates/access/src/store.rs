//! What a store of users has to do, whatever it is made of. The implementations live in
//! the daemon's crate; one set of tests is run on each.
use crate::Timestamp;
use crate::credential::CredentialPolicy;
use crate::identity::{Change, ChangeError, Identity};
use crate::throttle::SharedBlock;
use crate::user::UserName;

/// A place where users are kept.
///
/// Methods may wait for a disk or a network: nothing on the way of a login or a statement
/// calls them. Logins are answered from a [`crate::Users`] made of the last [`Snapshot`].
pub trait IdentityStore: Send + Sync {
    /// Number of the last change; grows with each.
    ///
    /// # Errors
    /// If the store can't be asked.
    fn revision(&self) -> Result<u64, StoreError>;

    /// All users at one moment.
    ///
    /// # Errors
    /// If the store can't be read whole. There is no partial answer.
    fn load(&self) -> Result<Snapshot, StoreError>;

    /// Makes a change and its entry in the history, both or neither. Gives the user as it
    /// is then. Changes of several processes at once happen one after the other, and a
    /// collection that was noted already leaves no second entry.
    ///
    /// # Errors
    /// If the change can't be, or the store can't take it.
    fn apply(
        &self,
        change: &Change,
        author: &Author,
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Result<Identity, StoreError>;

    /// The changes of one user, or of all, oldest first.
    ///
    /// # Errors
    /// If the store can't be read whole.
    fn history(&self, user: Option<&UserName>) -> Result<Vec<HistoryEntry>, StoreError>;

    /// The changes after that revision, oldest first.
    ///
    /// # Errors
    /// If the store can't be read whole.
    fn changes_since(&self, revision: u64) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Puts into the history that a review was signed off.
    ///
    /// # Errors
    /// If the store can't take it.
    fn sign_off(
        &self,
        author: &Author,
        sign_off: &SignOff,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Tells the other nodes of a block. A longer one for the same stays.
    ///
    /// # Errors
    /// If the store can't take it.
    fn block(&self, block: &SharedBlock, now: Timestamp) -> Result<(), StoreError>;

    /// The blocks in force, of all nodes.
    ///
    /// # Errors
    /// If the store can't be read.
    fn blocks(&self, now: Timestamp) -> Result<Vec<SharedBlock>, StoreError>;
}

/// That a review was read and agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOff {
    /// Who agrees.
    pub reviewer: String,
    /// What they have to say.
    pub comment: String,
    /// SHA-256 of what they read, hexadecimal.
    pub digest: String,
}

impl SignOff {
    /// Its name in the history.
    pub const LABEL: &'static str = "review_signed_off";

    /// What the history says of it.
    pub fn differences(&self) -> Vec<Difference> {
        let facts = [
            ("reviewer", &self.reviewer),
            ("comment", &self.comment),
            ("review_sha256", &self.digest),
        ];
        let fact = |(fact, after): (&str, &String)| Difference {
            fact: fact.to_owned(),
            before: String::new(),
            after: after.clone(),
        };
        facts.into_iter().map(fact).collect()
    }
}

/// All users at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Number of the last change in it.
    pub revision: u64,
    /// The users, by name.
    pub identities: Vec<Identity>,
}

/// Who asks for a change, and why. There is no change without both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    by: String,
    reason: String,
}

/// A change without author or reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a change needs an author and a reason")]
pub struct NoReason;

impl Author {
    /// `by` is an account of the operating system or an operator, such as `os:root`.
    ///
    /// # Errors
    /// If either is blank.
    pub fn new(by: impl Into<String>, reason: impl Into<String>) -> Result<Self, NoReason> {
        let (by, reason) = (by.into(), reason.into());
        if by.trim().is_empty() || reason.trim().is_empty() {
            return Err(NoReason);
        }
        Ok(Self { by, reason })
    }

    /// Who.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its number; the store's revision after it.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whom it happened to; empty if to nobody, as with a review.
    pub user: String,
    /// What happened ([`Change::label`]).
    pub label: String,
    /// The facts that differ ([`Identity::facts`]): name, before, after.
    pub differences: Vec<Difference>,
}

/// One fact that a change changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub fact: String,
    /// Before; empty if there was none.
    pub before: String,
    /// After; empty if there is none.
    pub after: String,
}

/// The facts in which two states of a user differ.
pub fn differences(before: Option<&Identity>, after: &Identity) -> Vec<Difference> {
    let old = before.map(Identity::facts).unwrap_or_default();
    let was =
        |fact: &str| old.iter().find(|(name, _)| name == fact).map(|(_, value)| value.clone());
    let differing = after.facts().into_iter().filter_map(|(fact, after)| {
        let before = was(&fact).unwrap_or_default();
        (before != after).then_some(Difference { fact, before, after })
    });
    differing.collect()
}

/// A store that can't do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The change itself can't be.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Another process holds it for too long.
    #[error(
        "the identity store {place} is locked by another process; try again, or end that process"
    )]
    Busy {
        /// File or URL without password.
        place: String,
    },
    /// There is no room left.
    #[error("the identity store {place} has no room left; free some disk space")]
    Full {
        /// File or URL without password.
        place: String,
    },
    /// It holds what no readgate wrote.
    #[error("the identity store {place} is damaged ({detail}); restore it from a backup")]
    Damaged {
        /// File or URL without password.
        place: String,
        /// What was found.
        detail: String,
    },
    /// It was made by a later version.
    #[error(
        "the identity store {place} has version {found}, this readgate knows {known}; use the readgate that made it"
    )]
    TooNew {
        /// File or URL without password.
        place: String,
        /// Its version.
        found: i64,
        /// The latest known one.
        known: i64,
    },
    /// The connection broke while a change was being written down.
    #[error(
        "the connection to the identity store {place} broke during a change ({detail}); look at `readgate access history` before trying again"
    )]
    Unsure {
        /// File or URL without password.
        place: String,
        /// What the system says.
        detail: String,
    },
    /// It can't be opened or reached.
    #[error("the identity store {place} can't be used ({detail})")]
    Unreachable {
        /// File or URL without password.
        place: String,
        /// What the system says.
        detail: String,
    },
}
