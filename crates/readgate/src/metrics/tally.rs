//! What statements count for: by kind and how they ended, and by user. A session keeps the
//! few series it has touched: finding them by their labels for each statement costs more
//! than counting.
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounterVec;

use super::make::Maker;
use super::sliced::{Count, Counts, Latencies, Latency, Took};
pub use super::totals::Totals;

/// Stands for users beyond `ops.user_labels`.
const OTHER: &str = "other";
const OF_USER: [&str; 2] = ["user", "role"];

/// Metrics of statements.
pub struct Statements {
    by_kind: Counts,
    refusals: IntCounterVec,
    duration: Latencies,
    at_replica: Latencies,
    by_user: Counts,
    user_duration: Latencies,
    user_rows: Counts,
    user_bytes: Counts,
    named: Mutex<HashSet<String>>,
    most_named: AtomicUsize,
}

/// A statement that ran.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// What sort it was.
    pub kind: &'static str,
    /// How it ended, as the ledger says it.
    pub end: &'static str,
    /// From the command's arrival to the end of its answer.
    pub took: Duration,
    /// Of that: from forwarding to the end of the replica's answer.
    pub at_replica: Duration,
    /// Rows relayed.
    pub rows: u64,
    /// Bytes of the answer.
    pub bytes: u64,
}

impl Statements {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            by_kind: make.counts(
                "readgate_statements_total",
                "Statements, by verdict, kind and how they ended.",
                &["verdict", "kind", "end"],
            )?,
            refusals: make.counters(
                "readgate_refusals_total",
                "Refused statements, by the rule that refused them.",
                &["rule"],
            )?,
            duration: make.latency(
                "readgate_statement_duration_seconds",
                "From a command's arrival to the end of its answer, by kind.",
                &["kind"],
            )?,
            at_replica: make.latency(
                "readgate_statement_replica_duration_seconds",
                "The replica's part of it: from forwarding to the end of its answer. The rest \
                 is readgate's: judging and recording.",
                &["kind"],
            )?,
            by_user: make.counts(
                "readgate_user_statements_total",
                "Statements, by user, role and verdict; users beyond ops.user_labels as other.",
                &["user", "role", "verdict"],
            )?,
            user_duration: make.latency(
                "readgate_user_statement_duration_seconds",
                "From a command's arrival to the end of its answer, by user and role.",
                &OF_USER,
            )?,
            user_rows: make.counts(
                "readgate_user_rows_total",
                "Rows that users have read.",
                &OF_USER,
            )?,
            user_bytes: make.counts(
                "readgate_user_result_bytes_total",
                "Bytes of answers that users have read, before TLS and compression.",
                &OF_USER,
            )?,
            named: Mutex::default(),
            most_named: AtomicUsize::new(usize::MAX),
        })
    }

    /// So many users have labels of their own; those that come later are `other`.
    pub fn name_at_most(&self, users: usize) {
        self.most_named.store(users, Ordering::Relaxed);
    }

    /// The label of a named user: only such become one, and only so many.
    pub fn label<'u>(&self, user: &'u str) -> &'u str {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(user) {
            return user;
        }
        if named.len() >= self.most_named.load(Ordering::Relaxed) {
            return OTHER;
        }
        named.insert(user.to_owned());
        user
    }

    /// What a session of that user counts with.
    pub fn tally(&self, user: &str, role: &str) -> Tally {
        let user = self.label(user);
        let of = |verdict| self.by_user.with_label_values(&[user, role, verdict]);
        Tally {
            kinds: Vec::new(),
            allowed: of("allowed"),
            refused: of("refused"),
            absorbed: of("absorbed"),
            duration: self.user_duration.with_label_values(&[user, role]),
            rows: self.user_rows.with_label_values(&[user, role]),
            bytes: self.user_bytes.with_label_values(&[user, role]),
        }
    }

    /// A statement was refused.
    pub fn refused(&self, tally: &Tally, rule: &str, kind: &str) {
        self.by_kind.with_label_values(&["refused", kind, "refused"]).inc();
        self.refusals.with_label_values(&[rule]).inc();
        tally.refused.inc();
    }

    /// A statement was answered and not forwarded.
    pub fn absorbed(&self, tally: &Tally, kind: &str) {
        self.by_kind.with_label_values(&["absorbed", kind, "ok"]).inc();
        tally.absorbed.inc();
    }

    /// All statements so far.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.by_user, &self.user_bytes, &self.duration)
    }

    fn series(&self, kind: &'static str, end: &'static str) -> Series {
        Series {
            kind,
            end,
            count: self.by_kind.with_label_values(&["allowed", kind, end]),
            duration: self.duration.with_label_values(&[kind]),
            at_replica: self.at_replica.with_label_values(&[kind]),
        }
    }
}

/// The series that a session counts with.
#[derive(Debug)]
pub struct Tally {
    kinds: Vec<Series>,
    allowed: Count,
    refused: Count,
    absorbed: Count,
    duration: Latency,
    rows: Count,
    bytes: Count,
}

#[derive(Debug)]
struct Series {
    kind: &'static str,
    end: &'static str,
    count: Count,
    duration: Latency,
    at_replica: Latency,
}

impl Tally {
    /// A statement ran.
    pub fn ran(&mut self, to: &Statements, ran: &Ran) {
        let is_it = |series: &Series| series.kind == ran.kind && series.end == ran.end;
        let at = self.kinds.iter().position(is_it).unwrap_or_else(|| {
            self.kinds.push(to.series(ran.kind, ran.end));
            self.kinds.len() - 1
        });
        let took = Took::from(ran.took);
        if let Some(series) = self.kinds.get(at) {
            series.count.inc();
            series.duration.observe(took);
            series.at_replica.observe(ran.at_replica.into());
        }
        self.allowed.inc();
        self.duration.observe(took);
        self.rows.inc_by(ran.rows);
        self.bytes.inc_by(ran.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_beyond_the_limit_are_other_and_known_ones_stay() {
        let registry = prometheus::Registry::new();
        let statements = Statements::new(&Maker::new(&registry)).unwrap();
        statements.name_at_most(2);
        let labels = ["alice", "bob", "carol", "alice"].map(|user| statements.label(user));
        assert_eq!(labels, ["alice", "bob", "other", "alice"]);
        statements.name_at_most(3);
        assert_eq!(statements.label("carol"), "carol");
    }
}
