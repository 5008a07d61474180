//! The socket below TLS. What TLS 1.3 sends behind its handshake, the ticket for the next session,
//! waits here for the first answer and goes out with it, in one write.
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Type of a record of TLS 1.3 that is encrypted, and is neither a handshake's first answer nor
/// anything of TLS 1.2's handshake (RFC 8446, 5.2).
const ENCRYPTED: u8 = 23;
/// No alert is as long: header, two bytes, type and tag. Alerts are never held back.
const BEYOND_ALERTS: usize = 64;

/// A TCP connection that can hold back what needs no packet of its own.
#[derive(Debug)]
pub struct TlsSocket {
    tcp: TcpStream,
    held: Vec<u8>,
    holds: Holds,
}

/// Whether writes may be held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// While the handshake runs, those that begin with an encrypted record.
    Tickets,
    /// A write was taken in part: the next one begins in the middle of a record.
    NotNow,
    /// Never.
    Nothing,
}

impl TlsSocket {
    /// Writes as it is told.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, held: Vec::new(), holds: Holds::Nothing }
    }

    /// Holds tickets back until [`Self::handshake_is_over`] and something more is written.
    #[must_use]
    pub fn holding_tickets(self) -> Self {
        Self { holds: Holds::Tickets, ..self }
    }

    /// From now on all that is written goes out at once, what was held back ahead of it.
    pub fn handshake_is_over(&mut self) {
        self.holds = Holds::Nothing;
    }

    /// The connection itself.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn is_ticket(&self, bufs: &[IoSlice<'_>], len: usize) -> bool {
        let first = bufs.iter().find_map(|buf| buf.first());
        self.holds == Holds::Tickets && first == Some(&ENCRYPTED) && len > BEYOND_ALERTS
    }

    /// Sends what was held back, and `bufs` behind it; how much of these was taken.
    fn poll_send(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let Self { tcp, held, .. } = self;
            let tcp = Pin::new(tcp);
            if held.is_empty() {
                return tcp.poll_write_vectored(cx, bufs);
            }
            let all: Vec<IoSlice<'_>> =
                [IoSlice::new(held)].into_iter().chain(bufs.iter().copied()).collect();
            let written = ready!(tcp.poll_write_vectored(cx, &all))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let Some(beyond) = written.checked_sub(held.len()) else {
                held.drain(..written);
                continue;
            };
            *held = Vec::new();
            if beyond > 0 || bufs.is_empty() {
                return Poll::Ready(Ok(beyond));
            }
        }
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if this.is_ticket(bufs, len) {
            bufs.iter().for_each(|buf| this.held.extend_from_slice(buf));
            return Poll::Ready(Ok(len));
        }
        let written = ready!(this.poll_send(cx, bufs))?;
        if this.holds != Holds::Nothing {
            this.holds = if written < len { Holds::NotNow } else { Holds::Tickets };
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.held.is_empty() {
            ready!(this.poll_send(cx, &[]))?;
        }
        Pin::new(&mut this.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream as StdStream};

    use tokio::io::AsyncWriteExt;

    use super::*;

    const TICKET: [u8; 100] = [ENCRYPTED; 100];

    /// One that holds tickets back, and its peer, who doesn't wait.
    fn pair() -> (TlsSocket, StdStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        (TlsSocket::new(TcpStream::from_std(socket).unwrap()).holding_tickets(), peer)
    }

    #[tokio::test]
    async fn a_ticket_goes_out_with_the_first_answer() {
        let (mut socket, mut peer) = pair();
        let mut room = [0; 200];
        socket.write_all(&[22; 90]).await.unwrap();
        assert_eq!(peer.read(&mut room).unwrap(), 90);
        socket.write_all(&TICKET).await.unwrap();
        socket.flush().await.unwrap();
        assert_eq!(peer.read(&mut room).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.handshake_is_over();
        socket.write_all(&[ENCRYPTED; 70]).await.unwrap();
        assert_eq!(peer.read(&mut room).unwrap(), 170);
    }

    #[tokio::test]
    async fn an_alert_is_not_held_back() {
        let (mut socket, mut peer) = pair();
        let mut room = [0; 200];
        socket.write_all(&[ENCRYPTED; 24]).await.unwrap();
        assert_eq!(peer.read(&mut room).unwrap(), 24);
        socket.write_all(&TICKET).await.unwrap();
        socket.write_all(&[21, 3]).await.unwrap();
        assert_eq!(peer.read(&mut room).unwrap(), 102);
    }

    #[tokio::test]
    async fn a_ticket_without_an_answer_goes_out_at_the_end() {
        let (mut socket, mut peer) = pair();
        socket.write_all(&TICKET).await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(peer.read(&mut [0; 200]).unwrap(), 100);
    }
}
