//! Makes metrics and enters them in the registry, each with its help text.
use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::{Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::sliced::{self, Counts, Latencies};

/// A metric as the reference names it.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) sort: &'static str,
    pub(super) labels: Vec<String>,
    pub(super) help: String,
}

/// Makes metrics for one registry.
pub(super) struct Maker<'r> {
    registry: &'r Registry,
    described: RefCell<Vec<Described>>,
}

impl<'r> Maker<'r> {
    pub(super) fn new(registry: &'r Registry) -> Self {
        Self { registry, described: RefCell::default() }
    }

    /// All that was made.
    pub(super) fn finish(self) -> Vec<Described> {
        self.described.into_inner()
    }

    fn enter<C: Collector + Clone + 'static>(
        &self,
        sort: &'static str,
        made: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let collector = made?;
        self.described.borrow_mut().extend(collector.desc().into_iter().map(|desc| Described {
            name: desc.fq_name.clone(),
            sort,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        }));
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.enter("counter", IntCounter::new(name, help))
    }

    pub(super) fn seconds(&self, name: &str, help: &str) -> Result<Counter, prometheus::Error> {
        self.enter("counter", Counter::new(name, help))
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.enter("counter", IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.enter("gauge", Gauge::new(name, help))
    }

    pub(super) fn count(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.enter("gauge", IntGauge::new(name, help))
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        self.enter("gauge", GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A counter that statements count with.
    pub(super) fn counts(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Counts, prometheus::Error> {
        self.enter("counter", sliced::counts(name, help, labels))
    }

    /// How long statements took.
    pub(super) fn latency(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Latencies, prometheus::Error> {
        self.enter("histogram", sliced::latencies(name, help, labels))
    }
}
