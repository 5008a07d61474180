//! What the daemon tells the ledger: who, what was about to be forwarded, how it ended,
//! what was refused, and the events around it. Borrowed data only; nothing here is kept.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

/// Who a record is about: fixed from login on, encoded once.
#[derive(Debug, Clone, Serialize)]
pub struct Who<'a> {
    /// Connection id of the greeting.
    pub session: u64,
    /// Named user.
    pub user: &'a str,
    /// Role of the user.
    pub role: &'a str,
    /// Address the client connects from.
    pub source: IpAddr,
    /// Port the client connects from.
    pub source_port: u16,
    /// Listener's name.
    pub listener: &'a str,
    /// TLS version such as `TLSv1.3`, if any.
    pub tls_version: Option<&'a str>,
    /// Cipher suite, if any.
    pub tls_cipher: Option<&'a str>,
    /// `program_name` of the connection attributes.
    pub program: Option<&'a str>,
    /// Replica's name.
    pub replica: &'a str,
    /// Account on the replica.
    pub account: &'a str,
    /// Connection id at the replica, if the session has one.
    pub replica_session: Option<u64>,
}

/// A statement about to be forwarded.
#[derive(Debug, Clone, Default)]
pub struct Intent<'a> {
    /// `query`, `prepare`, `execute`, `init_db`, `field_list`...
    pub command: &'static str,
    /// Default schema at that moment.
    pub schema: Option<&'a [u8]>,
    /// The text as judged: any bytes. Encoded so that the exact bytes can be had back.
    pub text: &'a [u8],
    /// Kind label of the judge.
    pub kind: &'static str,
    /// For executions: the client's statement id and the sequence of the PREPARE's intent.
    pub prepared: Option<PreparedRef>,
    /// Values bound to an execution's parameters, in order.
    pub binds: &'a [Bind<'a>],
    /// The statement's shape with its literals taken out, as a short hash, if known.
    pub fingerprint: Option<&'a str>,
    /// Tables read, `schema.table`, if known before forwarding.
    pub tables: &'a [String],
    /// End user that a reporting tool says it acts for. Asserted, not verified.
    pub end_user: Option<&'a str>,
    /// Hash of the policy that judged, hex, if the daemon names it.
    pub policy: Option<&'a str>,
}

/// A value bound to a parameter of a prepared statement.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Bind<'a> {
    /// Type name, such as `longlong` or `var_string`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The value as text; `None` is NULL.
    pub value: Option<&'a str>,
}

/// Ties an execution to the text that was prepared.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PreparedRef {
    /// Statement id that the client uses.
    pub statement_id: u32,
    /// Sequence number of the intent that carried the text.
    pub intent: u64,
}

/// How a statement ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome<'a> {
    /// Rows relayed.
    pub rows: u64,
    /// Bytes relayed to the client.
    pub bytes: u64,
    /// From the command's arrival to its last packet.
    pub duration: Duration,
    /// `ok`, `error`, `client_gone`, `replica_gone`, `killed`, `timeout`.
    pub end: &'static str,
    /// Error of the replica, if it sent one.
    pub error: Option<ReplicaError<'a>>,
    /// Tables read, `schema.table`, if they became known only after forwarding.
    pub tables: &'a [String],
    /// Columns read, `schema.table.column`, if known.
    pub columns: &'a [String],
    /// SHA-256 of the result's bytes, hex, if that is switched on.
    pub result_sha256: Option<&'a str>,
}

/// An ERR packet of the replica.
#[derive(Debug, Clone, Serialize)]
pub struct ReplicaError<'a> {
    /// Error code.
    pub code: u16,
    /// Five characters.
    pub sqlstate: &'a str,
    /// Text, lossily decoded.
    pub message: &'a str,
}

/// Everything else that is recorded. Serialised with an `event` tag in snake case.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The daemon started.
    Start {
        /// Version and commit.
        build: &'a str,
        /// SHA-256 of the configuration's bytes, hex.
        config_hash: &'a str,
    },
    /// The daemon stops in an orderly way.
    Stop {
        /// Why.
        reason: &'a str,
    },
    /// A source that may not connect.
    SourceDenied {
        /// Its address.
        source: IpAddr,
        /// Its port.
        source_port: u16,
        /// Listener's name.
        listener: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A login that failed, or a connection that ended before login.
    LoginFailed {
        /// Connection id of the greeting.
        session: u64,
        /// Address.
        source: IpAddr,
        /// Port.
        source_port: u16,
        /// Listener's name.
        listener: &'a str,
        /// User name as given, lossily decoded, at most 128 characters.
        user: Option<&'a str>,
        /// Real reason, for the auditor alone.
        reason: &'a str,
    },
    /// A named user is in.
    Login {
        /// Who.
        #[serde(flatten)]
        who: Who<'a>,
        /// Plugin and path, such as `caching_sha2_password/fast`.
        method: &'a str,
        /// Connection attributes as the client sent them, lossily decoded.
        attributes: &'a [(String, String)],
    },
    /// A session ended.
    Disconnect {
        /// Connection id.
        session: u64,
        /// Named user.
        user: &'a str,
        /// How it ended.
        reason: &'a str,
        /// Statements forwarded.
        statements: u64,
        /// Refusals.
        refusals: u64,
    },
    /// A configuration was put in force, or refused.
    ConfigLoad {
        /// SHA-256 of the configuration in force after it, hex.
        config_hash: &'a str,
        /// What came of it.
        result: &'a str,
    },
    /// A user or credential was changed in the identity store.
    AccessChange {
        /// Whom it happened to.
        user: &'a str,
        /// What happened.
        change: &'a str,
        /// Who asked for it.
        by: &'a str,
        /// Why.
        reason: &'a str,
        /// Facts that differ: name, before, after.
        differences: &'a [(String, String, String)],
    },
    /// Rights of the shared account and read-only state of the replica, when what is found
    /// changes.
    ReplicaCheck {
        /// Replica's name.
        replica: &'a str,
        /// `ok`, or what is wrong.
        result: &'a str,
    },
    /// KILL by a user.
    Kill {
        /// Session that asked.
        session: u64,
        /// User that asked.
        user: &'a str,
        /// Connection id to be killed.
        target: u64,
        /// KILL QUERY.
        query_only: bool,
        /// What came of it.
        result: &'a str,
    },
}

/// A statement that was not forwarded.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    /// `query`, `prepare`...
    pub command: &'static str,
    /// Default schema.
    pub schema: Option<&'a [u8]>,
    /// The whole text.
    pub text: &'a [u8],
    /// Kind label.
    pub kind: &'static str,
    /// `refused`, or `absorbed` for those answered OK without forwarding.
    pub verdict: &'static str,
    /// The rule's name.
    pub rule: &'a str,
    /// The sentence that the client got.
    pub reason: &'a str,
    /// Byte offset.
    pub offset: u64,
}
