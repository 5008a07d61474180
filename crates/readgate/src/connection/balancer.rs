//! Before the first step, where a TCP balancer stands in front: whose connection is it?
//! A listed balancer must say so in a PROXY header; nobody else is asked.
use bytes::Buf;

use super::proxy_header::{Parsed, ProxyHeader, parse};
use crate::context::Context;
use crate::daemon::{Daemon, DoorWay};
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::{PacketStream, StreamFault};

/// Replaces the balancer's address by the client's. Not a byte beyond the header is read.
pub async fn identify(
    daemon: &Daemon,
    door: &DoorWay,
    channel: &mut PacketStream,
    context: &mut Context,
) -> Result<(), Ending> {
    let peer = context.peer.ip().to_canonical();
    let live = daemon.live();
    let balancers = live.door(&door.name).map(|policy| policy.balancers.as_slice());
    if !balancers.unwrap_or_default().iter().any(|network| network.contains(&peer)) {
        return Ok(());
    }
    loop {
        match parse(channel.inbox()) {
            Ok(Parsed::NeedAtLeast(len)) => channel.fill_to(len).await?,
            Ok(Parsed::Header(header, len)) => {
                let inbox = channel.inbox();
                inbox.advance(len.min(inbox.len()));
                return take(context, header);
            }
            Err(bad) => return Err(Ending::silent(EndingKind::ClientFault, bad.to_string())),
        }
    }
}

fn take(context: &mut Context, header: ProxyHeader) -> Result<(), Ending> {
    match header {
        ProxyHeader::Client(address) => {
            context.peer = address;
            Ok(())
        }
        ProxyHeader::Local => Err(Ending::silent(EndingKind::HealthCheck, "health_check")),
    }
}

/// Why a client's first packet can't be read. A balancer that isn't listed sends its header in that
/// place: then the record says so, since nothing else would lead to the missing entry. No more than
/// the four bytes of a packet's header are there to tell, and scanners send such as well.
pub fn no_login(channel: &mut PacketStream, fault: StreamFault) -> Ending {
    let is_no_packet = matches!(fault, StreamFault::Packet(_));
    let ending = Ending::from(fault);
    if !is_no_packet || parse(channel.inbox()).is_err() {
        return ending;
    }
    let detail = "begins like a PROXY header, and proxy_protocol_from doesn't list the address";
    Ending { detail: detail.to_owned(), ..ending }
}
