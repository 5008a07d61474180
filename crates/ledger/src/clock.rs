//! Notices when the wall clock, which stamps records, is set.

use std::time::{Instant, SystemTime};

/// A smaller step is none that matters, in microseconds.
pub(crate) const SMALLEST_STEP: u64 = 500_000;

/// Compares the wall clock with the monotonic one.
pub(crate) struct Clock {
    wall: SystemTime,
    monotonic: Instant,
}

impl Clock {
    pub(crate) fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    /// By how many microseconds the wall clock has stepped since the last look, if by
    /// more than half a second.
    pub(crate) fn step(&mut self) -> Option<i64> {
        let now = Self::now();
        let passed = now.monotonic.duration_since(self.monotonic);
        let expected = self.wall + passed;
        *self = now;
        let (size, sign) = match self.wall.duration_since(expected) {
            Ok(ahead) => (ahead, 1),
            Err(behind) => (behind.duration(), -1),
        };
        let size_us = i64::try_from(size.as_micros()).unwrap_or(i64::MAX);
        (size_us.unsigned_abs() > SMALLEST_STEP).then_some(sign * size_us)
    }
}
