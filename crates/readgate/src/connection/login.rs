//! Fourth step: is the client the named user it says it is? The decision is `access`'s;
//! here its questions go over the wire. Every failure reads the same to the client: 1045.
use std::sync::Arc;
use std::time::Instant;

use access::login::{CachingSha2, FastAuth, FullAuth};
use access::{
    Arrival, Blocked, Exchange, LimitReached, LoginCheck, LoginDenied, NamedUser, SourceAdmitted,
    SourceSlot, Timestamp, UserSlot,
};
use mysql_auth::{AuthPlugin, Nonce, Password};
use mysql_wire::compression::Algorithm;
use mysql_wire::error_code::{ER_ACCESS_DENIED_ERROR, ER_UNKNOWN_ERROR, ER_USER_LIMIT_REACHED};
use mysql_wire::handshake_response::Attribute;
use mysql_wire::latin1::name_in_utf8;
use mysql_wire::{Capabilities, ErrPacket, SqlState};

use super::admit;
use super::encrypt::Encrypted;
use super::greet::{GREETED_BY, LOGIN_PAYLOAD_LIMIT};
use super::turn::{Turn, wait_for_turn};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ending::{Ending, EndingKind};
use crate::packet_stream::PacketStream;
use crate::session::Left;

/// First byte of AuthMoreData.
const AUTH_MORE_DATA: u8 = 0x01;
/// First byte of AuthSwitchRequest.
const AUTH_SWITCH: u8 = 0xfe;
/// caching_sha2_password: the scramble was right.
const FAST_AUTH_OK: u8 = 3;
/// caching_sha2_password: send the password.
const FULL_AUTH: u8 = 4;

/// Levels of zstd above it take a chunk of rows for milliseconds, up to a tenth of a second, in
/// which other sessions of the worker wait, and save a tenth of its size.
const MOST_EFFORT: i32 = 9;

/// A named user, and what their session should be like.
#[derive(Debug)]
pub struct LoggedIn {
    /// The permit that a session demands.
    pub named: NamedUser,
    /// Places under the limits, held as long as the session lives.
    pub slots: (SourceSlot, UserSlot),
    /// What both sides can.
    pub negotiated: Capabilities,
    /// Collation id asked for.
    pub collation: u16,
    /// Default schema asked for.
    pub schema: Option<Vec<u8>>,
    /// Connection attributes as sent.
    pub attributes: Vec<Attribute>,
    /// Compression that starts after the OK.
    pub compression: Option<Algorithm>,
    /// Of users and roles, no later than the user was looked up.
    pub generation: u64,
}

/// Runs the login exchange.
pub async fn log_in(
    daemon: &Arc<Daemon>,
    channel: &mut PacketStream,
    context: &mut Context,
    encrypted: Encrypted,
) -> Result<LoggedIn, Ending> {
    let Encrypted { source, slot, nonce, negotiated, response } = encrypted;
    let collation = u16::from(response.head.collation);
    let claim = Claim {
        user: &name_in_utf8(response.user, collation),
        plugin: response.auth_plugin.as_deref(),
        proof: Some(response.auth_response),
    };
    let generation = daemon.judges.generation();
    let (named, user_slot) = prove(daemon, channel, context, (source, &nonce), claim).await?;
    Ok(LoggedIn {
        named,
        slots: (slot, user_slot),
        negotiated,
        compression: compression(negotiated, response.zstd_level),
        collation,
        schema: response.schema,
        attributes: response.attributes,
        generation,
    })
}

/// COM_CHANGE_USER: somebody else, on the same connection. Source and proof are checked
/// anew, against a nonce of their own.
pub async fn log_in_again(
    daemon: &Arc<Daemon>,
    channel: &mut PacketStream,
    context: &mut Context,
    left: Left,
) -> Result<LoggedIn, Ending> {
    let Left { request, slot, negotiated, collation } = left;
    let source = admit::check_source(daemon, context).map_err(|denied| {
        let err = admit::not_allowed(context);
        // Not the kind of those who are refused before the greeting: nothing is recorded yet.
        Ending::told(EndingKind::LoginDenied, denied.to_string(), err)
    })?;
    let nonce = Nonce::generate()
        .map_err(|fault| Ending::silent(EndingKind::Internal, fault.to_string()))?;
    let collation = request.collation.unwrap_or(collation);
    let user = name_in_utf8(request.user, collation);
    let claim = Claim { user: &user, plugin: request.auth_plugin.as_deref(), proof: None };
    let generation = daemon.judges.generation();
    let (named, user_slot) = prove(daemon, channel, context, (source, &nonce), claim).await?;
    Ok(LoggedIn {
        named,
        slots: (slot, user_slot),
        negotiated,
        compression: None,
        collation,
        schema: request.schema,
        attributes: request.attributes,
        generation,
    })
}

