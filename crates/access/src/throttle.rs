//! Slows failed logins down: each source, and each user from each source, waits longer
//! with every failure and is blocked for a while after many. Guarantees that no source can
//! keep a user out who comes from elsewhere, and that memory is bounded.
//!
//! An attempt asks before its proof is looked at, and attempts that have to wait queue up
//! behind one another, so opening many connections at once gains nothing. What is asked
//! and answered is the same for names that nobody has.
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Timestamp;
use crate::limits::source_key;
use crate::source::SourceAdmitted;

/// When and how much to slow down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleSettings {
    /// Failures of one user from one source that cost nothing.
    pub free_failures: u32,
    /// Failures of one source, whatever the names, that cost nothing.
    pub free_failures_per_source: u32,
    /// Wait after the first failure that costs something; doubled by each further one.
    pub first_delay: Duration,
    /// The longest wait. An attempt that would wait longer in its queue is blocked.
    pub longest_delay: Duration,
    /// Failures of one user from one source that block it.
    pub block_after: u32,
    /// Failures of one source, whatever the names, that block it.
    pub block_after_per_source: u32,
    /// Length of a block, and time without failure after which all is forgotten.
    pub block_time: Duration,
}

/// What to do with a login attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Look at the proof after that time (often zero).
    After(Duration),
    /// Refuse without looking at the proof, with the words and after the steps of a wrong
    /// password.
    Blocked(Blocked),
}

/// A block in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Whether the source is blocked for every name, or for one.
    pub whole_source: bool,
    /// How long the block still lasts.
    pub remaining: Duration,
}

/// A block as nodes tell it one another, whose clocks may differ a little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedBlock {
    /// The source: an address, or the first of a /64 network with IPv6.
    pub source: IpAddr,
    /// The name that is blocked from there, as given; `None`: every name.
    pub user: Option<Vec<u8>>,
    /// Its end.
    pub until: Timestamp,
}

impl SharedBlock {
    /// A block that has just begun here.
    pub fn new(source: &SourceAdmitted, user: &[u8], blocked: Blocked, now: Timestamp) -> Self {
        let (source, (_, user)) = keys(source, user);
        let remaining = jiff::SignedDuration::try_from(blocked.remaining);
        let until = remaining.ok().and_then(|remaining| now.checked_add(remaining).ok());
        let user = (!blocked.whole_source).then_some(user);
        Self { source, user, until: until.unwrap_or(Timestamp::MAX) }
    }

    /// How long it still lasts.
    fn remaining(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.until.duration_since(now)).unwrap_or_default()
    }
}

/// Counts failed logins.
#[derive(Debug)]
pub struct LoginThrottle {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: ThrottleSettings,
    by_source: HashMap<IpAddr, Strikes>,
    by_user: HashMap<(IpAddr, Vec<u8>), Strikes>,
}

/// Entries of each map. An attacker with that many networks is not slowed by memory of
/// single ones; the oldest are forgotten first.
const ENTRIES_MAX: usize = 100_000;
/// Bytes of a user name that count; longer names are nobody's.
const NAME_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Strikes {
    failures: u32,
    last: Instant,
    /// Before that moment no further attempt is looked at.
    next: Instant,
    blocked_until: Option<Instant>,
}

impl LoginThrottle {
    /// Starts without failures.
    pub fn new(settings: ThrottleSettings) -> Self {
        let (by_source, by_user) = (HashMap::new(), HashMap::new());
        Self { state: Mutex::new(State { settings, by_source, by_user }) }
    }

    /// Changes the settings. Counts and blocks stay.
    pub fn set(&self, settings: ThrottleSettings) {
        self.state().settings = settings;
    }

    /// Asks what to do with an attempt, and reserves its place in the queue.
    pub fn ask(&self, source: &SourceAdmitted, user: &[u8], now: Instant) -> Attempt {
        let (source, user) = keys(source, user);
        let mut state = self.state();
        let settings = state.settings;
        let of_source = Rule::of_source(&settings).ask(state.by_source.get_mut(&source), now);
        let of_user = Rule::of_user(&settings).ask(state.by_user.get_mut(&user), now);
        match (of_source, of_user) {
            (Err(remaining), _) => Attempt::Blocked(Blocked { whole_source: true, remaining }),
            (_, Err(remaining)) => Attempt::Blocked(Blocked { whole_source: false, remaining }),
            (Ok(one), Ok(other)) => Attempt::After(one.max(other)),
        }
    }

    /// Notes a failure. Returns the block that it starts, if it does, for the record.
    pub fn failed(&self, source: &SourceAdmitted, user: &[u8], now: Instant) -> Option<Blocked> {
        let (source, user) = keys(source, user);
        let mut state = self.state();
        let settings = state.settings;
        let source_blocked = Rule::of_source(&settings).strike(&mut state.by_source, source, now);
        let user_blocked = Rule::of_user(&settings).strike(&mut state.by_user, user, now);
        let remaining = settings.block_time;
        let blocked = |whole_source| Blocked { whole_source, remaining };
        source_blocked.then(|| blocked(true)).or(user_blocked.then(|| blocked(false)))
    }

