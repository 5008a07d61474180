//! Where a response ends: follows packets by their headers inside the read buffer, so
//! that the relay forwards them as they came.
//!
//! Only the few packets that steer (counts, OK, EOF, ERR, PREPARE_OK) are looked into,
//! and only once they are whole; rows are passed by header and first byte. The walker
//! never trusts a length further than the buffer it was given.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>
mod plain;
mod prepared;
mod steering;

use crate::err_packet::ERR_HEADER;
use crate::ok_packet::{EOF_HEADER, MAX_EOF_LEN};
use crate::packet::{HEADER_LEN, MAX_PACKET_LEN, PacketHeader};
use crate::prepare::PrepareOk;
use crate::{ErrPacket, StatusFlags};

/// A steering packet larger than this is not believed.
const MAX_STEERING_LEN: usize = 1 << 20;
/// Which command is being answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Result sets or OK, as COM_QUERY and COM_STMT_EXECUTE bring.
    Results,
    /// PREPARE_OK with its definitions.
    Prepare,
    /// Rows of a cursor, without definitions.
    CursorRows,
    /// Column definitions without a count.
    FieldList,
    /// One OK, EOF or ERR.
    Ack,
    /// One packet of text.
    Statistics,
}

/// Two facts of the connection that decide the form of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseForm {
    /// DEPRECATE_EOF is negotiated: no EOF after definitions, an OK ends the rows.
    pub deprecate_eof: bool,
    /// OPTIONAL_RESULTSET_METADATA is negotiated: a flag follows the column count.
    pub optional_metadata: bool,
}

/// Why bytes can't be a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// The replica counts its packets wrongly.
    #[error("replica's packets out of order: sequence id {found}, expected {expected}")]
    OutOfOrder {
        /// The id due.
        expected: u8,
        /// The id found.
        found: u8,
    },
    /// A packet that can't stand here.
    #[error("replica sent a malformed {0}")]
    Malformed(&'static str),
    /// The replica asks for a file of the client.
    #[error("replica asked for a file of the client (LOCAL INFILE)")]
    LocalInfile,
}

/// How a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseEnd {
    /// OK, EOF or PREPARE_OK; the last status flags seen.
    Ok(StatusFlags),
    /// The replica's error.
    Err(ErrPacket),
}

/// What a walk over the buffer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Bytes from the buffer's start that may go to the client now. With an end, they
    /// include the last packet, and nothing may follow them.
    pub forward: usize,
    /// Set once the response is complete.
    pub end: Option<ResponseEnd>,
    /// Set where the next row would exceed a cap: nothing after `forward` may be sent.
    pub over: Option<Over>,
}

/// The most that a response may hold; `None` is no cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Rows of all its results.
    pub rows: Option<u64>,
    /// Bytes, headers included.
    pub bytes: Option<u64>,
}

/// Which cap a response exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// [`Caps::rows`].
    Rows(u64),
    /// [`Caps::bytes`].
    Bytes(u64),
}

