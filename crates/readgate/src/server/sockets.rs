//! Where clients connect: sockets that the service manager holds open across restarts (systemd
//! socket activation), else ones of our own.
use std::net::{SocketAddr, TcpListener as StdListener};

use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::ServeFault;

/// Sockets handed over at the start, each taken once.
pub(super) struct Inherited(Vec<StdListener>);

impl Inherited {
    /// Takes over what `LISTEN_FDS` names; what is no TCP listener is left alone.
    pub(super) fn take() -> Self {
        let mut given = ListenFd::from_env();
        let all = (0..given.len()).filter_map(|at| given.take_tcp_listener(at).ok().flatten());
        Self(all.collect())
    }

    /// The socket for an address: the one that is bound to it already, or a new one.
    pub(super) async fn bind(&mut self, address: SocketAddr) -> Result<TcpListener, ServeFault> {
        let fault = |error| ServeFault::Bind { address, error };
        let is_it = |socket: &StdListener| socket.local_addr().is_ok_and(|own| own == address);
        let Some(at) = self.0.iter().position(is_it) else {
            return TcpListener::bind(address).await.map_err(fault);
        };
        let socket = self.0.swap_remove(at);
        socket.set_nonblocking(true).map_err(fault)?;
        TcpListener::from_std(socket).map_err(fault)
    }

    /// Says which sockets nobody wanted: clients would wait there for ever.
    pub(super) fn finish(self) {
        for socket in self.0 {
            let address = socket.local_addr().ok();
            tracing::error!(?address, "a socket of the service manager is no listener's address");
        }
    }
}
