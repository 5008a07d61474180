//! A TCP connection, plain or inside TLS, as one type.
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::tls::socket::TlsSocket;

/// Either end of a connection of ours.
#[derive(Debug)]
pub enum NetStream {
    /// Nothing is encrypted.
    Plain(TcpStream),
    /// Everything is.
    Tls(Box<TlsStream<TlsSocket>>),
    /// The socket is gone: a TLS handshake failed and took it along, or the peer cut it off.
    Closed,
}

/// Whether a read would find something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// Bytes, the end, or an error.
    Now,
    /// Only a read can tell: TLS may hold bytes that it has taken from the socket.
    Unknown,
}

impl NetStream {
    /// Waits until a read would find something, where that can be told without one.
    pub async fn readable(&self) -> io::Result<Readable> {
        match self {
            Self::Plain(socket) => socket.readable().await.map(|()| Readable::Now),
            Self::Tls(_) | Self::Closed => Ok(Readable::Unknown),
        }
    }

    /// Gives the kernel what it takes at once of bytes that need no TLS; how many. Asks the
    /// kernel: the runtime hasn't heard yet that a new socket takes any. A fault shows again in
    /// the write that must follow.
    pub fn write_now(&self, bytes: &[u8]) -> usize {
        let Self::Plain(socket) = self else { return 0 };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(socket.as_fd(), bytes, flags).unwrap_or(0)
    }

    /// The connection below.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(tls) => Some(tls.get_ref().0.tcp()),
            Self::Closed => None,
        }
    }

    /// Whether the socket has nothing to be read, its end included. Asks the kernel: the
    /// runtime may not have heard yet.
    pub fn is_quiet(&self) -> bool {
        let Some(socket) = self.tcp() else { return false };
        let mut byte = [0_u8; 1];
        let peeked =
            rustix::net::recv(socket.as_fd(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr, closed => $closed:expr) => {
        match $self.get_mut() {
            NetStream::Plain($stream) => $call,
            NetStream::Tls($stream) => $call,
            NetStream::Closed => Poll::Ready($closed),
        }
    };
}

impl AsyncRead for NetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_read(cx, buf), closed => Ok(()))
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, s => Pin::new(s).poll_write(cx, buf), closed => Err(gone()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_flush(cx), closed => Err(gone()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, s => Pin::new(s).poll_shutdown(cx), closed => Ok(()))
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}
