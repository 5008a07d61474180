//! Fourth step: is the client the named user it says it is? The decision is `access`'s;
//! here its questions go over the wire. Every failure reads the same to the client: 1045.
use access::login::{CachingSha2, FastAuth, FullAuth};
use access::{Exchange, LoginCheck, LoginDenied, NamedUser, SourceSlot, UserSlot};
use mysql_auth::{AuthPlugin, Nonce, Password};
use mysql_wire::handshake_response::Attribute;
use mysql_wire::{Capabilities, ErrPacket, SqlState};

use super::encrypt::Encrypted;
use super::greet::LOGIN_PAYLOAD_LIMIT;
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::PacketStream;

/// ER_ACCESS_DENIED_ERROR.
const ACCESS_DENIED: u16 = 1045;
/// ER_USER_LIMIT_REACHED.
const USER_LIMIT_REACHED: u16 = 1226;
/// First byte of AuthMoreData.
const AUTH_MORE_DATA: u8 = 0x01;
/// First byte of AuthSwitchRequest.
const AUTH_SWITCH: u8 = 0xfe;
/// caching_sha2_password: the scramble was right.
const FAST_AUTH_OK: u8 = 3;
/// caching_sha2_password: send the password.
const FULL_AUTH: u8 = 4;

/// A named user, and what their session should be like.
#[derive(Debug)]
pub struct LoggedIn {
    /// The permit that a session demands.
    pub named: NamedUser,
    /// Places under the limits, held as long as the session lives.
    pub slots: (SourceSlot, UserSlot),
    /// What both sides can.
    pub negotiated: Capabilities,
    /// Collation id of the handshake.
    pub collation: u8,
    /// Default schema asked for.
    pub schema: Option<Vec<u8>>,
    /// Connection attributes as sent.
    pub attributes: Vec<Attribute>,
}

/// Runs the login exchange.
pub async fn log_in(
    daemon: &Daemon,
    channel: &mut PacketStream,
    context: &mut Context,
    encrypted: Encrypted,
) -> Result<LoggedIn, Ending> {
    let Encrypted { source, slot, nonce, negotiated, response } = encrypted;
    context.note_user(&response.user);
    let live = daemon.live();
    let check = LoginCheck::for_user(
        &live.users,
        &live.sources,
        &response.user,
        source,
        crate::clock::today(),
    );
    let proposed = response.auth_plugin.as_deref().and_then(AuthPlugin::from_name);
    let exchange = check.exchange(proposed);
    let proof = match proposed {
        Some(plugin) if plugin == exchange.plugin() => response.auth_response,
        _ => switch(channel, &exchange, &nonce).await?,
    };
    let decided = match exchange {
        Exchange::CachingSha2(sha2) => caching_sha2(channel, sha2, &nonce, &proof).await?,
        Exchange::Native(native) => native.verify(&nonce, &proof),
    };
    let named = decided.map_err(|denied| access_denied(context, &response.user, &denied))?;
    let user_slot = daemon.limits.admit_user(&named).map_err(|reached| {
        let text = format!("readgate: user '{}' has reached a limit: {reached}", named.user().name);
        let err = ErrPacket::new(USER_LIMIT_REACHED, SqlState::ACCESS, text);
        Ending::told(EndingKind::OverLimit, reached.to_string(), err)
    })?;
    Ok(LoggedIn {
        named,
        slots: (slot, user_slot),
        negotiated,
        collation: response.head.collation,
        schema: response.schema,
        attributes: response.attributes,
    })
}

async fn switch(
    channel: &mut PacketStream,
    exchange: &Exchange,
    nonce: &Nonce,
) -> Result<Vec<u8>, Ending> {
    let name = exchange.plugin().name().as_bytes();
    channel.send(&[&[AUTH_SWITCH], name, &[0], nonce.as_bytes(), &[0]]).await?;
    Ok(channel.read_payload(LOGIN_PAYLOAD_LIMIT).await?.bytes.to_vec())
}

async fn caching_sha2(
    channel: &mut PacketStream,
    sha2: CachingSha2,
    nonce: &Nonce,
    proof: &[u8],
) -> Result<Result<NamedUser, LoginDenied>, Ending> {
    // An empty password is sent as nothing, or as a lone NUL after a switch.
    let scramble = if proof == [0] { &[] } else { proof };
    match sha2.fast(nonce, scramble) {
        FastAuth::Accepted(named) => {
            channel.queue(&[&[AUTH_MORE_DATA, FAST_AUTH_OK]]);
            Ok(Ok(named))
        }
        FastAuth::Denied(denied) => Ok(Err(denied)),
        FastAuth::FullNeeded(full) => {
            channel.send(&[&[AUTH_MORE_DATA, FULL_AUTH]]).await?;
            full_exchange(channel, full).await
        }
    }
}

async fn full_exchange(
    channel: &mut PacketStream,
    full: FullAuth,
) -> Result<Result<NamedUser, LoginDenied>, Ending> {
    let answer = channel.read_payload(LOGIN_PAYLOAD_LIMIT).await?.bytes;
    if !channel.is_encrypted() {
        // Without TLS the password would have to come under RSA, which isn't offered.
        return Ok(full.verify(&Password::default()));
    }
    let password = Password::new(answer.strip_suffix(&[0]).unwrap_or(&answer));
    Ok(full.verify(&password))
}

fn access_denied(context: &Context, user: &[u8], denied: &LoginDenied) -> Ending {
    let name = String::from_utf8_lossy(user);
    let host = context.peer.ip().to_canonical();
    let text = format!("Access denied for user '{name}'@'{host}' (using password: YES)");
    let err = ErrPacket::new(ACCESS_DENIED, SqlState::AUTHORISATION, text);
    Ending::told(EndingKind::LoginDenied, denied.to_string(), err)
}
