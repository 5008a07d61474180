//! One statement, from its text to its last packet: the table of contents.
//!
//! judge -> ledger: intent -> forward (needs both permits) -> relay -> ledger: outcome ->
//! the last packet goes out. Nothing reaches the replica unjudged or unrecorded: see the
//! signature of [`forward`].
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ledger::{Intent, IntentRecorded, PreparedRef};
use mysql_wire::Command;
use mysql_wire::error_code::{ER_MALFORMED_PACKET, ER_UNKNOWN_ERROR, ER_WRONG_ARGUMENTS};
use mysql_wire::packet::is_packet_of;
use mysql_wire::prepare::PrepareOk;
use mysql_wire::response::{Caps, Expect, Over, ResponseEnd, ResponseWalker};
use sql_judge::{Footprint, Judge, ReadPermit, SessionFacts, Verdict};

use super::carried::{Carried, NOTHING};
use super::command::Came;
use super::limits::Got;
use super::{Session, aside, limits, overtime, own, password, refuse};
use crate::ending::Ending;
use crate::recording::{self, ByText, Form, Named, RunReport};
use crate::replica::ReplicaSession;
use crate::replica::relay::{self, Passed, RelayFault};

/// Of an execution whose preparation's record has it.
static NO_TEXT: Bytes = Bytes::new();

/// COM_QUERY. With several statements in it, all are judged before the first is sent: a
/// refused one refuses the whole text, and nothing of it has run.
pub async fn query(
    session: &mut Session<'_>,
    text: Bytes,
    carried: &Carried,
    came: Came<'_>,
) -> Result<(), Ending> {
    let Came { packet, received } = came;
    if let Some(wish) = password::wish(session, &text) {
        return Box::pin(password::choose(session, wish)).await;
    }
    session.settle_before(Command::Query, &text).await?;
    // Of one alone no list is made.
    let may_be_several = session.multi_statements;
    let judging = aside::look(session, &text, move |judge, facts, text| match may_be_several {
        true => (None, judge.judge_several(facts, text.clone())),
        false => (Some(judge.judge(facts, text.clone())), Vec::new()),
    });
    let judged = judging.await;
    let (one, several) = refuse::unless_ended(session, Command::Query, &text, judged).await?;
    let is_denied = |verdict: &&Verdict| matches!(verdict, Verdict::Deny(_));
    if let Some(Verdict::Deny(denial)) = one.iter().chain(&several).find(is_denied) {
        return refuse::deny(session, Command::Query, &text, denial).await;
    }
    let mut left = several.len() + usize::from(one.is_some());
    for verdict in one.iter().chain(&several) {
        left -= 1;
        let more_after = left > 0;
        let succeeded = match verdict {
            Verdict::Allow(permit) => {
                let run =
                    Run { carried, packet, ..Run::of_text(Command::Query, permit, more_after) };
                run.to_the_end(session, received).await?.succeeded
            }
            Verdict::Absorb(absorbed) => {
                refuse::absorb(session, Command::Query, absorbed, more_after).await?
            }
            Verdict::Own(own) => Box::pin(own::run(session, own, received, more_after)).await?,
            Verdict::Deny(denial) => {
                refuse::deny(session, Command::Query, &text, denial).await?;
                false
            }
        };
        if !succeeded {
            break;
        }
    }
    Ok(())
}

/// COM_INIT_DB: a schema's name, not SQL.
pub async fn init_db(
    session: &mut Session<'_>,
    schema: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    command_with_text(session, Command::InitDb, schema, Judge::judge_init_db, received).await
}

/// COM_FIELD_LIST: a table's name and a pattern.
pub async fn field_list(
    session: &mut Session<'_>,
    body: Bytes,
    received: Instant,
) -> Result<(), Ending> {
    command_with_text(session, Command::FieldList, body, Judge::judge_field_list, received).await
}

async fn command_with_text(
    session: &mut Session<'_>,
    command: Command,
    text: Bytes,
    judge: fn(&Judge, &SessionFacts, Bytes) -> Verdict,
    received: Instant,
) -> Result<(), Ending> {
    session.settle_before(command, &text).await?;
    match judge(&session.judge, &session.facts, text.clone()) {
        Verdict::Allow(permit) => {
            Run::of_text(command, &permit, false).to_the_end(session, received).await.map(|_| ())
        }
        Verdict::Deny(denial) => refuse::deny(session, command, &text, &denial).await,
        Verdict::Absorb(absorbed) => {
            refuse::absorb(session, command, &absorbed, false).await.map(|_| ())
        }
        Verdict::Own(own) => Box::pin(own::run(session, &own, received, false)).await.map(|_| ()),
    }
}

