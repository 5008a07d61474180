//! How long written records may stay unforced: as the sync policy in force says, and for those
//! that were recorded under an earlier one no longer than that one said.

use std::time::Duration;

use crate::settings::SyncPolicy;

pub(crate) struct Pace {
    policy: Duration,
    /// Records that a shorter delay was promised to.
    owed: Option<Owed>,
}

struct Owed {
    up_to: u64,
    delay: Duration,
}

impl Pace {
    pub(crate) fn new(policy: SyncPolicy) -> Self {
        Self { policy: policy.delay(), owed: None }
    }

    /// Another policy, for what comes after the record `last_before`.
    pub(crate) fn change(&mut self, policy: SyncPolicy, last_before: u64) {
        self.owed = Some(Owed { up_to: last_before, delay: self.delay() });
        self.policy = policy.delay();
    }

    /// How long what is written may stay unforced. Records of before and after a change go to
    /// the disk together.
    pub(crate) fn delay(&self) -> Duration {
        self.owed.as_ref().map_or(self.policy, |owed| owed.delay.min(self.policy))
    }

    /// Whether somebody may be waiting for each record to be on the disk.
    pub(crate) fn is_each(&self) -> bool {
        self.delay().is_zero()
    }

    /// All up to that record is on the disk.
    pub(crate) fn synced(&mut self, sequence: u64) {
        self.owed.take_if(|owed| owed.up_to <= sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_a_short_delay_keeps_it_until_it_is_on_the_disk() {
        let hour = Duration::from_secs(3600);
        let mut pace = Pace::new(SyncPolicy::Interval(hour));
        pace.change(SyncPolicy::Each, 10);
        assert!(pace.is_each());
        // Nobody has forced anything since: 11 to 20 were taken as each to be on the disk.
        pace.change(SyncPolicy::Interval(hour), 20);
        assert!(pace.is_each());
        pace.synced(19);
        assert!(pace.is_each());
        pace.synced(20);
        assert_eq!(pace.delay(), hour);
    }
}
