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
    let mut looked = Looked(Timestamp::now());
    loop {
        let live = daemon.live();
        match looked.again(Timestamp::now(), |since| live.next_end(since)) {
            None => {
                let ended = end_the_revoked(&daemon);
                tracing::info!(ended, "a validity has ended");
            }
            Some(left) => tokio::select! {
                () = sleep(left.min(LONGEST_WAIT)) => {}
                () = daemon.validities_changed.notified() => {}
            },
        }
    }
}

/// When it was last looked at who has ended: nothing between two looks is left out.
struct Looked(Timestamp);

impl Looked {
    /// How long the next end is away; `None`: one has come since the last look.
    fn again(
        &mut self,
        now: Timestamp,
        next_end: impl FnOnce(Timestamp) -> Option<Timestamp>,
    ) -> Option<Duration> {
        // Where the clock was set back, what had ended before has yet to end.
        self.0 = self.0.min(now);
        let Some(end) = next_end(self.0) else { return Some(LONGEST_WAIT) };
        if end <= now {
            self.0 = now;
            return None;
        }
        Some(Duration::try_from(end.duration_since(now)).unwrap_or(LONGEST_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_comes_once_and_again_where_the_clock_was_set_back() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let next_end = |since| (since < at(100)).then(|| at(100));
        let mut looked = Looked(at(10));
        assert_eq!(looked.again(at(90), next_end), Some(Duration::from_secs(10)));
        assert_eq!(looked.again(at(500), next_end), None);
        assert_eq!(looked.again(at(501), next_end), Some(LONGEST_WAIT));
        assert_eq!(looked.again(at(80), next_end), Some(Duration::from_secs(20)));
        assert_eq!(looked.again(at(100), next_end), None);
    }
}
