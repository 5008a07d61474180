//! The latest refusals and denials, for console and status page. Bounded; the ledger has all of
//! them. Texts are kept without their values, so no privacy setting can be gone around here.
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use access::Timestamp;

/// Entries that are kept.
const KEPT: usize = 1000;

/// The latest entries of one sort.
#[derive(Debug)]
pub struct Recent<T>(Mutex<VecDeque<(Timestamp, T)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recent<T> {
    /// Notes one, of this moment. The oldest goes.
    pub fn note(&self, entry: T) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((Timestamp::now(), entry));
    }

    /// The latest, newest first; so many at most.
    pub fn newest(&self, most: usize) -> Vec<(Timestamp, T)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().take(most).cloned().collect()
    }

    /// All that are kept, oldest first.
    pub fn all(&self) -> Vec<(Timestamp, T)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A refused statement.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Connection id.
    pub session: u32,
    /// Named user.
    pub user: String,
    /// Their role.
    pub role: String,
    /// The rule that refused it.
    pub rule: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its text without values.
    pub shape: String,
    /// What the client was told; `None` where that may repeat values that nobody is to see.
    pub reason: Option<String>,
}

/// A connection that was turned away before it had a session.
#[derive(Debug, Clone)]
pub struct Denied {
    /// Where it came from.
    pub peer: SocketAddr,
    /// The listener it came in by.
    pub listener: String,
    /// User name as given.
    pub user: Option<String>,
    /// How it ended.
    pub ending: &'static str,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let recent = Recent::default();
        (0..KEPT + 5).for_each(|number| recent.note(number));
        let all: Vec<usize> = recent.all().into_iter().map(|(_, number)| number).collect();
        assert_eq!((all.len(), all.first(), all.last()), (KEPT, Some(&5), Some(&(KEPT + 4))));
        let newest: Vec<usize> = recent.newest(2).into_iter().map(|(_, number)| number).collect();
        assert_eq!(newest, [KEPT + 4, KEPT + 3]);
    }
}
