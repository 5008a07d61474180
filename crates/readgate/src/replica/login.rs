//! The connection phase towards the replica, seen from the client's end.
//!
//! Steps: greeting, SSL request and TLS, handshake response, auth switch and more data,
//! OK. Nothing secret goes out before TLS unless the config chose plaintext.
use std::time::Instant;

use mysql_auth::ReplicaLogin;
use mysql_wire::change_user::ChangeUser;
use mysql_wire::compression::Algorithm;
use mysql_wire::error_code::{
    ER_BAD_DB_ERROR, ER_CON_COUNT_ERROR, ER_DBACCESS_DENIED_ERROR, ER_INVALID_CHARACTER_STRING,
    ER_TOO_LONG_IDENT, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED, ER_WRONG_DB_NAME,
    ER_WRONG_VALUE_FOR_VAR,
};
use mysql_wire::greeting::HandshakeV10;
use mysql_wire::handshake_response::{HandshakeResponse41, ResponseHead};
use mysql_wire::response::ResponseForm;
use mysql_wire::{Capabilities, Command, ErrPacket, Malformed, OkPacket, StatusFlags};
use sql_judge::ServerVersion;
use tokio::sync::OwnedSemaphorePermit;
use zeroize::Zeroizing;

use super::seat::Seat;
use super::{ReplicaFault, ReplicaProfile, ReplicaTarget, ReplicaTrust, SessionWish, UTF8MB4};
use crate::packet_stream::{PacketStream, StreamFault};

/// Largest payload believed during login.
const LOGIN_LIMIT: usize = 64 * 1024;
/// A login has a handful of rounds; a replica that goes on is broken.
const MAX_ROUNDS: usize = 8;
/// About the schema, not the account; MariaDB has the last for a name that UTF-8 as it knows it
/// can't hold.
const SCHEMA_ERRORS: [u16; 5] = [
    ER_DBACCESS_DENIED_ERROR,
    ER_BAD_DB_ERROR,
    ER_WRONG_DB_NAME,
    ER_TOO_LONG_IDENT,
    ER_INVALID_CHARACTER_STRING,
];
/// No place for another connection at the moment.
const CROWDED: [u16; 3] = [ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED];

/// What every session of ours asks for.
const ALWAYS: Capabilities = Capabilities::CLIENT_LONG_FLAG
    .union(Capabilities::CLIENT_PROTOCOL_41)
    .union(Capabilities::CLIENT_TRANSACTIONS)
    .union(Capabilities::CLIENT_SECURE_CONNECTION)
    .union(Capabilities::CLIENT_PLUGIN_AUTH)
    .union(Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::CLIENT_CONNECT_ATTRS)
    .union(Capabilities::CLIENT_MULTI_RESULTS)
    .union(Capabilities::CLIENT_PS_MULTI_RESULTS);

/// What is asked for if the client has it: the relay passes packets on as they come, so
/// both sides must agree on their form. Several statements in one query and local files
/// are never asked for.
const AS_CLIENT: Capabilities = Capabilities::CLIENT_FOUND_ROWS
    .union(Capabilities::CLIENT_ODBC)
    .union(Capabilities::CLIENT_IGNORE_SPACE)
    .union(Capabilities::CLIENT_INTERACTIVE)
    .union(Capabilities::CLIENT_SESSION_TRACK)
    .union(Capabilities::CLIENT_OPTIONAL_RESULTSET_METADATA)
    .union(Capabilities::CLIENT_DEPRECATE_EOF)
    .union(Capabilities::MARIADB_CLIENT_EXTENDED_METADATA);

/// A connection that has logged in; it isn't guarded yet, so no session runs on it.
#[derive(Debug)]
pub struct LoggedIn {
    /// The connection.
    pub channel: PacketStream,
    /// Form of its responses.
    pub form: ResponseForm,
    /// Which clients it suits: [`class`] of what the replica really does here.
    pub class: Capabilities,
    /// Where it is.
    pub seat: Seat,
    /// Status flags of the last OK.
    pub status: StatusFlags,
    /// Flavour and version of the replica.
    pub version: ServerVersion,
    /// When it was opened.
    pub born: Instant,
    /// Nobody else may have it: the replica may keep texts of its statements for whoever logs in on
    /// it next, or runs an `init_connect` for new connections alone.
    pub is_personal: bool,
    /// Its place among the connections that the pool may have; none for readgate's own.
    pub place: Option<OwnedSemaphorePermit>,
    /// Name and nonce of the greeting, for a change of user.
    auth_plugin: Vec<u8>,
    nonce: Vec<u8>,
}

