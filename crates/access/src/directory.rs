//! Users of the configuration and of the store as one list. A stored user never takes the
//! place of a configured one, and one whose role nobody defines can't log in.
use std::fmt;
use std::sync::Arc;

use crate::identity::Identity;
use crate::role::Role;
use crate::user::{User, UserName, UserStatus, UserStore, Users};

/// A stored user who can't log in as things are. Prints what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// The configuration has a user of that name, who counts.
    NameTaken {
        /// The user.
        user: UserName,
    },
    /// No such role is configured; the user counts as disabled.
    UnknownRole {
        /// The user.
        user: UserName,
        /// The role it names.
        role: String,
    },
    /// The role allows none of its plugins.
    NoPlugin {
        /// The user.
        user: UserName,
        /// Its role.
        role: String,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken { user } => write!(
                f,
                "stored user {user} has the name of a configured one, who counts; \
                 remove the [[user]] from the configuration"
            ),
            Self::UnknownRole { user, role } => write!(
                f,
                "stored user {user} has the role {role:?}, which is not configured; \
                 add a [[role]] of that name, or give the user another"
            ),
            Self::NoPlugin { user, role } => write!(
                f,
                "stored user {user} has mysql_native_password alone, which the role {role:?} does \
                 not allow; set allow_native = true there, or give the user another role"
            ),
        }
    }
}

/// All users as logins find them.
pub fn combine(
    configured: &Users,
    stored: Vec<Identity>,
    roles: &[Arc<Role>],
) -> (Users, Vec<Unusable>) {
    if stored.is_empty() {
        return (configured.clone(), Vec::new());
    }
    let mut unusable = Vec::new();
    let mut users: Vec<Arc<User>> = configured.iter().map(Arc::clone).collect();
    for identity in stored {
        let user = identity.name.clone();
        if configured.find(user.as_str().as_bytes()).is_some() {
            unusable.push(Unusable::NameTaken { user });
            continue;
        }
        match roles.iter().find(|role| role.name == identity.role) {
            Some(role) => {
                let user = identity.in_role(Arc::clone(role));
                if user.allowed_plugins().next().is_none() {
                    let role = role.name.clone();
                    unusable.push(Unusable::NoPlugin { user: user.name.clone(), role });
                }
                users.push(Arc::new(user));
            }
            None => {
                let role = identity.role.clone();
                let unknown = Arc::new(Role::named(&role));
                let disabled = UserStatus::Disabled;
                users.push(Arc::new(User { status: disabled, ..identity.in_role(unknown) }));
                unusable.push(Unusable::UnknownRole { user, role });
            }
        }
    }
    (Users::new(users), unusable)
}

#[cfg(test)]
mod tests {
    use mysql_auth::AuthPlugin;

    use super::*;

    fn stored(name: &str, role: &str) -> Identity {
        Identity::new(UserName::new(name).unwrap(), "Stored", role)
    }

    #[test]
    fn stored_users_join_the_configured_ones() {
        let reader = Arc::new(Role { allow_native: false, ..Role::named("reader") });
        let configured = User::new(UserName::new("alice").unwrap(), "Configured", reader.clone());
        let plugins = vec![AuthPlugin::MysqlNativePassword];
        let dave = Identity { plugins, ..stored("dave", "reader") };
        let (alice, bob, carol) =
            (stored("alice", "reader"), stored("bob", "reader"), stored("carol", "gone"));
        let (users, unusable) =
            combine(&Users::new([configured]), vec![alice, bob, carol, dave], &[reader]);
        assert_eq!(users.find(b"alice").unwrap().full_name, "Configured");
        assert!(!users.find(b"bob").unwrap().role.allow_native);
        let carol = users.find(b"carol").unwrap();
        assert_eq!((carol.status, carol.role.allow_native), (UserStatus::Disabled, true));
        let texts: Vec<String> = unusable.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "stored user alice has the name of a configured one, who counts; remove the [[user]] from the configuration",
                "stored user carol has the role \"gone\", which is not configured; add a [[role]] of that name, or give the user another",
                "stored user dave has mysql_native_password alone, which the role \"reader\" does not allow; set allow_native = true there, or give the user another role",
            ]
        );
    }
}
