//! The client's answer to the greeting, and the SSL request that may go before it.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html>
use bytes::{BufMut, BytesMut};

use crate::writer::{put_lenenc_bytes, put_nul_terminated};
use crate::{Capabilities, Malformed, Reader};

/// Length of an SSL request's payload.
pub const SSL_REQUEST_LEN: usize = 32;
/// More connection attributes than this are malformed.
const MAX_ATTRIBUTES: usize = 512;
/// So many bytes of them servers take.
const MAX_ATTRIBUTE_BYTES: usize = 0xffff;

/// The fixed start of a handshake response; all of an SSL request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    /// What the client asks for.
    pub requested: Capabilities,
    /// Largest packet the client takes.
    pub max_packet: u32,
    /// Collation id (one byte on the wire).
    pub collation: u8,
}

impl ResponseHead {
    /// Reads the first 32 bytes.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let low = reader.u32()?;
        let max_packet = reader.u32()?;
        let collation = reader.u8()?;
        reader.bytes(19)?;
        let requested = Capabilities::from_words(low, reader.u32()?);
        Ok(Self { requested, max_packet, collation })
    }

    /// The payload of an SSL request; it must carry exactly the flags of the response that
    /// follows inside TLS, or the server keeps the first ones.
    pub fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(SSL_REQUEST_LEN);
        let (low, extended) = self.requested.words();
        out.put_slice(&low);
        out.put_u32_le(self.max_packet);
        out.put_u8(self.collation);
        out.put_bytes(0, 19);
        out.put_slice(&extended);
        out
    }
}

/// User, proof, schema and attributes of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeResponse41 {
    /// Flags, packet size, collation.
    pub head: ResponseHead,
    /// User name, any bytes.
    pub user: Vec<u8>,
    /// Answer to the nonce, for the plugin named here.
    pub auth_response: Vec<u8>,
    /// Default schema, if asked for.
    pub schema: Option<Vec<u8>>,
    /// Method that `auth_response` is for.
    pub auth_plugin: Option<Vec<u8>>,
    /// Connection attributes in the client's order.
    pub attributes: Vec<Attribute>,
    /// Level for zstd, where the client asks for that compression.
    pub zstd_level: Option<u8>,
}

/// One connection attribute, such as `program_name` and `mysql`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name, any bytes.
    pub name: Vec<u8>,
    /// Value, any bytes.
    pub value: Vec<u8>,
}

impl Attribute {
    /// An attribute of ours.
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl HandshakeResponse41 {
    /// Reads a response. Flags say which fields are there; fields that some old clients
    /// cut off at the end count as empty.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "handshake response");
        let head = ResponseHead::parse(&mut reader)?;
        let has = |flag| head.requested.contains(flag);
        if !has(Capabilities::CLIENT_PROTOCOL_41) {
            return Err(reader.malformed());
        }
        let user = reader.until_nul_or_end()?.to_vec();
        let auth_response = if reader.is_empty() {
            &[][..]
        } else if has(Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            reader.lenenc_bytes()?
        } else if has(Capabilities::CLIENT_SECURE_CONNECTION) {
            let len = usize::from(reader.u8()?);
            reader.bytes(len)?
        } else {
            reader.until_nul_or_end()?
        }
        .to_vec();
        let schema = has(Capabilities::CLIENT_CONNECT_WITH_DB)
            .then(|| reader.until_nul_or_end())
            .transpose()?
            .filter(|name| !name.is_empty())
            .map(<[u8]>::to_vec);
        let auth_plugin = has(Capabilities::CLIENT_PLUGIN_AUTH)
            .then(|| reader.until_nul_or_end())
            .transpose()?
            .map(<[u8]>::to_vec);
        let attributes = if has(Capabilities::CLIENT_CONNECT_ATTRS) && !reader.is_empty() {
            parse_attributes(reader.lenenc_bytes()?)?
        } else {
            Vec::new()
        };
        let asks_zstd = has(Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM);
        let zstd_level = if asks_zstd { reader.u8().ok() } else { None };
        Ok(Self { head, user, auth_response, schema, auth_plugin, attributes, zstd_level })
    }

    /// The payload, for logging in to a replica. Fields go in as `head.requested` says.
    pub fn encode(&self) -> BytesMut {
        let has = |flag| self.head.requested.contains(flag);
        let mut out = self.head.encode();
        put_nul_terminated(&mut out, &self.user);
        put_lenenc_bytes(&mut out, &self.auth_response);
        if has(Capabilities::CLIENT_CONNECT_WITH_DB) {
            put_nul_terminated(&mut out, self.schema.as_deref().unwrap_or_default());
        }
        if has(Capabilities::CLIENT_PLUGIN_AUTH) {
            put_nul_terminated(&mut out, self.auth_plugin.as_deref().unwrap_or_default());
        }
        if has(Capabilities::CLIENT_CONNECT_ATTRS) {
            put_attributes(&mut out, &self.attributes);
        }
        if has(Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM) {
            out.put_u8(self.zstd_level.unwrap_or_default());
        }
        out
    }
}

/// Appends a block of connection attributes with its length.
pub fn put_attributes(out: &mut BytesMut, attributes: &[Attribute]) {
    let mut encoded = BytesMut::new();
    for Attribute { name, value } in attributes {
        put_lenenc_bytes(&mut encoded, name);
        put_lenenc_bytes(&mut encoded, value);
    }
    put_lenenc_bytes(out, &encoded);
}

