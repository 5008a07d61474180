//! The session guard, the second wall: each replica session is read-only and bounded in
//! time, whatever statement might have slipped past the judge. Set after login and after
//! every reset, and verified by reading it back.
use std::sync::Arc;
use std::time::Duration;

use mysql_wire::StatusFlags;
use mysql_wire::error_code::{ER_QUERY_INTERRUPTED, ER_QUERY_TIMEOUT, ER_STATEMENT_TIMEOUT};
use sql_judge::{Flavour, Limits, ServerVersion, SessionVariables};

use super::login::LoggedIn;
use super::text_query::{self, QueryFault, TextRow};
use super::{ReplicaFault, ReplicaSession, SessionWish};

/// A KILL QUERY that came just then, and the user's own limit on how long a statement may run: what
/// was asked is asked again.
const INTERRUPTED: [u16; 3] = [ER_QUERY_INTERRUPTED, ER_QUERY_TIMEOUT, ER_STATEMENT_TIMEOUT];
/// So often.
const TRIES: usize = 5;
/// MariaDB calls it `transaction_read_only` from this version on.
const MARIADB_TRANSACTION_READ_ONLY: u32 = 110_101;

/// Bounds that the guard sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSettings {
    /// Longest run of a statement; `None`: no limit.
    pub statement_timeout: Option<Duration>,
    /// Longest wait for a lock.
    pub lock_wait_timeout: Duration,
}

impl GuardSettings {
    /// With a shorter statement timeout, where a role has one.
    pub fn narrowed(&self, statement_timeout: Option<Duration>) -> Self {
        let shortest = self.statement_timeout.into_iter().chain(statement_timeout).min();
        Self { statement_timeout: shortest, ..self.clone() }
    }

    /// The same for the judge: users may set shorter times, not longer ones.
    pub fn limits(&self) -> Limits {
        Limits { statement: self.statement_timeout, lock_wait: Some(self.lock_wait_timeout) }
    }
}

/// Session variables as the replica reports them after the guard: where the judge's
/// session facts start from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// `@@session.sql_mode`.
    pub sql_mode: Vec<u8>,
    /// `@@session.character_set_client`.
    pub character_set_client: Vec<u8>,
    /// `@@session.collation_connection`.
    pub collation: Vec<u8>,
    /// `DATABASE()`.
    pub schema: Option<Vec<u8>>,
    /// Neither `read_only` nor `innodb_read_only` keeps the server from writing. Each connection
    /// asks its own: behind one name there may be several, or soon another one.
    pub server_is_writable: bool,
    /// The server runs statements for each new connection (`init_connect`), and not for a new
    /// login on an old one: no connection is as another person's would be.
    pub has_init_connect: bool,
    /// Which server it is, where that was asked: its host, port and id, and when it was started. Each
    /// start gives out the same ids anew.
    pub server: Option<Vec<u8>>,
}

impl Baseline {
    /// The part of it that statements are judged by.
    pub fn variables(&self) -> SessionVariables<'_> {
        SessionVariables {
            sql_mode: &self.sql_mode,
            character_set_client: &self.character_set_client,
            collation_connection: &self.collation,
            schema: self.schema.as_deref(),
        }
    }

    /// What a session that has just logged in says after a reset to have its character set
    /// again. MariaDB goes back to the one that the connection was opened in, perhaps for
    /// another user, where a client names a collation that it doesn't know. MySQL goes back to
    /// its own default, whoever asks.
    pub fn names(&self, version: ServerVersion) -> Option<Box<str>> {
        let charset = word(&self.character_set_client)?;
        let collation = word(&self.collation)?;
        let names = || format!("SET NAMES {charset} COLLATE {collation}").into();
        (version.flavour == Flavour::MariaDb && collation.starts_with(charset)).then(names)
    }
}

/// A name that needs no quotes.
pub fn word(bytes: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_word = !bytes.is_empty() && bytes.iter().all(plain);
    std::str::from_utf8(bytes).ok().filter(|_| is_word)
}