/// Who the client says it is.
struct Claim<'a> {
    user: &'a [u8],
    plugin: Option<&'a [u8]>,
    /// Answer to the nonce, if one came along.
    proof: Option<Vec<u8>>,
}

impl Claim<'_> {
    /// What the client means to prove itself by. One that names no plugin is older than they are,
    /// and has nothing but what became mysql_native_password.
    fn proposed(&self) -> Option<AuthPlugin> {
        self.plugin.map_or(Some(AuthPlugin::MysqlNativePassword), AuthPlugin::from_name)
    }

    /// The proof that came along, if it is one by that plugin. Clients that are set to another
    /// plugin than the greeting's (`--default-auth`) leave it empty and wait to be asked by theirs.
    fn proof_by(&mut self, plugin: AuthPlugin) -> Option<Vec<u8>> {
        let waits = self.plugin.is_some() && plugin != GREETED_BY;
        let is_by_it = self.proposed() == Some(plugin);
        self.proof.take().filter(|proof| is_by_it && !(waits && proof.is_empty()))
    }
}

async fn prove(
    daemon: &Arc<Daemon>,
    channel: &mut PacketStream,
    context: &mut Context,
    (source, nonce): (SourceAdmitted, &Nonce),
    mut claim: Claim<'_>,
) -> Result<(NamedUser, UserSlot), Ending> {
    context.note_user(claim.user);
    let permit = source.clone();
    let live = daemon.live();
    let arrival = Arrival {
        source,
        networks: &live.sources,
        encrypted: channel.is_encrypted(),
        certificate: context.certificate.clone(),
        now: Timestamp::now(),
    };
    let check = LoginCheck::for_user(&live.users, claim.user, arrival);
    let proposed = claim.proposed();
    let plugin = check.plugin(proposed);
    let proof = match claim.proof_by(plugin) {
        Some(proof) => proof,
        None => switch(channel, plugin, nonce).await?,
    };
    // The proof is at hand: from here to its failure nothing is waited for but the turn, or tries
    // begun at once would all be free.
    let attempt = daemon.throttle.ask(&permit, claim.user, Instant::now());
    wait_for_turn(attempt).await;
    let check = check.throttled(attempt);
    let door = live.door(&context.listener);
    let suffices = door.is_some_and(|door| door.certificate_suffices);
    let by_certificate = suffices.then(|| check.by_certificate()).flatten();
    let mut turn = Turn::of(daemon, &permit, claim.user);
    let decided = match (by_certificate, check.exchange(proposed)) {
        (Some(decided), exchange) => {
            if decided.is_ok() && exchange.plugin() == AuthPlugin::CachingSha2Password {
                accept_scramble(channel, &proof);
            }
            decided
        }
        (None, Exchange::CachingSha2(sha2)) => {
            caching_sha2(channel, sha2, nonce, &proof, &mut turn).await
        }
        (None, Exchange::Native(native)) => native.verify(nonce, &proof),
    };
    let named = match decided {
        Ok(named) => named,
        Err(denied) => {
            let blocked = turn.fail(denied);
            return Err(access_denied(context, claim.user, denied, blocked));
        }
    };
    daemon.throttle.succeeded(&permit, claim.user);
    let slot = daemon.limits.admit_user(&named).map_err(|reached| over_limit(&named, &reached))?;
    daemon.confirm(&named).await.map_err(unconfirmed)?;
    Ok((named, slot))
}

fn over_limit(named: &NamedUser, reached: &LimitReached) -> Ending {
    let text = format!("readgate: user '{}' has reached a limit: {reached}", named.user().name);
    let err = ErrPacket::new(ER_USER_LIMIT_REACHED, SqlState::ACCESS, text);
    Ending::told(EndingKind::OverLimit, reached.to_string(), err)
}

fn unconfirmed(why: String) -> Ending {
    let text = "readgate: the store of users can't be used at this moment; try again later";
    let err = ErrPacket::new(ER_UNKNOWN_ERROR, SqlState::GENERAL, text);
    Ending::told(EndingKind::LoginDenied, why, err)
}

