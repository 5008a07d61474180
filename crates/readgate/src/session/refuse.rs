//! A statement that is not forwarded: recorded, answered, and the session goes on.
use bytes::Bytes;
use ledger::Refusal;
use mysql_wire::error_code::ER_OPTION_PREVENTS_STATEMENT;
use mysql_wire::packet::Payload;
use mysql_wire::{Capabilities, Command, ErrPacket, SqlState};
use sql_judge::{Absorbed, Denial, ReadPermit, StatementKind};

use super::Session;
use super::carried::Carried;
use crate::console::{self, Refused};
use crate::ending::Ending;
use crate::recording::{self, Form};
use crate::replica_watch::Stale;

/// Characters of a reason that operators are shown.
const SHOWN: usize = 300;

/// Why a statement is refused.
struct Cause {
    rule: &'static str,
    kind: &'static str,
    /// Whether the reason may repeat values of the text.
    quotes: bool,
    /// Byte offset in the text.
    offset: usize,
}

impl Cause {
    /// One that has nothing to do with what the text says.
    fn of(rule: &'static str, kind: StatementKind) -> Self {
        Self { rule, kind: kind.as_str(), quotes: false, offset: 0 }
    }
}

/// Refuses a statement: ERR 1290 with the judge's reason.
pub async fn deny(
    session: &mut Session<'_>,
    command: Command,
    text: &Bytes,
    denial: &Denial,
) -> Result<(), Ending> {
    let (kind, offset) = (denial.kind.as_str(), denial.offset);
    let cause = Cause { rule: denial.rule, kind, quotes: true, offset };
    refuse(session, command, text, (&cause, as_read_only(&denial.reason))).await
}

/// Refuses a read of data that is too old: the replica is behind, or a feed is stale.
pub async fn stale(
    session: &mut Session<'_>,
    command: Command,
    permit: &ReadPermit,
    stale: &Stale,
) -> Result<(), Ending> {
    let cause = Cause::of(stale.rule, permit.kind());
    refuse(session, command, permit.text(), (&cause, as_read_only(&stale.why))).await
}

/// Refuses a statement that was judged for another session than a routine has left: the routine
/// stands before it in the same text.
pub async fn moved(
    session: &mut Session<'_>,
    command: Command,
    permit: &ReadPermit,
) -> Result<(), Ending> {
    let cause = Cause::of("moved_by_routine", permit.kind());
    let why = "the routine before this statement has left the session in another schema or \
               sql_mode; send the statement by itself";
    refuse(session, command, permit.text(), (&cause, as_read_only(why))).await
}

