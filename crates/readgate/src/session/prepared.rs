//! Prepared statements: judged once, when prepared; the permit is kept with the id, and
//! executions run only what it covers.
mod kept;

use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use ledger::PreparedRef;
use mysql_wire::error_code::{
    ER_MAX_PREPARED_STMT_COUNT_REACHED, ER_NET_PACKET_TOO_LARGE, ER_UNKNOWN_STMT_HANDLER,
    ER_UNSUPPORTED_PS, ER_WRONG_ARGUMENTS,
};
use mysql_wire::execute::Parameters;
use mysql_wire::prepare::{PrepareOk, statement_id};
use mysql_wire::response::{Expect, ResponseEnd, ResponseWalker};
use mysql_wire::{Command, ErrPacket, SqlState};
use sql_judge::{Absorbed, Denial, Judge, ReadPermit, SessionFacts, StatementKind, Verdict};

use super::carried::{Carried, LongData};
use super::command::Came;
use super::limits::Got;
use super::passthrough::{relay_whole, send};
use super::statement::{Execution, Run};
use super::{Session, aside, limits, refuse};
use crate::ending::Ending;
use crate::room;
pub use kept::PreparedStatements;
use kept::{Prepared, PreparedRead};

/// Forgets those that the judge of now would refuse, as does the replica; their ids are unknown
/// from then on.
pub async fn retain_allowed(session: &mut Session<'_>) -> Result<(), Ending> {
    let judge = Arc::clone(&session.judge);
    let bytes = session.prepared.bytes();
    let refused = if aside::are_long(bytes) {
        let facts = session.facts.clone();
        let mut prepared = std::mem::take(&mut session.prepared);
        let looking = aside::beside(session, bytes, move || {
            let refused = prepared.take_refused(&judge, &facts);
            (prepared, refused)
        });
        let (prepared, refused) = looking.await?;
        session.prepared = prepared;
        refused
    } else {
        session.prepared.take_refused(&judge, &session.facts)
    };
    give_room_back(session);
    for id in refused {
        send(session, Command::StmtClose, &id.to_le_bytes()).await?;
    }
    Ok(())
}

/// COM_STMT_PREPARE.
pub async fn prepare(
    session: &mut Session<'_>,
    text: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    let prepared = prepare_text(session, text, received).await;
    // One that was refused is not kept.
    give_room_back(session);
    prepared
}

/// Texts that are gone leave their room to others.
pub fn give_room_back(session: &mut Session<'_>) {
    if session.prepared_room.is_any() {
        let bytes = session.prepared.bytes();
        let _is_no_more: bool = session.prepared_room.change(bytes, session.limits.max_payload);
    }
}

async fn prepare_text(
    session: &mut Session<'_>,
    text: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    session.prepared.forget_last();
    if let Some((rule, err)) = no_room(session, &text) {
        let cause = (rule, StatementKind::Unknown);
        return refuse::limited(session, Command::StmtPrepare, &text, cause, err).await;
    }
    // The text alone is kept, not all that came with it.
    let text = Bytes::copy_from_slice(&text);
    session.settle_before(Command::StmtPrepare, &text).await?;
    let judging = |judge: &Judge, facts: &SessionFacts, text: &Bytes| {
        judge.judge_prepare(facts, text.clone())
    };
    let judged = aside::look(session, &text, judging).await;
    match refuse::unless_ended(session, Command::StmtPrepare, &text, judged).await? {
        Verdict::Allow(permit) => prepare_read(session, permit, received).await,
        Verdict::Absorb(absorbed) => prepare_absorbed(session, absorbed).await,
        Verdict::Deny(denial) => refuse::deny(session, Command::StmtPrepare, &text, &denial).await,
        Verdict::Own(_) => unsupported(session, &text).await,
    }
}

/// Which limit keeps a session from another prepared statement.
fn no_room(session: &mut Session<'_>, text: &[u8]) -> Option<(&'static str, ErrPacket)> {
    let (most, most_bytes) = (session.limits.prepared_statements, session.limits.max_payload);
    let bytes = session.prepared.bytes().saturating_add(text.len());
    // The command is that text: it is there once, and counts once.
    session.client.leave_room();
    let (rule, text) = if session.prepared.len() >= most {
        let text = format!(
            "readgate: can't create more than {most} prepared statements in a session \
             (limits.prepared_statements)"
        );
        ("prepared_statements", text)
    } else if bytes > most_bytes {
        let text = format!(
            "readgate: can't create prepared statements of more than {most_bytes} bytes together \
             in a session (limits.max_payload)"
        );
        ("max_payload", text)
    } else if !session.prepared_room.change(bytes, most_bytes) {
        return Some(("room", room::none_left()));
    } else {
        return None;
    };
    Some((rule, ErrPacket::new(ER_MAX_PREPARED_STMT_COUNT_REACHED, SqlState::ACCESS, text)))
}

