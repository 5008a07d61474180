//! Deadlines for what is nearly always done at once: a timer is set only for what isn't.
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Like [`timeout`], but a future that is ready when first asked costs no look at the clock.
/// The time counts from then.
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work = pin!(work);
    let at_once = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    match at_once {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(limit, work).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_comes_back_and_what_never_is_runs_out_of_time() {
        assert_eq!(within(Duration::ZERO, ready(7)).await.unwrap(), 7);
        let later = tokio::time::sleep(Duration::from_secs(1));
        assert!(within(Duration::from_secs(2), later).await.is_ok());
        assert!(within(Duration::from_secs(2), pending::<()>()).await.is_err());
    }
}
