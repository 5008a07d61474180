//! What an operator can tell the daemon to do. Each order is in the ledger before it is
//! carried out, as every statement is; changes of users go through the identity store, with
//! their history.
use std::sync::Arc;

use access::store::Author;
use access::{Alteration, Change, NamedUser, UserName, UserStatus};
use bytes::Bytes;
use ledger::Event;
use sql_judge::{ServerVersion, SessionFacts};

use super::answer::Table;
use super::dialect::Token;
use super::tables::knows_user;
use crate::daemon::Daemon;
use crate::registry::{self, Reason};
use crate::reload;
use mysql_wire::error_code::{ER_CANNOT_USER, ER_NO_SUCH_THREAD, ER_UNKNOWN_ERROR};

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// End a session, or its statement.
    Kill {
        /// Connection id.
        id: u64,
        /// The statement alone.
        query_only: bool,
    },
    /// Read the configuration again.
    Reload,
    /// Take no more connections, let statements finish, end.
    Drain,
    /// Disable a stored user, or enable them.
    SetStatus {
        /// The user's name.
        user: String,
        /// What they shall be.
        status: UserStatus,
        /// Why.
        reason: Option<String>,
    },
    /// Say what the judge makes of a text.
    ExplainJudge {
        /// The text.
        sql: String,
        /// As for users of this role.
        role: Option<String>,
    },
    /// Say what orders there are.
    Help,
    /// The same, in the form of a server's manual: command line clients keep a bare HELP to
    /// themselves and send `help 'orders'` for `help orders`.
    Manual,
}

/// Why an order was not carried out: error code and words.
pub type Refused = (u16, String);

/// Who gives an order.
pub struct Giver<'a> {
    /// The operator.
    pub named: &'a NamedUser,
    /// Their session.
    pub session: u32,
}

impl Order {
    /// Reads an order. `None`: the text is something else.
    pub fn read(words: &[&Token]) -> Option<Self> {
        let is = |token: &&Token, word: &str| token.is(word);
        match words {
            [kill, id] if is(kill, "KILL") => Self::kill(id, false),
            [kill, what, id] if is(kill, "KILL") && is(what, "CONNECTION") => Self::kill(id, false),
            [kill, what, id] if is(kill, "KILL") && is(what, "QUERY") => Self::kill(id, true),
            [reload] if is(reload, "RELOAD") => Some(Self::Reload),
            [drain] if is(drain, "DRAIN") => Some(Self::Drain),
            [help] if is(help, "HELP") => Some(Self::Help),
            [help, Token::Text(_) | Token::Word(_)] if is(help, "HELP") => Some(Self::Manual),
            [verb, what, user, rest @ ..] if is(what, "USER") => {
                let status = match () {
                    () if is(verb, "LOCK") => UserStatus::Disabled,
                    () if is(verb, "UNLOCK") => UserStatus::Enabled,
                    () => return None,
                };
                let reason = match rest {
                    [] => None,
                    [word, Token::Text(reason)] if is(word, "REASON") => Some(reason.clone()),
                    _ => return None,
                };
                Some(Self::SetStatus { user: user.text()?.to_owned(), status, reason })
            }
            [explain, judge, Token::Text(sql), rest @ ..]
                if is(explain, "EXPLAIN") && is(judge, "JUDGE") =>
            {
                let role = match rest {
                    [] => None,
                    [for_, word, role] if is(for_, "FOR") && is(word, "ROLE") => {
                        Some(role.text()?.to_owned())
                    }
                    _ => return None,
                };
                Some(Self::ExplainJudge { sql: sql.clone(), role })
            }
            _ => None,
        }
    }

    fn kill(id: &Token, query_only: bool) -> Option<Self> {
        Some(Self::Kill { id: id.text()?.parse().ok()?, query_only })
    }

