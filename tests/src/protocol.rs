//! The few payloads that the plain client writes and reads, written again from the protocol's
//! documentation rather than taken from the daemon's crates: a shared mistake would hide.

use std::fmt;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

/// Capability bits that the suites name.
pub mod capability {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const FOUND_ROWS: u32 = 1 << 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const COMPRESS: u32 = 1 << 5;
    pub const ODBC: u32 = 1 << 6;
    pub const LOCAL_FILES: u32 = 1 << 7;
    pub const IGNORE_SPACE: u32 = 1 << 8;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const INTERACTIVE: u32 = 1 << 10;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const MULTI_STATEMENTS: u32 = 1 << 16;
    pub const MULTI_RESULTS: u32 = 1 << 17;
    pub const PS_MULTI_RESULTS: u32 = 1 << 18;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRS: u32 = 1 << 20;
    pub const LENENC_AUTH: u32 = 1 << 21;
    pub const EXPIRED_PW: u32 = 1 << 22;
    pub const SESSION_TRACK: u32 = 1 << 23;
    pub const DEPRECATE_EOF: u32 = 1 << 24;
    pub const ZSTD: u32 = 1 << 26;
    pub const QUERY_ATTRIBUTES: u32 = 1 << 27;
}
use capability as c;

/// Of zstd, which a client names with it.
pub const ZSTD_LEVEL: u8 = 3;
/// utf8mb4_general_ci.
const UTF8MB4: u8 = 45;

/// Status bits that the suites name.
pub const MORE_RESULTS: u16 = 8;
/// Rows are fetched by COM_STMT_FETCH.
pub const CURSOR_EXISTS: u16 = 64;
/// The cursor has no more rows.
pub const LAST_ROW_SENT: u16 = 128;

/// Who logs in, and with what wishes.
#[derive(Debug, Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password; empty sends an empty answer.
    pub password: String,
    /// Schema to start in.
    pub schema: Option<String>,
    /// Capability flags beside those that every login needs.
    pub capabilities: u32,
    /// The plugin that the client proposes; `None`: the greeting's.
    pub plugin: Option<String>,
    /// Whether the client can name a plugin at all.
    pub knows_plugins: bool,
    /// Connection attributes, sent with [`capability::CONNECT_ATTRS`].
    pub attributes: Vec<(String, String)>,
    /// Character set and collation, by its id.
    pub collation: u8,
}

impl Login {
    /// A user with a password and no wishes.
    pub fn user(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            schema: None,
            capabilities: c::MULTI_RESULTS | c::PS_MULTI_RESULTS | c::TRANSACTIONS,
            plugin: None,
            knows_plugins: true,
            attributes: Vec::new(),
            collation: UTF8MB4,
        }
    }

    /// In another character set.
    #[must_use]
    pub fn in_collation(mut self, id: u8) -> Self {
        self.collation = id;
        self
    }

    /// With more capability flags.
    #[must_use]
    pub fn with(mut self, capabilities: u32) -> Self {
        self.capabilities |= capabilities;
        self
    }

    /// Proposing this plugin.
    #[must_use]
    pub fn proposing(mut self, plugin: &str) -> Self {
        self.plugin = Some(plugin.to_owned());
        self
    }

    /// From before there were plugins, with what is the old plugin's proof.
    #[must_use]
    pub fn without_plugins(mut self) -> Self {
        self.knows_plugins = false;
        self.proposing("mysql_native_password")
    }

    /// Starting in this schema.
    #[must_use]
    pub fn in_schema(mut self, schema: &str) -> Self {
        self.schema = Some(schema.to_owned());
        self.capabilities |= c::CONNECT_WITH_DB;
        self
    }

    /// The flags that go out, in the SSL request and the handshake response alike.
    pub fn flags(&self, tls: bool) -> u32 {
        let always = c::PROTOCOL_41 | c::SECURE_CONNECTION;
        let plugins = if self.knows_plugins { c::PLUGIN_AUTH } else { 0 };
        always | plugins | self.capabilities | if tls { c::SSL } else { 0 }
    }

    /// First 32 bytes of both packets: flags, largest packet, collation.
    pub fn head(&self, tls: bool) -> Vec<u8> {
        let mut head = self.flags(tls).to_le_bytes().to_vec();
        head.extend((1_u32 << 30).to_le_bytes());
        head.push(self.collation);
        head.extend([0; 23]);
        head
    }

    /// The handshake response.
    pub fn response(&self, tls: bool, greeting: &Greeting) -> Vec<u8> {
        let plugin = self.plugin.as_deref().unwrap_or(&greeting.plugin);
        let answer = scramble(plugin, self.password.as_bytes(), &greeting.nonce);
        let mut payload = self.head(tls);
        payload.extend(self.user.as_bytes());
        payload.push(0);
        payload.push(u8::try_from(answer.len()).expect("scrambles are short"));
        payload.extend(answer);
        if let Some(schema) = &self.schema {
            payload.extend(schema.as_bytes());
            payload.push(0);
        }
        if self.knows_plugins {
            payload.extend(plugin.as_bytes());
            payload.push(0);
        }
        if self.capabilities & c::CONNECT_ATTRS != 0 {
            let texts = self.attributes.iter().flat_map(|(name, value)| [name, value]);
            let block: Vec<u8> = texts.flat_map(|text| lenenc_text(text)).collect();
            payload.extend(lenenc_number(block.len()));
            payload.extend(block);
        }
        if self.capabilities & c::ZSTD != 0 {
            payload.push(ZSTD_LEVEL);
        }
        payload
    }
}

