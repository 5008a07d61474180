//! Counters in Prometheus' terms. Label values come from closed sets; no text of a client
//! becomes a label.
use std::time::Duration;

use access::Endings;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use crate::replica::{ReplicaFault, ReplicaSession};

/// Upper bounds of the latency histogram, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0, 300.0];

/// All metrics of the daemon.
pub struct Metrics {
    registry: Registry,
    connections: IntCounterVec,
    open_connections: IntGauge,
    logins: IntCounterVec,
    sources_denied: IntCounterVec,
    endings: GaugeVec,
    statements: IntCounterVec,
    refusals: IntCounterVec,
    latency: HistogramVec,
    bytes_received: IntCounter,
    bytes_sent: IntCounter,
    replica_opens: IntCounterVec,
    replica_up: Gauge,
    replica_checks: GaugeVec,
    ledger_faults: IntCounter,
    ledger_up: Gauge,
    reloads: IntCounterVec,
}

/// Makes metrics and enters them in the registry.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn enter<C: Collector + Clone + 'static>(
        &self,
        made: Result<C, prometheus::Error>,
    ) -> Result<C, prometheus::Error> {
        let collector = made?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.enter(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.enter(Gauge::new(name, help))
    }

    fn latency(&self, name: &str, help: &str) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
        self.enter(HistogramVec::new(options, &["kind"]))
    }
}