    /// Carries it out. `None`: there is nothing to show.
    ///
    /// # Errors
    /// Why it can't be.
    pub async fn carry_out(
        self,
        daemon: &Arc<Daemon>,
        giver: &Giver<'_>,
    ) -> Result<Option<Table>, Refused> {
        match self {
            Self::Kill { id, query_only } => kill(daemon, giver, id, query_only).await,
            Self::Reload => reload(daemon).await,
            Self::Drain => drain(),
            Self::SetStatus { user, status, reason } => {
                set_status(daemon, giver, (&user, status), reason).await
            }
            Self::ExplainJudge { sql, role } => explain_judge(daemon, sql, role).map(Some),
            Self::Help => Ok(Some(help())),
            Self::Manual => Ok(Some(manual())),
        }
    }
}

async fn kill(
    daemon: &Arc<Daemon>,
    giver: &Giver<'_>,
    id: u64,
    query_only: bool,
) -> Result<Option<Table>, Refused> {
    let all = daemon.registry.all();
    let target = all.into_iter().filter(|entry| entry.has_id(id));
    // Ids of sessions are what the operator sees; several servers may have the same of their own.
    let target = target.max_by_key(|entry| u64::from(entry.id) == id);
    let result = if target.is_some() { "killed by an operator" } else { "no such session" };
    record_kill(daemon, giver, (id, query_only), result).await;
    let Some(entry) = target else {
        return Err((ER_NO_SUCH_THREAD, format!("Unknown thread id: {id}")));
    };
    // An operator's session has nothing on the replica, nor has one that shares its connection
    // at the moment.
    let card = &entry.card;
    if let (true, Some(account), Some(seat)) = (query_only, &card.account, &card.seat) {
        let killed = daemon.pool.kill(account, seat).await;
        if let Err(fault) = &killed {
            record_kill(daemon, giver, (id, query_only), &format!("not killed: {fault}")).await;
        }
        return killed.map(|_| None).map_err(|fault| (ER_UNKNOWN_ERROR, fault.to_string()));
    }
    if !query_only {
        entry.order(registry::Order::EndNow(Reason::Killed));
    }
    Ok(None)
}

async fn record_kill(
    daemon: &Daemon,
    giver: &Giver<'_>,
    (target, query_only): (u64, bool),
    result: &str,
) {
    let (session, user) = (u64::from(giver.session), giver.named.user().name.as_str());
    daemon.record(&Event::Kill { session, user, target, query_only, result }).await;
}

async fn reload(daemon: &Arc<Daemon>) -> Result<Option<Table>, Refused> {
    let Some(place) = daemon.console.place.get() else {
        return Err((ER_UNKNOWN_ERROR, String::from("readgate: still starting")));
    };
    if !reload::reload(daemon, &place.config).await.in_force {
        let text = "readgate: the configuration is wrong, the one in force stays; the reason: \
                    SELECT record FROM ledger_tail WHERE event = 'config_load'";
        return Err((ER_UNKNOWN_ERROR, text.to_owned()));
    }
    Ok(None)
}

/// The same way as SIGTERM from outside.
fn drain() -> Result<Option<Table>, Refused> {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::TERM)
        .map(|()| None)
        .map_err(|e| (ER_UNKNOWN_ERROR, e.to_string()))
}