/// Refuses what a limit of the session or a rule of the protocol leaves no way for, with the error
/// that servers have for it.
pub async fn limited<R>(
    session: &mut Session<'_, R>,
    command: Command,
    text: &Bytes,
    (rule, kind): (&'static str, StatementKind),
    err: ErrPacket,
) -> Result<(), Ending> {
    refuse(session, command, text, (&Cause::of(rule, kind), err)).await
}

/// As a server with --read-only answers.
fn as_read_only(reason: &str) -> ErrPacket {
    let message = format!("readgate: {reason}");
    ErrPacket::new(ER_OPTION_PREVENTS_STATEMENT, SqlState::GENERAL, message)
}

async fn refuse<R>(
    session: &mut Session<'_, R>,
    command: Command,
    text: &Bytes,
    (cause, err): (&Cause, ErrPacket),
) -> Result<(), Ending> {
    let message = String::from_utf8_lossy(&err.message).into_owned();
    let form = Form::of_refused(session, text).await;
    let err = match record(session, command, (text, &form), (cause, &message)).await {
        Ok(()) => err,
        Err(why) => ledger_down(&why),
    };
    session.send_err(&err).await
}

async fn record<R>(
    session: &mut Session<'_, R>,
    command: Command,
    (text, form): (&Bytes, &Form),
    (cause, message): (&Cause, &str),
) -> Result<(), String> {
    let refusal = Refusal {
        command: command.name(),
        schema: session.facts.schema(),
        text,
        kind: cause.kind,
        form: form.as_ref(),
        verdict: "refused",
        rule: cause.rule,
        reason: message,
        offset: cause.offset as u64,
    };
    let recorded = recording::refusal(session, &refusal).await;
    let shown = (!cause.quotes || !session.redacts()).then_some(message);
    note(session, (cause.rule, cause.kind), text, shown);
    recorded
}

/// What comes before a statement is forwarded, or the end of its session: what ends it is then why
/// nothing of the statement has run, and the record says so. Its last words are the answer.
pub async fn unless_ended<R, T>(
    session: &mut Session<'_, R>,
    command: Command,
    text: &Bytes,
    done: Result<T, Ending>,
) -> Result<T, Ending> {
    if let Err(ending) = &done {
        let cause = Cause::of(ending.kind.label(), StatementKind::Unknown);
        let words = ending.farewell.as_ref().map(|err| String::from_utf8_lossy(&err.message));
        // To tell its values apart takes a turn that a long one may not get any more.
        let form = Form::without_turn(session, text).await;
        let told = (&cause, words.as_deref().unwrap_or(&ending.detail));
        // The session ends in either case. Few come here: the others' futures needn't have room.
        let _ = Box::pin(record(session, command, (text, &form), told)).await;
    }
    done
}

/// The same of the command that a client has sent.
pub async fn unless_over<R, T>(
    session: &mut Session<'_, R>,
    payload: &Payload,
    done: Result<T, Ending>,
) -> Result<T, Ending> {
    match statement(payload, session.negotiated).filter(|_| done.is_err()) {
        Some((command, text)) => unless_ended(session, command, &text, done).await,
        None => done,
    }
}

/// The statement that a command brings, if it is one that does.
pub fn statement(payload: &Payload, negotiated: Capabilities) -> Option<(Command, Bytes)> {
    let command = payload.bytes.first().copied().and_then(Command::from_byte)?;
    let body = payload.bytes.slice(1..);
    let text = if command == Command::Query {
        Carried::of_query(body, negotiated).ok()?.0
    } else if matches!(command, Command::StmtPrepare | Command::InitDb | Command::FieldList) {
        body
    } else {
        return None;
    };
    Some((command, text))
}

/// Counts a refusal and shows it to operators, with its reason if they may see it.
pub fn note<R>(
    session: &mut Session<'_, R>,
    (rule, kind): (&'static str, &'static str),
    text: &[u8],
    reason: Option<&str>,
) {
    session.context.count_refusal();
    session.daemon.metrics.statements.refused(&session.tally, rule, kind);
    session.daemon.console.refusals.note(Refused {
        session: session.context.connection_id,
        user: session.user.clone(),
        role: session.role.name.clone(),
        rule,
        kind,
        shape: console::shape(&session.facts, text),
        reason: reason.map(|reason| reason.chars().take(SHOWN).collect()),
    });
}

/// Answers OK to a statement that must not be forwarded as it is. False if it couldn't be
/// recorded and was refused instead.
pub async fn absorb(
    session: &mut Session<'_>,
    command: Command,
    absorbed: &Absorbed,
    more_after: bool,
) -> Result<bool, Ending> {
    let text = &absorbed.text;
    let form = Form::of_refused(session, text).await;
    let refusal = Refusal {
        command: command.name(),
        schema: session.facts.schema(),
        text,
        kind: absorbed.kind.as_str(),
        form: form.as_ref(),
        verdict: "absorbed",
        rule: "absorbed",
        reason: absorbed.reason,
        offset: 0,
    };
    if let Err(why) = recording::refusal(session, &refusal).await {
        session.send_err(&ledger_down(&why)).await?;
        return Ok(false);
    }
    session.daemon.metrics.statements.absorbed(&session.tally, absorbed.kind.as_str());
    session.send_ok(more_after).await?;
    Ok(true)
}

/// The ledger can't record, so nothing is forwarded.
pub fn ledger_down(why: &str) -> ErrPacket {
    let text = format!("readgate: refused, the ledger can't record it: {why}");
    ErrPacket::new(ER_OPTION_PREVENTS_STATEMENT, SqlState::GENERAL, text)
}
