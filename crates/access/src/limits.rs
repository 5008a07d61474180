//! How many connections there may be: of all clients, of one source, of one user.
//! Guarantees that a slot is counted exactly as long as its guard lives.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::login::NamedUser;
use crate::source::SourceAdmitted;

/// The highest numbers of connections at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Of all clients together.
    pub connections: u32,
    /// Of one source address (one /64 network with IPv6).
    pub connections_per_source: u32,
    /// Of one user, unless the user's own entry says otherwise or the role says fewer.
    pub connections_per_user: u32,
}

/// A limit that is reached, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// `limits.connections`.
    #[error("connections: {0}")]
    All(u32),
    /// `limits.connections_per_source`.
    #[error("connections per source: {0}")]
    Source(u32),
    /// `limits.connections_per_user`, the role's, or the user's own.
    #[error("connections per user: {0}")]
    User(u32),
}

/// Counts connections. Clones count together.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    settings: LimitSettings,
    all: u32,
    by_source: HashMap<IpAddr, u32>,
    by_user: HashMap<String, u32>,
}

impl ConnectionLimits {
    /// Starts at zero.
    pub fn new(settings: LimitSettings) -> Self {
        let (by_source, by_user) = (HashMap::new(), HashMap::new());
        let counts = Counts { settings, all: 0, by_source, by_user };
        Self { counts: Arc::new(Mutex::new(counts)) }
    }

    /// Changes the limits. Connections above a lower limit stay; new ones are refused.
    pub fn set(&self, settings: LimitSettings) {
        self.counts().settings = settings;
    }

    /// The most connections of a user of whom nothing else is said.
    pub fn of_a_user(&self) -> u32 {
        self.counts().settings.connections_per_user
    }

    /// Takes a slot for a connection that has no user yet.
    pub fn admit_source(&self, source: &SourceAdmitted) -> Result<SourceSlot, LimitReached> {
        let key = source_key(source.addr());
        let mut counts = self.counts();
        let settings = counts.settings;
        if counts.all >= settings.connections {
            return Err(LimitReached::All(settings.connections));
        }
        if !take(&mut counts.by_source, key, settings.connections_per_source) {
            return Err(LimitReached::Source(settings.connections_per_source));
        }
        counts.all += 1;
        Ok(SourceSlot { limits: self.clone(), key })
    }

    /// Takes a slot for a user who has just logged in.
    pub fn admit_user(&self, named: &NamedUser) -> Result<UserSlot, LimitReached> {
        let user = named.user();
        let name = user.name.as_str().to_owned();
        let mut counts = self.counts();
        let most = user.connection_limit(counts.settings.connections_per_user);
        if !take(&mut counts.by_user, name.clone(), most) {
            return Err(LimitReached::User(most));
        }
        Ok(UserSlot { limits: self.clone(), name })
    }

    /// Connections at this moment.
    pub fn connections(&self) -> u32 {
        self.counts().all
    }

    /// A panic elsewhere can't leave the counts half-changed: each change is one step.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One IPv6 customer has at least a /64 to draw addresses from, so it counts as one source.
pub(crate) fn source_key(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

fn take<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: K, most: u32) -> bool {
    match counts.entry(key) {
        Entry::Occupied(mut count) if *count.get() < most => {
            *count.get_mut() += 1;
            true
        }
        Entry::Vacant(none) if most > 0 => {
            none.insert(1);
            true
        }
        Entry::Occupied(_) | Entry::Vacant(_) => false,
    }
}

fn give_back<K: Hash + Eq + Clone>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Entry::Occupied(mut count) = counts.entry(key.clone()) {
        match count.get().saturating_sub(1) {
            0 => drop(count.remove()),
            fewer => *count.get_mut() = fewer,
        }
    }
}

/// A connection's slot. Dropping it frees the slot.
#[derive(Debug)]
pub struct SourceSlot {
    limits: ConnectionLimits,
    key: IpAddr,
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        let mut counts = self.limits.counts();
        counts.all = counts.all.saturating_sub(1);
        give_back(&mut counts.by_source, &self.key);
    }
}

/// A session's slot. Dropping it frees the slot.
#[derive(Debug)]
pub struct UserSlot {
    limits: ConnectionLimits,
    name: String,
}

impl Drop for UserSlot {
    fn drop(&mut self) {
        give_back(&mut self.limits.counts().by_user, &self.name);
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
