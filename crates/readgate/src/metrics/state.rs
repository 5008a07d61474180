//! What is so at this moment, read when somebody asks: sessions, pool, ledger, what expires,
//! configuration, replica.
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use access::Endings;
use prometheus::{Gauge, GaugeVec, IntCounter, IntGauge};
use serde_json::{Value, json};

use super::feeds::FeedGauges;
use super::ledger::LedgerGauges;
use super::make::Maker;
use super::shipping::ShippingGauges;
use crate::daemon::Daemon;
use crate::log;
use crate::tls::expiry::{CertificateEnd, LISTS};

/// Gauges of the daemon's state.
pub struct State {
    sessions: GaugeVec,
    pool: GaugeVec,
    pool_waiting: IntGauge,
    pool_limit: IntGauge,
    endings: GaugeVec,
    identities: GaugeVec,
    certificates: GaugeVec,
    lists: GaugeVec,
    ends: Mutex<Vec<CertificateEnd>>,
    known_lag: Mutex<Option<f64>>,
    ledger: LedgerGauges,
    config: ConfigState,
    replica: ReplicaState,
    feeds: FeedGauges,
    shipping: ShippingGauges,
    log_lost: IntCounter,
}

struct ConfigState {
    generation: IntGauge,
    pending: IntGauge,
    info: GaugeVec,
    loaded: Gauge,
    last_ok: Gauge,
}

struct ReplicaState {
    info: GaugeVec,
    lag: GaugeVec,
    behind: Gauge,
}

impl State {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            sessions: make.gauges(
                "readgate_sessions",
                "Sessions at this moment, by user and role; users beyond ops.user_labels as other.",
                &["user", "role"],
            )?,
            pool: make.gauges(
                "readgate_pool_connections",
                "Connections to the replica: in use by sessions, or warm and waiting for one.",
                &["state"],
            )?,
            pool_waiting: make.count(
                "readgate_pool_waiting_clients",
                "Logins that wait for a connection to the replica.",
            )?,
            pool_limit: make.count(
                "readgate_pool_limit_connections",
                "Most connections to the replica at a time (replica.connections).",
            )?,
            endings: make.gauges(
                "readgate_access_ending",
                "Users, credentials and sources that end within credentials.warn_before \
                 (soon), or have ended while still listed (ended).",
                &["what", "state"],
            )?,
            identities: make.gauges(
                "readgate_identities_up",
                "1 if the store of users answered when it was last asked, else 0; no series without one.",
                &[],
            )?,
            certificates: make.gauges(
                "readgate_certificate_expiry_timestamp_seconds",
                "When the first certificate of a file in use expires, by use and name.",
                &["use", "name"],
            )?,
            lists: make.gauges(
                "readgate_revocation_list_expiry_timestamp_seconds",
                "When the first list of revoked client certificates in use ends, by listener: from then on none is taken there.",
                &["listener"],
            )?,
            ends: Mutex::default(),
            known_lag: Mutex::default(),
            ledger: LedgerGauges::new(make)?,
            config: ConfigState::new(make)?,
            replica: ReplicaState::new(make)?,
            feeds: FeedGauges::new(make)?,
            shipping: ShippingGauges::new(make)?,
            log_lost: make.counter(
                "readgate_log_lost_lines_total",
                "Lines of the log that nobody took: standard error hung, or couldn't be written.",
            )?,
        })
    }

    /// Reads the daemon's state.
    pub fn take(&self, daemon: &Daemon) {
        self.sessions(daemon);
        let pool = daemon.pool.state();
        self.pool.with_label_values(&["in_use"]).set(number(pool.in_use as u64));
        self.pool.with_label_values(&["warm"]).set(number(pool.warm as u64));
        self.pool_waiting.set(i64::try_from(pool.waiting).unwrap_or(i64::MAX));
        self.pool_limit.set(i64::try_from(pool.limit).unwrap_or(i64::MAX));
        let live = daemon.live();
        self.config.pending.set(i64::try_from(live.pending.len()).unwrap_or(i64::MAX));
        self.endings(&live.endings());
        if let Some(directory) = &daemon.directory {
            let up = f64::from(u8::from(directory.answers()));
            self.identities.with_label_values::<&str>(&[]).set(up);
        }
        let ledger = daemon.ledger.health();
        self.ledger.take(&ledger);
        self.shipping.take(daemon, ledger.last_sequence);
        self.replica.version(daemon);
        self.feeds.take(daemon);
        grow(&self.log_lost, log::lost());
    }

    fn sessions(&self, daemon: &Daemon) {
        let mut counts = BTreeMap::<(String, String), u32>::new();
        daemon.registry.each(|_, card| {
            let user = daemon.metrics.statements.label(&card.user).to_owned();
            *counts.entry((user, card.named.user().role.name.clone())).or_default() += 1;
        });
        self.sessions.reset();
        for ((user, role), count) in counts {
            self.sessions.with_label_values(&[&user, &role]).set(f64::from(count));
        }
    }

    fn endings(&self, endings: &Endings) {
        let Endings { users, credentials, sources } = endings;
        for (what, ends) in [("user", users), ("credential", credentials), ("source", sources)] {
            self.endings.with_label_values(&[what, "soon"]).set(f64::from(ends.soon));
            self.endings.with_label_values(&[what, "ended"]).set(f64::from(ends.ended));
        }
    }

    /// A configuration has come into force.
    pub fn config_in_force(&self, hash: &str, certificates: &[CertificateEnd]) {
        self.config.generation.inc();
        self.config.info.reset();
        self.config.info.with_label_values(&[hash]).set(1.0);
        self.config.loaded.set(seconds(SystemTime::now()));
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = certificates.to_vec();
        self.certificates.reset();
        self.lists.reset();
        for CertificateEnd { what, name, not_after } in certificates {
            let end = match *what {
                LISTS => self.lists.with_label_values(&[name]),
                what => self.certificates.with_label_values(&[what, name]),
            };
            end.set(*not_after as f64);
        }
    }

    /// When certificates of files in use expire.
    pub fn certificate_ends(&self) -> Vec<Value> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |CertificateEnd { what, name, not_after }: &CertificateEnd| json!({ "what": what, "name": name, "not_after": not_after });
        ends.iter().map(one).collect()
    }

    /// The same, for those who judge them.
    pub fn certificates(&self) -> Vec<CertificateEnd> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How far the replica is behind, in seconds, if that is known.
    pub fn lag(&self) -> Option<f64> {
        *self.known_lag.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A configuration was taken, or refused.
    pub fn config_tried(&self, taken: bool) {
        self.config.last_ok.set(f64::from(u8::from(taken)));
    }

    /// How far the replica is behind, if that is known, and whether that is too far.
    pub fn replica_lag(&self, replica: &str, lag: Option<f64>, is_behind: bool) {
        *self.known_lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
        self.replica.lag.reset();
        if let Some(lag) = lag {
            self.replica.lag.with_label_values(&[replica]).set(lag);
        }
        self.replica.behind.set(f64::from(u8::from(is_behind)));
    }
}

