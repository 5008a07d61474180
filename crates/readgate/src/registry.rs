//! Who is in at this moment, and the way to tell a session to end.
mod orders;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::{NamedUser, Timestamp};
use mysql_auth::Nonce;
use rustls::pki_types::CertificateDer;

use orders::Voice;
pub use orders::{Order, Orders, Reason};

use crate::context::Context;
use crate::replica::account::Account;
use crate::replica::seat::Seat;

/// Ids of our greetings start here, well above what a replica counts up to, so that KILL
/// can tell them from the replica's own.
const FIRST_CONNECTION_ID: u32 = 1 << 30;

/// A node begins somewhere in this many ids: the nodes of a fleet must not count alike, or a
/// KILL that reaches the wrong node would hit another session of its user.
const ID_STARTS: u32 = 1 << 30;

/// A session as others see it, and the way to give it orders.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Id of its greeting. Another session may have the same: a replica's ids are its own.
    pub id: u32,
    /// What it registered with.
    pub card: Card,
    /// When it registered.
    pub since: Timestamp,
    orders: Voice,
}

impl Entry {
    /// Whether an id is this session's: ours or the replica's.
    pub fn has_id(&self, id: u64) -> bool {
        u64::from(self.id) == id || self.card.is_at(id)
    }

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
    sessions: Mutex<BTreeMap<Key, Entry>>,
}

/// The id of a session's greeting, and a number that no two sessions have.
pub type Key = (u32, u64);

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
    /// Its connection to the replica, while it has one.
    pub seat: Option<Seat>,
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
            seat: None,
        }
    }

    /// Whether the session has that id on the replica at this moment.
    pub fn is_at(&self, replica_id: u64) -> bool {
        self.seat.as_ref().is_some_and(|seat| u64::from(seat.id) == replica_id)
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
        let key = (id, self.next_serial.fetch_add(1, Ordering::Relaxed));
        self.sessions().insert(key, Entry { id, card, since: Timestamp::now(), orders: voice });
        (Registered { registry: Arc::clone(self), key }, orders)
    }

    /// The session of this user that has the id, ours or the replica's; of several, one on the
    /// server whose ids the user sees.
    pub fn find(&self, user: &str, id: u64, seat: &Seat) -> Found {
        let sessions = self.sessions();
        let hits = || sessions.iter().filter(|(_, entry)| entry.has_id(id));
        let is_near = |entry: &Entry| {
            entry.card.seat.as_ref().is_some_and(|other| other.server == seat.server)
        };
        let own = hits().filter(|(_, entry)| entry.card.user == user);
        match own.max_by_key(|(_, entry)| is_near(entry)) {
            Some((key, entry)) => Found::Own(*key, Box::new(entry.clone())),
            None if hits().next().is_some() => Found::AnothersSession,
            None => Found::Nothing,
        }
    }

    /// Whether a session has that id from its greeting.
    pub fn has_greeted(&self, id: u32) -> bool {
        self.sessions().range((id, 0)..=(id, u64::MAX)).next().is_some()
    }

    /// A user's sessions. For as long as they are held, their ids on the replica stay theirs.
    pub fn sessions_of(&self, user: &str) -> Vec<Entry> {
        let sessions = self.sessions();
        sessions.values().filter(|entry| entry.card.user == user).cloned().collect()
    }

    /// Gives an order to all sessions that `which` picks; how many there were.
    pub fn order_all(&self, order: Order, which: impl Fn(&Entry) -> bool) -> usize {
        let sessions = self.sessions();
        let picked = sessions.values().filter(|entry| which(entry));
        picked.map(|entry| entry.orders.give(order)).count()
    }

    /// All sessions, in the order of their connection ids.
    pub fn all(&self) -> Vec<Entry> {
        self.sessions().values().cloned().collect()
    }

    /// Shows every session, by connection id.
    pub fn each(&self, mut see: impl FnMut(u32, &Card)) {
        self.sessions().values().for_each(|entry| see(entry.id, &entry.card));
    }

    /// Whether nobody is in.
    pub fn is_empty(&self) -> bool {
        self.sessions().is_empty()
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an id leads to.
#[derive(Debug)]
pub enum Found {
    /// A session of the same user, and what it alone stands under.
    Own(Key, Box<Entry>),
    /// A session of somebody else.
    AnothersSession,
    /// No session here.
    Nothing,
}

/// Keeps a session in the registry.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<Registry>,
    /// What this session alone stands under.
    pub key: Key,
}

impl Registered {
    /// Gives the session an order, if it is one of those meant.
    pub fn order_if(&self, order: Order, is_meant: impl Fn(&Entry) -> bool) {
        let sessions = self.registry.sessions();
        if let Some(entry) = sessions.get(&self.key).filter(|entry| is_meant(entry)) {
            entry.orders.give(order);
        }
    }

    /// The session gives its connection to the replica away: from now on no id there leads to
    /// it. False while somebody acts on that connection for it, such as a KILL under way.
    #[must_use]
    pub fn leave_replica(&self) -> bool {
        let mut sessions = self.registry.sessions();
        let Some(entry) = sessions.get_mut(&self.key) else { return false };
        let is_free = !entry.orders.is_held_elsewhere();
        if is_free {
            entry.card.seat = None;
        }
        is_free
    }

    /// The session has a connection again, under this account.
    pub fn at_replica(&self, seat: &Seat, account: &Arc<Account>) {
        let mut sessions = self.registry.sessions();
        if let Some(entry) = sessions.get_mut(&self.key) {
            entry.card.seat = Some(seat.clone());
            entry.card.account = Some(Arc::clone(account));
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.sessions().remove(&self.key);
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

    #[test]
    fn connection_ids_begin_again_above_those_of_a_replica() {
        let registry = Registry { next_id: AtomicU32::new(u32::MAX), ..Registry::default() };
        let ids = [(); 3].map(|()| registry.next_connection_id());
        assert_eq!(ids, [u32::MAX, FIRST_CONNECTION_ID, FIRST_CONNECTION_ID + 1]);
    }
}
