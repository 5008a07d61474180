//! The second framing around a connection, for the plain client: what is behind a login that
//! negotiated compression. The framing itself is the daemon's own; real clients prove that right.

use std::io::{self, Read, Write};

use bytes::{Buf, BytesMut};
use mysql_wire::compression::{deflate_packets, inflate_packet};

pub use mysql_wire::compression::Algorithm;

/// A stream that reads and writes compressed packets.
#[derive(Debug)]
pub struct Squeezed<S> {
    stream: S,
    algorithm: Algorithm,
    /// Came, and isn't a whole packet yet.
    raw: BytesMut,
    inbox: BytesMut,
    /// Goes out when flushed.
    outbox: Vec<u8>,
    sequence_id: u8,
}

impl<S> Squeezed<S> {
    /// From the next byte on.
    pub fn new(stream: S, algorithm: Algorithm) -> Self {
        let (raw, inbox) = (BytesMut::new(), BytesMut::new());
        Self { stream, algorithm, raw, inbox, outbox: Vec::new(), sequence_id: 0 }
    }
}

impl<S: Read> Read for Squeezed<S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.inbox.is_empty() {
            let taken = inflate_packet(self.algorithm, &mut self.raw, &mut self.inbox);
            match taken.map_err(|fault| io::Error::other(fault.to_string()))? {
                Some(next) => self.sequence_id = next,
                None => {
                    let mut room = [0; 16 << 10];
                    match self.stream.read(&mut room)? {
                        0 => return Ok(0),
                        read => self.raw.extend_from_slice(&room[..read]),
                    }
                }
            }
        }
        let count = out.len().min(self.inbox.len());
        self.inbox.copy_to_slice(&mut out[..count]);
        Ok(count)
    }
}

impl<S: Write> Write for Squeezed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outbox.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // A packet with the id 0 is a command's first: both counts begin anew.
        if self.outbox.get(3) == Some(&0) {
            self.sequence_id = 0;
        }
        let mut wire = BytesMut::new();
        self.sequence_id =
            deflate_packets(self.algorithm, &self.outbox, self.sequence_id, &mut wire)?;
        self.outbox.clear();
        self.stream.write_all(&wire)?;
        self.stream.flush()
    }
}
