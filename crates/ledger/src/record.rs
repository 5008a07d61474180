//! What the daemon tells the ledger: who, what was about to be forwarded, how it ended,
//! what was refused, and the events around it. Borrowed data only; nothing here is kept.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::encode;

/// Who a record is about. Encoded at login, and when something of it changes.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<&'a str>,
    /// Cipher suite, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cipher: Option<&'a str>,
    /// `program_name` of the connection attributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<&'a str>,
    /// Replica's name.
    pub replica: &'a str,
    /// Account on the replica.
    pub account: &'a str,
    /// Connection id at the replica, if the session has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_session: Option<u64>,
    /// Hash of the policy that judges this session's statements, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
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
    /// Whether the record may name an earlier one of its file in the place of a long text, or of
    /// most of it.
    pub may_refer: bool,
    /// Where the same text stands already, if whoever gives it keeps that.
    pub text_place: Option<&'a TextPlace>,
    /// Kind label of the judge.
    pub kind: &'static str,
    /// For executions: the client's statement id and the sequence of the PREPARE's intent.
    pub prepared: Option<PreparedRef>,
    /// How the text and the values may stand in the record.
    pub form: TextForm<'a>,
    /// Values bound to an execution's parameters, in order.
    pub binds: &'a [Bind<'a>],
    /// Query attributes that came with the statement, in order.
    pub attributes: &'a [Bind<'a>],
    /// End user that a reporting tool says it acts for. Asserted, not verified.
    pub end_user: Option<&'a str>,
}

/// Where a text that comes again and again stands in the ledger: the intents after that one
/// need only name it, as long as its file is the newest.
#[derive(Debug, Default)]
pub struct TextPlace(AtomicU64);

impl TextPlace {
    /// Sequence number of an intent that holds the text as it is, passwords masked.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|sequence| *sequence > 0)
    }

    pub(crate) fn set(&self, sequence: u64) {
        self.0.store(sequence, Ordering::Relaxed);
    }
}

/// How a statement's text and values may stand in its record.
#[derive(Debug, Clone, Copy, Default)]
pub enum TextForm<'a> {
    /// As they are, passwords masked.
    #[default]
    Full,
    /// Values replaced by keyed hashes: those that stand here in the text, and all others.
    Redacted(&'a [Literal]),
    /// Where values stand in the text isn't known: nothing of it but length and keyed hash.
    Hashed,
    /// As it was made by [`crate::Ledger::make_text`].
    Made(&'a MadeText),
}

impl TextForm<'_> {
    /// Whether values stay as they are.
    pub(crate) fn is_full(self) -> bool {
        match self {
            Self::Full => true,
            Self::Redacted(_) | Self::Hashed => false,
            Self::Made(made) => made.is_full,
        }
    }
}

/// A long text as its record has it, made before the record: to look through it takes a while,
/// which other sessions needn't wait for.
#[derive(Debug)]
pub struct MadeText {
    pub(crate) members: Vec<u8>,
    /// Whether values stand in it as they are.
    pub(crate) is_full: bool,
}

/// A value, or a comment, in a statement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    /// Where, in bytes. Of a string: with prefix and quotes.
    pub range: Range<usize>,
    /// Which sort.
    pub kind: LiteralKind,
}

/// The sort of a value, which is told where the value isn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralKind {
    /// A string, or bytes.
    String,
    /// A number.
    Number,
    /// A comment.
    Comment,
}

/// A value bound to a parameter of a prepared statement, or a query attribute.
#[derive(Debug, Clone)]
pub struct Bind<'a> {
    /// An attribute's name; parameters have none.
    pub name: Option<&'a [u8]>,
    /// Type name, such as `longlong` or `var_string`.
    pub kind: &'static str,
    /// Whether values of the type are numbers.
    pub is_number: bool,
    /// What was bound.
    pub value: BindValue<'a>,
}

