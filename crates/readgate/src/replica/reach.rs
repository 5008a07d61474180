//! A TCP connection to the replica: to whichever address of its name answers, and watched, so that
//! a host that is gone without a word is noticed.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::name::Name;

/// An address that hasn't answered for this long has company in the next one: RFC 8305, 5.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// The peer is asked for a sign of life after this pause, and again after each of these.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Without one for this long the connection is broken.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// Connects to a host and port. The name is looked up each time: a failover may have moved it.
pub(super) async fn connect(name: &Name) -> io::Result<TcpStream> {
    let socket = connect_to_any(name.look_up().await?).await?;
    prepare(&socket)?;
    Ok(socket)
}

/// Connects to one address.
pub(super) async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    prepare(&socket)?;
    Ok(socket)
}

/// The first one that answers: one that is silent or refuses doesn't use the others' time up.
async fn connect_to_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut tries = JoinSet::new();
    let mut last = io::Error::other("the name has no address");
    let mut next = addresses.into_iter();
    loop {
        if let Some(address) = next.next() {
            tries.spawn(TcpStream::connect(address));
        }
        let tried = tokio::select! {
            tried = tries.join_next() => tried,
            () = sleep(NEXT_ADDRESS), if next.len() > 0 => continue,
        };
        match tried {
            Some(Ok(Ok(socket))) => return Ok(socket),
            Some(Ok(Err(error))) => last = error,
            Some(Err(error)) => last = io::Error::other(error),
            None => return Err(last),
        }
    }
}

/// See tcp(7).
fn prepare(socket: &TcpStream) -> io::Result<()> {
    let options = socket2::SockRef::from(socket);
    let keepalive =
        socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_keepalive(&keepalive)?;
    options.set_tcp_user_timeout(Some(LOST_AFTER))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use socket2::{Domain, Socket, Type};
    use tokio::time::timeout;

    use super::*;

    /// A port whose queue is full: the kernel leaves further clients without an answer.
    async fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(client) = timeout(2 * NEXT_ADDRESS, TcpStream::connect(address)).await {
            queue.push(client.unwrap());
        }
        (socket, queue, address)
    }

    #[tokio::test]
    async fn a_silent_address_does_not_use_up_the_time_of_the_next() {
        let (_socket, _queue, silent) = silent().await;
        let well = TcpListener::bind("127.0.0.1:0").unwrap();
        let well = well.local_addr().map(|address| (well, address)).unwrap();
        let connecting = connect_to_any(vec![silent, silent, well.1]);
        let socket = timeout(Duration::from_secs(3), connecting).await.expect("in time").unwrap();
        assert_eq!(socket.peer_addr().unwrap(), well.1);
    }

    #[tokio::test]
    async fn addresses_that_refuse_hold_up_none_behind_them() {
        let well = TcpListener::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut addresses = vec![gone; 100];
        addresses.push(well.local_addr().unwrap());
        let connecting = connect_to_any(addresses);
        let socket = timeout(10 * NEXT_ADDRESS, connecting).await.expect("in time").unwrap();
        assert_eq!(socket.peer_addr().unwrap(), well.local_addr().unwrap());
    }

    #[tokio::test]
    async fn where_none_answers_the_reason_is_told() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = connect_to_any(vec![gone]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
