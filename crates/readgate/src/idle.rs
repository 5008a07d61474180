//! How long a session has been idle. One timer for the whole session, moved only when it
//! fires: a timer set and cancelled for each command costs more than judging it.
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Fires when nothing has come for too long.
#[derive(Debug, Default)]
pub struct IdleTimer(Option<Pin<Box<Sleep>>>);

impl IdleTimer {
    /// Waits until `limit` has passed since this call.
    pub async fn pass(&mut self, limit: Duration) {
        let due = Instant::now() + limit;
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            // Set for an earlier command, it may fire early but never late.
            timer.as_mut().await;
            if Instant::now() >= due {
                return;
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_of_an_earlier_command_does_not_end_a_later_one() {
        let mut timer = IdleTimer::default();
        let limit = Duration::from_secs(10);
        let begin = Instant::now();
        for _ in 0..3 {
            let heard = tokio::time::timeout(Duration::from_secs(7), timer.pass(limit)).await;
            assert!(heard.is_err(), "fired after 7 s of 10");
        }
        timer.pass(limit).await;
        assert_eq!(begin.elapsed().as_secs(), 31);
    }
}
