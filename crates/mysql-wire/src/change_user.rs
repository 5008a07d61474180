//! COM_CHANGE_USER: log in again as somebody, on the same connection.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html>
use bytes::{BufMut, BytesMut};

use crate::handshake_response::{Attribute, parse_attributes, put_attributes};
use crate::writer::{put_lenenc_bytes, put_nul_terminated};
use crate::{Capabilities, Malformed, Reader};

/// What the client asks to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeUser {
    /// User name, any bytes.
    pub user: Vec<u8>,
    /// Answer to the nonce of the greeting, for the plugin named here.
    pub auth_response: Vec<u8>,
    /// Default schema; empty is none.
    pub schema: Option<Vec<u8>>,
    /// Collation id; the handshake's stays in force where the client sends none.
    pub collation: Option<u16>,
    /// Method that `auth_response` is for.
    pub auth_plugin: Option<Vec<u8>>,
    /// Connection attributes.
    pub attributes: Vec<Attribute>,
}

impl ChangeUser {
    /// Reads the payload without its command byte. Fields at the end may be missing.
    pub fn parse(body: &[u8], negotiated: Capabilities) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "COM_CHANGE_USER");
        let user = reader.until_nul()?.to_vec();
        let auth_len = usize::from(reader.u8()?);
        let auth_response = reader.bytes(auth_len)?.to_vec();
        let schema = Some(reader.until_nul()?).filter(|name| !name.is_empty());
        let schema = schema.map(<[u8]>::to_vec);
        let collation = if reader.is_empty() { None } else { Some(reader.u16()?) };
        let has_plugin = negotiated.contains(Capabilities::CLIENT_PLUGIN_AUTH);
        let auth_plugin = match has_plugin && !reader.is_empty() {
            true => Some(reader.until_nul_or_end()?.to_vec()),
            false => None,
        };
        let has_attributes = negotiated.contains(Capabilities::CLIENT_CONNECT_ATTRS);
        let attributes = match has_attributes && !reader.is_empty() {
            true => parse_attributes(reader.lenenc_bytes()?)?,
            false => Vec::new(),
        };
        Ok(Self { user, auth_response, schema, collation, auth_plugin, attributes })
    }

    /// The payload without its command byte, for a replica that speaks all of it. The
    /// scramble has at most 32 bytes.
    pub fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(128);
        put_nul_terminated(&mut out, &self.user);
        put_lenenc_bytes(&mut out, &self.auth_response);
        put_nul_terminated(&mut out, self.schema.as_deref().unwrap_or_default());
        out.put_u16_le(self.collation.unwrap_or_default());
        put_nul_terminated(&mut out, self.auth_plugin.as_deref().unwrap_or_default());
        put_attributes(&mut out, &self.attributes);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEGOTIATED: Capabilities =
        Capabilities::CLIENT_PLUGIN_AUTH.union(Capabilities::CLIENT_CONNECT_ATTRS);

    #[test]
    fn reads_all_fields_and_short_forms() {
        let whole = b"bob\0\x02abclin\0\x2d\0caching_sha2_password\0\x04\x01k\x01v";
        let parsed = ChangeUser::parse(whole, NEGOTIATED).unwrap();
        assert_eq!((parsed.user, parsed.auth_response), (b"bob".to_vec(), b"ab".to_vec()));
        assert_eq!((parsed.schema, parsed.collation), (Some(b"clin".to_vec()), Some(45)));
        assert_eq!(parsed.attributes, [Attribute::new("k", "v")]);
        assert_eq!(ChangeUser::parse(whole, NEGOTIATED).unwrap().encode(), whole[..]);
        let short = ChangeUser::parse(b"bob\0\0\0", NEGOTIATED).unwrap();
        assert_eq!((short.schema, short.collation, short.auth_plugin), (None, None, None));
    }

    #[test]
    fn no_cut_panics_and_early_cuts_are_malformed() {
        let whole = b"bob\0\x02abclin\0\x2d\0caching_sha2_password\0\x04\x01k\x01v";
        for cut in 0..whole.len() {
            let parsed = ChangeUser::parse(&whole[..cut], NEGOTIATED);
            assert!(cut >= 12 || parsed.is_err(), "cut at {cut}");
        }
    }
}
