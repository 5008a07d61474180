//! What the threads that ship are told, and their rest between two looks.
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What threads are told.
#[derive(Default)]
pub(super) struct Orders {
    order: Mutex<Order>,
    told: Condvar,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    GoOn,
    /// To end when what is there has gone out.
    Finish,
    /// To end now: others take over.
    Leave,
}

impl Orders {
    pub(super) fn tell(&self, order: Order) {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.told.notify_all();
    }

    pub(super) fn now(&self) -> Order {
        *self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits that long, or until there is an order.
    pub(super) fn rest(&self, most: Duration) {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_timeout_while(order, most, |order| *order == Order::GoOn));
    }
}