impl ConfigState {
    fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            generation: make.count(
                "readgate_config_generation",
                "Configurations that have come into force since the start.",
            )?,
            pending: make.count(
                "readgate_config_pending_keys",
                "Keys of the configuration in force that don't count before the next start.",
            )?,
            info: make.gauges(
                "readgate_config_info",
                "1, with the SHA-256 of the configuration in force as label.",
                &["hash"],
            )?,
            loaded: make.gauge(
                "readgate_config_last_load_timestamp_seconds",
                "When the configuration in force was taken.",
            )?,
            last_ok: make.gauge(
                "readgate_config_last_reload_ok",
                "1 if the last configuration that was read is in force, 0 if it was refused.",
            )?,
        })
    }
}

impl ReplicaState {
    fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            info: make.gauges(
                "readgate_replica_info",
                "1, with the replica's name and version as labels.",
                &["replica", "version"],
            )?,
            lag: make.gauges(
                "readgate_replica_lag_seconds",
                "How far the replica is behind its source; no series while that is unknown.",
                &["replica"],
            )?,
            behind: make.gauge(
                "readgate_replica_behind",
                "1 if the replica is further behind than replica.max_lag, or that can't be told.",
            )?,
        })
    }

    fn version(&self, daemon: &Daemon) {
        let target = &daemon.pool.target;
        let Some(profile) = target.profile.load_full() else { return };
        let version: String =
            String::from_utf8_lossy(&profile.version_text).chars().take(80).collect();
        self.info.reset();
        self.info.with_label_values(&[&target.name, &version]).set(1.0);
    }
}

pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// To what somebody else has counted.
pub(super) fn grow(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// Counts beyond 2^53 lose their last digits, which no reader of a gauge misses.
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
