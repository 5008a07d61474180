//! What a role's limits mean for a statement under way: an error that names the limit,
//! never a silently short result, and a session that goes on.
use std::sync::Arc;
use std::time::Duration;

use access::RoleLimits;
use bytes::Buf;
use mysql_wire::error_code::ER_USER_LIMIT_REACHED;
use mysql_wire::response::{Caps, Over, ResponseWalker};
use mysql_wire::{ErrPacket, SqlState};
use tokio::time::timeout;

use super::Session;
use crate::clock::today;
use crate::ending::{Ending, EndingKind};
use crate::replica::ReplicaFault;
use crate::usage::LimitedDay;

/// A statement that was stopped has this long to end on the replica.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What the client has of one result, which a cursor gives in several responses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Got {
    rows: u64,
    bytes: u64,
}

impl Got {
    /// With what this response has brought.
    pub fn and(self, walker: &ResponseWalker) -> Self {
        let rows = self.rows.saturating_add(walker.rows());
        Self { rows, bytes: self.bytes.saturating_add(walker.bytes()) }
    }
}

/// The caps of the next response; an error if the day's bytes are used up.
pub fn caps(session: &Session<'_>, got: Got) -> Result<Caps, ErrPacket> {
    let limits = &session.role.limits;
    let rows = limits.result_rows.map(|cap| cap.saturating_sub(got.rows));
    match day(session) {
        Some(day) if day.left() == 0 => Err(exceeded(&session.user, "bytes_per_day", day.most)),
        Some(_) | None => Ok(Caps { rows, bytes: bytes_left(limits, got) }),
    }
}

/// The day that responses count against as they go, where it is limited.
pub fn day(session: &Session<'_>) -> Option<LimitedDay> {
    let most = session.role.limits.bytes_per_day?;
    Some(LimitedDay::new(Arc::clone(&session.read_today), most))
}

/// Counts a whole response, where the day isn't limited.
pub fn count(session: &Session<'_>, bytes: u64) {
    session.read_today.add(today(), bytes);
}

/// Ends a response that exceeds a cap: the client gets an error that names the limit, the
/// replica is told to stop, and the rest of its answer is thrown away.
pub async fn stop(
    session: &mut Session<'_>,
    walker: &mut ResponseWalker,
    (over, got): (Over, Got),
) -> Result<(), Ending> {
    let err = over_limit(&session.user, &session.role.limits, over, got);
    session.client.sequence_id = walker.next_client_sequence_id();
    session.send_err(&err).await.inspect_err(|_| session.kill_later())?;
    let broken = |detail: String| Ending::silent(EndingKind::ReplicaFault, detail);
    kill_statement(session).await.map_err(broken)?;
    throw_away(session, walker).await?;
    be_hit(session).await?;
    session.resync().await
}

/// Tells the replica to end what the session runs there. An error says why it can't be told. A
/// routine that it doesn't let us stop ends by itself in the time that is left, or the session does.
pub async fn kill_statement(session: &mut Session<'_>) -> Result<(), String> {
    let (account, seat) = (&session.replica.wish.account, &session.replica.seat);
    let killed = session.daemon.pool.kill(account, seat).await;
    match killed {
        Ok(_) | Err(ReplicaFault::NotOurs) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Takes a response to its end, of which the client sees nothing.
pub async fn throw_away(
    session: &mut Session<'_>,
    walker: &mut ResponseWalker,
) -> Result<(), Ending> {
    let late = |_| Ending::silent(EndingKind::ReplicaFault, "a stopped statement does not end");
    timeout(STOP_DEADLINE, drain(session, walker)).await.map_err(late)?
}

/// The order to stop may have come late and hit what runs next: let that be ours. What a routine has
/// left of the session is held against what the next statement was judged by, as behind any other.
pub async fn take_late_stop(session: &mut Session<'_>) -> Result<(), Ending> {
    let is_loose = session.replica.is_loose;
    be_hit(session).await?;
    session.read_back().await?;
    session.replica.is_loose = is_loose;
    Ok(())
}

/// A question that isn't answered in its time may be later: that would pass for the answer to another.
async fn be_hit(session: &mut Session<'_>) -> Result<(), Ending> {
    match session.daemon.pool.target.read_again(&mut session.replica).await {
        Err(silent @ ReplicaFault::Unreachable(_)) => {
            Err(Ending::silent(EndingKind::ReplicaFault, silent.to_string()))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn bytes_left(limits: &RoleLimits, got: Got) -> Option<u64> {
    limits.result_bytes.map(|cap| cap.saturating_sub(got.bytes))
}

fn over_limit(user: &str, limits: &RoleLimits, over: Over, got: Got) -> ErrPacket {
    let (name, limit) = match over {
        Over::Rows(_) => ("result_rows", limits.result_rows),
        Over::Bytes(cap) if bytes_left(limits, got) == Some(cap) => {
            ("result_bytes", limits.result_bytes)
        }
        Over::Bytes(_) => ("bytes_per_day", limits.bytes_per_day),
    };
    exceeded(user, name, limit.unwrap_or_default())
}

fn exceeded(user: &str, limit: &str, value: u64) -> ErrPacket {
    let text = format!(
        "readgate: user '{user}' has exceeded the '{limit}' limit of the role (value: {value})"
    );
    ErrPacket::new(ER_USER_LIMIT_REACHED, SqlState::ACCESS, text)
}

async fn drain(session: &mut Session<'_>, walker: &mut ResponseWalker) -> Result<(), Ending> {
    walker.lift_caps();
    let gone = |why: String| Ending::silent(EndingKind::ReplicaFault, why);
    loop {
        let inbox = session.replica.channel.inbox();
        let walk = walker.walk(inbox).map_err(|fault| gone(fault.to_string()))?;
        inbox.advance(walk.forward.min(inbox.len()));
        if walk.end.is_some() {
            return Ok(());
        }
        match session.replica.channel.fill().await {
            Ok(1..) => {}
            Ok(0) => return Err(gone("closed".to_owned())),
            Err(error) => return Err(gone(error.to_string())),
        }
    }
}
