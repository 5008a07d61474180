//! A real server, a session with every right, and a second one that watches it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use readgate_tests::keeper::Kept;
use readgate_tests::place::{free_port, script, target, wait_for};
use readgate_tests::server::{Flavour, must};
use sql_judge::{Judge, Policy, ServerVersion, SessionFacts, SessionVariables, Verdict};
use tokio::runtime::Runtime;

/// The server's own label of a statement and its digest.
pub(crate) struct Event {
    /// Such as `select` or `insert`; empty if the server kept none.
    pub(crate) name: String,
    /// `DIGEST_TEXT`.
    pub(crate) digest: Option<String>,
}

/// What of the user's session decides how its texts are read.
struct Variables {
    sql_mode: Vec<u8>,
    charset: Vec<u8>,
    schema: Option<Vec<u8>>,
    collation: Vec<u8>,
}

/// The two connections and the judge for their server.
pub(crate) struct Session {
    runtime: Runtime,
    user: Conn,
    watcher: Conn,
    socket: String,
    thread: u64,
    server: ServerVersion,
    judge: Judge,
    /// The server has ended.
    is_gone: bool,
    _process: Kept,
}

impl Session {
    /// Starts a fresh server in a folder of this name and connects.
    pub(crate) fn start(flavour: Flavour, name: &str) -> Self {
        let directory = target().join("judge").join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("the server's folder can be made");
        let server = |action: &str| {
            let mut command = Command::new(script("server.sh"));
            command.args([action, flavour.name()]).env("SERVER_END_SIGNAL", "KILL");
            command
        };
        must(&mut server("install"));
        must(server("prepare").arg(&directory));
        must(Command::new(script("certificates.sh")).arg(directory.join("certs")));
        let mut run = server("run");
        run.arg(&directory).arg(free_port().to_string());
        run.args(["--performance-schema=ON", "--log-bin-trust-function-creators=1"]);
        run.arg("--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON");
        let process = Kept::start(&run, &directory.join("output"));
        wait_for("the server answers", Duration::from_secs(60), || {
            let ready = server("ready").arg(&directory).output();
            ready.is_ok_and(|output| output.status.success()).then_some(())
        });
        let socket = directory.join("mysql.sock").display().to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (mut user, mut watcher) = runtime.block_on(async {
            (connect(&socket, "root", "").await, connect(&socket, "root", "").await)
        });
        let version: String =
            runtime.block_on(user.query_first("SELECT VERSION()")).unwrap().unwrap();
        let server = ServerVersion::from_greeting(version.as_bytes()).unwrap();
        runtime.block_on(async {
            for consumer in ["events_statements_current", "events_statements_history"] {
                let enable = "UPDATE performance_schema.setup_consumers SET enabled = 'YES'";
                watcher.query_drop(format!("{enable} WHERE name = '{consumer}'")).await.unwrap();
            }
        });
        let judge = Judge::new(server, Policy::default());
        let mut session = Self {
            runtime,
            user,
            watcher,
            socket,
            thread: 0,
            server,
            judge,
            is_gone: false,
            _process: process,
        };
        session.watch("CREATE USER narrow@localhost");
        session.fresh();
        session
    }

    /// A new connection of the user, in an empty schema `test`.
    pub(crate) fn fresh(&mut self) {
        self.watch("DROP DATABASE IF EXISTS test");
        self.watch("CREATE DATABASE test");
        self.reconnect();
        for limit in ["SET lock_wait_timeout = 2", "SET innodb_lock_wait_timeout = 1"] {
            assert!(self.run(limit.as_bytes()));
        }
    }

    /// A new connection in the schema `test`.
    pub(crate) fn reconnect(&mut self) {
        self.user = self.runtime.block_on(connect(&self.socket, "root", "test"));
        let id = self.user.id();
        let thread = "SELECT thread_id FROM performance_schema.threads WHERE processlist_id";
        self.thread = self.ask(&format!("{thread} = {id}")).parse().unwrap();
    }

    /// A statement was more than the server could bear. Then only a new session can go on.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Which connection the user has: another one behind a statement that wasn't answered.
    pub(crate) fn connection(&self) -> u64 {
        self.thread
    }

