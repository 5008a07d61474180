//! What is known of a session that bears on judging, and how statements change it.

use std::collections::HashMap;

use bytes::Bytes;

use crate::charset::Charset;
use crate::lexer::LexMode;
use crate::server::ServerVersion;
use crate::sql_mode::SqlMode;

/// Most statements a session may have prepared by name.
pub(crate) const MAX_PREPARED: usize = 128;
/// Longest text that may be prepared by name, in bytes.
pub(crate) const MAX_PREPARED_TEXT: usize = 64 * 1024;

/// A statement prepared by name.
#[derive(Debug, Clone)]
pub(crate) struct PreparedText {
    pub(crate) text: Bytes,
    /// The default schema then: names in it stay bound to that.
    pub(crate) schema: Option<Bytes>,
}

/// What the replica itself says of a session, as the text of its variables.
#[derive(Debug, Clone, Copy)]
pub struct SessionVariables<'v> {
    /// `@@session.sql_mode`.
    pub sql_mode: &'v [u8],
    /// `@@session.character_set_client`.
    pub character_set_client: &'v [u8],
    /// `@@session.collation_connection`.
    pub collation_connection: &'v [u8],
    /// `DATABASE()`.
    pub schema: Option<&'v [u8]>,
}

/// What is known of a session that bears on judging: lexing modes, character sets,
/// schema, text-prepared statements. Changed only through [`SessionFacts::apply`], and
/// only after the replica said OK.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    /// How a text is read: follows from the sql_mode and the character set.
    lex_mode: LexMode,
    sql_mode: SqlMode,
    schema: Option<Bytes>,
    prepared: HashMap<Bytes, PreparedText>,
    /// A statement has changed the session in a way that only the replica can tell.
    in_doubt: bool,
    /// Literals may be in a character set that alters what is prepared out of them
    /// ([`prepares_as_written`]).
    literals_in_doubt: bool,
    /// How texts are read now was foretold from a statement; the replica hasn't said it.
    foretold: bool,
    /// The statement runs later than it is read, under whatever mode is set then.
    runs_later: bool,
}

impl SessionFacts {
    /// The facts of a fresh session.
    ///
    /// `sql_mode` is the replica's `@@session.sql_mode` as text, `collation` the id of
    /// the client's handshake (decides character_set_client), `schema` the default schema.
    /// `None` if the server would take a character set that can't be lexed (ucs2, utf16,
    /// utf32), or a mode that isn't known.
    pub fn new(
        server: ServerVersion,
        sql_mode: &[u8],
        collation: u16,
        schema: Option<&[u8]>,
    ) -> Option<Self> {
        let charset = Charset::by_collation(server.flavour, collation)?;
        let mut facts = Self::with_charset(server, sql_mode, charset)?;
        facts.schema = schema.map(Bytes::copy_from_slice);
        Some(facts)
    }

    /// The facts of a session whose variables were read back from the replica: `sql_mode`
    /// and `character_set_client` as text. `None` as with [`SessionFacts::new`].
    pub fn from_session_variables(
        server: ServerVersion,
        sql_mode: &[u8],
        character_set_client: &[u8],
        schema: Option<&[u8]>,
    ) -> Option<Self> {
        let charset = Charset::by_name(server.flavour, character_set_client)?;
        let mut facts = Self::with_charset(server, sql_mode, charset)?;
        facts.schema = schema.map(Bytes::copy_from_slice);
        Some(facts)
    }

    /// The facts of a session on the replica. `None` as with [`SessionFacts::new`], and where what
    /// is prepared may be another text than the literal that was judged.
    pub fn of_replica(server: ServerVersion, said: &SessionVariables<'_>) -> Option<Self> {
        if !prepares_as_written(server, said.collation_connection) {
            return None;
        }
        let SessionVariables { sql_mode, character_set_client, schema, .. } = *said;
        Self::from_session_variables(server, sql_mode, character_set_client, schema)
    }

