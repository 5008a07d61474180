//! The answer to a PREPARE: its OK, then blocks of definitions for parameters and columns.
use super::{ResponseEnd, ResponseFault, ResponseWalker, State, Step};
use crate::prepare::PrepareOk;

impl ResponseWalker {
    pub(super) fn prepare_first(&mut self, payload: &[u8]) -> Result<Step, ResponseFault> {
        let ok = PrepareOk::parse(payload)
            .map_err(|_| ResponseFault::Malformed("COM_STMT_PREPARE response"))?;
        self.prepared = Some(ok);
        Ok(match ok.parameters {
            0 => self.next_block(ok.columns),
            _ if !ok.metadata_follows => self.after_block(0, ok.columns),
            left => Step::Pass(State::PrepareBlock { left, columns: ok.columns }),
        })
    }

    pub(super) fn after_block(&self, left: u16, columns: u16) -> Step {
        match left {
            1.. => Step::Pass(State::PrepareBlock { left, columns }),
            0 if self.form.deprecate_eof => self.next_block(columns),
            0 => Step::Pass(State::PrepareBlockEof { columns }),
        }
    }

    pub(super) fn next_block(&self, columns: u16) -> Step {
        let metadata_follows = self.prepared.is_none_or(|ok| ok.metadata_follows);
        match columns {
            0 => Step::End(ResponseEnd::Ok(self.status)),
            // Left-out definitions leave their EOF behind.
            _ if !metadata_follows => self.after_block(0, 0),
            left => Step::Pass(State::PrepareBlock { left, columns: 0 }),
        }
    }
}
