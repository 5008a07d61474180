//! Third step: TLS, and the handshake response. Without TLS only where the listener says
//! so; a client that won't gets ERR 3159.
use std::sync::Arc;

use access::{ClientCertificate, SourceAdmitted, SourceSlot};
use mysql_auth::Nonce;
use mysql_wire::error_code::ER_SECURE_TRANSPORT_REQUIRED;
use mysql_wire::handshake_response::HandshakeResponse41;
use mysql_wire::{Capabilities, ErrPacket, SqlState};
use tokio_rustls::TlsStream;

use super::greet::{Greeted, LOGIN_PAYLOAD_LIMIT};
use crate::context::Context;
use crate::daemon::DoorWay;
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::PacketStream;
use crate::tls::certificate;
use crate::tls::socket::TlsSocket;

/// A client whose handshake response came the way the listener demands.
#[derive(Debug)]
pub struct Encrypted {
    /// Permit of the address.
    pub source: SourceAdmitted,
    /// The connection's place under the limits.
    pub slot: SourceSlot,
    /// What the client's proof must answer.
    pub nonce: Nonce,
    /// What both sides can.
    pub negotiated: Capabilities,
    /// User, proof, schema, attributes.
    pub response: HandshakeResponse41,
}

/// Upgrades to TLS if asked, and reads the handshake response.
pub async fn encrypt(
    door: &DoorWay,
    channel: &mut PacketStream,
    context: &mut Context,
    greeted: Greeted,
) -> Result<Encrypted, Ending> {
    let Greeted { source, slot, nonce, offered, first, wants_tls } = greeted;
    let payload = match wants_tls {
        true => {
            let acceptor = door.acceptor();
            let handshake = |socket: TlsSocket| acceptor.accept(socket.holding_tickets());
            channel
                .upgrade(handshake)
                .await
                .map_err(|e| Ending::silent(EndingKind::TlsFailed, e.to_string()))?;
            context.note_tls(channel.tls());
            context.certificate = certificate_of(channel)?;
            channel.read_payload(LOGIN_PAYLOAD_LIMIT).await?
        }
        false if door.requires_tls() => return Err(tls_required()),
        false => first,
    };
    let response = HandshakeResponse41::parse(&payload.bytes)
        .map_err(|malformed| Ending::bad_handshake(malformed.to_string()))?;
    let negotiated = offered & response.head.requested;
    Ok(Encrypted { source, slot, nonce, negotiated, response })
}

/// The certificate that the client has proven to hold. TLS has verified it; one whose names
/// can't be read belongs to nobody.
fn certificate_of(channel: &PacketStream) -> Result<Option<Arc<ClientCertificate>>, Ending> {
    let Some((_, tls)) = channel.tls().map(TlsStream::get_ref) else { return Ok(None) };
    let Some(leaf) = tls.peer_certificates().and_then(<[_]>::first) else { return Ok(None) };
    let names = certificate::names(leaf).ok_or_else(|| {
        Ending::silent(EndingKind::TlsFailed, "the client certificate's names can't be read")
    })?;
    Ok(Some(Arc::new(names)))
}

fn tls_required() -> Ending {
    let text = "Connections using insecure transport are prohibited while \
                --require_secure_transport=ON.";
    let err = ErrPacket::new(ER_SECURE_TRANSPORT_REQUIRED, SqlState::GENERAL, text);
    Ending::told(EndingKind::TlsFailed, "no TLS", err)
}
