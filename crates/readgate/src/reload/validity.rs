//! What ends by the clock: a user's or a source's last day, a credential. Sessions end with it,
//! not with the next reload.
use std::sync::Arc;
use std::time::Duration;

use access::Timestamp;
use tokio::time::sleep;

use super::end_the_revoked;
use crate::daemon::Daemon;

/// The clock may be set, and a machine may sleep: it is looked at this often anyway.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Waits for the next end, and for changes of when that is, as long as the daemon runs.
pub async fn watch(daemon: Arc<Daemon>) {
    // What ended before was looked at: nothing between two looks is left out.
    let mut seen = Timestamp::now();
    loop {
        let next = daemon.live().next_end(seen);
        loop {
            let now = Timestamp::now();
            if next.is_some_and(|end| end <= now) {
                seen = now;
                let ended = end_the_revoked(&daemon);
                tracing::info!(ended, "a validity has ended");
                break;
            }
            let left = next.and_then(|end| Duration::try_from(end.duration_since(now)).ok());
            tokio::select! {
                () = sleep(left.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)) => {}
                () = daemon.validities_changed.notified() => break,
            }
        }
    }
}
