//! Counters and latencies that each thread counts in a slice of its own.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Describer, Metric, MetricVec, MetricVecBuilder};
use prometheus::proto::{self, LabelPair, MetricType};
use prometheus::{Error, Opts};

use crate::slices::Slices;

/// Upper bounds of latencies, in microseconds. Above the last there is one more bucket.
const BOUNDS: [u64; 14] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

#[derive(Debug, Default)]
struct Series<T> {
    labels: Vec<LabelPair>,
    slices: Slices<T>,
}

impl<T: Default> Series<T> {
    fn new<V: AsRef<str>>(opts: &Opts, values: &[V]) -> Result<Arc<Self>, Error> {
        let names = opts.describe()?.variable_labels;
        if names.len() != values.len() {
            let (expect, got) = (names.len(), values.len());
            return Err(Error::InconsistentCardinality { expect, got });
        }
        let mut labels: Vec<LabelPair> = names.into_iter().zip(values).map(pair).collect();
        labels.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(Arc::new(Self { labels, slices: Slices::default() }))
    }

    fn sum(&self, of: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.slices.iter().map(|slice| of(slice).load(Ordering::Relaxed)).sum()
    }
}

fn pair<V: AsRef<str>>((name, value): (String, V)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name);
    pair.set_value(value.as_ref().to_owned());
    pair
}

/// A counter.
#[derive(Debug, Clone)]
pub(super) struct Count(Arc<Series<AtomicU64>>);

impl Count {
    /// One more.
    pub(super) fn inc(&self) {
        self.inc_by(1);
    }

    /// So many more.
    pub(super) fn inc_by(&self, more: u64) {
        self.0.slices.own().fetch_add(more, Ordering::Relaxed);
    }

    /// How many so far.
    pub(super) fn get(&self) -> u64 {
        self.0.sum(|count| count)
    }
}

impl Metric for Count {
    fn metric(&self) -> proto::Metric {
        let mut counter = proto::Counter::default();
        counter.set_value(self.get() as f64);
        let mut metric = proto::Metric::from_label(self.0.labels.clone());
        metric.set_counter(counter);
        metric
    }
}

/// How long something took, ready to be observed in several series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    nanos: u64,
    bucket: usize,
}

impl From<Duration> for Took {
    fn from(took: Duration) -> Self {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().filter(|bound| nanos > **bound * 1000).count();
        Self { nanos, bucket }
    }
}

/// Observed durations, by buckets.
#[derive(Debug, Default)]
struct Durations {
    nanos: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

/// A histogram of durations.
#[derive(Debug, Clone)]
pub(super) struct Latency(Arc<Series<Durations>>);

impl Latency {
    /// One more took so long.
    pub(super) fn observe(&self, took: Took) {
        let own = self.0.slices.own();
        own.nanos.fetch_add(took.nanos, Ordering::Relaxed);
        if let Some(bucket) = own.buckets.get(took.bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Metric for Latency {
    fn metric(&self) -> proto::Metric {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for at in 0..=BOUNDS.len() {
            count += self.0.sum(|durations| durations.buckets.get(at).unwrap_or(&durations.nanos));
            if let Some(bound) = BOUNDS.get(at) {
                let mut bucket = proto::Bucket::default();
                bucket.set_cumulative_count(count);
                bucket.set_upper_bound(*bound as f64 / 1e6);
                buckets.push(bucket);
            }
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(self.0.sum(|durations| &durations.nanos) as f64 / 1e9);
        let mut metric = proto::Metric::from_label(self.0.labels.clone());
        metric.set_histogram(histogram);
        metric
    }
}

/// Makes the series of one counter.
#[derive(Debug, Clone)]
pub(super) struct CountBuilder;

impl MetricVecBuilder for CountBuilder {
    type M = Count;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, opts: &Opts, values: &[V]) -> Result<Count, Error> {
        Series::new(opts, values).map(Count)
    }
}

/// Makes the series of one histogram.
#[derive(Debug, Clone)]
pub(super) struct LatencyBuilder;

impl MetricVecBuilder for LatencyBuilder {
    type M = Latency;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, opts: &Opts, values: &[V]) -> Result<Latency, Error> {
        Series::new(opts, values).map(Latency)
    }
}

/// A counter by labels.
pub(super) type Counts = MetricVec<CountBuilder>;

/// A histogram of durations by labels.
pub(super) type Latencies = MetricVec<LatencyBuilder>;

/// A counter with these labels.
pub(super) fn counts(name: &str, help: &str, labels: &[&str]) -> Result<Counts, Error> {
    Counts::create(MetricType::COUNTER, CountBuilder, described(name, help, labels))
}

/// A histogram with these labels.
pub(super) fn latencies(name: &str, help: &str, labels: &[&str]) -> Result<Latencies, Error> {
    Latencies::create(MetricType::HISTOGRAM, LatencyBuilder, described(name, help, labels))
}

fn described(name: &str, help: &str, labels: &[&str]) -> Opts {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Opts::new(name, help).variable_labels(labels)
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector;

    use super::*;

    #[test]
    fn what_threads_have_counted_is_added_up() {
        let counts = counts("c", "c", &["b", "a"]).unwrap();
        let latencies = latencies("l", "l", &[]).unwrap();
        let (count, latency) =
            (counts.with_label_values(&["x", "y"]), latencies.with_label_values::<&str>(&[]));
        std::thread::scope(|scope| {
            for number in 0..20 {
                let (count, latency) = (count.clone(), latency.clone());
                scope.spawn(move || {
                    count.inc_by(number);
                    latency.observe(Duration::from_micros(number * 50).into());
                });
            }
        });
        latency.observe(Duration::from_secs(301).into());
        let counted = counts.collect().remove(0);
        let [metric] = counted.get_metric() else { panic!("one series") };
        assert_eq!((count.get(), metric.get_counter().get_value()), (190, 190.0));
        let labels: Vec<&str> = metric.get_label().iter().map(LabelPair::value).collect();
        assert_eq!(labels, ["y", "x"]);
        let observed = latencies.collect().remove(0);
        let histogram = observed.get_metric()[0].get_histogram();
        let cumulative: Vec<u64> =
            histogram.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        // 0, 50, 100 | 150 to 250 | 300 to 500 | 550 to 950, and nothing up to five minutes.
        assert_eq!(cumulative, [&[3, 6, 11][..], &[20; 11]].concat());
        assert_eq!(histogram.get_sample_count(), 21);
        assert!((histogram.get_sample_sum() - 301.0095).abs() < 1e-9);
        assert!(counts.get_metric_with_label_values(&["x"]).is_err());
    }
}