    /// Runs a statement as the user; whether the server answered without an error.
    pub(crate) fn run(&mut self, statement: &[u8]) -> bool {
        let (user, limit) = (&mut self.user, Duration::from_secs(20));
        let run = async { tokio::time::timeout(limit, user.query_drop(statement)).await };
        match self.runtime.block_on(run) {
            Ok(Ok(())) => true,
            Ok(Err(mysql_async::Error::Server(_))) => false,
            Ok(Err(_)) | Err(_) => {
                // The server goes on with a statement whose client has left.
                let kill = format!("KILL {}", self.user.id());
                let _ = self.runtime.block_on(self.watcher.query_drop(kill));
                self.is_gone = self.runtime.block_on(self.watcher.ping()).is_err();
                if !self.is_gone {
                    self.reconnect();
                }
                false
            }
        }
    }

    /// The error that the server answers a statement of the user with.
    pub(crate) fn error(&mut self, statement: &[u8]) -> Option<u16> {
        match self.runtime.block_on(self.user.query_drop(statement)) {
            Err(mysql_async::Error::Server(error)) => Some(error.code),
            Err(error) => panic!("{}: {error}", statement.escape_ascii()),
            Ok(()) => None,
        }
    }

    /// The facts of the user's session, as the server has them now.
    pub(crate) fn facts(&mut self) -> Option<SessionFacts> {
        let Variables { sql_mode, charset, schema, .. } = self.variables()?;
        let schema = schema.as_deref();
        SessionFacts::from_session_variables(self.server, &sql_mode, &charset, schema)
    }

    /// Has facts read back from the server; whether the daemon's session would go on.
    pub(crate) fn resync(&mut self, facts: &mut SessionFacts) -> bool {
        let Some(Variables { sql_mode, charset, schema, collation }) = self.variables() else {
            return false;
        };
        facts.resync(&SessionVariables {
            sql_mode: &sql_mode,
            character_set_client: &charset,
            collation_connection: &collation,
            schema: schema.as_deref(),
        })
    }

    fn variables(&mut self) -> Option<Variables> {
        // The limit overrides `sql_select_limit`, the casts `character_set_results`.
        let query = "SELECT CAST(@@sql_mode AS BINARY), CAST(@@character_set_client AS BINARY), \
                     CAST(DATABASE() AS BINARY), CAST(@@collation_connection AS BINARY) LIMIT 1";
        let row: Option<mysql_async::Row> =
            self.runtime.block_on(self.user.query_first(query)).ok()?;
        let (sql_mode, charset, schema, collation) = mysql_async::from_row_opt(row?).ok()?;
        Some(Variables { sql_mode, charset, schema, collation })
    }

    /// The judge's word on a statement.
    pub(crate) fn verdict(&self, facts: &SessionFacts, statement: &[u8]) -> Verdict {
        self.judge.judge(facts, Bytes::copy_from_slice(statement))
    }

    /// A judge for the same server under another policy.
    pub(crate) fn judge_with(&self, policy: Policy) -> Judge {
        Judge::new(self.server, policy)
    }

    /// The server's folder.
    pub(crate) fn directory(&self) -> &Path {
        Path::new(&self.socket).parent().expect("the socket is in a folder")
    }

    /// What the server says of the user's last statement. The row is that statement's from
    /// its beginning on; its digest follows at its end, which may be a moment after the
    /// client has its answer. `None`: the server has died since, as one does that takes longer
    /// to tell of its death than the statement may take.
    pub(crate) fn last_event(&mut self) -> Option<Event> {
        let query = format!(
            "SELECT event_name, digest_text, timer_end IS NOT NULL \
             FROM performance_schema.events_statements_current \
             WHERE thread_id = {} AND nesting_event_level = 0",
            self.thread
        );
        wait_for("the statement has ended", Duration::from_secs(10), || {
            let row: Result<Option<(String, Option<String>, bool)>, _> =
                self.runtime.block_on(self.watcher.query_first(query.as_str()));
            let Ok(row) = row else {
                self.is_gone = true;
                return Some(None);
            };
            let (name, digest, ended) = row.unwrap_or((String::new(), None, true));
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            ended.then_some(Some(Event { name, digest }))
        })
    }

    /// The locks on names that the user's transaction holds: sort, schema, name and how.
    pub(crate) fn name_locks(&mut self) -> Vec<[String; 4]> {
        let query = format!(
            "SELECT DISTINCT object_type, COALESCE(object_schema, ''), COALESCE(object_name, ''), \
             lock_type FROM performance_schema.metadata_locks WHERE owner_thread_id = {}",
            self.thread
        );
        let rows: Result<Vec<(String, String, String, String)>, _> =
            self.runtime.block_on(self.watcher.query(query));
        self.is_gone |= rows.is_err();
        rows.unwrap_or_default()
            .into_iter()
            .map(|(sort, schema, name, how)| [sort, schema, name, how])
            .collect()
    }

