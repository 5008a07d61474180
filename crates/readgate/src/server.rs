//! Bind, accept, serve, reload, drain: the life of the daemon as a process.
mod accept;
mod drain;
mod notify;
mod sockets;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::Timestamp;
use config::{Config, ConfigHash, LoadError, PasswordSource};
use ledger::Event;
use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::field::display;

use crate::daemon::{BUILD, Daemon, StartFault, host_name};
use crate::panics::vital;
use crate::reload::files::FileWatch;
use crate::shipping::Wanted;
use crate::workers::room_for;
use crate::{feeds, ledger_watch, notices, ops, reload, replica_watch, usage};
use drain::drain;
use sockets::Inherited;

/// Threads for what may wait, such as a file: so many are needed at once soon after the start.
const THREADS_THAT_WAIT: usize = 3;

/// Why the daemon ended otherwise than by order.
#[derive(Debug, thiserror::Error)]
pub enum ServeFault {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] LoadError),
    /// It could not start.
    #[error("{0}")]
    Start(#[from] StartFault),
    /// A listener's address can't be bound.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Signals can't be waited for.
    #[error("signals: {0}")]
    Signals(io::Error),
    /// The start could not be recorded.
    #[error("ledger: {0}")]
    Ledger(String),
}

impl ServeFault {
    /// Whether it stays until somebody changes the configuration or its files.
    pub fn is_of_configuration(&self) -> bool {
        match self {
            _ if is_of_the_moment(self) => false,
            Self::Config(_) => true,
            Self::Start(fault) => fault.is_of_configuration(),
            Self::Bind { .. } | Self::Signals(_) | Self::Ledger(_) => false,
        }
    }
}

/// A file that the disk, the host it lies on or the limits of this one don't give now may be had at
/// the next try.
fn is_of_the_moment(fault: &(dyn Error + 'static)) -> bool {
    const PASSING: [Errno; 6] =
        [Errno::IO, Errno::STALE, Errno::TIMEDOUT, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    let failure = fault.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
    failure.is_some_and(|failure| PASSING.contains(&failure))
        || fault.source().is_some_and(is_of_the_moment)
}

/// Runs until SIGTERM or SIGINT.
pub async fn serve(
    path: PathBuf,
    config: Config,
    hash: ConfigHash,
    reloads: Reloads,
) -> Result<(), ServeFault> {
    // As they were read: what is changed while the daemon starts is read again then.
    let files = FileWatch::new(&path, &config).await;
    let ops_address = config.ops.as_ref().map(|ops| ops.address);
    let addresses = config.listeners.iter().map(|listener| listener.address).chain(ops_address);
    let mut inherited = Inherited::take(addresses.collect());
    let daemon = Daemon::new(&config, &hash)?;
    room_for(THREADS_THAT_WAIT).map_err(StartFault::Workers)?;
    // Before anybody can see that it is there: who can, may order it to end in good order.
    let mut orders = Orders::new(reloads)?;
    let mut sockets = Vec::new();
    for (listener, door) in config.listeners.iter().zip(&daemon.doors) {
        sockets.push((inherited.bind(listener.address).await?, Arc::clone(door)));
    }
    let ops_logins = ops_logins(&config)?;
    let ops_socket = match ops_address {
        Some(address) => Some(inherited.bind(address).await?),
        None => None,
    };
    inherited.finish();
    reload::observe(&daemon, &config, &hash);
    let started = Event::Start { program: BUILD, config_hash: hash.as_str() };
    crate::recording::within_deadline(daemon.ledger.event(&started))
        .await
        .map_err(ServeFault::Ledger)?;
    if !reload::record_start(&daemon, &hash).await {
        return Err(ServeFault::Ledger("the configuration can't be recorded".to_owned()));
    }

    let ledger_settings = config.ledger.settings(&host_name());
    daemon.console.found(path.clone(), &ledger_settings);
    daemon.shipping.put_in_force(Wanted::by(&config.ledger).map_err(StartFault::from)?);

    // What was changed while no daemon ran is recorded before anybody comes in by it.
    if let Err(error) = reload::take_over(&daemon).await {
        tracing::error!(error, "changes of users wait to be recorded");
    }
    let (stop, stopping) = watch::channel(false);
    for (number, (socket, door)) in sockets.into_iter().enumerate() {
        let address = socket.local_addr().ok().map(display);
        tracing::info!(listener = door.name, address, "listening");
        let stopped = until_stopped(stopping.clone());
        accept::start(&daemon, door, socket, (number, stopped))?;
    }
    start_helpers(&daemon, &config);
    if let (Some(socket), Some(address)) = (ops_socket, ops_address) {
        let stopped = until_stopped(stopping.clone());
        let serving = ops::serve(Arc::clone(&daemon), socket, ops_logins, stopped);
        tokio::spawn(vital(serving.map_err(|error| ServeFault::Bind { address, error })?));
    }
    notify::ready();
    orders.until_told(&daemon, &path, files).await;
    notify::stopping();
    let _ = stop.send(true);
    drain(&daemon, daemon.live().drain, orders.end()).await;
    close(daemon).await
}

async fn reload_once(files: &mut FileWatch, daemon: &Arc<Daemon>, path: &Path) {
    notify::reloading();
    let seen = files.look().await;
    let reloaded = reload::reload(daemon, path).await;
    files.note(path, &reloaded, seen).await;
    notify::ready();
}

/// Who may see the status page.
fn ops_logins(config: &Config) -> Result<ops::Logins, StartFault> {
    let password_file = config.ops.as_ref().and_then(|ops| ops.password_file.clone());
    let password = password_file.map(|file| PasswordSource::File(file).read()).transpose()?;
    let operators = config.ops.as_ref().is_some_and(|ops| ops.operators);
    Ok(ops::Logins { password, operators })
}

/// What looks after things beside the connections.
fn start_helpers(daemon: &Arc<Daemon>, config: &Config) {
    let heartbeat = config.replica.heartbeat_query.clone();
    tokio::spawn(vital(replica_watch::watch(Arc::clone(daemon), heartbeat)));
    if config.replica.refuse_writable {
        tokio::spawn(vital(replica_watch::elsewhere::watch(Arc::clone(daemon))));
    }
    tokio::spawn(vital(reload::validity::watch(Arc::clone(daemon))));
    tokio::spawn(vital(feeds::watch(Arc::clone(daemon))));
    tokio::spawn(vital(ledger_watch::watch(Arc::clone(daemon))));
    tokio::spawn(vital(usage::keep_noted(Arc::clone(daemon))));
    let node = config.ledger.settings(&host_name()).node;
    tokio::spawn(vital(notices::watch(Arc::clone(daemon), node)));
    if let Some(identities) = &config.identities {
        tokio::spawn(vital(reload::watch_identities(Arc::clone(daemon), identities.refresh)));
    }
    tokio::spawn(vital(notify::keep_watchdog(Arc::clone(&daemon.workers))));
    tokio::spawn(vital(notify::keep_telling()));
}

/// The ledger ends last, and what is left of it to be sent goes out.
async fn close(daemon: Arc<Daemon>) -> Result<(), ServeFault> {
    let closed = tokio::task::spawn_blocking(move || {
        if let Err(error) = daemon.usage.note(Timestamp::now()) {
            tracing::warn!(%error, "the bytes of the day can't be written down");
        }
        daemon.kept.finish();
        let closed = daemon.ledger.close("signal");
        daemon.shipping.finish();
        closed
    });
    match closed.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(fault)) => Err(ServeFault::Ledger(fault.to_string())),
        Err(error) => Err(ServeFault::Ledger(error.to_string())),
    }
}

