//! How long a session has been idle, or a statement under way. One timer for the whole session,
//! moved only when it fires: a timer set and cancelled for each command costs more than judging it.
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// After this long without a command a session gives its buffers back.
const NAP: Duration = Duration::from_secs(2);

/// Tells when nothing has come for a while, and for too long.
#[derive(Debug, Default)]
pub struct IdleTimer(Option<Pin<Box<Sleep>>>);

/// One wait for a command.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    began: Instant,
    limit: Duration,
    napping: bool,
    /// When to share, until it has been told.
    share: Option<Duration>,
}

/// What a wait has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Nothing for a while; comes once in a wait.
    Nap,
    /// Others could use the session's connection meanwhile; comes once in a wait.
    Share,
    /// The limit has passed.
    Over,
}

impl Wait {
    /// A wait that begins now.
    pub fn begin(limit: Duration) -> Self {
        Self { began: Instant::now(), limit, napping: limit <= NAP, share: None }
    }

    /// The same with a moment at which to share, if that comes before the limit.
    #[must_use]
    pub fn sharing_after(mut self, share: Option<Duration>) -> Self {
        self.share = share.filter(|share| *share < self.limit);
        self
    }

    /// What the wait comes to next, and after how long.
    fn next(&self) -> (Duration, Idle) {
        let pending = if self.napping { (self.limit, Idle::Over) } else { (NAP, Idle::Nap) };
        match self.share {
            Some(share) if share <= pending.0 => (share, Idle::Share),
            Some(_) | None => pending,
        }
    }

    fn has_come_to(&mut self, what: Idle) {
        match what {
            Idle::Nap => self.napping = true,
            Idle::Share => self.share = None,
            Idle::Over => {}
        }
    }
}

impl IdleTimer {
    /// Waits for the next thing that a wait comes to.
    pub async fn pass(&mut self, wait: &mut Wait) -> Idle {
        let (after, what) = wait.next();
        self.until(wait.began + after).await;
        wait.has_come_to(what);
        what
    }

    /// Waits for a moment. Of one session nothing else waits meanwhile.
    pub async fn until(&mut self, due: Instant) {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // Set for an earlier wait, it may fire early; set for a nap, it must not fire late.
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
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

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_session_naps_once_and_is_over_at_its_limit() {
        let (mut timer, begin) = (IdleTimer::default(), Instant::now());
        let mut wait = Wait::begin(LIMIT);
        assert_eq!((timer.pass(&mut wait).await, begin.elapsed().as_secs()), (Idle::Nap, 2));
        assert_eq!((timer.pass(&mut wait).await, begin.elapsed().as_secs()), (Idle::Over, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_of_an_earlier_command_does_not_end_a_later_one() {
        let (mut timer, begin) = (IdleTimer::default(), Instant::now());
        for _ in 0..3 {
            let mut wait = Wait::begin(LIMIT);
            assert_eq!(timer.pass(&mut wait).await, Idle::Nap);
            let heard = tokio::time::timeout(Duration::from_secs(5), timer.pass(&mut wait)).await;
            assert!(heard.is_err(), "fired after 7 s of 10");
        }
        let mut wait = Wait::begin(LIMIT);
        assert_eq!((timer.pass(&mut wait).await, begin.elapsed().as_secs()), (Idle::Nap, 23));
        assert_eq!((timer.pass(&mut wait).await, begin.elapsed().as_secs()), (Idle::Over, 31));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_comes_to_sharing_once_before_or_after_its_nap() {
        for (share, first) in [(1, Idle::Share), (5, Idle::Nap)] {
            let (mut timer, begin) = (IdleTimer::default(), Instant::now());
            let mut wait = Wait::begin(LIMIT).sharing_after(Some(Duration::from_secs(share)));
            let told = [timer.pass(&mut wait).await, timer.pass(&mut wait).await];
            assert!(told[0] == first && told.contains(&Idle::Share), "{told:?}");
            assert_eq!(begin.elapsed().as_secs(), share.max(2));
            assert_eq!((timer.pass(&mut wait).await, begin.elapsed().as_secs()), (Idle::Over, 10));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_shorter_than_a_nap_is_kept() {
        let (mut timer, begin) = (IdleTimer::default(), Instant::now());
        let mut wait = Wait::begin(Duration::from_secs(1));
        assert_eq!((timer.pass(&mut wait).await, begin.elapsed().as_secs()), (Idle::Over, 1));
    }
}
