//! The server's first payload, protocol 10, both ways.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html>
use bytes::{BufMut, BytesMut};

use crate::writer::put_nul_terminated;
use crate::{Capabilities, Malformed, Reader, StatusFlags};

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeV10 {
    /// Version text, as `9.7.4` or `5.5.5-10.11.19-MariaDB`.
    pub server_version: Vec<u8>,
    /// Number of this connection, for KILL.
    pub connection_id: u32,
    /// Auth plugin data, without its closing NUL.
    pub nonce: Vec<u8>,
    /// What the server offers.
    pub offered: Capabilities,
    /// Low byte of the default collation's id.
    pub collation: u8,
    /// Session status.
    pub status: StatusFlags,
    /// Name of the authentication method that the nonce is for.
    pub auth_plugin: Vec<u8>,
}

impl HandshakeV10 {
    /// The payload.
    pub fn encode(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(96 + self.server_version.len());
        let (first, second) = self.nonce.split_at(self.nonce.len().min(8));
        let ([cap0, cap1, cap2, cap3], extended) = self.offered.words();
        out.put_u8(10);
        put_nul_terminated(&mut out, &self.server_version);
        out.put_u32_le(self.connection_id);
        out.put_slice(first);
        out.put_u8(0);
        out.put_slice(&[cap0, cap1]);
        out.put_u8(self.collation);
        out.put_u16_le(self.status.bits());
        out.put_slice(&[cap2, cap3]);
        out.put_u8(u8::try_from(self.nonce.len() + 1).unwrap_or(u8::MAX));
        out.put_bytes(0, 6);
        out.put_slice(&extended);
        out.put_slice(second);
        out.put_u8(0);
        put_nul_terminated(&mut out, &self.auth_plugin);
        out
    }

    /// Reads a replica's greeting. An ERR payload is not one: look for it first.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload, "greeting");
        if reader.u8()? != 10 {
            return Err(reader.malformed());
        }
        let server_version = reader.until_nul()?.to_vec();
        let connection_id = reader.u32()?;
        let mut nonce = reader.bytes(8)?.to_vec();
        reader.u8()?;
        let low = reader.u16()?;
        let collation = reader.u8()?;
        let status = StatusFlags::from_bits_truncate(reader.u16()?);
        let high = reader.u16()?;
        let nonce_len = usize::from(reader.u8()?);
        reader.bytes(6)?;
        let low = u32::from(low) | (u32::from(high) << 16);
        let offered = Capabilities::from_words(low, reader.u32()?);
        // "Rest of the plugin provided data", max(13, length - 8), the last byte a NUL.
        let second = reader.bytes(nonce_len.saturating_sub(8).max(13))?;
        nonce.extend_from_slice(second.strip_suffix(&[0]).unwrap_or(second));
        let auth_plugin = reader.until_nul_or_end()?.to_vec();
        Ok(Self { server_version, connection_id, nonce, offered, collation, status, auth_plugin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greeting_round_trips() {
        let greeting = HandshakeV10 {
            server_version: b"9.7.4".to_vec(),
            connection_id: 0x0102_0304,
            nonce: (1..=20).collect(),
            offered: Capabilities::CLIENT_PROTOCOL_41 | Capabilities::CLIENT_DEPRECATE_EOF,
            collation: 255,
            status: StatusFlags::SERVER_STATUS_AUTOCOMMIT,
            auth_plugin: b"caching_sha2_password".to_vec(),
        };
        assert_eq!(HandshakeV10::parse(&greeting.encode()), Ok(greeting));
    }

    #[test]
    fn every_cut_of_a_greeting_is_malformed_or_lacks_only_the_plugin_name() {
        let whole = HandshakeV10 {
            server_version: b"5.5.5-10.11.19-MariaDB".to_vec(),
            connection_id: 5,
            nonce: (1..=20).collect(),
            offered: Capabilities::CLIENT_PROTOCOL_41,
            collation: 45,
            status: StatusFlags::empty(),
            auth_plugin: b"mysql_native_password".to_vec(),
        }
        .encode();
        let fixed = whole.len() - "mysql_native_password".len() - 1;
        for cut in 0..fixed {
            assert!(HandshakeV10::parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