/// What of a client's capabilities a connection to the replica has to share.
pub fn class(client: Capabilities) -> Capabilities {
    client & AS_CLIENT
}

/// Logs in with the account that is wished for.
pub async fn log_in(
    target: &ReplicaTarget,
    mut channel: PacketStream,
    wish: &SessionWish,
) -> Result<LoggedIn, ReplicaFault> {
    let address = channel.peer().map_err(StreamFault::Io)?;
    let greeting = read_greeting(&mut channel).await?;
    let profile = profile_of(&greeting)?;
    target.remember(&profile);
    let compression = compression(&greeting, target.compression)?;
    let requested = requested(&greeting, wish, target.tls.is_some())?
        | compression.map_or(Capabilities::empty(), flag);
    let collation = u8::try_from(wish.collation).unwrap_or(UTF8MB4);
    let head = ResponseHead { requested, max_packet: 1 << 30, collation };
    if let Some(ReplicaTrust { connector, name }) = &target.tls {
        channel.send(&[&head.encode()]).await.map_err(StreamFault::Io)?;
        let handshake = |socket| connector.load().connect(name.clone(), socket);
        channel.upgrade(handshake).await.map_err(|e| ReplicaFault::Tls(e.to_string()))?;
    }
    let (password, encrypted) = (wish.account.password.clone(), channel.is_encrypted());
    let login = ReplicaLogin::new(&greeting.auth_plugin, &greeting.nonce, password, encrypted)?;
    let response = HandshakeResponse41 {
        head,
        user: wish.account.user.clone().into_bytes(),
        auth_response: login.scramble(),
        schema: wish.schema.clone(),
        auth_plugin: Some(login.plugin().name().into()),
        attributes: wish.attributes.clone(),
        zstd_level: compression.and_then(zstd_level),
    };
    channel.send(&[&response.encode()]).await.map_err(StreamFault::Io)?;
    let status = exchange(&mut channel, login).await?;
    if let Some(algorithm) = compression {
        channel.compress(algorithm);
    }
    Ok(LoggedIn {
        channel,
        form: ResponseForm {
            deprecate_eof: requested.contains(Capabilities::CLIENT_DEPRECATE_EOF),
            optional_metadata: requested.contains(Capabilities::CLIENT_OPTIONAL_RESULTSET_METADATA),
        },
        class: class(requested),
        seat: Seat::new(greeting.connection_id, address),
        status,
        version: profile.version,
        born: Instant::now(),
        is_personal: false,
        place: None,
        auth_plugin: greeting.auth_plugin,
        nonce: greeting.nonce,
    })
}

/// COM_CHANGE_USER, to another account or the same: a used connection becomes as fresh as a
/// new login leaves it, with this client's schema, collation and attributes.
pub async fn log_in_again(
    mut connection: LoggedIn,
    wish: &SessionWish,
) -> Result<LoggedIn, ReplicaFault> {
    let channel = &mut connection.channel;
    let (password, encrypted) = (wish.account.password.clone(), channel.is_encrypted());
    let (plugin, nonce) = (&connection.auth_plugin, &connection.nonce);
    let login = ReplicaLogin::new(plugin, nonce, password, encrypted)?;
    let request = ChangeUser {
        user: wish.account.user.clone().into_bytes(),
        auth_response: login.scramble(),
        schema: wish.schema.clone(),
        collation: Some(wish.collation),
        auth_plugin: Some(login.plugin().name().into()),
        attributes: wish.attributes.clone(),
    };
    channel.begin_command();
    channel
        .send(&[&[Command::ChangeUser.byte()], &request.encode()])
        .await
        .map_err(StreamFault::Io)?;
    connection.status = exchange(&mut connection.channel, login).await?;
    Ok(connection)
}

