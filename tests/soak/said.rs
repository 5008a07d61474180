//! What clients said and heard, to be held against the ledger.

use std::fmt;

use readgate_tests::raw::ServerError;

/// A statement that a client sent, with a tag in it that no other one has.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) tag: String,
    /// Whose session it was.
    pub(crate) user: String,
    /// The judge must not let it through.
    pub(crate) is_write: bool,
    /// Something of its answer came.
    pub(crate) is_begun: bool,
    pub(crate) end: Option<End>,
}

/// How an answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Rows(usize),
    /// The replica's error.
    Error(u16),
    /// An error of readgate's own.
    Refused,
    /// The session was over before, and its end said so.
    SentAway,
    /// The session was killed meanwhile.
    Killed,
    /// The client went.
    Left,
}

/// ER_SERVER_SHUTDOWN, as a daemon that stops says between two commands.
const SHUTDOWN: u16 = 1053;

impl End {
    /// By which error an answer ended.
    pub(crate) fn by(error: &ServerError) -> Self {
        match error {
            error if error.code == SHUTDOWN => Self::SentAway,
            error if error.message.starts_with("readgate: ") => Self::Refused,
            error => Self::Error(error.code),
        }
    }
}

/// A KILL that was answered OK.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kill {
    /// Who gave it.
    pub(crate) user: String,
    pub(crate) target: u64,
    pub(crate) query_only: bool,
}

/// All of a round.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) said: Vec<Said>,
    pub(crate) kills: Vec<Kill>,
}

impl Told {
    pub(crate) fn of_all(parts: impl Iterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.said.extend(part.said);
            all.kills.extend(part.kills);
        }
        all
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} statements, {} kills", self.said.len(), self.kills.len())
    }
}
