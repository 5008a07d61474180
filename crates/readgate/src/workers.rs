//! The threads that connections live on: one for each core, each with a runtime of its
//! own. A connection stays on its worker from accept to close, and so do its socket to the
//! replica and all its wakings: no thread ever wakes another for a statement.
//!
//! Measured against one runtime whose threads share the work: see docs/performance.md.
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::iter;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;

/// Shorter than what sessions wait for.
const BEAT: Duration = Duration::from_secs(1);

thread_local! {
    /// The worker that this thread is; threads that are none count as the first.
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// All workers.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// Connections on it.
    load: Arc<AtomicUsize>,
}

/// The worker that runs this.
pub fn current() -> usize {
    INDEX.get()
}

/// How many there are unless config says otherwise.
pub fn default_count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Workers {
    /// Starts that many, at least one. They live as long as the process.
    ///
    /// # Errors
    /// The system has no thread or no runtime for them.
    pub fn start(count: usize) -> io::Result<Self> {
        (0..count.max(1)).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Runs a connection on the worker that has the fewest. That is the one that calls, and whose
    /// runtime has accepted the socket, if no other has fewer: it wakes nobody. The future is made
    /// there: one that is handed over would stand in the task twice.
    pub fn serve<F>(
        &self,
        socket: TcpStream,
        connection: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let load = |index: &usize| self.0.get(*index).map(|worker| worker.load.load(Relaxed));
        let all = iter::once(current()).chain(0..self.0.len());
        let Some(chosen) = all.min_by_key(load) else { return };
        let Some(worker) = self.0.get(chosen) else { return };
        let place = Place::take(&worker.load);
        if chosen == current() {
            worker.handle.spawn(async move {
                connection(socket).await;
                drop(place);
            });
            return;
        }
        let Ok(socket) = socket.into_std() else { return };
        worker.handle.spawn(async move {
            if let Ok(socket) = TcpStream::from_std(socket) {
                connection(socket).await;
            }
            drop(place);
        });
    }

    /// Makes something that is to wait for sockets on one worker; `None`: there is no such worker.
    pub fn make_on<T>(&self, index: usize, make: impl FnOnce() -> T) -> Option<T> {
        let worker = self.0.get(index)?;
        let _within = worker.handle.enter();
        Some(make())
    }

    /// Runs something beside the connections, on one worker.
    pub fn spawn_on(&self, index: usize, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.0.get(index) {
            worker.handle.spawn(task);
        }
    }
}

impl Worker {
    /// Its runtime is made in its thread: where that can't be had, none is left to be dropped by
    /// a thread that may not.
    fn start(index: usize) -> io::Result<Self> {
        let (tell, told) = channel();
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            INDEX.set(index);
            let made = Builder::new_current_thread().enable_all().build();
            let _ = tell.send(made.as_ref().map(|runtime| runtime.handle().clone()).map_err(same));
            if let Ok(runtime) = made {
                runtime.block_on(beat());
            }
        })?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok(Self { handle, load: Arc::default() })
    }
}

fn same(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// Whether the system has that many more threads, by making them. The runtime panics where it
/// needs one and can't have it.
///
/// # Errors
/// It has not; says what limits them.
pub fn room_for(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    let made = thread::scope(|scope| {
        let _shut = gate.lock();
        let make = || thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop);
        (0..count).try_for_each(|_| make())
    });
    made.map_err(|error| {
        let what = "no room for threads; see `ulimit -u`, TasksMax= and the limit of pids";
        io::Error::new(error.kind(), format!("{what}: {error}"))
    })
}

/// A timer that is always due soon. A runtime without one is woken through the kernel by
/// each timer that a session sets, for fear of sleeping past it.
async fn beat() {
    loop {
        sleep(BEAT).await;
    }
}

/// A connection's place in its worker's count.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Client;
    use std::sync::mpsc::Sender;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Says on which worker it is, and stays until its client goes.
    async fn stay(mut socket: TcpStream, said: Sender<usize>) {
        said.send(current()).unwrap();
        let _ = socket.read(&mut [0]).await;
    }

    #[test]
    fn a_connection_stays_where_it_was_accepted_unless_another_worker_has_fewer() {
        let workers = Arc::new(Workers::start(2).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = workers.make_on(1, || TcpListener::from_std(listener)).unwrap().unwrap();
        let (said, heard) = channel();
        let all = Arc::clone(&workers);
        workers.spawn_on(1, async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let said = said.clone();
                all.serve(socket, |socket| stay(socket, said));
            }
        });
        let mut clients = Vec::new();
        let places = [(); 4].map(|()| {
            clients.push(Client::connect(address).unwrap());
            heard.recv().unwrap()
        });
        assert_eq!(places, [1, 0, 1, 0]);
    }
}
