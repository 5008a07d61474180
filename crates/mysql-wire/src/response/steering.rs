//! The packets that steer: what each says of the response, and what comes after it.
use super::{ResponseEnd, ResponseFault, ResponseWalker, State, Step};
use crate::err_packet::ERR_HEADER;
use crate::ok_packet::{EOF_HEADER, OK_HEADER, parse_eof};
use crate::{ErrPacket, OkPacket, Reader, StatusFlags};

/// A classic EOF; an OK that stands for it is longer.
const CLASSIC_EOF_LEN: usize = 5;
/// First byte of a request for a client's file. Never passed on.
const LOCAL_INFILE_HEADER: u8 = 0xfb;

impl ResponseWalker {
    /// Looks into a whole steering packet.
    pub(super) fn steer(&mut self, payload: &mut [u8]) -> Result<Step, ResponseFault> {
        let first = payload.first().copied();
        if self.state == State::Statistics && first != Some(ERR_HEADER) {
            return Ok(Step::End(ResponseEnd::Ok(self.status)));
        }
        if first == Some(ERR_HEADER) {
            let err =
                ErrPacket::parse(payload).map_err(|_| ResponseFault::Malformed("ERR packet"))?;
            return Ok(Step::End(ResponseEnd::Err(err)));
        }
        match self.state {
            State::First => self.first(payload),
            State::DefinitionsEof => {
                self.take_eof(payload)?;
                if self.status.contains(StatusFlags::SERVER_STATUS_CURSOR_EXISTS) {
                    return Ok(self.end_of_result(payload));
                }
                if self.more_after {
                    set_more_results(payload, false);
                }
                Ok(Step::Pass(State::Rows))
            }
            State::Rows | State::FieldList => match first {
                Some(EOF_HEADER) => {
                    self.take_status(payload)?;
                    Ok(self.end_of_result(payload))
                }
                _ if self.state == State::FieldList => Ok(Step::Pass(State::FieldList)),
                _ => Err(ResponseFault::Malformed("row")),
            },
            State::Ack => {
                self.take_status(payload)?;
                Ok(Step::End(ResponseEnd::Ok(self.status)))
            }
            State::PrepareFirst => self.prepare_first(payload),
            State::PrepareBlock { left, columns } => Ok(self.after_block(left - 1, columns)),
            State::PrepareBlockEof { columns } => {
                self.take_eof(payload)?;
                Ok(self.next_block(columns))
            }
            State::Statistics | State::Definitions { .. } | State::Done => {
                Err(ResponseFault::Malformed("packet after the end"))
            }
        }
    }

    fn first(&mut self, payload: &mut [u8]) -> Result<Step, ResponseFault> {
        match payload.first() {
            Some(&OK_HEADER) => {
                self.take_status(payload)?;
                Ok(self.end_of_result(payload))
            }
            Some(&LOCAL_INFILE_HEADER) => Err(ResponseFault::LocalInfile),
            _ => {
                let malformed = |_| ResponseFault::Malformed("column count");
                let mut reader = Reader::new(payload, "column count");
                let left = reader.lenenc_int().map_err(malformed)?;
                let flag = match self.form.optional_metadata {
                    true => reader.u8().map_err(malformed)?,
                    false => 1,
                };
                if left == 0 || left > 0xffff || !reader.is_empty() {
                    return Err(ResponseFault::Malformed("column count"));
                }
                Ok(Step::Pass(match flag {
                    1 => State::Definitions { left },
                    _ => self.after_definition(1),
                }))
            }
        }
    }

    /// A result set or OK is complete: the end, unless the replica announces another.
    fn end_of_result(&mut self, payload: &mut [u8]) -> Step {
        if self.status.contains(StatusFlags::SERVER_MORE_RESULTS_EXISTS) {
            return Step::Pass(State::First);
        }
        if self.more_after {
            set_more_results(payload, self.form.deprecate_eof);
        }
        Step::End(ResponseEnd::Ok(self.status))
    }

    fn take_eof(&mut self, payload: &[u8]) -> Result<(), ResponseFault> {
        (self.warnings, self.status) =
            parse_eof(payload).map_err(|_| ResponseFault::Malformed("EOF packet"))?;
        Ok(())
    }

    fn take_status(&mut self, payload: &[u8]) -> Result<(), ResponseFault> {
        if payload.first() == Some(&EOF_HEADER) && payload.len() == CLASSIC_EOF_LEN {
            return self.take_eof(payload);
        }
        let ok = OkPacket::parse(payload).map_err(|_| ResponseFault::Malformed("OK packet"))?;
        (self.warnings, self.status) = (ok.warnings, ok.status);
        Ok(())
    }
}

/// Sets SERVER_MORE_RESULTS_EXISTS in an OK or EOF payload that has been parsed before.
fn set_more_results(payload: &mut [u8], deprecate_eof: bool) {
    let classic_eof = payload.first() == Some(&EOF_HEADER) && !deprecate_eof;
    let offset = if classic_eof {
        3
    } else {
        let len = payload.len();
        let mut reader = Reader::new(payload, "OK packet");
        let skipped = reader.u8().and(reader.lenenc_int()).and(reader.lenenc_int());
        if skipped.is_err() {
            return;
        }
        len - reader.rest().len()
    };
    if let Some(low) = payload.get_mut(offset) {
        *low |= StatusFlags::SERVER_MORE_RESULTS_EXISTS.bits().to_le_bytes()[0];
    }
}
