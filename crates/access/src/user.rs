//! Named users and where to find them. A [`Users`] value is one consistent state of the
//! whole list: a login never waits for a disk, a reload swaps the value.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mysql_auth::{AuthPlugin, NativeVerifier, Sha2Verifier};
use ring::digest::{SHA256, digest};

use crate::Date;
use crate::certificate::CertificateName;
use crate::credential::{Credential, CredentialId};
use crate::role::Role;
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
    /// Address for notices.
    pub email: Option<String>,
    /// Who answers for it, if it is a service.
    pub owner: Option<String>,
    /// What it may do.
    pub role: Arc<Role>,
    /// Whether logins are accepted at all.
    pub status: UserStatus,
    /// First day on which it may log in; `None`: any.
    pub valid_from: Option<Date>,
    /// Last day on which it may log in; `None`: no end.
    pub valid_until: Option<Date>,
    /// Plugins it may log in with, preferred first.
    pub plugins: Vec<AuthPlugin>,
    /// Its credentials, newest first; none: nobody can log in as this user.
    pub credentials: Vec<Credential>,
    /// Sources it may come from, beside what listener and role accept; `None`: any that
    /// they accept.
    pub sources: Option<SourceSet>,
    /// Names of client certificates, one of which must be presented; empty: none must, and
    /// one that is presented must hold the user's own name.
    pub certificates: Vec<CertificateName>,
    /// Most connections at a time; `None`: what the role or the general limit says.
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

impl UserStatus {
    /// The status as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled].into_iter().find(|status| status.name() == name)
    }
}

impl User {
    /// An enabled user without credential or any rule of its own.
    pub fn new(name: UserName, full_name: impl Into<String>, role: Arc<Role>) -> Self {
        Self {
            name,
            full_name: full_name.into(),
            email: None,
            owner: None,
            role,
            status: UserStatus::Enabled,
            valid_from: None,
            valid_until: None,
            plugins: vec![AuthPlugin::CachingSha2Password],
            credentials: Vec::new(),
            sources: None,
            certificates: Vec::new(),
            max_connections: None,
        }
    }

    /// Whether the user may log in on that day. Both the first and the last day count.
    pub fn is_valid_on(&self, day: Date) -> bool {
        self.valid_from.is_none_or(|first| first <= day)
            && self.valid_until.is_none_or(|last| day <= last)
    }

    /// The credential of that number, if it has one.
    pub fn credential(&self, id: CredentialId) -> Option<&Credential> {
        self.credentials.iter().find(|credential| credential.id == id)
    }

    /// The plugins the user and its role allow, preferred first.
    pub fn allowed_plugins(&self) -> impl Iterator<Item = AuthPlugin> {
        self.plugins.iter().copied().filter(|plugin| match plugin {
            AuthPlugin::CachingSha2Password => true,
            AuthPlugin::MysqlNativePassword => self.role.allow_native,
        })
    }

    /// The most connections of this user at a time: its own entry's number, else the lower of
    /// its role's and everybody's.
    pub fn connection_limit(&self, everybodys: u32) -> u32 {
        let of_role = self.role.limits.connections.unwrap_or(everybodys);
        self.max_connections.unwrap_or(of_role.min(everybodys))
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
pub struct Users(Arc<UserList>);

#[derive(Debug, Default)]
struct UserList {
    by_name: HashMap<Vec<u8>, Arc<User>>,
    ordered: Vec<Arc<User>>,
    decoy_key: [u8; 32],
}

impl Users {
    /// Takes the users over. Of several with one name the first counts; who makes the
    /// list has to refuse that before.
    pub fn new(users: impl IntoIterator<Item = impl Into<Arc<User>>>) -> Self {
        let mut all = UserList::default();
        for user in users {
            let user = user.into();
            let name = user.name.as_str().as_bytes().to_vec();
            if let std::collections::hash_map::Entry::Vacant(free) = all.by_name.entry(name) {
                free.insert(Arc::clone(&user));
                all.ordered.push(user);
            }
        }
        all.decoy_key = decoy_key(&all.ordered);
        Self(Arc::new(all))
    }

    /// The users, in the order they were listed.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.0.ordered.iter()
    }
}

impl UserStore for Users {
    fn find(&self, name: &[u8]) -> Option<Arc<User>> {
        self.0.by_name.get(name).cloned()
    }

