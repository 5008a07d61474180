//! Prepared statements: judged once, when prepared; the permit is kept with the id, and
//! executions run only what it covers.
use std::collections::HashMap;
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
use crate::recording::Named;

/// Ids of absorbed statements start here, far above a replica's own.
const FIRST_ABSORBED: u32 = 1 << 31;
/// MariaDB's clients name the statement that they prepared last by this id.
const LAST_PREPARED: u32 = u32::MAX;

/// A session's prepared statements, by the id that the client uses (it is the replica's).
#[derive(Debug, Default)]
pub struct PreparedStatements {
    by_id: HashMap<u32, Prepared>,
    last: Option<u32>,
    absorbed: u32,
}

#[derive(Debug)]
enum Prepared {
    /// A read, prepared on the replica.
    Read(Box<PreparedRead>),
    /// Answered with OK at each execution; the replica has never heard of it.
    Absorbed(Absorbed, Bytes),
}

impl Prepared {
    fn text(&self) -> &[u8] {
        match self {
            Self::Read(read) => read.permit.text(),
            Self::Absorbed(_, text) => text,
        }
    }
}

#[derive(Debug)]
struct PreparedRead {
    permit: ReadPermit,
    /// Sequence number of the record that holds the text.
    intent: u64,
    /// What executions have said of its parameters.
    parameters: Parameters,
    /// Those that stand where a password would.
    secret: Vec<u16>,
    /// What long data sent for the next execution takes, in bytes, at the replica and here.
    long_data: usize,
    /// Whether more of it came than a session may have.
    is_overlong: bool,
    /// What it holds, for the record.
    long_values: LongData,
    /// What the text names.
    named: Arc<Named>,
    /// Whether that record has the text without its values.
    told_redacted: bool,
    /// What the client has of the result of the last execution.
    got: Got,
}

impl PreparedRead {
    /// What was sent ahead is used up.
    fn forget_long_data(&mut self) {
        (self.long_data, self.is_overlong) = (0, false);
        self.parameters.sent_ahead.clear();
        self.long_values.clear();
    }
}

impl PreparedStatements {
    /// Forgets all, as a reset of the session does.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.last = None;
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Bytes of all texts.
    fn bytes(&self) -> usize {
        self.by_id.values().map(|prepared| prepared.text().len()).sum()
    }

    /// Bytes of all long data.
    fn long_data(&self) -> usize {
        let of = |prepared: &Prepared| match prepared {
            Prepared::Read(read) => read.long_data,
            Prepared::Absorbed(..) => 0,
        };
        self.by_id.values().map(of).sum()
    }

    fn insert(&mut self, id: u32, prepared: Prepared) {
        self.by_id.insert(id, prepared);
        self.last = Some(id);
    }

    fn read_mut(&mut self, id: u32) -> Option<&mut PreparedRead> {
        match self.by_id.get_mut(&id) {
            Some(Prepared::Read(read)) => Some(read),
            Some(Prepared::Absorbed(..)) | None => None,
        }
    }

    fn resolve(&self, body: &[u8]) -> Option<u32> {
        match statement_id(body).ok()? {
            LAST_PREPARED => self.last,
            id => self.by_id.contains_key(&id).then_some(id),
        }
    }
}

/// Forgets those that the judge of now would refuse, as does the replica; their ids are unknown
/// from then on.
pub async fn retain_allowed(session: &mut Session<'_>) -> Result<(), Ending> {
    let judge = Arc::clone(&session.judge);
    let refused = if aside::are_long(session.prepared.bytes()) {
        let (facts, mut by_id) =
            (session.facts.clone(), std::mem::take(&mut session.prepared.by_id));
        let looking = aside::beside(session, move || {
            let refused = take_refused(&mut by_id, &judge, &facts);
            (by_id, refused)
        });
        let (by_id, refused) = looking.await?;
        session.prepared.by_id = by_id;
        refused
    } else {
        take_refused(&mut session.prepared.by_id, &judge, &session.facts)
    };
    for id in refused {
        send(session, Command::StmtClose, &id.to_le_bytes()).await?;
    }
    Ok(())
}

fn take_refused(
    by_id: &mut HashMap<u32, Prepared>,
    judge: &Judge,
    facts: &SessionFacts,
) -> Vec<u32> {
    let is_refused = |_: &u32, prepared: &mut Prepared| match prepared {
        Prepared::Read(read) => !judge.would_allow(facts, &read.permit),
        Prepared::Absorbed(..) => false,
    };
    by_id.extract_if(is_refused).map(|(id, _)| id).collect()
}

/// COM_STMT_PREPARE.
pub async fn prepare(
    session: &mut Session<'_>,
    text: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    session.prepared.last = None;
    if let Some((rule, err)) = no_room(session, &text) {
        let cause = (rule, StatementKind::Unknown);
        return refuse::limited(session, Command::StmtPrepare, &text, cause, err).await;
    }
    // The text alone is kept, not all that came with it.
    let text = Bytes::copy_from_slice(&text);
    let judging = |judge: &Judge, facts: &SessionFacts, text: &Bytes| {
        judge.judge_prepare(facts, text.clone())
    };
    match aside::look(session, &text, judging).await? {
        Verdict::Allow(permit) => prepare_read(session, permit, received).await,
        Verdict::Absorb(absorbed) => prepare_absorbed(session, absorbed, text).await,
        Verdict::Deny(denial) => refuse::deny(session, Command::StmtPrepare, &text, &denial).await,
        Verdict::Own(_) => unsupported(session, &text).await,
    }
}

/// Which limit keeps a session from another prepared statement.
fn no_room(session: &Session<'_>, text: &[u8]) -> Option<(&'static str, ErrPacket)> {
    let (most, most_bytes) = (session.limits.prepared_statements, session.limits.max_payload);
    let (rule, text) = if session.prepared.by_id.len() >= most {
        let text = format!(
            "readgate: can't create more than {most} prepared statements in a session \
             (limits.prepared_statements)"
        );
        ("prepared_statements", text)
    } else if session.prepared.bytes().saturating_add(text.len()) > most_bytes {
        let text = format!(
            "readgate: can't create prepared statements of more than {most_bytes} bytes together \
             in a session (limits.max_payload)"
        );
        ("max_payload", text)
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
async fn prepare_absorbed(
    session: &mut Session<'_>,
    absorbed: Absorbed,
    text: Bytes,
) -> Result<(), Ending> {
    let id = FIRST_ABSORBED + session.prepared.absorbed % (FIRST_ABSORBED - 1);
    session.prepared.absorbed = session.prepared.absorbed.wrapping_add(1);
    session.prepared.insert(id, Prepared::Absorbed(absorbed, text));
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
    let read = match session.prepared.by_id.get_mut(&id) {
        Some(Prepared::Read(read)) => read,
        Some(Prepared::Absorbed(absorbed, text)) if command == Command::StmtExecute => {
            let (absorbed, text) = (absorbed.clone(), text.clone());
            return refuse::absorb(session, &text, &absorbed, false).await.map(|_| ());
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
    let judged = permit.clone();
    let holds = aside::look(session, permit.text(), move |judge, facts, _| {
        judge.still_holds(facts, &judged)
    });
    if !holds.await? {
        let denial = outdated(&permit);
        if has_long_data {
            forget_long_data(session, id).await?;
        }
        return refuse::deny(session, command, permit.text(), &denial).await;
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
    if command == Command::StmtFetch || ran.was_read(has_long_data) {
        return Ok(());
    }
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
    let closed = session.prepared.by_id.remove(&id);
    if session.prepared.last == Some(id) {
        session.prepared.last = None;
    }
    match closed {
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