/// What is about to run, under which permit.
pub struct Run<'p> {
    /// The command that it goes out as.
    pub command: Command,
    /// Proof that it was judged a read.
    pub permit: &'p ReadPermit,
    /// For prepared statements: the binary body that names the statement.
    pub execution: Option<Execution>,
    /// What came along beside the text.
    pub carried: &'p Carried,
    /// The packet that the client sent it in, to be sent on if it is the same.
    pub packet: Option<&'p Bytes>,
    /// Whether another statement of the same query follows.
    pub more_after: bool,
}

/// An execution of a statement that was judged when it was prepared.
pub struct Execution {
    /// Statement id first, as EXECUTE and FETCH have it.
    pub body: Bytes,
    /// Ties the records together.
    pub prepared: PreparedRef,
    /// What the prepared text names.
    pub named: Arc<Named>,
    /// Whether the record of its preparation has the text without its values.
    pub told_redacted: bool,
    /// What the client has of its result already.
    pub got: Got,
}

/// What came of a run.
pub struct Ran {
    /// The replica answered without an error.
    pub succeeded: bool,
    /// Sequence number of the intent.
    pub intent: u64,
    /// PREPARE_OK, if it was a PREPARE.
    pub prepared: Option<PrepareOk>,
    /// What the text names.
    pub named: Arc<Named>,
    /// What the client has of its result now.
    pub got: Got,
    /// The replica's error.
    error: Option<u16>,
}

impl Ran {
    /// Whether the replica has surely read an execution's types and used up what was sent ahead
    /// for it. The servers find some of these errors before or among the types; that of too much
    /// long data has no number of its own.
    pub fn was_read(&self, has_long_data: bool) -> bool {
        let is_unread = match self.error {
            Some(ER_MALFORMED_PACKET | ER_WRONG_ARGUMENTS) => true,
            Some(ER_UNKNOWN_ERROR) => has_long_data,
            _ => false,
        };
        self.intent != 0 && !is_unread
    }

    fn refused() -> Self {
        let (named, got) = (Arc::default(), Got::default());
        Self { succeeded: false, intent: 0, prepared: None, named, got, error: None }
    }
}

/// What is known of a run before it is forwarded.
struct Begun {
    caps: Caps,
    /// What it leaves in its session; `None`: nobody asks.
    footprint: Option<Footprint>,
    /// What it names, if that took a while.
    named: Option<Arc<Named>>,
    intent: IntentRecorded,
}

impl<'p> Run<'p> {
    /// A run of the permitted text itself.
    pub fn of_text(command: Command, permit: &'p ReadPermit, more_after: bool) -> Self {
        Self { command, permit, execution: None, carried: &NOTHING, packet: None, more_after }
    }

    /// Intent, forward, relay, outcome, last packet.
    pub async fn to_the_end(
        self,
        session: &mut Session<'_>,
        received: Instant,
    ) -> Result<Ran, Ending> {
        let Some(Begun { caps, footprint, named, intent }) = self.begin(session).await? else {
            return Ok(Ran::refused());
        };
        let got = self.got();
        let sequence = intent.sequence();
        self.mark(session, footprint);
        let sent = Instant::now();
        let forwarded = self.forward(session, &intent, sent).await;
        // The replica is at work: what this costs, nobody waits for.
        let named = named.unwrap_or_else(|| self.named(session));
        let first = forwarded.as_ref().copied().unwrap_or(1);
        let mut walker = self.walker(session, first).with_caps(caps);
        let mut passed = Passed::nothing(&walker, session.records.result_hash());
        passed.day = limits::day(session);
        let relayed = match forwarded {
            Err(fault) => Err(fault),
            Ok(_) => overtime::relay(session, &mut walker, &mut passed, sent).await,
        };
        let ended = Instant::now();
        let report = RunReport {
            permit: self.permit,
            took: ended.saturating_duration_since(received),
            at_replica: ended.saturating_duration_since(sent),
            rows: walker.rows(),
            bytes: walker.bytes(),
            named: &named,
            hash: passed.hash.take(),
        };
        // First: what was noted of the day knows then all that the ledger has recorded before.
        if passed.day.take().is_none() {
            limits::count(session, relayed.as_ref().map_or(walker.bytes(), |held| held.bytes));
        }
        let recorded = recording::outcome(session, intent, &report, relayed.as_ref()).await;
        if recorded.is_err() && relayed.is_err() {
            session.kill_later();
        }
        recorded?;
        let held = match relayed {
            Ok(held) => held,
            Err(RelayFault::Over(over)) => {
                let now = got.and(&walker);
                Box::pin(self.stop(session, &mut walker, over)).await?;
                return Ok(Ran { intent: sequence, got: now, ..Ran::refused() });
            }
            Err(fault) => return Err(session.broken_off(&passed, &fault)),
        };
        let released = overtime::release(session, held).await;
        let end = released.map_err(|fault| session.ending_by(&fault))?;
        session.client.sequence_id = walker.next_client_sequence_id();
        if passed.stopped {
            Box::pin(limits::take_late_stop(session)).await?;
        }
        let error = if let ResponseEnd::Err(err) = &end { Some(err.code) } else { None };
        match (footprint, self.command) {
            (Some(footprint), Command::Query | Command::InitDb) => {
                session.traces.after(footprint, &walker, &end, &named);
            }
            (_, _) => session.traces.blur(),
        }
        self.take_effects(session, &end).await?;
        let (succeeded, prepared, got) = (error.is_none(), walker.prepared(), got.and(&walker));
        Ok(Ran { succeeded, intent: sequence, prepared, named, got, error })
    }