async fn read_greeting(channel: &mut PacketStream) -> Result<HandshakeV10, ReplicaFault> {
    let payload = channel.read_payload_exactly(LOGIN_LIMIT).await?;
    if let Ok(err) = ErrPacket::parse(&payload.bytes) {
        return Err(refusal(err));
    }
    HandshakeV10::parse(&payload.bytes).map_err(broken)
}

fn profile_of(greeting: &HandshakeV10) -> Result<ReplicaProfile, ReplicaFault> {
    let text = &greeting.server_version;
    let version = ServerVersion::from_greeting(text)
        .ok_or_else(|| ReplicaFault::Version(String::from_utf8_lossy(text).into_owned()))?;
    Ok(ReplicaProfile {
        version_text: text.clone(),
        version,
        offered: greeting.offered,
        collation: greeting.collation,
    })
}

fn requested(
    greeting: &HandshakeV10,
    wish: &SessionWish,
    encrypt: bool,
) -> Result<Capabilities, ReplicaFault> {
    let mut wanted = ALWAYS | (AS_CLIENT & wish.client);
    wanted.set(Capabilities::CLIENT_CONNECT_WITH_DB, wish.schema.is_some());
    wanted.set(Capabilities::CLIENT_SSL, encrypt);
    if encrypt && !greeting.offered.contains(Capabilities::CLIENT_SSL) {
        return Err(ReplicaFault::Tls("the replica doesn't offer it".to_owned()));
    }
    Ok((wanted & greeting.offered).with_long_password())
}

/// What config asks for; a replica that can't is not spoken to without.
fn compression(
    greeting: &HandshakeV10,
    wanted: Option<Algorithm>,
) -> Result<Option<Algorithm>, ReplicaFault> {
    match wanted {
        Some(algorithm) if !greeting.offered.contains(flag(algorithm)) => {
            Err(ReplicaFault::Compression)
        }
        Some(_) | None => Ok(wanted),
    }
}

fn flag(algorithm: Algorithm) -> Capabilities {
    match algorithm {
        Algorithm::Zlib => Capabilities::CLIENT_COMPRESS,
        Algorithm::Zstd { .. } => Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM,
    }
}

fn zstd_level(algorithm: Algorithm) -> Option<u8> {
    match algorithm {
        Algorithm::Zlib => None,
        Algorithm::Zstd { level } => u8::try_from(level).ok(),
    }
}

async fn exchange(
    channel: &mut PacketStream,
    mut login: ReplicaLogin,
) -> Result<StatusFlags, ReplicaFault> {
    for _ in 0..MAX_ROUNDS {
        let payload = channel.read_payload(LOGIN_LIMIT).await?;
        let (&first, body) =
            payload.bytes.split_first().ok_or_else(|| broken(Malformed("empty login packet")))?;
        let answer = match first {
            0x00 => return Ok(OkPacket::parse(&payload.bytes).map_err(broken)?.status),
            0x01 => login.more_data(body)?,
            0xfe => Some(Zeroizing::new(login.switch(body)?)),
            0xff => {
                return Err(refusal(ErrPacket::parse(&payload.bytes).map_err(broken)?));
            }
            _ => return Err(broken(Malformed("login packet"))),
        };
        if let Some(answer) = answer {
            channel.send(&[&answer]).await.map_err(StreamFault::Io)?;
        }
    }
    Err(broken(Malformed("endless login")))
}

fn refusal(err: ErrPacket) -> ReplicaFault {
    match err.code {
        code if SCHEMA_ERRORS.contains(&code) => ReplicaFault::Schema(err),
        // What a login with ucs2, utf16 or utf32 is answered with.
        ER_WRONG_VALUE_FOR_VAR => ReplicaFault::CharacterSet(err),
        code if CROWDED.contains(&code) => ReplicaFault::Crowded(code),
        _ => ReplicaFault::Account(err),
    }
}

fn broken(malformed: Malformed) -> ReplicaFault {
    ReplicaFault::Stream(StreamFault::Malformed(malformed))
}
