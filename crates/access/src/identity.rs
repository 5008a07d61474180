//! Users as a store keeps them, and everything that can happen to one. Guarantees that a
//! change is the same wherever it is stored: [`Change::apply`] decides, a store only reads,
//! writes and remembers who asked for it and why. No store ever deletes a user.
use std::sync::Arc;
use std::time::Duration;

use mysql_auth::{AuthPlugin, Password};

use crate::credential::{Credential, CredentialId, CredentialPolicy, Stage};
use crate::role::Role;
use crate::source::SourceSet;
use crate::store::Difference;
use crate::user::{User, UserName, UserStatus};
use crate::{Date, Timestamp, day_of};

/// A stored user: as [`User`], but naming its role, which configuration defines.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Login name; never changes.
    pub name: UserName,
    /// The person's name, for reviews.
    pub full_name: String,
    /// Address for notices.
    pub email: Option<String>,
    /// Who answers for it, if it is a service.
    pub owner: Option<String>,
    /// Name of its role.
    pub role: String,
    /// Whether logins are accepted at all.
    pub status: UserStatus,
    /// First day on which it may log in.
    pub valid_from: Option<Date>,
    /// Last day on which it may log in.
    pub valid_until: Option<Date>,
    /// Plugins it may log in with, preferred first.
    pub plugins: Vec<AuthPlugin>,
    /// Sources it may come from, beside what listener and role accept.
    pub sources: Option<SourceSet>,
    /// Most connections at a time.
    pub max_connections: Option<u32>,
    /// Its credentials, newest first. None is ever removed.
    pub credentials: Vec<Credential>,
}

impl Identity {
    /// An enabled user without credential or any rule of its own.
    pub fn new(name: UserName, full_name: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            name,
            full_name: full_name.into(),
            email: None,
            owner: None,
            role: role.into(),
            status: UserStatus::Enabled,
            valid_from: None,
            valid_until: None,
            plugins: vec![AuthPlugin::CachingSha2Password],
            sources: None,
            max_connections: None,
            credentials: Vec::new(),
        }
    }

    /// As a store keeps a user that came of it.
    pub fn of(user: &User) -> Self {
        Self {
            name: user.name.clone(),
            full_name: user.full_name.clone(),
            email: user.email.clone(),
            owner: user.owner.clone(),
            role: user.role.name.clone(),
            status: user.status,
            valid_from: user.valid_from,
            valid_until: user.valid_until,
            plugins: user.plugins.clone(),
            sources: user.sources.clone(),
            max_connections: user.max_connections,
            credentials: user.credentials.clone(),
        }
    }

    /// The user that logs in, with what its role is today.
    pub fn in_role(self, role: Arc<Role>) -> User {
        User {
            name: self.name,
            full_name: self.full_name,
            email: self.email,
            owner: self.owner,
            role,
            status: self.status,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            plugins: self.plugins,
            credentials: self.credentials,
            sources: self.sources,
            certificates: Vec::new(),
            max_connections: self.max_connections,
        }
    }

    /// Everything about it as texts, for history and reviews; no verifier among them.
    pub fn facts(&self) -> Vec<(String, String)> {
        let shown = |value: &Option<String>| value.clone().unwrap_or_default();
        let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
        let plugins: Vec<&str> = self.plugins.iter().map(|plugin| plugin.name()).collect();
        let sources = self.sources.as_ref().map(|set| set.names().join(", "));
        let most = self.max_connections.map(|most| most.to_string());
        let fixed = [
            ("full_name", self.full_name.clone()),
            ("email", shown(&self.email)),
            ("owner", shown(&self.owner)),
            ("role", self.role.clone()),
            ("status", self.status.name().to_owned()),
            ("valid_from", day(self.valid_from)),
            ("valid_until", day(self.valid_until)),
            ("plugins", plugins.join(", ")),
            ("sources", sources.unwrap_or_else(|| String::from("any"))),
            ("connections", most.unwrap_or_default()),
        ];
        let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), value));
        let credentials = self.credentials.iter().rev();
        fixed
            .chain(credentials.map(|one| (format!("credential {}", one.id.0), one.life())))
            .collect()
    }

    fn credential(&mut self, id: CredentialId) -> Result<&mut Credential, ChangeError> {
        let found = self.credentials.iter_mut().find(|credential| credential.id == id);
        found.ok_or(ChangeError::NoSuchCredential)
    }

    /// Puts a new credential before the others, which then end with the overlap.
    fn renew(
        &mut self,
        password: &Password,
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        if self.credentials.iter().any(|credential| credential.is_of(password)) {
            return Err(ChangeError::PasswordUsedBefore);
        }
        let last = self.credentials.iter().map(|credential| credential.id.0).max().unwrap_or(0);
        let new = Credential::issue(CredentialId(last + 1), password, &self.plugins, policy, now);
        let replaced = self.credentials.drain(..).map(|old| old.replaced(policy, now));
        self.credentials = std::iter::once(new).chain(replaced).collect();
        Ok(())
    }
}

/// Something that happens to one user.
#[derive(Debug, Clone)]
pub enum Change {
    /// The user is new.
    Add(Box<Identity>),
    /// One of its properties changes.
    Alter(UserName, Alteration),
    /// It gets a new credential, to be collected in time.
    Issue(UserName, Password),
    /// It chose a password itself, which counts at once and alone, as with a server.
    Choose(UserName, Password),
    /// It logged in with a new credential for the first time.
    Collect(UserName, CredentialId),
    /// An operator ends a credential.
    Revoke(UserName, CredentialId),
}