impl Metrics {
    /// Makes all metrics.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let build = Opts::new("readgate_build_info", "1, with the version as label.");
        let build = make.enter(GaugeVec::new(build, &["version"]))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        let client_bytes = make.counters(
            "readgate_client_bytes_total",
            "Bytes exchanged with clients, before TLS.",
            &["direction"],
        )?;
        Ok(Self {
            connections: make.counters(
                "readgate_connections_total",
                "Client connections that ended, by how.",
                &["ending"],
            )?,
            open_connections: make.enter(IntGauge::new(
                "readgate_connections_open",
                "Client connections at this moment.",
            ))?,
            logins: make.counters("readgate_logins_total", "Logins, by result.", &["result"])?,
            sources_denied: make.counters(
                "readgate_sources_denied_total",
                "Connections refused for their address, by network; those seen late as other.",
                &["network"],
            )?,
            endings: make.enter(GaugeVec::new(
                Opts::new(
                    "readgate_access_ending",
                    "Users, credentials and sources that end within credentials.warn_before \
                     (soon), or have ended while still listed (ended).",
                ),
                &["what", "state"],
            ))?,
            statements: make.counters(
                "readgate_statements_total",
                "Statements, by verdict, kind and how they ended.",
                &["verdict", "kind", "end"],
            )?,
            refusals: make.counters(
                "readgate_refusals_total",
                "Refused statements, by the rule that refused them.",
                &["rule"],
            )?,
            latency: make.latency(
                "readgate_statement_duration_seconds",
                "From a command's arrival to the last packet of its answer.",
            )?,
            bytes_received: client_bytes.with_label_values(&["received"]),
            bytes_sent: client_bytes.with_label_values(&["sent"]),
            replica_opens: make.counters(
                "readgate_replica_opens_total",
                "Attempts to open a session on the replica, by result.",
                &["result"],
            )?,
            replica_up: make
                .gauge("readgate_replica_up", "1 if the replica took the last session, else 0.")?,
            replica_checks: make.enter(GaugeVec::new(
                Opts::new(
                    "readgate_replica_check_ok",
                    "1 if the account only reads, or the replica is read-only; else 0.",
                ),
                &["check"],
            ))?,
            ledger_faults: make.enter(IntCounter::new(
                "readgate_ledger_faults_total",
                "Records that the ledger could not take.",
            ))?,
            ledger_up: make
                .gauge("readgate_ledger_up", "1 if the ledger takes records, else 0.")?,
            reloads: make.counters(
                "readgate_config_reloads_total",
                "Reloads of the configuration, by result.",
                &["result"],
            )?,
            registry,
        })
    }

    /// A connection was accepted.
    pub fn accepted(&self) {
        self.open_connections.inc();
    }

    /// A connection has ended.
    pub fn closed(&self, ending: &str) {
        self.open_connections.dec();
        self.connections.with_label_values(&[ending]).inc();
    }

    /// Bytes were exchanged with a client.
    pub fn traffic(&self, (received, sent): (u64, u64)) {
        self.bytes_received.inc_by(received);
        self.bytes_sent.inc_by(sent);
    }

    /// A login succeeded or failed.
    pub fn login(&self, result: &str) {
        self.logins.with_label_values(&[result]).inc();
    }

    /// A connection was refused for its address.
    pub fn source_denied(&self, network: &str) {
        self.sources_denied.with_label_values(&[network]).inc();
    }

    /// So many users, credentials and sources end soon, or have ended.
    pub fn endings(&self, endings: &Endings) {
        let Endings { users, credentials, sources } = endings;
        for (what, ends) in [("user", users), ("credential", credentials), ("source", sources)] {
            self.endings.with_label_values(&[what, "soon"]).set(f64::from(ends.soon));
            self.endings.with_label_values(&[what, "ended"]).set(f64::from(ends.ended));
        }
    }

    /// The series of statements that ran so and ended so.
    fn series(&self, kind: &'static str, end: &'static str) -> Series {
        Series {
            kind,
            end,
            count: self.statements.with_label_values(&["allowed", kind, end]),
            latency: self.latency.with_label_values(&[kind]),
        }
    }

    /// A statement was refused.
    pub fn refused(&self, rule: &str, kind: &str) {
        self.statements.with_label_values(&["refused", kind, "refused"]).inc();
        self.refusals.with_label_values(&[rule]).inc();
    }

    /// A statement was answered and not forwarded.
    pub fn absorbed(&self, kind: &str) {
        self.statements.with_label_values(&["absorbed", kind, "ok"]).inc();
    }

    /// A session on the replica was opened, or not.
    pub fn replica_opened(&self, opened: &Result<ReplicaSession, ReplicaFault>) {
        let (result, up) = match opened {
            Ok(_) => ("ok", 1.0),
            Err(fault @ ReplicaFault::Schema(_)) => (fault.label(), 1.0),
            Err(fault) => (fault.label(), 0.0),
        };
        self.replica_opens.with_label_values(&[result]).inc();
        self.replica_up.set(up);
    }

    /// Rights of the account and read-only state of the replica were asked.
    pub fn checked(&self, account_only_reads: bool, replica_is_read_only: bool) {
        let ok = |is_ok| if is_ok { 1.0 } else { 0.0 };
        self.replica_checks.with_label_values(&["account_rights"]).set(ok(account_only_reads));
        self.replica_checks.with_label_values(&["read_only"]).set(ok(replica_is_read_only));
    }

    /// Whether the replica took the last session.
    pub fn replica_is_up(&self) -> bool {
        self.replica_up.get() > 0.0
    }

    /// The ledger could not take a record.
    pub fn ledger_fault(&self) {
        self.ledger_faults.inc();
    }

    /// A reload was tried.
    pub fn reloaded(&self, result: &str) {
        self.reloads.with_label_values(&[result]).inc();
    }

    /// All metrics as text, exposition format 0.0.4.
    pub fn render(&self, ledger_is_up: bool) -> Result<String, prometheus::Error> {
        self.ledger_up.set(if ledger_is_up { 1.0 } else { 0.0 });
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Statements that a session ran. Keeps the few series it has touched: finding them by their
/// labels for each statement costs more than counting.
#[derive(Debug, Default)]
pub struct Tally(Vec<Series>);

#[derive(Debug)]
struct Series {
    kind: &'static str,
    end: &'static str,
    count: IntCounter,
    latency: Histogram,
}

impl Tally {
    /// A statement ran.
    pub fn ran(&mut self, to: &Metrics, kind: &'static str, end: &'static str, took: Duration) {
        let known = self.0.iter().position(|series| series.kind == kind && series.end == end);
        let at = known.unwrap_or_else(|| {
            self.0.push(to.series(kind, end));
            self.0.len() - 1
        });
        if let Some(series) = self.0.get(at) {
            series.count.inc();
            series.latency.observe(took.as_secs_f64());
        }
    }
}
