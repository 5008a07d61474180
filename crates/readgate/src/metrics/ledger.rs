//! Gauges of the ledger.
use access::Timestamp;
use ledger::LedgerHealth;
use prometheus::{Counter, Gauge, IntCounter};

use super::make::Maker;
use super::state::{grow, number, seconds};

pub(super) struct LedgerGauges {
    up: Gauge,
    refused: IntCounter,
    queued: Gauge,
    capacity: Gauge,
    open_intents: Gauge,
    last: Gauge,
    unwritten: Gauge,
    unsynced: Gauge,
    syncs: IntCounter,
    sync_time: Counter,
    last_sync: Gauge,
    last_checkpoint: Gauge,
}

impl LedgerGauges {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            up: make.gauge("readgate_ledger_up", "1 if the ledger takes records, else 0.")?,
            refused: make.counter(
                "readgate_ledger_refused_records_total",
                "Records turned away because the ledger couldn't be written.",
            )?,
            queued: make.gauge(
                "readgate_ledger_queued_bytes",
                "Bytes in the journal that are not in the ledger's files yet.",
            )?,
            capacity: make
                .gauge("readgate_ledger_capacity_bytes", "Bytes that the journal can hold.")?,
            open_intents: make.gauge(
                "readgate_ledger_open_intents",
                "Recorded statements that have not ended.",
            )?,
            last: make
                .gauge("readgate_ledger_last_sequence", "Sequence number of the newest record.")?,
            unwritten: make.gauge(
                "readgate_ledger_unwritten_records",
                "Records in the journal that are not in the ledger's files yet.",
            )?,
            unsynced: make.gauge(
                "readgate_ledger_unsynced_records",
                "Records that have not been forced to the disk yet.",
            )?,
            syncs: make.counter(
                "readgate_ledger_syncs_total",
                "How often records were forced to the disk.",
            )?,
            sync_time: make.seconds(
                "readgate_ledger_sync_seconds_total",
                "How long forcing records to the disk took, all together.",
            )?,
            last_sync: make.gauge(
                "readgate_ledger_last_sync_timestamp_seconds",
                "When records were last forced to the disk; 0 before the first time.",
            )?,
            last_checkpoint: make.gauge(
                "readgate_ledger_last_checkpoint_timestamp_seconds",
                "When the newest signed checkpoint was made; 0 before the first since the start.",
            )?,
        })
    }

    pub(super) fn take(&self, health: &LedgerHealth) {
        self.up.set(f64::from(u8::from(health.is_ok())));
        grow(&self.refused, health.refused);
        self.queued.set(number(health.queued_bytes as u64));
        self.capacity.set(number(health.capacity_bytes as u64));
        self.open_intents.set(number(health.open_intents as u64));
        self.last.set(number(health.last_sequence));
        let since = |sequence| number(health.last_sequence.saturating_sub(sequence));
        self.unwritten.set(since(health.written_sequence));
        self.unsynced.set(since(health.synced_sequence));
        grow(&self.syncs, health.syncs);
        self.sync_time.inc_by((health.sync_time.as_secs_f64() - self.sync_time.get()).max(0.0));
        self.last_sync.set(health.last_sync.map_or(0.0, seconds));
        let checkpoint = health.last_checkpoint.as_deref().and_then(time_of);
        self.last_checkpoint.set(checkpoint.unwrap_or(0.0));
    }
}

/// When a ledger's line was written.
fn time_of(line: &str) -> Option<f64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let time: Timestamp = line.get("time")?.as_str()?.parse().ok()?;
    Some(time.as_second() as f64)
}