async fn prepare_read(
    session: &mut Session<'_>,
    permit: ReadPermit,
    received: Instant,
) -> Result<(), Ending> {
    let run = Run::of_text(Command::StmtPrepare, &permit, false);
    let ran = run.to_the_end(session, received).await?;
    if let Some(prepare_ok) = ran.prepared {
        let count = prepare_ok.parameters;
        let looking = move |_: &Judge, _: &SessionFacts, text: &Bytes| {
            ledger::password_parameters(text, count)
        };
        let secret = aside::look(session, permit.text(), looking).await?;
        let read = PreparedRead {
            permit,
            intent: ran.intent,
            parameters: Parameters::new(count),
            secret,
            long_data: 0,
            is_overlong: false,
            long_values: LongData::default(),
            named: ran.named,
            told_redacted: session.redacts(),
            got: Got::default(),
        };
        session.prepared.insert(prepare_ok.statement_id, Prepared::Read(Box::new(read)));
    }
    Ok(())
}

/// Some drivers prepare every statement, so these too must be preparable.
async fn prepare_absorbed(session: &mut Session<'_>, absorbed: Absorbed) -> Result<(), Ending> {
    let id = session.prepared.insert_absorbed(absorbed);
    let prepare_ok =
        PrepareOk { statement_id: id, columns: 0, parameters: 0, metadata_follows: true };
    session.send(&prepare_ok.encode(session.replica.form.optional_metadata)).await
}

/// COM_STMT_EXECUTE.
pub async fn execute(session: &mut Session<'_>, body: Bytes, came: Came<'_>) -> Result<(), Ending> {
    run_prepared(session, Command::StmtExecute, body, came).await
}

/// COM_STMT_FETCH: more rows of a cursor, so a record of its own.
pub async fn fetch(session: &mut Session<'_>, body: Bytes, came: Came<'_>) -> Result<(), Ending> {
    run_prepared(session, Command::StmtFetch, body, came).await
}

async fn run_prepared(
    session: &mut Session<'_>,
    command: Command,
    body: Bytes,
    came: Came<'_>,
) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else {
        return unknown(session, &body).await;
    };
    let read = match session.prepared.get_mut(id) {
        Some(Prepared::Read(read)) => read,
        Some(Prepared::Absorbed(absorbed)) if command == Command::StmtExecute => {
            let absorbed = absorbed.clone();
            return refuse::absorb(session, command, &absorbed, false).await.map(|_| ());
        }
        Some(Prepared::Absorbed(..)) | None => return unknown(session, &body).await,
    };
    if let Some((rule, err)) = long_data_in_the_way(read, command) {
        let (text, cause) = (read.permit.text().clone(), (rule, read.permit.kind()));
        if command == Command::StmtExecute {
            forget_long_data(session, id).await?;
        }
        return refuse::limited(session, command, &text, cause, err).await;
    }
    let has_long_data = command == Command::StmtExecute && read.long_data > 0;
    let permit = read.permit.clone();
    let prepared = PreparedRef { statement_id: id, intent: read.intent };
    let (named, told_redacted) = (Arc::clone(&read.named), read.told_redacted);
    let got = if command == Command::StmtFetch { read.got } else { Got::default() };
    session.settle_before(command, permit.text()).await?;
    let holds = still_holds(session, &permit).await;
    if !refuse::unless_ended(session, command, permit.text(), holds).await? {
        if has_long_data {
            forget_long_data(session, id).await?;
        }
        return refuse::deny(session, command, permit.text(), &outdated(&permit)).await;
    }
    let (body, carried) = match command == Command::StmtExecute {
        true => taken_apart(session, id, body)?,
        false => (body, Carried::default()),
    };
    let body = with_id(body, id);
    let execution = Some(Execution { body, prepared, named, told_redacted, got });
    let Came { packet, received } = came;
    let run = Run { execution, carried: &carried, packet, ..Run::of_text(command, &permit, false) };
    let ran = run.to_the_end(session, received).await?;
    if let Some(read) = session.prepared.read_mut(id).filter(|_| ran.intent != 0) {
        read.got = ran.got;
    }
    match command == Command::StmtFetch || ran.was_read(has_long_data) {
        true => Ok(()),
        false => forget_unread(session, id, has_long_data).await,
    }
}

/// Whether a statement is still a read, under the session's modes of now.
async fn still_holds(session: &mut Session<'_>, permit: &ReadPermit) -> Result<bool, Ending> {
    let judged = permit.clone();
    let looking =
        move |judge: &Judge, facts: &SessionFacts, _: &Bytes| judge.still_holds(facts, &judged);
    aside::look(session, permit.text(), looking).await
}

/// What an execution said that the replica has not read, or may not have.
async fn forget_unread(
    session: &mut Session<'_>,
    id: u32,
    has_long_data: bool,
) -> Result<(), Ending> {
    if let Some(read) = session.prepared.read_mut(id) {
        read.parameters.forget_named();
    }
    match has_long_data {
        true => forget_long_data(session, id).await,
        false => Ok(()),
    }
}