/// Sets and verifies the guard of a connection that has just logged in.
pub async fn put_in_force(
    mut connection: LoggedIn,
    guard: GuardSettings,
    wish: &Arc<SessionWish>,
) -> Result<ReplicaSession, ReplicaFault> {
    let server = match connection.seat.server.is_empty() {
        true => server(connection.version.flavour),
        false => KNOWN.to_owned(),
    };
    let statements = statements(connection.version, &guard, &server);
    let baseline = answer_to(&mut connection, &statements).await?;
    connection.is_personal |= baseline.has_init_connect;
    if let Some(server) = &baseline.server {
        connection.seat.server = server.as_slice().into();
    }
    Ok(ReplicaSession { connection, guard, wish: Arc::clone(wish), baseline, is_loose: false })
}

/// Sets and verifies the guard of a session that was reset, behind what it is to say first.
pub async fn set_again(
    connection: &mut LoggedIn,
    settings: &GuardSettings,
    names: Option<&str>,
) -> Result<Baseline, ReplicaFault> {
    let guard = statements(connection.version, settings, KNOWN);
    let all: Vec<String> = names.map(str::to_owned).into_iter().chain(guard).collect();
    answer_to(connection, &all).await
}

/// Reads a session's state back, after something left it in doubt. The guard's own limits
/// stay as the user may have shortened them.
pub async fn read_again(connection: &mut LoggedIn) -> Result<Baseline, ReplicaFault> {
    let question = question(connection.version, KNOWN);
    answer_to(connection, &[question]).await
}

/// Has the session read-only again, whatever a routine has set in it. The limits stay: readgate
/// has a clock of its own.
pub async fn tighten(connection: &mut LoggedIn) -> Result<Baseline, ReplicaFault> {
    let read_only = format!("SET SESSION {} = 1", read_only(connection.version));
    after(connection, vec![read_only]).await
}

/// Runs statements of our own, then reads the session's state back.
pub async fn after(
    connection: &mut LoggedIn,
    mut statements: Vec<String>,
) -> Result<Baseline, ReplicaFault> {
    statements.push(question(connection.version, KNOWN));
    answer_to(connection, &statements).await
}

async fn answer_to(
    connection: &mut LoggedIn,
    statements: &[String],
) -> Result<Baseline, ReplicaFault> {
    let mut tries = 0..TRIES;
    let (rows, status) = loop {
        match text_query::run_all(&mut connection.channel, statements).await {
            Err(QueryFault::Replica(err))
                if INTERRUPTED.contains(&err.code) && tries.next().is_some() => {}
            answer => break answer.map_err(|fault| ReplicaFault::Guard(fault.to_string()))?,
        }
    };
    read_back(rows, status)
}

/// One statement for all, and one question: a replica wakes us for each.
fn statements(version: ServerVersion, settings: &GuardSettings, server: &str) -> [String; 2] {
    let lock_wait = settings.lock_wait_timeout.as_secs().max(1);
    // To both servers zero is no limit.
    let longest = settings.statement_timeout.unwrap_or_default();
    let time_limit = match version.flavour {
        Flavour::MySql => format!("max_execution_time = {}", longest.as_millis()),
        Flavour::MariaDb => format!("max_statement_time = {}", longest.as_secs_f64()),
    };
    [
        format!(
            "SET SESSION {} = 1, {time_limit}, lock_wait_timeout = {lock_wait}, \
             innodb_lock_wait_timeout = {lock_wait}",
            read_only(version)
        ),
        question(version, server),
    ]
}

/// As bytes (the flag as a number), whatever character set the user has asked results in; with a
/// LIMIT of its own, whatever sql_select_limit is.
fn question(version: ServerVersion, server: &str) -> String {
    let read_only = format!("@@session.{} + 0", read_only(version));
    let columns = [
        &read_only,
        "@@session.sql_mode",
        "@@session.character_set_client",
        "@@session.collation_connection",
        "DATABASE()",
        server_is_writable(version.flavour),
        "@@global.init_connect <> ''",
        server,
    ]
    .map(|value| format!("CAST({value} AS BINARY)"));
    format!("SELECT {} LIMIT 1", columns.join(", "))
}

