//! Named users and where to find them. A [`Users`] value is one consistent state of the
//! whole list: a login never waits for a disk, a reload swaps the value.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mysql_auth::{AuthPlugin, NativeVerifier, Sha2Verifier};
use ring::digest::{SHA256, digest};

use crate::source::SourceSet;

/// Longest user name, in bytes; MySQL's limit is 32 characters.
pub const USER_NAME_MAX: usize = 32;

/// A user's name: 1 to 32 bytes of UTF-8 without control characters, compared byte by
/// byte (MySQL's user names are case-sensitive).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

/// A text that can't be a user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    /// No name at all; MySQL's anonymous user doesn't exist here.
    #[error("the name is empty")]
    Empty,
    /// More than [`USER_NAME_MAX`] bytes.
    #[error("the name has more than 32 bytes")]
    TooLong,
    /// A control character would disturb logs and terminals.
    #[error("the name holds a control character")]
    ControlCharacter,
    /// White space at either end is not seen and so not noticed.
    #[error("the name begins or ends with white space")]
    Padded,
}

impl UserName {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, UserNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(UserNameError::Empty);
        }
        if name.len() > USER_NAME_MAX {
            return Err(UserNameError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(UserNameError::ControlCharacter);
        }
        if name.trim() != name {
            return Err(UserNameError::Padded);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A named person, or a service with a named owner.
#[derive(Debug, Clone)]
pub struct User {
    /// Login name.
    pub name: UserName,
    /// The person's name, for reviews.
    pub full_name: String,
    /// Name of the role.
    pub role: String,
    /// Whether logins are accepted at all.
    pub status: UserStatus,
    /// How the user proves who they are, preferred plugin first. At most one a plugin;
    /// none: nobody can log in as this user.
    pub verifiers: Vec<Verifier>,
    /// Sources this user may come from, beside what the listener accepts; `None`: any
    /// that the listener accepts.
    pub sources: Option<SourceSet>,
    /// Most connections at a time; `None`: the general limit per user.
    pub max_connections: Option<u32>,
}

/// Users are disabled, never deleted: the ledger goes on naming them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserStatus {
    /// May log in.
    Enabled,
    /// May not.
    Disabled,
}

/// What readgate keeps to check a proof. No password can be read from it.
#[derive(Debug, Clone)]
pub enum Verifier {
    /// For `caching_sha2_password`.
    CachingSha2(Sha2Verifier),
    /// For `mysql_native_password`.
    Native(NativeVerifier),
}

impl Verifier {
    /// The plugin it serves.
    pub fn plugin(&self) -> AuthPlugin {
        match self {
            Self::CachingSha2(_) => AuthPlugin::CachingSha2Password,
            Self::Native(_) => AuthPlugin::MysqlNativePassword,
        }
    }
}

impl User {
    /// The plugins the user may log in with, preferred first.
    pub fn plugins(&self) -> impl Iterator<Item = AuthPlugin> {
        self.verifiers.iter().map(Verifier::plugin)
    }

    pub(crate) fn sha2_verifier(&self) -> Option<&Sha2Verifier> {
        self.verifiers.iter().find_map(|verifier| match verifier {
            Verifier::CachingSha2(sha2) => Some(sha2),
            Verifier::Native(_) => None,
        })
    }

    pub(crate) fn native_verifier(&self) -> Option<&NativeVerifier> {
        self.verifiers.iter().find_map(|verifier| match verifier {
            Verifier::Native(native) => Some(native),
            Verifier::CachingSha2(_) => None,
        })
    }
}

/// Where users are found at login. Never waits.
pub trait UserStore {
    /// The user of exactly this name.
    fn find(&self, name: &[u8]) -> Option<Arc<User>>;

    /// The user whose plugins a name that nobody has pretends to. The same name gets the
    /// same answer as long as the users stay the same. `None` if there are no users.
    fn decoy(&self, name: &[u8]) -> Option<Arc<User>>;
}

/// All users at one moment.
#[derive(Debug, Clone, Default)]
pub struct Users {
    by_name: HashMap<Vec<u8>, Arc<User>>,
    ordered: Vec<Arc<User>>,
    decoy_key: [u8; 32],
}

impl Users {
    /// Takes the users over. Of several with one name the first counts; who makes the
    /// list has to refuse that before.
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let mut all = Self::default();
        for user in users {
            let name = user.name.as_str().as_bytes().to_vec();
            if let std::collections::hash_map::Entry::Vacant(free) = all.by_name.entry(name) {
                let user = Arc::new(user);
                free.insert(Arc::clone(&user));
                all.ordered.push(user);
            }
        }
        all.decoy_key = decoy_key(&all.ordered);
        all
    }

    /// The users, in the order they were listed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.ordered.iter()
    }
}

