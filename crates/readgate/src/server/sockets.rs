//! Where clients connect: sockets that the service manager holds open across restarts (systemd
//! socket activation), else ones of our own.
use std::net::{SocketAddr, TcpListener as StdListener};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};
use tracing::field::display;

use super::ServeFault;

/// Clients that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Sockets handed over at the start, each taken once.
pub(super) struct Inherited {
    sockets: Vec<StdListener>,
    /// All that are wanted.
    addresses: Vec<SocketAddr>,
}

impl Inherited {
    /// Takes over what `LISTEN_FDS` names; what is no TCP listener is left alone.
    pub(super) fn take(addresses: Vec<SocketAddr>) -> Self {
        let mut given = ListenFd::from_env();
        let all = (0..given.len()).filter_map(|at| given.take_tcp_listener(at).ok().flatten());
        Self { sockets: all.collect(), addresses }
    }

    /// The socket for an address: the one that is bound to it already, or a new one.
    pub(super) async fn bind(&mut self, address: SocketAddr) -> Result<TcpListener, ServeFault> {
        let fault = |error| ServeFault::Bind { address, error };
        let is_it = |socket: &StdListener| socket.local_addr().is_ok_and(|own| own == address);
        let Some(at) = self.sockets.iter().position(is_it) else {
            return match self.leaves_ipv4(address) {
                true => bind_ipv6_alone(address).map_err(fault),
                false => TcpListener::bind(address).await.map_err(fault),
            };
        };
        let socket = self.sockets.swap_remove(at);
        socket.set_nonblocking(true).map_err(fault)?;
        TcpListener::from_std(socket).map_err(fault)
    }

    /// `[::]` takes IPv4 too, unless somebody else has an address of that at its port.
    fn leaves_ipv4(&self, address: SocketAddr) -> bool {
        let is_theirs = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        address.is_ipv6() && address.port() != 0 && self.addresses.iter().any(is_theirs)
    }

    /// Says which sockets nobody wanted: clients would wait there for ever.
    pub(super) fn finish(self) {
        for socket in self.sockets {
            let address = socket.local_addr().ok().map(display);
            tracing::error!(address, "a socket of the service manager is no listener's address");
        }
    }
}

fn bind_ipv6_alone(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    SockRef::from(&socket).set_only_v6(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
