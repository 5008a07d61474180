//! Gauges of the ledger's copies on their way elsewhere.
use prometheus::GaugeVec;

use super::make::Maker;
use super::state::number;
use crate::daemon::Daemon;

pub(super) struct ShippingGauges {
    up: GaugeVec,
    unshipped: GaugeVec,
    last_arrival: GaugeVec,
}

impl ShippingGauges {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            up: make.gauges(
                "readgate_shipping_up",
                "1 if the last try to send went well, else 0; by receiver: stdout, syslog, webhook.",
                &["to"],
            )?,
            unshipped: make.gauges(
                "readgate_shipping_unshipped_records",
                "Records that are not known to have reached a receiver; of syslog those of the \
                 last 15 to 20 s are always among them.",
                &["to"],
            )?,
            last_arrival: make.gauges(
                "readgate_shipping_last_arrival_timestamp_seconds",
                "When a receiver last got something; 0 before the first time since the start.",
                &["to"],
            )?,
        })
    }

    pub(super) fn take(&self, daemon: &Daemon, newest: u64) {
        for gauge in [&self.up, &self.unshipped, &self.last_arrival] {
            gauge.reset();
        }
        for (to, standing) in daemon.shipping.standings() {
            self.up.with_label_values(&[to]).set(f64::from(u8::from(standing.is_well())));
            self.last_arrival.with_label_values(&[to]).set(number(standing.last_arrival()));
            if let Some(unshipped) = standing.unshipped(newest) {
                self.unshipped.with_label_values(&[to]).set(number(unshipped));
            }
        }
    }
}
