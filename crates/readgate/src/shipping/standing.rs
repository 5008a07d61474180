//! How far a copy has got and whether its way is well, for who asks from outside its thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// Of one receiver.
pub struct Standing {
    is_well: AtomicBool,
    /// The last record that has arrived; 0 of one that gets no records.
    arrived: AtomicU64,
    /// Seconds since 1970, 0 before anything arrived.
    last_arrival: AtomicU64,
    gets_records: bool,
}

impl Standing {
    /// Of a receiver that has all records up to this one.
    pub(super) fn of_records(arrived: u64) -> Self {
        Self { gets_records: true, arrived: arrived.into(), ..Self::of_checkpoints() }
    }

    /// Of a receiver that gets nothing but checkpoints.
    pub(super) fn of_checkpoints() -> Self {
        Self {
            is_well: true.into(),
            arrived: 0.into(),
            last_arrival: 0.into(),
            gets_records: false,
        }
    }

    /// The last try went well, or not.
    pub(super) fn tried(&self, is_well: bool) {
        self.is_well.store(is_well, Relaxed);
    }

    /// It had all up to this one before.
    pub(super) fn begins_after(&self, sequence: u64) {
        self.arrived.store(sequence, Relaxed);
    }

    /// Something has arrived; of records all up to this one.
    pub(super) fn has(&self, sequence: u64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.last_arrival.store(now.unwrap_or(Duration::ZERO).as_secs(), Relaxed);
        self.arrived.store(sequence, Relaxed);
    }

    /// Whether the last try went well.
    pub fn is_well(&self) -> bool {
        self.is_well.load(Relaxed)
    }

    /// When something arrived last, in seconds since 1970; 0: nothing since the start.
    pub fn last_arrival(&self) -> u64 {
        self.last_arrival.load(Relaxed)
    }

    /// How many records up to `newest` have not arrived, where records are sent.
    pub fn unshipped(&self, newest: u64) -> Option<u64> {
        self.gets_records.then(|| newest.saturating_sub(self.arrived.load(Relaxed)))
    }
}