    /// Picks by keyed hash, so that a plugin is as frequent among strangers as it is among
    /// users, and seeing it says nothing about whether the name exists.
    fn decoy(&self, name: &[u8]) -> Option<Arc<User>> {
        let hash = sha256(&[&self.0.decoy_key, name]);
        let number = hash.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))?;
        let count = u64::try_from(self.0.ordered.len()).ok()?;
        let index = usize::try_from(number.checked_rem(count)?).ok()?;
        self.0.ordered.get(index).cloned()
    }
}

/// A key that outsiders can't know, and that stays the same over restarts and nodes as
/// long as the users do: made from the verifiers.
fn decoy_key(users: &[Arc<User>]) -> [u8; 32] {
    let credentials = users.iter().flat_map(|user| &user.credentials);
    let texts = credentials.flat_map(|credential| {
        let sha2 = credential.sha2.as_ref().map(Sha2Verifier::to_text);
        let native = credential.native.as_ref().map(NativeVerifier::to_text);
        sha2.into_iter().chain(native)
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

    const SHA2: &[AuthPlugin] = &[AuthPlugin::CachingSha2Password];
    const NATIVE: &[AuthPlugin] = &[AuthPlugin::MysqlNativePassword];

    fn user(name: &str, plugins: &[AuthPlugin]) -> User {
        let role = Arc::new(Role::named("reader"));
        let password = Password::new(name);
        User {
            plugins: plugins.to_vec(),
            credentials: vec![Credential::of_password(CredentialId(1), &password, plugins)],
            ..User::new(UserName::new(name).unwrap(), "Test", role)
        }
    }

    #[test]
    fn names_are_case_sensitive_bytes() {
        let users = Users::new([user("alice", SHA2), user("Alice", SHA2)]);
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
        let few_native =
            (0..100).map(|i| user(&format!("u{i}"), if i < 20 { NATIVE } else { SHA2 }));
        let users = Users::new(few_native);
        let decoys = (0..5000).map(|i| users.decoy(format!("x{i}").as_bytes()).unwrap());
        let native = decoys.filter(|decoy| decoy.plugins == NATIVE);
        // 20% of 5000 with a standard deviation of 28.
        assert!((860..1140).contains(&native.count()));
        let restarted = Users::new(users.iter().map(|user| User::clone(user)));
        for i in 0..100 {
            let name = format!("x{i}");
            let (a, b) = (users.decoy(name.as_bytes()), restarted.decoy(name.as_bytes()));
            assert_eq!(a.unwrap().name, b.unwrap().name);
        }
    }

    #[test]
    fn outsiders_cannot_tell_a_stranger_by_working_the_decoy_out() {
        let names = |suffix: &str| (0..20).map(|i| format!("u{i}{suffix}")).collect::<Vec<_>>();
        let chosen = |passwords: Vec<String>| {
            let users = names("").into_iter().zip(passwords).map(|(name, password)| {
                let password = Password::new(password);
                let credential = Credential::of_password(CredentialId(1), &password, SHA2);
                User { credentials: vec![credential], ..user(&name, SHA2) }
            });
            let users = Users::new(users);
            let decoys = (0..20).map(|i| users.decoy(format!("x{i}").as_bytes()).unwrap());
            decoys.map(|decoy| decoy.name.clone()).collect::<Vec<_>>()
        };
        assert_ne!(chosen(names("a")), chosen(names("b")), "hangs on what outsiders don't know");
    }

    #[test]
    fn the_first_and_the_last_day_count() {
        let day = |day| jiff::civil::date(2026, 6, day);
        let (valid_from, valid_until) = (Some(day(10)), Some(day(12)));
        let guest = User { valid_from, valid_until, ..user("guest", SHA2) };
        let valid = (9..=13).map(|number| guest.is_valid_on(day(number)));
        assert_eq!(valid.collect::<Vec<_>>(), [false, true, true, true, false]);
    }

    #[test]
    fn no_users_no_decoy() {
        assert!(Users::default().decoy(b"anyone").is_none());
    }

    #[test]
    fn a_role_can_take_the_native_plugin_away() {
        let strict = Role { allow_native: false, ..Role::named("strict") };
        let both = [NATIVE, SHA2].concat();
        let user = User { role: Arc::new(strict), ..user("u", &both) };
        assert_eq!(user.allowed_plugins().collect::<Vec<_>>(), SHA2);
    }
}
