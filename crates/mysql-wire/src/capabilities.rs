//! Capability and status flags, under the manuals' names.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html>
//! <https://mariadb.com/kb/en/connection/#capabilities>
use bitflags::bitflags;
use mysql_common::constants::CapabilityFlags;

/// Server status in OK and EOF packets.
pub use mysql_common::constants::StatusFlags;

bitflags! {
    /// Feature bits of a connection; keep `offered`, `requested` and `negotiated` apart.
    ///
    /// The low 32 are MySQL's. MariaDB has 32 more, in bytes of greeting and response that are
    /// filler to others, and says that they count by leaving out CLIENT_LONG_PASSWORD.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// From MySQL: it is not MariaDB, so there are no more than 32 bits.
        const CLIENT_LONG_PASSWORD = low(CapabilityFlags::CLIENT_LONG_PASSWORD);
        /// Counts rows found, not rows changed.
        const CLIENT_FOUND_ROWS = low(CapabilityFlags::CLIENT_FOUND_ROWS);
        /// Column flags of two bytes.
        const CLIENT_LONG_FLAG = low(CapabilityFlags::CLIENT_LONG_FLAG);
        /// A schema comes with the login.
        const CLIENT_CONNECT_WITH_DB = low(CapabilityFlags::CLIENT_CONNECT_WITH_DB);
        /// zlib behind the login.
        const CLIENT_COMPRESS = low(CapabilityFlags::CLIENT_COMPRESS);
        /// Says what it is and means nothing.
        const CLIENT_ODBC = low(CapabilityFlags::CLIENT_ODBC);
        /// A blank may stand between a function and its parenthesis.
        const CLIENT_IGNORE_SPACE = low(CapabilityFlags::CLIENT_IGNORE_SPACE);
        /// The protocol since 4.1.
        const CLIENT_PROTOCOL_41 = low(CapabilityFlags::CLIENT_PROTOCOL_41);
        /// `interactive_timeout` counts, not `wait_timeout`.
        const CLIENT_INTERACTIVE = low(CapabilityFlags::CLIENT_INTERACTIVE);
        /// TLS.
        const CLIENT_SSL = low(CapabilityFlags::CLIENT_SSL);
        /// Status flags tell of transactions.
        const CLIENT_TRANSACTIONS = low(CapabilityFlags::CLIENT_TRANSACTIONS);
        /// The proof has a length in front.
        const CLIENT_SECURE_CONNECTION = low(CapabilityFlags::CLIENT_SECURE_CONNECTION);
        /// Several statements in one query.
        const CLIENT_MULTI_STATEMENTS = low(CapabilityFlags::CLIENT_MULTI_STATEMENTS);
        /// Several results for a query.
        const CLIENT_MULTI_RESULTS = low(CapabilityFlags::CLIENT_MULTI_RESULTS);
        /// Several results for an execution.
        const CLIENT_PS_MULTI_RESULTS = low(CapabilityFlags::CLIENT_PS_MULTI_RESULTS);
        /// The login names its plugin.
        const CLIENT_PLUGIN_AUTH = low(CapabilityFlags::CLIENT_PLUGIN_AUTH);
        /// Attributes come with the login.
        const CLIENT_CONNECT_ATTRS = low(CapabilityFlags::CLIENT_CONNECT_ATTRS);
        /// The proof's length is length-encoded.
        const CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA =
            low(CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA);
        /// OK packets tell what changed in the session.
        const CLIENT_SESSION_TRACK = low(CapabilityFlags::CLIENT_SESSION_TRACK);
        /// OK packets in place of EOF packets.
        const CLIENT_DEPRECATE_EOF = low(CapabilityFlags::CLIENT_DEPRECATE_EOF);
        /// Column definitions may be left out.
        const CLIENT_OPTIONAL_RESULTSET_METADATA =
            low(CapabilityFlags::CLIENT_OPTIONAL_RESULTSET_METADATA);
        /// zstd behind the login.
        const CLIENT_ZSTD_COMPRESSION_ALGORITHM =
            low(CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM);
        /// Attributes come with queries.
        const CLIENT_QUERY_ATTRIBUTES = low(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES);
        /// MariaDB: column definitions say more of a type, such as that a text is JSON.
        const MARIADB_CLIENT_EXTENDED_METADATA = 1 << 35;
        // Bits that have no name here are kept as they came.
        const _ = !0;
    }
}

const fn low(flag: CapabilityFlags) -> u64 {
    // Lossless, but `From` is not const.
    flag.bits() as u64
}

impl Capabilities {
    /// Those that MySQL has too.
    pub const fn mysqls(self) -> Self {
        Self::from_bits_retain(self.bits() & 0xffff_ffff)
    }

    /// With CLIENT_LONG_PASSWORD if none of MariaDB's own are among them: their absence and its
    /// presence say the same.
    pub fn with_long_password(mut self) -> Self {
        self.set(Self::CLIENT_LONG_PASSWORD, self == self.mysqls());
        self
    }

    /// From MySQL's 32 bits and MariaDB's, which count only without CLIENT_LONG_PASSWORD.
    pub(crate) fn from_words(low: u32, extended: u32) -> Self {
        let low = Self::from_bits_retain(u64::from(low));
        if low.contains(Self::CLIENT_LONG_PASSWORD) {
            return low;
        }
        low | Self::from_bits_retain(u64::from(extended) << 32)
    }

    /// MySQL's 32 bits and MariaDB's, as they go over the wire.
    pub(crate) fn words(self) -> ([u8; 4], [u8; 4]) {
        let [a, b, c, d, e, f, g, h] = self.bits().to_le_bytes();
        ([a, b, c, d], [e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mariadbs_bits_count_only_without_long_password() {
        let extended = Capabilities::MARIADB_CLIENT_EXTENDED_METADATA;
        let (low, high) = (extended | Capabilities::CLIENT_SSL).words();
        let (low, high) = (u32::from_le_bytes(low), u32::from_le_bytes(high));
        assert_eq!(Capabilities::from_words(low, high), extended | Capabilities::CLIENT_SSL);
        let mysql = Capabilities::from_words(low | 1, high);
        assert_eq!(mysql, Capabilities::CLIENT_SSL | Capabilities::CLIENT_LONG_PASSWORD);
    }
}
