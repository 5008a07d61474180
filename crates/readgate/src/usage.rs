//! Bytes that each user has read today (UTC) on this node, for the daily limit of their
//! role. Kept in memory; after a restart the ledger says what they were.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use access::Date;
use config::Config;
use ledger::cli::Search;

/// Users that have read something today; bounded by the number of users.
#[derive(Debug, Default)]
pub struct DailyBytes(Mutex<HashMap<String, (Date, u64)>>);

impl DailyBytes {
    /// As configured: the ledger is read only where a limit asks for it.
    ///
    /// # Errors
    /// If its files can't be read.
    pub fn wanted_by(config: &Config) -> std::io::Result<Self> {
        match config.roles.iter().any(|role| role.limits.bytes_per_day.is_some()) {
            true => Self::from_ledger(config.ledger.directory.clone(), crate::clock::today()),
            false => Ok(Self::default()),
        }
    }

    /// What the ledger in that folder knows of the day.
    ///
    /// # Errors
    /// If its files can't be read.
    pub fn from_ledger(directory: PathBuf, day: Date) -> std::io::Result<Self> {
        let outcomes = Search {
            event: Some(String::from("outcome")),
            from: Some(day.to_string()),
            ..Search::default()
        };
        let bytes = Self::default();
        for (user, stats) in ledger::cli::stats(&[directory], &outcomes)? {
            bytes.add(&user, day, stats.bytes);
        }
        Ok(bytes)
    }

    /// Bytes read on that day so far.
    pub fn of(&self, user: &str, day: Date) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(user).filter(|(counted, _)| *counted == day).map_or(0, |(_, bytes)| *bytes)
    }

    /// Adds what a response held.
    pub fn add(&self, user: &str, day: Date, bytes: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all.entry(user.to_owned()).or_insert((day, 0));
        if entry.0 != day {
            *entry = (day, 0);
        }
        entry.1 = entry.1.saturating_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_starts_at_nothing() {
        let (monday, tuesday): (Date, Date) =
            ("2026-11-23".parse().unwrap(), "2026-11-24".parse().unwrap());
        let bytes = DailyBytes::default();
        bytes.add("alice", monday, 10);
        bytes.add("alice", monday, 5);
        assert_eq!((bytes.of("alice", monday), bytes.of("alice", tuesday)), (15, 0));
        bytes.add("alice", tuesday, 1);
        assert_eq!((bytes.of("alice", tuesday), bytes.of("bob", tuesday)), (1, 0));
    }
}
