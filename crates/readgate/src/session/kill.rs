//! KILL by a client: of the same user's own sessions only, by the id of the greeting or
//! by the replica's CONNECTION_ID(). readgate carries it out itself.
use ledger::Event;
use mysql_wire::error_code::{ER_KILL_DENIED_ERROR, ER_NO_SUCH_THREAD, ER_QUERY_INTERRUPTED};
use mysql_wire::{ErrPacket, SqlState};

use super::Session;
use crate::ending::{Ending, EndingKind};
use crate::registry::{Entry, Found, Order, Reason};
use crate::replica::ReplicaFault;

/// Runs a KILL. True if it succeeded.
pub async fn run(
    session: &mut Session<'_>,
    id: u64,
    query_only: bool,
    more_after: bool,
) -> Result<bool, Ending> {
    let found = session.daemon.registry.find(&session.user, id, &session.replica.seat);
    let result = match &found {
        Found::Own(..) => "killed",
        Found::AnothersSession => "not the user's session",
        Found::Nothing => "no such session",
    };
    record(session, (id, query_only), result).await;
    let err = match found {
        Found::Own(target, _) if target == session.registered.key => {
            return kill_oneself(session, query_only).await;
        }
        Found::Own(_, entry) => match kill(session, &entry, query_only).await {
            Ok(()) => {
                session.send_ok(more_after).await?;
                return Ok(true);
            }
            Err(fault) => {
                record(session, (id, query_only), &format!("not killed: {fault}")).await;
                fault.err_packet(&session.daemon.pool.target.name)
            }
        },
        Found::AnothersSession => {
            error(ER_KILL_DENIED_ERROR, format!("You are not owner of thread {id}"))
        }
        Found::Nothing => {
            let text =
                format!("Unknown thread id: {id} (readgate: no session on this node has it)");
            error(ER_NO_SUCH_THREAD, text)
        }
    };
    session.send_err(&err).await?;
    Ok(false)
}

async fn record(session: &Session<'_>, (target, query_only): (u64, bool), result: &str) {
    let (id, user) = (u64::from(session.context.connection_id), &*session.user);
    let event = Event::Kill { session: id, user, target, query_only, result };
    session.daemon.record(&event).await;
}

async fn kill(session: &Session<'_>, target: &Entry, query_only: bool) -> Result<(), ReplicaFault> {
    if !query_only {
        target.order(Order::EndNow(Reason::Killed));
        return Ok(());
    }
    // An operator's session, and one that shares its connection at the moment, run nothing.
    match (&target.card.account, &target.card.seat) {
        (Some(account), Some(seat)) => session.daemon.pool.kill(account, seat).await.map(drop),
        (_, _) => Ok(()),
    }
}

/// As the server does: the KILL itself is what gets interrupted.
async fn kill_oneself(session: &mut Session<'_>, query_only: bool) -> Result<bool, Ending> {
    let err = ErrPacket::new(
        ER_QUERY_INTERRUPTED,
        SqlState::INTERRUPTED,
        "Query execution was interrupted",
    );
    if query_only {
        session.send_err(&err).await?;
        return Ok(false);
    }
    Err(Ending::told(EndingKind::Killed, "killed itself", err))
}

fn error(code: u16, message: String) -> ErrPacket {
    ErrPacket::new(code, SqlState::GENERAL, message)
}
