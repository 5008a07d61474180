use jiff::civil::date;

use super::*;
use crate::source::{SourceEntry, SourceNetworks, SourceSet};

const SETTINGS: ThrottleSettings = ThrottleSettings {
    free_failures: 2,
    free_failures_per_source: 6,
    first_delay: Duration::from_millis(500),
    longest_delay: Duration::from_secs(8),
    block_after: 8,
    block_after_per_source: 12,
    block_time: Duration::from_secs(900),
};

fn source(addr: &str) -> SourceAdmitted {
    let all = SourceEntry {
        name: String::from("all"),
        networks: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        owner: String::from("owner"),
        reason: String::from("test"),
        ticket: None,
        added_on: None,
        expires_on: None,
    };
    let accepted = SourceSet::from_iter(["all"]);
    let networks = SourceNetworks::new([all]);
    networks.admit(&accepted, addr.parse().unwrap(), date(2026, 6, 15)).unwrap()
}

/// A clock that moves only when told to.
struct Clock(Instant);

impl Clock {
    fn pass(&mut self, time: Duration) -> Instant {
        self.0 += time;
        self.0
    }
}

/// Fails once, after the wait that was asked for. Returns that wait in milliseconds.
fn fail(throttle: &LoginThrottle, from: &SourceAdmitted, user: &str, clock: &mut Clock) -> u128 {
    match throttle.ask(from, user.as_bytes(), clock.0) {
        Attempt::After(wait) => {
            let now = clock.pass(wait);
            throttle.failed(from, user.as_bytes(), now);
            wait.as_millis()
        }
        Attempt::Blocked(blocked) => panic!("{blocked:?}"),
    }
}

fn start() -> (LoginThrottle, SourceAdmitted, Clock) {
    (LoginThrottle::new(SETTINGS), source("198.51.7.1"), Clock(Instant::now()))
}

#[test]
fn each_failure_costs_more_than_the_last() {
    let (throttle, from, mut clock) = start();
    let waits: Vec<u128> = (0..7).map(|_| fail(&throttle, &from, "alice", &mut clock)).collect();
    assert_eq!(waits, [0, 0, 0, 500, 1000, 2000, 4000]);
}

#[test]
fn waiting_between_attempts_pays_the_wait() {
    let (throttle, from, mut clock) = start();
    for _ in 0..4 {
        fail(&throttle, &from, "alice", &mut clock);
    }
    let later = clock.pass(Duration::from_secs(60));
    assert_eq!(throttle.ask(&from, b"alice", later), Attempt::After(Duration::ZERO));
}

#[test]
fn attempts_at_once_queue_up() {
    let (throttle, from, mut clock) = start();
    for _ in 0..4 {
        fail(&throttle, &from, "alice", &mut clock);
    }
    let waits = (0..9).map(|_| throttle.ask(&from, b"alice", clock.0));
    let seconds = |s| Attempt::After(Duration::from_secs(s));
    let blocked = Blocked { whole_source: false, remaining: Duration::from_secs(9) };
    assert_eq!(
        waits.collect::<Vec<_>>(),
        [
            seconds(1),
            seconds(2),
            seconds(3),
            seconds(4),
            seconds(5),
            seconds(6),
            seconds(7),
            seconds(8),
            Attempt::Blocked(blocked),
        ]
    );
}

#[test]
fn many_failures_block_the_user_from_that_source_only() {
    let (throttle, from, mut clock) = start();
    for _ in 0..7 {
        fail(&throttle, &from, "alice", &mut clock);
    }
    let block = throttle.failed(&from, b"alice", clock.0).unwrap();
    assert_eq!(block, Blocked { whole_source: false, remaining: SETTINGS.block_time });
    assert_eq!(throttle.ask(&from, b"alice", clock.0), Attempt::Blocked(block));
    let elsewhere = source("198.51.7.2");
    assert_eq!(throttle.ask(&elsewhere, b"alice", clock.0), Attempt::After(Duration::ZERO));
    let over = clock.pass(SETTINGS.block_time);
    assert_eq!(throttle.ask(&from, b"alice", over), Attempt::After(Duration::ZERO));
}

#[test]
fn a_source_that_tries_many_names_is_slowed_and_blocked() {
    let (throttle, from, mut clock) = start();
    let names = |i: u32| format!("user{i}");
    let waits: Vec<u128> = (0..11).map(|i| fail(&throttle, &from, &names(i), &mut clock)).collect();
    assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 500, 1000, 2000, 4000]);
    let block = throttle.failed(&from, b"another", clock.0).unwrap();
    assert!(block.whole_source);
    assert_eq!(throttle.ask(&from, b"fresh", clock.0), Attempt::Blocked(block));
    let elsewhere = source("198.51.7.2");
    assert_eq!(throttle.ask(&elsewhere, b"user1", clock.0), Attempt::After(Duration::ZERO));
}

#[test]
fn one_ipv6_network_of_64_bits_is_one_source() {
    let (throttle, _, mut clock) = start();
    for i in 1..=12 {
        let from = source(&format!("2a00:1:2:3::{i}"));
        clock.pass(SETTINGS.longest_delay);
        fail(&throttle, &from, &format!("user{i}"), &mut clock);
    }
    let from = source("2a00:1:2:3:ffff::1");
    assert!(matches!(throttle.ask(&from, b"x", clock.0), Attempt::Blocked(_)));
    let next = source("2a00:1:2:4::1");
    assert_eq!(throttle.ask(&next, b"x", clock.0), Attempt::After(Duration::ZERO));
}

