//! What a client may ask in the command phase: an allow-list.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html>

/// Commands that readgate knows. Any other byte is unknown, and refused unforwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// End of the session.
    Quit,
    /// Change of the default schema.
    InitDb,
    /// One or more statements as text.
    Query,
    /// Columns of a table.
    FieldList,
    /// A line of server statistics.
    Statistics,
    /// Is the session alive?
    Ping,
    /// Log in again as another user, on the same connection.
    ChangeUser,
    /// Prepare a statement.
    StmtPrepare,
    /// Execute a prepared statement.
    StmtExecute,
    /// A piece of a long parameter; has no answer.
    StmtSendLongData,
    /// Forget a prepared statement; has no answer.
    StmtClose,
    /// Reset a prepared statement's cursor and long data.
    StmtReset,
    /// Multi-statements on or off.
    SetOption,
    /// Rows from a cursor.
    StmtFetch,
    /// Session state back to that after login.
    ResetConnection,
}

impl Command {
    /// The command of a payload's first byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Quit,
            0x02 => Self::InitDb,
            0x03 => Self::Query,
            0x04 => Self::FieldList,
            0x09 => Self::Statistics,
            0x0e => Self::Ping,
            0x11 => Self::ChangeUser,
            0x16 => Self::StmtPrepare,
            0x17 => Self::StmtExecute,
            0x18 => Self::StmtSendLongData,
            0x19 => Self::StmtClose,
            0x1a => Self::StmtReset,
            0x1b => Self::SetOption,
            0x1c => Self::StmtFetch,
            0x1f => Self::ResetConnection,
            _ => return None,
        })
    }

    /// The byte on the wire.
    pub fn byte(self) -> u8 {
        match self {
            Self::Quit => 0x01,
            Self::InitDb => 0x02,
            Self::Query => 0x03,
            Self::FieldList => 0x04,
            Self::Statistics => 0x09,
            Self::Ping => 0x0e,
            Self::ChangeUser => 0x11,
            Self::StmtPrepare => 0x16,
            Self::StmtExecute => 0x17,
            Self::StmtSendLongData => 0x18,
            Self::StmtClose => 0x19,
            Self::StmtReset => 0x1a,
            Self::SetOption => 0x1b,
            Self::StmtFetch => 0x1c,
            Self::ResetConnection => 0x1f,
        }
    }

    /// Lower-case name, for ledger and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::InitDb => "init_db",
            Self::Query => "query",
            Self::FieldList => "field_list",
            Self::Statistics => "statistics",
            Self::Ping => "ping",
            Self::ChangeUser => "change_user",
            Self::StmtPrepare => "prepare",
            Self::StmtExecute => "execute",
            Self::StmtSendLongData => "send_long_data",
            Self::StmtClose => "close",
            Self::StmtReset => "reset",
            Self::SetOption => "set_option",
            Self::StmtFetch => "fetch",
            Self::ResetConnection => "reset_connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_and_command_agree_and_dangerous_commands_are_unknown() {
        for byte in 0..=u8::MAX {
            if let Some(command) = Command::from_byte(byte) {
                assert_eq!(command.byte(), byte);
            }
        }
        // CREATE_DB, DROP_DB, REFRESH, SHUTDOWN, PROCESS_KILL, DEBUG, BINLOG_DUMP,
        // TABLE_DUMP, REGISTER_SLAVE, DAEMON, BINLOG_DUMP_GTID, CLONE, SUBSCRIBE
        for byte in [5, 6, 7, 8, 12, 13, 18, 19, 21, 29, 30, 32, 33] {
            assert_eq!(Command::from_byte(byte), None);
        }
    }
}
