//! The accounts on the replica, and which one a role's sessions run under.
//!
//! A connection is no account's: each lending logs in anew, under the account wanted.
use std::sync::Arc;

use access::Role;
use config::SecretError;
use mysql_auth::Password;

/// An account on the replica.
#[derive(Debug)]
pub struct Account {
    /// What roles call it; `None`: the replica's own.
    pub name: Option<String>,
    /// Its user name on the replica.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Schema of its sessions whose client names none.
    pub default_schema: Option<String>,
}

/// All accounts of a replica.
#[derive(Debug)]
pub struct Accounts {
    own: Arc<Account>,
    of_roles: Vec<Arc<Account>>,
}

impl Accounts {
    /// With their passwords, as configured.
    ///
    /// # Errors
    /// A password that can't be read.
    pub fn read(replica: &config::Replica) -> Result<Self, SecretError> {
        let account = |name, account: &config::ReplicaAccount, schema: Option<&String>| {
            Ok(Arc::new(Account {
                name,
                user: account.user.clone(),
                password: account.password_source.read()?,
                default_schema: schema.or(replica.default_schema.as_ref()).cloned(),
            }))
        };
        let of_role = |further: &config::RoleAccount| {
            let name = Some(further.name.clone());
            account(name, &further.account, further.default_schema.as_ref())
        };
        Ok(Self {
            own: account(None, &replica.account, None)?,
            of_roles: replica.role_accounts.iter().map(of_role).collect::<Result<_, _>>()?,
        })
    }

    /// The replica's own, which readgate's own sessions have too.
    pub fn own(&self) -> &Arc<Account> {
        &self.own
    }

    /// The one that a role's sessions run under; `None` if it names one that isn't there.
    pub fn of(&self, role: &Role) -> Option<&Arc<Account>> {
        match &role.account {
            None => Some(&self.own),
            Some(name) => self.of_roles.iter().find(|account| account.name.as_ref() == Some(name)),
        }
    }

    /// All of them, the replica's own first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Account>> {
        std::iter::once(&self.own).chain(&self.of_roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_whose_account_is_gone_has_no_other() {
        let account = |name: Option<&str>| {
            let (name, user) = (name.map(str::to_owned), String::from("readonly"));
            Arc::new(Account { name, user, password: Password::new(""), default_schema: None })
        };
        let accounts = Accounts { own: account(None), of_roles: vec![account(Some("blinded"))] };
        let of = |name: Option<&str>| {
            let account = name.map(str::to_owned);
            accounts.of(&Role { account, ..Role::named("reader") }).map(|found| found.name.clone())
        };
        assert_eq!(of(None), Some(None));
        assert_eq!(of(Some("blinded")), Some(Some(String::from("blinded"))));
        assert_eq!(of(Some("gone")), None);
    }
}
