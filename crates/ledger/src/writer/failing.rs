//! When the ledger can't be written: new statements are turned away until it can, and the gap
//! is recorded.

use std::io;
use std::time::{Duration, Instant};

use super::{GIVE_UP, Writer, micros};
use crate::fault::{LedgerFault, reason};
use crate::own_event::OwnEvent;
use crate::shared::Rest;

/// Between two tries to write while the ledger can't be written.
const RETRY: Duration = Duration::from_millis(100);

/// A time during which the ledger couldn't be written.
pub(super) struct Failing {
    since: Instant,
    refused_before: u64,
    reason: String,
}

impl Writer {
    /// Turns new statements away and waits for the next try. True when it is time to end.
    pub(super) fn fail(&mut self, error: &io::Error) -> bool {
        let reason = reason(error);
        let fault = LedgerFault::new(reason.as_str());
        let mut refused = 0;
        let mut closing = false;
        self.shared.change(|state| {
            refused = state.refused;
            closing = state.closing.is_some();
            state.fault = Some(fault);
        });
        if self.failing.is_none() {
            // Also what the next try has to write.
            OwnEvent::LedgerFailed { reason: &reason }.note(&self.shared);
        }
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: Instant::now(),
            refused_before: refused,
            reason,
        });
        if closing && failing.since.elapsed() > GIVE_UP {
            return true;
        }
        self.shared.rest(Rest::Nap, RETRY, |_| false);
        false
    }

    /// After a batch went through: service resumes, and the gap is recorded.
    pub(super) fn recover_from_failing(&mut self) {
        let Some(failing) = self.failing.take() else {
            return;
        };
        let mut refused = 0;
        self.shared.change(|state| {
            state.fault = None;
            refused = state.refused - failing.refused_before;
        });
        OwnEvent::LedgerResumed {
            reason: &failing.reason,
            failed_for_us: micros(failing.since.elapsed()),
            refused,
        }
        .note(&self.shared);
    }
}