    /// The facts of a session with this client character set, for [`crate::explain_batch`].
    pub(crate) fn with_charset(
        server: ServerVersion,
        sql_mode: &[u8],
        charset: Charset,
    ) -> Option<Self> {
        let sql_mode = SqlMode::parse(server.flavour, sql_mode)?;
        let lex_mode = lex_mode(server, sql_mode, charset);
        Some(Self {
            lex_mode,
            sql_mode,
            schema: None,
            prepared: HashMap::new(),
            in_doubt: false,
            literals_in_doubt: false,
            foretold: false,
            runs_later: false,
        })
    }

    /// Takes over what a permitted statement does to the session, once the replica has
    /// answered it with OK (or a result set without error).
    pub fn apply(&mut self, effects: &Effects) {
        for change in &effects.changes {
            match change {
                Change::SqlMode(mode) => {
                    self.sql_mode = *mode;
                    self.lex_mode = lex_mode(self.lex_mode.server, *mode, self.lex_mode.charset);
                    self.foretold = true;
                }
                Change::Charset(charset) => {
                    self.lex_mode.charset = *charset;
                    self.foretold = true;
                }
                Change::Schema(schema) => self.schema = Some(schema.clone()),
                Change::Prepared(name, text) => {
                    let (text, schema) = (text.clone(), self.schema.clone());
                    self.prepared.insert(name.clone(), PreparedText { text, schema });
                }
                Change::Deallocated(name) => {
                    self.prepared.remove(name);
                }
                Change::Called => self.prepared.clear(),
                Change::InDoubt => self.in_doubt = true,
                Change::Literals { in_doubt } => self.literals_in_doubt = *in_doubt,
                Change::Tracing | Change::Executed(_) => {}
            }
        }
    }

    /// Takes over what a permitted statement may have done before the replica answered it with
    /// an error. Whether that may be more, which is to be read back ([`SessionFacts::resync`]).
    #[must_use]
    pub fn apply_failed(&mut self, effects: &Effects) -> bool {
        if effects.changes.iter().any(|change| matches!(change, Change::Called)) {
            self.prepared.clear();
        }
        !effects.changes.iter().all(Change::is_settled_by_an_error)
    }

    /// Takes over what the replica itself says of the session, read back after something
    /// left its state in doubt. Statements prepared by name stay. False, and nothing is
    /// taken over, where [`SessionFacts::of_replica`] gives `None`.
    #[must_use]
    pub fn resync(&mut self, said: &SessionVariables<'_>) -> bool {
        let (server, prepared) = (self.server(), std::mem::take(&mut self.prepared));
        let fresh = Self::of_replica(server, said);
        let known = fresh.is_some();
        *self = Self { prepared, ..fresh.unwrap_or_else(|| self.clone()) };
        known
    }

    /// Whether texts are judged in this session as in that one: read alike, and in the same schema,
    /// which the replica may write in other letters than a client.
    pub fn judges_like(&self, other: &Self) -> bool {
        let schema = |facts: &Self| facts.schema.as_ref().map(|name| name.to_ascii_lowercase());
        self.lex_mode == other.lex_mode && schema(self) == schema(other)
    }

    /// Whether the session must be read back ([`SessionFacts::resync`]) before anything else
    /// can be judged.
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Whether how texts are read now is only what a statement was understood to set: the
    /// replica is to be asked ([`SessionFacts::confirm`]) before it gets a text that was judged so.
    pub fn is_foretold(&self) -> bool {
        self.foretold
    }

    /// Holds what was foretold against what the replica itself says of the session; nothing is
    /// taken over. False: statements were judged in another reading than the replica's.
    #[must_use]
    pub fn confirm(&mut self, said: &SessionVariables<'_>) -> bool {
        self.foretold = false;
        let SessionVariables { sql_mode, character_set_client, schema, .. } = *said;
        let server = self.server();
        let known = match self.literals_in_doubt {
            true => Self::from_session_variables(server, sql_mode, character_set_client, schema),
            false => Self::of_replica(server, said),
        };
        known.is_some_and(|known| known.lex_mode == self.lex_mode)
    }

    /// Whether a literal may not be what would be prepared out of it.
    pub(crate) fn literals_in_doubt(&self) -> bool {
        self.literals_in_doubt
    }

    /// Whether a status flag that the replica sends with each OK says the same of the
    /// session's mode as these facts.
    pub fn agrees(&self, status_says_no_backslash_escapes: bool) -> bool {
        self.lex_mode.no_backslash_escapes == status_says_no_backslash_escapes
    }

