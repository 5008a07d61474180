//! Prepared statements: judged once, when prepared; the permit is kept with the id, and
//! executions run only what it covers.
use std::collections::HashMap;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use ledger::PreparedRef;
use mysql_wire::prepare::statement_id;
use mysql_wire::response::{Expect, ResponseEnd, ResponseWalker};
use mysql_wire::{Command, ErrPacket, SqlState};
use sql_judge::{ReadPermit, Verdict};

use super::passthrough::{relay_whole, replica_gone};
use super::statement::{Execution, Run};
use super::{Session, refuse};
use crate::ending::Ending;

/// ER_UNKNOWN_STMT_HANDLER.
const UNKNOWN_HANDLER: u16 = 1243;
/// ER_MAX_PREPARED_STMT_COUNT_REACHED.
const TOO_MANY_PREPARED: u16 = 1461;
/// ER_NET_PACKET_TOO_LARGE.
const TOO_LARGE: u16 = 1153;
/// MariaDB's clients name the statement that they prepared last by this id.
const LAST_PREPARED: u32 = u32::MAX;

/// A session's prepared statements, by the id that the client uses (it is the replica's).
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_id: HashMap<u32, Prepared>,
    last: Option<u32>,
}

#[derive(Debug)]
struct Prepared {
    permit: ReadPermit,
    /// Sequence number of the record that holds the text.
    intent: u64,
    /// Long data sent for the next execution, in bytes.
    long_data: usize,
}

impl PreparedStatements {
    /// Forgets all, as a reset of the session does.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.last = None;
    }

    fn resolve(&self, body: &[u8]) -> Option<u32> {
        match statement_id(body).ok()? {
            LAST_PREPARED => self.last,
            id => self.by_id.contains_key(&id).then_some(id),
        }
    }
}

/// COM_STMT_PREPARE.
pub async fn prepare(
    session: &mut Session<'_>,
    text: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    session.prepared.last = None;
    let permit = match session.judge.judge_prepare(&session.facts, text.clone()) {
        Verdict::Allow(permit) => permit,
        Verdict::Deny(denial) => {
            return refuse::deny(session, Command::StmtPrepare, &text, &denial).await;
        }
        Verdict::Absorb(_) | Verdict::Own(_) => return unsupported(session).await,
    };
    if session.prepared.by_id.len() >= session.limits.prepared_statements {
        let text = format!(
            "readgate: can't create more than {} prepared statements in a session \
             (limits.prepared_statements)",
            session.limits.prepared_statements
        );
        return session.send_err(&ErrPacket::new(TOO_MANY_PREPARED, SqlState::ACCESS, text)).await;
    }
    let run = Run::of_text(Command::StmtPrepare, &permit, false);
    let ran = run.to_the_end(session, received).await?;
    if let Some(prepare_ok) = ran.prepared {
        let prepared = Prepared { permit, intent: ran.intent, long_data: 0 };
        session.prepared.by_id.insert(prepare_ok.statement_id, prepared);
        session.prepared.last = Some(prepare_ok.statement_id);
    }
    Ok(())
}

/// COM_STMT_EXECUTE.
pub async fn execute(
    session: &mut Session<'_>,
    body: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    run_prepared(session, Command::StmtExecute, body, received).await
}

/// COM_STMT_FETCH: more rows of a cursor, so a record of its own.
pub async fn fetch(
    session: &mut Session<'_>,
    body: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    run_prepared(session, Command::StmtFetch, body, received).await
}

async fn run_prepared(
    session: &mut Session<'_>,
    command: Command,
    body: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else { return unknown(session, &body).await };
    let most = session.limits.max_payload;
    let Some(prepared) = session.prepared.by_id.get_mut(&id) else {
        return unknown(session, &body).await;
    };
    let long_data = std::mem::take(&mut prepared.long_data);
    if command == Command::StmtExecute && long_data > most {
        let text = "readgate: parameters sent as long data are larger than limits.max_payload";
        return session.send_err(&ErrPacket::new(TOO_LARGE, SqlState::LINK, text)).await;
    }
    let permit = prepared.permit.clone();
    let run = Run {
        command,
        permit: &permit,
        execution: Some(Execution {
            body: with_id(body, id),
            prepared: PreparedRef { statement_id: id, intent: prepared.intent },
        }),
        more_after: false,
    };
    run.to_the_end(session, received).await.map(|_| ())
}

/// COM_STMT_SEND_LONG_DATA: has no answer, so what is too much shows at execution.
pub async fn send_long_data(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else { return Ok(()) };
    let most = session.limits.max_payload;
    let Some(prepared) = session.prepared.by_id.get_mut(&id) else { return Ok(()) };
    prepared.long_data = prepared.long_data.saturating_add(body.len());
    if prepared.long_data > most {
        return Ok(());
    }
    let body = with_id(body, id);
    send(session, Command::StmtSendLongData, &body).await
}

/// COM_STMT_CLOSE: has no answer.
pub async fn close(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else { return Ok(()) };
    session.prepared.by_id.remove(&id);
    if session.prepared.last == Some(id) {
        session.prepared.last = None;
    }
    send(session, Command::StmtClose, &id.to_le_bytes()).await
}

/// COM_STMT_RESET.
pub async fn reset(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else { return unknown(session, &body).await };
    if let Some(prepared) = session.prepared.by_id.get_mut(&id) {
        prepared.long_data = 0;
    }
    send(session, Command::StmtReset, &id.to_le_bytes()).await?;
    let mut walker = ResponseWalker::new(Expect::Ack, session.replica.form, 1, 1);
    let _: ResponseEnd = relay_whole(session, &mut walker).await?;
    Ok(())
}

async fn send(session: &mut Session<'_>, command: Command, body: &[u8]) -> Result<(), Ending> {
    session.replica.channel.begin_command();
    session.replica.channel.send(&[&[command.byte()], body]).await.map_err(replica_gone)
}

/// The body with the statement's real id in front.
fn with_id(body: Bytes, id: u32) -> Bytes {
    if statement_id(&body) == Ok(id) {
        return body;
    }
    let mut named = BytesMut::with_capacity(body.len());
    named.put_u32_le(id);
    named.put_slice(body.get(4..).unwrap_or_default());
    named.freeze()
}

async fn unknown(session: &mut Session<'_>, body: &[u8]) -> Result<(), Ending> {
    let id = statement_id(body).unwrap_or(0);
    let text = format!("Unknown prepared statement handler ({id}) given to readgate");
    session.send_err(&ErrPacket::new(UNKNOWN_HANDLER, SqlState::GENERAL, text)).await
}

/// What readgate answers itself has no prepared form.
async fn unsupported(session: &mut Session<'_>) -> Result<(), Ending> {
    let text = "This command is not supported in the prepared statement protocol yet";
    session.send_err(&ErrPacket::new(1295, SqlState::GENERAL, text)).await
}
