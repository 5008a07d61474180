//! Who is in at this moment, and the way to tell a session to end.
mod orders;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::{NamedUser, Timestamp};
use mysql_auth::Nonce;
use rustls::pki_types::CertificateDer;

use orders::Voice;
pub use orders::{Order, Orders, Reason};

use crate::context::Context;
use crate::replica::account::Account;

/// Ids of our greetings start here, well above what a replica counts up to, so that KILL
/// can tell them from the replica's own.
const FIRST_CONNECTION_ID: u32 = 1 << 30;

/// A node begins somewhere in this many ids: the nodes of a fleet must not count alike, or a
/// KILL that reaches the wrong node would hit another session of its user.
const ID_STARTS: u32 = 1 << 30;

/// A session as others see it, and the way to give it orders.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it registered with.
    pub card: Card,
    /// When it registered.
    pub since: Timestamp,
    orders: Voice,
    serial: u64,
}

impl Entry {
    /// Gives an order to this very session, whoever has its id meanwhile. As long as an entry is
    /// held, nobody else gets the session's connection to the replica.
    pub fn order(&self, order: Order) {
        self.orders.give(order);
    }
}

/// All sessions that have logged in.
#[derive(Debug)]
pub struct Registry {
    next_id: AtomicU32,
    next_serial: AtomicU64,
    sessions: Mutex<HashMap<u32, Entry>>,
}

/// What is known of a session when it registers.
#[derive(Debug, Clone)]
pub struct Card {
    /// Named user.
    pub user: String,
    /// The permit that it was opened with.
    pub named: NamedUser,
    /// Listener it came in by.
    pub listener: String,
    /// Whether it speaks TLS.
    pub encrypted: bool,
    /// The certificates that its client has shown, its own first.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// The account that it has on the replica; an operator's has none.
    pub account: Option<Arc<Account>>,
    /// The replica's id of its session, while it has one there.
    pub replica_session: Option<u32>,
}

impl Card {
    /// Of a session that has nothing on a replica.
    pub fn new(context: &Context, named: &NamedUser, encrypted: bool) -> Self {
        Self {
            user: named.user().name.as_str().to_owned(),
            named: named.clone(),
            listener: context.listener.clone(),
            encrypted,
            chain: Arc::clone(&context.chain),
            account: None,
            replica_session: None,
        }
    }

    /// Whether the session has that id on the replica at this moment.
    pub fn is_at(&self, replica_id: u64) -> bool {
        self.replica_session.is_some_and(|id| u64::from(id) == replica_id)
    }
}

/// 0 where the system's generator fails; a nonce will fail with it.
fn random_below(bound: u32) -> u32 {
    let nonce = Nonce::generate().ok();
    let bytes = nonce.as_ref().and_then(|nonce| nonce.as_bytes().first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) % bound)
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            next_id: AtomicU32::new(FIRST_CONNECTION_ID + random_below(ID_STARTS)),
            next_serial: AtomicU64::new(1),
            sessions: Mutex::default(),
        }
    }
}

impl Registry {
    /// A connection id for a greeting.
    pub fn next_connection_id(&self) -> u32 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        if id < FIRST_CONNECTION_ID {
            // Wrapped after three thousand million connections: start over.
            self.next_id.store(FIRST_CONNECTION_ID + 1, Ordering::Relaxed);
            return FIRST_CONNECTION_ID;
        }
        id
    }

    /// Enters a session for as long as the guard lives.
    pub fn register(self: &Arc<Self>, id: u32, card: Card) -> (Registered, Orders) {
        let (voice, orders) = orders::line(card.named.user().role.limits.session_time);
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        self.sessions().insert(id, Entry { card, since: Timestamp::now(), orders: voice, serial });
        (Registered { registry: Arc::clone(self), id, serial }, orders)
    }

    /// The session of this user that has the id, ours or the replica's.
    pub fn find(&self, user: &str, id: u64) -> Found {
        let sessions = self.sessions();
        let hit =
            sessions.iter().find(|(own, entry)| u64::from(**own) == id || entry.card.is_at(id));
        match hit {
            Some((own, entry)) if entry.card.user == user => Found::Own(*own, entry.clone()),
            Some(_) => Found::AnothersSession,
            None => Found::Nothing,
        }
    }

    /// A user's sessions. For as long as they are held, their ids on the replica stay theirs.
    pub fn sessions_of(&self, user: &str) -> Vec<Entry> {
        let sessions = self.sessions();
        sessions.values().filter(|entry| entry.card.user == user).cloned().collect()
    }

    /// Gives an order to one session, if it is one of those meant.
    pub fn order_if(&self, id: u32, order: Order, is_meant: impl Fn(&Entry) -> bool) {
        if let Some(entry) = self.sessions().get(&id).filter(|entry| is_meant(entry)) {
            entry.orders.give(order);
        }
    }

    /// Gives an order to all sessions that `which` picks; how many there were.
    pub fn order_all(&self, order: Order, which: impl Fn(&Entry) -> bool) -> usize {
        let sessions = self.sessions();
        let picked = sessions.values().filter(|entry| which(entry));
        picked.map(|entry| entry.orders.give(order)).count()
    }

    /// All sessions with their connection ids, in order.
    pub fn all(&self) -> Vec<(u32, Entry)> {
        let mut all: Vec<(u32, Entry)> =
            self.sessions().iter().map(|(id, entry)| (*id, entry.clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Shows every session, by connection id.
    pub fn each(&self, mut see: impl FnMut(u32, &Card)) {
        for (id, entry) in self.sessions().iter() {
            see(*id, &entry.card);
        }
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.sessions().is_empty()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u32, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an id leads to.
#[derive(Debug)]
pub enum Found {
    /// A session of the same user, and its connection id.
    Own(u32, Entry),
    /// A session of somebody else.
    AnothersSession,
    /// No session here.
    Nothing,
}

/// Keeps a session in the registry.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<Registry>,
    id: u32,
    serial: u64,
}

impl Registered {
    /// The session gives its connection to the replica away: from now on no id there leads to
    /// it. False while somebody acts on that connection for it, such as a KILL under way.
    #[must_use]
    pub fn leave_replica(&self) -> bool {
        let mut sessions = self.registry.sessions();
        let Some(entry) = sessions.get_mut(&self.id) else { return false };
        let is_free = entry.serial == self.serial && !entry.orders.is_held_elsewhere();
        if is_free {
            entry.card.replica_session = None;
        }
        is_free
    }

    /// The session has a connection again, under this account.
    pub fn at_replica(&self, replica_session: u32, account: &Arc<Account>) {
        let mut sessions = self.registry.sessions();
        if let Some(entry) = sessions.get_mut(&self.id).filter(|entry| entry.serial == self.serial)
        {
            entry.card.replica_session = Some(replica_session);
            entry.card.account = Some(Arc::clone(account));
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut sessions = self.registry.sessions();
        // A connection id may already be a later session's.
        if sessions.get(&self.id).is_some_and(|entry| entry.serial == self.serial) {
            sessions.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_give_out_different_connection_ids() {
        let (one, other) = (Registry::default(), Registry::default());
        let (one, other) = (one.next_connection_id(), other.next_connection_id());
        assert!(one >= FIRST_CONNECTION_ID && other >= FIRST_CONNECTION_ID);
        // They agree once in a thousand million times.
        assert_ne!(one, other);
    }
}
