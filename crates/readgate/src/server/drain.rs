//! The end: no new connections, statements under way finish within a limit, then the rest
//! is cut.
use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::daemon::Daemon;
use crate::registry::{Order, Reason};

/// Sessions told to end at once, connections that close and statements that are ended at the
/// replica have this long.
const END_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at who is left.
const LOOK: Duration = Duration::from_millis(20);

/// Lets statements finish, for as long as `limit` and until `impatient` is ready; then ends
/// what is left.
pub(super) async fn drain(daemon: &Daemon, limit: Duration, impatient: impl Future<Output = ()>) {
    let finish = || daemon.registry.order_all(Order::FinishAndEnd(Reason::Shutdown), |_| true);
    let sessions = finish();
    let limit_seconds = limit.as_secs();
    tracing::info!(sessions, limit_seconds, "stopping: sessions finish their statement");
    let all_finish = async {
        while !daemon.registry.is_empty() {
            // Who was about to log in when it began is told as well.
            finish();
            sleep(LOOK).await;
        }
    };
    let is_done = tokio::select! {
        finished = timeout(limit, all_finish) => finished.is_ok(),
        () = impatient => false,
    };
    if !is_done {
        let cut = daemon.registry.order_all(Order::EndNow(Reason::Shutdown), |_| true);
        tracing::warn!(sessions = cut, "stopping: sessions are cut");
    }
    // Connections close after their session has ended: the last words count too, and what the
    // replica is told.
    let is_open = || !daemon.registry.is_empty() || daemon.metrics.open_connections() > 0;
    let closing = async {
        while is_open() || daemon.kills() {
            finish();
            sleep(LOOK).await;
        }
    };
    let _ = timeout(END_LIMIT, closing).await;
}
