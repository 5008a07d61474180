//! Connections to the ops address. Guarantees that there are never more than [`MOST`]: whoever
//! opens many and says nothing takes no open file from the clients' door, and as the oldest gives
//! way to the newest, health checks are answered all the while.
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Connections at a time: far more than balancers, Prometheus and browsers keep open.
const MOST: usize = 256;

/// A listener that shows the oldest guest out when there are too many.
#[derive(Debug)]
pub(super) struct Guests {
    listener: TcpListener,
    /// Oldest first. Dropping one's end tells that guest to go.
    staying: VecDeque<oneshot::Sender<()>>,
}

/// The address that a request comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Guests {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, staying: VecDeque::new() }
    }

    fn seat(&mut self, stream: TcpStream) -> Guest {
        self.staying.retain(|guest| !guest.is_closed());
        while self.staying.len() >= MOST {
            self.staying.pop_front();
        }
        let (stay, shown_out) = oneshot::channel();
        self.staying.push_back(stay);
        Guest { stream, shown_out, is_out: false }
    }
}

impl Listener for Guests {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        // Its own accept tries again where the system lets it have none.
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        (self.seat(stream), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Guests>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Guests>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that ends when its guest is shown out.
#[derive(Debug)]
pub(super) struct Guest {
    stream: TcpStream,
    shown_out: oneshot::Receiver<()>,
    /// A receiver that has told may not be asked again.
    is_out: bool,
}

impl Guest {
    /// The stream, as long as the guest may stay; wakes the task when that ends.
    fn stream(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        self.is_out = self.is_out || Pin::new(&mut self.shown_out).poll(cx).is_ready();
        match self.is_out {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream(cx)?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
