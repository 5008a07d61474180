//! A listener's sockets, from the kernel to the worker that each will live on. A listener waits on
//! one of the workers: those of its connections that stay there wake no other thread.
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::ServeFault;
use crate::connection;
use crate::daemon::{Daemon, DoorWay};
use crate::panics::vital;

/// After an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Such errors come with every try: one in this time is told.
const TOLD_EACH: Duration = Duration::from_secs(60);
/// A client that has vanished without a word is noticed after idle plus retries.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Lets clients in by a listener until it is told to stop. Listeners are dealt out to the workers
/// by their `number`.
///
/// # Errors
/// The system doesn't let a worker wait for the socket.
pub(super) fn start(
    daemon: &Arc<Daemon>,
    door: Arc<DoorWay>,
    socket: TcpListener,
    (number, stopped): (usize, impl Future<Output = ()> + Send + 'static),
) -> Result<(), ServeFault> {
    prepare(&socket);
    let address = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)));
    let fault = |error| ServeFault::Bind { address, error };
    let socket = socket.into_std().map_err(fault)?;
    let worker = number % daemon.workers.count();
    let made = daemon.workers.make_on(worker, || TcpListener::from_std(socket));
    let listener = made.unwrap_or_else(|| Err(io::Error::other("no worker"))).map_err(fault)?;
    let accepting = vital(accept(Arc::clone(daemon), door, listener, stopped));
    daemon.workers.spawn_on(worker, accepting);
    Ok(())
}

async fn accept(
    daemon: Arc<Daemon>,
    door: Arc<DoorWay>,
    listener: TcpListener,
    stopped: impl Future<Output = ()>,
) {
    tokio::pin!(stopped);
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                hand_over(&daemon, &door, socket, peer);
            }
            Err(error) => {
                if told.is_none_or(|told| told.elapsed() > TOLD_EACH) {
                    tracing::warn!(%error, listener = door.name, "accept failed");
                    told = Some(Instant::now());
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// To the worker that the connection will live on.
fn hand_over(daemon: &Arc<Daemon>, door: &Arc<DoorWay>, socket: TcpStream, peer: SocketAddr) {
    let (daemon, door) = (Arc::clone(daemon), Arc::clone(door));
    let open = daemon.metrics.accepted();
    Arc::clone(&daemon.workers)
        .serve(socket, move |socket| connection::serve(daemon, door, socket, peer, open));
}

/// Set once: the sockets that come of a listener have its options, see tcp(7) and socket(7).
fn prepare(listener: &TcpListener) {
    let socket = socket2::SockRef::from(listener);
    let keepalive =
        socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    let set = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::warn!(%error, "a listener's options could not be set");
    }
}