impl UserStore for Users {
    fn find(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.get(name).cloned()
    }

    /// Picks by keyed hash, so that a plugin is as frequent among strangers as it is among
    /// users, and seeing it says nothing about whether the name exists.
    fn decoy(&self, name: &[u8]) -> Option<Arc<User>> {
        let hash = sha256(&[&self.decoy_key, name]);
        let number = hash
            .first_chunk::<8>()
            .map(|bytes| u64::from_be_bytes(*bytes))?;
        let count = u64::try_from(self.ordered.len()).ok()?;
        let index = usize::try_from(number.checked_rem(count)?).ok()?;
        self.ordered.get(index).cloned()
    }
}

/// A key that outsiders can't know, and that stays the same over restarts and nodes as
/// long as the users do: made from the verifiers.
fn decoy_key(users: &[Arc<User>]) -> [u8; 32] {
    let texts = users
        .iter()
        .flat_map(|user| &user.verifiers)
        .map(|verifier| match verifier {
            Verifier::CachingSha2(sha2) => sha2.to_text(),
            Verifier::Native(native) => native.to_text(),
        });
    let joined: String = texts.collect();
    sha256(&[b"readgate decoy key", joined.as_bytes()])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, &parts.concat()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use mysql_auth::Password;

    use super::*;

    fn user(name: &str, verifiers: Vec<Verifier>) -> User {
        User {
            name: UserName::new(name).unwrap(),
            full_name: String::from("Test"),
            role: String::from("reader"),
            status: UserStatus::Enabled,
            verifiers,
            sources: None,
            max_connections: None,
        }
    }

    fn native(password: &str) -> Vec<Verifier> {
        vec![Verifier::Native(NativeVerifier::from_password(
            &Password::new(password),
        ))]
    }

    fn sha2(password: &str) -> Vec<Verifier> {
        vec![Verifier::CachingSha2(Sha2Verifier::from_password(
            &Password::new(password),
        ))]
    }

    #[test]
    fn names_are_case_sensitive_bytes() {
        let users = Users::new([user("alice", sha2("a")), user("Alice", sha2("b"))]);
        assert_eq!(users.find(b"alice").unwrap().name.as_str(), "alice");
        assert_eq!(users.find(b"Alice").unwrap().name.as_str(), "Alice");
        assert!(users.find(b"ALICE").is_none());
        assert!(users.find(b"alice ").is_none());
        assert!(users.find(b"").is_none());
    }

    #[test]
    fn refuses_names_that_mislead() {
        assert_eq!(UserName::new(""), Err(UserNameError::Empty));
        assert_eq!(UserName::new("a".repeat(33)), Err(UserNameError::TooLong));
        assert_eq!(UserName::new("é".repeat(17)), Err(UserNameError::TooLong));
        assert!(UserName::new("é".repeat(16)).is_ok());
        assert_eq!(UserName::new("a\nb"), Err(UserNameError::ControlCharacter));
        assert_eq!(UserName::new("alice "), Err(UserNameError::Padded));
    }

    #[test]
    fn strangers_look_like_users_in_the_same_proportion() {
        let few_native = (0..100).map(|i| {
            let password = format!("p{i}");
            user(
                &format!("u{i}"),
                if i < 20 {
                    native(&password)
                } else {
                    sha2(&password)
                },
            )
        });
        let users = Users::new(few_native);
        let decoys = (0..5000).map(|i| users.decoy(format!("x{i}").as_bytes()).unwrap());
        let native = decoys.filter(|d| d.plugins().next() == Some(AuthPlugin::MysqlNativePassword));
        // 20% of 5000 with a standard deviation of 28.
        assert!((860..1140).contains(&native.count()));
        let again = users.clone();
        for i in 0..100 {
            let name = format!("x{i}");
            let (a, b) = (users.decoy(name.as_bytes()), again.decoy(name.as_bytes()));
            assert_eq!(a.unwrap().name, b.unwrap().name);
        }
    }

    #[test]
    fn no_users_no_decoy() {
        assert!(Users::new([]).decoy(b"anyone").is_none());
    }
}
