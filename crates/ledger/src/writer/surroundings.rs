//! What others have done around the ledger: to its files, its journal and the clock.

use std::io;

use super::Writer;
use crate::clock::SMALLEST_STEP;
use crate::entry::now_micros;
use crate::fault::LedgerError;
use crate::files::Then;
use crate::own_event::OwnEvent;
use crate::shared::State;

impl Writer {
    /// Notices a ledger file or a journal that is no longer where it should be.
    pub(super) fn look_after_files(&mut self) -> io::Result<()> {
        let is_leaving = self.leave_after.is_some();
        let lost = if is_leaving { None } else { self.files.check()? };
        if let Some(lost) = lost {
            match lost.then {
                Then::GoOn => {}
                Then::LeaveSoon => self.leave_file_soon(),
                Then::LeaveNow => {
                    self.shared.change(State::begin_file);
                    self.leave_file();
                }
            }
            OwnEvent::LedgerTrouble { what: lost.what, file: &lost.name }.note(&self.shared);
        }
        if let Some(what) = self.witness.misplaced()? {
            let mut journal = self.witness.replacement().map_err(LedgerError::into_io)?;
            self.witness = journal.witness().map_err(LedgerError::into_io)?;
            self.shared.change(|state| {
                journal.adopt(&state.journal);
                state.journal = journal;
            });
            OwnEvent::LedgerTrouble { what, file: "journal" }.note(&self.shared);
        }
        Ok(())
    }

    /// Goes on in a new file as soon as no record in the journal refers to the newest one.
    fn leave_file_soon(&mut self) {
        let mut last = 0;
        self.shared.change(|state| {
            state.begin_file();
            last = state.journal.last_sequence();
        });
        self.leave_after = Some(last);
        if last <= self.shared.lock().written {
            self.leave_file();
        }
    }

    /// Records a step of the clock. One that was set back is followed from that record on: else
    /// all records would have one and the same time until it is where it was.
    pub(super) fn watch_clock(&mut self) {
        let mut step = self.clock.step();
        let mut state = self.shared.lock();
        let ahead = state.journal.is_ahead_of(now_micros());
        if ahead > SMALLEST_STEP {
            state.journal.follow_clock();
            step = step.or(i64::try_from(ahead).ok().map(|ahead| -ahead));
        }
        drop(state);
        if let Some(step_us) = step {
            OwnEvent::ClockStep { step_us }.note(&self.shared);
        }
    }
}
