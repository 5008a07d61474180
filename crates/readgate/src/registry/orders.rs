//! The way to tell a session to end. A session listens twice for each statement, so listening
//! costs no lock and no allocation: two cells that are filled at most once, and a waker.
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::{Instant, timeout_at};

/// Why a session is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// None: go on.
    GoOn,
    /// End after the statement under way.
    FinishAndEnd(Reason),
    /// End at once.
    EndNow(Reason),
}

/// The reason of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// KILL CONNECTION by the same user.
    Killed,
    /// The daemon stops.
    Shutdown,
    /// The source or the user is no longer let in.
    Revoked,
    /// The session has lasted as long as its role lets it.
    SessionTime,
}

/// What one session has been told. An order is never taken back: a session told to end
/// stays so.
#[derive(Debug, Default)]
struct Told {
    finish: OnceLock<Reason>,
    now: OnceLock<Reason>,
    listener: AtomicWaker,
}

impl Told {
    fn order(&self) -> Order {
        match (self.now.get(), self.finish.get()) {
            (Some(reason), _) => Order::EndNow(*reason),
            (None, Some(reason)) => Order::FinishAndEnd(*reason),
            (None, None) => Order::GoOn,
        }
    }
}

/// Gives a session orders.
#[derive(Debug, Clone)]
pub(super) struct Voice(Arc<Told>);

impl Voice {
    /// Whether anybody has a copy besides the registry and the session itself.
    pub(super) fn is_held_elsewhere(&self) -> bool {
        Arc::strong_count(&self.0) > 2
    }

    /// Gives an order; of two of a sort the first counts.
    pub(super) fn give(&self, order: Order) {
        match order {
            Order::GoOn => return,
            Order::FinishAndEnd(reason) => drop(self.0.finish.set(reason)),
            Order::EndNow(reason) => drop(self.0.now.set(reason)),
        }
        self.0.listener.wake();
    }
}

/// A session's ear for orders. The moment at which it must end anyway is one.
#[derive(Debug)]
pub struct Orders {
    told: Arc<Told>,
    ends_at: Option<Instant>,
}

/// The two ends of a session's line. The session ends by itself after `most`.
pub(super) fn line(most: Option<Duration>) -> (Voice, Orders) {
    let told = Arc::new(Told::default());
    let ends_at = most.map(|most| Instant::now() + most);
    (Voice(Arc::clone(&told)), Orders { told, ends_at })
}

impl Orders {
    /// The order at this moment.
    pub fn current(&self) -> Order {
        match self.ends_at {
            Some(moment) if moment <= Instant::now() => Order::EndNow(Reason::SessionTime),
            Some(_) | None => self.told.order(),
        }
    }

    /// Waits until the session must end at once. One task listens, in one place at a time.
    pub async fn end_now(&self) {
        self.wait(|order| matches!(order, Order::EndNow(_))).await;
    }

    /// Waits until a session that has nothing to do must end.
    pub async fn end_when_idle(&self) {
        self.wait(|order| order != Order::GoOn).await;
    }

    async fn wait(&self, ends: impl Fn(Order) -> bool) {
        let told = &self.told;
        let given = poll_fn(|context| {
            // Listen first, then look: an order that comes in between wakes.
            told.listener.register(context.waker());
            if ends(told.order()) { Poll::Ready(()) } else { Poll::Pending }
        });
        match self.ends_at {
            None => given.await,
            Some(moment) => drop(timeout_at(moment, given).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn is_ready(future: impl Future) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn an_order_to_finish_ends_an_idle_session_and_no_statement() {
        let (voice, orders) = line(None);
        assert!(!is_ready(orders.end_when_idle()));
        voice.give(Order::FinishAndEnd(Reason::Shutdown));
        assert!(is_ready(orders.end_when_idle()) && !is_ready(orders.end_now()));
        voice.give(Order::EndNow(Reason::Killed));
        assert!(is_ready(orders.end_now()));
        voice.give(Order::FinishAndEnd(Reason::Revoked));
        assert_eq!(orders.current(), Order::EndNow(Reason::Killed));
    }

    #[tokio::test]
    async fn an_order_wakes_a_session_that_waits() {
        let (voice, orders) = line(None);
        let waiting = tokio::spawn(async move {
            orders.end_now().await;
            orders.current()
        });
        tokio::task::yield_now().await;
        voice.give(Order::EndNow(Reason::Revoked));
        assert_eq!(waiting.await.unwrap(), Order::EndNow(Reason::Revoked));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_when_its_time_is_over() {
        let (_voice, orders) = line(Some(Duration::from_secs(3)));
        let begin = Instant::now();
        orders.end_now().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(3));
        assert_eq!(orders.current(), Order::EndNow(Reason::SessionTime));
    }
}