    /// What must be so before it is forwarded: the data is not too old, limits leave room, and it
    /// is on record. `None`: it isn't, and the client was told so.
    async fn begin(&self, session: &mut Session<'_>) -> Result<Option<Begun>, Ending> {
        let stale = session.daemon.walls.load().stale.clone();
        if let Some(stale) = stale {
            return refuse::stale(session, self.command, self.permit, &stale).await.map(|()| None);
        }
        let settled = session.settle_for(self.permit).await;
        if !self.unless_ended(session, settled).await? {
            return refuse::moved(session, self.command, self.permit).await.map(|()| None);
        }
        let caps = match limits::caps(session, self.got()) {
            Ok(caps) => caps,
            Err(err) => {
                let (text, cause) = (self.permit.text(), ("bytes_per_day", self.permit.kind()));
                let told = refuse::limited(session, self.command, text, cause, err).await;
                return told.map(|()| None);
            }
        };
        let looked = self.look_ahead(session).await;
        let (footprint, named) = self.unless_ended(session, looked).await?;
        let text = self.recorded_text(session);
        let is_name = matches!(self.command, Command::InitDb | Command::FieldList);
        let form = if is_name { Ok(Form::Full) } else { Form::of(session, text).await };
        let form = self.unless_ended(session, form).await?;
        match self.record_intent(session, text, &form).await {
            Ok(intent) => Ok(Some(Begun { caps, footprint, named, intent })),
            Err(why) => session.send_err(&refuse::ledger_down(&why)).await.map(|()| None),
        }
    }

    /// Something that comes before it is forwarded, or the session's end.
    async fn unless_ended<T>(
        &self,
        session: &mut Session<'_>,
        done: Result<T, Ending>,
    ) -> Result<T, Ending> {
        refuse::unless_ended(session, self.command, self.permit.text(), done).await
    }

    /// What is so of the session from now on, whatever the replica answers.
    fn mark(&self, session: &mut Session<'_>, footprint: Option<Footprint>) {
        session.context.count_statement();
        session.replica.is_personal |= self.permit.effects().leave_texts();
        session.replica.is_loose |= self.permit.runs_routine();
        footprint.into_iter().for_each(|footprint| session.traces.before(footprint));
    }

    /// Ends a response at a cap. What the statement did to the session is read back there.
    async fn stop(
        &self,
        session: &mut Session<'_>,
        walker: &mut ResponseWalker,
        over: Over,
    ) -> Result<(), Ending> {
        session.traces.blur();
        let _: bool = session.facts.apply_failed(self.permit.effects());
        limits::stop(session, walker, (over, self.got())).await
    }

    /// What the client has of an execution's result already.
    fn got(&self) -> Got {
        self.execution.as_ref().map_or(Got::default(), |execution| execution.got)
    }

    /// A replica that doesn't take it in its time has not got it whole: there is nothing to stop.
    async fn forward(
        &self,
        session: &mut Session<'_>,
        intent: &IntentRecorded,
        sent: Instant,
    ) -> Result<u8, RelayFault> {
        let due = overtime::due(&session.replica, sent);
        let (client, replica, mut watch) = overtime::sides(session, due);
        match relay::alongside(client, &mut watch, forward(replica, self, intent)).await {
            Err(RelayFault::Overtime) => {
                Err(RelayFault::ReplicaGone("it takes nothing any more".to_owned()))
            }
            forwarded => forwarded,
        }
    }

    /// The record of its preparation has an execution's text; one that lacks the values that this
    /// one is to hold can't stand for it.
    fn recorded_text(&self, session: &Session<'_>) -> &Bytes {
        let is_told = |one: &Execution| !one.told_redacted || session.redacts();
        match self.execution.as_ref().is_some_and(is_told) {
            true => &NO_TEXT,
            false => self.permit.text(),
        }
    }