/// In the place of [`server`] for a connection whose server is known: it stays there.
const KNOWN: &str = "NULL";

/// Which server it is. Both the clock and the time that it has been up are those of the statement's
/// beginning: what is between them is the same at any time, also when the clock is set. Where that
/// is behind the start, the time that it has been up counts down from 2^64.
fn server(flavour: Flavour) -> String {
    let status = match flavour {
        Flavour::MySql => "performance_schema.global_status",
        Flavour::MariaDb => "information_schema.GLOBAL_STATUS",
    };
    format!(
        "CONCAT_WS(' ', @@global.hostname, @@global.port, @@global.server_id, \
         (SELECT (18446744073709551616 + UNIX_TIMESTAMP() - CAST(VARIABLE_VALUE AS DECIMAL(20))) \
         % 18446744073709551616 FROM {status} WHERE VARIABLE_NAME = 'Uptime'))"
    )
}

/// Aurora's readers have innodb_read_only in place of the other. MariaDB's newer ones name degrees
/// of it; as a text, since a number beside one leaves a warning for the user to find.
fn server_is_writable(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::MySql => "NOT (@@global.read_only OR @@global.innodb_read_only)",
        Flavour::MariaDb => {
            "NOT (CONCAT(@@global.read_only) NOT IN ('0', 'OFF') OR @@global.innodb_read_only)"
        }
    }
}

/// The variable that `SET SESSION TRANSACTION READ ONLY` sets.
fn read_only(version: ServerVersion) -> &'static str {
    let is_old_mariadb =
        version.flavour == Flavour::MariaDb && version.number < MARIADB_TRANSACTION_READ_ONLY;
    if is_old_mariadb { "tx_read_only" } else { "transaction_read_only" }
}

/// A transaction that was begun to write still may, whatever the session is.
fn read_back(rows: Vec<TextRow>, status: StatusFlags) -> Result<Baseline, ReplicaFault> {
    let may_write = status.contains(StatusFlags::SERVER_STATUS_IN_TRANS)
        && !status.contains(StatusFlags::SERVER_STATUS_IN_TRANS_READONLY);
    if may_write {
        return Err(ReplicaFault::Guard("a transaction that may write is open".to_owned()));
    }
    let not_in_force = || ReplicaFault::Guard("the session is not read-only".to_owned());
    let row = rows.into_iter().next().ok_or_else(not_in_force)?;
    let [read_only, sql_mode, charset, collation, schema, writable, init_connect, server] =
        <[_; 8]>::try_from(row).map_err(|_| not_in_force())?;
    if read_only.as_deref() != Some(b"1") {
        return Err(not_in_force());
    }
    Ok(Baseline {
        sql_mode: sql_mode.unwrap_or_default(),
        character_set_client: charset.unwrap_or_default(),
        collation: collation.unwrap_or_default(),
        schema,
        server_is_writable: writable.as_deref() != Some(b"0"),
        has_init_connect: init_connect.as_deref() != Some(b"0"),
        server,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_not_read_only_is_refused() {
        let row = |flag: &[u8]| {
            let rest = ["", "utf8mb4", "utf8mb4_bin"].map(|text| Some(text.as_bytes().to_vec()));
            let server = [None, Some(b"0".to_vec()), Some(b"0".to_vec()), Some(b"host".to_vec())];
            [Some(flag.to_vec())].into_iter().chain(rest).chain(server).collect()
        };
        let idle = StatusFlags::SERVER_STATUS_AUTOCOMMIT;
        assert!(read_back(vec![row(b"1")], idle).is_ok());
        assert!(read_back(vec![row(b"0")], idle).is_err());
        assert!(read_back(Vec::new(), idle).is_err());
        let writes = idle | StatusFlags::SERVER_STATUS_IN_TRANS;
        assert!(read_back(vec![row(b"1")], writes).is_err());
        let reads = writes | StatusFlags::SERVER_STATUS_IN_TRANS_READONLY;
        assert!(read_back(vec![row(b"1")], reads).is_ok());
    }
}
