//! One statement of an operator: the table of contents.
//!
//! text -> ledger: intent -> answer -> ledger: outcome -> the answer goes out.
use std::sync::Arc;
use std::time::Instant;

use ledger::{Intent, IntentRecorded, Outcome, PreparedRef, ReplicaError};
use mysql_wire::error_code::{
    ER_BAD_DB_ERROR, ER_NO_SUCH_TABLE, ER_PARSE_ERROR, ER_QUERY_TIMEOUT, ER_UNKNOWN_ERROR,
};
use mysql_wire::{Command, ErrPacket, SqlState};
use rusqlite::Connection;

use super::CONSOLE;
use super::answer::{self, Rows, Table};
use super::dialect::{Token, significant, to_sqlite, tokens};
use super::engine::{self, QueryFault};
use super::functions::{self, Asker};
use super::introspection::{SCHEMAS, snapshot};
use super::orders::{Giver, Order, facts};
use super::session::Operator;
use super::show;
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::recording::{Form, within_deadline};
use crate::session::carried::{Carried, NOTHING};
use crate::session::refuse::ledger_down;

/// First words of what clients set up their session with; it does nothing here.
const SETTING_UP: [&str; 6] = ["SET", "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"];

/// What a text asks for.
enum Wish {
    /// Nothing that the console has: clients set up their session so.
    Nothing,
    /// Another schema.
    Use(String),
    /// A query in SQLite's SQL.
    Query(String),
    /// An order to the daemon.
    Order(Order),
    /// Something the console doesn't do.
    Unknown,
}

/// One statement, or one execution of a prepared one.
pub struct Asked<'a> {
    /// What the client sent.
    pub command: Command,
    /// The text; of an execution nothing, as the record of its PREPARE holds it.
    pub text: &'a [u8],
    /// The text taken apart, with an execution's values in it.
    pub tokens: Vec<Token>,
    /// An execution's values, for the record.
    pub carried: &'a Carried,
    /// Which statement is executed.
    pub prepared: Option<PreparedRef>,
}

impl<'a> Asked<'a> {
    /// A text, to be run or prepared.
    pub fn text(command: Command, text: &'a [u8]) -> Self {
        let tokens = tokens(&String::from_utf8_lossy(text));
        Self { command, text, tokens, carried: &NOTHING, prepared: None }
    }
}

/// Runs one statement to its last packet.
pub async fn run(
    operator: &mut Operator<'_>,
    asked: &Asked<'_>,
    received: Instant,
) -> Result<(), Ending> {
    let intent = match record_intent(operator, asked).await {
        Ok(intent) => intent,
        Err(why) => return operator.err(&ledger_down(&why)).await,
    };
    operator.context.count_statement();
    let asker = asker(operator);
    let wish = wish(&asked.tokens, &asker);
    let answered = answer(operator, wish, asker).await;
    record_outcome(operator, intent, &answered, received).await?;
    let rows = if asked.prepared.is_some() { Rows::Binary } else { Rows::Text };
    match answered {
        Ok(None) => operator.ok().await,
        Ok(Some(table)) => {
            answer::queue(operator.client, &table, operator.logged_in.negotiated, rows);
            operator.flush().await
        }
        Err(err) => operator.err(&err).await,
    }
}

/// What a prepared statement has.
pub struct Described {
    /// The columns of its result, as far as they are known before it runs.
    pub columns: Vec<answer::Column>,
    /// Sequence number of the record that holds its text.
    pub intent: u64,
}

