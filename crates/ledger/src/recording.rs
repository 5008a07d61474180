//! What a caller waits on until its record counts, and the proof that an intent does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::encode;
use crate::entry::Kind;
use crate::fault::LedgerFault;
use crate::shared::{Class, Denied, SharedHandle};

/// Proof that a statement's intent is recorded; forwarding demands it. Only the ledger
/// makes one. Dropped without an outcome it leaves an outcome `abandoned`.
#[derive(Debug)]
#[must_use = "an intent without an outcome is recorded as abandoned"]
pub struct IntentRecorded {
    sequence: u64,
    /// `None` once the outcome is recorded.
    open: Option<Open>,
}

struct Open(SharedHandle);

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Open")
    }
}

impl IntentRecorded {
    /// The record's sequence number: what a later execution or search refers to.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The outcome is recorded: nothing is left to be told.
    pub(crate) fn close(mut self) {
        self.open = None;
    }
}

impl Drop for IntentRecorded {
    fn drop(&mut self) {
        let Some(Open(shared)) = self.open.take() else {
            return;
        };
        let mut body = Vec::with_capacity(64);
        encode::abandoned(&mut body, self.sequence);
        // Room for it was kept; only a closed ledger refuses, and then the next start
        // finds the intent open.
        let _ = shared.append(Class::Outcome, Kind::Record, &body);
    }
}

/// What a record's sequence turns into for its caller.
pub trait Recorded: Sized + Send + Unpin + 'static + sealed::FromSequence {}

impl Recorded for u64 {}
impl Recorded for IntentRecorded {}

pub(crate) mod sealed {
    use super::{IntentRecorded, Open, SharedHandle};

    pub trait FromSequence {
        #[doc(hidden)]
        fn from_sequence(sequence: u64, shared: Handle<'_>) -> Self;
    }

    /// Hides the shared state from the public trait.
    pub struct Handle<'a>(pub(crate) &'a SharedHandle);

    impl FromSequence for u64 {
        fn from_sequence(sequence: u64, _: Handle<'_>) -> Self {
            sequence
        }
    }

    impl FromSequence for IntentRecorded {
        fn from_sequence(sequence: u64, shared: Handle<'_>) -> Self {
            Self { sequence, open: Some(Open(SharedHandle::clone(shared.0))) }
        }
    }
}

/// Ready when the record counts as recorded; usually at once. Needs no runtime.
#[must_use = "a record counts only once its recording is ready"]
pub struct Recording<T: Recorded>(Step<T>);

enum Step<T> {
    Done(Option<Result<T, LedgerFault>>),
    /// The journal was full; the body waits here.
    Room {
        shared: SharedHandle,
        class: Class,
        body: Vec<u8>,
    },
    /// In the journal, not on the disk yet.
    Disk {
        shared: SharedHandle,
        sequence: u64,
        value: Option<T>,
    },
}

impl<T: Recorded> Recording<T> {
    pub(crate) fn fault(fault: LedgerFault) -> Self {
        Self(Step::Done(Some(Err(fault))))
    }

    pub(crate) fn start(shared: &SharedHandle, class: Class, body: &[u8]) -> Self {
        match shared.append(class, Kind::Record, body) {
            Ok(sequence) => Self(Self::taken(shared, sequence)),
            Err(Denied::Fault(fault)) => Self::fault(fault),
            Err(Denied::NoRoom | Denied::OutOfReach) => {
                Self(Step::Room { shared: shared.clone(), class, body: body.to_vec() })
            }
        }
    }

    /// A record that was taken.
    pub(crate) fn of(shared: &SharedHandle, sequence: u64) -> Self {
        Self(Self::taken(shared, sequence))
    }

    /// Whether the record is in the journal.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self.0, Step::Done(Some(Ok(_))) | Step::Disk { .. })
    }

    fn taken(shared: &SharedHandle, sequence: u64) -> Step<T> {
        let value = T::from_sequence(sequence, sealed::Handle(shared));
        if shared.each() {
            Step::Disk { shared: shared.clone(), sequence, value: Some(value) }
        } else {
            Step::Done(Some(Ok(value)))
        }
    }

    /// Waits in this thread. Not for tasks of a runtime.
    pub fn wait(mut self) -> Result<T, LedgerFault> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        if let Step::Done(Some(result)) = self.0 {
            return result;
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        loop {
            match Pin::new(&mut self).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Recording<IntentRecorded> {
    /// The sequence, if the record is in the journal.
    pub(crate) fn intent_sequence(&self) -> Option<u64> {
        match &self.0 {
            Step::Done(Some(Ok(intent))) => Some(intent.sequence),
            Step::Disk { sequence, .. } => Some(*sequence),
            Step::Done(_) | Step::Room { .. } => None,
        }
    }
}

impl<T: Recorded> Future for Recording<T> {
    type Output = Result<T, LedgerFault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match &mut self.0 {
                Step::Done(result) => {
                    let polled_again = || Err(LedgerFault::new("the recording was already taken"));
                    return Poll::Ready(result.take().unwrap_or_else(polled_again));
                }
                Step::Room { shared, class, body } => {
                    match shared.append(*class, Kind::Record, body) {
                        Ok(sequence) => Self::taken(shared, sequence),
                        Err(Denied::Fault(fault)) => Step::Done(Some(Err(fault))),
                        Err(Denied::NoRoom | Denied::OutOfReach) => {
                            shared.wait_for_room(*class, body.len(), context.waker());
                            return Poll::Pending;
                        }
                    }
                }
                Step::Disk { shared, sequence, value } => {
                    match shared.poll_synced(*sequence, context.waker()) {
                        None => return Poll::Pending,
                        Some(Ok(())) => match value.take() {
                            Some(value) => Step::Done(Some(Ok(value))),
                            None => Step::Done(None),
                        },
                        Some(Err(fault)) => Step::Done(Some(Err(fault))),
                    }
                }
            };
            self.0 = next;
        }
    }
}