/// What was bound.
#[derive(Debug, Clone)]
pub enum BindValue<'a> {
    /// NULL.
    Null,
    /// The value as text, or any bytes.
    Bytes(Cow<'a, [u8]>),
    /// A value that isn't at hand, by its length and SHA-256.
    Digest {
        /// Length in bytes.
        bytes: u64,
        /// SHA-256.
        sha256: [u8; 32],
    },
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
    /// `ok`, `error`, `client_gone`, `replica_gone`, `killed`, `over_limit`.
    pub end: &'static str,
    /// Error of the replica, if it sent one.
    pub error: Option<ReplicaError<'a>>,
    /// What the statement's text names, if known.
    pub names: Option<&'a Names>,
    /// SHA-256 of the result's bytes, hex, if that is switched on.
    pub result_sha256: Option<&'a str>,
}

/// What a statement's text names, as it stands in its outcomes: encoded once for all runs of
/// that text, and of those that differ from it in their values alone.
#[derive(Debug, Default)]
pub struct Names(Vec<u8>);

impl Names {
    /// `fingerprint`: the statement's shape with its literals taken out, as a short hash, if
    /// known. `tables` read, `schema.table`, and `columns`, `schema.table.column`, as far as
    /// they are known.
    pub fn new(fingerprint: Option<&str>, tables: &[String], columns: &[String]) -> Self {
        let mut members = Vec::new();
        encode::names(&mut members, fingerprint, tables, columns);
        members.shrink_to_fit();
        Self(members)
    }

    /// Each behind a comma.
    pub(crate) fn members(&self) -> &[u8] {
        &self.0
    }
}

/// An ERR packet of the replica.
#[derive(Debug, Clone, Serialize)]
pub struct ReplicaError<'a> {
    /// Error code.
    pub code: u16,
    /// Five characters.
    pub sqlstate: &'a str,
    /// Text, lossily decoded; empty where it may hold values that the record must not.
    pub message: &'a str,
}

/// Everything else that is recorded. Serialised with an `event` tag in snake case.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The daemon started.
    Start {
        /// Its name and version.
        program: &'a str,
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
        /// Keys that differ from the configuration before: key, before, after. Secrets
        /// are not shown.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        differences: &'a [(String, String, String)],
        /// Keys of this configuration that differ from the one that the daemon has started
        /// with, and don't count before its next start.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        pending: &'a [String],
        /// Why a start couldn't compare with the configuration before, if so: the differences are
        /// all there is then.
        #[serde(skip_serializing_if = "Option::is_none")]
        not_compared: Option<&'a str>,
        /// SHA-256 of what is kept of the configuration in force, hex: what the next start
        /// compares with. In the last record about a change.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept_sha256: Option<&'a str>,
    },
    /// A user or credential was changed in the identity store.
    AccessChange {
        /// Its number in the store's history.
        number: u64,
        /// When it was made, RFC 3339: before the record, if no daemon ran then.
        made_at: &'a str,
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
    /// A delivery that the replica's data comes with has come, or is late, missing,
    /// malformed.
    FeedState {
        /// Feed's name.
        feed: &'a str,
        /// `waiting`, `fresh`, `late`, `missing`, `malformed`, `unknown`.
        state: &'a str,
        /// Since when, UTC.
        since: &'a str,
        /// Why; empty if there is nothing to say.
        reason: &'a str,
        /// When the newest delivery came, UTC.
        arrived: Option<&'a str>,
    },
    /// Somebody was told of something that is wrong, or is over; or could not be told.
    Notice {
        /// Notice's name.
        notice: &'a str,
        /// What it tells of, such as `feed_late`.
        about: &'a str,
        /// Which feed, file, source.
        subject: &'a str,
        /// `begins`, `goes on`, `ends`.
        phase: &'a str,
        /// `sent`, or why it was not.
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
    /// How the text may stand in the record. Where not in full, the reason, which may
    /// quote it, is left out.
    pub form: TextForm<'a>,
    /// `refused`, or `absorbed` for those answered OK without forwarding.
    pub verdict: &'static str,
    /// The rule's name.
    pub rule: &'a str,
    /// The sentence that the client got.
    pub reason: &'a str,
    /// Byte offset.
    pub offset: u64,
}
