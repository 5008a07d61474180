//! SIGHUP: reads the configuration again. A valid one comes into force as a whole and
//! live sessions are checked against it; an invalid one changes nothing.
use std::path::Path;
use std::sync::Arc;

use access::{Arrival, Timestamp};
use config::Config;
use ledger::Event;

use crate::daemon::{Daemon, Live};
use crate::registry::{Entry, Order, Reason};

/// Reloads, records the result, and ends the sessions that are no longer allowed.
pub async fn reload(daemon: &Arc<Daemon>, path: &Path) {
    let loaded = Config::load(path).map_err(|error| error.to_string());
    let result = loaded.and_then(|(config, hash)| {
        daemon.put_in_force(&config, &hash).map_err(|fault| fault.to_string())?;
        Ok(hash)
    });
    match result {
        Ok(hash) => {
            let live = daemon.live();
            let revoked = Order::EndNow(Reason::Revoked);
            let ended = daemon.registry.order_all(revoked, |entry| !still_allowed(&live, entry));
            daemon.metrics.reloaded("ok");
            tracing::info!(hash = hash.as_str(), ended, "configuration reloaded");
            let result = format!("in force, {ended} sessions ended");
            let event = Event::ConfigLoad { config_hash: hash.as_str(), result: &result };
            daemon.record(&event).await;
        }
        Err(why) => {
            daemon.metrics.reloaded("refused");
            tracing::error!(why, "configuration refused; the one in force stays");
            let hash = &daemon.live().config_hash;
            daemon.record(&Event::ConfigLoad { config_hash: hash, result: &why }).await;
        }
    }
}

fn still_allowed(live: &Live, entry: &Entry) -> bool {
    let Some(door) = live.door(&entry.listener) else { return false };
    let arrival = Arrival {
        source: entry.named.source().clone(),
        networks: &live.sources,
        encrypted: entry.encrypted,
        now: Timestamp::now(),
    };
    entry.named.recheck(&live.users, &door.sources, &arrival).is_ok()
}
