//! Capability and status flags: mysql_common's, under the manual's names.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html>

/// Feature bits of a connection; keep `offered`, `requested` and `negotiated` apart.
pub use mysql_common::constants::CapabilityFlags as Capabilities;
/// Server status in OK and EOF packets.
pub use mysql_common::constants::StatusFlags;
