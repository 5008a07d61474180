//! First step: may anyone come in from this address, and is there room? Nothing has been
//! sent or read. A source that isn't listed gets ERR 1130 in place of the greeting.
use std::time::Duration;

use access::{LimitReached, SourceAdmitted, SourceDenied, SourceDenyCause, SourceSlot};
use ledger::Event;
use mysql_wire::error_code::{ER_CON_COUNT_ERROR, ER_HOST_NOT_PRIVILEGED};
use mysql_wire::{ErrPacket, SqlState};
use tokio::time::timeout;

use crate::context::Context;
use crate::daemon::{Daemon, DoorWay};
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::PacketStream;

/// A refused source is given this long to take its ERR packet.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(2);

/// An address that may go on to the greeting.
#[derive(Debug)]
pub struct Admitted {
    /// The permit.
    pub source: SourceAdmitted,
    /// The connection's place under the limits.
    pub slot: SourceSlot,
}

/// Checks source and limits.
pub async fn admit(
    daemon: &Daemon,
    door: &DoorWay,
    channel: &mut PacketStream,
    context: &mut Context,
) -> Result<Admitted, Ending> {
    let source = match check_source(daemon, context) {
        Ok(source) => source,
        Err(denied) => {
            refuse_source(daemon, door, channel, context, &denied).await;
            return Err(Ending::silent(EndingKind::SourceDenied, denied.to_string()));
        }
    };
    match daemon.limits.admit_source(&source) {
        Ok(slot) => Ok(Admitted { source, slot }),
        Err(reached) => {
            refuse_for_room(channel, reached).await;
            Err(Ending::silent(EndingKind::OverLimit, reached.to_string()))
        }
    }
}

/// Whether the listener lets anyone in from the client's address, today.
pub fn check_source(daemon: &Daemon, context: &Context) -> Result<SourceAdmitted, SourceDenied> {
    let (live, addr) = (daemon.live(), context.peer.ip().to_canonical());
    // A listener that a reload has taken away accepts nobody any more.
    let cause = SourceDenyCause::NotListed;
    let accepted = live.door(&context.listener).ok_or(SourceDenied { addr, cause })?;
    live.sources.admit(&accepted.sources, addr, crate::clock::today())
}

/// What a source that isn't listed is told.
pub fn not_allowed(context: &Context) -> ErrPacket {
    let host = context.peer.ip().to_canonical();
    let text = format!("Host '{host}' is not allowed to connect to this MySQL server");
    ErrPacket::new(ER_HOST_NOT_PRIVILEGED, SqlState::GENERAL, text)
}

async fn refuse_source(
    daemon: &Daemon,
    door: &DoorWay,
    channel: &mut PacketStream,
    context: &Context,
    denied: &SourceDenied,
) {
    let event = Event::SourceDenied {
        source: context.peer.ip().to_canonical(),
        source_port: context.peer.port(),
        listener: &door.name,
        reason: &denied.to_string(),
    };
    daemon.record(&event).await;
    daemon.note_denial(denied);
    say(channel, &not_allowed(context)).await;
}

async fn refuse_for_room(channel: &mut PacketStream, reached: LimitReached) {
    let text = format!("readgate: too many connections ({reached})");
    say(channel, &ErrPacket::new(ER_CON_COUNT_ERROR, SqlState::GENERAL, text)).await;
}

/// The connection ends either way: whether the peer takes its refusal changes nothing.
async fn say(channel: &mut PacketStream, err: &ErrPacket) {
    let _ = timeout(REFUSAL_DEADLINE, channel.send(&[&err.encode_before_greeting()])).await;
}
