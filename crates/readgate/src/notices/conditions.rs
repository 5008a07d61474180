//! What is wrong at this moment, of the things that notices can be sent for.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use access::Timestamp;
use arc_swap::ArcSwapOption;
use config::NoticeEvent;

use crate::daemon::Daemon;
use crate::feeds::FeedState;

/// What happens in a moment is told of as if it went on so long after.
const LINGERS: Duration = Duration::from_secs(600);
/// So many refused connections within a minute are a burst.
const BURST: u64 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// Blocked sources that are remembered at a time.
const MOST: usize = 100;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) event: NoticeEvent,
    /// Which replica, feed, file, source.
    pub(super) subject: String,
    pub(super) text: String,
}

impl Condition {
    pub(super) fn new(
        event: NoticeEvent,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self { event, subject: subject.into(), text: text.into() }
    }
}

/// What the daemon's parts note for notices, since nothing else remembers it.
#[derive(Default)]
pub struct Signals {
    /// Why no session can be opened on the replica; `None`: one could, or none was tried.
    pub replica_fault: ArcSwapOption<String>,
    /// Why the newest configuration was refused; `None`: it was taken.
    pub config_refused: ArcSwapOption<String>,
    blocked: Mutex<Vec<(Instant, String)>>,
    denied: AtomicU64,
}

impl Signals {
    /// A source was blocked for its failed logins.
    pub fn note_block(&self, source: String, now: Instant) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        blocked.retain(|(at, known)| now.duration_since(*at) < LINGERS && *known != source);
        if blocked.len() < MOST {
            blocked.push((now, source));
        }
    }

    /// A connection was refused for its address.
    pub fn note_denial(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is remembered from one look to the next.
#[derive(Default)]
pub(super) struct Memory {
    burst: Burst,
    /// What ends, which is counted once a minute.
    ends: Option<(Instant, Vec<Condition>)>,
}

/// Tells bursts of refused connections.
#[derive(Default)]
struct Burst {
    minute: Option<(Instant, u64)>,
    last: Option<Instant>,
}

impl Burst {
    /// Whether there was one lately; `total` is how many were refused since the start.
    fn note(&mut self, total: u64, now: Instant) -> bool {
        let is_over = |begin: Instant| now.saturating_duration_since(begin) >= MINUTE;
        if self.minute.is_none_or(|(begin, _)| is_over(begin)) {
            self.minute = Some((now, total));
        }
        if self.minute.is_some_and(|(_, before)| total.saturating_sub(before) >= BURST) {
            self.last = Some(now);
        }
        self.last.is_some_and(|last| now.saturating_duration_since(last) < LINGERS)
    }
}

/// Everything that is wrong.
pub(super) fn all(daemon: &Daemon, memory: &mut Memory, now: Instant) -> Vec<Condition> {
    let mut found = of_replica(daemon);
    found.extend(of_feeds(daemon));
    if let Some(why) = daemon.ledger.health().fault {
        let text = format!("the ledger takes no records, so nothing is forwarded: {why}");
        found.push(Condition::new(NoticeEvent::LedgerTrouble, "ledger", text));
    }
    if let Some(why) = daemon.signals.config_refused.load_full() {
        let text = format!("a configuration was refused, the one before stays in force: {why}");
        found.push(Condition::new(NoticeEvent::ConfigRejected, "configuration", text));
    }
    let is_old = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) >= MINUTE;
    if memory.ends.as_ref().is_none_or(is_old) {
        memory.ends = Some((now, of_ends(daemon)));
    }
    found.extend(memory.ends.iter().flat_map(|(_, ends)| ends.iter().cloned()));
    let blocked = daemon.signals.blocked.lock().unwrap_or_else(PoisonError::into_inner);
    let lately = blocked.iter().filter(|(at, _)| now.saturating_duration_since(*at) < LINGERS);
    found.extend(lately.map(|(_, source)| {
        let text = format!("failed logins from {source} were blocked");
        Condition::new(NoticeEvent::LoginBlocked, source, text)
    }));
    if memory.burst.note(daemon.signals.denied.load(Ordering::Relaxed), now) {
        let text = format!("{BURST} or more connections a minute from sources that are not listed");
        found.push(Condition::new(NoticeEvent::SourceDeniedBurst, "sources", text));
    }
    found
}

fn of_replica(daemon: &Daemon) -> Vec<Condition> {
    let replica = daemon.pool.target.name.as_str();
    if let Some(fault) = daemon.signals.replica_fault.load_full() {
        let text = format!("no session can be opened on replica {replica}: {fault}");
        return vec![Condition::new(NoticeEvent::ReplicaDown, replica, text)];
    }
    let walls = daemon.walls.load();
    let mut found = Vec::new();
    if walls.is_behind {
        let text = match daemon.metrics.state.lag() {
            Some(seconds) => format!("replica {replica} is {seconds:.0} s behind its source"),
            None => format!("how far replica {replica} is behind its source is not known"),
        };
        found.push(Condition::new(NoticeEvent::ReplicaBehind, replica, text));
    }
    if !walls.unsafe_for.is_empty() {
        let text = walls.unsafe_for.join("; ");
        found.push(Condition::new(NoticeEvent::ReplicaUnsafe, replica, text));
    }
    found
}

fn of_feeds(daemon: &Daemon) -> Vec<Condition> {
    let all = daemon.feeds.all();
    let wrong = all.iter().filter_map(|(feed, standing)| {
        let event = match standing.state {
            FeedState::Waiting | FeedState::Fresh => return None,
            FeedState::Late | FeedState::Missing => NoticeEvent::FeedLate,
            FeedState::Malformed => NoticeEvent::FeedMalformed,
            FeedState::Unknown => NoticeEvent::FeedUnknown,
        };
        Some(Condition::new(event, feed.name.as_str(), standing.sentence(&feed.name)))
    });
    wrong.collect()
}

/// Certificates, users, credentials and sources that end soon or have ended.
fn of_ends(daemon: &Daemon) -> Vec<Condition> {
    let mut found = Vec::new();
    let now = Timestamp::now();
    for end in daemon.metrics.state.certificates() {
        if let Some(text) = end.warning(now) {
            found.push(Condition::new(NoticeEvent::CertificateExpiring, end.subject(), text));
        }
    }
    let endings = daemon.live().endings();
    let counts = [
        ("users", endings.users),
        ("credentials", endings.credentials),
        ("sources", endings.sources),
    ];
    for (what, ends) in counts.into_iter().filter(|(_, ends)| ends.soon + ends.ended > 0) {
        let (soon, ended) = (ends.soon, ends.ended);
        let text =
            format!("of {what}, {soon} end soon and {ended} have ended and are still listed");
        found.push(Condition::new(NoticeEvent::AccessExpiring, what, text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_many_within_a_minute_and_not_many_within_an_hour() {
        let (start, mut burst) = (Instant::now(), Burst::default());
        for minute in 0..30_u32 {
            assert!(!burst.note(u64::from(minute) * (BURST - 1), start + minute * MINUTE));
        }
        let (mut burst, second) = (Burst::default(), Duration::from_secs(1));
        assert!(!burst.note(500, start), "what was before the first look");
        assert!(!burst.note(500 + BURST - 1, start + second));
        assert!(burst.note(500 + BURST, start + 2 * second));
        assert!(burst.note(500 + BURST, start + LINGERS));
        assert!(!burst.note(500 + BURST, start + LINGERS + 2 * second));
    }
}
