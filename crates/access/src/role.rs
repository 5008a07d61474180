//! Roles: what the users of one kind may do, beside who they are. A role only narrows
//! what listener, limits and judge allow.
use std::time::Duration;

use crate::source::SourceSet;

/// Name of the role of users that name none.
pub const DEFAULT_ROLE: &str = "default";

/// What users of a role may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Unique name, in ledger and metrics.
    pub name: String,
    /// Sources its users may come from, beside what the listener accepts; `None`: any
    /// that the listener accepts.
    pub sources: Option<SourceSet>,
    /// Whether its users may not log in without TLS, even where the listener lets them.
    pub require_tls: bool,
    /// Whether `mysql_native_password` may be used by those users that have it.
    pub allow_native: bool,
    /// Stored functions its users may call beside the general ones, `schema.name`.
    pub functions: Vec<String>,
    /// Routines its users may CALL beside the general ones, `schema.name`.
    pub calls: Vec<String>,
    /// Schemas its users may read, as written; `None`: all that the shared account may.
    pub schemas: Option<Vec<String>>,
    /// Name of the account on the replica that its users' sessions run under; `None`: the
    /// replica's own.
    pub account: Option<String>,
    /// Whether its users may see what other users' sessions do.
    pub see_others: bool,
    /// Whether its users are operators: their sessions go to the console, never to the replica.
    pub operator: bool,
    /// Numbers and times.
    pub limits: RoleLimits,
}

/// What one user of a role can use up. `None`: no limit of the role's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoleLimits {
    /// Connections of one user at a time.
    pub connections: Option<u32>,
    /// Time of one statement.
    pub statement_timeout: Option<Duration>,
    /// Pause between two commands.
    pub idle_timeout: Option<Duration>,
    /// Length of a session.
    pub session_time: Option<Duration>,
    /// Rows of one result.
    pub result_rows: Option<u64>,
    /// Bytes of one result.
    pub result_bytes: Option<u64>,
    /// Bytes of all results of one user in a day (UTC).
    pub bytes_per_day: Option<u64>,
}

impl Role {
    /// A role that narrows nothing but the view of others' sessions.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            sources: None,
            require_tls: false,
            allow_native: true,
            functions: Vec::new(),
            calls: Vec::new(),
            schemas: None,
            account: None,
            see_others: false,
            operator: false,
            limits: RoleLimits::default(),
        }
    }
}
