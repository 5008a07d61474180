//! Gauges of deliveries.
use access::Timestamp;
use prometheus::GaugeVec;

use super::make::Maker;
use crate::daemon::Daemon;
use crate::feeds::FeedState;

pub(super) struct FeedGauges {
    state: GaugeVec,
    age: GaugeVec,
    arrived: GaugeVec,
    due: GaugeVec,
}

impl FeedGauges {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            state: make.gauges(
                "readgate_feed_state",
                "1 for the state that a feed is in, 0 for the others: waiting, fresh, late, \
                 missing, malformed, unknown.",
                &["feed", "state"],
            )?,
            age: make.gauges(
                "readgate_feed_age_seconds",
                "Time since a feed's newest delivery; no series if there is none.",
                &["feed"],
            )?,
            arrived: make.gauges(
                "readgate_feed_arrival_timestamp_seconds",
                "When a feed's newest delivery came; no series if there is none.",
                &["feed"],
            )?,
            due: make.gauges(
                "readgate_feed_due_timestamp_seconds",
                "By when a feed's delivery must be there: one that is missed, or the next.",
                &["feed"],
            )?,
        })
    }

    pub(super) fn take(&self, daemon: &Daemon) {
        for gauge in [&self.state, &self.age, &self.arrived, &self.due] {
            gauge.reset();
        }
        let now = Timestamp::now();
        for (feed, standing) in daemon.feeds.all() {
            let name = feed.name.as_str();
            for state in FeedState::ALL {
                let is_it = f64::from(u8::from(state == standing.state));
                self.state.with_label_values(&[name, state.name()]).set(is_it);
            }
            if let Some(arrived) = standing.arrived {
                let age = now.duration_since(arrived).as_secs_f64();
                self.age.with_label_values(&[name]).set(age.max(0.0));
                self.arrived.with_label_values(&[name]).set(arrived.as_second() as f64);
            }
            if let Some(due) = standing.due {
                self.due.with_label_values(&[name]).set(due.as_second() as f64);
            }
        }
    }
}
