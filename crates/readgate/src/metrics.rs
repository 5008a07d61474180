//! Counters in Prometheus' terms. Label values come from closed sets; no text of a client
//! becomes a label, and of users only so many as config says.
mod feeds;
mod ledger;
mod make;
mod reference;
mod shipping;
mod sliced;
pub mod state;
pub mod tally;
mod totals;

use std::sync::{Mutex, PoisonError};

use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder,
    proto::MetricFamily,
};

use crate::daemon::Daemon;
use crate::replica::account::Account;
use crate::replica::{ReplicaFault, ReplicaSession};
use make::{Described, Maker};
use sliced::Count;
use state::State;
use tally::Statements;

/// All metrics of the daemon.
pub struct Metrics {
    registry: Registry,
    /// Statements, by kind and by user.
    pub statements: Statements,
    /// What is so at this moment.
    pub state: State,
    connections: IntCounterVec,
    open_connections: IntGauge,
    logins: IntCounterVec,
    sources_denied: IntCounterVec,
    bytes_received: Count,
    bytes_sent: Count,
    replica_opens: IntCounterVec,
    /// Idle sessions that have lent their connection to the replica.
    pub sessions_without_connection: IntGauge,
    /// How often such a session has got one again.
    pub connections_borrowed: IntCounter,
    replica_up: Gauge,
    replica_checks: GaugeVec,
    ledger_faults: IntCounter,
    reloads: IntCounterVec,
    notices: IntCounterVec,
    /// Two readers at a time would see each other's half-made state.
    gathering: Mutex<()>,
    /// For the reference.
    described: Vec<Described>,
}

impl Metrics {
    /// Makes all metrics.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let make = Maker::new(&registry);
        make.gauges("readgate_build_info", "1, with the version as label.", &["version"])?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        let client_bytes = make.counts(
            "readgate_client_bytes_total",
            "Bytes exchanged with clients, before TLS.",
            &["direction"],
        )?;
        let mut metrics = Self {
            statements: Statements::new(&make)?,
            state: State::new(&make)?,
            connections: make.counters(
                "readgate_connections_total",
                "Client connections that ended, by how.",
                &["ending"],
            )?,
            open_connections: make
                .count("readgate_connections_open", "Client connections at this moment.")?,
            logins: make.counters("readgate_logins_total", "Logins, by result.", &["result"])?,
            sources_denied: make.counters(
                "readgate_sources_denied_total",
                "Connections refused for their address, by network; those seen late as other.",
                &["network"],
            )?,
            bytes_received: client_bytes.with_label_values(&["received"]),
            bytes_sent: client_bytes.with_label_values(&["sent"]),
            replica_opens: make.counters(
                "readgate_replica_opens_total",
                "Attempts to open a session on the replica, by result.",
                &["result"],
            )?,
            sessions_without_connection: make.count(
                "readgate_sessions_without_connection",
                "Idle sessions that have lent their connection to the replica (replica.share_idle).",
            )?,
            connections_borrowed: make.counter(
                "readgate_connections_borrowed_total",
                "How often a session that had lent its connection got one for its next command.",
            )?,
            replica_up: make
                .gauge("readgate_replica_up", "1 if the replica took the last session, or only had no room for it, or refused a role's account; else 0.")?,
            replica_checks: make.gauges(
                "readgate_replica_check_ok",
                "1 if the accounts only read, or the replica is read-only; else 0.",
                &["check"],
            )?,
            ledger_faults: make.counter(
                "readgate_ledger_faults_total",
                "Events that the ledger could not take.",
            )?,
            reloads: make.counters(
                "readgate_config_reloads_total",
                "Reloads of the configuration, by result.",
                &["result"],
            )?,
            notices: make.counters(
                "readgate_notices_total",
                "Notices, by name and result: sent, failed, dropped.",
                &["notice", "result"],
            )?,
            gathering: Mutex::default(),
            registry: registry.clone(),
            described: Vec::new(),
        };
        metrics.described = make.finish();
        Ok(metrics)
    }

    /// A connection was accepted, and is open for as long as this is kept: also where the system lets
    /// no worker wait for its socket.
    pub fn accepted(&self) -> OpenConnection {
        self.open_connections.inc();
        OpenConnection(self.open_connections.clone())
    }

    /// A connection has ended.
    pub fn closed(&self, ending: &str) {
        self.connections.with_label_values(&[ending]).inc();
    }

    /// Client connections at this moment, those before login included.
    pub fn open_connections(&self) -> i64 {
        self.open_connections.get()
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

    /// A session on the replica was opened under that account, or not. Where the replica refuses one
    /// that some roles have, all others have their sessions.
    pub fn replica_opened(&self, opened: &Result<ReplicaSession, ReplicaFault>, account: &Account) {
        let (result, is_up) = match opened {
            Ok(_) => ("ok", Some(true)),
            Err(fault) if account.name.is_some() && fault.is_of_the_account() => {
                (fault.label(), None)
            }
            Err(fault) => (fault.label(), fault.is_up()),
        };
        self.replica_opens.with_label_values(&[result]).inc();
        if let Some(is_up) = is_up {
            self.replica_up.set(if is_up { 1.0 } else { 0.0 });
        }
    }

    /// Rights of the accounts and read-only state of the replica were asked.
    pub fn checked(&self, accounts_only_read: bool, replica_is_read_only: bool) {
        let ok = |is_ok| if is_ok { 1.0 } else { 0.0 };
        self.replica_checks.with_label_values(&["account_rights"]).set(ok(accounts_only_read));
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
        self.state.config_tried(result == "ok");
    }

    /// A notice was sent, or not.
    pub fn notice(&self, name: &str, result: &str) {
        self.notices.with_label_values(&[name, result]).inc();
    }

    /// All metrics at this moment.
    pub fn gather(&self, daemon: &Daemon) -> Vec<MetricFamily> {
        let _alone = self.gathering.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.take(daemon);
        self.registry.gather()
    }

    /// All metrics as text, exposition format 0.0.4.
    pub fn render(&self, daemon: &Daemon) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.gather(daemon))
    }
}

/// Counts a connection as open.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