#[test]
fn a_success_forgives_the_user_and_not_the_source() {
    let (throttle, from, mut clock) = start();
    for _ in 0..6 {
        fail(&throttle, &from, "alice", &mut clock);
    }
    throttle.succeeded(&from, b"alice");
    clock.pass(SETTINGS.longest_delay);
    assert_eq!(fail(&throttle, &from, "alice", &mut clock), 0);
    // The seventh failure of the source costs as bob's, and no more as alice's, who has one only.
    assert_eq!(throttle.ask(&from, b"alice", clock.0), Attempt::After(SETTINGS.first_delay));
    clock.pass(SETTINGS.first_delay);
    assert_eq!(fail(&throttle, &from, "bob", &mut clock), 500);
}

#[test]
fn failures_are_forgotten_after_a_quiet_time() {
    let (throttle, from, mut clock) = start();
    for _ in 0..7 {
        fail(&throttle, &from, "alice", &mut clock);
    }
    clock.pass(SETTINGS.block_time);
    let waits: Vec<u128> = (0..4).map(|_| fail(&throttle, &from, "alice", &mut clock)).collect();
    assert_eq!(waits, [0, 0, 0, 500]);
}

#[test]
fn failures_that_go_on_are_not_forgotten_however_slow_they_come() {
    let (throttle, from, mut clock) = start();
    for _ in 0..7 {
        fail(&throttle, &from, "alice", &mut clock);
        clock.pass(SETTINGS.block_time / 2);
    }
    assert!(throttle.failed(&from, b"alice", clock.0).is_some());
}

#[test]
fn changed_settings_count_at_once_for_what_was_counted_before() {
    let (throttle, from, mut clock) = start();
    fail(&throttle, &from, "alice", &mut clock);
    throttle.set(ThrottleSettings { block_after: 2, ..SETTINGS });
    assert!(throttle.failed(&from, b"alice", clock.0).is_some());
}

#[test]
fn memory_is_bounded_and_recent_failures_are_kept() {
    let (throttle, from, mut clock) = start();
    throttle.set(ThrottleSettings { block_after_per_source: u32::MAX, ..SETTINGS });
    for i in 0..ENTRIES_MAX + 10 {
        clock.pass(Duration::from_micros(1));
        throttle.failed(&from, format!("user{i}").as_bytes(), clock.0);
    }
    let state = throttle.state();
    assert!(state.by_user.len() <= ENTRIES_MAX);
    for (number, kept) in [(1, false), (ENTRIES_MAX - 1, true), (ENTRIES_MAX + 9, true)] {
        let name = format!("user{number}").into_bytes();
        assert_eq!(state.by_user.contains_key(&(from.addr(), name)), kept, "{number}");
    }
}

#[test]
fn a_long_name_costs_no_more_memory() {
    let (throttle, from, clock) = start();
    throttle.failed(&from, &[b'x'; 10_000], clock.0);
    let state = throttle.state();
    assert!(state.by_user.keys().all(|(_, name)| name.len() == NAME_MAX));
}

#[test]
fn a_block_of_another_node_counts_here_and_ends_with_it() {
    let (throttle, from, mut clock) = start();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let blocked = Blocked { whole_source: false, remaining: Duration::from_secs(60) };
    let told = SharedBlock::new(&from, b"alice", blocked, now);
    throttle.learn(&told, now, clock.0);
    assert!(matches!(throttle.ask(&from, b"alice", clock.0), Attempt::Blocked(b) if b == blocked));
    assert_eq!(throttle.ask(&from, b"bob", clock.0), Attempt::After(Duration::ZERO));
    let elsewhere = source("198.51.7.2");
    assert_eq!(throttle.ask(&elsewhere, b"alice", clock.0), Attempt::After(Duration::ZERO));
    let later = clock.pass(Duration::from_secs(60));
    assert_eq!(throttle.ask(&from, b"alice", later), Attempt::After(Duration::ZERO));
}

#[test]
fn a_block_of_another_node_can_be_of_a_whole_source_and_never_too_long() {
    let (throttle, from, mut clock) = start();
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let told = SharedBlock { source: from.addr(), user: None, until: Timestamp::MAX };
    throttle.learn(&told, now, clock.0);
    let whole = Blocked { whole_source: true, remaining: SETTINGS.block_time };
    assert_eq!(throttle.ask(&from, b"anyone", clock.0), Attempt::Blocked(whole));
    let later = clock.pass(SETTINGS.block_time);
    assert_eq!(throttle.ask(&from, b"anyone", later), Attempt::After(Duration::ZERO));
    let old = SharedBlock { until: now, ..told };
    throttle.learn(&old, now, later);
    assert_eq!(throttle.ask(&from, b"anyone", later), Attempt::After(Duration::ZERO));
}

#[test]
fn a_block_of_another_node_does_not_bring_forgotten_failures_back() {
    let (throttle, from, mut clock) = start();
    for _ in 0..7 {
        fail(&throttle, &from, "alice", &mut clock);
    }
    let quiet = clock.pass(SETTINGS.block_time);
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let blocked = Blocked { whole_source: false, remaining: Duration::from_secs(60) };
    throttle.learn(&SharedBlock::new(&from, b"alice", blocked, now), now, quiet);
    clock.pass(blocked.remaining);
    let waits: Vec<u128> = (0..4).map(|_| fail(&throttle, &from, "alice", &mut clock)).collect();
    assert_eq!(waits, [0, 0, 0, 500]);
}
