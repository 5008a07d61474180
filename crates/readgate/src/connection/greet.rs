//! Second step: the greeting, and the first 32 bytes of the client's answer, which say
//! whether TLS follows. Not a byte further is read before TLS.
use access::{SourceAdmitted, SourceSlot};
use mysql_auth::{AuthPlugin, Nonce};
use mysql_wire::greeting::HandshakeV10;
use mysql_wire::handshake_response::{ResponseHead, SSL_REQUEST_LEN};
use mysql_wire::packet::Payload;
use mysql_wire::{Capabilities, Reader, StatusFlags};

use super::admit::Admitted;
use super::balancer;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::PacketStream;

/// A connection that has not logged in may send payloads up to this size.
pub const LOGIN_PAYLOAD_LIMIT: usize = 64 * 1024;

/// The plugin whose nonce the greeting brings.
pub const GREETED_BY: AuthPlugin = AuthPlugin::CachingSha2Password;

/// What readgate's relay can carry, if the replica can. Local files never; several
/// statements in one query are split here and never reach the replica as such.
const CARRIED: Capabilities = Capabilities::CLIENT_FOUND_ROWS
    .union(Capabilities::CLIENT_LONG_FLAG)
    .union(Capabilities::CLIENT_CONNECT_WITH_DB)
    .union(Capabilities::CLIENT_ODBC)
    .union(Capabilities::CLIENT_IGNORE_SPACE)
    .union(Capabilities::CLIENT_PROTOCOL_41)
    .union(Capabilities::CLIENT_INTERACTIVE)
    .union(Capabilities::CLIENT_TRANSACTIONS)
    .union(Capabilities::CLIENT_SECURE_CONNECTION)
    .union(Capabilities::CLIENT_MULTI_RESULTS)
    .union(Capabilities::CLIENT_PS_MULTI_RESULTS)
    .union(Capabilities::CLIENT_PLUGIN_AUTH)
    .union(Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::CLIENT_SESSION_TRACK)
    .union(Capabilities::CLIENT_QUERY_ATTRIBUTES)
    .union(Capabilities::CLIENT_OPTIONAL_RESULTSET_METADATA)
    .union(Capabilities::CLIENT_DEPRECATE_EOF)
    .union(Capabilities::MARIADB_CLIENT_EXTENDED_METADATA);

/// What readgate offers whatever the replica does.
const OWN: Capabilities = Capabilities::CLIENT_SSL
    .union(Capabilities::CLIENT_MULTI_STATEMENTS)
    .union(Capabilities::CLIENT_COMPRESS)
    .union(Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM)
    .union(Capabilities::CLIENT_CONNECT_ATTRS);

/// A client that has answered the greeting.
#[derive(Debug)]
pub struct Greeted {
    /// Permit of the address.
    pub source: SourceAdmitted,
    /// The connection's place under the limits.
    pub slot: SourceSlot,
    /// What the client's proof must answer.
    pub nonce: Nonce,
    /// What was offered.
    pub offered: Capabilities,
    /// The first payload: an SSL request or a handshake response.
    pub first: Payload,
    /// Whether it is an SSL request.
    pub wants_tls: bool,
}

/// Sends the greeting and reads the first payload.
pub async fn greet(
    daemon: &Daemon,
    channel: &mut PacketStream,
    context: &mut Context,
    admitted: Admitted,
) -> Result<Greeted, Ending> {
    match daemon.pool.earmark(context.peer.ip()) {
        // Another server's, or one's that has begun anew: the id is another session's here.
        Some(warm) if daemon.registry.has_greeted(warm.connection_id()) => {
            daemon.pool.put_back(warm);
        }
        Some(warm) => {
            context.connection_id = warm.connection_id();
            context.earmarked = Some(warm);
        }
        None => {}
    }
    let nonce = Nonce::generate()
        .map_err(|fault| Ending::silent(EndingKind::Internal, fault.to_string()))?;
    let greeting = greeting(daemon, context.connection_id, &nonce);
    let offered = greeting.offered;
    channel.send_first(&[&greeting.encode()]).await?;
    let first = channel.read_payload_exactly(LOGIN_PAYLOAD_LIMIT).await;
    let first = first.map_err(|fault| balancer::no_login(channel, fault))?;
    let head = ResponseHead::parse(&mut Reader::new(&first.bytes, "handshake response"))
        .map_err(|malformed| Ending::bad_handshake(malformed.to_string()))?;
    let wants_tls =
        first.bytes.len() == SSL_REQUEST_LEN && head.requested.contains(Capabilities::CLIENT_SSL);
    let Admitted { source, slot } = admitted;
    Ok(Greeted { source, slot, nonce, offered, first, wants_tls })
}

fn greeting(daemon: &Daemon, connection_id: u32, nonce: &Nonce) -> HandshakeV10 {
    let replica = daemon.pool.target.seen();
    HandshakeV10 {
        server_version: replica.version_text.clone(),
        connection_id,
        nonce: nonce.as_bytes().to_vec(),
        offered: (replica.offered & CARRIED | OWN).with_long_password(),
        collation: replica.collation,
        status: StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        auth_plugin: GREETED_BY.name().into(),
    }
}
