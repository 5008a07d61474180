//! The second framing, where compression is negotiated. Reads and writes nothing itself.
use std::io;

use bytes::BytesMut;
use mysql_wire::compression::{Algorithm, deflate_packets, inflate_packet};

#[derive(Debug)]
pub(super) struct Squeezed {
    algorithm: Algorithm,
    /// Sequence id of the next packet to the peer.
    sequence_id: u8,
    /// The one that follows the peer's last.
    heard: u8,
    /// What has come and isn't inflated yet.
    pub(super) inbox: BytesMut,
    outbox: BytesMut,
}

impl Squeezed {
    pub(super) fn new(algorithm: Algorithm, inbox: BytesMut) -> Self {
        Self { algorithm, sequence_id: 0, heard: 0, inbox, outbox: BytesMut::new() }
    }

    /// Starts a new exchange. What of it is there already came in the peer's last packet, and is
    /// answered behind that.
    pub(super) fn begin_command(&mut self, is_there: bool) {
        self.sequence_id = if is_there { self.heard } else { 0 };
    }

    /// Inflates the packet at the front; false while it isn't whole.
    pub(super) fn inflate(&mut self, out: &mut BytesMut) -> io::Result<bool> {
        let inflated = inflate_packet(self.algorithm, &mut self.inbox, out);
        let next = inflated.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(next) = next {
            (self.sequence_id, self.heard) = (next, next);
        }
        Ok(next.is_some())
    }

    /// The packets that carry these bytes to the peer.
    pub(super) fn deflate(&mut self, bytes: &[u8]) -> io::Result<&[u8]> {
        self.outbox.clear();
        self.sequence_id =
            deflate_packets(self.algorithm, bytes, self.sequence_id, &mut self.outbox)?;
        Ok(&self.outbox)
    }

    pub(super) fn buffers(&mut self) -> [&mut BytesMut; 2] {
        [&mut self.inbox, &mut self.outbox]
    }
}