    /// The current default schema, as far as it is known.
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// The same as bytes that can be kept.
    pub(crate) fn schema_bytes(&self) -> Option<Bytes> {
        self.schema.clone()
    }

    /// The same session with another default schema.
    pub(crate) fn in_schema(&self, schema: Option<Bytes>) -> Self {
        Self { schema, ..self.clone() }
    }

    /// The same session for a text that is prepared: its names are bound to this schema, and at
    /// its execution `@@sql_mode` may be another one, or its literals be read otherwise.
    pub(crate) fn of_prepared(&self, schema: Option<Bytes>) -> Self {
        Self { runs_later: true, ..self.in_schema(schema) }
    }

    pub(crate) fn sql_mode(&self) -> SqlMode {
        self.sql_mode
    }

    /// Whether the statement may run under another mode than it is judged under.
    pub(crate) fn runs_later(&self) -> bool {
        self.runs_later
    }

    pub(crate) fn server(&self) -> ServerVersion {
        self.lex_mode.server
    }

    /// How a text of this session is read now.
    pub(crate) fn lex_mode(&self) -> LexMode {
        self.lex_mode
    }

    /// The text prepared under this name, in lower case.
    pub(crate) fn prepared(&self, name: &[u8]) -> Option<&PreparedText> {
        self.prepared.get(name)
    }

    pub(crate) fn prepared_count(&self) -> usize {
        self.prepared.len()
    }
}

/// Whether a text in a literal is prepared as it was judged, in a session with this
/// `collation_connection`.
fn prepares_as_written(server: ServerVersion, collation_connection: &[u8]) -> bool {
    Charset::keeps_literals(server.flavour, collation_connection)
}

fn lex_mode(server: ServerVersion, sql_mode: SqlMode, charset: Charset) -> LexMode {
    LexMode {
        server,
        charset,
        ansi_quotes: sql_mode.has("ANSI_QUOTES"),
        no_backslash_escapes: sql_mode.has("NO_BACKSLASH_ESCAPES"),
        ignore_space: sql_mode.has("IGNORE_SPACE"),
        oracle: sql_mode.has("ORACLE"),
    }
}

/// What a statement changes in the session if the replica accepts it (schema, sql_mode,
/// character sets, named prepared statements). Opaque to the daemon.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    pub(crate) changes: Vec<Change>,
}

impl Effects {
    /// Whether the session stays as it is, as far as judging goes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The text inside a statement that prepares or executes one, and the schema of its names if
    /// that isn't the session's.
    pub(crate) fn inner(&self) -> Option<(&Bytes, Option<&Option<Bytes>>)> {
        self.changes.iter().find_map(|change| {
            if let Change::Executed(PreparedText { text, schema }) = change {
                return Some((text, Some(schema)));
            }
            if let Change::Prepared(_, text) = change { Some((text, None)) } else { None }
        })
    }

    /// Whether the server may keep texts of this session's statements from now on, which whoever
    /// has the connection next could read.
    pub fn leave_texts(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Tracing))
    }
}

/// One change of the session.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    SqlMode(SqlMode),
    Charset(Charset),
    Schema(Bytes),
    Prepared(Bytes, Bytes),
    Deallocated(Bytes),
    /// What EXECUTE ran; its own changes stand beside it.
    Executed(PreparedText),
    /// A routine ran, which may have prepared another text under any name.
    Called,
    /// What decides how texts are read was set to a value that the text doesn't tell.
    InDoubt,
    /// The character set of literals became the schema's, or one that is known.
    Literals {
        in_doubt: bool,
    },
    /// A trace or a profile of statements was switched.
    Tracing,
}

impl Change {
    /// Whether an error leaves no doubt of it. A name, of a schema or a prepared statement, is all
    /// that its statement changes; of several settings some may have been made.
    fn is_settled_by_an_error(&self) -> bool {
        match self {
            Self::Called
            | Self::Executed(_)
            | Self::Schema(_)
            | Self::Prepared(..)
            | Self::Deallocated(_) => true,
            Self::SqlMode(_)
            | Self::Charset(_)
            | Self::InDoubt
            | Self::Literals { .. }
            | Self::Tracing => false,
        }
    }
}
