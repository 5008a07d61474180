//! Numbers of the servers' errors, by the servers' own names.
//!
//! None of those that readgate sends lies from 2000 to 2999 or from 5000 to 5999: clients have
//! these themselves, and MariaDB's C library takes such an ERR for a malformed packet and shows
//! nothing of its text.
//!
//! <https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html>
#![allow(missing_docs, reason = "the names are the servers' own")]

pub const ER_CON_COUNT_ERROR: u16 = 1040;
pub const ER_HANDSHAKE_ERROR: u16 = 1043;
pub const ER_DBACCESS_DENIED_ERROR: u16 = 1044;
pub const ER_ACCESS_DENIED_ERROR: u16 = 1045;
pub const ER_UNKNOWN_COM_ERROR: u16 = 1047;
pub const ER_BAD_DB_ERROR: u16 = 1049;
pub const ER_SERVER_SHUTDOWN: u16 = 1053;
pub const ER_TOO_LONG_IDENT: u16 = 1059;
pub const ER_PARSE_ERROR: u16 = 1064;
pub const ER_NO_SUCH_THREAD: u16 = 1094;
pub const ER_KILL_DENIED_ERROR: u16 = 1095;
pub const ER_WRONG_DB_NAME: u16 = 1102;
pub const ER_UNKNOWN_ERROR: u16 = 1105;
pub const ER_UNKNOWN_TABLE: u16 = 1109;
pub const ER_UNKNOWN_CHARACTER_SET: u16 = 1115;
pub const ER_HOST_NOT_PRIVILEGED: u16 = 1130;
pub const ER_NO_SUCH_TABLE: u16 = 1146;
pub const ER_NET_PACKET_TOO_LARGE: u16 = 1153;
pub const ER_NET_PACKETS_OUT_OF_ORDER: u16 = 1156;
pub const ER_UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
pub const ER_TOO_MANY_USER_CONNECTIONS: u16 = 1203;
pub const ER_WRONG_ARGUMENTS: u16 = 1210;
pub const ER_USER_LIMIT_REACHED: u16 = 1226;
pub const ER_WRONG_VALUE_FOR_VAR: u16 = 1231;
pub const ER_UNKNOWN_STMT_HANDLER: u16 = 1243;
pub const ER_OPTION_PREVENTS_STATEMENT: u16 = 1290;
pub const ER_UNSUPPORTED_PS: u16 = 1295;
pub const ER_INVALID_CHARACTER_STRING: u16 = 1300;
pub const ER_QUERY_INTERRUPTED: u16 = 1317;
pub const ER_CANNOT_USER: u16 = 1396;
pub const ER_STMT_HAS_NO_OPEN_CURSOR: u16 = 1421;
pub const ER_MAX_PREPARED_STMT_COUNT_REACHED: u16 = 1461;
pub const ER_NOT_VALID_PASSWORD: u16 = 1819;
pub const ER_MALFORMED_PACKET: u16 = 1835;
/// MariaDB's; MySQL gives this number to nothing.
pub const ER_CONNECTION_KILLED: u16 = 1927;
/// MariaDB's, where MySQL has ER_QUERY_TIMEOUT.
pub const ER_STATEMENT_TIMEOUT: u16 = 1969;
pub const ER_QUERY_TIMEOUT: u16 = 3024;
pub const ER_SECURE_TRANSPORT_REQUIRED: u16 = 3159;
pub const ER_SERVER_ISNT_AVAILABLE: u16 = 3168;
pub const ER_CREDENTIALS_CONTRADICT_TO_HISTORY: u16 = 3638;
pub const ER_CLIENT_INTERACTION_TIMEOUT: u16 = 4031;