/// Why what was sent ahead for a statement's parameters keeps a command from running.
fn long_data_in_the_way(
    read: &PreparedRead,
    command: Command,
) -> Option<(&'static str, ErrPacket)> {
    if command == Command::StmtExecute && read.is_overlong {
        let text = "readgate: parameters sent as long data are larger than limits.max_payload, \
                    all of the session together";
        let err = ErrPacket::new(ER_NET_PACKET_TOO_LARGE, SqlState::LINK, text);
        return Some(("max_payload", err));
    }
    // Servers forget it with a cursor's last row, and don't say so.
    (command == Command::StmtFetch && read.long_data > 0).then(|| {
        let text =
            "readgate: rows can't be fetched between long data and the execution that it is for";
        ("long_data", ErrPacket::new(ER_WRONG_ARGUMENTS, SqlState::GENERAL, text))
    })
}

/// An execution uses up what was sent ahead for it, one that fails as well. One that is refused
/// here, or can't be read there, leaves it at the replica: it must forget too, or the next
/// execution would run with these values, and its record say others.
async fn forget_long_data(session: &mut Session<'_>, id: u32) -> Result<(), Ending> {
    if let Some(read) = session.prepared.read_mut(id) {
        read.forget_long_data();
    }
    send(session, Command::StmtReset, &id.to_le_bytes()).await?;
    let mut walker = ResponseWalker::new(Expect::Ack, session.replica.form, 1, 1);
    limits::throw_away(session, &mut walker).await
}

/// The execution without query attributes, as the replica's session reads it, and what it
/// carries. What was sent ahead is used up by it.
fn taken_apart(
    session: &mut Session<'_>,
    id: u32,
    body: Bytes,
) -> Result<(Bytes, Carried), Ending> {
    let negotiated = session.negotiated;
    let Some(read) = session.prepared.read_mut(id) else {
        return Ok((body, Carried::default()));
    };
    let (body, carried) =
        Carried::of_execution(&body, negotiated, &mut read.parameters, &read.long_values)?;
    let taken = (body, carried.concealing(&read.secret));
    read.forget_long_data();
    Ok(taken)
}

/// The server may read a prepared text again, under the modes of that moment.
fn outdated(permit: &ReadPermit) -> Denial {
    let reason = "the session's modes have changed since this statement was prepared, and under \
                  them it is not a read; prepare it again";
    Denial {
        rule: "prepared_under_other_modes",
        kind: permit.kind(),
        reason: reason.to_owned(),
        offset: 0,
    }
}

/// COM_STMT_SEND_LONG_DATA: has no answer, so what is too much shows at execution. One that is
/// too short to be it MySQL does answer, which would be taken for the next command's answer.
pub async fn send_long_data(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let Some(&[low, high]) = body.get(4..).and_then(<[u8]>::first_chunk) else {
        return Err(Ending::malformed("malformed COM_STMT_SEND_LONG_DATA"));
    };
    let Some(id) = session.prepared.resolve(&body) else {
        return Ok(());
    };
    let (most, held) = (session.limits.max_payload, session.prepared.long_data());
    let Some(read) = session.prepared.read_mut(id) else {
        return Ok(());
    };
    let parameter = u16::from_le_bytes([low, high]);
    let more = body.len() + read.long_values.room_for(parameter);
    read.is_overlong |= held.saturating_add(more) > most;
    if read.is_overlong {
        return Ok(());
    }
    read.long_data += more;
    read.parameters.sent_ahead.insert(parameter);
    read.long_values.add(parameter, body.get(6..).unwrap_or_default());
    let body = with_id(body, id);
    send(session, Command::StmtSendLongData, &body).await
}

/// COM_STMT_CLOSE: has no answer.
pub async fn close(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else {
        return Ok(());
    };
    let removed = session.prepared.remove(id);
    give_room_back(session);
    match removed {
        Some(Prepared::Read(_)) => send(session, Command::StmtClose, &id.to_le_bytes()).await,
        Some(Prepared::Absorbed(..)) | None => Ok(()),
    }
}

/// COM_STMT_RESET.
pub async fn reset(session: &mut Session<'_>, body: Bytes) -> Result<(), Ending> {
    let Some(id) = session.prepared.resolve(&body) else {
        return unknown(session, &body).await;
    };
    let Some(read) = session.prepared.read_mut(id) else {
        return session.send_ok(false).await;
    };
    read.forget_long_data();
    send(session, Command::StmtReset, &id.to_le_bytes()).await?;
    let mut walker = ResponseWalker::new(Expect::Ack, session.replica.form, 1, 1);
    let _: ResponseEnd = relay_whole(session, &mut walker).await?;
    Ok(())
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
    session.send_err(&ErrPacket::new(ER_UNKNOWN_STMT_HANDLER, SqlState::GENERAL, text)).await
}

/// What readgate answers itself has no prepared form.
async fn unsupported(session: &mut Session<'_>, text: &Bytes) -> Result<(), Ending> {
    let why = "This command is not supported in the prepared statement protocol yet";
    let err = ErrPacket::new(ER_UNSUPPORTED_PS, SqlState::GENERAL, why);
    let cause = ("not_preparable", StatementKind::Unknown);
    refuse::limited(session, Command::StmtPrepare, text, cause, err).await
}
