//! One response, from the replica to the client, as it comes: no decode, no copy per row,
//! no wait for the whole. Everything but the last chunk is forwarded here; the last one is
//! held until its outcome is recorded, and then let go by [`release`].
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use mysql_wire::response::{Over, ResponseEnd, ResponseFault, ResponseWalker};
use ring::digest::Context;
use tokio::time::Instant;

use super::ReplicaSession;
use crate::idle::IdleTimer;
use crate::packet_stream::PacketStream;
use crate::patience;
use crate::registry::{Order, Orders};
use crate::usage::LimitedDay;

/// While a response runs, at most this much of what the client sends ahead is read.
const READ_AHEAD: usize = 64 * 1024;

/// Which side ended a response before its time, and how.
#[derive(Debug, thiserror::Error)]
pub enum RelayFault {
    /// The client went away, or takes nothing any more.
    #[error("the client went away: {0}")]
    ClientGone(String),
    /// The replica went away.
    #[error("the replica went away: {0}")]
    ReplicaGone(String),
    /// The replica broke the protocol.
    #[error("{0}")]
    Protocol(#[from] ResponseFault),
    /// The session was told to end.
    #[error("the session was ended")]
    Ordered,
    /// The next row would exceed a limit of the role.
    #[error("a limit of the role was exceeded: {0:?}")]
    Over(Over),
    /// The replica is still at it when its time is over. The relay may go on where it stopped.
    #[error("it goes on beyond its time")]
    Overtime,
}

/// What ends the wait for one of the two sides beside themselves.
pub struct Watch<'w> {
    /// Orders to the session.
    pub orders: &'w mut Orders,
    /// The session's timer.
    pub timer: &'w mut IdleTimer,
    /// When the response is to have ended; `None` is never.
    pub due: Option<Instant>,
    /// How long the client may take nothing.
    pub write_timeout: Duration,
}

/// What of a response has been passed on.
#[derive(Default)]
pub struct Passed {
    /// Its bytes as the client gets them, those of the last chunk too.
    pub hash: Option<Context>,
    /// Whether the replica was told to stop meanwhile.
    pub stopped: bool,
    /// The id of the next packet to the client, where what it has got ends with a packet.
    pub border: Option<u8>,
    /// What they count against as they are passed on.
    pub day: Option<LimitedDay>,
    /// How many.
    bytes: u64,
}

impl Passed {
    /// Nothing yet, of what the walker follows; what comes is put into that hash, if there is one.
    pub fn nothing(walker: &ResponseWalker, hash: Option<Context>) -> Self {
        Self { hash, border: walker.client_border(), ..Self::default() }
    }
}

/// A response whose last chunk is held back.
#[derive(Debug)]
pub struct Held {
    /// How it ended.
    pub end: ResponseEnd,
    /// Bytes of the chunk at the front of the replica's inbox.
    len: usize,
    /// Bytes of the whole response.
    pub bytes: u64,
}

/// Forwards a response up to its last chunk.
pub async fn up_to_the_end(
    client: &mut PacketStream,
    replica: &mut ReplicaSession,
    walker: &mut ResponseWalker,
    watch: &mut Watch<'_>,
    passed: &mut Passed,
) -> Result<Held, RelayFault> {
    loop {
        let inbox = replica.channel.inbox();
        if let Some(day) = &passed.day {
            walker.leave(day.left());
        }
        let walk = walker.walk(inbox)?;
        passed.bytes += walk.forward as u64;
        if let Some(day) = &mut passed.day {
            day.count(walk.forward as u64);
        }
        if let Some(hash) = &mut passed.hash {
            hash.update(inbox.get(..walk.forward).unwrap_or_default());
        }
        if let Some(end) = walk.end {
            if replica.channel.untaken() > walk.forward {
                return Err(ResponseFault::Malformed("packet after the end").into());
            }
            return Ok(Held { end, len: walk.forward, bytes: passed.bytes });
        }
        if walk.forward > 0 {
            // What is walked over and isn't sent, as before a fault, is no border of the client's.
            send_front(client, replica, walk.forward, watch).await?;
            passed.border = walker.client_border();
        }
        if let Some(over) = walk.over {
            return Err(RelayFault::Over(over));
        }
        // Where more is always there, nothing below waits for an order.
        if walk.forward > 0 && matches!(watch.orders.current(), Order::EndNow(_)) {
            return Err(RelayFault::Ordered);
        }
        more(client, replica, watch).await?;
    }
}

/// Lets the held chunk go to the client.
pub async fn release(
    client: &mut PacketStream,
    replica: &mut ReplicaSession,
    held: Held,
    watch: &mut Watch<'_>,
) -> Result<ResponseEnd, RelayFault> {
    send_front(client, replica, held.len, watch).await?;
    Ok(held.end)
}

async fn send_front(
    client: &mut PacketStream,
    replica: &mut ReplicaSession,
    len: usize,
    watch: &mut Watch<'_>,
) -> Result<(), RelayFault> {
    let inbox = replica.channel.inbox();
    let front = inbox.get(..len).unwrap_or_default();
    let sent = tokio::select! {
        biased;
        sent = patience::within(watch.write_timeout, client.send_raw(front)) => sent,
        () = watch.orders.end_now() => return Err(RelayFault::Ordered),
    };
    match sent {
        Err(_) => Err(RelayFault::ClientGone("it takes nothing any more".to_owned())),
        Ok(Err(error)) => Err(RelayFault::ClientGone(error.to_string())),
        Ok(Ok(())) => {
            inbox.advance(len.min(inbox.len()));
            Ok(())
        }
    }
}

/// Waits for more of the response.
async fn more(
    client: &mut PacketStream,
    replica: &mut ReplicaSession,
    watch: &mut Watch<'_>,
) -> Result<(), RelayFault> {
    match alongside(client, watch, replica.channel.fill()).await? {
        0 => Err(RelayFault::ReplicaGone("closed".to_owned())),
        _ => Ok(()),
    }
}

/// Waits for the replica to say or to take something, for the client's end, for an order to stop,
/// or until it is due.
pub async fn alongside<T>(
    client: &mut PacketStream,
    watch: &mut Watch<'_>,
    exchange: impl Future<Output = io::Result<T>>,
) -> Result<T, RelayFault> {
    let Watch { orders, timer, due, .. } = watch;
    let mut exchange = pin!(exchange);
    loop {
        let watching = client.untaken() < READ_AHEAD;
        tokio::select! {
            biased;
            done = &mut exchange => {
                return done.map_err(|error| RelayFault::ReplicaGone(error.to_string()));
            }
            ahead = client.fill_ahead(), if watching => match ahead {
                Ok(0) => return Err(RelayFault::ClientGone("closed".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(RelayFault::ClientGone(error.to_string())),
            },
            () = orders.end_now() => return Err(RelayFault::Ordered),
            () = until(timer, *due), if due.is_some() => return Err(RelayFault::Overtime),
        }
    }
}

async fn until(timer: &mut IdleTimer, due: Option<Instant>) {
    if let Some(due) = due {
        timer.until(due).await;
    }
}