    async fn record_intent(
        &self,
        session: &Session<'_>,
        text: &Bytes,
        form: &Form,
    ) -> Result<IntentRecorded, String> {
        let (binds, attributes) = (self.carried.binds(), self.carried.attributes());
        let end_user = session.records.asserted.of(self.carried);
        let may_refer = session.records.may_refer && self.command == Command::Query;
        let by_text = may_refer.then(|| self.permit.recall::<ByText>()).flatten();
        let intent = Intent {
            command: self.command.name(),
            schema: session.facts.schema(),
            text,
            may_refer,
            text_place: by_text.as_ref().map(|by_text| &by_text.place),
            kind: self.permit.kind().as_str(),
            form: form.as_ref(),
            prepared: self.execution.as_ref().map(|execution| execution.prepared),
            binds,
            attributes: &attributes,
            end_user: end_user.as_deref(),
        };
        recording::intent(session, &intent).await
    }

    /// What it leaves in its session, if anybody asks; and what a long text names: the replica
    /// would wait for who comes late to its answer.
    async fn look_ahead(
        &self,
        session: &Session<'_>,
    ) -> Result<(Option<Footprint>, Option<Arc<Named>>), Ending> {
        let (text, shares) = (self.permit.text(), session.daemon.pool.share_idle().is_some());
        let names = aside::is_long(text)
            && self.names_by_itself()
            && self.permit.recall::<ByText>().is_none();
        if !names && !shares {
            return Ok((None, None));
        }
        let permit = self.permit.clone();
        let looking = aside::look(session, text, move |_, facts, _| {
            (shares.then(|| permit.footprint()), names.then(|| named(&permit, facts)))
        });
        looking.await
    }

    /// What the text names; for an execution, what the prepared one did.
    fn named(&self, session: &Session<'_>) -> Arc<Named> {
        match &self.execution {
            Some(execution) => Arc::clone(&execution.named),
            None if self.names_by_itself() => named(self.permit, &session.facts),
            None => Arc::default(),
        }
    }

    fn names_by_itself(&self) -> bool {
        let names =
            matches!(self.command, Command::Query | Command::StmtPrepare | Command::FieldList);
        self.execution.is_none() && names
    }

    fn walker(&self, session: &Session<'_>, first: u8) -> ResponseWalker {
        let expect = match &self.execution {
            Some(_) if self.command == Command::StmtFetch => Expect::CursorRows,
            Some(_) => Expect::Results,
            None if self.command == Command::StmtPrepare => Expect::Prepare,
            None if self.command == Command::FieldList => Expect::FieldList,
            None => Expect::Results,
        };
        ResponseWalker::new(expect, session.replica.form, first, session.client.sequence_id)
            .with_more_after(self.more_after)
    }

    /// What the statement did to the session, now that the replica has answered. A PREPARE
    /// does nothing yet; its executions do. What an error left half-done is read back.
    async fn take_effects(
        &self,
        session: &mut Session<'_>,
        end: &ResponseEnd,
    ) -> Result<(), Ending> {
        let changes_nothing = matches!(self.command, Command::StmtPrepare | Command::StmtFetch)
            || self.permit.effects().is_empty();
        match end {
            ResponseEnd::Err(_) if changes_nothing => return Ok(()),
            ResponseEnd::Err(err) => {
                if session.facts.apply_failed(self.permit.effects()) {
                    Box::pin(session.resync()).await?;
                    // Its diagnostics are the question's by now.
                    session.untold = Some(err.clone());
                }
                return Ok(());
            }
            ResponseEnd::Ok(_) if self.command == Command::StmtPrepare => return Ok(()),
            ResponseEnd::Ok(status) => session.replica.status = *status,
        }
        if !changes_nothing {
            session.facts.apply(self.permit.effects());
        }
        if session.facts.in_doubt() {
            Box::pin(session.resync()).await?;
        }
        session.check_mode()
    }
}

/// What the permitted text names, kept with it if it is one that comes again.
fn named(permit: &ReadPermit, facts: &SessionFacts) -> Arc<Named> {
    let by_text = permit.remember(|| ByText {
        named: permit.remember_alike(|| Named::by(facts, permit)),
        ..ByText::default()
    });
    Arc::clone(&by_text.named)
}

/// Sends what was judged, and nothing else: takes the permit and the proof of its record.
/// Returns the sequence id that the response starts with.
async fn forward(
    replica: &mut ReplicaSession,
    run: &Run<'_>,
    _recorded: &IntentRecorded,
) -> std::io::Result<u8> {
    let body = match &run.execution {
        Some(execution) => &execution.body,
        None => run.permit.text(),
    };
    replica.channel.begin_command();
    let command = run.command.byte();
    match run.packet.filter(|packet| is_packet_of(packet, command, body)) {
        // The very bytes that were judged, with the header that they'd get here.
        Some(packet) => {
            replica.channel.send_raw(packet).await?;
            replica.channel.sequence_id = 1;
        }
        None => replica.channel.send(&[&[command], body]).await?,
    }
    Ok(replica.channel.sequence_id)
}
