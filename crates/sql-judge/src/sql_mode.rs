//! sql_mode as the server keeps it: a set of named modes, of which a few change how a
//! text is read. The names and their order are the server's, so that its text form can
//! be computed.

use crate::server::Flavour;

/// A set of modes of one flavour; bit n is the n-th name of the flavour's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SqlMode {
    flavour: Flavour,
    bits: u64,
}

/// MariaDB's names, in bit order.
const MARIADB: &[&str] = &[
    "REAL_AS_FLOAT",
    "PIPES_AS_CONCAT",
    "ANSI_QUOTES",
    "IGNORE_SPACE",
    "IGNORE_BAD_TABLE_OPTIONS",
    "ONLY_FULL_GROUP_BY",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_DIR_IN_CREATE",
    "POSTGRESQL",
    "ORACLE",
    "MSSQL",
    "DB2",
    "MAXDB",
    "NO_KEY_OPTIONS",
    "NO_TABLE_OPTIONS",
    "NO_FIELD_OPTIONS",
    "MYSQL323",
    "MYSQL40",
    "ANSI",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "TRADITIONAL",
    "NO_AUTO_CREATE_USER",
    "HIGH_NOT_PRECEDENCE",
    "NO_ENGINE_SUBSTITUTION",
    "PAD_CHAR_TO_FULL_LENGTH",
    "EMPTY_STRING_IS_NULL",
    "SIMULTANEOUS_ASSIGNMENT",
    "TIME_ROUND_FRACTIONAL",
];
/// MySQL's, with what it calls the bits that have no meaning any more.
const MYSQL: &[&str] = &[
    "REAL_AS_FLOAT",
    "PIPES_AS_CONCAT",
    "ANSI_QUOTES",
    "IGNORE_SPACE",
    "NOT_USED",
    "ONLY_FULL_GROUP_BY",
    "NO_UNSIGNED_SUBTRACTION",
    "NO_DIR_IN_CREATE",
    "NOT_USED_9",
    "NOT_USED_10",
    "NOT_USED_11",
    "NOT_USED_12",
    "NOT_USED_13",
    "NOT_USED_14",
    "NOT_USED_15",
    "NOT_USED_16",
    "NOT_USED_17",
    "NOT_USED_18",
    "ANSI",
    "NO_AUTO_VALUE_ON_ZERO",
    "NO_BACKSLASH_ESCAPES",
    "STRICT_TRANS_TABLES",
    "STRICT_ALL_TABLES",
    "NO_ZERO_IN_DATE",
    "NO_ZERO_DATE",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "TRADITIONAL",
    "NOT_USED_29",
    "HIGH_NOT_PRECEDENCE",
    "NO_ENGINE_SUBSTITUTION",
    "PAD_CHAR_TO_FULL_LENGTH",
    "TIME_TRUNCATE_FRACTIONAL",
    "INTERPRET_UTF8_AS_UTF8MB4",
];

/// Modes that bring others with them.
const COMBINED: &[(&str, &[&str])] = &[
    ("ANSI", &["REAL_AS_FLOAT", "PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"]),
    ("ANSI", &["ONLY_FULL_GROUP_BY"]),
    ("MSSQL", &["PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"]),
    ("DB2", &["PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"]),
    ("MAXDB", &["PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE", "NO_AUTO_CREATE_USER"]),
    ("POSTGRESQL", &["PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE"]),
    ("MSSQL", &["NO_KEY_OPTIONS", "NO_TABLE_OPTIONS", "NO_FIELD_OPTIONS"]),
    ("DB2", &["NO_KEY_OPTIONS", "NO_TABLE_OPTIONS", "NO_FIELD_OPTIONS"]),
    ("MAXDB", &["NO_KEY_OPTIONS", "NO_TABLE_OPTIONS", "NO_FIELD_OPTIONS"]),
    ("POSTGRESQL", &["NO_KEY_OPTIONS", "NO_TABLE_OPTIONS", "NO_FIELD_OPTIONS"]),
    ("ORACLE", &["PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE", "NO_AUTO_CREATE_USER"]),
    ("ORACLE", &["NO_KEY_OPTIONS", "NO_TABLE_OPTIONS", "NO_FIELD_OPTIONS"]),
    ("ORACLE", &["SIMULTANEOUS_ASSIGNMENT"]),
    ("MYSQL323", &["HIGH_NOT_PRECEDENCE"]),
    ("MYSQL40", &["HIGH_NOT_PRECEDENCE"]),
    ("TRADITIONAL", &["STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "NO_ZERO_IN_DATE"]),
    ("TRADITIONAL", &["NO_ZERO_DATE", "ERROR_FOR_DIVISION_BY_ZERO", "NO_ENGINE_SUBSTITUTION"]),
    ("TRADITIONAL", &["NO_AUTO_CREATE_USER"]),
];

impl SqlMode {
    /// Reads a list of modes as `SET sql_mode = '...'` takes it. `None` if a name is not
    /// known.
    pub(crate) fn parse(flavour: Flavour, text: &[u8]) -> Option<Self> {
        let mut mode = Self { flavour, bits: 0 };
        for name in text.split(|&byte| byte == b',').filter(|name| !name.is_empty()) {
            mode.add(name)?;
        }
        Some(mode)
    }

    /// Whether a mode is set, by its name.
    pub(crate) fn has(self, name: &str) -> bool {
        self.position(name.as_bytes()).is_some_and(|bit| self.bits & (1 << bit) != 0)
    }

    fn add(&mut self, name: &[u8]) -> Option<()> {
        self.bits |= 1 << self.position(name)?;
        for (combined, parts) in COMBINED {
            if name.eq_ignore_ascii_case(combined.as_bytes()) {
                for part in *parts {
                    // MySQL has dropped some of the parts; it then doesn't set them.
                    if let Some(bit) = self.position(part.as_bytes()) {
                        self.bits |= 1 << bit;
                    }
                }
            }
        }
        Some(())
    }

    fn position(self, name: &[u8]) -> Option<usize> {
        self.names().iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    }

    fn names(self) -> &'static [&'static str] {
        match self.flavour {
            Flavour::MySql => MYSQL,
            Flavour::MariaDb => MARIADB,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_modes_bring_their_parts() {
        for flavour in [Flavour::MySql, Flavour::MariaDb] {
            let mode = SqlMode::parse(flavour, b"ansi").unwrap();
            assert!(mode.has("ANSI_QUOTES") && mode.has("IGNORE_SPACE"));
            assert!(!mode.has("NO_BACKSLASH_ESCAPES"));
        }
        assert!(SqlMode::parse(Flavour::MariaDb, b"db2").unwrap().has("ANSI_QUOTES"));
        assert_eq!(SqlMode::parse(Flavour::MySql, b"db2"), None);
    }

    #[test]
    fn unknown_modes_are_not_guessed() {
        assert_eq!(SqlMode::parse(Flavour::MySql, b"ORACLE"), None);
        assert_eq!(SqlMode::parse(Flavour::MySql, b"ANSI_QUOTES "), None);
        assert_eq!(SqlMode::parse(Flavour::MySql, b"4"), None);
    }
}
