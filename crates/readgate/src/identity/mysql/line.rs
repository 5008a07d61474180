//! One connection to the store, opened when it is needed and again when it broke. Its
//! callers wait without a runtime of their own; whatever happens they wait a bounded time.
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use access::StoreError;
use config::{PasswordSource, SharedStore};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Fault;
use crate::panics::ends_alone;

/// To connect and log in, or to ask whether a connection still lives.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Until the callers before have done their work.
const TURN_DEADLINE: Duration = Duration::from_secs(10);
/// For all users, or for one change up to its COMMIT.
const WORK_DEADLINE: Duration = Duration::from_secs(30);
/// For a COMMIT, whatever time was left before it: whoever waits hears that it may have been made.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);
/// To say goodbye to a server that may be gone.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(1);
/// The session that the statements of this crate are written for: repeatable reads, nothing
/// cut to fit, and no long wait for another node's change or for who has locked a table: servers
/// go on waiting for that when nobody is there any more, and have no connection left in the end.
const SETUP: [&str; 5] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION innodb_lock_wait_timeout = 2",
    "SET SESSION lock_wait_timeout = 2",
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
];

/// The way to the store.
pub(super) struct Line {
    place: String,
    /// All but the password, which is read for each connection: it may be another one by then.
    options: Opts,
    password: PasswordSource,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    /// A lock that yields while it waits: a caller may be the one who drives the runtime's
    /// input and output, without which the connection's holder never comes to its end.
    connection: Mutex<Option<Conn>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Line {
    /// Connects later.
    pub(super) fn new(store: &SharedStore) -> Result<Self, StoreError> {
        let place = format!("mysql://{}@{}/{}", store.user, store.address, store.schema);
        let unusable = |detail: String| StoreError::Unreachable { place: place.clone(), detail };
        let tls = SslOpts::default()
            .with_root_certs(vec![store.ca_file.clone().into()])
            .with_disable_built_in_roots(true)
            .with_danger_tls_hostname_override(Some(store.server_name.clone()));
        let options = OptsBuilder::default()
            .ip_or_hostname(store.address.host.as_str())
            .tcp_port(store.address.port)
            .prefer_socket(false)
            .user(Some(store.user.as_str()))
            .db_name(Some(store.schema.as_str()))
            .ssl_opts(tls);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // Names are looked up there: one that hangs takes no more threads with each try.
        let runtime = runtime.max_blocking_threads(1).enable_all().build();
        let runtime = Some(runtime.map_err(|error| unusable(error.to_string()))?);
        let (options, password) = (options.into(), store.password_source.clone());
        Ok(Self { place, options, password, runtime, connection: Mutex::default() })
    }

    /// Where the store is, without password.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Asks something. What fails leaves no transaction open.
    pub(super) fn run<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Fault> + Send,
    ) -> Result<T, StoreError> {
        self.on_a_thread(async |connection: &mut Conn| in_time(work(connection)).await)
    }

    /// Makes a change in the transaction that `work` begins, and commits it. What fails before that
    /// leaves no transaction open.
    pub(super) fn change<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Fault> + Send,
    ) -> Result<T, StoreError> {
        self.on_a_thread(async |connection: &mut Conn| {
            let done = in_time(work(connection)).await?;
            let committed = timeout(COMMIT_DEADLINE, connection.query_drop("COMMIT")).await;
            committed.map_err(|_| Fault::Late)?.map_err(Fault::Unsure)?;
            Ok(done)
        })
    }

    fn on_a_thread<T: Send>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Fault> + Send,
    ) -> Result<T, StoreError> {
        let down = |detail: &str| StoreError::Unreachable {
            place: self.place.clone(),
            detail: detail.to_owned(),
        };
        let runtime = self.runtime.as_ref().ok_or_else(|| down("it is closed"))?;
        // A thread of its own: the caller may belong to another runtime.
        let outcome = thread::scope(|scope| {
            let run = || runtime.block_on(ends_alone(self.work(work)));
            let thread = thread::Builder::new().name("identities".into());
            thread.spawn_scoped(scope, run).map(ScopedJoinHandle::join)
        });
        match outcome {
            Ok(Ok(outcome)) => outcome.map_err(|fault| fault.at(&self.place)),
            Ok(Err(_)) => Err(down("its client broke down")),
            Err(error) => Err(down(&error.to_string())),
        }
    }

    async fn work<T>(
        &self,
        work: impl AsyncFnOnce(&mut Conn) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let turn = timeout(TURN_DEADLINE, self.connection.lock()).await;
        let mut held = turn.map_err(|_| self.busy())?;
        let mut connection = match held.take() {
            Some(connection) => self.still_alive(connection).await?,
            None => self.connect().await?,
        };
        let done = work(&mut connection).await;
        if done.is_ok() {
            *held = Some(connection);
            return done;
        }
        // Told, not just dropped: the server must not keep the locks of what was under way.
        let _ = timeout(GOODBYE_DEADLINE, connection.disconnect()).await;
        done
    }

    async fn still_alive(&self, mut connection: Conn) -> Result<Conn, Fault> {
        match timeout(CONNECT_DEADLINE, connection.ping()).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(_)) | Err(_) => self.connect().await,
        }
    }

    fn password(&self) -> Result<String, StoreError> {
        let unusable = |detail| StoreError::Unreachable { place: self.place.clone(), detail };
        let password = self.password.read().map_err(|error| unusable(error.to_string()))?;
        String::from_utf8(password.reveal().to_vec())
            .map_err(|_| unusable(String::from("the password is not UTF-8")))
    }

    async fn connect(&self) -> Result<Conn, Fault> {
        let options = OptsBuilder::from_opts(self.options.clone()).pass(Some(self.password()?));
        let connecting = async {
            let mut connection = Conn::new(options).await?;
            for statement in SETUP {
                connection.query_drop(statement).await?;
            }
            Ok(connection)
        };
        timeout(CONNECT_DEADLINE, connecting).await.map_err(|_| Fault::Timeout)?
    }

    fn busy(&self) -> StoreError {
        StoreError::Busy { place: self.place.clone() }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(WORK_DEADLINE, work).await.unwrap_or(Err(Fault::Timeout))
}

impl Drop for Line {
    /// A runtime may not wait for its own end inside another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
