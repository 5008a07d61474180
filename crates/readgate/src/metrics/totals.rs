//! Sums over the series of statements: what a plot is made of.
use prometheus::core::Collector;
use prometheus::proto::{Metric, MetricFamily};

use super::sliced::{Counts, Latencies};

/// Statements so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Forwarded.
    pub allowed: f64,
    /// Refused.
    pub refused: f64,
    /// Answered and not forwarded.
    pub absorbed: f64,
    /// Bytes of answers.
    pub bytes: f64,
    /// Upper bounds in seconds, and how many statements took at most that long.
    buckets: Vec<(f64, u64)>,
}

impl Totals {
    pub(super) fn of(by_user: &Counts, bytes: &Counts, took: &Latencies) -> Self {
        let mut totals = Self::default();
        for metric in by_user.collect().iter().flat_map(MetricFamily::get_metric) {
            let value = metric.get_counter().get_value();
            match label(metric, "verdict") {
                "allowed" => totals.allowed += value,
                "refused" => totals.refused += value,
                _ => totals.absorbed += value,
            }
        }
        for metric in bytes.collect().iter().flat_map(MetricFamily::get_metric) {
            totals.bytes += metric.get_counter().get_value();
        }
        for metric in took.collect().iter().flat_map(MetricFamily::get_metric) {
            for (at, bucket) in metric.get_histogram().get_bucket().iter().enumerate() {
                match totals.buckets.get_mut(at) {
                    Some((_, count)) => *count += bucket.cumulative_count(),
                    None => totals.buckets.push((bucket.upper_bound(), bucket.cumulative_count())),
                }
            }
        }
        totals
    }

    /// How long the statements since an earlier moment took, the given part of them: linear
    /// within a bucket. `None` if there were none.
    pub fn quantile_since(&self, before: &Self, part: f64) -> Option<f64> {
        let earlier = |at: usize| before.buckets.get(at).map_or(0, |(_, count)| *count);
        let fresh: Vec<(f64, f64)> = self
            .buckets
            .iter()
            .enumerate()
            .map(|(at, (bound, count))| (*bound, count.saturating_sub(earlier(at)) as f64))
            .collect();
        let all = fresh.last().filter(|(_, count)| *count > 0.0)?.1;
        let wanted = all * part;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in fresh {
            if count >= wanted {
                let within = if count > below { (wanted - below) / (count - below) } else { 1.0 };
                return Some(low + (bound - low) * within);
            }
            (low, below) = (bound, count);
        }
        None
    }
}

fn label<'m>(metric: &'m Metric, name: &str) -> &'m str {
    let found = metric.get_label().iter().find(|pair| pair.name() == name);
    found.map_or("", |pair| pair.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_came_since() {
        let with = |counts: [u64; 3]| Totals {
            buckets: [0.1, 0.2, 0.4].into_iter().zip(counts).collect(),
            ..Totals::default()
        };
        let (before, now) = (with([100, 100, 100]), with([100, 110, 120]));
        let close = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-9;
        assert!(close(now.quantile_since(&before, 0.5), 0.2));
        assert!(close(now.quantile_since(&before, 0.25), 0.15));
        assert!(close(now.quantile_since(&before, 0.75), 0.3));
        assert_eq!(now.quantile_since(&now, 0.5), None);
    }
}
