//! How long the thread naps between two looks into the journal.

use std::time::{Duration, Instant};

use super::micros;

/// How long the thread rests at most between two looks while there is traffic. Its waking, a
/// call to write and one to sync cost as much as a hundred records: where records are forced
/// to the disk in groups, one nap is one group, or a few if traffic is high.
pub(super) const LONGEST_NAP: Duration = Duration::from_millis(25);
/// Entries worth a look, in bytes, a little below a batch: where traffic brings so many sooner,
/// the naps are shorter. Whoever waits for the processor meanwhile waits for two tenths of a
/// millisecond then, not for a whole one. Each look costs some 20 us of CPU: not for less. The
/// rounds of the disk stay as far apart as they are.
const WORTH_A_LOOK: u64 = 56 << 10;
/// The shortest such nap.
const SHORTEST_NAP: Duration = Duration::from_millis(1);

pub(super) struct Naps {
    /// When the last one began.
    since: Instant,
    /// Bytes of entries moved on since.
    moved: u64,
}

impl Naps {
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, moved: 0 }
    }

    /// So many bytes of entries were moved on.
    pub(super) fn moved(&mut self, bytes: usize) {
        self.moved += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// How long the next one, which begins now, lasts: until there is enough to move on, if
    /// entries come as they did since the last one began.
    pub(super) fn next(&mut self) -> Duration {
        let Self { since, moved } = std::mem::replace(self, Self::begin(Instant::now()));
        let longest = micros(LONGEST_NAP);
        let expected = micros(since.elapsed()).saturating_mul(WORTH_A_LOOK) / moved.max(1);
        Duration::from_micros(expected.min(longest)).max(SHORTEST_NAP)
    }
}