    /// The columns of a table in `test`; `None` for one that is the user's session's alone, and for
    /// what is no table.
    pub(crate) fn columns_of(&mut self, table: &str) -> Option<Vec<String>> {
        let columns = self.list(&format!(
            "SELECT column_name FROM information_schema.columns \
             JOIN information_schema.tables USING (table_schema, table_name) \
             WHERE table_schema = 'test' AND table_type = 'BASE TABLE' \
             AND BINARY table_name = '{table}' ORDER BY ordinal_position"
        ));
        (!self.is_temporary(&format!("`{table}`"))).then_some(columns)
    }

    /// The error that the server answers a statement with if an account that has just these rights
    /// sends it, read as the user's.
    pub(crate) fn error_with_rights(
        &mut self,
        rights: &[String],
        statement: &[u8],
    ) -> Option<mysql_async::ServerError> {
        for right in rights {
            self.watch(&format!("GRANT {right} TO narrow@localhost"));
        }
        let settings = "SELECT CONCAT('SET NAMES ', @@character_set_client, \
                        ', sql_mode = ', QUOTE(@@sql_mode)) LIMIT 1";
        let settings: Option<String> =
            self.runtime.block_on(self.user.query_first(settings)).ok().flatten();
        let settings = settings.unwrap_or_default();
        let socket = self.socket.as_str();
        let limit = Duration::from_secs(20);
        let ran = self.runtime.block_on(async {
            let mut narrow = connect(socket, "narrow", "test").await;
            narrow.query_drop(settings).await?;
            let ran = tokio::time::timeout(limit, narrow.query_drop(statement)).await;
            ran.unwrap_or(Ok(()))
        });
        self.watch("REVOKE ALL PRIVILEGES, GRANT OPTION FROM narrow@localhost");
        match ran {
            Err(mysql_async::Error::Server(error)) => Some(error),
            Err(_) => {
                self.is_gone = self.runtime.block_on(self.watcher.ping()).is_err();
                None
            }
            Ok(()) => None,
        }
    }

    /// Whether a table is the user's session's alone.
    pub(crate) fn is_temporary(&mut self, table: &str) -> bool {
        let query = format!("SHOW CREATE TABLE {table}");
        let row: Result<Option<mysql_async::Row>, _> =
            self.runtime.block_on(self.user.query_first(query));
        let definition = row.ok().flatten().and_then(|row| row.get_opt::<Vec<u8>, usize>(1));
        definition.is_some_and(|text| text.is_ok_and(|text| text.starts_with(b"CREATE TEMPORARY")))
    }

    /// The single value that a query of the watcher gives.
    pub(crate) fn ask(&mut self, query: &str) -> String {
        let value: Option<mysql_async::Value> =
            self.runtime.block_on(self.watcher.query_first(query)).unwrap();
        value.map(|value| value.as_sql(true)).unwrap_or_default().trim_matches('\'').to_owned()
    }

    /// The single column that a query of the watcher gives.
    pub(crate) fn list(&mut self, query: &str) -> Vec<String> {
        self.runtime.block_on(self.watcher.query(query)).unwrap()
    }

    /// The second column of the first row that the watcher gets.
    pub(crate) fn second_column(&mut self, query: &str) -> String {
        let row: Option<mysql_async::Row> =
            self.runtime.block_on(self.watcher.query_first(query)).unwrap();
        row.and_then(|row| row.as_ref(1).map(|value| value.as_sql(true))).unwrap_or_default()
    }

    /// Runs a statement of the watcher that must succeed.
    pub(crate) fn watch(&mut self, statement: &str) {
        self.runtime.block_on(self.watcher.query_drop(statement)).unwrap();
    }

    /// Whether the server is MySQL.
    pub(crate) fn is_mysql(&self) -> bool {
        self.server.flavour == sql_judge::Flavour::MySql
    }
}

async fn connect(socket: &str, user: &str, schema: &str) -> Conn {
    let schema = (!schema.is_empty()).then_some(schema);
    let options = OptsBuilder::default()
        .socket(Some(socket))
        .user(Some(user))
        .db_name(schema)
        .max_allowed_packet(Some(1 << 26))
        .wait_timeout(Some(28_800));
    Conn::new(options).await.expect("accounts can connect over the socket")
}