async fn until_stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Orders to reload.
#[derive(Debug)]
pub struct Reloads(Signal);

impl Reloads {
    /// From here on SIGHUP ends nothing: one that comes while the daemon still starts is carried
    /// out once it runs. Needs a runtime around it.
    ///
    /// # Errors
    /// If signals can't be waited for.
    pub fn expect() -> Result<Self, ServeFault> {
        signal(SignalKind::hangup()).map(Self).map_err(ServeFault::Signals)
    }
}

/// What the system tells the daemon.
struct Orders {
    terminate: Signal,
    interrupt: Signal,
    reloads: Reloads,
}

impl Orders {
    /// From here on signals are orders and end nothing by themselves.
    fn new(reloads: Reloads) -> Result<Self, ServeFault> {
        let on = |kind: SignalKind| signal(kind).map_err(ServeFault::Signals);
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            reloads,
        })
    }

    /// SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the order to end; reloads on SIGHUP and when files change meanwhile.
    async fn until_told(&mut self, daemon: &Arc<Daemon>, path: &Path, mut files: FileWatch) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.reloads.0.recv() => tracing::info!("SIGHUP: reading the configuration"),
                () = files.changed() => tracing::info!("a file of the configuration has changed"),
            }
            // A file on a mount that hangs holds up the reload, not the end.
            tokio::select! {
                () = reload_once(&mut files, daemon, path) => {}
                () = self.end() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_may_be_had_at_the_next_try_is_no_fault_of_the_configuration() {
        let of = |errno: Errno| {
            let (path, error) = (PathBuf::from("proxy.toml"), errno.into());
            ServeFault::Config(LoadError::Unreadable { path, error }).is_of_configuration()
        };
        let passing = [Errno::IO, Errno::STALE, Errno::TIMEDOUT, Errno::MFILE, Errno::NOMEM];
        assert!(!passing.into_iter().any(of));
        assert!([Errno::NOENT, Errno::ACCESS, Errno::ISDIR].into_iter().all(of));
    }
}