/// As the server does, zlib is taken where a client asks for both. Clients read every level.
fn compression(negotiated: Capabilities, zstd_level: Option<u8>) -> Option<Algorithm> {
    if negotiated.contains(Capabilities::CLIENT_COMPRESS) {
        return Some(Algorithm::Zlib);
    }
    negotiated.contains(Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM).then(|| Algorithm::Zstd {
        level: i32::from(zstd_level.unwrap_or(3)).clamp(1, MOST_EFFORT),
    })
}

async fn switch(
    channel: &mut PacketStream,
    plugin: AuthPlugin,
    nonce: &Nonce,
) -> Result<Vec<u8>, Ending> {
    let name = plugin.name().as_bytes();
    channel.send(&[&[AUTH_SWITCH], name, &[0], nonce.as_bytes(), &[0]]).await?;
    Ok(channel.read_payload(LOGIN_PAYLOAD_LIMIT).await?.bytes.to_vec())
}

async fn caching_sha2(
    channel: &mut PacketStream,
    sha2: CachingSha2,
    nonce: &Nonce,
    proof: &[u8],
    turn: &mut Turn<'_>,
) -> Result<NamedUser, LoginDenied> {
    // An empty password is sent as nothing, or as a lone NUL after a switch.
    let scramble = if proof == [0] { &[] } else { proof };
    match sha2.fast(nonce, scramble) {
        FastAuth::Accepted(named) => {
            accept_scramble(channel, scramble);
            Ok(named)
        }
        FastAuth::Denied(denied) => Err(denied),
        // Without TLS a password could only come under RSA. It isn't asked for: the verifiers
        // kept here answer every right password by its scramble, so this one was wrong.
        FastAuth::FullNeeded(full) if !channel.is_encrypted() => Err(full.so_far()),
        // Being asked tells the client as much, which needn't stay for the rest.
        FastAuth::FullNeeded(full) => {
            turn.fail(full.so_far());
            full_exchange(channel, full).await
        }
    }
}

/// Who sent no scramble waits for the OK alone.
fn accept_scramble(channel: &mut PacketStream, proof: &[u8]) {
    if !matches!(proof, [] | [0]) {
        channel.queue(&[&[AUTH_MORE_DATA, FAST_AUTH_OK]]);
    }
}

/// Who goes away in place of an answer has failed by the scramble.
async fn full_exchange(
    channel: &mut PacketStream,
    full: FullAuth,
) -> Result<NamedUser, LoginDenied> {
    if channel.send(&[&[AUTH_MORE_DATA, FULL_AUTH]]).await.is_err() {
        return Err(full.so_far());
    }
    let Ok(answer) = channel.read_payload(LOGIN_PAYLOAD_LIMIT).await else {
        return Err(full.so_far());
    };
    let password = Password::new(answer.bytes.strip_suffix(&[0]).unwrap_or(&answer.bytes));
    full.verify(&password)
}

/// 1045 for all. Who held the right credential, and it has ended, is told what to do.
fn access_denied(
    context: &Context,
    user: &[u8],
    denied: LoginDenied,
    blocked: Option<Blocked>,
) -> Ending {
    let name = String::from_utf8_lossy(user);
    let host = context.peer.ip().to_canonical();
    let mut text = format!("Access denied for user '{name}'@'{host}' (using password: YES)");
    if let Some(advice) = denied.advice() {
        text = format!("{text}; readgate: {advice}");
    }
    let err = ErrPacket::new(ER_ACCESS_DENIED_ERROR, SqlState::AUTHORISATION, text);
    let detail = match blocked {
        None => denied.to_string(),
        Some(Blocked { whole_source, remaining }) => {
            let what = if whole_source { "the source" } else { "this user from the source" };
            format!("{denied}; {what} is blocked for {} s", remaining.as_secs())
        }
    };
    Ending::told(EndingKind::LoginDenied, detail, err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_chooses_how_well_its_rows_are_compressed_within_bounds() {
        let zstd = Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM;
        let level = |asked| compression(zstd, asked);
        assert_eq!(level(None), Some(Algorithm::Zstd { level: 3 }));
        assert_eq!(level(Some(7)), Some(Algorithm::Zstd { level: 7 }));
        for (asked, given) in [(0, 1), (22, MOST_EFFORT), (255, MOST_EFFORT)] {
            assert_eq!(level(Some(asked)), Some(Algorithm::Zstd { level: given }));
        }
        let both = zstd | Capabilities::CLIENT_COMPRESS;
        assert_eq!(compression(both, Some(7)), Some(Algorithm::Zlib));
        assert_eq!(compression(Capabilities::empty(), Some(7)), None);
    }
}