/// Records and looks at a statement that is to be prepared. `None`: the client was told why
/// it can't be.
pub async fn describe(
    operator: &mut Operator<'_>,
    asked: &Asked<'_>,
    received: Instant,
) -> Result<Option<Described>, Ending> {
    let recorded = match record_intent(operator, asked).await {
        Ok(intent) => intent,
        Err(why) => return operator.err(&ledger_down(&why)).await.map(|()| None),
    };
    let intent = recorded.sequence();
    let asker = asker(operator);
    let described = match wish(&asked.tokens, &asker) {
        Wish::Query(sql) => query(operator.daemon, sql, asker, engine::describe).await.map(Some),
        // Perhaps it is something once its values are known.
        Wish::Unknown if !asked.tokens.contains(&Token::Mark('?')) => Err(unknown()),
        Wish::Nothing | Wish::Use(_) | Wish::Order(_) | Wish::Unknown => Ok(None),
    };
    record_outcome(operator, recorded, &described, received).await?;
    match described {
        Ok(table) => {
            let columns = table.map(|table| table.columns).unwrap_or_default();
            Ok(Some(Described { columns, intent }))
        }
        Err(err) => operator.err(&err).await.map(|()| None),
    }
}

/// The schema of that name, if the console has it.
pub fn schema(name: &[u8]) -> Option<&'static str> {
    SCHEMAS.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// What is said of a schema that the console has not.
pub fn unknown_schema(name: &[u8]) -> ErrPacket {
    let text = format!("Unknown database '{}'", String::from_utf8_lossy(name));
    ErrPacket::new(ER_BAD_DB_ERROR, SqlState::ACCESS, text)
}

fn asker(operator: &Operator<'_>) -> Asker {
    let replica = operator.daemon.pool.target.seen();
    let named = &operator.logged_in.named;
    Asker {
        user: format!("{}@{}", named.user().name, named.source().addr()),
        connection_id: operator.context.connection_id,
        schema: operator.schema,
        version: String::from_utf8_lossy(&replica.version_text).into_owned(),
    }
}

fn wish(tokens: &[Token], asker: &Asker) -> Wish {
    let words = significant(tokens);
    let Some((first, rest)) = words.split_first() else { return Wish::Nothing };
    if let Some(order) = Order::read(&words) {
        return Wish::Order(order);
    }
    let is = |word: &str| first.is(word);
    let query = |found: Option<String>| found.map_or(Wish::Unknown, Wish::Query);
    match () {
        () if is("SELECT") || is("WITH") || is("VALUES") || **first == Token::Mark('(') => {
            Wish::Query(to_sqlite(tokens))
        }
        () if is("SHOW") => query(show::query(rest, asker)),
        () if is("DESCRIBE") || is("DESC") || is("EXPLAIN") => match rest.first() {
            Some(next) if next.is("SELECT") || next.is("JUDGE") => Wish::Unknown,
            Some(_) | None => query(show::describe(rest)),
        },
        () if is("USE") => match rest {
            [name] => name.text().map_or(Wish::Unknown, |name| Wish::Use(name.to_owned())),
            _ => Wish::Unknown,
        },
        // A password is changed where passwords are checked, or not at all.
        () if is("SET") && rest.first().is_some_and(|next| next.is("PASSWORD")) => Wish::Unknown,
        () if SETTING_UP.iter().any(|word| is(word)) => Wish::Nothing,
        () if is("START") && rest.first().is_some_and(|next| next.is("TRANSACTION")) => {
            Wish::Nothing
        }
        () => Wish::Unknown,
    }
}

async fn answer(
    operator: &mut Operator<'_>,
    wish: Wish,
    asker: Asker,
) -> Result<Option<Table>, ErrPacket> {
    match wish {
        Wish::Nothing => Ok(None),
        Wish::Use(name) => {
            operator.schema =
                Some(schema(name.as_bytes()).ok_or_else(|| unknown_schema(name.as_bytes()))?);
            Ok(None)
        }
        Wish::Query(sql) => query(operator.daemon, sql, asker, engine::run).await.map(Some),
        Wish::Order(order) => {
            let session = operator.context.connection_id;
            let giver = Giver { named: &operator.logged_in.named, session };
            let carried_out = order.carry_out(operator.daemon, &giver).await;
            carried_out.map_err(|(code, why)| ErrPacket::new(code, SqlState::GENERAL, why))
        }
        Wish::Unknown => Err(unknown()),
    }
}

