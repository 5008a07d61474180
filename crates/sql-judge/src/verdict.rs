//! The answer to one statement, and the permit that carries a read to the replica.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::facts::{Effects, SessionFacts};
use crate::lexer::LexMode;
use crate::memory::{Known, Memos, PlainRead, recall, remember};
use crate::structure::{Structure, field_list, structure};

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
    runs_routine: bool,
    /// The text is readgate's, not a client's.
    is_own: bool,
    effects: Effects,
    read_as: LexMode,
    schema: Option<Bytes>,
    memos: Memos,
}

impl ReadPermit {
    /// The only place where a permit comes into being: `Judge`, after the grammar.
    pub(crate) fn new(
        text: Bytes,
        kind: StatementKind,
        effects: Effects,
        facts: &SessionFacts,
    ) -> Self {
        let (read_as, schema) = (facts.lex_mode(), facts.schema_bytes());
        let memos = Memos::default();
        let (runs_routine, is_own) = (false, false);
        Self { text, kind, runs_routine, is_own, effects, read_as, schema, memos }
    }

    /// The permit for a plain read of which the judge knows already.
    pub(crate) fn of_known(text: Bytes, known: Known, facts: &SessionFacts) -> Self {
        let Known { read: PlainRead { kind, runs_routine }, memos } = known;
        let permit = Self::new(text, kind, Effects::default(), facts);
        permit.with_memos(memos).with_routine(runs_routine)
    }

    /// With what others find out about it.
    pub(crate) fn with_memos(self, memos: Memos) -> Self {
        Self { memos, ..self }
    }

    /// With whether a listed routine runs in it.
    pub(crate) fn with_routine(self, runs_routine: bool) -> Self {
        Self { runs_routine, ..self }
    }

    /// As one whose text readgate wrote, in the place of a client's.
    pub(crate) fn with_own_text(self) -> Self {
        Self { is_own: true, ..self }
    }

    /// What `make` found out about the text, from now on or from an earlier time: it must
    /// depend on nothing but the text, its reading mode, the default schema and the policy.
    pub fn remember<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        remember(self.memos.text.as_ref(), make)
    }

    /// The same, or found out earlier about a text that differs in values, comments and white
    /// space alone. It must not depend on those: [`crate::structure()`] and [`crate::shape`]
    /// don't.
    pub fn remember_alike<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        remember(self.memos.alike.as_ref(), make)
    }

    /// What was found out about this text before, if it is kept.
    pub fn recall<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        recall(self.memos.text.as_ref()?)
    }

    /// The judged bytes: these, and no others, may be sent.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// What sort of statement it is, for metrics and ledger.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// What to [`crate::SessionFacts::apply`] after the replica's OK.
    pub fn effects(&self) -> &Effects {
        &self.effects
    }

    /// What the text names, in this session; of one that prepares or executes another, what that
    /// one does.
    pub fn structure(&self, facts: &SessionFacts) -> Structure {
        match self.effects.inner() {
            Some((text, None)) => structure(facts, text),
            Some((text, Some(schema))) => structure(&facts.in_schema(schema.clone()), text),
            None if self.kind == StatementKind::FieldList => field_list(facts, &self.text),
            None => structure(facts, &self.text),
        }
    }

    /// Whether a listed routine runs, which may set what users may not: that the session writes,
    /// first of all.
    pub fn runs_routine(&self) -> bool {
        self.runs_routine
    }

    /// Whether readgate wrote the text, so that no rule and no mode is for it.
    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// How the text was read.
    pub(crate) fn read_as(&self) -> LexMode {
        self.read_as
    }

    /// The default schema that its names are bound to.
    pub(crate) fn schema(&self) -> Option<Bytes> {
        self.schema.clone()
    }
}

/// A statement answered with OK and not forwarded.
#[derive(Debug, Clone)]
pub struct Absorbed {
    /// What sort of statement it is.
    pub kind: StatementKind,
    /// Why it is not forwarded, for the ledger.
    pub reason: &'static str,
    /// It alone, not the text that it came in.
    pub text: Bytes,
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
    /// `SHOW [FULL] PROCESSLIST` where only the user's own sessions may be seen:
    /// [`crate::Judge::process_list`] makes what is sent for it.
    ProcessList {
        /// With FULL: statements in whole length.
        full: bool,
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

/// Declares the kinds and their labels at once.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// The sort of a statement. `as_str` is a metric label: a small closed set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum StatementKind {
            $($(#[$doc])* $name,)*
        }

        impl StatementKind {
            /// Lower-case label, such as `select` or `set`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

impl StatementKind {
    /// Whether InnoDB locks the rows that subqueries of such a statement read: it reads
    /// without locks for queries alone.
    pub(crate) fn locks_what_it_reads(self) -> bool {
        matches!(self, Self::Set | Self::Do | Self::Show)
    }
}

kinds! {
    /// SELECT, TABLE, VALUES, WITH, parenthesised queries.
    Select = "select",
    /// SHOW.
    Show = "show",
    /// EXPLAIN, DESCRIBE, ANALYZE of a query.
    Explain = "explain",
    /// SET of variables, character sets, transaction characteristics.
    Set = "set",
    /// START TRANSACTION, BEGIN, COMMIT, ROLLBACK, savepoints.
    Transaction = "transaction",
    /// USE, and COM_INIT_DB.
    Use = "use",
    /// PREPARE, EXECUTE, DEALLOCATE as statements.
    Prepare = "prepare",
    /// KILL.
    Kill = "kill",
    /// LOCK TABLES, UNLOCK TABLES.
    Lock = "lock",
    /// DO.
    Do = "do",
    /// HELP.
    Help = "help",
    /// CHECKSUM TABLE.
    Checksum = "checksum",
    /// GET DIAGNOSTICS.
    Diagnostics = "diagnostics",
    /// CALL.
    Call = "call",
    /// COM_FIELD_LIST.
    FieldList = "field_list",
    /// Nothing but comments and white space.
    Empty = "empty",
    /// INSERT, UPDATE, DELETE, REPLACE, LOAD: data changes.
    Write = "write",
    /// CREATE, ALTER, DROP, TRUNCATE, RENAME: definitions.
    Definition = "definition",
    /// GRANT, FLUSH, RESET and the like.
    Admin = "admin",
    /// Not understood.
    Unknown = "unknown",
}
