//! Names of the authentication methods readgate speaks.
use std::fmt;

/// An authentication method of the MySQL protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthPlugin {
    /// `caching_sha2_password`, MySQL's default since 8.0.
    CachingSha2Password,
    /// `mysql_native_password`, for old drivers and MariaDB.
    MysqlNativePassword,
}

impl AuthPlugin {
    /// The plugin of that name, if readgate speaks it.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"caching_sha2_password" => Some(Self::CachingSha2Password),
            b"mysql_native_password" => Some(Self::MysqlNativePassword),
            _ => None,
        }
    }

    /// The name as it goes over the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::CachingSha2Password => "caching_sha2_password",
            Self::MysqlNativePassword => "mysql_native_password",
        }
    }
}

impl fmt::Display for AuthPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
