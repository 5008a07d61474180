//! Bind, accept, serve, reload, drain: the life of the daemon as a process.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{Config, ConfigHash};
use ledger::Event;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::daemon::{BUILD, Daemon, DoorWay, StartFault, host_name};
use crate::registry::{Order, Reason};
use crate::{connection, ops, reload, replica_watch, shipping};

/// After an accept error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Sessions have this long to finish their statement when the daemon stops.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// Sessions told to end at once have this long.
const END_LIMIT: Duration = Duration::from_secs(3);
/// A client that has vanished without a word is noticed after idle plus retries.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Why the daemon ended otherwise than by order.
#[derive(Debug, thiserror::Error)]
pub enum ServeFault {
    /// It could not start.
    #[error("{0}")]
    Start(#[from] StartFault),
    /// A listener's address can't be bound.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Signals can't be waited for.
    #[error("signals: {0}")]
    Signals(std::io::Error),
    /// The start could not be recorded.
    #[error("ledger: {0}")]
    Ledger(String),
}

/// Runs until SIGTERM or SIGINT.
pub async fn serve(path: PathBuf, config: Config, hash: ConfigHash) -> Result<(), ServeFault> {
    let daemon = Daemon::new(&config, &hash)?;
    let mut sockets = Vec::new();
    for (listener, door) in config.listeners.iter().zip(&daemon.doors) {
        sockets.push((bind(listener.address).await?, Arc::clone(door)));
    }
    let ops_socket = match &config.ops {
        Some(ops) => Some(bind(ops.address).await?),
        None => None,
    };
    let started = Event::Start { program: BUILD, config_hash: hash.as_str() };
    crate::recording::within_deadline(daemon.ledger.event(&started))
        .await
        .map_err(ServeFault::Ledger)?;

    let ledger_settings = config.ledger.settings(&host_name());
    daemon.console.found(path.clone(), &ledger_settings);
    let shipping = shipping::start(&config.ledger, &ledger_settings, &daemon.ledger)
        .map_err(StartFault::from)?;

    let (stop, stopping) = watch::channel(false);
    for (socket, door) in sockets {
        tracing::info!(listener = door.name, address = ?socket.local_addr().ok(), "listening");
        tokio::spawn(accept(Arc::clone(&daemon), door, socket, stopping.clone()));
    }
    tokio::spawn(replica_watch::watch(Arc::clone(&daemon)));
    if let Some(identities) = &config.identities {
        tokio::spawn(reload::watch_identities(Arc::clone(&daemon), identities.refresh));
    }
    if let Some(socket) = ops_socket {
        let stopped = until_stopped(stopping.clone());
        tokio::spawn(ops::serve(Arc::clone(&daemon), socket, stopped));
    }
    until_told(&daemon, &path).await?;
    let _ = stop.send(true);
    drain(&daemon).await;
    let ledger = daemon.ledger.clone();
    let closed = tokio::task::spawn_blocking(move || {
        let closed = ledger.close("signal");
        shipping.finish();
        closed
    });
    let closed = closed.await;
    match closed {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(ServeFault::Ledger(fault.to_string())),
        Err(error) => Err(ServeFault::Ledger(error.to_string())),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeFault> {
    TcpListener::bind(address).await.map_err(|error| ServeFault::Bind { address, error })
}

async fn until_stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn accept(
    daemon: Arc<Daemon>,
    door: Arc<DoorWay>,
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
) {
    let stopped = until_stopped(stopping);
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                prepare(&socket);
                daemon.metrics.accepted();
                hand_over(&daemon, &door, socket, peer);
            }
            Err(error) => {
                tracing::warn!(%error, listener = door.name, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// To the worker that the connection will live on.
fn hand_over(daemon: &Arc<Daemon>, door: &Arc<DoorWay>, socket: TcpStream, peer: SocketAddr) {
    let (daemon, door) = (Arc::clone(daemon), Arc::clone(door));
    let Ok(socket) = socket.into_std() else { return };
    Arc::clone(&daemon.workers).serve(move || async move {
        if let Ok(socket) = TcpStream::from_std(socket) {
            connection::serve(daemon, door, socket, peer).await;
        }
    });
}

/// Best effort: a socket whose peer is gone already refuses these.
fn prepare(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let keepalive =
        socket2::TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    let _ = socket2::SockRef::from(socket).set_tcp_keepalive(&keepalive);
}

/// Waits for SIGTERM or SIGINT; reloads on SIGHUP meanwhile.
async fn until_told(daemon: &Arc<Daemon>, path: &Path) -> Result<(), ServeFault> {
    let on = |kind: SignalKind| signal(kind).map_err(ServeFault::Signals);
    let mut terminate: Signal = on(SignalKind::terminate())?;
    let mut interrupt: Signal = on(SignalKind::interrupt())?;
    let mut hangup: Signal = on(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => reload::reload(daemon, path).await,
        }
    }
}

/// Lets statements finish, then ends what is left.
async fn drain(daemon: &Daemon) {
    let sessions = daemon.registry.order_all(Order::FinishAndEnd(Reason::Shutdown), |_| true);
    tracing::info!(sessions, "stopping: no new connections, sessions finish their statement");
    if timeout(DRAIN_LIMIT, until_empty(daemon)).await.is_err() {
        daemon.registry.order_all(Order::EndNow(Reason::Shutdown), |_| true);
        let _ = timeout(END_LIMIT, until_empty(daemon)).await;
    }
}

async fn until_empty(daemon: &Daemon) {
    while !daemon.registry.is_empty() {
        sleep(Duration::from_millis(20)).await;
    }
}
