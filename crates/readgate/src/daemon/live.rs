//! The part of the configuration that a reload swaps, as one value: whoever takes it sees all of
//! one configuration.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::{
    CredentialPolicy, Endings, Identity, PasswordRules, Role, RoleLimits, SourceNetworks,
    SourceSet, Timestamp, UserName, UserStore, Users,
};
use config::{Config, ConfigHash, Feed, Notice, Settings};
use ipnet::IpNet;
use sql_judge::Policy;

use crate::identity::directory::Listed;
use crate::recording::RecordPolicy;
use crate::role_policy;

/// The part of the configuration that a reload swaps.
#[derive(Clone)]
pub struct Live {
    /// Listed networks.
    pub sources: Arc<SourceNetworks>,
    /// Named users, of the configuration and the identity store.
    pub users: Users,
    /// Revision of the identity store that they are of.
    pub(super) revision: Option<u64>,
    pub(super) configured: Users,
    pub(crate) roles: Vec<Arc<Role>>,
    doors: HashMap<String, DoorPolicy>,
    /// Deadline from accept to the end of login.
    pub login_timeout: Duration,
    /// What statements under way get when readgate stops.
    pub drain: Duration,
    /// Limits of a session.
    pub session_limits: SessionLimits,
    /// How statements are recorded.
    pub records: RecordPolicy,
    /// Who is told when something is wrong.
    pub notices: Arc<[Arc<Notice>]>,
    /// Deliveries that are watched.
    pub feeds: Arc<[Arc<Feed>]>,
    policy: Policy,
    credentials: CredentialPolicy,
    /// What new passwords are like, and whether users may choose theirs.
    pub passwords: PasswordRules,
    /// SHA-256 of the file, hex.
    pub config_hash: String,
    /// Its keys and values, to say what a reload changes.
    pub settings: Arc<Settings>,
    /// Of these, the keys that don't count before the next start.
    pub pending: Arc<[String]>,
}

/// What a listener accepts.
#[derive(Clone)]
pub struct DoorPolicy {
    /// Names of source entries.
    pub sources: SourceSet,
    /// Networks of balancers.
    pub balancers: Vec<IpNet>,
    /// A user's client certificate is proof enough.
    pub certificate_suffices: bool,
}

/// Limits that a session keeps from its start.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// Between two commands.
    pub idle_timeout: Duration,
    /// For a client that reads nothing at all.
    pub write_timeout: Duration,
    /// Largest command, in bytes.
    pub max_payload: usize,
    /// Prepared statements at a time.
    pub prepared_statements: usize,
}

impl SessionLimits {
    /// With a shorter idle timeout, where a role has one.
    pub fn narrowed(&self, role: &RoleLimits) -> Self {
        let idle_timeout = role.idle_timeout.unwrap_or(self.idle_timeout).min(self.idle_timeout);
        Self { idle_timeout, ..self.clone() }
    }
}

impl Live {
    /// Of a configuration, with all users there are by it.
    pub(super) fn new(config: &Config, hash: &ConfigHash, listed: Listed) -> Self {
        let (users, revision) = listed.told();
        let doors = config.listeners.iter().map(|listener| {
            let sources = listener.sources.clone();
            let balancers = listener.proxy_protocol_from.clone();
            let certificate_suffices = listener.tls.clients.as_ref().is_some_and(|c| c.suffices);
            (listener.name.clone(), DoorPolicy { sources, balancers, certificate_suffices })
        });
        let limits = &config.limits;
        Self {
            sources: Arc::clone(&config.sources),
            users,
            revision,
            configured: config.users.clone(),
            roles: config.roles.clone(),
            doors: doors.collect(),
            login_timeout: limits.login_timeout,
            drain: limits.drain,
            session_limits: SessionLimits {
                idle_timeout: limits.idle_timeout,
                write_timeout: limits.write_timeout,
                max_payload: usize::try_from(limits.max_payload).unwrap_or(usize::MAX),
                prepared_statements: usize::try_from(limits.prepared_statements)
                    .unwrap_or(usize::MAX),
            },
            records: RecordPolicy::new(&config.ledger),
            notices: config.notices.iter().cloned().map(Arc::new).collect(),
            feeds: config.feeds.iter().cloned().map(Arc::new).collect(),
            policy: config.policy.clone(),
            credentials: config.credentials,
            passwords: config.passwords,
            config_hash: hash.as_str().to_owned(),
            settings: Arc::clone(&config.settings),
            pending: Arc::default(),
        }
    }

    /// The same with the users of another revision of the identity store.
    pub(super) fn with_users(&self, users: Users, revision: Option<u64>) -> Self {
        Self { users, revision, ..self.clone() }
    }

    /// What a role's users may have judged a read.
    pub fn policy_of(&self, role: &Role) -> Policy {
        role_policy::of(&self.policy, role)
    }

    /// Whether stored functions or routines are allowed, so that the account needs EXECUTE.
    pub fn calls_routines(&self) -> bool {
        let is_stored = |name: &String| name.contains('.');
        self.policy.allowed_functions.iter().any(is_stored)
            || !self.policy.allowed_calls.is_empty()
            || self
                .roles
                .iter()
                .any(|role| role.functions.iter().any(is_stored) || !role.calls.is_empty())
    }

    /// What ends soon, or has ended and is still listed.
    pub fn endings(&self) -> Endings {
        let users = self.users.iter().map(AsRef::as_ref);
        Endings::count(users, &self.sources, &self.credentials, Timestamp::now())
    }

    /// The next moment at which somebody's validity ends by itself.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        access::next_end(self.users.iter().map(AsRef::as_ref), &self.sources, now)
    }

    /// Whether a user is kept in the identity store.
    pub fn is_stored(&self, user: &UserName) -> bool {
        self.configured.find(user.as_str().as_bytes()).is_none()
    }

    /// The users that the identity store told last.
    pub(super) fn stored(&self) -> Vec<Identity> {
        let stored = self.users.iter().filter(|user| self.is_stored(&user.name));
        stored.map(|user| Identity::of(user)).collect()
    }

    /// What the listener of that name accepts.
    pub fn door(&self, name: &str) -> Option<&DoorPolicy> {
        self.doors.get(name)
    }
}
