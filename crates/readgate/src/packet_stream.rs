//! Socket, buffers and sequence ids of one peer. The only file that reads or writes the
//! bytes of a connection.
//!
//! Every read is bounded by the caller's limit. Reads are cancel-safe: bytes stay in
//! the inbox until a whole payload is taken. Deadlines belong to the callers.
mod squeezed;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use mysql_wire::compression::Algorithm;
use mysql_wire::handshake_response::SSL_REQUEST_LEN;
use mysql_wire::packet::{
    HEADER_LEN, PacketFault, PacketHeader, Payload, put_payload, take_payload,
};
use mysql_wire::{ErrPacket, Malformed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio_rustls::TlsStream;

use crate::net_stream::{NetStream, Readable};
use crate::room::Held;
use crate::tls::socket::TlsSocket;
use squeezed::Squeezed;

/// First size of a read buffer; commands, logins and the rows of a dashboard fit.
const INBOX_START: usize = 2 * 1024;
/// Its size from the first read on that fills it.
const INBOX_FULL: usize = 16 * 1024;
/// Size of the read buffer that an idle TLS connection waits with.
const INBOX_IDLE: usize = 256;
/// A read buffer grows to this while a peer keeps filling it.
const INBOX_MAX: usize = 64 * 1024;

/// Why nothing more can be read from a peer.
#[derive(Debug, thiserror::Error)]
pub enum StreamFault {
    /// The peer closed its side.
    #[error("closed by the peer")]
    Closed,
    /// The operating system said so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer's bytes aren't packets.
    #[error("{0}")]
    Packet(#[from] PacketFault),
    /// A payload that can't be read.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A large payload, where too many are kept already.
    #[error("no room for large commands")]
    NoRoom,
}

/// One peer's connection.
#[derive(Debug)]
pub struct PacketStream {
    stream: NetStream,
    inbox: BytesMut,
    outbox: BytesMut,
    squeezed: Option<Squeezed>,
    /// For large payloads, from the login on.
    room: Option<Held>,
    /// Whether a send was given up, and may have left a packet cut short.
    torn: bool,
    /// Sequence id of the next packet, whichever side sends it.
    pub sequence_id: u8,
    /// Bytes sent to this peer.
    pub sent: u64,
    /// Bytes received from this peer.
    pub received: u64,
    /// What of both has been counted.
    counted: (u64, u64),
}

impl PacketStream {
    /// Takes a connected socket over.
    pub fn new(socket: TcpStream) -> Self {
        Self {
            stream: NetStream::Plain(socket),
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            squeezed: None,
            room: None,
            torn: false,
            sequence_id: 0,
            sent: 0,
            received: 0,
            counted: (0, 0),
        }
    }

    /// Bytes received and sent since this was last asked, for counters.
    pub fn take_traffic(&mut self) -> (u64, u64) {
        let (received, sent) = self.counted;
        self.counted = (self.received, self.sent);
        (self.received - received, self.sent - sent)
    }

    /// The address of the other end.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.tcp().map_or(Err(io::ErrorKind::NotConnected.into()), TcpStream::peer_addr)
    }

    /// Whether bytes go through TLS.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, NetStream::Tls(_))
    }

    /// The TLS connection, if there is one.
    pub fn tls(&self) -> Option<&TlsStream<TlsSocket>> {
        match &self.stream {
            NetStream::Tls(tls) => Some(tls),
            NetStream::Plain(_) | NetStream::Closed => None,
        }
    }

    /// Puts TLS around a plain connection. Nothing read before may be left over: what came
    /// outside TLS is never taken for something said inside.
    pub async fn upgrade<T, F>(&mut self, handshake: impl FnOnce(TlsSocket) -> F) -> io::Result<()>
    where
        F: Future<Output = io::Result<T>>,
        TlsStream<TlsSocket>: From<T>,
    {
        match std::mem::replace(&mut self.stream, NetStream::Closed) {
            NetStream::Plain(socket) if self.inbox.is_empty() => {
                let mut tls = TlsStream::from(handshake(TlsSocket::new(socket)).await?);
                tls.get_mut().0.handshake_is_over();
                self.stream = NetStream::Tls(Box::new(tls));
                Ok(())
            }
            NetStream::Plain(_) | NetStream::Tls(_) | NetStream::Closed => {
                Err(io::Error::other("bytes sent ahead of TLS"))
            }
        }
    }

    /// Compresses from here on, both ways.
    pub fn compress(&mut self, algorithm: Algorithm) {
        self.squeezed = Some(Squeezed::new(algorithm, std::mem::take(&mut self.inbox)));
    }

    /// Has room looked for before a large payload is kept.
    pub fn keep_in(&mut self, room: Held) {
        self.room = Some(room);
    }

    /// Who keeps the command that was read last has found room for it otherwise.
    pub fn leave_room(&mut self) {
        if let Some(room) = &mut self.room {
            room.give_back();
        }
    }

    /// Starts a new exchange: the command phase counts from 0 with each command. What the one
    /// before held is free.
    pub fn begin_command(&mut self) {
        self.sequence_id = 0;
        self.find_room(0);
        if let Some(squeezed) = &mut self.squeezed {
            squeezed.begin_command(!self.inbox.is_empty());
        }
    }

    /// Reads one payload of at most `limit` bytes. Cancel-safe.
    pub async fn read_payload(&mut self, limit: usize) -> Result<Payload, StreamFault> {
        loop {
            // Of a peer that sends ahead there is always one, and nothing need be waited for to
            // answer it: the worker's other tasks have their turns all the same.
            consume_budget().await;
            let expected = self.expected_sequence_id();
            if let Some(payload) = take_payload(&mut self.inbox, expected, limit)? {
                self.sequence_id = payload.next_sequence_id;
                return Ok(payload);
            }
            if self.fill().await? == 0 {
                return Err(StreamFault::Closed);
            }
            if !self.find_room(limit) {
                self.forget_all();
                return Err(StreamFault::NoRoom);
            }
        }
    }

    /// Whether there is room for all that is there.
    fn find_room(&mut self, limit: usize) -> bool {
        let bytes = self.untaken();
        self.room.as_mut().is_none_or(|room| room.change(bytes, limit))
    }

    /// What a peer has sent for which there is no room is others' from now on, and not from when
    /// its goodbye is said.
    fn forget_all(&mut self) {
        self.inbox = BytesMut::new();
        if let Some(squeezed) = &mut self.squeezed {
            squeezed.inbox = BytesMut::new();
        }
        self.room = None;
    }

    /// Inside compressed packets MySQL's own programs count now by the outer packets, now by
    /// the inner ones, and check neither; so only there the peer's id is taken as it is.
    fn expected_sequence_id(&self) -> u8 {
        match (&self.squeezed, PacketHeader::peek(&self.inbox)) {
            (Some(_), Some(header)) => header.sequence_id,
            (Some(_), None) | (None, _) => self.sequence_id,
        }
    }

    /// Reads one payload and not a byte further, for the packet that TLS may follow. That one
    /// comes in one read; a payload too short to be it is the last of its connection.
    pub async fn read_payload_exactly(&mut self, limit: usize) -> Result<Payload, StreamFault> {
        self.fill_between(HEADER_LEN, HEADER_LEN + SSL_REQUEST_LEN).await?;
        let len = PacketHeader::peek(&self.inbox).map_or(0, |header| header.len);
        if len > limit {
            return Err(PacketFault::TooLarge { limit }.into());
        }
        self.fill_to(HEADER_LEN + len).await?;
        self.read_payload(limit).await
    }

    /// Reads until the inbox holds `len` bytes, and not a byte further.
    pub async fn fill_to(&mut self, len: usize) -> Result<(), StreamFault> {
        self.fill_between(len, len).await
    }

    /// Reads until the inbox holds `least` bytes, and never beyond `most`.
    async fn fill_between(&mut self, least: usize, most: usize) -> Result<(), StreamFault> {
        if self.inbox.capacity() == 0 {
            self.inbox.reserve(INBOX_START);
        }
        while self.inbox.len() < least {
            let missing = (most - self.inbox.len()) as u64;
            let read = (&mut self.stream).take(missing).read_buf(&mut self.inbox).await?;
            if read == 0 {
                return Err(StreamFault::Closed);
            }
            self.received += read as u64;
        }
        Ok(())
    }

    /// Reads what there is into the inbox; 0 at the end of the stream. Cancel-safe. Of what
    /// is compressed, one packet at a time is inflated.
    pub async fn fill(&mut self) -> io::Result<usize> {
        let Self { stream, inbox, squeezed, received, .. } = self;
        let Some(squeezed) = squeezed else {
            return read_some(stream, inbox, received).await;
        };
        loop {
            let before = inbox.len();
            if squeezed.inflate(inbox)? {
                let inflated = inbox.len() - before;
                // A few bytes make as many that a socket would have to be read for often.
                if inflated > INBOX_MAX {
                    yield_now().await;
                }
                if inflated > 0 {
                    return Ok(inflated);
                }
                consume_budget().await;
            } else if read_some(stream, &mut squeezed.inbox, received).await? == 0 {
                return Ok(0);
            }
        }
    }

    /// Reads what the peer sends before it is its turn; 0 at the end of the stream. Cancel-safe.
    /// Nothing is inflated: the sequence ids are those of a later exchange.
    pub async fn fill_ahead(&mut self) -> io::Result<usize> {
        let Self { stream, inbox, squeezed, received, .. } = self;
        let inbox = squeezed.as_mut().map_or(inbox, |squeezed| &mut squeezed.inbox);
        read_some(stream, inbox, received).await
    }

    /// Bytes that have been read and not been taken, compressed or not.
    pub fn untaken(&self) -> usize {
        self.inbox.len() + self.squeezed.as_ref().map_or(0, |squeezed| squeezed.inbox.len())
    }

    /// Whether the peer has said nothing, its goodbye included, since it was last read.
    pub fn is_quiet(&self) -> bool {
        self.untaken() == 0 && self.stream.is_quiet()
    }

    /// What has been read and not been taken.
    pub fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// Whether nothing more can be said to the peer: it would stand inside a packet.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Gives an idle session's buffers back; the next read makes new ones.
    pub fn release_buffers(&mut self) {
        let squeezed = self.squeezed.as_mut().map(Squeezed::buffers);
        let own = [&mut self.inbox, &mut self.outbox];
        for buffer in own.into_iter().chain(squeezed.into_iter().flatten()) {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Sends one payload, joined from `parts`.
    pub async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.queue(parts);
        self.flush().await
    }

    /// Sends the first payload on a new socket.
    pub async fn send_first(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.queue(parts);
        let written = self.stream.write_now(&self.outbox).min(self.outbox.len());
        self.outbox.advance(written);
        self.sent += written as u64;
        self.flush().await
    }

    /// Puts a payload behind those that wait to be sent.
    pub fn queue(&mut self, parts: &[&[u8]]) {
        self.sequence_id = put_payload(&mut self.outbox, self.sequence_id, parts);
    }

    /// Sends all queued payloads.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.squeezed.is_some() {
            let outbox = std::mem::take(&mut self.outbox);
            return self.send_squeezed(&outbox).await;
        }
        while self.outbox.has_remaining() {
            let written = self.stream.write(&self.outbox).await?;
            if written == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero));
            }
            self.outbox.advance(written);
            self.sent += written as u64;
        }
        self.outbox.clear();
        self.flush_tls().await
    }

    /// Sends an ERR packet.
    pub async fn send_err(&mut self, err: &ErrPacket) -> io::Result<()> {
        self.send(&[&err.encode()]).await
    }

    /// Sends bytes that are packets already.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.squeezed.is_some() {
            return self.send_squeezed(bytes).await;
        }
        self.torn = true;
        self.stream.write_all(bytes).await?;
        self.torn = false;
        self.sent += bytes.len() as u64;
        self.flush_tls().await
    }

    async fn send_squeezed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(squeezed) = &mut self.squeezed else {
            return Ok(());
        };
        let packets = squeezed.deflate(bytes)?;
        self.torn = true;
        self.stream.write_all(packets).await?;
        self.torn = false;
        self.sent += packets.len() as u64;
        self.flush_tls().await
    }

    async fn flush_tls(&mut self) -> io::Result<()> {
        match &mut self.stream {
            NetStream::Tls(tls) => tls.flush().await,
            NetStream::Plain(_) | NetStream::Closed => Ok(()),
        }
    }

    /// Says goodbye at the transport: TLS close_notify and FIN.
    pub async fn shut_down(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

async fn read_some(
    stream: &mut NetStream,
    buffer: &mut BytesMut,
    received: &mut u64,
) -> io::Result<usize> {
    let spare = buffer.capacity() - buffer.len();
    if buffer.capacity() == 0 {
        // Idle, without a buffer until something comes. TLS can't say so before it is read.
        match stream.readable().await? {
            Readable::Now => buffer.reserve(INBOX_START),
            Readable::Unknown => buffer.reserve(INBOX_IDLE),
        }
    } else if spare == 0 {
        buffer.reserve((buffer.len() * 2).clamp(INBOX_FULL, INBOX_MAX));
    } else if spare < INBOX_START / 4 {
        buffer.reserve((buffer.len() * 2).clamp(INBOX_START, INBOX_MAX));
    }
    match stream.read_buf(buffer).await {
        Ok(0) => {
            // Who takes leave of TLS is answered; nobody else listens any more.
            if let NetStream::Plain(_) = stream {
                *stream = NetStream::Closed;
            }
            Ok(0)
        }
        Ok(read) => {
            *received += read as u64;
            Ok(read)
        }
        // Closed without TLS's close_notify, as many clients do. Payloads say their length,
        // so nothing can be cut off unnoticed.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            *stream = NetStream::Closed;
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_leaves_others_what_was_his_before_the_goodbye() {
        const LIMIT: usize = 64 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let rooms = Arc::default();
        let mut another = Held::nothing(&rooms, "alice");
        assert!(another.change(510 << 20, LIMIT));
        let mut stream = PacketStream::new(near);
        stream.keep_in(Held::nothing(&rooms, "alice"));
        let begun = [&[0xff, 0xff, 0xff, 0][..], &vec![b' '; 4 << 20]].concat();
        let sending = tokio::spawn(async move { far.write_all(&begun).await.map(|()| far) });
        let read = stream.read_payload(LIMIT).await;
        assert!(matches!(read, Err(StreamFault::NoRoom)), "{read:?}");
        assert_eq!(stream.untaken(), 0);
        assert!(another.change(512 << 20, LIMIT));
        sending.abort();
    }
}
