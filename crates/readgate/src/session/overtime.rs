//! The clock of a statement. The replica keeps the limit itself (the session's guard), but
//! MySQL does so for queries alone, not for DO, SET, SHOW or CALL, and one that hangs for
//! nothing. What goes on beyond it is stopped from here, and no session waits for ever.
use std::time::{Duration, Instant};

use mysql_wire::response::{ResponseEnd, ResponseWalker};

use super::Session;
use super::limits::{self, STOP_DEADLINE};
use crate::packet_stream::PacketStream;
use crate::replica::ReplicaSession;
use crate::replica::relay::{self, Held, Passed, RelayFault, Watch};

/// The replica, whose error says what happened, is ahead by this.
const GRACE: Duration = Duration::from_secs(2);

/// When the response to what is sent now is to have ended.
pub fn due(replica: &ReplicaSession, sent: Instant) -> Option<Instant> {
    replica.statement_timeout().and_then(|limit| sent.checked_add(limit + GRACE))
}

/// Forwards a response up to its last chunk. One that goes on beyond its time ends as a
/// statement does that is killed on the replica.
pub async fn relay(
    session: &mut Session<'_>,
    walker: &mut ResponseWalker,
    passed: &mut Passed,
    sent: Instant,
) -> Result<Held, RelayFault> {
    let due = due(&session.replica, sent);
    match relay_until(session, walker, passed, due).await {
        Err(RelayFault::Overtime) => Box::pin(stop(session, walker, passed)).await,
        relayed => relayed,
    }
}

/// The same up to that moment, and no stopping.
pub async fn relay_until(
    session: &mut Session<'_>,
    walker: &mut ResponseWalker,
    passed: &mut Passed,
    due: Option<Instant>,
) -> Result<Held, RelayFault> {
    let (client, replica, mut watch) = sides(session, due);
    relay::up_to_the_end(client, replica, walker, &mut watch, passed).await
}

/// Lets the held chunk go to the client.
pub async fn release(session: &mut Session<'_>, held: Held) -> Result<ResponseEnd, RelayFault> {
    let (client, replica, mut watch) = sides(session, None);
    relay::release(client, replica, held, &mut watch).await
}

/// Both sides, and what ends the wait for either until that moment.
pub fn sides<'s>(
    session: &'s mut Session<'_>,
    due: Option<Instant>,
) -> (&'s mut PacketStream, &'s mut ReplicaSession, Watch<'s>) {
    let Session { client, replica, orders, limits, idle: timer, .. } = session;
    let (due, write_timeout) = (due.map(Into::into), limits.write_timeout);
    (client, replica, Watch { orders, timer, due, write_timeout })
}

async fn stop(
    session: &mut Session<'_>,
    walker: &mut ResponseWalker,
    passed: &mut Passed,
) -> Result<Held, RelayFault> {
    limits::kill_statement(session).await.map_err(RelayFault::ReplicaGone)?;
    passed.stopped = true;
    let due = Instant::now().checked_add(STOP_DEADLINE);
    match relay_until(session, walker, passed, due).await {
        Err(RelayFault::Overtime) => {
            Err(RelayFault::ReplicaGone("a stopped statement does not end".to_owned()))
        }
        relayed => relayed,
    }
}
