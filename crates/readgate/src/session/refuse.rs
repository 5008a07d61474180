//! A statement that is not forwarded: recorded, answered, and the session goes on.
use bytes::Bytes;
use ledger::Refusal;
use mysql_wire::error_code::ER_OPTION_PREVENTS_STATEMENT;
use mysql_wire::{Command, ErrPacket, SqlState};
use sql_judge::{Absorbed, Denial, ReadPermit};

use super::Session;
use crate::console::{self, Refused};
use crate::ending::Ending;
use crate::recording::{self, Form};
use crate::replica_watch::Stale;

/// Refuses a statement: ERR 1290 with the judge's reason.
pub async fn deny(
    session: &mut Session<'_>,
    command: Command,
    text: &Bytes,
    denial: &Denial,
) -> Result<(), Ending> {
    let message = format!("readgate: {}", denial.reason);
    let form = Form::of(session, text).await;
    let refusal = Refusal {
        command: command.name(),
        schema: session.facts.schema(),
        text,
        kind: denial.kind.as_str(),
        form: form.as_ref(),
        verdict: "refused",
        rule: denial.rule,
        reason: &message,
        offset: denial.offset as u64,
    };
    let recorded = recording::refusal(session, &refusal).await;
    session.context.count_refusal();
    session.daemon.console.refusals.note(Refused {
        session: session.context.connection_id,
        user: session.user.clone(),
        role: session.role.name.clone(),
        rule: denial.rule,
        kind: denial.kind.as_str(),
        shape: console::shape(&session.facts, text),
    });
    let statements = &session.daemon.metrics.statements;
    let why = (!session.redacts()).then_some(message.as_str());
    statements.refused(&session.tally, denial.rule, denial.kind.as_str(), why);
    let err = match recorded {
        // As a server with --read-only answers.
        Ok(()) => ErrPacket::new(ER_OPTION_PREVENTS_STATEMENT, SqlState::GENERAL, message),
        Err(why) => ledger_down(&why),
    };
    session.send_err(&err).await
}

/// Answers OK to a statement that must not be forwarded as it is. False if it couldn't be
/// recorded and was refused instead.
pub async fn absorb(
    session: &mut Session<'_>,
    text: &Bytes,
    absorbed: &Absorbed,
    more_after: bool,
) -> Result<bool, Ending> {
    let form = Form::of(session, text).await;
    let refusal = Refusal {
        command: Command::Query.name(),
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

/// Refuses a read of data that is too old: the replica is behind, or a feed is stale.
pub async fn stale(
    session: &mut Session<'_>,
    command: Command,
    permit: &ReadPermit,
) -> Result<(), Ending> {
    // It may have come back to service since the caller looked.
    let unknown = || Stale { rule: "replica_behind", why: "the data was too old".into() };
    let Stale { rule, why } = session.daemon.walls.load().stale.clone().unwrap_or_else(unknown);
    let message = format!("readgate: {why}");
    let text = permit.text();
    let form = Form::of(session, text).await;
    let refusal = Refusal {
        command: command.name(),
        schema: session.facts.schema(),
        text,
        kind: permit.kind().as_str(),
        form: form.as_ref(),
        verdict: "refused",
        rule,
        reason: &message,
        offset: 0,
    };
    let recorded = recording::refusal(session, &refusal).await;
    session.context.count_refusal();
    let statements = &session.daemon.metrics.statements;
    statements.refused(&session.tally, rule, refusal.kind, Some(&message));
    let err = match recorded {
        // As a server with --read-only answers.
        Ok(()) => ErrPacket::new(ER_OPTION_PREVENTS_STATEMENT, SqlState::GENERAL, message),
        Err(why) => ledger_down(&why),
    };
    session.send_err(&err).await
}

/// The ledger can't record, so nothing is forwarded.
pub fn ledger_down(why: &str) -> ErrPacket {
    let text = format!("readgate: refused, the ledger can't record it: {why}");
    ErrPacket::new(ER_OPTION_PREVENTS_STATEMENT, SqlState::GENERAL, text)
}