impl Walk {
    fn so_far(forward: usize) -> Self {
        Self { forward, end: None, over: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    First,
    Definitions { left: u64 },
    DefinitionsEof,
    Rows,
    PrepareFirst,
    PrepareBlock { left: u16, columns: u16 },
    PrepareBlockEof { columns: u16 },
    FieldList,
    Ack,
    Statistics,
    Done,
}

/// Follows one response from its first packet to its last.
#[derive(Debug)]
pub struct ResponseWalker {
    state: State,
    form: ResponseForm,
    sequence_id: u8,
    sequence_delta: u8,
    /// Bytes of the packet under way that have not come yet.
    pass: usize,
    /// The packet under way fills a whole packet: the next one continues it.
    continues: bool,
    /// Another statement's result will follow for the client.
    more_after: bool,
    caps: Caps,
    bytes: u64,
    rows: u64,
    warnings: u16,
    status: StatusFlags,
    prepared: Option<PrepareOk>,
}

enum Step {
    Pass(State),
    End(ResponseEnd),
}

impl ResponseWalker {
    /// Starts before the first packet. `sequence_id` is the id due from the replica,
    /// `client_sequence_id` the one due to the client; headers are rewritten where they
    /// differ.
    pub fn new(
        expect: Expect,
        form: ResponseForm,
        sequence_id: u8,
        client_sequence_id: u8,
    ) -> Self {
        let state = match expect {
            Expect::Results => State::First,
            Expect::Prepare => State::PrepareFirst,
            Expect::CursorRows => State::Rows,
            Expect::FieldList => State::FieldList,
            Expect::Ack => State::Ack,
            Expect::Statistics => State::Statistics,
        };
        Self {
            state,
            form,
            sequence_id,
            sequence_delta: client_sequence_id.wrapping_sub(sequence_id),
            pass: 0,
            continues: false,
            more_after: false,
            caps: Caps::default(),
            bytes: 0,
            rows: 0,
            warnings: 0,
            status: StatusFlags::empty(),
            prepared: None,
        }
    }

    /// Marks the response as one of several to the same query: its end gets the flag
    /// SERVER_MORE_RESULTS_EXISTS (an error still ends the series).
    #[must_use]
    pub fn with_more_after(mut self, more_after: bool) -> Self {
        self.more_after = more_after;
        self
    }

    /// Stops before the row that would exceed a cap.
    #[must_use]
    pub fn with_caps(mut self, caps: Caps) -> Self {
        self.caps = caps;
        self
    }

    /// Caps what is still to come at so many bytes; the rest of a packet under way is of them.
    pub fn leave(&mut self, bytes: u64) {
        let cap = self.bytes.saturating_sub(self.pass as u64).saturating_add(bytes);
        self.caps.bytes = Some(self.caps.bytes.map_or(cap, |before| before.min(cap)));
    }

    /// Goes on without caps, for a response that is thrown away.
    pub fn lift_caps(&mut self) {
        self.caps = Caps::default();
    }

    /// Rows passed so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of the definitions and rows that were passed so far, with their headers.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Warnings that the last result has announced.
    pub fn warnings(&self) -> u16 {
        self.warnings
    }

    /// PREPARE_OK, once seen.
    pub fn prepared(&self) -> Option<PrepareOk> {
        self.prepared
    }

    /// Sequence id that the next packet to the client has.
    pub fn next_client_sequence_id(&self) -> u8 {
        self.sequence_id.wrapping_add(self.sequence_delta)
    }

    /// The same, if the walk stands at a packet's border: an ERR of ours may be put in here, once
    /// the client has what was walked over.
    pub fn client_border(&self) -> Option<u8> {
        self.between_packets().then(|| self.next_client_sequence_id())
    }

    fn between_packets(&self) -> bool {
        self.pass == 0 && !self.continues
    }

    /// Walks over `buffer`, which starts where the last walk's `forward` ended. Rewrites
    /// sequence ids and the more-results flag in place.
    pub fn walk(&mut self, buffer: &mut [u8]) -> Result<Walk, ResponseFault> {
        let mut at = 0;
        loop {
            let passed = self.pass.min(buffer.len() - at);
            at += passed;
            self.pass -= passed;
            let is_plain = matches!(self.state, State::Rows | State::Definitions { left: 2.. });
            if is_plain && buffer.len() - at >= plain::WORTH {
                at = self.pass_plain(buffer, at);
            }
            let Some(packet) = buffer.get_mut(at..).filter(|_| self.pass == 0) else {
                return Ok(Walk::so_far(at));
            };
            let Some(header) = PacketHeader::peek(packet) else {
                return Ok(Walk::so_far(at));
            };
            if header.sequence_id != self.sequence_id {
                let (expected, found) = (self.sequence_id, header.sequence_id);
                return Err(ResponseFault::OutOfOrder { expected, found });
            }
            let among_rows = self.state == State::Rows;
            if !self.continues {
                match self.step(packet, header.len)? {
                    None => return Ok(Walk::so_far(at)),
                    Some(Step::Pass(next)) => self.state = next,
                    Some(Step::End(end)) => {
                        self.renumber(packet);
                        self.state = State::Done;
                        let forward = at + HEADER_LEN + header.len;
                        return Ok(Walk { forward, end: Some(end), over: None });
                    }
                }
            }
            if let Some(over) = self.over(header.len, among_rows) {
                return Ok(Walk { forward: at, end: None, over: Some(over) });
            }
            self.renumber(packet);
            self.continues = header.len == MAX_PACKET_LEN;
            self.pass = HEADER_LEN + header.len;
        }
    }

    /// Whether the packet about to be passed exceeds a cap. A row begun is sent whole, and
    /// so are the definitions: what has been stepped over must be passed.
    fn over(&mut self, packet_len: usize, among_rows: bool) -> Option<Over> {
        self.bytes += (HEADER_LEN + packet_len) as u64;
        if !among_rows || self.state != State::Rows || self.continues {
            return None;
        }
        let over = match self.caps {
            Caps { rows: Some(cap), .. } if self.rows > cap => Over::Rows(cap),
            Caps { bytes: Some(cap), .. } if self.bytes > cap => Over::Bytes(cap),
            Caps { .. } => return None,
        };
        self.rows = self.rows.saturating_sub(1);
        self.bytes -= (HEADER_LEN + packet_len) as u64;
        Some(over)
    }

    fn renumber(&mut self, packet: &mut [u8]) {
        if let Some(id) = packet.get_mut(3) {
            *id = id.wrapping_add(self.sequence_delta);
        }
        self.sequence_id = self.sequence_id.wrapping_add(1);
    }

    /// Decides about the packet at the front; `None` while more of it is needed.
    fn step(&mut self, packet: &mut [u8], len: usize) -> Result<Option<Step>, ResponseFault> {
        if let State::Rows | State::Definitions { .. } = self.state {
            // What follows an empty packet is another packet's.
            match packet.get(HEADER_LEN).filter(|_| len > 0) {
                None if len > 0 => return Ok(None),
                Some(&first) if !self.steers(first, len) => return Ok(Some(self.pass_by())),
                _ => {}
            }
        }
        if len > MAX_STEERING_LEN {
            return Err(ResponseFault::Malformed("packet: too long for what it is"));
        }
        match packet.get_mut(HEADER_LEN..HEADER_LEN + len) {
            Some(payload) => self.steer(payload).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a packet among rows or definitions is something else than one of them.
    fn steers(&self, first: u8, len: usize) -> bool {
        match first {
            ERR_HEADER => true,
            EOF_HEADER if self.form.deprecate_eof => len < MAX_PACKET_LEN,
            EOF_HEADER => len < MAX_EOF_LEN,
            _ => false,
        }
    }

    fn pass_by(&mut self) -> Step {
        if let State::Definitions { left } = self.state {
            return Step::Pass(self.after_definition(left));
        }
        self.rows += 1;
        Step::Pass(State::Rows)
    }

    fn after_definition(&self, left: u64) -> State {
        match left {
            2.. => State::Definitions { left: left - 1 },
            _ if self.form.deprecate_eof => State::Rows,
            _ => State::DefinitionsEof,
        }
    }
}

#[cfg(test)]
mod tests;
