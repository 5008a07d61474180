//! What a statement is, as *this* server in *this* session would read it, and
//! whether it only reads.
//!
//! Decides without I/O. The order of a judgement: [`lexer`] (bytes to tokens, exactly
//! as the server), [`grammar`] (an allow-list over those tokens), [`Verdict`]. A
//! [`ReadPermit`] can be minted nowhere else, owns the judged bytes, and is what the
//! daemon's `forward` demands.

use bytes::Bytes;

/// The make of a server; the two lex and execute differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Oracle's MySQL, Percona Server, Aurora MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// Flavour and version of a replica, which decide what a version comment hides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerVersion {
    /// The make.
    pub flavour: Flavour,
    /// As in version comments: 80043 for 8.0.43, 90704 for 9.7.4, 101119 for 10.11.19.
    pub number: u32,
}

impl ServerVersion {
    /// Reads the text of a greeting, such as `9.7.4` or `5.5.5-10.11.19-MariaDB-0+deb12u1`.
    /// `None` if no version can be read from it: then nothing can be judged.
    pub fn from_greeting(_text: &[u8]) -> Option<Self> {
        None
    }
}

// ---- session facts -----------------------------------------------------------------

/// What is known of a session that bears on judging: lexing modes, character sets,
/// schema, text-prepared statements. Changed only through [`SessionFacts::apply`], and
/// only after the replica said OK.
#[derive(Debug, Clone)]
pub struct SessionFacts {}

impl SessionFacts {
    /// The facts of a fresh session.
    ///
    /// `sql_mode` is the replica's `@@session.sql_mode` as text, `collation` the id of
    /// the client's handshake (decides character_set_client), `schema` the default schema.
    /// `None` if the server would take a character set that can't be lexed (ucs2, utf16,
    /// utf32), or a mode that isn't known.
    pub fn new(
        _server: ServerVersion,
        _sql_mode: &[u8],
        _collation: u16,
        _schema: Option<&[u8]>,
    ) -> Option<Self> {
        None
    }

    /// Takes over what a permitted statement does to the session, once the replica has
    /// answered it with OK (or a result set without error).
    pub fn apply(&mut self, _effects: &Effects) {}

    /// The current default schema, as far as it is known.
    pub fn schema(&self) -> Option<&[u8]> {
        None
    }
}

/// What a statement changes in the session if the replica accepts it (schema, sql_mode,
/// character sets, named prepared statements, transaction...). Opaque to the daemon.
#[derive(Debug, Clone, Default)]
pub struct Effects {}

// ---- verdict -----------------------------------------------------------------------

/// The answer to one statement.
#[derive(Debug)]
pub enum Verdict {
    /// A read: forward it.
    Allow(ReadPermit),
    /// Harmless, but must not reach the replica as it is; the client gets a plain OK.
    Absorb(Absorbed),
    /// readgate answers itself.
    Own(OwnStatement),
    /// Refused.
    Deny(Denial),
}

/// Proof that these bytes were judged a read for this session. Only this crate makes one.
#[derive(Debug, Clone)]
pub struct ReadPermit {
    text: Bytes,
    kind: StatementKind,
    effects: Effects,
}

impl ReadPermit {
    /// The judged bytes: these, and no others, may be sent.
    pub fn text(&self) -> &Bytes {
        &self.text
    }
    /// What sort of statement it is, for metrics and ledger.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }
    /// What to [`SessionFacts::apply`] after the replica's OK.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }
}

/// A statement answered with OK and not forwarded.
#[derive(Debug, Clone)]
pub struct Absorbed {
    /// What sort of statement it is.
    pub kind: StatementKind,
    /// Why it is not forwarded, for the ledger.
    pub reason: &'static str,
}

/// A statement that readgate answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnStatement {
    /// `KILL [CONNECTION | QUERY] id` with a literal id.
    Kill {
        /// The connection id as the client gave it.
        id: u64,
        /// `KILL QUERY`: end the statement, not the session.
        query_only: bool,
    },
}

/// A refusal: what, why, and where.
#[derive(Debug, Clone)]
pub struct Denial {
    /// Stable name of the rule, snake case: metric label and ledger field.
    pub rule: &'static str,
    /// What the statement is, as far as it is known.
    pub kind: StatementKind,
    /// One sentence for the client, without the leading `readgate: `. Names the verb or
    /// the construct and the reason; at most 400 bytes; quotes at most 64 bytes of the
    /// statement, escaped.
    pub reason: String,
    /// Byte offset in the text that was judged.
    pub offset: usize,
}

/// The sort of a statement. `as_str` is a metric label: a small closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatementKind {
    /// SELECT, TABLE, VALUES, WITH, parenthesised queries.
    Select,
    /// Not understood.
    Unknown,
}

impl StatementKind {
    /// Lower-case label, such as `select` or `set`.
    pub fn as_str(self) -> &'static str {
        "unknown"
    }
}

// ---- the judge ---------------------------------------------------------------------

/// What configuration adds to the built-in rules.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Stored functions that may be called, `schema.name`, lower case.
    pub allowed_functions: Vec<String>,
    /// Routines that CALL may run, `schema.name`, lower case.
    pub allowed_calls: Vec<String>,
    /// Longest literal argument of SLEEP that is let through, in seconds.
    pub sleep_max_seconds: u32,
}

/// Judges statements for one replica under one policy. Cheap to share.
#[derive(Debug, Clone)]
pub struct Judge {}

/// How a text splits: the statements of one COM_QUERY in order, each judged with the
/// facts as they would be after the ones before it succeeded. Stops after the first Deny.
pub type Verdicts = Vec<Verdict>;

impl Judge {
    /// A judge for a replica of this version under this policy.
    pub fn new(_server: ServerVersion, _policy: Policy) -> Self {
        Self {}
    }

    /// Judges a text that must be one statement (a trailing `;` is fine): a COM_QUERY of
    /// a client without CLIENT_MULTI_STATEMENTS, or a COM_STMT_PREPARE.
    pub fn judge(&self, _facts: &SessionFacts, _text: Bytes) -> Verdict {
        unreachable()
    }

    /// Judges a text that may hold several statements. Never empty.
    pub fn judge_several(&self, _facts: &SessionFacts, _text: Bytes) -> Verdicts {
        Vec::new()
    }

    /// Judges a text for COM_STMT_PREPARE: as [`Judge::judge`], and refuses what may not
    /// be prepared. The permit's effects happen at each execution, not at prepare.
    pub fn judge_prepare(&self, _facts: &SessionFacts, _text: Bytes) -> Verdict {
        unreachable()
    }

    /// Judges COM_INIT_DB: the payload is a schema name, not SQL; it may be refused for
    /// its length or NUL bytes. The permit's effects hold the new schema.
    pub fn judge_init_db(&self, _facts: &SessionFacts, _schema: Bytes) -> Verdict {
        unreachable()
    }

    /// Judges COM_FIELD_LIST (table NUL pattern): plain names only.
    pub fn judge_field_list(&self, _facts: &SessionFacts, _payload: Bytes) -> Verdict {
        unreachable()
    }
}

fn unreachable() -> Verdict {
    Verdict::Deny(Denial {
        rule: "unknown_statement",
        kind: StatementKind::Unknown,
        reason: String::from("nothing is judged yet"),
        offset: 0,
    })
}