/// The server's first payload.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Version string.
    pub version: String,
    /// Connection id.
    pub connection_id: u32,
    /// 20 random bytes.
    pub nonce: Vec<u8>,
    /// Offered capability flags.
    pub offered: u32,
    /// Character set.
    pub collation: u8,
    /// Default plugin.
    pub plugin: String,
}

impl Greeting {
    /// Takes it apart; panics on anything that isn't a protocol 10 greeting.
    pub fn parse(payload: &[u8]) -> Self {
        assert_eq!(payload.first(), Some(&10), "no protocol 10 greeting: {payload:?}");
        let (version, rest) = until_nul(&payload[1..]);
        let connection_id = u32::from_le_bytes(rest[..4].try_into().expect("four bytes"));
        let low = u16::from_le_bytes(rest[13..15].try_into().expect("two bytes"));
        let high = u16::from_le_bytes(rest[18..20].try_into().expect("two bytes"));
        let (more_nonce, rest_after) = (&rest[31..43], &rest[44..]);
        let (plugin, _) = until_nul(rest_after);
        Self {
            version: text(version),
            connection_id,
            nonce: [&rest[4..12], more_nonce].concat(),
            offered: u32::from(low) | u32::from(high) << 16,
            collation: rest[15],
            plugin: text(plugin),
        }
    }
}

/// An ERR payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Error code.
    pub code: u16,
    /// SQLSTATE; empty before the greeting, where servers send none.
    pub state: String,
    /// Text.
    pub message: String,
}

impl ServerError {
    /// `None` if the payload is no ERR.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&[0xff])?;
        let code = u16::from_le_bytes(rest.get(..2)?.try_into().ok()?);
        let rest = &rest[2..];
        let (state, message) = match rest.strip_prefix(b"#") {
            Some(rest) => rest.split_at(5),
            None => (&b""[..], rest),
        };
        Some(Self { code, state: text(state), message: text(message) })
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR {} ({}): {}", self.code, self.state, self.message)
    }
}

/// The client's digest answer to the nonce.
pub fn scramble(plugin: &str, password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let sha1 = |bytes: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
    let sha256 = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
    let (mask, hidden) = match plugin {
        "mysql_native_password" => {
            let once = sha1(password);
            (sha1(&[nonce, &sha1(&once)].concat()), once)
        }
        "caching_sha2_password" => {
            let once = sha256(password);
            (sha256(&[&sha256(&once), nonce].concat()), once)
        }
        other => panic!("the plain client does not know {other}"),
    };
    hidden.iter().zip(mask).map(|(left, right)| left ^ right).collect()
}

/// A length-encoded integer and what follows it; `None` is SQL NULL.
pub fn lenenc(bytes: &[u8]) -> (Option<u64>, &[u8]) {
    let number = |width: usize| {
        let mut value = [0; 8];
        value[..width].copy_from_slice(&bytes[1..=width]);
        (Some(u64::from_le_bytes(value)), &bytes[width + 1..])
    };
    match bytes[0] {
        0xfb => (None, &bytes[1..]),
        0xfc => number(2),
        0xfd => number(3),
        0xfe => number(8),
        small => (Some(u64::from(small)), &bytes[1..]),
    }
}

/// A number below 2^16, length-encoded.
pub fn lenenc_number(number: usize) -> Vec<u8> {
    match u8::try_from(number) {
        Ok(small) if small < 0xfb => vec![small],
        _ => {
            let [low, high] = u16::try_from(number).expect("two bytes").to_le_bytes();
            vec![0xfc, low, high]
        }
    }
}

/// A text, length-encoded.
pub fn lenenc_text(text: &str) -> Vec<u8> {
    [lenenc_number(text.len()), text.as_bytes().to_vec()].concat()
}

/// The values of a text row.
pub fn text_row(mut row: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut values = Vec::new();
    while !row.is_empty() {
        let (length, rest) = lenenc(row);
        let length = length.map(|length| usize::try_from(length).expect("fits"));
        values.push(length.map(|length| rest[..length].to_vec()));
        row = &rest[length.unwrap_or(0)..];
    }
    values
}

/// Status flags of an OK payload, also of one that ends a result.
pub fn ok_status(payload: &[u8]) -> u16 {
    let (_, rest) = lenenc(&payload[1..]);
    let (_, rest) = lenenc(rest);
    u16::from_le_bytes([rest[0], rest[1]])
}

fn until_nul(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
