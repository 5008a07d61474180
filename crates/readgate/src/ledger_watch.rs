//! Says in the log when the ledger stops taking records, and when it takes them again: nobody is
//! served meanwhile.
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;

/// The ledger's health is looked at this often.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks for as long as the daemon runs.
pub async fn watch(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_well = true;
    loop {
        ticks.tick().await;
        let fault = daemon.ledger.health().fault;
        match &fault {
            Some(why) if is_well => {
                tracing::error!(%why, "the ledger takes no records: nothing is forwarded");
            }
            None if !is_well => tracing::info!("the ledger takes records again"),
            Some(_) | None => {}
        }
        is_well = fault.is_none();
    }
}