    /// Takes over a block that another node has begun. It lasts no longer than one of this
    /// node's own could.
    pub fn learn(&self, block: &SharedBlock, now: Timestamp, instant: Instant) {
        let mut state = self.state();
        let remaining = block.remaining(now).min(state.settings.block_time);
        if remaining.is_zero() {
            return;
        }
        let settings = state.settings;
        match &block.user {
            None => Rule::of_source(&settings).block(
                &mut state.by_source,
                block.source,
                instant,
                remaining,
            ),
            Some(user) => {
                let user = user.iter().copied().take(NAME_MAX).collect();
                let key = (block.source, user);
                Rule::of_user(&settings).block(&mut state.by_user, key, instant, remaining);
            }
        }
    }

    /// Notes a success: the user's failures from that source are forgotten. Those of the
    /// source stay, or one right password would pay for any number of wrong ones.
    pub fn succeeded(&self, source: &SourceAdmitted, user: &[u8]) {
        let (_, user) = keys(source, user);
        self.state().by_user.remove(&user);
    }

    /// A panic elsewhere can't leave the counts half-changed: each change is one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(source: &SourceAdmitted, user: &[u8]) -> (IpAddr, (IpAddr, Vec<u8>)) {
    let source = source_key(source.addr());
    (source, (source, user.iter().copied().take(NAME_MAX).collect()))
}

/// The settings that apply to one of the two counts.
struct Rule {
    free: u32,
    block_after: u32,
    first_delay: Duration,
    longest_delay: Duration,
    block_time: Duration,
}

impl Rule {
    fn of_source(settings: &ThrottleSettings) -> Self {
        Self {
            free: settings.free_failures_per_source,
            block_after: settings.block_after_per_source,
            ..Self::of_user(settings)
        }
    }

    fn of_user(settings: &ThrottleSettings) -> Self {
        Self {
            free: settings.free_failures,
            block_after: settings.block_after,
            first_delay: settings.first_delay,
            longest_delay: settings.longest_delay,
            block_time: settings.block_time,
        }
    }

    /// How long to wait, or how long the block lasts.
    fn ask(&self, strikes: Option<&mut Strikes>, now: Instant) -> Result<Duration, Duration> {
        let Some(strikes) = strikes.filter(|strikes| !self.is_forgotten(strikes, now)) else {
            return Ok(Duration::ZERO);
        };
        if let Some(until) = strikes.blocked_until.filter(|until| *until > now) {
            return Err(until.duration_since(now));
        }
        let delay = self.delay(strikes.failures);
        if delay.is_zero() {
            return Ok(delay);
        }
        let wait = strikes.next.saturating_duration_since(now);
        if wait > self.longest_delay {
            return Err(wait);
        }
        strikes.next = now + wait + delay;
        Ok(wait)
    }

    /// Counts a failure; whether it starts a block.
    fn strike<K: Hash + Eq + Clone>(
        &self,
        counts: &mut HashMap<K, Strikes>,
        key: K,
        now: Instant,
    ) -> bool {
        let strikes = self.entry(counts, key, now);
        strikes.failures = strikes.failures.saturating_add(1);
        strikes.last = now;
        strikes.next = strikes.next.max(now + self.delay(strikes.failures));
        let blocks = strikes.failures >= self.block_after;
        if blocks {
            *strikes =
                Strikes { blocked_until: Some(now + self.block_time), failures: 0, ..*strikes };
        }
        blocks
    }

    /// Blocks as if the failures had been here.
    fn block<K: Hash + Eq + Clone>(
        &self,
        counts: &mut HashMap<K, Strikes>,
        key: K,
        now: Instant,
        remaining: Duration,
    ) {
        let strikes = self.entry(counts, key, now);
        let until = now + remaining;
        strikes.last = now;
        strikes.blocked_until =
            Some(strikes.blocked_until.map_or(until, |earlier| earlier.max(until)));
    }

    /// What is counted of a key, without what is forgotten by now.
    fn entry<'c, K: Hash + Eq + Clone>(
        &self,
        counts: &'c mut HashMap<K, Strikes>,
        key: K,
        now: Instant,
    ) -> &'c mut Strikes {
        if counts.len() >= ENTRIES_MAX && !counts.contains_key(&key) {
            self.make_room(counts, now);
        }
        let fresh = Strikes { failures: 0, last: now, next: now, blocked_until: None };
        let strikes = counts.entry(key).or_insert(fresh);
        if self.is_forgotten(strikes, now) {
            *strikes = fresh;
        }
        strikes
    }

    /// The wait that so many failures cost.
    fn delay(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free + 1) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.saturating_pow(doublings);
        self.first_delay.saturating_mul(factor).min(self.longest_delay)
    }

    fn is_forgotten(&self, strikes: &Strikes, now: Instant) -> bool {
        now.saturating_duration_since(strikes.last) >= self.block_time
    }

    /// Forgets what may be forgotten; if that is nothing, the oldest half.
    fn make_room<K: Hash + Eq + Clone>(&self, counts: &mut HashMap<K, Strikes>, now: Instant) {
        counts.retain(|_, strikes| !self.is_forgotten(strikes, now));
        if counts.len() < ENTRIES_MAX {
            return;
        }
        let mut ages: Vec<Instant> = counts.values().map(|strikes| strikes.last).collect();
        let middle = ages.len() / 2;
        let (_, median, _) = ages.select_nth_unstable(middle);
        let median = *median;
        counts.retain(|_, strikes| strikes.last > median);
    }
}

#[cfg(test)]
#[path = "throttle_tests.rs"]
mod tests;