/// A new value of one property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alteration {
    /// The person's name.
    FullName(String),
    /// Address for notices.
    Email(Option<String>),
    /// Who answers for it.
    Owner(Option<String>),
    /// Its role.
    Role(String),
    /// Enabled or disabled.
    Status(UserStatus),
    /// First and last day.
    Validity(Option<Date>, Option<Date>),
    /// Plugins; a verifier for a plugin that is added comes with the next credential.
    Plugins(Vec<AuthPlugin>),
    /// Its sources.
    Sources(Option<SourceSet>),
    /// Its own limit of connections.
    MaxConnections(Option<u32>),
}

/// Why a change can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Users are never replaced.
    #[error("there is a user of that name already")]
    UserExists,
    /// Nobody has that name.
    #[error("there is no user of that name")]
    NoSuchUser,
    /// The user has no credential of that number.
    #[error("the user has no credential of that number")]
    NoSuchCredential,
    /// Old passwords don't come back.
    #[error("the user has had that password before")]
    PasswordUsedBefore,
    /// A user needs a way to log in.
    #[error("a user needs at least one plugin")]
    NoPlugin,
    /// The second would say nothing.
    #[error("a plugin is named twice")]
    PluginTwice,
    /// Texts are shown in terminals and reviews.
    #[error("a text is empty or holds a control character")]
    UnreadableText,
    /// The last day lies before the first.
    #[error("the last day is before the first")]
    EndsBeforeItBegins,
    /// Nobody is added who may never log in.
    #[error("the last day is over")]
    IsOver,
}

impl Change {
    /// Who it happens to.
    pub fn user(&self) -> &UserName {
        match self {
            Self::Add(identity) => &identity.name,
            Self::Alter(user, _)
            | Self::Issue(user, _)
            | Self::Choose(user, _)
            | Self::Collect(user, _)
            | Self::Revoke(user, _) => user,
        }
    }

    /// Its name in the history.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Add(_) => "user_added",
            Self::Alter(..) => "user_altered",
            Self::Issue(..) => "credential_issued",
            Self::Choose(..) => "password_chosen",
            Self::Collect(..) => "credential_collected",
            Self::Revoke(..) => "credential_revoked",
        }
    }

    /// Whether it is a collection that was noted before: two first logins at once, or a
    /// second one before this node has heard of the first.
    pub fn is_repeated(&self, differences: &[Difference]) -> bool {
        matches!(self, Self::Collect(..)) && differences.is_empty()
    }

    /// The user after the change.
    ///
    /// # Errors
    /// Why it can't be.
    pub fn apply(
        &self,
        before: Option<Identity>,
        policy: &CredentialPolicy,
        now: Timestamp,
    ) -> Result<Identity, ChangeError> {
        if let Self::Add(identity) = self {
            return match before {
                Some(_) => Err(ChangeError::UserExists),
                None => checked(added(identity, now)?),
            };
        }
        let mut user = before.ok_or(ChangeError::NoSuchUser)?;
        match self {
            Self::Add(_) => {}
            Self::Alter(_, alteration) => alteration.apply(&mut user),
            Self::Issue(_, password) => user.renew(password, policy, now)?,
            Self::Choose(_, password) => {
                let alone = CredentialPolicy { overlap: Duration::ZERO, ..*policy };
                user.renew(password, &alone, now)?;
                if let Some(new) = user.credentials.first_mut() {
                    *new = new.clone().collected(policy, now);
                }
            }
            Self::Collect(_, id) => {
                let credential = user.credential(*id)?;
                *credential = credential.clone().collected(policy, now);
            }
            Self::Revoke(_, id) => user.credential(*id)?.stage = Stage::Revoked,
        }
        checked(user)
    }
}

impl Alteration {
    fn apply(&self, user: &mut Identity) {
        match self.clone() {
            Self::FullName(name) => user.full_name = name,
            Self::Email(email) => user.email = email,
            Self::Owner(owner) => user.owner = owner,
            Self::Role(role) => user.role = role,
            Self::Status(status) => user.status = status,
            Self::Validity(from, until) => (user.valid_from, user.valid_until) = (from, until),
            Self::Plugins(plugins) => user.plugins = plugins,
            Self::Sources(sources) => user.sources = sources,
            Self::MaxConnections(most) => user.max_connections = most,
        }
    }
}

/// What was written down by mistake is refused for a new user alone: who is there may end on any day.
fn added(user: &Identity, now: Timestamp) -> Result<Identity, ChangeError> {
    if user.valid_until.is_some_and(|last| last < day_of(now)) {
        return Err(ChangeError::IsOver);
    }
    let mut plugins = user.plugins.iter();
    while let Some(plugin) = plugins.next() {
        if plugins.as_slice().contains(plugin) {
            return Err(ChangeError::PluginTwice);
        }
    }
    Ok(user.clone())
}

fn checked(user: Identity) -> Result<Identity, ChangeError> {
    if user.plugins.is_empty() {
        return Err(ChangeError::NoPlugin);
    }
    let texts = [Some(&user.full_name), Some(&user.role), user.email.as_ref(), user.owner.as_ref()];
    let unreadable = |text: &&String| text.trim().is_empty() || text.chars().any(char::is_control);
    if texts.into_iter().flatten().any(|text| unreadable(&text)) {
        return Err(ChangeError::UnreadableText);
    }
    match (user.valid_from, user.valid_until) {
        (Some(from), Some(until)) if until < from => Err(ChangeError::EndsBeforeItBegins),
        (_, _) => Ok(user),
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