async fn set_status(
    daemon: &Arc<Daemon>,
    giver: &Giver<'_>,
    (user, status): (&str, UserStatus),
    reason: Option<String>,
) -> Result<Option<Table>, Refused> {
    let cannot = |why: String| (ER_CANNOT_USER, format!("readgate: {why}"));
    let name = UserName::new(user).map_err(|error| cannot(error.to_string()))?;
    if !knows_user(daemon, user) {
        return Err(cannot(format!("there is no user {user}")));
    }
    if !daemon.live().is_stored(&name) {
        let text = format!(
            "{user} stands in the configuration: set status = \"{}\" in that [[user]], then RELOAD",
            status.name()
        );
        return Err(cannot(text));
    }
    let operator = giver.named.user().name.as_str();
    let by = format!("operator:{operator} from {}", giver.named.source().addr());
    let default = match status {
        UserStatus::Disabled => "LOCK USER at the console",
        UserStatus::Enabled => "UNLOCK USER at the console",
    };
    let author = Author::new(by, reason.as_deref().unwrap_or(default))
        .map_err(|error| cannot(error.to_string()))?;
    let change = Change::Alter(name, Alteration::Status(status));
    let storing = Arc::clone(daemon);
    let stored = tokio::task::spawn_blocking(move || match &storing.directory {
        Some(directory) => directory.change(&change, &author),
        None => Ok(()),
    });
    let stored = stored.await.map_err(|error| cannot(error.to_string()))?;
    stored.map_err(|error| cannot(error.to_string()))?;
    // What is stored is so, and isn't taken back: it is taken over and recorded as soon as it can be.
    let is_so = |why| format!("{user} is {}; the rest is tried again: {why}", status.name());
    reload::take_over(daemon).await.map_err(|why| cannot(is_so(why)))?;
    Ok(None)
}

fn explain_judge(daemon: &Daemon, sql: String, role: Option<String>) -> Result<Table, Refused> {
    let live = daemon.live();
    let name = role.as_deref().unwrap_or(access::role::DEFAULT_ROLE);
    let role = live.roles.iter().find(|role| role.name == name);
    let role =
        role.ok_or_else(|| (ER_UNKNOWN_ERROR, format!("readgate: there is no role {name}")))?;
    let version = daemon.pool.target.seen().version;
    let facts = facts(daemon, version).ok_or_else(|| {
        (ER_UNKNOWN_ERROR, String::from("readgate: no replica has been seen yet"))
    })?;
    let text = Bytes::from(sql);
    let explained = sql_judge::explain(&daemon.judge(version, role).judge, &facts, text);
    let item = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = vec![
        item("verdict", explained.verdict.to_owned()),
        item("kind", explained.kind.as_str().to_owned()),
        item("rule", explained.rule.to_owned()),
        item("reason", explained.reason),
        item("offset", explained.offset.to_string()),
        item("tables", explained.structure.tables.join(", ")),
        item("columns", explained.structure.columns.join(", ")),
        item("functions", explained.structure.functions.join(", ")),
        item("shape", explained.fingerprint),
    ];
    Ok(Table::of_texts(&["item", "value"], rows))
}

/// Facts of a session that has changed nothing.
pub fn facts(daemon: &Daemon, version: ServerVersion) -> Option<SessionFacts> {
    let accounts = daemon.pool.target.accounts.load();
    let schema = accounts.own().default_schema.as_deref().map(str::as_bytes);
    SessionFacts::from_session_variables(version, b"", b"utf8mb4", schema)
}

/// Each order, and what it does.
const ORDERS: [(&str, &str); 7] = [
    ("SELECT ...", "any query on the tables that SHOW TABLES lists"),
    ("KILL [CONNECTION | QUERY] id", "end a session, or its statement (table sessions)"),
    ("RELOAD", "read the configuration again"),
    ("DRAIN", "take no more connections, let statements finish, end"),
    ("LOCK USER name [REASON 'text']", "disable a stored user, end their sessions"),
    ("UNLOCK USER name [REASON 'text']", "enable a stored user"),
    ("EXPLAIN JUDGE 'sql' [FOR ROLE name]", "what the judge makes of a statement, and why"),
];

fn help() -> Table {
    let row = |(order, does): (&str, &str)| vec![order.to_owned(), does.to_owned()];
    Table::of_texts(&["order", "does"], ORDERS.into_iter().map(row).collect())
}

/// One page: a topic, its text, no example.
fn manual() -> Table {
    let text: String =
        ORDERS.iter().map(|(order, does)| format!("{order}\n    {does}\n")).collect();
    let page = vec!["orders".to_owned(), text, String::new()];
    Table::of_texts(&["name", "description", "example"], vec![page])
}