/// Reads a block of connection attributes: pairs of length-encoded strings.
pub fn parse_attributes(block: &[u8]) -> Result<Vec<Attribute>, Malformed> {
    let mut reader = Reader::new(block, "connection attributes");
    if block.len() > MAX_ATTRIBUTE_BYTES {
        return Err(reader.malformed());
    }
    let mut pairs = Vec::new();
    while !reader.is_empty() {
        if pairs.len() == MAX_ATTRIBUTES {
            return Err(reader.malformed());
        }
        let name = reader.lenenc_bytes()?.to_vec();
        pairs.push(Attribute { name, value: reader.lenenc_bytes()?.to_vec() });
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HandshakeResponse41 {
        HandshakeResponse41 {
            head: ResponseHead {
                requested: Capabilities::CLIENT_PROTOCOL_41
                    | Capabilities::CLIENT_SECURE_CONNECTION
                    | Capabilities::CLIENT_PLUGIN_AUTH
                    | Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
                    | Capabilities::CLIENT_CONNECT_WITH_DB
                    | Capabilities::CLIENT_CONNECT_ATTRS,
                max_packet: 1 << 24,
                collation: 45,
            },
            user: b"alice".to_vec(),
            auth_response: vec![9; 32],
            schema: Some(b"clinical".to_vec()),
            auth_plugin: Some(b"caching_sha2_password".to_vec()),
            attributes: vec![Attribute::new("program_name", "mysql")],
            zstd_level: None,
        }
    }

    #[test]
    fn response_round_trips() {
        assert_eq!(HandshakeResponse41::parse(&sample().encode()), Ok(sample()));
    }

    #[test]
    fn fields_that_no_flag_announces_are_not_there() {
        let bare =
            Capabilities::CLIENT_PROTOCOL_41 | Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
        let mut written = sample();
        written.head.requested = bare;
        let none = HandshakeResponse41 {
            schema: None,
            auth_plugin: None,
            attributes: Vec::new(),
            ..written.clone()
        };
        let encoded = written.encode();
        assert_eq!(HandshakeResponse41::parse(&encoded), Ok(none));
        assert!(encoded.ends_with(&written.auth_response));
        let mut squeezed = sample();
        squeezed.head.requested |= Capabilities::CLIENT_ZSTD_COMPRESSION_ALGORITHM;
        squeezed.zstd_level = Some(7);
        assert_eq!(HandshakeResponse41::parse(&squeezed.encode()), Ok(squeezed));
    }

    /// The three ways clients have had: a length-encoded string, one byte of length, up to a NUL.
    #[test]
    fn a_proof_is_read_as_its_flags_say() {
        let (lenenc, secure) = (
            Capabilities::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA,
            Capabilities::CLIENT_SECURE_CONNECTION,
        );
        let long = [&[0xfc, 44, 1][..], &[7; 300]].concat();
        let cases = [
            (lenenc | secure, &long[..], 300),
            (secure, &[&[252_u8][..], &[7; 252]].concat(), 252),
            (Capabilities::empty(), &[&[7_u8; 8][..], &[0]].concat(), 8),
            (secure, &[0], 0),
            (secure, &[], 0),
        ];
        for (flags, proof, len) in cases {
            let requested =
                flags | Capabilities::CLIENT_PROTOCOL_41 | Capabilities::CLIENT_CONNECT_WITH_DB;
            let head = ResponseHead { requested, ..sample().head };
            let payload = [&head.encode()[..], b"alice\0", proof, b"clinical"].concat();
            let payload = if proof.is_empty() { &payload[..payload.len() - 8] } else { &payload };
            let parsed = HandshakeResponse41::parse(payload).unwrap();
            assert_eq!(parsed.auth_response, vec![7; len], "{flags:?}");
            let schema = (!proof.is_empty()).then(|| b"clinical".to_vec());
            assert_eq!(parsed.schema, schema, "{flags:?}");
        }
    }

    #[test]
    fn so_many_attributes_are_taken_and_no_more() {
        let block = |count: usize| b"\x01n\x01v".repeat(count);
        assert_eq!(parse_attributes(&block(MAX_ATTRIBUTES)).map(|a| a.len()), Ok(MAX_ATTRIBUTES));
        assert!(parse_attributes(&block(MAX_ATTRIBUTES + 1)).is_err());
        let exact = |len: usize| {
            let value = u16::try_from(len - 5).unwrap().to_le_bytes();
            [b"\x01n\xfc", &value[..], &vec![b'v'; len - 5]].concat()
        };
        assert_eq!(parse_attributes(&exact(MAX_ATTRIBUTE_BYTES)).map(|a| a.len()), Ok(1));
        assert!(parse_attributes(&exact(MAX_ATTRIBUTE_BYTES + 1)).is_err());
    }

    #[test]
    fn no_cut_of_a_response_panics() {
        let whole = sample().encode();
        for cut in 0..whole.len() {
            let _ = HandshakeResponse41::parse(&whole[..cut]);
        }
        assert!(HandshakeResponse41::parse(&whole[..31]).is_err());
    }

    #[test]
    fn pre_41_clients_are_refused() {
        let mut old = sample();
        old.head.requested.remove(Capabilities::CLIENT_PROTOCOL_41);
        assert!(HandshakeResponse41::parse(&old.encode()).is_err());
    }
}