fn unknown() -> ErrPacket {
    let text = "readgate: the console answers SELECT, SHOW, DESCRIBE and its own orders; HELP \
                lists them";
    ErrPacket::new(ER_PARSE_ERROR, SqlState::ACCESS, text)
}

/// On a thread that may wait: a snapshot, its bounds, the query.
async fn query(
    daemon: &Arc<Daemon>,
    sql: String,
    asker: Asker,
    run: fn(&Connection, &str) -> Result<Table, QueryFault>,
) -> Result<Table, ErrPacket> {
    let internal = |why: String| ErrPacket::new(ER_UNKNOWN_ERROR, SqlState::GENERAL, why);
    let place = daemon.console.queries.acquire().await.map_err(|e| internal(e.to_string()))?;
    let asked = Arc::clone(daemon);
    let ran = tokio::task::spawn_blocking(move || -> Result<Table, QueryFault> {
        let mut snapshot = snapshot(&asked, &sql)?;
        functions::add(&snapshot, &asker)?;
        engine::lock_down(&mut snapshot)?;
        run(&snapshot, &sql)
    });
    let ran = ran.await.map_err(|error| internal(error.to_string()))?;
    drop(place);
    ran.map_err(|fault| fault_packet(&fault))
}

fn fault_packet(fault: &QueryFault) -> ErrPacket {
    let text = fault.to_string();
    let (code, state) = match fault {
        QueryFault::TooLong => (ER_QUERY_TIMEOUT, SqlState::GENERAL),
        QueryFault::TooMuch(_) => (ER_UNKNOWN_ERROR, SqlState::GENERAL),
        QueryFault::Sqlite(_) if text.contains("no such table") => {
            (ER_NO_SUCH_TABLE, SqlState::new(*b"42S02"))
        }
        QueryFault::Sqlite(_) => (ER_PARSE_ERROR, SqlState::ACCESS),
    };
    ErrPacket::new(code, state, format!("readgate: {text}"))
}

async fn record_intent(
    operator: &Operator<'_>,
    asked: &Asked<'_>,
) -> Result<IntentRecorded, String> {
    let text = asked.text;
    let daemon: &Daemon = operator.daemon;
    let redacts = daemon.live().records.redacts(&operator.logged_in.named.user().role.name);
    let form = match facts(daemon, daemon.pool.target.seen().version) {
        Some(facts) => Form::by(redacts, &facts, text),
        None if redacts => Form::Hashed,
        None => Form::Full,
    };
    let binds = asked.carried.binds();
    let attributes = asked.carried.attributes();
    let intent = Intent {
        command: asked.command.name(),
        schema: operator.schema.map(str::as_bytes),
        text,
        kind: CONSOLE,
        form: form.as_ref(),
        prepared: asked.prepared,
        binds,
        attributes: &attributes,
        ..Intent::default()
    };
    within_deadline(daemon.ledger.intent(&operator.tag, &intent)).await
}

/// If it can't be recorded, the operator doesn't get the answer.
async fn record_outcome(
    operator: &Operator<'_>,
    intent: IntentRecorded,
    answered: &Result<Option<Table>, ErrPacket>,
    received: Instant,
) -> Result<(), Ending> {
    let state = answered.as_ref().err().map(|err| err.sqlstate.to_text());
    let error = answered.as_ref().err().map(|err| ReplicaError {
        code: err.code,
        sqlstate: state.as_deref().unwrap_or_default(),
        // It may repeat values of the text.
        message: "",
    });
    let table = answered.as_ref().ok().and_then(Option::as_ref);
    let outcome = Outcome {
        rows: table.map_or(0, |table| table.rows.len() as u64),
        bytes: table.map_or(0, Table::bytes),
        duration: received.elapsed(),
        end: if answered.is_ok() { "ok" } else { "error" },
        error,
        ..Outcome::default()
    };
    let recording = operator.daemon.ledger.outcome(&operator.tag, intent, &outcome);
    let recorded = within_deadline(recording).await.map(|_| ());
    recorded.map_err(|why| Ending::silent(EndingKind::LedgerFault, why))
}
