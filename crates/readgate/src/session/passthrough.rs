//! Commands that carry no statement and reach no data: forwarded as a closed list of
//! constants, so that nothing a client wrote goes along.
use std::time::Instant;

use mysql_wire::Command;
use mysql_wire::response::{Expect, ResponseEnd, ResponseWalker};
use sql_judge::SessionFacts;

use super::share::Traces;
use super::{Session, overtime, prepared};
use crate::ending::{Ending, EndingKind};
use crate::replica::relay::{self, Passed};

/// The commands.
#[derive(Debug, Clone, Copy)]
pub enum Harmless {
    /// Is the session alive? Asked of the replica, whose idle clock it winds up too.
    Ping,
    /// A line of server statistics.
    Statistics,
}

/// Forwards a command and its answer.
pub async fn forward(session: &mut Session<'_>, what: Harmless) -> Result<(), Ending> {
    let (command, expect) = match what {
        Harmless::Ping => (Command::Ping, Expect::Ack),
        Harmless::Statistics => (Command::Statistics, Expect::Statistics),
    };
    send(session, command, &[]).await?;
    let mut walker = ResponseWalker::new(expect, session.replica.form, 1, 1);
    relay_whole(session, &mut walker).await.map(|_| ())
}

/// Sends the replica a command, for as long as a statement may take.
pub async fn send(session: &mut Session<'_>, command: Command, body: &[u8]) -> Result<(), Ending> {
    let due = overtime::due(&session.replica, Instant::now());
    let (client, replica, mut watch) = overtime::sides(session, due);
    replica.channel.begin_command();
    let parts = [&[command.byte()], body];
    let sent = relay::alongside(client, &mut watch, replica.channel.send(&parts)).await;
    sent.map_err(|fault| session.ending_by(&fault))
}

/// Relays a response that needs no record of its own.
pub async fn relay_whole(
    session: &mut Session<'_>,
    walker: &mut ResponseWalker,
) -> Result<ResponseEnd, Ending> {
    let due = overtime::due(&session.replica, Instant::now());
    let held = overtime::relay_until(session, walker, &mut Passed::default(), due).await;
    let held = held.map_err(|fault| session.ending_by(&fault))?;
    overtime::release(session, held).await.map_err(|fault| session.ending_by(&fault))
}

/// COM_RESET_CONNECTION: the replica forgets the session's state, and with it the guard;
/// the client hears OK only when the guard is in force again.
pub async fn reset_connection(session: &mut Session<'_>) -> Result<(), Ending> {
    let target = &session.daemon.pool.target;
    target.reset(&mut session.replica).await.map_err(|fault| unguarded(fault.to_string()))?;
    let names = session.names.as_deref();
    let baseline = target.guard_again(&mut session.replica, names).await;
    let baseline = baseline.map_err(|fault| unguarded(fault.to_string()))?;
    session.facts = SessionFacts::of_replica(session.replica.version, &baseline.variables())
        .ok_or_else(|| unguarded("character set or sql_mode unknown".to_owned()))?;
    session.prepared.clear();
    prepared::give_room_back(session);
    session.traces = Traces::default();
    session.send_ok(false).await
}

fn unguarded(detail: String) -> Ending {
    Ending::silent(EndingKind::ReplicaFault, format!("reset: {detail}"))
}
