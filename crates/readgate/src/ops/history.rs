//! The last hour in numbers, for the status page's plots: one sample every few seconds, kept
//! in memory.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::Timestamp;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::metrics::tally::Totals;

/// Between two samples.
const PERIOD: Duration = Duration::from_secs(5);
/// An hour of them.
const KEPT: usize = 720;

/// Samples, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<VecDeque<Sample>>);

#[derive(Debug)]
struct Sample {
    at: i64,
    allowed: f64,
    refused: f64,
    bytes: f64,
    p50: Option<f64>,
    p95: Option<f64>,
    sessions: u64,
}

impl History {
    /// Takes samples for as long as the daemon runs.
    pub(super) async fn keep(self: Arc<Self>, daemon: Arc<Daemon>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let mut before = daemon.metrics.statements.totals();
        loop {
            ticks.tick().await;
            let now = daemon.metrics.statements.totals();
            let mut sessions = 0;
            daemon.registry.each(|_, _| sessions += 1);
            let sample = Sample::between(&before, &now, sessions);
            let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if samples.len() >= KEPT {
                samples.pop_front();
            }
            samples.push_back(sample);
            before = now;
        }
    }

    /// As columns: shorter than as objects.
    pub(super) fn shown(&self) -> Value {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let column = |of: fn(&Sample) -> Value| samples.iter().map(of).collect::<Vec<_>>();
        json!({
            "at": column(|s| s.at.into()),
            "allowed_per_second": column(|s| s.allowed.into()),
            "refused_per_second": column(|s| s.refused.into()),
            "bytes_per_second": column(|s| s.bytes.into()),
            "p50_seconds": column(|s| s.p50.into()),
            "p95_seconds": column(|s| s.p95.into()),
            "sessions": column(|s| s.sessions.into()),
        })
    }
}

impl Sample {
    fn between(before: &Totals, now: &Totals, sessions: u64) -> Self {
        let rate = |of: fn(&Totals) -> f64| (of(now) - of(before)) / PERIOD.as_secs_f64();
        Self {
            at: Timestamp::now().as_second(),
            allowed: rate(|totals| totals.allowed),
            refused: rate(|totals| totals.refused),
            bytes: rate(|totals| totals.bytes),
            p50: now.quantile_since(before, 0.5),
            p95: now.quantile_since(before, 0.95),
            sessions,
        }
    }
}
